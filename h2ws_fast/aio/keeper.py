"""Keeps WebSockets alive, by one timer."""

import os
import random

from ..engine.constants import NEVER, WS_INTERNAL_ERROR
from ..errors import StreamClosed
from .inbox import Inbox
from .state import OPEN

EARLY = 0.25  # of the interval: so much sooner may a ping go, with others or by chance
STEP_S = 2.5  # between two looks, where nobody is pinged


class Kept(Inbox):
    """What of a WebSocket its Keeper looks after."""

    __slots__ = ("_due", "_latency", "_pinged", "_state")


class Keeper:
    """Pings every WebSocket each `interval` seconds and fails those without an answer in time.

    One timer for all of a server's connections: it looks at a connection only when the earliest
    of its WebSockets is due. Nothing is allocated for a WebSocket but the time it is due. Those of
    one connection are pinged together, in one write; when, differs between connections by chance,
    so that those who came together do not stay so. With `interval` None nobody is pinged.

    The engines' own far deadlines are its too: a timer of uvloop's for each idle connection would
    be 600 octets.
    """

    __slots__ = ("hub", "interval", "payload", "step", "timeout", "timer", "wires")

    def __init__(self, hub, interval, timeout, wires):
        self.hub = hub
        self.interval = 0.0 if interval is None else interval
        self.timeout = 0.0 if timeout is None else timeout
        if interval is None:
            self.step = STEP_S
        else:
            self.step = (interval if timeout is None else min(interval, timeout)) / 8
        self.wires = wires  # a server's own set of its connections
        self.timer = None
        self.payload = b""

    def add(self, wire):
        """Watch over a connection."""
        wire.keeper = self
        wire.keep_due = NEVER
        self.wires.add(wire)

    def discard(self, wire):
        """Forget a connection."""
        self.wires.discard(wire)
        if not self.wires and self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def waits(self, wire, now):
        """Is the engine's deadline so far away that this timer may look after it?"""
        if wire.due <= now + 2 * self.step:
            return False
        self._run()
        return True

    def _run(self):
        if self.timer is None:
            self.timer = self.hub.loop.call_later(self.step, self._tick)

    def _opened(self, ws):
        if not self.interval:
            return
        self._due(ws, self.hub.time() + self.interval * (1 - EARLY * random.random()))
        self._run()

    def _due(self, ws, when):
        ws._due = when
        wire = ws.wire
        if when < wire.keep_due:
            wire.keep_due = when

    def _answered(self, ws):
        # `_due` was when the ping went out, plus the time it had.
        now = self.hub.time()
        sent = ws._due - self.timeout
        ws._latency = now - sent
        self._due(ws, max(now, sent + self.interval))

    def _tick(self):
        self.timer = self.hub.loop.call_later(self.step, self._tick)
        now = self.hub.time()
        self.payload = os.urandom(4)
        idle = True
        for wire in list(self.wires):
            if self._look(wire, now):
                idle = False
        if idle:
            # The next WebSocket starts it again.
            self.timer.cancel()
            self.timer = None

    def _look(self, wire, now):
        # Is there anything to wait for on this connection?
        waits = False
        if wire.timer is None and wire.due != NEVER:
            waits = True
            if wire.due <= now + 2 * self.step:
                wire.due = NEVER
                wire._arm(now)
        if wire.websockets:
            waits = True
            if wire.keep_due <= now:
                self._walk(wire, now)
        return waits

    def _walk(self, wire, now):
        earliest = NEVER
        soon = now + self.interval * EARLY
        for ws in list(wire.websockets):
            if ws._due <= (soon if ws._pinged is None else now) and ws._state == OPEN:
                # A peer whose messages wait here, unread, may have no window left for its pong.
                if ws._pinged is not None and not ws._is_unread():
                    ws._pinged = None
                    ws._start_closing(WS_INTERNAL_ERROR, "keepalive ping timeout")
                    continue
                try:
                    wire.conn.ping(ws.stream_id, self.payload)
                except StreamClosed:
                    continue
                if self.timeout:
                    ws._pinged = self.payload
                    ws._due = now + self.timeout
                else:
                    ws._due = now + self.interval
            if ws._due < earliest and ws._state == OPEN:
                earliest = ws._due
        wire.keep_due = earliest
        wire._touch()
