"""`serve`: WebSockets, requests and tunnels on one port."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from .._twins import COMPILED
from ..engine import Connection, Limits, Role, Settings
from ..engine.constants import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    INADEQUATE_SECURITY,
    INTERNAL_ERROR,
    NO_ERROR,
)
from ..engine.endpoint import Endpoint
from ..engine.events import Requested, Reset, SinkFailed, Terminated
from ..errors import (
    H2WSError,
    NegotiationError,
    StreamClosed,
    StreamReset,
)
from ..printable import printable
from . import tls
from .admission import Admission, peer_of
from .dialer import Dialer
from .h1 import H1Connection
from .http import Body, Request, Response, fields_of, text_response
from .origins import SAME_ORIGIN, Origins, SameOrigin, is_allowed
from .pace import PacedWire
from .protocol import Hub, limit_unsent, running_hub
from .sniff import Sniffer
from .tunnel import Receiving, Sending, Tunnel, iterating
from .websocket import Keeper, WebSocket, new_websocket, open_websocket

__all__ = ["SAME_ORIGIN", "SameOrigin", "Server", "serve"]

logger = logging.getLogger("h2ws_fast.aio.server")

SSL_SHUTDOWN_S = 1.0
REFUSAL_S = 1.0  # what a newcomer has to say what it speaks, to learn that it may not come in

Message: TypeAlias = "str | bytes"
OnMessage: TypeAlias = Callable[[WebSocket, Any], Any]
OnWebSocket: TypeAlias = Callable[[WebSocket], Any]
OnRequest: TypeAlias = Callable[[Request], Awaitable[Response]]
OnTunnel: TypeAlias = Callable[[Tunnel], Awaitable[Any]]


class _Options:
    """What `serve` was told, shared by all of its connections."""

    handler: OnWebSocket | None
    on_message: OnMessage | None
    on_open: OnWebSocket | None
    on_close: OnWebSocket | None
    on_request: OnRequest | None
    tunnels: dict[str, OnTunnel]
    dialer: Dialer | None
    origins: Origins
    subprotocols: list[str] | None
    select_subprotocol: Callable[[WebSocket, Sequence[str]], str | None] | None
    process_request: Callable[[Any, Request], Any] | None
    process_response: Callable[[Any, Request, Response], Any] | None
    extra_headers: list[tuple[str, str]]
    http: tuple[str, ...]
    ssl: ssl_module.SSLContext | None
    settings: Settings
    limits: Limits
    logger: Any


class _Exchange:
    """A request and its response: where the events of their stream go."""

    __slots__ = ("receiving", "sending", "task")

    def __init__(self, receiving: Receiving, sending: Sending) -> None:
        self.receiving = receiving
        self.sending = sending
        self.task: asyncio.Task[None] | None = None

    def feed(self, event: Any) -> None:
        self.receiving.feed(event)
        self.sending.feed(event)
        # Nobody wants the answer any more: the work stops, or resets would pile it up.
        if type(event) is Reset and self.task is not None:
            self.task.cancel()


NOBODY = Endpoint()  # before it is known what is spoken


class ServerWire(PacedWire, asyncio.BufferedProtocol):
    """One connection of a Server."""

    __slots__ = ("_refusal", "handlers", "server")

    server: Server
    # Tasks that work on a stream, open or not: a request that is reset counts until its work ends.
    handlers: int

    def __init__(self, server: Server, hub: Hub) -> None:
        super().__init__(hub, NOBODY, server.options.limits.write_high)
        self.server = server
        self._refusal: str | None = None  # why this newcomer may not come in
        self.handlers = 0

    def _opened(self) -> bool:
        server = self.server
        limit = server._admit(self)
        if limit is not None:
            if not server.admission.hear(self):
                self.refuse()
                return False
            self._refusal = f"{limit} is reached"
        options = server.options
        if options.ssl is not None:
            tls_object = self.transport.get_extra_info("ssl_object")
            selected = tls_object.selected_alpn_protocol()
            # RFC 9113 section 3.3: over TLS, HTTP/2 is what ALPN says and not what a client tries.
            if selected == "h2" and "h2" in options.http:
                self._speak(True)
                problem = tls.check_negotiated(tls_object)
                if problem is not None:
                    self.conn.abort(INADEQUATE_SECURITY, problem.encode())
            elif selected in (None, "http/1.1") and "h1" in options.http:
                self._speak(False)
            else:
                server.admission.note(
                    "%s was refused: ALPN over TLS chose %s", peer_of(self), selected
                )
                self.refuse()
                return False
        elif len(options.http) > 1:
            patience = options.limits.preface_timeout_s if limit is None else REFUSAL_S
            self.become(Sniffer(patience, self._speak))
        else:
            self._speak("h2" in options.http)
        if server.closing:
            self.conn.shutdown()
        return True

    def _speak(self, h2: bool) -> Endpoint:
        # From here on it is HTTP/2, or HTTP/1.1.
        options = self.server.options
        conn: Endpoint
        if h2:
            conn = Connection(Role.SERVER, options.settings, options.limits, pool=self.hub.pool)
            if self._refusal is not None:
                conn.abort(ENHANCE_YOUR_CALM, self._refusal.encode())
        else:
            conn = H1Connection(
                options.limits,
                "http" if options.ssl is None else "https",
                self._upgraded,
                websockets=options.handler is not None or options.on_message is not None,
                pool=self.hub.pool,
            )
            self.watched = True
            if self._refusal is not None:
                conn.turn_away(self._refusal)
        self.become(conn)
        return conn

    def _upgraded(self, octets: bytes, conn: Endpoint, early: bytes) -> None:
        # A request over HTTP/1.1 became a WebSocket; `early` came behind it.
        if self.transport is None or self.closing:
            raise StreamClosed("the connection is closing")
        self.transport.write(octets)
        self.become(conn)
        if early:
            for event in conn.receive_data(early, self.hub.time()):
                self._event(event)

    def _lost(self, exc: BaseException | None) -> None:
        self.server._forget(self)

    def _limit_reached(self, name: str) -> None:
        self.server.admission.warn("%s reached the limit %s", peer_of(self), name)

    def _own(self, task: asyncio.Task[Any]) -> None:
        self.handlers += 1
        self.server._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self.handlers -= 1
        self.server._task_done(task)

    def _event(self, event: Any) -> None:
        kind = type(event)
        if kind is Requested:
            try:
                self._requested(event)
            except StreamClosed:
                pass  # the client went away in the same read
            except Exception:
                self.server.logger.exception("answering a request failed")
                self.conn.reset(event.stream_id, INTERNAL_ERROR)
        elif kind is SinkFailed:
            self.server.logger.error("stream %d failed", event.stream_id, exc_info=event.error)
        elif kind is Terminated:
            self.over = True
            # The peer may still be sending, though its GOAWAY came first: RFC 9113 section 6.8.
            # Not to one who has said nothing.
            self.patient = event.error_code != NO_ERROR or getattr(
                self.conn, "settings_received", True
            )
            if event.error_code != NO_ERROR:
                self.server.admission.note(
                    "the connection of %s ended with error %#x: %s",
                    peer_of(self),
                    event.error_code,
                    printable(event.reason),
                )
        else:
            # What came in one read with the request: its stream had no receiver yet.
            routes = self.routes
            receiver = None if routes is None else routes.get(getattr(event, "stream_id", 0))
            if receiver is not None:
                receiver(event)

    def _requested(self, event: Any) -> None:
        server = self.server
        options = server.options
        if self.handlers >= options.settings.max_concurrent_streams and self.http_version == "2":
            # CVE-2023-44487: as many handlers are at work as there may be streams, though some of
            # their streams are over. The request may be tried again when one of them has ended.
            self.conn.refuse(event.stream_id, "max_handlers")
            return
        if server.admission.over_budget():
            server.admission.refuse("memory_budget", self, "a stream")
            self._answer(event.stream_id, Response(503), event.method)
            return
        token = event.protocol
        if token is None:
            if type(self.conn) is H1Connection and (
                options.on_request is None or event.method == "CONNECT"
            ):
                self._plain(event)
            elif event.method == "CONNECT" and options.dialer is not None:
                self._connect(event)
            elif event.method == "CONNECT" or options.on_request is None:
                status = 501 if event.method == "CONNECT" else 404
                self._answer(event.stream_id, Response(status), event.method)
            else:
                self._request(event)
            return
        token = token.lower()
        if token == "websocket" and (options.handler is not None or options.on_message is not None):
            ws = new_websocket(self, event.stream_id, self._make_request(event))
            if options.process_request is None and options.process_response is None:
                self._open(ws)
            else:
                self._begin(ws, ws.request, self._open)
        elif token in options.tunnels:
            request = self._make_request(event)
            tunnel = Tunnel(self, event.stream_id, token, request, ended=event.ended)
            if options.process_request is None:
                self._open_tunnel(tunnel)
            else:
                self._begin(tunnel, request, self._open_tunnel)
        else:
            # RFC 9220 section 3: "501 (Not Implemented)" for a `:protocol` that is not known.
            self._turn_away(event.stream_id, 501, f"unsupported protocol {token}")

    def _make_request(self, event: Any) -> Request:
        return Request.received(event, self)

    # -- the opening handshake --------------------------------------------------------------------

    def _begin(self, what: Any, request: Request, go_on: Callable[[Any], None]) -> None:
        # With a `process_request`: inline while it is synchronous, in a task otherwise.
        process = self.server.options.process_request
        answer: Any = None
        if process is not None:
            try:
                answer = process(what, request)
            except Exception:
                self.server.logger.exception("process_request failed")
                answer = text_response(500, "the opening handshake failed, see the server's log\n")
        if isinstance(answer, Awaitable):
            task = self.hub.loop.create_task(self._decide(what, answer, go_on))
            self._own(task)

            def cancel(event: Any) -> None:
                if type(event) is Reset:
                    task.cancel()

            self.conn.attach(what.stream_id, cancel)
            self.route(what.stream_id, cancel)
        elif answer is None:
            go_on(what)
        else:
            self._refuse(what, answer)

    async def _decide(
        self, what: Any, answer: Awaitable[Response | None], go_on: Callable[[Any], None]
    ) -> None:
        try:
            response = await answer
        except asyncio.CancelledError:
            self._give_up(what.stream_id, CANCEL)
            raise
        except Exception:
            self.server.logger.exception("process_request failed")
            response = text_response(500, "the opening handshake failed, see the server's log\n")
        try:
            self.conn.attach(what.stream_id, None)
            if response is None:
                go_on(what)
            else:
                self._refuse(what, response)
        except StreamClosed:
            return
        except Exception:
            self.server.logger.exception("answering a request failed")
            self._give_up(what.stream_id, INTERNAL_ERROR)
        self.touch()

    def _turn_away(self, stream_id: int, status: int, reason: str) -> None:
        # Without a body: Firefox leaves a connection where a refused WebSocket came with one.
        self.server.admission.note(
            "stream %d of %s was refused with %d: %s",
            stream_id,
            peer_of(self),
            status,
            printable(reason),
        )
        self._answer(stream_id, Response(status), "CONNECT")

    def _refuse(self, what: Any, response: Any) -> None:
        if not isinstance(response, Response):
            raise TypeError(f"process_request returned {response!r}, not a Response or None")
        opens = what.request.protocol is not None or what.request.method == "CONNECT"
        if opens and 200 <= response.status <= 299:
            raise ValueError("a refusal needs a status other than 2xx")
        self._answer(what.stream_id, response, what.request.method)

    def _plain(self, event: Any) -> None:
        # An ordinary request over HTTP/1.1 where nobody serves any: `process_request` may answer
        # it, as in `websockets`, and it is told what to do otherwise.
        options = self.server.options
        request = self._make_request(event)
        if event.method == "CONNECT" or not (options.handler or options.on_message):
            status = 501 if event.method == "CONNECT" else 404
            self._answer(event.stream_id, Response(status), event.method)
            return
        ws = new_websocket(self, event.stream_id, request)
        if options.process_request is None:
            self._ask_to_upgrade(ws)
        else:
            self._begin(ws, request, self._ask_to_upgrade)

    def _ask_to_upgrade(self, ws: WebSocket) -> None:
        response = text_response(426, "This server takes WebSockets: ask for an upgrade.\n")
        # RFC 9110 section 15.5.22: "MUST send an Upgrade header field".
        response.headers.add("upgrade", "websocket")
        response.headers.add("connection", "upgrade")
        self._answer(ws.stream_id, response, ws.request.method)

    def _open(self, ws: WebSocket) -> None:
        server = self.server
        options = server.options
        if server.closing:
            self._turn_away(ws.stream_id, 503, "shutting down")
            return
        headers = options.extra_headers
        subprotocol = None
        if options.origins is not None and not is_allowed(options.origins, ws.request):
            self._turn_away(ws.stream_id, 403, "this Origin is not allowed")
            return
        if options.subprotocols is not None or options.select_subprotocol is not None:
            try:
                subprotocol = self._select_subprotocol(ws)
            except NegotiationError as error:
                self._turn_away(ws.stream_id, 400, str(error))
                return
        ws.subprotocol = subprotocol
        response = None
        if options.process_response is not None:
            response = Response(200, headers)
            try:
                other = options.process_response(ws, ws.request, response)
            except Exception:
                server.logger.exception("process_response failed")
                other = text_response(500, "the opening handshake failed, see the server's log\n")
            if other is not None:
                response = other
            if not 200 <= response.status <= 299:
                self._refuse(ws, response)
                return
            headers = fields_of(response.headers)
        ws.response = response
        self.conn.attach(ws.stream_id, ws)
        self.conn.accept_websocket(ws.stream_id, subprotocol, headers=headers)
        open_websocket(ws)
        if options.on_message is not None:
            ws._deliver(options.on_open, options.on_message, options.on_close)
        else:
            assert options.handler is not None
            coroutine: Any = options.handler(ws)
            task = self.hub.loop.create_task(coroutine)
            self._own(task)
            task.add_done_callback(ws._handled)

    def _select_subprotocol(self, ws: WebSocket) -> str | None:
        options = self.server.options
        offered = [
            token.strip()
            for value in ws.request.headers.get_all("sec-websocket-protocol")
            for token in value.split(",")
            if token.strip()
        ]
        if options.select_subprotocol is not None:
            chosen = options.select_subprotocol(ws, offered)
            if chosen is not None and chosen not in offered:
                raise NegotiationError(f"the subprotocol {chosen!r} was not offered")
            return chosen
        if not options.subprotocols:
            return None
        if not offered:
            raise NegotiationError("a subprotocol is required")
        for candidate in options.subprotocols:
            if candidate in offered:
                return candidate
        raise NegotiationError(f"none of the subprotocols {', '.join(options.subprotocols)}")

    def _open_tunnel(self, tunnel: Tunnel) -> None:
        options = self.server.options
        fields = [(":status", "200"), *options.extra_headers]
        self.conn.attach(tunnel.stream_id, tunnel.feed)
        self.conn.respond(tunnel.stream_id, fields, False)
        task = self.hub.loop.create_task(self._run_tunnel(options.tunnels[tunnel.protocol], tunnel))
        self._own(task)

    async def _run_tunnel(self, handler: OnTunnel, tunnel: Tunnel) -> None:
        try:
            await handler(tunnel)
        except asyncio.CancelledError:
            tunnel.abort()
            raise
        except StreamReset:
            tunnel.abort()
        except Exception:
            self.server.logger.exception("the handler of a tunnel failed")
            tunnel.abort(INTERNAL_ERROR)
        else:
            await tunnel.close()

    # -- classic CONNECT ---------------------------------------------------------------------------

    def _connect(self, event: Any) -> None:
        if self.http_version != "2":
            self._answer(event.stream_id, Response(501), event.method)
            return
        request = self._make_request(event)
        tunnel = Tunnel(self, event.stream_id, "", request, ended=event.ended)
        if self.server.options.process_request is None:
            self._dial(tunnel)
        else:
            self._begin(tunnel, request, self._dial)

    def _dial(self, tunnel: Tunnel) -> None:
        task = self.hub.loop.create_task(self._run_dialer(tunnel))
        self._own(task)

        def feed(event: Any) -> None:
            tunnel.feed(event)
            if type(event) is Reset:
                task.cancel()  # whether it still dials, or waits for the target alone

        self.conn.attach(tunnel.stream_id, feed)
        self.route(tunnel.stream_id, feed)

    async def _run_dialer(self, tunnel: Tunnel) -> None:
        def answer(response: Response) -> None:
            if 200 <= response.status <= 299:
                fields = [(":status", str(response.status)), *self.server.options.extra_headers]
                self.conn.respond(tunnel.stream_id, fields, False)
                self.touch()
            else:
                self._answer(tunnel.stream_id, response, "CONNECT")

        dialer = self.server.options.dialer
        assert dialer is not None
        try:
            await dialer.serve(tunnel, answer)
        except asyncio.CancelledError:
            self._give_up(tunnel.stream_id, CANCEL)
            raise
        except (StreamClosed, StreamReset):
            pass
        except Exception:
            self.server.logger.exception("serving a CONNECT failed")
            self._give_up(tunnel.stream_id, INTERNAL_ERROR)

    # -- ordinary requests ------------------------------------------------------------------------

    def _request(self, event: Any) -> None:
        request = self._make_request(event)
        receiving = Receiving(self, event.stream_id, ended=event.ended)
        if not event.ended:
            request._body = receiving
            expected = request.headers.get("expect", "")
            receiving.invite = expected.lower() == "100-continue"
        exchange = _Exchange(receiving, Sending(self, event.stream_id))
        self.conn.attach(event.stream_id, exchange.feed)
        self.route(event.stream_id, exchange.feed)
        exchange.task = self.hub.loop.create_task(self._handle_request(request, exchange))
        self._own(exchange.task)

    async def _handle_request(self, request: Request, exchange: _Exchange) -> None:
        server = self.server
        stream_id = exchange.sending.stream_id
        answered = False
        try:
            assert server.options.on_request is not None
            try:
                response = await server.options.on_request(request)
                if not isinstance(response, Response):
                    raise TypeError(f"on_request returned {response!r}, not a Response")
            except StreamReset:
                return
            except Exception:
                server.logger.exception("on_request failed")
                response = text_response(500, "Internal Server Error\n")
            answered = True
            await self._send_response(exchange.sending, response, request.method)
        except asyncio.CancelledError:
            self._give_up(stream_id, CANCEL)
            raise
        except (StreamClosed, StreamReset):
            pass
        except Exception:
            server.logger.exception("sending a response failed")
            self._give_up(stream_id, INTERNAL_ERROR)
        finally:
            if answered and not exchange.receiving.finished:
                # RFC 9113 section 8.1: a response may be complete before its request is. What
                # still comes is of no interest, and must not stop the connection.
                exchange.receiving.discard()

    def _give_up(self, stream_id: int, error_code: int) -> None:
        try:
            self.conn.reset(stream_id, error_code)
        except H2WSError:
            return
        self.touch()

    def _head(self, response: Response, body: Body, method: str) -> list[tuple[str, str]]:
        fields = [(":status", str(response.status))]
        fields += fields_of(response.headers)
        fields += self.server.options.extra_headers
        if (
            isinstance(body, bytes)
            and method != "CONNECT"
            and response.status not in (204, 304)
            and response.status >= 200
            and "content-length" not in response.headers
        ):
            fields.append(("content-length", str(len(body))))
        return fields

    def _answer(self, stream_id: int, response: Response, method: str) -> None:
        # A response whose body is at hand, without a task.
        body = _octets(response.body)
        if not isinstance(body, bytes):
            raise TypeError("the body of a refusal must be bytes or str")
        head = self._head(response, body, method)
        if method == "HEAD" or not body:
            self.conn.respond(stream_id, head, True)
        else:
            self.conn.respond(stream_id, head, False)
            self.conn.send_data(stream_id, body, True)
        self.touch()

    async def _send_response(self, sending: Sending, response: Response, method: str) -> None:
        body = _octets(response.body)
        head = self._head(response, body, method)
        stream_id = sending.stream_id
        if isinstance(body, bytes):
            trailers = response.trailers
            end = method == "HEAD" or (not body and not trailers)
            self.conn.respond(stream_id, head, end)
            self.touch()
            if end:
                sending.ended = True
            else:
                if body:
                    await sending.write(body, end=not trailers)
                sending.finish(trailers)
            return
        self.conn.respond(stream_id, head, method == "HEAD")
        self.touch()
        if method == "HEAD":
            sending.ended = True
            return
        async with iterating(body) as pieces:
            async for piece in pieces:
                if piece:
                    await sending.write(piece)
        sending.finish(response.trailers)


def _octets(body: Body) -> Any:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    return body


class Server:
    """What `serve` returns: await it, or use it with `async with`, to start it.

    `close()` begins the graceful shutdown, `wait_closed()` waits for its end, `serve_forever()`
    runs until cancelled, `stats()` counts.
    """

    def __init__(self, options: _Options, admission: Admission, start: dict[str, Any]) -> None:
        self.options = options
        self.admission = admission
        self.logger = options.logger
        self.closing = False
        self.server: asyncio.Server | None = None
        self._start = start
        self._hub: Hub | None = None
        self._keeper: Keeper | None = None
        self._wires: set[ServerWire] = admission.wires
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closer: asyncio.Task[None] | None = None
        self._closed: asyncio.Future[None] | None = None
        self._quiet: asyncio.Future[None] | None = None

    # -- what connections call --------------------------------------------------------------------

    def _admit(self, wire: ServerWire) -> str | None:
        # The name of the limit that keeps a connection out, or None.
        limit = self.admission.enter(wire)
        if limit is not None:
            return limit
        if self._keeper is not None:
            self._keeper.add(wire)
        return None

    def _forget(self, wire: ServerWire) -> None:
        if not self.admission.leave(wire):
            return
        if self._keeper is not None:
            self._keeper.discard(wire)
        self._check_quiet()

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._check_quiet()

    def _check_quiet(self) -> None:
        quiet = self._quiet
        if quiet is not None and not self._wires and not self._tasks and not quiet.done():
            quiet.set_result(None)

    # -- what users call --------------------------------------------------------------------------

    @property
    def connections(self) -> set[WebSocket]:
        """The WebSockets that are open now."""
        return {ws for wire in self._wires for ws in wire.websockets}

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets."""
        return () if self.server is None else tuple(self.server.sockets)

    def stats(self) -> dict[str, Any]:
        """Counters by name.

        `connections` that are open, `accepted` so far, `handlers` at work (tasks), `octets_held`:
        what `memory_budget` limits; `refused`: newcomers, by the limit that refused them; `limits`:
        how often each limit of a connection was reached, by all connections so far.
        """
        admission = self.admission
        return {
            "connections": len(admission.wires),
            "accepted": admission.accepted,
            "handlers": len(self._tasks),
            "octets_held": admission.held(),
            "refused": dict(admission.refused),
            "limits": admission.limits(),
        }

    def is_serving(self) -> bool:
        """Does it accept connections?"""
        return self.server is not None and self.server.is_serving()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop it runs on."""
        if self.server is None:
            raise RuntimeError("the server was not started: await it first")
        return self.server.get_loop()

    async def start_serving(self) -> None:
        """Begin to accept, where `serve(start_serving=False)` did not."""
        await self
        assert self.server is not None
        await self.server.start_serving()

    async def serve_forever(self) -> None:
        """Serve until cancelled, or until `close()`; then shut down gracefully."""
        await self
        if not self.is_serving() and not self.closing:
            await self.start_serving()
        try:
            await self.wait_closed()
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise

    def close(self, close_connections: bool = True, code: int = 1001, reason: str = "") -> None:
        """Stop accepting, and end connections gracefully; `wait_closed()` tells when it is done.

        Each connection gets a GOAWAY, so that no client opens streams that would be lost, each
        WebSocket a Close with `code`, and requests under way their time: `close_timeout` seconds.
        With `close_connections=False` connections live on until their clients leave.
        """
        if self._closer is None and self.server is not None:
            self.closing = True
            self._closer = self.get_loop().create_task(self._close(close_connections, code, reason))

    async def _close(self, close_connections: bool, code: int, reason: str) -> None:
        assert self.server is not None
        self.logger.info("server closing")
        self.server.close()
        self._quiet = self.get_loop().create_future()
        self._check_quiet()
        grace: float | None = None
        if close_connections:
            grace = self.options.limits.close_timeout_s
            for wire in list(self._wires):
                if code != 1001 or reason:
                    for ws in list(wire.websockets):
                        ws._start_closing(code, reason)
                wire.conn.shutdown()
                wire.touch()
        try:
            async with asyncio.timeout(grace):
                await asyncio.shield(self._quiet)
        except TimeoutError:
            for task in list(self._tasks):
                task.cancel()
            for wire in list(self._wires):
                wire.conn.abort(NO_ERROR, b"server shut down")
                wire.touch()
            await asyncio.sleep(0.05)
            for wire in list(self._wires):
                wire.abort()
            await self._quiet
        if hasattr(self.server, "wait_closed"):
            await self.server.wait_closed()
        assert self._closed is not None
        self._closed.set_result(None)
        self.logger.info("server closed")

    async def wait_closed(self) -> None:
        """Wait until every connection is gone and every handler has returned."""
        await self
        assert self._closed is not None
        await asyncio.shield(self._closed)

    async def _await(self) -> Server:
        if self.server is not None:
            return self
        _warn_if_pure(self.logger)
        hub = running_hub()
        self._hub = hub
        self.admission.start(hub.time)
        self._closed = hub.loop.create_future()
        start = dict(self._start)
        interval = start.pop("ping_interval")
        timeout = start.pop("ping_timeout")
        if interval is not None:
            self._keeper = Keeper(hub, interval, timeout, self._wires)

        def factory() -> ServerWire:
            return ServerWire(self, hub)

        self.server = await hub.loop.create_server(factory, **start)
        for listener in self.server.sockets:
            limit_unsent(listener)
            self.logger.info("server listening on %s", listener.getsockname())
        return self

    def __await__(self) -> Generator[Any, None, Server]:
        return self._await().__await__()

    async def __aenter__(self) -> Server:
        return await self

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self.close()
        await self.wait_closed()


_warned: list[bool] = []


def _warn_if_pure(log: Any) -> None:
    # Never silently slow: one warning in a process, with the remedy.
    if not COMPILED and not _warned and not ssl_module.__name__.startswith("_"):
        _warned.append(True)
        log.warning(
            "the pure twin of h2ws_fast runs: for the compiled one, install a wheel for this "
            "platform or a C compiler, run pip install -e . again, and unset H2WS_FAST_PURE"
        )


def limits_from(
    limits: Limits | None,
    *,
    open_timeout: float | None,
    close_timeout: float | None,
    max_size: int | None,
    write_limit: int | tuple[int, int],
    write_timeout: float | None,
    idle_timeout: float | None,
    keepalive_interval: float | None,
    keepalive_timeout: float | None,
) -> Limits:
    """The limits of each connection, from the arguments of `serve` and `Session`."""
    if limits is not None:
        return limits
    high, low = write_limit if isinstance(write_limit, tuple) else (write_limit, write_limit // 4)
    return Limits(
        max_message=max_size,
        write_high=high,
        write_low=low,
        close_timeout_s=close_timeout,
        handshake_timeout_s=open_timeout,
        write_timeout_s=write_timeout,
        idle_timeout_s=idle_timeout,
        client_idle_timeout_s=idle_timeout,
        keepalive_interval_s=keepalive_interval,
        keepalive_timeout_s=keepalive_timeout,
    )


def serve(
    handler: OnWebSocket | None = None,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    ssl: ssl_module.SSLContext | None = None,
    on_message: OnMessage | None = None,
    on_open: OnWebSocket | None = None,
    on_close: OnWebSocket | None = None,
    on_request: OnRequest | None = None,
    tunnels: Mapping[str, OnTunnel] | None = None,
    connect: Dialer | None = None,
    origins: Origins = SAME_ORIGIN,
    subprotocols: Iterable[str] | None = None,
    select_subprotocol: Callable[[WebSocket, Sequence[str]], str | None] | None = None,
    process_request: Callable[[Any, Request], Any] | None = None,
    process_response: Callable[[Any, Request, Response], Any] | None = None,
    server_header: str | None = None,
    http: Iterable[str] = ("h2", "h1"),
    open_timeout: float | None = 10,
    ping_interval: float | None = 20,
    ping_timeout: float | None = 20,
    close_timeout: float | None = 10,
    idle_timeout: float | None = 180,
    write_timeout: float | None = 60,
    keepalive_interval: float | None = 30,
    keepalive_timeout: float | None = 20,
    max_size: int | None = 2**20,
    max_queue: int | tuple[int, int] | None = 16,
    write_limit: int | tuple[int, int] = 2**15,
    settings: Settings | None = None,
    limits: Limits | None = None,
    max_connections: int | None = None,
    max_connections_per_address: int | None = None,
    memory_budget: int | None = None,
    logger: Any = logger,
    backlog: int = 4096,
    **kwargs: Any,
) -> Server:
    """Serve WebSockets, requests and tunnels over HTTP/2 and HTTP/1.1 on `host` and `port`.

    `async with serve(...) as server:` or `server = await serve(...)`. With `ssl` (see
    `h2ws_fast.aio.tls.server_context`) clients choose `h2` or `http/1.1` by ALPN; without it they
    speak either at once, and the first octets tell which. `http` names what is spoken: "h2", "h1"
    or both. Tunnels exist over HTTP/2 alone.

    WebSockets go to one of two: `handler`, a coroutine function `handler(ws)` that runs as a task
    (when it returns the WebSocket is closed with 1000, when it raises with 1011); or `on_message`,
    called as `on_message(ws, message)` during the read that brought the message, with `on_open(ws)`
    and `on_close(ws)` before and after. The second starts no tasks: it is the fastest and the
    leanest, and what it does keeps everybody else waiting. `ws.send()` need not be awaited there.

    `on_request` is a coroutine function from Request to Response for ordinary requests. Without it
    they are answered 404, and over HTTP/1.1 426 unless `process_request` answers them. `tunnels` maps
    `:protocol` tokens to coroutine functions of a Tunnel; unknown tokens are answered 501. With a
    `Dialer` as `connect` it is a proxy for TCP connections (CONNECT without `:protocol`, 501 by
    default).

    `origins` lists allowed Origin fields: `str`, compiled patterns, None for "no Origin field";
    the default demands that an Origin names the authority it asks, `origins=None` allows all.
    `subprotocols` in order of preference, or `select_subprotocol(ws, offered)`, choose one.
    `process_request(ws, request)` may return a Response that refuses, and may be a coroutine
    function; for tunnels its first argument is the Tunnel. `process_response(ws, request,
    response)` may change the response's headers, or return another that refuses.

    `max_size` limits a message, `write_limit` (or a pair, high and low) is where `send` begins to
    wait. What arrives and is not received waits with the peer, by flow control: the window in
    `settings` bounds it in octets, so `max_queue` of `websockets` is accepted and not needed.
    `limits` replaces what the timeouts, `max_size` and `write_limit` say, but for the pings.

    Each WebSocket is pinged every `ping_interval` seconds and closed with 1011 where no pong comes
    within `ping_timeout`. A connection with open streams that is silent for `keepalive_interval`
    is pinged by HTTP/2, and given up after `keepalive_timeout` without a sign of life; one without
    streams ends after `idle_timeout`. A stream whose peer takes nothing for `write_timeout` is
    reset. `open_timeout` limits TLS, and each opening handshake. None turns any of them off.

    `max_connections`, `max_connections_per_address` (of IPv6 addresses one /64) and `memory_budget`,
    the octets that all connections together keep for applications and peers that do not take them,
    refuse newcomers beyond: connections with GOAWAY(ENHANCE_YOUR_CALM), and beyond the budget new
    streams with 503. `Server.stats()` counts them. On each connection at most
    `settings.max_concurrent_streams` handlers work at once, those of streams that were reset
    included; streams beyond are refused (REFUSED_STREAM).

    Other keyword arguments (`sock`, `reuse_port`, `start_serving` ...) go to `create_server`.
    """
    if handler is not None and on_message is not None:
        raise ValueError("give handler or on_message, not both")
    if on_message is None and (on_open is not None or on_close is not None):
        raise ValueError("on_open and on_close go with on_message")
    for name, callback in (("handler", handler), ("on_message", on_message)):
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} must be callable: {callback!r}")
    if isinstance(subprotocols, str):
        raise TypeError("subprotocols is a list of str, not one str")
    options = _Options()
    options.handler = handler
    options.on_message = on_message
    options.on_open = on_open
    options.on_close = on_close
    options.on_request = on_request
    options.tunnels = {token.lower(): each for token, each in (tunnels or {}).items()}
    if connect is not None and not isinstance(connect, Dialer):
        raise TypeError(f"connect is a Dialer, not {connect!r}")
    options.dialer = connect
    options.origins = origins
    options.subprotocols = None if subprotocols is None else list(subprotocols)
    options.select_subprotocol = select_subprotocol
    options.process_request = process_request
    options.process_response = process_response
    options.extra_headers = [] if server_header is None else [("server", server_header)]
    options.http = tls.versions(http)
    options.ssl = None if ssl is None else tls.prepare(ssl, server=True, http=options.http)
    if settings is None:
        # RFC 8441 section 3 is only advertised where something answers it.
        answers = bool(handler or on_message or options.tunnels)
        settings = Settings() if answers else Settings(enable_connect_protocol=False)
    options.settings = settings
    options.limits = limits_from(
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
    options.logger = logger
    admission = Admission(
        logger,
        max_connections=max_connections,
        max_connections_per_address=max_connections_per_address,
        memory_budget=memory_budget,
    )
    start = {
        "host": host,
        "port": port,
        "ssl": options.ssl,
        "backlog": backlog,
        "ping_interval": ping_interval,
        "ping_timeout": ping_timeout,
        **kwargs,
    }
    if ssl is not None:
        if open_timeout is not None:
            start.setdefault("ssl_handshake_timeout", open_timeout)
        # A peer that never reads never answers our close_notify: a browser's spare connection.
        start.setdefault("ssl_shutdown_timeout", min(SSL_SHUTDOWN_S, close_timeout or 60.0))
    return Server(options, admission, start)
