"""Echo servers in processes of their own, each on a port of its own."""

import contextlib
import importlib.util
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from h2ws_fast.cli.certificate import make_certificate


@dataclass(frozen=True)
class Peer:
    """A module of `bench.peers`, what it needs installed, what it speaks."""

    name: str
    module: str
    needs: tuple
    protocol: str = "h2"


PEERS = [
    Peer("h2ws_fast, callback", "callback", ()),
    Peer("h2ws_fast, async for", "awaiting", ()),
    Peer("h2+wsproto by hand", "h2wsproto", ("h2", "wsproto")),
    Peer("hypercorn", "hypercorn", ("hypercorn",)),
    Peer("picows, HTTP/1.1", "picows", ("picows",), "h1"),
    Peer("websockets, HTTP/1.1", "websockets", ("websockets",), "h1"),
]
BARE = Peer("bare echo", "bare", (), "raw")


class NotStarted(Exception):
    pass


def missing(peer):
    """What is not installed that this peer needs."""
    return [name for name in peer.needs if importlib.util.find_spec(name) is None]


def processors():
    """Where the server and the client run: apart, if there are two."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, peer, certificate=None, under=()):
        self.peer = peer
        self.port = free_port()
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [*under, sys.executable, "-m", f"bench.peers.{peer.module}", str(self.port)]
            + [str(path) for path in certificate or ()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self.pid = self.process.pid
        readable, _, _ = select.select([self.process.stdout], [], [], 120 if under else 20)
        word, _, worker = (
            self.process.stdout.readline().partition(" ") if readable else ("", "", "")
        )
        if word.strip() != "ready":
            self.close()
            self.log.seek(0)
            lines = self.log.read().strip().splitlines()
            raise NotStarted(lines[-1] if lines else "it said nothing")
        self.pid = int(worker or self.pid)  # of the process that serves, where another started it
        cpu, _ = processors()
        if cpu is not None:
            for thread in os.listdir(f"/proc/{self.pid}/task"):
                with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                    os.sched_setaffinity(int(thread), {cpu})

    def close(self):
        if self.pid != self.process.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Hold:
    """A client that holds WebSockets (or bare connections) idle until it is closed."""

    def __init__(self, process):
        self.process = process

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def hold(server, count, tls=False, streams=1):
    """Open so many connections, with so many WebSockets on each; raises NotStarted."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.hold", server.peer.protocol, str(server.port)]
        + [str(count), str(streams)]
        + ["tls"] * tls,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if process.stdout.readline() != f"held {count}\n":
        process.kill()
        process.wait()
        raise NotStarted("the connections could not all be opened")
    return Hold(process)


@contextlib.contextmanager
def certificate():
    """A certificate for 127.0.0.1 and its key, made on the spot: (path, path)."""
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder, "cert.pem"), Path(folder, "key.pem")
        for path, octets in zip(paths, make_certificate("127.0.0.1"), strict=True):
            path.write_bytes(octets)
        yield paths
