"""`h2ws_fast.websockets`: what programs find in a server that was written for websockets."""

import re

import pytest

from h2ws_fast import InvalidStatus, Session, connect
from h2ws_fast.websockets.asyncio.server import serve
from h2ws_fast.websockets.datastructures import Headers
from h2ws_fast.websockets.http11 import Response


async def echo(ws):
    async for message in ws:
        await ws.send(message)


def port(server):
    return server.sockets[0].getsockname()[1]


async def test_pages_and_websockets_are_told_apart_by_upgrade(http):
    def process(connection, request):
        if "Upgrade" not in request.headers:
            fields = Headers({"Content-Length": "4", "Connection": "close"})
            return Response(200, "OK", fields, b"page")
        seen.append((request.headers["Upgrade"], request.headers["Connection"]))
        return None

    seen = []
    async with serve(echo, "127.0.0.1", 0, process_request=process) as server:
        place = f"127.0.0.1:{port(server)}"
        async with connect(f"ws://{place}/", http=http) as ws:
            await ws.send("there")
            assert await ws.recv() == "there"
        assert seen == [("websocket", "Upgrade")]
        async with Session(f"http://{place}") as session:
            response = await session.request("GET", "/")
            assert (response.status, await response.read()) == (200, b"page")


@pytest.mark.parametrize(
    ("origins", "let_in"),
    [
        (["null"], ["null"]),
        ([re.compile(".*")], ["null", "http://a.example"]),
        (["http://a.example", re.compile("https://.*"), None], ["http://a.example", None]),
        (None, ["null", "http://a.example", None]),
    ],
)
async def test_origins(origins, let_in, http):
    async with serve(echo, "127.0.0.1", 0, origins=origins) as server:
        for origin in ("null", "http://a.example", None):
            uri = f"ws://127.0.0.1:{port(server)}/"
            if origin in let_in:
                await (await connect(uri, origin=origin, http=http)).close()
            else:
                with pytest.raises(InvalidStatus) as caught:
                    await connect(uri, origin=origin, http=http)
                assert caught.value.response.status == 403


@pytest.mark.parametrize("origins", ["null", 5, [re.compile(b"null")]])
def test_what_are_no_origins(origins):
    with pytest.raises(TypeError, match="origins"):
        serve(echo, "127.0.0.1", 0, origins=origins)
