"""Streams that a server opens to its client."""

import asyncio
import contextlib

import pytest

from h2ws_fast import (
    ConnectionClosed,
    ConnectionTerminated,
    InvalidStatus,
    NoAvailableStreams,
    Session,
    StreamReset,
    serve,
)
from h2ws_fast.engine import Settings
from tests.support import frames as f
from tests.support.raw import RawClient, RawServer
from tests.support.ws_frames import TEXT, ws_frame

ON = Settings(enable_bidirectional_connect=True)
ASKED = [
    (":method", "CONNECT"),
    (":protocol", "bytestream"),
    (":scheme", "http"),
    (":authority", "a.example"),
    (":path", "/"),
]


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def octets_back(tunnel):
    async for data in tunnel:
        await tunnel.send(data)


class Sessions:
    """What `on_session` is given."""

    def __init__(self):
        self.came = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()

    async def __call__(self, session):
        self.came.set_result(session)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended.set_result(None)


class Forever:
    """A handler that never ends."""

    def __init__(self):
        self.cancelled = asyncio.get_running_loop().create_future()

    async def __call__(self, tunnel):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.cancelled.set_result(None)


@pytest.mark.row("KIN-2-4", "KIN-3-1", "KIN-3-3")
async def test_a_server_opens_websockets_and_streams(place):
    sessions = Sessions()
    async with (
        place.serve(echo, on_session=sessions),
        Session(
            place.http, ssl=place.client_ssl, handler=echo, tunnels={"bytestream": octets_back}
        ) as client,
    ):
        server = await sessions.came
        assert server.connected and server.remote_address == client._wire.local_address
        async with await server.websocket("/of/the/server", additional_headers={"x": "1"}) as ws:
            assert ws.stream_id == 2 and ws.compression is not None
            for message in ("text", b"octets", "long " * 50_000):
                await ws.send(message)
                assert await ws.recv() == message
        async with await server.bytestream("/b", priority="u=1") as stream:
            assert stream.stream_id == 4
            stream.write(bytes(1_000_000))
            stream.write_eof()
            assert await stream.read() == bytes(1_000_000)
        async with await server.tunnel("bytestream") as tunnel:
            await tunnel.send(b"octets")
            assert await tunnel.recv() == b"octets"
        # The client opens as ever, and both at once.
        async with (
            await client.websocket() as mine,
            await server.websocket() as theirs,
        ):
            await asyncio.gather(mine.send("one"), theirs.send("other"))
            assert await asyncio.gather(mine.recv(), theirs.recv()) == ["one", "other"]
        assert client.connected and server.stats()["streams"] >= 5
    await sessions.ended
    with pytest.raises(ConnectionTerminated):
        await server.websocket()
    await server.close()


@pytest.mark.row("KIN-3.1-1", "KIN-3.2-1")
async def test_what_a_client_does_not_take_is_501(clear):
    sessions = Sessions()
    async with (
        clear.serve(echo, on_session=sessions),
        Session(clear.http, tunnels={"other": octets_back}) as client,
    ):
        server = await sessions.came
        for opening in (server.bytestream(), server.websocket()):
            with pytest.raises(InvalidStatus) as caught:
                await opening
            assert caught.value.response.status == 501
        async with await client.websocket() as ws, await server.tunnel("OTHER") as tunnel:
            await ws.send("alive")
            assert await ws.recv() == "alive"
            assert tunnel.stream_id == 6


@pytest.mark.row("KIN-3.1-2")
async def test_over_tls_a_server_asks_for_https_alone(place):
    """What names `http` there is answered 400; in cleartext TLS may be somewhere before it."""
    sessions = Sessions()
    async with (
        place.serve(on_session=sessions),
        Session(place.http, ssl=place.client_ssl, tunnels={"bytestream": octets_back}),
    ):
        server = await sessions.came
        for scheme in ("https", "http"):
            server._scheme = scheme
            if place.secure and scheme == "http":
                with pytest.raises(InvalidStatus) as caught:
                    await server.tunnel("bytestream")
                assert caught.value.response.status == 400
            else:
                async with await server.tunnel("bytestream") as tunnel:
                    await tunnel.send(b"octets")
                    assert await tunnel.recv() == b"octets"


@pytest.mark.row("KIN-2-1", "KIN-2-5")
async def test_it_is_off_unless_both_ends_switch_it_on(clear):
    seen = []

    async def handler(ws):
        seen.append(ws.request.session)

    async with clear.serve(handler, settings=ON), Session(clear.http) as client:
        with contextlib.suppress(ConnectionClosed):
            await (await client.websocket()).recv()
    async with clear.serve(handler), Session(clear.http, handler=echo) as client:
        with contextlib.suppress(ConnectionClosed):
            await (await client.websocket()).recv()
    assert seen == [None, None]


async def test_a_handler_finds_the_connection_by_its_request(clear):
    async def handler(ws):
        server = ws.request.session
        async with await server.websocket("/back") as back:
            await back.send(await ws.recv())
            await ws.send(await back.recv())

    async def shout(ws):
        assert ws.request.session is client
        await ws.send((await ws.recv()).upper())

    async with clear.serve(handler, settings=ON), Session(clear.http, handler=shout) as client:
        async with await client.websocket() as ws:
            await ws.send("there and back")
            assert await ws.recv() == "THERE AND BACK"


@pytest.mark.row("KIN-3-2")
async def test_the_clients_limit_is_the_servers_error(clear):
    sessions = Sessions()
    few = Settings(enable_bidirectional_connect=True, max_concurrent_streams=1)
    async with (
        clear.serve(on_session=sessions),
        Session(clear.http, tunnels={"bytestream": octets_back}, settings=few),
    ):
        server = await sessions.came
        async with await server.tunnel("bytestream"):
            with pytest.raises(NoAvailableStreams):
                await server.tunnel("bytestream")


async def test_streams_of_the_server_take_none_of_the_clients(clear):
    """Each end's limit is for the streams of the other: who waits is woken by the end of one's own."""
    sessions = Sessions()
    two = Settings(enable_bidirectional_connect=True, max_concurrent_streams=2)
    async with (
        clear.serve(tunnels={"bytestream": octets_back}, on_session=sessions, settings=two),
        Session(clear.http, tunnels={"bytestream": octets_back}) as client,
    ):
        server = await sessions.came
        theirs = [await server.tunnel("bytestream") for _ in range(3)]
        mine = [await client.tunnel("bytestream") for _ in range(2)]
        third = asyncio.create_task(client.tunnel("bytestream"))
        while not client.stats()["waiting"]:
            await asyncio.sleep(0)
        mine[0].abort()
        async with asyncio.timeout(5):
            mine[0] = await third
        for tunnel in (*theirs, *mine):
            await tunnel.send(b"octets")
            assert await tunnel.recv() == b"octets"


async def test_a_session_that_is_found_early_is_told_all_the_same():
    """The read that brings the second SETTINGS brings a message, whose callback looks for it."""
    found = asyncio.get_running_loop().create_future()
    told = asyncio.get_running_loop().create_future()

    def on_message(ws, message):
        found.set_result(ws.request.session)

    async def on_session(session):
        told.set_result(session)

    async with serve(
        on_message=on_message, on_session=on_session, host="127.0.0.1", port=0
    ) as server:
        peer = await RawClient.connect(server.sockets[0].getsockname()[1])
        await peer.websocket()
        both = f.settings((f.ENABLE_CONNECT_PROTOCOL, 1), (0xFB00, 1))
        peer.send(both, f.data(1, ws_frame(TEXT, b"where?", key=peer.key)))
        async with asyncio.timeout(5):
            assert await told is await found is not None
        peer.close()


async def test_a_server_may_write_tokens_in_capitals():
    answers = []

    async def script(peer):
        peer.headers(2, [(n, "ByteStream" if n == ":protocol" else v) for n, v in ASKED])
        answers.append((await peer.expect(f.HEADERS, 2)).get(":status"))

    async with RawServer(script) as server:
        url = f"http://127.0.0.1:{server.port}"
        async with Session(url, tunnels={"bytestream": octets_back}) as session:
            await session.wait_closed()
    assert answers == ["200"]


async def test_the_end_of_a_server_session_has_close_timeout(clear):
    """Tunnels of the client that stay open, as those that were opened to it."""
    sessions = Sessions()
    async with (
        clear.serve(tunnels={"bytestream": octets_back}, on_session=sessions, close_timeout=0.3),
        Session(clear.http, tunnels={"bytestream": octets_back}) as client,
    ):
        server = await sessions.came
        mine = await client.tunnel("bytestream")
        theirs = await server.tunnel("bytestream")
        async with asyncio.timeout(5):
            await server.close()
        await sessions.ended
        for tunnel in (mine, theirs):
            with pytest.raises(StreamReset):
                while await tunnel.recv():
                    pass
                raise StreamReset  # it ended in an orderly way
        assert not client.connected and not server.connected


async def test_a_close_that_is_cancelled_cancels_the_handlers(clear):
    sessions, forever = Sessions(), Forever()
    async with clear.serve(on_session=sessions):
        client = await Session(clear.http, tunnels={"bytestream": forever})
        await (await sessions.came).tunnel("bytestream")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.close(), 0.05)
        async with asyncio.timeout(5):
            await forever.cancelled


async def test_handlers_that_never_end_are_cancelled_with_the_session(clear):
    sessions, forever = Sessions(), Forever()
    async with clear.serve(on_session=sessions):
        async with Session(clear.http, tunnels={"bytestream": forever}, close_timeout=5):
            server = await sessions.came
            tunnel = await server.tunnel("bytestream")
        assert forever.cancelled.done()
        with pytest.raises(StreamReset):
            while await tunnel.recv():
                pass
            raise StreamReset  # ended in an orderly way
        await sessions.ended


async def test_a_handler_that_fails_resets_its_stream_alone(clear, caplog):
    sessions = Sessions()

    async def fails(tunnel):
        raise KeyError("mine")

    async def fails_too(ws):
        raise KeyError("mine as well")

    async with (
        clear.serve(on_session=sessions),
        Session(clear.http, tunnels={"a": fails, "b": octets_back}, handler=fails_too) as client,
    ):
        server = await sessions.came
        tunnel = await server.tunnel("a")
        with pytest.raises(StreamReset):
            await tunnel.recv()
        with pytest.raises(ConnectionClosed) as caught:
            await (await server.websocket()).recv()
        assert caught.value.rcvd.code == 1011
        async with await server.tunnel("b") as tunnel:
            await tunnel.send(b"on")
            assert await tunnel.recv() == b"on"
        assert client.connected
    assert "mine" in caplog.text and "mine as well" in caplog.text


async def test_a_session_that_fails_is_logged(clear, caplog):
    async def fails(session):
        raise KeyError("of the session")

    async with clear.serve(echo, on_session=fails), Session(clear.http, handler=echo) as client:
        async with await client.websocket() as ws:
            await ws.send("on")
            assert await ws.recv() == "on"
    assert "of the session" in caplog.text


@pytest.mark.row("KIN-3-5")
async def test_a_server_that_shuts_down_closes_what_it_opened(clear):
    sessions = Sessions()
    closed = asyncio.get_running_loop().create_future()

    async def handler(ws):
        with contextlib.suppress(ConnectionClosed):
            await ws.recv()
        closed.set_result(ws.close_code)

    async with clear.serve(on_session=sessions) as listener:
        async with Session(clear.http, handler=handler):
            server = await sessions.came
            ws = await server.websocket()
            listener.close()
            assert await closed == 1001
            await ws.wait_closed()
            await listener.wait_closed()


async def test_arguments_that_make_no_sense():
    with pytest.raises(ValueError):
        Session("http://a.example", handler=echo, settings=Settings())
    with pytest.raises(ValueError):
        serve(on_session=echo, settings=Settings())
    with pytest.raises(TypeError):
        serve(on_session="no function")
    with pytest.raises(TypeError):
        Session("http://a.example", handler="no function")
    with pytest.raises(ValueError):
        Session("http://a.example", tunnels={"websocket": octets_back})


@pytest.mark.row("SEC-1-1", "KIN-3-2")
async def test_handlers_count_until_they_end_whatever_a_hostile_server_resets(clear):
    """Streams opened and reset at once: so many handlers work as streams may be open."""
    most = 0
    working = 0
    ended = asyncio.get_running_loop().create_future()

    async def stubborn(tunnel):
        nonlocal working, most
        working += 1
        most = max(most, working)
        try:
            await asyncio.sleep(0.2)
        finally:
            working -= 1

    async def script(peer):
        for stream_id in range(2, 602, 2):
            peer.headers(stream_id, ASKED)
            if stream_id % 20 == 0:
                await peer.writer.drain()
                await asyncio.sleep(0.001)
            peer.send(f.rst_stream(stream_id))
        await peer.until_eof()
        ended.set_result(None)

    few = Settings(enable_bidirectional_connect=True, max_concurrent_streams=10)
    async with RawServer(script) as server:
        url = f"http://127.0.0.1:{server.port}"
        async with Session(
            url, tunnels={"bytestream": stubborn}, settings=few, close_timeout=0.5
        ) as session:
            await asyncio.sleep(0.3)
            limits = session.stats()["limits"]
        await ended
    assert 0 < most <= 10
    assert working == 0
    assert limits.keys() & {"max_handlers", "max_pending_resets", "max_concurrent_streams"}
