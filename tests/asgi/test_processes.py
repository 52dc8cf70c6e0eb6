"""uvicorn and gunicorn as they are started by users: processes, signals, sockets."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.support import frames as f
from tests.support.asgi import Client
from tests.support.programs import free_port, module, running, wait_for_port

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs the signals of POSIX")

ROOT = Path(__file__).parent.parent.parent
CLASS = "h2ws_fast.asgi.uvicorn:Protocol"
APP = """
import asyncio, os

started = []

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            print(kind, os.getpid(), flush=True)
            started.append(kind)
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    elif scope["type"] == "http":
        if scope["path"] == "/slow":
            print("slow", flush=True)
            await asyncio.sleep(0.5)
        if scope["path"] == "/never":
            print("never", flush=True)
            await asyncio.sleep(3600)
        body = f"{MARK} {os.getpid()} {scope['scheme']} {scope['http_version']}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
    else:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        print("disconnect", message["code"], flush=True)
"""


@pytest.fixture
def folder(tmp_path, request):
    if "uvloop" in request.node.name:
        pytest.skip("the loop of the client is of no interest")
    write(tmp_path, "one")
    return tmp_path


def write(folder, mark):
    (folder / "application.py").write_text(textwrap.dedent(f"MARK = {mark!r}\n{APP}"))


def start(folder, *arguments, **options):
    paths = filter(None, (str(folder), str(ROOT), os.environ.get("PYTHONPATH")))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    output = open(folder / "output", "ab")  # closed with the process
    return running(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=folder,
        env=environment,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        **options,
    )


def output(folder):
    return (folder / "output").read_text()


async def wait_for(folder, text, count=1, seconds=15):
    async with asyncio.timeout(seconds):
        while output(folder).count(text) < count:
            await asyncio.sleep(0.02)


async def get(port, path="/", *, stream_id=1, **options):
    client = await Client.connect(port, **options)
    try:
        return await client.get(path)
    finally:
        client.close()
        # TLS says goodbye, or does not.
        with contextlib.suppress(OSError):
            await client.writer.wait_closed()


async def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    async with asyncio.timeout(15):
        while process.poll() is None:
            await asyncio.sleep(0.02)
    return process.returncode


async def gracefully(folder, process, port):
    """A request and a WebSocket are under way while the server is told to end."""
    client = await Client.connect(port)
    await client.websocket(1)
    client.ask("/slow", stream_id=3)
    await wait_for(folder, "slow")
    process.send_signal(signal.SIGTERM)
    octets, closed, goaways = b"", b"", 0
    while (frame := await client.frame()) is not None:
        if frame.kind == f.PING and not frame.ack:
            client.send(f.ping(frame.payload, ack=True))
        goaways += frame.kind == f.GOAWAY
        if frame.kind == f.DATA and frame.stream_id == 3:
            octets += frame.content
        if frame.kind == f.DATA and frame.stream_id == 1 and not closed:
            closed = frame.content
            client.close_frame(1, 1012, end_stream=True)
    client.close()
    assert octets.startswith(b"one ")
    assert closed == b"\x88\x02" + (1012).to_bytes(2, "big")
    assert goaways == 2
    async with asyncio.timeout(15):
        while process.poll() is None:
            await asyncio.sleep(0.02)
    assert "disconnect 1012" in output(folder)
    assert "Traceback" not in output(folder), output(folder)


async def test_uvicorn_ends_gracefully(folder):
    module("uvicorn")
    port = free_port()
    with start(folder, "uvicorn", "application:app", "--http", CLASS, "--port", port) as process:
        wait_for_port(port, process)
        await gracefully(folder, process, port)
    assert "lifespan.shutdown" in output(folder)
    assert '"WebSocket /" [accepted]' in output(folder)
    assert '"GET /slow HTTP/2" 200 OK' in output(folder)


@pytest.mark.parametrize("kind", ["uvicorn", "serve"])
async def test_a_graceful_shutdown_has_its_time(folder, kind):
    module("uvicorn")
    port = free_port()
    command = ("uvicorn", "--http", CLASS) if kind == "uvicorn" else ("h2ws_fast", "serve")
    options = ("--port", port, "--timeout-graceful-shutdown", 1)
    cleartext = () if kind == "uvicorn" else ("--cleartext",)
    with start(folder, *command, *options, *cleartext, "application:app") as process:
        wait_for_port(port, process)
        client = await Client.connect(port)
        client.ask("/never", stream_id=1)
        await client.websocket(3)  # and it will not answer the Close
        await wait_for(folder, "never")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        closed, statuses = b"", []
        while (frame := await client.frame()) is not None:
            if frame.kind == f.DATA and frame.stream_id == 3:
                closed += frame.content
            if frame.kind == f.HEADERS:
                statuses.append((frame.stream_id, frame.get(":status")))
        client.close()
        async with asyncio.timeout(10):
            while process.poll() is None:
                await asyncio.sleep(0.02)
    assert 1 <= time.monotonic() - began < 5
    assert closed == b"\x88\x02" + (1012).to_bytes(2, "big")
    # The application is cancelled, and answered for.
    assert statuses == [(1, "500")]
    assert "timeout graceful shutdown exceeded" in output(folder)
    assert "lifespan.shutdown" in output(folder)


async def test_uvicorn_with_workers(folder):
    module("uvicorn")
    port = free_port()
    arguments = ("uvicorn", "application:app", "--http", CLASS, "--port", port, "--workers", 2)
    with start(folder, *arguments) as process:
        wait_for_port(port, process)
        await wait_for(folder, "lifespan.startup", 2)
        seen = set()
        async with asyncio.timeout(15):
            while len(seen) < 2:
                seen.add((await get(port)).body.split()[1])
        await end(process)
    assert output(folder).count("lifespan.shutdown") == 2


async def test_uvicorn_reloads(folder):
    module("uvicorn")
    port = free_port()
    arguments = ("uvicorn", "application:app", "--http", CLASS, "--port", port, "--reload")
    with start(folder, *arguments) as process:
        wait_for_port(port, process)
        await wait_for(folder, "lifespan.startup")
        assert (await get(port)).body.startswith(b"one ")
        # uvicorn may begin to watch only after its first worker has begun to serve.
        for _ in range(4):
            write(folder, "another")
            with contextlib.suppress(TimeoutError):
                await wait_for(folder, "lifespan.startup", 2, seconds=5)
                break
        assert (await get(port)).body.startswith(b"another ")
        await end(process, signal.SIGINT)


async def test_uvicorn_on_a_unix_socket_and_on_a_descriptor(folder):
    module("uvicorn")
    path = str(folder / "socket")
    with start(folder, "uvicorn", "application:app", "--http", CLASS, "--uds", path) as process:
        await wait_for(folder, "running on")
        assert await over_unix(path)
        await end(process)
    path = str(folder / "other")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        number = listener.fileno()
        arguments = ("uvicorn", "application:app", "--http", CLASS, "--fd", number)
        with start(folder, *arguments, pass_fds=[number]) as process:
            await wait_for(folder, "running on", 2)
            assert await over_unix(path)
            await end(process)


async def over_unix(path):
    client = Client(*await asyncio.open_unix_connection(path))
    client.send(f.MAGIC, f.settings())
    answer = await client.get()
    client.close()
    return answer.body.startswith(b"one ")


async def test_uvicorn_ends_after_so_many_requests(folder):
    module("uvicorn")
    port = free_port()
    arguments = ("uvicorn", "application:app", "--http", CLASS, "--port", port)
    with start(folder, *arguments, "--limit-max-requests", 3) as process:
        wait_for_port(port, process)
        for _ in range(3):
            await get(port)
        async with asyncio.timeout(10):
            while process.poll() is None:
                await asyncio.sleep(0.02)
    assert "Maximum request limit of 3 exceeded" in output(folder)


WORKER = f"""
from uvicorn_worker import UvicornWorker

class Worker(UvicornWorker):
    CONFIG_KWARGS = {{"http": "{CLASS}"}}
"""


@pytest.mark.parametrize("kind", ["own", "uvicorn"])
async def test_gunicorn_ends_gracefully(folder, kind):
    module("gunicorn")
    if kind == "uvicorn":
        module("uvicorn_worker")
        (folder / "worker.py").write_text(WORKER)
    name = "worker.Worker" if kind == "uvicorn" else "h2ws_fast.asgi.gunicorn.Worker"
    port = free_port()
    arguments = ("gunicorn", "-k", name, "-b", f"127.0.0.1:{port}", "--access-logfile", "-")
    with start(folder, *arguments, "application:app") as process:
        wait_for_port(port, process)
        await wait_for(folder, "lifespan.startup")
        answer = await get(port)
        assert answer.body.endswith(b" http 2")
        await gracefully(folder, process, port)
    assert "lifespan.shutdown" in output(folder)
    assert '"GET /slow HTTP/2" 200' in output(folder)


async def test_gunicorn_over_tls(folder, certificate, client_tls):
    module("gunicorn")
    port, other = free_port(), free_port()
    arguments = ("gunicorn", "-k", "h2ws_fast.asgi.gunicorn.Worker")
    binds = ("-b", f"127.0.0.1:{port}", "-b", f"127.0.0.1:{other}", "--max-requests", 3)
    tls = ("--certfile", certificate[0], "--keyfile", certificate[1])
    with start(folder, *arguments, *binds, *tls, "application:app") as process:
        wait_for_port(port, process)
        await wait_for(folder, "lifespan.startup")
        client_tls.set_alpn_protocols(["h2"])
        # A worker ends after three requests, and another takes its place.
        answered = 0
        async with asyncio.timeout(20):
            while answered < 5:
                # What a worker has not accepted when it ends is lost to its client.
                with contextlib.suppress(OSError, AssertionError):
                    answer = await get((port, other)[answered % 2], ssl=client_tls)
                    assert answer.body.endswith(b" https 2")
                    answered += 1
        await wait_for(folder, "Autorestarting")
        await end(process)


async def test_gunicorn_knows_who_came_by_tls(folder):
    module("gunicorn")
    port = free_port()
    arguments = ("gunicorn", "-k", "h2ws_fast.asgi.gunicorn.Worker", "-b", f"127.0.0.1:{port}")
    with start(folder, *arguments, "application:app") as process:
        wait_for_port(port, process)
        await wait_for(folder, "lifespan.startup")
        client = await Client.connect(port)
        answer = await client.get("/", ("x-forwarded-proto", "https"))
        assert answer.body.endswith(b" https 2")
        answer = await client.get("/", ("x-forwarded-proto", "http"), stream_id=3)
        assert answer.body.endswith(b" http 2")
        client.close()
        await end(process)


OPTIONS = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        print("lifespan", flush=True)
        while (kind := (await receive())["type"]) != "lifespan.shutdown":
            await send({"type": kind + ".complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
    else:
        loop = type(asyncio.get_running_loop()).__module__
        body = f"{scope['root_path']} {scope['path']} {scope['scheme']} {loop}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
"""


@pytest.mark.parametrize(
    "loop, lifespan", [("asyncio", "off"), ("uvloop", "on")], ids=["one", "the other"]
)
async def test_options_of_gunicorn_do_what_they_do(folder, loop, lifespan):
    module("gunicorn")
    module(loop)
    (folder / "options.py").write_text(OPTIONS)
    port = free_port()
    own = ("--asgi-loop", loop, "--asgi-lifespan", lifespan, "--root-path", "/mounted")
    limits = ("--keep-alive", 1, "--worker-connections", 2, "--websocket-max-message-size", 1000)
    arguments = ("gunicorn", "-k", "h2ws_fast.asgi.gunicorn.Worker", "-b", f"127.0.0.1:{port}")
    other = free_port()
    more = ("-b", f"127.0.0.1:{other}", "--forwarded-allow-ips", "10.0.0.1")
    with start(folder, *arguments, *more, *own, *limits, "options:app") as process:
        wait_for_port(port, process)
        await wait_for(folder, "Booting worker")
        async with asyncio.timeout(15):
            idle = await Client.connect(port)
            answer = await idle.get("/here", ("x-forwarded-proto", "https"))
            # Whoever asks is no proxy that is trusted.
            begin = b"/mounted /mounted/here http "
            assert answer.body.startswith(begin + loop.encode()), answer.body
            # `--worker-connections`: so many come in, whichever port they come to ...
            client = await Client.connect(other)
            await client.websocket(1)
            refused = await Client.connect(port, greet=False)
            refused.send(f.MAGIC, f.settings())
            while (frame := await refused.frame()).kind != f.GOAWAY:
                pass
            assert frame.error_code == f.ENHANCE_YOUR_CALM
            refused.close()
            # ... `--keep-alive`: one that asks for nothing ends by itself, the other stays ...
            while (frame := await idle.frame()) is not None:
                if frame.kind == f.PING and not frame.ack:
                    idle.send(f.ping(frame.payload, ack=True))
            idle.close()
            # ... and then there is room for another.
            answer = None
            while answer is None:
                # Until the server has heard that the others are gone.
                with contextlib.suppress(OSError, AssertionError):
                    answer = await get(port, "/again")
            assert answer.status == 200
            client.ws(1, 1, b"x" * 1000)
            assert (await client.ws_frames(1, 1))[0].payload == b"x" * 1000
            client.ws(1, 1, b"x" * 1001)
            assert (await client.ws_frames(1, 1))[0].close_code == 1009
            client.close()
        await end(process)
    assert output(folder).count("lifespan\n") == (lifespan == "on")


HOOKS = """
def pre_request(worker, req):
    if req.path == "/refused":
        raise RuntimeError("the hook refuses")
    req.note = f"{req.method} {req.uri} {req.version} {req.scheme}"

def post_request(worker, req, environ, resp):
    agent = environ.get("HTTP_USER_AGENT")
    note = getattr(req, "note", None)
    print("hook", note, dict(req.headers).get("X-ASKED"), agent, resp.status, resp.sent, flush=True)

accesslog = "-"
access_log_format = "access %(h)s %(m)s %(U)s %(q)s %(H)s %(s)s %(B)s %({x-asked}i)s %({X-Told}o)s %(D)s"
"""
ANSWERS = """
async def app(scope, receive, send):
    assert scope["type"] == "http" and scope["path"] != "/at/fails"
    await send({"type": "http.response.start", "status": 201, "headers": [(b"X-Told", b"this")]})
    await send({"type": "http.response.body", "body": b"a" * 10, "more_body": True})
    await send({"type": "http.response.body", "body": b"b" * 10})
"""


async def test_hooks_and_the_access_log_of_gunicorn_are_told(folder):
    module("gunicorn")
    (folder / "hooks.py").write_text(HOOKS)
    (folder / "answers.py").write_text(ANSWERS)
    port = free_port()
    arguments = ("gunicorn", "-k", "h2ws_fast.asgi.gunicorn.Worker", "-b", f"127.0.0.1:{port}")
    with start(
        folder, *arguments, "-c", "hooks.py", "--root-path", "/at", "answers:app"
    ) as process:
        wait_for_port(port, process)
        client = await Client.connect(port)
        fields = ("x-asked", "that"), ("user-agent", "me")
        assert (await client.get("/a%20b?c=d", *fields)).status == 201
        assert (await client.get("/head", method="HEAD", stream_id=3)).status == 201
        assert (await client.get("/fails", stream_id=5)).status == 500
        assert (await client.get("/refused", stream_id=7)).status == 500
        client.headers(9, [(":method", "CONNECT"), (":authority", "example.org:443")])
        assert (await client.answer(9)).status == 501
        client.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /one HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 201")
        writer.close()
        await wait_for(folder, "access ", 6)
        await end(process)
    said = output(folder).splitlines()
    assert [line for line in said if line.startswith("hook ")] == [
        "hook GET /a%20b?c=d (2, 0) http that me 201 20",
        "hook HEAD /head (2, 0) http None None 201 0",
        "hook GET /fails (2, 0) http None None 500 0",
        "hook None None None 500 0",
        "hook GET /one (1, 1) http None None 201 20",
    ]
    lines = [line.split(" ") for line in said if line.startswith("access ")]
    assert all(line.pop().isdigit() for line in lines)  # microseconds
    assert [" ".join(line) for line in lines] == [
        "access 127.0.0.1 GET /a b c=d HTTP/2 201 20 that this",
        "access 127.0.0.1 HEAD /head  HTTP/2 201 0 - this",
        "access 127.0.0.1 GET /fails  HTTP/2 500 0 - -",
        "access 127.0.0.1 GET /refused  HTTP/2 500 0 - -",
        "access 127.0.0.1 CONNECT   HTTP/2 501 0 - -",
        "access 127.0.0.1 GET /one  HTTP/1.1 201 20 - this",
    ]


@pytest.mark.parametrize(
    "lifespan, failure",
    [
        ("auto", "await send({'type': 'lifespan.startup.failed', 'message': 'as told'})"),
        ("on", "raise KeyError('as told')"),
    ],
)
async def test_gunicorn_does_not_start_an_application_that_fails(folder, lifespan, failure):
    module("gunicorn")
    (folder / "failing.py").write_text(
        f"async def app(scope, receive, send):\n    await receive()\n    {failure}\n"
    )
    port = free_port()
    arguments = ("gunicorn", "-k", "h2ws_fast.asgi.gunicorn.Worker", "-b", f"127.0.0.1:{port}")
    with start(folder, *arguments, "--asgi-lifespan", lifespan, "failing:app") as process:
        async with asyncio.timeout(15):
            while process.poll() is None:
                await asyncio.sleep(0.05)
    assert process.returncode == 3
    assert "as told" in output(folder)
