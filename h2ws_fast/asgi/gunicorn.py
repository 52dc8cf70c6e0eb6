"""A worker for gunicorn: `gunicorn -k h2ws_fast.asgi.gunicorn.Worker app:app`.

It is gunicorn's own ASGI worker (loop, signals, heartbeat, reload), with connections of ours: both
HTTP/2 and HTTP/1.1, and WebSockets over both.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.workers.gasgi import ASGIWorker

from .accounts import Accounts
from .application import AT_ONCE_S, ASGIApplication, Receive, Scope, Send
from .lifespan import Lifespan, StartupFailed
from .server import Server, serve

__all__ = ["Worker"]

Base: Any = ASGIWorker  # gunicorn has no types, and checkers infer wrong ones

HEARTBEAT_S = 1.0
MAX_MESSAGE = 16 * 2**20  # where gunicorn has no option for it
LOOK_S = 0.1  # how often a signal is looked for


class Forwarded:
    """An application behind proxies that say, by a header, that their client came by TLS."""

    def __init__(self, app: ASGIApplication, cfg: Any) -> None:
        self._app = app
        self._headers = {
            name.lower().replace("_", "-").encode(): value.encode()
            for name, value in cfg.secure_scheme_headers.items()
        }
        self._all = "*" in cfg.forwarded_allow_ips
        self._networks = [
            ipaddress.ip_network(str(each), strict=False)
            for each in cfg.forwarded_allow_ips
            if each != "*"
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for one scope."""
        if scope["type"] != "lifespan" and self._is_trusted(scope.get("client")):
            for name, value in scope["headers"]:
                if self._headers.get(name) == value:
                    scope["scheme"] = "wss" if scope["type"] == "websocket" else "https"
        await self._app(scope, receive, send)

    def _is_trusted(self, client: tuple[str, int] | None) -> bool:
        # Who comes by a UNIX socket has no address: it is this machine.
        if self._all or client is None:
            return True
        address = ipaddress.ip_address(client[0].partition("%")[0])
        return any(address in network for network in self._networks)


class Worker(Base):  # type: ignore[misc]  # that of no type
    """The class for gunicorn's option `worker_class`.

    `keepalive` is how long a connection may be without streams, `worker_connections` how many there
    may be on all sockets together, `graceful_timeout` what they have to end in. `max_requests`
    counts responses, and WebSockets that are over; `websocket_max_message_size` limits their
    messages.
    """

    alive: bool
    nr: int

    def run(self) -> None:
        """Serve until told to end."""
        try:
            self.loop.run_until_complete(self._work())
        except StartupFailed as error:
            self.log.error("ASGI lifespan startup failed: %s", error)
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None
        except Exception:
            self.log.exception("Worker exception")
        finally:
            self._cleanup()

    async def _work(self) -> None:
        cfg = self.cfg
        app = self.asgi
        lifespan = Lifespan(app, cfg.asgi_lifespan, self.state, self.log)
        await lifespan.startup()
        try:
            servers = [self._server(each.sock) for each in self.sockets]
            for server in servers:
                server.admission.count_with(each.admission for each in servers)
                await server
            await self._watch()
            for server in servers:
                server.close()
            ends = [asyncio.ensure_future(server.wait_closed()) for server in servers]
            while ends and not self._quick_shutdown:
                self.notify()
                ends = list((await asyncio.wait(ends, timeout=LOOK_S))[1])
        finally:
            if not self._quick_shutdown:
                await lifespan.shutdown()

    def _server(self, listener: Any) -> Server:
        cfg = self.cfg
        app = self.asgi
        accounts = Accounts(app, self)
        server = serve(
            Forwarded(accounts if accounts.wanted else app, cfg),
            sock=listener,
            ssl=self._get_ssl_context(),
            root_path=cfg.root_path or "",
            lifespan="off",
            tunnels=getattr(app, "h2ws_fast_tunnels", ()),
            synthesize_h1_headers=getattr(app, "h2ws_fast_synthesize_h1_headers", False),
            server_header=None,
            idle_timeout=cfg.keepalive or AT_ONCE_S,
            close_timeout=cfg.graceful_timeout or 0.1,
            max_connections=cfg.worker_connections,
            max_size=getattr(cfg, "websocket_max_message_size", MAX_MESSAGE) or None,
            logger=self.log.error_log,
        )
        application = server.application
        application.state = self.state
        application.on_answered = self._count
        if accounts.wanted:
            application.on_declined = accounts.answered
        return server

    def _count(self) -> None:
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False

    async def _watch(self) -> None:
        # Until a signal comes, or the parent is another; the parent hears that we live.
        beat = 0.0
        while self.alive:
            now = self.loop.time()
            if now - beat >= HEARTBEAT_S:
                beat = now
                self.notify()
                if self.ppid != os.getppid():
                    self.log.info("Parent changed, shutting down: %s", self)
                    return
            await asyncio.sleep(LOOK_S)
