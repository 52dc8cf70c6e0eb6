"""The ASGI application that h2spec asks: a page, whatever is asked."""

import asyncio

from .server import ANSWER_S, PAGE


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])  # so uvicorn sees that there is no lifespan
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(ANSWER_S)
    fields = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": PAGE})
