"""Frames as bytes: a second writer of the wire, made from spec/2-frames.md alone, so that the vectors do not trust
the code that they check. A frame is a dict as in spec/conformance/PROTOCOL.md."""

PREFACE = b"libchan\x01"

TYPES = {
    "HELLO": 0x01,
    "OPEN": 0x02,
    "MESSAGE": 0x03,
    "FRAGMENT": 0x04,
    "CREDIT": 0x05,
    "CLOSE": 0x06,
    "CANCEL": 0x07,
    "DATA": 0x08,
    "END": 0x09,
    "STOP": 0x0A,
    "PING": 0x0B,
    "PONG": 0x0C,
    "GOODBYE": 0x0D,
}
MORE, ATTACHMENTS, NOT_ENCODED, NOT_FORWARDED, HEADERS = 0x01, 0x02, 0x04, 0x08, 0x10

LIMITS = [
    "max_frame",
    "max_message",
    "max_attachments",
    "max_channels",
    "max_pending_accepts",
    "initial_window",
    "stream_window",
    "session_memory",
    "max_descriptors",
]
DEFAULTS = {
    "max_frame": 65536,
    "max_message": 16777216,
    "max_attachments": 64,
    "max_channels": 65536,
    "max_pending_accepts": 256,
    "initial_window": 2048,
    "stream_window": 16384,
    "session_memory": 536870912,
    "max_descriptors": 0,
    "codecs": [1, 2, 3, 0],
    "features": 0,
    "metadata": [],
}


def u8(n):
    return n.to_bytes(1, "big")


def u16(n):
    return n.to_bytes(2, "big")


def u32(n):
    return n.to_bytes(4, "big")


def mod251(n):
    return bytes(i % 251 for i in range(n))


def octets(value):
    """Bytes from hexadecimal text or a fill."""
    if isinstance(value, dict):
        assert value["fill"] == "mod251"
        return mod251(value["len"])
    return bytes.fromhex(value)


def header(length, kind, ident):
    return length.to_bytes(3, "big") + u8(kind) + u32(ident)


def raw(kind, ident, body):
    """A frame of any type with any body."""
    return header(len(body), kind, ident) + body


def metadata(entries):
    out = b""
    for key, value in entries:
        key, value = key.encode(), bytes.fromhex(value)
        out += u8(len(key)) + key + u16(len(value)) + value
    return out


def field(tag, value):
    return u8(tag) + u16(len(value)) + value


def hello_fields(frame):
    """(tag, value) of each field of a HELLO."""
    frame = {**DEFAULTS, **frame}
    fields = [(tag, u32(frame[name])) for tag, name in enumerate(LIMITS, 1)]
    return fields + [
        (10, bytes(frame["codecs"])),
        (11, u32(frame["features"])),
        (12, metadata(frame["metadata"])),
    ]


def reason(frame):
    return u16(frame.get("code", 0)) + frame.get("text", "").encode()


def body(frame):
    kind = frame["t"]
    get = lambda name: frame.get(name, 0)
    if kind == "HELLO":
        return b"".join(field(tag, value) for tag, value in hello_fields(frame))
    if kind == "OPEN":
        name = frame.get("name", "").encode()
        return u32(get("capacity")) + u16(len(name)) + name + metadata(frame.get("metadata", []))
    if kind == "MESSAGE":
        out = u8(get("flags")) + u8(get("codec"))
        if get("flags") & ATTACHMENTS:
            table = frame.get("attachments", [])
            out += u8(len(table)) + b"".join(
                u8(a["kind"]) + u32(a.get("id", 0)) + u32(a.get("capacity", 0)) + u32(a.get("wanted", 0))
                for a in table
            )
        if get("flags") & HEADERS:
            block = bytes.fromhex(frame.get("headers", ""))
            out += u8(len(block)) + block
        if get("flags") & MORE:
            out += u32(get("total"))
        return out + octets(frame.get("payload", ""))
    if kind == "FRAGMENT":
        return u8(get("flags")) + octets(frame.get("payload", ""))
    if kind == "CREDIT":
        return u32(get("taken")) + u32(get("wanted")) + u32(get("bytes"))
    if kind == "CLOSE":
        return u8(get("scope")) + reason(frame)
    if kind == "CANCEL":
        return u8(get("scope")) + u32(get("taken")) + reason(frame)
    if kind in ("END", "STOP", "GOODBYE"):
        return reason(frame)
    return octets(frame.get("payload", ""))


def encode(frame):
    """The bytes of a frame, header included."""
    if frame["t"] == "PREFACE":
        return PREFACE[:7] + u8(frame.get("version", 1))
    return raw(TYPES[frame["t"]], frame.get("id", 0), body(frame))
