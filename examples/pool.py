"""Chats and requests that share one connection, and go on when the server says that it leaves.

python examples/pool.py
"""

import asyncio

from h2ws_fast import Pool, Response, connect, serve


async def echo(ws):
    async for message in ws:
        await ws.send(f"{ws.request.path}: {message}")


async def hello(request):
    return Response(200, {"content-type": "text/plain"}, "hello")


async def chat(pool, uri):
    async with connect(uri, pool=pool) as ws:
        await ws.send("hello")
        return await ws.recv()


async def main():
    async with serve(echo, "127.0.0.1", 0, on_request=hello) as server:
        port = server.sockets[0].getsockname()[1]
        async with Pool(connections_per_origin=2) as pool:
            paths = ("/one", "/two", "/three")
            said = await asyncio.gather(
                *(chat(pool, f"ws://127.0.0.1:{port}{path}") for path in paths)
            )
            response = await pool.request("GET", f"http://127.0.0.1:{port}/")
            said.append((await response.read()).decode())
            opened = pool.stats()["opened"]
    for each in said:
        print(each)
    print(f"{opened} connections")


if __name__ == "__main__":
    asyncio.run(main())
