"""Iris: the messages of spec/vectors/iris.json. What an application hears is read as it reads it, what it says is made
as it makes it; both must come to the bytes of the vector."""

import asyncio
import unittest

import vectors
from iris_relay import attached
from support import AsyncCase

import libchan
from libchan import errors, iris, values
from libchan.iris import wire
from libchan.iris.body import Body

ENDS = {
    "sender": lambda: libchan.pipe()[0],
    "receiver": lambda: libchan.pipe()[1],
    "stream": lambda: libchan.ByteStream.pair()[0],
}


def one(raw):
    """The name and the content of a variant."""
    [(name, inner)] = raw.items()
    return name, inner


def ask(raw):
    name, inner = one(raw)
    if name == "Cancel":
        return wire.cancel(inner)
    number, cluster, left, wait, asked = inner
    return wire.request(number, cluster, left, wait, Body(*asked))


def post(raw):
    kind, (name, told) = one(raw)
    return wire.post(kind, name, Body(*told))


def report(raw):
    name, inner = one(raw)
    if name == "Ok":
        return wire.ok(inner[0], Body(*inner[1]))
    if name == "Fault":
        return wire.fault(inner[0], inner[1][1].decode())
    return {"Shed": wire.shed, "Expired": wire.expired, "Slots": wire.slots}[name](inner)


#: What an application says, made anew from the value.
SAID = {
    "body": lambda raw: Body(*raw).wire(),
    "ask": ask,
    "post": post,
    "report": report,
    "piece": lambda raw: wire.piece(*raw),
}
#: What it hears.
HEARD = {
    "body": wire.body,
    "answer": wire.answer,
    "event": wire.event,
    "ready": wire.readiness,
    "call": wire.call,
    "line": wire.line,
    "opened": wire.tunnel_readiness,
    "piece": wire.part,
}
#: The maps that an application opens something with: their fields are looked at below.
OPENS = ("requests", "subscribe", "register", "line")

ERRORS = {
    "ir.answer.003": iris.Remote,
    "ir.answer.004": iris.Timeout,
    "ir.answer.005": iris.NoMember,
    "ir.answer.006": iris.Busy,
    "ir.answer.007": iris.Lost,
    "ir.answer.008": iris.Refused,
    "ir.ready.002": iris.Refused,
    "ir.opened.002": iris.NoMember,
    "ir.opened.003": iris.Busy,
    "ir.opened.004": iris.Refused,
}


@unittest.skipUnless(vectors.FOLDER.is_dir(), "no vectors beside this package")
class Vectors(AsyncCase):
    async def test_messages(self):
        entries = vectors.load("iris.json")
        self.assertGreater(len(entries), 50)
        for entry in entries:
            with self.subTest(entry["id"]):
                self.play(entry)

    def play(self, entry):
        message, payload = entry["message"], bytes.fromhex(entry["hex"])
        self.assertTrue(message in SAID or message in HEARD or message in OPENS)
        ends = [ENDS[kind]() for kind in entry["ends"]]
        raw = values.decode(payload, 1, ends)
        if "error" in entry:
            if message in HEARD:
                with self.assertRaises(errors.Decode):
                    wire.reading(raw, HEARD[message])
                self.assertFalse(any(end._is_usable() for end in ends), "its ends are ended")
            return
        made = SAID[message](raw) if message in SAID else raw
        encoded, collector = values.encode(made, 1)
        self.assertEqual((encoded.hex(), len(collector)), (entry["hex"], len(ends)))
        if message in HEARD:
            found = wire.reading(raw, HEARD[message])
            if entry["id"] in ERRORS:
                error = found[1] if message == "answer" else found
                self.assertIs(type(error), ERRORS[entry["id"]])
            else:
                self.assertNotIsInstance(found[1] if message == "answer" else found, iris.IrisError)

    async def test_what_opens_something_has_its_fields_in_order(self):
        fields = {}
        for entry in vectors.load("iris.json"):
            if entry["message"] in OPENS and "value" in entry:
                fields[entry["message"]] = [name for name, _ in entry["value"]["map"]]
        async with attached() as (app, relay):

            async def handler(value):
                pass

            asking = [
                asyncio.ensure_future(work)
                for work in (
                    app.request("x", None, 5),
                    app.subscribe("x"),
                    app.register("x", handler),
                    app.tunnel("x", 5),
                )
            ]
            channels = {name: f"iris/1/{name}" for name in ("requests", "subscribe", "register")}
            for name, channel in {**channels, "line": "iris/1/tunnels"}.items():
                found = await relay.next(channel)
                self.assertEqual(list(found), fields[name], name)
            for task in asking:
                task.cancel()
            await asyncio.wait(asking)


if __name__ == "__main__":
    unittest.main()
