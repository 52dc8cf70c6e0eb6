"""Moves octets between a transport and an engine connection, and wakes whom they concern.

    transport --buffer_updated--> Wire --receive_data--> engine --direct calls--> WebSocket, streams
    transport <------write------- Wire <--data_to_send-- engine <------verbs----- WebSocket, streams

All of one read is one batch: the engine parses it whole, connection-level events are handled, every
reader that got something runs, and then one pull writes what all of that left behind. Verbs that
are called outside of a batch are flushed together by one `call_soon`.

The engine is pulled only while the transport is below its high-water mark: what waits must wait in
the engine, where control frames overtake data, and not in the transport, where they cannot.
"""

import logging

from ..engine.constants import MIN_PULL, NEVER, PULL, PULL_MORE
from .address import pack, shared, unpack
from .hub import Spoke, reraise
from .observer import tell

logger = logging.getLogger("h2ws_fast.aio")

SPARE_BUFFER = 65536
WRITE_HIGH = 65536  # the transport's own buffer
FAST = 524288  # who takes so much before it is full has soon sent what little stands in it
LINGER_S = 10.0  # how long a closing transport may try to get rid of its last octets
# A socket that is closed with octets unread makes TCP reset the connection, and the reset may
# overtake what was written last: so many seconds and octets are read and thrown away before.
DISCARD_S = 1.0
DISCARD = 4 * 2**20


class Wire(Spoke):
    """One connection: a transport on one side, the engine on the other.

    A subclass that is also an `asyncio.BufferedProtocol` says what to do with events of the
    connection (`_event`), when there is a transport (`_opened`) and when it is gone (`_lost`).
    """

    __slots__ = (
        "_local",
        "_remote",
        "_remote_v4",
        "closing",
        "conn",
        "discarded",
        "discarding",
        "due",
        "handed",
        "hub",
        "keep_due",
        "keeper",
        "lingering",
        "logs",
        "lost",
        "observer",
        "over",
        "patient",
        "paused",
        "plain",
        "queue_high",
        "queue_low",
        "routes",
        "slow",
        "spare",
        "timer",
        "took",
        "touched",
        "transport",
        "watched",
        "websockets",
        "write_high",
    )

    def __init__(self, hub, conn, write_high):
        self.hub = hub
        self.conn = conn
        self.transport = None
        self._remote = None  # the peer's address ...
        self._remote_v4 = 0  # ... or this number: see `address.pack`
        self._local = None
        self.timer = None
        self.spare = None
        self.websockets = []
        self.routes = None  # where events go that came in one read with their stream's opening
        self.write_high = write_high
        self.queue_high = 0  # unread messages of a WebSocket beyond which its peer is held back ...
        self.queue_low = 0  # ... until so many are left
        self.observer = None
        self.logs = False  # is the log told of WebSockets that open and close?
        self.due = NEVER  # when the engine is to be called, by `timer` or by the keeper
        self.keeper = None  # who pings the WebSockets of this connection
        self.keep_due = 0.0
        self.touched = False
        self.paused = False
        self.handed = True  # the transport was given octets, and may hold some of them
        self.slow = False  # it was full after little, and the engine has not run empty since
        self.took = 0  # octets of full pulls that it took since then without being full
        self.closing = False  # the transport was told to close
        self.lost = False  # the transport is gone
        self.lingering = False  # it is over, and the transport has only so much time left
        self.over = False  # the engine has said Terminated
        self.patient = False  # then let the peer finish before the transport is closed
        self.discarding = False  # what it still sends is thrown away, counted here
        self.discarded = 0
        self.watched = False  # call `_settled` after each batch
        self.plain = False  # the transport takes only bytes, bytearray and memoryview

    # -- what the transport calls ---------------------------------------------------------------

    def connection_made(self, transport):
        self.transport = transport
        # Asked for now: uvloop's transports, and TLS, no longer know them when the peer is gone.
        self._remote = transport.get_extra_info("peername")
        self._remote_v4 = pack(self._remote)
        if self._remote_v4:
            self._remote = None
        self._local = shared(self.hub.known, transport.get_extra_info("sockname"))
        transport.set_write_buffer_limits(WRITE_HIGH)
        # uvloop's TCP transport takes any buffer; asyncio's own and both TLS layers do not.
        kind = type(transport)
        self.plain = not (kind.__module__.startswith("uvloop") and kind.__name__ == "TCPTransport")
        self.conn.on_limit = self
        if self._opened():
            tell(self.observer, "connection_opened", self)
            self.settle(None)
        else:
            self.observer = None  # of which nobody was told

    def get_buffer(self, sizehint):
        if self.hub.busy:
            # A TLS transport may read while it closes; not into what is being parsed.
            self.spare = memoryview(bytearray(SPARE_BUFFER))
            return self.spare
        return self.hub.buffer

    def buffer_updated(self, n):
        data = self.hub.buffer
        if self.spare is not None:
            data = self.spare
            self.spare = None
        self._receive(data[:n], self.hub.time())

    def _receive(self, data, now):
        hub = self.hub
        if self.closing or hub.current is self:
            return
        if self.discarding:
            self.discarded += len(data)
            if self.discarded > DISCARD:
                self._hang_up()
            return
        busy = hub.busy  # set where a TLS transport reads while it closes, inside another's batch
        previous = hub.current
        hub.busy = True
        hub.current = self  # what receivers say is written by `settle`, and needs no `flush`
        events = None
        try:
            events = self.conn.receive_data(data, now)
        except (SystemExit, KeyboardInterrupt) as error:
            # From a receiver. The transport that called us would swallow it; the loop does not.
            hub.loop.call_soon(reraise, error)
        finally:
            hub.busy = busy
            hub.current = previous
        if events or hub.ready or not self._rests():
            self._settle(events, now or hub.time())
        else:
            self.touched = False

    def eof_received(self):
        if not self.lost:
            self.settle(self.conn.receive_eof(self.hub.time()))
        return self.conn.half_open

    def connection_lost(self, exc):
        if self.lost:
            return  # it was forsaken
        self.lost = True
        self.closing = True
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.settle(self.conn.receive_loss(self.hub.time()))
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        tell(self.observer, "connection_closed", self)
        self.transport = None
        self.conn.on_limit = None
        self._lost(exc)

    def pause_writing(self):
        self.paused = True
        self.slow = self.took < FAST
        self.took = 0

    def resume_writing(self):
        self.paused = False
        self._touch()

    # -- what a subclass does --------------------------------------------------------------------

    def route(self, stream_id, receiver):
        """Events of this stream that are still in the list being handled go to `receiver(event)`."""
        if self.routes is None:
            self.routes = {}
        self.routes[stream_id] = receiver

    def _opened(self):
        """There is a transport. False: it was refused."""
        return True

    def _event(self, event):
        """An event that no stream's own receiver takes."""

    def __call__(self, name):
        # What the engine's `on_limit` is: a bound method takes 64 octets, for each connection.
        tell(self.observer, "limit_reached", self, name)
        self._limit_reached(name)

    def _left_unread(self, ws):
        """A WebSocket has closed before all its messages were read."""

    def _limit_reached(self, name):
        """The peer reached a limit of `Limits`, for the first time on this connection."""
        logger.warning("%s reached the limit %s", self.remote_address, name)

    def _settled(self):
        """A batch is done, and `watched` is set."""

    def _rests(self):
        # Octets came. Is there nothing that `_settle` would do?
        return False

    def _leave(self, now):
        # Verbs were called outside of a batch.
        self._settle(None, now)

    def _lost(self, exc):
        """The transport is gone."""

    # -- what it is -------------------------------------------------------------------------------

    @property
    def log(self):
        """Where what concerns this connection is logged."""
        return logger

    @property
    def remote_address(self):
        """The peer's address, and after the end what it was; None before there is a connection."""
        packed = self._remote_v4
        if packed:
            return unpack(packed)
        return self._remote

    @property
    def local_address(self):
        """This end's address, as `remote_address`."""
        return self._local

    def stats(self):
        """Counters by name, those of `Connection.stats()`; `websockets` are open now."""
        return {**self.conn.stats(), "websockets": len(self.websockets)}

    # -- after verbs ------------------------------------------------------------------------------

    def touch(self):
        """A verb was called: see soon whether there is something to write."""
        self._touch()

    def _touch(self):
        # What compiled code calls: nothing looks for an override.
        if not self.touched:
            hub = self.hub
            if hub.current is not self:
                hub.schedule()
                hub.dirty.append(self)
            self.touched = True

    def become(self, conn):
        """From here on `conn` speaks for this end. What the last one had to say must be written."""
        self.conn = conn
        conn.on_limit = self
        self.due = NEVER
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def pull(self):
        """Write what the engine has while the transport takes it. Allowed inside a task."""
        transport = self.transport
        if transport is None or self.closing:
            return
        if transport.is_closing():
            # It failed, and takes whatever it is given, without an end: who sends shall wait until
            # connection_lost says so, and not go on and on without letting the loop say anything.
            self.closing = True
            return
        self._pull(self.hub.time())

    def settle(self, events):
        """Handle events, wake readers, write: the second half of a batch. Not inside a task."""
        self._settle(events, self.hub.time())

    def _settle(self, events, now):
        hub = self.hub
        previous = hub.current
        hub.current = self
        try:
            while True:
                if events:
                    for event in events:
                        self._handle(event)
                    self.routes = None
                if hub.ready:
                    hub.wake()
                self.touched = False
                # Even where nothing can be written: it is this call that arms the engine's timers.
                self._pull(now)
                events = self._events()
                if not events and not hub.ready and not self.touched:
                    break
        finally:
            self.touched = False
            hub.current = previous
        if self.watched:
            self._settled()
        if self.over:
            self._close()
        else:
            self._arm(now)

    def _events(self):
        try:
            return self.conn.events()
        except (SystemExit, KeyboardInterrupt) as error:
            self.hub.loop.call_soon(reraise, error)
            return None

    def _handle(self, event):
        try:
            self._event(event)
        except (SystemExit, KeyboardInterrupt) as error:
            self.hub.loop.call_soon(reraise, error)
        except BaseException:
            logger.exception("handling %s failed", type(event).__name__)

    def _pull(self, now):
        transport = self.transport
        if transport is None or self.closing:
            return
        if self.paused:
            self.conn.arm(now)
            return
        try:
            while not self.paused:
                # What stands in a slow transport stands before what is said next.
                asked = PULL if self.slow else PULL_MORE
                buffers = self.conn.data_to_send(asked, now)
                left = asked
                if buffers:
                    self.handed = True
                for buffer in buffers:
                    left -= len(buffer)
                if len(buffers) > 1 and not self.plain:
                    transport.writelines(buffers)
                else:
                    for buffer in buffers:
                        if self.plain and type(buffer) is not bytes:
                            transport.write(memoryview(buffer))
                        else:
                            transport.write(buffer)
                if left >= MIN_PULL and not self.paused:
                    # The engine had room to say more: nothing else may leave now.
                    self.slow = False
                    self.took = 0
                    return
                if not self.paused:
                    self.took += asked - left
        except (OSError, RuntimeError) as error:
            self._write_failed(error)

    def _write_failed(self, error):
        # The transport noticed before we were told; connection_lost follows.
        logger.debug("writing failed: %s", error)
        self.abort()

    def _arm(self, now):
        # One timer a connection: it may fire early, it is never late. What is far away is left to
        # the keeper, whose one timer looks at every connection: none of them has its own then.
        if self.lost or self.transport is None:
            return
        due = self.conn.deadline()
        if due == self.due:
            return
        if self.timer is not None:
            if self.due <= due and due != NEVER:
                return
            self.timer.cancel()
            self.timer = None
        self.due = due
        if due == NEVER or (self.keeper is not None and self.keeper.waits(self, now)):
            return
        self.timer = self.hub.loop.call_at(due, self._on_timer)

    def _on_timer(self):
        due = self.due
        self.timer = None
        self.due = NEVER
        self.conn.handle_timeout(max(self.hub.time(), due))
        self.settle(None)

    def _close(self):
        # The engine is done: let the transport write what is left, for a while.
        transport = self.transport
        if self.lost or transport is None:
            return
        if not self.lingering:
            self.lingering = True
            self._abort_later()
        if self.closing or self.paused or self.discarding:
            return
        if not self.patient:
            self.closing = True
            transport.close()
            return
        self.discarding = True
        self.timer.cancel()
        self.timer = self.hub.loop.call_later(DISCARD_S, self._hang_up)
        if transport.can_write_eof():
            try:
                transport.write_eof()
            except OSError as error:
                logger.debug("ending the transport failed: %s", error)

    def _abort_later(self):
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.hub.loop.call_later(LINGER_S, self.transport.abort)

    def _hang_up(self):
        # The peer had its time, or sends without end.
        if not self.lost and not self.closing:
            self._abort_later()
            self.closing = True
            self.transport.close()

    def refuse(self):
        """Close the transport without a word of HTTP/2."""
        self.closing = True
        self.transport.close()

    def forsake(self):
        """Connecting was given up: what there is of a transport goes. Not inside a task.

        uvloop closes it by itself then, and never reports it: what it was told of would keep this
        connection for ever.
        """
        if self.transport is not None and not self.lost:
            self.abort()
            self.connection_lost(None)

    def abort(self):
        """Drop the transport now; every stream gets its last event when it reports back."""
        transport = self.transport
        if transport is not None:
            self.closing = True
            transport.abort()
