"""Conversations with a machine: the frames and steps that the files of sessions/ are made of.

Numbers are given in the order of the source, and an id is never given to another entry: new conversations go behind
the others of their group."""

from wire import encode


class Talks:
    """The conversations of one file."""

    def __init__(self):
        self.entries = []
        self.numbers = {}

    def add(self, group, req, why, *steps, role="dialer", level=0, **sides):
        """`sides`: hello, peer, local, raw, whole."""
        self.numbers[group] = self.numbers.get(group, 0) + 1
        entry = {
            "id": f"{group}.{self.numbers[group]:03}",
            "req": req.split(),
            "level": level,
            "why": why,
            "role": role,
        }
        entry.update(sides)
        entry["steps"] = flat(steps)
        self.entries.append(entry)

    def gone(self, group, count=1):
        """Here stood conversations that are shown no more: their numbers are not given again."""
        self.numbers[group] = self.numbers.get(group, 0) + count


def flat(steps):
    """Lists of steps among the steps, to any depth."""
    for_all = []
    for step in steps:
        for_all.extend(flat(step) if isinstance(step, (list, tuple)) else [step])
    return for_all


# ---- frames


def hello(**fields):
    return {"t": "HELLO", "id": 0, **fields}


PREFACE = {"t": "PREFACE", "version": 1}


def open_(ident, capacity, name="x", **rest):
    return {"t": "OPEN", "id": ident, "capacity": capacity, "name": name, **rest}


def att(kind, ident=0, capacity=0, wanted=0):
    return {"kind": kind, "id": ident, "capacity": capacity, "wanted": wanted}


def msg(ident, payload="", *attachments, codec=0, flags=0, **rest):
    flags |= (2 if attachments else 0) | (16 if "headers" in rest else 0)
    frame = {"t": "MESSAGE", "id": ident, "flags": flags, "codec": codec, **rest}
    if attachments:
        frame["attachments"] = list(attachments)
    return {**frame, "payload": payload}


def first(ident, total, payload, *attachments, codec=0):
    """The first frame of a message that is cut."""
    return msg(ident, payload, *attachments, codec=codec, flags=0x01, total=total)


def last(ident):
    """A FRAGMENT that is the last of its message."""
    return {"t": "FRAGMENT", "id": ident, "flags": 0}


def fragment(ident, payload, more=False):
    return {"t": "FRAGMENT", "id": ident, "flags": int(more), "payload": payload}


def credit(ident, taken=0, wanted=0, bytes=0):
    return {"t": "CREDIT", "id": ident, "taken": taken, "wanted": wanted, "bytes": bytes}


def close(ident, code=0, scope=0, text=""):
    return {"t": "CLOSE", "id": ident, "scope": scope, "code": code, "text": text}


def cancel(ident, taken=0, code=0, scope=0, text=""):
    return {"t": "CANCEL", "id": ident, "scope": scope, "taken": taken, "code": code, "text": text}


def dropped(ident, kind, code=39):
    """The frames that close an attachment by the machinery: the text is free."""
    said = {"id": ident, "code": code}
    frames = {
        1: [{"t": "CLOSE", "scope": 0, **said}],
        2: [{"t": "CANCEL", "scope": 0, "taken": 0, **said}],
        3: [{"t": "END", **said}, {"t": "STOP", **said}],
    }
    return frames[kind]


def data(ident, payload):
    return {"t": "DATA", "id": ident, "payload": payload}


def end(ident, code=0, text=""):
    return {"t": "END", "id": ident, "code": code, "text": text}


def stop(ident, code=0, text=""):
    return {"t": "STOP", "id": ident, "code": code, "text": text}


def ping(number):
    return {"t": "PING", "id": 0, "payload": f"{number:016x}"}


def pong(number):
    return {"t": "PONG", "id": 0, "payload": f"{number:016x}"}


def goodbye(code=0, text=""):
    return {"t": "GOODBYE", "id": 0, "code": code, "text": text}


def fill(n):
    return {"fill": "mod251", "len": n}


# ---- steps


def app(op, ident=None, gives=None, **args):
    step = {"app": {"op": op, **({} if ident is None else {"id": ident}), **args}}
    if gives is not None:
        step["gives"] = gives
    return step


def recv(*frames):
    return {"recv": list(frames)}


def recv_bytes(data):
    return {"recv": data.hex()}


def expect(*frames):
    return {"expect": list(frames)}


def any_order(*frames):
    return {"any_order": list(frames)}


def events(*list_):
    return {"events": list(list_)}


def tick(*seconds):
    return [{"tick": 1000 * s} for s in seconds]


QUIET = {"quiet": True}
SKIP = {"skip": True}
EOF = {"eof": True}
GOES_ON = {"over": None}
CLOSED = {"over": {"why": "closed"}}
LOST = {"over": {"why": "lost"}}


def broken(code):
    return {"over": {"why": "broken", "code": code}}


def by_peer(code, text=""):
    return {"over": {"why": "peer", "code": code, "text": text}}


def told(code):
    """The GOODBYE that says which rule was broken; its text is free."""
    return expect({"t": "GOODBYE", "id": 0, "code": code})


# ---- what many conversations begin with


def opened(capacity=4, name="$a"):
    """The machine opens a channel."""
    return [app("open", name="x", capacity=capacity, gives={"id": name}), expect(open_(name, capacity))]


def accepted(ident=1, capacity=4):
    """The peer opens a channel, which the application accepts."""
    return [
        recv(open_(ident, capacity)),
        events({"event": "opened", "id": ident}),
        app("accept", ident, gives={}),
        QUIET,
    ]


def send(ident, payload="", gives=None, **args):
    return app(
        "send", ident, gives={"sent": True} if gives is None else gives, codec=0, payload=payload, **args
    )


def blocked(ident, by, payload="", **args):
    return send(ident, payload, {"sent": False, "blocked": by}, **args)


def take(ident, payload=None, codec=0, attachments=None):
    """Takes a message."""
    message = {"codec": codec}
    if payload is not None:
        message["payload"] = payload
    if attachments is not None:
        message["attachments"] = attachments
    return app("take", ident, gives={"message": message})


def empty(ident):
    return app("take", ident, gives={"empty": True})


def ended(ident, code=0, scope=0, text=""):
    return app("take", ident, gives={"close": {"scope": scope, "code": code, "text": text}})


def lost(ident):
    return app("take", ident, gives={"lost": True})


FIXED = {"max_window": 2048}
"""Windows of 2,048 bytes that do not grow."""

NARROW = {"initial_window": 1024, "max_attachments": 0}
"""A window of 1,024 bytes, of which 288 are the fixed part of a message at the most."""

NARROW_FIXED = {"hello": NARROW, "local": {"max_window": 1024}}

__all__ = [name for name in dir() if not name.startswith("_")]
