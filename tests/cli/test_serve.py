"""`h2ws-fast serve` as its user meets it: another process, told by options and signals."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time

import pytest

import h2ws_fast
from h2ws_fast import ConnectionClosed, Session
from h2ws_fast.aio import tls
from h2ws_fast.errors import ExtendedConnectUnsupported
from tests.support import frames as f
from tests.support.asgi import Client
from tests.support.certificates import write_certificate
from tests.support.programs import COMMAND, Serve, read_line, running
from tests.support.within import within

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="needs the signals and pipes of POSIX"
)

APP = "tests.support.served:app"
TRUSTING = tls.client_context(verify=False)


def command(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, **options
    )


def session(server, context=TRUSTING):
    return Session(server.url, ssl=context if server.scheme == "https" else None)


async def get(connected, path="/"):
    response = await connected.request("GET", path)
    assert response.status == 200
    return json.loads(await response.read())


def get_one(server, path="/", context=TRUSTING):
    async def main():
        async with session(server, context) as connected:
            return await get(connected, path)

    return within(20, main())


@pytest.fixture(scope="module", params=["tls", "cleartext"])
def server(request):
    options = ["--cleartext"] if request.param == "cleartext" else []
    with Serve(APP, *options, "--root-path", "/mounted", "--ws-max-size", "1000") as server:
        yield server


def test_the_first_line_says_what_runs_and_where(server):
    import uvicorn

    engine = "compiled" if h2ws_fast.COMPILED else "pure Python"
    note = "self-signed certificate" if server.scheme == "https" else "cleartext"
    assert server.first.startswith("h2ws-fast ")
    assert server.first.endswith(
        f" serve: {engine} engine, uvicorn {uvicorn.__version__}, 1 worker, {note}, "
        f"listening on {server.url}\n"
    )


def test_requests_and_websockets_share_a_connection(server):
    async def main():
        async with session(server) as connected:
            page = await get(connected)
            ws = await connected.websocket("/ws", subprotocols=["chat"])
            greeting = json.loads(await ws.recv())
            assert ws.subprotocol == "chat"
            for message in ("text", b"\0\xff"):
                await ws.send(message)
                assert await ws.recv() == message
            response = await connected.request("POST", "/", body=b"x" * 300_000)
            assert await response.read() == b"x" * 300_000
            await ws.close(4321)
            return page, greeting

    page, greeting = within(20, main())
    assert page["http_version"] == greeting["http_version"] == "2"
    assert page["client"] == greeting["client"]  # its port, too
    assert page["began"] is True
    assert page["root_path"] == "/mounted"
    assert page["scheme"] == server.scheme
    assert greeting["scheme"] == server.scheme.replace("http", "ws")


def test_http1_is_served_beside(server):
    if server.scheme == "https":
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(server.host, server.port, context=context)
    else:
        connection = http.client.HTTPConnection(server.host, server.port)
    connection.request("GET", "/")
    assert json.load(connection.getresponse())["http_version"] == "1.1"
    connection.close()


@pytest.mark.parametrize("options", [(), ("--http", "h2")])
def test_a_trace_of_every_frame(options):
    with Serve(APP, "--cleartext", "--trace", *options) as server:

        async def main():
            async with session(server) as connected:
                ws = await connected.websocket("/")
                await ws.recv()
                await ws.send("traced")
                assert await ws.recv() == "traced"

        within(20, main())
        if not options:
            connection = http.client.HTTPConnection(server.host, server.port)
            connection.request("GET", "/")
            assert json.load(connection.getresponse())["http_version"] == "1.1"
            connection.close()
        server.stop()
        log = server.log()
    assert "recv connection preface" in log
    assert "WebSocket text, masked, 6 octets: 'traced'" in log
    assert "WebSocket text, 6 octets: 'traced'" in log
    assert ("HTTP/1.1 is left to uvicorn" in log) == (not options)
    assert "send HTTP/1.1" not in log


def test_a_message_has_a_limit(server):
    async def main():
        async with session(server) as connected:
            ws = await connected.websocket("/")
            await ws.recv()
            await ws.send("x" * 1001)
            with pytest.raises(ConnectionClosed) as caught:
                await ws.recv()
            assert caught.value.rcvd.code == 1009

    within(20, main())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_gracefully(number):
    async def main(server):
        async with session(server) as connected:
            ws = await connected.websocket("/")
            await ws.recv()
            slow = asyncio.create_task(get(connected, "/slow/0.7"))
            await asyncio.sleep(0.2)
            server.process.send_signal(number)
            with pytest.raises(ConnectionClosed) as caught:
                await ws.recv()
            assert caught.value.rcvd.code == 1012
            assert (await slow)["http_version"] == "2"

    with Serve(APP, "--cleartext") as server:
        within(20, main(server))
        code = server.process.wait(20)
        # What ends by SIGTERM says so to whoever waits for it, as uvicorn does.
        assert code == (0 if number == signal.SIGINT else -signal.SIGTERM)
        assert "Traceback" not in server.log()


def test_a_certificate_of_ones_own(tmp_path):
    from cryptography.hazmat.primitives import serialization as s

    certificate, key = write_certificate(tmp_path)
    private = s.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        private.private_bytes(
            s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"secret")
        )
    )
    options = ["--certfile", certificate, "--keyfile", key, "--keyfile-password", "secret"]
    context = tls.client_context(cafile=certificate)
    old = tls.client_context(cafile=certificate)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("AES128-SHA256:ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256")
    with Serve(APP, *map(str, options)) as server:
        assert f"{certificate}, listening on https://" in server.first
        assert get_one(server, context=context)["scheme"] == "https"
        # TLS 1.2 takes a suite that HTTP/2 may have, whatever the client prefers.
        assert get_one(server, context=old)["http_version"] == "2"


def test_a_unix_socket_is_cleartext(tmp_path):
    path = tmp_path / "socket"

    async def main():
        client = Client(*await asyncio.open_unix_connection(path))
        client.send(f.MAGIC, f.settings())
        answer = await client.get()
        client.close()
        return json.loads(answer.body)

    arguments = [*COMMAND, "serve", APP, "--uds", str(path)]
    for workers in ("1", "2"):
        with running([*arguments, "--workers", workers], stdout=subprocess.PIPE, bufsize=0) as run:
            assert read_line(run).endswith(f"cleartext, listening on {path}\n")
            assert within(20, main())["scheme"] == "http"
            run.send_signal(signal.SIGINT)
            assert run.wait(20) == 0
        assert not path.exists()


def test_a_socket_that_is_handed_over(tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        client = Client(*await asyncio.open_unix_connection(path))
        client.send(f.MAGIC, f.settings())
        answer = await client.get()
        client.close()
        return answer.status

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        fd = listener.fileno()
        arguments = [*COMMAND, "serve", APP, "--fd", str(fd)]
        with running(arguments, stdout=subprocess.PIPE, bufsize=0, pass_fds=[fd]) as process:
            assert read_line(process).endswith(f"cleartext, listening on file descriptor {fd}\n")
            assert within(20, main()) == 200


def test_workers_share_a_port_and_a_certificate():
    def certificate():
        return ssl.get_server_certificate((server.host, server.port))

    with Serve(APP, "--workers", "2") as server:
        assert "2 workers" in server.first
        server.wait_for("Application startup complete", 2)
        seen, certificates = set(), set()
        due = time.monotonic() + 20
        while len(seen) < 2:
            assert time.monotonic() < due
            seen.add(get_one(server)["pid"])
            certificates.add(certificate())
        assert len(certificates) == 1
        assert server.stop()[0] == 0


def test_reload_takes_a_change(tmp_path):
    module = tmp_path / "changing.py"
    source = "import tests.support.served as s\ns.os.environ['SERVED_WORD'] = '{}'\napp = s.app\n"
    module.write_text(source.format("before"))
    options = ["--reload", "--reload-dir", str(tmp_path), "--app-dir", str(tmp_path)]
    paths = filter(None, (os.getcwd(), os.environ.get("PYTHONPATH")))
    environment = {"PYTHONPATH": os.pathsep.join(paths)}
    with Serve("changing:app", *options, environment=environment) as server:
        assert "reloading" in server.first
        server.wait_for("Application startup complete")
        assert get_one(server)["word"] == "before"
        # uvicorn may begin to watch only after its first worker has begun to serve.
        for turn in range(4):
            module.write_text(source.format("afterwards") + f"# {turn}\n")
            with contextlib.suppress(AssertionError):
                server.wait_for("Application startup complete", 2, seconds=5)
                break
        assert get_one(server)["word"] == "afterwards"
        assert server.stop()[0] == 0


def test_options_of_uvicorn_do_what_they_do(tmp_path):
    variables = tmp_path / "variables"
    variables.write_text("SERVED_WORD=from a file\n")
    options = ["--factory", "--env-file", str(variables), "--header", "x-mine: yes", "--ws", "none"]
    options += ["--no-access-log", "--no-server-header", "--lifespan", "off"]
    environment = {"UVICORN_ROOT_PATH": "/told"}

    async def main(server):
        async with session(server) as connected:
            response = await connected.request("GET", "/")
            assert response.headers["x-mine"].strip() == "yes"
            assert "server" not in response.headers
            told = json.loads(await response.read())
            assert (told["word"], told["began"]) == ("from a file", None)
            assert told["root_path"] == "/told"
            with pytest.raises(ExtendedConnectUnsupported):
                await connected.websocket("/")

    with Serve("tests.support.served:make", *options, environment=environment) as server:
        within(20, main(server))
        assert "GET /" not in server.log()


def test_what_uvicorn_has_no_options_for():
    options = ["--cleartext", "--http", "h2", "--rfc7540-priorities", "--body-timeout", "0.3"]
    # The worker processes are told, too.
    options += ["--synthesize-h1-headers", "--workers", "2"]

    async def main(server):
        client = await Client.connect(server.port, greet=False)
        client.send(f.MAGIC, f.settings())
        told = dict((await client.expect(f.SETTINGS)).settings)
        assert f.NO_RFC7540_PRIORITIES not in told
        assert (await client.websocket(1)).get(":status") == "200"
        (frame,) = await client.ws_frames(1, 1)
        assert json.loads(frame.payload)["upgrade"] == "websocket"
        # A body that does not come, and a stream that depends on itself.
        client.ask("/", method="POST", body=b"", stream_id=3)
        assert (await client.answer(3)).end != f.END_STREAM
        client.send(f.priority(5, depends_on=5))
        assert (await client.expect(f.GOAWAY)).error_code == f.PROTOCOL_ERROR
        client.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await reader.read()
        assert answer and b"HTTP/1.1" not in answer
        writer.close()

    with Serve(APP, *options) as server:
        server.wait_for("Application startup complete", 2)
        within(20, main(server))
        assert server.stop()[0] == 0


def test_http2_alone_over_tls():
    with Serve(APP, "--http", "h2") as server:
        assert get_one(server)["http_version"] == "2"
        context = tls.client_context(verify=False)
        context.set_alpn_protocols(["http/1.1"])
        with (
            pytest.raises((OSError, EOFError)),
            socket.create_connection((server.host, server.port), 5) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as secure,
        ):
            assert secure.selected_alpn_protocol() is None
            secure.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if not secure.recv(1000):
                raise EOFError
        assert server.stop()[0] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere:app"], 'no application: Could not import module "nowhere".'),
        (["nowhere.at.all:app"], 'no application: Could not import module "nowhere.at.all".'),
        (
            ["nowhere.at.all:app", "--workers", "2"],
            'no application: Could not import module "nowhere.at.all".',
        ),
        (
            ["tests.support.served:nothing"],
            'no application: Attribute "nothing" not found in module "tests.support.served".',
        ),
        (
            ["nowhere", "--workers", "2"],
            'no application: Import string "nowhere" must be in format "<module>:<attribute>".',
        ),
        ([APP, "--keyfile", "x"], "--keyfile needs --certfile"),
        (
            [APP, "--certfile", "x", "--cleartext"],
            "--cleartext goes without --certfile and --keyfile",
        ),
        ([APP, "--certfile", "/no/such"], "cannot load /no/such: No such file or directory"),
        (
            [APP, "--uds", "/no/such/path"],
            "cannot listen at /no/such/path: No such file or directory",
        ),
        ([APP, "--fd", "77"], "cannot listen on file descriptor 77: Bad file descriptor"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(arguments, says):
    pytest.importorskip("uvicorn")
    done = command("serve", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"h2ws-fast: {says}\n")


def test_a_port_in_use_is_said_in_a_line():
    pytest.importorskip("uvicorn")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = command("serve", APP, "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"h2ws-fast: cannot listen on 127.0.0.1:{port}: the address is in use; "
        "choose another --port, or 0 for any\n"
    )


def test_an_application_that_does_not_start():
    pytest.importorskip("uvicorn")
    environment = {**os.environ, "SERVED_FAILS": "1"}
    done = command("serve", APP, "--port", "0", env=environment)
    assert done.returncode == 3
    assert "not today" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("uvicorn", "says"),
    [
        ("sys.modules['uvicorn'] = None", "serve needs uvicorn"),
        (
            "sys.modules['uvicorn'] = types.SimpleNamespace("
            "Config=lambda app: object(), __version__='0.30.0')",
            "uvicorn 0.30.0 is too old for serve",
        ),
    ],
)
def test_without_uvicorn_it_says_what_to_install(uvicorn, says):
    pytest.importorskip("click")
    program = f"import sys, types; {uvicorn}; from h2ws_fast.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "serve", APP], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr == f"h2ws-fast: {says}: pip install 'h2ws_fast[uvicorn]'\n"


def test_help_tells_ours_and_uvicorns():
    pytest.importorskip("uvicorn")
    done = command("serve", "--help")
    assert done.returncode == 0
    for option in (
        "--certfile",
        "--cleartext",
        "--workers",
        "--reload",
        "--root-path",
        "--factory",
        "--http [both|h2]",
        "--write-timeout",
    ):
        assert option in done.stdout
    assert "--http2" not in done.stdout
    wrong = command("serve", APP, "--no-such-option")
    assert wrong.returncode == 2
    assert "--no-such-option" in wrong.stderr
