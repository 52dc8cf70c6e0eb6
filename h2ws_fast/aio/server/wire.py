"""A connection of a Server: what is spoken on it, and what becomes of each request."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from ...engine.constants import (
    CANCEL,
    INTERNAL_ERROR,
)
from ...engine.events import Reset, SettingsChanged
from ...errors import NegotiationError, StreamClosed, StreamReset
from ...printable import printable
from ..answering import Answering
from ..h1.connection import H1Connection
from ..handler import HandlerCoroutine
from ..http import Headers, Request, Response, response_fields, text_response
from ..hub import Hub
from ..tunnel import Tunnel, reset, run_handler
from ..websocket import WebSocket, new_websocket, open_websocket
from .accepted import AcceptedWire
from .admission import peer_of
from .exchange import Exchange, answer
from .origins import is_allowed
from .session import ServerSession

if TYPE_CHECKING:
    from .server import Server

__all__ = ["ServerWire"]

PHRASES = {status.value: status.phrase for status in http.HTTPStatus}


class ServerWire(AcceptedWire):
    """One connection of a Server."""

    __slots__ = ("_session", "_told")

    server: Server
    _session: ServerSession | None  # what opens streams to this client
    _told: bool  # `on_session` was called

    def __init__(self, server: Server, hub: Hub) -> None:
        super().__init__(server, hub)
        self._session = None
        self._told = False

    @property
    def session(self) -> ServerSession | None:
        """What opens streams to this client; None where it takes none."""
        if self._session is None and self.http_version == "2" and self.conn.can_connect:
            self._session = ServerSession(self)
        return self._session

    def _event(self, event: Any) -> None:
        super()._event(event)
        on_session = self.server.options.on_session
        if type(event) is SettingsChanged and on_session is not None and not self._told:
            session = self.session
            if session is not None and not self.server.closing:
                self._told = True
                session.run(on_session)

    def _requested(self, event: Any) -> None:
        if not self._may_begin(event):
            return
        options = self.server.options
        token = event.protocol
        if token is None:
            if options.over_http1 and self._half_upgrade(event):
                answer(self, event.stream_id, Response(400), event.method)
            elif type(self.conn) is H1Connection and (
                options.on_request is None or event.method == "CONNECT"
            ):
                self._plain(event)
            elif event.method == "CONNECT" and options.dialer is not None:
                self._connect(event)
            elif (
                event.method != "CONNECT"
                and options.on_request is None
                and (options.process_request is not None or options.process_response is not None)
            ):
                self._plain(event)
            elif event.method == "CONNECT" or options.on_request is None:
                status = 501 if event.method == "CONNECT" else 404
                answer(self, event.stream_id, Response(status), event.method)
                if event.method != "CONNECT" and not event.ended:
                    self.discard(event.stream_id)
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
            # Over HTTP/1.1 the request has ended, and what follows it is the tunnel's.
            ended = event.ended and self.http_version == "2"
            tunnel = Tunnel(self, event.stream_id, token, request, ended=ended)
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

    def _begin(
        self, what: Any, request: Request, go_on: Callable[[Any], None], *, ended: bool = True
    ) -> None:
        # With a `process_request`: inline while it is synchronous, in a task otherwise.
        process = self.server.options.process_request
        answer: Any = None
        if process is not None:
            try:
                answer = process(what, request)
            except Exception:
                self.server.logger.exception("process_request failed")
                answer = text_response(500, "the opening handshake failed, see the server's log\n")

        def conclude(response: Any) -> None:
            if response is None:
                go_on(what)
            else:
                self._decline(what, response, "as the application answered", ended)

        if isinstance(answer, Awaitable):
            self._wait(what, answer, conclude, "process_request")
        else:
            conclude(answer)

    def _wait(
        self,
        what: Any,
        answer: Awaitable[Response | None],
        conclude: Callable[[Any], None],
        name: str,
    ) -> None:
        # For what an application's coroutine function returns; not beyond the end of the stream.
        task = self.hub.loop.create_task(self._decide(what, answer, conclude, name))
        self._own(task)

        def cancel(event: Any) -> None:
            if type(event) is Reset:
                task.cancel()

        self.conn.attach(what.stream_id, cancel)
        self.route(what.stream_id, cancel)

    async def _decide(
        self,
        what: Any,
        answer: Awaitable[Response | None],
        conclude: Callable[[Any], None],
        name: str,
    ) -> None:
        try:
            response = await answer
        except asyncio.CancelledError:
            reset(self, what.stream_id, CANCEL)
            raise
        except Exception:
            self.server.logger.exception("%s failed", name)
            response = text_response(500, "the opening handshake failed, see the server's log\n")
        try:
            self.conn.attach(what.stream_id, None)
            conclude(response)
        except StreamClosed:
            return
        except Exception:
            self.server.logger.exception("answering a request failed")
            if self.fail(what.stream_id) and what.request.method != "CONNECT":
                self.discard(what.stream_id)
        self.touch()

    def _turn_away(self, stream_id: int, status: int, reason: str) -> None:
        # Without a body: Firefox leaves a connection where a refused WebSocket came with one.
        self._rejected(stream_id, status, reason)
        answer(self, stream_id, Response(status), "CONNECT")

    def _rejected(self, stream_id: int, status: int, reason: str) -> None:
        self.server.admission.note(
            "connection rejected (%d %s): stream %d of %s, %s",
            status,
            PHRASES.get(status, "no name"),
            stream_id,
            peer_of(self),
            printable(reason),
        )

    def _process(
        self, ws: WebSocket, response: Response, conclude: Callable[[Response], None]
    ) -> None:
        # `process_response` has the last word about every answer; `conclude` sends it.
        process = self.server.options.process_response
        assert process is not None
        other: Any = None
        try:
            other = process(ws, ws.request, response)
        except Exception:
            self.server.logger.exception("process_response failed")
            other = text_response(500, "the opening handshake failed, see the server's log\n")

        def choose(other: Any) -> None:
            if other is not None and not isinstance(other, Response):
                raise TypeError(f"process_response returned {other!r}, not a Response or None")
            conclude(response if other is None else other)

        if isinstance(other, Awaitable):
            self._wait(ws, other, choose, "process_response")
        else:
            choose(other)

    def _decline(self, what: Any, response: Any, reason: str, ended: bool = True) -> None:
        # As `_refuse`, unless `process_response` has another answer.
        if not isinstance(response, Response):
            raise TypeError(f"process_request returned {response!r}, not a Response or None")
        if self.server.options.process_response is None or type(what) is not WebSocket:
            self._refuse(what, response, reason, ended)
        else:
            self._process(what, response, lambda last: self._refuse(what, last, reason, ended))

    def _refuse(self, what: Any, response: Response, reason: str, ended: bool = True) -> None:
        # The rest of an ordinary request that has not `ended` is of no interest behind its answer.
        status = response.status
        if what.request.protocol is not None or what.request.method == "CONNECT":
            if 200 <= status <= 299 and self.http_version == "2":
                # RFC 9110 section 9.3.6: "Any 2xx (Successful) response indicates that the sender
                # [...] will switch to the tunnel mode". Over HTTP/1.1 it is 101 that opens.
                reason = f"the application answered {status}, which would accept it over HTTP/2"
                response = Response(400, response.headers, response.body)
            self._rejected(what.stream_id, response.status, reason)
        elif reason and self.logs:
            self.log.info("HTTP response sent (%d %s)", status, PHRASES.get(status, "no name"))
        answer(self, what.stream_id, response, what.request.method)
        if not ended:
            self.discard(what.stream_id)

    def _plain(self, event: Any) -> None:
        # An ordinary request over HTTP/1.1 where nobody serves any: `process_request` may answer
        # it, as in `websockets`, and it is told what to do otherwise.
        options = self.server.options
        request = self._make_request(event)
        if event.method == "CONNECT" or not (options.handler or options.on_message):
            status = 501 if event.method == "CONNECT" else 404
            answer(self, event.stream_id, Response(status), event.method)
            return
        ws = new_websocket(self, event.stream_id, request)
        if options.process_request is None:
            self._ask_to_upgrade(ws, event.ended)
        else:
            ended = event.ended
            self._begin(ws, request, lambda ws: self._ask_to_upgrade(ws, ended), ended=ended)

    def _half_upgrade(self, event: Any) -> bool:
        # RFC 9298 section 3.2: what asks for a tunnel, and not as it must be asked for, is malformed.
        if type(self.conn) is not H1Connection:
            return False
        asked = Headers.received(event.headers).get("upgrade", "").lower()
        tokens = {token.strip() for token in asked.split(",")}
        return not tokens.isdisjoint(self.server.options.over_http1)

    def _ask_to_upgrade(self, ws: WebSocket, ended: bool) -> None:
        if self.http_version != "1.1":
            self._decline(ws, Response(404), "", ended)
            return
        response = text_response(426, "This server takes WebSockets: ask for an upgrade.\n")
        # RFC 9110 section 15.5.22: "MUST send an Upgrade header field".
        response.headers.add("upgrade", "websocket")
        response.headers.add("connection", "upgrade")
        self._decline(ws, response, "", ended)

    def _open(self, ws: WebSocket) -> None:
        server = self.server
        options = server.options
        if server.closing:
            self._decline(ws, Response(503), "shutting down")
            return
        subprotocol = None
        if options.origins is not None and not is_allowed(options.origins, ws.request):
            self._decline(ws, Response(403), "this Origin is not allowed")
            return
        if options.subprotocols is not None or options.select_subprotocol is not None:
            try:
                subprotocol = self._select_subprotocol(ws)
            except NegotiationError as error:
                self._decline(ws, Response(400), str(error))
                return
        ws.subprotocol = subprotocol
        if options.process_response is None:
            self._accept(ws, None)
            return

        def conclude(response: Response) -> None:
            if server.closing:
                self._turn_away(ws.stream_id, 503, "shutting down")
            elif 200 <= response.status <= 299:
                self._accept(ws, response)
            else:
                self._refuse(ws, response, "as the application answered")

        self._process(ws, Response(200, options.extra_headers), conclude)

    def _accept(self, ws: WebSocket, response: Response | None) -> None:
        options = self.server.options
        headers = (
            options.extra_headers
            if response is None
            else response_fields(response, self.http_version)
        )
        ws.response = response
        self.conn.attach(ws.stream_id, ws)
        self.conn.accept_websocket(
            ws.stream_id, ws.subprotocol, headers=headers, deflate=options.deflate
        )
        open_websocket(ws)
        if options.on_message is not None:
            ws._deliver(options.on_open, options.on_message, options.on_close)
        else:
            assert options.handler is not None
            coroutine: Any = options.handler(ws)
            if type(coroutine) is CoroutineType:
                driver = HandlerCoroutine(coroutine)
                task = driver.task = self.hub.loop.create_task(driver)
            else:  # compiled, or not of asyncio's at all, about which its task complains
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
        handler = options.tunnels[tunnel.protocol]
        if isinstance(handler, Answering):
            self._ask(tunnel, handler)
            return
        fields = [(":status", "200"), *options.extra_headers]
        self.conn.attach(tunnel.stream_id, tunnel.feed)
        self.conn.respond(tunnel.stream_id, fields, False)
        task = self.hub.loop.create_task(self._run_tunnel(handler, tunnel))
        self._own(task)

    async def _run_tunnel(
        self, handler: Callable[[Tunnel], Awaitable[Any]], tunnel: Tunnel
    ) -> None:
        ended = await run_handler(handler, tunnel, self.server.logger)
        if ended and tunnel._awaits_end():
            self.discard(tunnel.stream_id, CANCEL, tunnel.feed)

    # -- classic CONNECT ---------------------------------------------------------------------------

    def _connect(self, event: Any) -> None:
        if self.http_version != "2":
            answer(self, event.stream_id, Response(501), event.method)
            return
        request = self._make_request(event)
        tunnel = Tunnel(self, event.stream_id, "", request, ended=event.ended)
        if self.server.options.process_request is None:
            self._dial(tunnel)
        else:
            self._begin(tunnel, request, self._dial)

    def _dial(self, tunnel: Tunnel) -> None:
        dialer = self.server.options.dialer
        assert dialer is not None
        self._ask(tunnel, dialer)

    # -- what answers by itself --------------------------------------------------------------------

    def _ask(self, tunnel: Tunnel, handler: Answering) -> None:
        task = self.hub.loop.create_task(self._run_answering(tunnel, handler))
        self._own(task)

        def feed(event: Any) -> None:
            tunnel.feed(event)
            if type(event) is Reset:
                task.cancel()  # whether it still dials, or waits for the target alone

        self.conn.attach(tunnel.stream_id, feed)
        self.route(tunnel.stream_id, feed)

    async def _run_answering(self, tunnel: Tunnel, handler: Answering) -> None:
        def reply(response: Response) -> None:
            if 200 <= response.status <= 299:
                fields = [
                    (":status", str(response.status)),
                    *response_fields(response, self.http_version),
                    *self.server.options.extra_headers,
                ]
                upgraded = self.http_version == "1.1"
                self.conn.respond(tunnel.stream_id, fields, False, upgraded)
                self.touch()
            else:
                answer(self, tunnel.stream_id, response, tunnel.request.method)

        try:
            await handler.serve(tunnel, reply)
            if tunnel._awaits_end():
                self.discard(tunnel.stream_id, CANCEL, tunnel.feed)
        except asyncio.CancelledError:
            reset(self, tunnel.stream_id, CANCEL)
            raise
        except Exception as error:
            # The reset of another stream, which the handler's own functions may read, is a failure.
            open_still = reset(self, tunnel.stream_id, INTERNAL_ERROR)
            if open_still or not isinstance(error, StreamClosed | StreamReset):
                self.server.logger.exception("serving a CONNECT failed")

    # -- ordinary requests ------------------------------------------------------------------------

    def _request(self, event: Any) -> None:
        exchange = Exchange(self, event.stream_id, self._make_request(event), event.ended)
        self.conn.attach(event.stream_id, exchange.feed)
        self.route(event.stream_id, exchange.feed)
        exchange.task = self.hub.loop.create_task(exchange.run())
        self._own(exchange.task)
