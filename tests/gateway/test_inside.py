"""HTTP/2 within a tunnel: it begins by prior knowledge, and the gateway takes no notice."""

import asyncio
import contextlib

import pytest

from h2ws_fast import Response, Session, serve
from h2ws_fast.engine import Connection, Role
from h2ws_fast.gateway import Table

TOKEN = "h2-tunnel"


class Inner:
    """A client's engine whose transport is a tunnel."""

    def __init__(self, tunnel):
        self.tunnel = tunnel
        self.conn = Connection(Role.CLIENT)

    async def until(self, kind):
        """The next event of this kind; what the engine has to say is sent first."""
        while True:
            for octets in self.conn.data_to_send():
                await self.tunnel.send(bytes(octets))
            for event in self.conn.receive_data(await self.tunnel.recv()):
                if type(event).__name__ == kind:
                    return event


@contextlib.asynccontextmanager
async def origin():
    """A server whose tunnels lead back to it, in cleartext by prior knowledge; it echoes, too."""

    async def lead(tunnel):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def back():
            while octets := await reader.read(65536):
                await tunnel.send(octets)

        task = asyncio.create_task(back())
        try:
            async for octets in tunnel:
                writer.write(octets)
                await writer.drain()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            writer.close()

    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    async def answer(request):
        return Response(200, {"x-path": request.path})

    server = serve(
        echo,
        "127.0.0.1",
        0,
        origins=None,
        on_request=answer,
        tunnels={TOKEN: lead},
        close_timeout=0.2,
    )
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield port


@pytest.mark.row("GW-gen-4")
async def test_an_inner_connection_with_a_request_and_a_websocket(door):
    async with (
        origin() as port,
        door(port, http="h2", tokens=Table([TOKEN])) as gate,
        Session(f"http://127.0.0.1:{gate.port}") as session,
    ):
        tunnel = await session.tunnel(TOKEN, "/")
        inner = Inner(tunnel)
        inner.conn.request(
            [(":method", "GET"), (":scheme", "http"), (":authority", "inner"), (":path", "/in")]
        )
        answer = await inner.until("Responded")
        assert (b"x-path", b"/in") in answer.headers and answer.status == 200
        stream = inner.conn.connect_websocket("inner", "/")
        assert (await inner.until("Opened")).stream_id == stream
        inner.conn.send_message(stream, "from within")
        assert (await inner.until("TextMessage")).data == "from within"
        await tunnel.close()


@pytest.mark.row("GW-gen-4", "GW-gen-5")
async def test_the_upgrade_that_h2c_was_is_no_tunnel(door):
    """It would be answered on stream 1, and lead around what protects the backend."""
    async with (
        origin() as port,
        door(port, http="h2", tokens=Table({}, others=True)) as gate,
        Session(f"http://127.0.0.1:{gate.port}") as session,
    ):
        with pytest.raises(Exception, match="501"):
            await session.tunnel("h2c", "/")
