"""The tracer: octets in, lines out."""

import re

import hpack
import pytest

from h2ws_fast.trace import Tracer
from tests.support import frames as f
from tests.support import ws_frames as w


@pytest.fixture
def lines():
    return []


@pytest.fixture
def tracer(lines):
    return Tracer(lambda line: lines.append(re.sub(r"^\[ *\d+\.\d+\] ", "", line).strip()))


def details(lines):
    """What was said below the line of the frame."""
    return lines[1:]


def open_websocket(tracer, lines):
    block = hpack.Encoder().encode(
        [(":method", "CONNECT"), (":protocol", "websocket"), (":path", "/chat")]
    )
    tracer.sent(f.MAGIC + f.headers(1, block))
    tracer.received(f.headers(1, hpack.Encoder().encode([(":status", "200")])))
    lines.clear()


def test_the_preface_and_settings_in_any_split(tracer, lines):
    octets = f.MAGIC + f.settings((0x3, 100), (0x8, 1), (0xFFFF, 7)) + f.settings_ack()
    for at in range(len(octets)):
        tracer.sent(octets[at : at + 1])
    assert lines == [
        "send connection preface",
        "send SETTINGS frame <length=18, flags=0x00, stream_id=0>",
        "[SETTINGS_MAX_CONCURRENT_STREAMS(0x03):100]",
        "[SETTINGS_ENABLE_CONNECT_PROTOCOL(0x08):1]",
        "[UNKNOWN(0xffff):7]",
        "send SETTINGS frame <length=0, flags=0x01, stream_id=0>",
        "; ACK",
    ]


def test_every_setting_has_its_name(tracer, lines):
    tracer.received(f.settings(*((identifier, 0) for identifier in range(1, 11))))
    assert details(lines) == [
        "[SETTINGS_HEADER_TABLE_SIZE(0x01):0]",
        "[SETTINGS_ENABLE_PUSH(0x02):0]",
        "[SETTINGS_MAX_CONCURRENT_STREAMS(0x03):0]",
        "[SETTINGS_INITIAL_WINDOW_SIZE(0x04):0]",
        "[SETTINGS_MAX_FRAME_SIZE(0x05):0]",
        "[SETTINGS_MAX_HEADER_LIST_SIZE(0x06):0]",
        "[UNKNOWN(0x07):0]",
        "[SETTINGS_ENABLE_CONNECT_PROTOCOL(0x08):0]",
        "[SETTINGS_NO_RFC7540_PRIORITIES(0x09):0]",
        "[UNKNOWN(0x0a):0]",
    ]


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (f.rst_stream(5, f.CANCEL), ["(error_code=CANCEL(0x08))"]),
        (f.rst_stream(5, 0x99), ["(error_code=UNKNOWN(0x99))"]),
        (f.window_update(0, 77), ["(window_size_increment=77)"]),
        (f.ping(b"\0\1\2\3\4\5\6\7", ack=True), ["; ACK", "(opaque_data=0001020304050607)"]),
        (
            f.goaway(9, f.NO_ERROR, b"bye"),
            ["(last_stream_id=9, error_code=NO_ERROR(0x00), opaque_data(3)=b'bye')"],
        ),
        (f.priority_update(3, b"u=0"), ["(prioritized_stream_id=3, b'u=0')"]),
        (f.data(3, b"body", pad=2), ["; PADDED", "(padlen=2)", "b'body'"]),
        (f.data(3, bytes(100), True), ["; END_STREAM", repr(bytes(64)) + "..."]),
        (f.frame(0xFA, 0, 0, b"?"), []),
        (f.frame(f.RST_STREAM, 0, 1, b"?"), ["(malformed)"]),
        (f.frame(f.DATA, f.PADDED, 1, b""), ["; PADDED", "(malformed)"]),
    ],
)
def test_frames(tracer, lines, octets, said):
    tracer.received(octets)
    assert details(lines) == said
    assert lines[0].startswith("recv ")


def test_header_blocks_are_decoded_in_both_directions(tracer, lines):
    encoder = hpack.Encoder()
    first = encoder.encode([(":status", "200"), ("x-word", "value"), ("x-octets", b"\xff\n")])
    again = encoder.encode([(":status", "200"), ("x-word", "value")])
    assert len(again) < len(first) / 4  # from the table
    tracer.received(
        f.headers(1, first[:3], end_headers=False, pad=1, priority=bytes(5))
        + f.continuation(1, first[3:])
        + f.headers(3, again, end_stream=True)
    )
    text = "\n".join(lines)
    assert text.count(":status: 200") == 2 and text.count("x-word: value") == 2
    assert "x-octets: \\xff\\n" in text
    assert "; END_HEADERS | PADDED | PRIORITY" not in text  # the first had no END_HEADERS
    assert "; PADDED | PRIORITY" in text and "; END_STREAM | END_HEADERS" in text


def test_a_block_that_cannot_be_decoded_is_said_so(tracer, lines):
    tracer.received(f.headers(1, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
    assert lines[-1].startswith("(header block not decoded")


def test_pushed_streams(tracer, lines):
    block = hpack.Encoder().encode([(":path", "/pushed")])
    tracer.received(f.push_promise(1, 2, block))
    assert "(promised_stream_id=2)" in lines and ":path: /pushed" in lines


def test_websocket_frames_are_told_in_any_split(tracer, lines):
    open_websocket(tracer, lines)
    octets = (
        w.ws_frame(1, "naïve".encode())
        + w.ws_frame(2, bytes(300))
        + w.ws_frame(1, b"begin", fin=False)
        + w.ws_frame(0, b"end")
        + w.ws_frame(9, b"\1\2\3\4\5")
        + w.close_frame(4321, b"bye")
    )
    for at in range(len(octets)):
        tracer.sent(f.data(1, octets[at : at + 1]))
    told = [line.removeprefix("WebSocket ") for line in lines if line.startswith("WebSocket")]
    assert told == [
        "text, masked, 6 octets: 'naïve'",
        f"binary, masked, 300 octets: {bytes(64).hex(' ', 4)}...",
        "text, not final, masked, 5 octets: 'begin'",
        "continuation, masked, 3 octets: 656e64",
        "ping, masked, 5 octets: 01 02030405",
        "close, masked, 5 octets, code 4321: 'bye'",
    ]


def test_frames_of_the_server_are_not_masked(tracer, lines):
    open_websocket(tracer, lines)
    tracer.received(f.data(1, w.ws_frame(1, b"hello", key=None) + w.ws_frame(8, b"", key=None)))
    assert details(lines) == ["WebSocket text, 5 octets: 'hello'", "WebSocket close, 0 octets"]


def test_bodies_of_other_streams_are_octets(tracer, lines):
    open_websocket(tracer, lines)
    tracer.received(f.data(3, b"\x81\x05hello"))
    assert details(lines) == [repr(b"\x81\x05hello")]


def test_a_refused_websocket_has_a_body(tracer, lines):
    block = hpack.Encoder().encode([(":method", "CONNECT"), (":protocol", "websocket")])
    tracer.sent(f.MAGIC + f.headers(1, block))
    tracer.received(f.headers(1, hpack.Encoder().encode([(":status", "403")])))
    lines.clear()
    tracer.received(f.data(1, b"\x81no"))
    assert details(lines) == [repr(b"\x81no")]


def test_times_and_colors():
    written = []
    tracer = Tracer(written.append, color=True)
    tracer.note("connected")
    tracer.received(f.ping())
    assert re.fullmatch(r"\[ *\d+\.\d{3}\] connected", written[0])
    assert "\x1b[35;1mPING\x1b[0m" in written[1]


def test_the_end_of_a_server(lines):
    tracer = Tracer(lambda line: lines.append(line.split("] ")[-1].strip()), server=True)
    for at in range(len(f.MAGIC)):
        tracer.received(f.MAGIC[at : at + 1])
    tracer.sent(f.settings())
    assert lines == [
        "recv connection preface",
        "send SETTINGS frame <length=0, flags=0x00, stream_id=0>",
    ]


def test_http_1_1_in_any_split(lines):
    asked = b"GET /a HTTP/1.1\r\nHost: b\x1b\r\n\r\n"
    answered = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    message = w.ws_frame(w.TEXT, b"hi")
    early = w.ws_frame(w.TEXT, b"early")
    tracer = Tracer(lambda line: lines.append(line.split("] ")[-1].strip()), server=True)
    for octet in asked + early:
        tracer.received(bytes((octet,)))
    for octet in answered:
        tracer.sent(bytes((octet,)))
    for octet in message:
        tracer.received(bytes((octet,)))
    lines[:] = [line for line in lines if not line.endswith("octets over HTTP/1.1")]
    assert lines == [
        "recv GET /a HTTP/1.1",
        r"Host: b\x1b",
        "send HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "recv WebSocket text, masked, 2 octets: 'hi'",
    ]


@pytest.mark.parametrize("token", [b"connect-udp", b"not-websocket", b"websocket-not"])
def test_a_tunnel_over_http_1_1_that_is_no_websocket_is_octets(lines, token):
    tracer = Tracer(lambda line: lines.append(line.split("] ")[-1].strip()))
    tracer.sent(b"GET /a HTTP/1.1\r\nUpgrade: " + token + b"\r\n\r\n")
    tracer.received(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: " + token + b"\r\n\r\n")
    del lines[:]
    tracer.sent(b"\x81\x02\x1b")
    tracer.received(bytes(65))
    assert lines == [
        r"send 3 octets: b'\x81\x02\x1b'",
        "recv 65 octets: b'" + r"\x00" * 64 + "'...",
    ]


def test_bodies_over_http_1_1_are_counted(lines):
    tracer = Tracer(lambda line: lines.append(line.split("] ")[-1].strip()))
    tracer.sent(b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc")
    tracer.received(b"HTTP/1.1 200 OK\r\n\r\n")
    tracer.received(b"no head at all")
    tracer.received(b"HTTP/1.1 " + b"x" * 70_000)
    assert lines == [
        "send POST / HTTP/1.1",
        "content-length: 3",
        "send 3 octets over HTTP/1.1",
        "recv HTTP/1.1 200 OK",
        "recv 14 octets over HTTP/1.1",
        "recv 70009 octets over HTTP/1.1",
    ]
