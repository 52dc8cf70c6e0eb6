"""The ASGI names as a strictly typed program sees them; checked by mypy and pyright, not run."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, assert_type

from h2ws_fast.aio.tls import server_context
from h2ws_fast.asgi import Server, StartupFailed, serve
from h2ws_fast.errors import ClientDisconnected

Message = MutableMapping[str, Any]


async def app(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    try:
        await send({"type": "http.response.start", "status": 200})
    except ClientDisconnected as error:
        reason: OSError = error
        print(reason)


async def main() -> None:
    ssl = server_context("cert.pem", "key.pem")
    server = serve(app, "localhost", 8000, ssl=ssl, tunnels={"bytestream"}, headers={"a": "b"})
    try:
        async with server as running:
            assert_type(running, Server)
            assert_type(server.stats(), dict[str, Any])
            await server.serve_forever()
    except StartupFailed:
        pass
    server.close(code=1001, reason="bye")
    await server.wait_closed()
