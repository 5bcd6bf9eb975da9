"""What applications and a relay say to each other: spec/iris.md. Messages are lists and maps on their way; here they
are made, and what came is checked.

A function that reads gives back what the message holds or raises `Decode`; the ends in the message are then ended.
"""

from __future__ import annotations

from typing import Any, Callable, TypeVar

from .. import values
from ..ends import Receiver, Sender
from ..errors import Decode
from ..proto import codes
from ..proto.errors import Reason
from .body import Body
from .errors import Busy, Closed, IrisError, Lost, NoMember, NotDecoded, Refused, Remote, Timeout

REQUESTS = "iris/1/requests"
POSTS = "iris/1/posts"
SUBSCRIBE = "iris/1/subscribe"
REGISTER = "iris/1/register"
TUNNELS = "iris/1/tunnels"

#: A number on the wire has 64 bits.
_MOST = (1 << 64) - 1

T = TypeVar("T")


def milliseconds(seconds: float) -> int:
    """A time as it travels: rounded up, so that half a millisecond is not none."""
    return min(max(-int(-seconds * 1000 // 1), 0), _MOST)


# ---- what is checked


def reading(raw: Any, read: Callable[[Any], T]) -> T:
    """Reads a message; if it is not as the specification says, ends what it carries."""
    try:
        return read(raw)
    except (Decode, ValueError, TypeError, KeyError, IndexError) as error:
        text = str(error) or type(error).__name__
        values.end_all(raw, Reason(codes.NOT_DECODED, text))
        raise Decode(f"not as the messages of Iris are: {text}") from None


def _list(raw: Any, count: int, what: str) -> list[Any]:
    if not isinstance(raw, list) or len(raw) != count:
        raise Decode(f"{what} is a list of {count}")
    return raw


def _number(raw: Any, what: str) -> int:
    if type(raw) is not int or not 0 <= raw <= _MOST:
        raise Decode(f"{what} is a number of 64 bits")
    return raw


def _text(raw: Any, what: str) -> str:
    if not isinstance(raw, str):
        raise Decode(f"{what} is a text")
    return raw


def _bytes(raw: Any, what: str) -> bytes:
    if isinstance(raw, list) and all(type(item) is int and 0 <= item < 256 for item in raw):
        return bytes(raw)  # in JSON
    if not isinstance(raw, bytes):
        raise Decode(f"{what} are bytes")
    return raw


def _end(raw: Any, wanted: type[T], what: str) -> T:
    if not isinstance(raw, wanted):
        raise Decode(f"{what} is a {wanted.__name__}")
    return raw


def _variant(raw: Any, what: str) -> tuple[str, Any]:
    """A name alone, or a map of one name with what belongs to it."""
    if isinstance(raw, str):
        return raw, None
    if isinstance(raw, dict) and len(raw) == 1:
        [(name, inner)] = raw.items()
        if isinstance(name, str):
            return name, inner
    raise Decode(f"{what} is a name, or a map of one entry")


def body(raw: Any) -> Body:
    codec, payload, ends = _list(raw, 3, "a body")
    if type(codec) is not int or not 0 <= codec < 256:
        raise Decode("the codec of a body is a number of 8 bits")
    if not isinstance(ends, list) or not all(isinstance(end, values.Attachable) for end in ends):
        raise Decode("the ends of a body are a list of channel ends, streams and descriptors")
    return Body(codec, _bytes(payload, "the payload of a body"), ends)


# ---- what an application says


def request(number: int, cluster: str, left_ms: int, wait: bool, asked: Body) -> dict[str, Any]:
    return {"Request": [number, cluster, left_ms, wait, asked.wire()]}


def cancel(number: int) -> dict[str, Any]:
    return {"Cancel": number}


def post(kind: str, name: str, told: Body) -> dict[str, Any]:
    """``kind``: Broadcast, to a cluster, or Publish, under a topic."""
    return {kind: [name, told.wire()]}


def ready() -> dict[str, Any]:
    return {"Ok": None}


def not_ready(text: str) -> dict[str, Any]:
    """Of a tunnel."""
    return {"Err": {"Refused": text}}


def ok(call: int, reply: Body) -> dict[str, Any]:
    return {"Ok": [call, reply.wire()]}


def fault(call: int, text: str) -> dict[str, Any]:
    return {"Fault": [call, Body.bytes(text).wire()]}


def shed(call: int) -> dict[str, Any]:
    return {"Shed": call}


def expired(call: int) -> dict[str, Any]:
    return {"Expired": call}


def slots(count: int) -> dict[str, Any]:
    return {"Slots": count}


def piece(total: int | None, part: bytes) -> list[Any]:
    return [total, part]


# ---- what a relay says


def answer(raw: Any) -> tuple[int, Body | IrisError]:
    """The number of a request, and its reply or why there is none. A verdict that this side does not know is
    `NotDecoded`: there is an answer, and a handler may have run."""
    number, verdict = _list(raw, 2, "an answer")
    return _number(number, "the number of a request"), _verdict(verdict)


def _verdict(raw: Any) -> Body | IrisError:
    name, inner = _variant(raw, "a verdict")
    if name == "Ok":
        return body(inner)
    if name == "Fault":
        text = body(inner)
        text.drop()
        return Remote(text.payload.decode("utf-8", "replace"))
    if name == "Refused":
        return Refused(_text(inner, "a refusal"))
    plain = _PLAIN.get(name)
    if plain is not None:
        return plain()
    values.end_all(inner, Reason(codes.NOT_DECODED))
    return NotDecoded(f"the relay answers {name!r}, which is not known here")


def _going() -> Closed:
    return Closed("the relay is going away, and has not taken the request")


_PLAIN: dict[str, Callable[[], IrisError]] = {
    "Timeout": Timeout,
    "NoMember": NoMember,
    "Busy": Busy,
    "Lost": Lost,
    "Going": _going,
}


def event(raw: Any) -> tuple[int, Body]:
    """How many were lost before, and the event."""
    lost, told = _list(raw, 2, "an event")
    return _number(lost, "what was lost"), body(told)


def readiness(raw: Any) -> IrisError | None:
    """Of a subscription or registration. None: it is in force. Otherwise why not."""
    refused = _refused(raw)
    return None if refused is None else Refused(_text(refused, "a refusal"))


def tunnel_readiness(raw: Any) -> IrisError | None:
    """Of a tunnel. None: a member has it. Otherwise why not."""
    refused = _refused(raw)
    if refused is None:
        return None
    name, text = _variant(refused, "a refusal")
    if name == "Refused":
        return Refused(_text(text, "a refusal"))
    if name in ("NoMember", "Busy"):
        return _PLAIN[name]()
    raise Decode(f"a refusal {name!r}")


def _refused(raw: Any) -> Any:
    """What stands in Err; None for Ok."""
    name, inner = _variant(raw, "what `ready` says")
    if name == "Ok":
        return None
    if name != "Err" or inner is None:
        raise Decode("`ready` says Ok, or Err and why")
    return inner


def call(raw: Any) -> tuple[int, int, Body] | int:
    """A request (the relay's number, milliseconds left, body), or the number of one that is cancelled."""
    name, inner = _variant(raw, "a call")
    if name == "Cancel":
        return _number(inner, "a cancelled call")
    if name != "Request":
        raise Decode(f"a call {name!r}")
    number, left, asked = _list(inner, 3, "a request")
    return _number(number, "a call"), _number(left, "the time left"), body(asked)


def line(raw: Any) -> tuple[Receiver[Any], Sender[Any], Sender[Any]]:
    """A tunnel for its member: what comes, what goes, and where it says that it is ready."""
    if not isinstance(raw, dict):
        raise Decode("a tunnel is a map")
    _text(raw["cluster"], "the cluster")
    _number(raw["left_ms"], "the time left")
    return (
        _end(raw["to_member"], Receiver, "to_member"),
        _end(raw["to_opener"], Sender, "to_opener"),
        _end(raw["ready"], Sender, "ready"),
    )


def part(raw: Any) -> tuple[int | None, bytes]:
    """A part of a tunnel's message: in the first part the length of the whole, and bytes."""
    total, data = _list(raw, 2, "a piece")
    return None if total is None else _number(total, "a length"), _bytes(data, "a piece")
