"""The test vectors of the specification (spec/vectors/), run against the testee's verbs without the runner."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

from libchan.testee import notation
from libchan.testee.machines import Machines

_HERE = pathlib.Path(__file__).resolve()
#: `LIBCHAN_VECTORS` names the folder where the package's tests do not stand in the repository.
FOLDER = pathlib.Path(os.environ.get("LIBCHAN_VECTORS", _HERE.parents[3] / "spec" / "vectors"))
_HELLO = {
    "t": "HELLO", "id": 0, "max_frame": 65536, "max_message": 16777216, "max_attachments": 64, "max_channels": 65536,
    "max_pending_accepts": 256, "initial_window": 2048, "stream_window": 16384, "session_memory": 536870912,
    "max_descriptors": 0, "codecs": [1, 2, 3, 0], "features": 0, "metadata": [],
}  # fmt: skip


def load(name: str) -> list[dict[str, Any]]:
    found = []
    for path in sorted(FOLDER.glob(name)):
        data = json.loads(path.read_text())
        found += data if isinstance(data, list) else data["entries"]
    return found


def expand(said: Any) -> Any:
    """Fills stand for long bytes."""
    if isinstance(said, dict):
        if "fill" in said and "len" in said:
            assert said["fill"] == "mod251", said
            return (bytes(range(251)) * (said["len"] // 251 + 1))[: said["len"]].hex()
        return {key: expand(value) for key, value in said.items()}
    return [expand(item) for item in said] if isinstance(said, list) else said


class Mismatch(AssertionError):
    pass


class Conversation:
    """One entry of sessions/ or reject.json with a machine."""

    def __init__(self, entry: dict[str, Any], whole: bool = True) -> None:
        self.entry = expand(entry)
        self.whole = whole
        self.machines = Machines()
        self.sent = bytearray()
        self.events: list[Any] = []
        self.bound: dict[str, Any] = {}
        self.over: Any = None
        said = {"m": 1, "role": entry["role"], "hello": self.entry.get("hello"), "local": self.entry.get("local")}
        self.note(self.machines.new(said))
        if not entry.get("raw"):
            peer = {**_HELLO, **(self.entry.get("peer") or {})}
            self.receive(b"libchan\x01" + notation.encode_frame(peer))
            self.sent.clear()
            self.events.clear()

    def note(self, answer: dict[str, Any]) -> dict[str, Any]:
        self.sent += bytes.fromhex(answer["out"])
        self.events += answer["events"]
        self.over = answer["over"]
        return answer

    def receive(self, data: bytes) -> None:
        for part in [data] if self.whole else [data[at : at + 1] for at in range(len(data))]:
            self.note(self.machines.recv({"m": 1, "hex": part.hex()}))

    def resolve(self, said: Any) -> Any:
        if isinstance(said, str) and said.startswith("$"):
            return self.bound.get(said, said)
        if isinstance(said, dict):
            return {key: self.resolve(value) for key, value in said.items()}
        return [self.resolve(item) for item in said] if isinstance(said, list) else said

    def match(self, wanted: Any, got: Any, where: str) -> None:
        wanted = self.resolve(wanted)
        if isinstance(wanted, str) and wanted.startswith("$"):
            self.bound[wanted] = got
        elif isinstance(wanted, dict):
            if not isinstance(got, dict):
                raise Mismatch(f"{where}: wanted {wanted}, got {got}")
            for key, value in wanted.items():
                if key not in got and value not in (0, "", [], None):
                    raise Mismatch(f"{where}: wanted {key} in {got}")
                self.match(value, got.get(key, value), f"{where}.{key}")
        elif isinstance(wanted, list):
            if not isinstance(got, list) or len(wanted) != len(got):
                raise Mismatch(f"{where}: wanted {wanted}, got {got}")
            for at, (one, other) in enumerate(zip(wanted, got, strict=True)):
                self.match(one, other, f"{where}[{at}]")
        elif wanted != got:
            raise Mismatch(f"{where}: wanted {wanted!r}, got {got!r}")

    def frames(self) -> list[dict[str, Any]]:
        data, found = bytes(self.sent), []
        self.sent.clear()
        if data.startswith(b"libchan"):
            found.append(notation.decode_frame(data[:8]))
            data = data[8:]
        while data:
            size = 8 + int.from_bytes(data[:3], "big")
            found.append(notation.decode_frame(data[:size]))
            data = data[size:]
        return found

    def bytes_of(self, said: Any) -> bytes:
        if isinstance(said, str):
            return bytes.fromhex(said)
        # What is absent in a HELLO has its default, as in the hellos that have passed.
        whole = ({**_HELLO, **frame} if frame["t"] == "HELLO" else frame for frame in said)
        return b"".join(notation.encode_frame(self.resolve(frame)) for frame in whole)

    def step(self, step: dict[str, Any], where: str) -> None:
        if "app" in step:
            answer = self.note(self.machines.app({"m": 1, **self.resolve(step["app"])}))
            if "gives" in step:
                self.match(step["gives"], answer["gives"], where + ".gives")
        elif "recv" in step:
            self.receive(self.bytes_of(step["recv"]))
        elif "tick" in step:
            self.note(self.machines.tick({"m": 1, "now": step["tick"]}))
        elif "eof" in step:
            self.note(self.machines.eof({"m": 1}))
        elif "expect" in step:
            self.match(step["expect"], self.frames(), where + ".expect")
        elif "any_order" in step:
            self.any_order(step["any_order"], self.frames(), where)
        elif "events" in step:
            events, self.events = self.events, []
            self.match(step["events"], events, where + ".events")
        elif "quiet" in step:
            if self.sent:
                raise Mismatch(f"{where}: not quiet: {self.frames()}")
        elif "skip" in step:
            self.sent.clear()
        elif "over" in step:
            self.match(step["over"], self.over, where + ".over")
            if (step["over"] is None) != (self.over is None):
                raise Mismatch(f"{where}: over is {self.over}")
        else:
            raise Mismatch(f"{where}: an unknown step {step}")

    def any_order(self, wanted: list[Any], got: list[Any], where: str) -> None:
        if len(wanted) != len(got):
            raise Mismatch(f"{where}: wanted {wanted}, got {got}")
        rest = list(got)
        for one in wanted:
            for other in rest:
                try:
                    self.match(one, other, where)
                except Mismatch:
                    continue
                rest.remove(other)
                break
            else:
                raise Mismatch(f"{where}: nothing like {one} in {rest}")

    def run(self) -> None:
        for at, step in enumerate(self.entry["steps"]):
            self.step(step, f"step {at}")
        if self.sent:
            raise Mismatch(f"at the end: {self.frames()}")


def run_reject(entry: dict[str, Any]) -> None:
    """Bytes that end a session, byte by byte and whole."""
    for whole in (False, True):
        talk = Conversation(entry)
        for at, step in enumerate(talk.entry.get("before") or []):
            talk.step(step, f"before {at}")
        data = bytes.fromhex(talk.entry["hex"])
        if talk.entry["scope"] in ("channel", "stream", "message", "ignore"):
            talk.receive(data)
            if talk.over is not None:
                raise Mismatch(f"the session is over: {talk.over}")
            for at, step in enumerate(talk.entry.get("after") or []):
                talk.step(step, f"after {at}")
            continue
        if whole:
            talk.receive(data)
        else:
            for at, byte in enumerate(data, 1):
                talk.receive(bytes([byte]))
                if talk.over is not None:
                    if at != talk.entry["at"]:
                        raise Mismatch(f"over at byte {at}, not at {talk.entry['at']}")
                    break
        talk.match({"why": "broken", "code": talk.entry["code"]}, talk.over, "over")
        if entry.get("told", True):
            last = talk.frames()[-1]
            if last["t"] != "GOODBYE" or notation.code_name(last["code"]) != entry["code"]:
                raise Mismatch(f"the peer is not told: {last}")
