"""With the Rust library: its examples as servers and as clients.

Skipped unless ``LIBCHAN_RUST_EXAMPLES`` names the folder of the built examples (``target/debug/examples``).
"""

import asyncio
import contextlib
import os
import pathlib
import shutil
import sys
import tempfile
import unittest
from dataclasses import dataclass

from support import AsyncCase

import libchan
from libchan import ByteStream, Sender

RUST = os.environ.get("LIBCHAN_RUST_EXAMPLES", "")
HERE = pathlib.Path(__file__).resolve().parent.parent
CLIENT, SERVER = HERE / "examples" / "rexec.py", HERE / "examples" / "rexec_server.py"


@dataclass
class Note:
    author: str
    text: str


@dataclass
class Add:
    text: str
    done: Sender[Note]


@dataclass
class Watch:
    notes: Sender[Note]


@contextlib.asynccontextmanager
async def serving(*command):
    """A server that prints where it listens as the last word of its first line."""
    environment = dict(os.environ, PYTHONPATH=str(HERE))
    child = await asyncio.create_subprocess_exec(*map(str, command), stdout=asyncio.subprocess.PIPE, env=environment)
    try:
        yield (await child.stdout.readline()).decode().split()[-1]
    finally:
        child.terminate()
        await child.wait()
        child._transport.close()


async def output(*command, data=b""):
    environment = dict(os.environ, PYTHONPATH=str(HERE))
    pipes = {"stdin": -1, "stdout": -1, "stderr": -1, "env": environment}
    child = await asyncio.create_subprocess_exec(*map(str, command), **pipes)
    out, err = await child.communicate(data)
    return child.returncode, out, err.decode()


@unittest.skipUnless(RUST, "LIBCHAN_RUST_EXAMPLES is not set")
class Rust(AsyncCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.urls = ["tcp://127.0.0.1:0", f"unix://{self.folder}/s.sock"]

    def tearDown(self):
        shutil.rmtree(self.folder)

    async def both(self, client, url):
        data = os.urandom(1_000_000)
        code, out, err = await output(*client, url, *self.dashes(client), "cat", data=data)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out, data)
        code, out, err = await output(
            *client, url, *self.dashes(client), "sh", "-c", "cat; echo oh >&2; exit 4", data=b"x"
        )
        self.assertEqual((code, out, err), (4, b"x", "oh\n"))
        code, out, err = await output(*client, url, *self.dashes(client), "no-such-command")
        self.assertEqual(code, 127)
        self.assertIn("no-such-command", err)

    @staticmethod
    def dashes(client):
        return ["--"] if len(client) == 1 else []

    async def test_our_client_and_their_server(self):
        for listen in self.urls:
            async with serving(f"{RUST}/rexec", "--listen", listen) as url:
                await self.both([sys.executable, CLIENT], url)

    async def test_their_client_and_our_server(self):
        for listen in self.urls:
            async with serving(sys.executable, SERVER, listen) as url:
                await self.both([f"{RUST}/rexec"], url)

    async def test_streams_of_our_own_on_their_server(self):
        for listen in self.urls:
            async with serving(f"{RUST}/rexec", "--listen", listen) as url:
                async with await libchan.dial(url) as session:
                    with session.open("exec") as commands:
                        near_in, stdin = ByteStream.pair()
                        near_out, stdout = ByteStream.pair()
                        near_err, stderr = ByteStream.pair()
                        status, ended = libchan.pipe()
                        command = {"program": "tr", "args": ["a-z", "A-Z"], "status": status}
                        await commands.send({**command, "stdin": stdin, "stdout": stdout, "stderr": stderr})
                        await near_in.write(b"shout")
                        near_in.finish()
                        self.assertEqual(await near_out.read(), b"SHOUT")
                        self.assertEqual(await ended.recv(), {"code": 0, "error": None})
                        for stream in (near_in, near_out, near_err):
                            stream.drop()
                    refused = session.open("something else")
                    self.assertIn("no channel", str(await refused.closed()))

    async def test_a_websocket_with_a_token(self):
        async with serving(f"{RUST}/rest2ch", "serve", "127.0.0.1:0") as place:
            url = "ws://" + place.removeprefix("http://").rstrip("/")
            with self.assertRaises(libchan.DialError):
                await libchan.dial(url)
            headers = {"authorization": "Bearer token-of-alice"}
            async with await libchan.dial(url, headers=headers) as session:
                news, notes = libchan.pipe(type=Note)
                watches = session.open("watch")
                await watches.send(Watch(news))
                adds = session.open("add")
                done, answer = libchan.pipe(type=Note)
                await adds.send(Add("from Python", done))
                self.assertEqual(await answer.recv(), Note("alice", "from Python"))
                # Nothing says when the watch has begun: a note may come before it.
                watching = asyncio.create_task(notes.recv())
                while not watching.done():
                    again, answer = libchan.pipe(type=Note)
                    await adds.send(Add("from Python", again))
                    await answer.recv()
                self.assertEqual(await watching, Note("alice", "from Python"))
                watches.drop()
                adds.drop()


if __name__ == "__main__":
    unittest.main()
