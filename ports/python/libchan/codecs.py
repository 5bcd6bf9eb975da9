"""How values become payloads: raw, json and msgpack (spec/codecs/). A payload holds only indexes of attachments.

An encoder asks ``place(end)`` for the index of an end in the value; a decoder gives `Placeholder` in the place of one,
where the codec can tell (msgpack), or the map that stands for one (json).
"""

from __future__ import annotations

import dataclasses
import enum
import json
from typing import Any, Callable, Protocol

try:
    import msgpack
except ImportError:  # pragma: no cover - the package names it as a dependency
    msgpack = None

#: Containers inside each other (LI-04).
MAX_DEPTH = 128
ATTACHMENT_KEY = "$libchan"


@dataclasses.dataclass(frozen=True)
class Placeholder:
    """An attachment, by its index in the message's table."""

    index: int


class CodecError(ValueError):
    """A value that cannot be encoded, or a payload that is none."""


Place = Callable[[Any], "int | None"]


class Codec(Protocol):
    id: int
    name: str

    def encode(self, value: Any, place: Place) -> bytes: ...

    def decode(self, payload: bytes) -> Any: ...


class Raw:
    """The payload is the value: bytes, a text, or nothing."""

    id = 0
    name = "raw"

    def encode(self, value: Any, place: Place) -> bytes:
        if value is None:
            return b""
        if isinstance(value, str):
            return _utf8(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        raise CodecError(f"raw takes bytes or a text, not {type(value).__name__}")

    def decode(self, payload: bytes) -> Any:
        return payload


class Json:
    """Bytes are lists of numbers, an attachment is {"$libchan": i}."""

    id = 2
    name = "json"

    def encode(self, value: Any, place: Place) -> bytes:
        def other(item: Any) -> Any:
            index = place(item)
            if index is not None:
                return {ATTACHMENT_KEY: index}
            if isinstance(item, (bytes, bytearray, memoryview)):
                return list(bytes(item))
            return _plain(item)

        _check_keys(value)
        text = _guarded(json.dumps, value, default=other, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return _utf8(text)

    def decode(self, payload: bytes) -> Any:
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CodecError(f"not UTF-8: {error}") from None
        if text.startswith("\ufeff"):
            raise CodecError("a byte order mark")
        try:
            value = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise CodecError(str(error) or "nested too deep") from None
        if len(payload) > MAX_DEPTH:
            _check_depth(value)
        return value


class Msgpack:
    """Structs are maps, an attachment is extension type 1."""

    id = 1
    name = "msgpack"

    def encode(self, value: Any, place: Place) -> bytes:
        def other(item: Any) -> Any:
            index = place(item)
            if index is not None:
                return msgpack.ExtType(1, index.to_bytes(1 if index < 256 else 2, "big"))
            return _plain(item)

        packed: bytes = _guarded(msgpack.packb, value, default=other, use_bin_type=True)
        return packed

    def decode(self, payload: bytes) -> Any:
        try:
            value = msgpack.unpackb(payload, raw=False, strict_map_key=False, ext_hook=_placeholder)
        except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
            raise CodecError(f"not msgpack: {error or type(error).__name__}") from None
        # A payload this short holds no value that deep.
        if len(payload) > MAX_DEPTH:
            _check_depth(value)
        return value


def _guarded(encode: Callable[..., Any], value: Any, **options: Any) -> Any:
    try:
        return encode(value, **options)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise CodecError(str(error)) from None


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CodecError(f"a text that is not Unicode: {error}") from None


def _plain(item: Any) -> Any:
    """Values that codecs do not know, as those that they do: enums are their names, dataclasses maps."""
    if isinstance(item, enum.Enum):
        return item.name
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
    if isinstance(item, (set, frozenset)):
        return list(item)
    raise TypeError(f"a {type(item).__name__} cannot be encoded")


def _check_keys(value: Any) -> None:
    """JSON's keys are texts: Python would make texts of numbers and None without a word."""
    pending = [value]
    seen = 0
    while pending:
        item = pending.pop()
        seen += 1
        if isinstance(item, dict):
            if not all(isinstance(key, str) for key in item):
                raise CodecError("the keys of a JSON object are texts")
            pending.extend(item.values())
        elif isinstance(item, (list, tuple)):
            pending.extend(item)
        if seen > 10_000_000:
            raise CodecError("a value that holds itself")


def _no_constant(name: str) -> Any:
    raise CodecError(f"{name} is not JSON")


def _placeholder(code: int, data: bytes) -> Any:
    if code != 1:
        if code < 0:
            raise CodecError(f"extension type {code} is not known here")
        return msgpack.ExtType(code, data)
    if len(data) not in (1, 2):
        raise CodecError("an attachment whose index is not one or two bytes")
    return Placeholder(int.from_bytes(data, "big"))


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        level = [item for item in level if isinstance(item, (dict, list, tuple))]
        if not level:
            return
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
                inner.extend(item.keys())
            else:
                inner.extend(item)
        level = inner
    raise CodecError(f"nested deeper than {MAX_DEPTH} levels")


#: The codecs of this library by id, the preferred one first.
CODECS: dict[int, Codec] = {codec.id: codec for codec in (Msgpack(), Json(), Raw()) if msgpack or codec.id != 1}
_BY_NAME = {"msgpack": 1, "json": 2, "cbor": 3, "raw": 0, "postcard": 4, "xml": 5, "protobuf": 6}


def codec_id(name: str) -> int:
    """The id of a codec by its name; `ValueError` if this library does not have it."""
    id = _BY_NAME.get(name)
    if id is None or id not in CODECS:
        raise ValueError(f"no codec {name!r} here, only {', '.join(codec.name for codec in CODECS.values())}")
    return id
