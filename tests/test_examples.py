"""Every file of `examples/` runs, and does what it says."""

import asyncio
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from h2ws_fast import Session
from tests.support.certificates import write_certificate
from tests.support.programs import read_line, running

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"

pytestmark = [
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="examples/ is not here: not a source tree"),
    pytest.mark.skipif(sys.platform == "win32", reason="needs the signals and pipes of POSIX"),
]


def environment():
    # A script's own folder stands in sys.path instead of the current one.
    paths = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def command(name, *arguments):
    return [sys.executable, "-u", str(EXAMPLES / name), *map(str, arguments)]


def finish(name, *arguments):
    done = subprocess.run(
        command(name, *arguments), capture_output=True, text=True, timeout=60, env=environment()
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_session():
    assert finish("session.py").splitlines() == [
        "/one: hello",
        "/two: hello",
        "1000000 octets",
        "b'cba'",
    ]


def test_nested():
    lines = finish("nested.py").splitlines()
    assert lines[0].startswith("127.0.0.1:") and lines[0].endswith(" says hello")
    assert lines[1:] == [
        "level-2 says hello",
        "level-3 says hello",
        "3 connections, one of them over TCP",
    ]


def test_pool():
    assert finish("pool.py").splitlines() == [
        "/one: hello",
        "/two: hello",
        "/three: hello",
        "hello",
        "2 connections",
    ]


def test_reconnect():
    assert finish("reconnect.py").splitlines() == ["0", "1", "2", "1012 restarting"] * 2


def test_proxy():
    assert finish("proxy.py").splitlines() == [
        "HELLO WORLD",
        "refused with 407",
        "refused with 403",
    ]


def test_sansio():
    assert finish("sansio.py").splitlines() == [
        "server got 'hello'",
        "client got 'HELLO'",
        "server closed with 1000",
        "client closed with 1000",
    ]


@pytest.mark.parametrize(
    ("server", "tls"),
    [("echo_server.py", False), ("echo_server.py", True), ("callback_server.py", False)],
)
def test_client_and_servers(server, tls, tmp_path):
    certificate = write_certificate(tmp_path) if tls else ()
    options = {"stdout": subprocess.PIPE, "bufsize": 0, "env": environment()}
    with running(command(server, 0, *certificate), **options) as process:
        port = read_line(process).split()[-1]
        uri = f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/"
        said = finish("client.py", uri, *certificate[:1])
    assert said.splitlines() == [
        "hello",
        repr(b"\x00\x01\x02"),
        "round trip: True",
        "closed with 1000",
    ]


@pytest.mark.parametrize("tls", [False, True])
def test_httpx(tls, tmp_path):
    certificate = write_certificate(tmp_path) if tls else ()
    options = {"stdout": subprocess.PIPE, "bufsize": 0, "env": environment()}
    with running(command("echo_server.py", 0, *certificate), **options) as process:
        port = read_line(process).split()[-1]
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        said = finish("httpx_client.py", url, *certificate[:1])
    assert said.splitlines() == ["HTTP/2: hello from /", "hello from one", "hello from two"]


def scrape(port):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        page = response.read().decode()
    return dict(line.rsplit(" ", 1) for line in page.splitlines() if line[0] != "#")


def test_prometheus():
    """A counter never falls: not while a connection stays that has no WebSocket any more, either."""
    options = {"stdout": subprocess.PIPE, "bufsize": 0, "env": environment()}

    async def talk(port):
        async with Session(f"http://127.0.0.1:{port}", proxy=None) as session:
            async with await session.websocket("/") as ws:
                for text in ("one", "two", "three"):
                    await ws.send(text)
                    assert await ws.recv() == text
            return await asyncio.to_thread(scrape, port)

    with running(command("prometheus.py", 0), **options) as process:
        port = read_line(process).split()[-1]
        finish("client.py", f"ws://127.0.0.1:{port}/")
        open_still = asyncio.run(talk(port))
        metrics = scrape(port)
    assert (open_still["connections"], open_still["websockets"]) == ("2", "0")  # and the scrape's
    assert open_still["messages_received_total"] == "5"
    assert metrics["connections_total"] == "4"
    assert metrics["websockets_total"] == "2"
    assert metrics["websockets"] == "0"
    assert metrics["messages_received_total"] == "5"
    assert metrics['websockets_closed_total{code="1000"}'] == "2"


def test_every_example_is_tested():
    tested = {"session.py", "pool.py", "reconnect.py", "proxy.py", "sansio.py", "httpx_client.py"}
    tested |= {"prometheus.py", "client.py", "echo_server.py", "callback_server.py", "nested.py"}
    tested |= {"http3.py"}  # tests/interop/test_tunnel_programs.py
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested
