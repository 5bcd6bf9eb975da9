"""What a machine reports."""

from __future__ import annotations

from dataclasses import dataclass

from .entries import Entry

#: Both hellos are in.
ESTABLISHED = "established"
#: The peer has opened a named channel: see `Machine.accept`.
OPENED = "opened"
#: A receiving end has messages, or was closed.
READABLE = "readable"
#: A sending end may have room, or its receiver is gone.
WRITABLE = "writable"
#: So many more messages were taken.
TAKEN = "taken"
#: The end came with a message that was dropped here: nobody will claim it.
REJECTED = "rejected"
STREAM_READABLE = "stream_readable"
STREAM_WRITABLE = "stream_writable"
#: The peer has answered the ping with this number.
PONG = "pong"
#: The descriptor with this arrival number belongs to a message that was dropped: close it.
DROPPED_DESCRIPTOR = "dropped_descriptor"


@dataclass(frozen=True)
class Event:
    """What happened, to which entry. ``count`` belongs to `TAKEN`, `PONG` and `DROPPED_DESCRIPTOR`."""

    kind: str
    entry: Entry | None = None
    count: int = 0
