"""Hostile input: a peer that sends anything, and one that breaks each limit. The session ends with a code; nothing else
happens. What ends a session frame by frame is in the vectors (reject.json)."""

import asyncio
import gc
import os
import random
import socket
import unittest
from dataclasses import replace

from support import AsyncCase, channel, sessions, settle
from test_model import TOOLS

import libchan
from libchan.codecs import CODECS, CodecError
from libchan.proto import codes, frames
from libchan.proto.entries import RecvEntry, StreamEntry
from libchan.proto.errors import NO_REASON, OpenError, Reason
from libchan.proto.limits import Limits
from libchan.proto.machine import Machine
from libchan.proto.messages import Parts
from libchan.url import parse


def bad_frame(rng):
    """A frame that is nearly right."""
    id = rng.choice([0, 1, 2, 3, 4, 5, 7, 9, 11, 1000])
    number = lambda: rng.choice([0, 0, 1, 2, 16, 1000, 2**31, 2**32 - 1])  # noqa: E731
    reason = Reason(rng.choice([0, 0, 0, 1, 35, 300]), rng.choice(["", "", "why"]))
    rows = tuple(
        frames.Entry(rng.randint(0, 7), rng.randint(0, 40), rng.choice([0, 0, 4]), rng.choice([0, 0, 1]))
        for _ in range(rng.randint(0, 3))
    )
    flags = rng.choice([0, 0, 0, 1, 2, 3, 4, 8, 17, 19, 255]) | (frames.ATTACHMENTS if rows else 0)
    total = rng.choice([5, 2000, 10_000_000]) if flags & frames.MORE else None
    payload = os.urandom(rng.choice([0, 1, 3, 100, 900]))
    return rng.choice(
        [
            frames.Message(id, flags, rng.randint(0, 3), rows, total, payload),
            frames.Fragment(id, rng.random() < 0.5, payload or b"x"),
            frames.Credit(id, number(), number(), number()),
            frames.Close(id, rng.randint(0, 1), reason),
            frames.Cancel(id, rng.randint(0, 1), rng.choice([0, 0, 1]), reason),
            frames.Data(id, payload or b"x"),
            frames.End(id, reason),
            frames.Stop(id, reason),
            frames.Ping(b"12345678"),
        ]
    )


def random_frame(rng, machine):
    from model.hostile import good_frame

    data = bytearray(frames.encode(good_frame(rng, machine) if rng.random() < 0.97 else bad_frame(rng)))
    if rng.random() < 0.003:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


class Machines(unittest.TestCase):
    def established(self, limits=None):
        machine, other = Machine(True, limits), Machine(False)
        for chunk in other.output():
            machine.receive(bytes(chunk.data))
        self.assertTrue(machine.established)
        return machine

    @unittest.skipUnless((TOOLS / "model").is_dir(), "no specification beside this package")
    def test_anything(self):
        """Random frames, and an application that does things meanwhile: no exception, and the counters add up."""
        from model.audit import audit, held

        seed = int(os.environ.get("LIBCHAN_SEED", random.randrange(2**32)))
        print(f"seed {seed}", end=" ", flush=True)
        rng = random.Random(seed)
        survived = 0
        for _ in range(400):
            machine = self.established(Limits(max_channels=50, session_memory=1_000_000))
            for _ in range(200):
                data = random_frame(rng, machine)
                cut = rng.randrange(len(data) + 1)
                machine.receive(data[:cut])
                machine.receive(data[cut:])
                self.use(machine, rng)
                if machine.over:
                    break
                audit(machine)
                survived += 1
            self.assertLessEqual(held(machine), machine.limits.session_memory)
            machine.eof()
            for entry in list(machine.entries.open.values()):
                if isinstance(entry, RecvEntry):
                    machine.cancel(entry)
            self.assertEqual(machine.ours.extra, 0)
        self.assertGreater(survived, 2000)

    def use(self, machine, rng):
        """What an application does."""
        for event in list(machine.events):
            if event.kind == "opened" and rng.random() < 0.8:
                machine.accept(event.entry)
        machine.events.clear()
        for entry in list(machine.entries.open.values()):
            if isinstance(entry, RecvEntry):
                if rng.random() < 0.3:
                    machine.want(entry, rng.randint(0, 3))
                parcel = machine.next_parcel(entry) if rng.random() < 0.5 else None
                if parcel:
                    machine.reject_all(parcel.attachments if rng.random() < 0.5 else [])
                    machine.taken(entry, 1, parcel.charge)
                if rng.random() < 0.02:
                    machine.cancel(entry)
            elif isinstance(entry, StreamEntry):
                if rng.random() < 0.5:
                    machine.stream_recv(entry, 200)
                    machine.stream_send(entry, b"z" * rng.randrange(1, 500))
                if rng.random() < 0.05:
                    machine.stream_finish(entry)
                    machine.stream_stop(entry)
            elif machine.blocked(entry) is None and rng.random() < 0.5:
                order = []
                if rng.random() < 0.3:
                    try:
                        order.append(machine.allocate(rng.randint(1, 3), rng.choice([1, 4])))
                    except OpenError:
                        pass
                machine.send(entry, Parts(0, b"p" * rng.choice([0, 10, 500, 5000]), order))
            elif rng.random() < 0.02:
                machine.close(entry)
        machine.output()

    def test_bytes_of_no_kind(self):
        rng = random.Random(7)
        for _ in range(2000):
            machine = self.established()
            machine.receive(rng.randbytes(rng.randrange(1, 60)))
            machine.output()

    def test_a_peer_of_another_protocol(self):
        for said in (b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"l", b"libchan\x02"):
            machine = Machine(False)
            machine.receive(said)
            if said == b"l":
                self.assertIsNone(machine.over)
            else:
                self.assertIn(machine.over.code, (codes.PROTOCOL, codes.UNSUPPORTED_VERSION))

    def test_a_claim_of_much_costs_little(self):
        machine = self.established()
        machine.receive(frames.encode(frames.Open(1, 4, "x", ())))
        first = frames.Message(1, frames.MORE, 0, (), 16_000_000, b"x" * 900)
        machine.receive(frames.encode(first))
        entry = machine.entries.open[1]
        self.assertEqual(len(entry.partial.payload), 900)
        machine.receive(frames.header(65_537, frames.MESSAGE, 1))
        self.assertEqual(machine.over.code, codes.FRAME_TOO_LARGE)

    def test_many_large_messages_never_block_each_other(self):
        """Half-received messages of many channels: those that were granted can complete, and then the others."""
        machine = self.established(Limits(session_memory=4_000_000, max_message=900_000))
        first = 2048 - 32
        for n in range(20):
            id = 2 * n + 1
            machine.receive(frames.encode(frames.Open(id, 4, "x", ())))
            machine.receive(frames.encode(frames.Message(id, frames.MORE, 0, (), 500_000, b"x" * first)))
            machine.want(machine.entries.open[id], 1)
        machine.output()
        self.assertIsNone(machine.over)
        self.assertLessEqual(machine.ours.extra, 1_000_000)
        self.assertEqual(len(machine._awaited), 18)
        for _ in range(20):
            entry = next(e for e in machine.entries.open.values() if e.partial and e.window.extra)
            for at in range(first, 500_000, 60_000):
                part = min(60_000, 500_000 - at)
                machine.receive(frames.encode(frames.Fragment(entry.id, at + part < 500_000, b"y" * part)))
            self.assertIsNone(machine.over)
            parcel = machine.next_parcel(entry)
            self.assertEqual(len(parcel.payload), 500_000)
            machine.taken(entry, 1, parcel.charge)
            machine.output()

    def test_pings_and_silence_by_the_clock(self):
        machine = self.established()
        machine.output()
        machine.tick(0.0)
        machine.tick(15.0)
        self.assertEqual(bytes(machine.output()[0].data)[3], frames.PING)
        machine.tick(44.0)
        self.assertIsNone(machine.over)
        machine.tick(46.0)
        self.assertEqual(machine.over.code, codes.PEER_SILENT)
        silent = Machine(False)
        silent.tick(10.0)
        self.assertEqual(silent.over.code, codes.HELLO_TIMEOUT)

    def test_a_drop_of_deeply_nested_messages_is_a_loop(self):
        """A message in a channel in a message, 20,000 deep: closing the first closes all."""
        limits = Limits(max_channels=30_000, session_memory=2**31)
        machine = self.established(limits)
        machine.limits = replace(machine.limits, max_channels=30_000, session_memory=2**31)
        machine.receive(frames.encode(frames.Open(1, 4, "x", ())))
        for n in range(20_000):
            row = frames.Entry(frames.RECEIVER, 2 * n + 3, 4, 0)
            machine.receive(frames.encode(frames.Message(2 * n + 1, frames.ATTACHMENTS, 0, (row,), None, b"")))
        self.assertIsNone(machine.over)
        machine.cancel(machine.entries.open[1])
        machine.output()
        self.assertTrue(all(entry.cancelled for entry in machine.entries.open.values()))


class Values(unittest.TestCase):
    def test_payloads_of_no_kind(self):
        rng = random.Random(11)
        for codec in CODECS.values():
            good = codec.encode("x", lambda item: None)
            for _ in range(3000):
                data = rng.randbytes(rng.randrange(40)) if rng.random() < 0.7 else good + rng.randbytes(2)
                try:
                    codec.decode(data)
                except CodecError:
                    pass

    def test_bombs(self):
        bombs = {
            1: [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x91" * 100_000 + b"\xc0"],
            2: [b"[" * 100_000, b"[" * 129 + b"]" * 129, b'{"a":' * 200 + b"1" + b"}" * 200, b"1" * 5000],
        }
        for id, payloads in bombs.items():
            for payload in payloads:
                with self.assertRaises(CodecError, msg=payload[:20]):
                    CODECS[id].decode(payload)
        self.assertEqual(CODECS[2].decode(b"[" * 128 + b"]" * 128)[0][0][0][:0], [])
        CODECS[1].decode(b"\x91" * 127 + b"\x90")

    def test_urls(self):
        good = ["tcp://h:1", "tls://[::1]:65535", "unix:///a/b", "unix:a", "unix:@a", "ws://h:1", "wss://h:2/x"]
        self.assertEqual([str(parse(url)) for url in good][-2:], ["ws://h:1/libchan/v1", "wss://h:2/x"])
        bad = ["", "h:1", "tcp://h", "tcp://h:0", "tcp://h:70000", "tcp://h:1/x", "tcp://u:p@h:1", "unix://a", "unix:"]
        for url in [*bad, "ws://h:1/?a=b", "http://h:1", "tcp:h:1", "tcp://::1:1", "unix:" + "x" * 200]:
            with self.assertRaises(libchan.UrlError, msg=url):
                parse(url)


class Sockets(AsyncCase):
    async def test_a_peer_that_says_nothing_is_told_so(self):
        limits = Limits(hello_timeout=0.2)
        async with await libchan.listen("tcp://127.0.0.1:0", limits=limits) as listener:
            host, port = listener.url.removeprefix("tcp://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            said = await reader.read()
            self.assertIn(b"hello in time", said)
            writer.close()
            # A silent peer keeps nobody else waiting.
            session = await libchan.dial(listener.url)
            await (await listener.accept()).close()
            await session.closed()

    async def test_a_dialer_learns_why(self):
        async with await libchan.listen("tcp://127.0.0.1:0", codecs=("json",)) as listener:
            with self.assertRaises(libchan.SessionError) as caught:
                await libchan.dial(listener.url, codecs=("msgpack",))
            self.assertEqual(caught.exception.code, codes.NO_COMMON_CODEC)

    async def test_a_server_refuses_who_has_no_token(self):
        async with await libchan.listen("tcp://127.0.0.1:0", metadata={"server": "s"}) as listener:
            for token, good in (("sesame", True), ("wrong", False)):
                dialed = await libchan.dial(listener.url, metadata={"token": token})
                self.assertEqual(dialed.metadata, {"server": b"s"})
                accepted = await listener.accept()
                if accepted.metadata["token"] == b"sesame":
                    await asyncio.gather(accepted.close(), dialed.closed())
                    self.assertTrue(good)
                    continue
                await accepted.refuse("who are you?", 5)
                with self.assertRaisesRegex(libchan.SessionError, "who are you") as caught:
                    await dialed.closed()
                self.assertEqual(caught.exception.code, 261)

    async def test_a_peer_that_never_reads(self):
        """It asks without end: our answers are bounded, and the session ends."""
        limits = Limits(max_control_bytes=20_000, max_pings=2**31)
        async with await libchan.listen("tcp://127.0.0.1:0", limits=limits) as listener:
            host, port = listener.url.removeprefix("tcp://").split(":")
            sock = socket.create_connection((host, int(port)))
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            machine = Machine(True)
            await loop.sock_sendall(sock, bytes(machine.output()[0].data))
            session = await listener.accept()
            pings = frames.encode(frames.Ping(b"12345678")) * 1000

            async def ask():
                while True:
                    await loop.sock_sendall(sock, pings)

            asking = asyncio.create_task(ask())
            with self.assertRaises(libchan.SessionError) as caught:
                await session.closed()
            self.assertEqual(caught.exception.kind, "peer_not_reading")
            asking.cancel()
            with self.assertRaises((asyncio.CancelledError, OSError)):
                await asking
            sock.close()

    async def test_certificates(self):
        import tempfile

        from support import certificate, pin_of

        with tempfile.TemporaryDirectory() as folder:
            cert, key = certificate(folder)
            async with await libchan.listen("tls://127.0.0.1:0", tls=libchan.server_tls(cert, key)) as listener:
                with self.assertRaises(libchan.DialError):
                    await libchan.dial(listener.url)
                with self.assertRaisesRegex(libchan.DialError, "not the pinned one"):
                    await libchan.dial(listener.url, pin="sha256:" + "0" * 64)
                with self.assertRaises(ValueError):
                    await libchan.dial(listener.url, pin="sha256:xyz")
                with self.assertRaises((libchan.SessionError, libchan.DialError)):
                    await libchan.dial(listener.url.replace("tls", "tcp"))
                import ssl

                roots = ssl.create_default_context(cafile=cert)
                for options in ({"pin": pin_of(cert)}, {"tls": roots}):
                    dialed = await libchan.dial(listener.url.replace("127.0.0.1", "localhost"), **options)
                    accepted = await listener.accept()
                    await asyncio.gather(dialed.close(), accepted.closed())

    async def test_a_redirect_is_not_followed(self):
        asked = []

        async def answer(reader, writer):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with self.assertRaisesRegex(libchan.DialError, "302"):
            await libchan.dial(f"ws://127.0.0.1:{port}")
        self.assertEqual(len(asked), 1)
        server.close()

    async def test_web_pages_and_other_paths_are_refused(self):
        async with await libchan.listen("ws://127.0.0.1:0", origins=("https://good.example",)) as listener:
            for url, headers in (
                (listener.url, {"origin": "https://evil.example"}),
                (listener.url.replace("/libchan/v1", "/other"), {}),
            ):
                with self.assertRaises(libchan.DialError):
                    await libchan.dial(url, headers=headers)
            session = await libchan.dial(listener.url, headers={"origin": "https://good.example"})
            accepted = await listener.accept()
            self.assertEqual(accepted.peer.headers["origin"], "https://good.example")
            await asyncio.gather(session.close(), accepted.closed())

    async def test_a_session_that_nobody_holds_ends_by_itself(self):
        async with sessions() as (dialed, accepted):
            async with await libchan.listen("tcp://127.0.0.1:0") as listener:
                session = await libchan.dial(listener.url)
                far = await listener.accept()
                sender = session.open("x")
                receiver = (await far.accept()).receive()
                del session
                gc.collect()
                await sender.send("the channel keeps it")
                self.assertEqual(await receiver.recv(), "the channel keeps it")
                sender.drop()
                with self.assertRaises(libchan.EndOfChannel):
                    await receiver.recv()
                await far.closed()

    async def test_a_named_channel_beyond_the_queue(self):
        async with sessions(options={"limits": Limits(max_pending_accepts=3)}) as (dialed, accepted):
            senders = [dialed.open(f"c{n}") for n in range(5)]
            for sender in senders[3:]:
                self.assertEqual((await sender.closed()).code, codes.ACCEPT_QUEUE_FULL)
            for n in range(3):
                self.assertEqual((await accepted.accept()).name, f"c{n}")

    async def test_limits_are_told_where_they_are_passed(self):
        limits = Limits(max_channels=3, max_message=2000)
        async with sessions(options={"limits": limits}) as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            dialed.open("two")
            words, reading = libchan.pipe()
            more, reading_more = libchan.pipe()
            with self.assertRaises(libchan.Limit):
                await sender.send([words, more])
            # The ends are the caller's still.
            await sender.send(words)
            self.assertFalse(more.is_closed())
            with self.assertRaises(libchan.OpenError):
                dialed.open("five")
            (await receiver.recv()).drop()
            await settle()
            self.assertIsNone(dialed._engine.machine.over)

    async def test_a_message_with_an_unknown_codec_is_one_error(self):
        async with sessions() as (dialed, accepted):
            sender, receiver = await channel(dialed, accepted)
            entry = sender._core.outlets[0].entry
            dialed._engine.machine.send(entry, Parts(200, b"?", ()))
            dialed._engine.kick()
            with self.assertRaisesRegex(libchan.Decode, "codec 200"):
                await receiver.recv()
            self.assertEqual(NO_REASON.code, 0)


if __name__ == "__main__":
    unittest.main()
