"""What a gateway is told in a file, or by the options of its command.

listen = "0.0.0.0:8443"
certfile = "cert.pem"
keyfile = "key.pem"

[[route]]
host = "example.org"
path = "/chat"
backends = ["http://127.0.0.1:9000", "http://127.0.0.1:9001"]
balance = "least"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..aio import tls, uri
from ..aio.arguments import check_count, check_seconds
from ..engine import Settings
from .aware import Aware
from .backend import Backend
from .fields import Forwarding
from .links import MOST
from .routes import Route, Routes
from .table import Table
from .upstream import Upstream

__all__ = ["Config", "Known", "RouteConfig"]

# Backends by all that is said of them.
Known = dict[tuple[Any, ...], Backend]

OF_BACKENDS = (
    "http",
    "connections",
    "h1_connections",
    "connect_timeout",
    "cafile",
    "verify",
    "bidirectional",
)
BIDIRECTIONAL = Settings(enable_bidirectional_connect=True)
AWARE = Aware()


@dataclass
class RouteConfig:
    """One `[[route]]`: `http`, `connections`, `h1_connections` and `connect_timeout` are those of its
    backends.

    `cafile` names the authorities that their certificates are checked by, `verify` whether they are.
    `bidirectional`: they may open streams. `websocket_aware`: the messages of WebSockets are read, as
    `ping_interval`, `ping_timeout`, `max_size` and `compression` say; None: as the file does for all.
    """

    backends: list[str]
    host: str | None = None
    path: str = "/"
    http: str = "auto"
    balance: str = "round-robin"
    connections: int = 4
    h1_connections: int = MOST
    connect_timeout: float = 5.0
    cafile: str | None = None
    verify: bool = True
    bidirectional: bool = False
    websocket_aware: bool = False
    ping_interval: float | None = None
    ping_timeout: float | None = None
    max_size: int | None = None
    compression: bool | None = None

    def make(self, table: Table, known: Known | None = None, aware: Aware = AWARE) -> Route:
        """Make it of backends that are `known`, and new ones, which are known then.

        `aware` is what the file says for all. Raises ValueError and OSError where it makes no sense.
        """
        known = {} if known is None else known
        if self.bidirectional and self.http == "h1":
            raise ValueError("bidirectional needs HTTP/2")
        authorities = b"" if self.cafile is None else Path(self.cafile).read_bytes()
        context = None
        if any(uri.parse(address).secure for address in self.backends):
            context = tls.client_context(cafile=self.cafile, verify=self.verify)
        backends = []
        for place, address in enumerate(self.backends):
            # Whoever is named twice has twice the turns, and is two.
            again = self.backends[:place].count(address)
            key = (address, again, authorities, *(getattr(self, name) for name in OF_BACKENDS))
            if key not in known:
                known[key] = Backend(
                    address,
                    http=self.http,
                    ssl=context if uri.parse(address).secure else None,
                    connections=self.connections,
                    h1_connections=self.h1_connections,
                    connect_timeout=self.connect_timeout,
                    settings=BIDIRECTIONAL if self.bidirectional else None,
                )
            backends.append(known[key])
        reads = self.aware(aware) if self.websocket_aware else False
        upstream = Upstream(backends, balance=self.balance, table=table, aware=reads)
        return Route(upstream, self.path, self.host)

    def aware(self, aware: Aware) -> Aware:
        """How its WebSockets are read, where `aware` is for all. Raises ValueError."""
        told = {name: getattr(self, name) for name in ("ping_interval", "ping_timeout", "max_size")}
        if self.compression is not None:
            aware = aware._replace(compression=compressing(self.compression))
        if self.max_size is not None and aware.max_size is not None:
            if self.max_size > aware.max_size:
                raise ValueError("the max_size of a route is above that of all")
        return aware._replace(**{name: value for name, value in told.items() if value is not None})


@dataclass
class Config:
    """All of it. `tokens` are the protocols that pass, `listen` and `stats` are `host:port`.

    `bidirectional`: clients that take streams get those that backends open, where routes let these.
    """

    listen: str = "127.0.0.1:8443"
    certfile: str | None = None
    keyfile: str | None = None
    tokens: list[str] = field(default_factory=lambda: ["websocket"])
    forwarded: str = "x-forwarded"
    trusted: list[str] = field(default_factory=list)
    proxy_protocol: bool = False
    access_log: bool = False
    stats: str | None = None
    drain: float = 30.0
    open_timeout: float = 10.0
    answer_timeout: float = 60.0
    body_timeout: float = 300.0
    tunnel_timeout: float | None = None
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    max_size: int = 2**20
    compression: bool = True
    max_connections: int | None = None
    max_connections_per_address: int | None = None
    memory_budget: int | None = None
    bidirectional: bool = False
    route: list[RouteConfig] = field(default_factory=list)

    @classmethod
    def read(cls, path: str | Path) -> Config:
        """Read a TOML file. Raises OSError, and ValueError that says what is wrong."""
        with open(path, "rb") as file:
            told = tomllib.load(file)
        routes = told.pop("route", [])
        if not isinstance(routes, list):
            raise ValueError("routes are written [[route]]")
        config: Config = _made(cls, told, "the file")
        config.route = [
            _made(RouteConfig, each, f"route {number}") for number, each in enumerate(routes, 1)
        ]
        return config

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: host and port."""
        return address_of(self.listen, "listen")

    @property
    def stats_address(self) -> tuple[str, int]:
        """Where who asks for `/stats` is answered: host and port."""
        return address_of(self.stats or "", "stats")

    def check(self) -> None:
        """Raises ValueError and OSError where something makes no sense."""
        _ = self.address
        if self.stats is not None:
            _ = self.stats_address
        check_seconds(
            open_timeout=self.open_timeout,
            answer_timeout=self.answer_timeout,
            body_timeout=self.body_timeout,
            tunnel_timeout=self.tunnel_timeout,
            drain=self.drain,
            ping_interval=self.ping_interval,
            ping_timeout=self.ping_timeout,
        )
        check_count(max_size=self.max_size)
        check_count(
            none=True,
            max_connections=self.max_connections,
            max_connections_per_address=self.max_connections_per_address,
            memory_budget=self.memory_budget,
        )
        self.forwarding()
        self.routes(self.table())

    def table(self) -> Table:
        """The protocols that pass; `*` is for all that are not forbidden."""
        named = [token for token in self.tokens if token != "*"]
        return Table(named, others="*" in self.tokens)

    def routes(self, table: Table, known: Known | None = None) -> Routes:
        """The routes. Backends are those that are `known` by what is said of them, and new ones, which
        are known then. Raises ValueError and OSError."""
        if not self.route:
            raise ValueError("there is no route: name a backend")
        known = {} if known is None else known
        return Routes([route.make(table, known, self.aware()) for route in self.route])

    def aware(self) -> Aware:
        """How WebSockets are read where their route does not say it."""
        return Aware(
            self.ping_interval, self.ping_timeout, self.max_size, compressing(self.compression)
        )

    def settings(self) -> Settings | None:
        """What clients are told in SETTINGS; None: what `gateway` says by itself."""
        return BIDIRECTIONAL if self.bidirectional else None

    def forwarding(self, name: str | None = None) -> Forwarding:
        """What backends are told of clients."""
        return Forwarding(self.forwarded, self.trusted, name)


def compressing(compresses: bool) -> str | None:
    """As `gateway` has it."""
    return "deflate" if compresses else None


def address_of(text: str, name: str) -> tuple[str, int]:
    """Host and port of what the file calls `name`. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{name} is host:port: {text!r}")
    return host.strip("[]"), int(port)


def _made(kind: Any, told: Any, where: str) -> Any:
    # A dataclass of what a table holds, each value of the type that its field says.
    if not isinstance(told, Mapping):
        raise ValueError(f"{where} is no table")
    known = {each.name: each for each in fields(kind)}
    for name, value in told.items():
        if name not in known:
            raise ValueError(f"{where} has {name!r}, which nobody knows")
        if not _fits(str(known[name].type), value):
            raise ValueError(f"{where}: {name} is {known[name].type}, not {value!r}")
    for name, each in known.items():
        if each.default is MISSING and each.default_factory is MISSING and name not in told:
            raise ValueError(f"{where} lacks {name}")
    return kind(**told)


def _fits(kind: str, value: Any) -> bool:
    kind = kind.removesuffix(" | None")  # which a file leaves out
    if kind == "list[str]":
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if kind == "bool":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind == "float":
        return isinstance(value, int | float)
    return isinstance(value, int if kind.startswith("int") else str)
