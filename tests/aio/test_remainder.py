"""What a client leaves open behind an answer of `serve` that is complete."""

import asyncio
import time

import pytest

from h2ws_fast import Response, StreamReset
from h2ws_fast.aio.server import remainder
from tests.support import frames as f
from tests.support.raw import RawClient

POST = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
GET = [(":method", "GET"), *POST[1:]]
TUNNEL = [(":method", "CONNECT"), (":protocol", "bytes"), *POST[1:]]
SOON_S = 0.2


@pytest.fixture
def patience(monkeypatch):
    monkeypatch.setattr(remainder, "PATIENCE_S", SOON_S)


async def too_large(request):
    return Response(413, body=b"too large")


async def fail(request):
    raise LookupError("a bug")


async def answer(client, stream_id=1):
    """The status of an answer, and its body, read to its end."""
    head = await client.expect(f.HEADERS, stream_id)
    body, ended = b"", head.end_stream
    while not ended:
        frame = await client.expect(f.DATA, stream_id)
        body, ended = body + frame.content, frame.end_stream
    return head.get(":status"), body


async def ask(client, stream_id, status):
    """The connection lives on."""
    client.headers(stream_id, GET, end_stream=True)
    assert (await answer(client, stream_id))[0] == status


async def reset(client, stream_id=1):
    return (await client.expect(f.RST_STREAM, stream_id)).error_code


@pytest.mark.parametrize("on_request", [too_large, fail, None])
async def test_a_request_that_does_not_end(clear, patience, on_request):
    status = {too_large: "413", fail: "500", None: "404"}[on_request]

    async def idle(ws):
        await ws.wait_closed()

    async with clear.serve(idle, on_request=on_request) as server:
        client = await RawClient.connect(clear.port)
        client.headers(1, POST)
        client.send(f.data(1, b"begun"))
        assert (await answer(client))[0] == status
        (wire,) = server._wires
        assert wire.conn.open_streams == 1
        # RFC 9113 section 8.1: RST_STREAM(NO_ERROR) behind a complete response.
        assert await reset(client) == f.NO_ERROR
        assert wire.conn.open_streams == 0
        await ask(client, 3, status)
        client.close()


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("status", ["404", "200"])
async def test_a_request_that_process_request_sees(clear, patience, later, status):
    async def handler(ws):
        raise AssertionError("no WebSocket was asked for")

    def process_request(ws, request):
        return ws.respond(200) if status == "200" else None

    async def decide(ws, request):
        await asyncio.sleep(0.01)
        return process_request(ws, request)

    async with clear.serve(handler, process_request=decide if later else process_request):
        client = await RawClient.connect(clear.port)
        client.headers(1, POST)
        client.send(f.data(1, b"x" * 10_000))
        assert (await answer(client))[0] == status
        client.send(f.data(1, b"x" * 10_000))
        assert await reset(client) == f.NO_ERROR
        client.close()


async def test_a_request_that_there_is_no_room_for(clear, patience, monkeypatch):
    async with clear.serve(on_request=too_large, memory_budget=100_000) as server:
        client = await RawClient.connect(clear.port)
        monkeypatch.setattr(server.admission, "over_budget", lambda: True)
        client.headers(1, POST)
        client.send(f.data(1, b"x" * 10_000))
        assert (await answer(client))[0] == "503"
        client.send(f.data(1, b"x" * 10_000))
        assert await reset(client) == f.NO_ERROR
        client.close()


async def test_a_request_that_ends_in_time_is_not_reset(clear, patience):
    async with clear.serve(on_request=too_large):
        client = await RawClient.connect(clear.port)
        client.headers(1, POST)
        assert (await answer(client))[0] == "413"
        client.send(f.data(1, b"more"), f.data(1, b"", end_stream=True))
        await asyncio.sleep(1.5 * SOON_S)
        await ask(client, 3, "413")
        client.close()
    assert not [frame for frame in client.frames if frame.kind == f.RST_STREAM]


@pytest.mark.parametrize("on_request", [too_large, None])
async def test_a_request_that_never_ends(clear, monkeypatch, on_request):
    monkeypatch.setattr(remainder, "PATIENCE", 30000)
    status = "413" if on_request else "404"

    async def idle(ws):
        await ws.wait_closed()

    async with clear.serve(idle, on_request=on_request):
        client = await RawClient.connect(clear.port)
        client.headers(1, POST)
        assert (await answer(client))[0] == status
        client.send(f.data(1, bytes(16000)))
        await ask(client, 3, status)
        client.send(f.data(1, bytes(16000)))
        assert await reset(client) == f.NO_ERROR
        # Every octet was credited, those that were thrown away too.
        await ask(client, 5, status)
        client.close()


async def test_the_reset_waits_for_the_answer(clear, patience):
    async with clear.serve(on_request=too_large):
        client = await RawClient.connect(clear.port, (f.INITIAL_WINDOW_SIZE, 4))
        client.headers(1, POST)
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "413"
        body = (await client.expect(f.DATA, 1)).content
        await asyncio.sleep(2.5 * SOON_S)
        client.send(f.window_update(1, 100))
        frame = await client.expect(f.DATA, 1)
        assert (body + frame.content, frame.end_stream) == (b"too large", True)
        assert await reset(client) == f.NO_ERROR
        client.close()


async def test_the_shutdown_does_not_wait_for_it(clear):
    async with clear.serve(on_request=too_large, close_timeout=20):
        client = await RawClient.connect(clear.port)
        client.headers(1, POST)
        assert (await answer(client))[0] == "413"
        reading = asyncio.ensure_future(reset_before_the_end(client))
        begun = time.monotonic()
    assert time.monotonic() - begun < remainder.PATIENCE_S / 2
    assert await reading == f.NO_ERROR
    client.close()


async def reset_before_the_end(client):
    skipped = (f.WINDOW_UPDATE, f.SETTINGS, f.PING, f.GOAWAY)
    return (await client.expect(f.RST_STREAM, 1, skip=skipped)).error_code


async def test_a_tunnel_that_its_handler_left(clear, patience):
    read = []

    async def handler(tunnel):
        await tunnel.send(b"bye")
        read.append(asyncio.ensure_future(tunnel.recv()))
        await asyncio.sleep(0)

    async with clear.serve(tunnels={"bytes": handler}):
        client = await RawClient.connect(clear.port)
        client.headers(1, TUNNEL)
        assert await answer(client) == ("200", b"bye")
        client.send(f.data(1, b"unheard"))
        assert await reset(client) == f.CANCEL
        # Who still reads it hears of its end.
        with pytest.raises(Exception, match="reset by this end"):
            await asyncio.wait_for(read[0], 2)
        client.close()


async def test_a_connection_that_is_lost_meanwhile(clear, patience):
    async with clear.serve(on_request=too_large) as server:
        client = await RawClient.connect(clear.port)
        client.headers(1, POST)
        assert (await answer(client))[0] == "413"
        client.writer.transport.abort()
        await asyncio.sleep(1.5 * SOON_S)
        assert not server._wires


@pytest.mark.parametrize("version", ["2", "1.1"])
async def test_who_reads_on_behind_the_answer_is_told(clear, version):
    reading = []

    async def on_request(request):
        reading.append(asyncio.ensure_future(request.read()))
        await asyncio.sleep(0)
        return Response(200)

    async with clear.serve(on_request=on_request):
        if version == "2":
            client = await RawClient.connect(clear.port)
            client.headers(1, POST)
            client.send(f.data(1, b"half of it"))
            await answer(client)
            client.send(f.data(1, b"and the rest", end_stream=True))
            writer = client.writer
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", clear.port)
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 22\r\n\r\nhalf of it")
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"and the rest")
        with pytest.raises(StreamReset, match="was answered"):
            await reading[0]
        writer.close()
