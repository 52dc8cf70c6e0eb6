"""`h2ws-fast forward` and `h2ws-fast serve-tunnels` as their users meet them: other processes."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest

from h2ws_fast.cli import main
from tests.support.programs import COMMAND, Command, end, free_port, read_line

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="needs the signals and pipes of POSIX"
)


TWICE = ("--stream", "db:/a=b:1", "--stream", "db:/b=b:1", "--stream", "DB:/a=c:1")


class TunnelServer(Command):
    """`h2ws-fast serve-tunnels` on a free port."""

    def __init__(self, *options):
        super().__init__("serve-tunnels", "--listen", "127.0.0.1:0", *options)

    def _first_words(self):
        said = ""
        while "listening on" not in said:
            line = read_line(self.process)
            assert line, said
            said += line
        self.said = said
        return said


class Forward:
    """`h2ws-fast forward`: the ports that it listens on are in `ports`."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [*COMMAND, "forward", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self.ports = []
        line = ""
        while line != "ready\n":
            line = read_line(self.process)
            if not line:
                words = self.process.communicate()[1].decode()
                raise AssertionError(words)
            found = re.match(r"forwarding \w+ 127\.0\.0\.1:(\d+)", line)
            if found:
                self.ports.append(int(found[1]))

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        end(self.process, 10)
        self.process.stdout.close()
        self.process.stderr.close()


@contextlib.contextmanager
def tcp_echo():
    """A server of this process; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                with sock, contextlib.suppress(ConnectionError):
                    while data := sock.recv(65536):
                        sock.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def udp_echo():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def serve():
            while True:
                data, sender = sock.recvfrom(65536)
                if data == b"end":
                    return
                sock.sendto(data, sender)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = sock.getsockname()[1]
        yield port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"end", ("127.0.0.1", port))
        thread.join(10)


def say(port, data=b"hello"):
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        got = b""
        while piece := sock.recv(65536):
            got += piece
        return got


def test_everything_through_one_server():
    with tcp_echo() as tcp, udp_echo() as udp, tcp_echo() as forbidden:
        allowed = [f"127.0.0.1:{port}" for port in (tcp, udp)]
        options = [word for target in allowed for word in ("--allow", target)]
        with TunnelServer("--private", "--user", "me:secret", *options) as server:
            assert "whoever reaches" not in server.said
            url = server.url.replace("//", "//me:secret@")
            with Forward(
                url,
                "--insecure",
                *("-L", f"0:127.0.0.1:{tcp}", "-U", f"0:127.0.0.1:{udp}", "-D", "0"),
                *("-L", f"0:127.0.0.1:{forbidden}"),
            ) as forward:
                to_tcp, not_allowed, to_udp, socks = forward.ports
                assert say(to_tcp) == b"hello"
                with pytest.raises(ConnectionError):
                    say(not_allowed)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.settimeout(20)
                    sock.sendto(b"packet", ("127.0.0.1", to_udp))
                    assert sock.recv(100) == b"packet"
                with socket.create_connection(("127.0.0.1", socks), 20) as sock:
                    sock.sendall(
                        b"\x05\x01\x00\x05\x01\x00\x01\x7f\0\0\1" + tcp.to_bytes(2, "big") + b"hi"
                    )
                    got = b""
                    while len(got) < 14:
                        got += sock.recv(14 - len(got))
                    assert got[-2:] == b"hi"
                forward.process.send_signal(signal.SIGUSR1)
                assert read_line(forward.process).startswith("1 connections to the server")
                told = read_line(forward.process)
                assert re.search(r": 0 open, 1 in all, 0 failed, 5 octets sent, 5 received", told)
                forward.process.send_signal(signal.SIGINT)
                out, err = forward.process.communicate(timeout=60)
                assert forward.process.returncode == 0
                assert out.count(b" in all, ") == 3 + 5  # the rest, and all once more
                assert b"status 403" in err
            code, _, err = server.stop()
            assert code == 0
            assert "was refused with 403" in err


def test_who_is_not_let_in():
    with tcp_echo() as tcp:
        target = f"127.0.0.1:{tcp}"
        with TunnelServer(
            *("--cleartext", "--private", "--allow", target, "--token", "right")
        ) as server:
            rule = f"0:{target}"
            for said in ([], ["--token", "wrong"]):
                with Forward(server.url, "-L", rule, *said) as forward:
                    with pytest.raises(ConnectionError):
                        say(forward.ports[0])
            for said in (["--token", "right"], ["--header", "Authorization: Bearer right"]):
                with Forward(server.url, "-L", rule, *said) as forward:
                    assert say(forward.ports[0]) == b"hello"


def test_private_targets_have_to_be_allowed_twice():
    with tcp_echo() as tcp, TunnelServer("--cleartext", "--allow", f"127.0.0.1:{tcp}") as server:
        assert "whoever reaches this port may use it" in server.said
        with Forward(server.url, "-L", f"0:127.0.0.1:{tcp}") as forward:
            with pytest.raises(ConnectionError):
                say(forward.ports[0])


def test_streams_by_name():
    """Whoever has the name need not know where it leads, and gets nowhere else."""
    with tcp_echo() as tcp, tcp_echo() as other:
        streams = ["--stream", f"bytestream:/echo=127.0.0.1:{tcp}"]
        streams += ["--stream", "db:/=localhost:1"]
        with TunnelServer("--cleartext", "--private", *streams) as server:
            assert "2 targets" in server.said
            with Forward(
                server.url,
                *("-L", "0:bytestream:/echo", "-L", "0:bytestream:/other", "-L", "0:db:/echo"),
                *("-L", "0:other:/echo", "-L", f"0:127.0.0.1:{other}", "-L", f"0:127.0.0.1:{tcp}"),
            ) as forward:
                assert say(forward.ports[0]) == b"hello"
                for port in forward.ports[1:]:
                    with pytest.raises(ConnectionError):
                        say(port)


def test_the_other_way():
    """The server listens, the target is here; it listens again after a new start."""
    at = free_port()
    with tcp_echo() as tcp:
        with TunnelServer("--cleartext", "--allow-listen", str(at)) as server:
            rule = f"{at}:localhost:{tcp}"
            with Forward(server.url, "-R", rule) as forward:
                assert forward.ports == [at]
                assert say(at) == b"hello"
                forward.process.send_signal(signal.SIGUSR1)
                read_line(forward.process)
                told = read_line(forward.process)
                assert told.startswith(f"REMOTE 127.0.0.1:{at} -> localhost:{tcp}: ")
                assert " 1 in all, 0 failed, " in told  # its end may not have come yet
            with pytest.raises(ConnectionError):
                say(at)
            with pytest.raises(AssertionError, match="the server does not allow it"):
                Forward(server.url, "-R", f"0:localhost:{tcp}")
            with Forward(server.url, "-R", rule):
                assert say(at) == b"hello"
                with pytest.raises(AssertionError, match="the port is in use there"):
                    Forward(server.url, "-R", rule)
            server.process.send_signal(signal.SIGUSR1)
            assert read_line(server.process) == "CONNECT: 0 sockets, 0 refused\n"
            assert read_line(server.process).startswith("connect-udp: 0 sockets, 0 clients, ")
            told = read_line(server.process)
            assert told.startswith("tcp-listen: ") and "2 granted, 2 refused, 2 accepted" in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["forward", "http://127.0.0.1:1"], "nothing is to be forwarded"),
        (["forward", "http://127.0.0.1:1", "-L", "80"], "[bind:]port:host:hostport"),
        (["forward", "http://127.0.0.1:1", "-D", "x:y:z"], "[bind:]port"),
        (["forward", "http://127.0.0.1:1", "-D", "0"], "h2ws-fast: http://127.0.0.1:1:"),
        (["forward", "no uri", "-D", "0"], "h2ws-fast: no uri:"),
        (["forward", "http://127.0.0.1:1", "-L", "80:to ken:/a"], "token:/path"),
        (["forward", "http://127.0.0.1:1", "-R", "localhost:80:a:80"], "-R"),
        (["serve-tunnels"], "nothing is allowed"),
        (["serve-tunnels", "--allow-listen", "9-8"], "[BIND:]PORT[-LAST]"),
        (["serve-tunnels", "--stream", "tcp-listen:/a=b:1"], "a meaning of its own"),
        (["serve-tunnels", "--stream", "db:/a"], "TOKEN:/PATH=HOST:PORT"),
        (["serve-tunnels", "--stream", "db:/a=b"], "host:port"),
        (["serve-tunnels", "--stream", "db=b:1"], "token:/path"),
        (["serve-tunnels", "--stream", "websocket:/a=b:1"], "a meaning of its own"),
        (
            [*("serve-tunnels", "--certfile", "/none"), *TWICE],
            "--stream db:/a is given twice",
        ),
        (["serve-tunnels", "--allow", "a:0"], "host:port"),
        (["serve-tunnels", "--allow", "a:1", "--user", "me"], "NAME:PASSWORD"),
        (["serve-tunnels", "--allow", "a:1", "--user", "me:"], "NAME:PASSWORD"),
        (["serve-tunnels", "--allow", "a:1", "--token", ""], "it is empty"),
        (["serve-tunnels", "--allow", "a:1", "--token", "@/dev/null"], "/dev/null is empty"),
        (["serve-tunnels", "--allow", "a:1", "--listen", "x:y"], "--listen"),
        (["serve-tunnels", "--allow", "a:1", "--certfile", "/none"], "cannot load"),
    ],
)
def test_mistakes_are_told(arguments, words, capsys):
    try:
        code = main(arguments)
    except SystemExit as left:  # argparse
        code = left.code
    assert code
    assert words in capsys.readouterr().err
