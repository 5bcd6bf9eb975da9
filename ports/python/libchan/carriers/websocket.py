"""ws and wss: one WebSocket is one link (spec/carriers/websocket.md). By the package ``websockets``."""

from __future__ import annotations

import ssl
from typing import Any

from ..errors import DialError
from ..link import Link, Peer
from ..url import Url
from .tcp import OnLink
from .tls import check_pin, client_context

try:
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import Server, ServerConnection
    from websockets.asyncio.server import serve as serve_websocket
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
    from websockets.frames import CloseCode
except ImportError as error:
    raise ImportError("ws: and wss: need the package websockets: pip install 'libchan[websocket]'") from error

SUBPROTOCOL: Any = "libchan.v1"
#: The longest message (WS-05).
MOST = 1024 * 1024

# The library's pings would hide from us that the peer's protocol is dead; the protocol has its own (WS-09).
_COMMON: dict[str, Any] = {"compression": None, "max_size": MOST, "ping_interval": None, "subprotocols": [SUBPROTOCOL]}


class WebSocketLink:
    """The payloads of the binary messages, joined."""

    passes_descriptors = False

    def __init__(self, socket: Any, peer: Peer) -> None:
        self._socket = socket
        self.peer = peer

    async def read(self) -> tuple[bytes, list[int]]:
        try:
            while True:
                message = await self._socket.recv()
                if isinstance(message, str):
                    await self._socket.close(CloseCode.PROTOCOL_ERROR, "a text message")
                    return b"", []
                # Empty ones mean nothing (WS-07).
                if message:
                    return message, []
        except ConnectionClosed:
            return b"", []

    async def write(self, data: bytes, descriptors: list[int]) -> None:
        try:
            for at in range(0, len(data), MOST):
                await self._socket.send(data[at : at + MOST])
        except ConnectionClosed as error:
            raise ConnectionError(str(error)) from None

    async def close(self, clean: bool) -> None:
        await self._socket.close(CloseCode.NORMAL_CLOSURE if clean else CloseCode.GOING_AWAY)

    def abort(self) -> None:
        self._socket.transport.abort()


class _Connect(connect):
    """A redirect may lead away from the host that was meant (HT-12)."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def dial(url: Url, tls: ssl.SSLContext | None, pin: str | None, headers: dict[str, str]) -> Link:
    options: dict[str, Any] = dict(_COMMON, additional_headers=headers)
    if url.scheme == "wss":
        options["ssl"] = client_context(tls, pin, "http/1.1")
    try:
        socket = await _Connect(str(url), **options)
    except ssl.SSLError as error:
        raise DialError(f"the TLS handshake failed: {error}") from error
    except (InvalidHandshake, InvalidURI) as error:
        raise DialError(f"the server refused the WebSocket: {error}") from error
    shown = socket.transport.get_extra_info("ssl_object")
    certificate = shown.getpeercert(binary_form=True) if shown else None
    try:
        check_pin(certificate, pin)
        if socket.subprotocol != SUBPROTOCOL:
            raise DialError("the server did not select libchan.v1")
    except BaseException:
        socket.transport.abort()
        raise
    return WebSocketLink(socket, Peer(url.scheme, _address(socket), certificate=certificate))


def _address(socket: Any) -> str:
    name = socket.remote_address
    return f"{name[0]}:{name[1]}" if name else ""


async def serve(url: Url, on_link: OnLink, tls: ssl.SSLContext | None, origins: tuple[str, ...]) -> tuple[Server, Url]:
    options: dict[str, Any] = dict(_COMMON, origins=[None, *origins])
    if tls is not None:
        tls.set_alpn_protocols(["http/1.1"])
        options["ssl"] = tls

    def check(connection: ServerConnection, request: Any) -> Any:
        if request.path != url.path:
            return connection.respond(404, f"nothing is served here, only at {url.path}\n")
        return None

    async def connected(socket: ServerConnection) -> None:
        request = socket.request
        peer = Peer(url.scheme, _address(socket), headers=request.headers if request else None)
        await on_link(WebSocketLink(socket, peer))
        # The library closes the socket when this returns.
        await socket.wait_closed()

    server = await serve_websocket(connected, url.host, url.port, process_request=check, **options)
    port = next(iter(server.sockets)).getsockname()[1]
    return server, Url(url.scheme, url.host, port, url.path)
