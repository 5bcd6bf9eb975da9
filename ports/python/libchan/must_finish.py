"""Senders that end cleanly by `finish` alone: what `Sender.must_finish` gives."""

from __future__ import annotations

from typing import TypeVar

from .ends import Sender
from .proto import codes
from .proto.errors import NO_REASON, Reason

T = TypeVar("T")


class MustFinish(Sender[T]):
    """A sender whose end must not look complete before it is.

    `finish` is its only clean end. Given up in any other way, its receiver gets an error behind what was sent, once all
    other senders have ended: `Abandoned` where it was dropped, where its ``with`` was left without `finish`, or where
    the garbage collector found it; `Panicked` where an exception left its ``with``.

        async with session.open("rows").must_finish() as rows:
            for row in table:
                await rows.send(row)
            rows.finish()

    A type of messages may ask for it, ``rows: libchan.MustFinish[Row]``: then who answers cannot forget it. Its clones
    must be finished too. Sent in a message it travels as a `Sender`, and the type at the other side decides.
    """

    __slots__ = ()

    def finish(self) -> None:
        """All was sent: gives this handle up, and says that it has ended cleanly. `AttachmentInUse` if it was given up
        before."""
        self._need_open()
        self._end(NO_REASON)

    def drop(self) -> None:
        """Gives it up unfinished: the receiver sees `Abandoned`."""
        self._end(Reason(codes.ABANDONED))
