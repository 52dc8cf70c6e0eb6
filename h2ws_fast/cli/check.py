"""`h2ws-fast check`: what a server, or the chain of proxies before it, really does."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import ssl
import sys
import time
from typing import Any

from .. import H2WSError, InvalidStatus, InvalidURI, Session
from ..aio import tls, uri
from ..printable import printable
from ..trace import Tracer
from . import CommandError, loops, options, version
from .examination import CHECKS, Examination
from .field import field
from .handshakes import Asked
from .probe import Probe
from .reach import Streams, reach, reconnect
from .remedies import status_remedy
from .report import Report

__all__ = ["add_parser", "check", "run"]

EPILOG = """\
each line has a verdict: ok, warning (it works, and somebody will have trouble), failed, skipped
exit code: 0 nothing failed, 1 something did, 2 wrong usage, 3 the server was not reached"""

USAGE = 2
CLOSE_S = 2.0
FAREWELL_S = 0.1  # for the end of TLS, of which nothing is to be learned


def add_parser(commands: Any) -> None:
    """Describe the command's options."""
    parser = commands.add_parser(
        "check",
        help="tell what a server or proxy does with WebSockets over HTTP/2",
        description="Look at what a server, or the proxies before it, really do with WebSockets "
        "over HTTP/2: TLS, SETTINGS, the handshake, messages, the close, and the connection "
        "afterwards; and whether HTTP/1.1 would work.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("url", metavar="URL", help="wss://host/path, ws:// for cleartext; https:// and http:// too")
    options.trust(parser)
    add("--subprotocol", action="append", default=[], metavar="NAME", help="offer it (repeatable)")
    add("--origin", help="the Origin field, which browsers always send")
    add(
        "--header",
        action="append",
        default=[],
        type=field,
        metavar="'NAME: VALUE'",
        help="one more header field (repeatable)",
    )
    echoes = parser.add_mutually_exclusive_group()
    echoes.add_argument(
        "--echo",
        action="store_true",
        default=None,
        help="the server echoes: a missing echo is a failure (without: it is skipped)",
    )
    echoes.add_argument(
        "--no-echo",
        action="store_false",
        dest="echo",
        help="the server does not echo: send it no messages",
    )
    add(
        "--timeout",
        type=_seconds,
        default=5.0,
        metavar="SECONDS",
        help="how long each step may take (5)",
    )
    add("--json", action="store_true", help="print one JSON object at the end")
    add("--trace", action="store_true", help="print every frame of HTTP/2 both ways, to stderr")
    options.event_loop(parser)
    parser.set_defaults(run=run)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError("more than 0 seconds, and an hour at most")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """Run the command; the exit code is that of the report."""
    try:
        target = uri.parse(arguments.url)
    except InvalidURI as error:
        raise CommandError(str(error), USAGE) from error
    context = _context(arguments, target)
    _, factory = loops.choose(arguments.loop)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # servers say what they like
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    report = Report(lambda line: print(line, flush=True), color=color)
    if arguments.json:
        report = Report(lambda line: None)
    else:
        print(f"{arguments.url}, by h2ws-fast {version()}\n", flush=True)
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(check(arguments, target, context, report))
    except (ValueError, TypeError) as error:  # a field or subprotocol that cannot be sent
        raise CommandError(str(error), USAGE) from error
    if arguments.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        print(f"\n{report.summary()}", flush=True)
    return report.exit_code


def _context(arguments: argparse.Namespace, target: uri.Target) -> ssl.SSLContext | None:
    if not target.secure:
        if arguments.insecure or arguments.cafile:
            raise CommandError("--insecure and --cafile are for wss:// and https://", USAGE)
        return None
    try:
        return tls.client_context(verify=not arguments.insecure, cafile=arguments.cafile)
    except OSError as error:  # an ssl.SSLError is one too
        raise CommandError(
            f"cannot load {arguments.cafile}: {error.strerror or error}", USAGE
        ) from error


async def check(
    arguments: argparse.Namespace,
    target: uri.Target,
    context: ssl.SSLContext | None,
    report: Report,
) -> None:
    """Look at everything there is to look at; each finding goes into the report."""
    headers = [*target.headers, *arguments.header, ("user-agent", f"h2ws-fast/{version()}")]
    if arguments.origin is not None:
        headers.append(("origin", arguments.origin))
    headers = [(name.lower(), value) for name, value in headers]
    asked = Asked(headers, arguments.subprotocol, arguments.echo, arguments.timeout)
    report.facts["url"] = arguments.url

    def probe(streams: Streams) -> Probe:
        tracer = None
        if arguments.trace:
            tracer = Tracer(_trace, color=sys.stderr.isatty())
        return Probe(*streams, secure=target.secure, tracer=tracer)

    async def another() -> Probe | None:
        streams = await reconnect(target, context, arguments.timeout)
        return None if streams is None else probe(streams)

    examination = Examination(target, asked, report, another)
    streams = await reach(target, context, report, arguments.timeout)
    if report.unreached:
        report.skip("not reached", *CHECKS, "http/1.1")
    else:
        if streams is not None:
            await examination.run(probe(streams))
        else:
            report.skip("no HTTP/2", *CHECKS)
        await _fall_back(target, context, asked, examination.works, report)
    report.flush()


def _trace(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def _fall_back(
    target: uri.Target,
    context: ssl.SSLContext | None,
    asked: Asked,
    works: bool,
    report: Report,
) -> None:
    # A WebSocket over HTTP/1.1, on a connection of its own.
    url = f"{target.scheme}://{target.authority}"
    session = Session(
        url,
        ssl=context,
        http="h1",
        open_timeout=asked.seconds,
        close_timeout=min(CLOSE_S, asked.seconds),
        ping_interval=None,
    )
    begun = time.monotonic()
    try:
        try:
            await session.connect()
            ws = await session.websocket(
                target.path,
                subprotocols=asked.subprotocols,
                additional_headers=[each for each in asked.headers if each[0] != "user-agent"],
                user_agent_header=f"h2ws-fast/{version()}",
            )
            took = time.monotonic() - begun
            await ws.close()
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    await session.close()
    except InvalidStatus as error:
        status = error.response.status
        seen, remedy = f"status {status} to GET with Upgrade", status_remedy(status)
    except TimeoutError:
        seen, remedy = f"no answer to GET with Upgrade within {asked.seconds:g} s", ""
    except (H2WSError, OSError) as error:
        seen, remedy = printable(error) or type(error).__name__, ""
    else:
        report.ok("http/1.1", f"a WebSocket opens over it, closed with {ws.close_code}", took)
        return
    if works:
        report.warn(
            "http/1.1",
            seen,
            "browsers use it for a WebSocket unless they have an HTTP/2 connection to the origin "
            f"already, and Safari always. {remedy}".rstrip(" ."),
        )
    else:
        report.fail("http/1.1", seen, remedy or "no WebSocket of any kind is served here")
