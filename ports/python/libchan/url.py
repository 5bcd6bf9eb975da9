"""URLs: what they name, and what is wrong with those that name nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from .errors import UrlError

SCHEMES = ("tcp", "tls", "unix", "ws", "wss")
DEFAULT_PATH = "/libchan/v1"


@dataclass(frozen=True)
class Url:
    """A place to dial or to listen at."""

    scheme: str
    host: str = ""
    port: int = 0
    #: Of a unix socket; of a request for ws and wss. An abstract name begins with ``@``.
    path: str = ""

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix://{self.path}" if self.path.startswith("/") else f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def parse(text: str, listening: bool = False) -> Url:
    """Raises `UrlError`, which says what was wrong."""
    scheme, colon, rest = text.partition(":")
    if not colon or scheme not in SCHEMES:
        raise UrlError(f"{text!r} does not begin with one of {', '.join(name + ':' for name in SCHEMES)}")
    if scheme == "unix":
        return Url(scheme, path=_socket_path(text, rest))
    if not rest.startswith("//"):
        raise UrlError(f"{text!r} has no host: write {scheme}://host:port")
    place, slash, path = rest[2:].partition("/")
    if "@" in place:
        raise UrlError(f"{scheme}: a URL has no user or password: credentials go into the metadata")
    if "?" in rest or "#" in rest:
        raise UrlError(f"{text!r} has a query or fragment, which means nothing here")
    if scheme in ("tcp", "tls") and slash:
        raise UrlError(f"{text!r} has a path, which {scheme}: does not take")
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^:\[\]]+)):([0-9]{1,5})", place)
    if not match:
        raise UrlError(f"{text!r} needs a host and a port; an IPv6 address stands in brackets")
    host, port = match[1] or match[2], int(match[3])
    if port > 65535:
        raise UrlError(f"port {port} is above 65535")
    if port == 0 and not listening:
        raise UrlError("port 0 is for listening only")
    if scheme in ("ws", "wss"):
        return Url(scheme, host, port, "/" + path if path else DEFAULT_PATH)
    return Url(scheme, host, port)


def _socket_path(text: str, rest: str) -> str:
    if rest.startswith("//"):
        rest = rest[2:]
        if not rest.startswith("/"):
            raise UrlError(f"{text!r}: behind unix:// stands an absolute path; a relative one is unix:name.sock")
    path = unquote(rest)
    if not path or path == "@":
        raise UrlError(f"{text!r} names no socket")
    if "\0" in path or len(path.encode()) > 107:
        raise UrlError(f"{text!r}: the name of a socket is at most 107 bytes, without zero bytes")
    return path
