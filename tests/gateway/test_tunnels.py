"""Tunnels, whatever is spoken on either side: ends, resets, back-pressure, and octets untouched."""

import asyncio
import contextlib
import random
import socket
import struct

import pytest

from h2ws_fast.engine import Limits, Settings
from h2ws_fast.gateway import Backend
from tests.gateway.conftest import in_front_of
from tests.support import frames as f
from tests.support.backend import RawBackend, Visit
from tests.support.h1 import ACCEPT, upgrade
from tests.support.raw import RawClient, RawServer

CONNECT = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":authority", "example.org"),
    (":path", "/"),
    ("sec-websocket-version", "13"),
]
CONNECT_PROTOCOL = (8, 1)


class H2Front:
    """A client over HTTP/2 with one tunnel open."""

    finished = False

    async def open(self, port):
        self.peer = await RawClient.connect(port)
        self.peer.headers(1, CONNECT)
        assert (await self.peer.expect(f.HEADERS, 1)).get(":status") == "200"

    def send(self, octets):
        self.peer.send(f.data(1, octets))

    def end(self):
        self.peer.send(f.data(1, b"", end_stream=True))

    def cut(self):
        self.peer.send(f.rst_stream(1, 8))

    async def read(self, n):
        octets = b""
        while len(octets) < n:
            frame = await self.peer.expect(f.DATA, 1)
            self.peer.send(*credit(frame.content))
            octets += frame.content
            self.finished = frame.end_stream
        return octets

    async def ended(self):
        if self.finished:  # it came with the last octets
            return True
        frame = await self.peer.expect(f.DATA, 1)
        return frame.end_stream and frame.content == b""

    async def was_cut(self):
        return (await self.peer.expect(f.RST_STREAM, 1)).error_code == 8  # CANCEL

    def close(self):
        self.peer.close()


class H1Front:
    """The same over HTTP/1.1."""

    async def open(self, port):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.writer.write(upgrade())
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101") and ACCEPT.encode() in head

    def send(self, octets):
        self.writer.write(octets)

    def end(self):
        self.writer.write_eof()

    def cut(self):
        cut(self.writer)

    async def read(self, n):
        return await self.reader.readexactly(n)

    async def ended(self):
        return await self.reader.read() == b""

    async def was_cut(self):
        try:
            await self.reader.read()
        except ConnectionResetError:
            return True
        return False

    def close(self):
        self.writer.close()


def credit(octets):
    n = len(octets)
    return [f.window_update(0, n), f.window_update(1, n)] if n else []


def cut(writer):
    """Close a socket so that TCP says RST."""
    sock = writer.get_extra_info("socket")
    with socket.fromfd(sock.fileno(), sock.family, sock.type) as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Back:
    """The backend's end of the only tunnel."""

    finished = False

    def __init__(self, http):
        self.http = http
        self.opened = asyncio.Event()
        self.over = asyncio.Event()

    @contextlib.asynccontextmanager
    async def serve(self):
        if self.http == "h1":
            async with RawBackend(self._h1) as server:
                yield server.port
                self.over.set()
        else:
            async with RawServer(self._h2, CONNECT_PROTOCOL) as server:
                yield server.port
                self.over.set()

    async def _h1(self, visit):
        self.visit = visit
        await visit.switch()
        self.opened.set()
        await self.over.wait()

    async def _h2(self, peer):
        self.peer = peer
        head = await peer.expect(f.HEADERS)
        self.head = head
        peer.headers(head.stream_id, [(":status", "200")])
        self.opened.set()
        await self.over.wait()

    def send(self, octets):
        if self.http == "h1":
            self.visit.writer.write(octets)
        else:
            self.peer.send(f.data(1, octets))

    def end(self):
        if self.http == "h1":
            self.visit.writer.write_eof()
        else:
            self.peer.send(f.data(1, b"", end_stream=True))

    def cut(self):
        if self.http == "h1":
            cut(self.visit.writer)
        else:
            self.peer.send(f.rst_stream(1, 2))

    async def read(self, n):
        if self.http == "h1":
            return await self.visit.read(n)
        octets = b""
        while len(octets) < n:
            frame = await self.peer.expect(f.DATA, 1)
            self.peer.send(*credit(frame.content))
            octets += frame.content
            self.finished = frame.end_stream
        return octets

    async def ended(self):
        if self.http == "h1":
            return await self.visit.reader.read() == b""
        if self.finished:
            return True
        frame = await self.peer.expect(f.DATA, 1)
        return frame.end_stream and frame.content == b""

    async def was_cut(self):
        if self.http == "h1":
            return (await self.visit.rest()).endswith(b"RESET")
        return (await self.peer.expect(f.RST_STREAM, 1)).error_code == 8


@pytest.fixture(params=[H2Front, H1Front], ids=["h2", "h1"])
def front(request):
    return request.param()


@pytest.fixture(params=["h2", "h1"])
def http(request):
    return request.param


@pytest.fixture
def tunnel(front, http, door):
    """`async with tunnel() as (front, back, gate):` an open tunnel from end to end."""

    @contextlib.asynccontextmanager
    async def open_it(**options):
        back = Back(http)
        async with back.serve() as port, door(port, http=http, **options) as gate:
            await front.open(gate.port)
            await back.opened.wait()
            yield front, back, gate
            front.close()

    return open_it


@pytest.mark.row("GW-tun-4", "GW-h2h2-1", "GW-h1h2-1", "GW-h2h1-1")
async def test_octets_pass_as_they_are(tunnel):
    # No WebSocket frame among them that anybody could accept.
    octets = random.Random(7).randbytes(150_000)
    async with tunnel() as (front, back, _):
        for at in range(0, len(octets), 15_000):
            front.send(octets[at : at + 15_000])
            assert await back.read(15_000) == octets[at : at + 15_000]
            back.send(octets[at : at + 15_000])
            assert await front.read(15_000) == octets[at : at + 15_000]


async def end_one_after_the_other(first, second):
    """Both sides of a tunnel end, and octets go the other way in between."""
    first.send(b"last")
    first.end()
    assert await second.read(4) == b"last"
    assert await second.ended()
    second.send(b"still here")
    assert await first.read(10) == b"still here"
    second.end()
    assert await first.ended()


@pytest.mark.row("GW-tun-1")
async def test_the_client_ends_its_side_alone(tunnel):
    async with tunnel() as (front, back, gate):
        await end_one_after_the_other(front, back)
        await until(lambda: not load(gate))


@pytest.mark.row("GW-tun-1")
async def test_the_backend_ends_its_side_alone(tunnel):
    async with tunnel() as (front, back, gate):
        await end_one_after_the_other(back, front)
        await until(lambda: not load(gate))


@pytest.mark.row("GW-tun-2")
async def test_a_backend_that_resets(tunnel):
    async with tunnel() as (front, back, gate):
        back.cut()
        assert await front.was_cut()
        await until(lambda: not load(gate))


@pytest.mark.row("GW-tun-2")
async def test_a_client_that_resets(tunnel):
    async with tunnel() as (front, back, gate):
        front.cut()
        assert await back.was_cut()
        await until(lambda: not load(gate))


@pytest.mark.row("GW-tun-1", "GW-tun-2")
@pytest.mark.parametrize("http", ["h2"])
async def test_who_resets_behind_its_own_end_was_heard(tunnel, http):
    """HAProxy and browsers do: END_STREAM, then RST_STREAM(CANCEL)."""
    async with tunnel() as (front, back, gate):
        back.send(b"last")
        back.end()
        back.cut()
        assert await front.read(4) == b"last"
        assert await front.ended()
        await until(lambda: not load(gate))


@pytest.mark.row("GW-tun-1", "GW-tun-2")
@pytest.mark.parametrize("front", [H2Front()], ids=["h2"])
async def test_a_client_that_resets_behind_its_own_end_was_heard(tunnel, front):
    async with tunnel() as (_, back, gate):
        front.send(b"last")
        front.end()
        front.cut()
        assert await back.read(4) == b"last"
        assert await back.ended()
        await until(lambda: not load(gate))


@pytest.mark.row("GW-tun-2")
async def test_a_client_that_is_lost(tunnel):
    async with tunnel() as (front, back, gate):
        if isinstance(front, H2Front):
            cut(front.peer.writer)
        else:
            front.cut()
        assert await back.was_cut()
        await until(lambda: not load(gate))


@pytest.mark.row("GW-tun-3")
async def test_a_backend_that_does_not_read_stops_the_client(front, door):
    """What the gateway keeps of a tunnel is bounded; all of it arrives when the backend reads."""
    reading = asyncio.Event()
    came = []

    async def script(visit):
        await visit.switch()
        visit.writer.transport.pause_reading()
        await reading.wait()
        visit.writer.transport.resume_reading()
        came.append(await visit.read(TOTAL))

    options = {
        "settings": Settings(initial_window_size=65535),
        "limits": Limits(max_window=65535, close_timeout_s=0.2),
    }
    async with RawBackend(script) as backend, door(backend.port, **options) as gate:
        octets = random.Random(3).randbytes(TOTAL)
        await front.open(gate.port)
        if isinstance(front, H2Front):
            task = asyncio.create_task(pour(front.peer, octets))
        else:
            front.send(octets)
            task = asyncio.create_task(front.writer.drain())
        await until(lambda: held(gate) > 65536)
        most = 0
        for _ in range(50):
            await asyncio.sleep(0.002)
            most = max(most, held(gate))
        assert most <= MOST, most
        assert not came
        reading.set()
        await until(lambda: came or task.done())
        await task
        await until(lambda: came)
        assert came == [octets]
        front.close()


TOTAL = 24_000_000  # more than the kernel keeps
READ, HIGH = 262_144, 65_536
# In the connection that they leave by two marks and a read, in its transport a mark and a read.
MOST = 3 * HIGH + 2 * READ


async def pour(peer, octets):
    """Send as the windows allow."""
    stream, connection = 65535, 65535
    # What the server's SETTINGS and first WINDOW_UPDATE said.
    for frame in peer.frames:
        if frame.kind == f.WINDOW_UPDATE and frame.stream_id == 0:
            connection += int.from_bytes(frame.payload, "big")
    at = 0
    while at < len(octets):
        n = min(16384, stream, connection, len(octets) - at)
        if n > 0:
            peer.send(f.data(1, octets[at : at + n]))
            await peer.writer.drain()
            at, stream, connection = at + n, stream - n, connection - n
            continue
        frame = await peer.expect(f.WINDOW_UPDATE, skip=(f.SETTINGS, f.PING))
        more = int.from_bytes(frame.payload, "big")
        if frame.stream_id:
            stream += more
        else:
            connection += more


def held(gate):
    """Octets that the gateway keeps. What waits to leave by one connection is not credited on the
    other: it counts once."""
    links = [
        link
        for upstream in gate.routes.upstreams
        for backend in upstream.backends
        for link in backend._links._all
    ]
    kept = max(gate.stats()["octets_held"], sum(link.conn.octets_held for link in links))
    return kept + sum(
        wire.transport.get_write_buffer_size() for wire in (*gate._wires, *links) if wire.transport
    )


def load(gate):
    return sum(backend["load"] for backend in gate.stats()["backends"].values())


async def until(condition):
    async with asyncio.timeout(25):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.row("GW-tun-3")
async def test_a_client_that_does_not_read_stops_the_backend(door):
    sent = 0

    async def script(visit):
        nonlocal sent
        await visit.switch()
        piece = random.Random(4).randbytes(65536)
        while True:
            visit.writer.write(piece)
            await visit.writer.drain()
            sent += len(piece)

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, CONNECT)
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "200"
        last = -1
        while last != sent:  # until it is stopped
            last = sent
            await asyncio.sleep(0.1)
        assert held(gate) <= MOST
        # The same for one that reads: it gets what it gives windows for.
        before = sent
        client.send(f.window_update(0, 8_000_000), f.window_update(1, 8_000_000))
        got = 0
        while got < 8_000_000:
            got += len((await client.expect(f.DATA, 1)).content)
        await until(lambda: sent > before)
        client.close()


async def test_a_tunnel_that_stands_still_costs_no_other_its_pace(door):
    """A client takes nothing on one stream: the others of its connection go on."""

    async def script(visit):
        line, _ = await visit.switch()
        if "flood" in line:
            with contextlib.suppress(ConnectionError):
                while True:
                    visit.writer.write(bytes(65536))
                    await visit.writer.drain()
        while octets := await visit.reader.read(65536):
            visit.writer.write(octets)

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.send(f.window_update(0, 2**24))
        client.headers(1, [*CONNECT[:4], (":path", "/flood"), CONNECT[5]])
        client.headers(3, [*CONNECT[:4], (":path", "/echo"), CONNECT[5]])
        got = 0
        while got < 65535:
            frame = await client.frame()
            got += len(frame.content) if frame.kind == f.DATA else 0
        for turn in range(10):
            client.send(f.data(3, b"%d" % turn))
            assert (await client.expect(f.DATA, 3, skip=(4, 6, 8, 1))).content == b"%d" % turn
        client.close()


async def test_a_backend_that_takes_nothing_is_given_up(door):
    async def script(visit):
        await visit.switch()
        visit.writer.transport.pause_reading()
        await asyncio.Event().wait()

    limits = Limits(write_timeout_s=0.3)
    options = {"backend": {"limits": limits}, "settings": Settings(initial_window_size=65535)}
    async with RawBackend(script) as backend, door(backend.port, **options) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, CONNECT)
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "200"
        task = asyncio.create_task(pour(client, bytes(30_000_000)))
        with pytest.raises(AssertionError, match="RST_STREAM"):
            await task
        assert client.frames[-1].error_code == 8
        client.close()


@pytest.mark.parametrize("http", ["h1", "h2"])
async def test_a_client_over_tls_has_no_side_of_its_own_to_end(
    server_tls, client_tls, door, http, caplog
):
    """Its end is that of the connection, and asyncio is not told that it could be another, of which
    it would warn for each."""
    back = Back(http)
    client_tls.set_alpn_protocols(["http/1.1"])
    async with back.serve() as port, door(port, http=http, tls=server_tls) as gate:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", gate.port, ssl=client_tls, server_hostname="127.0.0.1"
        )
        writer.write(upgrade())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        writer.write(b"last words")
        writer.close()
        assert await back.read(10) == b"last words"
        assert await back.ended()
        back.send(b"too late")
        back.end()
        async with asyncio.timeout(10):
            while gate.stats()["connections"]:
                await asyncio.sleep(0.005)
    assert [each.getMessage() for each in caplog.records if each.name == "asyncio"] == []


async def test_a_backend_over_tls_has_no_side_of_its_own_to_end(
    server_tls, client_tls, front, caplog
):
    async def serve(reader, writer):
        visit = Visit(reader, writer)
        await visit.switch()
        writer.write(b"last words")
        writer.close()

    server_tls.set_alpn_protocols(["http/1.1"])
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_tls)
    port = server.sockets[0].getsockname()[1]
    there = Backend(f"https://127.0.0.1:{port}", http="h1", ssl=client_tls)
    async with server, in_front_of(there) as gate:
        await front.open(gate.port)
        assert await front.read(10) == b"last words"
        assert await front.ended()
        front.close()
    assert [each.getMessage() for each in caplog.records if each.name == "asyncio"] == []
