"""Echo over the loopback interface: the server's CPU time a message, beside other servers."""

import contextlib
import json
import statistics
import subprocess
import sys

from .report import Table
from .servers import PEERS, NotStarted, Server, certificate, missing, processors

# connections, streams (HTTP/1.1: as many connections), in flight on each, octets; the last: also
# in the default run
CLEAR = [
    ("1 x 1 x 1, 32 B", (1, 1, 1, 32), True),
    ("1 x 100 x 4, 32 B", (1, 100, 4, 32), True),
    ("1 x 100 x 4, 1 KiB", (1, 100, 4, 1024), False),
    ("1 x 100 x 4, 16 KiB", (1, 100, 4, 16384), True),
    ("10 x 100 x 1, 32 B", (10, 100, 1, 32), True),
    ("1 x 10 x 1, 1 MiB", (1, 10, 1, 1 << 20), False),
]
TLS = [
    ("1 x 100 x 4, 32 B", (1, 100, 4, 32), True),
    ("1 x 100 x 4, 16 KiB", (1, 100, 4, 16384), False),
]


def load(server, shape, seconds, tls, warm_up=0.1, fragments=False):
    """Run the client against a server; return its answer. `fragments`: it may cut messages."""
    connections, streams, in_flight, size = shape
    _, cpu = processors()
    command = [sys.executable, "-m", "bench.load"]
    for name, value in (
        ("protocol", server.peer.protocol),
        ("port", server.port),
        ("pid", server.pid),
        ("connections", connections),
        ("streams", streams),
        ("in-flight", in_flight),
        ("size", size),
        ("seconds", seconds),
        ("warm-up", warm_up),
    ):
        command += [f"--{name}", str(value)]
    if tls:
        command.append("--tls")
    if fragments:
        command.append("--fragments")
    if cpu is not None:
        command += ["--cpu", str(cpu)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=90)
    if not result.stdout:
        return {"error": result.stderr.strip().splitlines()[-1]}
    return json.loads(result.stdout)


def run(bench):
    whole = bench.only and not bench.quick
    runs = 1 if bench.quick else 5 if whole else 2
    seconds = 0.2 if bench.quick else 0.4 if whole else 0.25
    with certificate() as files:
        for tls, every in ((False, CLEAR), (True, TLS)):
            shapes = [(label, shape) for label, shape, often in every if often or whole]
            transport = "TLS" if tls else "cleartext"
            with contextlib.ExitStack() as stack:
                servers = []
                for peer in PEERS:
                    if absent := missing(peer):
                        bench.note(f"left out: {peer.name}: {' and '.join(absent)} not installed")
                        continue
                    try:
                        server = Server(peer, files if tls else None)
                    except NotStarted as error:
                        bench.note(f"left out: {peer.name} over {transport}: {error}")
                        continue
                    stack.callback(server.close)
                    servers.append(server)
                bench.table(measured(bench, servers, shapes, runs, seconds, tls))


def measured(bench, servers, shapes, runs, seconds, tls):
    transport = "TLS" if tls else "cleartext"
    table = Table(
        f"loopback over {transport}: server CPU µs a message",
        [label for label, _ in shapes],
        note="connections x streams x in flight; HTTP/1.1: one connection for each WebSocket. The "
        "client is written in Python and slower than the fastest server, whose reads are "
        "smaller for it",
    )
    figures = {server.peer.name: [] for server in servers}
    for label, shape in shapes:
        bench.progress(f"{transport}, {label}")
        answers = {server.peer.name: [] for server in servers}
        for _ in range(runs):
            for server in servers:
                answers[server.peer.name].append(load(server, shape, seconds, tls))
        for name, got in answers.items():
            failed = [answer["error"] for answer in got if "error" in answer]
            if failed:
                bench.note(f"{name} over {transport}, {label}: {failed[0]}")
            good = [answer["server_us"] for answer in got if "error" not in answer]
            figures[name].append(statistics.median(good) if good else None)
    for name, values in figures.items():
        table.add(name, *values)
    return table
