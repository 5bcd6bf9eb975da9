"""How ends that their application has not ended come to their end: a code and an error of its own for each row of the
contract, and never a clean end."""

import asyncio
import gc
import unittest
from dataclasses import dataclass

from support import AsyncCase, channel, sessions, settle, untaken

import libchan
from libchan import ByteStream, OneshotSender, Receiver, Sender
from libchan.proto import codes


@dataclass
class Job:
    text: str
    done: Sender[str]


@dataclass
class Other:
    number: int


async def ended(receiver):
    """How a channel ends, once all messages are taken."""
    while True:
        try:
            await receiver.recv()
        except libchan.LibchanError as error:
            if getattr(error, "is_end", True):
                return error


class Local(AsyncCase):
    async def test_an_exception_that_leaves_the_scope(self):
        sender, receiver = libchan.pipe()
        with self.assertRaises(KeyError):
            with sender:
                await sender.send(1)
                raise KeyError("secret")
        self.assertEqual(await receiver.recv(), 1)
        with self.assertRaisesRegex(libchan.Panicked, "KeyError") as caught:
            await receiver.recv()
        self.assertNotIn("secret", str(caught.exception))
        sender, receiver = libchan.pipe()
        with self.assertRaises(KeyError):
            async with receiver:
                raise KeyError
        self.assertIsInstance(await sender.closed(), libchan.Panicked)
        one, other = ByteStream.pair()
        with self.assertRaises(KeyError):
            with one:
                await one.write(b"half")
                raise KeyError
        self.assertEqual(await other.readexactly(4), b"half")
        with self.assertRaises(libchan.StreamError) as caught:
            await other.read()
        self.assertEqual(caught.exception.code, codes.PANICKED)

    async def test_a_fault_sticks_with_several_senders(self):
        sender, receiver = libchan.pipe()
        second, third = sender.clone(), sender.clone()
        with self.assertRaises(KeyError):
            with second:
                raise KeyError
        await sender.send("goes on")
        sender.drop()
        self.assertEqual(await receiver.recv(), "goes on")
        self.assertIsNone(receiver.try_recv())
        third.close()
        with self.assertRaises(libchan.Panicked):
            await receiver.recv()

    async def test_a_lost_clone_of_a_receiver_counts_only_as_the_last(self):
        sender, receiver = libchan.pipe()
        second = receiver.clone()
        with self.assertRaises(KeyError):
            with second:
                raise KeyError
        await sender.send("still taken")
        self.assertEqual(await receiver.recv(), "still taken")
        self.assertFalse(sender.is_closed())

    async def test_what_is_dropped_unread_in_one_process(self):
        jobs, inbox = libchan.pipe()
        done, answer = libchan.pipe()
        one, other = ByteStream.pair()
        await jobs.send({"done": [done], "stream": other})
        inbox.drop()
        with self.assertRaises(libchan.NotDelivered):
            await answer.recv()
        with self.assertRaises(libchan.StreamError) as caught:
            await one.read()
        self.assertEqual(caught.exception.code, codes.NOT_DELIVERED)

    async def test_a_value_that_was_not_accepted_keeps_its_ends(self):
        jobs, inbox = libchan.pipe(0)
        done, answer = libchan.pipe()
        sending = asyncio.create_task(jobs.send([done]))
        await settle()
        inbox.drop()
        with self.assertRaises(libchan.Dropped):
            await sending
        await done.send("mine")
        self.assertEqual(await answer.recv(), "mine")

    async def test_a_oneshot(self):
        reply, answer = libchan.oneshot()
        reply.send(5)
        self.assertEqual(await answer, 5)
        with self.assertRaises(libchan.AttachmentInUse):
            reply.send(6)
        with self.assertRaises(TypeError):
            libchan.oneshot()[0].clone()
        for give_up in (OneshotSender.drop, OneshotSender.close):
            reply, answer = libchan.oneshot()
            give_up(reply)
            with self.assertRaises(libchan.NoReply):
                await answer
        reply, answer = libchan.oneshot()
        del reply
        gc.collect()
        with self.assertRaises(libchan.NoReply):
            await answer
        reply, answer = libchan.oneshot()
        answer.drop()
        self.assertIsInstance(await reply.closed(), libchan.Dropped)
        with self.assertRaises(libchan.Dropped):
            reply.send(1)

    async def test_a_call(self):
        jobs, inbox = libchan.pipe()

        async def serve():
            async for job in inbox:
                with job.done:
                    if job.text == "fail":
                        raise ValueError
                    if job.text != "nothing":
                        job.done.send(job.text.upper())

        serving = asyncio.create_task(serve())
        self.assertEqual(await jobs.call(lambda reply: Job("a", reply)), "A")
        with self.assertRaises(libchan.CallError) as caught:
            await jobs.call(lambda reply: Job("nothing", reply))
        self.assertIsInstance(caught.exception.error, libchan.NoReply)
        self.assertFalse(caught.exception.is_safe_to_retry)
        with self.assertRaises(libchan.CallError) as caught:
            await jobs.call(lambda reply: Job("fail", reply))
        self.assertIsInstance(caught.exception.error, libchan.Panicked)
        self.assertFalse(caught.exception.is_safe_to_retry)
        with self.assertRaises(ValueError):
            await serving

    async def test_a_call_that_takes_too_long_tells_the_handler(self):
        jobs, inbox = libchan.pipe()
        calling = asyncio.create_task(jobs.call(lambda reply: Job("slow", reply), timeout=0.05))
        job = await inbox.recv()
        with self.assertRaises(libchan.CallError) as caught:
            await calling
        self.assertIsInstance(caught.exception.error, TimeoutError)
        self.assertFalse(caught.exception.is_safe_to_retry)
        self.assertIsInstance(await job.done.closed(), libchan.Dropped)
        full, _unread = libchan.pipe(1)
        await full.send(0)
        with self.assertRaises(libchan.CallError) as caught:
            await full.call(lambda reply: Job("waits", reply), timeout=0.05)
        self.assertTrue(caught.exception.is_safe_to_retry)


class Links:
    carrier = "tcp"

    async def rows(self, far, near, receiver):
        """What becomes of the ends of a message; ``near`` sends it, ``far`` does something to it."""
        done, answer = libchan.pipe()
        words, reading = libchan.pipe()
        one, other = ByteStream.pair()
        await near.send({"done": done, "reading": reading, "stream": other})
        await far()
        with self.assertRaises(libchan.StreamError) as caught:
            await one.read()
        return await ended(answer), await words.closed(), caught.exception.code

    async def test_dropped_unread(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)

            async def drop():
                receiver.drop()

            first, second, code = await self.rows(drop, sender, receiver)
            self.assertIsInstance(first, libchan.NotDelivered)
            self.assertIsInstance(second, libchan.NotDelivered)
            self.assertEqual(code, codes.NOT_DELIVERED)

    async def test_not_decoded(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, type=Other)

            async def take():
                with self.assertRaises(libchan.Decode):
                    await receiver.recv()

            first, second, code = await self.rows(take, sender, receiver)
            self.assertIsInstance(first, libchan.NotDecoded)
            self.assertIn("expected Other { number }", str(first))
            self.assertIsInstance(second, libchan.NotDecoded)
            self.assertEqual(code, codes.NOT_DECODED)

    async def test_unclaimed(self):
        @dataclass
        class Empty:
            pass

        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, type=Empty)
            first, second, code = await self.rows(receiver.recv, sender, receiver)
            self.assertIsInstance(first, libchan.Unclaimed)
            self.assertIsInstance(second, libchan.Unclaimed)
            self.assertEqual(code, codes.UNCLAIMED)

    async def test_refused(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender = dialed.open("nobody")

            async def refuse():
                (await accepted.accept()).refuse("not here", 3)

            first, second, code = await self.rows(refuse, sender, None)
            self.assertIsInstance(first, libchan.NotDelivered)
            self.assertIsInstance(second, libchan.NotDelivered)
            self.assertEqual(code, codes.NOT_DELIVERED)
            self.assertEqual((await sender.closed()).code, 259)

    async def test_panicked_abandoned_and_no_reply(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, type=Job)
            answers = []
            for text in ("panic", "garbage"):
                done, answer = libchan.pipe()
                await sender.send(Job(text, done))
                answers.append(answer)
            reply, answer = libchan.oneshot()
            await sender.send(Job("clean", reply))
            job = await receiver.recv()
            with self.assertRaises(KeyError):
                with job.done:
                    await job.done.send("row")
                    raise KeyError
            job = await receiver.recv()
            del job
            gc.collect()
            job = await receiver.recv()
            job.done.drop()
            self.assertEqual(await answers[0].recv(), "row")
            self.assertIsInstance(await ended(answers[0]), libchan.Panicked)
            self.assertIsInstance(await ended(answers[1]), libchan.Abandoned)
            with self.assertRaises(libchan.NoReply):
                await answer

    async def test_a_session_that_closes_with_everything_unfinished(self):
        for closes in ("caller", "server"):
            async with sessions(self.carrier) as (dialed, accepted):
                sender, receiver = await channel(dialed, accepted)
                done, answer = libchan.pipe()
                one, other = ByteStream.pair()
                words, reading = libchan.pipe()
                await sender.send([done, other, reading])
                their_done, their_stream, their_reading = await receiver.recv()
                await their_done.send("row")
                await their_stream.write(b"half")
                self.assertEqual(await answer.recv(), "row")
                self.assertEqual(await one.readexactly(4), b"half")
                await (dialed if closes == "caller" else accepted).close()
                self.assertIsInstance(await ended(answer), libchan.SessionClosed)
                self.assertIsInstance(await ended(receiver), libchan.SessionClosed)
                self.assertIsInstance(await ended(their_reading), libchan.SessionClosed)
                for end in (sender, words, their_done):
                    self.assertIsInstance(await end.closed(), libchan.SessionClosed)
                    with self.assertRaises(libchan.SessionClosed):
                        await end.send(1)
                for stream in (one, their_stream):
                    with self.assertRaises(libchan.StreamError) as caught:
                        await stream.read()
                    self.assertEqual(caught.exception.code, codes.SESSION_CLOSED)
                await asyncio.gather(dialed.closed(), accepted.closed())

    async def test_a_channel_that_is_received_after_the_session_has_left(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender = dialed.open("x")
            await sender.send(1)
            incoming = await accepted.accept()
            leaving = asyncio.create_task(accepted.close())
            while not accepted._engine.machine.goodbye_sent:
                await asyncio.sleep(0)
            early = incoming.receive()
            self.assertIsInstance(await ended(early), libchan.SessionClosed)
            await leaving
        async with sessions(self.carrier) as (dialed, accepted):
            sender = dialed.open("x")
            incoming = await accepted.accept()
            await accepted.close()
            self.assertIsInstance(await ended(incoming.receive()), libchan.SessionClosed)

    async def test_what_was_ended_before_the_session_is_clean(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            one, other = ByteStream.pair()
            await sender.send(other)
            await one.write(b"all of it")
            one.finish()
            sender.drop()
            await dialed.close()
            stream = await receiver.recv()
            self.assertEqual(await stream.read(), b"all of it")
            with self.assertRaises(libchan.EndOfChannel):
                await receiver.recv()

    async def test_requests_that_a_closing_server_has_not_taken(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, type=Job)
            calls = [asyncio.create_task(sender.call(lambda reply: Job("x", reply))) for _ in range(3)]
            taken = await receiver.recv()
            await settle()
            await accepted.close()
            results = await asyncio.gather(*calls, return_exceptions=True)
            self.assertEqual([type(error) for error in results], [libchan.CallError] * 3)
            kinds = sorted(type(error.error).__name__ for error in results)
            self.assertEqual(kinds, ["NotDelivered", "NotDelivered", "SessionClosed"])
            self.assertEqual(sorted(error.is_safe_to_retry for error in results), [False, True, True])
            del taken

    async def test_close_says_what_did_not_leave(self):
        options = {"close_timeout": 0.3}
        async with sessions(self.carrier, options) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, 1000)
            for _ in range(1000):
                await sender.send(b"x" * 1000)
            with self.assertRaises(libchan.SessionError) as caught:
                await dialed.close()
            self.assertEqual(caught.exception.kind, "incomplete")
            # What came was in order; then it says that the rest did not.
            self.assertIsInstance(await ended(receiver), libchan.SessionClosed)
            await accepted.closed()

    async def test_what_had_not_left_when_the_link_was_lost(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            answers = []
            for _ in range(20):
                done, answer = libchan.pipe()
                await sender.send(Job("x" * 1500, done))
                answers.append(answer)
            await settle()
            accepted.abort()
            kinds = [type(await ended(answer)) for answer in answers]
            self.assertEqual((kinds[0], kinds[-1]), (libchan.Disconnected, libchan.NotDelivered))
            self.assertEqual(set(kinds), {libchan.Disconnected, libchan.NotDelivered})
            del receiver

    async def test_a_server_that_drains(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, type=Job)
            calls = [asyncio.create_task(sender.call(lambda reply: Job("x", reply))) for _ in range(2)]
            taken = await receiver.recv()
            await settle()
            draining = asyncio.create_task(accepted.drain(10))
            await dialed.going()
            self.assertIsInstance(await sender.closed(), libchan.GoingAway)
            late = dialed.open("late")
            self.assertIsInstance(await late.closed(), libchan.GoingAway)
            self.assertFalse(draining.done())
            with self.assertRaises(libchan.EndOfChannel):
                await receiver.recv()
            with taken.done:
                await taken.done.send("answered")
            del taken
            await draining
            results = await asyncio.gather(*calls, return_exceptions=True)
            self.assertIn("answered", results)
            error = next(error for error in results if error != "answered")
            self.assertIsInstance(error.error, libchan.NotDelivered)
            self.assertTrue(error.is_safe_to_retry)
            self.assertIsNone(await accepted.accept())

    async def test_a_drain_ends_at_its_deadline(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, type=Job)
            calling = asyncio.create_task(sender.call(lambda reply: Job("x", reply)))
            taken = await receiver.recv()
            await accepted.drain(0.05)
            with self.assertRaises(libchan.CallError) as caught:
                await calling
            self.assertIsInstance(caught.exception.error, libchan.SessionClosed)
            self.assertFalse(caught.exception.is_safe_to_retry)
            del taken

    async def test_calls_over_a_link(self):
        @dataclass
        class Ask:
            text: str
            done: OneshotSender[str]

        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, type=Ask)

            async def serve():
                async for ask in receiver:
                    self.assertIsInstance(ask.done, OneshotSender)
                    if ask.text:
                        ask.done.send(ask.text.upper())
                    else:
                        ask.done.drop()

            serving = asyncio.create_task(serve())
            for text in ("a", "b"):
                self.assertEqual(await sender.call(lambda reply, text=text: Ask(text, reply), type=str), text.upper())
            with self.assertRaises(libchan.CallError) as caught:
                await sender.call(lambda reply: Ask("", reply))
            self.assertIsInstance(caught.exception.error, libchan.NoReply)
            with self.assertRaises(libchan.CallError) as caught:
                await sender.call(lambda reply: {"number": 1, "done": reply})
            self.assertIsInstance(caught.exception.error, libchan.NotDecoded)
            self.assertTrue(caught.exception.is_safe_to_retry)
            sender.drop()
            with self.assertRaises(libchan.Decode):
                await serving
            await settle()

    async def test_a_lost_link(self):
        async with sessions(self.carrier) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted, type=Job)
            calling = asyncio.create_task(sender.call(lambda reply: Job("x", reply)))
            await receiver.recv()
            accepted.abort()
            with self.assertRaises(libchan.CallError) as caught:
                await calling
            self.assertIsInstance(caught.exception.error, libchan.Disconnected)
            self.assertEqual(caught.exception.code, codes.DISCONNECTED)
            self.assertFalse(caught.exception.is_safe_to_retry)
            self.assertIsInstance(caught.exception.error.__cause__, libchan.SessionError)
            self.assertIn("without a goodbye", str(caught.exception.error.__cause__))


class Tcp(Links, AsyncCase):
    carrier = "tcp"


class Unix(Links, AsyncCase):
    carrier = "unix"


class Relays(AsyncCase):
    async def test_codes_and_texts_go_through_unchanged(self):
        async with sessions() as (a, b1), sessions() as (b2, c):
            to_b, at_b = await channel(a, b1)
            to_c, at_c = await channel(b2, c)
            copying = asyncio.create_task(libchan.copy(at_b, to_c))
            for end_it, kind in (
                (lambda end: end.drop(), libchan.EndOfChannel),
                (lambda end: end.__exit__(KeyError, None, None), libchan.Panicked),
                (lambda end: end.__del__(), libchan.Abandoned),
                (lambda end: end.close_with(4, "text"), libchan.Remote),
            ):
                done, answer = libchan.pipe()
                words, reading = libchan.pipe()
                await to_b.send([done, reading])
                far, far_reading = await at_c.recv()
                end_it(far)
                self.assertIsInstance(await ended(answer), kind)
                if kind is not libchan.EndOfChannel:
                    end_it(far_reading)
                    error = await words.closed()
                    self.assertIsInstance(error, libchan.Refused if kind is libchan.Remote else kind)
                    self.assertIn("text" if kind is libchan.Remote else "", str(error))
            one, other = ByteStream.pair()
            await to_b.send(other)
            stream = await at_c.recv()
            stream.finish_with(7, "disk full")
            with self.assertRaisesRegex(libchan.StreamError, "^the stream was cut: disk full$") as caught:
                await one.read()
            self.assertEqual(caught.exception.code, codes.APPLICATION + 7)
            with self.assertRaises(KeyError):
                with to_b:
                    raise KeyError
            self.assertIsInstance(await ended(at_c), libchan.Panicked)
            await copying

    async def test_headers_are_passed_on(self):
        async with sessions() as (a, b1), sessions() as (b2, c):
            to_b, at_b = await channel(a, b1)
            to_c, at_c = await channel(b2, c)
            copying = asyncio.create_task(libchan.copy(at_b, to_c))
            from libchan.proto.messages import Parts

            headers = b"\x01\x03abc\x63\x00"
            outlet = to_b._core.outlets[0]
            a._engine.machine.send(outlet.entry, Parts(1, b"\xa1x", (), 0, set(), headers))
            a._engine.kick()
            item = await _next_parcel(at_c)
            self.assertEqual(item.headers, headers)
            at_c.drop()
            await copying


async def _next_parcel(receiver: Receiver):
    from libchan.ends import _next

    item = await _next(receiver._core)
    item.taken()
    return item.parcel


class Competing(AsyncCase):
    async def test_what_a_former_worker_says_of_the_ends_is_not_passed_on(self):
        """The message is served again: that the first worker dropped it unread says nothing of the reply."""
        for leaves in ("drop", "close"):
            async with sessions() as (a, b):
                done, said = libchan.pipe()
                _, inbox, worker = await untaken(a, b, {"done": done})
                if leaves == "drop":
                    worker.drop()
                else:
                    await b.close()
                job = await inbox.recv()
                with job["done"]:
                    await job["done"].send("served again")
                self.assertEqual(await said.recv(), "served again")
                with self.assertRaises(libchan.EndOfChannel):
                    await said.recv()


if __name__ == "__main__":
    unittest.main()
