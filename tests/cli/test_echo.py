"""`h2ws-fast echo` as its user meets it: another process, told by options and signals."""

import asyncio
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
from h2ws_fast import ConnectionClosed, InvalidStatus, Session, connect, serve
from h2ws_fast.aio import tls
from h2ws_fast.cli.paths import Paths
from tests.support.certificates import write_certificate
from tests.support.programs import COMMAND, Echo
from tests.support.within import within

NOISE = os.urandom(100_000)  # which no compression makes smaller

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="needs the signals and pipes of POSIX"
)

TRUSTING = tls.client_context(verify=False)


def run(coroutine):
    async def bounded():
        async with asyncio.timeout(30):
            return await coroutine

    return asyncio.run(bounded())


def command(*arguments, timeout=60, **options):
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=timeout, **options
    )


@pytest.fixture(scope="module", params=["callback", "await"])
def server(request):
    with Echo("--api", request.param) as echo:
        yield echo


def session(server):
    return Session(server.url, ssl=TRUSTING if server.scheme == "https" else None)


def open_websocket(server, path="/", **options):
    context = TRUSTING if server.scheme == "https" else None
    return connect(server.uri + path, ssl=context, **options)


# -- WebSockets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/any/other?path=x"])
def test_every_path_echoes(server, path):
    async def main():
        async with open_websocket(server, path, max_size=None) as ws:
            for message in ("", "text", "naïve ☃", b"", b"\0\xff", bytes(3_000_000)):
                await ws.send(message)
                assert await ws.recv() == message

    run(main())


def test_the_first_subprotocol_is_taken(server):
    async def main():
        async with open_websocket(server, subprotocols=["b", "a"]) as ws:
            assert ws.subprotocol == "b"
        async with open_websocket(server) as ws:
            assert ws.subprotocol is None

    run(main())


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [("", 1000, ""), ("?code=4321&reason=bye&after=0.1", 4321, "bye"), ("?code=1011", 1011, "")],
)
def test_close(server, query, code, reason):
    async def main():
        async with open_websocket(server, "/close" + query) as ws:
            if "after" in query:
                await ws.send("before that it echoes")
                assert await ws.recv() == "before that it echoes"
            with pytest.raises(ConnectionClosed) as caught:
                await ws.recv()
            assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (code, reason)
            assert caught.value.rcvd_then_sent

    run(main())


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/reject", 403),
        ("/reject?status=503", 503),
        ("/reject?status=200", 400),
        ("/reject?status=x", 400),
        ("/close?code=1005", 400),
        ("/close?code=999", 400),
        ("/close?after=-1", 400),
        ("/close?after=nan", 400),
        ("/close?reason=" + "x" * 124, 400),
        ("/push?count=-1", 400),
        ("/push?size=999999999", 400),
    ],
)
def test_refusals_say_why(server, path, status):
    async def main():
        with pytest.raises(InvalidStatus) as caught:
            await open_websocket(server, path)
        assert caught.value.response.status == status
        asked_for = path.startswith("/reject") and status != 400
        assert bool(caught.value.response.body) != asked_for

    run(main())


def test_a_refusal_with_a_body(server):
    async def main():
        with pytest.raises(InvalidStatus) as caught:
            await open_websocket(server, "/reject?status=401&body=who%20are%20you")
        assert caught.value.response.status == 401
        assert caught.value.response.body == b"who are you"

    run(main())


def test_a_refusal_that_has_no_body(server):
    async def main():
        with pytest.raises(InvalidStatus) as caught:
            await open_websocket(server, "/reject?status=304&body=hello")
        assert caught.value.response.status == 304
        assert not caught.value.response.body

    run(main())


def test_push(server):
    async def main():
        async with open_websocket(server, "/push?count=3&size=1000&interval=0.01") as ws:
            assert [await ws.recv() for _ in range(3)] == [bytes(1000)] * 3
            await ws.send("and it echoes")
            assert await ws.recv() == "and it echoes"

    run(main())


@pytest.mark.parametrize("api", ["callback", "await"])
@pytest.mark.parametrize("path", ["/close?after=3600", "/push?count=2&interval=3600"])
def test_nothing_waits_for_a_client_that_left(api, path):
    async def main():
        paths = Paths(api)
        async with serve(
            **paths.interface(), host="127.0.0.1", port=0, process_request=paths.process_request
        ) as server:
            port = server.sockets[0].getsockname()[1]
            before = len(asyncio.all_tasks())
            async with connect(f"ws://127.0.0.1:{port}{path}") as ws:
                await ws.send("here")
                while await ws.recv() != "here":
                    pass
                assert len(asyncio.all_tasks()) > before
            while len(asyncio.all_tasks()) > before:
                await asyncio.sleep(0.01)

    within(5, main())


def test_headers_are_the_first_message(server):
    async def main():
        headers = {"x-one": "1", "X-Two": "2"}
        async with open_websocket(server, "/headers?q", additional_headers=headers) as ws:
            seen = json.loads(await ws.recv())
            assert seen[":path"] == "/headers?q" and seen[":protocol"] == "websocket"
            assert (seen["x-one"], seen["x-two"]) == ("1", "2")
            await ws.send("and it echoes")
            assert await ws.recv() == "and it echoes"

    run(main())


def test_a_server_that_never_reads_stops_this_sender_and_no_other(server):
    async def main():
        async with session(server) as both:
            stuck = await both.websocket("/never-reads")
            free = await both.websocket("/")

            async def flood():
                for _ in range(100):
                    await stuck.send(NOISE)

            flooding = asyncio.ensure_future(flood())
            await asyncio.wait([flooding], timeout=0.5)
            assert not flooding.done()
            await free.send("not stuck")
            assert await free.recv() == "not stuck"
            flooding.cancel()
            await free.close()
            stuck.abort()

    run(main())


def test_a_client_that_never_reads_is_not_buffered_without_bound(server):
    async def main():
        limits = h2ws_fast.engine.Limits(max_queued=None)
        async with Session(server.url, ssl=TRUSTING, limits=limits) as both:
            deaf = await both.websocket("/")

            async def flood():
                for _ in range(1000):
                    await deaf.send(NOISE)

            flooding = asyncio.ensure_future(flood())
            await asyncio.wait([flooding], timeout=1)
            assert not flooding.done(), "the server took 100 MB that nobody reads"
            # Reading sets it going again.
            for _ in range(50):
                assert await deaf.recv() == NOISE
            flooding.cancel()
            deaf.abort()

    run(main())


# -- ordinary requests ----------------------------------------------------------------------------


async def fetch(server, method, path, **options):
    async with session(server) as alone:
        response = await alone.request(method, path, **options)
        return response, await response.read()


def test_the_page_needs_nothing_else(server):
    response, body = run(fetch(server, "GET", "/"))
    assert response.status == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert int(response.headers["content-length"]) == len(body)
    assert b"new WebSocket" in body
    assert b"http://" not in body and b"https://" not in body.replace(b'"https:"', b"")


@pytest.mark.parametrize("count", [0, 1, 65535, 65536, 1_000_000])
def test_bytes(server, count):
    response, body = run(fetch(server, "GET", f"/bytes/{count}"))
    assert response.status == 200
    assert response.headers["content-length"] == str(count)
    assert body == (bytes(range(256)) * (count // 256 + 1))[:count]


def test_echo_streams_back(server):
    async def main():
        async with session(server) as alone:
            gate = asyncio.Event()

            async def body():
                yield b"first"
                await gate.wait()
                yield b"second"

            response = await alone.request(
                "POST", "/echo", body=body(), headers={"content-type": "x/y"}
            )
            pieces = aiter(response)
            assert await anext(pieces) == b"first"
            gate.set()
            assert await anext(pieces) == b"second"
            assert [piece async for piece in pieces] == []
            assert response.headers["content-type"] == "x/y"

    run(main())


def test_stats_count(server):
    async def main():
        async with session(server) as alone:

            async def stats():
                return json.loads(await (await alone.request("GET", "/stats")).read())

            before = await stats()
            ws = await alone.websocket("/")
            await ws.send("hello")
            await ws.recv()
            after = await stats()
            await ws.close()
            last = await stats()
        assert before["engine"] == ("compiled" if h2ws_fast.COMPILED else "pure")
        assert before["connections"] == after["connections"] >= 1
        assert before["websockets"] + 1 == after["websockets"]
        assert before["messages"] + 1 == after["messages"]
        assert before["octets_received"] + 5 < after["octets_received"]
        assert before["this_connection"]["websockets"] == 0
        assert after["this_connection"]["websockets"] == 1
        assert after["this_connection"]["open"] == 1
        assert last["this_connection"]["open"] == 0
        assert last["this_connection"]["requests"] == 3
        assert last["server"]["connections"] >= 1
        assert set(last["server"]) >= {"refused", "limits", "handlers", "octets_held"}

    run(main())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/", 405),
        ("GET", "/echo", 405),
        ("GET", "/bytes/x", 400),
        ("GET", "/bytes/99999999999", 400),
        ("GET", "/bytes/" + "9" * 5000, 400),  # more than int() takes
    ],
)
def test_wrong_requests(server, method, path, status):
    response, body = run(fetch(server, method, path))
    assert response.status == status and body


# -- the command ----------------------------------------------------------------------------------


def test_the_first_line_says_which_twin_runs():
    with Echo() as echo:
        twin = "compiled" if h2ws_fast.COMPILED else "pure Python"
        assert f"{twin} engine" in echo.first
        assert "self-signed certificate" in echo.first


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_goodbye(number, workers):
    async def main(echo):
        ws = await open_websocket(echo)
        await ws.send("hello")
        assert await ws.recv() == "hello"
        echo.process.send_signal(number)
        with pytest.raises(ConnectionClosed) as caught:
            await ws.recv()
        assert caught.value.rcvd.code == 1001
        await ws.wire.session.wait_closed()

    with Echo("--workers", workers) as echo:
        run(main(echo))
        out, err = echo.process.communicate(timeout=60)
        assert echo.process.returncode == 0
        assert out.decode().endswith("goodbye\n")
        assert "Traceback" not in err.decode()


def test_workers_share_the_port():
    with Echo("--workers", "2") as echo:

        async def main():
            seen = set()
            for _ in range(200):
                _, body = await fetch(echo, "GET", "/stats")
                seen.add(json.loads(body)["process"])
                if len(seen) == 2:
                    return True
            return False

        assert run(main())
        assert "2 workers" in echo.first


def test_a_worker_that_dies_ends_the_others():
    with Echo("--workers", "2") as echo:
        _, body = run(fetch(echo, "GET", "/stats"))
        os.kill(json.loads(body)["process"], signal.SIGKILL)
        _, err = echo.process.communicate(timeout=60)
        assert echo.process.returncode == 1
        assert "1 of 2 workers failed" in err.decode()


def test_workers_do_not_outlive_their_parent():
    with Echo("--workers", "2") as echo:
        _, body = run(fetch(echo, "GET", "/stats"))
        worker = json.loads(body)["process"]
        echo.process.kill()
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                os.kill(worker, 0)
            except ProcessLookupError:
                return
            time.sleep(0.1)
        raise AssertionError("a worker lives on")


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_cleartext_on_each_loop(loop):
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with Echo("--cleartext", "--loop", loop) as echo:
        assert echo.scheme == "http" and f", {loop}," in echo.first and "cleartext" in echo.first

        async def main():
            async with open_websocket(echo) as ws:
                await ws.send("hello")
                assert await ws.recv() == "hello"

        run(main())


def test_a_certificate_of_ones_own(tmp_path):
    cert, key = write_certificate(tmp_path)
    with Echo("--certfile", str(cert), "--keyfile", str(key)) as echo:

        async def main():
            async with connect(echo.uri, ssl=tls.client_context(cafile=cert)) as ws:
                await ws.send("trusted")
                assert await ws.recv() == "trusted"

        run(main())


def test_the_certificate_made_on_the_spot_names_the_host():
    with Echo("--host", "127.0.0.2") as echo:
        pem = ssl.get_server_certificate(("127.0.0.2", echo.port))

        async def main():
            async with connect(echo.uri, ssl=tls.client_context(cadata=pem)) as ws:
                await ws.send("trusted")
                assert await ws.recv() == "trusted"

        run(main())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_is_one_line(workers):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = command("echo", "--port", str(port), "--workers", workers)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and f"127.0.0.1:{port}" in done.stderr
    assert "in use" in done.stderr


def test_the_same_port_again_at_once():
    port = 0
    for _ in range(2):
        with Echo("--port", str(port)) as echo:
            run(fetch(echo, "GET", "/stats"))
            assert port in (0, echo.port)
            port = echo.port
            assert echo.stop()[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--certfile", "missing.pem"], "cannot load missing.pem"),
        (["--keyfile", "key.pem"], "--keyfile needs --certfile"),
        (["--cleartext", "--certfile", "x"], "--cleartext goes without"),
        (["--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid"),
    ],
)
def test_wrong_options_end_in_one_line(arguments, words):
    done = command("echo", "--port", "0", *arguments)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and words in done.stderr


def test_limits_over_all_connections():
    options = ("--max-connections", "9", "--max-connections-per-address", "1")
    with Echo("--cleartext", *options, "--memory-budget", "1000000") as echo:

        async def main():
            async with session(echo) as first:
                with pytest.raises((h2ws_fast.H2WSError, OSError)):
                    await fetch(echo, "GET", "/stats")
                stats = json.loads(await (await first.request("GET", "/stats")).read())
                assert stats["server"]["refused"] == {"max_connections_per_address": 1}

        run(main())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "65536"],
        ["--workers", "0"],
        ["--api", "x"],
        ["--max-connections", "0"],
        ["--memory-budget", "much"],
    ],
)
def test_wrong_values_are_refused(arguments):
    done = command("echo", *arguments)
    assert done.returncode == 2 and arguments[0] in done.stderr


def test_version_and_help():
    done = command("--version")
    assert done.returncode == 0 and done.stdout.startswith("h2ws-fast ")
    assert ("compiled" if h2ws_fast.COMPILED else "pure Python") in done.stdout
    assert "echo" in command("--help").stdout
    assert "/never-reads" in command("echo", "--help").stdout
    assert "--trace" in command("connect", "--help").stdout
    assert command().returncode == 2


def test_nothing_of_the_certificate_stays_behind(tmp_path):
    with Echo() as echo:
        pass
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = command("echo", "--port", "65536", env=environment)
    assert done.returncode == 2
    script = "from h2ws_fast.cli.certificate import make_certificate;make_certificate('127.0.0.1')"
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []
    assert echo.process.returncode == 0


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--port=abc", "a port is a number between 0 and 65535"),
        ("--port=65536", "a port is a number between 0 and 65535"),
        ("--workers=two", "between 1 and 1024 processes"),
        ("--workers=0", "between 1 and 1024 processes"),
        ("--max-connections=many", "a limit is a number, at least 1"),
        ("--memory-budget=0", "a limit is a number, at least 1"),
    ],
)
def test_a_number_that_is_none_is_told_in_words(option, words):
    done = subprocess.run([*COMMAND, "echo", option], capture_output=True, text=True, timeout=60)
    name = option.partition("=")[0]
    assert done.returncode == 2 and done.stderr.endswith(f"argument {name}: {words}\n")


def test_trace_shows_what_goes_over_each_connection():
    with Echo("--trace", "--cleartext") as echo:

        async def main():
            for http in ("h2", "h1"):
                async with connect(echo.uri, http=http, compression=None) as ws:
                    await ws.send("hello")
                    assert await ws.recv() == "hello"

        run(main())
        *_, told = echo.stop()
    assert "recv connection preface" in told and ":protocol: websocket" in told
    assert "recv GET / HTTP/1.1" in told
    assert told.count("WebSocket text, masked, 5 octets: 'hello'") == 2
