"""`connect`: one WebSocket, on a connection of its own or on one of a pool."""

from __future__ import annotations

import asyncio
import inspect
import math
import os
import ssl as ssl_module
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from typing import Any, Literal

from ...engine import Limits, Settings
from ...engine.agreement import ClientPerMessageDeflateFactory
from ...engine.constants import NO_ERROR
from ...errors import ConnectionTerminated, InvalidStatus, SecurityError
from ..arguments import check_no_callbacks
from ..http import Headers, HeadersLike
from ..websocket import WebSocket
from .opening import in_time
from .pool import Pool
from .reconnect import STABLE_S, backoff, process_exception
from .redirect import MAX_REDIRECTS, Place, follow
from .session import Session, logger

__all__ = ["connect", "unix_connect"]


class connect:  # used as a function, as in `websockets`
    """Open a WebSocket: `ws = await connect(uri)` or `async with connect(uri) as ws:`.

    `wss://` means TLS, `ws://` cleartext. `http` says over what: "auto" begins with HTTP/2 and
    falls back to HTTP/1.1 where the server does not speak it or takes no WebSockets over it, which
    is then remembered of its origin for ten minutes; "h2" and "h1" are one of them and nothing
    else. The connection carries this WebSocket alone and ends with it; with `pool` it is one of that
    `Pool`'s, which was told whatever concerns connections.

    `async for ws in connect(uri):` connects again whenever the WebSocket has ended, after a delay
    that is random and grows, unless it was closed with 1000. `process_exception(error)` returns
    None where a failure to connect may pass and the error to raise otherwise; `reconnect_delays()`
    returns an iterator of seconds.

    Redirects are followed, `MAX_REDIRECTS` (10) of them, never from TLS to cleartext. To another
    origin go no credentials: neither those of the URI nor `authorization`, `cookie` and
    `proxy-authorization` of `additional_headers`. Each attempt begins at `uri` again.

    Raises InvalidURI, InvalidProxy, OSError, AlpnError, ExtendedConnectUnsupported, ProxyError,
    InvalidHandshake, InvalidStatus (`response` has the status, fields and body of the refusal),
    SecurityError (redirects), StreamReset, ConnectionTerminated, and TimeoutError when it takes
    longer than `open_timeout` seconds, redirects included. `additional_headers`, `subprotocols`,
    `origin` and `user_agent_header` go into the request; a user and password in the URI are sent as
    basic authentication. Other keyword arguments are those of `Session`, `proxy` and `sock` among them.
    """

    def __init__(
        self,
        uri: str,
        *,
        ssl: ssl_module.SSLContext | Literal[True] | None = None,
        http: str = "auto",
        origin: str | None = None,
        subprotocols: Iterable[str] | None = None,
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | bool | None = True,
        proxy: str | bool | None = True,
        process_exception: Callable[[Exception], Exception | None] = process_exception,
        reconnect_delays: Callable[[], Iterator[float]] = backoff,
        open_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        write_timeout: float | None = 60,
        keepalive_interval: float | None = 30,
        keepalive_timeout: float | None = 20,
        max_size: int | tuple[int | None, int | None] | None = 2**20,
        max_queue: int | tuple[int | None, int | None] | None = None,
        write_limit: int | tuple[int, int | None] = 2**15,
        compression: str | ClientPerMessageDeflateFactory | None = "deflate",
        settings: Settings | None = None,
        limits: Limits | None = None,
        pool: Pool | None = None,
        **kwargs: Any,
    ) -> None:
        check_no_callbacks(kwargs)
        self._arguments = {
            "ssl": ssl,
            "http": http,
            "proxy": proxy,
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "close_timeout": close_timeout,
            "write_timeout": write_timeout,
            "keepalive_interval": keepalive_interval,
            "keepalive_timeout": keepalive_timeout,
            "max_size": max_size,
            "max_queue": max_queue,
            "write_limit": write_limit,
            "compression": compression,
            "settings": settings,
            "limits": limits,
            **kwargs,
        }
        self._pool = pool
        self._session: Session | None = None
        if pool is None:
            self._arguments["open_timeout"] = open_timeout
            self._arguments["user_agent_header"] = user_agent_header
            self._session = Session(uri, **self._arguments)  # it checks them
        else:
            _check_pooled(self._arguments)
        self._used = False
        self._uri = uri
        self._open_timeout = open_timeout
        self._subprotocols = subprotocols if subprotocols is None else _listed(subprotocols)
        self._origin = origin
        self._headers = _kept(additional_headers)
        self._user_agent = user_agent_header
        self._process_exception = process_exception
        self._reconnect_delays = reconnect_delays
        self._logger = kwargs.get("logger") or logger
        self._entered: WebSocket | None = None  # of `async with`

    async def _connect(self) -> WebSocket:
        place = Place(self._uri, self._headers)
        try:
            async with in_time(self._open_timeout):
                for _ in range(MAX_REDIRECTS + 1):
                    try:
                        return await self._open(place)
                    except InvalidStatus as refusal:
                        way = None if self._session is None else self._session._way
                        there = follow(
                            place,
                            refusal,
                            once=way is not None and way.once,
                            fixed=way is not None and way.fixed,
                        )
                        if there is None:
                            raise
                        place = there
        except TimeoutError as error:
            raise TimeoutError("timed out during opening handshake") from error
        raise SecurityError(f"more than {MAX_REDIRECTS} redirects")

    async def _open(self, place: Place) -> WebSocket:
        asked: dict[str, Any] = {
            "subprotocols": self._subprotocols,
            "origin": self._origin,
            "additional_headers": place.headers,
            "user_agent_header": self._user_agent,
        }
        if self._pool is not None:
            # It takes None for its own.
            patience = math.inf if self._open_timeout is None else self._open_timeout
            return await self._pool.websocket(place.uri, open_timeout=patience, **asked)
        session = self._session
        if self._used or session is None or place.uri != self._uri:
            session = self._session = Session(place.uri, **self._arguments)
        self._used = True
        try:
            await session.connect()
            ws = await session.websocket(session.target.path, **asked)
        except BaseException:
            session._abort()
            raise
        session._keep_only(ws.wire)

        def closed(ws: WebSocket) -> None:
            # The connection was for this WebSocket alone.
            session._shutdown()

        ws._when_closed(closed)
        return ws

    def __await__(self) -> Generator[Any, None, WebSocket]:
        return self._connect().__await__()

    async def __aenter__(self) -> WebSocket:
        if self._entered is not None:
            raise RuntimeError("connect() is not reentrant")
        self._entered = await self._connect()
        return self._entered

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        ws, self._entered = self._entered, None
        assert ws is not None
        await self._leave(ws, 1000 if kind is None else 1011)

    async def _leave(self, ws: WebSocket, code: int = 1000) -> None:
        await ws.close(code)
        if self._session is not None:
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
                    await self._leave(ws)
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
            self._logger.info("reconnecting in %.1f seconds (%s)", delay, reason)
            await asyncio.sleep(delay)


def unix_connect(
    path: str | os.PathLike[str] | None = None, uri: str | None = None, **kwargs: Any
) -> connect:
    """Open a WebSocket over a Unix socket: `connect` with `unix=True` and that path.

    `uri` is `ws://localhost/`, or `wss://localhost/` where `ssl` is given.
    """
    if uri is None:
        uri = "ws://localhost/" if kwargs.get("ssl") is None else "wss://localhost/"
    return connect(uri, unix=True, path=path, **kwargs)


def _kept(headers: HeadersLike | None) -> HeadersLike | None:
    # The same: redirects and further attempts send them, too.
    return Headers(headers) if isinstance(headers, Iterator) else headers


def _listed(subprotocols: Iterable[str]) -> Iterable[str]:
    # An iterator would be empty for the second attempt; a `str` is refused where it is used.
    return subprotocols if isinstance(subprotocols, str) else list(subprotocols)


def _check_pooled(arguments: dict[str, Any]) -> None:
    parameters = inspect.signature(connect).parameters
    for name, value in arguments.items():
        if name not in parameters or value != parameters[name].default:
            raise TypeError(f"the pool says {name}: leave it out")
