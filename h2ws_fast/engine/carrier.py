"""What the streams of a connection carry, both ways: the channel below every layer.

Counts DATA against the windows, hands octets to layers and events to sinks, and opens the windows
again for what was taken.
"""

from ..errors import LocalProtocolError
from .arrivals import bytes_message, data_event, text_message
from .closed import ENDED, RESET_BY_PEER, RESET_BY_US
from .constants import (
    ANSWERED,
    BACKLOG,
    BODY_IN,
    CLOSE_TIMER,
    CLOSED,
    CLOSING,
    DATA,
    DIRECT,
    END,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    EVENT_OCTETS,
    FIN,
    FLOW_CONTROL_ERROR,
    GO_ON_TIMER,
    HALF_CLOSED_LOCAL,
    HALF_CLOSED_REMOTE,
    HIGH,
    INTERNAL_ERROR,
    LATE_PONG,
    LOCAL,
    MAX_WINDOW,
    OVER,
    PADDED,
    PROTOCOL_ERROR,
    READ_HEAD,
    READ_PAYLOAD,
    STREAM_CLOSED,
    TICKS,
    TRY_AGAIN_LATER,
    TUNNELLED,
    WINDOW_UPDATE,
    WS_INTERNAL_ERROR,
    WS_PONG,
)
from .endings import Endings
from .events import MessagePart, Shed
from .kernels import payloads, u32
from .layers import DISCARDED, TUNNEL
from .raised import Raised, attempt


class Carrier(Endings):
    """The state of a connection, and the channel of its streams."""

    __slots__ = (
        "alive_answered",
        "alive_asked",
        "bidirectional",
        "can_connect",
        "client",
        "connect_enabled",
        "decoder",
        "dialect",
        "encoder",
        "errors",
        "greeted_settings",
        "keys",
        "last_authority",
        "latency_s",
        "max_streams",
        "messages_received",
        "octets_received",
        "octets_sent",
        "next_local_id",
        "pace_mark",
        "peer_bidirectional",
        "peer_connects",
        "peer_max_header_list",
        "peer_max_streams",
        "peer_no_priorities",
        "pending_settings",
        "pinged_at",
        "pings",
        "round_trip",
        "secure",
        "seen_id",
        "settings",
        "shutdown_state",
        "updates",
        "window",
        "window_size",
    )

    # -- DATA ----------------------------------------------------------------------------------

    def read_tunnels(self, p, pos, n):
        # Whole DATA frames of open tunnels, without flags and within all windows, one behind the
        # other. What is not so goes the long way, by `begin_data`: 230 instructions, these are 130.
        if self.block_id or not self.greeted:
            return pos
        window = self.window
        while n - pos > 9 and self.phase == READ_HEAD:
            length = u32(p, pos)
            stream_id = u32(p, pos + 5)
            if length & 0xFF != DATA or p[pos + 4]:
                break
            length >>= 8
            if (
                length > n - pos - 9
                or length > self.max_frame
                or length > window.left
                or length == 0
            ):
                break
            stream = self.last_stream
            if stream is None or stream.id != stream_id:
                stream = self.streams.get(stream_id)
                if stream is None:
                    break
                self.last_stream = stream
            if (
                stream.flags & (TUNNELLED | ANSWERED) != TUNNELLED | ANSWERED
                or stream.state & HALF_CLOSED_REMOTE
                or length > stream.left
            ):
                break
            layer = stream.layer
            end = pos + 9 + length
            data = None
            if layer is TUNNEL:
                # Octets without bounds of their own: what lies here one behind the other is one
                # piece. 1 MiB costs a receiver four events, and one copy, instead of 64 and two.
                last = self._end_of_run(stream, p, end, n, length)
                if last > end:
                    end = last
                    data = payloads(p, pos, end, 0)
                    length = len(data) + self.left
            self._arrived(stream, length)
            if data is None:
                layer.receive(self, stream, p, pos + 9, length)
            else:
                self.deliver_data(stream, data)
            pos = end
        return pos

    def read_rest(self, p, pos, n):
        # The rest of a tunnel's DATA, and what lies behind it: one piece, as above.
        stream = self.target
        rest = self.left
        if (
            self.phase != READ_PAYLOAD
            or rest == 0
            or rest > n - pos
            or self.padding
            or self.flags
            or stream is None
            or stream.layer is not TUNNEL
            or stream.flags & (TUNNELLED | ANSWERED) != TUNNELLED | ANSWERED
            or stream.state & HALF_CLOSED_REMOTE
        ):
            return pos
        self.target = None
        self.phase = READ_HEAD
        end = self._end_of_run(stream, p, pos + rest, n, 0)
        data = payloads(p, pos, end, rest)
        length = len(data) - rest + self.left
        if length:
            self._arrived(stream, length)
        self.deliver_data(stream, data)
        return end

    def _end_of_run(self, stream, p, pos, n, length):
        # Where a tunnel's octets end that begin at this head and lie one behind the other, within
        # the windows of which `length` is spent: whole frames, and what has come of the last, of
        # which `left` is to come.
        room = min(self.window.left, stream.left) - length
        self.left = 0
        while n - pos > 9:
            head = u32(p, pos)
            size = head >> 8
            if (
                head & 0xFF != DATA
                or p[pos + 4]
                or u32(p, pos + 5) != stream.id
                or size == 0
                or size > self.max_frame
                or size > room
            ):
                break
            room -= size
            pos += 9 + size
            if pos > n:
                self.left = pos - n
                self.target = stream
                self.flags = 0
                self.padding = 0
                self.phase = READ_PAYLOAD
                return n
        return pos

    def _arrived(self, stream, length):
        self.window.left -= length
        self.window.due += length
        if self.window.due * 2 >= self.window_size:
            self._renew_window()
        stream.left -= length
        stream.pace += length
        if stream.pace >= self.pace_mark:
            self._measure_pace(stream)
        if self.auto_credit:
            stream.due += length
            if stream.due * 2 >= self.local_initial:
                self.grant(stream, 0)
        self.guard.empty_frames = 0
        return 0

    def _renew_window(self):
        increment = self.window.earn(0, self.window_size)
        if increment:
            self._write_window_update(0, increment)
        return 0

    def begin_data(self, stream_id, length, flags):
        # The connection's window first: it counts whatever becomes of the stream, and is never
        # withheld on a stream's account (RFC 9113 section 6.9).
        if length > self.window.left:
            self.fail_connection(FLOW_CONTROL_ERROR, "connection window exceeded")
            return None
        self.window.left -= length
        self.window.due += length
        if self.window.due * 2 >= self.window_size:
            self._renew_window()
        if (
            self.last_stream is not None
            and self.last_stream.id == stream_id
            and self.last_stream.state != CLOSED
        ):
            stream = self.last_stream
        else:
            stream = self.streams.get(stream_id)
            if stream is None:
                self._frame_on_closed(stream_id, "DATA")
                return None
            self.last_stream = stream
        if stream.state & HALF_CLOSED_REMOTE:
            self.fail_stream(stream, STREAM_CLOSED, "DATA after END_STREAM")
            return None
        if length > stream.left and length:
            # Not an empty frame: RFC 9113 section 6.9.1. A window that shrank is below zero.
            self.fail_stream(stream, FLOW_CONTROL_ERROR, "stream window exceeded")
            return None
        stream.left -= length
        stream.pace += length
        if stream.pace >= self.pace_mark:
            self._measure_pace(stream)
        if length:
            # Before an extended CONNECT is answered, its window bounds what we hold of it.
            if (
                self.auto_credit
                and not flags & END_STREAM
                and stream.flags & (TUNNELLED | ANSWERED) != TUNNELLED
            ):
                stream.due += length
                if stream.due * 2 >= self.local_initial:
                    self.grant(stream, 0)
            if not flags & PADDED:
                self.guard.empty_frames = 0
            if stream.flags & BODY_IN:
                self._reached(self.guard.body_data(stream, length, self.now))
        elif flags & END_STREAM:
            self.guard.empty_frames = 0
        else:
            self.empty_frame()
        return stream

    def _measure_pace(self, stream):
        # Three quarters of a window came within two round trips: then the window may hold the peer
        # back and not the path, so it is doubled, within the stream's and the connection's limits.
        # It is announced by halves: the path stays full where each half lasts a round trip.
        size = self.local_initial << stream.doublings
        if stream.pace < size - (size >> 2):
            return 0
        if stream.flags & (TUNNELLED | ANSWERED) == TUNNELLED:
            return 0  # nobody has answered it: its window bounds what is held of it
        ticks = int(self.now * TICKS)
        elapsed = (ticks - stream.stamp) & 0xFFFFFFFF
        if self.round_trip == 0 and elapsed and stream.stamp:
            # The first round trip was over before the clock went on (uvloop's goes by milliseconds),
            # but it does go on: what comes while it stands comes within that round trip, or little
            # more. A window that stayed as it was would make both ends wait for one another.
            self.round_trip = 1
        stream.stamp = ticks & 0xFFFFFFFF
        stream.pace = 0
        if (
            self.round_trip
            and elapsed <= self.round_trip * 2
            and size <= self.limits.max_window >> 1
            and size <= MAX_WINDOW >> 1
            and size <= self.limits.window_budget - self.widened
        ):
            stream.doublings += 1
            stream.due += size
            self.widened += size
            self.grant(stream, 0)
        return 0

    def end_data(self, stream):
        stream.state |= HALF_CLOSED_REMOTE
        layer = stream.layer
        layer.ended(self, stream)
        self._settle(stream)
        return 0

    def padded(self, content):
        # Padding without content is an empty frame (SEC-1-9).
        if content:
            self.guard.empty_frames = 0
        elif not self.flags & END_STREAM:
            self.empty_frame()
        return 0

    def empty_frame(self):
        self._reached(self.guard.empty_frame())
        return 0

    def _frame_on_closed(self, stream_id, what):
        # DATA or HEADERS on a stream that is not open: RFC 9113 section 5.1.
        if self._is_idle(stream_id):
            self.fail_connection(PROTOCOL_ERROR, what + " on an idle stream")
            return
        how = self.closed.get(stream_id)
        if how == ENDED:
            self.fail_connection(STREAM_CLOSED, what + " on a closed stream")
        elif how == RESET_BY_PEER:
            # "An endpoint that receives any frames other than PRIORITY after receiving a
            # RST_STREAM MUST treat that as a stream error of type STREAM_CLOSED." Once.
            self._reset_unopened(stream_id, STREAM_CLOSED)
        elif how != RESET_BY_US and stream_id <= self.goaway_last:
            self._reached(self.guard.glitch(self.now))

    def _is_idle(self, stream_id):
        if (stream_id & 1 == 1) == self.client:
            return stream_id >= self.next_local_id
        return stream_id > self.last_peer_id

    # -- what the layers ask for ---------------------------------------------------------------

    def write_frame(self, stream, first_octet, data):
        return self._queue_frame(stream, first_octet, data)

    def _queue_frame(self, stream, first_octet, data):
        # What both need, without a call: 30 instructions less an echo.
        chunks = self.outbox.chunks
        if stream.flags & LOCAL:
            node = chunks.push_frame(first_octet, data, True, self.keys.next(), stream.last)
        else:
            node = chunks.push_frame(first_octet, data, False, 0, stream.last)
        self.outbox.append(stream, node, chunks.pushed)
        if stream.queued > self.limits.write_high:
            stream.flags |= HIGH
        return 0

    def push_message(self, stream, first_octet, data, n):
        if self.outbox.queued > self.limits.max_queued - n:
            return False
        self._queue_frame(stream, first_octet, data)
        self.messages_sent += 1
        return True

    def queue_is_full(self):
        self.guard.hit("max_queued")
        return LocalProtocolError(
            f"{self.outbox.queued} octets wait on this connection; send less until Drained"
        )

    def delay_pong(self, stream, data):
        if self.pongs is None:
            self.pongs = {}
        self.pongs[stream.id] = data
        stream.flags |= LATE_PONG
        self.guard.hit("max_pong_backlog")
        return 0

    def late_pong(self, stream):
        stream.flags &= ~LATE_PONG
        return self.write_frame(stream, FIN | WS_PONG, self.pongs.pop(stream.id))

    def credit(self, stream, n):
        # With auto_credit every DATA frame was credited as it came.
        return 0 if self.auto_credit else self.grant(stream, n)

    def grant(self, stream, n):
        """The peer may send n octets more on a stream."""
        if stream.state & HALF_CLOSED_REMOTE:
            return 0
        increment = stream.earn(n, self.local_initial)
        if increment:
            self._write_window_update(stream.id, increment)
        return 0

    def hold(self, stream, n):
        stream.held += n
        self.buffered += n
        self.credit(stream, n)
        if self.buffered > self.shed_at:
            self._shed()
        elif self.buffered < self.limits.max_buffered:
            self.shed_at = self.limits.max_buffered
        return 0

    def keep(self, stream, n):
        stream.held += n
        self.buffered += n
        if self.buffered > self.shed_at:
            self._shed()
        return 0

    def hold_back(self, stream, n):
        if self.auto_credit:
            stream.due -= n
        return self.keep(stream, n)

    def let_go(self, stream, n):
        if n > stream.held:
            n = stream.held  # the stream was forgotten, with all that it held
        stream.held -= n
        self.buffered -= n
        return self.grant(stream, n) if self.auto_credit else 0

    def go_on_soon(self, stream):
        self.timers.mark(GO_ON_TIMER, stream.id)
        return 0

    def deliver(self, stream, data, credit, early):
        self.messages_received += 1
        if self.auto_credit:
            if early:
                stream.held -= early
                self.buffered -= early
            credit = 0
        else:
            stream.due -= early + EVENT_OCTETS
            credit += EVENT_OCTETS
            stream.held += credit - early
            self.buffered += credit - early
        if stream.sink is None:
            if type(data) is bytes:
                self.tell(bytes_message(stream.id, data, credit))
            else:
                self.tell(text_message(stream.id, data, credit))
        elif stream.flags & DIRECT:
            sink = stream.sink  # held: it may attach another
            answer = attempt(sink.on_message, data)
            if type(answer) is Raised:
                self.sink_failed(stream, answer.error)
            elif answer is not None:
                layer = stream.layer
                error = layer.answer(self, stream, answer)
                if error is not None:
                    self.sink_failed(stream, error)
        else:
            self.deliver_to(stream, data, credit)
        if self.buffered > self.shed_at:
            self._shed()
        return 0

    def deliver_part(self, stream, data, text, final, early):
        n = len(data) if early else 0  # held before, and credited
        credit = 0
        self.messages_received += final
        if not self.auto_credit:
            credit = len(data) + EVENT_OCTETS
            stream.due -= n + EVENT_OCTETS
        stream.held += credit - n
        self.buffered += credit - n
        self.emit(stream, MessagePart(stream.id, data, text, final, credit))
        if self.buffered > self.shed_at:
            self._shed()
        return 0

    def deliver_data(self, stream, data):
        credit = 0
        if not self.auto_credit:
            credit = len(data)
            stream.held += credit
            self.buffered += credit
        sink = stream.sink
        if sink is None:
            self.tell(data_event(stream.id, data, credit))
        else:
            try:
                sink._data(data, credit)
            except BaseException as error:
                self.sink_failed(stream, error)
        if self.buffered > self.shed_at:
            self._shed()
        return 0

    def fail_application(self, stream):
        """The application failed on a stream: 1011 for a WebSocket, else INTERNAL_ERROR."""
        layer = stream.layer
        if layer.fail(self, stream, WS_INTERNAL_ERROR, ""):
            return 0
        self.break_stream(stream, INTERNAL_ERROR, "the application failed")
        return 0

    def _shed(self):
        # Limits.max_buffered: the tunnels that hold most are failed until a sixteenth of it is
        # free; so much must come before all streams are looked at again.
        limit = self.limits.max_buffered
        self.guard.hit("max_buffered")
        reason = "too much is waiting to be read"
        greediest = []
        for stream in self.streams.values():
            if stream.held and not stream.flags & (OVER | CLOSING):
                greediest.append((stream.held, stream.id))
        greediest.sort(reverse=True)
        for _, stream_id in greediest:
            if self.buffered <= limit - (limit >> 4):
                break
            stream = self.streams.get(stream_id)
            if stream is None:
                continue
            layer = stream.layer
            if layer.fail(self, stream, TRY_AGAIN_LATER, reason):
                self.buffered -= stream.held
                stream.held = 0
                self.emit(stream, Shed(stream_id))
            else:
                self.break_stream(stream, ENHANCE_YOUR_CALM, reason)
        # What those hold that are closing is not theirs to give back.
        self.shed_at = max(limit, self.buffered + (limit >> 4))

    def release(self, stream, n):
        """The application took n octets."""
        if n > stream.held:
            n = stream.held
        stream.held -= n
        self.buffered -= n
        if self.buffered < self.limits.max_buffered:
            self.shed_at = self.limits.max_buffered
        if stream.flags & (CLOSING | BACKLOG):
            if stream.flags & BACKLOG:
                self.go_on_soon(stream)
            if stream.flags & CLOSING:
                return 0
        return self.credit(stream, n)

    def over(self, stream):
        stream.flags |= OVER
        stream.layer = DISCARDED
        return 0

    def start_closing(self, stream):
        if not stream.flags & CLOSING:
            stream.flags |= CLOSING
            stream.withhold(False)
            # What comes from now on is discarded and credited; with what the application still
            # holds, since the peer's Close must not wait for a reader who has gone.
            self.credit(stream, stream.held)
        self.timers.mark(CLOSE_TIMER, stream.id)
        return 0

    def end(self, stream):
        if stream.state & HALF_CLOSED_LOCAL or stream.flags & END:
            return 0
        if stream.queued:
            stream.flags |= END
            if stream.flags & OVER:
                self.start_closing(stream)
            return 0
        self.outbox.write_end(stream)
        return self.ended_here(stream)

    def _write_window_update(self, stream_id, increment):
        control = self.outbox.control
        control.head(4, WINDOW_UPDATE, 0, stream_id)
        control.put_u32(increment)
        return 0
