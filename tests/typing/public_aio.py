"""The asyncio names as a strictly typed program sees them; checked by mypy and pyright, not run."""

import ssl
from collections.abc import AsyncIterator
from typing import assert_type

from h2ws_fast import (
    ConnectionClosed,
    Dialer,
    InvalidProxyStatus,
    Pool,
    Request,
    Response,
    Server,
    Session,
    State,
    Tunnel,
    WebSocket,
    broadcast,
    connect,
    serve,
    unix_connect,
)
from h2ws_fast.aio import tls
from h2ws_fast.errors import Close


async def handler(ws: WebSocket) -> None:
    async for message in ws:
        assert_type(message, str | bytes)
        await ws.send(message)
    assert_type(await ws.recv(decode=True), str)
    assert_type(await ws.recv(decode=False), bytes)
    assert_type(await ws.recv(), str | bytes)
    assert_type(await (await ws.ping()), float)
    assert_type(ws.state, State)
    assert_type(ws.close_code, int | None)
    assert_type(ws.request, Request)
    await ws.close(1000, "bye")
    ws.username = "attributes of one's own"


def on_message(ws: WebSocket, message: str | bytes) -> None:
    ws.send(message)


async def on_request(request: Request) -> Response:
    async for chunk in request:
        assert_type(chunk, bytes)
    assert_type(await request.read(), bytes)

    async def body() -> AsyncIterator[bytes]:
        yield b""

    return Response(200, {"content-type": "text/plain"}, body())


async def tunnelled(tunnel: Tunnel) -> None:
    async for data in tunnel:
        assert_type(data, bytes)
        await tunnel.send(data)


async def main() -> None:
    context = tls.server_context("cert.pem", "key.pem")
    assert_type(context, ssl.SSLContext)
    async with serve(
        handler,
        "127.0.0.1",
        0,
        ssl=context,
        on_request=on_request,
        tunnels={"t": tunnelled},
        connect=Dialer(["a.example:1"], ports=None),
    ) as server:
        assert_type(server, Server)
        broadcast(server.connections, "x")
    server = await serve(on_message=on_message, host="127.0.0.1", port=0)
    server.close()
    async for again in connect("ws://127.0.0.1", http="h1", reconnect_delays=lambda: iter([1.0])):
        assert_type(again, WebSocket)
        assert_type(again.http_version, str)
        break
    async with connect("wss://127.0.0.1", ssl=tls.client_context()) as ws:
        assert_type(ws, WebSocket)
        try:
            await ws.recv()
        except ConnectionClosed as error:
            assert_type(error.rcvd, Close | None)
    async with Session("https://127.0.0.1") as session:
        assert_type(session, Session)
        assert_type(await session.websocket("/"), WebSocket)
        response = await session.request("GET", "/")
        assert_type(response, Response)
        assert_type(await response.read(), bytes)
        assert_type(await session.tunnel("t"), Tunnel)
        assert_type(await session.connect_tcp("a.example:443"), Tunnel)
        assert_type(await session.request("GET", "/", priority="u=1"), Response)


async def clients(pool: Pool) -> None:
    assert_type(await pool.websocket("wss://host/"), WebSocket)
    assert_type(await pool.request("GET", "https://host/", body=b"it"), Response)
    async with connect("wss://host/", pool=pool) as ws:
        assert_type(ws, WebSocket)
    try:
        assert_type(await unix_connect("/run/it", proxy=None, user_agent_header=None), WebSocket)
    except InvalidProxyStatus as error:
        assert_type(error.response, Response)
