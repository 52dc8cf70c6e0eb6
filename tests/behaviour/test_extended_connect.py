"""Extended CONNECT: RFC 8441 sections 3 to 5, and the tunnel that any token opens."""

import socket as network

import pytest

from tests.support import frames as f
from tests.support.peer import CONNECT, GET, OK, POST, kinds, of
from tests.support.ws_frames import BINARY, CLOSE, TEXT, read_ws_frames, ws_frame

SETTING = f.ENABLE_CONNECT_PROTOCOL


def changed(name, value):
    """CONNECT with another value for that field; None leaves it out."""
    if value is None:
        return [pair for pair in CONNECT if pair[0] != name]
    return [(n, value if n == name else v) for n, v in CONNECT]


def token(name):
    """An extended CONNECT of that token without anything of WebSocket."""
    return [pair for pair in changed(":protocol", name) if not pair[0].startswith("sec-")]


def tunnel(peer, name="echo"):
    """Open a tunnel of octets either way round; return its stream. Frames are forgotten."""
    if peer.role == "server":
        stream_id = peer.open(token(name))
        peer.conn.respond(stream_id, OK)
    else:
        stream_id = peer.conn.request(token(name), end_stream=False)
        peer.sent()
        assert kinds(peer.feed(peer.headers(stream_id, OK))) == ["Opened"]
    peer.sent()
    peer.more()
    peer.events.clear()
    return stream_id


def expect_malformed(peer, stream_id=1):
    """RST_STREAM(PROTOCOL_ERROR), nothing told to the application, and the connection lives."""
    assert of(peer.events, "Requested") == []
    peer.expect_stream_error(stream_id, f.PROTOCOL_ERROR)


# -- the setting -------------------------------------------------------------------------------


@pytest.mark.row("8441-3-1")
@pytest.mark.parametrize("told", [None, (), ((SETTING, 0),)])
def test_client_sends_no_protocol_before_the_setting(client, told):
    peer = client(handshake=False)
    peer.sent()
    if told is not None:
        peer.feed(f.settings(*told), f.settings_ack())
    assert peer.conn.can_connect is False
    for attempt in (
        lambda: peer.conn.connect_websocket("example.com", "/chat"),
        lambda: peer.conn.request(CONNECT, end_stream=False),
        lambda: peer.conn.request(token("echo"), end_stream=False),
    ):
        with pytest.raises(peer.errors.ExtendedConnectUnsupported):
            attempt()
    assert [one for one in peer.sent() if one.kind == f.HEADERS] == []
    if told is None:
        peer.feed(f.settings((SETTING, 1)))
    else:
        peer.feed(f.settings((SETTING, 1)))
    assert peer.conn.can_connect is True
    assert peer.conn.connect_websocket("example.com", "/chat") == 1
    (head,) = [one for one in peer.sent() if one.kind == f.HEADERS]
    assert head.get(":protocol") == "websocket"


@pytest.mark.row("8441-3-1")
def test_client_says_whether_settings_have_come(client):
    peer = client(handshake=False)
    assert peer.conn.settings_received is False
    peer.feed(f.settings())
    assert peer.conn.settings_received is True
    assert peer.conn.can_connect is False


@pytest.mark.row("8441-3-2")
def test_server_advertises_the_setting_in_its_first_settings(make):
    peer = make("server", handshake=False)
    first = peer.sent()[0]
    assert first.kind == f.SETTINGS
    assert (SETTING, 1) in first.settings


@pytest.mark.row("8441-3-2")
def test_client_never_advertises_the_setting(make):
    peer = make("client", handshake=False)
    first = peer.sent()[0]
    assert first.kind == f.SETTINGS
    assert SETTING not in dict(first.settings)


@pytest.mark.row("8441-3-2")
def test_setting_can_be_switched_off(make, monkeypatch):
    peer = make("server", handshake=False, settings={"enable_connect_protocol": False})
    assert dict(peer.sent()[0].settings).get(SETTING, 0) == 0
    monkeypatch.setenv("H2WS_FAST_CONNECT", "0")
    peer = make("server", handshake=False)
    assert dict(peer.sent()[0].settings).get(SETTING, 0) == 0


@pytest.mark.row("8441-3-3")
@pytest.mark.parametrize("value", [2, 3, 0x80000000, 0xFFFFFFFF])
def test_setting_that_is_neither_0_nor_1_is_a_connection_error(either, value):
    peer = either()
    peer.feed(f.settings((SETTING, value)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@pytest.mark.row("8441-3-4")
@pytest.mark.parametrize(
    "frames",
    [
        [f.settings((SETTING, 1)), f.settings((SETTING, 0))],
        [f.settings((SETTING, 1), (SETTING, 0))],
        [f.settings((SETTING, 1)), f.settings(), f.settings((SETTING, 0))],
    ],
)
def test_client_takes_the_setting_back_as_a_connection_error(client, frames):
    peer = client(handshake=False)
    peer.sent()
    peer.feed(*frames)
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@pytest.mark.row("8441-3-4")
@pytest.mark.parametrize(
    ("values", "usable"),
    [((1, 1), True), ((0, 1), True), ((0, 0), False), ((0, 1, 1), True)],
)
@pytest.mark.parametrize("one_frame", [True, False])
def test_other_sequences_of_the_setting_are_legal(client, values, usable, one_frame):
    peer = client(handshake=False)
    peer.sent()
    pairs = [(SETTING, value) for value in values]
    peer.feed(*([f.settings(*pairs)] if one_frame else [f.settings(pair) for pair in pairs]))
    assert not peer.conn.terminated
    assert peer.conn.can_connect is usable
    assert [one.ack for one in peer.sent()] == [True] * (1 if one_frame else len(values))


@pytest.mark.row("8441-3-5")
def test_server_never_takes_the_setting_back(server):
    """Whatever happens to a server's connection, its SETTINGS never say 0 after 1."""
    peer = server(handshake=False)
    frames = peer.sent()
    peer.feed(f.MAGIC, f.settings((SETTING, 0)), f.settings_ack())
    peer.open(CONNECT)
    peer.conn.accept_websocket(1)
    peer.conn.shutdown()
    frames += peer.sent()
    peer.feed(*(f.ping(one.payload, ack=True) for one in frames if one.kind == f.PING))
    frames += peer.sent()
    values = [
        dict(one.settings)[SETTING]
        for one in frames
        if one.kind == f.SETTINGS and not one.ack and SETTING in dict(one.settings)
    ]
    assert values == [1]


@pytest.mark.row("8441-3-5")
@pytest.mark.parametrize("later", [False, True])
def test_server_cannot_be_told_to_take_the_setting_back(server, later):
    peer = server(settings={"enable_connect_protocol": not later})
    if later:
        peer.conn.update_settings({SETTING: 0})  # nothing is taken back yet
        peer.conn.update_settings({SETTING: 1})
        assert [dict(one.settings) for one in peer.sent()] == [{SETTING: 0}, {SETTING: 1}]
    for values in ({SETTING: 0}, {f.INITIAL_WINDOW_SIZE: 5, SETTING: 0}):
        with pytest.raises(peer.errors.LocalProtocolError, match="cannot be withdrawn"):
            peer.conn.update_settings(values)
        assert peer.sent() == []
    peer.conn.update_settings({SETTING: 1})
    assert [dict(one.settings) for one in peer.sent()] == [{SETTING: 1}]
    peer.open(CONNECT)


@pytest.mark.row("8441-3-6")
@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("before", [True, False])
def test_setting_from_a_client_changes_nothing(server, value, before):
    peer = server(peer_settings=((SETTING, value),) if before else ())
    if not before:
        peer.feed(f.settings((SETTING, 1 - value)))
        peer.feed(f.settings((SETTING, value)))
        assert [one.ack for one in peer.sent()] == [True, True]
    peer.events.clear()
    peer.open(CONNECT)
    peer.conn.accept_websocket(1)
    (head,) = peer.sent()
    assert head.get(":status") == "200"
    peer.expect_alive()


@pytest.mark.row("8441-3-7")
def test_setting_stays_when_a_later_frame_leaves_it_out(client):
    peer = client()
    peer.feed(f.settings((f.MAX_CONCURRENT_STREAMS, 50)), f.settings())
    peer.sent()
    assert peer.conn.can_connect is True
    assert peer.conn.connect_websocket("example.com", "/chat") == 1


@pytest.mark.row("8441-3-8")
@pytest.mark.parametrize("name", ["websocket", "echo"])
def test_protocol_is_undefined_where_the_server_has_not_enabled_it(server, name):
    peer = server(settings={"enable_connect_protocol": False})
    peer.feed(peer.headers(1, changed(":protocol", name)))
    expect_malformed(peer)


@pytest.mark.row("8441-3-9")
def test_connect_in_the_clients_first_flight_is_accepted(server):
    peer = server(handshake=False)  # SETTINGS of either side are on their way
    events = peer.feed(f.MAGIC, f.settings(), peer.headers(1, CONNECT), f.data(1, b""))
    assert [e.protocol for e in of(events, "Requested")] == ["websocket"]
    peer.conn.accept_websocket(1)
    frames = peer.sent()
    assert [one.get(":status") for one in frames if one.kind == f.HEADERS] == ["200"]


# -- the request -------------------------------------------------------------------------------


@pytest.mark.row("8441-4-1")
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "connect", "CONNECTS"])
def test_protocol_with_another_method_is_malformed(server, method):
    peer = server()
    peer.feed(peer.headers(1, changed(":method", method)))
    expect_malformed(peer)


@pytest.mark.row("8441-4-1")
def test_protocol_in_trailers_is_malformed(server):
    peer = server()
    peer.post()
    peer.events.clear()
    peer.feed(peer.headers(1, [(":protocol", "websocket")], end_stream=True))
    assert "Ended" not in kinds(peer.events)
    peer.expect_stream_error(1, f.PROTOCOL_ERROR)


@pytest.mark.row("8441-4-1")
@pytest.mark.parametrize("connect", [True, False])
def test_protocol_in_a_response_is_malformed(client, connect):
    peer = client()
    if connect:
        peer.conn.connect_websocket("example.com", "/")
    else:
        peer.conn.request(GET)
    peer.sent()
    events = peer.feed(peer.headers(1, [*OK, (":protocol", "websocket")]))
    assert kinds(events) == ["Reset"]
    peer.expect_stream_error(1, f.PROTOCOL_ERROR)


@pytest.mark.row("8441-4-1")
def test_client_does_not_send_protocol_with_another_method(client):
    peer = client()
    with pytest.raises((ValueError, peer.errors.LocalProtocolError)):
        peer.conn.request(changed(":method", "GET"), end_stream=False)
    assert peer.sent() == []


@pytest.mark.row("8441-4-2")
@pytest.mark.parametrize("name", [":scheme", ":path", ":authority"])
@pytest.mark.parametrize("value", [None, ""])
def test_connect_with_protocol_needs_scheme_path_and_authority(server, name, value):
    peer = server()
    peer.feed(peer.headers(1, changed(name, value)))
    expect_malformed(peer)


@pytest.mark.row("8441-4-2")
@pytest.mark.parametrize("path", ["chat", "*", "http://example.com/"])
def test_path_of_connect_begins_with_a_slash(server, path):
    peer = server()
    peer.feed(peer.headers(1, changed(":path", path)))
    expect_malformed(peer)


@pytest.mark.row("8441-4-2")
def test_parts_of_the_request_are_told_to_the_application(server):
    peer = server()
    fields = [("origin", "https://a.example"), ("cookie", "a=b"), ("cookie", "c=d")]
    (event,) = peer.feed(peer.headers(1, [*changed(":path", "/chat?room=1"), *fields]))
    assert kinds([event]) == ["Requested"]
    assert (event.stream_id, event.method, event.protocol) == (1, "CONNECT", "websocket")
    assert (event.scheme, event.authority, event.path) == ("https", "example.com", "/chat?room=1")
    assert event.ended is False
    assert (b"origin", b"https://a.example") in event.headers
    assert (b"cookie", b"a=b; c=d") in event.headers
    assert not [name for name, _ in event.headers if name.startswith(b":")]


@pytest.mark.row("8441-4-2")
def test_firefoxs_order_of_pseudo_headers_is_taken(server):
    peer = server()  # :protocol after the others, all before the first field
    fields = [*changed(":protocol", None)[:4], (":protocol", "websocket"), CONNECT[-1]]
    (event,) = peer.feed(peer.headers(1, fields))
    assert event.protocol == "websocket"


@pytest.mark.row("8441-4-3")
@pytest.mark.parametrize("left", [(":scheme",), (":path",), (":scheme", ":path")])
def test_connect_without_protocol_has_no_scheme_and_no_path(server, left):
    peer = server()
    pairs = [(n, v) for n, v in token("x") if n not in (":protocol", ":scheme", ":path")]
    pairs += [(n, v) for n, v in CONNECT if n in left]
    peer.feed(peer.headers(1, pairs))
    expect_malformed(peer)


@pytest.mark.row("8441-4-3")
def test_classic_connect_does_not_disturb_the_connection(server):
    peer = server()
    peer.feed(peer.headers(1, [(":method", "CONNECT"), (":authority", "example.com:443")]))
    for event in of(peer.events, "Requested"):
        assert (event.method, event.protocol, event.path) == ("CONNECT", None, "")
        peer.conn.respond(1, [(":status", "501")], end_stream=True)
    frames = [one for one in peer.sent() if one.stream_id == 1]
    assert frames[0].kind in (f.HEADERS, f.RST_STREAM)
    peer.expect_alive()


@pytest.mark.row("8441-4-4")
@pytest.mark.parametrize(
    "value",
    ["", "a, b", "websocket,", "web socket", "a;b", "a\\b", "é", "a\x00b", "(a)", "a@b", '"a"'],
)
def test_protocol_that_is_no_token_is_malformed(server, value):
    peer = server()
    peer.feed(peer.headers(1, changed(":protocol", value)))
    expect_malformed(peer)


@pytest.mark.row("8441-4-4")
@pytest.mark.parametrize("second", ["websocket", "echo"])
def test_protocol_twice_is_malformed(server, second):
    peer = server()
    peer.feed(peer.headers(1, [*CONNECT[:5], (":protocol", second), *CONNECT[5:]]))
    expect_malformed(peer)


@pytest.mark.row("8441-4-5", "KIN-4-5")
@pytest.mark.parametrize("name", ["websocket", "echo", "bytestream"])
def test_nothing_is_dialled_for_an_extended_connect(server, name, monkeypatch):
    def refuse(*_):
        raise AssertionError("the engine went to the network")

    for function in ("socket", "create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(network, function, refuse)
    peer = server()
    peer.open(changed(":protocol", name)[:-1] + CONNECT[-1:])
    assert of(peer.events, "Requested")[0].authority == "example.com"
    if name == "websocket":
        peer.conn.accept_websocket(1)
    else:
        peer.conn.respond(1, OK)
    assert peer.sent()[0].get(":status") == "200"


@pytest.mark.row("8441-4-6")
@pytest.mark.parametrize("status", ["501", "400"])
def test_unknown_protocol_is_refused_with_a_status_and_harms_nothing(server, status):
    peer = server()
    sibling = peer.websocket()
    (event,) = peer.feed(peer.headers(3, token("foo")))
    assert (kinds([event]), event.protocol) == (["Requested"], "foo")
    peer.conn.respond(3, [(":status", status)], end_stream=True)
    frames = [one for one in peer.sent() if one.stream_id == 3]
    assert frames[0].get(":status") == status
    assert frames[0].end_stream
    assert {one.error_code for one in frames[1:]} <= {f.NO_ERROR}
    peer.expect_alive()
    events = peer.feed(peer.message(sibling, b"still here"))
    assert [e.data for e in of(events, "BytesMessage")] == [b"still here"]


@pytest.mark.row("8441-4-7")
@pytest.mark.parametrize("spelled", ["WebSocket", "WEBSOCKET", "websocket"])
def test_token_is_compared_without_case(server, spelled):
    peer = server()
    (event,) = peer.feed(peer.headers(1, changed(":protocol", spelled)))
    assert event.protocol == "websocket"
    peer.conn.accept_websocket(1)
    assert peer.sent()[0].get(":status") == "200"
    events = peer.feed(peer.message(1, b"x"))
    assert kinds(events) == ["BytesMessage"]


@pytest.mark.row("8441-4-7")
@pytest.mark.parametrize("name", ["websocket/13", "foo/1.0"])
def test_version_in_a_token_is_part_of_it(server, name):
    peer = server()
    # A slash divides name and version in RFC 9110 section 7.8.
    (event,) = peer.feed(peer.headers(1, token(name)))
    assert event.protocol == name
    with pytest.raises(peer.errors.LocalProtocolError, match="does not ask for a WebSocket"):
        peer.conn.accept_websocket(1)
    assert peer.sent() == []
    peer.expect_alive()


@pytest.mark.row("8441-4-7")
def test_client_sends_the_token_in_lower_case(client):
    peer = client()
    peer.conn.connect_websocket("example.com", "/")
    assert peer.sent()[0].get(":protocol") == "websocket"
    for given in ("WebSocket", "CONNECT-UDP", "Foo/1.1", "echo"):
        peer.conn.request([*token(given), ("sec-websocket-version", "13")], end_stream=False)
        assert peer.sent()[0].get(":protocol") == given.lower()


# -- the answer --------------------------------------------------------------------------------


@pytest.mark.row("8441-4-8")
def test_server_accepts_a_websocket_with_200(server):
    peer = server()
    peer.open(CONNECT)
    peer.conn.accept_websocket(1)
    (head,) = peer.sent()
    assert (head.kind, head.stream_id, head.end_stream) == (f.HEADERS, 1, False)
    assert head.get(":status") == "200"


@pytest.mark.row("8441-4-8")
@pytest.mark.parametrize("status", ["200", "201", "204", "299"])
@pytest.mark.parametrize("name", ["websocket", "echo"])
def test_client_takes_any_2xx_as_open(client, status, name):
    peer = client()
    peer.conn.request(changed(":protocol", name), end_stream=False)
    peer.sent()
    events = peer.feed(peer.headers(1, [(":status", status)]))
    (opened,) = events
    assert (kinds(events), opened.stream_id, opened.status) == (["Opened"], 1, int(status))
    if name == "websocket":
        peer.conn.send_message(1, b"x")
        (frame,) = peer.sent()
        (message,) = read_ws_frames(frame.content)
        assert message.payload == b"x"
    else:
        peer.conn.send_data(1, b"x")
        (frame,) = peer.sent()
        assert frame.content == b"x"


def test_websocket_of_octets_leaves_its_frames_to_the_caller(client):
    peer = client()
    fields = [*CONNECT, ("sec-websocket-protocol", "chat"), ("sec-websocket-extensions", "x")]
    stream_id = peer.conn.request(fields, end_stream=False, octets=True)
    peer.sent()
    answer = [*OK, ("sec-websocket-protocol", "chat"), ("sec-websocket-extensions", "x")]
    [opened] = peer.feed(peer.headers(stream_id, answer))
    assert (type(opened).__name__, opened.subprotocol) == ("Opened", None)
    assert (b"sec-websocket-extensions", b"x") in opened.headers
    octets = ws_frame(TEXT, b"hello")
    events = peer.feed(f.data(stream_id, octets[:3]))
    assert b"".join(data.data for data in of(events, "Data")) == octets[:3]
    assert len(of(events, "Data")) == len(events)
    peer.conn.send_data(stream_id, b"\x81\x80")
    assert [one.content for one in peer.sent() if one.kind == f.DATA] == [b"\x81\x80"]
    [ended] = peer.feed(f.data(stream_id, b"", True))
    assert type(ended).__name__ == "Ended"


def test_a_server_leaves_the_frames_of_a_websocket_of_octets_to_the_caller(server):
    peer = server()
    stream_id = peer.new_id()
    key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    asked = [*CONNECT, ("sec-websocket-extensions", "x"), key]
    peer.feed(peer.headers(stream_id, asked), f.data(stream_id, b"early"))
    peer.conn.respond(stream_id, [*OK, ("sec-websocket-extensions", "x")], octets=True)
    head = peer.sent()[0]
    assert head.get(":status") == "200" and head.get("sec-websocket-extensions") == "x"
    # As of any WebSocket: some clients insist on it where they sent a key.
    assert head.get("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert b"".join(data.data for data in of(peer.more(), "Data")) == b"early"
    peer.conn.send_data(stream_id, b"\x81\x00", True)
    assert [one.content for one in peer.sent() if one.kind == f.DATA] == [b"\x81\x00"]


@pytest.mark.row("8441-4-8")
def test_any_2xx_of_the_server_makes_the_stream_a_tunnel(server):
    peer = server()
    peer.open(token("echo"))
    peer.conn.respond(1, [(":status", "202")])
    assert peer.sent()[0].get(":status") == "202"
    events = peer.feed(f.data(1, b"octets"))
    assert [(kinds([e]), e.data) for e in events] == [(["Data"], b"octets")] or b"".join(
        e.data for e in events
    ) == b"octets"
    peer.conn.send_data(1, b"back")
    (frame,) = peer.sent()
    assert (frame.content, frame.end_stream) == (b"back", False)


@pytest.mark.row("8441-4-9")
@pytest.mark.parametrize("name", ["websocket", "echo"])
@pytest.mark.parametrize("status", ["302", "401", "501"])
@pytest.mark.parametrize("body", [None, b"no"])
def test_other_final_response_opens_nothing(client, name, status, body):
    peer = client()
    peer.conn.request(changed(":protocol", name), end_stream=False)
    peer.sent()
    head = peer.headers(1, [(":status", status), ("location", "/x")], body is None)
    events = peer.feed(head, *([f.data(1, body, True)] if body else []))
    assert kinds(events)[0] == "Responded"
    assert (events[0].status, events[0].ended) == (int(status), body is None)
    assert (b"location", b"/x") in events[0].headers
    assert b"".join(e.data for e in of(events, "Data")) == (body or b"")
    assert not {"Opened", "Closed", "TextMessage", "BytesMessage"} & set(kinds(events))
    (end,) = [one for one in peer.sent() if one.stream_id == 1]
    assert end.end_stream or (end.kind, end.error_code) == (f.RST_STREAM, f.CANCEL)
    assert peer.conn.open_streams == 0
    peer.expect_alive()


@pytest.mark.row("8441-4-9")
def test_body_of_a_refusal_is_not_read_as_websocket_frames(client):
    peer = client()
    peer.conn.connect_websocket("example.com", "/")
    peer.sent()
    body = ws_frame(TEXT, b"no message", key=None)
    events = peer.feed(peer.headers(1, [(":status", "403")]), f.data(1, body, True))
    assert b"".join(e.data for e in of(events, "Data")) == body
    assert of(events, "TextMessage") == []


@pytest.mark.row("8441-4-9", "8441-4-10")
def test_informational_responses_come_before_the_answer(client):
    peer = client()
    peer.conn.connect_websocket("example.com", "/")
    peer.sent()
    events = peer.feed(peer.headers(1, [(":status", "103"), ("link", "</x>")]), peer.headers(1, OK))
    assert kinds(events) == ["Informed", "Opened"]
    assert events[0].status == 103


@pytest.mark.row("8441-4-10")
def test_client_sends_no_websocket_data_before_the_answer(client):
    peer = client()
    peer.conn.connect_websocket("example.com", "/chat")
    (head,) = peer.sent()
    assert not head.end_stream
    for verb, *arguments in (
        (peer.conn.send_message, "early"),
        (peer.conn.send_fragment, "early", True),
        (peer.conn.ping,),
    ):
        with pytest.raises(peer.errors.LocalProtocolError):
            verb(1, *arguments)
    assert peer.sent() == []
    peer.feed(peer.headers(1, OK))
    peer.conn.send_message(1, "in time")
    (frame,) = peer.sent()
    assert read_ws_frames(frame.content)[0].payload == b"in time"


@pytest.mark.row("8441-4-11")
@pytest.mark.parametrize("pause", [False, True])
def test_data_before_the_answer_is_kept_for_it(server, pause):
    peer = server()
    peer.open(CONNECT)
    early = ws_frame(TEXT, b"early") + ws_frame(BINARY, b"bird" * 1000)
    for at in range(0, len(early), 1500):
        assert peer.feed(f.data(1, early[at : at + 1500])) == []
    assert [one for one in peer.sent() if one.stream_id == 1] == []
    if pause:
        peer.tick(5)
    peer.conn.accept_websocket(1)
    events = peer.more()
    assert [e.data for e in events] == ["early", b"bird" * 1000]
    assert peer.sent()[0].get(":status") == "200"
    peer.feed(peer.message(1, b"later"))
    assert [e.data for e in peer.events[1:]] == ["early", b"bird" * 1000, b"later"]


@pytest.mark.row("8441-4-11")
@pytest.mark.parametrize("auto_credit", [False, True])
def test_data_before_the_answer_is_bounded_by_the_window(make, auto_credit):
    peer = make("server", settings={"initial_window_size": 65535}, auto_credit=auto_credit)
    peer.open(CONNECT)
    peer.feed(*[f.data(1, bytes(16383)) for _ in range(4)], f.data(1, bytes(3)))
    credit = [one for one in peer.sent() if one.kind == f.WINDOW_UPDATE and one.stream_id == 1]
    assert credit == []
    peer.feed(f.data(1, b"x"))
    peer.expect_stream_error(1, f.FLOW_CONTROL_ERROR)


@pytest.mark.row("8441-4-11")
@pytest.mark.parametrize("auto_credit", [False, True])
def test_data_before_a_refusal_is_dropped_and_credited(make, auto_credit):
    peer = make("server", auto_credit=auto_credit)
    window = 16 << 20
    for number in range(100):
        stream_id = peer.open(CONNECT)
        for _ in range(15):
            assert window >= 16384, f"stuck at the request {number}"
            peer.feed(f.data(stream_id, bytes(16384)))
            window -= 16384
        peer.conn.respond(stream_id, [(":status", "403")], end_stream=True)
        peer.feed(f.data(stream_id, end_stream=True))
        window += sum(
            one.increment
            for one in peer.sent()
            if one.kind == f.WINDOW_UPDATE and one.stream_id == 0
        )
    assert peer.conn.open_streams == 0
    peer.expect_alive()


@pytest.mark.row("8441-4-11")
@pytest.mark.parametrize("auto_credit", [False, True])
def test_data_before_the_answer_comes_back_once_it_is_taken(make, auto_credit):
    """The window that early octets used up opens again, and no further than it was."""
    peer = make("server", settings={"initial_window_size": 65535}, auto_credit=auto_credit)
    peer.open(CONNECT)
    early = b"".join(ws_frame(BINARY, bytes(6000)) for _ in range(10))
    window = 65535 - len(early)
    peer.feed(*(f.data(1, early[at : at + 16384]) for at in range(0, len(early), 16384)))
    peer.conn.accept_websocket(1)
    events = peer.more()
    assert len(events) == 10
    for event in events:
        peer.conn.consumed(1, event.credit)
    for one in peer.sent():
        if one.kind == f.WINDOW_UPDATE and one.stream_id == 1:
            window += one.increment
    assert 32767 <= window <= 65535


@pytest.mark.row("8441-4-12")
def test_websocket_that_is_ended_by_its_request_is_answered_400(server):
    peer = server()
    events = peer.feed(peer.headers(1, CONNECT, end_stream=True))
    assert of(events, "Requested") == []
    (head,) = peer.sent()
    assert (head.get(":status"), head.end_stream) == ("400", True)
    assert peer.conn.open_streams == 0
    peer.expect_alive()


@pytest.mark.row("8441-4-12")
def test_tunnel_that_is_ended_by_its_request_is_open_one_way(server):
    peer = server()
    (event,) = [
        e
        for e in peer.feed(peer.headers(1, token("echo"), end_stream=True))
        if kinds([e]) == ["Requested"]
    ]
    assert (event.protocol, event.ended) == ("echo", True)
    peer.conn.respond(1, OK)
    peer.conn.send_data(1, b"one way", True)
    frames = peer.sent()
    assert frames[0].get(":status") == "200"
    assert (frames[-1].content, frames[-1].end_stream) == (b"one way", True)
    assert peer.conn.open_streams == 0
    peer.expect_alive()


@pytest.mark.row("8441-4-13")
@pytest.mark.parametrize("name", ["websocket", "echo"])
def test_transfer_encoding_on_a_tunnels_request_is_malformed(server, name):
    peer = server()
    peer.feed(peer.headers(1, [*changed(":protocol", name), ("transfer-encoding", "chunked")]))
    expect_malformed(peer)


@pytest.mark.row("8441-4-13")
@pytest.mark.parametrize("length", ["0", "5", "1000000"])
def test_content_length_on_a_websocket_is_not_checked(server, length):
    peer = server()
    peer.open([*CONNECT, ("content-length", length)])
    peer.conn.accept_websocket(1)
    peer.sent()
    events = peer.feed(peer.message(1, b"as long as I like"))
    assert [e.data for e in events] == [b"as long as I like"]
    events = peer.feed(f.data(1, ws_frame(CLOSE, b"\x03\xe8"), True))
    assert kinds(events)[-1] == "Closed"
    peer.sent()
    peer.expect_alive()


@pytest.mark.row("8441-4-13")
@pytest.mark.parametrize("length", ["0", "5", "1000000"])
def test_content_length_in_a_2xx_is_not_checked(client, length):
    peer = client()
    peer.conn.connect_websocket("example.com", "/")
    peer.sent()
    assert kinds(peer.feed(peer.headers(1, [*OK, ("content-length", length)]))) == ["Opened"]
    events = peer.feed(peer.message(1, b"as long as I like"))
    assert [e.data for e in events] == [b"as long as I like"]


@pytest.mark.row("8441-4-13")
def test_transfer_encoding_in_a_2xx_is_malformed(client):
    peer = client()
    peer.conn.connect_websocket("example.com", "/")
    peer.sent()
    events = peer.feed(peer.headers(1, [*OK, ("transfer-encoding", "chunked")]))
    assert kinds(events) == ["Reset"]
    peer.expect_stream_error(1, f.PROTOCOL_ERROR)


@pytest.mark.row("8441-4-13")
def test_neither_field_is_generated(either):
    peer = either()
    if peer.role == "server":
        peer.open(CONNECT)
        peer.conn.accept_websocket(1)
    else:
        peer.conn.connect_websocket("example.com", "/")
    (head,) = peer.sent()
    assert not {b"content-length", b"transfer-encoding"} & {name for name, _ in head.fields}


@pytest.mark.row("8441-4-14")
@pytest.mark.parametrize("end_stream", [True, False])
@pytest.mark.parametrize("kind", ["websocket", "tunnel"])
def test_headers_on_an_open_tunnel_are_a_stream_error(either, end_stream, kind):
    peer = either()
    stream_id = peer.websocket() if kind == "websocket" else tunnel(peer)
    sibling = peer.websocket()
    peer.feed(peer.headers(stream_id, [("trailer", "x")], end_stream))
    ended = [e for e in peer.events if getattr(e, "stream_id", 0) == stream_id]
    if kind == "websocket":
        assert [(kinds([e]), e.code) for e in ended] == [(["Closed"], 1006)]
    else:
        assert [(kinds([e]), e.error_code) for e in ended] == [(["Reset"], f.PROTOCOL_ERROR)]
    peer.expect_stream_error(stream_id, f.PROTOCOL_ERROR)
    events = peer.feed(peer.message(sibling, b"still here"))
    assert [e.data for e in of(events, "BytesMessage")] == [b"still here"]


@pytest.mark.row("8441-4-14")
def test_other_frames_on_an_open_tunnel_are_allowed(either):
    peer = either()
    stream_id = peer.websocket()
    peer.feed(
        f.priority(stream_id),
        f.window_update(stream_id, 100),
        f.frame(0xFA, 0xFF, stream_id, b"whatever it is"),
        f.frame(0x2A, 0, stream_id, b""),
        peer.message(stream_id, b"after"),
    )
    assert [e.data for e in of(peer.events, "BytesMessage")] == [b"after"]
    assert [one for one in peer.sent() if one.stream_id == stream_id] == []


@pytest.mark.row("8441-4-15")
def test_requests_websockets_and_tunnels_share_a_connection(server):
    peer = server()
    websocket, other = peer.websocket(), peer.websocket()
    octets = tunnel(peer, "echo")
    post = peer.post()
    peer.events.clear()
    events = peer.feed(
        peer.message(websocket, b"one"),
        f.data(post, b"bo"),
        f.data(octets, b"\x00\x01"),
        peer.message(other, b"two"),
        f.data(post, b"dy", True),
        f.data(octets, b"\x02"),
    )
    told = {}
    for event in events:
        told.setdefault(event.stream_id, []).append(event)
    assert [e.data for e in told[websocket]] == [b"one"]
    assert [e.data for e in told[other]] == [b"two"]
    assert b"".join(e.data for e in told[octets]) == b"\x00\x01\x02"
    assert b"".join(e.data for e in of(told[post], "Data")) == b"body"
    assert kinds(told[post])[-1] == "Ended"
    peer.conn.send_message(websocket, "1")
    peer.conn.respond(post, [(":status", "201")], end_stream=True)
    peer.conn.send_data(octets, b"2")
    peer.conn.send_message(other, b"3")
    sent = {one.stream_id: one for one in peer.sent() if one.stream_id}
    assert sent[post].get(":status") == "201"
    assert sent[octets].content == b"2"
    assert read_ws_frames(sent[websocket].content)[0].payload == b"1"
    assert read_ws_frames(sent[other].content)[0].payload == b"3"


@pytest.mark.row("8441-4-15")
def test_client_opens_requests_websockets_and_tunnels_on_a_connection(client):
    peer = client()
    websocket = peer.websocket()
    octets = tunnel(peer)
    post = peer.conn.request(POST, end_stream=False)
    peer.conn.send_data(post, b"body", True)
    peer.conn.send_data(octets, b"raw")
    peer.conn.send_message(websocket, b"message")
    sent = [one for one in peer.sent() if one.kind == f.DATA]
    assert {one.stream_id: one.end_stream for one in sent} == {
        post: True,
        octets: False,
        websocket: False,
    }
    events = peer.feed(
        peer.headers(post, OK),
        f.data(octets, b"raw"),
        peer.message(websocket, b"message"),
        f.data(post, b"", True),
    )
    assert sorted(kinds(events)) == ["BytesMessage", "Data", "Ended", "Responded"] or set(
        kinds(events)
    ) == {"BytesMessage", "Data", "Ended", "Responded"}


# -- octets of a tunnel --------------------------------------------------------------------------


@pytest.mark.row("8441-4-8", "8441-4-15")
def test_tunnel_is_closed_for_each_direction_apart(either):
    peer = either()
    stream_id = tunnel(peer)
    peer.conn.send_data(stream_id, b"last words", True)
    (frame,) = peer.sent()
    assert (frame.content, frame.end_stream) == (b"last words", True)
    with pytest.raises((peer.errors.LocalProtocolError, peer.errors.StreamClosed)):
        peer.conn.send_data(stream_id, b"more")
    events = peer.feed(f.data(stream_id, b"but I "), f.data(stream_id, b"go on", True))
    assert b"".join(e.data for e in of(events, "Data")) == b"but I go on"
    assert kinds(events)[-1] == "Ended"
    assert peer.conn.open_streams == 0
    peer.expect_alive()


@pytest.mark.row("8441-4-8")
def test_tunnel_outlives_the_end_of_the_peers_side(either):
    peer = either()
    stream_id = tunnel(peer)
    events = peer.feed(f.data(stream_id, end_stream=True))
    assert kinds(events) == ["Ended"]
    peer.conn.send_data(stream_id, b"still talking")
    (frame,) = peer.sent()
    assert (frame.content, frame.end_stream) == (b"still talking", False)
    peer.conn.send_data(stream_id, b"", True)
    (frame,) = peer.sent()
    assert (frame.content, frame.end_stream) == (b"", True)
    assert peer.conn.open_streams == 0


@pytest.mark.row("8441-5-8")
def test_reset_of_a_tunnel_is_told_with_its_code(either):
    for code in (f.CANCEL, f.CONNECT_ERROR, f.NO_ERROR):
        peer = either()
        stream_id = tunnel(peer)
        events = peer.feed(f.rst_stream(stream_id, code))
        (event,) = events
        assert (kinds([event]), event.error_code, event.remote) == (["Reset"], code, True)
        with pytest.raises(peer.errors.StreamClosed):
            peer.conn.send_data(stream_id, b"x")
        peer.expect_alive()


@pytest.mark.row("8441-5-8")
def test_abort_of_a_tunnel_is_a_reset_with_cancel(either):
    peer = either()
    stream_id = tunnel(peer)
    peer.conn.send_data(stream_id, bytes(100))
    peer.conn.reset(stream_id)
    (frame,) = [one for one in peer.sent() if one.stream_id == stream_id]
    assert (frame.kind, frame.error_code) == (f.RST_STREAM, f.CANCEL)
    peer.expect_alive()


# -- WebSocket on the tunnel ----------------------------------------------------------------------


@pytest.mark.row("8441-5-1", "8441-5-2", "8441-5-4")
def test_clients_request_has_what_it_must_and_nothing_of_http1(client):
    peer = client()
    peer.conn.connect_websocket("example.com", "/chat?p=q&r=%20", origin="https://example.com")
    (head,) = peer.sent()
    assert not head.end_stream
    pseudo = {name: value for name, value in head.fields if name.startswith(b":")}
    assert pseudo == {
        b":method": b"CONNECT",
        b":protocol": b"websocket",
        b":scheme": b"https",
        b":authority": b"example.com",
        b":path": b"/chat?p=q&r=%20",
    }
    assert [name.startswith(b":") for name, _ in head.fields[:5]] == [True] * 5
    fields = dict(head.fields[5:])
    assert fields[b"sec-websocket-version"] == b"13"
    assert fields[b"origin"] == b"https://example.com"
    forbidden = {
        b"connection",
        b"upgrade",
        b"host",
        b"sec-websocket-key",
        b"transfer-encoding",
        b"content-length",
        b"keep-alive",
    }
    assert not forbidden & fields.keys()


@pytest.mark.row("8441-5-1")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_scheme_is_that_of_the_uri(client, scheme):
    peer = client()
    peer.conn.connect_websocket("example.com:8080", scheme=scheme)
    (head,) = peer.sent()
    assert head.get(":scheme") == scheme
    assert head.get(":authority") == "example.com:8080"
    assert head.get(":path") == "/"


@pytest.mark.row("8441-5-2")
@pytest.mark.parametrize("name", ["connection", "upgrade", "Upgrade", "transfer-encoding"])
def test_fields_of_http1_cannot_be_added(client, name):
    peer = client()
    with pytest.raises((ValueError, peer.errors.LocalProtocolError)):
        peer.conn.connect_websocket("example.com", "/", headers=[(name, "x")])
    assert peer.sent() == []
    assert peer.conn.connect_websocket("example.com", "/") == 1


@pytest.mark.row("8441-5-5")
def test_frames_of_the_websocket_and_of_http2_know_nothing_of_each_other(either):
    peer = either()
    stream_id = peer.websocket()
    key = b"\x01\x02\x03\x04" if peer.role == "server" else None
    octets = ws_frame(TEXT, b"one", key=key) + ws_frame(BINARY, b"two" * 100, key=key)
    peer.feed(*(f.data(stream_id, octets[i : i + 1]) for i in range(len(octets))))
    expected = ["one", b"two" * 100]
    assert [e.data for e in peer.events] == expected
    many = b"".join(ws_frame(BINARY, b"%d" % i, key=key) for i in range(100))
    peer.feed(f.data(stream_id, many))
    expected += [b"%d" % i for i in range(100)]
    assert [e.data for e in peer.events] == expected
    for pad in (0, 1, 255):
        peer.feed(
            f.data(stream_id, octets[:7], pad=pad),
            f.data(stream_id, b""),
            f.data(stream_id, b"", pad=pad),
            f.data(stream_id, octets[7:], pad=pad),
        )
        expected += ["one", b"two" * 100]
        assert [e.data for e in peer.events] == expected
    assert [one for one in peer.sent() if one.kind != f.WINDOW_UPDATE] == []


@pytest.mark.row("8441-5-5")
def test_large_message_is_cut_into_frames_the_peer_takes(either):
    peer = either(
        peer_settings=(
            (f.ENABLE_CONNECT_PROTOCOL, 1),
            (f.INITIAL_WINDOW_SIZE, 1 << 20),
        )
    )
    stream_id = peer.websocket()
    peer.feed(f.window_update(0, 1 << 20))
    peer.conn.send_message(stream_id, bytes(100000))
    frames = peer.sent()
    assert {one.kind for one in frames} == {f.DATA}
    assert max(len(one.payload) for one in frames) <= 16384
    (message,) = read_ws_frames(b"".join(one.content for one in frames))
    assert message.payload == bytes(100000)
    assert not any(one.end_stream for one in frames)


@pytest.mark.row("8441-5-6")
def test_masking_is_the_clients_over_h2_as_well(either):
    peer = either()
    stream_id = peer.websocket()
    peer.conn.send_message(stream_id, "Hello")
    (frame,) = peer.sent()
    (message,) = read_ws_frames(frame.content)
    assert (message.key is None) == (peer.role == "server")
    assert message.payload == b"Hello"


@pytest.mark.row("8441-8-1")
@pytest.mark.parametrize("origin", ["https://example.com", "https://evil.example", "null"])
def test_origin_reaches_the_application_which_may_answer_403(server, origin):
    peer = server()
    (event,) = peer.feed(peer.headers(1, [*CONNECT, ("origin", origin)]))
    assert dict(event.headers)[b"origin"] == origin.encode()
    if origin == "https://example.com":
        peer.conn.accept_websocket(1)
        assert peer.sent()[0].get(":status") == "200"
    else:
        peer.conn.respond(1, [(":status", "403")], end_stream=True)
        head = peer.sent()[0]
        assert (head.get(":status"), head.end_stream) == ("403", True)
    peer.expect_alive()


@pytest.mark.row("8441-5-10")
@pytest.mark.parametrize(("secure", "scheme"), [(True, "http"), (False, "https")])
@pytest.mark.parametrize("fields", [CONNECT, GET])
def test_scheme_that_does_not_fit_the_transport_is_refused(server, secure, scheme, fields):
    peer = server(secure=secure)
    wrong = [(n, scheme if n == ":scheme" else v) for n, v in fields]
    assert peer.feed(peer.headers(1, wrong, end_stream=fields is GET)) == []
    head = peer.sent()[0]
    assert (head.get(":status"), head.end_stream) == ("400", True)
    right = [(n, "https" if secure else "http") if n == ":scheme" else (n, v) for n, v in fields]
    events = peer.feed(peer.headers(3, right, end_stream=fields is GET))
    assert kinds(events) == ["Requested"]


@pytest.mark.row("8441-5-10")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_any_scheme_is_taken_behind_who_terminates_tls(server, scheme):
    peer = server()
    fields = [(n, scheme if n == ":scheme" else v) for n, v in CONNECT]
    (event,) = peer.feed(peer.headers(1, fields))
    assert event.scheme == scheme
