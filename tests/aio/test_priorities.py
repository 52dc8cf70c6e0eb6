"""`priority=` at every opening, and changed later: RFC 9218, on the wire."""

import asyncio

import hpack
import pytest

from h2ws_fast import Session, quic, serve
from h2ws_fast.masque import connect_udp, create_datagram_endpoint
from tests.support import frames as f
from tests.support.raw import RawServer

SETTINGS = ((f.ENABLE_CONNECT_PROTOCOL, 1),)

OPENINGS = {
    "tunnel": lambda session: session.tunnel("t", priority="u=1"),
    "bytestream": lambda session: session.bytestream(priority="u=1"),
    "transport": lambda session: session.create_connection(asyncio.Protocol, priority="u=1"),
    "websocket": lambda session: session.websocket(priority="u=1"),
    "tcp": lambda session: session.connect_tcp("a.example:1", priority="u=1"),
    "udp": lambda session: connect_udp(session, "a.example", 1, priority="u=1"),
    "datagrams": lambda session: create_datagram_endpoint(
        session, asyncio.DatagramProtocol, "a.example", 1, priority="u=1"
    ),
    "request": lambda session: session.request("GET", priority="u=1"),
}


@pytest.mark.parametrize("opening", OPENINGS)
async def test_every_opening_takes_a_priority(opening):
    found = []

    async def script(peer):
        head = await peer.expect(f.HEADERS, 1)
        found.append(dict(hpack.Decoder().decode(head.payload, raw=True))[b"priority"])
        peer.headers(1, [(":status", "200")])
        await peer.until_eof()

    async with (
        RawServer(script, *SETTINGS) as server,
        Session(f"http://127.0.0.1:{server.port}", close_timeout=0.2) as session,
    ):
        await OPENINGS[opening](session)
    assert found == [b"u=1"]


async def test_a_stream_of_quics_has_a_priority():
    asked = asyncio.Queue()

    class Server(quic.QuicConnectionProtocol):
        async def _priority(self, stream_id):
            transport = self._quic._channels[stream_id].transport
            tunnel = transport.get_extra_info("tunnel")
            asked.put_nowait(tunnel.request.headers["priority"])
            while tunnel._sending.wire.conn.priority(tunnel.stream_id)[0] != 0:
                await asyncio.sleep(0.001)
            asked.put_nowait("u=0")

        def quic_event_received(self, event):
            if isinstance(event, quic.StreamDataReceived):
                self.task = asyncio.create_task(self._priority(event.stream_id))

    async with quic.serve("127.0.0.1", 0, create_protocol=Server) as server:
        port = server.sockets[0].getsockname()[1]
        async with quic.connect(f"http://127.0.0.1:{port}") as client:
            _, writer = await client.create_stream(priority="u=6")
            writer.write(b"x")
            assert await asked.get() == "u=6"
            client._quic.prioritize_stream(0, 0)
            assert await asked.get() == "u=0"
            with pytest.raises(ValueError, match="not open"):
                client._quic.prioritize_stream(4)


async def test_a_websocket_changes_its_priority():
    seen = asyncio.Queue()

    async def handler(ws):
        seen.put_nowait(ws)
        async for _ in ws:
            seen.put_nowait(ws.wire.conn.priority(ws.stream_id))

    async with serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Session(f"http://127.0.0.1:{port}", http="h2") as session:
            ws = await session.websocket(priority="u=5")
            await ws.send("x")
            await seen.get()
            assert await seen.get() == (5, True)  # as all messages leave
            ws.prioritize(2)
            await ws.send("x")
            assert await seen.get() == (2, True)
            with pytest.raises(ValueError):
                ws.prioritize(8)
            await ws.close()
            ws.prioritize(2)  # it is over: nothing happens
        async with Session(f"http://127.0.0.1:{port}", http="h1") as session:
            ws = await session.websocket()
            ws.prioritize(2)  # it has a connection of its own: nothing happens
            await ws.close()
