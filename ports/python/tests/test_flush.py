"""`Session.flush`: the peer's library has all that was accepted."""

import asyncio
import unittest

from support import AsyncCase, channel, sessions, settle

import libchan
from libchan import ByteStream


class Links:
    carrier: str

    async def test_what_was_accepted_is_there(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            for number in range(20):
                await sender.send(number)
            await dialed.flush()
            # Nothing more can leave: the peer has it, and loses nothing with the link.
            dialed.abort()
            for number in range(20):
                self.assertEqual(await receiver.recv(), number)

    async def test_it_waits_for_credit(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            for _ in range(4):
                await sender.send(bytes(40_000))
            flushed = asyncio.create_task(dialed.flush())
            await settle()
            self.assertFalse(flushed.done())
            for _ in range(4):
                await receiver.recv()
            await flushed

    async def test_it_waits_for_what_streams_have_taken(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            stream, other = ByteStream.pair()
            await sender.send(other)
            await stream.write(bytes(30_000))
            flushed = asyncio.create_task(dialed.flush())
            far = await receiver.recv()
            await settle()
            self.assertFalse(flushed.done())
            await far.readexactly(30_000)
            await flushed
            stream.drop()
            far.drop()

    async def test_many_calls_need_few_pings(self):
        limits = {"limits": libchan.Limits(max_pings=4)}
        async with sessions(self.carrier, limits, limits) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            await sender.send("before")
            await asyncio.gather(*[dialed.flush() for _ in range(50)])
            self.assertEqual(await receiver.recv(), "before")
            self.assertLessEqual(dialed._engine.machine._next_ping, 2)

    async def test_a_call_that_is_given_up(self):
        async with sessions(self.carrier) as (dialed, accepted):
            given_up = asyncio.create_task(dialed.flush())
            await asyncio.sleep(0)
            given_up.cancel()
            await dialed.flush()
            self.assertTrue(given_up.cancelled())

    async def test_a_session_that_is_over(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            await sender.send(bytes(100_000))
            flushed = asyncio.create_task(dialed.flush())
            await settle()
            accepted.abort()
            with self.assertRaises(libchan.SessionError):
                await flushed
            with self.assertRaises(libchan.SessionError):
                await dialed.flush()


class Tcp(Links, AsyncCase):
    carrier = "tcp"


class Unix(Links, AsyncCase):
    carrier = "unix"


if __name__ == "__main__":
    unittest.main()
