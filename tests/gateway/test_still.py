"""What stands still: answers that stop, tunnels that nobody uses, peers that have vanished."""

import asyncio
import contextlib
import socket

import pytest

from h2ws_fast.gateway import Backend, Table
from tests.gateway.conftest import in_front_of
from tests.gateway.test_requests import head
from tests.support import frames as f
from tests.support.backend import RawBackend
from tests.support.h1 import upgrade
from tests.support.raw import RawClient, RawServer
from tests.support.ws_frames import TEXT


@contextlib.asynccontextmanager
async def before(script, *, http="h1", **options):
    """(a gateway, its backend, a client)"""
    kind = RawBackend if http == "h1" else RawServer
    async with kind(script) as backend:
        there = Backend(f"http://127.0.0.1:{backend.port}", http=http)
        async with in_front_of(there, **options) as gate:
            client = await RawClient.connect(gate.port)
            yield gate, there, client
            client.close()


async def gone(there):
    """Wait until nothing is under way at a backend."""
    while there.load:
        await asyncio.sleep(0.005)


async def stops(visit):
    await visit.head()
    visit.say("HTTP/1.1 200 OK", "Content-Length: 10", body=b"abc")
    await visit.rest()


async def stops_too(peer):
    stream = await peer.expect(f.HEADERS)
    peer.headers(stream.stream_id, [(":status", "200")])
    peer.send(f.data(stream.stream_id, b"abc"))
    await peer.until_eof()


@pytest.mark.parametrize(("http", "script"), [("h1", stops), ("h2", stops_too)])
async def test_an_answer_that_stops_is_reset(http, script):
    async with before(script, http=http, body_timeout=0.2) as (gate, there, client):
        client.headers(1, head(), end_stream=True)
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "200"
        assert (await client.expect(f.DATA, 1)).content == b"abc"
        assert (await client.expect(f.RST_STREAM, 1)).error_code == 2  # INTERNAL_ERROR
        await gone(there)
        assert gate.stats()["stalled_bodies"] == 1
        assert gate.stats()["backends"][there.address]["unanswered"] == 0


async def test_an_answer_that_drips_goes_on():
    async def script(visit):
        await visit.head()
        visit.say("HTTP/1.1 200 OK", "Content-Length: 9")
        for _ in range(9):
            await asyncio.sleep(0.1)
            visit.writer.write(b"x")
        await visit.rest()

    async with before(script, body_timeout=0.8) as (gate, _, client):
        client.headers(1, head(), end_stream=True)
        frame = await client.expect(f.HEADERS, 1)
        came = b""
        while not frame.end_stream:
            frame = await client.expect(f.DATA, 1)
            came += frame.content
        assert came == b"x" * 9
        assert gate.stats()["stalled_bodies"] == 0


async def test_an_answer_that_its_client_does_not_take_has_not_stopped():
    async def script(visit):
        await visit.head()
        visit.say("HTTP/1.1 200 OK", "Content-Length: 200000", body=bytes(200_000))
        await visit.rest()

    async with before(script, body_timeout=0.4) as (gate, there, client):
        client.headers(1, head(), end_stream=True)
        came = 0
        while came < 65535:  # the window
            frame = await client.frame()
            came += len(frame.content) if frame.kind == f.DATA else 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await client.expect(f.RST_STREAM, 1)
        assert there.load == 1
        client.send(f.window_update(0, 2**20), f.window_update(1, 2**20))
        while came < 200_000:
            came += len((await client.expect(f.DATA, 1)).content)
        await gone(there)
        assert gate.stats()["stalled_bodies"] == 0


async def switches(visit):
    await visit.switch()
    await visit.rest()


@pytest.mark.parametrize("front", ["h1", "h2"])
async def test_a_tunnel_that_nobody_uses_ends_where_that_is_wanted(front):
    async with before(switches, tunnel_timeout=0.3) as (gate, there, client):
        if front == "h2":
            assert (await client.websocket(1)).get(":status") == "200"
            assert (await client.expect(f.RST_STREAM, 1)).error_code == 8  # CANCEL
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(upgrade())
            await reader.readuntil(b"\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
        await gone(there)
        assert gate.stats()["idle_tunnels"] == 1


async def test_a_websocket_that_is_read_may_be_silent_and_a_tunnel_beside_it_not():
    """`tunnel_timeout` is for tunnels: who answers pings is there."""

    async def script(visit):
        line, _ = await visit.switch("foo" if not visits else "websocket")
        visits.append(line)
        await visit.read(6)
        visit.writer.write(b"\x81\0")
        await visit.rest()

    visits = []
    options = {"tokens": Table(["websocket", "foo"]), "aware": True, "tunnel_timeout": 0.2}
    async with before(script, **options) as (gate, there, client):
        client.headers(
            1,
            [
                (":method", "CONNECT"),
                (":protocol", "foo"),
                (":scheme", "http"),
                (":authority", "example.org"),
                (":path", "/"),
            ],
        )
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "200"
        assert (await client.websocket(3)).get(":status") == "200"
        assert (await client.expect(f.RST_STREAM, 1)).error_code == f.CANCEL
        await asyncio.sleep(0.6)  # more than it has for a tunnel, three times
        assert there.load == 1 and gate.stats()["idle_tunnels"] == 1
        client.ws(3, TEXT, b"")
        assert (await client.ws_frames(3, 1))[0].opcode == TEXT


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this TCP has no such option")
@pytest.mark.parametrize("interval", [7, None])
async def test_tcp_asks_for_peers_of_tunnels_over_http_1_1(interval):
    options = {"keepalive_interval": interval, "keepalive_timeout": 6, "write_timeout": 20}
    async with before(switches, **options) as (gate, there, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(upgrade())
        await reader.readuntil(b"\r\n\r\n")
        found = []
        ends = [wire for wire in gate._wires if wire.http_version == "1.1"]
        for wire in (*ends, *there._links._all):
            sock = wire.transport.get_extra_info("socket")
            found.append(
                [
                    sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                    sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7,
                    sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 2,
                    sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
                ]
            )
        writer.close()
    assert found == [[1, True, True, 20_000] if interval else [0, False, False, 0]] * 2
