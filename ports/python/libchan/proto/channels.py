"""How channels begin and end: OPEN, the attachments that open one, CLOSE and CANCEL (spec/4-channels.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import codes, frames
from .credit import Window
from .entries import WRAP, Attachment, Entry, Partial, RecvEntry, SendEntry, StreamEntry
from .errors import NO_REASON, Misbehaviour, OpenError, Reason
from .events import DROPPED_DESCRIPTOR, OPENED, READABLE, REJECTED, TAKEN, WRITABLE, Event
from .frames import SCOPE_CHANNEL, SCOPE_END

if TYPE_CHECKING:
    from .machine import Machine

#: The message that held an end was dropped unread.
_NOT_DELIVERED = Reason(codes.NOT_DELIVERED)


class ChannelRules:
    """Part of `Machine`."""

    # ---- beginning

    def open(self: Machine, name: str, capacity: int, metadata: frames.Metadata = ()) -> SendEntry:
        """Opens a named channel; this side sends. Raises `OpenError`; `ValueError` if the name does not fit."""
        if len(frames.encode(frames.Open(0, capacity, name, metadata))) - frames.HEADER > self.limits.max_frame:
            raise ValueError("the name and metadata do not fit a frame")
        entry = self.allocate(frames.RECEIVER, capacity)
        assert isinstance(entry, SendEntry)
        entry.announced = True
        self._control(frames.Open(entry.id, capacity, name, metadata))
        return entry

    def allocate(self: Machine, peer_gets: int, capacity: int = 0, on_demand: bool = False, waiting: int = 0) -> Entry:
        """A new channel or stream, one end of which is to go to the peer in a message. Nothing is sent before a message
        announces it. ``on_demand``: the receiver that the peer gets is not the only one."""
        if self.over or self.goodbye_said or not self.established:
            raise OpenError("the session is over")
        if self.opened_here.count >= self.limits.max_channels:
            raise OpenError("too many channels are open (max_channels)")
        if not self.opened_here.has_memory(self._charge(peer_gets), self.limits):
            raise OpenError("the memory for what this side opens is used up (session_memory)")
        entry = self._new_entry(peer_gets, self.entries.allocate_id(), True, capacity, on_demand)
        entry.announced = False
        if isinstance(entry, RecvEntry):
            entry.waiting, entry.accepted = waiting, True
        self._enter(entry)
        return entry

    def _new_entry(self: Machine, kind: int, id: int, own: bool, capacity: int, on_demand: bool) -> Entry:
        """``kind`` is that of the attachment, as the other side sees it if ``own``."""
        size, floor = self._charge(kind), self.limits.floor
        if kind == frames.STREAM:
            return StreamEntry(id, own, size, Window(size, 1))
        if (kind == frames.RECEIVER) == own:
            return SendEntry(id, own, capacity, size, floor, sole=not on_demand)
        return RecvEntry(id, own, capacity, Window(size, floor), on_demand)

    def _charge(self: Machine, kind: int) -> int:
        """The first window of what has this kind (CR-18)."""
        return self.limits.stream_window if kind == frames.STREAM else self.limits.initial_window

    def _enter(self: Machine, entry: Entry) -> None:
        opened = self.opened_here if entry.own else self.opened_there
        opened.add(self._charge(frames.STREAM if isinstance(entry, StreamEntry) else 0))
        self.entries.add(entry)

    def _enter_theirs(self: Machine, row: frames.Entry) -> Entry:
        """What the peer has announced: one end of it is here from now on (AT-04)."""
        if self.opened_there.count >= self.limits.max_channels:
            raise Misbehaviour("too many channels", codes.TOO_MANY_CHANNELS)
        self.entries.check_theirs(row.id, self.limits.max_channels)
        if not self.opened_there.has_memory(self._charge(row.kind), self.limits):
            raise Misbehaviour("the session's memory is used up", codes.MEMORY)
        entry = self._new_entry(row.kind, row.id, False, row.capacity, row.wanted != 0)
        if isinstance(entry, SendEntry):
            entry.sole, entry.wanted = True, row.wanted
        self._enter(entry)
        return entry

    def _on_open(self: Machine, opening: frames.Open) -> None:
        row = frames.Entry(frames.RECEIVER, opening.id, opening.capacity)
        entry = self._enter_theirs(row)
        assert isinstance(entry, RecvEntry)
        if self.pending_accepts >= self.limits.max_pending_accepts:
            self.cancel(entry, SCOPE_CHANNEL, Reason(codes.ACCEPT_QUEUE_FULL))
            return
        entry.opening = (opening.name, opening.metadata)
        self.pending_accepts += 1
        self.events.append(Event(OPENED, entry))

    def take_opening(self: Machine, entry: RecvEntry) -> tuple[str, frames.Metadata] | None:
        """The name and metadata of a channel that the peer has opened, which no longer waits in line. None: it was
        taken before, or has ended."""
        opening, entry.opening = entry.opening, None
        self.pending_accepts -= opening is not None
        return opening

    def accept(self: Machine, entry: RecvEntry) -> None:
        """The application has the receiving end. Sends nothing, unless the channel has ended meanwhile."""
        self.take_opening(entry)
        entry.accepted = True
        self._note_all_taken(entry)

    def _take_table(self: Machine, table: tuple[frames.Entry, ...]) -> list[Attachment]:
        """Enters what a message brings."""
        attachments = []
        for row in table:
            if row.kind == frames.DESCRIPTOR:
                attachments.append(Attachment(row.kind, number=self._bind_descriptor()))
                continue
            entry: Entry | None
            if row.kind == frames.SENDER_HOME:
                entry = self.entries.lookup(row.id)
                if not isinstance(entry, RecvEntry):
                    raise Misbehaviour("a sender comes home to what is no receiving end")
                entry.holds += 1
            else:
                entry = self._enter_theirs(row)
            attachments.append(Attachment(row.kind, entry, 0, row.capacity, row.wanted))
        return attachments

    # ---- ending: the sending end

    def close(self: Machine, entry: SendEntry, scope: int = SCOPE_END, reason: Reason = NO_REASON) -> None:
        """The sending end ends, after what was sent."""
        if entry.closing is None:
            entry.closing = (scope, reason if reason.code else NO_REASON)
            self._push_close(entry)

    def _push_close(self: Machine, entry: SendEntry) -> None:
        # The message that names it may be on its way out: the last word follows it.
        if entry.closing is None or entry.closed or not entry.announced:
            return
        if entry.large and not entry.cancelled:
            return
        entry.closed = True
        scope, reason = entry.closing
        self._control(frames.Close(entry.id, scope, reason))
        if not entry.own or entry.cancelled or self.over:
            self._drop(entry)

    def _on_cancel(self: Machine, cancel: frames.Cancel) -> None:
        if self.entries.has_crossed(cancel.id):
            return
        entry = self.entries.lookup(cancel.id)
        if not isinstance(entry, SendEntry):
            raise Misbehaviour("CANCEL to what is no sending end")
        if entry.cancelled:
            raise Misbehaviour("a second CANCEL")
        if cancel.taken > entry.untaken:
            raise Misbehaviour("more taken than sent", codes.FLOW_CONTROL)
        entry.taken = (entry.taken + cancel.taken) & WRAP
        entry.cancelled, entry.cancel_scope = cancel.reason, cancel.scope
        self._drop_large(entry)
        if cancel.taken:
            self.events.append(Event(TAKEN, entry, cancel.taken))
        self.events.append(Event(WRITABLE, entry))
        if entry.closed:
            self._drop(entry)
        else:
            entry.closing = entry.closing or (SCOPE_END, NO_REASON)
            self._push_close(entry)

    def _lose_sender(self: Machine, entry: SendEntry, code: int) -> None:
        """The session is over: nothing more will leave."""
        entry.lost = entry.cancelled is None
        entry.cancelled = entry.cancelled or Reason(code)
        entry.large = None
        self.events.append(Event(WRITABLE, entry))
        if entry.closing:
            self._drop(entry)

    # ---- ending: the receiving end

    def cancel(self: Machine, entry: RecvEntry, scope: int = SCOPE_END, reason: Reason = NO_REASON) -> None:
        """The receiving end ends; what waits is dropped, and what it carries is closed."""
        if entry.cancelled or entry.cancelling:
            return
        if not entry.announced and not self.over:
            entry.cancelling = (scope, reason)
            return
        entry.cancelled = True
        self.take_opening(entry)
        dropped = [attachment for parcel in entry.inbox for attachment in parcel.attachments]
        entry.inbox.clear()
        if entry.partial:
            dropped += entry.partial.attachments
            entry.partial = None
            self._line_up(entry)
        self._release_window(entry)
        self.reject_all(dropped)
        if self.over:
            self._drop(entry)
        elif entry.closed:
            self._answer_close(entry)
        else:
            self._control(frames.Cancel(entry.id, scope, entry.owed, reason))
            entry.owed = 0

    def _on_close(self: Machine, close: frames.Close) -> None:
        entry = self.entries.lookup(close.id)
        if not isinstance(entry, RecvEntry):
            raise Misbehaviour("CLOSE to what is no receiving end")
        if entry.closed or (entry.partial and not close.reason.code):
            raise Misbehaviour("CLOSE twice, or a clean one in the middle of a message")
        entry.closed = True
        if entry.partial:
            self._cut(entry, entry.partial)
        if entry.cancelled:
            self._drop(entry)
            return
        entry.close_scope, entry.close_reason = close.scope, close.reason
        self.events.append(Event(READABLE, entry))
        self._note_all_taken(entry)

    def _cut(self: Machine, entry: RecvEntry, partial: Partial) -> None:
        """The rest of a message will not come: it counts as if it had not begun."""
        entry.partial = None
        entry.arrived = (entry.arrived - 1) & WRAP
        entry.window.held -= partial.charge - partial.total + len(partial.payload)
        self.ours.extra -= entry.window.extra
        entry.window.extra = 0
        self.reject_all(partial.attachments)
        self._line_up(entry)
        self._serve_large()

    def _note_all_taken(self: Machine, entry: RecvEntry) -> None:
        """Answers CLOSE when the last message was taken, and at once then (CH-16)."""
        waits = not entry.accepted or entry.cancelled or entry.inbox or entry.holds
        if entry.closed and not waits and entry.taken == entry.arrived:
            entry.cancelled = True
            self._answer_close(entry)

    def _answer_close(self: Machine, entry: RecvEntry) -> None:
        # What had arrived was held until now, and counted: only now may the peer forget it.
        if not entry.own:
            self._control(frames.Cancel(entry.id, SCOPE_END, entry.owed, NO_REASON))
        self._drop(entry)

    def _lose_receiver(self: Machine, entry: RecvEntry, code: int) -> None:
        """The session is over: what had arrived stays, then it is lost."""
        if not entry.closed:
            entry.closed = True
            entry.close_reason = Reason(code)
        partial, entry.partial = entry.partial, None
        if entry.cancelled:
            self._drop(entry)
        else:
            self.events.append(Event(READABLE, entry))
        if partial:
            self.reject_all(partial.attachments)

    def release_hold(self: Machine, entry: RecvEntry) -> None:
        """A sender that came home was claimed or dropped."""
        entry.holds -= 1
        if entry.holds == 0 and entry.closed:
            self._note_all_taken(entry)
            self.events.append(Event(READABLE, entry))

    # ---- both

    def _announce(self: Machine, entry: Entry) -> frames.Entry:
        """The row of the table that tells the peer of an entry. `_begin` must follow once the message is written."""
        entry.announced = True
        if isinstance(entry, SendEntry):
            return frames.Entry(frames.RECEIVER, entry.id, entry.capacity, int(not entry.sole or entry.capacity == 0))
        if isinstance(entry, RecvEntry):
            entry.wanted = entry.waiting if entry.capacity == 0 else 0
            return frames.Entry(frames.SENDER, entry.id, entry.capacity, entry.wanted)
        return frames.Entry(frames.STREAM, entry.id)

    def _begin(self: Machine, entry: Entry) -> None:
        """The peer has been told of the entry: says what was done with it before."""
        if isinstance(entry, SendEntry):
            self._push_close(entry)
            if entry.has_room() and not entry.finished:
                self.events.append(Event(WRITABLE, entry))
        elif isinstance(entry, StreamEntry):
            self._begin_stream(entry)
        elif entry.cancelling:
            scope, reason = entry.cancelling
            entry.cancelling = None
            self.cancel(entry, scope, reason)
        else:
            self._mark_due(entry)

    def abandon(self: Machine, entry: Entry) -> None:
        """An entry that was not announced and will not be."""
        if isinstance(entry, StreamEntry):
            lost = Reason(codes.DISCONNECTED)
            entry.ended, entry.stopped = entry.ended or lost, entry.stopped or lost
        self._drop(entry)

    def reject_all(self: Machine, attachments: list[Attachment], why: Reason = _NOT_DELIVERED) -> None:
        """Closes what nobody will claim (AT-11, AT-11). A loop and no recursion: what is dropped may hold channels that
        hold channels, as deep as the peer likes."""
        idle = not self._rejected
        self._rejected.extend((attachment, why) for attachment in attachments)
        while idle and self._rejected:
            self.reject(*self._rejected[0])
            self._rejected.popleft()

    def reject(self: Machine, attachment: Attachment, why: Reason = _NOT_DELIVERED) -> None:
        """Closes an attachment that nobody claims, and says why."""
        entry = attachment.entry
        if attachment.kind == frames.DESCRIPTOR:
            self.events.append(Event(DROPPED_DESCRIPTOR, None, attachment.number))
            self._descriptors_owed += 1
        elif attachment.kind == frames.SENDER_HOME:
            if isinstance(entry, RecvEntry):
                self.release_hold(entry)
        elif isinstance(entry, SendEntry):
            self.close(entry, SCOPE_END, why)
        elif isinstance(entry, RecvEntry):
            self.events.append(Event(REJECTED, entry))
            self.cancel(entry, SCOPE_END, why)
        elif isinstance(entry, StreamEntry):
            self.stream_finish(entry, why)
            self.stream_stop(entry, why)

    def _drop(self: Machine, entry: Entry) -> None:
        """The id is finished: frees the entry and gives back what it was charged."""
        if isinstance(entry, SendEntry):
            self._drop_large(entry)
        if not self.entries.remove(entry):
            return
        charge = self._charge(frames.STREAM if isinstance(entry, StreamEntry) else 0)
        (self.opened_here if entry.own else self.opened_there).add(charge, -1)
        if not isinstance(entry, SendEntry):
            self._release_window(entry)

    def _release_window(self: Machine, entry: RecvEntry | StreamEntry) -> None:
        """Nothing more is kept of what arrives: gives back what its window has beyond the first."""
        window = entry.window
        first = self._charge(frames.STREAM if isinstance(entry, StreamEntry) else 0)
        self.ours.growth -= window.size - first
        self.ours.extra -= window.extra
        window.size, window.extra = first, 0
        self._serve_large()
