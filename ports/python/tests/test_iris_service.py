"""Iris: what a member of a cluster does with what a relay sends it."""

import asyncio
import unittest
from dataclasses import dataclass

from iris_relay import attached, body, plain, value
from support import AsyncCase

import libchan
from libchan import Sender, iris


@dataclass
class Sum:
    a: int
    b: int


@dataclass
class Query:
    first: int
    rows: Sender[int]


async def add(numbers: Sum):
    return numbers.a + numbers.b


async def forever(_):
    await asyncio.Event().wait()


class Recorder(iris.Handler):
    """Keeps what it hears."""

    def __init__(self):
        self.heard = []
        self.why = asyncio.get_running_loop().create_future()
        self.go_on = asyncio.Event()

    async def broadcast(self, told: int):
        self.heard.append(told)
        if told == 3:
            raise ValueError("not this one")
        if told == 4:
            await self.go_on.wait()

    async def dropped(self, why):
        self.why.set_result(why)


class Case(AsyncCase):
    async def registered(self, app, relay, handler, **limits):
        registering = asyncio.create_task(app.register("adder", handler, iris.Limits(**limits)))
        asked = await relay.registered()
        return await registering, asked

    async def leave(self, service, asked):
        """What a relay does with a member that leaves and has nothing in hand."""
        leaving = asyncio.create_task(service.unregister())
        self.assertEqual(await asked["reports"].recv(), {"Slots": 0})
        for name in ("calls", "broadcasts", "tunnels"):
            asked[name].drop()
        await leaving


class Registering(Case):
    async def test_what_the_relay_is_told(self):
        async with attached() as (app, relay):
            limits = {"requests": 8, "request_bytes": 1000, "broadcasts": 5, "broadcast_bytes": 2000, "tunnels": 3}
            service, asked = await self.registered(app, relay, add, **limits)
            told = {name: asked[name] for name in ("cluster", "slots", "bytes", "broadcast_bytes")}
            self.assertEqual(told, {"cluster": "adder", "slots": 8, "bytes": 1000, "broadcast_bytes": 2000})
            room = {name: asked[name].capacity for name in ("calls", "broadcasts", "tunnels")}
            self.assertEqual(room, {"calls": 18, "broadcasts": 5, "tunnels": 3})
            self.assertEqual((service.cluster, service.connection), ("adder", app))
            await self.leave(service, asked)

    async def test_refused_and_given_up(self):
        async with attached() as (app, relay):
            registering = asyncio.create_task(app.register("adder", add))
            asked = await relay.next("iris/1/register")
            await asked["ready"].send({"Err": "no right to it"})
            with self.assertRaises(iris.Refused) as caught:
                await registering
            self.assertEqual(caught.exception.text, "no right to it")
            await asked["calls"].closed()
            registering = asyncio.create_task(app.register("adder", add))
            asked = await relay.next("iris/1/register")
            registering.cancel()
            await asked["calls"].closed()
            with self.assertRaises(libchan.EndOfChannel):
                await asked["reports"].recv()

    async def test_handlers_that_are_none(self):
        async def nothing():
            pass

        async def unknown(value: "Nowhere"):  # noqa: F821
            pass

        async with attached() as (app, _):
            for handler in (None, lambda value: value, nothing, unknown, "add"):
                with self.assertRaises(TypeError):
                    await app.register("adder", handler)


class Requests(Case):
    async def test_replies_and_faults(self):
        class Many(iris.Handler):
            async def request(self, what):
                if what == "fault":
                    raise iris.Fault("no such row")
                if what == "raise":
                    raise KeyError("secret")
                if what == "object":
                    return object()
                if what == "large":
                    return bytes(17 << 20)
                return iris.Body.bytes(what) if what == "plain" else what

        async with attached() as (app, relay):
            service, asked = await self.registered(app, relay, Many(), requests=2)
            said = {
                "echo": {"Ok": [1, body("echo")]},
                "plain": {"Ok": [1, plain("plain")]},
                "fault": {"Fault": [1, plain("no such row")]},
            }
            for what, wanted in said.items():
                await asked["calls"].send({"Request": [1, 1000, body(what)]})
                self.assertEqual(await asked["reports"].recv(), wanted)
            for what, wanted in (("object", "cannot be sent"), ("large", "max_message")):
                await asked["calls"].send({"Request": [2, 1000, body(what)]})
                fault = await asked["reports"].recv()
                self.assertIn(wanted, fault["Fault"][1][1].decode())
            with self.assertLogs("libchan.iris", "ERROR") as log:
                await asked["calls"].send({"Request": [3, 1000, body("raise")]})
                fault = await asked["reports"].recv()
            self.assertEqual(fault["Fault"][1][1], b"the handler was left by an exception: KeyError")
            self.assertIn("secret", log.output[0])
            await self.leave(service, asked)

    async def test_a_value_is_made_into_what_the_handler_says(self):
        async with attached() as (app, relay):
            service, asked = await self.registered(app, relay, add)
            await asked["calls"].send({"Request": [1, 1000, body({"a": 2, "b": 3})]})
            self.assertEqual(await asked["reports"].recv(), {"Ok": [1, body(5)]})
            rows, found = libchan.pipe()
            await asked["calls"].send({"Request": [2, 1000, body([rows])]})
            fault = await asked["reports"].recv()
            self.assertIn("expected Sum { a, b }", fault["Fault"][1][1].decode())
            with self.assertRaises(libchan.NotDecoded):
                await found.recv()
            await self.leave(service, asked)

    async def test_ends_in_a_request_and_in_its_reply_work(self):
        async def rows(query: Query):
            with query.rows as out:
                await out.send(query.first)
            more_in, more = libchan.pipe()
            with more_in:
                await more_in.send(8)
            return {"more": more}

        async with attached() as (app, relay):
            service, asked = await self.registered(app, relay, rows)
            theirs, found = libchan.pipe()
            await asked["calls"].send({"Request": [1, 1000, body(Query(7, theirs))]})
            report = await asked["reports"].recv()
            reply = iris.Body(*report["Ok"][1]).read()
            self.assertEqual([row async for row in found], [7])
            self.assertEqual([row async for row in reply["more"]], [8])
            await self.leave(service, asked)

    async def test_a_body_as_it_is(self):
        async def echo(body: iris.Body):
            return body

        async with attached() as (app, relay):
            service, asked = await self.registered(app, relay, echo)
            rows, found = libchan.pipe()
            await asked["calls"].send({"Request": [1, 1000, body([rows])]})
            report = await asked["reports"].recv()
            [again] = iris.Body(*report["Ok"][1]).read()
            with again:
                await again.send(1)
            self.assertEqual([row async for row in found], [1])
            await self.leave(service, asked)

    async def test_each_call_has_exactly_one_report(self):
        async with attached() as (app, relay):
            service, asked = await self.registered(app, relay, forever, requests=4)
            # The cancel stands right behind its request: the handler has not begun.
            await asked["calls"].send({"Request": [1, 60_000, body(None)]})
            await asked["calls"].send({"Cancel": 1})
            self.assertEqual(await asked["reports"].recv(), {"Fault": [1, plain("the request was cancelled")]})
            await asked["calls"].send({"Request": [2, 1, body(None)]})
            self.assertEqual(await asked["reports"].recv(), {"Expired": 2})
            await asked["calls"].send({"Request": [3, 0, body(None)]})
            self.assertEqual(await asked["reports"].recv(), {"Expired": 3})
            # What is over, and what never was.
            for number in (1, 2, 99):
                await asked["calls"].send({"Cancel": number})
            for number in range(10, 15):
                await asked["calls"].send({"Request": [number, 60_000, body(None)]})
            self.assertEqual(await asked["reports"].recv(), {"Shed": 14})
            for number in range(10, 14):
                await asked["calls"].send({"Cancel": number})
            reports = [await asked["reports"].recv() for _ in range(4)]
            self.assertEqual(sorted(report["Fault"][0] for report in reports), [10, 11, 12, 13])
            await self.leave(service, asked)

    async def test_bytes_in_hand(self):
        async with attached() as (app, relay):
            service, asked = await self.registered(app, relay, forever, requests=4, request_bytes=100)
            await asked["calls"].send({"Request": [1, 60_000, [0, bytes(99), []]]})
            await asked["calls"].send({"Request": [2, 60_000, [0, bytes(99), []]]})
            await asked["calls"].send({"Request": [3, 60_000, [0, bytes(0), []]]})
            self.assertEqual(await asked["reports"].recv(), {"Shed": 3})
            for number in (1, 2):
                await asked["calls"].send({"Cancel": number})
                await asked["reports"].recv()
            await self.leave(service, asked)

    async def test_a_cancelled_call_that_was_not_read_has_its_ends_ended(self):
        async def forever_with_a_body(body: iris.Body):
            await asyncio.Event().wait()

        for handler in (forever, forever_with_a_body):
            async with attached() as (app, relay):
                service, asked = await self.registered(app, relay, handler)
                rows, found = libchan.pipe()
                await asked["calls"].send({"Request": [1, 60_000, body(rows)]})
                await asked["calls"].send({"Cancel": 1})
                await asked["reports"].recv()
                with self.assertRaises(libchan.NotDelivered):
                    await found.recv()
                await self.leave(service, asked)

    async def test_calls_that_are_none(self):
        async with attached() as (app, relay):
            service, asked = await self.registered(app, relay, add)
            rows, found = libchan.pipe()
            with self.assertLogs("libchan.iris", "WARNING") as log:
                for call in (None, "Request", {"Request": [1, 2]}, {"Call": 1}, {"Cancel": "1"}, {"Call": [rows]}):
                    await asked["calls"].send(call)
                await asked["calls"].send({"Request": [1, 1000, body({"a": 1, "b": 1})]})
                self.assertEqual(await asked["reports"].recv(), {"Ok": [1, body(2)]})
            self.assertEqual(len(log.output), 6)
            with self.assertRaises(libchan.NotDecoded):
                await found.recv()
            await self.leave(service, asked)


class Leaving(Case):
    async def test_what_is_in_hand_ends_first(self):
        go_on = asyncio.Event()

        async def waits(_):
            await go_on.wait()
            return "done"

        async with attached() as (app, relay):
            service, asked = await self.registered(app, relay, waits)
            await asked["calls"].send({"Request": [1, 60_000, body(None)]})
            leaving = asyncio.create_task(service.unregister())
            self.assertEqual(await asked["reports"].recv(), {"Slots": 0})
            # On its way before the relay knew.
            await asked["calls"].send({"Request": [2, 60_000, body(None)]})
            go_on.set()
            reports = [await asked["reports"].recv() for _ in range(2)]
            self.assertEqual(reports, [{"Ok": [1, body("done")]}, {"Ok": [2, body("done")]}])
            self.assertFalse(leaving.done())
            asked["calls"].drop()
            asked["broadcasts"].drop()
            await leaving
            with self.assertRaises(libchan.EndOfChannel):
                await asked["reports"].recv()

    async def test_a_service_that_is_dropped_leaves_at_once(self):
        cancelled = asyncio.get_running_loop().create_future()

        async def hangs(_):
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set_result(True)

        async with attached() as (app, relay):
            service, asked = await self.registered(app, relay, hangs)
            await asked["calls"].send({"Request": [1, 60_000, body("x")]})
            while not service._runner._in_hand:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            service.drop()
            await cancelled
            await asked["calls"].closed()
            await service.closed()
            with self.assertRaises(iris.Lost):
                await service.unregister()

    async def test_a_forgotten_service_leaves(self):
        async with attached() as (app, relay):
            service, asked = await self.registered(app, relay, add)
            del service
            await asked["calls"].closed()

    async def test_an_error_in_its_block_leaves_at_once(self):
        async with attached() as (app, relay):
            service, asked = await self.registered(app, relay, add)
            with self.assertRaises(ZeroDivisionError):
                async with service:
                    raise ZeroDivisionError
            await asked["calls"].closed()

    async def test_the_handler_hears_that_the_relay_is_gone(self):
        async with attached() as (app, relay):
            handler = Recorder()
            service, _ = await self.registered(app, relay, handler)
            relay.session.abort()
            self.assertIsInstance(await handler.why, iris.Lost)
            await service.closed()
            with self.assertRaises(iris.Lost):
                await service.unregister()

    async def test_the_handler_hears_that_it_was_put_out(self):
        async with attached() as (app, relay):
            handler = Recorder()
            service, asked = await self.registered(app, relay, handler)
            asked["calls"].drop()
            self.assertIsInstance(await handler.why, iris.Closed)
            await service.closed()


class Broadcasts(Case):
    async def test_in_order_whatever_one_of_them_does(self):
        async with attached() as (app, relay):
            handler = Recorder()
            service, asked = await self.registered(app, relay, handler)
            with self.assertLogs("libchan.iris", "WARNING") as log:
                for at in range(5):
                    await asked["broadcasts"].send([0, body(at)])
                await asked["broadcasts"].send([0, body("no number")])
                await asked["broadcasts"].send("no event")
                await asked["broadcasts"].send([6, body(5)])
                while 4 not in handler.heard:
                    await asyncio.sleep(0)
                handler.go_on.set()
                while 5 not in handler.heard:
                    await asyncio.sleep(0)
            self.assertEqual(handler.heard, list(range(6)))
            self.assertEqual(service.lost, 6)
            self.assertEqual(len(log.output), 3)
            await self.leave(service, asked)

    async def test_what_has_come_is_handled_before_it_leaves(self):
        async with attached() as (app, relay):
            handler = Recorder()
            service, asked = await self.registered(app, relay, handler)
            for at in (4, 5, 6):
                await asked["broadcasts"].send([0, body(at)])
            leaving = asyncio.create_task(self.leave(service, asked))
            while 4 not in handler.heard:
                await asyncio.sleep(0)
            self.assertFalse(leaving.done())
            handler.go_on.set()
            await leaving
            self.assertEqual(handler.heard, [4, 5, 6])

    async def test_several_at_a_time(self):
        running, most = 0, 0
        all_there = asyncio.Event()

        class Busy(iris.Handler):
            async def broadcast(self, told):
                nonlocal running, most
                running += 1
                most = max(most, running)
                if running == 3:
                    all_there.set()
                await all_there.wait()
                running -= 1

        async with attached() as (app, relay):
            service, asked = await self.registered(app, relay, Busy(), broadcast_handlers=3)
            for at in range(5):
                await asked["broadcasts"].send([0, body(at)])
            await all_there.wait()
            self.assertEqual(most, 3)
            await self.leave(service, asked)


class Tunnels(Case):
    def line(self):
        to_member_in, to_member = libchan.pipe(16)
        to_opener, to_opener_out = libchan.pipe(16)
        ready, opened = libchan.pipe(1)
        line = {"cluster": "adder", "left_ms": 1000, "to_member": to_member, "to_opener": to_opener, "ready": ready}
        return line, to_member_in, to_opener_out, opened

    async def test_a_tunnel_is_served(self):
        class Echo(iris.Handler):
            async def tunnel(self, tunnel):
                async with tunnel:
                    async for message in tunnel:
                        await tunnel.send(message)

        async with attached() as (app, relay):
            service, asked = await self.registered(app, relay, Echo())
            line, out, inward, opened = self.line()
            await asked["tunnels"].send(line)
            self.assertEqual(await opened.recv(), {"Ok": None})
            with out:
                await out.send([2, b"a"])
                await out.send([None, b"b"])
            self.assertEqual([piece async for piece in inward], [[2, b"ab"]])
            await self.leave(service, asked)

    async def test_one_that_is_not_closed_is_lost_for_its_opener(self):
        class Leaves(iris.Handler):
            async def tunnel(self, tunnel):
                if await tunnel.recv() == b"raise":
                    raise ValueError

        async with attached() as (app, relay):
            service, asked = await self.registered(app, relay, Leaves())
            for message in (b"leave", b"raise"):
                line, out, inward, opened = self.line()
                await asked["tunnels"].send(line)
                self.assertEqual(await opened.recv(), {"Ok": None})
                await out.send([len(message), message])
                with self.assertRaises(libchan.Remote):
                    if message == b"raise":
                        with self.assertLogs("libchan.iris", "ERROR"):
                            await inward.recv()
                    else:
                        await inward.recv()
                await out.closed()
            await self.leave(service, asked)

    async def test_a_handler_without_tunnels_refuses_them(self):
        async with attached() as (app, relay):
            service, asked = await self.registered(app, relay, add)
            line, out, inward, opened = self.line()
            await asked["tunnels"].send(line)
            self.assertEqual(await opened.recv(), {"Err": {"Refused": "the service takes no tunnels"}})
            await out.closed()
            await self.leave(service, asked)

    async def test_no_more_than_the_limit_at_a_time(self):
        served = asyncio.Queue()

        class Waits(iris.Handler):
            async def tunnel(self, tunnel):
                served.put_nowait(tunnel)
                await tunnel.recv()

        async with attached() as (app, relay):
            service, asked = await self.registered(app, relay, Waits(), tunnels=1)
            lines = [self.line() for _ in range(2)]
            for line, *_ in lines:
                await asked["tunnels"].send(line)
            self.assertEqual(await lines[0][3].recv(), {"Ok": None})
            await served.get()
            self.assertIsNone(lines[1][3].try_recv())
            await lines[0][1].send([0, b""])
            self.assertEqual(await lines[1][3].recv(), {"Ok": None})
            # The other is cancelled where the member leaves.
            await self.leave(service, asked)
            with self.assertRaises(libchan.LibchanError):
                await lines[1][2].recv()

    async def test_what_is_none(self):
        async with attached() as (app, relay):
            service, asked = await self.registered(app, relay, Recorder())
            line, out, *_ = self.line()
            ready = line.pop("ready")
            with self.assertLogs("libchan.iris", "WARNING") as log:
                await asked["tunnels"].send(line)
                await asked["tunnels"].send([])
                await out.closed()
                while len(log.output) < 2:
                    await asyncio.sleep(0)
            ready.drop()
            await self.leave(service, asked)


class Both(Case):
    async def test_a_value_of_a_body(self):
        self.assertEqual(value(body({"a": [1, None, b"x"]})), {"a": [1, None, b"x"]})
        with self.assertRaises(iris.NotDecoded):
            iris.Body(1, b"\xc1", []).read()
        with self.assertRaises(iris.NotDecoded):
            iris.Body(99, b"", []).read()


if __name__ == "__main__":
    unittest.main()
