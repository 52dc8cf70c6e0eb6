"""Extended CONNECT from either end: draft-kinnear-httpbis-http2-transport-02, sections 2 and 3."""

import pytest

from tests.support import frames as f
from tests.support.peer import CONNECT, GET, OK, kinds, of
from tests.support.ws_frames import TEXT, read_ws_frames, ws_frame

ID = 0xFB00
ON = {"enable_bidirectional_connect": True}
BOTH = ((f.ENABLE_CONNECT_PROTOCOL, 1), (ID, 1))
BYTES = [
    (":method", "CONNECT"),
    (":protocol", "bytestream"),
    (":scheme", "https"),
    (":authority", "example.com"),
    (":path", "/"),
]
REFUSALS = {"501": [(":status", "501")], "403": [(":status", "403"), ("x-why", "no")]}


def opener(server, **more):
    """A peer that is a client before an engine that serves and may open streams to it."""
    return server(**{"settings": ON, "peer_settings": BOTH, **more})


def taker(client, **more):
    """A peer that is a server before an engine that is a client and takes streams of it."""
    return client(**{"settings": ON, "peer_settings": BOTH, **more})


def octets_of(events):
    return b"".join(event.data for event in of(events, "Data"))


# -- the setting -------------------------------------------------------------------------------


@pytest.mark.row("KIN-2-1")
def test_the_setting_is_not_sent_unless_it_is_switched_on(either):
    peer = either(handshake=False)
    (settings,) = [x for x in peer.sent() if x.kind == f.SETTINGS]
    sent = dict(settings.settings)
    assert ID not in sent
    assert (f.ENABLE_CONNECT_PROTOCOL in sent) == (peer.role == "server")
    assert (f.MAX_CONCURRENT_STREAMS in sent) == (peer.role == "server")


@pytest.mark.row("KIN-2-1", "KIN-2-3")
@pytest.mark.parametrize("number", [ID, 0xF123])
def test_who_takes_connect_sends_both_settings(either, number):
    settings = {**ON, "bidirectional_connect_id": number, "max_concurrent_streams": 7}
    peer = either(settings=settings, handshake=False)
    (first,) = [x for x in peer.sent() if x.kind == f.SETTINGS]
    sent = dict(first.settings)
    assert sent[f.ENABLE_CONNECT_PROTOCOL] == sent[number] == 1
    assert sent[f.MAX_CONCURRENT_STREAMS] == 7
    assert (number == ID) == (ID in sent)


@pytest.mark.row("KIN-2-3")
def test_who_takes_no_connect_sends_neither(either):
    peer = either(settings={**ON, "enable_connect_protocol": False}, handshake=False)
    (first,) = [x for x in peer.sent() if x.kind == f.SETTINGS]
    assert not {f.ENABLE_CONNECT_PROTOCOL, ID} & dict(first.settings).keys()


@pytest.mark.row("KIN-2-1")
def test_numbers_that_mean_something_else_are_no_numbers_for_it(twin):
    for number in (0, f.ENABLE_CONNECT_PROTOCOL, f.NO_RFC7540_PRIORITIES, 2**16, -1, True, "8"):
        with pytest.raises(ValueError):
            twin.Settings(bidirectional_connect_id=number)


@pytest.mark.row("KIN-2-1")
def test_a_value_other_than_0_and_1_is_a_connection_error(either):
    peer = either(settings=ON)
    peer.feed(f.settings((ID, 2)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@pytest.mark.row("KIN-2-1")
def test_where_it_is_off_the_number_means_nothing(either):
    peer = either()
    for value in (1, 2, 0, 2**32 - 1):
        assert kinds(peer.feed(f.settings((ID, value)))) == ["SettingsChanged"]
    assert not peer.conn.peer_bidirectional
    peer.sent()
    peer.expect_alive()


@pytest.mark.row("KIN-2-2")
@pytest.mark.parametrize("frames", [((ID, 1), (ID, 0)), ((ID, 1),)])
def test_the_setting_taken_back_is_a_connection_error(either, frames):
    """Within one frame, or in a later one."""
    peer = either(settings=ON, peer_settings=())
    peer.feed(f.settings(*frames))
    if len(frames) == 1:
        peer.sent()
        assert peer.conn.peer_bidirectional
        peer.feed(f.settings((ID, 1)), f.settings())
        peer.sent()
        peer.feed(f.settings((ID, 0)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@pytest.mark.row("KIN-2-2")
def test_connect_taken_back_by_a_client_is_a_connection_error(server):
    peer = opener(server)
    peer.feed(f.settings((f.ENABLE_CONNECT_PROTOCOL, 0)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@pytest.mark.row("KIN-2-2")
def test_this_end_never_takes_it_back(either):
    peer = either(settings=ON)
    for number in (ID, f.ENABLE_CONNECT_PROTOCOL):
        with pytest.raises(peer.errors.LocalProtocolError):
            peer.conn.update_settings({number: 0})
    assert peer.sent() == []


@pytest.mark.row("KIN-2-4", "KIN-2-5")
@pytest.mark.parametrize(
    "told", [(), BOTH[:1], BOTH[1:], ((f.ENABLE_CONNECT_PROTOCOL, 0), (ID, 1))]
)
def test_a_server_opens_nothing_before_it_has_both_settings(server, told):
    peer = opener(server, peer_settings=told)
    assert not peer.conn.can_connect
    for attempt in (
        lambda: peer.conn.request(BYTES, end_stream=False),
        lambda: peer.conn.request(CONNECT, end_stream=False, octets=True),
        lambda: peer.conn.connect_websocket("example.com", "/chat"),
    ):
        with pytest.raises(peer.errors.ExtendedConnectUnsupported):
            attempt()
    assert peer.sent() == []
    peer.feed(f.settings(*BOTH))
    assert peer.conn.can_connect
    assert peer.conn.request(BYTES, end_stream=False) == 2


@pytest.mark.row("KIN-2-4")
def test_a_server_opens_connect_alone(server):
    peer = opener(server)
    for fields in (GET, [(":method", "CONNECT"), (":authority", "example.com:80")]):
        with pytest.raises(peer.errors.LocalProtocolError):
            peer.conn.request(fields, end_stream=False)
    assert peer.sent() == []


@pytest.mark.row("KIN-2-5")
def test_without_it_connect_from_a_client_means_nothing(server):
    peer = server(peer_settings=((f.ENABLE_CONNECT_PROTOCOL, 1),))
    assert not peer.conn.can_connect
    peer.feed(f.settings((f.ENABLE_CONNECT_PROTOCOL, 0)))
    peer.sent()
    with pytest.raises(peer.errors.LocalProtocolError, match="only a client opens"):
        peer.conn.request(BYTES, end_stream=False)
    peer.expect_alive()


# -- streams of a server: the end that opens them ------------------------------------------------


@pytest.mark.row("KIN-3-1", "KIN-3-6")
def test_a_servers_streams_are_even_and_grow_beside_the_clients(server):
    peer = opener(server)
    peer.get(99)
    assert [peer.conn.request(BYTES, end_stream=False) for _ in range(3)] == [2, 4, 6]
    heads = [x for x in peer.sent() if x.kind == f.HEADERS]
    assert [head.stream_id for head in heads] == [2, 4, 6]
    assert heads[0].get(":protocol") == "bytestream" and not heads[0].end_stream
    came = peer.feed(*(peer.headers(i, OK) for i in (4, 2, 6)))
    assert [(type(e).__name__, e.stream_id) for e in came] == [
        ("Opened", 4),
        ("Opened", 2),
        ("Opened", 6),
    ]
    # Numbers below 99 were passed over by the client, and by nobody else.
    peer.feed(f.headers(97, peer.block(GET), True))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@pytest.mark.row("KIN-3-6")
def test_numbers_that_one_end_passed_over_are_the_others_to_use(server):
    peer = opener(server)
    peer.get(99)
    peer.conn.respond(99, [(":status", "204")], end_stream=True)
    stream_id = peer.conn.request(BYTES, end_stream=False)
    peer.sent()
    peer.feed(f.rst_stream(stream_id))
    peer.forget()
    # HEADERS on a stream that the peer has reset: an error of that stream.
    peer.feed(peer.headers(stream_id, OK))
    peer.expect_stream_error(stream_id, f.STREAM_CLOSED)


@pytest.mark.row("KIN-3-2")
def test_the_clients_limit_bounds_what_a_server_opens(server):
    peer = opener(server, peer_settings=((f.ENABLE_PUSH, 0), (f.MAX_CONCURRENT_STREAMS, 1), *BOTH))
    peer.get()  # the client's own count apart
    assert peer.conn.request(BYTES, end_stream=False) == 2
    with pytest.raises(peer.errors.NoAvailableStreams):
        peer.conn.request(BYTES, end_stream=False)
    peer.feed(f.rst_stream(2))
    assert peer.conn.request(BYTES, end_stream=False) == 4


@pytest.mark.row("KIN-3-5")
def test_a_clients_goaway_stops_a_server(server):
    peer = opener(server)
    first, second = (peer.conn.request(BYTES, end_stream=False) for _ in range(2))
    mine = peer.get()
    peer.feed(peer.headers(first, OK))
    came = peer.feed(f.goaway(first))
    (reset,) = of(came, "Reset")
    assert (reset.stream_id, reset.retryable) == (second, True)
    with pytest.raises(peer.errors.NoAvailableStreams):
        peer.conn.request(BYTES, end_stream=False)
    # What is open goes on, at both ends.
    assert octets_of(peer.feed(f.data(first, b"on"))) == b"on"
    peer.conn.respond(mine, OK, end_stream=True)
    assert not peer.conn.terminated


@pytest.mark.row("KIN-3-3")
def test_a_websocket_that_a_server_opens_is_masked_by_the_server(server):
    peer = opener(server)
    stream_id = peer.conn.connect_websocket("example.com", "/chat", subprotocols=["a", "b"])
    (head,) = [x for x in peer.sent() if x.kind == f.HEADERS]
    assert head.get(":protocol") == "websocket"
    (opened,) = peer.feed(peer.headers(stream_id, [*OK, ("sec-websocket-protocol", "b")]))
    assert opened.subprotocol == "b"
    peer.conn.send_message(stream_id, "hello")
    (data,) = [x for x in peer.sent() if x.kind == f.DATA]
    (frame,) = read_ws_frames(data.content)
    assert frame.key and frame.payload == b"hello"
    (message,) = peer.feed(f.data(stream_id, ws_frame(TEXT, b"back", key=None)))
    assert message.data == "back"
    # One that is masked is a fault of the end that opened nothing.
    peer.feed(f.data(stream_id, ws_frame(TEXT, b"back", key=b"1234")))
    (data,) = [x for x in peer.sent() if x.kind == f.DATA]
    assert read_ws_frames(data.content)[0].close_code == 1002


def test_broadcasts_reach_websockets_of_both_ends(server):
    peer = opener(server)
    theirs = [peer.websocket() for _ in range(5)]
    mine = peer.conn.connect_websocket("example.com", "/chat")
    peer.feed(peer.headers(mine, OK))
    peer.sent()
    peer.conn.send_many([*theirs, mine], "to all")
    found = {x.stream_id: read_ws_frames(x.content)[0] for x in peer.sent() if x.kind == f.DATA}
    assert {i: frame.key is not None for i, frame in found.items()} == {
        **dict.fromkeys(theirs, False),
        mine: True,
    }
    assert all(frame.payload == b"to all" for frame in found.values())


def test_a_servers_wish_for_priority_stays_with_it(server):
    """RFC 9218 section 7.1: a server sends no PRIORITY_UPDATE. It heeds the wish itself."""
    peer = opener(server, peer_settings=(*BOTH, (f.NO_RFC7540_PRIORITIES, 1)))
    stream_id = peer.conn.request([*BYTES, ("priority", "u=5")], end_stream=False)
    peer.sent()
    assert peer.conn.priority(stream_id) == (5, True)
    peer.conn.prioritize(stream_id, 1)
    assert peer.conn.priority(stream_id) == (1, True)
    assert peer.sent() == []


def test_a_client_that_takes_streams_waits_as_long_as_an_idle_one(server):
    limits = {"first_request_timeout_s": 5.0, "idle_timeout_s": 50.0}
    silent = server(limits=limits)
    silent.tick(6)
    assert [x for x in silent.sent() if x.kind == f.GOAWAY]
    peer = opener(server, limits=limits)
    peer.tick(49)
    assert peer.sent() == []
    stream_id = peer.conn.request(BYTES, end_stream=False)
    peer.sent()
    peer.feed(peer.headers(stream_id, OK))
    peer.tick(100)
    assert not [x for x in peer.sent() if x.kind == f.GOAWAY]
    peer.feed(f.rst_stream(stream_id))
    peer.sent()
    peer.tick(51)
    assert [x for x in peer.sent() if x.kind == f.GOAWAY]


def test_a_stream_that_is_not_opened_leaves_the_clock_of_the_first_request(server):
    peer = server(settings=ON, peer_settings=(), limits={"first_request_timeout_s": 5.0})
    peer.feed(f.settings(*BOTH, (f.MAX_CONCURRENT_STREAMS, 0)))
    peer.sent()
    with pytest.raises(peer.errors.NoAvailableStreams):
        peer.conn.request(BYTES, end_stream=False)
    peer.tick(6)
    assert [x for x in peer.sent() if x.kind == f.GOAWAY]


@pytest.mark.row("KIN-3-2")
def test_whose_streams_are_open(either):
    """The limit of either end bounds those of the other alone."""
    peer = either(settings=ON, peer_settings=(*BOTH, (f.MAX_CONCURRENT_STREAMS, 2)))
    theirs = 1 if peer.role == "server" else 2
    for stream_id in range(theirs, theirs + 6, 2):
        peer.feed(peer.headers(stream_id, BYTES))
    assert (peer.conn.open_streams, peer.conn.own_streams) == (3, 0)
    mine = [peer.conn.request(BYTES, end_stream=False) for _ in range(2)]
    with pytest.raises(peer.errors.NoAvailableStreams):
        peer.conn.request(BYTES, end_stream=False)
    assert (peer.conn.open_streams, peer.conn.own_streams) == (5, 2)
    peer.feed(f.rst_stream(mine[0]))
    assert (peer.conn.open_streams, peer.conn.own_streams) == (4, 1)
    peer.conn.request(BYTES, end_stream=False)


# -- streams of a server: the end that takes them ------------------------------------------------


@pytest.mark.row("KIN-3-3")
def test_a_client_takes_a_servers_stream_as_a_request(client):
    peer = taker(client)
    (requested,) = peer.feed(peer.headers(2, [*BYTES, ("x-app", "1")]))
    assert type(requested).__name__ == "Requested"
    assert (requested.method, requested.protocol, requested.path) == ("CONNECT", "bytestream", "/")
    peer.conn.respond(2, [*OK, ("x-answer", "2")])
    (head,) = [x for x in peer.sent() if x.kind == f.HEADERS]
    assert head.stream_id == 2 and head.get(":status") == "200" and head.get("x-answer") == "2"
    assert octets_of(peer.feed(f.data(2, b"octets"))) == b"octets"
    peer.conn.send_data(2, b"answer", True)
    (data,) = [x for x in peer.sent() if x.kind == f.DATA]
    assert data.content == b"answer" and data.end_stream
    assert kinds(peer.feed(f.data(2, b"", True))) == ["Ended"]
    peer.expect_alive()


@pytest.mark.row("KIN-3-3")
def test_a_client_accepts_a_websocket(client):
    peer = taker(client)
    peer.feed(peer.headers(2, [*CONNECT, ("sec-websocket-protocol", "a, b")]))
    peer.conn.accept_websocket(2, "b")
    (head,) = [x for x in peer.sent() if x.kind == f.HEADERS]
    assert head.get("sec-websocket-protocol") == "b"
    (message,) = of(peer.feed(f.data(2, ws_frame(TEXT, b"hello", key=b"1234"))), "TextMessage")
    assert message.data == "hello"
    peer.conn.send_message(2, "back")
    (data,) = [x for x in peer.sent() if x.kind == f.DATA]
    (frame,) = read_ws_frames(data.content)
    assert not frame.key and frame.payload == b"back"


@pytest.mark.row("KIN-3-3")
@pytest.mark.parametrize(
    "fields",
    [
        GET,
        [(":method", "CONNECT"), (":authority", "example.com:80")],
        [(":method", "CONNECT"), (":authority", "example.com:0")],
        [pair for pair in BYTES if pair[0] != ":path"],
        [pair for pair in BYTES if pair[0] != ":authority"],
        [(":method", "GET"), *BYTES[1:]],
        [*BYTES[:1], (":protocol", "a, b"), *BYTES[2:]],
        [*BYTES, ("connection", "close")],
        [(":status", "200")],
    ],
)
def test_anything_else_of_a_server_is_malformed(client, fields):
    peer = taker(client)
    peer.feed(peer.headers(2, fields))
    assert of(peer.events, "Requested") == []
    peer.expect_stream_error(2, f.PROTOCOL_ERROR)


@pytest.mark.row("KIN-3-4")
def test_where_it_is_off_a_servers_stream_is_a_connection_error(client):
    peer = client(peer_settings=BOTH)
    peer.feed(peer.headers(2, BYTES))
    peer.expect_connection_error(f.PROTOCOL_ERROR, last_stream_id=0)


@pytest.mark.row("KIN-3-4")
def test_before_the_acknowledgement_it_is_a_connection_error(client):
    peer = client(settings=ON, handshake=False)
    peer.sent()
    peer.feed(f.settings(*BOTH))
    peer.feed(peer.headers(2, BYTES))
    peer.expect_connection_error(f.PROTOCOL_ERROR, last_stream_id=0)


@pytest.mark.row("KIN-3-4")
def test_a_server_opens_no_odd_and_a_client_no_even_stream(client, server):
    peer = taker(client)
    peer.feed(peer.headers(3, BYTES))
    peer.expect_connection_error(f.PROTOCOL_ERROR)
    peer = opener(server)
    peer.feed(peer.headers(4, BYTES))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@pytest.mark.row("KIN-3-2")
def test_beyond_the_clients_limit_streams_are_refused(client):
    peer = taker(client, settings={**ON, "max_concurrent_streams": 1})
    peer.conn.request(GET)  # its own count apart
    peer.sent()
    peer.feed(peer.headers(2, BYTES), peer.headers(4, BYTES))
    assert [e.stream_id for e in of(peer.events, "Requested")] == [2]
    (reset,) = [x for x in peer.sent() if x.kind == f.RST_STREAM]
    assert (reset.stream_id, reset.error_code) == (4, f.REFUSED_STREAM)
    peer.feed(f.rst_stream(2), peer.headers(6, BYTES))
    assert [e.stream_id for e in of(peer.events, "Requested")] == [2, 6]
    assert peer.conn.stats()["limits"]["max_concurrent_streams"] == 1


@pytest.mark.row("KIN-3-6", "KIN-3-1")
def test_a_servers_numbers_only_grow(client):
    peer = taker(client)
    ids = [peer.conn.request(GET) for _ in range(3)]
    peer.feed(peer.headers(8, BYTES))
    # 1, 3 and 5 stand between the numbers that the server passed over, and are not its own.
    peer.feed(*(peer.headers(i, [(":status", "204")], True) for i in ids))
    assert [e.stream_id for e in of(peer.events, "Responded")] == ids
    peer.forget()
    peer.feed(peer.headers(6, BYTES))
    peer.expect_connection_error(f.PROTOCOL_ERROR, last_stream_id=8)


@pytest.mark.row("KIN-3-5")
def test_a_clients_shutdown_names_the_last_stream_it_took(client):
    """Two GOAWAYs, as a server's: a stream that was under way is still served."""
    peer = taker(client)
    peer.feed(peer.headers(2, BYTES))
    peer.conn.respond(2, OK)
    peer.sent()
    peer.conn.shutdown()
    goaway, ping = peer.sent()
    assert (goaway.kind, goaway.last_stream_id, ping.kind) == (f.GOAWAY, 2**31 - 1, f.PING)
    peer.feed(peer.headers(4, BYTES))
    peer.feed(f.ping(ping.payload, ack=True))
    (goaway,) = [x for x in peer.sent() if x.kind == f.GOAWAY]
    assert goaway.last_stream_id == 4
    peer.forget()
    peer.feed(peer.headers(6, BYTES))
    assert peer.events == [] and peer.sent() == []
    peer.conn.respond(4, [(":status", "501")], end_stream=True)
    peer.feed(f.data(4, b"", True), f.data(2, b"", True))
    assert not peer.conn.terminated
    peer.conn.send_data(2, b"", True)
    assert kinds(peer.more())[-1] == "Terminated"


@pytest.mark.row("KIN-3-5")
def test_a_connection_error_of_a_client_names_the_last_stream_it_took(client):
    peer = taker(client)
    peer.feed(peer.headers(6, BYTES), f.settings((ID, 2)))
    peer.expect_connection_error(f.PROTOCOL_ERROR, last_stream_id=6)


@pytest.mark.row("KIN-3.2-1")
@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_client_refuses_with_an_answer(client, refusal):
    peer = taker(client)
    peer.feed(peer.headers(2, BYTES))
    peer.conn.respond(2, REFUSALS[refusal], end_stream=True)
    (head,) = peer.sent()
    assert head.kind == f.HEADERS and head.end_stream and head.get(":status") == refusal
    peer.feed(f.data(2, b"late"), f.data(2, b"", True))
    assert of(peer.events, "Data") == of(peer.events, "Reset") == []
    peer.expect_alive()


@pytest.mark.row("KIN-3.2-1")
def test_a_server_hears_a_refusal(server):
    peer = opener(server)
    stream_id = peer.conn.request(BYTES, end_stream=False)
    peer.sent()
    came = peer.feed(peer.headers(stream_id, [(":status", "501")], True))
    assert kinds(came) == ["Responded"] and came[0].status == 501
    (end,) = peer.sent()
    assert end.kind == f.DATA and end.end_stream and end.stream_id == stream_id
    assert peer.conn.open_streams == 0


def test_a_client_that_says_nothing_in_time_answers_408(client):
    peer = taker(client, limits={"handshake_timeout_s": 5.0})
    peer.feed(peer.headers(2, BYTES))
    peer.sent()
    peer.tick(6)
    heads = [x for x in peer.sent() if x.kind == f.HEADERS and x.stream_id == 2]
    assert [head.get(":status") for head in heads] == ["408"]
    assert of(peer.events, "Reset")


def test_a_push_is_still_an_error_where_the_server_may_open_streams(client):
    peer = taker(client)
    peer.conn.request(GET)
    peer.sent()
    peer.feed(f.push_promise(1, 2, peer.block(GET)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


# -- both at once --------------------------------------------------------------------------------


def linked(twin, **settings):
    """A client and a server, connected, that both open streams."""
    ends = [twin.Connection(role, twin.Settings(**ON, **settings)) for role in twin.Role]
    carry(*ends)
    return ends


def carry(one, other):
    """Bring octets both ways until all is quiet; the events of each."""
    happened = ([], [])
    moved = True
    while moved:
        moved = False
        for source, target, events in ((one, other, happened[1]), (other, one, happened[0])):
            octets = b"".join(source.data_to_send())
            if octets:
                moved = True
                events += target.receive_data(octets)
            events += target.events()
    return happened


@pytest.mark.row("KIN-3-6")
def test_both_ends_open_at_once(twin):
    ends = linked(twin)
    ids = [[end.request(BYTES, end_stream=False) for _ in range(50)] for end in ends]
    assert ids == [list(range(1, 100, 2)), list(range(2, 101, 2))]
    happened = carry(*ends)
    for end, events, theirs in zip(ends, happened, reversed(ids), strict=True):
        assert [e.stream_id for e in of(events, "Requested")] == theirs
        for stream_id in theirs:
            end.respond(stream_id, OK)
            end.send_data(stream_id, b"%d" % stream_id, True)
    happened = carry(*ends)
    for end, events, mine in zip(ends, happened, ids, strict=True):
        assert [e.stream_id for e in of(events, "Opened")] == mine
        assert {e.stream_id: e.data for e in of(events, "Data")} == {i: b"%d" % i for i in mine}
        for stream_id in mine:
            end.send_data(stream_id, b"", True)
    carry(*ends)
    assert [end.open_streams for end in ends] == [0, 0]
    assert not any(end.terminated for end in ends)


@pytest.mark.row("KIN-3-5")
@pytest.mark.parametrize("who", [(0,), (1,), (0, 1)])
def test_either_end_shuts_down_and_both_streams_run_to_their_end(twin, who):
    ends = linked(twin)
    ids = [end.request(BYTES, end_stream=False) for end in ends]
    happened = carry(*ends)
    for end, stream_id in zip(ends, reversed(ids), strict=True):
        end.respond(stream_id, OK)
    carry(*ends)
    for index in who:
        ends[index].shutdown()
    carry(*ends)
    for index, end in enumerate(ends):
        if index not in who or len(who) == 2:
            with pytest.raises(Exception) as caught:
                end.request(BYTES, end_stream=False)
            assert type(caught.value).__name__ == "NoAvailableStreams"
    for end in ends:
        for stream_id in ids:
            end.send_data(stream_id, b"last words", True)
    happened = carry(*ends)
    for events in happened:
        assert sorted(e.stream_id for e in of(events, "Data")) == sorted(ids)
        assert of(events, "Reset") == []
        assert of(events, "Terminated")[0].error_code == 0


def test_websockets_compress_whoever_opened_them(twin):
    agreement = __import__(twin.__name__ + ".agreement", fromlist=["x"])
    client, server = linked(twin)
    stream_id = server.connect_websocket(
        "example.com", "/", deflate=agreement.ClientPerMessageDeflateFactory()
    )
    (requested,) = of(carry(client, server)[0], "Requested")
    assert requested.protocol == "websocket"
    client.accept_websocket(stream_id, deflate=agreement.ServerPerMessageDeflateFactory())
    carry(client, server)
    assert client.deflated(stream_id) is not None and server.deflated(stream_id) is not None
    text = "the same again " * 1000
    for end in (client, server):
        end.send_message(stream_id, text)
    for events in carry(client, server):
        assert [e.data for e in of(events, "TextMessage")] == [text]
    assert server.octets_held < 2 * len(text)
    client.close_websocket(stream_id)
    assert [of(events, "Closed")[0].code for events in carry(client, server)] == [1000, 1000]


# -- hostile servers -----------------------------------------------------------------------------


@pytest.mark.row("KIN-3-2", "SEC-1-1")
def test_rapid_resets_of_a_server_end_the_connection(make):
    peer = make("client", settings=ON, peer_settings=BOTH)
    block = peer.block(BYTES)
    peer.feed(
        *(octets for i in range(2, 2500, 2) for octets in (f.headers(i, block), f.rst_stream(i)))
    )
    peer.expect_connection_error(f.ENHANCE_YOUR_CALM)
    assert len(of(peer.events, "Requested")) <= 1001
    assert "reset_burst" in peer.conn.stats()["limits"]


@pytest.mark.row("SEC-1-2")
def test_resets_that_a_server_provokes_end_the_connection(make):
    peer = make("client", settings=ON, peer_settings=BOTH)
    block = peer.block(BYTES)
    peer.feed(
        *(
            octets
            for i in range(2, 2500, 2)
            for octets in (f.headers(i, block), f.window_update(i, 0))
        )
    )
    peer.expect_connection_error(f.ENHANCE_YOUR_CALM)
    assert "reset_burst" in peer.conn.stats()["limits"]


@pytest.mark.row("SEC-1-1")
def test_a_servers_malformed_requests_end_the_connection(make):
    peer = make("client", settings=ON, peer_settings=BOTH)
    block = peer.block(GET)
    peer.feed(*(f.headers(i, block, True) for i in range(2, 2500, 2)))
    peer.expect_connection_error(f.ENHANCE_YOUR_CALM)
    assert of(peer.events, "Requested") == []
