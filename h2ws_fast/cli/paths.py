"""What `h2ws-fast echo` does on which path."""

from __future__ import annotations

import asyncio
import json
import math
import os
import time
import urllib.parse
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from .. import COMPILED, ConnectionClosed, LocalProtocolError, Request, Response, Server, WebSocket
from ..engine.closing import check_close
from . import version
from .counters import json_response

__all__ = ["Counters", "Paths"]

PAGE = Path(__file__).with_name("page.html")
CHUNK = bytes(range(256)) * 256
MAX_BYTES = 2**32
# The page is whole: it may load nothing, and talk to nobody but this server.
PAGE_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "img-src data:; connect-src 'self' ws: wss:"
    ),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}


class Query:
    """The parameters of a path, with defaults; ValueError where one is no such number."""

    def __init__(self, path: str) -> None:
        self.path, _, query = path.partition("?")
        self._values = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))

    def text(self, name: str, default: str) -> str:
        """Return a parameter as it stands."""
        return self._values.get(name, default)

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number in a range."""
        text = self._values.get(name, str(default))
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ValueError(f"{name} is a number between {low} and {high}, not {text!r}")
        return int(text)

    def seconds(self, name: str, default: float) -> float:
        """Return a number of seconds."""
        text = self._values.get(name, str(default))
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 3600:
            raise ValueError(f"{name} is a number of seconds up to 3600, not {text!r}")
        return value


class PerConnection:
    """The counters of one connection."""

    __slots__ = ("address", "http", "open", "requests", "websockets")

    def __init__(self, address: Any, http: str) -> None:
        self.http = http  # "2" or "1.1"
        self.address = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address)
        self.requests = 0
        self.websockets = 0  # over HTTP/1.1 at most one
        self.open = 0  # of these, those open now

    def as_json(self) -> dict[str, Any]:
        """Return them by name."""
        return {name: getattr(self, name) for name in self.__slots__}


class Counters:
    """What this process has served."""

    def __init__(self) -> None:
        self.since = time.monotonic()
        self.connections = 0  # of which something was asked
        self.requests = 0
        self.websockets = 0
        self.refused = 0
        self._messages = 0  # on connections that are over
        self._octets = 0
        self._by_wire: dict[Any, PerConnection] = {}
        self._prune_at = 100

    def connection(self, asked: Request | WebSocket) -> PerConnection:
        """Return the counters of the connection of a request or WebSocket."""
        wire = asked.wire
        found = self._by_wire.get(wire)
        if found is None:
            if len(self._by_wire) >= self._prune_at:
                self._prune_at = 2 * len(self.live()) + 100
            found = self._by_wire[wire] = PerConnection(asked.remote_address, asked.http_version)
            self.connections += 1
        return found

    def closed(self, ws: WebSocket) -> None:
        """A WebSocket is over."""
        found = self._by_wire.get(ws.wire)
        if found is not None:  # else its connection was over, and forgotten
            found.open -= 1

    def live(self) -> list[PerConnection]:
        """Return the connections that are there now, and forget the others."""
        for wire in [wire for wire in self._by_wire if wire.lost]:
            del self._by_wire[wire]
            messages, octets = _carried(wire)
            self._messages += messages
            self._octets += octets
        return list(self._by_wire.values())

    def carried(self) -> tuple[int, int]:
        """Return how many messages, and octets of them and of HTTP/2 in all, have come in.

        The engine counts them anyway: the callback of each message need not.
        """
        each = [_carried(wire) for wire in self._by_wire]
        messages, octets = (sum(column) for column in zip((0, 0), *each, strict=True))
        return self._messages + messages, self._octets + octets

    def as_json(self, request: Request) -> dict[str, Any]:
        """Return all of them by name; `this_connection` is that of the request."""
        mine = self.connection(request)
        live = self.live()
        messages, octets = self.carried()
        return {
            "version": version(),
            "engine": "compiled" if COMPILED else "pure",
            "process": os.getpid(),
            "seconds": round(time.monotonic() - self.since, 3),
            "connections": self.connections,
            "connections_open": len(live),
            "requests": self.requests,
            "websockets": self.websockets,
            "websockets_open": sum(each.open for each in live),
            "websockets_refused": self.refused,
            "messages": messages,
            "octets_received": octets,
            "this_connection": mine.as_json(),
        }

    def summary(self) -> str:
        """Say the most important ones in one line."""
        messages, _ = self.carried()
        return (
            f"{_count(self.connections, 'connection')}, {_count(self.requests, 'request')}, "
            f"{_count(self.websockets, 'WebSocket')}, {_count(messages, 'message')} "
            f"in {time.monotonic() - self.since:.1f} s"
        )


def _carried(wire: Any) -> tuple[int, int]:
    stats = wire.conn.stats()
    return stats.get("messages_received", 0), stats.get("octets_received", 0)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


class Paths:
    """The server's callbacks: for `serve(**interface(), process_request=..., on_request=...)`."""

    def __init__(self, api: str) -> None:
        self.api = api
        self.counters = Counters()
        self.server: Server | None = None  # once it serves
        self._tasks: set[asyncio.Task[None]] = set()

    def interface(self) -> dict[str, Any]:
        """Return what `serve` takes for the chosen interface."""
        if self.api == "await":
            return {"handler": self.handle}
        return {
            "on_open": self.on_open,
            "on_message": self.on_message,
            "on_close": self.on_close,
        }

    # -- the opening handshake --------------------------------------------------------------------

    def select_subprotocol(self, ws: WebSocket, offered: Sequence[str]) -> str | None:
        """Take the first."""
        return offered[0] if offered else None

    def process_request(self, ws: Any, request: Request) -> Response | None:
        """Refuse where the path asks for it, or where its parameters are wrong."""
        query = Query(request.path)
        try:
            if query.path == "/reject":
                status = query.integer("status", 403, 300, 599)
                self.counters.refused += 1
                # Without a body unless told: Firefox takes another connection after a body.
                # A 304 has none.
                return _text(status, "" if status == 304 else query.text("body", ""))
            if query.path == "/close":
                _check_close(query)
            elif query.path == "/push":
                _push(query)
        except ValueError as error:
            self.counters.refused += 1
            return _text(400, f"{error}\n")
        return None

    # -- WebSockets -------------------------------------------------------------------------------

    def _opened(self, ws: WebSocket) -> str:
        self.counters.websockets += 1
        mine = self.counters.connection(ws)
        mine.websockets += 1
        mine.open += 1
        return str(ws.request.path).partition("?")[0]

    def _closed(self, ws: WebSocket) -> None:
        self.counters.closed(ws)

    async def _greet(self, ws: WebSocket, path: str) -> None:
        # What a path does of itself. Echoing goes on beside it.
        query = Query(ws.request.path)
        try:
            if path == "/close":
                code, reason, after = _check_close(query)
                if after:
                    await asyncio.sleep(after)
                await ws.close(code, reason)
            elif path == "/push":
                count, size, interval = _push(query)
                for number in range(count):
                    if number:
                        await asyncio.sleep(interval)
                    await ws.send(bytes(size))
        except ConnectionClosed:
            pass

    def on_open(self, ws: WebSocket) -> None:
        """The callback interface: a WebSocket is open."""
        path = self._opened(ws)
        if path == "/headers":
            ws.send(_headers(ws.request))
        elif path == "/never-reads":
            ws.pause_reading()
        elif path in ("/close", "/push"):
            ws.greeting = self._spawn(self._greet(ws, path))

    def on_message(self, ws: WebSocket, message: str | bytes) -> None:
        """The callback interface: a message."""
        sent = ws.send(message)
        if not sent.done():
            # The client does not read what it is sent: until it does, we do not read either.
            ws.pause_reading()
            self._spawn(self._resume(ws, sent))

    def on_close(self, ws: WebSocket) -> None:
        """The callback interface: a WebSocket is over."""
        self._closed(ws)
        greeting = getattr(ws, "greeting", None)
        if greeting is not None:
            greeting.cancel()

    async def _resume(self, ws: WebSocket, sent: Any) -> None:
        try:
            await sent
        except ConnectionClosed:
            return
        except LocalProtocolError:
            ws.close(1013, "too much waits on this connection")
            return
        ws.resume_reading()

    async def handle(self, ws: WebSocket) -> None:
        """The interface with `await`: a WebSocket, from beginning to end."""
        path = self._opened(ws)
        greeting = None
        try:
            if path == "/headers":
                await ws.send(_headers(ws.request))
            elif path == "/never-reads":
                await ws.wait_closed()
            elif path in ("/close", "/push"):
                greeting = self._spawn(self._greet(ws, path))
            async for message in ws:
                await ws.send(message)
        except ConnectionClosed:
            pass
        except LocalProtocolError:
            await ws.close(1013, "too much waits on this connection")
        finally:
            self._closed(ws)
            if greeting is not None:
                greeting.cancel()

    def _spawn(self, coroutine: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- ordinary requests ------------------------------------------------------------------------

    async def on_request(self, request: Request) -> Response:
        """Answer an ordinary request."""
        self.counters.requests += 1
        self.counters.connection(request).requests += 1
        path = request.path.partition("?")[0]
        allowed = "POST" if path == "/echo" else "GET, HEAD"
        if request.method not in allowed.split(", "):
            known = path in ("/", "/echo", "/stats") or path.startswith("/bytes/")
            if known:
                return _text(405, f"use {allowed}\n", {"allow": allowed})
        if path == "/":
            return Response(200, PAGE_HEADERS, PAGE.read_bytes())
        if path == "/stats":
            counters = self.counters.as_json(request)
            if self.server is not None:
                counters["server"] = self.server.stats()
            return json_response(counters)
        if path == "/echo":
            headers = {
                name: request.headers[name]
                for name in ("content-type", "content-length")
                if name in request.headers
            }
            return Response(200, headers, aiter(request))
        if path.startswith("/bytes/"):
            text = path.removeprefix("/bytes/")
            digits = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_BYTES))
            if not digits or int(text) > MAX_BYTES:
                return _text(400, f"/bytes/N takes a number up to {MAX_BYTES}\n")
            headers = {"content-type": "application/octet-stream", "content-length": text}
            return Response(200, headers, _octets(int(text)))
        return _text(404, "not here: see h2ws-fast echo --help\n")


async def _octets(count: int) -> AsyncIterator[bytes]:
    for _ in range(count // len(CHUNK)):
        yield CHUNK
    yield CHUNK[: count % len(CHUNK)]


def _text(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    kind = {"content-type": "text/plain; charset=utf-8"} if text else {}
    return Response(status, {**kind, **(headers or {})}, text)


def _headers(request: Request) -> str:
    fields = {
        ":method": request.method,
        ":protocol": request.protocol,
        ":scheme": request.scheme,
        ":authority": request.authority,
        ":path": request.path,
    }
    return json.dumps({**fields, **request.headers})


def _check_close(query: Query) -> tuple[int, str, float]:
    code = query.integer("code", 1000, 0, 9999)
    reason = query.text("reason", "")
    check_close(code, reason, False)  # type: ignore[no-untyped-call]  # inside the engine
    return code, reason, query.seconds("after", 0.0)


def _push(query: Query) -> tuple[int, int, float]:
    return (
        query.integer("count", 10, 0, 10**9),
        query.integer("size", 100, 0, 16 * 2**20),
        query.seconds("interval", 0.1),
    )
