"""The other side of one engine connection, made of octets only.

A `Peer` feeds the engine frames written by hand in one of three deliveries, reads what the engine
sends with its own parser (field blocks with the `hpack` package), keeps every event, and knows how
to say "this was a connection error", "this was a stream error and the connection lives on".
"""

import importlib

import hpack

from . import frames as f
from .ws_frames import ws_frame

DELIVERIES = ("whole", "octets", "in_header")

GET = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "example.com"),
    (":path", "/"),
]
POST = [(":method", "POST"), *GET[1:]]
CONNECT = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":authority", "example.com"),
    (":path", "/chat"),
    ("sec-websocket-version", "13"),
]
BYTESTREAM = [(":method", "CONNECT"), (":protocol", "bytestream"), *GET[1:]]
OK = [(":status", "200")]
EVENT_OCTETS = 64  # what a message that nobody took counts beside its octets
# Clocks that would go on ticking beside what a test is about; tests/behaviour/test_timeouts.py and
# those that name one have them.
UNTIMED = {
    "first_request_timeout_s": None,
    "idle_timeout_s": None,
    "keepalive_interval_s": None,
}


def kind(event):
    return type(event).__name__


def kinds(events):
    return [type(event).__name__ for event in events]


def of(events, name):
    return [event for event in events if type(event).__name__ == name]


def errors(twin):
    """The module of exceptions that belongs to this twin of the engine."""
    return importlib.import_module("..errors", twin.__name__)


def cut(chunks, delivery):
    """Cut frames for their delivery: whole, octet by octet, or inside each nine-octet header."""
    if delivery == "whole":
        return [b"".join(chunks)]
    octets = b"".join(chunks)
    if delivery == "octets":
        return [octets[i : i + 1] for i in range(len(octets))]
    assert delivery == "in_header"
    pieces, held = [], b""
    for chunk in chunks:
        pieces.append(held + chunk[:4])
        held = chunk[4:]
    return [piece for piece in [*pieces, held] if piece]


class Peer:
    """Drives `conn`, an engine connection of `role` "server" or "client", from its other side."""

    def __init__(
        self,
        twin,
        role,
        delivery="whole",
        *,
        settings=None,
        limits=None,
        peer_settings=((f.ENABLE_CONNECT_PROTOCOL, 1),),
        handshake=True,
        **options,
    ):
        self.twin = twin
        self.role = role
        self.delivery = delivery
        self.errors = errors(twin)
        self.now = 0.0
        self.conn = twin.Connection(
            twin.Role.SERVER if role == "server" else twin.Role.CLIENT,
            settings if isinstance(settings, twin.Settings) else twin.Settings(**(settings or {})),
            twin.Limits(**{**UNTIMED, **(limits or {})}),
            **options,
        )
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.decoder.max_allowed_table_size = 65536
        self.events = []
        self.frames = []  # every frame the engine sent
        self.octets = b""  # every octet the engine sent
        self.room = {0: 65535}  # what this side may still send: the connection's and each stream's
        self._initial_room = 65535
        self._unread = b""
        self._block = None  # HEADERS whose block is not whole
        self._magic_due = role == "client"
        self.next_id = 1
        if handshake:
            self.handshake(*peer_settings)

    # -- octets both ways --------------------------------------------------------------------

    def feed(self, *chunks, delivery=None):
        """Give the engine these octets; return the events that came of it, `events()` included."""
        came = []
        for piece in cut(chunks, delivery or self.delivery):
            came += self.conn.receive_data(piece, self.now)
        came += self.conn.events()
        self.events += came
        return came

    def more(self):
        """Events that verbs and timeouts produced."""
        came = list(self.conn.events())
        self.events += came
        return came

    def eof(self):
        came = list(self.conn.receive_eof(self.now)) + list(self.conn.events())
        self.events += came
        return came

    def tick(self, seconds):
        """Let time pass as a caller would: up to each deadline, then on."""
        until = self.now + seconds
        for _ in range(10000):
            deadline = self.conn.next_timeout()
            if deadline is None or deadline > until:
                break
            self.now = max(self.now, deadline)
            self.conn.handle_timeout(self.now)
            self.pull()
        else:
            raise AssertionError("timeouts without end")
        self.now = until
        return self.more()

    def forget(self):
        """Let go of everything said and told so far."""
        self.sent()
        self.more()
        self.events.clear()
        self.frames.clear()

    def pull(self, max_bytes=None):
        """Take what the engine has to send, all of it unless `max_bytes`; return the octets."""
        taken = b""
        while max_bytes is None or len(taken) <= max_bytes - 64:
            size = {} if max_bytes is None else {"max_bytes": max_bytes - len(taken)}
            buffers = self.conn.data_to_send(**size, now=self.now)
            if not buffers:
                break
            came = b"".join(buffers)
            assert came, "buffers without octets"
            taken += came
        self.octets += taken
        self._unread += taken
        return taken

    def sent(self, max_bytes=None):
        """The frames that the engine sends now, read apart; blocks are decoded in their order."""
        self.pull(max_bytes)
        if self._magic_due and len(self._unread) >= len(f.MAGIC):
            assert self._unread[:24] == f.MAGIC
            self._unread = self._unread[24:]
            self._magic_due = False
        found, at = [], 0
        while (read := f.read_frame(self._unread, at)) is not None:
            found.append(read[0])
            at = read[1]
        self._unread = self._unread[at:]
        for frame in found:
            self._check(frame)
        self.frames += found
        return found

    def _check(self, frame):
        if frame.kind == f.WINDOW_UPDATE:
            assert 0 < frame.increment < 1 << 31
            room = self.room.get(frame.stream_id, self._initial_room) + frame.increment
            assert room < 1 << 31, "the engine lets a window grow beyond 2^31-1"
            self.room[frame.stream_id] = room
        elif frame.kind == f.SETTINGS and not frame.ack:
            changed = dict(frame.settings).get(f.INITIAL_WINDOW_SIZE, self._initial_room)
            for stream_id in self.room:
                self.room[stream_id] += changed - self._initial_room if stream_id else 0
                assert self.room[stream_id] < 1 << 31, "SETTINGS let a window grow beyond 2^31-1"
            self._initial_room = changed
        if self._block is not None:
            assert frame.kind == f.CONTINUATION, f"{frame!r} inside a field block"
            assert frame.stream_id == self._block[0].stream_id
            self._block[1] += frame.payload
        elif frame.kind == f.HEADERS:
            self._block = [frame, frame.content]
        else:
            assert frame.kind != f.CONTINUATION, "CONTINUATION of nothing"
            return
        if frame.flags & f.END_HEADERS:
            opening, block = self._block
            opening.fields = [
                (bytes(name), bytes(value)) for name, value in self.decoder.decode(block, raw=True)
            ]
            self._block = None

    # -- openings ----------------------------------------------------------------------------

    def handshake(self, *pairs):
        """Exchange SETTINGS and their acknowledgements; forget the frames and events of it."""
        self.sent()
        opening = [f.MAGIC] if self.role == "server" else []
        self.feed(*opening, f.settings(*pairs), f.settings_ack(), delivery="whole")
        self.sent()
        self.events.clear()
        self.frames.clear()

    def block(self, fields):
        return self.encoder.encode(list(fields))

    def new_id(self):
        self.next_id += 2
        return self.next_id - 2

    def headers(self, stream_id, fields, end_stream=False, **options):
        """A HEADERS frame with these fields, encoded with this side's dynamic table."""
        self.next_id = max(self.next_id, stream_id + 2 | 1)
        return f.headers(stream_id, self.block(fields), end_stream, **options)

    def get(self, stream_id=None):
        """Feed a whole GET; return its id."""
        return self.open(GET, stream_id, end_stream=True)

    def post(self, stream_id=None):
        """Feed the head of a POST whose body is to come; return its id."""
        return self.open(POST, stream_id)

    def open(self, fields, stream_id=None, end_stream=False):
        stream_id = stream_id or self.next_id
        self.next_id = max(self.next_id, stream_id + 2)
        self.feed(self.headers(stream_id, fields, end_stream))
        requests = [e for e in of(self.events, "Requested") if e.stream_id == stream_id]
        assert len(requests) == 1, self.events
        return stream_id

    def websocket(self):
        """Open a WebSocket either way round; return its id. Frames and events are forgotten."""
        if self.role == "server":
            stream_id = self.open(CONNECT)
            self.conn.accept_websocket(stream_id)
        else:
            stream_id = self.conn.connect_websocket("example.com", "/chat")
            self.sent()
            self.feed(self.headers(stream_id, OK))
            self.next_id = max(self.next_id, stream_id + 2)
        self.sent()
        self.events.clear()
        self.frames.clear()
        return stream_id

    def message(self, stream_id, payload=b"hello", opcode=2):
        """A DATA frame with one WebSocket message, masked as this side must."""
        key = b"\x01\x02\x03\x04" if self.role == "server" else None
        return f.data(stream_id, ws_frame(opcode, payload, key=key))

    def may_send(self, stream_id):
        """How many octets of DATA both windows still allow this side on the stream."""
        return min(self.room[0], self.room.get(stream_id, self._initial_room))

    def send(self, stream_id, payload=b"", end_stream=False, pad=None):
        """Feed DATA as a well-behaved peer does: both windows are charged and must allow it."""
        octets = f.data(stream_id, payload, end_stream, pad)
        spent = len(octets) - 9
        assert spent <= self.may_send(stream_id), "the engine left the windows closed"
        self.room[0] -= spent
        self.room[stream_id] = self.room.get(stream_id, self._initial_room) - spent
        return self.feed(octets)

    # -- judgements --------------------------------------------------------------------------

    def expect_connection_error(self, code, last_stream_id=None):
        """GOAWAY(code) is the last frame, Terminated the last event, and nothing follows."""
        frames = self.sent()
        goaways = [frame for frame in frames if frame.kind == f.GOAWAY]
        assert [frame.error_code for frame in goaways] == [code], frames
        assert frames[-1] is goaways[0], frames
        assert goaways[0].stream_id == 0
        if last_stream_id is not None:
            assert goaways[0].last_stream_id == last_stream_id
        self.more()
        terminated = of(self.events, "Terminated")
        assert len(terminated) == 1 and self.events[-1] is terminated[0], self.events
        assert terminated[0].error_code == code
        assert terminated[0].remote is False
        assert self.conn.terminated
        assert self.conn.open_streams == 0
        # What comes after is neither answered nor told.
        assert self.feed(f.ping(), f.rst_stream(1), bytes(40)) == []
        assert self.sent() == []
        return goaways[0]

    def expect_stream_error(self, stream_id, code):
        """RST_STREAM(code) once, no GOAWAY, and a request that follows succeeds."""
        frames = self.sent()
        resets = [frame for frame in frames if frame.kind == f.RST_STREAM]
        assert [(r.stream_id, r.error_code) for r in resets] == [(stream_id, code)], frames
        assert not [frame for frame in frames if frame.kind == f.GOAWAY], frames
        self.expect_alive()
        return frames

    def expect_nothing(self, *chunks):
        """These octets are accepted without an event, an answer or an error."""
        assert self.feed(*chunks) == []
        assert [x for x in self.sent() if x.kind != f.WINDOW_UPDATE] == []
        return self.expect_alive()

    def expect_alive(self):
        """A request that follows is served, either way round."""
        assert not self.conn.terminated
        if self.role == "server":
            stream_id = self.get()
            self.conn.respond(stream_id, [(":status", "204")], end_stream=True)
            answer = [x for x in self.sent() if x.stream_id == stream_id]
            assert len(answer) == 1 and answer[0].get(":status") == "204", answer
            assert answer[0].end_stream
        else:
            stream_id = self.conn.request(GET)
            opened = [x for x in self.sent() if x.stream_id == stream_id]
            assert len(opened) == 1 and opened[0].get(":method") == "GET", opened
            came = self.feed(self.headers(stream_id, [(":status", "204")], end_stream=True))
            responded = [e for e in of(came, "Responded") if e.stream_id == stream_id]
            assert [e.status for e in responded] == [204], came
            self.next_id = max(self.next_id, stream_id + 2)
        self.more()
        return stream_id
