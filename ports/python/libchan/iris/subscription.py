"""A subscription: what is published under a topic, as an iterator."""

from __future__ import annotations

from typing import Any

from ..ends import Receiver
from ..errors import AttachmentInUse, EndOfChannel, RecvError
from . import wire
from .body import Body
from .errors import Local, Lost, NotDecoded


class Subscription:
    """What is published under a topic: ``async for value in subscription``. `drop`, ``async with`` and the garbage
    collector unsubscribe.

    A subscription that does not read loses what does not fit, and nobody else is delayed: `lost` counts."""

    def __init__(self, topic: str, events: Receiver[Any], type: Any) -> None:
        self.topic = topic
        #: How many events were lost because they did not fit, before the last one that was read.
        self.lost = 0
        self._events = events
        self._type = type

    async def next(self) -> Any:
        """The next event, made into the subscription's type. Cancelling it loses nothing.

        Raises `NotDecoded`: this event is of another type, and the next one is unharmed; `Lost`: the relay is gone;
        `EndOfChannel`: the subscription was dropped here, or the relay has ended it. Iterating stops there."""
        try:
            lost, body = wire.reading(await self._events.recv(), wire.event)
        except AttachmentInUse:
            raise Local("the subscription was dropped") from None
        except EndOfChannel:
            raise
        except RecvError as error:
            if error.is_end:
                raise Lost("the relay is gone") from error
            raise NotDecoded(str(error)) from error
        self.lost = lost
        return body if self._type is Body else body.read(self._type)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.next()
        except EndOfChannel:
            raise StopAsyncIteration from None

    def drop(self) -> None:
        """Unsubscribes: what waits is lost."""
        self._events.drop()

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.drop()

    def __repr__(self) -> str:
        return f"<Subscription of {self.topic!r}, {self.lost} lost>"
