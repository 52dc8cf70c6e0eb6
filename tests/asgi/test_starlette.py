"""What Starlette, and FastAPI by it, asks of a server, over HTTP/2."""

import asyncio
import contextlib
import gc

import pytest

from tests.support import frames as f
from tests.support.programs import module
from tests.support.ws_frames import TEXT

module("starlette")

from starlette.applications import Starlette  # noqa: E402
from starlette.background import BackgroundTask  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402
from starlette.middleware.base import BaseHTTPMiddleware  # noqa: E402
from starlette.requests import ClientDisconnect  # noqa: E402
from starlette.responses import FileResponse, PlainTextResponse, StreamingResponse  # noqa: E402
from starlette.routing import Route, WebSocketRoute  # noqa: E402
from starlette.websockets import WebSocketDisconnect  # noqa: E402


def make_app(*routes, middleware=(), lifespan=None):
    return Starlette(routes=list(routes), middleware=list(middleware), lifespan=lifespan)


async def test_lifespan_state_bodies_and_background_tasks(ours):
    done = asyncio.Event()

    @contextlib.asynccontextmanager
    async def lifespan(app):
        yield {"greeting": "hello"}

    async def index(request):
        async def later():
            done.set()

        body = await request.body()
        text = f"{request.state.greeting} {body.decode()} {request.url}"
        return PlainTextResponse(text, background=BackgroundTask(later))

    app = make_app(Route("/path", index, methods=["POST"]), lifespan=lifespan)
    async with ours.serve(app):
        client = await ours.client()
        client.ask("/path?q=1", method="POST", body=b"wor")
        client.send(f.data(1, b"ld", end_stream=True))
        answer = await client.answer()
        assert answer.body == b"hello world http://example.org/path?q=1"
        await asyncio.wait_for(done.wait(), 5)
        assert (await client.get("/other", stream_id=3)).status == 404
        assert (await client.get("/path", stream_id=5)).status == 405
        client.close()


async def test_a_file(ours, tmp_path):
    path = tmp_path / "file.txt"
    path.write_bytes(b"0123456789" * 10000)

    async def index(request):
        return FileResponse(path)

    async with ours.serve(make_app(Route("/", index))):
        client = await ours.client()
        answer = await client.get()
        assert (len(answer.body), answer.get("content-length")) == (100000, "100000")
        answer = await client.get("/", ("range", "bytes=5-9"), stream_id=3)
        assert (answer.status, answer.body) == (206, b"56789")
        client.close()


@pytest.mark.parametrize("middle", [False, True])
async def test_a_stream_ends_with_its_client(ours, middle, errors):
    ended = asyncio.Event()

    async def endless(request):
        async def pieces():
            try:
                while True:
                    yield b"x" * 1000
                    await asyncio.sleep(0.001)
            finally:
                ended.set()

        return StreamingResponse(pieces())

    class Middle(BaseHTTPMiddleware):
        async def dispatch(self, request, call_next):
            return await call_next(request)

    middleware = [Middleware(Middle)] if middle else []
    async with ours.serve(make_app(Route("/", endless), middleware=middleware)):
        client = await ours.client()
        client.ask()
        await client.expect(f.HEADERS, 1)
        await client.expect(f.DATA, 1)
        client.send(f.rst_stream(1))
        async with asyncio.timeout(5):
            while not ended.is_set():
                gc.collect()  # Starlette leaves the generator to the collector
                await asyncio.sleep(0.05)
        client.close()
    assert errors() == []


async def test_an_upload_that_is_given_up(ours):
    raised = asyncio.Event()

    async def upload(request):
        try:
            async for _ in request.stream():
                pass
        except ClientDisconnect:
            raised.set()
        return PlainTextResponse("")

    async with ours.serve(make_app(Route("/", upload, methods=["POST"]))):
        client = await ours.client()
        client.ask(method="POST", body=b"half")
        await asyncio.sleep(0.05)
        client.send(f.rst_stream(1))
        await asyncio.wait_for(raised.wait(), 5)
        client.close()


async def test_websockets(ours):
    codes = []

    async def chat(websocket):
        if websocket.query_params.get("as") != "member":
            await websocket.send_denial_response(PlainTextResponse("members only", 402))
            return
        await websocket.accept("chat", headers=[(b"x-told", b"yes")])
        try:
            async for text in websocket.iter_text():
                await websocket.send_json({"text": text})
            await websocket.receive_text()
        except (WebSocketDisconnect, RuntimeError) as error:
            codes.append(getattr(error, "code", None))

    async def closing(websocket):
        await websocket.accept()
        await websocket.close(4000, "that is all")
        try:
            await websocket.send_text("more")
        except RuntimeError:
            codes.append("closed")

    async def leaving(websocket):
        await websocket.accept()
        try:
            await websocket.receive_text()
        except WebSocketDisconnect as error:
            codes.append((error.code, error.reason))

    app = make_app(
        WebSocketRoute("/chat", chat),
        WebSocketRoute("/closing", closing),
        WebSocketRoute("/leaving", leaving),
    )
    async with ours.serve(app):
        client = await ours.client()
        offer = ("sec-websocket-protocol", "chat")
        head = await client.websocket(1, "/chat?as=member", offer)
        assert (head.get("sec-websocket-protocol"), head.get("x-told")) == ("chat", "yes")
        client.ws(1, TEXT, b"hello")
        assert (await client.ws_frames(1, 1))[0].payload == b'{"text":"hello"}'
        client.close()

        client = await ours.client()
        head = await client.websocket(1, "/chat", offer)
        assert head.get(":status") == "402"
        assert (await client.expect(f.DATA, 1)).content == b"members only"
        client.close()

        client = await ours.client()
        await client.websocket(1, "/closing")
        (close,) = await client.ws_frames(1, 1)
        assert close.payload == (4000).to_bytes(2, "big") + b"that is all"
        client.close_frame(1, 4000, end_stream=True)
        client.close()

        client = await ours.client()
        await client.websocket(1, "/leaving")
        client.close_frame(1, 3001, b"so long", end_stream=True)
        await client.expect(f.DATA, 1)
        # No route: 403, as over HTTP/1.1.
        assert (await client.websocket(3, "/nowhere")).get(":status") == "403"
        client.close()
    assert (3001, "so long") in codes
    assert "closed" in codes
