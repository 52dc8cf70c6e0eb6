"""Wrong calls: each gets the exception that says what to do, and nothing changes."""

import importlib

import pytest

from tests.support import frames as f
from tests.support.peer import BYTESTREAM, CONNECT, EVENT_OCTETS, GET, OK, POST, errors, of
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


@pytest.mark.parametrize("name", ["settings", "limits", "pool"])
def test_what_a_connection_is_made_of(twin, name):
    with pytest.raises(TypeError, match=f"{name} must be a {name.title()}, not dict"):
        twin.Connection(twin.Role.SERVER, **{name: {}})


@pytest.mark.parametrize("callback", [5, "x", b"x", ["x"], False])
def test_limits_are_told_to_what_can_be_called(make, callback):
    peer = make("server")
    upgraded = importlib.import_module(".h1", peer.twin.__name__).Upgraded(peer.twin.Role.SERVER)
    told = []
    for conn in (peer.conn, upgraded):
        conn.on_limit = told.append
        with pytest.raises(TypeError, match="on_limit must be callable or None, not "):
            conn.on_limit = callback
        conn.on_limit("as before")
        conn.on_limit = None
        assert conn.on_limit is None
    assert told == ["as before"] * 2
    peer.expect_alive()


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


HANDSHAKE = ["accept", "extensions", "key", "protocol", "version"]


@pytest.mark.parametrize("name", HANDSHAKE)
@pytest.mark.parametrize("spelled", [str, lambda name: name.title().encode()])
def test_what_a_handshake_settles_is_no_header_of_the_application(make, name, spelled):
    field = f"sec-websocket-{name}"
    match = f"^{field} is for the handshake to say; leave it out$"
    headers = [("x-own", "1"), (spelled(field), "13")]
    peer = make("client")
    connect = peer.conn.connect_websocket
    options = {"subprotocols": ["chat"], "origin": "https://a", "headers": headers}
    refused(peer, ValueError, match, connect, "a.example", **options)
    connect("a.example", headers=headers[:1])
    peer = make("server")
    stream_id = peer.open([*CONNECT, ("sec-websocket-protocol", "chat")])
    accept = peer.conn.accept_websocket
    refused(peer, ValueError, match, accept, stream_id, "chat", headers=headers)
    accept(stream_id, "chat", headers=headers[:1])
    (head,) = peer.sent()
    assert (head.get("x-own"), head.get("sec-websocket-protocol")) == ("1", "chat")


@pytest.mark.parametrize("side", ["client", "server"])
def test_compression_is_agreed_on_by_a_factory(make, side):
    agreement = importlib.import_module(".agreement", make("client").twin.__name__)
    factories = {
        "client": agreement.ClientPerMessageDeflateFactory(),
        "server": agreement.ServerPerMessageDeflateFactory(),
    }
    own = factories.pop(side)
    (others,) = factories.values()
    match = f"deflate must be a {side.title()}PerMessageDeflateFactory, not "
    for offer in ([], [("sec-websocket-extensions", "permessage-deflate")]):
        peer = make(side)
        if side == "client":
            call, arguments = peer.conn.connect_websocket, ("a.example",)
        else:
            call, arguments = peer.conn.accept_websocket, (peer.open([*CONNECT, *offer]),)
        for wrong in (5, True, False, "permessage-deflate", others, type(None)):
            refused(peer, TypeError, match, call, *arguments, deflate=wrong)
        call(*arguments, deflate=own)
        (head,) = peer.sent()
        answers = side == "client" or offer
        assert (head.get("sec-websocket-extensions") is not None) == bool(answers)


def test_a_connect_says_whether_it_ends_at_once(make):
    peer = make("client")
    error = peer.errors.LocalProtocolError
    request = peer.conn.request
    for fields in (CONNECT, BYTESTREAM, [CONNECT[0], (":authority", "example.com:80")]):
        refused(peer, error, "give end_stream=False.*connect_websocket", request, fields)
        refused(peer, error, "give end_stream=False", request, fields, octets=True)
    refused(peer, error, "use connect_websocket", request, CONNECT, True)
    refused(peer, error, "version 13; use connect_websocket", request, CONNECT[:5], False)
    old = [*CONNECT[:5], ("sec-websocket-version", "8")]
    refused(peer, error, "version 13; use connect_websocket", request, old, False)
    for fields in (GET, BYTESTREAM):
        given = () if fields is GET else (True,)
        request(fields, *given)
        (head,) = peer.sent()
        assert head.end_stream
    request(CONNECT, False)
    request(CONNECT[:5], False, octets=True)  # its handshake is the caller's
    assert [head.end_stream for head in peer.sent()] == [False, False]


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200"), ("GET", "204"), ("GET", "304"), ("HEAD", "404")]
)
def test_answers_that_have_no_content(make, method, status):
    peer = make("server")
    error = peer.errors.LocalProtocolError
    fields = [(":status", status)]
    if status != "204":
        fields.append(("content-length", "5"))
    stream_id = peer.open([(":method", method), *GET[1:]])
    peer.conn.respond(stream_id, fields)
    refused(peer, error, "has no content", peer.conn.send_data, stream_id, b"hello", True)
    refused(peer, error, "has no content", peer.conn.send_data, stream_id, b"h")
    peer.conn.send_data(stream_id, b"", True)
    (end,) = peer.sent()
    assert (end.kind, end.end_stream, end.content) == (f.DATA, True, b"")
    tunnel = peer.open(BYTESTREAM)
    peer.conn.respond(tunnel, [(":status", "204")])  # a 2xx opens, whatever it says
    peer.conn.send_data(tunnel, b"hello")
    asked = peer.get()
    peer.conn.respond(asked, [(":status", "103")])
    peer.conn.respond(asked, OK)
    peer.conn.send_data(asked, b"hello")
    assert [each.content for each in peer.sent() if each.kind == f.DATA] == [b"hello"] * 2


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


@pytest.mark.parametrize("number", [0.0, None, "0", b"", [], 2**64])
def test_a_ping_names_the_connection_by_a_number(make, number):
    peer = make("server")
    error = ValueError if number == 2**64 else TypeError
    refused(peer, error, None, peer.conn.ping, number, b"12345678")


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
    make = module.Upgraded
    with pytest.raises(TypeError, match="limits must be a Limits, not dict"):
        make(twin.Role.SERVER, {})
    with pytest.raises(TypeError, match="pool must be a Pool, not int"):
        make(twin.Role.SERVER, pool=5)
    for role in (5, "x", None):
        with pytest.raises(ValueError, match="is not a valid Role"):
            make(role)
    for agreed in (5, True, ()):
        with pytest.raises(TypeError, match="agreed must be an Agreed, not "):
            make(twin.Role.SERVER, agreed=agreed)
    for number in NUMBERS:
        with pytest.raises(ValueError, match=r"no number of a stream|out of range"):
            make(twin.Role.SERVER, stream_id=number)
    for number in NO_INTEGERS:
        with pytest.raises(TypeError):
            make(twin.Role.SERVER, stream_id=number)
    assert make(1).role is twin.Role.SERVER


UPGRADED = {
    "send_message": (b"x",),
    "send_message_as": (b"x", True),
    "send_fragment": (b"x", True),
    "send_data": (b"x",),
    "stream_messages": (),
    "deflated": (),
    "ping": (b"12345678",),
    "pong": (b"x",),
    "close_websocket": (),
    "reset": (),
    "attach": (None,),
}
PASSING = {"consumed": (0,), "is_blocked": (), "waiting": (), "withhold": (True,)}


@pytest.mark.parametrize("verb", [*UPGRADED, *PASSING, "send_many"])
@pytest.mark.parametrize("own", [1, 7])
def test_an_upgraded_connection_is_one_stream(twin, verb, own):
    conn = importlib.import_module(".h1", twin.__name__).Upgraded(twin.Role.SERVER, stream_id=own)
    before = conn.stats()
    call = getattr(conn, verb)
    arguments = (UPGRADED | PASSING).get(verb, (b"x",))
    wrap = (lambda number: [own, number]) if verb == "send_many" else lambda number: number
    for number in [0, *NUMBERS]:
        with pytest.raises(ValueError, match=r"no number of a stream|out of range"):
            call(wrap(number), *arguments)
    for number in NO_INTEGERS:
        with pytest.raises(TypeError):
            call(wrap(number), *arguments)
    if verb in UPGRADED:
        for number in (2, 8, 2**31 - 1):
            with pytest.raises(errors(twin).LocalProtocolError, match=f"no stream {number}$"):
                call(number, *arguments)
    elif verb in PASSING:
        assert not call(2, *arguments) and conn.unread == 0
    assert conn.stats() == before and not conn.terminated
    assert conn.data_to_send() == [] and conn.events() == []
    if verb == "send_many":
        call([2, own, 8], b"x")
        assert b"".join(conn.data_to_send()) == b"\x82\x01x"
    (message,) = conn.receive_data(ws_frame(BINARY, b"hello", key=b"abcd"))
    assert (message.data, message.stream_id) == (b"hello", own)


def test_octets_are_not_for_an_upgraded_connection(twin, upgraded):
    conn = upgraded()
    with pytest.raises(errors(twin).LocalProtocolError, match="use send_message"):
        conn.send_data(1, b"x")
    with pytest.raises(errors(twin).LocalProtocolError, match="use send_message"):
        conn.send_data(1, b"", True)
    assert conn.data_to_send() == [] and not conn.terminated


@pytest.mark.parametrize("code", [2**32, 2**64, -1, 1.5, None, "1"])
def test_error_codes_that_no_upgraded_connection_takes(upgraded, code):
    conn = upgraded()
    for call in (conn.shutdown, conn.abort, lambda code: conn.reset(1, code)):
        with pytest.raises(ValueError, match="a number of 32 bits"):
            call(code)
    for call in (conn.shutdown, conn.abort):
        with pytest.raises(TypeError):
            call(0, 5)
        with pytest.raises(ValueError, match="must not exceed 16376 octets"):
            call(0, bytes(16377))
    assert conn.data_to_send() == [] and conn.events() == [] and not conn.terminated


@pytest.mark.parametrize("now", [None, "1", b"1", []])
def test_times_that_no_upgraded_connection_takes(upgraded, now):
    conn = upgraded()
    with pytest.raises(TypeError):
        conn.receive_data(b"", now)
    with pytest.raises(TypeError):
        conn.receive_data(ws_frame(BINARY, b"hello", key=b"abcd"), now)
    for call in (conn.receive_eof, conn.handle_timeout):
        with pytest.raises(TypeError):
            call(now)
    assert conn.stats()["octets_received"] == 0 and not conn.terminated


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


@pytest.mark.parametrize("end", ["error", "abort", "eof"])
def test_nothing_is_said_behind_goaway(make, end):
    peer = make("server")
    if end == "error":
        peer.feed(f.data(0, b"x"))
    elif end == "abort":
        peer.conn.abort()
    else:
        peer.eof()
    assert peer.conn.terminated
    peer.forget()
    with pytest.raises(peer.errors.LocalProtocolError, match="over; open another one"):
        peer.conn.ping(0, b"12345678")
    with pytest.raises(peer.errors.LocalProtocolError, match="over; open another one"):
        peer.conn.update_settings({f.INITIAL_WINDOW_SIZE: 2**20, f.MAX_HEADER_LIST_SIZE: 2**20})
    with pytest.raises(peer.errors.LocalProtocolError, match="over; open another one"):
        peer.conn.update_settings({})
    assert peer.pull() == b"" and peer.more() == []


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
