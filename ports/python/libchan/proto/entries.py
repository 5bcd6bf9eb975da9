"""The open ends of a session: what is known of each, and the way from wire ids to them (spec/4-channels.md, Ids)."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Deque, Union

from . import codes
from .credit import Window
from .errors import NO_REASON, Misbehaviour, Reason
from .frames import SCOPE_END

#: Counters on the wire are u32 and wrap.
WRAP = 0xFFFF_FFFF


@dataclass(frozen=True)
class Attachment:
    """Something a message carries: what the receiver of the message gets, and the entry it is on this side.

    ``entry`` is None for a sender that came home to a channel that is finished; for a descriptor, ``number`` counts the
    descriptors of the link.
    """

    kind: int
    entry: Entry | None = None
    number: int = 0
    capacity: int = 0
    wanted: int = 0


@dataclass
class Turn:
    """Where a sender stands among those that write: see `turns`."""

    #: What is left of its turn in the round it wrote last, in bytes; below 0 after a message that was longer.
    left: int = 0
    round: int = -1
    #: It stands in line.
    waits: bool = False
    #: When it was told that its turn has come.
    told: int = -1


@dataclass
class Parcel:
    """A message that has arrived whole. ``flaw`` is 0, NOT_ENCODED or NOT_FORWARDED; ``headers`` as it came."""

    codec: int
    flaw: int
    attachments: list[Attachment]
    payload: bytes
    charge: int
    headers: bytes = b""


@dataclass(eq=False)
class SendEntry:
    """The sending end of a channel.

    unannounced --message--> open --CLOSE sent--> finished, but if the id is ours: closed --CANCEL arrives--> finished;
    open --CANCEL arrives, CLOSE sent--> finished.
    """

    id: int
    own: bool
    capacity: int
    credit: int
    #: With so much credit a message of any size may start.
    floor: int
    #: Whether the receiver is the only one and may hold a channel's worth of messages (window rule).
    sole: bool = True
    announced: bool = True
    sent: int = 0
    taken: int = 0
    wanted: int = 0
    cancelled: Reason | None = None
    cancel_scope: int = SCOPE_END
    #: ``cancelled`` was not said by the peer: the session is over.
    lost: bool = False
    #: What the application said last: scope and reason. CLOSE may still wait for the announcement or a large message.
    closing: tuple[int, Reason] | None = None
    closed: bool = False
    large: Outgoing | None = None
    turn: Turn = field(default_factory=Turn)
    finished: bool = False
    user: Any = None

    @property
    def untaken(self) -> int:
        """Messages sent and not known to be taken."""
        return (self.sent - self.taken) & WRAP

    def has_room(self) -> bool:
        """Whether one more message may start, by the window or the demand rule (CR-01)."""
        if self.large or self.cancelled or self.closing or not self.announced:
            return False
        return self.demand() > 0 or (self.sole and self.untaken < self.capacity)

    def demand(self) -> int:
        """Receives that wait and have nothing on the way to them."""
        ahead = (self.wanted - self.sent) & WRAP
        return ahead if ahead <= WRAP // 2 else 0


@dataclass(eq=False)
class Outgoing:
    """A message that leaves in parts. ``head`` is flags and codec, ``table`` the attachments and headers."""

    head: bytes
    table: bytes
    payload: bytes
    #: The charge of what is no payload.
    fixed: int
    descriptors: list[int]
    sent: int = 0
    started: bool = False


@dataclass(eq=False)
class Partial:
    """A message of which not all has arrived."""

    codec: int
    flaw: int
    attachments: list[Attachment]
    #: Of the whole.
    charge: int
    total: int
    payload: bytearray = field(default_factory=bytearray)
    headers: bytes = b""


@dataclass(eq=False)
class RecvEntry:
    """The receiving end of a channel.

    open --CLOSE arrives--> closed (its inbox stays readable) --CANCEL if the peer gave the id--> finished;
    open --CANCEL sent--> cancelled --CLOSE arrives--> finished.
    """

    id: int
    own: bool
    capacity: int
    window: Window
    #: Receivers elsewhere compete: a message comes only for a receive that waits.
    on_demand: bool = False
    announced: bool = True
    arrived: int = 0
    taken: int = 0
    #: Taken, and the peer was not told.
    owed: int = 0
    #: Receives told to the peer, in all; and how many wait now.
    wanted: int = 0
    waiting: int = 0
    inbox: Deque[Parcel] = field(default_factory=deque)
    partial: Partial | None = None
    closed: bool = False
    close_scope: int = SCOPE_END
    close_reason: Reason = NO_REASON
    cancelled: bool = False
    #: What the application said before the entry was announced: scope and reason.
    cancelling: tuple[int, Reason] | None = None
    finished: bool = False
    #: The application has it: until then not even its end is answered.
    accepted: bool = False
    #: A named channel that waits to be accepted.
    opening: tuple[str, tuple[tuple[str, bytes], ...]] | None = None
    #: Senders that came home and are not claimed or dropped.
    holds: int = 0
    due: bool = False
    user: Any = None

    def serves_demand(self) -> bool:
        return self.on_demand or self.capacity == 0

    def room_left(self) -> int:
        """Messages that the sender may still start by the window rule, as far as this side knows."""
        reported = self.taken - self.owed
        return max(0, self.capacity - ((self.arrived - reported) & WRAP))

    def want_increment(self) -> int:
        """What to add to what was announced, so that no more is on its way than waits (CR-03)."""
        ahead = (self.wanted - self.arrived) & WRAP
        here = len(self.inbox) + (self.partial is not None)
        return max(0, self.waiting - here - (ahead if ahead <= WRAP // 2 else 0))


@dataclass(eq=False)
class StreamEntry:
    """A byte stream: two directions, each ended by its writer (END) and its reader (STOP)."""

    id: int
    own: bool
    credit: int
    window: Window
    announced: bool = True
    # Out.
    unsent: bytearray = field(default_factory=bytearray)
    #: END is to follow what is unsent.
    finish: Reason | None = None
    end_sent: bool = False
    stopped: Reason | None = None
    turn: Turn = field(default_factory=Turn)
    # In.
    arrived: bytearray = field(default_factory=bytearray)
    ended: Reason | None = None
    stop: Reason | None = None
    stop_sent: bool = False
    finished: bool = False
    due: bool = False
    user: Any = None


Entry = Union[SendEntry, RecvEntry, StreamEntry]


class Entries:
    """All entries by id. Own ids come from a dense table, the lowest free slot first."""

    def __init__(self, dialer: bool) -> None:
        self.open: dict[int, Entry] = {}
        self._ours = 0 if dialer else 1
        self._free: list[int] = []
        self._slots = 0

    def is_ours(self, id: int) -> bool:
        return id & 1 == self._ours

    def allocate_id(self) -> int:
        if self._free:
            slot = heapq.heappop(self._free)
        else:
            slot = self._slots
            self._slots += 1
        return 2 * slot + 2 - self._ours

    def add(self, entry: Entry) -> None:
        self.open[entry.id] = entry

    def check_theirs(self, id: int, most: int) -> None:
        """Whether the peer may give this id now: CH-01 to CH-03."""
        if id == 0 or self.is_ours(id):
            raise Misbehaviour(f"id {id} is not the peer's to give")
        if id in self.open:
            raise Misbehaviour(f"id {id} is in use")
        if (id - 1) // 2 >= most:
            raise Misbehaviour(f"id {id} is too high: tables are dense")

    def lookup(self, id: int) -> Entry:
        """The entry. An id that is not in use is a broken rule (FR-09)."""
        entry = self.open.get(id)
        if entry is None or not entry.announced:
            raise Misbehaviour(f"id {id} is not in use", codes.UNKNOWN_ID)
        return entry

    def has_crossed(self, id: int) -> bool:
        """Whether a CREDIT or CANCEL may be late: of a receiving end whose side gave the id (FR-10)."""
        return id not in self.open and id != 0 and not self.is_ours(id)

    def remove(self, entry: Entry) -> bool:
        """The id is finished. False: it was already."""
        if entry.finished:
            return False
        entry.finished = True
        if self.open.get(entry.id) is entry:
            del self.open[entry.id]
        if entry.own:
            heapq.heappush(self._free, (entry.id - 1) // 2)
        return True
