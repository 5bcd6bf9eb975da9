"""`Body`: what a request, reply, broadcast or event holds."""

from __future__ import annotations

from typing import Any

from .. import values
from ..errors import Decode, SendError
from ..proto import codes
from ..proto.errors import Reason
from .errors import Local, NotDecoded

_MSGPACK, _RAW = 1, 0


class Body:
    """Any value, or plain bytes, as it travels: a codec, the encoded value, and the channel ends, streams and
    descriptors in it.

    A `Body` in the place of a value goes as it is: to forward what came without decoding it, and to send plain bytes
    (`Body.bytes`) as the bindings of the original Iris see them. It is sent or read once."""

    __slots__ = ("codec", "payload", "_ends", "_collector")

    def __init__(self, codec: int, payload: bytes, ends: list[Any], collector: values.Collector | None = None) -> None:
        self.codec = codec
        #: The bytes that were sent, or the encoding of the value.
        self.payload = payload
        self._ends = ends
        #: Until the body is sent: gives the ends back to the value that they were taken from.
        self._collector = collector

    @classmethod
    def of(cls, value: Any) -> Body:
        """Encodes a value, and takes hold of the ends in it. A `Body` is given back as it is. Raises `Local`."""
        if isinstance(value, Body):
            return value
        try:
            payload, collector = values.encode(value, _MSGPACK)
        except SendError as error:
            raise Local(str(error)) from None
        return cls(_MSGPACK, payload, list(collector.move()), collector)

    @classmethod
    def bytes(cls, data: bytes | bytearray | memoryview | str) -> Body:
        """Plain bytes, or the UTF-8 of a text."""
        return cls(_RAW, data.encode() if isinstance(data, str) else bytes(data), [])

    def read(self, type: Any = None) -> Any:
        """The value, made into ``type``. Ends in it for which the type has no place are closed. Raises `NotDecoded`."""
        ends, self._ends = self._ends, []
        try:
            return values.decode(self.payload, self.codec, ends, type)
        except Decode as error:
            raise NotDecoded(str(error)) from None

    @property
    def ends(self) -> int:
        """How many channel ends, streams and descriptors it holds."""
        return len(self._ends)

    @property
    def weight(self) -> int:
        """What it counts in queues, in bytes."""
        return len(self.payload) + 64 * len(self._ends)

    def drop(self) -> None:
        """Nobody will read it: the ends in it end as not delivered."""
        ends, self._ends = self._ends, []
        for end in ends:
            end._end(Reason(codes.NOT_DELIVERED))

    # ---- on its way

    def wire(self) -> list[Any]:
        """As it stands in a message."""
        return [self.codec, self.payload, self._ends]

    def settle(self) -> None:
        """It was sent: its value has lost its ends."""
        self._ends = []
        if self._collector is not None:
            self._collector.settle()
            self._collector = None

    def undo(self) -> None:
        """It was not sent: its value has its ends again. A body that was made by hand keeps them."""
        if self._collector is not None:
            self._collector.undo()
            self._ends, self._collector = [], None

    def __repr__(self) -> str:
        return f"<Body of codec {self.codec}, {len(self.payload)} bytes, {len(self._ends)} ends>"
