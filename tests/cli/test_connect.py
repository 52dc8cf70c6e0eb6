"""`h2ws-fast connect` as its user meets it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import h2ws_fast
from h2ws_fast.cli import connect
from tests.support.certificates import write_certificate
from tests.support.programs import COMMAND, Echo, free_port

pty = pytest.importorskip("pty", reason="needs the signals and pipes of POSIX")
resource = pytest.importorskip("resource", reason="needs the times of POSIX")


DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
TWIN = "compiled" if h2ws_fast.COMPILED else "pure Python"
FIRST_LINE = rf"h2ws-fast \S+ connect: {TWIN} engine, (uvloop|asyncio)\n"


@pytest.fixture(scope="module")
def server():
    with Echo() as echo:
        yield echo


def talk(url, typed="", *options):
    return subprocess.run(
        [*COMMAND, "connect", *options, url],
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_lines_are_messages_and_the_end_closes(server):
    done = talk(server.uri, "hello\nnaïve ☃\n\nwithout a newline", "--insecure")
    assert done.returncode == 0
    assert done.stdout == "hello\nnaïve ☃\n\nwithout a newline\n"
    assert done.stderr.endswith("closed: code 1000\n")
    assert re.search(FIRST_LINE, done.stderr) is None


def test_much_input(server):
    typed = "".join(f"{number}\n" for number in range(20_000))
    done = talk(server.uri, typed, "--insecure")
    assert done.returncode == 0 and done.stdout == typed


def test_https_is_the_same(server):
    assert talk(server.url, "x\n", "--insecure").stdout == "x\n"


@pytest.mark.parametrize("scheme", ["WSS", "Https", "wsS"])
def test_a_scheme_may_be_spelled_in_any_case(server, scheme):
    url = f"{scheme}:{server.url.partition(':')[2]}"
    assert talk(url, "x\n", "--insecure").stdout == "x\n"


def cpu_of(server, n):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = talk(server.uri, "a" * n, "--insecure")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # For who echoes; behind what the pure twin says as it starts.
    assert done.stderr.splitlines()[-1] == "closed: code 1009 (message is too big)"
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_line_takes_time_in_proportion_to_its_length(server):
    # Added up from piece to piece they took 10 seconds more.
    assert cpu_of(server, 51_000_000) - cpu_of(server, 17_000_000) < 3


LONG_LINES = """
import sys
from h2ws_fast.cli import connect, main
connect.MAX_LINE = 100_000
sys.exit(main(["connect", "--insecure", sys.argv[1]]))
"""


def test_a_line_that_no_message_may_be_is_an_error(server):
    typed = "one\n" + "a" * 90_000 + "\n" + "b" * 200_000 + "\nnever\n"
    done = subprocess.run(
        [sys.executable, "-c", LONG_LINES, server.uri],
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert set(done.stdout.split()) <= {"one", "a" * 90_000}
    assert done.stderr.splitlines()[-1] == f"h2ws-fast: {connect.TOO_LONG}"


def test_binary_messages_are_shown_in_hex(server):
    done = talk(f"{server.uri}/push?count=1&size=100", "", "--insecure", "--wait", "2")
    assert done.stdout == f"(100 octets) {bytes(64).hex(' ', 4)} ...\n"


def test_fields_of_the_request(server):
    options = ["--insecure", "--origin", "https://example.org", "--wait", "2"]
    options += ["--subprotocol", "a", "--subprotocol", "b", "--header", "X-One: 1: 2"]
    done = talk(f"{server.uri}/headers", "", *options)
    for each in (
        '"origin": "https://example.org"',
        '"x-one": "1: 2"',
        '"sec-websocket-protocol": "a, b"',
        '"user-agent": "h2ws-fast/',
    ):
        assert each in done.stdout


def test_a_close_by_the_server_ends_it(server):
    process = subprocess.Popen(
        [*COMMAND, "connect", "--insecure", f"{server.uri}/close?code=4321&reason=bye"],
        stdin=subprocess.PIPE,  # stays open: it does not wait for its end
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.wait(20) == 1
        assert process.stderr.read().endswith("closed: code 4321 (bye)\n")


def test_ctrl_c_closes_cleanly(server):
    process = subprocess.Popen(
        [*COMMAND, "connect", "--insecure", "--trace", server.uri],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    with process:
        seen = b""
        while b"Ctrl-D closes\n" not in seen:
            seen += process.stderr.read(65536)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        rest = process.stderr.read().decode()
        assert "closed: code 1000\n" in rest and "Traceback" not in rest


def test_on_a_terminal(server):
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "connect", "--insecure", server.uri],
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    os.close(slave)
    with process:
        first = process.stderr.readline().decode()
        assert re.fullmatch(FIRST_LINE, first), first
        while b"Ctrl-D closes\n" not in process.stderr.readline():
            pass
        os.write(master, b"typed\n")
        assert process.stdout.readline() == b"typed\n"
        time.sleep(0.1)
        os.write(master, b"\x04")
        assert process.wait(20) == 0
        assert process.stderr.read() == b"closed: code 1000\n"
    os.close(master)


def test_a_terminal_gets_no_control_characters(server):
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "connect", "--insecure", server.uri],
        stdin=subprocess.PIPE,
        stdout=slave,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    os.close(slave)
    with process:
        process.stdin.write("\x1b[31mred\x07 naïve\n".encode())
        process.stdin.close()
        assert process.wait(20) == 0
    assert os.read(master, 1000).decode() == "\\x1b[31mred\\x07 naïve\r\n"
    os.close(master)


@pytest.mark.skipif(
    not DOCUMENT.exists(), reason="there is no docs/cli.md outside of a source tree"
)
def test_the_trace_of_the_documents_is_what_is_printed(server):
    def plain(line):
        line = re.sub(r"^\[ *\d+\.\d+\]", "[]", line)
        line = re.sub(r"(HEADERS frame <length=)\d+", r"\1", line)
        return re.sub(r"(127\.0\.0\.1:|h2ws-fast/)\S+", r"\1", line)

    text = DOCUMENT.read_text("utf-8")
    shown = re.search(r"^\$ echo hello \| .*--trace .*\n\.\.\.\n((?:.*\n)*?)```", text, re.M)[1]
    told = talk(f"{server.uri}/", "hello\n", "--insecure", "--trace").stderr
    lines = [plain(line) for line in told.splitlines()]
    begin = next(at for at, line in enumerate(lines) if line.startswith("[] send HEADERS"))
    expected = [plain(line) for line in shown.splitlines()]
    assert len(expected) > 15
    assert lines[begin : begin + len(expected)] == expected


def test_trace_shows_both_directions(server):
    done = talk(f"{server.uri}/traced", "hello\n", "--insecure", "--trace", "--subprotocol", "chat")
    assert done.returncode == 0 and done.stdout == "hello\n"
    assert re.match(FIRST_LINE, done.stderr), done.stderr
    lines = [re.sub(r"^\[ *\d+\.\d+\] ", "", line).strip() for line in done.stderr.splitlines()]
    for line in (
        "send connection preface",
        "[SETTINGS_ENABLE_PUSH(0x02):0]",
        "[SETTINGS_ENABLE_CONNECT_PROTOCOL(0x08):1]",
        ":method: CONNECT",
        ":protocol: websocket",
        ":path: /traced",
        ":status: 200",
        "sec-websocket-protocol: chat",
        "WebSocket text, masked, 5 octets: 'hello'",
        "WebSocket text, 5 octets: 'hello'",
        "WebSocket close, masked, 2 octets, code 1000",
        "WebSocket close, 2 octets, code 1000",
    ):
        assert line in lines, line
    order = [line for line in lines if re.match(r"(send|recv) (HEADERS|DATA)", line)]
    assert [line[:12] for line in order[:4]] == [
        "send HEADERS",
        "recv HEADERS",
        "send DATA fr",
        "recv DATA fr",
    ]


def test_a_trusted_certificate(tmp_path):
    cert, key = write_certificate(tmp_path)
    with Echo("--certfile", str(cert), "--keyfile", str(key)) as echo:
        assert talk(echo.uri, "x\n", "--cafile", str(cert)).stdout == "x\n"


def test_cleartext():
    with Echo("--cleartext") as echo:
        assert talk(echo.uri, "x\n").stdout == "x\n"
        assert talk(echo.uri.replace("ws:", "WS:"), "x\n").stdout == "x\n"
        assert talk(echo.url.replace("http:", "Http:"), "x\n").stdout == "x\n"
        assert talk(echo.url, "x\n", "--trace", "--loop", "asyncio").stdout == "x\n"
        done = talk(echo.uri.replace("ws:", "wss:"), "", "--insecure")
        assert done.returncode == 1 and "ws:// is for cleartext" in done.stderr
        done = talk(echo.uri, "", "--insecure")
        assert done.returncode == 1 and "--insecure" in done.stderr


def test_cleartext_to_a_server_with_tls_has_a_hint(server):
    done = talk(server.uri.replace("wss:", "ws:"))
    assert done.returncode == 1 and "wss:// is for TLS" in done.stderr


def test_a_server_of_http1_alone_is_called_so():
    with Echo("--http", "h1", "--cleartext") as echo:
        done = talk(echo.uri, "", "--http", "h2")
        assert done.returncode == 1 and "the peer speaks HTTP/1.1, not HTTP/2" in done.stderr


def test_a_certificate_that_is_not_trusted_has_a_hint(server):
    done = talk(server.uri)
    assert done.returncode == 1
    assert "not trusted" in done.stderr and "--insecure" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("{}/reject?status=418&body=no+tea", [], "the server refused with status 418: no tea"),
        ("ftp://host/", [], "'ftp://host/' cannot be used: the scheme must be"),
        ("{}/#fragment", [], "must not have a fragment"),
        ("wss://no.such.host.invalid/", [], "no.such.host.invalid"),
        ("{}", ["--subprotocol", "not a token"], "not a token"),
        ("{}", ["--header", "bad name: x"], "bad name"),
        ("{}", ["--cafile", "missing.pem"], "missing.pem"),
    ],
)
def test_errors_are_a_line(server, url, options, words):
    done = talk(
        url.format(server.uri), "", *options, *([] if "--cafile" in options else ["--insecure"])
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("h2ws-fast: ") and words in done.stderr
    assert "Traceback" not in done.stderr


def test_nobody_there():
    done = talk(f"wss://127.0.0.1:{free_port()}/")
    assert done.returncode == 1 and "connection refused" in done.stderr


def test_a_header_without_a_colon_is_refused():
    done = talk("wss://localhost/", "", "--header", "nothing")
    assert done.returncode == 2 and "'Name: value'" in done.stderr


@pytest.mark.parametrize(
    ("served", "asked", "method"),
    [
        ("both", "auto", "CONNECT"),
        ("both", "h2", "CONNECT"),
        ("both", "h1", "GET"),
        ("h1", "auto", "GET"),
        ("h1", "h1", "GET"),
        ("h2", "auto", "CONNECT"),
    ],
)
@pytest.mark.parametrize("cleartext", [[], ["--cleartext"]], ids=["tls", "cleartext"])
def test_over_either_version(served, asked, method, cleartext):
    with Echo("--http", served, *cleartext) as echo:
        insecure = [] if cleartext else ["--insecure"]
        done = talk(f"{echo.uri}/headers", "x\n", "--http", asked, *insecure)
        assert done.returncode == 0, done.stderr
        assert f'":method": "{method}"' in done.stdout and done.stdout.endswith("\nx\n")


@pytest.mark.parametrize(("served", "asked"), [("h1", "h2"), ("h2", "h1")])
@pytest.mark.parametrize("cleartext", [[], ["--cleartext"]], ids=["tls", "cleartext"])
def test_a_version_that_is_not_served_is_an_error(served, asked, cleartext):
    with Echo("--http", served, *cleartext) as echo:
        done = talk(echo.uri, "", "--http", asked, *([] if cleartext else ["--insecure"]))
        assert done.returncode == 1 and "Traceback" not in done.stderr


def test_trace_of_http_1_1(server):
    done = talk(server.uri, "hello\n", "--insecure", "--trace", "--http", "h1")
    assert done.returncode == 0 and done.stdout == "hello\n"
    lines = [re.sub(r"^(\[ *\d+\.\d+\]|) +", "", line) for line in done.stderr.splitlines()]
    assert "send GET / HTTP/1.1" in lines and "sec-websocket-version: 13" in map(str.lower, lines)
    assert "recv HTTP/1.1 101 Switching Protocols" in lines
    assert "send WebSocket text, masked, 5 octets: 'hello'" in lines
    assert "recv WebSocket text, 5 octets: 'hello'" in lines


@pytest.mark.parametrize("option", ["--trace", "--http=h2"])
def test_the_hint_is_what_the_user_said(option):
    with Echo("--http", "h1") as echo:
        done = talk(echo.uri, "", "--insecure", option)
    said = option.replace("=", " ")
    assert done.returncode == 1 and f"\n  without {said} it goes over HTTP/1.1" in done.stderr


@pytest.mark.parametrize("wait", ["nan", "-1", "inf", "soon"])
def test_seconds_are_a_number(wait):
    done = talk("wss://localhost/", "", f"--wait={wait}")
    assert done.returncode == 2 and "--wait: seconds are a number, at least 0" in done.stderr
