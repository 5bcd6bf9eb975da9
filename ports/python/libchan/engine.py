"""What drives a session: one task reads the link, one writes it, and the machine between them decides."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import deque
from dataclasses import replace
from typing import Any, Coroutine, Deque

from .errors import SessionError
from .fd import Fd
from .flush import Flush
from .legs import Inlet, Outlet
from .link import Link
from .proto import codes, events, frames
from .proto.entries import Entry, RecvEntry, StreamEntry
from .proto.errors import Reason, SessionOver
from .proto.limits import Limits
from .proto.machine import Machine
from .stream import ByteStream, LocalHalf, RemoteHalf, carry
from .untaken import Untaken

#: How often the machine looks at the clock, in seconds.
TICK = 5.0
#: What the peer is told of channels that are received from no more.
_GOING_AWAY = Reason(codes.GOING_AWAY, codes.describe(codes.GOING_AWAY))


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
        if not link.passes_descriptors:
            limits = replace(limits, max_descriptors=0)
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
        #: The named channels of the peer's that were received, and those opened here: a drain ends the first, and
        #: waits for neither.
        self.named: set[Entry] = set()
        #: What messages that were sent here keep until they are taken.
        self.untaken: set[Untaken] = set()
        #: Whether something that was accepted could not be sent.
        self.unsent = 0
        self.draining = False
        self.going = asyncio.Event()
        self._flush = Flush(self.machine)
        #: What is written to streams of this process that go on over the session.
        self._pumped: dict[RemoteHalf, LocalHalf] = {}
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
        self.going.set()
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
            self.finished.set_result(self._outcome())
        self._flush.fail(SessionError(self.machine.over))
        self.news.set()

    def _outcome(self) -> SessionOver:
        """Why the session is over. One in good order is in order only if nothing that was accepted was left behind."""
        over = self.machine.over
        assert over is not None
        if over.kind == SessionOver.CLOSED and (self.unsent or self.machine.cut):
            text = "the session was closed before all that was accepted had left: the peer did not take it in time"
            return SessionOver(SessionOver.INCOMPLETE, text)
        return over

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
        self._look_at_flush()
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
            self.named.add(event.entry)
            if self.draining:
                self.receiver_refused(event.entry, _GOING_AWAY)
                return
            self.incoming.append(event.entry)
            self.news.set()
        elif event.kind == events.REJECTED:
            if event.entry is not None and isinstance(event.entry.user, Inlet):
                event.entry.user.on_rejected()
        elif event.kind == events.DROPPED_DESCRIPTOR:
            fd = self._arrived.pop(event.count, None)
            if fd is not None:
                os.close(fd)
        elif event.kind == events.PONG:
            self._flush.on_pong(event.count)
        elif event.kind == events.ESTABLISHED:
            if not self.established.done():
                self.established.set_result(None)

    def _tick(self) -> None:
        self.machine.tick(self.loop.time())
        self._ticker = self.loop.call_later(self._tick_every, self._tick)
        self._run()

    # ---- leaving

    def leave(self) -> None:
        """Closes in good order: what was accepted goes out, then goodbye is said. What is unfinished then is cut."""
        if self._leaving or self.machine.over:
            return
        self._leaving = True
        if self._deadline:
            self._deadline.cancel()
        # What is left of the time is for the peer's answer.
        self._deadline = self.loop.call_later(0.8 * self.close_timeout, self._late)
        self.kick()

    def drain(self, deadline: float) -> None:
        """Takes no more requests, lets what they have brought come to its end, then leaves."""
        if self.draining or self._leaving or self.machine.over:
            return
        self.draining = True
        self._deadline = self.loop.call_later(deadline, self.leave)
        for entry in list(self.machine.entries.open.values()):
            if entry not in self.named or not isinstance(entry, RecvEntry):
                continue
            if isinstance(entry.user, Inlet):
                entry.user.core.receivers_gone(frames.SCOPE_CHANNEL, _GOING_AWAY)
            else:
                self._give_up(entry, frames.SCOPE_CHANNEL, _GOING_AWAY)
        self.incoming.clear()
        self.news.set()
        self.kick()

    async def flush(self) -> None:
        """Waits until the peer's library has all that was accepted by now."""
        if self.machine.over:
            raise SessionError(self.machine.over)
        call = self._flush.ask(self.loop)
        self.kick()
        await call

    def _look_at_flush(self) -> None:
        if self._flush.is_asked() and not self.machine.has_waiting() and self._is_flushed():
            self._flush.ping(self.loop.time())

    def peer_is_going(self) -> None:
        self.going.set()

    def _is_drained(self) -> bool:
        return all(entry in self.named for entry in self.machine.entries.open.values())

    def _is_flushed(self) -> bool:
        """Whether all that was accepted has been given to the link."""
        for entry in self.machine.entries.open.values():
            if isinstance(entry.user, Outlet):
                if entry.cancelled is None and entry.user.has_unsent():  # type: ignore[union-attr]
                    return False
            elif isinstance(entry, StreamEntry) and entry.unsent and entry.stopped is None:
                return False
        if any(untaken.holds_bytes() for untaken in self.untaken):
            return False
        return not any(here.holds() and not far.is_unread() for far, here in self._pumped.items())

    def _look_at_farewell(self) -> None:
        machine = self.machine
        if not self._leaving and self.handles == 0 and machine.established and not machine.is_used():
            self.leave()
        if self.draining and not self._leaving and self._is_drained():
            self.leave()
        if self._leaving and machine.goodbye_said is None and not machine.over and self._is_flushed():
            self._say_goodbye(at_once=False)

    def _say_goodbye(self, at_once: bool) -> None:
        """Tells the peer what was taken of its messages, so that it knows what was not; then goodbye."""
        for entry in list(self.machine.entries.open.values()):
            if isinstance(entry.user, Inlet):
                entry.user.leave()
            elif isinstance(entry, RecvEntry):
                self._give_up(entry, frames.SCOPE_END, Reason(codes.SESSION_CLOSED))
        self.machine.goodbye(at_once=at_once)
        self._wake.set()

    def _give_up(self, entry: RecvEntry, scope: int, reason: Reason) -> None:
        """Nobody has received the channel. Whoever does now finds out why it has ended."""
        if not entry.closed:
            entry.close_reason = reason
        self.machine.cancel(entry, scope, reason)

    def _late(self) -> None:
        """The time for what was accepted is over: goodbye is said all the same, and the answer has the rest."""
        if self.machine.over:
            return
        if not self.machine.goodbye_sent:
            self.unsent += 1
            self._say_goodbye(at_once=True)
        self._deadline = self.loop.call_later(0.2 * self.close_timeout, self.abort)

    def refuse(self, reason: Reason) -> None:
        """Ends the session at once, with a goodbye that says why."""
        self._leaving = True
        self.machine.goodbye(reason)
        self._deadline = self.loop.call_later(self.close_timeout, self.abort)
        self._wake.set()

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
        outgoing = self._keep(carry(here, remote), self._streams)
        if isinstance(here, LocalHalf):
            # What was read of it before is its reader's.
            here.passed()
            self._pumped[remote] = here
            outgoing.add_done_callback(lambda _: self._pump_ended(remote))
        incoming = self._keep(carry(remote, here), self._streams)
        if isinstance(end, Fd):
            self.carried.add(incoming)
            incoming.add_done_callback(self.carried.discard)

    def _pump_ended(self, remote: RemoteHalf) -> None:
        del self._pumped[remote]
        self.kick()

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
