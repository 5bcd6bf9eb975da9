"""sessions/credit.json: messages, bytes, announced messages, rendezvous, memory."""

from talk import *

WIDE = {"initial_window": 65536}
"""A window in which bytes do not matter."""


def counting(t):
    g = "cr.message"
    wide = {"hello": WIDE, "peer": WIDE, "local": {"max_window": 65536}}
    t.add(
        g,
        "CR-01 CH-09",
        "capacity 2: two messages, then none",
        opened(2),
        app("status", "$a", gives={"room": 2, "untaken": 0}),
        send("$a", "01"),
        send("$a", "02"),
        expect(msg("$a", "01"), msg("$a", "02")),
        blocked("$a", "messages", "03"),
        QUIET,
        app("status", "$a", gives={"room": 0, "untaken": 2}),
    )
    t.add(
        g,
        "CR-01",
        "one was taken, one may start",
        opened(2),
        send("$a", "01"),
        send("$a", "02"),
        SKIP,
        recv(credit("$a", taken=1)),
        app("status", "$a", gives={"room": 1, "untaken": 1}),
        send("$a", "03"),
        expect(msg("$a", "03")),
        blocked("$a", "messages", "04"),
    )
    t.add(
        g,
        "CR-01 MO-02",
        "a channel without room blocks no other",
        opened(1),
        opened(1, "$b"),
        send("$a", "01"),
        SKIP,
        blocked("$a", "messages", "02"),
        send("$b", "03"),
        expect(msg("$b", "03")),
    )
    t.add(
        g,
        "CR-03",
        "an increment of wanted orders messages beyond the window",
        opened(1),
        send("$a", "01"),
        SKIP,
        blocked("$a", "messages", "02"),
        recv(credit("$a", wanted=2)),
        send("$a", "02"),
        expect(msg("$a", "02")),
        blocked("$a", "messages", "03"),
    )
    for capacity, due in ((1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (64, 32)):
        steps = [accepted(1, capacity), recv(*[msg(1, f"{i:02x}") for i in range(due)])]
        for i in range(due - 1):
            steps += [take(1, f"{i:02x}"), QUIET]
        steps += [
            take(1, f"{due - 1:02x}"),
            {"expect": [{"t": "CREDIT", "id": 1, "taken": due, "wanted": 0}]},
        ]
        t.add(
            g,
            "CR-04",
            f"capacity {capacity}: credit is due when {due} {'is' if due == 1 else 'are'} owed",
            *steps,
            **wide,
        )
    t.add(
        g,
        "CR-04",
        "any is due when the sender has no room: the arrival that fills it sets it off",
        accepted(1, 4),
        recv(msg(1, "00"), msg(1, "01"), msg(1, "02")),
        take(1, "00"),
        QUIET,
        recv(msg(1, "03")),
        expect(credit(1, taken=1, bytes=33)),
        **wide,
    )
    t.add(
        g,
        "CR-04 CR-02",
        "what waits is not taken",
        accepted(1, 2),
        recv(msg(1, "00"), msg(1, "01")),
        QUIET,
        GOES_ON,
        **wide,
    )
    t.add(
        g,
        "CR-06 CR-02",
        "a CREDIT carries all that is owed, in messages and in bytes",
        accepted(1, 2),
        recv(msg(1, fill(600))),
        take(1, fill(600)),
        expect(credit(1, taken=1, bytes=632)),
        local=FIXED,
    )
    t.add(
        g,
        "CR-05 CH-22",
        "the peer may say taken in one go",
        opened(8),
        *[send("$a", "00") for _ in range(8)],
        SKIP,
        recv(credit("$a", taken=8)),
        app("status", "$a", gives={"room": 8, "untaken": 0}),
        GOES_ON,
    )
    t.add(
        g,
        "CR-01 FR-10",
        "a message that is blocked allocates nothing",
        opened(1),
        send("$a", "00"),
        SKIP,
        app(
            "send",
            "$a",
            {"sent": False, "blocked": "messages"},
            codec=0,
            payload="",
            attachments=[{"kind": 1, "capacity": 4}],
        ),
        QUIET,
        recv(credit("$a", taken=1)),
        send("$a", "01"),
        expect(msg("$a", "01")),
        level=1,
    )


def rendezvous(t):
    g = "cr.rendezvous"
    t.add(
        g,
        "CR-01 CR-03",
        "capacity 0: nothing may start before a receive waits",
        opened(0),
        blocked("$a", "messages", "01"),
        QUIET,
        recv(credit("$a", wanted=1)),
        app("status", "$a", gives={"room": 0, "demand": 1}),
        send("$a", "01"),
        expect(msg("$a", "01")),
        blocked("$a", "messages", "02"),
        app("status", "$a", gives={"untaken": 1}),
        recv(credit("$a", taken=1)),
        app("status", "$a", gives={"untaken": 0}),
    )
    t.add(
        g,
        "CR-03",
        "a receive that waits is announced",
        accepted(1, 0),
        app("waiting", 1, receives=1, gives={}),
        expect(credit(1, wanted=1)),
    )
    t.add(
        g,
        "CR-03",
        "a level and no count of calls: given up and asked again orders one message",
        accepted(1, 0),
        app("waiting", 1, receives=1),
        expect(credit(1, wanted=1)),
        app("waiting", 1, receives=0),
        QUIET,
        app("waiting", 1, receives=1),
        QUIET,
        app("waiting", 1, receives=3),
        expect(credit(1, wanted=2)),
    )
    t.add(
        g,
        "CR-02 CR-04",
        "taken is told at once",
        accepted(1, 0),
        app("waiting", 1, receives=2),
        expect(credit(1, wanted=2)),
        app("waiting", 1, receives=1),
        recv(msg(1, "01")),
        QUIET,
        take(1, "01"),
        expect(credit(1, taken=1, bytes=33)),
    )
    t.add(
        g,
        "CR-02",
        "a message whose receive was given up waits, and is not taken",
        accepted(1, 0),
        app("waiting", 1, receives=1),
        expect(credit(1, wanted=1)),
        app("waiting", 1, receives=0),
        recv(msg(1, "01")),
        QUIET,
        app("cancel", 1, scope=0, code=0, text="", gives={}),
        expect(cancel(1, 0)),
    )
    t.add(
        g,
        "CR-03",
        "after the message has arrived another receive is announced",
        accepted(1, 0),
        app("waiting", 1, receives=1),
        expect(credit(1, wanted=1)),
        app("waiting", 1, receives=0),
        recv(msg(1, "01")),
        take(1, "01"),
        expect(credit(1, taken=1, bytes=33)),
        app("waiting", 1, receives=1),
        expect(credit(1, wanted=1)),
    )
    t.add(
        g,
        "CR-03",
        "on a channel with room nothing is announced",
        accepted(1, 2),
        app("waiting", 1, receives=1),
        QUIET,
    )
    t.add(
        g,
        "CR-03 CR-04",
        "served on demand with a capacity, as kind 2 says: wanted, and taken at once",
        accepted(1, 4),
        recv(msg(1, "", att(2, 3, 4, 1))),
        take(1),
        app("claim", ids=[3]),
        app("waiting", 3, receives=1),
        any_order(credit(3, wanted=1)),
        app("waiting", 3, receives=0),
        recv(msg(3, "01")),
        take(3, "01"),
        expect(credit(3, taken=1, bytes=33)),
        level=1,
    )
    t.add(
        g,
        "CR-01",
        "a sender that goes by demand holds back, though there is room",
        opened(4),
        app(
            "send",
            "$a",
            {"sent": True, "ids": ["$b"]},
            codec=0,
            payload="",
            attachments=[{"kind": 2, "capacity": 4, "demand": True}],
        ),
        {"expect": [msg("$a", "", {"kind": 2, "id": "$b", "capacity": 4, "wanted": 1})]},
        blocked("$b", "messages", "01"),
        QUIET,
        recv(credit("$b", wanted=1)),
        send("$b", "01"),
        expect(msg("$b", "01")),
        blocked("$b", "messages", "02"),
        level=1,
    )


def bytes_(t):
    g = "cr.bytes"
    t.add(
        g,
        "CR-08 CR-07",
        "charged: payload, 32, and the message that passes the end",
        opened(8),
        send("$a", fill(468)),
        app("status", "$a", gives={"bytes": 524}),
        send("$a", fill(468)),
        app("status", "$a", gives={"bytes": 24}),
        send("$a", fill(468)),
        app("status", "$a", gives={"bytes": -476}),
        blocked("$a", "bytes", ""),
        SKIP,
        recv(credit("$a", bytes=476)),
        blocked("$a", "bytes", ""),
        recv(credit("$a", bytes=1)),
        send("$a", ""),
        expect(msg("$a", "")),
        app("status", "$a", gives={"bytes": -31}),
    )
    t.add(
        g,
        "CR-08",
        "16 for each attachment",
        opened(8),
        app(
            "send",
            "$a",
            {"sent": True},
            codec=0,
            payload="00",
            attachments=[{"kind": 1, "capacity": 1}, {"kind": 1, "capacity": 2}],
        ),
        SKIP,
        app("status", "$a", gives={"bytes": 1024 - 65}),
        level=1,
    )
    t.add(
        g,
        "CR-12 CR-08",
        "exactly the window is no announced message",
        opened(8),
        send("$a", fill(992)),
        expect(msg("$a", fill(992))),
        app("status", "$a", gives={"bytes": 0}),
        blocked("$a", "bytes"),
    )
    t.add(
        g,
        "CR-12",
        "one byte more is",
        opened(8),
        send("$a", fill(993)),
        expect(first("$a", 993, fill(992), announced=True)),
        recv(credit("$a", bytes=1)),
        {"expect": [{"t": "FRAGMENT", "id": "$a", "flags": 0}]},
    )
    t.add(
        g,
        "CR-12 CR-20",
        "with more credit than the window what fits the credit is not announced",
        opened(8),
        recv(credit("$a", bytes=1000)),
        send("$a", fill(1992)),
        expect(msg("$a", fill(1992))),
        app("status", "$a", gives={"bytes": 0}),
    )
    t.add(
        g,
        "CR-12",
        "with less credit than the window what fits the window is not announced",
        opened(8),
        send("$a", fill(900)),
        SKIP,
        send("$a", fill(992)),
        expect(msg("$a", fill(992))),
        app("status", "$a", gives={"bytes": 1024 - 932 - 1024}),
    )
    t.add(
        g,
        "CR-10",
        "granted when half of the window is owed",
        accepted(1, 64),
        recv(msg(1, fill(220)), msg(1, fill(227)), msg(1)),
        take(1, fill(220)),
        QUIET,
        take(1, fill(227)),
        QUIET,
        take(1, ""),
        expect(credit(1, taken=3, bytes=543)),
        local=FIXED,
    )
    t.add(
        g,
        "CR-10",
        "granted when any is owed and the sender has none left",
        accepted(1, 64),
        recv(msg(1, fill(68)), msg(1, fill(892))),
        take(1, fill(68)),
        expect(credit(1, taken=1, bytes=100)),
        local=FIXED,
    )
    t.add(
        g,
        "CR-10",
        "an arrival that uses up what the sender had makes a grant due",
        accepted(1, 64),
        recv(msg(1, fill(68))),
        take(1, fill(68)),
        QUIET,
        recv(msg(1, fill(892))),
        expect(credit(1, taken=1, bytes=100)),
        local=FIXED,
    )
    t.add(
        g,
        "CR-07 CR-10 CR-11",
        "a message may pass the end of the credit by less than a window; what is granted pays that first",
        accepted(1, 64),
        recv(msg(1, fill(991)), msg(1, fill(992))),
        QUIET,
        GOES_ON,
        take(1, fill(991)),
        expect(credit(1, taken=1, bytes=1023)),
        take(1, fill(992)),
        expect(credit(1, taken=1, bytes=1024)),
        local=FIXED,
    )
    t.add(
        g,
        "CR-08 CR-11",
        "the example of 6-credit.md, the sender",
        opened(4),
        *[send("$a", fill(468)) for _ in range(4)],
        SKIP,
        app("status", "$a", gives={"room": 0, "bytes": 48}),
        blocked("$a", "messages", fill(468)),
        recv(credit("$a", taken=1, bytes=500)),
        app("status", "$a", gives={"room": 1, "bytes": 548}),
        send("$a", fill(468)),
        SKIP,
        recv(credit("$a", taken=4, bytes=2000)),
        app("status", "$a", gives={"room": 4, "bytes": 2048}),
        send("$a", fill(10000)),
        expect(first("$a", 10000, fill(2016), announced=True)),
        app("status", "$a", gives={"bytes": 0}),
        recv(credit("$a", bytes=7984)),
        expect({"t": "FRAGMENT", "id": "$a", "flags": 0}),
        app("status", "$a", gives={"bytes": 0, "untaken": 1}),
        recv(credit("$a", taken=1, bytes=2048)),
        app("status", "$a", gives={"bytes": 2048, "untaken": 0}),
        hello={"initial_window": 2048},
        peer={"initial_window": 2048},
    )
    t.add(
        g,
        "CR-04 CR-10 CR-13",
        "the example of 6-credit.md, the receiver",
        accepted(1, 4),
        recv(*[msg(1, fill(468)) for _ in range(4)]),
        QUIET,
        take(1, fill(468)),
        expect(credit(1, taken=1, bytes=500)),
        recv(msg(1, fill(468))),
        take(1),
        expect(credit(1, taken=1, bytes=500)),
        take(1),
        QUIET,
        take(1),
        expect(credit(1, taken=2, bytes=1000)),
        take(1),
        QUIET,
        empty(1),
        hello={"initial_window": 2048},
        peer={"initial_window": 2048},
        local={"max_window": 2048},
    )


def announced(t):
    g = "cr.announced"
    ten = {"fill": "mod251", "len": 10000}
    rest = bytes(i % 251 for i in range(10000))[992:].hex()
    t.add(
        g,
        "CR-13 CR-09",
        "the receiver sets all of it aside and grants the rest",
        accepted(1, 4),
        recv(first(1, 10000, fill(992), announced=True)),
        expect(credit(1, bytes=9008)),
        recv(fragment(1, rest)),
        take(1, ten),
        SKIP,
        local=FIXED,
    )
    t.add(
        g,
        "CR-13",
        "after it was taken the window is what it was",
        accepted(1, 1),
        recv(first(1, 10000, fill(992), announced=True)),
        expect(credit(1, bytes=9008)),
        recv(fragment(1, rest)),
        QUIET,
        take(1, ten),
        expect(credit(1, taken=1, bytes=1024)),
        local=FIXED,
    )
    t.add(
        g,
        "CR-09 CR-13",
        "frame by frame, as credit comes",
        opened(4),
        send("$a", fill(3000)),
        expect(first("$a", 3000, fill(992), announced=True)),
        recv(credit("$a", bytes=1000)),
        {"expect": [{"t": "FRAGMENT", "id": "$a", "flags": 1}]},
        app("status", "$a", gives={"bytes": 0}),
        recv(credit("$a", bytes=1008)),
        {"expect": [{"t": "FRAGMENT", "id": "$a", "flags": 0}]},
        app("status", "$a", gives={"bytes": 0, "untaken": 1}),
    )
    t.add(
        g,
        "CR-09",
        "only the fixed part of the first frame may pass the end",
        opened(4),
        send("$a", fill(972)),
        expect(msg("$a", fill(972))),
        app("status", "$a", gives={"bytes": 20}),
        send("$a", fill(3000)),
        expect(first("$a", 3000, "", announced=True)),
        app("status", "$a", gives={"bytes": -12}),
        recv(credit("$a", bytes=12)),
        QUIET,
        recv(credit("$a", bytes=1)),
        {"expect": [fragment("$a", "00", True)]},
    )
    t.add(
        g,
        "FR-25 CR-01",
        "behind an announced message nothing else of its channel goes, another channel does",
        opened(4),
        opened(4, "$b"),
        send("$a", fill(2000)),
        expect(first("$a", 2000, fill(992), announced=True)),
        blocked("$a", "messages", "00"),
        send("$b", "01"),
        expect(msg("$b", "01")),
        recv(credit("$a", bytes=1008)),
        {"expect": [{"t": "FRAGMENT", "id": "$a", "flags": 0}]},
        recv(credit("$a", bytes=100)),
        send("$a", "00"),
        expect(msg("$a", "00")),
    )
    t.add(
        g,
        "CR-13",
        "one that nobody waits for leaves room for the largest: two do not lock each other",
        accepted(1, 4),
        accepted(3, 4),
        recv(first(1, 3000, fill(992), announced=True)),
        QUIET,
        recv(first(3, 3000, fill(992), announced=True)),
        QUIET,
        app("waiting", 3, receives=1),
        expect(credit(3, bytes=2008)),
        recv(fragment(3, bytes(2008).hex())),
        take(3),
        SKIP,
        app("waiting", 1, receives=1),
        expect(credit(1, bytes=2008)),
        recv(fragment(1, bytes(2008).hex())),
        take(1),
        SKIP,
        GOES_ON,
        hello={"session_memory": 16384},
        peer={"session_memory": 16384},
        local=FIXED,
    )
    t.add(
        g,
        "CR-11 CR-13",
        "while one waits for memory, what fits a window passes on other channels",
        accepted(1, 4),
        accepted(3, 4),
        recv(first(1, 4000, fill(992), announced=True)),
        QUIET,
        recv(msg(3, fill(900))),
        take(3, fill(900)),
        {"expect": [{"t": "CREDIT", "id": 3}]},
        GOES_ON,
        hello={"session_memory": 16384},
        local=FIXED,
    )
    t.add(
        g,
        "CR-13 CH-19",
        "who leaves the line for memory lets the next one pass",
        accepted(1, 4),
        accepted(3, 4),
        recv(first(1, 3000, fill(992), announced=True)),
        app("waiting", 1, receives=1),
        expect(credit(1, bytes=2008)),
        recv(first(3, 4000, fill(992), announced=True)),
        app("waiting", 3, receives=1),
        QUIET,
        app("cancel", 1, scope=0, code=0, text="", gives={}),
        expect(cancel(1)),
        recv(fragment(1, bytes(2008).hex()), close(1)),
        expect(credit(3, bytes=3008)),
        hello={"session_memory": 16384},
        local=FIXED,
    )
    t.add(
        g,
        "CR-12 AT-04",
        "an announced message announces its channels with its first frame",
        opened(4),
        app(
            "send",
            "$a",
            {"sent": True, "ids": ["$b"]},
            codec=0,
            payload=fill(2000),
            attachments=[{"kind": 2, "capacity": 4}],
        ),
        {
            "expect": [
                first(
                    "$a", 2000, fill(976), {"kind": 2, "id": "$b", "capacity": 4, "wanted": 0}, announced=True
                )
            ]
        },
        send("$b", "01"),
        expect(msg("$b", "01")),
        app("status", "$a", gives={"bytes": 0}),
        level=1,
    )
    t.add(
        g,
        "CR-12 LI-03",
        "a claim of 4 MiB costs a grant, and no more than arrives",
        accepted(1, 4),
        recv(first(1, 4194304, "", announced=True)),
        {"expect": [{"t": "CREDIT", "id": 1}]},
        GOES_ON,
        local=FIXED,
    )


def entries():
    t = Talks()
    counting(t)
    rendezvous(t)
    bytes_(t)
    announced(t)
    return t.entries
