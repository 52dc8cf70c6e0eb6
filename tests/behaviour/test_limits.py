"""Every limit of a connection, driven at the octets to its end, and its counter.

What each limit stops is told in `h2ws_fast/engine/limits.py`; `stats()["limits"]` counts by name
how often each was reached.
"""

import pytest

from tests.support import frames as f
from tests.support.peer import CONNECT, EVENT_OCTETS, GET, OK, POST, kinds, of
from tests.support.ws_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    close_frame,
    read_ws_frames,
    ws_frame,
)

row = pytest.mark.row

KEY = b"\x01\x02\x03\x04"


def reached(peer, name, times=1):
    """The limit of this name, and no other, was counted."""
    assert peer.conn.stats()["limits"] == {name: times}


def calm(peer, name):
    """The limit was reached and ended the connection."""
    peer.expect_connection_error(f.ENHANCE_YOUR_CALM)
    reached(peer, name)


def untouched(peer):
    peer.expect_alive()
    assert peer.conn.stats()["limits"] == {}


DEFAULTS = {
    "reset_burst": 1000,
    "reset_rate": 33,
    "max_pending_resets": 2**62,  # the setting is less
    "max_local_resets": 1024,
    "glitch_burst": 10000,
    "glitch_rate": 330,
    "dribble_burst": 1000,
    "dribble_rate": 33,
    "settings_burst": 100,
    "settings_rate": 10,
    "ping_burst": 10000,
    "ping_rate": 330,
    "max_continuations": 2**62,  # as many as a header list takes
    "max_header_fields": 128,
    "max_held_headers": 16 * 2**20,
    "max_settings": 32,
    "max_control_frames": 1000,
    "max_empty_frames": 10,
    "small_data": 25600,
    "max_priority_frames": 100,
    "max_window_updates": 20,
    "max_pings": 10,
    "max_goaways": 10,
    "preface_timeout_s": 10.0,
    "settings_timeout_s": 10.0,
    "header_block_timeout_s": 10.0,
    "handshake_timeout_s": 10.0,
    "close_timeout_s": 10.0,
    "max_message": 2**20,
    "max_fragments": 1024,
    "max_empty_fragments": 64,
    "max_final_blocks": 128,
    "max_buffered": 64 * 2**20,
}


def test_defaults(twin):
    limits = twin.Limits()
    assert {name: getattr(limits, name) for name in DEFAULTS} == DEFAULTS
    assert twin.Settings().max_concurrent_streams == 1000
    assert twin.Settings().max_header_list_size == 65536


@pytest.mark.parametrize("name", sorted(DEFAULTS))
@pytest.mark.parametrize("value", [-1, "10", b"1", True, float("nan")])
def test_wrong_values_are_refused(twin, name, value):
    with pytest.raises((ValueError, TypeError), match=name):
        twin.Limits(**{name: value})


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_none_lifts_a_limit(make, name):
    peer = make("server", limits={name: None})
    untouched(peer)


# -- streams and resets ------------------------------------------------------------------------


@row("9113-5.1.2-2")
def test_max_concurrent_streams(make):
    peer = make("server", settings={"max_concurrent_streams": 3})
    for _ in range(3):
        peer.post()
    assert peer.conn.stats()["limits"] == {}
    peer.feed(peer.headers(7, GET, end_stream=True))
    assert peer.pull() == f.rst_stream(7, f.REFUSED_STREAM)
    reached(peer, "max_concurrent_streams")


def opened_and_reset(peer):
    peer.feed(f.rst_stream(peer.post()))


@row("SEC-1-1")
def test_refused_streams_have_the_rate_of_resets(make):
    limits = {"reset_burst": 5, "reset_rate": 0}
    peer = make("server", settings={"max_concurrent_streams": 1}, limits=limits)
    peer.get()
    for number in range(5):
        peer.feed(peer.headers(3 + 2 * number, GET, end_stream=True))
    assert [x.error_code for x in peer.sent() if x.kind == f.RST_STREAM] == [f.REFUSED_STREAM] * 5
    assert not peer.conn.terminated
    peer.feed(peer.headers(13, GET, end_stream=True))
    peer.expect_connection_error(f.ENHANCE_YOUR_CALM)
    assert peer.conn.stats()["limits"] == {"max_concurrent_streams": 6, "reset_burst": 1}


@row("SEC-1-3")
def test_what_the_application_refuses_has_the_rate_of_resets(make):
    peer = make("server", limits={"reset_burst": 5, "reset_rate": 0})
    for _ in range(5):
        peer.conn.refuse(peer.get(), "max_handlers")
    assert [x.error_code for x in peer.sent() if x.kind == f.RST_STREAM] == [f.REFUSED_STREAM] * 5
    peer.conn.refuse(peer.get(), "max_handlers")
    peer.expect_connection_error(f.ENHANCE_YOUR_CALM)
    assert peer.conn.stats()["limits"] == {"max_handlers": 6, "reset_burst": 1}


@row("SEC-1-1")
def test_reset_burst(make):
    peer = make("server", limits={"reset_burst": 5, "reset_rate": 1})
    for _ in range(5):
        opened_and_reset(peer)
    untouched(peer)
    peer.now += 2.0  # two are forgiven
    opened_and_reset(peer)
    opened_and_reset(peer)
    untouched(peer)
    opened_and_reset(peer)
    calm(peer, "reset_burst")


@row("SEC-1-4")
def test_malformed_requests_while_nothing_is_read(make):
    """With the default limits: what waits to leave stays small, and then it is over."""
    peer = make("server")
    peer.feed(*[peer.headers(peer.new_id(), [*GET, ("a b", "")], True) for _ in range(10_000)])
    assert kinds(peer.events) == ["Terminated"]
    assert len(peer.pull()) < 1000 * 13 + 200
    peer.frames.clear()
    assert peer.conn.stats()["resets_provoked"] <= 1001


@row("SEC-1-1")
def test_rapid_reset(make):
    """With the default limits: CVE-2023-44487."""
    peer = make("server")
    pairs = [peer.headers(i, POST) + f.rst_stream(i) for i in range(1, 10_001, 2)]
    for at in range(0, len(pairs), 100):
        peer.feed(*pairs[at : at + 100])
        peer.pull()
        assert peer.conn.open_streams == 0
        if peer.conn.terminated:
            break
    assert len(of(peer.events, "Requested")) <= 1001
    calm(peer, "reset_burst")


@row("SEC-1-1")
def test_a_client_may_give_up_all_its_streams_and_ask_anew(make):
    # The application has heard of those that are reset: it is a page that was left.
    peer = make("server", settings={"max_concurrent_streams": 5})
    for _ in range(3):
        ids = [peer.post() for _ in range(5)]
        peer.sent()
        chunks = [f.rst_stream(i) for i in ids]
        peer.feed(*chunks, peer.headers(peer.new_id(), GET, True))
        assert [x for x in peer.sent() if x.kind == f.RST_STREAM] == []
        peer.feed(f.rst_stream(peer.next_id - 2))
    untouched(peer)


def test_a_server_that_takes_no_streams_counts_what_it_refuses_as_that(make):
    peer = make("server", settings={"max_concurrent_streams": 0})
    peer.feed(peer.headers(1, POST))
    assert [(x.kind, x.error_code) for x in peer.sent()] == [(f.RST_STREAM, f.REFUSED_STREAM)]
    assert peer.conn.stats()["limits"] == {"max_concurrent_streams": 1}


@row("SEC-1-1")
def test_default_of_max_pending_resets_can_be_reached(make):
    peer = make("server")
    pairs = [peer.headers(i, POST) + f.rst_stream(i) for i in range(1, 2003, 2)]
    peer.feed(*pairs)
    assert len(of(peer.events, "Requested")) == 1000
    assert peer.conn.stats()["limits"] == {"max_pending_resets": 1, "reset_burst": 1}
    # As many in two reads are within it, and reset_burst has the last word alone.
    peer = make("server", limits={"reset_burst": 2000})
    for half in (pairs[:500], pairs[500:]):
        peer.feed(*half)
        peer.sent()
    peer.next_id = 2003
    untouched(peer)


def test_resets_of_ended_streams_are_not_charged(make):
    peer = make("server", limits={"reset_burst": 2, "reset_rate": 0})
    for _ in range(10):
        stream_id = peer.get()  # ended by the peer, and answered
        peer.conn.respond(stream_id, OK)
        peer.sent()
        peer.feed(f.rst_stream(stream_id))
        stream_id = peer.post()
        peer.conn.respond(stream_id, OK, end_stream=True)  # ended by us
        peer.sent()
        peer.feed(f.rst_stream(stream_id))
        stream_id = peer.websocket()
        peer.feed(f.data(stream_id, close_frame(1000)), f.rst_stream(stream_id))
        peer.sent()
    untouched(peer)


@row("SEC-1-1")
@pytest.mark.parametrize(
    "options",
    [
        {"limits": {"max_pending_resets": 4}},
        {"settings": {"max_concurrent_streams": 4}},
        {"settings": {"max_concurrent_streams": 4}, "limits": {"max_pending_resets": 5}},
    ],
    ids=["the limit", "the setting", "the less of both"],
)
def test_max_pending_resets(make, options):
    # Streams that were opened and reset faster than the application can have been told.
    peer = make("server", **options)
    post = [peer.headers(i, POST) + f.rst_stream(i) for i in range(1, 19, 2)]
    peer.feed(*post[:3])
    peer.forget()
    peer.feed(*post[3:7])
    assert kinds(peer.events) == ["Requested", "Reset"] * 4
    assert peer.conn.stats()["limits"] == {}
    peer.feed(*post[7:])
    assert kinds(peer.events) == ["Requested", "Reset"] * 4
    assert [(x.kind, x.stream_id, x.error_code) for x in peer.sent()] == [
        (f.RST_STREAM, i, f.REFUSED_STREAM) for i in (15, 17)
    ]
    reached(peer, "max_pending_resets", 2)
    peer.next_id = 19
    peer.expect_alive()


def answered(peer):
    """The number of a stream that is over."""
    stream_id = peer.get()
    peer.conn.respond(stream_id, OK, end_stream=True)
    return stream_id


FAULTS = {
    "window update of 0": lambda peer: [f.window_update(peer.post(), 0)],
    "window overflow": lambda peer: [f.window_update(peer.post(), 0x7FFFFFFF)],
    "data after the end": lambda peer: [f.data(peer.get(), b"x")],
    "priority of another length": lambda peer: [f.frame(f.PRIORITY, 0, peer.post(), b"")],
    "priority of another length, on a closed stream": lambda peer: [
        f.frame(f.PRIORITY, 0, answered(peer), b"")
    ],
    "content-length": lambda peer: [f.data(peer.open([*POST, ("content-length", "1")]), b"xx")],
    "malformed": lambda peer: [peer.headers(peer.new_id(), [*GET, ("a b", "")], True)],
}


@row("SEC-1-2")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["max_local_resets", "reset_burst"])
def test_resets_that_the_peer_provokes(make, name, fault):
    peer = make("server", limits={name: 5, "reset_rate": 0})
    for _ in range(5):
        peer.feed(*FAULTS[fault](peer))
    assert [x.kind for x in peer.sent() if x.kind == f.RST_STREAM] == [f.RST_STREAM] * 5
    untouched(peer)
    peer.feed(*FAULTS[fault](peer))
    calm(peer, name)


def test_a_reset_that_crosses_the_end_is_free_once(make):
    """HAProxy ends its side of many WebSockets and resets them, while our answer is on its way."""
    peer = make("server", limits={"glitch_burst": 1, "glitch_rate": 0, "reset_burst": 1})
    ids = [peer.websocket() for _ in range(100)]
    for stream_id in ids:
        peer.feed(f.data(stream_id, end_stream=True), f.rst_stream(stream_id))
    assert peer.conn.open_streams == 0
    assert peer.conn.stats()["glitches"] == 0
    untouched(peer)
    peer.feed(f.rst_stream(ids[0]))
    assert peer.conn.stats()["glitches"] == 1
    peer.feed(f.rst_stream(ids[0]))
    calm(peer, "glitch_burst")


def test_refusals_count_as_resets_but_not_for_ever(make):
    peer = make("server", limits={"reset_burst": 3, "reset_rate": 1, "max_local_resets": 1})
    for _ in range(3):
        stream_id = peer.get()
        peer.conn.refuse(stream_id, "of_ours")
        assert peer.pull() == f.rst_stream(stream_id, f.REFUSED_STREAM)
        assert of(peer.more(), "Reset")[0].error_code == f.REFUSED_STREAM
    reached(peer, "of_ours", 3)
    stream_id = peer.get()
    peer.now += 10.0
    peer.feed(f.window_update(0, 1))
    for _ in range(3):
        peer.conn.refuse(stream_id, "of_ours")
        stream_id = peer.get()
    assert not peer.conn.terminated
    peer.forget()
    peer.conn.refuse(stream_id, "of_ours")
    peer.expect_connection_error(f.ENHANCE_YOUR_CALM)
    assert peer.conn.stats()["limits"] == {"of_ours": 7, "reset_burst": 1}


def test_only_what_is_unanswered_can_be_refused(make):
    peer = make("server")
    stream_id = peer.get()
    peer.conn.respond(stream_id, OK)
    with pytest.raises(peer.errors.LocalProtocolError):
        peer.conn.refuse(stream_id, "of_ours")
    assert peer.conn.stats()["limits"] == {}


@row("SEC-9-1")
def test_each_limit_is_told_of_once(make):
    told = []
    peer = make("server", limits={"max_message": 1, "reset_burst": 1, "reset_rate": 0})
    peer.conn.on_limit = told.append
    for _ in range(3):
        stream_id = peer.websocket()
        peer.feed(peer.message(stream_id, b"xx"))
    assert told == ["max_message"]
    opened_and_reset(peer)
    opened_and_reset(peer)
    assert told == ["max_message", "reset_burst"]
    assert peer.conn.stats()["limits"] == {"max_message": 3, "reset_burst": 1}
    assert peer.conn.on_limit == told.append


def test_octets_held(make):
    peer = make("server", peer_settings=[(f.INITIAL_WINDOW_SIZE, 0)])
    assert peer.conn.octets_held == 0
    stream_id = peer.websocket()
    peer.feed(peer.message(stream_id, bytes(1000)))
    assert 1000 <= peer.conn.octets_held - EVENT_OCTETS < 1020
    (message,) = of(peer.events, "BytesMessage")
    peer.conn.consumed(stream_id, message.credit)
    assert peer.conn.octets_held == 0
    peer.conn.send_message(stream_id, bytes(2000))
    assert 2000 <= peer.conn.octets_held < 2020
    peer.conn.reset(stream_id)
    peer.sent()
    peer.feed(f.headers(5, bytes(16000), True, end_headers=False))
    assert peer.conn.octets_held >= 16000
    peer.feed(f.frame(f.CONTINUATION, 0, 5, bytes(5000), length=16000))
    assert peer.conn.octets_held >= 21000


@row("SEC-1-5")
@pytest.mark.parametrize("role", ["server", "client"])
def test_settings_whose_acknowledgements_are_read(make, role):
    """CVE-2019-9515 of a peer that reads: none of them ever waits."""
    peer = make(role, limits={"settings_burst": 5, "settings_rate": 2})
    change = f.settings((f.INITIAL_WINDOW_SIZE, 70_000))
    for _ in range(5):
        peer.feed(change)
        assert peer.pull() == f.settings_ack()
    peer.now += 1.5  # three are forgiven
    for _ in range(3):
        peer.feed(change)
        assert peer.pull() == f.settings_ack()
    assert peer.conn.stats()["limits"] == {} and not peer.conn.terminated
    peer.feed(change)
    calm(peer, "settings_burst")


@row("SEC-1-5")
@pytest.mark.parametrize("role", ["server", "client"])
def test_pings_whose_answers_are_read(make, role):
    peer = make(role, limits={"ping_burst": 5, "ping_rate": 2})
    for _ in range(5):
        peer.feed(f.ping())
        assert peer.pull() == f.ping(ack=True)
    peer.now += 1.5
    for _ in range(3):
        peer.feed(f.ping())
        assert peer.pull() == f.ping(ack=True)
    assert peer.conn.stats()["limits"] == {} and not peer.conn.terminated
    peer.feed(f.ping())
    calm(peer, "ping_burst")


@row("SEC-9-1")
def test_a_ping_for_each_frame_that_was_read_measures_the_path(make):
    """As gRPC does it: one under way while a download comes, however short the path is."""
    peer = make("server", limits={"ping_burst": 5, "ping_rate": 0})
    stream_id = peer.websocket()
    for _ in range(100):
        peer.conn.send_message(stream_id, b"some of the download")
        assert f.DATA in [x.kind for x in peer.sent()]
        peer.feed(f.window_update(stream_id, 22), f.window_update(0, 22), f.ping())
        assert peer.pull() == f.ping(ack=True)
    untouched(peer)


def test_answers_to_pings_that_were_never_sent(make):
    peer = make("server", limits={"glitch_burst": 5, "glitch_rate": 0})
    peer.conn.ping(0, b"8 octets")
    peer.sent()
    peer.feed(f.ping(b"8 octets", ack=True))
    assert kinds(peer.events) == ["PingAcknowledged"]
    for _ in range(5):
        peer.feed(f.ping(b"8 octets", ack=True))
    assert peer.conn.stats()["glitches"] == 5 and not peer.conn.terminated
    peer.feed(f.ping(b"8 octets", ack=True))
    calm(peer, "glitch_burst")


@row("SEC-9-1")
def test_glitches(make):
    peer = make("server", limits={"glitch_burst": 5, "glitch_rate": 1})
    stream_id = peer.expect_alive()
    peer.feed(f.rst_stream(stream_id))  # it may have crossed our END_STREAM
    assert peer.conn.stats()["glitches"] == 0
    for _ in range(5):
        peer.feed(f.rst_stream(stream_id))
    untouched(peer)
    assert peer.conn.stats()["glitches"] == 5
    peer.now += 1.0
    peer.feed(f.rst_stream(stream_id))
    untouched(peer)
    peer.feed(f.rst_stream(stream_id))
    calm(peer, "glitch_burst")


# -- field blocks ------------------------------------------------------------------------------


@row("SEC-2-1")
@pytest.mark.parametrize("limit", [3, 8])
def test_max_continuations(make, limit):
    peer = make("server", limits={"max_continuations": limit})
    block = peer.block(GET)
    pieces = [f.continuation(1, block[i : i + 1], end_headers=False) for i in range(1, limit)]
    peer.feed(f.headers(1, block[:1], True, end_headers=False), *pieces)
    peer.feed(f.continuation(1, block[limit:]))
    assert kinds(peer.events) == ["Requested"]
    peer.next_id = 3
    untouched(peer)
    peer.feed(f.headers(5, b"\x82", True, end_headers=False))
    peer.feed(*[f.continuation(5, b"\x84", end_headers=False)] * limit)
    assert not peer.conn.terminated
    peer.feed(f.continuation(5, b"\x87"))
    calm(peer, "max_continuations")


def literal(name, value):
    """A field that enters no table and is not Huffman coded."""

    def length(n):
        if n < 127:
            return bytes((n,))
        n, octets = n - 127, b"\x7f"
        while n >= 128:
            octets += bytes((n & 127 | 128,))
            n >>= 7
        return octets + bytes((n,))

    return b"\x00" + length(len(name)) + name + length(len(value)) + value


@row("SEC-2-1")
@pytest.mark.parametrize(
    ("settings", "most"),
    [
        ({}, 8),
        ({"max_header_list_size": 0}, 8),
        ({"max_header_list_size": 200_000}, 15),
        ({"max_header_list_size": 1 << 20}, 80),
        # A peer may keep to frames of 16 KiB.
        ({"max_header_list_size": 1 << 20, "max_frame_size": 2**24 - 1}, 80),
    ],
)
@pytest.mark.parametrize("later", [False, True], ids=["first", "later"])
def test_continuations_are_as_many_as_the_header_list_takes(make, settings, most, later):
    if later:
        peer = make("server", settings={**settings, "max_header_list_size": 65536})
        size = settings.get("max_header_list_size", 65536)
        peer.conn.update_settings({f.MAX_HEADER_LIST_SIZE: size})
        peer.sent()
        peer.feed(f.settings_ack())
    else:
        peer = make("server", settings=settings)
    peer.feed(f.headers(1, b"\x82", True, end_headers=False))
    peer.feed(*[f.continuation(1, b"\x84", end_headers=False)] * most)
    assert not peer.conn.terminated
    peer.feed(f.continuation(1, b"\x87", end_headers=False)[:9])
    calm(peer, "max_continuations")


@row("SEC-2-1")
@pytest.mark.parametrize("number", [100, 2**62, 2**70])
def test_a_number_of_continuations_stays_one(make, number):
    peer = make(
        "server", settings={"max_header_list_size": 0}, limits={"max_continuations": number}
    )
    peer.feed(f.headers(1, b"\x82", True, end_headers=False))
    peer.feed(*[f.continuation(1, b"\x84", end_headers=False)] * 100)
    assert not peer.conn.terminated
    if number == 100:
        peer.feed(f.continuation(1, b"\x84", end_headers=False))
        calm(peer, "max_continuations")


@row("SEC-2-1", "9113-10.5.1-1")
def test_a_header_list_within_a_large_limit_arrives(make):
    peer = make("server", settings={"max_header_list_size": 1 << 20})
    block = peer.block(GET) + b"".join(literal(b"x%d" % i, b"y" * 8000) for i in range(25))
    pieces = [block[i : i + 16384] for i in range(0, len(block), 16384)]
    assert len(pieces) == 13
    peer.feed(f.headers(1, pieces[0], True, end_headers=False))
    peer.feed(*[f.continuation(1, piece, end_headers=False) for piece in pieces[1:-1]])
    peer.feed(f.continuation(1, pieces[-1]))
    (requested,) = of(peer.events, "Requested")
    assert len(requested.headers) == 25
    peer.next_id = 3
    untouched(peer)


@row("SEC-2-1")
@pytest.mark.parametrize(
    ("kind", "priority"),
    [("HEADERS", None), ("HEADERS", bytes(4) + b"\x10"), ("PUSH_PROMISE", None)],
    ids=["headers", "headers-with-priority", "push-promise"],
)
@pytest.mark.parametrize("end_headers", [True, False])
@pytest.mark.parametrize("pad", [None, 0, 255])
def test_a_frame_longer_than_a_block_may_be_ends_at_its_head(
    make, kind, end_headers, pad, priority
):
    """It would be held until it is whole: 16 MiB, where the header list may have 64 KiB."""
    most = 2 * 65536 + 16384

    def framed(peer, block):
        if kind == "HEADERS":
            stream_id = 1 if peer.role == "server" else peer.conn.request(GET)
            peer.forget()
            return f.headers(stream_id, block, True, end_headers, pad, priority)
        stream_id = peer.conn.request(GET)
        peer.forget()
        return f.push_promise(stream_id, 2, block, end_headers, pad)

    settings = {"max_frame_size": 2**24 - 1}
    for role in ("server", "client") if kind == "HEADERS" else ("client",):
        # So long it may be, though what it becomes is too much.
        peer = make(role, settings=settings)
        peer.feed(framed(peer, bytes(most)), delivery="whole")
        assert not any("block" in event.reason for event in of(peer.events, "Terminated"))
        # Padding that was allowed for at the head, and is none.
        peer = make(role, settings=settings)
        peer.feed(framed(peer, bytes(most + 1)), delivery="whole")
        goaway = peer.expect_connection_error(f.ENHANCE_YOUR_CALM)
        assert goaway.debug_data == b"field block is too large"
        reached(peer, "max_header_list_size")
        # What no padding can explain is not waited for.
        peer = make(role, settings=settings)
        peer.feed(framed(peer, bytes(most + 262))[:9], delivery="whole")
        goaway = peer.expect_connection_error(f.ENHANCE_YOUR_CALM)
        assert goaway.debug_data == b"field block is too large"
        reached(peer, "max_header_list_size")
        peer = make(role, settings=settings)
        octets = framed(peer, bytes(10 << 20))
        for at in range(0, len(octets), 65536):
            peer.events += peer.conn.receive_data(octets[at : at + 65536], peer.now)
            assert peer.conn.octets_held < 65536
        calm(peer, "max_header_list_size")


@row("SEC-2-1")
def test_a_continuation_beyond_the_block_ends_at_its_head(make):
    peer = make("server", settings={"max_frame_size": 2**24 - 1})
    peer.feed(f.headers(1, bytes(16384), True, end_headers=False))
    peer.feed(f.continuation(1, bytes(2 * 65536 + 1), end_headers=False)[:9])
    goaway = peer.expect_connection_error(f.ENHANCE_YOUR_CALM)
    assert goaway.debug_data == b"field block is too large"
    reached(peer, "max_header_list_size")


@row("SEC-2-1")
def test_octets_of_an_unfinished_block(make):
    peer = make("server", limits={"max_continuations": 10_000})
    peer.feed(f.headers(1, bytes(16384), True, end_headers=False))
    for _ in range(20):
        if peer.conn.terminated:
            break
        peer.feed(f.continuation(1, bytes(16384), end_headers=False))
    calm(peer, "max_header_list_size")
    assert len(peer.octets) < 200


@row("9113-10.5.1-1")
def test_max_header_list_size(make):
    peer = make("server", settings={"max_header_list_size": 1000})
    used = sum(len(name) + len(value) + 32 for name, value in GET)
    head = peer.block(GET)
    fits = head + literal(b"a", b"b" * (1000 - used - 33))
    peer.feed(f.headers(1, fits, True))
    assert kinds(peer.events) == ["Requested"]
    assert peer.conn.stats()["limits"] == {}
    head = peer.block(GET)
    peer.feed(f.headers(3, head + literal(b"a", b"b" * (1001 - used - 33)), True))
    answer = next(x for x in peer.sent() if x.kind == f.HEADERS)
    assert (answer.stream_id, answer.get(":status")) == (3, "431")
    reached(peer, "max_header_list_size")
    peer.next_id = 5
    peer.expect_alive()


def answered_431(peer, stream_id):
    answer = next(x for x in peer.sent() if x.kind == f.HEADERS)
    return (answer.stream_id, answer.get(":status")) == (stream_id, "431")


@row("9113-6.5.2-4", "9113-6.9.3-2")
@pytest.mark.parametrize("acknowledged", [False, True])
def test_a_header_list_limit_that_grows_holds_at_once(make, acknowledged):
    peer = make("server", settings={"max_header_list_size": 4096})
    peer.conn.update_settings({f.MAX_HEADER_LIST_SIZE: 100_000})
    (sent,) = peer.sent()
    assert sent.settings == [(f.MAX_HEADER_LIST_SIZE, 100_000)]
    if acknowledged:
        peer.feed(f.settings_ack())
    peer.feed(f.headers(1, peer.block(GET) + literal(b"a", b"b" * 9000), True))
    # More octets than a block of the first limit might have had.
    block = peer.block(GET) + literal(b"a", b"b" * 90_000)
    pieces = [block[i : i + 16384] for i in range(0, len(block), 16384)]
    peer.feed(f.headers(3, pieces[0], True, end_headers=False))
    peer.feed(*[f.continuation(3, piece, end_headers=False) for piece in pieces[1:-1]])
    peer.feed(f.continuation(3, pieces[-1]))
    found = [len(event.headers[0][1]) for event in of(peer.events, "Requested")]
    assert found == [9000, 90_000]
    assert peer.conn.stats()["limits"] == {}
    if not acknowledged:
        peer.feed(f.settings_ack())
    peer.feed(f.headers(5, peer.block(GET) + literal(b"a", b"b" * 9000), True))
    assert len(of(peer.events, "Requested")) == 3
    peer.next_id = 7
    untouched(peer)


@row("9113-6.5.2-4", "9113-6.9.3-2")
def test_a_header_list_limit_that_shrinks_holds_when_it_is_acknowledged(make):
    peer = make("server", settings={"max_header_list_size": 50_000})
    peer.conn.update_settings({f.MAX_HEADER_LIST_SIZE: 300})
    peer.conn.update_settings({f.MAX_HEADER_LIST_SIZE: 2000})
    peer.sent()
    peer.feed(f.headers(1, peer.block(GET) + literal(b"a", b"b" * 9000), True))
    assert len(of(peer.events, "Requested")) == 1
    small = peer.block(GET) + literal(b"a", b"b" * 350)  # one that is remembered
    # The peer may have applied both when it acknowledges the first.
    peer.feed(f.settings_ack())
    for stream_id in (3, 5, 7):
        peer.feed(f.headers(stream_id, small, True))
    assert len(of(peer.events, "Requested")) == 4
    assert peer.conn.stats()["limits"] == {}
    peer.feed(f.headers(9, peer.block(GET) + literal(b"a", b"b" * 3000), True))
    assert answered_431(peer, 9)
    peer.conn.update_settings({f.MAX_HEADER_LIST_SIZE: 300})
    peer.sent()
    peer.feed(f.settings_ack(), f.settings_ack())
    peer.feed(f.headers(11, small, True))
    assert answered_431(peer, 11)
    assert len(of(peer.events, "Requested")) == 4
    # And so does what ends a block, and the connection.
    peer.feed(f.headers(13, bytes(16384), True, end_headers=False))
    peer.feed(f.continuation(13, bytes(601), end_headers=False))
    peer.expect_connection_error(f.ENHANCE_YOUR_CALM)


@row("9113-10.5.1-1", "9113-6.4-7")
def test_a_body_behind_a_header_list_that_is_too_large_is_not_awaited(make):
    peer = make("server", settings={"max_header_list_size": 1000})
    peer.feed(peer.headers(1, [*POST, ("x-big", "b" * 1000)]))
    answer, reset = peer.sent()
    assert (answer.kind, answer.get(":status"), answer.end_stream) == (f.HEADERS, "431", True)
    assert (reset.kind, reset.stream_id, reset.error_code) == (f.RST_STREAM, 1, f.NO_ERROR)
    peer.feed(f.data(1, bytes(100), end_stream=True))  # it was under way
    peer.expect_alive()


@row("9113-10.5.1-1")
def test_trailers_that_are_too_large(make):
    peer = make("server", settings={"max_header_list_size": 1000})
    stream_id = peer.post()
    peer.feed(f.data(stream_id, b"body"))
    peer.feed(peer.headers(stream_id, [("x-big", "b" * 1000)], end_stream=True))
    assert not of(peer.events, "Trailers")
    assert of(peer.events, "Reset")
    peer.expect_stream_error(stream_id, f.PROTOCOL_ERROR)


@row("SEC-3-1", "7541-x-2")
def test_twice_the_header_list_ends_the_connection(make):
    peer = make("server", settings={"max_header_list_size": 1000})
    block = peer.block([("x-big", "y" * 900)])  # enters the table; 0xbe refers to it
    peer.feed(f.headers(1, peer.block(GET) + block + b"\xbe" * 50, True))
    calm(peer, "max_header_list_size")


def test_max_header_fields(make):
    peer = make("server", limits={"max_header_fields": 10})
    fits = [*GET, *[("x-a", "b")] * 6]
    peer.open(fits, end_stream=True)
    assert peer.conn.stats()["limits"] == {}
    peer.feed(peer.headers(3, [*fits, ("x-a", "b")], True))
    answer = next(x for x in peer.sent() if x.kind == f.HEADERS)
    assert (answer.stream_id, answer.get(":status")) == (3, "431")
    assert peer.conn.stats()["limits"]
    peer.next_id = 5
    peer.expect_alive()


def test_cookies_count_as_one_field(make):
    """RFC 9113 section 8.2.3: browsers cut a cookie into lines, and have hundreds of them."""
    crumbs = [("cookie", f"name{i}=value{i}") for i in range(500)]
    peer = make("server")
    peer.feed(*blocks(peer, 1, [*GET, *crumbs]))
    (requested,) = of(peer.events, "Requested")
    assert requested.headers == [(b"cookie", b"; ".join(v.encode() for _, v in crumbs))]
    assert peer.conn.stats()["limits"] == {}
    peer.feed(*blocks(peer, 3, [*GET, *[(f"x-{i}", "") for i in range(123)], *crumbs]))
    assert len(of(peer.events, "Requested")) == 2  # 4, 123 and the cookie
    peer.feed(*blocks(peer, 5, [*GET, *[(f"x-{i}", "") for i in range(124)], *crumbs]))
    answer = next(x for x in peer.sent() if x.kind == f.HEADERS)
    assert (answer.stream_id, answer.get(":status")) == (5, "431")
    # They are bounded in octets, of which each line costs 32 more.
    peer.feed(*blocks(peer, 7, [*GET, *[("cookie", "a=b")] * 1600]))
    answer = next(x for x in peer.sent() if x.kind == f.HEADERS)
    assert (answer.stream_id, answer.get(":status")) == (7, "431")
    reached(peer, "max_header_list_size", 2)


@row("SEC-3-1")
@pytest.mark.parametrize("end", ["reset", "answered"])
def test_max_held_headers(make, end):
    """By references to one field of 3.8 KB a request of some octets holds 7.7 KB for its handler."""
    heavy = [*POST, *[("x-big", "v" * 3800)] * 2]
    size = sum(len(name) + len(value) + 32 for name, value in heavy)
    peer = make("server", limits={"max_held_headers": 3 * size})
    first, second, third = (peer.open(heavy) for _ in range(3))
    refused = peer.new_id()
    frame = peer.headers(refused, heavy)
    assert len(frame) < 60
    peer.sent()
    peer.feed(frame)
    assert not of(peer.events, "Reset") and len(of(peer.events, "Requested")) == 3
    peer.expect_stream_error(refused, f.REFUSED_STREAM)
    reached(peer, "max_held_headers")
    # What is light is not refused, and what has ended counts no more: once.
    peer.get()
    if end == "reset":
        peer.feed(f.rst_stream(second))
    else:
        peer.conn.respond(second, [(":status", "200")], True)
        peer.feed(f.data(second, b"", end_stream=True))
    peer.open(heavy)
    # A block that the decoder has not looked at anew counts as it did.
    plain = f.headers(peer.new_id(), peer.block(GET) + literal(b"a", b"b" * 1500), True)
    peer.feed(plain)
    for times in (2, 3):
        refused = peer.new_id()
        peer.feed(peer.headers(refused, heavy))
        peer.expect_stream_error(refused, f.REFUSED_STREAM)
        reached(peer, "max_held_headers", times)
    for stream_id in (first, third):
        peer.feed(f.rst_stream(stream_id))
        peer.open(heavy)
    peer.feed(peer.headers(peer.new_id(), heavy))
    reached(peer, "max_held_headers", 4)


@row("SEC-3-1")
def test_trailers_count_as_what_a_stream_holds(make):
    heavy = [("x-big", "v" * 3800)]
    peer = make("server", limits={"max_held_headers": 8000})
    ids = [peer.post() for _ in range(3)]
    for stream_id in ids:
        peer.feed(peer.headers(stream_id, heavy, end_stream=True))
    assert [event.stream_id for event in of(peer.events, "Trailers")] == ids[:2]
    peer.expect_stream_error(ids[2], f.ENHANCE_YOUR_CALM)
    reached(peer, "max_held_headers")
    peer.conn.respond(ids[0], [(":status", "200")], True)
    stream_id = peer.post()
    peer.feed(peer.headers(stream_id, heavy, end_stream=True))
    assert of(peer.events, "Trailers")[-1].stream_id == stream_id
    reached(peer, "max_held_headers")


def blocks(peer, stream_id, fields):
    """HEADERS and CONTINUATION frames of at most 16 KiB, ending the stream."""
    block = peer.block(fields)
    pieces = [block[i : i + 16384] for i in range(0, len(block), 16384)]
    return [
        f.headers(stream_id, pieces[0], True, end_headers=len(pieces) == 1),
        *(
            f.continuation(stream_id, piece, end_headers=number == len(pieces))
            for number, piece in enumerate(pieces[1:], 2)
        ),
    ]


# -- frames ------------------------------------------------------------------------------------


@row("SEC-1-5")
def test_max_settings(make):
    for role in ("server", "client"):
        peer = make(role, limits={"max_settings": 32})
        peer.feed(f.settings(*[(0xFF00 + i, i) for i in range(32)]))
        peer.sent()
        untouched(peer)
        peer.feed(f.settings(*[(0xFF00 + i, i) for i in range(33)])[:9])
        calm(peer, "max_settings")


@row("SEC-1-5")
def test_settings_of_any_number(make):
    peer = make("server", settings={"max_frame_size": 2**24 - 1}, limits={"max_settings": None})
    peer.feed(f.settings(*[(0xFF00 + i % 256, i) for i in range(10_000)]))
    peer.sent()
    untouched(peer)


@row("SEC-1-5")
@pytest.mark.parametrize(
    "frame", [f.ping(), f.settings(), f.window_update(1, 0)], ids=["ping", "settings", "reset"]
)
def test_max_control_frames(make, frame):
    peer = make("server", limits={"max_control_frames": 10, "max_local_resets": None})

    def step():
        if frame[3] == f.WINDOW_UPDATE:
            peer.feed(f.window_update(peer.post(), 0))
        else:
            peer.feed(frame)

    for _ in range(10):
        step()
    peer.sent()  # what left does not count any more
    for _ in range(10):
        step()
    assert not peer.conn.terminated
    step()
    calm(peer, "max_control_frames")


def test_resets_of_our_own_are_nobodys_flood(make):
    """An application that ends many streams at once, or time that does, is not the peer's fault."""
    peer = make("server", settings={"max_concurrent_streams": 5000})
    ids = [peer.websocket() for _ in range(2000)]
    for stream_id in ids[:1500]:
        peer.conn.reset(stream_id)
    assert [x.kind for x in peer.sent()] == [f.RST_STREAM] * 1500
    untouched(peer)
    for stream_id in ids[1500:]:
        peer.conn.close_websocket(stream_id, 1001)
    peer.sent()
    peer.tick(25.0)
    assert peer.conn.open_streams == 0
    assert set(peer.conn.stats()["limits"]) == {"close_timeout_s"}
    peer.expect_alive()


@row("SEC-1-4")
def test_requests_that_the_engine_refuses_while_nothing_is_read(make):
    """Each is answered 400 by the engine itself: a thousand answers may wait."""
    peer = make("server")
    bad = [(name, b"99" if name == "sec-websocket-version" else value) for name, value in CONNECT]
    peer.feed(*[peer.headers(peer.new_id(), bad) for _ in range(5000)])
    assert kinds(peer.events) == ["Terminated"]
    assert peer.conn.stats()["limits"].keys() >= {"max_control_frames"}


@row("SEC-1-9")
def test_max_empty_frames(make):
    def step(peer):
        peer.feed(f.data(1))

    peer = make("server", limits={"max_empty_frames": 10})
    peer.post()
    for _ in range(10):
        step(peer)
    peer.feed(f.data(1, b"content"))
    for _ in range(10):
        step(peer)
    untouched(peer)
    for _ in range(11):
        step(peer)
    calm(peer, "max_empty_frames")


@row("SEC-1-9")
def test_empty_frames_between_requests(make):
    """Only those in a row count: what a request holds, or ends, is no flood."""
    peer = make("server", limits={"max_empty_frames": 2})
    for _ in range(10):
        stream_id = peer.post()
        peer.feed(f.data(stream_id), f.data(stream_id), f.data(stream_id, end_stream=True))
        stream_id = peer.post()
        peer.feed(f.data(stream_id), f.data(stream_id))
    untouched(peer)
    peer.feed(f.data(peer.post()) * 3)
    calm(peer, "max_empty_frames")


@row("SEC-1-9")
def test_padding_alone_counts_as_empty(make):
    peer = make("server", limits={"max_empty_frames": 10})
    peer.post()
    for _ in range(10):
        peer.feed(f.data(1, pad=100))
    assert not peer.conn.terminated
    peer.feed(f.data(1, pad=100))
    calm(peer, "max_empty_frames")


@row("SEC-1-9")
def test_empty_continuations_count(make):
    peer = make("server", limits={"max_empty_frames": 5, "max_continuations": None})
    peer.feed(f.headers(1, b"", True, end_headers=False))
    for _ in range(4):
        peer.feed(f.continuation(1, b"", end_headers=False))
    assert not peer.conn.terminated
    peer.feed(f.continuation(1, b"", end_headers=False))
    calm(peer, "max_empty_frames")


@row("SEC-9-1")
def test_small_data(make):
    peer = make("server", limits={"small_data": 2550})
    peer.post()
    peer.feed(f.data(1, bytes(256)))  # not a small one
    for _ in range(16 + 10):
        peer.feed(f.data(1, b"x"))  # after the first 16 each costs 255 and refunds 1
    untouched(peer)
    peer.feed(f.data(1, bytes(2550)))  # refunded by payload
    for _ in range(10):
        peer.feed(f.data(1, b"x"))
    untouched(peer)
    peer.feed(f.data(1, b"x"))
    calm(peer, "small_data")


@row("SEC-9-1")
def test_small_data_on_many_streams(make):
    """An octet a frame, in turns: what one body leaves of its free frames is no other's."""
    peer = make("server", limits={"small_data": 2540})
    unused = [peer.post() for _ in range(50)]
    bodies = [peer.post() for _ in range(50)]
    for _ in range(16):
        peer.feed(*[f.data(stream_id, b"x") for stream_id in bodies])
    peer.feed(*[f.data(stream_id, b"x") for stream_id in bodies[:10]])
    untouched(peer)
    peer.feed(f.data(unused[0], b"x"))
    untouched(peer)
    peer.feed(f.data(bodies[0], b"x"))
    calm(peer, "small_data")


PIECES = {
    "two small frames": lambda n: [f.data(n, b'{"a":'), f.data(n, b"1}", end_stream=True)],
    "padding at the end": lambda n: [f.data(n, b"{}"), f.data(n, b"", end_stream=True, pad=3)],
    "a form": lambda n: [*[f.data(n, b"field")] * 15, f.data(n, b"--", end_stream=True)],
}


@row("SEC-9-1")
@pytest.mark.parametrize("pieces", PIECES)
def test_small_bodies_in_pieces_are_no_attack(make, pieces):
    """One after the other, while the clock stands still."""
    peer = make("server")
    for _ in range(500):
        stream_id = peer.post()
        peer.feed(*PIECES[pieces](stream_id))
        peer.conn.respond(stream_id, [(":status", "204")], True)
        peer.sent()
    assert peer.conn.open_streams == 0
    untouched(peer)


@row("SEC-9-1")
@pytest.mark.parametrize("pieces", PIECES)
def test_thousands_of_small_bodies_at_once_are_no_attack(make, pieces):
    peer = make("server", handshake=False, settings={"max_concurrent_streams": 3001})
    peer.handshake()
    opened = [peer.post() for _ in range(3000)]
    assert peer.conn.open_streams == 3000
    for stream_id in opened:
        peer.feed(*PIECES[pieces](stream_id))
    untouched(peer)
    assert len([x for x in peer.events if getattr(x, "data", b"")]) >= 3000


def test_many_small_bodies_are_no_attack(make):
    """A frame each, or two with its end, one after the other or at once; and a slow stream."""
    peer = make("server", limits={"small_data": 2560, "max_pending_resets": None})
    for n in range(300):
        peer.post(stream_id=1 + 2 * n)
        peer.feed(f.data(1 + 2 * n, b'{"a":1}', end_stream=n % 2 == 0))
        if n % 2:
            peer.feed(f.data(1 + 2 * n, b"", end_stream=True))
        peer.conn.respond(1 + 2 * n, [(":status", "204")], True)
        peer.sent()
    untouched(peer)
    opened = range(701, 1101, 2)
    for stream_id in opened:
        peer.post(stream_id=stream_id)
    for stream_id in opened:
        peer.feed(f.data(stream_id, b"x"))
    untouched(peer)
    stream_id = opened[0]
    for _ in range(300):
        peer.tick(0.011)
        peer.feed(f.data(stream_id, b"x"))
    untouched(peer)


def test_small_messages_of_a_websocket_cost_nothing(make):
    peer = make("server", limits={"small_data": 1}, auto_credit=True)
    stream_id = peer.websocket()
    small = peer.message(stream_id, b"12345")
    for _ in range(50):
        peer.feed(*[small] * 200)
        peer.sent()
    assert len(of(peer.events, "BytesMessage")) == 10_000
    untouched(peer)


@row("SEC-1-6")
@pytest.mark.parametrize(
    "frame", [f.priority(1), f.priority_update(1)], ids=["priority", "priority-update"]
)
def test_max_priority_frames(make, frame):
    peer = make("server", limits={"max_priority_frames": 10})
    peer.post()
    peer.feed(*[frame] * 20)  # one stream was opened, plus one
    assert not peer.conn.terminated
    assert peer.conn.stats()["limits"] == {}
    peer.feed(frame)
    calm(peer, "max_priority_frames")


@row("SEC-1-7")
def test_max_window_updates(make):
    peer = make("server", limits={"max_window_updates": 20})
    stream_id = peer.get()
    peer.feed(*[f.window_update(stream_id, 1)] * 7)  # 5, and 2 for a stream
    assert peer.conn.stats()["limits"] == {}
    peer.conn.respond(stream_id, OK)
    peer.conn.send_data(stream_id, b"x")
    peer.sent()
    peer.feed(*[f.window_update(stream_id, 1)] * 20)  # for a DATA frame
    assert not peer.conn.terminated
    peer.feed(f.window_update(stream_id, 1))
    calm(peer, "max_window_updates")


@row("SEC-1-7")
def test_windows_of_an_octet(make):
    peer = make(
        "server",
        limits={"dribble_burst": 10, "dribble_rate": 1},
        peer_settings=[(f.INITIAL_WINDOW_SIZE, 0)],
    )
    stream_id = peer.websocket()
    peer.conn.send_message(stream_id, bytes(100_000))

    def grant(n):
        peer.feed(f.window_update(stream_id, n))
        return [len(x.payload) for x in peer.sent() if x.kind == f.DATA]

    assert [grant(1) for _ in range(9)] == [[1]] * 9
    assert grant(255) == [255]
    peer.now += 5.0  # five are forgiven
    peer.feed(f.window_update(stream_id, 1), f.window_update(stream_id, 1))  # one read, one frame
    assert [len(x.payload) for x in peer.sent() if x.kind == f.DATA] == [2]
    assert [grant(255) for _ in range(4)] == [[255]] * 4
    assert [grant(256) for _ in range(20)] == [[256]] * 20  # not tiny, and each gives one back
    assert peer.conn.stats()["dribbles"] == 15
    assert [grant(1) for _ in range(10)] == [[1]] * 10
    assert peer.conn.stats()["limits"] == {}
    peer.feed(f.window_update(stream_id, 1))
    calm(peer, "dribble_burst")


@row("SEC-1-7")
def test_settings_that_let_out_an_octet_of_each_stream(make):
    """One SETTINGS of 15 octets would bring a thousand DATA frames, and so on without end."""
    peer = make("server", peer_settings=[(f.INITIAL_WINDOW_SIZE, 0)])
    for _ in range(500):
        peer.conn.send_message(peer.websocket(), bytes(1000))
    came = 0
    for size in range(1, 10):
        peer.feed(f.settings((f.INITIAL_WINDOW_SIZE, size)))
        came += sum(x.kind == f.DATA for x in peer.sent())
        if peer.conn.terminated:
            break
    assert 1000 <= came <= 1500
    assert peer.conn.stats()["limits"] == {"dribble_burst": 1}
    assert peer.frames[-1].kind == f.GOAWAY
    assert peer.frames[-1].error_code == f.ENHANCE_YOUR_CALM


@row("SEC-1-7")
def test_the_last_octets_are_no_dribble(make):
    peer = make("server", limits={"dribble_burst": 1, "dribble_rate": 0})
    stream_id = peer.websocket()
    for _ in range(1000):
        peer.conn.send_message(stream_id, b"tiny")
        peer.sent()
        peer.feed(f.window_update(stream_id, 6), f.window_update(0, 6))
    assert peer.conn.stats()["dribbles"] == 0
    untouched(peer)


@row("SEC-9-1")
def test_max_pings(make):
    peer = make("server", limits={"max_pings": 3})
    for i in range(3):
        peer.conn.ping(0, bytes(7) + bytes((i,)))
    with pytest.raises(peer.errors.LocalProtocolError):
        peer.conn.ping(0, b"too many")
    assert [x.kind for x in peer.sent()] == [f.PING] * 3
    peer.feed(f.ping(bytes(8), ack=True))
    peer.conn.ping(0, b"another!")
    assert peer.pull() == f.ping(b"another!")


@row("SEC-9-1")
@pytest.mark.parametrize("role", ["client", "server"])
def test_max_goaways(make, role):
    """Each takes back a little more, which is a look at every stream and an event."""
    peer = make(role, limits={"max_goaways": 3})
    peer.websocket()
    # A graceful shutdown and an error are nobody's flood.
    for last in (2**31 - 1, 99, 97, 95, 93):
        peer.feed(f.goaway(last))
    assert kinds(peer.events) == ["GoawayReceived"] * 5
    assert peer.conn.stats()["limits"] == {}
    peer.feed(f.goaway(91), f.goaway(89), f.ping())
    assert len(of(peer.events, "GoawayReceived")) == 5
    calm(peer, "max_goaways")


# -- time --------------------------------------------------------------------------------------


@row("SEC-4-2")
@pytest.mark.parametrize("said", [b"", f.MAGIC[:10], f.MAGIC, f.MAGIC + f.settings()[:5]])
def test_preface_timeout(make, said):
    peer = make("server", handshake=False, limits={"preface_timeout_s": 3.0})
    peer.sent()
    peer.feed(said)
    peer.tick(2.9)
    assert not peer.conn.terminated
    peer.tick(0.2)
    peer.sent()
    assert kinds(peer.events) == ["Terminated"]
    assert peer.conn.terminated
    assert peer.conn.stats()["limits"] == {"preface_timeout_s": 1}


@row("SEC-4-2")
def test_clients_preface_timeout(make):
    peer = make("client", handshake=False, limits={"preface_timeout_s": 3.0})
    peer.conn.request(GET)
    peer.sent()
    peer.tick(3.1)
    peer.sent()
    assert kinds(peer.events) == ["Reset", "Terminated"]


def test_settings_timeout(make):
    peer = make("server", handshake=False, limits={"settings_timeout_s": 3.0})
    peer.sent()
    peer.feed(f.MAGIC, f.settings())
    peer.tick(3.1)
    peer.expect_connection_error(f.SETTINGS_TIMEOUT)
    reached(peer, "settings_timeout_s")


@row("SEC-2-2")
def test_header_block_timeout(make):
    peer = make("server", limits={"header_block_timeout_s": 3.0})
    peer.feed(f.headers(1, b"\x82", True, end_headers=False))
    peer.pull()
    peer.tick(2.0)
    peer.feed(f.continuation(1, b"\x84", end_headers=False))
    peer.pull()
    assert not peer.conn.terminated
    peer.tick(1.1)  # what came meanwhile buys no time
    calm(peer, "header_block_timeout_s")


@row("8441-5h-6")
def test_handshake_timeout_of_a_client(make):
    peer = make("client", limits={"handshake_timeout_s": 3.0})
    stream_id = peer.conn.connect_websocket("example.com", "/")
    peer.sent()
    peer.tick(2.9)
    assert peer.events == []
    peer.frames.clear()
    peer.tick(0.2)
    peer.sent()
    assert peer.frames == [f.Frame(f.RST_STREAM, 0, stream_id, f.CANCEL.to_bytes(4, "big"))]
    assert kinds(peer.events) == ["Reset"]
    reached(peer, "handshake_timeout_s")
    peer.expect_alive()


def test_handshake_timeout_of_a_server(make):
    peer = make("server", limits={"handshake_timeout_s": 3.0})
    stream_id = peer.open(CONNECT)
    peer.sent()
    peer.tick(2.9)
    assert kinds(peer.events) == ["Requested"]
    peer.tick(0.2)
    peer.sent()
    answer = [x for x in peer.frames if x.stream_id == stream_id]
    assert answer[0].kind == f.RST_STREAM or answer[0].get(":status") == "408"
    assert kinds(peer.events) == ["Requested", "Reset"]
    reached(peer, "handshake_timeout_s")
    peer.expect_alive()


def test_close_timeout(make):
    for role in ("server", "client"):
        peer = make(role, limits={"close_timeout_s": 3.0})
        stream_id = peer.websocket()
        peer.conn.close_websocket(stream_id, 1000)
        peer.sent()
        peer.tick(2.9)
        assert peer.events == []
        peer.tick(0.2)
        peer.sent()
        # END_STREAM first; CANCEL when the peer does not end its side either.
        peer.tick(3.1)
        peer.sent()
        assert peer.frames[-1].kind == f.RST_STREAM
        assert peer.frames[-1].error_code == f.CANCEL
        assert kinds(peer.events) == ["Closed"]
        assert peer.conn.stats()["limits"].get("close_timeout_s")
        peer.expect_alive()


# -- WebSockets --------------------------------------------------------------------------------


def failed(peer, stream_id, code):
    """The WebSocket was failed with this code, and the connection lives."""
    data = b"".join(x.payload for x in peer.sent() if x.kind == f.DATA)
    assert [(x.opcode, x.close_code) for x in read_ws_frames(data)] == [(CLOSE, code)]
    peer.feed(f.data(stream_id, close_frame(code, key=KEY), end_stream=True))
    peer.sent()
    (closed,) = of(peer.events, "Closed")
    assert closed.sent[0] == code
    peer.expect_alive()


@row("SEC-5-1")
@pytest.mark.parametrize("length", [1001, 65536, 2**31, 2**62, 2**63 - 1])
def test_max_message(make, length):
    peer = make("server", limits={"max_message": 1000})
    stream_id = peer.websocket()
    peer.feed(peer.message(stream_id, bytes(1000)))
    assert [len(e.data) for e in of(peer.events, "BytesMessage")] == [1000]
    head = ws_frame(BINARY, b"", key=KEY, length=length)  # not one octet of it
    peer.feed(f.data(stream_id, head))
    reached(peer, "max_message")
    failed(peer, stream_id, 1009)


def test_max_message_in_fragments(make):
    peer = make("server", limits={"max_message": 1000})
    stream_id = peer.websocket()
    peer.feed(f.data(stream_id, ws_frame(BINARY, bytes(600), fin=False, key=KEY)))
    peer.feed(f.data(stream_id, ws_frame(CONTINUATION, b"", key=KEY, length=401)))
    reached(peer, "max_message")
    failed(peer, stream_id, 1009)


@row("SEC-5-1")
@pytest.mark.parametrize("frame", ["whole", "first", "later", "last"])
def test_max_fragment(make, frame):
    peer = make("server", limits={"max_message": 1000, "max_fragment": 100}, auto_credit=True)
    stream_id = peer.websocket()
    most, final = bytes(100), frame in ("whole", "last")
    begin = ws_frame(BINARY, most, fin=False, key=KEY)
    more = ws_frame(CONTINUATION, most, fin=False, key=KEY)
    peer.feed(f.data(stream_id, begin + more + ws_frame(CONTINUATION, most, key=KEY)))
    peer.feed(f.data(stream_id, ws_frame(BINARY, most, key=KEY)))
    assert [len(e.data) for e in of(peer.events, "BytesMessage")] == [300, 100]
    if frame in ("later", "last"):
        peer.feed(f.data(stream_id, begin + more))
    opcode = BINARY if frame in ("whole", "first") else CONTINUATION
    head = ws_frame(opcode, b"", fin=final, key=KEY, length=101)
    peer.feed(f.data(stream_id, head))
    reached(peer, "max_fragment")
    failed(peer, stream_id, 1009)


@row("SEC-5-3")
@pytest.mark.parametrize(
    ("name", "payload", "more"),
    [("max_fragments", b"x", 9), ("max_empty_fragments", b"", 10)],
)
def test_fragments_of_a_message(make, name, payload, more):
    peer = make("server", limits={name: 10})
    stream_id = peer.websocket()
    piece = ws_frame(CONTINUATION, payload, fin=False, key=KEY)
    peer.feed(f.data(stream_id, ws_frame(BINARY, payload, fin=False, key=KEY) + piece * more))
    peer.feed(f.data(stream_id, ws_frame(PING, b"between", key=KEY)))
    assert peer.conn.stats()["limits"] == {}
    assert [x.opcode for x in read_ws_frames(peer.sent()[-1].payload)] == [PONG]
    peer.feed(f.data(stream_id, piece))
    reached(peer, name)
    failed(peer, stream_id, 1008)


@row("SEC-5-3")
def test_long_messages_may_have_many_fragments(make):
    peer = make("server", limits={"max_fragments": 10}, auto_credit=True)
    stream_id = peer.websocket()
    piece = ws_frame(CONTINUATION, bytes(64), fin=False, key=KEY)
    peer.feed(f.data(stream_id, ws_frame(BINARY, bytes(64), fin=False, key=KEY)))
    for _ in range(100):
        peer.feed(f.data(stream_id, piece * 10))
        peer.sent()
    peer.feed(f.data(stream_id, ws_frame(CONTINUATION, b"", key=KEY)))
    assert [len(e.data) for e in of(peer.events, "BytesMessage")] == [64 * 1001]
    untouched(peer)


@row("SEC-5-4")
def test_max_pong_backlog(make):
    peer = make(
        "server",
        limits={"max_pong_backlog": 1000},
        peer_settings=[(f.INITIAL_WINDOW_SIZE, 300)],
        auto_credit=True,
    )
    stream_id = peer.websocket()
    for i in range(200):
        peer.feed(f.data(stream_id, ws_frame(PING, b"%0100d" % i, key=KEY)))
        peer.sent()
    assert peer.conn.waiting(stream_id) <= 1300
    assert set(peer.conn.stats()["limits"]) == {"max_pong_backlog"}
    peer.feed(f.window_update(stream_id, 100_000))
    peer.sent()
    octets = b"".join(x.payload for x in peer.frames if x.kind == f.DATA)
    pongs = read_ws_frames(octets)
    assert {x.opcode for x in pongs} == {PONG}
    assert pongs[-1].payload == b"%0100d" % 199  # the latest is answered
    assert len(pongs) < 20
    peer.expect_alive()


def test_max_buffered(make):
    peer = make("server", limits={"max_buffered": 50_000})
    greedy, modest = peer.websocket(), peer.websocket()
    peer.feed(peer.message(modest, bytes(1000)))
    for _ in range(10):
        peer.feed(peer.message(greedy, bytes(8000)))
    assert peer.conn.stats()["limits"].get("max_buffered")
    closes = [x for x in peer.sent() if x.kind == f.DATA]
    assert [x.stream_id for x in closes] == [greedy]
    assert [x.close_code for x in read_ws_frames(closes[0].payload)] == [1013]
    # What the greedy one brought counts no more: whoever keeps it is told to drop it.
    assert [x.stream_id for x in of(peer.events, "Shed")] == [greedy]
    assert peer.conn.octets_held == 1000 + EVENT_OCTETS
    # Giving back what was taken before is no mistake of the caller's, and gives nothing.
    brought = [x for x in of(peer.events, "BytesMessage") if x.stream_id == greedy]
    peer.sent()
    for message in brought:
        peer.conn.consumed(greedy, message.credit)
    assert peer.conn.octets_held == 1000 + EVENT_OCTETS and not peer.sent()
    peer.feed(peer.message(modest, b"unharmed"))
    assert peer.events[-1].data == b"unharmed"


@row("SEC-1-8")
def test_a_body_may_be_what_holds_most(make):
    peer = make("server", limits={"max_buffered": 50_000})
    modest, greedy = peer.websocket(), peer.post()
    peer.feed(peer.message(modest, bytes(1000)))
    for _ in range(7):
        peer.feed(f.data(greedy, bytes(8000)))
    resets = [x for x in peer.sent() if x.kind == f.RST_STREAM]
    assert [(x.stream_id, x.error_code) for x in resets] == [(greedy, f.ENHANCE_YOUR_CALM)]
    peer.feed(peer.message(modest, b"unharmed"))
    assert peer.events[-1].data == b"unharmed"


def test_max_buffered_of_what_is_not_answered(make):
    """Octets that came before the answer are held raw, and count like all others."""
    peer = make("server", limits={"max_buffered": 50_000})
    ids = [peer.open(CONNECT) for _ in range(10)]
    for number, stream_id in enumerate(ids):
        peer.feed(f.data(stream_id, bytes(6000 + number)))
    assert peer.conn.octets_held <= 50_000 + 6010
    # The two that held most were reset at once: a sixteenth is free again.
    assert peer.conn.stats()["limits"] == {"max_buffered": 1}
    resets = [x for x in peer.sent() if x.kind == f.RST_STREAM]
    assert [(x.stream_id, x.error_code) for x in resets] == [
        (ids[8], f.ENHANCE_YOUR_CALM),
        (ids[7], f.ENHANCE_YOUR_CALM),
    ]
    assert [e.stream_id for e in of(peer.events, "Reset")] == [ids[8], ids[7]]
    peer.conn.accept_websocket(ids[0])
    peer.next_id = ids[-1] + 2
    peer.expect_alive()


def test_max_queued(make):
    peer = make("server", limits={"max_queued": 100_000})
    stream_id = peer.websocket()
    peer.conn.send_message(stream_id, bytes(90_000))
    waiting = peer.conn.waiting(stream_id)
    with pytest.raises(peer.errors.LocalProtocolError):
        peer.conn.send_message(stream_id, bytes(20_000))
    assert peer.conn.waiting(stream_id) == waiting
    peer.feed(f.window_update(0, 10**6), f.window_update(stream_id, 10**6))
    peer.sent()
    peer.conn.send_message(stream_id, bytes(20_000))
    peer.sent()
    octets = b"".join(x.payload for x in peer.frames if x.kind == f.DATA)
    assert [len(x.payload) for x in read_ws_frames(octets)] == [90_000, 20_000]


def test_write_high_and_low(make):
    peer = make(
        "server",
        limits={"write_high": 1000, "write_low": 100},
        peer_settings=[(f.INITIAL_WINDOW_SIZE, 0)],
    )
    stream_id = peer.websocket()
    waiting = peer.conn.send_message(stream_id, bytes(1500))
    assert waiting == peer.conn.waiting(stream_id) >= 1500
    peer.feed(f.window_update(stream_id, waiting - 101))
    peer.sent()
    assert of(peer.more(), "Drained") == []
    assert peer.conn.waiting(stream_id) == 101
    peer.feed(f.window_update(stream_id, 1))
    peer.sent()
    assert [e.stream_id for e in of(peer.more(), "Drained")] == [stream_id]
    peer.conn.send_message(stream_id, bytes(500))  # never above the mark
    peer.feed(f.window_update(stream_id, 1000))
    peer.sent()
    assert of(peer.more(), "Drained") == []
