"""Several WebSockets, a request and a tunnel, all on one HTTP/2 connection.

python examples/session.py
"""

import asyncio

from h2ws_fast import Response, Session, serve

# -- the server ------------------------------------------------------------------------------------


async def echo(ws):
    async for message in ws:
        await ws.send(f"{ws.request.path}: {message}")


async def length(request):
    """Counts the body piece by piece: it may be larger than memory."""
    octets = 0
    async for piece in request:
        octets += len(piece)
    return Response(200, {"content-type": "text/plain"}, f"{octets} octets")


async def reverse(tunnel):
    """A protocol of our own on an extended CONNECT: octets both ways, to the end."""
    async for octets in tunnel:
        await tunnel.send(octets[::-1])


# -- the client ------------------------------------------------------------------------------------


async def chat(session, path):
    async with await session.websocket(path) as ws:
        await ws.send("hello")
        return await ws.recv()


async def upload(session):
    async def body():
        for _ in range(100):
            yield bytes(10_000)

    response = await session.request("POST", "/upload", body=body())
    return (await response.read()).decode()


async def tunnelled(session):
    async with await session.tunnel("reverse", "/") as tunnel:
        await tunnel.send(b"abc")
        tunnel.send_eof()
        return b"".join([octets async for octets in tunnel])


async def main():
    async with serve(
        echo, "127.0.0.1", 0, on_request=length, tunnels={"reverse": reverse}
    ) as server:
        port = server.sockets[0].getsockname()[1]
        async with Session(f"http://127.0.0.1:{port}") as session:
            results = await asyncio.gather(
                chat(session, "/one"), chat(session, "/two"), upload(session), tunnelled(session)
            )
    for result in results:
        print(result)


if __name__ == "__main__":
    asyncio.run(main())
