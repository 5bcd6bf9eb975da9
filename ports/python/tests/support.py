"""What the tests share: a pair of sessions over a carrier, a limit of time, and a look at what is left over."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import subprocess
import tempfile
import unittest

import libchan

#: A test that takes longer hangs.
LIMIT = 30.0


class AsyncCase(unittest.IsolatedAsyncioTestCase):
    """Runs each test within the limit, and looks for tasks that it leaves behind."""

    def _callTestMethod(self, method):
        async def limited():
            await asyncio.wait_for(method(), LIMIT)
            gc.collect()
            for _ in range(200):
                left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
                left = [task for task in left if "_asyncioLoopRunner" not in repr(task) and "limited" not in repr(task)]
                if not left:
                    return
                await asyncio.sleep(0.01)
            self.fail(f"tasks are left: {left}")

        super()._callTestMethod(limited)


def certificate(folder):
    """A self-signed certificate for localhost, by the openssl command."""
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert]
    subprocess.run(command.split() + names, check=True, capture_output=True)
    return cert, key


def pin_of(cert):
    import hashlib
    import ssl

    with open(cert) as file:
        der = ssl.PEM_cert_to_DER_cert(file.read())
    return "sha256:" + hashlib.sha256(der).hexdigest()


@contextlib.asynccontextmanager
async def sessions(carrier="tcp", options=None, listen_options=None):
    """A dialer's and an acceptor's session. Both are dropped at the end, unless the test closes them."""
    folder = tempfile.mkdtemp()
    options, listen_options = dict(options or {}), dict(listen_options or {})
    url = f"{carrier}://127.0.0.1:0"
    if carrier == "unix":
        url = f"unix://{folder}/s.sock"
    if carrier in ("tls", "wss"):
        cert, key = certificate(folder)
        listen_options["tls"] = libchan.server_tls(cert, key)
        options["pin"] = pin_of(cert)
    listener = await libchan.listen(url, **listen_options)
    try:
        dialed, accepted = await asyncio.gather(libchan.dial(listener.url, **options), listener.accept())
        try:
            yield dialed, accepted
        finally:
            for session in (dialed, accepted):
                session.abort()
            for session in (dialed, accepted):
                with contextlib.suppress(libchan.SessionError):
                    await session.closed()
    finally:
        await listener.close()
        shutil.rmtree(folder)


async def channel(dialed, accepted, capacity=64, type=None, name="x"):
    """A named channel: the dialer's sender and the acceptor's receiver."""
    sender = dialed.open(name, capacity)
    incoming = await accepted.accept()
    assert incoming.name == name
    return sender, incoming.receive(type)


async def untaken(near, far, message, capacity=8):
    """A message that lies at a worker which had asked for it and has given up: the queue's sender, the receiver here
    that competes with the worker, and the worker's."""
    jobs, inbox = libchan.pipe(capacity)
    sender, receiver = await channel(near, far)
    await sender.send(inbox.clone())
    worker = await receiver.recv()
    asking = asyncio.create_task(worker.recv())
    await settle()
    asking.cancel()
    await jobs.send(message)
    await settle()
    assert len(inbox._core.outlets[0].flight) == 1
    return jobs, inbox, worker


async def settle(seconds=0.05):
    """Lets everything that can happen at once happen. Only where a test shows that something does not."""
    await asyncio.sleep(seconds)
