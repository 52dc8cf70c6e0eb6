"""A connection that was accepted: what is spoken on it, and how many tasks work for it."""

from __future__ import annotations

import abc
import asyncio
import logging
from collections.abc import Callable
from typing import Any

from ...engine import Connection, Role
from ...engine.constants import ENHANCE_YOUR_CALM, INADEQUATE_SECURITY, INTERNAL_ERROR, NO_ERROR
from ...engine.endpoint import Endpoint
from ...engine.events import Requested, SinkFailed, Terminated
from ...errors import LocalProtocolError, StreamClosed
from ...printable import printable
from .. import tls
from ..h1.connection import H1Connection
from ..h1.pace import PacedWire
from ..hub import Hub
from ..tunnel import reset
from .admission import peer_of
from .arrival import REFUSAL_S, Arrival
from .remainder import Remainders
from .roster import Roster
from .sniff import Sniffer

__all__ = ["AcceptedWire"]

NOBODY = Endpoint()  # before it is known what is spoken
# Without a body: Firefox leaves a connection where a refused WebSocket came with one.
FAILED = [(":status", "500"), ("content-length", "0")]


class AcceptedWire(PacedWire, asyncio.BufferedProtocol, metaclass=abc.ABCMeta):
    """One connection of a Roster. Who inherits from it says what becomes of requests."""

    __slots__ = ("_gone", "_refusal", "arrival", "handlers", "leaving", "remainders", "server")

    # Tasks that work on a stream, open or not: a request that is reset counts until its work ends.
    handlers: int

    def __init__(self, server: Roster, hub: Hub) -> None:
        super().__init__(hub, NOBODY, server.options.limits.write_high)
        self.queue_high, self.queue_low = server.options.queue
        self.server = server
        self.arrival: Arrival | None = None  # whose place it takes, in `connection_made`
        self._refusal: str | None = None  # why this newcomer may not come in
        self.handlers = 0
        self._gone: asyncio.Future[None] | None = None
        self.leaving = False  # the graceful shutdown has begun
        self.remainders: Remainders | None = None
        self.observer = server.options.observer

    def _opened(self) -> bool:
        server = self.server
        self.logs = server.logger.isEnabledFor(logging.INFO)
        limit = server._admit(self)
        if limit is not None:
            if not server.admission.hear(self):
                self.refuse()
                return False
            self._refusal = f"{limit} is reached"
        options = server.options
        tls_object = self.transport.get_extra_info("ssl_object")
        if tls_object is not None:
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

    @property
    def log(self) -> Any:
        """The logger of the server."""
        return self.server.logger

    @property
    def secure(self) -> bool:
        """Is it over TLS?"""
        return self.transport.get_extra_info("ssl_object") is not None

    def _speak(self, h2: bool) -> Endpoint:
        # From here on it is HTTP/2, or HTTP/1.1.
        options = self.server.options
        conn: Endpoint
        if h2:
            conn = Connection(
                Role.SERVER,
                options.settings,
                options.limits,
                pool=self.hub.pool,
                accept_key=options.accept_key,
            )
            if self._refusal is not None:
                conn.abort(ENHANCE_YOUR_CALM, self._refusal.encode())
        else:
            conn = H1Connection(
                options.limits,
                "https" if self.secure else "http",
                self._upgraded,
                upgrades=options.upgrades,
                ignoring=options.ignoring,
                methods=options.methods,
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

    def leave(self, code: int = 1001, reason: str = "") -> None:
        """Begin the graceful shutdown; each WebSocket is closed with this code."""
        self.leaving = True
        if self.remainders is not None:
            self.remainders.hurry()
        if code != 1001 or reason:
            for ws in list(self.websockets):
                ws._start_closing(code, reason)
        self.conn.shutdown()
        self.touch()

    def _lost(self, exc: BaseException | None) -> None:
        if self.remainders is not None:
            self.remainders.forget()
        self.server._forget(self)
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    @property
    def gone(self) -> asyncio.Future[None]:
        """Done when the transport is gone."""
        if self._gone is None:
            self._gone = self.hub.loop.create_future()
            if self.lost:
                self._gone.set_result(None)
        return self._gone

    def await_end(self, stream_id: int, code: int = NO_ERROR) -> None:
        """Let the client end its side of a stream, or end it with this code after a while."""
        if self.http_version == "2":  # over HTTP/1.1 the connection sees to it
            if self.remainders is None:
                self.remainders = Remainders(self)
            self.remainders.add(stream_id, code)

    def discard(
        self, stream_id: int, code: int = NO_ERROR, receiver: Callable[[Any], None] | None = None
    ) -> None:
        """As `await_end`, for what tells nobody of its end by itself.

        What still comes goes to `receiver`, who throws it away. None: it is thrown away here.
        """
        if self.http_version != "2":
            return
        self.await_end(stream_id, code)
        remainders = self.remainders
        assert remainders is not None

        def feed(event: Any) -> None:
            assert receiver is not None
            receiver(event)
            remainders.heard(event)

        try:
            self.conn.attach(stream_id, remainders.feed if receiver is None else feed)
        except StreamClosed:
            remainders.discard(stream_id)

    def _limit_reached(self, name: str) -> None:
        self.server.admission.warn("%s reached the limit %s", peer_of(self), name)

    def _own(self, task: asyncio.Task[Any]) -> None:
        self.handlers += 1
        self.server._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self.handlers -= 1
        if not self.handlers:
            self.server.admission.rest(self)
        self.server._task_done(task)

    def _left_unread(self, ws: Any) -> None:
        # The engine counts it no more, and its handler has it until it has read or ended.
        self.server.admission.unread[ws] = ws._unread_octets()

    def _event(self, event: Any) -> None:
        kind = type(event)
        if kind is Requested:
            try:
                self._requested(event)
            except StreamClosed:
                pass  # the client went away in the same read
            except Exception:
                self.server.logger.exception("answering a request failed")
                if self.fail(event.stream_id) and event.method != "CONNECT" and not event.ended:
                    self.discard(event.stream_id)
        elif kind is SinkFailed:
            self.server.logger.error("stream %d failed", event.stream_id, exc_info=event.error)
        elif kind is Terminated:
            self.over = True
            if isinstance(self.conn, H1Connection) and self.conn.broken:
                self._cut_off()
            self.patient = event.error_code != NO_ERROR or self.conn.peer_may_send
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

    @abc.abstractmethod
    def _requested(self, event: Any) -> None:
        """Answer a request, now or later. What is raised is answered as `fail` does."""

    def fail(self, stream_id: int) -> bool:
        """What was to answer a request raised: 500, or a reset where an answer was begun.

        False: the stream is over already.
        """
        try:
            if self.http_version == "2":  # over HTTP/1.1 `reset` answers by itself
                self.conn.respond(stream_id, FAILED, True)
                self.touch()
                return True
        except LocalProtocolError:
            pass
        except StreamClosed:
            return False
        return reset(self, stream_id, INTERNAL_ERROR)

    @property
    def full(self) -> bool:
        """Are as many handlers at work as there may be streams?"""
        most = self.server.options.settings.max_concurrent_streams
        return self.http_version == "2" and self.handlers >= most

    def _may_begin(self, event: Any) -> bool:
        """May a handler work on this request? False: it was refused."""
        server = self.server
        if self.full:
            # CVE-2023-44487: as many handlers are at work as there may be streams, though some of
            # their streams are over. The request may be tried again when one of them has ended.
            self.conn.refuse(event.stream_id, "max_handlers")
            return False
        if server.admission.over_budget():
            server.admission.refuse("memory_budget", self, "a stream")
            fields = [(":status", "503"), ("content-length", "0")]
            self.conn.respond(event.stream_id, fields, True)
            if not event.ended and event.method != "CONNECT":
                self.discard(event.stream_id)  # or what it brings would be kept, too
            self.touch()
            return False
        return True
