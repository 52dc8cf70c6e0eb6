"""Visits against the rules, each with the answer it must get.

One wrong octet must be answered exactly: GOAWAY, RST_STREAM or Close with the code of the RFC, and
where it was one stream's fault the connection must still serve another. A flood must be ended; what
the server said of it may be lost, since a TCP connection that is closed while octets still come is
reset.
"""

import asyncio

from .. import wire
from .octets import (
    CONTINUATION,
    GONE,
    PRIORITY,
    PUSH_PROMISE,
    block,
    client,
    connect_block,
    literal,
    request_block,
)
from .strangers import exchange
from .visits import kind

PROTOCOL_ERROR, FLOW_CONTROL_ERROR = 1, 3
FRAME_SIZE_ERROR, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 6, 9, 11
HEADERS, END = wire.HEADERS, wire.END_HEADERS
LAST = wire.END_HEADERS | wire.END_STREAM


def setting(identifier, value):
    entry = identifier.to_bytes(2, "big") + value.to_bytes(4, "big")
    return wire.frame(wire.SETTINGS, 0, 0, entry)


def priority(stream_id=3, on=0):
    return wire.frame(PRIORITY, 0, stream_id, on.to_bytes(4, "big") + b"\x10")


GET = wire.frame(HEADERS, LAST, 1, request_block())
POST = wire.frame(HEADERS, END, 1, request_block(b"POST", b"/echo"))

# RFC 9113: what it is -> (octets after the preface, the code of GOAWAY)
CONNECTION_ERRORS = {
    "SETTINGS on a stream": (wire.frame(wire.SETTINGS, 0, 1), PROTOCOL_ERROR),
    "SETTINGS of 5 octets": (wire.frame(wire.SETTINGS, 0, 0, bytes(5)), FRAME_SIZE_ERROR),
    "SETTINGS ack with a payload": (wire.frame(wire.SETTINGS, 1, 0, bytes(6)), FRAME_SIZE_ERROR),
    "ENABLE_PUSH 2": (setting(2, 2), PROTOCOL_ERROR),
    "window too large": (setting(4, 2**31), FLOW_CONTROL_ERROR),
    "frame size too small": (setting(5, 100), PROTOCOL_ERROR),
    "PING of 7 octets": (wire.frame(wire.PING, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
    "PING on a stream": (wire.frame(wire.PING, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "GOAWAY on a stream": (wire.frame(wire.GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "window grown by 0": (wire.window_update(0, 0), PROTOCOL_ERROR),
    "window overflow": (wire.window_update(0, 2**31 - 1), FLOW_CONTROL_ERROR),
    "WINDOW_UPDATE of an idle stream": (wire.window_update(7, 1), PROTOCOL_ERROR),
    "WINDOW_UPDATE of 3 octets": (
        wire.frame(wire.WINDOW_UPDATE, 0, 0, bytes(3)),
        FRAME_SIZE_ERROR,
    ),
    "DATA on stream 0": (wire.frame(wire.DATA, 0, 0, b"x"), PROTOCOL_ERROR),
    "DATA on an idle stream": (wire.frame(wire.DATA, 0, 5, b"x"), PROTOCOL_ERROR),
    "padding longer than its frame": (
        POST + wire.frame(wire.DATA, 8, 1, b"\x05abc"),
        PROTOCOL_ERROR,
    ),
    "HEADERS on stream 0": (wire.frame(HEADERS, LAST, 0, request_block()), PROTOCOL_ERROR),
    "HEADERS on an even stream": (wire.frame(HEADERS, LAST, 2, request_block()), PROTOCOL_ERROR),
    "HEADERS of a lower stream": (
        wire.frame(HEADERS, LAST, 5, request_block())
        + wire.frame(HEADERS, LAST, 3, request_block()),
        PROTOCOL_ERROR,
    ),
    "CONTINUATION of nothing": (wire.frame(CONTINUATION, END, 1, b""), PROTOCOL_ERROR),
    "DATA within a header block": (
        wire.frame(HEADERS, 0, 1, request_block()) + wire.frame(wire.DATA, 0, 1, b"x"),
        PROTOCOL_ERROR,
    ),
    "PUSH_PROMISE of a client": (
        GET + wire.frame(PUSH_PROMISE, END, 1, b"\0\0\0\2" + request_block()),
        PROTOCOL_ERROR,
    ),
    "RST_STREAM of an idle stream": (
        wire.frame(wire.RST_STREAM, 0, 9, bytes(4)),
        PROTOCOL_ERROR,
    ),
    "RST_STREAM on stream 0": (wire.frame(wire.RST_STREAM, 0, 0, bytes(4)), PROTOCOL_ERROR),
    "RST_STREAM of 3 octets": (wire.frame(wire.RST_STREAM, 0, 1, bytes(3)), FRAME_SIZE_ERROR),
    "frame longer than allowed": (
        wire.frame(wire.DATA, 0, 1, bytes(16385))[:20],
        FRAME_SIZE_ERROR,
    ),
    "HPACK index of nothing": (wire.frame(HEADERS, LAST, 1, b"\xff\xff\x03"), COMPRESSION_ERROR),
    "HPACK table too large": (
        wire.frame(HEADERS, LAST, 1, b"\x3f\xff\xff\x03" + request_block()),
        COMPRESSION_ERROR,
    ),
    "Huffman padding of zeros": (
        wire.frame(HEADERS, LAST, 1, b"\x00\x81\x00\x01x"),
        COMPRESSION_ERROR,
    ),
    "block that ends in a field": (
        wire.frame(HEADERS, LAST, 1, request_block()[:-3]),
        COMPRESSION_ERROR,
    ),
}

# what it is -> (header block of a request that is malformed, or frames behind a POST)
STREAM_ERRORS = {
    "name in capitals": request_block(b"GET", b"/", (b"Accept", b"*")),
    "no :path": block((b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"x")),
    "two :method": literal(b":method", b"GET") + request_block(),
    "pseudo-field behind another": request_block(b"GET", b"/", (b"a", b"b"), (b":late", b"1")),
    "unknown pseudo-field": literal(b":unknown", b"1") + request_block(),
    "connection field": request_block(b"GET", b"/", (b"connection", b"close")),
    "transfer-encoding": request_block(b"GET", b"/", (b"transfer-encoding", b"chunked")),
    "te of something": request_block(b"GET", b"/", (b"te", b"gzip")),
    "line feed in a value": request_block(b"GET", b"/", (b"a", b"b\nc")),
    "content-length and no body": request_block(b"GET", b"/", (b"content-length", b"5")),
}


def plain(first, payload, mask=b"key!"):
    """A WebSocket frame with this first octet."""
    return bytes((first,)) + wire.websocket_frame(payload, key=mask)[1:]


# RFC 6455: what it is -> (octets on an open WebSocket, the code of the Close)
WEBSOCKET_ERRORS = {
    "frame without a mask": (plain(0x82, b"hello", b""), 1002),
    "reserved opcode": (plain(0x83, b"hello"), 1002),
    "reserved control opcode": (plain(0x8B, b""), 1002),
    "reserved bit": (plain(0xC2, b"hello"), 1002),
    "ping in fragments": (plain(0x09, b"x"), 1002),
    "ping of 126 octets": (plain(0x89, bytes(126)), 1002),
    "continuation of nothing": (plain(0x80, b"x"), 1002),
    "message within a message": (plain(0x02, b"x") + plain(0x82, b"y"), 1002),
    "Close of one octet": (plain(0x88, b"x"), 1002),
    "Close 1005": (plain(0x88, b"\x03\xed"), 1002),
    "Close with a reason of no UTF-8": (plain(0x88, b"\x03\xe8\xff"), 1007),
    "text of no UTF-8": (plain(0x81, b"caf\xe9!"), 1007),
    "text that ends in a character": (plain(0x81, "€".encode()[:2]), 1007),
    "surrogate in two fragments": (plain(0x01, b"\xed") + plain(0x80, b"\xa0\x80"), 1007),
    "length in more octets than needed": (b"\x82\xfe\0\5key!hello", 1002),
    "length of 2**63": (b"\x82\xff\x80" + bytes(7) + b"key!", 1002),
    "message too long": (b"\x82\xff" + (2**20 + 1).to_bytes(8, "big") + b"key!", 1009),
}


async def still_serves(v, raw, stream_id):
    """The connection is alive: another WebSocket on it echoes."""
    raw.track_room()
    raw.open_websocket(stream_id)
    await raw.answered(stream_id)
    await exchange(v, raw, stream_id, 2000)


@kind(10)
async def connection_error(v):
    what = v.random.choice(list(CONNECTION_ERRORS))
    octets, code = CONNECTION_ERRORS[what]
    async with client(v) as raw:
        raw.send(octets)
        try:
            await raw.end()
        except TimeoutError:
            raise AssertionError(f"{what}: the connection was not ended; {raw.said()}") from None
        if raw.goaways != [code]:
            raise AssertionError(f"{what}: GOAWAY {code} expected; {raw.said()}")
    v.ledger.expected["connection error"] += 1


@kind(8)
async def stream_error(v):
    what = v.random.choice(list(STREAM_ERRORS))
    async with client(v) as raw:
        raw.send(wire.frame(HEADERS, LAST, 1, STREAM_ERRORS[what]))
        while 1 not in raw.ended:
            await raw.need_frame()
        if raw.resets.get(1) != PROTOCOL_ERROR:
            raise AssertionError(f"{what}: RST_STREAM {PROTOCOL_ERROR} expected; {raw.said()}")
        await still_serves(v, raw, 3)
    v.ledger.expected["stream error"] += 1


@kind(10)
async def websocket_error(v):
    what = v.random.choice(list(WEBSOCKET_ERRORS))
    octets, code = WEBSOCKET_ERRORS[what]
    async with client(v) as raw:
        raw.open_websocket(1)
        await raw.answered(1)
        for at in (octets,) if v.random.random() < 0.5 else v.pieces(octets):
            raw.send(wire.frame(wire.DATA, 0, 1, at))
        opcode, payload = await raw.message(1)
        if opcode != 8 or int.from_bytes(payload[:2], "big") != code:
            raise AssertionError(f"{what}: Close {code} expected, not {opcode} {payload!r}")
        await still_serves(v, raw, 3)
    v.ledger.expected["WebSocket error"] += 1


# -- floods --------------------------------------------------------------------------------------


def numbered(octets_of):
    """Octets for each of many streams in turn."""
    return lambda at: octets_of(2 * at + 1)


def reset_at_once(stream_id):
    head = wire.frame(HEADERS, LAST, stream_id, request_block())
    return head + wire.frame(wire.RST_STREAM, 0, stream_id, b"\0\0\0\x08")


def made_to_reset(stream_id):
    """CVE-2025-8671: the server resets the stream, on account of the client's fault."""
    head = wire.frame(HEADERS, LAST, stream_id, request_block())
    return head + wire.window_update(stream_id, 0)


def malformed_again(stream_id):
    return wire.frame(HEADERS, LAST, stream_id, STREAM_ERRORS["connection field"])


BEGUN = wire.frame(HEADERS, END, 1, connect_block())
# name -> (octets before, the repeated part by its number, how often at most)
FLOODS = {
    "rapid reset": (b"", numbered(reset_at_once), 20_000),
    "made to reset": (b"", numbered(made_to_reset), 20_000),
    "malformed requests": (b"", numbered(malformed_again), 20_000),
    "PRIORITY": (b"", lambda at: priority(2 * at + 101), 200_000),
    "WINDOW_UPDATE": (b"", lambda at: wire.window_update(0, 1), 200_000),
    "empty DATA": (POST, lambda at: wire.frame(wire.DATA, 0, 1), 200_000),
    "small DATA": (POST, lambda at: wire.frame(wire.DATA, 0, 1, b"x"), 200_000),
    "CONTINUATION": (
        wire.frame(HEADERS, wire.END_STREAM, 1, request_block()),
        lambda at: wire.frame(CONTINUATION, 0, 1, literal(b"a", b"b")),
        200_000,
    ),
    "empty CONTINUATION": (
        wire.frame(HEADERS, wire.END_STREAM, 1, request_block()),
        lambda at: wire.frame(CONTINUATION, 0, 1),
        200_000,
    ),
    "endless header block": (
        wire.frame(HEADERS, wire.END_STREAM, 1, request_block()),
        lambda at: wire.frame(CONTINUATION, 0, 1, literal(b"a", b"b" * 16000)),
        1000,
    ),
}


@kind(6)
async def flood(v):
    """More and more of the same, until the server ends the connection."""
    what = v.random.choice(list(FLOODS))
    before, part, most = FLOODS[what]
    async with client(v, reset=True) as raw:
        reading = asyncio.create_task(raw.end())
        try:
            raw.send(before)
            for at in range(0, most, 100):
                raw.send(*(part(each) for each in range(at, at + 100)))
                await raw.flush()
                if reading.done():
                    break
                await asyncio.sleep(0)
            await reading
        except GONE as error:
            if isinstance(error, TimeoutError):
                raise AssertionError(f"{what} was not ended") from error
        finally:
            reading.cancel()
        if raw.goaways and raw.goaways[-1] != ENHANCE_YOUR_CALM:
            raise AssertionError(f"{what}: {raw.said()}")
    v.ledger.expected[f"flood ended: {what}"] += 1


ASKING = {
    "PING": wire.frame(wire.PING, 0, 0, b"answer!!"),
    "SETTINGS": setting(3, 100),
    "ping of a WebSocket": wire.frame(wire.DATA, 0, 1, plain(0x89, bytes(100))),
    "request": b"",
}


@kind(3)
async def unread_answers(v):
    """Asks again and again, and never reads what is answered. It may be ended for it."""
    what = v.random.choice(list(ASKING))
    async with client(v, 0, reset=True) as raw:
        raw.open_websocket(1)
        try:
            async with asyncio.timeout(v.random.uniform(0.2, 1)):
                for at in range(100_000):
                    head = wire.frame(HEADERS, LAST, 2 * at + 3, request_block(b"GET", b"/"))
                    raw.send(ASKING[what] or head)
                    if at % 50 == 0:
                        await raw.flush()
                        await asyncio.sleep(0)
        except GONE:
            pass
    v.ledger.expected["answers never read"] += 1


@kind(3)
async def endless_message(v):
    """Fragments without end: 1008 or 1009 ends them."""
    async with client(v, track=True) as raw:
        raw.open_websocket(1)
        await raw.answered(1)
        size = v.random.choice((0, 1, 10, 10000))
        await raw.data(1, plain(0x02, b"begun"))
        more = plain(0x00, bytes(size))
        for _ in range(20_000):
            await raw.data(1, more * max(1, 1000 // len(more)))
            if raw.inbox[1] or 1 in raw.ended:
                break
            if raw.reader._buffer:  # something is there to be read
                await raw.need_frame()
        opcode, payload = await raw.message(1)
        code = int.from_bytes(payload[:2], "big")
        if opcode != 8 or code not in (1008, 1009):
            raise AssertionError(f"endless message of {size}: {opcode} {payload!r}")
    v.ledger.expected["endless message"] += 1


@kind(3)
async def header_list(v):
    """A list that is too long: the request is refused, and the connection lives."""
    fields = [(b"f%d" % at, b"v" * v.random.choice((1, 2000))) for at in range(150)]
    octets = request_block(b"GET", b"/", *fields)[:80_000]
    octets = request_block(b"GET", b"/", *fields) if len(octets) < 80_000 else None
    if octets is None:
        octets = request_block(b"GET", b"/", (b"long", b"v" * 70_000))
    async with client(v) as raw:
        cuts = range(0, len(octets), 16384)
        for at in cuts:
            last = END if at == cuts[-1] else 0
            kind_of = CONTINUATION if at else HEADERS
            flags = last if at else last | wire.END_STREAM
            raw.send(wire.frame(kind_of, flags, 1, octets[at : at + 16384]))
        while 1 not in raw.ended:
            await raw.need_frame()
        await still_serves(v, raw, 3)
    v.ledger.expected["header list too long"] += 1


# -- what is not HTTP/2 at all ---------------------------------------------------------------------

GREETINGS = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    b"SSH-2.0-x\r\n",
    b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + bytes(100),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    bytes(1000),
)


@kind(4)
async def nonsense(v):
    """Octets of something else, or of nothing, with TLS or where TLS is wanted."""
    reader, writer = await v.place.streams(plain=v.random.random() < 0.5)
    v.ledger.connections += 1
    try:
        octets = v.random.choice((*GREETINGS, v.octets(v.size(3000))))
        writer.write(octets)
        if v.random.random() < 0.3 and writer.can_write_eof():
            writer.write_eof()
        async with asyncio.timeout(v.random.choice((0.5, 6))):
            while await reader.read(65536):
                pass
    except GONE:
        pass
    finally:
        writer.transport.abort()
    v.ledger.expected["no HTTP/2"] += 1


@kind(4)
async def silence(v):
    """Connects and says nothing, half a preface, or all but the end of a header block."""
    begun = wire.PREFACE + wire.settings(enable_push=0)
    block_begun = wire.frame(HEADERS, wire.END_STREAM, 1, request_block())
    words = v.random.choice((b"", wire.PREFACE[:10], begun + block_begun[:20], begun + block_begun))
    async with client(v, greet=False) as raw:
        raw.mute = True
        raw.send(words)
        began = asyncio.get_running_loop().time()
        if v.random.random() < 0.5:
            await asyncio.sleep(v.random.random())
            v.ledger.expected["left in the middle of a word"] += 1
            return
        await raw.end()
        waited = asyncio.get_running_loop().time() - began
        if not 2 < waited < 15:
            raise AssertionError(f"{words[:40]!r}: the connection was ended after {waited:.1f} s")
    v.ledger.expected["timeout"] += 1


@kind(8)
async def corrupted(v):
    """A client's octets with some of them wrong: whatever comes of it, it comes to an end."""
    parts = [wire.PREFACE, wire.settings(enable_push=0), wire.frame(wire.SETTINGS, 1, 0)]
    for stream_id in range(1, 2 * v.random.randint(1, 8), 2):
        head = connect_block() if v.random.random() < 0.7 else request_block(b"POST", b"/echo")
        parts.append(wire.frame(HEADERS, END, stream_id, head))
        for _ in range(v.random.randint(0, 4)):
            message = wire.websocket_frame(
                v.octets(v.size(3000)), v.random.choice((1, 2, 8, 9)), v.random.randbytes(4)
            )
            parts.append(wire.data_frames(stream_id, message))
    octets = bytearray(b"".join(parts))
    for _ in range(v.random.randint(1, 8)):
        at = v.random.randrange(24, len(octets))
        choice = v.random.random()
        if choice < 0.6:
            octets[at] = v.random.randrange(256)
        elif choice < 0.8:
            del octets[at : at + v.random.randint(1, 20)]
        else:
            octets[at:at] = v.random.randbytes(v.random.randint(1, 20))
    async with client(v, greet=False, reset=True) as raw:
        raw.send(bytes(octets))
        try:
            async with asyncio.timeout(v.random.uniform(0.05, 0.5)):
                while await raw.frame() is not None:
                    pass
        except TimeoutError:
            pass
    v.ledger.expected["corrupted"] += 1
