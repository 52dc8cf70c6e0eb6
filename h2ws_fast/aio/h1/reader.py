"""Requests of HTTP/1.1 as they arrive at a server; how they are answered stands in `h1`.

`h11` parses and writes; what it is too lenient about is refused in `head` and `chunks`, what a
WebSocket's handshake needs is checked in the engine's `handshake`.
"""

from __future__ import annotations

import http
from collections.abc import Callable, Container
from typing import Any

import h11

from ...engine import Limits, Sink
from ...engine.arrivals import Data
from ...engine.buffers import Pool
from ...engine.connection import check_on_limit
from ...engine.constants import CANCEL, NEVER, NO_ERROR
from ...engine.endpoint import Endpoint
from ...engine.events import Drained, Ended, Requested, Reset, Terminated, Trailers
from ...engine.handshake import has_token, read_offers, read_upgrade, split_list, values_of
from ...engine.headers import MalformedMessage, read_request
from .chunks import MAX_CHUNK_LINE, ChunkAllowance, ChunkGuard
from .head import Gathering, InvalidHead, check_framing, read_fields
from .unsent import Unsent

__all__ = ["Fields", "H1Reader", "make_response"]

KEEP_ALIVE_S = 60.0  # how long a connection may be idle between two requests (nginx 75 s)
ROUNDING_S = 0.001  # four quarters of a timeout must reach it
DRAIN_S = 1.0  # after the last response: a client still sending would lose it to a reset by TCP
MAX_AHEAD = 65536  # octets held of requests that came before their turn, and of early messages
MAX_UNTAKEN = 65536  # octets of a body that nobody has taken yet
MAX_UNREAD = 262144  # octets of a body that are still read, and dropped, once it was answered

# What becomes of the octets that arrive
HEAD = 0  # they are a request's head
BODY = 1  # ... its body
AHEAD = 2  # they wait: the request is whole, and its answer is not
DROP = 3  # nobody wants them any more
OVER = 4

WEBSOCKET = frozenset(("websocket",))
GET = frozenset((b"GET",))

Fields = list[tuple[bytes, bytes]]
OnUpgrade = Callable[[bytes, Endpoint, bytes], None]


def reason_phrase(status: int) -> bytes:
    """The standard phrase of a status, b"" where it has none."""
    try:
        return http.HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


def make_response(kind: Any, status: int, fields: Fields) -> Any:
    try:
        return kind(status_code=status, headers=fields, reason=reason_phrase(status))
    except h11.LocalProtocolError as error:
        raise ValueError(str(error)) from error


class H1Reader(Endpoint):
    """One request after the other, and the time they take. See `H1Connection`."""

    __slots__ = (
        "_answered",
        "_bare",
        "_body_came",
        "_body_since",
        "_chunked",
        "_chunks",
        "_due",
        "_exchange",
        "_gathering",
        "_head_only",
        "_hits",
        "_ignoring",
        "_key",
        "_last",
        "_limits",
        "_methods",
        "_notify",
        "_now",
        "_offered",
        "_offers",
        "_on_upgrade",
        "_phase",
        "_pool",
        "_queue",
        "_received",
        "_responding",
        "_scheme",
        "_sent",
        "_sink",
        "_small",
        "_stream_id",
        "_unread",
        "_unsent",
        "_untaken",
        "_upgrades",
        "_upgrading",
        "_wait",
        "broken",
        "terminated",
    )

    def __init__(
        self,
        limits: Limits,
        scheme: str,
        on_upgrade: OnUpgrade,
        *,
        upgrades: Container[str] = WEBSOCKET,
        ignoring: bool = False,
        methods: Container[bytes] = GET,
        pool: Pool | None = None,
    ) -> None:
        self._limits = limits
        self._scheme = scheme.encode()
        self._on_upgrade = on_upgrade
        self._upgrades = upgrades
        self._ignoring = ignoring
        self._methods = methods
        self._pool = pool
        self.terminated = False
        self._phase = HEAD
        self._gathering = Gathering()
        self._queue: list[Any] = []
        self._last = False  # no request comes after this one
        # the exchange that is going on
        self._stream_id = 0
        self._exchange: h11.Connection | None = None
        self._sink: Any = None
        self._key = b""
        self._offered: list[str] = []
        self._offers: bytes | None = None  # of extensions
        self._upgrading = ""  # the token that is asked for
        self._head_only = False
        self._responding = False  # the response's head is out
        self._answered = False  # the response is whole
        self._bare = False  # its body has neither a length nor chunks: its end is the connection's
        self.broken = False  # ... which came too early: a FIN would say that all went well
        self._chunks: ChunkGuard | None = None
        self._small: ChunkAllowance | None = None  # made on need
        self._untaken = 0
        self._unread = 0
        self._body_since = -1.0  # what came of the body since then
        self._body_came = 0
        # what leaves
        self._unsent = Unsent(limits)
        self._chunked = False
        # time: seconds from the next `data_to_send` on, and when that is over
        self._now = 0.0
        self._wait: float | None = None
        self._due: float | None = None
        self._mark(limits.handshake_timeout_s)
        self._hits: dict[str, int] = {}
        self._notify: Any = None
        self._received = 0
        self._sent = 0

    # -- bytes in, bytes out, time --------------------------------------------------------------

    @property
    def reading(self) -> bool:
        """Should more be read from the transport now?"""
        if self._phase == AHEAD:
            return len(self._gathering) < MAX_AHEAD
        return self._phase != BODY or self._untaken < MAX_UNTAKEN

    @property
    def leaving(self) -> bool:
        """Has the last response gone out? The client shall see that nothing follows."""
        return self._phase == DROP

    def receive_data(self, data: Any, now: float = 0.0) -> list[Any]:
        """See `Connection.receive_data`."""
        self._now = now
        data = bytes(data)
        self._received += len(data)
        if self._phase == BODY:
            self._read_body(data)
        elif self._phase == HEAD or self._phase == AHEAD:
            # Empty lines before a request are none of it (RFC 9112 section 2.2), and give no time.
            between = self._phase == HEAD and self._stream_id  # and `take` leaves no empty lines
            if between and self._gathering.blank and data.strip(b"\r\n"):
                self._mark(self._limits.handshake_timeout_s)
            self._gathering.add(data)
        return self.events()

    def receive_eof(self, now: float = 0.0) -> list[Any]:
        """See `Connection.receive_eof`."""
        self._end("the transport was closed", True)
        return self.events()

    def events(self) -> list[Any]:
        """See `Connection.events`."""
        self._advance()
        self._arm()
        events = self._queue
        self._queue = []
        return events

    def data_to_send(self, max_bytes: int = 65536, now: float = 0.0) -> list[Any]:
        """See `Connection.data_to_send`."""
        waited = self._unsent.octets
        buffers = self._unsent.take(max_bytes)
        self._sent += waited - self._unsent.octets
        self.arm(now)
        if self._unsent.drained():
            self._emit(Drained(self._stream_id))
        return buffers

    def arm(self, now: float) -> None:
        """See `Connection.arm`."""
        self._now = now
        self._arm()
        self._unsent.arm(now)

    def next_timeout(self) -> float | None:
        """See `Connection.next_timeout`."""
        due = NEVER if self._due is None else self._due
        due = min(due, self._unsent.due)
        return None if due == NEVER else due

    def handle_timeout(self, now: float) -> None:
        """See `Connection.handle_timeout`."""
        if now >= self._unsent.due:
            self._hit("write_timeout_s")
            self._answered = False  # what is left of it is not worth keeping
            self._end("the client took nothing in time", False)
            return
        if self._due is None or now < self._due:
            return
        self._unmark()
        if self._phase == DROP:
            self._end("the connection is closed", False)
        elif self._phase == HEAD and not self._gathering:
            self._end("no request in time", False)
        elif self._phase == HEAD:
            self._hit("handshake_timeout_s")
            self._refuse(408, "the request's head did not come in time")
        elif self._upgrading:
            self._hit("handshake_timeout_s")
            sink = self._sink
            self._sink = None
            self._refuse(408, "the application did not answer in time")
            self._tell(sink, Reset(self._stream_id, CANCEL, "no answer in time", False, False))
        elif self._phase == BODY and not self._answered:
            self._look_at_body(now)
        elif self._answered:
            self._end("the rest of a request did not come in time", False)

    def _look_at_body(self, now: float) -> None:
        # As of a stream of HTTP/2, four times in each `body_timeout_s`, until the answer begins:
        # afterwards it may be a conversation, with silences.
        limits = self._limits
        exchange = self._exchange
        assert exchange is not None
        if self._responding:
            return
        elapsed = now - self._body_since
        if self._body_since < 0 or self._untaken or exchange.they_are_waiting_for_100_continue:
            # The first look; or it is the application that keeps the client waiting.
            self._body_since = now
            self._body_came = 0
        elif elapsed + ROUNDING_S >= limits.body_timeout_s:
            if self._body_came == 0 or self._body_came < limits.min_body_rate * elapsed:
                self._hit("body_timeout_s")
                sink = self._sink
                self._sink = None
                self._refuse(408, "the request's body did not come in time")
                self._tell(sink, Reset(self._stream_id, CANCEL, "no body in time", False, False))
                return
            self._body_since = now
            self._body_came = 0
        self._mark(limits.body_timeout_s / 4)

    def _mark(self, seconds: float) -> None:
        self._wait = None if seconds == float("inf") else seconds
        self._due = None

    def _arm(self) -> None:
        if self._due is None and self._wait is not None:
            self._due = self._now + self._wait

    def _unmark(self) -> None:
        self._wait = None
        self._due = None

    def _write(self, data: bytes) -> None:
        self._unsent.add(data)

    # -- requests -------------------------------------------------------------------------------

    def _advance(self) -> None:
        # The exchange is done on both sides and has left: the next, or the end.
        while not self.terminated:
            if self._phase == AHEAD and self._answered:
                if self._unsent:
                    return
                self._finish_exchange()
            elif self._phase == HEAD and self._gathering and not self._last:
                if not self._read_head():
                    return
            elif self._phase == BODY and self._gathering:
                self._read_body(self._gathering.rest())
            else:
                return

    def _finish_exchange(self) -> None:
        assert self._exchange is not None
        exchange = self._exchange
        self._exchange = None
        self._sink = None
        # What answers the next one, should it be none, is not bound by what this one was.
        self._head_only = False
        self._responding = False
        if exchange.their_state is h11.DONE and exchange.our_state is h11.DONE and not self._last:
            self._phase = HEAD
            self._mark(
                self._limits.handshake_timeout_s
                if self._gathering
                else min(KEEP_ALIVE_S, self._limits.idle_timeout_s)
            )
        elif exchange.their_state is h11.MUST_CLOSE and not self._gathering:
            self._end("the connection is closed", False)
        else:
            # The client may still be sending, and would lose the answer to a reset by TCP if the
            # transport were closed now: RFC 9112 section 9.6.
            self._phase = DROP
            self._gathering.rest()
            self._mark(DRAIN_S)

    def _read_head(self) -> bool:
        # False: it is not whole.
        try:
            head = self._gathering.take()
            if head is None:
                return False
            self._unmark()
            self._begin(head)
        except InvalidHead as error:
            if error.limit:
                self._hit(error.limit)
            self._refuse(error.status, error.reason)
        return True

    def _begin(self, head: bytes) -> None:
        self._stream_id += 1
        exchange = h11.Connection(h11.SERVER, 2 * MAX_CHUNK_LINE)  # the guard comes first
        self._exchange = exchange
        self._sink = None
        self._upgrading = ""
        self._responding = False
        self._answered = False
        self._head_only = False
        self._untaken = 0
        self._unread = 0
        version = head[: head.index(b"\r\n")].rpartition(b"HTTP/")[2]
        fields = read_fields(head)
        check_framing(version, fields)
        try:
            exchange.receive_data(head)
            request = exchange.next_event()
            following = None
            if isinstance(request, h11.Request):
                # At once: what refuses a HEAD has no body either.
                self._head_only = request.method == b"HEAD"
                following = exchange.next_event()
        except h11.RemoteProtocolError as error:
            raise InvalidHead(error.error_status_hint, str(error)) from error
        if not isinstance(request, h11.Request):
            raise InvalidHead(400, "no request")
        if not request.http_version.startswith(b"1."):
            raise InvalidHead(505, "the version of HTTP is neither 1.0 nor 1.1")
        self._phase = AHEAD if isinstance(following, h11.EndOfMessage) else BODY
        if self._phase == BODY:
            self._body_since = -1.0
            self._mark(self._limits.body_timeout_s / 4)
        self._chunks = None
        if values_of(fields, b"transfer-encoding"):
            if self._small is None:
                self._small = ChunkAllowance()
            self._chunks = ChunkGuard(self._small)
        fields = [(name, value) for name, value in request.headers]
        method, authority, path = self._target(request, fields)
        protocol = self._wanted(request, fields)
        if protocol == "websocket":
            try:
                self._key, self._offered = read_upgrade(method, request.http_version, fields)
            except MalformedMessage as error:
                self._refuse_upgrade(error)
                return
            self._offers = read_offers(fields)
        if protocol is not None:
            self._upgrading = protocol
            self._mark(self._limits.handshake_timeout_s)
        self._queue.append(
            Requested(
                self._stream_id,
                method,
                self._scheme.decode(),
                authority,
                path,
                protocol,
                fields,
                self._phase == AHEAD,
            )
        )

    def _wanted(self, request: h11.Request, fields: Fields) -> str | None:
        # The first token in the client's order that is enabled: RFC 9110 section 7.8.
        asked = request.http_version >= b"1.1" and has_token(
            values_of(fields, b"connection"), b"upgrade"
        )
        for value in values_of(fields, b"upgrade"):
            for element in split_list(value):
                token = element.decode("latin-1").lower()
                if token not in self._upgrades:
                    continue
                if token == "websocket":
                    if asked or not self._ignoring:
                        return token
                elif asked and request.method in self._methods and self._phase == AHEAD:
                    return token
        return None

    def _target(self, request: h11.Request, fields: Fields) -> tuple[str, str, str]:
        # RFC 9112 section 3.2; the parts have to be what HTTP/2 demands of its pseudo-fields.
        hosts = values_of(fields, b"host")
        host = hosts[0] if hosts else None
        target = request.target
        if request.method == b"CONNECT":
            return "CONNECT", target.decode("ascii"), ""
        scheme, slashes, rest = target.partition(b"://")
        if slashes and scheme.lower() in (b"http", b"https"):
            # Section 3.2.2: the absolute form "MUST" override Host.
            host, slash, path = rest.partition(b"/")
            if not slash and b"?" in host:
                host, slash, path = host.partition(b"?")
                path = b"?" + path
            target = b"/" + path
        if host is None:
            if request.http_version >= b"1.1":
                raise InvalidHead(400, "no host")
            authority = b"localhost"  # HTTP/1.0 names none
        else:
            authority = host
        try:
            head = read_request(  # type: ignore[no-untyped-call]  # compiled
                [
                    (b":method", request.method),
                    (b":scheme", self._scheme),
                    (b":authority", authority),
                    (b":path", target),
                ],
                False,
            )
        except MalformedMessage as error:
            raise InvalidHead(400, error.reason) from error
        if host == b"":
            raise InvalidHead(400, "an empty host")
        return head.method, "" if host is None else head.authority, head.path

    def _refuse_upgrade(self, error: MalformedMessage) -> None:
        fields: Fields = [(b"content-type", b"text/plain; charset=utf-8")]
        if error.status == 426:
            # RFC 6455 section 4.4 and RFC 9110 section 15.5.22.
            fields += [
                (b"sec-websocket-version", b"13"),
                (b"upgrade", b"websocket"),
                (b"connection", b"upgrade"),
            ]
        elif error.status == 405:
            fields.append((b"allow", b"GET"))
        self._respond_whole(error.status, fields, error.reason)

    def _refuse(self, status: int, reason: str) -> None:
        # A request that cannot be served, or not in time: nothing that follows can be trusted.
        self._last = True
        if self._responding:
            self._end(reason, False)
            return
        exchange = self._exchange
        if exchange is None or exchange.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self._exchange = h11.Connection(h11.SERVER)
        self._phase = AHEAD
        self._upgrading = ""
        self._unmark()
        fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        self._respond_whole(status, fields, reason)

    def _respond_whole(self, status: int, fields: Fields, text: str) -> None:
        body = text.encode() + b"\n"
        exchange = self._exchange
        assert exchange is not None
        fields = [*fields, (b"content-length", str(len(body)).encode())]
        self._write(exchange.send(make_response(h11.Response, status, fields)) or b"")
        if not self._head_only:
            self._write(exchange.send(h11.Data(data=body)) or b"")
        self._write(exchange.send(h11.EndOfMessage()) or b"")
        self._responding = True
        self._response_ended()

    def _response_ended(self) -> None:
        self._answered = True
        self._upgrading = ""
        self._untaken = 0
        self._unmark()
        if self._phase == BODY:
            # RFC 9112 section 9.3: the rest is read and dropped while it is short.
            if self._last:
                self._give_up_body()
            else:
                self._mark(self._limits.close_timeout_s)

    def _give_up_body(self) -> None:
        # Nothing of it is wanted any more; `_advance` closes once the answer has left.
        self._last = True
        self._unmark()
        self._phase = AHEAD

    def _read_body(self, data: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        try:
            if data:
                if self._chunks is not None:
                    assert self._small is not None
                    self._small.at(self._now)
                    self._chunks.check(data)
                exchange.receive_data(data)
            while self._phase == BODY:
                event = exchange.next_event()
                if isinstance(event, h11.Data):
                    self._receive_body(bytes(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    self._end_body(event)
                else:
                    return
        except (h11.RemoteProtocolError, InvalidHead) as error:
            sink = self._sink
            self._sink = None
            if isinstance(error, InvalidHead):
                status = error.status
                if error.limit:
                    self._hit(error.limit)
            else:
                status = error.error_status_hint
            self._refuse(status, str(error))
            self._tell(sink, Reset(self._stream_id, CANCEL, str(error), True, False))

    def _receive_body(self, data: bytes) -> None:
        if self._answered:
            self._unread += len(data)
            if self._unread > MAX_UNREAD:
                self._hit("max_unread")
                self._give_up_body()
            return
        self._untaken += len(data)
        self._body_came += len(data)
        self._emit(Data(self._stream_id, data, len(data)))

    def _end_body(self, event: h11.EndOfMessage) -> None:
        exchange = self._exchange
        assert exchange is not None
        self._phase = AHEAD
        self._gathering.add(exchange.trailing_data[0])
        self._unmark()
        if self._answered:
            return
        if event.headers:
            self._emit(Trailers(self._stream_id, [(name, value) for name, value in event.headers]))
        self._emit(Ended(self._stream_id))

    def _emit(self, event: Any) -> None:
        if self._sink is None:
            self._queue.append(event)
        else:
            self._tell(self._sink, event)

    def _tell(self, sink: Any, event: Any) -> None:
        if isinstance(sink, Sink):
            if type(event) is Data:
                sink._data(event.data, event.credit)
            else:
                sink._event(event)
        elif sink is not None:
            sink(event)

    def _end(self, reason: str, remote: bool) -> None:
        # The connection is over, whatever is under way.
        if self.terminated:
            return
        self.terminated = True
        self._phase = OVER
        self._unmark()
        if not remote and not self._answered and self._exchange is not None:
            self._unsent.clear()
            self.broken = self._responding and self._bare
        sink = self._sink
        self._sink = None
        if self._exchange is not None and not (self._answered and not self._unsent):
            self._tell(sink, Reset(self._stream_id, CANCEL, reason, remote, False))
        self._exchange = None
        self._queue.append(Terminated(NO_ERROR, reason, remote))

    # -- limits ---------------------------------------------------------------------------------

    @property
    def on_limit(self) -> Any:
        """See `Connection.on_limit`."""
        return self._notify

    @on_limit.setter
    def on_limit(self, callback: Any) -> None:
        check_on_limit(callback)
        self._notify = callback

    def _hit(self, name: str) -> None:
        count = self._hits.get(name, 0) + 1
        self._hits[name] = count
        if count == 1 and self._notify is not None:
            self._notify(name)
