"""unix: a stream socket, and descriptors beside its bytes (spec/carriers/unix.md)."""

from __future__ import annotations

import array
import asyncio
import os
import socket
import stat
import struct
from typing import Any, Callable

from ..link import Link, Peer
from ..url import Url
from .tcp import OnLink

READ = 256 * 1024
#: The kernel refuses more in one sendmsg (UN-01).
MOST = 253


class UnixLink:
    """A connected socket as a link."""

    passes_descriptors = hasattr(socket, "SCM_RIGHTS")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self.peer = _peer(sock)

    async def read(self) -> tuple[bytes, list[int]]:
        space = socket.CMSG_SPACE(MOST * struct.calcsize("i"))
        cloexec = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        while True:
            try:
                data, control, flags, _ = self._sock.recvmsg(READ, space, cloexec)
                break
            except (BlockingIOError, InterruptedError):
                await self._wait(self._loop.add_reader, self._loop.remove_reader)
        descriptors = _descriptors(control)
        if flags & socket.MSG_CTRUNC:
            for fd in descriptors:
                os.close(fd)
            raise ConnectionError("the kernel has cut a control message: too many open files?")
        return data, descriptors

    async def write(self, data: bytes, descriptors: list[int]) -> None:
        if descriptors:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
            while True:
                try:
                    # Once any byte is accepted, all descriptors are.
                    sent = self._sock.sendmsg([data], rights)
                    break
                except (BlockingIOError, InterruptedError):
                    await self._wait(self._loop.add_writer, self._loop.remove_writer)
            data = data[sent:]
        if data:
            await self._loop.sock_sendall(self._sock, data)

    async def _wait(self, add: Callable[..., Any], remove: Callable[[int], Any]) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        fd = self._sock.fileno()
        if fd < 0:
            raise ConnectionAbortedError("the link was dropped")
        add(fd, _resolve, ready)
        try:
            await ready
        finally:
            remove(fd)

    async def close(self, clean: bool) -> None:
        self.abort()

    def abort(self) -> None:
        if self._sock.fileno() >= 0:
            try:
                # Wakes a task that waits for the socket here.
                self._sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._loop.remove_reader(self._sock.fileno())
            self._loop.remove_writer(self._sock.fileno())
            self._sock.close()


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _descriptors(control: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    for fd in found:
        os.set_inheritable(fd, False)
    return found.tolist()


def _peer(sock: socket.socket) -> Peer:
    if not hasattr(socket, "SO_PEERCRED"):
        return Peer("unix")
    format = struct.Struct("3i")
    pid, uid, gid = format.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, format.size))
    return Peer("unix", uid=uid, gid=gid, pid=pid)


def _address(path: str) -> str:
    return "\0" + path[1:] if path.startswith("@") else path


async def dial(url: Url) -> Link:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, _address(url.path))
    except BaseException:
        sock.close()
        raise
    return UnixLink(sock)


class UnixServer:
    """Accepts, until it is closed, and removes its socket's file then."""

    def __init__(self, sock: socket.socket, path: str, on_link: OnLink) -> None:
        self._sock = sock
        self._path = path
        self._on_link = on_link
        self._file = None if path.startswith("@") else os.stat(path)
        self._links: set[asyncio.Task[None]] = set()
        self._task = asyncio.ensure_future(self._accept())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(self._sock)
            except OSError:
                await asyncio.sleep(0.1)  # Too many open files, most likely.
                continue
            task = asyncio.ensure_future(self._on_link(UnixLink(sock)))
            self._links.add(task)
            task.add_done_callback(self._links.discard)

    def close(self) -> None:
        self._task.cancel()
        self._sock.close()
        if self._file is not None:
            try:
                now = os.stat(self._path)
                if (now.st_dev, now.st_ino) == (self._file.st_dev, self._file.st_ino):
                    os.unlink(self._path)
            except FileNotFoundError:
                pass


def _remove_dead(path: str) -> None:
    """Removes the socket file of a dead server; raises `FileExistsError` for anything else that is in the way."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise FileExistsError(f"{path} is in the way, and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError:
            pass
    raise FileExistsError(f"somebody listens at {path}")


async def serve(url: Url, on_link: OnLink, mode: int | None) -> tuple[UnixServer, Url]:
    named = not url.path.startswith("@")
    if named:
        _remove_dead(url.path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        sock.bind(_address(url.path))
        if named and mode is not None:
            # Nobody can connect before listen().
            os.chmod(url.path, mode)
        sock.listen(128)
    except BaseException:
        sock.close()
        raise
    return UnixServer(sock, url.path, on_link), url
