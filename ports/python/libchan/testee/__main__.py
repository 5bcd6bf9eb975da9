"""Reads requests, a line of JSON each, and answers them until the input ends."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from .. import __version__, codecs
from . import notation
from .live import Live, failure_of
from .machines import Machines
from .notation import Failure

_LIVE = (
    "listen accept dial open incoming refuse leave drain going abort pipe stream fd send recv close close_with clone "
    "copy read write finish drop stats"
).split()


def _carriers() -> list[str]:
    found = ["tcp", "unix", "tls"]
    try:
        from ..carriers import websocket  # noqa: F401

        found += ["ws", "wss"]
    except ImportError:
        pass
    return found


class Testee:
    def __init__(self) -> None:
        self.machines = Machines()
        self.live = Live()
        self.waiting: dict[int, asyncio.Task[None]] = {}

    def hello(self, said: dict[str, Any]) -> Any:
        return {
            "impl": "libchan-python",
            "version": __version__,
            "level": 3,
            "codecs": [codec.name for codec in codecs.CODECS.values()],
            "carriers": _carriers(),
            "verbs": ["machine", "live"],
        }

    def answer_now(self, said: dict[str, Any]) -> Any:
        """The verbs that never wait."""
        verb = said.get("do", "")
        if verb == "hello":
            return self.hello(said)
        if verb == "frame.decode":
            return notation.decode_frame(bytes.fromhex(said.get("hex", "")))
        if verb == "frame.encode":
            return {"hex": notation.encode_frame(said["frame"]).hex()}
        if verb == "value.decode":
            data = bytes.fromhex(said.get("hex", ""))
            return {"value": notation.decode_value(said["codec"], data, said.get("attachments", 0))}
        if verb == "value.encode":
            return {"hex": notation.encode_value(said["codec"], said.get("value")).hex()}
        if verb == "give_up":
            return self.give_up(said)
        name = verb.removeprefix("machine.")
        if verb.startswith("machine.") and name in ("new", "recv", "eof", "tick", "app", "drop"):
            return getattr(self.machines, name)(said)
        raise Failure("UNKNOWN_VERB", verb)

    def give_up(self, said: dict[str, Any]) -> Any:
        task = self.waiting.get(said.get("request", 0))
        return {"given_up": task is not None and task.cancel()}

    async def answer_later(self, said: dict[str, Any]) -> None:
        try:
            reply(said, ok=await getattr(self.live, said["do"])(said))
        except Failure as failure:
            reply(said, err=failure.answer)
        except asyncio.CancelledError:
            reply(said, err={"name": "GIVEN_UP", "text": ""})
        except Exception as error:
            reply(said, err=failure_of(error).answer)
        finally:
            self.waiting.pop(said.get("n", 0), None)

    def take(self, line: bytes) -> None:
        said: dict[str, Any] = {}
        try:
            said = json.loads(line)
            if said.get("do") in _LIVE:
                self.waiting[said.get("n", 0)] = asyncio.ensure_future(self.answer_later(said))
            else:
                reply(said, ok=self.answer_now(said))
        except Failure as failure:
            reply(said, err=failure.answer)
        except Exception as error:
            # A request that is none, or a fault of ours: the runner shows it, and goes on.
            reply(said, err={"name": "FAULT", "text": f"{type(error).__name__}: {error}"})


def reply(said: dict[str, Any], **answer: Any) -> None:
    sys.stdout.write(json.dumps({"n": said.get("n", 0), **answer}) + "\n")
    sys.stdout.flush()


async def main() -> None:
    testee, loop = Testee(), asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
        if line.strip():
            testee.take(line)
    for task in list(testee.waiting.values()):
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
