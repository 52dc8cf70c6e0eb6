"""permessage-deflate over asyncio, h2 and HTTP/1.1, against ourselves and against `websockets`."""

import asyncio
import json
import os

import pytest
import websockets
import websockets.asyncio.client
import websockets.asyncio.server
from websockets.extensions import permessage_deflate as theirs

from h2ws_fast import (
    ClientPerMessageDeflateFactory,
    NegotiationError,
    ServerPerMessageDeflateFactory,
    Session,
    StreamReset,
    broadcast,
    connect,
    serve,
)
from tests.aio.test_client_h1 import Listener, accepted

TEXT = json.dumps([{"id": number, "name": f"user{number}", "on": True} for number in range(200)])
MESSAGES = ["small", "", TEXT, TEXT.encode(), "é€😀" * 300, b"", os.urandom(3000), TEXT * 20]
TAKEOVER = {"server_no_context_takeover": False, "client_no_context_takeover": False}


async def echo(ws):
    async for message in ws:
        await ws.send(message)


@pytest.fixture(params=("h2", "h1"))
def http(request):
    return request.param


def octets(ws):
    return ws.wire.conn.stats()["octets_sent"]


async def converse(ws):
    for message in MESSAGES * 2:
        await ws.send(message)
        assert await ws.recv() == message
    await ws.send([TEXT[:100], TEXT[100:3000], TEXT[3000:]])
    assert await ws.recv() == TEXT


@pytest.mark.parametrize("takeover", [False, True])
async def test_compressed_by_default(place, http, takeover):
    options = {"compression": ServerPerMessageDeflateFactory(**TAKEOVER)} if takeover else {}
    async with (
        place.serve(echo, **options),
        connect(place.ws(), ssl=place.client_ssl, http=http) as ws,
    ):
        agreed = ws.compression
        assert (agreed.sends, agreed.receives) == (takeover, takeover)
        before = octets(ws)
        await ws.send(TEXT)
        await ws.recv()
        assert octets(ws) - before < len(TEXT) / 3
        await converse(ws)
        assert ws.response.headers["sec-websocket-extensions"].startswith("permessage-deflate")
    assert ws.compression is None


@pytest.mark.parametrize("without", ["server", "client"])
async def test_either_end_may_do_without(clear, http, without):
    options = {"compression": None}
    server, client = (options, {}) if without == "server" else ({}, options)
    async with clear.serve(echo, **server), connect(clear.ws(), http=http, **client) as ws:
        assert ws.compression is None
        await converse(ws)


@pytest.mark.row("7692-9-1")
async def test_a_message_opts_out(clear, http):
    async with clear.serve(echo), connect(clear.ws(), http=http) as ws:
        for message in (TEXT, TEXT.encode()):
            before = octets(ws)
            await ws.send(message, compress=False)
            assert await ws.recv() == message
            assert octets(ws) - before > len(TEXT)
        before = octets(ws)
        await ws.send([TEXT[:500], TEXT[500:]], compress=False)
        assert await ws.recv() == TEXT
        assert octets(ws) - before > len(TEXT)
        first = asyncio.ensure_future(ws.send(iter([TEXT, TEXT]), compress=False))
        await asyncio.sleep(0)
        await asyncio.gather(first, ws.send(TEXT, compress=False), ws.send(TEXT))
        assert await ws.recv() == TEXT * 2
        assert [await ws.recv(), await ws.recv()] == [TEXT] * 2


async def test_broadcast_compresses(clear, http):
    opened = asyncio.Event()

    async def handler(ws):
        if len(sockets := server.stats and list(all_of(server))) == 3:
            broadcast(sockets, TEXT)
            opened.set()
        await ws.wait_closed()

    async with clear.serve(handler) as server:
        clients = [await connect(clear.ws(), http=http) for _ in range(3)]
        await opened.wait()
        for ws in clients:
            assert await ws.recv() == TEXT
            await ws.close()


def all_of(server):
    return [ws for wire in server._wires for ws in wire.websockets]


async def test_a_bomb_closes_with_1009(clear, http):
    async with (
        clear.serve(echo, max_size=1000),
        connect(clear.ws(), http=http, compression=ClientPerMessageDeflateFactory()) as ws,
    ):
        await ws.send(bytes(100_000))
        await ws.wait_closed()
        assert ws.close_code == 1009


def test_what_compression_may_be():
    for wrong in ("gzip", True, ClientPerMessageDeflateFactory()):
        with pytest.raises(ValueError, match="compression is"):
            serve(echo, compression=wrong)
    for wrong in ("gzip", True, ServerPerMessageDeflateFactory()):
        with pytest.raises(ValueError, match="compression is"):
            Session("ws://127.0.0.1", compression=wrong)


@pytest.mark.row("7692-5-2", "7692-7-2")
@pytest.mark.parametrize(
    "answer",
    [
        "x-other",
        "permessage-deflate, permessage-deflate",
        "permessage-deflate; bad",
        "permessage-deflate; client_max_window_bits",
    ],
)
async def test_a_server_that_answers_what_was_not_offered(answer):
    async def script(reader, writer, head):
        writer.write(accepted(head, f"Sec-WebSocket-Extensions: {answer}"))

    async with Listener(script) as server:
        with pytest.raises(NegotiationError):
            await connect(f"ws://127.0.0.1:{server.port}", http="h1")
        assert b"permessage-deflate; client_max_window_bits" in server.heads[0]


async def test_a_server_over_h2_that_answers_what_was_not_offered(clear):
    class Wrong(ServerPerMessageDeflateFactory):
        def accept(self, offers):
            return b"permessage-deflate; bad", super().accept(offers)[1]

    async with clear.serve(echo, compression=Wrong()):
        with pytest.raises(StreamReset):
            await connect(clear.ws(), http="h2")


FACTORIES = [
    theirs.ServerPerMessageDeflateFactory(),
    theirs.ServerPerMessageDeflateFactory(True, True),
    theirs.ServerPerMessageDeflateFactory(False, True, 9, 9),
    theirs.ServerPerMessageDeflateFactory(True, False, 15, 10, {"level": 9, "memLevel": 9}),
]


@pytest.mark.row("6455-x-1")
@pytest.mark.parametrize("number", range(len(FACTORIES)))
async def test_a_client_against_websockets(number):
    """The extension of another implementation, with context takeover and without."""
    async with websockets.asyncio.server.serve(
        echo, "127.0.0.1", 0, extensions=[FACTORIES[number]]
    ) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", http="h1") as ws:
            assert ws.compression is not None
            await converse(ws)


CLIENTS = [
    theirs.ClientPerMessageDeflateFactory(),
    theirs.ClientPerMessageDeflateFactory(True, True),
    theirs.ClientPerMessageDeflateFactory(False, False, 9, 9),
    theirs.ClientPerMessageDeflateFactory(False, True, None, None),
    theirs.ClientPerMessageDeflateFactory(client_max_window_bits=10),
]


@pytest.mark.row("6455-x-1")
@pytest.mark.parametrize("takeover", [False, True])
@pytest.mark.parametrize("number", range(len(CLIENTS)))
async def test_a_server_against_websockets(clear, number, takeover):
    options = {"compression": ServerPerMessageDeflateFactory(**TAKEOVER)} if takeover else {}
    async with (
        clear.serve(echo, **options),
        websockets.asyncio.client.connect(
            clear.ws(), extensions=[CLIENTS[number]], compression=None, proxy=None
        ) as ws,
    ):
        assert ws.protocol.extensions
        await converse(ws)
