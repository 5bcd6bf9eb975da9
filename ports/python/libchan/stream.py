"""Byte streams: two-way pipes of bytes with half-close, which may travel in messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, AsyncIterator, Protocol

from .errors import AttachmentInUse, StreamError, panicked
from .proto import codes
from .proto.entries import StreamEntry
from .proto.errors import NO_REASON, Reason
from .values import Attachable

if TYPE_CHECKING:
    from .engine import Engine

#: What one direction of a stream in this process holds, in bytes; also the size of one read.
BUFFER = 64 * 1024
_ABANDONED = Reason(codes.ABANDONED)


class Half(Protocol):
    """One end of a stream, whatever is behind it."""

    async def read(self, most: int) -> bytes:
        """Some bytes, or none at the clean end; `StreamError` if it was cut."""

    async def write(self, data: bytes) -> None:
        """Takes all of it; `StreamError` if nobody reads."""

    async def stopped(self) -> Reason:
        """Waits until nobody reads what is written here."""

    def finish(self, reason: Reason) -> None:
        """Writes no more."""

    def stop(self, reason: Reason) -> None:
        """Reads no more."""


def _cut(reason: Reason) -> StreamError:
    text = reason.text or ("the link was lost" if reason.code == codes.DISCONNECTED else codes.describe(reason.code))
    return StreamError(f"the stream was cut: {text}", reason.code, reason.text)


def _unread(reason: Reason) -> StreamError:
    if reason.code == codes.DISCONNECTED:
        return StreamError("the link was lost", reason.code, reason.text)
    if reason.code == codes.NONE:
        return StreamError("nobody reads the stream any more")
    return StreamError(f"nobody reads the stream any more: {reason}", reason.code, reason.text)


class Waiters:
    """Tasks that wait for a change."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


class Buffer:
    """One direction of a stream in this process."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended: Reason | None = None
        self.unread: Reason | None = None
        #: What was read last is in the hands of who carries it on.
        self.passing = False
        self.news = Waiters()


class LocalHalf:
    """An end of a stream of which both ends are in this process."""

    def __init__(self, incoming: Buffer, outgoing: Buffer) -> None:
        self._in = incoming
        self._out = outgoing

    async def read(self, most: int) -> bytes:
        source = self._in
        while not source.data:
            if source.ended is not None:
                if source.ended.code:
                    raise _cut(source.ended)
                return b""
            await source.news.wait()
        data = bytes(source.data[:most])
        del source.data[: len(data)]
        source.passing = True
        source.news.wake()
        return data

    async def write(self, data: bytes) -> None:
        sink = self._out
        while True:
            if sink.unread is not None:
                raise _unread(sink.unread)
            room = BUFFER - len(sink.data)
            if room > 0:
                sink.data += data[:room]
                data = data[room:]
                sink.news.wake()
            if not data:
                return
            await sink.news.wait()

    async def stopped(self) -> Reason:
        while self._out.unread is None:
            await self._out.news.wait()
        return self._out.unread

    def finish(self, reason: Reason) -> None:
        self._out.ended = self._out.ended or reason
        self._out.news.wake()

    def holds(self) -> bool:
        """Whether something that was written at the other end, or its end, has not been passed on."""
        return bool(self._in.data) or self._in.passing or self._in.ended is not None

    def passed(self) -> None:
        """What was read has been passed on."""
        self._in.passing = False

    def stop(self, reason: Reason) -> None:
        self._in.data.clear()
        self._in.unread = self._in.unread or reason
        self._in.news.wake()


class RemoteHalf:
    """An end of a stream whose other end is at the peer of a session."""

    def __init__(self, engine: Engine, entry: StreamEntry) -> None:
        self._engine = engine
        self._entry = entry
        self._readable = Waiters()
        self._writable = Waiters()
        entry.user = self

    async def read(self, most: int) -> bytes:
        entry = self._entry
        while True:
            data = self._engine.machine.stream_recv(entry, most)
            if data:
                self._engine.kick()
                return data
            if entry.ended is not None:
                if entry.ended.code != codes.NONE:
                    raise _cut(entry.ended)
                return b""
            await self._readable.wait()

    async def write(self, data: bytes) -> None:
        while True:
            if self._entry.stopped is not None:
                raise _unread(self._entry.stopped)
            if self._engine.machine.goodbye_said is not None:
                raise StreamError("the session is closing", codes.SESSION_CLOSED)
            taken = self._engine.machine.stream_send(self._entry, data)
            self._engine.kick()
            data = data[taken:]
            if not data:
                return
            await self._writable.wait()

    async def stopped(self) -> Reason:
        while self._entry.stopped is None:
            await self._writable.wait()
        return self._entry.stopped

    def finish(self, reason: Reason) -> None:
        self._engine.machine.stream_finish(self._entry, reason)
        self._engine.kick()

    def stop(self, reason: Reason) -> None:
        self._engine.machine.stream_stop(self._entry, reason)
        self._engine.kick()

    def is_unread(self) -> bool:
        return self._entry.stopped is not None

    def on_readable(self) -> None:
        self._readable.wake()

    def on_writable(self) -> None:
        self._writable.wake()


class ByteStream(Attachable):
    """A two-way pipe of bytes. It may be put into a message while nobody reads or writes it; it is moved then."""

    def __init__(self, half: Half) -> None:
        self._half: Half | None = half
        self._busy = 0
        self._finished = False
        # One write after the other, and the end after all of them.
        self._writing = 0
        self._write_lock = asyncio.Lock()
        self._ending: Reason | None = None
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    @staticmethod
    def pair() -> tuple[ByteStream, ByteStream]:
        """The two ends of a new stream."""
        one, other = Buffer(), Buffer()
        return ByteStream(LocalHalf(one, other)), ByteStream(LocalHalf(other, one))

    # ---- reading

    async def read(self, most: int = -1) -> bytes:
        """Some bytes, at most so many; none at the clean end. Without ``most``: all of them until the end. Raises
        `StreamError` if the stream was cut. Cancelling it loses nothing, with ``most``."""
        if most < 0:
            return b"".join([chunk async for chunk in self])
        half = self._need()
        self._busy += 1
        try:
            return await half.read(most)
        finally:
            self._busy -= 1

    async def readexactly(self, count: int) -> bytes:
        """So many bytes; `EOFError` if the stream ends before."""
        data = bytearray()
        while len(data) < count:
            part = await self.read(count - len(data))
            if not part:
                raise EOFError(f"the stream ended after {len(data)} of {count} bytes")
            data += part
        return bytes(data)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self.read(BUFFER):
            yield chunk

    # ---- writing

    async def write(self, data: bytes) -> None:
        """Writes all of it, waiting where the reader is slower. `StreamError` if nobody reads any more; if it is
        cancelled, a part may have been written."""
        if self._finished:
            raise StreamError("this side has ended its writing")
        half = self._need()
        self._busy += 1
        self._writing += 1
        try:
            async with self._write_lock:
                await half.write(bytes(data))
        finally:
            self._busy -= 1
            self._writing -= 1
            if self._ending is not None and not self._writing:
                half.finish(self._ending)

    def finish(self) -> None:
        """Writes no more: the reader sees the clean end after what was written, writes that wait included. Reading goes
        on."""
        self._finish(NO_REASON)

    def finish_with(self, code: int, text: str = "") -> None:
        """Writes no more, with an error: the reader sees a `StreamError` with this code (256 is added on the wire)."""
        self._finish(Reason(codes.APPLICATION + code, text))

    def _finish(self, reason: Reason) -> None:
        half, self._finished = self._need(), True
        if self._writing:
            self._ending = reason
        else:
            half.finish(reason)

    # ---- giving up

    def drop(self) -> None:
        """Gives up both directions: what was written goes out, what waits to be read is dropped. The reader at the
        other side sees the end as clean only if `finish` was called; else `StreamError` with the code ABANDONED."""
        half, self._half = self._half, None
        if half is not None:
            half.finish(_ABANDONED)
            half.stop(NO_REASON)

    close = drop

    def _end(self, reason: Reason) -> None:
        half, self._half = self._half, None
        if half is not None:
            half.finish(reason)
            half.stop(reason)

    def __enter__(self) -> ByteStream:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self.drop()
        else:
            self._end(panicked(kind))

    async def __aenter__(self) -> ByteStream:
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.__exit__(kind, error, trace)

    def __del__(self) -> None:
        half, loop = getattr(self, "_half", None), getattr(self, "_loop", None)
        if half is not None and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(half.finish, _ABANDONED)
            loop.call_soon_threadsafe(half.stop, _ABANDONED)

    # ---- travelling

    def _need(self) -> Half:
        if self._half is None:
            raise AttachmentInUse("this ByteStream is closed, or was moved into a message")
        return self._half

    def _is_usable(self) -> bool:
        return self._half is not None and not self._busy

    def _move(self) -> ByteStream:
        twin = ByteStream(self._need())
        twin._finished, self._half = self._finished, None
        return twin

    def _restore(self, twin: Any) -> None:
        self._half, twin._half = twin._half, None

    def _converts_to(self, wanted: type) -> bool:
        return wanted.__name__ == "Fd"

    def _convert(self, wanted: type) -> Any:
        return wanted._of_stream(self)  # type: ignore[attr-defined]

    def _take(self) -> Half:
        half, self._half = self._need(), None
        return half


async def splice(one: Half, other: Half) -> None:
    """Carries bytes both ways between two streams, half-close and errors included, until both directions have ended."""
    await asyncio.gather(carry(one, other), carry(other, one))


async def carry(source: Half, sink: Half) -> None:
    """One direction of `splice`."""
    unread = asyncio.ensure_future(sink.stopped())
    try:
        while True:
            reading = asyncio.ensure_future(source.read(BUFFER))
            await asyncio.wait({reading, unread}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                reading.cancel()
                await asyncio.wait({reading})
                source.stop(unread.result())
                sink.finish(NO_REASON)
                return
            try:
                data = reading.result()
            except StreamError as error:
                sink.finish(Reason(error.code or codes.DISCONNECTED, error.said))
                return
            if not data:
                sink.finish(NO_REASON)
                return
            try:
                await sink.write(data)
            except StreamError as error:
                source.stop(Reason(error.code, error.said))
                sink.finish(NO_REASON)
                return
            if isinstance(source, LocalHalf):
                source.passed()
    finally:
        unread.cancel()
        # It is read no more, however it has ended: a descriptor is closed then, and not when its garbage is found.
        source.stop(NO_REASON)
