"""Starlette: `h2ws-fast serve --app-dir examples/asgi starlette_app:app`."""

from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket


async def index(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"hello over HTTP/{request.scope['http_version']}")


class Echo(WebSocketEndpoint):
    encoding = "text"

    async def on_receive(self, websocket: WebSocket, data: str) -> None:
        await websocket.send_text(data)


app = Starlette(routes=[Route("/", index), WebSocketRoute("/echo", Echo)])
