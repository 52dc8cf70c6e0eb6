"""What begins a tunnel of capsules, and what may not stand in it: RFC 9297 section 3.2, RFC 9298."""

import pytest

from tests.support import frames as f
from tests.support.peer import OK, kinds, of

from .test_extended_connect import expect_malformed

UDP = [
    (":method", "CONNECT"),
    (":protocol", "connect-udp"),
    (":scheme", "https"),
    (":authority", "proxy.example"),
    (":path", "/.well-known/masque/udp/192.0.2.6/443/"),
    ("capsule-protocol", "?1"),
]
CAPSULE = bytes.fromhex("00060068656c6c6f")
DESCRIPTIONS = [("content-length", "0"), ("content-length", "8"), ("content-type", "text/plain")]


@pytest.mark.row("9298-3.4-1")
def test_server_takes_connect_udp(server):
    peer = server()
    assert peer.open(UDP) == 1
    (requested,) = of(peer.events, "Requested")
    assert (requested.method, requested.protocol) == ("CONNECT", "connect-udp")
    assert (b"capsule-protocol", b"?1") in requested.headers
    peer.conn.respond(1, OK)
    peer.feed(f.data(1, CAPSULE))
    assert b"".join(event.data for event in of(peer.events, "Data")) == CAPSULE


@pytest.mark.row("9298-3.4-1")
@pytest.mark.parametrize("name", [":scheme", ":path", ":authority"])
def test_server_connect_udp_without_a_part(server, name):
    for value in (None, "") if name != ":authority" else (None,):
        peer = server()
        kept = [pair for pair in UDP if pair[0] != name]
        peer.feed(peer.headers(1, kept if value is None else [(name, value), *kept]))
        expect_malformed(peer)


@pytest.mark.row("9297-3.2-4")
@pytest.mark.parametrize("field", [*DESCRIPTIONS, ("transfer-encoding", "chunked")])
def test_server_a_request_that_describes_content(server, field):
    peer = server()
    peer.feed(peer.headers(1, [*UDP, field]))
    expect_malformed(peer)


def asked(peer):
    stream_id = peer.conn.request(UDP, end_stream=False)
    peer.sent()
    return stream_id


@pytest.mark.row("9297-3.2-4")
@pytest.mark.parametrize("field", [*DESCRIPTIONS, ("transfer-encoding", "chunked")])
def test_client_a_response_that_describes_content(client, field):
    peer = client()
    stream_id = asked(peer)
    peer.feed(peer.headers(stream_id, [*OK, field]))
    assert of(peer.events, "Opened") == []
    peer.expect_stream_error(stream_id, f.PROTOCOL_ERROR)


@pytest.mark.row("9297-3.2-5", "9298-3.5-1")
@pytest.mark.parametrize("status", ["204", "205", "206"])
def test_client_a_status_that_has_no_capsules(client, status):
    peer = client()
    stream_id = asked(peer)
    peer.feed(peer.headers(stream_id, [(":status", status)]))
    assert of(peer.events, "Opened") == []
    peer.expect_stream_error(stream_id, f.PROTOCOL_ERROR)


@pytest.mark.row("9298-3.5-1")
@pytest.mark.parametrize("status", ["200", "201", "202", "203", "207", "299"])
def test_client_any_other_2xx_opens_the_tunnel(client, status):
    peer = client()
    stream_id = asked(peer)
    assert kinds(peer.feed(peer.headers(stream_id, [(":status", status)]))) == ["Opened"]


@pytest.mark.row("9297-3.2-6", "9298-3.5-1")
def test_client_a_refusal_is_no_tunnel(client):
    peer = client()
    stream_id = asked(peer)
    fields = [(":status", "403"), ("content-type", "text/plain"), ("content-length", "8")]
    peer.feed(peer.headers(stream_id, fields))
    peer.feed(f.data(stream_id, CAPSULE, f.END_STREAM))
    assert of(peer.events, "Opened") == []
    (responded,) = of(peer.events, "Responded")
    assert responded.status == 403
    assert b"".join(event.data for event in of(peer.events, "Data")) == CAPSULE


@pytest.mark.row("9297-3.2-4", "9297-3.2-5")
def test_neither_is_sent(make):
    peer = make("client")
    for field in DESCRIPTIONS:
        with pytest.raises(ValueError):
            peer.conn.request([*UDP, field], end_stream=False)
    peer = make("server")
    peer.open(UDP)
    for headers in (
        *([*OK, field] for field in DESCRIPTIONS),
        *([(":status", status)] for status in ("204", "205", "206")),
    ):
        with pytest.raises(ValueError):
            peer.conn.respond(1, headers)
    peer.sent()
    peer.conn.respond(1, OK)
    assert [frame.kind for frame in peer.sent()] == [f.HEADERS]


def test_other_tunnels_ignore_a_length(client):
    peer = client()
    fields = [(n, "bytestream" if n == ":protocol" else v) for n, v in UDP[:5]]
    stream_id = peer.conn.request(fields, end_stream=False)
    peer.feed(peer.headers(stream_id, [*OK, ("content-length", "3"), ("content-type", "a/b")]))
    (opened,) = of(peer.events, "Opened")
    assert opened.status == 200
