"""Go channels over any transport: channel ends, byte streams and descriptors inside messages.

`pipe` makes a channel in this process. Its `Sender` and `Receiver` are what every other channel has too: over a unix
socket, over TCP, across the Internet. A `Session` is a connection that carries many channels; `dial` and `listen` make
sessions from URLs.
"""

from .carriers.tls import server_tls
from .ends import Receiver, Sender, copy, pipe
from .errors import (
    AttachmentInUse,
    BySender,
    Closed,
    Decode,
    DialError,
    Disconnected,
    Dropped,
    Encode,
    EndOfChannel,
    LibchanError,
    Limit,
    NotEncoded,
    NotForwarded,
    NotPumpable,
    OpenError,
    RecvError,
    Refused,
    Remote,
    SendError,
    SessionError,
    StreamError,
    TooLarge,
    TooManyAttachments,
    UrlError,
)
from .fd import Fd
from .link import Peer
from .listener import Listener, dial, listen
from .proto.limits import Limits
from .session import Incoming, Session
from .stream import ByteStream

__version__ = "0.1.0"

__all__ = [
    "AttachmentInUse",
    "BySender",
    "ByteStream",
    "Closed",
    "Decode",
    "DialError",
    "Disconnected",
    "Dropped",
    "Encode",
    "EndOfChannel",
    "Fd",
    "Incoming",
    "LibchanError",
    "Limit",
    "Limits",
    "Listener",
    "NotEncoded",
    "NotForwarded",
    "NotPumpable",
    "OpenError",
    "Peer",
    "Receiver",
    "RecvError",
    "Refused",
    "Remote",
    "SendError",
    "Sender",
    "Session",
    "SessionError",
    "StreamError",
    "TooLarge",
    "TooManyAttachments",
    "UrlError",
    "copy",
    "dial",
    "listen",
    "pipe",
    "server_tls",
]
