"""A peer that keeps every rule and takes all that it can get: how much of the memory does it hold in the end?"""

from __future__ import annotations

from typing import Any

from libchan.proto import frames
from libchan.proto.entries import RecvEntry, SendEntry
from libchan.proto.errors import OpenError
from libchan.proto.limits import Limits
from libchan.proto.machine import Machine
from libchan.proto.messages import Parts

from .audit import audit, held


def greedy(large: int) -> float:
    """Fills all four quarters with messages of this size at last; returns what is held, as a part of session_memory."""
    limits = Limits(
        session_memory=200_000,
        max_message=50_000,
        initial_window=512,
        max_window=20_000,
        max_attachments=8,
        max_channels=500,
    )
    victim, peer = Machine(True, limits), Machine(False, limits)

    def flow() -> None:
        moved = True
        while moved:
            moved = False
            for one, other in ((peer, victim), (victim, peer)):
                for chunk in one.output():
                    moved = True
                    other.receive(bytes(chunk.data))
                    assert other.over is None, other.over
            audit(victim)

    flow()
    _open_all(peer)
    flow()
    for event in list(victim.events):
        if event.kind == "opened":
            victim.accept(event.entry)
    _give_reply_channels(victim, peer, flow)
    ends: list[Any] = [e for e in peer.entries.open.values() if isinstance(e, SendEntry) and e.announced]
    for entry in ends[:12]:
        _grow(victim, peer, entry, flow)
    for entry in ends:
        victim.want(victim.entries.open[entry.id], 1)
    for entry in ends[12:20]:
        if peer.blocked(entry, 0, entry.floor) is None:
            peer.send(entry, Parts(0, b"y" * large))
            flow()
    for entry in ends:
        while peer.blocked(entry, 0, 32) is None:
            peer.send(entry, Parts(0, b"z" * min(400, entry.credit - 32)))
            flow()
        victim.want(victim.entries.open[entry.id], 0)
    flow()
    return held(victim) / limits.session_memory


def _open_all(peer: Machine) -> None:
    try:
        while True:
            peer.open("x", 1000)
    except OpenError:
        pass


def _give_reply_channels(victim: Machine, peer: Machine, flow: Any) -> None:
    """The victim sends reply channels until its own budget is used."""
    out = victim.open("mine", 1000)
    flow()
    got = next(entry for entry in peer.entries.open.values() if isinstance(entry, RecvEntry))
    peer.accept(got)
    peer.want(got, 1)
    try:
        while True:
            victim.send(out, Parts(0, b"", [victim.allocate(frames.SENDER, 1000)]))
            flow()
            while parcel := peer.next_parcel(got):
                peer.taken(got, 1, parcel.charge)
            flow()
    except OpenError:
        pass


def _grow(victim: Machine, peer: Machine, entry: SendEntry, flow: Any) -> None:
    """A channel that is read for a while, so that its window grows."""
    recv = victim.entries.open[entry.id]
    assert isinstance(recv, RecvEntry)
    for _ in range(60):
        while peer.blocked(entry, 0, 232) is None:
            peer.send(entry, Parts(0, b"x" * 200))
        flow()
        while parcel := victim.next_parcel(recv):
            victim.taken(recv, 1, parcel.charge)
        flow()
