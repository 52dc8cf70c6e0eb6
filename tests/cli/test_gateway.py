"""`h2ws-fast gateway` as its user meets it: another process, told by options, a file and signals."""

import json
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from h2ws_fast import Session, connect
from h2ws_fast.aio import tls
from tests.support.certificates import write_certificate
from tests.support.programs import COMMAND, Echo, GatewayCommand, read_line
from tests.support.within import within

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="needs the signals and pipes of POSIX"
)

TRUSTING = tls.client_context(verify=False)


@pytest.fixture(scope="module")
def echo():
    with Echo("--cleartext") as server:
        yield server


@pytest.fixture(scope="module")
def secure():
    with Echo() as server:
        yield server


def trusting(gate):
    return TRUSTING if gate.scheme == "https" else None


async def converse(gate, http, path="/"):
    async with connect(gate.uri + path, ssl=trusting(gate), http=http) as ws:
        for message in ("text", bytes(100_000)):
            await ws.send(message)
            assert await ws.recv() == message


async def status(gate, path="/"):
    async with Session(gate.url, ssl=trusting(gate)) as session:
        response = await session.request("GET", path)
        await response.read()
        return response.status


@pytest.mark.parametrize("http", ["h1", "h2", "auto"])
def test_websockets_and_requests_pass(echo, http):
    with GatewayCommand("--cleartext", "--upstream", echo.url, "--http", http) as gate:
        for front in ("h1", "h2"):
            within(30, converse(gate, front))
        assert within(30, status(gate, "/bytes/100000")) == 200
        code, out, _ = gate.stop(signal.SIGTERM)
        assert (code, out) == (0, "")


def test_tls_on_both_sides_workers_and_the_access_log(secure):
    options = ("--insecure", "--workers", "2", "--access-log")
    with GatewayCommand("--upstream", secure.url, *options) as gate:
        assert gate.scheme == "https" and "2 workers" in gate.first
        for front in ("h1", "h2"):
            within(30, converse(gate, front, "/x"))
        code, out, err = gate.stop(signal.SIGTERM)
        assert (code, out) == (0, "\ngoodbye\n")
    for version in ("2", "1.1"):
        # A text and 100 000 octets, their frames' heads and the Close, and as much back.
        words = rf'127\.0\.0\.1 "CONNECT /x HTTP/{version}" 200 (\d+) (\d+) \d+\.\d\d\d (\S+) (\S+) (\S+)'
        received, sent, *rest = re.search(words, err).groups()
        assert 100 < int(received) < 110_000 and 100 < int(sent) < 110_000
        assert rest == [gate.url.partition("//")[2], "websocket", secure.url]


@pytest.mark.parametrize("workers", [1, 2])
def test_each_worker_tells_how_it_is(echo, workers):
    options = ("--cleartext", "--workers", str(workers), "--stats", "127.0.0.1:0")

    async def ask(url):
        async with Session(url) as session:
            assert (await session.request("GET", "/")).status == 404
            assert (await session.request("POST", "/stats", body=b"")).status == 405
            response = await session.request("GET", "/stats")
            assert response.headers["content-type"] == "application/json"
            return json.loads(await response.read())

    async def main(gate, places):
        async with connect(gate.uri + "/") as ws:
            await ws.send("1")
            assert await ws.recv() == "1"
            return [await ask(place) for place in places]

    with GatewayCommand("--upstream", echo.url, *options) as gate:
        places = re.findall(r"(http://[^/]+)/stats", gate.first)
        assert len(places) == workers
        told = within(30, main(gate, places))
        assert len({each["pid"] for each in told}) == workers
        assert sum(each["tunnels"] for each in told) == 1
        assert sum(each["backends"][echo.url]["load"] for each in told) == 1
        assert gate.stop(signal.SIGTERM)[0] == 0


@pytest.mark.parametrize("http", ["h1", "h2", "auto"])
def test_websockets_that_are_read(echo, http):
    options = ("--cleartext", "--websocket-aware", "--max-size", "100000")

    async def main(gate):
        await converse(gate, "h2")
        async with connect(gate.uri + "/", http="h1") as ws:
            await ws.send(bytes(100_001))
            await ws.wait_closed()
            assert ws.close_code == 1009

    with GatewayCommand("--upstream", echo.url, "--http", http, *options) as gate:
        within(30, main(gate))
        assert gate.stop(signal.SIGTERM)[0] == 0


def test_a_backend_that_nobody_trusts_is_a_502(secure):
    with GatewayCommand("--cleartext", "--upstream", secure.url) as gate:
        assert within(30, status(gate)) == 502


FILE = """
[[route]]
path = "{path}"
http = "h2"
backends = ["{url}"]
"""


def test_a_file_of_routes_that_is_read_again(echo, tmp_path):
    certificate, key = write_certificate(tmp_path)
    file = tmp_path / "gateway.toml"
    head = f'certfile = "{certificate}"\nkeyfile = "{key}"\n'
    file.write_text(head + FILE.format(path="/a", url=echo.url))

    async def become(gate, path, wanted):
        due = time.monotonic() + 20
        while await status(gate, path) != wanted:
            assert time.monotonic() < due

    async def main(gate):
        async with connect(gate.uri + "/a", ssl=TRUSTING) as ws:
            await ws.send("1")
            assert await ws.recv() == "1"
            assert await status(gate, "/bytes/3") == 404  # no route
            file.write_text("nonsense = [")
            gate.process.send_signal(signal.SIGHUP)
            assert await status(gate, "/bytes/3") == 404
            file.write_text("drain = 7\n" + head + FILE.format(path="/bytes", url=echo.url))
            gate.process.send_signal(signal.SIGHUP)
            await become(gate, "/bytes/3", 200)
            assert await status(gate, "/a") == 404
            await ws.send("2")  # the tunnel stays where it is
            assert await ws.recv() == "2"

    with GatewayCommand("--config", str(file)) as gate:
        within(60, main(gate))
        code, _, err = gate.stop(signal.SIGTERM)
        assert code == 0
    assert "nothing was read again" in err and "the routes were read again" in err
    assert err.count("not taken before a restart: drain\n") == 1


def test_a_certificate_whose_key_is_not_there_yet_takes_nothing_away(echo, tmp_path):
    """Renewal writes one file after the other, and may be read between them."""
    shown, fresh = tmp_path / "shown", tmp_path / "fresh"
    for folder in (shown, fresh):
        folder.mkdir()
        certificate, key = map(Path, write_certificate(folder))
    names = ("--certfile", str(shown / certificate.name), "--keyfile", str(shown / key.name))

    def is_shown(folder):
        pem = ssl.get_server_certificate(("127.0.0.1", gate.port), timeout=60)
        return ssl.PEM_cert_to_DER_cert(pem) == ssl.PEM_cert_to_DER_cert(
            (folder / certificate.name).read_text()
        )

    def hear(words):
        # Behind what it says as it starts, as the pure twin does.
        while words not in (line := read_line(gate.process, output="stderr")):
            assert line, words

    with GatewayCommand("--upstream", echo.url, *names) as gate:
        old = shutil.copytree(shown, tmp_path / "old")
        shutil.copy(fresh / certificate.name, shown)
        for half in (None, "half of a key"):
            if half is not None:
                (shown / key.name).write_text(half)
            gate.process.send_signal(signal.SIGHUP)
            hear("nothing was read again")
            assert is_shown(old)
        shutil.copy(fresh / key.name, shown)
        gate.process.send_signal(signal.SIGHUP)
        hear("the routes were read again")
        assert is_shown(fresh)


def test_what_is_open_may_end(echo):
    async def main(gate):
        async with connect(gate.uri + "/") as ws:
            gate.process.send_signal(signal.SIGTERM)
            for turn in range(5):
                await ws.send(str(turn))
                assert await ws.recv() == str(turn)

    with GatewayCommand("--cleartext", "--upstream", echo.url, "--drain", "20") as gate:
        within(30, main(gate))
        assert gate.process.wait(20) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no route"),
        (["--upstream", "ftp://a"], "scheme"),
        (["--upstream", "http://a/path"], "a scheme, a host and a port"),
        (["--upstream", "http://a", "--listen", "nowhere"], "host:port"),
        (["--upstream", "http://a", "--stats", "nowhere"], "stats is host:port"),
        (
            "--upstream a --listen 127.0.0.1:0 --cleartext --stats [::1]:65535 --workers 2".split(),
            "--stats has no port for each of 2 workers from 65535 on",
        ),
        (["--upstream", "http://a", "--keyfile", "x"], "certificate"),
        (["--upstream", "http://a", "--certfile", "/none"], "cannot load"),
        (["--upstream", "http://a", "--trusted", "x"], "x"),
        (["--upstream", "http://a", "--token", "a b"], "token"),
        (["--config", "/none"], "/none"),
        *(
            (["--config", "{file}", *option], f"{option[0]} is for --upstream")
            for option in (
                ["--http", "h2"],
                ["--balance", "least"],
                ["--connections", "7"],
                ["--cafile", "x"],
                ["--insecure"],
                ["--websocket-aware"],
            )
        ),
    ],
)
def test_what_makes_no_sense_is_one_line(arguments, words, tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text(FILE.format(path="/", url="http://127.0.0.1:1"))
    arguments = [argument.replace("{file}", str(file)) for argument in arguments]
    done = subprocess.run(
        [*COMMAND, "gateway", *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("h2ws-fast: ") and words in line
