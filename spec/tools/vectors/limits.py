"""sessions/limits.json: what is exactly at a limit passes; what is one over is among the rejects."""

from talk import *
from wire import body


def padded_hello(size):
    """A HELLO whose body has this many bytes."""
    missing = size - len(body(hello()))
    key, value = "pad", missing - 6
    return hello(metadata=[[key, "00" * value]])


def entries():
    t = Talks()
    g = "li.exact"
    t.add(
        g,
        "FR-02",
        "a hello of 16,384 bytes",
        expect(PREFACE, hello()),
        recv(PREFACE, padded_hello(16384)),
        events({"event": "established"}),
        GOES_ON,
        raw=True,
    )
    t.add(
        g,
        "FR-20 LI-01",
        "a payload of max_message",
        accepted(),
        recv(msg(1, fill(300))),
        take(1, fill(300)),
        SKIP,
        hello={"max_message": 300},
    )
    t.add(
        g,
        "FR-20 LI-01",
        "a total of max_message",
        accepted(),
        app("waiting", 1, receives=1),
        recv(first(1, 5000, fill(2016))),
        {"expect": [{"t": "CREDIT", "id": 1}]},
        recv(fragment(1, bytes(2984).hex())),
        app("take", 1, gives={"message": {"codec": 0}}),
        SKIP,
        GOES_ON,
        hello={"max_message": 5000},
    )
    t.add(
        g,
        "LI-02 FR-20",
        "our payload of max_message is sent",
        opened(),
        send("$a", fill(300)),
        expect(msg("$a", fill(300))),
        peer={"max_message": 300},
    )
    t.add(
        g,
        "CH-03",
        "the last slot that there may be: max_channels less one",
        recv(open_(2 * 6 + 1, 1)),
        events({"event": "opened", "id": 13}),
        GOES_ON,
        hello={"max_channels": 7},
    )
    t.add(
        g,
        "CH-05",
        "max_channels of each side's own",
        opened(1),
        opened(1, "$b"),
        recv(open_(1, 1), open_(3, 1)),
        events({"event": "opened", "id": 1}, {"event": "opened", "id": 3}),
        GOES_ON,
        hello={"max_channels": 2},
    )
    t.add(
        g,
        "CH-05",
        "channels whose first windows fill a quarter of the memory, of each side",
        opened(1),
        opened(1, "$b"),
        recv(open_(1, 1), open_(3, 1)),
        events(*[{"event": "opened", "id": i} for i in (1, 3)]),
        app("open", name="x", capacity=1, gives={"err": "MEMORY"}),
        GOES_ON,
        hello={"session_memory": 16384},
    )
    t.add(
        g,
        "CR-14",
        "2,147,483,647 bytes of credit",
        opened(),
        recv(credit("$a", bytes=2147483647 - 2048)),
        app("status", "$a", gives={"bytes": 2147483647}),
        GOES_ON,
    )
    t.add(
        g,
        "FR-07",
        "a text of 1,024 bytes",
        accepted(),
        recv(close(1, 300, 0, "t" * 1024)),
        ended(1, 300, 0, "t" * 1024),
        SKIP,
    )
    t.add(
        g,
        "CR-15",
        "exactly the window of a stream",
        accepted(),
        recv(msg(1, "", att(3, 3)), data(3, fill(256))),
        take(1),
        app("claim", ids=[3]),
        app("read", 3, {"payload": fill(256)}, max=1000),
        SKIP,
        GOES_ON,
        hello={"stream_window": 256},
        level=2,
    )
    t.add(
        g,
        "AT-18",
        "as many descriptors as were granted",
        accepted(),
        recv(msg(1, "", att(4), att(4))),
        QUIET,
        GOES_ON,
        hello={"max_descriptors": 2},
        peer={"max_descriptors": 2},
        level=3,
    )
    t.add(
        g,
        "SE-13",
        "unsent control bytes at the limit",
        recv(*[ping(i) for i in range(8)]),
        expect(*[pong(i) for i in range(8)]),
        GOES_ON,
        local={"max_control": 128},
        whole=True,
    )
    t.add(
        g,
        "MO-02 CH-01",
        "as many channels as may wait to be accepted, opened and closed",
        recv(*[open_(2 * i + 1, 1) for i in range(256)]),
        QUIET,
        events(*[{"event": "opened", "id": 2 * i + 1} for i in range(256)]),
        recv(*[close(2 * i + 1) for i in range(256)]),
        QUIET,
        GOES_ON,
    )
    t.add(
        g,
        "CR-14",
        "2,147,483,647 receives announced, and one more when one was used",
        opened(0),
        recv(credit("$a", wanted=2147483647)),
        app("status", "$a", gives={"demand": 2147483647}),
        send("$a", "01"),
        recv(credit("$a", wanted=1)),
        app("status", "$a", gives={"demand": 2147483647}),
        SKIP,
        GOES_ON,
    )
    t.add(
        g,
        "LI-06 CR-01",
        "the highest capacity",
        accepted(1, 2147483647),
        recv(msg(1, "01")),
        take(1, "01"),
        QUIET,
        opened(2147483647),
        app("status", "$a", gives={"room": 2147483647, "untaken": 0}),
        send("$a", "01"),
        expect(msg("$a", "01")),
        GOES_ON,
        hello={"max_attachments": 0},
    )
    return t.entries
