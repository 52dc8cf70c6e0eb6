"""Control frames that arrive: RFC 9113 sections 6.3 to 6.9, RFC 9218 section 7.1.

Each is whole and of a permitted size when it comes here (`frames`). Whatever makes us answer is
counted against the queue of answers, and whatever is merely odd as a glitch.
"""

from .closed import ENDED, RESET_BY_PEER, RESET_BY_US
from .constants import (
    ACK,
    ANSWERED,
    DEAD,
    DEFAULT_FRAME_SIZE,
    END,
    FIRST_REQUEST_TIMER,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HALF_CLOSED_REMOTE,
    HIGH,
    IDLE_TIMER,
    LOCAL,
    MAX_FRAME_SIZE,
    MAX_STREAM_ID,
    MAX_WINDOW,
    NO_ERROR,
    OVER,
    PING,
    PREFACE_TIMER,
    PRIORITY,
    PRIORITY_UPDATE,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    SETTINGS_ACK_TIMER,
    SETTINGS_ENABLE_CONNECT_PROTOCOL,
    SETTINGS_ENABLE_PUSH,
    SETTINGS_HEADER_TABLE_SIZE,
    SETTINGS_INITIAL_WINDOW_SIZE,
    SETTINGS_MAX_CONCURRENT_STREAMS,
    SETTINGS_MAX_FRAME_SIZE,
    SETTINGS_MAX_HEADER_LIST_SIZE,
    SETTINGS_NO_RFC7540_PRIORITIES,
    WINDOW_UPDATE,
)
from .events import Drained, GoawayReceived, PingAcknowledged, SettingsAcknowledged, SettingsChanged
from .heads import Heads
from .kernels import take, u16, u32
from .layers import DISCARDED, TUNNEL
from .priority import DEFAULT_RANK, Announced, replaced

# The PING that tells when the peer has seen the first GOAWAY of a graceful shutdown.
SHUTDOWN_PING = b"shutdown"
# The PINGs that look whether a silent peer is still there begin so; a number follows.
KEEPALIVE_PING = b"keep"


class Control(Heads):
    """Reads every frame but DATA and field blocks."""

    __slots__ = ()

    # -- the other frames ----------------------------------------------------------------------

    def receive_frame(self, kind, flags, stream_id, p, pos, n):
        if kind == WINDOW_UPDATE:
            self._receive_window_update(stream_id, u32(p, pos) & MAX_WINDOW)
        elif kind == RST_STREAM:
            self._receive_reset(stream_id, u32(p, pos))
        elif kind == PING:
            self._receive_ping(flags, take(p, pos, 8))
        elif kind == SETTINGS:
            if flags & ACK:
                self._receive_settings_ack()
            else:
                self._receive_settings(p, pos, n)
        elif kind == GOAWAY:
            self._receive_goaway(
                u32(p, pos) & MAX_STREAM_ID, u32(p, pos + 4), take(p, pos + 8, n - 8)
            )
        elif kind == PRIORITY:
            self._receive_priority(stream_id, p, pos, n)
        elif kind == PRIORITY_UPDATE:
            self._receive_priority_update(u32(p, pos) & MAX_STREAM_ID, take(p, pos + 4, n - 4))
        return 0

    def _receive_window_update(self, stream_id, increment):
        guard = self.guard
        guard.data_frames_sent = self.outbox.data_frames
        self._reached(guard.window_update())
        outbox = self.outbox
        if stream_id == 0:
            if increment == 0:
                self.fail_connection(PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            elif increment > MAX_WINDOW - outbox.window:
                self.fail_connection(FLOW_CONTROL_ERROR, "connection window above 2^31 - 1")
            else:
                outbox.window += increment
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            if self._is_idle(stream_id):
                self.fail_connection(PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream")
        elif increment == 0:
            self.fail_stream(stream, PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        elif increment > MAX_WINDOW - outbox.initial - stream.extra:
            self.fail_stream(stream, FLOW_CONTROL_ERROR, "stream window above 2^31 - 1")
        else:
            outbox.widen(stream, increment)

    def _receive_reset(self, stream_id, error_code):
        stream = self.streams.get(stream_id)
        if stream is None:
            if self._is_idle(stream_id):
                self.fail_connection(PROTOCOL_ERROR, "RST_STREAM on an idle stream")
                return
            how = self.closed.get(stream_id)
            if how == ENDED or how == RESET_BY_US:
                # It crossed our END_STREAM or RST_STREAM, as when HAProxy loses many clients at
                # once: free, the first time.
                self.closed.add(stream_id, RESET_BY_PEER)
            else:
                self._reached(self.guard.glitch(self.now))
            return
        pending = not stream.flags & (LOCAL | ANSWERED)
        if pending or (stream.state == 0 and not stream.flags & (OVER | END)):
            # CVE-2023-44487: a request is taken back while it is being worked on, mostly one that
            # had ended, as GET does. What was answered and then ended by either side, or closed
            # properly, costs nothing: browsers and proxies finish streams so.
            self._reached(self.guard.reset(self.now))
            if pending and stream_id > self.seen_id:
                self.guard.pending_resets += 1
            if self.phase == DEAD:
                return
        layer = stream.layer
        # RFC 9113 section 8.1: NO_ERROR after a complete response only stops the upload. The octets
        # of a tunnel are no upload: who sends them is to hear that they are lost.
        complete = (
            stream.flags & (LOCAL | ANSWERED) == LOCAL | ANSWERED
            and stream.state & HALF_CLOSED_REMOTE
            and error_code == NO_ERROR
            and layer is not TUNNEL
        )
        stream.layer = DISCARDED
        self._forget(stream, RESET_BY_PEER)
        if stream.flags & OVER:
            pass
        elif complete:
            stream.flags |= OVER
            if stream.flags & HIGH:
                # Nothing of the upload waits any more, but somebody may wait for it to leave.
                self.emit(stream, Drained(stream_id))
        else:
            stream.flags |= OVER
            layer.broken(
                self,
                stream,
                error_code,
                "reset by the peer",
                True,
                error_code == REFUSED_STREAM,
            )
        self._finish_draining()

    def _receive_ping(self, flags, data):
        if not flags & ACK:
            guard = self.guard
            if not self._reached(guard.control_frame()):
                self._reached(guard.ping(self.outbox.data_frames, self.now))
            if self.phase != DEAD:
                self.outbox.control.head(8, PING, ACK, 0)
                self.outbox.control.put(data)
            return
        pings = self.pings
        if pings and data in pings:
            pings.remove(data)
            if self.shutdown_state == 1 and data == SHUTDOWN_PING:
                self._shut_down()
            else:
                self.tell(PingAcknowledged(data))
        elif not self._is_sign_of_life(data):
            self._reached(self.guard.glitch(self.now))

    def _is_sign_of_life(self, data):
        # The answer to a PING of keepalive; to an earlier one, where other octets came before it.
        number = int.from_bytes(data[4:], "big")
        if data[:4] != KEEPALIVE_PING or not self.alive_answered < number <= self.alive_asked:
            return False
        self.alive_answered = number
        if number == self.alive_asked:
            self.latency_s = self.now - self.pinged_at
        return True

    def _receive_settings(self, p, pos, n):
        guard = self.guard
        if not self._reached(guard.control_frame()) and self.greeted_settings:
            self._reached(guard.settings(self.now))
        if self.phase == DEAD:
            return
        changed = {}
        end = pos + n
        while pos < end:
            identifier = u16(p, pos)
            value = u32(p, pos + 2)
            pos += 6
            changed[identifier] = value
            if not self._apply_setting(identifier, value):
                return
        self.outbox.control.head(0, SETTINGS, ACK, 0)
        if not self.greeted_settings:
            self.greeted_settings = True
            self.timers.cancel(PREFACE_TIMER, 0)
            if not self.client:
                # A client that takes streams may wait for them as long as it may wait for its own.
                self.timers.mark(IDLE_TIMER if self.can_connect else FIRST_REQUEST_TIMER, 0)
        self.tell(SettingsChanged(changed))

    def _apply_setting(self, identifier, value):
        # One setting of the peer, in the order of the frame; false where the connection failed.
        outbox = self.outbox
        if identifier == SETTINGS_HEADER_TABLE_SIZE:
            self.encoder.set_max_table_size(value)
        elif identifier == SETTINGS_ENABLE_PUSH:
            if value > 1 or (value == 1 and self.client):
                self.fail_connection(PROTOCOL_ERROR, "invalid SETTINGS_ENABLE_PUSH")
        elif identifier == SETTINGS_MAX_CONCURRENT_STREAMS:
            self.peer_max_streams = value
        elif identifier == SETTINGS_INITIAL_WINDOW_SIZE:
            if value > MAX_WINDOW:
                self.fail_connection(FLOW_CONTROL_ERROR, "invalid SETTINGS_INITIAL_WINDOW_SIZE")
            elif value != outbox.initial:
                self._resize_windows(value)
        elif identifier == SETTINGS_MAX_FRAME_SIZE:
            if value < 16384 or value > MAX_FRAME_SIZE:
                self.fail_connection(PROTOCOL_ERROR, "invalid SETTINGS_MAX_FRAME_SIZE")
            else:
                outbox.max_frame = value
        elif identifier == SETTINGS_MAX_HEADER_LIST_SIZE:
            self.peer_max_header_list = value
        elif identifier == SETTINGS_ENABLE_CONNECT_PROTOCOL:
            # RFC 8441 section 3: a boolean, and never withdrawn. From a client it means nothing,
            # but for those who may open streams to it.
            if value > 1:
                self.fail_connection(PROTOCOL_ERROR, "invalid SETTINGS_ENABLE_CONNECT_PROTOCOL")
            elif self.client or self.bidirectional >= 0:
                if self.peer_connects and value == 0:
                    self.fail_connection(
                        PROTOCOL_ERROR, "SETTINGS_ENABLE_CONNECT_PROTOCOL withdrawn"
                    )
                self.peer_connects = value == 1
                self.can_connect = self.peer_connects and (self.client or self.peer_bidirectional)
        elif identifier == self.bidirectional:
            if value > 1:
                self.fail_connection(
                    PROTOCOL_ERROR, "invalid SETTINGS_ENABLE_BIDIRECTIONAL_CONNECT"
                )
            elif self.peer_bidirectional and value == 0:
                self.fail_connection(
                    PROTOCOL_ERROR, "SETTINGS_ENABLE_BIDIRECTIONAL_CONNECT withdrawn"
                )
            self.peer_bidirectional = value == 1
            self.can_connect = self.peer_connects and (self.client or self.peer_bidirectional)
        elif identifier == SETTINGS_NO_RFC7540_PRIORITIES:
            # RFC 9218 section 2.1: a boolean that the first SETTINGS fix.
            if value > 1 or (self.greeted_settings and (value == 1) != self.peer_no_priorities):
                self.fail_connection(PROTOCOL_ERROR, "invalid SETTINGS_NO_RFC7540_PRIORITIES")
            self.peer_no_priorities = value == 1
        elif self.dialect is not None:
            self.dialect.heard(identifier, value)
        return self.phase != DEAD

    def _resize_windows(self, initial):
        # RFC 9113 section 6.9.2. `initial` is added to every stream's `extra`, so that only a
        # stream whose extra is already far above zero can overflow.
        outbox = self.outbox
        if initial > outbox.initial:
            streams = []
            if outbox.releases(initial) or outbox.widest > MAX_WINDOW - initial:
                streams = self.streams.values()
            if outbox.widest > MAX_WINDOW - initial:
                outbox.measure(streams)
                if outbox.widest > MAX_WINDOW - initial:
                    self.fail_connection(FLOW_CONTROL_ERROR, "stream window above 2^31 - 1")
                    return
            outbox.resize(initial, streams)
        else:
            outbox.resize(initial, [])

    def _receive_settings_ack(self):
        if not self.pending_settings:
            self.fail_connection(PROTOCOL_ERROR, "SETTINGS acknowledgement of nothing")
            return
        if self.round_trip < 0:
            self.measure_round_trip()
        self._settings_in_force(self.pending_settings.pop(0))
        if not self.pending_settings:
            self.pending_settings = None
            self.timers.cancel(SETTINGS_ACK_TIMER, 0)
        self.tell(SettingsAcknowledged())

    def _settings_in_force(self, entries):
        # RFC 9113 section 6.5.3: what shrinks is enforced from the acknowledgement on. The peer
        # may have applied what is still to be acknowledged, so the largest of it counts.
        for identifier, value in entries:
            if identifier == SETTINGS_HEADER_TABLE_SIZE:
                self.decoder.set_max_table_size(value)
                continue
            for later in self.pending_settings or ():
                for other, its_value in later:
                    if other == identifier and its_value > value:
                        value = its_value
            if identifier == SETTINGS_INITIAL_WINDOW_SIZE:
                if value != self.local_initial:
                    self._change_windows(value)
            elif identifier == SETTINGS_MAX_FRAME_SIZE:
                self.max_frame = value
            elif identifier == SETTINGS_MAX_HEADER_LIST_SIZE:
                if value != self.decoder.max_list_size:
                    self._limit_lists(value)
            elif identifier == SETTINGS_MAX_CONCURRENT_STREAMS:
                self.max_streams = value
            elif identifier == SETTINGS_ENABLE_CONNECT_PROTOCOL:
                # Of a client: the server has seen it before it may use it.
                self.connect_enabled = value == 1

    def measure_round_trip(self):
        """Our first SETTINGS were acknowledged."""

    def _change_windows(self, initial):
        # Our SETTINGS_INITIAL_WINDOW_SIZE: RFC 9113 section 6.9.2.
        change = self.local_initial - initial
        self.local_initial = initial
        for stream in self.streams.values():
            self._narrow(stream, change)
        return 0

    def _narrow(self, stream, change):
        stream.left -= change
        if stream.doublings:
            # What the window has grown by was measured by the size before: once it is used, it is
            # not granted again.
            before = self.local_initial + change
            grown = (before << stream.doublings) - before
            stream.doublings = 0
            stream.due -= grown
            self.widened -= grown
        # What is due may be much in a smaller window: nothing else might ever announce it.
        self.grant(stream, 0)

    def _widest_window(self):
        # The most that the peer may send on a stream that is open.
        widest = self.local_initial
        for stream in self.streams.values():
            if stream.left > widest:
                widest = stream.left
        return widest

    def _limit_lists(self, size):
        # Our SETTINGS_MAX_HEADER_LIST_SIZE. A list of twice the size may still be answered with 431.
        self.max_block = 2 * size + DEFAULT_FRAME_SIZE
        self.decoder.set_max_list_size(size)
        return 0

    def _receive_goaway(self, last, error_code, debug_data):
        if self.draining and last >= self.peer_goaway_last:
            # One that takes nothing back any more is not worth a look at every stream.
            if self._reached(self.guard.glitch(self.now)):
                return 0
        elif self.draining and self.peer_goaway_last != MAX_STREAM_ID:
            # RFC 9113 section 6.8: "Endpoints MUST NOT increase the value", but may lower it.
            if self._reached(self.guard.goaway()):
                return 0
        self.draining = True
        self.tell(GoawayReceived(last, error_code, debug_data))
        if last < self.peer_goaway_last:
            self.peer_goaway_last = last
            if self.local_streams:
                for stream in self.streams.values():
                    self._drop_unprocessed(stream)
        self._finish_draining()

    def _drop_unprocessed(self, stream):
        # RFC 9113 section 6.8: above the last stream nothing was processed, so it can be retried.
        if (
            stream.flags & LOCAL
            and stream.id > self.peer_goaway_last
            and self.streams.get(stream.id) is stream  # a sink may have ended it meanwhile
        ):
            layer = stream.layer
            stream.layer = DISCARDED
            self._forget(stream, RESET_BY_PEER)
            if not stream.flags & OVER:
                stream.flags |= OVER
                layer.broken(
                    self, stream, REFUSED_STREAM, "not processed before GOAWAY", True, True
                )

    def _receive_priority(self, stream_id, p, pos, n):
        if self._reached(self.guard.priority()):
            return 0
        error = FRAME_SIZE_ERROR
        reason = None
        if n != 5:
            reason = "PRIORITY is not 5 octets long"
        elif self.heed_loops and u32(p, pos) & MAX_STREAM_ID == stream_id:
            error = PROTOCOL_ERROR
            reason = "the stream depends on itself"
        if reason is None:
            return 0
        stream = self.streams.get(stream_id)
        if stream is not None:
            self.fail_stream(stream, error, reason)
        elif self._is_idle(stream_id):
            # What RFC 9113 sections 6.2 and 6.3 leave of priorities is an error of the stream; but
            # an idle one is never reset (section 6.4).
            self.fail_connection(error, reason)
        elif (
            error == FRAME_SIZE_ERROR
            and stream_id <= self.goaway_last
            and self.closed.get(stream_id) != RESET_BY_US
            and not self.closed.is_told(stream_id)
        ):
            # A closed one may have been open when the frame left. Section 5.4.2: "Normally, an
            # endpoint SHOULD NOT send more than one RST_STREAM frame for any stream."
            self.closed.tell(stream_id)
            if not self._provoked():
                self._write_reset(stream_id, error)
        else:
            self._reached(self.guard.glitch(self.now))
        return 0

    def _receive_priority_update(self, stream_id, value):
        self._reached(self.guard.priority())
        if self.phase == DEAD:
            return
        if self.client or stream_id == 0:
            # RFC 9218 section 7.1.
            self.fail_connection(PROTOCOL_ERROR, "invalid PRIORITY_UPDATE")
            return
        stream = self.streams.get(stream_id)
        if stream is None and not self._is_idle(stream_id):
            return
        if stream is None:
            if stream_id & 1 == 0:
                self.fail_connection(PROTOCOL_ERROR, "PRIORITY_UPDATE of an idle push stream")
                return
            if stream_id > self.goaway_last:
                return
            if self.updates is None:
                self.updates = Announced()
            if stream_id not in self.updates and (
                # "The number of streams that have been prioritized but remain in the "idle" state
                # plus the number of active streams [...] MUST NOT exceed" the limit.
                len(self.updates) + self.peer_streams >= self.max_streams
            ):
                self.fail_connection(PROTOCOL_ERROR, "PRIORITY_UPDATE of too many idle streams")
                return
        rank = replaced(DEFAULT_RANK if stream is None else stream.rank, value)
        if rank < 0:
            # RFC 9218 section 7 lets this end the connection; nothing is gained by that.
            self._reached(self.guard.glitch(self.now))
        elif stream is None:
            self.updates.put(stream_id, rank)
        else:
            self.outbox.place(stream, rank)
