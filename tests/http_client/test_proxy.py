"""HTTP/2 through proxies: TLS with the server, behind CONNECT."""

import asyncio

import httpx
import pytest
from httpx_ws import aconnect_ws, connect_ws

from h2ws_fast.aio import tls
from tests.aio.conftest import Place
from tests.http_client.application import echo, on_request
from tests.support.forwarding import ConnectProxy, SocksProxy
from tests.support.within import within


@pytest.fixture
def secure(server_tls, client_tls):
    return Place(server_tls, client_tls)


async def converse(http):
    """Two requests and a WebSocket; how many connections of the server they took."""
    ports = set()
    for _ in range(2):
        response = await http.post("/asked", content=b"body")
        assert response.http_version == "HTTP/2"
        ports.add(response.json()["port"])
    async with aconnect_ws("/chat", http) as ws:
        await ws.send_text("hello")
        assert await ws.receive_text() == "hello"
        assert ws.response.http_version == "HTTP/2"
    return len(ports)


@pytest.mark.parametrize("given", ["URL", "Proxy", "SOCKS"])
async def test_requests_and_websockets_share_a_way_through(secure, client, given):
    if given == "SOCKS":
        pytest.importorskip("python_socks")
    kind = SocksProxy if given == "SOCKS" else ConnectProxy
    async with (
        secure.serve(echo, on_request=on_request),
        kind(user="me@here", password="p:w/") as proxy,
    ):
        way = proxy.uri(login="me%40here:p%3Aw%2F@")
        if given != "URL":
            address = proxy.uri("socks5" if given == "SOCKS" else "http")
            way = httpx.Proxy(address, auth=("me@here", "p:w/"))
        async with client(secure, proxy=way) as http:
            assert await converse(http) == 1
    assert proxy.asked == [("127.0.0.1", secure.port)]


async def test_tls_with_the_proxy(secure, client, certificate, server_tls):
    context = tls.client_context(cafile=certificate[0])
    context.set_alpn_protocols(["http/1.1"])
    async with secure.serve(echo, on_request=on_request), ConnectProxy(ssl=server_tls) as proxy:
        way = httpx.Proxy(proxy.uri(), ssl_context=context)
        async with client(secure, proxy=way) as http:
            assert await converse(http) == 1
        assert len(proxy.asked) == 1
        async with client(secure, proxy=proxy.uri()) as http:
            with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
                await http.get("/asked")


async def test_a_refusal_is_the_proxys(secure, client):
    async with secure.serve(on_request=on_request), ConnectProxy(user="a", password="b") as proxy:
        async with client(secure, proxy=proxy.uri()) as http:
            for _ in range(2):
                with pytest.raises(httpx.ProxyError, match="407"):
                    await http.get("/asked")
        secure.port = 1
        async with client(secure, proxy=proxy.uri(login="a:b@")) as http:
            with pytest.raises(httpx.ProxyError, match="502"):
                await http.get("/asked")
    async with ConnectProxy(answers=b"what?\r\n\r\n") as proxy:
        async with client(secure, proxy=proxy.uri()) as http:
            with pytest.raises(httpx.ProxyError):
                await http.get("/asked")


@pytest.mark.parametrize("why", ["server", "headers"])
async def test_what_is_left_to_httpx(secure, client, why):
    http = ("h1",) if why == "server" else ("h2", "h1")
    headers = {"x-for": "the proxy"} if why == "headers" else None
    async with secure.serve(on_request=on_request, http=http), ConnectProxy() as proxy:
        way = httpx.Proxy(proxy.uri(), headers=headers)
        async with client(secure, proxy=way) as made:
            for _ in range(2):
                response = await made.get("/asked")
                assert response.http_version == "HTTP/1.1"
    # A server is asked in HTTP/1.1 from then on, on httpx's one connection.
    assert len(proxy.asked) == (2 if why == "server" else 1)
    assert (b"\r\nx-for: the proxy\r\n" in proxy.heads[0]) == (why == "headers")


def test_in_threads(secure, blocking):
    def ask(way):
        with blocking(secure, proxy=way) as http:
            assert http.get("/asked").http_version == "HTTP/2"
            with connect_ws("/chat", http) as ws:
                ws.send_text("hello")
                assert ws.receive_text() == "hello"

    async def main():
        async with secure.serve(echo, on_request=on_request), ConnectProxy() as proxy:
            await asyncio.to_thread(ask, proxy.uri())
            assert len(proxy.asked) == 1

    within(20, main())
