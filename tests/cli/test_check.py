"""`h2ws-fast check` as its user meets it, and where all is well."""

import json
import os
import re
import signal
import socket
import subprocess

import pytest

from h2ws_fast.cli import main
from h2ws_fast.cli.report import OK, SKIPPED, WARNING
from tests.support.checked import examine, look
from tests.support.programs import COMMAND, Echo
from tests.support.within import within
from tests.support.wrong import WrongServer

pytest.importorskip("pty", reason="needs the signals and pipes of POSIX")

ALL_OK = {"text", "binary", "fragments", "ping", "second", "close", "request"}


@pytest.fixture(scope="module")
def echo():
    with Echo() as server:
        yield server


# -- all is well ------------------------------------------------------------------------------------


def test_our_own_server(echo):
    found = within(30, examine(f"{echo.uri}/path?x=1", "--insecure", "--subprotocol", "chat"))
    assert found.exit_code == 0
    assert {finding.verdict for finding in found.report.findings} == {OK}
    found("tls", OK, "TLSv1.3")
    found("alpn", OK, "chosen: h2")
    found("settings", OK, "SETTINGS_MAX_CONCURRENT_STREAMS = 1000")
    found("setting", OK, "= 1")
    found("websocket", OK, "status 200 to /path?x=1")
    found("subprotocol", OK, "chat chosen of chat")
    found("compression", OK, "permessage-deflate; server_no_context_takeover")
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


# -- the command ------------------------------------------------------------------------------------


def test_text_for_a_pipe(echo, capsys):
    assert main(["check", "--insecure", f"{echo.uri}/"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    lines = out.splitlines()
    assert all(len(line) <= 79 for line in lines)
    assert re.search(r"^ok       websocket         status 200 to / \(\d+\.\d ms\)$", out, re.M)
    assert lines[-1] == "21 ok, 0 failed, 1 skipped"


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
        timeout=60,
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
