"""The verbs ``machine.*``: one side of a session without sockets and clocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..proto import codes, events, frames
from ..proto.entries import Attachment, Entry, RecvEntry, SendEntry, StreamEntry
from ..proto.errors import OpenError, Reason, SessionOver
from ..proto.limits import WIRE_LIMITS, Limits
from ..proto.machine import Machine
from ..proto.messages import Parts, charge
from .notation import Failure, code_name, limits_of, pairs, unpairs

_LOCAL = {"max_window": "max_window", "max_control": "max_control_bytes", "max_pings": "max_pings"}


class Application:
    """A machine, and what the runner has its application do."""

    def __init__(self, said: dict[str, Any]) -> None:
        hello, local = said.get("hello") or {}, said.get("local") or {}
        limits = limits_of(hello, Limits(max_descriptors=0))
        limits = replace(limits, **{field: local[name] for name, field in _LOCAL.items() if name in local})
        codecs = tuple(hello.get("codecs", (1, 2, 3, 0)))
        self.machine = Machine(said["role"] == "dialer", limits, codecs, pairs(hello.get("metadata")), 0.0, False)
        self._entries: dict[int, Entry] = {}
        self._lost: set[int] = set()
        # What the last message taken has brought, and nobody has claimed.
        self._unclaimed: list[Attachment] = []
        self._why = codes.UNCLAIMED

    def recv(self, data: bytes) -> None:
        self.machine.receive(data)

    def app(self, said: dict[str, Any]) -> Any:
        op = said["op"]
        if op == "claim":
            wanted = said["ids"]
            for attachment in self._unclaimed:
                if isinstance(attachment.entry, RecvEntry) and attachment.entry.id in wanted:
                    if attachment.kind == frames.RECEIVER:
                        self.machine.accept(attachment.entry)
            self._unclaimed = [a for a in self._unclaimed if a.entry is None or a.entry.id not in wanted]
            return {}
        self.settle()
        try:
            return getattr(self, "op_" + op)(said)
        except OpenError as error:
            return {"err": _open_error(error)}
        except ValueError:
            return {"err": "NAME_TOO_LONG"}

    def settle(self) -> None:
        unclaimed, self._unclaimed = self._unclaimed, []
        self.machine.reject_all(unclaimed, Reason(self._why))

    def answer(self, gives: Any = None) -> dict[str, Any]:
        """What came of a request: everything that leaves, and the events."""
        machine, out, told = self.machine, bytearray(), []
        while True:
            while machine.events:
                event = self._event(machine.events.popleft())
                if event:
                    told.append(event)
            if not machine.has_output():
                break
            for chunk in machine.output():
                out += chunk.data
        return {"out": out.hex(), "events": told, "over": over_to_json(machine.over), "gives": gives}

    def _event(self, event: events.Event) -> dict[str, Any] | None:
        machine, entry = self.machine, event.entry
        if event.kind == events.ESTABLISHED:
            limits = {name: getattr(machine.limits, name) for name in WIRE_LIMITS}
            said = unpairs(machine.peer_hello.metadata) if machine.peer_hello else []
            return {"event": "established", "limits": limits, "codecs": list(machine.codecs), "metadata": said}
        if event.kind == events.OPENED and isinstance(entry, RecvEntry) and entry.opening:
            self._entries[entry.id] = entry
            name, metadata = entry.opening
            told = {"id": entry.id, "name": name, "capacity": entry.capacity, "metadata": unpairs(metadata)}
            return {"event": "opened", **told}
        return None

    # ---- operations

    def _entry(self, said: dict[str, Any], kind: type) -> Any:
        entry = self._entries.get(said["id"])
        if not isinstance(entry, kind):
            raise Failure("NO_SUCH_ID", str(said["id"]))
        return entry

    def op_open(self, said: dict[str, Any]) -> Any:
        entry = self.machine.open(said.get("name", ""), said.get("capacity", 0), pairs(said.get("metadata")))
        self._entries[entry.id] = entry
        return {"id": entry.id}

    def op_accept(self, said: dict[str, Any]) -> Any:
        self.machine.accept(self._entry(said, RecvEntry))
        return {}

    def op_refuse(self, said: dict[str, Any]) -> Any:
        self.machine.cancel(self._entry(said, RecvEntry), frames.SCOPE_CHANNEL, _reason(said, codes.REFUSED))
        return {}

    def op_send(self, said: dict[str, Any]) -> Any:
        entry = self._entry(said, SendEntry)
        payload = bytes.fromhex(said.get("payload", ""))
        rows = said.get("attachments") or []
        limits = self.machine.limits
        if len(payload) > limits.max_message:
            return {"err": "MESSAGE_TOO_LARGE"}
        if len(rows) > limits.max_attachments:
            return {"err": "TOO_MANY_ATTACHMENTS"}
        headers = bytes.fromhex(said.get("headers", ""))
        cost = charge(len(payload), len(rows), len(headers))
        refused = self._refused(entry, sum(row["kind"] == frames.DESCRIPTOR for row in rows), cost)
        if refused:
            return refused
        order, home = self._allocate(rows)
        self.machine.send(entry, Parts(said.get("codec", 0), payload, order, 0, home, headers))
        ids = [None if isinstance(item, int) or item.id in home else item.id for item in order]
        return {"sent": True, "ids": ids}

    def _refused(self, entry: SendEntry, descriptors: int, cost: int) -> Any:
        left = self.machine.over is not None or self.machine.goodbye_said is not None
        if entry.cancelled is not None and not left:
            return {"err": "CANCELLED", "cancel": _cancel(entry)}
        why = self.machine.blocked(entry, descriptors, cost)
        if why == "gone":
            return {"err": "CLOSED"}
        return {"sent": False, "blocked": why} if why else None

    def _allocate(self, rows: list[dict[str, Any]]) -> tuple[list[Entry | int], set[int]]:
        order: list[Entry | int] = []
        home: set[int] = set()
        try:
            for row in rows:
                if row["kind"] == frames.SENDER_HOME:
                    home.add(row["id"])
                    order.append(self._entry(row, SendEntry))
                    continue
                if row["kind"] == frames.DESCRIPTOR:
                    order.append(0)
                    continue
                capacity, demand, waiting = row.get("capacity", 0), row.get("demand", False), row.get("waiting", 0)
                order.append(self.machine.allocate(row["kind"], capacity, demand, waiting))
        except OpenError:
            for entry in order:
                if not isinstance(entry, int) and entry.id not in home:
                    self.machine.abandon(entry)
            raise
        for entry in order:
            if not isinstance(entry, int):
                self._entries[entry.id] = entry
        return order, home

    def op_send_flaw(self, said: dict[str, Any]) -> Any:
        entry = self._entry(said, SendEntry)
        flaw = frames.NOT_ENCODED if said["flaw"] == "not_encoded" else frames.NOT_FORWARDED
        parts = Parts(self.machine.codecs[0], said.get("text", "").encode(), (), flaw)
        refused = self._refused(entry, 0, parts.charge())
        if refused:
            return refused
        self.machine.send(entry, parts)
        return {"sent": True, "ids": []}

    def op_status(self, said: dict[str, Any]) -> Any:
        entry = self._entry(said, SendEntry)
        room = 0 if entry.large or not entry.sole else max(0, entry.capacity - entry.untaken)
        demand = 0 if entry.large else entry.demand()
        status = {"room": room, "demand": demand, "untaken": entry.untaken, "bytes": entry.credit}
        return {**status, "cancel": _cancel(entry) if entry.cancelled is not None else None}

    def op_waiting(self, said: dict[str, Any]) -> Any:
        self.machine.want(self._entry(said, RecvEntry), said.get("receives", 0))
        return {}

    def op_take(self, said: dict[str, Any]) -> Any:
        entry = self._entry(said, RecvEntry)
        parcel = self.machine.next_parcel(entry)
        if parcel is None:
            if not entry.closed or entry.holds:
                return {"empty": True}
            if entry.close_reason.code == codes.DISCONNECTED and self.machine.over:
                return {"lost": True}
            reason = entry.close_reason
            return {"close": {"scope": entry.close_scope, "code": reason.code, "text": reason.text}}
        for attachment in parcel.attachments:
            entry_of = attachment.entry
            if entry_of is not None:
                known = self._entries.get(entry_of.id)
                # The id of one that has ended may have been given again, and be known already.
                if not entry_of.finished or known is None or known.finished:
                    self._entries[entry_of.id] = entry_of
        self._unclaimed = list(parcel.attachments)
        # What stands in the place of a message brings nothing to claim.
        self._why = codes.NOT_DELIVERED if parcel.flaw else codes.UNCLAIMED
        self.machine.taken(entry, 1, parcel.charge)
        if parcel.flaw:
            name = "not_encoded" if parcel.flaw == frames.NOT_ENCODED else "not_forwarded"
            return {"flaw": name, "text": parcel.payload.decode("utf-8", "replace")}
        rows = [
            {"kind": a.kind, "id": a.entry.id if a.entry else 0, "capacity": a.capacity, "wanted": a.wanted}
            for a in parcel.attachments
        ]
        message = {"codec": parcel.codec, "payload": parcel.payload.hex(), "attachments": rows}
        if parcel.headers:
            message["headers"] = parcel.headers.hex()
        return {"message": message}

    def op_close(self, said: dict[str, Any]) -> Any:
        self.machine.close(self._entry(said, SendEntry), said.get("scope", 0), _reason(said))
        return {}

    def op_cancel(self, said: dict[str, Any]) -> Any:
        self.machine.cancel(self._entry(said, RecvEntry), said.get("scope", 0), _reason(said))
        return {}

    def op_write(self, said: dict[str, Any]) -> Any:
        entry = self._entry(said, StreamEntry)
        if self.machine.over is not None:
            return {"err": "CLOSED"}
        if entry.stopped is not None:
            return {"err": "STOPPED", "code": entry.stopped.code, "text": entry.stopped.text}
        if entry.finish is not None:
            return {"err": "CLOSED"}
        return {"taken": self.machine.stream_send(entry, bytes.fromhex(said.get("payload", "")))}

    def op_end(self, said: dict[str, Any]) -> Any:
        self.machine.stream_finish(self._entry(said, StreamEntry), _reason(said))
        return {}

    def op_read(self, said: dict[str, Any]) -> Any:
        entry = self._entry(said, StreamEntry)
        data = self.machine.stream_recv(entry, said.get("max", 0))
        if data:
            return {"payload": data.hex()}
        if entry.ended is None:
            return {"empty": True}
        if entry.ended.code == codes.DISCONNECTED and self.machine.over:
            return {"lost": True}
        return {"end": {"code": entry.ended.code, "text": entry.ended.text}}

    def op_stop(self, said: dict[str, Any]) -> Any:
        self.machine.stream_stop(self._entry(said, StreamEntry), _reason(said))
        return {}

    def op_goodbye(self, said: dict[str, Any]) -> Any:
        self.machine.goodbye(_reason(said))
        return {}


def _reason(said: dict[str, Any], default: int = 0) -> Reason:
    return Reason(said.get("code", default), said.get("text", ""))


def _cancel(entry: SendEntry) -> dict[str, Any]:
    assert entry.cancelled is not None
    return {"scope": entry.cancel_scope, "code": entry.cancelled.code, "text": entry.cancelled.text}


def _open_error(error: OpenError) -> str:
    text = str(error)
    return "MEMORY" if "memory" in text else "TOO_MANY_CHANNELS" if "channels" in text else "CLOSED"


def over_to_json(over: SessionOver | None) -> Any:
    if over is None:
        return None
    if over.kind in (SessionOver.CLOSED, SessionOver.LOST):
        return {"why": over.kind}
    if over.kind == SessionOver.PEER_CLOSED:
        return {"why": "peer", "code": code_name(over.code), "text": over.said}
    return {"why": "broken", "code": code_name(over.code)}


class Machines:
    """The verbs by name."""

    def __init__(self) -> None:
        self._all: dict[int, Application] = {}

    def new(self, said: dict[str, Any]) -> Any:
        self._all[said.get("m", 0)] = made = Application(said)
        return made.answer()

    def _get(self, said: dict[str, Any]) -> Application:
        found = self._all.get(said.get("m", 0))
        if found is None:
            raise Failure("UNKNOWN_HANDLE", "no such machine")
        return found

    def recv(self, said: dict[str, Any]) -> Any:
        found = self._get(said)
        found.recv(bytes.fromhex(said.get("hex", "")))
        return found.answer()

    def eof(self, said: dict[str, Any]) -> Any:
        found = self._get(said)
        found.machine.eof()
        return found.answer()

    def tick(self, said: dict[str, Any]) -> Any:
        found = self._get(said)
        found.machine.tick(said.get("now", 0) / 1000)
        return found.answer()

    def app(self, said: dict[str, Any]) -> Any:
        found = self._get(said)
        return found.answer(found.app(said))

    def drop(self, said: dict[str, Any]) -> Any:
        self._all.pop(said.get("m", 0), None)
        return {}
