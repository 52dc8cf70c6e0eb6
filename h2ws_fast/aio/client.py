"""`connect`: one WebSocket on a connection of its own."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Generator, Iterable
from typing import Any

from ..engine import Limits, Settings
from .http import HeadersLike
from .session import Session
from .websocket import WebSocket

__all__ = ["connect"]


class connect:  # used as a function, as in `websockets`
    """Open a WebSocket over HTTP/2: `ws = await connect(uri)` or `async with connect(uri) as ws:`.

    `wss://` means TLS with ALPN `h2`; `ws://` means cleartext HTTP/2 at once. The connection
    carries this WebSocket alone and ends with it: see `Session` for several.

    Raises InvalidURI, OSError, AlpnError, ExtendedConnectUnsupported, InvalidStatus, StreamReset,
    and TimeoutError when it takes longer than `open_timeout` seconds. `additional_headers`,
    `subprotocols` and `origin` go into the request. `max_queue` is accepted and not needed: what
    is not received waits with the server. Other keyword arguments are those of `Session`.
    """

    def __init__(
        self,
        uri: str,
        *,
        ssl: ssl_module.SSLContext | None = None,
        origin: str | None = None,
        subprotocols: Iterable[str] | None = None,
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = None,
        open_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        max_size: int | None = 2**20,
        max_queue: int | tuple[int, int] | None = 16,
        write_limit: int | tuple[int, int] = 2**15,
        settings: Settings | None = None,
        limits: Limits | None = None,
        **kwargs: Any,
    ) -> None:
        self._session = Session(
            uri,
            ssl=ssl,
            open_timeout=open_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_size=max_size,
            max_queue=max_queue,
            write_limit=write_limit,
            settings=settings,
            limits=limits,
            **kwargs,
        )
        self._subprotocols = subprotocols
        self._origin = origin
        self._headers = additional_headers
        self._user_agent = user_agent_header
        self._ws: WebSocket | None = None

    async def _connect(self) -> WebSocket:
        session = self._session
        try:
            await session.connect()
            ws = await session.websocket(
                session.target.path,
                subprotocols=self._subprotocols,
                origin=self._origin,
                additional_headers=self._headers,
                user_agent_header=self._user_agent,
            )
        except BaseException:
            wire = session._wire
            if wire is not None:
                session._shutdown()
                wire.pull()
                wire.abort()
            raise
        self._ws = ws
        ws._when_closed(self._closed)
        return ws

    def _closed(self, ws: WebSocket) -> None:
        # The connection was for this WebSocket alone.
        self._session._shutdown()

    def __await__(self) -> Generator[Any, None, WebSocket]:
        return self._connect().__await__()

    async def __aenter__(self) -> WebSocket:
        return await self._connect()

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        assert self._ws is not None
        await self._ws.close(1000 if kind is None else 1011)
        await self._session.wait_closed()
