"""Whose turn it is to write: what several channels and streams have ready leaves in turns by bytes (MO-05).

There is one line of those that have something to send and could not write it at once. A turn is `TURN` bytes, whatever
is sent: small messages, fragments, DATA. One that stands alone may go on until the output is full. What has not written
since the last round goes before those that have.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Deque, Union

from .entries import SendEntry, StreamEntry, Turn
from .events import WRITABLE, Event

if TYPE_CHECKING:
    from .machine import Machine

#: What one may write before it is another's turn, in bytes.
TURN = 16 * 1024
#: Output from which on everybody waits for a turn, in bytes.
FILL = 64 * 1024

Writer = Union[SendEntry, StreamEntry]


class Line:
    """Those that wait for their turn."""

    __slots__ = ("first", "rest", "round", "left", "contended", "fills")

    def __init__(self) -> None:
        #: Those that have not written in this round.
        self.first: Deque[Writer] = deque()
        self.rest: Deque[Writer] = deque()
        self.round = 0
        #: Turns until the next round.
        self.left = 0
        #: Whether more than one waited when turns were last given.
        self.contended = False
        #: How often turns were given.
        self.fills = 0

    def __len__(self) -> int:
        return len(self.first) + len(self.rest)

    def add(self, entry: Writer) -> None:
        entry.turn.waits = True
        (self.rest if entry.turn.round == self.round else self.first).append(entry)

    def next(self, same_round: bool) -> Writer | None:
        """Whose turn it is, of those that have written before; None: nobody's in the same round."""
        if self.left == 0:
            if same_round or not self.rest:
                return None
            self.round += 1
            self.left = len(self.rest)
        self.left -= 1
        return self.rest.popleft()

    def clear(self) -> None:
        self.first.clear()
        self.rest.clear()
        self.left = 0


class TurnRules:
    """Part of `Machine`."""

    def _may_write(self: Machine, entry: Writer) -> bool:
        """Whether it may write now. False: it stands in line, and its turn comes in `output`."""
        if entry.turn.waits:
            return False
        line, allowed = self._line, self._allowance(entry.turn) > 0
        if self._size < FILL and (allowed or not line.contended):
            return True
        if allowed and entry.turn.told == line.fills:
            return True
        line.add(entry)
        return False

    def _allowance(self: Machine, turn: Turn) -> int:
        return turn.left if turn.round == self._line.round else min(TURN, turn.left + TURN)

    def _most(self: Machine, entry: Writer) -> int:
        """How long a frame it may write now, once `_may_write` allows one."""
        room = self._allowance(entry.turn) if self._line.contended else FILL
        return min(self.limits.max_frame, max(room, 1))

    def _write_turn(self: Machine, entry: Writer, data: bytes, descriptors: list[int] | None = None) -> None:
        """Writes on the entry's turn."""
        turn = entry.turn
        left = self._allowance(turn) - len(data)
        # What one alone has written is not held against it when others come.
        turn.left = left if self._line.contended else max(left, 0)
        turn.round = self._line.round
        self._write(data, descriptors)

    def _take_turns(self: Machine) -> None:
        """Fills the output from the line. Who sends small messages is told that its turn has come, and writes before
        the next output: newcomers before all others, and nobody has a second turn meanwhile."""
        line = self._line
        line.contended = len(line) > 1
        line.fills += 1
        # Room is kept for those that were told.
        told = 0
        while line.first and self._size + told * TURN < FILL:
            told += self._take_turn(line.first.popleft())
        newcomers = told > 0
        while self._size + told * TURN < FILL and not newcomers:
            entry = line.next(told > 0)
            if entry is None:
                break
            told += self._take_turn(entry)
        if not line.rest:
            line.round += 1
            line.left = 0

    def _take_turn(self: Machine, entry: Writer) -> bool:
        """True: it was told that it may write."""
        turn, line = entry.turn, self._line
        turn.waits = False
        turn.left, turn.round = self._allowance(turn), line.round
        if turn.left <= 0:
            line.add(entry)
        elif isinstance(entry, StreamEntry):
            self._push_stream(entry)
        elif entry.large:
            self._push_large(entry)
            if entry.large is None and not entry.closed:
                # The rest of the turn is for what it sends next.
                turn.told = line.fills
                return True
        else:
            turn.told = line.fills
            self.events.append(Event(WRITABLE, entry))
            return True
        return False
