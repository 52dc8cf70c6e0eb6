"""What this end does to streams: requests, responses, messages, ends.

A call that is wrong raises and changes nothing: everything is checked before anything is queued.
"""

from ..errors import (
    ExtendedConnectUnsupported,
    LocalProtocolError,
    NoAvailableStreams,
    StreamClosed,
)
from .closing import check_close
from .constants import (
    ANSWERED,
    BINARY,
    CANCEL,
    CLOSED,
    CLOSING,
    CONTINUATION,
    DIRECT,
    END,
    END_HEADERS,
    END_STREAM,
    FIN,
    FIRST_REQUEST_TIMER,
    HALF_CLOSED_LOCAL,
    HALF_CLOSED_REMOTE,
    HANDSHAKE_TIMER,
    HEAD_ONLY,
    HEADERS,
    HIGH,
    LOCAL,
    MAX_STREAM_ID,
    NO_STATUS_RCVD,
    OPCODE,
    OVER,
    PING,
    PRIORITY_UPDATE,
    PROMPT,
    REFUSED,
    REFUSED_STREAM,
    TEXT,
    TRAILED,
    TUNNELLED,
    WS_PING,
    WS_PONG,
)
from .deflate import DeflateLayer, new_deflate_layer
from .fanout import Fanout
from .handshake import accept_value, is_token
from .headers import capsule_fault
from .kernels import address, whole
from .layers import REFUSAL, TUNNEL, Pending, new_unanswered
from .messages import MessageLayer, new_message_layer, payload
from .prepare import prepare
from .priority import (
    INCREMENTAL,
    OWN_INCREMENTAL,
    OWN_URGENCY,
    URGENCY,
    check_priority,
    chosen,
    priority_value,
    read_priority,
)
from .sink import make_sink
from .stream import new_stream
from .stream_map import numbers
from .vocabulary import CAPSULE_PROTOCOLS


def check_error_code(error_code):
    """Raise ValueError for what does not fit into RST_STREAM and GOAWAY."""
    if not isinstance(error_code, int) or not 0 <= error_code <= 0xFFFFFFFF:
        raise ValueError(f"error_code must be a number of 32 bits, not {error_code!r}")


def _check_capsules(protocol, fields, status):
    if protocol in CAPSULE_PROTOCOLS:
        reason = capsule_fault(fields, status)
        if reason is not None:
            raise ValueError(f"{reason}: RFC 9297 section 3.2")


class Sender(Fanout):
    """The verbs that act on streams."""

    __slots__ = ("_receiving", "accept_key")

    # -- requests and responses ----------------------------------------------------------------

    def request(self, headers, end_stream=True, *, octets=False):
        """Open a stream with a request; return its identifier.

        For clients; for servers whose client takes such streams (`can_connect`), too, where it is an
        extended CONNECT.

        `headers` are pairs (name, value) of `str` or `bytes` with the pseudo-headers `:method`,
        `:scheme`, `:authority`, `:path`; with `:method` CONNECT and `:protocol` it is an extended
        CONNECT for any token (RFC 8441; then give `end_stream=False`). `Responded` or `Opened`
        follows, or `Reset`. With `octets` a WebSocket is a tunnel like any other: its frames, and
        what its handshake settles, are the caller's. Raises `ExtendedConnectUnsupported`,
        `NoAvailableStreams`, `ValueError`.
        """
        fields = prepare(headers, "request")
        protocol = None
        head_only = False
        connect = False
        for index, field in enumerate(fields):
            if field[0] == b":protocol":
                # RFC 9110 section 7.8: tokens compare without case; they leave in lower case.
                protocol = field[1].decode("ascii").lower()
                fields[index] = (b":protocol", protocol.encode("ascii"))
            elif field[0] == b":method":
                head_only = field[1] == b"HEAD"
                connect = field[1] == b"CONNECT"
        if protocol is not None:
            if octets:
                protocol = ""
            _check_capsules(protocol, fields, 200)
        return self._open(fields, protocol, connect, head_only, (), end_stream, None)

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

        `Opened` follows, or `Responded` where the server refuses, or `Reset`. `subprotocols` in
        order of preference. With a `ClientPerMessageDeflateFactory` compression is offered. Raises
        as `request` does.
        """
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
        fields.extend(headers)
        fields = prepare(fields, "request")
        return self._open(fields, "websocket", True, False, offered, False, deflate)

    def _open(self, fields, protocol, connect, head_only, subprotocols, end_stream, deflate):
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
        self._check_list_size(fields)
        stream_id = self.next_local_id
        self.next_local_id = stream_id + 2
        stream = new_stream(
            stream_id, LOCAL, self.local_initial, new_unanswered(protocol, subprotocols, deflate)
        )
        if connect:
            stream.flags |= TUNNELLED | PROMPT
            self.timers.mark(HANDSHAKE_TIMER, stream_id)
        if head_only:
            stream.flags |= HEAD_ONLY
        if end_stream:
            stream.state = HALF_CLOSED_LOCAL
        value = self._priority_field(fields)
        if value is not None:
            # RFC 9218 section 9: what we want of the peer we do ourselves with our own body.
            rank = read_priority(value)
            if rank >= 0:
                self.outbox.place(stream, rank)
        self.enter(stream)
        self.local_streams += 1
        self.guard.streams += 1
        self.write_headers(stream, fields, end_stream)
        return stream_id

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
        self.timers.cancel(FIRST_REQUEST_TIMER, 0)

    def _priority_field(self, fields):
        for field in fields:
            if field[0] == b"priority":
                return field[1]
        return None

    def _check_list_size(self, fields):
        # RFC 9113 section 10.5.1: advisory, and better found out here.
        if self.peer_max_header_list >= 0:
            size = 0
            for field in fields:
                size += len(field[0]) + len(field[1]) + 32
            if size > self.peer_max_header_list:
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

    def accept_websocket(self, stream_id, subprotocol=None, *, headers=(), deflate=None):
        """Open the WebSocket that a `Requested` with protocol "websocket" asks for.

        `subprotocol` must be one the client offered, or None. `headers` are added to the response.
        With a `ServerPerMessageDeflateFactory` the client's offers of compression are answered.
        Messages may be sent at once.
        """
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
            fields.extend(headers)
            fields = prepare(fields, "tunnel")
            self._check_list_size(fields)
        stream.flags |= ANSWERED
        self.timers.cancel(HANDSHAKE_TIMER, stream_id)
        self.write_headers(stream, fields, False)
        if answer is None:
            stream.layer = new_message_layer(False)
        else:
            stream.layer = new_deflate_layer(False, answer[1])
        self._release_early(stream, pending)

    def _release_early(self, stream, pending):
        # What came before the answer now means something.
        early = pending.early
        pending.early = None
        self._credit_early(stream)
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
        if pending.has_ended and stream.state != CLOSED:
            layer = stream.layer
            layer.ended(self, stream)
        self._settle(stream)

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

    def send_data(self, stream_id, data, end_stream=False):
        """Queue octets of a body or tunnel; return how many now wait on the stream.

        `bytes` are kept by reference until they leave, other buffers are copied. With `end_stream`
        our side ends behind them.
        """
        stream = self._stream(stream_id)
        self._check_writable(stream)
        if isinstance(stream.layer, MessageLayer):
            raise LocalProtocolError(f"stream {stream_id} is a WebSocket; use send_message()")
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        if data:
            self._check_queue(len(data))
            chunks = self.outbox.chunks
            self.outbox.append(stream, chunks.push(data, stream.last), chunks.pushed)
            if stream.queued > self.limits.write_high:
                stream.flags |= HIGH
        if end_stream:
            self.end(stream)
        return stream.queued

    def _check_writable(self, stream):
        if stream.state & HALF_CLOSED_LOCAL or stream.flags & (END | TRAILED):
            raise LocalProtocolError(f"our side of stream {stream.id} has ended")
        if stream.flags & OVER:
            raise StreamClosed(f"stream {stream.id} is over")
        if not stream.flags & ANSWERED:
            if not stream.flags & LOCAL:
                raise LocalProtocolError(f"answer stream {stream.id} with respond() first")
            if stream.flags & TUNNELLED:
                raise LocalProtocolError(f"stream {stream.id} is not open; wait for Opened")

    def _check_queue(self, n):
        if self.outbox.queued > self.limits.max_queued - n:
            raise self.queue_is_full()

    def send_trailers(self, stream_id, headers):
        """End our side of a message with trailer fields, behind what is queued."""
        stream = self._stream(stream_id)
        self._check_writable(stream)
        if stream.flags & (TUNNELLED | REFUSED) == TUNNELLED:
            raise LocalProtocolError("a tunnel has no trailers")
        fields = prepare(headers, "trailers")
        self._check_list_size(fields)
        if stream.queued:
            if self.trailers is None:
                self.trailers = {}
            self.trailers[stream_id] = fields
            stream.flags |= TRAILED
            return
        self.write_headers(stream, fields, True)
        self.ended_here(stream)

    def write_headers(self, stream, fields, end_stream):
        # One piece in `control`, so that nothing comes between HEADERS and CONTINUATION.
        block = self.encoder.encode(fields)
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

    # -- priorities ----------------------------------------------------------------------------

    def prioritize(self, stream_id, urgency=3, incremental=False):
        """Give a stream another priority: RFC 9218 section 4.

        `urgency` from 0 (first) to 7 (last), 3 by default. `incremental`: it takes turns with
        others of its urgency, instead of one being served after the other; WebSockets and tunnels
        always do. A server's choice stays, whatever the client sends later. A client asks the
        server for it with PRIORITY_UPDATE, if the server's SETTINGS say that it listens, and heeds
        it with what it sends itself.
        """
        stream = self._stream(stream_id)
        rank = check_priority(urgency, incremental)
        if not stream.flags & LOCAL:
            self.outbox.place(stream, rank | OWN_URGENCY | OWN_INCREMENTAL)
            return
        self.outbox.place(stream, rank)
        if (
            # RFC 9218 section 7.1: "Servers MUST NOT send PRIORITY_UPDATE frames."
            not self.client
            or stream.state & HALF_CLOSED_REMOTE
            # RFC 9218 section 2.1.1: until they come we may; a server that does not say 1 ignores it.
            or (self.greeted_settings and not self.peer_no_priorities)
        ):
            return
        value = priority_value(urgency, incremental)
        control = self.outbox.control
        control.head(4 + len(value), PRIORITY_UPDATE, 0, 0)
        control.put_u32(stream_id)
        control.put(value)

    def priority(self, stream_id):
        """The (urgency, incremental) that a stream's octets leave by."""
        stream = self._stream(stream_id)
        incremental = stream.rank & INCREMENTAL != 0 or stream.flags & TUNNELLED != 0
        return (stream.rank & URGENCY) >> 1, incremental

    # -- WebSocket messages --------------------------------------------------------------------

    def send_message(self, stream_id, data):
        """Queue a WebSocket message, text from `str`, binary from bytes-like.

        Returns how many octets now wait on the stream; above `Limits.write_high` wait for
        `Drained`. `bytes` and ASCII `str` are kept by reference until they leave.
        """
        stream = self.last_stream
        if stream is None or stream.id != whole(stream_id):
            stream = self._stream(stream_id)
        layer = self._open_websocket(stream)
        if layer.sending:
            return self._send_as(stream, layer, data, True)
        opcode = BINARY
        if type(data) is not bytes:
            if isinstance(data, str):
                opcode = TEXT
            data = payload(data)
        if not self.push_message(stream, opcode | FIN, data, len(data)):
            raise self.queue_is_full()
        return stream.queued

    def send_message_as(self, stream_id, data, compress):
        """`send_message` with a say: `compress` False keeps the message plain (a secret beside what
        others can choose: CRIME), on WebSockets that compress."""
        stream = self._stream(stream_id)
        layer = self._open_websocket(stream)
        return self._send_as(stream, layer, data, compress)

    def _send_as(self, stream, layer, data, compress):
        # A verb of its own, so that the usual one asks nothing about compression.
        if layer.sending & OPCODE:
            raise LocalProtocolError("a fragmented message is being sent; end it first")
        opcode = TEXT if isinstance(data, str) else BINARY
        data = payload(data)
        if not layer.whole(self, stream, opcode, data, compress):
            raise self.queue_is_full()
        return stream.queued

    def send_fragment(self, stream_id, data, final, compress=True):
        """Queue a part of a WebSocket message; all its parts are `str`, or all bytes-like.

        `compress` of the first part holds for all of them.
        """
        stream = self._stream(stream_id)
        layer = self._open_websocket(stream)
        opcode = TEXT if isinstance(data, str) else BINARY
        if layer.sending & OPCODE and layer.sending & OPCODE != opcode:
            raise LocalProtocolError("the parts of a message must be of one type")
        data = payload(data)
        self._check_queue(len(data))
        layer.part(self, stream, opcode, data, final, compress)
        if final:
            self.messages_sent += 1
        return stream.queued

    def deflated(self, stream_id):
        """What was agreed on for a WebSocket's compression (`Agreed`), or None."""
        layer = self._stream(stream_id).layer
        if not isinstance(layer, DeflateLayer):
            return None
        deflated = layer
        return deflated.agreed

    def send_many(self, stream_ids, data, packed=None):
        """Queue one message on many WebSockets; streams that are over are passed over.

        A number that no stream can have raises `ValueError`, and nothing is sent. Where compression
        takes no context over, the message is compressed once for equal parameters, and once for
        several calls with the same data that hand the same dict `packed`.
        """
        opcode = TEXT if isinstance(data, str) else BINARY
        data = payload(data)
        others = self.write_ahead(numbers(stream_ids), opcode, data)
        if others is not None:
            if packed is None:
                packed = {}
            for stream in others:
                self._send_one_of_many(stream, opcode, data, packed)

    def stream_messages(self, stream_id):
        """From now on hand over the messages of a WebSocket in pieces, each as it comes.

        `MessagePart` events take the place of `TextMessage` and `BytesMessage`, for good: a message
        of any size then keeps no more here than the stream's window, until `consumed` returns the
        credit of its pieces. What is there already of a message that is arriving comes at once.
        `Limits.max_message` still bounds the whole. Does nothing the second time.
        """
        stream = self._stream(stream_id)
        messages = self._open_websocket(stream)
        messages.stream_parts(self, stream)

    def withhold(self, stream_id, held):
        """Give the peer no more credit for an open WebSocket while `held`: it sends what its window
        still allows, and stops. With False all that is due leaves at once. Does nothing where the
        WebSocket is closing, since the peer's Close must come through.
        """
        stream = self._find(stream_id)
        if stream and isinstance(stream.layer, MessageLayer) and not stream.flags & CLOSING:
            stream.withhold(held)
            self.grant(stream, 0)

    def _find(self, stream_id):
        if not 0 < whole(stream_id) <= MAX_STREAM_ID:
            raise self._is_none(stream_id)
        return self.streams.get(stream_id)

    def _is_none(self, stream_id):
        return ValueError(f"{stream_id} is no number of a stream: those are 1 to 2^31 - 1")

    def _send_one_of_many(self, stream, opcode, data, packed):
        if stream is None or stream.flags & OVER or not isinstance(stream.layer, MessageLayer):
            return
        messages = stream.layer
        if messages.sending:
            if (
                messages.writable()
                and not messages.sending & OPCODE
                and not messages.share(self, stream, opcode, data, packed)
            ):
                raise self.queue_is_full()
        elif messages.writable():
            self._check_queue(len(data))
            messages.send(self, stream, opcode, data, True)
            self.messages_sent += 1

    def _open_websocket(self, stream):
        # The message layer of an open WebSocket that may still send.
        layer = stream.layer
        if not isinstance(layer, MessageLayer):
            if stream.flags & OVER or stream.state == CLOSED:
                raise StreamClosed(f"the WebSocket on stream {stream.id} is closed")
            raise LocalProtocolError(f"stream {stream.id} is not an open WebSocket")
        messages = layer
        if not messages.writable():
            raise StreamClosed(f"the WebSocket on stream {stream.id} is closing")
        return messages

    def ping(self, stream_id, data=b""):
        """Send a WebSocket ping of at most 125 octets, or on stream 0 an HTTP/2 PING of eight."""
        data = bytes(memoryview(data))
        if stream_id != 0:
            self._send_control(stream_id, WS_PING, data)
            return
        if len(data) != 8:
            raise ValueError(f"an HTTP/2 PING has 8 octets, not {len(data)}")
        if self.pings is None:
            self.pings = []
        if len(self.pings) >= self.limits.max_pings:
            self.guard.hit("max_pings")
            raise LocalProtocolError(f"{len(self.pings)} PINGs are not answered yet")
        self.pings.append(data)
        self.outbox.control.head(8, PING, 0, 0)
        self.outbox.control.put(data)

    def pong(self, stream_id, data=b""):
        """Send an unsolicited WebSocket pong; pings are answered by themselves."""
        self._send_control(stream_id, WS_PONG, bytes(memoryview(data)))

    def _send_control(self, stream_id, opcode, data):
        stream = self._stream(stream_id)
        self._open_websocket(stream)
        if len(data) > 125:
            raise ValueError(f"a control frame has at most 125 octets, not {len(data)}")
        self.write_frame(stream, FIN | opcode, data)

    def close_websocket(self, stream_id, code=1000, reason=""):
        """Start the closing handshake; `Closed` follows. Does nothing on one that is closing.

        `code` None sends a Close without one. Raises `ValueError` for a code that must not be sent
        (RFC 6455 section 7.4) or a reason of more than 123 octets.
        """
        stream = self._stream(stream_id)
        check_close(code, reason, stream.flags & LOCAL != 0)
        if code is None:
            code = NO_STATUS_RCVD
        layer = stream.layer
        if isinstance(layer, MessageLayer):
            messages = layer
            messages.close(self, stream, code, reason)
        elif not stream.flags & OVER:
            raise LocalProtocolError(f"stream {stream_id} is not an open WebSocket")

    # -- credit, ends, sinks -------------------------------------------------------------------

    def consumed(self, stream_id, credit):
        """The application took what an event brought: the peer may send as much again."""
        stream = self.last_stream
        credit = whole(credit)
        if stream is None or stream.id != whole(stream_id):
            stream = self._find(stream_id)
            if stream is None:
                return
        if credit < 0 or (credit > stream.held and not stream.flags & CLOSING):  # it may be shed
            raise ValueError(f"stream {stream_id} holds {stream.held} octets, not {credit}")
        if credit:
            self.release(stream, credit)

    def reset(self, stream_id, error_code=CANCEL):
        """End a stream at once: what is queued is dropped. Its last event follows."""
        stream = self._stream(stream_id)
        if error_code == REFUSED_STREAM and not stream.flags & LOCAL:
            # RFC 9113 section 8.7: it would promise that nothing was processed.
            raise LocalProtocolError("REFUSED_STREAM after the request was delivered; use CANCEL")
        check_error_code(error_code)
        self.break_stream(stream, error_code, "reset by this end")

    def refuse(self, stream_id, limit):
        """Turn away a request on which nobody has worked, since a limit of the caller's is reached.

        REFUSED_STREAM tells the peer that it may try again: RFC 9113 section 8.7. It is counted
        under `limit` in `stats()["limits"]`, and against `Limits.reset_burst`. `Reset` follows.
        """
        if not isinstance(limit, str):
            raise TypeError(f"limit must be the name of a limit, a str: {limit!r}")
        stream = self._answerable(stream_id)
        self.guard.hit(limit)
        if not self._reached(self.guard.refusal(self.now)) and not self._reached(
            self.guard.control_frame()
        ):
            self.break_stream(stream, REFUSED_STREAM, "refused: " + limit)

    def attach(self, stream_id, sink, on_message=None):
        """Deliver a stream's events to a `Sink`, or to a callable `sink(event)`; None: to the list.

        For the highest rates `on_message(data)` is given each WebSocket message as it is, `str` or
        `bytes`, and `sink` every other event; the connection must have `auto_credit`. A `str` or
        `bytes` that `on_message` returns is sent back as a message. They are called within
        `receive_data` and may call any verb but that.
        """
        stream = self._stream(stream_id)
        stream.sink = make_sink(stream_id, sink, on_message, self.auto_credit)
        stream.flags = stream.flags & ~DIRECT | (0 if on_message is None else DIRECT)
