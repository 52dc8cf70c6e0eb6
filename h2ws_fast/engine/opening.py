"""Requests and their answers: how streams open, from either side.

A call that is wrong raises and changes nothing: everything is checked before anything is queued.
"""

from ..errors import (
    ExtendedConnectUnsupported,
    LocalProtocolError,
    NoAvailableStreams,
    StreamClosed,
)
from .constants import (
    ANSWERED,
    CLOSED,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    FIRST_REQUEST_TIMER,
    HALF_CLOSED_LOCAL,
    HANDSHAKE_TIMER,
    HEAD_ONLY,
    HEADERS,
    LOCAL,
    MAX_STREAM_ID,
    NO_CONTENT,
    OVER,
    PROMPT,
    REFUSED,
    TUNNELLED,
)
from .deflate import new_deflate_layer
from .fanout import Fanout
from .handshake import accept_value, check_added, is_token
from .headers import capsule_fault
from .kernels import address, whole
from .layers import REFUSAL, TUNNEL, Pending, new_unanswered
from .messages import new_message_layer
from .prepare import prepare
from .priority import chosen, read_priority
from .stream import new_stream
from .vocabulary import CAPSULE_PROTOCOLS


def _check_capsules(protocol, fields, status):
    if protocol in CAPSULE_PROTOCOLS:
        reason = capsule_fault(fields, status)
        if reason is not None:
            raise ValueError(f"{reason}: RFC 9297 section 3.2")


# What was asked for last, and its block while the table stays as it is: whoever opens many streams
# asks for the same. 0.5 us instead of 2.5.
MAX_REMEMBERED = 1024  # octets of such a header list, as RFC 9113 section 6.5.2 counts them


def _check_factory(deflate, verb, side):
    # By what it does, which those of the other side do not.
    if deflate is not None and not callable(getattr(deflate, verb, None)):
        kind = type(deflate).__name__
        raise TypeError(f"deflate must be a {side}PerMessageDeflateFactory, not {kind}")


VERSION_FIELD = (b"sec-websocket-version", b"13")


class Asked:
    """A request of ours, ready to leave.

    `written` is the header list that it was made of, None where that is not to be remembered;
    `size` what the prepared one counts; `block` what it was encoded to when the encoder's `changes`
    were as many, or None.
    """

    __slots__ = (
        "block",
        "changes",
        "connect",
        "fields",
        "head_only",
        "octets",
        "priority",
        "protocol",
        "size",
        "written",
    )


def new_asked(fields, protocol):
    asked = Asked.__new__(Asked)
    asked.block = None
    asked.changes = 0
    asked.connect = False
    asked.fields = fields
    asked.head_only = False
    asked.octets = False
    asked.priority = None
    asked.protocol = protocol
    asked.written = None
    size = 0
    for field in fields:
        name = field[0]
        value = field[1]
        size += len(name) + len(value) + 32
        if name == b":method":
            asked.head_only = value == b"HEAD"
            asked.connect = value == b"CONNECT"
        elif name == b"priority" and asked.priority is None:
            asked.priority = value
    asked.size = size
    return asked


def _is_plain(text):
    return type(text) is str or type(text) is bytes


def _plain_list(headers):
    # A list of which nothing but itself can change, as it is now; or None.
    if type(headers) is not list:
        return None
    for field in headers:
        # A Sensitive is equal to a field that is not.
        if type(field) is not tuple or not _is_plain(field[0]) or not _is_plain(field[1]):
            return None
    return headers.copy()


def _is_same(written, headers):
    # Does a header list say what was written before?
    if type(headers) is not list or len(headers) != len(written):
        return False
    for at in range(len(written)):
        field = headers[at]
        before = written[at]
        if field is before:
            continue
        if (
            type(field) is not tuple
            or len(field) != 2
            or type(field[0]) is not type(before[0])
            or type(field[1]) is not type(before[1])
            or field != before
        ):
            return False
    return True


class Opening(Fanout):
    """The verbs that open streams and answer those of the peer."""

    __slots__ = ("_asked", "_receiving", "accept_key")

    def request(self, headers, end_stream=None, *, octets=False):
        """Open a stream with a request; return its identifier.

        For clients; for servers whose client takes such streams (`can_connect`), too, where it is an
        extended CONNECT.

        `headers` are pairs (name, value) of `str` or `bytes` with the pseudo-headers `:method`,
        `:scheme`, `:authority`, `:path` (RFC 9113 section 8.3.1); with `:method` CONNECT and
        `:protocol` it is an extended CONNECT for any token (RFC 8441 section 4). `Responded` or
        `Opened` follows, or `Reset`; a body goes by `send_data` where `end_stream` is False. None is
        True, but for a CONNECT, which must say whether this side ends before it has begun. With `octets` a WebSocket is a tunnel like any other: its frames,
        and what its handshake settles, are the caller's.

        Raises ExtendedConnectUnsupported before `can_connect`, NoAvailableStreams where the peer
        takes no more streams now, ValueError and TypeError for headers that may not be sent,
        LocalProtocolError where they are more than the peer's SETTINGS_MAX_HEADER_LIST_SIZE, for a
        CONNECT without `end_stream`, and for a WebSocket's that no server accepts.
        """
        asked = self._ask(headers, True if octets else False)
        if asked.connect:
            if end_stream is None:
                raise LocalProtocolError(
                    "give end_stream=False with CONNECT, or True where nothing is to be sent; "
                    "for a WebSocket use connect_websocket()"
                )
            if end_stream and asked.protocol == "websocket":
                raise LocalProtocolError("no WebSocket opens so; use connect_websocket()")
        elif end_stream is None:
            end_stream = True
        return self._open(asked, (), end_stream, None)

    def _ask(self, headers, octets):
        asked = self._asked
        if asked is not None and asked.octets == octets and _is_same(asked.written, headers):
            return asked
        fields = prepare(headers, "request")
        protocol = None
        for at in range(len(fields)):
            name = fields[at][0]
            if name == b":protocol":
                # RFC 9110 section 7.8: tokens compare without case; they leave in lower case.
                token = fields[at][1]
                lower = token.lower()
                protocol = lower.decode("ascii")
                if lower != token:
                    fields[at] = (b":protocol", lower)
        if protocol is not None:
            if octets:
                protocol = ""
            elif protocol == "websocket" and VERSION_FIELD not in fields:
                raise LocalProtocolError(
                    "a WebSocket is asked for with sec-websocket-version 13; use connect_websocket()"
                )
            _check_capsules(protocol, fields, 200)
        asked = new_asked(fields, protocol)
        asked.octets = octets
        if asked.size <= MAX_REMEMBERED:
            asked.written = _plain_list(headers)
            if asked.written is not None:
                self._asked = asked
        return asked

    def connect_websocket(
        self,
        authority,
        path="/",
        *,
        scheme="https",
        headers=(),
        subprotocols=(),
        origin=None,
        deflate=None,
    ):
        """Ask for a WebSocket; return the stream's identifier. For those for whom `request` is.

        RFC 8441 section 5. `Opened` follows, and messages may be sent then; or `Responded` where the
        server refuses, or `Reset`, after `Limits.handshake_timeout_s` at the latest. `subprotocols`
        are distinct tokens in order of preference, `headers` further pairs. With a
        `ClientPerMessageDeflateFactory` as `deflate` compression is offered (RFC 7692). Raises as
        `request` does, and ValueError for a field of the handshake (`sec-websocket-...`) in `headers`.
        """
        _check_factory(deflate, "offer", "Client")
        if isinstance(subprotocols, str | bytes):
            raise TypeError("subprotocols must be a sequence of str, not one str")
        offered = tuple(subprotocols)
        for name in offered:
            if not is_token(name):
                raise ValueError(f"subprotocol {name!r} must be a token: RFC 6455 section 4.1")
        if len(set(offered)) != len(offered):
            raise ValueError("each subprotocol may be offered once: RFC 6455 section 4.1")
        fields = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", scheme),
            (":authority", authority),
            (":path", path),
            ("sec-websocket-version", "13"),
        ]
        if offered:
            fields.append(("sec-websocket-protocol", ", ".join(offered)))
        if origin is not None:
            fields.append(("origin", origin))
        if deflate is not None:
            fields.append(("sec-websocket-extensions", deflate.offer()))
        own = len(fields)
        fields.extend(headers)
        fields = prepare(fields, "request")
        if len(fields) > own:
            check_added(fields[own:])
        asked = new_asked(fields, "websocket")
        return self._open(asked, offered, False, deflate)

    def _open(self, asked, subprotocols, end_stream, deflate):
        protocol = asked.protocol
        if not self.client:
            self._check_opens(protocol)
        elif protocol is not None and not self.can_connect:
            if self.greeted_settings:
                raise ExtendedConnectUnsupported(
                    "the server does not support extended CONNECT; use HTTP/1.1 instead"
                )
            raise ExtendedConnectUnsupported(
                "the server's SETTINGS have not come; wait for SettingsChanged"
            )
        if self.draining:
            raise NoAvailableStreams("the connection takes no new streams; open another one")
        if self.next_local_id > MAX_STREAM_ID:
            raise NoAvailableStreams("all stream identifiers are used; open another connection")
        if 0 <= self.peer_max_streams <= self.local_streams:
            raise NoAvailableStreams(
                f"the peer allows {self.peer_max_streams} streams at once; wait for one to end"
            )
        self._check_size(asked.size)
        self.timers.cancel(FIRST_REQUEST_TIMER, 0)  # only a server has one
        stream_id = self.next_local_id
        self.next_local_id = stream_id + 2
        stream = new_stream(
            stream_id, LOCAL, self.local_initial, new_unanswered(protocol, subprotocols, deflate)
        )
        if asked.connect:
            stream.flags |= TUNNELLED | PROMPT
            self.timers.mark(HANDSHAKE_TIMER, stream_id)
        if asked.head_only:
            stream.flags |= HEAD_ONLY
        if end_stream:
            stream.state = HALF_CLOSED_LOCAL
        if asked.priority is not None:
            # RFC 9218 section 9: what we want of the peer we do ourselves with our own body.
            rank = read_priority(asked.priority)
            if rank >= 0:
                self.outbox.place(stream, rank)
        self.enter(stream)
        self.local_streams += 1
        self.guard.streams += 1
        self._write_block(stream, self._block(asked), end_stream)
        return stream_id

    def _block(self, asked):
        if self.dialect is not None:
            return self.encoder.encode(self.dialect.written(asked.fields))
        changes = self.encoder.changes
        if asked.block is None or asked.changes != changes:
            asked.block = self.encoder.encode(asked.fields)
            # Where it has changed the table itself, the next one is another.
            asked.changes = changes
        return asked.block

    def _check_opens(self, protocol):
        # draft-kinnear-httpbis-http2-transport-02 sections 2 and 3: what a server may open.
        if self.bidirectional < 0:
            raise LocalProtocolError("only a client opens streams; a server answers with respond()")
        if protocol is None:
            raise LocalProtocolError("a server opens streams by extended CONNECT alone")
        if not self.can_connect:
            raise ExtendedConnectUnsupported(
                "the client has not sent SETTINGS_ENABLE_CONNECT_PROTOCOL and "
                f"SETTINGS_ENABLE_BIDIRECTIONAL_CONNECT ({self.bidirectional:#x})"
            )

    def _priority_field(self, fields):
        for field in fields:
            if field[0] == b"priority":
                return field[1]
        return None

    def _check_list_size(self, fields):
        if self.peer_max_header_list >= 0:
            size = 0
            for field in fields:
                size += len(field[0]) + len(field[1]) + 32
            self._check_size(size)

    def _check_size(self, size):
        # RFC 9113 section 10.5.1: advisory, and better found out here.
        if size > self.peer_max_header_list >= 0:
            raise LocalProtocolError(
                f"the header list counts {size} octets, the peer accepts "
                f"{self.peer_max_header_list}; send fewer headers"
            )

    def respond(self, stream_id, headers, end_stream=False, octets=False):
        """Answer a request. `headers` begin with `:status`; a 1xx may come before the final one.

        A 2xx to an extended CONNECT opens the tunnel (for `websocket` use `accept_websocket`). With
        `octets` a WebSocket is a tunnel like any other, as in `request`.
        After the final response `send_data` or `send_trailers` follows, unless `end_stream`. What a
        `priority` field says of urgency or incremental overrides the client's wish.

        RFC 9113 section 8.3.2. Raises LocalProtocolError where it was answered already, or a 1xx has
        `end_stream`; ValueError and TypeError for headers that may not be sent.
        """
        stream = self._answerable(stream_id)
        pending = self._pending(stream)
        tunnel = pending is not None
        fields = prepare(headers, "response")
        status = int(fields[0][1])
        if tunnel and 200 <= status < 300:
            if pending.protocol == "websocket" and not octets:
                raise LocalProtocolError("accept a WebSocket with accept_websocket()")
            fields = prepare(headers, "tunnel")
            if not octets:
                _check_capsules(pending.protocol, fields, status)
            if pending.key is not None and self.accept_key:
                fields.append((b"sec-websocket-accept", accept_value(pending.key)))
        if status < 200:
            if end_stream:
                raise LocalProtocolError("a 1xx response cannot end the stream")
            self._check_list_size(fields)
            self.write_headers(stream, fields, False)
            return
        self._check_list_size(fields)
        stream.flags |= ANSWERED
        value = self._priority_field(fields)
        if value is not None:
            # RFC 9218 section 8: what is absent stays as the client wants it.
            self.outbox.place(stream, chosen(stream.rank, value))
        self.write_headers(stream, fields, end_stream)
        if tunnel:
            self.timers.cancel(HANDSHAKE_TIMER, stream_id)
            if status < 300:
                stream.layer = TUNNEL
                if end_stream:
                    stream.state |= HALF_CLOSED_LOCAL
                self._release_early(stream, pending)
                return
            stream.flags |= REFUSED
            stream.layer = REFUSAL
            if pending.early is not None:
                n = pending.early.size()
                stream.held -= n
                self.buffered -= n
                self.credit(stream, n)
            self._credit_early(stream)
        if end_stream:
            self.ended_here(stream)
        elif stream.flags & HEAD_ONLY or status == 204 or status == 304:
            stream.flags |= NO_CONTENT

    def accept_websocket(self, stream_id, subprotocol=None, *, headers=(), deflate=None):
        """Open the WebSocket that a `Requested` with protocol "websocket" asks for.

        RFC 8441 section 5.1: the answer is a 200. `subprotocol` must be one the client offered, or
        None. `headers`, pairs as in `request`, are added to the response. With a
        `ServerPerMessageDeflateFactory` as `deflate` the client's offers of compression are answered.
        Messages may be sent at once; those that came before it are in `events()` then. Raises LocalProtocolError for another subprotocol, a stream that asks for no
        WebSocket, or one that was answered; ValueError and TypeError as `connect_websocket` does.
        """
        _check_factory(deflate, "accept", "Server")
        stream = self._answerable(stream_id)
        pending = self._pending(stream)
        if pending is None or pending.protocol != "websocket":
            raise LocalProtocolError(f"stream {stream_id} does not ask for a WebSocket")
        if subprotocol is not None and subprotocol not in pending.subprotocols:
            raise LocalProtocolError(
                f"subprotocol {subprotocol!r} was not offered; choose one of {pending.subprotocols}"
            )
        fields = [(b":status", b"200")]
        if subprotocol is not None:
            fields.append((b"sec-websocket-protocol", subprotocol.encode("ascii")))
        if pending.key is not None and self.accept_key:
            fields.append((b"sec-websocket-accept", accept_value(pending.key)))
        answer = None
        if deflate is not None and pending.extensions is not None:
            answer = deflate.accept(pending.extensions)
            if answer is not None:
                fields.append((b"sec-websocket-extensions", answer[0]))
        if headers:
            own = len(fields)
            fields.extend(headers)
            fields = prepare(fields, "tunnel")
            check_added(fields[own:])
            self._check_list_size(fields)
        stream.flags |= ANSWERED
        self.timers.cancel(HANDSHAKE_TIMER, stream_id)
        self.write_headers(stream, fields, False)
        if answer is None:
            stream.layer = new_message_layer(False)
        else:
            stream.layer = new_deflate_layer(False, answer[1])
        self._release_early(stream, pending)

    @property
    def speaks_dialect(self):
        """Do both ends speak the dialect of `DialectSettings`?"""
        return self.dialect is not None and bool(self.dialect.spoken)

    def take_first(self, stream_id, octets):
        """Let the first `octets` of an extended CONNECT come as Data before it is answered.

        For what goes before the tunnel, as the body of a request in the dialect does; attach a sink
        first. What is behind them waits for the answer, as ever; `Ended` before it says that there
        are fewer. With `auto_credit` they are credited with the answer alone, so that no more than a
        window may come.
        """
        stream = self._answerable(stream_id)
        pending = self._pending(stream)
        if pending is None:
            raise LocalProtocolError(f"stream {stream_id} asks for no tunnel")
        octets = whole(octets)
        if octets < 0:
            raise ValueError(f"no octets are fewer than none: {octets}")
        pending.first = octets
        self._receive_early(stream, pending)
        if pending.has_ended and stream.state != CLOSED:
            pending.ended(self, stream)

    def _release_early(self, stream, pending):
        # What came before the answer now means something.
        self._credit_early(stream)
        self._receive_early(stream, pending)
        if pending.has_ended and stream.state != CLOSED:
            layer = stream.layer
            layer.ended(self, stream)
        self._settle(stream)

    def _receive_early(self, stream, pending):
        # By whatever is the stream's layer now.
        early = pending.early
        pending.early = None
        if early is not None:
            n = early.size()
            stream.held -= n
            self.buffered -= n
            data = early.bytes()
            layer = stream.layer
            # As in receive_data: a sink that reads on now would overtake what is being read.
            was = self._receiving
            self._receiving = True
            try:
                layer.receive(self, stream, address(data), 0, n)
            finally:
                self._receiving = was

    def _credit_early(self, stream):
        # With auto_credit all that came was left uncredited until now, padding and the rest of a
        # frame that is still arriving included.
        if self.auto_credit:
            self.grant(stream, self.local_initial - stream.left - stream.due)

    def _pending(self, stream):
        layer = stream.layer
        return layer if isinstance(layer, Pending) else None

    def _answerable(self, stream_id):
        stream = self._stream(stream_id)
        if stream.flags & LOCAL:
            raise LocalProtocolError(f"stream {stream_id} was opened here; its peer responds")
        if stream.flags & (ANSWERED | OVER):
            raise LocalProtocolError(f"stream {stream_id} was answered already")
        return stream

    def _stream(self, stream_id):
        stream = self._find(stream_id)
        if stream is None:
            if not self._is_idle(stream_id):
                raise StreamClosed(f"stream {stream_id} is over")
            raise LocalProtocolError(f"there is no stream {stream_id}")
        return stream

    def _find(self, stream_id):
        if not 0 < whole(stream_id) <= MAX_STREAM_ID:
            raise self._is_none(stream_id)
        return self.streams.get(stream_id)

    def _is_none(self, stream_id):
        return ValueError(f"{stream_id} is no number of a stream: those are 1 to 2^31 - 1")

    def write_headers(self, stream, fields, end_stream):
        if self.dialect is not None:
            fields = self.dialect.written(fields)
        return self._write_block(stream, self.encoder.encode(fields), end_stream)

    def _write_block(self, stream, block, end_stream):
        # One piece in `control`, so that nothing comes between HEADERS and CONTINUATION.
        control = self.outbox.control
        flags = END_STREAM if end_stream else 0
        n = len(block)
        limit = self.outbox.max_frame
        if n <= limit:
            control.head(n, HEADERS, flags | END_HEADERS, stream.id)
            control.put(block)
            return 0
        control.head(limit, HEADERS, flags, stream.id)
        control.put(block[:limit])
        at = limit
        while at < n:
            size = n - at
            flags = END_HEADERS
            if size > limit:
                size = limit
                flags = 0
            control.head(size, CONTINUATION, flags, stream.id)
            control.put(block[at : at + size])
            at += size
        return 0
