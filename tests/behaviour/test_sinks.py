"""Delivery to a callback, and messages to many: what `attach` and `send_many` promise."""

from functools import partial

import pytest

from tests.support import frames as f
from tests.support.peer import kinds, of
from tests.support.websocket import CLIENT, END, SERVER, WebSocket
from tests.support.ws_frames import BINARY, CONTINUATION, PING, TEXT, read_ws_frames


@pytest.fixture(params=("h2", "h1"))
def transport(request):
    return request.param


@pytest.fixture(params=(SERVER, CLIENT))
def either(request, twin, transport):
    """Open a WebSocket whose engine is the server, then the client."""
    return partial(WebSocket, twin, transport, request.param)


@pytest.fixture
def peer(make):
    return make("server")


def hear(socket):
    """Attach a callback that keeps what it hears."""
    heard = []
    socket.conn.attach(1, heard.append)
    return heard


# -- callbacks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [None, 1])
def test_callback_hears_everything_of_its_stream(either, step):
    socket = either()
    heard = hear(socket)
    socket.feed(
        socket.frame(TEXT, b"one"),
        socket.frame(BINARY, b"t", fin=False),
        socket.frame(PING, b"?"),
        socket.frame(CONTINUATION, b"wo"),
        socket.close(1000, b"bye"),
        step=step,
    )
    socket.feed(end=True)
    assert kinds(heard) == ["TextMessage", "Pinged", "BytesMessage", "Closed"]
    assert [e.data for e in heard[:3]] == ["one", b"?", b"two"]
    assert {e.stream_id for e in heard} == {1}
    assert heard[-1].code == 1000
    assert socket.events == []


def test_stream_without_a_callback_goes_to_the_list_again(either):
    socket = either()
    heard = hear(socket)
    socket.feed(socket.frame(TEXT, b"to the callback"))
    socket.conn.attach(1, None)
    socket.feed(socket.frame(TEXT, b"to the list"))
    assert [e.data for e in heard] == ["to the callback"]
    assert socket.messages == ["to the list"]


def test_callback_may_call_verbs(either):
    socket = either()
    socket.conn.attach(1, lambda event: socket.conn.send_message(1, event.data))
    socket.feed(*(socket.frame(BINARY, b"%d" % i) for i in range(100)))
    assert socket.sent() == [("binary", b"%d" % i) for i in range(100)]


def test_callback_may_close_its_websocket(either):
    socket = either()

    def close(event):
        if type(event).__name__ == "TextMessage":
            socket.conn.close_websocket(1, 4000, "enough")

    socket.conn.attach(1, close)
    socket.feed(socket.frame(TEXT, b"one"), socket.frame(TEXT, b"two"))
    assert socket.sent() == [("close", 4000)]


def test_callback_may_reset_its_stream(either):
    socket = either()
    heard = []

    def reset(event):
        heard.append(event)
        if type(event).__name__ == "TextMessage":
            socket.conn.reset(1)

    socket.conn.attach(1, reset)
    socket.feed(socket.frame(TEXT, b"one") + socket.frame(TEXT, b"two") + socket.frame(PING))
    assert kinds(heard) == ["TextMessage", "Closed"]
    assert socket.sent() == [("reset", f.CANCEL) if socket.transport == "h2" else END]


def test_callback_must_not_feed_its_connection(either):
    socket = either()
    raised = []

    def feed(event):
        try:
            socket.conn.receive_data(b"x", 0.0)
        except Exception as error:
            raised.append(error)

    socket.conn.attach(1, feed)
    socket.feed(socket.frame(TEXT, b"one"))
    assert [isinstance(error, socket.errors.LocalProtocolError) for error in raised] == [True]


def test_callback_that_raises_fails_its_stream_alone(make):
    peer = make("server")
    first, second = peer.websocket(), peer.websocket()

    def fail(event):
        if type(event).__name__ == "BytesMessage":
            raise RuntimeError("the application is broken")

    peer.conn.attach(first, fail)
    events = peer.feed(peer.message(first, b"one"), peer.message(second, b"two"))
    assert [e.data for e in of(events, "BytesMessage")] == [b"two"]
    (failed,) = of(events, "SinkFailed")
    assert failed.stream_id == first
    assert str(failed.error) == "the application is broken"
    (frame,) = [one for one in peer.sent() if one.stream_id == first]
    assert read_ws_frames(frame.content)[0].close_code == 1011
    events = peer.feed(peer.message(second, b"three"))
    assert [e.data for e in events] == [b"three"]


def test_subclass_of_sink_is_called_directly(twin, either):
    heard = []

    class Recorder(twin.Sink):
        def _message(self, data, credit):
            heard.append(data)

        def _event(self, event):
            heard.append(type(event).__name__)

    socket = either()
    socket.conn.attach(1, Recorder())
    socket.feed(
        socket.frame(TEXT, b"one"),
        socket.frame(BINARY, b"two"),
        socket.frame(PING, b"?"),
        socket.close(1000),
        end=True,
    )
    assert heard == ["one", b"two", "Pinged", "Closed"]
    assert socket.events == []


def test_subclass_of_sink_hears_the_octets_of_a_body(twin, peer):
    heard = []

    class Recorder(twin.Sink):
        def _data(self, data, credit):
            heard.append((data, credit))

        def _event(self, event):
            heard.append(type(event).__name__)

    stream_id = peer.post()
    peer.conn.attach(stream_id, Recorder())
    peer.feed(f.data(stream_id, b"content"), f.data(stream_id, b"", True))
    assert heard == [(b"content", 7), "Ended"]


@pytest.mark.parametrize("wrong", [5, "x"])
def test_sink_that_is_no_callable_is_refused(either, wrong):
    socket = either()
    with pytest.raises(TypeError):
        socket.conn.attach(1, wrong)
    socket.feed(socket.frame(TEXT, b"one"))
    assert socket.messages == ["one"]


# -- one message to many -----------------------------------------------------------------------


@pytest.mark.parametrize("message", ["text", "naïve", b"octets", bytearray(b"array"), b""])
def test_one_message_goes_to_many(peer, message):
    streams = [peer.websocket() for _ in range(10)]
    chosen = streams[2:7]
    peer.conn.send_many(chosen, message)
    frames = [one for one in peer.sent() if one.kind == f.DATA]
    assert sorted(one.stream_id for one in frames) == chosen
    expected = message.encode() if isinstance(message, str) else bytes(message)
    for one in frames:
        (sent,) = read_ws_frames(one.content)
        assert (sent.payload, sent.fin, sent.key) == (expected, True, None)
        assert sent.opcode == (TEXT if isinstance(message, str) else BINARY)


def test_streams_that_are_over_are_passed_over(peer):
    streams = [peer.websocket() for _ in range(5)]
    peer.feed(f.rst_stream(streams[1]))
    peer.conn.close_websocket(streams[2])
    peer.sent()
    peer.conn.send_many([*streams, 99], b"news")
    frames = [one for one in peer.sent() if one.kind == f.DATA]
    assert sorted(one.stream_id for one in frames) == [streams[0], streams[3], streams[4]]


@pytest.mark.parametrize("number", [0, -1, 1 << 31, 1 << 32, (1 << 32) + 1, 1 << 63, 1 << 90])
def test_a_number_of_no_stream_sends_to_nobody(peer, number):
    streams = [peer.websocket() for _ in range(3)]
    with pytest.raises(ValueError, match="number"):
        peer.conn.send_many([*streams, number], b"news")
    assert peer.conn.stats()["messages_sent"] == 0
    assert [one for one in peer.sent() if one.kind == f.DATA] == []
    with pytest.raises(TypeError):
        peer.conn.send_many([*streams, "1"], b"news")
    assert [one for one in peer.sent() if one.kind == f.DATA] == []


def test_one_message_to_many_finds_an_upgraded_connection_as_well(twin):
    socket = WebSocket(twin, "h1", SERVER)
    socket.conn.send_many([1], b"news")
    assert socket.sent() == [("binary", b"news")]
    socket.conn.close_websocket(1)
    socket.conn.send_many([1], b"late")
    assert socket.sent() == [("close", 1000)]


def test_client_masks_each_of_many_with_its_own_key(make):
    peer = make("client")
    streams = [peer.websocket() for _ in range(20)]
    peer.conn.send_many(streams, b"news")
    frames = [read_ws_frames(one.content)[0] for one in peer.sent() if one.kind == f.DATA]
    assert {one.payload for one in frames} == {b"news"}
    assert len({one.key for one in frames}) == 20


# -- what waits --------------------------------------------------------------------------------


def test_verbs_say_how_much_waits(make):
    peer = make("server", peer_settings=((f.INITIAL_WINDOW_SIZE, 100),))
    stream_id = peer.websocket()
    assert peer.conn.waiting(stream_id) == 0
    assert peer.conn.send_message(stream_id, bytes(98)) == 100
    assert peer.conn.send_message(stream_id, bytes(48)) == 150
    assert peer.conn.waiting(stream_id) == 150
    peer.sent()
    assert peer.conn.waiting(stream_id) == 50
    peer.feed(f.window_update(stream_id, 20))
    peer.sent()
    assert peer.conn.waiting(stream_id) == 30


def test_drained_is_told_once_what_waits_has_fallen(make):
    limits = {"write_high": 1000, "write_low": 100}
    peer = make("server", peer_settings=((f.INITIAL_WINDOW_SIZE, 0),), limits=limits)
    stream_id = peer.websocket()
    peer.conn.send_message(stream_id, bytes(900))
    peer.feed(f.window_update(stream_id, 904))
    peer.sent()
    assert peer.more() == []  # it never passed the high mark
    peer.conn.send_message(stream_id, bytes(2000))
    for window, told in ((1003, 0), (800, 0), (100, 0), (1, 1), (50, 0)):
        peer.feed(f.window_update(stream_id, window))
        peer.sent()
        events = peer.more()
        assert kinds(events) == ["Drained"] * told, window
        assert all(e.stream_id == stream_id for e in events)


def test_sending_more_than_the_limit_is_refused(make):
    peer = make("server", peer_settings=((f.INITIAL_WINDOW_SIZE, 0),), limits={"max_queued": 10000})
    stream_id = peer.websocket()
    peer.conn.send_message(stream_id, bytes(9000))
    with pytest.raises(peer.errors.LocalProtocolError):
        peer.conn.send_message(stream_id, bytes(2000))
    assert peer.conn.waiting(stream_id) == 9004
    peer.expect_alive()


# -- messages as they are ------------------------------------------------------------------------


def test_on_message_hears_messages_and_the_sink_everything_else(either):
    socket = either()
    heard, others = [], []
    socket.conn.attach(1, others.append, on_message=heard.append)
    socket.feed(
        socket.frame(TEXT, b"one"),
        socket.frame(PING, b"?"),
        socket.frame(BINARY, b"two"),
        socket.close(1000, b""),
    )
    assert heard == ["one", b"two"]
    assert kinds(others) == ["Pinged", "Closed"]
    assert socket.events == []


def test_on_message_that_raises_fails_its_websocket(either):
    socket = either()
    others = []

    def raises(data):
        raise RuntimeError("broken")

    socket.conn.attach(1, others.append, on_message=raises)
    socket.feed(socket.frame(TEXT, b"one"))
    assert kinds(socket.events) == ["SinkFailed"]
    assert [frame.opcode for frame in socket.frames()] == [8]


def test_on_message_needs_auto_credit_and_callables(either):
    with pytest.raises(ValueError, match="auto_credit"):
        either(auto_credit=False).conn.attach(1, print, on_message=print)
    socket = either()
    with pytest.raises(TypeError, match="on_message must be callable"):
        socket.conn.attach(1, print, on_message=1)
    with pytest.raises(TypeError, match="sink must be a callable"):
        socket.conn.attach(1, None, on_message=print)


def test_what_on_message_returns_is_sent_back(either):
    socket = either()
    answers = {"text": "répondu", b"octets": b"back", "nothing": None, "number": 7}
    others = []
    socket.conn.attach(1, others.append, on_message=answers.get)
    for kind, payload in (
        (TEXT, b"text"),
        (BINARY, b"octets"),
        (TEXT, b"nothing"),
        (TEXT, b"number"),
    ):
        socket.feed(socket.frame(kind, payload))
    assert [(frame.opcode, frame.payload) for frame in socket.frames()] == [
        (TEXT, "répondu".encode()),
        (BINARY, b"back"),
    ]
    assert socket.conn.stats()["messages_sent"] == 2
    assert others == [] and socket.events == []


def test_an_answer_after_our_close_is_dropped(either):
    socket = either()

    def closes(data):
        socket.conn.close_websocket(1, 1000, "")
        return data

    socket.conn.attach(1, lambda event: None, on_message=closes)
    socket.feed(socket.frame(TEXT, b"text"))
    assert [frame.opcode for frame in socket.frames()] == [8]


def test_an_answer_beyond_the_limit_fails_its_websocket(either):
    socket = either(limits={"max_queued": 100})
    socket.conn.attach(1, lambda event: None, on_message=lambda data: bytes(101))
    socket.feed(socket.frame(TEXT, b"text"))
    assert kinds(socket.events) == ["SinkFailed"]
    assert [frame.opcode for frame in socket.frames()] == [8]
    assert socket.conn.stats()["limits"]["max_queued"] == 1


@pytest.mark.parametrize("most", [64, 1000, 65536, 262144])
@pytest.mark.parametrize("size", [1, 125, 126, 4000, 5000])
def test_a_message_to_many_leaves_in_any_portions(make, most, size):
    peer = make("server", limits={"max_queued": 1 << 26})
    streams = [peer.websocket() for _ in range(80)]
    peer.feed(f.window_update(0, 1 << 30))
    peer.sent()
    for number in range(3):
        peer.conn.send_message(streams[0], f"before {number}")
        peer.conn.send_many(streams, bytes([number]) * size)
        peer.conn.send_message(streams[0], f"behind {number}")
    octets = b""
    while True:
        buffers = peer.conn.data_to_send(most)
        portion = b"".join(map(bytes, buffers))
        assert len(portion) <= most
        octets += portion
        if most - len(portion) >= 64:
            break  # it had room to say more
    assert peer.conn.data_to_send(most) == []
    assert peer.conn.octets_held == peer.conn.stats()["octets_buffered"] == 0
    came = {}
    while octets:
        length, stream_id = int.from_bytes(octets[:3], "big"), int.from_bytes(octets[5:9], "big")
        assert octets[3] == f.DATA
        came[stream_id] = came.get(stream_id, b"") + octets[9 : 9 + length]
        octets = octets[9 + length :]
    for stream_id in streams:
        said = [frame.payload for frame in read_ws_frames(came[stream_id])]
        expected = [bytes([number]) * size for number in range(3)]
        if stream_id == streams[0]:
            expected = [
                text
                for number in range(3)
                for text in (
                    f"before {number}".encode(),
                    expected[number],
                    f"behind {number}".encode(),
                )
            ]
        assert said == expected


@pytest.mark.parametrize("most", [1000, 65536, 262144])
def test_what_leaves_ahead_is_bounded_and_in_order(make, most):
    peer = make("server", limits={"max_queued": 1 << 26})
    streams = [peer.websocket() for _ in range(600)]
    peer.feed(f.window_update(0, 1 << 30))
    peer.sent()
    # 2.4 MB: more than may leave ahead, so that some of it takes the usual way.
    peer.conn.send_many(streams, b"1" * 4000)
    assert peer.conn.waiting(streams[0]) == 0
    assert peer.conn.waiting(streams[-1]) == 4004
    peer.conn.send_many(streams[::2], b"2" * 4000)
    assert peer.conn.waiting(streams[0]) == 4004
    peer.conn.send_message(streams[1], "3")
    assert peer.conn.octets_held >= 900 * 4004
    peer.feed(f.ping(b"overtake"))
    came = {}
    octets = b""
    ahead = None
    while buffers := peer.conn.data_to_send(most):
        portion = b"".join(map(bytes, buffers))
        assert len(portion) <= most
        octets += portion
    assert peer.conn.octets_held == 0
    at = 0
    while at < len(octets):
        length = int.from_bytes(octets[at : at + 3], "big")
        stream_id = int.from_bytes(octets[at + 5 : at + 9], "big")
        if octets[at + 3] == f.DATA:
            came[stream_id] = came.get(stream_id, b"") + octets[at + 9 : at + 9 + length]
        elif octets[at + 3] == f.PING:
            ahead = at
        at += 9 + length
    assert ahead is not None and 256 * 1024 < ahead <= (2 << 20) + 65536
    for number, stream_id in enumerate(streams):
        said = [frame.payload for frame in read_ws_frames(came[stream_id])]
        second = [b"2" * 4000] if number % 2 == 0 else [b"3"] if number == 1 else []
        assert said == [b"1" * 4000, *second]


def told_to_many(make, number=100):
    """A server that has sent a message to each of so many, which waits to leave."""
    peer = make("server")
    streams = [peer.websocket() for _ in range(number)]
    peer.sent()
    peer.conn.send_many(streams, b"n" * 100)
    assert peer.conn.stats()["octets_queued"] == number * 111
    return peer, streams


def test_abort_drops_what_was_sent_to_many(make):
    peer, _ = told_to_many(make)
    peer.conn.abort(f.INTERNAL_ERROR)
    assert [one.kind for one in peer.sent()] == [f.GOAWAY]
    assert peer.conn.octets_held == peer.conn.stats()["octets_queued"] == 0


def test_a_connection_error_drops_what_was_sent_to_many(make):
    peer, _ = told_to_many(make)
    peer.feed(f.data(0, b"on no stream"))
    assert [one.kind for one in peer.sent()] == [f.GOAWAY]
    assert peer.conn.stats()["octets_queued"] == 0


def test_nothing_sent_to_many_outlives_the_transport(make):
    peer, _ = told_to_many(make)
    peer.eof()
    assert peer.pull() == b""
    assert peer.conn.stats()["octets_queued"] == 0


@pytest.mark.parametrize("taken", [64, 110, 111, 112, 222, 300, 100 * 111 - 1])
def test_abort_amid_a_frame_to_many_lets_that_frame_end(make, taken):
    # GOAWAY within its payload would be read as payload.
    peer, streams = told_to_many(make)
    peer._unread += b"".join(peer.conn.data_to_send(taken))
    peer.conn.abort(f.INTERNAL_ERROR)
    begun = -(-taken // 111)
    assert peer.conn.stats()["octets_queued"] == begun * 111 - taken
    frames = peer.sent()
    assert [one.stream_id for one in frames[:-1]] == streams[:begun]
    assert {one.kind for one in frames[:-1]} == {f.DATA}
    assert frames[-1].kind == f.GOAWAY
    assert peer._unread == b""
    assert peer.conn.octets_held == 0


def test_who_hears_its_end_sends_nothing_to_those_that_end_behind_it(make):
    peer = make("server")
    streams = [peer.websocket() for _ in range(20)]
    for stream_id in streams:
        peer.conn.attach(stream_id, lambda event: peer.conn.send_many(streams, "somebody left"))
    peer.eof()
    assert peer.pull() == b""
    assert peer.conn.stats()["octets_queued"] == 0


def test_what_was_sent_to_many_leaves_before_a_reset(make):
    # It is as good as with the transport: neither side's reset calls it back.
    peer, streams = told_to_many(make)
    assert peer.conn.waiting(streams[0]) == peer.conn.waiting(streams[1]) == 0
    peer.feed(f.rst_stream(streams[0]))
    peer.conn.reset(streams[1])
    frames = peer.sent()
    assert [one.stream_id for one in frames] == [*streams, streams[1]]
    assert frames[-1].kind == f.RST_STREAM


def test_a_sink_of_drained_sends_to_many_and_then_to_one_in_this_order(make):
    peer = make("server", limits={"write_high": 1, "write_low": 0})
    streams = [peer.websocket() for _ in range(8)]

    def on(event):
        if type(event).__name__ == "Drained":
            peer.conn.send_many(streams, "to all")
            peer.conn.send_message(streams[1], "to one")
            peer.conn.reset(streams[2])

    peer.conn.attach(streams[0], on)
    peer.conn.send_message(streams[0], "first")
    frames = [one for one in peer.sent() if one.stream_id in streams[1:3]]
    said = b"".join(one.payload for one in frames if one.stream_id == streams[1])
    assert [frame.payload for frame in read_ws_frames(said)] == [b"to all", b"to one"]
    assert [one.kind for one in frames if one.stream_id == streams[2]] == [f.DATA, f.RST_STREAM]
