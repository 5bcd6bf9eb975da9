"""What an application holds: a connection to a relay, and what it asks of it."""

from __future__ import annotations

from typing import Any

from .. import errors as channels
from ..ends import Receiver, Sender, pipe
from ..errors import DialError, OpenError, RecvError, SendError, SessionError
from ..listener import dial
from ..proto import codes
from ..session import Session
from . import service as services
from . import wire
from .body import Body
from .errors import Closed, IrisError, Local, Lost, Refused, not_sent
from .limits import Limits, TopicLimits
from .requests import Requesting, checked, within
from .service import Service
from .subscription import Subscription
from .tunnel import PIECES, Tunnel

#: How many posts, subscriptions, registrations and tunnels wait for the relay at the most, of each.
_CAPACITY = 256
#: With these codes a session is not admitted (SE-20).
_DENIALS = (codes.UNAUTHORIZED, codes.REFUSED, codes.UNAVAILABLE)


async def connect(url: str, **options: Any) -> Connection:
    """Dials a relay by any libchan URL; ``options`` are those of `libchan.dial`.

    Raises `Refused`: the relay admits nobody like this one; `Local`: there is no relay at the URL, or it cannot be
    dialed, and the text says why."""
    try:
        return Connection(await dial(url, **options))
    except (channels.LibchanError, OSError, ValueError, TypeError) as error:
        if _is_refusal(error):
            raise Refused(str(error)) from error
        raise Local(f"{url} cannot be dialed: {error}") from error


def _is_refusal(error: Exception) -> bool:
    """Whether a relay is there, and does not admit this application: by its goodbye, or by the status of its answer."""
    if isinstance(error, SessionError):
        return error.code in _DENIALS or error.code >= codes.APPLICATION
    answer = getattr(error.__cause__, "response", None)
    return isinstance(error, DialError) and getattr(answer, "status_code", None) in (401, 403, 429, 503)


class Connection:
    """An application's connection to a relay: it asks clusters, tells them and topics, subscribes, opens tunnels and
    joins clusters. ``async with`` closes it. `connect` makes it; ``Connection(session)`` is one over a session that is
    there already, whose other channels are unharmed."""

    def __init__(self, session: Session) -> None:
        #: The session under it.
        self.session = session
        self._requesting: Requesting | None = None
        self._lines: dict[str, Sender[Any]] = {}

    # ---- to one

    async def request(self, cluster: str, value: Any, timeout: float, *, wait: bool = True, type: Any = None) -> Any:
        """Asks a member of the cluster, and gives its reply, made into ``type`` (`Body`: as it is). ``timeout``: in
        seconds, for all of it. ``wait``: for a member, where the cluster has none; otherwise `NoMember` is raised at
        once.

        The value, and the reply, may hold channel ends, byte streams and descriptors: they work between this
        application and the handler. Cancelled, the request is cancelled wherever it is: it is not begun, or its handler
        is cancelled. Raises an `IrisError`, whose ``is_safe_to_retry`` says whether a handler can have seen it; the
        value has its ends again where it was not sent."""
        seconds = checked(timeout)
        if self._requesting is None:
            self._requesting = self._opened(lambda: Requesting(self.session))
        asked = Body.of(value)
        try:
            reply = await self._requesting.ask(_name(cluster), asked, seconds, bool(wait))
        finally:
            if asked is not value:
                asked.undo()
        return reply if type is Body else reply.read(type)

    async def tunnel(self, cluster: str, timeout: float) -> Tunnel:
        """Opens a tunnel to a member of the cluster; ``timeout``: in seconds. Raises `NoMember` and `Busy` (nobody
        takes it), `Timeout`, `Refused`, `Closed`, `Lost`."""
        seconds = checked(timeout)
        return await within(seconds, self._open_tunnel(_name(cluster), seconds))

    async def _open_tunnel(self, cluster: str, seconds: float) -> Tunnel:
        out, to_member = pipe(PIECES)
        to_opener, inward = pipe(PIECES)
        tunnel = Tunnel(out, inward)
        line = {"cluster": cluster, "left_ms": wire.milliseconds(seconds), "to_member": to_member}
        try:
            refused = await self._ask(wire.TUNNELS, {**line, "to_opener": to_opener}, wire.tunnel_readiness, Lost)
        except BaseException:
            to_member.drop()
            to_opener.drop()
            tunnel.drop()
            raise
        if refused is not None:
            tunnel.drop()
            raise refused
        return tunnel

    # ---- to many

    async def broadcast(self, cluster: str, value: Any) -> None:
        """Tells every member of the cluster. Completes when the relay has room for it, not when members have it; a
        member that has no room loses it, and counts the loss. Raises `Local` (it does not encode, or holds channel
        ends, streams or descriptors, which cannot go to many), `Closed`."""
        await self._post("Broadcast", _name(cluster), value)

    async def publish(self, topic: str, value: Any) -> None:
        """Tells every subscription of the topic, as `broadcast` does; a subscription that reads too slowly loses it,
        and counts the loss."""
        await self._post("Publish", _name(topic), value)

    async def _post(self, kind: str, name: str, value: Any) -> None:
        told = Body.of(value)
        try:
            if told.ends:
                raise Local(
                    f"the value holds {told.ends} channel ends, streams or descriptors: each has one other end, so it "
                    "cannot go to many; send them by a request"
                )
            await self._line(wire.POSTS).send(wire.post(kind, name, told))
        except SendError as error:
            raise not_sent(error) from error
        finally:
            if told is not value:
                told.undo()

    # ---- attachments

    async def subscribe(self, topic: str, *, type: Any = None, limits: TopicLimits | None = None) -> Subscription:
        """Subscribes to a topic. The subscription is in force when this returns: an event published later, by anybody,
        comes, made into ``type`` (`Body`: as it is). ``limits``: what may wait before further events are lost. Raises
        `Refused`, `Closed`."""
        limits = limits or TopicLimits()
        theirs, events = pipe(limits.events)
        asked = {"topic": _name(topic), "bytes": limits.bytes, "events": theirs}
        try:
            refused = await self._ask(wire.SUBSCRIBE, asked, wire.readiness, Closed)
        except BaseException:
            theirs.drop()
            events.drop()
            raise
        if refused is not None:
            events.drop()
            raise refused
        return Subscription(topic, events, type)

    async def register(self, cluster: str, handler: services.Handling, limits: Limits | None = None) -> Service:
        """Joins a cluster: ``handler``, a `Handler` or an async function for requests alone, gets what is sent to it.
        The member is in force when this returns. Several services may share a connection. Raises `Refused`, `Closed`;
        `TypeError` where the handler is none."""
        return await services.join(self, _name(cluster), handler, limits or Limits())

    async def _ask(self, channel: str, asked: dict[str, Any], read: Any, gone: type[IrisError]) -> IrisError | None:
        """Sends what is answered by `ready`; gives what it refuses. ``gone``: what it means that no answer comes."""
        ready, answer = pipe(1)
        try:
            await self._line(channel).send({**asked, "ready": ready})
            said: IrisError | None = wire.reading(await _first(answer, gone), read)
            return said
        except SendError as error:
            raise not_sent(error) from error
        except RecvError as error:
            raise gone() from error
        finally:
            ready.drop()
            answer.drop()

    def _line(self, name: str) -> Sender[Any]:
        """A named channel of the session, opened when it is first used."""
        if name not in self._lines:
            self._lines[name] = self._opened(lambda: self.session.open(name, _CAPACITY))
        return self._lines[name]

    def _opened(self, make: Any) -> Any:
        try:
            return make()
        except OpenError as error:
            raise Closed(f"the connection to the relay cannot be used: {error}") from error

    # ---- the end

    async def close(self) -> None:
        """Sends what was posted, then leaves the relay. Requests under way end with `Lost`, subscriptions and services
        too. Raises `Closed`: the connection was lost before, or something that was posted did not reach the relay."""
        try:
            await self.session.close()
        except SessionError as error:
            raise Closed(str(error)) from error
        finally:
            if self._requesting is not None:
                await self._requesting.ended()

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            await self.close()
        except Closed:
            if kind is None:
                raise

    def __repr__(self) -> str:
        count = self._requesting.under_way if self._requesting else 0
        return f"<Connection to {self.session.peer}, {count} requests under way>"


async def _first(answer: Receiver[Any], gone: type[IrisError]) -> Any:
    try:
        return await answer.recv()
    except channels.EndOfChannel:
        raise gone() from None


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise Local(f"the name of a cluster or topic is a text, not {name!r}")
    return name
