"""Sessions, as a program sees them: opening and accepting channels, closing, and why a session is over."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Tuple, Union

from .channel import DEFAULT_CAPACITY, Core
from .codecs import CODECS, codec_id
from .ends import Receiver, Sender
from .engine import Engine
from .errors import SessionError, app_reason, open_error
from .legs import Outlet, inlet_of
from .link import Link, Peer
from .proto import codes, frames
from .proto.entries import RecvEntry
from .proto.errors import OpenError as ProtoOpenError
from .proto.errors import Reason, SessionOver
from .proto.limits import MAX_COUNT, Limits

#: Metadata as a program gives it: keys and texts or bytes.
Said = Union[Mapping[str, Union[bytes, str]], Iterable[Tuple[str, Union[bytes, str]]]]


@dataclass(frozen=True)
class Options:
    """What both `dial` and `listen` take, beside what belongs to their carrier."""

    #: Said in the hello, before any channel: credentials go here, never into a URL.
    metadata: Said = field(default_factory=dict)
    limits: Limits = Limits()
    #: Names of codecs, the preferred first. The dialer's order holds.
    codecs: tuple[str, ...] = tuple(codec.name for codec in CODECS.values())
    #: How long `Session.close` may take to send what was accepted, and then to hear the peer's goodbye; in seconds.
    close_timeout: float = 5.0


def pairs(metadata: Said) -> frames.Metadata:
    """Metadata as it travels; `ValueError` where a key or value is too long."""
    items = metadata.items() if isinstance(metadata, Mapping) else metadata
    made = tuple((key, value.encode() if isinstance(value, str) else bytes(value)) for key, value in items)
    frames.encode_metadata(made)
    return made


def mapping(metadata: frames.Metadata) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for key, value in metadata:
        found.setdefault(key, value)
    return found


class Incoming:
    """A named channel that the peer has opened: take it with `receive`, or `refuse` it. Dropped, it is refused."""

    def __init__(self, engine: Engine, entry: RecvEntry, name: str, metadata: frames.Metadata) -> None:
        self._engine = engine
        self._entry: RecvEntry | None = entry
        self.name = name
        #: As it came, in order; `metadata` has the first value of each key.
        self.pairs = metadata
        self.metadata = mapping(self.pairs)
        self.capacity = entry.capacity

    def _take(self) -> RecvEntry:
        entry, self._entry = self._entry, None
        if entry is None:
            raise ValueError("this channel was received or refused before")
        return entry

    def receive(self, type: Any = None) -> Receiver[Any]:
        """The receiving end. ``type``: what its values are made into, a dataclass for instance."""
        entry = self._take()
        return Receiver(inlet_of(self._engine, entry).core, type)

    def refuse(self, text: str = "", code: int | None = None) -> None:
        """The peer's sends fail with `Refused` and this text; ``code`` is the application's own."""
        reason = Reason(codes.REFUSED, text) if code is None else app_reason(code, text)
        self._engine.receiver_refused(self._take(), reason)

    def __del__(self) -> None:
        entry = getattr(self, "_entry", None)
        if entry is not None and not self._engine.loop.is_closed():
            reason = Reason(codes.REFUSED, "nobody accepted the channel")
            self._engine.loop.call_soon_threadsafe(self._engine.receiver_refused, entry, reason)


class Session:
    """A connection between two programs that carries many channels. `dial` makes them, and iterating a `Listener`.

    Iterating a session gives the channels that the peer opens. ``async with`` closes it in good order. A session whose
    handle is garbage goes on until the last channel and stream on it has ended.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        engine.handles += 1

    @property
    def metadata(self) -> dict[str, bytes]:
        """What the peer said in its hello."""
        hello = self._engine.machine.peer_hello
        return mapping(hello.metadata) if hello else {}

    @property
    def peer(self) -> Peer:
        """What the carrier knows of the peer."""
        return self._engine.link.peer

    @property
    def limits(self) -> Limits:
        """The limits in force: of each the smaller of both sides'."""
        return self._engine.machine.limits

    # ---- channels

    def open(self, name: str, capacity: int = DEFAULT_CAPACITY, metadata: Said | None = None) -> Sender[Any]:
        """Opens a named channel, of which the peer has the receiving end. No round trip: if the peer refuses it, sends
        fail. Raises `OpenError`."""
        if not 0 <= capacity <= MAX_COUNT:
            raise ValueError("a capacity is 0 to 2,147,483,647")
        try:
            entry = self._engine.machine.open(name, capacity, pairs(metadata or {}))
        except ProtoOpenError as error:
            raise open_error(error) from None
        self._engine.named.add(entry)
        core = Core(capacity)
        core.loop = self._engine.loop
        Outlet(self._engine, entry, core)
        self._engine.kick()
        return Sender(core)

    async def accept(self) -> Incoming | None:
        """The next named channel that the peer opens; None when the session was closed, or drains. Raises
        `SessionError` if it was lost. Cancelling it loses nothing."""
        engine = self._engine
        while True:
            while engine.incoming:
                entry = engine.incoming.popleft()
                opening = engine.machine.take_opening(entry)
                if opening is not None:
                    return Incoming(engine, entry, *opening)
            over = engine.machine.over
            if over is not None and over.kind != SessionOver.CLOSED:
                raise SessionError(over)
            if over is not None or engine.draining:
                return None
            engine.news.clear()
            await engine.news.wait()

    def __aiter__(self) -> Session:
        return self

    async def __anext__(self) -> Incoming:
        incoming = await self.accept()
        if incoming is None:
            raise StopAsyncIteration
        return incoming

    # ---- the end

    async def close(self) -> None:
        """Sends what was accepted, says goodbye and waits for the peer's, within the close timeout. Ends that their own
        side had ended are clean; unfinished ones end as `SessionClosed` on both sides, and messages that were not taken
        here count as not delivered. What still arrives for descriptors that are carried as streams is waited for first.
        Raises `SessionError` if the session was lost before or meanwhile; its kind is ``incomplete`` if it was closed,
        but not all that was accepted had left."""
        if self._engine.carried:
            await asyncio.wait(self._engine.carried, timeout=self._engine.close_timeout)
        self._engine.leave()
        over = await asyncio.shield(self._engine.finished)
        if over.kind != SessionOver.CLOSED:
            raise SessionError(over)

    async def closed(self) -> None:
        """Waits until the session is over; raises `SessionError` unless both sides have said goodbye."""
        over = await asyncio.shield(self._engine.finished)
        if over.kind != SessionOver.CLOSED:
            raise SessionError(over)

    async def flush(self) -> None:
        """Waits until the peer's library has all that was accepted here before the call, what waits for credit
        included. It says nothing of the application there: who wants to know that a request was handled asks for an
        answer. Before it ends a program closes its sessions, which sends all of it too. Raises `SessionError` if the
        session is over before. Cancelling it changes nothing."""
        await self._engine.flush()

    async def drain(self, deadline: float) -> None:
        """Takes no more requests and closes: the named channels that are received here are cancelled, senders see
        `GoingAway`, and requests that nobody has taken come back to them as not delivered. What was taken may be
        answered, for so many seconds; what is unfinished then ends as `SessionClosed`. Raises as `close`."""
        self._engine.drain(deadline)
        await self.closed()

    async def going(self) -> None:
        """Waits until the peer drains, or the session is over: time to send requests elsewhere."""
        await self._engine.going.wait()

    def abort(self) -> None:
        """Ends the session at once: the peer sees a lost link."""
        self._engine.abort()

    async def refuse(self, text: str = "", code: int = 0) -> None:
        """Ends the session and says why: the peer sees a `SessionError` with this text; ``code`` is the application's.
        For a peer whose metadata will not do."""
        self._engine.refuse(app_reason(code, text))
        await asyncio.shield(self._engine.finished)

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None:
            await self.close()
            return
        try:
            await self.close()
        except SessionError:
            pass  # The error that left the block says more.

    def __del__(self) -> None:
        engine = getattr(self, "_engine", None)
        if engine is not None and not engine.loop.is_closed():
            engine.loop.call_soon_threadsafe(_release, engine)


def _release(engine: Engine) -> None:
    engine.handles -= 1
    engine.kick()


async def start(link: Link, dialer: bool, options: Options) -> Session:
    """A session on a link, once both hellos are in. Raises `SessionError`."""
    ids = tuple(codec_id(name) for name in options.codecs)
    engine = Engine(link, dialer, options.limits, ids, pairs(options.metadata), options.close_timeout)
    session = Session(engine)
    try:
        await asyncio.shield(engine.established)
    except asyncio.CancelledError:
        session.abort()
        raise
    return session
