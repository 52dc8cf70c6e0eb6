"""Deadlines of one connection. Time comes in as an argument.

Verbs only mark; `arm` gives what was marked its deadline, so that a verb needs no clock. Most kinds
are the connection's own, and a number each. Those that streams have fall in the order in which
they were armed, since each kind has one duration: a queue for each, and every operation takes
constant time. There is none for a stream that waits for nothing.
"""

from collections import OrderedDict
from random import random

from .constants import (
    CLOSE_TIMER,
    FIRST_REQUEST_TIMER,
    FRAME_TIMER,
    GO_ON_TIMER,
    HANDSHAKE_TIMER,
    HEADER_BLOCK_TIMER,
    IDLE_TIMER,
    KEEPALIVE_TIMER,
    KINDS,
    NEVER,
    PONG_TIMER,
    PREFACE_TIMER,
    SETTINGS_ACK_TIMER,
    SWEEP_TIMER,
)

MARKED = -1.0  # a deadline that begins at the next `arm`
EARLY = 0.25  # of `keepalive_interval_s`: connections that came together are not pinged together


class Timers:
    """Which kinds of deadline run, for which stream (0: the connection)."""

    __slots__ = (
        "_at",
        "_client",
        "_earliest",
        "_fresh",
        "_limits",
        "_marked",
        "_queues",
        "_silence",
    )

    def __init__(self, limits, client=False):
        self._limits = limits
        self._client = client
        self._at = [NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER]
        self._fresh = False  # something in `_at` is MARKED
        self._earliest = NEVER  # what `next` found, or MARKED where it must look again
        self._queues = None
        self._marked = None
        self._silence = 0.0

    def mark(self, kind, stream_id):
        """Let a deadline begin at the next `arm`; one that runs already begins anew."""
        if kind < KINDS:
            self._at[kind] = MARKED
            self._fresh = True
            return
        if self._marked is None:
            self._marked = {}
        self._marked[(kind, stream_id)] = None

    def again(self, kind, stream_id, deadline):
        """Let a stream's deadline that has expired be at this time, before those that are marked."""
        if self._queues is None:
            self._queues = {}
        queue = self._queues.get(kind)
        if queue is None:
            queue = self._queues[kind] = OrderedDict()
        queue[stream_id] = deadline
        self._earliest = MARKED

    def begin(self, kind, deadline):
        """Let a deadline of the connection be at this time."""
        self._at[kind] = deadline
        self._earliest = MARKED

    def runs(self, kind):
        """Is a deadline of the connection marked or armed?"""
        return self._at[kind] != NEVER

    def cancel(self, kind, stream_id):
        """Forget a deadline, marked or armed, if there is one."""
        if kind < KINDS:
            if self._at[kind] != NEVER:
                self._at[kind] = NEVER
                self._earliest = MARKED
            return
        self._earliest = MARKED
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

    def silence_s(self):
        """How long a peer may say nothing before it is pinged; drawn once for each connection."""
        if self._silence == 0:
            self._silence = self._limits.keepalive_interval_s * (1 - EARLY * random())
        return self._silence

    def _duration(self, kind):
        limits = self._limits
        if kind == SWEEP_TIMER:
            return min(limits.write_timeout_s, limits.body_timeout_s) / 4
        if kind == KEEPALIVE_TIMER:
            return self.silence_s()
        if kind == PONG_TIMER:
            return limits.keepalive_timeout_s
        if kind == FRAME_TIMER:
            return limits.frame_timeout_s
        if kind == HEADER_BLOCK_TIMER:
            return limits.header_block_timeout_s
        if kind == IDLE_TIMER:
            return limits.client_idle_timeout_s if self._client else limits.idle_timeout_s
        if kind == FIRST_REQUEST_TIMER:
            return limits.first_request_timeout_s
        if kind == PREFACE_TIMER:
            return limits.preface_timeout_s
        if kind == SETTINGS_ACK_TIMER:
            return limits.settings_timeout_s
        if kind == HANDSHAKE_TIMER:
            return limits.handshake_timeout_s
        if kind == CLOSE_TIMER:
            return limits.close_timeout_s
        if kind == GO_ON_TIMER:
            return 0.0
        return limits.shutdown_timeout_s

    def arm(self, now):
        """Give what was marked its deadline."""
        if self._fresh:
            self._fresh = False
            self._earliest = MARKED
            for kind in range(KINDS):
                if self._at[kind] == MARKED:
                    self._at[kind] = now + self._duration(kind)
        marked = self._marked
        if marked is None:
            return
        self._marked = None
        self._earliest = MARKED
        for kind, stream_id in marked:
            duration = self._duration(kind)
            if duration == NEVER:
                continue
            if self._queues is None:
                self._queues = {}
            queue = self._queues.get(kind)
            if queue is None:
                queue = self._queues[kind] = OrderedDict()
            queue.pop(stream_id, None)
            queue[stream_id] = now + duration

    def next(self):
        """The earliest deadline that is armed, or NEVER where there is none."""
        if self._earliest != MARKED:
            return self._earliest
        earliest = NEVER
        for kind in range(KINDS):
            if self._at[kind] < earliest and self._at[kind] != MARKED:
                earliest = self._at[kind]
        if self._queues is not None:
            for queue in self._queues.values():
                earliest = min(earliest, next(iter(queue.values())))
        self._earliest = earliest
        return earliest

    def expired(self, now):
        """Remove and return the (kind, stream id) whose deadline has come."""
        due = []
        self._earliest = MARKED
        for kind in range(KINDS):
            if self._at[kind] <= now and self._at[kind] != MARKED:
                self._at[kind] = NEVER
                due.append((kind, 0))
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
