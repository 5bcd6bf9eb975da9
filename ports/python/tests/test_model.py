"""Two machines and random applications: what was sent arrives, in order, once, and nothing is left over at the end."""

import os
import random
import unittest

from libchan.proto import frames
from libchan.proto.entries import RecvEntry, SendEntry, StreamEntry
from libchan.proto.errors import OpenError
from libchan.proto.limits import Limits
from libchan.proto.machine import Machine
from libchan.proto.messages import Parts


def audit(machine):
    """Recomputes every sum that a machine keeps."""
    entries = list(machine.entries.open.values())
    recvs = [entry for entry in entries if isinstance(entry, RecvEntry)]
    sends = [entry for entry in entries if isinstance(entry, SendEntry)]
    streams = [entry for entry in entries if isinstance(entry, StreamEntry)]
    channel, stream = 2 * machine.limits.initial_window, machine.limits.stream_window
    assert machine.ours.base == channel * len(recvs) + stream * len(streams)
    assert machine.theirs.base == channel * len(sends) + stream * len(streams)
    grown = sum(entry.window.size for entry in recvs + streams)
    assert machine.ours.growth == grown - machine.limits.initial_window * len(recvs) - stream * len(streams)
    assert machine.ours.extra == sum(entry.window.extra for entry in recvs), "memory of announced messages"
    assert machine.pending_accepts == sum(entry.opening is not None for entry in recvs)
    assert machine._large_open == sum(entry.large is not None for entry in sends)
    assert all(entry.window.left + entry.window.held <= entry.window.size + entry.window.extra for entry in recvs)


class Side:
    """A machine and an application that does things at random."""

    def __init__(self, dialer, rng, world):
        limits = Limits(
            max_channels=60, session_memory=2_000_000, max_message=100_000, initial_window=256, stream_window=300
        )
        self.machine = Machine(dialer, limits, (0,), (), 0.0)
        self.rng, self.world = rng, world
        self.name = "dialer" if dialer else "acceptor"
        self.wire = bytearray()

    def act(self):
        rng, machine = self.rng, self.machine
        for event in list(machine.events):
            if event.kind == "opened":
                machine.accept(event.entry)
        machine.events.clear()
        if rng.random() < 0.1:
            try:
                machine.open("x", rng.choice([0, 1, 3, 64])).user = self.world.channel()
            except OpenError:
                pass
        entries = list(machine.entries.open.values())
        for entry in rng.sample(entries, min(4, len(entries))):
            if entry.finished:
                continue
            if isinstance(entry, SendEntry):
                self.send(entry)
            elif isinstance(entry, RecvEntry):
                self.receive(entry)
            else:
                self.stream(entry)

    def send(self, entry):
        rng, machine = self.rng, self.machine
        if rng.random() < 0.03:
            machine.close(entry, rng.randint(0, 1))
        if machine.blocked(entry) is not None or entry.user is None:
            return
        order, tags = [], []
        for _ in range(rng.choice([0, 0, 0, 1, 2])):
            kind = rng.randint(1, 3)
            try:
                made = machine.allocate(kind, rng.choice([0, 1, 4]) if kind < 3 else 0, rng.random() < 0.3)
            except OpenError:
                break
            made.user = self.world.stream() if kind == 3 else self.world.channel()
            order.append(made)
            tags.append(made.user)
        size = rng.choice([0, 3, 200, 300, 2000, 40_000])
        number = self.world.sent(entry.user, tags, size)
        machine.send(entry, Parts(0, number.to_bytes(8, "big") + b"." * size, order))

    def receive(self, entry):
        rng, machine = self.rng, self.machine
        if rng.random() < 0.02:
            machine.cancel(entry, rng.randint(0, 1))
            return
        machine.want(entry, rng.randint(0, 3) if rng.random() < 0.5 else 1)
        if rng.random() < 0.2:
            return
        parcel = machine.next_parcel(entry)
        if parcel is None:
            return
        number = int.from_bytes(parcel.payload[:8], "big")
        channel, tags, size = self.world.messages[number]
        assert len(parcel.payload) == 8 + size
        if entry.user is None:
            # A named channel: the first message says which it is.
            entry.user = channel
        assert entry.user == channel, "a message on another channel"
        self.world.arrived(channel, number)
        assert len(tags) == len(parcel.attachments)
        for attachment, tag in zip(parcel.attachments, tags, strict=True):
            if rng.random() < 0.2:
                machine.reject(attachment)
                continue
            attachment.entry.user = tag
            if attachment.kind == frames.RECEIVER:
                machine.accept(attachment.entry)
        machine.taken(entry, 1, parcel.charge)

    def stream(self, entry):
        rng, machine = self.rng, self.machine
        if entry.user is None:
            return
        ours = self.world.direction(entry.user, self.name)
        theirs = self.world.direction(entry.user, "acceptor" if self.name == "dialer" else "dialer")
        if entry.finish is None and entry.stopped is None:
            data = rng.randbytes(rng.choice([1, 100, 5000]))
            ours.extend(data[: machine.stream_send(entry, data)])
            if rng.random() < 0.05:
                machine.stream_finish(entry)
        read = machine.stream_recv(entry, rng.choice([1, 50, 10_000]))
        assert read == bytes(theirs[: len(read)]), "other bytes than were written"
        del theirs[: len(read)]
        if rng.random() < 0.02:
            machine.stream_stop(entry)

    def drain(self):
        """Everything that has arrived is taken."""
        for entry in list(self.machine.entries.open.values()):
            if isinstance(entry, RecvEntry) and not entry.cancelled:
                self.machine.want(entry, 1)
                while parcel := self.machine.next_parcel(entry):
                    self.machine.reject_all(parcel.attachments)
                    self.machine.taken(entry, 1, parcel.charge)
            elif isinstance(entry, StreamEntry):
                self.machine.stream_recv(entry, 10**9)

    def stuck(self):
        """Ends that should be able to send and are not: nothing is read too slowly any more."""
        for entry in self.machine.entries.open.values():
            if isinstance(entry, SendEntry) and entry.announced and not entry.cancelled:
                if entry.large or (not entry.closing and not entry.has_room() and (entry.sole or entry.capacity == 0)):
                    yield entry
            elif isinstance(entry, StreamEntry) and entry.announced and entry.unsent and not entry.stopped:
                yield entry

    def settle(self):
        """Everything is ended."""
        for entry in list(self.machine.entries.open.values()):
            if isinstance(entry, SendEntry):
                self.machine.close(entry)
                if not entry.announced:
                    self.machine.abandon(entry)
            elif isinstance(entry, RecvEntry):
                self.machine.cancel(entry)
            else:
                self.machine.stream_finish(entry)
                self.machine.stream_stop(entry)


class World:
    """What should happen."""

    def __init__(self):
        self.channels = 0
        self.messages = {}
        self.last = {}
        self.streams = []

    def channel(self):
        self.channels += 1
        return self.channels

    def stream(self):
        self.streams.append({"dialer": bytearray(), "acceptor": bytearray()})
        return len(self.streams) - 1

    def direction(self, stream, writer):
        return self.streams[stream][writer]

    def sent(self, channel, tags, size):
        number = len(self.messages)
        self.messages[number] = (channel, tags, size)
        return number

    def arrived(self, channel, number):
        assert number > self.last.get(channel, -1), "out of order, or twice"
        self.last[channel] = number


class Model(unittest.TestCase):
    def flow(self, sides, rng, everything):
        """Moves bytes, cut anywhere."""
        moved = False
        for side, other in (sides, sides[::-1]):
            for chunk in side.machine.output():
                side.wire += chunk.data
            size = len(side.wire) if everything else rng.randrange(len(side.wire) + 1)
            moved |= size > 0
            other.machine.receive(bytes(side.wire[:size]))
            del side.wire[:size]
            self.assertIsNone(other.machine.over, other.machine.over)
        return moved

    def test_two_machines(self):
        seed = int(os.environ.get("LIBCHAN_SEED", random.randrange(2**32)))
        print(f"seed {seed}", end=" ", flush=True)
        rng = random.Random(seed)
        total = 0
        for _ in range(10):
            world = World()
            sides = (Side(True, rng, world), Side(False, rng, world))
            while self.flow(sides, rng, True):
                pass
            for _ in range(1000):
                rng.choice(sides).act()
                if rng.random() < 0.6:
                    self.flow(sides, rng, rng.random() < 0.3)
                for side in sides:
                    audit(side.machine)
            total += len(world.last)
            moves = True
            while moves:
                for side in sides:
                    side.drain()
                moves = self.flow(sides, rng, True)
            for side in sides:
                self.assertEqual(next(side.stuck(), None), None)
            for _ in range(4):
                for side in sides:
                    side.settle()
                while self.flow(sides, rng, True):
                    for side in sides:
                        side.settle()
            for side in sides:
                audit(side.machine)
                self.assertEqual(side.machine.entries.open, {})
                side.machine.goodbye()
            while self.flow_goodbye(sides):
                pass
            self.assertEqual([side.machine.over.kind for side in sides], ["closed", "closed"])
        self.assertGreater(total, 100)

    def flow_goodbye(self, sides):
        moved = False
        for side, other in (sides, sides[::-1]):
            for chunk in side.machine.output():
                other.machine.receive(bytes(chunk.data))
                moved = True
        return moved


if __name__ == "__main__":
    unittest.main()
