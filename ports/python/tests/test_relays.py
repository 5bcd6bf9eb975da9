"""Ends that travel on: relays over two sessions, competing receivers, copies, and senders that come home."""

import asyncio
import contextlib
import unittest

from support import AsyncCase, channel, sessions, settle, untaken

import libchan
from libchan import ByteStream
from libchan.proto import frames
from libchan.proto.messages import Parts


@contextlib.asynccontextmanager
async def two(carrier="tcp"):
    """A -- B -- C: two sessions with a program in the middle."""
    async with sessions(carrier) as (a, b1), sessions(carrier) as (b2, c):
        yield a, b1, b2, c


class Relays(AsyncCase):
    async def test_a_sender_goes_on_through_another_session(self):
        async with two() as (a, b1, b2, c):
            to_b, at_b = await channel(a, b1)
            to_c, at_c = await channel(b2, c)
            words, reading = libchan.pipe(3)
            await to_b.send(words)
            await to_c.send(await at_b.recv())
            far = await at_c.recv()
            done, ended = libchan.pipe()
            await far.send({"done": done})
            message = await reading.recv()
            await message["done"].send("through two links")
            self.assertEqual(await ended.recv(), "through two links")
            message["done"].drop()
            far.drop()
            self.assertEqual([word async for word in reading], [])

    async def test_a_receiver_goes_on_and_the_capacity_holds(self):
        async with two() as (a, b1, b2, c):
            to_b, at_b = await channel(a, b1)
            to_c, at_c = await channel(b2, c)
            words, reading = libchan.pipe(2)
            await to_b.send(reading)
            await to_c.send(await at_b.recv())
            far = await at_c.recv()
            await words.send(1)
            await words.send(2)
            third = asyncio.create_task(words.send(3))
            await settle(0.2)
            self.assertFalse(third.done())
            self.assertEqual(await far.recv(), 1)
            self.assertEqual(await far.recv(), 2)
            await third
            words.close()
            self.assertEqual([word async for word in far], [3])
            await settle()
            for session in (a, c):
                self.assertEqual(len(session._engine.machine.entries.open), 1)

    async def test_a_rendezvous_through_a_relay_is_met_at_the_far_end(self):
        async with two() as (a, b1, b2, c):
            to_b, at_b = await channel(a, b1)
            to_c, at_c = await channel(b2, c)
            words, reading = libchan.pipe(0)
            await to_b.send(reading)
            await to_c.send(await at_b.recv())
            far = await at_c.recv()
            sending = asyncio.create_task(words.send("met"))
            await settle()
            self.assertFalse(sending.done())
            self.assertEqual(await far.recv(), "met")
            await sending

    async def test_reasons_go_through(self):
        async with two() as (a, b1, b2, c):
            to_b, at_b = await channel(a, b1)
            to_c, at_c = await channel(b2, c)
            words, reading = libchan.pipe(2)
            await to_b.send(reading)
            await to_c.send(await at_b.recv())
            (await at_c.recv()).close_with(5, "enough of it")
            error = await words.closed()
            self.assertEqual((type(error), error.code, str(error)), (libchan.Refused, 261, "enough of it"))
            words, reading = libchan.pipe(2)
            await to_b.send(words)
            await to_c.send(await at_b.recv())
            (await at_c.recv()).close_with(6, "all said")
            with self.assertRaisesRegex(libchan.Remote, "all said"):
                await reading.recv()

    async def test_a_link_that_is_lost_behind_a_relay(self):
        async with two() as (a, b1, b2, c):
            to_b, at_b = await channel(a, b1)
            to_c, at_c = await channel(b2, c)
            words, reading = libchan.pipe(2)
            more, reading_more = libchan.pipe(2)
            await to_b.send([words, reading_more])
            await to_c.send(await at_b.recv())
            far_words, far_reading = await at_c.recv()
            c.abort()
            with self.assertRaises(libchan.Disconnected):
                await reading.recv()
            self.assertIsInstance(await more.closed(), libchan.Disconnected)
            del far_words, far_reading

    async def test_copy_forwards_without_decoding(self):
        async with two() as (a, b1, b2, c):
            to_b, at_b = await channel(a, b1, 2)
            to_c, at_c = await channel(b2, c, 2)
            copying = asyncio.create_task(libchan.copy(at_b, to_c))
            near, far = ByteStream.pair()
            done, ended = libchan.pipe()
            await to_b.send({"stream": far, "done": done, "n": 1})
            message = await at_c.recv()
            await message["stream"].write(b"through")
            self.assertEqual(await near.readexactly(7), b"through")
            await message["done"].send(2)
            self.assertEqual(await ended.recv(), 2)
            for n in range(20):
                await to_b.send(n)
                self.assertEqual(await at_c.recv(), n)
            to_b.close_with(3, "over")
            with self.assertRaisesRegex(libchan.Remote, "over"):
                await at_c.recv()
            await copying
            near.drop()
            message["stream"].drop()

    async def test_copy_passes_the_refusal_back(self):
        async with two() as (a, b1, b2, c):
            to_b, at_b = await channel(a, b1, 2)
            to_c, at_c = await channel(b2, c, 2)
            copying = asyncio.create_task(libchan.copy(at_b, to_c))
            at_c.close_with(8, "full")
            error = await to_b.closed()
            self.assertEqual((type(error), error.code), (libchan.Refused, 264))
            await copying

    async def test_what_is_too_large_for_the_next_link(self):
        limits = libchan.Limits(max_message=1000)
        async with sessions() as (a, b1), sessions(options={"limits": limits}) as (b2, c):
            to_b, at_b = await channel(a, b1)
            to_c, at_c = await channel(b2, c)
            copying = asyncio.create_task(libchan.copy(at_b, to_c))
            await to_b.send(b"x" * 2000)
            await to_b.send(b"small")
            with self.assertRaises(libchan.NotForwarded):
                await at_c.recv()
            self.assertEqual(await at_c.recv(), b"small")
            to_b.close()
            await copying

    async def test_home_and_back_again(self):
        """An end that comes back to where its channel lives works, by a relay through the peer or without."""
        async with sessions() as (a, b):
            to_b, at_b = await channel(a, b)
            to_a, at_a = await channel(b, a)
            words, reading = libchan.pipe(4)
            await to_b.send([words, "there"])
            there, _ = await at_b.recv()
            await to_a.send(there)
            back = await at_a.recv()
            for n in range(10):
                await back.send(n)
                self.assertEqual(await reading.recv(), n)
            back.drop()
            self.assertEqual([word async for word in reading], [])

    async def test_a_sender_that_comes_home_is_taken_in(self):
        """Kind 5, which this library does not send by itself: sent by hand."""
        async with sessions() as (a, b):
            to_b, at_b = await channel(a, b)
            to_a, at_a = await channel(b, a)
            words, reading = libchan.pipe(4)
            await to_b.send(words)
            there = await at_b.recv()
            await there.send("from away")
            machine = b._engine.machine
            entry = there._core.outlets[0].entry
            machine.send(to_a._core.outlets[0].entry, Parts(1, b"\xd4\x01\x00", [entry], 0, {entry.id}))
            there.drop()
            b._engine.kick()
            home = await at_a.recv()
            await settle()
            self.assertEqual(reading._core.inlets, [])
            await home.send("from home")
            # What waits unread still counts against the link's memory, whoever holds it.
            self.assertGreater(reading._core.queue[0].charge, 0)
            self.assertEqual(await reading.recv(), "from away")
            self.assertEqual(await reading.recv(), "from home")
            home.drop()
            self.assertEqual([word async for word in reading], [])
            self.assertEqual(frames.SENDER_HOME, 5)


class Competing(AsyncCase):
    async def test_a_work_queue_over_several_sessions(self):
        async with sessions() as (a, b), sessions() as (a2, c):
            jobs, inbox = libchan.pipe(8)
            taken = []

            async def work(name, receiver):
                async for job in receiver:
                    taken.append((name, job["n"]))
                    await job["done"].send(name)
                    job["done"].drop()
                    await asyncio.sleep(0)

            workers = []
            for name, (near, far) in {"b": (a, b), "c": (a2, c)}.items():
                sender, receiver = await channel(near, far)
                await sender.send(inbox.clone())
                workers.append(asyncio.create_task(work(name, await receiver.recv())))
            workers.append(asyncio.create_task(work("a", inbox)))
            for n in range(90):
                done, said = libchan.pipe()
                await jobs.send({"n": n, "done": done})
                self.assertIn(await said.recv(), "abc")
            jobs.drop()
            await asyncio.gather(*workers)
            self.assertEqual(sorted(n for _, n in taken), list(range(90)))
            self.assertEqual({name for name, _ in taken}, {"a", "b", "c"})

    async def test_a_worker_that_leaves_leaves_its_jobs_to_others(self):
        async with sessions() as (a, b):
            done, said = libchan.pipe()
            _, inbox, worker = await untaken(a, b, {"done": done})
            worker.drop()
            job = await inbox.recv()
            await job["done"].send("served again")
            self.assertEqual(await said.recv(), "served again")

    async def test_a_worker_that_is_lost_takes_its_message_with_it(self):
        async with sessions() as (a, b):
            done, said = libchan.pipe()
            jobs, inbox, _worker = await untaken(a, b, {"done": done})
            b.abort()
            with self.assertRaises(libchan.Disconnected):
                await said.recv()
            await jobs.send("next")
            self.assertEqual(await inbox.recv(), "next")

    async def test_several_remote_senders(self):
        async with sessions() as (a, b), sessions() as (a2, c):
            words, reading = libchan.pipe(2)
            for near, far, name in ((a, b, "b"), (a2, c, "c")):
                sender, receiver = await channel(near, far)
                await sender.send(words.clone())
                there = await receiver.recv()

                async def speak(there=there, name=name):
                    with there:
                        for n in range(30):
                            await there.send((name, n))

                asyncio.create_task(speak())
            words.drop()
            got = [tuple(word) async for word in reading]
            for name in "bc":
                self.assertEqual([n for who, n in got if who == name], list(range(30)))


if __name__ == "__main__":
    unittest.main()
