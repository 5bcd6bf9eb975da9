"""One conversation, cut behind every frame in turn: no clean end after a loss, and nothing is left over."""

from __future__ import annotations

import random

from libchan.proto import codes
from libchan.proto.limits import Limits

from .play import afterwards, start
from .world import Side

PREFACE = 8


class Cut(Exception):
    """The link is lost here."""


def cuts(seed: int, steps: int = 90) -> int:
    """Returns how many frames the conversation has; each was the last one once."""
    frames = 0
    while not _cut_behind(seed, steps, frames):
        frames += 1
    return frames


def _cut_behind(seed: int, steps: int, frames: int) -> bool:
    """True: the conversation is over before so many frames."""
    rng = random.Random(seed)
    limits = Limits(max_channels=30, session_memory=600_000, max_message=45_000, max_attachments=4, initial_window=512)
    _, sides = start(rng, limits)
    left = [frames]
    whole = True
    try:
        _exchange(sides, left)
        for _ in range(steps):
            rng.choice(sides).act()
            _exchange(sides, left)
            for side in sides:
                side.audit()
    except Cut:
        whole = False
    for side in sides:
        side.machine.eof()
        afterwards(side, codes.DISCONNECTED)
    return whole


def _exchange(sides: tuple[Side, Side], left: list[int]) -> None:
    for side, other in (sides, sides[::-1]):
        side.wire += side.output()
        while side.wire:
            preface = side.wire.startswith(b"libchan")
            size = PREFACE if preface else 8 + int.from_bytes(side.wire[:3], "big")
            if left[0] == 0:
                raise Cut
            left[0] -= 1
            other.machine.receive(bytes(side.wire[:size]))
            del side.wire[:size]
            assert other.machine.over is None, f"an honest peer was ended: {other.machine.over}"
