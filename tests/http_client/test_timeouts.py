"""httpx's timeouts mean over HTTP/2 what they mean to its users, and harm no other request."""

import asyncio
import contextlib
import socket
import time

import httpx
import pytest

from h2ws_fast import COMPILED, serve
from h2ws_fast.aio import tls
from tests.http_client.application import on_request
from tests.support import frames as f
from tests.support.programs import free_port
from tests.support.raw import RawServer

pytestmark = [
    pytest.mark.measures,  # time, which sanitizers change
    pytest.mark.skipif(not COMPILED, reason="time passes the same on both twins"),
]
LOOPS = ("asyncio",)  # it passes the same on the other
OK = [(b":status", b"200")]


@contextlib.contextmanager
def soon(least=0.0):
    before = time.monotonic()
    yield
    assert least * 0.9 <= time.monotonic() - before < least + 3


@pytest.fixture
def silent():
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_connect(clear, client, client_tls, silent):
    clear.port = silent
    async with client(clear, verify=client_tls) as http:
        timeout = httpx.Timeout(5, connect=0.2)
        with soon(0.2), pytest.raises(httpx.ConnectTimeout) as caught:
            await http.get(f"https://127.0.0.1:{silent}/", timeout=timeout)
        assert caught.value.request.url.port == silent
        # Each waits as long as it may, and the last one ends the attempt.
        impatient = http.get(f"https://127.0.0.1:{silent}/", timeout=timeout)
        patient = http.get(f"https://127.0.0.1:{silent}/", timeout=0.4)
        with soon(0.4):
            results = await asyncio.gather(patient, impatient, return_exceptions=True)
        assert [type(each) for each in results] == [httpx.ConnectTimeout] * 2


async def test_connection_refused(place, client):
    place.port = free_port()
    async with client(place, retries=1) as http:
        with soon(), pytest.raises(httpx.ConnectError):
            await http.get("/")


async def test_retries_connect_again(clear, client):
    clear.port = free_port()
    async with client(clear, retries=2) as http:
        task = asyncio.create_task(http.get("/asked"))
        await asyncio.sleep(0.1)  # two attempts were refused, the third comes half a second later
        with socket.create_server(("127.0.0.1", clear.port)) as listener:
            async with serve(None, sock=listener, on_request=on_request):
                assert (await task).status_code == 200


async def test_certificate_that_is_not_trusted(place, client):
    if not place.secure:
        return
    async with place.serve(on_request=on_request):
        async with client(place, verify=tls.client_context()) as http:
            with pytest.raises(httpx.ConnectError, match="certificate"):
                await http.get("/asked")


@pytest.mark.parametrize("path", ["/never", "/stops"])
async def test_read(place, client, path):
    async with place.serve(on_request=on_request), client(place) as http:
        port = (await http.get("/asked")).json()["port"]
        with soon(0.3), pytest.raises(httpx.ReadTimeout) as caught:
            await http.get(path, timeout=httpx.Timeout(5, read=0.3))
        assert caught.value.request.url.path == path
        assert (await http.get("/asked")).json()["port"] == port


async def test_read_timeout_resets_with_cancel(client, raw):
    async def script(peer):
        for stream_id in (1, 3):
            await peer.expect(f.HEADERS, stream_id)
            if stream_id == 3:
                peer.headers(3, OK)
            frame = await peer.expect(f.RST_STREAM, stream_id)
            assert frame.error_code == f.CANCEL
        await peer.until_eof()

    async with RawServer(script) as server, client(raw(server), timeout=0.2) as http:
        for _ in range(2):
            with pytest.raises(httpx.ReadTimeout):
                await http.get("/")


async def test_every_piece_has_the_read_timeout_to_itself(client, raw):
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        await asyncio.sleep(0.2)
        peer.headers(1, OK)
        for number in range(3):
            await asyncio.sleep(0.2)
            peer.send(f.data(1, b"x", number == 2))
        await peer.until_eof()

    async with RawServer(script) as server, client(raw(server), timeout=0.5) as http:
        assert (await http.get("/")).text == "xxx"


@pytest.mark.parametrize("streamed", [False, True])
async def test_write(client, raw, streamed):
    async def script(peer):
        for stream_id in (1, 3):
            await peer.expect(f.HEADERS, stream_id)
            frame = await peer.expect(f.RST_STREAM, stream_id, skip=(f.DATA, f.SETTINGS))
            assert frame.error_code == f.CANCEL
        await peer.until_eof()

    async def body():
        while True:
            yield bytes(50_000)

    server = RawServer(script, (f.INITIAL_WINDOW_SIZE, 1000))
    async with server, client(raw(server)) as http:
        timeout = httpx.Timeout(5, write=0.2)
        for size in (2000, 500_000):
            with soon(0.2), pytest.raises(httpx.WriteTimeout):
                await http.post("/", content=body() if streamed else bytes(size), timeout=timeout)


@pytest.mark.parametrize("write", [0.4, None])
async def test_slow_upload_that_goes_on_is_no_timeout(client, raw, write):
    # More than the read timeout in all, every step of it less than the write timeout.
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        for _ in range(4):
            await asyncio.sleep(0.15)
            peer.send(f.window_update(1, 1000))
        await asyncio.sleep(0.15)
        peer.headers(1, OK, end_stream=True)
        await peer.until_eof()

    server = RawServer(script, (f.INITIAL_WINDOW_SIZE, 0))
    async with server, client(raw(server)) as http:
        timeout = httpx.Timeout(5, write=write, read=0.4)
        response = await http.post("/", content=bytes(4000), timeout=timeout)
        assert response.status_code == 200


async def test_slow_body_of_the_callers_is_no_timeout(clear, client):
    async def body():
        for _ in range(3):
            await asyncio.sleep(0.2)
            yield b"piece"

    async with clear.serve(on_request=on_request), client(clear, timeout=0.4) as http:
        assert (await http.post("/size", content=body())).text == "15"


async def test_pool_of_streams(client, raw):
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, OK)
        await asyncio.sleep(0.5)
        peer.send(f.data(1, b"", True))
        await peer.expect(f.HEADERS, 3)
        peer.headers(3, OK, end_stream=True)
        await peer.until_eof()

    server = RawServer(script, (f.MAX_CONCURRENT_STREAMS, 1))
    async with server, client(raw(server)) as http:
        async with http.stream("GET", "/") as response:
            with soon(0.2), pytest.raises(httpx.PoolTimeout):
                await http.get("/", timeout=httpx.Timeout(5, pool=0.2))
            task = asyncio.create_task(http.get("/"))
            assert await response.aread() == b""
        assert (await task).status_code == 200


async def test_no_timeouts_at_all(clear, client):
    async with clear.serve(on_request=on_request), client(clear, timeout=None) as http:
        assert (await http.post("/size", content=bytes(200_000))).text == "200000"
