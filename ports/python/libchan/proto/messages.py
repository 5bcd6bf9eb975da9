"""What flows on channels: messages whole and in fragments, and the credit for them (spec/6-credit.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Sequence

from . import codes, frames
from .entries import WRAP, Entry, Outgoing, Parcel, Partial, RecvEntry, SendEntry, StreamEntry
from .errors import Misbehaviour
from .events import READABLE, TAKEN, WRITABLE, Event
from .frames import SENDER_HOME

if TYPE_CHECKING:
    from .machine import Machine

#: Output from which on no message starts, in bytes.
HIGH_WATER = 1024 * 1024
MAX_CREDIT = 0x7FFF_FFFF


def charge(payload: int, attachments: int) -> int:
    """What a message costs in bytes of credit, the same on every link."""
    return payload + 16 * attachments + 32


@dataclass
class Parts:
    """A message to be sent. ``order`` has what each index in the payload stands for: an entry from `Machine.allocate`,
    a sending end of ours whose id is in ``home`` (it goes home to the peer), or the driver's token of a descriptor."""

    codec: int
    payload: bytes
    order: Sequence[Entry | int] = ()
    flaw: int = 0
    home: set[int] = field(default_factory=set)


class MessageRules:
    """Part of `Machine`."""

    # ---- sending

    def blocked(self: Machine, entry: SendEntry, descriptors: int = 0) -> str | None:
        """Why no message may start now, or None. `WRITABLE` follows when it may have changed."""
        if self.over or self.goodbye_said or entry.cancelled or entry.closing:
            return "gone"
        if not entry.has_room():
            return "bytes" if entry.credit <= 0 and not entry.large and entry.may_start() else "messages"
        if self._size > HIGH_WATER:
            if not self._congested or self._congested[-1] is not entry:
                self._congested.append(entry)
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
        cost = charge(len(parts.payload), len(rows))
        announced = cost > max(entry.credit, self.limits.initial_window)
        if not announced:
            entry.credit -= cost
        flags = parts.flaw | (frames.ATTACHMENTS if rows else 0)
        table = bytes([len(rows)]) + frames.encode_table(rows) if rows else b""
        length = 2 + len(table) + len(parts.payload)
        if not announced and length <= self.limits.max_frame:
            head = frames.header(length, frames.MESSAGE, entry.id) + bytes([flags, parts.codec])
            self._write(head + table + parts.payload, descriptors)
        else:
            head = bytes([flags, parts.codec])
            entry.large = Outgoing(head, table, parts.payload, announced, descriptors)
            self._large_open += 1
            if rows:
                # The message that names a channel goes before what is sent on the channel.
                self._write_fragment(entry)
            else:
                self._large.append(entry)
        for item in parts.order:
            if not isinstance(item, int) and item.id not in parts.home:
                self._begin(item)

    def _write_fragment(self: Machine, entry: SendEntry) -> None:
        """Writes the next frame of a large message; it goes to the end of the line if there is more to send."""
        large = entry.large
        if large is None:
            return
        left = len(large.payload) - large.sent
        overhead = 1 if large.started else 6 + len(large.table)
        size = min(left, self.limits.max_frame - overhead)
        if large.announced:
            if entry.credit <= 0:
                large.queued = False
                return
            fixed = 0 if large.started else 32 + 16 * (len(large.table) // 13)
            size = min(size, max(0, entry.credit - fixed))
            entry.credit -= size + fixed
        more = size < left
        part = large.payload[large.sent : large.sent + size]
        if large.started:
            self._write(frames.header(1 + size, frames.FRAGMENT, entry.id) + bytes([more]) + part)
        else:
            total = len(large.payload).to_bytes(4, "big") if more else b""
            flags = large.head[0] | (frames.MORE | (frames.ANNOUNCED if large.announced else 0) if more else 0)
            body = bytes([flags, large.head[1]]) + large.table + total + part
            self._write(frames.header(len(body), frames.MESSAGE, entry.id) + body, large.descriptors)
        large.started = True
        large.sent += size
        if more:
            self._large.append(entry)
        else:
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
        entry = self.entries.lookup(credit.id)
        if entry is None:
            return
        if isinstance(entry, StreamEntry) and not credit.taken and not credit.wanted:
            self._on_stream_credit(entry, credit.bytes)
            return
        if not isinstance(entry, SendEntry):
            raise Misbehaviour("CREDIT to what is no sending end, or messages for a stream")
        if credit.taken > entry.untaken:
            raise Misbehaviour("more taken than sent", codes.FLOW_CONTROL)
        entry.taken = (entry.taken + credit.taken) & WRAP
        entry.wanted = (entry.wanted + credit.wanted) & WRAP
        entry.credit += credit.bytes
        if entry.credit > MAX_CREDIT:
            raise Misbehaviour("more credit than a channel can have", codes.FLOW_CONTROL)
        if entry.large and not entry.large.queued and entry.credit > 0:
            entry.large.queued = True
            self._large.append(entry)
        if credit.taken:
            self.events.append(Event(TAKEN, entry, credit.taken))
        self.events.append(Event(WRITABLE, entry))

    # ---- arriving

    def _on_message(self: Machine, message: frames.Message) -> None:
        size = len(message.payload) if message.total is None else message.total
        if size > self.limits.max_message:
            raise Misbehaviour(f"a message of {size} bytes", codes.MESSAGE_TOO_LARGE)
        count = len(message.table)
        announced = bool(message.flags & frames.ANNOUNCED)
        cost = charge(len(message.payload) if announced else size, count)
        entry = self.entries.lookup(message.id)
        if entry is None:
            self.reject_all(self._take_table(message.table))
            return
        if not isinstance(entry, RecvEntry):
            raise Misbehaviour("MESSAGE to what is no receiving end")
        # What may pass the end of the credit: a message that fits the first window, or the fixed part of the others.
        self._admit(entry, cost, charge(0, count) if announced else self.limits.initial_window)
        attachments = self._take_table(message.table)
        flaw = message.flags & (frames.NOT_ENCODED | frames.NOT_FORWARDED)
        if entry.cancelled:
            self.reject_all(attachments)
            attachments = []
        if message.total is not None:
            partial = Partial(message.codec, flaw, attachments, cost, message.total, announced)
            self._begin_partial(entry, partial, message.payload)
        elif not entry.cancelled:
            self._deliver(entry, Parcel(message.codec, flaw, attachments, message.payload, cost))

    def _admit(self: Machine, entry: RecvEntry, cost: int, overshoot: int) -> None:
        """Counts the start of a message, which must have been granted: CR-01, CR-07, CR-12."""
        if entry.closed:
            raise Misbehaviour("a message after CLOSE")
        if entry.partial:
            raise Misbehaviour("a message inside a fragmented one")
        ahead = (entry.wanted - entry.arrived) & WRAP
        if entry.room_left() == 0 and not 0 < ahead <= WRAP // 2:
            raise Misbehaviour("a message for which there is no room", codes.FLOW_CONTROL)
        if entry.window.left <= 0 or cost > max(entry.window.left, overshoot):
            raise Misbehaviour("more bytes than granted", codes.FLOW_CONTROL)
        entry.window.arrive(cost)
        entry.arrived = (entry.arrived + 1) & WRAP

    def _deliver(self: Machine, entry: RecvEntry, parcel: Parcel) -> None:
        entry.inbox.append(parcel)
        self.events.append(Event(READABLE, entry))
        # The arrival may have used up what the sender had, while something is owed already.
        self._mark_due(entry)

    def _begin_partial(self: Machine, entry: RecvEntry, partial: Partial, first: bytes) -> None:
        partial.received = len(first)
        entry.partial = partial
        if entry.cancelled:
            return
        partial.payload += first
        if partial.announced:
            entry.reserving = entry.window.missing(partial.total - partial.received)
            if entry.reserving:
                self._reservations.append(entry)
                self._serve_reservations()
            self._mark_due(entry)

    def _on_fragment(self: Machine, fragment: frames.Fragment) -> None:
        entry = self.entries.lookup(fragment.id)
        if entry is None:
            return
        if not isinstance(entry, RecvEntry):
            raise Misbehaviour("FRAGMENT to what is no receiving end")
        partial, size = entry.partial, len(fragment.payload)
        if partial is None:
            raise Misbehaviour("a FRAGMENT of nothing")
        have = partial.received + size
        if have > partial.total or fragment.more == (have == partial.total):
            raise Misbehaviour("fragments that do not add up")
        partial.received = have
        if partial.announced:
            if entry.window.left < size and not entry.cancelled:
                raise Misbehaviour("more bytes than granted", codes.FLOW_CONTROL)
            entry.window.arrive(size)
            partial.charge += size
        if not entry.cancelled:
            partial.payload += fragment.payload
        if fragment.more:
            if not entry.cancelled:
                self._mark_due(entry)
            return
        entry.partial = None
        if not entry.cancelled:
            parcel = Parcel(partial.codec, partial.flaw, partial.attachments, bytes(partial.payload), partial.charge)
            self._deliver(entry, parcel)

    # ---- memory for announced messages

    def _serve_reservations(self: Machine) -> None:
        """Grants memory to announced messages, first come first served; then to those that a receive waits for."""
        line = self._reservations
        while line and self._grant_reservation(line[0]):
            line.popleft()
        for entry in [entry for entry in line if entry.waiting and not entry.inbox]:
            if not self._grant_reservation(entry):
                return
            line.remove(entry)

    def _grant_reservation(self: Machine, entry: RecvEntry) -> bool:
        """False: there is no memory for it now."""
        if entry.reserving == 0 or entry.closed or entry.cancelled:
            return True
        if not self.ours.reserve(entry.reserving, entry.waiting > 0 and not entry.inbox):
            return False
        entry.window.grant_extra(entry.reserving)
        entry.granted += entry.reserving
        entry.reserving = 0
        self._mark(entry)
        return True

    # ---- what the application takes

    def next_parcel(self: Machine, entry: RecvEntry) -> Parcel | None:
        """The next message out of the inbox. `taken` is to follow."""
        return entry.inbox.popleft() if entry.inbox else None

    def taken(self: Machine, entry: RecvEntry, messages: int, cost: int) -> None:
        """The application has taken so many messages, with this charge. A relay reports the charge when it forwards and
        the messages when they are taken at the far end (CR-06)."""
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
            self._serve_reservations()
        self._mark_due(entry)
        self._note_all_taken(entry)

    def want(self: Machine, entry: RecvEntry, waiting: int) -> None:
        """So many receives wait now: a level, not a count of calls (CR-03)."""
        if waiting != entry.waiting:
            entry.waiting = waiting
            if entry.reserving:
                self._serve_reservations()
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
        extra, entry.granted = entry.granted, 0
        granted = extra + entry.window.grant()
        if taken or wanted or granted:
            self._control(frames.Credit(entry.id, taken, wanted, granted))
