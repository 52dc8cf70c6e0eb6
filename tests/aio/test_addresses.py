"""Both addresses of a connection are known as long as anybody asks."""

import asyncio
import socket
import struct

import pytest

from h2ws_fast import ConnectionClosed, Session, connect, serve


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


def reset_by_peer(connection):
    """End the transport so that TCP says RST: its other end no longer knows of it then."""
    stand_in = connection.transport.get_extra_info("socket")
    with socket.fromfd(stand_in.fileno(), stand_in.family, stand_in.type) as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.abort()


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_of_a_websocket_that_is_gone(place, http, how):
    seen = []

    async def handler(ws):
        before = ws.remote_address, ws.local_address
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        await until(lambda: ws.connection.transport is None)
        assert (ws.remote_address, ws.local_address) == before
        assert ws.request.remote_address == ws.remote_address
        assert ws.connection.remote_address == ws.remote_address
        seen.append(before)

    async with place.serve(handler):
        ws = await connect(place.ws(), ssl=place.client_ssl, http=http)
        before = ws.local_address, ws.remote_address
        assert before[1][:2] == ("127.0.0.1", place.port)
        if how == "closed":
            await ws.close()
        else:
            reset_by_peer(ws.connection)
        await until(lambda: seen)
        await until(lambda: ws.connection.transport is None)
        assert (ws.local_address, ws.remote_address) == before == seen[0]


async def test_of_a_tunnel_that_is_gone(place):
    seen = []

    async def handler(tunnel):
        while await tunnel.recv():
            pass
        await until(lambda: tunnel.request.wire.transport is None)
        seen.append(tunnel.remote_address)

    async with place.serve(tunnels={"bytestream": handler}):
        async with Session(place.http, ssl=place.client_ssl) as session:
            stream = await session.bytestream("/", protocol="bytestream")
            stream.write_eof()
            before = stream.get_extra_info("sockname"), stream.get_extra_info("peername")
        await until(lambda: seen)
        assert seen[0] == before[0]
        assert stream.get_extra_info("sockname") == before[0]
        assert stream.get_extra_info("peername") == before[1] == stream.tunnel.remote_address


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1"])
async def test_is_what_the_system_says(host):
    seen = []

    async def handler(ws):
        seen.append(ws.remote_address)
        await ws.wait_closed()

    async with serve(handler, host, 0) as server:
        port = server.sockets[0].getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        async with connect(f"ws://{name}:{port}/") as ws:
            stand_in = ws.connection.transport.get_extra_info("socket")
            own, peers = stand_in.getsockname(), stand_in.getpeername()
            assert (ws.local_address, ws.remote_address) == (own, peers)
            await until(lambda: seen)
        assert seen == [own]
        assert (ws.local_address, ws.remote_address) == (own, peers)
