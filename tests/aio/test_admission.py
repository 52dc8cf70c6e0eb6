"""The limits over all connections of a server, their counters, and what is logged."""

import asyncio
import contextlib
import logging
import os
import time

import pytest

from h2ws_fast import ConnectionTerminated, Response, connect, serve
from h2ws_fast.aio import tls
from h2ws_fast.aio.server.admission import address_of
from h2ws_fast.aio.server.notices import BURST, Notices
from h2ws_fast.engine import Limits, Settings
from tests.aio.conftest import Place
from tests.support import frames as f
from tests.support.raw import RawClient

row = pytest.mark.row

GET = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/")]


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def refused(port):
    """Connect; return the code and the debug data of the GOAWAY that ends the connection."""
    client = await RawClient.connect(port, greet=False)
    client.send(f.MAGIC, f.settings())
    found = await client.until_eof()
    assert found[0].kind == f.SETTINGS
    assert found[-1].kind == f.GOAWAY and found[-1].last_stream_id == 0
    client.close()
    return found[-1].error_code, found[-1].payload[8:].decode()


async def quiet(server):
    while server.stats()["connections"]:
        await asyncio.sleep(0.01)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_max_connections(clear, caplog):
    async with clear.serve(echo, max_connections=1) as server:
        async with connect(clear.ws()) as ws:
            for _ in range(3):
                code, reason = await refused(clear.port)
                assert (code, reason) == (f.ENHANCE_YOUR_CALM, "max_connections is reached")
            assert server.stats()["refused"] == {"max_connections": 3}
            assert (server.stats()["connections"], server.stats()["accepted"]) == (1, 1)
            await ws.send("unharmed")
            assert await ws.recv() == "unharmed"
        await quiet(server)
        async with connect(clear.ws()) as ws:
            assert server.stats()["accepted"] == 2
    lines = [r.getMessage() for r in caplog.records if "was refused" in r.getMessage()]
    assert len(lines) == 3
    assert lines[0].startswith("a connection from 127.0.0.1:")
    assert lines[0].endswith("was refused: max_connections is reached")


async def test_max_connections_over_tls(place):
    async with place.serve(echo, max_connections=1) as server:
        async with connect(place.ws(), ssl=place.client_ssl) as ws:
            with pytest.raises((ConnectionTerminated, OSError)):
                await connect(place.ws(), ssl=place.client_ssl)
            await ws.send("unharmed")
            assert await ws.recv() == "unharmed"
        assert server.stats()["refused"] == {"max_connections": 1}


@pytest.fixture
def secure(certificate):
    return Place(tls.server_context(*certificate), tls.client_context(cafile=certificate[0]))


async def test_handshakes_under_way_are_connections(secure):
    async with secure.serve(echo, max_connections=2, open_timeout=0.5) as server:
        silent = [await asyncio.open_connection("127.0.0.1", secure.port) for _ in range(2)]
        async with asyncio.timeout(5):
            while server.stats()["handshakes"] < 2:
                await asyncio.sleep(0.01)
        assert (server.stats()["connections"], server.stats()["accepted"]) == (0, 0)
        with pytest.raises(ConnectionTerminated):
            await connect(secure.ws(), ssl=secure.client_ssl)
        assert server.stats()["refused"] == {"max_connections": 1}
        # They had their time, and there is room again.
        async with asyncio.timeout(5):
            for reader, _ in silent:
                assert await reader.read() == b""
        async with connect(secure.ws(), ssl=secure.client_ssl) as ws:
            await ws.send("in")
            assert await ws.recv() == "in"
            stats = server.stats()
            assert (stats["handshakes"], stats["connections"], stats["accepted"]) == (0, 1, 1)
        for _, writer in silent:
            writer.close()


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_a_server_that_closes_waits_for_no_handshake(secure, when):
    begun = time.monotonic()
    async with secure.serve(echo) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", secure.port)
        if when == "meanwhile":
            async with asyncio.timeout(5):
                while not server.stats()["handshakes"]:
                    await asyncio.sleep(0.01)
    assert time.monotonic() - begun < 5
    assert server.stats()["handshakes"] == 0
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()


async def test_max_connections_per_address(clear):
    async with clear.serve(echo, max_connections_per_address=2) as server:
        async with connect(clear.ws()), connect(clear.ws()):
            reason = "max_connections_per_address is reached"
            assert await refused(clear.port) == (f.ENHANCE_YOUR_CALM, reason)
            other = await RawClient.connect(clear.port, local_addr=("127.0.0.2", 0))
            assert (await other.websocket()).get(":status") == "200"
            other.close()
        await quiet(server)
        async with connect(clear.ws()):
            assert server.stats()["refused"] == {"max_connections_per_address": 1}


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("192.0.2.1", 4711), "192.0.2.1"),
        (("::ffff:192.0.2.1", 4711, 0, 0), "192.0.2.1"),
        (("2001:db8:1:2:3:4:5:6", 4711, 0, 0), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:ffff::", 4711, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 4711, 0, 2), "fe80::/64"),
        (("::1", 4711, 0, 0), "::1"),
        ("", None),
        ("/run/client", None),
        (None, None),
    ],
)
def test_what_counts_as_one_address(peer, address):
    assert address_of(peer) == address


async def test_memory_budget(clear):
    """What an application does not take counts; newcomers are refused, those who are in go on."""
    asleep = asyncio.Event()

    async def handler(ws):
        if ws.request.path == "/asleep":
            await asleep.wait()
        await echo(ws)

    async def on_request(request):
        return Response(200, body="fine")

    async with clear.serve(handler, on_request=on_request, memory_budget=100_000) as server:
        async with connect(clear.ws()) as ws, connect(clear.ws("/asleep")) as hoarder:
            await hoarder.send(os.urandom(150_000))
            async with asyncio.timeout(5):
                while server.stats()["octets_held"] < 150_000:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.06)  # the sum is looked at again
            assert await refused(clear.port) == (f.ENHANCE_YOUR_CALM, "memory_budget is reached")
            session = ws.wire.session
            response = await session.request("GET", "/")
            assert response.status == 503
            with pytest.raises(Exception, match="503"):
                await session.websocket("/another")
            assert server.stats()["refused"] == {"memory_budget": 3}
            await ws.send("unharmed")
            assert await ws.recv() == "unharmed"
            asleep.set()
            assert len(await hoarder.recv()) == 150_000
            await asyncio.sleep(0.06)
            assert (await session.request("GET", "/")).status == 200


@row("SEC-1-3")
@pytest.mark.parametrize("name", ["max_connections", "max_connections_per_address"])
async def test_who_is_gone_has_a_place_while_handlers_work_for_him(clear, name):
    """Who opens WebSockets and leaves, again and again, does not come in without end."""
    release = asyncio.Event()

    async def handler(ws):
        await release.wait()

    async with clear.serve(handler, **{name: 2}) as server:
        for gone in (1, 2):
            async with connect(clear.ws()) as ws:
                await ws.send("unread")
            await until(lambda gone=gone: server.stats()["gone"] == gone)
        assert server.stats()["connections"] == 0
        for _ in range(2):
            assert await refused(clear.port) == (f.ENHANCE_YOUR_CALM, f"{name} is reached")
        release.set()
        await until(lambda: server.stats()["gone"] == 0)
        async with connect(clear.ws()):
            assert server.stats()["accepted"] == 3


@row("SEC-1-8")
@pytest.mark.parametrize("end", ["connection", "websocket", "error"])
async def test_messages_that_outlive_their_websocket_are_in_the_budget(clear, end):
    """Its handler may still read them: they count until it has, or has ended."""
    release = asyncio.Event()

    async def handler(ws):
        await release.wait()
        if ws.request.path == "/read":
            assert [message async for message in ws] == [bytes(1000)] * 100

    async with clear.serve(handler, memory_budget=250_000) as server:
        async with connect(clear.ws(), close_timeout=5) as other:
            for number, path in enumerate(("/read", "/forget", "/read")):
                if end == "websocket":
                    ws = await other.wire.session.websocket(path)
                else:
                    ws = await connect(clear.ws(path))
                for _ in range(100):
                    await ws.send(bytes(1000))
                await until(lambda n=number: server.stats()["octets_held"] >= 100_000 * (n + 1))
                if end == "error":
                    ws.wire.transport.write(f.window_update(0, 0))
                await ws.close()
                await until(lambda n=number: server.stats()["octets_held"] > 100_000 * (n + 1))
            # Until its stream is over the engine counts them, too.
            await until(lambda: server.stats()["octets_held"] < 350_000)
            await asyncio.sleep(0.06)
            assert await refused(clear.port) == (f.ENHANCE_YOUR_CALM, "memory_budget is reached")
            release.set()
            await until(lambda: server.stats()["octets_held"] < 1000)
            await asyncio.sleep(0.06)
            async with connect(clear.ws()):
                pass


@row("SEC-1-8")
@pytest.mark.parametrize("http", ["h1", "h2"])
async def test_pieces_that_outlive_their_websocket_are_in_the_budget(clear, http):
    """As whole messages: they count until all are read."""
    release, began = asyncio.Event(), asyncio.Event()

    async def handler(ws):
        assert [piece async for piece in ws.recv_streaming()] == ["first"]
        began.set()
        await release.wait()
        came = b""
        while len(came) < 100_000:
            came += b"".join([piece async for piece in ws.recv_streaming()])
        assert came == bytes(100_000)

    async with clear.serve(handler, memory_budget=100_000, compression=None) as server:
        async with connect(clear.ws(), http=http) as ws:
            await ws.send("first")
            await began.wait()
            for _ in range(100):
                await ws.send(bytes(1000))
            await until(lambda: server.stats()["octets_held"] >= 100_000)
        await until(lambda: server.stats()["gone"] == 1)
        # Nothing of it is the engine's any more.
        assert 100_000 < server.stats()["octets_held"] <= 100_000 + 64 * 200
        await asyncio.sleep(0.06)
        assert await refused(clear.port) == (f.ENHANCE_YOUR_CALM, "memory_budget is reached")
        release.set()
        await until(lambda: server.stats()["octets_held"] == 0)
        await until(lambda: server.stats()["gone"] == 0)
        await asyncio.sleep(0.06)
        async with connect(clear.ws(), http=http):
            pass


@pytest.mark.parametrize(
    "name", ["max_connections", "max_connections_per_address", "memory_budget"]
)
@pytest.mark.parametrize("value", [0, -1, "1", 1.5, True])
def test_limits_that_make_no_sense(name, value):
    with pytest.raises(ValueError, match=name):
        serve(echo, "127.0.0.1", 0, **{name: value})


@row("SEC-1-1", "SEC-1-3")
async def test_handlers_count_until_they_end(clear):
    """Requests that are reset count until their work is over, however slowly it ends."""
    now = most = 0
    stubborn = asyncio.Event()

    async def on_request(request):
        nonlocal now, most
        now += 1
        most = max(most, now)
        try:
            await asyncio.sleep(60)
        finally:
            # It was cancelled, and cleans up.
            await stubborn.wait()
            now -= 1

    settings = Settings(max_concurrent_streams=5)
    async with clear.serve(echo, on_request=on_request, settings=settings) as server:
        client = await RawClient.connect(clear.port)
        for number in range(5):
            client.headers(2 * number + 1, GET, end_stream=True)
        client.send(f.ping())
        await client.expect(f.PING, skip=(f.WINDOW_UPDATE, f.SETTINGS))
        client.send(*(f.rst_stream(2 * number + 1) for number in range(5)))
        for number in range(5, 8):
            client.headers(2 * number + 1, GET, end_stream=True)
        found = [await client.expect(f.RST_STREAM) for _ in range(3)]
        assert [frame.error_code for frame in found] == [f.REFUSED_STREAM] * 3
        assert server.stats()["handlers"] == now == most == 5
        assert server.stats()["limits"] == {"max_handlers": 3}
        # A WebSocket needs a handler as well.
        async with connect(clear.ws()) as other:  # another connection is unharmed
            await other.send("unharmed")
            assert await other.recv() == "unharmed"
        stubborn.set()
        while now:
            await asyncio.sleep(0.01)
        answer = await client.websocket(17)
        assert answer.get(":status") == "200"
        client.close()


@row("SEC-1-1")
async def test_rapid_reset_cancels_handlers(clear):
    running = []

    async def on_request(request):
        running.append(request)
        try:
            await asyncio.sleep(60)
        finally:
            running.remove(request)

    async with clear.serve(echo, on_request=on_request) as server:
        client = await RawClient.connect(clear.port)
        for number in range(100):
            client.headers(2 * number + 1, GET, end_stream=True)
        client.send(f.ping())
        await client.expect(f.PING, skip=(f.WINDOW_UPDATE, f.SETTINGS))
        assert len(running) == server.stats()["handlers"] == 100
        client.send(*(f.rst_stream(2 * number + 1) for number in range(100)))
        async with asyncio.timeout(5):
            while running or server.stats()["handlers"]:
                await asyncio.sleep(0.01)
        client.close()


@row("SEC-9-1")
async def test_limits_are_logged_once_a_connection(clear, caplog):
    """With the peer's address and the limit's name; `Server.stats()` counts each time."""
    caplog.set_level(logging.WARNING, "h2ws_fast")
    limits = Limits(max_message=10)
    async with clear.serve(echo, limits=limits) as server:
        for times in (1, 2):
            client = await RawClient.connect(clear.port)
            address = client.writer.get_extra_info("sockname")
            for stream_id in (1, 3, 5):
                await client.websocket(stream_id)
                client.ws(stream_id, 2, bytes(11))
                (close,) = await client.ws_frames(stream_id, 1)
                assert close.close_code == 1009
                client.close_frame(stream_id, 1009, end_stream=True)
                await client.expect(f.DATA, stream_id)
            assert server.stats()["limits"] == {"max_message": 3 * times}
            client.close()
            lines = [
                r.getMessage() for r in caplog.records if "reached the limit" in r.getMessage()
            ]
            assert len(lines) == times
            assert lines[-1] == f"127.0.0.1:{address[1]} reached the limit max_message"
        await quiet(server)
        assert server.stats()["limits"] == {"max_message": 6}  # of connections that are over


async def test_a_client_logs_limits_too(clear, caplog):
    async def handler(ws):
        await ws.send(bytes(11))
        await ws.wait_closed()

    async with clear.serve(handler):
        async with connect(clear.ws(), max_size=10) as ws:
            with pytest.raises(Exception, match="1009"):
                await ws.recv()
    port = clear.port
    lines = [r.getMessage() for r in caplog.records if r.name == "h2ws_fast.aio"]
    assert lines == [f"('127.0.0.1', {port}) reached the limit max_message"]


def test_notices_are_few(caplog):
    now = 100.0
    notices = Notices(logging.getLogger("h2ws_fast.test"), logging.WARNING, lambda: now)
    for number in range(BURST + 1000):
        notices.write("line %d", number)
    assert [r.getMessage() for r in caplog.records] == [f"line {number}" for number in range(BURST)]
    caplog.clear()
    now += 2.5
    for number in range(5):
        notices.write("later %d", number)
    assert [r.getMessage() for r in caplog.records] == [
        "later 0 (1000 lines were left out before this one)",
        "later 1",
    ]
