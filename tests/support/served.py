"""The ASGI application that `h2ws-fast serve` runs in tests: it tells what it sees."""

import asyncio
import json
import os

__all__ = ["app", "make"]


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["type"] == "websocket":
        await websocket(scope, receive, send)
    else:
        await request(scope, receive, send)


def make():
    """A factory of it."""
    return app


async def lifespan(scope, receive, send):
    await receive()
    if os.environ.get("SERVED_FAILS"):
        await send({"type": "lifespan.startup.failed", "message": "not today"})
        return
    scope["state"]["began"] = True
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def told(scope):
    """What the application is told of its caller, and who it is."""
    return {
        "pid": os.getpid(),
        "word": os.environ.get("SERVED_WORD"),
        "upgrade": dict(scope["headers"]).get(b"upgrade", b"").decode(),
        "began": scope.get("state", {}).get("began"),
        **{name: scope[name] for name in ("client", "http_version", "root_path", "scheme")},
    }


async def request(scope, receive, send):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"].startswith("/slow/"):
        await asyncio.sleep(float(scope["path"].removeprefix("/slow/")))
    content = body if scope["method"] == "POST" else json.dumps(told(scope)).encode()
    fields = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if scope["path"] == "/page":
        content, fields = b"<title>page</title>", [(b"content-type", b"text/html")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": content})


async def websocket(scope, receive, send):
    await receive()
    subprotocol = next(iter(scope["subprotocols"]), None)
    await send({"type": "websocket.accept", "subprotocol": subprotocol})
    await send({"type": "websocket.send", "text": json.dumps(told(scope))})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({**message, "type": "websocket.send"})


async def text_alone(scope, receive, send):
    """As whoever follows a tutorial writes it: it echoes text, and fails at anything else."""
    if scope["type"] != "websocket":
        await app(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
