"""`h2ws-fast check` through proxies, and of them."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from h2ws_fast.cli.report import FAILED, OK, SKIPPED, WARNING
from tests.support.certificates import write_certificate
from tests.support.checked import examine
from tests.support.programs import Echo, free_port, running, wait_for_port
from tests.support.proxies import haproxy, nghttpx
from tests.support.within import within


@pytest.fixture(scope="module")
def echo():
    with Echo("--cleartext") as server:
        yield server


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def look(port, *options, scheme="ws", path="/"):
    return within(60, examine(f"{scheme}://127.0.0.1:{port}{path}", *options))


@pytest.mark.parametrize(
    ("proxy", "after", "unknown"),
    [(haproxy, "RST_STREAM(CANCEL)", 501), (nghttpx, "RST_STREAM(NO_ERROR)", 400)],
    ids=["haproxy", "nghttpx"],
)
def test_all_is_well_through_a_proxy(echo, folder, proxy, after, unknown):
    with proxy(echo.port, folder) as (port, _):
        found = look(port, "--echo", "--subprotocol", "a")
        refused = look(port, path="/reject?status=403&body=no")
    assert found.exit_code == 0
    assert {finding.verdict for finding in found.report.findings} == {OK, SKIPPED}
    found("max-streams", OK, "100")
    found("large", OK, "1 MiB echoed")
    found("close", OK, "Close 1000 and END_STREAM")
    if found.by_name["close"].seen.count("RST_STREAM"):
        found("close", OK, f"END_STREAM, then {after}")
    found("unknown-protocol", OK, f"status {unknown}")
    found("http/1.1", OK)
    refused("websocket", FAILED, "status 403: no")
    refused("request", OK)
    refused("http/1.1", FAILED, "status 403")


def test_http_2_alone(echo, folder):
    with haproxy(echo.port, folder) as (_, port):
        found = look(port)
    found("close", OK)
    found("http/1.1", WARNING)
    assert found.exit_code == 0


def test_a_proxy_that_takes_the_setting_away(echo, folder):
    with haproxy(echo.port, folder, settings="h2-workaround-bogus-websocket-clients") as (port, _):
        found = look(port)
    found("setting", FAILED, "not sent")
    found("websocket", SKIPPED, "the setting is missing")
    found("http/1.1", OK)
    assert found.exit_code == 1
    # What lies behind it is right: the proxy is to blame.
    assert look(echo.port).exit_code == 0


@pytest.mark.parametrize("offered", ["h2,http/1.1", "http/1.1"])
def test_a_proxy_that_ends_tls(echo, folder, offered):
    cert, key = write_certificate(folder)
    (folder / "both.pem").write_bytes(cert.read_bytes() + key.read_bytes())
    bind = f"ssl crt {folder}/both.pem alpn {offered}"
    with haproxy(echo.port, folder, bind=bind) as (port, _):
        found = look(port, "--cafile", str(cert), scheme="wss")
        untrusted = look(port, scheme="wss")
    found("tls", OK, "certificate trusted")
    if offered == "http/1.1":
        found("alpn", FAILED, "chosen: http/1.1")
        assert found.exit_code == 1
    else:
        found("close", OK)
        assert found.exit_code == 0
    found("http/1.1", OK)
    untrusted("tls", FAILED, "self-signed")
    assert untrusted.exit_code == 3


def test_a_backend_that_takes_http_1_1(echo, folder):
    with haproxy(echo.port, folder, server="proto h1") as (port, _):
        found = look(port, "--echo")
    for name in ("websocket", "large", "close", "after-refusal"):
        found(name, OK)
    # It became an Upgrade, and those may be ignored.
    found("unknown-protocol", WARNING, "status 200, and the end of the stream")
    assert found.exit_code == 0


@pytest.mark.parametrize(
    ("proxy", "options"),
    [
        (haproxy, {"server": "ssl verify none alpn h2 ws h2"}),
        (haproxy, {"server": "ssl verify none alpn h2,http/1.1"}),
        (nghttpx, {"backend": "proto=h2;tls"}),
    ],
    ids=["haproxy", "haproxy-both", "nghttpx"],
)
def test_a_backend_over_tls(folder, proxy, options):
    with Echo() as server:
        if proxy is nghttpx:
            options = {**options, "trusting": True}
        with proxy(server.port, folder, **options) as (port, _):
            found = look(port, "--echo")
    for name in ("websocket", "large", "close", "request", "http/1.1"):
        found(name, OK)


def test_no_backend(folder):
    with haproxy(free_port(), folder) as (port, _):
        found = look(port)
    found("setting", OK)
    found("websocket", FAILED, "status 503")
    found("request", WARNING, "status 503")
    found("http/1.1", FAILED, "status 503")
    assert found.exit_code == 1


@pytest.mark.parametrize(
    ("proxy", "options"),
    [(haproxy, {"server": "proto h1"}), (nghttpx, {"backend": "proto=http/1.1"})],
    ids=["haproxy", "nghttpx"],
)
def test_a_backend_without_websockets(folder, proxy, options):
    port = free_port()
    server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    with running(
        server, cwd=folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        wait_for_port(port, process)
        with proxy(port, folder, **options) as (front, _):
            found = look(front)
    found("websocket", FAILED, "status 200, and the stream was ended at once")
    found("request", OK, "status 200")
    assert found.by_name["http/1.1"].verdict == FAILED
    assert found.exit_code == 1
