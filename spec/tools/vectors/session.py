"""sessions/session.json: hello, ping, silence, goodbye, the end."""

from talk import *
from wire import DEFAULTS, LIMITS, PREFACE as PREFACE_BYTES


def limits(**fields):
    return {**{name: DEFAULTS[name] for name in LIMITS}, **fields}


def established(codecs=None, **fields):
    return events(
        {"event": "established", "limits": limits(**fields), "codecs": codecs or [1, 2, 3, 0], "metadata": []}
    )


def hellos(t):
    g = "se.hello"
    for role in ("dialer", "acceptor"):
        t.add(
            g,
            "FR-01 FR-12 SE-01" + (" SE-19" if role == "dialer" else ""),
            f"the {role} says preface and hello at once, and hears the other's",
            expect(PREFACE, hello(**DEFAULTS)),
            recv(PREFACE, hello()),
            established(),
            QUIET,
            GOES_ON,
            role=role,
            raw=True,
        )
    t.add(
        g,
        "LI-01",
        "of each limit the smaller, whoever states it",
        expect(PREFACE, hello(max_frame=8192, max_message=1000, max_channels=7)),
        recv(
            PREFACE,
            hello(
                max_frame=5000,
                max_message=2000,
                max_attachments=3,
                max_pending_accepts=2,
                initial_window=600,
                stream_window=20000,
                session_memory=1000000,
            ),
        ),
        established(
            max_frame=5000,
            max_message=1000,
            max_attachments=3,
            max_channels=7,
            max_pending_accepts=2,
            initial_window=600,
            session_memory=1000000,
        ),
        raw=True,
        hello={"max_frame": 8192, "max_message": 1000, "max_channels": 7},
    )
    t.add(
        g,
        "LI-01",
        "what is out of range is brought into it",
        recv(PREFACE, hello(max_frame=1, initial_window=0, stream_window=255, max_attachments=0)),
        expect(PREFACE, hello()),
        established(max_frame=4096, initial_window=512, stream_window=256, max_attachments=0),
        raw=True,
    )
    t.add(
        g,
        "LI-01 FR-19",
        "no more than 253 attachments and descriptors, and frames of 24 bits of length",
        recv(
            PREFACE,
            hello(
                max_frame=0xFFFFFFFF, max_attachments=1000, max_descriptors=1000, initial_window=8192
            ),
        ),
        expect(PREFACE, hello()),
        established(max_frame=0xFFFFFF, max_attachments=253, max_descriptors=253, initial_window=4368),
        raw=True,
        hello={
            "max_frame": 0xFFFFFF,
            "max_attachments": 253,
            "max_descriptors": 253,
            "initial_window": 4368,
        },
    )
    t.add(
        g,
        "LI-01",
        "max_message is at most a quarter of session_memory",
        expect(PREFACE, hello()),
        recv(PREFACE, hello(session_memory=40000)),
        established(max_message=10000, session_memory=40000),
        raw=True,
    )
    t.add(
        g,
        "SE-05",
        "the dialer's order of codecs holds: ours",
        expect(PREFACE, hello(codecs=[1, 2, 3, 0])),
        recv(PREFACE, hello(codecs=[0, 9, 2, 1])),
        established([1, 2, 0]),
        raw=True,
    )
    t.add(
        g,
        "SE-05",
        "the dialer's order of codecs holds: the peer's",
        expect(PREFACE, hello(codecs=[1, 2, 3, 0])),
        recv(PREFACE, hello(codecs=[0, 9, 2, 1])),
        established([0, 2, 1]),
        raw=True,
        role="acceptor",
    )
    t.add(
        g,
        "SE-05",
        "no codec in common",
        expect(PREFACE, hello(codecs=[1, 0])),
        recv(PREFACE, hello(codecs=[2, 3])),
        told(3),
        broken("NO_COMMON_CODEC"),
        raw=True,
        hello={"codecs": [1, 0]},
    )
    t.add(
        g,
        "SE-05",
        "an empty list has nothing in common with any",
        expect(PREFACE, hello()),
        recv(PREFACE, hello(codecs=[])),
        told(3),
        broken("NO_COMMON_CODEC"),
        raw=True,
    )
    t.add(
        g,
        "FR-12",
        "what the peer says of itself reaches the application",
        expect(PREFACE, hello(metadata=[["a", "01"]])),
        recv(PREFACE, hello(metadata=[["token", "736573616d65"], ["", ""]])),
        events({"event": "established", "metadata": [["token", "736573616d65"], ["", ""]]}),
        raw=True,
        hello={"metadata": [["a", "01"]]},
    )
    t.add(
        g,
        "FR-01 FR-13",
        "preface, hello with an unknown tag and the first channel in one piece",
        expect(PREFACE, hello()),
        recv_bytes(PREFACE_BYTES + hello_with_unknown_tag() + encode(open_(1, 4, "jobs"))),
        events(
            {"event": "established"},
            {"event": "opened", "id": 1, "name": "jobs", "capacity": 4, "metadata": []},
        ),
        raw=True,
    )
    t.add(
        g,
        "FR-01 SE-07",
        "the hello cut in the middle of the preface and of the header",
        expect(PREFACE, hello()),
        recv_bytes(PREFACE_BYTES[:3]),
        events(),
        GOES_ON,
        recv_bytes(PREFACE_BYTES[3:] + encode(hello())[:5]),
        events(),
        recv_bytes(encode(hello())[5:]),
        events({"event": "established"}),
        raw=True,
    )
    t.add(
        g,
        "SE-01",
        "nothing but preface and hello leaves before the peer's hello",
        app("open", name="x", capacity=4, gives={"err": "CLOSED"}),
        expect(PREFACE, hello()),
        recv(PREFACE, hello()),
        events({"event": "established"}),
        app("open", name="x", capacity=4, gives={"id": "$a"}),
        expect(open_("$a", 4)),
        raw=True,
    )
    t.add(
        g,
        "SE-02 SE-17",
        "a peer that gives up before its hello says why",
        expect(PREFACE, hello()),
        recv(PREFACE, goodbye(3, "no codec")),
        QUIET,
        by_peer("NO_COMMON_CODEC", "no codec"),
        raw=True,
    )
    t.add(
        g,
        "SE-04",
        "no hello within ten seconds",
        expect(PREFACE, hello()),
        tick(5),
        QUIET,
        GOES_ON,
        tick(10),
        told(11),
        broken("HELLO_TIMEOUT"),
        raw=True,
    )
    t.add(
        g,
        "SE-04",
        "half a hello is no hello",
        expect(PREFACE, hello()),
        recv_bytes(PREFACE_BYTES + encode(hello())[:-1]),
        tick(5),
        QUIET,
        tick(10),
        told(11),
        broken("HELLO_TIMEOUT"),
        raw=True,
    )
    t.add(
        g,
        "MO-03",
        "the link ends before the peer's hello",
        expect(PREFACE, hello()),
        recv_bytes(PREFACE_BYTES),
        EOF,
        QUIET,
        LOST,
        raw=True,
    )
    t.add(
        g,
        "RA-01",
        "raw is taken where neither hello names it",
        accepted(),
        recv(msg(1, "00ff")),
        take(1, "00ff"),
        hello={"codecs": [1]},
        peer={"codecs": [1, 2]},
    )
    t.add(
        g,
        "FR-03",
        "an unknown type with bit 80 changes nothing",
        recv_bytes(bytes.fromhex("0000058000000007") + b"hello"),
        recv_bytes(bytes.fromhex("000000ff00000000")),
        QUIET,
        events(),
        GOES_ON,
    )
    for code, name in ((16, "UNAUTHORIZED"), (17, "UNAVAILABLE"), (32, "REFUSED")):
        t.add(
            g,
            "SE-20 SE-17",
            "an acceptor gives this dialer no session, and says so in the place of its hello",
            expect(PREFACE, hello()),
            recv(PREFACE, goodbye(code, "not you")),
            QUIET,
            by_peer(name, "not you"),
            raw=True,
        )


def hello_with_unknown_tag():
    from wire import body, field, raw

    return raw(1, 0, body(hello()) + field(99, b"later"))


def pings(t):
    g = "se.ping"
    t.add(
        g,
        "SE-09",
        "a ping is answered with its eight bytes",
        recv(ping(1), ping(0xFFEEDDCCBBAA9988)),
        expect(pong(1), pong(0xFFEEDDCCBBAA9988)),
        GOES_ON,
    )
    t.add(g, "SE-09", "a pong that nobody asked for", recv(pong(77)), QUIET, events(), GOES_ON)
    t.add(
        g,
        "SE-08",
        "who has said nothing for 15 s pings; looking every 5 s may make it 20",
        tick(5, 10, 15, 20),
        expect({"t": "PING", "id": 0}),
        GOES_ON,
    )
    t.add(
        g,
        "SE-08",
        "who says something need not ping",
        opened(),
        tick(5, 10),
        send("$a", "01"),
        expect(msg("$a", "01")),
        tick(15, 20),
        QUIET,
        tick(25, 30),
        expect({"t": "PING", "id": 0}),
    )
    t.add(
        g,
        "SE-08 SE-10",
        "what is heard does not stop the pings, each direction counts by itself",
        tick(5, 10),
        recv(pong(1)),
        tick(15, 20),
        expect({"t": "PING", "id": 0}),
        recv(pong(1)),
        tick(25, 30, 35, 40),
        expect({"t": "PING", "id": 0}),
        GOES_ON,
    )
    t.add(
        g,
        "SE-10",
        "who has heard nothing for 45 s ends the session; looking every 5 s may make it 50",
        tick(5, 10, 15, 20, 25, 30, 35, 40),
        expect({"t": "PING"}, {"t": "PING"}),
        GOES_ON,
        tick(45, 50),
        told(12),
        broken("PEER_SILENT"),
    )
    t.add(
        g,
        "SE-10",
        "any byte is heard, also one of half a frame",
        tick(5, 10, 15, 20, 25, 30, 35),
        recv_bytes(b"\0"),
        tick(40, 45, 50, 55, 60, 65, 70),
        GOES_ON,
        SKIP,
    )
    t.add(
        g,
        "SE-11",
        "as many pings as are taken",
        recv(*[ping(i) for i in range(3)]),
        expect(*[pong(i) for i in range(3)]),
        GOES_ON,
        recv(ping(3)),
        broken("PING_FLOOD"),
        told(13),
        local={"max_pings": 3},
    )
    t.add(
        g,
        "SE-11",
        "a hundred by default",
        recv(*[ping(i) for i in range(100)]),
        expect(*[pong(i) for i in range(100)]),
        GOES_ON,
    )
    t.add(
        g,
        "SE-11",
        "after five seconds they are counted anew",
        tick(5),
        recv(ping(1), ping(2)),
        expect(pong(1), pong(2)),
        tick(10, 11),
        recv(ping(3), ping(4)),
        expect(pong(3), pong(4)),
        GOES_ON,
        local={"max_pings": 2},
    )
    t.add(
        g,
        "SE-13",
        "a peer that makes us owe more than the limit, all at once",
        recv(*[ping(i) for i in range(9)]),
        broken("PEER_NOT_READING"),
        any_order(*[pong(i) for i in range(9)], {"t": "GOODBYE", "code": 14}),
        local={"max_control": 130},
        whole=True,
    )


def goodbyes(t):
    g = "se.goodbye"
    t.add(
        g,
        "SE-15",
        "we leave first",
        app("goodbye", gives={}),
        expect(goodbye()),
        GOES_ON,
        recv(goodbye()),
        QUIET,
        CLOSED,
        EOF,
        CLOSED,
    )
    t.gone(g)
    t.add(g, "SE-15", "both at once", app("goodbye", gives={}), recv(goodbye()), expect(goodbye()), CLOSED)
    t.add(
        g,
        "SE-15",
        "goodbye is said once",
        app("goodbye", gives={}),
        app("goodbye", gives={}),
        expect(goodbye()),
    )
    t.add(
        g,
        "SE-15",
        "nothing of ours follows our goodbye: no send, no close, no pong, no credit",
        opened(),
        accepted(1, 1),
        recv(msg(1, "01")),
        app("goodbye", gives={}),
        expect(goodbye()),
        take(1, "01"),
        send("$a", "00", {"err": "CLOSED"}),
        app("close", "$a", gives={}),
        recv(ping(5)),
        app("open", name="late", capacity=1, gives={"err": "CLOSED"}),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "SE-15 SE-18",
        "after our goodbye the peer's messages still arrive, and its close",
        accepted(),
        app("goodbye", gives={}),
        expect(goodbye()),
        recv(msg(1, "01"), close(1)),
        recv(goodbye()),
        take(1, "01"),
        ended(1),
        QUIET,
        CLOSED,
    )
    t.add(
        g,
        "MO-03",
        "the link ends before the peer's goodbye",
        app("goodbye", gives={}),
        expect(goodbye()),
        EOF,
        LOST,
    )
    t.gone(g)
    t.add(
        g,
        "MO-03",
        "the link ends without any goodbye",
        accepted(),
        recv(msg(1, "01")),
        EOF,
        QUIET,
        LOST,
        take(1, "01"),
        lost(1),
        lost(1),
    )
    t.add(
        g,
        "SE-17",
        "a goodbye with a code ends the session at once, and is not answered",
        opened(),
        recv(goodbye(8, "more than was granted")),
        QUIET,
        by_peer("FLOW_CONTROL", "more than was granted"),
        send("$a", "00", {"err": "CLOSED"}),
    )
    t.add(
        g,
        "SE-17 ER-01",
        "a goodbye with an application's code",
        recv(goodbye(300, "maintenance")),
        QUIET,
        {"over": {"why": "peer", "text": "maintenance"}},
    )
    t.add(
        g,
        "SE-17",
        "we end it with a code",
        app("goodbye", code=1, text="enough", gives={}),
        expect(goodbye(1, "enough")),
    )
    t.gone(g, 5)
    t.add(
        g,
        "SE-15 CR-07",
        "goodbye waits for a message that was accepted and lacks credit",
        opened(4),
        send("$a", fill(3000)),
        expect(first("$a", 3000, fill(2016))),
        app("goodbye", gives={}),
        QUIET,
        recv(credit("$a", bytes=984)),
        {"expect": [last("$a"), goodbye()]},
    )
    t.gone(g)
    t.add(
        g,
        "ER-02 SE-15",
        "a broken rule is told once, and what follows is not read",
        recv_bytes(b"\0\0\0\x0e\0\0\0\0"),
        told(1),
        broken("PROTOCOL"),
        recv(ping(1), open_(1, 1)),
        QUIET,
        EOF,
        broken("PROTOCOL"),
    )
    t.add(
        g,
        "ER-02",
        "a broken rule after our goodbye: there is nothing more to say",
        app("goodbye", gives={}),
        expect(goodbye()),
        recv_bytes(b"\0\0\0\x0e\0\0\0\0"),
        QUIET,
        broken("PROTOCOL"),
    )
    t.gone(g)
    closed_by_session(t, g)


def closed_by_session(t, g):
    """What a session that is left in good order cuts, and what it does not."""
    t.add(
        g,
        "SE-15 SE-09",
        "the peer leaves first: our goodbye answers at once, behind what was written",
        recv(ping(3), goodbye()),
        expect(pong(3), goodbye()),
        CLOSED,
        EOF,
        CLOSED,
    )
    t.add(
        g,
        "SE-15",
        "what follows a goodbye is not read",
        accepted(),
        recv(goodbye(), msg(1, "01"), ping(1), open_(3, 1)),
        expect(goodbye()),
        CLOSED,
        ended_by_session(1),
        QUIET,
    )
    t.add(
        g,
        "SE-18",
        "the peer's goodbye cuts what its sending side had not closed, and not what it had",
        accepted(1),
        accepted(3),
        recv(msg(1, "01"), msg(3, "02"), close(3), goodbye()),
        take(1, "01"),
        ended_by_session(1),
        ended_by_session(1),
        take(3, "02"),
        ended(3),
        SKIP,
    )
    t.add(
        g,
        "SE-18",
        "and so when we have left first",
        accepted(1),
        recv(msg(1, "01")),
        app("goodbye", gives={}),
        recv(msg(1, "02"), goodbye()),
        take(1, "01"),
        take(1, "02"),
        ended_by_session(1),
        SKIP,
        CLOSED,
    )
    t.add(
        g,
        "SE-18",
        "a sending end that was not closed is cut too, at its own side",
        opened(),
        send("$a", "01"),
        SKIP,
        recv(goodbye()),
        expect(goodbye()),
        CLOSED,
        send("$a", "02", {"err": "CLOSED"}),
        app("status", "$a", gives={"cancel": {"scope": 0, "code": 43}}),
    )
    t.add(
        g,
        "SE-18",
        "and so when we have left first: our end is cut, and the peer's CANCEL before its goodbye counts",
        opened(),
        opened(4, "$b"),
        app("goodbye", gives={}),
        expect(goodbye()),
        recv(cancel("$b", 0, 300, 1, "enough"), goodbye()),
        CLOSED,
        app("status", "$a", gives={"cancel": {"scope": 0, "code": 43}}),
        app("status", "$b", gives={"cancel": {"scope": 1, "code": 300, "text": "enough"}}),
        QUIET,
    )
    t.add(
        g,
        "SE-18",
        "what we had closed, and what the peer has left with a reason, stays as it is",
        opened(),
        opened(4, "$b"),
        app("close", "$a", gives={}),
        expect(close("$a")),
        recv(cancel("$b", 0, 32, 1, "no")),
        expect(close("$b")),
        recv(goodbye()),
        expect(goodbye()),
        app("status", "$b", gives={"cancel": {"scope": 1, "code": 32, "text": "no"}}),
        CLOSED,
    )
    t.add(
        g,
        "SE-18 BY-05 BY-08",
        "a stream is cut after what has arrived, in both directions",
        accepted(),
        recv(msg(1, "", att(3, 3)), data(3, "6162"), goodbye()),
        expect(goodbye()),
        take(1),
        app("claim", ids=[3], gives={}),
        app("read", 3, max=10, gives={"payload": "6162"}),
        app("read", 3, max=10, gives={"end": {"code": 43}}),
        app("write", 3, {"err": "CLOSED"}, payload="00"),
        QUIET,
        level=2,
    )
    t.add(
        g,
        "SE-18 BY-05",
        "a stream's direction that had ended stays clean",
        accepted(),
        recv(msg(1, "", att(3, 3)), data(3, "6162"), end(3), goodbye()),
        SKIP,
        take(1),
        app("claim", ids=[3], gives={}),
        app("read", 3, max=10, gives={"payload": "6162"}),
        app("read", 3, max=10, gives={"end": {"code": 0}}),
        level=2,
    )
    t.add(
        g,
        "SE-18 CH-10",
        "a message that is not whole is dropped",
        accepted(),
        recv(first(1, 4, "0102"), goodbye()),
        expect(goodbye()),
        ended_by_session(1),
        QUIET,
    )
    t.add(
        g,
        "SE-15 SE-18",
        "our message that lacks credit is cut by the peer's goodbye, also when our goodbye waits for it",
        opened(4),
        send("$a", fill(3000)),
        expect(first("$a", 3000, fill(2016))),
        app("goodbye", gives={}),
        QUIET,
        recv(goodbye()),
        expect(goodbye()),
        CLOSED,
    )
    t.add(
        g,
        "SE-18 MO-03",
        "a session that is lost in the middle of leaving: lost, and not closed",
        accepted(),
        app("goodbye", gives={}),
        expect(goodbye()),
        recv(msg(1, "01")),
        EOF,
        LOST,
        take(1, "01"),
        lost(1),
    )
    t.add(
        g,
        "SE-15 CH-16",
        "after our goodbye a close is not answered, and a cancel neither",
        accepted(),
        opened(),
        app("goodbye", gives={}),
        expect(goodbye()),
        recv(close(1), cancel("$a", 0, 300)),
        ended(1),
        app("status", "$a", gives={"cancel": {"code": 300}}),
        QUIET,
        recv(goodbye()),
        QUIET,
        CLOSED,
    )
    t.add(
        g,
        "SE-01",
        "we leave before the peer's hello: GOODBYE with a code, and no session; what comes then is not read",
        expect(PREFACE, hello()),
        app("goodbye", gives={}),
        expect(goodbye_that_says(17)),
        CLOSED,
        recv(PREFACE, hello()),
        QUIET,
        EOF,
        CLOSED,
        raw=True,
    )
    t.add(
        g,
        "SE-01",
        "with the code that the application gives, also in the middle of the peer's preface",
        expect(PREFACE, hello()),
        recv_bytes(b"libc"),
        app("goodbye", code=300, text="never mind", gives={}),
        expect(goodbye(300, "never mind")),
        CLOSED,
        raw=True,
    )
    t.add(
        g,
        "SE-15 SE-09",
        "while our goodbye waits for a message that lacks credit the session is open, but nothing new may be sent",
        opened(4),
        opened(4, "$b"),
        accepted(1, 1),
        send("$a", fill(3000)),
        expect(first("$a", 3000, fill(2016))),
        app("goodbye", gives={}),
        QUIET,
        recv(ping(5)),
        expect(pong(5)),
        app("open", name="late", capacity=1, gives={"err": "CLOSED"}),
        send("$b", "00", {"err": "CLOSED"}),
        recv(msg(1, "01")),
        take(1, "01"),
        expect(credit(1, taken=1, bytes=33)),
        recv(open_(3, 1)),
        events({"event": "opened", "id": 3}),
        recv(credit("$a", bytes=984)),
        {"expect": [last("$a"), goodbye()]},
        recv(ping(6)),
        QUIET,
        recv(goodbye()),
        QUIET,
        CLOSED,
    )


def goodbye_that_says(code):
    """With any text."""
    return {"t": "GOODBYE", "id": 0, "code": code}


def ended_by_session(ident):
    return app("take", ident, gives={"close": {"scope": 0, "code": 43}})


def entries():
    t = Talks()
    hellos(t)
    pings(t)
    goodbyes(t)
    return t.entries
