"""Quart: `h2ws-fast serve --app-dir examples/asgi quart_app:app`."""

from quart import Quart, request, websocket

app = Quart(__name__)


@app.get("/")
async def index() -> str:
    return f"hello over HTTP/{request.http_version}"


@app.websocket("/echo")
async def echo() -> None:
    while True:
        await websocket.send(await websocket.receive())
