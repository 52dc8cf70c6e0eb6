"""What a hostile server can do to our client: the same limits, with the errors they name.

The client's loop serves a neighbour meanwhile, who must notice nothing, and all of it, the hostile
server included, stays within bounds of memory and CPU: see `serving`.
"""

import asyncio
import contextlib
import zlib

import pytest

from h2ws_fast import H2WSError, Session, connect
from tests.aio.test_server_streams import ASKED
from tests.support import frames as f
from tests.support.raw import RawServer
from tests.support.ws_frames import ws_frame

from .test_slow import on_both_loops, serving

row = pytest.mark.row

CALM = f.ENHANCE_YOUR_CALM
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9


def literal(name, value):
    return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value


BOMB = b"\x40\x01a\x7f" + bytes((4000 - 127 & 127 | 128, 4000 - 127 >> 7)) + b"v" * 4000

FLOODS = {
    "pings": (f.ping() * 5000, "max_control_frames"),
    "settings": (f.settings() * 5000, "settings_burst"),
    "settings-entries": (f.settings(*((0xF000 + i, i) for i in range(100))), "many settings"),
    "empty-data": (f.data(1) * 20, "max_empty_frames"),
    "padding": (f.data(1, pad=200) * 20, "max_empty_frames"),
    "continuations": (
        f.headers(1, b"\x88", end_headers=False) + f.continuation(1, b"\x88", False) * 20,
        "CONTINUATION",
    ),
    "octets": (
        f.headers(1, bytes(16384), end_headers=False)
        + f.continuation(1, bytes(16384), end_headers=False) * 20,
        "CONTINUATION",
    ),
    "bomb": (f.headers(1, b"\x88" + BOMB + b"\xbe" * 10_000), "twice the limit"),
    "fields": (f.headers(1, literal(b"a", b"b") * 1000), "twice the limit"),
    "window-updates": (f.window_update(0, 1) * 10_000, "max_window_updates"),
    "priorities": (f.priority(1) * 10_000, "max_priority_frames"),
    "goaways": (f.goaway(2**31 - 1) * 20_000, "glitch_burst"),
}


@row("SEC-1-5", "SEC-1-9", "SEC-2-1", "SEC-3-1")
@pytest.mark.parametrize("name", FLOODS)
@on_both_loops
async def test_floods(name):
    """GOAWAY(ENHANCE_YOUR_CALM) to the server, an error to the user; other connections go on."""
    flood, reason = FLOODS[name]
    ends = []

    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, [(":status", "200")])
        peer.send(flood)
        with contextlib.suppress(ConnectionError):
            await peer.writer.drain()
        found = await peer.until_eof()
        ends.extend(frame for frame in found if frame.kind == f.GOAWAY)

    async with serving(), RawServer(script, (f.ENABLE_CONNECT_PROTOCOL, 1)) as server:
        with pytest.raises(H2WSError):
            async with connect(f"ws://127.0.0.1:{server.port}/") as ws:
                await ws.recv()
        async with asyncio.timeout(10):
            while not ends:
                await asyncio.sleep(0.01)
    (goaway,) = ends
    assert goaway.error_code == CALM
    assert reason in goaway.payload[8:].decode()


GET = [(":method", "GET"), *ASKED[2:]]
STRANGE = [(n, "strange" if n == ":protocol" else v) for n, v in ASKED]
# What a server opens again and again, does it take it back, and which limit ends that.
TAKEN_BACK = {"max_pending_resets", "reset_burst"}
REFUSED = {"reset_burst", "max_control_frames"}  # the second where many came in one read
OPENINGS = {
    "resets": (ASKED, True, TAKEN_BACK),
    "open": (ASKED, False, REFUSED),
    "no-connect": (GET, False, REFUSED),
    "strange": (STRANGE, False, REFUSED),
    "strange-resets": (STRANGE, True, TAKEN_BACK),
}


@row("SEC-1-1", "SEC-1-2", "SEC-1-3")
@pytest.mark.parametrize("name", OPENINGS)
@on_both_loops
async def test_streams_that_a_server_opens(name):
    """They meet what a client's meet at a server: as many handlers as streams, and an end."""
    fields, taken_back, limits = OPENINGS[name]
    ends = []
    working = most = 0

    async def handler(tunnel):
        nonlocal working, most
        working += 1
        most = max(most, working)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            working -= 1

    async def script(peer):
        with contextlib.suppress(ConnectionError):
            for stream_id in range(2, 20_002, 2):
                peer.headers(stream_id, fields)
                if taken_back:
                    peer.send(f.rst_stream(stream_id))
                if stream_id % 500 == 0:
                    await peer.writer.drain()
        found = await peer.until_eof()
        ends.extend(frame for frame in found if frame.kind == f.GOAWAY)

    async with serving(), RawServer(script) as server:
        url = f"http://127.0.0.1:{server.port}"
        async with Session(url, tunnels={"bytestream": handler}) as session:
            await session.wait_closed()
            reached = session.stats()["limits"]
        async with asyncio.timeout(10):
            while not ends:
                await asyncio.sleep(0.01)
    assert ends[0].error_code == CALM
    assert reached.keys() & limits, reached
    assert most <= 100 and working == 0


@row("SEC-1-5")
@on_both_loops
async def test_pushes_before_the_settings_are_acknowledged():
    """Each is refused, and a thousand of them are enough."""
    ends = []

    async def script(peer):
        # It acknowledges nothing.
        await peer.reader.readexactly(24)
        peer.send(f.settings())
        await peer.expect(f.HEADERS, 1)
        peer.send(*(f.push_promise(1, i, b"\x82\x86\x84") for i in range(2, 10_002, 2)))
        found = await peer.until_eof()
        ends.extend(frame for frame in found if frame.kind == f.GOAWAY)

    async with serving(), RawServer(script, greet=False) as server:
        async with Session(f"http://127.0.0.1:{server.port}") as session:
            with pytest.raises(H2WSError):
                await session.request("GET", "/")
        async with asyncio.timeout(10):
            while not ends:
                await asyncio.sleep(0.01)
    assert ends[0].error_code == CALM


ALONE = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
RSV1 = 4


def deflated(data):
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (engine.compress(data) + engine.flush(zlib.Z_SYNC_FLUSH))[:-4]


WEBSOCKETS = {
    "huge": (ws_frame(BINARY, b"", key=None, width=64, length=2**63 - 1), 1009),
    "beyond-63-bits": (ws_frame(BINARY, b"", key=None, width=64, length=2**63), 1002),
    "fragments": (
        ws_frame(BINARY, b"x", fin=False, key=None) + ws_frame(0, b"x", fin=False, key=None) * 1100,
        1008,
    ),
    "empty-fragments": (
        ws_frame(TEXT, b"", fin=False, key=None) + ws_frame(0, b"", fin=False, key=None) * 100,
        1008,
    ),
    "bomb": (ws_frame(BINARY, deflated(bytes(10 * 2**20)), rsv=RSV1, key=None), 1009),
    "final-blocks": (ws_frame(BINARY, b"\x03\x00" * 5000, rsv=RSV1, key=None), 1008),
}


@row("SEC-5-1", "SEC-5-2", "SEC-5-3")
@pytest.mark.parametrize("name", WEBSOCKETS)
@on_both_loops
async def test_messages(name):
    """The WebSocket is failed with the code, and its connection goes on."""
    octets, code = WEBSOCKETS[name]
    codes = []

    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, [(":status", "200"), ("sec-websocket-extensions", ALONE)])
        peer.send(f.data(1, octets))
        (close,) = await peer.ws_frames(1, 1)
        codes.append(close.close_code)
        peer.close_frame(1, code, end_stream=True)
        await peer.expect(f.HEADERS, 3, skip=(f.DATA, f.SETTINGS, f.WINDOW_UPDATE))
        peer.headers(3, [(":status", "204")], end_stream=True)
        await peer.until_eof()

    async with serving(), RawServer(script, (f.ENABLE_CONNECT_PROTOCOL, 1)) as server:
        async with Session(f"http://127.0.0.1:{server.port}") as session:
            ws = await session.websocket("/")
            with pytest.raises(H2WSError):
                await ws.recv()
            assert ws.close_code == code
            assert (await session.request("GET", "/")).status == 204
    assert codes == [code]


@row("SEC-5-4")
@on_both_loops
async def test_pings_whose_answers_are_not_read():
    """The window is shut: 16 KiB of pongs wait, and the latest."""
    waiting = []

    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, [(":status", "200")])
        for _ in range(20):
            peer.send(f.data(1, ws_frame(PING, b"p" * 100, key=None) * 100))
            await peer.writer.drain()
        peer.send(f.data(1, ws_frame(TEXT, b"done", key=None)))
        await peer.until_eof()

    pairs = ((f.ENABLE_CONNECT_PROTOCOL, 1), (f.INITIAL_WINDOW_SIZE, 0))
    async with serving(), RawServer(script, *pairs) as server:
        async with Session(f"http://127.0.0.1:{server.port}") as session:
            ws = await session.websocket("/")
            assert await ws.recv() == "done"
            stats = ws.wire.conn.stats()
            waiting.append(stats["octets_queued"])
            assert set(stats["limits"]) == {"max_pong_backlog"}
            ws.wire.abort()
    assert 16_000 < waiting[0] < 20_000
