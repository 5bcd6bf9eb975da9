"""What flows on channels: messages whole and in fragments, and the credit for them (spec/6-credit.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Sequence

from . import codes, frames
from .entries import WRAP, Entry, Outgoing, Parcel, Partial, RecvEntry, SendEntry, StreamEntry
from .errors import Misbehaviour
from .events import READABLE, TAKEN, WRITABLE, Event
from .frames import SENDER_HOME
from .limits import MAX_COUNT
from .turns import TURN

if TYPE_CHECKING:
    from .machine import Machine

MAX_CREDIT = 0x7FFF_FFFF


def charge(payload: int, attachments: int, headers: int = 0) -> int:
    """What a message costs in bytes of credit, the same on every link."""
    return 32 + 16 * attachments + headers + payload


@dataclass
class Parts:
    """A message to be sent. ``order`` has what each index in the payload stands for: an entry from `Machine.allocate`,
    a sending end of ours whose id is in ``home`` (it goes home to the peer), or the driver's token of a descriptor."""

    codec: int
    payload: bytes
    order: Sequence[Entry | int] = ()
    flaw: int = 0
    home: set[int] = field(default_factory=set)
    headers: bytes = b""

    def charge(self) -> int:
        return charge(len(self.payload), len(self.order), len(self.headers))


class MessageRules:
    """Part of `Machine`."""

    # ---- sending

    def blocked(self: Machine, entry: SendEntry, descriptors: int = 0, cost: int = 32) -> str | None:
        """Why no message may start now, or None. `WRITABLE` follows when it may have changed. ``cost``: its charge, the
        least if it is not known yet. One of up to half of the first window waits for all of its credit; a sender that
        waited so with more might wait for ever, so a larger one is split."""
        if self.over or self.goodbye_said or entry.cancelled or entry.closing:
            return "gone"
        if not entry.has_room():
            return "messages"
        if entry.credit < (cost if cost <= self.limits.initial_window // 2 else min(cost, entry.floor)):
            return "bytes"
        if not self._may_write(entry):
            return "congested"
        if descriptors > self.descriptor_credit:
            if entry not in self._descriptor_waiters:
                self._descriptor_waiters.append(entry)
            return "descriptors"
        return None

    def send(self: Machine, entry: SendEntry, parts: Parts) -> None:
        """Sends a message that `blocked` lets pass and that keeps max_message and max_attachments. Its attachments are
        announced by it."""
        entry.sent = (entry.sent + 1) & WRAP
        rows, descriptors = [], []
        for item in parts.order:
            if isinstance(item, int):
                descriptors.append(item)
                rows.append(frames.Entry(frames.DESCRIPTOR, 0))
            elif item.id in parts.home and isinstance(item, SendEntry):
                rows.append(frames.Entry(SENDER_HOME, item.id))
            else:
                rows.append(self._announce(item))
        self.descriptor_credit -= len(descriptors)
        self._descriptors_out += len(descriptors)
        cost = parts.charge()
        flags = parts.flaw | (frames.ATTACHMENTS if rows else 0) | (frames.HEADERS if parts.headers else 0)
        table = bytes([len(rows)]) + frames.encode_table(rows) if rows else b""
        if parts.headers:
            table += frames.encode_headers(parts.headers)
        length = 2 + len(table) + len(parts.payload)
        if cost <= entry.credit and length <= min(self.limits.max_frame, max(self._most(entry), TURN)):
            entry.credit -= cost
            head = frames.header(length, frames.MESSAGE, entry.id) + bytes([flags, parts.codec])
            self._write_turn(entry, head + table + parts.payload, descriptors)
        else:
            head = bytes([flags, parts.codec])
            entry.large = Outgoing(head, table, parts.payload, cost - len(parts.payload), descriptors)
            self._large_open += 1
            # The message that names a channel goes before what is sent on the channel.
            self._write_part(entry, entry.large)
            self._push_large(entry)
        for item in parts.order:
            if not isinstance(item, int) and item.id not in parts.home:
                self._begin(item)

    def _push_large(self: Machine, entry: SendEntry) -> None:
        """Goes on with a large message, as far as credit and its turn go."""
        while entry.large and entry.credit > 0 and self._may_write(entry):
            self._write_part(entry, entry.large)

    def _write_part(self: Machine, entry: SendEntry, large: Outgoing) -> None:
        """Writes the next frame of a large message, at least one byte of it."""
        left = len(large.payload) - large.sent
        overhead = 1 if large.started else 6 + len(large.table)
        fixed = 0 if large.started else large.fixed
        size = min(left, max(1, self._most(entry) - overhead), entry.credit - fixed)
        entry.credit -= size + fixed
        more = size < left
        part = large.payload[large.sent : large.sent + size]
        if large.started:
            self._write_turn(entry, frames.header(1 + size, frames.FRAGMENT, entry.id) + bytes([more]) + part)
        else:
            total = len(large.payload).to_bytes(4, "big") if more else b""
            flags = large.head[0] | (frames.MORE if more else 0)
            body = bytes([flags, large.head[1]]) + large.table + total + part
            self._write_turn(entry, frames.header(len(body), frames.MESSAGE, entry.id) + body, large.descriptors)
        large.started = True
        large.sent += size
        if not more:
            self._drop_large(entry)
            self._push_close(entry)
            self.events.append(Event(WRITABLE, entry))

    def _drop_large(self: Machine, entry: SendEntry) -> None:
        """The large message will not be sent on: it is out, or nobody wants it any more."""
        if entry.large:
            entry.large = None
            self._large_open -= 1

    def _on_credit(self: Machine, credit: frames.Credit) -> None:
        if credit.id == 0:
            self._on_descriptor_credit(credit)
            return
        if self.entries.has_crossed(credit.id):
            return
        entry = self.entries.lookup(credit.id)
        if isinstance(entry, StreamEntry) and not credit.taken and not credit.wanted:
            self._on_stream_credit(entry, credit.bytes)
            return
        if not isinstance(entry, SendEntry):
            raise Misbehaviour("CREDIT to what is no sending end, or messages for a stream")
        if credit.taken > entry.untaken:
            raise Misbehaviour("more taken than sent", codes.FLOW_CONTROL)
        entry.taken = (entry.taken + credit.taken) & WRAP
        if entry.demand() + credit.wanted > MAX_COUNT:
            raise Misbehaviour("more receives than can wait", codes.FLOW_CONTROL)
        entry.wanted = (entry.wanted + credit.wanted) & WRAP
        entry.credit += credit.bytes
        if entry.credit > MAX_CREDIT:
            raise Misbehaviour("more credit than a channel can have", codes.FLOW_CONTROL)
        self._push_large(entry)
        if credit.taken:
            self.events.append(Event(TAKEN, entry, credit.taken))
        self.events.append(Event(WRITABLE, entry))

    # ---- arriving

    def _on_message(self: Machine, message: frames.Message) -> None:
        size = len(message.payload) if message.total is None else message.total
        if size > self.limits.max_message:
            raise Misbehaviour(f"a message of {size} bytes", codes.MESSAGE_TOO_LARGE)
        count = len(message.table)
        entry = self.entries.lookup(message.id)
        if not isinstance(entry, RecvEntry):
            raise Misbehaviour("MESSAGE to what is no receiving end")
        if entry.cancelled:
            self.reject_all(self._take_table(message.table))
            return
        headers = len(message.headers)
        self._admit(entry, charge(len(message.payload), count, headers))
        attachments = self._take_table(message.table)
        flaw = message.flags & (frames.NOT_ENCODED | frames.NOT_FORWARDED)
        whole = charge(size, count, headers)
        if message.total is None:
            parcel = Parcel(message.codec, flaw, attachments, message.payload, whole, message.headers)
            self._deliver(entry, parcel)
            return
        payload = bytearray(message.payload)
        entry.partial = Partial(message.codec, flaw, attachments, whole, message.total, payload, message.headers)
        self._line_up(entry)
        self._mark_due(entry)

    def _admit(self: Machine, entry: RecvEntry, cost: int) -> None:
        """Counts the start of a message, which must have been granted: CR-01, CR-07."""
        if entry.closed:
            raise Misbehaviour("a message after CLOSE")
        if entry.partial:
            raise Misbehaviour("a message inside a fragmented one")
        ahead = (entry.wanted - entry.arrived) & WRAP
        if entry.room_left() == 0 and not 0 < ahead <= WRAP // 2:
            raise Misbehaviour("a message for which there is no room", codes.FLOW_CONTROL)
        if not entry.window.arrive(cost):
            raise Misbehaviour("more bytes than granted", codes.FLOW_CONTROL)
        entry.arrived = (entry.arrived + 1) & WRAP

    def _deliver(self: Machine, entry: RecvEntry, parcel: Parcel) -> None:
        entry.inbox.append(parcel)
        self.events.append(Event(READABLE, entry))
        # The arrival may have used up what the sender had, while something is owed already.
        self._mark_due(entry)

    def _on_fragment(self: Machine, fragment: frames.Fragment) -> None:
        entry = self.entries.lookup(fragment.id)
        if not isinstance(entry, RecvEntry):
            raise Misbehaviour("FRAGMENT to what is no receiving end")
        if entry.cancelled:
            return
        partial, size = entry.partial, len(fragment.payload)
        if partial is None:
            raise Misbehaviour("a FRAGMENT of nothing")
        have = len(partial.payload) + size
        if have > partial.total or fragment.more == (have == partial.total):
            raise Misbehaviour("fragments that do not add up")
        if not entry.window.arrive(size):
            raise Misbehaviour("more bytes than granted", codes.FLOW_CONTROL)
        partial.payload += fragment.payload
        if fragment.more:
            self._mark_due(entry)
            return
        entry.partial = None
        payload = bytes(partial.payload)
        attachments = partial.attachments
        parcel = Parcel(partial.codec, partial.flaw, attachments, payload, partial.charge, partial.headers)
        self._deliver(entry, parcel)

    # ---- memory for large messages

    def _line_up(self: Machine, entry: RecvEntry) -> None:
        """A message larger than its window stands in line while a receive waits for it and nothing else (CR-13)."""
        partial, window = entry.partial, entry.window
        stands = partial and partial.charge > window.size + window.extra and entry.waiting and not entry.inbox
        if stands and entry not in self._awaited:
            self._awaited.append(entry)
            self._serve_large()
        elif not stands and entry in self._awaited:
            self._awaited.remove(entry)
            self._serve_large()

    def _serve_large(self: Machine) -> None:
        while self._awaited:
            entry = self._awaited[0]
            if entry.partial is not None:
                lacks = entry.partial.charge - entry.window.size
                if not self.ours.reserve(lacks):
                    return
                entry.window.extra = lacks
                self._mark(entry)
            self._awaited.popleft()

    # ---- what the application takes

    def next_parcel(self: Machine, entry: RecvEntry) -> Parcel | None:
        """The next message out of the inbox. `taken` is to follow."""
        return entry.inbox.popleft() if entry.inbox else None

    def taken(self: Machine, entry: RecvEntry, messages: int, cost: int) -> None:
        """The application has taken so many messages, with this charge. A relay reports the charge when it forwards and
        the messages when they are taken at the far end (CR-02)."""
        entry.taken = (entry.taken + messages) & WRAP
        entry.owed += messages
        if entry.finished:
            return
        freed = entry.window.taken(cost)
        if not entry.closed and entry.window.wants_growth():
            grown = self.ours.grow(entry.window.size, self.limits.max_window)
            if grown:
                entry.window.grow(grown)
        if freed:
            self.ours.extra -= freed
            self._serve_large()
        self._line_up(entry)
        self._mark_due(entry)
        self._note_all_taken(entry)

    def want(self: Machine, entry: RecvEntry, waiting: int) -> None:
        """So many receives wait now: a level, not a count of calls (CR-03)."""
        if waiting != entry.waiting:
            entry.waiting = waiting
            self._line_up(entry)
            self._mark_due(entry)

    def _mark_due(self: Machine, entry: RecvEntry) -> None:
        """Puts the channel on the list of those that owe credit, if it does: CR-03, CR-04, CR-10."""
        if entry.closed or entry.cancelled or not entry.announced:
            return
        demand = entry.serves_demand()
        wants = demand and entry.want_increment() > 0
        half = entry.owed >= max(1, (entry.capacity + 1) // 2)
        told = entry.owed > 0 and (demand or half or entry.room_left() == 0)
        if wants or told or entry.window.is_due():
            self._mark(entry)

    def _write_credit(self: Machine, entry: RecvEntry) -> None:
        entry.due = False
        if entry.closed or entry.cancelled or not entry.announced:
            return
        wanted = entry.want_increment() if entry.serves_demand() else 0
        entry.wanted = (entry.wanted + wanted) & WRAP
        taken, entry.owed = entry.owed, 0
        granted = entry.window.grant()
        if taken or wanted or granted:
            self._control(frames.Credit(entry.id, taken, wanted, granted))
