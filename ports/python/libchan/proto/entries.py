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
class Parcel:
    """A message that has arrived whole. ``flaw`` is 0, NOT_ENCODED or NOT_FORWARDED."""

    codec: int
    flaw: int
    attachments: list[Attachment]
    payload: bytes
    charge: int


@dataclass(eq=False)
class SendEntry:
    """The sending end of a channel.

    unannounced --message--> open --CLOSE sent--> closed (id ours: until CANCEL arrives) --> finished;
    open --CANCEL arrives--> cancelled --CLOSE sent--> finished.
    """

    id: int
    own: bool
    capacity: int
    credit: int
    #: Whether the receiver is the only one and may hold a channel's worth of messages (window rule).
    sole: bool = True
    announced: bool = True
    sent: int = 0
    taken: int = 0
    wanted: int = 0
    cancelled: Reason | None = None
    cancel_scope: int = SCOPE_END
    #: What the application said last: scope and reason. CLOSE may still wait for the announcement or a large message.
    closing: tuple[int, Reason] | None = None
    closed: bool = False
    large: Outgoing | None = None
    finished: bool = False
    user: Any = None

    @property
    def untaken(self) -> int:
        """Messages sent and not known to be taken."""
        return (self.sent - self.taken) & WRAP

    def has_room(self) -> bool:
        """Whether a message may start: CR-01 and CR-07."""
        if self.credit <= 0 or self.large or self.cancelled or self.closing or not self.announced:
            return False
        return self.may_start()

    def may_start(self) -> bool:
        """Whether the window or the demand rule allows one more message."""
        return self.demand() > 0 or (self.sole and self.untaken < self.capacity)

    def demand(self) -> int:
        """Receives that wait and have nothing on the way to them."""
        ahead = (self.wanted - self.sent) & WRAP
        return ahead if ahead <= WRAP // 2 else 0


@dataclass(eq=False)
class Outgoing:
    """A message that leaves in fragments."""

    head: bytes
    table: bytes
    payload: bytes
    announced: bool
    descriptors: list[int]
    sent: int = 0
    started: bool = False
    queued: bool = True


@dataclass(eq=False)
class Partial:
    """A message of which not all has arrived. Its bytes are not kept once nobody wants them."""

    codec: int
    flaw: int
    attachments: list[Attachment]
    charge: int
    total: int
    announced: bool
    received: int = 0
    payload: bytearray = field(default_factory=bytearray)


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
    #: Bytes that an announced message waits for, and those granted of which the peer was not told.
    reserving: int = 0
    granted: int = 0
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
        return max(0, self.waiting - len(self.inbox) - (ahead if ahead <= WRAP // 2 else 0))


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
        # Slots below these were announced at least once: what is not open there is finished, not unknown.
        self._announced = 0
        self._their_slots = 0

    def _is_ours(self, id: int) -> bool:
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

    def note_announced(self, entry: Entry) -> None:
        self._announced = max(self._announced, (entry.id - 1) // 2 + 1)

    def check_theirs(self, id: int, most: int) -> None:
        """Whether the peer may give this id now: CH-01 to CH-03."""
        if id == 0 or self._is_ours(id):
            raise Misbehaviour(f"id {id} is not the peer's to give")
        if id in self.open:
            raise Misbehaviour(f"id {id} is in use")
        slot = (id - 1) // 2
        if slot >= 2 * max(1, most):
            raise Misbehaviour(f"id {id} is too high: tables are dense")
        self._their_slots = max(self._their_slots, slot + 1)

    def lookup(self, id: int) -> Entry | None:
        """The entry, or None for a finished id. An id that never was is a broken rule (FR-09)."""
        entry = self.open.get(id)
        if entry is not None and entry.announced:
            return entry
        slots = self._announced if self._is_ours(id) else self._their_slots
        if id == 0 or (id - 1) // 2 >= slots:
            raise Misbehaviour(f"id {id} was never announced", codes.UNKNOWN_ID)
        return None

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
