"""Verbs called from inside callbacks, and callbacks that raise: the state afterwards is right."""

import importlib

import pytest

from tests.support import frames as f
from tests.support.peer import CONNECT, GET, OK, kinds, of
from tests.support.ws_frames import CLOSE, PING, PONG, read_ws_frames, ws_frame


class Interrupt(BaseException):
    """As KeyboardInterrupt, but pytest survives it."""


def raises(error):
    def sink(event):
        raise error

    return sink


# -- what a callback may do to others ----------------------------------------------------------


def test_goaway_ends_streams_that_end_one_another(make):
    peer = make("client", peer_settings=((f.ENABLE_CONNECT_PROTOCOL, 1),))
    one, other = peer.conn.request(GET), peer.conn.request(GET)
    heard = []

    def sink(event):
        heard.append(event)
        with pytest.raises(peer.errors.StreamClosed):
            peer.conn.reset(one)
        if len(heard) == 1:
            peer.conn.reset(other)

    peer.conn.attach(one, sink)
    peer.conn.attach(other, heard.append)
    peer.sent()
    peer.feed(f.goaway(0))
    assert [(type(e).__name__, e.stream_id) for e in heard] == [("Reset", one), ("Reset", other)]
    assert peer.conn.open_streams == 0
    assert of(peer.events, "Terminated")


def test_the_count_of_streams_survives_a_goaway_that_is_answered_by_resets(make):
    peer = make("client", peer_settings=((f.MAX_CONCURRENT_STREAMS, 2),))
    keep = peer.conn.request(GET)
    gone = peer.conn.request(GET)
    peer.conn.attach(gone, lambda event: peer.conn.reset(keep))
    peer.sent()
    peer.feed(f.goaway(keep))
    assert peer.conn.open_streams == 0


@pytest.mark.parametrize("verb", ["abort", "shutdown", "reset"])
def test_the_end_of_the_connection_lets_sinks_call_verbs(make, verb):
    peer = make("server")
    streams = [peer.websocket() for _ in range(3)]
    heard = []

    def sink(event):
        heard.append((type(event).__name__, event.stream_id))
        if verb == "reset":
            for stream_id in streams:
                if peer.conn.waiting(stream_id) >= 0:
                    try:
                        peer.conn.reset(stream_id)
                    except peer.errors.StreamClosed:
                        pass
        elif verb == "abort":
            peer.conn.abort(2)
        else:
            peer.conn.shutdown()

    for stream_id in streams:
        peer.conn.attach(stream_id, sink)
    peer.eof()
    assert sorted(heard) == [("Closed", stream_id) for stream_id in streams]
    assert kinds(peer.events) == ["Terminated"]
    assert peer.conn.open_streams == 0
    stats = peer.conn.stats()
    assert stats["octets_buffered"] == stats["octets_queued"] == 0


def test_one_deadline_lets_a_sink_answer_what_is_due_too(make):
    peer = make("server", limits={"handshake_timeout_s": 1.0})
    first, second = peer.open(CONNECT), peer.open(CONNECT)
    peer.conn.attach(first, lambda event: peer.conn.accept_websocket(second))
    peer.sent()
    peer.tick(2.0)
    answers = {x.stream_id: x.get(":status") for x in peer.sent() if x.kind == f.HEADERS}
    assert answers == {first: "408", second: "200"}
    peer.feed(peer.message(second, b"still here"))
    assert of(peer.events, "BytesMessage")[0].data == b"still here"


def test_data_to_send_inside_drained_is_refused(make):
    # Its octets would be written before those that the outer call has gathered already.
    peer = make("server", limits={"write_high": 10, "write_low": 0})
    stream_id = peer.websocket()
    heard = []

    def sink(event):
        heard.append(type(event).__name__)
        with pytest.raises(peer.errors.LocalProtocolError, match="data_to_send"):
            peer.conn.data_to_send()
        peer.conn.send_message(stream_id, b"one more")

    peer.conn.attach(stream_id, sink)
    peer.conn.send_message(stream_id, bytes(100))
    data = b"".join(x.payload for x in peer.sent())
    assert heard == ["Drained"]
    assert [x.payload for x in read_ws_frames(data)] == [bytes(100), b"one more"]


@pytest.mark.parametrize("verb", ["reset", "abort"])
def test_a_stream_that_ends_inside_drained_is_left_alone(make, verb):
    # A late pong and trailers were due behind what has just left.
    peer = make("server", limits={"write_high": 10, "write_low": 0, "max_pong_backlog": 1})
    stream_id = peer.websocket()
    request = peer.post()
    peer.conn.respond(request, OK)

    def sink(event):
        if type(event).__name__ == "Drained":
            peer.conn.reset(event.stream_id) if verb == "reset" else peer.conn.abort(0)

    peer.sent()
    for one in (stream_id, request):
        peer.conn.attach(one, sink)
    peer.conn.send_message(stream_id, bytes(100))
    peer.feed(f.data(stream_id, ws_frame(PING, b"late")))
    peer.conn.send_data(request, bytes(100))
    peer.conn.send_trailers(request, [("x-sum", "1")])
    frames = peer.sent()
    assert not [x for x in frames if x.kind == f.HEADERS]
    assert peer.conn.open_streams == 0


# -- exceptions --------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["Requested", "BytesMessage", "Pinged"])
def test_an_interrupt_loses_no_event(make, event):
    peer = make("server")
    quiet, loud = peer.websocket(), peer.websocket()
    peer.conn.attach(loud, raises(Interrupt()))
    others = {
        "Requested": peer.headers(peer.new_id(), GET, end_stream=True),
        "BytesMessage": peer.message(quiet),
        "Pinged": f.data(quiet, ws_frame(PING, b"")),
    }
    with pytest.raises(Interrupt):
        peer.conn.receive_data(others[event] + peer.message(loud))
    assert kinds(peer.conn.events()) == [event]
    assert peer.conn.events() == []


def test_an_interrupt_outside_of_receive_data_leaves_by_events(make):
    peer = make("server")
    stream_id = peer.websocket()
    peer.conn.attach(stream_id, raises(Interrupt()))
    peer.conn.reset(stream_id)
    with pytest.raises(Interrupt):
        peer.conn.events()
    assert peer.conn.events() == []


def test_an_upgraded_connection_interrupts_alike(twin):
    h1 = importlib.import_module(".h1", twin.__name__)
    conn = h1.Upgraded(twin.Role.SERVER)
    conn.attach(1, raises(Interrupt()))
    with pytest.raises(Interrupt):
        conn.receive_data(ws_frame(PING, b""))
    assert conn.events() == []


# -- what follows a Close ----------------------------------------------------------------------


@pytest.mark.row("6455-5.5.2-1")
@pytest.mark.parametrize("who", ["we", "peer", "nobody"])
def test_a_late_pong_never_follows_the_end(make, who):
    peer = make("server", limits={"max_pong_backlog": 1})
    stream_id = peer.websocket()
    peer.conn.send_message(stream_id, bytes(100))
    peer.feed(f.data(stream_id, ws_frame(PING, b"late")))
    if who == "we":
        peer.conn.close_websocket(stream_id)
    elif who == "peer":
        peer.feed(f.data(stream_id, ws_frame(CLOSE, b"\x03\xe8")))
    else:
        peer.feed(f.data(stream_id, b"", end_stream=True))
    frames = [x for x in peer.sent() if x.kind == f.DATA]
    data = b"".join(x.payload for x in frames)
    opcodes = [x.opcode for x in read_ws_frames(data)]
    assert opcodes == ([2] if who == "nobody" else [2, PONG, CLOSE])
    assert [x.end_stream for x in frames].count(True) == (who != "we")
    assert frames[-1].end_stream is (who != "we")
    peer.expect_alive()


def test_drained_does_not_follow_closed(make):
    peer = make("server", limits={"write_high": 10, "write_low": 5})
    stream_id = peer.websocket()
    peer.conn.send_message(stream_id, bytes(100))
    peer.feed(f.data(stream_id, b"", end_stream=True))
    peer.sent()
    peer.more()
    assert kinds(peer.events) == ["Closed"]


def test_what_is_queued_for_a_websocket_that_is_over_has_its_time(make):
    # The peer ended without a Close and never opens its window: the slot comes back all the same.
    peer = make("server", peer_settings=((f.INITIAL_WINDOW_SIZE, 0),))
    stream_id = peer.websocket()
    peer.conn.send_message(stream_id, bytes(100))
    peer.feed(f.data(stream_id, b"", end_stream=True))
    peer.sent()
    peer.tick(11.0)
    assert [x.error_code for x in peer.sent()] == [f.CANCEL]
    assert peer.conn.open_streams == 0


# -- wrong calls change nothing ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "arguments", "error"),
    [
        ("abort", (-1,), ValueError),
        ("abort", (2**32,), ValueError),
        ("abort", (1.5,), ValueError),
        ("abort", (0, "text"), TypeError),
        ("abort", (0, bytes(16377)), ValueError),
        ("shutdown", (-1,), ValueError),
        ("shutdown", (0, "text"), TypeError),
        ("shutdown", (0, bytes(16377)), ValueError),
        ("reset", (1, 1.5), ValueError),
        ("reset", (1, 2**40), ValueError),
        ("ping", (1, 5), TypeError),
        ("pong", (1, 5), TypeError),
        ("ping", (0, 8), TypeError),
        ("close_websocket", (1, 2**40), ValueError),
    ],
)
def test_wrong_arguments_change_nothing(make, verb, arguments, error):
    peer = make("server")
    peer.websocket()
    with pytest.raises(error):
        getattr(peer.conn, verb)(*arguments)
    assert peer.sent() == []
    peer.expect_alive()


def test_a_str_of_a_subclass_is_the_text_that_it_holds(make):
    class Shouting(str):
        def __str__(self):
            return self.upper()

    peer = make("server")
    stream_id = peer.websocket()
    peer.conn.send_message(stream_id, Shouting("quiet"))
    peer.conn.send_fragment(stream_id, Shouting("too"), True)
    data = b"".join(x.payload for x in peer.sent())
    assert [(x.opcode, x.payload) for x in read_ws_frames(data)] == [(1, b"quiet"), (1, b"too")]


def test_a_sink_cannot_read_on_while_early_octets_are_released(make):
    peer = make("server", auto_credit=True)
    stream_id = peer.open(CONNECT)
    two = peer.message(stream_id, b"two")[9:]
    peer.feed(peer.message(stream_id, b"one"), f.data(stream_id, two[:5]))
    heard, refused = [], []

    def reads_on(data):
        heard.append(data)
        try:
            peer.conn.receive_data(f.data(stream_id, two[5:]))
        except peer.errors.LocalProtocolError as error:
            refused.append(error)

    peer.conn.attach(stream_id, lambda event: None, on_message=reads_on)
    peer.conn.accept_websocket(stream_id)
    assert heard == [b"one"] and len(refused) == 1
    peer.feed(f.data(stream_id, two[5:]))
    assert heard == [b"one", b"two"]
