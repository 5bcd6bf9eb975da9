"""A peer that sends what it likes, nearly right: the sums stay right, memory stays bounded, and nothing raises."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any

from libchan.proto import frames
from libchan.proto.entries import WRAP, RecvEntry, SendEntry, StreamEntry
from libchan.proto.errors import OpenError, Reason
from libchan.proto.limits import Limits
from libchan.proto.machine import Machine
from libchan.proto.messages import Parts

from .audit import audit


def hostile(seed: int, steps: int = 200) -> Counter[str]:
    """Plays one peer; returns what happened, counted."""
    rng = random.Random(seed)
    eager = rng.choice([0.02, 0.3, 0.5])
    limits = Limits(
        max_channels=rng.choice([20, 50, 500]),
        session_memory=rng.choice([200_000, 1_000_000]),
        max_message=40_000,
        initial_window=512,
        stream_window=512,
        max_attachments=8,
    )
    machine = established(limits)
    seen: Counter[str] = Counter()
    for _ in range(steps):
        data = bytearray(frames.encode(good_frame(rng, machine)))
        if rng.random() < 0.002:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        cut = rng.randrange(len(data) + 1)
        machine.receive(bytes(data[:cut]))
        machine.receive(bytes(data[cut:]))
        _use(machine, rng, eager)
        if machine.over:
            seen[f"ended with {machine.over.code}"] += 1
            break
        audit(machine)
        seen["steps"] += 1
    return seen


def established(limits: Limits) -> Machine:
    machine, other = Machine(True, limits), Machine(False, limits)
    for chunk in other.output():
        machine.receive(bytes(chunk.data))
    machine.output()
    return machine


def _free(machine: Machine, above: int = 0) -> int:
    return next(id for id in range(1, 100_000, 2) if id > above and id not in machine.entries.open)


def good_frame(rng: random.Random, machine: Machine) -> frames.Frame:
    """A frame that a peer may well send now."""
    entries = list(machine.entries.open.values())
    entry = rng.choice(entries) if entries and rng.random() < 0.9 else None
    reason = Reason(rng.choice([0, 0, 1, 35, 300]))
    opening = frames.Open(_free(machine), rng.choice([0, 1, 4, 64]), "x", ())
    if isinstance(entry, RecvEntry) and not entry.closed:
        return _to_receiver(rng, machine, entry, reason) or opening
    if isinstance(entry, SendEntry) and entry.cancelled is None:
        if rng.random() < 0.2:
            return frames.Cancel(entry.id, rng.randint(0, 1), 0, reason)
        return frames.Credit(entry.id, 0, rng.randint(0, 2), rng.randint(1, 1000))
    if isinstance(entry, StreamEntry):
        data = os.urandom(rng.choice([1, 3, 100, 300]))[: max(1, entry.window.left)]
        if entry.ended is None and rng.random() < 0.6:
            return frames.Data(entry.id, data) if rng.random() < 0.8 else frames.End(entry.id, reason)
        if entry.stopped is None and rng.random() < 0.3:
            return frames.Stop(entry.id, reason)
        return frames.Credit(entry.id, 0, 0, rng.randint(1, 1000))
    return opening


def _to_receiver(rng: random.Random, machine: Machine, entry: RecvEntry, reason: Reason) -> frames.Frame | None:
    payload = os.urandom(rng.choice([0, 1, 3, 100, 300, 3000]))
    if entry.partial and not entry.cancelled:
        rest = entry.partial.total - len(entry.partial.payload)
        size = min(rest, entry.window.left, 1 + len(payload))
        return frames.Fragment(entry.id, size < rest, b"y" * size) if size else None
    if rng.random() < 0.03:
        return frames.Close(entry.id, rng.randint(0, 1), reason)
    ahead = (entry.wanted - entry.arrived) & WRAP
    allowed = entry.room_left() > 0 or 0 < ahead <= WRAP // 2
    if not entry.cancelled and not allowed and rng.random() < 0.999:
        return None
    rows, flags, headers = _table(rng, machine, entry), 0, b""
    if rng.random() < 0.2:
        headers = b"\x05\x04junk"
    flags = (frames.ATTACHMENTS if rows else 0) | (frames.HEADERS if headers else 0)
    fixed = 32 + 16 * len(rows) + len(headers)
    if fixed + len(payload) <= entry.window.left or entry.cancelled:
        return frames.Message(entry.id, flags, 0, rows, None, payload, headers)
    if entry.window.left <= fixed:
        return None
    part = b"x" * (entry.window.left - fixed)
    return frames.Message(entry.id, flags | frames.MORE, 0, rows, rng.choice([5000, 40_000]), part, headers)


def _table(rng: random.Random, machine: Machine, entry: RecvEntry) -> tuple[frames.Entry, ...]:
    rows: list[frames.Entry] = []
    id = 0
    for _ in range(rng.randint(1, 6) if rng.random() < 0.5 else 0):
        kind = rng.choice([1, 1, 2, 3, 5])
        if kind == frames.SENDER_HOME:
            rows.append(frames.Entry(kind, entry.id))
            continue
        id = _free(machine, id)
        capacity = 0 if kind == frames.STREAM else rng.choice([0, 4])
        rows.append(frames.Entry(kind, id, capacity, int(kind == frames.RECEIVER and capacity == 0)))
    return tuple(rows)


def _use(machine: Machine, rng: random.Random, eager: float) -> None:
    """The application: takes, gives up, sends."""
    for event in list(machine.events):
        if event.kind == "opened" and rng.random() < 0.8:
            machine.accept(event.entry)
    machine.events.clear()
    for entry in list(machine.entries.open.values()):
        if isinstance(entry, RecvEntry):
            _use_receiver(machine, rng, eager, entry)
        elif isinstance(entry, StreamEntry):
            if rng.random() < eager:
                machine.stream_recv(entry, 200)
                machine.stream_send(entry, b"z" * rng.randrange(1, 500))
            if rng.random() < 0.05:
                machine.stream_finish(entry)
                machine.stream_stop(entry)
        else:
            _use_sender(machine, rng, entry)
    machine.output()


def _use_receiver(machine: Machine, rng: random.Random, eager: float, entry: RecvEntry) -> None:
    if rng.random() < 0.3:
        machine.want(entry, rng.randint(0, 3))
    parcel = machine.next_parcel(entry) if rng.random() < eager else None
    if parcel:
        if rng.random() < 0.5:
            machine.reject_all(parcel.attachments)
        machine.taken(entry, 1, parcel.charge)
    if rng.random() < 0.02:
        machine.cancel(entry)


def _use_sender(machine: Machine, rng: random.Random, entry: SendEntry) -> None:
    if rng.random() < 0.02:
        machine.close(entry)
    if machine.blocked(entry, 0, entry.floor) is not None or rng.random() < 0.5:
        return
    order: list[Any] = []
    if rng.random() < 0.3:
        try:
            order.append(machine.allocate(rng.randint(1, 3), rng.choice([1, 4])))
        except OpenError:
            pass
    machine.send(entry, Parts(0, b"p" * rng.choice([0, 10, 500, 5000]), order))
