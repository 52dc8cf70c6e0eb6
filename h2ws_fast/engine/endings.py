"""How streams end, and the connection with them.

Whose fault something is decides how:

    stream error       fail_stream: RST_STREAM, the others go on        RFC 9113 section 5.4.2
    connection error   fail_connection: GOAWAY, nothing is read more    RFC 9113 section 5.4.1

A stream leaves the map when it is over; only `closed` remembers how it ended.
"""

from .closed import ENDED, RESET_BY_PEER, RESET_BY_US
from .constants import (
    ANSWERED,
    CLOSE_TIMER,
    CLOSED,
    CLOSING,
    DEAD,
    ENHANCE_YOUR_CALM,
    HALF_CLOSED_LOCAL,
    HALF_CLOSED_REMOTE,
    HANDSHAKE_TIMER,
    IDLE_TIMER,
    KEEPALIVE_TIMER,
    LATE_PONG,
    LOCAL,
    NO_ERROR,
    OVER,
    PONG_TIMER,
    PROTOCOL_ERROR,
    REFUSED,
    RST_STREAM,
    TUNNELLED,
)
from .events import Terminated
from .frames import FrameReader
from .layers import DISCARDED


class Endings(FrameReader):
    """The streams of a connection, from the moment they are open until they are over."""

    __slots__ = (
        "answer_malformed",
        "closed",
        "draining",
        "goaway_last",
        "guard",
        "heads",
        "heads_held",
        "last_peer_id",
        "last_stream",
        "local_initial",
        "local_streams",
        "now",
        "outbox",
        "peer_goaway_last",
        "peer_streams",
        "pongs",
        "shed_at",
        "streams",
        "timers",
        "trailers",
        "widened",
    )

    # -- streams -------------------------------------------------------------------------------

    @property
    def own_streams(self):
        """Those of `open_streams` that this end opened."""
        return self.local_streams

    def enter(self, stream):
        """A stream is open from now on."""
        self.streams.put(stream.id, stream)
        timers = self.timers
        timers.cancel(IDLE_TIMER, 0)
        if not timers.runs(KEEPALIVE_TIMER) and not timers.runs(PONG_TIMER):
            timers.mark(KEEPALIVE_TIMER, 0)
        return 0

    def ended_here(self, stream):
        """Our END_STREAM is out. Where only the peer's is awaited, it has `close_timeout_s`."""
        stream.state |= HALF_CLOSED_LOCAL
        if stream.flags & (OVER | REFUSED) and not stream.state & HALF_CLOSED_REMOTE:
            self.start_closing(stream)
        self._settle(stream)
        return 0

    def _settle(self, stream):
        # Both sides ended: nothing of the stream stays but a note.
        if stream.state == CLOSED and self.streams.get(stream.id) is stream:
            self._forget(stream, ENDED)
            self._finish_draining()

    def _forget(self, stream, how):
        self.streams.pop(stream.id)
        if stream.flags & LOCAL:
            self.local_streams -= 1
        else:
            self.peer_streams -= 1
        self.closed.add(stream.id, how)
        if stream.flags & CLOSING:
            self.timers.cancel(CLOSE_TIMER, stream.id)
        if stream.flags & TUNNELLED and not stream.flags & ANSWERED:
            self.timers.cancel(HANDSHAKE_TIMER, stream.id)
        if stream.flags & LATE_PONG:
            self.pongs.pop(stream.id, None)
        if self.trailers is not None:
            self.trailers.pop(stream.id, None)
        if self.heads is not None:
            self._let_head_go(stream.id)
        self.outbox.drop(stream)
        self.buffered -= stream.held
        if self.buffered < self.limits.max_buffered:
            self.shed_at = self.limits.max_buffered
        stream.held = 0
        if stream.doublings:
            self.widened -= (self.local_initial << stream.doublings) - self.local_initial
        stream.state = CLOSED
        if self.last_stream is stream:
            self.last_stream = None
        if len(self.streams) == 0:
            self.timers.cancel(KEEPALIVE_TIMER, 0)
            self.timers.cancel(PONG_TIMER, 0)
            self.timers.mark(IDLE_TIMER, 0)

    def _let_head_go(self, stream_id):
        self.heads_held -= self.heads.pop(stream_id, 0)
        if not self.heads:
            self.heads = None
        return 0

    def break_stream(self, stream, error_code, reason):
        """Reset a stream and deliver its last event."""
        if stream.state == CLOSED and self.streams.get(stream.id) is not stream:
            return 0
        layer = stream.layer
        stream.layer = DISCARDED
        self._write_reset(stream.id, error_code)
        self._forget(stream, RESET_BY_US)
        if not stream.flags & OVER:
            stream.flags |= OVER
            layer.broken(self, stream, error_code, reason, False, False)
        self._finish_draining()
        return 0

    def fail_stream(self, stream, error_code, reason):
        # CVE-2025-8671: resets that the peer provokes count like its own.
        if self._provoked():
            return 0
        return self.break_stream(stream, error_code, reason)

    def _provoked(self):
        # A reset that the peer's fault makes us send; true where the connection ends instead.
        return self._reached(self.guard.local_reset(self.now)) or self._reached(
            self.guard.control_frame()
        )

    def _reset_unopened(self, stream_id, error_code):
        # What the peer did on a stream that is not open here, or may not be.
        self.closed.add(stream_id, RESET_BY_US)
        if not self._provoked():
            self._write_reset(stream_id, error_code)
        return 0

    def _malformed(self, stream, reason):
        # RFC 9113 section 8.1.1. Nothing of it reaches the application.
        stream.flags |= OVER
        if self.answer_malformed:
            self.write_headers(stream, [(b":status", b"400")], False)
        self.fail_stream(stream, PROTOCOL_ERROR, reason)

    def _refuse(self, stream, fields):
        # The engine itself answers a request: it ends both sides of the stream.
        if self._reached(self.guard.control_frame()):
            return 0
        stream.flags |= OVER | ANSWERED
        self.write_headers(stream, fields, True)
        stream.state |= HALF_CLOSED_LOCAL
        if stream.state == CLOSED:
            self._settle(stream)
        elif stream.flags & TUNNELLED:
            self.start_closing(stream)
        else:
            # RFC 9113 sections 6.4 and 8.1: a complete response may be followed by
            # RST_STREAM(NO_ERROR).
            self.break_stream(stream, NO_ERROR, "")
        return 0

    def _write_reset(self, stream_id, error_code):
        control = self.outbox.control
        control.head(4, RST_STREAM, 0, stream_id)
        control.put_u32(error_code)
        return 0

    def write_headers(self, stream, fields, end_stream):
        """Frame a field block; `fields` were prepared."""

    def _finish_draining(self):
        """All streams have ended on a connection that takes no new ones."""

    def _shut_down(self):
        """The second step of a graceful shutdown."""

    # -- the connection ------------------------------------------------------------------------

    def _reached(self, name):
        # A limit that was passed (its name, already counted) ends the connection; None is none.
        if name is None:
            return False
        self.fail_connection(ENHANCE_YOUR_CALM, "limit reached: " + name)
        return True

    def count_hit(self, name):
        self.guard.hit(name)
        return 0

    def fail_connection(self, error_code, reason):
        if self.phase == DEAD:
            return 0
        self.write_goaway(
            self.last_peer_id if self.last_peer_id < self.goaway_last else self.goaway_last,
            error_code,
            reason.encode(),
        )
        self.terminate(error_code, reason, False)
        return 0

    def write_goaway(self, last, error_code, debug_data):
        """Frame a GOAWAY."""

    def drop_ahead(self):
        """Forget what was framed already, see `fanout`."""

    def terminate(self, error_code, reason, remote):
        """Nothing is read or opened any more; every stream gets its last event, then Terminated."""
        if self.phase == DEAD:
            return 0
        self.phase = DEAD
        self.draining = True
        self.outbox.close()
        self.drop_ahead()
        for stream in self.streams.values():
            self._terminate_stream(stream, error_code, reason, remote)
        self.tell(Terminated(error_code, reason, remote))
        return 0

    def _terminate_stream(self, stream, error_code, reason, remote):
        if self.streams.get(stream.id) is not stream:
            return 0  # a sink ended it meanwhile
        layer = stream.layer
        stream.layer = DISCARDED
        self._forget(stream, RESET_BY_PEER if remote else RESET_BY_US)
        if not stream.flags & OVER:
            stream.flags |= OVER
            layer.lost(
                self,
                stream,
                error_code,
                reason,
                remote,
                stream.flags & LOCAL != 0 and stream.id > self.peer_goaway_last,
            )
