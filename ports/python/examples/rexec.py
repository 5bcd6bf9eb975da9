"""Runs a command on a libchan rexec server, as if it ran here: ``python rexec.py URL CMD ARGS...``

The server is the Rust one: ``cargo run --example rexec -- --listen unix:///tmp/rexec.sock``
"""

import asyncio
import sys
from dataclasses import dataclass

import libchan
from libchan import ByteStream, Fd, Sender


@dataclass
class Status:
    code: int
    error: str | None


@dataclass
class Command:
    program: str
    args: list[str]
    stdin: ByteStream | Fd
    stdout: ByteStream | Fd
    stderr: ByteStream | Fd
    status: Sender[Status]


async def run(url: str, program: str, *args: str) -> int:
    async with await libchan.dial(url) as session:
        with session.open("exec") as commands:
            # Our own descriptors travel: over a unix socket they are passed, elsewhere they are carried as streams.
            result: Status = await commands.call(
                lambda status: Command(program, list(args), Fd(0), Fd(1), Fd(2), status), type=Status
            )
        if result.error:
            print(f"rexec: {result.error}", file=sys.stderr)
        return result.code


if __name__ == "__main__":
    sys.exit(asyncio.run(run(*sys.argv[1:])))
