"""sessions/nested.json: channel ends in messages. Where a chain has three hops, the machine is the one in the middle,
and the application forwards between two of its sessions."""

from talk import *


def give(ident, kind, names="$b", payload="", **fields):
    """Sends one attachment; `names` is bound to its id."""
    return app(
        "send",
        ident,
        {"sent": True, "ids": [names]},
        codec=0,
        payload=payload,
        attachments=[{"kind": kind, **fields}],
    )


def got(ident, *attachments, payload=None):
    return take(ident, payload, attachments=list(attachments))


def leave(ident):
    return app("cancel", ident, scope=0, code=0, text="", gives={})


def arriving(t):
    g = "ne.receive"
    t.add(
        g,
        "AT-04",
        "a sending end in a message: claimed, and used",
        accepted(),
        recv(msg(1, "c0", att(1, 3, 4), codec=1)),
        app(
            "take",
            1,
            gives={
                "message": {"codec": 1, "payload": "c0", "attachments": [{"kind": 1, "id": 3, "capacity": 4}]}
            },
        ),
        app("claim", ids=[3], gives={}),
        QUIET,
        send(3, "01"),
        expect(msg(3, "01")),
        app("close", 3, gives={}),
        expect(close(3)),
    )
    t.add(
        g,
        "AT-04",
        "a receiving end in a message: its messages may be there already",
        accepted(),
        recv(msg(1, "", att(2, 3, 4)), msg(3, "01"), msg(3, "02"), close(3)),
        got(1, {"kind": 2, "id": 3, "capacity": 4}),
        app("claim", ids=[3], gives={}),
        QUIET,
        take(3, "01"),
        take(3, "02"),
        ended(3),
        expect(cancel(3, 2)),
    )
    t.add(
        g,
        "AT-04 CH-16",
        "closed before it was claimed: CANCEL answers once it is",
        accepted(),
        recv(msg(1, "", att(2, 3, 4)), close(3)),
        QUIET,
        got(1, {"kind": 2, "id": 3}),
        QUIET,
        app("claim", ids=[3], gives={}),
        ended(3),
        expect(cancel(3)),
    )
    t.add(
        g,
        "AT-04 CH-15",
        "the receiver of an end is gone before its message was taken: CLOSE answers at once",
        accepted(),
        recv(msg(1, "", att(1, 3, 4)), cancel(3, 0, 300, 1, "late")),
        expect(close(3)),
        take(1),
        empty(1),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "CR-01 AT-06",
        "a rendezvous whose receives wait already",
        accepted(),
        recv(msg(1, "", att(1, 3, 0, 2))),
        got(1, {"kind": 1, "id": 3, "capacity": 0}),
        app("claim", ids=[3]),
        app("status", 3, gives={"room": 0, "demand": 2}),
        send(3, "01"),
        send(3, "02"),
        blocked(3, "messages", "03"),
        expect(msg(3, "01"), msg(3, "02")),
    )
    t.add(
        g,
        "FR-19",
        "several of each kind, in the order of the table",
        accepted(),
        recv(msg(1, "ff", att(2, 3, 1), att(1, 5, 2), att(1, 7, 0, 1), att(2, 9, 0, 1))),
        got(
            1,
            {"kind": 2, "id": 3, "capacity": 1},
            {"kind": 1, "id": 5, "capacity": 2},
            {"kind": 1, "id": 7, "capacity": 0},
            {"kind": 2, "id": 9, "capacity": 0},
        ),
        app("claim", ids=[3, 5, 7, 9]),
        QUIET,
        app("waiting", 9, receives=1),
        expect(credit(9, wanted=1)),
    )
    t.add(
        g,
        "FR-19",
        "as many as there may be",
        accepted(1, 4),
        recv(msg(1, "", *[att(1, 2 * i + 3, 1) for i in range(4)])),
        QUIET,
        GOES_ON,
        take(1),
        app("claim", ids=[3, 5, 7, 9]),
        QUIET,
        hello={"max_attachments": 4},
    )
    t.add(
        g,
        "AT-04",
        "two levels: the end that came in a message brings another one",
        accepted(),
        recv(msg(1, "", att(2, 3, 4)), msg(3, "", att(2, 5, 4)), msg(5, "2a")),
        got(1, {"kind": 2, "id": 3}),
        app("claim", ids=[3]),
        got(3, {"kind": 2, "id": 5}),
        app("claim", ids=[5]),
        take(5, "2a"),
        SKIP,
        GOES_ON,
    )
    t.add(
        g,
        "CH-16 CH-04",
        "where the receiving side gave the id, CLOSE is the last word",
        opened(),
        give("$a", 1, "$b", capacity=4),
        {"expect": [msg("$a", "", {"kind": 1, "id": "$b", "capacity": 4, "wanted": 0})]},
        recv(msg("$b", "01"), close("$b")),
        QUIET,
        take("$b", "01"),
        ended("$b"),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "CH-16 CH-04",
        "its id is free when CLOSE has come and all was taken",
        app("open", name="x", capacity=8, gives={"id": 2}),
        SKIP,
        give(2, 1, 4, capacity=1),
        SKIP,
        recv(msg(4, "01"), close(4)),
        take(4, "01"),
        ended(4),
        QUIET,
        give(2, 1, 4, capacity=2),
        {"expect": [msg(2, "", {"kind": 1, "id": 4, "capacity": 2})]},
        recv(msg(4, "02")),
        take(4, "02"),
        {"expect": [{"t": "CREDIT", "id": 4, "taken": 1}]},
    )


def leaving(t):
    g = "ne.send"
    t.add(
        g,
        "AT-04 CR-08",
        "our sending end is what the peer gets: kind 1, and it may send at once",
        opened(),
        give("$a", 1, "$b", "c0", capacity=4),
        {"expect": [msg("$a", "c0", {"kind": 1, "id": "$b", "capacity": 4, "wanted": 0})]},
        recv(msg("$b", "01")),
        take("$b", "01"),
        QUIET,
        leave("$b"),
        expect(cancel("$b", 1)),
        recv(close("$b")),
        QUIET,
    )
    t.add(
        g,
        "AT-04",
        "a receiving end is what the peer gets: messages follow the one that names it",
        opened(),
        give("$a", 2, "$b", capacity=4),
        send("$b", "01"),
        app("close", "$b"),
        {
            "expect": [
                msg("$a", "", {"kind": 2, "id": "$b", "capacity": 4, "wanted": 0}),
                msg("$b", "01"),
                close("$b"),
            ]
        },
        recv(cancel("$b", 1)),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "AT-06",
        "a rendezvous says that demand is to be announced",
        opened(),
        give("$a", 2, "$b", capacity=0),
        {"expect": [msg("$a", "", {"kind": 2, "id": "$b", "capacity": 0, "wanted": 1})]},
        blocked("$b", "messages", "00"),
    )
    t.add(
        g,
        "AT-06 CR-03",
        "a rendezvous whose receives wait here says how many",
        opened(),
        give("$a", 1, "$b", capacity=0, waiting=2),
        {"expect": [msg("$a", "", {"kind": 1, "id": "$b", "capacity": 0, "wanted": 2})]},
        recv(msg("$b", "01")),
        SKIP,
        take("$b", "01"),
        SKIP,
        GOES_ON,
    )
    t.add(
        g,
        "FR-19 LI-02",
        "one too many is refused where it is sent",
        opened(),
        app(
            "send",
            "$a",
            {"err": "TOO_MANY_ATTACHMENTS"},
            codec=0,
            payload="",
            attachments=[{"kind": 1, "capacity": 1}] * 3,
        ),
        QUIET,
        GOES_ON,
        peer={"max_attachments": 2},
    )
    t.add(
        g,
        "CH-05 LI-02",
        "an attachment that would pass max_channels",
        opened(),
        app(
            "send",
            "$a",
            {"err": "TOO_MANY_CHANNELS"},
            codec=0,
            payload="",
            attachments=[{"kind": 1, "capacity": 1}] * 2,
        ),
        QUIET,
        give("$a", 1, "$b", capacity=1),
        {"expect": [{"t": "MESSAGE"}]},
        hello={"max_channels": 2},
    )
    t.add(
        g,
        "CH-05 LI-02",
        "either end costs the memory of the side that gives it",
        opened(),
        app(
            "send", "$a", {"err": "MEMORY"}, codec=0, payload="", attachments=[{"kind": 2, "capacity": 1}] * 2
        ),
        QUIET,
        give("$a", 2, "$b", capacity=1),
        {"expect": [{"t": "MESSAGE"}]},
        app("send", "$a", {"err": "MEMORY"}, codec=0, payload="", attachments=[{"kind": 1, "capacity": 1}]),
        recv(open_(1, 1), msg(1, "", att(1, 3, 1))),
        QUIET,
        GOES_ON,
        hello={"session_memory": 16384},
    )
    t.add(
        g,
        "CH-12 AT-11",
        "a message of ours that did not decode there: both ends are closed from there, with the reason",
        opened(),
        app(
            "send",
            "$a",
            {"sent": True, "ids": ["$b", "$c"]},
            codec=0,
            payload="",
            attachments=[{"kind": 1, "capacity": 4}, {"kind": 2, "capacity": 4}],
        ),
        SKIP,
        recv(close("$b", 38, 0, "no map"), cancel("$c", 0, 38, 0, "no map")),
        ended("$b", 38, 0, "no map"),
        expect(close("$c")),
        app("status", "$c", gives={"cancel": {"scope": 0, "code": 38, "text": "no map"}}),
        GOES_ON,
    )


def dropping(t):
    g = "ne.drop"
    t.gone(g, 12)
    both = [att(1, 3, 4), att(2, 5, 4)]
    t.add(
        g,
        "AT-11",
        "a message is taken and nothing claimed: all is closed as UNCLAIMED",
        accepted(),
        recv(msg(1, "", *both)),
        QUIET,
        take(1),
        QUIET,
        empty(1),
        any_order(*dropped(3, 1, 37), *dropped(5, 2, 37)),
        recv(close(5)),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "AT-11",
        "one claimed, the other closed",
        accepted(),
        recv(msg(1, "", *both)),
        take(1),
        app("claim", ids=[3]),
        empty(1),
        expect(*dropped(5, 2, 37)),
        send(3, "01"),
        expect(msg(3, "01")),
    )
    t.add(
        g,
        "AT-11",
        "a message that waits when its channel is left: NOT_DELIVERED",
        accepted(),
        recv(msg(1, "", *both)),
        leave(1),
        any_order(*dropped(3, 1), *dropped(5, 2), cancel(1)),
        recv(close(5), close(1)),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "AT-11 CH-19",
        "a message that arrives after the channel was left",
        accepted(),
        leave(1),
        expect(cancel(1)),
        recv(msg(1, "", *both)),
        any_order(*dropped(3, 1), *dropped(5, 2)),
        recv(close(5), close(1)),
        QUIET,
    )
    t.add(
        g,
        "AT-11",
        "a message in the place of another carries nothing on",
        accepted(),
        recv(msg(1, "6e6f", *both, flags=4)),
        app("take", 1, gives={"flaw": "not_encoded", "text": "no"}),
        empty(1),
        any_order(*dropped(3, 1), *dropped(5, 2)),
    )
    t.add(
        g,
        "AT-11 CH-08",
        "in a channel that was refused: what waited is not delivered, the channel has the refusal's code",
        recv(open_(1, 4), msg(1, "", *both)),
        app("refuse", 1, code=300, text="not you", gives={}),
        any_order(*dropped(3, 1), *dropped(5, 2), cancel(1, 0, 300, 1, "not you")),
        events({"event": "opened", "id": 1}),
    )
    t.add(
        g,
        "AT-11 CH-07",
        "in a channel that was refused by itself",
        recv(open_(1, 4)),
        events({"event": "opened", "id": 1}),
        recv(open_(3, 4), msg(3, "", att(1, 5, 4))),
        {"expect": [{"t": "CANCEL", "id": 3, "scope": 1, "code": 33}, *dropped(5, 1)]},
        hello={"max_pending_accepts": 1},
    )
    t.add(
        g,
        "AT-11",
        "what waits in a channel that is itself dropped, three deep",
        accepted(),
        recv(msg(1, "", att(2, 3, 4)), msg(3, "", att(2, 5, 4)), msg(5, "", att(1, 7, 4))),
        leave(1),
        any_order(cancel(1), *dropped(3, 2), *dropped(5, 2), *dropped(7, 1)),
    )
    t.add(
        g,
        "AT-11",
        "what waits in a channel that nobody claimed was not delivered",
        accepted(),
        recv(msg(1, "", att(2, 3, 4)), msg(3, "", att(1, 5, 4))),
        take(1),
        empty(1),
        any_order(*dropped(3, 2, 37), *dropped(5, 1)),
    )
    t.add(
        g,
        "AT-11 FR-25",
        "what a message carries that a CLOSE with a code cuts",
        accepted(),
        recv(first(1, 4, "00", *both), close(1, 40)),
        any_order(*dropped(3, 1), *dropped(5, 2), cancel(1)),
        ended(1, 40),
        recv(close(5)),
        QUIET,
    )
    t.add(
        g,
        "AT-11 SE-18",
        "what a message carries that a goodbye cuts: nothing is left of it, and nothing is said",
        accepted(),
        recv(first(1, 4, "00", *both), goodbye()),
        expect(goodbye()),
        app("take", 1, gives={"close": {"code": 43}}),
        QUIET,
        CLOSED,
    )
    t.add(
        g,
        "AT-11 CH-04",
        "the ids of what was closed are free again for the peer",
        accepted(1, 8),
        recv(msg(1, "", att(1, 3, 4))),
        take(1),
        empty(1),
        expect(*dropped(3, 1, 37)),
        recv(msg(1, "", att(1, 3, 2))),
        SKIP,
        take(1, attachments=[{"kind": 1, "id": 3, "capacity": 2}]),
        app("claim", ids=[3]),
        send(3, "01"),
        SKIP,
    )
    t.add(
        g,
        "AT-11 FR-25",
        "left in the middle of a message that carries something: it is closed at once",
        accepted(),
        recv(first(1, 4, "00", *both)),
        leave(1),
        any_order(*dropped(3, 1), *dropped(5, 2), cancel(1)),
        recv(fragment(1, "010203"), close(1), close(5)),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "AT-11 CH-19",
        "left in the middle of a message, and another one comes inside it: what it carries is closed too",
        accepted(),
        recv(first(1, 4, "00")),
        leave(1),
        expect(cancel(1)),
        recv(msg(1, "", att(1, 3, 4)), first(1, 9, "00", att(2, 5, 4))),
        any_order(*dropped(3, 1), *dropped(5, 2)),
        recv(close(5), close(1)),
        QUIET,
    )
    t.add(
        g,
        "CH-04 AT-04",
        "an id is given again while a message with its former use waits: each claim is of its own",
        accepted(1, 8),
        recv(msg(1, "01", att(1, 3, 4)), cancel(3)),
        expect(close(3)),
        recv(msg(1, "02", att(1, 3, 2))),
        QUIET,
        take(1, "01"),
        app("claim", ids=[3]),
        take(1, "02", attachments=[{"kind": 1, "id": 3, "capacity": 2}]),
        app("claim", ids=[3]),
        send(3, "03"),
        expect(msg(3, "03")),
    )
    t.add(
        g,
        "CH-04 AT-11",
        "an id is given again, and the message with its former use is taken last: it does not touch the new one",
        accepted(1, 8),
        accepted(5, 8),
        recv(msg(1, "01", att(1, 3, 4)), cancel(3)),
        expect(close(3)),
        recv(msg(5, "02", att(1, 3, 2))),
        take(5, "02", attachments=[{"kind": 1, "id": 3, "capacity": 2}]),
        app("claim", ids=[3]),
        take(1, "01"),
        empty(1),
        QUIET,
        send(3, "03"),
        expect(msg(3, "03")),
    )
    t.add(
        g,
        "AT-11 CH-16",
        "a receiving end whose CLOSE came before it is dropped: CANCEL has code 0",
        accepted(),
        recv(msg(1, "", att(2, 3, 4)), close(3)),
        take(1),
        QUIET,
        empty(1),
        expect(cancel(3)),
        GOES_ON,
    )


def home(t):
    g = "ne.home"
    t.add(
        g,
        "AT-07",
        "a sender of our own channel comes home and is claimed",
        opened(),
        give("$a", 1, "$b", capacity=4),
        SKIP,
        accepted(1),
        recv(msg(1, "", {"kind": 5, "id": "$b", "capacity": 0, "wanted": 0}), close("$b")),
        got(1, {"kind": 5, "id": "$b", "capacity": 0}),
        app("claim", ids=["$b"], gives={}),
        SKIP,
        GOES_ON,
    )
    t.add(
        g,
        "AT-07 AT-11",
        "it holds the channel open until it was claimed or dropped: the CLOSE that follows is not the end",
        opened(),
        give("$a", 1, "$b", capacity=4),
        SKIP,
        accepted(1),
        recv(msg("$b", "01"), msg(1, "", {"kind": 5, "id": "$b", "capacity": 0, "wanted": 0}), close("$b")),
        take("$b", "01"),
        empty("$b"),
        take(1),
        empty(1),
        ended("$b"),
        SKIP,
    )
    t.gone(g)
    t.add(
        g,
        "AT-10 AT-07",
        "we send the peer's own channel home: kind 5, then CLOSE",
        accepted(),
        opened(),
        recv(msg(1, "", att(1, 3, 4))),
        take(1),
        app("claim", ids=[3]),
        SKIP,
        app(
            "send",
            "$a",
            {"sent": True, "ids": [None]},
            codec=0,
            payload="",
            attachments=[{"kind": 5, "id": 3}],
        ),
        {"expect": [msg("$a", "", {"kind": 5, "id": 3, "capacity": 0, "wanted": 0})]},
        app("close", 3, gives={}),
        expect(close(3)),
    )
    t.add(
        g,
        "AT-07",
        "a sender of the very channel that the message is on",
        opened(),
        give("$a", 1, "$b", capacity=4),
        SKIP,
        recv(msg("$b", "", {"kind": 5, "id": "$b", "capacity": 0, "wanted": 0})),
        take("$b"),
        SKIP,
        GOES_ON,
    )
    t.add(
        g,
        "AT-07 CH-19",
        "after our CANCEL, before its CLOSE: a sender of a closed channel, and no error",
        opened(),
        give("$a", 1, "$b", capacity=4),
        SKIP,
        accepted(1),
        leave("$b"),
        expect(cancel("$b")),
        recv(msg(1, "", {"kind": 5, "id": "$b", "capacity": 0, "wanted": 0}), close("$b")),
        QUIET,
        take(1),
        SKIP,
        GOES_ON,
    )
    t.add(
        g,
        "CH-04 CH-16 AT-07",
        "a held channel whose CLOSE came is not answered before the hold ends: the peer gives its id again after that",
        recv(open_(1, 4), open_(3, 4)),
        events({"event": "opened", "id": 1}, {"event": "opened", "id": 3}),
        app("accept", 1, gives={}),
        app("accept", 3, gives={}),
        recv(msg(1, "", att(5, 3)), close(3)),
        QUIET,
        empty(3),
        take(1),
        QUIET,
        empty(1),
        expect(cancel(3)),
        ended(3),
        accepted(3, 2),
        recv(msg(3, "01")),
        take(3, "01"),
        {"expect": [{"t": "CREDIT", "id": 3, "taken": 1}]},
    )
    again = [
        accepted(3, 2),
        take(1),
        empty(1),
        QUIET,
        recv(msg(3, "01")),
        take(3, "01"),
        {"expect": [{"t": "CREDIT", "id": 3, "taken": 1}]},
    ]
    t.add(
        g,
        "CH-04 AT-07",
        "after our CANCEL a hold holds nothing: CLOSE finishes the channel, and the peer gives its id again",
        accepted(1),
        accepted(3),
        recv(msg(1, "", att(5, 3))),
        leave(3),
        expect(cancel(3)),
        recv(close(3)),
        QUIET,
        again,
    )
    t.add(
        g,
        "CH-04 AT-07",
        "nor does a sender that comes home after our CANCEL",
        accepted(1),
        accepted(3),
        leave(3),
        expect(cancel(3)),
        recv(msg(1, "", att(5, 3)), close(3)),
        QUIET,
        again,
    )
    t.add(
        g,
        "AT-07 AT-11",
        "a hold that nobody claims ends with the next operation, before it does anything else",
        opened(),
        give("$a", 1, "$b", capacity=4),
        SKIP,
        accepted(1),
        recv(msg(1, "", {"kind": 5, "id": "$b", "capacity": 0, "wanted": 0}), close("$b")),
        take(1),
        ended("$b"),
        QUIET,
    )
    t.add(
        g,
        "AT-10 CH-13",
        "kind 5 is no CLOSE: the sending end is used until its application closes it",
        accepted(),
        opened(),
        recv(msg(1, "", att(1, 3, 4))),
        take(1),
        app("claim", ids=[3]),
        SKIP,
        app(
            "send",
            "$a",
            {"sent": True, "ids": [None]},
            codec=0,
            payload="",
            attachments=[{"kind": 5, "id": 3}],
        ),
        {"expect": [msg("$a", "", {"kind": 5, "id": 3, "capacity": 0, "wanted": 0})]},
        send(3, "01"),
        expect(msg(3, "01")),
        recv(cancel(3, 1)),
        expect(close(3)),
    )


def hops(t):
    g = "ne.hops"
    t.add(
        g,
        "AT-04 CR-02",
        "three hops, the first session of the middle: a reply channel comes in, its answer goes back",
        accepted(1, 4),
        recv(msg(1, "01", att(1, 3, 1))),
        got(1, {"kind": 1, "id": 3, "capacity": 1}, payload="01"),
        app("claim", ids=[3]),
        send(3, "02"),
        expect(msg(3, "02")),
        app("close", 3),
        expect(close(3)),
    )
    t.add(
        g,
        "AT-04 CR-02",
        "three hops, the second session of the middle: it goes out as a new channel, and the answer comes",
        opened(4),
        give("$a", 1, "$b", "01", capacity=1),
        {"expect": [msg("$a", "01", {"kind": 1, "id": "$b", "capacity": 1})]},
        recv(msg("$b", "02"), close("$b")),
        take("$b", "02"),
        ended("$b"),
        QUIET,
    )
    t.add(
        g,
        "CR-02",
        "a relay tells what was taken at the far end: until then its sender has no room",
        opened(1),
        send("$a", "01"),
        expect(msg("$a", "01")),
        blocked("$a", "messages", "02"),
        recv(credit("$a", bytes=33)),
        blocked("$a", "messages", "02"),
        app("status", "$a", gives={"untaken": 1}),
        recv(credit("$a", taken=1)),
        send("$a", "02"),
        expect(msg("$a", "02")),
    )


def entries():
    t = Talks()
    for part in (arriving, leaving, dropping, home, hops):
        part(t)
    for entry in t.entries:
        entry["level"] = max(entry["level"], 1)
    return t.entries
