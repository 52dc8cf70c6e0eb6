"""How WebSockets end: the closing handshake at the API and on the wire, errors, shutdown."""

import asyncio
import logging

import pytest

from h2ws_fast import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    Session,
    State,
    connect,
)
from h2ws_fast.errors import Close
from tests.support import frames as f
from tests.support.raw import RawClient, RawServer, close_frame
from tests.support.ws_frames import CLOSE, TEXT

ENABLED = (f.ENABLE_CONNECT_PROTOCOL, 1)


async def idle(ws):
    await ws.wait_closed()


# -- at the API --------------------------------------------------------------------------------


async def test_close_from_either_side(place):
    ends = asyncio.Queue()

    async def handler(ws):
        if ws.request.path == "/server":
            await ws.close(4321, "bye")
        try:
            await ws.recv()
        except ConnectionClosed as error:
            await ends.put(error)

    async with place.serve(handler):
        async with connect(place.ws("/server"), ssl=place.client_ssl) as ws:
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.recv()
            assert caught.value.rcvd == Close(4321, "bye")
            assert caught.value.sent == Close(4321, "")
            assert caught.value.rcvd_then_sent is True
        error = await ends.get()
        assert error.sent == Close(4321, "bye")
        assert error.rcvd_then_sent is False

        async with connect(place.ws("/client"), ssl=place.client_ssl) as ws:
            await ws.close(1000, "done")
            assert (ws.close_code, ws.close_reason) == (1000, "")
        error = await ends.get()
        assert isinstance(error, ConnectionClosedOK)
        assert error.rcvd == Close(1000, "done")


async def test_after_the_close_nothing_works_and_closing_again_is_fine(clear):
    async with clear.serve(idle):
        ws = await connect(clear.ws())
        await ws.close()
        await ws.close(4000)
        assert ws.close_code == 1000
        for call in (ws.recv, lambda: ws.send("x"), ws.ping, lambda: ws.send([b"x"]), ws.pong):
            with pytest.raises(ConnectionClosedOK):
                await call()
        assert [message async for message in ws] == []


async def test_iteration_raises_where_the_close_was_not_proper(clear):
    async def handler(ws):
        await ws.send("one")
        await ws.close(1008, "no")

    async with clear.serve(handler), connect(clear.ws()) as ws:
        seen = []
        with pytest.raises(ConnectionClosedError, match="1008 no"):
            async for message in ws:
                seen.append(message)
        assert seen == ["one"]


async def test_codes_that_must_not_be_sent_are_refused(clear):
    async with clear.serve(idle), connect(clear.ws()) as ws:
        for code in (999, 1005, 1006, 1015, 5000):
            with pytest.raises(ValueError):
                await ws.close(code)
        with pytest.raises(ValueError):
            await ws.close(1000, "x" * 124)
        assert ws.state is State.OPEN


async def test_abort_is_1006_for_the_peer(place):
    over = asyncio.Event()
    codes = []

    async def handler(ws):
        await ws.wait_closed()
        codes.append(ws.close_code)
        over.set()

    async with place.serve(handler), Session(place.http, ssl=place.client_ssl) as session:
        ws = await session.websocket()
        other = await session.websocket("/other")
        ws.abort()
        with pytest.raises(ConnectionClosedError, match="no close frame received or sent"):
            await ws.recv()
        await over.wait()
        assert codes == [1006]
        assert other.state is State.OPEN


async def test_a_handler_that_returns_closes_with_1000(place):
    async def handler(ws):
        await ws.send("bye")

    async with place.serve(handler), connect(place.ws(), ssl=place.client_ssl) as ws:
        assert [message async for message in ws] == ["bye"]
        assert ws.close_code == 1000


async def test_a_handler_that_raises_closes_with_1011_and_is_logged(clear, caplog):
    async def handler(ws):
        raise RuntimeError("the handler's own")

    async with clear.serve(handler):
        ws = await connect(clear.ws())
        with pytest.raises(ConnectionClosedError) as caught:
            await ws.recv()
        assert caught.value.rcvd.code == 1011
    records = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert len(records) == 1
    assert records[0].name.startswith("h2ws_fast.server")
    assert "the handler's own" in caplog.text


async def test_a_handler_that_ends_with_its_connection_is_not_logged(clear, caplog):
    async def handler(ws):
        while True:
            await ws.recv()

    async with clear.serve(handler):
        async with connect(clear.ws()) as ws:
            await ws.send("x")
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING and "pure" not in r.msg]


async def test_a_callback_that_raises_fails_its_websocket_only(place, caplog):
    def on_message(ws, message):
        if message == "raise":
            raise RuntimeError("the callback's own")
        ws.send(message)

    async with (
        place.serve(on_message=on_message),
        Session(place.http, ssl=place.client_ssl) as session,
    ):
        bad = await session.websocket()
        good = await session.websocket()
        await good.send("before")
        await bad.send("raise")
        await good.send("after")
        with pytest.raises(ConnectionClosedError) as caught:
            await bad.recv()
        assert caught.value.rcvd.code == 1011
        assert [await good.recv(), await good.recv()] == ["before", "after"]
    assert "the callback's own" in caplog.text


@pytest.mark.parametrize("which", ["on_open", "on_close"])
async def test_other_callbacks_that_raise(clear, caplog, which):
    def fail(ws):
        raise RuntimeError("the callback's own")

    options = {which: fail, "on_message": lambda ws, message: ws.send(message)}
    async with clear.serve(**options), Session(clear.http) as session:
        ws = await session.websocket()
        if which == "on_open":
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.recv()
            assert caught.value.rcvd.code == 1011
        else:
            await ws.close()
        assert session.connected
    assert "the callback's own" in caplog.text


async def test_a_peer_without_pongs_is_closed_with_1011(clear):
    codes = []
    over = asyncio.Event()

    async def handler(ws):
        await ws.wait_closed()
        codes.append(ws.close_code)
        over.set()

    async with clear.serve(handler, ping_interval=0.05, ping_timeout=0.1, close_timeout=0.2):
        peer = await RawClient.connect(clear.port)
        await peer.websocket()
        sent = await peer.ws_frames(1, 2)
        assert sent[0].opcode == 9 and len(sent[0].payload) == 4
        assert sent[1].opcode == CLOSE and sent[1].close_code == 1011
        await over.wait()
        assert codes == [1006]
        peer.close()


@pytest.mark.row("9113-5.4.3-1")
async def test_a_lost_connection_ends_every_stream(place):
    ended = []
    count = 5
    over = asyncio.Event()

    async def handler(ws):
        try:
            await ws.recv()
        except ConnectionClosedError as error:
            ended.append((ws.close_code, error.rcvd, error.sent))
        if len(ended) == count:
            over.set()

    async def never(request):
        await asyncio.sleep(60)

    async with place.serve(handler, on_request=never) as server:
        session = await Session(place.http, ssl=place.client_ssl).connect()
        sockets = [await session.websocket() for _ in range(count)]
        waiting = asyncio.create_task(session.request("GET", "/"))
        await asyncio.sleep(0.02)
        # The transport dies under both ends.
        for wire in list(server._wires):
            wire.transport.abort()
        await over.wait()
        assert ended == [(1006, None, None)] * count
        for ws in sockets:
            with pytest.raises(ConnectionClosedError):
                await ws.recv()
            assert ws.close_code == 1006
        with pytest.raises(Exception, match=r"closed|lost|reset"):
            await waiting
        with pytest.raises(Exception, match=r"closed|lost|terminated"):
            await session.websocket()
        await session.close()


# -- on the wire -------------------------------------------------------------------------------


BAD_PING = f.frame(f.PING, 0, 3, bytes(8))


@pytest.mark.row("9113-6.8-7")
@pytest.mark.parametrize(
    "last", [BAD_PING, f.goaway(0), f.goaway(0, 0xFF)], ids=["error", "goaway", "unknown code"]
)
async def test_who_sends_on_after_the_end_reads_all_of_it(clear, last):
    async with clear.serve(idle) as server:
        peer = await RawClient.connect(clear.port)
        peer.send(last)
        for _ in range(3):
            await asyncio.sleep(0.02)
            peer.send(f.ping())  # at a closed socket this would be answered with a RST
        await asyncio.sleep(0.02)
        frames = []
        while head := await peer.reader.read(9):  # a RST would raise
            frames.append(head[3])
            await peer.reader.readexactly(int.from_bytes(head[:3], "big"))
        assert f.PING not in frames
        assert frames[-1] == f.GOAWAY or last is not BAD_PING
        peer.close()
        while server._wires:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("endless", [False, True], ids=["silent", "endless"])
async def test_who_never_leaves_after_an_error_is_dropped(clear, endless):
    async with clear.serve(idle) as server:
        peer = await RawClient.connect(clear.port)
        (wire,) = server._wires
        peer.send(BAD_PING)
        begun = asyncio.get_running_loop().time()
        while server._wires:
            if endless and not peer.writer.is_closing():
                peer.send(bytes(2**20))
            await asyncio.sleep(0.01)
        took = asyncio.get_running_loop().time() - begun
        assert took < 0.9 if endless else 0.9 < took < 5
        assert wire.lost
        peer.close()


async def test_a_close_that_may_not_be_sent_is_refused_before_anything_ends(clear):
    async with clear.serve(idle) as server, connect(clear.ws()) as ws:
        for code, reason in ((99999, ""), (1005, ""), (1001, "r" * 124)):
            with pytest.raises(ValueError):
                server.close(code=code, reason=reason)
        await (await ws.ping())
        assert server.is_serving()


async def test_connections_are_those_that_nobody_has_begun_to_close(clear):
    async with clear.serve(idle, close_timeout=0.2) as server:
        peer = await RawClient.connect(clear.port)
        await peer.websocket(1)
        while not server.connections:
            await asyncio.sleep(0)
        (ws,) = server.connections
        closing = asyncio.create_task(ws.close())  # which this client never answers
        await asyncio.sleep(0)
        assert server.connections == set()
        await closing
        peer.close()


async def test_server_closes_first_and_waits_for_the_answer(clear):
    async def handler(ws):
        await ws.close(1000, "first")

    async with clear.serve(handler):
        peer = await RawClient.connect(clear.port)
        assert (await peer.websocket()).get(":status") == "200"
        data = await peer.expect(f.DATA, 1)
        assert data.content == close_frame(1000, b"first", key=None)
        assert not data.end_stream
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await peer.expect(f.DATA)
        peer.close_frame(1, 1000)
        data = await peer.expect(f.DATA, 1)
        assert data.content == b"" and data.end_stream
        peer.close()


async def test_server_answers_a_close_and_ends_at_once(clear):
    async with clear.serve(idle):
        peer = await RawClient.connect(clear.port)
        await peer.websocket()
        peer.close_frame(1, 4000, b"mine")
        octets = b""
        while True:
            data = await peer.expect(f.DATA, 1)
            octets += data.content
            if data.end_stream:
                break
        assert octets == close_frame(4000, key=None)
        peer.close()


async def test_client_closes_first_and_waits_for_the_answer(clear):
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, [(":status", "200")])
        data = await peer.expect(f.DATA, 1)
        assert data.content[:2] == bytes((0x88, 0x80 | 5)) and not data.end_stream
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await peer.expect(f.DATA)
        peer.close_frame(1, 1000, b"yes", end_stream=True)
        data = await peer.expect(f.DATA, 1, skip=(f.SETTINGS, f.WINDOW_UPDATE, f.GOAWAY))
        assert data.content == b"" and data.end_stream
        await peer.until_eof()

    async with RawServer(script, ENABLED) as server:
        ws = await connect(f"ws://127.0.0.1:{server.port}")
        await ws.close(1000, "bye")
        assert (ws.close_code, ws.close_reason) == (1000, "yes")
        await ws.wire.session.wait_closed()


async def test_a_reset_after_the_handshake_is_a_clean_close(clear):
    # Chromium ends so.
    codes = []
    over = asyncio.Event()

    async def handler(ws):
        await ws.wait_closed()
        codes.append(ws.close_code)
        over.set()

    async with clear.serve(handler):
        peer = await RawClient.connect(clear.port)
        await peer.websocket()
        peer.close_frame(1, 1000)
        peer.send(f.rst_stream(1, f.CANCEL))
        await over.wait()
        assert codes == [1000]
        assert (await peer.websocket(3)).get(":status") == "200"
        peer.close()


async def test_a_peer_that_never_answers_the_close_is_cut_off(clear):
    async with clear.serve(idle, close_timeout=0.2) as server:
        peer = await RawClient.connect(clear.port)
        await peer.websocket()
        (ws,) = server.connections
        loop = asyncio.get_running_loop()
        began = loop.time()
        await ws.close(1000)
        assert 0.15 < loop.time() - began < 3
        assert ws.close_code == 1006
        await peer.expect(f.DATA, 1)
        await peer.expect(f.RST_STREAM, 1, skip=(f.WINDOW_UPDATE, f.SETTINGS, f.DATA))
        peer.close()


async def test_messages_that_come_with_the_handshake_are_delivered(clear):
    got = []

    async def handler(ws):
        async for message in ws:
            got.append(message)

    async with clear.serve(handler):
        peer = await RawClient.connect(clear.port, greet=False)
        peer.send(f.MAGIC, f.settings())
        peer.ask_for_websocket()
        peer.ws(1, TEXT, b"early")
        peer.close_frame(1, 1000)
        await peer.expect(f.HEADERS, 1)
        await peer.expect(f.DATA, 1)
        peer.close()
        await asyncio.sleep(0.05)
    assert got == ["early"]


# -- shutdown ----------------------------------------------------------------------------------


async def test_shutdown_says_goaway_twice_and_1001(clear):
    async with clear.serve(idle) as server:
        peer = await RawClient.connect(clear.port)
        await peer.websocket(1)
        await peer.websocket(3)
        server.close()
        order = []
        while len(order) < 5:
            frame = await peer.frame()
            assert frame is not None, order
            if frame.kind == f.GOAWAY:
                order.append(("GOAWAY", frame.last_stream_id, frame.error_code))
            elif frame.kind == f.DATA:
                order.append((frame.stream_id, frame.content))
            elif frame.kind == f.PING and not frame.ack:
                order.append("PING")
                peer.send(f.ping(frame.payload, ack=True))
        assert order[0] == ("GOAWAY", 2**31 - 1, 0)
        assert order[1] == "PING"
        assert order[4] == ("GOAWAY", 3, 0)
        assert set(order[2:4]) == {
            (1, close_frame(1001, key=None)),
            (3, close_frame(1001, key=None)),
        }
        peer.close_frame(1, 1001, end_stream=True)
        peer.close_frame(3, 1001, end_stream=True)
        rest = await peer.until_eof()
        assert {frame.stream_id for frame in rest if frame.end_stream} == {1, 3}
        await server.wait_closed()


async def test_shutdown_with_other_words(place):
    async with place.serve(idle) as server:
        ws = await connect(place.ws(), ssl=place.client_ssl)
        server.close(code=1012, reason="restart")
        with pytest.raises(ConnectionClosedError) as caught:
            await ws.recv()
        assert caught.value.rcvd == Close(1012, "restart")


async def test_shutdown_lets_requests_end(place):
    from h2ws_fast import Response

    begun = asyncio.Event()

    async def on_request(request):
        begun.set()
        await asyncio.sleep(0.1)
        return Response(200, body=b"finished")

    async with place.serve(on_request=on_request) as server:
        async with Session(place.http, ssl=place.client_ssl) as session:
            task = asyncio.create_task(session.request("GET", "/"))
            await begun.wait()
            server.close()
            response = await task
            assert await response.read() == b"finished"
            await server.wait_closed()


async def test_shutdown_cuts_off_who_does_not_leave(clear):
    cancelled = []

    async def stubborn(ws):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    loop = asyncio.get_running_loop()
    async with clear.serve(stubborn, close_timeout=0.2) as server:
        peer = await RawClient.connect(clear.port)
        await peer.websocket()
        began = loop.time()
        server.close()
        await server.wait_closed()
        assert loop.time() - began < 3
    assert cancelled == [True]
    peer.close()


async def test_shutdown_may_leave_connections_alone(clear):
    async with clear.serve(idle) as server:
        ws = await connect(clear.ws())
        server.close(close_connections=False)
        waiting = asyncio.create_task(server.wait_closed())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert ws.state is State.OPEN
        await ws.close()
        await waiting


async def test_serve_forever_ends_with_cancellation(clear):
    from h2ws_fast import serve

    server = await serve(idle, "127.0.0.1", 0)
    forever = asyncio.create_task(server.serve_forever())
    await asyncio.sleep(0)
    ws = await connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    forever.cancel()
    with pytest.raises(asyncio.CancelledError):
        await forever
    await ws.wait_closed()
    assert ws.close_code == 1001
    assert not server.is_serving()


async def test_session_close_closes_its_websockets(place):
    async with place.serve(idle):
        session = await Session(place.http, ssl=place.client_ssl)
        sockets = [await session.websocket() for _ in range(3)]
        await session.close(4000, "all of you")
        assert [ws.close_code for ws in sockets] == [4000] * 3
        assert not session.connected
        await session.close()
