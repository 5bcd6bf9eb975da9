"""What must hold of a machine after every step: each sum that it keeps is computed again from its entries."""

from __future__ import annotations

from typing import Any

from libchan.proto.entries import WRAP, Parcel, RecvEntry, SendEntry, StreamEntry
from libchan.proto.machine import Machine


def audit(machine: Machine) -> None:
    """Raises `AssertionError` where a sum, a bound or a state is wrong."""
    entries = list(machine.entries.open.values())
    recvs = [entry for entry in entries if isinstance(entry, RecvEntry)]
    sends = [entry for entry in entries if isinstance(entry, SendEntry)]
    streams = [entry for entry in entries if isinstance(entry, StreamEntry)]
    _budgets(machine, entries)
    _memory(machine, recvs, streams)
    for entry in recvs:
        _window(entry)
    assert machine.pending_accepts == sum(entry.opening is not None for entry in recvs), "pending accepts"
    assert machine._large_open == sum(entry.large is not None for entry in sends), "large messages on their way out"
    for entry in machine._awaited:
        assert entry.partial and entry.waiting and not entry.inbox, (
            "in the line for memory, and no receive waits for it"
        )
        assert not entry.finished, "in the line for memory, and finished"


def _budgets(machine: Machine, entries: list[Any]) -> None:
    limits = machine.limits
    for opened, own in ((machine.opened_here, True), (machine.opened_there, False)):
        mine = [entry for entry in entries if entry.own == own]
        first = sum(limits.stream_window if isinstance(e, StreamEntry) else limits.initial_window for e in mine)
        assert (opened.count, opened.bytes) == (len(mine), first), "what one side has opened"
        assert opened.count <= limits.max_channels and opened.bytes <= limits.session_memory // 4, "a budget is passed"


def _memory(machine: Machine, recvs: list[RecvEntry], streams: list[StreamEntry]) -> None:
    limits = machine.limits
    grown = sum(entry.window.size - limits.initial_window for entry in recvs)
    grown += sum(entry.window.size - limits.stream_window for entry in streams)
    assert machine.ours.growth == grown, "memory of grown windows"
    assert machine.ours.extra == sum(entry.window.extra for entry in recvs), "memory of large messages"
    assert max(machine.ours.growth, machine.ours.extra) <= limits.session_memory // 4, "more than a quarter"
    assert held(machine) <= limits.session_memory, "more is held than session_memory"


def held(machine: Machine) -> int:
    """Bytes of the peer that this side keeps, by looking at each of them."""
    total = 0
    for entry in machine.entries.open.values():
        if isinstance(entry, RecvEntry):
            total += sum(_charge(parcel) for parcel in entry.inbox)
            total += len(entry.partial.payload) if entry.partial else 0
        elif isinstance(entry, StreamEntry):
            total += len(entry.arrived)
    return total


def _charge(parcel: Parcel) -> int:
    """What a message costs, by the text."""
    return 32 + 16 * len(parcel.attachments) + len(parcel.headers) + len(parcel.payload)


def _window(entry: RecvEntry) -> None:
    window = entry.window
    assert window.left >= 0, "credit below nothing"
    if entry.cancelled:
        assert not entry.inbox and entry.partial is None, "cancelled, and holds messages that nobody counts"
        return
    if not entry.closed:
        assert window.left + window.held <= window.size + window.extra, "more is granted than there is memory for"
    kept = sum(_charge(parcel) for parcel in entry.inbox) + (len(entry.partial.payload) if entry.partial else 0)
    assert kept <= window.held, "more is kept than was counted"


def outstanding(entry: RecvEntry) -> int:
    """Messages that were ordered, or are there, and that no receive has taken."""
    ahead = (entry.wanted - entry.arrived) & WRAP
    return len(entry.inbox) + (ahead if ahead <= WRAP // 2 else 0)


def finished(entry: Any) -> None:
    """An entry whose id is free holds nothing: its memory is counted nowhere."""
    if isinstance(entry, RecvEntry):
        assert not entry.inbox and entry.partial is None, "finished, and holds messages that nobody counts"
    elif isinstance(entry, StreamEntry):
        assert not entry.arrived, "finished, and holds bytes that nobody counts"
