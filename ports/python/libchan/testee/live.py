"""The verbs over real links: sessions, ends, streams and descriptors, each under a number of the testee's choice."""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
from typing import Any

from .. import (
    BySender,
    ByteStream,
    CutShort,
    Decode,
    DialError,
    Disconnected,
    Dropped,
    Encode,
    EndOfChannel,
    Fd,
    Limit,
    Limits,
    Listener,
    NotEncoded,
    NotForwarded,
    NotPumpable,
    OpenError,
    Receiver,
    Refused,
    Remote,
    Sender,
    Session,
    SessionError,
    StreamError,
    TooLarge,
    TooManyAttachments,
    UrlError,
    copy,
    dial,
    listen,
    pipe,
    server_tls,
)
from ..codecs import CODECS
from ..errors import AttachmentInUse
from ..proto import codes
from ..proto.entries import StreamEntry
from ..proto.errors import SessionOver
from .machines import over_to_json
from .notation import Failure, code_name, limits_of, unpairs, value_from_json, value_to_json

_NAMES: list[tuple[type, str]] = [
    (Disconnected, "DISCONNECTED"),
    (Dropped, "CANCELLED"),
    (Refused, "REFUSED"),
    (BySender, "CLOSED"),
    (Remote, "ENDED_WITH"),
    (Decode, "DECODE"),
    (Encode, "ENCODE"),
    (NotEncoded, "NOT_ENCODED"),
    (NotForwarded, "NOT_FORWARDED"),
    (TooLarge, "TOO_LARGE"),
    (TooManyAttachments, "TOO_MANY_ATTACHMENTS"),
    (NotPumpable, "NOT_SUPPORTED"),
    (AttachmentInUse, "IN_USE"),
    (UrlError, "NOT_SUPPORTED"),
    (DialError, "IO"),
    (OSError, "IO"),
]


def failure_of(error: Exception) -> Failure:
    """The name under which the runner knows an exception."""
    text = str(error)
    if isinstance(error, SessionError):
        lost = error.kind in (SessionOver.LOST, SessionOver.CLOSED)
        return Failure("DISCONNECTED" if lost else code_name(error.code), text, code=error.code)
    if isinstance(error, (Limit, OpenError)):
        return Failure("LIMIT", text)
    if isinstance(error, StreamError):
        names = {code: code_name(code) for code in (codes.DISCONNECTED, codes.SESSION_CLOSED)}
        names[codes.NONE] = "CLOSED"
        return Failure(names.get(error.code, "ENDED_WITH"), error.said or text, code=error.code)
    for kind, name in _NAMES:
        if isinstance(error, kind):
            said = getattr(error, "text", text)
            return Failure(name, said, code=getattr(error, "code", 0))
    return Failure("IO", f"{type(error).__name__}: {text}")


class Live:
    """What the testee holds, and the verbs by name."""

    def __init__(self) -> None:
        self._held: dict[int, Any] = {}
        self._numbers = itertools.count(1)

    def _hold(self, thing: Any) -> int:
        number = next(self._numbers)
        self._held[number] = thing
        return number

    def _get(self, said: dict[str, Any], *names: str) -> Any:
        for name in names:
            if name in said:
                thing = self._held.get(said[name])
                if thing is None:
                    raise Failure("NO_SUCH_HANDLE", f"{name} {said[name]}")
                return thing
        raise Failure("NO_SUCH_HANDLE", f"no {' or '.join(names)} in the request")

    # ---- sessions

    async def listen(self, said: dict[str, Any]) -> Any:
        tls = said.get("tls")
        options: dict[str, Any] = {"tls": server_tls(tls["cert"], tls["key"])} if tls else {}
        listener = await listen(said["url"], **options, **_options(said))
        return {"listener": self._hold(listener), "url": listener.url}

    async def accept(self, said: dict[str, Any]) -> Any:
        session = await self._get(said, "listener").accept()
        if session is None:
            raise Failure("CLOSED", "the listener is closed")
        return self._session(session)

    async def dial(self, said: dict[str, Any]) -> Any:
        pin = (said.get("tls") or {}).get("pin")
        return self._session(await dial(said["url"], pin=pin, **_options(said)))

    def _session(self, session: Session) -> Any:
        hello = session._engine.machine.peer_hello
        return {"session": self._hold(session), "metadata": unpairs(hello.metadata) if hello else []}

    async def open(self, said: dict[str, Any]) -> Any:
        metadata = [(key, bytes.fromhex(value)) for key, value in said.get("metadata") or ()]
        sender = self._get(said, "session").open(said.get("name", ""), said.get("capacity", 64), metadata)
        return {"sender": self._hold(sender)}

    async def incoming(self, said: dict[str, Any]) -> Any:
        session = self._get(said, "session")
        try:
            incoming = await session.accept()
        except SessionError:
            incoming = None
        if incoming is None:
            return {"over": over_to_json(await asyncio.shield(session._engine.finished))}
        # `refuse` may follow: the end is made by the first verb that uses it.
        metadata = unpairs(incoming.pairs)
        return {"name": incoming.name, "metadata": metadata, "receiver": self._hold(incoming)}

    async def refuse(self, said: dict[str, Any]) -> Any:
        incoming = self._held.pop(said["receiver"])
        code = said.get("code", codes.REFUSED)
        incoming.refuse(said.get("text", ""), code - codes.APPLICATION if code >= codes.APPLICATION else None)
        return {}

    async def leave(self, said: dict[str, Any]) -> Any:
        await self._get(said, "session").close()
        return {}

    async def drain(self, said: dict[str, Any]) -> Any:
        session = self._get(said, "session")
        del self._held[said["session"]]
        await session.drain(said.get("within", 0) / 1000)
        return {}

    async def going(self, said: dict[str, Any]) -> Any:
        await self._get(said, "session").going()
        return {}

    async def abort(self, said: dict[str, Any]) -> Any:
        self._get(said, "session").abort()
        return {}

    # ---- what a program makes

    async def pipe(self, said: dict[str, Any]) -> Any:
        sender, receiver = pipe(said.get("capacity", 64))
        return {"sender": self._hold(sender), "receiver": self._hold(receiver)}

    async def stream(self, said: dict[str, Any]) -> Any:
        one, other = ByteStream.pair()
        return {"stream": self._hold(one), "other": self._hold(other)}

    async def fd(self, said: dict[str, Any]) -> Any:
        with tempfile.TemporaryFile() as file:
            file.write(bytes.fromhex(said.get("payload", "")))
            file.seek(0)
            return {"fd": self._hold(Fd(file))}

    # ---- channels

    async def clone(self, said: dict[str, Any]) -> Any:
        name = "receiver" if "receiver" in said else "sender"
        return {name: self._hold(self._end(said).clone())}

    def _receiver(self, said: dict[str, Any]) -> Receiver[Any]:
        found = self._get(said, "receiver")
        if not isinstance(found, Receiver):
            found = self._held[said["receiver"]] = found.receive()
        assert isinstance(found, Receiver)
        return found

    async def send(self, said: dict[str, Any]) -> Any:
        used = []

        def special(kind: str, number: Any) -> Any:
            used.append(number)
            return self._receiver({kind: number}) if kind == "receiver" else self._get({kind: number}, kind)

        sender = self._get(said, "sender")
        try:
            await sender.send(value_from_json(said.get("value"), special))
        except CutShort as error:
            raise Failure(_cut_name(error, "REFUSED"), error.text, code=error.code) from None
        for number in used:
            self._held.pop(number, None)
        return {}

    async def recv(self, said: dict[str, Any]) -> Any:
        try:
            value = await self._receiver(said).recv()
        except EndOfChannel:
            return {"end": True}
        except (CutShort, Refused) as error:
            raise Failure(_cut_name(error, "ENDED_WITH"), error.text, code=error.code) from None
        return {"value": value_to_json(value, self._name)}

    def _name(self, thing: Any) -> Any:
        kinds = {Sender: "sender", Receiver: "receiver", ByteStream: "stream", Fd: "fd"}
        if type(thing) not in kinds:
            raise Failure("NOT_SUPPORTED", f"a {type(thing).__name__} has no form here")
        return {kinds[type(thing)]: self._hold(thing)}

    def _end(self, said: dict[str, Any]) -> Any:
        return self._receiver(said) if "receiver" in said else self._get(said, "sender")

    async def close(self, said: dict[str, Any]) -> Any:
        self._end(said).close()
        return {}

    async def close_with(self, said: dict[str, Any]) -> Any:
        code = said.get("code", 0)
        self._end(said).close_with(
            code - codes.APPLICATION if code >= codes.APPLICATION else code, said.get("text", "")
        )
        return {}

    async def copy(self, said: dict[str, Any]) -> Any:
        receiver, sender = self._receiver(said), self._get(said, "sender")
        del self._held[said["receiver"]], self._held[said["sender"]]
        await copy(receiver, sender)
        return {}

    # ---- streams

    async def read(self, said: dict[str, Any]) -> Any:
        name = "fd" if "fd" in said else "stream"
        stream = self._get(said, name)
        if isinstance(stream, Fd):
            stream = self._held[said[name]] = stream.stream()
        data = await stream.read(said.get("max", 65536))
        return {"payload": data.hex()} if data else {"end": True}

    async def write(self, said: dict[str, Any]) -> Any:
        await self._get(said, "stream").write(bytes.fromhex(said.get("payload", "")))
        return {}

    async def finish(self, said: dict[str, Any]) -> Any:
        self._get(said, "stream").finish()
        return {}

    # ---- all of them

    async def drop(self, said: dict[str, Any]) -> Any:
        for name in ("sender", "receiver", "stream", "fd", "session", "listener", "handle"):
            thing = self._held.pop(said[name], None) if name in said else None
            if isinstance(thing, Listener):
                await thing.close()
            elif hasattr(thing, "drop"):
                thing.drop()  # type: ignore[union-attr]
        return {}

    async def stats(self, said: dict[str, Any]) -> Any:
        engines = [thing._engine for thing in self._held.values() if isinstance(thing, Session)]
        alive = [engine for engine in engines if engine.machine.over is None]
        entries = [entry for engine in alive for entry in engine.machine.entries.open.values()]
        streams = sum(isinstance(entry, StreamEntry) for entry in entries)
        folder = "/proc/self/fd"
        return {
            "sessions": len(alive),
            "channels": len(entries) - streams,
            "streams": streams,
            "descriptors": len(os.listdir(folder)) if os.path.isdir(folder) else None,
            "tasks": len(asyncio.all_tasks()),
        }


def _cut_name(error: CutShort | Refused, name: str) -> str:
    return code_name(error.code) if error.code == codes.SESSION_CLOSED else name


def _options(said: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if said.get("codecs"):
        missing = set(said["codecs"]) - {codec.name for codec in CODECS.values()}
        if missing:
            raise Failure("NOT_SUPPORTED", f"no codec {', '.join(missing)}")
        options["codecs"] = tuple(said["codecs"])
    if said.get("hello"):
        options["limits"] = limits_of(said["hello"], Limits())
    if said.get("metadata"):
        options["metadata"] = [(key, bytes.fromhex(value)) for key, value in said["metadata"]]
    return options
