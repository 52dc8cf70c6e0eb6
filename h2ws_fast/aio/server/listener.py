"""Listening, and coming to an end: what every kind of server does."""

from __future__ import annotations

import abc
import asyncio
import functools
import socket
import ssl as ssl_module
from collections.abc import Callable, Generator
from typing import Any, Literal, Self, cast

from ..._twins import warn_if_pure
from ...engine.closing import check_close
from ...engine.constants import NO_ERROR
from ..hub import Hub, running_hub
from ..keeper import Keeper
from ..kernel_queue import limit_unsent
from ..state import State
from ..websocket import WebSocket
from .accepted import AcceptedWire
from .admission import Admission
from .arrival import Arrival
from .options import CommonOptions, secure_from
from .outbound import Nowhere, dial, serve_on
from .roster import Roster

__all__ = ["Listener"]

# A stream whose own `close_timeout` ends at the same moment comes first: its handler hears of its end
# and returns, and is not cancelled.
AFTER_S = 0.1


class Listener(Roster, abc.ABC):
    """A server: await it, or use it with `async with`, to start it.

    `close()` begins the graceful shutdown, `wait_closed()` waits for its end, `serve_forever()`
    runs until cancelled, `stats()` counts.
    """

    def __init__(self, options: CommonOptions, admission: Admission, start: dict[str, Any]) -> None:
        super().__init__(options, admission)
        self.server: asyncio.Server | None = None
        self._start = start
        self._hub: Hub | None = None
        self._closer: asyncio.Task[None] | None = None
        self._closed: asyncio.Future[None] | None = None

    @property
    def connections(self) -> set[WebSocket]:
        """The WebSockets that are open now; those whose closing handshake has begun are not."""
        return {ws for wire in self._wires for ws in wire.websockets if ws.state is State.OPEN}

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets."""
        return () if self.server is None else tuple(self.server.sockets)

    def stats(self) -> dict[str, Any]:
        """Counters by name.

        `connections` that are open, `gone` ones with handlers at work, TLS `handshakes` under way,
        `accepted` so far, `handlers` at work (tasks), `octets_held`:
        what `memory_budget` limits; `refused`: newcomers, by the limit that refused them; `limits`:
        how often each limit of a connection was reached, by all connections so far.
        """
        admission = self.admission
        return {
            "connections": len(admission.wires),
            "gone": len(admission.gone),
            "handshakes": len(admission.arriving),
            "accepted": admission.accepted,
            "handlers": len(self._tasks),
            "octets_held": admission.held(),
            "refused": dict(admission.refused),
            "limits": admission.limits(),
        }

    def serve_on(self, transport: Any) -> asyncio.Future[None]:
        """Serve on a connected asyncio transport, or a Tunnel; whatever security it has is its own.

        Returns a future that is done when the connection is gone. The server must be started:
        `serve(listen=False)` does so without listening.
        """
        return serve_on(self._wire(self._started()), transport)

    async def dial(
        self,
        uri: str,
        *,
        ssl: ssl_module.SSLContext | Literal[True] | None = None,
        server_hostname: str | None = None,
        proxy: str | bool | None = True,
        open_timeout: float | None = 10,
        **kwargs: Any,
    ) -> asyncio.Future[None]:
        """Connect to `uri` as a Session does, and be the server of that connection.

        Whoever listens there is its client, as `accept_sessions` makes one. The arguments are those
        of Session; over TLS both ends must agree on `h2`. Returns a future that is done when the
        connection is gone: dial again then. Raises OSError, TimeoutError, ProxyError,
        ConnectionTerminated.
        """
        wire = self._wire(self._started())
        return await dial(wire, uri, ssl, server_hostname, proxy, open_timeout, kwargs)

    def _started(self) -> Hub:
        if self._hub is None or self.server is None:
            raise RuntimeError("the server was not started: await it first")
        return self._hub

    def is_serving(self) -> bool:
        """Does it accept connections?"""
        return self.server is not None and self.server.is_serving()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop it runs on."""
        if self.server is None:
            raise RuntimeError("the server was not started: await it first")
        return self.server.get_loop()

    async def start_serving(self) -> None:
        """Begin to accept, where `serve(start_serving=False)` did not."""
        await self
        assert self.server is not None
        await self.server.start_serving()

    async def serve_forever(self) -> None:
        """Serve until cancelled, or until `close()`; then shut down gracefully."""
        await self
        if not self.is_serving() and not self.closing:
            await self.start_serving()
        try:
            await self.wait_closed()
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise

    def close(self, close_connections: bool = True, code: int = 1001, reason: str = "") -> None:
        """Stop accepting, and end connections gracefully; `wait_closed()` tells when it is done.

        Each connection gets a GOAWAY, so that no client opens streams that would be lost, each
        WebSocket a Close with `code`, and requests under way their time: `close_timeout` seconds.
        With `close_connections=False` connections live on until their clients leave. Raises
        ValueError where `code` may not be sent or `reason` is longer than 123 octets.
        """
        check_close(code, reason, False)  # type: ignore[no-untyped-call]  # inside the engine
        if self._closer is None and self.server is not None:
            self.closing = True
            self._closer = self.get_loop().create_task(self._close(close_connections, code, reason))

    async def _close(self, close_connections: bool, code: int, reason: str) -> None:
        assert self.server is not None
        self.logger.info("server closing")
        self.server.close()
        self._quiet = self.get_loop().create_future()
        self._check_quiet()
        for arrival in list(self._arrivals):
            arrival.abort()
        grace: float | None = None
        if close_connections:
            grace = self.options.limits.close_timeout_s + AFTER_S
            for wire in list(self._wires):
                wire.leave(code, reason)
        try:
            async with asyncio.timeout(grace):
                await asyncio.shield(self._quiet)
        except TimeoutError:
            for task in list(self._tasks):
                task.cancel()
            for wire in list(self._wires):
                wire.conn.abort(NO_ERROR, b"server shut down")
                wire.touch()
            await asyncio.sleep(0.05)
            for wire in list(self._wires):
                wire.abort()
            await self._quiet
        if hasattr(self.server, "wait_closed"):
            await self.server.wait_closed()
        await self._ending()
        assert self._closed is not None
        self._closed.set_result(None)
        self.logger.info("server closed")

    @abc.abstractmethod
    def _wire(self, hub: Hub) -> AcceptedWire:
        """Make a connection that has no transport yet."""

    async def _starting(self) -> None:
        """What comes before the first connection."""

    async def _ending(self) -> None:
        """What comes after the last connection."""

    async def wait_closed(self) -> None:
        """Wait until every connection is gone and every handler has returned.

        Raises RuntimeError where the server was not started.
        """
        if self._closed is None:
            raise RuntimeError("the server was not started: await it first")
        await asyncio.shield(self._closed)

    async def _await(self) -> Self:
        if self.server is not None:
            return self
        if self._closed is not None:
            raise RuntimeError("the server is being started by another task")
        warn_if_pure(self.logger)
        hub = running_hub()
        self._hub = hub
        self.admission.start(hub.time)
        self._closed = hub.loop.create_future()
        start = dict(self._start)
        interval = start.pop("ping_interval")
        timeout = start.pop("ping_timeout")
        self._keeper = Keeper(hub, interval, timeout, self._wires)
        secure = secure_from(start)

        def factory() -> asyncio.BaseProtocol:
            if secure is None and self.options.introduced is None:
                return self._wire(hub)
            return Arrival(self, hub, functools.partial(self._wire, hub), secure)

        try:
            await self._starting()
            self.server = await self._listen(hub.loop, factory, start)
        except BaseException:
            self._closed = None
            raise
        for listener in self.server.sockets:
            limit_unsent(listener)
            self.logger.info("server listening on %s", listener.getsockname())
        return self

    async def _listen(
        self,
        loop: asyncio.AbstractEventLoop,
        factory: Callable[[], asyncio.BaseProtocol],
        start: dict[str, Any],
    ) -> asyncio.Server:
        try:
            if not start.pop("listen", True):
                return cast("asyncio.Server", Nowhere(loop))
            if start.pop("unix", False):
                # TCP's: what `serve` was told of host and port means nothing here.
                del start["host"], start["port"]
                return await loop.create_unix_server(factory, **start)
            return await loop.create_server(factory, **start)
        except BaseException:
            await self._ending()
            raise

    def __await__(self) -> Generator[Any, None, Self]:
        return self._await().__await__()

    async def __aenter__(self) -> Self:
        return await self

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self.close()
        await self.wait_closed()
