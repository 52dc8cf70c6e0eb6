"""An echo server and its client: one connection, and what it says of itself."""

import asyncio

from h2ws_fast.websockets.asyncio.client import connect
from h2ws_fast.websockets.asyncio.server import serve


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def main():
    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/path?query") as websocket:
            for message in ("Hello world!", b"\x00\xff", ["in ", "three ", "pieces"]):
                await websocket.send(message)
                print(repr(await websocket.recv()))
            pong = await websocket.ping()
            print("latency is a float:", isinstance(await pong, float))
            print("path:", websocket.request.path)
        print("closed with", websocket.close_code, websocket.state.name)


asyncio.run(main())
