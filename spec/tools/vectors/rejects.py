"""reject.json: bytes that end a session. One vector for each cell of states.json that has a code and can be reached with
bytes, and those that break a rule of a frame's body or a limit."""

import json
import pathlib

from talk import *
from wire import (
    ATTACHMENTS,
    HEADERS,
    PREFACE as PREFACE_BYTES,
    encode,
    hello_fields,
    field,
    metadata,
    raw,
    u8,
    u16,
    u32,
)

STATES = pathlib.Path(__file__).resolve().parent.parent.parent / "states.json"


PLAIN = {
    "OPEN": lambda i: open_(i, 1),
    "MESSAGE": lambda i: msg(i, "00"),
    "FRAGMENT": lambda i: fragment(i, "00"),
    "CREDIT": lambda i: credit(i, bytes=1),
    "CLOSE": close,
    "CANCEL": cancel,
    "DATA": lambda i: data(i, "00"),
    "END": end,
    "STOP": stop,
}
"""Well formed frames of a channel or stream, to be given an id."""


# ---- how to get into a state, and which id is then in it

SESSION = {
    "greeting": dict(raw=True, before=[recv(PREFACE)]),
    "open": dict(before=[]),
    "leaving": dict(before=[app("goodbye", gives={})]),
}
OURS = [opened(4, 2), app("close", 2), recv(cancel(2))]
ITS = [accepted(3, 4), recv(close(3)), ended(3)]
IDS = {
    "0": [(0, [])],
    "its": [(9, []), (3, ITS)],
    "ours": [(8, []), (2, OURS)],
}
"""Never announced, and announced and finished: it makes no difference."""
FROM_PEER = [accepted(1, 8), recv(msg(1, "", att(1, 3, 4))), take(1), app("claim", ids=[3])]
SENDING = {
    "open": [(3, FROM_PEER)],
    "closed": [(2, [opened(4, 2), send(2, "01"), app("close", 2)])],
}
ONE = [accepted(3, 1)]
RECEIVING = {
    "open": [(3, ONE)],
    "incomplete": [(3, ONE + [recv(first(3, 4000, "0102"))])],
    "cancelled": [(3, ONE + [app("cancel", 3, scope=0, code=0, text="")])],
    "closed": [(3, ONE + [recv(msg(3, "01"), close(3))])],
}
STREAM = [accepted(1, 8), recv(msg(1, "", att(3, 3))), take(1), app("claim", ids=[3])]
WRITER = {
    "open": [(3, STREAM)],
    "ended": [(3, STREAM + [app("end", 3, code=0, text="")])],
    "stopped": [(3, STREAM + [recv(stop(3))])],
}
READER = {
    "open": [(3, STREAM)],
    "stopped": [(3, STREAM + [app("stop", 3, code=0, text="")])],
    "ended": [(3, STREAM + [recv(data(3, "01"), end(3))])],
    "done": [(3, STREAM + [recv(end(3))])],
}


class Rejects:
    def __init__(self):
        self.entries = []
        self.numbers = {}
        self.seen = set()

    def gone(self, group, count=1):
        """Here stood entries that are shown no more: their numbers are not given again."""
        self.numbers[group] = self.numbers.get(group, 0) + count

    def add(self, group, req, why, before, data, code, level=0, role="dialer", at=None, **sides):
        if isinstance(data, (dict, list)):
            data = b"".join(encode(frame) for frame in (data if isinstance(data, list) else [data]))
        before = flat(before)
        key = json.dumps([before, data.hex(), sides, role])
        if key in self.seen:
            return
        self.seen.add(key)
        self.numbers[group] = self.numbers.get(group, 0) + 1
        entry = {
            "id": f"{group}.{self.numbers[group]:03}",
            "req": req,
            "level": level,
            "why": why,
            "role": role,
            **sides,
            "before": before,
            "hex": data.hex(),
            "code": code,
            "scope": "session",
            "at": at or len(data),
        }
        self.entries.append(entry)


CARRIER = [SKIP, accepted(5, 8)]
"""A channel for messages that bring attachments."""


def session_input(name):
    """The bytes of an input of the session, and after which of them it is judged."""
    if name == "another frame for a channel or stream":
        return encode(credit(2, bytes=1)), None
    if name.startswith("HELLO"):
        return encode(hello(codecs=[9])) if "without" in name else encode(hello()), None
    if name == "more PINGs than are taken":
        return b"".join(encode(ping(i)) for i in range(3)), None
    if name == "the header of a frame that is too long":
        return bytes.fromhex("0100010800000002"), None
    return {
        "OPEN": encode(open_(1, 1)),
        "PING": encode(ping(1)),
        "PONG": encode(pong(1)),
        "an unknown type with bit 80": raw(0x80, 0, b""),
        "an unknown type without bit 80": raw(0x0E, 0, b""),
        "GOODBYE, code 0": encode(goodbye()),
        "GOODBYE, another code": encode(goodbye(1)),
    }[name], None


def session_cell(v, row, state, cell):
    name = row["input"]
    if row["from"] != "peer":
        return
    setup = dict(SESSION[state])
    data, at = session_input(name)
    if "PINGs" in name:
        if state == "greeting":
            data, at = encode(ping(0)), None
        setup["local"] = {"max_pings": 2}
    if state == "leaving":
        setup["told"] = False
    v.add("rj.over", cell["req"], f"{state}: {name}", setup.pop("before"), data, cell["code"], at=at, **setup)


def attachments(name, ident):
    """Messages that bring an attachment under an id."""
    if "kind 5" in name:
        return [(1, msg(5, "", att(5, ident)))]
    return [
        (1, msg(5, "", att(1, ident, 4))),
        (1, msg(5, "", att(2, ident, 4))),
        (2, msg(5, "", att(3, ident))),
    ]


def frame_inputs(name, ident):
    """(level, frame) for an input that names an id."""
    if name.startswith("attachment"):
        return attachments(name, ident)
    return [
        (
            0,
            {
                "CREDIT, taken beyond what was sent": lambda i: credit(i, taken=2),
                "CREDIT, bytes beyond 2,147,483,647 in all": lambda i: credit(i, bytes=0x7FFFFFFF),
                "CREDIT, wanted beyond 2,147,483,647 in all": lambda i: credit(i, wanted=0x80000002),
                "CREDIT beyond 2,147,483,647 in all": lambda i: credit(i, bytes=0x7FFFFFFF),
                "CREDIT with taken or wanted": lambda i: credit(i, taken=1, bytes=1),
                "CANCEL, taken beyond what was sent": lambda i: cancel(i, 2),
                "OPEN with this id": lambda i: open_(i, 1),
                "MESSAGE beyond the credit in messages": lambda i: [msg(i, "00"), msg(i, "01")],
                "MESSAGE beyond the credit in bytes": lambda i: msg(i, bytes(2017).hex()),
                "FRAGMENT beyond the credit": lambda i: fragment(i, bytes(2015).hex(), True),
                "FRAGMENT that ends too early or too late": lambda i: fragment(i, "00"),
                "CLOSE, code 0": close,
                "CLOSE, another code": lambda i: close(i, 300),
                "DATA beyond the credit": lambda i: data(i, bytes(257).hex()),
                **PLAIN,
            }[name](ident),
        )
    ]


def inputs(row, cell):
    """What a row stands for, each with the requirements of its vector."""
    return row["each"].items() if "each" in row else [(row["input"], cell["req"])]


def channel_cell(v, group, setups, row, state, cell, level):
    if row["from"] != "peer":
        return
    for ident, before in setups[state]:
        for name, req in inputs(row, cell):
            for depth, frame in frame_inputs(name, ident):
                sides = {"peer": {"stream_window": 256}} if "DATA beyond" in name else {}
                frames = frame if isinstance(frame, list) else [frame]
                if name == "MESSAGE beyond the credit in messages" and state != "open":
                    frames = frames[:1]
                carrier = CARRIER if name.startswith("attachment") else []
                v.add(
                    group,
                    req,
                    f"{state}: {name}",
                    before + carrier,
                    frames,
                    cell["code"],
                    max(depth, level),
                    **sides,
                )


def illegal_cells(v):
    tables = {table["name"]: table for table in json.loads(STATES.read_text(encoding="utf-8"))["tables"]}
    for name, table in tables.items():
        for row in table["rows"]:
            for state, cell in zip(table["states"], row["cells"]):
                if "code" not in cell:
                    continue
                if name == "session":
                    session_cell(v, row, state["name"], cell)
                    continue
                group, setups, level = {
                    "ids": ("rj.unused", IDS, 0),
                    "sending end": ("rj.sending", SENDING, 0),
                    "receiving end": ("rj.receiving", RECEIVING, 0),
                    "writer": ("rj.writer", WRITER, 2),
                    "reader": ("rj.reader", READER, 2),
                }[name]
                if name == "sending end" and state["name"] == "open":
                    level = 1
                channel_cell(v, group, setups, row, state["name"], cell, level)


def prefaces(v):
    g = "rj.preface"
    v.add(
        g,
        ["SE-07"],
        "seven bytes are right, the eighth is that of another version",
        [],
        b"libchan\x00",
        "UNSUPPORTED_VERSION",
        raw=True,
    )
    v.add(
        g,
        ["SE-07"],
        "a TLS record: judged at its first byte",
        [],
        bytes.fromhex("16030100"),
        "PROTOCOL",
        at=1,
        raw=True,
    )
    v.add(g, ["SE-07"], "the third byte differs", [], b"lixchan\x01", "PROTOCOL", at=3, raw=True)
    v.add(
        g,
        ["SE-07"],
        "the seventh byte differs",
        [],
        b"libchaN\x01",
        "PROTOCOL",
        at=7,
        raw=True,
        role="acceptor",
    )
    v.add(
        g,
        ["FR-01", "SE-07"],
        "an HTTP request: judged at its first byte",
        [],
        b"GET / HTTP/1.1\r\n\r\n",
        "PROTOCOL",
        at=1,
        raw=True,
    )
    v.add(g, ["FR-01"], "a later version", [], b"libchan\x02", "UNSUPPORTED_VERSION", raw=True)


def lengths(v):
    g = "rj.length"
    greeting = SESSION["greeting"]
    v.add(
        g,
        ["FR-02"],
        "a hello of 16,385 bytes, known from its header",
        greeting["before"],
        bytes.fromhex("0040010100000000"),
        "FRAME_TOO_LARGE",
        raw=True,
    )
    v.add(
        g,
        ["FR-02", "LI-01"],
        "one byte more than the smaller max_frame",
        [],
        bytes.fromhex("0010010800000002"),
        "FRAME_TOO_LARGE",
        peer={"max_frame": 4096},
    )
    v.add(
        g,
        ["FR-02"],
        "also of a type that is skipped",
        [],
        bytes.fromhex("0100019000000000"),
        "FRAME_TOO_LARGE",
    )
    v.add(
        g,
        ["FR-02", "LI-03"],
        "16 MiB are claimed: judged at the header, nothing is set aside",
        [],
        bytes.fromhex("ffffff0300000002"),
        "FRAME_TOO_LARGE",
    )
    ch = accepted(1, 4)
    for why, body in (
        ("an empty MESSAGE", b""),
        ("a MESSAGE without codec", u8(0)),
        ("a table that is cut", u8(2) + u8(0) + u8(1) + bytes(12)),
        ("a total that is cut", u8(1) + u8(0) + bytes(3)),
    ):
        v.add(g, ["FR-05"], why, ch, raw(3, 1, body), "PROTOCOL")
    v.add(g, ["FR-05"], "an empty FRAGMENT", [ch, recv(first(1, 3, "00"))], raw(4, 1, b""), "PROTOCOL")
    mine = opened(4)
    v.add(g, ["FR-05"], "a CREDIT of 11 bytes", mine, raw(5, 2, bytes(11)), "PROTOCOL")
    v.add(g, ["FR-05"], "a CREDIT of 13 bytes", mine, raw(5, 2, bytes(13)), "PROTOCOL")
    v.add(g, ["FR-05"], "a CLOSE of two bytes", ch, raw(6, 1, bytes(2)), "PROTOCOL")
    v.add(g, ["FR-05"], "a CANCEL of six bytes", mine, raw(7, 2, bytes(6)), "PROTOCOL")
    v.add(g, ["FR-05"], "a PING of nine bytes", [], raw(11, 0, bytes(9)), "PROTOCOL")
    v.add(g, ["FR-05"], "a PONG of seven bytes", [], raw(12, 0, bytes(7)), "PROTOCOL")
    v.add(g, ["FR-05"], "a GOODBYE of one byte", [], raw(13, 0, bytes(1)), "PROTOCOL")
    v.add(g, ["FR-05"], "an OPEN whose name is cut", [], raw(2, 1, u32(1) + u16(3) + b"ab"), "PROTOCOL")
    v.add(
        g,
        ["FR-05"],
        "an OPEN whose metadata is cut",
        [],
        raw(2, 1, u32(1) + u16(1) + b"a" + b"\x01k\0\2v"),
        "PROTOCOL",
    )
    v.add(g, ["FR-21"], "a DATA of no byte", STREAM, raw(8, 3, b""), "PROTOCOL", 2)
    v.add(g, ["FR-05"], "an END of one byte", STREAM, raw(9, 3, bytes(1)), "PROTOCOL", 2)
    v.add(g, ["FR-05"], "a STOP of no byte", STREAM, raw(10, 3, b""), "PROTOCOL", 2)


def fields(v):
    g = "rj.field"
    ch, mine = accepted(1, 4), opened(4)
    for flag in (0x20, 0x40, 0x80):
        v.add(g, ["FR-15"], f"a MESSAGE with flag {flag:02x}", ch, raw(3, 1, u8(flag) + u8(0)), "PROTOCOL")
    v.add(g, ["FR-16"], "a MESSAGE with both flaws", ch, raw(3, 1, u8(12) + u8(0)), "PROTOCOL")
    v.gone(g)
    v.add(
        g,
        ["FR-15"],
        "a FRAGMENT with the flag ATTACHMENTS",
        [ch, recv(first(1, 3, "00"))],
        raw(4, 1, u8(2) + b"ab"),
        "PROTOCOL",
    )
    v.add(
        g, ["FR-21"], "a FRAGMENT of no payload", [ch, recv(first(1, 3, "00"))], raw(4, 1, u8(1)), "PROTOCOL"
    )
    v.add(g, ["FR-24"], "MORE, and the whole payload is there", ch, first(1, 2, "0001"), "PROTOCOL")
    v.add(
        g,
        ["FR-24"],
        "fragments that come to more than the total",
        [ch, recv(first(1, 4, "0001"))],
        fragment(1, "020304", True),
        "PROTOCOL",
    )
    v.add(
        g,
        ["FR-24"],
        "MORE on the fragment that fills the total",
        [ch, recv(first(1, 4, "0001"))],
        fragment(1, "0203", True),
        "PROTOCOL",
    )
    v.add(
        g,
        ["FR-24"],
        "a last fragment before the total",
        [ch, recv(first(1, 4, "0001"))],
        fragment(1, "02"),
        "PROTOCOL",
    )
    v.add(g, ["FR-26"], "a CREDIT with id 0 and wanted", [], credit(0, 0, 1, 0), "PROTOCOL")
    v.add(g, ["FR-26"], "a CREDIT with id 0 and bytes", [], credit(0, 0, 0, 1), "PROTOCOL")
    v.add(g, ["FR-29"], "a CLOSE with scope 2", ch, close(1, scope=2), "PROTOCOL")
    v.add(g, ["FR-29"], "a CANCEL with scope 2", mine, cancel(2, scope=2), "PROTOCOL")
    v.add(g, ["FR-30"], "a clean CLOSE with a text", ch, raw(6, 1, u8(0) + u16(0) + b"x"), "PROTOCOL")
    v.add(g, ["FR-08"], "a PING with an id", [], raw(11, 2, bytes(8)), "PROTOCOL")
    v.add(g, ["FR-08"], "a PONG with an id", [], raw(12, 1, bytes(8)), "PROTOCOL")
    v.add(g, ["FR-08"], "a GOODBYE with an id", [], raw(13, 1, bytes(2)), "PROTOCOL")
    v.add(
        g,
        ["FR-08"],
        "a HELLO with an id",
        SESSION["greeting"]["before"],
        raw(1, 1, encode(hello())[8:]),
        "PROTOCOL",
        raw=True,
    )
    for why, frame in (
        ("a CLOSE", raw(6, 1, u8(0) + u16(300) + b"\xff")),
        ("an OPEN's name", raw(2, 3, u32(1) + u16(1) + b"\x80")),
        ("a key of an OPEN's metadata", raw(2, 3, u32(1) + u16(0) + b"\x01\xc0\0\0")),
        ("a GOODBYE", raw(13, 0, u16(1) + b"\xed\xa0\x80")),
    ):
        v.add(g, ["FR-06"], f"{why} that is not UTF-8", ch, frame, "PROTOCOL")
    v.add(
        g,
        ["FR-07"],
        "a CLOSE with a text of 1,025 bytes",
        ch,
        raw(6, 1, u8(0) + u16(300) + b"t" * 1025),
        "PROTOCOL",
    )
    v.add(
        g,
        ["FR-07"],
        "a GOODBYE with a text of 1,025 bytes",
        [],
        raw(13, 0, u16(300) + b"t" * 1025),
        "PROTOCOL",
    )
    greeting = SESSION["greeting"]["before"]
    pairs = hello_fields({})
    join = lambda list_: raw(1, 0, b"".join(field(tag, value) for tag, value in list_))
    v.add(g, ["FR-12"], "a HELLO without its last tag", greeting, join(pairs[:-1]), "PROTOCOL", raw=True)
    v.add(g, ["FR-11"], "a HELLO with a tag twice", greeting, join(pairs[:1] + pairs), "PROTOCOL", raw=True)
    v.add(
        g,
        ["FR-05"],
        "a HELLO with a number of five bytes",
        greeting,
        join([(1, bytes(5))] + pairs[1:]),
        "PROTOCOL",
        raw=True,
    )
    v.add(
        g,
        ["FR-05"],
        "a HELLO with metadata that is cut",
        greeting,
        join(pairs[:-1] + [(12, metadata([["a", "00"]])[:-1])]),
        "PROTOCOL",
        raw=True,
    )
    head = lambda *rest: raw(3, 1, u8(HEADERS) + u8(0) + b"".join(rest))
    v.add(g, ["FR-34"], "a block of headers of no byte", ch, head(u8(0), b"abc"), "PROTOCOL")
    v.add(g, ["FR-34"], "a header that is longer than the block", ch, head(u8(2), b"\x09\x01"), "PROTOCOL")
    v.add(
        g, ["FR-34"], "half a header behind the last", ch, head(u8(4), b"\x09\x01\xff\x09abc"), "PROTOCOL"
    )
    v.add(
        g, ["FR-34", "FR-05"], "a block of headers that the frame cuts", ch, head(u8(9), b"\x09"), "PROTOCOL"
    )
    high = 0x80000000
    v.add(g, ["LI-06"], "an OPEN with a capacity of 2,147,483,648", [], open_(1, high), "PROTOCOL")
    v.add(
        g, ["LI-06"], "an attachment with that capacity", ch, msg(1, "", att(2, 3, high)), "PROTOCOL", 1
    )
    v.add(
        g,
        ["LI-06"],
        "an attachment with so many receives that wait",
        ch,
        msg(1, "", att(1, 3, 0, high)),
        "PROTOCOL",
        1,
    )


def attached(v):
    g = "rj.attachment"
    ch = accepted(1, 4)
    for kind in (0, 7, 128, 255):
        v.add(g, ["AT-01"], f"kind {kind}", ch, msg(1, "", att(kind, 3, 4)), "PROTOCOL", 1)
    v.add(g, ["AT-01", "SE-06"], "kind 6 is reserved", ch, msg(1, "", att(6, 1)), "PROTOCOL", 1)
    v.add(g, ["AT-05"], "a stream with a capacity", ch, msg(1, "", att(3, 3, 1)), "PROTOCOL", 2)
    v.add(g, ["AT-05"], "a stream with wanted", ch, msg(1, "", att(3, 3, 0, 1)), "PROTOCOL", 2)
    v.add(
        g,
        ["AT-05"],
        "a descriptor with an id",
        ch,
        msg(1, "", att(4, 3)),
        "PROTOCOL",
        3,
        hello={"max_descriptors": 4},
        peer={"max_descriptors": 4},
    )
    v.add(
        g,
        ["AT-05"],
        "a descriptor with a capacity",
        ch,
        msg(1, "", att(4, 0, 1)),
        "PROTOCOL",
        3,
        hello={"max_descriptors": 4},
        peer={"max_descriptors": 4},
    )
    v.add(
        g,
        ["AT-05"],
        "a sender come home with a capacity",
        [
            opened(4),
            app("send", 2, attachments=[{"kind": 1, "capacity": 4}], codec=0, payload="", gives={"ids": [4]}),
            SKIP,
            ch,
        ],
        msg(1, "", att(5, 4, 1)),
        "PROTOCOL",
        1,
    )
    v.add(g, ["AT-06"], "a receiving end with wanted 2", ch, msg(1, "", att(2, 3, 4, 2)), "PROTOCOL", 1)
    v.add(
        g,
        ["AT-06"],
        "a rendezvous that is not served on demand",
        ch,
        msg(1, "", att(2, 3, 0, 0)),
        "PROTOCOL",
        1,
    )
    v.add(
        g,
        ["AT-03", "CH-02"],
        "an id twice in one table",
        ch,
        msg(1, "", att(1, 3, 4), att(2, 3, 4)),
        "PROTOCOL",
        1,
    )
    v.add(
        g,
        ["FR-19"],
        "a table of none",
        ch,
        raw(3, 1, u8(ATTACHMENTS) + u8(0) + u8(0)),
        "TOO_MANY_ATTACHMENTS",
        1,
    )
    v.add(
        g,
        ["FR-19"],
        "one more than max_attachments",
        ch,
        msg(1, "", *[att(1, 2 * i + 3, 1) for i in range(4)]),
        "TOO_MANY_ATTACHMENTS",
        1,
        hello={"max_attachments": 3},
    )
    v.add(
        g,
        ["FR-19"],
        "none is taken by who states 0",
        ch,
        msg(1, "", att(1, 3, 1)),
        "TOO_MANY_ATTACHMENTS",
        0,
        peer={"max_attachments": 0},
    )
    v.add(
        g,
        ["FR-19"],
        "255",
        ch,
        raw(3, 1, u8(ATTACHMENTS) + u8(0) + u8(255)),
        "TOO_MANY_ATTACHMENTS",
        1,
        hello={"max_attachments": 1000},
        peer={"max_attachments": 1000},
    )
    v.add(
        g,
        ["AT-18", "TC-02", "WS-12", "HT-13"],
        "a descriptor where none was stated",
        ch,
        msg(1, "", att(4)),
        "DESCRIPTORS",
        0,
    )
    v.add(
        g,
        ["AT-18"],
        "one descriptor more than was granted",
        ch,
        msg(1, "", att(4), att(4), att(4)),
        "DESCRIPTORS",
        3,
        hello={"max_descriptors": 2},
        peer={"max_descriptors": 5},
    )
    v.add(
        g,
        ["AT-18", "CR-16"],
        "descriptors that wait unread are still out",
        [ch, recv(msg(1, "", att(4), att(4)))],
        msg(1, "", att(4)),
        "DESCRIPTORS",
        3,
        hello={"max_descriptors": 5},
        peer={"max_descriptors": 2},
    )
    v.add(
        g,
        ["AT-06"],
        "a sending end with room, and receives that wait",
        ch,
        msg(1, "", att(1, 3, 4, 1)),
        "PROTOCOL",
        1,
    )
    v.add(
        g,
        ["AT-07"],
        "a sender comes home to a channel that is finished: its CLOSE has come",
        [
            opened(4, 2),
            app("send", 2, attachments=[{"kind": 1, "capacity": 4}], codec=0, payload="", gives={"ids": [4]}),
            SKIP,
            ch,
            recv(close(4)),
        ],
        msg(1, "", att(5, 4)),
        "UNKNOWN_ID",
        1,
    )
    v.add(
        g,
        ["FR-19", "LI-01"],
        "more attachments than the first window in force allows",
        ch,
        msg(1, "", *[att(1, 2 * i + 3, 1) for i in range(13)]),
        "TOO_MANY_ATTACHMENTS",
        1,
        peer={"initial_window": 512},
    )


def limits(v):
    g = "rj.limit"
    ch = accepted(1, 4)
    v.add(
        g,
        ["FR-20", "LI-01"],
        "a payload of max_message and one byte",
        ch,
        msg(1, bytes(301).hex()),
        "MESSAGE_TOO_LARGE",
        peer={"max_message": 300},
    )
    v.add(
        g,
        ["FR-20", "LI-01"],
        "a total of max_message and one byte: judged at the first frame",
        ch,
        first(1, 301, "00"),
        "MESSAGE_TOO_LARGE",
        hello={"max_message": 300},
    )
    v.add(
        g,
        ["FR-20", "LI-03"],
        "a total of 4 GiB",
        ch,
        first(1, 0xFFFFFFFF, ""),
        "MESSAGE_TOO_LARGE",
    )
    v.add(g, ["CH-01"], "the dialer opens an odd id", [], open_(1, 1), "PROTOCOL", role="acceptor")
    v.add(g, ["CH-01"], "the acceptor opens an even id", [], open_(2, 1), "PROTOCOL")
    v.add(
        g,
        ["CH-03"],
        "a slot of max_channels",
        [],
        open_(2 * 7 + 1, 1),
        "PROTOCOL",
        hello={"max_channels": 7},
    )
    v.add(g, ["CH-03", "CH-01"], "the highest id", [], open_(0xFFFFFFFF, 1), "PROTOCOL")
    v.add(
        g,
        ["CH-05"],
        "one channel more than max_channels: what waits to be accepted or is closed and unread counts",
        [recv(open_(1, 1), open_(3, 1), msg(3, "00"), close(3))],
        open_(5, 1),
        "TOO_MANY_CHANNELS",
        hello={"max_channels": 2},
    )
    v.add(
        g,
        ["CH-05"],
        "a channel whose first window passes a quarter of the memory",
        [recv(open_(1, 1), open_(3, 1))],
        open_(5, 1),
        "MEMORY",
        hello={"session_memory": 16384},
    )
    v.add(
        g,
        ["CH-05", "AT-03"],
        "a sending end costs its allocator as much as a receiving one",
        [ch, recv(msg(1, "", att(1, 3, 1)))],
        msg(1, "", att(1, 5, 1)),
        "MEMORY",
        1,
        hello={"session_memory": 16384},
    )
    v.add(
        g,
        ["CH-05", "AT-03"],
        "a stream costs its allocator one window",
        [ch, recv(msg(1, "", att(3, 3)))],
        msg(1, "", att(3, 5)),
        "MEMORY",
        2,
        hello={"session_memory": 16384, "stream_window": 2048},
    )
    v.add(
        g,
        ["CH-04", "CH-05"],
        "what is closed and unread is still charged",
        [recv(open_(1, 1), open_(3, 1), msg(1, "00"), close(1))],
        open_(5, 1),
        "MEMORY",
        hello={"session_memory": 16384},
    )
    v.add(
        g,
        ["CR-01", "CH-09"],
        "one message more than the capacity",
        [ch, recv(*[msg(1, "00") for _ in range(4)])],
        msg(1, "00"),
        "FLOW_CONTROL",
    )
    v.add(
        g,
        ["CR-01", "CR-03"],
        "a message to a rendezvous that nobody waits for",
        accepted(1, 0),
        msg(1, "00"),
        "FLOW_CONTROL",
    )
    v.add(
        g,
        ["CR-01", "CR-03"],
        "two where one receive was announced",
        [accepted(1, 0), app("waiting", 1, receives=1), recv(msg(1, "00"))],
        msg(1, "01"),
        "FLOW_CONTROL",
    )
    v.add(
        g,
        ["CR-07"],
        "a message when the credit is used up",
        [accepted(1, 8), recv(msg(1, bytes(2016).hex()))],
        msg(1, ""),
        "FLOW_CONTROL",
    )
    v.add(g, ["CR-07"], "one byte more than the credit", ch, msg(1, bytes(2017).hex()), "FLOW_CONTROL")
    v.add(
        g,
        ["CR-07", "CR-08"],
        "attachments are charged",
        ch,
        msg(1, bytes(2001).hex(), att(1, 3, 1)),
        "FLOW_CONTROL",
        1,
    )
    v.add(
        g,
        ["CR-07"],
        "a first frame that has more than there is credit for",
        ch,
        first(1, 5000, bytes(2017).hex()),
        "FLOW_CONTROL",
    )
    v.add(
        g,
        ["CR-07", "CR-13"],
        "a fragment that was not granted: no receive waits for its message",
        [ch, recv(first(1, 5000, bytes(2016).hex()))],
        fragment(1, "00", True),
        "FLOW_CONTROL",
        local=FIXED,
    )
    v.add(
        g,
        ["CR-15"],
        "more data than the window",
        STREAM,
        data(3, bytes(257).hex()),
        "FLOW_CONTROL",
        2,
        hello={"stream_window": 256},
    )
    v.add(
        g,
        ["CR-14"],
        "the credit of a channel past 2,147,483,647",
        opened(4),
        credit(2, bytes=2147483647 - 2047),
        "FLOW_CONTROL",
    )
    v.add(
        g,
        ["CR-14"],
        "an increment with the highest bit",
        opened(4),
        credit(2, bytes=0x80000000),
        "FLOW_CONTROL",
    )
    v.add(g, ["CR-05"], "taken, and nothing was sent", opened(4), credit(2, taken=1), "FLOW_CONTROL")
    v.add(
        g,
        ["CR-05"],
        "taken twice",
        [opened(4), send(2, "00"), recv(credit(2, taken=1))],
        credit(2, taken=1),
        "FLOW_CONTROL",
    )
    v.add(g, ["CR-05"], "taken in CANCEL, and nothing was sent", opened(4), cancel(2, 1), "FLOW_CONTROL")
    v.add(
        g, ["CR-17"], "descriptors given back that were never sent", [], credit(0, taken=1), "FLOW_CONTROL", 0
    )
    v.add(
        g,
        ["SE-11"],
        "the hundred-and-first ping",
        [recv(*[ping(i) for i in range(100)])],
        ping(100),
        "PING_FLOOD",
    )
    v.add(
        g,
        ["CR-07", "CR-08"],
        "headers are charged",
        ch,
        msg(1, bytes(2014).hex(), headers="0901ff"),
        "FLOW_CONTROL",
    )
    v.add(
        g,
        ["CR-14"],
        "2,147,483,648 receives announced, in two CREDITs",
        [opened(0, 2), recv(credit(2, wanted=0x7FFFFFFF))],
        credit(2, wanted=1),
        "FLOW_CONTROL",
    )
    v.add(
        g,
        ["CR-14"],
        "2,147,483,648 receives announced, the first of them by the attachment",
        [accepted(1, 4), recv(msg(1, "", att(1, 3, 0, 1))), take(1), app("claim", ids=[3])],
        credit(3, wanted=0x7FFFFFFF),
        "FLOW_CONTROL",
        1,
    )


def entries():
    v = Rejects()
    illegal_cells(v)
    for part in (prefaces, lengths, fields, attached, limits):
        part(v)
    return v.entries
