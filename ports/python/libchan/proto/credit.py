"""Window arithmetic: what a receiver has granted in bytes and what it owes, and the session's memory.

At every moment ``left + held <= size + extra``: what the sender may still send, and what it has sent that nobody took.
"""

from __future__ import annotations

#: Windows below this grow with the first half that was taken: a small one would cost a grant every few messages.
EAGER = 16 * 1024


class Window:
    """The receiving side of a byte window."""

    __slots__ = ("size", "left", "held", "extra", "exhausted")

    def __init__(self, size: int) -> None:
        self.size = size
        #: What the sender has left as far as this side knows; below 0 by less than a first window.
        self.left = size
        self.held = 0
        #: Granted beyond the window, for one large message.
        self.extra = 0
        #: The sender has used up its credit since the window last grew.
        self.exhausted = False

    def arrive(self, charge: int) -> None:
        self.left -= charge
        self.held += charge
        if self.left <= 0:
            self.exhausted = True

    def taken(self, charge: int) -> int:
        """``charge`` bytes were taken. Returns what of the extra grant is no longer needed."""
        self.held -= charge
        over = max(0, self.left + self.held - self.size)
        freed = max(0, self.extra - over)
        self.extra -= freed
        return freed

    def missing(self, remaining: int) -> int:
        """How much a message of which ``remaining`` bytes are to come needs beyond what is granted."""
        return max(0, remaining - self.left)

    def grant_extra(self, count: int) -> None:
        self.extra += count
        self.left += count

    def wants_growth(self) -> bool:
        """The reader keeps up, and the sender ran out or the window is small and in use."""
        in_use = self.size < EAGER and self.owed() >= self.size // 2
        return (self.exhausted or in_use) and self.held <= self.size // 2

    def grow(self, count: int) -> None:
        self.size += count
        self.exhausted = False

    def owed(self) -> int:
        return self.size - self.left - self.held

    def is_due(self) -> bool:
        """Whether half of the window is owed, or anything and the sender has none left (CR-10)."""
        owed = self.owed()
        return owed > 0 and (owed >= self.size // 2 or self.left <= 0)

    def grant(self) -> int:
        owed = max(0, self.owed())
        self.left += owed
        return owed


class Pool:
    """A session's memory: half for first windows, a quarter for grown ones, a quarter for announced messages."""

    __slots__ = ("limit", "kept", "base", "growth", "extra")

    def __init__(self, limit: int, largest: int) -> None:
        self.limit = limit
        #: Kept of the last quarter for a message that a receive waits for.
        self.kept = largest
        self.base = 0
        self.growth = 0
        self.extra = 0

    def fits(self, charge: int) -> bool:
        """Whether this side may open something with this charge (CR-19)."""
        return self.base + charge <= self.limit // 2

    def admits(self, charge: int) -> bool:
        """The same for what the peer has opened: openings may cross, so up to the whole."""
        return self.base + charge <= self.limit

    def grow(self, size: int, most: int) -> int:
        """How much a window of ``size`` may grow: fourfold, at most half of what is free."""
        free = max(0, self.limit // 4 - self.growth)
        grown = min(max(0, min(size * 4, most) - size), free // 2)
        self.growth += grown
        return grown

    def reserve(self, count: int, awaited: bool) -> bool:
        """Sets aside for an announced message, if there is room now. One that nobody waits for leaves room for the
        largest one; one alone that is waited for always fits."""
        total = self.extra + count
        quarter = self.limit // 4
        if awaited:
            fits = self.extra == 0 or total <= quarter
        else:
            fits = total + self.kept <= quarter
        if fits:
            self.extra = total
        return fits
