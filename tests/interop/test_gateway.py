"""The gateway between others: HAProxy, nghttpx and Caddy on either side, other servers behind it.

Between and behind is HTTP/1.1, HTTP/2 in cleartext or HTTP/2 over TLS. Of the pairs `H2WS_FAST_TURN`
takes one; without it all.
"""

import asyncio
import itertools
import os

import pytest

from h2ws_fast import InvalidStatus, Session, connect
from tests.interop.h1_servers import KINDS, answer_of, h1_server
from tests.support.certificates import write_certificate
from tests.support.programs import Echo, GatewayCommand
from tests.support.proxies import caddy, haproxy, nghttpx
from tests.support.within import within

WAYS = ("h1", "h2c", "h2")
PAIRS = list(itertools.product(WAYS, WAYS))
if turn := os.environ.get("H2WS_FAST_TURN"):
    PAIRS = [PAIRS[int(turn) % len(PAIRS)]]


async def converse(uri, http, path="/"):
    async with connect(uri + path, http=http, proxy=None) as ws:
        for message in ("text", "naïve ☃", bytes(300_000)):
            await ws.send(message)
            assert await ws.recv() == message
        await ws.close(3456, "bye")
        assert ws.close_code == 3456


async def fetch(port):
    async with Session(f"http://127.0.0.1:{port}", proxy=None) as session:
        response = await session.request("GET", "/bytes/100000")
        assert len(await response.read()) == 100_000


@pytest.fixture(scope="module")
def echo():
    with Echo("--cleartext") as server:
        yield server


@pytest.fixture(scope="module")
def secure_echo():
    with Echo() as server:
        yield server


@pytest.fixture
def servers(echo, secure_echo):
    return {"h1": echo, "h2c": echo, "h2": secure_echo}


def backend_of(proxy, way):
    """What a proxy is told of who is behind it."""
    if proxy is haproxy:
        told = {"h1": "proto h1", "h2c": "proto h2", "h2": "ssl verify none alpn h2"}
        return {"server": told[way]}
    told = {"h1": "proto=http/1.1", "h2c": "proto=h2", "h2": "proto=h2;tls"}
    return {"backend": told[way], "trusting": True}


def upstream(url, way):
    """What the gateway is told of who is behind it."""
    return ["--upstream", url, "--http", "h1" if way == "h1" else "h2", "--insecure"]


@pytest.mark.parametrize("proxy", [haproxy, nghttpx], ids=lambda proxy: proxy.__name__)
@pytest.mark.parametrize(("between", "behind"), PAIRS)
def test_a_proxy_in_front(servers, tmp_path, proxy, between, behind):
    """Client, proxy, gateway, server: each hop over either version."""
    tls = [] if between == "h2" else ["--cleartext"]
    with (
        GatewayCommand(*tls, *upstream(servers[behind].url, behind)) as gate,
        proxy(gate.port, tmp_path, **backend_of(proxy, between)) as (h1, h2),
    ):
        within(30, converse(f"ws://127.0.0.1:{h1}", "h1"))
        within(30, converse(f"ws://127.0.0.1:{h2}", "h2"))
        within(30, fetch(h2))


@pytest.mark.parametrize("proxy", [haproxy, nghttpx], ids=lambda proxy: proxy.__name__)
@pytest.mark.parametrize(("between", "behind"), PAIRS)
def test_a_proxy_behind(servers, tmp_path, proxy, between, behind):
    """Client, gateway, proxy, server."""
    told = backend_of(proxy, behind)
    if between == "h2":
        told["certificate"] = write_certificate(tmp_path)
    with proxy(servers[behind].port, tmp_path, **told) as (first, cleartext_h2):
        url = {
            "h1": f"http://127.0.0.1:{first}",
            "h2c": f"http://127.0.0.1:{cleartext_h2}",
            "h2": f"https://127.0.0.1:{first}",
        }[between]
        with GatewayCommand("--cleartext", *upstream(url, between)) as gate:
            for front in ("h1", "h2"):
                within(30, converse(gate.uri, front))
            within(30, fetch(gate.port))


@pytest.mark.parametrize("behind", WAYS)
def test_caddy_in_front(servers, tmp_path, behind):
    """WebSockets come over HTTP/1.1, which is all Caddy has for them; requests over either."""
    with (
        GatewayCommand("--cleartext", *upstream(servers[behind].url, behind)) as gate,
        caddy(gate.port, tmp_path) as port,
    ):
        within(30, converse(f"ws://127.0.0.1:{port}", "h1"))
        within(30, fetch(port))


def test_caddy_in_front_over_http2(echo, tmp_path):
    """It leads requests to the gateway by HTTP/2 in cleartext, and WebSockets nowhere then."""
    with (
        GatewayCommand("--cleartext", "--access-log", *upstream(echo.url, "h2c")) as gate,
        caddy(gate.port, tmp_path, scheme="h2c") as port,
    ):
        within(30, fetch(port))
        with pytest.raises(InvalidStatus, match="502"):
            within(30, converse(f"ws://127.0.0.1:{port}", "h1"))
        assert '"GET /bytes/100000 HTTP/2" 200' in gate.stop()[2]


@pytest.mark.parametrize("http", ["auto", "h1"])
def test_caddy_behind(echo, tmp_path, http):
    """WebSockets of either version go to it over HTTP/1.1, since it has none over HTTP/2."""
    with (
        caddy(echo.port, tmp_path) as port,
        GatewayCommand(
            "--cleartext", "--upstream", f"http://127.0.0.1:{port}", "--http", http
        ) as gate,
    ):
        for front in ("h1", "h2"):
            within(30, converse(gate.uri, front))
        within(30, fetch(gate.port))


@pytest.mark.parametrize("kind", KINDS)
def test_unmodified_servers_are_served_over_http2(kind):
    with (
        h1_server(kind) as port,
        GatewayCommand("--cleartext", "--upstream", f"http://127.0.0.1:{port}") as gate,
    ):
        messages = ["hello", b"\0\xff" * 5000]

        async def main():
            async with Session(gate.url, proxy=None) as session:
                sockets = [await session.websocket("/", subprotocols=["a"]) for _ in range(5)]
                for ws in sockets:
                    assert ws.subprotocol == "a" and ws.compression is not None
                    for message in messages:
                        await ws.send(message)
                for ws in sockets:
                    for message in messages:
                        assert await ws.recv() == message
                for ws in sockets:
                    async with asyncio.timeout(5):
                        await ws.close(3456)
                    assert ws.close_code == answer_of(kind, 3456)

        within(30, main())
