"""A service: a member of a cluster, and what it does with what it is sent."""

from __future__ import annotations

import asyncio
import inspect
import typing
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Union

from . import wire
from .errors import Closed, Fault, IrisError, Lost
from .limits import Limits
from .runner import Runner, Types

if TYPE_CHECKING:
    from .connection import Connection
    from .tunnel import Tunnel


class Handler:
    """What a member of a cluster does with requests, broadcasts and tunnels. Every method has a default, so a handler
    writes what it serves.

    The annotation of a method's parameter says what a value is made into: a dataclass, ``int``, `Body` for what came as
    it is; without one it is whatever is there. An exception that leaves a method is a fault for its caller (see
    `Fault`); the service goes on. A request that its caller cancels, or whose time is up, is cancelled here too."""

    async def request(self, value: Any) -> Any:
        """Answers a request."""
        raise Fault("the service takes no requests")

    async def broadcast(self, value: Any) -> None:
        """Takes a broadcast."""

    async def tunnel(self, tunnel: Tunnel) -> None:
        """Serves a tunnel, which is given up when this returns: close it first, or use ``async with``. A handler
        without this method refuses tunnels."""

    async def dropped(self, why: IrisError) -> None:
        """The connection to the relay was lost (`Lost`), or the relay has put the member out (`Closed`)."""


Handling = Union[Handler, Callable[[Any], Awaitable[Any]]]


class _Requests(Handler):
    """A handler of one function."""

    def __init__(self, answer: Callable[[Any], Awaitable[Any]]) -> None:
        self.request = answer  # type: ignore[method-assign, assignment]


def _as_handler(handler: Handling) -> Handler:
    if isinstance(handler, Handler):
        return handler
    if inspect.iscoroutinefunction(handler):
        return _Requests(handler)
    raise TypeError(f"a handler is a libchan.iris.Handler or an async function, not {handler!r}")


def _parameter_type(method: Callable[..., Any]) -> Any:
    """What the annotation of its parameter says; None without one. Raises `TypeError`."""
    parameters = list(inspect.signature(method).parameters.values())
    if not parameters:
        raise TypeError(f"{method.__qualname__} takes no parameter: a handler gets the value")
    if parameters[0].annotation is inspect.Parameter.empty:
        return None
    try:
        return typing.get_type_hints(method)[parameters[0].name]
    except NameError as error:
        raise TypeError(
            f"the annotation {parameters[0]} of {method.__qualname__} names nothing that can be found: {error}; define "
            "the type at the top of its module"
        ) from None


async def join(connection: Connection, cluster: str, handler: Handling, limits: Limits) -> Service:
    """Joins the cluster: see `Connection.register`."""
    found = _as_handler(handler)
    types = Types(_parameter_type(found.request), _parameter_type(found.broadcast))
    serves_tunnels = type(found).tunnel is not Handler.tunnel
    runner = Runner(cluster, found, limits, types, serves_tunnels)
    asked = runner.registration()
    try:
        refused = await connection._ask(wire.REGISTER, asked, wire.readiness, Closed)
        if refused is not None:
            raise refused
    except BaseException:
        for end in asked.values():
            if hasattr(end, "drop"):
                end.drop()
        runner.drop()
        raise
    return Service(connection, cluster, runner)


class Service:
    """A member of a cluster. `unregister`, or ``async with``, leaves in good order. `drop` leaves at once, and what it
    has in hand is `Lost` for its callers; so does a service that is garbage."""

    def __init__(self, connection: Connection, cluster: str, runner: Runner) -> None:
        #: The connection that it was made on: a service asks and tells others, too.
        self.connection = connection
        self.cluster = cluster
        self._runner = runner
        self._loop = asyncio.get_running_loop()
        self._running = self._loop.create_task(runner.run())

    @property
    def lost(self) -> int:
        """How many broadcasts were lost because they did not fit, before the last one that was taken."""
        return self._runner.lost

    async def unregister(self) -> None:
        """Leaves the cluster: takes no new requests, lets those in hand end, and broadcasts that have come, then goes.
        Tunnels that are open then are cancelled. Raises `Lost`: the relay was gone before, or the service was dropped.
        Not for a handler of its own, which would wait for itself."""
        await self._runner.leave()
        await self.closed()
        if self._runner.was_lost or self._running.cancelled():
            raise Lost("the member was gone before it had left in good order")

    async def closed(self) -> None:
        """Waits until it is no member any more, for whatever reason."""
        await asyncio.wait({self._running})

    def drop(self) -> None:
        """Leaves at once. Handlers are cancelled."""
        self._runner.drop()
        self._running.cancel()

    async def __aenter__(self) -> Service:
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            await self.unregister()
        else:
            self.drop()
            await self.closed()

    def __del__(self) -> None:
        running = getattr(self, "_running", None)
        if running is not None and not running.done() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_abandon, self._runner, running)

    def __repr__(self) -> str:
        return f"<Service in {self.cluster!r}{', over' if self._running.done() else ''}>"


def _abandon(runner: Runner, running: asyncio.Task[None]) -> None:
    runner.drop()
    running.cancel()
