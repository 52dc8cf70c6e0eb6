"""The opening handshake of a WebSocket on an h2 stream: RFC 8441 section 5, RFC 6455 section 4."""

import pytest

from tests.support import frames as f
from tests.support.peer import CONNECT, OK, kinds, of

PLAIN = [pair for pair in CONNECT if pair[0] != "sec-websocket-version"]
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 section 1.3
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def request(peer, *extra, headers=CONNECT):
    """Feed an extended CONNECT on stream 1; return the events."""
    return peer.feed(peer.headers(1, [*headers, *extra]))


def respond(peer, *extra, status="200", end_stream=False):
    """Feed the answer to stream 1; return the events."""
    return peer.feed(peer.headers(1, [(":status", status), *extra], end_stream))


def connecting(peer, **options):
    """Let the client's engine ask for a WebSocket; return its HEADERS."""
    assert peer.conn.connect_websocket("example.com", "/chat", **options) == 1
    (head,) = peer.sent()
    assert (head.kind, head.stream_id, head.end_stream) == (f.HEADERS, 1, False)
    return head


# -- version -----------------------------------------------------------------------------------


@pytest.mark.row("8441-5h-1")
@pytest.mark.parametrize(
    "versions", [[], ["8"], ["14"], ["13, 8"], [""], ["1 3"], ["13", "13"], ["13", "8"]]
)
def test_other_version_is_answered_400_with_the_version_we_speak(server, versions):
    peer = server()
    events = request(peer, *[("sec-websocket-version", v) for v in versions], headers=PLAIN)
    assert of(events, "Requested") == []
    frames = [one for one in peer.sent() if one.stream_id == 1]
    assert frames[0].get(":status") == "400"
    assert frames[0].get("sec-websocket-version") == "13"
    assert any(one.end_stream for one in frames)
    assert {one.error_code for one in frames if one.kind == f.RST_STREAM} <= {f.NO_ERROR}
    peer.expect_alive()


@pytest.mark.row("8441-5h-1")
def test_client_takes_a_refusal_of_its_version_as_a_response(client):
    for status in ("400", "426"):
        peer = client()
        connecting(peer)
        events = respond(peer, ("sec-websocket-version", "8"), status=status, end_stream=True)
        responded = of(events, "Responded")
        assert [(e.status, e.ended) for e in responded] == [(int(status), True)]
        assert (b"sec-websocket-version", b"8") in responded[0].headers
        peer.expect_alive()


# -- subprotocols --------------------------------------------------------------------------------


@pytest.mark.row("8441-5h-2", "8441-5-4")
def test_offered_subprotocols_are_seen_and_the_choice_is_answered(server):
    peer = server()
    (requested,) = request(
        peer, ("sec-websocket-protocol", "chat, superchat"), ("sec-websocket-protocol", "third")
    )
    offered = [v for n, v in requested.headers if n == b"sec-websocket-protocol"]
    assert b", ".join(offered).split(b", ") == [b"chat", b"superchat", b"third"]
    peer.conn.accept_websocket(1, "superchat")
    (head,) = peer.sent()
    assert head.get(":status") == "200"
    assert head.get("sec-websocket-protocol") == "superchat"
    assert not head.end_stream


@pytest.mark.row("8441-5h-2")
def test_no_subprotocol_chosen_means_no_field(server):
    peer = server()
    request(peer, ("sec-websocket-protocol", "chat"))
    peer.conn.accept_websocket(1)
    (head,) = peer.sent()
    assert head.get("sec-websocket-protocol") is None


@pytest.mark.row("8441-5h-2")
@pytest.mark.parametrize("choice", ["other", "", "CHAT", "chat, superchat"])
def test_subprotocol_that_was_not_offered_cannot_be_chosen(server, choice):
    peer = server()
    request(peer, ("sec-websocket-protocol", "chat, superchat"))
    with pytest.raises((ValueError, peer.errors.LocalProtocolError)):
        peer.conn.accept_websocket(1, choice)
    assert peer.sent() == []
    peer.conn.accept_websocket(1, "chat")
    (head,) = peer.sent()
    assert head.get("sec-websocket-protocol") == "chat"


@pytest.mark.row("8441-5h-2")
def test_200_carries_fields_of_the_application(server):
    peer = server()
    request(peer)
    peer.conn.accept_websocket(1, headers=[("set-cookie", "a=b"), (b"X-Two", b"2")])
    (head,) = peer.sent()
    assert head.fields[0] == (b":status", b"200")
    assert head.get("set-cookie") == "a=b"
    assert head.get("x-two") == "2"
    for name in ("connection", "upgrade", "content-length", "transfer-encoding"):
        assert head.get(name) is None


@pytest.mark.row("8441-5h-2")
def test_no_extension_is_answered_that_is_not_spoken(server):
    peer = server()
    request(peer, ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits, foo"))
    peer.conn.accept_websocket(1)
    (head,) = peer.sent()
    assert head.get("sec-websocket-extensions") is None


@pytest.mark.row("8441-5h-2")
@pytest.mark.parametrize("chosen", [None, "chat", "superchat"])
def test_client_hears_which_subprotocol_was_chosen(client, chosen):
    peer = client()
    head = connecting(peer, subprotocols=["chat", "superchat"])
    assert head.get("sec-websocket-protocol").replace(" ", "") == "chat,superchat"
    events = respond(peer, *([("sec-websocket-protocol", chosen)] if chosen else []))
    (opened,) = events
    assert (kinds(events), opened.status, opened.subprotocol) == (["Opened"], 200, chosen)


@pytest.mark.row("8441-5h-2", "8441-5-4")
def test_client_sends_the_fields_of_the_handshake_in_lower_case(client):
    peer = client()
    head = connecting(
        peer, origin="https://example.com", subprotocols=["a"], headers=[("Authorization", "x")]
    )
    assert head.get("sec-websocket-version") == "13"
    assert head.get("origin") == "https://example.com"
    assert head.get("sec-websocket-protocol") == "a"
    assert head.get("authorization") == "x"
    assert all(name == name.lower() for name, _ in head.fields)


@pytest.mark.row("8441-5h-2")
def test_client_without_subprotocols_sends_no_field(client):
    head = connecting(client())
    assert head.get("sec-websocket-protocol") is None
    assert head.get("origin") is None


@pytest.mark.row("8441-5h-2")
@pytest.mark.parametrize("subprotocols", [[""], ["a b"], ["a", "a"], ["a,b"], ["é"], ["a\r\n"]])
def test_subprotocols_that_are_no_unique_tokens_are_refused(client, subprotocols):
    peer = client()
    with pytest.raises(ValueError):
        peer.conn.connect_websocket("example.com", "/", subprotocols=subprotocols)
    assert peer.sent() == []
    connecting(peer)


# -- the client checks -----------------------------------------------------------------------------


@pytest.mark.row("8441-5h-3")
@pytest.mark.parametrize(
    "extra",
    [
        [("sec-websocket-extensions", "permessage-deflate")],
        [("sec-websocket-extensions", "foo; bar=1")],
        [("sec-websocket-protocol", "other")],
        [("sec-websocket-protocol", "CHAT")],
        [("sec-websocket-protocol", "chat, superchat")],
        [("sec-websocket-protocol", "chat"), ("sec-websocket-protocol", "chat")],
        [("sec-websocket-protocol", "chat"), ("sec-websocket-protocol", "superchat")],
        [("sec-websocket-protocol", "")],
    ],
)
def test_answer_that_was_not_offered_is_cancelled(client, extra):
    peer = client()
    sibling = peer.conn.connect_websocket("example.com", "/other")
    peer.sent()
    peer.feed(peer.headers(sibling, OK))
    stream_id = peer.conn.connect_websocket(
        "example.com", "/chat", subprotocols=["chat", "superchat"]
    )
    peer.sent()
    events = peer.feed(peer.headers(stream_id, [*OK, *extra]))
    assert "Opened" not in kinds(events)
    (reset,) = of(events, "Reset")
    assert (reset.stream_id, reset.error_code, reset.remote) == (stream_id, f.CANCEL, False)
    assert reset.reason
    peer.expect_stream_error(stream_id, f.CANCEL)
    events = peer.feed(peer.message(sibling, b"still here"))
    assert [e.data for e in of(events, "BytesMessage")] == [b"still here"]


@pytest.mark.row("8441-5h-3")
def test_subprotocol_when_none_was_offered_is_cancelled(client):
    peer = client()
    connecting(peer)
    events = respond(peer, ("sec-websocket-protocol", "chat"))
    assert kinds(events) == ["Reset"]
    peer.expect_stream_error(1, f.CANCEL)


@pytest.mark.row("8441-5h-3", "8441-5-3")
@pytest.mark.parametrize("accept", [ACCEPT, "wrong", ""])
def test_accept_field_is_ignored_by_the_client(client, accept):
    peer = client()
    head = connecting(peer)
    assert head.get("sec-websocket-key") is None
    events = respond(peer, ("sec-websocket-accept", accept), ("server", "x"))
    assert kinds(events) == ["Opened"]
    assert peer.sent() == []


# -- the key that some clients send ----------------------------------------------------------------


@pytest.mark.row("8441-5-3")
def test_valid_key_is_answered_with_accept(server):
    peer = server()
    request(peer, ("sec-websocket-key", KEY))
    peer.conn.accept_websocket(1)
    (head,) = peer.sent()
    assert head.get(":status") == "200"
    assert head.get("sec-websocket-accept") == ACCEPT


@pytest.mark.row("8441-5-3")
def test_no_key_is_needed_and_no_accept_sent_without_one(server):
    peer = server()
    request(peer)
    peer.conn.accept_websocket(1)
    (head,) = peer.sent()
    assert (head.get(":status"), head.get("sec-websocket-accept")) == ("200", None)


@pytest.mark.row("8441-5-3")
@pytest.mark.parametrize(
    "key",
    [
        "",
        "x",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZTE=",
        "!!!lIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25j ZQ==",
    ],
)
def test_invalid_key_is_ignored(server, key):
    peer = server()
    events = request(peer, ("sec-websocket-key", key))
    assert kinds(events) == ["Requested"]
    peer.conn.accept_websocket(1)
    (head,) = peer.sent()
    assert (head.get(":status"), head.get("sec-websocket-accept")) == ("200", None)


@pytest.mark.row("8441-5-3")
def test_answering_the_key_can_be_switched_off(server):
    peer = server(accept_key=False)
    request(peer, ("sec-websocket-key", KEY))
    peer.conn.accept_websocket(1)
    (head,) = peer.sent()
    assert (head.get(":status"), head.get("sec-websocket-accept")) == ("200", None)


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.row("8441-5h-4")
@pytest.mark.parametrize("status", ["301", "302", "401", "403", "404", "503"])
def test_server_refuses_with_an_ordinary_response(server, status):
    peer = server()
    request(peer)
    peer.conn.respond(1, [(":status", status), ("content-type", "text/plain")])
    peer.conn.send_data(1, b"no, ", False)
    peer.conn.send_data(1, b"sorry", True)
    frames = [one for one in peer.sent() if one.stream_id == 1]
    assert frames[0].get(":status") == status
    assert not frames[0].end_stream
    body = [one for one in frames if one.kind == f.DATA]
    assert b"".join(one.content for one in body) == b"no, sorry"
    assert [one.end_stream for one in body][-1] is True
    peer.feed(f.data(1, end_stream=True))
    peer.sent()
    assert peer.conn.open_streams == 0
    peer.expect_alive()


@pytest.mark.row("8441-5h-4")
def test_refused_websocket_takes_no_messages(server):
    peer = server()
    request(peer)
    peer.conn.respond(1, [(":status", "403")], end_stream=True)
    with pytest.raises((peer.errors.LocalProtocolError, peer.errors.StreamClosed)):
        peer.conn.send_message(1, "hello")
    frames = [one for one in peer.sent() if one.stream_id == 1]
    assert [one.kind for one in frames if one.kind != f.RST_STREAM] == [f.HEADERS]


@pytest.mark.row("8441-5h-4", "8441-4-9")
@pytest.mark.parametrize("status", ["302", "401", "403", "404", "501"])
def test_client_gets_the_refusal_as_a_response_with_its_body(client, status):
    peer = client()
    connecting(peer)
    came = respond(peer, ("location", "/elsewhere"), status=status)
    came += peer.feed(f.data(1, b"not "), f.data(1, b"here", end_stream=True))
    assert kinds(came)[0] == "Responded"
    assert (came[0].status, came[0].ended) == (int(status), False)
    assert (b"location", b"/elsewhere") in came[0].headers
    assert b"".join(e.data for e in of(came, "Data")) == b"not here"
    assert kinds(came).count("Ended") == 1
    assert "Opened" not in kinds(came)
    assert "Closed" not in kinds(came)
    (end,) = [one for one in peer.sent() if one.stream_id == 1]  # its own side ends as well
    assert end.end_stream or (end.kind, end.error_code) == (f.RST_STREAM, f.CANCEL)
    assert peer.conn.open_streams == 0
    peer.expect_alive()


# -- time ------------------------------------------------------------------------------------------


@pytest.mark.row("8441-5h-6")
@pytest.mark.parametrize("limit", [None, 3.0])
def test_client_cancels_a_handshake_that_is_not_answered(client, limit):
    peer = client(limits={"handshake_timeout_s": limit} if limit else None)
    limit = limit or 10.0
    peer.tick(50)
    connecting(peer)
    assert peer.conn.next_timeout() == pytest.approx(peer.now + limit)
    assert peer.tick(limit - 0.1) == []
    assert peer.sent() == []
    events = peer.tick(0.2)
    (reset,) = of(events, "Reset")
    assert (reset.stream_id, reset.error_code, reset.remote) == (1, f.CANCEL, False)
    peer.expect_stream_error(1, f.CANCEL)


@pytest.mark.row("8441-5h-6")
def test_server_answers_408_and_resets_where_the_application_is_silent(server):
    peer = server()
    peer.tick(50)
    request(peer)
    peer.sent()
    peer.tick(9.9)
    assert peer.sent() == []
    peer.tick(0.2)
    answer, reset = (one for one in peer.sent() if one.stream_id == 1)
    assert (answer.kind, answer.get(":status"), answer.end_stream) == (f.HEADERS, "408", True)
    assert (reset.kind, reset.error_code) == (f.RST_STREAM, f.CANCEL)
    assert kinds(peer.events) == ["Requested", "Reset"]
    peer.expect_alive()
    with pytest.raises(peer.errors.StreamClosed):
        peer.conn.accept_websocket(1)


@pytest.mark.row("8441-5h-6")
def test_answered_handshake_has_no_deadline(server, client):
    peer = server()
    request(peer)
    peer.conn.accept_websocket(1)
    peer.sent()
    assert peer.conn.next_timeout() is None
    peer = client()
    connecting(peer)
    respond(peer)
    peer.sent()
    assert peer.conn.next_timeout() is None
