"""One HTTP/2 connection: the verbs. What the peer may do is read below, in `control` and `heads`.

    for event in conn.receive_data(data, now): ...      bytes in, events out
    conn.send_message(stream_id, "hello")               verbs; nothing leaves by itself:
    for buffer in conn.data_to_send(now=now): ...       bytes out, after every verb or batch of them
    conn.next_timeout(), conn.handle_timeout(now)       time comes in as an argument

A call that is wrong raises and changes nothing. What a peer did wrong is an event, and the answer
to it is queued.
"""

from enum import IntEnum

from ..errors import LocalProtocolError
from .buffers import Pool
from .closed import ClosedStreams
from .constants import (
    AWAIT_PREFACE,
    BACKLOG,
    CLOSED,
    DEAD,
    DEFAULT_FRAME_SIZE,
    DEFAULT_WINDOW,
    END,
    GOAWAY,
    HIGH,
    LATE_PONG,
    MAX_STREAM_ID,
    MAX_WINDOW,
    MIN_PULL,
    NO_ERROR,
    OVER,
    PING,
    PREFACE,
    PREFACE_TIMER,
    READ_HEAD,
    READ_WHOLE,
    SETTINGS,
    SETTINGS_ACK_TIMER,
    SETTINGS_ENABLE_CONNECT_PROTOCOL,
    SETTINGS_HEADER_TABLE_SIZE,
    SETTINGS_INITIAL_WINDOW_SIZE,
    SETTINGS_MAX_CONCURRENT_STREAMS,
    SETTINGS_MAX_FRAME_SIZE,
    SETTINGS_MAX_HEADER_LIST_SIZE,
    SETTINGS_NO_RFC7540_PRIORITIES,
    SHUTDOWN_TIMER,
    SWEEP_TIMER,
    TICKS,
    TRAILED,
)
from .control import SHUTDOWN_PING
from .deadlines import Deadlines
from .events import Drained
from .guard import Guard
from .hpack import Decoder, Encoder
from .kernels import address, flat, whole
from .limits import Limits
from .masking import MaskKeys
from .messages import MessageLayer
from .outbox import Outbox
from .sender import check_error_code
from .settings import Settings, check_setting
from .stream_map import StreamMap
from .timers import Timers
from .window import Window

DEFAULTS = Limits()


def check_reason(reason):
    """Return debug data for a GOAWAY as `bytes`, or raise: it must fit into the smallest frame."""
    reason = bytes(memoryview(reason))
    if len(reason) > DEFAULT_FRAME_SIZE - 8:
        raise ValueError(f"reason must not exceed {DEFAULT_FRAME_SIZE - 8} octets")
    return reason


def check_on_limit(callback):
    """Raise TypeError for what cannot be called, unless it is None."""
    if callback is not None and not callable(callback):
        raise TypeError(f"on_limit must be callable or None, not {type(callback).__name__}")


class Role(IntEnum):
    """Which end of the connection this is."""

    CLIENT = 0
    SERVER = 1


class Connection(Deadlines):
    """One end of an HTTP/2 connection (RFC 9113). What is to be sent first is there at once.

    Whoever has the transport hands what it brings to `receive_data`, writes what `data_to_send`
    returns after that and after every batch of verbs, and calls `handle_timeout` when `next_timeout`
    is due. One thread at a time.

    A verb that raises has changed nothing. Each that takes a `stream_id` raises ValueError for what
    no stream can have (1 to 2^31 - 1), TypeError for what is no int, LocalProtocolError for a stream
    that was never opened or is not of the kind, StreamClosed for one that is over; `consumed`,
    `waiting` and `withhold` pass over such a one.

    `role` is a Role, `settings` what this end advertises, `limits` what the peer may do; each None:
    the defaults. Raises TypeError and ValueError for anything else. `auto_credit`: delivery is consumption, `consumed` need not be called. `pool`: where output
    buffers come from, one for each event loop (None: its own). `accept_key`: answer a valid
    `sec-websocket-key`, which RFC 8441 does not use but some clients insist on. `answer_malformed`:
    send 400 before a malformed request is reset. `secure`: refuse requests whose `:scheme` does not
    fit a connection with (True) or without (False) TLS; None does not look.
    `first_stream_id`: the first stream this end opens, odd for a client, even for a server.
    """

    __slots__ = (
        "_greeted_at",
        "_sending",
        "role",
    )

    def __cinit__(self, *arguments, **named):
        # When compiled: what no verb may find to be None. A subclass that does not call our
        # `__init__` has a connection that is over, as one that was interrupted in it.
        self.phase = DEAD
        self.limits = DEFAULTS
        self.guard = Guard(DEFAULTS)
        self.timers = Timers(DEFAULTS)
        self.outbox = Outbox(0)
        self.streams = StreamMap()
        self.decoder = Decoder()

    def __init__(
        self,
        role,
        settings=None,
        limits=None,
        *,
        auto_credit=False,
        pool=None,
        accept_key=True,
        answer_malformed=False,
        secure=None,
        first_stream_id=None,
    ):
        self.role = Role(role)
        if settings is None:
            settings = Settings()
        elif not isinstance(settings, Settings):
            raise TypeError(f"settings must be a Settings, not {type(settings).__name__}")
        if limits is None:
            limits = Limits()
        elif not isinstance(limits, Limits):
            raise TypeError(f"limits must be a Limits, not {type(limits).__name__}")
        if pool is None:
            pool = Pool()
        elif not isinstance(pool, Pool):
            raise TypeError(f"pool must be a Pool, not {type(pool).__name__}")
        self.settings = settings
        self.max_streams = settings.max_concurrent_streams
        self.limits = limits
        self.client = self.role == Role.CLIENT
        self.auto_credit = auto_credit
        self.answer_malformed = answer_malformed
        self.secure = secure
        self.accept_key = accept_key
        self._pool = pool
        self._asked = None
        self.ahead = None
        self._receiving = False
        self._sending = False
        # what is read
        self.phase = READ_HEAD if self.client else AWAIT_PREFACE
        self.left = 0 if self.client else len(PREFACE)
        self.kind = 0
        self.flags = 0
        self.stream_id = 0
        self.padding = 0
        self.max_frame = settings.max_frame_size
        self.partial = None
        self.collected = None
        self.block = None
        self.block_id = 0
        self.block_flags = 0
        self.block_promised = 0
        self.block_loops = False
        # RFC 7540 section 5.3.1 holds only where its priorities are not refused.
        self.heed_loops = not settings.no_rfc7540_priorities
        self.block_frames = 0
        self.target = None
        self.greeted = False
        # what the peer said
        self.peer_no_priorities = False
        self.greeted_settings = False
        self.bidirectional = -1
        if settings.enable_bidirectional_connect:
            self.bidirectional = settings.bidirectional_connect_id
        self.peer_bidirectional = False
        self.peer_connects = False
        self.can_connect = False
        self.peer_max_streams = -1
        self.peer_max_header_list = -1
        self.peer_goaway_last = MAX_STREAM_ID
        self.draining = False
        # streams
        self.streams = StreamMap()
        self.closed = ClosedStreams(min(max(50, settings.max_concurrent_streams), 65536))
        self.last_stream = None
        self.last_authority = ""
        self.last_peer_id = 0
        self.seen_id = 0
        self.goaway_last = MAX_STREAM_ID
        self.peer_streams = 0
        self.local_streams = 0
        if first_stream_id is None:
            first_stream_id = 1 if self.client else 2
        elif (first_stream_id & 1 == 1) != self.client or not 0 < first_stream_id <= MAX_STREAM_ID:
            raise ValueError("first_stream_id must be odd for a client, even for a server")
        self.next_local_id = first_stream_id
        self.trailers = None
        self.heads = None
        self.heads_held = 0
        self.updates = None
        self.pongs = None
        # windows
        self.window = Window()
        self.window.left = DEFAULT_WINDOW
        self.window.due = 0
        self.window_size = settings.connection_window
        # A window that grows is honoured when it is sent, one that shrinks when acknowledged.
        self.local_initial = max(DEFAULT_WINDOW, settings.initial_window_size)
        self.widened = 0
        self.pace_mark = MAX_STREAM_ID  # until the round trip is known, nothing is measured
        self.round_trip = -1
        self._greeted_at = -1.0
        self.buffered = 0
        self.expanded = 0
        self.shed_at = limits.max_buffered
        # the rest
        self.outbox = Outbox(limits.write_low)
        self.decoder = Decoder(max_fields=limits.max_header_fields)
        self._limit_lists(settings.max_header_list_size)
        self.encoder = Encoder()
        self.dialect = settings.dialect()
        self.guard = Guard(limits)
        self.timers = Timers(limits, self.client)
        self.keys = MaskKeys() if self.client or self.bidirectional >= 0 else None
        self.queue = None
        self.now = 0.0
        self.interrupt = None
        self.pings = None
        self.pending_settings = None  # what is to be acknowledged: a list, while there is any
        self.shutdown_state = 0
        self.messages_received = 0
        self.messages_sent = 0
        self.octets_received = 0
        self.octets_sent = 0
        self.heard_at = 0.0
        self.heard_mark = 0
        self.alive_asked = 0
        self.alive_answered = 0
        self.alive_mark = 0
        self.pinged_at = -1.0
        self.latency_s = -1.0
        self.frame_start = -1
        self.sent_mark = 0
        self.sent_since = -1.0
        self.stalled = None
        self._greet()

    def _greet(self):
        # RFC 9113 section 3.4. At once: a client that wants a WebSocket waits for our SETTINGS.
        control = self.outbox.control
        if self.client:
            control.put(PREFACE)
        entries = self.settings.entries(self.client)
        # RFC 8441 section 3 lets a client's first flight say so already; a server must wait.
        self.connect_enabled = not self.client and (SETTINGS_ENABLE_CONNECT_PROTOCOL, 1) in entries
        self._write_settings(entries)
        increment = self.window_size - DEFAULT_WINDOW
        if increment:
            self.window.left += increment
            self._write_window_update(0, increment)
        self.timers.mark(PREFACE_TIMER, 0)

    def _write_settings(self, entries):
        control = self.outbox.control
        control.head(6 * len(entries), SETTINGS, 0, 0)
        for identifier, value in entries:
            control.put_u16(identifier)
            control.put_u32(value)
            if identifier == SETTINGS_HEADER_TABLE_SIZE:
                self.decoder.offer_max_table_size(value)
        if self.pending_settings is None:
            self.pending_settings = []
        self.pending_settings.append(entries)
        self.timers.mark(SETTINGS_ACK_TIMER, 0)

    # -- bytes in, bytes out, time -------------------------------------------------------------

    def receive_data(self, data, now=0.0):
        """Read bytes of the transport; return the list of events they caused.

        `data` is any bytes-like object of any length, cut anywhere, and is not kept; `now` a
        monotonic time in seconds, never less than before. Nothing a peer sends makes this raise:
        what it did wrong is an event, and the answer is queued. Raises LocalProtocolError within a
        sink, TypeError for what is no octets, and what a sink raised that is no Exception. After
        this call, send `data_to_send()`; once `Terminated` has come, all further octets are dropped.
        """
        if self._receiving:
            raise LocalProtocolError("receive_data cannot be called from a sink; return first")
        data = flat(data)
        self.now = now + 0.0  # TypeError where it is no number, which C finds by itself
        n = len(data)
        self.octets_received += n
        self.expanded = 0
        self._receiving = True
        try:
            self.read(address(data), n)
        finally:
            self._receiving = False
        if self.partial is not None or self.phase == READ_WHOLE or self.frame_start >= 0:
            self.watch_frame()
        if self.outbox.control.size() > self.limits.max_control_octets:
            self.reached("max_control_octets", "too much is waiting to be read")
        if self.interrupt is not None:
            return self.events()
        events = self.queue
        self.queue = None
        return [] if events is None else events

    def receive_eof(self, now=0.0):
        """The transport is gone, or the peer closed it: return the last events of everything.

        Every stream gets its last event, then `Terminated` comes. `now` as in `receive_data`. Nothing
        is to be sent after it. The second time the list is empty.
        """
        self.now = now + 0.0
        if not self._receiving:
            self._drain_backlogs()
        self.terminate(NO_ERROR, "the transport was closed", True)
        return self.events()

    def _drain_backlogs(self):
        # What came is not lost because the peer has gone.
        self.expanded = 0
        self._receiving = True
        try:
            for stream in self.streams.values():
                if stream.flags & BACKLOG:
                    layer = stream.layer
                    layer.drain(self, stream)
        finally:
            self._receiving = False
        return 0

    def data_to_send(self, max_bytes=65536, now=0.0):
        """Return what is to be written now, as a list of buffers of at most `max_bytes` in all.

        `max_bytes` is 64 or more octets, `now` as in `receive_data`. Call it after every verb or batch of verbs, even when nothing is expected: it also gives
        timers their time. Each buffer is the caller's until it drops it. Call it again when the
        transport has room; an empty list means that nothing may leave. Raises ValueError and
        TypeError for wrong arguments, LocalProtocolError within a sink that hears `Drained`.
        """
        max_bytes = whole(max_bytes)
        if max_bytes < MIN_PULL:
            raise ValueError(f"max_bytes must be at least {MIN_PULL}, not {max_bytes}")
        now += 0.0
        if self._sending:
            # Its octets would overtake those that the outer call is about to return.
            raise LocalProtocolError("data_to_send cannot be called from a sink of Drained")
        buffers = []
        outbox = self.outbox
        self.seen_id = self.last_peer_id
        if outbox.dribbles:
            self._count_dribbles(now)
        while True:
            # Each time: a sink of Drained may have sent to many, and then to one.
            if self.ahead is not None and max_bytes > 0:
                n = self.take_ahead(buffers, max_bytes)
                self.octets_sent += n
                max_bytes -= n
            if max_bytes < MIN_PULL or not outbox.waiting():
                break
            n = min(max_bytes, outbox.may_fill())
            out = self._pool.large(n) if n > self._pool._capacity else self._pool.acquire()
            outbox.fill(out, max_bytes)
            if outbox.finished is not None:
                self._sending = True
                try:
                    self._after_drain()
                finally:
                    self._sending = False
            n = out.used()
            if n == 0:
                out.finish()
                break
            max_bytes -= n
            self.octets_sent += n
            buffers.append(out.finish())
        if self._greeted_at < 0 and buffers:
            self._greeted_at = now
        if outbox.control.size() == 0:
            self.guard.control_frames = 0
        if outbox.queued and not self.timers.runs(SWEEP_TIMER):
            self.timers.mark(SWEEP_TIMER, 0)
        self.timers.arm(now)
        return buffers

    def _count_dribbles(self, now):
        # CVE-2019-9511: windows of an octet make much work of little data.
        n = self.outbox.dribbles
        self.outbox.dribbles = 0
        self._reached(self.guard.dribble(n, self.outbox.data_frames, now))

    def _after_drain(self):
        # Streams whose queue ran low or empty: what stood behind it is due.
        finished = self.outbox.finished
        self.outbox.finished = None
        for stream in finished:
            self._drained(stream)

    def _drained(self, stream):
        if stream.state == CLOSED and self.streams.get(stream.id) is not stream:
            return
        if stream.flags & HIGH and stream.queued <= self.limits.write_low:
            stream.flags &= ~HIGH
            if not stream.flags & OVER:
                self.emit(stream, Drained(stream.id))
                if self.streams.get(stream.id) is not stream:
                    return
        if stream.queued:
            return
        if stream.flags & LATE_PONG:
            if not stream.flags & OVER:
                self.late_pong(stream)
                return
            # END_STREAM has gone with what was queued.
            stream.flags &= ~LATE_PONG
            del self.pongs[stream.id]
        if stream.flags & TRAILED:
            stream.flags &= ~TRAILED
            self.write_headers(stream, self.trailers.pop(stream.id), True)
            self.ended_here(stream)
        elif stream.flags & END:
            stream.flags &= ~END
            self.ended_here(stream)

    def measure_round_trip(self):
        # From our first SETTINGS to their acknowledgement. 0: before the clock went on, if there is
        # one. See `_measure_pace`.
        self.round_trip = 0
        self.pace_mark = self.local_initial - (self.local_initial >> 2)
        if self.now > self._greeted_at:
            self.round_trip = int((self.now - self._greeted_at) * TICKS) + 1
        return 0

    # -- the connection's own ---------------------------------------------------------------

    def shutdown(self, error_code=NO_ERROR, reason=b""):
        """End the connection gracefully: RFC 9113 section 6.8. `Terminated` follows.

        Every WebSocket is closed with 1001, requests run to their end, new streams are refused
        once the peer has seen the GOAWAY, or after `Limits.shutdown_timeout_s`. `error_code` (32
        bits) and `reason` (bytes-like, at most 16376 octets) stand in the GOAWAY; ValueError and
        TypeError for others. Does nothing the second time. Go on with `data_to_send` and
        `receive_data` until `Terminated`.
        """
        check_error_code(error_code)
        reason = check_reason(reason)
        if self.shutdown_state or self.phase == DEAD:
            return
        self.draining = True
        self._close_websockets()
        # A server that has not heard its client yet has nothing to wait for: browsers keep spare
        # connections, silent, and a PING on one is answered by nobody. Neither has a client, whose
        # server opens nothing.
        if (self.client and not self.connect_enabled) or self.phase == AWAIT_PREFACE:
            self.shutdown_state = 2
            self.goaway_last = 0
            self.write_goaway(0, error_code, reason)
            self._finish_draining()
            return
        self.shutdown_state = 1
        self.write_goaway(MAX_STREAM_ID, error_code, reason)
        if self.pings is None:
            self.pings = []
        self.pings.append(SHUTDOWN_PING)
        self.outbox.control.head(8, PING, 0, 0)
        self.outbox.control.put(SHUTDOWN_PING)
        self.timers.mark(SHUTDOWN_TIMER, 0)

    def _close_websockets(self):
        for stream in self.streams.values():
            layer = stream.layer
            if isinstance(layer, MessageLayer):
                messages = layer
                messages.close(self, stream, 1001, "")

    def _shut_down(self):
        # The peer has seen the first GOAWAY, or had time to: what it opened since still counts.
        self.shutdown_state = 2
        self.timers.cancel(SHUTDOWN_TIMER, 0)
        self._close_websockets()
        self.goaway_last = self.last_peer_id
        self.write_goaway(self.last_peer_id, NO_ERROR, b"")
        self._finish_draining()
        return 0

    def _finish_draining(self):
        if self.phase == DEAD or len(self.streams):
            return 0
        if self.shutdown_state == 2:
            self.terminate(NO_ERROR, "shut down", False)
        elif self.shutdown_state == 0 and self.draining and self.peer_goaway_last != MAX_STREAM_ID:
            self.terminate(NO_ERROR, "the peer takes no new streams", True)
        return 0

    def abort(self, error_code=NO_ERROR, reason=b""):
        """End the connection at once: GOAWAY with `error_code` (RFC 9113 section 5.4.1).

        What is queued is dropped, but for the rest of a frame that has left in part, and control
        frames. `events()` has the last event of each stream and `Terminated`.
        Send what `data_to_send()` returns, then close the transport. Arguments and what is raised
        are as in `shutdown`. Does nothing on a connection that is over.
        """
        check_error_code(error_code)
        reason = check_reason(reason)
        if self.phase != DEAD:
            self.write_goaway(min(self.last_peer_id, self.goaway_last), error_code, reason)
            self.terminate(error_code, reason.decode("utf-8", "replace"), False)

    def write_goaway(self, last, error_code, debug_data):
        control = self.outbox.control
        control.head(8 + len(debug_data), GOAWAY, 0, 0)
        control.put_u32(last)
        control.put_u32(error_code)
        control.put(bytes(debug_data))
        return 0

    def update_settings(self, values):
        """Send SETTINGS with `values`, a dict from identifier (16 bits) to value (32 bits).

        What grows holds at once, what shrinks when the peer acknowledges: RFC 9113 section 6.5.3;
        `SettingsAcknowledged` tells when. Raises ValueError for a value that RFC 9113 section 6.5.2
        or `Settings` does not allow, or that would make a stream's window, which may have grown by
        itself, larger than 2^31 - 1 (section 6.9.2); TypeError for what is no dict,
        LocalProtocolError for what may only be said first or cannot be taken back (RFC 8441 section
        3, RFC 9218 section 2.1), and on a connection that is over.
        """
        if not isinstance(values, dict):
            raise TypeError(f"values must be a dict from identifiers to values: {values!r}")
        for identifier, value in values.items():
            check_setting(identifier, value)
            if identifier == SETTINGS_NO_RFC7540_PRIORITIES and self.heed_loops:
                # RFC 9218 section 2.1: it is said in the first SETTINGS or never.
                raise LocalProtocolError("SETTINGS_NO_RFC7540_PRIORITIES cannot be changed")
            if identifier == SETTINGS_ENABLE_CONNECT_PROTOCOL and (
                self.client or value < self.connect_enabled
            ):
                # RFC 8441 section 3: "MUST NOT send [0] after previously sending [1]".
                raise LocalProtocolError("SETTINGS_ENABLE_CONNECT_PROTOCOL cannot be withdrawn")
            if identifier == self.bidirectional:
                # Both of them are said in the first SETTINGS or never.
                raise LocalProtocolError("SETTINGS_ENABLE_BIDIRECTIONAL_CONNECT cannot be changed")
            if identifier == SETTINGS_INITIAL_WINDOW_SIZE and value > self.local_initial:
                most = MAX_WINDOW - self._widest_window() + self.local_initial
                if value > most:
                    # RFC 9113 section 6.9.2: the peer would have to end the connection.
                    raise ValueError(
                        f"SETTINGS_INITIAL_WINDOW_SIZE may be {most} at most as long as a stream is"
                        f" open whose window has grown beyond {self.local_initial}: {value}"
                    )
        if self.phase == DEAD:
            raise LocalProtocolError("the connection is over; open another one")
        entries = list(values.items())
        for identifier, value in entries:
            if identifier == SETTINGS_INITIAL_WINDOW_SIZE and value > self.local_initial:
                self._change_windows(value)
            elif identifier == SETTINGS_MAX_FRAME_SIZE and value > self.max_frame:
                self.max_frame = value
            elif identifier == SETTINGS_MAX_HEADER_LIST_SIZE and value > self.decoder.max_list_size:
                self._limit_lists(value)
            elif identifier == SETTINGS_MAX_CONCURRENT_STREAMS and value > self.max_streams:
                self.max_streams = value
            elif identifier == SETTINGS_ENABLE_CONNECT_PROTOCOL:
                self.connect_enabled = value == 1
        self._write_settings(entries)

    # -- questions -----------------------------------------------------------------------------

    def waiting(self, stream_id):
        """Octets that were queued on a stream and have not left; 0 where it is over.

        What `send_many` framed for many at once is not among them: it leaves next, whatever comes of
        the stream. `octets_held` and `stats()["octets_queued"]` count it.
        """
        stream = self._find(stream_id)
        return 0 if stream is None else stream.queued

    def is_blocked(self, stream_id):
        """Do the peer's windows hold back some of what is queued on a stream?

        False where the next `data_to_send` may take it all; of a stream that is over, too.
        """
        stream = self._find(stream_id)
        if stream is None:
            return False
        outbox = self.outbox
        return stream.queued > outbox.initial + stream.extra or outbox.queued > outbox.window

    @property
    def open_streams(self):
        """Streams that are neither idle nor closed."""
        return len(self.streams)

    @property
    def octets_held(self):
        """Octets that this connection keeps: received and not consumed, or not sent yet.

        With 64 octets for each message, or piece of one, that was not consumed.
        """
        held = self.buffered + self.outbox.queued + self.outbox.control.size()
        if self.block is not None:
            held += self.block.size()
        if self.collected is not None:
            held += self.collected.size()
        return held

    @property
    def on_limit(self):
        """Called as `on_limit(name)` when one of `Limits` is reached for the first time; or None.

        It is called from wherever that was noticed: it must not raise, nor call any verb. Setting it
        raises TypeError for anything else.
        """
        return self.guard.notify

    @on_limit.setter
    def on_limit(self, callback):
        check_on_limit(callback)
        self.guard.notify = callback

    @property
    def settings_received(self):
        """Whether the peer's first SETTINGS have come."""
        return self.greeted_settings

    @property
    def peer_may_send(self):
        """See `Endpoint.peer_may_send`. GOAWAY says nothing of it: RFC 9113 section 6.8."""
        return self.greeted_settings

    @property
    def terminated(self):
        """Whether the connection is over."""
        return self.phase == DEAD

    @property
    def peer_max_concurrent_streams(self):
        """How many `own_streams` the peer lets us have at once; None where it set no limit."""
        return None if self.peer_max_streams < 0 else self.peer_max_streams

    def stats(self):
        """Counters by name, since the beginning; `limits` maps a limit's name to how often it was hit.

        Of now are `open_streams`, `octets_buffered` (received, not consumed; with 64 octets for each
        message, or piece of one, that was not), `octets_queued` (not sent) and `control_frames`;
        `latency_s` is of the last keepalive PING, None before it.
        """
        guard = self.guard
        return {
            "octets_received": self.octets_received,
            "octets_sent": self.octets_sent,
            "latency_s": self.latency_s if self.latency_s >= 0 else None,
            "messages_received": self.messages_received,
            "messages_sent": self.messages_sent,
            "data_frames_sent": self.outbox.data_frames,
            "open_streams": len(self.streams),
            "streams": guard.streams,
            "octets_buffered": self.buffered,
            "octets_queued": self.outbox.queued,
            "resets_received": guard.resets,
            "resets_provoked": guard.local_resets,
            "glitches": guard.glitches,
            "dribbles": guard.dribbles,
            "control_frames": guard.control_frames,
            "window_updates": guard.window_updates,
            "priority_frames": guard.priority_frames,
            "limits": dict(guard.hits) if guard.hits else {},
        }
