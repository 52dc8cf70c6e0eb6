"""`h2ws-fast connect`: a WebSocket by hand."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import socket
import ssl
import sys
import threading
from typing import Any, TypeAlias

from .. import (
    AlpnError,
    ConnectionClosed,
    ConnectionTerminated,
    ExtendedConnectUnsupported,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    LocalProtocolError,
    Session,
    StreamReset,
    WebSocket,
)
from ..aio import tls, uri
from ..printable import printable
from ..trace import Tracer
from . import CommandError, loops, options, twin, version
from .field import field
from .signals import on_signals

__all__ = ["add_parser", "run"]

MAX_MESSAGE = 64 * 2**20
MAX_LINE = 255 * 2**20  # octets: what the engine queues is a little more (`Limits.max_queued`)
TOO_LONG = "a line of the input is longer than a message may be (255 MiB); nothing more is sent"
READ_SIZE = 65536

Lines: TypeAlias = "asyncio.Queue[str | CommandError | None]"  # None: the end of the input


def add_parser(commands: Any) -> None:
    """Describe the command's options."""
    parser = commands.add_parser(
        "connect",
        help="open a WebSocket and talk by hand",
        description="Open a WebSocket over HTTP/2 or HTTP/1.1. A line typed is a message sent; what comes is "
        "printed. The end of the input closes the WebSocket.",
    )
    add = parser.add_argument
    add("url", metavar="URL", help="wss://host/path, ws:// for cleartext; https:// and http:// too")
    add(
        "--http",
        choices=("auto", "h2", "h1"),
        default="auto",
        help="over HTTP/2, over HTTP/1.1, or over HTTP/2 where the server can (auto)",
    )
    add("--subprotocol", action="append", default=[], metavar="NAME", help="offer it (repeatable)")
    add("--origin", help="the Origin field")
    add(
        "--header",
        action="append",
        default=[],
        type=field,
        metavar="'NAME: VALUE'",
        help="one more header field (repeatable)",
    )
    options.trust(parser)
    add(
        "--trace",
        action="store_true",
        help="print every frame both ways, to stderr; over HTTP/2 alone",
    )
    add(
        "--wait",
        type=_seconds,
        default=0.5,
        metavar="SECONDS",
        help="at the end of the input, close once nothing has come for so long (0.5)",
    )
    options.event_loop(parser)
    parser.set_defaults(run=run)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError("seconds are a number, at least 0")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """Run the command; the exit code is 0 after a clean close."""
    loop_name, factory = loops.choose(arguments.loop)
    if _is_talkative(arguments):
        _note(f"h2ws-fast {version()} connect: {twin()} engine, {loop_name}")
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(_talk(arguments))
    except InvalidURI as error:
        raise CommandError(str(error)) from error
    except ssl.SSLCertVerificationError as error:
        raise CommandError(
            f"the certificate of {arguments.url} is not trusted: {error.verify_message}\n"
            "  for a self-signed one, such as h2ws-fast echo makes: --insecure, or --cafile PEM"
        ) from error
    except ssl.SSLError as error:
        raise CommandError(
            f"TLS with {arguments.url} failed: {error.reason or error}\n"
            "  does the server speak TLS? ws:// is for cleartext"
        ) from error
    except AlpnError as error:
        way = "--http h2" if arguments.http == "h2" else "--trace"
        raise CommandError(f"{error}\n  without {way} it goes over HTTP/1.1") from error
    except InvalidStatus as error:
        body = error.response.body
        text = body.decode("utf-8", "replace").strip() if isinstance(body, bytes) else ""
        raise CommandError(f"{error}{': ' + printable(text) if text else ''}") from error
    except (ConnectionTerminated, StreamReset) as error:
        hint = ""
        if not uri.parse(arguments.url).secure:
            hint = "\n  does the server speak HTTP in cleartext? wss:// is for TLS"
        raise CommandError(f"{error}{hint}") from error
    except (ExtendedConnectUnsupported, InvalidHandshake) as error:
        raise CommandError(str(error)) from error
    except TimeoutError as error:
        raise CommandError(f"{arguments.url} did not answer in time") from error
    except socket.gaierror as error:
        raise CommandError(f"{arguments.url}: {error.strerror}") from error
    except OSError as error:
        raise CommandError(f"cannot connect to {arguments.url}: {_reason(error)}") from error
    except (ValueError, TypeError) as error:  # a field or subprotocol that cannot be sent
        raise CommandError(str(error)) from error


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return str(error.strerror or error)


class _TracedSession(Session):
    """A session whose connections are traced."""

    def _tracer(self) -> Tracer:
        return Tracer(_note, color=sys.stderr.isatty())


def _harmless(text: str) -> str:
    """Return a peer's text as a terminal may have it: without control characters."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else f"\\x{ord(each):02x}" for each in text
    )


def _is_talkative(arguments: argparse.Namespace) -> bool:
    # Where input is piped, stderr has errors and the end alone.
    return arguments.trace or sys.stdin.isatty()


def _note(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


async def _talk(arguments: argparse.Namespace) -> int:
    context = None
    session_type: type[Session] = Session
    url = arguments.url
    if uri.parse(url).secure:
        try:
            context = tls.client_context(verify=not arguments.insecure, cafile=arguments.cafile)
        except OSError as error:  # an ssl.SSLError is one too
            raise CommandError(
                f"cannot load {arguments.cafile}: {error.strerror or error}"
            ) from error
    elif arguments.insecure or arguments.cafile:
        raise CommandError("--insecure and --cafile are for wss:// and https://")
    if arguments.trace:
        session_type = _TracedSession
    http = "h2" if arguments.trace and arguments.http == "auto" else arguments.http
    session = session_type(url, ssl=context, http=http, max_size=MAX_MESSAGE, close_timeout=5)
    async with session:
        ws = await session.websocket(
            session.target.path,
            subprotocols=arguments.subprotocol,
            origin=arguments.origin,
            additional_headers=arguments.header,
            user_agent_header=f"h2ws-fast/{version()}",
        )
        code = await _converse(ws, arguments.wait, _is_talkative(arguments))
    return code


async def _converse(ws: WebSocket, wait_s: float, talkative: bool) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    on_signals(stop.set, "SIGINT", "SIGTERM")
    if talkative:
        chosen = f", subprotocol {ws.subprotocol}" if ws.subprotocol else ""
        spoken = "HTTP/2" if ws.http_version == "2" else "HTTP/1.1"
        _note(f"connected over {spoken}{chosen}; a line is a message, Ctrl-D closes")
    heard = [loop.time()]
    printing = loop.create_task(_print_messages(ws, heard))
    typing = loop.create_task(_send_lines(ws, heard, wait_s))
    stopping = loop.create_task(stop.wait())
    try:
        await asyncio.wait({printing, typing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if typing.done() and typing.exception() is not None:
            await typing
        if not printing.done():
            await ws.close()
        await printing
    finally:
        for task in (printing, typing, stopping):
            task.cancel()
    reason = f" ({printable(ws.close_reason)})" if ws.close_reason else ""
    _note(f"closed: code {ws.close_code}{reason}")
    return 0 if ws.close_code in (1000, 1001, 1005) else 1


async def _print_messages(ws: WebSocket, heard: list[float]) -> None:
    loop = asyncio.get_running_loop()
    terminal = sys.stdout.isatty()
    try:
        while True:
            message = await ws.recv()
            heard[0] = loop.time()
            if isinstance(message, str):
                print(_harmless(message) if terminal else message, flush=True)
            else:
                shown = message[:64].hex(" ", 4)
                more = " ..." if len(message) > 64 else ""
                print(f"({len(message)} octets) {shown}{more}", flush=True)
    except ConnectionClosed:
        return


async def _send_lines(ws: WebSocket, heard: list[float], wait_s: float) -> None:
    lines: Lines = asyncio.Queue(256)
    loop = asyncio.get_running_loop()
    _read_stdin(loop, lines)
    try:
        while (line := await lines.get()) is not None:
            if isinstance(line, CommandError):
                raise line
            try:
                await ws.send(line)
            except LocalProtocolError as error:  # of octets that are no UTF-8 each became three
                raise CommandError(TOO_LONG) from error
        # What comes after our Close is not for us any more: give the answers time to come.
        end = loop.time()
        while (left := max(end, heard[0]) + wait_s - loop.time()) > 0:
            await asyncio.sleep(left)
    except ConnectionClosed:
        return


def _text(pieces: list[bytes]) -> str:
    return b"".join(pieces).decode("utf-8", "replace")


def _read_stdin(loop: asyncio.AbstractEventLoop, lines: Lines) -> None:
    # A thread: the input may be a terminal, a pipe or a file, and a loop can wait only for some.
    # It is a daemon, since nothing can wake it while it reads.
    def put(line: str | CommandError | None) -> bool:
        try:
            asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()
        except Exception:  # the loop is gone
            return False
        return True

    def read() -> None:
        # Not through sys.stdin: a thread that waits in there holds a lock which Python's end wants.
        number = sys.stdin.fileno()
        pieces: list[bytes] = []  # of a line whose end is still to come
        size = 0
        try:
            while octets := os.read(number, READ_SIZE):
                *ends, rest = octets.split(b"\n")
                for end in ends:
                    pieces.append(end)
                    if not put(_text(pieces).rstrip("\r")):
                        return
                    pieces, size = [], 0
                pieces.append(rest)
                size += len(rest)
                if size > MAX_LINE:
                    put(CommandError(TOO_LONG))
                    return
        except (OSError, ValueError) as error:
            _note(f"h2ws-fast: the input cannot be read: {error}")
        if size:
            put(_text(pieces))
        put(None)

    threading.Thread(target=read, daemon=True, name="stdin").start()
