"""Senders that end cleanly by `finish` alone."""

import asyncio
import gc
import unittest
from dataclasses import dataclass

from support import AsyncCase, channel, sessions

import libchan
from libchan import MustFinish, OneshotSender, Sender


@dataclass
class Query:
    table: str
    rows: MustFinish[int]


@dataclass
class Strict:
    rows: MustFinish[int]
    done: OneshotSender[int]
    number: int


@dataclass
class Lenient:
    rows: Sender[int]
    done: Sender[int]


class Local(AsyncCase):
    async def test_finished(self):
        sender, receiver = libchan.pipe()
        with sender.must_finish() as rows:
            await rows.send(1)
            rows.finish()
        self.assertEqual([row async for row in receiver], [1])
        with self.assertRaises(libchan.AttachmentInUse):
            rows.finish()

    async def test_the_sender_it_was_is_spent(self):
        sender, _ = libchan.pipe()
        rows = sender.must_finish()
        with self.assertRaises(libchan.AttachmentInUse):
            await sender.send(1)
        rows.finish()

    async def unfinished(self, give_up):
        sender, receiver = libchan.pipe()
        rows = sender.must_finish()
        del sender
        await rows.send(1)
        give_up(rows)
        del rows
        gc.collect()
        self.assertEqual(await receiver.recv(), 1)
        with self.assertRaises(libchan.Abandoned) as caught:
            await receiver.recv()
        self.assertEqual(caught.exception.code, 42)

    async def test_dropped(self):
        await self.unfinished(MustFinish.drop)

    async def test_found_by_the_garbage_collector(self):
        await self.unfinished(lambda rows: None)

    async def test_a_scope_that_is_left_without_finish(self):
        def leave(rows):
            with rows:
                return

        await self.unfinished(leave)

    async def test_a_scope_that_an_exception_leaves(self):
        sender, receiver = libchan.pipe()
        with self.assertRaises(KeyError):
            async with sender.must_finish():
                raise KeyError
        with self.assertRaises(libchan.Panicked):
            await receiver.recv()

    async def test_a_cancelled_task_is_no_clean_end(self):
        sender, receiver = libchan.pipe(1)

        async def produce():
            async with sender.must_finish() as rows:
                while True:
                    await rows.send(0)

        task = asyncio.create_task(produce())
        self.assertEqual(await receiver.recv(), 0)
        task.cancel()
        with self.assertRaises(libchan.Panicked):
            while True:
                await receiver.recv()

    async def test_an_error_of_its_own(self):
        sender, receiver = libchan.pipe()
        with sender.must_finish() as rows:
            rows.close_with(7, "the table is gone")
        with self.assertRaises(libchan.Remote) as caught:
            await receiver.recv()
        self.assertEqual((caught.exception.app_code, caught.exception.text), (7, "the table is gone"))

    async def test_the_fault_is_seen_once_all_senders_have_ended(self):
        sender, receiver = libchan.pipe()
        other = sender.clone()
        first, second = sender.must_finish(), other.clone().must_finish()
        third = second.clone()
        first.finish()
        second.finish()
        third.drop()
        await other.send("goes on")
        other.drop()
        self.assertEqual(await receiver.recv(), "goes on")
        with self.assertRaises(libchan.Abandoned):
            await receiver.recv()


class Tcp(AsyncCase):
    async def test_across_a_link(self):
        async with sessions() as (dialed, accepted):
            for finish in (True, False):
                sender, receiver = await channel(dialed, accepted)
                with sender.must_finish() as rows:
                    await rows.send(1)
                    if finish:
                        rows.finish()
                self.assertEqual(await receiver.recv(), 1)
                with self.assertRaises(libchan.EndOfChannel if finish else libchan.Abandoned):
                    await receiver.recv()

    async def test_a_type_asks_for_it(self):
        async with sessions() as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, type=Query)
            rows, read = libchan.pipe()
            await sender.send({"table": "people", "rows": rows})
            query = await receiver.recv()
            self.assertIsInstance(query.rows, MustFinish)
            await query.rows.send(1)
            query.rows.drop()
            self.assertEqual(await read.recv(), 1)
            with self.assertRaises(libchan.Abandoned):
                await read.recv()

    async def test_ends_of_a_message_that_does_not_decode_say_so_whatever_its_type_asks_for(self):
        async with sessions() as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, type=Strict)
            (rows, read), (done, answer) = libchan.pipe(), libchan.oneshot()
            await sender.send({"rows": rows, "done": done, "number": "no number"})
            with self.assertRaises(libchan.Decode):
                await receiver.recv()
            for end in (read, answer):
                with self.assertRaises(libchan.NotDecoded):
                    await end.recv()

    async def test_an_alternative_that_does_not_fit_takes_nothing(self):
        async with sessions() as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, type=Strict | Lenient)
            (rows, read), (done, answer) = libchan.pipe(), libchan.pipe()
            await sender.send({"rows": rows, "done": done})
            got = await receiver.recv()
            self.assertEqual((type(got), type(got.rows), type(got.done)), (Lenient, Sender, Sender))
            for end, far in ((got.rows, read), (got.done, answer)):
                await end.send(5)
                end.drop()
                self.assertEqual([value async for value in far], [5])

    async def test_one_end_that_two_fields_ask_for(self):
        async with sessions() as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, type=tuple[MustFinish[int], Sender[int]])
            rows, read = libchan.pipe()
            await sender.send([rows, rows])
            strict, plain = await receiver.recv()
            await plain.send(1)
            plain.drop()
            strict.finish()
            self.assertEqual([value async for value in read], [1])


if __name__ == "__main__":
    unittest.main()
