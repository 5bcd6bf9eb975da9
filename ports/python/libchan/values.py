"""Values with ends in them: collecting the ends of a value that is to be sent, and making a value of what arrived.

Decoding goes by the type that is asked for: a dataclass, the usual containers, `Sender`, `Receiver`, `ByteStream`,
`Fd`, or nothing, which takes what is there. Claims are tentative until the whole value has decoded (AT-11).
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from functools import cache
from typing import Any

from .codecs import ATTACHMENT_KEY, CODECS, CodecError, Placeholder
from .errors import AttachmentInUse, Decode, Encode
from .proto import codes
from .proto.errors import NO_REASON, Reason


class Attachable:
    """What may stand in a value and travels as an attachment: channel ends, byte streams, descriptors."""

    __slots__: tuple[str, ...] = ()

    #: A channel end may be in a value several times: then it is one attachment (AT-09).
    _shared = False

    def _identity(self) -> tuple[Any, ...]:
        return (id(self),)

    def _is_usable(self) -> bool:
        raise NotImplementedError

    def _move(self) -> Any:
        """A new handle that has what this one had; this one is spent."""
        raise NotImplementedError

    def _restore(self, twin: Any) -> None:
        """Has again what `_move` has given to the twin."""
        raise NotImplementedError

    def _converts_to(self, wanted: type) -> bool:
        """Whether `_convert` makes one of these out of it."""
        return False

    def _convert(self, wanted: type) -> Any:
        raise NotImplementedError

    def _again(self, handle: Any) -> Any:
        """One more handle of a shared end, of its own kind; ``handle`` is one, of whatever kind."""
        raise NotImplementedError

    def _convert_back(self, made: Any) -> None:
        """Has again what `_convert` has given to what it made, where it was spent."""

    def drop(self) -> None:
        raise NotImplementedError

    def _end(self, reason: Reason) -> None:
        """Gives it up and says why; `NO_REASON`: another handle goes on, or nothing is to be said."""
        raise NotImplementedError


class Collector:
    """The ends in a value, in the order of the indexes in its payload."""

    def __init__(self) -> None:
        self._index: dict[tuple[Any, ...], int] = {}
        self._handles: list[list[Attachable]] = []
        self._moved: list[tuple[Attachable, Attachable]] = []
        self._spare: list[Attachable] = []

    def place(self, item: Any) -> int | None:
        """The index of an end; None for anything else."""
        if not isinstance(item, Attachable):
            return None
        if not item._is_usable():
            raise AttachmentInUse(f"this {type(item).__name__} is closed, or was moved into a message before")
        known = self._index.get(item._identity())
        if known is None:
            self._index[item._identity()] = len(self._handles)
            self._handles.append([item])
            return len(self._handles) - 1
        if not item._shared:
            raise AttachmentInUse(f"the same {type(item).__name__} twice in one value")
        if not any(item is handle for handle in self._handles[known]):
            self._handles[known].append(item)
        return known

    def __len__(self) -> int:
        return len(self._handles)

    def move(self) -> list[Attachable]:
        """Takes the ends away from the value: its handles are spent, until `undo`."""
        self._moved = [(handle, handle._move()) for group in self._handles for handle in group]
        first = {id(group[0]) for group in self._handles}
        self._spare = [twin for handle, twin in self._moved if id(handle) not in first]
        return [twin for handle, twin in self._moved if id(handle) in first]

    def undo(self) -> None:
        """The message was not accepted: the handles are the value's again."""
        for handle, twin in self._moved:
            handle._restore(twin)

    def settle(self) -> None:
        """The message was accepted: further handles of an end that goes once are given up."""
        for twin in self._spare:
            twin._end(NO_REASON)


def encode(value: Any, codec: int) -> tuple[bytes, Collector]:
    """The payload of a value, and the ends in it, which are not moved yet."""
    collector = Collector()
    try:
        return CODECS[codec].encode(value, collector.place), collector
    except CodecError as error:
        raise Encode(f"the value cannot be encoded: {error}") from None


class Claims:
    """The ends that came with a message, while its value is being made."""

    def __init__(self, ends: list[Any]) -> None:
        self.ends = ends
        self._claimed: dict[int, list[Any]] = {}

    def claim(self, index: int, wanted: type | None) -> Any:
        if not 0 <= index < len(self.ends):
            raise CodecError(f"attachment {index} is not in the message")
        end = self.ends[index]
        fits = wanted is None or isinstance(end, wanted) or end._converts_to(wanted)
        if not fits:
            raise CodecError(f"expected a {wanted.__name__}, got a {type(end).__name__}")  # type: ignore[union-attr]
        handles = self._claimed.setdefault(index, [])
        if not handles:
            handle = end
        elif end._shared:
            handle = end._again(handles[0])
        else:
            raise CodecError(f"the {type(end).__name__} at index {index} is claimed twice")
        if wanted is not None and not isinstance(handle, wanted):
            handle = handle._convert(wanted)
        handles.append(handle)
        return handle

    def mark(self) -> dict[int, int]:
        return {index: len(handles) for index, handles in self._claimed.items()}

    def back_to(self, mark: dict[int, int]) -> None:
        """Gives back what was claimed since: an alternative did not fit."""
        for index, handles in list(self._claimed.items()):
            keep = mark.get(index, 0)
            for clone in handles[max(keep, 1) :]:
                clone._end(NO_REASON)
            if keep == 0 and handles[0] is not self.ends[index]:
                self.ends[index]._convert_back(handles[0])
            del handles[keep:]
            if not handles:
                del self._claimed[index]

    def settle(self, why_not: str | None) -> None:
        """Closes what was not claimed; everything, if the value could not be made."""
        reason = Reason(codes.UNCLAIMED)
        if why_not is not None:
            self.back_to({})
            reason = Reason(codes.NOT_DECODED, why_not)
        for index, end in enumerate(self.ends):
            if index not in self._claimed:
                end._end(reason)


def decode(payload: bytes, codec: int, ends: list[Any], wanted: Any = None) -> Any:
    """The value; ends that it does not claim are closed. Raises `Decode`, and then all of them are."""
    claims = Claims(ends)
    why_not: str | None = "the value could not be made"
    try:
        if codec not in CODECS:
            raise CodecError(f"codec {codec} is not known here")
        raw = CODECS[codec].decode(payload)
        if codec == 0:
            value = _raw(raw, wanted)
        elif wanted is None and not ends and codec == 2:
            value = raw
        else:
            value = _convert(raw, wanted, claims, codec)
        why_not = None
        return value
    except CodecError as error:
        why_not = str(error)
        raise Decode(f"the message does not decode: {error}") from None
    finally:
        claims.settle(why_not)


def end_all(value: Any, reason: Reason) -> None:
    """Ends the ends in a value of this process that nobody will take."""
    waiting, seen = [value], set()
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Attachable):
            if item._is_usable():
                item._end(reason)
        elif isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, (list, tuple, set, frozenset)):
            waiting += item
        elif dataclasses.is_dataclass(item) and not isinstance(item, type):
            waiting += [getattr(item, field.name, None) for field in dataclasses.fields(item)]


def _raw(raw: bytes, wanted: Any) -> Any:
    if wanted in (None, Any, bytes):
        return raw
    if wanted is str:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise CodecError("a raw text that is not UTF-8") from None
    raise CodecError(f"expected {_name(wanted)}, got raw bytes")


def _untyped(raw: Any, claims: Claims, codec: int) -> Any:
    if isinstance(raw, Placeholder):
        return _finish(claims.claim(raw.index, None), None)
    if isinstance(raw, dict):
        index = _json_index(raw) if codec == 2 else None
        if index is not None and index < len(claims.ends):
            return _finish(claims.claim(index, None), None)
        return {_key(key): _untyped(item, claims, codec) for key, item in raw.items()}
    if isinstance(raw, list):
        return [_untyped(item, claims, codec) for item in raw]
    return raw


def _key(key: Any) -> Any:
    if isinstance(key, Placeholder):
        raise CodecError("an attachment as a key")
    return key


def _json_index(raw: Any) -> int | None:
    if isinstance(raw, dict) and len(raw) == 1:
        index = raw.get(ATTACHMENT_KEY)
        if type(index) is int and index >= 0:
            return index
    return None


def _finish(end: Any, inner: Any) -> Any:
    if inner is not None and hasattr(end, "_type"):
        end._type = inner
    return end


def _convert(raw: Any, wanted: Any, claims: Claims, codec: int) -> Any:
    if wanted is None or wanted is Any or wanted is object:
        return _untyped(raw, claims, codec)
    origin = typing.get_origin(wanted)
    args = typing.get_args(wanted)
    base = origin or wanted
    if isinstance(base, type) and issubclass(base, Attachable):
        index = raw.index if isinstance(raw, Placeholder) else _json_index(raw) if codec == 2 else None
        if index is None:
            raise CodecError(f"expected a {base.__name__}, got {_shape(raw)}")
        return _finish(claims.claim(index, base), args[0] if args else None)
    if origin is typing.Union or origin is types.UnionType:
        return _alternative(raw, wanted, args, claims, codec)
    if isinstance(raw, Placeholder):
        raise CodecError(f"expected {_name(wanted)}, got an attachment")
    if dataclasses.is_dataclass(base) and isinstance(base, type):
        return _dataclass(raw, base, claims, codec)
    if base in (list, set, frozenset, tuple) or base is dict:
        return _container(raw, wanted, base, args, claims, codec)
    return _scalar(raw, wanted)


def _alternative(raw: Any, wanted: Any, args: tuple[Any, ...], claims: Claims, codec: int) -> Any:
    if raw is None and type(None) in args:
        return None
    mark = claims.mark()
    for inner in args:
        if inner is type(None):
            continue
        try:
            return _convert(raw, inner, claims, codec)
        except CodecError:
            if len(args) == 2 and type(None) in args:
                raise
            claims.back_to(mark)
    raise CodecError(f"expected {_name(wanted)}, got {_shape(raw)}") from None


@cache
def _fields(wanted: type) -> list[tuple[str, Any, bool]]:
    hints = typing.get_type_hints(wanted)
    missing = dataclasses.MISSING
    return [
        (field.name, hints[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(wanted)
        if field.init
    ]


def _dataclass(raw: Any, wanted: type, claims: Claims, codec: int) -> Any:
    fields = _fields(wanted)
    shape = f"{wanted.__name__} {{ {', '.join(name for name, _, _ in fields)} }}"
    if not isinstance(raw, dict):
        raise CodecError(f"expected {shape}, got {_shape(raw)}")
    values = {}
    for name, inner, required in fields:
        if name in raw:
            try:
                values[name] = _convert(raw[name], inner, claims, codec)
            except CodecError as error:
                raise CodecError(f"{wanted.__name__}.{name}: {error}") from None
        elif required:
            if type(None) not in typing.get_args(inner):
                raise CodecError(f"expected {shape}, got a map without {name!r}")
            values[name] = None
    return wanted(**values)


def _container(raw: Any, wanted: Any, base: Any, args: tuple[Any, ...], claims: Claims, codec: int) -> Any:
    if base is dict:
        if not isinstance(raw, dict):
            raise CodecError(f"expected {_name(wanted)}, got {_shape(raw)}")
        key, item = args or (Any, Any)
        if args:
            return {_scalar(k, key): _convert(v, item, claims, codec) for k, v in raw.items()}
        return _untyped(raw, claims, codec)
    if not isinstance(raw, list):
        raise CodecError(f"expected {_name(wanted)}, got {_shape(raw)}")
    if base is tuple and args and args[-1] is not Ellipsis:
        if len(args) != len(raw):
            raise CodecError(f"expected {_name(wanted)}, got a list of {len(raw)}")
        return tuple(_convert(item, inner, claims, codec) for item, inner in zip(raw, args, strict=True))
    inner = args[0] if args else Any
    return base(_convert(item, inner, claims, codec) for item in raw)


def _scalar(raw: Any, wanted: Any) -> Any:
    if wanted is None or wanted is Any or wanted is object:
        return _key(raw)
    if isinstance(wanted, type):
        if issubclass(wanted, enum.Enum):
            if isinstance(raw, str) and raw in wanted.__members__:
                return wanted[raw]
        elif wanted is float and isinstance(raw, int) and not isinstance(raw, bool):
            return float(raw)
        elif wanted is bytes and isinstance(raw, list):
            if all(type(item) is int and 0 <= item < 256 for item in raw):
                return bytes(raw)
        elif isinstance(raw, wanted) and (wanted is bool or not isinstance(raw, bool)):
            return raw
        elif wanted is type(None) and raw is None:
            return None
    elif typing.get_origin(wanted) is typing.Literal and raw in typing.get_args(wanted):
        return raw
    raise CodecError(f"expected {_name(wanted)}, got {_shape(raw)}")


def _name(wanted: Any) -> str:
    return wanted.__name__ if isinstance(wanted, type) and not typing.get_args(wanted) else str(wanted)


def _shape(raw: Any) -> str:
    if isinstance(raw, dict):
        return "a map" if len(raw) > 8 else f"a map of {', '.join(map(repr, raw))}" if raw else "an empty map"
    names = {list: "a list", str: "a string", bytes: "bytes", bool: "a boolean", int: "a number", float: "a number"}
    if isinstance(raw, Placeholder):
        return "an attachment"
    return "nothing" if raw is None else names.get(type(raw), type(raw).__name__)
