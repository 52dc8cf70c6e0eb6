"""The gateway between others: HAProxy and nghttpx on either side of it, browsers, other servers.

Of the versions of HTTP between and behind, `H2WS_FAST_TURN` takes one pair; without it all.
"""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import pytest

from h2ws_fast import Session, connect
from tests.support.browser import OPEN, Chromium, Firefox
from tests.support.programs import (
    Echo,
    GatewayCommand,
    free_port,
    module,
    program,
    read_line,
    running,
    wait_for_port,
)
from tests.support.proxies import haproxy, nghttpx
from tests.support.within import within

HERE = Path(__file__).parent
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


WEBSOCKETS = """
import asyncio, sys, websockets
async def echo(ws):
    async for message in ws:
        await ws.send(message)
async def main():
    async with websockets.serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=None):
        await asyncio.Future()
asyncio.run(main())
"""

AIOHTTP = """
import sys
from aiohttp import web
async def echo(request):
    ws = web.WebSocketResponse(max_msg_size=0)
    await ws.prepare(request)
    async for message in ws:
        if message.type.name == "TEXT":
            await ws.send_str(message.data)
        elif message.type.name == "BINARY":
            await ws.send_bytes(message.data)
    return ws
app = web.Application()
app.router.add_get("/", echo)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


@contextlib.contextmanager
def server_of(kind):
    """Yield the port of a server of HTTP/1.1 that somebody else wrote."""
    if kind == "node":
        command = [program("node", "nodejs"), str(HERE / "node_h1.js"), "server"]
        with running(command, stdout=-1, bufsize=0) as process:
            yield int(read_line(process))
        return
    module(kind)
    port = free_port()
    code = WEBSOCKETS if kind == "websockets" else AIOHTTP
    with running([sys.executable, "-c", code, str(port)]) as process:
        wait_for_port(port, process)
        yield port


@pytest.mark.parametrize("kind", ["websockets", "aiohttp", "node"])
def test_unmodified_servers_are_served_over_http2(kind):
    with (
        server_of(kind) as port,
        GatewayCommand("--cleartext", "--upstream", f"http://127.0.0.1:{port}") as gate,
    ):
        # Node's end is one of ours, and echoes text alone.
        messages = ["hello", "x" * 10_000 if kind == "node" else b"\0\xff" * 5000]

        async def main():
            async with Session(gate.url, proxy=None) as session:
                sockets = [await session.websocket("/", subprotocols=["first"]) for _ in range(5)]
                for ws in sockets:
                    if kind == "node":  # it begins with the path
                        assert await ws.recv() == "/"
                    for message in messages:
                        await ws.send(message)
                for ws in sockets:
                    for message in messages:
                        assert await ws.recv() == message
                for ws in sockets:
                    async with asyncio.timeout(5):
                        await ws.close(3456)
                    # aiohttp answers every Close with 1000.
                    assert ws.close_code == (1000 if kind == "aiohttp" else 3456)

        within(30, main())


@pytest.mark.timeout(180)
@pytest.mark.parametrize("browser", [Chromium, Firefox], ids=["chromium", "firefox"])
def test_browsers_see_no_difference(browser, echo):
    """A page and its WebSockets by HTTP/2; the server behind speaks HTTP/1.1."""
    with (
        GatewayCommand("--upstream", echo.url, "--http", "h1") as gate,
        browser() as page,
    ):
        page.go(f"{gate.url}/")
        page.run("while (ws.readyState !== 1) await new Promise(done => setTimeout(done, 20));")
        seen = page.run(
            OPEN + 'return open("/", {send: ["hello"], close: [3456, "x"], after: 1})',
        )
        assert seen["messages"] == ["hello"] and seen["clean"] and not seen["errors"]
        assert seen["code"] == 3456
        seen = page.run(OPEN + 'return open("/close?code=4321&reason=bye&after=0.2")')
        assert seen["opened"] and seen["clean"] and not seen["errors"]
        assert (seen["code"], seen["reason"]) == (4321, "bye")
        seen = page.run(OPEN + 'return open("/reject?status=403")')
        assert not seen["opened"] and seen["code"] == 1006
        assert (
            page.run("return performance.getEntriesByType('navigation')[0].nextHopProtocol") == "h2"
        )
