"""Every clock of a connection, with its time given by hand.

What they do on a real socket: tests/abuse/test_slow.py. Openings, SETTINGS, handshakes and closes
have their tests where their limits and rules are tested (test_limits, test_ws_close,
test_ws_handshake_h2).
"""

import pytest

from tests.support import frames as f
from tests.support.peer import CONNECT, GET, OK, POST, kinds, of
from tests.support.websocket import CLIENT, SERVER, WebSocket
from tests.support.ws_frames import BINARY, KEY, PONG, ws_frame

row = pytest.mark.row


def hits(peer):
    return peer.conn.stats()["limits"]


def goaways(peer):
    return [x.error_code for x in peer.frames if x.kind == f.GOAWAY]


def resets(peer):
    return [(x.stream_id, x.error_code) for x in peer.frames if x.kind == f.RST_STREAM]


def pass_time(peer, seconds):
    """Let time pass, and keep what the engine sent in `peer.frames`."""
    peer.sent()
    came = peer.tick(seconds)
    peer.sent()
    return came


# -- openings ----------------------------------------------------------------------------------


@row("SEC-4-2")
def test_client_without_a_request_is_shown_the_door(make):
    peer = make("server", limits={"first_request_timeout_s": 5.0, "shutdown_timeout_s": 2.0})
    peer.sent()
    pass_time(peer, 4.9)
    assert not peer.frames
    pass_time(peer, 0.2)
    # Gracefully: a request that crosses the GOAWAY is served.
    assert [x.kind for x in peer.frames] == [f.GOAWAY, f.PING]
    assert peer.frames[0].last_stream_id == 0x7FFFFFFF
    assert hits(peer) == {"first_request_timeout_s": 1}
    peer.feed(f.ping(peer.frames[1].payload, ack=True))
    peer.sent()
    assert goaways(peer) == [f.NO_ERROR, f.NO_ERROR]
    assert kinds(peer.events) == ["Terminated"]


def test_request_that_crosses_the_farewell_is_served(make):
    peer = make("server", limits={"first_request_timeout_s": 5.0})
    peer.sent()
    pass_time(peer, 5.1)
    stream_id = peer.get()
    peer.feed(f.ping(peer.frames[1].payload, ack=True))
    peer.conn.respond(stream_id, OK, end_stream=True)
    answer = [x for x in peer.sent() if x.stream_id == stream_id]
    assert [x.get(":status") for x in answer] == ["200"]
    assert peer.conn.terminated


@row("SEC-4-2")
def test_first_request_ends_the_wait_for_it(make):
    peer = make("server", limits={"first_request_timeout_s": 5.0})
    peer.tick(4.9)
    peer.post()
    pass_time(peer, 10)
    assert not goaways(peer)
    assert not peer.conn.terminated


@pytest.mark.parametrize("role", ["server", "client"])
def test_connection_without_streams_ends(make, role):
    name = "idle_timeout_s" if role == "server" else "client_idle_timeout_s"
    peer = make(role, limits={name: 5.0, "shutdown_timeout_s": 1.0})
    peer.expect_alive()
    pass_time(peer, 4.0)
    peer.expect_alive()  # begins it anew
    pass_time(peer, 4.9)
    assert not goaways(peer)
    pass_time(peer, 0.2)
    assert goaways(peer)[0] == f.NO_ERROR
    assert hits(peer) == {name.removeprefix("client_"): 1}
    pass_time(peer, 1.1)  # nobody answers the PING
    assert peer.conn.terminated


def test_connection_with_a_stream_is_not_idle(make):
    peer = make("server", limits={"idle_timeout_s": 5.0})
    peer.expect_alive()
    peer.tick(4.0)
    peer.websocket()
    pass_time(peer, 10000)
    assert not goaways(peer) and not peer.conn.terminated
    assert hits(peer) == {}


def test_clients_connection_stays_by_default(twin):
    assert twin.Limits().client_idle_timeout_s == float("inf")
    assert twin.Limits().idle_timeout_s == 180.0


# -- slow frames -------------------------------------------------------------------------------

HALF_FRAMES = {
    "head": f.ping()[:5],
    "settings": f.settings((f.INITIAL_WINDOW_SIZE, 1 << 20))[:12],
    "goaway": f.goaway(0, 0, b"x" * 100)[:60],
    "unknown length": f.frame(f.PING, 0, 0, bytes(8))[:9],
}


@row("SEC-4-2")
@pytest.mark.parametrize("name", HALF_FRAMES)
def test_half_a_frame_is_not_held_for_ever(make, name):
    peer = make("server", limits={"frame_timeout_s": 3.0})
    whole = HALF_FRAMES[name]
    for octet in whole[:-1]:
        peer.feed(bytes([octet]))
        peer.pull()
    peer.tick(2.0)
    peer.feed(whole[-1:])
    peer.pull()
    pass_time(peer, 0.9)
    assert not peer.conn.terminated
    pass_time(peer, 2.2)  # a head and its payload have a time each
    assert goaways(peer) == [f.ENHANCE_YOUR_CALM]
    assert hits(peer) == {"frame_timeout_s": 1}


@row("SEC-4-2")
def test_frames_that_end_in_time_may_end_any_read(make):
    peer = make("server", limits={"frame_timeout_s": 3.0})
    octets = f.ping() * 50
    for i in range(0, len(octets), 7):
        peer.feed(octets[i : i + 7])
        peer.pull()
        peer.tick(1.0)
    peer.tick(100)
    assert hits(peer) == {}
    peer.expect_alive()


@row("SEC-2-2")
def test_headers_that_come_octet_by_octet_time_out(make):
    peer = make("server", limits={"header_block_timeout_s": 3.0, "frame_timeout_s": 60.0})
    octets = peer.headers(1, POST)
    for octet in octets[:12]:
        peer.feed(bytes([octet]))
        peer.pull()
    for octet in octets[12:14]:
        peer.tick(1.0)
        peer.feed(bytes([octet]))
        peer.pull()
    assert not peer.conn.terminated
    pass_time(peer, 1.1)
    assert goaways(peer) == [f.ENHANCE_YOUR_CALM]
    assert hits(peer) == {"header_block_timeout_s": 1}


@row("SEC-2-2")
def test_continuation_has_no_time_of_its_own(make):
    # HEADERS in pieces and CONTINUATION after it: one clock for the whole block.
    peer = make("server", limits={"header_block_timeout_s": 3.0})
    octets = f.headers(1, b"\x82", end_headers=False)
    peer.feed(octets[:-1])
    peer.pull()
    peer.tick(2.0)
    peer.feed(octets[-1:])
    peer.pull()
    pass_time(peer, 0.9)
    assert not peer.conn.terminated
    pass_time(peer, 0.2)
    assert hits(peer) == {"header_block_timeout_s": 1}


@row("SEC-2-2")
def test_block_that_ends_stops_its_clock(make):
    peer = make("server", limits={"header_block_timeout_s": 3.0})
    for stream_id in (1, 3):
        octets = peer.headers(stream_id, POST)
        peer.feed(octets[:-1])
        peer.pull()
        peer.tick(2.0)
        peer.feed(octets[-1:])
        peer.pull()
    peer.tick(2.0)
    assert kinds(peer.events) == ["Requested", "Requested"]
    assert hits(peer) == {}


# -- slow bodies -------------------------------------------------------------------------------


@row("SEC-4-2")
def test_body_that_drips_is_reset(make):
    peer = make("server", limits={"body_timeout_s": 4.0, "min_body_rate": 100}, auto_credit=True)
    stream_id = peer.post()
    peer.pull()
    for _ in range(10):
        peer.feed(f.data(stream_id, b"x"))
        pass_time(peer, 1.0)
    assert resets(peer) == [(stream_id, f.CANCEL)]
    (reset,) = of(peer.events, "Reset")
    assert not reset.remote and "slow" in reset.reason
    assert hits(peer) == {"body_timeout_s": 1}
    peer.expect_alive()


@row("SEC-4-2")
def test_body_may_drip_where_no_rate_is_asked_but_not_cease(make):
    peer = make("server", limits={"body_timeout_s": 4.0, "min_body_rate": 0}, auto_credit=True)
    stream_id = peer.post()
    for _ in range(10):
        peer.feed(f.data(stream_id, b"x"))
        pass_time(peer, 1.0)
    assert not resets(peer)
    pass_time(peer, 10.0)
    assert resets(peer) == [(stream_id, f.CANCEL)]


@pytest.mark.parametrize(("rate", "octets"), [(100, 150), (0, 1)])
def test_body_that_is_fast_enough_may_last(make, rate, octets):
    peer = make("server", limits={"body_timeout_s": 4.0, "min_body_rate": rate}, auto_credit=True)
    stream_id = peer.post()
    for _ in range(30):
        peer.feed(f.data(stream_id, bytes(octets)))
        pass_time(peer, 1.0)
    assert hits(peer) == {} and not resets(peer)


def test_body_that_the_application_does_not_read_is_not_slow(make):
    peer = make("server", limits={"body_timeout_s": 4.0})
    stream_id = peer.post()
    peer.feed(f.data(stream_id, bytes(100)))
    pass_time(peer, 100)
    assert not resets(peer)
    peer.conn.consumed(stream_id, 100)
    pass_time(peer, 3.0)
    assert not resets(peer)  # its clock begins now
    pass_time(peer, 3.0)
    assert resets(peer) == [(stream_id, f.CANCEL)]


def test_body_of_an_answered_request_may_be_silent(make):
    # A conversation in both directions, as gRPC has it.
    peer = make("server", limits={"body_timeout_s": 4.0})
    stream_id = peer.post()
    peer.conn.respond(stream_id, OK)
    pass_time(peer, 1000)
    assert hits(peer) == {} and not resets(peer)


# -- slow readers ------------------------------------------------------------------------------


def stalled_peer(make, role="server", **options):
    peer = make(
        role,
        peer_settings=[(f.ENABLE_CONNECT_PROTOCOL, 1), (f.INITIAL_WINDOW_SIZE, 0)],
        limits={"write_timeout_s": 8.0},
        **options,
    )
    return peer, peer.websocket()


@row("SEC-4-1")
@pytest.mark.parametrize("role", ["server", "client"])
def test_websocket_whose_peer_takes_nothing_is_reset(make, role):
    peer, stream_id = stalled_peer(make, role)
    other = peer.websocket()
    peer.conn.send_message(stream_id, b"nobody reads")
    pass_time(peer, 7.9)
    assert not resets(peer)
    pass_time(peer, 4.2)
    assert resets(peer) == [(stream_id, f.CANCEL)]
    (closed,) = of(peer.events, "Closed")
    assert (closed.stream_id, closed.code) == (stream_id, 1006)
    assert hits(peer) == {"write_timeout_s": 1}
    assert peer.conn.stats()["octets_queued"] == 0
    # The other has nothing to send, so that no window does it no harm.
    pass_time(peer, 1000)
    assert peer.conn.open_streams == 1 and not goaways(peer)
    peer.feed(f.window_update(other, 100))
    peer.conn.send_message(other, b"hello")
    assert [x.stream_id for x in peer.sent()] == [other]


@row("SEC-4-1")
def test_one_octet_is_progress(make):
    peer, stream_id = stalled_peer(make)
    peer.conn.send_message(stream_id, bytes(100))
    for _ in range(50):
        pass_time(peer, 7.0)
        peer.feed(f.window_update(stream_id, 1))
        assert len([x for x in peer.sent() if x.kind == f.DATA]) == 1
    assert not resets(peer)
    pass_time(peer, 12.2)
    assert resets(peer) == [(stream_id, f.CANCEL)]


@row("SEC-4-1")
def test_window_that_opens_and_closes_is_no_progress(make):
    peer, stream_id = stalled_peer(make)
    peer.websocket()
    peer.conn.send_message(stream_id, bytes(100))
    for _ in range(13):
        pass_time(peer, 1.0)
        peer.feed(f.settings((f.INITIAL_WINDOW_SIZE, 10)), f.settings((f.INITIAL_WINDOW_SIZE, 0)))
        peer.sent()
    assert resets(peer) == [(stream_id, f.CANCEL)]


@row("SEC-4-1")
def test_response_that_nobody_takes_is_reset_though_its_handler_is_done(make):
    peer = make(
        "server",
        peer_settings=[(f.INITIAL_WINDOW_SIZE, 10)],
        limits={"write_timeout_s": 8.0},
    )
    keep = peer.post()
    stream_id = peer.get()
    peer.conn.respond(stream_id, OK)
    peer.conn.send_data(stream_id, bytes(100), end_stream=True)
    pass_time(peer, 12.2)
    assert resets(peer) == [(stream_id, f.CANCEL)]
    assert peer.conn.open_streams == 1
    assert not [x for x in of(peer.events, "Reset") if x.stream_id == keep]


@row("SEC-4-1")
def test_connection_whose_last_stream_stalled_is_ended(make):
    peer, stream_id = stalled_peer(make)
    peer.conn.send_message(stream_id, b"x")
    pass_time(peer, 12.2)
    assert resets(peer) == [(stream_id, f.CANCEL)]
    assert goaways(peer) == [f.ENHANCE_YOUR_CALM]
    assert kinds(peer.events) == ["Closed", "Terminated"]


@row("SEC-4-1")
@pytest.mark.parametrize("waits", ["data", "control beside data", "control"])
def test_connection_that_takes_no_octet_is_ended(make, waits):
    # The transport is full: whoever drives the engine may not take what it has.
    peer = make("server", limits={"write_timeout_s": 8.0})
    stream_id = peer.websocket()
    if waits == "data":
        peer.conn.send_message(stream_id, b"x")
    else:
        if waits != "control":
            peer.conn.send_message(stream_id, bytes(70000))  # more than its window
            peer.pull()
        peer.feed(f.ping())
    peer.conn.arm(peer.now)
    while peer.now < 12.2 and not peer.conn.terminated:
        peer.now = peer.conn.next_timeout()
        peer.conn.handle_timeout(peer.now)
        peer.conn.arm(peer.now)
    assert 8.0 <= peer.now <= 12.1
    assert kinds(peer.more()) == ["Closed", "Terminated"]
    assert hits(peer) == {"write_timeout_s": 1}
    peer.sent()
    assert goaways(peer) == [f.ENHANCE_YOUR_CALM]


@row("SEC-4-1")
def test_connection_that_takes_its_answers_now_and_then_goes_on(make):
    peer = make("server", limits={"write_timeout_s": 8.0})
    peer.websocket()
    for _ in range(20):
        peer.feed(f.ping())
        peer.conn.arm(peer.now)
        peer.now += 6.0
        peer.conn.handle_timeout(peer.now)
        peer.conn.arm(peer.now)
        assert [x.kind for x in peer.sent()] == [f.PING]
    assert hits(peer) == {} and not peer.conn.terminated


# The same for a WebSocket over HTTP/1.1, where the transport takes nothing.


@pytest.fixture(params=(SERVER, CLIENT))
def upgraded(request, twin):
    """The engine of a WebSocket over HTTP/1.1 whose peer has `write_timeout_s` 8."""
    return WebSocket(twin, "h1", request.param, limits={"write_timeout_s": 8.0}).conn


@row("SEC-4-1")
def test_upgraded_connection_that_takes_nothing_is_ended(upgraded):
    told = []
    upgraded.on_limit = told.append
    upgraded.send_message(1, bytes(100_000))
    upgraded.data_to_send(1000, 100.0)
    for quarter in range(1, 5):
        # What the transport has taken counts, not that it is asked.
        upgraded.arm(100.0 + 2 * quarter)
        upgraded.handle_timeout(100.0 + 2 * quarter)
        assert not upgraded.terminated
    upgraded.arm(109.9)
    upgraded.handle_timeout(109.9)
    upgraded.arm(110.0)
    assert upgraded.next_timeout() <= 111.9
    upgraded.handle_timeout(112.0)
    assert upgraded.terminated
    closed, terminated = upgraded.events()
    assert (type(closed).__name__, closed.code) == ("Closed", 1006)
    assert type(terminated).__name__ == "Terminated"
    assert upgraded.waiting(1) == 0 and upgraded.data_to_send(now=112.0) == []
    assert upgraded.stats()["limits"] == {"write_timeout_s": 1}
    assert told == ["write_timeout_s"]
    assert upgraded.next_timeout() is None


@row("SEC-4-1")
def test_upgraded_connection_that_takes_little_goes_on(upgraded):
    upgraded.send_message(1, bytes(100_000))
    now = 0.0
    for _ in range(30):
        assert len(b"".join(upgraded.data_to_send(100, now))) == 100
        now += 7.0
        due = upgraded.next_timeout()
        assert due <= now
        upgraded.handle_timeout(now)
    assert not upgraded.terminated
    while upgraded.data_to_send(now=now):
        pass
    # Once more it looks, and then no more.
    upgraded.handle_timeout(now + 2)
    assert upgraded.data_to_send(now=now + 2) == []
    assert upgraded.next_timeout() is None
    # A silence between two messages is no stall.
    now += 1000
    upgraded.send_message(1, bytes(1000))
    upgraded.data_to_send(100, now)
    upgraded.handle_timeout(now + 2)
    upgraded.arm(now + 2)
    upgraded.handle_timeout(now + 8)
    assert not upgraded.terminated


@row("SEC-4-1")
def test_upgraded_connection_may_wait_for_ever(twin):
    socket = WebSocket(twin, "h1", SERVER, limits={"write_timeout_s": None})
    conn = socket.conn
    conn.send_message(1, bytes(1000))
    conn.data_to_send(100, 0.0)
    for now in range(10, 10_000, 10):
        conn.handle_timeout(float(now))
        conn.arm(float(now))
    assert not conn.terminated


def test_nothing_is_looked_at_where_nothing_waits(make):
    peer, stream_id = stalled_peer(make)
    peer.sent()
    assert peer.conn.next_timeout() is None
    peer.conn.send_message(stream_id, b"x")
    peer.sent()
    assert peer.conn.next_timeout() == 2.0
    peer.feed(f.window_update(stream_id, 100))
    peer.sent()
    pass_time(peer, 2.0)
    assert peer.conn.next_timeout() is None


# -- keepalive ---------------------------------------------------------------------------------

ALIVE = {"keepalive_interval_s": 10.0, "keepalive_timeout_s": 4.0}


def next_ping(peer):
    """Let time pass to the next PING of keepalive; return it, and when it was sent."""
    before = len(peer.frames)
    for _ in range(200):
        pass_time(peer, 0.1)
        if len(peer.frames) > before:
            (ping,) = peer.frames[before:]
            assert ping.kind == f.PING and not ping.ack
            return ping, peer.now
    raise AssertionError("no PING")


@row("SEC-4-3")
@pytest.mark.parametrize("role", ["server", "client"])
def test_silent_peer_is_pinged_and_given_up(make, role):
    peer = make(role, limits=ALIVE)
    peer.websocket()
    pass_time(peer, 7.4)
    assert peer.frames == []
    _, sent_at = next_ping(peer)
    assert 7.5 <= sent_at <= 10.1
    pass_time(peer, 3.8)
    assert not peer.conn.terminated
    pass_time(peer, 0.2)
    assert goaways(peer) == [f.NO_ERROR]
    assert kinds(peer.events) == ["Closed", "Terminated"]
    assert hits(peer) == {"keepalive_timeout_s": 1}


@row("SEC-4-3")
@pytest.mark.parametrize("spoke_at", [0.0, 1.0, 7.0, 8.5, 9.9, 10.5, 12.0, 18.0, 33.0])
def test_silence_is_counted_from_the_last_octet(make, spoke_at):
    # Whenever the clock looked last, and whatever PING was on its way.
    peer = make("server", limits=ALIVE)
    stream_id = peer.websocket()
    while peer.now < spoke_at:
        pass_time(peer, 0.5)
        peer.feed(f.data(stream_id, ws_frame(PONG, b"", key=KEY)))
    spoke_at = peer.now
    _, sent_at = next_ping(peer)
    assert 7.5 <= sent_at - spoke_at <= 10.1
    pass_time(peer, spoke_at + 14.1 - peer.now)
    assert peer.conn.terminated


@row("SEC-4-3")
@pytest.mark.parametrize("answers", [True, False])
def test_an_octet_after_the_ping_and_then_silence(make, answers):
    peer = make("server", limits=ALIVE)
    stream_id = peer.websocket()
    for _ in range(20):
        # It was on its way when the PING left; the answer never comes, or did before it.
        ping, sent_at = next_ping(peer)
        peer.now += 0.01
        if answers:
            peer.feed(f.ping(ping.payload, ack=True))
        peer.feed(f.data(stream_id, ws_frame(PONG, b"", key=KEY)))
        _, again_at = next_ping(peer)
        assert 7.5 <= again_at - sent_at <= 10.2
        peer.feed(f.data(stream_id, ws_frame(PONG, b"", key=KEY)))
    spoke_at = peer.now
    pass_time(peer, 14.1)
    assert peer.conn.terminated and peer.now - spoke_at < 14.2
    assert hits(peer) == {"keepalive_timeout_s": 1}


@row("SEC-4-3")
def test_late_answers_are_matched_with_their_pings(make):
    peer = make("server", limits={**ALIVE, "glitch_burst": 1, "glitch_rate": 0})
    stream_id = peer.websocket()
    pings = []
    for _ in range(3):
        ping, _ = next_ping(peer)
        pings.append(ping.payload)
        peer.feed(f.data(stream_id, ws_frame(PONG, b"", key=KEY)))
    assert len(set(pings)) == 3
    peer.now += 1.5
    peer.feed(f.ping(pings[0], ack=True))
    assert peer.conn.stats()["latency_s"] is None  # that one was asked long ago
    peer.feed(f.ping(pings[2], ack=True))
    assert peer.conn.stats()["latency_s"] == pytest.approx(1.5, abs=0.2)
    assert hits(peer) == {} and not peer.conn.terminated
    # What answers nothing is odd: a second time, one that was not asked, one of another's.
    for odd in (pings[1], pings[2]):
        peer.feed(f.ping(odd, ack=True))
    assert hits(peer) == {"glitch_burst": 1}


@row("SEC-4-3")
def test_answer_to_a_ping_that_was_not_sent_is_odd(make):
    for odd in (b"keep\0\0\0\0", b"keep\0\0\0\2", b"KEEP\0\0\0\1"):
        peer = make("server", limits={**ALIVE, "glitch_burst": 1, "glitch_rate": 0})
        peer.websocket()
        next_ping(peer)
        peer.feed(f.ping(odd, ack=True), f.ping(odd, ack=True))
        assert hits(peer) == {"glitch_burst": 1}
        assert peer.conn.stats()["latency_s"] is None


@row("SEC-4-3")
def test_ping_without_an_answer_is_forgotten_with_the_last_stream(make):
    peer = make("client", limits=ALIVE)
    peer.conn.reset(peer.websocket(), f.CANCEL)
    stream_id = peer.websocket()
    next_ping(peer)
    peer.conn.reset(stream_id, f.CANCEL)
    pass_time(peer, 100)
    assert not peer.conn.terminated  # nobody waits for anything
    peer.frames.clear()
    peer.conn.request(GET)
    peer.sent()
    next_ping(peer)
    pass_time(peer, 4.1)
    assert peer.conn.terminated


def test_connections_are_not_pinged_all_at_once(make):
    silences = []
    for _ in range(100):
        peer = make("server", limits=ALIVE)
        peer.websocket()
        silences.append(round(next_ping(peer)[1], 1))
    assert 7.5 <= min(silences) < 8.3 and 9.2 < max(silences) <= 10.1
    assert len(set(silences)) > 10


@row("SEC-4-3")
@pytest.mark.parametrize("role", ["server", "client"])
def test_peer_that_answers_lives_and_its_latency_is_known(make, role):
    peer = make(role, limits=ALIVE)
    peer.websocket()
    assert peer.conn.stats()["latency_s"] is None
    pings = 0
    for _ in range(1000):
        pass_time(peer, 0.5)
        for frame in peer.frames:
            assert frame.kind == f.PING
            pings += 1
            pass_time(peer, 0.25)
            assert peer.feed(f.ping(frame.payload, ack=True)) == []  # nobody asked for it
        peer.frames.clear()
    assert 40 < pings < 80
    assert peer.conn.stats()["latency_s"] == pytest.approx(0.5, abs=0.3)
    assert hits(peer) == {} and not peer.conn.terminated


@row("SEC-4-3")
def test_any_octet_is_a_sign_of_life(make):
    peer = make("server", limits={**ALIVE, "frame_timeout_s": None})
    stream_id = peer.websocket()
    message = f.data(stream_id, ws_frame(BINARY, bytes(100), key=KEY))
    for octet in message:
        pass_time(peer, 3.0)
        peer.feed(bytes([octet]))
    pings = [x for x in peer.frames if x.kind == f.PING]
    assert len(pings) <= 1 and not peer.conn.terminated
    assert of(peer.events, "BytesMessage")


def test_connection_without_streams_is_not_pinged(make):
    peer = make("server", limits=ALIVE)
    peer.expect_alive()
    peer.frames.clear()
    pass_time(peer, 1000)
    assert peer.frames == [] and not peer.conn.terminated
    assert peer.conn.next_timeout() is None


def test_keepalive_may_be_off_or_without_an_end(make):
    peer = make("server", limits={"keepalive_interval_s": None})
    peer.websocket()
    pass_time(peer, 10000)
    assert peer.frames == []
    peer = make("server", limits={"keepalive_interval_s": 10.0, "keepalive_timeout_s": None})
    peer.websocket()
    pass_time(peer, 10000)
    assert [x.kind for x in peer.frames] == [f.PING]  # one is on its way: no second
    assert not peer.conn.terminated
    peer.feed(f.settings())
    pass_time(peer, 10000)
    pings = [x for x in peer.frames if x.kind == f.PING]
    assert len(pings) == 2  # it had come to life
    peer.feed(f.ping(pings[1].payload, ack=True))
    pass_time(peer, 10000)
    assert len([x for x in peer.frames if x.kind == f.PING]) == 3


# -- tunnels are exempt ------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["websocket", "anything"])
def test_no_clock_of_http_runs_in_an_open_tunnel(make, token):
    peer = make(
        "server",
        limits={
            "first_request_timeout_s": 2.0,
            "idle_timeout_s": 2.0,
            "body_timeout_s": 2.0,
            "handshake_timeout_s": 2.0,
            "header_block_timeout_s": 2.0,
            "frame_timeout_s": 2.0,
            "write_timeout_s": 2.0,
        },
    )
    fields = [field if field[0] != ":protocol" else (":protocol", token) for field in CONNECT]
    stream_id = peer.open(fields)
    if token == "websocket":
        peer.conn.accept_websocket(stream_id)
    else:
        peer.conn.respond(stream_id, OK)
    peer.sent()
    # Half a DATA frame, and in it half a message: nothing of it need be whole.
    peer.feed(peer.message(stream_id, bytes(1000))[:500])
    peer.frames.clear()
    pass_time(peer, 10_000)
    assert peer.frames == [] and not peer.conn.terminated
    assert hits(peer) == {}


def test_timeouts_are_seconds_above_zero_or_none(twin):
    names = [name for name in dir(twin.Limits()) if name.endswith("_s")]
    assert len(names) == 14
    for name in names:
        assert getattr(twin.Limits(**{name: None}), name) == float("inf")
        assert getattr(twin.Limits(**{name: 2}), name) == 2.0
        for wrong in (0, -1, "5", True):
            with pytest.raises(ValueError, match=name):
                twin.Limits(**{name: wrong})
