"""Through a proxy, by argument and by environment variable; the proxy is a few lines of its own."""

import asyncio
import os

from h2ws_fast.websockets.asyncio.client import connect
from h2ws_fast.websockets.asyncio.server import serve
from h2ws_fast.websockets.exceptions import ProxyError


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def proxy(reader, writer):
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    method, target, _ = head.split("\r\n", 1)[0].split(" ")
    if not any(
        line.lower().startswith("proxy-authorization:") and line.endswith(" YWRhOnNlY3JldA==")
        for line in head.split("\r\n")
    ):
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        return
    asked.append(method)
    host, port = target.rsplit(":", 1)
    upstream = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await asyncio.gather(pump(reader, upstream[1]), pump(upstream[0], writer))


asked = []


async def hello(websocket):
    await websocket.send("hello")


async def visit(uri, **options):
    async with connect(uri, **options) as websocket:
        print(await websocket.recv(), "by", asked.pop() if asked else "no proxy")


async def main():
    listener = await asyncio.start_server(proxy, "127.0.0.1", 0)
    place = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with serve(hello, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await visit(uri, proxy=f"http://ada:secret@{place}")
        await visit(uri, proxy=None)
        try:
            await visit(uri, proxy=f"http://{place}")
        except ProxyError as error:
            print("refused with", error.response.status_code)
        os.environ["https_proxy"] = os.environ["http_proxy"] = f"http://ada:secret@{place}"
        os.environ.pop("no_proxy", None)
        await visit(uri)
    listener.close()


asyncio.run(main())
