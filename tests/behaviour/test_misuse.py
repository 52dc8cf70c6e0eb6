"""Wrong calls: each gets the exception that says what to do, and nothing changes."""

import importlib

import pytest

from tests.support import frames as f
from tests.support.peer import CONNECT, EVENT_OCTETS, GET, OK, POST, errors, of
from tests.support.ws_frames import BINARY, read_ws_frames, ws_frame


def refused(peer, error, match, call, *arguments, **options):
    """The call raises, the wire and the events stay as they were, the connection lives on."""
    peer.forget()
    before = peer.conn.stats()
    with pytest.raises(error, match=match):
        call(*arguments, **options)
    assert peer.pull() == b""
    assert peer.more() == []
    after = peer.conn.stats()
    del before["limits"], after["limits"]
    assert after == before
    peer.expect_alive()


# -- numbers -------------------------------------------------------------------------------------

NO_INTEGERS = (1.5, 1.0, float("nan"), "1", b"1", None, [1])
TOO_LARGE = (2**63, 2**64, -(2**63) - 1)
BOTH = {  # what is called with a number, over HTTP/2 and over an upgraded connection
    "data_to_send": lambda conn, n: conn.data_to_send(n),
    "consumed of": lambda conn, n: conn.consumed(n, 0),
    "consumed": lambda conn, n: conn.consumed(1, n),
    "is_blocked": lambda conn, n: conn.is_blocked(n),
    "waiting": lambda conn, n: conn.waiting(n),
    "send_message": lambda conn, n: conn.send_message(n, "x"),
    "send_fragment": lambda conn, n: conn.send_fragment(n, "x", True),
}
STREAMS = {
    "send_many": lambda conn, n: conn.send_many([1, n], "x"),
    "send_data": lambda conn, n: conn.send_data(n, b"x"),
    "send_trailers": lambda conn, n: conn.send_trailers(n, []),
    "respond": lambda conn, n: conn.respond(n, OK),
    "accept_websocket": lambda conn, n: conn.accept_websocket(n),
    "ping": lambda conn, n: conn.ping(n),
    "pong": lambda conn, n: conn.pong(n),
    "close_websocket": lambda conn, n: conn.close_websocket(n),
    "reset": lambda conn, n: conn.reset(n),
    "attach": lambda conn, n: conn.attach(n, None),
    "prioritize": lambda conn, n: conn.prioritize(n, 1),
    "priority": lambda conn, n: conn.priority(n),
}


@pytest.mark.parametrize("verb", [*BOTH, *STREAMS])
def test_numbers_are_whole_and_no_others(make, verb):
    peer = make("server")
    peer.websocket()
    call = (BOTH | STREAMS)[verb]
    for n in NO_INTEGERS:
        refused(peer, TypeError, "integer", call, peer.conn, n)
    for n in TOO_LARGE:
        refused(peer, ValueError, "out of range", call, peer.conn, n)


@pytest.mark.parametrize("verb", BOTH)
def test_numbers_are_whole_and_no_others_on_an_upgraded_connection(twin, verb):
    h1 = importlib.import_module(".h1", twin.__name__)
    conn = h1.Upgraded(twin.Role.SERVER)
    before = conn.stats()
    for wrong, error in ((NO_INTEGERS, TypeError), (TOO_LARGE, ValueError)):
        for n in wrong:
            with pytest.raises(error):
                BOTH[verb](conn, n)
    assert conn.stats() == before
    assert conn.data_to_send() == []


# -- making a connection -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["settings", "limits"])
def test_what_a_connection_is_made_of(twin, name):
    with pytest.raises(TypeError, match=f"{name} must be a {name.title()}, not dict"):
        twin.Connection(twin.Role.SERVER, **{name: {}})


@pytest.mark.parametrize("name", ["CLIENT", "SERVER"])
@pytest.mark.parametrize("first", [-1, 0, 1, 2, 2**31, 2**31 + 1])
def test_first_stream_id(twin, name, first):
    role = twin.Role[name]
    if first == (1 if name == "CLIENT" else 2):
        twin.Connection(role, first_stream_id=first)
    else:
        with pytest.raises(ValueError, match="odd for a client, even for a server"):
            twin.Connection(role, first_stream_id=first)


@pytest.mark.parametrize("value", ["1", 1.0, None, True])
@pytest.mark.parametrize("name", ["max_frame_size", "initial_window_size"])
def test_settings_are_numbers(twin, name, value):
    with pytest.raises(ValueError, match=f"{name} must be an int between"):
        twin.Settings(**{name: value})


def test_the_low_mark_is_below_the_high_one(twin):
    twin.Limits(write_low=100, write_high=100)
    with pytest.raises(ValueError, match="write_low must not exceed write_high"):
        twin.Limits(write_low=101, write_high=100)


# -- octets in and out -------------------------------------------------------------------------


def test_octets_must_be_contiguous(make):
    peer = make("server")
    refused(peer, ValueError, "contiguous", peer.conn.receive_data, memoryview(bytes(8))[::2])


def test_a_pull_has_room_for_something(make):
    peer = make("server")
    refused(peer, ValueError, "max_bytes must be at least", peer.conn.data_to_send, 10)
    assert peer.conn.data_to_send(64) == []


def test_ctrl_c_in_a_sink_leaves_once_everything_was_read(make):
    peer = make("server")
    stream_id = peer.websocket()

    def interrupted(event):
        raise KeyboardInterrupt

    peer.conn.attach(stream_id, interrupted)
    with pytest.raises(KeyboardInterrupt):
        peer.feed(peer.message(stream_id), f.ping(b"after it"))
    assert [x.payload for x in peer.sent() if x.kind == f.PING] == [b"after it"]
    assert peer.more() == []  # it leaves once


# -- opening and answering ---------------------------------------------------------------------


def test_only_a_client_opens(make):
    peer = make("server")
    error = peer.errors.LocalProtocolError
    refused(peer, error, "only a client opens streams", peer.conn.request, GET)


def test_only_a_server_answers(make):
    peer = make("client")
    stream_id = peer.conn.request(GET)
    error = peer.errors.LocalProtocolError
    refused(peer, error, "was opened here", peer.conn.respond, stream_id, OK)


def test_subprotocols_are_a_sequence(make):
    peer = make("client")
    connect = peer.conn.connect_websocket
    refused(peer, TypeError, "a sequence of str", connect, "a.example", subprotocols="chat")
    refused(peer, TypeError, "a sequence of str", connect, "a.example", subprotocols=b"chat")


def test_a_websocket_is_accepted_as_one(make):
    peer = make("server")
    stream_id = peer.open(CONNECT)
    error = peer.errors.LocalProtocolError
    refused(peer, error, "accept_websocket", peer.conn.respond, stream_id, OK)
    other = peer.get()
    refused(peer, error, "does not ask for a WebSocket", peer.conn.accept_websocket, other)
    tunnel = peer.open([CONNECT[0], (":protocol", "else"), *CONNECT[2:5]])
    refused(peer, error, "does not ask for a WebSocket", peer.conn.accept_websocket, tunnel)
    peer.conn.accept_websocket(stream_id)
    assert [x.get(":status") for x in peer.sent()] == ["200"]


@pytest.mark.parametrize(
    "fields", [[(":path", "/")], [(":status", "200"), (":path", "/")], [("x", "y")]]
)
def test_a_response_has_its_one_pseudo_header(make, fields):
    peer = make("server")
    stream_id = peer.get()
    refused(peer, ValueError, "exactly one pseudo-header", peer.conn.respond, stream_id, fields)


# -- sending -----------------------------------------------------------------------------------


def test_data_needs_an_answer_before_it(make):
    peer = make("server")
    stream_id = peer.post()
    error = peer.errors.LocalProtocolError
    refused(peer, error, "respond\\(\\) first", peer.conn.send_data, stream_id, b"x")
    peer = make("client")
    stream_id = peer.conn.request([*CONNECT[:1], (":protocol", "else"), *CONNECT[2:5]], False)
    refused(peer, error, "wait for Opened", peer.conn.send_data, stream_id, b"x")


def test_data_after_the_end(make):
    error = make("server").errors.LocalProtocolError
    peer = make("server")
    stream_id = peer.post()
    peer.conn.respond(stream_id, OK)
    peer.conn.send_data(stream_id, bytes(70000), end_stream=True)  # more than the window takes
    refused(peer, error, "has ended", peer.conn.send_data, stream_id, b"x")
    trailed = peer.post()
    peer.conn.respond(trailed, OK)
    peer.conn.send_data(trailed, bytes(70000))
    peer.conn.send_trailers(trailed, [("x", "y")])
    refused(peer, error, "has ended", peer.conn.send_data, trailed, b"x")


def test_data_on_a_stream_that_is_over(make):
    peer = make("server")
    stream_id = peer.websocket()
    peer.conn.close_websocket(stream_id)
    refused(peer, peer.errors.StreamClosed, "clos", peer.conn.send_message, stream_id, b"x")
    refused(peer, peer.errors.StreamClosed, "clos", peer.conn.ping, stream_id)


def test_data_is_not_for_websockets(make):
    peer = make("server")
    stream_id = peer.websocket()
    error = peer.errors.LocalProtocolError
    refused(peer, error, "use send_message", peer.conn.send_data, stream_id, b"x")
    refused(peer, error, "no trailers", peer.conn.send_trailers, stream_id, [("x", "y")])


def test_messages_are_for_websockets(make):
    peer = make("server")
    stream_id = peer.post()
    peer.conn.respond(stream_id, OK)
    error = peer.errors.LocalProtocolError
    for call in (peer.conn.send_message, peer.conn.ping):
        refused(peer, error, "not an open WebSocket", call, stream_id, b"x")
    refused(peer, error, "not an open WebSocket", peer.conn.close_websocket, stream_id)


@pytest.mark.parametrize("verb", ["send_data", "send_message"])
def test_what_waits_on_a_connection_is_bounded(make, verb):
    peer = make("server", limits={"max_queued": 100000})
    if verb == "send_message":
        stream_id = peer.websocket()
    else:
        stream_id = peer.get()
        peer.conn.respond(stream_id, OK)
    send = getattr(peer.conn, verb)
    send(stream_id, bytes(65535))
    peer.sent()
    send(stream_id, bytes(99000))
    error = peer.errors.LocalProtocolError
    refused(peer, error, "send less until Drained", send, stream_id, bytes(2000))
    assert peer.conn.stats()["limits"] == {"max_queued": 1}


def test_own_pings_are_bounded(make):
    peer = make("server", limits={"max_pings": 2})
    peer.conn.ping(0, b"12345678")
    peer.conn.ping(0, b"12345678")
    error = peer.errors.LocalProtocolError
    refused(peer, error, "PING", peer.conn.ping, 0, b"12345678")
    assert peer.conn.stats()["limits"] == {"max_pings": 1}


def test_a_callback_cannot_answer_within_a_message_of_fragments(make):
    peer = make("server", auto_credit=True)
    stream_id = peer.websocket()
    peer.conn.attach(stream_id, lambda event: None, on_message=lambda data: data)
    peer.conn.send_fragment(stream_id, b"begun", False)
    peer.sent()
    (failed,) = of(peer.feed(peer.message(stream_id)), "SinkFailed")
    assert "a fragmented message is being sent" in str(failed.error)


HELD = len(b"hello") + EVENT_OCTETS


@pytest.mark.parametrize("credit", [-1, HELD + 1])
def test_no_more_is_consumed_than_came(make, credit):
    peer = make("server")
    stream_id = peer.websocket()
    peer.feed(peer.message(stream_id, b"hello"))
    with pytest.raises(ValueError, match=f"stream {stream_id} holds {HELD} octets, not {credit}"):
        peer.conn.consumed(stream_id, credit)
    peer.conn.consumed(stream_id, HELD)
    peer.expect_alive()


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (None, "why", ValueError),
        ("1000", "", ValueError),
        (-1, "", ValueError),
        (5000, "", ValueError),
        (66536, "", ValueError),  # 1000 in the low 16 bits
        (1005, "", ValueError),
        (1000, "x" * 124, ValueError),
        (1000, b"why", TypeError),
    ],
)
def test_closes_that_must_not_be_sent(make, code, reason, error):
    peer = make("server")
    stream_id = peer.websocket()
    refused(peer, error, "code|reason", peer.conn.close_websocket, stream_id, code, reason)
    peer.feed(f.data(stream_id, ws_frame(BINARY, b"still open")))
    assert [event.data for event in of(peer.events, "BytesMessage")] == [b"still open"]


def test_a_request_body_is_not_a_tunnel(make):
    peer = make("client")
    stream_id = peer.conn.request(POST, end_stream=False)
    peer.conn.send_data(stream_id, b"x")
    error = peer.errors.LocalProtocolError
    refused(peer, error, "not an open WebSocket", peer.conn.send_message, stream_id, b"x")


# -- a connection that was upgraded from HTTP/1.1 ----------------------------------------------


@pytest.fixture
def upgraded(twin):
    """Make a server's `Upgraded`, with Limits by keyword."""
    module = importlib.import_module(".h1", twin.__name__)

    def make(auto_credit=False, **limits):
        return module.Upgraded(twin.Role.SERVER, twin.Limits(**limits), auto_credit=auto_credit)

    return make


def test_what_an_upgraded_connection_is_made_of(twin):
    module = importlib.import_module(".h1", twin.__name__)
    with pytest.raises(TypeError, match="limits must be a Limits, not dict"):
        module.Upgraded(twin.Role.SERVER, {})


@pytest.mark.parametrize("credit", [-1, HELD + 1])
def test_no_more_is_consumed_than_an_upgraded_connection_holds(upgraded, credit):
    conn = upgraded()
    conn.receive_data(ws_frame(BINARY, b"hello"))
    with pytest.raises(ValueError, match=f"stream 1 holds {HELD} octets, not {credit}"):
        conn.consumed(1, credit)
    conn.consumed(1, HELD)
    assert conn.stats()["octets_buffered"] == 0


def test_octets_for_an_upgraded_connection_must_be_contiguous(upgraded):
    with pytest.raises(ValueError, match="contiguous"):
        upgraded().receive_data(memoryview(bytes(8))[::2])


@pytest.mark.row("6455-7.1-5")
def test_an_upgraded_connection_fails_with_its_sink(upgraded):
    conn = upgraded()

    def fail(event):
        raise RuntimeError("the application failed")

    conn.attach(1, fail)
    events = conn.receive_data(ws_frame(BINARY, b"hello"))
    assert "SinkFailed" in [type(event).__name__ for event in [*events, *conn.events()]]
    assert b"".join(conn.data_to_send()) == b"\x88\x02\x03\xf3"  # 1011


def test_what_waits_on_an_upgraded_connection_is_bounded(twin, upgraded):
    conn = upgraded(max_queued=100000)
    conn.send_message(1, bytes(99000))
    with pytest.raises(errors(twin).LocalProtocolError, match="send less until Drained"):
        conn.send_message(1, bytes(2000))
    assert conn.stats()["limits"] == {"max_queued": 1}
    assert sum(map(len, conn.data_to_send(1 << 20))) == 99010
    conn.send_message(1, bytes(2000))


def test_an_upgraded_connection_that_is_over(twin, upgraded):
    closed = errors(twin).StreamClosed
    conn = upgraded()
    conn.receive_eof()
    with pytest.raises(closed, match="closing or closed"):
        conn.send_message(1, b"x")
    with pytest.raises(closed, match="stream 1 is over"):
        conn.reset(1)


def test_a_sink_of_drained_cannot_send(twin, upgraded):
    conn = upgraded(write_high=10, write_low=1)
    told = []

    def pull(event):
        with pytest.raises(errors(twin).LocalProtocolError, match="from a sink of Drained"):
            conn.data_to_send()
        told.append(type(event).__name__)

    conn.attach(1, pull)
    conn.send_message(1, bytes(100))
    assert b"".join(conn.data_to_send())
    assert told == ["Drained"]


@pytest.mark.parametrize("verb", ["send", "reset"])
def test_a_sink_of_drained_may_send(upgraded, verb):
    conn = upgraded(write_high=10, write_low=1)
    told = []

    def sink(event):
        told.append(type(event).__name__)
        if len(told) < 5 and verb == "send":
            conn.send_message(1, b"%d" % len(told) * 20)
        elif verb == "reset":
            conn.reset(1)

    conn.attach(1, sink)
    conn.send_message(1, bytes(100))
    conn.send_message(1, b"x" * 20)
    found = read_ws_frames(b"".join(conn.data_to_send(1 << 20)))
    assert [frame.payload for frame in found[:2]] == [bytes(100), b"x" * 20]
    if verb == "send":
        assert [frame.payload for frame in found[2:]] == [b"%d" % at * 20 for at in range(1, 5)]
        assert told == ["Drained"] * 5
        conn.send_message(1, b"still here")
        assert read_ws_frames(b"".join(conn.data_to_send()))[0].payload == b"still here"
    else:
        assert told == ["Drained", "Closed"] and conn.terminated
    assert conn.stats()["octets_queued"] == 0


def test_a_sink_that_fails_after_the_end_ends_nothing_more(upgraded):
    conn = upgraded()
    told = []

    def fail(event):
        told.append(type(event).__name__)
        raise RuntimeError("the application failed")

    conn.attach(1, fail)
    events = conn.receive_eof()
    assert told == ["Closed"]
    assert "SinkFailed" in [type(event).__name__ for event in [*events, *conn.events()]]
    assert conn.data_to_send() == []


# -- numbers that are none ---------------------------------------------------------------------

NUMBERS = [2**31, 2**32 + 1, 2**40, 2**63, 2**64, 2**64 + 1, -1, -(2**63) - 1, 2**200]
VERBS = {
    "respond": (OK,),
    "accept_websocket": (),
    "send_message": (b"x",),
    "send_fragment": (b"x", True),
    "send_data": (b"x",),
    "send_trailers": ([("x", "y")],),
    "ping": (b"x",),
    "pong": (b"x",),
    "close_websocket": (),
    "prioritize": (),
    "priority": (),
    "consumed": (0,),
    "reset": (),
    "refuse": ("x",),
    "attach": (None,),
    "is_blocked": (),
    "waiting": (),
}


@pytest.mark.parametrize("verb", VERBS)
def test_numbers_that_no_stream_has(make, verb):
    peer = make("server")
    peer.websocket()
    call = getattr(peer.conn, verb)
    for number in NUMBERS:
        refused(peer, ValueError, "no number of a stream|out of range", call, number, *VERBS[verb])
    for wrong in (None, "1", b"1", [], 1.5):
        if wrong != 1.5 or verb not in ("consumed", "is_blocked", "waiting"):
            refused(peer, TypeError, None, call, wrong, *VERBS[verb])
    many = peer.conn.send_many
    for number in NUMBERS:
        refused(peer, ValueError, "no number of a stream|out of range", many, [1, number], b"x")


@pytest.mark.parametrize("credit", [*NUMBERS, 1.5, None, "1"])
def test_credit_that_is_none(make, credit):
    peer = make("server")
    stream_id = peer.websocket()
    refused(peer, (ValueError, TypeError), None, peer.conn.consumed, stream_id, credit)


@pytest.mark.parametrize("code", [2**32, 2**64, -1, 1.5, None, "1"])
def test_error_codes_that_are_none(make, code):
    peer = make("server")
    stream_id = peer.websocket()
    refused(peer, ValueError, "a number of 32 bits", peer.conn.reset, stream_id, code)
    refused(peer, ValueError, "a number of 32 bits", peer.conn.shutdown, code)
    refused(peer, ValueError, "a number of 32 bits", peer.conn.abort, code)


@pytest.mark.parametrize("now", [None, "1", b"1", []])
def test_times_that_are_none(make, now):
    peer = make("server")
    conn = peer.conn
    for call in (conn.receive_data, conn.receive_eof, conn.data_to_send, conn.handle_timeout):
        arguments = {
            conn.receive_data: (f.ping(), now),
            conn.data_to_send: (65536, now),
        }.get(call, (now,))
        refused(peer, TypeError, None, call, *arguments)
    refused(peer, TypeError, None, conn.arm, now)


@pytest.mark.parametrize("values", [None, 5, "x", [(4, 100)]])
def test_settings_that_are_no_dict(make, values):
    peer = make("server")
    refused(peer, TypeError, "values must be a dict", peer.conn.update_settings, values)


@pytest.mark.parametrize(
    "values", [{2**64: 1}, {4: 2**64}, {4: None}, {None: 4}, {"4": 4}, {4: -1}]
)
def test_settings_that_are_no_numbers(make, values):
    peer = make("server")
    refused(peer, ValueError, "must be an int", peer.conn.update_settings, values)


@pytest.mark.parametrize("limit", [None, 5, b"x"])
def test_a_refusal_names_its_limit(make, limit):
    peer = make("server")
    stream_id = peer.open(CONNECT)
    refused(peer, TypeError, "str", peer.conn.refuse, stream_id, limit)
    assert peer.conn.stats()["limits"] == {}
    peer.conn.refuse(stream_id, "mine")
    assert peer.conn.stats()["limits"] == {"mine": 1}


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1])
def test_numbers_for_an_upgraded_connection(upgraded, number):
    conn = upgraded()
    with pytest.raises(ValueError, match=r"holds 0 octets|out of range"):
        conn.consumed(1, number)
    for now in (None, "1"):
        with pytest.raises(TypeError):
            conn.data_to_send(now=now)
        with pytest.raises(TypeError):
            conn.arm(now)
