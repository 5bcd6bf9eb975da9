"""Serves commands, as the Rust example rexec does: ``python rexec_server.py unix:///tmp/rexec.sock``

Whoever can connect can run commands as this user: listen where only this user can. The client is the Rust one,
``cargo run --example rexec -- unix:///tmp/rexec.sock -- ls -l``, or rexec.py beside this file.
"""

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass

import libchan
from libchan import ByteStream, Sender


@dataclass
class Status:
    code: int
    error: str | None = None


@dataclass
class Command:
    program: str
    args: list[str]
    stdin: ByteStream
    stdout: ByteStream
    stderr: ByteStream
    status: Sender[Status]


async def feed(stream: ByteStream, pipe: asyncio.StreamWriter) -> None:
    # An input that was cut short is not complete: then the command is not told of an end.
    with contextlib.suppress(ConnectionError):
        async for data in stream:
            pipe.write(data)
            await pipe.drain()
        pipe.close()


async def drain(pipe: asyncio.StreamReader, stream: ByteStream) -> None:
    with contextlib.suppress(libchan.StreamError):
        while data := await pipe.read(65536):
            await stream.write(data)
        stream.finish()


async def run(command: Command) -> None:
    # What an exception leaves here is no clean end for the client: neither the status nor the output.
    with command.status as status, command.stdin, command.stdout, command.stderr:
        command.stdin.finish()
        ended = await execute(command)
        # Fails if the client has left meanwhile: nobody to tell.
        with contextlib.suppress(libchan.SendError):
            await status.send(ended)


async def execute(command: Command) -> Status:
    try:
        child = await asyncio.create_subprocess_exec(
            command.program, *command.args, stdin=-1, stdout=-1, stderr=-1, start_new_session=True
        )
    except OSError as error:
        return Status(127 if isinstance(error, FileNotFoundError) else 126, f"{command.program}: {error.strerror}")
    feeding = asyncio.create_task(feed(command.stdin, child.stdin))
    out = asyncio.gather(drain(child.stdout, command.stdout), drain(child.stderr, command.stderr), child.wait())
    # A client that leaves takes its command with it.
    left = asyncio.create_task(command.status.closed())
    await asyncio.wait({out, left}, return_when=asyncio.FIRST_COMPLETED)
    if not out.done():
        os.killpg(child.pid, signal.SIGKILL)
    await out
    feeding.cancel()
    left.cancel()
    return Status(child.returncode if child.returncode >= 0 else 128 - child.returncode)


async def serve(session: libchan.Session) -> None:
    with contextlib.suppress(libchan.SessionError):
        async for incoming in session:
            if incoming.name != "exec":
                incoming.refuse(f"no channel {incoming.name!r} here, only 'exec'")
                continue
            asyncio.create_task(take(incoming.receive(Command)))


async def take(commands: libchan.Receiver[Command]) -> None:
    # A client that leaves without having ended its sender has left all the same.
    with contextlib.suppress(libchan.Disconnected, libchan.SessionClosed):
        async for command in commands:
            asyncio.create_task(run(command))


async def main(url: str) -> None:
    async with await libchan.listen(url, **({"mode": 0o600} if url.startswith("unix:") else {})) as listener:
        print("listening on", listener.url, flush=True)
        async for session in listener:
            asyncio.create_task(serve(session))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1]))
