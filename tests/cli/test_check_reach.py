"""`h2ws-fast check`: the way to a server, its SETTINGS, and HTTP/1.1."""

import asyncio
import socket
import sys

import pytest

from h2ws_fast import serve
from h2ws_fast.aio import tls
from h2ws_fast.cli.report import FAILED, OK, SKIPPED, WARNING
from tests.support import frames as f
from tests.support.certificates import write_certificate
from tests.support.checked import Talker, changed, examine, look
from tests.support.programs import Echo, free_port
from tests.support.within import within
from tests.support.wrong import WrongServer

pytest.importorskip("pty", reason="needs the signals and pipes of POSIX")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return write_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def echo():
    with Echo() as server:
        yield server


# -- the way there ----------------------------------------------------------------------------------


def test_a_name_that_does_not_exist():
    found = within(30, examine("wss://no.such.host.invalid/"))
    found("dns", FAILED, "no.such.host.invalid")
    found("http/1.1", SKIPPED, "not reached")
    assert found.exit_code == 3


def test_a_resolver_that_does_not_answer(monkeypatch):
    async def main():
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "getaddrinfo", lambda *_, **__: asyncio.sleep(30))
        return await examine("wss://host.example/", patience=0.05)

    found = within(30, main())
    found("dns", FAILED, "no answer within 0.05 s")
    assert found.exit_code == 3


def test_a_closed_port():
    found = within(30, examine(f"wss://127.0.0.1:{free_port()}/"))
    found("dns", OK, "127.0.0.1")
    found("tcp", FAILED, "refused")
    assert found.exit_code == 3


def test_the_first_address_does_not_answer(monkeypatch):
    closed = free_port()

    async def both():
        async with WrongServer() as server:
            loop = asyncio.get_running_loop()

            async def getaddrinfo(host, port, **_):
                kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
                return [(*kind, ("127.0.0.1", closed)), (*kind, ("127.0.0.1", server.port))]

            monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
            return await examine(f"ws://127.0.0.1:{server.port}/", "--no-echo")

    found = within(30, both())
    found("tcp", WARNING, f"but 127.0.0.1:{closed}: refused")
    found("websocket", OK)


def test_an_address_that_is_silent():
    # A listener whose queue is full answers no SYN.
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        found = within(30, examine(f"ws://127.0.0.1:{full.getsockname()[1]}/", patience=0.5))
    if found.by_name["tcp"].verdict == OK:
        pytest.skip("this system takes connections beyond the backlog")
    found("tcp", FAILED, "no answer within 0.5 s")
    assert found.exit_code == 3


def test_a_self_signed_certificate(echo):
    found = within(30, examine(echo.uri))
    finding = found("tls", FAILED, "self-signed certificate")
    assert "--insecure" in finding.remedy and "--cafile" in finding.remedy
    found("alpn", SKIPPED, "not reached")
    assert found.exit_code == 3


def test_a_certificate_of_a_known_authority(certificate):
    cert, key = certificate

    async def both(host):
        context = tls.server_context(cert, key)
        async with serve(_handler, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            return await examine(f"wss://{host}:{port}/", "--cafile", str(cert), "--no-echo")

    found = within(30, both("127.0.0.1"))
    found("tls", OK, "certificate trusted")
    assert found.exit_code == 0
    if sys.platform == "linux":  # others have 127.0.0.1 alone
        found = within(30, both("0.0.0.0"))
        finding = found("tls", FAILED, "IP address mismatch")
        assert "ask by name" in finding.remedy


def test_a_certificate_that_has_expired(tmp_path):
    cert, key = write_certificate(tmp_path, days=-1)

    async def both():
        context = tls.server_context(cert, key)
        async with serve(_handler, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            return await examine(f"wss://127.0.0.1:{port}/", "--cafile", str(cert))

    found = within(30, both())
    assert "renew" in found("tls", FAILED, "certificate has expired").remedy
    assert found.exit_code == 3


async def _handler(ws):
    async for message in ws:
        await ws.send(message)


def test_http_1_1_alone_over_tls():
    with Echo("--http", "h1") as server:
        found = within(30, examine(server.uri, "--insecure"))
    found("alpn", FAILED, "chosen: http/1.1")
    found("settings", SKIPPED, "no HTTP/2")
    found("http/1.1", OK)
    assert found.exit_code == 1


def test_http_1_1_alone_in_cleartext():
    with Echo("--http", "h1", "--cleartext") as server:
        found = within(30, examine(server.uri))
    assert found.by_name["settings"].verdict == FAILED
    found("http/1.1", OK)
    assert found.exit_code == 1


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x50" * 4, "what comes is no HTTP"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "in HTTP/1.1: HTTP/1.1 400 Bad Request"),
        (b"", "without a word"),
        (f.settings((f.INITIAL_WINDOW_SIZE, 2**31)), "FLOW_CONTROL_ERROR"),
    ],
    ids=["tls", "http/1.1", "leaves", "broken"],
)
def test_what_is_no_http_2(octets, words):
    found = look(Talker(octets))
    found("settings", FAILED, words)
    found("websocket", SKIPPED, "no HTTP/2")
    assert found.by_name["http/1.1"].verdict == FAILED
    assert found.exit_code == 1


def test_no_tls_where_tls_was_asked_for():
    async def both(octets, stay):
        async with Talker(octets, stay=stay) as server:
            return await examine(f"wss://127.0.0.1:{server.port}/", "--insecure")

    found = within(30, both(b"HTTP/1.1 400 Bad Request\r\n\r\n", True))
    assert "ws://" in found("tls", FAILED, "the handshake failed").remedy
    found = within(30, both(b"", False))
    found("tls", FAILED, "ended in the handshake")
    assert found.exit_code == 3


# -- SETTINGS ---------------------------------------------------------------------------------------


def test_no_setting():
    found = look(changed(settings=((f.MAX_CONCURRENT_STREAMS, 100),)))
    finding = found("setting", FAILED, "SETTINGS_ENABLE_CONNECT_PROTOCOL not sent")
    assert "Apache" in finding.remedy
    for name in ("websocket", "text", "close", "unknown-protocol"):
        found(name, SKIPPED, "the setting is missing")
    found("request", OK, "status 200")
    found("http/1.1", FAILED, "404")
    assert found.exit_code == 1


def test_a_setting_of_0():
    found = look(changed(settings=((f.ENABLE_CONNECT_PROTOCOL, 0),)))
    found("setting", FAILED, "SETTINGS_ENABLE_CONNECT_PROTOCOL = 0")


def test_few_streams():
    settings = ((f.ENABLE_CONNECT_PROTOCOL, 1), (f.MAX_CONCURRENT_STREAMS, 1))
    found = look(changed(settings=settings), "--no-echo")
    found("max-streams", WARNING, "1 WebSockets")
    found("second", SKIPPED, "one stream at once")
    found("close", OK)
    found("after-refusal", OK)
    assert found.exit_code == 0


def test_no_streams():
    settings = ((f.ENABLE_CONNECT_PROTOCOL, 1), (f.MAX_CONCURRENT_STREAMS, 0))
    found = look(changed(settings=settings))
    found("max-streams", FAILED, "0: nothing")
    found("websocket", FAILED, "not asked")
    found("request", FAILED, "not asked")
    found("unknown-protocol", FAILED, "not asked")


def test_a_window_of_0():
    class Late(WrongServer):
        settings = ((f.ENABLE_CONNECT_PROTOCOL, 1), (f.INITIAL_WINDOW_SIZE, 0))

        def connect(self, peer, stream_id):
            super().connect(peer, stream_id)
            peer.send(f.window_update(stream_id, 65535))

    found = look(Late())
    found("window", WARNING, "0 octets")
    found("text", OK)
    found("close", OK)


def test_goaway_at_once():
    class Full(WrongServer):
        def greeting(self, peer):
            super().greeting(peer)
            peer.send(f.goaway(0, f.ENHANCE_YOUR_CALM, b"too many\x1b[31m"))
            peer.close()

    found = look(Full())
    finding = found("settings", FAILED, "GOAWAY(ENHANCE_YOUR_CALM): too many\\x1b[31m")
    assert "limit" in finding.remedy
    assert found.exit_code == 1


def test_goaway_that_stays():
    class Leaving(WrongServer):
        def greeting(self, peer):
            super().greeting(peer)
            peer.send(f.goaway(0))

    found = look(Leaving())
    assert FAILED in {found.by_name[name].verdict for name in ("settings", "websocket")}
    assert any("GOAWAY(NO_ERROR)" in finding.seen for finding in found.report.findings)


# -- HTTP/1.1 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "status 200"),
        (b"HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\n\r\n", "status 426"),
        (b"", "the connection"),
        (b"nonsense\r\n\r\n", ""),
    ],
)
def test_no_fallback(octets, words):
    found = look(changed(not_http2=octets), "--no-echo")
    finding = found("http/1.1", WARNING, words)
    assert "Safari" in finding.remedy
    assert found.exit_code == 0
