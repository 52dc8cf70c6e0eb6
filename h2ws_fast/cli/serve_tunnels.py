"""`h2ws-fast serve-tunnels`: lead clients to the targets that were allowed, and to no others."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import sys
from typing import Any

from ..aio.server.dialer import Dialer
from ..aio.server.notices import Notices
from ..aio.server.places import Places
from ..aio.server.server import serve
from ..engine import Settings
from ..forward import NamedStreams, PortRange, Ports
from ..forward.lease import LISTEN
from ..forward.rules import stream_name, target
from ..masque import UdpProxy
from . import CommandError, loops, numbers, options, twin, version
from .certificate import serving_context
from .credentials import IN_THE_CLEAR, check_from, secret, user
from .listener import BACKLOG, bind, url_of
from .signals import on_signals

__all__ = ["add_parser", "run"]

EPILOG = """\
Clients are `h2ws-fast forward`, or whatever speaks CONNECT over HTTP/2 and connect-udp (RFC 9298).
Ctrl-C or SIGTERM end it, SIGUSR1 tells what was served so far.

    h2ws-fast serve-tunnels --allow db.example:5432 --allow 9.9.9.9:53 --user me:secret"""

logger = logging.getLogger("h2ws_fast.cli.serve_tunnels")

RESERVED = ("websocket", "connect-udp", LISTEN)

# Tunnels have no end of their own that could be waited for.
CLOSE_S = 1.0


def add_parser(commands: Any) -> None:
    """Describe the command's options."""
    parser = commands.add_parser(
        "serve-tunnels",
        help="lead clients to targets that were allowed, over TCP and UDP",
        description="Dial TCP connections (CONNECT) and send UDP packets (connect-udp) for clients, "
        "to the targets named by --allow and to nothing else; listen for them on ports that were "
        "allowed, and on no others.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--allow",
        action="append",
        default=[],
        type=_target,
        metavar="HOST:PORT",
        help="a target of clients, by the name they ask for (repeatable)",
    )
    add(
        "--private",
        action="store_true",
        help="targets may have addresses of this machine and of private networks",
    )
    add(
        "--stream",
        action="append",
        default=[],
        type=_stream,
        metavar="TOKEN:/PATH=HOST:PORT",
        help="where streams by this name lead, of which clients need not know (repeatable)",
    )
    add(
        "--allow-listen",
        action="append",
        default=[],
        type=_listening,
        metavar="[BIND:]PORT[-LAST]",
        help="where clients may have this end listen for them, on 127.0.0.1 unless BIND says "
        "otherwise; port 0 is a free one (repeatable)",
    )
    add("--no-udp", action="store_true", help="TCP alone")
    add("--listen", default="127.0.0.1:8443", metavar="HOST:PORT", help="(127.0.0.1:8443)")
    options.certificate(parser)
    add(
        "--user",
        action="append",
        default=[],
        type=user,
        metavar="NAME:PASSWORD",
        help="who may come in; @FILE: the first line of a file (repeatable)",
    )
    add(
        "--token",
        action="append",
        default=[],
        type=secret,
        help="what lets in, too: authorization: Bearer TOKEN; or @FILE (repeatable)",
    )
    add(
        "--deny",
        action="append",
        default=[],
        type=_network,
        metavar="NETWORK",
        help="addresses that no target may have, as 192.0.2.0/24 (repeatable)",
    )
    add("--max-sockets", type=numbers.limit, default=1024, metavar="N", help="to targets (1024)")
    add(
        "--max-sockets-per-client",
        type=numbers.limit,
        default=256,
        metavar="N",
        help="of one address, of IPv6 a /64 (256)",
    )
    add(
        "--idle-timeout",
        type=numbers.limit,
        metavar="SECONDS",
        help="of TCP, without an octet (no limit)",
    )
    add(
        "--max-listeners",
        type=numbers.limit,
        default=16,
        metavar="N",
        help="ports that one client may have listened on (16)",
    )
    add(
        "--rate",
        type=numbers.limit,
        metavar="OCTETS",
        help="of UDP, a second, from each client to targets (no limit)",
    )
    options.event_loop(parser)
    parser.set_defaults(run=run)


def _target(text: str) -> str:
    try:
        return target(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _stream(text: str) -> tuple[str, str, str]:
    name, _, leads = text.rpartition("=")
    try:
        token, path = stream_name(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"TOKEN:/PATH=HOST:PORT, not {text!r}: {error}") from None
    if token in RESERVED:
        raise argparse.ArgumentTypeError(f"{token} has a meaning of its own")
    return token, path, _target(leads)


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _listening(text: str) -> str:
    try:
        PortRange.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"[BIND:]PORT[-LAST], not {text!r}: {error}") from None
    return text


def run(arguments: argparse.Namespace) -> int:
    """Run the command until SIGINT or SIGTERM."""
    if not (arguments.allow or arguments.stream or arguments.allow_listen):
        raise CommandError("nothing is allowed: give --allow, --stream or --allow-listen")
    names: set[tuple[str, str]] = set()
    for token, path, _ in arguments.stream:
        if (token, path) in names:
            raise CommandError(f"--stream {token}:{path} is given twice: it leads to one place")
        names.add((token, path))
    host, _, digits = arguments.listen.rpartition(":")
    host = host.strip("[]")
    try:
        port = numbers.port(digits)
    except argparse.ArgumentTypeError as error:
        raise CommandError(f"--listen: {error}") from None
    if arguments.cleartext and (arguments.certfile or arguments.keyfile):
        raise CommandError("--cleartext goes without a certificate and a key")
    context, note = None, "cleartext"
    if not arguments.cleartext:
        context, note = serving_context(arguments.certfile, arguments.keyfile, host)
    loop_name, factory = loops.choose(arguments.loop)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    all_of_it = logging.getLogger("h2ws_fast")
    all_of_it.addHandler(handler)
    all_of_it.setLevel(logging.WARNING)
    for name in ("h2ws_fast.aio.dialer", "h2ws_fast.masque", "h2ws_fast.forward"):
        logging.getLogger(name).setLevel(logging.INFO)  # who was refused
    listener = bind(host, port)
    print(
        f"h2ws-fast {version()} serve-tunnels: {twin()} engine, {loop_name}, {note}, "
        f"{len(arguments.allow) + len(arguments.stream)} targets",
        flush=True,
    )
    if not arguments.user and not arguments.token:
        print("whoever reaches this port may use it: --user and --token ask who it is", flush=True)
    elif arguments.cleartext:
        print(IN_THE_CLEAR, flush=True)
    with listener, asyncio.Runner(loop_factory=factory) as runner:
        url = url_of(listener, host, secure=context is not None)
        runner.run(_main(arguments, listener, context, url))
    return 0


def told(taker: Dialer | UdpProxy | Ports) -> str:
    """The counters of what serves a token, in words."""
    if isinstance(taker, Dialer):
        return f"{taker.sockets} sockets, {taker.refused} refused"
    counters = taker.stats()
    return ", ".join(f"{counters[name]} {name.replace('_', ' ')}" for name in counters)


async def _main(arguments: argparse.Namespace, listener: Any, context: Any, url: str) -> None:
    stop = asyncio.Event()
    on_signals(stop.set, "SIGINT", "SIGTERM")
    places = Places(arguments.max_sockets, arguments.max_sockets_per_client)
    policy: dict[str, Any] = {
        "allow": arguments.allow,
        "ports": None,
        "private": arguments.private,
        "deny": arguments.deny,
        "places": places,
    }
    patience = {"idle_timeout": arguments.idle_timeout}
    notices = Notices(logger, logging.WARNING, asyncio.get_running_loop().time)
    tunnels: dict[str, Dialer | UdpProxy | Ports] = {}
    named: dict[str, dict[str, str]] = {}
    for token, path, leads in arguments.stream:
        named.setdefault(token, {})[path] = leads
    for token, targets in named.items():
        tunnels[token] = NamedStreams(targets, deny=arguments.deny, places=places, **patience)
    if not arguments.no_udp:
        tunnels["connect-udp"] = UdpProxy(**policy, rate=arguments.rate)
    dialer = Dialer(**policy, **patience)
    if arguments.allow_listen:
        tunnels[LISTEN] = Ports(
            arguments.allow_listen, max_listeners_per_client=arguments.max_listeners
        )

    def tell() -> None:
        print(f"CONNECT: {told(dialer)}", flush=True)
        for token, taker in tunnels.items():
            print(f"{token}: {told(taker)}", flush=True)

    on_signals(tell, "SIGUSR1")
    async with serve(
        sock=listener,
        ssl=context,
        http=("h2",),
        connect=dialer,
        tunnels=tunnels,
        process_request=check_from(arguments.user, arguments.token, notices),
        settings=Settings(
            enable_connect_protocol=bool(tunnels),
            enable_bidirectional_connect=bool(arguments.allow_listen),
        ),
        backlog=BACKLOG,
        close_timeout=CLOSE_S,
    ):
        print(f"listening on {url}", flush=True)
        await stop.wait()
