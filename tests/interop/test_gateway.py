"""The gateway between others: HAProxy and nghttpx on either side of it, other servers behind it.

Of the versions of HTTP between and behind, `H2WS_FAST_TURN` takes one pair; without it all.
"""

import asyncio
import os

import pytest

from h2ws_fast import Session, connect
from tests.interop.h1_servers import KINDS, answer_of, h1_server
from tests.support.programs import Echo, GatewayCommand
from tests.support.proxies import haproxy, nghttpx
from tests.support.within import within

PAIRS = [("h1", "h1"), ("h1", "h2"), ("h2", "h1"), ("h2", "h2")]
if turn := os.environ.get("H2WS_FAST_TURN"):
    PAIRS = [PAIRS[int(turn) % 4]]


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


def backend_of(proxy, http):
    """What a proxy is told of who is behind it."""
    if proxy is haproxy:
        return {"server": "proto h2" if http == "h2" else "proto h1"}
    return {"backend": "proto=h2" if http == "h2" else "proto=http/1.1"}


@pytest.mark.parametrize("proxy", [haproxy, nghttpx], ids=lambda proxy: proxy.__name__)
@pytest.mark.parametrize(("between", "behind"), PAIRS)
def test_a_proxy_in_front(echo, tmp_path, proxy, between, behind):
    """Client, proxy, gateway, server: each hop over either version."""
    with (
        GatewayCommand("--cleartext", "--upstream", echo.url, "--http", behind) as gate,
        proxy(gate.port, tmp_path, **backend_of(proxy, between)) as (h1, h2),
    ):
        within(30, converse(f"ws://127.0.0.1:{h1}", "h1"))
        within(30, converse(f"ws://127.0.0.1:{h2}", "h2"))
        within(30, fetch(h2))


@pytest.mark.parametrize("proxy", [haproxy, nghttpx], ids=lambda proxy: proxy.__name__)
@pytest.mark.parametrize(("between", "behind"), PAIRS)
def test_a_proxy_behind(echo, tmp_path, proxy, between, behind):
    """Client, gateway, proxy, server."""
    with proxy(echo.port, tmp_path, **backend_of(proxy, behind)) as (h1, h2):
        url = f"http://127.0.0.1:{h2 if between == 'h2' else h1}"
        with GatewayCommand("--cleartext", "--upstream", url, "--http", between) as gate:
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
