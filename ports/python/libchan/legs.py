"""Where a channel meets a session: `Inlet`, a sending end at the peer, and `Outlet`, a receiving end at the peer.

`bind` gives what a message carries its place on the session, `unbind` makes handles of what arrived.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Deque

from . import values
from .channel import Core, Item, Parcel
from .ends import Receiver, Sender
from .errors import (
    CutShort,
    Disconnected,
    Limit,
    NotPumpable,
    SendError,
    TooLarge,
    TooManyAttachments,
    why_closed,
)
from .proto import codes, frames
from .proto.entries import Attachment, Entry, RecvEntry, SendEntry, StreamEntry
from .proto.errors import NO_REASON, OpenError, Reason
from .proto.frames import SCOPE_CHANNEL, SCOPE_END
from .proto.messages import Parts, charge
from .untaken import Untaken

if TYPE_CHECKING:
    from .engine import Engine


class Inlet:
    """Messages that arrive for a core: its sending end is at the peer of a session."""

    def __init__(self, engine: Engine, entry: RecvEntry, core: Core) -> None:
        self.engine = engine
        self.entry = entry
        self.core = core
        #: Handed on, and not taken.
        self.out = 0
        self.ended = False
        #: The message that took its sending end away may be served to another receiver: that it was dropped unread at
        #: one of them says nothing yet, and nothing at all if it was.
        self.tentative = False
        self._withdrawn = False
        entry.user = self
        core.inlets.append(self)

    def next_item(self, held: bool = False) -> Item | None:
        """The next message. ``held``: it is not handed on yet, and its bytes stay charged until it is taken."""
        parcel = self.engine.machine.next_parcel(self.entry)
        if parcel is None:
            return None
        self.out += 1
        ends = [unbind(self.engine, attachment) for attachment in parcel.attachments]
        item = Item(self.core, None, Parcel(parcel.codec, parcel.payload, ends, parcel.flaw, headers=parcel.headers))
        item.source = self
        if held:
            item.charge = parcel.charge
        else:
            # The bytes are free here; the message counts until it is taken, wherever that is (CR-02).
            self.engine.machine.taken(self.entry, 0, parcel.charge)
            self.engine.kick()
        if not self.entry.inbox and self.entry.closed:
            self.engine.loop.call_soon(self.check_end)
        return item

    def drain(self) -> list[Item]:
        items = []
        while item := self.next_item(held=True):
            items.append(item)
        return items

    def taken(self, charge: int = 0) -> None:
        self.out -= 1
        if not self.entry.finished:
            # The last one of a channel that was closed meanwhile also answers the CLOSE.
            self.engine.machine.taken(self.entry, 1, charge)
            self.engine.kick()

    def fail(self, error: SendError) -> None:
        """A message was handed on, and nobody will take it."""
        self.out -= 1
        self._answer()

    def want(self, waiting: int) -> None:
        self.engine.machine.want(self.entry, waiting)
        self.engine.kick()

    def on_readable(self) -> None:
        """Messages have arrived, or the end."""
        if self.entry.closed and self.core.capacity == 0 and self.engine.machine.over:
            # A rendezvous that nobody has taken did not happen.
            for parcel in self.entry.inbox:
                self.engine.machine.reject_all(parcel.attachments)
            self.entry.inbox.clear()
        self.core.pump()
        self.check_end()

    def check_end(self) -> None:
        """The sending end has closed and everything was taken out of the inbox."""
        entry = self.entry
        if self.ended or not entry.closed or entry.inbox or entry.holds:
            return
        if self.tentative and entry.close_reason.code == codes.NOT_DELIVERED:
            return
        self.ended = True
        if self in self.core.inlets:
            self.core.inlets.remove(self)
        self._answer()
        self.core.cause = self.core.cause or self.engine.over_error()
        self.core.source_ended(entry.close_scope, NO_REASON if self._withdrawn else entry.close_reason)
        self.core.pump()

    def decide(self, withdrawn: bool) -> None:
        """The message that took its sending end away was taken, or is ``withdrawn``: it goes to another."""
        self.tentative, self._withdrawn = False, withdrawn
        self.check_end()

    def _answer(self) -> None:
        # The machine does it when all was taken; here is what nobody will take.
        if self.ended and self.out == 0:
            self.engine.machine.cancel(self.entry)
            self.engine.kick()

    def cancel(self, scope: int, reason: Reason) -> None:
        """Nobody here takes any more."""
        self.ended = True
        if self in self.core.inlets:
            self.core.inlets.remove(self)
        self.engine.machine.cancel(self.entry, scope, reason)
        self.engine.kick()

    def leave(self) -> None:
        """The session is closing: what nobody has taken is given back, and the peer is told how much was."""
        if self.ended:
            return
        dropped = [item for item in self.core.queue if item.source is self]
        for item in dropped:
            self.core.queue.remove(item)
            if item.parcel is not None:
                item.parcel.drop()
        reason = Reason(codes.SESSION_CLOSED)
        self.cancel(SCOPE_END, reason)
        self.core.source_ended(SCOPE_END, reason)
        self.core.pump()

    def on_rejected(self) -> None:
        """The message that brought the receiving end was dropped."""
        self.core.receivers_gone(SCOPE_END, Reason(codes.NOT_DELIVERED))


class Outlet:
    """Messages that leave a core: its receiving end is at the peer of a session."""

    def __init__(self, engine: Engine, entry: SendEntry, core: Core) -> None:
        self.engine = engine
        self.entry = entry
        self.core = core
        #: Sent, and not known to be taken.
        self.flight: Deque[Item] = deque()
        #: Waits for its turn, or for credit for its bytes or descriptors.
        self.pending: Item | None = None
        self.cancelled = False
        entry.user = self
        core.outlets.append(self)

    # ---- what the core asks

    def is_ready(self) -> bool:
        self.entry.sole = self.core.is_sole()
        return self.pending is None and self.engine.machine.blocked(self.entry) is None

    def demand(self) -> int:
        return 0 if self.entry.cancelled or self.entry.closing else self.entry.demand()

    def encode(self, value: Any) -> Parcel:
        """The parcel of a value that is sent here; the ends in the value are moved into it."""
        codec = self.engine.machine.codecs[0]
        payload, collector = values.encode(value, codec)
        self._check(len(payload), len(collector))
        return Parcel(codec, payload, collector.move(), collector=collector)

    def _check(self, size: int, count: int) -> None:
        limits = self.engine.machine.limits
        if size > limits.max_message:
            raise TooLarge(f"the message has {size} bytes, the session allows {limits.max_message} (max_message)")
        if count > limits.max_attachments:
            raise TooManyAttachments(
                f"the message carries {count} attachments, the session allows {limits.max_attachments}"
            )

    def ship(self, item: Item) -> None:
        """Sends a message, or says in its place why it cannot be sent."""
        try:
            if item.parcel is None:
                item.parcel, item.value = self.encode(item.value), None
            parcel = item.parcel
            self._check(len(parcel.payload), len(parcel.ends))
            passed = count_descriptors(self.engine, parcel.ends)
            cost = charge(len(parcel.payload), len(parcel.ends), len(parcel.headers))
            if self.engine.machine.blocked(self.entry, passed, cost):
                if passed > self.engine.machine.limits.max_descriptors:
                    raise Limit("more descriptors than the session allows in all (max_descriptors)")
                self.pending = item
                return
            order = self._bind(item, parcel)
        except SendError as error:
            self._refuse(item, error)
            return
        parcel.settle()
        item.fresh = False
        self._send(item, Parts(parcel.codec, parcel.payload, order, parcel.flaw, headers=parcel.headers))

    def _send(self, item: Item, parts: Parts) -> None:
        self.flight.append(item)
        self.engine.machine.send(self.entry, parts)
        self.engine.kick()

    def _bind(self, item: Item, parcel: Parcel) -> list[Entry | int]:
        """Gives what the message carries its places on the session, and keeps what it needs to go to another receiver
        should this one leave it untaken."""
        if self.core.is_sole():
            order = bind(self.engine, parcel.ends)
            parcel.ends, item.parcel = [], None
            return order
        untaken = Untaken(self.engine, parcel.ends)
        try:
            order = bind(self.engine, parcel.ends, untaken)
        except SendError:
            untaken.forget()
            raise
        parcel.ends, item.untaken = untaken.ends, untaken
        return order

    def _refuse(self, item: Item, error: SendError) -> None:
        if item.fresh:
            item.fail(error)
            return
        if item.parcel is not None:
            item.parcel.drop(Reason(codes.NOT_DELIVERED, str(error)))
        flaw = frames.NOT_ENCODED if item.source is None else frames.NOT_FORWARDED
        self._send(item, Parts(self.engine.machine.codecs[0], frames.cut_text(str(error)), (), flaw))

    # ---- what the machine reports

    def on_taken(self, count: int) -> None:
        for _ in range(min(count, len(self.flight))):
            self._settle(self.flight.popleft())
        self.core.pump()

    def _settle(self, item: Item) -> None:
        item.taken()
        untaken, item.untaken = item.untaken, None
        if untaken is not None:
            untaken.taken()

    def on_writable(self) -> None:
        if self.entry.cancelled is not None:
            if not self.cancelled:
                self.cancelled = True
                self._cancelled(self.entry.cancelled)
            return
        if self.pending is not None:
            item, self.pending = self.pending, None
            self.ship(item)
        self.core.pump()

    def _cancelled(self, reason: Reason) -> None:
        """The receiver is gone; what it has not taken is another's, if there is one."""
        # One that leaves in good order says what it has taken; of all others that is not known.
        lost = reason.code == codes.DISCONNECTED or self.entry.lost
        core = self.core
        core.cause = core.cause or self.engine.over_error()
        if self.entry.lost or reason.code == codes.SESSION_CLOSED:
            self.engine.unsent += self.has_unsent()
        if reason.code == codes.GOING_AWAY:
            self.engine.peer_is_going()
        left, pending = list(self.flight), self.pending
        self.flight.clear()
        self.pending = None
        self.close(SCOPE_END, NO_REASON)
        for item in left:
            self._give_up(item, reason, lost)
        if self.entry.cancel_scope == SCOPE_CHANNEL or (core.receivers == 0 and not core.outlets):
            self._fail(left, pending, reason, lost)
            core.receivers_gone(self.entry.cancel_scope, reason)
        elif core.gone is not None:
            self._fail(left, pending, reason, lost)
            core.pump()
        else:
            # What cannot go to another is lost, or was sent when there was no other.
            self._fail([item for item in left if item.parcel is None and item.done is not None], None, reason, lost)
            for item in left:
                if item.parcel is None and item.done is None:
                    item.taken()
            again = [item for item in left if item.parcel is not None] + ([pending] if pending else [])
            core.queue.extendleft(reversed(again))
            core.pump()

    @staticmethod
    def _give_up(item: Item, reason: Reason, lost: bool) -> None:
        """A message that this receiver will not take. ``lost``: or that it has taken, which nobody knows."""
        untaken, item.untaken = item.untaken, None
        if untaken is None:
            return
        if lost:
            untaken.lose(reason)
            item.parcel = None
        else:
            untaken.withdraw()

    @staticmethod
    def _fail(left: list[Item], pending: Item | None, reason: Reason, lost: bool) -> None:
        """Messages that nobody will take: those that had left, and the one that had not."""
        error: SendError = why_closed(reason)
        if lost and reason.code == codes.DISCONNECTED:
            error = Disconnected("the link was lost after the message had left", True)
        elif isinstance(error, CutShort):
            error.outcome_unknown = lost
        for item in left:
            item.fail(error)
        if pending is not None:
            pending.fail(why_closed(reason))

    # ---- ending

    def close(self, scope: int, reason: Reason) -> None:
        """The channel has ended for this receiver, after what was sent."""
        if self in self.core.outlets:
            self.core.outlets.remove(self)
        self.engine.machine.close(self.entry, scope, reason)
        if self.entry.finished and not self.cancelled:
            # Where the peer gave the id it tells no more what it takes.
            while self.flight:
                self._settle(self.flight.popleft())
        self.engine.kick()

    def has_unsent(self) -> bool:
        """Whether something that was accepted, and can go nowhere else, has not left."""
        if self.entry.large or (self.pending is not None and not self.pending.fresh):
            return True
        elsewhere = self.core.receivers > 0 or len(self.core.outlets) > 1
        return not elsewhere and any(item.counted or item.source is not None for item in self.core.queue)


# ---- attachments


def count_descriptors(engine: Engine, ends: list[Any]) -> int:
    from .fd import Fd

    return sum(isinstance(end, Fd) and engine.passes_descriptors for end in ends)


def bind(engine: Engine, ends: list[Any], untaken: Untaken | None = None) -> list[Entry | int]:
    """Gives the ends of a message their entries on the session. All of them, or it raises and nothing has changed.
    ``untaken``: what is kept of a message that may go to another receiver."""
    from .fd import Fd

    machine = engine.machine
    order: list[Entry | int] = []
    try:
        for end in ends:
            if isinstance(end, Sender):
                core = end._core
                order.append(machine.allocate(frames.SENDER, core.capacity, waiting=core.demand()))
            elif isinstance(end, Receiver):
                core = end._core
                shared = core.receivers > 1 or bool(core.outlets)
                order.append(machine.allocate(frames.RECEIVER, core.capacity, on_demand=shared))
            elif isinstance(end, Fd) and engine.passes_descriptors:
                order.append(-1)
            else:
                if isinstance(end, Fd):
                    end._check_pumpable()
                order.append(machine.allocate(frames.STREAM))
    except (OpenError, NotPumpable) as error:
        for entry in order:
            if not isinstance(entry, int):
                machine.abandon(entry)
        if isinstance(error, NotPumpable):
            raise
        raise Limit(f"a channel or stream in the message cannot be opened: {error}") from None
    for at, end in enumerate(ends):
        entry = order[at]
        if isinstance(entry, int):
            order[at] = engine.post_descriptor(end)
        elif isinstance(end, Sender):
            assert isinstance(entry, RecvEntry)
            inlet = Inlet(engine, entry, end._core)
            if untaken is not None:
                untaken.add_inlet(inlet)
            end._end(NO_REASON)
        elif isinstance(end, Receiver):
            assert isinstance(entry, SendEntry)
            Outlet(engine, entry, end._core)
            end._end(NO_REASON)
        elif untaken is not None:
            assert isinstance(entry, StreamEntry)
            untaken.add_stream(entry, end)
        else:
            engine.attach_stream(entry, end)
    return order


def unbind(engine: Engine, attachment: Attachment) -> Any:
    """The handle of what came with a message."""
    entry = attachment.entry
    if attachment.kind == frames.SENDER:
        assert isinstance(entry, SendEntry)
        core = Core(entry.capacity)
        core.loop = engine.loop
        Outlet(engine, entry, core)
        return Sender(core)
    if attachment.kind == frames.RECEIVER:
        assert isinstance(entry, RecvEntry)
        return Receiver(inlet_of(engine, entry).core)
    if attachment.kind == frames.SENDER_HOME:
        return _come_home(engine, entry)
    if attachment.kind == frames.DESCRIPTOR:
        return engine.take_descriptor(attachment.number)
    return engine.stream_of(entry)


def _come_home(engine: Engine, entry: Entry | None) -> Sender[Any]:
    """A sending end of a channel whose receiving end is here, or was."""
    if not isinstance(entry, RecvEntry):
        core = Core(1)
        core.gone = NO_REASON
        return Sender(core)
    inlet = inlet_of(engine, entry)
    sender: Sender[Any] = Sender(inlet.core)
    # What it has sent from away goes before what it will send from here.
    inlet.core.queue.extend(inlet.drain())
    engine.machine.release_hold(entry)
    return sender


def inlet_of(engine: Engine, entry: RecvEntry) -> Inlet:
    """The inlet of a receiving end that the peer has announced, made when it is asked for first."""
    if entry.user is None:
        core = Core(entry.capacity)
        core.loop = engine.loop
        made = Inlet(engine, entry, core)
        engine.machine.accept(entry)
        if entry.cancelled and not made.ended and not entry.closed:
            # The session has left, or drains: nobody had received the channel by then.
            made.ended = True
            core.inlets.remove(made)
            core.source_ended(SCOPE_END, entry.close_reason)
        elif entry.closed:
            engine.loop.call_soon(made.on_readable)
    inlet: Inlet = entry.user
    return inlet
