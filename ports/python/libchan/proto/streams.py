"""Byte streams: data in both directions, half-close, credit in bytes (spec/7-bytestreams.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import codes, frames
from .entries import StreamEntry
from .errors import NO_REASON, Misbehaviour, Reason
from .events import STREAM_READABLE, STREAM_WRITABLE, Event
from .turns import FILL

if TYPE_CHECKING:
    from .machine import Machine

#: What a stream keeps that it has no credit for, in bytes.
UNSENT = 64 * 1024
MAX_CREDIT = 0x7FFF_FFFF


class StreamRules:
    """Part of `Machine`."""

    # ---- sending

    def stream_send(self: Machine, entry: StreamEntry, data: bytes) -> int:
        """Takes bytes to be sent, as many as fit; `STREAM_WRITABLE` follows when more do. The caller has looked at
        ``stopped`` and ``finish``."""
        room = max(0, UNSENT - len(entry.unsent))
        kept = len(data)
        if room < kept:
            allowed = room
            if not entry.unsent and entry.announced:
                allowed += max(0, min(entry.credit, FILL - self._size))
            kept = min(kept, allowed)
        entry.unsent += data[:kept]
        self._push_stream(entry)
        return kept

    def _push_stream(self: Machine, entry: StreamEntry) -> None:
        """Sends what is kept and has credit, then the end if that is due."""
        if not entry.announced or entry.end_sent or self.goodbye_sent or self.over:
            return
        at = 0
        while at < len(entry.unsent) and entry.credit > 0 and self._may_write(entry):
            part = bytes(entry.unsent[at : at + min(self._most(entry), entry.credit)])
            at += len(part)
            entry.credit -= len(part)
            self._write_turn(entry, frames.encode(frames.Data(entry.id, part)))
        full = len(entry.unsent) >= UNSENT
        del entry.unsent[:at]
        if not entry.unsent and entry.finish is not None:
            self._send_end(entry)
        elif full and len(entry.unsent) < UNSENT or (at and not entry.unsent):
            self.events.append(Event(STREAM_WRITABLE, entry))

    def stream_finish(self: Machine, entry: StreamEntry, reason: Reason = NO_REASON) -> None:
        """This side writes no more: the end follows what is kept. An error goes before it, but for those that say that
        the writer was dropped."""
        if entry.finish is None:
            entry.finish = reason
            if reason.code not in (codes.NONE, codes.ABANDONED, codes.PANICKED):
                entry.unsent.clear()
            self._push_stream(entry)

    def _send_end(self: Machine, entry: StreamEntry) -> None:
        if not entry.end_sent and entry.announced:
            entry.end_sent = True
            self._control(frames.End(entry.id, entry.finish or NO_REASON))
            self._finish_stream(entry)

    def _on_stream_credit(self: Machine, entry: StreamEntry, count: int) -> None:
        entry.credit += count
        if entry.credit > MAX_CREDIT:
            raise Misbehaviour("more credit than a stream can have", codes.FLOW_CONTROL)
        self._push_stream(entry)

    def _on_stop(self: Machine, stop: frames.Stop) -> None:
        entry = self._lookup_stream(stop.id)
        if entry.stopped is not None:
            raise Misbehaviour("a second STOP")
        entry.stopped = stop.reason
        entry.unsent.clear()
        self.events.append(Event(STREAM_WRITABLE, entry))
        self._send_end(entry)
        self._finish_stream(entry)

    # ---- receiving

    def stream_recv(self: Machine, entry: StreamEntry, most: int) -> bytes:
        """What has arrived, up to so many bytes; empty if nothing has."""
        data = bytes(entry.arrived[:most])
        del entry.arrived[: len(data)]
        if data and entry.ended is None:
            window = entry.window
            window.taken(len(data))
            if window.wants_growth():
                grown = self.ours.grow(window.size, self.limits.max_window)
                if grown:
                    window.grow(grown)
            if window.is_due():
                self._mark(entry)
        elif data and not entry.arrived:
            self._send_stop(entry)
        return data

    def stream_stop(self: Machine, entry: StreamEntry, reason: Reason = NO_REASON) -> None:
        """This side reads no more: what has arrived is dropped."""
        entry.arrived.clear()
        if entry.stop is None:
            entry.stop = reason
            self._release_window(entry)
            self._send_stop(entry, reason)

    def _send_stop(self: Machine, entry: StreamEntry, reason: Reason = NO_REASON) -> None:
        if not entry.stop_sent and entry.announced:
            entry.stop_sent = True
            self._control(frames.Stop(entry.id, reason))
            self._finish_stream(entry)

    def _on_data(self: Machine, data: frames.Data) -> None:
        entry = self._lookup_stream(data.id)
        if entry.ended is not None:
            raise Misbehaviour("DATA after END")
        if entry.stop is not None:
            return
        if not entry.window.arrive(len(data.payload)):
            raise Misbehaviour("more bytes than granted", codes.FLOW_CONTROL)
        entry.arrived += data.payload
        if entry.window.is_due():
            self._mark(entry)
        self.events.append(Event(STREAM_READABLE, entry))

    def _on_end(self: Machine, end: frames.End) -> None:
        entry = self._lookup_stream(end.id)
        if entry.ended is not None:
            raise Misbehaviour("a second END")
        entry.ended = end.reason
        if not entry.arrived:
            # What has arrived was counted: STOP says that it was read or dropped (BY-02).
            self._send_stop(entry)
        self.events.append(Event(STREAM_READABLE, entry))
        self._finish_stream(entry)

    def _write_stream_credit(self: Machine, entry: StreamEntry) -> None:
        entry.due = False
        if entry.ended is None and not entry.stop_sent:
            count = entry.window.grant()
            if count:
                self._control(frames.Credit(entry.id, 0, 0, count))

    # ---- both

    def _lookup_stream(self: Machine, id: int) -> StreamEntry:
        entry = self.entries.lookup(id)
        if not isinstance(entry, StreamEntry):
            raise Misbehaviour("a frame of a stream to what is no stream")
        return entry

    def _begin_stream(self: Machine, entry: StreamEntry) -> None:
        """The peer has been told of the stream: it may hear what was done with it before."""
        if entry.stop is not None:
            self._send_stop(entry, entry.stop)
        self._push_stream(entry)

    def _finish_stream(self: Machine, entry: StreamEntry) -> None:
        """Frees the id once END and STOP have gone and have come."""
        if entry.end_sent and entry.stop_sent and entry.ended is not None and entry.stopped is not None:
            self._drop(entry)
