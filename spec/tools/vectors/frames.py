"""frames.json: a frame and its bytes, both ways, and bodies that no session could make right."""

from wire import ATTACHMENTS, DEFAULTS, HEADERS, MORE, NOT_ENCODED, NOT_FORWARDED, TYPES
from wire import encode, field, hello_fields, mod251, raw, u8, u16, u32


class Frames:
    def __init__(self):
        self.entries = []
        self.numbers = {}

    def gone(self, group, count=1):
        """Here stood entries that are shown no more: their numbers are not given again."""
        self.numbers[group] = self.numbers.get(group, 0) + count

    def next(self, group):
        self.numbers[group] = self.numbers.get(group, 0) + 1
        return f"fr.{group}.{self.numbers[group]:03}"

    def both(self, group, req, why, frame, level=0):
        self.entries.append(
            {
                "id": self.next(group),
                "req": req,
                "level": level,
                "why": why,
                "mode": "both",
                "hex": encode(frame).hex(),
                "frame": frame,
            }
        )

    def decode(self, group, req, why, data, frame, level=0):
        self.entries.append(
            {
                "id": self.next(group),
                "req": req,
                "level": level,
                "why": why,
                "mode": "decode",
                "hex": data.hex(),
                "frame": frame,
            }
        )

    def bad(self, group, req, why, data, code="PROTOCOL", level=0):
        self.entries.append(
            {
                "id": self.next(group),
                "req": req,
                "level": level,
                "why": why,
                "mode": "decode",
                "hex": data.hex(),
                "error": code,
            }
        )


def full_hello(**fields):
    return {"t": "HELLO", "id": 0, **DEFAULTS, **fields}


def hello(v):
    example = full_hello(initial_window=2048, metadata=[["name", "6275696c64"]])
    v.both("hello", ["FR-12"], "the example of 2-frames.md", example)
    v.both("hello", ["FR-12"], "every default", full_hello())
    v.both("hello", ["FR-12"], "no codec, no feature, no metadata", full_hello(codecs=[]))
    v.both(
        "hello",
        ["FR-12"],
        "numbers at their highest",
        full_hello(
            **{
                name: 0xFFFFFFFF
                for name in ("max_frame", "max_message", "max_channels", "session_memory", "features")
            }
        ),
    )
    v.both(
        "hello",
        ["FR-12"],
        "metadata: an empty value, a key twice, bytes that are no text",
        full_hello(metadata=[["a", ""], ["a", "00ff"], ["", "01"]]),
    )
    fields = hello_fields({})
    join = lambda pairs: raw(1, 0, b"".join(field(tag, value) for tag, value in pairs))
    v.decode(
        "hello",
        ["FR-13"],
        "a tag behind the known ones is skipped",
        join(fields + [(13, b"new")]),
        full_hello(),
    )
    v.decode(
        "hello",
        ["FR-13"],
        "two unknown tags, the second empty",
        join(fields + [(200, b"x"), (255, b"")]),
        full_hello(),
    )
    for tag in range(1, 13):
        v.bad("hello", ["FR-12"], f"tag {tag} is missing", join([f for f in fields if f[0] != tag]))
    v.bad("hello", ["FR-11"], "tag 3 twice", join(fields[:3] + fields[2:]))
    v.bad("hello", ["FR-11"], "tags 1 and 2 the wrong way round", join([fields[1], fields[0]] + fields[2:]))
    v.bad("hello", ["FR-11"], "tag 0: tags begin at 1", join([(0, b"")] + fields))
    v.bad("hello", ["FR-05"], "a number of three bytes", join([(1, b"\0\1\0")] + fields[1:]))
    v.bad("hello", ["FR-05"], "a number of five bytes", join([(1, b"\0\0\1\0\0")] + fields[1:]))
    whole = join(fields)[8:]
    v.bad("hello", ["FR-05"], "the last field is cut", raw(1, 0, whole[:-2]))
    v.bad("hello", ["FR-05"], "a field is longer than the frame", raw(1, 0, whole + u8(13) + u16(1)))
    v.bad("hello", ["FR-05"], "an empty hello", raw(1, 0, b""))
    v.bad("hello", ["FR-05"], "metadata whose value is cut", join(fields[:-1] + [(12, b"\x01a\x00\x05abc")]))
    v.bad(
        "hello",
        ["FR-06"],
        "a key of the metadata that is not UTF-8",
        join(fields[:-1] + [(12, b"\x01\xff\0\0")]),
    )
    v.bad("hello", ["FR-08"], "a HELLO with an id", raw(1, 2, whole))


def opening(v):
    v.both(
        "open",
        ["CH-01"],
        "the example",
        {"t": "OPEN", "id": 2, "capacity": 64, "name": "jobs", "metadata": []},
    )
    v.both(
        "open",
        ["CH-01"],
        "an odd id, capacity 0, no name",
        {"t": "OPEN", "id": 1, "capacity": 0, "name": "", "metadata": []},
    )
    v.both(
        "open",
        ["FR-06"],
        "a name that is not ASCII, and metadata",
        {
            "t": "OPEN",
            "id": 4,
            "capacity": 1,
            "name": "größe/日本",
            "metadata": [["trace", "0011"], ["b", ""]],
        },
    )
    v.both(
        "open",
        ["CH-01"],
        "the highest numbers",
        {"t": "OPEN", "id": 0xFFFFFFFE, "capacity": 0x7FFFFFFF, "name": "x", "metadata": []},
    )
    v.both(
        "open",
        ["FR-05"],
        "a name longer than the texts of reasons may be",
        {"t": "OPEN", "id": 2, "capacity": 1, "name": "n" * 1500, "metadata": []},
    )
    v.bad("open", ["FR-05"], "the name is cut", raw(2, 2, u32(1) + u16(4) + b"job"))
    v.bad("open", ["FR-05"], "no length of the name", raw(2, 2, u32(1)))
    v.bad("open", ["FR-05"], "one byte of a metadata entry", raw(2, 2, u32(1) + u16(1) + b"a" + b"\x03"))
    v.bad(
        "open", ["FR-05"], "metadata without the value's length", raw(2, 2, u32(1) + u16(1) + b"a" + b"\x01k")
    )
    v.bad("open", ["FR-06"], "a name that is not UTF-8", raw(2, 2, u32(1) + u16(2) + b"\xc3\x28"))
    v.bad("open", ["FR-06"], "a name with a surrogate", raw(2, 2, u32(1) + u16(3) + b"\xed\xa0\x80"))


def attachment(kind, ident=0, capacity=0, wanted=0):
    return {"kind": kind, "id": ident, "capacity": capacity, "wanted": wanted}


def message(flags=0, codec=0, payload="", ident=2, **rest):
    return {"t": "MESSAGE", "id": ident, "flags": flags, "codec": codec, "payload": payload, **rest}


def messages(v):
    v.both("message", ["MP-01"], "the example: 42 in msgpack", message(codec=1, payload="2a"))
    v.both("message", ["CR-08"], "an empty payload is a message too", message())
    v.both("message", ["CR-08"], "600 bytes", message(payload={"fill": "mod251", "len": 600}))
    v.both(
        "message",
        ["AT-20"],
        "a codec for private use, and an id of the acceptor's",
        message(codec=255, payload="00", ident=1),
    )
    v.both(
        "message",
        ["AT-01"],
        "the example with a stream and a sending end",
        level=2,
        frame=message(
            ATTACHMENTS, 1, "82a161d40100a162d40101", attachments=[attachment(3, 4), attachment(1, 6, 64)]
        ),
    )
    v.both(
        "message",
        ["AT-05"],
        "every kind, and every field",
        level=3,
        frame=message(
            ATTACHMENTS,
            0,
            "",
            attachments=[
                attachment(1, 4, 0, 3),
                attachment(2, 6, 0, 1),
                attachment(2, 8, 5),
                attachment(3, 10),
                attachment(4),
                attachment(5, 1),
            ],
        ),
    )
    v.both(
        "message",
        ["FR-19"],
        "64 attachments",
        level=1,
        frame=message(ATTACHMENTS, 0, "ff", attachments=[attachment(2, 2 * i + 4, i + 1) for i in range(64)]),
    )
    v.both(
        "message",
        ["FR-24"],
        "the first frame of two, from the example",
        message(MORE, 0, "61626364", total=6),
    )
    v.both("message", ["FR-24"], "a first frame without payload", message(MORE, 0, "", total=1))
    v.gone("message", 2)
    v.both("message", ["CH-11"], 'could not be encoded: "no"', message(NOT_ENCODED, 1, "6e6f"))
    v.both("message", ["CH-11"], "could not be forwarded, without words", message(NOT_FORWARDED, 0, ""))
    for flag in (0x20, 0x40, 0x80):
        v.bad("message", ["FR-15"], f"flag {flag:02x}", raw(3, 2, u8(flag) + u8(0)))
    v.bad("message", ["FR-16"], "both flaws", raw(3, 2, u8(NOT_ENCODED | NOT_FORWARDED) + u8(0)))
    v.gone("message")
    v.bad(
        "message",
        ["FR-19"],
        "a table of none",
        raw(3, 2, u8(ATTACHMENTS) + u8(0) + u8(0)),
        "TOO_MANY_ATTACHMENTS",
    )
    entry = u8(3) + u32(4) + u32(0) + u32(0)
    v.bad(
        "message",
        ["FR-19"],
        "65 attachments, of which none is there",
        raw(3, 2, u8(ATTACHMENTS) + u8(0) + u8(65)),
        "TOO_MANY_ATTACHMENTS",
        1,
    )
    v.bad(
        "message",
        ["FR-20"],
        "a total of 4 GiB",
        raw(3, 2, u8(MORE) + u8(0) + u32(0xFFFFFFFF)),
        "MESSAGE_TOO_LARGE",
    )
    v.bad(
        "message",
        ["FR-20"],
        "one byte more than max_message",
        raw(3, 2, u8(MORE) + u8(0) + u32(16777217) + b"a"),
        "MESSAGE_TOO_LARGE",
    )
    v.bad("message", ["FR-05"], "an empty body", raw(3, 2, b""))
    v.bad("message", ["FR-05"], "no codec", raw(3, 2, u8(0)))
    v.bad("message", ["FR-05"], "no count", raw(3, 2, u8(ATTACHMENTS) + u8(0)))
    v.bad(
        "message",
        ["FR-05"],
        "the table is cut",
        raw(3, 2, u8(ATTACHMENTS) + u8(0) + u8(2) + entry + entry[:12]),
    )
    v.bad("message", ["FR-05"], "the total is cut", raw(3, 2, u8(MORE) + u8(0) + b"\0\0\1"))
    v.bad(
        "message",
        ["FR-24"],
        "all of it is there, but MORE says that some is not",
        raw(3, 2, u8(MORE) + u8(0) + u32(3) + b"abc"),
    )
    v.bad("message", ["FR-24"], "more is there than the total", raw(3, 2, u8(MORE) + u8(0) + u32(2) + b"abc"))
    table = lambda *rest: raw(3, 2, u8(ATTACHMENTS) + u8(0) + u8(1) + b"".join(rest))
    for kind in (0, 7, 255):
        v.bad(
            "message",
            ["AT-01"],
            f"an attachment of kind {kind}",
            table(u8(kind), u32(4), u32(1), u32(0)),
            level=1,
        )
    v.bad("message", ["AT-01"], "kind 6 is reserved", table(u8(6), u32(2), u32(0), u32(0)), level=1)
    v.bad("message", ["AT-05"], "a stream with a capacity", table(u8(3), u32(4), u32(1), u32(0)), level=2)
    v.bad("message", ["AT-05"], "a stream with wanted", table(u8(3), u32(4), u32(0), u32(1)), level=2)
    v.bad("message", ["AT-05"], "a descriptor with an id", table(u8(4), u32(4), u32(0), u32(0)), level=3)
    v.bad(
        "message",
        ["AT-05"],
        "a sender come home with a capacity",
        table(u8(5), u32(1), u32(1), u32(0)),
        level=1,
    )
    v.bad(
        "message", ["AT-06"], "a receiving end with wanted 2", table(u8(2), u32(4), u32(1), u32(2)), level=1
    )
    v.bad(
        "message",
        ["AT-06"],
        "a rendezvous that is not served on demand",
        table(u8(2), u32(4), u32(0), u32(0)),
        level=1,
    )


    headers(v)


def headers(v):
    """The block of headers, whole and malformed; and what else the simpler rules ask of a MESSAGE and OPEN."""
    deadline = "020800000000000005dc"
    trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    v.both(
        "headers",
        ["FR-34", "FR-35"],
        "the example: a deadline, and a tag that nobody knows",
        message(HEADERS, 1, "2a", headers=deadline + "0901ff"),
    )
    v.both(
        "headers",
        ["FR-34"],
        "a trace",
        message(HEADERS, 1, "2a", headers=(u8(1) + u8(len(trace)) + trace).hex()),
    )
    v.both(
        "headers",
        ["FR-34", "FR-24"],
        "attachments stand before the headers, and the headers before the total",
        message(
            MORE | ATTACHMENTS | HEADERS,
            1,
            "c0",
            total=100000,
            attachments=[attachment(1, 6, 2)],
            headers="0901ff",
        ),
        1,
    )
    v.both("headers", ["FR-34"], "the shortest: a tag with no value", message(HEADERS, 0, "", headers="0700"))
    v.both(
        "headers",
        ["FR-34"],
        "the longest: 255 bytes",
        message(HEADERS, 0, "00", headers="09fd" + "ab" * 253),
    )
    v.both(
        "headers",
        ["FR-34"],
        "a tag twice: whoever knows it takes the first",
        message(HEADERS, 0, "00", headers="090101090102"),
    )
    v.both(
        "headers",
        ["FR-34", "CH-11"],
        "a message that stands for another may have headers too",
        message(HEADERS | NOT_FORWARDED, 0, "6e6f", headers=deadline),
    )
    head = lambda *rest: raw(3, 2, u8(HEADERS) + u8(0) + b"".join(rest))
    v.bad("headers", ["FR-34"], "a block of no byte", head(u8(0), b"abc"))
    v.bad("headers", ["FR-34"], "a block of one byte: half a field", head(u8(1), b"\x09"))
    v.bad("headers", ["FR-34"], "a field that is longer than the block", head(u8(3), b"\x09\x02\xff", b"abc"))
    v.bad("headers", ["FR-34"], "a tag behind the last field", head(u8(4), b"\x09\x01\xff\x09", b"abc"))
    v.bad("headers", ["FR-05"], "the block is cut by the end of the frame", head(u8(9), b"\x09\x01\xff"))
    v.bad("headers", ["FR-05"], "no length", head())
    v.bad(
        "number",
        ["LI-06"],
        "an OPEN with a capacity of 2,147,483,648",
        raw(2, 2, u32(0x80000000) + u16(1) + b"x"),
    )
    for req, why, kind, capacity, wanted in (
        ("LI-06", "an attachment with a capacity of 2,147,483,648", 2, 0x80000000, 0),
        ("LI-06", "an attachment with 2,147,483,648 receives that wait", 1, 0, 0x80000000),
        ("AT-06", "a sending end with room, and receives that wait", 1, 3, 1),
    ):
        table = u8(1) + u8(kind) + u32(4) + u32(capacity) + u32(wanted)
        v.bad("number", [req], why, raw(3, 2, u8(ATTACHMENTS) + u8(0) + table), level=1)


def fragments(v):
    v.both(
        "fragment",
        ["FR-21"],
        "the last, from the example",
        {"t": "FRAGMENT", "id": 2, "flags": 0, "payload": "6566"},
    )
    v.both("fragment", ["FR-21"], "more follow", {"t": "FRAGMENT", "id": 2, "flags": 1, "payload": "00"})
    v.both(
        "fragment",
        ["FR-21"],
        "300 bytes",
        {"t": "FRAGMENT", "id": 3, "flags": 0, "payload": {"fill": "mod251", "len": 300}},
    )
    v.bad("fragment", ["FR-21"], "no payload", raw(4, 2, u8(0)))
    v.bad("fragment", ["FR-21"], "no payload, and more to follow", raw(4, 2, u8(1)))
    v.bad("fragment", ["FR-05"], "an empty body", raw(4, 2, b""))
    for flag in (0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80):
        v.bad("fragment", ["FR-15"], f"flag {flag:02x}", raw(4, 2, u8(flag) + b"a"))


def credits(v):
    v.both(
        "credit", ["CR-04"], "the example", {"t": "CREDIT", "id": 2, "taken": 32, "wanted": 0, "bytes": 1024}
    )
    v.both(
        "credit", ["CR-03"], "a receive waits", {"t": "CREDIT", "id": 2, "taken": 0, "wanted": 1, "bytes": 0}
    )
    v.both(
        "credit",
        ["CR-16"],
        "three descriptors given back",
        {"t": "CREDIT", "id": 0, "taken": 3, "wanted": 0, "bytes": 0},
        3,
    )
    v.both(
        "credit",
        ["CR-14"],
        "the most bytes at once",
        {"t": "CREDIT", "id": 2, "taken": 0, "wanted": 0, "bytes": 2147483647},
    )
    v.both(
        "credit",
        ["FR-05"],
        "nothing at all: it says nothing, and is no error",
        {"t": "CREDIT", "id": 2, "taken": 0, "wanted": 0, "bytes": 0},
    )
    v.bad("credit", ["FR-05"], "a byte too few", raw(5, 2, bytes(11)))
    v.bad("credit", ["FR-05"], "a byte too many", raw(5, 2, bytes(13)))
    v.bad("credit", ["FR-26"], "id 0 with wanted", raw(5, 0, u32(1) + u32(1) + u32(0)), level=3)
    v.bad("credit", ["FR-26"], "id 0 with bytes", raw(5, 0, u32(0) + u32(0) + u32(1)), level=3)


def ends(v):
    v.both("close", ["CH-20"], "this end, clean", {"t": "CLOSE", "id": 2, "scope": 0, "code": 0, "text": ""})
    v.both(
        "close",
        ["FR-29"],
        "the channel, application code 7 is 256 + 7",
        {"t": "CLOSE", "id": 2, "scope": 1, "code": 263, "text": "bye"},
    )
    v.both(
        "close",
        ["FR-07"],
        "a text of 1,024 bytes",
        {"t": "CLOSE", "id": 2, "scope": 0, "code": 1000, "text": "t" * 1024},
    )
    v.both(
        "close",
        ["ER-01"],
        "a code that no list has",
        {"t": "CLOSE", "id": 2, "scope": 0, "code": 65535, "text": ""},
    )
    v.bad("close", ["FR-29"], "scope 2", raw(6, 2, u8(2) + u16(0)))
    v.bad("close", ["FR-30"], "a clean end with a text", raw(6, 2, u8(0) + u16(0) + b"x"))
    v.bad("close", ["FR-05"], "no code", raw(6, 2, u8(0)))
    v.bad("close", ["FR-05"], "half of the code", raw(6, 2, u8(0) + b"\0"))
    v.bad("close", ["FR-07"], "a text of 1,025 bytes", raw(6, 2, u8(0) + u16(300) + b"t" * 1025))
    v.bad("close", ["FR-06"], "a text that is not UTF-8", raw(6, 2, u8(0) + u16(300) + b"a\x80"))

    v.both(
        "cancel",
        ["CR-05"],
        "the example: three more were taken",
        {"t": "CANCEL", "id": 2, "scope": 0, "taken": 3, "code": 0, "text": ""},
    )
    v.both(
        "cancel",
        ["CH-08"],
        "refused",
        {"t": "CANCEL", "id": 2, "scope": 1, "taken": 0, "code": 32, "text": "no such name"},
    )
    v.both(
        "cancel",
        ["FR-07"],
        "code 0 may have a text here",
        {"t": "CANCEL", "id": 2, "scope": 0, "taken": 0, "code": 0, "text": "ü"},
    )
    v.bad("cancel", ["FR-29"], "scope 255", raw(7, 2, u8(255) + u32(0) + u16(0)))
    v.bad("cancel", ["FR-05"], "no code", raw(7, 2, u8(0) + u32(0)))
    v.bad("cancel", ["FR-07"], "a text of 1,025 bytes", raw(7, 2, u8(0) + u32(0) + u16(0) + b"t" * 1025))
    v.bad(
        "cancel", ["FR-06"], "a text cut inside a character", raw(7, 2, u8(0) + u32(0) + u16(0) + b"\xe2\x82")
    )

    for name, number, ident, req, level in (
        ("END", 9, 4, "BY-01", 2),
        ("STOP", 10, 4, "BY-01", 2),
        ("GOODBYE", 13, 0, "SE-17", 0),
    ):
        group = name.lower()
        v.both(group, [req], "clean", {"t": name, "id": ident, "code": 0, "text": ""}, level)
        v.both(
            group,
            ["FR-07"],
            "a code and a text",
            {"t": name, "id": ident, "code": 9, "text": "a frame names a channel that never was"},
            level,
        )
        v.bad(group, ["FR-05"], "no code", raw(number, ident, b""), level=level)
        v.bad(
            group, ["FR-07"], "a text of 1,025 bytes", raw(number, ident, u16(1) + b"t" * 1025), level=level
        )
        v.bad(group, ["FR-06"], "a text that is not UTF-8", raw(number, ident, u16(1) + b"\xff"), level=level)
    v.bad("goodbye", ["FR-08"], "a GOODBYE with an id", raw(13, 1, u16(0)))


def data(v):
    v.both("data", ["FR-21"], "the example", {"t": "DATA", "id": 4, "payload": "6869"}, 2)
    v.both("data", ["FR-21"], "one byte", {"t": "DATA", "id": 1, "payload": "00"}, 2)
    v.both(
        "data",
        ["FR-21"],
        "1,000 bytes",
        {"t": "DATA", "id": 4, "payload": {"fill": "mod251", "len": 1000}},
        2,
    )
    v.bad("data", ["FR-21"], "no byte", raw(8, 4, b""), level=2)
    for name, number in (("PING", 11), ("PONG", 12)):
        group = name.lower()
        v.both(group, ["SE-09"], "the example", {"t": name, "id": 0, "payload": "0000000000000001"})
        v.both(group, ["SE-09"], "any eight bytes", {"t": name, "id": 0, "payload": "ff00aa5501020304"})
        v.bad(group, ["FR-05"], "seven bytes", raw(number, 0, bytes(7)))
        v.bad(group, ["FR-05"], "nine bytes", raw(number, 0, bytes(9)))
        v.bad(group, ["FR-08"], "an id", raw(number, 2, bytes(8)))


def unknown(v):
    for kind, ident, body in (
        (0x80, 0, b""),
        (0xFF, 2, b"abc"),
        (0x8D, 0, u16(0)),
        (0x90, 0xFFFFFFFF, mod251(300)),
    ):
        v.decode(
            "unknown",
            ["FR-03"],
            f"type {kind:02x} is skipped",
            raw(kind, ident, body),
            {"t": "UNKNOWN", "id": ident},
        )
    for kind in (0x00, 0x0E, 0x0F, 0x10, 0x7F):
        v.bad("unknown", ["FR-04"], f"type {kind:02x} may not be skipped", raw(kind, 0, b""))
    v.bad(
        "unknown",
        ["FR-02"],
        "one byte more than max_frame",
        raw(0x80, 0, bytes(1))[:0] + b"\x01\x00\x01" + u8(TYPES["DATA"]) + u32(4),
        "FRAME_TOO_LARGE",
    )


def entries():
    v = Frames()
    for group in (hello, opening, messages, fragments, credits, ends, data, unknown):
        group(v)
    return v.entries
