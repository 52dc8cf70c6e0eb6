"""What happens when a deadline of a connection comes.

Most begin where their matter does (`timers.mark`). Three things are looked at instead, since a
clock for each of them would cost every message or every stream:

    sweep      while octets wait or bodies arrive, all streams are looked at four times in each
               timeout: which of them has sent nothing since, whose body is too slow
    keepalive  while streams are open: when did the last octet come? The clock is set to go by that
    frames     at the end of a read: is half a frame held, and since which octet?
"""

from .constants import (
    ANSWERED,
    BODY_IN,
    CANCEL,
    CLOSE_TIMER,
    DEAD,
    FIRST_REQUEST_TIMER,
    FRAME_TIMER,
    GO_ON_TIMER,
    HALF_CLOSED_LOCAL,
    HALF_CLOSED_REMOTE,
    HANDSHAKE_TIMER,
    HEADER_BLOCK_TIMER,
    HEADERS,
    IDLE_TIMER,
    KEEPALIVE_TIMER,
    LOCAL,
    MAX_AT_ONCE,
    NEVER,
    NO_ERROR,
    OVER,
    PING,
    PONG_TIMER,
    PREFACE_TIMER,
    READ_WHOLE,
    SETTINGS_ACK_TIMER,
    SETTINGS_TIMEOUT,
    SHUTDOWN_TIMER,
    STALLED,
    SWEEP_TIMER,
)
from .control import KEEPALIVE_PING
from .layers import Body
from .sender import Sender

ROUNDING_S = 0.001  # sweeps are quarters of a timeout: four of them must reach it


class Deadlines(Sender):
    """The clocks of a connection."""

    __slots__ = (
        "alive_mark",
        "frame_start",
        "heard_at",
        "heard_mark",
        "sent_mark",
        "sent_since",
        "stalled",
    )

    def arm(self, now):
        """Give timers their time without taking octets: for when the transport takes none."""
        now += 0.0
        outbox = self.outbox
        if (outbox.queued or self.may_leave()) and not self.timers.runs(SWEEP_TIMER):
            self.timers.mark(SWEEP_TIMER, 0)
        self.timers.arm(now)

    def deadline(self):
        """As `next_timeout`, with infinity for None."""
        return NEVER if self.phase == DEAD else self.timers.next()

    def next_timeout(self):
        """The time at which `handle_timeout` is due, or None: that of `now`, in seconds.

        Valid after `data_to_send` or `arm`, which give the timers their time.
        """
        deadline = self.deadline()
        return None if deadline == NEVER else deadline

    def handle_timeout(self, now):
        """Act on every deadline that has come by `now`. Then call `events()` and `data_to_send()`.

        It may be called too early: nothing happens then. What runs out is said at `Limits`. Raises
        TypeError for what is no number.
        """
        now += 0.0
        if self.octets_received != self.heard_mark:
            # Until now `now` is the time of the last read: no read has to note it.
            self.heard_mark = self.octets_received
            self.heard_at = self.now
        self.now = now
        self.expanded = 0
        for kind, stream_id in self.timers.expired(now):
            if kind == GO_ON_TIMER and self.expanded > MAX_AT_ONCE:
                # Others have used this turn up: the next one begins with this stream.
                self.timers.again(kind, stream_id, now)
            elif self.phase != DEAD:
                self._on_timeout(kind, stream_id)

    def _on_timeout(self, kind, stream_id):
        if kind == SWEEP_TIMER:
            self._sweep()
        elif kind == KEEPALIVE_TIMER:
            self._keep_alive()
        elif kind == PONG_TIMER:
            self._pong_due()
        elif kind == PREFACE_TIMER:
            self.guard.hit("preface_timeout_s")
            self.fail_connection(SETTINGS_TIMEOUT, "no preface in time")
        elif kind == SETTINGS_ACK_TIMER:
            self.guard.hit("settings_timeout_s")
            self.fail_connection(SETTINGS_TIMEOUT, "SETTINGS were not acknowledged in time")
        elif kind == HEADER_BLOCK_TIMER:
            self.reached("header_block_timeout_s", "field block did not end in time")
        elif kind == FRAME_TIMER:
            self.reached("frame_timeout_s", "frame did not end in time")
        elif kind == FIRST_REQUEST_TIMER:
            self._on_idle("first_request_timeout_s", b"no request in time")
        elif kind == IDLE_TIMER:
            self._on_idle("idle_timeout_s", b"idle")
        elif kind == SHUTDOWN_TIMER:
            if self.shutdown_state == 1:
                self.guard.count("shutdown_timeout_s")
                self._shut_down()
        else:
            stream = self.streams.get(stream_id)
            if stream is not None:
                self._on_stream_timeout(kind, stream)

    def _on_stream_timeout(self, kind, stream):
        layer = stream.layer
        if kind == GO_ON_TIMER:
            self._receiving = True
            try:
                layer.go_on(self, stream)
            finally:
                self._receiving = False
        elif kind == HANDSHAKE_TIMER:
            if stream.flags & ANSWERED:
                return  # by a sink, when another's deadline came
            self.guard.hit("handshake_timeout_s")
            if stream.flags & LOCAL:
                self.break_stream(stream, CANCEL, "no answer in time")
                return
            self.write_headers(stream, [(b":status", b"408")], True)
            stream.state |= HALF_CLOSED_LOCAL
            stream.flags |= ANSWERED | OVER
            layer.broken(
                self, stream, CANCEL, "the application did not answer in time", False, False
            )
            self.break_stream(stream, CANCEL, "")
        elif kind == CLOSE_TIMER:
            self.guard.hit("close_timeout_s")
            # Our END_STREAM is still owed where the Close itself got out; then the slot is freed.
            if (
                not stream.flags & OVER
                and stream.queued == 0
                and not stream.state & HALF_CLOSED_LOCAL
            ):
                self.outbox.write_end(stream)
                stream.state |= HALF_CLOSED_LOCAL
            self.break_stream(stream, CANCEL, "the peer did not close in time")

    # -- connections without streams -----------------------------------------------------------

    def _on_idle(self, name, reason):
        # Gracefully: a request that is on its way is still served (RFC 9113 section 6.8).
        if len(self.streams) == 0 and not self.shutdown_state:
            self.guard.count(name)  # in the course of things: nobody is told
            self.shutdown(NO_ERROR, reason)
        return 0

    # -- keepalive -----------------------------------------------------------------------------

    def _keep_alive(self):
        if len(self.streams) == 0:
            return 0
        due = self.heard_at + self.timers.silence_s()
        if due > self.now:
            self.timers.begin(KEEPALIVE_TIMER, due)
            return 0
        forever = self.limits.keepalive_timeout_s == NEVER
        if (
            not forever
            or self.octets_received != self.alive_mark
            or self.alive_asked == self.alive_answered
        ):
            self.alive_asked += 1
            self.outbox.control.head(8, PING, 0, 0)
            self.outbox.control.put(KEEPALIVE_PING)
            self.outbox.control.put_u32(self.alive_asked)
            self.alive_mark = self.octets_received
            self.pinged_at = self.now
        self.timers.mark(KEEPALIVE_TIMER if forever else PONG_TIMER, 0)
        return 0

    def _pong_due(self):
        # Any octet is a sign of life, since the answer may stand behind a long frame; and with the
        # last of them a new silence began.
        if self.octets_received != self.alive_mark:
            return self._keep_alive()
        self.guard.hit("keepalive_timeout_s")
        self.fail_connection(NO_ERROR, "the peer gave no sign of life in time")
        return 0

    # -- slow frames ---------------------------------------------------------------------------

    def watch_frame(self):
        """A read has ended within a frame, or the one before did."""
        start = self.octets_received
        if self.phase == READ_WHOLE:
            if self.collected is not None:
                start -= self.collected.size()
            if self.kind == HEADERS and not self.timers.runs(HEADER_BLOCK_TIMER):
                self.timers.mark(HEADER_BLOCK_TIMER, 0)
        elif self.partial is not None:
            start -= len(self.partial)
        else:
            self.frame_start = -1
            self.timers.cancel(FRAME_TIMER, 0)
            return 0
        if start != self.frame_start:
            # Another one: its time begins. A head and its payload count as two.
            self.frame_start = start
            self.timers.mark(FRAME_TIMER, 0)
        return 0

    # -- slow streams --------------------------------------------------------------------------

    def _sweep(self):
        if self._is_starved():
            self.reached("write_timeout_s", "nothing was taken in time")
            return 0
        watched = self.may_leave()
        stalled = None
        broken = False
        for stream in self.streams.values():
            if self.streams.get(stream.id) is not stream:
                continue  # a sink ended it meanwhile
            if stream.queued:
                watched = True
                since = self.now
                if stream.flags & STALLED and self.stalled is not None:
                    since = self.stalled.get(stream.id, since)
                if self.now - since + ROUNDING_S >= self.limits.write_timeout_s:
                    broken = True
                    self.guard.hit("write_timeout_s")
                    self.break_stream(stream, CANCEL, "the peer took nothing in time")
                    continue
                stream.flags |= STALLED
                if stalled is None:
                    stalled = {}
                stalled[stream.id] = since
            elif (
                stream.flags & (BODY_IN | LOCAL | ANSWERED | OVER) == BODY_IN
                and not stream.state & HALF_CLOSED_REMOTE
            ):
                watched = True
                self._look_at_body(stream)
        self.stalled = stalled
        if broken and len(self.streams) == 0:
            self.reached("write_timeout_s", "nothing was taken in time")
        elif watched:
            self.timers.mark(SWEEP_TIMER, 0)
        return 0

    def _is_starved(self):
        # Octets may leave, and whoever writes for us has taken none for `write_timeout_s`.
        if not self.may_leave() or self.octets_sent != self.sent_mark or self.sent_since < 0:
            self.sent_mark = self.octets_sent
            self.sent_since = self.now if self.may_leave() else -1.0
            return False
        return self.now - self.sent_since + ROUNDING_S >= self.limits.write_timeout_s

    def _look_at_body(self, stream):
        # Until the answer begins: afterwards it may be a conversation, with silences.
        layer = stream.layer
        if not isinstance(layer, Body):
            return 0
        body = layer
        elapsed = self.now - body.since
        if body.since == 0 or stream.held or stream.left <= 0:
            # The first look; or it is the application that keeps the peer waiting.
            body.since = self.now
            body.came = 0
        elif elapsed + ROUNDING_S >= self.limits.body_timeout_s:
            if body.came == 0 or body.came < self.limits.min_body_rate * elapsed:
                self.guard.hit("body_timeout_s")
                self.break_stream(stream, CANCEL, "the body came too slowly")
                return 0
            body.since = self.now
            body.came = 0
        return 0
