"""RFC 9113 section 3.4 and 5.4.3: how a connection begins, and how it is lost."""

import pytest

from tests.support import frames as f
from tests.support.peer import CONNECT, GET, POST, kinds, of

row = pytest.mark.row


@row("9113-3.4-1")
def test_client_begins_with_the_magic_and_settings(make):
    peer = make("client", handshake=False)
    octets = peer.pull()
    assert octets.startswith(f.MAGIC)
    first = f.read_frames(octets[24:])[0]
    assert (first.kind, first.flags, first.stream_id) == (f.SETTINGS, 0, 0)


@row("9113-3.4-2")
def test_server_begins_with_settings_without_waiting(make):
    peer = make("server", handshake=False)
    first = peer.sent()[0]
    assert (first.kind, first.flags, first.stream_id) == (f.SETTINGS, 0, 0)


@row("9113-3.4-2", "9113-3.4-6")
def test_server_settings_go_before_the_acknowledgement(server):
    peer = server(handshake=False)
    peer.feed(f.MAGIC, f.settings())
    frames = [x for x in peer.sent() if x.kind == f.SETTINGS]
    assert [x.ack for x in frames] == [False, True]


@row("9113-3.4-6")
def test_client_settings_go_before_the_acknowledgement(client):
    peer = client(handshake=False)
    peer.feed(f.settings())
    frames = [x for x in peer.sent() if x.kind == f.SETTINGS]
    assert [x.ack for x in frames] == [False, True]


@row("9113-3.4-3")
@pytest.mark.parametrize(
    "octets",
    [
        pytest.param([b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"], id="http1"),
        pytest.param([f.MAGIC[:23] + b"x", f.settings()], id="last-octet-wrong"),
        pytest.param([b"p" + f.MAGIC[1:], f.settings()], id="first-octet-wrong"),
        pytest.param([f.MAGIC, f.ping()], id="ping-before-settings"),
        pytest.param([f.MAGIC, f.settings_ack()], id="ack-before-settings"),
        pytest.param([f.MAGIC, f.frame(f.UNKNOWN)], id="unknown-before-settings"),
        pytest.param([f.MAGIC, f.window_update(0, 5)], id="window-update-before-settings"),
    ],
)
def test_wrong_client_preface_is_a_connection_error(server, octets):
    peer = server(handshake=False)
    peer.feed(*octets)
    peer.expect_connection_error(f.PROTOCOL_ERROR, last_stream_id=0)


@row("9113-3.4-3")
def test_headers_before_settings_are_a_connection_error(server):
    peer = server(handshake=False)
    peer.feed(f.MAGIC, peer.headers(1, GET, end_stream=True))
    assert not of(peer.events, "Requested")
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-3.4-4")
@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(f.headers(1, b"\x88"), id="headers"),
        pytest.param(f.ping(), id="ping"),
        pytest.param(f.settings_ack(), id="settings-ack"),
        pytest.param(f.goaway(), id="goaway"),
        pytest.param(f.frame(f.UNKNOWN), id="unknown"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="http1"),
    ],
)
def test_wrong_server_preface_is_a_connection_error(client, octets):
    peer = client(handshake=False)
    peer.conn.request(GET)
    peer.feed(octets)
    # Text of HTTP/1.1 reads as a frame of 4740180 octets: its size is as wrong as its type.
    peer.more()
    code = of(peer.events, "Terminated")[0].error_code
    assert code == f.PROTOCOL_ERROR or (octets.startswith(b"HTTP") and code == f.FRAME_SIZE_ERROR)
    peer.expect_connection_error(code)


@row("9113-3.4-4")
@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the peer speaks HTTP/1.1, not HTTP/2"),
        (b"HTTP/1.0 505 No\r\n\r\n", "the peer speaks HTTP/1.1, not HTTP/2"),
        (b"HTTP/2.0 400 Bad Request\r\n\r\n", "the first frame is not SETTINGS"),
        (b"HTTP 1.1 400 Bad Request\r\n\r\n", "the first frame is not SETTINGS"),
        (b"+OK ready, who is there?\r\n", "the first frame is not SETTINGS"),
    ],
)
def test_a_server_of_http1_is_called_so(client, octets, reason):
    peer = client(handshake=False)
    peer.feed(octets)
    assert of(peer.events, "Terminated")[0].reason == reason
    assert peer.expect_connection_error(f.PROTOCOL_ERROR).debug_data == reason.encode()


@row("9113-3.4-5")
def test_wrong_preface_is_seen_at_its_first_differing_octet(make):
    peer = make("server", handshake=False)
    assert peer.feed(b"P") == []
    assert not peer.conn.terminated
    peer.feed(b"O")
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-3.4-7")
def test_client_may_request_before_the_server_preface(client):
    peer = client(handshake=False)
    stream_id = peer.conn.request(GET)
    frames = peer.sent()
    assert frames[0].kind == f.SETTINGS
    assert frames[-1].kind == f.HEADERS and frames[-1].stream_id == stream_id == 1
    assert not peer.conn.settings_received
    peer.feed(f.settings(), peer.headers(1, [(":status", "200")], end_stream=True))
    assert peer.conn.settings_received
    assert [e.status for e in of(peer.events, "Responded")] == [200]


@row("9113-3.4-7", "9113-6.9.2-1")
def test_client_sends_within_the_default_windows_before_the_server_preface(client):
    peer = client(handshake=False)
    stream_id = peer.conn.request(POST, end_stream=False)
    peer.conn.send_data(stream_id, bytes(100_000), end_stream=True)
    sizes = [len(x.payload) for x in peer.sent() if x.kind == f.DATA]
    assert sum(sizes) == 65535
    assert max(sizes) <= 16384


@row("9113-3.4-7")
def test_client_does_not_open_extended_connect_before_the_server_preface(make):
    peer = make("client", handshake=False)
    peer.sent()
    with pytest.raises(peer.errors.ExtendedConnectUnsupported):
        peer.conn.request(CONNECT, end_stream=False)
    assert peer.sent() == []


@row("9113-3.4-8")
def test_server_settings_apply_to_what_is_queued_already(client):
    peer = client(handshake=False)
    stream_id = peer.conn.request(POST, end_stream=False)
    peer.conn.send_data(stream_id, bytes(100_000), end_stream=True)
    peer.feed(f.settings((f.INITIAL_WINDOW_SIZE, 1000)))
    assert [len(x.payload) for x in peer.sent() if x.kind == f.DATA] == [1000]
    peer.feed(f.settings((f.INITIAL_WINDOW_SIZE, 60_000), (f.MAX_FRAME_SIZE, 20_000)))
    sizes = [len(x.payload) for x in peer.sent() if x.kind == f.DATA]
    assert sum(sizes) == 59_000
    assert max(sizes) <= 20_000


@row("9113-5.2.2-1")
def test_input_is_read_while_output_is_blocked(either):
    peer = either()
    stream_id = peer.websocket()
    peer.conn.send_message(stream_id, bytes(200_000))  # more than the windows take
    for i in range(300):  # and nothing is pulled meanwhile
        peer.feed(f.ping(i.to_bytes(8, "big")))
    peer.feed(f.window_update(stream_id, 1))
    peer.feed(peer.message(stream_id, b"still heard"))
    assert [e.data for e in of(peer.events, "BytesMessage")] == [b"still heard"]
    answers = [x for x in peer.sent() if x.kind == f.PING]
    assert [x.payload for x in answers] == [i.to_bytes(8, "big") for i in range(300)]
    assert not peer.conn.terminated


@row("9113-5.4.3-1")
def test_end_of_the_transport_ends_every_stream_abnormally(server):
    peer = server()
    websocket = peer.websocket()
    request = peer.post()
    peer.forget()
    peer.eof()
    last = {e.stream_id: e for e in peer.events if hasattr(e, "stream_id")}
    assert kinds(peer.events)[-1] == "Terminated"
    assert len(peer.events) == 3
    assert type(last[websocket]).__name__ == "Closed"
    assert last[websocket].code == 1006
    assert type(last[request]).__name__ == "Reset"
    assert last[request].retryable is False
    assert peer.events[-1].remote is True
    assert peer.conn.terminated and peer.conn.open_streams == 0
    assert peer.sent() == []


@row("9113-5.4.3-1")
def test_end_of_the_transport_fails_a_clients_requests(client):
    peer = client()
    websocket = peer.websocket()
    request = peer.conn.request(GET)
    peer.sent()
    peer.eof()
    last = {e.stream_id: e for e in peer.events if hasattr(e, "stream_id")}
    assert last[websocket].code == 1006
    assert last[request].retryable is False
    assert kinds(peer.events)[-1] == "Terminated"
    with pytest.raises(peer.errors.H2WSError):
        peer.conn.request(GET)


@row("9113-5.4.3-1")
def test_end_of_the_transport_inside_a_frame(either):
    peer = either()
    stream_id = peer.websocket()
    peer.feed(peer.message(stream_id, b"cut short")[:-3])
    peer.eof()
    assert kinds(peer.events) == ["Closed", "Terminated"]
    assert peer.events[0].code == 1006
