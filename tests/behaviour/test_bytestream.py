"""Streams of octets under any token: draft-kinnear-httpbis-http2-transport-02, sections 3 and 4.

Whoever opens one: a client as RFC 8441 has it, or a server whose client takes streams.
"""

import random
from functools import partial

import pytest

from tests.support import frames as f
from tests.support.peer import BYTESTREAM, OK, Peer, kinds, of

ON = {"enable_bidirectional_connect": True}
BOTH = ((f.ENABLE_CONNECT_PROTOCOL, 1), (0xFB00, 1))


@pytest.fixture(params=["server-taken", "client-taken", "server-opened", "client-opened"])
def make(request, twin, delivery):
    """Make a peer before an engine of either role that takes or opens a stream."""
    role, way = request.param.split("-")
    peer = partial(
        Peer,
        twin,
        role,
        delivery,
        settings=ON,
        peer_settings=BOTH,
    )

    def make(fields=(), end_stream=False, **options):
        made = peer(**options)
        made.taken = way == "taken"
        if made.taken:
            made.stream_id = 1 if role == "server" else 2
            made.feed(made.headers(made.stream_id, [*BYTESTREAM, *fields], end_stream))
        else:
            made.stream_id = made.conn.request([*BYTESTREAM, *fields], end_stream)
            (made.head,) = [x for x in made.sent() if x.kind == f.HEADERS]
        return made

    return make


def opened(make, *, end_stream=False, **options):
    """One that is open: frames and events so far are forgotten."""
    peer = make(end_stream=end_stream, **options)
    if peer.taken:
        peer.conn.respond(peer.stream_id, OK)
    else:
        peer.feed(peer.headers(peer.stream_id, OK))
    peer.forget()
    return peer


def octets_of(peer):
    return b"".join(event.data for event in of(peer.events, "Data"))


@pytest.mark.row("KIN-3.1-1", "KIN-3.2-2")
def test_a_token_is_nothing_until_the_application_agrees(make):
    peer = make()
    if peer.taken:
        (requested,) = of(peer.events, "Requested")
        assert requested.protocol == "bytestream"
        peer.send(peer.stream_id, b"before the answer")
        assert octets_of(peer) == b""
        peer.conn.respond(peer.stream_id, OK)
        (head,) = [x for x in peer.sent() if x.kind == f.HEADERS]
        assert head.get(":status") == "200" and not head.end_stream
        peer.more()
        assert octets_of(peer) == b"before the answer"
    else:
        with pytest.raises(peer.errors.LocalProtocolError):
            peer.conn.send_data(peer.stream_id, b"before the answer")
        assert kinds(peer.feed(peer.headers(peer.stream_id, OK))) == ["Opened"]
        peer.conn.send_data(peer.stream_id, b"behind it")
        (data,) = [x for x in peer.sent() if x.kind == f.DATA]
        assert data.content == b"behind it"


@pytest.mark.row("KIN-3.1-2")
@pytest.mark.parametrize(
    "secure, scheme, taken",
    [(True, "https", True), (True, "http", False), (False, "http", True), (None, "http", True)],
)
def test_the_scheme_is_https_where_the_connection_is_known_to_be_secure(
    make, secure, scheme, taken
):
    peer = make(secure=secure)
    if not peer.taken:
        assert peer.head.get(":scheme") == "https"
        return
    peer.forget()
    fields = [(name, scheme if name == ":scheme" else value) for name, value in BYTESTREAM]
    stream_id = peer.stream_id + 2
    peer.feed(peer.headers(stream_id, fields))
    answers = [x for x in peer.sent() if x.kind == f.HEADERS and x.stream_id == stream_id]
    if taken:
        assert answers == [] and kinds(peer.events) == ["Requested"]
    else:
        assert [head.get(":status") for head in answers] == ["400"]
        assert answers[0].end_stream and peer.events == []


@pytest.mark.row("KIN-3.1-3")
def test_what_websockets_say_means_nothing_to_it(make):
    said = [
        ("origin", "https://elsewhere.example"),
        ("sec-websocket-version", "99"),
        ("sec-websocket-protocol", "a, a, ,"),
        ("sec-websocket-extensions", "permessage-deflate"),
    ]
    if not make().taken:
        peer = make()
        assert not [name for name, _ in peer.head.fields if name.startswith((b"sec-", b"origin"))]
        return
    peer = make(said)
    (requested,) = of(peer.events, "Requested")
    assert [(name.decode(), value.decode()) for name, value in requested.headers] == said
    peer.conn.respond(peer.stream_id, OK)
    (head,) = [x for x in peer.sent() if x.kind == f.HEADERS]
    assert [name for name, _ in head.fields] == [b":status"]


@pytest.mark.row("KIN-4-1")
@pytest.mark.parametrize("size", [1, 1000, 16384])
def test_the_cuts_of_data_mean_nothing(make, size):
    peer = opened(make, auto_credit=True)
    octets = random.Random(size).randbytes(min(size * 20, 50_000))
    for at in range(0, len(octets), size):
        if at % 2:
            peer.feed(f.data(peer.stream_id))  # an empty frame is nothing at all
        peer.send(peer.stream_id, octets[at : at + size])
        peer.sent()
    assert octets_of(peer) == octets
    assert kinds(peer.events) == ["Data"] * len(peer.events)


@pytest.mark.row("KIN-4-1")
def test_a_mebibyte_leaves_whole_whatever_it_is_written_in(make):
    peer = opened(make)
    octets = random.Random(3).randbytes(2**20)
    peer.feed(f.window_update(0, 2**20), f.window_update(peer.stream_id, 2**20))
    peer.conn.send_data(peer.stream_id, octets[:1])
    peer.conn.send_data(peer.stream_id, bytearray(octets[1:100]))
    peer.conn.send_data(peer.stream_id, memoryview(octets)[100:], True)
    frames = [x for x in peer.sent() if x.kind == f.DATA]
    assert b"".join(frame.content for frame in frames) == octets
    assert [frame.end_stream for frame in frames] == [False] * (len(frames) - 1) + [True]


@pytest.mark.row("KIN-4-2")
def test_each_direction_ends_apart(make):
    peer = opened(make)
    peer.conn.send_data(peer.stream_id, b"all of mine", True)
    assert [x.end_stream for x in peer.sent() if x.kind == f.DATA] == [True]
    with pytest.raises(peer.errors.LocalProtocolError):
        peer.conn.send_data(peer.stream_id, b"more")
    peer.send(peer.stream_id, b"still yours")
    peer.send(peer.stream_id, b"", end_stream=True)
    assert octets_of(peer) == b"still yours" and kinds(peer.events)[-1] == "Ended"
    assert peer.conn.open_streams == 0
    peer.expect_alive()


@pytest.mark.row("KIN-4-2")
def test_one_direction_alone(make):
    """Ended by the head of the request: who opened it only receives from then on."""
    peer = opened(make, end_stream=True)
    if peer.taken:
        assert kinds(peer.events) == [] or kinds(peer.events) == ["Ended"]
        peer.conn.send_data(peer.stream_id, b"one way", True)
        (data,) = [x for x in peer.sent() if x.kind == f.DATA]
        assert data.content == b"one way" and data.end_stream
    else:
        with pytest.raises(peer.errors.LocalProtocolError):
            peer.conn.send_data(peer.stream_id, b"the wrong way")
        peer.send(peer.stream_id, b"one way", end_stream=True)
        assert octets_of(peer) == b"one way"
    assert peer.conn.open_streams == 0
    peer.expect_alive()


@pytest.mark.row("KIN-4-2")
def test_cancel_ends_both_directions(make):
    peer = opened(make)
    peer.conn.send_data(peer.stream_id, bytes(200_000))
    peer.feed(f.rst_stream(peer.stream_id, f.CANCEL))
    (reset,) = of(peer.events, "Reset")
    assert (reset.error_code, reset.remote) == (f.CANCEL, True)
    assert peer.conn.octets_held == 0
    peer.sent()
    peer = opened(make)
    peer.conn.reset(peer.stream_id)
    (reset,) = [x for x in peer.sent() if x.kind == f.RST_STREAM]
    assert (reset.stream_id, reset.error_code) == (peer.stream_id, f.CANCEL)
    peer.expect_alive()


@pytest.mark.row("KIN-4-2")
@pytest.mark.parametrize("code", [f.NO_ERROR, f.CANCEL])
def test_a_reset_behind_the_peers_end_is_told(make, code):
    """NO_ERROR behind a complete response stops an upload: here are octets of equal rank, lost."""
    peer = opened(make)
    peer.send(peer.stream_id, b"all of it", end_stream=True)
    peer.conn.send_data(peer.stream_id, bytes(200_000))
    peer.forget()
    peer.feed(f.rst_stream(peer.stream_id, code))
    (reset,) = peer.events
    assert kinds([reset]) == ["Reset"] and (reset.error_code, reset.remote) == (code, True)
    assert peer.conn.octets_held == peer.conn.open_streams == 0
    with pytest.raises(peer.errors.StreamClosed):
        peer.conn.send_data(peer.stream_id, b"more")
    peer.expect_alive()


@pytest.mark.row("KIN-4-3")
def test_headers_on_it_are_a_stream_error(make):
    peer = opened(make)
    peer.feed(peer.headers(peer.stream_id, [("x-trailer", "1")], end_stream=True))
    peer.expect_stream_error(peer.stream_id, f.PROTOCOL_ERROR)


@pytest.mark.row("KIN-4-3")
def test_other_frames_on_it_are_allowed(make):
    peer = opened(make)
    peer.feed(
        f.window_update(peer.stream_id, 5),
        f.priority(peer.stream_id),
        f.frame(f.UNKNOWN, 0, peer.stream_id, b"?"),
        f.data(peer.stream_id, b"on"),
    )
    assert octets_of(peer) == b"on"
    peer.expect_alive()


@pytest.mark.row("KIN-4-6")
def test_what_nobody_takes_stays_with_the_peer(make):
    peer = opened(make, settings={**ON, "initial_window_size": 20_000})
    while (room := min(peer.may_send(peer.stream_id), 16384)) > 0:
        peer.send(peer.stream_id, bytes(room))
        assert [x for x in peer.sent() if x.stream_id == peer.stream_id] == []
    peer.feed(f.data(peer.stream_id, b"one more"))
    peer.expect_stream_error(peer.stream_id, f.FLOW_CONTROL_ERROR)


@pytest.mark.row("KIN-4-6")
def test_what_the_peer_has_no_window_for_waits_here(make):
    peer = opened(make)
    octets = random.Random(4).randbytes(100_000)
    assert peer.conn.send_data(peer.stream_id, octets, True) == len(octets)
    first = b"".join(x.content for x in peer.sent() if x.kind == f.DATA)
    assert len(first) == 65535 and peer.conn.waiting(peer.stream_id) == len(octets) - 65535
    peer.feed(f.window_update(0, 2**20), f.window_update(peer.stream_id, 2**20))
    frames = [x for x in peer.sent() if x.kind == f.DATA]
    assert first + b"".join(x.content for x in frames) == octets and frames[-1].end_stream


@pytest.mark.row("KIN-4-6")
def test_the_urgent_one_leaves_first(make):
    peer = opened(make)
    other = 8 + peer.stream_id
    if peer.taken:
        peer.feed(peer.headers(other, [*BYTESTREAM, ("priority", "u=0")]))
        peer.conn.respond(other, OK)
    else:
        other = peer.conn.request([*BYTESTREAM, ("priority", "u=0")], end_stream=False)
        peer.feed(peer.headers(other, OK))
    assert peer.conn.priority(other) == (0, True)
    peer.conn.prioritize(peer.stream_id, 7)
    peer.feed(*(f.window_update(i, 2**20) for i in (0, other, peer.stream_id)))
    peer.conn.send_data(peer.stream_id, bytes(300_000), True)
    peer.conn.send_data(other, bytes(300_000), True)
    ended = [x.stream_id for x in peer.sent() if x.kind == f.DATA and x.end_stream]
    assert ended == [other, peer.stream_id]


@pytest.mark.row("KIN-1-x")
def test_datagram_is_a_token_like_any_other(make):
    """An older draft had each of its DATA frames be a message: here they are octets."""
    peer = make()
    fields = [(n, "datagram" if n == ":protocol" else v) for n, v in BYTESTREAM]
    if peer.taken:
        stream_id = peer.stream_id + 2
        peer.feed(peer.headers(stream_id, fields))
        peer.conn.respond(stream_id, OK)
    else:
        stream_id = peer.conn.request(fields, end_stream=False)
        peer.feed(peer.headers(stream_id, OK))
    peer.forget()
    peer.send(stream_id, b"a")
    peer.send(stream_id, b"b")
    assert octets_of(peer) == b"ab"


# -- pieces ------------------------------------------------------------------------------------


@pytest.fixture
def pair(twin):
    """A server's peer with two open tunnels, delivered as it is fed; frames so far are forgotten."""

    def make(**options):
        peer = Peer(twin, "server", "whole", **options)
        for stream_id in (1, 3):
            peer.feed(peer.headers(stream_id, BYTESTREAM))
            peer.conn.respond(stream_id, OK)
        peer.forget()
        return peer

    return make


def pieces(events):
    return [(event.stream_id, event.data, event.credit) for event in of(events, "Data")]


def test_what_one_read_brings_is_one_piece(pair):
    peer = pair()
    octets = [random.Random(n).randbytes(n) for n in (1, 700, 16384)]
    came = peer.feed(b"".join(f.data(1, part) for part in octets))
    joined = b"".join(octets)
    assert pieces(came) == [(1, joined, len(joined))]
    assert kinds(came) == ["Data"]
    peer.conn.consumed(1, len(joined))
    assert peer.conn.stats()["octets_buffered"] == 0


@pytest.mark.parametrize(
    ("between", "last"),
    [
        (f.data(3, b"other"), ["Data", "Data", "Data"]),
        (f.data(1, b"padded", pad=3), ["Data", "Data", "Data"]),
        (f.data(1, b""), ["Data", "Data"]),
        (f.ping(b"12345678"), ["Data", "Data"]),
    ],
    ids=["of another stream", "padded", "empty", "no DATA"],
)
def test_what_stands_between_parts_the_pieces(pair, between, last):
    peer = pair()
    came = peer.feed(
        f.data(1, b"a") + f.data(1, b"b") + between + f.data(1, b"c") + f.data(1, b"d")
    )
    assert kinds(came) == last
    assert [data for _, data, _ in pieces(came)][:: len(last) - 1] == [b"ab", b"cd"]


def test_an_end_comes_behind_its_piece(pair):
    peer = pair()
    came = peer.feed(f.data(1, b"a") + f.data(1, b"b") + f.data(1, b"c", end_stream=True))
    assert b"".join(data for _, data, _ in pieces(came)) == b"abc"
    assert kinds(came)[-1] == "Ended"


@pytest.mark.row("9113-6.9.1-3")
def test_a_frame_beyond_the_window_of_its_stream_takes_nothing_from_those_before(pair):
    peer = pair(settings={**ON, "initial_window_size": 1000})
    came = peer.feed(
        f.data(1, bytes(400)) + f.data(1, bytes(600)) + f.data(1, b"x") + f.data(3, b"y")
    )
    assert pieces(came) == [(1, bytes(1000), 1000), (3, b"y", 1)]
    (reset,) = of(came, "Reset")
    assert (reset.stream_id, reset.error_code) == (1, 3)
    assert [x.stream_id for x in peer.sent() if x.kind == f.RST_STREAM] == [1]
