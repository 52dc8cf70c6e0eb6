"""Header blocks that arrive: RFC 9113 section 8, RFC 8441 section 4 and 5.

What a block means depends on who opened the stream and on what came before, never on the role of
this end: a request opens a stream, a response answers ours, anything later is trailers. What makes
a message malformed is decided in `headers`; here is decided what happens to the stream.
"""

from .carrier import Carrier
from .constants import (
    ANSWERED,
    BODY_IN,
    CANCEL,
    CLOSED,
    ENHANCE_YOUR_CALM,
    FIRST_REQUEST_TIMER,
    HALF_CLOSED_REMOTE,
    HANDSHAKE_TIMER,
    HEAD_ONLY,
    HEADER_BLOCK_TIMER,
    LOCAL,
    OVER,
    PROMPT,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    SWEEP_TIMER,
    TUNNELLED,
)
from .deflate import new_deflate_layer
from .events import Informed, Opened, Requested, Responded, Trailers
from .handshake import read_subprotocols, valid_key
from .headers import (
    MalformedMessage,
    capsule_fault,
    read_request,
    read_response,
    read_trailers,
)
from .hpack import CompressionError, HeaderListTooLarge
from .layers import DISCARDED, TUNNEL, new_body, new_pending
from .messages import new_message_layer
from .priority import read_priority
from .stream import new_stream
from .vocabulary import CAPSULE_PROTOCOLS

WEBSOCKET_VERSION_FIELDS = [(b":status", b"400"), (b"sec-websocket-version", b"13")]
LIGHT_LIST = 2048  # octets of a header list that is not counted: a thousand of them are 2 MiB
MAX_SHARED = 256  # octets of an authority that a connection keeps for its next requests


# What a stream brings once, without the loop over `__slots__`: 0.1 us instead of 1.


def opened_event(stream_id, status, headers, subprotocol):
    event = Opened.__new__(Opened)
    event.stream_id = stream_id
    event.status = status
    event.headers = headers
    event.subprotocol = subprotocol
    return event


def responded_event(stream_id, status, headers, ended):
    event = Responded.__new__(Responded)
    event.stream_id = stream_id
    event.status = status
    event.headers = headers
    event.ended = ended
    return event


class Heads(Carrier):
    """Reads field blocks: requests, responses, trailers, pushes."""

    __slots__ = ()

    # -- HEADERS -------------------------------------------------------------------------------

    def begin_block(self, stream_id):
        if self.streams.get(stream_id) is None and self._is_idle(stream_id):
            if (stream_id & 1 == 1) == self.client or (self.client and not self.connect_enabled):
                # RFC 9113 sections 5.1 and 5.1.1: a server's streams are even, and only pushes
                # open them, but where it has heard that it may use CONNECT.
                self.fail_connection(PROTOCOL_ERROR, "HEADERS on an idle stream")
                return False
        elif (stream_id & 1 == 1) != self.client and self.closed.is_skipped(stream_id):
            self.fail_connection(PROTOCOL_ERROR, "stream identifier is not above the last one")
            return False
        return True

    def start_block(self):
        # It runs already where HEADERS came in pieces.
        if not self.timers.runs(HEADER_BLOCK_TIMER):
            self.timers.mark(HEADER_BLOCK_TIMER, 0)
        return 0

    def end_block(self):
        self.timers.cancel(HEADER_BLOCK_TIMER, 0)
        return 0

    def receive_block(self, stream_id, end_stream, promised, p, pos, n):
        # Decoded whatever becomes of it, since the table is the connection's (section 4.3).
        try:
            fields = self.decoder.decode(p, pos, n)
        except CompressionError as error:
            self.fail_connection(error.error_code, str(error))
            return 0
        except HeaderListTooLarge as error:
            self.reached("max_header_list_size", str(error))
            return 0
        if self.dialect is not None:
            fields = self.dialect.read(fields)
        if n or end_stream:
            self.guard.empty_frames = 0
        else:
            self.empty_frame()
        if promised:
            self._receive_push(stream_id, promised)
            return 0
        stream = self.streams.get(stream_id)
        if stream is not None:
            self._receive_more_headers(stream, fields, end_stream)
        elif self._is_idle(stream_id):
            self._open_stream(stream_id, fields, end_stream)
        else:
            self._frame_on_closed(stream_id, "HEADERS")
        return 0

    def _open_stream(self, stream_id, fields, end_stream):
        # The peer opens a stream: a request.
        rank = -1
        if self.updates is not None:
            rank = self._take_update(stream_id)
        guard = self.guard
        if self.last_peer_id == self.seen_id:
            guard.pending_resets = 0  # it is the first of which the application has not heard
        if stream_id > self.last_peer_id + 2:
            self.closed.skip(self.last_peer_id + 1, stream_id - 1)
        self.last_peer_id = stream_id
        self.timers.cancel(FIRST_REQUEST_TIMER, 0)
        if stream_id > self.goaway_last:
            return  # RFC 9113 section 6.8: after GOAWAY new streams are ignored
        guard.streams += 1
        pending = min(self.max_streams, self.limits.max_pending_resets)
        if self.peer_streams >= self.max_streams or guard.pending_resets >= pending:
            # RFC 9113 section 5.1.2. Safe to retry: nothing of it reached anyone.
            if self.peer_streams < self.max_streams:
                guard.hit("max_pending_resets")
            else:
                guard.hit("max_concurrent_streams")
            self._reset_unopened(stream_id, REFUSED_STREAM)
            return
        size = self.decoder.list_size
        heavy = size > LIGHT_LIST and not self.decoder.too_large
        if heavy and not self._may_hold(size):
            self._reset_unopened(stream_id, REFUSED_STREAM)
            return
        stream = new_stream(stream_id, 0, self.local_initial, DISCARDED)
        if end_stream:
            stream.state = HALF_CLOSED_REMOTE
        self.enter(stream)
        self.peer_streams += 1
        if heavy:
            self._hold_list(stream_id, size)
        if self.decoder.too_large:
            # RFC 9113 section 10.5.1 and RFC 6585 section 5.
            guard.hit("max_header_list_size")
            self._refuse(stream, [(b":status", b"431")])
            return
        if self.block_loops:
            self._malformed(stream, "the stream depends on itself")
            return
        if self.decoder.malformed is not None:
            self._malformed(stream, self.decoder.malformed)
            return
        try:
            head = read_request(fields, self.connect_enabled)
        except MalformedMessage as error:
            if error.refused and not self.client:
                self._refuse(stream, [(b":status", b"%d" % error.status)])
            else:
                self._malformed(stream, error.reason)
            return
        if self.client and head.protocol is None:
            self._malformed(stream, "a server asks for nothing but extended CONNECT")
            return
        if self.secure is not None and head.scheme in ("http", "https"):
            if (head.scheme == "https") != self.secure:
                # RFC 8441 section 5: the scheme says how the peer must have come here.
                self._refuse(stream, [(b":status", b"400")])
                return
        protocol = head.protocol
        if head.method == "CONNECT":
            stream.flags |= TUNNELLED | PROMPT
            key = None
            subprotocols = None
            if protocol == "websocket":
                if head.ws_version != b"13":
                    # 426 would need an Upgrade field, which HTTP/2 has not.
                    self._refuse(stream, WEBSOCKET_VERSION_FIELDS)
                    return
                if end_stream:
                    self._refuse(stream, [(b":status", b"400")])
                    return
                try:
                    subprotocols = read_subprotocols(head.ws_protocols)
                except MalformedMessage:
                    self._refuse(stream, [(b":status", b"400")])
                    return
                if head.ws_key is not None and valid_key(head.ws_key):
                    key = head.ws_key
            layer = new_pending(protocol, key, subprotocols, head.ws_extensions)
            stream.layer = layer
            if end_stream:
                layer.ended(self, stream)
            self.timers.mark(HANDSHAKE_TIMER, stream_id)
        else:
            if end_stream and head.content_length > 0:
                self._malformed(stream, "less content than content-length")
                return
            if head.method == "HEAD":
                stream.flags |= HEAD_ONLY
            stream.flags |= BODY_IN
            stream.layer = new_body(head.content_length)
            if not end_stream:
                if not self.timers.runs(SWEEP_TIMER):
                    self.timers.mark(SWEEP_TIMER, 0)
        if rank < 0 and head.priority is not None:
            rank = read_priority(head.priority)
        if rank >= 0:
            self.outbox.place(stream, rank)
        self.emit(
            stream,
            Requested(
                stream_id,
                head.method,
                head.scheme,
                self._shared(head.authority),
                head.path,
                protocol,
                head.headers,
                end_stream != 0,
            ),
        )

    def _may_hold(self, size):
        # Where a stream cost some octets, its list is what it costs us: 64 KiB by HPACK's table.
        if size <= self.limits.max_held_headers - self.heads_held:
            return True
        self.guard.hit("max_held_headers")
        return False

    def _hold_list(self, stream_id, size):
        if self.heads is None:
            self.heads = {}
        self.heads[stream_id] = self.heads.get(stream_id, 0) + size
        self.heads_held += size
        return 0

    def _shared(self, authority):
        # The requests of a connection name one authority: 80 octets less where they are kept.
        if authority == self.last_authority:
            return self.last_authority
        if len(authority) <= MAX_SHARED:
            self.last_authority = authority
        return authority

    def _take_update(self, stream_id):
        # RFC 9218 section 7: a PRIORITY_UPDATE that came before its stream overrides the field.
        rank = self.updates.take(stream_id)
        if not self.updates:
            self.updates = None
        return rank

    def _receive_more_headers(self, stream, fields, end_stream):
        # HEADERS on an open stream: a response, or trailers.
        if self.block_loops:
            self.fail_stream(stream, PROTOCOL_ERROR, "the stream depends on itself")
            return
        if stream.state & HALF_CLOSED_REMOTE:
            self.fail_stream(stream, STREAM_CLOSED, "HEADERS after END_STREAM")
            return
        if stream.flags & LOCAL and not stream.flags & ANSWERED:
            self._receive_response(stream, fields, end_stream)
            return
        if stream.flags & OVER:
            # Nobody listens any more; only the end of it counts.
            if end_stream:
                self.end_data(stream)
            return
        if stream.flags & TUNNELLED:
            # RFC 8441 section 4, RFC 9113 section 8.5: any other frame on a connected stream
            # is a stream error.
            self.fail_stream(stream, PROTOCOL_ERROR, "HEADERS on a tunnel")
            return
        layer = stream.layer
        reason = self.decoder.malformed
        if self.decoder.too_large:
            reason = "trailers are too large"
        elif layer.missing():
            reason = "less content than content-length"
        elif not end_stream:
            # RFC 9113 section 8.1: malformed.
            reason = "trailers without END_STREAM"
        if reason is None:
            try:
                fields = read_trailers(fields)
            except MalformedMessage as error:
                reason = error.reason
        if reason is not None:
            self.fail_stream(stream, PROTOCOL_ERROR, reason)
            return
        size = self.decoder.list_size
        if size > LIGHT_LIST and not stream.flags & LOCAL:
            if not self._may_hold(size):
                self.fail_stream(stream, ENHANCE_YOUR_CALM, "too many header lists are held")
                return
            self._hold_list(stream.id, size)
        self.emit(stream, Trailers(stream.id, fields))
        if stream.state != CLOSED:
            self.end_data(stream)

    def _receive_response(self, stream, fields, end_stream):
        tunnel = stream.flags & TUNNELLED != 0
        reason = self.decoder.malformed
        head = None
        if self.decoder.too_large:
            reason = "response head is too large"
        if reason is None:
            try:
                head = read_response(fields, tunnel)
            except MalformedMessage as error:
                reason = error.reason
        if reason is None and tunnel and 200 <= head.status < 300:
            unanswered = stream.layer
            if unanswered.protocol is not None and unanswered.protocol in CAPSULE_PROTOCOLS:
                reason = capsule_fault(fields, head.status)
        if reason is None and head.status < 200:
            if not end_stream:
                self.emit(stream, Informed(stream.id, head.status, head.headers))
                return
            reason = "1xx response with END_STREAM"
        if reason is not None:
            self.fail_stream(stream, PROTOCOL_ERROR, reason)
            return
        stream.flags |= ANSWERED
        if tunnel:
            self.timers.cancel(HANDSHAKE_TIMER, stream.id)
            if head.status < 300:
                self._open_tunnel(stream, head, end_stream)
                return
        expected = head.content_length
        if stream.flags & HEAD_ONLY or head.status == 204 or head.status == 304:
            # RFC 9113 section 8.1.1: these have no content, whatever content-length says.
            expected = 0
        if end_stream and expected > 0:
            self.fail_stream(stream, PROTOCOL_ERROR, "less content than content-length")
            return
        stream.layer = new_body(expected)
        self.emit(stream, responded_event(stream.id, head.status, head.headers, end_stream != 0))
        if stream.state == CLOSED:
            return
        if tunnel:
            self.end(stream)  # no tunnel: our side has nothing to say
        if end_stream and stream.state != CLOSED:
            stream.state |= HALF_CLOSED_REMOTE
            self._settle(stream)

    def _open_tunnel(self, stream, head, end_stream):
        # A 2xx answered our CONNECT: RFC 8441 section 5.
        unanswered = stream.layer
        subprotocol = None
        if unanswered.protocol == "websocket":
            reason = None
            agreed = None
            if head.ws_extensions is not None:
                if unanswered.deflate is None:
                    reason = "the server uses an extension that was not offered"
                else:
                    try:
                        agreed = unanswered.deflate.agree(head.ws_extensions)
                    except MalformedMessage as error:
                        reason = error.reason
            if reason is None and head.ws_protocols is not None:
                # RFC 6455 section 4.1: one of those offered, or the connection fails.
                subprotocol = head.ws_protocols.decode("latin-1")
                if subprotocol not in unanswered.subprotocols:
                    reason = "the server chose a subprotocol that was not offered"
            if reason is not None:
                self.break_stream(stream, CANCEL, reason)
                return
            if agreed is None:
                stream.layer = new_message_layer(True)
            else:
                stream.layer = new_deflate_layer(True, agreed)
        else:
            stream.layer = TUNNEL
        self.emit(stream, opened_event(stream.id, head.status, head.headers, subprotocol))
        if end_stream and stream.state != CLOSED:
            self.end_data(stream)

    def _receive_push(self, stream_id, promised):
        # Before our ENABLE_PUSH = 0 is acknowledged a push is refused, afterwards it is an error.
        stream = self.streams.get(stream_id)
        if not self.client:
            self.fail_connection(PROTOCOL_ERROR, "PUSH_PROMISE from a client")
        elif not self.pending_settings:
            self.fail_connection(PROTOCOL_ERROR, "PUSH_PROMISE although push is disabled")
        elif stream is None or not stream.flags & LOCAL or stream.state & HALF_CLOSED_REMOTE:
            self.fail_connection(PROTOCOL_ERROR, "PUSH_PROMISE on a stream that cannot have one")
        elif promised <= self.last_peer_id:
            self.fail_connection(PROTOCOL_ERROR, "PUSH_PROMISE of a stream that is not idle")
        else:
            self.last_peer_id = promised
            self._reset_unopened(promised, REFUSED_STREAM)
