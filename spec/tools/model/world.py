"""Two machines and what their applications do at random, and what must come of it."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from libchan.proto import frames
from libchan.proto.entries import RecvEntry, SendEntry, StreamEntry
from libchan.proto.errors import OpenError, Reason
from libchan.proto.limits import Limits
from libchan.proto.machine import Machine
from libchan.proto.messages import Parts

from .audit import audit, finished, outstanding

SIZES = [0, 3, 200, 300, 2000, 40_000]
#: A trace context and a deadline: what is in the headers is nobody's business here.
HEADERS = [b"", b"", b"", b"\x01\x03abc", b"\x02\x08" + bytes(8)]


class World:
    """What was sent and said, by the numbers of channels, messages and streams."""

    def __init__(self) -> None:
        self.channels = 0
        self.messages: dict[int, tuple[Any, list[Any], int, bytes, str]] = {}
        #: The last message that arrived on each channel.
        self.last: dict[Any, int] = {}
        self.streams: list[dict[str, bytearray]] = []
        #: The codes with which applications have ended channels, and directions of streams.
        self.said: dict[Any, set[int]] = {}
        self.counts: Counter[str] = Counter()

    def channel(self) -> int:
        self.channels += 1
        return self.channels

    def stream(self) -> int:
        self.streams.append({"dialer": bytearray(), "acceptor": bytearray()})
        return len(self.streams) - 1

    def arrived(self, channel: Any, number: int) -> None:
        assert number > self.last.get(channel, -1), "out of order, or twice"
        self.last[channel] = number
        self.counts["arrived"] += 1

    def check_end(self, channel: Any, code: int) -> None:
        """A clean end, or one with an application's code, that a receiver sees: did somebody say it?"""
        if channel is not None and (code == 0 or code >= 256):
            assert code in self.said.get(channel, ()), f"an end with code {code} that nobody has said"


def make_limits(rng: random.Random) -> Limits:
    """Tight ones, so that each is met."""
    return Limits(
        max_channels=rng.choice([6, 30, 60]),
        session_memory=rng.choice([200_000, 600_000, 2_000_000]),
        max_message=45_000,
        max_attachments=rng.choice([4, 12]),
        initial_window=rng.choice([512, 512, 2048]),
        stream_window=600,
        max_window=rng.choice([512, 8192, 100_000]),
    )


class Side:
    """A machine and an application that does things at random."""

    def __init__(self, dialer: bool, rng: random.Random, world: World, limits: Limits) -> None:
        self.machine = Machine(dialer, limits, (0,), (), 0.0)
        self.rng, self.world = rng, world
        self.name, self.other = ("dialer", "acceptor") if dialer else ("acceptor", "dialer")
        self.wire = bytearray()
        #: Whether it knows what a message will cost before it starts one.
        self.knows_cost = rng.random() < 0.5
        #: Whether its receives are given up at times.
        self.gives_up = rng.random() < 0.5
        self._seen: set[Any] = set()
        self.left: set[Any] = set()

    # ---- a step

    def act(self) -> None:
        rng, machine = self.rng, self.machine
        self.look_at_events(0.9)
        if rng.random() < 0.1:
            self._open()
        entries = list(machine.entries.open.values())
        self._look(entries)
        for entry in rng.sample(entries, min(4, len(entries))):
            if entry.finished:
                continue
            if isinstance(entry, SendEntry):
                self._send(entry)
            elif isinstance(entry, RecvEntry):
                self._receive(entry)
            else:
                self._stream(entry)

    def look_at_events(self, accepts: float) -> None:
        while self.machine.events:
            event = self.machine.events.popleft()
            if event.kind == "opened" and self.rng.random() < accepts:
                self.machine.accept(event.entry)
            elif event.kind == "rejected":
                # It came in a message that was dropped, though its own messages may have been taken.
                self.left.add(event.entry)

    def _open(self) -> None:
        try:
            self.machine.open("x", self.rng.choice([0, 1, 3, 64])).user = self.world.channel()
        except OpenError:
            self.world.counts["over a limit"] += 1

    def _look(self, entries: list[Any]) -> None:
        """Ends that nobody has said, and finished entries that hold something."""
        self._seen.update(entries)
        for entry in list(self._seen):
            if entry.finished:
                finished(entry)
                self._seen.discard(entry)
            elif isinstance(entry, StreamEntry):
                self.check_stream(entry)
            if isinstance(entry, RecvEntry) and entry.closed and entry not in self.left:
                self.world.check_end(entry.user, entry.close_reason.code)

    def check_stream(self, entry: StreamEntry) -> None:
        # END with code 0 is also the answer to STOP.
        if entry.ended is not None and entry.stop is None and entry.user is not None:
            self.world.check_end(("stream", entry.user, self.other), entry.ended.code)

    def audit(self) -> None:
        audit(self.machine)

    def output(self) -> bytearray:
        """What the machine writes now. It orders no message that no receive waits for."""
        asked = [entry for entry in self.machine.entries.open.values() if isinstance(entry, RecvEntry)]
        before = {entry: outstanding(entry) for entry in asked if entry.serves_demand()}
        out = bytearray()
        for chunk in self.machine.output():
            out += chunk.data
        for entry, ordered in before.items():
            assert outstanding(entry) <= max(ordered, entry.waiting), "more was ordered than receives wait"
        return out

    # ---- sending

    def close(self, entry: SendEntry, scope: int = 0, code: int = 0) -> None:
        if entry.closing is None and entry.user is not None:
            self.world.said.setdefault(entry.user, set()).add(code)
        self.machine.close(entry, scope, Reason(code))

    def _send(self, entry: SendEntry) -> None:
        rng, machine, world = self.rng, self.machine, self.world
        if entry.user is not None and rng.random() < 0.03:
            self.close(entry, rng.randint(0, 1), rng.choice([0, 0, 41, 300]))
        if entry.large and entry.closing is None and entry.user is not None and rng.random() < 0.1:
            # It cuts the message: that this port's `close` waits for it is a choice.
            machine._drop_large(entry)
            self.world.counts["cut"] += 1
            self.close(entry, rng.randint(0, 1), 300)
        if not entry.sole and rng.random() < 0.02:
            # Its competitors have gone.
            entry.sole = True
        size, headers = rng.choice(SIZES), rng.choice(HEADERS)
        cost = 32 + 16 * 3 + len(headers) + 8 + size if self.knows_cost else 32
        why = machine.blocked(entry, 0, cost)
        if why is not None or entry.user is None:
            world.counts[f"blocked by {why}"] += why is not None
            return
        if not self.knows_cost and machine.blocked(entry, 0, entry.floor) is not None:
            return
        order, tags = self._ends(), []
        tags = [made.user for made in order]
        home = self._home(entry)
        if home is not None:
            order.append(home)
            tags.append(("home", home.id))
        number = len(world.messages)
        world.messages[number] = (entry.user, tags, size, headers, self.name)
        world.counts["sent"] += 1
        ids = {home.id} if home is not None else set()
        parts = Parts(0, number.to_bytes(8, "big") + b"." * size, order, 0, ids, headers)
        world.counts["split"] += parts.charge() > entry.credit
        machine.send(entry, parts)
        if home is not None and rng.random() < 0.5:
            self.close(home)

    def _ends(self) -> list[Any]:
        rng, order = self.rng, []
        for _ in range(rng.choice([0, 0, 0, 1, 2])):
            kind = rng.randint(1, 3)
            capacity = rng.choice([0, 1, 4]) if kind < 3 else 0
            try:
                made = self.machine.allocate(kind, capacity, rng.random() < 0.3, rng.randint(0, 1))
            except OpenError:
                self.world.counts["over a limit"] += 1
                break
            made.user = self.world.stream() if kind == 3 else self.world.channel()
            order.append(made)
        return order

    def _home(self, carrier: SendEntry) -> SendEntry | None:
        """A sending end that goes home in this message."""
        if self.rng.random() >= 0.05:
            return None
        able = [entry for entry in self.machine.entries.open.values() if isinstance(entry, SendEntry)]
        able = [e for e in able if e is not carrier and e.user is not None and e.announced and not e.large]
        able = [e for e in able if e.closing is None and e.cancelled is None]
        if not able:
            return None
        self.world.counts["came home"] += 1
        return self.rng.choice(able)

    # ---- receiving

    def cancel(self, entry: RecvEntry, scope: int = 0, code: int = 0) -> None:
        self.left.add(entry)
        self.machine.cancel(entry, scope, Reason(code))

    def _receive(self, entry: RecvEntry) -> None:
        rng, machine = self.rng, self.machine
        if rng.random() < 0.02:
            self.world.counts["cancelled"] += 1
            self.cancel(entry, rng.randint(0, 1), rng.choice([0, 32]))
            return
        if rng.random() < 0.5:
            machine.want(entry, rng.randint(0 if self.gives_up else 1, 3))
        if rng.random() < 0.2 or (entry.opening and not entry.accepted):
            return
        parcel = machine.next_parcel(entry)
        if parcel is not None:
            self.take(entry, parcel, claim=True)

    def take(self, entry: RecvEntry, parcel: Any, claim: bool) -> None:
        """A message: is it the right one, on the right channel, with all that it carried?"""
        rng, machine, world = self.rng, self.machine, self.world
        number = int.from_bytes(parcel.payload[:8], "big")
        channel, tags, size, headers, sender = world.messages[number]
        assert sender == self.other and len(parcel.payload) == 8 + size and parcel.headers == headers
        if entry.user is None:
            # A named channel: the first message says which it is.
            entry.user = channel
        assert entry.user == channel, "a message on another channel"
        world.arrived(channel, number)
        assert len(tags) == len(parcel.attachments)
        for attachment, tag in zip(parcel.attachments, tags, strict=True):
            if attachment.kind == frames.SENDER_HOME:
                assert attachment.entry.id == tag[1]
                self.left.update(event.entry for event in machine.events if event.kind == "rejected")
                assert not attachment.entry.finished or attachment.entry in self.left, "its channel has ended before"
                machine.release_hold(attachment.entry)
            elif not claim or rng.random() < 0.2:
                self.left.add(attachment.entry)
                machine.reject(attachment)
            else:
                attachment.entry.user = tag
                if attachment.kind == frames.RECEIVER:
                    machine.accept(attachment.entry)
        machine.taken(entry, 1, parcel.charge)

    def _stream(self, entry: StreamEntry) -> None:
        rng, machine, world = self.rng, self.machine, self.world
        if entry.user is None:
            return
        if entry.finish is None and entry.stopped is None:
            data = rng.randbytes(rng.choice([1, 100, 5000]))
            world.streams[entry.user][self.name].extend(data[: machine.stream_send(entry, data)])
            if rng.random() < 0.05:
                self.finish(entry, rng.choice([0, 300]))
        self.read(entry, rng.choice([1, 50, 10_000]))
        if rng.random() < 0.02:
            machine.stream_stop(entry)

    def finish(self, entry: StreamEntry, code: int = 0) -> None:
        if entry.finish is None:
            world, key = self.world, ("stream", entry.user, self.name)
            world.said.setdefault(key, set()).add(code)
        self.machine.stream_finish(entry, Reason(code))

    def read(self, entry: StreamEntry, most: int) -> None:
        data = self.machine.stream_recv(entry, most)
        if entry.user is not None:
            written = self.world.streams[entry.user][self.other]
            assert data == bytes(written[: len(data)]), "other bytes than were written"
            del written[: len(data)]
        self.world.counts["stream bytes"] += len(data)

    # ---- towards an end

    def drain(self) -> None:
        """Everything that has arrived is taken."""
        machine = self.machine
        self.look_at_events(1)
        for entry in list(machine.entries.open.values()):
            if isinstance(entry, RecvEntry) and not entry.cancelled:
                machine.accept(entry)
                machine.want(entry, 1)
                while parcel := machine.next_parcel(entry):
                    self.take(entry, parcel, claim=False)
            elif isinstance(entry, StreamEntry):
                self.read(entry, 10**9)

    def stuck(self) -> Any:
        """An end that should be able to send and is not, though everything is read; None if there is none."""
        for entry in self.machine.entries.open.values():
            if isinstance(entry, SendEntry) and entry.announced and not entry.cancelled:
                if entry.large or (not entry.closing and not entry.has_room()):
                    return entry
            elif isinstance(entry, StreamEntry) and entry.announced and entry.unsent and not entry.stopped:
                return entry
        return None

    def settle(self) -> None:
        """Everything is ended."""
        machine = self.machine
        for entry in list(machine.entries.open.values()):
            if isinstance(entry, SendEntry):
                self.close(entry)
                if not entry.announced:
                    machine.abandon(entry)
            elif isinstance(entry, RecvEntry):
                self.cancel(entry)
            else:
                self.finish(entry)
                machine.stream_stop(entry)
