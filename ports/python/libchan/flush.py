"""`flush`: waits until the peer's library has all that was accepted before. A ping behind it, answered, says so.

One ping is on its way at a time, however many calls wait, and only so many in a while: a peer ends the session of who
floods it with pings (SE-11).
"""

from __future__ import annotations

import asyncio

from .errors import SessionError
from .proto.machine import PING_PERIOD, Machine


class Flush:
    """The calls of one session that wait."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        #: Calls that no ping is on its way for, and those that the ping on its way is for.
        self._asked: list[asyncio.Future[None]] = []
        self._pinged: list[asyncio.Future[None]] = []
        self._number: int | None = None
        self._pings, self._since = 0, 0.0

    def ask(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """A call: resolved when the peer has all that was accepted by now."""
        call: asyncio.Future[None] = loop.create_future()
        self._asked.append(call)
        return call

    def is_asked(self) -> bool:
        """Whether a call waits for a ping that may go as soon as nothing stands before it."""
        return bool(self._asked) and self._number is None

    def ping(self, now: float) -> None:
        """Nothing that was accepted waits any more: the ping may go, unless there were too many lately."""
        if now - self._since >= PING_PERIOD:
            self._pings, self._since = 0, now
        # Half of what a peer takes by default: the others are the session's own.
        if self._pings < max(self._machine.limits.max_pings // 2, 1):
            self._pings += 1
            self._number = self._machine.ping()
            self._pinged, self._asked = self._asked, []

    def on_pong(self, number: int) -> None:
        """The peer has answered a ping."""
        if number == self._number:
            self._number = None
            pinged, self._pinged = self._pinged, []
            for call in pinged:
                if not call.done():
                    call.set_result(None)

    def fail(self, error: SessionError) -> None:
        """The session is over."""
        waiting, self._asked, self._pinged = self._asked + self._pinged, [], []
        for call in waiting:
            if not call.done():
                call.set_exception(error)
