"""What this end does to open streams: bodies, messages, priorities, ends.

A call that is wrong raises and changes nothing: everything is checked before anything is queued.
"""

from ..errors import LocalProtocolError, StreamClosed
from .closing import check_close
from .constants import (
    ANSWERED,
    BINARY,
    CANCEL,
    CLOSED,
    CLOSING,
    DEAD,
    DIRECT,
    END,
    FIN,
    HALF_CLOSED_LOCAL,
    HALF_CLOSED_REMOTE,
    HIGH,
    LOCAL,
    NO_CONTENT,
    NO_STATUS_RCVD,
    OPCODE,
    OVER,
    PING,
    PRIORITY_UPDATE,
    REFUSED,
    REFUSED_STREAM,
    TEXT,
    TRAILED,
    TUNNELLED,
    WS_PING,
    WS_PONG,
)
from .deflate import DeflateLayer
from .kernels import whole
from .messages import MessageLayer, payload
from .opening import Opening
from .prepare import prepare
from .priority import (
    INCREMENTAL,
    OWN_INCREMENTAL,
    OWN_URGENCY,
    URGENCY,
    check_priority,
    priority_value,
)
from .sink import make_sink
from .stream_map import numbers


def check_error_code(error_code):
    """Raise ValueError for what does not fit into RST_STREAM and GOAWAY."""
    if not isinstance(error_code, int) or not 0 <= error_code <= 0xFFFFFFFF:
        raise ValueError(f"error_code must be a number of 32 bits, not {error_code!r}")


class Sender(Opening):
    """The verbs that act on streams."""

    __slots__ = ()

    # -- bodies and tunnels --------------------------------------------------------------------

    def send_data(self, stream_id, data, end_stream=False):
        """Queue octets of a body or tunnel; return how many now wait on the stream.

        `bytes` are kept by reference until they leave, other buffers are copied. With `end_stream`
        our side ends behind them. They leave by `data_to_send`, as the peer's windows allow (RFC 9113
        section 5.2); above `Limits.write_high` octets wait for `Drained`. Raises LocalProtocolError
        before the answer of a tunnel or request, on a WebSocket, after the end of our side, for octets in
        an answer to HEAD, a 204 or a 304, and where more than `Limits.max_queued` would wait; TypeError for what is no bytes-like object.
        """
        stream = self._stream(stream_id)
        self._check_writable(stream)
        if isinstance(stream.layer, MessageLayer):
            raise LocalProtocolError(f"stream {stream_id} is a WebSocket; use send_message()")
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        if data:
            if stream.flags & NO_CONTENT:
                # RFC 9110 sections 6.4.1, 15.3.5 and 15.4.5: the receiver would have to fail it.
                raise LocalProtocolError(f"the response on stream {stream_id} has no content")
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
            # In the dialect a request for a tunnel may have a body, and who is asked wait for it.
            if stream.flags & TUNNELLED and not self.speaks_dialect:
                raise LocalProtocolError(f"stream {stream.id} is not open; wait for Opened")

    def _check_queue(self, n):
        if self.outbox.queued > self.limits.max_queued - n:
            raise self.queue_is_full()

    def send_trailers(self, stream_id, headers):
        """End our side of a message with trailer fields, behind what is queued: RFC 9113 section 8.1.

        `headers` are pairs as in `request`, without pseudo-headers; ValueError for a field that may
        not stand there. Raises LocalProtocolError on a tunnel, and as `send_data` does.
        """
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

    # -- priorities ----------------------------------------------------------------------------

    def prioritize(self, stream_id, urgency=3, incremental=False):
        """Give a stream another priority: RFC 9218 section 4.

        `urgency` from 0 (first) to 7 (last), 3 by default. `incremental`: it takes turns with
        others of its urgency, instead of one being served after the other; WebSockets and tunnels
        always do. A server's choice stays, whatever the client sends later. A client asks the
        server for it with PRIORITY_UPDATE, if the server's SETTINGS say that it listens, and heeds
        it with what it sends itself. Raises ValueError and TypeError for another urgency.
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
        """The (urgency, incremental) that a stream's octets leave by: see `prioritize`."""
        stream = self._stream(stream_id)
        incremental = stream.rank & INCREMENTAL != 0 or stream.flags & TUNNELLED != 0
        return (stream.rank & URGENCY) >> 1, incremental

    # -- WebSocket messages --------------------------------------------------------------------

    def send_message(self, stream_id, data):
        """Queue a WebSocket message, text from `str`, binary from bytes-like.

        Returns how many octets now wait on the stream; above `Limits.write_high` wait for
        `Drained`. `bytes` and ASCII `str` are kept by reference until they leave. Raises
        LocalProtocolError where the WebSocket is not open yet, a fragmented message is under way or
        more than `Limits.max_queued` would wait; StreamClosed once it is closing (RFC 6455 section
        5.5.1); TypeError for other types, ValueError for a `str` that UTF-8 cannot have.
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
        others can choose: CRIME), on WebSockets that compress (RFC 7692). Returns and raises as that."""
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

        RFC 6455 section 5.4. `final` ends the message; until then no other can be sent on the
        WebSocket, but for pings. `compress` of the first part holds for all of them. Returns and
        raises as `send_message`, and LocalProtocolError where a part is of another type.
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
        several calls with the same data that hand the same dict `packed`. Streams that are closing,
        no WebSocket or amid a fragmented message are passed over, too. Raises LocalProtocolError
        where `Limits.max_queued` is reached, behind those that have it already.
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
        """Send a WebSocket ping of at most 125 octets, or on stream 0 an HTTP/2 PING of eight.

        RFC 6455 section 5.5.2, answered by `Ponged`; RFC 9113 section 6.7, by `PingAcknowledged`.
        Raises ValueError for another length, LocalProtocolError where `Limits.max_pings` of the
        latter are not answered yet, the connection is over or the WebSocket is not open,
        StreamClosed where it is closing.
        """
        data = bytes(memoryview(data))
        if whole(stream_id) != 0:
            self._send_control(stream_id, WS_PING, data)
            return
        if len(data) != 8:
            raise ValueError(f"an HTTP/2 PING has 8 octets, not {len(data)}")
        if self.phase == DEAD:
            raise LocalProtocolError("the connection is over; open another one")
        if self.pings is None:
            self.pings = []
        if len(self.pings) >= self.limits.max_pings:
            self.guard.hit("max_pings")
            raise LocalProtocolError(f"{len(self.pings)} PINGs are not answered yet")
        self.pings.append(data)
        self.outbox.control.head(8, PING, 0, 0)
        self.outbox.control.put(data)

    def pong(self, stream_id, data=b""):
        """Send an unsolicited WebSocket pong (RFC 6455 section 5.5.3) of at most 125 octets.

        Pings are answered by themselves. Raises as `ping` does.
        """
        self._send_control(stream_id, WS_PONG, bytes(memoryview(data)))

    def _send_control(self, stream_id, opcode, data):
        stream = self._stream(stream_id)
        self._open_websocket(stream)
        if len(data) > 125:
            raise ValueError(f"a control frame has at most 125 octets, not {len(data)}")
        self.write_frame(stream, FIN | opcode, data)

    def close_websocket(self, stream_id, code=1000, reason=""):
        """Start the closing handshake; `Closed` follows. Does nothing on one that is closing.

        RFC 6455 section 7.1.2. The Close goes behind what is queued; END_STREAM follows the peer's
        Close, or `Limits.close_timeout_s` without one, and then `Closed` has 1006. `code` None sends a Close without one. Raises `ValueError` for a code that must not be sent
        (RFC 6455 section 7.4) or a reason of more than 123 octets in UTF-8, LocalProtocolError
        for a WebSocket that is not open yet.
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
        """The application took what an event brought: the peer may send as much again.

        RFC 9113 section 6.9. `credit` octets are that of a `TextMessage`, `BytesMessage`,
        `MessagePart` or `Data`, whole or in parts, once each; with `auto_credit` there is none to
        give. Does nothing on a stream that is over. Raises ValueError for more than the stream holds.
        Then call `data_to_send`, by which the WINDOW_UPDATE leaves.
        """
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
        """End a stream at once by RST_STREAM (RFC 9113 section 6.4): what is queued is dropped.

        But for what `send_many` framed for many at once: that leaves first, as if the transport had
        it already; so it does where the peer resets. The last event of the stream follows, `Closed`
        or `Reset`. `error_code` has 32 bits, else ValueError.
        Raises LocalProtocolError for REFUSED_STREAM on a request that was delivered: see `refuse`.
        A browser that sees it on a WebSocket may avoid HTTP/2 from then on: use `close_websocket`.
        """
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
        Raises LocalProtocolError where it was answered already, TypeError where `limit` is no str.
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
        `receive_data` and may call any verb but that. What one raises fails its stream alone, and is
        told as `SinkFailed`. Raises TypeError for what cannot be called, ValueError for `on_message`
        without `auto_credit`.
        """
        stream = self._stream(stream_id)
        stream.sink = make_sink(stream_id, sink, on_message, self.auto_credit)
        stream.flags = stream.flags & ~DIRECT | (0 if on_message is None else DIRECT)
