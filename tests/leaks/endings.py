"""Every way in which a stream ends, between two engine connections or before one and its octets.

An ending is a function that opens `n` streams and ends them. Those of `PAIRED` get a `Pair` of a
client and a server that lives on; those of `LONE` a `Lone` connection of one role, fed octets;
those of `FATAL` make connections of their own, and end them with everything on them.
"""

from tests.support import frames as f
from tests.support.ws_frames import close_frame, ws_frame

UNLIMITED = {
    "reset_burst": None,
    "max_pending_resets": None,
    "max_local_resets": None,
    "glitch_burst": None,
    "max_control_frames": None,
    "max_window_updates": None,
    "small_data": None,
}
WINDOW = 1000  # of a stream, either way
AT_ONCE = 200  # streams at a time; the ring of closed streams is as long
CONNECTION_WINDOW = 2**31 - 1
KEY = b"\x01\x02\x03\x04"

GET = [(":method", "GET"), (":scheme", "https"), (":authority", "example.com"), (":path", "/")]
POST = [(":method", "POST"), *GET[1:]]
CONNECT = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    *GET[1:],
    ("sec-websocket-version", "13"),
]
TUNNEL = [(":method", "CONNECT"), (":protocol", "octets"), *GET[1:]]
OK = [(":status", "200")]

PAIRED, LONE, FATAL = {}, {}, {}


def paired(function):
    PAIRED[function.__name__] = function
    return function


def lone(role):
    def put(function):
        LONE[function.__name__] = (role, function)
        return function

    return put


def fatal(function):
    FATAL[function.__name__] = function
    return function


def connection(twin, role, **options):
    return twin.Connection(
        twin.Role.CLIENT if role == "client" else twin.Role.SERVER,
        twin.Settings(
            initial_window_size=WINDOW,
            max_concurrent_streams=AT_ONCE,
            max_header_list_size=8192,
            connection_window=CONNECTION_WINDOW,
        ),
        twin.Limits(**UNLIMITED, max_message=4096, max_window=0),
        **options,
    )


def literal(fields):
    """A block that uses no table."""
    octets = b""
    for name, value in fields:
        name, value = name.encode(), value.encode()
        octets += b"\x10" + bytes((len(name),)) + name + bytes((len(value),)) + value
    return octets


class Pair:
    """A client and a server; `pump` carries octets both ways until both are quiet."""

    def __init__(self, twin):
        self.now = 0.0
        self.client = connection(twin, "client")
        self.server = connection(twin, "server")
        self.pump()

    def pump(self):
        """Return what both were told: (events of the client, events of the server)."""
        told = [], []
        moved = True
        while moved:
            moved = False
            for at, (source, target) in enumerate(
                ((self.server, self.client), (self.client, self.server))
            ):
                octets = b"".join(source.data_to_send(2**20, self.now))
                if octets:
                    moved = True
                    told[at].extend(target.receive_data(octets, self.now))
                told[at].extend(target.events())
        return told

    def wait(self, seconds):
        self.now += seconds
        self.client.handle_timeout(self.now)
        self.server.handle_timeout(self.now)
        return self.pump()

    def ask(self, fields, n, end_stream=False):
        """Open n streams by these fields; the server has not answered."""
        ids = [self.client.request(fields, end_stream) for _ in range(n)]
        self.pump()
        return ids

    def websockets(self, n):
        ids = [self.client.connect_websocket("example.com", "/chat") for _ in range(n)]
        self.pump()
        for stream_id in ids:
            self.server.accept_websocket(stream_id)
        self.pump()
        return ids

    def answered(self, fields, n, end_stream=False):
        ids = self.ask(fields, n, end_stream)
        for stream_id in ids:
            self.server.respond(stream_id, OK)
        self.pump()
        return ids

    def within_a_message(self, n):
        """WebSockets on which both ends have begun a message."""
        ids = self.websockets(n)
        for i in ids:
            self.server.send_fragment(i, "begun", False)
            self.client.send_fragment(i, b"begun", False)
        self.pump()
        return ids

    @property
    def ends(self):
        return self.client, self.server

    def by_turns(self, ids):
        """Every stream with one of the ends: the client, the server, the client ..."""
        return [(self.ends[at & 1], i) for at, i in enumerate(ids)]

    def check(self):
        for conn in self.ends:
            assert not conn.terminated
            assert conn.open_streams == 0
            stats = conn.stats()
            assert stats["octets_buffered"] == stats["octets_queued"] == 0, stats


class Lone:
    """One connection; the other end is octets. What it sends is thrown away."""

    def __init__(self, twin, role):
        self.role = role
        self.now = 0.0
        self.conn = connection(twin, role)
        self.next_id = 1
        magic = f.MAGIC if role == "server" else b""
        pairs = [] if role == "server" else [(f.ENABLE_CONNECT_PROTOCOL, 1)]
        self.feed(magic + f.settings(*pairs) + f.settings_ack())
        self.feed(f.window_update(0, CONNECTION_WINDOW - 65535))

    def feed(self, *octets):
        events = self.conn.receive_data(b"".join(octets), self.now)
        self.flush()
        return events + self.conn.events()

    def flush(self):
        while self.conn.data_to_send(2**20, self.now):
            pass

    def ids(self, n):
        """Numbers for n streams that the peer opens."""
        first, self.next_id = self.next_id, self.next_id + 2 * n
        return range(first, self.next_id, 2)

    def open(self, fields, n, end_stream=False):
        """The peer opens n streams."""
        ids, block = self.ids(n), literal(fields)
        self.feed(*(f.headers(i, block, end_stream) for i in ids))
        return ids

    def websockets(self, n):
        if self.role == "server":
            ids = self.open(CONNECT, n)
            for i in ids:
                self.conn.accept_websocket(i)
            self.flush()
        else:
            ids = [self.conn.connect_websocket("example.com", "/chat") for _ in range(n)]
            block = literal(OK)
            self.feed(*(f.headers(i, block) for i in ids))
        return ids

    def data(self, ids, octets, end_stream=False):
        self.feed(*(f.data(i, octets, end_stream) for i in ids))

    def go_on(self):
        """Let the loop have its turns, while what came is too much for one of them."""
        while self.conn.next_timeout() == self.now:
            self.conn.handle_timeout(self.now)
            self.conn.events()
            self.flush()

    def check(self):
        assert not self.conn.terminated
        assert self.conn.open_streams == 0
        stats = self.conn.stats()
        assert stats["octets_buffered"] == stats["octets_queued"] == 0, stats


# -- WebSockets, both ends ours ----------------------------------------------------------------


@paired
def closed_by_the_client(pair, n):
    for i in pair.websockets(n):
        pair.client.close_websocket(i, 1000, "bye")
    pair.pump()


@paired
def closed_by_the_server(pair, n):
    for i in pair.websockets(n):
        pair.server.close_websocket(i, 4000, "bye")
    pair.pump()


@paired
def closed_by_both_at_once(pair, n):
    for i in pair.websockets(n):
        pair.client.close_websocket(i, 1000)
        pair.server.close_websocket(i, 1001)
    pair.pump()


@paired
def reset_by_the_client(pair, n):
    for i in pair.websockets(n):
        pair.client.reset(i)
    pair.pump()


@paired
def reset_by_the_server(pair, n):
    for i in pair.websockets(n):
        pair.server.reset(i)
    pair.pump()


@paired
def reset_by_both_at_once(pair, n):
    for i in pair.websockets(n):
        pair.client.reset(i)
        pair.server.reset(i)
    pair.pump()


@paired
def closed_by_one_and_reset_by_the_other(pair, n):
    for at, i in enumerate(pair.websockets(n)):
        one, other = pair.ends if at & 1 else pair.ends[::-1]
        one.close_websocket(i)
        other.reset(i)
    pair.pump()


@paired
def closed_with_messages_unread(pair, n):
    ids = pair.websockets(n)
    for i in ids:
        pair.server.send_message(i, "text")
        pair.client.send_message(i, b"bytes" * 20)
    pair.pump()  # nobody calls consumed
    for i in ids:
        pair.client.close_websocket(i)
    pair.pump()


@paired
def reset_with_messages_queued(pair, n):
    for at, i in enumerate(pair.websockets(n)):
        pair.server.send_message(i, b"x" * 100)
        pair.client.send_message(i, "é" * 100)
        pair.ends[at & 1].reset(i)
    pair.pump()


@paired
def reset_while_blocked_by_flow_control(pair, n):
    ids = pair.websockets(n)
    for i in ids:
        for conn in pair.ends:
            conn.send_message(i, b"x" * 900)
            conn.send_message(i, b"y" * 900)  # waits: nobody takes the first
            conn.ping(i, b"behind it")
    pair.pump()
    for end, i in pair.by_turns(ids):
        end.reset(i)
    pair.pump()


@paired
def closed_while_blocked_by_flow_control(pair, n):
    ids = pair.websockets(n)
    for i in ids:
        pair.server.send_message(i, b"x" * 900)
        pair.server.send_message(i, b"y" * 900)
        pair.server.close_websocket(i)
        pair.client.close_websocket(i)
    pair.pump()
    pair.wait(11)


@paired
def reset_within_a_message(pair, n):
    ids = pair.within_a_message(n)
    for end, i in pair.by_turns(ids):
        end.reset(i)
    pair.pump()


@paired
def closed_within_a_message(pair, n):
    ids = pair.within_a_message(n)
    for end, i in pair.by_turns(ids):
        end.close_websocket(i)
    pair.pump()


@paired
def closed_with_pings_on_their_way(pair, n):
    for i in pair.websockets(n):
        pair.server.ping(i, b"one")
        pair.client.ping(i, b"other")
        pair.server.close_websocket(i)
    pair.pump()


@paired
def closed_under_sinks(pair, n):
    ids = pair.websockets(n)
    told = []
    for i in ids:
        pair.server.attach(i, told.append)
        pair.client.attach(i, told.append)
        pair.client.send_message(i, "hello")
        pair.server.send_message(i, b"hello")
    pair.pump()
    for i in ids:
        pair.client.close_websocket(i)
    pair.pump()
    assert len(told) == 4 * n


def fail(event):
    raise RuntimeError("the sink's own")


@paired
def failed_by_its_sink(pair, n):
    for i in pair.websockets(n):
        pair.server.attach(i, fail)
        pair.client.send_message(i, "hello")
    _, told = pair.pump()
    for event in told:
        # It leads to the frames that are running, and `told` stands in one of them.
        event.error.__traceback__ = None


@paired
def reset_by_its_own_sink(pair, n):
    for i in pair.websockets(n):
        pair.server.attach(i, lambda event, i=i: message_resets(pair.server, i, event))
        pair.client.send_message(i, "one")
        pair.client.send_message(i, "two")
    pair.pump()


def message_resets(conn, stream_id, event):
    if type(event).__name__ == "TextMessage":
        conn.reset(stream_id)


@paired
def never_closed_by_the_other(pair, n):
    """The Close is lost on an end that does not answer: the close timeout ends it."""
    for i in pair.websockets(n):
        pair.server.close_websocket(i)
    while pair.server.data_to_send(2**20, pair.now):
        pass
    pair.wait(11)


# -- handshakes and requests ---------------------------------------------------------------------


@paired
def refused(pair, n):
    for at, i in enumerate(pair.ask(CONNECT, n)):
        pair.server.respond(i, [(":status", "403")], bool(at & 1))
        if not at & 1:
            pair.server.send_data(i, b"no", True)
    pair.pump()


@paired
def given_up_before_the_answer(pair, n):
    for i in pair.ask(CONNECT, n):
        pair.client.reset(i)
    pair.pump()


@paired
def reset_instead_of_an_answer(pair, n):
    for i in pair.ask(CONNECT, n):
        pair.server.reset(i)
    pair.pump()


@paired
def never_answered(pair, n):
    pair.ask(CONNECT, n)
    pair.wait(11)


@paired
def requests_answered(pair, n):
    for i in pair.ask(GET, n, True):
        pair.server.respond(i, [(":status", "103")])
        pair.server.respond(i, OK)
        pair.server.send_data(i, b"body", True)
    pair.pump()


@paired
def requests_with_trailers(pair, n):
    ids = pair.ask(POST, n)
    for i in ids:
        pair.client.send_data(i, b"z" * 1500)  # more than the window: trailers wait behind
        pair.client.send_trailers(i, [("sum", "1")])
    _, told = pair.pump()
    for event in told:
        if type(event).__name__ == "Data":
            pair.server.consumed(event.stream_id, event.credit)
    pair.pump()
    for i in ids:
        pair.server.respond(i, OK)
        pair.server.send_trailers(i, [("sum", "2")])
    pair.pump()


@paired
def requests_answered_early(pair, n):
    ids = pair.ask(POST, n)
    for i in ids:
        pair.server.respond(i, OK, True)
    pair.pump()
    for at, i in enumerate(ids):
        if at & 1:
            pair.client.reset(i)
        else:
            pair.client.send_data(i, b"late", True)
    pair.pump()


@paired
def requests_reset(pair, n):
    ids = pair.ask(POST, n)
    for i in ids:
        pair.client.send_data(i, b"some")
    pair.pump()
    for end, i in pair.by_turns(ids):
        end.reset(i)
    pair.pump()


@paired
def downloads_given_up(pair, n):
    ids = pair.ask(GET, n, True)
    for i in ids:
        pair.server.respond(i, OK)
        pair.server.send_data(i, b"x" * 5000)
        pair.server.send_trailers(i, [("sum", "1")])
    pair.pump()
    for i in ids:
        pair.client.reset(i)
    pair.pump()


@paired
def tunnels_ended(pair, n):
    ids = pair.answered(TUNNEL, n)
    for i in ids:
        pair.client.send_data(i, b"to", True)
    pair.pump()
    for i in ids:
        pair.server.send_data(i, b"fro", True)
    pair.pump()


@paired
def tunnels_reset(pair, n):
    ids = pair.answered(TUNNEL, n)
    for i in ids:
        pair.client.send_data(i, b"to")
        pair.server.send_data(i, b"x" * 3000)
    pair.pump()
    for end, i in pair.by_turns(ids):
        end.reset(i)
    pair.pump()


# -- before octets ----------------------------------------------------------------------------------


@lone("server")
def malformed_requests(peer, n):
    block = literal([*GET, ("Capital", "letter")])
    peer.feed(*(f.headers(i, block, True) for i in peer.ids(n)))


@lone("server")
def lists_too_long(peer, n):
    block = literal([*GET, *[("x", "y" * 100)] * 80])
    for i in peer.ids(n):
        peer.feed(f.headers(i, block, True))


@lone("server")
def opened_and_reset_in_one_read(peer, n):
    block = literal(CONNECT)
    peer.feed(*(f.headers(i, block) + f.rst_stream(i) for i in peer.ids(n)))


@lone("server")
def blocks_in_continuations(peer, n):
    block = literal(POST)
    peer.feed(
        *(
            f.headers(i, block[:9], end_headers=False)
            + f.continuation(i, block[9:20], False)
            + f.continuation(i, block[20:])
            + f.rst_stream(i)
            for i in peer.ids(n)
        )
    )


@lone("server")
def refused_beyond_the_limit(peer, n):
    held = peer.open(POST, AT_ONCE)
    peer.feed(*(f.headers(i, literal(POST)) for i in peer.ids(n)))
    peer.feed(*(f.rst_stream(i) for i in held))


@lone("server")
def wrong_content_length(peer, n):
    ids = peer.open([*POST, ("content-length", "3")], n)
    peer.data(ids, b"four")


@lone("server")
def window_grown_by_nothing(peer, n):
    peer.feed(*(f.window_update(i, 0) for i in peer.open(POST, n)))


@lone("server")
def window_exceeded(peer, n):
    for i in peer.open(POST, n):
        peer.feed(f.data(i, bytes(16384)) * 4)


@lone("server")
def early_data_never_wanted(peer, n):
    ids = peer.open(CONNECT, n)
    peer.data(ids, ws_frame(1, b"early", key=KEY))
    for at, i in enumerate(ids):
        if at & 1:
            peer.conn.respond(i, [(":status", "403")], True)
        else:
            peer.conn.reset(i)
    peer.feed(*(f.rst_stream(i) for i in ids))


def ended_without_a_close(peer, n):
    peer.data(peer.websockets(n), b"", True)
    peer.now += 11
    peer.conn.handle_timeout(peer.now)
    peer.flush()


def websockets_in_error(peer, n):
    """Each of four faults; then the peer ends its side."""
    key = KEY if peer.role == "server" else None
    wrong = (
        ws_frame(1, b"unmasked or masked", key=None if key else KEY),
        ws_frame(1, b"\xff", key=key),
        ws_frame(2, bytes(5000), key=key)[:20],
        ws_frame(3, b"reserved", key=key),
    )
    ids = peer.websockets(n)
    peer.feed(*(f.data(i, wrong[at & 3]) for at, i in enumerate(ids)))
    peer.data(ids, b"", True)


def closed_by_a_peer_that_stays(peer, n):
    """Close comes, ours goes, and the peer's END_STREAM never comes."""
    key = KEY if peer.role == "server" else None
    peer.data(peer.websockets(n), close_frame(1000, b"", key=key))
    peer.now += 11
    peer.conn.handle_timeout(peer.now)
    peer.flush()


for role in ("server", "client"):
    for either in (ended_without_a_close, websockets_in_error, closed_by_a_peer_that_stays):
        LONE[f"{either.__name__}, a {role}"] = (role, either)


@lone("client")
def malformed_responses(peer, n):
    ids = [peer.conn.request(GET) for _ in range(n)]
    block = literal([(":status", "200"), ("connection", "close")])
    peer.feed(*(f.headers(i, block, True) for i in ids))


@lone("client")
def content_before_the_head(peer, n):
    ids = [peer.conn.request(GET) for _ in range(n)]
    peer.data(ids, b"what?")


@lone("client")
def refused_by_the_peer(peer, n):
    ids = [peer.conn.request(GET) for _ in range(n)]
    peer.feed(*(f.rst_stream(i, f.REFUSED_STREAM) for i in ids))


# -- with the whole connection --------------------------------------------------------------------

EACH = 20  # streams on a connection that ends


def busy(twin):
    """A pair with EACH streams in every state."""
    pair = Pair(twin)
    for at, i in enumerate(pair.websockets(8)):
        if at & 1:
            pair.server.send_fragment(i, "begun", False)
            pair.client.send_message(i, b"x" * 900)
            pair.client.send_message(i, b"x" * 900)
        if at & 2:
            pair.client.close_websocket(i)
        if at & 4:
            pair.server.attach(i, [].append)
    pair.ask(CONNECT, 3)
    for i in pair.ask(POST, 4):
        pair.client.send_data(i, b"x" * 1500)
        pair.server.respond(i, OK)
        pair.server.send_data(i, b"x" * 1500)
    pair.ask(GET, 2, True)
    for i in pair.answered(TUNNEL, 3):
        pair.client.send_data(i, b"x" * 1500, True)
    # Half of what is said is still on its way.
    pair.server.receive_data(b"".join(pair.client.data_to_send(2**20, 0.0)), 0.0)
    return pair


def each(twin, n):
    for _ in range(n // EACH):
        yield busy(twin)


@fatal
def goaway_by_the_server(twin, n):
    for pair in each(twin, n):
        pair.server.shutdown()
        pair.pump()
        pair.server.abort(0)
        pair.pump()


@fatal
def goaway_by_the_client(twin, n):
    for pair in each(twin, n):
        pair.client.shutdown()
        pair.pump()
        pair.client.abort(0)
        pair.pump()


@fatal
def goaway_that_forgets_all(twin, n):
    for pair in each(twin, n):
        pair.client.receive_data(f.goaway(0, f.NO_ERROR), 0.0)
        pair.client.receive_eof()
        pair.server.receive_eof()


@fatal
def lost(twin, n):
    for pair in each(twin, n):
        for conn in pair.ends:
            conn.receive_eof()
            assert conn.terminated and conn.open_streams == 0


@fatal
def forgotten(twin, n):
    """Nobody says a word: the objects are dropped."""
    for _ in each(twin, n):
        pass


@fatal
def failed(twin, n):
    for pair in each(twin, n):
        for conn in pair.ends:
            conn.receive_data(f.data(0, b"x"), 0.0)
            assert conn.terminated and conn.open_streams == 0


@fatal
def failed_within_a_block(twin, n):
    for pair in each(twin, n):
        block = literal(POST)
        pair.server.receive_data(f.headers(1001, block, end_headers=False) + f.ping(), 0.0)
        assert pair.server.terminated


@fatal
def timed_out(twin, n):
    for pair in each(twin, n):
        for conn in (pair.client, pair.server):
            assert conn.open_streams
            conn.receive_data(f.ping()[:-1], pair.now)
            conn.data_to_send(now=pair.now)
            conn.handle_timeout(pair.now + 100.0)
            assert conn.terminated and conn.open_streams == 0


@fatal
def ended_by_its_sink(twin, n):
    for pair in each(twin, n):
        for i in pair.websockets(2):
            pair.server.attach(i, lambda event, server=pair.server: server.abort(0))
            pair.client.send_message(i, "the end")
        pair.pump()
        assert pair.server.terminated
