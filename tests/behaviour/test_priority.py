"""RFC 9218: the setting, and the frame where it may not come. What it steers is still to be built."""

import pytest

from tests.support import frames as f
from tests.support.peer import GET, OK, POST, of

row = pytest.mark.row


@row("9218-2.1-1")
@pytest.mark.parametrize("value", [2, 0xFFFFFFFF])
def test_no_rfc7540_priorities_of_another_value(either, value):
    peer = either()
    peer.feed(f.settings((f.NO_RFC7540_PRIORITIES, value)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9218-2.1-2")
@pytest.mark.parametrize(
    ("first", "later"),
    [([], 1), ([(f.NO_RFC7540_PRIORITIES, 0)], 1), ([(f.NO_RFC7540_PRIORITIES, 1)], 0)],
    ids=["absent-1", "0-1", "1-0"],
)
def test_no_rfc7540_priorities_may_not_change(either, first, later):
    peer = either(peer_settings=first)
    peer.feed(f.settings((f.NO_RFC7540_PRIORITIES, later)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9218-2.1-2")
@pytest.mark.parametrize("value", [0, 1])
def test_no_rfc7540_priorities_may_be_repeated(either, value):
    peer = either(peer_settings=[(f.NO_RFC7540_PRIORITIES, value)])
    peer.feed(f.settings((f.NO_RFC7540_PRIORITIES, value)), f.settings())
    peer.sent()
    peer.expect_alive()


@row("9218-2.1-3", "9218-2.1-2")
def test_we_send_it_once_and_heed_no_old_signals(make):
    for role in ("server", "client"):
        peer = make(role, handshake=False)
        assert dict(peer.sent()[0].settings)[f.NO_RFC7540_PRIORITIES] == 1
    peer = make("server", peer_settings=[(f.NO_RFC7540_PRIORITIES, 1)])
    stream_id = peer.post()
    peer.forget()
    peer.expect_nothing(f.priority(stream_id, 0, 255, True), f.priority(99, stream_id))


# -- where RFC 7540's priorities are not refused: its section 5.3.1 ------------------------------

HEED = {"no_rfc7540_priorities": False}
ON_ONE = b"\0\0\0\x01\x10"  # the priority fields of HEADERS: depends on stream 1


def test_without_the_setting_it_is_not_sent_and_cannot_be_later(make):
    for role in ("server", "client"):
        peer = make(role, handshake=False, settings=HEED)
        assert f.NO_RFC7540_PRIORITIES not in dict(peer.sent()[0].settings)
        with pytest.raises(peer.errors.LocalProtocolError):
            peer.conn.update_settings({f.NO_RFC7540_PRIORITIES: 1})
        assert peer.sent() == []


@row("9113-6.2-3")
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "continued"])
def test_headers_that_depend_on_themselves_are_a_stream_error(server, whole):
    peer = server(settings=HEED)
    block = peer.block([*POST, ("x-kept", "in the table")])
    if whole:
        peer.feed(f.headers(1, block, priority=ON_ONE))
    else:
        head = f.headers(1, block[:5], end_headers=False, pad=3, priority=ON_ONE)
        peer.feed(head, f.continuation(1, block[5:]))
    peer.next_id = 3
    assert of(peer.events, "Requested") == []
    peer.expect_stream_error(1, f.PROTOCOL_ERROR)


@row("9113-6.2-3")
def test_trailers_that_depend_on_themselves_are_a_stream_error(server):
    peer = server(settings=HEED)
    stream_id = peer.post()
    peer.feed(peer.headers(stream_id, [("x-a", "b")], True, priority=ON_ONE))
    assert [(e.error_code, e.remote) for e in of(peer.events, "Reset")] == [
        (f.PROTOCOL_ERROR, False)
    ]
    peer.expect_stream_error(stream_id, f.PROTOCOL_ERROR)


@row("9113-6.2-3")
def test_a_response_that_depends_on_itself_is_a_stream_error(client):
    peer = client(settings=HEED)
    stream_id = peer.conn.request(GET)
    peer.sent()
    peer.feed(peer.headers(stream_id, OK, priority=ON_ONE))
    assert of(peer.events, "Responded") == []
    peer.expect_stream_error(stream_id, f.PROTOCOL_ERROR)


@row("9113-6.2-3")
def test_priority_on_itself_is_a_stream_error(server):
    peer = server(settings=HEED)
    stream_id = peer.post()
    peer.feed(f.priority(stream_id, stream_id, exclusive=True))
    assert [(e.error_code, e.remote) for e in of(peer.events, "Reset")] == [
        (f.PROTOCOL_ERROR, False)
    ]
    peer.expect_stream_error(stream_id, f.PROTOCOL_ERROR)


@row("9113-6.2-3")
def test_priority_of_an_idle_stream_on_itself_is_a_connection_error(server):
    peer = server(settings=HEED)
    peer.feed(f.priority(5, 5))  # an idle stream is never reset
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.2-3")
def test_priority_of_a_closed_stream_on_itself_is_nothing(server):
    peer = server(settings=HEED)
    stream_id = peer.expect_alive()
    peer.forget()
    peer.expect_nothing(f.priority(stream_id, stream_id))


@row("9113-6.2-2")
def test_other_dependencies_are_nothing(server):
    peer = server(settings=HEED)
    peer.feed(peer.headers(1, POST, priority=b"\0\0\0\x03\x10"))
    peer.forget()
    peer.expect_nothing(f.priority(1, 3), f.priority(99, 1), f.priority(3))


@row("9218-7.1-1")
@pytest.mark.parametrize("stream_id", [1, 3])
def test_priority_update_on_a_stream(server, stream_id):
    peer = server()
    peer.post()
    payload = (1).to_bytes(4, "big") + b"u=1"
    peer.feed(f.frame(f.PRIORITY_UPDATE, 0, stream_id, payload))
    peer.expect_connection_error(f.PROTOCOL_ERROR, last_stream_id=1)


@row("9218-7.1-1")
def test_priority_update_of_stream_0(server):
    peer = server()
    peer.feed(f.priority_update(0))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9218-7.1-1")
@pytest.mark.parametrize("length", [0, 3])
def test_priority_update_too_short(server, length):
    peer = server()
    peer.feed(f.frame(f.PRIORITY_UPDATE, 0, 0, bytes(length)))
    peer.expect_connection_error(f.FRAME_SIZE_ERROR)


@row("9218-7.1-2")
def test_priority_update_from_a_server(client):
    peer = client()
    stream_id = peer.conn.request(GET)
    peer.sent()
    peer.feed(f.priority_update(stream_id))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


def test_priority_update_opens_nothing(server):
    peer = server()
    stream_id = peer.post()
    peer.forget()
    peer.expect_nothing(
        f.priority_update(stream_id, b"u=0, i"), f.priority_update(99, b"not a list((")
    )
