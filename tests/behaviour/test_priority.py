"""RFC 9218: the setting, the field, the frame, and the order in which DATA leaves."""

import time

import pytest

from tests.support import frames as f
from tests.support.peer import CONNECT, GET, OK, POST, of

QUANTUM = 16384
WIDE = [(f.INITIAL_WINDOW_SIZE, 1 << 30), (f.ENABLE_CONNECT_PROTOCOL, 1)]
DEFAULT = (3, False)

row = pytest.mark.row


@row("9218-2.1-1")
@pytest.mark.parametrize("value", [2, 0xFFFFFFFF])
def test_no_rfc7540_priorities_of_another_value(either, value):
    peer = either()
    peer.feed(f.settings((f.NO_RFC7540_PRIORITIES, value)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9218-2.1-2")
@pytest.mark.parametrize(
    ("first", "later"),
    [([], 1), ([(f.NO_RFC7540_PRIORITIES, 0)], 1), ([(f.NO_RFC7540_PRIORITIES, 1)], 0)],
    ids=["absent-1", "0-1", "1-0"],
)
def test_no_rfc7540_priorities_may_not_change(either, first, later):
    peer = either(peer_settings=first)
    peer.feed(f.settings((f.NO_RFC7540_PRIORITIES, later)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9218-2.1-2")
@pytest.mark.parametrize("value", [0, 1])
def test_no_rfc7540_priorities_may_be_repeated(either, value):
    peer = either(peer_settings=[(f.NO_RFC7540_PRIORITIES, value)])
    peer.feed(f.settings((f.NO_RFC7540_PRIORITIES, value)), f.settings())
    peer.sent()
    peer.expect_alive()


@row("9218-2.1-3", "9218-2.1-2")
def test_we_send_it_once_and_heed_no_old_signals(make):
    for role in ("server", "client"):
        peer = make(role, handshake=False)
        assert dict(peer.sent()[0].settings)[f.NO_RFC7540_PRIORITIES] == 1
    peer = make("server", peer_settings=[(f.NO_RFC7540_PRIORITIES, 1)])
    stream_id = peer.post()
    peer.forget()
    peer.expect_nothing(f.priority(stream_id, 0, 255, True), f.priority(99, stream_id))


# -- where RFC 7540's priorities are not refused: its section 5.3.1 ------------------------------

HEED = {"no_rfc7540_priorities": False}
ON_ONE = b"\0\0\0\x01\x10"  # the priority fields of HEADERS: depends on stream 1


def test_without_the_setting_it_is_not_sent_and_cannot_be_later(make):
    for role in ("server", "client"):
        peer = make(role, handshake=False, settings=HEED)
        assert f.NO_RFC7540_PRIORITIES not in dict(peer.sent()[0].settings)
        with pytest.raises(peer.errors.LocalProtocolError):
            peer.conn.update_settings({f.NO_RFC7540_PRIORITIES: 1})
        assert peer.sent() == []


def expect_reset_here(peer, stream_id):
    """A stream error that was told to the application."""
    assert [(e.error_code, e.remote) for e in of(peer.events, "Reset")] == [
        (f.PROTOCOL_ERROR, False)
    ]
    peer.expect_stream_error(stream_id, f.PROTOCOL_ERROR)


@row("9113-6.2-3")
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "continued"])
def test_headers_that_depend_on_themselves_are_a_stream_error(server, whole):
    peer = server(settings=HEED)
    block = peer.block([*POST, ("x-kept", "in the table")])
    if whole:
        peer.feed(f.headers(1, block, priority=ON_ONE))
    else:
        head = f.headers(1, block[:5], end_headers=False, pad=3, priority=ON_ONE)
        peer.feed(head, f.continuation(1, block[5:]))
    peer.next_id = 3
    assert of(peer.events, "Requested") == []
    peer.expect_stream_error(1, f.PROTOCOL_ERROR)


@row("9113-6.2-3")
def test_trailers_that_depend_on_themselves_are_a_stream_error(server):
    peer = server(settings=HEED)
    stream_id = peer.post()
    peer.feed(peer.headers(stream_id, [("x-a", "b")], True, priority=ON_ONE))
    expect_reset_here(peer, stream_id)


@row("9113-6.2-3")
def test_a_response_that_depends_on_itself_is_a_stream_error(client):
    peer = client(settings=HEED)
    stream_id = peer.conn.request(GET)
    peer.sent()
    peer.feed(peer.headers(stream_id, OK, priority=ON_ONE))
    assert of(peer.events, "Responded") == []
    peer.expect_stream_error(stream_id, f.PROTOCOL_ERROR)


@row("9113-6.2-3")
def test_priority_on_itself_is_a_stream_error(server):
    peer = server(settings=HEED)
    stream_id = peer.post()
    peer.feed(f.priority(stream_id, stream_id, exclusive=True))
    expect_reset_here(peer, stream_id)


@row("9113-6.2-3")
def test_priority_of_an_idle_stream_on_itself_is_a_connection_error(server):
    peer = server(settings=HEED)
    peer.feed(f.priority(5, 5))  # an idle stream is never reset
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.2-3")
def test_priority_of_a_closed_stream_on_itself_is_nothing(server):
    peer = server(settings=HEED)
    stream_id = peer.expect_alive()
    peer.forget()
    peer.expect_nothing(f.priority(stream_id, stream_id))


@row("9113-6.2-2")
def test_other_dependencies_are_nothing(server):
    peer = server(settings=HEED)
    peer.feed(peer.headers(1, POST, priority=b"\0\0\0\x03\x10"))
    peer.forget()
    peer.expect_nothing(f.priority(1, 3), f.priority(99, 1), f.priority(3))


@row("9218-7.1-1")
@pytest.mark.parametrize("stream_id", [1, 3])
def test_priority_update_on_a_stream(server, stream_id):
    peer = server()
    peer.post()
    payload = (1).to_bytes(4, "big") + b"u=1"
    peer.feed(f.frame(f.PRIORITY_UPDATE, 0, stream_id, payload))
    peer.expect_connection_error(f.PROTOCOL_ERROR, last_stream_id=1)


@row("9218-7.1-1")
def test_priority_update_of_stream_0(server):
    peer = server()
    peer.feed(f.priority_update(0))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9218-7.1-1")
@pytest.mark.parametrize("length", [0, 3])
def test_priority_update_too_short(server, length):
    peer = server()
    peer.feed(f.frame(f.PRIORITY_UPDATE, 0, 0, bytes(length)))
    peer.expect_connection_error(f.FRAME_SIZE_ERROR)


@row("9218-7.1-2")
def test_priority_update_from_a_server(client):
    peer = client()
    stream_id = peer.conn.request(GET)
    peer.sent()
    peer.feed(f.priority_update(stream_id))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


def test_priority_update_opens_nothing(server):
    peer = server()
    stream_id = peer.post()
    peer.forget()
    peer.expect_nothing(
        f.priority_update(stream_id, b"u=0, i"), f.priority_update(99, b"not a list((")
    )


# -- the field and the frame -------------------------------------------------------------------


@row("9218-4-1")
@pytest.mark.parametrize(
    ("value", "priority"),
    [
        (b"u=0", (0, False)),
        (b"u=7, i", (7, True)),
        (b"i", (3, True)),
        (b"i=?0", DEFAULT),
        (b"i=?1,u=2", (2, True)),
        (b"", DEFAULT),
        (b"u=1\t,\ti", (1, True)),
        (b"u=5;a=b;c, i;x=?0", (5, True)),
        (b'x=(a "b\\"" 1.5;q :aGk=:), u=2, y=@17', (2, False)),
        # unknown, of another type, or out of range: as if absent
        (b"urgency=1, u=2", (2, False)),
        (b"u=8, i", (3, True)),
        (b"u=-1", DEFAULT),
        (b"u=1.0", DEFAULT),
        (b"u=?1", DEFAULT),
        (b'u="1"', DEFAULT),
        (b"u", DEFAULT),
        (b"u=1, i=1", (1, False)),
        (b"u=1, i=yes", (1, False)),
        # the last of several counts
        (b"u=1, u=6", (6, False)),
        (b"u=1, u=9", DEFAULT),
        # no Dictionary at all
        (b"u=1,", DEFAULT),
        (b"U=1", DEFAULT),
        (b"u = 1", DEFAULT),
        (b"u=1;;", DEFAULT),
        (b"u=(1", DEFAULT),
        (b'u=1, x="', DEFAULT),
        (b"u=1, x=\xff", DEFAULT),
        (b"u=1, x=:", DEFAULT),
        (b"u=1, x=1234567890123456", DEFAULT),
        (b"u=1 i", DEFAULT),
        (b"x=@1.5, u=1", DEFAULT),
        (b'x="\\a", u=1', DEFAULT),
        (b"x=1234567890123.5, u=1", DEFAULT),
        (b"x=1., u=1", DEFAULT),
        (b"x=1.2345, u=1", DEFAULT),
        (b"x=1.2.3, u=1", DEFAULT),
        (b'x=(1"a"), u=1', DEFAULT),
        (b"u=1, x=", DEFAULT),
        (b"u=1, " + b"x, " * 300 + b"i", DEFAULT),
    ],
)
def test_the_priority_field(make, value, priority):
    peer = make("server")
    stream_id = peer.open([*GET, ("priority", value)], end_stream=True)
    assert peer.conn.priority(stream_id) == priority
    assert (b"priority", value) in peer.events[-1].headers


@row("9218-4-1")
def test_field_lines_are_one_dictionary(server):
    peer = server()
    fields = [*GET, ("priority", "u=1"), ("priority", "i")]
    assert peer.conn.priority(peer.open(fields, end_stream=True)) == (1, True)
    assert peer.conn.priority(peer.get()) == DEFAULT


@row("9218-10-1")
def test_tunnels_take_turns_by_default(server):
    peer = server()
    assert peer.conn.priority(peer.open(CONNECT)) == (3, True)
    assert peer.conn.priority(peer.open([*CONNECT, ("priority", "u=5, i=?0")])) == (5, True)


@row("9218-7-1")
def test_priority_update_changes_an_open_stream(server):
    peer = server()
    stream_id = peer.open([*GET, ("priority", "u=1, i")], end_stream=True)
    peer.feed(f.priority_update(stream_id, b"u=6"))
    assert peer.conn.priority(stream_id) == (6, False)
    # "Omitting a priority parameter is a signal to use its default value."
    peer.feed(f.priority_update(stream_id, b"i"))
    assert peer.conn.priority(stream_id) == (3, True)


@row("9218-7-1")
def test_the_latest_update_of_an_idle_stream_is_kept_for_it(server):
    peer = server()
    peer.feed(f.priority_update(3, b"u=1"), f.priority_update(1, b"u=0"))
    peer.feed(f.priority_update(3, b"u=7, i"))
    first = peer.open([*GET, ("priority", "u=5")], 1, end_stream=True)
    assert peer.conn.priority(first) == (0, False)  # it overrides the field
    assert peer.conn.priority(peer.get(3)) == (7, True)
    assert peer.conn.priority(peer.get(5)) == DEFAULT


@row("9218-7-1")
def test_updates_of_closed_streams_are_discarded(server):
    peer = server(settings={"max_concurrent_streams": 4})
    peer.feed(f.priority_update(1, b"u=1"), f.priority_update(3, b"u=1"))
    stream_id = peer.get(5)  # closes 1 and 3, which were never opened
    peer.conn.respond(stream_id, OK, end_stream=True)
    peer.forget()
    peer.expect_nothing(*[f.priority_update(closed, b"u=0") for closed in (1, 3, 5)])
    # And they no longer count.
    peer.expect_nothing(*[f.priority_update(101 + 2 * idle) for idle in range(3)])


@row("9218-7-1")
@pytest.mark.parametrize("passed", [False, True], ids=["none", "one"])
def test_a_stream_that_opens_looks_at_no_others_that_are_awaited(make, passed):
    """50 000 of them made a request that passes over a number cost milliseconds."""
    peer = make(
        "server",
        settings={"max_concurrent_streams": 2**31 - 1},
        limits={"max_priority_frames": None},
    )
    last = 2**31 - 1

    def fastest():
        times = []
        for _ in range(50):
            stream_id = peer.next_id + 2
            if passed:
                peer.feed(f.priority_update(peer.next_id, b"u=1"))
            octets = peer.headers(stream_id, GET, end_stream=True)
            start = time.perf_counter()
            peer.conn.receive_data(octets, peer.now)
            times.append(time.perf_counter() - start)
            peer.conn.respond(stream_id, OK, end_stream=True)
            peer.pull()
        return min(times)

    alone = fastest()
    for at in range(0, 50_000, 1000):
        octets = [f.priority_update(last - 2 * i, b"u=0") for i in range(at, at + 1000)]
        peer.conn.receive_data(b"".join(octets), peer.now)
    assert fastest() < 5 * alone
    assert peer.conn.priority(peer.get(last)) == (0, False)


@row("9218-7.1-3")
def test_idle_streams_with_a_priority_count_like_open_ones(server):
    peer = server(settings={"max_concurrent_streams": 3})
    peer.post()
    peer.feed(f.priority_update(3), f.priority_update(5), f.priority_update(3, b"u=1"))
    assert not peer.conn.terminated
    peer.feed(f.priority_update(7))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9218-7.1-3")
def test_priority_update_of_an_idle_push_stream(server):
    peer = server()
    peer.feed(f.priority_update(2))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9218-7-2")
def test_an_update_that_does_not_parse_counts_as_an_oddity(server):
    peer = server()
    stream_id = peer.open([*GET, ("priority", "u=1")], end_stream=True)
    before = peer.conn.stats()["glitches"]
    peer.feed(f.priority_update(stream_id, b"u=(("), f.priority_update(99, b"=\x00"))
    assert peer.conn.stats()["glitches"] == before + 2
    assert peer.conn.priority(stream_id) == (1, False)


@row("9218-2.1.1-1")
@pytest.mark.parametrize("setting", [None, 0, 1])
def test_a_client_asks_only_a_server_that_listens(client, setting):
    pairs = [] if setting is None else [(f.NO_RFC7540_PRIORITIES, setting)]
    peer = client(handshake=False)
    stream_id = peer.conn.request(GET)
    peer.sent()
    peer.conn.prioritize(stream_id, 2, True)  # nobody knows yet what the server thinks of it
    updates = [frame for frame in peer.sent() if frame.kind == f.PRIORITY_UPDATE]
    assert [frame.payload for frame in updates] == [stream_id.to_bytes(4, "big") + b"u=2, i"]
    assert updates[0].stream_id == 0 and updates[0].flags == 0
    peer.handshake(*pairs)
    peer.conn.prioritize(stream_id, urgency=0)
    sent = [frame.payload[4:] for frame in peer.sent() if frame.kind == f.PRIORITY_UPDATE]
    assert sent == ([b"u=0"] if setting == 1 else [])
    assert peer.conn.priority(stream_id) == (0, False)


def test_a_client_does_not_ask_about_what_has_come(client):
    peer = client(peer_settings=[(f.NO_RFC7540_PRIORITIES, 1)])
    stream_id = peer.conn.request([(":method", "POST"), *GET[1:]], end_stream=False)
    peer.feed(peer.headers(stream_id, OK, end_stream=True))
    peer.forget()
    peer.conn.prioritize(stream_id, 7)
    assert peer.sent() == []
    assert peer.conn.priority(stream_id) == (7, False)


def test_what_the_application_chose_stays(server):
    peer = server()
    stream_id = peer.open([*GET, ("priority", "u=1, i")], end_stream=True)
    peer.conn.respond(stream_id, [*OK, ("priority", "u=4")])
    assert peer.conn.priority(stream_id) == (4, True)  # RFC 9218 section 8: merged
    peer.feed(f.priority_update(stream_id, b"u=0"))
    assert peer.conn.priority(stream_id) == (4, False)
    peer.conn.prioritize(stream_id, 6, True)
    peer.feed(f.priority_update(stream_id, b"u=0, i=?0"))
    assert peer.conn.priority(stream_id) == (6, True)
    assert not [frame for frame in peer.sent() if frame.kind == f.PRIORITY_UPDATE]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((8,), ValueError),
        ((-1,), ValueError),
        (("1",), TypeError),
        ((1.5,), TypeError),
        ((True,), TypeError),
    ],
)
def test_a_wrong_priority(make, arguments, error):
    peer = make("server")
    stream_id = peer.get()
    with pytest.raises(error, match="urgency must be"):
        peer.conn.prioritize(stream_id, *arguments)
    assert peer.conn.priority(stream_id) == DEFAULT
    with pytest.raises(peer.errors.LocalProtocolError):
        peer.conn.prioritize(99, 1)


# -- the order in which DATA leaves --------------------------------------------------------------


def connection(make, **options):
    """A server whose peer has opened every window."""
    peer = make("server", peer_settings=WIDE, **options)
    peer.feed(f.window_update(0, 1 << 30))
    return peer


def download(peer, size, priority=None):
    """A response with so many octets queued."""
    fields = GET if priority is None else [*GET, ("priority", priority)]
    stream_id = peer.open(fields, end_stream=True)
    peer.conn.respond(stream_id, OK)
    peer.conn.send_data(stream_id, bytes(size), end_stream=True)
    return stream_id


def order(frames):
    """The streams whose DATA came, one entry for each run of frames."""
    runs = []
    for frame in frames:
        if frame.kind == f.DATA and runs[-1:] != [frame.stream_id]:
            runs.append(frame.stream_id)
    return runs


def amounts(frames):
    """Octets of DATA by stream."""
    found = {}
    for frame in frames:
        if frame.kind == f.DATA:
            found[frame.stream_id] = found.get(frame.stream_id, 0) + len(frame.payload)
    return found


@row("9218-10-1")
def test_lower_urgency_first(make):
    peer = connection(make)
    late, middle, first = (download(peer, 40000, f"u={u}") for u in (7, 3, 0))
    assert order(peer.sent()) == [first, middle, late]


@row("9218-10-1")
def test_what_is_not_incremental_is_served_one_after_the_other(make):
    peer = connection(make)
    streams = [download(peer, 40000) for _ in range(4)]
    assert order(peer.sent()) == streams


@row("9218-10-1")
def test_what_is_incremental_takes_turns(make):
    peer = connection(make)
    streams = [download(peer, 10 * QUANTUM, "i") for _ in range(3)]
    frames = [frame for frame in peer.sent() if frame.kind == f.DATA]
    assert [frame.stream_id for frame in frames][:24] == streams * 8
    assert max(len(frame.payload) for frame in frames) == QUANTUM


@row("9218-10-1")
def test_a_body_that_pauses_comes_back_before_later_ones(make):
    peer = connection(make)
    first = peer.get()
    peer.conn.respond(first, OK)
    later = [download(peer, 80000), download(peer, 80000)]
    assert order(peer.sent(QUANTUM)) == [later[0]]
    peer.conn.send_data(first, bytes(40000))
    assert order(peer.sent()) == [first, *later]


@row("9218-10-1")
def test_a_new_priority_moves_what_waits(make):
    peer = connection(make)
    a, b, c = (download(peer, 4 * QUANTUM) for _ in range(3))
    peer.feed(f.priority_update(c, b"u=1"))
    peer.conn.prioritize(a, 5)
    assert order(peer.sent()) == [c, b, a]


@row("9218-10-1")
def test_no_body_starves(make):
    peer = connection(make)
    endless = [download(peer, 1 << 23) for _ in range(2)]
    late = [download(peer, 1 << 23, "u=6"), download(peer, 1 << 23, "u=7, i")]
    got = amounts(peer.sent(4 << 20))
    assert got[endless[0]] > 3.5 * 2**20
    assert all(got[stream_id] >= 4 * QUANTUM for stream_id in (endless[1], *late)), got


@row("9218-10-1")
@pytest.mark.parametrize("priority", ["u=0", "u=0, i", "u=3", "u=7"])
def test_a_message_waits_for_no_download(make, priority):
    peer = connection(make)
    websocket = peer.websocket()
    downloads = [download(peer, 1 << 22, priority) for _ in range(10)]
    for _ in range(50):
        peer.sent(65536)
        peer.conn.send_message(websocket, b"x" * 125)
        # The rest of a frame that was cut by the last pull, then the message.
        runs = order(peer.sent(3 * QUANTUM))
        assert runs.index(websocket) <= 1, runs
    assert amounts(peer.frames)[downloads[0]] > 256 * 1024


@row("9218-10-1")
@pytest.mark.parametrize("tunnels", [1, 10])
def test_a_message_waits_for_no_other_tunnel(make, tunnels):
    peer = connection(make)
    websocket = peer.websocket()
    bulk = [peer.websocket() for _ in range(tunnels)]
    peer.conn.prioritize(bulk[0], 0)
    for stream_id in bulk:
        for _ in range(16):
            peer.conn.send_message(stream_id, bytes(1 << 18))
    for _ in range(40):
        peer.sent(65536)
        peer.conn.send_message(websocket, b"x" * 125)
        # One quantum may have begun; the round of the others may be under way once.
        runs = order(peer.sent((tunnels + 8) * (QUANTUM + 9) + 300))
        assert websocket in runs


def busy(peer, tunnels):
    """So many WebSockets with much to send, beside one."""
    websocket, *others = (peer.websocket() for _ in range(1 + tunnels))
    much = bytes(1 << 20)
    for stream_id in others:
        peer.conn.send_message(stream_id, much)
    peer.sent((tunnels + 4) * QUANTUM)  # each has been at the front
    peer.frames.clear()
    return websocket


@row("9218-10-1")
def test_messages_wait_for_no_round_of_busy_tunnels(make):
    """One every few turns of a round of forty: each leaves behind the turn under way."""
    peer = connection(make)
    websocket = busy(peer, 40)
    for _ in range(40):
        peer.conn.send_message(websocket, b"x" * 125)
        assert websocket in order(peer.sent(3 * QUANTUM))


@row("9218-10-1")
@pytest.mark.parametrize("size", [2000, QUANTUM // 2, QUANTUM - 10])
def test_who_always_has_something_new_takes_a_fifth(make, size):
    peer = connection(make)
    websocket = busy(peer, 10)
    for _ in range(100):
        while peer.conn.waiting(websocket) == 0:
            peer.conn.send_message(websocket, bytes(size))
            peer.sent(size + 13)
        peer.sent(QUANTUM + 9)
    got = amounts(peer.frames)
    mine = got.pop(websocket)
    # And the turn of each round that is its own.
    assert 0 < mine < (0.25 + 0.1) * sum(got.values()) + 2 * QUANTUM, (mine, sum(got.values()))
    assert min(got.values()) > 0.8 * max(got.values())


@row("9218-10-1")
def test_every_tunnel_has_a_quantum_a_round(make):
    peer = connection(make)
    tunnels = [peer.websocket() for _ in range(5)]
    peer.frames.clear()
    for urgency, stream_id in zip((0, 1, 3, 5, 7), tunnels, strict=True):
        peer.conn.prioritize(stream_id, urgency)
        for _ in range(16):
            peer.conn.send_message(stream_id, bytes(1 << 18))
    body = download(peer, 1 << 22, "u=0")
    got = amounts(peer.sent(4 << 20))
    # 8 + 4 + 1 + 1 + 1 turns, and eight for the most urgent bodies.
    share = (4 << 20) / 23
    for turns, stream_id in zip((8, 4, 1, 1, 1, 8), (*tunnels, body), strict=True):
        assert turns * share * 0.85 < got[stream_id] < turns * share * 1.15, got


@row("9218-10-1")
def test_chatty_websockets_do_not_starve_a_download(make):
    peer = connection(make)
    chatty = [peer.websocket() for _ in range(20)]
    body = download(peer, 1 << 22)
    peer.frames.clear()
    for _ in range(60):
        for stream_id in chatty:
            peer.conn.send_message(stream_id, bytes(QUANTUM - 8))
        peer.sent(QUANTUM + 9)
    got = amounts(peer.frames)
    assert got[body] >= 2 * QUANTUM, got
    assert all(got.get(stream_id, 0) > 0 for stream_id in chatty)


@row("9218-10-1")
def test_turns_of_those_who_left_the_round_go_to_nobody(make):
    peer = connection(make)
    chatty = [peer.websocket() for _ in range(20)]
    bulk = peer.websocket()
    body = download(peer, 1 << 23)
    peer.frames.clear()
    for _ in range(32):
        peer.conn.send_message(bulk, bytes(1 << 18))
    for _ in range(40):
        for stream_id in chatty:
            peer.conn.send_message(stream_id, b"x")
        peer.sent(8 * (QUANTUM + 9))
    got = amounts(peer.frames)
    assert got[body] > got[bulk] * 0.6, (got[body], got[bulk])


@row("9218-10-1")
def test_window_updates_give_no_more_than_a_turn(make):
    # Tunnels that are always held back by their own windows, and freed by each WINDOW_UPDATE.
    peer = make("server", peer_settings=[(f.INITIAL_WINDOW_SIZE, QUANTUM), *WIDE[1:]])
    peer.feed(f.window_update(0, 1 << 30))
    tunnels = [peer.websocket() for _ in range(8)]
    for stream_id in tunnels:
        for _ in range(8):
            peer.conn.send_message(stream_id, bytes(1 << 18))
    body = peer.get()
    peer.feed(f.window_update(body, 1 << 20))
    peer.conn.respond(body, OK)
    peer.sent()
    peer.frames.clear()
    peer.conn.send_data(body, bytes(1 << 20))
    for _ in range(100):
        for frame in peer.sent(2 * (QUANTUM + 9)):
            if frame.kind == f.DATA and frame.stream_id != body:
                peer.feed(f.window_update(frame.stream_id, len(frame.payload)))
    assert amounts(peer.frames)[body] > 10 * QUANTUM


def test_streams_that_end_while_they_wait_leave_nothing(make):
    peer = connection(make)
    sockets = [peer.websocket() for _ in range(200)]
    streams = [download(peer, 100000, f"u={n % 8}, i") for n in range(40)]
    peer.sent(70000)
    for stream_id in sockets:
        peer.conn.send_message(stream_id, bytes(40000))
    peer.sent(900000)
    for stream_id in streams[::2] + sockets[::2]:
        if stream_id in sockets or peer.conn.waiting(stream_id):
            peer.feed(f.rst_stream(stream_id))
    left = amounts(peer.sent())
    assert set(left) <= set(streams[1::2] + sockets[1::2])
    assert peer.conn.stats()["octets_queued"] == 0
    assert all(peer.conn.waiting(stream_id) == 0 for stream_id in sockets[1::2])
    # Whoever has something to say again is heard.
    for stream_id in sockets[1::2]:
        peer.conn.send_message(stream_id, b"x")
    assert len(amounts(peer.sent())) == 100


def test_a_client_sends_its_own_bodies_by_priority(make):
    peer = make("client", peer_settings=WIDE)
    peer.feed(f.window_update(0, 1 << 30))
    post = [(":method", "POST"), *GET[1:]]
    low = peer.conn.request([*post, ("priority", "u=6")], end_stream=False)
    high = peer.conn.request([*post, ("priority", "u=1")], end_stream=False)
    for stream_id in (low, high):
        peer.conn.send_data(stream_id, bytes(40000), end_stream=True)
    assert order(peer.sent()) == [high, low]


def test_a_turn_is_no_longer_where_frames_may_be(make):
    peer = make("server", peer_settings=[(f.MAX_FRAME_SIZE, 2**20), (f.INITIAL_WINDOW_SIZE, 2**24)])
    peer.feed(f.window_update(0, 2**24))
    streams = [download(peer, 20 * QUANTUM, "i") for _ in range(2)]
    frames = [frame for frame in peer.sent() if frame.kind == f.DATA]
    assert max(len(frame.payload) for frame in frames) == QUANTUM
    assert [frame.stream_id for frame in frames[:8]] == streams * 4
