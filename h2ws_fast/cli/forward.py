"""`h2ws-fast forward`: ports of this machine that lead through a server."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ..aio import tls
from ..errors import H2WSError, InvalidURI
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
from ..forward.link import words
from ..forward.listener import MAX_CONNECTIONS
from . import CommandError, loops, numbers, options, twin, version
from .credentials import IN_THE_CLEAR, basic, secret, user, without_password
from .field import field
from .signals import on_signals, unless

__all__ = ["add_parser", "run"]

T = TypeVar("T")

logger = logging.getLogger("h2ws_fast.forward")

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
    add(
        "--user",
        type=user,
        metavar="NAME:PASSWORD",
        help="say who asks, where the URL does not; @FILE: the first line of a file",
    )
    add("--token", type=secret, metavar="TOKEN", help="the same: Bearer TOKEN; or @FILE")
    add(
        "--header",
        action="append",
        default=[],
        type=field,
        metavar="'NAME: VALUE'",
        help="one more header field with each tunnel (repeatable)",
    )
    add("--connections", type=numbers.limit, default=1, metavar="N", help="stripe over N (1)")
    add(
        "--max-connections",
        type=numbers.limit,
        default=MAX_CONNECTIONS,
        metavar="N",
        help=f"at once to each port of -L and -D ({MAX_CONNECTIONS})",
    )
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
    logger.addHandler(handler)
    loop_name, factory = loops.choose(arguments.loop)
    if not arguments.quiet:
        print(f"h2ws-fast {version()} forward: {twin()} engine, {loop_name}", flush=True)
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(_main(arguments))
    except InvalidURI as error:
        raise CommandError(f"{without_password(arguments.url)}: {error.problem}") from error
    except (OSError, H2WSError, ValueError) as error:
        raise CommandError(f"{without_password(arguments.url)}: {words(error)}") from error
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
    fields = [*link.headers, *arguments.header]
    known = [value for name, value in fields if name.lower() == "authorization"]
    if arguments.user is not None:
        known.append(basic(*arguments.user))
    if arguments.token is not None:
        known.append(f"Bearer {arguments.token}")
    if len(known) > 1:
        raise CommandError("say who asks once: in the URL, by --user, by --token or by --header")
    others = [field for field in arguments.header if field[0].lower() != "authorization"]
    link.headers = [*(("authorization", value) for value in known), *others]
    if known and arguments.url.lower().startswith(("http://", "ws://")):
        logger.warning(IN_THE_CLEAR)
    report = Report(arguments, link, remotes)
    on_signals(stop.set, "SIGINT", "SIGTERM")
    on_signals(report.tell, "SIGUSR1")
    await unless(stop, _forward(link, report))
    if not arguments.quiet:
        report.tell()


async def _forward(link: Link, report: Report) -> None:
    async with link:
        try:
            await report.listen()
            await asyncio.get_running_loop().create_future()
        finally:
            await report.close()


@contextlib.contextmanager
def listening_on(bind: str, port: int) -> Iterator[None]:
    """Say where it cannot."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise CommandError(f"cannot listen on {bind}:{port}: {why}") from error


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
        most = self._arguments.max_connections
        for rule in self._arguments.tcp:
            forward = TcpForward(link, rule, max_connections=most)
            self._listeners.append(forward)
            with listening_on(rule.bind, rule.port):
                port = forward.listen(rule.bind, rule.port)
            self._add(f"TCP {rule.bind}:{port} -> {rule}", forward.counts)
        for rule in self._arguments.udp:
            packets = UdpForward(link, rule)
            self._listeners.append(packets)
            with listening_on(rule.bind, rule.port):
                port = packets.listen()
            self._add(f"UDP {rule.bind}:{port} -> {rule}", packets.counts)
        for bind, port in self._arguments.socks:
            socks = Socks(link, max_connections=most)
            self._listeners.append(socks)
            with listening_on(bind, port):
                port = socks.listen(bind, port)
            self._add(f"SOCKS5 {bind}:{port}", socks.counts)
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
            f"{link.failures} attempts failed",
            flush=True,
        )
        for name, counts in self._all:
            print(f"{name}: {counts}", flush=True)

    async def close(self) -> None:
        """Stop listening."""
        for listener in self._listeners:
            await listener.close()
