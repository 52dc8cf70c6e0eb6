"""What waits to leave, and in which order it does.

Everything but DATA is framed when it is asked for, into `control`, and leaves first and in order
(a field block is one piece there, so nothing can come between HEADERS and CONTINUATION). DATA is
framed only when it is pulled: until then a stream has a chain of chunks, and its turn somewhere:

    front    tunnels (WebSockets too) that have just got something to send: one turn before all others
    round    tunnels with more to send than that, in turn
    bodies   of requests and responses, by urgency: together they stand in the round once
    blocked  streams whose own window is used up stand nowhere: they are counted, and scheduled
             again by WINDOW_UPDATE or by a larger INITIAL_WINDOW_SIZE

A turn is at most a quantum. So a message of a WebSocket waits for no download, however urgent that
is, and for no other WebSocket that has much to send. Nobody starves: the round always goes on. Who
had a turn at the front is there again at once as long as such turns take a fifth of all octets (a
message every few milliseconds beside a hundred that are busy: a round of them may be longer), and
otherwise not before the round has come past. A tunnel or body more
urgent than the default has two, four or eight turns at a time; a tunnel less urgent than that never
stands at the front. RFC 9218 section 10 leaves all this to us, but for the order among bodies.

A stream may send `initial` + `stream.extra` octets, so that a change of the peer's
INITIAL_WINDOW_SIZE costs nothing, however many streams there are.
"""

from .bodies import Bodies
from .buffers import Buffer
from .chunks import NONE, Chunks
from .constants import (
    DATA,
    DEFAULT_FRAME_SIZE,
    DEFAULT_WINDOW,
    END,
    END_STREAM,
    OWED,
    PROMPT,
    PULL_MORE,
    READY,
    STALLED,
    TUNNELLED,
)
from .priority import DEFAULT_RANK, URGENCY

TINY = 256  # octets of DATA that are hardly worth a frame, unless they are all there is
QUANTUM = 16384  # octets of DATA a stream may send before the next has its turn
SPARE_SHIFT = 2  # a quarter of what leaves in turn may leave again at the front
HEADS_SHIFT = 10  # a frame of a quantum has a head of less than a thousandth
SWEEP = 64  # tunnels that stand somewhere for nothing, at least, before they are looked for


class Outbox:
    """The sending half of a connection's streams."""

    __slots__ = (
        "blocked",
        "bodies",
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
        "repeat",
        "round_first",
        "round_last",
        "round_left",
        "round_size",
        "spare",
        "stale",
        "sweep_at",
        "widest",
        "window",
        "write_low",
    )

    def __init__(self, write_low):
        self.control = Buffer()
        self.control_at = 0
        self.chunks = Chunks()
        self.first = None  # the front
        self.last = None
        self.round_first = None
        self.round_last = None
        self.round_size = 0
        self.round_left = 0  # turns of tunnels before the bodies have theirs
        self.spare = QUANTUM  # octets that may leave by further turns at the front
        self.repeat = 0  # turns that whose turn it is has had in a row
        self.bodies = None
        self.finished = None  # streams whose queue ran low or empty, for the connection to look at
        self.queued = 0
        self.stale = 0  # tunnels that stand somewhere and have nothing to send any more
        self.sweep_at = SWEEP  # so many are looked for
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
        # Streams in a row hold one another: without this the last reference to the first would
        # free them all, each from within the other.
        self.close()

    def append(self, stream, node, n):
        """Count a chunk of n octets that was pushed behind `stream.last`."""
        if stream.first == NONE:
            stream.first = node
        stream.last = node
        if stream.queued == 0:
            stream.queued = n
            self._enter(stream)
        else:
            stream.queued += n
        self.queued += n

    def _enter(self, stream):
        # A stream has octets to send from now on.
        if stream.flags & READY:
            self.stale -= 1  # it still stands in the round
        elif self.initial + stream.extra <= 0:
            self._block(stream)
        elif stream.flags & PROMPT:
            self._go_to_front(stream)
        else:
            self.schedule(stream)
        return 0

    def _block(self, stream):
        # A stream has octets to send and no window for them.
        if self.blocked == 0 or stream.extra > self.nearest:
            self.nearest = stream.extra
        self.blocked += 1
        return 0

    def _go_to_front(self, stream):
        stream.flags |= READY
        if self.last is None:
            self.first = stream
        else:
            self.last.next = stream
        self.last = stream
        return 0

    def schedule(self, stream):
        """Give a stream its turn, unless it has one."""
        if stream.flags & READY:
            return 0
        if not stream.flags & TUNNELLED:
            stream.flags |= READY
            if self.bodies is None:
                self.bodies = Bodies()
            self.bodies.put(stream)
        elif self.first is None and self.round_first is None and self.bodies is None:
            self._go_to_front(stream)  # there is nobody to wait for
        else:
            self._join_round(stream)
        return 0

    def _join_round(self, stream):
        stream.flags |= READY
        if self.round_last is None:
            self.round_first = stream
        else:
            self.round_last.next = stream
        self.round_last = stream
        self.round_size += 1
        return 0

    def place(self, stream, rank):
        """Change a stream's rank. What waits on it takes its new place."""
        if stream.flags & (READY | TUNNELLED) == READY:
            self._leave(stream)
            stream.rank = rank
            self.schedule(stream)
        else:
            stream.rank = rank  # the round looks at it when its turn comes
            stream.flags &= ~PROMPT
            if stream.flags & TUNNELLED and rank & URGENCY <= DEFAULT_RANK:
                stream.flags |= PROMPT
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
        """Forget what waits on a stream. A tunnel's place is passed over later."""
        if stream.flags & READY:
            if not stream.flags & TUNNELLED:
                self._leave(stream)
            elif stream.queued:
                self.stale += 1
        elif stream.queued:
            self.blocked -= 1
        if stream.queued:
            self.chunks.drop(stream.first)
            self.queued -= stream.queued
            stream.queued = 0
        stream.first = NONE
        stream.last = NONE
        # Nobody's turn comes while the connection's window is used up.
        if self.stale > self.sweep_at:
            self._sweep()
        return 0

    def _sweep(self):
        # Let go of the tunnels that have nothing to send any more; the others keep their places.
        front = self.first
        stream = self.round_first
        self._empty_rows()
        kept = 0
        while front is not None:
            following = front.next
            front.next = None
            front.flags &= ~READY
            if front.queued:
                kept += 1
                self._go_to_front(front)
            front = following
        while stream is not None:
            following = stream.next
            stream.next = None
            stream.flags &= ~READY
            if stream.queued:
                self._join_round(stream)
            stream = following
        kept += self.round_size
        self.sweep_at = SWEEP if kept < SWEEP else kept
        return 0

    def _empty_rows(self):
        self.first = None
        self.last = None
        self.round_first = None
        self.round_last = None
        self.round_size = 0
        self.repeat = 0
        self.stale = 0
        return 0

    def waiting(self):
        """Is there anything that may leave now?"""
        return self.control.size() > self.control_at or (
            self.window > 0
            and (self.first is not None or self.round_first is not None or self.bodies is not None)
        )

    def may_fill(self):
        """Return for how many octets there should be room in the next piece, heads included.

        Rather too many, since streams of what is queued may have no windows, so it is bounded:
        whoever asks for all there is must not have a block as large as that, for nothing.
        """
        n = self.queued
        if n > self.window:
            n = self.window
        n += (n >> HEADS_SHIFT) + self.control.size() - self.control_at
        return n if n < PULL_MORE else PULL_MORE

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
        while self.window > 0:
            stream = self.first
            if stream is None:
                stream = self._turn()
                if stream is None or (
                    # Whoever is passed over below makes room for another here and now.
                    out.used() and (budget < TINY + 9 or out.room() < TINY + 9)
                ):
                    return 0
            if stream.queued == 0 or self.initial + stream.extra <= 0:
                if self.first is None:
                    self.round_left -= 1  # it is gone, and so is its turn
                self._leave(stream)
                if stream.queued:
                    self._block(stream)
                else:
                    self.stale -= 1
                continue
            if stream.queued > QUANTUM and stream is self.first and self._is_alone():
                budget -= self._write_frames(out, stream, budget)
            n = out.room() - 9
            if n > budget - 9:
                n = budget - 9
            if n <= 0 or (n < stream.queued and n < TINY and out.used()):
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
            budget -= 9 + n
            if self.first is None:
                self.spare += n >> SPARE_SHIFT
                if self.spare > QUANTUM:
                    self.spare = QUANTUM
                self._write_data(out, stream, n)
                self._had_turn(stream)
                if stream.queued:
                    self._look_at(stream, n)
            else:
                self._leave_front(stream)
                self._write_data(out, stream, n)
                if stream.queued:
                    if self.initial + stream.extra > 0:
                        self.schedule(stream)
                    else:
                        self._block(stream)
                    self._look_at(stream, n)
                elif self.round_first is not None or self.bodies is not None:
                    if n <= self.spare:
                        self.spare -= n
                    else:
                        # It may not come to the front again before the round has come past.
                        self.stale += 1
                        self._join_round(stream)
            if stream.flags & OWED and stream.queued <= self.write_low:
                if self.finished is None:
                    self.finished = []
                self.finished.append(stream)
        return 0

    def _is_alone(self):
        # Does nobody wait behind the first of the front?
        return self.last is self.first and self.round_first is None and self.bodies is None

    def _write_frames(self, out, stream, budget):
        # One turn behind the other, each a frame, while the same stream would have the next, too, and
        # nothing else follows from it. Return the octets that this took.
        left = stream.queued - self.write_low
        if left > self.window:
            left = self.window
        if left > self.initial + stream.extra:
            left = self.initial + stream.extra
        room = out.room()
        if room > budget:
            room = budget
        count = 0
        while left > QUANTUM and room >= QUANTUM + 9:
            out.head(QUANTUM, DATA, 0, stream.id)
            stream.first = self.chunks.pour(stream.first, out, QUANTUM)
            left -= QUANTUM
            room -= QUANTUM + 9
            count += 1
        self._account(stream, count * QUANTUM)
        self.data_frames += count
        return count * (QUANTUM + 9)

    def _turn(self):
        # Whose turn it is while nobody stands at the front; None: nobody's.
        if self.bodies is not None and (self.round_left <= 0 or self.round_first is None):
            return self.bodies.choose()
        return self.round_first

    def _had_turn(self, stream):
        # A stream had a turn that was not at the front.
        urgency = (stream.rank & URGENCY) >> 1
        self.repeat += 1
        over = urgency >= 3 or self.repeat >> (3 - urgency)
        if stream.flags & TUNNELLED:
            if over:
                self.round_left -= 1
        else:
            self.bodies.served(stream)
            if over:
                self.round_left = self.round_size
        if over:
            self.repeat = 0
        if stream.queued == 0:
            self._leave(stream)
        elif self.initial + stream.extra <= 0:
            self._leave(stream)
            self._block(stream)
        elif over and stream.flags & TUNNELLED and self.round_size > 1:
            self._leave(stream)
            self._join_round(stream)
        return 0

    def _look_at(self, stream, n):
        # n octets left on a stream that has more.
        if n < TINY and (self.window <= 0 or self.initial + stream.extra <= 0):
            self.dribbles += 1
        return 0

    def _leave(self, stream):
        # A body, or the first tunnel of the front or else of the round, steps out.
        if stream is self.first:
            return self._leave_front(stream)
        stream.flags &= ~READY
        if not stream.flags & TUNNELLED:
            self.bodies.remove(stream)
            if self.bodies.mask == 0:
                self.bodies = None
                self.repeat = 0
            return 0
        self.round_first = stream.next
        stream.next = None
        if self.round_first is None:
            self.round_last = None
        self.round_size -= 1
        self.repeat = 0
        return 0

    def _leave_front(self, stream):
        self.first = stream.next
        stream.next = None
        if self.first is None:
            self.last = None
        stream.flags &= ~READY
        return 0

    def _write_data(self, out, stream, n):
        flags = 0
        if n == stream.queued and stream.flags & END:
            flags = END_STREAM
        out.head(n, DATA, flags, stream.id)
        stream.first = self.chunks.pour(stream.first, out, n)
        if stream.first == NONE:
            stream.last = NONE
        self._account(stream, n)
        self.data_frames += 1

    def _account(self, stream, n):
        # n octets of a stream leave.
        if n:
            stream.flags &= ~STALLED
        stream.queued -= n
        stream.extra -= n
        self.window -= n
        self.queued -= n
        return 0

    def write_end(self, stream):
        """END_STREAM on a stream with nothing queued: an empty DATA frame, whatever the windows."""
        self.control.head(0, DATA, END_STREAM, stream.id)
        return 0

    def close(self):
        """Nothing but what `control` holds will leave any more."""
        front = self.first
        stream = self.round_first
        self._empty_rows()
        while front is not None:
            following = front.next
            front.next = None
            front.flags &= ~READY
            front = following
        while stream is not None:
            following = stream.next
            stream.next = None
            stream.flags &= ~READY
            stream = following
        if self.bodies is not None:
            for body in self.bodies.streams():
                body.flags &= ~READY
            self.bodies = None
