"""What uvicorn expects of a protocol class, and what it is configured to do."""

import asyncio
import contextvars
import logging
import socket
from typing import ClassVar

import pytest

from tests.support import frames as f
from tests.support.asgi import Client, make_uvicorn, started
from tests.support.h1 import read_answers, request, upgrade

uvicorn = pytest.importorskip("uvicorn")

from h2ws_fast.asgi.uvicorn import Protocol  # noqa: E402

POST = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
TUNNEL = [(":method", "CONNECT"), (":protocol", "other"), (":scheme", "http"), (":path", "/")]


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError("none")
    if scope["type"] == "http":
        while (await receive())["more_body"]:
            pass
        body = repr((scope["client"], scope["scheme"], scope["http_version"])).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"1")]})
        await send({"type": "http.response.body", "body": body})
    else:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})


def waiting(go, log):
    """An application that answers when `go` is set."""

    async def wait(scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError("none")
        log.append(scope["path"])
        if scope["type"] == "http":
            await go.wait()
        await app(scope, receive, send)

    return wait


async def test_it_is_named_on_the_command_line():
    config = uvicorn.Config(app, http="h2ws_fast.asgi.uvicorn:Protocol", log_config=None)
    config.load()
    assert config.http_protocol_class is Protocol


async def test_default_headers(within):
    async with within.serve(app, headers=[("X-Told", "yes")]) as server:
        client = await within.client()
        head = (await client.get()).head
        assert [name for name, _ in head.fields] == [
            b":status",
            b"date",
            b"server",
            b"x-told",
            b"x",
        ]
        assert (head.get("server"), head.get("x-told")) == ("uvicorn", "yes")
        # They are renewed each second.
        server.server_state.default_headers = [(b"x-new", b"1")]
        assert (await client.get(stream_id=3)).get("x-new") == "1"
        assert (await client.websocket(5)).get("x-new") == "1"
        client.close()
    async with within.serve(app, server_header=False, date_header=False):
        client = await within.client()
        head = (await client.get()).head
        assert [name for name, _ in head.fields] == [b":status", b"x"]
        client.close()


async def test_blanks_around_default_headers(within):
    # As `--header 'x-told: yes'` gives them.
    async with within.serve(app, headers=[("x-told", " yes ")], limit_concurrency=3) as server:
        client = await within.client()
        heads = [(await client.get()).head, await client.websocket(3)]
        client.headers(5, [*TUNNEL, (":authority", "a")])
        heads.append(await client.expect(f.HEADERS, 5))
        server.server_state.tasks.update({1, 2, 3})  # as if so many worked
        client.ask(stream_id=7)
        heads.append(await client.expect(f.HEADERS, 7))
        server.server_state.tasks.difference_update({1, 2, 3})
        client.close()
    assert [head.get(":status") for head in heads] == ["200", "200", "501", "503"]
    assert [head.get("x-told") for head in heads] == ["yes"] * 4


async def test_the_access_log_is_uvicorns(within, caplog):
    caplog.set_level(logging.INFO)
    async with within.serve(app, access_log=True):
        client = await within.client()
        port = client.writer.get_extra_info("sockname")[1]
        await client.get("/a%20b?q=1")
        await client.websocket(3, "/ws?x")
        client.close()
    lines = {
        record.name: record for record in caplog.records if f":{port} - " in record.getMessage()
    }
    access = lines["uvicorn.access"]
    assert access.getMessage() == f'127.0.0.1:{port} - "GET /a%20b?q=1 HTTP/2" 200'
    # Its formatter takes the arguments apart.
    from uvicorn.logging import AccessFormatter

    formatter = AccessFormatter('%(client_addr)s "%(request_line)s" %(status_code)s')
    assert formatter.format(access) == f'127.0.0.1:{port} "GET /a%20b?q=1 HTTP/2" 200 OK'
    assert lines["uvicorn.error"].getMessage() == f'127.0.0.1:{port} - "WebSocket /ws?x" [accepted]'


async def test_what_is_not_implemented_is_in_the_access_log(within, caplog):
    caplog.set_level(logging.INFO)
    async with within.serve(app, access_log=True) as server:
        client = await within.client()
        client.headers(1, [*TUNNEL, (":authority", "a")])
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "501"
        client.headers(3, [(":method", "CONNECT"), (":authority", "example.org:443")])
        assert (await client.expect(f.HEADERS, 3)).get(":status") == "501"
        client.close()
        assert server.server_state.total_requests == 2
    lines = [each.getMessage() for each in caplog.records if each.name == "uvicorn.access"]
    assert [line.partition(" - ")[2] for line in lines] == [
        '"CONNECT / HTTP/2" 501',
        '"CONNECT example.org:443 HTTP/2" 501',
    ]


async def test_its_state_is_kept(within):
    go, log = asyncio.Event(), []
    async with within.serve(waiting(go, log)) as server:
        state = server.server_state
        client = await within.client()
        assert len(state.connections) == 1
        client.ask()
        while not log:
            await asyncio.sleep(0.01)
        assert len(state.tasks) == 1
        go.set()
        await client.answer()
        await client.websocket(3)
        client.close_frame(3, 1000, end_stream=True)
        client.close()
        async with asyncio.timeout(5):
            while state.tasks or state.connections:
                await asyncio.sleep(0.01)
        assert state.total_requests == 2


async def test_limit_concurrency_is_503(within, caplog):
    go, log = asyncio.Event(), []
    async with within.serve(waiting(go, log), limit_concurrency=2) as server:
        client = await within.client()
        client.ask(stream_id=1)
        client.ask(stream_id=3)
        while len(log) < 2:
            await asyncio.sleep(0.01)
        answer = await client.get("/more", stream_id=5)
        assert (answer.status, answer.body) == (503, b"Service Unavailable")
        head = await client.websocket(7)
        assert (head.get(":status"), head.end_stream) == ("503", True)
        go.set()
        ended = 0
        while ended < 2:
            ended += (await client.frame()).end_stream
        client.close()
        assert server.server_state.total_requests == 4
    assert "Exceeded concurrency limit." in caplog.messages


@pytest.mark.parametrize("seconds", [1, 0])
async def test_an_idle_connection_ends(within, seconds):
    async with within.serve(app, idle_timeout=seconds):
        client = await within.client()
        await asyncio.sleep(0.1)  # it has time to ask
        await client.get()
        async with asyncio.timeout(5):
            assert (await finish(client))[0] == 2**31 - 1
        client.close()


async def test_proxy_headers(within):
    fields = [("x-forwarded-for", "10.1.2.3"), ("x-forwarded-proto", "https")]
    async with within.serve(app):
        client = await within.client()
        answer = await client.get("/", *fields)
        assert answer.body == b"(('10.1.2.3', 0), 'https', '2')"
        client.close()


@pytest.mark.parametrize("implementation", ["httptools", "h11"])
async def test_http1_is_uvicorns_own(within, implementation, monkeypatch):
    from uvicorn.protocols.http import auto

    if implementation == "h11":
        from uvicorn.protocols.http.h11_impl import H11Protocol as chosen
    else:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as chosen
    monkeypatch.setattr(auto, "AutoHTTPProtocol", chosen)
    async with within.serve(app) as server:
        for octets in (
            request(["Connection: close"], line="GET /x HTTP/1.1"),
            request(["Connection: close", "Content-Length: 3"], line="PUT / HTTP/1.1", body=b"PRI"),
            # It begins as the preface does.
            request(["Connection: close"], line="PROPFIND / HTTP/1.1"),
        ):
            for step in (1, 3, 1000):
                reader, writer = await asyncio.open_connection("127.0.0.1", within.port)
                for at in range(0, len(octets), step):
                    writer.write(octets[at : at + step])
                    await asyncio.sleep(0.001)
                kinds = {type(each) for each in server.server_state.connections}
                assert kinds <= {chosen, Protocol}
                (answer,) = read_answers(await reader.read())
                assert answer.status == 200
                writer.close()


@pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto", "none"])
async def test_websockets_of_http1_are_uvicorns_own(within, ws):
    async with within.serve(app, ws=ws):
        reader, writer = await asyncio.open_connection("127.0.0.1", within.port)
        writer.write(upgrade())
        line = await reader.readline()
        writer.close()
    assert line.startswith(b"HTTP/1.1 200" if ws == "none" else b"HTTP/1.1 101")


@pytest.mark.parametrize(
    "options, offered",
    [({}, True), ({"websockets": False}, False), ({"interface": "wsgi"}, False)],
)
async def test_websockets_of_http2_need_no_library(within, monkeypatch, options, offered):
    monkeypatch.setattr("uvicorn.protocols.websockets.auto.AutoWebSocketsProtocol", None)
    async with within.serve(app, lifespan="off", **options):
        client = await within.client()
        settings = dict(client.frames[0].settings)
        assert settings.get(f.ENABLE_CONNECT_PROTOCOL, 0) == offered
        if offered:
            assert (await client.websocket()).get(":status") == "200"
        client.close()


def of_wsgi(environ, start_response):
    assert environ["SERVER_PROTOCOL"] == "HTTP/2"
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"it said ", environ["wsgi.input"].read()]


def of_asgi2(scope):
    async def answer(receive, send):
        said = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"it said " + said})

    return answer


@pytest.mark.parametrize("interface, old", [("wsgi", of_wsgi), ("asgi2", of_asgi2)])
async def test_applications_of_older_interfaces(within, interface, old):
    async with within.serve(old, lifespan="off", interface=interface):
        client = await within.client()
        client.headers(1, POST)
        client.send(f.data(1, b"hello", end_stream=True))
        answer = await client.answer()
        client.close()
    assert (answer.status, answer.body) == (200, b"it said hello")


async def test_what_uvicorn_has_no_options_for_says_a_class(within):
    class Tuned(Protocol):
        h2_settings: ClassVar = {"max_concurrent_streams": 7}
        h2_limits: ClassVar = {"body_timeout_s": 0.1}

    async with within.serve(app, http=Tuned, h11_max_incomplete_event_size=5000):
        client = await within.client(greet=False)
        client.send(f.MAGIC, f.settings())
        told = dict((await client.expect(f.SETTINGS)).settings)
        client.headers(1, POST)  # and no body
        assert (await client.answer()).end != f.END_STREAM
        client.close()
    assert told[f.MAX_CONCURRENT_STREAMS] == 7
    assert told[f.MAX_HEADER_LIST_SIZE] == 5000


async def test_silence_ends_before_uvicorn_waits_for_it(within):
    async with within.serve(app):
        _, writer = await asyncio.open_connection("127.0.0.1", within.port)
        await asyncio.sleep(0.05)
    # The server is shut down although nothing was ever said.
    writer.close()


async def test_each_task_may_begin_with_an_empty_context(within):
    variable = contextvars.ContextVar("variable", default="fresh")
    seen = []

    async def look(scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError("none")
        seen.append(variable.get())
        await app(scope, receive, send)

    variable.set("inherited")
    for reset in (False, True):
        async with within.serve(look, reset_contextvars=reset):
            client = await within.client()
            await client.get()
            client.close()
    assert seen == ["inherited", "fresh"]


async def test_a_unix_socket(within, tmp_path):
    path = str(tmp_path / "socket")
    server = make_uvicorn(app)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        async with started(server, listener):
            client = Client(*await asyncio.open_unix_connection(path))
            client.send(f.MAGIC, f.settings())
            answer = await client.get()
            assert answer.body == b"(None, 'http', '2')"
            client.close()


async def test_the_shutdown_lets_a_request_finish(within):
    go, log = asyncio.Event(), []
    async with within.serve(waiting(go, log)):
        client = await within.client()
        client.ask()
        while not log:
            await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.3, go.set)
        answer = asyncio.ensure_future(finish(client))
    assert await answer == (2**31 - 1, b"200")
    client.close()


async def finish(client):
    goaway = status = None
    while (frame := await client.frame()) is not None:
        if frame.kind == f.GOAWAY and goaway is None:
            goaway = frame.last_stream_id
        if frame.kind == f.PING and not frame.ack:
            client.send(f.ping(frame.payload, ack=True))
        if frame.kind == f.HEADERS:
            status = dict(frame.fields)[b":status"]
    return goaway, status
