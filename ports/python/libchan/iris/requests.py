"""Requests: one pair of channels for all of a connection, and a number for each."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any, Coroutine, TypeVar

from ..ends import Receiver, pipe
from ..errors import EndOfChannel, RecvError, SendError
from ..session import Session
from . import wire
from .body import Body
from .errors import Closed, IrisError, Local, Lost, Timeout, not_sent

log = logging.getLogger("libchan.iris")
T = TypeVar("T")

#: Asks that wait for the relay.
_ASKS = 1024
#: A relay holds 4,096 requests of an application at the most; the sender of a channel hears late of what was taken.
_ANSWERS = 2 * 4096


def checked(timeout: float) -> float:
    """A time in seconds; raises `Local`."""
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout >= 0:
        raise Local(f"a timeout is a number of seconds from 0 on, not {timeout!r}")
    # An integer may be too large for a float.
    return float(min(timeout, 1e15))


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What the coroutine gives; it is cancelled when the time is up, which raises `Timeout`, and with the caller."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
    if task.done():
        return task.result()
    await asyncio.wait({task})
    raise Timeout()


class Pending:
    """Who waits for an answer, by number."""

    def __init__(self) -> None:
        self.verdicts: dict[int, asyncio.Future[Body | IrisError]] = {}
        #: No answer comes any more.
        self.over = False

    async def dispatch(self, answers: Receiver[Any]) -> None:
        """Hands answers to those who wait for them, until the relay is gone."""
        try:
            while True:
                try:
                    number, verdict = wire.reading(await answers.recv(), wire.answer)
                except EndOfChannel:
                    return
                except RecvError as error:
                    if error.is_end:
                        return
                    # Which request it was for is not known: that one runs into its deadline.
                    log.warning("an answer of the relay does not decode: %s", error)
                else:
                    self._hand_over(number, verdict)
        finally:
            self.over = True
            answers.drop()
            for waiting in self.verdicts.values():
                if not waiting.done():
                    waiting.set_result(Lost())

    def _hand_over(self, number: int, verdict: Body | IrisError) -> None:
        waiting = self.verdicts.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(verdict)
        elif isinstance(verdict, Body):
            # Its caller has gone meanwhile.
            verdict.drop()


class Requesting:
    """A connection's requests. Garbage, it ends them."""

    def __init__(self, session: Session) -> None:
        """Raises `Closed`."""
        opened = session.open(wire.REQUESTS)
        self._asks, theirs = pipe(_ASKS)
        answers_in, answers = pipe(_ANSWERS)
        try:
            opened.try_send({"asks": theirs, "answers": answers_in})
        except SendError as error:
            for end in (self._asks, theirs, answers_in, answers):
                end.drop()
            raise not_sent(error) from error
        finally:
            opened.drop()
        self._numbers = itertools.count()
        self._pending = Pending()
        self._loop = asyncio.get_running_loop()
        self._dispatch = self._loop.create_task(self._pending.dispatch(answers))

    @property
    def under_way(self) -> int:
        return len(self._pending.verdicts)

    async def ask(self, cluster: str, asked: Body, seconds: float, wait: bool) -> Body:
        """The reply; raises an `IrisError`. Cancelled, or when the time is up, it cancels the request at the relay.
        The body is settled when it was sent."""
        if self._pending.over:
            raise Closed()
        deadline = self._loop.time() + seconds
        number = next(self._numbers)
        verdict: asyncio.Future[Body | IrisError] = self._loop.create_future()
        self._pending.verdicts[number] = verdict
        sent = False
        found: Body | IrisError | None = None
        try:
            await self._send(wire.request(number, cluster, wire.milliseconds(seconds), wait, asked), deadline)
            asked.settle()
            sent = True
            await asyncio.wait({verdict}, timeout=max(deadline - self._loop.time(), 0))
            found = verdict.result() if verdict.done() else Timeout()
        finally:
            del self._pending.verdicts[number]
            if not verdict.done():
                if sent:
                    self._cancel(number)
            elif found is None and isinstance(verdict.result(), Body):
                # It came as its caller was cancelled.
                verdict.result().drop()  # type: ignore[union-attr]
        if isinstance(found, Body):
            return found
        raise found

    async def _send(self, ask: dict[str, Any], deadline: float) -> None:
        try:
            # Mostly there is room.
            if not self._asks.try_send(ask):
                await within(max(deadline - self._loop.time(), 0), self._asks.send(ask))
        except SendError as error:
            raise not_sent(error) from error

    def _cancel(self, number: int) -> None:
        try:
            # No room: the relay's clock ends it.
            self._asks.try_send(wire.cancel(number))
        except SendError:
            pass  # The relay is gone, and the request with it.

    async def ended(self) -> None:
        """Waits until no answer comes any more: the session is over."""
        await asyncio.wait({self._dispatch})

    def __del__(self) -> None:
        dispatch = getattr(self, "_dispatch", None)
        if dispatch is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(dispatch.cancel)
