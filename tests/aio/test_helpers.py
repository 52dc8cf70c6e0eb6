"""What a server's handshakes are made of: basic_auth, route, unix_serve, coroutine functions."""

import asyncio
import base64
import socket
import sys

import pytest

from h2ws_fast import (
    Dialer,
    InvalidStatus,
    Response,
    Router,
    Session,
    basic_auth,
    connect,
    route,
    unix_route,
    unix_serve,
)
from tests.support.h1 import upgrade


async def refused(uri, **options):
    with pytest.raises(InvalidStatus) as caught:
        await connect(uri, **options)
    return caught.value.response


def authorization(text):
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


async def greet(ws):
    await ws.send(f"hello {ws.username}")


# -- basic_auth ----------------------------------------------------------------------------------


@pytest.mark.parametrize("credentials", [("zoë", "a:b"), [("x", "y"), ("zoë", "a:b")]])
async def test_who_knows_the_password_is_let_in(clear, http, credentials):
    async with clear.serve(greet, process_request=basic_auth("a realm", credentials)):
        async with connect(
            clear.ws(), http=http, additional_headers=authorization("zoë:a:b")
        ) as ws:
            assert await ws.recv() == "hello zoë"
        for wrong in ("zoë:a", "zoe:a:b", "zoë:", ":", "zoë"):
            response = await refused(clear.ws(), http=http, additional_headers=authorization(wrong))
            assert response.status == 401
            assert response.headers["www-authenticate"].startswith('Basic realm="a realm"')
        for wrong in (None, {"authorization": "Bearer x"}, {"authorization": "Basic ?"}):
            assert (await refused(clear.ws(), http=http, additional_headers=wrong)).status == 401


async def test_each_password_of_a_user_lets_in(clear):
    two = basic_auth("a realm", [("me", "old"), ("me", "new")])
    async with clear.serve(greet, process_request=two):
        for password in ("old", "new"):
            async with connect(
                clear.ws(), additional_headers=authorization(f"me:{password}")
            ) as ws:
                assert await ws.recv() == "hello me"
        wrong = authorization("me:other")
        assert (await refused(clear.ws(), additional_headers=wrong)).status == 401


async def test_a_proxy_asks_with_fields_of_its_own(clear):
    """RFC 9110 section 11.7: a CONNECT without a token is a proxy's; one with a token is not."""
    check = basic_auth("a realm", ("me", "secret"))
    ((_, right),) = authorization("me:secret").items()
    ((_, wrong),) = authorization("me:guessed").items()
    dialer = Dialer(["127.0.0.1:1"], ports=None, private=True)
    async with (
        clear.serve(process_request=check, connect=dialer, tunnels={"echo": greet}),
        Session(clear.http) as session,
    ):
        for fields in (
            {},
            {"proxy-authorization": wrong},
            {"authorization": wrong},
            {"proxy-authorization": wrong, "authorization": right},
        ):
            with pytest.raises(InvalidStatus) as caught:
                await session.connect_tcp("127.0.0.1:1", headers=fields)
            response = caught.value.response
            assert response.status == 407
            assert response.headers["proxy-authenticate"].startswith('Basic realm="a realm"')
            assert "www-authenticate" not in response.headers
        for name in ("proxy-authorization", "authorization"):
            with pytest.raises(InvalidStatus) as caught:
                await session.connect_tcp("127.0.0.1:1", headers={name: right})
            assert caught.value.response.status == 502  # let in: nobody listens there
        with pytest.raises(InvalidStatus) as caught:
            await session.tunnel("echo", headers={"proxy-authorization": right})
        assert caught.value.response.status == 401
        assert "www-authenticate" in caught.value.response.headers


async def test_a_function_may_check(clear):
    def check(user, password):
        return user == password

    async def check_later(user, password):
        await asyncio.sleep(0)
        return user == password

    for function in (check, check_later):
        async with clear.serve(greet, process_request=basic_auth(check_credentials=function)):
            async with connect(clear.ws(), additional_headers=authorization("a:a")) as ws:
                assert await ws.recv() == "hello a"
            assert (
                await refused(clear.ws(), additional_headers=authorization("a:b"))
            ).status == 401


@pytest.mark.parametrize("wrong", ["user", ("user",), [("user", "password"), "x"], 5, [(1, 2)]])
def test_credentials_that_are_none_are_refused_at_once(wrong):
    with pytest.raises(TypeError):
        basic_auth("realm", wrong)


def test_one_of_credentials_and_function():
    with pytest.raises(ValueError):
        basic_auth("realm")
    with pytest.raises(ValueError):
        basic_auth("realm", ("a", "b"), lambda user, password: True)
    with pytest.raises(ValueError):
        basic_auth("a\nb", ("a", "b"))


async def forward(tunnel):
    async for data in tunnel:
        await tunnel.send(data)


async def through(session):
    async with await session.tunnel("octets") as tunnel:
        await tunnel.send(b"there")
        return await tunnel.recv()


async def test_tunnels_need_the_password_too(clear):
    check = basic_auth("a realm", ("user", "password"))
    async with clear.serve(greet, tunnels={"octets": forward}, process_request=check):
        async with Session(f"http://user:password@127.0.0.1:{clear.port}") as session:
            assert await through(session) == b"there"
        async with Session(clear.http) as session:
            with pytest.raises(InvalidStatus) as caught:
                await session.tunnel("octets")
            assert caught.value.response.status == 401


# -- process_response as a coroutine function ------------------------------------------------------


async def test_process_response_may_take_its_time(clear, http):
    async def process_response(ws, request, response):
        await asyncio.sleep(0.01)
        response.headers["x-seen"] = request.path
        if request.path == "/no":
            return ws.respond(403, "no\n")
        if request.path == "/other":
            return Response(200, {"x-other": "1"})
        if request.path == "/broken":
            raise RuntimeError("broken")
        return None

    async def handler(ws):
        await ws.send("open")

    async with clear.serve(handler, process_response=process_response):
        async with connect(clear.ws("/yes"), http=http) as ws:
            assert await ws.recv() == "open"
            assert ws.response.headers["x-seen"] == "/yes"
        async with connect(clear.ws("/other"), http=http) as ws:
            assert ws.response.headers["x-other"] == "1"
        assert (await refused(clear.ws("/no"), http=http)).status == 403
        assert (await refused(clear.ws("/broken"), http=http)).status == 500


async def test_process_response_ends_with_its_stream(clear):
    ended = asyncio.Event()

    async def process_response(ws, request, response):
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with clear.serve(greet, process_response=process_response):
        async with Session(clear.http) as session:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await session.websocket()
            await ended.wait()


# -- process_request and ordinary requests -----------------------------------------------------------


async def test_process_request_answers_ordinary_requests(clear):
    def process_request(ws, request):
        return ws.respond(200, "OK\n") if request.path == "/healthz" else None

    async with clear.serve(greet, process_request=process_request):
        async with Session(clear.http) as session:
            assert await (await session.request("GET", "/healthz")).read() == b"OK\n"
            assert (await session.request("GET", "/")).status == 404


# -- route -------------------------------------------------------------------------------------------

werkzeug = pytest.importorskip("werkzeug.routing")


def url_map():
    async def number(ws, number):
        await ws.send(f"number {number + 1}")

    async def home(ws):
        await ws.send("home")

    return werkzeug.Map(
        [
            werkzeug.Rule("/", endpoint=home),
            werkzeug.Rule("/number/<int:number>", endpoint=number),
            werkzeug.Rule("/old", redirect_to="/"),
        ]
    )


async def served(server):
    return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_each_path_has_its_handler(http):
    async with route(url_map(), "127.0.0.1", 0) as server:
        base = await served(server)
        for path, said in (("/", "home"), ("/number/41", "number 42"), ("/?q=1", "home")):
            async with connect(base + path, http=http) as ws:
                assert await ws.recv() == said
        for path in ("/nowhere", "/number/x"):
            assert (await refused(base + path, http=http)).status == 404


async def test_redirects_name_the_server_as_clients_know_it():
    found = []

    class Noting(Router):
        def redirect(self, connection, url):
            found.append(url)
            return connection.respond(404, "not followed\n")

    for options, expected in (
        ({}, "ws://127.0.0.1:"),
        ({"server_name": "chat.example", "ssl": True}, "wss://chat.example/"),
    ):
        async with route(url_map(), "127.0.0.1", 0, create_router=Noting, **options) as server:
            await refused(await served(server) + "/old")
        assert found.pop().startswith(expected)


async def test_process_request_comes_before_the_map():
    async def later(ws, request):
        await asyncio.sleep(0)
        return ws.respond(418, "teapot\n") if request.path == "/" else None

    def now(ws, request):
        return ws.respond(418, "teapot\n") if request.path == "/" else None

    for process_request in (later, now):
        async with route(url_map(), "127.0.0.1", 0, process_request=process_request) as server:
            base = await served(server)
            assert (await refused(base + "/")).status == 418
            async with connect(base + "/number/1") as ws:
                assert await ws.recv() == "number 2"


# -- Unix sockets --------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no Unix sockets here")
async def test_unix_sockets(tmp_path):
    path = str(tmp_path / "socket")

    async def talk(said):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            async with Session("http://localhost", sock=sock) as session:
                ws = await session.websocket("/")
                assert await ws.recv() == said

    async def handler(ws):
        await ws.send("by unix")

    # Who comes over it has no address of his own: the limit is none of his.
    async with unix_serve(handler, path, max_connections_per_address=1) as server:
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(path)
            async with asyncio.timeout(10):
                while server.stats()["connections"] < 1:
                    await asyncio.sleep(0.01)
            await talk("by unix")
        assert server.stats()["refused"] == {}
    async with unix_route(url_map(), path):
        await talk("home")


async def test_tunnels_have_no_path_to_be_found_by():
    async with route(url_map(), "127.0.0.1", 0, tunnels={"octets": forward}) as server:
        async with Session(await served(server)) as session:
            assert await through(session) == b"there"


async def test_an_authority_that_is_none_is_a_bad_request(caplog):
    async with route(url_map(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(upgrade(host="a..b"))
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
        writer.close()
    assert not caplog.records
