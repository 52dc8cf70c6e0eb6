"""HTTP/2 inside of a stream of HTTP/2, three deep, with WebSockets on each of them.

python examples/nested.py

A tunnel is octets both ways, and a connection of HTTP/2 is nothing else: so one runs inside of a
stream of another, with its own streams, windows and priorities.
"""

import asyncio
import contextlib

from h2ws_fast import Session, serve

DEPTH = 3


async def echo(ws):
    async for message in ws:
        await ws.send(f"{ws.request.authority} says {message}")


async def main():
    async def inside(tunnel):
        """What comes on this stream is a connection to the same server."""
        await server.serve_on(tunnel)

    async with (
        serve(echo, "127.0.0.1", 0, tunnels={"h2": inside}) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        port = server.sockets[0].getsockname()[1]
        session = await stack.enter_async_context(Session(f"http://127.0.0.1:{port}"))
        sessions = [session]
        for level in range(2, DEPTH + 1):
            tunnel = await session.tunnel("h2")
            # The name is for its requests: nothing is dialled.
            session = Session(f"http://level-{level}", transport=tunnel)
            sessions.append(await stack.enter_async_context(session))
        for session in sessions:
            async with await session.websocket("/chat") as ws:
                await ws.send("hello")
                print(await ws.recv())
        print(server.stats()["connections"], "connections, one of them over TCP")


asyncio.run(main())
