"""Large messages, sent and read in pieces: none is ever whole."""

import asyncio
import hashlib

from h2ws_fast.websockets.asyncio.client import connect
from h2ws_fast.websockets.asyncio.server import serve

PIECES = 200


async def pieces():
    for number in range(PIECES):
        yield bytes([number % 256]) * 10_000
        await asyncio.sleep(0)


async def digest(websocket):
    while True:
        size = 0
        summary = hashlib.sha256()
        async for piece in websocket.recv_streaming():
            size += len(piece)
            summary.update(piece)
        await websocket.send(f"{size} octets, {summary.hexdigest()[:16]}")


async def main():
    async with serve(digest, "127.0.0.1", 0, max_size=None) as server:
        uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with connect(uri) as websocket:
            await websocket.send(pieces())
            print(await websocket.recv())
            await websocket.send([b"one ", b"two ", b"three"])
            print(await websocket.recv())
            await websocket.send(b"whole")
            print("".join([piece async for piece in websocket.recv_streaming()]))


asyncio.run(main())
