"""Peers that are slow, silent, or do not listen, each on a real socket.

The clocks themselves, with their time given by hand: tests/behaviour/test_timeouts.py. Here a
timeout is a fraction of a second, and what is seen is what the peer sees.
"""

import asyncio
import contextlib
import functools
import inspect
import socket
import ssl
import time

import pytest

from h2ws_fast import (
    ConnectionClosedError,
    ConnectionTerminated,
    Response,
    Session,
    StreamReset,
    connect,
    serve,
)
from h2ws_fast.aio import tls
from h2ws_fast.engine import Limits
from tests.aio.conftest import LOOPS, run
from tests.support import frames as f
from tests.support import h1
from tests.support.neighbour import Neighbour, Usage
from tests.support.raw import RawClient, RawServer
from tests.support.ws_frames import CLOSE, PING, PONG, TEXT, read_ws_frames, ws_frame

from .conftest import LARGER, LATENCY_S, MIB, SANITIZED, SLOWER

row = pytest.mark.row

T = 0.4  # seconds: every timeout here
GET = [(":method", "GET"), (":scheme", "http"), (":authority", "127.0.0.1"), (":path", "/")]
POST = [(":method", "POST"), *GET[1:]]


def on_both_loops(test):
    @pytest.mark.parametrize("kind", list(LOOPS))
    @functools.wraps(test)
    def wrapper(kind, **fixtures):
        run(test(**fixtures), kind)

    # pytest asks for the arguments of the wrapped function, and `kind` is one more.
    names = ("kind", *inspect.signature(test).parameters)
    keyword = inspect.Parameter.KEYWORD_ONLY
    wrapper.__signature__ = inspect.Signature([inspect.Parameter(x, keyword) for x in names])
    return wrapper


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def swallow(request):
    return Response(200, (), str(len(await request.read())))


NEIGHBOUR = "/neighbour"


@contextlib.asynccontextmanager
async def serving(handler=echo, *, memory=8 * MIB, cpu=0.5, **options):
    """A server, and a neighbour who must notice nothing of what is done to it.

    `memory` in octets and `cpu` in seconds are the most that all of it may use, the test included.
    """

    async def handle(ws):
        await (echo if ws.request.path == NEIGHBOUR else handler)(ws)

    async with serve(handle, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        if "ssl" in options:
            context = tls.client_context(verify=False)
            neighbour = Neighbour(f"wss://127.0.0.1:{port}{NEIGHBOUR}", context)
        else:
            neighbour = Neighbour(f"ws://127.0.0.1:{port}{NEIGHBOUR}")
        await asyncio.to_thread(neighbour.start)
        try:
            usage = Usage()
            yield server, port
            seconds, grown = usage.seconds, usage.grown
        finally:
            await asyncio.to_thread(neighbour.stop)
    neighbour.check(LATENCY_S)
    print(
        f"CPU {seconds:.2f} s, memory {grown / MIB:.1f} MiB, echo {neighbour.worst * 1000:.0f} ms"
    )
    assert SANITIZED or grown < memory * LARGER, f"memory grew by {grown / MIB:.1f} MiB"
    assert seconds < cpu * SLOWER, f"{seconds:.2f} s of CPU time"


def others(server):
    """Connections but for the neighbour's."""
    return server.stats()["connections"] - 1


async def drip(writer, octets, pause):
    """Write octet by octet until all are out or the peer has had enough."""
    with contextlib.suppress(ConnectionError):
        for octet in octets:
            writer.write(bytes([octet]))
            await writer.drain()
            await asyncio.sleep(pause)


async def ends_in_time(peer, begun=None, least=0.0, most=3 * T + 0.5):
    """Read to the end of the connection, which must come in time; return the frames."""
    begun = time.monotonic() if begun is None else begun
    async with asyncio.timeout(most + 1):
        found = await peer.until_eof()
    assert least <= time.monotonic() - begun <= most
    return found


def codes(frames):
    return [x.error_code for x in frames if x.kind == f.GOAWAY]


async def check_others(port):
    """Somebody else is served."""
    async with connect(f"ws://127.0.0.1:{port}/") as ws:
        await ws.send("still there")
        assert await ws.recv() == "still there"


# -- slow openings -----------------------------------------------------------------------------


@row("SEC-4-2")
@on_both_loops
async def test_tls_handshake_octet_by_octet(certificate):
    context = tls.server_context(*certificate)
    async with serving(ssl=context, open_timeout=T) as (server, port):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = tls.client_context(cafile=certificate[0]).wrap_bio(
            incoming, outgoing, server_hostname="127.0.0.1"
        )
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        hello = outgoing.read()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        begun = time.monotonic()
        dripping = asyncio.create_task(drip(writer, hello, 0.05))
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        assert T - 0.1 <= time.monotonic() - begun <= 3 * T
        dripping.cancel()
        await asyncio.wait([dripping])
        writer.close()
        assert [ws.request.path for ws in server.connections] == [NEIGHBOUR]
        assert others(server) == 0
        # Whoever is quicker is served.
        context = tls.client_context(cafile=certificate[0])
        async with connect(f"wss://127.0.0.1:{port}/", ssl=context) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"


@row("SEC-9-5")
@on_both_loops
async def test_nothing_is_answered_before_the_tls_handshake_has_ended(certificate):
    # Python's ssl takes no early data. An extended CONNECT that is sent with the client's last
    # flight is read once the handshake is over, and not before.
    asked = []

    def process(ws, request):
        if request.path != NEIGHBOUR:
            asked.append(ws.wire.transport.get_extra_info("ssl_object").version())

    context = tls.server_context(*certificate)
    async with serving(ssl=context, process_request=process) as (_, port):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = tls.client_context(cafile=certificate[0]).wrap_bio(
            incoming, outgoing, server_hostname="127.0.0.1"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(65536))
        # Our Finished has not left yet: for the server the handshake goes on.
        finished = outgoing.read()
        raw = RawClient(None, None)
        block = raw.encoder.encode(
            [
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "https"),
                (":authority", "127.0.0.1"),
                (":path", "/"),
                ("sec-websocket-version", "13"),
            ]
        )
        client.write(f.MAGIC + f.settings() + f.headers(1, block))
        early = outgoing.read()
        writer.write(finished[:-1])
        await asyncio.sleep(0.05)
        assert asked == []
        writer.write(finished[-1:] + early)
        while not asked:
            await asyncio.sleep(0.01)
        assert asked == [client.version()]
        assert not client.session_reused
        writer.close()
    # What would have to be switched on for early data does not exist.
    assert not hasattr(context, "max_early_data")


@row("SEC-4-2")
@on_both_loops
async def test_preface_octet_by_octet():
    async with serving(limits=Limits(preface_timeout_s=T)) as (_, port):
        peer = await RawClient.connect(port, greet=False)
        dripping = asyncio.create_task(drip(peer.writer, f.MAGIC + f.settings(), 0.05))
        found = await ends_in_time(peer, least=T - 0.1)
        assert codes(found) == [f.SETTINGS_TIMEOUT]
        dripping.cancel()
        await asyncio.wait([dripping])
        peer.close()
        await check_others(port)


@row("SEC-4-2")
@on_both_loops
async def test_head_of_http1_octet_by_octet():
    async with serving(limits=Limits(handshake_timeout_s=T)) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        begun = time.monotonic()
        dripping = asyncio.create_task(drip(writer, h1.upgrade(), 0.02))
        async with asyncio.timeout(5):
            answer = await reader.readuntil(b"\r\n\r\n")
        assert T - 0.1 <= time.monotonic() - begun <= 3 * T + 0.5
        assert answer.startswith(b"HTTP/1.1 408 ")
        dripping.cancel()
        await asyncio.wait([dripping])
        writer.close()
        assert server.stats()["limits"] == {"handshake_timeout_s": 1}
        await check_others(port)


@row("SEC-4-2")
@pytest.mark.parametrize("limit", ["first_request_timeout_s", "idle_timeout_s"])
@on_both_loops
async def test_client_that_asks_for_nothing(limit):
    limits = Limits(**{limit: T, "shutdown_timeout_s": T})
    async with serving(limits=limits, on_request=swallow) as (server, port):
        peer = await RawClient.connect(port)
        if limit == "idle_timeout_s":
            peer.headers(1, GET, end_stream=True)
            await peer.expect(f.HEADERS, 1)
        # It does not answer the PING of the first GOAWAY either.
        found = await ends_in_time(peer, least=T - 0.1)
        assert codes(found) == [f.NO_ERROR, f.NO_ERROR]
        peer.close()
        assert server.stats()["limits"] == {limit: 1, "shutdown_timeout_s": 1}
        await check_others(port)


# -- slow frames -------------------------------------------------------------------------------


@row("SEC-2-2")
@on_both_loops
async def test_header_block_octet_by_octet():
    limits = Limits(header_block_timeout_s=T)
    async with serving(limits=limits) as (_, port):
        peer = await RawClient.connect(port)
        block = peer.encoder.encode([*GET, ("x", "y" * 100)])
        octets = f.headers(1, block[:5], True, end_headers=False) + b"".join(
            f.continuation(1, bytes([octet]), end_headers=False) for octet in block[5:]
        )
        dripping = asyncio.create_task(drip(peer.writer, octets, 0.02))
        found = await ends_in_time(peer, least=T - 0.1)
        assert codes(found) == [f.ENHANCE_YOUR_CALM]
        dripping.cancel()
        await asyncio.wait([dripping])
        peer.close()
        await check_others(port)


@row("SEC-4-2")
@on_both_loops
async def test_half_a_frame():
    async with serving(limits=Limits(frame_timeout_s=T)) as (_, port):
        peer = await RawClient.connect(port)
        peer.send(f.settings((f.INITIAL_WINDOW_SIZE, 1000))[:-1])
        found = await ends_in_time(peer, least=T - 0.1)
        assert codes(found) == [f.ENHANCE_YOUR_CALM]
        peer.close()
        await check_others(port)


@row("SEC-4-2")
@on_both_loops
async def test_body_octet_by_octet():
    ended = []

    async def read(request):
        try:
            return await swallow(request)
        except asyncio.CancelledError:
            ended.append(request)  # nobody waits for the answer: the work stops
            raise

    async with serving(limits=Limits(body_timeout_s=T), on_request=read) as (_, port):
        peer = await RawClient.connect(port)
        peer.headers(1, POST)
        octets = b"".join(f.data(1, b"x") for _ in range(500))
        begun = time.monotonic()
        dripping = asyncio.create_task(drip(peer.writer, octets, 0.005))
        reset = await peer.expect(f.RST_STREAM, 1)
        assert T - 0.1 <= time.monotonic() - begun <= 3 * T + 0.5
        assert reset.error_code == f.CANCEL
        dripping.cancel()
        await asyncio.wait([dripping])
        assert len(ended) == 1
        peer.close()
        await check_others(port)


@row("SEC-4-2")
@pytest.mark.parametrize("piece", [b"x", b"1\r\nx\r\n"], ids=["length", "chunked"])
@on_both_loops
async def test_body_octet_by_octet_over_http1(piece):
    ended = []

    async def read(request):
        try:
            return await swallow(request)
        except asyncio.CancelledError:
            ended.append(request)
            raise

    length = b"content-length: 1000" if len(piece) == 1 else b"transfer-encoding: chunked"
    limits = Limits(body_timeout_s=T)
    async with serving(limits=limits, on_request=read) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\n" + length + b"\r\n\r\n")

        async def drip_on():
            with contextlib.suppress(ConnectionError):
                while not writer.is_closing():
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.01)

        begun = time.monotonic()
        dripping = asyncio.create_task(drip_on())
        async with asyncio.timeout(5):
            answer = await reader.readuntil(b"\r\n\r\n")
        assert T - 0.1 <= time.monotonic() - begun <= 3 * T + 0.5
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in answer.lower()
        writer.close()
        await asyncio.wait([dripping])
        assert len(ended) == 1
        assert server.stats()["limits"] == {"body_timeout_s": 1}
        await check_others(port)


# -- peers that do not listen ------------------------------------------------------------------


def deaf(port):
    """A connected socket that holds little."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        sock.connect(("127.0.0.1", port))
    return sock


def ask(path="/"):
    raw = RawClient(None, None)
    fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        *GET[1:3],
        (":path", path),
        ("sec-websocket-version", "13"),
    ]
    return f.headers(1, raw.encoder.encode(fields))


@row("SEC-4-1")
@pytest.mark.parametrize("window", [0, 2**31 - 1, None])
@on_both_loops
async def test_reader_that_never_reads(window):
    # Either by a window of none, or by TCP although the window is endless, or over HTTP/1.1.
    seen = {}
    over = asyncio.Event()

    async def talk(ws):
        wire = ws.wire
        try:
            while True:
                sending = ws.send(bytes(60_000))
                queued = wire.conn.stats()["octets_queued"]
                waiting = wire.transport.get_write_buffer_size()
                seen["most"] = max(seen.get("most", 0), queued + waiting)
                await sending
        except ConnectionClosedError as error:
            seen["error"] = error
            over.set()

    async with serving(talk, write_timeout=T, ping_interval=None) as (server, port):
        sock = deaf(port)
        loop = asyncio.get_running_loop()
        opening = f.MAGIC + f.settings((f.INITIAL_WINDOW_SIZE, window or 0)) + f.settings_ack()
        await asyncio.sleep(0.05)
        if window:
            opening += f.window_update(0, window - 65535)
        await loop.sock_sendall(sock, h1.upgrade() if window is None else opening + ask())
        begun = time.monotonic()
        async with asyncio.timeout(5):
            await over.wait()
        assert T - 0.1 <= time.monotonic() - begun <= 2 * T + 1
        assert seen["error"].rcvd is None
        assert seen["most"] < 400_000
        # The connection itself is gone, too: nothing but that stream was on it.
        async with asyncio.timeout(3):
            while others(server):
                sock_data = await loop.sock_recv(sock, 65536)
                if not sock_data:
                    break
        assert server.stats()["limits"]["write_timeout_s"] >= 1
        sock.close()


@row("SEC-4-3")
@pytest.mark.parametrize("late", [False, True], ids=["silent", "late-octet"])
@on_both_loops
async def test_tunnel_into_a_black_hole_ends_at_the_server(late):
    ended = asyncio.get_running_loop().create_future()

    async def hold(tunnel):
        try:
            await tunnel.recv()
        except StreamReset as error:
            ended.set_result(error)
            raise

    options = {"keepalive_interval": T, "keepalive_timeout": T / 2, "tunnels": {"t": hold}}
    async with serving(**options) as (server, port):
        peer = await RawClient.connect(port)
        fields = [(":method", "CONNECT"), (":protocol", "t"), *GET[1:]]
        peer.headers(1, fields)
        await peer.expect(f.HEADERS, 1)
        if late:
            # Octets that were on their way when the PING left. They answer nothing.
            while (await peer.frame()).kind != f.PING:
                pass
            peer.send(f.window_update(0, 1))
        # From here on it is silent, though its TCP is well.
        begun = time.monotonic()
        error = await asyncio.wait_for(ended, 5)
        assert 1.25 * T - 0.1 <= time.monotonic() - begun <= 1.5 * T + 0.5
        assert "sign of life" in error.reason
        assert f.PING in [x.kind for x in await ends_in_time(peer)]
        peer.close()
        assert server.stats()["limits"] == {"keepalive_timeout_s": 1}


@row("SEC-4-3")
@on_both_loops
async def test_session_to_a_black_hole_ends():
    async def silent(peer):
        request = await peer.expect(f.HEADERS)
        peer.headers(request.stream_id, [(":status", "200")])
        await asyncio.sleep(10)

    async with RawServer(silent, (f.ENABLE_CONNECT_PROTOCOL, 1)) as place:
        session = Session(
            f"http://127.0.0.1:{place.port}", keepalive_interval=T, keepalive_timeout=T / 2
        )
        async with session:
            response = await session.request("GET", "/")
            with pytest.raises(StreamReset, match="sign of life"):
                await asyncio.wait_for(response.read(), 5)
            with pytest.raises(ConnectionTerminated, match="sign of life"):
                await session.request("GET", "/")


@on_both_loops
async def test_session_that_its_server_would_keep_for_ever_ends():
    # Nor do PINGs keep it: what counts are streams.
    ended = asyncio.get_running_loop().create_future()

    async def keep(peer):
        request = await peer.expect(f.HEADERS)
        peer.headers(request.stream_id, [(":status", "204")], end_stream=True)
        begun = time.monotonic()
        pinging = asyncio.create_task(drip(peer.writer, f.ping() * 100, T / 50))
        found = await peer.until_eof()
        pinging.cancel()
        await asyncio.wait([pinging])
        ended.set_result((time.monotonic() - begun, found))

    async with RawServer(keep, (f.ENABLE_CONNECT_PROTOCOL, 1)) as place:
        limits = Limits(client_idle_timeout_s=T)
        async with Session(f"http://127.0.0.1:{place.port}", limits=limits) as session:
            assert (await session.request("GET", "/")).status == 204
            elapsed, found = await asyncio.wait_for(ended, 5)
            assert T - 0.1 <= elapsed <= 3 * T + 0.5
            assert codes(found) == [f.NO_ERROR]


@row("SEC-4-3")
@on_both_loops
async def test_websocket_without_pongs_is_closed_with_1011():
    closed = asyncio.get_running_loop().create_future()

    async def wait(ws):
        try:
            await ws.recv()
        except ConnectionClosedError as error:
            closed.set_result(error)

    options = {"ping_interval": T, "ping_timeout": T / 2, "close_timeout": T / 2}
    async with serving(wait, **options) as (_, port):
        peer = await RawClient.connect(port)
        await peer.websocket()
        (ping, close) = await peer.ws_frames(1, 2)
        assert ping.opcode == PING
        assert (close.opcode, close.close_code) == (CLOSE, 1011)
        assert close.payload[2:] == b"keepalive ping timeout"
        error = await asyncio.wait_for(closed, 5)
        assert (error.rcvd, error.sent.code) == (None, 1011)
        assert (await peer.expect(f.DATA, 1)).end_stream
        assert (await peer.expect(f.RST_STREAM, 1)).error_code == f.CANCEL
        peer.close()


@row("SEC-4-3")
@on_both_loops
async def test_peer_is_not_blamed_for_a_reader_who_does_not_read():
    # Its pong may stand behind messages for which the window has no room.
    reading = asyncio.Event()

    async def late(ws):
        await reading.wait()
        async for message in ws:
            await ws.send(message)

    options = {"ping_interval": T / 4, "ping_timeout": T / 4}
    async with serving(late, **options) as (server, port):
        peer = await RawClient.connect(port)
        await peer.websocket()
        peer.ws(1, TEXT, b"read me")
        await asyncio.sleep(2 * T)
        assert len(server.connections) == 2  # the neighbour's too
        reading.set()
        frames = []
        while not [x for x in frames if x.opcode == TEXT]:
            data = await peer.expect(f.DATA, 1)
            frames += [x for x in _frames(data) if x.opcode in (TEXT, PING, CLOSE)]
            peer.send(
                *(
                    f.data(1, ws_frame(PONG, x.payload, key=peer.key))
                    for x in _frames(data)
                    if x.opcode == PING
                )
            )
        assert CLOSE not in [x.opcode for x in frames]
        peer.close()


def _frames(data):
    return read_ws_frames(data.content)


@row("SEC-4-3")
@on_both_loops
async def test_pings_of_a_connection_go_together():
    # Opened one after the other, pinged in one write: whatever the number, one timer.
    count = 100
    interval = 0.8
    async with serving(ping_interval=interval, ping_timeout=10) as (_, port):
        peer = await RawClient.connect(port)
        for i in range(count):
            await peer.websocket(2 * i + 1)
            if i % 10 == 0:
                await asyncio.sleep(0.02)
        begun = time.monotonic()
        bursts, last, pinged = 0, 0.0, 0
        while pinged < 3 * count:
            data = await peer.expect(f.DATA)
            now = time.monotonic()
            if now - last > 0.05:
                bursts += 1
            last = now
            for ping in _frames(data):
                assert ping.opcode == PING
                pinged += 1
                peer.ws(data.stream_id, PONG, ping.payload)
        assert bursts <= 8
        assert now - begun > 2 * interval * 0.7
        peer.close()


# -- what is exempt ----------------------------------------------------------------------------


@on_both_loops
async def test_open_tunnels_have_no_clock_of_http():
    async def loop_back(tunnel):
        async for data in tunnel:
            await tunnel.send(data)

    names = ("first_request", "idle", "frame", "header_block", "body", "write", "handshake")
    limits = Limits(**{f"{name}_timeout_s": T / 2 for name in names})
    async with serving(tunnels={"t": loop_back}, limits=limits, ping_interval=None) as (_, port):
        async with Session(f"http://127.0.0.1:{port}") as session:
            ws = await session.websocket("/")
            tunnel = await session.tunnel("t", "/")
            await asyncio.sleep(4 * T)
            await ws.send("awake")
            assert await ws.recv() == "awake"
            await tunnel.send(b"awake")
            assert await tunnel.recv() == b"awake"
            await tunnel.close()


# -- the end of a transport --------------------------------------------------------------------


@on_both_loops
async def test_goaway_reaches_a_client_that_goes_on_sending():
    # A socket that is closed with octets unread resets the connection, and the reset overtakes.
    async with serving() as (_, port):
        peer = await RawClient.connect(port)
        peer.send(f.ping(b"short"))
        for _ in range(10):
            await asyncio.sleep(0.02)
            peer.send(f.ping())
            await peer.writer.drain()  # no reset
        found = await ends_in_time(peer)
        assert codes(found) == [f.FRAME_SIZE_ERROR]
        assert await peer.reader.read() == b""
        peer.close()


@on_both_loops
async def test_goaway_reaches_a_client_that_goes_on_sending_over_tls(certificate):
    context = tls.server_context(*certificate)
    client = tls.client_context(cafile=certificate[0])
    async with serving(ssl=context) as (_, port):
        peer = await RawClient.connect(port, ssl=client)
        peer.send(f.ping(b"short"))
        for _ in range(10):
            await asyncio.sleep(0.02)
            peer.send(f.ping())
            await peer.writer.drain()
        goaway = await peer.expect(f.GOAWAY)
        assert goaway.error_code == f.FRAME_SIZE_ERROR
        peer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await peer.writer.wait_closed()


@pytest.mark.parametrize("pace", ["slow", "fast"])
@on_both_loops
async def test_client_that_never_stops_sending_is_cut_off(pace):
    # So long, and so many octets, and no more.
    async with serving() as (server, port):
        peer = await RawClient.connect(port)
        peer.send(f.ping(b"short"))
        begun = time.monotonic()
        sent = 0
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                while others(server):
                    piece = bytes(10 if pace == "slow" else 1 << 18)
                    peer.writer.write(piece)
                    await peer.writer.drain()
                    sent += len(piece)
                    await asyncio.sleep(0.02 if pace == "slow" else 0)
        assert time.monotonic() - begun < 2.5
        assert sent < 32 * 2**20
        peer.writer.transport.abort()
