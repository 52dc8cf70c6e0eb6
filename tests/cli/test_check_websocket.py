"""`h2ws-fast check`: each verdict on a WebSocket over HTTP/2, against a server that deserves it."""

import pytest

from h2ws_fast.aio import tls, uri
from h2ws_fast.cli.reach import reconnect
from h2ws_fast.cli.report import FAILED, OK, SKIPPED, WARNING
from tests.support import frames as f
from tests.support.checked import LONG, answers, changed, closes, examine, look
from tests.support.programs import Echo, Serve, free_port
from tests.support.within import within
from tests.support.wrong import WrongServer
from tests.support.ws_frames import BINARY, CLOSE, TEXT

pytest.importorskip("pty", reason="needs the signals and pipes of POSIX")


@pytest.fixture(scope="module")
def echo():
    with Echo() as server:
        yield server


# -- the opening ------------------------------------------------------------------------------------


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
        extension = ("sec-websocket-extensions", "x-other")
        peer.headers(stream_id, [(":status", "200"), extension])

    assert look(changed(connect=connect)).by_name["websocket"].verdict == FAILED


def test_compression_that_is_not_taken():
    look(WrongServer())("compression", SKIPPED, "offered and not taken")


# -- messages ---------------------------------------------------------------------------------------


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

    # Nobody said that it echoes whatever it is sent: what follows has a WebSocket of its own.
    found = look(changed(echo=echo))
    found("binary", WARNING, "256 octets sent, then Close 1003 'text only': it takes text alone")
    found("fragments", OK)
    found("large", WARNING, "Close 1009")
    found("ping", OK)
    found("close", OK)
    found = look(changed(echo=echo), "--echo")
    found("binary", FAILED, "256 octets sent, then Close 1003 'text only'")
    found("fragments", SKIPPED, "no echo before")
    found("ping", OK)
    found("close", OK)


def test_an_application_for_text():
    pytest.importorskip("uvicorn")
    with Serve("tests.support.served:text_alone", "--cleartext") as server:
        found = within(30, examine(f"ws://127.0.0.1:{server.port}/"))
    found("binary", WARNING, "Close 1011")
    for name in ("text", "fragments", "large", "ping", "second", "close", "after-refusal"):
        found(name, OK)
    assert found.exit_code == 0


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


# -- the close --------------------------------------------------------------------------------------


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


# -- the connection afterwards ----------------------------------------------------------------------


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
