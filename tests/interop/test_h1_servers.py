"""Our client against servers of others that speak HTTP/1.1 alone: ws and aiohttp."""

import asyncio
import contextlib
import random
import subprocess
from functools import partial
from pathlib import Path

import pytest

from h2ws_fast import ConnectionClosedError, InvalidStatus, connect
from tests.interop.demands import TEXT
from tests.support.programs import module, node_module, program, read_line, running
from tests.support.within import within

HERE = Path(__file__).parent
MESSAGES = ["", "naïve ☃ 🎉", "x" * 100_000, b"", random.Random(6455).randbytes(1 << 20), TEXT]


@contextlib.asynccontextmanager
async def ws():
    node_module("ws", HERE)
    command = [program("node", "nodejs"), str(HERE / "node_ws_server.js")]
    with running(command, stdout=subprocess.PIPE, bufsize=0) as process:
        yield f"ws://127.0.0.1:{read_line(process).strip()}", "by ws", 4321


@contextlib.asynccontextmanager
async def aiohttp():
    module("aiohttp")
    from aiohttp import WSMsgType, web

    async def serve(request):
        if request.path == "/no":
            return web.Response(status=403, text="no!")
        ws = web.WebSocketResponse(protocols=["a"], max_msg_size=2**24)
        await ws.prepare(request)
        if request.path == "/close":
            await ws.close(code=4001, message=b"by aiohttp")
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                await ws.send_str(message.data)
            else:
                await ws.send_bytes(message.data)
        return ws

    application = web.Application()
    application.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield (
            f"ws://127.0.0.1:{runner.addresses[0][1]}",
            "by aiohttp",
            1000,
        )  # its answer to any Close
    finally:
        await runner.cleanup()


def octets(ws):
    return [ws.connection.stats()[name] for name in ("octets_sent", "octets_received")]


@pytest.mark.parametrize("server", [ws, aiohttp])
@pytest.mark.parametrize("http", ["auto", "h1"])
def test_a_client_of_ours(server, http):
    connect_to = partial(connect, http=http, proxy=None, max_size=2**24)

    async def talk():
        async with server() as (uri, reason, answer):
            for compression in ("deflate", None):
                async with connect_to(uri, subprotocols=["a", "b"], compression=compression) as ws:
                    assert (ws.http_version, ws.subprotocol) == ("1.1", "a")
                    assert (ws.compression is None) == (compression is None)
                    for message in MESSAGES:
                        before = octets(ws)
                        await ws.send(message)
                        assert await ws.recv() == message
                    # Of the last one.
                    for now, was in zip(octets(ws), before, strict=True):
                        small = now - was < len(TEXT) / 4
                        assert small == (compression is not None)
                    assert await (await ws.ping()) >= 0
                    await ws.close(4321, "bye")
                assert ws.close_code == answer
            async with connect_to(f"{uri}/close") as ws:
                with pytest.raises(ConnectionClosedError) as caught:
                    await ws.recv()
                assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, reason)
            with pytest.raises(InvalidStatus) as caught:
                await connect_to(f"{uri}/no")
            assert (caught.value.response.status, caught.value.response.body) == (403, b"no!")
            many = await asyncio.gather(*(connect_to(f"{uri}/{i}") for i in range(20)))
            for number, ws in enumerate(many):
                await ws.send(f"to {number}")
            assert [await ws.recv() for ws in many] == [f"to {i}" for i in range(20)]
            await asyncio.gather(*(ws.close() for ws in many))

    within(60, talk())
