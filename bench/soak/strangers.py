"""Visits within the rules, however oddly, of the client made of octets."""

import asyncio

from .. import wire
from .octets import CLOSE, PING, PONG, Messages, block, client, connect_block, request_block
from .visits import MAX_MESSAGE, kind


def masked(v, whole, text):
    """A message as masked frames: whole or in fragments, with pings between them."""
    octets = whole.encode() if text else whole
    parts = [octets] if v.random.random() < 0.6 else v.pieces(octets)
    out, pings = [], 0
    for at, part in enumerate(parts):
        opcode = 0 if at else wire.TEXT if text else wire.BINARY
        key = v.random.randbytes(4)
        if v.random.random() < 0.02:
            key = bytes(4)
        out.append(wire.websocket_frame(part, opcode, key, fin=at == len(parts) - 1))
        if len(parts) > 1 and v.random.random() < 0.2:
            pings += 1
            out.append(wire.websocket_frame(b"%d" % pings, PING, v.random.randbytes(4)))
    return b"".join(out), pings


async def send_cut(v, raw, stream_id, octets, most):
    """The octets in DATA frames of any length, some padded."""
    at = 0
    while at < len(octets):
        n = min(v.random.randint(1, most), len(octets) - at)
        padding = v.random.choice((0, 0, 0, 1, 100))
        await raw.data(stream_id, octets[at : at + n], padding=padding)
        at += n


async def exchange(v, raw, stream_id, most=MAX_MESSAGE, cut=16000):
    message = v.message(most)
    text = isinstance(message, str)
    octets, pings = masked(v, message, text)
    raw.pings[stream_id] += pings
    await send_cut(v, raw, stream_id, octets, cut)
    opcode, payload = await raw.message(stream_id)
    while opcode == PONG:
        raw.pings[stream_id] -= 1
        opcode, payload = await raw.message(stream_id)
    if opcode == CLOSE:
        raise AssertionError(f"closed with {int.from_bytes(payload[:2], 'big')} in mid-exchange")
    if opcode != (wire.TEXT if text else wire.BINARY):
        raise AssertionError(f"opcode {opcode} came back")
    if raw.pings[stream_id] < 0:
        raise AssertionError("more pongs than pings")
    v.ledger.echoed(message, payload.decode() if text else payload)


async def close(v, raw, stream_id):
    """The closing handshake, as a client does it."""
    octets = wire.websocket_frame(b"\x03\xe8", CLOSE, v.random.randbytes(4))
    await raw.data(stream_id, octets, wire.END_STREAM)
    raw.closing.add(stream_id)
    while True:
        opcode, payload = await raw.message(stream_id)
        if opcode == CLOSE:
            break
    if payload != b"\x03\xe8":
        raise AssertionError(f"Close 1000 was answered with {payload!r}")
    while stream_id not in raw.ended:
        await raw.need_frame()


@kind(12)
async def odd_frames(v):
    """Cuts, padding, pings within messages; several WebSockets in turn; then Close."""
    window = v.random.choice((65535, 2**20, 2**31 - 1))
    async with client(v, window, track=True) as raw:
        ids = range(1, 2 * v.random.randint(1, 4), 2)
        for stream_id in ids:
            raw.open_websocket(stream_id)
        for stream_id in ids:
            await raw.answered(stream_id)
        for _ in range(v.random.randint(1, 10)):
            await exchange(v, raw, v.random.choice(ids), cut=v.random.choice((60, 1000, 16000)))
        for stream_id in ids:
            await close(v, raw, stream_id)


@kind(4)
async def tiny_windows(v):
    """Room for a few octets of echo at a time, given back octet by octet."""
    window = v.random.choice((0, 1, 7, 100, 1000))
    async with client(v, window, track=True) as raw:
        raw.open_websocket(1)
        await raw.answered(1)
        if not window:
            raw.send(wire.window_update(1, v.random.randint(1, 50)))
        for _ in range(v.random.randint(1, 3)):
            await exchange(v, raw, 1, most=1500 if window > 50 else 40)
        await close(v, raw, 1)


@kind(4)
async def changing_windows(v):
    """SETTINGS change the window of open streams up and down, below zero too."""
    async with client(v, 1000, track=True) as raw:
        raw.open_websocket(1)
        await raw.answered(1)
        size = v.random.randint(2000, 60000)
        octets, _ = masked(v, message := v.octets(size), False)
        await send_cut(v, raw, 1, octets, 16000)
        for _ in range(v.random.randint(1, 5)):
            raw.send(wire.settings(initial_window_size=v.random.randint(0, 3000)))
            await raw.need_frame()
        raw.send(wire.settings(initial_window_size=2**20))
        opcode, payload = await raw.message(1)
        while opcode == PONG:
            opcode, payload = await raw.message(1)
        v.ledger.echoed(message, payload)
        await close(v, raw, 1)


@kind(4)
async def octet_by_octet(v):
    """Everything in single octets, handshake and Close too."""
    async with client(v, greet=False) as raw:
        octets, _ = masked(v, message := v.message(300), isinstance(message, str))
        raw.websockets[1] = Messages()
        whole = b"".join(
            (
                wire.PREFACE,
                wire.settings(enable_push=0),
                wire.frame(wire.HEADERS, wire.END_HEADERS, 1, connect_block()),
                wire.data_frames(1, octets),
            )
        )
        for at in range(len(whole)):
            raw.send(whole[at : at + 1])
            await raw.flush()
            if at % 50 == 0:
                await asyncio.sleep(0)
        opcode, payload = await raw.message(1)
        while opcode == PONG:
            opcode, payload = await raw.message(1)
        v.ledger.echoed(message, payload.decode() if isinstance(message, str) else payload)


@kind(5)
async def resets_everywhere(v):
    """RST_STREAM at every stage of a stream's life, and a WebSocket that works beside."""
    async with client(v, 2**20, track=True) as raw:
        raw.open_websocket(1)
        await raw.answered(1)
        for stream_id in range(3, 3 + 2 * v.random.randint(5, 40), 2):
            stage = v.random.randrange(6)
            if stage < 2:
                head = request_block() if stage else connect_block()
                raw.send(wire.frame(wire.HEADERS, wire.END_HEADERS, stream_id, head))
            elif stage == 2:
                head = request_block(b"POST", b"/echo")
                raw.send(wire.frame(wire.HEADERS, wire.END_HEADERS, stream_id, head))
                await raw.data(stream_id, v.octets(v.size(9000)))
            else:
                raw.open_websocket(stream_id)
                await raw.answered(stream_id)
                octets, _ = masked(v, v.octets(v.size(16000)), False)
                await raw.data(stream_id, octets[: v.random.randrange(len(octets))][:16384])
                if stage == 5:
                    await raw.flush()
            code = v.random.choice((0, 2, 5, 8, 0xFFFFFFFF)).to_bytes(4, "big")
            raw.send(wire.frame(wire.RST_STREAM, 0, stream_id, code))
            if stage == 4:  # twice: the second meets a stream that is over
                raw.send(wire.frame(wire.RST_STREAM, 0, stream_id, code))
            v.ledger.expected["stream reset"] += 1
        await exchange(v, raw, 1, 20000)
        await close(v, raw, 1)


@kind(3)
async def half_closed(v):
    """Our side ends first: without a Close, in mid-message, behind a request's body."""
    async with client(v, track=True) as raw:
        raw.open_websocket(1)
        raw.open_websocket(3)
        await raw.answered(1)
        await raw.answered(3)
        octets, _ = masked(v, v.octets(5000), False)
        await raw.data(1, octets[:3000], wire.END_STREAM)
        await raw.data(3, b"", wire.END_STREAM)
        body = v.octets(v.size(30000))
        head = request_block(b"POST", b"/echo")
        raw.send(wire.frame(wire.HEADERS, wire.END_HEADERS, 5, head))
        for at in range(0, len(body), 16000):
            await raw.data(5, body[at : at + 16000])
        trailers = wire.frame(
            wire.HEADERS, wire.END_HEADERS | wire.END_STREAM, 5, block((b"x-sum", b"1"))
        )
        raw.send(trailers)
        while not {1, 3, 5} <= raw.ended:
            await raw.need_frame()
        v.ledger.body(body, bytes(raw.raw[5]))
        v.ledger.expected["half closed without a Close"] += 2


@kind(3)
async def goaway_and_gone(v):
    """The client says GOAWAY with WebSockets open, and leaves, or just vanishes."""
    async with client(v, track=True, reset=v.random.random() < 0.5) as raw:
        raw.open_websocket(1)
        await raw.answered(1)
        await exchange(v, raw, 1, 20000)
        if v.random.random() < 0.7:
            raw.send(wire.frame(wire.GOAWAY, 0, 0, bytes(8)))
            await exchange(v, raw, 1, 20000)  # what is open goes on
        v.ledger.expected["connection dropped"] += 1


@kind(3)
async def unread_and_gone(v):
    """Asks for much, reads nothing of it, vanishes."""
    window = v.random.choice((65535, 2**24))
    async with client(v, window, reset=True) as raw:
        if window > 65535:
            raw.send(wire.window_update(0, 2**24))
        head = request_block(b"GET", b"/bytes/5000000")
        flags = wire.END_HEADERS | wire.END_STREAM
        for stream_id in range(1, 2 * v.random.randint(1, 50), 2):
            raw.send(wire.frame(wire.HEADERS, flags, stream_id, head))
        await raw.flush()
        await asyncio.sleep(v.random.random() * 0.3)
        v.ledger.expected["connection dropped"] += 1
