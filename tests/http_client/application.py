"""What the servers of these tests do."""

import asyncio
import gzip
import json

from h2ws_fast import Response


async def on_request(request):
    path, _, query = request.path.partition("?")
    if path == "/echo":

        async def echoed():
            async for piece in request:
                yield piece

        return Response(200, [("content-type", "application/octet-stream")], echoed())
    if path == "/size":
        size = 0
        async for piece in request:
            size += len(piece)
        return Response(200, body=str(size))
    if path == "/big":

        async def pieces():
            for number in range(int(query)):
                yield number.to_bytes(4, "big") * 16384

        return Response(200, body=pieces())
    if path == "/redirect":
        return Response(302, [("location", "/asked?redirected")])
    if path == "/cookies":
        return Response(200, [("set-cookie", "a=1; path=/"), ("set-cookie", "b=2; path=/")])
    if path == "/gzip":
        return Response(200, [("content-encoding", "gzip")], gzip.compress(b"small " * 1000))
    if path == "/trailers":
        return Response(200, body="text", trailers=[("checksum", "17"), ("again", "18")])
    if path == "/private" and "authorization" not in request.headers:
        return Response(401, [("www-authenticate", 'Basic realm="x"')], "who are you?")
    if path == "/never":
        await asyncio.sleep(60)
    if path == "/stops":

        async def stopping():
            yield b"first"
            await asyncio.sleep(60)

        return Response(200, body=stopping())
    if path == "/early":
        return Response(413, body="too much")
    if path == "/status":
        return Response(int(query))
    await asyncio.sleep(0)
    asked = {
        "method": request.method,
        "path": request.path,
        "version": request.http_version,
        "authority": request.authority,
        "headers": list(request.headers.raw_items()),
        "port": request.remote_address[1],
        "body": (await request.read()).decode(),
    }
    return Response(200, [("content-type", "application/json")], json.dumps(asked))


async def echo(ws):
    """Echo; close with 4000 and the text that follows "close "."""
    async for message in ws:
        if isinstance(message, str) and message.startswith("close "):
            await ws.close(4000, message[6:])
            return
        await ws.send(message)
