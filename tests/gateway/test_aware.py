"""WebSockets whose messages the gateway reads: what is of one hop, and what passes."""

import asyncio
import contextlib
import random

import pytest

from h2ws_fast import ConnectionClosed, InvalidStatus, connect, serve
from h2ws_fast.aio.http import Response
from h2ws_fast.engine import Limits, Settings
from h2ws_fast.gateway import Backend
from tests.gateway.conftest import in_front_of
from tests.support import frames as f
from tests.support.backend import RawBackend
from tests.support.raw import RawClient
from tests.support.ws_frames import CONTINUATION, PING, PONG, TEXT, read_ws_frames

pairs = pytest.mark.parametrize(("front", "http"), [(a, b) for a in "21" for b in "21"])


@contextlib.asynccontextmanager
async def between(handler, *, http="h1", backend=None, aware=True, **options):
    """(gateway, server): one that reads messages if `aware`, before a server with this handler."""
    if "limits" not in options:
        options.setdefault("close_timeout", 0.5)
    async with serve(
        handler, "127.0.0.1", 0, origins=None, close_timeout=1, **(backend or {})
    ) as it:
        port = it.sockets[0].getsockname()[1]
        there = Backend(f"http://127.0.0.1:{port}", http=http)
        async with in_front_of(there, aware=aware, **options) as gate:
            yield gate, it


@contextlib.asynccontextmanager
async def heard_behind(code, **options):
    """A client on octets, its WebSocket open; at the end the backend has heard this code alone."""
    heard = []

    async def handler(ws):
        await ws.wait_closed()
        heard.append(ws.close_code)

    async with between(handler, **options) as (gate, _):
        client = await RawClient.connect(gate.port)
        assert (await client.websocket(1)).get(":status") == "200"
        yield client
        await until(lambda: heard)
        assert heard == [code]
        client.close()


async def echo(ws):
    async for message in ws:
        await ws.send(message)


def to(gate, path="/", front="2", **options):
    uri = f"ws://127.0.0.1:{gate.port}{path}"
    return connect(uri, http=f"h{front}", proxy=None, max_size=None, **options)


@pairs
async def test_messages_pass_and_so_does_what_was_asked_for(front, http):
    seen = {}

    async def handler(ws):
        seen.update(ws.request.headers.raw_items(), path=ws.request.path)
        seen["authority"] = ws.request.authority
        await echo(ws)

    options = {"backend": {"subprotocols": ["b", "a"]}, "max_size": 2**21}
    async with between(handler, http=f"h{http}", **options) as (gate, _):
        fields = {"x-own": "1", "cookie": "a=b"}
        path = "/chat?x=%20"
        async with to(gate, path, front, subprotocols=["a", "b"], additional_headers=fields) as ws:
            assert ws.subprotocol == "b"
            for message in ("", b"", "naïve ☃", b"\0\xff", random.Random(1).randbytes(2**20)):
                await ws.send(message)
                assert await ws.recv() == message
            await ws.send(["frag", "", "ments ☃"])
            assert await ws.recv() == "fragments ☃"
            stats = gate.stats()
            assert stats["tunnels"] == 1 and load(gate) == 1
        assert (ws.close_code, ws.close_reason) == (1000, "")
        assert seen["x-own"] == "1" and seen["cookie"] == "a=b" and seen["path"] == path
        assert seen["authority"] == f"127.0.0.1:{gate.port}"
        assert seen["x-forwarded-for"] == "127.0.0.1" and "via" in seen
        await until(lambda: not load(gate))


def load(gate):
    return sum(backend["load"] for backend in gate.stats()["backends"].values())


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@pairs
@pytest.mark.parametrize("code", [1000, 4321, None])
async def test_close_codes_pass_both_ways(front, http, code):
    heard = []

    async def handler(ws):
        if ws.request.path == "/first":
            ws._start_closing(code, "" if code is None else "bye")
        await ws.wait_closed()
        heard.append((ws.close_code, ws.close_reason))

    told = (1005, "") if code is None else (code, "bye")
    async with between(handler, http=f"h{http}") as (gate, _):
        async with to(gate, "/first", front) as ws:
            await ws.wait_closed()
            assert (ws.close_code, ws.close_reason) == told
        async with to(gate, "/second", front) as ws:
            ws._start_closing(code, "" if code is None else "bye")
            await ws.wait_closed()
        await until(lambda: len(heard) == 2)
        assert heard[1] == told


async def test_pings_stay_on_their_hop():
    """The gateway answers those of each side, and asks both sides itself."""
    heard = []

    async def script(visit):
        await visit.switch()
        while True:
            head = await visit.read(2)
            rest = await visit.read(4 + (head[1] & 0x7F))
            heard.extend(read_ws_frames(head + rest))

    async with RawBackend(script) as server:
        there = Backend(f"http://127.0.0.1:{server.port}", http="h1")
        async with in_front_of(there, aware=True, ping_interval=0.1, ping_timeout=20) as gate:
            client = await RawClient.connect(gate.port)
            assert (await client.websocket(1)).get(":status") == "200"
            client.ws(1, PING, b"mine")
            kinds = set()
            while {PING, PONG} - kinds:
                for frame in await client.ws_frames(1, 1):
                    kinds.add(frame.opcode)
                    assert (frame.opcode == PONG) == (frame.payload == b"mine")
            await until(lambda: heard)
            assert {frame.opcode for frame in heard} == {PING}
            assert b"mine" not in [frame.payload for frame in heard]
            client.close()


async def test_a_client_that_answers_no_ping_is_given_up_and_the_backend_told():
    async with heard_behind(1011, ping_interval=0.1, ping_timeout=0.1):
        pass


@pairs
async def test_messages_beyond_max_size_both_ways(front, http):
    codes = []

    async def handler(ws):
        if ws.request.path == "/down":
            await ws.send(bytes(2000))
        await ws.wait_closed()
        codes.append(ws.close_code)

    options = {"max_size": 1000, "backend": {"max_size": None}, "compression": None}
    async with between(handler, http=f"h{http}", **options) as (gate, _):
        for path in ("/up", "/down"):
            async with to(gate, path, front) as ws:
                if path == "/up":
                    with contextlib.suppress(ConnectionClosed):
                        await ws.send(random.Random(2).randbytes(2000))
                await ws.wait_closed()
                assert ws.close_code == 1009
        await until(lambda: len(codes) == 2)
        assert codes == [1009, 1009]


async def test_a_frame_that_is_none_ends_with_1002_and_the_backend_hears():
    async with heard_behind(1002) as client:
        client.ws(1, CONTINUATION, b"of nothing")
        frames = await client.ws_frames(1, 1)
        assert frames[0].payload[:2] == (1002).to_bytes(2, "big")


@pairs
async def test_a_side_that_is_lost_is_lost_to_the_other(front, http):
    lost = []

    async def handler(ws):
        if ws.request.path == "/cut":
            ws.abort()
        await ws.wait_closed()
        lost.append(ws.close_code)

    async with between(handler, http=f"h{http}") as (gate, _):
        async with to(gate, "/cut", front) as ws:
            await ws.wait_closed()
            assert ws.close_code == 1006
        async with to(gate, "/", front) as ws:
            ws.abort()
        await until(lambda: lost == [1006, 1006])
        await until(lambda: not load(gate))


async def test_pieces_of_a_message_are_not_held():
    """The first piece is there while the last one has not come."""
    pieces = []

    async def handler(ws):
        async for piece in ws.recv_streaming():
            pieces.append(piece)

    async with between(handler, compression=None) as (gate, _):
        client = await RawClient.connect(gate.port)
        assert (await client.websocket(1)).get(":status") == "200"
        client.ws(1, TEXT, b"begun", fin=False)
        await until(lambda: pieces)
        assert pieces == ["begun"]
        client.ws(1, CONTINUATION, b", ended")
        await until(lambda: "".join(pieces) == "begun, ended")
        client.close()


async def test_a_backend_that_does_not_read_stops_the_client():
    reading = asyncio.Event()
    got = []

    async def handler(ws):
        await reading.wait()
        async for message in ws:
            got.append(len(message))

    octets = random.Random(3).randbytes(2**19)
    options = {
        "backend": {"max_queue": 1},
        "settings": Settings(initial_window_size=65535),
        "limits": Limits(max_window=65535, close_timeout_s=0.5),
    }
    async with between(handler, **options) as (gate, _):
        async with to(gate, compression=None) as ws:
            sending = asyncio.create_task(pour(ws, octets, 64))
            last = -1
            while last != ws.wire.conn.waiting(ws.stream_id) or not last:
                last = ws.wire.conn.waiting(ws.stream_id)
                await asyncio.sleep(0.2)
            assert not sending.done()
            assert gate.stats()["octets_held"] < 1_500_000
            reading.set()
            await sending
            await until(lambda: len(got) == 64)


async def pour(ws, octets, times):
    for _ in range(times):
        await ws.send(octets)


@pairs
async def test_what_the_backend_refuses_is_refused(front, http):
    def refuse(ws, request):
        return Response(403, {"x-why": "because"}, b"no")

    options = {"backend": {"process_request": refuse}}
    async with between(echo, http=f"h{http}", **options) as (gate, _):
        with pytest.raises(InvalidStatus) as caught:
            await to(gate, "/", front)
        answer = caught.value.response
        assert (answer.status, answer.headers["x-why"], answer.body) == (403, "because", b"no")
        assert load(gate) == 0


@pytest.mark.parametrize("front", ["2", "1"])
async def test_a_backend_that_is_not_there(front):
    there = Backend("http://127.0.0.1:1", http="h1", connect_timeout=5)
    async with in_front_of(there, aware=True) as gate:
        with pytest.raises(InvalidStatus, match="502"):
            await to(gate, "/", front)


async def test_each_hop_compresses_as_it_agreed():
    seen = []

    async def handler(ws):
        seen.append(ws.compression is not None)
        await echo(ws)

    async with between(handler, backend={"compression": None}) as (gate, _):
        async with to(gate) as ws:
            assert ws.compression is not None
            await ws.send("x" * 1000)
            assert await ws.recv() == "x" * 1000
    async with between(handler) as (gate, _):
        async with to(gate, compression=None) as ws:
            assert ws.compression is None
            await ws.send(b"x" * 1000)
            assert await ws.recv() == b"x" * 1000
    assert seen == [False, True]


async def test_a_gateway_that_ends_says_so():
    codes = []

    async def handler(ws):
        await ws.wait_closed()
        codes.append(ws.close_code)

    async with between(handler) as (gate, _):
        async with to(gate) as ws:
            gate.close()
            await ws.wait_closed()
            assert ws.close_code == 1001
        await gate.wait_closed()
        await until(lambda: codes == [1001])


async def test_a_client_that_leaves_before_the_backend_has_answered():
    asked, gone = asyncio.Event(), asyncio.Event()

    async def wait(ws, request):
        asked.set()
        try:
            await asyncio.sleep(20)
        finally:
            gone.set()

    async with between(echo, http="h2", backend={"process_request": wait}) as (gate, _):
        client = await RawClient.connect(gate.port)
        client.ask_for_websocket(1)
        await asked.wait()
        client.send(f.rst_stream(1, 8))
        async with asyncio.timeout(10):
            await gone.wait()
        client.close()


@pytest.mark.parametrize("aware", [True, False])
@pytest.mark.parametrize(("hangs_up", "status"), [(False, "504"), (True, "502")])
async def test_what_was_asked_of_one_backend_is_asked_of_no_other(aware, hangs_up, status):
    heads = []

    async def script(visit):
        heads.append(await visit.head())
        if hangs_up:
            visit.close()
        await visit.rest()

    async with RawBackend(script) as one, RawBackend(script) as two:
        there = [Backend(f"http://127.0.0.1:{each.port}", http="h1") for each in (one, two)]
        async with in_front_of(*there, aware=aware, open_timeout=2) as gate:
            client = await RawClient.connect(gate.port)
            assert (await client.websocket(1)).get(":status") == status
            assert len(heads) == 1
            assert [backend.failures for backend in there] == [0, 0]
            client.close()


@pytest.mark.parametrize("http", ["h1", "h2"])
async def test_a_backend_that_takes_too_long_to_connect_is_passed_over(http, client_tls):
    """What does not answer a ClientHello is not reached; the next one is."""
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    dead = Backend(f"https://127.0.0.1:{port}", http=http, ssl=client_tls, connect_timeout=0.2)
    async with silent, serve(echo, "127.0.0.1", 0, origins=None) as server:
        lives = Backend(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", http=http)
        async with in_front_of(dead, lives, aware=True) as gate:
            async with to(gate) as ws:
                await ws.send("x")
                assert await ws.recv() == "x"
            assert (dead.failures, lives.failures) == (1, 0)


@pytest.mark.parametrize("aware", [True, False])
@pytest.mark.parametrize("http", ["h1", "h2"])
async def test_a_path_passes_as_it_came(aware, http):
    paths = ["/chat?", "/?", '/a"b', "/a\\b", "/a{b}^`", "/%zz", "//x/y", "/a/../b?c?"]
    seen = []

    async def handler(ws):
        seen.append(ws.request.path)
        await ws.wait_closed()

    async with between(handler, http=http, aware=aware) as (gate, _):
        client = await RawClient.connect(gate.port)
        for stream_id, path in enumerate(paths):
            client.ask_for_websocket(1 + 2 * stream_id, path)
            assert (await client.expect(f.HEADERS)).get(":status") == "200"
        client.close()
    assert seen == paths
