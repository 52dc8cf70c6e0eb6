"""Clients behind proxies: HTTP CONNECT, TLS with the proxy and through it, SOCKS; the environment."""

import asyncio
import os

import pytest

from h2ws_fast import (
    InvalidProxy,
    InvalidProxyMessage,
    InvalidProxyStatus,
    ProxyError,
    Response,
    Session,
    connect,
)
from h2ws_fast.aio import uri
from h2ws_fast.aio.client.forward import MAX_EARLY, Landing
from h2ws_fast.aio.client.proxy import find_proxy, parse_proxy
from tests.support import frames as f
from tests.support.forwarding import ConnectProxy, SocksProxy
from tests.support.programs import free_port, module
from tests.support.raw import RawServer

VARIABLES = ("all", "http", "https", "no", "socks", "ws", "wss")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


async def echo(ws):
    async for message in ws:
        await ws.send(f"{ws.http_version} {message}")


async def say_hello(request):
    return Response(200, {}, "hello")


async def check(place, proxy, **options):
    """One WebSocket over each version, and a request, through a proxy."""
    for http, version in (("h2", "2"), ("h1", "1.1"), ("auto", "2")):
        async with connect(
            place.ws(), http=http, proxy=proxy, ssl=place.client_ssl, **options
        ) as ws:
            await ws.send("there")
            assert await ws.recv() == f"{version} there"
            await ws.send("x" * 200_000)
            assert await ws.recv() == f"{version} " + "x" * 200_000
    async with Session(place.http, proxy=proxy, ssl=place.client_ssl, **options) as session:
        response = await session.request("GET", "/")
        assert await response.read() == b"hello"


@pytest.mark.row("8441-7-1")
async def test_connect_comes_first(place):
    async with place.serve(echo, on_request=say_hello), ConnectProxy() as proxy:
        await check(place, proxy.uri())
        assert proxy.asked == [("127.0.0.1", place.port)] * 4
        for head in proxy.heads:
            lines = head.decode().split("\r\n")
            assert lines[0] == f"CONNECT 127.0.0.1:{place.port} HTTP/1.1"
            assert lines[1] == f"Host: 127.0.0.1:{place.port}"
            assert lines[2].startswith("User-Agent: Python/") and "h2ws_fast/" in lines[2]
            assert lines[3:] == ["", ""]


async def test_tls_with_the_proxy(place, server_tls, client_tls):
    async with place.serve(echo, on_request=say_hello), ConnectProxy(ssl=server_tls) as proxy:
        await check(place, proxy.uri(), proxy_ssl=client_tls)
        assert len(proxy.asked) == 4
        with pytest.raises(OSError, match="certificate"):  # that of the proxy
            await connect(place.ws(), proxy=proxy.uri(), ssl=place.client_ssl)


async def test_who_is_asked_for_by_name(place):
    # The proxy resolves, and not this end.
    uri_ = place.ws if place.secure else None
    async with place.serve(echo), ConnectProxy(leads=None) as proxy:
        proxy.leads = place.port

        async def dial(host, port):
            proxy.asked.append((host, port))
            return await asyncio.open_connection("127.0.0.1", place.port)

        proxy.dial = dial
        scheme = "wss" if place.secure else "ws"
        async with connect(
            f"{scheme}://nowhere.invalid/",
            http="h2",
            proxy=proxy.uri(),
            ssl=place.client_ssl,
            server_hostname="127.0.0.1" if place.secure else None,
        ) as ws:
            await ws.send("there")
            assert await ws.recv() == "2 there"
        assert proxy.asked == [("nowhere.invalid", 443 if place.secure else 80)]
        assert uri_ is None or place.secure


async def test_proxy_that_wants_to_know_who_asks(clear):
    async with clear.serve(echo), ConnectProxy(user="me@here", password="p:w/") as proxy:
        async with connect(clear.ws(), proxy=proxy.uri(login="me%40here:p%3Aw%2F@")) as ws:
            await ws.send("there")
            assert await ws.recv() == "2 there"
        with pytest.raises(InvalidProxyStatus) as caught:
            await connect(clear.ws(), proxy=proxy.uri())
        response = caught.value.response
        assert (response.status, response.body) == (407, b"who?")
        assert response.headers["proxy-authenticate"] == 'Basic realm="here"'
        assert str(caught.value) == "the proxy refused with status 407"


@pytest.mark.parametrize(
    "answers",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 fine\nNo: good\n\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 fi",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 21,
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n",
        b"HTTP/1.1 200 " + b"x" * 8192 + b"\r\n\r\n",
    ],
)
async def test_answers_that_are_none(clear, answers):
    async with ConnectProxy(answers=answers) as proxy:
        with pytest.raises(InvalidProxyMessage):
            await connect(f"ws://127.0.0.1:{free_port()}", proxy=proxy.uri())


async def test_refusal_without_an_end(clear):
    answers = b"HTTP/1.1 403 no\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbut\r\n"
    async with ConnectProxy(answers=answers) as proxy:
        with pytest.raises(InvalidProxyStatus) as caught:
            await connect("ws://127.0.0.1:1", proxy=proxy.uri())
        assert (caught.value.response.status, caught.value.response.body) == (403, b"but")


async def test_proxy_that_does_not_reach_the_server(clear):
    async with ConnectProxy() as proxy:
        with pytest.raises(ProxyError, match="502"):
            await connect(f"ws://127.0.0.1:{free_port()}", proxy=proxy.uri())
    with pytest.raises(OSError):
        await connect("ws://127.0.0.1:1", proxy=f"http://127.0.0.1:{free_port()}")


async def test_proxy_that_does_not_answer(clear):
    async with ConnectProxy(answers=b"") as proxy:
        with pytest.raises(TimeoutError):
            await connect(clear_uri(), proxy=proxy.uri(), open_timeout=0.2)


def clear_uri():
    return "ws://127.0.0.1:1"


async def answer_one(peer):
    """A server that has said its SETTINGS already."""
    assert await peer.reader.readexactly(24) == f.MAGIC
    await peer.expect(f.SETTINGS, skip=())
    peer.send(f.settings_ack())
    await peer.expect(f.HEADERS)
    peer.headers(1, [(b":status", b"200")], end_stream=True)
    await peer.until_eof()


async def test_octets_behind_the_answer(clear, client_tls):
    # In cleartext they are the server's, which may speak first. With TLS it never does.
    async with (
        RawServer(answer_one, greet=False) as server,
        ConnectProxy(extra=f.settings((f.MAX_CONCURRENT_STREAMS, 7))) as proxy,
    ):
        async with Session(f"http://127.0.0.1:{server.port}", proxy=proxy.uri()) as session:
            response = await session.request("GET", "/")
            assert response.status == 200
            assert session._wire.conn.peer_max_concurrent_streams == 7
        with pytest.raises(InvalidProxyMessage):
            await connect(f"wss://127.0.0.1:{server.port}", ssl=client_tls, proxy=proxy.uri())
    assert MAX_EARLY == 65536


async def test_many_octets_behind_the_answer(monkeypatch):
    # A loop may read more than once before the client's task runs on: as if each read were small.
    def receive(self, data):
        for at in range(0, len(data), 4096):
            whole(self, data[at : at + 4096])
        paused.append(self.paused)

    paused = []
    whole = Landing.data_received
    monkeypatch.setattr(Landing, "data_received", receive)
    unknown = f.frame(0xBB, 0, 0, bytes(16000))
    async with (
        RawServer(answer_one, greet=False) as server,
        ConnectProxy(extra=f.settings() + 2 * (MAX_EARLY // 16000) * unknown) as proxy,
        Session(f"http://127.0.0.1:{server.port}", proxy=proxy.uri()) as session,
    ):
        response = await session.request("GET", "/")
        assert response.status == 200
        assert paused


async def test_cancelled_on_the_way(clear):
    async with clear.serve(echo), ConnectProxy(answers=b"") as proxy:
        opening = asyncio.ensure_future(connect(clear.ws(), proxy=proxy.uri()))
        while not proxy.heads:
            await asyncio.sleep(0.01)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        while proxy.tasks:  # the proxy sees the end
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("secure", [False, True])
async def test_tls_that_never_begins(server_tls, client_tls, secure):
    async def keep_quiet(reader, writer):
        begun.append(await reader.read(1))
        await reader.read()
        writer.close()
        ended.append(True)

    begun, ended = [], []
    async with await asyncio.start_server(keep_quiet, "127.0.0.1", 0) as server:
        uri_ = f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with ConnectProxy(ssl=server_tls if secure else None) as proxy:
            options = {"proxy": proxy.uri(), "ssl": client_tls}
            if secure:
                options["proxy_ssl"] = client_tls
            with pytest.raises(TimeoutError):
                await connect(uri_, open_timeout=0.3, **options)
            opening = asyncio.ensure_future(connect(uri_, http="h1", **options))
            while len(begun) < 2:
                await asyncio.sleep(0.01)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            while len(ended) < 2:  # the proxy and the server see the end
                await asyncio.sleep(0.01)


async def test_a_server_that_leaves_before_tls(client_tls):
    async def leave(reader, writer):
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(leave, "127.0.0.1", 0) as server:
        uri_ = f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with ConnectProxy() as proxy:
            for http in ("h2", "h1"):
                with pytest.raises(OSError):
                    await connect(uri_, http=http, proxy=proxy.uri(), ssl=client_tls)


@pytest.mark.parametrize("scheme", ["socks5h", "socks5", "socks4a", "socks4"])
async def test_socks(place, scheme):
    module("python_socks")
    async with place.serve(echo, on_request=say_hello), SocksProxy() as proxy:
        await check(place, proxy.uri(scheme))
        assert proxy.asked == [("127.0.0.1", place.port)] * 4
        assert set(proxy.versions) == {int(scheme[5])}


@pytest.mark.parametrize("scheme, named", [("socks5h", "localhost"), ("socks5", "127.0.0.1")])
async def test_who_resolves_before_socks(clear, scheme, named):
    module("python_socks")
    async with clear.serve(echo), SocksProxy() as proxy:
        async with connect(f"ws://localhost:{clear.port}", proxy=proxy.uri(scheme), family=2) as ws:
            await ws.send("there")
            assert await ws.recv() == "2 there"
        [(host, _)] = proxy.asked
        assert host == named or (named != "localhost" and host == "::1")


async def test_socks_that_refuses(clear):
    module("python_socks")
    async with clear.serve(echo), SocksProxy(user="me", password="pw") as proxy:
        async with connect(clear.ws(), proxy=proxy.uri(login="me:pw@")) as ws:
            await ws.send("there")
            assert await ws.recv() == "2 there"
        with pytest.raises(ProxyError):
            await connect(clear.ws(), proxy=proxy.uri(login="me:other@"))
        with pytest.raises(ProxyError):
            await connect(f"ws://127.0.0.1:{free_port()}", proxy=proxy.uri(login="me:pw@"))
    with pytest.raises(OSError):
        await connect(clear.ws(), proxy=f"socks5://127.0.0.1:{free_port()}")


async def test_without_python_socks(clear, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "python_socks", None)
    with pytest.raises(ImportError, match=r"h2ws_fast\[socks\]"):
        await connect("ws://127.0.0.1:1", proxy="socks5://127.0.0.1:1")


async def test_the_environment(clear, monkeypatch):
    async with clear.serve(echo), ConnectProxy() as proxy:
        monkeypatch.setenv("http_proxy", proxy.uri())
        async with connect(clear.ws()) as ws:
            await ws.send("there")
            assert await ws.recv() == "2 there"
        assert len(proxy.asked) == 1
        async with connect(clear.ws(), proxy=None) as ws:
            await ws.send("there")
        async with Session(clear.http, proxy=None):
            pass
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with connect(clear.ws()) as ws:
            await ws.send("there")
        assert len(proxy.asked) == 1


@pytest.mark.parametrize(
    "secure, known, expected",
    [
        (True, {}, None),
        (True, {"http": "http://a:1"}, None),
        (True, {"http": "http://a:1", "https": "http://b:1"}, "http://b:1"),
        (True, {"https": "http://b:1", "socks": "http://c:1"}, "socks5h://c:1"),
        (True, {"socks": "HTTP://c:1"}, "socks5h://c:1"),
        (True, {"wss": "https://d:1", "socks": "http://c:1", "all": "http://e:1"}, "https://d:1"),
        (True, {"ws": "http://f:1", "all": "http://e:1"}, "http://e:1"),
        (False, {"http": "http://a:1", "https": "http://b:1"}, "http://b:1"),
        (False, {"http": "http://a:1", "ws": "socks4://f:1"}, "socks4://f:1"),
        (False, {"http": "http://a:1"}, "http://a:1"),
        (False, {"http": "http://a:1", "no": "example.org"}, None),
        (False, {"http": "http://a:1", "no": "*"}, None),
    ],
)
def test_which_variable_counts(monkeypatch, secure, known, expected):
    for name, value in known.items():
        monkeypatch.setenv(f"{name}_proxy", value)
    assert find_proxy(uri.parse(f"{'wss' if secure else 'ws'}://example.org/")) == expected


def test_none_where_there_is_a_socket(monkeypatch):
    monkeypatch.setenv("https_proxy", "nonsense")
    with pytest.raises(InvalidProxy):
        connect("wss://example.org")
    connect("ws://example.org", unix=True, path="/run/it")
    connect("ws://example.org", sock=object())


@pytest.mark.parametrize(
    "address, expected",
    [
        ("http://proxy.example", ("http", "proxy.example", 80, None, None)),
        ("https://proxy.example/", ("https", "proxy.example", 443, None, None)),
        ("http://a:b@[::1]:8080", ("http", "::1", 8080, "a", "b")),
        ("socks5h://u%40:%3A@Proxy:9", ("socks5h", "proxy", 9, "u@", ":")),
        ("socks5://proxy", ("socks5", "proxy", 1080, None, None)),
        ("socks4a://proxy", ("socks4a", "proxy", 1080, None, None)),
        ("http://prüfung.example", ("http", "xn--prfung-4ya.example", 80, None, None)),
    ],
)
def test_addresses(address, expected):
    assert tuple(parse_proxy(address)) == expected


@pytest.mark.parametrize(
    "address, problem",
    [
        ("ftp://proxy", "scheme ftp isn't supported"),
        ("proxy:8080", "isn't supported"),
        ("http://", "hostname isn't provided"),
        ("http://proxy/path", "path is meaningless"),
        ("http://proxy?query", "query is meaningless"),
        ("http://proxy#fragment", "fragment is meaningless"),
        ("http://user@proxy", "username provided without password"),
        ("http://proxy:port", "port"),
        ("http://proxy:99999", "Port"),
        ("http://%ff:b@proxy", "no text"),
    ],
)
def test_addresses_that_are_none(address, problem):
    with pytest.raises(InvalidProxy, match=problem) as caught:
        connect("ws://example.org", proxy=address)
    assert caught.value.proxy.endswith(address.rpartition("@")[2].rpartition("//")[2])


def test_a_password_stands_in_no_error():
    with pytest.raises(InvalidProxy) as caught:
        parse_proxy("http://user:secret@proxy/path")
    assert "secret" not in str(caught.value) + repr(caught.value)
    assert "secret" not in repr(parse_proxy("http://user:secret@proxy"))
    with pytest.raises(TypeError):
        parse_proxy(5)


@pytest.mark.parametrize(
    "options, error",
    [
        ({"proxy": "https://proxy", "proxy_ssl": None}, ValueError),
        ({"proxy": "http://proxy", "proxy_ssl": object()}, ValueError),
        ({"path": "/run/it"}, TypeError),
        ({"unix": True}, ValueError),
        ({"unix": True, "path": "/run/it", "sock": object()}, ValueError),
        ({"unknown": 1}, TypeError),
        ({"proxy_unknown": 1}, TypeError),
    ],
)
def test_ways_that_make_no_sense(options, error):
    with pytest.raises(error):
        connect("ws://example.org", **options)
    assert os.environ.get("http_proxy") is None
