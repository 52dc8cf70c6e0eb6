"""Requests, tunnels and WebSockets over asyncio leave nothing behind, however they end.

`H2WS_FAST_AGAIN` is how often each ends in each of a few rounds; `make leaks` says it. With it all
run, or a sixth where `H2WS_FAST_TURN` says which; without it an eighth.
"""

import asyncio
import contextlib
import itertools
import os
import random

import pytest

from h2ws_fast import ConnectionClosed, Response, Session
from h2ws_fast.engine import Settings
from h2ws_fast.errors import ConnectionTerminated, StreamReset
from tests.support.again import flat

from .test_cancelled import OPERATIONS, SERVED, Cancelling, Prepared, drive, handler

pytestmark = [pytest.mark.measures, pytest.mark.timeout(400)]  # a sanitizer keeps what was freed

# As many streams as may be open are remembered when they are over: so that is soon full.
SETTINGS = Settings(max_concurrent_streams=20, enable_bidirectional_connect=True)
PIECE = bytes(3000)
LARGE = random.Random(5).randbytes(100_000)  # no compression takes it below what may wait


TURN = os.environ.get("H2WS_FAST_TURN")
PARTS = 8 if "H2WS_FAST_AGAIN" not in os.environ else 1 if TURN is None else 6


def part(of_all):
    """Those that run this time, one at least."""
    turn = int(TURN or 0)
    return [*of_all][turn % PARTS :: PARTS] or [[*of_all][turn % len(of_all)]]


async def pieces(number=3):
    for _ in range(number):
        yield PIECE


async def endless():
    while True:
        yield PIECE


async def broken():
    yield PIECE
    raise LookupError("a body that fails")


# -- the server -------------------------------------------------------------------------------------


async def on_request(request):
    path = request.path
    if path == "/echo":
        return Response(200, (), await request.read())
    if path == "/pieces":
        return Response(200, (), pieces(), trailers=[("x-sum", "9000")])
    if path == "/endless":
        return Response(200, (), endless())
    if path == "/fails":
        raise LookupError("a bug")
    if path == "/fails-later":
        return Response(200, (), broken())
    if path == "/never":
        await asyncio.get_running_loop().create_future()
    return Response(413, (), b"too large")


async def echo(tunnel):
    async for data in tunnel:
        await tunnel.send(data)


async def greet(tunnel):
    await tunnel.send(b"hello")


async def reset(tunnel):
    await tunnel.recv()
    tunnel.abort()


async def fail(tunnel):
    await tunnel.recv()
    raise LookupError("a bug")


async def fill(tunnel):
    while True:
        await tunnel.send(PIECE)


async def websocket(ws):
    path = ws.request.path
    with contextlib.suppress(ConnectionClosed):
        async for message in ws:
            if path == "/closes":
                await ws.close(3000, "enough")
            elif path == "/aborts":
                ws.abort()
            elif path == "/fails":
                raise LookupError("a bug")
            elif path == "/fills":
                while True:
                    await ws.send(LARGE)
            else:
                await ws.send(message)


def decide(what, request):
    return Response(403) if request.path == "/no" else None


SERVER = {
    "settings": SETTINGS,
    "handler": websocket,
    "on_request": on_request,
    "tunnels": {"echo": echo, "greet": greet, "reset": reset, "fail": fail, "fill": fill},
    "process_request": decide,
    "ping_interval": None,
    "close_timeout": 1,
}


# -- ways to end, on a connection that lives on ------------------------------------------------------

ENDINGS = {}


def ending(function):
    ENDINGS[function.__name__] = function
    return function


async def refused(error, what):
    with pytest.raises(error):
        await what


@ending
async def request_whole(session):
    response = await session.request("POST", "/echo", body=LARGE)
    assert await response.read() == LARGE


@ending
async def request_in_pieces(session):
    response = await session.request("POST", "/pieces", body=pieces(), trailers=[("x-a", "b")])
    assert len(await response.read()) == 9000
    assert response.trailers["x-sum"] == "9000"


@ending
async def request_of_its_head_alone(session):
    response = await session.request("HEAD", "/pieces")
    assert await response.read() == b""


@ending
async def request_whose_response_is_given_up(session):
    async with await session.request("GET", "/endless") as response:
        assert await anext(aiter(response))


@ending
async def request_answered_early(session):
    response = await session.request("POST", "/early", body=pieces(30))
    assert (response.status, await response.read()) == (413, b"too large")


@ending
async def request_that_fails(session):
    assert (await session.request("GET", "/fails")).status == 500


@ending
async def request_reset_by_the_server(session):
    response = await session.request("GET", "/fails-later")
    await refused(StreamReset, response.read())


@ending
async def request_whose_body_fails(session):
    await refused(LookupError, session.request("POST", "/echo", body=broken()))


@ending
async def request_cancelled_by_both(session):
    task = asyncio.ensure_future(session.request("POST", "/never", body=endless()))
    await asyncio.sleep(0.001)
    task.cancel()
    await refused(asyncio.CancelledError, task)


@ending
async def tunnel_closed_by_the_client(session):
    async with await session.tunnel("echo") as tunnel:
        await tunnel.send(PIECE)
        assert await tunnel.recv()


@ending
async def tunnel_closed_by_the_server(session):
    tunnel = await session.tunnel("greet")
    assert await tunnel.recv() == b"hello"
    assert await tunnel.recv() == b""
    await tunnel.close()


@ending
async def tunnel_reset_by_the_client(session):
    tunnel = await session.tunnel("fill")
    assert await tunnel.recv()
    tunnel.abort()


@ending
async def tunnel_reset_by_the_server(session):
    tunnel = await session.tunnel("reset")
    await tunnel.send(PIECE)
    await refused(StreamReset, tunnel.recv())


@ending
async def tunnel_that_fails(session):
    tunnel = await session.tunnel("fail")
    await tunnel.send(PIECE)
    await refused(StreamReset, tunnel.recv())


@ending
async def tunnel_refused(session):
    for token, path in (("unknown", "/"), ("echo", "/no")):
        await refused(Exception, session.tunnel(token, path))


@ending
async def byte_stream_closed_by_the_client(session):
    async with await session.bytestream(protocol="echo") as stream:
        stream.write(LARGE)
        await stream.drain()
        assert await stream.readexactly(len(LARGE)) == LARGE


@ending
async def byte_stream_closed_by_the_server(session):
    stream = await session.bytestream(protocol="greet", read_only=True)
    assert await stream.read() == b"hello"
    stream.close()
    await stream.wait_closed()


@ending
async def byte_stream_reset_by_either(session):
    for token in ("fill", "reset", "fail"):
        stream = await session.bytestream(protocol=token)
        stream.write(PIECE)
        if token == "fill":
            assert await stream.read(10)
            stream.reset()
        await refused(ConnectionResetError, stream.read())
        await refused(ConnectionResetError, stream.wait_closed())


@ending
async def byte_stream_left_while_reading_is_paused(session):
    transport, protocol = await session.create_connection(Paused, protocol="fill")
    await protocol.came
    transport.abort()
    await protocol.lost


class Paused(asyncio.Protocol):
    """Takes one piece."""

    def connection_made(self, transport):
        self.transport = transport
        self.came, self.lost = (asyncio.get_running_loop().create_future() for _ in range(2))

    def data_received(self, data):
        self.transport.pause_reading()
        self.came.set_result(None)

    def connection_lost(self, exc):
        self.lost.set_result(exc)


@ending
async def websocket_closed_by_the_client(session):
    async with await session.websocket() as ws:
        await ws.send("hello")
        assert await ws.recv() == "hello"


@ending
async def websocket_closed_by_the_server(session):
    ws = await session.websocket("/closes")
    await ws.send("hello")
    await refused(ConnectionClosed, ws.recv())
    await ws.wait_closed()


@ending
async def websocket_reset_by_either(session):
    for path in ("/", "/aborts"):
        ws = await session.websocket(path)
        await ws.send("hello")
        if path == "/":
            ws.abort()
        await ws.wait_closed()


@ending
async def websocket_whose_handler_fails(session):
    ws = await session.websocket("/fails")
    await ws.send("hello")
    await ws.wait_closed()


@ending
async def websocket_refused(session):
    await refused(Exception, session.websocket("/no"))


@ending
async def websocket_left_while_it_is_full(session):
    ws = await session.websocket("/fills")
    await ws.send("hello")
    assert await ws.recv() == LARGE
    ws.abort()
    await ws.wait_closed()


@pytest.mark.row("9113-5.1-8")
@pytest.mark.parametrize("name", part(ENDINGS))
async def test_streams_of_one_connection(clear, name):
    async with (
        clear.serve(**SERVER) as server,
        Session(clear.http, ping_interval=None, close_timeout=1, settings=SETTINGS) as session,
    ):
        (wire,) = server._wires

        async def attempt():
            await ENDINGS[name](session)

        await flat(attempt)
        async with asyncio.timeout(5):
            while wire.conn.open_streams or session._wire.conn.open_streams:
                await asyncio.sleep(0.01)


# What a server opens ends in the same ways: those alone that ask for no more than streams.
OPENED = [n for n in ENDINGS if not n.startswith("request") and not n.endswith("refused")]


@pytest.mark.row("KIN-3-1")
@pytest.mark.parametrize("name", part(OPENED))
async def test_streams_that_a_server_opens(clear, name):
    taking = {"handler": websocket, "tunnels": SERVER["tunnels"]}
    async with (
        clear.serve(**SERVER) as server,
        Session(
            clear.http, ping_interval=None, close_timeout=1, settings=SETTINGS, **taking
        ) as session,
    ):
        await (await session.websocket()).close()  # its SETTINGS have come
        (wire,) = server._wires

        async def attempt():
            await ENDINGS[name](wire.session)

        await flat(attempt)
        async with asyncio.timeout(5):
            while wire.conn.open_streams or session._wire.conn.open_streams:
                await asyncio.sleep(0.01)


# -- with the connection -----------------------------------------------------------------------------


async def lose(session, server):
    session._wire.transport.abort()


async def lose_the_server_s(session, server):
    for wire in server._wires:
        wire.transport.abort()


async def close_the_session(session, server):
    await session.close()


async def say_goaway(session, server):
    for wire in server._wires:
        wire.leave()


async def fail_the_connection(session, server):
    for wire in server._wires:
        wire.conn.abort(2, b"a fault")
        wire.touch()


CONNECTIONS = [lose, lose_the_server_s, close_the_session, say_goaway, fail_the_connection]


@pytest.mark.parametrize("end", part(CONNECTIONS))
async def test_all_of_a_connection(clear, end):
    """A request each way under way, a tunnel and a WebSocket, full and empty, when it ends."""

    async def settle(task):
        with contextlib.suppress(ConnectionTerminated, StreamReset, asyncio.CancelledError):
            await task

    async def attempt():
        session = Session(clear.http, ping_interval=None, close_timeout=0.05)
        await session.connect()
        idle, full = await session.websocket(), await session.websocket("/fills")
        tunnel = await session.tunnel("fill")
        response = await session.request("GET", "/endless")
        await full.send("hello")
        waiting = [
            asyncio.ensure_future(session.request("POST", "/never", body=endless())),
            asyncio.ensure_future(session.request("GET", "/never")),
            asyncio.ensure_future(session.request("POST", "/echo", body=endless())),
        ]
        await asyncio.sleep(0.002)
        await end(session, server)
        await session.close()
        for task in waiting:
            await settle(task)
        for ws in (idle, full):
            await ws.wait_closed()
        tunnel.abort()
        response.close()

    async with clear.serve(**{**SERVER, "close_timeout": 0.05}) as server:
        await flat(attempt, server)


# -- cancelled ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", part(OPERATIONS))
async def test_cancelled_tasks(clear, name):
    """Cancelled at the first point where it waits, then at the second, and so on round and round."""
    stops = itertools.cycle([*itertools.product(range(1, 5), (False, True))])

    async def attempt():
        at, late = next(stops)
        async with Prepared(clear, OPERATIONS[name], close_timeout=0.05) as what:
            work = Cancelling(what, at, late)
            task = asyncio.ensure_future(drive(work))
            await asyncio.wait([task], timeout=10)
            assert task.done()
            if not task.cancelled():
                task.result()

    async with clear.serve(handler, **SERVED) as server:
        await flat(attempt, server)
