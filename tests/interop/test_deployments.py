"""The deployments of `examples/gateway/`, with ports and certificates of their own."""

import contextlib
import http.server
import subprocess
import threading
from pathlib import Path

import pytest

from h2ws_fast import Session, connect
from h2ws_fast.aio import tls
from h2ws_fast.gateway.fields import TELLING
from tests.support.certificates import write_certificate
from tests.support.programs import (
    Echo,
    GatewayCommand,
    free_port,
    program,
    running,
    wait_for_port,
)
from tests.support.within import within

EXAMPLES = Path(__file__).parents[2] / "examples" / "gateway"

pytestmark = pytest.mark.skipif(
    not EXAMPLES.is_dir(), reason="examples/ is not here: not a source tree"
)

ENDS = ("by", "for", "host", "port", "prefix", "proto", "scheme", "server", "ssl")

TRUSTING = tls.client_context(verify=False)


def adapted(name, folder, **changes):
    """A file of the examples, with these words in place of its own."""
    text = (EXAMPLES / name).read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, str(new))
    path = folder / name
    path.write_text(text)
    return path


async def converse(port, path, http, turns=4):
    for turn in range(turns):
        uri = f"wss://127.0.0.1:{port}{path}"
        async with connect(uri, ssl=TRUSTING, http=http, proxy=None) as ws:
            await ws.send(str(turn))
            assert await ws.recv() == str(turn)


async def many(port, count):
    """Open so many WebSockets, and have each answer while all are open."""
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            way = connect(f"wss://127.0.0.1:{port}/", ssl=TRUSTING, http="h1", proxy=None)
            found.append(await stack.enter_async_context(way))
        for ws in found:
            await ws.send("x")
            assert await ws.recv() == "x"


async def fetch(port, path, headers=()):
    async with Session(f"https://127.0.0.1:{port}", ssl=TRUSTING, proxy=None) as session:
        response = await session.request("GET", path, headers=headers)
        return response.status, len(await response.read())


class Hears(http.server.BaseHTTPRequestHandler):
    """Answers with a thousand octets, and keeps the fields of each request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.heard.append([(name.lower(), value) for name, value in self.headers.items()])
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(bytes(1000))

    def log_message(self, *_):
        """Say nothing."""


@contextlib.contextmanager
def hearing():
    """A site over HTTP/1.1, with its `port` and what it has `heard`."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hears) as server:
        server.heard = []
        server.port = server.server_address[1]
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_gateways_behind_haproxy(tmp_path):
    """Two gateways, one of which dies; two backends for WebSockets, one for the site.

    What clients write of others reaches nobody, and who they are does.
    """
    certificate, key = write_certificate(tmp_path)
    site = tmp_path / "site.pem"
    site.write_text(Path(certificate).read_text() + Path(key).read_text())
    front = free_port()
    with hearing() as web, Echo("--cleartext") as one, Echo("--cleartext") as two:
        routes = adapted(
            "routes.toml",
            tmp_path,
            **{
                "127.0.0.1:8000": f"127.0.0.1:{web.port}",
                "127.0.0.1:9001": f"127.0.0.1:{one.port}",
                "127.0.0.1:9002": f"127.0.0.1:{two.port}",
            },
        )
        options = ("--config", str(routes), "--cleartext", "--workers", "2")
        with GatewayCommand(*options) as first, GatewayCommand(*options) as second:
            config = adapted(
                "workers_behind_haproxy.cfg",
                tmp_path,
                **{
                    "bind :8443": f"bind 127.0.0.1:{front}",
                    "crt site.pem": f"crt {site}",
                    "127.0.0.1:8001": f"127.0.0.1:{first.port}",
                    "127.0.0.1:8002": f"127.0.0.1:{second.port}",
                },
            )
            command = [program("haproxy"), "-db", "-q", "-f", str(config)]
            with running(command, stderr=subprocess.DEVNULL) as process:
                wait_for_port(front, process)
                for http in ("h1", "h2"):
                    within(30, converse(front, "/ws", http))
                spelled = [*TELLING, *(f"x-forwarded-{end}".encode() for end in ENDS)]
                lies = {name.decode(): "6.6.6.6" for name in spelled}
                lies |= {name.replace("-", "_"): value for name, value in lies.items()}
                assert within(30, fetch(front, "/", lies)) == (200, 1000)
                (heard,) = web.heard
                assert not [each for each in heard if "6.6.6.6" in each[1]]
                said = [value for name, value in heard if name == "x-forwarded-for"]
                assert ", ".join(said) == "127.0.0.1, 127.0.0.1"  # the client, and HAProxy
                assert ("x-forwarded-proto", "https") in heard
                first.stop()
                for http in ("h1", "h2"):
                    within(30, converse(front, "/ws", http))


def test_a_gateway_before_nghttpx(tmp_path):
    certificate, key = write_certificate(tmp_path)
    between, front = free_port(), free_port()
    command = [
        program("nghttpx", "nghttp2-proxy"),
        "--conf=/dev/null",
        "--workers=1",
        "--frontend-http2-max-concurrent-streams=10000",
        f"--frontend=127.0.0.1,{between};no-tls",
        f"--pid-file={tmp_path}/pid",
    ]
    with Echo("--cleartext") as echo:
        command.append(f"--backend=127.0.0.1,{echo.port};/;proto=http/1.1")
        quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        with running(command, **quiet) as process:
            wait_for_port(between, process)
            config = adapted(
                "before_nghttpx.toml",
                tmp_path,
                **{
                    '"cert.pem"': f'"{certificate}"',
                    '"key.pem"': f'"{key}"',
                    "http://127.0.0.1:9000": f"http://127.0.0.1:{between}",
                    "0.0.0.0:8443": f"127.0.0.1:{front}",
                    "connections = 4": "connections = 1",
                },
            )
            with GatewayCommand("--config", str(config)) as gate:
                for http in ("h1", "h2"):
                    within(30, converse(gate.port, "/", http))
                within(60, many(gate.port, 110))  # more than nghttpx takes by itself
                assert within(30, fetch(gate.port, "/bytes/1000")) == (200, 1000)
