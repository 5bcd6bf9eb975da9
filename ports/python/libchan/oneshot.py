"""Channels for one value: replies. On the wire they are ordinary senders of capacity 1."""

from __future__ import annotations

from typing import Any, Generator, TypeVar

from .channel import Core, Item
from .ends import Receiver, Sender, encoded
from .errors import AttachmentInUse, EndOfChannel, NoReply
from .proto import codes
from .proto.errors import NO_REASON, Reason

T = TypeVar("T")
_NO_REPLY = Reason(codes.NO_REPLY)


class OneshotSender(Sender[T]):
    """Sends one value. It travels in messages as every `Sender` does, and a peer may take it as one.

    Given up without a value, by whatever means, it ends with `NoReply` at the receiver, never cleanly.
    """

    __slots__ = ()
    _garbage = _NO_REPLY

    def send(self, value: T) -> None:  # type: ignore[override]
        """Sends the value, at once, and gives the end up. Raises as `Sender.send`; the value and the end are then as
        they were, unless the receiver is gone."""
        core = self._need_open()
        refusal = core.refusal()
        if refusal:
            raise refusal
        if core.untaken:
            raise AttachmentInUse("a oneshot has its value already")
        core.untaken += 1
        core.put(encoded(core, Item(core, value, counted=True)))
        self._end(NO_REASON)

    def try_send(self, value: T) -> bool:
        """As `send`: there is always room for the one value."""
        self.send(value)
        return True

    def clone(self) -> Any:
        raise TypeError("a OneshotSender sends one value: it cannot be cloned")

    def drop(self) -> None:
        """Gives it up without a value: the receiver sees `NoReply`."""
        self._end(_NO_REPLY)


class OneshotReceiver(Receiver[T]):
    """Receives the one value: ``await`` it. Raises a `RecvError`; an end without a value is `NoReply`, however cleanly
    the other side has said it. After the value it is given up."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, T]:
        return self.recv().__await__()

    async def recv(self) -> T:
        """The value. Cancelling it loses nothing; `drop` it to tell the sender that nobody waits."""
        try:
            value = await super().recv()
        except EndOfChannel:
            self.drop()
            raise NoReply("it ended without a reply", codes.NO_REPLY) from None
        except Exception:
            self.drop()
            raise
        self.drop()
        return value

    def try_recv(self) -> T | None:
        try:
            value = super().try_recv()
        except EndOfChannel:
            self.drop()
            raise NoReply("it ended without a reply", codes.NO_REPLY) from None
        if value is not None:
            self.drop()
        return value


def oneshot(type: Any = None) -> tuple[OneshotSender[Any], OneshotReceiver[Any]]:
    """A channel for one value. ``type``: what a value that comes over a link is made into."""
    core = Core(1)
    return OneshotSender(core), OneshotReceiver(core, type)
