"""A transport that is one stream of octets: what an HTTP/1.1 connection is behind its 101.

The same verbs and events as those of a tunnel on an HTTP/2 stream, so whoever serves the one serves
the other. The end of a side is FIN here; a reset is that of TCP, and for the transport to do.
"""

from ..errors import LocalProtocolError, StreamClosed
from .arrivals import data_event
from .constants import CANCEL, NEVER, NO_ERROR
from .endpoint import Endpoint
from .events import Drained, Ended, Reset, Terminated
from .sink import make_sink


class Octets(Endpoint):
    """The whole of a transport as the stream `stream_id`, which its events name.

    `Terminated` says that the transport is to be closed, once `data_to_send` holds nothing more;
    where it is `broken`, by a reset rather than in good order.
    """

    __slots__ = (
        "_due",
        "_ended_here",
        "_ended_there",
        "_first",
        "_held",
        "_high",
        "_limits",
        "_out",
        "_queue",
        "_queued",
        "_received",
        "_sent",
        "_sink",
        "_stream_id",
        "broken",
        "terminated",
    )

    def __init__(self, limits, stream_id=1):
        self._limits = limits
        self._stream_id = stream_id
        self._sink = None
        self._queue = []
        self._first = None  # of most that wait there is no second, and a list takes longer
        self._out = []
        self._queued = 0
        self._held = 0
        self._high = False
        self._ended_here = False
        self._ended_there = False
        self._received = 0
        self._sent = 0
        self._due = NEVER
        self.broken = False
        self.terminated = False

    # -- bytes in, bytes out, time -------------------------------------------------------------

    def receive_data(self, data, now=0.0):
        """See `Connection.receive_data`."""
        if type(data) is bytes:
            octets = data
        else:
            # What a Wire gives; and `tobytes` takes half of what `bytes` takes.
            octets = data.tobytes() if type(data) is memoryview else bytes(data)
        n = len(octets)
        if n and not self._ended_there and not self.terminated:
            self._received += n
            self._held += n
            if self._sink is None:
                self._queue.append(data_event(self._stream_id, octets, n))
            else:
                self._sink._data(octets, n)
        return self.events()

    def receive_eof(self, now=0.0):
        """The peer ended its side. See `half_open`."""
        if not self._ended_there and not self.terminated:
            self._ended_there = True
            self._emit(Ended(self._stream_id))
            self._finish()
        return self.events()

    def receive_loss(self, now=0.0):
        """See `Endpoint.receive_loss`."""
        if not self.terminated:
            if not self._ended_there or not self._ended_here or self._queued:
                self._break("the connection was lost", True)
            else:
                self._end(True)
        return self.events()

    @property
    def half_open(self):
        """See `Endpoint.half_open`."""
        return self._ended_there and not self.terminated

    def events(self):
        """See `Connection.events`."""
        queue = self._queue
        if queue:
            self._queue = []
        return queue

    def data_to_send(self, max_bytes=65536, now=0.0):
        """See `Connection.data_to_send`."""
        out = self._out
        if self._first is not None:
            out.insert(0, self._first)
            self._first = None
        if not out:
            return out
        room = max_bytes
        taken = 0
        for piece in out:
            n = len(piece)
            if n > room:
                break
            room -= n
            taken += 1
        if taken == len(out):
            buffers = out
            self._out = []
        else:
            buffers = out[:taken]
            del out[:taken]
            if room > 0:
                view = memoryview(out[0])
                buffers.append(view[:room])
                out[0] = view[room:]
                room = 0
        self._queued -= max_bytes - room
        self._sent += max_bytes - room
        self._due = NEVER
        self.arm(now)
        if self._high and self._queued <= self._limits.write_low:
            self._high = False
            self._emit(Drained(self._stream_id))
        self._finish()
        return buffers

    def arm(self, now):
        """See `Connection.arm`."""
        if not self._queued:
            self._due = NEVER
        elif self._due == NEVER:
            self._due = now + self._limits.write_timeout_s

    def at_rest(self):
        """Is there nothing to write, to tell or to end, and room for more that comes?"""
        return (
            not self._queued
            and not self._queue
            and not self._ended_here
            and self._held <= self._limits.write_high
        )

    def sole(self):
        """As `data_to_send`, where one piece waits and nothing else follows from taking it; or None."""
        piece = self._first
        if piece is None or self._out or self._high or self._ended_here or self._queue:
            return None
        self._first = None
        self._sent += self._queued
        self._queued = 0
        self._due = NEVER
        return piece

    def deadline(self):
        """See `Connection.deadline`."""
        return self._due

    def next_timeout(self):
        """See `Connection.next_timeout`."""
        return None if self._due == NEVER else self._due

    def handle_timeout(self, now):
        """See `Connection.handle_timeout`."""
        if now >= self._due and not self.terminated:
            self._break("the peer took nothing in time", False)

    # -- verbs ---------------------------------------------------------------------------------

    def send_data(self, stream_id, data, end_stream=False):
        """See `Connection.send_data`."""
        if self.terminated:
            raise StreamClosed("the connection is over")
        if self._ended_here:
            raise LocalProtocolError("our side of the connection has ended")
        n = len(data)
        if n:
            piece = data if type(data) is bytes else bytes(data)
            if self._queued:
                self._out.append(piece)
            else:
                self._first = piece
            self._queued += n
            if self._queued > self._limits.write_high:
                self._high = True
        if end_stream:
            self._ended_here = True
            self._finish()
        return self._queued

    def consumed(self, stream_id, credit):
        """See `Connection.consumed`."""
        self._held -= credit

    def waiting(self, stream_id):
        """See `Connection.waiting`."""
        return self._queued

    def attach(self, stream_id, sink):
        """See `Connection.attach`."""
        self._sink = make_sink(self._stream_id, sink, None, False)

    def reset(self, stream_id, error_code=CANCEL):
        """End at once: what is queued is dropped. `Reset` and `Terminated` follow."""
        if self.terminated:
            raise StreamClosed("the connection is over")
        self._break("reset by this end", False)

    def shutdown(self, error_code=NO_ERROR, reason=b""):
        """Nothing: it goes on until both sides have ended."""

    def abort(self, error_code=NO_ERROR, reason=b""):
        """End at once."""
        if not self.terminated:
            self._break("ended by this end", False)

    # -- what it is ----------------------------------------------------------------------------

    @property
    def limits(self):
        """See `Connection.limits`."""
        return self._limits

    @property
    def reading(self):
        """Should more be read from the transport now?"""
        return self.takes_more()

    @property
    def leaving(self):
        """Has this side ended, and all of it left?"""
        return self.has_left()

    # The same for compiled code, to which a property costs ten times as much.

    def takes_more(self):
        """See `reading`."""
        return self._held <= self._limits.write_high

    def has_left(self):
        """See `leaving`."""
        return self._ended_here and not self._queued and not self.broken

    @property
    def peer_may_send(self):
        """See `Endpoint.peer_may_send`."""
        return not self._ended_there

    @property
    def octets_held(self):
        """See `Connection.octets_held`."""
        return self._held + self._queued

    def stats(self):
        """See `Connection.stats`."""
        return {
            "octets_received": self._received,
            "octets_sent": self._sent,
            "octets_queued": self._queued,
            "limits": {},
        }

    # -- ends ----------------------------------------------------------------------------------

    def _finish(self):
        if self._ended_here and self._ended_there and not self._queued and not self.terminated:
            self._end(False)

    def _end(self, remote):
        self.terminated = True
        self._due = NEVER
        self._sink = None
        self._queue.append(Terminated(NO_ERROR, "both sides have ended", remote))

    def _break(self, reason, remote):
        self._first = None
        self._out = []
        self._queued = 0
        self.broken = True
        sink = self._sink
        reset = Reset(self._stream_id, CANCEL, reason, remote, False)
        self._end(remote)
        if sink is None:
            self._queue.insert(len(self._queue) - 1, reset)
        else:
            sink._event(reset)

    def _emit(self, event):
        sink = self._sink
        if sink is None:
            self._queue.append(event)
        else:
            sink._event(event)
