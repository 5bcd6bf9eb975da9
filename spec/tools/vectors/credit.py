"""sessions/credit.json: messages, bytes, large messages, rendezvous, memory."""

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
        "CR-02 CR-10",
        "a CREDIT carries all that is owed, in messages and in bytes",
        accepted(1, 2),
        recv(msg(1, fill(600))),
        take(1, fill(600)),
        expect(credit(1, taken=1, bytes=632)),
        local=FIXED,
    )
    t.add(
        g,
        "CR-05",
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
        "CR-01 LI-02",
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
    t.add(
        g,
        "CR-03",
        "an arrival does not change the level: the receive that waits is not announced twice",
        accepted(1, 0),
        app("waiting", 1, receives=1),
        expect(credit(1, wanted=1)),
        recv(msg(1, "01")),
        QUIET,
        app("waiting", 1, receives=2),
        expect(credit(1, wanted=1)),
    )
    t.add(
        g,
        "CR-03",
        "a message that has begun is there: the receive that it is for is not announced twice",
        accepted(1, 0),
        app("waiting", 1, receives=1),
        expect(credit(1, wanted=1)),
        recv(first(1, 100, fill(50))),
        QUIET,
        app("waiting", 1, receives=2),
        expect(credit(1, wanted=1)),
        recv(fragment(1, bytes(50).hex())),
        QUIET,
        app("waiting", 1, receives=1),
        take(1),
        expect(credit(1, taken=1, bytes=132)),
    )
    t.add(
        g,
        "CR-03 CR-04",
        "a receive was served and another is in its place: the level is as before, and one more is announced",
        accepted(1, 0),
        app("waiting", 1, receives=1),
        expect(credit(1, wanted=1)),
        recv(msg(1, "01")),
        QUIET,
        take(1, "01"),
        expect(credit(1, taken=1, wanted=1, bytes=33)),
        recv(msg(1, "02")),
        app("waiting", 1, receives=0),
        take(1, "02"),
        expect(credit(1, taken=1, bytes=33)),
    )
    t.add(
        g,
        "CR-01",
        "served on demand: what the window allows is taken all the same, and beyond that it is too much",
        accepted(1, 4),
        recv(msg(1, "", att(2, 3, 1, 1))),
        take(1),
        app("claim", ids=[3]),
        recv(msg(3, "01")),
        GOES_ON,
        take(3, "01"),
        expect(credit(3, taken=1, bytes=33)),
        recv(msg(3, "02"), msg(3, "03")),
        told(8),
        broken("FLOW_CONTROL"),
        level=1,
    )


def bytes_(t):
    g = "cr.bytes"
    t.gone(g, 12)
    t.add(
        g,
        "CR-08 CR-07",
        "charged: payload and 32. What fits goes, what does not waits",
        opened(8),
        send("$a", fill(468)),
        app("status", "$a", gives={"bytes": 524}),
        send("$a", fill(468)),
        app("status", "$a", gives={"bytes": 24}),
        blocked("$a", "bytes", fill(468)),
        blocked("$a", "bytes", ""),
        SKIP,
        recv(credit("$a", bytes=8)),
        send("$a", ""),
        expect(msg("$a", "")),
        app("status", "$a", gives={"bytes": 0}),
        hello=NARROW,
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
        app("status", "$a", gives={"bytes": 2048 - 65}),
        level=1,
    )
    t.add(
        g,
        "CR-08 FR-34",
        "and the headers, without their length byte",
        opened(8),
        send("$a", "00", headers="0901ff"),
        expect(msg("$a", "00", headers="0901ff")),
        app("status", "$a", gives={"bytes": 2048 - 36}),
    )
    t.add(
        g,
        "CR-07 CR-08",
        "exactly the credit is one frame",
        opened(8),
        send("$a", fill(992)),
        expect(msg("$a", fill(992))),
        app("status", "$a", gives={"bytes": 0}),
        blocked("$a", "bytes"),
        hello=NARROW,
    )
    t.add(
        g,
        "CR-07",
        "one byte more is cut",
        opened(8),
        send("$a", fill(993)),
        expect(first("$a", 993, fill(992))),
        app("status", "$a", gives={"bytes": 0}),
        recv(credit("$a", bytes=1)),
        {"expect": [last("$a")]},
        hello=NARROW,
    )
    t.add(
        g,
        "CR-07",
        "with more credit than at first what fits it is not cut",
        opened(8),
        recv(credit("$a", bytes=1000)),
        send("$a", fill(1992)),
        expect(msg("$a", fill(1992))),
        app("status", "$a", gives={"bytes": 0}),
        hello=NARROW,
    )
    t.add(
        g,
        "CR-07",
        "with less credit: what is at most half of the first window waits for all of it, what is more is cut",
        opened(8),
        send("$a", fill(668)),
        SKIP,
        blocked("$a", "bytes", fill(480)),
        QUIET,
        send("$a", fill(481)),
        expect(first("$a", 481, fill(292))),
        app("status", "$a", gives={"bytes": 0}),
        hello=NARROW,
    )
    t.add(
        g,
        "CR-07 CR-10",
        "a large message starts when there is credit for the fixed part of any message",
        opened(8),
        send("$a", fill(740)),
        SKIP,
        blocked("$a", "bytes", fill(481)),
        QUIET,
        recv(credit("$a", bytes=36)),
        app("status", "$a", gives={"bytes": 288}),
        send("$a", fill(481)),
        expect(first("$a", 481, fill(256))),
        hello=NARROW,
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
        **NARROW_FIXED,
    )
    t.add(
        g,
        "CR-10",
        "granted when any is owed and the sender has less than the fixed part of a message",
        accepted(1, 64),
        recv(msg(1, fill(68)), msg(1, fill(605))),
        QUIET,
        take(1, fill(68)),
        expect(credit(1, taken=1, bytes=100)),
        **NARROW_FIXED,
    )
    t.add(
        g,
        "CR-10",
        "and not while it has that much",
        accepted(1, 64),
        recv(msg(1, fill(68)), msg(1, fill(604))),
        take(1, fill(68)),
        QUIET,
        **NARROW_FIXED,
    )
    t.add(
        g,
        "CR-10",
        "an arrival that uses up what the sender had makes a grant due",
        accepted(1, 64),
        recv(msg(1, fill(68))),
        take(1, fill(68)),
        QUIET,
        recv(msg(1, fill(605))),
        expect(credit(1, taken=1, bytes=100)),
        **NARROW_FIXED,
    )
    t.add(
        g,
        "CR-08 CR-10",
        "headers count as held until they are taken",
        accepted(1, 1),
        recv(msg(1, "00", headers="0901ff")),
        take(1, "00"),
        expect(credit(1, taken=1, bytes=36)),
        **NARROW_FIXED,
    )
    t.add(
        g,
        "CR-08 CR-07",
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
        expect(first("$a", 10000, fill(2016))),
        app("status", "$a", gives={"bytes": 0}),
        recv(credit("$a", bytes=7984)),
        expect(last("$a")),
        app("status", "$a", gives={"bytes": 0, "untaken": 1}),
        recv(credit("$a", taken=1, bytes=2048)),
        app("status", "$a", gives={"bytes": 2048, "untaken": 0}),
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
        *[[take(1), expect(credit(1, taken=1, bytes=500))] for _ in range(3)],
        take(1),
        QUIET,
        empty(1),
        local=FIXED,
    )
    odd = {"hello": {**NARROW, "initial_window": 1025}, "local": {"max_window": 1025}}
    t.add(
        g,
        "CR-10",
        "half of an odd window is rounded down, where it is granted",
        accepted(1, 64),
        accepted(3, 64),
        recv(msg(1, fill(479)), msg(3, fill(480))),
        take(1, fill(479)),
        QUIET,
        take(3, fill(480)),
        expect(credit(3, taken=1, bytes=512)),
        **odd,
    )
    t.add(
        g,
        "CR-08",
        "and where a message is cut",
        opened(8),
        send("$a", fill(668)),
        SKIP,
        blocked("$a", "bytes", fill(480)),
        QUIET,
        send("$a", fill(481)),
        expect(first("$a", 481, fill(293))),
        **odd,
    )
    t.add(
        g,
        "CR-07 CR-08",
        "what has all its credit goes at once, also where it needs several frames and might have waited",
        opened(8),
        send("$a", fill(6000)),
        expect(first("$a", 6000, fill(4090)), last("$a")),
        app("status", "$a", gives={"bytes": 65536 - 6032}),
        hello={**WIDE, "max_frame": 4096},
        peer=WIDE,
    )


REST = bytes(i % 251 for i in range(10000))[2016:].hex()
"""What a first frame of 2,016 bytes leaves of a message of 10,000."""


def waits(ident, receives=1):
    return app("waiting", ident, receives=receives, gives={})


ONE_AT_A_TIME = {"hello": {"session_memory": 40000}, "local": FIXED}
"""Memory for one message of 8,000 bytes beside the first windows: a second one stands in line."""


def one_waits_behind_another():
    """The large message of channel 1 has got its memory, that of channel 3 waits for it."""
    return [
        accepted(1, 4),
        accepted(3, 4),
        waits(1),
        waits(3),
        recv(first(1, 8000, fill(2016)), first(3, 8000, fill(2016))),
        expect(credit(1, bytes=5984)),
    ]


def large(t):
    g = "cr.large"
    ten = fill(10000)
    t.add(
        g,
        "CR-13 CR-07",
        "a receive waits for a message larger than the window: the window is raised to its charge, for this message",
        accepted(1, 4),
        waits(1),
        QUIET,
        recv(first(1, 10000, fill(2016))),
        expect(credit(1, bytes=7984)),
        recv(fragment(1, REST)),
        QUIET,
        take(1, ten),
        expect(credit(1, taken=1, bytes=2048)),
        local=FIXED,
    )
    t.add(
        g,
        "CR-13",
        "nobody waits: nothing is granted before a receive does",
        accepted(1, 4),
        recv(first(1, 10000, fill(2016))),
        QUIET,
        waits(1),
        expect(credit(1, bytes=7984)),
        recv(fragment(1, REST)),
        take(1, ten),
        SKIP,
        GOES_ON,
        local=FIXED,
    )
    t.add(
        g,
        "CR-13",
        "a receive that was given up waits no more",
        accepted(1, 4),
        waits(1),
        waits(1, 0),
        recv(first(1, 10000, fill(2016))),
        QUIET,
        local=FIXED,
    )
    t.add(
        g,
        "CR-13",
        "something else in the inbox is what the receive gets: the large message stands in line when it was taken",
        accepted(1, 4),
        waits(1),
        recv(msg(1, "00"), first(1, 10000, fill(1983))),
        QUIET,
        take(1, "00"),
        expect(credit(1, taken=1, bytes=8017)),
        local=FIXED,
    )
    t.add(
        g,
        "CR-13",
        "the head of the line only: what would fit does not pass one that does not",
        accepted(1, 4),
        accepted(3, 4),
        accepted(5, 4),
        waits(1),
        waits(3),
        waits(5),
        recv(first(1, 8000, fill(2016))),
        expect(credit(1, bytes=5984)),
        recv(first(3, 8000, fill(2016)), first(5, 3000, fill(2016))),
        QUIET,
        recv(fragment(1, bytes(5984).hex())),
        QUIET,
        take(1),
        any_order(credit(1, taken=1, bytes=2048), credit(3, bytes=5984), credit(5, bytes=984)),
        **ONE_AT_A_TIME,
    )
    t.add(
        g,
        "CR-13",
        "first come, first served: in the order in which a receive waited for them, not in that of their arrival",
        accepted(1, 4),
        accepted(3, 4),
        accepted(5, 4),
        waits(1),
        recv(first(1, 8000, fill(2016))),
        expect(credit(1, bytes=5984)),
        recv(first(3, 8000, fill(2016)), first(5, 8000, fill(2016))),
        waits(5),
        waits(3),
        QUIET,
        recv(fragment(1, bytes(5984).hex())),
        take(1),
        any_order(credit(1, taken=1, bytes=2048), credit(5, bytes=5984)),
        **ONE_AT_A_TIME,
    )
    t.add(
        g,
        "CR-13 LI-01",
        "one alone always fits: a message of max_message, which is a quarter of the memory",
        accepted(1, 4),
        waits(1),
        recv(first(1, 10000, fill(2016))),
        expect(credit(1, bytes=7984)),
        **ONE_AT_A_TIME,
    )
    t.add(
        g,
        "CR-13 CH-19",
        "who leaves lets the next one pass: CANCEL",
        one_waits_behind_another(),
        app("cancel", 1, scope=0, code=0, text="", gives={}),
        any_order(cancel(1), credit(3, bytes=5984)),
        recv(fragment(1, bytes(5984).hex()), close(1)),
        QUIET,
        **ONE_AT_A_TIME,
    )
    t.add(
        g,
        "CR-13 FR-25",
        "who leaves lets the next one pass: a CLOSE that cuts",
        one_waits_behind_another(),
        recv(close(1, 40)),
        any_order(cancel(1), credit(3, bytes=5984)),
        ended(1, 40),
        **ONE_AT_A_TIME,
    )
    t.add(
        g,
        "CR-13",
        "who leaves lets the next one pass: a receive that is given up while it waits for memory",
        accepted(1, 4),
        accepted(3, 4),
        accepted(5, 4),
        waits(1),
        waits(3),
        waits(5),
        recv(first(1, 8000, fill(2016)), first(3, 8000, fill(2016)), first(5, 3000, fill(2016))),
        expect(credit(1, bytes=5984)),
        waits(3, 0),
        expect(credit(5, bytes=984)),
        **ONE_AT_A_TIME,
    )
    t.add(
        g,
        "CR-13 MO-02",
        "while one waits for memory, what fits a window passes on other channels",
        accepted(1, 4),
        accepted(3, 4),
        accepted(5, 1),
        waits(1),
        waits(3),
        recv(first(1, 8000, fill(2016)), first(3, 8000, fill(2016))),
        expect(credit(1, bytes=5984)),
        recv(msg(5, fill(1900))),
        take(5, fill(1900)),
        expect(credit(5, taken=1, bytes=1932)),
        GOES_ON,
        **ONE_AT_A_TIME,
    )
    t.add(
        g,
        "CR-07 CR-13",
        "what is cut and fits the window needs no line: the rest comes as credit is given",
        accepted(1, 4),
        recv(msg(1, fill(1168)), first(1, 900, fill(816))),
        QUIET,
        take(1, fill(1168)),
        expect(credit(1, taken=1, bytes=1200)),
        recv(fragment(1, bytes(84).hex())),
        take(1),
        SKIP,
        GOES_ON,
        local=FIXED,
    )
    t.add(
        g,
        "CR-07",
        "our large message, frame by frame, as credit comes",
        opened(4),
        send("$a", fill(3000)),
        expect(first("$a", 3000, fill(2016))),
        recv(credit("$a", bytes=500)),
        {"expect": [{"t": "FRAGMENT", "id": "$a", "flags": 1}]},
        app("status", "$a", gives={"bytes": 0}),
        recv(credit("$a", bytes=484)),
        {"expect": [last("$a")]},
        app("status", "$a", gives={"bytes": 0, "untaken": 1}),
    )
    t.add(
        g,
        "FR-25 CR-01",
        "behind a message that is not whole nothing else of its channel goes, another channel does",
        opened(4),
        opened(4, "$b"),
        send("$a", fill(3000)),
        expect(first("$a", 3000, fill(2016))),
        blocked("$a", "messages", "00"),
        send("$b", "01"),
        expect(msg("$b", "01")),
        recv(credit("$a", bytes=984)),
        {"expect": [last("$a")]},
        recv(credit("$a", bytes=100)),
        send("$a", "00"),
        expect(msg("$a", "00")),
    )
    t.add(
        g,
        "CR-07 AT-04",
        "a message that is cut announces its channels with its first frame, and has its headers there",
        opened(4),
        app(
            "send",
            "$a",
            {"sent": True, "ids": ["$b"]},
            codec=0,
            payload=fill(3000),
            attachments=[{"kind": 2, "capacity": 4}],
            headers="0901ff",
        ),
        {
            "expect": [
                {
                    **first("$a", 3000, fill(1997), {"kind": 2, "id": "$b", "capacity": 4, "wanted": 0}),
                    "flags": 0x13,
                    "headers": "0901ff",
                }
            ]
        },
        send("$b", "01"),
        expect(msg("$b", "01")),
        app("status", "$a", gives={"bytes": 0}),
        level=1,
    )
    t.add(
        g,
        "CR-13 LI-03",
        "a claim of 4 MiB costs a grant, and no more than arrives",
        accepted(1, 4),
        waits(1),
        recv(first(1, 4194304, "")),
        {"expect": [{"t": "CREDIT", "id": 1}]},
        GOES_ON,
        local=FIXED,
    )


def entries():
    t = Talks()
    counting(t)
    rendezvous(t)
    bytes_(t)
    large(t)
    return t.entries
