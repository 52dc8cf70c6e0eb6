"""One end of a connection, as whoever moves its octets sees it.

An HTTP/2 connection is one; so is a WebSocket on an upgraded HTTP/1.1 connection. The octets, the
time and the messages go through here whatever is spoken; verbs that are called seldom need no place.
"""

from .constants import NEVER


class Endpoint:
    """This one says nothing and hears nothing: there is a transport, and nobody behind it yet."""

    __slots__ = ()

    def receive_data(self, data, now=0.0):
        """Read bytes of the transport; return the list of events they caused."""
        return []

    def receive_eof(self, now=0.0):
        """The peer closed the transport, or it is gone: return the last events."""
        return []

    def receive_loss(self, now=0.0):
        """The transport is gone: return the last events. A peer that only ended its side is not."""
        return self.receive_eof(now)

    @property
    def half_open(self):
        """Does this side go on after `receive_eof`? Then the transport must stay."""
        return False

    def events(self):
        """Return what verbs, timeouts and drained queues caused since the last call."""
        return []

    def data_to_send(self, max_bytes=65536, now=0.0):
        """Return what is to be written now, as a list of buffers of at most `max_bytes` in all."""
        return []

    def arm(self, now):
        """Give timers their time without taking octets: for when the transport takes none."""

    def deadline(self):
        """As `next_timeout`, with infinity for None."""
        due = self.next_timeout()
        return NEVER if due is None else due

    def next_timeout(self):
        """The time at which `handle_timeout` is due, or None. Valid after `data_to_send`."""
        return None

    def handle_timeout(self, now):
        """Act on every deadline that has come."""

    def send_message(self, stream_id, data):
        """Queue a WebSocket message; return the octets that wait now."""
        return 0

    def send_data(self, stream_id, data, end_stream=False):
        """Queue octets of a body or tunnel; return the octets that wait now."""
        return 0

    def consumed(self, stream_id, credit):
        """What brought `credit` octets was taken."""

    @property
    def octets_held(self):
        """Octets that are kept: received and not consumed, or not sent yet."""
        return 0

    @property
    def peer_may_send(self):
        """May there be more to come once it is over? A transport closed on that would reset."""
        return True

    @property
    def on_limit(self):
        """Called as `on_limit(name)` when a limit is reached for the first time; or None."""
        return None

    @on_limit.setter
    def on_limit(self, callback):
        """Nothing to reach here."""

    def stats(self):
        """Counters by name."""
        return {"limits": {}}

    def waiting(self, stream_id):
        """Octets that wait on a stream."""
        return 0

    def is_blocked(self, stream_id):
        """Must what waits on a stream wait until the peer gives more room?"""
        return False

    def shutdown(self, error_code=0, reason=b""):
        """Come to an end in good order."""

    def abort(self, error_code=0, reason=b""):
        """Come to an end at once."""
