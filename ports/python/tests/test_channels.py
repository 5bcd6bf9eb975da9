"""The contract of channels, in one process and over links."""

import asyncio
import enum
import gc
import unittest
from dataclasses import dataclass

from support import AsyncCase, channel, sessions, settle

import libchan
from libchan import Receiver, Sender


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass
class Inner:
    number: int
    colour: Colour = Colour.RED


@dataclass
class Job:
    text: str
    done: Sender[int]
    inner: Inner | None = None
    more: Receiver[str] | None = None


class Pipes(AsyncCase):
    async def test_order_and_end(self):
        sender, receiver = libchan.pipe(4)

        async def send():
            with sender:
                for n in range(100):
                    await sender.send(n)

        task = asyncio.create_task(send())
        self.assertEqual([n async for n in receiver], list(range(100)))
        await task
        with self.assertRaises(libchan.EndOfChannel):
            await receiver.recv()

    async def test_room_behind_a_woken_send(self):
        sender, receiver = libchan.pipe(2)
        await sender.send(1)
        await sender.send(2)
        third = asyncio.create_task(sender.send(3))
        await settle()
        # Runs after the third was given room and before it goes on: it must wait its turn, and then has room itself.
        fourth = asyncio.create_task(sender.send(4))
        self.assertEqual([receiver.try_recv(), receiver.try_recv()], [1, 2])
        await settle()
        self.assertTrue(third.done() and fourth.done())
        self.assertEqual([receiver.try_recv(), receiver.try_recv()], [3, 4])

    async def test_capacity(self):
        sender, receiver = libchan.pipe(2)
        await sender.send(1)
        await sender.send(2)
        third = asyncio.create_task(sender.send(3))
        await settle()
        self.assertFalse(third.done())
        self.assertEqual(await receiver.recv(), 1)
        await third
        self.assertFalse(sender.try_send(4))
        self.assertEqual(receiver.try_recv(), 2)
        self.assertEqual(receiver.try_recv(), 3)
        self.assertIsNone(receiver.try_recv())

    async def test_rendezvous(self):
        sender, receiver = libchan.pipe(0)
        self.assertFalse(sender.try_send(1))
        sending = asyncio.create_task(sender.send(1))
        await settle()
        self.assertFalse(sending.done())
        self.assertEqual(await receiver.recv(), 1)
        await sending
        sending = asyncio.create_task(sender.send(2))
        await settle()
        sending.cancel()
        await settle()
        self.assertIsNone(receiver.try_recv())

    async def test_a_cancelled_receive_loses_nothing(self):
        sender, receiver = libchan.pipe(4)
        receiving = asyncio.create_task(receiver.recv())
        await asyncio.sleep(0)
        await sender.send("kept")
        receiving.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await receiving
        self.assertEqual(await receiver.recv(), "kept")

    async def test_a_cancelled_send_gives_its_room_back(self):
        sender, receiver = libchan.pipe(1)
        await sender.send(1)
        waiting = [asyncio.create_task(sender.send(n)) for n in (2, 3)]
        await settle()
        waiting[0].cancel()
        await settle()
        self.assertEqual([await receiver.recv(), await receiver.recv()], [1, 3])
        await waiting[1]

    async def test_errors(self):
        sender, receiver = libchan.pipe()
        sender.close_with(7, "out of paper")
        with self.assertRaises(libchan.Remote) as caught:
            await receiver.recv()
        self.assertEqual((caught.exception.app_code, caught.exception.text), (7, "out of paper"))
        sender, receiver = libchan.pipe(1)
        await sender.send(0)
        waiting = asyncio.create_task(sender.send(1))
        await settle()
        receiver.close_with(9, "enough")
        with self.assertRaises(libchan.Refused):
            await waiting
        with self.assertRaises(libchan.Refused):
            await sender.send(2)
        self.assertIsInstance(await sender.closed(), libchan.Refused)

    async def test_clones_compete_and_count(self):
        sender, receiver = libchan.pipe(10)
        second, third = sender.clone(), receiver.clone()
        sender.drop()
        await second.send("a")
        await second.send("b")
        self.assertEqual({await receiver.recv(), await third.recv()}, {"a", "b"})
        second.drop()
        for end in (receiver, third):
            with self.assertRaises(libchan.EndOfChannel):
                await end.recv()

    async def test_garbage_is_an_end_and_never_a_clean_one(self):
        sender, receiver = libchan.pipe()
        await sender.send(1)
        del sender
        self.assertEqual(await receiver.recv(), 1)
        with self.assertRaises(libchan.Abandoned):
            await receiver.recv()
        sender, receiver = libchan.pipe()
        del receiver
        gc.collect()
        self.assertIsInstance(await sender.closed(), libchan.Abandoned)


class Links:
    """The same over a carrier."""

    carrier = "tcp"

    async def test_values_and_order(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, 4)
            values = [None, True, -1, 2**63, 1.5, "text", b"bytes", [1, [2]], {"a": {"b": None}}, "x" * 100_000]

            async def send():
                for value in values * 20:
                    await sender.send(value)
                sender.drop()

            task = asyncio.create_task(send())
            self.assertEqual([value async for value in receiver], values * 20)
            await task

    async def test_capacity_holds_across_the_link(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, 3)
            for n in range(3):
                await sender.send(n)
            fourth = asyncio.create_task(sender.send(3))
            await settle()
            self.assertFalse(fourth.done())
            self.assertEqual(await receiver.recv(), 0)
            await receiver.recv()
            await fourth

    async def test_rendezvous_across_the_link(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, 0)
            sending = asyncio.create_task(sender.send("met"))
            await settle()
            self.assertFalse(sending.done())
            self.assertEqual(await receiver.recv(), "met")
            await sending
            for n in range(50):
                _, got = await asyncio.gather(sender.send(n), receiver.recv())
                self.assertEqual(got, n)

    async def test_jobs_with_reply_channels(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, 8, Job)

            async def work():
                async for job in receiver:
                    self.assertIsInstance(job, Job)
                    extra = [text async for text in job.more] if job.more else []
                    with job.done:
                        await job.done.send(len(job.text) + len(extra) + (job.inner.number if job.inner else 0))

            worker = asyncio.create_task(work())
            for n in range(60):
                done, length = libchan.pipe(n % 3)
                words, more = libchan.pipe(n % 4)
                job = Job("x" * n, done, Inner(n, Colour.BLUE) if n % 2 else None, more)
                await sender.send(job)
                with self.assertRaises(libchan.AttachmentInUse):
                    await done.send(1)
                with words:
                    await words.send("one")
                    await words.send("two")
                self.assertEqual([value async for value in length], [n + 2 + (n if n % 2 else 0)])
            sender.drop()
            await worker
            await settle()
            for session in (dialed, accepted):
                self.assertEqual(session._engine.machine.entries.open, {})
                machine = session._engine.machine
                self.assertEqual((machine.opened_here.count, machine.opened_there.count), (0, 0))
                self.assertEqual((machine.ours.growth, machine.ours.extra), (0, 0))

    async def test_ends_are_used_before_they_travel(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            words, reading = libchan.pipe(8)
            await words.send("before")
            await sender.send(reading)
            await words.send("after")
            words.drop()
            there = await receiver.recv()
            self.assertEqual([word async for word in there], ["before", "after"])

    async def test_large_messages(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, 2)
            for size in (0, 1000, 1024, 5000, 70_000, 1_000_000, 16_000_000):
                data = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
                sending = asyncio.create_task(sender.send(data))
                self.assertEqual(await receiver.recv(), data)
                await sending
            with self.assertRaises(libchan.TooLarge):
                await sender.send(b"x" * 17_000_000)
            await sender.send("still good")
            self.assertEqual(await receiver.recv(), "still good")

    async def test_refusals(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender = dialed.open("nobody")
            incoming = await accepted.accept()
            incoming.refuse("not here", 3)
            error = await sender.closed()
            self.assertIsInstance(error, libchan.Refused)
            self.assertEqual((str(error), error.code), ("not here", 259))
            forgotten = dialed.open("forgotten")
            await accepted.accept()
            self.assertEqual((await forgotten.closed()).code, 32)

    async def test_the_receiver_leaves_with_messages_untaken(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, 4)
            done, ended = libchan.pipe()
            await sender.send({"done": done})
            await settle()
            receiver.close_with(1, "no more")
            with self.assertRaises(libchan.NotDelivered):
                await ended.recv()
            self.assertIsInstance(await sender.closed(), libchan.Refused)

    async def test_what_is_not_claimed_is_closed(self):
        @dataclass
        class Nothing:
            a: int = 0

        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, 4, Nothing)
            done, ended = libchan.pipe()
            more, reading = libchan.pipe()
            await sender.send({"a": 1, "done": done, "reading": reading})
            self.assertEqual(await receiver.recv(), Nothing(1))
            with self.assertRaises(libchan.Unclaimed):
                await ended.recv()
            self.assertIsInstance(await more.closed(), libchan.Unclaimed)

    async def test_what_does_not_decode_is_one_error(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, 4, Job)
            done, ended = libchan.pipe()
            await sender.send({"text": 5, "done": done})
            await sender.send("not even a map")
            done2, ended2 = libchan.pipe()
            await sender.send(Job("good", done2))
            for wanted in (
                "Job.text: expected str, got a number",
                "expected Job { text, done, inner, more }, got a string",
            ):
                with self.assertRaisesRegex(libchan.Decode, wanted):
                    await receiver.recv()
            self.assertEqual((await receiver.recv()).text, "good")
            with self.assertRaisesRegex(libchan.NotDecoded, "Job.text: expected str, got a number"):
                await ended.recv()

    async def test_what_does_not_encode_is_refused_and_whole(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            done, length = libchan.pipe()
            with self.assertRaises(libchan.Encode):
                await sender.send({"done": done, "bad": object()})
            with self.assertRaises(libchan.TooManyAttachments):
                await sender.send([libchan.pipe()[0] for _ in range(65)])
            await sender.send(done)
            await (await receiver.recv()).send(4)
            self.assertEqual(await length.recv(), 4)

    async def test_queued_before_it_travels_and_not_encodable(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            words, reading = libchan.pipe()
            await words.send(object())
            await words.send("good")
            await sender.send(reading)
            there = await receiver.recv()
            with self.assertRaises(libchan.NotEncoded):
                await there.recv()
            self.assertEqual(await there.recv(), "good")

    async def test_the_same_end_twice_is_one_attachment(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            words, reading = libchan.pipe()
            await sender.send([words, words.clone(), words])
            ends = await receiver.recv()
            self.assertEqual(len(reading._core.inlets), 1)
            for n, end in enumerate(ends):
                await end.send(n)
                end.drop()
            self.assertEqual([n async for n in reading], [0, 1, 2])

    async def test_a_lost_link_is_never_a_clean_end(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, 4)
            await sender.send("arrived")
            await settle()
            dialed.abort()
            self.assertEqual(await receiver.recv(), "arrived")
            with self.assertRaises(libchan.Disconnected):
                await receiver.recv()
            with self.assertRaises(libchan.Disconnected):
                await sender.send("too late")
            with self.assertRaises(libchan.SessionError) as caught:
                await accepted.closed()
            self.assertEqual(caught.exception.kind, "lost")

    async def test_a_lost_rendezvous_says_that_its_outcome_is_unknown(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, 0)
            receiving = asyncio.create_task(receiver.recv())
            await settle()
            # What the receiver says of taking it never arrives.
            accepted._engine._writer.cancel()
            sending = asyncio.create_task(sender.send(1))
            self.assertEqual(await receiving, 1)
            await settle()
            dialed.abort()
            with self.assertRaises(libchan.Disconnected) as caught:
                await sending
            self.assertTrue(caught.exception.outcome_unknown)
            accepted._engine.machine.eof()
            await accepted._engine._end()

    async def test_close_in_good_order(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, 64)
            back = accepted.open("back")
            await dialed.accept()
            for n in range(30):
                await sender.send(n)
            await asyncio.gather(dialed.close(), accepted.closed())
            for n in range(30):
                self.assertEqual(await receiver.recv(), n)
            with self.assertRaises(libchan.SessionClosed):
                await receiver.recv()
            self.assertIsNone(await accepted.accept())
            self.assertTrue(back.is_closed())
            with self.assertRaises(libchan.Closed):
                await sender.send(1)
            with self.assertRaises(libchan.OpenError):
                dialed.open("again")

    async def test_an_unread_channel_delays_no_other(self):
        async with sessions(self.carrier) as (dialed, accepted):
            unread, _receiver = await channel(dialed, accepted, 1000)
            dialed.open("never accepted")
            filling = asyncio.create_task(_fill(unread))
            sender, receiver = await channel_by(dialed, accepted, "read")
            for n in range(200):
                await sender.send(n)
                self.assertEqual(await receiver.recv(), n)
            filling.cancel()

    async def test_a_flood_delays_no_newcomer_and_takes_no_share(self):
        """What several have to send leaves in turns: also where one was there first, and its window has grown."""
        async with sessions(self.carrier) as (dialed, accepted):
            got = {"first": 0, "second": 0}
            tasks = []

            async def take(name, receiver):
                async for _ in receiver:
                    got[name] += 1

            async def begin(name, size):
                sender, receiver = await channel(dialed, accepted, 64, name=name)
                tasks.append(asyncio.create_task(_flood(sender, size)))
                tasks.append(asyncio.create_task(take(name, receiver)))

            await begin("first", 20_000)
            while got["first"] < 200:
                await asyncio.sleep(0)
            late, late_receiver = await channel(dialed, accepted, name="late")
            before = got["first"]
            await late.send(b"x" * 2000)
            await late_receiver.recv()
            # The kernel's buffers hold some of what was written before.
            self.assertLess(got["first"] - before, 400)
            await begin("second", 20_000)
            while got["second"] < 100:
                await asyncio.sleep(0)
            before = dict(got)
            while got["second"] < before["second"] + 300:
                await asyncio.sleep(0)
            ratio = (got["first"] - before["first"]) / (got["second"] - before["second"])
            self.assertTrue(0.5 <= ratio <= 2, ratio)
            for task in tasks:
                task.cancel()


async def _flood(sender, size):
    while True:
        await sender.send(b"x" * size)


async def _fill(sender):
    while True:
        await sender.send(b"x" * 50_000)


async def channel_by(dialed, accepted, name):
    sender = dialed.open(name)
    while True:
        incoming = await accepted.accept()
        if incoming.name == name:
            return sender, incoming.receive()


class Tcp(Links, AsyncCase):
    carrier = "tcp"


class Unix(Links, AsyncCase):
    carrier = "unix"


class Tls(Links, AsyncCase):
    carrier = "tls"


class WebSocket(Links, AsyncCase):
    carrier = "ws"


class Wss(Links, AsyncCase):
    carrier = "wss"


if __name__ == "__main__":
    unittest.main()
