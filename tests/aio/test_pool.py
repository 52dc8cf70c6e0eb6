"""`Pool`: connections that WebSockets and requests share, and what is done when one is over."""

import asyncio
import contextlib
import math

import pytest

from h2ws_fast import (
    AlpnError,
    ConnectionClosed,
    ExtendedConnectUnsupported,
    InvalidStatus,
    InvalidURI,
    LocalProtocolError,
    Pool,
    PoolFull,
    Response,
    Session,
    StreamReset,
    connect,
)
from h2ws_fast.aio.client.connections import MAX_WAITING, Connections
from h2ws_fast.aio.client.pool import MAX_TRIES
from h2ws_fast.engine import Limits, Settings
from tests.aio.conftest import Place
from tests.aio.test_client_h1 import Listener, accepted
from tests.support import frames as f
from tests.support.raw import RawServer

ENABLED = (f.ENABLE_CONNECT_PROTOCOL, 1)


async def echo(ws):
    async for message in ws:
        await ws.send(f"{ws.http_version} {message}")


async def say(request):
    if request.path == "/stops":
        return Response(200, {}, stop())
    return Response(200, {}, request.headers.get("authorization", "nobody"))


async def stop():
    yield b"first"
    await asyncio.sleep(60)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def check(ws, version="2"):
    await ws.send("there")
    assert await ws.recv() == f"{version} there"


@contextlib.asynccontextmanager
async def pooled(place, serve=None, **options):
    """A server and a pool for it."""
    serve = {"on_request": say} if serve is None else {"on_request": say, **serve}
    async with place.serve(echo, **serve) as server:
        async with Pool(ssl=place.client_ssl, **options) as pool:
            yield server, pool


@pytest.mark.row("9113-9.1-1")
async def test_all_of_one_origin_share_one_connection(place):
    async with pooled(place) as (server, pool):
        sockets = await asyncio.gather(*(pool.websocket(place.ws()) for _ in range(5)))
        for _ in range(3):
            response = await pool.request("GET", f"{place.http}/it")
            assert await response.read() == b"nobody"
        for ws in sockets:
            await check(ws)
        assert server.stats()["accepted"] == 1
        assert len(pool.websockets) == 5
        stats = pool.stats()
        assert (stats["connections"], stats["opened"], stats["streams"]) == (1, 1, 5)
        assert repr(pool) == "<Pool 1 connections>"
    assert {ws.close_code for ws in sockets} == {1000}


async def test_credentials_are_of_each_uri(clear):
    async with pooled(clear) as (server, pool):
        for login, expected in (("me:pw@", b"Basic bWU6cHc="), ("", b"nobody")):
            uri = clear.http.replace("//", f"//{login}")
            assert await (await pool.request("GET", uri)).read() == expected
        response = await pool.request(
            "GET", clear.http.replace("//", "//me:pw@"), headers={"Authorization": "Bearer it"}
        )
        assert await response.read() == b"Bearer it"
        ws = await pool.websocket(clear.ws().replace("//", "//me:pw@"))
        assert ws.request.headers["authorization"] == "Basic bWU6cHc="
        assert server.stats()["accepted"] == 1


async def test_streams_beyond_the_servers_limit_wait(clear):
    settings = {"settings": Settings(max_concurrent_streams=2)}
    async with pooled(clear, settings) as (server, pool):
        one, two = [await pool.websocket(clear.ws()) for _ in range(2)]
        three = asyncio.ensure_future(pool.websocket(clear.ws()))
        four = asyncio.ensure_future(pool.request("GET", clear.http))
        await until(lambda: pool.stats()["waiting"] == 2)
        await one.close()
        await check(await three)
        assert not four.done()
        with pytest.raises(TimeoutError):
            await pool.websocket(clear.ws(), open_timeout=0.05)
        with pytest.raises(TimeoutError):
            await pool.request("GET", clear.http, open_timeout=0.05)
        await two.close()
        assert await (await four).read() == b"nobody"
        assert pool.stats()["waiting"] == 0
        assert server.stats()["accepted"] == 1


async def test_no_limit_where_the_pool_has_one(clear):
    async with pooled(clear, {"settings": Settings(max_concurrent_streams=1)}) as (_, pool):
        one = await pool.websocket(clear.ws())
        pool._open_timeout = 0.05  # from here on: the connection itself has time enough
        waiting = [
            asyncio.ensure_future(each)
            for each in (
                connect(clear.ws(), pool=pool, open_timeout=None)._connect(),
                pool.websocket(clear.ws(), open_timeout=math.inf),
                pool.request("GET", clear.http, open_timeout=math.inf),
            )
        ]
        await until(lambda: pool.stats()["waiting"] == 3)
        with pytest.raises(TimeoutError):
            await pool.websocket(clear.ws())
        await one.close()
        for each in waiting[:2]:
            ws = await each
            await check(ws)
            await ws.close()
        assert await (await waiting[2]).read() == b"nobody"


@pytest.mark.parametrize("each", [2, 3])
async def test_striping(place, each):
    async with pooled(place, connections_per_origin=each) as (server, pool):
        sockets = await asyncio.gather(*(pool.websocket(place.ws()) for _ in range(2 * each)))
        for ws in sockets:
            await check(ws)
        wires = [ws.wire for ws in sockets]
        assert {wires.count(wire) for wire in wires} == {2}
        assert server.stats()["accepted"] == len(set(wires)) == each
        # What has nothing to do is used first.
        for ws in [ws for ws in sockets if ws.wire is wires[0]]:
            await ws.close()
        await until(lambda: pool.stats()["streams"] == 2 * each - 2)
        assert (await pool.websocket(place.ws())).wire is wires[0]


async def test_one_after_the_other_needs_one_connection(clear):
    async with pooled(clear, connections_per_origin=4) as (server, pool):
        for _ in range(5):
            assert await (await pool.request("GET", clear.http)).read() == b"nobody"
            await until(lambda: not pool.stats()["streams"])
        assert server.stats()["accepted"] == 1


async def test_striped_streams_wait_for_whichever_is_free(clear):
    settings = {"settings": Settings(max_concurrent_streams=2)}
    async with pooled(clear, settings, connections_per_origin=2) as (server, pool):
        sockets = [await pool.websocket(clear.ws()) for _ in range(4)]
        waiting = [asyncio.ensure_future(pool.websocket(clear.ws())) for _ in range(4)]
        await until(lambda: pool.stats()["waiting"] >= 4)
        for ws in (sockets[1], sockets[0]):
            await ws.close()
        await until(lambda: sum(task.done() for task in waiting) == 2)
        waiting[3].cancel()
        await sockets[2].close()
        await until(lambda: sum(task.done() for task in waiting) == 4)
        opened = [await task for task in waiting[:3]]
        for ws in (sockets[3], *opened):
            await check(ws)
        assert server.stats()["accepted"] == 2
        assert pool.stats()["waiting"] == 0


async def test_a_free_stream_is_taken_though_others_wait_for_it():
    # Nothing else happens on the connections that could wake anybody once more.
    async def script(peer):
        peers.append(peer)
        while (frame := await peer.frame()) is not None:
            if frame.kind == f.HEADERS:
                peer.headers(frame.stream_id, [(b":status", b"200")])

    peers = []
    async with RawServer(script, ENABLED, (f.MAX_CONCURRENT_STREAMS, 1)) as server:
        uri = f"ws://127.0.0.1:{server.port}/"
        async with Pool(http="h2", connections_per_origin=2, close_timeout=0.1) as pool:
            for _ in range(2):
                await pool.websocket(uri)
            waiting = [asyncio.ensure_future(pool.websocket(uri)) for _ in range(3)]
            await asyncio.sleep(0.05)
            for count, stream_id in ((1, 1), (2, 3)):
                peers[0].send(f.rst_stream(stream_id, f.CANCEL))
                await until(lambda: sum(task.done() for task in waiting) == count)  # noqa: B023
            peers[1].send(f.rst_stream(1, f.CANCEL))
            await until(lambda: all(task.done() for task in waiting))
            assert len(peers) == 2


async def test_a_connection_too_few_is_no_failure(clear):
    # The second one is to spread the load: where it cannot be had, the first carries all.
    async with pooled(clear, {"max_connections_per_address": 1}, connections_per_origin=2) as (
        _,
        pool,
    ):
        sockets = [await pool.websocket(clear.ws()) for _ in range(3)]
        assert len({ws.wire for ws in sockets}) == 1


@pytest.mark.row("9113-8.7-1")
async def test_goaway_moves_streams_elsewhere():
    peers = []

    async def script(peer):
        peers.append(peer)
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, [(b":status", b"200")])
        if len(peers) == 1:
            await peer.expect(f.HEADERS, 3)
            peer.send(f.goaway(1))
        await peer.until_eof()

    async with RawServer(script, ENABLED) as server:
        uri = f"ws://127.0.0.1:{server.port}/"
        async with Pool(http="h2", close_timeout=0.1) as pool:
            first = await pool.websocket(uri)
            second = await pool.websocket(uri)  # above the last stream of GOAWAY: opened again
            assert len(peers) == 2 and second.wire is not first.wire
            assert pool.stats()["retried"] == 1
            assert pool.stats()["leaving"] == 1
            # What is open goes on.
            peers[0].ws(1, 1, b"still here")
            assert await first.recv() == "still here"
            assert first.wire.conn.open_streams == 1
            peers[0].close_frame(1, 1000, end_stream=True)
            with pytest.raises(ConnectionClosed):
                await first.recv()
            await until(lambda: pool.stats()["connections"] == 1)


async def test_goaway_while_streams_wait():
    peers = []

    async def script(peer):
        peers.append(peer)
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, [(b":status", b"200")])
        await peer.until_eof()

    async with RawServer(script, ENABLED, (f.MAX_CONCURRENT_STREAMS, 1)) as server:
        uri = f"ws://127.0.0.1:{server.port}/"
        async with Pool(http="h2", close_timeout=0.1) as pool:
            await pool.websocket(uri)
            waiting = asyncio.ensure_future(pool.websocket(uri))
            await until(lambda: pool.stats()["waiting"] == 1)
            peers[0].send(f.goaway(2**31 - 1))
            await waiting
            assert len(peers) == 2
            assert pool.stats()["moved"] == 1


@pytest.mark.row("9113-8.7-1")
@pytest.mark.parametrize("refusals", [1, MAX_TRIES - 1, MAX_TRIES])
@pytest.mark.parametrize("kind", ["websocket", "request"])
async def test_refused_streams_are_tried_again(refusals, kind):
    async def script(peer):
        for at in range(min(refusals + 1, MAX_TRIES)):
            head = await peer.expect(f.HEADERS, 2 * at + 1, skip=(*BESIDE, f.DATA))
            seen.append(head)
            if at < refusals:
                peer.send(f.rst_stream(head.stream_id, f.REFUSED_STREAM))
            else:
                peer.headers(head.stream_id, [(b":status", b"200")])
        await peer.until_eof()

    seen = []
    async with RawServer(script, ENABLED) as server:
        uri = f"ws://127.0.0.1:{server.port}/"
        async with Pool(http="h2", close_timeout=0.1) as pool:

            def ask():
                return (
                    pool.websocket(uri)
                    if kind == "websocket"
                    else pool.request("POST", uri, body="it")
                )

            if refusals < MAX_TRIES:
                await ask()
            else:
                with pytest.raises(StreamReset) as caught:
                    await ask()
                assert caught.value.retryable
            assert pool.stats()["retried"] == min(refusals, MAX_TRIES - 1)
            assert len(seen) == min(refusals + 1, MAX_TRIES)
            assert pool.stats()["opened"] == 1


BESIDE = (f.WINDOW_UPDATE, f.SETTINGS, f.PING)


async def pieces():
    yield b"it"


@pytest.mark.row("9113-8.7-1")
@pytest.mark.parametrize(
    "code, body",
    [
        (f.CANCEL, b"it"),
        (f.INTERNAL_ERROR, b"it"),
        (f.PROTOCOL_ERROR, b""),
        (f.REFUSED_STREAM, pieces),
    ],
)
async def test_nothing_else_is_tried_again(code, body):
    async def script(peer):
        seen.append(await peer.expect(f.HEADERS, 1))
        peer.send(f.rst_stream(1, code))
        seen.extend(frame for frame in await peer.until_eof() if frame.kind == f.HEADERS)

    seen = []
    async with RawServer(script, ENABLED) as server:
        uri = f"http://127.0.0.1:{server.port}/"
        async with Pool(http="h2", close_timeout=0.1) as pool:
            with pytest.raises(StreamReset) as caught:
                await pool.request("POST", uri, body=body() if callable(body) else body)
            assert caught.value.error_code == code
            assert pool.stats()["retried"] == 0
    assert len(seen) == 1


@pytest.mark.row("9113-5.4.3-1")
async def test_a_lost_connection_repeats_nothing():
    async def script(peer):
        seen.append(await peer.expect(f.HEADERS, 1))

    seen = []
    async with RawServer(script, ENABLED) as server:
        uri = f"ws://127.0.0.1:{server.port}/"
        async with Pool(http="h2") as pool:
            for ask in (pool.websocket(uri), pool.request("GET", uri)):
                with pytest.raises(StreamReset):
                    await ask
            assert len(seen) == 2
            assert pool.stats()["retried"] == 0


@pytest.mark.parametrize(
    "options", [{"idle_timeout": 0.1}, {"limits": Limits(client_idle_timeout_s=0.1)}]
)
async def test_idle_connections_end(clear, options):
    async with pooled(clear, **options) as (server, pool):
        ws = await pool.websocket(clear.ws())
        await asyncio.sleep(0.3)
        assert server.stats()["connections"] == pool.stats()["connections"] == 1
        await ws.close()
        await until(lambda: server.stats()["connections"] == pool.stats()["connections"] == 0)
        await check(await pool.websocket(clear.ws()))


@contextlib.asynccontextmanager
async def servers(count):
    async with contextlib.AsyncExitStack() as stack:
        places = [Place() for _ in range(count)]
        for place in places:
            place.server = await stack.enter_async_context(place.serve(echo, on_request=say))
        yield places


async def test_idle_connections_are_bounded():
    async with servers(3) as places, Pool(max_idle=1) as pool:
        sockets = [await pool.websocket(place.ws()) for place in places]
        assert pool.stats()["connections"] == 3
        for ws in sockets:
            await ws.close()
        await until(lambda: pool.stats()["connections"] == 1)
        async with Pool(max_idle=0) as none:
            assert await (await none.request("GET", places[0].http)).read() == b"nobody"
            await until(lambda: none.stats()["connections"] == 0)


async def test_connections_are_bounded():
    async with servers(3) as places, Pool(max_connections=2) as pool:
        one, two = [await pool.websocket(place.ws()) for place in places[:2]]
        three = asyncio.ensure_future(pool.websocket(places[2].ws()))
        await until(lambda: pool.stats()["waiting"] == 1)
        with pytest.raises(TimeoutError):
            await pool.request("GET", places[2].http, open_timeout=0.05)
        await check(one)
        await two.close()
        await check(await three)
        assert pool.stats()["opened"] == 3
        # One that is idle makes room at once.
        await one.close()
        await until(lambda: pool.stats()["streams"] == 1)
        await check(await pool.websocket(places[1].ws()))


async def test_what_waits_is_bounded(clear):
    settings = {"settings": Settings(max_concurrent_streams=1)}
    async with pooled(clear, settings, max_waiting=2) as (_, pool):
        ws = await pool.websocket(clear.ws())
        waiting = [asyncio.ensure_future(pool.websocket(clear.ws())) for _ in range(2)]
        await until(lambda: pool.stats()["waiting"] == 2)
        for ask in (pool.websocket(clear.ws()), pool.request("GET", clear.http)):
            with pytest.raises(PoolFull) as caught:
                await ask
            assert caught.value.limit == "max_waiting" and caught.value.retryable
        assert pool.stats()["refused"] == {"max_waiting": 2}
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        assert pool.stats()["waiting"] == 0
        await check(ws)
    assert MAX_WAITING == 10_000


async def test_what_waits_on_a_session_is_bounded(clear):
    settings = Settings(max_concurrent_streams=1)
    async with clear.serve(echo, settings=settings, on_request=say):
        async with Session(clear.http, max_waiting=2) as session:
            ws = await session.websocket("/")
            waiting = [asyncio.ensure_future(session.websocket("/")) for _ in range(2)]
            await until(lambda: session.stats()["waiting"] == 2)
            for ask in (session.websocket("/"), session.request("GET", "/")):
                with pytest.raises(PoolFull, match="max_waiting is reached"):
                    await ask
            assert session.stats()["refused"] == {"max_waiting": 2}
            await check(ws)
            for task in waiting:  # one after the other has the one stream
                await ws.close()
                ws = await task
                await check(ws)
            assert session.stats()["waiting"] == 0
    assert Session("http://a.example")._max_waiting == MAX_WAITING
    assert Session("http://a.example", max_waiting=None)._max_waiting > 2**62
    for wrong, error in ((-1, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="max_waiting"):
            Session("http://a.example", max_waiting=wrong)


async def test_what_waits_for_settings_is_bounded():
    async def script(peer):
        await peer.until_eof()

    async with RawServer(script, greet=False) as server:
        session = Session(f"http://127.0.0.1:{server.port}", max_waiting=1)
        await session.connect()
        waiting = asyncio.ensure_future(session.websocket("/"))
        await until(lambda: session.stats()["waiting"] == 1)
        with pytest.raises(PoolFull):
            await session.websocket("/")
        waiting.cancel()
        await asyncio.wait([waiting])
        session._abort()
        await session.wait_closed()


async def test_tunnels_share_the_connection(place):
    async def shout(tunnel):
        async for data in tunnel:
            await tunnel.send(data.upper())

    options = {"handler": echo, "tunnels": {"shout": shout}}
    async with place.serve(**options), Pool(ssl=place.client_ssl) as pool:
        ws = await pool.websocket(place.ws())
        tunnel = await pool.tunnel("shout", place.http.replace("//", "//user:secret@") + "/path?x")
        assert tunnel._sending.wire is ws.wire
        assert tunnel.request.path == "/path?x"
        assert "authorization" in tunnel.request.headers
        await tunnel.send(b"hello")
        assert await anext(aiter(tunnel)) == b"HELLO"
        assert pool.stats()["streams"] == 2
        await tunnel.close()
        with pytest.raises(InvalidStatus):
            await pool.tunnel("unknown", place.http)
        await check(ws)


async def test_what_waits_for_a_connection_is_bounded(clear):
    async def script(peer):
        await peer.until_eof()

    async with RawServer(script, greet=False) as server:
        uri = f"ws://127.0.0.1:{server.port}"
        async with Pool(max_waiting=3) as pool:  # it never answers
            waiting = [asyncio.ensure_future(pool.websocket(uri)) for _ in range(3)]
            await until(lambda: pool.stats()["waiting"] == 3)
            with pytest.raises(PoolFull):
                await pool.websocket(uri)
            assert pool.stats()["dialling"] == 1
        for task in waiting:
            with pytest.raises(LocalProtocolError, match="closed"):
                await task


async def test_closing_ends_what_waits(clear):
    settings = {"settings": Settings(max_concurrent_streams=1)}
    async with pooled(clear, settings, max_connections=1) as (_, pool):
        ws = await pool.websocket(clear.ws())
        waiting = [
            asyncio.ensure_future(pool.websocket(clear.ws())),
            asyncio.ensure_future(pool.websocket("ws://127.0.0.1:1")),
        ]
        await until(lambda: pool.stats()["waiting"] == 2)
        await pool.close(1001, "leaving")
        assert ws.close_code == 1001
        for task in waiting:
            with pytest.raises(Exception, match="closed"):
                await task
        for ask in (pool.websocket(clear.ws()), pool.request("GET", clear.http)):
            with pytest.raises(LocalProtocolError, match="the pool is closed"):
                await ask


async def test_a_websocket_that_opens_while_the_pool_closes(clear):
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        asked.set()
        await peer.expect(f.GOAWAY)
        peer.headers(1, [(b":status", b"200")])
        (close,) = await peer.ws_frames(1, 1)
        seen.append((close.close_code, close.payload[2:]))
        peer.close_frame(1, 1001, end_stream=True)
        await peer.until_eof()

    asked, seen = asyncio.Event(), []
    async with RawServer(script, ENABLED) as server:
        pool = Pool(http="h2")
        opening = asyncio.ensure_future(pool.websocket(f"ws://127.0.0.1:{server.port}/"))
        await asked.wait()
        await pool.close(1001, "leaving")
        with pytest.raises(LocalProtocolError, match="the pool is closed"):
            await opening
    assert seen == [(1001, b"leaving")]


@pytest.mark.parametrize("http", ["auto", "h1"])
async def test_a_server_of_http_1_1_alone(place, http):
    async with pooled(place, {"http": "h1"}, http=http, max_connections=3) as (_, pool):
        for _ in range(2):
            sockets = [await pool.websocket(place.ws()) for _ in range(3)]
            for ws in sockets:
                await check(ws, "1.1")
            assert len({ws.wire for ws in sockets}) == 3
            fourth = asyncio.ensure_future(pool.websocket(place.ws()))
            await until(lambda: pool.stats()["waiting"] == 1)
            await sockets[0].close()
            await check(await fourth, "1.1")
            for ws in (*sockets, await fourth):
                await ws.close()
            await until(lambda: pool.stats()["connections"] == 0)
        if place.secure and http == "auto":
            with pytest.raises(AlpnError):
                await pool.request("GET", place.http)


async def test_a_server_that_takes_no_websockets_over_http_2(place):
    settings = {"settings": Settings(enable_connect_protocol=False)}
    async with pooled(place, settings) as (server, pool):
        assert await (await pool.request("GET", place.http)).read() == b"nobody"
        for _ in range(2):
            await check(await pool.websocket(place.ws()), "1.1")
        assert await (await pool.request("GET", place.http)).read() == b"nobody"
        assert server.stats()["connections"] == 3
        assert pool.stats()["connections"] == 3
    async with pooled(place, settings, http="h2") as (server, pool):
        with pytest.raises(ExtendedConnectUnsupported):
            await pool.websocket(place.ws())


async def test_websockets_of_connect(clear):
    async with pooled(clear) as (server, pool):
        async with connect(clear.ws(), pool=pool) as one, connect(clear.ws(), pool=pool) as two:
            assert one.wire is two.wire
            await check(one)
            await one.close()
            await check(two)
        turns = 0
        async for ws in connect(clear.ws(), pool=pool):
            await check(ws)
            turns += 1
            if turns == 3:
                break
        assert server.stats()["accepted"] == 1
        assert pool.stats()["connections"] == 1
        with pytest.raises(TypeError, match="the pool says max_size"):
            connect(clear.ws(), pool=pool, max_size=5)
        with pytest.raises(TypeError, match="the pool says sock"):
            connect(clear.ws(), pool=pool, sock=None)


async def test_a_connection_that_cannot_be_had(clear):
    async with Pool() as pool:
        for ask in (pool.websocket("ws://127.0.0.1:1"), pool.request("GET", "http://127.0.0.1:1")):
            with pytest.raises(OSError):
                await ask
        with pytest.raises(InvalidURI):
            await pool.websocket("ftp://127.0.0.1")
        assert pool.stats()["connections"] == pool.stats()["dialling"] == 0


async def test_a_misdirected_request_gets_a_fresh_connection(clear):
    asked = []

    async def misdirected(request):
        asked.append(request.remote_address)
        return Response(421 if len(asked) == 1 else 200, {}, "here")

    async with clear.serve(echo, on_request=misdirected), Pool() as pool:
        ws = await pool.websocket(clear.ws())
        assert await (await pool.request("GET", clear.http)).read() == b"here"
        assert len(set(asked)) == 2
        await check(ws)  # on the first one, which ends with it
        await ws.close()
        await check(await pool.websocket(clear.ws()))
        assert pool.stats()["connections"] == 1


async def test_cancelled_at_any_moment(place):
    async with pooled(place, connections_per_origin=2) as (server, pool):
        for turns in range(0, 60, 3):
            tasks = [asyncio.ensure_future(pool.websocket(place.ws())) for _ in range(3)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in tasks[:2]:
                task.cancel()
            await check(await tasks[2])
            outcomes = await asyncio.gather(*tasks[:2], return_exceptions=True)
            for ws in (*outcomes, tasks[2].result()):
                if not isinstance(ws, BaseException):
                    await ws.close()
        await until(lambda: pool.stats()["streams"] == pool.stats()["waiting"] == 0)
        assert server.stats()["accepted"] <= 2 + 40


@pytest.mark.parametrize(
    "options, error",
    [
        ({"connections_per_origin": 0}, ValueError),
        ({"connections_per_origin": None}, TypeError),
        ({"max_connections": 0}, ValueError),
        ({"max_connections": 1.5}, TypeError),
        ({"max_idle": -1}, ValueError),
        ({"max_waiting": True}, TypeError),
        ({"idle_timeout": 0}, ValueError),
        ({"open_timeout": -1}, ValueError),
        ({"http": "h3"}, ValueError),
        ({"sock": object()}, TypeError),
        ({"host": "there"}, TypeError),
        ({"unix": True, "path": "/run/it"}, TypeError),
        ({"unknown": 1}, TypeError),
        ({"limits": Limits(), "idle_timeout": 1}, TypeError),
    ],
)
def test_arguments_that_make_no_sense(options, error):
    with pytest.raises(error):
        Pool(**options)


async def test_a_misdirected_websocket_over_http_1_1_keeps_its_place():
    async def script(reader, writer, head):
        misdirected = b"HTTP/1.1 421 Misdirected Request\r\ncontent-length: 0\r\n\r\n"
        writer.write(misdirected if len(listener.heads) == 1 else accepted(head))
        while await reader.read(65536):
            pass

    async with Listener(script) as listener:
        async with Pool(http="h1", max_connections=1) as pool:
            ws = await pool.websocket(f"ws://127.0.0.1:{listener.port}/")
            await until(lambda: listener.connections == 2)
            assert pool.stats()["connections"] == 1
            assert pool.websockets == [ws]
            ws.abort()
            await until(lambda: pool.stats()["connections"] == 0)


async def test_who_asks_is_told_that_a_request_began(clear):
    async with pooled(clear) as (_, pool):
        told = []
        response = await pool.request("GET", clear.http, on_started=lambda: told.append("began"))
        assert await response.read() == b"nobody"
        assert told == ["began"]


async def test_what_cannot_be_made_is_told_to_who_wants_it():
    class Link:
        usable = True
        busy = False

    async def dial(origin, connect_s):
        raise AssertionError("nobody shares")

    def fail():
        raise ValueError("not so")

    connections = Connections(dial, most=1)
    link = await connections.reserve_alone("one", Link)
    wanting = asyncio.ensure_future(connections.reserve_alone("two", fail))
    await asyncio.sleep(0)
    connections.gone(link)
    with pytest.raises(ValueError, match="not so"):
        await wanting
    assert await connections.reserve_alone("three", Link)
