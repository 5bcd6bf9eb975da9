"""iris.json: each message of Iris (spec/iris.md) in msgpack, and what is none of them. Encoded here from the text alone, by
a writer of its own, in the shortest forms.
"""


class Bytes(bytes):
    """Bytes in a value; a plain str is a text."""


class End:
    """A channel end, stream or descriptor in a value, by its kind. Its index is the number of those before it."""

    def __init__(self, kind):
        self.kind = kind


SENDER, RECEIVER, STREAM = "sender", "receiver", "stream"
#: Of a length: the first that is long enough, and what it is written as.
WIDTHS = {
    str: ((31, None, 0xA0), (0xFF, 1, 0xD9), (0xFFFF, 2, 0xDA)),
    Bytes: ((0xFF, 1, 0xC4), (0xFFFF, 2, 0xC5)),
    list: ((15, None, 0x90), (0xFFFF, 2, 0xDC)),
    dict: ((15, None, 0x80), (0xFFFF, 2, 0xDE)),
}


def length(kind, count):
    for most, width, byte in WIDTHS[kind]:
        if count <= most:
            return bytes([byte + count]) if width is None else bytes([byte]) + count.to_bytes(width, "big")
    raise ValueError(count)


def number(n):
    if n < 0:
        assert n >= -32
        return (256 + n).to_bytes(1, "big")
    if n <= 127:
        return bytes([n])
    for width, byte in ((1, 0xCC), (2, 0xCD), (4, 0xCE), (8, 0xCF)):
        if n < 1 << 8 * width:
            return bytes([byte]) + n.to_bytes(width, "big")
    raise ValueError(n)


def pack(value, ends):
    """The encoding; the ends in the value are added to `ends`."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return number(value)
    if isinstance(value, End):
        ends.append(value.kind)
        return bytes([0xD4, 1, len(ends) - 1])
    if isinstance(value, str):
        return length(str, len(value.encode())) + value.encode()
    if isinstance(value, Bytes):
        return length(Bytes, len(value)) + value
    if isinstance(value, list):
        return length(list, len(value)) + b"".join(pack(item, ends) for item in value)
    pairs = (pack(key, ends) + pack(item, ends) for key, item in value.items())
    return length(dict, len(value)) + b"".join(pairs)


def notation(value, ends):
    """As spec/conformance/PROTOCOL.md writes values."""
    if isinstance(value, End):
        ends.append(value.kind)
        return {"attachment": len(ends) - 1}
    if isinstance(value, Bytes):
        return {"bytes": value.hex()}
    if isinstance(value, list):
        return [notation(item, ends) for item in value]
    if isinstance(value, dict):
        return {"map": [[key, notation(item, ends)] for key, item in value.items()]}
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1 << 53:
        return {"int": str(value)}
    return value


REQ = {
    "body": "IR-01",
    "requests": "IR-02",
    "ask": "IR-02",
    "answer": "IR-02",
    "post": "IR-03",
    "subscribe": "IR-04",
    "event": "IR-04",
    "ready": "IR-04",
    "register": "IR-05",
    "call": "IR-05",
    "report": "IR-05",
    "line": "IR-06",
    "opened": "IR-06",
    "piece": "IR-06",
}


class Vectors:
    def __init__(self):
        self.entries = []
        self.count = {}

    def _add(self, message, why, hex_, ends, **result):
        self.count[message] = self.count.get(message, 0) + 1
        self.entries.append(
            {
                "id": f"ir.{message}.{self.count[message]:03}",
                "req": [REQ[message]],
                "level": 1 if ends else 0,
                "why": why,
                "message": message,
                **result,
                "hex": hex_,
                "ends": ends,
            }
        )

    def add(self, message, why, value):
        ends = []
        hex_ = pack(value, ends).hex()
        self._add(message, why, hex_, ends, value=notation(value, []))

    def bad(self, message, why, value):
        ends = []
        hex_ = pack(value, ends).hex()
        self._add(message, why, hex_, ends, error="DECODE")


def plain(text):
    return [0, Bytes(text.encode()), []]


def body(value, *ends):
    """A body of msgpack. Indexes in its payload are places in its own list of ends."""
    mine = []
    payload = pack(value, mine)
    assert len(mine) == len(ends)
    return [1, Bytes(payload), list(ends)]


MOST = (1 << 64) - 1


def bodies(v):
    v.add("body", "plain bytes", plain("any binary"))
    v.add("body", "no bytes", plain(""))
    v.add("body", "a value", body({"a": 2, "b": 3}))
    v.add("body", "nothing", body(None))
    v.add(
        "body",
        "a value with two ends: what stands in the payload is the place in the body's list",
        body({"rows": End(SENDER), "file": End(STREAM)}, End(SENDER), End(STREAM)),
    )
    v.add("body", "one end at two places of the value stands once in the list", [1, Bytes(b"\x92\xd4\x01\x00\xd4\x01\x00"), [End(SENDER)]])
    v.add("body", "a codec that the relay does not know goes through", [200, Bytes(b"\x00\x01"), []])
    v.add("body", "256 bytes", [0, Bytes(b"x" * 256), []])
    v.bad("body", "no list of ends", [0, Bytes(b"")])
    v.bad("body", "a codec beyond a byte", [256, Bytes(b""), []])
    v.bad("body", "an end that is none", [0, Bytes(b""), [7]])


def requests(v):
    v.add("requests", "what opens requests", {"asks": End(RECEIVER), "answers": End(SENDER)})
    v.bad("requests", "ends of the other kinds", {"asks": End(SENDER), "answers": End(RECEIVER)})
    v.bad("requests", "no answers", {"asks": End(RECEIVER)})
    v.add("ask", "a request", {"Request": [0, "adder", 1500, True, body([2, 3])]})
    v.add("ask", "the largest number and time, and not waiting for a member", {"Request": [MOST, "x", MOST, False, plain("")]})
    v.add("ask", "a request with an end", {"Request": [1, "table", 1, True, body(End(SENDER), End(SENDER))]})
    v.add("ask", "a cancel", {"Cancel": 300})
    v.bad("ask", "a name that is none", {"Ask": 1})
    v.bad("ask", "a request without a body", {"Request": [0, "adder", 1500, True]})
    v.bad("ask", "a number below 0", {"Cancel": -1})
    for why, verdict in (
        ("a reply", {"Ok": body("done")}),
        ("a reply with an end", {"Ok": body(End(RECEIVER), End(RECEIVER))}),
        ("a fault", {"Fault": plain("no such row")}),
        ("its time is up", "Timeout"),
        ("no member", "NoMember"),
        ("no room", "Busy"),
        ("the member is gone", "Lost"),
        ("refused", {"Refused": "the name is empty"}),
        ("the relay leaves", "Going"),
    ):
        v.add("answer", why, [7, verdict])
    v.bad("answer", "no verdict", [7])
    v.bad("answer", "a number that is no verdict", [7, 70])


def many(v):
    v.add("post", "a broadcast", {"Broadcast": ["workers", body("stop")]})
    v.add("post", "an event", {"Publish": ["prices", body(["tea", 3])]})
    v.bad("post", "a name that is none", {"Tell": ["workers", plain("")]})
    v.add(
        "subscribe",
        "a subscription",
        {"topic": "prices", "bytes": 64 << 20, "events": End(SENDER), "ready": End(SENDER)},
    )
    v.bad("subscribe", "without ready", {"topic": "prices", "bytes": 1, "events": End(SENDER)})
    v.add("event", "nothing was lost", [0, body(1)])
    v.add("event", "three were lost", [3, plain("event")])
    v.bad("event", "without what was lost", plain("event")[1:])
    v.add("ready", "in force", {"Ok": None})
    v.add("ready", "refused, with the reason", {"Err": "the name is empty"})
    v.bad("ready", "neither", {"Maybe": None})


def members(v):
    v.add(
        "register",
        "a member",
        {
            "cluster": "adder",
            "slots": 8,
            "bytes": 64 << 20,
            "broadcast_bytes": 1 << 20,
            "calls": End(SENDER),
            "reports": End(RECEIVER),
            "broadcasts": End(SENDER),
            "tunnels": End(SENDER),
            "ready": End(SENDER),
        },
    )
    v.add("call", "a request", {"Request": [40, 1499, body([2, 3])]})
    v.add("call", "a cancel", {"Cancel": 40})
    v.bad("call", "a request without a time", {"Request": [40, plain("")]})
    v.add("report", "a reply", {"Ok": [40, body(5)]})
    v.add("report", "a fault", {"Fault": [40, plain("no such row")]})
    v.add("report", "not begun", {"Shed": 40})
    v.add("report", "its time is up", {"Expired": 40})
    v.add("report", "more slots", {"Slots": 16})
    v.add("report", "it leaves", {"Slots": 0})
    v.bad("report", "slots beyond 32 bits", {"Slots": 1 << 32})
    v.bad("report", "a reply without its call", {"Ok": plain("")})


def tunnels(v):
    v.add(
        "line",
        "a tunnel",
        {
            "cluster": "files",
            "left_ms": 5000,
            "to_member": End(RECEIVER),
            "to_opener": End(SENDER),
            "ready": End(SENDER),
        },
    )
    v.bad("line", "without its ways", {"cluster": "files", "left_ms": 5000, "ready": End(SENDER)})
    v.add("opened", "a member has it", {"Ok": None})
    v.add("opened", "no member", {"Err": "NoMember"})
    v.add("opened", "no room", {"Err": "Busy"})
    v.add("opened", "refused", {"Err": {"Refused": "the service takes no tunnels"}})
    v.bad("opened", "a reason that is none", {"Err": "Timeout"})
    v.add("piece", "a whole message", [4, Bytes(b"four")])
    v.add("piece", "an empty message", [0, Bytes(b"")])
    v.add("piece", "the beginning of a longer one", [300000, Bytes(b"four")])
    v.add("piece", "a further part", [None, Bytes(b"more")])


def entries():
    v = Vectors()
    for group in (bodies, requests, many, members, tunnels):
        group(v)
    return v.entries
