"""sessions/errors.json: codes and texts, and what they end."""

from talk import *


def entries():
    t = Talks()
    g = "er.code"
    for code, why in (
        (16, "kept for later versions"),
        (38, "as any other"),
        (43, "as any other"),
        (255, "kept for later versions"),
        (256, "the first of the application's"),
        (65535, "the last"),
    ):
        t.add(
            g,
            "ER-01",
            f"a channel that is closed with code {code}, {why}: an error of the channel",
            accepted(),
            recv(msg(1, "01"), close(1, code)),
            take(1, "01"),
            ended(1, code),
            SKIP,
            GOES_ON,
        )
    t.add(
        g,
        "ER-01",
        "a receiver that leaves with a code that no list has",
        opened(),
        recv(cancel("$a", 0, 200)),
        expect(close("$a")),
        send("$a", "00", {"err": "CANCELLED", "cancel": {"code": 200}}),
        GOES_ON,
    )
    t.add(
        g,
        "ER-03",
        "a session's code in CLOSE ends the channel, and nothing else",
        accepted(),
        recv(close(1, 9, 1)),
        ended(1, 9, 1),
        SKIP,
        GOES_ON,
    )
    t.add(
        g,
        "ER-03",
        "a session's code in CANCEL",
        opened(),
        recv(cancel("$a", 0, 8)),
        expect(close("$a")),
        send("$a", "00", {"err": "CANCELLED", "cancel": {"code": 8}}),
        GOES_ON,
    )
    t.add(
        g,
        "ER-03 BY-05",
        "a session's code in END and STOP",
        accepted(),
        recv(msg(1, "", att(3, 3))),
        take(1),
        app("claim", ids=[3]),
        recv(end(3, 10), stop(3, 12)),
        any_order(end(3), stop(3)),
        app("read", 3, {"end": {"code": 10}}, max=1),
        app("write", 3, {"err": "STOPPED", "code": 12}, payload="00"),
        GOES_ON,
        level=2,
    )
    t.add(
        g,
        "ER-01 SE-17",
        "a goodbye with a code that no list has ends the session like any other",
        recv(goodbye(200, "later")),
        QUIET,
        {"over": {"why": "peer", "text": "later"}},
    )
    t.add(
        g,
        "CH-20",
        "DISCONNECTED from a relay is an error, not a clean end",
        accepted(),
        recv(close(1, 35)),
        ended(1, 35),
        SKIP,
        GOES_ON,
    )

    g = "er.text"
    t.add(
        g,
        "ER-04",
        "a text decides nothing: an error that says it is none",
        accepted(),
        recv(close(1, 300, 0, "clean end, code 0")),
        ended(1, 300, 0, "clean end, code 0"),
        SKIP,
        GOES_ON,
    )
    t.add(
        g,
        "ER-04 FR-07",
        "a refusal of 1,024 bytes of text",
        opened(),
        recv(cancel("$a", 0, 32, 1, "é" * 512)),
        expect(close("$a")),
        send("$a", "00", {"err": "CANCELLED", "cancel": {"code": 32, "text": "é" * 512}}),
    )
    t.add(
        g,
        "ER-04",
        "no text",
        opened(),
        recv(cancel("$a", 0, 263, 1)),
        expect(close("$a")),
        send("$a", "00", {"err": "CANCELLED", "cancel": {"scope": 1, "code": 263, "text": ""}}),
    )
    t.add(
        g,
        "FR-07",
        "the text of a refusal is cut at a character",
        recv(open_(1, 4)),
        app("refuse", 1, code=300, text="€" * 400, gives={}),
        expect(cancel(1, 0, 300, 1, "€" * 341)),
        events({"event": "opened", "id": 1}),
    )
    t.add(
        g,
        "FR-07",
        "the text of our goodbye is cut at a character",
        app("goodbye", code=300, text="😀" * 300, gives={}),
        expect(goodbye(300, "😀" * 256)),
    )

    g = "er.cross"
    t.add(
        g,
        "CH-20 CH-21",
        "an error of the sender and one of the receiver cross: each side hears the other's",
        opened(),
        app("close", "$a", scope=1, code=300, text="mine", gives={}),
        expect(close("$a", 300, 1, "mine")),
        recv(cancel("$a", 0, 301, 1, "theirs")),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "CH-04 CH-19",
        "and at the receiver",
        accepted(),
        app("cancel", 1, scope=1, code=301, text="theirs", gives={}),
        expect(cancel(1, 0, 301, 1, "theirs")),
        recv(close(1, 300, 1, "mine")),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "SE-17 MO-03",
        "a goodbye with a code crosses a close: what had arrived is read, then the loss",
        accepted(),
        accepted(3),
        recv(msg(1, "01"), close(1), msg(3, "02"), goodbye(1, "no")),
        SKIP,
        take(1, "01"),
        ended(1),
        take(3, "02"),
        lost(3),
        by_peer("PROTOCOL", "no"),
    )
    return t.entries
