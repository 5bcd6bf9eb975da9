"""Many large messages and little memory: those that are read all come, whatever the others do."""

from __future__ import annotations

import random

from libchan.proto.entries import RecvEntry, SendEntry
from libchan.proto.limits import Limits
from libchan.proto.machine import Machine
from libchan.proto.messages import Parts

CHANNELS, MESSAGES, SIZE = 30, 3, 40_000


def large(seed: int, given_up: int = 1, steps: int = 4000) -> int | None:
    """30 channels send three messages of 40,000 bytes each; there is memory for two at a time. Some channels are never
    read, ``given_up`` of them were asked once. Returns after how many steps all that is read had come; None: never."""
    rng = random.Random(seed)
    limits = Limits(session_memory=400_000, max_message=45_000, initial_window=512, max_window=512, max_attachments=8)
    sender, reader = Machine(True, limits), Machine(False, limits)
    _flow(sender, reader)
    outs = [sender.open("x", 4) for _ in range(CHANNELS)]
    _flow(sender, reader)
    for event in list(reader.events):
        if event.kind == "opened":
            reader.accept(event.entry)
    kinds = _kinds(rng, outs, given_up)
    got = dict.fromkeys(kinds, 0)
    to_send = dict.fromkeys(kinds, MESSAGES)
    for step in range(steps):
        for out in outs:
            if to_send[out.id] and sender.blocked(out, 0, SIZE) is None:
                sender.send(out, Parts(0, b"z" * SIZE))
                to_send[out.id] -= 1
        _flow(sender, reader)
        for id, kind in kinds.items():
            entry = reader.entries.open[id]
            assert isinstance(entry, RecvEntry)
            if kind == "given up":
                reader.want(entry, 1 if step < 3 else 0)
            elif kind == "read" and rng.random() < 0.3:
                got[id] += _read(reader, entry, rng)
        _flow(sender, reader)
        if all(got[id] == MESSAGES for id, kind in kinds.items() if kind == "read"):
            return step
    return None


def _kinds(rng: random.Random, outs: list[SendEntry], given_up: int) -> dict[int, str]:
    kinds = {}
    for out in outs:
        kind = rng.choice(["read", "read", "given up", "never"])
        if kind == "given up":
            kind, given_up = (kind, given_up - 1) if given_up > 0 else ("never", 0)
        kinds[out.id] = kind
    return kinds


def _read(reader: Machine, entry: RecvEntry, rng: random.Random) -> int:
    reader.want(entry, 1)
    parcel = reader.next_parcel(entry)
    if parcel is None:
        return 0
    reader.want(entry, rng.randint(0, 1))
    reader.taken(entry, 1, parcel.charge)
    return 1


def _flow(one: Machine, other: Machine) -> None:
    moved = True
    while moved:
        moved = False
        for side, far in ((one, other), (other, one)):
            for chunk in side.output():
                moved = True
                far.receive(bytes(chunk.data))
                assert far.over is None, far.over
            moved |= side.has_output()
