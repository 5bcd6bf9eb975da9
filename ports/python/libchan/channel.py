"""Channels: what every end of one shares in this process, and the two ends a program holds.

A core has sources (values sent here, and `Inlet`s: sending ends at a peer) and consumers (receives that wait here, and
`Outlet`s: receiving ends at a peer). `pump` brings them together. Nothing is encoded before an outlet takes it, and a
relay is nothing but a core with an inlet and an outlet.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Deque, TypeVar

from . import values
from .errors import (
    BySender,
    Disconnected,
    EndOfChannel,
    LibchanError,
    SendError,
    SessionClosed,
    SessionError,
    why_closed,
    why_ended,
)
from .proto import codes
from .proto.errors import NO_REASON, Reason
from .proto.frames import SCOPE_CHANNEL, SCOPE_END

if TYPE_CHECKING:
    from .legs import Inlet, Outlet
    from .untaken import Untaken
    from .values import Collector

AnyError = TypeVar("AnyError", bound=LibchanError)

DEFAULT_CAPACITY = 64
#: The message that held an end was dropped unread.
_NOT_DELIVERED = Reason(codes.NOT_DELIVERED)


class Parcel:
    """An encoded message: a payload in some codec and the handles of what it carries."""

    __slots__ = ("codec", "payload", "ends", "flaw", "collector", "headers")

    def __init__(
        self,
        codec: int,
        payload: bytes,
        ends: list[Any],
        flaw: int = 0,
        collector: Any = None,
        headers: bytes = b"",
    ) -> None:
        self.codec = codec
        self.payload = payload
        self.ends = ends
        self.flaw = flaw
        #: What came beside the payload; a relay passes it on.
        self.headers = headers
        #: Until the message is accepted for good: gives the ends back to the value they were taken from.
        self.collector: Collector | None = collector

    def settle(self) -> None:
        """The message is accepted: its value has lost its ends."""
        if self.collector is not None:
            self.collector.settle()
            self.collector = None

    def drop(self, reason: Reason = _NOT_DELIVERED) -> None:
        """Nobody will claim what it carries. If it was not accepted yet, its value has its ends again."""
        if self.collector is not None:
            self.collector.undo()
            self.collector = None
        else:
            for end in self.ends:
                end._end(reason)
        self.ends = []


class Item:
    """A message on its way through a core: a value, or a parcel."""

    __slots__ = ("core", "value", "parcel", "done", "error", "fresh", "counted", "source", "charge", "untaken")

    def __init__(self, core: Core, value: Any = None, parcel: Parcel | None = None, counted: bool = False) -> None:
        self.core = core
        self.value = value
        self.parcel = parcel
        #: Of a rendezvous: resolved when the message was taken.
        self.done: asyncio.Future[None] | None = None
        self.error: SendError | None = None
        #: Its sender can still be told that it was not accepted.
        self.fresh = False
        #: It has a place in the capacity of the core.
        self.counted = counted
        #: What it came from, if it was not sent here: told when it is taken.
        self.source: Inlet | Item | None = None
        #: Bytes of its inlet's window that it still takes.
        self.charge = 0
        #: It was sent, and may go to another receiver.
        self.untaken: Untaken | None = None

    def taken(self, charge: int = 0) -> None:
        """The message is in an application's hands."""
        if self.source is not None:
            self.source.taken(self.charge)
        if self.counted:
            self.core.free_room()
        if self.done is not None and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: SendError) -> None:
        """Nobody will take it."""
        self.error = error
        if self.source is not None:
            self.source.fail(error)
        if self.counted:
            self.core.free_room()
        if self.done is not None and not self.done.done():
            self.done.set_exception(error)
        if self.parcel:
            self.parcel.drop()
        elif self.counted and not self.fresh:
            # It was accepted: nobody has it any more.
            value, self.value = self.value, None
            values.end_all(value, _NOT_DELIVERED)


class Core:
    """What the ends of one channel share in this process."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.queue: Deque[Item] = deque()
        #: Messages sent here and not taken.
        self.untaken = 0
        #: Handles in this process.
        self.senders = 0
        self.receivers = 0
        self.inlets: list[Inlet] = []
        self.outlets: list[Outlet] = []
        self.getters: Deque[asyncio.Future[Item]] = deque()
        self.putters: Deque[asyncio.Future[None]] = deque()
        self.watchers: list[asyncio.Future[None]] = []
        #: How the sending side has ended: scope and reason. What was sent before still goes out.
        self.ending: tuple[int, Reason] | None = None
        #: The first fault of a sender: however the others end, the channel has not ended cleanly (several senders).
        self.first_error: Reason | None = None
        #: Why the receiving side takes no more.
        self.gone: Reason | None = None
        #: Why the session is over on which an end of it was lost.
        self.cause: SessionError | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        #: Sends that were given room and have not gone on yet: none may pass them.
        self._waking = 0
        self._turn = 0
        self._pumping = False

    # ---- sending here

    def refusal(self) -> SendError | None:
        if self.ending is not None:
            return BySender("a sender closed the channel", codes.CLOSED)
        return None if self.gone is None else self._caused(why_closed(self.gone))

    def _caused(self, error: AnyError) -> AnyError:
        """With the error of the session, where this process has seen it end."""
        if isinstance(error, (Disconnected, SessionClosed)):
            error.__cause__ = self.cause
        return error

    async def room(self) -> None:
        """Waits for room for one message, and takes it."""
        refusal = self.refusal()
        if refusal:
            raise refusal
        if self.has_room():
            self.untaken += 1
            return
        self.loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = self.loop.create_future()
        self.putters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self.putters:
                self.putters.remove(waiter)
            elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._waking -= 1
                self.free_room()
            raise
        self._waking -= 1
        # Who came while this one was on its way stood behind it, though there was room.
        self._wake_putters()
        refusal = self.refusal()
        if refusal:
            self.free_room()
            raise refusal

    def has_room(self) -> bool:
        """Whether a message may be sent now, and passes nobody."""
        return self.untaken < self.capacity and not self.putters and not self._waking

    def free_room(self) -> None:
        """A message that had a place in the capacity was taken, or is no more."""
        self.untaken -= 1
        self._wake_putters()

    def _wake_putters(self) -> None:
        while self.putters and self.untaken < self.capacity and self.gone is None:
            waiter = self.putters.popleft()
            if not waiter.done():
                self.untaken += 1
                self._waking += 1
                waiter.set_result(None)

    def put(self, item: Item) -> None:
        """Accepts a message, or raises why it cannot be."""
        item.fresh = item.source is None
        self.queue.append(item)
        self.pump()
        item.fresh = False
        if item.error is not None:
            raise item.error
        if item.parcel is not None:
            item.parcel.settle()

    def withdraw(self, item: Item) -> bool:
        """The sender gives up. False: the message has left, and may still be taken."""
        if item in self.queue:
            self.queue.remove(item)
            return True
        for outlet in self.outlets:
            if outlet.pending is item:
                outlet.pending = None
                return True
        return False

    # ---- bringing sources and consumers together

    def demand(self) -> int:
        """Receives that wait now, here and at the far ends of outlets."""
        return len(self.getters) + sum(outlet.demand() for outlet in self.outlets)

    def pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._step():
                pass
            self._check_end()
        finally:
            self._pumping = False
        waiting = self.demand()
        for inlet in self.inlets:
            inlet.want(waiting)

    def _step(self) -> bool:
        """One message from a source to a consumer. False: there is none of one of them."""
        self._drop_dead_getters()
        if not self.queue and not any(inlet.entry.inbox for inlet in self.inlets):
            return False
        outlet = next((outlet for outlet in self.outlets if outlet.is_ready()), None)
        if not self.getters and outlet is None:
            return False
        item = self._next_item()
        if item is None:
            return False
        if outlet is None or (self.getters and self._turn % 2 == 0):
            self.getters.popleft().set_result(item)
        else:
            # Competing receivers take turns.
            self.outlets.remove(outlet)
            self.outlets.append(outlet)
            outlet.ship(item)
        self._turn += 1
        return True

    def _drop_dead_getters(self) -> None:
        while self.getters and self.getters[0].done():
            self.getters.popleft()

    def _next_item(self) -> Item | None:
        if self.queue:
            return self.queue.popleft()
        for inlet in list(self.inlets):
            item = inlet.next_item()
            if item is not None:
                # Several senders take turns.
                self.inlets.remove(inlet)
                self.inlets.append(inlet)
                return item
        return None

    def take_now(self) -> Item | None:
        """A message for a receive that would otherwise wait."""
        self._drop_dead_getters()
        return None if self.getters else self._next_item()

    def give_back(self, item: Item) -> None:
        """A receive was given up after it had been handed a message."""
        self.queue.appendleft(item)
        self.pump()

    # ---- the sending side ends

    def release_sender(self, reason: Reason) -> None:
        """A handle was given up. ``reason``: what its holder says; a fault sticks."""
        self.senders -= 1
        self.note_fault(reason)
        self.pump()

    def note_fault(self, reason: Reason) -> None:
        if reason.code != codes.NONE:
            self.first_error = self.first_error or reason

    def close(self, scope: int, reason: Reason) -> None:
        """Ends the channel for every sender; what was sent still goes out."""
        if self.ending is not None or self.gone is not None:
            return
        for inlet in list(self.inlets):
            self.queue.extend(inlet.drain())
        self.ending = (scope, reason if reason.code else self.first_error or reason)
        for inlet in list(self.inlets):
            inlet.cancel(SCOPE_CHANNEL, Reason(codes.CLOSED))
        self._fail_putters(BySender("a sender closed the channel", codes.CLOSED))
        if self.capacity == 0:
            # Sends that wait were not accepted.
            for item in [item for item in self.queue if item.source is None]:
                self.queue.remove(item)
                item.fail(BySender("a sender closed the channel", codes.CLOSED))
        self.pump()

    def source_ended(self, scope: int, reason: Reason) -> None:
        """An inlet has ended, and all that came through it was taken out of it."""
        if scope == SCOPE_CHANNEL:
            self.close(scope, reason)
        else:
            self.note_fault(reason)

    def _check_end(self) -> None:
        if self.ending is None and self.senders == 0 and not self.inlets and self.gone is None:
            self.ending = (SCOPE_END, self.first_error or NO_REASON)
            self._wake_watchers()
        if self.ending is None or self.queue or self.gone is not None or any(out.pending for out in self.outlets):
            return
        shared = len(self.outlets) + self.receivers > 1
        if (shared or self.capacity == 0) and any(outlet.flight for outlet in self.outlets):
            # A message that one receiver leaves untaken is another's.
            return
        for outlet in list(self.outlets):
            outlet.close(*self.ending)
        while self.getters:
            getter = self.getters.popleft()
            if not getter.done():
                getter.set_exception(self._caused(why_ended(self.ending[1])))

    def has_ended(self) -> LibchanError | None:
        """What a receive finds when no message waits: the end, or None if more may come."""
        if self.gone is not None:
            return EndOfChannel("the channel was closed here")
        if self.ending is None or self.queue or any(outlet.flight for outlet in self.outlets):
            return None
        return self._caused(why_ended(self.ending[1]))

    # ---- the receiving side ends

    def release_receiver(self, reason: Reason) -> None:
        """A handle was given up. What its holder says counts if it was the last."""
        self.receivers -= 1
        if self.receivers == 0 and not self.outlets:
            self.receivers_gone(SCOPE_END, reason)
        else:
            self.pump()

    def receivers_gone(self, scope: int, reason: Reason) -> None:
        """Nobody takes any more: what waits is dropped, and sends fail with the reason."""
        if self.gone is not None:
            return
        self.gone = reason
        for outlet in list(self.outlets):
            outlet.close(SCOPE_CHANNEL, Reason(codes.CLOSED))
        self.outlets.clear()
        error = why_closed(reason)
        self._fail_putters(error)
        while self.queue:
            self.queue.popleft().fail(error)
        for inlet in list(self.inlets):
            inlet.cancel(scope, reason)
        while self.getters:
            getter = self.getters.popleft()
            if not getter.done():
                getter.set_exception(EndOfChannel("the channel was closed here"))
        self._wake_watchers()

    def _fail_putters(self, error: SendError) -> None:
        while self.putters:
            waiter = self.putters.popleft()
            if not waiter.done():
                waiter.set_exception(error)
        self._wake_watchers()

    def _wake_watchers(self) -> None:
        for waiter in self.watchers:
            if not waiter.done():
                waiter.set_result(None)
        self.watchers.clear()

    def is_sole(self) -> bool:
        """Whether a single outlet is the only receiver."""
        return self.receivers == 0 and len(self.outlets) == 1
