"""A connection whose requests an ASGI application answers."""

from __future__ import annotations

import asyncio
from typing import Any

from ..aio.hub import Hub
from ..aio.server.accepted import AcceptedWire
from ..aio.server.roster import Roster
from .application import Application
from .exchange import STATUSES, respond
from .http import HTTPExchange
from .scope import client_of, http_scope, target_of
from .tunnel import TunnelExchange
from .websocket import WebSocketExchange

__all__ = ["ASGIWire"]

UNAVAILABLE = b"Service Unavailable"


class ASGIWire(AcceptedWire):
    """One connection of an ASGI server."""

    __slots__ = (
        "application",
        "client_address",
        "scheme",
        "server_address",
    )

    application: Application
    # As scopes tell them; None where there is none, as of a UNIX socket's client.
    client_address: tuple[str, int] | None
    server_address: tuple[str, int | None] | None
    scheme: str

    def __init__(self, server: Roster, hub: Hub, application: Application) -> None:
        super().__init__(server, hub)
        self.application = application
        self.client_address = None
        self.server_address = None
        self.scheme = "http"

    def _opened(self) -> bool:
        transport = self.transport
        client = transport.get_extra_info("peername")
        if isinstance(client, tuple):
            self.client_address = (str(client[0]), int(client[1]))
        server = transport.get_extra_info("sockname")
        if isinstance(server, tuple):
            self.server_address = (str(server[0]), int(server[1]))
        elif isinstance(server, str) and server:
            self.server_address = (server, None)
        if self.secure:
            self.scheme = "https"
        return super()._opened()

    def leave(self, code: int = 1012, reason: str = "") -> None:
        """Begin the graceful shutdown; each WebSocket is closed with this code."""
        super().leave(code, reason)

    def employ(self, task: asyncio.Task[Any]) -> None:
        """An application's task works for this connection, until `dismiss`."""
        self.handlers += 1
        self.server._tasks.add(task)

    def dismiss(self, task: asyncio.Task[Any]) -> None:
        """The task has ended."""
        self.handlers -= 1
        if not self.handlers:
            self.server.admission.rest(self)
        self.server._task_done(task)

    def _requested(self, event: Any) -> None:
        if not self._may_begin(event):
            return
        application = self.application
        token = event.protocol
        if token is None:
            if event.method == "CONNECT":
                self._decline(event, 501)
            elif application.is_crowded():
                self._turn_away(event)
            else:
                HTTPExchange(self, event).start()
            return
        token = token.lower()
        if token == "websocket" and application.websockets:
            if application.is_crowded():
                self._turn_away(event)
            else:
                WebSocketExchange(self, event).start()
        elif token in application.tunnels:
            if application.is_crowded():
                self._turn_away(event)
            else:
                TunnelExchange(self, event).start()
        else:
            # RFC 9220 section 3: "501 (Not Implemented)" for a `:protocol` that is not known.
            self._decline(event, 501)

    def _turn_away(self, event: Any) -> None:
        self.application.logger.warning("Exceeded concurrency limit.")
        if event.protocol is None:
            HTTPExchange(self, event).turn_away(503, UNAVAILABLE)
        else:
            self._decline(event, 503)

    def _decline(self, event: Any, status: int) -> None:
        # Without a body: Firefox leaves a connection where a refused WebSocket came with one.
        application = self.application
        fields: list[Any] = [STATUSES[status], *application.default_headers]
        respond(self.conn, event.stream_id, fields, True)
        self.touch()
        application.answered()
        if application.on_declined is not None:
            application.on_declined(http_scope(self, event), status)
        elif application.access_log:
            scope = http_scope(self, event)
            application.access_logger.info(
                '%s - "%s %s HTTP/%s" %d',
                client_of(scope),
                event.method,
                target_of(scope) or event.authority,  # a classic CONNECT has no path
                self.http_version,
                status,
            )
