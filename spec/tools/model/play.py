"""One world from its first byte to its last: random steps, then a cut link, a goodbye in the middle, or a quiet end."""

from __future__ import annotations

import random
from collections import Counter

from libchan.proto import codes
from libchan.proto.entries import RecvEntry, SendEntry, StreamEntry
from libchan.proto.limits import Limits

from .world import Side, World, make_limits


def play(seed: int, steps: int = 1000) -> Counter[str]:
    """Plays a world; raises `AssertionError` where a promise or a sum is broken. Returns what happened, counted."""
    rng = random.Random(seed)
    world, sides = start(rng, make_limits(rng))
    while flow(sides, rng, True):
        pass
    for _ in range(steps):
        rng.choice(sides).act()
        if rng.random() < 0.6:
            flow(sides, rng, rng.random() < 0.3)
        for side in sides:
            side.audit()
    how = rng.random()
    if how < 0.25:
        _cut(sides, rng)
    elif how < 0.5:
        _goodbye(sides, rng)
    else:
        _quiet(sides, rng)
    return world.counts


def start(rng: random.Random, limits: Limits) -> tuple[World, tuple[Side, Side]]:
    world = World()
    return world, (Side(True, rng, world, limits), Side(False, rng, world, limits))


def flow(sides: tuple[Side, Side], rng: random.Random, everything: bool) -> bool:
    """Moves bytes, cut anywhere. No honest peer is ended. False: there was nothing to move."""
    moved = False
    for side, other in (sides, sides[::-1]):
        side.wire += side.output()
        size = len(side.wire) if everything else rng.randrange(len(side.wire) + 1)
        moved |= size > 0
        other.machine.receive(bytes(side.wire[:size]))
        del side.wire[:size]
        assert other.machine.over is None, f"an honest peer was ended: {other.machine.over}"
    return moved or any(side.machine.has_output() for side in sides)


def _cut(sides: tuple[Side, Side], rng: random.Random) -> None:
    for side, other in (sides, sides[::-1]):
        side.wire += side.output()
        other.machine.receive(bytes(side.wire[: rng.randrange(len(side.wire) + 1)]))
    for side in sides:
        side.machine.eof()
        afterwards(side, codes.DISCONNECTED)


def _goodbye(sides: tuple[Side, Side], rng: random.Random) -> None:
    first, second = sides if rng.random() < 0.5 else sides[::-1]
    at_once = rng.random() < 0.3
    first.machine.goodbye(at_once=at_once)
    if rng.random() < 0.3:
        second.machine.goodbye()
    for _ in range(300):
        if all(side.machine.over for side in sides):
            break
        if not second.machine.over:
            second.drain()
        for side, other in (sides, sides[::-1]):
            side.wire += side.output()
            other.machine.receive(bytes(side.wire))
            side.wire.clear()
        if not first.machine.over and not first.machine.goodbye_sent:
            first.drain()
    for side in sides:
        over = side.machine.over
        assert over and over.kind == "closed", f"{side.name}: {over}"
        side.machine.output()
        assert not side.machine.has_output(), "the session is over, and there is always more to write"
        afterwards(side, codes.SESSION_CLOSED)


def _quiet(sides: tuple[Side, Side], rng: random.Random) -> None:
    moves = True
    while moves:
        for side in sides:
            side.drain()
        moves = flow(sides, rng, True)
    for side in sides:
        for entry in side.machine.entries.open.values():
            taken = isinstance(entry, RecvEntry) and entry.closed and not entry.inbox and not entry.holds
            assert not taken, f"closed, and all was taken, and the id is in use: {entry}"
        assert side.stuck() is None, f"it stands still, and everything is read: {side.stuck()}"
        for entry in side.machine.entries.open.values():
            if isinstance(entry, SendEntry) and entry.announced and not entry.cancelled and not entry.closing:
                assert entry.credit >= entry.floor, "one that waits for F waits for ever"
    for _ in range(4):
        for side in sides:
            side.settle()
        while flow(sides, rng, True):
            for side in sides:
                side.settle()
    for side in sides:
        side.audit()
        machine = side.machine
        assert machine.entries.open == {}, machine.entries.open
        assert machine.opened_here.count == machine.opened_there.count == 0
        assert machine.ours.extra == machine.ours.growth == 0 and not machine._awaited and not machine._line


def afterwards(side: Side, code: int) -> None:
    """The session is over: what was not ended has the code, no end is clean that nobody said, and all becomes free."""
    machine, world = side.machine, side.world
    side.look_at_events(0)
    for entry in list(machine.entries.open.values()):
        if isinstance(entry, RecvEntry):
            assert entry.closed
            if entry.close_reason.code == code:
                world.counts["ended with the session"] += 1
            reason = entry.close_reason.code
            while parcel := machine.next_parcel(entry):
                side.take(entry, parcel, claim=False)
            if reason == 0 and entry not in side.left and entry.user is not None:
                world.check_end(entry.user, reason)
                sent = [n for n, message in world.messages.items() if message[0] == entry.user]
                assert world.last.get(entry.user, -1) == max(sent, default=-1), "a clean end before the last message"
            side.cancel(entry)
        elif isinstance(entry, SendEntry):
            assert entry.cancelled, "a sending end that outlives its session"
            machine.close(entry)
            if not entry.announced:
                machine.abandon(entry)
        else:
            assert isinstance(entry, StreamEntry) and entry.ended is not None and entry.stopped is not None
            side.read(entry, 10**9)
            side.check_stream(entry)
            if entry.ended.code == 0 and entry.stop is None and entry.user is not None:
                assert not world.streams[entry.user][side.other], "a clean end before the last byte"
            machine.stream_finish(entry)
            machine.stream_stop(entry)
    assert machine.ours.extra == 0, "memory of large messages is not free"
    for entry in machine.entries.open.values():
        assert isinstance(entry, StreamEntry) and not entry.arrived, f"after the end there is left: {entry}"
