"""Frames and values as the conformance runner writes them in JSON."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Callable

from .. import codecs
from ..proto import codes, frames
from ..proto.errors import Reason
from ..proto.limits import MAX_ATTACHMENTS, WIRE_LIMITS, Limits


class Failure(Exception):
    """The answer to a request is an error with this name."""

    def __init__(self, name: str, text: str = "", **more: Any) -> None:
        super().__init__(text)
        self.answer = {"name": name, "text": text, **more}


_CODES = {code: name for name, code in vars(codes).items() if name.isupper() and not name.startswith("_")}


def code_name(code: int) -> str:
    """The name of a code of the protocol; those of applications have none."""
    return _CODES.get(code, str(code)) if code < codes.APPLICATION else "APPLICATION"


def pairs(metadata: Any) -> frames.Metadata:
    return tuple((key, bytes.fromhex(value)) for key, value in metadata or ())


def unpairs(metadata: frames.Metadata) -> list[list[str]]:
    return [[key, value.hex()] for key, value in metadata]


# ---- frames


def frame_to_json(frame: frames.Frame) -> dict[str, Any]:
    made: dict[str, Any] = {"t": type(frame).__name__.upper(), "id": getattr(frame, "id", 0)}
    if isinstance(frame, frames.Hello):
        made.update({name: getattr(frame.limits, name) for name in WIRE_LIMITS})
        made.update(codecs=list(frame.codecs), features=frame.features, metadata=unpairs(frame.metadata))
        return made
    if isinstance(frame, frames.Message):
        made.update(flags=frame.flags, codec=frame.codec, payload=frame.payload.hex())
        made["attachments"] = [dataclasses.asdict(entry) for entry in frame.table]
        if frame.total is not None:
            made["total"] = frame.total
        if frame.headers:
            made["headers"] = frame.headers.hex()
        return made
    if isinstance(frame, (frames.Ping, frames.Pong)):
        made["payload"] = frame.number.hex()
        return made
    for field in dataclasses.fields(frame):
        value = getattr(frame, field.name)
        if isinstance(value, Reason):
            made.update(code=value.code, text=value.text)
        elif field.name == "metadata":
            made["metadata"] = unpairs(value)
        elif field.name == "more":
            made["flags"] = int(value)
        else:
            made[field.name] = value.hex() if isinstance(value, bytes) else value
    return made


def _reason(said: dict[str, Any]) -> Reason:
    return Reason(said.get("code", 0), said.get("text", ""))


def limits_of(said: dict[str, Any], default: Limits) -> Limits:
    return dataclasses.replace(default, **{name: said[name] for name in WIRE_LIMITS if name in said})


def frame_from_json(said: dict[str, Any]) -> frames.Frame:
    kind, id = said.get("t"), said.get("id", 0)
    payload = bytes.fromhex(said.get("payload", ""))
    get: Callable[[str], int] = lambda name: said.get(name, 0)  # noqa: E731
    if kind == "HELLO":
        limits = Limits(**{name: get(name) for name in WIRE_LIMITS})
        return frames.Hello(limits, tuple(said.get("codecs", ())), get("features"), pairs(said.get("metadata")))
    if kind == "MESSAGE":
        rows = said.get("attachments") or ()
        table = tuple(
            frames.Entry(row["kind"], *(row.get(name, 0) for name in ("id", "capacity", "wanted"))) for row in rows
        )
        headers = bytes.fromhex(said.get("headers", ""))
        return frames.Message(id, get("flags"), get("codec"), table, said.get("total"), payload, headers)
    makers: dict[str, Callable[[], frames.Frame]] = {
        "OPEN": lambda: frames.Open(id, get("capacity"), said.get("name", ""), pairs(said.get("metadata"))),
        "FRAGMENT": lambda: frames.Fragment(id, bool(get("flags")), payload),
        "CREDIT": lambda: frames.Credit(id, get("taken"), get("wanted"), get("bytes")),
        "CLOSE": lambda: frames.Close(id, get("scope"), _reason(said)),
        "CANCEL": lambda: frames.Cancel(id, get("scope"), get("taken"), _reason(said)),
        "DATA": lambda: frames.Data(id, payload),
        "END": lambda: frames.End(id, _reason(said)),
        "STOP": lambda: frames.Stop(id, _reason(said)),
        "PING": lambda: frames.Ping(payload),
        "PONG": lambda: frames.Pong(payload),
        "GOODBYE": lambda: frames.Goodbye(_reason(said)),
    }
    if kind not in makers:
        raise Failure("UNKNOWN_FRAME", str(kind))
    return makers[kind]()


def decode_frame(data: bytes) -> dict[str, Any]:
    """One whole frame, checked as far as it can be without a session."""
    from ..proto.errors import Misbehaviour

    if data.startswith(frames.PREFACE[:-1]) and len(data) == len(frames.PREFACE):
        return {"t": "PREFACE", "version": data[-1]}
    try:
        if len(data) < frames.HEADER:
            raise Misbehaviour("shorter than a header")
        length, kind, id = frames.split_header(data)
        if length > Limits().max_frame:
            raise Misbehaviour(f"a frame of {length} bytes", codes.FRAME_TOO_LARGE)
        if length != len(data) - frames.HEADER:
            raise Misbehaviour("the length in the header is not that of the body")
        if not frames.is_known(kind):
            if not kind & frames.IGNORABLE:
                raise Misbehaviour(f"an unknown type {kind:#04x}")
            return {"t": "UNKNOWN", "id": id}
        frame = frames.decode(kind, id, data[frames.HEADER :], min(Limits().max_attachments, MAX_ATTACHMENTS))
        if isinstance(frame, frames.Message):
            size = len(frame.payload) if frame.total is None else frame.total
            if size > Limits().max_message:
                raise Misbehaviour(f"a message of {size} bytes", codes.MESSAGE_TOO_LARGE)
        return frame_to_json(frame)
    except Misbehaviour as broken:
        raise Failure(code_name(broken.code), str(broken)) from None


def encode_frame(said: dict[str, Any]) -> bytes:
    if said.get("t") == "PREFACE":
        return frames.PREFACE[:-1] + bytes([said["version"]])
    return frames.encode(frame_from_json(said))


# ---- values

_SAFE = 2**53 - 1


class Ref:
    """Stands for an attachment in a value that is to be encoded."""

    def __init__(self, index: int) -> None:
        self.index = index


def value_from_json(said: Any, special: Callable[[str, Any], Any]) -> Any:
    """``special`` makes what stands for attachments and handles: ``{"attachment": 0}``, ``{"sender": 3}``."""
    if isinstance(said, list):
        return [value_from_json(item, special) for item in said]
    if not isinstance(said, dict):
        return said
    ((kind, inner),) = said.items()
    if kind == "int":
        return int(inner)
    if kind == "float":
        return float(inner)
    if kind == "bytes":
        return bytes.fromhex(inner)
    if kind == "map":
        return {value_from_json(key, special): value_from_json(item, special) for key, item in inner}
    return special(kind, inner)


def value_to_json(value: Any, special: Callable[[Any], Any]) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if -_SAFE <= value <= _SAFE else {"int": str(value)}
    if isinstance(value, float):
        if math.isnan(value):
            return {"float": "nan"}
        return {"float": value if math.isfinite(value) else "inf" if value > 0 else "-inf"}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, (list, tuple)):
        return [value_to_json(item, special) for item in value]
    if isinstance(value, dict):
        return {"map": [[value_to_json(key, special), value_to_json(item, special)] for key, item in value.items()]}
    return special(value)


def decode_value(codec: str, payload: bytes, attachments: int) -> Any:
    from .. import values
    from ..errors import Decode

    class Index(values.Attachable):
        _shared = True

        def __init__(self, index: int) -> None:
            self.index = index

        def _again(self, handle: Any) -> Index:
            return self

        def _end(self, reason: Reason) -> None: ...

    try:
        id = codecs.codec_id(codec)
    except ValueError:
        raise Failure("NOT_SUPPORTED", codec) from None
    try:
        value = values.decode(payload, id, [Index(i) for i in range(attachments)])
    except Decode as error:
        raise Failure("DECODE", str(error)) from None
    return value_to_json(value, lambda item: {"attachment": item.index})


def encode_value(codec: str, said: Any) -> bytes:
    def special(kind: str, inner: Any) -> Any:
        if kind != "attachment":
            raise Failure("UNKNOWN_VALUE", kind)
        return Ref(inner)

    try:
        id = codecs.codec_id(codec)
    except ValueError:
        raise Failure("NOT_SUPPORTED", codec) from None
    try:
        value = value_from_json(said, special)
        return codecs.CODECS[id].encode(value, lambda item: item.index if isinstance(item, Ref) else None)
    except codecs.CodecError as error:
        raise Failure("ENCODE", str(error)) from None
