"""Who is let in by `serve-tunnels`, what both commands print of it, and when they end."""

import asyncio
import logging
import signal
import socket
import subprocess
import sys
import time

import pytest

from h2ws_fast.aio.http import Request
from h2ws_fast.aio.server.notices import Notices
from h2ws_fast.cli import main
from h2ws_fast.cli.credentials import check_from, without_password
from tests.support.programs import COMMAND, read_line

from .test_tunnels import Forward, TunnelServer, say, tcp_echo

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="needs the signals and pipes of POSIX"
)

SOON_S = 6.0  # well below the ten seconds that a peer has to end its side


# -- who is let in -------------------------------------------------------------------------------


def judged(check, *fields, protocol="connect-udp"):
    """The status and challenges of the answer; None for who is let in."""
    request = Request("/", fields, method="CONNECT", protocol=protocol)
    response = asyncio.run(check(None, request))
    if response is None:
        return None
    names = ("www-authenticate", "proxy-authenticate")
    return response.status, [
        f"{name[0]} {value.split()[0]}"
        for name in names
        for value in response.headers.get_all(name)
    ]


FIELD = ("--header", "Authorization: Bearer secret")
BOTH = ([("me", "secret")], ["right"])
ME = "Basic bWU6c2VjcmV0"


@pytest.mark.parametrize(
    ("users", "tokens", "asked"),
    [([], ["right"], ["Bearer"]), (*BOTH, ["Basic", "Bearer"]), (BOTH[0], [], ["Basic"])],
)
@pytest.mark.parametrize("protocol", ["connect-udp", None])
def test_a_refusal_says_how_to_ask(users, tokens, asked, protocol):
    """RFC 9110 sections 15.5.2 and 15.5.8."""
    check = check_from(users, tokens)
    status, letter = (401, "w") if protocol else (407, "p")
    for said in ([], [("authorization", "Bearer wrong")], [("authorization", "Basic bWU6eA==")]):
        challenges = [f"{letter} {scheme}" for scheme in asked]
        assert judged(check, *said, protocol=protocol) == (status, challenges)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_schemes_have_no_case(scheme):
    assert judged(check_from([], ["other", "right"]), ("authorization", f"{scheme} right")) is None


def test_one_field_says_it():
    check = check_from(*BOTH)
    right = ("authorization", "Bearer right")
    assert judged(check, right) is None
    assert judged(check, ("authorization", ME)) is None
    assert judged(check, right, ("authorization", ME))[0] == 401
    assert judged(check, ("proxy-authorization", "Bearer right"))[0] == 401
    assert judged(check, ("proxy-authorization", "Bearer right"), protocol=None) is None
    assert judged(check, right, protocol=None) is None
    for wrong in ("Bearer", "Bearer ", "right", "Basic right", "Bearer right x", "Bearer r\xefght"):
        assert judged(check, ("authorization", wrong))[0] == 401


def test_nobody_is_asked_without_keys():
    assert check_from([], []) is None


@pytest.mark.parametrize(
    ("users", "tokens"), [([], [""]), ([], ["right", ""]), ([], [" "]), ([("me", "")], ["right"])]
)
def test_nothing_lets_nobody_in(users, tokens):
    with pytest.raises(ValueError):
        check_from(users, tokens)


def test_who_was_not_let_in_is_logged_so_often(caplog):
    now = [0.0]
    notices = Notices(logging.getLogger("h2ws_fast.test"), logging.WARNING, lambda: now[0])
    check = check_from(*BOTH, notices)
    for _ in range(50):
        assert judged(check)[0] == 401
    assert judged(check, ("authorization", ME)) is None
    assert caplog.text.count("a client was not let in: 401") == 20


def test_the_server_names_who_was_not_let_in():
    with (
        tcp_echo() as tcp,
        TunnelServer("--private", "--allow", f"127.0.0.1:{tcp}", "--token", "right") as server,
    ):
        with Forward(server.url, "--insecure", "-L", f"0:127.0.0.1:{tcp}") as forward:
            with pytest.raises(ConnectionError):
                say(forward.ports[0])
        assert "127.0.0.1 was not let in: 407" in server.stop()[2]


# -- how keys are given, and where they go -------------------------------------------------------


def test_keys_in_files(tmp_path):
    file = tmp_path / "key"
    file.write_text("me:s3cr:et\nsecond line\n")
    token = tmp_path / "token"
    token.write_text("t0ken")
    with tcp_echo() as tcp:
        target = f"127.0.0.1:{tcp}"
        options = ("--allow", target, "--private", "--cleartext")
        with TunnelServer(*options, "--user", f"@{file}", "--token", f"@{token}") as server:
            assert "without TLS whoever is on the path reads" in server.said
            for said in (
                ("--user", f"@{file}"),
                ("--user", "me:s3cr:et"),
                ("--token", f"@{token}"),
            ):
                url = server.url.replace("http", "HTTP")  # however a scheme is written
                with Forward(url, "-L", f"0:{target}", *said) as forward:
                    assert say(forward.ports[0]) == b"hello"
                    forward.process.send_signal(signal.SIGINT)
                    _, err = forward.process.communicate(timeout=60)
                    assert b"without TLS whoever is on the path reads" in err
                    assert b"s3cr" not in err and b"t0ken" not in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--user", "@/none/such"), "cannot read /none/such"),
        (("--user", "nobody"), "NAME:PASSWORD"),
        (("--user", "nobody:"), "NAME:PASSWORD"),
        (("--user", ""), "it is empty"),
        (("--token", ""), "it is empty"),
        (("--token", "@/dev/null"), "/dev/null is empty"),
        (("--token", "t", "--user", "me:x"), "say who asks once"),
        (("--token", "t", "http://me:secret@127.0.0.1:1"), "say who asks once"),
        (("--token", "t", "--header", "authorization: Bearer secret"), "say who asks once"),
        (("--user", "me:x", "--header", "AUTHORIZATION: Bearer secret"), "say who asks once"),
        ((*FIELD, "http://me:secret@127.0.0.1:1"), "say who asks once"),
        ((*FIELD, *FIELD), "say who asks once"),
        (FIELD, "h2ws-fast forward: without TLS"),
        (("http://me:secret@127.0.0.1:1",), "h2ws-fast: http://127.0.0.1:1: "),
        (("ftp://me:secret@127.0.0.1:1",), "h2ws-fast: ftp://127.0.0.1:1: the scheme"),
        (("http://me:secret@127.0.0.1:x",), "h2ws-fast: http://127.0.0.1:x: "),
    ],
)
def test_mistakes_are_told_without_passwords(arguments, words, capsys):
    url = () if any("://" in each for each in arguments) else ("http://127.0.0.1:1",)
    try:
        code = main(["forward", "-D", "0", *arguments, *url])
    except SystemExit as left:  # argparse
        code = left.code
    assert code
    told = capsys.readouterr().err
    assert words in told and "secret" not in told


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@a.example/x@y", "https://a.example/x@y"),
        ("me:secret@a.example:1", "a.example:1"),
        ("https://me:p@ss@a.example", "https://a.example"),
        ("https://a.example:1", "https://a.example:1"),
    ],
)
def test_urls_without_passwords(url, shown):
    assert without_password(url) == shown


def test_a_port_in_use_is_named(capsys):
    with tcp_echo() as tcp, TunnelServer("--cleartext", "--allow", "a.example:1") as server:
        for rule in (("-L", f"{tcp}:a.example:1"), ("-D", f"{tcp}")):
            assert main(["forward", server.url, *rule]) == 1
            assert f"cannot listen on 127.0.0.1:{tcp}: " in capsys.readouterr().err
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with TunnelServer("--cleartext", "--allow", "a.example:1") as server:
            assert main(["forward", server.url, "-U", f"{port}:a.example:1"]) == 1
    assert f"cannot listen on 127.0.0.1:{port}: " in capsys.readouterr().err


# -- limits, and the end -------------------------------------------------------------------------


def test_a_client_has_so_many_sockets_of_both_kinds():
    with tcp_echo() as tcp:
        target = f"127.0.0.1:{tcp}"
        options = ("--cleartext", "--private", "--allow", target)
        with TunnelServer(*options, "--max-sockets-per-client", "1") as server:
            rules = ("-L", f"0:{target}", "-U", f"0:{target}")
            with Forward(server.url, *rules) as forward:
                with socket.create_connection(("127.0.0.1", forward.ports[0]), 20) as sock:
                    sock.sendall(b"x")
                    assert sock.recv(1) == b"x"
                    with pytest.raises(ConnectionError):
                        say(forward.ports[0])
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets:
                        packets.sendto(b"x", ("127.0.0.1", forward.ports[1]))
                        said = [read_line(forward.process, output="stderr")]
                        while "UDP" not in said[-1]:
                            assert said[-1], said
                            said.append(read_line(forward.process, output="stderr"))
                    assert sum(line.count("503") for line in said) == 2


def test_a_port_has_so_many_connections():
    with tcp_echo() as tcp:
        target = f"127.0.0.1:{tcp}"
        with TunnelServer("--cleartext", "--private", "--allow", target) as server:
            options = ("--max-connections", "1", "-L", f"0:{target}", "-D", "0")
            with Forward(server.url, *options) as forward:
                for port in forward.ports:
                    with socket.create_connection(("127.0.0.1", port), 20) as sock:
                        sock.sendall(b"\x05\x01\x00")
                        assert sock.recv(2)  # of the echo, or of SOCKS
                        with pytest.raises(ConnectionError):
                            say(port)


def test_denied_addresses():
    """Of --allow and of --stream alike."""
    with tcp_echo() as tcp:
        target = f"127.0.0.1:{tcp}"
        options = ("--allow", target, "--stream", f"bytestream:/db={target}")
        with TunnelServer("--cleartext", "--private", *options, "--deny", "127.0.0.0/8") as server:
            rules = ("-L", f"0:{target}", "-L", "0:bytestream:/db")
            with Forward(server.url, *rules) as forward:
                for port in forward.ports:
                    with pytest.raises(ConnectionError):
                        say(port)
            assert server.stop()[2].count("destination_ip_prohibited") == 2


def test_idle_tunnels_do_not_hold_up_the_end():
    with tcp_echo() as tcp:
        target = f"127.0.0.1:{tcp}"
        with TunnelServer("--cleartext", "--private", "--allow", target) as server:
            with Forward(server.url, "-L", f"0:{target}") as forward:
                with socket.create_connection(("127.0.0.1", forward.ports[0]), 20) as sock:
                    sock.sendall(b"x")
                    assert sock.recv(1) == b"x"
                    begun = time.monotonic()
                    server.process.send_signal(signal.SIGINT)
                    assert server.process.wait(20) == 0
                    assert time.monotonic() - begun < SOON_S


def test_it_is_stopped_while_it_connects():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [*COMMAND, "forward", url, "-D", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        silent.settimeout(30)
        with silent.accept()[0] as sock:
            assert sock.recv(1)  # of a ClientHello that nobody answers
            begun = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        assert time.monotonic() - begun < SOON_S
        assert process.returncode == 0
        assert b"0 connections to the server" in out
        assert b"Traceback" not in err
