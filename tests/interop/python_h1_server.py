"""Servers of HTTP/1.1 that others wrote: `python python_h1_server.py websockets` or `aiohttp`.

Prints its port. It does what node_ws_server.js does: takes the first subprotocol that it knows,
echoes, closes at once where `/close?code=4001&reason=enough` says so, answers `/no` with 403, and
tells at `/seen` of each WebSocket that is over with which code and reason, and the Via it came by.
"""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit

SUBPROTOCOLS = ["a", "chat", "superchat"]
MAX_MESSAGE = 2**24

seen = []


def asked_of(target):
    """The code and reason that a WebSocket is to be closed with, or None."""
    url = urlsplit(target)
    query = parse_qs(url.query)
    if url.path != "/close":
        return None
    return int(query["code"][0]), query.get("reason", [""])[0]


async def websockets():
    import websockets
    from websockets.asyncio.server import serve

    async def echo(ws):
        asked = asked_of(ws.request.path)
        if asked is not None:
            await ws.close(*asked)
        try:
            async for message in ws:
                await ws.send(message)
        except websockets.ConnectionClosedError:
            pass  # with another code than 1000 and 1001
        seen.append([ws.close_code, ws.close_reason, ws.request.headers.get("Via")])

    def answer(connection, request):
        if request.path == "/no":
            return connection.respond(403, "no!")
        if request.path == "/seen":
            return connection.respond(200, json.dumps(seen))
        if "Upgrade" not in request.headers:
            return connection.respond(200, "a page")
        return None

    def select(connection, offered):
        # By itself it refuses who offers none.
        return next((each for each in offered if each in SUBPROTOCOLS), None)

    return await serve(
        echo,
        "127.0.0.1",
        0,
        process_request=answer,
        subprotocols=SUBPROTOCOLS,
        select_subprotocol=select,
        max_size=MAX_MESSAGE,
    )


async def aiohttp():
    from aiohttp import WSMsgType, web

    async def answer(request):
        if request.path == "/no":
            return web.Response(status=403, text="no!")
        if request.path == "/seen":
            return web.json_response(seen)
        if "Upgrade" not in request.headers:
            return web.Response(text="a page")
        ws = web.WebSocketResponse(protocols=SUBPROTOCOLS, max_msg_size=MAX_MESSAGE)
        await ws.prepare(request)
        asked = asked_of(request.path_qs)
        if asked is not None:
            await ws.close(code=asked[0], message=asked[1].encode())
        while True:
            message = await ws.receive()
            if message.type is WSMsgType.TEXT:
                await ws.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await ws.send_bytes(message.data)
            else:
                break
        closed = [ws.close_code, ""]
        if message.type is WSMsgType.CLOSE:
            closed = [message.data, message.extra]
        seen.append([*closed, request.headers.get("Via")])
        return ws

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return site._server


async def main(kind):
    server = await {"websockets": websockets, "aiohttp": aiohttp}[kind]()
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
