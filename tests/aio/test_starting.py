"""A server before it serves."""

import asyncio

import pytest

from h2ws_fast import connect, serve


async def nothing(ws):
    await ws.wait_closed()


async def test_nobody_waits_for_a_server_that_was_not_started():
    server = serve(nothing, "127.0.0.1", 0)
    with pytest.raises(RuntimeError, match="not started: await it first"):
        await server.wait_closed()
    server.close()  # no work, as for asyncio's
    assert not server.is_serving() and server.sockets == ()


async def test_a_server_is_started_once():
    server = serve(nothing, "127.0.0.1", 0)

    async def start():
        return await server

    first, second = await asyncio.gather(start(), start(), return_exceptions=True)
    assert first is server and isinstance(second, RuntimeError)
    assert "another task" in str(second)
    assert await server is server and len(server.sockets) == 1
    port = server.sockets[0].getsockname()[1]
    (await connect(f"ws://127.0.0.1:{port}", proxy=None)).abort()
    server.close()
    await server.wait_closed()


async def test_what_could_not_listen_may_try_again():
    async with serve(nothing, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        server = serve(nothing, "127.0.0.1", port)
        with pytest.raises(OSError):
            await server
    async with server:
        assert server.sockets[0].getsockname()[1] == port
