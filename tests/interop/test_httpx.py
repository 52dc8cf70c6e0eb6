"""httpx and httpx-ws over our transports, against Node's http2."""

import asyncio
import subprocess
from functools import partial
from pathlib import Path

import httpx
import httpx_ws
import pytest

from h2ws_fast.aio import tls
from h2ws_fast.httpx import AsyncTransport, Transport
from tests.support.certificates import write_certificate
from tests.support.programs import program, read_line, running
from tests.support.within import within

HERE = Path(__file__).parent
run = partial(within, 30)


@pytest.fixture(scope="module", params=["tls", "cleartext"])
def node(request, tmp_path_factory):
    """What leads to a Node server: the arguments of a transport, and the URL."""
    cert = key = "-"
    named = {"prior_knowledge": True}
    if request.param == "tls":
        cert, key = write_certificate(tmp_path_factory.mktemp("node"))
        named = {"verify": tls.client_context(cafile=cert)}
    arguments = [program("node", "nodejs"), HERE / "node_server.js", cert, key, "1"]
    with running([str(each) for each in arguments], stdout=subprocess.PIPE, bufsize=0) as process:
        port = int(read_line(process))
        yield named, f"{'https' if request.param == 'tls' else 'http'}://127.0.0.1:{port}"


def test_requests_and_websockets(node):
    named, url = node

    async def pieces():
        for _ in range(30):
            yield bytes(100_000)

    async def talk(client, number):
        async with httpx_ws.aconnect_ws("/", client, subprotocols=["a", "b"]) as ws:
            assert ws.subprotocol == "a"
            await ws.send_text(f"number {number}")
            assert await ws.receive_text() == f"number {number}"
            octets = bytes([number]) * 200_000
            await ws.send_bytes(octets)
            assert await ws.receive_bytes() == octets

    async def main():
        transport = AsyncTransport(**named)
        async with httpx.AsyncClient(transport=transport, base_url=url) as client:
            assert (await client.post("/", content=b"echo")).text == "echo"
            response = await client.post("/", content=pieces())
            assert (len(response.content), response.http_version) == (3_000_000, "HTTP/2")
            await asyncio.gather(
                *(client.post("/", content=bytes(1000)) for _ in range(50)),
                *(talk(client, number) for number in range(10)),
            )
            with pytest.raises(httpx_ws.WebSocketUpgradeError) as caught:
                async with httpx_ws.aconnect_ws("/refuse", client):
                    raise AssertionError("it was accepted")
            assert caught.value.response.status_code == 403
            async with httpx_ws.aconnect_ws("/close", client) as ws:
                with pytest.raises(httpx_ws.WebSocketDisconnect) as closed:
                    await ws.receive_text()
            assert (closed.value.code, closed.value.reason) == (4001, "by node")

    run(main())


def test_in_threads(node):
    named, url = node
    with httpx.Client(transport=Transport(**named), base_url=url) as client:
        pieces = (bytes(100_000) for _ in range(30))
        assert len(client.post("/", content=pieces).content) == 3_000_000
        with httpx_ws.connect_ws("/", client) as ws:
            ws.send_text("hello")
            assert ws.receive_text(timeout=10) == "hello"
