"""One small ASGI application behind each server: its CPU time a request and a message."""

import argparse
import contextlib
import http.client
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from . import requests
from .contenders import Different, ratio
from .hold import raise_file_limit
from .load import Failed, server_cpu
from .loopback import load
from .memory import resident
from .peers.asgi.application import TEXT
from .report import Table
from .servers import NotStarted, Peer, Server, hold, missing, processors

OURS = "h2ws_fast in uvicorn"
ALONE = "h2ws_fast alone"
ZTTP = "uvicorn + zttp"
HYPERCORN = "hypercorn"
HTTP1 = "uvicorn, HTTP/1.1"
PEERS = [
    Peer(OURS, "asgi.ours", ("uvicorn",)),
    Peer(ALONE, "asgi.standalone", ()),
    Peer(ZTTP, "asgi.zttp", ("uvicorn", "zttp")),
    Peer(HYPERCORN, "asgi.hypercorn", ("hypercorn",)),
    Peer("granian", "asgi.granian", ("granian",)),
    Peer(HTTP1, "asgi.http1", ("uvicorn", "httptools", "websockets"), "h1"),
]
WITHOUT_WEBSOCKETS = (ZTTP, "granian")  # none over HTTP/2
BODY = random.Random("a body").randbytes(10 * 1024)
IN_FLIGHT = 100
# zttp breaks off after some 4000 requests of a connection: several of these in turn, for everybody.
REQUESTS = 2000
WEBSOCKETS = (10, 10, 4, 32)  # connections, streams on each, messages on the way, octets


class Requests:
    """One kind of request, sent by h2load where there is one, or by `bench.requests`."""

    def __init__(self, title, body, expected, count, path):
        self.title, self.body, self.expected, self.count = title, body, expected, count
        self.path = path  # the file with the body, or None
        self.h2load = shutil.which("h2load")

    def command(self, server):
        """What sends `count` requests on a connection (HTTP/1.1: on a hundred)."""
        if self.h2load is None:
            if server.peer.protocol == "h1":
                return None
            command = [sys.executable, "-m", "bench.requests", "--port", str(server.port)]
            command += ["--requests", str(self.count), "--in-flight", str(IN_FLIGHT)]
            return command + (["--body", self.path] if self.path else ["--expect", TEXT.decode()])
        if server.peer.protocol == "h1":
            command = [self.h2load, "--h1", "-n", str(self.count * 5), "-c", str(IN_FLIGHT)]
        else:
            command = [self.h2load, "-n", str(self.count), "-c", "1", "-m", str(IN_FLIGHT)]
        command += ["-d", self.path] if self.path else []
        return [*command, f"http://127.0.0.1:{server.port}/"]

    def compare(self, server):
        """See that the server answers what the application says; raise Different."""
        try:
            if server.peer.protocol == "h1":
                answer_of_http1(server.port, self.body, self.expected)
            else:
                options = argparse.Namespace(
                    port=server.port, tls=False, protocol="h2", requests=20, in_flight=5
                )
                requests.run(options, self.body, self.expected)
        except (Failed, OSError, http.client.HTTPException) as error:
            raise Different(f"{self.title}: {server.peer.name}: {error!r}") from None

    def measure(self, server, seconds):
        """CPU µs a request of the server, or None where nothing here can ask it."""
        command = self.command(server)
        if command is None:
            return None
        _, cpu = processors()
        if cpu is not None and shutil.which("taskset"):
            command = ["taskset", "-c", str(cpu), *command]
        count, spent = 0, server_cpu(server.pid)
        end = time.monotonic() + seconds
        while not count or time.monotonic() < end:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            count += self.answered(done)
        return 1e6 * (server_cpu(server.pid) - spent) / count

    def answered(self, done):
        if self.h2load is None:
            if done.returncode:
                raise Failed(done.stderr.strip().splitlines()[-1])
            return self.count
        told = re.search(r"requests: (\d+) total, .* (\d+) succeeded, .*", done.stdout)
        if told is None or told[1] != told[2] or f"{told[1]} 2xx" not in done.stdout:
            raise Failed(told[0] if told else f"h2load: {done.stderr.strip() or done.stdout!r}")
        return int(told[1])


def answer_of_http1(port, body, expected):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST" if body else "GET", "/", body or None)
        answer = connection.getresponse()
        if answer.status != 200 or answer.read() != expected:
            raise Failed("an answer differs from what was expected")
    finally:
        connection.close()


def run(bench):
    runs, seconds = (1, 0.2) if bench.quick else (5, 0.4)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path = os.path.join(folder, "body")
        with open(path, "wb") as file:
            file.write(BODY)
        servers = [stack.enter_context(server) for server in started(bench)]
        count = REQUESTS // 10 if bench.quick else REQUESTS
        kinds = [
            Requests("GET", b"", TEXT, count, None),
            Requests("POST 10 KiB", BODY, BODY, count, path),
        ]
        if kinds[0].h2load is None:
            bench.note(
                "no h2load (nghttp2-client): the requests come from bench.requests, in Python; "
                "no requests over HTTP/1.1"
            )
        columns = []
        for kind in kinds:
            bench.progress(f"{kind.title}: comparing {len(servers)} servers")
            for server in servers:
                kind.compare(server)
            columns.append(column(bench, kind.title, servers, runs, seconds, kind.measure))
        websockets = [server for server in servers if server.peer.name not in WITHOUT_WEBSOCKETS]
        columns.append(column(bench, "WebSocket echo", websockets, runs, seconds, echoes))
    table = Table(
        "asgi: server CPU µs a request or message, one application behind each",
        ["GET", "POST 10 KiB", "WebSocket echo"],
        note="cleartext. Requests: 1 connection x 100 streams; HTTP/1.1: 100 connections. "
        "WebSockets: 10 connections x 10 streams x 4 in flight, 32 octets; HTTP/1.1: 100 "
        "connections. zttp and granian have no WebSockets over HTTP/2",
    )
    for server in servers:
        name = server.peer.name
        table.add(name, *(middle(each.get(name)) for each in columns))
    bench.table(table)
    for each, key in zip(columns, ("get", "post", "ws"), strict=True):
        for name, word in ((HYPERCORN, "hypercorn"), (ZTTP, "zttp"), (HTTP1, "websockets")):
            if each.get(OURS) and each.get(name):
                bench.figure(f"asgi {key} {word}", ratio(each[name], each[OURS]))
    idle(bench)


def middle(values):
    return statistics.median(values) if values else None


def started(bench):
    """Start what can run here, and say what cannot."""
    for peer in PEERS:
        if absent := missing(peer):
            bench.note(
                f"left out: {peer.name}: {' and '.join(absent)} not installed "
                '(pip install -e ".[bench-asgi]")'
            )
            continue
        try:
            server = Server(peer)
        except NotStarted as error:
            bench.note(f"left out: {peer.name}: {error}")
            continue
        yield contextlib.closing(server)


def column(bench, title, servers, runs, seconds, measure):
    """{name: [µs of each run]}, the servers taking turns."""
    times = {server.peer.name: [] for server in servers}
    for turn in range(runs):
        bench.progress(f"{title}: turn {turn + 1} of {runs}")
        for server in servers:
            name = server.peer.name
            if name not in times:
                continue
            try:
                took = measure(server, seconds)
            except (Failed, subprocess.TimeoutExpired) as error:
                bench.note(f"{name}: {title}: {error}")
                took = None
            if took is None:
                del times[name]
            else:
                times[name].append(took)
    return times


def echoes(server, seconds):
    """CPU µs a message; the client compares the first echo of each WebSocket with what it sent."""
    answer = load(server, WEBSOCKETS, seconds, False)
    if "error" in answer:
        raise Failed(answer["error"])
    return answer["server_us"]


def idle(bench):
    """Resident octets of the server for an idle WebSocket, beside the application's own."""
    streams = 500
    table = Table(
        "asgi: resident octets an idle WebSocket",
        ["WebSockets", "octets each", "application's own", "on top"],
        note=f"{streams} on each connection, one message echoed on each. The application's own: a "
        "task, its coroutines and the scope, in a process without any server",
    )
    raise_file_limit()
    for peer, connections in ((PEERS[0], 20), (PEERS[1], 20), (PEERS[3], 4)):
        if missing(peer):
            continue
        count = streams * (2 if bench.quick else connections)
        bench.progress(f"{count} idle WebSockets: {peer.name}")
        command = [sys.executable, "-m", "bench.peers.asgi.bare", str(count)]
        own = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        try:
            with contextlib.ExitStack() as stack:
                server = stack.enter_context(contextlib.closing(Server(peer)))
                # The first ones stay, so that the others do not live in what they left free.
                stack.enter_context(contextlib.closing(hold(server, 1, streams=streams)))
                time.sleep(0.3)
                before = resident(server.pid)
                many = hold(server, count // streams, streams=streams)
                stack.enter_context(contextlib.closing(many))
                time.sleep(0.5)
                each = (resident(server.pid) - before) / count
        except NotStarted as error:
            bench.note(f"left out: idle WebSockets of {peer.name}: {error}")
            continue
        table.add(peer.name, count, each, own, each - own)
        if peer.name == OURS:
            bench.figure("asgi idle", each - own)
    bench.table(table)
