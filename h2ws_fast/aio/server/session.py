"""Streams that a server opens to a client that takes them."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from ...engine.agreement import ClientPerMessageDeflateFactory
from ...errors import ConnectionTerminated, ExtendedConnectUnsupported
from ..client.opening import Wanted, in_time
from ..http import HeadersLike, fields_of
from ..opener import Opener
from ..websocket import WebSocket

if TYPE_CHECKING:
    from .wire import ServerWire

__all__ = ["ServerSession"]


class ServerSession(Opener):
    """The connection of a client that takes streams: a server opens them here, as a Session does.

    `serve(on_session=...)` is given one for each such client, and `request.session` is that of a
    request, of a WebSocket's and of a tunnel's too. `tunnel`, `bytestream`, `create_connection` and
    `websocket` are as a Session has them, but that NoAvailableStreams is raised at once where the
    client's limit is reached.
    """

    def __init__(self, wire: ServerWire) -> None:
        options = wire.server.options
        self._wire = wire
        self._scheme = "https" if wire.secure else "http"
        self._authority = _authority_of(wire.remote_address)
        patience = options.limits.handshake_timeout_s
        self._open_timeout = None if patience == float("inf") else patience
        patience = options.limits.close_timeout_s
        self._close_timeout = None if patience == float("inf") else patience
        self._deflate = None if options.deflate is None else ClientPerMessageDeflateFactory()
        self._exchanges = weakref.WeakSet()

    def run(self, handler: Callable[[ServerSession], Awaitable[Any]]) -> None:
        """Run a handler as a task, for as long as the connection lasts."""
        wire = self._wire
        server = wire.server
        task = wire.hub.loop.create_task(self._run(handler))
        server._tasks.add(task)
        task.add_done_callback(server._task_done)
        wire.gone.add_done_callback(lambda _: task.cancel())

    async def _run(self, handler: Callable[[ServerSession], Awaitable[Any]]) -> None:
        try:
            await handler(self)
        except ConnectionTerminated:
            return
        except Exception:
            self._wire.server.logger.exception("on_session failed")

    def _wires(self) -> list[ServerWire]:
        return [self._wire]

    def _live(self) -> ServerWire:
        wire = self._wire
        if wire.lost or wire.closing or wire.conn.terminated:
            raise ConnectionTerminated(0, "the connection is over")
        return wire

    async def _start(self, attempt: Callable[[], int]) -> int:
        stream_id = attempt()
        self._wire.touch()
        return stream_id

    async def _extended(self) -> None:
        if not self._live().conn.can_connect:
            raise ExtendedConnectUnsupported("the client takes no streams of this server")

    async def websocket(
        self,
        path: str = "/",
        *,
        subprotocols: Iterable[str] | None = None,
        origin: str | None = None,
        additional_headers: HeadersLike | None = None,
        priority: str | None = None,
        open_timeout: float | None = None,
        on_message: Callable[[WebSocket, Any], Any] | None = None,
        on_close: Callable[[WebSocket], Any] | None = None,
    ) -> WebSocket:
        """Open a WebSocket to the client: see `Session.websocket`. Raises as that does."""
        wanted = Wanted.of(
            path,
            subprotocols,
            fields_of(additional_headers),
            origin,
            priority,
            on_message,
            on_close,
        )
        async with in_time(self._open_timeout if open_timeout is None else open_timeout):
            return await self._websocket_h2(wanted)

    @property
    def remote_address(self) -> Any:
        """The client's address, or None where the connection is gone."""
        return self._wire.remote_address

    @property
    def connected(self) -> bool:
        """Is the connection there, and does the client take new streams on it?"""
        wire = self._wire
        return not wire.lost and not wire.conn.draining

    def stats(self) -> dict[str, Any]:
        """Counters of the connection by name."""
        return self._wire.stats()

    async def close(self, code: int = 1001, reason: str = "") -> None:
        """End the connection gracefully, what its client opened included; wait for the end,
        `close_timeout` at most. Tunnels that were opened here end as those of a Session."""
        if not self._wire.lost:
            for exchange in list(self._exchanges):
                exchange._leave()
            self._wire.leave(code, reason)
        await self._part()

    def __repr__(self) -> str:
        return f"<ServerSession {self._authority}>"


def _authority_of(peer: Any) -> str:
    # Whom a server asks has no name but its address; of a Unix socket not even that.
    if not isinstance(peer, tuple):
        return "localhost"
    host = str(peer[0]).partition("%")[0]
    return f"[{host}]:{peer[1]}" if ":" in host else f"{host}:{peer[1]}"
