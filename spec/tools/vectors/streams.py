"""sessions/streams.json: byte streams and descriptors."""

from talk import *


def attached(ident=3):
    """The peer sends a stream, which is claimed."""
    return [
        accepted(1, 4),
        recv(msg(1, "", att(3, ident))),
        take(1, attachments=[{"kind": 3, "id": ident}]),
        app("claim", ids=[ident], gives={}),
        QUIET,
    ]


def given(name="$s"):
    """The machine sends a stream."""
    return [
        opened(4),
        app("send", "$a", {"sent": True, "ids": [name]}, codec=0, payload="", attachments=[{"kind": 3}]),
        {"expect": [msg("$a", "", {"kind": 3, "id": name, "capacity": 0, "wanted": 0})]},
    ]


def write(ident, payload, taken=None):
    return app("write", ident, None if taken is None else {"taken": taken}, payload=payload)


def read(ident, payload, most=100000):
    return app("read", ident, {"payload": payload}, max=most)


def nothing(ident):
    return app("read", ident, {"empty": True}, max=10)


def over(ident, code=0, text=""):
    return app("read", ident, {"end": {"code": code, "text": text}}, max=10)


def finish(ident, code=0, text=""):
    return app("end", ident, {}, code=code, text=text)


def cease(ident, code=0, text=""):
    return app("stop", ident, {}, code=code, text=text)


SMALL = {
    "hello": {"stream_window": 512, "initial_window": 512, "max_attachments": 1},
    "peer": {"stream_window": 512},
    "local": {"max_window": 512},
}


def flowing(t):
    g = "by.flow"
    t.add(
        g,
        "BY-05 AT-04",
        "bytes in both directions",
        attached(),
        recv(data(3, "6869")),
        read(3, "6869"),
        nothing(3),
        write(3, "686f", 2),
        expect(data(3, "686f")),
    )
    t.add(
        g,
        "AT-04",
        "data may follow the message at once, before anybody has claimed the stream",
        accepted(),
        recv(msg(1, "", att(3, 3)), data(3, "6162"), end(3)),
        SKIP,
        take(1),
        app("claim", ids=[3]),
        read(3, "6162"),
        expect(stop(3)),
        over(3),
        QUIET,
    )
    t.add(
        g,
        "BY-05",
        "DATA has no boundaries: a reader may take what it likes",
        attached(),
        recv(data(3, "6162"), data(3, "63"), data(3, "646566")),
        read(3, "61", 1),
        read(3, "62636465", 4),
        read(3, "66"),
        nothing(3),
    )
    t.add(
        g,
        "CR-15",
        "a stream of ours",
        given(),
        write("$s", "0102", 2),
        expect(data("$s", "0102")),
        recv(data("$s", "03")),
        read("$s", "03"),
    )
    t.add(
        g,
        "CR-15",
        "no more than the window, then what is granted",
        given(),
        write("$s", fill(512), 512),
        expect(data("$s", fill(512))),
        write("$s", "010203"),
        QUIET,
        recv(credit("$s", bytes=2)),
        expect(data("$s", "0102")),
        recv(credit("$s", bytes=100)),
        expect(data("$s", "03")),
        **SMALL
    )
    t.add(
        g,
        "CR-15 MO-02",
        "a stream that stands still stops neither its other direction nor a channel",
        given(),
        write("$s", fill(600)),
        expect(data("$s", fill(512))),
        recv(data("$s", "aa")),
        read("$s", "aa"),
        send("$a", "01"),
        expect(msg("$a", "01")),
        **SMALL
    )
    t.add(
        g,
        "CR-10",
        "granted when half of the window was read, and not before while the sender has some",
        attached(),
        recv(data(3, fill(400))),
        app("read", 3, max=255),
        QUIET,
        app("read", 3, max=1),
        expect(credit(3, bytes=256)),
        **SMALL
    )
    t.add(
        g,
        "CR-10",
        "granted with the first read when the sender has none left",
        attached(),
        recv(data(3, fill(512))),
        QUIET,
        app("read", 3, max=1),
        expect(credit(3, bytes=1)),
        app("read", 3, max=1),
        QUIET,
        **SMALL
    )
    t.add(
        g,
        "BY-02 CR-10",
        "no credit for a direction that has ended: the last byte read sets STOP off",
        attached(),
        recv(data(3, fill(512)), end(3)),
        QUIET,
        app("read", 3, max=200),
        QUIET,
        app("read", 3, max=312),
        expect(stop(3)),
        over(3),
        **SMALL
    )
    t.add(
        g,
        "FR-02",
        "what is longer than a frame leaves in several",
        given(),
        write("$s", fill(5000), 5000),
        expect(data("$s", fill(4096)), {"t": "DATA", "id": "$s"}),
        peer={"max_frame": 4096},
    )


def ending(t):
    g = "by.end"
    t.add(
        g,
        "BY-02 BY-05",
        "the peer writes no more: what has arrived is read, STOP answers, then the clean end",
        attached(),
        recv(data(3, "6162"), end(3)),
        QUIET,
        read(3, "6162"),
        expect(stop(3)),
        over(3),
        over(3),
        GOES_ON,
    )
    t.add(
        g,
        "BY-05 BY-02",
        "an end with an error comes after the bytes; STOP answers with code 0",
        attached(),
        recv(data(3, "6162"), end(3, 300, "cut")),
        QUIET,
        read(3, "6162"),
        expect(stop(3)),
        over(3, 300, "cut"),
    )
    t.add(
        g,
        "BY-01",
        "half-close: our end is said once, and we go on reading",
        attached(),
        write(3, "01", 1),
        finish(3),
        finish(3),
        expect(data(3, "01"), end(3)),
        write(3, "02"),
        QUIET,
        recv(data(3, "aa")),
        read(3, "aa"),
    )
    t.add(
        g,
        "BY-01",
        "a write after our end fails",
        attached(),
        finish(3),
        expect(end(3)),
        app("write", 3, {"err": "CLOSED"}, payload="01"),
        QUIET,
    )
    t.add(
        g,
        "BY-03 BY-07",
        "the peer reads no more: END answers, and writes fail with its reason",
        attached(),
        recv(stop(3, 300, "full")),
        expect(end(3)),
        app("write", 3, {"err": "STOPPED", "code": 300, "text": "full"}, payload="01"),
        QUIET,
    )
    t.add(
        g,
        "BY-03",
        "STOP with code 0 fails writes too",
        attached(),
        recv(stop(3)),
        expect(end(3)),
        app("write", 3, {"err": "STOPPED", "code": 0}, payload="01"),
    )
    t.add(
        g,
        "BY-03",
        "STOP drops what waits for credit",
        given(),
        write("$s", fill(512), 512),
        expect(data("$s", fill(512))),
        write("$s", "01"),
        recv(stop("$s")),
        expect(end("$s")),
        recv(credit("$s", bytes=100)),
        QUIET,
        **SMALL
    )
    t.add(
        g,
        "BY-02 BY-06",
        "we read no more: STOP, and what still arrives is dropped",
        attached(),
        recv(data(3, "61")),
        cease(3, 263, "x"),
        expect(stop(3, 263, "x")),
        recv(data(3, "6263"), end(3)),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "BY-06 CR-15",
        "dropped data is neither charged nor granted: more of it than there was credit for",
        attached(),
        cease(3),
        expect(stop(3)),
        recv(data(3, fill(512)), data(3, fill(600))),
        QUIET,
        GOES_ON,
        **SMALL
    )
    t.add(
        g,
        "BY-02 BY-03",
        "our END and the peer's STOP cross",
        attached(),
        finish(3),
        expect(end(3)),
        recv(stop(3)),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "BY-02",
        "our STOP and the peer's END cross",
        attached(),
        cease(3),
        expect(stop(3)),
        recv(end(3)),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "BY-09",
        "dropped: END after what was written, and STOP",
        attached(),
        write(3, "01", 1),
        finish(3),
        cease(3),
        expect(data(3, "01"), end(3), stop(3)),
    )
    t.add(
        g,
        "BY-09 CR-15",
        "END waits for what has no credit yet",
        given(),
        write("$s", fill(512), 512),
        expect(data("$s", fill(512))),
        write("$s", "0102"),
        finish("$s"),
        QUIET,
        recv(credit("$s", bytes=2)),
        expect(data("$s", "0102"), end("$s")),
        **SMALL
    )
    t.add(
        g,
        "BY-09",
        "an end with a code is a cut: what has no credit is dropped",
        given(),
        write("$s", fill(512), 512),
        expect(data("$s", fill(512))),
        write("$s", "0102"),
        finish("$s", 300, "cut"),
        expect(end("$s", 300, "cut")),
        **SMALL
    )
    t.add(
        g,
        "AT-11 BY-09",
        "a stream that nobody claims is ended in both directions",
        accepted(),
        recv(msg(1, "", att(3, 3))),
        take(1),
        empty(1),
        any_order(*dropped(3, 3, 37)),
        recv(end(3), stop(3)),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "CH-04",
        "the peer's id is free for it when all four are said",
        attached(),
        recv(end(3)),
        expect(stop(3)),
        finish(3),
        expect(end(3)),
        recv(stop(3)),
        over(3),
        recv(msg(1, "", att(3, 3))),
        SKIP,
        take(1, attachments=[{"kind": 3, "id": 3}]),
        app("claim", ids=[3]),
        recv(data(3, "07")),
        read(3, "07"),
        SKIP,
    )
    t.add(
        g,
        "CH-04",
        "our id is free when all four are said",
        app("open", name="x", capacity=8, gives={"id": 2}),
        SKIP,
        app("send", 2, {"sent": True, "ids": [4]}, codec=0, payload="", attachments=[{"kind": 3}]),
        SKIP,
        finish(4),
        cease(4),
        expect(end(4), stop(4)),
        recv(end(4)),
        app("send", 2, {"sent": True, "ids": [6]}, codec=0, payload="", attachments=[{"kind": 3}]),
        SKIP,
        recv(stop(4)),
        app("send", 2, {"sent": True, "ids": [4]}, codec=0, payload="", attachments=[{"kind": 3}]),
        SKIP,
    )
    t.gone(g)
    t.add(
        g,
        "BY-08",
        "the session is lost: what has arrived, then the loss; writes fail",
        attached(),
        recv(data(3, "61")),
        EOF,
        LOST,
        read(3, "61"),
        app("read", 3, {"lost": True}, max=10),
        app("write", 3, {"err": "CLOSED"}, payload="00"),
    )
    t.add(
        g,
        "BY-08 BY-05",
        "what had ended before the loss stays a clean end",
        attached(),
        recv(data(3, "61"), end(3)),
        QUIET,
        EOF,
        LOST,
        read(3, "61"),
        over(3),
        QUIET,
    )
    t.add(
        g,
        "CH-05 CH-04",
        "a stream is charged to its allocator until all four are said",
        opened(4),
        app("send", "$a", {"err": "MEMORY"}, codec=0, payload="", attachments=[{"kind": 3}] * 2),
        app("send", "$a", {"sent": True, "ids": ["$s"]}, codec=0, payload="", attachments=[{"kind": 3}]),
        SKIP,
        app("send", "$a", {"err": "MEMORY"}, codec=0, payload="", attachments=[{"kind": 3}]),
        finish("$s"),
        cease("$s"),
        SKIP,
        recv(end("$s")),
        app("send", "$a", {"err": "MEMORY"}, codec=0, payload="", attachments=[{"kind": 3}]),
        recv(stop("$s")),
        app("send", "$a", {"sent": True}, codec=0, payload="", attachments=[{"kind": 3}]),
        SKIP,
        hello={"session_memory": 16384, "stream_window": 2048},
    )
    t.add(
        g,
        "BY-02 CH-04 CH-05",
        "a stream that is over for its sender and not read here holds its id and its charge, and no honest peer is ended",
        accepted(1, 8),
        recv(msg(1, "", att(3, 3)), data(3, "61"), end(3), stop(3)),
        {"any_order": [end(3)]},
        take(1),
        app("claim", ids=[3]),
        QUIET,
        read(3, "61"),
        expect(stop(3)),
        over(3),
        recv(msg(1, "", att(3, 3))),
        take(1, attachments=[{"kind": 3, "id": 3}]),
        SKIP,
        GOES_ON,
        hello={"session_memory": 16384, "stream_window": 2048},
    )
    t.add(
        g,
        "BY-02",
        "stopped with bytes unread that have ended: one STOP, with what the application says",
        attached(),
        recv(data(3, "6162"), end(3)),
        QUIET,
        cease(3, 263, "x"),
        expect(stop(3, 263, "x")),
        cease(3),
        QUIET,
        over(3),
    )
    t.add(
        g,
        "BY-09 BY-05",
        "a stream whose writer was dropped unfinished: ABANDONED comes behind what was written",
        attached(),
        write(3, "01", 1),
        finish(3, 42, "dropped"),
        cease(3),
        expect(data(3, "01"), end(3, 42, "dropped"), stop(3)),
        recv(data(3, "02"), end(3, 42, "dropped too")),
        QUIET,
    )
    t.add(
        g,
        "BY-03",
        "a late CREDIT of a reader that has stopped is of no use, and no error",
        attached(),
        recv(stop(3)),
        expect(end(3)),
        recv(credit(3, bytes=100)),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "AT-11 BY-09",
        "a stream in a message that is dropped unread: NOT_DELIVERED, both ways",
        accepted(),
        recv(msg(1, "", att(3, 3)), data(3, "0102")),
        app("cancel", 1, scope=0, code=0, text="", gives={}),
        any_order(*dropped(3, 3), cancel(1)),
        recv(data(3, "03"), end(3), stop(3), close(1)),
        QUIET,
        GOES_ON,
    )


def descriptors(t):
    g = "by.fd"
    three = {"hello": {"max_descriptors": 2}, "peer": {"max_descriptors": 3}}
    t.add(
        g,
        "CR-16 AT-11",
        "a descriptor that was not claimed is given back",
        accepted(),
        recv(msg(1, "", att(4))),
        take(1, attachments=[{"kind": 4, "id": 0, "capacity": 0}]),
        QUIET,
        empty(1),
        expect(credit(0, taken=1)),
        **three
    )
    t.add(
        g,
        "CR-16 AT-11",
        "descriptors of a message that is dropped are given back",
        accepted(),
        recv(msg(1, "", att(4), att(4))),
        app("cancel", 1, scope=0, code=0, text="", gives={}),
        any_order(credit(0, taken=2), cancel(1)),
        **three
    )
    t.add(
        g,
        "AT-18 CR-16",
        "given back, the next may come",
        accepted(),
        recv(msg(1, "", att(4), att(4))),
        take(1),
        empty(1),
        expect(credit(0, taken=2)),
        recv(msg(1, "", att(4), att(4))),
        SKIP,
        GOES_ON,
        **three
    )
    t.add(
        g,
        "CR-17",
        "the peer gives back what we have sent",
        opened(),
        app("send", "$a", {"sent": True, "ids": [None]}, codec=0, payload="", attachments=[{"kind": 4}]),
        expect(msg("$a", "", att(4))),
        recv(credit(0, taken=1)),
        QUIET,
        GOES_ON,
        **three
    )
    for entry in t.entries:
        if entry["id"].startswith(g):
            entry["level"] = 3


def entries():
    t = Talks()
    flowing(t)
    ending(t)
    descriptors(t)
    for entry in t.entries:
        entry["level"] = max(entry["level"], 2)
    return t.entries
