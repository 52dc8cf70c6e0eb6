"""Deadlines of one connection. Time comes in as an argument.

Each kind has one duration, so its deadlines fall in the order in which they were armed: a queue
for each kind, and every operation takes constant time. Verbs only mark; `arm` gives what was marked
its deadline, so that a verb needs no clock.
"""

from collections import OrderedDict

# Kinds, with the limit that gives each its duration.
PREFACE_TIMER = 0
SETTINGS_ACK_TIMER = 1
HEADER_BLOCK_TIMER = 2
HANDSHAKE_TIMER = 3
CLOSE_TIMER = 4
SHUTDOWN_TIMER = 5

INFINITY = float("inf")


class Timers:
    """Which kinds of deadline run, for which stream (0: the connection)."""

    __slots__ = ("_limits", "_marked", "_queues")

    def __init__(self, limits):
        self._limits = limits
        self._queues = None
        self._marked = None

    def mark(self, kind, stream_id):
        """Let a deadline begin at the next `arm`; one that runs already begins anew."""
        if self._marked is None:
            self._marked = {}
        self._marked[(kind, stream_id)] = None

    def cancel(self, kind, stream_id):
        """Forget a deadline, marked or armed, if there is one."""
        if self._marked is not None:
            self._marked.pop((kind, stream_id), None)
        if self._queues is not None:
            queue = self._queues.get(kind)
            if queue is not None:
                queue.pop(stream_id, None)
                if not queue:
                    self._drop(kind)

    def _drop(self, kind):
        # An idle connection has no queues.
        del self._queues[kind]
        if not self._queues:
            self._queues = None

    def _duration(self, kind):
        limits = self._limits
        if kind == PREFACE_TIMER:
            return limits.preface_timeout_s
        if kind == SETTINGS_ACK_TIMER:
            return limits.settings_timeout_s
        if kind == HEADER_BLOCK_TIMER:
            return limits.header_block_timeout_s
        if kind == HANDSHAKE_TIMER:
            return limits.handshake_timeout_s
        if kind == CLOSE_TIMER:
            return limits.close_timeout_s
        return limits.shutdown_timeout_s

    def arm(self, now):
        """Give what was marked its deadline."""
        marked = self._marked
        if marked is None:
            return
        self._marked = None
        for kind, stream_id in marked:
            duration = self._duration(kind)
            if duration == INFINITY:
                continue
            if self._queues is None:
                self._queues = {}
            queue = self._queues.get(kind)
            if queue is None:
                queue = self._queues[kind] = OrderedDict()
            queue.pop(stream_id, None)
            queue[stream_id] = now + duration

    def next(self):
        """The earliest deadline, or None."""
        if not self._queues:
            return None
        return min([next(iter(queue.values())) for queue in self._queues.values()])

    def expired(self, now):
        """Remove and return the (kind, stream id) whose deadline has come."""
        due = []
        if self._queues:
            for kind, queue in list(self._queues.items()):
                while queue:
                    stream_id, deadline = next(iter(queue.items()))
                    if deadline > now:
                        break
                    del queue[stream_id]
                    due.append((kind, stream_id))
                if not queue:
                    self._drop(kind)
        return due
