"""What waits to leave, and in which order it does.

Everything but DATA is framed when it is asked for, into `control`, and leaves first and in order
(a field block is one piece there, so nothing can come between HEADERS and CONTINUATION). DATA is
framed only when it is pulled: until then a stream has a chain of chunks, and its turn in a ring.

    ring     streams with octets waiting; each turn gives one at most a quantum
    blocked  streams whose own window is used up stand nowhere: they are counted, and scheduled
             again by WINDOW_UPDATE or by a larger INITIAL_WINDOW_SIZE

A stream may send `initial` + `stream.extra` octets, so that a change of the peer's
INITIAL_WINDOW_SIZE costs nothing, however many streams there are.
"""

from .constants import DATA, DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, END, END_STREAM, OWED, READY
from .kernels import NONE, Buffer, Chunks

TINY = 256  # octets of DATA that are hardly worth a frame, unless they are all there is
QUANTUM = 16384  # octets of DATA a stream may send before the next has its turn


class Outbox:
    """The sending half of a connection's streams."""

    __slots__ = (
        "blocked",
        "chunks",
        "control",
        "control_at",
        "data_frames",
        "dribbles",
        "finished",
        "first",
        "initial",
        "last",
        "max_frame",
        "nearest",
        "queued",
        "ring",
        "stale",
        "widest",
        "window",
        "write_low",
    )

    def __init__(self, write_low):
        self.control = Buffer()
        self.control_at = 0
        self.chunks = Chunks()
        self.first = None
        self.last = None
        self.finished = None  # streams whose queue ran low or empty, for the connection to look at
        self.queued = 0
        self.ring = 0  # streams in the ring ...
        self.stale = 0  # ... of which so many have nothing to send any more
        self.blocked = 0
        self.nearest = 0  # no blocked stream's `extra` is above this
        self.widest = 0  # no stream's `extra` is above this
        self.data_frames = 0
        self.dribbles = 0  # of these, the tiny ones of which the windows allowed no more
        self.window = DEFAULT_WINDOW
        self.initial = DEFAULT_WINDOW
        self.max_frame = DEFAULT_FRAME_SIZE
        self.write_low = write_low

    def __del__(self):
        # Streams in the ring hold one another: without this the last reference to the first would
        # free them all, each from within the other.
        self.close()

    def append(self, stream, node):
        """Put a chunk behind what waits on a stream."""
        n = self.chunks.size(node)
        if stream.first == NONE:
            stream.first = node
        else:
            self.chunks.link(stream.last, node)
        stream.last = node
        if stream.queued == 0:
            stream.queued = n
            self._enter(stream)
        else:
            stream.queued += n
        self.queued += n

    def _enter(self, stream):
        # A stream has octets to send from now on. It may still stand in the ring from before.
        if stream.flags & READY:
            return 0
        if self.initial + stream.extra <= 0:
            self._block(stream)
        else:
            self.schedule(stream)
        return 0

    def _block(self, stream):
        # A stream has octets to send and no window for them.
        if self.blocked == 0 or stream.extra > self.nearest:
            self.nearest = stream.extra
        self.blocked += 1
        return 0

    def schedule(self, stream):
        """Give a stream its turn, unless it has one."""
        if stream.flags & READY:
            return 0
        stream.flags |= READY
        if self.last is None:
            self.first = stream
        else:
            self.last.next = stream
        self.last = stream
        self.ring += 1
        return 0

    def widen(self, stream, n):
        """The peer granted n octets more on a stream."""
        was = self.initial + stream.extra
        stream.extra += n
        if stream.extra > self.widest:
            self.widest = stream.extra
        if stream.queued and was <= 0 and not stream.flags & READY:
            if was + n > 0:
                self.blocked -= 1
                self.schedule(stream)
            elif stream.extra > self.nearest:
                self.nearest = stream.extra
        return 0

    def releases(self, initial):
        """Could this INITIAL_WINDOW_SIZE let a blocked stream go on?"""
        return self.blocked > 0 and initial + self.nearest > 0

    def resize(self, initial, streams):
        """The peer changed INITIAL_WINDOW_SIZE: RFC 9113 section 6.9.2. Only the blocked move."""
        was = self.initial
        self.initial = initial
        if initial < was:
            return 0  # a stream that is blocked now is found out when its turn comes
        if self.blocked and initial + self.nearest > 0:
            # Windows that go up and down cost nothing as long as that moves nobody (SEC-4-4).
            self.nearest = -initial
            for stream in streams:
                if stream.queued and not stream.flags & READY and initial + stream.extra > 0:
                    self.blocked -= 1
                    self.schedule(stream)
        return 0

    def measure(self, streams):
        """Find the widest window anew: what raised it may be used up or gone."""
        self.widest = 0
        for stream in streams:
            if stream.extra > self.widest:
                self.widest = stream.extra
        return 0

    def drop(self, stream):
        """Forget what waits on a stream. Its place in the ring is passed over later."""
        if stream.queued:
            if not stream.flags & READY:
                self.blocked -= 1
            self.chunks.drop(stream.first)
            self.queued -= stream.queued
            stream.queued = 0
        stream.first = NONE
        stream.last = NONE
        if stream.flags & READY:
            # Nothing turns the ring while the connection's window is used up.
            self.stale += 1
            if self.stale > 64 and self.stale * 2 > self.ring:
                self._sweep()
        return 0

    def _sweep(self):
        # Let go of the streams in the ring that have nothing to send any more.
        stream = self.first
        self.first = None
        self.last = None
        self.ring = 0
        self.stale = 0
        while stream is not None:
            following = stream.next
            stream.next = None
            stream.flags &= ~READY
            if stream.queued:
                self.schedule(stream)
            stream = following
        return 0

    def waiting(self):
        """Is there anything that may leave now?"""
        return self.control.size() > self.control_at or (self.first is not None and self.window > 0)

    def fill(self, out, budget):
        """Move at most `budget` octets into an OutBuffer, in the order of this file's head."""
        n = self.control.size() - self.control_at
        if n:
            if n > budget:
                n = budget
            if n > out.room():
                n = out.room()
            out.drain(self.control, self.control_at, n)
            self.control_at += n
            budget -= n
            if self.control_at < self.control.size():
                return 0
            self.control.clear()
            self.control_at = 0
        while self.first is not None and self.window > 0:
            stream = self.first
            if stream.queued == 0 or self.initial + stream.extra <= 0:
                self._leave_ring(stream)
                if stream.queued:
                    self._block(stream)
                else:
                    self.stale -= 1
                continue
            n = out.room() - 9
            if n > budget - 9:
                n = budget - 9
            if n <= 0 or (n < stream.queued and n < 256 and out.used()):
                return 0  # no tiny frame just because a buffer is nearly full
            if n > QUANTUM:
                n = QUANTUM
            if n > self.max_frame:
                n = self.max_frame
            if n > stream.queued:
                n = stream.queued
            if n > self.window:
                n = self.window
            if n > self.initial + stream.extra:
                n = self.initial + stream.extra
            self._leave_ring(stream)
            self._write_data(out, stream, n)
            budget -= 9 + n
            if stream.queued:
                if self.initial + stream.extra > 0:
                    self.schedule(stream)
                else:
                    self._block(stream)
                if n < TINY and (self.window <= 0 or self.initial + stream.extra <= 0):
                    self.dribbles += 1
            if stream.flags & OWED and stream.queued <= self.write_low:
                if self.finished is None:
                    self.finished = []
                self.finished.append(stream)
        return 0

    def _leave_ring(self, stream):
        # The first stream of the ring steps out.
        self.first = stream.next
        stream.next = None
        if self.first is None:
            self.last = None
        stream.flags &= ~READY
        self.ring -= 1
        return 0

    def _write_data(self, out, stream, n):
        flags = 0
        if n == stream.queued and stream.flags & END:
            flags = END_STREAM
        out.head(n, DATA, flags, stream.id)
        stream.first = self.chunks.pour(stream.first, out, n)
        if stream.first == NONE:
            stream.last = NONE
        stream.queued -= n
        stream.extra -= n
        self.window -= n
        self.queued -= n
        self.data_frames += 1

    def write_end(self, stream):
        """END_STREAM on a stream with nothing queued: an empty DATA frame, whatever the windows."""
        self.control.head(0, DATA, END_STREAM, stream.id)
        return 0

    def close(self):
        """Nothing but what `control` holds will leave any more."""
        stream = self.first
        while stream is not None:
            following = stream.next
            stream.next = None
            stream.flags &= ~READY
            stream = following
        self.first = None
        self.last = None
        self.ring = 0
        self.stale = 0
