"""The client's end of an HTTP/1.1 connection, with the verbs and events of an HTTP/2 one.

`h11` parses and writes; what it is too lenient about is refused where servers refuse it, by
`aio.h1.head` and `aio.h1.chunks`. One request at a time; the one that becomes a tunnel is the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import h11

from ..aio.h1.chunks import MAX_CHUNK_LINE, ChunkGuard
from ..aio.h1.connection import fields_for_h1
from ..aio.h1.head import Gathering, InvalidHead, check_framing, read_fields
from ..aio.h1.reader import MAX_UNTAKEN
from ..aio.h1.unsent import Unsent
from ..engine import Limits, Sink
from ..engine.arrivals import Data
from ..engine.constants import CANCEL, NEVER, NO_ERROR
from ..engine.endpoint import Endpoint
from ..engine.events import (
    Drained,
    Ended,
    Informed,
    Opened,
    Reset,
    Responded,
    Terminated,
    Trailers,
)
from ..engine.handshake import accept_value, has_token, new_key, split_list, values_of
from ..engine.octets import Octets
from ..errors import LocalProtocolError, StreamClosed
from .table import Token

__all__ = ["H1Client"]

IDLE_S = 60.0  # how long a connection may be idle: shorter than servers have it (nginx 75 s)

# What becomes of the octets that arrive
IDLE = 0  # there should be none
HEAD = 1
BODY = 2
OVER = 3

Fields = list[tuple[bytes, bytes]]


class H1Client(Endpoint):
    """One request after the other, each a stream: numbers count up from 1.

    `on_idle()` is called when the next request may be sent, `on_upgrade(tunnel)` when the protocol
    has changed, just before `Opened`: go on with `tunnel`.
    """

    __slots__ = (
        "_chunked",
        "_chunks",
        "_due",
        "_exchange",
        "_gathering",
        "_informed",
        "_key",
        "_left",
        "_limits",
        "_on_idle",
        "_on_upgrade",
        "_phase",
        "_queue",
        "_sink",
        "_stream_id",
        "_token",
        "_unsent",
        "_untaken",
        "terminated",
    )

    def __init__(
        self,
        limits: Limits,
        on_idle: Callable[[], None],
        on_upgrade: Callable[[Octets], None],
    ) -> None:
        self._limits = limits
        self._on_idle = on_idle
        self._on_upgrade = on_upgrade
        self.terminated = False
        self._phase = IDLE
        self._gathering = Gathering()
        self._queue: list[Any] = []
        self._stream_id = 0
        self._exchange: h11.Connection | None = None
        self._sink: Sink | None = None
        self._token: str | None = None  # what the request asks to change to
        self._key: bytes | None = None
        self._informed = False
        self._chunked = False  # the request's body
        self._left = 0  # octets of one before a tunnel
        self._chunks: ChunkGuard | None = None
        self._untaken = 0
        self._unsent = Unsent(limits)
        self._due = NEVER  # until when it may be idle

    # -- bytes in, bytes out, time --------------------------------------------------------------

    @property
    def reading(self) -> bool:
        """Should more be read from the transport now?"""
        return self._untaken < MAX_UNTAKEN

    @property
    def leaving(self) -> bool:
        """Should this side of the transport end? Some servers take that for the end of both."""
        return False

    @property
    def reused(self) -> bool:
        """Is this not its first request?"""
        return self._stream_id > 1

    def receive_data(self, data: Any, now: float = 0.0) -> list[Any]:
        """See `Connection.receive_data`."""
        octets = bytes(data)
        if self._phase == HEAD:
            self._gathering.add(octets)
            self._read_heads()
        elif self._phase == BODY:
            self._read_body(octets)
        elif self._phase == IDLE:
            self._end("the server sent what nobody had asked for", False)
        return self.events()

    def receive_eof(self, now: float = 0.0) -> list[Any]:
        """See `Connection.receive_eof`."""
        if self._phase == BODY:
            self._read_body(b"")  # where a body has no length, this is its end
        self._end("the server closed the connection", True)
        return self.events()

    def receive_loss(self, now: float = 0.0) -> list[Any]:
        """See `Endpoint.receive_loss`."""
        # RFC 9112 section 8: what ends with the connection is complete "unless an error was
        # indicated by the underlying connection". A FIN came through `receive_eof` before.
        self._end("the connection was lost", True)
        return self.events()

    def events(self) -> list[Any]:
        """See `Connection.events`."""
        queue = self._queue
        self._queue = []
        return queue

    def data_to_send(self, max_bytes: int = 65536, now: float = 0.0) -> list[Any]:
        """See `Connection.data_to_send`."""
        buffers = self._unsent.take(max_bytes)
        self.arm(now)
        if self._unsent.drained():
            self._emit(Drained(self._stream_id))
        return buffers

    def arm(self, now: float) -> None:
        """See `Connection.arm`."""
        if self._phase != IDLE:
            self._due = NEVER
        elif self._due == NEVER:
            self._due = now + min(IDLE_S, self._limits.idle_timeout_s)
        self._unsent.arm(now)

    def next_timeout(self) -> float | None:
        """See `Connection.next_timeout`."""
        due = min(self._due, self._unsent.due)
        return None if due == NEVER else due

    def handle_timeout(self, now: float) -> None:
        """See `Connection.handle_timeout`."""
        if now >= self._unsent.due:
            self._end("the server took nothing in time", False)
        elif now >= self._due and self._phase == IDLE:
            self._end("nothing was asked for long", False)

    # -- verbs ----------------------------------------------------------------------------------

    def request(
        self,
        headers: Iterable[tuple[Any, Any]],
        end_stream: bool = True,
        token: Token | None = None,
    ) -> int:
        """See `Connection.request`; with `:protocol` it asks for an upgrade as `token` says.

        Raises ValueError where HTTP/1.1 cannot carry it.
        """
        if self._phase != IDLE or self.terminated:
            raise LocalProtocolError("the last request is not over")
        pseudo: dict[bytes, bytes] = {}
        fields: Fields = []
        for name, value in fields_for_h1(headers):
            if name.startswith(b":"):
                pseudo[name] = value
            elif name != b"te":  # which Connection would have to name
                fields.append((name, value))
        method = pseudo[b":method"]
        tunnel = b":protocol" in pseudo
        chunked = not (tunnel or end_stream or values_of(fields, b"content-length"))
        head: Fields = [(b"host", pseudo[b":authority"])]
        body = 0
        self._token = self._key = None
        if tunnel:
            assert token is not None
            method = token.method.encode("ascii")
            self._token = pseudo[b":protocol"].decode("ascii").lower()
            options = b", ".join([b"Upgrade", *(each.encode() for each in token.options)])
            head += [(b"connection", options), (b"upgrade", pseudo[b":protocol"])]
            if token.needs_key:
                self._key = new_key()
                head.append((b"sec-websocket-key", self._key))
                if not values_of(fields, b"sec-websocket-version"):
                    head.append((b"sec-websocket-version", b"13"))
            head += fields_for_h1(token.fields)
            body = token.body
            if body:
                head.append((b"content-length", str(body).encode()))
        elif chunked:
            head.append((b"transfer-encoding", b"chunked"))
        exchange = h11.Connection(h11.CLIENT, MAX_CHUNK_LINE)
        ended = end_stream or (tunnel and not body)
        try:
            octets = exchange.send(
                h11.Request(method=method, target=pseudo[b":path"], headers=head + fields)
            )
            last = exchange.send(h11.EndOfMessage()) if ended else b""
        except h11.LocalProtocolError as error:
            raise ValueError(str(error)) from error
        self._exchange = exchange
        self._stream_id += 1
        self._phase = HEAD
        self._informed = False
        self._untaken = 0
        self._sink = None
        self._chunked = chunked
        self._left = body
        self._chunks = None
        self._write((octets or b"") + (last or b""))
        return self._stream_id

    def send_data(self, stream_id: int, data: Any, end_stream: bool = False) -> int:
        """See `Connection.send_data`."""
        exchange = self._current(stream_id)
        try:
            if len(data):
                for piece in exchange.send_with_data_passthrough(h11.Data(data=data)) or []:
                    self._write(piece)
            if self._left:
                self._left -= len(data)
                end_stream = end_stream or not self._left
            if end_stream:
                self._write(exchange.send(h11.EndOfMessage()) or b"")
                self._conclude()
        except h11.LocalProtocolError as error:
            raise LocalProtocolError(str(error)) from error
        return self._unsent.octets

    def send_trailers(self, stream_id: int, headers: Iterable[tuple[Any, Any]]) -> None:
        """See `Connection.send_trailers`. Where the body is not chunked they are left out."""
        exchange = self._current(stream_id)
        fields = fields_for_h1(headers) if self._chunked else []
        try:
            octets = exchange.send(h11.EndOfMessage(headers=fields))
        except h11.LocalProtocolError as error:
            raise LocalProtocolError(str(error)) from error
        self._write(octets or b"")
        self._conclude()

    def attach(self, stream_id: int, sink: Sink) -> None:
        """See `Connection.attach`."""
        self._current(stream_id)
        self._sink = sink

    def consumed(self, stream_id: int, credit: int) -> None:
        """See `Connection.consumed`."""
        if stream_id == self._stream_id:
            self._untaken = max(0, self._untaken - credit)

    def waiting(self, stream_id: int) -> int:
        """See `Connection.waiting`."""
        return self._unsent.octets if stream_id == self._stream_id else 0

    def reset(self, stream_id: int, error_code: int = CANCEL) -> None:
        """Give the exchange up: HTTP/1.1 can do so only by closing the connection."""
        self._current(stream_id)
        self._end("given up by this end", False)

    def shutdown(self, error_code: int = NO_ERROR, reason: bytes = b"") -> None:
        """End where nothing is under way; who is answered may be answered whole."""
        if self._phase == IDLE:
            self._end("shut down", False)

    def abort(self, error_code: int = NO_ERROR, reason: bytes = b"") -> None:
        """End at once."""
        self._end("ended by this end", False)

    @property
    def octets_held(self) -> int:
        """See `Connection.octets_held`."""
        return self._untaken + self._unsent.octets + len(self._gathering)

    # -- the answer -----------------------------------------------------------------------------

    def _current(self, stream_id: int) -> h11.Connection:
        if stream_id != self._stream_id or self._exchange is None:
            raise StreamClosed(f"request {stream_id} is over")
        return self._exchange

    def _write(self, data: bytes) -> None:
        self._unsent.add(data)

    def _read_heads(self) -> None:
        try:
            while self._phase == HEAD:
                head = self._gathering.take()
                if head is None:
                    return
                self._read_head(head)
        except (h11.RemoteProtocolError, InvalidHead) as error:
            self._end(f"the answer is no HTTP: {error}", False)
            return
        if self._phase == BODY and len(self._gathering):  # for h11, nothing is the end
            self._read_body(self._gathering.rest())

    def _read_head(self, head: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        fields = read_fields(head)
        check_framing(head[5:8], fields)
        exchange.receive_data(head)
        answer = exchange.next_event()
        if isinstance(answer, h11.InformationalResponse):
            if answer.status_code == 101:
                self._switch(fields)
                return
            self._informed = True
            self._emit(Informed(self._stream_id, answer.status_code, fields))
            return
        if not isinstance(answer, h11.Response):
            raise InvalidHead(502, "it does not begin with a status")
        self._chunks = ChunkGuard() if values_of(fields, b"transfer-encoding") else None
        self._phase = BODY
        fields = one_length(fields, answer)
        following = exchange.next_event()
        ended = isinstance(following, h11.EndOfMessage)
        self._emit(Responded(self._stream_id, answer.status_code, fields, ended))
        if ended and self._phase == BODY:
            self._phase = HEAD
            self._conclude()

    def _switch(self, fields: Fields) -> None:
        # RFC 9110 section 7.8, and RFC 6455 section 4.1 where there is a key.
        upgrades = [each for value in values_of(fields, b"upgrade") for each in split_list(value)]
        token = self._token
        if token is None or [each.lower() for each in upgrades] != [token.encode()]:
            raise InvalidHead(502, "a 101 to something that was not asked for")
        if self._left:
            # RFC 9110 section 7.8: "A client cannot begin using an upgraded protocol on the
            # connection until it has completely sent the request message".
            raise InvalidHead(502, "a 101 before the request was whole")
        if not has_token(values_of(fields, b"connection"), b"upgrade"):
            raise InvalidHead(502, "Connection does not name upgrade")
        if self._key is not None:
            accepted = values_of(fields, b"sec-websocket-accept")
            if len(accepted) != 1 or accepted[0] != accept_value(self._key):
                raise InvalidHead(502, "Sec-WebSocket-Accept does not answer the key")
        tunnel = Octets(self._limits, self._stream_id)
        sink = self._sink
        tunnel.attach(self._stream_id, sink)
        self._phase = OVER
        self.terminated = True
        self._sink = None
        self._exchange = None
        self._on_upgrade(tunnel)
        self._tell(sink, Opened(self._stream_id, 200, fields, None))
        self._queue += tunnel.receive_data(self._gathering.rest())

    def _read_body(self, data: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        try:
            if data and self._chunks is not None:
                self._chunks.check(data)
            exchange.receive_data(data)
            while self._phase == BODY:
                event = exchange.next_event()
                if isinstance(event, h11.Data):
                    self._untaken += len(event.data)
                    self._emit(Data(self._stream_id, bytes(event.data), len(event.data)))
                elif isinstance(event, h11.EndOfMessage):
                    if event.headers:
                        self._emit(Trailers(self._stream_id, list(event.headers)))
                    self._answered()
                else:
                    return
        except (h11.RemoteProtocolError, InvalidHead) as error:
            self._end(f"the answer's body is broken: {error}", True)

    def _answered(self) -> None:
        exchange = self._exchange
        if exchange is None or self._phase != BODY:
            return
        self._phase = HEAD  # whatever comes now is no answer of this request's
        stream_id = self._stream_id
        self._emit(Ended(stream_id))
        if self._exchange is exchange:
            self._conclude()

    def _conclude(self) -> None:
        # Both sides are done: the next request may come, where the server lets it.
        exchange = self._exchange
        if exchange is None or exchange.their_state not in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED):
            return
        if exchange.trailing_data[0] or self._gathering:
            self._sink = None
            self._end("the server sent more than was asked for", False)
        elif exchange.our_state is h11.DONE and exchange.their_state is h11.DONE:
            self._exchange = None
            self._sink = None
            self._phase = IDLE
            self._due = NEVER
            self._on_idle()
        elif exchange.our_state is not h11.SEND_BODY:
            self._sink = None
            self._end("the server takes no more requests", False)

    def _emit(self, event: Any) -> None:
        if self._sink is None:
            self._queue.append(event)
        else:
            self._tell(self._sink, event)

    def _tell(self, sink: Sink | None, event: Any) -> None:
        if sink is None:
            return
        if type(event) is Data:
            sink._data(event.data, event.credit)
        else:
            sink._event(event)

    def _end(self, reason: str, remote: bool) -> None:
        # The connection is over, whatever is under way.
        if self.terminated:
            return
        self.terminated = True
        untouched = self._phase == HEAD and not self._informed and not len(self._gathering)
        self._phase = OVER
        self._unsent.clear()
        self._due = NEVER
        sink = self._sink
        self._sink = None
        if self._exchange is not None:
            # Nothing came of the request, and what is idempotent may be sent again: RFC 9112 9.3.1.
            retryable = untouched and remote
            self._exchange = None
            self._tell(sink, Reset(self._stream_id, CANCEL, reason, remote, retryable))
        self._queue.append(Terminated(NO_ERROR, reason, remote))


def one_length(fields: Fields, answer: h11.Response) -> Fields:
    """The fields with the length that `answer` has once where it stands twice, and none of a 204.

    RFC 9110 section 8.6: a server MUST NOT send one there.
    """
    kept = [field for field in fields if field[0] != b"content-length"]
    lengths = values_of(list(answer.headers), b"content-length")
    if len(kept) == len(fields) or answer.status_code == 204:
        return kept
    return [*kept, (b"content-length", lengths[0])]
