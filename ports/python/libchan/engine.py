"""What drives a session: one task reads the link, one writes it, and the machine between them decides."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import deque
from typing import Any, Coroutine, Deque

from .errors import SessionError
from .fd import Fd
from .legs import Inlet, Outlet
from .link import Link
from .proto import events, frames
from .proto.entries import Entry, RecvEntry, StreamEntry
from .proto.errors import NO_REASON, Reason, SessionOver
from .proto.limits import MAX_ATTACHMENTS, Limits
from .proto.machine import Machine
from .stream import ByteStream, RemoteHalf, carry

#: How often the machine looks at the clock, in seconds.
TICK = 5.0


class Engine:
    """One session on one link."""

    def __init__(
        self,
        link: Link,
        dialer: bool,
        limits: Limits,
        codec_ids: tuple[int, ...],
        metadata: frames.Metadata,
        close_timeout: float,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.link = link
        limits = _with_descriptors(limits, link.passes_descriptors)
        self.machine = Machine(dialer, limits, codec_ids, metadata, self.loop.time())
        self.close_timeout = close_timeout
        self.incoming: Deque[RecvEntry] = deque()
        self.established: asyncio.Future[None] = self.loop.create_future()
        #: Resolved when the session is over and its link closed.
        self.finished: asyncio.Future[SessionOver] = self.loop.create_future()
        self.news = asyncio.Event()
        #: Handles of the session itself.
        self.handles = 0
        self._streams: set[asyncio.Task[None]] = set()
        #: What arrives for descriptors of this process that are carried as streams.
        self.carried: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._kicked = False
        self._leaving = False
        self._deadline: asyncio.TimerHandle | None = None
        self._posted: dict[int, int] = {}
        self._tokens = itertools.count()
        self._arrived: dict[int, int] = {}
        self._arrivals = 0
        interval = min(TICK, limits.hello_timeout / 2, limits.ping_after / 2, limits.dead_after / 4)
        self._tick_every = max(interval, 0.01)
        self._ticker = self.loop.call_later(self._tick_every, self._tick)
        self._reader = self.loop.create_task(self._read())
        self._writer = self.loop.create_task(self._write())
        self._wake.set()

    @property
    def passes_descriptors(self) -> bool:
        return self.machine.limits.max_descriptors > 0

    # ---- the two tasks

    async def _read(self) -> None:
        try:
            while not self.machine.over:
                data, descriptors = await self.link.read()
                for fd in descriptors:
                    self._arrived[self._arrivals] = fd
                    self._arrivals += 1
                if not data:
                    break
                self.machine.receive(data, len(descriptors))
                self._run()
        except OSError:
            pass
        self.machine.eof()
        self._run()

    async def _write(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self.machine.has_output():
                    await self._write_once()
                if self.machine.over:
                    break
        except OSError:
            self.machine.eof()
            self._run()
        await self._end()

    async def _write_once(self) -> None:
        chunks = self.machine.output()
        self._dispatch()
        for chunk in chunks:
            descriptors = [self._posted[token] for token in chunk.descriptors]
            await self.link.write(bytes(chunk.data), descriptors)
            for token in chunk.descriptors:
                os.close(self._posted.pop(token))

    async def _end(self) -> None:
        """The session is over: the link is closed, and whoever waits is told."""
        self._run()
        assert self.machine.over is not None
        clean = self.machine.over.kind == SessionOver.CLOSED
        self._ticker.cancel()
        if self._deadline:
            self._deadline.cancel()
        try:
            await asyncio.wait_for(self.link.close(clean), self.close_timeout)
        except (OSError, asyncio.TimeoutError):
            self.link.abort()
        self._reader.cancel()
        for fd in [*self._arrived.values(), *self._posted.values()]:
            os.close(fd)
        self._arrived.clear()
        self._posted.clear()
        if not self.established.done():
            self.established.set_exception(SessionError(self.machine.over))
            self.established.exception()
        if not self.finished.done():
            self.finished.set_result(self.machine.over)
        self.news.set()

    def abort(self) -> None:
        """Drops the link: the peer sees a lost session."""
        self.machine.eof()
        self.link.abort()
        self._run()

    # ---- events

    def kick(self) -> None:
        """Something was asked of the machine: what comes of it is looked at soon."""
        if not self._kicked:
            self._kicked = True
            self.loop.call_soon(self._run)

    def _run(self) -> None:
        self._kicked = False
        self._dispatch()
        self._look_at_farewell()
        if self.machine.has_output() or self.machine.over:
            self._wake.set()

    def _dispatch(self) -> None:
        queue = self.machine.events
        while queue:
            event = queue.popleft()
            user = event.entry.user if event.entry is not None else None
            if event.kind == events.READABLE:
                if isinstance(user, Inlet):
                    user.on_readable()
            elif event.kind == events.WRITABLE:
                if isinstance(user, Outlet):
                    user.on_writable()
            elif event.kind == events.TAKEN:
                if isinstance(user, Outlet):
                    user.on_taken(event.count)
            elif event.kind == events.STREAM_READABLE:
                if isinstance(user, RemoteHalf):
                    user.on_readable()
            elif event.kind == events.STREAM_WRITABLE:
                if isinstance(user, RemoteHalf):
                    user.on_writable()
            else:
                self._rare(event)

    def _rare(self, event: events.Event) -> None:
        if event.kind == events.OPENED:
            assert isinstance(event.entry, RecvEntry)
            self.incoming.append(event.entry)
            self.news.set()
        elif event.kind == events.REJECTED:
            if event.entry is not None and isinstance(event.entry.user, Inlet):
                event.entry.user.on_rejected()
        elif event.kind == events.DROPPED_DESCRIPTOR:
            fd = self._arrived.pop(event.count, None)
            if fd is not None:
                os.close(fd)
        elif event.kind == events.ESTABLISHED:
            if not self.established.done():
                self.established.set_result(None)
        elif event.kind == events.GOODBYE:
            self.leave()
            self.news.set()

    def _tick(self) -> None:
        self.machine.tick(self.loop.time())
        self._ticker = self.loop.call_later(self._tick_every, self._tick)
        self._run()

    # ---- leaving

    def leave(self) -> None:
        """Closes in good order: what was accepted goes out, then goodbye is said."""
        if self._leaving or self.machine.over:
            return
        self._leaving = True
        self._deadline = self.loop.call_later(self.close_timeout, self._late)
        for entry in list(self.machine.entries.open.values()):
            if isinstance(entry.user, Outlet):
                entry.user.leave()
            elif isinstance(entry, StreamEntry):
                self.machine.stream_finish(entry)
        self.kick()

    def _look_at_farewell(self) -> None:
        machine = self.machine
        if not self._leaving and self.handles == 0 and machine.established and not machine.is_used():
            self.leave()
        if not self._leaving or machine.goodbye_said is not None or machine.over:
            return
        # After the peer's goodbye no credit comes: what cannot leave now never will.
        stuck = machine.peer_goodbye is not None and not machine.has_output()
        if machine.is_settled() or stuck:
            self._say_goodbye(NO_REASON)

    def _say_goodbye(self, reason: Reason) -> None:
        self.machine.goodbye(reason)
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(self.close_timeout, self._late)
        self._wake.set()

    def _late(self) -> None:
        if self.machine.over:
            return
        if self.machine.goodbye_said is None:
            self._say_goodbye(NO_REASON)
            return
        self.abort()

    def refuse(self, reason: Reason) -> None:
        """Ends the session at once, with a goodbye that says why."""
        self._leaving = True
        self._say_goodbye(reason)

    # ---- attachments

    def post_descriptor(self, end: Fd) -> int:
        """Takes a descriptor that a message is to carry; the number is its token in the machine's output."""
        token = next(self._tokens)
        self._posted[token] = end.detach()
        return token

    def take_descriptor(self, number: int) -> Fd:
        self.machine.descriptors_released()
        return Fd._owning(self._arrived.pop(number))

    def attach_stream(self, entry: Entry, end: Any) -> None:
        """A stream or descriptor of this process goes on over the session, under this entry."""
        assert isinstance(entry, StreamEntry)
        remote = RemoteHalf(self, entry)
        here = (end.stream() if isinstance(end, Fd) else end)._take()
        self._keep(carry(here, remote), self._streams)
        incoming = self._keep(carry(remote, here), self._streams)
        if isinstance(end, Fd):
            self.carried.add(incoming)
            incoming.add_done_callback(self.carried.discard)

    def _keep(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        task = self.loop.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    def stream_of(self, entry: Entry | None) -> ByteStream:
        assert isinstance(entry, StreamEntry)
        return ByteStream(RemoteHalf(self, entry))

    # ---- named channels

    def receiver_refused(self, entry: RecvEntry, reason: Reason) -> None:
        self.machine.cancel(entry, frames.SCOPE_CHANNEL, reason)
        self.kick()

    def over_error(self) -> SessionError | None:
        return SessionError(self.machine.over) if self.machine.over else None


def _with_descriptors(limits: Limits, passes: bool) -> Limits:
    from dataclasses import replace

    wanted = (limits.max_descriptors or MAX_ATTACHMENTS) if passes else 0
    return replace(limits, max_descriptors=wanted)
