"""File descriptors in messages: passed where the link can (unix sockets), carried as byte streams everywhere else."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from typing import Any, Protocol

from .errors import AttachmentInUse, Limit, NotPumpable, StreamError
from .proto import codes
from .proto.errors import NO_REASON, Reason
from .stream import BUFFER, ByteStream, Half, splice
from .values import Attachable

#: What is written to a descriptor at once: a pipe that takes anything takes this much without blocking.
_PIPE_BUF = 4096


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Fd(Attachable):
    """A descriptor that may be put into a message.

    ``Fd(file)`` duplicates the descriptor: the file stays the caller's. What arrives is either a descriptor
    (`is_passed`), or, over a link that passes none, a byte stream; both can be asked for as either.
    """

    def __init__(self, file: int | HasFileno) -> None:
        self._fd: int | None = os.dup(file if isinstance(file, int) else file.fileno())
        self._stream: ByteStream | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def _owning(cls, fd: int) -> Fd:
        made = cls.__new__(cls)
        made._fd, made._stream, made._tasks = fd, None, set()
        return made

    @classmethod
    def _of_stream(cls, stream: ByteStream) -> Fd:
        made = cls.__new__(cls)
        made._fd, made._stream, made._tasks = None, stream, set()
        return made

    @property
    def is_passed(self) -> bool:
        """Whether there is a descriptor; else the bytes come and go over a stream."""
        return self._fd is not None

    def detach(self) -> int:
        """The descriptor, which is the caller's to close. Where none was passed: one end of a socket pair, whose other
        end is carried over the stream for as long as the event loop runs."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            return fd
        here, there = socket.socketpair()
        half = FdHalf(there.detach())
        task = asyncio.ensure_future(_splice_and_close(self._take_stream()._take(), half))
        _RUNNING.add(task)
        task.add_done_callback(_RUNNING.discard)
        return here.detach()

    def duplicate(self) -> Fd:
        """One more descriptor of the same open file. Raises `Limit` if the process may have no more."""
        if self._fd is None:
            self._fd = self.detach()
        try:
            return Fd._owning(os.dup(self._fd))
        except OSError as error:
            raise Limit(f"a descriptor cannot be duplicated: {error}") from None

    def open(self, mode: str = "rb", **options: Any) -> Any:
        """The descriptor as a file object, which closes it."""
        return os.fdopen(self.detach(), mode, **options)

    def stream(self) -> ByteStream:
        """The bytes as a stream, read and written without blocking the event loop."""
        if self._stream is not None:
            return self._take_stream()
        return ByteStream(FdHalf(self.detach()))

    def _take_stream(self) -> ByteStream:
        stream, self._stream = self._stream, None
        if stream is None:
            raise AttachmentInUse("this Fd is closed, or was moved into a message")
        return stream

    def drop(self) -> None:
        """Closes it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        if self._stream is not None:
            self._stream.drop()
            self._stream = None

    close = drop

    def _end(self, reason: Reason) -> None:
        stream, self._stream = self._stream, None
        self.drop()
        if stream is not None:
            stream._end(reason)

    def __enter__(self) -> Fd:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def __del__(self) -> None:
        if getattr(self, "_fd", None) is not None:
            os.close(self._fd)  # type: ignore[arg-type]
            self._fd = None

    # ---- travelling

    def _is_usable(self) -> bool:
        return self._fd is not None or (self._stream is not None and self._stream._is_usable())

    def _move(self) -> Fd:
        twin = Fd._owning(self._fd) if self._fd is not None else Fd._of_stream(self._take_stream())
        self._fd = None
        return twin

    def _restore(self, twin: Any) -> None:
        self._fd, self._stream = twin._fd, twin._stream
        twin._fd = twin._stream = None

    def _converts_to(self, wanted: type) -> bool:
        return wanted is ByteStream

    def _convert(self, wanted: type) -> Any:
        return self.stream()

    def _check_pumpable(self) -> None:
        """Whether it can be carried as a stream of bytes."""
        if self._fd is None:
            return
        mode = os.fstat(self._fd).st_mode
        what = None
        if stat.S_ISDIR(mode):
            what = "a directory"
        elif stat.S_ISSOCK(mode):
            sock = socket.socket(fileno=os.dup(self._fd))
            with sock:
                if sock.type != socket.SOCK_STREAM:
                    what = "a socket without a stream"
                elif sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    what = "a listening socket"
        elif stat.S_ISREG(mode):
            what = "a memfd" if _name(self._fd).startswith("/memfd:") else None
        elif not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
            what = "a descriptor of the kernel's"
        if what:
            raise NotPumpable(f"{what} is no byte stream, and this link passes no descriptors")


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


_RUNNING: set[asyncio.Future[None]] = set()


def _name(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


async def _splice_and_close(half: Half, fd: FdHalf) -> None:
    try:
        await splice(half, fd)
    finally:
        fd.close()


class FdHalf:
    """A descriptor as one end of a stream. Its file status flags are never changed: others hold it too (UN-07)."""

    def __init__(self, fd: int) -> None:
        import fcntl

        self._fd = fd
        access = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
        self._reads = access != os.O_WRONLY
        self._writes = access != os.O_RDONLY
        self._read_over = not self._reads
        self._write_over = not self._writes
        self._unread: asyncio.Future[Reason] | None = None

    async def _ready(self, add: Any, remove: Any) -> bool:
        """Waits until the kernel is ready. False: what it is asked for never waits there, or waits unseen (a file)."""
        fd = self._fd
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            add(fd, _resolve, ready)
        except PermissionError:
            return False
        try:
            await ready
        finally:
            remove(fd)
        return True

    async def read(self, most: int) -> bytes:
        if self._read_over:
            return b""
        loop = asyncio.get_running_loop()
        try:
            if await self._ready(loop.add_reader, loop.remove_reader):
                return os.read(self._fd, most)
            return await loop.run_in_executor(None, os.read, self._fd, most)
        except OSError as error:
            if error.errno == 5 and stat.S_ISCHR(os.fstat(self._fd).st_mode):
                return b""  # A terminal whose other side is gone.
            raise StreamError(f"the descriptor cannot be read: {error}", codes.DISCONNECTED) from None

    async def write(self, data: bytes) -> None:
        if self._write_over:
            raise StreamError("the descriptor is not open for writing")
        loop = asyncio.get_running_loop()
        view = memoryview(data)
        try:
            while view:
                if await self._ready(loop.add_writer, loop.remove_writer):
                    written = os.write(self._fd, view[:_PIPE_BUF])
                else:
                    written = await loop.run_in_executor(None, os.write, self._fd, view[:BUFFER])
                view = view[written:]
        except OSError as error:
            raise StreamError(f"the descriptor cannot be written: {error}") from None

    async def stopped(self) -> Reason:
        if self._write_over:
            return NO_REASON
        if self._unread is None:
            self._unread = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._unread)

    def finish(self, reason: Reason) -> None:
        if not self._write_over:
            self._write_over = True
            self._shut(socket.SHUT_WR)

    def stop(self, reason: Reason) -> None:
        if not self._read_over:
            self._read_over = True
            self._shut(socket.SHUT_RD)

    def _shut(self, how: int) -> None:
        if self._fd >= 0 and stat.S_ISSOCK(os.fstat(self._fd).st_mode):
            with socket.socket(fileno=os.dup(self._fd)) as sock:
                try:
                    sock.shutdown(how)
                except OSError:
                    pass
        if self._read_over and self._write_over:
            self.close()

    def close(self) -> None:
        if self._fd >= 0:
            self._read_over = self._write_over = True
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)
            self._fd = -1
