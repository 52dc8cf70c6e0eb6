"""Programs that know nothing of tunnels, through `h2ws-fast forward` and `serve-tunnels`; HTTP/3."""

import asyncio
import contextlib
import http.server
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from h2ws_fast import serve
from h2ws_fast.masque import UdpProxy
from tests.cli.test_tunnels import Forward, TunnelServer
from tests.support.certificates import write_certificate
from tests.support.programs import free_port, module, program, running, wait_for_port
from tests.support.within import within

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="needs the signals and pipes of POSIX"
)


EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "http3.py"


@contextlib.contextmanager
def forwarded(*rules, allow=(), streams=()):
    """A server that leads to these targets and streams, and forward before it; its ports."""
    allowed = [word for each in allow for word in ("--allow", each)]
    named = [word for each in streams for word in ("--stream", each)]
    with TunnelServer("--cleartext", "--private", *allowed, *named) as server:
        with Forward(server.url, *rules) as forward:
            yield forward.ports


def run(*arguments, **options):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_redis(tmp_path):
    redis = program("redis-server")
    client = program("redis-cli", "redis-tools")
    port = free_port()
    arguments = [redis, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", tmp_path]
    with running(arguments, stdout=subprocess.DEVNULL) as process:
        wait_for_port(port, process)
        target = f"127.0.0.1:{port}"
        with forwarded("-L", f"0:{target}", allow=[target]) as (local,):
            ask = [client, "-p", str(local)]
            assert run(*ask, "set", "key", "value").strip() == "OK"
            assert run(*ask, "get", "key").strip() == "value"
            # Ten thousand in one go, and their answers.
            commands = "".join(f"incr n{i % 7}\n" for i in range(10_000))
            assert len(run(*ask, input=commands).split()) == 10_000
            assert int(run(*ask, "get", "n0")) == 1429


class Resolver:
    """Answers every question for an A record with 192.0.2.7."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            question, sender = self.sock.recvfrom(4096)
            if len(question) < 12:
                return
            end = question.index(0, 12) + 5  # behind the name, its type and class
            head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0)
            record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes((192, 0, 2, 7))
            self.sock.sendto(head + question[12:end] + record, sender)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"end", ("127.0.0.1", self.port))
        self.thread.join(10)
        self.sock.close()


def test_dig():
    dig = program("dig", "bind9-dnsutils")
    with Resolver() as resolver:
        target = f"127.0.0.1:{resolver.port}"
        with forwarded("-U", f"0:{target}", allow=[target]) as (local,):
            ask = [dig, "@127.0.0.1", "-p", str(local), "+short", "+tries=1", "+time=10"]
            assert run(*ask, "some.example", "A").strip() == "192.0.2.7"


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.path.encode() * 1000
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def test_curl_by_socks():
    curl = program("curl")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            port = server.server_address[1]
            with forwarded("-D", "0", allow=[f"localhost:{port}"]) as (local,):
                ask = [curl, "-s", "-f", "--noproxy", "", "--socks5-hostname", f"127.0.0.1:{local}"]
                assert run(*ask, f"http://localhost:{port}/page") == "/page" * 1000
                # By another name, it is another target.
                denied = subprocess.run([*ask, f"http://127.0.0.1:{port}/page"], timeout=60)
                assert denied.returncode == 97  # CURLE_PROXY
        finally:
            server.shutdown()
            thread.join()


def test_git_daemon(tmp_path):
    """By a byte stream, of which the client knows the name alone, both ways; and by CONNECT."""
    git = program("git")
    known = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for name in ("AUTHOR", "COMMITTER"):
        known.update({f"GIT_{name}_NAME": "me", f"GIT_{name}_EMAIL": "me@example.org"})
    origin = tmp_path / "origin"
    origin.mkdir()
    run(git, "init", "-q", cwd=origin, env=known)
    (origin / "large").write_bytes(os.urandom(500_000))
    run(git, "add", "large", cwd=origin, env=known)
    run(git, "commit", "-q", "-m", "one", cwd=origin, env=known)
    port = free_port()
    daemon = [git, "daemon", "--export-all", f"--base-path={tmp_path}", f"--port={port}"]
    daemon.append("--enable=receive-pack")
    with running([*daemon, "--listen=127.0.0.1"], env=known, stderr=subprocess.DEVNULL) as process:
        if process.poll() is not None:
            pytest.skip("git has no daemon here")
        wait_for_port(port, process)
        target = f"127.0.0.1:{port}"
        stream = "bytestream:/git"
        rules = ("-L", f"0:{stream}", "-L", f"0:{target}")
        with forwarded(*rules, allow=[target], streams=[f"{stream}={target}"]) as (named, dialled):
            copy = tmp_path / "copy"
            run(git, "clone", "-q", f"git://127.0.0.1:{named}/origin", str(copy), env=known)
            assert (copy / "large").read_bytes() == (origin / "large").read_bytes()
            (copy / "other").write_bytes(os.urandom(500_000))
            run(git, "add", "other", cwd=copy, env=known)
            run(git, "commit", "-q", "-m", "two", cwd=copy, env=known)
            run(git, "push", "-q", "origin", "HEAD:refs/heads/two", cwd=copy, env=known)
            again = tmp_path / "again"
            asked = ("clone", "-q", "-b", "two", f"git://127.0.0.1:{dialled}/origin", str(again))
            run(git, *asked, env=known)
            assert (again / "other").read_bytes() == (copy / "other").read_bytes()


def test_http3(tmp_path):
    """aioquic's server, and its client in `examples/http3.py`: QUIC over HTTP/2."""
    module("aioquic")
    if not EXAMPLE.exists():
        pytest.skip("examples/ is not here: not a source tree")
    from aioquic.asyncio import QuicConnectionProtocol
    from aioquic.asyncio import serve as serve_quic
    from aioquic.h3.connection import H3_ALPN, H3Connection
    from aioquic.h3.events import HeadersReceived
    from aioquic.quic.configuration import QuicConfiguration

    certificate, key = write_certificate(tmp_path, "rsa")
    body = os.urandom(200_000)

    class Server(QuicConnectionProtocol):
        http = None

        def quic_event_received(self, event):
            self.http = self.http or H3Connection(self._quic)
            for happened in self.http.handle_event(event):
                if isinstance(happened, HeadersReceived):
                    self.http.send_headers(happened.stream_id, [(b":status", b"200")])
                    self.http.send_data(happened.stream_id, body, True)
                    self.transmit()

    async def main():
        theirs = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
        theirs.load_cert_chain(certificate, key)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = await serve_quic("127.0.0.1", port, configuration=theirs, create_protocol=Server)
        proxy = UdpProxy([f"127.0.0.1:{port}"], private=True)
        async with serve(None, "127.0.0.1", 0, tunnels={"connect-udp": proxy}) as front:
            uri = f"http://127.0.0.1:{front.sockets[0].getsockname()[1]}"
            paths = filter(None, (str(EXAMPLE.parent.parent), os.environ.get("PYTHONPATH")))
            client = await asyncio.create_subprocess_exec(
                *(sys.executable, EXAMPLE, uri, "127.0.0.1", str(port), certificate),
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )
            out, _ = await client.communicate()
        server.close()
        assert (client.returncode, out) == (0, b"200, 200000 octets\n")
        assert proxy.stats()["to_clients"] > 150

    within(30, main())
