"""Tunnels: messages of any size, in order and throttled, between an application and one member of a cluster."""

from __future__ import annotations

import asyncio
from typing import Any

from ..ends import Receiver, Sender
from ..errors import AttachmentInUse, EndOfChannel, RecvError, SendError
from . import wire
from .errors import Closed, IrisError, Local, Lost, NotDecoded, not_sent

#: Longest part of a message that travels as one, in bytes.
_PIECE = 256 * 1024
#: Pieces on their way, so 4 MiB at the most each way.
PIECES = 16


class Tunnel:
    """Two ways of messages between an application and a member of a cluster. Each way keeps its order, and a sender
    waits for its reader.

    `close`, or ``async with``, ends it cleanly: the other side reads what was sent, and then its end. Dropped before,
    it ends for the other side as `Lost`."""

    def __init__(self, out: Sender[Any], inward: Receiver[Any]) -> None:
        self._out = out
        self._inward = inward
        #: One message at a time: the parts of two must not mix.
        self._sending = asyncio.Lock()
        #: The beginning of a message whose rest has not come: a cancelled `recv` loses nothing.
        self._begun = bytearray()
        self._total = 0
        self._closed = False

    async def send(self, message: bytes | bytearray | memoryview) -> None:
        """Sends a message of any size; waits while the other side does not read. Cancelled, the message does not
        arrive, unless all of it had left; the next one is unharmed.

        Raises `Closed`: the tunnel was closed, here or there; `Lost`: the other side, or the relay, is gone."""
        rest = memoryview(message).cast("B")
        total: int | None = len(rest)
        async with self._sending:
            while total is not None or rest:
                if self._closed:
                    raise Closed("the tunnel was closed here")
                try:
                    await self._out.send(wire.piece(total, bytes(rest[:_PIECE])))
                except AttachmentInUse:
                    raise Closed("the tunnel was dropped here") from None
                except SendError as error:
                    raise _ended(error) from error
                total, rest = None, rest[_PIECE:]

    async def recv(self) -> bytes:
        """The next message. Cancelling it loses nothing. Raises `EndOfChannel` when the other side has closed the
        tunnel, where iterating stops; `Lost` when it, or the relay, is gone."""
        while True:
            try:
                total, data = wire.reading(await self._inward.recv(), wire.part)
            except AttachmentInUse:
                raise Local("the tunnel was dropped") from None
            except EndOfChannel:
                raise
            except RecvError as error:
                if error.is_end:
                    raise Lost("the other side of the tunnel, or the relay, is gone") from error
                raise NotDecoded(str(error)) from error
            if total is not None:
                # A message that its sender gave up before it was whole goes nowhere.
                self._begun.clear()
                self._total = total
            self._begun += data
            if len(self._begun) > self._total:
                self._begun.clear()
                self._total = 0
                raise NotDecoded("a piece of the tunnel is longer than its message")
            if len(self._begun) == self._total:
                message = bytes(self._begun)
                self._begun.clear()
                return message

    def __aiter__(self) -> Tunnel:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self.recv()
        except EndOfChannel:
            raise StopAsyncIteration from None

    def close(self) -> None:
        """Ends this side's messages cleanly, behind what was sent. The other side may go on: `recv` still gives what
        it sends."""
        self._closed = True
        self._out.close()

    def drop(self) -> None:
        """Gives the tunnel up. The other side sees `Lost`, unless it was closed."""
        if self._out._is_usable():
            if not self._closed:
                self._out.close_with(0, "the tunnel was dropped without being closed")
            self._out.drop()
        self._inward.drop()
        self._closed = True

    async def __aenter__(self) -> Tunnel:
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self.close()
        self.drop()


def _ended(error: SendError) -> IrisError:
    found = not_sent(error)
    return found if isinstance(found, (Lost, Local)) else Closed("the other side has closed the tunnel")
