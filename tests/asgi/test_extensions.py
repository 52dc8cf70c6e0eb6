"""Trailers, early hints, files, and tunnels."""

import asyncio
import contextlib
import threading

import pytest

from h2ws_fast.asgi.file import File
from tests.support import frames as f

LIFESPAN = "this application has none"


async def start(send, *headers, **more):
    await send({"type": "http.response.start", "status": 200, "headers": headers, **more})


# -- trailers ---------------------------------------------------------------------------------


async def trailing(scope, receive, send):
    assert scope["type"] == "http", LIFESPAN
    await start(send, trailers=True)
    await send({"type": "http.response.body", "body": b"body"})
    await send(
        {"type": "http.response.trailers", "headers": [(b"X-One", b"1")], "more_trailers": True}
    )
    headers = [(b"x-two", b" 2"), (b"connection", b"close")]  # and a blank, no fault in HTTP/1.1
    await send({"type": "http.response.trailers", "headers": headers})
    with pytest.raises(RuntimeError):
        await send({"type": "http.response.trailers", "headers": []})


async def test_trailers_reach_who_takes_them(place):
    if place.kind == "hypercorn":
        pytest.skip("each of its messages ends the stream")
    async with place.serve(trailing):
        client = await place.client()
        answer = await client.get("/", ("te", "trailers"))
        assert (answer.body, answer.trailers) == (b"body", [(b"x-one", b"1"), (b"x-two", b"2")])
        answer = await client.get("/", stream_id=3)
        assert (answer.body, answer.trailers, answer.end) == (b"body", None, f.END_STREAM)
        client.close()


# -- early hints ------------------------------------------------------------------------------


async def test_early_hints(place):
    async def app(scope, receive, send):
        assert scope["type"] == "http", LIFESPAN
        links = [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]
        await send({"type": "http.response.early_hint", "links": links})
        await start(send)
        await send({"type": "http.response.body", "body": b"ok"})

    async with place.serve(app):
        client = await place.client()
        answer = await client.get()
        client.close()
    assert [head.get(":status") for head in answer.heads] == ["103", "200"]
    links = [value for name, value in answer.heads[0].fields if name == b"link"]
    assert links == [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]


# -- files ------------------------------------------------------------------------------------


def sending(path, *headers):
    async def app(scope, receive, send):
        assert scope["type"] == "http", LIFESPAN
        await start(send, *headers)
        await send({"type": "http.response.pathsend", "path": str(path)})

    return app


@pytest.mark.differs("it has no path send")
@pytest.mark.parametrize("size", [0, 10, 262144, 1 << 20])
async def test_a_file_is_sent(place, tmp_path, size):
    path = tmp_path / "file"
    octets = bytes(range(256)) * (size // 256) + bytes(size % 256)
    path.write_bytes(octets)
    async with place.serve(sending(path, (b"content-length", b"%d" % size))):
        client = await place.client()
        answer = await client.get()
        assert (answer.body, answer.end) == (octets, f.END_STREAM)
        answer = await client.get(stream_id=3, method="HEAD")
        assert (answer.body, answer.get("content-length")) == (b"", str(size))
        client.close()


@pytest.mark.differs("it has no path send")
async def test_a_file_that_does_not_fit_its_response(place, tmp_path, errors):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    async with place.serve(sending(path, (b"content-length", b"4"))):
        client = await place.client()
        assert (await client.get()).end == f.INTERNAL_ERROR
        client.close()
    async with place.serve(sending(tmp_path / "none")):
        client = await place.client()
        assert (await client.get()).end == f.INTERNAL_ERROR
        client.close()
    assert any("size" in each for each in errors())
    assert any("FileNotFoundError" in each for each in errors())


async def test_a_file_takes_one_way_to_another_thread(alone, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(bytes(262144))
    loop = asyncio.get_running_loop()
    run, ways = loop.run_in_executor, []

    def counting(executor, call, *arguments):
        ways.append(call.__name__)
        return run(executor, call, *arguments)

    async with alone.serve(sending(path)):
        client = await alone.client()
        monkeypatch.setattr(loop, "run_in_executor", counting, raising=False)
        client.ask()
        answer = await client.answer()
        assert len(answer.body) == 262144
        assert ways == ["begin"]
        client.close()


@pytest.mark.parametrize("method", ["begin", "read", "close"])
async def test_a_slow_disk_keeps_nobody_else_waiting(alone, tmp_path, monkeypatch, method):
    path = tmp_path / "file"
    path.write_bytes(bytes(600_000))
    slow, go = getattr(File, method), threading.Event()

    def waiting(self, *arguments):
        assert go.wait(10)
        return slow(self, *arguments)

    monkeypatch.setattr(File, method, waiting)

    async def app(scope, receive, send):
        await start(send)
        if scope["path"] == "/other":
            await send({"type": "http.response.body", "body": b"at once"})
            return
        send_file = send({"type": "http.response.pathsend", "path": str(path)})
        if method == "close":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(send_file, 0.05)
        else:
            await send_file

    async with alone.serve(app, lifespan="off"):
        client = await alone.client()
        client.send(f.window_update(0, 1 << 20))
        if method != "close":  # that of a file that is given up half-way
            client.send(f.settings((f.INITIAL_WINDOW_SIZE, 1 << 20)))
        client.ask(stream_id=1)
        await asyncio.sleep(0.1)
        assert (await client.get("/other", stream_id=3)).body == b"at once"
        go.set()
        while not (frame := await client.frame()).end_stream and frame.kind != f.RST_STREAM:
            pass
        assert frame.end_stream == (method != "close")
        client.close()


@pytest.mark.differs("it has no path send")
async def test_a_file_that_becomes_shorter(place, tmp_path, errors):
    path = tmp_path / "file"
    path.write_bytes(bytes(1 << 20))

    async with place.serve(sending(path)):
        client = await place.client((f.INITIAL_WINDOW_SIZE, 100))
        client.ask()
        await client.expect(f.HEADERS, 1)
        await client.expect(f.DATA, 1)
        path.write_bytes(b"")
        client.send(f.window_update(1, 1 << 21), f.window_update(0, 1 << 21))
        answer = await client.answer()
        client.close()
    assert answer.end == f.INTERNAL_ERROR
    assert any("became shorter" in each for each in errors())


@pytest.mark.differs("it has no path send")
async def test_a_file_is_read_as_the_client_takes_it(place, tmp_path):
    path = tmp_path / "file"
    with open(path, "wb") as file:
        file.truncate(1 << 30)  # more than would fit into memory twice
    ended = asyncio.Event()

    async def app(scope, receive, send):
        assert scope["type"] == "http", LIFESPAN
        await start(send)
        try:
            await send({"type": "http.response.pathsend", "path": str(path)})
        except OSError:
            ended.set()

    async with place.serve(app) as server:
        client = await place.client()
        client.ask()
        await client.expect(f.HEADERS, 1)
        octets = 0
        while octets < 65535:
            octets += len((await client.expect(f.DATA, 1)).content)
        await asyncio.sleep(0.1)
        if place.kind == "standalone":
            assert server.stats()["octets_held"] < 1 << 20
        client.send(f.rst_stream(1))
        await asyncio.wait_for(ended.wait(), 5)
        client.close()


# -- tunnels ----------------------------------------------------------------------------------

CONNECT = [
    (":method", "CONNECT"),
    (":protocol", "bytestream"),
    (":scheme", "http"),
    (":authority", "example.org"),
    (":path", "/to?where"),
]


class Tunnels:
    """An application that asks for tunnels, and hands them to `serve`."""

    h2ws_fast_tunnels = ("ByteStream",)

    def __init__(self, serve):
        self.serve = serve
        self.seen = []
        self.over = asyncio.Event()

    async def __call__(self, scope, receive, send):
        assert scope["type"] == "tunnel", LIFESPAN
        self.scope = scope

        async def noting():
            message = await receive()
            self.seen.append(message)
            return message

        try:
            await self.serve(noting, send)
        finally:
            self.over.set()


async def echo(receive, send):
    await receive()
    await send({"type": "tunnel.accept", "headers": [(b"X-Told", b"yes"), (b"upgrade", b"x")]})
    while (message := await receive())["type"] == "tunnel.receive":
        await send({**message, "type": "tunnel.send"})


async def test_octets_go_both_ways_and_sides_end_apart(ours):
    app = Tunnels(echo)
    async with ours.serve(app, lifespan="off"):
        client = await ours.client()
        assert dict(client.frames[0].settings)[f.ENABLE_CONNECT_PROTOCOL] == 1
        client.headers(1, CONNECT)
        head = await client.expect(f.HEADERS, 1)
        assert (head.get(":status"), head.get("x-told")) == ("200", "yes")
        assert head.get("upgrade") is None and not head.end_stream
        client.send(f.data(1, b"one"))
        assert (await client.expect(f.DATA, 1)).content == b"one"
        client.send(f.data(1, b"two", end_stream=True))
        octets, end = b"", False
        while not end:
            frame = await client.expect(f.DATA, 1)
            octets, end = octets + frame.content, frame.end_stream
        assert octets == b"two"
        await asyncio.wait_for(app.over.wait(), 5)
        client.close()
    assert app.seen[0] == {"type": "tunnel.connect"}
    assert app.seen[-2] == {"type": "tunnel.receive", "data": b"two", "more_data": False}
    assert app.seen[-1] == {"type": "tunnel.disconnect", "code": 0}
    scope = app.scope
    assert (scope["protocol"], scope["path"], scope["query_string"]) == (
        "bytestream",
        "/to",
        b"where",
    )
    assert "method" not in scope and scope["http_version"] == "2"


async def test_a_reset_of_a_tunnel_has_its_code(ours):
    app = Tunnels(echo)
    async with ours.serve(app, lifespan="off"):
        client = await ours.client()
        client.headers(1, CONNECT)
        await client.expect(f.HEADERS, 1)
        client.send(f.rst_stream(1, f.CONNECT_ERROR))
        await asyncio.wait_for(app.over.wait(), 5)
        client.close()
    assert app.seen[-1] == {"type": "tunnel.disconnect", "code": f.CONNECT_ERROR}


async def test_what_a_tunnel_does_not_take_waits_with_the_client(ours):
    go = asyncio.Event()

    async def slow(receive, send):
        await receive()
        await send({"type": "tunnel.accept"})
        await go.wait()
        await receive()

    app = Tunnels(slow)
    async with ours.serve(app, lifespan="off"):
        client = await ours.client()
        window = dict(client.frames[0].settings)[f.INITIAL_WINDOW_SIZE]
        client.headers(1, CONNECT)
        await client.expect(f.HEADERS, 1)
        for at in range(0, window, 16384):
            client.send(f.data(1, bytes(min(16384, window - at))))
        client.send(f.ping(b"abcdefgh"))
        await client.expect(f.PING, skip=(f.WINDOW_UPDATE, f.SETTINGS))
        assert not [e for e in client.frames if e.kind == f.WINDOW_UPDATE and e.stream_id == 1]
        go.set()
        while True:
            frame = await client.frame()
            if frame.kind == f.WINDOW_UPDATE and frame.stream_id == 1:
                break
        client.close()
    assert app.seen[1]["type"] == "tunnel.receive" and app.seen[1]["more_data"]


@pytest.mark.parametrize(
    "how, expected",
    [("return", f.END_STREAM), ("close", f.END_STREAM), ("fail", f.INTERNAL_ERROR)],
)
async def test_how_an_application_ends_a_tunnel(ours, how, expected, errors):
    async def end(receive, send):
        await receive()
        await send({"type": "tunnel.accept"})
        await send({"type": "tunnel.send", "data": b"last"})
        if how == "close":
            await send({"type": "tunnel.close"})
            assert (await receive())["type"] == "tunnel.disconnect"
        if how == "fail":
            raise LookupError("a bug")

    async with ours.serve(Tunnels(end), lifespan="off"):
        client = await ours.client()
        client.headers(1, CONNECT)
        answer = await client.answer()
        assert answer.end == expected
        if how != "fail":  # a reset overtakes
            assert answer.body == b"last"
        client.close()
    assert [each for each in errors() if "a bug" in each] or how != "fail"


async def test_a_refusal_of_a_tunnel_that_is_not_as_long_as_promised(ours, errors):
    async def refuse(receive, send):
        headers = [(b"content-length", b"2")]
        await send({"type": "tunnel.http.response.start", "status": 404, "headers": headers})
        await send({"type": "tunnel.http.response.body", "body": b"longer"})

    async with ours.serve(Tunnels(refuse), lifespan="off"):
        client = await ours.client()
        client.headers(1, CONNECT)
        answer = await client.answer()
        client.close()
    assert (answer.body, answer.end) == (b"", f.INTERNAL_ERROR)
    assert any("Content-Length" in each for each in errors())


@pytest.mark.parametrize("how, status", [("close", 403), ("answer", 404), ("nothing", 500)])
async def test_how_an_application_refuses_a_tunnel(ours, how, status):
    async def refuse(receive, send):
        await receive()
        if how == "close":
            await send({"type": "tunnel.close"})
            assert (await receive())["type"] == "tunnel.disconnect"
        elif how == "answer":
            await send({"type": "tunnel.http.response.start", "status": 404, "headers": []})
            await send({"type": "tunnel.http.response.body", "body": b"no"})

    async with ours.serve(Tunnels(refuse), lifespan="off"):
        client = await ours.client()
        client.headers(1, CONNECT)
        answer = await client.answer()
        client.close()
    assert (answer.status, answer.body) == (status, b"no" if how == "answer" else b"")


async def test_other_tokens_are_not_implemented(ours):
    async with ours.serve(Tunnels(echo), lifespan="off"):
        client = await ours.client()
        fields = [
            (name, "connect-udp" if name == ":protocol" else value) for name, value in CONNECT
        ]
        client.headers(1, fields)
        head = await client.expect(f.HEADERS, 1)
        assert (head.get(":status"), head.end_stream) == ("501", True)
        client.close()


async def test_tokens_by_argument(alone):
    async def app(scope, receive, send):
        await echo(receive, send)

    async with alone.serve(app, lifespan="off", websockets=False, tunnels=["BYTESTREAM"]):
        client = await alone.client()
        assert dict(client.frames[0].settings)[f.ENABLE_CONNECT_PROTOCOL] == 1
        client.headers(1, CONNECT)
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "200"
        assert (await client.websocket(3)).get(":status") == "501"
        client.close()


async def test_h1_headers_by_attribute(within):
    scopes = []

    class App:
        h2ws_fast_synthesize_h1_headers = True

        async def __call__(self, scope, receive, send):
            scopes.append(scope)
            await receive()
            await send({"type": "websocket.close"})

    async with within.serve(App(), lifespan="off", interface="asgi3"):
        client = await within.client()
        assert (await client.websocket()).get(":status") == "403"
        client.close()
    assert dict(scopes[0]["headers"])[b"upgrade"] == b"websocket"
