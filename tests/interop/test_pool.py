"""A pool before HAProxy: its limit on streams, and what it says when it leaves."""

import asyncio
from functools import partial

import pytest

from h2ws_fast import Pool
from tests.support.programs import Echo
from tests.support.proxies import haproxy
from tests.support.within import within

run = partial(within, 30)


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """HTTP/2 in cleartext, two streams a connection."""
    settings = "tune.h2.max-concurrent-streams 2"
    with Echo("--cleartext") as server:
        with haproxy(server.port, tmp_path_factory.mktemp("proxy"), settings=settings) as ports:
            yield ports[1]


def test_streams_wait_for_the_proxys_limit(port):
    uri = f"ws://127.0.0.1:{port}/"

    async def main():
        async with Pool(http="h2", connections_per_origin=2) as pool:
            sockets = [await pool.websocket(uri) for _ in range(4)]
            assert len({ws.wire for ws in sockets}) == 2
            waiting = [asyncio.ensure_future(pool.websocket(uri)) for _ in range(3)]
            await asyncio.sleep(0.1)
            assert not any(task.done() for task in waiting)
            for number, ws in enumerate(sockets):
                await ws.send(str(number))
                assert await ws.recv() == str(number)
                await ws.close()
            for task in waiting:
                ws = await task
                await ws.send("there")
                assert await ws.recv() == "there"
            stats = pool.stats()
            assert (stats["opened"], stats["waiting"], stats["streams"]) == (2, 0, 3)

    run(main())
