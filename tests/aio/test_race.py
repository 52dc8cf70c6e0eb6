"""Happy eyeballs: whichever address of a name answers first. RFC 8305."""

import asyncio
import contextlib
import gc
import os
import socket
import stat
import struct

import pytest

from h2ws_fast import ConnectionTerminated, Session, connect, serve, unix_connect
from h2ws_fast.aio.client import race
from h2ws_fast.aio.client.race import MAX_ADDRESSES, in_turn
from tests.support.programs import free_port


async def echo(ws):
    async for message in ws:
        await ws.send(message)


@contextlib.contextmanager
def deaf():
    """A port whose queue is full: connecting to it neither succeeds nor fails."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(3):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(address)
        yield address


def found(*addresses):
    """What a resolver would return for these."""
    return [
        (socket.AF_INET6 if ":" in each[0] else socket.AF_INET, 1, 6, "", each)
        for each in addresses
    ]


@pytest.fixture
def resolves(monkeypatch):
    """`resolves(address, ...)`: what any name resolves to from here on."""

    def make(*addresses):
        async def resolve(loop, host, *rest):
            return found(*addresses)

        monkeypatch.setattr(race, "_resolve", resolve)

    return make


async def test_the_first_that_answers_wins(place, resolves):
    async with place.serve(echo):
        with deaf() as address:
            resolves(address, ("127.0.0.1", place.port))
            began = asyncio.get_running_loop().time()
            async with connect(
                place.ws(), http="h2", ssl=place.client_ssl, happy_eyeballs_delay=0.05
            ) as ws:
                assert asyncio.get_running_loop().time() - began < 2
                await ws.send("there")
                assert await ws.recv() == "there"


async def test_the_next_follows_a_failure_at_once(clear, resolves):
    async with clear.serve(echo):
        resolves(("127.0.0.1", free_port()), ("::1", free_port()), ("127.0.0.1", clear.port))
        for delay in (30, None):
            async with connect(clear.ws(), http="h2", happy_eyeballs_delay=delay) as ws:
                await ws.send("there")
                assert await ws.recv() == "there"


async def test_without_a_delay_one_waits_for_the_other(clear, resolves):
    async with clear.serve(echo):
        with deaf() as address:
            resolves(address, ("127.0.0.1", clear.port))
            with pytest.raises(TimeoutError):
                await connect(clear.ws(), happy_eyeballs_delay=None, open_timeout=0.3)


async def test_all_that_failed_are_told(clear, resolves):
    one, two = free_port(), free_port()
    resolves(("127.0.0.1", one), ("127.0.0.1", two))
    with pytest.raises(OSError) as caught:
        await connect(clear_uri())
    assert str(one) in str(caught.value) and str(two) in str(caught.value)
    resolves(("127.0.0.1", one), ("127.0.0.1", one))
    with pytest.raises(ConnectionRefusedError):
        await connect(clear_uri())
    resolves()
    with pytest.raises(OSError, match="no address"):
        await connect(clear_uri())


def clear_uri():
    return "ws://example.org"


async def test_cancelled_while_it_runs(resolves):
    with deaf() as one, deaf() as two:
        resolves(one, two)
        opening = asyncio.ensure_future(connect(clear_uri(), happy_eyeballs_delay=0.01))
        await asyncio.sleep(0.1)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening


async def test_no_more_than_so_many(resolves, monkeypatch):
    tried = []

    async def attempt(loop, to, local):
        tried.append(to)
        raise ConnectionRefusedError("no")

    monkeypatch.setattr(race, "_connect", attempt)
    resolves(*(("127.0.0.1", port) for port in range(1, 100)))
    with pytest.raises(ConnectionRefusedError):
        await connect(clear_uri())
    assert len(tried) == MAX_ADDRESSES == 16


@pytest.mark.parametrize(
    "given, turns",
    [
        ("", ""),
        ("4", "4"),
        ("446", "464"),
        ("66644", "64646"),
        ("4444", "4444"),
    ],
)
def test_families_take_turns(given, turns):
    addresses = found(
        *((("::1" if each == "6" else "127.0.0.1"), at) for at, each in enumerate(given))
    )
    order = list(in_turn(addresses))
    assert "".join("6" if each[0] == socket.AF_INET6 else "4" for each in order) == turns
    assert sorted(order) == sorted(addresses)


async def test_a_local_address(clear, resolves):
    async with clear.serve(echo):
        async with connect(clear.ws(), local_addr=("127.0.0.2", 0)) as ws:
            assert ws.local_address[0] == "127.0.0.2"
    # Those of the other family than its own are not tried.
    async with clear.serve(echo):
        resolve = race._resolve

        async def both(loop, host, *rest):
            if host == "127.0.0.2":
                return await resolve(loop, host, *rest)
            return found(("::1", clear.port), ("127.0.0.1", clear.port), ("127.0.0.1", 1))

        race._resolve = both
        try:
            async with connect(clear.ws(), local_addr=("127.0.0.2", 0)) as ws:
                assert ws.local_address[0] == "127.0.0.2"
        finally:
            race._resolve = resolve


async def test_names_are_resolved(clear):
    async with clear.serve(echo):
        async with connect(f"ws://localhost:{clear.port}", http="h2") as ws:
            await ws.send("there")
            assert await ws.recv() == "there"
    with pytest.raises(OSError):
        await connect("ws://nowhere.invalid", open_timeout=5)


@pytest.mark.parametrize("http", ["h2", "h1"])
async def test_unix_sockets(tmp_path, certificate, server_tls, client_tls, http):
    path = str(tmp_path / "it")
    for server_ssl, client_ssl in ((None, None), (server_tls, client_tls)):
        loop = asyncio.get_running_loop()
        async with serve(echo, "127.0.0.1", 0, ssl=server_ssl) as server:
            port = server.sockets[0].getsockname()[1]
            forwarding = await asyncio.start_unix_server(forward(port), path)
            async with forwarding:
                options = {"server_hostname": "127.0.0.1"} if server_ssl else {}
                async with unix_connect(path, ssl=client_ssl, http=http, **options) as ws:
                    assert ws.request.authority == "localhost"
                    await ws.send("there")
                    assert await ws.recv() == "there"
                if http == "h2":
                    uri = "https://localhost/" if server_ssl else "http://localhost"
                    session = Session(uri, unix=True, path=path, ssl=client_ssl, **options)
                    async with session, await session.websocket("/here") as ws:
                        assert ws.request.path == "/here"
                sock = socket.socket(socket.AF_UNIX)
                sock.setblocking(False)
                await loop.sock_connect(sock, path)
                async with unix_connect(sock=sock, ssl=client_ssl, http=http, **options) as ws:
                    await ws.send("there")
                    assert await ws.recv() == "there"


def forward(port):
    async def run(reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", port)

        async def pump(source, sink):
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
            sink.close()

        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(pump(reader, back), pump(there, writer))

    return run


async def test_a_socket_that_is_reset_while_it_is_taken(clear):
    # uvloop closes the descriptor then, and the socket must not do so again.
    def hang_up(reader, writer):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
        for _ in range(20):
            sock = socket.create_connection(address)
            with pytest.raises((OSError, ConnectionTerminated)):
                await connect(f"ws://127.0.0.1:{address[1]}", sock=sock, http="h2")
            with socket.socket() as one, socket.socket() as two:
                del sock
                gc.collect()
                for other in (one, two):
                    assert stat.S_ISSOCK(os.fstat(other.fileno()).st_mode)


async def test_giving_up_while_the_losers_leave(monkeypatch):
    loop = asyncio.get_running_loop()
    leaving = asyncio.Event()
    made = []

    async def attempt(loop, to, local):
        if to == "loser":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                leaving.set()
                await asyncio.sleep(0.01)
        made.append(socket.socket())
        return made[-1]

    monkeypatch.setattr(race, "_connect", attempt)
    racing = asyncio.ensure_future(race.race(loop, ["loser", "winner"], None, 0.01))
    await leaving.wait()
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    async with asyncio.timeout(5):
        while len(made) < 2 or any(sock.fileno() >= 0 for sock in made):
            await asyncio.sleep(0.01)
