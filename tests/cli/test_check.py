"""`h2ws-fast check`: each verdict, against a server that deserves it."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from h2ws_fast import serve
from h2ws_fast.aio import tls, uri
from h2ws_fast.cli import main
from h2ws_fast.cli.reach import reconnect
from h2ws_fast.cli.report import FAILED, OK, SKIPPED, WARNING
from tests.support import frames as f
from tests.support.certificates import write_certificate
from tests.support.checked import LONG, Talker, answers, changed, closes, examine, look
from tests.support.programs import COMMAND, Echo, free_port
from tests.support.within import within
from tests.support.wrong import WrongServer
from tests.support.ws_frames import BINARY, CLOSE, TEXT

pytest.importorskip("pty", reason="needs the signals and pipes of POSIX")

ALL_OK = {"text", "binary", "fragments", "ping", "second", "close", "request"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return write_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def echo():
    with Echo() as server:
        yield server


# -- all is well ---------------------------------------------------------------------------------


def test_our_own_server(echo):
    found = within(30, examine(f"{echo.uri}/path?x=1", "--insecure", "--subprotocol", "chat"))
    assert found.exit_code == 0
    assert {finding.verdict for finding in found.report.findings} == {OK, SKIPPED}
    assert [each for each in found.by_name if found.by_name[each].verdict == SKIPPED] == [
        "compression"
    ]
    found("tls", OK, "TLSv1.3")
    found("alpn", OK, "chosen: h2")
    found("settings", OK, "SETTINGS_MAX_CONCURRENT_STREAMS = 1000")
    found("setting", OK, "= 1")
    found("websocket", OK, "status 200 to /path?x=1")
    found("subprotocol", OK, "chat chosen of chat")
    found("compression", SKIPPED, "not offered")
    found("large", OK, "1 MiB echoed")
    found("close", OK, "Close 1000 answered with Close 1000 and END_STREAM")
    found("request", OK, "status 200")
    found("unknown-protocol", OK, "status 501")
    found("after-refusal", OK, "a WebSocket opens")
    found("http/1.1", OK, "closed with 1000")
    assert found.by_name["websocket"].seconds > 0


def test_a_server_made_of_octets():
    found = look(WrongServer())
    for name in ALL_OK:
        found(name, OK)
    found("tls", SKIPPED, "prior knowledge")
    found("subprotocol", SKIPPED, "--subprotocol")
    found("large", WARNING, "Close 1009 'too much'")
    found("http/1.1", WARNING, "status 404")
    assert found.exit_code == 0


def test_the_echo_may_be_left_out():
    class Strict(WrongServer):
        def echo(self, peer, *_):
            raise AssertionError("a message came")

    found = look(Strict(), "--no-echo")
    for name in ("text", "binary", "fragments", "large"):
        found(name, SKIPPED, "--no-echo")
    found("close", OK)


# -- the way there -------------------------------------------------------------------------------


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


# -- SETTINGS ------------------------------------------------------------------------------------


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


# -- the opening ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (302, "the URL it names"),
        (400, "proxy in between"),
        (401, "--header"),
        (403, "--origin"),
        (404, "prefix"),
        (405, "GET alone"),
        (418, "the server refused"),
        (421, "certificate"),
        (426, "Upgrade"),
        (429, "too many"),
        (501, "no handler"),
        (502, "backend"),
        (503, "no backend"),
        (507, "log"),
    ],
)
def test_a_refusal_and_its_remedy(status, remedy):
    found = look(changed(connect=answers(status, ("location", "/there"), body=b"so it is\x07")))
    finding = found("websocket", FAILED, f"status {status}, location /there: so it is\\x07")
    assert remedy in finding.remedy
    found("close", SKIPPED, "no WebSocket")
    # The connection lives on.
    found("request", OK)
    found("unknown-protocol", OK)
    found("after-refusal", OK, "PING")
    assert found.exit_code == 1 and found.report.facts["status"] == status


def test_accepted_and_reset():
    class Resets(WrongServer):
        def connect(self, peer, stream_id):
            super().connect(peer, stream_id)
            peer.send(f.rst_stream(stream_id, f.INTERNAL_ERROR))

    found = look(Resets())
    found("websocket", FAILED, "status 200, then RST_STREAM(INTERNAL_ERROR)")
    found("request", OK)


def test_reset_instead_of_an_answer():
    class Resets(WrongServer):
        def connect(self, peer, stream_id):
            peer.send(f.rst_stream(stream_id, f.HTTP_1_1_REQUIRED))

    finding = look(Resets())("websocket", FAILED, "RST_STREAM(HTTP_1_1_REQUIRED)")
    assert "HTTP/1.1" in finding.remedy


def test_taken_for_a_request():
    finding = look(changed(connect=answers(200)))("websocket", FAILED, "200, and the stream was")
    assert "ordinary request" in finding.remedy


def test_closed_at_once():
    class Closes(WrongServer):
        def connect(self, peer, stream_id):
            super().connect(peer, stream_id)
            self.fail(peer, stream_id, 1008, b"no")

    found = look(Closes())
    found("websocket", OK)
    found("text", SKIPPED, "ended the WebSocket: Close 1008 'no'")


def test_the_connection_ends_instead_of_an_answer():
    found = look(changed(connect=lambda self, peer, stream_id: peer.close()))
    found("websocket", FAILED, "without a word")
    found("request", FAILED, "did not live on")
    # Those that do not need the same connection have another one.
    found("unknown-protocol", OK)
    assert found.exit_code == 1


def test_a_malformed_answer():
    class Malformed(WrongServer):
        def connect(self, peer, stream_id):
            peer.headers(stream_id, [(":status", "200"), ("Upper", "case")])

    found = look(Malformed())
    found("websocket", FAILED, "the server broke HTTP/2")
    found("request", OK)


def test_no_subprotocol_is_chosen():
    found = look(WrongServer(), "--subprotocol", "a", "--subprotocol", "b", "--no-echo")
    found("subprotocol", WARNING, "none chosen of a, b")


def test_a_subprotocol_that_was_not_offered():
    def connect(self, peer, stream_id):
        peer.headers(stream_id, [(":status", "200"), ("sec-websocket-protocol", "other")])

    assert (
        look(changed(connect=connect), "--subprotocol", "a").by_name["websocket"].verdict == FAILED
    )


def test_an_extension_that_was_not_offered():
    def connect(self, peer, stream_id):
        extension = ("sec-websocket-extensions", "permessage-deflate")
        peer.headers(stream_id, [(":status", "200"), extension])

    assert look(changed(connect=connect)).by_name["websocket"].verdict == FAILED


# -- messages ------------------------------------------------------------------------------------


def test_a_message_ends_it_and_nothing_opens_again():
    class Once(WrongServer):
        def connect(self, peer, stream_id):
            status = "200" if stream_id == 1 else "503"
            peer.headers(stream_id, [(":status", status)], end_stream=stream_id != 1)

        def echo(self, peer, stream_id, *_):
            self.fail(peer, stream_id, 1008, b"")

    found = look(Once())
    found("text", SKIPPED, "ended the WebSocket: Close 1008")
    found("ping", FAILED, "status 503")
    found("close", SKIPPED, "no WebSocket")


def test_a_greeting_before_the_echo():
    class Greets(WrongServer):
        def connect(self, peer, stream_id):
            super().connect(peer, stream_id)
            peer.ws(stream_id, TEXT, b"welcome")

    look(Greets())("text", OK)


def test_a_binary_message_ends_it():
    def echo(self, peer, stream_id, opcode, payload, fin):
        if opcode == BINARY:
            self.fail(peer, stream_id, 1003, b"text only")
        else:
            peer.ws(stream_id, opcode, payload, fin=fin)

    found = look(changed(echo=echo))
    found("binary", FAILED, "Close 1003 'text only'")
    # What follows has a WebSocket of its own.
    found("ping", OK)
    found("close", OK)


def test_a_message_ends_the_connection():
    def echo(self, peer, stream_id, opcode, payload, fin):
        if opcode == TEXT:
            peer.ws(stream_id, opcode, payload, fin=fin)
        else:
            peer.close()

    found = look(changed(echo=echo))
    found("binary", FAILED, "256 octets sent, then the server, or a proxy, closed the connection")
    found("ping", SKIPPED, "the connection is over")
    found("close", SKIPPED, "the connection is over")
    found("request", FAILED, "did not live on")
    found("unknown-protocol", OK)


def test_a_message_that_is_not_utf_8():
    def echo(self, peer, stream_id, opcode, payload, fin):
        peer.ws(stream_id, opcode, b"\xff\xfe")

    found = look(changed(echo=echo), "--echo")
    found("text", FAILED, "the server broke the protocol: Close 1007")


def test_a_megabyte_that_is_reset():
    def large(self, peer, stream_id):
        peer.buffers.pop(stream_id)
        peer.send(f.rst_stream(stream_id, f.FLOW_CONTROL_ERROR))

    found = look(changed(large=large))
    found("large", FAILED, "RST_STREAM(FLOW_CONTROL_ERROR)")
    found("close", OK)


def test_a_ping_ends_it():
    def ws_ping(self, peer, stream_id, payload):
        peer.send(f.data(stream_id, b"", end_stream=True))

    found = look(changed(ws_ping=ws_ping), "--no-echo")
    found("ping", FAILED, "END_STREAM without a Close")
    found("close", SKIPPED, "over already")


def test_one_websocket_a_connection():
    class One(WrongServer):
        def connect(self, peer, stream_id):
            if stream_id == 1:
                super().connect(peer, stream_id)
            else:
                peer.headers(stream_id, [(":status", "503")], end_stream=True)

    found = look(One(), "--no-echo")
    found("second", FAILED, "status 503")
    found("close", OK)
    found("after-refusal", FAILED, "status 503")


# -- the close -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("close", "verdict", "words"),
    [
        (closes(end=True, reset=f.CANCEL), OK, "END_STREAM, then RST_STREAM(CANCEL)"),
        (closes(end=True, code=1001), WARNING, "Close 1000 answered with Close 1001"),
        (closes(reset=f.NO_ERROR), WARNING, "RST_STREAM(NO_ERROR) instead of END_STREAM"),
        (closes(close=False, reset=f.CANCEL), FAILED, "RST_STREAM(CANCEL) and no Close"),
        (closes(close=False, end=True), FAILED, "END_STREAM without a Close and no Close"),
    ],
    ids=["end-reset", "code", "reset", "reset-alone", "end-alone"],
)
def test_the_closing_handshake(close, verdict, words):
    found = look(changed(close=close), "--no-echo")
    found("close", verdict, words)
    found("request", OK)
    assert found.exit_code == (1 if verdict == FAILED else 0)


def test_the_connection_ends_instead_of_the_stream():
    class Ends(WrongServer):
        def close(self, peer, stream_id, payload):
            peer.ws(stream_id, CLOSE, payload)
            if stream_id == 1:
                peer.close()

    found = look(Ends(), "--no-echo")
    found("close", FAILED, "Close 1000 came, then the server, or a proxy")
    found("request", FAILED, "did not live on")


def test_the_connection_ends_with_the_websocket():
    class Ends(WrongServer):
        def close(self, peer, stream_id, payload):
            super().close(peer, stream_id, payload)
            if stream_id == 1:
                peer.send(f.goaway(2**31 - 1, f.STREAM_CLOSED))
                peer.close()

    found = look(Ends(), "--no-echo")
    found("close", OK)
    found("request", FAILED, "GOAWAY(STREAM_CLOSED)")
    found("unknown-protocol", OK)


# -- the connection afterwards -------------------------------------------------------------------


def test_a_request_that_is_reset():
    def request(self, peer, stream_id):
        peer.send(f.rst_stream(stream_id, f.REFUSED_STREAM))

    look(changed(request=request), "--no-echo")("request", FAILED, "RST_STREAM(REFUSED_STREAM)")


@pytest.mark.parametrize(
    ("status", "verdict"), [(404, OK), (500, OK), (421, WARNING), (502, WARNING)]
)
def test_the_status_of_a_request(status, verdict):
    def request(self, peer, stream_id):
        peer.headers(stream_id, [(":status", str(status))], end_stream=True)

    look(changed(request=request), "--no-echo")("request", verdict, f"status {status}")


def test_an_endless_response_does_not_hold_it_up():
    def request(self, peer, stream_id):
        peer.headers(stream_id, [(":status", "200")])
        peer.send(f.data(stream_id, b"x"))

    look(changed(request=request), "--no-echo")("request", OK, "status 200")


@pytest.mark.parametrize(
    ("unknown", "verdict", "words"),
    [
        (answers(404), OK, "status 404"),
        (answers(302), WARNING, "status 302"),
        (answers(200), WARNING, "status 200, and the end of the stream"),
        (
            lambda self, peer, stream_id: peer.headers(stream_id, [(":status", "200")]),
            FAILED,
            "200",
        ),
        (lambda self, peer, stream_id: peer.close(), FAILED, "the connection ended"),
        (
            lambda self, peer, stream_id: peer.send(f.rst_stream(stream_id, f.PROTOCOL_ERROR)),
            WARNING,
            "RST_STREAM(PROTOCOL_ERROR)",
        ),
    ],
    ids=["404", "302", "200-ended", "200", "gone", "reset"],
)
def test_an_unknown_protocol(unknown, verdict, words):
    found = look(changed(unknown=unknown), "--no-echo")
    found("unknown-protocol", verdict, words)
    found("after-refusal", OK if verdict != FAILED else SKIPPED)


def test_the_trace_of_another_connection(capsys):
    look(changed(connect=lambda self, peer, stream_id: peer.close()), "--trace")
    err = capsys.readouterr().err
    assert err.count("send connection preface") == 2
    assert "malformed" not in err and ":protocol: h2ws-fast-check" in err


def test_nobody_takes_another_connection():
    class Once(WrongServer):
        def connect(self, peer, stream_id):
            peer.close()
            self.server.close()

    found = look(Once())
    found("unknown-protocol", SKIPPED, "no other connection")
    found("http/1.1", FAILED)


def test_another_connection_over_tls(echo):
    async def versions(url):
        streams = await reconnect(uri.parse(url), tls.client_context(verify=False), LONG)
        if streams is not None:
            streams[1].transport.abort()
        return streams is not None

    assert within(30, versions(echo.uri))
    with Echo("--http", "h1") as server:
        assert not within(30, versions(server.uri))
    assert not within(30, versions(f"wss://127.0.0.1:{free_port()}"))


# -- HTTP/1.1 ------------------------------------------------------------------------------------


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


# -- the command ---------------------------------------------------------------------------------


def test_text_for_a_pipe(echo, capsys):
    assert main(["check", "--insecure", f"{echo.uri}/"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    lines = out.splitlines()
    assert all(len(line) <= 79 for line in lines)
    assert re.search(r"^ok       websocket         status 200 to / \(\d+\.\d ms\)$", out, re.M)
    assert lines[-1] == "20 ok, 0 failed, 2 skipped"


def test_colors_for_a_terminal(echo, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert main(["check", "--insecure", "--no-echo", echo.uri]) == 0
    assert "\x1b[32mok       \x1b[0mwebsocket " in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    main(["check", "--insecure", "--no-echo", echo.uri])
    assert "\x1b" not in capsys.readouterr().out


def test_json(echo, capsys):
    assert main(["check", "--insecure", "--json", f"{echo.url}/reject?status=403&body=no"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["exit_code"] == 1 and found["status"] == 403 and found["alpn"] == "h2"
    assert found["settings"]["SETTINGS_ENABLE_CONNECT_PROTOCOL"] == 1
    by_name = {each["name"]: each for each in found["checks"]}
    assert list(by_name)[:4] == ["dns", "tcp", "tls", "alpn"]
    assert by_name["websocket"]["verdict"] == "failed"
    assert by_name["websocket"]["seen"] == "status 403: no"
    assert by_name["websocket"]["seconds"] > 0 and by_name["websocket"]["remedy"]


def test_fields_of_the_request(echo, capsys):
    url = echo.uri.replace("//", "//user:secret@")
    options = ["--origin", "https://page.example", "--header", "X-One: 1", "--subprotocol", "a"]
    assert main(["check", "--insecure", "--trace", *options, url]) == 0
    err = capsys.readouterr().err
    for line in (
        "origin: https://page.example",
        "x-one: 1",
        "authorization: Basic dXNlcjpzZWNyZXQ=",
    ):
        assert line in err
    assert ":protocol: h2ws-fast-check" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ftp://host/"], "the scheme must be"),
        (["ws://host/", "--insecure"], "--insecure"),
        (["wss://host/", "--cafile", "missing.pem"], "missing.pem"),
    ],
)
def test_wrong_usage(arguments, words, capsys):
    assert main(["check", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [[], ["ws://host/", "--timeout", "0"], ["ws://host/", "--echo", "--no-echo"]],
)
def test_wrong_options(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["check", *arguments])
    assert caught.value.code == 2


@pytest.mark.parametrize("option", [["--header", "bad name: x"], ["--subprotocol", "not a token"]])
def test_what_cannot_be_sent(echo, option, capsys):
    assert main(["check", "--insecure", *option, echo.uri]) == 2
    assert option[1].partition(":")[0] in capsys.readouterr().err


def test_an_answer_that_the_terminal_cannot_show(echo):
    done = subprocess.run(
        [*COMMAND, "check", "--insecure", f"{echo.uri}/reject?status=403&body=na%C3%AFve"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "status 403: na\\xefve" in done.stdout
    assert done.returncode == 1 and "Traceback" not in done.stderr


def test_whoever_reads_has_gone(echo):
    process = subprocess.Popen(
        [*COMMAND, "check", "--insecure", echo.uri],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        process.stdout.close()
        assert process.wait(20) == 1
        assert "Traceback" not in process.stderr.read()


def test_ctrl_c_ends_it_cleanly():
    with socket.socket() as silent_one:
        silent_one.bind(("127.0.0.1", 0))
        silent_one.listen()
        port = silent_one.getsockname()[1]
        process = subprocess.Popen(
            [*COMMAND, "check", f"ws://127.0.0.1:{port}/"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            while "tcp" not in process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
            assert "Traceback" not in process.stderr.read()
