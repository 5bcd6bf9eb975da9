"""Iris: what an application says to a relay, and what it makes of what it hears."""

import asyncio
import pathlib
import unittest
from dataclasses import dataclass
from unittest import mock

from iris_relay import attached, body, plain, value
from support import AsyncCase

import libchan
from libchan import Receiver, Sender, iris
from libchan.proto import codes
from libchan.proto.errors import SessionOver


@dataclass
class Sum:
    a: int
    b: int


@dataclass
class Query:
    first: int
    rows: Sender[int]


class Requests(AsyncCase):
    async def test_a_request_and_its_reply(self):
        async with attached() as (app, relay):
            asking = asyncio.create_task(app.request("adder", Sum(2, 3), 1.5, type=int))
            number, cluster, left, wait, asked = await relay.request()
            self.assertEqual((cluster, left, wait), ("adder", 1500, True))
            self.assertEqual((asked[0], value(asked)), (1, {"a": 2, "b": 3}))
            await relay.answer(number, {"Ok": body(5)})
            self.assertEqual(await asking, 5)

    async def test_replies_come_in_any_order_and_numbers_differ(self):
        async with attached() as (app, relay):
            asking = [asyncio.create_task(app.request("echo", at, 5)) for at in range(50)]
            asked = [await relay.request() for _ in asking]
            self.assertEqual(len({number for number, *_ in asked}), 50)
            for number, *_, one in reversed(asked):
                await relay.answer(number, {"Ok": one})
            self.assertEqual(await asyncio.gather(*asking), list(range(50)))

    async def test_every_verdict_is_an_error_of_its_own(self):
        verdicts = [
            ("Timeout", iris.Timeout, False),
            ("NoMember", iris.NoMember, True),
            ("Busy", iris.Busy, True),
            ("Lost", iris.Lost, False),
            ("Going", iris.Closed, True),
            ({"Refused": "no right to it"}, iris.Refused, True),
            ({"Fault": plain("it is broken")}, iris.Remote, False),
            ({"Ok": body("text")}, iris.NotDecoded, False),
            ("Tomorrow", iris.NotDecoded, False),
            ({"Later": 7}, iris.NotDecoded, False),
        ]
        async with attached() as (app, relay):
            for verdict, wanted, safe in verdicts:
                asking = asyncio.create_task(app.request("x", None, 5, type=int))
                number, *_ = await relay.request()
                await relay.answer(number, verdict)
                with self.assertRaises(wanted) as caught:
                    await asking
                self.assertEqual(type(caught.exception), wanted)
                self.assertEqual(caught.exception.is_safe_to_retry, safe, verdict)
                if wanted is iris.Remote:
                    self.assertEqual(caught.exception.text, "it is broken")
                if wanted is iris.Refused:
                    self.assertEqual(caught.exception.text, "no right to it")

    async def test_time_is_up(self):
        async with attached() as (app, relay):
            with self.assertRaises(iris.Timeout) as caught:
                await app.request("x", None, 0.0101, wait=False)
            self.assertIsInstance(caught.exception, TimeoutError)
            number, _, left, wait, _ = await relay.request()
            self.assertEqual((left, wait), (11, False), "rounded up")
            self.assertEqual(await relay.asked(), {"Cancel": number})
            # What comes too late is nobody's, and harms nobody.
            await relay.answer(number, {"Ok": body(1)})
            asking = asyncio.create_task(app.request("x", None, 5))
            number, *_ = await relay.request()
            await relay.answer(number, {"Ok": body(2)})
            self.assertEqual(await asking, 2)

    async def test_a_cancelled_request_is_cancelled_at_the_relay(self):
        async with attached() as (app, relay):
            asking = asyncio.create_task(app.request("x", None, 5))
            number, *_ = await relay.request()
            asking.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await asking
            self.assertEqual(await relay.asked(), {"Cancel": number})

    async def test_a_late_reply_has_its_ends_ended(self):
        async with attached() as (app, relay):
            asking = asyncio.create_task(app.request("x", None, 5))
            number, *_ = await relay.request()
            asking.cancel()
            rows, found = libchan.pipe()
            await relay.answer(number, {"Ok": body(rows)})
            with self.assertRaises(libchan.NotDelivered):
                await found.recv()

    async def test_ends_in_a_request_and_in_its_reply_work(self):
        async with attached() as (app, relay):
            rows, found = libchan.pipe()
            asking = asyncio.create_task(app.request("table", Query(7, rows), 5, type=Receiver[int]))
            number, *_, asked = await relay.request()
            self.assertEqual(len(asked[2]), 1)
            query = iris.Body(*asked).read(Query)
            with query.rows as theirs:
                await theirs.send(query.first)
            more_in, more = libchan.pipe()
            await relay.answer(number, {"Ok": body(more)})
            reply = await asking
            with more_in:
                await more_in.send(8)
            self.assertEqual([row async for row in found], [7])
            self.assertEqual([row async for row in reply], [8])

    async def test_what_was_not_sent_has_its_ends_again(self):
        async with attached() as (app, relay):
            rows, found = libchan.pipe()
            with self.assertRaises(iris.Local) as caught:
                await app.request("x", [rows, object()], 5)
            self.assertTrue(caught.exception.is_safe_to_retry)
            for timeout in (-1, float("nan"), None, "soon"):
                with self.assertRaises(iris.Local):
                    await app.request("x", rows, timeout)
            with self.assertRaises(iris.Local):
                await app.request(b"x", rows, 1)
            with self.assertRaises(iris.Local) as caught:
                await app.request("x", [rows, b"x" * (17 << 20)], 5)
            self.assertIn("max_message", str(caught.exception))
            await app.close()
            with self.assertRaises(iris.Closed) as caught:
                await app.request("x", rows, 5)
            self.assertTrue(caught.exception.is_safe_to_retry)
            with rows:
                await rows.send(1)
            self.assertEqual([row async for row in found], [1])

    async def test_a_lost_relay_is_lost_at_once(self):
        async with attached() as (app, relay):
            asking = asyncio.create_task(app.request("x", None, 3600))
            await relay.request()
            relay.session.abort()
            with self.assertRaises(iris.Lost):
                await asking
            with self.assertRaises(iris.Closed):
                await app.request("x", None, 3600)

    async def test_a_relay_that_ends_its_answers(self):
        async with attached() as (app, relay):
            asking = asyncio.create_task(app.request("x", None, 3600))
            await relay.request()
            _, answers = await relay.requests()
            answers.drop()
            with self.assertRaises(iris.Lost):
                await asking
            with self.assertRaises(iris.Closed):
                await app.request("x", None, 3600)

    async def test_answers_that_are_none(self):
        async with attached() as (app, relay):
            asking = asyncio.create_task(app.request("x", None, 5))
            number, *_ = await relay.request()
            rows, found = libchan.pipe()
            _, answers = await relay.requests()
            wrong = [None, [number], [-1, "Busy"], ["1", "Busy"], [number, {"Ok": [1, b"", [7]]}], [number, 5]]
            with self.assertLogs("libchan.iris", "WARNING") as log:
                for one in [*wrong, [number, {"Ok": [999, b"", [rows]]}]]:
                    await answers.send(one)
                with self.assertRaises(libchan.NotDecoded):
                    await found.recv()
            self.assertEqual(len(log.output), 7)
            await relay.answer(number, {"Ok": body("still there")})
            self.assertEqual(await asking, "still there")

    async def test_bodies_as_they_are(self):
        async with attached() as (app, relay):
            asking = asyncio.create_task(app.request("x", iris.Body.bytes("any binary"), 5, type=iris.Body))
            number, *_, asked = await relay.request()
            self.assertEqual(asked, [0, b"any binary", []])
            await relay.answer(number, {"Ok": asked})
            reply = await asking
            self.assertEqual((reply.codec, reply.payload, reply.ends), (0, b"any binary", 0))
            self.assertEqual(reply.read(), b"any binary")

    async def test_a_request_waits_for_room_at_the_relay_until_its_time_is_up(self):
        async with attached() as (app, relay):
            many = [asyncio.create_task(app.request("x", at, 3600)) for at in range(1500)]
            await relay.requests()
            with self.assertRaises(iris.Timeout):
                await app.request("x", "no room", 0.05)
            # It was not sent: neither the request nor its cancellation comes.
            for at in range(1500):
                number, *_, asked = await relay.request()
                self.assertEqual(value(asked), at)
                await relay.answer(number, "Busy")
            for asking in many:
                with self.assertRaises(iris.Busy):
                    await asking

    async def test_a_forgotten_connection_ends_its_requests(self):
        async with attached() as (app, relay):
            asking = asyncio.create_task(app.request("x", None, 5))
            number, *_ = await relay.request()
            await relay.answer(number, "Busy")
            with self.assertRaises(iris.Busy):
                await asking
            asks, answers = await relay.requests()
            app._requesting = None
            with self.assertRaises(libchan.Abandoned):
                await asks.recv()
            await answers.closed()


class Posts(AsyncCase):
    async def test_broadcast_and_publish(self):
        async with attached() as (app, relay):
            await app.broadcast("workers", "wake up")
            await app.publish("prices", Sum(1, 2))
            told = await relay.next("iris/1/posts")
            self.assertEqual(told["Broadcast"][0], "workers")
            self.assertEqual(value(told["Broadcast"][1]), "wake up")
            told = await relay.next("iris/1/posts")
            self.assertEqual(told["Publish"][0], "prices")
            self.assertEqual(value(told["Publish"][1]), {"a": 1, "b": 2})

    async def test_ends_cannot_go_to_many(self):
        async with attached() as (app, _):
            rows, found = libchan.pipe()
            for tell in (app.broadcast, app.publish):
                with self.assertRaises(iris.Local) as caught:
                    await tell("x", [rows])
                self.assertIn("cannot go to many", str(caught.exception))
            rows.drop()
            self.assertEqual([row async for row in found], [])

    async def test_closed(self):
        async with attached() as (app, relay):
            await app.publish("x", 1)
            relay.session.abort()
            await asyncio.wait({asyncio.create_task(_quiet(app.session.closed()))})
            with self.assertRaises(iris.Closed):
                await app.publish("x", 2)
            with self.assertRaises(iris.Closed):
                await app.close()


class Subscriptions(AsyncCase):
    async def subscribed(self, app, relay, **options):
        subscribing = asyncio.create_task(app.subscribe("prices", **options))
        asked = await relay.next("iris/1/subscribe")
        self.assertFalse(subscribing.done(), "in force when it returns")
        await asked["ready"].send({"Ok": None})
        return await subscribing, asked

    async def test_events_and_what_was_lost(self):
        async with attached() as (app, relay):
            limits = iris.TopicLimits(events=5, bytes=1000)
            prices, asked = await self.subscribed(app, relay, type=Sum, limits=limits)
            self.assertEqual((asked["topic"], asked["bytes"], asked["events"].capacity), ("prices", 1000, 5))
            await asked["events"].send([0, body(Sum(1, 2))])
            await asked["events"].send([7, body("no sum")])
            await asked["events"].send("no event")
            await asked["events"].send([9, body(Sum(3, 4))])
            asked["events"].drop()
            self.assertEqual((await prices.next(), prices.lost), (Sum(1, 2), 0))
            for lost in (7, 7):
                with self.assertRaises(iris.NotDecoded):
                    await prices.next()
                self.assertEqual(prices.lost, lost)
            self.assertEqual([event async for event in prices], [Sum(3, 4)])
            self.assertEqual(prices.lost, 9)

    async def test_dropping_it_unsubscribes(self):
        async with attached() as (app, relay):
            prices, asked = await self.subscribed(app, relay)
            async with prices:
                await asked["events"].send([0, plain("event")])
                self.assertEqual(await prices.next(), b"event")
            await asked["events"].closed()
            with self.assertRaises(iris.Local):
                await prices.next()
            prices, asked = await self.subscribed(app, relay)
            del prices
            await asked["events"].closed()

    async def test_refused_and_given_up(self):
        async with attached() as (app, relay):
            subscribing = asyncio.create_task(app.subscribe("secrets"))
            asked = await relay.next("iris/1/subscribe")
            await asked["ready"].send({"Err": "Busy"})
            with self.assertRaises(iris.Refused) as caught:
                await subscribing
            self.assertEqual(caught.exception.text, "Busy")
            subscribing = asyncio.create_task(app.subscribe("slow"))
            asked = await relay.next("iris/1/subscribe")
            subscribing.cancel()
            await asked["events"].closed()
            subscribing = asyncio.create_task(app.subscribe("gone"))
            asked = await relay.next("iris/1/subscribe")
            asked["ready"].drop()
            with self.assertRaises(iris.Closed):
                await subscribing
            await asked["events"].closed()

    async def test_a_lost_relay(self):
        async with attached() as (app, relay):
            prices, asked = await self.subscribed(app, relay)
            await asked["events"].send([0, plain("event")])
            relay.session.abort()
            with self.assertRaises(iris.Lost):
                while True:
                    self.assertEqual(await prices.next(), b"event")

    async def test_limits_that_are_none(self):
        for make in (
            lambda: iris.TopicLimits(events=0),
            lambda: iris.TopicLimits(bytes=-1),
            lambda: iris.Limits(requests=1.5),
            lambda: iris.Limits(requests=True),
            lambda: iris.Limits(tunnels=1 << 40),
        ):
            with self.assertRaises(ValueError):
                make()


class Tunnels(AsyncCase):
    async def opened(self, app, relay):
        opening = asyncio.create_task(app.tunnel("files", 5))
        line = await relay.next("iris/1/tunnels")
        self.assertEqual((line["cluster"], line["left_ms"]), ("files", 5000))
        await line["ready"].send({"Ok": None})
        return await opening, line["to_member"], line["to_opener"]

    async def test_messages_of_any_size_both_ways(self):
        async with attached() as (app, relay):
            tunnel, to_member, to_opener = await self.opened(app, relay)
            await tunnel.send(b"")
            self.assertEqual(await to_member.recv(), [0, b""])
            large = bytes(range(256)) * 2400
            await tunnel.send(large)
            tunnel.close()
            pieces = [piece async for piece in to_member]
            self.assertEqual([total for total, _ in pieces], [len(large), None, None])
            self.assertEqual(b"".join(data for _, data in pieces), large)
            with self.assertRaises(iris.Closed):
                await tunnel.send(b"more")
            await to_opener.send([3, b"a"])
            await to_opener.send([None, b"bc"])
            await to_opener.send([5, b"given up"[:3]])
            await to_opener.send([0, b""])
            to_opener.drop()
            self.assertEqual([message async for message in tunnel], [b"abc", b""])

    async def test_two_senders_do_not_mix_their_parts(self):
        async with attached() as (app, relay):
            tunnel, to_member, _ = await self.opened(app, relay)
            sent = [bytes([at]) * 700_000 for at in range(8)]
            sending = [asyncio.create_task(tunnel.send(one)) for one in sent]
            found = []
            while len(found) < len(sent):
                total, data = await to_member.recv()
                self.assertEqual(total, 700_000)
                while len(data) < total:
                    begins, more = await to_member.recv()
                    self.assertIsNone(begins)
                    data += more
                found.append(data)
            self.assertEqual(sorted(found), sent)
            await asyncio.gather(*sending)
            tunnel.drop()

    async def test_a_send_that_is_given_up_harms_no_other(self):
        async with attached() as (app, relay):
            tunnel, to_member, _ = await self.opened(app, relay)
            sending = asyncio.create_task(tunnel.send(bytes(20 << 20)))
            self.assertEqual((await to_member.recv())[0], 20 << 20)
            sending.cancel()
            after = asyncio.create_task(tunnel.send(b"next"))
            while (piece := await to_member.recv())[0] is None:
                pass
            self.assertEqual(piece, [4, b"next"])
            await after
            tunnel.drop()

    async def test_its_ends(self):
        async with attached() as (app, relay):
            tunnel, to_member, to_opener = await self.opened(app, relay)
            tunnel.drop()
            with self.assertRaises(libchan.Remote):
                await to_member.recv()
            await to_opener.closed()
            tunnel, to_member, to_opener = await self.opened(app, relay)
            to_member.drop()
            to_opener.close_with(0, "dropped")
            with self.assertRaises(iris.Lost):
                await tunnel.recv()
            with self.assertRaises(iris.Closed):
                while True:
                    await tunnel.send(b"x")
            tunnel.drop()

    async def test_pieces_that_are_none(self):
        async with attached() as (app, relay):
            tunnel, _, to_opener = await self.opened(app, relay)
            for piece in ([1, b"too long"], [None, b"without a beginning"], "x", [-1, b""], [1, "text"]):
                await to_opener.send(piece)
                with self.assertRaises(iris.NotDecoded):
                    await tunnel.recv()
            await to_opener.send([2, b"ok"])
            self.assertEqual(await tunnel.recv(), b"ok")
            tunnel.drop()

    async def test_nobody_takes_it(self):
        async with attached() as (app, relay):
            for said, wanted in (
                ({"Err": "NoMember"}, iris.NoMember),
                ({"Err": "Busy"}, iris.Busy),
                ({"Err": {"Refused": "no"}}, iris.Refused),
                (None, iris.Lost),
                ({"Err": "Whatever"}, iris.Lost),
            ):
                opening = asyncio.create_task(app.tunnel("files", 5))
                line = await relay.next("iris/1/tunnels")
                if said is None:
                    line["ready"].drop()
                else:
                    await line["ready"].send(said)
                with self.assertRaises(wanted):
                    await opening
                await line["to_opener"].closed()
            with self.assertRaises(iris.Timeout):
                await app.tunnel("files", 0.01)
            line = await relay.next("iris/1/tunnels")
            await line["to_opener"].closed()


class Connecting(AsyncCase):
    async def test_nobody_there(self):
        for url in ("unix:///nowhere/at/all.sock", "ftp://x", "tcp://127.0.0.1:1"):
            with self.assertRaises(iris.Local) as caught:
                await iris.connect(url)
            self.assertIn(url, str(caught.exception))

    async def test_who_is_not_admitted_is_refused(self):
        over = SessionOver.PEER_CLOSED
        for code, wanted in ((codes.UNAUTHORIZED, iris.Refused), (codes.REFUSED, iris.Refused), (300, iris.Refused)):
            ended = libchan.SessionError(SessionOver(over, "the peer ended the session: a token, please", code))
            with mock.patch("libchan.iris.connection.dial", side_effect=ended):
                with self.assertRaises(wanted) as caught:
                    await iris.connect("tcp://relay:1")
                self.assertIn("a token, please", str(caught.exception))
        lost = libchan.SessionError(SessionOver(SessionOver.LOST, "reset"))
        for error in (lost, libchan.DialError("the TLS handshake failed"), libchan.UrlError("none")):
            with mock.patch("libchan.iris.connection.dial", side_effect=error), self.assertRaises(iris.Local):
                await iris.connect("tcp://relay:1")

    async def test_refused_later(self):
        async with await libchan.listen("tcp://127.0.0.1:0") as listener:
            connecting = asyncio.create_task(iris.connect(listener.url))
            session = await listener.accept()
            app = await connecting
            await session.refuse("no token")
            with self.assertRaises(iris.Closed) as caught:
                await app.close()
            self.assertIn("no token", str(caught.exception))


class Readme(unittest.TestCase):
    def test_the_example_stands_in_it(self):
        port = pathlib.Path(__file__).resolve().parent.parent
        example = (port / "examples" / "iris.py").read_text()
        code = example[example.index("import asyncio") :]
        self.assertIn(f"```python\n{code}```", (port / "README.md").read_text())


async def _quiet(work):
    try:
        await work
    except libchan.LibchanError:
        pass


if __name__ == "__main__":
    unittest.main()
