"""The beginning and the end of a server, and of what it serves."""

import asyncio
import gc

import pytest

from h2ws_fast import Observer, WebSocket
from h2ws_fast.asgi import StartupFailed, serve
from h2ws_fast.asgi.exchange import Exchange
from tests.support import frames as f
from tests.support.h1 import read_answers, request, upgrade
from tests.support.ws_frames import CLOSE, TEXT, read_ws_frames, ws_frame


class App:
    """Says in `log` how it is called; answers requests when `go` is set."""

    def __init__(self, startup=".complete", shutdown=".complete"):
        self.log = []
        self.go = asyncio.Event()
        self.ends = {"lifespan.startup": startup, "lifespan.shutdown": shutdown}

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                self.log.append(kind)
                await send({"type": kind + self.ends[kind], "message": "as told"})
                if kind == "lifespan.shutdown":
                    return
        elif scope["type"] == "http":
            await self.go.wait()
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"done"})
            self.log.append("answered")
        else:
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({**message, "type": "websocket.send"})
            self.log.append(message)


async def test_a_lifespan_is_around_everything(place):
    app = App()
    app.go.set()
    async with place.serve(app):
        client = await place.client()
        await client.get()
        client.close()
    assert app.log == ["lifespan.startup", "answered", "lifespan.shutdown"]


@pytest.mark.differs("it ends WebSockets without a Close")
async def test_the_graceful_end(place):
    app = App()
    async with place.serve(app) as server:
        client = await place.client()
        client.ask(stream_id=1)
        await client.websocket(3)
        if place.kind == "standalone":
            server.close()
            end = asyncio.ensure_future(server.wait_closed())
        else:
            end = asyncio.ensure_future(server.shutdown())
        # Two steps, so that no request is lost that is on its way: RFC 9113 section 6.8.
        goaways, closed, octets = [], False, b""
        while len(goaways) < 2 or not closed:
            frame = await client.frame()
            if frame.kind == f.GOAWAY:
                goaways.append((frame.last_stream_id, frame.error_code))
            elif frame.kind == f.PING and not frame.ack:
                client.send(f.ping(frame.payload, ack=True))
            elif frame.kind == f.DATA and frame.stream_id == 3:
                octets += frame.content
                (close,) = read_ws_frames(octets)
                assert (close.opcode, close.close_code) == (CLOSE, 1012)
                client.close_frame(3, 1012, end_stream=True)
                closed = True
        assert goaways == [(2**31 - 1, 0), (3, 0)]
        app.go.set()
        octets = b""
        while (frame := await client.frame()) is not None:
            if frame.kind == f.DATA and frame.stream_id == 1:
                octets += frame.content
        assert octets == b"done"
        client.close()
        await asyncio.wait_for(end, 5)
    disconnect = {"type": "websocket.disconnect", "code": 1012, "reason": ""}
    assert app.log[:3] == ["lifespan.startup", disconnect, "answered"]
    assert app.log[3] == "lifespan.shutdown"


@pytest.mark.differs("it ends WebSockets without a Close")
async def test_the_end_is_known_as_such_though_the_client_says_nothing(alone):
    app = App()
    async with alone.serve(app, close_timeout=0.3):
        client = await alone.client()
        await client.websocket(1)
    assert app.log[1] == {"type": "websocket.disconnect", "code": 1012, "reason": ""}
    client.close()


async def test_a_websocket_that_is_accepted_during_the_end(alone):
    raised = []
    go = asyncio.Event()

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError("none")
        await receive()
        await go.wait()
        try:
            await send({"type": "websocket.accept"})
        except OSError as error:
            raised.append(error)

    async with alone.serve(app) as server:
        client = await alone.client()
        answer = asyncio.ensure_future(client.websocket())
        await asyncio.sleep(0.05)
        server.close()
        await asyncio.sleep(0.05)
        go.set()
        with pytest.raises(AssertionError, match="GOAWAY"):
            await answer
        await client.until_eof()
        client.close()
    (head,) = [each for each in client.frames if each.kind == f.HEADERS]
    assert head.get(":status") == "503"
    assert raised


@pytest.mark.parametrize("mode", ["auto", "on"])
async def test_a_startup_that_fails(mode, caplog):
    server = serve(App(startup=".failed"), "127.0.0.1", 0, lifespan=mode)
    with pytest.raises(StartupFailed, match="as told"):
        await server
    assert not server.is_serving()


async def test_an_application_without_lifespan():
    async def app(scope, receive, send):
        raise LookupError(scope["type"])

    async with serve(app, "127.0.0.1", 0):
        pass
    with pytest.raises(StartupFailed, match="LookupError"):
        await serve(app, "127.0.0.1", 0, lifespan="on")
    with pytest.raises(ValueError):
        serve(app, "127.0.0.1", 0, lifespan="perhaps")
    app = App()
    async with serve(app, "127.0.0.1", 0, lifespan="off"):
        pass
    assert app.log == []


async def test_an_application_that_is_cancelled_in_its_lifespan(caplog):
    async def at_once(scope, receive, send):
        raise asyncio.CancelledError

    async def at_the_end(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise asyncio.CancelledError

    async with asyncio.timeout(5):
        async with serve(at_once, "127.0.0.1", 0):
            pass
        with pytest.raises(StartupFailed, match="CancelledError"):
            await serve(at_once, "127.0.0.1", 0, lifespan="on")
        async with serve(at_the_end, "127.0.0.1", 0):
            pass
    assert "Application shutdown failed: CancelledError()" in caplog.messages


async def test_a_lifespan_that_is_cancelled_was_not_asked_to_shut_down(caplog):
    ended = asyncio.Event()

    async def as_starlette_does(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        try:
            await receive()
        except BaseException:
            await send({"type": "lifespan.shutdown.failed", "message": "a traceback"})
            ended.set()
            raise

    before = asyncio.all_tasks()
    async with serve(as_starlette_does, "127.0.0.1", 0):
        # As a server does that ends at once.
        for task in asyncio.all_tasks() - before:
            task.cancel()
        await asyncio.wait_for(ended.wait(), 5)
    assert not any("a traceback" in message for message in caplog.messages)


async def test_a_shutdown_that_fails_is_logged(caplog):
    async with serve(App(shutdown=".failed"), "127.0.0.1", 0):
        pass
    assert any("as told" in record.getMessage() for record in caplog.records)


async def test_a_port_in_use_ends_the_lifespan():
    app = App()
    async with serve(App(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OSError):
            await serve(app, "127.0.0.1", port)
    assert app.log == ["lifespan.startup", "lifespan.shutdown"]


async def test_http1_is_served_as_well(place):
    app = App()
    app.go.set()
    async with place.serve(app):
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(request(["Connection: close"], host="example.org"))
        (answer,) = read_answers(await reader.read())
        writer.close()
        assert (answer.status, answer.body) == (200, b"done")

        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        octets = upgrade()
        # One octet at a time: whoever looks for HTTP/2's preface loses none.
        for at in range(len(octets)):
            writer.write(octets[at : at + 1])
            await asyncio.sleep(0)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101")
        writer.write(ws_frame(TEXT, b"hello"))
        assert await reader.readexactly(7) == b"\x81\x05hello"
        writer.write(ws_frame(CLOSE, b"\x03\xe8"))
        await reader.read()
        writer.close()
    if place.kind != "hypercorn":
        assert app.log[2] == {"type": "websocket.disconnect", "code": 1000, "reason": ""}


async def test_the_preface_in_pieces(place):
    app = App()
    app.go.set()
    async with place.serve(app):
        for cut in (1, 3, 4, 5, 14, 23):
            client = await place.client(greet=False)
            client.send(f.MAGIC[:cut])
            await asyncio.sleep(0.01)
            client.send(f.MAGIC[cut:], f.settings())
            await client.expect(f.SETTINGS)
            assert (await client.get()).status == 200
            client.close()


async def test_a_cancelled_application_is_answered_for(alone, errors):
    tasks = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError("none")
        tasks.append(asyncio.current_task())
        await asyncio.Event().wait()

    async with alone.serve(app):
        client = await alone.client()
        client.ask()
        while not tasks:
            await asyncio.sleep(0.01)
        tasks[0].cancel()
        assert (await client.answer()).status == 500
        client.close()


async def test_what_is_over_leaves_nothing(alone, errors):
    app = App()
    app.go.set()
    gc.disable()  # no cycle that only the collector finds
    try:
        async with alone.serve(app) as server:
            client = await alone.client()
            for n in range(20):
                stream_id = 4 * n + 1
                assert (await client.get(stream_id=stream_id)).status == 200
                await client.websocket(stream_id + 2)
                client.ws(stream_id + 2, TEXT, b"x")
                if n % 2:
                    client.send(f.rst_stream(stream_id + 2))
                else:
                    client.close_frame(stream_id + 2, 1000, end_stream=True)
            async with asyncio.timeout(5):
                while server.stats()["handlers"]:
                    await asyncio.sleep(0.01)
            (wire,) = server._wires
            assert wire.handlers == 0
            assert wire.conn.open_streams == 0
            del wire
            # By type(): a weak reference of somebody else's may answer for what is no more.
            left = [
                each for each in gc.get_objects() if issubclass(type(each), Exchange | WebSocket)
            ]
            assert left == []
            client.close()
    finally:
        gc.enable()
    assert errors() == []


class Notes(Observer):
    def __init__(self):
        self.seen = []

    def connection_opened(self, connection):
        self.seen.append("opened")

    def connection_closed(self, connection):
        self.seen.append("closed")

    def websocket_opened(self, ws):
        self.seen.append("websocket opened")

    def websocket_closed(self, ws):
        self.seen.append(ws.close_code)

    def limit_reached(self, connection, name):
        self.seen.append(name)


async def test_an_observer_is_told(ours):
    notes = Notes()
    options = {"observer": notes}
    if ours.kind == "uvicorn":
        from h2ws_fast.asgi.uvicorn import Protocol

        options = {"http": type("Observed", (Protocol,), {"h2_observer": notes})}
    app = App()
    app.go.set()
    async with ours.serve(app, max_size=100, **options), asyncio.timeout(10):
        client = await ours.client()
        await client.websocket(1)
        client.ws(1, 2, bytes(101))
        assert (await client.ws_frames(1, 1))[0].close_code == 1009
        client.close_frame(1, 1009, end_stream=True)
        assert (await client.expect(f.DATA, 1)).end_stream
        client.close()
        while notes.seen[-1:] != ["closed"]:
            await asyncio.sleep(0.01)
        assert notes.seen == ["opened", "websocket opened", "max_message", 1009, "closed"]
        notes.seen.clear()
        # HTTP/1.1 is uvicorn's own there: it is known as far as that it came.
        reader, writer = await asyncio.open_connection("127.0.0.1", ours.port)
        writer.write(request(["Connection: close"], host="example.org"))
        (answer,) = read_answers(await reader.read())
        writer.close()
        assert answer.status == 200
        while notes.seen != ["opened", "closed"]:
            await asyncio.sleep(0.01)
