"""Runs a member's handler: a task a request, exactly one report for each, broadcasts in order, tunnels beside them."""

from __future__ import annotations

import asyncio
import functools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Coroutine

from ..ends import Receiver, Sender, pipe
from ..errors import Closed as ChannelClosed
from ..errors import Disconnected, EndOfChannel, RecvError, SendError
from . import wire
from .body import Body
from .errors import Closed, Fault, IrisError, Local, Lost, NotDecoded
from .limits import Limits
from .tunnel import Tunnel

if TYPE_CHECKING:
    from .service import Handler

log = logging.getLogger("libchan.iris")


@dataclass(frozen=True)
class Types:
    """What the values for a handler's methods are made into."""

    request: Any
    broadcast: Any


class _Call:
    """A request in hand."""

    __slots__ = ("number", "body", "weight", "task", "timer", "expired")

    def __init__(self, number: int, body: Body) -> None:
        self.number = number
        #: Until the handler has it.
        self.body: Body | None = body
        self.weight = body.weight
        self.task: asyncio.Task[Body] | None = None
        self.timer: asyncio.TimerHandle | None = None
        #: Its time is up, and its handler was told.
        self.expired = False

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def expire(self) -> None:
        self.expired = True
        self.cancel()

    def report(self) -> tuple[dict[str, Any], Body | None]:
        """What is said of it, whatever has become of its handler, and the reply in it."""
        task = self.task
        assert task is not None
        if task.cancelled():
            return wire.expired(self.number) if self.expired else wire.fault(
                self.number, "the request was cancelled"
            ), None
        error = task.exception()
        if error is None:
            reply = task.result()
            return wire.ok(self.number, reply), reply
        if isinstance(error, Fault):
            return wire.fault(self.number, str(error)), None
        log.error("the handler of a request was left by an exception", exc_info=error)
        return wire.fault(self.number, f"the handler was left by an exception: {type(error).__name__}"), None


class Runner:
    """A member while it runs. It knows nothing of the `Service` that holds it, so that a forgotten one is found."""

    def __init__(self, cluster: str, handler: Handler, limits: Limits, types: Types, serves_tunnels: bool) -> None:
        self._cluster = cluster
        self._handler = handler
        self._limits = limits
        self._types = types
        self._serves_tunnels = serves_tunnels
        self._in_hand: dict[int, _Call] = {}
        self._bytes = 0
        #: Everything that runs beside `run`.
        self._tasks: set[asyncio.Task[Any]] = set()
        self._leaving = False
        self.was_lost = False
        self.lost = 0
        self._calls: Receiver[Any]
        self._reports: Sender[Any]
        self._broadcasts: Receiver[Any]
        self._tunnels: Receiver[Any]

    def registration(self) -> dict[str, Any]:
        """Makes the channels, and gives what the relay is told."""
        limits = self._limits
        # Twice what is in hand: the sender of a channel hears late of what was taken.
        calls, self._calls = pipe(2 * limits.requests + 2)
        self._reports, reports = pipe(2 * limits.requests + 2)
        broadcasts, self._broadcasts = pipe(limits.broadcasts)
        tunnels, self._tunnels = pipe(limits.tunnels)
        return {
            "cluster": self._cluster,
            "slots": limits.requests,
            "bytes": limits.request_bytes,
            "broadcast_bytes": limits.broadcast_bytes,
            "calls": calls,
            "reports": reports,
            "broadcasts": broadcasts,
            "tunnels": tunnels,
        }

    async def run(self) -> None:
        """Serves until the member has left, or the relay is gone."""
        told = [self._broadcasts.clone() for _ in range(self._limits.broadcast_handlers)]
        telling = {self._beside(self._take_broadcasts(broadcasts)) for broadcasts in told}
        self._beside(self._take_tunnels())
        try:
            why = await self._take_calls()
            self.was_lost = why is not None
            if why is None:
                # The relay has ended the broadcasts too: what has come is handled.
                await asyncio.wait(telling)
        finally:
            self.drop()
            running = self._tasks | {call.task for call in self._in_hand.values() if call.task is not None}
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)
        if why is not None:
            try:
                await self._handler.dropped(why)
            except Exception:
                log.exception("the handler of a lost relay was left by an exception")

    async def leave(self) -> None:
        """Begins to leave: the relay sends no more requests."""
        self._leaving = True
        try:
            await self._reports.send(wire.slots(0))
        except SendError:
            pass  # The relay is gone: `run` finds it.

    def drop(self) -> None:
        """Gives up the ends: where it has not left before, the relay says `Lost` for what is in hand."""
        for end in (self._calls, self._reports, self._broadcasts, self._tunnels):
            end.drop()

    def _beside(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ---- requests

    async def _take_calls(self) -> IrisError | None:
        """Until the end; why the member is out, if it has not left."""
        while True:
            try:
                call = wire.reading(await self._calls.recv(), wire.call)
            except EndOfChannel:
                # The relay ends the calls of a member that leaves once it has all reports.
                return None if self._leaving else Closed("the relay has put the member out")
            except RecvError as error:
                if error.is_end:
                    return Lost("the relay is gone")
                log.warning("a call of the relay does not decode: %s", error)
                continue
            if isinstance(call, int):
                if call in self._in_hand:
                    self._in_hand[call].cancel()
            else:
                self._begin(*call)

    def _begin(self, number: int, left_ms: int, body: Body) -> None:
        # As the relay counts it; only a relay that does not count is answered so.
        if len(self._in_hand) >= self._limits.requests or self._bytes >= self._limits.request_bytes:
            body.drop()
            self._say(wire.shed(number))
            return
        call = _Call(number, body)
        self._in_hand[number] = call
        self._bytes += call.weight
        call.task = asyncio.ensure_future(self._answer(call, body))
        call.timer = asyncio.get_running_loop().call_later(left_ms / 1000, call.expire)
        # Not in the task: one that is cancelled before its first step runs none of its code.
        call.task.add_done_callback(lambda _: self._over(call))

    async def _answer(self, call: _Call, body: Body) -> Body:
        call.body = None
        try:
            value = body if self._types.request is Body else body.read(self._types.request)
        except NotDecoded as error:
            raise Fault(str(error)) from None
        reply = await self._handler.request(value)
        try:
            return Body.of(reply)
        except Local as error:
            raise Fault(f"the reply cannot be sent: {error}") from None

    def _over(self, call: _Call) -> None:
        del self._in_hand[call.number]
        self._bytes -= call.weight
        if call.timer is not None:
            call.timer.cancel()
        report, reply = call.report()
        if call.body is not None:
            call.body.drop()
        self._say(report, reply)

    def _say(self, report: dict[str, Any], reply: Body | None = None) -> None:
        """Reports to the relay. There is room, but for a relay that does not read."""
        try:
            if self._reports.try_send(report):
                if reply is not None:
                    reply.settle()
            else:
                self._beside(self._say_later(report, reply))
        except SendError as error:
            self._not_said(report, reply, error)

    async def _say_later(self, report: dict[str, Any], reply: Body | None) -> None:
        try:
            await self._reports.send(report)
        except SendError as error:
            self._not_said(report, reply, error)
        else:
            if reply is not None:
                reply.settle()

    def _not_said(self, report: dict[str, Any], reply: Body | None, error: SendError) -> None:
        if reply is None or isinstance(error, (ChannelClosed, Disconnected)) or not self._reports._is_usable():
            # The relay is gone, or this member: its callers see `Lost`.
            log.debug("a report found no relay: %s", error)
            return
        reply.undo()
        [(call, _)] = report.values()
        self._say(wire.fault(call, f"the reply cannot be sent: {error}"))

    # ---- broadcasts

    async def _take_broadcasts(self, broadcasts: Receiver[Any]) -> None:
        with broadcasts:
            while True:
                try:
                    self.lost, body = wire.reading(await broadcasts.recv(), wire.event)
                except EndOfChannel:
                    return
                except RecvError as error:
                    if error.is_end:
                        return
                    log.warning("a broadcast of the relay does not decode: %s", error)
                else:
                    await self._take_broadcast(body)

    async def _take_broadcast(self, body: Body) -> None:
        try:
            value = body if self._types.broadcast is Body else body.read(self._types.broadcast)
            await self._handler.broadcast(value)
        except NotDecoded as error:
            log.warning("a broadcast does not decode: %s", error)
        except Exception:
            log.exception("the handler of a broadcast was left by an exception")

    # ---- tunnels

    async def _take_tunnels(self) -> None:
        serving: set[asyncio.Task[Any]] = set()
        while True:
            while len(serving) >= self._limits.tunnels:
                await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
            try:
                to_member, to_opener, ready = wire.reading(await self._tunnels.recv(), wire.line)
            except EndOfChannel:
                return
            except RecvError as error:
                if error.is_end:
                    return
                log.warning("a tunnel of the relay does not decode: %s", error)
                continue
            tunnel = Tunnel(to_opener, to_member)
            if self._is_taken(ready):
                task = self._beside(self._serve_tunnel(tunnel))
                serving.add(task)
                task.add_done_callback(serving.discard)
                # Not in the task: see `_begin`.
                task.add_done_callback(functools.partial(_drop, tunnel))
            else:
                tunnel.drop()

    def _is_taken(self, ready: Sender[Any]) -> bool:
        said = wire.ready() if self._serves_tunnels else wire.not_ready("the service takes no tunnels")
        try:
            return ready.try_send(said) and self._serves_tunnels
        except SendError:
            return False  # The opener has given up.
        finally:
            ready.drop()

    async def _serve_tunnel(self, tunnel: Tunnel) -> None:
        try:
            await self._handler.tunnel(tunnel)
        except Exception:
            log.exception("the handler of a tunnel was left by an exception")


def _drop(tunnel: Tunnel, _: asyncio.Task[Any]) -> None:
    tunnel.drop()
