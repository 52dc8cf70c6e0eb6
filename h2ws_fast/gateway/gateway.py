"""`gateway`: one port in front of what exists."""

from __future__ import annotations

import logging
import ssl as ssl_module
from collections.abc import Container, Iterable, Sequence
from typing import Any

from ..aio import tls
from ..aio.arguments import check_kinds, check_seconds, limits_from
from ..aio.hub import Hub
from ..aio.observer import Observer, check_observer
from ..aio.server.accepted import AcceptedWire
from ..aio.server.admission import Admission
from ..aio.server.listener import Listener
from ..aio.server.options import CommonOptions, start_from
from ..engine import Limits, Settings
from .aware import Aware
from .fields import Forwarding
from .routes import Routes
from .table import Table
from .wire import GatewayWire

__all__ = ["Gateway", "gateway"]

LOGGER = "h2ws_fast.gateway"
# Of upgrades, where the dialect keeps them. TRACE has an answer of its own, CONNECT and HEAD have none
# that could be told from one.
METHODS = frozenset((b"DELETE", b"GET", b"OPTIONS", b"PATCH", b"POST", b"PUT"))
PATIENCE = 0.8  # of the time that an opening handshake has


class GatewayOptions(CommonOptions):
    """How the gateway speaks with clients."""

    ignoring = True
    table: Table
    dialect: bool  # is that spoken with clients that do?
    aware: Aware  # where an Upstream does not say how its messages are read

    @property
    def upgrades(self) -> Container[str]:
        """See `CommonOptions`."""
        return self.table

    @property
    def patience_s(self) -> float:
        """How long an opening handshake may take: the client hears why before its own end of it is
        given up."""
        return self.limits.handshake_timeout_s * PATIENCE


class Gateway(Listener):
    """What `gateway` returns: await it, or use it with `async with`, to start it.

    `close()` begins the graceful shutdown, `wait_closed()` waits for its end, `serve_forever()` runs
    until cancelled, `stats()` counts.
    """

    options: GatewayOptions

    def __init__(
        self,
        routes: Routes,
        table: Table,
        forwarding: Forwarding,
        answer_timeout: float | None,
        body_timeout: float | None,
        tunnel_timeout: float | None,
        access_log: bool,
        options: GatewayOptions,
        admission: Admission,
        start: dict[str, Any],
    ) -> None:
        super().__init__(options, admission, start)
        self.routes = routes
        self.table = table
        self.forwarding = forwarding
        self.answer_timeout = answer_timeout
        self.body_timeout = body_timeout
        self.tunnel_timeout = tunnel_timeout
        self.access_log = access_log
        kinds = ("requests", "plain", "tunnels", "opened", "stalled_bodies", "idle_tunnels")
        self.counts = dict.fromkeys(kinds, 0)
        self._former: list[Routes] = []  # of which something may still be under way

    def _wire(self, hub: Hub) -> AcceptedWire:
        return GatewayWire(self, hub)

    def reroute(self, routes: Routes) -> None:
        """From here on requests go by these routes; what is under way stays where it is."""
        kept = set(routes.backends)
        for backend in kept:
            backend.welcome()
        for former in (*self._former, self.routes):
            for backend in former.backends:
                if backend not in kept:
                    backend.retire()
        self._former = [former for former in (*self._former, self.routes) if former.busy]
        self.routes = routes

    def stats(self) -> dict[str, Any]:
        """Counters by name, those of a Server, `requests` by kind, and `backends` by address.

        What several routes have of one address is added up, also what former routes still carry.
        """
        backends: dict[str, Any] = {}
        now = self.routes.backends
        left = [each for routes in self._former for each in routes.backends if each.busy]
        for backend in dict.fromkeys([*now, *left]):
            told = backend.stats()
            known = backends.get(backend.address)
            backends[backend.address] = told if known is None else added(known, told)
        return {**super().stats(), **self.counts, "backends": backends}

    async def _ending(self) -> None:
        for routes in (*self._former, self.routes):
            for backend in routes.backends:
                await backend.close()


def added(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Counters of the same names, added up."""
    return {
        name: added(count, other[name]) if isinstance(count, dict) else count + other[name]
        for name, count in one.items()
    }


def gateway(
    routes: Routes,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    table: Table | None = None,
    forwarding: Forwarding | None = None,
    proxy_protocol: bool = False,
    answer_timeout: float | None = 60,
    body_timeout: float | None = 300,
    tunnel_timeout: float | None = None,
    access_log: bool = False,
    ping_interval: float | None = 20,
    ping_timeout: float | None = 20,
    max_size: int | None = 2**20,
    compression: str | None = "deflate",
    ssl: ssl_module.SSLContext | None = None,
    http: Iterable[str] = ("h2", "h1"),
    open_timeout: float | None = 10,
    close_timeout: float | None = 10,
    idle_timeout: float | None = 180,
    write_timeout: float | None = 60,
    keepalive_interval: float | None = 30,
    keepalive_timeout: float | None = 20,
    write_limit: int | tuple[int, int] = 2**16,
    settings: Settings | None = None,
    limits: Limits | None = None,
    max_connections: int | None = None,
    max_connections_per_address: int | None = None,
    memory_budget: int | None = None,
    observer: Observer | None = None,
    logger: Any = None,
    backlog: int = 4096,
    **kwargs: Any,
) -> Gateway:
    """Forward requests and tunnels that come over HTTP/2 and HTTP/1.1 to the backends of `routes`.

    `async with gateway(routes, host, port, ssl=context) as running:`, or await it. WebSockets and
    every other protocol of `table` are carried as octets: an extended CONNECT (RFC 8441) on one side
    is an Upgrade (RFC 9110 section 7.8) on the other wherever one of them speaks HTTP/1.1. Ordinary
    requests are forwarded with bodies, trailers and interim responses.

    `forwarding` says what backends are told of clients. With `proxy_protocol` a connection begins with
    a head of the PROXY protocol, version 1 or 2, before TLS and all else: the address that it names is
    the client's, for all purposes. Where `forwarding` trusts some networks only connections from there
    have one. What is none, or not there in time, ends the connection. `answer_timeout` seconds are for the head of
    a backend's answer to a whole request; then the client is answered 504. Behind it something has to
    move within each `body_timeout` seconds, either way, or wait for who does not take it, in a tunnel
    within each `tunnel_timeout`; what stands still is reset. With `access_log` the logger
    `h2ws_fast.gateway.access` has a line for each request once all is over: see `Access`. Octets above
    `write_limit` that wait for one side keep the other from sending. `ping_interval`, `ping_timeout`,
    `max_size` and `compression` are for WebSockets of an Upstream that is `aware`, on both hops; one
    with an `Aware` of its own has that. What is not told here is as in `h2ws_fast.serve`.
    """
    check_kinds(limits, settings)
    check_seconds(
        answer_timeout=answer_timeout, body_timeout=body_timeout, tunnel_timeout=tunnel_timeout
    )
    table = Table() if table is None else table
    options = GatewayOptions()
    options.table = table
    forwarding = Forwarding() if forwarding is None else forwarding
    if proxy_protocol:
        options.introduced = forwarding.introduces
    options.websockets = bool(table)
    options.aware = Aware(ping_interval, ping_timeout, max_size, compression)
    options.aware.check()
    options.deflate = None  # each WebSocket that is read says itself
    options.http = tls.versions(http)
    options.ssl = None if ssl is None else tls.prepare(ssl, server=True, http=options.http)
    if settings is None:
        # RFC 8441 section 3 is only advertised where something answers it.
        settings = Settings() if table else Settings(enable_connect_protocol=False)
    options.settings = settings
    options.dialect = settings.dialect() is not None
    if options.dialect:
        options.methods = METHODS
    # An upgrade or extended CONNECT is answered when the backend has, not after `open_timeout`.
    options.limits = limits_from(
        gateway,
        limits,
        open_timeout=open_timeout,
        close_timeout=close_timeout,
        max_size=max_size,
        write_limit=write_limit,
        write_timeout=write_timeout,
        idle_timeout=idle_timeout,
        keepalive_interval=keepalive_interval,
        keepalive_timeout=keepalive_timeout,
    )
    options.logger = logging.getLogger(LOGGER) if logger is None else logger
    options.observer = check_observer(observer)
    admission = Admission(
        options.logger,
        max_connections=max_connections,
        max_connections_per_address=max_connections_per_address,
        memory_budget=memory_budget,
        observer=observer,
    )
    start = start_from(
        options,
        host=host,
        port=port,
        backlog=backlog,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        open_timeout=open_timeout,
        close_timeout=close_timeout,
        others=kwargs,
    )
    return Gateway(
        routes,
        table,
        forwarding,
        answer_timeout,
        body_timeout,
        tunnel_timeout,
        access_log,
        options,
        admission,
        start,
    )
