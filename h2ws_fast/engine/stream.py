"""A stream, the layer above it and the channel below it.

    layer      what the octets of a stream mean: a body, a tunnel, WebSocket messages
    Stream     its state and its windows: plain data, no behaviour
    channel    what carries it: an HTTP/2 connection, or one upgraded HTTP/1.1 connection

A layer calls its channel, a channel calls the layer; each hands the stream along, so neither keeps
a reference to the other and an idle stream stays small.
"""

from .constants import OPEN
from .endpoint import Endpoint
from .priority import DEFAULT_RANK
from .window import Window


class Stream(Window):
    """One live stream.

    `extra` + the peer's INITIAL_WINDOW_SIZE is what we may still send on it. `pace` counts what came
    since `stamp`, and the peer's window was doubled so often as `doublings` says. `rank` is its
    priority: see `priority`. `small` counts small DATA frames of its body, up to SMALL_FREE.
    """

    __slots__ = (
        "id",
        "state",
        "flags",
        "first",
        "last",
        "queued",
        "rank",
        "doublings",
        "extra",
        "held",
        "layer",
        "sink",
        "next",
        "pace",
        "small",
        "stamp",
    )


def new_stream(stream_id, flags, window, layer):
    """Make an open stream whose peer may send `window` octets."""
    stream = Stream.__new__(Stream)
    stream.id = stream_id
    stream.state = OPEN
    stream.flags = flags
    stream.left = window
    stream.due = 0
    stream.first = 0
    stream.last = 0
    stream.queued = 0
    stream.extra = 0
    stream.held = 0
    stream.pace = 0
    stream.stamp = 0
    stream.doublings = 0
    stream.small = 0
    stream.rank = DEFAULT_RANK
    stream.layer = layer
    stream.sink = None
    stream.next = None
    return stream


class Layer:
    """What the octets of a stream mean."""

    __slots__ = ()

    def receive(self, channel, stream, p, pos, n):
        """n octets arrived (n > 0)."""

    def ended(self, channel, stream):
        """The peer ended its side."""

    def missing(self):
        """Octets that must come before the peer may end its side."""
        return 0

    def go_on(self, channel, stream):
        """Time, or the application, has made room for what was kept back: see BACKLOG."""

    def drain(self, channel, stream):
        """The same, where nothing more will come, neither octets nor time."""

    def is_plain(self):
        """Is it an open WebSocket whose messages leave as they are, and may one leave now?"""
        return False

    def answer(self, channel, stream, data):
        """Send what a sink returned for a message; return what is wrong with it, or None."""

    def fail(self, channel, stream, code, reason):
        """Fail it in its own way, if it has one; false where the stream must be reset."""

    def broken(self, channel, stream, error_code, reason, remote, retryable):
        """The stream is over before both sides were done: deliver its last event."""

    def lost(self, channel, stream, error_code, reason, remote, retryable):
        """The same, where not the stream but the whole connection is over."""
        return self.broken(channel, stream, error_code, reason, remote, retryable)


class Channel(Endpoint):
    """What a layer may ask of the connection that carries its stream."""

    # `expanded`: octets that came of compressed ones since the last read, or the last deadline.
    __slots__ = ("auto_credit", "buffered", "expanded", "limits", "messages_sent")

    def write_frame(self, stream, first_octet, data):
        """Queue one WebSocket frame, masked where this end is the client of the stream."""

    def credit(self, stream, n):
        """n received octets need nobody to consume them."""

    def push_message(self, stream, first_octet, data, n):
        """Queue a whole message of n octets; False where so many more must not wait."""

    def queue_is_full(self):
        """The LocalProtocolError that says so."""

    def delay_pong(self, stream, data):
        """Send a pong once nothing waits any more; only the latest is kept."""

    def late_pong(self, stream):
        """Send that pong now, behind what waits: a Close follows."""

    def deliver(self, stream, data, credit, early):
        """Hand over a message that `credit` octets brought; `early` of them were credited before."""

    def deliver_part(self, stream, data, text, final, early):
        """Hand over a piece of a message; its octets are its credit, and where `early` is true they
        were credited before."""

    def deliver_data(self, stream, data):
        """Hand over octets as they are; their number is their credit."""

    def hold(self, stream, n):
        """n octets of an incomplete message stay here: credit them, and count them as buffered."""

    def keep(self, stream, n):
        """n octets stay here that nobody may have yet: count them as buffered, and credit nothing."""

    def hold_back(self, stream, n):
        """n octets stay as they came: count them as buffered. The peer gets no credit for them ..."""

    def let_go(self, stream, n):
        """... until they are looked at: from here on they are received as any others."""

    def go_on_soon(self, stream):
        """Call the layer's `go_on` as soon as others had their turn."""

    def emit(self, stream, event):
        """Hand over any other event."""

    def end(self, stream):
        """End our side behind what is queued."""

    def over(self, stream):
        """The layer gave its last event; the stream only waits for both sides to end."""

    def start_closing(self, stream):
        """Give the peer `close_timeout_s` from now."""

    def count_hit(self, name):
        """Count that a limit was reached."""

    def fail_stream(self, stream, error_code, reason):
        """A stream error: RFC 9113 section 5.4.2."""
