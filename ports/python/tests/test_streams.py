"""Byte streams and descriptors."""

import asyncio
import gc
import os
import socket
import stat
import tempfile
import unittest

from support import AsyncCase, channel, sessions, settle

import libchan
from libchan import ByteStream, Fd
from libchan.proto import codes


class Local(AsyncCase):
    async def test_both_ways_with_half_close(self):
        one, other = ByteStream.pair()
        await one.write(b"ping")
        one.finish()
        self.assertEqual(await other.read(), b"ping")
        await other.write(b"pong")
        other.finish()
        other.drop()
        self.assertEqual(await one.read(), b"pong")
        with self.assertRaises(libchan.StreamError):
            await one.write(b"more")

    async def test_a_slow_reader_holds_the_writer(self):
        one, other = ByteStream.pair()
        writing = asyncio.create_task(one.write(b"x" * 200_000))
        await settle()
        self.assertFalse(writing.done())
        self.assertEqual(len(await other.readexactly(200_000)), 200_000)
        await writing


class Links:
    carrier = "tcp"

    async def test_a_stream_in_a_message(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            near, far = ByteStream.pair()
            await near.write(b"before ")
            await sender.send({"s": far})
            with self.assertRaises(libchan.AttachmentInUse):
                await sender.send({"s": far})
            there = (await receiver.recv())["s"]
            data = os.urandom(3_000_000)

            async def talk():
                await near.write(data)
                near.finish()

            talking = asyncio.create_task(talk())
            self.assertEqual(await there.read(), b"before " + data)
            await talking
            await there.write(b"answer")
            there.finish()
            self.assertEqual(await near.read(), b"answer")
            near.drop()
            there.drop()
            await settle()
            self.assertEqual(len(dialed._engine.machine.entries.open), 1)

    async def test_a_stream_that_was_read_here_before_it_travels_holds_up_no_close(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            stream, other = ByteStream.pair()
            await stream.write(b"read here")
            await other.readexactly(9)
            await sender.send(other)
            there = await receiver.recv()
            # Else it says that something was left behind.
            await dialed.close()
            there.drop()
            stream.drop()

    async def test_a_reader_that_leaves(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            near, far = ByteStream.pair()
            await sender.send(far)
            there = await receiver.recv()
            await there.write(b"half")
            there.drop()
            with self.assertRaises(libchan.StreamError):
                while True:
                    await near.write(b"x" * 10_000)
            # What was written comes, and then no clean end.
            self.assertEqual(await near.readexactly(4), b"half")
            with self.assertRaises(libchan.StreamError) as caught:
                await near.read()
            self.assertEqual(caught.exception.code, codes.ABANDONED)

    async def test_a_stream_that_is_cut(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            near, far = ByteStream.pair()
            await sender.send(far)
            there = await receiver.recv()
            await near.write(b"half")
            self.assertEqual(await there.readexactly(4), b"half")
            dialed.abort()
            with self.assertRaises(libchan.StreamError):
                await there.read()
            with self.assertRaises(libchan.StreamError):
                await there.write(b"x")

    async def test_an_error_of_the_writer(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            near, far = ByteStream.pair()
            await sender.send(far)
            there = await receiver.recv()
            near.finish_with(9, "disk full")
            with self.assertRaisesRegex(libchan.StreamError, "disk full"):
                await there.read()

    async def test_an_unread_stream_delays_nothing(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            near, far = ByteStream.pair()
            await sender.send(far)
            there = await receiver.recv()
            writing = asyncio.create_task(near.write(b"x" * 10_000_000))
            for n in range(100):
                await sender.send(n)
                self.assertEqual(await receiver.recv(), n)
            self.assertFalse(writing.done())
            there.drop()
            with self.assertRaises(libchan.StreamError):
                await writing

    async def test_a_file_in_a_message(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            with tempfile.TemporaryFile() as file:
                file.write(b"contents" * 100_000)
                file.seek(0)
                await sender.send({"file": Fd(file)})
                arrived = (await receiver.recv())["file"]
                wanted = Fd if self.carrier == "unix" else ByteStream
                self.assertIsInstance(arrived, wanted)
                stream = arrived.stream() if isinstance(arrived, Fd) else arrived
                self.assertEqual(await stream.read(), b"contents" * 100_000)
                stream.drop()

    async def test_descriptors_that_nobody_takes_are_closed_at_once(self):
        async with sessions(self.carrier) as (dialed, accepted):
            before = len(os.listdir("/proc/self/fd"))
            gc.disable()
            try:
                for _ in range(4):
                    sender, receiver = await channel(dialed, accepted, 4)
                    for _ in range(4):
                        with tempfile.TemporaryFile() as file:
                            file.write(b"x")
                            file.seek(0)
                            await sender.send(Fd(file))
                    receiver.drop()
                    await sender.closed()
                for _ in range(100):
                    if len(os.listdir("/proc/self/fd")) == before:
                        break
                    await settle(0.01)
                self.assertEqual(len(os.listdir("/proc/self/fd")), before)
            finally:
                gc.enable()

    async def test_a_pipe_to_be_written(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, type=Fd)
            ours, theirs = os.pipe()
            with os.fdopen(ours, "rb") as reading:
                with os.fdopen(theirs, "wb") as writing:
                    flags = os.get_blocking(writing.fileno())
                    await sender.send(Fd(writing))
                arrived = await receiver.recv()
                self.assertIsInstance(arrived, Fd)
                self.assertEqual(arrived.is_passed, self.carrier == "unix")
                stream = arrived.stream()
                await stream.write(b"written far away")
                stream.finish()
                stream.drop()
                loop = asyncio.get_running_loop()
                self.assertEqual(await loop.run_in_executor(None, reading.read), b"written far away")
                self.assertTrue(flags)

    async def test_a_stream_taken_as_a_descriptor(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, type=Fd)
            near, far = ByteStream.pair()
            await sender.send(far)
            fd = (await receiver.recv()).detach()
            with socket.socket(fileno=fd) as sock:
                sock.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(sock, b"by the kernel")
                self.assertEqual(await near.readexactly(13), b"by the kernel")
                await near.write(b"and back")
                near.finish()
                self.assertEqual(await loop.sock_recv(sock, 100), b"and back")
                self.assertEqual(await loop.sock_recv(sock, 100), b"")
            near.drop()
            await settle()

    async def test_what_is_no_stream_of_bytes(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            folder = Fd(os.open("/", os.O_RDONLY | os.O_DIRECTORY))
            if self.carrier == "unix":
                await sender.send(folder)
                arrived = await receiver.recv()
                self.assertTrue(stat.S_ISDIR(os.fstat(arrived._fd).st_mode))
                arrived.drop()
                return
            with self.assertRaisesRegex(libchan.NotPumpable, "a directory"):
                await sender.send([folder])
            self.assertTrue(folder.is_passed)
            folder.drop()
            await sender.send("still good")
            self.assertEqual(await receiver.recv(), "still good")


class Tcp(Links, AsyncCase):
    carrier = "tcp"


class Unix(Links, AsyncCase):
    carrier = "unix"

    def open_descriptors(self):
        return len(os.listdir("/proc/self/fd"))

    async def test_many_descriptors_and_none_is_lost(self):
        async with sessions("unix") as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, 64)
            await settle()
            before = self.open_descriptors()
            with tempfile.TemporaryFile() as file:
                inode = os.fstat(file.fileno()).st_ino

                async def send():
                    for n in range(40):
                        await sender.send([n, [Fd(file) for _ in range(n % 20)]])

                sending = asyncio.create_task(send())
                for n in range(40):
                    number, descriptors = await receiver.recv()
                    self.assertEqual((number, len(descriptors)), (n, n % 20))
                    for fd in descriptors:
                        self.assertEqual(os.fstat(fd._fd).st_ino, inode)
                        self.assertFalse(os.get_inheritable(fd._fd))
                        if n % 2:
                            fd.drop()
                await sending
            del descriptors, fd
            await settle()
            self.assertEqual(self.open_descriptors(), before)

    async def test_descriptors_of_dropped_messages_are_closed_and_given_back(self):
        async with sessions("unix", {"limits": libchan.Limits(max_descriptors=4)}) as (dialed, accepted):
            with tempfile.TemporaryFile() as file:
                before = self.open_descriptors()
                for _ in range(10):
                    sender, receiver = await channel(dialed, accepted)
                    await sender.send([Fd(file), Fd(file)])
                    await sender.send([Fd(file), Fd(file)])
                    await settle(0.01)
                    receiver.drop()
                    await sender.closed()
                await settle()
                self.assertEqual(self.open_descriptors(), before)

    async def test_no_descriptors_where_none_are_wanted(self):
        async with sessions("unix", {"limits": libchan.Limits(max_descriptors=0)}) as (dialed, accepted):
            self.assertEqual(dialed.limits.max_descriptors, 0)
            sender, receiver = await channel(dialed, accepted)
            with tempfile.TemporaryFile() as file:
                file.write(b"as bytes")
                file.seek(0)
                await sender.send(Fd(file))
            stream = await receiver.recv()
            self.assertIsInstance(stream, ByteStream)
            self.assertEqual(await stream.read(), b"as bytes")
            stream.drop()

    async def test_descriptors_are_passed_by_default(self):
        async with sessions("unix") as (dialed, accepted):
            self.assertEqual(dialed.limits.max_descriptors, 253)

    async def test_messages_that_wait_for_descriptors_delay_no_others(self):
        async with sessions("unix", {"limits": libchan.Limits(max_descriptors=2)}) as (dialed, accepted):
            with tempfile.TemporaryFile() as file:
                unread, hoard = await channel(dialed, accepted, name="unread")
                await unread.send([Fd(file), Fd(file)])
                sender, receiver = await channel(dialed, accepted)
                await sender.send(Fd(file))
                await unread.send("plain")
                other, reading = await channel(dialed, accepted, name="other")
                await other.send("passes")
                self.assertEqual(await reading.recv(), "passes")
                with self.assertRaises(libchan.Limit):
                    await other.send([Fd(file), Fd(file), Fd(file)])
                for fd in await hoard.recv():
                    fd.drop()
                (await receiver.recv()).drop()

    async def test_a_relay_passes_descriptors_on(self):
        async with sessions("unix") as (a, b1), sessions("tcp") as (b2, c):
            to_b, at_b = await channel(a, b1)
            to_c, at_c = await channel(b2, c)
            copying = asyncio.create_task(libchan.copy(at_b, to_c))
            with tempfile.TemporaryFile() as file:
                file.write(b"carried on")
                file.seek(0)
                await to_b.send(Fd(file))
                stream = await at_c.recv()
                self.assertEqual(await stream.read(), b"carried on")
                stream.drop()
            to_b.drop()
            await copying
            await settle()

    async def test_the_peer_is_known(self):
        async with sessions("unix") as (dialed, accepted):
            self.assertEqual((accepted.peer.uid, accepted.peer.pid), (os.getuid(), os.getpid()))


if __name__ == "__main__":
    unittest.main()
