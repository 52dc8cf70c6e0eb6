"""Upgrade in HTTP/2 as Kazuho Oku's mail has it: both of his examples, and what they must not open."""

import pytest

from tests.support import frames as f
from tests.support.peer import CONNECT, GET, OK, kind, kinds
from tests.support.twins import of
from tests.support.ws_frames import TEXT, read_ws_frames, ws_frame

SPOKEN = ((f.ENABLE_CONNECT_PROTOCOL, 1), (0xFB01, 1))
# His examples leave :authority out, which RFC 9113 section 8.3.1 has whoever knows it send.
CHAT = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "server.example.com"),
    (":path", "/chat"),
    (":upgrade", "websocket"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-protocol", "chat, superchat"),
    ("sec-websocket-version", "13"),
]
CHATS = [
    (":status", "101"),
    (":upgrade", "websocket"),
    ("sec-websocket-protocol", "chat"),
    ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
]
H2C = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "server.example.com"),
    (":path", "/"),
    (":upgrade", "h2c; http2-settings"),
    ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
]
UPGRADED = [(":status", "101"), (":upgrade", "h2c")]


@pytest.fixture
def dialect(twin):
    return of(twin, "dialect")


def spoken(make, dialect, settings=SPOKEN):
    return make(settings=dialect.DialectSettings(), peer_settings=settings)


def text(fields):
    return [(name.decode(), value.decode()) for name, value in fields]


def head(peer):
    """The fields of the one HEADERS frame that was sent."""
    (frame,) = [frame for frame in peer.sent() if frame.kind == f.HEADERS]
    return frame, text(frame.fields)


def test_a_websocket_is_served(server, dialect):
    peer = spoken(server, dialect)
    peer.feed(peer.headers(1, CHAT))
    (asked,) = peer.events
    assert (kind(asked), asked.method, asked.protocol) == ("Requested", "CONNECT", "websocket")
    assert dialect.Upgrade.read(asked.headers) == ("GET", 0, ())
    peer.conn.accept_websocket(1, "chat", headers=[dialect.Upgrade.switched("websocket")])
    frame, fields = head(peer)
    assert fields == CHATS and not frame.end_stream
    peer.feed(f.data(1, ws_frame(TEXT, b"hello", key=b"abcd")))
    assert peer.events[-1].data == "hello"
    peer.conn.send_message(1, "there")
    (answer,) = read_ws_frames(
        b"".join(each.content for each in peer.sent() if each.kind == f.DATA)
    )
    assert answer.payload == b"there"


def test_a_websocket_is_asked_for(client, dialect):
    peer = spoken(client, dialect)
    stream_id = peer.conn.connect_websocket(
        "server.example.com",
        "/chat",
        scheme="https",
        headers=[dialect.Upgrade().field()],
        subprotocols=["chat", "superchat"],
    )
    fields = head(peer)[1]
    keyless = [field for field in CHAT if field[0] != "sec-websocket-key"]  # RFC 8441 section 5
    assert fields[:5] == keyless[:5] and sorted(fields[5:]) == sorted(keyless[5:])
    peer.feed(peer.headers(stream_id, CHATS))
    (opened,) = peer.events
    assert (kind(opened), opened.status, opened.subprotocol) == ("Opened", 200, "chat")
    assert (b"h2ws-upgrade", b"websocket") in opened.headers


@pytest.mark.parametrize("body", [b"", b"a request body"])
def test_an_upgrade_to_h2c_is_served(server, dialect, body):
    peer = spoken(server, dialect)
    method = "POST" if body else "GET"
    fields = [(":method", method), *H2C[1:]]
    if body:
        fields.append(("content-length", str(len(body))))
    peer.feed(peer.headers(1, fields), f.data(1, body + f.MAGIC))
    asked = peer.events[0]
    assert asked.protocol == "h2c"
    assert dialect.Upgrade.read(asked.headers) == (method, len(body), ("http2-settings",))
    assert (b"http2-settings", b"AAMAAABkAARAAAAAAAIAAAAA") in asked.headers
    peer.conn.respond(1, [(":status", "200"), dialect.Upgrade.switched("h2c")])
    assert head(peer)[1] == UPGRADED
    peer.more()
    assert b"".join(each.data for each in peer.events[1:]) == body + f.MAGIC


def test_an_upgrade_to_h2c_is_asked_for(client, dialect):
    peer = spoken(client, dialect)
    upgrade = dialect.Upgrade("POST", 4, ("http2-settings",))
    fields = [(":method", "CONNECT"), (":protocol", "h2c"), *H2C[1:4], H2C[5], upgrade.field()]
    stream_id = peer.conn.request(fields, end_stream=False)
    sent = head(peer)[1]
    assert sent == [(":method", "POST"), *H2C[1:], ("content-length", "4")]
    peer.feed(peer.headers(stream_id, UPGRADED), f.data(stream_id, f.MAGIC))
    assert kinds(peer.events) == ["Opened", *["Data"] * (len(peer.events) - 1)]


def test_a_refusal_is_an_ordinary_answer(server, dialect):
    peer = spoken(server, dialect)
    peer.feed(peer.headers(1, H2C))
    peer.conn.respond(1, [(":status", "403")], True)
    assert head(peer)[1] == [(":status", "403")]


@pytest.mark.parametrize("ours", [False, True])
def test_without_both_settings_it_is_malformed(server, dialect, twin, ours):
    """It is off by default; and where it is on, for a peer that has not said the same."""
    settings = dialect.DialectSettings() if ours else twin.Settings()
    peer = server(settings=settings, peer_settings=() if ours else SPOKEN)
    peer.feed(peer.headers(1, CHAT))
    (reset,) = [frame for frame in peer.sent() if frame.kind in (f.RST_STREAM, f.HEADERS)][-1:]
    assert reset.kind == f.RST_STREAM and reset.error_code == f.PROTOCOL_ERROR
    assert "Requested" not in kinds(peer.events)
    peer.get(3)


def test_to_a_peer_without_it_goes_an_extended_connect(client, dialect):
    peer = spoken(client, dialect, SPOKEN[:1])
    peer.conn.request([*CONNECT, dialect.Upgrade().field()], end_stream=False, octets=True)
    assert head(peer)[1] == CONNECT


def test_an_upgrade_names_no_more_than_the_dialect_has_room_for(client, dialect):
    options = tuple(f"field-{n}" for n in range(dialect.MAX_OPTIONS))
    peer = spoken(client, dialect)
    peer.conn.request([*CONNECT, dialect.Upgrade("GET", 0, options).field()], end_stream=False)
    assert dict(head(peer)[1])[":upgrade"] == "; ".join(["websocket", *options])
    with pytest.raises(ValueError, match="an upgrade names at most 8 fields"):
        dialect.Upgrade("GET", 0, (*options, "one-more")).field()


@pytest.mark.parametrize(
    "fields",
    [
        [*CHAT[:4], (":upgrade", "websocket; ")],
        [*CHAT[:4], (":upgrade", "websocket; a b")],
        [*CHAT[:4], (":upgrade", "a" + "; b" * 9)],
        [*CHAT[:4], (":upgrade", "")],
        [*CHAT[:4], (":upgrade", "two tokens")],
        [*CHAT[:4], (":upgrade", "a"), (":upgrade", "b")],
        [*CHAT[:4], (":upgrade", "a"), (":protocol", "a")],
        [*CHAT[:4], (":upgrade", "a"), ("content-length", "-1")],
        [*CHAT[:4], (":upgrade", "a"), ("content-length", "0" * 19)],
        [(":method", "CONNECT"), *CHAT[1:5]],
        [*CHAT[1:5]],
        [*CHAT[:4], ("x", "y"), (":upgrade", "a")],
    ],
)
def test_what_is_malformed_is_so_for_the_engine(server, dialect, fields):
    peer = spoken(server, dialect)
    peer.feed(peer.headers(1, fields))
    assert "Requested" not in kinds(peer.events)
    assert [frame.error_code for frame in peer.sent() if frame.kind == f.RST_STREAM] == [1]
    peer.get(3)


@pytest.mark.parametrize(
    "fields",
    [
        [(":status", "101")],
        [(":status", "200"), (":upgrade", "websocket")],
        [(":status", "101"), ("x", "y"), (":upgrade", "websocket")],
        [(":status", "101"), (":upgrade", "websocket"), (":upgrade", "websocket")],
    ],
)
def test_a_101_is_one_with_the_upgrade_alone(client, dialect, fields):
    peer = spoken(client, dialect)
    stream_id = peer.conn.request([*CONNECT, dialect.Upgrade().field()], False, octets=True)
    peer.sent()
    peer.feed(peer.headers(stream_id, fields))
    assert kinds(peer.events) == ["Reset"]
    assert [frame.error_code for frame in peer.sent() if frame.kind == f.RST_STREAM] == [1]


def test_nobody_else_can_say_what_stands_in_the_field(server, dialect):
    """A peer's own `h2ws-upgrade` is not believed, whatever it comes with."""
    peer = spoken(server, dialect)
    peer.feed(peer.headers(1, [*CONNECT, ("h2ws-upgrade", "POST; 5; host")]))
    assert dialect.Upgrade.read(peer.events[-1].headers) is None
    peer.feed(peer.headers(3, [*GET, ("h2ws-upgrade", "x")], True))
    assert all(name != b"h2ws-upgrade" for name, _ in peer.events[-1].headers)


def test_requests_and_extended_connects_go_on_as_ever(client, server, dialect):
    peer = spoken(client, dialect)
    stream_id = peer.conn.request(GET, end_stream=True)
    assert head(peer)[1] == GET
    peer.feed(peer.headers(stream_id, OK, True))
    assert peer.events[-1].status == 200
    peer = spoken(server, dialect)
    peer.feed(peer.headers(1, CONNECT))
    peer.conn.accept_websocket(1)
    assert head(peer)[1] == OK


def test_the_limits_are_those_of_every_stream(server, dialect):
    settings = dialect.DialectSettings(max_concurrent_streams=1, max_header_list_size=1000)
    peer = server(settings=settings, peer_settings=SPOKEN)
    peer.feed(peer.headers(1, H2C))
    peer.feed(peer.headers(3, H2C))
    (refused,) = [frame for frame in peer.sent() if frame.kind == f.RST_STREAM]
    assert (refused.stream_id, refused.error_code) == (3, 7)  # REFUSED_STREAM
    peer.conn.respond(1, [(":status", "403")], True)
    peer.feed(f.data(1, b"", end_stream=True))
    peer.feed(peer.headers(5, [*H2C, ("x", "y" * 1000)]))
    assert "Requested" not in kinds(peer.events[1:])


# -- a body before the answer ------------------------------------------------------------------


def posted(server, dialect, length):
    """A peer that has asked for an upgrade with a body of so many octets."""
    peer = spoken(server, dialect)
    peer.feed(peer.headers(1, [(":method", "POST"), *H2C[1:], ("content-length", str(length))]))
    return peer


def came(peer):
    return b"".join(each.data for each in peer.events if kind(each) == "Data")


@pytest.mark.parametrize("before", [0, 2, 4, 6])
def test_a_body_is_told_before_the_answer_and_no_more_than_it(server, dialect, before):
    """However much of it, and of what is behind it, came before somebody wanted it."""
    octets = b"bodyTUNNEL"
    peer = posted(server, dialect, 4)
    peer.feed(f.data(1, octets[:before], pad=3))
    peer.conn.take_first(1, 4)
    peer.feed(f.data(1, octets[before:], pad=3))
    peer.more()
    assert came(peer) == b"body"
    peer.conn.respond(1, [(":status", "200"), dialect.Upgrade.switched("h2c")])
    peer.more()
    assert came(peer) == octets
    credits = sum(each.credit for each in peer.events if kind(each) == "Data")
    assert credits == len(octets)
    peer.conn.consumed(1, credits)
    assert peer.conn.stats()["octets_buffered"] == 0


@pytest.mark.parametrize("late", [False, True])
def test_a_body_that_ends_too_early_is_told_to_end(server, dialect, late):
    peer = posted(server, dialect, 4)
    if not late:
        peer.conn.take_first(1, 4)
    peer.feed(f.data(1, b"bo", end_stream=True))
    if late:
        peer.conn.take_first(1, 4)
    peer.more()
    assert came(peer) == b"bo" and kinds(peer.events)[-1] == "Ended"


def test_a_whole_body_does_not_end_the_tunnel(server, dialect):
    peer = posted(server, dialect, 4)
    peer.conn.take_first(1, 4)
    peer.feed(f.data(1, b"body", end_stream=True))
    peer.more()
    assert came(peer) == b"body" and "Ended" not in kinds(peer.events)
    peer.conn.respond(1, [(":status", "200"), dialect.Upgrade.switched("h2c")])
    peer.more()
    assert kinds(peer.events)[-1] == "Ended"


def test_only_who_is_asked_for_a_tunnel_takes_what_comes_first(server, dialect):
    peer = spoken(server, dialect)
    failures = peer.errors
    peer.feed(peer.headers(1, GET, True), peer.headers(3, H2C))
    for stream_id, octets, error in [
        (1, 1, failures.LocalProtocolError),
        (5, 1, failures.LocalProtocolError),
        (3, -1, ValueError),
        (3, "1", TypeError),
    ]:
        with pytest.raises(error):
            peer.conn.take_first(stream_id, octets)
    peer.conn.respond(3, [(":status", "200")])
    with pytest.raises(failures.LocalProtocolError):
        peer.conn.take_first(3, 1)


def test_who_asks_in_the_dialect_may_send_before_it_is_open(client, dialect):
    for settings in (SPOKEN, SPOKEN[:1]):
        peer = spoken(client, dialect, settings)
        fields = [*CONNECT[:5], dialect.Upgrade("POST", 4).field()]
        stream_id = peer.conn.request(fields, end_stream=False, octets=True)
        assert peer.conn.speaks_dialect == (settings is SPOKEN)
        if settings is SPOKEN:
            peer.conn.send_data(stream_id, b"body")
            assert [each.content for each in peer.sent() if each.kind == f.DATA] == [b"body"]
        else:
            with pytest.raises(peer.errors.LocalProtocolError, match="wait for Opened"):
                peer.conn.send_data(stream_id, b"body")
