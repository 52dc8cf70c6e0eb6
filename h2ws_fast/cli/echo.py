"""`h2ws-fast echo`: a server for whoever tests a client, a proxy or a browser."""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections.abc import Callable
from typing import Any

from .. import serve
from ..aio.traced import trace_log
from ..engine import Limits
from . import CommandError, loops, numbers, options, twin, version, workers
from .certificate import serving_context
from .listener import BACKLOG, bind, url_of
from .paths import Paths
from .signals import on_signals

__all__ = ["add_parser", "run"]

MAX_MESSAGE = 16 * 2**20
# Per connection. Echoes that wait for a slow reader first hold back what it sends (Paths.on_message).
MAX_QUEUED = 64 * 2**20

PATHS = """\
any path echoes every WebSocket message and takes the first subprotocol offered; these do more:
  /close?code=4321&reason=bye&after=0.4    the server closes, after so many seconds
  /reject?status=403&body=no               the handshake is refused
  /push?count=10&size=100&interval=0.1     the server sends so many messages, and echoes
  /never-reads                             the server takes nothing: flow control stops the sender
  /headers                                 the first message is the request's headers, as JSON
ordinary requests, over HTTP/2 on the same connection:
  GET /          a page that opens a WebSocket, measures it, and shows over what it went
  GET /bytes/N   N octets
  POST /echo     the request's body, as it comes
  GET /stats     counters, as JSON"""


def add_parser(commands: Any) -> None:
    """Describe the command's options."""
    parser = commands.add_parser(
        "echo",
        help="serve WebSockets over HTTP/2 and HTTP/1.1 that echo",
        description="Serve WebSockets over HTTP/2 and HTTP/1.1 that echo every message.",
        epilog=PATHS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    add(
        "--port",
        type=numbers.port,
        default=8443,
        help="port to listen on; 0 takes a free one (8443)",
    )
    options.certificate(parser)
    add(
        "--http",
        choices=("both", "h2", "h1"),
        default="both",
        help="what is spoken: HTTP/2, HTTP/1.1 (both, by ALPN or the first octets)",
    )
    add(
        "--workers",
        type=numbers.workers,
        default=1,
        metavar="N",
        help="processes that share the port",
    )
    add(
        "--api",
        choices=("callback", "await"),
        default="callback",
        help="which interface of the library echoes (callback, the faster)",
    )
    options.admission(parser)
    add("--trace", action="store_true", help="print every frame both ways, to stderr")
    options.event_loop(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command until SIGINT or SIGTERM."""
    if arguments.cleartext and (arguments.certfile or arguments.keyfile):
        raise CommandError("--cleartext goes without --certfile and --keyfile")
    if arguments.keyfile and not arguments.certfile:
        raise CommandError("--keyfile needs --certfile")
    loop_name, _ = loops.choose(arguments.loop)
    context = None
    note = "cleartext"
    if not arguments.cleartext:
        certificate = arguments.certfile, arguments.keyfile
        context, note = serving_context(*certificate, arguments.host)
    several = arguments.workers > 1
    workers.check(arguments.workers)
    listener = bind(arguments.host, arguments.port, share=several)
    print(
        f"h2ws-fast {version()} echo: {twin()} engine, {loop_name}, {arguments.api} API, "
        f"{arguments.workers} worker{'s' if several else ''}, {note}",
        flush=True,
    )
    url = f"listening on {url_of(listener, arguments.host, secure=context is not None)}"
    with listener:
        if several:
            return workers.run(
                arguments.workers,
                listener,
                url,
                lambda own, accepting, _: _run_one(
                    arguments, context, own, accepting, goodbye=False
                ),
            )
        return _run_one(arguments, context, listener, lambda: print(url, flush=True))


def _run_one(
    arguments: argparse.Namespace,
    context: Any,
    listener: socket.socket,
    accepting: Callable[[], None],
    *,
    goodbye: bool = True,
) -> int:
    served = Paths(arguments.api)
    # A browser's spare connection answers nothing, not even the end of TLS.
    patience: dict[str, Any] = {} if context is None else {"ssl_shutdown_timeout": 0.5}

    async def main() -> None:
        stop = asyncio.Event()
        on_signals(stop.set, "SIGINT", "SIGTERM")
        async with serve(
            sock=listener,
            ssl=context,
            http=("h2", "h1") if arguments.http == "both" else arguments.http,
            origins=None,
            select_subprotocol=served.select_subprotocol,
            process_request=served.process_request,
            on_request=served.on_request,
            server_header=f"h2ws-fast/{version()}",
            limits=Limits(max_message=MAX_MESSAGE, max_queued=MAX_QUEUED, close_timeout_s=3.0),
            backlog=BACKLOG,
            logger=trace_log() if arguments.trace else None,
            max_connections=arguments.max_connections,
            max_connections_per_address=arguments.max_connections_per_address,
            memory_budget=arguments.memory_budget,
            **served.interface(),
            **patience,
        ) as server:
            served.server = server
            accepting()
            await stop.wait()
            if goodbye:
                print(f"\nclosing; {served.counters.summary()}", flush=True)
        if goodbye:
            print("goodbye", flush=True)

    _, factory = loops.choose(arguments.loop)
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
    return 0
