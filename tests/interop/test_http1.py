"""WebSockets and requests over HTTP/1.1, with others on the other side: `websockets`, curl, Node."""

import asyncio
import json
import ssl
import subprocess
from functools import partial
from pathlib import Path

import pytest

from h2ws_fast import ConnectionClosedOK, InvalidStatus, connect
from h2ws_fast.aio import tls
from tests.support.certificates import write_certificate
from tests.support.programs import module, program, read_line, running
from tests.support.within import within

HERE = Path(__file__).parent
MESSAGES = ["text", "na\u00efve \u2603", "", "x" * 100_000, b"", bytes(range(256)) * 4096]
run = partial(within, 60)


def unverified():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# -- the `websockets` package ---------------------------------------------------------------------


def test_a_client_of_websockets(echo):
    module("websockets")
    import websockets

    async def talk():
        context = unverified() if echo.scheme == "https" else None
        options = {"ssl": context, "max_size": 2**24, "proxy": None}
        async with websockets.connect(
            f"{echo.uri}/headers", subprotocols=["first", "second"], **options
        ) as ws:
            assert ws.subprotocol == "first"
            agreed = ws.response.headers["Sec-WebSocket-Extensions"]
            assert agreed.startswith("permessage-deflate; server_no_context_takeover")
            headers = json.loads(await ws.recv())
            assert headers[":method"] == "GET" and headers["connection"] == "Upgrade"
            for message in MESSAGES:
                await ws.send(message)
                assert await ws.recv() == message
            await ws.send(["in ", "pieces"])
            assert await ws.recv() == "in pieces"
            assert await (await ws.ping()) >= 0
        assert ws.close_code == 1000
        async with websockets.connect(f"{echo.uri}/close?code=4321&reason=bye", **options) as ws:
            with pytest.raises(websockets.ConnectionClosed):
                await ws.recv()
            assert (ws.close_code, ws.close_reason) == (4321, "bye")
        with pytest.raises(websockets.InvalidStatus) as caught:
            await websockets.connect(f"{echo.uri}/reject?status=403&body=no", **options)
        assert caught.value.response.status_code == 403 and caught.value.response.body == b"no"
        many = await asyncio.gather(
            *(websockets.connect(f"{echo.uri}/{i}", **options) for i in range(20))
        )
        for i, ws in enumerate(many):
            await ws.send(str(i))
        assert [await ws.recv() for ws in many] == [str(i) for i in range(20)]
        await asyncio.gather(*(ws.close() for ws in many))

    run(talk())


@pytest.mark.parametrize("http", ["auto", "h1"])
@pytest.mark.parametrize("secure", [True, False], ids=["tls", "cleartext"])
def test_a_server_of_websockets(tmp_path, secure, http):
    module("websockets")
    import websockets

    certificate = write_certificate(tmp_path)
    theirs = None
    ours = None
    if secure:
        theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        theirs.load_cert_chain(*certificate)
        ours = tls.client_context(cafile=certificate[0])

    async def handler(ws):
        if ws.request.path == "/close":
            await ws.close(4321, "bye")
        async for message in ws:
            await ws.send(message)

    def process(ws, request):
        return ws.respond(404, "nothing here") if request.path == "/no" else None

    async def talk():
        async with websockets.serve(
            handler,
            "127.0.0.1",
            0,
            ssl=theirs,
            max_size=2**24,
            subprotocols=["b"],
            process_request=process,
        ) as server:
            port = server.sockets[0].getsockname()[1]
            base = f"{'wss' if secure else 'ws'}://127.0.0.1:{port}"
            options = {"ssl": ours, "http": http, "subprotocols": ["a", "b"]}
            async with connect(base, max_size=2**24, **options) as ws:
                assert ws.http_version == "1.1" and ws.subprotocol == "b"
                for message in MESSAGES:
                    await ws.send(message)
                    assert await ws.recv() == message
                await ws.send(["in ", "pieces"])
                assert await ws.recv() == "in pieces"
                assert await (await ws.ping()) >= 0
            assert ws.close_code == 1000
            async with connect(f"{base}/close", **options) as ws:
                await ws.wait_closed()
                assert (ws.close_code, ws.close_reason) == (4321, "bye")
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"{base}/no", **options)
            assert caught.value.response.status == 404
            assert caught.value.response.body == b"nothing here"
            ws = await connect(base, **options)
        with pytest.raises(ConnectionClosedOK):
            await ws.recv()
        assert ws.close_code == 1001

    run(talk())


# -- curl -----------------------------------------------------------------------------------------


def curl(echo, path, *options):
    done = subprocess.run(
        [program("curl"), "-sSk", "-m", "20", "-w", "\n%{http_version} %{http_code}", *options]
        + [f"{echo.url}{each}" for each in path.split()],
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    body, _, last = done.stdout.rpartition(b"\n")
    return body, last.decode()


def test_curl_speaks_either(echo):
    body = bytes(i & 255 for i in range(100_000))
    assert curl(echo, "/bytes/100000", "--http1.1") == (body, "1.1 200")
    assert curl(echo, "/bytes/100000", "--http1.0")[0] == body
    second = "--http2" if echo.scheme == "https" else "--http2-prior-knowledge"
    assert curl(echo, "/bytes/100000", second) == (body, "2 200")
    # Without a word beforehand: by ALPN, or `Upgrade: h2c`, which is not taken.
    expected = "2 200" if echo.scheme == "https" else "1.1 200"
    assert curl(echo, "/bytes/10", "--http2")[1] == expected


def test_curl_sends_bodies_over_one_connection(echo, tmp_path):
    body = bytes(range(256)) * 8000
    (tmp_path / "body").write_bytes(body)
    options = ["--http1.1", "--data-binary", f"@{tmp_path / 'body'}"]
    assert curl(echo, "/echo", *options) == (body, "1.1 200")
    assert curl(echo, "/echo", *options, "-H", "Transfer-Encoding: chunked") == (body, "1.1 200")
    got, _ = curl(echo, "/bytes/3 /stats /stats", "--http1.1", "-w", "|%{num_connects}")
    assert got.count(b"|0") == 2 or got.count(b"|1") == 1


# -- Node's http, by hand -------------------------------------------------------------------------


def test_node_upgrades_by_hand(echo):
    messages = ["one", "na\u00efve \u2603", "x" * 100_000]

    def node(path, sent):
        done = subprocess.run(
            [
                program("node", "nodejs"),
                str(HERE / "node_h1.js"),
                "client",
                echo.url,
                path,
                json.dumps(sent),
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    seen = node("/chat", messages)
    assert seen == {
        "messages": ["one", "na\u00efve \u2603", 100_000],
        "masked": False,
        "status": 101,
        "accepted": True,
        "protocol": "first",
        "close": [4321, ""],
        "ended": True,
    }
    assert node("/reject?status=404", [])["status"] == 404


@pytest.mark.parametrize("http", ["auto", "h1"])
def test_node_accepts_by_hand(http):
    arguments = [program("node", "nodejs"), str(HERE / "node_h1.js"), "server"]

    async def talk(port):
        base = f"ws://127.0.0.1:{port}"
        async with connect(f"{base}/first", http=http, subprotocols=["a", "b"]) as ws:
            assert ws.http_version == "1.1" and ws.subprotocol == "a"
            assert await ws.recv() == "/first"
            for message in ("one", "na\u00efve \u2603", "x" * 100_000):
                await ws.send(message)
                assert await ws.recv() == message
        assert ws.close_code == 1000
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{base}/no", http=http)
        assert (caught.value.response.status, caught.value.response.body) == (403, b"no!")

    with running(arguments, stdout=subprocess.PIPE, bufsize=0) as process:
        port = int(read_line(process))
        run(talk(port))
