"""Go channels over any transport: channel ends, byte streams and descriptors inside messages.

`pipe` makes a channel in this process. Its `Sender` and `Receiver` are what every other channel has too: over a unix
socket, over TCP, across the Internet. A `Session` is a connection that carries many channels; `dial` and `listen` make
sessions from URLs.
"""

from .carriers.tls import server_tls
from .ends import Receiver, Sender, copy, pipe
from .errors import (
    Abandoned,
    AttachmentInUse,
    BySender,
    CallError,
    Closed,
    CutShort,
    Decode,
    DialError,
    Disconnected,
    Dropped,
    Encode,
    EndOfChannel,
    GoingAway,
    LibchanError,
    Limit,
    NoReply,
    NotDecoded,
    NotDelivered,
    NotEncoded,
    NotForwarded,
    NotPumpable,
    OpenError,
    Panicked,
    RecvError,
    Refused,
    Remote,
    SendError,
    SessionClosed,
    SessionError,
    StreamError,
    TooLarge,
    TooManyAttachments,
    Unclaimed,
    UrlError,
)
from .fd import Fd
from .link import Peer
from .listener import Listener, dial, listen
from .must_finish import MustFinish
from .oneshot import OneshotReceiver, OneshotSender, oneshot
from .proto.limits import Limits
from .session import Incoming, Session
from .stream import ByteStream

__version__ = "0.1.0"

__all__ = [
    "Abandoned",
    "AttachmentInUse",
    "BySender",
    "ByteStream",
    "CallError",
    "Closed",
    "CutShort",
    "Decode",
    "DialError",
    "Disconnected",
    "Dropped",
    "Encode",
    "EndOfChannel",
    "Fd",
    "GoingAway",
    "Incoming",
    "LibchanError",
    "Limit",
    "Limits",
    "Listener",
    "MustFinish",
    "NoReply",
    "NotDecoded",
    "NotDelivered",
    "NotEncoded",
    "NotForwarded",
    "NotPumpable",
    "OneshotReceiver",
    "OneshotSender",
    "OpenError",
    "Panicked",
    "Peer",
    "Receiver",
    "RecvError",
    "Refused",
    "Remote",
    "SendError",
    "Sender",
    "Session",
    "SessionClosed",
    "SessionError",
    "StreamError",
    "TooLarge",
    "TooManyAttachments",
    "Unclaimed",
    "UrlError",
    "copy",
    "dial",
    "listen",
    "oneshot",
    "pipe",
    "server_tls",
]
