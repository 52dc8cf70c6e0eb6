"""The examples of frameworks by `h2ws-fast serve`: HTTP and WebSockets, on one connection;
and a chat of Channels across processes."""

import contextlib
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from h2ws_fast import ConnectionClosed, InvalidStatus, Session
from h2ws_fast.aio import tls
from tests.support.programs import Serve, free_port, module, program, running, wait_for_port
from tests.support.within import within

EXAMPLES = Path(__file__).parents[2] / "examples" / "asgi"

pytestmark = [
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="examples/ is not here: not a source tree"),
    pytest.mark.skipif(sys.platform == "win32", reason="needs the signals and pipes of POSIX"),
]


def serve(name, *arguments, **options):
    for needed in ("django", "channels") if name == "django" else (name,):
        module(needed)
    return Serve(f"{name}_app:app", "--app-dir", str(EXAMPLES), *arguments, **options)


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
        assert "Traceback" not in server.log(), server.log()


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
        assert "Traceback" not in server.log(), server.log()


def test_the_five_minutes_of_the_documentation(tmp_path):
    module("fastapi")
    text = (EXAMPLES.parents[1] / "docs" / "asgi.md").read_text()
    source = re.search(r"```python\n# app\.py\n(.*?)```", text, re.DOTALL)
    options = re.search(r"```\nh2ws-fast serve (.*)\n```", text)[1].split()
    (tmp_path / "app.py").write_text(source[1])

    async def conversation(session):
        response = await session.request("GET", "/")
        assert await response.read() == b'{"hello":"world"}'
        ws = await session.websocket("/ws")
        await ws.send("hello")
        assert await ws.recv() == "hello"

    options += ["--app-dir", str(tmp_path), "--reload-dir", str(tmp_path)]
    with Serve(*options) as server:
        run(server, conversation)


@pytest.fixture
def redis(tmp_path):
    """The URL of a Redis server of its own."""
    port = free_port()
    command = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--save", "", "--dir", str(tmp_path)]
    with running(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for_port(port, process)
        yield f"redis://127.0.0.1:{port}/0"


def test_a_message_reaches_the_other_process(redis):
    module("channels_redis")

    async def main(server):
        async with contextlib.AsyncExitStack() as stack:
            members = {}
            # Which process takes a connection is the system's choice.
            due = time.monotonic() + 20
            while len(members) < 2:
                assert time.monotonic() < due, members.keys()
                session = Session(server.url, ssl=tls.client_context(verify=False))
                session = await stack.enter_async_context(session)
                ws = await session.websocket("/chat")
                members.setdefault(await ws.recv(), []).append((session, ws))
            (one_session, one), (other_session, other) = (each[0] for each in members.values())
            everyone = [ws for each in members.values() for _, ws in each]
            second = await one_session.websocket("/chat")
            assert (await second.recv()) in members
            for speaker, text in ((one, "hello"), (other, "hello yourself"), (second, "naïve ☃")):
                await speaker.send(text)
                for ws in (*everyone, second):
                    assert await ws.recv() == text
            for session in (one_session, other_session):
                response = await session.request("GET", "/")
                assert await response.read() == b"hello over HTTP/2"

    # channels_redis may keep a consumer whose client has left, whatever serves it.
    options = ["--workers", "2", "--timeout-graceful-shutdown", "2"]
    with serve("django", *options, environment={"REDIS_URL": redis}) as server:
        server.wait_for("Application startup complete", 2)
        within(40, main(server))
        assert server.stop()[0] == 0
