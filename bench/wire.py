"""The bytes that every contender is fed, and a reader for the bytes that it answers.

Written from the RFCs with nothing but the standard library, so that no contender's own encoder
is measured, trusted or favoured. The same arguments always give the same bytes.
"""

import functools
import hashlib
import random

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS = 0x1, 0x4
TEXT, BINARY = 1, 2
MAX_FRAME_SIZE = 16384
MAX_WINDOW = 2**31 - 1
READ = 65536  # what one read of a socket hands over at most
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream_id, payload=b""):
    """One HTTP/2 frame: RFC 9113 section 4.1."""
    head = len(payload) << 48 | kind << 40 | flags << 32 | stream_id
    return head.to_bytes(9, "big") + payload


def settings(**values):
    """A SETTINGS frame from `initial_window_size=...`, `enable_connect_protocol=...` and so on."""
    numbers = {
        "header_table_size": 1,
        "enable_push": 2,
        "max_concurrent_streams": 3,
        "initial_window_size": 4,
        "max_frame_size": 5,
        "enable_connect_protocol": 8,
    }
    payload = b"".join(
        numbers[name].to_bytes(2, "big") + value.to_bytes(4, "big")
        for name, value in values.items()
    )
    return frame(SETTINGS, 0, 0, payload)


def window_update(stream_id, octets):
    return frame(WINDOW_UPDATE, 0, stream_id, octets.to_bytes(4, "big"))


def literal(name, value):
    """A header field without indexing and without Huffman coding: RFC 7541 section 6.2.2."""
    return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value


CONNECT_BLOCK = b"".join(
    literal(name, value)
    for name, value in (
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        (b":scheme", b"https"),
        (b":path", b"/chat"),
        (b":authority", b"server.example.com"),
        (b"sec-websocket-version", b"13"),
        (b"origin", b"https://server.example.com"),
    )
)


def extended_connect(token, path, **fields):
    """What an engine is asked for to open a tunnel for this token: RFC 8441 section 4."""
    return [
        (":method", "CONNECT"),
        (":protocol", token),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", path),
        *((name.replace("_", "-"), value) for name, value in fields.items()),
    ]


UPGRADE = (  # the same as `CONNECT_BLOCK` over HTTP/1.1
    b"GET /chat HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)


def stream_ids(streams):
    """The first ids a client opens."""
    return range(1, 2 * streams, 2)


def opening(streams, initial_window_size=MAX_WINDOW, connection_window=MAX_WINDOW):
    """What a client sends first: preface, SETTINGS, credit, and a WebSocket on each stream."""
    parts = [PREFACE, settings(enable_push=0, initial_window_size=initial_window_size)]
    if connection_window > 65535:
        parts.append(window_update(0, connection_window - 65535))
    parts.append(frame(SETTINGS, 0x1, 0))
    parts += (frame(HEADERS, END_HEADERS, sid, CONNECT_BLOCK) for sid in stream_ids(streams))
    return b"".join(parts)


def reads(data):
    """Cut octets as a socket's reads would."""
    return [data[at : at + READ] for at in range(0, len(data), READ)]


def mask(payload, key):
    n = len(payload)
    pattern = (key * (n // 4 + 1))[:n]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")).to_bytes(n, "big")


def websocket_frame(payload, opcode=BINARY, key=b"", fin=True):
    """One WebSocket frame, masked where a key is given: RFC 6455 section 5.2."""
    n, bit = len(payload), 0x80 if key else 0
    first = (0x80 if fin else 0) | opcode
    if n < 126:
        head = bytes((first, bit | n))
    elif n < 65536:
        head = bytes((first, bit | 126)) + n.to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + n.to_bytes(8, "big")
    return head + key + (mask(payload, key) if key else payload)


def data_frames(stream_id, octets):
    """DATA frames of at most 16 KiB, as a peer that knows only the default MAX_FRAME_SIZE sends."""
    return b"".join(
        frame(DATA, 0, stream_id, octets[at : at + MAX_FRAME_SIZE])
        for at in range(0, len(octets), MAX_FRAME_SIZE)
    )


ALPHABETS = {"ascii": "abcdefghij klmnop,:0123456789{}", "mixed": "aé z€ x0😀"}


def payload(size, kind, source):
    """Random octets, or UTF-8 text of exactly that many octets."""
    if kind == "binary":
        return source.randbytes(size)
    if kind == "ascii":
        return bytes(source.choices(ALPHABETS["ascii"].encode(), k=size))
    text = "".join(source.choices(ALPHABETS["mixed"], k=size)).encode()
    text = text[:size].decode(errors="ignore").encode()
    return text + b"." * (size - len(text))


def outgoing(size, kind):
    data = payload(size, kind, random.Random(f"{size} {kind}"))
    return data if kind == "binary" else data.decode()


def heads(count):
    """Reads full of frames without a payload, of a type that is to be ignored."""
    return reads(frame(0xBE, 0, 1) * count)


@functools.lru_cache(maxsize=4)
def messages(size, streams, count, kind="binary"):
    """`count` masked messages, dealt to the streams in turn, as a list of reads.

    A few payloads and keys repeat (making 1 MiB of noise per message would take longer than the
    benchmark); they are not the same octets twice in a row on any stream.
    """
    source = random.Random(f"{size} {streams} {count} {kind}")
    opcode = BINARY if kind == "binary" else TEXT
    variety = [
        websocket_frame(payload(size, kind, source), opcode, source.randbytes(4))
        for _ in range(min(count, 61 if size < 65536 else 3))
    ]
    ids = stream_ids(streams)
    return reads(
        b"".join(data_frames(ids[at % streams], variety[at % len(variety)]) for at in range(count))
    )


def fragmented(stream_id, size, pieces):
    """One masked message in several WebSocket frames, each in DATA frames of its own."""
    source = random.Random(f"{size} {pieces}")
    data = source.randbytes(size)
    step = -(-size // pieces)
    out = b""
    for at in range(0, size, step):
        octets = websocket_frame(
            data[at : at + step],
            BINARY if at == 0 else 0,
            source.randbytes(4),
            fin=at + step >= size,
        )
        out += data_frames(stream_id, octets)
    return out


# -- what came out ---------------------------------------------------------------------------


def frames(octets):
    """Yield (kind, flags, stream_id, payload) of each frame; the octets must end with a frame."""
    view, at, end = memoryview(octets), 0, len(octets)
    while at < end:
        head = int.from_bytes(view[at : at + 9], "big")
        length = head >> 48
        if at + 9 + length > end:
            raise ValueError("the output ends inside a frame")
        yield (
            head >> 40 & 0xFF,
            head >> 32 & 0xFF,
            head & 0x7FFFFFFF,
            view[at + 9 : at + 9 + length],
        )
        at += 9 + length


def data_by_stream(octets):
    """The DATA payloads of each stream, joined."""
    streams = {}
    for kind, _, stream_id, part in frames(octets):
        if kind == DATA:
            streams.setdefault(stream_id, bytearray()).extend(part)
    return streams


def messages_by_stream(octets):
    """The unmasked WebSocket messages that a server sent: {stream_id: [(opcode, payload)]}."""
    out = {}
    for stream_id, data in data_by_stream(octets).items():
        got, at, opcode, parts = [], 0, 0, b""
        while at < len(data):
            first, n = data[at], data[at + 1]
            if n & 0x80:
                raise ValueError("a server must not mask")
            at += 2
            if n > 125:
                width = 2 if n == 126 else 8
                n = int.from_bytes(data[at : at + width], "big")
                at += width
            if at + n > len(data):
                raise ValueError(f"stream {stream_id} ends inside a WebSocket frame")
            opcode = first & 15 or opcode
            parts += data[at : at + n]
            at += n
            if first & 0x80:
                got.append((opcode, parts))
                parts = b""
        out[stream_id] = got
    return out


def digest(items):
    """A short name for a sequence of tuples: equal only for equal contents in the same order."""
    out = hashlib.sha256()
    for item in items:
        for field in item:
            part = field if isinstance(field, bytes) else repr(field).encode()
            out.update(len(part).to_bytes(8, "big") + part)
    return out.hexdigest()[:16]


def digest_of_messages(octets):
    """What an output says, whatever order it serves the streams in."""
    streams = messages_by_stream(octets)
    return digest(
        (stream_id, *message) for stream_id in sorted(streams) for message in streams[stream_id]
    )


def refill(output):
    """WINDOW_UPDATEs for what a round sent, as its peer would have returned them meanwhile."""
    used = {stream_id: len(data) for stream_id, data in data_by_stream(output).items()}
    return b"".join(window_update(*item) for item in [(0, sum(used.values())), *used.items()])


def digest_of_split(output, window):
    """The octets of the stream, having seen that no frame was larger than it may be."""
    limit = min(window, MAX_FRAME_SIZE)
    assert all(len(part) <= limit for kind, _, _, part in frames(output) if kind == DATA)
    return digest_of_messages(output)


def digest_of_handshakes(fields, output):
    answers = [
        (stream_id, bytes(block)) for kind, _, stream_id, block in frames(output) if kind == HEADERS
    ]
    return digest([*fields, *answers])
