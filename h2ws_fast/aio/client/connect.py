"""`connect`: one WebSocket on a connection of its own."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from typing import Any

from ...engine import Limits, Settings
from ...engine.constants import NO_ERROR
from ...errors import ConnectionTerminated
from ..http import HeadersLike
from ..websocket import WebSocket
from .reconnect import STABLE_S, backoff, process_exception
from .session import Session

__all__ = ["connect"]


class connect:  # used as a function, as in `websockets`
    """Open a WebSocket: `ws = await connect(uri)` or `async with connect(uri) as ws:`.

    `wss://` means TLS, `ws://` cleartext. `http` says over what: "auto" begins with HTTP/2 and
    falls back to HTTP/1.1 where the server does not speak it or takes no WebSockets over it, which
    is then remembered of its origin for ten minutes; "h2" and "h1" are one of them and nothing
    else. The connection carries this WebSocket alone and ends with it: see `Session` for several.

    `async for ws in connect(uri):` connects again whenever the WebSocket has ended, after a delay
    that is random and grows, unless it was closed with 1000. `process_exception(error)` returns
    None where a failure to connect may pass and the error to raise otherwise; `reconnect_delays()`
    returns an iterator of seconds.

    Raises InvalidURI, OSError, AlpnError, ExtendedConnectUnsupported, InvalidHandshake,
    InvalidStatus, StreamReset, ConnectionTerminated, and TimeoutError when it takes longer than
    `open_timeout` seconds. `additional_headers`, `subprotocols` and `origin` go into the request.
    Redirections are not followed. `max_queue` is accepted and not needed: what is not received
    waits with the server. Other keyword arguments are those of `Session`.
    """

    def __init__(
        self,
        uri: str,
        *,
        ssl: ssl_module.SSLContext | None = None,
        http: str = "auto",
        origin: str | None = None,
        subprotocols: Iterable[str] | None = None,
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = None,
        process_exception: Callable[[Exception], Exception | None] = process_exception,
        reconnect_delays: Callable[[], Iterator[float]] = backoff,
        open_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        write_timeout: float | None = 60,
        keepalive_interval: float | None = 30,
        keepalive_timeout: float | None = 20,
        max_size: int | None = 2**20,
        max_queue: int | tuple[int, int] | None = 16,
        write_limit: int | tuple[int, int] = 2**15,
        settings: Settings | None = None,
        limits: Limits | None = None,
        **kwargs: Any,
    ) -> None:
        self._arguments = {
            "ssl": ssl,
            "http": http,
            "open_timeout": open_timeout,
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "close_timeout": close_timeout,
            "write_timeout": write_timeout,
            "keepalive_interval": keepalive_interval,
            "keepalive_timeout": keepalive_timeout,
            "max_size": max_size,
            "max_queue": max_queue,
            "write_limit": write_limit,
            "settings": settings,
            "limits": limits,
            **kwargs,
        }
        self._uri = uri
        self._session = Session(uri, **self._arguments)
        self._used = False
        self._subprotocols = subprotocols if subprotocols is None else _listed(subprotocols)
        self._origin = origin
        self._headers = additional_headers
        self._user_agent = user_agent_header
        self._process_exception = process_exception
        self._reconnect_delays = reconnect_delays
        self._ws: WebSocket | None = None

    async def _connect(self) -> WebSocket:
        if self._used:
            self._session = Session(self._uri, **self._arguments)
        self._used = True
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
            session._abort()
            raise
        self._ws = ws
        session._keep_only(ws.wire)

        def closed(ws: WebSocket) -> None:
            # The connection was for this WebSocket alone.
            session._shutdown()

        ws._when_closed(closed)
        return ws

    def __await__(self) -> Generator[Any, None, WebSocket]:
        return self._connect().__await__()

    async def __aenter__(self) -> WebSocket:
        return await self._connect()

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        assert self._ws is not None
        await self._ws.close(1000 if kind is None else 1011)
        await self._session.wait_closed()

    async def __aiter__(self) -> AsyncGenerator[WebSocket, None]:
        loop = asyncio.get_running_loop()
        delays: Iterator[float] | None = None
        while True:
            try:
                ws = await self._connect()
            except Exception as error:
                verdict = self._process_exception(error)
                if verdict is error:
                    raise
                if verdict is not None:
                    raise verdict from error
                reason = f"{type(error).__name__}: {error}"
            else:
                opened = loop.time()
                try:
                    yield ws
                finally:
                    await ws.close()
                    await self._session.wait_closed()
                if ws.close_code == 1000:
                    delays = None
                    continue
                if loop.time() - opened >= STABLE_S:
                    delays = None
                reason = f"closed with {ws.close_code}"
            if delays is None:
                delays = iter(self._reconnect_delays())
            delay = next(delays, None)
            if delay is None:
                raise ConnectionTerminated(NO_ERROR, f"no more attempts: {reason}")
            self._session.logger.info("reconnecting in %.1f seconds (%s)", delay, reason)
            await asyncio.sleep(delay)


def _listed(subprotocols: Iterable[str]) -> Iterable[str]:
    # An iterator would be empty for the second attempt; a `str` is refused where it is used.
    return subprotocols if isinstance(subprotocols, str) else list(subprotocols)
