"""A link over asyncio's streams: tcp, and tls over it."""

from __future__ import annotations

import asyncio

from ..link import Peer

READ = 256 * 1024


class StreamLink:
    """A pair of an asyncio reader and writer as a link."""

    passes_descriptors = False

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: Peer) -> None:
        self._reader = reader
        self._writer = writer
        self.peer = peer

    async def read(self) -> tuple[bytes, list[int]]:
        return await self._reader.read(READ), []

    async def write(self, data: bytes, descriptors: list[int]) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self, clean: bool) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    def abort(self) -> None:
        self._writer.transport.abort()


def address_of(writer: asyncio.StreamWriter) -> str:
    """The other side's host and port."""
    name = writer.get_extra_info("peername")
    if not name:
        return ""
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{host}:{name[1]}"
