"""`h2ws-fast forward`: ports of this machine that lead through a server."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from ..aio import tls
from ..errors import H2WSError
from ..forward import (
    Link,
    Remotes,
    Rule,
    Socks,
    TcpForward,
    UdpForward,
    remote_rule,
    socks_rule,
    tcp_rule,
)
from ..forward.counts import Counts
from . import CommandError, loops, numbers, options, twin, version
from .field import field
from .signals import on_signals

__all__ = ["add_parser", "run"]

T = TypeVar("T")

EPILOG = """\
The server is `h2ws-fast serve-tunnels`, or any proxy for CONNECT over HTTP/2 (-L, -D) and for
connect-udp, RFC 9298 (-U). Ctrl-C or SIGTERM end it, SIGUSR1 tells what was forwarded so far.

    h2ws-fast forward https://me:secret@gate.example -L 5432:db.internal:5432 -D 1080"""


def add_parser(commands: Any) -> None:
    """Describe the command's options."""
    parser = commands.add_parser(
        "forward",
        help="lead local ports through a server, and its ports here: TCP, UDP and SOCKS5",
        description="Listen on local ports and lead what comes through a server, or have the server "
        "listen and lead what comes there here, everything over one HTTP/2 connection.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("url", metavar="URL", help="the server: https://[user:password@]host[:port], or http://")
    add(
        "-L",
        dest="tcp",
        action="append",
        default=[],
        type=_reading(tcp_rule),
        metavar="[BIND:]PORT:HOST:HOSTPORT",
        help="TCP: connections to PORT here go to HOST:HOSTPORT there; with TOKEN:/PATH in place of "
        "HOST:HOSTPORT they are streams by that name, and the server knows where to (repeatable)",
    )
    add(
        "-U",
        dest="udp",
        action="append",
        default=[],
        type=_reading(Rule.parse),
        metavar="[BIND:]PORT:HOST:HOSTPORT",
        help="UDP: the same of packets (repeatable)",
    )
    add(
        "-D",
        dest="socks",
        action="append",
        default=[],
        type=_reading(socks_rule),
        metavar="[BIND:]PORT",
        help="SOCKS5: clients say where to go; names are resolved there (repeatable)",
    )
    add(
        "-R",
        dest="remote",
        action="append",
        default=[],
        type=_reading(remote_rule),
        metavar="[BIND:]PORT:HOST:HOSTPORT",
        help="TCP, the other way: connections to PORT there go to HOST:HOSTPORT here (repeatable)",
    )
    add("--token", metavar="TOKEN", help="say who asks: authorization: Bearer TOKEN")
    add(
        "--header",
        action="append",
        default=[],
        type=field,
        metavar="'NAME: VALUE'",
        help="one more header field with each tunnel (repeatable)",
    )
    add("--connections", type=numbers.limit, default=1, metavar="N", help="stripe over N (1)")
    options.trust(parser)
    add("--quiet", action="store_true", help="say nothing but what fails")
    options.event_loop(parser)
    parser.set_defaults(run=run)


def _reading(parse: Callable[[str], T]) -> Callable[[str], T]:
    # Its ValueErrors as argparse tells them.
    def read(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def run(arguments: argparse.Namespace) -> int:
    """Run the command until SIGINT or SIGTERM."""
    if not (arguments.tcp or arguments.udp or arguments.socks or arguments.remote):
        raise CommandError("nothing is to be forwarded: give -L, -U, -D or -R")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("h2ws-fast forward: %(message)s"))
    logging.getLogger("h2ws_fast.forward").addHandler(handler)
    loop_name, factory = loops.choose(arguments.loop)
    if not arguments.quiet:
        print(f"h2ws-fast {version()} forward: {twin()} engine, {loop_name}", flush=True)
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(_main(arguments))
    except (OSError, H2WSError, ValueError) as error:
        raise CommandError(f"{arguments.url}: {error}") from error
    return 0


async def _main(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    remotes = Remotes(arguments.remote)
    options: dict[str, Any] = {}
    if remotes.all:
        options["tunnels"] = remotes.tunnels
    if arguments.insecure or arguments.cafile:
        options["ssl"] = tls.client_context(cafile=arguments.cafile, verify=not arguments.insecure)
    link = Link(arguments.url, connections=arguments.connections, **options)
    if arguments.token is not None:
        link.headers = [*link.headers, ("authorization", f"Bearer {arguments.token}")]
    link.headers = [*link.headers, *arguments.header]
    report = Report(arguments, link, remotes)
    on_signals(stop.set, "SIGINT", "SIGTERM")
    on_signals(report.tell, "SIGUSR1")
    async with link:
        try:
            await report.listen()
            await stop.wait()
        finally:
            await report.close()
    if not arguments.quiet:
        report.tell()


class Report:
    """Everything that is forwarded, and what is told of it."""

    def __init__(self, arguments: argparse.Namespace, link: Link, remotes: Remotes) -> None:
        self._arguments = arguments
        self._link = link
        self._remotes = remotes
        self._all: list[tuple[str, Counts]] = []
        self._listeners: list[Any] = []

    async def listen(self) -> None:
        """Begin to listen, and say where."""
        link = self._link
        for rule in self._arguments.tcp:
            forward = TcpForward(link, rule)
            self._listeners.append(forward)
            port = forward.listen(rule.bind, rule.port)
            self._add(f"TCP {rule.bind}:{port} -> {rule}", forward.counts)
        for rule in self._arguments.udp:
            packets = UdpForward(link, rule)
            self._listeners.append(packets)
            self._add(f"UDP {rule.bind}:{packets.listen()} -> {rule}", packets.counts)
        for bind, port in self._arguments.socks:
            socks = Socks(link)
            self._listeners.append(socks)
            self._add(f"SOCKS5 {bind}:{socks.listen(bind, port)}", socks.counts)
        await self._remotes.listen(link)
        for remote in self._remotes.all:
            self._add(f"REMOTE {remote.listening_on} -> {remote.rule}", remote.counts)
        if not self._arguments.quiet:
            print("ready", flush=True)

    def _add(self, name: str, counts: Counts) -> None:
        self._all.append((name, counts))
        if not self._arguments.quiet:
            print(f"forwarding {name}", flush=True)

    def tell(self) -> None:
        """Print what was forwarded so far."""
        link = self._link
        print(
            f"{link.connected} connections to the server, {link.connects} made in all, "
            f"{link.failures} attempts failed"
        )
        for name, counts in self._all:
            print(f"{name}: {counts}", flush=True)

    async def close(self) -> None:
        """Stop listening."""
        for listener in self._listeners:
            await listener.close()
