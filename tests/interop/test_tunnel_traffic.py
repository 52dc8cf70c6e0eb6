"""Programs that fill what they are given, through `h2ws-fast forward` and `serve-tunnels`."""

import contextlib
import getpass
import json
import os
import subprocess
import sys

import pytest

from tests.cli.test_tunnels import Forward, TunnelServer
from tests.interop.test_tunnel_programs import forwarded, run
from tests.support.programs import free_port, program, read_line, running, wait_for_port

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="needs the signals and pipes of POSIX"
)


@contextlib.contextmanager
def serving(port, *arguments):
    """A program that serves on a port; gives its address."""
    with running(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for_port(port, process)
        yield f"127.0.0.1:{port}"


def test_iperf3():
    """UDP each way, a second at two megabits: loss, order, rate. Its control connection is TCP."""
    iperf = program("iperf3")
    port = free_port()
    target = f"127.0.0.1:{port}"
    serve = [iperf, "-s", "--forceflush", "-B", "127.0.0.1", "-p", str(port)]
    with running(serve, stdout=subprocess.PIPE, bufsize=0) as server:
        local = free_port()  # one number for both: it has one option for them
        rules = ("-L", f"{local}:{target}", "-U", f"{local}:{target}")
        with forwarded(*rules, allow=[target]):
            ask = [iperf, "-c", "127.0.0.1", "-p", str(local), "-u", "-b", "2M", "-l", "1200"]
            for way in ([], ["-R"]):
                # For each test it listens anew; whoever asks by connecting is one.
                while not (line := read_line(server)).startswith("Server listening"):
                    assert line, "iperf3 has ended"
                said = json.loads(run(*ask, "-t", "1", "--json", *way))["end"]
                (udp,) = [stream["udp"] for stream in said["streams"]]
                assert udp["packets"] > 150 and udp["out_of_order"] == 0
                # The kernel's queues may overflow where the machine is busy; nothing else loses any.
                assert udp["lost_packets"] <= udp["packets"] / 10
                assert said["sum_received"]["bits_per_second"] > 1e6


def test_rsync_by_a_stream_of_a_name(tmp_path):
    rsync = program("rsync")
    files = tmp_path / "files"
    (files / "deep").mkdir(parents=True)
    for number in range(50):
        (files / "deep" / str(number)).write_bytes(os.urandom(number * 100))
    (files / "large").write_bytes(os.urandom(3_000_000))
    config = tmp_path / "rsyncd.conf"
    config.write_text(
        f"use chroot = no\n[files]\npath = {files}\nread only = no\n"
        + (f"uid = {os.getuid()}\ngid = {os.getgid()}\n" if os.getuid() == 0 else "")
    )
    port = free_port()
    daemon = [rsync, "--daemon", "--no-detach", f"--config={config}", "--address=127.0.0.1"]
    with serving(port, *daemon, f"--port={port}") as target:
        with TunnelServer("--cleartext", "--stream", f"bytestream:/files={target}") as server:
            with Forward(server.url, "-L", "0:bytestream:/files") as forward:
                there = f"rsync://127.0.0.1:{forward.ports[0]}/files/"
                copy = f"{tmp_path / 'copy'}/"
                run(rsync, "-a", there, copy)
                run("diff", "-r", str(files), copy)
                # And back: of the large file only what has changed.
                with open(f"{copy}large", "r+b") as file:
                    file.seek(1_000_000)
                    file.write(b"changed")
                sent = run(rsync, "-a", "--no-whole-file", "--ignore-times", "--stats", copy, there)
                run("diff", "-r", str(files), copy)
                assert "Literal data: 3," not in sent and "Matched data: 0 " not in sent


def test_ssh_to_a_machine_that_has_no_port(tmp_path):
    """`-R`: sshd is where forward is, and ssh goes to a port of the server."""
    sshd = program("sshd", "openssh-server")
    ssh, keygen = program("ssh", "openssh-client"), program("ssh-keygen", "openssh-client")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)  # else made by what starts it, and demanded of root
    for name in ("host", "user"):
        run(keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name))
    config = tmp_path / "sshd_config"
    config.write_text(
        f"HostKey {tmp_path / 'host'}\nAuthorizedKeysFile {tmp_path / 'user.pub'}\n"
        "StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nPermitRootLogin yes\n"
    )
    port = free_port()
    daemon = [sshd, "-D", "-f", str(config), "-o", "ListenAddress=127.0.0.1", "-p", str(port)]
    with serving(port, *daemon) as target:
        with TunnelServer("--cleartext", "--allow-listen", "0") as server:
            with Forward(server.url, "-R", f"0:{target}") as forward:
                options = [
                    *("-F", os.devnull, "-i", str(tmp_path / "user"), "-p", str(forward.ports[0])),
                    *("-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={os.devnull}"),
                    *("-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"),
                ]
                large = os.urandom(300_000).hex()
                ask = [ssh, *options, f"{getpass.getuser()}@127.0.0.1"]
                assert run(*ask, "cat && echo done", input=large) == large + "done\n"
