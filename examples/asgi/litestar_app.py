"""Litestar: `h2ws-fast serve --app-dir examples/asgi litestar_app:app`."""

from litestar import Litestar, MediaType, Request, get
from litestar.handlers import websocket_listener


@get("/", media_type=MediaType.TEXT)
async def index(request: Request) -> str:
    return f"hello over HTTP/{request.scope['http_version']}"


@websocket_listener("/echo")
async def echo(data: str) -> str:
    return data


app = Litestar([index, echo])
