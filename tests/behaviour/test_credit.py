"""When a peer may send again: flow-control credit of messages, bodies and tunnels.

What needs no consumer comes back at once: WebSocket heads, control frames, padding and the octets
of an incomplete message. A complete message comes back when the application took it. The window of
the connection always comes back, so that no slow reader stops another.
"""

import pytest

from tests.support import frames as f
from tests.support.peer import EVENT_OCTETS, POST, kinds, of
from tests.support.ws_frames import BINARY, CONTINUATION, KEY, PING, TEXT, read_ws_frames, ws_frame

STREAM_WINDOW = 262144
CONNECTION_WINDOW = 16 << 20


class Sender:
    """A peer that keeps to the windows it was given, and counts them."""

    def __init__(self, peer, stream_window=STREAM_WINDOW):
        self.peer = peer
        self.connection = CONNECTION_WINDOW
        self.streams = {}
        self.initial = stream_window
        self.frames = []
        self.sent = 0
        self.key = KEY if peer.role == "server" else None

    def listen(self):
        for one in self.peer.sent():
            if one.kind != f.WINDOW_UPDATE:
                self.frames.append(one)
            elif one.stream_id == 0:
                self.connection += one.increment
            else:
                self.streams[one.stream_id] = self.window(one.stream_id) + one.increment

    def window(self, stream_id):
        return self.streams.get(stream_id, self.initial)

    def send(self, stream_id, octets, pad=None):
        """Send what the windows allow, in frames; return how much that was and the events."""
        at, events = 0, []
        extra = 0 if pad is None else pad + 1
        while at < len(octets):
            room = min(self.window(stream_id), self.connection) - extra
            n = min(16384 - extra, len(octets) - at, room)
            if n <= 0:
                break
            events += self.peer.feed(f.data(stream_id, octets[at : at + n], pad=pad))
            self.streams[stream_id] = self.window(stream_id) - n - extra
            self.connection -= n + extra
            self.sent += n + extra
            at += n
            self.listen()
        return at, events

    def message(self, stream_id, payload, **fields):
        octets = ws_frame(BINARY, payload, key=self.key, **fields)
        sent, events = self.send(stream_id, octets)
        return sent == len(octets), events


@pytest.fixture(params=["server", "client"])
def role(request):
    return request.param


@pytest.mark.row("9113-6.9.1-5")
def test_messages_nobody_takes_stop_the_peer(make, role):
    peer = make(role)
    stream_id = peer.websocket()
    sender = Sender(peer)
    credits, went = [], True
    while went:
        went, events = sender.message(stream_id, bytes(1000))
        credits += [e.credit for e in events]
    head = 8 if role == "server" else 4
    held = sum(credits) - EVENT_OCTETS * len(credits)  # of them, without what each takes beside
    assert STREAM_WINDOW - 8000 <= held <= STREAM_WINDOW
    assert all(1000 <= credit - EVENT_OCTETS <= 1000 + head for credit in credits)
    # Once the window is full nothing more goes.
    peer.tick(1)
    sender.listen()
    assert sender.window(stream_id) < STREAM_WINDOW // 2
    for credit in credits:
        peer.conn.consumed(stream_id, credit)
    sender.listen()
    assert sender.window(stream_id) >= STREAM_WINDOW // 2


def test_a_peer_that_is_held_back_gets_nothing_until_it_is_not(make, role):
    peer = make(role)
    stream_id = peer.websocket()
    sender = Sender(peer)
    peer.conn.withhold(stream_id, True)
    peer.conn.withhold(stream_id, True)
    credits, went = [], True
    while went:
        went, events = sender.message(stream_id, bytes(1000))
        credits += [e.credit for e in events]
    # Not even for heads. The connection's window, which is everybody's, is never held back.
    assert sum(credits) - EVENT_OCTETS * len(credits) <= STREAM_WINDOW
    for credit in credits[:-1]:
        peer.conn.consumed(stream_id, credit)
    sender.listen()
    left = sender.window(stream_id)
    assert left < 1016
    assert sender.connection > CONNECTION_WINDOW // 2
    peer.conn.withhold(stream_id, False)
    peer.conn.withhold(stream_id, False)
    sender.listen()
    assert sender.window(stream_id) > STREAM_WINDOW - 2500


def test_the_close_of_a_peer_that_is_held_back_comes_through(make, role):
    peer = make(role)
    stream_id = peer.websocket()
    sender = Sender(peer)
    peer.conn.withhold(stream_id, True)
    while sender.message(stream_id, bytes(1000))[0]:
        pass
    peer.conn.close_websocket(stream_id, 1000)
    sender.listen()
    assert sender.window(stream_id) > STREAM_WINDOW // 2
    peer.conn.withhold(stream_id, True)  # too late
    while sender.message(stream_id, bytes(1000))[0] and sender.sent < 3 * STREAM_WINDOW:
        pass
    assert sender.sent >= 3 * STREAM_WINDOW
    peer.conn.withhold(7, True)  # nobody
    peer.conn.withhold(7, False)


@pytest.mark.row("9113-6.9.1-5")
def test_messages_that_are_taken_flow_without_end(make, role):
    peer = make(role)
    stream_id = peer.websocket()
    sender = Sender(peer)
    for number in range(2000):  # eight windows of the stream
        went, (event,) = sender.message(stream_id, bytes(1000))
        assert went, f"stuck at message {number}"
        peer.conn.consumed(stream_id, event.credit)
        sender.listen()


@pytest.mark.row("9113-6.9.1-5")
def test_delivery_is_consumption_with_auto_credit(make, role):
    peer = make(role, auto_credit=True)
    stream_id = peer.websocket()
    sender = Sender(peer)
    for number in range(2000):
        went, _ = sender.message(stream_id, bytes(1000))
        assert went, f"stuck at message {number}"


@pytest.mark.row("9113-6.9.1-5")
@pytest.mark.parametrize("fragments", [1, 7, 300])
def test_message_larger_than_the_window_arrives(make, role, fragments):
    peer = make(role, settings={"initial_window_size": 65535})
    stream_id = peer.websocket()
    sender = Sender(peer, 65535)
    whole = bytes(range(256)) * 4096  # 1 MiB
    size = -(-len(whole) // fragments)
    parts = [whole[at : at + size] for at in range(0, len(whole), size)]
    octets = b"".join(
        ws_frame(CONTINUATION if i else BINARY, part, fin=i == len(parts) - 1, key=sender.key)
        for i, part in enumerate(parts)
    )
    sent, events = sender.send(stream_id, octets)
    assert sent == len(octets)
    (event,) = events
    assert event.data == whole
    assert event.credit <= len(octets) + EVENT_OCTETS
    peer.conn.consumed(stream_id, event.credit)
    sent, (again,) = sender.send(stream_id, octets)
    assert again.data == whole


@pytest.mark.row("9113-6.9.1-5")
def test_control_frames_come_back_at_once(make, role):
    peer = make(role)
    peer.feed(f.settings((f.INITIAL_WINDOW_SIZE, 1 << 30)), f.window_update(0, 1 << 30))
    stream_id = peer.websocket()
    sender = Sender(peer)
    pings = ws_frame(PING, bytes(125), key=sender.key) * 100
    for number in range(60):  # three windows
        sent, events = sender.send(stream_id, pings)
        assert sent == len(pings), f"stuck at round {number}"
        assert set(kinds(events)) == {"Pinged"}


@pytest.mark.row("9113-6.9.1-5")
def test_padding_comes_back_at_once(make, role):
    peer = make(role)
    stream_id = peer.websocket()
    sender = Sender(peer)
    octets = ws_frame(BINARY, bytes(2000), key=sender.key)
    for at in range(len(octets)):  # 2000 frames of 257 octets: twice the window
        sent, _ = sender.send(stream_id, octets[at : at + 1], pad=255)
        assert sent == 1, f"stuck at octet {at}"
    (event,) = of(peer.events, "BytesMessage")
    assert event.credit <= 2008 + EVENT_OCTETS


@pytest.mark.row("9113-6.9.1-5")
def test_body_comes_back_as_it_is_consumed(make):
    peer = make("server")
    stream_id = peer.post()
    sender = Sender(peer)
    sent, events = sender.send(stream_id, bytes(400000))
    assert sent == STREAM_WINDOW
    assert sum(e.credit for e in events) == sum(len(e.data) for e in events) == sent
    peer.conn.consumed(stream_id, 200000)
    sender.listen()
    assert 131072 <= sender.window(stream_id) <= 200000
    peer.conn.consumed(stream_id, STREAM_WINDOW - 200000)
    sender.listen()
    sent, events = sender.send(stream_id, bytes(131072))
    assert sent == 131072


@pytest.mark.row("9113-6.9.1-5")
@pytest.mark.parametrize("slow", [1, 10])
def test_credit_given_never_exceeds_what_was_received(make, slow):
    peer = make("server", settings={"initial_window_size": 65535})
    stream_id = peer.websocket()
    sender = Sender(peer, 65535)
    taken = []
    for number in range(500):
        payload = bytes(number * 7 % 3000)
        octets = ws_frame(BINARY, payload, key=KEY)
        cut = number % len(octets)
        for part in (octets[:cut], octets[cut:]):
            sent, events = sender.send(stream_id, part)
            assert sent == len(part)
            taken += [e.credit for e in events]
        while len(taken) >= slow:
            peer.conn.consumed(stream_id, taken.pop(0))
        sender.listen()
        assert sender.window(stream_id) <= 65535
        assert sender.connection <= CONNECTION_WINDOW


@pytest.mark.row("9113-6.9.1-5")
def test_consuming_too_much_gives_no_more_than_was_received(make):
    peer = make("server", settings={"initial_window_size": 65535})
    stream_id = peer.websocket()
    sender = Sender(peer, 65535)
    for _ in range(20):
        sender.message(stream_id, bytes(2000))
    for wrong in (10**6, 2**31, 2**62):
        try:
            peer.conn.consumed(stream_id, wrong)
        except (ValueError, OverflowError, peer.errors.LocalProtocolError):
            pass
        sender.listen()
        assert sender.window(stream_id) <= 65535
        assert sender.connection <= CONNECTION_WINDOW


@pytest.mark.row("9113-6.9.1-5")
def test_consuming_on_streams_that_are_over_is_ignored(make):
    peer = make("server")
    stream_id = peer.websocket()
    sender = Sender(peer)
    _, (event,) = sender.message(stream_id, bytes(100000))
    peer.conn.reset(stream_id)
    sender.listen()
    for _ in range(5):
        peer.conn.consumed(stream_id, event.credit)
    peer.conn.consumed(99, 1000)
    peer.conn.consumed(4, 1000)
    sender.listen()
    assert sender.connection <= CONNECTION_WINDOW
    peer.expect_alive()


@pytest.mark.row("9113-6.9.1-5")
@pytest.mark.parametrize(
    ("wrong", "error"), [(-1, ValueError), ("1", TypeError), (None, TypeError)]
)
def test_credit_that_is_no_number_of_octets_is_refused(make, wrong, error):
    peer = make("server")
    stream_id = peer.websocket()
    sender = Sender(peer)
    _, (event,) = sender.message(stream_id, bytes(100000))
    with pytest.raises(error):
        peer.conn.consumed(stream_id, wrong)
    peer.conn.consumed(stream_id, event.credit)


@pytest.mark.row("9113-6.9.1-5", "9113-6.9-4")
@pytest.mark.parametrize("how", ["reset", "reset by the peer", "close", "end"])
def test_stream_that_is_over_gives_back_what_it_held_once(make, how):
    peer = make("server", limits={"reset_burst": 100000, "max_local_resets": 100000})
    sender = Sender(peer)
    for number in range(150):  # 30 MiB in all: twice the window of the connection
        stream_id = peer.websocket()
        sent, events = sender.send(stream_id, ws_frame(BINARY, bytes(100000), key=KEY))
        assert sent > 100000, f"stuck at stream {number}"
        half = ws_frame(BINARY, bytes(100000), key=KEY, fin=False)
        assert sender.send(stream_id, half)[0] == len(half)
        if how == "reset":
            peer.conn.reset(stream_id)
        elif how == "reset by the peer":
            peer.feed(f.rst_stream(stream_id))
        elif how == "close":
            peer.feed(f.data(stream_id, ws_frame(8, b"\x03\xe8", key=KEY), end_stream=True))
            sender.connection -= 8
        else:
            peer.feed(f.data(stream_id, end_stream=True))
        for event in events:
            peer.conn.consumed(stream_id, event.credit)
        sender.listen()
        assert sender.connection <= CONNECTION_WINDOW
    assert peer.conn.open_streams == 0
    peer.expect_alive()


@pytest.mark.row("9113-6.9.1-6")
def test_stalled_readers_do_not_stop_an_active_one(make, role):
    peer = make(role)
    sender = Sender(peer)
    stalled = [peer.websocket() for _ in range(100)]
    active = peer.websocket()
    for stream_id in stalled:  # 25 MiB undelivered: more than the connection's window
        while sender.message(stream_id, bytes(60000))[0]:
            pass
    assert all(sender.window(stream_id) < 60000 for stream_id in stalled)
    for number in range(1000):
        went, events = sender.message(active, bytes(1000))
        assert went, f"stuck at message {number}"
        peer.conn.consumed(active, events[-1].credit)
        sender.listen()
    assert not peer.conn.terminated


@pytest.mark.row("9113-6.9.1-6")
def test_tunnel_that_holds_most_is_failed_with_1013(make, role):
    peer = make(role, limits={"max_buffered": 500000})
    sender = Sender(peer)
    small = [peer.websocket() for _ in range(5)]
    greedy = peer.websocket()
    for stream_id in small:
        assert sender.message(stream_id, bytes(60000))[0]
    for _ in range(4):
        sender.message(greedy, bytes(60000))
    assert sender.frames
    frames = [one for one in sender.frames if one.stream_id == greedy]
    (close,) = read_ws_frames(b"".join(one.content for one in frames))
    assert close.close_code == 1013
    assert {one.kind for one in frames} == {f.DATA}
    assert not any(one.end_stream for one in frames)
    assert [one for one in sender.frames if one.stream_id in small] == []
    for stream_id in small:  # the others never noticed
        _, events = sender.message(stream_id, b"fine")
        assert [e.data for e in events if e.stream_id == stream_id] == [b"fine"]
    assert not peer.conn.terminated


@pytest.mark.row("9113-6.9.1-6")
def test_partial_messages_count_as_buffered(make, role):
    peer = make(role, limits={"max_buffered": 500000})
    sender = Sender(peer)
    streams = [peer.websocket() for _ in range(10)]
    for stream_id in streams:
        octets = ws_frame(TEXT, bytes(100000), key=sender.key, fin=False)
        sender.send(stream_id, octets)
    failed = {one.stream_id for one in sender.frames if one.kind == f.DATA}
    assert 4 <= len(failed) <= 6
    codes = {
        read_ws_frames(one.content)[0].close_code for one in sender.frames if one.kind == f.DATA
    }
    assert codes == {1013}
    assert not peer.conn.terminated


@pytest.mark.row("9113-6.9.1-6")
def test_consumed_messages_are_not_buffered(make, role):
    peer = make(role, limits={"max_buffered": 500000})
    sender = Sender(peer)
    stream_id = peer.websocket()
    for _ in range(100):
        went, (event,) = sender.message(stream_id, bytes(60000))
        assert went
        peer.conn.consumed(stream_id, event.credit)
        sender.listen()
    assert sender.frames == []


@pytest.mark.row("9113-6.9.1-6")
def test_many_posts_share_the_connection(make):
    """Bodies that nobody reads hold their own windows and nothing else."""
    peer = make("server")
    sender = Sender(peer)
    for _ in range(80):
        stream_id = peer.open(POST)
        sent, _ = sender.send(stream_id, bytes(300000))
        assert sent == STREAM_WINDOW
    stream_id = peer.open(POST)
    sent, events = sender.send(stream_id, bytes(1000))
    assert sent == 1000
    assert b"".join(e.data for e in events) == bytes(1000)
