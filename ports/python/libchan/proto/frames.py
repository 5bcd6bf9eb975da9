"""Frames, byte by byte: spec/2-frames.md. A frame has exactly one encoding.

``decode`` checks all that a frame alone can show to be wrong; what depends on the session is the machine's to check.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Tuple, Union

from . import codes
from .errors import Misbehaviour, Reason
from .limits import MAX_ATTACHMENTS, MAX_COUNT, WIRE_LIMITS, Limits

PREFACE = b"libchan\x01"
HEADER = 8
MAX_TEXT = 1024

HELLO, OPEN, MESSAGE, FRAGMENT, CREDIT, CLOSE, CANCEL, DATA, END, STOP, PING, PONG, GOODBYE = range(1, 14)
#: A frame of unknown type with this bit is skipped.
IGNORABLE = 0x80

# Flags of a MESSAGE; FRAGMENT has only MORE.
MORE, ATTACHMENTS, NOT_ENCODED, NOT_FORWARDED, HEADERS = 1, 2, 4, 8, 16

# Kinds of attachments, named by what the receiver of the message gets.
SENDER, RECEIVER, STREAM, DESCRIPTOR, SENDER_HOME = range(1, 6)

# Who speaks in CLOSE and CANCEL: this end, or the channel.
SCOPE_END, SCOPE_CHANNEL = 0, 1

#: Keys and values, in order; of a key that stands twice the first counts.
Metadata = Tuple[Tuple[str, bytes], ...]

_TABLE_ENTRY = struct.Struct(">BIII")
_HEADER = struct.Struct(">IBI")
_CREDIT = struct.Struct(">III")


@dataclass(frozen=True)
class Hello:
    limits: Limits
    codecs: tuple[int, ...]
    features: int
    metadata: Metadata


@dataclass(frozen=True)
class Open:
    id: int
    capacity: int
    name: str
    metadata: Metadata


@dataclass(frozen=True)
class Entry:
    """One line of a message's attachment table."""

    kind: int
    id: int
    capacity: int = 0
    wanted: int = 0


@dataclass(frozen=True)
class Message:
    id: int
    flags: int
    codec: int
    table: tuple[Entry, ...]
    #: The length of the whole payload, with MORE.
    total: int | None
    payload: bytes
    #: Fields of tag, length and value; there with HEADERS.
    headers: bytes = b""


@dataclass(frozen=True)
class Fragment:
    id: int
    more: bool
    payload: bytes


@dataclass(frozen=True)
class Credit:
    id: int
    taken: int
    wanted: int
    bytes: int


@dataclass(frozen=True)
class Close:
    id: int
    scope: int
    reason: Reason


@dataclass(frozen=True)
class Cancel:
    id: int
    scope: int
    taken: int
    reason: Reason


@dataclass(frozen=True)
class Data:
    id: int
    payload: bytes


@dataclass(frozen=True)
class End:
    id: int
    reason: Reason


@dataclass(frozen=True)
class Stop:
    id: int
    reason: Reason


@dataclass(frozen=True)
class Ping:
    number: bytes


@dataclass(frozen=True)
class Pong:
    number: bytes


@dataclass(frozen=True)
class Goodbye:
    reason: Reason


Frame = Union[Hello, Open, Message, Fragment, Credit, Close, Cancel, Data, End, Stop, Ping, Pong, Goodbye]


# ---- reading


class Reader:
    """A body, read from its front. Whatever is missing is a broken rule (FR-05)."""

    def __init__(self, body: bytes) -> None:
        self.rest = body

    def take(self, n: int) -> bytes:
        if len(self.rest) < n:
            raise Misbehaviour("a frame is shorter than its fields")
        taken, self.rest = self.rest[:n], self.rest[n:]
        return taken

    def number(self, n: int) -> int:
        return int.from_bytes(self.take(n), "big")

    def end(self) -> None:
        if self.rest:
            raise Misbehaviour("a frame is longer than its fields")

    def text(self, n: int) -> str:
        try:
            return self.take(n).decode("utf-8")
        except UnicodeDecodeError:
            raise Misbehaviour("a text is not UTF-8") from None

    def reason(self) -> Reason:
        code = self.number(2)
        if len(self.rest) > MAX_TEXT:
            raise Misbehaviour("the text of a reason is longer than 1,024 bytes")
        return Reason(code, self.text(len(self.rest)))

    def scope(self) -> int:
        scope = self.number(1)
        if scope > SCOPE_CHANNEL:
            raise Misbehaviour("an unknown scope")
        return scope

    def metadata(self) -> Metadata:
        pairs = []
        while self.rest:
            key = self.text(self.number(1))
            pairs.append((key, self.take(self.number(2))))
        return tuple(pairs)


def split_header(data: bytes | bytearray, at: int = 0) -> tuple[int, int, int]:
    """Length, type and id of the header at ``at``; eight bytes must be there."""
    word, low, id = _HEADER.unpack_from(data, at - 1) if at else _HEADER.unpack_from(b"\0" + data[:HEADER])
    return word & 0xFF_FFFF, low, id


def is_known(type: int) -> bool:
    return HELLO <= type <= GOODBYE


def decode(type: int, id: int, body: bytes, max_attachments: int = MAX_ATTACHMENTS) -> Frame:
    """The frame, or `Misbehaviour` if it breaks a rule by itself."""
    if type in (HELLO, PING, PONG, GOODBYE) and id != 0:
        raise Misbehaviour("a frame of the session has an id")
    if type == MESSAGE:
        return _message(id, body, max_attachments)
    reader = Reader(body)
    if type == CREDIT:
        if len(body) != _CREDIT.size:
            raise Misbehaviour("a CREDIT is not 12 bytes long")
        credit = Credit(id, *_CREDIT.unpack(body))
        if id == 0 and (credit.wanted or credit.bytes):
            raise Misbehaviour("descriptor credit with other credit")
        return credit
    if type == OPEN:
        opened = Open(id, reader.number(4), reader.text(reader.number(2)), reader.metadata())
        if opened.capacity > MAX_COUNT:
            raise Misbehaviour("a capacity beyond 2,147,483,647")
        return opened
    if type == FRAGMENT:
        flags = reader.number(1)
        if flags & ~MORE or not reader.rest:
            raise Misbehaviour("a FRAGMENT has unknown flags or no payload")
        return Fragment(id, flags == MORE, reader.rest)
    if type == CLOSE:
        close = Close(id, reader.scope(), reader.reason())
        if close.reason.code == codes.NONE and close.reason.text:
            raise Misbehaviour("a clean CLOSE has a text")
        return close
    if type == CANCEL:
        return Cancel(id, reader.scope(), reader.number(4), reader.reason())
    if type == DATA:
        if not body:
            raise Misbehaviour("a DATA without bytes")
        return Data(id, body)
    if type == END:
        return End(id, reader.reason())
    if type == STOP:
        return Stop(id, reader.reason())
    if type == GOODBYE:
        return Goodbye(reader.reason())
    if type == HELLO:
        return _hello(reader)
    number = reader.take(8)
    reader.end()
    return Ping(number) if type == PING else Pong(number)


def _message(id: int, body: bytes, max_attachments: int) -> Message:
    reader = Reader(body)
    flags, codec = reader.number(1), reader.number(1)
    both = NOT_ENCODED | NOT_FORWARDED
    if flags & 0xE0 or flags & both == both:
        raise Misbehaviour("a MESSAGE has flags that do not go together")
    table: tuple[Entry, ...] = ()
    if flags & ATTACHMENTS:
        count = reader.number(1)
        if not 0 < count <= max_attachments:
            raise Misbehaviour(f"a message with {count} attachments", codes.TOO_MANY_ATTACHMENTS)
        rows = reader.take(count * _TABLE_ENTRY.size)
        table = tuple(Entry(*row) for row in _TABLE_ENTRY.iter_unpack(rows))
        for entry in table:
            _check_entry(entry)
    headers = reader.take(reader.number(1)) if flags & HEADERS else b""
    if flags & HEADERS:
        _check_headers(headers)
    total = reader.number(4) if flags & MORE else None
    if total is not None and len(reader.rest) >= total:
        raise Misbehaviour("the first part of a message is all of it, or more")
    return Message(id, flags, codec, table, total, reader.rest, headers)


def _check_headers(headers: bytes) -> None:
    """Fields fill the block; what they say is for who knows their tags."""
    if not headers:
        raise Misbehaviour("a MESSAGE with headers of no bytes")
    reader = Reader(headers)
    while reader.rest:
        reader.take(1)
        reader.take(reader.number(1))


def encode_headers(headers: bytes) -> bytes:
    return bytes([len(headers)]) + headers


def _check_entry(entry: Entry) -> None:
    if not SENDER <= entry.kind <= SENDER_HOME:
        raise Misbehaviour(f"an attachment of kind {entry.kind}")
    if entry.kind >= STREAM and (entry.capacity or entry.wanted):
        raise Misbehaviour("a stream or descriptor with a capacity")
    if entry.kind == DESCRIPTOR and entry.id:
        raise Misbehaviour("a descriptor with an id")
    if entry.kind == RECEIVER and (entry.wanted > 1 or (entry.wanted == 0 and entry.capacity == 0)):
        raise Misbehaviour("a receiving end whose `wanted` is not 0 or 1, or 0 with capacity 0")
    if entry.kind == SENDER and entry.wanted and entry.capacity:
        raise Misbehaviour("a sending end with room, and receives that wait")
    if entry.capacity > MAX_COUNT or entry.wanted > MAX_COUNT:
        raise Misbehaviour("a capacity, or `wanted`, beyond 2,147,483,647")


def _hello(reader: Reader) -> Hello:
    fields: dict[int, Reader] = {}
    last = 0
    while reader.rest:
        tag = reader.number(1)
        if tag <= last:
            raise Misbehaviour("the tags of a HELLO are not ascending")
        last = tag
        fields[tag] = Reader(reader.take(reader.number(2)))
    missing = [tag for tag in range(1, 13) if tag not in fields]
    if missing:
        raise Misbehaviour(f"a HELLO without tag {missing[0]}")

    def number(tag: int) -> int:
        value = fields[tag].number(4)
        fields[tag].end()
        return value

    limits = Limits(**{name: number(tag) for tag, name in enumerate(WIRE_LIMITS, 1)})
    return Hello(limits, tuple(fields[10].rest), number(11), fields[12].metadata())


# ---- writing


def encode(frame: Frame) -> bytes:
    """The bytes of a frame, header included."""
    type, id, body = _parts(frame)
    return header(len(body), type, id) + body


def header(length: int, type: int, id: int) -> bytes:
    return _HEADER.pack(length, type, id)[1:]


def encode_table(table: tuple[Entry, ...] | list[Entry]) -> bytes:
    return b"".join(_TABLE_ENTRY.pack(entry.kind, entry.id, entry.capacity, entry.wanted) for entry in table)


def encode_metadata(metadata: Metadata) -> bytes:
    """Raises `ValueError` where a key or value is longer than the wire allows."""
    out = bytearray()
    for key, value in metadata:
        name = key.encode()
        if len(name) > 255 or len(value) > 0xFFFF:
            raise ValueError(f"metadata {key!r} is too long")
        out += bytes([len(name)]) + name + len(value).to_bytes(2, "big") + value
    return bytes(out)


def cut_text(text: str) -> bytes:
    """A text for people, cut at a character to what the wire carries (FR-07)."""
    raw = text.encode("utf-8", "replace")
    return raw if len(raw) <= MAX_TEXT else raw[:MAX_TEXT].decode("utf-8", "ignore").encode()


def _reason(reason: Reason) -> bytes:
    return reason.code.to_bytes(2, "big") + cut_text(reason.text)


def _parts(frame: Frame) -> tuple[int, int, bytes]:
    if isinstance(frame, Message):
        head = bytes([frame.flags, frame.codec])
        if frame.flags & ATTACHMENTS:
            head += bytes([len(frame.table)]) + encode_table(frame.table)
        if frame.flags & HEADERS:
            head += encode_headers(frame.headers)
        if frame.total is not None:
            head += frame.total.to_bytes(4, "big")
        return MESSAGE, frame.id, head + frame.payload
    if isinstance(frame, Credit):
        return CREDIT, frame.id, _CREDIT.pack(frame.taken, frame.wanted, frame.bytes)
    if isinstance(frame, Fragment):
        return FRAGMENT, frame.id, bytes([MORE if frame.more else 0]) + frame.payload
    if isinstance(frame, Data):
        return DATA, frame.id, frame.payload
    if isinstance(frame, Open):
        name = frame.name.encode()
        if len(name) > 0xFFFF:
            raise ValueError("the name is too long")
        head = frame.capacity.to_bytes(4, "big") + len(name).to_bytes(2, "big")
        return OPEN, frame.id, head + name + encode_metadata(frame.metadata)
    if isinstance(frame, Close):
        return CLOSE, frame.id, bytes([frame.scope]) + _reason(frame.reason)
    if isinstance(frame, Cancel):
        return CANCEL, frame.id, bytes([frame.scope]) + frame.taken.to_bytes(4, "big") + _reason(frame.reason)
    if isinstance(frame, End):
        return END, frame.id, _reason(frame.reason)
    if isinstance(frame, Stop):
        return STOP, frame.id, _reason(frame.reason)
    if isinstance(frame, Ping):
        return PING, 0, frame.number
    if isinstance(frame, Pong):
        return PONG, 0, frame.number
    if isinstance(frame, Goodbye):
        return GOODBYE, 0, _reason(frame.reason)
    return HELLO, 0, _hello_body(frame)


def _hello_body(hello: Hello) -> bytes:
    fields = [getattr(hello.limits, name).to_bytes(4, "big") for name in WIRE_LIMITS]
    fields += [bytes(hello.codecs), hello.features.to_bytes(4, "big"), encode_metadata(hello.metadata)]
    return b"".join(bytes([tag]) + len(value).to_bytes(2, "big") + value for tag, value in enumerate(fields, 1))
