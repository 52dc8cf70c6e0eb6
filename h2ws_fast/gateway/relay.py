"""The pump: what arrives on one end of a crossing leaves by the other.

Both ends are streams of engine connections, whatever is spoken there, so there is one pump for
tunnels and bodies, both ways. No task runs for it, and nothing looks into what it carries.

Back-pressure: octets are credited to whoever sent them as long as little of them waits to leave, and
otherwise when that has drained. What a tunnel can hold is therefore `write_high` and one window.
"""

from ..engine.arrivals import Data
from ..engine.events import Drained, Ended, Trailers
from ..engine.sink import Sink
from ..errors import LocalProtocolError, StreamClosed

SMALL = 4096  # octets: smaller pieces that wait are put together


class Half(Sink):
    """One end: the stream `stream_id` of `wire`. What arrives is kept until `flow`.

    `crossing.heard(half, event)` takes what is neither octets nor their end, `crossing.ended(half)`
    is called once the end was passed on, `crossing.failed(half, error)` where `other` takes no more.
    """

    __slots__ = (
        "crossing",
        "early",
        "ended",
        "octets",
        "other",
        "owed",
        "stream_id",
        "trailers",
        "wire",
    )

    def __init__(self, crossing, wire=None, stream_id=0):
        self.crossing = crossing
        self.wire = wire
        self.stream_id = stream_id
        self.other = None
        self.early = []
        self.trailers = None
        self.owed = 0
        self.octets = 0  # that have come
        self.ended = False

    def feed(self, event):
        """An event of the stream, for whoever has it as one."""
        if type(event) is Data:
            self._data(event.data, event.credit)
        else:
            self._event(event)

    def _data(self, data, credit):
        early = self.early
        if early is not None:
            last = len(early) - 1
            if last >= 0 and len(data) < SMALL and len(early[last][0]) < SMALL:
                # Single octets are not to be kept as objects of 50 each.
                early[last] = (early[last][0] + data, early[last][1] + credit)
            else:
                early.append((data, credit))
            return
        self.octets += len(data)
        other = self.other
        to = other.wire
        source = self.wire
        waiting = 0
        if to is not None:
            try:
                waiting = to.conn.send_data(other.stream_id, data)
            except StreamClosed:
                pass  # nobody will take it
            except LocalProtocolError as error:
                self.crossing.failed(self, error)
                return
            to._touch()
        if to is not None and waiting > to.write_high:
            self.owed += credit
        else:
            source.conn.consumed(self.stream_id, credit)
            source._touch()

    def _event(self, event):
        kind = type(event)
        if kind is Drained:
            if self.other is not None:
                self.other.release()
        elif kind is Trailers:
            self.trailers = event.headers
        elif kind is not Ended:
            self.crossing.heard(self, event)
        elif self.early is not None:
            self.early.append(None)
        else:
            self._end()

    def release(self):
        """What waited to leave has left: who sent it may send more."""
        owed = self.owed
        if owed and self.wire is not None:
            self.owed = 0
            self.wire.conn.consumed(self.stream_id, owed)
            self.wire._touch()

    def flow(self):
        """The other end is there: what came before goes first."""
        early = self.early
        self.early = None
        for piece in early:
            if piece is None:
                self._end()
            else:
                self._data(piece[0], piece[1])

    def drop(self):
        """Nothing of what comes is wanted any more."""
        early = self.early
        self.early = None
        if early:
            for piece in early:
                if piece is not None:
                    self.owed += piece[1]
        self.release()

    def _end(self):
        other = self.other
        self.ended = True
        if other.wire is None:
            return
        conn = other.wire.conn
        try:
            if self.trailers is None:
                conn.send_data(other.stream_id, b"", True)
            else:
                conn.send_trailers(other.stream_id, self.crossing.trailers(self, self.trailers))
        except StreamClosed:
            pass
        except LocalProtocolError as error:
            self.crossing.failed(self, error)
            return
        other.wire._touch()
        self.crossing.ended(self)
