"""tls: TLS over one tcp connection (spec/carriers/tls.md), and what wss shares with it."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl

from ..errors import DialError
from ..link import Link, Peer
from ..url import Url
from .streams import StreamLink, address_of
from .tcp import OnLink

ALPN = "libchan/1"


def server_tls(cert: str, key: str, client_roots: str | None = None) -> ssl.SSLContext:
    """What a server needs: paths of PEM files. With ``client_roots``, clients must show a certificate of theirs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # What was revoked since must not be let in by an earlier session (TL-05).
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.load_cert_chain(cert, key)
    if client_roots is not None:
        context.load_verify_locations(client_roots)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(given: ssl.SSLContext | None, pin: str | None, alpn: str) -> ssl.SSLContext:
    """What a dialer verifies with. A pin takes the place of roots, names and dates."""
    if given is not None:
        context = given
    else:
        # With a pin no roots are needed, and they take their time to load.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if pin else ssl.create_default_context()
    if pin is not None:
        if given is not None and given.verify_mode != ssl.CERT_NONE:
            raise ValueError("a pin takes the place of roots: give one of tls and pin")
        _parse_pin(pin)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif context.verify_mode == ssl.CERT_NONE:
        raise ValueError("this context verifies nothing: give a pin, or roots")
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.set_alpn_protocols([alpn])
    return context


def _parse_pin(pin: str) -> bytes:
    match = re.fullmatch(r"sha256:([0-9a-fA-F]{64})", pin)
    if not match:
        raise ValueError("a pin is sha256: and 64 hexadecimal digits")
    return bytes.fromhex(match[1])


def check_pin(shown: bytes | None, pin: str | None) -> None:
    """Raises `DialError` if the server's certificate is another than the pinned one."""
    if pin is None:
        return
    found = hashlib.sha256(shown or b"").digest()
    if found != _parse_pin(pin):
        raise DialError(f"the server's certificate is sha256:{found.hex()}, which is not the pinned one")


async def dial(url: Url, tls: ssl.SSLContext | None, pin: str | None) -> Link:
    context = client_context(tls, pin, ALPN)
    try:
        reader, writer = await asyncio.open_connection(url.host, url.port, ssl=context, server_hostname=url.host)
    except ssl.SSLError as error:
        raise DialError(f"the TLS handshake failed: {error}") from error
    try:
        shown = writer.get_extra_info("ssl_object")
        certificate = shown.getpeercert(binary_form=True)
        check_pin(certificate, pin)
        if shown.selected_alpn_protocol() != ALPN:
            raise DialError(f"the server does not speak {ALPN}")
    except BaseException:
        writer.transport.abort()
        raise
    return StreamLink(reader, writer, Peer("tls", address_of(writer), certificate=certificate))


async def serve(url: Url, on_link: OnLink, tls: ssl.SSLContext | None) -> tuple[asyncio.AbstractServer, Url]:
    assert tls is not None
    tls.set_alpn_protocols([ALPN])

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown = writer.get_extra_info("ssl_object")
        if shown.selected_alpn_protocol() != ALPN:
            writer.transport.abort()
            return
        # Without client roots nothing of the peer's was verified, and it is not asked for a certificate.
        certificate = shown.getpeercert(binary_form=True) if tls.verify_mode == ssl.CERT_REQUIRED else None
        await on_link(StreamLink(reader, writer, Peer("tls", address_of(writer), certificate=certificate)))

    server = await asyncio.start_server(connected, url.host, url.port, ssl=tls)
    return server, Url("tls", url.host, server.sockets[0].getsockname()[1])
