"""One side of a session, without sockets and clocks: bytes in, events and bytes out, the time as an argument.

The machine is one object in five files: this one has input, output and the session as a whole, `channels` has how
channels begin and end, `messages` what flows on them, `streams` byte streams, `turns` who writes when.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Callable, Deque

from . import codes, frames
from .channels import ChannelRules
from .credit import Opened, Pool
from .entries import Attachment, Entries, RecvEntry, SendEntry, StreamEntry
from .errors import NO_REASON, Misbehaviour, Reason, SessionOver
from .events import ESTABLISHED, PONG, STREAM_READABLE, STREAM_WRITABLE, WRITABLE, Event
from .limits import Limits
from .messages import MessageRules
from .streams import StreamRules
from .turns import Line, TurnRules

#: Pings are counted over so long, in seconds.
PING_PERIOD = 5.0


@dataclass
class Chunk:
    """Bytes to be written. The descriptors go with the first of them."""

    data: bytearray
    descriptors: list[int]


class Machine(ChannelRules, MessageRules, StreamRules, TurnRules):
    """One side of a session. Its preface and hello are ready to be written from the start.

    ``codecs`` are ids, the preferred first. ``now`` is any monotonic time in seconds. ``counts_descriptors``: `receive`
    is told how many came, so that one that is named and has not come is noticed here (AT-17).
    """

    def __init__(
        self,
        dialer: bool,
        limits: Limits | None = None,
        codecs: tuple[int, ...] = (1, 2, 0),
        metadata: frames.Metadata = (),
        now: float = 0.0,
        counts_descriptors: bool = True,
    ) -> None:
        #: The limits in force: the agreed ones, this side's before.
        self.limits = (limits or Limits()).in_range()
        self.dialer = dialer
        self.established = False
        self.codecs = codecs
        self.peer_hello: frames.Hello | None = None
        #: Why the session is over; None while it goes on.
        self.over: SessionOver | None = None
        self.goodbye_said: Reason | None = None
        self.goodbye_sent = False
        self._hurries = False
        self.events: Deque[Event] = deque()
        self.entries = Entries(dialer)
        self.pending_accepts = 0
        self._input = bytearray()
        self._preface_read = False
        self._chunks: list[Chunk] = []
        self._size = 0
        #: Control bytes that wait to be written, and how many of them the peer has made us say.
        self._unsent_control = self._answers = 0
        self._due: list[RecvEntry | StreamEntry] = []
        #: Large messages that have begun and are not out; and those that never will be.
        self._large_open = self.cut = 0
        self._line = Line()
        #: Channels whose large message waits for memory, and a receive for it.
        self._awaited: Deque[RecvEntry] = deque()
        self._rejected: Deque[tuple[Attachment, Reason]] = deque()
        self.ours = Pool(self.limits.session_memory)
        self.opened_here, self.opened_there = Opened(), Opened()
        self._counts_descriptors = counts_descriptors
        self._descriptors_arrived = 0
        self._descriptors_bound = 0
        self._descriptors_back = 0
        self._descriptors_owed = 0
        self.descriptor_credit = 0
        self._descriptors_out = 0
        self._descriptor_waiters: list[SendEntry] = []
        self._started = self._heard = self._said = self._pings_since = now
        self._has_heard = self._has_said = self._stuck = False
        self._pings = self._next_ping = 0
        self._hello = frames.Hello(self.limits, tuple(codecs), 0, metadata)
        self._write(frames.PREFACE + frames.encode(self._hello))

    # ---- input

    def receive(self, data: bytes, descriptors: int = 0) -> None:
        """Takes what arrived on the link, with so many descriptors beside it. When a rule is broken, or the peer has
        ended the session, `over` says so and a goodbye that says why is in the output."""
        if self.over:
            return
        self._has_heard = True
        self._input += data
        self._descriptors_arrived += descriptors
        try:
            self._read_frames()
            if self._descriptors_arrived - self._descriptors_bound > self.limits.max_descriptors:
                raise Misbehaviour("descriptors that no message names", codes.DESCRIPTORS)
        except Misbehaviour as broken:
            text = f"the peer broke a rule of the protocol: {broken}"
            self._fail(SessionOver(SessionOver.PEER_MISBEHAVED, text, broken.code))

    def _read_frames(self) -> None:
        data, at = self._input, 0
        if not self._preface_read:
            if not self._read_preface():
                return
            at = len(frames.PREFACE)
        while not self.over and len(data) - at >= frames.HEADER:
            length, type, id = frames.split_header(data, at)
            if length > (self.limits.max_frame if self.established else self.limits.max_hello):
                raise Misbehaviour(f"a frame of {length} bytes", codes.FRAME_TOO_LARGE)
            end = at + frames.HEADER + length
            if len(data) < end:
                break
            body = bytes(data[at + frames.HEADER : end])
            at = end
            self._on_frame(type, id, body)
        del data[:at]

    def _read_preface(self) -> bool:
        have = bytes(self._input[: len(frames.PREFACE)])
        name = frames.PREFACE[:-1]
        if have[: len(name)] != name[: len(have)]:
            text = f"the other side does not speak libchan: it began with {have!r}"
            self._fail(SessionOver(SessionOver.NOT_LIBCHAN, text, codes.PROTOCOL))
        elif len(have) == len(frames.PREFACE):
            if have != frames.PREFACE:
                text = f"the peer speaks version {have[-1]} of the protocol, this side version 1"
                self._fail(SessionOver(SessionOver.UNSUPPORTED_VERSION, text, codes.UNSUPPORTED_VERSION))
            else:
                self._preface_read = True
        return self._preface_read

    def _on_frame(self, type: int, id: int, body: bytes) -> None:
        if not self.established and type not in (frames.HELLO, frames.GOODBYE):
            raise Misbehaviour("the first frame is no HELLO")
        if not frames.is_known(type):
            if not type & frames.IGNORABLE:
                raise Misbehaviour(f"a frame of unknown type {type:#04x}")
            return
        frame = frames.decode(type, id, body, self.limits.max_attachments)
        before = self._unsent_control
        self._HANDLERS[type](self, frame)
        # What the application asked for meanwhile is not what the peer makes us say.
        self._answers += self._unsent_control - before
        if self._answers > self.limits.max_control_bytes and not self.over:
            self._not_reading()

    def _on_hello(self, peer: frames.Hello) -> None:
        if self.established:
            raise Misbehaviour("a second HELLO")
        first, second = (self.codecs, peer.codecs) if self.dialer else (peer.codecs, self.codecs)
        codecs = tuple(codec for codec in first if codec in second)
        if not codecs:
            text = "the two sides have no codec in common"
            self._fail(SessionOver(SessionOver.NO_COMMON_CODEC, text, codes.NO_COMMON_CODEC))
            return
        self.codecs = codecs
        self.limits = self.limits.agree(peer.limits)
        self.peer_hello = peer
        self.descriptor_credit = self.limits.max_descriptors
        self.ours = Pool(self.limits.session_memory)
        self.established = True
        self.events.append(Event(ESTABLISHED))

    def eof(self) -> None:
        """The link has ended or failed."""
        if not self.over:
            self._fail(SessionOver(SessionOver.LOST, "the link ended without a goodbye"))

    # ---- output

    def output(self) -> list[Chunk]:
        """What is to be written now; it counts as written."""
        self._flush_credit()
        self._flush_goodbye()
        chunks, self._chunks = self._chunks, []
        self._has_said |= self._size > 0
        self._size = 0
        self._unsent_control = self._answers = 0
        self._stuck = False
        self._take_turns()
        return chunks

    def has_output(self) -> bool:
        """Whether `output` has something to do. It may give no bytes, but tell somebody that its turn has come."""
        return bool(self._chunks or self._due or self._line or self._descriptors_owed or self._may_say_goodbye())

    def has_waiting(self) -> bool:
        """Whether something that was sent here waits for its turn, or the rest of a large message for credit."""
        return bool(self._line) or self._large_open > 0

    def output_size(self) -> int:
        """What waits to be written, in bytes; credit, and what waits for its turn, are not counted."""
        return self._size

    def _write(self, data: bytes, descriptors: list[int] | None = None) -> None:
        if not self._chunks or descriptors:
            self._chunks.append(Chunk(bytearray(), descriptors or []))
        self._chunks[-1].data += data
        self._size += len(data)

    def _control(self, frame: frames.Frame) -> None:
        """Appends a frame that needs no credit."""
        if self.goodbye_sent or self.over:
            return
        data = frames.encode(frame)
        self._unsent_control += len(data)
        self._write(data)

    def _not_reading(self) -> None:
        text = "the peer does not read what it asks for"
        self._fail(SessionOver(SessionOver.PEER_NOT_READING, text, codes.PEER_NOT_READING))

    # ---- the clock

    def tick(self, now: float) -> None:
        """Tells the time; every few seconds is enough."""
        if self.over:
            return
        if self._has_heard:
            self._has_heard, self._heard = False, now
        if self._has_said:
            self._has_said, self._said = False, now
        if now - self._pings_since >= PING_PERIOD:
            self._pings, self._pings_since = 0, now
        if not self.established:
            if now - self._started >= self.limits.hello_timeout:
                text = "the peer did not say hello in time"
                self._fail(SessionOver(SessionOver.HELLO_TIMEOUT, text, codes.HELLO_TIMEOUT))
            return
        if now - self._heard >= self.limits.dead_after:
            text = "nothing was heard of the peer for too long"
            self._fail(SessionOver(SessionOver.PEER_SILENT, text, codes.PEER_SILENT))
            return
        much = self._unsent_control > self.limits.max_control_bytes
        if much and self._stuck:
            self._not_reading()
            return
        self._stuck = much
        if now - self._said >= self.limits.ping_after and self.goodbye_said is None:
            self._said = now
            self.ping()

    def ping(self) -> int:
        """Sends a ping behind what is written already. `PONG` with its number says that the peer has handled all of
        it."""
        self._next_ping += 1
        self._control(frames.Ping(self._next_ping.to_bytes(8, "big")))
        return self._next_ping

    def _on_ping(self, ping: frames.Ping) -> None:
        self._pings += 1
        if self._pings > self.limits.max_pings:
            raise Misbehaviour("too many pings", codes.PING_FLOOD)
        self._control(frames.Pong(ping.number))

    def _on_pong(self, pong: frames.Pong) -> None:
        # As any byte it counts as heard.
        self.events.append(Event(PONG, count=int.from_bytes(pong.number, "big")))

    # ---- goodbye and the end

    def goodbye(self, reason: Reason = NO_REASON, at_once: bool = False) -> None:
        """Says goodbye: nothing of ours follows. What is queued goes out before it, large messages included, unless it
        is to be said ``at_once``: then what waits for credit or for its turn is cut."""
        if self.over or self.goodbye_sent:
            return
        if not self.established:
            # Before the peer's hello only a goodbye with a code may leave, and there will be no session (SE-01).
            self._control(frames.Goodbye(reason if reason.code else Reason(codes.UNAVAILABLE, reason.text)))
            self.goodbye_said, self.goodbye_sent = reason, True
            self._fail(SessionOver(SessionOver.CLOSED, "the session was left before it began"))
            return
        self.goodbye_said = self.goodbye_said or reason
        self._hurries |= at_once or reason.code != codes.NONE
        self._flush_goodbye()

    def _may_say_goodbye(self) -> bool:
        if self.goodbye_said is None or self.goodbye_sent or self.over:
            return False
        return self._hurries or not self.has_waiting()

    def _flush_goodbye(self) -> None:
        if self._may_say_goodbye() and self.goodbye_said is not None:
            self._flush_credit()
            self._control(frames.Goodbye(self.goodbye_said))
            self.goodbye_sent = True

    def is_settled(self) -> bool:
        """Whether every sending end and stream has said its last: a goodbye takes nothing away."""
        for entry in self.entries.open.values():
            if isinstance(entry, SendEntry) and (not entry.closing or entry.large):
                return False
            if isinstance(entry, StreamEntry) and not entry.end_sent:
                return False
        return True

    def is_used(self) -> bool:
        """Whether something is still to come from here on any channel or stream, or to be received."""
        return any(not isinstance(entry, SendEntry) or not entry.closed for entry in self.entries.open.values())

    def _on_goodbye(self, goodbye: frames.Goodbye) -> None:
        reason = goodbye.reason
        if reason.code != codes.NONE:
            text = f"the peer ended the session: {reason}"
            self._fail(SessionOver(SessionOver.PEER_CLOSED, text, reason.code, reason.text))
            return
        if not self.established:
            raise Misbehaviour("the first frame is no HELLO")
        # Behind what is written already; what is not ended by now is cut on both sides.
        self._control(frames.Goodbye(NO_REASON))
        self._fail(SessionOver(SessionOver.CLOSED, "the session was closed"))

    def _fail(self, why: SessionOver) -> None:
        """The session is over: tells the peer why, if it is to blame, and everybody here."""
        if why.kind not in (SessionOver.PEER_CLOSED, SessionOver.CLOSED, SessionOver.LOST):
            self._control(frames.Goodbye(Reason(why.code, why.text)))
            self.goodbye_sent = True
        self.over = why
        self._input.clear()
        told = codes.SESSION_CLOSED if why.kind == SessionOver.CLOSED else codes.DISCONNECTED
        for entry in list(self.entries.open.values()):
            if isinstance(entry, SendEntry):
                self._lose_sender(entry, told)
            elif isinstance(entry, RecvEntry):
                self._lose_receiver(entry, told)
            else:
                entry.ended, entry.stopped = entry.ended or Reason(told), entry.stopped or Reason(told)
                self.events += [Event(STREAM_READABLE, entry), Event(STREAM_WRITABLE, entry)]
                self._finish_stream(entry)
        self._line.clear()
        self.cut, self._large_open = self._large_open, 0

    # ---- credit that is due

    def _mark(self, entry: RecvEntry | StreamEntry) -> None:
        if not entry.due:
            entry.due = True
            self._due.append(entry)

    def _flush_credit(self) -> None:
        if self._descriptors_owed:
            self._control(frames.Credit(0, self._descriptors_owed, 0, 0))
            self._descriptors_back += self._descriptors_owed
            self._descriptors_owed = 0
        due, self._due = self._due, []
        for entry in due:
            if isinstance(entry, RecvEntry):
                self._write_credit(entry)
            elif isinstance(entry, StreamEntry):
                self._write_stream_credit(entry)

    # ---- descriptors

    def descriptors_released(self, count: int = 1) -> None:
        """The application has taken or dropped so many descriptors that arrived (CR-16)."""
        self._descriptors_owed += count

    def _bind_descriptor(self) -> int:
        """The number of the next descriptor that arrives, for an attachment that names one (AT-16)."""
        held = self._descriptors_bound - self._descriptors_back
        missing = self._counts_descriptors and self._descriptors_bound >= self._descriptors_arrived
        if held >= self.limits.max_descriptors or missing:
            raise Misbehaviour("a descriptor that was not granted or did not come", codes.DESCRIPTORS)
        self._descriptors_bound += 1
        return self._descriptors_bound - 1

    def _on_descriptor_credit(self, credit: frames.Credit) -> None:
        if credit.taken > self._descriptors_out:
            raise Misbehaviour("more descriptors given back than sent", codes.FLOW_CONTROL)
        self._descriptors_out -= credit.taken
        self.descriptor_credit += credit.taken
        waiters, self._descriptor_waiters = self._descriptor_waiters, []
        for entry in waiters:
            self.events.append(Event(WRITABLE, entry))

    _HANDLERS: dict[int, Callable[..., None]] = {}


Machine._HANDLERS = {
    frames.HELLO: Machine._on_hello,
    frames.OPEN: Machine._on_open,
    frames.MESSAGE: Machine._on_message,
    frames.FRAGMENT: Machine._on_fragment,
    frames.CREDIT: Machine._on_credit,
    frames.CLOSE: Machine._on_close,
    frames.CANCEL: Machine._on_cancel,
    frames.DATA: Machine._on_data,
    frames.END: Machine._on_end,
    frames.STOP: Machine._on_stop,
    frames.PING: Machine._on_ping,
    frames.PONG: Machine._on_pong,
    frames.GOODBYE: Machine._on_goodbye,
}
