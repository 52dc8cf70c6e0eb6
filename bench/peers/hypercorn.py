"""hypercorn (h2 + wsproto behind ASGI), one process."""

import asyncio

from hypercorn.asyncio import serve
from hypercorn.config import Config

from ._common import BACKLOG, arguments, ready, run


async def echo(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        if event.get("bytes") is not None:
            await send({"type": "websocket.send", "bytes": event["bytes"]})
        else:
            await send({"type": "websocket.send", "text": event["text"]})


async def main():
    port, certificate, key = arguments()
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.h2_max_concurrent_streams = 1000
    config.websocket_max_message_size = 64 << 20
    config.keep_alive_max_requests = 1 << 30  # it would close the connection after so many streams
    config.backlog = BACKLOG
    config.errorlog = None
    config.certfile, config.keyfile = certificate, key

    async def until_killed():
        ready()
        await asyncio.Event().wait()

    await serve(echo, config, shutdown_trigger=until_killed)


run(main)
