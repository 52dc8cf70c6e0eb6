"""What a client answers to the streams that its server opens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...engine.agreement import ServerPerMessageDeflateFactory
from ...engine.constants import INTERNAL_ERROR
from ...errors import StreamClosed
from ..arguments import check_callables, check_tunnels
from ..http import Request
from ..tunnel import Tunnel, reset, run_handler
from ..websocket import WebSocket, new_websocket, open_websocket

if TYPE_CHECKING:
    from .wire import ClientWire

__all__ = ["Serving"]


class Serving:
    """Who takes WebSockets and tunnels of a server, each in a task of its own.

    `most` tasks work at once, those of streams that were reset included: CVE-2023-44487.
    """

    __slots__ = ("_deflate", "_handler", "_log", "_most", "_tasks", "_tunnels")

    def __init__(
        self,
        handler: Callable[[WebSocket], Any] | None,
        tunnels: Mapping[str, Callable[[Tunnel], Awaitable[Any]]] | None,
        deflate: ServerPerMessageDeflateFactory | None,
        most: int,
        log: Any,
    ) -> None:
        kept = check_tunnels(tunnels)
        check_callables(handler=handler, **{f"tunnels[{t!r}]": kept[t] for t in kept})
        self._handler = handler
        self._tunnels = kept
        self._deflate = deflate
        self._most = most
        self._log = log
        self._tasks: set[asyncio.Task[Any]] = set()

    def requested(self, wire: ClientWire, event: Any) -> None:
        """The server has opened a stream."""
        try:
            if len(self._tasks) >= self._most:
                wire.conn.refuse(event.stream_id, "max_handlers")
            else:
                self._carry(wire, event)
        except StreamClosed:
            return  # it has reset it in the same read
        except Exception:
            self._log.exception("answering a stream of the server failed")
            reset(wire, event.stream_id, INTERNAL_ERROR)
        wire.touch()

    def _carry(self, wire: ClientWire, event: Any) -> None:
        request = Request.received(event, wire)
        if event.protocol == "websocket" and self._handler is not None:
            ws = new_websocket(wire, event.stream_id, request)
            wire.conn.attach(ws.stream_id, ws)
            wire.conn.accept_websocket(ws.stream_id, deflate=self._deflate)
            open_websocket(ws)
            self._own(wire, self._handler(ws)).add_done_callback(ws._handled)
        elif event.protocol in self._tunnels:
            tunnel = Tunnel(wire, event.stream_id, event.protocol, request, ended=event.ended)
            wire.conn.attach(tunnel.stream_id, tunnel.feed)
            wire.conn.respond(tunnel.stream_id, [(":status", "200")])
            wire.session._exchanges.add(tunnel)
            self._own(wire, self._run(self._tunnels[event.protocol], tunnel))
        else:
            # RFC 9220 section 3: "501 (Not Implemented)" for a `:protocol` that is not known.
            wire.conn.respond(event.stream_id, [(":status", "501")], True)

    def _own(self, wire: ClientWire, coroutine: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = wire.hub.loop.create_task(coroutine)
        self.keep(task)
        return task

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Count a task that works on a stream until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, handler: Callable[[Tunnel], Awaitable[Any]], tunnel: Tunnel) -> None:
        if await run_handler(handler, tunnel, self._log) and tunnel._awaits_end():
            tunnel._await_end()

    def cancel(self) -> list[asyncio.Task[Any]]:
        """Cancel who still works, and return them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        return tasks

    async def stop(self) -> None:
        """Cancel who still works, and wait for them."""
        tasks = self.cancel()
        if tasks:
            await asyncio.wait(tasks)
