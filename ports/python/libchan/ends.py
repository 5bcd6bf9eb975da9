"""The two ends of a channel that a program holds: `Sender` and `Receiver`, and `pipe`, which makes them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Callable, Generic, TypeVar, cast

from . import values
from .channel import DEFAULT_CAPACITY, Core, Item
from .errors import (
    AttachmentInUse,
    CallError,
    EndOfChannel,
    LibchanError,
    NotEncoded,
    NotForwarded,
    RecvError,
    SendError,
    app_reason,
    panicked,
)
from .proto import codes
from .proto.errors import NO_REASON, Reason
from .proto.frames import NOT_ENCODED, SCOPE_CHANNEL
from .proto.limits import MAX_COUNT

if TYPE_CHECKING:
    from .must_finish import MustFinish
    from .oneshot import OneshotSender

T = TypeVar("T")


class _End(values.Attachable, Generic[T]):
    """A handle of one end. It is given up by `drop`, by ``with``, and by being moved into a message.

    A clean end is said by the program alone: where an exception leaves ``with``, the other side sees `Panicked`, and
    what the garbage collector finds is `Abandoned`."""

    _shared = True
    __slots__ = ("_core", "_open", "_type", "__weakref__")

    def __init__(self, core: Core, type: Any = None) -> None:
        self._core = core
        self._open = True
        self._type = type
        self._count(1)

    def _count(self, by: int) -> None:
        raise NotImplementedError

    def _release(self, reason: Reason) -> None:
        raise NotImplementedError

    def _identity(self) -> tuple[Any, ...]:
        return (isinstance(self, Sender), id(self._core))

    def _is_usable(self) -> bool:
        return self._open

    def _need_open(self) -> Core:
        if not self._open:
            name = type(self).__name__
            raise AttachmentInUse(
                f"this {name} was dropped, or was moved into a message: clone() it before, to keep one"
            )
        return self._core

    def _move(self) -> Any:
        return self._become(type(self))

    def _become(self, kind: Any) -> Any:
        """A handle of this kind that takes the place of this one, which is spent."""
        twin = kind.__new__(kind)
        twin._core, twin._open, twin._type = self._need_open(), True, self._type
        self._open = False
        return twin

    def _restore(self, twin: Any) -> None:
        self._open, twin._open = True, False

    def _again(self, handle: Any) -> Any:
        return type(self)(handle._need_open())

    def clone(self) -> Any:
        """One more handle of the same end. Receivers of one channel compete; each message goes to one of them."""
        return type(self)(self._need_open(), self._type)

    def drop(self) -> None:
        """Gives up this handle: what dropping is in Rust. When it was the last of its side, the channel ends, cleanly
        if all of them were given up so."""
        self._end(NO_REASON)

    def _end(self, reason: Reason) -> None:
        if self._open:
            self._open = False
            self._release(reason)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self.drop()
        else:
            self._end(panicked(kind))

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.__exit__(kind, error, trace)

    #: What the garbage collector says of an end that it finds: it never says a clean end.
    _garbage = Reason(codes.ABANDONED)

    def __del__(self) -> None:
        if not getattr(self, "_open", False):
            return
        self._open = False
        loop = self._core.loop
        # Garbage is found anywhere, in the middle of anything and in any thread: it is told later.
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._release, self._garbage)
        elif loop is None:
            self._release(self._garbage)

    def __repr__(self) -> str:
        state = "" if self._open else " (moved or dropped)"
        return f"<{type(self).__name__} of a channel of capacity {self._core.capacity}{state}>"


class Sender(_End[T]):
    """The sending end of a channel.

    It may be put into a message, at any depth; it is moved then. `clone` it before, to keep one.
    """

    __slots__ = ()

    def _converts_to(self, wanted: type) -> bool:
        return issubclass(wanted, Sender)

    def _convert(self, wanted: type) -> Any:
        return self._become(wanted)

    def _convert_back(self, made: Any) -> None:
        self._restore(made)

    def must_finish(self) -> MustFinish[T]:
        """Takes the place of this handle, and ends cleanly by `MustFinish.finish` alone: for what must not look
        complete before it is. This handle is spent."""
        from .must_finish import MustFinish

        return cast("MustFinish[T]", self._become(MustFinish))

    def _count(self, by: int) -> None:
        self._core.senders += by

    def _release(self, reason: Reason) -> None:
        self._core.release_sender(reason)

    @property
    def capacity(self) -> int:
        """How many messages may be sent and not taken; 0 is a rendezvous."""
        return self._core.capacity

    async def send(self, value: T) -> None:
        """Sends a value, and waits for room; with capacity 0, until a receiver has taken it.

        Channel ends, streams and descriptors in the value are moved. Raises a `SendError`; the value is then as it was,
        unless it is `Disconnected` with ``outcome_unknown``. Cancelling a send that waits for room sends nothing; a
        rendezvous that has left may still be taken.
        """
        core = self._need_open()
        # The handle may be dropped or moved meanwhile: the channel does not end before this send has.
        core.senders += 1
        try:
            if core.capacity == 0:
                await _meet(core, value)
            else:
                await core.room()
                core.put(encoded(core, Item(core, value, counted=True)))
        finally:
            core.senders -= 1
            if core.senders == 0:
                core.pump()

    def try_send(self, value: T) -> bool:
        """Sends a value if there is room now; False if there is none. For a rendezvous: if a receiver waits."""
        core = self._need_open()
        refusal = core.refusal()
        if refusal:
            raise refusal
        if not (core.has_room() if core.capacity else core.demand() > len(core.queue)):
            return False
        core.untaken += core.capacity > 0
        core.put(encoded(core, Item(core, value, counted=core.capacity > 0)))
        return True

    async def call(
        self, make: Callable[[OneshotSender[Any]], T], *, timeout: float | None = None, type: Any = None
    ) -> Any:
        """Sends a request with a channel for its reply, and waits for the reply.

        ``make`` gets the sending end of a oneshot and gives the request: ``await jobs.call(lambda reply: Job("x",
        reply))``. ``type``: what the reply is made into. ``timeout``: in seconds, for all of it. Raises `CallError`,
        whose ``is_safe_to_retry`` says whether the request may have been seen. Cancelling it tells the handler, which
        sees it by ``reply.closed()``.
        """
        from .oneshot import oneshot

        reply, answer = oneshot(type)
        sent = False
        try:
            value = make(reply)

            async def both() -> Any:
                nonlocal sent
                await self.send(value)
                sent = True
                return await answer

            return await asyncio.wait_for(both(), timeout)
        except (SendError, RecvError, asyncio.TimeoutError) as error:
            why = error if isinstance(error, LibchanError) else TimeoutError(f"nothing within {timeout} seconds")
            # A rendezvous that was given up may have left.
            raise CallError(why, sent, self._core.capacity == 0 and why is not error) from error
        finally:
            answer.drop()
            if not sent:
                # Else it is the handler's, in this process the very object.
                reply._end(NO_REASON)

    def close(self) -> None:
        """Ends the channel for every sender: receivers drain it and then see the clean end."""
        if self._open:
            self._core.close(SCOPE_CHANNEL, NO_REASON)

    def close_with(self, code: int, text: str = "") -> None:
        """Ends the channel for every sender: receivers drain it and then see `Remote` with this code and text."""
        reason = app_reason(code, text)
        self._need_open().close(SCOPE_CHANNEL, reason)

    def is_closed(self) -> bool:
        """Whether the channel takes no more messages."""
        return not self._open or self._core.refusal() is not None

    async def closed(self) -> SendError:
        """Waits until the channel takes no more, and says why."""
        core = self._need_open()
        while True:
            refusal = core.refusal()
            if refusal:
                return refusal
            core.loop = asyncio.get_running_loop()
            waiter: asyncio.Future[None] = core.loop.create_future()
            core.watchers.append(waiter)
            await waiter


def encoded(core: Core, item: Item) -> Item:
    """A channel with a remote receiver encodes at once, so that the sender is told what does not encode."""
    item.fresh = True
    if core.outlets:
        try:
            item.parcel, item.value = core.outlets[0].encode(item.value), None
        except BaseException as error:
            item.fail(error)  # type: ignore[arg-type]
            raise
    return item


async def _meet(core: Core, value: Any) -> None:
    """A send with capacity 0: completes when a receiver has the value."""
    refusal = core.refusal()
    if refusal:
        raise refusal
    item = Item(core, value)
    item.fresh = True
    core.loop = asyncio.get_running_loop()
    item.done = core.loop.create_future()
    core.queue.append(item)
    core.pump()
    try:
        await item.done
    except asyncio.CancelledError:
        if core.withdraw(item) and item.parcel is not None:
            # The value has its ends again.
            item.parcel.drop()
        raise


class Receiver(_End[T]):
    """The receiving end of a channel. ``async for`` takes messages until the clean end.

    It may be put into a message, at any depth; it is moved then. Several receives, by clones or by tasks, compete.
    """

    __slots__ = ()

    def _count(self, by: int) -> None:
        self._core.receivers += by

    def _release(self, reason: Reason) -> None:
        self._core.release_receiver(reason)

    async def recv(self) -> T:
        """The next message. Raises `EndOfChannel` at the clean end, else a `RecvError`; if its ``is_end`` is false,
        only one message was lost. Cancelling it loses nothing."""
        core = self._need_open()
        item = await _next(core)
        return cast(T, self._open_item(item))

    def try_recv(self) -> T | None:
        """The next message if one waits, else None; raises as `recv`."""
        core = self._need_open()
        item = core.take_now()
        if item is None:
            core.pump()
            ended = core.has_ended()
            if ended:
                raise ended
            return None
        return cast(T, self._open_item(item))

    def _open_item(self, item: Item) -> Any:
        parcel = item.parcel
        item.taken()
        if self._core.outlets or self._core.inlets:
            self._core.pump()
        if parcel is None:
            return item.value
        if parcel.flaw:
            parcel.drop()
            text = parcel.payload.decode("utf-8", "replace")
            raise (NotEncoded if parcel.flaw == NOT_ENCODED else NotForwarded)(text)
        return values.decode(parcel.payload, parcel.codec, parcel.ends, self._type)

    def __aiter__(self) -> Receiver[T]:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.recv()
        except EndOfChannel:
            raise StopAsyncIteration from None

    def close(self) -> None:
        """Refuses what is still to come, for every receiver of the channel: what waits is dropped, sends fail."""
        if self._open:
            self._core.receivers_gone(SCOPE_CHANNEL, NO_REASON)

    def close_with(self, code: int, text: str = "") -> None:
        """The same, and says why: sends fail with `Refused`, this code and text."""
        self._need_open().receivers_gone(SCOPE_CHANNEL, app_reason(code, text))


async def _next(core: Core) -> Item:
    item = core.take_now()
    if item is not None:
        return item
    core.pump()
    ended = core.has_ended()
    if ended:
        raise ended
    core.loop = asyncio.get_running_loop()
    getter: asyncio.Future[Item] = core.loop.create_future()
    core.getters.append(getter)
    core.pump()
    try:
        return await getter
    except asyncio.CancelledError:
        if getter.done() and not getter.cancelled() and getter.exception() is None:
            core.give_back(getter.result())
        else:
            if getter in core.getters:
                core.getters.remove(getter)
            core.pump()
        raise


def pipe(capacity: int = DEFAULT_CAPACITY, type: Any = None) -> tuple[Sender[Any], Receiver[Any]]:
    """A channel in this process. Either end may travel. ``type``: what values that come over a link are made into."""
    if not 0 <= capacity <= MAX_COUNT:
        raise ValueError("a capacity is 0 to 2,147,483,647")
    core = Core(capacity)
    return Sender(core), Receiver(core, type)


async def copy(receiver: Receiver[Any], sender: Sender[Any]) -> None:
    """Forwards every message, attachments included, without decoding it, until one of the channels ends; then ends the
    other in the same way. A message counts as taken when it was taken at the far end (CR-02)."""
    source, target = receiver._need_open(), sender._need_open()
    closed = asyncio.ensure_future(sender.closed())
    try:
        while await _forward(source, target, closed):
            pass
    except LibchanError:
        if source.ending is not None:
            # Code and text as they came.
            target.source_ended(*source.ending)
    finally:
        closed.cancel()
        if target.gone is not None:
            source.receivers_gone(SCOPE_CHANNEL, target.gone)
        receiver.drop()
        sender.drop()


async def _forward(source: Core, target: Core, closed: asyncio.Future[Any]) -> bool:
    """One message. False: the target takes no more."""
    counted = target.capacity > 0
    try:
        if counted:
            await target.room()
    except SendError:
        return False
    following = asyncio.ensure_future(_next(source))
    await asyncio.wait({following, closed}, return_when=asyncio.FIRST_COMPLETED)
    if not following.done():
        following.cancel()
        return False
    try:
        item = following.result()
    except LibchanError:
        if counted:
            target.free_room()
        raise
    forwarded = Item(target, item.value, item.parcel, counted)
    forwarded.source = item
    target.put(forwarded)
    return True
