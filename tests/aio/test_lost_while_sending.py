"""Who sends without a pause hears that the peer is gone, though nothing ever made it wait before."""

import asyncio
import socket

from h2ws_fast import ConnectionClosed, Response, serve
from h2ws_fast.aio.h1.pace import RESET_ON_CLOSE
from tests.support.h1 import request, upgrade

PIECE = bytes(10_000)
ENOUGH = 20_000  # what the kernel would take of them is a fraction


class Peer:
    """A client without a loop, which can drop its connection in the middle of anything."""

    async def ask(self, port, octets):
        self.sock = socket.socket()
        self.sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self.sock, ("127.0.0.1", port))
        await loop.sock_sendall(self.sock, octets)

    def drop(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.sock.close()


async def test_messages_of_a_websocket():
    peer = Peer()
    over = asyncio.get_running_loop().create_future()

    async def handler(ws):
        peer.drop()
        sent = 0
        try:
            while sent < ENOUGH:
                await ws.send(PIECE, compress=False)
                sent += 1
        except ConnectionClosed:
            pass
        over.set_result(sent)

    async with serve(handler, "127.0.0.1", 0, origins=None) as server:
        await peer.ask(server.sockets[0].getsockname()[1], upgrade())
        async with asyncio.timeout(20):
            assert await over < ENOUGH


async def test_a_body():
    peer = Peer()
    over = asyncio.get_running_loop().create_future()

    async def body():
        peer.drop()
        sent = 0
        try:
            while sent < ENOUGH:
                yield PIECE
                sent += 1
        finally:
            over.set_result(sent)

    async def answer(request):
        return Response(200, {}, body())

    async with serve(None, "127.0.0.1", 0, on_request=answer) as server:
        await peer.ask(server.sockets[0].getsockname()[1], request())
        async with asyncio.timeout(20):
            assert await over < ENOUGH
