"""What `Session.close()` leaves of WebSockets, tunnels and requests, on the wire."""

import asyncio
import random
import time

import pytest

from h2ws_fast import Session, serve
from h2ws_fast.aio import opener
from h2ws_fast.engine.constants import CANCEL
from h2ws_fast.errors import StreamReset
from tests.support import frames as f
from tests.support.raw import RawServer, close_frame

ENABLED = (f.ENABLE_CONNECT_PROTOCOL, 1)
SOON_S = 0.1


@pytest.fixture
def soon(monkeypatch):
    """Streams have a tenth of a second to end by themselves."""
    monkeypatch.setattr(opener, "FAREWELL_S", SOON_S)


async def answered(peer, stream_id=1, **options):
    await peer.expect(f.HEADERS, stream_id)
    peer.headers(stream_id, [(":status", "200")], **options)


async def test_a_tunnel_ends_behind_what_was_sent(monkeypatch):
    monkeypatch.setattr(opener, "FAREWELL_S", 30)

    async def script(peer):
        await answered(peer)
        data = b""
        while True:
            frame = await peer.expect(f.DATA, 1, skip=(f.WINDOW_UPDATE, f.SETTINGS, f.GOAWAY))
            data += frame.content
            peer.send(f.window_update(0, 65535), f.window_update(1, 65535))
            if frame.end_stream:
                break
        assert data == bytes(100_000)
        peer.send(f.data(1, b"the rest", end_stream=True))
        rest = await peer.until_eof()
        assert f.RST_STREAM not in [frame.kind for frame in rest]

    async with RawServer(script, ENABLED) as server:
        begun = time.monotonic()
        async with Session(f"http://127.0.0.1:{server.port}") as session:
            tunnel = await session.tunnel("t")
            await tunnel.send(bytes(100_000))
        assert time.monotonic() - begun < 10  # nobody has waited for FAREWELL_S
        # What came meanwhile is not lost, and nothing more may be sent.
        assert await tunnel.recv() == b"the rest"
        assert await tunnel.recv() == b""
        with pytest.raises(StreamReset, match="was closed"):
            await tunnel.send(b"late")


@pytest.mark.parametrize("form", ["tunnel", "stream"])
async def test_what_waits_for_a_slow_reader_arrives(form, soon):
    """A second is for the peer to end its side, and not for what it has not made room for."""
    octets = random.Random(4).randbytes(1_000_000)
    heard = []

    async def slow(tunnel):
        await asyncio.sleep(5 * SOON_S)
        async for data in tunnel:
            heard.append(data)
            if len(heard) < 4:
                await asyncio.sleep(2 * SOON_S)

    async with serve(host="127.0.0.1", port=0, tunnels={"t": slow}) as server:
        port = server.sockets[0].getsockname()[1]
        async with Session(f"http://127.0.0.1:{port}", http="h2") as session:
            tunnel = await session.tunnel("t")
            if form == "tunnel":
                tunnel.send_nowait(octets)
                await tunnel.close()
            else:
                stream = tunnel.stream()
                stream.write(octets)
                stream.close()
    assert b"".join(heard) == octets


@pytest.mark.parametrize("form", ["tunnel", "stream"])
async def test_a_closed_tunnel_takes_no_octets_for_ever(form):
    """The peer has `close_timeout` to end its side of what was closed; the session lives on."""
    ended = asyncio.get_running_loop().create_future()

    async def endless(tunnel):
        try:
            while True:
                await tunnel.send(bytes(10_000))
        except StreamReset as error:
            ended.set_result(error.error_code)

    async with serve(host="127.0.0.1", port=0, tunnels={"t": endless}) as server:
        port = server.sockets[0].getsockname()[1]
        async with Session(f"http://127.0.0.1:{port}", http="h2", close_timeout=0.3) as session:
            tunnel = await session.tunnel("t")
            if form == "tunnel":
                async with tunnel:
                    assert await tunnel.recv()
            else:
                tunnel.stream().close()
            assert await asyncio.wait_for(ended, 5) == CANCEL
            assert session.connected


@pytest.mark.parametrize("kind", ["tunnel", "response", "answered upload"])
async def test_what_the_server_does_not_end_is_reset(kind, soon):
    async def script(peer):
        await answered(peer)
        skip = (f.DATA, f.SETTINGS, f.WINDOW_UPDATE)
        goaway = await peer.expect(f.GOAWAY, skip=skip)
        assert (goaway.last_stream_id, goaway.error_code) == (0, f.NO_ERROR)
        begun = time.monotonic()
        assert (await peer.expect(f.RST_STREAM, 1, skip=skip)).error_code == f.CANCEL
        assert 0.5 * SOON_S < time.monotonic() - begun < 20 * SOON_S
        assert await peer.until_eof() == []
        ends = [frame.end_stream for frame in peer.frames if frame.kind == f.DATA]
        assert any(ends) == (kind == "tunnel")

    async def body():
        yield b"x"
        await asyncio.get_running_loop().create_future()

    async with RawServer(script, ENABLED) as server:
        async with Session(f"http://127.0.0.1:{server.port}") as session:
            if kind == "tunnel":
                tunnel = await session.tunnel("t")
            elif kind == "response":
                response = await session.request("GET")
            else:
                response = await session.request("POST", body=body())
        with pytest.raises(StreamReset):
            await (tunnel.recv() if kind == "tunnel" else response.read())


async def test_a_request_that_is_waited_for_runs_to_its_end(soon):
    async def script(peer):
        await answered(peer)
        await peer.expect(f.GOAWAY)
        await asyncio.sleep(3 * SOON_S)
        peer.send(f.data(1, b"whole", end_stream=True))
        assert await peer.until_eof() == []

    async with RawServer(script) as server:
        async with Session(f"http://127.0.0.1:{server.port}") as session:
            response = await session.request("GET")
            reading = asyncio.create_task(response.read())
            await asyncio.sleep(0)
        assert await reading == b"whole"


async def test_a_websocket_has_longer_than_a_tunnel(soon):
    async def script(peer):
        await answered(peer, 1)
        await answered(peer, 3)
        seen = []
        while (f.RST_STREAM, 3) not in seen:
            frame = await peer.frame()
            seen.append((frame.kind, frame.stream_id))
        assert (f.DATA, 1) in seen  # its Close
        assert (f.RST_STREAM, 1) not in seen
        await asyncio.sleep(SOON_S)
        peer.send(f.data(1, close_frame(1000), end_stream=True))
        assert f.RST_STREAM not in [frame.kind for frame in await peer.until_eof()]

    async with RawServer(script, ENABLED) as server:
        async with Session(f"http://127.0.0.1:{server.port}") as session:
            ws = await session.websocket()
            await session.tunnel("t")
        assert ws.close_code == 1000


async def test_an_upload_that_is_no_longer_wanted_ends():
    """RFC 9113 section 8.1: NO_ERROR behind a whole response. What waits to be sent will not leave."""

    async def script(peer):
        await answered(peer, end_stream=True)
        peer.send(f.rst_stream(1, f.NO_ERROR))
        await peer.until_eof()

    async def body():
        while True:
            yield bytes(100_000)

    async with RawServer(script) as server:
        async with Session(f"http://127.0.0.1:{server.port}") as session:
            response = await session.request("POST", "/", body=body())
            assert response.status == 200 and await response.read() == b""
            async with asyncio.timeout(5):
                while session._tasks:
                    await asyncio.sleep(0.01)
