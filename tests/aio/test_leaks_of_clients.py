"""What leads clients to servers leaves nothing behind: a Pool, redirects, proxies.

How often, and which of them: see `test_leaks.py`.
"""

import asyncio
import contextlib
import socket

import pytest

from h2ws_fast import (
    ConnectionClosed,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
    Pool,
    PoolFull,
    ProxyError,
    Response,
    SecurityError,
    StreamReset,
    connect,
)
from h2ws_fast.engine import Settings
from tests.support.again import flat
from tests.support.forwarding import ConnectProxy

from .test_leaks import SETTINGS, part, refused

pytestmark = [pytest.mark.measures, pytest.mark.timeout(400)]

# One port, which nobody else gets meanwhile: uvloop remembers some hundred that it was led to.
TAKEN = socket.socket()
TAKEN.bind(("127.0.0.1", 0))  # and never listens
NOBODY = f"ws://127.0.0.1:{TAKEN.getsockname()[1]}/"

PLACES = {"/moved": "/", "/round": "/round", "/moved-to-no": "/no"}


async def echo(ws):
    if ws.request.path == "/gone":
        ws.abort()
        return
    async for message in ws:
        await ws.send(message)


async def on_request(request):
    return Response(200, {}, await request.read())


def decide(what, request):
    path = request.path
    if path in PLACES:
        return Response(302, {"location": PLACES[path]})
    return Response(403, {}, "no") if path == "/no" else None


async def check(ws):
    await ws.send("hello")
    assert await ws.recv() == "hello"


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


# -- a Pool ------------------------------------------------------------------------------------------

POOLS = {}


def of_a_pool(function):
    POOLS[function.__name__] = function
    return function


@of_a_pool
async def used(place, server, pool):
    async with connect(place.ws(), pool=pool) as ws:
        await check(ws)
        response = await pool.request("POST", place.http, body=b"octets")
        assert await response.read() == b"octets"


@of_a_pool
async def closed_under_what_is_open(place, server, pool):
    ws = await pool.websocket(place.ws())
    tasks = [asyncio.ensure_future(pool.websocket(place.ws())) for _ in range(3)]
    await until(lambda: pool.stats()["waiting"] == 2)
    await pool.close()
    for each in [ws, *await asyncio.gather(*tasks, return_exceptions=True)]:
        if not isinstance(each, Exception):
            await each.wait_closed()


@of_a_pool
async def cancelled_while_it_waits(place, server, pool):
    one, two = [await pool.websocket(place.ws()) for _ in range(2)]
    waiting = asyncio.ensure_future(pool.websocket(place.ws()))
    await until(lambda: pool.stats()["waiting"] == 1)
    waiting.cancel()
    await asyncio.wait([waiting])
    await refused(TimeoutError, pool.request("GET", place.http, open_timeout=0.001))
    await check(one)
    await two.close()


@of_a_pool
async def cancelled_while_it_connects(place, server, pool):
    waiting = asyncio.ensure_future(pool.websocket(place.ws()))
    while pool.stats()["dialling"] == 0:
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])


@of_a_pool
async def full(place, server, pool):
    one, two = [await pool.websocket(place.ws()) for _ in range(2)]
    waiting = [asyncio.ensure_future(pool.websocket(place.ws())) for _ in range(2)]
    await until(lambda: pool.stats()["waiting"] == 2)
    await refused(PoolFull, pool.websocket(place.ws()))
    await one.close()
    await two.close()
    for ws in await asyncio.gather(*waiting):
        await check(ws)


@of_a_pool
async def led_elsewhere_by_goaway(place, server, pool):
    ws = await pool.websocket(place.ws())
    for wire in server._wires:
        wire.leave()
    await until(lambda: not ws.wire.session.usable)
    async with connect(place.ws(), pool=pool) as other:
        await check(other)
    with contextlib.suppress(ConnectionClosed):
        await ws.recv()


@of_a_pool
async def whose_connection_is_lost(place, server, pool):
    ws = await pool.websocket(place.ws())
    ws.wire.abort()
    await ws.wait_closed()
    async with connect(place.ws(), pool=pool) as other:
        await check(other)


@of_a_pool
async def whose_websockets_are_refused_and_reset(place, server, pool):
    await refused(InvalidStatus, pool.websocket(place.ws("/no")))
    ws = await pool.websocket(place.ws("/gone"))
    await ws.wait_closed()
    assert ws.close_code == 1006


@of_a_pool
async def that_finds_nobody(place, server, pool):
    await refused(OSError, pool.websocket(NOBODY))


@pytest.mark.parametrize("name", part(POOLS))
async def test_pools(clear, name):
    async def attempt():
        async with Pool(max_waiting=2, ping_interval=None, close_timeout=1) as pool:
            await POOLS[name](clear, server, pool)

    settings = Settings(max_concurrent_streams=2)
    async with clear.serve(
        echo,
        on_request=on_request,
        process_request=decide,
        settings=settings,
        ping_interval=None,
        close_timeout=0.05,
    ) as server:
        # asyncio keeps up to one block of each of the first few hundred that run several tasks.
        await flat(attempt, server, blocks=2)


@pytest.mark.parametrize("http", part(["h2", "h1"]))
async def test_one_pool_for_long(clear, http):
    async with (
        clear.serve(echo, http=(http,), ping_interval=None, settings=SETTINGS) as server,
        Pool(ping_interval=None, settings=SETTINGS) as pool,
    ):

        async def attempt():
            async with connect(clear.ws(), pool=pool) as ws:
                await check(ws)
            with contextlib.suppress(StreamReset):
                ws = await pool.websocket(clear.ws("/gone"))
                await ws.wait_closed()

        await flat(attempt)
        await until(lambda: pool.stats()["streams"] == 0)
        await until(lambda: len(server._wires) == (http == "h2"))


# -- redirects and proxies ---------------------------------------------------------------------------

WAYS = {}


def way(proxy=None, **options):
    def put(function):
        WAYS[function.__name__] = function, proxy, options
        return function

    return put


async def opens(place, path="/", **options):
    async with connect(place.ws(path), ssl=place.client_ssl, ping_interval=None, **options) as ws:
        await check(ws)


@way()
async def moved(place, proxy):
    await opens(place, "/moved")


@way()
async def moved_round_and_round(place, proxy):
    await refused(SecurityError, opens(place, "/round"))


@way()
async def moved_and_refused(place, proxy):
    await refused(InvalidStatus, opens(place, "/moved-to-no", http="h1"))
    await refused(InvalidStatus, opens(place, "/moved-to-no", http="h2"))


@way(ConnectProxy, user="me", password="it")
async def unknown_to_the_proxy(place, proxy):
    await refused(InvalidProxyStatus, opens(place, proxy=proxy.uri()))


@way(ConnectProxy, answers=b"SSH-2.0-it\r\n")
async def behind_what_is_no_proxy(place, proxy):
    await refused(InvalidProxyMessage, opens(place, proxy=proxy.uri()))


@way(ConnectProxy)
async def to_nobody_by_a_proxy(place, proxy):
    await refused(ProxyError, connect(NOBODY, proxy=proxy.uri())._connect())


@way(ConnectProxy, answers=b"")
async def cancelled_at_the_proxy(place, proxy):
    heads = len(proxy.heads)
    opening = asyncio.ensure_future(opens(place, proxy=proxy.uri()))
    await until(lambda: len(proxy.heads) > heads)
    opening.cancel()
    await asyncio.wait([opening])


@pytest.mark.parametrize("name", part(WAYS))
async def test_ways(place, name):
    go, kind, options = WAYS[name]

    async def attempt():
        await go(place, proxy)
        if proxy is not None:
            proxy.asked.clear()
            proxy.heads.clear()

    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            place.serve(echo, process_request=decide, ping_interval=None)
        )
        proxy = None if kind is None else await stack.enter_async_context(kind(**options))
        await flat(attempt, server)
