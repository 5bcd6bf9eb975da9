"""Turns (MO-05): with equal demand none gets more than twice another's share, and a newcomer waits for one turn."""

from __future__ import annotations

import random
from typing import Any

from libchan.proto import frames
from libchan.proto.entries import RecvEntry, SendEntry, StreamEntry
from libchan.proto.limits import Limits
from libchan.proto.machine import Machine
from libchan.proto.messages import Parts
from libchan.proto.turns import FILL, TURN

__all__ = ["FILL", "TURN", "fair", "newcomer"]

SIZES = (20, 900, 5000, 20_000, 300_000)


class Load:
    """Channels and streams that always have something to send, and a reader that takes all at once."""

    def __init__(self, sizes: list[int], streams: int) -> None:
        self.late: SendEntry | None = None
        self.sender, self.reader = Machine(True, Limits()), Machine(False, Limits())
        self.most = 0
        self.flow()
        self.ends: list[Any] = []
        self.sizes: dict[int, int] = {}
        self.got: dict[int, int] = {}
        for size in sizes:
            self.add(size)
        carrier = self.sender.open("streams", 1000)
        for _ in range(streams):
            self.ends.append(self.sender.allocate(frames.STREAM))
            self.sender.send(carrier, Parts(0, b"", [self.ends[-1]]))
            self.flow()

    def add(self, size: int) -> SendEntry:
        entry = self.sender.open("x", 100_000)
        self.sizes[entry.id] = size
        self.ends.append(entry)
        self.flow()
        return entry

    def offer(self, entry: Any) -> None:
        """Sends as much as the machine takes."""
        if isinstance(entry, StreamEntry):
            self.sender.stream_send(entry, b"s" * 100_000)
            return
        parts = Parts(0, b"m" * self.sizes.get(entry.id, 0))
        while self.sender.blocked(entry, 0, parts.charge()) is None:
            self.sender.send(entry, parts)

    def write(self) -> bytes:
        """One output, as an engine does: those whose turn has come are told, and use it."""
        data = b"".join(bytes(chunk.data) for chunk in self.sender.output())
        while self.sender.events:
            event = self.sender.events.popleft()
            if event.entry in self.ends:
                self.offer(event.entry)
        self.most = max(self.most, len(data))
        return data

    def flow(self) -> None:
        moved = True
        while moved:
            moved = False
            for one, other in ((self.sender, self.reader), (self.reader, self.sender)):
                for chunk in one.output():
                    moved = True
                    other.receive(bytes(chunk.data))
                    assert other.over is None, other.over
        self.sender.events.clear()

    def round(self) -> None:
        """What is written goes to the reader, which takes it; its credit comes back."""
        self.reader.receive(self.write())
        for event in list(self.reader.events):
            if event.kind == "opened":
                self.reader.accept(event.entry)
        self.reader.events.clear()
        for entry in list(self.reader.entries.open.values()):
            if isinstance(entry, RecvEntry):
                self.reader.want(entry, 1)
                while parcel := self.reader.next_parcel(entry):
                    self.got[entry.id] = self.got.get(entry.id, 0) + len(parcel.payload)
                    self.reader.taken(entry, 1, parcel.charge)
            elif isinstance(entry, StreamEntry):
                size = len(self.reader.stream_recv(entry, 10**9))
                self.got[entry.id] = self.got.get(entry.id, 0) + size
        for chunk in self.reader.output():
            self.sender.receive(bytes(chunk.data))
        assert self.sender.over is None and self.reader.over is None


def fair(seed: int, rounds: int = 150) -> float:
    """Random loads; returns the largest share divided by the smallest, of equal ones that always have something."""
    rng = random.Random(seed)
    sizes = [rng.choice(SIZES[1:]) for _ in range(rng.randint(2, 5))]
    load = Load(sizes, rng.randint(0, 3))
    # One is there first, and has a large window when the others come.
    first = load.ends[0]
    load.offer(first)
    for _ in range(60):
        load.round()
    for entry in load.ends:
        load.offer(entry)
    for _ in range(rounds):
        load.round()
    load.got.clear()
    for _ in range(rounds):
        load.round()
    shares = [load.got.get(entry.id, 0) for entry in load.ends]
    return max(shares) / max(1, min(shares))


class Newcomer(Load):
    """A flood, and a channel beside it that sends one message."""

    MARKER = b"here I am" * 10

    def prepare(self) -> None:
        self.late = self.add(0)
        self.ends.remove(self.late)

    def offer(self, entry: Any) -> None:
        if entry is not self.late:
            super().offer(entry)
        elif self.sender.blocked(entry, 0, 200) is None:
            self.ends.remove(entry)
            self.sender.send(entry, Parts(0, self.MARKER))


def newcomer(seed: int) -> int:
    """How many bytes leave between its `send` and its first byte?"""
    rng = random.Random(seed)
    load = Newcomer([rng.choice(SIZES) for _ in range(rng.randint(1, 4))], rng.randint(0, 2))
    load.prepare()
    for entry in load.ends:
        load.offer(entry)
    for _ in range(rng.randint(20, 100)):
        load.round()
    load.ends.append(load.late)
    load.offer(load.late)
    ahead = 0
    for _ in range(20):
        data = load.write()
        if load.MARKER in data:
            return ahead + data.index(load.MARKER)
        ahead += len(data)
        load.reader.receive(data)
    raise AssertionError("the newcomer's message does not leave")
