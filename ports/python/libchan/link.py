"""What a carrier gives a session: an ordered pipe of bytes, perhaps with descriptors beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Peer:
    """What a carrier knows of the other side. Nothing of it is said by the peer itself."""

    #: The carrier: "tcp", "unix", "tls", "ws", "wss".
    carrier: str
    #: Its address, as text; empty where there is none.
    address: str = ""
    #: The peer's user, group and process id from the kernel (unix), at the time of connecting.
    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    #: The peer's certificate as DER (tls, wss), if it has shown one that was verified.
    certificate: bytes | None = None
    #: The request's headers (ws, wss, on the accepting side).
    headers: Any = field(default=None, compare=False)


class Link(Protocol):
    """One connection. `read` and `write` are each called by one task at a time."""

    #: Whether descriptors can be passed.
    passes_descriptors: bool
    peer: Peer

    async def read(self) -> tuple[bytes, list[int]]:
        """What has arrived, and the descriptors that came with it; no bytes at the end. `OSError` if it broke."""

    async def write(self, data: bytes, descriptors: list[int]) -> None:
        """Sends all of it, the descriptors with the first byte. They stay the caller's. `OSError` if it broke."""

    async def close(self, clean: bool) -> None:
        """Closes it; ``clean``: both sides have said goodbye."""

    def abort(self) -> None:
        """Drops it at once."""
