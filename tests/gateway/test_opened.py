"""Streams that a server behind the gateway opens: who gets them, and who says that there are none."""

import asyncio
import contextlib
import logging

import pytest

from h2ws_fast import ConnectionTerminated, InvalidStatus, Session, StreamReset, connect, serve
from h2ws_fast.engine import Settings
from h2ws_fast.gateway import Backend, Table
from tests.gateway.conftest import in_front_of
from tests.support import frames as f
from tests.support.raw import RawClient, RawServer

ID = 0xFB00
ON = Settings(enable_bidirectional_connect=True)
BOTH = ((f.ENABLE_CONNECT_PROTOCOL, 1), (ID, 1))
ASKED = [
    (":method", "CONNECT"),
    (":protocol", "bytestream"),
    (":scheme", "http"),
    (":authority", "a.example"),
    (":path", "/there?x"),
]


def before(port, *, http="h2", settings=ON, backend=ON, **options):
    """A gateway before this port that carries what is opened there."""
    options.setdefault("tokens", Table(["websocket", "bytestream"]))
    there = Backend(f"http://127.0.0.1:{port}", http=http, settings=backend)
    return in_front_of(there, settings=settings, **options)


def counted(gate):
    (backend,) = gate.stats()["backends"].values()
    return backend


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


class Calls:
    """A server whose every WebSocket can be asked to open streams to its client."""

    def __init__(self):
        self.sessions = []
        self.came = asyncio.Event()

    async def __call__(self, ws):
        self.sessions.append(ws.request.session)
        self.came.set()
        await ws.wait_closed()


@contextlib.asynccontextmanager
async def called(**options):
    """(gateway, calls): before a server that calls back."""
    calls = Calls()
    async with serve(calls, "127.0.0.1", 0, origins=None, close_timeout=1, settings=ON) as server:
        async with before(server.sockets[0].getsockname()[1], **options) as gate:
            yield gate, calls


def to(gate, **options):
    return Session(f"http://127.0.0.1:{gate.port}", proxy=None, **options)


async def upper(tunnel):
    async for data in tunnel:
        await tunnel.send(data.upper())


@contextlib.asynccontextmanager
async def opened():
    """(gateway, the client's session, the server's, a tunnel that the server has opened)."""
    async with called() as (gate, calls), to(gate, tunnels={"bytestream": upper}) as session:
        await session.websocket("/")
        await calls.came.wait()
        (server,) = calls.sessions
        yield gate, session, server, await server.tunnel("bytestream")


@pytest.mark.row("KIN-4-4")
async def test_at_the_wire():
    """Each hop has the setting by itself; an even number on one is an even number on the other."""
    done = asyncio.Event()

    async def script(peer):
        settings = dict(peer.frames[0].settings)
        assert settings[ID] == settings[f.ENABLE_CONNECT_PROTOCOL] == 1
        first = await peer.expect(f.HEADERS, 1)
        peer.headers(1, [(":status", "204")], end_stream=True)
        secret = [("connection-free", "yes"), ("te", "trailers"), ("x-forwarded-for", "10.0.0.1")]
        peer.headers(2, ASKED + secret)
        peer.send(f.data(2, b"early"))
        assert (await peer.expect(f.HEADERS, 2)).get(":status") == "200"
        assert (await peer.expect(f.DATA, 2)).content == b"and late"
        peer.headers(4, [*ASKED, ("via", first.get("via"))])
        assert (await peer.expect(f.HEADERS, 4)).get(":status") == "508"  # it was here before
        peer.headers(6, [*ASKED[:1], (":protocol", "other"), *ASKED[2:]])
        assert (await peer.expect(f.HEADERS, 6)).get(":status") == "501"
        peer.headers(8, ASKED)
        refused = await peer.expect(f.HEADERS, 8)
        assert refused.get(":status") == "403" and refused.get("x-why") == "no"
        assert refused.end_stream
        for number in (4, 6, 8, 2):
            peer.send(f.data(number, b"", end_stream=True))
        end = await peer.expect(f.DATA, 2)
        assert end.end_stream and not end.content
        done.set()
        await peer.expect(f.GOAWAY)  # the client has gone
        peer.send(f.ping((await peer.expect(f.PING, skip=())).payload, ack=True))
        await peer.until_eof()

    async with RawServer(script, *BOTH) as server, before(server.port) as gate:
        client = await RawClient.connect(gate.port, *BOTH)
        told = dict(client.frames[0].settings)
        assert told[ID] == told[f.ENABLE_CONNECT_PROTOCOL] == 1
        client.headers(1, [(":method", "GET"), *ASKED[2:]], end_stream=True)
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "204"
        asked = await client.expect(f.HEADERS, 2)
        fields = [(name.decode(), value.decode()) for name, value in asked.fields]
        assert fields[:5] == ASKED
        assert [name for name, _ in fields[5:]] == ["connection-free", "te", "via"]
        client.headers(2, [(":status", "299")])
        assert (await client.expect(f.DATA, 2)).content == b"early"
        client.send(f.data(2, b"and late"))
        assert (await client.expect(f.HEADERS, 4)).get(":path") == "/there?x"
        client.headers(4, [(":status", "403"), ("x-why", "no")], end_stream=True)
        assert (await client.expect(f.DATA, 4)).end_stream  # the gateway's side of it
        assert (await client.expect(f.DATA, 2)).end_stream
        client.send(f.data(2, b"", end_stream=True))
        async with asyncio.timeout(20):
            await done.wait()
        await until(lambda: counted(gate)["h2_own"] == 1)
        assert gate.stats()["opened"] == 4
        client.close()
        await until(lambda: counted(gate)["h2_own"] == 0)


@pytest.mark.row("KIN-4-4")
async def test_each_client_gets_what_is_for_it():
    async with called() as (gate, calls), contextlib.AsyncExitStack() as clients:
        names = ("first", "second", "third")

        def handler(name):
            async def answer(ws):
                async for message in ws:
                    await ws.send(f"{name}: {message}")

            return answer

        for number, name in enumerate(names, 1):
            session = await clients.enter_async_context(
                to(gate, handler=handler(name), tunnels={"bytestream": upper})
            )
            await clients.enter_async_context(await session.websocket("/"))
            await until(lambda number=number: len(calls.sessions) == number)
        assert None not in calls.sessions and counted(gate)["h2_own"] == 3
        for name, server in zip(names, calls.sessions, strict=True):
            async with await server.websocket("/back", subprotocols=["x"]) as ws:
                for message in ("text", "long " * 50_000):
                    await ws.send(message)
                    assert await ws.recv() == f"{name}: {message}"
            async with await server.bytestream("/there") as stream:
                stream.write(b"octets" * 50_000)
                stream.write_eof()
                assert await stream.read() == b"OCTETS" * 50_000


@pytest.mark.row("KIN-4-4")
@pytest.mark.parametrize("off", ["client", "gateway", "backend"])
async def test_all_three_have_to_switch_it_on(off):
    """Otherwise connections are shared, and the setting is sent to nobody."""
    seen = []

    async def script(peer):
        seen.append(ID in dict(peer.frames[0].settings))
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, [(":status", "204")], end_stream=True)
        if off != "gateway":
            await peer.until_eof()
            return
        peer.headers(2, ASKED)
        assert (await peer.expect(f.GOAWAY)).error_code == f.PROTOCOL_ERROR

    options = {
        "settings": None if off == "gateway" else ON,
        "backend": None if off == "backend" else ON,
    }
    async with RawServer(script, *BOTH) as server, before(server.port, **options) as gate:
        client = await RawClient.connect(gate.port, *(() if off == "client" else BOTH))
        assert (ID in dict(client.frames[0].settings)) == (off != "gateway")
        client.headers(1, [(":method", "GET"), *ASKED[2:]], end_stream=True)
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "204"
        assert seen == [False] and counted(gate)["h2_own"] == 0
        client.close()


async def test_clients_of_http1_take_no_streams():
    async with called() as (gate, calls):
        async with connect(f"ws://127.0.0.1:{gate.port}/", http="h1", proxy=None):
            await calls.came.wait()
            assert calls.sessions == [None] and counted(gate)["h2_own"] == 0


async def test_a_client_that_is_full_is_a_503():
    few = Settings(enable_bidirectional_connect=True, max_concurrent_streams=1)
    async with called() as (gate, calls):
        async with (
            to(gate, settings=few, tunnels={"bytestream": upper}) as session,
            await session.websocket("/"),
        ):
            await calls.came.wait()
            (server,) = calls.sessions
            async with await server.bytestream():
                with pytest.raises(InvalidStatus) as caught:
                    await server.bytestream()
                assert caught.value.response.status == 503
            async with await server.tunnel("bytestream") as again:
                await again.send(b"x")
                assert await again.recv() == b"X"


async def test_who_leaves_takes_its_streams_along():
    """Either end; the other hears of it, and the backend's connection ends."""
    async with opened() as (gate, session, server, stream):
        (await server.tunnel("bytestream")).abort()
        session._wire.transport.abort()
        with pytest.raises((StreamReset, ConnectionTerminated)):
            while await stream.recv():
                pass
        async with asyncio.timeout(20):
            await server.wait_closed()
        await until(lambda: counted(gate)["h2_own"] == 0)
        assert counted(gate)["load"] == 0


async def test_a_gateway_that_ends_says_so_to_both():
    async with opened() as (gate, session, server, stream):
        gate.close()
        await gate.wait_closed()
        async with asyncio.timeout(20):
            await server.wait_closed()
            await session.wait_closed()
        with contextlib.suppress(StreamReset, ConnectionTerminated):
            assert await stream.recv() == b""
        assert counted(gate)["h2_own"] == 0


async def test_the_access_log_says_who_has_opened_it(caplog):
    caplog.set_level(logging.INFO, logger="h2ws_fast.gateway.access")
    async with called(access_log=True) as (gate, calls):
        async with to(gate, tunnels={"bytestream": upper}) as session:
            async with await session.websocket("/"):
                await calls.came.wait()
                async with await calls.sessions[0].bytestream("/there") as stream:
                    stream.write(b"abc")
                    assert await stream.readexactly(3) == b"ABC"
                lines = []
                while not lines:
                    await asyncio.sleep(0.005)
                    lines = [each.getMessage() for each in caplog.records]
        line = lines[0].split(" ")
        assert line[0].startswith("http://127.0.0.1:") and line[-1] == "127.0.0.1"
        assert line[1:7] == ['"CONNECT', "/there", 'HTTP/2"', "200", "3", "3"]
