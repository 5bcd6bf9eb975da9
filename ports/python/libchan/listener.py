"""`dial` and `listen`: sessions from URLs."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from .errors import LibchanError
from .link import Link
from .session import Options, Session, start
from .url import Url, parse

#: Connections that may be saying hello at a time; further ones wait in the kernel's line.
HANDSHAKES = 128


async def dial(
    url: str,
    *,
    tls: ssl.SSLContext | None = None,
    pin: str | None = None,
    headers: dict[str, str] | None = None,
    **options: Any,
) -> Session:
    """A session with whoever listens at the URL, once both hellos are in.

    ``tls``: for tls and wss, in the place of the system's roots; ``pin``: the fingerprint ``sha256:...`` of the
    server's certificate, in the place of roots and names. ``headers``: of the request, for ws and wss. Further options
    are the fields of `Options`. Raises `UrlError`, `OSError` if nobody answers, `DialError`, `SessionError`.
    """
    place = parse(url)
    settings = Options(**options)
    async with asyncio.timeout(settings.limits.hello_timeout) if hasattr(asyncio, "timeout") else _NoTimeout():
        link = await _connect(place, tls, pin, headers)
    return await start(link, True, settings)


class _NoTimeout:
    """Python 3.10 has no `asyncio.timeout`: there the kernel's limit for a connection holds."""

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


async def _connect(place: Url, tls: ssl.SSLContext | None, pin: str | None, headers: dict[str, str] | None) -> Link:
    if (tls or pin) and place.scheme not in ("tls", "wss"):
        raise ValueError(f"tls and pin are for tls: and wss:, not for {place.scheme}:")
    if headers and place.scheme not in ("ws", "wss"):
        raise ValueError(f"headers are for ws: and wss:, not for {place.scheme}:")
    if place.scheme == "tcp":
        from .carriers import tcp

        return await tcp.dial(place)
    if place.scheme == "unix":
        from .carriers import unix

        return await unix.dial(place)
    if place.scheme == "tls":
        from .carriers import tls as tls_carrier

        return await tls_carrier.dial(place, tls, pin)
    from .carriers import websocket

    return await websocket.dial(place, tls, pin, headers or {})


class Listener:
    """Accepts sessions at a URL: ``async for session in listener``. `listen` makes it; ``async with`` closes it."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._ready: asyncio.Queue[Session | None] = asyncio.Queue()
        self._slots = asyncio.Semaphore(HANDSHAKES)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: Any = None
        self._closed = False
        self._url: Url | None = None

    @property
    def url(self) -> str:
        """Where it listens, with the port that the system chose for port 0."""
        return str(self._url)

    async def _on_link(self, link: Link) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            async with self._slots:
                session = await start(link, False, self._options)
            if self._closed:
                session.abort()
            else:
                self._ready.put_nowait(session)
        except (LibchanError, OSError):
            pass  # A peer that cannot say hello; it was told why.
        except asyncio.CancelledError:
            if not self._closed:
                raise
        finally:
            self._tasks.discard(task)

    async def accept(self) -> Session | None:
        """The next session whose hello is in; None when the listener is closed. Cancelling it loses nothing."""
        if self._closed and self._ready.empty():
            return None
        session = await self._ready.get()
        if session is None:
            self._ready.put_nowait(None)
        return session

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> Session:
        session = await self.accept()
        if session is None:
            raise StopAsyncIteration
        return session

    async def close(self) -> None:
        """Listens no more. Sessions that were accepted go on; those that nobody took are dropped."""
        if self._closed:
            return
        self._closed = True
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._ready.empty():
            session = self._ready.get_nowait()
            if session is not None:
                session.abort()
        self._ready.put_nowait(None)

    async def __aenter__(self) -> Listener:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def listen(
    url: str,
    *,
    tls: ssl.SSLContext | None = None,
    mode: int | None = None,
    origins: tuple[str, ...] = (),
    **options: Any,
) -> Listener:
    """Listens at the URL.

    ``tls``: the server's certificate and key, for tls and wss; ``mode``: of a unix socket's file; ``origins``: web
    pages whose browsers may connect (ws, wss). Further options are the fields of `Options`. Raises `UrlError`,
    `OSError`.
    """
    place = parse(url, listening=True)
    listener = Listener(Options(**options))
    if place.scheme in ("tls", "wss") and tls is None:
        raise ValueError(f"{place.scheme}: needs a certificate: tls=libchan.server_tls(cert, key)")
    if place.scheme == "tcp":
        from .carriers import tcp

        listener._server, listener._url = await tcp.serve(place, listener._on_link)
    elif place.scheme == "unix":
        from .carriers import unix

        listener._server, listener._url = await unix.serve(place, listener._on_link, mode)
    elif place.scheme == "tls":
        from .carriers import tls as tls_carrier

        listener._server, listener._url = await tls_carrier.serve(place, listener._on_link, tls)
    else:
        from .carriers import websocket

        listener._server, listener._url = await websocket.serve(place, listener._on_link, tls, origins)
    return listener
