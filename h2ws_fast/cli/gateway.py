"""`h2ws-fast gateway`: one port in front of backends of HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from ..aio import tls
from ..gateway.backend import HTTP
from ..gateway.config import Config, Known, RouteConfig
from ..gateway.fields import FORWARDED
from ..gateway.gateway import Gateway, gateway
from ..gateway.links import MOST
from ..gateway.upstream import BALANCE
from . import CommandError, loops, numbers, options, twin, version, workers
from .certificate import serving_context
from .counters import counters_at
from .listener import BACKLOG, bind, url_of
from .signals import on_signals

__all__ = ["add_parser", "run"]

logger = logging.getLogger("h2ws_fast.gateway")

READ_AGAIN = ("route", "certfile", "keyfile")

OF_UPSTREAM = (
    "http",
    "balance",
    "connections",
    "h1_connections",
    "cafile",
    "insecure",
    "websocket_aware",
)

EPILOG = """\
SIGTERM and SIGINT let what is open end, --drain seconds long. SIGHUP reads the file and the
certificate again: new requests go by the new routes, tunnels stay where they are."""


def add_parser(commands: Any) -> None:
    """Describe the command's options."""
    parser = commands.add_parser(
        "gateway",
        help="carry WebSockets and requests between HTTP/2 and HTTP/1.1, to backends",
        description="Forward WebSockets, other tunnels and requests over HTTP/2 and HTTP/1.1 to "
        "backends that speak either.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--config", metavar="TOML", help="read routes and everything else from this file")
    add(
        "--listen",
        metavar="HOST:PORT",
        help="where to listen; port 0 is a free one (127.0.0.1:8443)",
    )
    options.certificate(parser)
    add(
        "--upstream",
        action="append",
        metavar="URL",
        help="a backend, http://host:port or https://; may be repeated",
    )
    add("--http", choices=HTTP, help="what backends speak (auto: they are asked)")
    add("--balance", choices=BALANCE, help="whose turn it is (round-robin)")
    add("--connections", type=numbers.limit, metavar="N", help="over HTTP/2 to each (4)")
    add(
        "--h1-connections",
        type=numbers.limit,
        metavar="N",
        help=f"over HTTP/1.1 to each, of each worker ({MOST}); what comes beyond waits; WebSockets that "
        "are read have as many for themselves",
    )
    add("--cafile", metavar="PEM", help="authorities that certificates of backends are checked by")
    add("--insecure", action="store_true", help="do not check certificates of backends")
    add(
        "--token",
        action="append",
        metavar="NAME",
        help="a protocol that passes (websocket); * for all",
    )
    add(
        "--websocket-aware",
        action="store_true",
        help="read the messages of WebSockets: pings, limits and compression on each hop",
    )
    add(
        "--max-size",
        type=numbers.limit,
        metavar="OCTETS",
        help="of a message, where they are read (1048576)",
    )
    add(
        "--bidirectional",
        action="store_true",
        help="backends may open streams, to clients that take some",
    )
    add("--forwarded", choices=FORWARDED, help="what backends are told of clients (x-forwarded)")
    add("--trusted", action="append", metavar="NETWORK", help="whose word on others is believed")
    add(
        "--proxy-protocol",
        action="store_true",
        help="connections begin with a PROXY head: of --trusted, where that is given",
    )
    add("--access-log", action="store_true", help="write a line for each request to stderr")
    add(
        "--stats",
        metavar="HOST:PORT",
        help="answer GET /stats there, with counters as JSON; each worker at the next port",
    )
    add("--drain", type=float, metavar="SECONDS", help="what is open has so long in the end (30)")
    options.admission(parser)
    add("--workers", type=numbers.workers, default=1, metavar="N", help="processes on the port")
    options.event_loop(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command until SIGINT or SIGTERM."""
    try:
        config = _config(arguments)
        host, port = config.address
        config.check()
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    if arguments.cleartext and (config.certfile or config.keyfile):
        raise CommandError("--cleartext goes without a certificate and a key")
    if config.keyfile and not config.certfile:
        raise CommandError("a key needs its certificate")
    context, note = None, "cleartext"
    if not arguments.cleartext:
        context, note = serving_context(config.certfile, config.keyfile, host)
    workers.check(arguments.workers)
    several = arguments.workers > 1
    loop_name, _ = loops.choose(arguments.loop)
    listener = bind(host, port, share=several)
    boxes = _boxes(config, arguments.workers)
    _log(config)
    print(
        f"h2ws-fast {version()} gateway: {twin()} engine, {loop_name}, "
        f"{arguments.workers} worker{'s' if several else ''}, {note}, "
        f"{len(config.route)} route{'s' if len(config.route) > 1 else ''}"
        + "".join(f", {url_of(box, '', secure=False)}/stats" for box in boxes),
        flush=True,
    )
    url = f"listening on {url_of(listener, host, secure=context is not None)}"
    # The same for all workers: a loop may lead from one to another.
    name = config.forwarding().name.decode()
    serving = Serving(arguments, config, context, name, boxes)
    with listener:
        if several:
            return workers.run(arguments.workers, listener, url, serving.run, reloads=True)
        return serving.run(listener, lambda: print(url, flush=True), 0)


def _config(arguments: argparse.Namespace) -> Config:
    config = Config() if arguments.config is None else Config.read(arguments.config)
    for name in (
        "listen",
        "certfile",
        "keyfile",
        "forwarded",
        "stats",
        "drain",
        "max_connections",
        "max_connections_per_address",
        "memory_budget",
        "max_size",
    ):
        if getattr(arguments, name) is not None:
            setattr(config, name, getattr(arguments, name))
    if arguments.token is not None:
        config.tokens = arguments.token
    if arguments.trusted is not None:
        config.trusted = arguments.trusted
    config.access_log = config.access_log or arguments.access_log
    config.proxy_protocol = config.proxy_protocol or arguments.proxy_protocol
    config.bidirectional = config.bidirectional or arguments.bidirectional
    told = {name: getattr(arguments, name) for name in OF_UPSTREAM}
    told = {name: value for name, value in told.items() if value}
    if arguments.upstream is not None:
        told["verify"] = not told.pop("insecure", False)
        config.route.append(
            RouteConfig(arguments.upstream, bidirectional=arguments.bidirectional, **told)
        )
    elif told and config.route:
        name = next(iter(told)).replace("_", "-")
        raise ValueError(f"--{name} is for --upstream: the routes of a file say it themselves")
    return config


def _boxes(config: Config, count: int) -> list[socket.socket]:
    # Where each worker answers how it is: they know nothing of each other.
    if config.stats is None:
        return []
    host, port = config.stats_address
    if port and port + count - 1 > 65535:
        raise CommandError(f"--stats has no port for each of {count} workers from {port} on")
    return [bind(host, port and port + worker) for worker in range(count)]


def _log(config: Config) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    logger.getChild("access").setLevel(logging.INFO if config.access_log else logging.WARNING)


class Serving:
    """One process of it."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        config: Config,
        context: Any,
        name: str,
        boxes: list[socket.socket],
    ) -> None:
        self._arguments = arguments
        self._config = config
        self._context = context
        self._name = name
        self._boxes = boxes
        self._known: Known = {}

    def run(self, listener: socket.socket, accepting: Callable[[], None], worker: int) -> int:
        """Serve on this socket until a signal comes; `accepting()` is called when it does."""
        _, factory = loops.choose(self._arguments.loop)
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(self._main(listener, accepting, worker))
        return 0

    async def _main(
        self, listener: socket.socket, accepting: Callable[[], None], worker: int
    ) -> None:
        config = self._config
        stop = asyncio.Event()
        on_signals(stop.set, "SIGINT", "SIGTERM")
        table = config.table()
        async with gateway(
            config.routes(table, self._known),
            sock=listener,
            table=table,
            forwarding=config.forwarding(self._name),
            proxy_protocol=config.proxy_protocol,
            open_timeout=config.open_timeout,
            answer_timeout=config.answer_timeout,
            body_timeout=config.body_timeout,
            tunnel_timeout=config.tunnel_timeout,
            access_log=config.access_log,
            ping_interval=config.ping_interval,
            ping_timeout=config.ping_timeout,
            max_size=config.max_size,
            compression=config.aware().compression,
            settings=config.settings(),
            ssl=self._context,
            close_timeout=config.drain,
            max_connections=config.max_connections,
            max_connections_per_address=config.max_connections_per_address,
            memory_budget=config.memory_budget,
            backlog=BACKLOG,
        ) as gate:
            on_signals(lambda: self._reload(gate), "SIGHUP")
            async with contextlib.AsyncExitStack() as beside:
                if self._boxes:
                    box = self._boxes[worker]
                    await beside.enter_async_context(counters_at(box, gate.stats))
                accepting()
                await stop.wait()

    def _reload(self, gate: Gateway) -> None:
        try:
            config = _config(self._arguments)
            config.check()
            known = self._known.copy()
            routes = config.routes(gate.table, known)
            if self._context is not None and config.certfile is not None:
                # Elsewhere first: a key that does not fit, as while they are renewed one after the
                # other, would take the old one out of the context that serves.
                tls.server_context(config.certfile, config.keyfile)
                self._context.load_cert_chain(config.certfile, config.keyfile)
        except (OSError, ValueError) as error:
            logger.error("nothing was read again: %s", error)
            return
        gate.reroute(routes)
        kept = set(routes.backends)
        self._known = {key: backend for key, backend in known.items() if backend in kept}
        logger.warning("the routes were read again")
        others = [
            each.name
            for each in fields(Config)
            if each.name not in READ_AGAIN
            and getattr(config, each.name) != getattr(self._config, each.name)
        ]
        if others:
            logger.warning("not taken before a restart: %s", ", ".join(others))
