"""tcp: one connection is one link (spec/carriers/tcp.md). Neither encrypted nor authenticated."""

from __future__ import annotations

import asyncio
from typing import Awaitable, Callable

from ..link import Link, Peer
from ..url import Url
from .streams import StreamLink, address_of

OnLink = Callable[[Link], Awaitable[None]]


async def dial(url: Url) -> Link:
    # asyncio turns Nagle's algorithm off by itself (TC-01).
    reader, writer = await asyncio.open_connection(url.host, url.port)
    return StreamLink(reader, writer, Peer("tcp", address_of(writer)))


async def serve(url: Url, on_link: OnLink) -> tuple[asyncio.AbstractServer, Url]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await on_link(StreamLink(reader, writer, Peer("tcp", address_of(writer))))

    server = await asyncio.start_server(connected, url.host, url.port)
    return server, Url("tcp", url.host, server.sockets[0].getsockname()[1])
