"""What a message that was sent keeps here for as long as it may still go to another receiver.

A receiver that leaves without having taken it gives it back, and then it goes to the next one whole: so a handle of
each channel end in it stays here, a duplicate of each descriptor, and the bytes of a stream do not move before the
message is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .ends import Receiver, Sender
from .errors import SendError
from .fd import Fd
from .proto import codes
from .proto.entries import StreamEntry
from .proto.errors import NO_REASON, Reason
from .stream import ByteStream, LocalHalf

if TYPE_CHECKING:
    from .engine import Engine
    from .legs import Inlet


class Untaken:
    """It is `taken`, goes to another by `withdraw`, or is lost by `lose`."""

    def __init__(self, engine: Engine, ends: list[Any]) -> None:
        """``ends``: what the message carries, before it gets its places on the session. Raises a `SendError`, and then
        nothing has changed."""
        self._engine = engine
        #: What the message carries should it go to another, in the same order.
        self.ends: list[Any] = []
        self._inlets: list[Inlet] = []
        self._streams: list[tuple[StreamEntry, ByteStream | Fd]] = []
        try:
            for end in ends:
                self.ends.append(self._keep(end))
        except SendError:
            self.forget()
            raise
        engine.untaken.add(self)

    def _keep(self, end: Any) -> Any:
        if isinstance(end, (Sender, Receiver)):
            return end.clone()
        return end.duplicate() if isinstance(end, Fd) and self._engine.passes_descriptors else end

    def _duplicates(self) -> list[Any]:
        """What the message itself had one of, too. Streams wait here themselves."""
        streams = [end for _, end in self._streams]
        return [end for end in self.ends if not any(end is stream for stream in streams)]

    def add_inlet(self, inlet: Inlet) -> None:
        """A sender in the message has gone to the other side, which may hand it back unread."""
        inlet.tentative = True
        self._inlets.append(inlet)

    def add_stream(self, entry: StreamEntry, end: ByteStream | Fd) -> None:
        """A stream, or a descriptor that is carried as one, has this place on the session."""
        self._streams.append((entry, end))
        half = end._half if isinstance(end, ByteStream) else None
        if isinstance(half, LocalHalf):
            # What was read of it before is its reader's.
            half.passed()

    def holds_bytes(self) -> bool:
        """Whether something was written to a stream that waits for its message to be taken."""
        halves = [end._half for _, end in self._streams if isinstance(end, ByteStream)]
        return any(isinstance(half, LocalHalf) and half.holds() for half in halves)

    def forget(self) -> None:
        """The message was not sent: its own ends go on."""
        self._engine.untaken.discard(self)
        for end in self.ends:
            if isinstance(end, (Sender, Receiver)):
                end._end(NO_REASON)
            elif isinstance(end, Fd) and self._engine.passes_descriptors:
                end.drop()
        self.ends = []

    # ---- what becomes of it

    def taken(self) -> None:
        """What it carries is in the receiver's hands."""
        self._go_on(NO_REASON)

    def lose(self, reason: Reason) -> None:
        """It may have been taken, and nobody will ever say."""
        self._go_on(reason)

    def _go_on(self, reason: Reason) -> None:
        self._engine.untaken.discard(self)
        for inlet in self._inlets:
            inlet.decide(withdrawn=False)
        for end in self._duplicates():
            # How a sender there has ended is said by its inlet.
            end._end(reason if isinstance(end, Receiver) else NO_REASON)
        for entry, end in self._streams:
            self._engine.attach_stream(entry, end)
        self.ends = []

    def withdraw(self) -> None:
        """It was not taken. `ends` are what it carries again; what the other side says of them is of no account."""
        self._engine.untaken.discard(self)
        for inlet in self._inlets:
            inlet.decide(withdrawn=True)
        for entry, _ in self._streams:
            self._engine.machine.stream_finish(entry, Reason(codes.NOT_DELIVERED))
            self._engine.machine.stream_stop(entry, Reason(codes.NOT_DELIVERED))
