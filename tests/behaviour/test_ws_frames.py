"""WebSocket framing and messages: RFC 6455 sections 5, 6 and 8, over both transports."""

import random
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import frames as f
from tests.support.peer import kinds, of
from tests.support.websocket import CLIENT, END, SERVER, WebSocket
from tests.support.ws_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    mask,
    read_ws_frames,
    ws_frame,
)

ROLES = (SERVER, CLIENT)


@pytest.fixture(params=("h2", "h1"))
def transport(request):
    return request.param


@pytest.fixture
def server(twin, transport):
    """Open a WebSocket whose engine is the server."""
    return partial(WebSocket, twin, transport, SERVER)


@pytest.fixture
def client(twin, transport):
    """Open a WebSocket whose engine is the client."""
    return partial(WebSocket, twin, transport, CLIENT)


@pytest.fixture(params=ROLES)
def either(request, twin, transport):
    """Open a WebSocket whose engine is the one, then the other."""
    return partial(WebSocket, twin, transport, request.param)


def fails(socket, code, *octets, **how):
    """Assert that these octets fail the WebSocket with `code`, in the order of WSFAIL.

    Close(code) leaves alone; what comes after is discarded; the stream ends when the peer ends.
    """
    before = len(socket.messages)
    socket.feed(*octets, **how)
    assert socket.sent() == [("close", code)]
    socket.feed(socket.frame(TEXT, b"late"), socket.frame(PING, b"late"), b"\xff\xff\xff")
    assert socket.sent() == []
    assert len(socket.messages) == before
    socket.feed(end=True)
    assert socket.sent() == [END]
    assert socket.closed.received is None
    failed(socket, code)


def fails_on_close(socket, code, *octets, **how):
    """The same where the wrong frame is a Close: no other will come, so nothing is waited for."""
    socket.feed(*octets, **how)
    sent = socket.sent()
    assert sent[0] == ("close", code)
    socket.feed(socket.frame(TEXT, b"late"), socket.frame(PING, b"late"), b"\xff\xff\xff", end=True)
    assert sent + socket.sent() == [("close", code), END]
    assert socket.messages == []
    failed(socket, code)


def failed(socket, code):
    assert socket.closed.code == socket.closed.sent[0] == code
    if socket.transport == "h2":
        assert socket.conn.open_streams == 0
        socket.peer.expect_alive()


# -- masking -----------------------------------------------------------------------------------


@pytest.mark.row("6455-5.1-1")
def test_client_masks_every_frame_with_a_fresh_key(client):
    socket = client()
    socket.conn.send_message(1, "Hello")
    socket.conn.send_message(1, b"")
    socket.conn.send_message(1, bytes(70000))
    socket.conn.ping(1, b"")
    socket.conn.pong(1, b"x")
    socket.conn.send_fragment(1, "a", False)
    socket.conn.send_fragment(1, "", True)
    socket.feed(socket.frame(PING, b"you"))
    socket.conn.close_websocket(1, 1000, "bye")
    frames = socket.frames()
    assert sorted(one.opcode for one in frames) == [0, 1, 1, 2, 2, 8, 9, 10, 10]
    keys = [one.key for one in frames]
    assert None not in keys
    assert len(set(keys)) == len(keys)


@pytest.mark.row("6455-5.1-1")
def test_masking_keys_look_random(client):
    socket = client()
    for _ in range(4000):
        socket.conn.send_message(1, b"x")
    keys = [int.from_bytes(one.key, "big") for one in socket.frames()]
    assert len(set(keys)) > 3990  # two of 4000 meet once in 500 runs
    for bit in range(32):  # 2000 expected, deviation 32
        assert 1700 < sum(key >> bit & 1 for key in keys) < 2300
    differences = {(b - a) & 0xFFFFFFFF for a, b in pairwise(keys)}
    assert len(differences) > 3980  # no counter
    other = client()
    other.conn.send_message(1, b"x")
    assert int.from_bytes(other.frames()[0].key, "big") != keys[0]


@pytest.mark.row("6455-5.1-1", "SEC-5-6")
def test_masking_keys_do_not_follow_from_a_seed_or_from_the_message(client):
    keys = set()
    for _ in range(20):
        random.seed(1)
        socket = client()
        socket.conn.send_message(1, b"the same each time")
        keys.add(socket.frames()[0].key)
    assert len(keys) == 20


@pytest.mark.row("6455-5.1-2")
def test_server_masks_nothing(server):
    socket = server()
    socket.conn.send_message(1, "Hello")
    socket.conn.send_message(1, b"")
    socket.conn.send_message(1, bytes(70000))
    socket.conn.ping(1, b"")
    socket.conn.pong(1, b"x")
    socket.conn.send_fragment(1, b"a", False)
    socket.conn.send_fragment(1, b"", True)
    socket.feed(socket.frame(PING, b"you"))
    socket.conn.close_websocket(1)
    frames = socket.frames()
    assert sorted(one.opcode for one in frames) == [0, 1, 2, 2, 2, 8, 9, 10, 10]
    assert {one.key for one in frames} == {None}


@pytest.mark.row("6455-5.1-3")
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
@pytest.mark.parametrize("payload", [b"", b"\x03\xe8"])
def test_unmasked_frame_from_a_client_fails_the_websocket(server, opcode, payload):
    check = fails_on_close if opcode == CLOSE else fails
    check(server(), 1002, ws_frame(opcode, payload, key=None))


@pytest.mark.row("6455-5.1-4", "8441-5-6")
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
@pytest.mark.parametrize("key", [bytes(4), b"\x37\xfa\x21\x3d"])
def test_masked_frame_from_a_server_fails_the_websocket(client, opcode, key):
    check = fails_on_close if opcode == CLOSE else fails
    socket = client()
    check(socket, 1002, ws_frame(opcode, b"\x03\xe8", key=key))
    assert socket.closed.sent == (1002, "frame from a server is masked")


# -- the head ----------------------------------------------------------------------------------


@pytest.mark.row("6455-5.2-1")
@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
def test_reserved_bit_without_an_extension_fails_the_websocket(either, rsv, opcode):
    socket = either()
    check = fails_on_close if opcode == CLOSE else fails
    check(socket, 1002, socket.frame(opcode, b"\x03\xe8", rsv=rsv))
    assert socket.closed.sent == (1002, "reserved bits are set")


@pytest.mark.row("6455-5.2-1")
def test_reserved_bit_on_a_continuation_fails_the_websocket(either):
    socket = either()
    fails(
        socket,
        1002,
        socket.frame(TEXT, b"a", fin=False),
        socket.frame(CONTINUATION, b"b", rsv=4),
    )


@pytest.mark.row("6455-5.2-2")
@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF])
@pytest.mark.parametrize("fin", [True, False])
@pytest.mark.parametrize("payload", [b"", b"x"])
def test_reserved_opcode_fails_the_websocket(either, opcode, fin, payload):
    socket = either()
    fails(socket, 1002, socket.frame(opcode, payload, fin=fin))


@pytest.mark.row("6455-5.2-3")
@pytest.mark.parametrize(
    ("n", "head"),
    [
        (0, "00"),
        (1, "01"),
        (125, "7d"),
        (126, "7e007e"),
        (127, "7e007f"),
        (255, "7e00ff"),
        (256, "7e0100"),
        (65535, "7effff"),
        (65536, "7f0000000000010000"),
        (65537, "7f0000000000010001"),
        (200000, "7f0000000000030d40"),
    ],
)
@pytest.mark.parametrize("kind", [str, bytes])
def test_lengths_are_sent_in_their_shortest_form(either, n, head, kind):
    socket = either()
    message = "x" * n if kind is str else b"x" * n
    socket.conn.send_message(1, message)
    octets = b""
    if socket.transport == "h2":
        octets = b"".join(one.content for one in socket.peer.sent() if one.kind == f.DATA)
    else:
        while buffers := socket.conn.data_to_send(now=0.0):
            octets += b"".join(buffers)
    expected = bytearray.fromhex(head)
    if socket.role == CLIENT:
        expected[0] |= 0x80
    assert octets[0] == (0x81 if kind is str else 0x82)
    assert octets[1 : 1 + len(expected)] == expected
    (frame,) = read_ws_frames(octets)
    assert frame.payload == b"x" * n


@pytest.mark.row("6455-5.2-3")
@pytest.mark.parametrize("n", [0, 1, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536, 65537])
@pytest.mark.parametrize("step", [None, 1000])
def test_lengths_are_received_at_their_boundaries(either, n, step):
    socket = either()
    payload = bytes(i & 0xFF for i in range(n))
    socket.feed(socket.frame(BINARY, payload), socket.frame(TEXT, b"z" * n), step=step)
    assert socket.messages == [payload, "z" * n]
    assert socket.sent() == []


@pytest.mark.row("6455-5.2-3")
@pytest.mark.parametrize("length", [1 << 63, (1 << 63) + 5, (1 << 64) - 1])
def test_length_with_the_highest_bit_fails_the_websocket(either, length):
    socket = either()
    fails(socket, 1002, socket.frame(BINARY, length=length, width=64))


@pytest.mark.row("6455-5.2-4")
@pytest.mark.parametrize(("width", "n"), [(16, 0), (16, 1), (16, 125), (64, 0), (64, 126)])
def test_length_not_in_its_shortest_form_fails_the_websocket(either, width, n):
    socket = either()
    fails(socket, 1002, socket.frame(BINARY, bytes(n), width=width))


@pytest.mark.row("6455-5.2-4")
def test_longest_length_not_in_its_shortest_form_fails_the_websocket(either):
    socket = either()
    fails(socket, 1002, socket.frame(BINARY, bytes(65535), width=64))


@pytest.mark.row("6455-5.2-5")
@pytest.mark.parametrize("length", [1 << 62, (1 << 63) - 1, 1 << 40, (1 << 32) + 1, (1 << 20) + 1])
@pytest.mark.parametrize("step", [None, 1])
def test_declared_length_is_judged_before_the_payload_comes(either, length, step):
    socket = either()
    fails(socket, 1009, socket.frame(BINARY, length=length, width=64), step=step)


@pytest.mark.row("6455-5.2-5")
def test_declared_length_of_a_fragment_is_judged_with_what_came_before(either):
    socket = either(limits={"max_message": 100})
    fails(
        socket,
        1009,
        socket.frame(TEXT, bytes(60), fin=False),
        socket.frame(CONTINUATION, length=41),
    )


# -- fragments ---------------------------------------------------------------------------------


@pytest.mark.row("6455-5.4-1")
@pytest.mark.parametrize(("opcode", "whole"), [(TEXT, "Hello, world"), (BINARY, b"Hello, world")])
@pytest.mark.parametrize("step", [None, 1, 3])
def test_fragments_become_one_message(either, opcode, whole, step):
    socket = either()
    socket.feed(
        socket.frame(opcode, b"Hello", fin=False),
        socket.frame(CONTINUATION, b", wor", fin=False),
        socket.frame(CONTINUATION, b"ld"),
        socket.frame(BINARY, b"next"),
        step=step,
    )
    assert socket.messages == [whole, b"next"]
    assert socket.sent() == []


@pytest.mark.row("6455-5.4-1")
@pytest.mark.parametrize(
    ("parts", "name"), [(("Hel", "lo", "é"), "text"), ((b"Hel", b"lo", b"!"), "binary")]
)
def test_fragments_are_sent_with_the_type_on_the_first_alone(either, parts, name):
    socket = either()
    socket.conn.send_fragment(1, parts[0], False)
    socket.conn.send_fragment(1, parts[1], False)
    socket.conn.send_fragment(1, parts[2], True)
    last = parts[2] if name == "binary" else parts[2].encode()
    assert socket.sent() == [(name + "+", b"Hel"), ("continuation+", b"lo"), ("continuation", last)]
    socket.conn.send_fragment(1, parts[0], True)
    assert socket.sent() == [(name, b"Hel")]


@pytest.mark.row("6455-5.4-2")
@pytest.mark.parametrize("fin", [True, False])
def test_continuation_of_nothing_fails_the_websocket(either, fin):
    socket = either()
    fails(socket, 1002, socket.frame(CONTINUATION, b"x", fin=fin))


@pytest.mark.row("6455-5.4-2")
def test_continuation_after_the_final_fragment_fails_the_websocket(either):
    socket = either()
    socket.feed(socket.frame(TEXT, b"a", fin=False), socket.frame(CONTINUATION, b"b"))
    fails(socket, 1002, socket.frame(CONTINUATION, b"c"))
    assert socket.messages == ["ab"]


@pytest.mark.row("6455-5.4-2")
@pytest.mark.parametrize("first", [TEXT, BINARY])
@pytest.mark.parametrize("second", [TEXT, BINARY])
@pytest.mark.parametrize("fin", [True, False])
def test_data_frame_inside_a_fragmented_message_fails_the_websocket(either, first, second, fin):
    socket = either()
    fails(socket, 1002, socket.frame(first, b"a", fin=False), socket.frame(second, b"b", fin=fin))


@pytest.mark.row("6455-5.4-3")
@pytest.mark.parametrize("step", [None, 1])
def test_control_frames_inside_a_fragmented_message_are_handled_at_once(either, step):
    socket = either()
    socket.feed(socket.frame(TEXT, b"Hel", fin=False), socket.frame(PING, b"?"), step=step)
    assert socket.sent() == [("pong", b"?")]
    assert kinds(socket.events) == ["Pinged"]
    socket.feed(socket.frame(PONG, b"!"), socket.frame(CONTINUATION, b"lo"), step=step)
    assert kinds(socket.events) == ["Pinged", "Ponged", "TextMessage"]
    assert socket.messages == ["Hello"]
    assert socket.sent() == []


@pytest.mark.row("6455-5.4-3")
def test_close_inside_a_fragmented_message_is_handled_at_once(either):
    socket = either()
    socket.feed(socket.frame(TEXT, b"Hel", fin=False), socket.close(1001, b"gone"))
    assert socket.sent()[0] == ("close", 1001)
    socket.feed(end=True)
    assert socket.messages == []
    assert socket.closed.code == 1001


@pytest.mark.row("6455-5.4-4")
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("step", [None, 1])
def test_empty_and_single_octet_fragments_are_legal(either, opcode, step):
    socket = either()
    socket.feed(
        socket.frame(opcode, b"", fin=False),
        socket.frame(CONTINUATION, b"a", fin=False),
        socket.frame(CONTINUATION, b"", fin=False),
        socket.frame(CONTINUATION, b"b", fin=False),
        socket.frame(CONTINUATION, b""),
        socket.frame(opcode, b"", fin=False),
        socket.frame(CONTINUATION, b""),
        step=step,
    )
    assert socket.messages == (["ab", ""] if opcode == TEXT else [b"ab", b""])
    assert socket.sent() == []


@pytest.mark.row("6455-5.4-5")
def test_no_message_is_sent_inside_a_fragmented_one(either):
    socket = either()
    socket.conn.send_fragment(1, "one ", False)
    for wrong in ("text", b"octets"):
        with pytest.raises(socket.errors.LocalProtocolError):
            socket.conn.send_message(1, wrong)
    with pytest.raises((socket.errors.LocalProtocolError, TypeError)):
        socket.conn.send_fragment(1, b"octets", False)
    socket.conn.ping(1, b"allowed")
    socket.conn.send_fragment(1, "message", True)
    socket.conn.send_message(1, "next")
    sent = socket.sent()
    assert ("ping", b"allowed") in sent
    sent.remove(("ping", b"allowed"))
    assert sent == [("text+", b"one "), ("continuation", b"message"), ("text", b"next")]


# -- control frames ----------------------------------------------------------------------------


@pytest.mark.row("6455-5.5-1")
@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
@pytest.mark.parametrize("n", [126, 127, 65535, 65536])
def test_long_control_frame_fails_the_websocket(either, opcode, n):
    socket = either()
    check = fails_on_close if opcode == CLOSE else fails
    check(socket, 1002, socket.frame(opcode, b"\x03\xe8" + bytes(n - 2)))


@pytest.mark.row("6455-5.5-1")
@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
@pytest.mark.parametrize("payload", [b"", b"\x03\xe8"])
def test_fragmented_control_frame_fails_the_websocket(either, opcode, payload):
    socket = either()
    check = fails_on_close if opcode == CLOSE else fails
    check(socket, 1002, socket.frame(opcode, payload, fin=False))


@pytest.mark.row("6455-5.5-1")
def test_longest_control_frames_are_legal(either):
    socket = either()
    payload = bytes(range(125))
    socket.feed(socket.frame(PING, payload), socket.frame(PONG, payload))
    assert socket.sent() == [("pong", payload)]
    assert [(type(e).__name__, e.data) for e in socket.events] == [
        ("Pinged", payload),
        ("Ponged", payload),
    ]
    socket.feed(socket.close(1000, b"r" * 123))
    assert socket.sent()[0] == ("close", 1000)


@pytest.mark.row("6455-5.5-1")
def test_long_control_frames_are_not_sent(either):
    socket = either()
    for verb in (socket.conn.ping, socket.conn.pong):
        with pytest.raises(ValueError):
            verb(1, bytes(126))
        verb(1, bytes(125))
    assert socket.sent() == [("ping", bytes(125)), ("pong", bytes(125))]


@pytest.mark.row("6455-5.5.1-1")
def test_close_body_of_one_octet_fails_the_websocket(either):
    socket = either()
    fails_on_close(socket, 1002, socket.frame(CLOSE, b"\x03"))


@pytest.mark.row("6455-5.5.1-1")
@pytest.mark.parametrize("reason", [b"\xff", b"ok\xc3", b"\xed\xa0\x80", b"\xc0\xaf"])
@pytest.mark.parametrize("step", [None, 1])
def test_close_reason_that_is_not_utf8_fails_the_websocket(either, reason, step):
    socket = either()
    fails_on_close(socket, 1007, socket.close(1000, reason), step=step)


@pytest.mark.row("6455-5.5.1-1")
@pytest.mark.parametrize("reason", ["", "bye", "tschüß", "さようなら", "👋"])
def test_close_reason_is_delivered_as_text(either, reason):
    socket = either()
    socket.feed(socket.close(1000, reason.encode()))
    assert socket.sent()[0] == ("close", 1000)
    socket.feed(end=True)
    assert (socket.closed.code, socket.closed.reason) == (1000, reason)


@pytest.mark.row("6455-5.5.1-2")
@pytest.mark.parametrize("code", [1000, 1001, 1009, 3000, 4999])
def test_close_is_answered_with_its_code_and_nothing_is_sent_after_it(either, code):
    socket = either()
    socket.feed(socket.close(code, b"because"))
    assert socket.sent()[0] == ("close", code)
    for verb, *arguments in (
        (socket.conn.send_message, "late"),
        (socket.conn.send_message, b"late"),
        (socket.conn.send_fragment, "late", True),
        (socket.conn.ping,),
        (socket.conn.pong,),
    ):
        with pytest.raises(socket.errors.StreamClosed):
            verb(1, *arguments)
    assert [one for one in socket.sent() if one != END] == []


@pytest.mark.row("6455-5.5.1-2")
def test_close_without_a_code_is_answered_without_one(either):
    socket = either()
    socket.feed(socket.close())
    assert socket.sent()[0] == ("close", None)
    socket.feed(end=True)
    assert (socket.closed.code, socket.closed.reason) == (1005, "")


@pytest.mark.row("6455-5.5.1-2")
def test_nothing_is_sent_after_our_own_close(either):
    socket = either()
    socket.conn.send_message(1, "before")
    socket.conn.close_websocket(1, 1000, "done")
    for verb, *arguments in (
        (socket.conn.send_message, "late"),
        (socket.conn.send_fragment, b"late", True),
        (socket.conn.ping,),
        (socket.conn.pong,),
    ):
        with pytest.raises((socket.errors.LocalProtocolError, socket.errors.StreamClosed)):
            verb(1, *arguments)
    assert socket.sent() == [("text", b"before"), ("close", 1000)]
    socket.feed(socket.frame(PING, b"still there?"))
    assert socket.sent() == []


@pytest.mark.row("6455-5.5.1-2")
def test_close_goes_behind_queued_data(either):
    socket = either()
    socket.conn.send_message(1, bytes(200000))
    socket.feed(socket.close(1000))
    sent = socket.sent()
    assert sent[:2] == [("binary", bytes(200000)), ("close", 1000)]


@pytest.mark.row("6455-5.5.2-1")
@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(125))])
@pytest.mark.parametrize("step", [None, 1])
def test_ping_is_answered_with_its_own_octets(either, payload, step):
    socket = either()
    socket.feed(socket.frame(PING, payload), step=step)
    assert socket.sent() == [("pong", payload)]
    assert [(type(e).__name__, e.data) for e in socket.events] == [("Pinged", payload)]


@pytest.mark.row("6455-5.5.2-1")
def test_pong_nobody_asked_for_is_no_error(either):
    socket = either()
    socket.feed(socket.frame(PONG, b"hm"), socket.frame(TEXT, b"next"))
    assert kinds(socket.events) == ["Ponged", "TextMessage"]
    assert socket.sent() == []


@pytest.mark.row("6455-5.5.2-1")
def test_ping_after_close_is_not_answered(either):
    socket = either()
    socket.feed(socket.close(1000), socket.frame(PING, b"late"))
    assert "pong" not in [one[0] for one in socket.sent()]


@pytest.mark.row("6455-5.5.2-1")
@pytest.mark.parametrize("flood", [1000, 20000])
def test_flood_of_pings_is_bounded_and_the_last_is_answered(either, flood):
    socket = either()
    payloads = [b"%0125d" % i for i in range(flood)]
    for at in range(0, flood, 100):  # nobody reads meanwhile
        socket.feed(*(socket.frame(PING, one) for one in payloads[at : at + 100]))
    pongs = socket.sent()
    assert pongs[-1] == ("pong", payloads[-1])
    assert {name for name, _ in pongs} == {"pong"}
    assert len(pongs) <= 200
    answered = [payload for _, payload in pongs]
    assert answered == sorted(answered)
    socket.feed(socket.frame(TEXT, b"fine"))
    assert socket.messages == ["fine"]


# -- messages ----------------------------------------------------------------------------------


@pytest.mark.row("6455-5.6-1")
@pytest.mark.parametrize("payload", [b"", b"abc", "naïve".encode(), bytes(300)])
def test_text_arrives_as_str_and_binary_as_bytes(either, payload):
    socket = either()
    socket.feed(socket.frame(TEXT, payload), socket.frame(BINARY, payload))
    text, binary = socket.events
    assert (type(text).__name__, type(text.data), text.data) == (
        "TextMessage",
        str,
        payload.decode(),
    )
    assert (type(binary).__name__, type(binary.data), binary.data) == (
        "BytesMessage",
        bytes,
        payload,
    )
    assert text.stream_id == binary.stream_id == 1


@pytest.mark.row("6455-5.6-1")
def test_str_leaves_as_text_and_octets_as_binary(either):
    socket = either()
    socket.conn.send_message(1, "naïve")
    socket.conn.send_message(1, b"naive")
    socket.conn.send_message(1, bytearray(b"array"))
    socket.conn.send_message(1, memoryview(b"a view")[2:])
    assert socket.sent() == [
        ("text", "naïve".encode()),
        ("binary", b"naive"),
        ("binary", b"array"),
        ("binary", b"view"),
    ]


@pytest.mark.row("6455-5.6-1")
def test_buffer_handed_over_may_change_at_once(either):
    socket = either()
    buffer = bytearray(b"first")
    socket.conn.send_message(1, buffer)
    buffer[:] = b"other"
    assert socket.sent() == [("binary", b"first")]


@pytest.mark.row("6455-5.6-1")
@pytest.mark.parametrize("wrong", [None, 5, ["x"], object()])
def test_message_of_no_type_is_refused_and_changes_nothing(either, wrong):
    socket = either()
    with pytest.raises(TypeError):
        socket.conn.send_message(1, wrong)
    with pytest.raises(TypeError):
        socket.conn.send_fragment(1, wrong, True)
    socket.conn.send_message(1, "fine")
    assert socket.sent() == [("text", b"fine")]


@pytest.mark.row("6455-5.6-1")
def test_text_that_has_no_utf8_is_refused_and_changes_nothing(either):
    socket = either()
    with pytest.raises(ValueError):
        socket.conn.send_message(1, "lone \ud800 surrogate")
    with pytest.raises(ValueError):
        socket.conn.send_fragment(1, "\udfff", False)
    socket.conn.send_message(1, "fine")
    assert socket.sent() == [("text", b"fine")]


@pytest.mark.row("6455-5.7-1")
@pytest.mark.parametrize(
    ("role", "octets", "event"),
    [
        (CLIENT, "810548656c6c6f", ("TextMessage", "Hello")),
        (SERVER, "818537fa213d7f9f4d5158", ("TextMessage", "Hello")),
        (CLIENT, "010348656c80026c6f", ("TextMessage", "Hello")),
        (CLIENT, "890548656c6c6f", ("Pinged", b"Hello")),
        (SERVER, "8a8537fa213d7f9f4d5158", ("Ponged", b"Hello")),
        (CLIENT, "827e0100" + "ab" * 256, ("BytesMessage", b"\xab" * 256)),
        (CLIENT, "827f0000000000010000" + "cd" * 65536, ("BytesMessage", b"\xcd" * 65536)),
    ],
)
@pytest.mark.parametrize("step", [None, 1])
def test_examples_of_the_rfc_are_received(twin, transport, role, octets, event, step):
    if step and len(octets) > 1000:
        step = 777
    socket = WebSocket(twin, transport, role)
    socket.feed(bytes.fromhex(octets), step=step)
    assert [(type(e).__name__, e.data) for e in socket.events] == [event]


@pytest.mark.row("6455-5.7-1")
def test_examples_of_the_rfc_are_sent(server):
    socket = server()
    conn = socket.conn

    def octets():
        if socket.transport == "h2":
            return b"".join(one.content for one in socket.peer.sent() if one.kind == f.DATA)
        return b"".join(
            b"".join(iter_buffers) for iter_buffers in iter(lambda: conn.data_to_send(), [])
        )

    conn.send_message(1, "Hello")
    assert octets().hex() == "810548656c6c6f"
    conn.send_fragment(1, "Hel", False)
    conn.send_fragment(1, "lo", True)
    assert octets().hex() == "010348656c80026c6f"
    conn.ping(1, b"Hello")
    assert octets().hex() == "890548656c6c6f"
    conn.pong(1, b"Hello")
    assert octets().hex() == "8a0548656c6c6f"
    conn.send_message(1, bytes(256))
    assert octets().hex() == "827e0100" + "00" * 256
    conn.send_message(1, bytes(65536))
    assert octets().hex() == "827f0000000000010000" + "00" * 65536


# -- UTF-8 -------------------------------------------------------------------------------------

CHARACTERS = [
    "é",
    "߿",
    "ࠀ",
    "€",
    "\ud7ff".encode("utf-8").decode(),
    "\ue000",
    "\uffff",
    "𐀀",
    "😀",
    "\U0010ffff",
]
BAD = [
    "80",  # a continuation of nothing
    "bf",
    "c080",  # overlong
    "c1bf",
    "e08080",
    "e09fbf",
    "f0808080",
    "f08fbfbf",
    "eda080",  # surrogates
    "edafbf",
    "edb080",
    "edbfbf",
    "eda080edb080",
    "f4908080",  # above U+10FFFF
    "f5808080",
    "f8888080",
    "fc84808080",
    "fe",
    "ff",
    "c328",  # a second octet that is none
    "e28228",
    "e2c0",
    "f09f98",  # cut short by the end, and by another character
    "f09f9841",
    "e282",
    "c3",
    "cebae1bdb9cf83cebcceb5eda080656469746564",
]
GOOD = [
    "efbfbe",  # noncharacters, NUL and the byte order mark are text
    "efbfbf",
    "00",
    "610062",
    "efbbbf",
    "efbbbf61",
    "7f",
    "c280",
    "dfbf",
    "e0a080",
    "ed9fbf",
    "ee8080",
    "f0908080",
    "f48fbfbf",
    "f0bfbfbe",
    "cebae1bdb9cf83cebcceb5",
]


@pytest.mark.row("6455-8.1-1")
@pytest.mark.parametrize("character", CHARACTERS)
def test_character_may_be_split_anywhere(either, character):
    socket = either()
    octets = f"a{character}b".encode()
    expected = []
    for cut in range(1, len(octets)):
        for step in (None, 1):
            socket.feed(
                socket.frame(TEXT, octets[:cut], fin=False),
                socket.frame(CONTINUATION, octets[cut:]),
                step=step,
            )
            expected.append(octets.decode())
    for at in range(1, 10):  # within one frame, split by the transport
        whole = socket.frame(TEXT, octets)
        socket.feed(whole[:at])
        socket.feed(whole[at:])
        expected.append(octets.decode())
    assert socket.messages == expected
    assert socket.sent() == []


@pytest.mark.row("6455-8.1-1", "6455-8.1-3")
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("before", [b"", b"0123456789abcdef" * 5])
@pytest.mark.parametrize("step", [None, 1])
def test_text_that_is_not_utf8_fails_the_websocket(either, bad, before, step):
    socket = either()
    fails(socket, 1007, socket.frame(TEXT, before + bytes.fromhex(bad)), step=step)


@pytest.mark.row("6455-8.1-1", "6455-8.1-3")
@pytest.mark.parametrize("bad", BAD)
def test_text_that_is_not_utf8_across_fragments_fails_the_websocket(either, bad):
    octets = b"ok " + bytes.fromhex(bad)
    for cut in range(3, len(octets)):
        socket = either()
        fails(
            socket,
            1007,
            socket.frame(TEXT, octets[:cut], fin=False) + socket.frame(CONTINUATION, octets[cut:]),
        )


@pytest.mark.row("6455-8.1-3")
@pytest.mark.parametrize("good", GOOD)
@pytest.mark.parametrize("step", [None, 1])
def test_unusual_text_arrives_unchanged(either, good, step):
    socket = either()
    octets = bytes.fromhex(good)
    socket.feed(socket.frame(TEXT, octets), socket.frame(TEXT, b"x" * 70 + octets), step=step)
    socket.feed(socket.frame(TEXT, octets, fin=False), socket.frame(CONTINUATION, octets))
    text = octets.decode()
    assert socket.messages == [text, "x" * 70 + text, text + text]


@pytest.mark.row("6455-8.1-3")
def test_binary_is_not_text(either):
    socket = either()
    for bad in BAD:
        socket.feed(socket.frame(BINARY, bytes.fromhex(bad)))
    assert socket.messages == [bytes.fromhex(bad) for bad in BAD]


@pytest.mark.row("6455-8.1-2")
@pytest.mark.parametrize(
    ("start", "bad"),
    [
        (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", b"\xf4\x90"),
        (b"ok", b"\xff"),
        (b"ok", b"\xc0"),
        (b"ok", b"\xed\xa0"),
        (b"ok\xe2\x82", b"A"),
    ],
)
def test_text_fails_at_the_first_octet_that_cannot_be_valid(either, start, bad):
    # In a fragment that is not the last:
    socket = either()
    socket.feed(socket.frame(TEXT, start, fin=False))
    assert socket.sent() == []
    fails(socket, 1007, socket.frame(CONTINUATION, bad, fin=False))
    # In the middle of a frame whose rest has not come:
    socket = either()
    whole = socket.frame(TEXT, start + bad + b"many more octets to come")
    rest = len(b"many more octets to come")
    socket.feed(whole[: -rest - len(bad)])
    assert socket.sent() == []
    fails(socket, 1007, whole[-rest - len(bad) : -rest])


@pytest.mark.row("6455-8.1-4")
@pytest.mark.parametrize("end", ["c3", "e282", "f09f98", "f0", "e0", "ef", "f48f"])
@pytest.mark.parametrize("before", [b"", b"x" * 40])
def test_text_that_ends_in_the_middle_of_a_character_fails_the_websocket(either, end, before):
    octets = before + bytes.fromhex(end)
    socket = either()
    fails(socket, 1007, socket.frame(TEXT, octets))
    socket = either()
    fails(socket, 1007, socket.frame(TEXT, octets, fin=False), socket.frame(CONTINUATION))


# -- limits ------------------------------------------------------------------------------------


@pytest.mark.row("6455-10.7-1")
@pytest.mark.parametrize("limit", [1, 125, 126, 1000, 70000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_message_above_the_limit_fails_the_websocket(either, limit, opcode):
    socket = either(limits={"max_message": limit})
    socket.feed(socket.frame(opcode, b"x" * limit))
    assert [len(message) for message in socket.messages] == [limit]
    fails(socket, 1009, socket.frame(opcode, b"x" * (limit + 1)))


@pytest.mark.row("6455-10.7-1")
@pytest.mark.parametrize("parts", [(100, 1), (50, 51), (1, 100), (99, 1, 0, 1), (0, 101)])
def test_message_above_the_limit_in_fragments_fails_the_websocket(either, parts):
    socket = either(limits={"max_message": 100})
    last = len(parts) - 1
    octets = b"".join(
        socket.frame(CONTINUATION if i else TEXT, b"x" * n, fin=i == last)
        for i, n in enumerate(parts)
    )
    fails(socket, 1009, octets)


@pytest.mark.row("6455-10.7-1")
def test_control_frames_do_not_count_against_the_limit(either):
    socket = either(limits={"max_message": 100})
    socket.feed(
        socket.frame(TEXT, b"x" * 99, fin=False),
        socket.frame(PING, bytes(125)),
        socket.frame(CONTINUATION, b"x"),
    )
    assert socket.messages == ["x" * 100]


# -- the parser --------------------------------------------------------------------------------

MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(["text", "binary", "ping", "pong"]),
        st.one_of(
            st.text(max_size=40),
            st.integers(100, 140).map("é".__mul__),
            st.sampled_from([65535, 65536, 70000]).map("x".__mul__),
        ),
        st.lists(st.integers(0, 300), max_size=4),
        st.binary(min_size=4, max_size=4),
    ),
    max_size=6,
)


def compose(socket, messages):
    """The octets of these messages, cut into fragments, and the events they make."""
    octets, expected = b"", []
    for kind, text, cuts, key in messages:
        payload = text.encode()
        key = key if socket.role == SERVER else None
        if kind in ("ping", "pong"):
            payload = payload[:125]
            octets += ws_frame(PING if kind == "ping" else PONG, payload, key=key)
            expected.append(("Pinged" if kind == "ping" else "Ponged", payload))
            continue
        cuts = sorted(min(cut, len(payload)) for cut in cuts)
        parts = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
        for i, part in enumerate(parts):
            opcode = CONTINUATION if i else TEXT if kind == "text" else BINARY
            octets += ws_frame(opcode, part, key=key, fin=i == len(parts) - 1)
        expected.append(("TextMessage", text) if kind == "text" else ("BytesMessage", payload))
    return octets, expected


@pytest.mark.row("6455-x-1")
@pytest.mark.parametrize("role", ROLES)
def test_any_split_of_the_input_gives_the_same_events(twin, transport, role):
    @settings(max_examples=60, deadline=None)
    @given(MESSAGES, st.lists(st.integers(0, 4000), max_size=12))
    def check(messages, cuts):
        socket = WebSocket(twin, transport, role)
        octets, expected = compose(socket, messages)
        cuts = sorted({min(cut, len(octets)) for cut in cuts})
        for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True):
            socket.feed(octets[a:b])
        assert [(type(e).__name__, e.data) for e in socket.events] == expected
        assert [p for name, p in socket.sent() if name == "pong"] == [
            p for name, p in expected if name == "Pinged"
        ]

    check()


@pytest.mark.row("6455-x-1", "8441-5-5")
def test_octet_by_octet_gives_the_same_events(either):
    socket = either()
    octets, expected = compose(
        socket,
        [
            ("text", "Grüße €😀" * 20, [1, 3, 60, 61], b"\x00\x00\x00\x00"),
            ("binary", "x" * 300, [], b"\xff\x00\xff\x00"),
            ("ping", "p" * 125, [], b"abcd"),
            ("binary", "", [0], b"abcd"),
            ("pong", "", [], b"abcd"),
            ("text", "", [], b"abcd"),
        ],
    )
    socket.feed(octets, step=1)
    assert [(type(e).__name__, e.data) for e in socket.events] == expected


@pytest.mark.row("6455-x-2")
@pytest.mark.parametrize("n", [0, 5, 125, 126, 65535, 65536])
def test_head_may_be_split_anywhere(either, n):
    socket = either()
    payload = bytes(i * 7 & 0xFF for i in range(n))
    whole = socket.frame(BINARY, payload)
    head = len(whole) - n
    for cut in range(1, head + 1):  # the head comes in two parts, or without its payload
        socket.feed(whole[:cut])
        assert socket.sent() == []
        socket.feed(whole[cut:])
    socket.feed(whole[:head], step=1)
    socket.feed(whole[head:])
    if n:
        assert socket.messages == [payload] * (head + 1)
    else:
        assert set(socket.messages) == {b""}
    assert socket.open


@pytest.mark.row("6455-x-3")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("alignment", range(4))
def test_every_length_up_to_4096_is_unmasked_at_every_alignment(server, alignment):
    socket = server()
    randomly = random.Random(alignment)
    source = randomly.randbytes(4096)
    for n in range(4097):
        key = randomly.randbytes(4)
        head = ws_frame(BINARY, length=n, width=7 if n < 126 else 16, key=key)
        octets = head + mask(source[:n], key)
        if socket.transport == "h2":
            octets = f.data(1, octets)
        # The payload begins at an address of each remainder in turn.
        buffer = bytearray(alignment) + octets
        view = memoryview(buffer)[alignment:]
        events = socket.conn.receive_data(view, 0.0)
        message = of(events, "BytesMessage")[0]
        assert message.data == source[:n], n
        assert type(message.data) is bytes
        socket.conn.data_to_send(now=0.0)


@pytest.mark.row("6455-x-3")
@pytest.mark.parametrize("cut", range(1, 9))
def test_unmasking_goes_on_across_reads(server, cut):
    socket = server()
    randomly = random.Random(cut)
    sent = []
    for n in (7, 64, 131, 1000, 4095, 40000):
        key = randomly.randbytes(4)
        payload = randomly.randbytes(n)
        socket.feed(
            ws_frame(BINARY, length=n, width=7 if n < 126 else 16, key=key) + mask(payload, key),
            step=cut if n <= 1000 else 500 + cut,
        )
        sent.append(payload)
    assert socket.messages == sent
