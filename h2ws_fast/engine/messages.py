"""WebSocket messages over any channel: RFC 6455 sections 5 to 8.

One MessageLayer stands on one stream. Octets come in by `receive`, in any split, and go through
two states:

    HEAD      collecting the 2 to 14 octets of a frame's head (whole in the buffer: read in place)
    PAYLOAD   `left` octets of the frame are still to come

A message that arrives whole goes from the receive buffer into its final object in one step. Any
other is gathered in an Assembly that exists only meanwhile. Heads, control frames and incomplete
messages are credited at once; a complete message carries its credit to whoever takes it.

Once our Close is out, frames are still read, but only to find the peer's Close (DRAIN). When their
boundaries are lost, or the peer's Close was seen, octets are only credited (DISCARD).

    ours first:    Close ->     <- Close, END_STREAM ->      (END_STREAM waits for the peer's Close)
    theirs first:  <- Close     Close, END_STREAM ->         (at once)

Firefox reports an unclean close where END_STREAM comes before its own Close was answered, and
browsers stop using HTTP/2 for WebSockets to an origin that resets instead.
"""

from ..errors import LocalProtocolError
from .assembly import new_assembly
from .closing import is_close_code, new_closing
from .constants import (
    ABNORMAL_CLOSURE,
    BEHIND,
    BINARY,
    CLOSE,
    CLOSE_RECEIVED,
    CLOSE_SENT,
    CONTINUATION_FRAME,
    DISCARD,
    FIN,
    HEAD,
    INVALID_DATA,
    LATE_PONG,
    MESSAGE_TOO_BIG,
    NO_STATUS_RCVD,
    OPCODE,
    PAYLOAD,
    POLICY_VIOLATION,
    REPORTED,
    RSV1,
    TEXT,
    WS_PING,
    WS_PONG,
    WS_PROTOCOL_ERROR,
)
from .events import Closed, Pinged, Ponged
from .kernels import address, encoded, mask_key, rotate, take, u16, u64, unmask, unmask_text
from .stream import Layer

# First octets of the usual frames.
WHOLE_TEXT = FIN | TEXT
WHOLE_BINARY = FIN | BINARY

# MessageLayer.bits, beside CLOSE_SENT, CLOSE_RECEIVED and REPORTED
CLIENT = 0x1  # this end is the client of the WebSocket: it masks, the peer must not
FAILED = 0x8  # we failed the WebSocket: the application sees our code
OURS_FIRST = 0x20  # our Close went out before theirs came


def payload(data):
    """Return what a frame can hold by reference: ASCII `str` and `bytes` as they are."""
    if type(data) is bytes:
        return data
    if type(data) is str:
        return encoded(data)
    if isinstance(data, str):
        return str.encode(data)  # a subclass may say something else of itself
    return bytes(memoryview(data))


class MessageLayer(Layer):
    """Reads and writes the messages of one WebSocket."""

    # 64 octets when compiled; what a message needs only while it arrives is in its Assembly.
    __slots__ = (
        "assembly",
        "partial",
        "closing",
        "left",
        "key",
        "phase",
        "opcode",
        "sending",
        "bits",
    )

    # -- octets in -----------------------------------------------------------------------------

    def receive(self, channel, stream, p, pos, n):
        end = pos + n
        while pos < end:
            if self.phase == HEAD and self.bits == 0:
                # The usual case in one step: a client's message, whole, while nothing is under
                # way. Whatever is wrong or longer takes the way below: half the instructions.
                n = end - pos
                if n > 6 and self.assembly is None and self.partial is None:
                    first = p[pos]
                    second = p[pos + 1]
                    size = second & 0x7F
                    head = 6
                    if size > 125:
                        if size == 126 and n > 8 and u16(p, pos + 2) > 125:
                            size = u16(p, pos + 2)
                            head = 8
                        else:
                            size = n
                    if second & 0x80 and size <= n - head and size <= channel.limits.whole_message:
                        at = pos + head
                        if first == WHOLE_BINARY:
                            pos = at + size
                            if not channel.auto_credit:
                                channel.credit(stream, head)
                            channel.deliver(
                                stream, unmask(p, at, size, mask_key(p, at - 4)), size, 0
                            )
                            continue
                        if first == WHOLE_TEXT:
                            text = unmask_text(p, at, size, mask_key(p, at - 4))
                            if text is not None:
                                pos = at + size
                                if not channel.auto_credit:
                                    channel.credit(stream, head)
                                channel.deliver(stream, text, size, 0)
                                continue
            if self.phase == PAYLOAD:
                n = end - pos
                if n > self.left:
                    n = self.left
                self.left -= n
                self._payload(channel, stream, p, pos, n)
                pos += n
            elif self.phase == HEAD:
                n = end - pos
                if self.partial is None and n >= 2:
                    first = p[pos]
                    second = p[pos + 1]
                    size = second & 0x7F
                    # Theirs is masked where we are the server: 4 octets more.
                    head = 2 + (second >> 5 & 4)
                    if size > 125:
                        head += 2 if size == 126 else 8
                    if n >= head:
                        if self._begin(channel, stream, p, pos, first, second, head):
                            pos += head
                            # The usual case, a frame whole in the buffer, without another turn.
                            n = end - pos
                            if n >= self.left:
                                n = self.left
                                self.left = 0
                                self._payload(channel, stream, p, pos, n)
                                pos += n
                        else:
                            pos += head
                        continue
                pos = self._partial_head(channel, stream, p, pos, end)
            elif self.phase == BEHIND:
                return self.keep_back(channel, stream, p, pos, end)
            else:
                channel.credit(stream, end - pos)
                return 0
        return 0

    def keep_back(self, channel, stream, p, pos, end):
        """Octets that are not looked at now."""
        return 0

    def _partial_head(self, channel, stream, p, pos, end):
        # Octet by octet until the head is whole; a head is at most 14 octets long.
        partial = b"" if self.partial is None else self.partial
        while pos < end:
            partial += take(p, pos, 1)
            pos += 1
            if len(partial) < 2:
                continue
            held = address(partial)
            size = held[1] & 0x7F
            head = 2 + (held[1] >> 5 & 4)
            if size > 125:
                head += 2 if size == 126 else 8
            if len(partial) == head:
                self.partial = None
                if self._begin(channel, stream, held, 0, held[0], held[1], head) and not self.left:
                    self._payload(channel, stream, p, pos, 0)
                return pos
        self.partial = partial
        return pos

    def _begin(self, channel, stream, p, pos, first, second, head):
        # A frame's head is whole: check it, and say in `left` how much payload follows.
        # False where the WebSocket failed with the boundaries of frames lost.
        channel.credit(stream, head)
        size = second & 0x7F
        at = pos + 2
        if size == 126:
            size = u16(p, at)
            at += 2
            if size < 126:
                # RFC 6455 section 5.2: "the minimal number of bytes MUST be used".
                self.fail(channel, stream, WS_PROTOCOL_ERROR, "length is not minimal")
        elif size == 127:
            if p[at] & 0x80:
                # RFC 6455 section 5.2: "the most significant bit MUST be 0".
                self.fail(channel, stream, WS_PROTOCOL_ERROR, "length above 63 bits")
                self.phase = DISCARD
                return False
            size = u64(p, at)
            at += 8
            if size < 65536:
                self.fail(channel, stream, WS_PROTOCOL_ERROR, "length is not minimal")
        masked = second & 0x80
        self.key = mask_key(p, at) if masked else 0
        self.left = size
        self.opcode = first
        self.phase = PAYLOAD
        if self.bits & (CLOSE_SENT | CLOSE_RECEIVED):
            # Draining: of every frame only its boundaries matter.
            return self._drain_head(channel, stream, first, size)
        if (first & 0x70) or (masked == 0) != (self.bits & CLIENT != 0):
            if first & 0x70 and not self.understands(first):
                # RFC 6455 section 5.2: RSV "MUST be 0 unless an extension is negotiated".
                self.fail(channel, stream, WS_PROTOCOL_ERROR, "reserved bits are set")
            elif masked and self.bits & CLIENT:
                self.fail(channel, stream, WS_PROTOCOL_ERROR, "frame from a server is masked")
            elif not masked and not self.bits & CLIENT:
                self.fail(channel, stream, WS_PROTOCOL_ERROR, "frame from a client is not masked")
            if self.bits & CLOSE_SENT:
                return self._drain_head(channel, stream, first, size)
        opcode = first & OPCODE
        if opcode >= 8:
            if opcode > WS_PONG:
                self.fail(channel, stream, WS_PROTOCOL_ERROR, "reserved opcode")
            elif size > 125:
                self.fail(channel, stream, WS_PROTOCOL_ERROR, "control frame above 125 octets")
            elif not first & FIN:
                self.fail(channel, stream, WS_PROTOCOL_ERROR, "control frame is fragmented")
        elif opcode > BINARY:
            self.fail(channel, stream, WS_PROTOCOL_ERROR, "reserved opcode")
        elif self.assembly is None or self.assembly.opcode == 0:
            if opcode == CONTINUATION_FRAME:
                self.fail(channel, stream, WS_PROTOCOL_ERROR, "continuation of no message")
            elif size > channel.limits.max_message and not self.may_fit(channel, first, size):
                self.too_big("max_message", channel, stream)
            elif size > channel.limits.max_fragment and not self.may_fit(channel, first, size):
                self.too_big("max_fragment", channel, stream)
        elif opcode != CONTINUATION_FRAME:
            self.fail(channel, stream, WS_PROTOCOL_ERROR, "message inside a message")
        else:
            self._count_fragment(channel, stream, size)
        if self.bits & CLOSE_SENT:
            return self._drain_head(channel, stream, first, size)
        return True

    def _drain_head(self, channel, stream, first, size):
        if size > 125 and first & OPCODE == CLOSE:
            # Whatever it holds: both Close frames are on the wire, nothing is left to wait for.
            self.bits |= CLOSE_RECEIVED
            self.ended(channel, stream)
            return False
        return True

    def understands(self, first):
        """May a frame begin with this octet, in which reserved bits are set? An extension knows."""
        return False

    def may_fit(self, channel, first, size):
        """May a message hold no more than it is allowed, although its frame does?"""
        return False

    def _count_fragment(self, channel, stream, size):
        # A continuation begins: the whole message stays within its limits (SEC-5-1, SEC-5-3).
        assembly = self.assembly
        have = assembly.passed + assembly.buffer.size()
        self._count(channel, stream, size, have, channel.limits.max_message)

    def _count(self, channel, stream, size, have, most):
        # `size` octets more for a message of which `have` came, and of which `most` may come.
        limits = channel.limits
        assembly = self.assembly
        if size > most - have:
            self.too_big("max_message", channel, stream)
            return
        if size > limits.max_fragment and not self.may_fit(channel, assembly.opcode, size):
            self.too_big("max_fragment", channel, stream)
            return
        if size == 0 and not self.opcode & FIN:
            assembly.empty_frames += 1
            if assembly.empty_frames > limits.max_empty_fragments:
                channel.count_hit("max_empty_fragments")
                self.fail(channel, stream, POLICY_VIOLATION, "too many empty fragments")
        else:
            assembly.frames += 1
            if assembly.frames > limits.max_fragments and assembly.frames > have >> 4:
                channel.count_hit("max_fragments")
                self.fail(channel, stream, POLICY_VIOLATION, "too many fragments")

    def too_big(self, limit, channel, stream):
        """Fail the WebSocket for a message, or a fragment of one, that is longer than its limit."""
        channel.count_hit(limit)
        return self.fail(channel, stream, MESSAGE_TOO_BIG, limit[4:] + " is too big")

    def _payload(self, channel, stream, p, pos, n):
        # n octets of the current frame, unmasked by `key`; the frame is whole where left is 0.
        opcode = self.opcode & (OPCODE | RSV1)
        if self.left == 0:
            self.phase = HEAD
        if opcode >= 8:  # or RSV1 is set
            if opcode & 8:
                self._control(channel, stream, opcode & OPCODE, p, pos, n)
            else:
                self.expand(channel, stream, p, pos, n)
        elif self.bits & CLOSE_SENT:
            if n:
                channel.credit(stream, n)
        elif self.assembly is None and self.left == 0 and self.opcode & FIN:
            # A whole message in one piece.
            if opcode == TEXT:
                text = unmask_text(p, pos, n, self.key)
                if text is None:
                    channel.credit(stream, n)
                    self.fail(channel, stream, INVALID_DATA, "text is not UTF-8")
                else:
                    channel.deliver(stream, text, n, 0)
            else:
                channel.deliver(stream, unmask(p, pos, n, self.key), n, 0)
        else:
            self._gather(channel, stream, opcode, p, pos, n)
        return 0

    def expand(self, channel, stream, p, pos, n):
        """n octets of a frame with RSV1, or of the frames behind it. Without an extension they
        come only while draining."""
        channel.credit(stream, n)
        return 0

    def _gather(self, channel, stream, opcode, p, pos, n):
        # A piece of a message that is not whole yet, or that began earlier.
        assembly = self.assembly
        if assembly is None:
            assembly = new_assembly(opcode)
            self.assembly = assembly
        elif assembly.opcode & RSV1:
            return self.expand(channel, stream, p, pos, n)
        elif assembly.streaming:
            return self._part(channel, stream, opcode, p, pos, n)
        buffer = assembly.buffer
        early = buffer.size()
        if self.opcode & FIN:
            buffer.expect(early + n + self.left)
        if assembly.opcode == TEXT:
            # RFC 6455 section 8.1, and at the first octet that cannot be part of any text.
            assembly.utf8 = buffer.append_text(p, pos, n, self.key, assembly.utf8)
        else:
            buffer.append(p, pos, n, self.key)
        self.key = rotate(self.key, n)
        complete = self.left == 0 and self.opcode & FIN
        if assembly.utf8 < 0 or (complete and assembly.utf8 != 0):
            channel.hold(stream, n)
            self.fail(channel, stream, INVALID_DATA, "text is not UTF-8")
        elif complete:
            self.assembly = None
            data = buffer.text() if assembly.opcode == TEXT else buffer.bytes()
            channel.deliver(stream, data, early + n, early)
        elif n:
            channel.hold(stream, n)
        return 0

    def stream_parts(self, channel, stream):
        """Hand over what comes from now on in pieces."""
        assembly = self.assembly
        if assembly is None:
            assembly = new_assembly(0)
            self.assembly = assembly
        elif assembly.streaming:
            return 0
        assembly.streaming = True
        if assembly.opcode:
            data = assembly.buffer.bytes()
            assembly.passed = len(data)
            if data:
                text = assembly.opcode & OPCODE == TEXT
                channel.deliver_part(stream, data, text, False, True)
        return 0

    def _part(self, channel, stream, opcode, p, pos, n):
        # n octets of a message that is handed over in pieces.
        assembly = self.assembly
        if assembly.opcode == 0:
            assembly.begin(opcode)
        buffer = assembly.buffer
        text = assembly.opcode == TEXT
        if text:
            assembly.utf8 = buffer.append_text(p, pos, n, self.key, assembly.utf8)
        else:
            buffer.append(p, pos, n, self.key)
        data = buffer.bytes()
        self.key = rotate(self.key, n)
        assembly.passed += n
        final = self.left == 0 and self.opcode & FIN != 0
        if assembly.utf8 < 0 or (final and assembly.utf8 != 0):
            channel.credit(stream, n)
            self.fail(channel, stream, INVALID_DATA, "text is not UTF-8")
            return 0
        if final:
            assembly.opcode = 0
        if n or final:
            channel.deliver_part(stream, data, text, final, False)
        return 0

    # -- control frames ------------------------------------------------------------------------

    def _control(self, channel, stream, opcode, p, pos, n):
        channel.credit(stream, n)
        if self.bits & CLOSE_RECEIVED or (self.bits & CLOSE_SENT and opcode != CLOSE):
            self.partial = None  # of a ping whose first part came before our Close
            return
        data = unmask(p, pos, n, self.key)
        self.key = rotate(self.key, n)
        if self.partial is not None:
            data = self.partial + data
        if self.left:
            self.partial = data
            return
        self.partial = None
        if opcode == CLOSE:
            self._receive_close(channel, stream, data)
        elif opcode == WS_PING:
            # RFC 6455 section 5.5.2: answered "as soon as is practical", before it is reported.
            # A peer that pings and never reads gets one late pong for all of them (SEC-5-4).
            if stream.queued > channel.limits.max_pong_backlog:
                channel.delay_pong(stream, data)
            else:
                channel.write_frame(stream, FIN | WS_PONG, data)
            channel.emit(stream, Pinged(stream.id, data))
        else:
            channel.emit(stream, Ponged(stream.id, data))

    def _receive_close(self, channel, stream, data):
        code = NO_STATUS_RCVD
        reason = ""
        n = len(data)
        fault = 0
        if n == 1:
            fault = WS_PROTOCOL_ERROR
            reason = "close code is cut short"
        elif n:
            p = address(data)
            code = u16(p, 0)
            text = unmask_text(p, 2, n - 2, 0)
            if not is_close_code(code):
                fault = WS_PROTOCOL_ERROR
                reason = "close code is not allowed"
            elif text is None:
                fault = INVALID_DATA
                reason = "close reason is not UTF-8"
            else:
                reason = text
        if self.bits & CLOSE_SENT:
            # The answer to ours. Faults in it change nothing any more.
            self.bits |= CLOSE_RECEIVED
            self.phase = DISCARD
            if not fault:
                self.closing.received_code = code
                self.closing.received_reason = reason
            self._report(channel, stream, -1)
            channel.end(stream)
            return
        if fault:
            # Both Close frames cross the wire now: nothing is left to wait for.
            self.fail(channel, stream, fault, reason)
            self.bits |= CLOSE_RECEIVED
            self.phase = DISCARD
            self._report(channel, stream, -1)
            channel.end(stream)
            return
        # RFC 6455 section 5.5.1: the answer "typically echos the status code it received".
        self.bits |= CLOSE_RECEIVED
        self._close_details(code, reason, 0, "")
        self._write_close(channel, stream, code, "")
        self.phase = DISCARD
        self._report(channel, stream, -1)
        channel.end(stream)

    def _close_details(self, received_code, received_reason, sent_code, sent_reason):
        closing = self.closing
        if closing is None:
            closing = new_closing()
            self.closing = closing
        if received_code:
            closing.received_code = received_code
            closing.received_reason = received_reason
        if sent_code:
            closing.sent_code = sent_code
            closing.sent_reason = sent_reason

    def _write_close(self, channel, stream, code, reason):
        if stream.flags & LATE_PONG:
            channel.late_pong(stream)
        self.bits |= CLOSE_SENT
        self._close_details(0, "", code, reason)
        if code == NO_STATUS_RCVD:
            channel.write_frame(stream, FIN | CLOSE, b"")
        else:
            channel.write_frame(stream, FIN | CLOSE, code.to_bytes(2, "big") + reason.encode())

    # -- the end -------------------------------------------------------------------------------

    def fail(self, channel, stream, code, reason):
        # _Fail the WebSocket Connection_: RFC 6455 section 7.1.7.
        if self.bits & (CLOSE_SENT | CLOSE_RECEIVED):
            return 1
        self.bits |= FAILED | OURS_FIRST
        self._drop_assembly(channel, stream)
        self._write_close(channel, stream, code, reason)
        channel.start_closing(stream)
        return 1

    def close(self, channel, stream, code, reason):
        """Start the closing handshake, once: RFC 6455 section 7.1.2. The arguments were checked."""
        if self.bits & (CLOSE_SENT | CLOSE_RECEIVED):
            return 0
        self.bits |= OURS_FIRST
        self._drop_assembly(channel, stream)
        self._write_close(channel, stream, code, reason)
        channel.start_closing(stream)
        return 0

    def _drop_assembly(self, channel, stream):
        if self.assembly is not None:
            n = self.assembly.buffer.size()
            if n > stream.held:
                n = stream.held  # the stream was forgotten, with all that it held
            stream.held -= n
            channel.buffered -= n
            self.assembly = None
        return 0

    def ended(self, channel, stream):
        # END_STREAM without a Close is an abnormal closure: RFC 8441 section 5.
        self._report(channel, stream, -1)
        self.phase = DISCARD
        channel.end(stream)
        return 0

    def broken(self, channel, stream, error_code, reason, remote, retryable):
        self.phase = DISCARD
        self._report(channel, stream, error_code if remote else -1)
        return 0

    def lost(self, channel, stream, error_code, reason, remote, retryable):
        # Nobody reset the stream itself, so there is no code to report.
        return self.broken(channel, stream, error_code, reason, False, retryable)

    def _report(self, channel, stream, error_code):
        # Deliver Closed, once. error_code -1: the peer did not reset the stream.
        if self.bits & REPORTED:
            return
        self.bits |= REPORTED
        self._drop_assembly(channel, stream)
        closing = self.closing
        received = sent = None
        received_first = None
        code = ABNORMAL_CLOSURE
        reason = ""
        if closing is not None:
            if closing.received_code:
                received = (closing.received_code, closing.received_reason)
                code = closing.received_code
                reason = closing.received_reason
            if closing.sent_code:
                sent = (closing.sent_code, closing.sent_reason)
                if self.bits & FAILED:
                    code = closing.sent_code
                    reason = closing.sent_reason
            if received is not None and sent is not None:
                received_first = not self.bits & OURS_FIRST
        channel.over(stream)  # first: a sink that fails now has nothing left to close
        channel.emit(
            stream,
            Closed(
                stream.id,
                code,
                reason,
                received,
                sent,
                received_first,
                error_code if error_code >= 0 else None,
            ),
        )

    def writable(self):
        """May messages still be sent?"""
        return not self.bits & (CLOSE_SENT | CLOSE_RECEIVED)

    def is_plain(self):
        return self.bits & ~CLIENT == 0 and self.sending == 0

    def heard_close(self):
        """Has the peer's Close frame come?"""
        return self.bits & CLOSE_RECEIVED != 0

    # -- messages out --------------------------------------------------------------------------

    def answer(self, channel, stream, data):
        if type(data) is bytes and self.sending == 0 and self.bits == 0:
            binary = data
            if channel.push_message(stream, WHOLE_BINARY, binary, len(binary)):
                return None
        return self._answer(channel, stream, data)

    def _answer(self, channel, stream, data):
        first_octet = WHOLE_BINARY
        if type(data) is not bytes:
            if not isinstance(data, str):
                return None
            first_octet = WHOLE_TEXT
            data = payload(data)
        if self.sending:
            return LocalProtocolError("a fragmented message is being sent; end it first")
        if self.bits & (CLOSE_SENT | CLOSE_RECEIVED):
            return None
        if channel.push_message(stream, first_octet, data, len(data)):
            return None
        return channel.queue_is_full()

    def whole(self, channel, stream, opcode, data, compress):
        """Queue a message, compressed if an extension can and `compress` says so; `data` as in
        `send`. False where so many more octets must not wait."""
        return channel.push_message(stream, opcode | FIN, data, len(data))

    def part(self, channel, stream, opcode, data, final, compress):
        """Queue a part of a message; the first of them decides whether it is compressed."""
        return self.send(channel, stream, opcode, data, final)

    def share(self, channel, stream, opcode, data, packed):
        """Queue a message that others get as well: what they have in common is kept in the dict
        `packed`. False as in `whole`."""
        return self.whole(channel, stream, opcode, data, True)

    def send(self, channel, stream, opcode, data, final):
        """Queue one frame of a message; `data` is `bytes` or ASCII `str`. The call was checked."""
        if self.sending:
            opcode = CONTINUATION_FRAME
            if final:
                self.sending = 0
        elif not final:
            self.sending = opcode
        channel.write_frame(stream, opcode | FIN if final else opcode, data)
        return 0


def new_message_layer(client):
    """Make the layer of a WebSocket that has just opened."""
    return begin(MessageLayer.__new__(MessageLayer), client)


def begin(layer, client):
    """Give a layer the state it begins with."""
    layer.assembly = None
    layer.partial = None
    layer.closing = None
    layer.left = 0
    layer.key = 0
    layer.phase = HEAD
    layer.opcode = 0
    layer.sending = 0
    layer.bits = CLIENT if client else 0
    return layer
