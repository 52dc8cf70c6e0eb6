"""What an idle WebSocket costs, beyond what its application holds."""

import asyncio
import gc
import tracemalloc

import pytest

from h2ws_fast import COMPILED
from h2ws_fast.asgi import serve
from tests.support import frames as f
from tests.support.asgi import Client

N = 500
ALLOWED = 1536


async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def scope(n):
    """As small as a WebSocket's may be."""
    return {
        "type": "websocket",
        "asgi": None,
        "http_version": "2",
        "server": None,
        "client": None,
        "scheme": "ws",
        "root_path": "",
        "path": f"/{n}",
        "raw_path": b"/%d" % n,
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"sec-websocket-version", b"13")],
        "state": {},
        "extensions": {"websocket.http.response": {}},
        "subprotocols": [],
    }


class Alone:
    """What runs an application and does nothing else: one object, and a future."""

    __slots__ = ("told",)

    def __init__(self):
        self.told = False

    async def receive(self):
        if self.told:
            await asyncio.get_running_loop().create_future()
        self.told = True
        return {"type": "websocket.connect"}

    async def send(self, message):
        pass


async def measure(begin):
    """Octets that each of N more of them holds."""
    await begin(range(10))
    gc.collect()
    tracemalloc.start(1)
    try:
        before = tracemalloc.get_traced_memory()[0]
        await begin(range(10, 10 + N))
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / N
    finally:
        tracemalloc.stop()


@pytest.mark.measures
@pytest.mark.skipif(not COMPILED, reason="the pure twin's objects are larger")
async def test_an_idle_websocket():
    tasks = []

    async def begin_alone(numbers):
        loop = asyncio.get_running_loop()
        for n in numbers:
            each = Alone()
            tasks.append(loop.create_task(app(scope(n), each.receive, each.send), name="one"))
        await asyncio.sleep(0.05)

    held = await measure(begin_alone)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)

    async with serve(app, "127.0.0.1", 0, lifespan="off", close_timeout=0.2) as server:
        client = await Client.connect(server.sockets[0].getsockname()[1])

        async def begin(numbers):
            for n in numbers:
                await client.websocket(2 * n + 1, f"/{n}")
            client.frames.clear()
            client.send(f.ping())
            await client.frame()
            client.frames.clear()

        total = await measure(begin)
        client.close()
    assert total - held < ALLOWED, (total, held)
