"""FastAPI: a page, what its dependencies find, and WebSockets on the page's own connection.

`h2ws-fast serve --app-dir examples/asgi fastapi_app:app`, then open https://localhost:8000/.
"""

from typing import Annotated

from fastapi import (
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Query,
    WebSocket,
    WebSocketException,
    status,
)
from fastapi.responses import HTMLResponse, PlainTextResponse

app = FastAPI()

PAGE = """<!doctype html><title>FastAPI</title><pre id=log></pre><script>
const ws = new WebSocket(`wss://${location.host}/echo?token=secret`);
ws.onopen = () => ws.send("hello");
ws.onmessage = event => document.querySelector("#log").append(event.data + "\\n");
</script>"""


@app.get("/")
async def index() -> HTMLResponse:
    return HTMLResponse(PAGE)


@app.get("/client")
async def client(host: Annotated[str, Header()]) -> dict[str, str]:
    return {"host": host}


async def allowed(token: Annotated[str | None, Query()] = None) -> str:
    """A dependency: whoever has no token gets a response instead of a WebSocket."""
    if token is None:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "a token is needed")
    if token != "secret":
        raise WebSocketException(status.WS_1008_POLICY_VIOLATION, "a wrong token")
    return token


@app.websocket("/full")
async def full(websocket: WebSocket) -> None:
    await websocket.send_denial_response(PlainTextResponse("come back later", status_code=503))


@app.websocket("/echo")
async def echo(websocket: WebSocket, token: Annotated[str, Depends(allowed)]) -> None:
    offered = websocket.scope["subprotocols"]
    await websocket.accept("chat" if "chat" in offered else None)
    async for text in websocket.iter_text():
        if text == "bye":
            await websocket.close(4321, "as you wish")
            return
        await websocket.send_text(text)
