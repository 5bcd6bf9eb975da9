"""Messages that a competing worker has not taken: they go to another whole, with all that they carry; what they carry
is told apart where the worker is lost."""

import asyncio
import os
import tempfile
import unittest

from support import AsyncCase, channel, sessions, settle, untaken

import libchan
from libchan import ByteStream, Fd
from libchan.proto import codes


class Links:
    carrier: str

    async def test_a_stream_goes_to_the_next_whole(self):
        for leaves in ("drop", "close", "session"):
            async with sessions(self.carrier) as (a, b):
                stream, other = ByteStream.pair()
                await stream.write(b"written before")
                jobs, inbox, worker = await untaken(a, b, {"input": other})
                await stream.write(b", meanwhile")
                if leaves == "session":
                    await b.close()
                else:
                    worker.drop()
                job = await inbox.recv()
                await stream.write(b" and after")
                stream.finish()
                self.assertEqual(await job["input"].read(), b"written before, meanwhile and after")
                await job["input"].write(b"answer")
                job["input"].finish()
                self.assertEqual(await stream.read(), b"answer")
                self.assertEqual(a._engine.untaken, set())

    async def test_from_one_worker_to_another_over_links(self):
        async with sessions(self.carrier) as (a, b), sessions(self.carrier) as (a2, c):
            stream, other = ByteStream.pair()
            jobs, inbox, first = await untaken(a, b, {"input": other})
            sender, receiver = await channel(a2, c)
            await sender.send(inbox)
            second = await receiver.recv()
            asking = asyncio.create_task(second.recv())
            await settle()
            first.drop()
            job = await asking
            await stream.write(b"whole")
            stream.finish()
            self.assertEqual(await job["input"].read(), b"whole")
            job["input"].drop()
            stream.drop()

    async def test_a_stream_moves_once_its_message_is_taken(self):
        async with sessions(self.carrier) as (a, b):
            stream, other = ByteStream.pair()
            jobs, inbox, worker = await untaken(a, b, {"input": other})
            await stream.write(b"question")
            job = await worker.recv()
            self.assertEqual(await job["input"].readexactly(8), b"question")
            await job["input"].write(b"answer")
            self.assertEqual(await stream.readexactly(6), b"answer")
            stream.drop()
            job["input"].drop()

    async def test_a_receiver_goes_to_the_next_with_its_messages(self):
        async with sessions(self.carrier) as (a, b):
            words, reading = libchan.pipe()
            await words.send("first")
            jobs, inbox, worker = await untaken(a, b, {"words": reading})
            await words.send("second")
            worker.drop()
            job = await inbox.recv()
            words.drop()
            self.assertEqual([word async for word in job["words"]], ["first", "second"])

    async def test_a_receiver_whose_message_is_taken(self):
        async with sessions(self.carrier) as (a, b):
            words, reading = libchan.pipe()
            jobs, inbox, worker = await untaken(a, b, {"words": reading})
            job = await worker.recv()
            await words.send("only there")
            self.assertEqual(await job["words"].recv(), "only there")
            job["words"].close_with(5, "enough")
            self.assertEqual((await words.closed()).text, "enough")

    async def test_a_descriptor_goes_to_the_next(self):
        async with sessions(self.carrier) as (a, b):
            reading, writing = os.pipe()
            before = len(os.listdir("/proc/self/fd"))
            with os.fdopen(writing, "wb") as file:
                jobs, inbox, worker = await untaken(a, b, {"input": Fd(reading)})
                os.close(reading)
                worker.drop()
                job = await inbox.recv()
                file.write(b"by the pipe")
            stream = job["input"].stream() if isinstance(job["input"], Fd) else job["input"]
            self.assertEqual(await stream.read(), b"by the pipe")
            stream.drop()
            del job, stream
            await settle()
            self.assertEqual(len(os.listdir("/proc/self/fd")), before - 2)

    async def test_what_a_lost_worker_had_is_lost_and_says_so(self):
        async with sessions(self.carrier) as (a, b):
            stream, other = ByteStream.pair()
            (done, said), (words, reading) = libchan.pipe(), libchan.pipe()
            jobs, inbox, worker = await untaken(a, b, {"input": other, "done": done, "words": reading})
            b.abort()
            with self.assertRaises(libchan.StreamError) as caught:
                await stream.read()
            self.assertEqual(caught.exception.code, codes.DISCONNECTED)
            with self.assertRaises(libchan.Disconnected):
                await said.recv()
            self.assertIsInstance(await words.closed(), libchan.Disconnected)
            await jobs.send("next")
            self.assertEqual(await inbox.recv(), "next")

    async def test_the_last_worker_is_lost(self):
        async with sessions(self.carrier) as (a, b):
            stream, other = ByteStream.pair()
            done, said = libchan.pipe()
            jobs, inbox, worker = await untaken(a, b, {"input": other, "done": done})
            inbox.drop()
            b.abort()
            # The worker may have taken it: that it was not delivered would be a lie.
            with self.assertRaises(libchan.Disconnected):
                await said.recv()
            with self.assertRaises(libchan.StreamError) as caught:
                await stream.read()
            self.assertEqual(caught.exception.code, codes.DISCONNECTED)

    async def test_the_last_worker_leaves(self):
        async with sessions(self.carrier) as (a, b):
            stream, other = ByteStream.pair()
            (done, said), (words, reading) = libchan.pipe(), libchan.pipe()
            jobs, inbox, worker = await untaken(a, b, {"input": other, "done": done, "words": reading})
            inbox.drop()
            worker.drop()
            with self.assertRaises(libchan.NotDelivered):
                await said.recv()
            with self.assertRaises(libchan.StreamError) as caught:
                await stream.read()
            self.assertEqual(caught.exception.code, codes.NOT_DELIVERED)
            self.assertIsInstance(await words.closed(), libchan.NotDelivered)
            self.assertEqual(a._engine.untaken, set())
            await settle()
            self.assertTrue(all(entry in a._engine.named for entry in a._engine.machine.entries.open.values()))

    async def test_what_its_worker_says_of_an_end_after_it_was_taken_counts(self):
        async with sessions(self.carrier) as (a, b):
            done, said = libchan.pipe()
            jobs, inbox, worker = await untaken(a, b, {"done": done})
            job = await worker.recv()
            # It hands the end on, in a message that nobody takes.
            further, unread = libchan.pipe()
            await further.send(job["done"])
            unread.drop()
            with self.assertRaises(libchan.NotDelivered):
                await said.recv()

    async def test_a_message_that_cannot_be_sent_leaves_nothing_behind(self):
        small = {"limits": libchan.Limits(max_channels=6)}
        async with sessions(self.carrier, small, small) as (a, b):
            jobs, inbox, worker = await untaken(a, b, "first")
            asking = asyncio.create_task(worker.recv())
            self.assertEqual(await asking, "first")
            asking = asyncio.create_task(worker.recv())
            await settle()
            channels = [libchan.pipe() for _ in range(8)]
            with self.assertRaises(libchan.Limit):
                await jobs.send([sender for sender, _ in channels])
            for sender, receiver in channels:
                await sender.send("still good")
                sender.drop()
                self.assertEqual([word async for word in receiver], ["still good"])
            await jobs.send("fits")
            self.assertEqual(await asking, "fits")

    async def test_a_stream_that_was_read_here_before_holds_up_no_close(self):
        async with sessions(self.carrier) as (a, b):
            stream, other = ByteStream.pair()
            await stream.write(b"read here")
            await other.readexactly(9)
            jobs, inbox, worker = await untaken(a, b, {"input": other})
            await a.close()
            stream.drop()

    async def test_close_waits_for_what_a_stream_has_taken(self):
        async with sessions(self.carrier) as (a, b):
            stream, other = ByteStream.pair()
            jobs, inbox, worker = await untaken(a, b, {"input": other})
            await stream.write(b"accepted")
            closing = asyncio.create_task(a.close())
            await settle()
            self.assertFalse(closing.done())
            job = await worker.recv()
            self.assertEqual(await job["input"].readexactly(8), b"accepted")
            job["input"].drop()
            await closing
            stream.drop()


class Tcp(Links, AsyncCase):
    carrier = "tcp"


class Unix(Links, AsyncCase):
    carrier = "unix"

    async def test_a_file_is_dropped_with_its_message(self):
        async with sessions("unix") as (a, b):
            before = len(os.listdir("/proc/self/fd"))
            with tempfile.TemporaryFile() as file:
                jobs, inbox, worker = await untaken(a, b, Fd(file))
                inbox.drop()
                worker.drop()
                await jobs.closed()
            await settle()
            self.assertEqual(len(os.listdir("/proc/self/fd")), before)


if __name__ == "__main__":
    unittest.main()
