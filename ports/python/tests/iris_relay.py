"""The relay's side of an Iris session, by hand: a test says each of its messages."""

from __future__ import annotations

import contextlib

from support import sessions

import libchan
from libchan import iris


class FakeRelay:
    """What a relay gets from one application, raw, as it stands in spec/iris.md."""

    def __init__(self, session):
        self.session = session
        self._channels = {}
        self._requests = None

    async def next(self, name):
        """The next message on a named channel of the application."""
        while name not in self._channels:
            incoming = await self.session.accept()
            assert incoming is not None, f"the session is over, and {name} was never opened"
            self._channels[incoming.name] = incoming.receive()
        return await self._channels[name].recv()

    async def requests(self):
        """The two channels about requests."""
        if self._requests is None:
            opened = await self.next("iris/1/requests")
            assert sorted(opened) == ["answers", "asks"]
            self._requests = opened["asks"], opened["answers"]
        return self._requests

    async def asked(self):
        """The next ask."""
        asks, _ = await self.requests()
        return await asks.recv()

    async def request(self):
        """The next ask, which is a request: number, cluster, milliseconds left, whether to wait, body."""
        asked = await self.asked()
        assert list(asked) == ["Request"], asked
        return asked["Request"]

    async def answer(self, number, verdict):
        _, answers = await self.requests()
        await answers.send([number, verdict])

    async def registered(self):
        """The next registration, which is in force from now on."""
        asked = await self.next("iris/1/register")
        await asked["ready"].send({"Ok": None})
        return asked


def plain(text):
    """A body of plain bytes."""
    return [0, text.encode() if isinstance(text, str) else text, []]


def value(body):
    """What a body of msgpack without ends holds."""
    return iris.Body(*body).read()


def body(value):
    """A body of msgpack, on its way: its ends stand in it."""
    made = iris.Body.of(value)
    wire = made.wire()
    made.settle()
    return wire


@contextlib.asynccontextmanager
async def attached(carrier="unix"):
    """An application's connection, and the relay at its other end."""
    async with sessions(carrier) as (dialed, accepted):
        connection = iris.Connection(dialed)
        try:
            yield connection, FakeRelay(accepted)
        finally:
            accepted.abort()
            with contextlib.suppress(iris.Closed, libchan.SessionError):
                await connection.close()
