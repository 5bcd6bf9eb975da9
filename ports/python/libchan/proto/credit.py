"""Window arithmetic: what a receiver has granted in bytes and what it owes, and what a session may hold.

At every moment ``left + held <= size + extra``: what the sender may still send, and what it has sent that nobody took.
"""

from __future__ import annotations

from .limits import Limits

#: Windows below this grow with the first half that was taken: a small one would cost a grant every few messages.
EAGER = 16 * 1024


class Window:
    """The receiving side of a byte window."""

    __slots__ = ("size", "left", "held", "extra", "floor", "exhausted")

    def __init__(self, size: int, floor: int) -> None:
        self.size = size
        #: What the sender has left as far as this side knows.
        self.left = size
        self.held = 0
        #: Added for the one large message that is arriving or waits.
        self.extra = 0
        #: With less than this left a sender may stand still.
        self.floor = floor
        #: The sender has used up its credit since the window last grew.
        self.exhausted = False

    def arrive(self, charge: int) -> bool:
        """False: it was not granted."""
        if charge > self.left:
            return False
        self.left -= charge
        self.held += charge
        self.exhausted |= self.left < self.floor
        return True

    def taken(self, charge: int) -> int:
        """``charge`` bytes were taken. Returns what was added for them and is free again."""
        self.held -= charge
        freed = self.extra if self.left + self.held <= self.size else 0
        self.extra -= freed
        return freed

    def wants_growth(self) -> bool:
        """The reader keeps up, and the sender ran out or the window is small and in use."""
        in_use = self.size < EAGER and self.owed() >= self.size // 2
        return (self.exhausted or in_use) and self.held <= self.size // 2

    def grow(self, count: int) -> None:
        self.size += count
        self.exhausted = False

    def owed(self) -> int:
        return self.size + self.extra - self.left - self.held

    def is_due(self) -> bool:
        """Whether half of the window is owed, or anything and the sender may stand still (CR-10)."""
        owed = self.owed()
        return owed > 0 and (owed >= self.size // 2 or self.left < self.floor)

    def grant(self) -> int:
        owed = max(0, self.owed())
        self.left += owed
        return owed


class Opened:
    """What one side has opened: so many, with so much in first windows. Both sides count both (CR-18)."""

    __slots__ = ("count", "bytes")

    def __init__(self) -> None:
        self.count = self.bytes = 0

    def add(self, charge: int, sign: int = 1) -> None:
        self.count += sign
        self.bytes += sign * charge

    def has_memory(self, charge: int, limits: Limits) -> bool:
        return self.bytes + charge <= limits.session_memory // 4


class Pool:
    """What this side holds beyond first windows: a quarter of the memory for grown ones, a quarter for large
    messages."""

    __slots__ = ("quarter", "growth", "extra")

    def __init__(self, limit: int) -> None:
        self.quarter = limit // 4
        self.growth = 0
        self.extra = 0

    def grow(self, size: int, most: int) -> int:
        """How much a window of ``size`` may grow: fourfold, at most half of what is free."""
        free = max(0, self.quarter - self.growth)
        grown = min(max(0, min(size * 4, most) - size), free // 2)
        self.growth += grown
        return grown

    def reserve(self, count: int) -> bool:
        """Sets aside for a large message, if there is room. One alone always fits: V covers its fixed part."""
        fits = self.extra + count <= self.quarter
        self.extra += count if fits else 0
        return fits
