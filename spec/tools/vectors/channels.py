"""sessions/channels.json: opening by name, messages, fragments, closing, cancelling, ids."""

from talk import *


def opening(t):
    g = "ch.open"
    t.add(
        g,
        "CH-01",
        "the dialer's first id is 2",
        app("open", name="jobs", capacity=64, gives={"id": 2}),
        expect(open_(2, 64, "jobs", metadata=[])),
    )
    t.add(
        g,
        "CH-01",
        "the acceptor's first id is 1",
        app("open", name="jobs", capacity=64, gives={"id": 1}),
        expect(open_(1, 64, "jobs", metadata=[])),
        role="acceptor",
    )
    t.add(
        g,
        "CH-01",
        "a name that is not ASCII, no name, and metadata",
        app("open", name="größe", capacity=0, metadata=[["k", "00ff"]], gives={"id": "$a"}),
        expect(open_("$a", 0, "größe", metadata=[["k", "00ff"]])),
        app("open", name="", capacity=1, gives={"id": "$b"}),
        expect(open_("$b", 1, "", metadata=[])),
    )
    t.add(
        g,
        "CH-09",
        "a message follows its OPEN at once, without a round trip",
        opened(4),
        send("$a", "01"),
        expect(msg("$a", "01")),
    )
    t.add(
        g,
        "AT-04 MO-02",
        "messages may come before the application has accepted, and wait",
        recv(open_(1, 4, "jobs", metadata=[["k", "31"]]), msg(1, "01"), msg(1, "02")),
        events({"event": "opened", "id": 1, "name": "jobs", "capacity": 4, "metadata": [["k", "31"]]}),
        QUIET,
        app("accept", 1, gives={}),
        QUIET,
        take(1, "01"),
        SKIP,
        take(1, "02"),
        SKIP,
        empty(1),
    )
    t.add(
        g,
        "CH-20",
        "a channel that was closed before it was accepted",
        recv(open_(1, 4), msg(1, "01"), close(1)),
        QUIET,
        events({"event": "opened", "id": 1}),
        app("accept", 1, gives={}),
        take(1, "01"),
        ended(1),
        expect(cancel(1, 1)),
    )
    t.add(
        g,
        "CH-08",
        "refused by the application",
        recv(open_(1, 4)),
        app("refuse", 1, code=32, text="no such name", gives={}),
        expect(cancel(1, 0, 32, 1, "no such name")),
        events({"event": "opened", "id": 1}),
        recv(close(1)),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "CH-08 CH-19",
        "refused with the application's code, while messages wait and are on their way",
        recv(open_(1, 4), msg(1, "01")),
        app("refuse", 1, code=263, text="", gives={}),
        expect(cancel(1, 0, 263, 1)),
        recv(msg(1, "02"), close(1)),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "CH-15 CH-21",
        "the peer refuses: sends fail with its reason, and CLOSE answers",
        opened(4),
        send("$a", "01"),
        expect(msg("$a", "01")),
        recv(cancel("$a", 0, 32, 1, "nobody")),
        expect(close("$a")),
        send("$a", "02", {"err": "CANCELLED", "cancel": {"scope": 1, "code": 32, "text": "nobody"}}),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "CH-07",
        "one more than may wait to be accepted",
        recv(open_(1, 4), open_(3, 4), open_(5, 4)),
        expect(cancel(5, 0, 33, 1)),
        events({"event": "opened", "id": 1}, {"event": "opened", "id": 3}),
        GOES_ON,
        hello={"max_pending_accepts": 2},
    )
    t.add(
        g,
        "CH-07",
        "an accepted or refused one no longer waits",
        recv(open_(1, 4)),
        app("accept", 1, gives={}),
        recv(open_(3, 4)),
        app("refuse", 3, code=32, text="", gives={}),
        expect(cancel(3, 0, 32, 1)),
        recv(open_(5, 4)),
        QUIET,
        events({"event": "opened", "id": 1}, {"event": "opened", "id": 3}, {"event": "opened", "id": 5}),
        peer={"max_pending_accepts": 1},
    )
    t.add(
        g,
        "CH-07 CH-19",
        "messages for a channel that was refused by itself are dropped",
        recv(open_(1, 4), open_(3, 4), msg(3, "01"), close(3), msg(1, "02")),
        expect(cancel(3, 0, 33, 1)),
        app("accept", 1, gives={}),
        take(1, "02"),
        SKIP,
        hello={"max_pending_accepts": 1},
    )
    t.add(
        g,
        "CH-05",
        "no more than max_channels of our own; the peer's do not count",
        recv(open_(1, 4), open_(3, 4)),
        opened(4),
        opened(4, "$b"),
        app("open", name="y", capacity=1, gives={"err": "TOO_MANY_CHANNELS"}),
        QUIET,
        GOES_ON,
        hello={"max_channels": 2},
    )
    t.add(
        g,
        "CH-05 LI-02",
        "a channel counts until it is finished",
        opened(4),
        app("close", "$a", gives={}),
        expect(close("$a")),
        app("open", name="y", capacity=1, gives={"err": "TOO_MANY_CHANNELS"}),
        recv(cancel("$a")),
        app("open", name="y", capacity=1, gives={"id": "$b"}),
        expect(open_("$b", 1, "y")),
        hello={"max_channels": 1},
    )
    t.gone(g)
    t.add(
        g,
        "CH-05 LI-02",
        "a channel whose window would pass a quarter of the memory is not opened",
        opened(4),
        opened(4, "$b"),
        app("open", name="x", capacity=4, gives={"err": "MEMORY"}),
        QUIET,
        GOES_ON,
        peer={"session_memory": 16384},
    )
    t.add(
        g,
        "CH-05 CH-04",
        "the charge is given back when the channel is finished",
        opened(4),
        opened(4, "$b"),
        app("close", "$a", gives={}),
        expect(close("$a")),
        app("open", name="x", capacity=4, gives={"err": "MEMORY"}),
        recv(cancel("$a")),
        app("open", name="x", capacity=4, gives={"id": "$c"}),
        expect(open_("$c", 4)),
        peer={"session_memory": 16384},
    )
    t.add(
        g,
        "CH-16 CH-04",
        "unread messages hold the charge: CLOSE is answered when they are taken, and only then is there room",
        recv(open_(1, 4), open_(3, 4), msg(1, "01"), close(1)),
        QUIET,
        events({"event": "opened", "id": 1}, {"event": "opened", "id": 3}),
        app("accept", 1, gives={}),
        QUIET,
        take(1, "01"),
        ended(1),
        expect(cancel(1, 1)),
        recv(open_(1, 4)),
        events({"event": "opened", "id": 1}),
        GOES_ON,
        hello={"session_memory": 16384},
    )
    t.add(
        g,
        "LI-02",
        "a name that does not fit a frame is refused, and nothing sent",
        app("open", name="n" * 5000, capacity=1, gives={"err": "NAME_TOO_LONG"}),
        QUIET,
        opened(4),
        peer={"max_frame": 4096},
    )


def messages(t):
    g = "ch.message"
    t.add(
        g,
        "MO-01",
        "messages arrive in order, each once, with their codecs",
        accepted(1, 8),
        recv(msg(1, "01"), msg(1, "c3", codec=1), msg(1, "7b7d", codec=2), msg(1, "00", codec=200)),
        take(1, "01"),
        take(1, "c3", 1),
        take(1, "7b7d", 2),
        take(1, "00", 200),
        empty(1),
        SKIP,
    )
    t.add(
        g,
        "MO-02",
        "a channel that nobody reads delays no other",
        accepted(1, 2),
        accepted(3, 2),
        recv(msg(1, "01"), msg(1, "02"), msg(3, "03"), msg(3, "04")),
        take(3, "03"),
        expect(credit(3, taken=1, bytes=33)),
        take(3, "04"),
        expect(credit(3, taken=1, bytes=33)),
        GOES_ON,
    )
    t.add(
        g,
        "CR-08",
        "empty messages are messages",
        accepted(1, 4),
        recv(msg(1), msg(1, "", codec=1)),
        take(1, ""),
        take(1, "", 1),
        empty(1),
        SKIP,
    )
    t.add(
        g,
        "CH-11",
        "a message that could not be encoded is one error, then the next",
        accepted(1, 8),
        recv(msg(1, "01"), msg(1, "6e6f", codec=1, flags=4), msg(1, "02"), msg(1, "", flags=8)),
        take(1, "01"),
        app("take", 1, gives={"flaw": "not_encoded", "text": "no"}),
        take(1, "02"),
        app("take", 1, gives={"flaw": "not_forwarded", "text": ""}),
        empty(1),
        SKIP,
    )
    t.add(
        g,
        "CH-11",
        "our application says why a message could not be encoded",
        opened(4),
        send("$a", "01"),
        app("send_flaw", "$a", flaw="not_encoded", text="no", gives={"sent": True}),
        app("send_flaw", "$a", flaw="not_forwarded", text="too large", gives={"sent": True}),
        expect(
            msg("$a", "01"),
            {"t": "MESSAGE", "id": "$a", "flags": 4, "payload": "6e6f"},
            {"t": "MESSAGE", "id": "$a", "flags": 8, "payload": "746f6f206c61726765"},
        ),
    )
    t.add(
        g,
        "CH-11 CR-02",
        "a flaw counts as a message: taken, and charged",
        accepted(1, 2),
        recv(msg(1, "6e6f", flags=4)),
        app("take", 1, gives={"flaw": "not_encoded", "text": "no"}),
        expect(credit(1, taken=1, bytes=34)),
    )
    t.add(
        g,
        "SE-05 CH-12",
        "a codec that the session has not agreed on reaches the application: a relay forwards such",
        accepted(1, 4),
        recv(msg(1, "00", codec=77)),
        take(1, "00", 77),
        GOES_ON,
    )
    t.add(
        g,
        "LI-02 CH-09",
        "a message larger than max_message is refused where it is sent",
        opened(4),
        send("$a", fill(1001), {"err": "MESSAGE_TOO_LARGE"}),
        QUIET,
        send("$a", fill(900)),
        expect(msg("$a", fill(900))),
        peer={"max_message": 1000},
    )
    t.add(
        g,
        "CH-10 FR-24",
        "a message in two frames",
        accepted(1, 4),
        recv(first(1, 6, "61626364", codec=1), fragment(1, "6566")),
        take(1, "616263646566", 1),
    )
    t.add(
        g,
        "FR-23 FR-24",
        "fragments of two channels in turn, and control frames between",
        accepted(1, 4),
        accepted(3, 4),
        recv(
            first(1, 4, "01"),
            first(3, 4, "aa"),
            fragment(1, "02", True),
            ping(1),
            fragment(3, "bb", True),
            open_(5, 1),
            fragment(1, "03", True),
            fragment(3, "cc", True),
            fragment(1, "04"),
            fragment(3, "dd"),
        ),
        expect(pong(1)),
        take(1, "01020304"),
        take(3, "aabbccdd"),
        SKIP,
        events({"event": "opened", "id": 5}),
    )
    t.add(
        g,
        "FR-24",
        "all of the payload may be in fragments",
        accepted(1, 4),
        recv(first(1, 2, ""), fragment(1, "01", True), fragment(1, "02")),
        take(1, "0102"),
    )
    t.add(
        g,
        "CH-10 MO-03",
        "the link ends in the middle of a message: nothing of it is delivered",
        accepted(1, 4),
        recv(msg(1, "01"), first(1, 4, "0203")),
        EOF,
        take(1, "01"),
        lost(1),
        LOST,
    )
    t.add(
        g,
        "CH-10",
        "half a frame is nothing",
        accepted(1, 4),
        recv_bytes(encode(msg(1, "0102"))[:-1]),
        empty(1),
        recv_bytes(encode(msg(1, "0102"))[-1:]),
        take(1, "0102"),
    )
    t.add(
        g,
        "FR-02 FR-24",
        "what is longer than a frame leaves in several, each full",
        opened(4),
        send("$a", fill(10000)),
        expect(first("$a", 10000, fill(4090)), {"t": "FRAGMENT", "flags": 1}, {"t": "FRAGMENT", "flags": 0}),
        peer={"max_frame": 4096, "initial_window": 16384},
        hello={"initial_window": 16384},
    )
    t.add(
        g,
        "FR-02",
        "the longest frame, and no fragment",
        opened(4),
        send("$a", fill(4094)),
        expect(msg("$a", fill(4094))),
        peer={"max_frame": 4096, "initial_window": 16384},
        hello={"initial_window": 16384},
    )
    t.add(
        g,
        "FR-02 FR-24",
        "one byte more needs a fragment",
        opened(4),
        send("$a", fill(4095)),
        expect(first("$a", 4095, fill(4090)), {"t": "FRAGMENT", "flags": 0}),
        peer={"max_frame": 4096, "initial_window": 16384},
        hello={"initial_window": 16384},
    )
    t.add(
        g,
        "FR-02",
        "a frame of exactly max_frame arrives",
        accepted(1, 4),
        recv(msg(1, fill(4094))),
        take(1, fill(4094)),
        SKIP,
        hello={"max_frame": 4096, "initial_window": 16384},
        peer={"initial_window": 16384},
    )


def closing(t):
    g = "ch.close"
    t.add(
        g, "CH-20", "close for this end, clean", opened(4), app("close", "$a", gives={}), expect(close("$a"))
    )
    t.add(
        g,
        "CH-20",
        "close for the channel, with an application's code",
        opened(4),
        send("$a", "01"),
        app("close", "$a", scope=1, code=263, text="bye", gives={}),
        expect(msg("$a", "01"), close("$a", 263, 1, "bye")),
    )
    t.add(
        g,
        "CH-13",
        "nothing follows CLOSE",
        opened(4),
        app("close", "$a", gives={}),
        expect(close("$a")),
        send("$a", "01", {"err": "CLOSED"}),
        app("close", "$a", gives={}),
        QUIET,
    )
    t.add(
        g,
        "FR-07",
        "a text is cut to 1,024 bytes, at a character",
        opened(4),
        app("close", "$a", scope=1, code=300, text="x" + "é" * 600, gives={}),
        expect(close("$a", 300, 1, "x" + "é" * 511)),
    )
    t.add(
        g,
        "FR-30",
        "a clean end has no text",
        opened(4),
        app("close", "$a", code=0, text="all done", gives={}),
        expect(close("$a", 0, 0, "")),
    )
    t.add(
        g,
        "CH-20 CH-16",
        "what has arrived comes first, then the end; CANCEL answers when all is taken",
        accepted(1, 4),
        recv(msg(1, "01"), msg(1, "02"), close(1)),
        QUIET,
        take(1, "01"),
        QUIET,
        take(1, "02"),
        ended(1),
        expect(cancel(1, 2)),
        ended(1),
        QUIET,
    )
    t.add(
        g,
        "CH-16",
        "CANCEL answers at once where nothing waits",
        accepted(1, 4),
        recv(close(1)),
        ended(1),
        expect(cancel(1)),
    )
    t.add(
        g,
        "CH-20 ER-01",
        "the end may be an error, of the channel",
        accepted(1, 4),
        recv(msg(1, "01"), close(1, 300, 1, "disk full")),
        take(1, "01"),
        ended(1, 300, 1, "disk full"),
        expect(cancel(1, 1)),
    )
    t.add(
        g,
        "CH-16 CR-05",
        "what CREDIT has told the CANCEL does not tell again",
        accepted(1, 2),
        recv(msg(1, "01"), msg(1, "02")),
        take(1, "01"),
        expect(credit(1, taken=1, bytes=33)),
        recv(close(1)),
        take(1, "02"),
        ended(1),
        expect(cancel(1, 1)),
    )
    t.add(
        g,
        "CH-16 CR-05",
        "the CANCEL says what no CREDIT has said",
        accepted(1, 8),
        recv(msg(1, "01"), msg(1, "02"), msg(1, "03")),
        take(1, "01"),
        take(1, "02"),
        QUIET,
        recv(close(1)),
        take(1, "03"),
        ended(1),
        expect(cancel(1, 3)),
    )
    t.add(
        g,
        "CH-04",
        "our id is free when CANCEL has answered, and not before",
        app("open", name="x", capacity=1, gives={"id": 2}),
        expect(open_(2, 1)),
        app("close", 2, gives={}),
        expect(close(2)),
        app("open", name="y", capacity=1, gives={"id": 4}),
        expect(open_(4, 1, "y")),
        recv(cancel(2)),
        app("open", name="z", capacity=1, gives={"id": 2}),
        expect(open_(2, 1, "z")),
    )
    t.add(
        g,
        "CH-04 CH-02",
        "the peer gives its id again after our CANCEL",
        accepted(1, 4),
        recv(msg(1, "01"), close(1)),
        take(1, "01"),
        ended(1),
        expect(cancel(1, 1)),
        accepted(1, 2),
        recv(msg(1, "02")),
        take(1, "02"),
        expect(credit(1, taken=1, bytes=33)),
    )
    t.gone(g)
    t.gone(g)
    t.add(
        g,
        "CH-14",
        "CREDIT that has crossed our CLOSE is no error",
        opened(4),
        send("$a", "01"),
        app("close", "$a", gives={}),
        expect(msg("$a", "01"), close("$a")),
        recv(credit("$a", taken=1, wanted=1, bytes=33), cancel("$a")),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "CH-09 CH-20",
        "a clean CLOSE goes behind the rest of a message that lacks credit",
        opened(4),
        send("$a", fill(3000)),
        expect(first("$a", 3000, fill(2016))),
        app("close", "$a", gives={}),
        QUIET,
        recv(credit("$a", bytes=984)),
        expect(last("$a"), close("$a")),
    )
    t.gone(g)
    t.gone(g)
    t.add(
        g,
        "FR-25 CH-10",
        "a CLOSE with a code in the middle of a message: what was whole comes first, then the error",
        accepted(1, 4),
        recv(msg(1, "01"), first(1, 4, "0203"), close(1, 40, 0, "dropped")),
        take(1, "01"),
        ended(1, 40, 0, "dropped"),
        expect(cancel(1, 1)),
        accepted(1, 1),
    )
    t.add(
        g,
        "FR-10 CH-04",
        "CREDIT and CANCEL that have crossed our CLOSE, on an id that the peer gave: it is finished, and they are late",
        accepted(),
        recv(msg(1, "", att(1, 3, 4))),
        take(1),
        app("claim", ids=[3]),
        send(3, "01"),
        app("close", 3, gives={}),
        expect(msg(3, "01"), close(3)),
        recv(credit(3, taken=1, bytes=33), cancel(3, 0, 300, 1, "late")),
        QUIET,
        GOES_ON,
        level=1,
    )
    t.add(
        g,
        "FR-10",
        "whatever numbers a late CREDIT has",
        recv(credit(9, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF), cancel(9, 0xFFFFFFFF)),
        QUIET,
        GOES_ON,
    )

    g = "ch.cancel"
    t.add(
        g,
        "CH-21 CH-15",
        "the receiver leaves: sends fail, CLOSE answers",
        opened(4),
        recv(cancel("$a")),
        expect(close("$a")),
        send("$a", "01", {"err": "CANCELLED", "cancel": {"scope": 0, "code": 0, "text": ""}}),
        QUIET,
    )
    t.add(
        g,
        "CH-21 ER-01",
        "with a reason of the application's, for the channel",
        opened(4),
        recv(cancel("$a", 0, 4660, 1, "enough")),
        expect(close("$a")),
        send("$a", "01", {"err": "CANCELLED", "cancel": {"scope": 1, "code": 4660, "text": "enough"}}),
    )
    t.add(
        g,
        "CH-15",
        "a sender that has closed does not answer",
        opened(4),
        app("close", "$a", gives={}),
        expect(close("$a")),
        recv(cancel("$a")),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "CH-15",
        "CLOSE and a CANCEL with a reason cross",
        opened(4),
        send("$a", "01"),
        app("close", "$a", gives={}),
        expect(msg("$a", "01"), close("$a")),
        recv(cancel("$a", 0, 263, 1)),
        QUIET,
        app("open", name="y", capacity=1, gives={"id": "$a"}),
        expect(open_("$a", 1, "y")),
    )
    t.add(
        g,
        "CH-04 CH-19",
        "CANCEL and CLOSE cross at the receiver: no second CANCEL",
        accepted(1, 4),
        app("cancel", 1, scope=0, code=0, text="", gives={}),
        expect(cancel(1)),
        recv(close(1)),
        QUIET,
        GOES_ON,
        accepted(1, 1),
    )
    t.add(
        g,
        "CH-19",
        "what still arrives after our CANCEL is dropped",
        accepted(1, 4),
        recv(msg(1, "01")),
        app("cancel", 1, scope=1, code=300, text="no", gives={}),
        expect(cancel(1, 0, 300, 1, "no")),
        recv(msg(1, "02"), msg(1, "03"), close(1)),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "CR-05",
        "CANCEL tells what was taken and not told",
        accepted(1, 8),
        recv(msg(1, "01"), msg(1, "02")),
        take(1, "01"),
        QUIET,
        app("cancel", 1, scope=0, code=0, text="", gives={}),
        expect(cancel(1, 1)),
    )
    t.add(
        g,
        "CR-05",
        "what CREDIT has told is not told again",
        accepted(1, 2),
        recv(msg(1, "01"), msg(1, "02")),
        take(1, "01"),
        expect(credit(1, taken=1, bytes=33)),
        app("cancel", 1, scope=0, code=0, text="", gives={}),
        expect(cancel(1, 0)),
    )
    t.add(
        g,
        "CH-14",
        "no CREDIT follows CANCEL, and a second leave says nothing",
        accepted(1, 1),
        recv(msg(1, "01")),
        app("cancel", 1, scope=0, code=0, text="", gives={}),
        expect(cancel(1)),
        recv(close(1)),
        QUIET,
    )
    t.add(
        g,
        "CH-16",
        "the application leaves while closed messages wait: they are dropped, and CANCEL answers",
        accepted(1, 4),
        recv(msg(1, "01"), msg(1, "02"), close(1)),
        take(1, "01"),
        QUIET,
        app("cancel", 1, scope=0, code=0, text="", gives={}),
        expect(cancel(1, 1)),
        accepted(1, 1),
    )
    t.add(
        g,
        "FR-25 CH-19",
        "the receiver leaves in the middle of a message: the rest is dropped, CLOSE may abandon it",
        accepted(1, 4),
        recv(first(1, 6, "0102")),
        app("cancel", 1, scope=0, code=0, text="", gives={}),
        expect(cancel(1)),
        recv(fragment(1, "0304", True), close(1)),
        QUIET,
        GOES_ON,
        accepted(1, 1),
    )
    t.add(
        g,
        "CH-19",
        "the receiver leaves in the middle of a message, of which the rest comes, and another",
        accepted(1, 4),
        recv(first(1, 4, "0102")),
        app("cancel", 1, scope=0, code=0, text="", gives={}),
        expect(cancel(1)),
        recv(fragment(1, "0304"), msg(1, "05"), close(1)),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "FR-25 CH-15",
        "we are in the middle of a message when the receiver leaves: CLOSE answers at once",
        opened(4),
        send("$a", fill(3000)),
        expect(first("$a", 3000, fill(2016))),
        recv(cancel("$a")),
        expect(close("$a")),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "CR-05 CR-02",
        "with capacity 0 the taken of CANCEL decides whether the last message was received",
        opened(0),
        recv(credit("$a", wanted=1)),
        send("$a", "01"),
        expect(msg("$a", "01")),
        recv(cancel("$a", 1)),
        expect(close("$a")),
        app("status", "$a", gives={"untaken": 0}),
        level=0,
    )
    t.add(
        g,
        "CH-15 CH-04",
        "CANCEL is answered at once, and the id is free then: it is given again",
        app("open", name="x", capacity=4, gives={"id": 2}),
        send(2, "01"),
        SKIP,
        recv(cancel(2, 0, 39)),
        expect(close(2)),
        app("open", name="y", capacity=1, gives={"id": 2}),
        expect(open_(2, 1, "y")),
    )
    t.add(
        g,
        "CH-15 CH-09",
        "CANCEL while a clean CLOSE waits behind a message that lacks credit: CLOSE answers, the message is cut",
        opened(4),
        send("$a", fill(3000)),
        expect(first("$a", 3000, fill(2016))),
        app("close", "$a", gives={}),
        QUIET,
        recv(cancel("$a", 0, 300)),
        expect(close("$a")),
        QUIET,
    )
    t.add(
        g,
        "CH-19",
        "after our CANCEL nothing is counted: more messages and bytes than there was credit for",
        accepted(1, 1),
        app("cancel", 1, scope=0, code=0, text="", gives={}),
        expect(cancel(1)),
        recv(msg(1, fill(2000)), msg(1, fill(3000)), msg(1, "00")),
        QUIET,
        GOES_ON,
        recv(close(1)),
        QUIET,
        accepted(1, 1),
    )
    t.add(
        g,
        "CH-19",
        "nor is order looked at: a message inside another, a fragment of nothing, a total that is not kept",
        accepted(1, 4),
        recv(first(1, 4, "01")),
        app("cancel", 1, scope=0, code=0, text="", gives={}),
        expect(cancel(1)),
        recv(msg(1, "02"), fragment(1, "03"), first(1, 9, "04"), fragment(1, fill(30), True), close(1)),
        QUIET,
        GOES_ON,
        accepted(1, 1),
    )
    t.add(
        g,
        "CH-14 CH-16",
        "a channel that is refused: CLOSE with any code finishes it, and nothing answers",
        recv(open_(1, 4)),
        app("refuse", 1, code=32, text="no", gives={}),
        expect(cancel(1, 0, 32, 1, "no")),
        recv(close(1, 300)),
        QUIET,
        events({"event": "opened", "id": 1}),
        accepted(1, 1),
    )
    t.add(
        g,
        "CH-16 CH-08",
        "a channel that is refused after its CLOSE: CANCEL has scope 0 and code 0",
        recv(open_(1, 4), msg(1, "01"), close(1, 300)),
        QUIET,
        app("refuse", 1, code=32, text="no", gives={}),
        expect(cancel(1)),
        events({"event": "opened", "id": 1}),
        accepted(1, 1),
    )
    t.add(
        g,
        "CH-16",
        "the application leaves with a reason after CLOSE: CANCEL has scope 0 and code 0",
        accepted(1, 4),
        recv(msg(1, "01"), msg(1, "02"), close(1)),
        take(1, "01"),
        app("cancel", 1, scope=1, code=300, text="enough", gives={}),
        expect(cancel(1, 1)),
        accepted(1, 1),
    )


def entries():
    t = Talks()
    opening(t)
    messages(t)
    closing(t)
    return t.entries
