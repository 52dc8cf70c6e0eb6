"""What a client still sends, or does not, behind an answer that is complete."""

import asyncio
import time

import pytest

from h2ws_fast.aio.server import remainder
from tests.asgi.test_http import answering
from tests.support import frames as f

TUNNEL = [
    (":method", "CONNECT"),
    (":protocol", "bytes"),
    (":scheme", "http"),
    (":authority", "a"),
    (":path", "/"),
]


@pytest.fixture
def patience(monkeypatch):
    monkeypatch.setattr(remainder, "PATIENCE_S", 0.2)


async def until_reset(client, stream_id=1):
    while True:
        frame = await client.frame()
        assert frame is not None, "the connection ended"
        if frame.kind == f.RST_STREAM:
            assert frame.stream_id == stream_id
            return frame.error_code


@pytest.mark.parametrize("status", [413, 204, 500])
async def test_a_request_that_does_not_end(ours, patience, status):
    async def fail(scope, receive, send):
        raise LookupError("a bug")

    async with ours.serve(fail if status == 500 else answering(status), lifespan="off"):
        client = await ours.client()
        client.ask(method="POST", body=b"begun")
        answer = await client.answer()
        assert (answer.status, answer.end) == (status, f.END_STREAM)
        assert await until_reset(client) == f.NO_ERROR
        assert (await client.get(stream_id=3)).status == status
        client.close()


async def test_a_request_that_ends_in_time_is_not_reset(ours, patience):
    async with ours.serve(answering(), lifespan="off"):
        client = await ours.client()
        client.ask(method="POST", body=b"begun")
        assert (await client.answer()).status == 200
        client.send(f.data(1, b"ended", end_stream=True))
        await asyncio.sleep(0.3)
        assert (await client.get(stream_id=3)).status == 200
        client.close()
    assert not [frame for frame in client.frames if frame.kind == f.RST_STREAM]


async def test_a_request_that_never_ends(ours, monkeypatch):
    monkeypatch.setattr(remainder, "PATIENCE", 30000)
    async with ours.serve(answering(), lifespan="off"):
        client = await ours.client()
        client.ask(method="POST", body=b"begun")
        assert (await client.answer()).status == 200
        client.send(f.data(1, bytes(16000)))
        assert (await client.get(stream_id=3)).status == 200
        client.send(f.data(1, bytes(16000)))
        assert await until_reset(client) == f.NO_ERROR
        client.close()


async def test_the_reset_waits_for_the_answer(ours, patience):
    async with ours.serve(answering(body=b"x" * 100), lifespan="off"):
        client = await ours.client((f.INITIAL_WINDOW_SIZE, 60))
        client.ask(method="POST", body=b"begun")
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "200"
        body = (await client.expect(f.DATA, 1)).content
        await asyncio.sleep(0.5)
        client.send(f.window_update(1, 100))
        frame = await client.expect(f.DATA, 1)
        assert (body + frame.content, frame.end_stream) == (b"x" * 100, True)
        assert await until_reset(client) == f.NO_ERROR
        client.close()


async def test_the_shutdown_does_not_wait_for_it(ours):
    async with ours.serve(answering(413), lifespan="off"):
        client = await ours.client()
        client.ask(method="POST", body=b"begun")
        assert (await client.answer()).status == 413

        async def listen():
            codes = []
            while (frame := await client.frame()) is not None:
                if frame.kind == f.PING and not frame.ack:
                    client.send(f.ping(frame.payload, ack=True))
                if frame.kind == f.RST_STREAM:
                    codes.append(frame.error_code)
            return codes

        listening = asyncio.ensure_future(listen())
        begun = time.monotonic()
    assert time.monotonic() - begun < 1.9  # what is given up takes two seconds, or five
    assert await listening == [f.NO_ERROR]
    client.close()


async def test_a_request_that_was_turned_away(within, patience):
    async with within.serve(answering(), lifespan="off", limit_concurrency=1):
        client = await within.client()
        client.ask(method="POST", body=b"begun")
        answer = await client.answer()
        assert (answer.status, answer.body) == (503, b"Service Unavailable")
        assert await until_reset(client) == f.NO_ERROR
        client.close()


@pytest.mark.parametrize("how", ["close", "return"])
async def test_a_tunnel_whose_client_does_not_end(ours, patience, how):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "tunnel.accept"})
        if how == "close":
            await send({"type": "tunnel.close"})

    app.h2ws_fast_tunnels = {"bytes"}
    async with ours.serve(app, lifespan="off"):
        client = await ours.client()
        client.headers(1, TUNNEL)
        answer = await client.answer()
        assert (answer.status, answer.end) == (200, f.END_STREAM)
        assert await until_reset(client) == f.CANCEL
        client.close()


@pytest.mark.parametrize("begun", [None, 200, 204])
async def test_a_task_that_is_left_behind_hears_of_the_end(ours, begun):
    left = []

    async def app(scope, receive, send):
        await receive()
        left.append(asyncio.ensure_future(receive()))
        await asyncio.sleep(0)
        if begun is not None:
            await send({"type": "http.response.start", "status": begun, "headers": []})
        raise LookupError("a bug")

    async with ours.serve(app, lifespan="off"):
        client = await ours.client()
        await client.get()
        message = await asyncio.wait_for(left[0], 2)
        client.close()
    assert message == {"type": "http.disconnect"}
