"""A clock that tells everybody the time, by `broadcast` and by a task for each."""

import asyncio

from h2ws_fast.websockets.asyncio.client import connect
from h2ws_fast.websockets.asyncio.server import broadcast, serve


async def listen(websocket):
    await websocket.wait_closed()


async def tick(server):
    for number in range(1, 4):
        broadcast(server.connections, f"tick {number}")
        await asyncio.sleep(0.01)
    for websocket in server.connections:
        await websocket.close(1001, "no more time")


async def visitor(uri, name):
    heard = []
    async with connect(uri) as websocket:
        ready.release()
        async for message in websocket:
            heard.append(message)
    return f"{name} heard {', '.join(heard)}; {websocket.close_code} {websocket.close_reason}"


async def main():
    global ready
    ready = asyncio.Semaphore(0)
    async with serve(listen, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        visitors = [asyncio.create_task(visitor(uri, name)) for name in ("Ada", "Bob", "Cyd")]
        for _ in visitors:
            await ready.acquire()
        await tick(server)
        for line in await asyncio.gather(*visitors):
            print(line)


asyncio.run(main())
