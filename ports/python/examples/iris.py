"""Iris from Python: a service, requests to it, and a topic. ``python iris.py unix:///tmp/iris.sock``, where a relay is:
``cargo run --example iris -- --listen unix:///tmp/iris.sock``.
"""

import asyncio
import sys
from dataclasses import dataclass

import libchan
from libchan import iris


@dataclass
class Query:
    first: int
    rows: libchan.Sender[int]


class Table(iris.Handler):
    """A member of a cluster. What a parameter is annotated with is what a value is made into."""

    async def request(self, query: Query) -> str:
        if query.first < 0:
            raise iris.Fault("there are no rows before 0")
        with query.rows as rows:
            for row in range(query.first, query.first + 3):
                await rows.send(row)
        return "three rows"

    async def broadcast(self, text: str) -> None:
        print("all members are told:", text)


async def ask(relay: iris.Connection, first: int) -> None:
    rows, found = libchan.pipe()
    try:
        said = await relay.request("table", Query(first, rows), timeout=5, type=str)
        print(said, [row async for row in found])
    except iris.Remote as error:
        print("the handler has answered with an error:", error.text)
    except iris.IrisError as error:
        print(error, "- nobody has seen it" if error.is_safe_to_retry else "- it may have run")


async def main(url: str) -> None:
    async with await iris.connect(url) as relay:
        async with await relay.register("table", Table()):
            await ask(relay, 7)
            await ask(relay, -1)
            await relay.broadcast("table", "good evening")

            async with await relay.subscribe("prices", type=dict[str, int]) as prices:
                await relay.publish("prices", {"tea": 3})
                print(await prices.next(), "and", prices.lost, "lost")

        try:
            await relay.request("table", None, timeout=5, wait=False)
        except iris.NoMember as error:
            print(error)


asyncio.run(main(sys.argv[1]))
