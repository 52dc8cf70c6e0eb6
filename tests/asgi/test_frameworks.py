"""The examples of frameworks by `h2ws-fast serve`: HTTP and WebSockets, on one connection."""

import re
import sys
from pathlib import Path

import pytest

from h2ws_fast import ConnectionClosed, InvalidStatus, Session
from h2ws_fast.aio import tls
from tests.support.programs import Serve, module
from tests.support.within import within

EXAMPLES = Path(__file__).parents[2] / "examples" / "asgi"

pytestmark = [
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="examples/ is not here: not a source tree"),
    pytest.mark.skipif(sys.platform == "win32", reason="needs the signals and pipes of POSIX"),
]


def serve(name, **options):
    for needed in ("django", "channels") if name == "django" else (name,):
        module(needed)
    return Serve(f"{name}_app:app", "--app-dir", str(EXAMPLES), **options)


def run(server, conversation):
    async def main():
        async with Session(server.url, ssl=tls.client_context(verify=False)) as session:
            return await conversation(session)

    return within(30, main())


def addresses(server):
    """Of requests, and of WebSockets: who asked, says uvicorn's log, which is over with this."""
    code, out, _ = server.stop()
    assert code == 0
    return (
        set(re.findall(r'(\S+:\d+) - "GET ', out)),
        set(re.findall(r'(\S+:\d+) - "WebSocket ', server.log())),
    )


@pytest.mark.parametrize("name", ["starlette", "litestar", "quart", "django"])
def test_requests_and_websockets_on_one_connection(name):
    async def conversation(session):
        response = await session.request("GET", "/")
        assert (response.status, await response.read()) == (200, b"hello over HTTP/2")
        first = await session.websocket("/echo")
        second = await session.websocket("/echo")
        for ws, text in ((first, "one"), (second, "two"), (first, "naïve ☃" * 1000)):
            await ws.send(text)
            assert await ws.recv() == text
        response = await session.request("GET", "/")
        assert (response.status, await response.read()) == (200, b"hello over HTTP/2")
        for ws in (first, second):
            await ws.close(1000)
            assert ws.close_code == 1000
        assert (await session.request("GET", "/none")).status == 404

    with serve(name) as server:
        run(server, conversation)
        requests, websockets = addresses(server)
        assert len(requests) == 1 and requests == websockets
        assert "Traceback" not in server.log()


def test_fastapi():
    async def conversation(session):
        response = await session.request("GET", "/client")
        assert b"127.0.0.1" in await response.read()
        ws = await session.websocket("/echo?token=secret", subprotocols=["other", "chat"])
        assert ws.subprotocol == "chat"
        await ws.send("hello")
        assert await ws.recv() == "hello"
        await ws.send("bye")
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4321, "as you wish")
        refusals = []
        for path in ("/echo", "/echo?token=wrong", "/full", "/nowhere"):
            with pytest.raises(InvalidStatus) as refused:
                await session.websocket(path)
            refusals.append((refused.value.response.status, refused.value.response.body))
        assert refusals == [
            (401, b'{"detail":"a token is needed"}'),
            (403, b""),
            (503, b"come back later"),
            (403, b""),
        ]
        assert (await session.request("GET", "/client")).status == 200

    with serve("fastapi") as server:
        run(server, conversation)
        requests, websockets = addresses(server)
        assert len(requests) == 1 and requests == websockets
        assert "Traceback" not in server.log()
