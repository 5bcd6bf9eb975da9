"""The Python side of `patterns/iris/tests/ports.rs`: ``iris_peer.py PART URL``. It tells the test what it does in
lines, and ends with an error where something is not as it should be."""

import asyncio
import sys
from dataclasses import dataclass

import libchan
from libchan import Sender, iris


@dataclass
class Query:
    first: int
    rows: Sender[int]


def say(line):
    print(line, flush=True)


def same(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r} instead of {wanted!r}")


async def told():
    """The next line of the test; empty when it has ended."""
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return line.strip()


async def fails(wanted, work):
    try:
        found = await work
    except wanted as error:
        return error
    raise AssertionError(f"{found!r} instead of {wanted}")


async def ask(relay):
    same(await relay.request("adder", [2, 3], timeout=60, type=int), 5)
    for number in range(3):
        await relay.publish("from-port", number)

    rows, found = libchan.pipe()
    same(await relay.request("rust", ["rows", Query(7, rows)], timeout=60), "sent")
    same([row async for row in found], [7, 8, 9])
    same(await relay.request("rust", ["bytes", None], timeout=60), b"plain")

    error = await fails(iris.Remote, relay.request("rust", ["?", None], timeout=60))
    same(error.text, "there is no such thing")
    error = await fails(iris.NoMember, relay.request("nobody", None, timeout=60, wait=False))
    same(error.is_safe_to_retry, True)
    error = await fails(iris.Timeout, relay.request("rust", ["hang", None], timeout=0.05))
    same(error.is_safe_to_retry, False)
    error = await fails(iris.Refused, relay.request("", None, timeout=60))
    same(error.text, "the name is empty")
    await fails(iris.Refused, relay.subscribe("x" * 2000))
    await fails(iris.NoMember, relay.tunnel("nobody", timeout=60))

    async with await relay.subscribe("from-rust", type=int) as events:
        same(await relay.request("rust", ["publish", None], timeout=60), 10)
        same([await events.next() for _ in range(10)], list(range(10)))
        same(events.lost, 0)

    many = [relay.request("adder", [number, 1], timeout=60) for number in range(200)]
    same(await asyncio.gather(*many), list(range(1, 201)))

    async with await relay.tunnel("rust", timeout=60) as tunnel:
        large = bytes(range(251)) * 12_000
        await tunnel.send(b"small")
        await tunnel.send(large)
        tunnel.close()
        same([message async for message in tunnel], [b"small", large])
    say("asked")


class Python(iris.Handler):
    async def request(self, value):
        what, more = value
        if what == "sum":
            return sum(more)
        if what == "bytes":
            return iris.Body.bytes(b"plain")
        if what == "rows":
            with more["rows"] as rows:
                for row in range(more["first"], more["first"] + 3):
                    await rows.send(row)
            return None
        if what == "hang":
            say("hanging")
            try:
                await asyncio.Event().wait()
            finally:
                say("cancelled")
        if what == "raise":
            raise KeyError("not for others to see")
        raise iris.Fault("there is no such thing")

    async def broadcast(self, number: int):
        say(f"told {number}")

    async def tunnel(self, tunnel):
        async with tunnel:
            async for message in tunnel:
                await tunnel.send(message)


async def serve(relay):
    async with await relay.register("python", Python()):
        say("registered")
        await told()
    say("left")


async def slow(relay):
    async with await relay.subscribe("flood", type=int, limits=iris.TopicLimits(events=4)) as flood:
        say("subscribed")
        await told()
        count = 0
        async for number in flood:
            same(number, count + flood.lost)
            count += 1
            if count in (4, 5):
                say(f"read {count}, lost {flood.lost}")
            if count == 5:
                return


async def publish(relay):
    async with await relay.subscribe("from-port") as events:
        for number in range(300):
            await relay.publish("from-port", number)
            same(await events.next(), number)
    say("published 300")
    await told()


PARTS = {"ask": ask, "serve": serve, "slow": slow, "publish": publish}


async def main(part, url):
    async with await iris.connect(url) as relay:
        await PARTS[part](relay)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
