"""Echo over HTTP/1.1: a connection for each WebSocket, beside servers that speak nothing else."""

import contextlib
import re
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from .loopback import load
from .report import Table
from .servers import PEERS, NotStarted, Peer, Server, missing

CALLBACK = Peer("h2ws_fast, callback", "callback", (), "h1")
AWAITING = Peer("h2ws_fast, async for", "awaiting", (), "h1")
PICOWS, WEBSOCKETS = (peer for peer in PEERS if peer.protocol == "h1")

# connections, streams, in flight on each, octets. A lone one sleeps between two messages: what it
# takes is the system's, mostly, and the demands are of those with work to do.
LONE = ("1 x 1, 32 B", (1, 1, 1, 32))
BUSY = [
    ("100 x 1, 32 B", (100, 1, 1, 32)),
    ("100 x 4, 125 B", (100, 1, 4, 125)),
    ("20 x 4, 16 KiB", (20, 1, 4, 16384)),
]
COUNTED = (100, 1, 1, 125)
SHORT_S, LONG_S = 2.0, 8.0


def run(bench):
    peers = [CALLBACK, AWAITING]
    for peer in (PICOWS, WEBSOCKETS):
        if absent := missing(peer):
            bench.note(f"left out: {peer.name}: {' and '.join(absent)} not installed")
        else:
            peers.append(peer)
    timed(bench, peers)
    if PICOWS in peers:
        instructions(bench)


def timed(bench, peers):
    runs, seconds = (1, 0.2) if bench.quick else (7, 0.5)
    shapes = [LONE, *BUSY]
    table = Table(
        "HTTP/1.1, cleartext: server CPU µs a message",
        [label for label, _ in shapes],
        note="connections x in flight",
    )
    found = {}
    with contextlib.ExitStack() as stack:
        servers = []
        for peer in peers:
            servers.append(Server(peer))
            stack.callback(servers[-1].close)
        for label, shape in shapes:
            bench.progress(label)
            got = {peer: [] for peer in peers}
            for _ in range(runs):
                for server in servers:
                    got[server.peer].append(answered(load(server, shape, seconds, False)))
            for peer in peers:
                found[peer, label] = [answer["server_us"] for answer in got[peer]]
    for peer in peers:
        table.add(peer.name, *(statistics.median(found[peer, label]) for label, _ in shapes))
    bench.table(table)

    def worst(ours, theirs, compare):
        """The worst of the busy shapes: of each the median over the runs."""
        return max(
            statistics.median(map(compare, found[ours, label], found[theirs, label]))
            for label, _ in BUSY
        )

    bench.figure("h1 await", worst(AWAITING, CALLBACK, lambda a, b: a - b))
    if PICOWS in peers:
        bench.figure("h1 picows", worst(CALLBACK, PICOWS, lambda a, b: a / b))
    if WEBSOCKETS in peers:
        bench.figure("h1 websockets", worst(AWAITING, WEBSOCKETS, lambda a, b: a / b))


def answered(answer):
    if "error" in answer:
        raise RuntimeError(f"the load client failed: {answer['error']}")
    return answer


class CountedServer(Server):
    """A server under valgrind, whose instructions are counted from one look to the next."""

    def __init__(self, peer):
        self.folder = tempfile.TemporaryDirectory()
        self.file = Path(self.folder.name, "callgrind.out")
        command = "valgrind --tool=callgrind --instr-atstart=no".split()
        super().__init__(peer, under=(*command, f"--callgrind-out-file={self.file}"))
        self.looks = 0

    def begin(self):
        """Count from here on."""
        self._control("--instr=on")

    def counted(self):
        """Instructions since `begin`, or since the last look."""
        self._control("--dump")
        self.looks += 1
        octets = Path(f"{self.file}.{self.looks}").read_text()
        return int(re.search(r"^(?:summary|totals): (\d+)", octets, re.M)[1])

    def _control(self, order):
        command = ["callgrind_control", order, str(self.pid)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def close(self):
        super().close()
        self.folder.cleanup()


def instructions(bench):
    """The same work in two lengths: what opening connections takes falls out."""
    if not shutil.which("callgrind_control"):
        bench.note("left out: instructions over HTTP/1.1: valgrind is not installed")
        return
    figures = {}
    for peer in (CALLBACK, PICOWS):
        bench.progress(f"instructions: {peer.name}")
        try:
            server = CountedServer(peer)
        except NotStarted as error:
            bench.note(f"left out: instructions of {peer.name}: {error}")
            return
        with contextlib.closing(server):
            seen = []
            answered(load(server, COUNTED, 1.0, False))
            server.begin()
            for seconds in (SHORT_S, LONG_S):
                messages = answered(load(server, COUNTED, seconds, False, warm_up=0.0))["messages"]
                seen.append((server.counted(), messages))
        (less, few), (more, many) = seen
        figures[peer] = (more - less) / (many - few)
    table = Table(
        "HTTP/1.1: instructions a message, 100 connections, 125 B, one in flight",
        ["instructions"],
        note="user space alone, by valgrind",
    )
    for peer, figure in figures.items():
        table.add(peer.name, figure)
    bench.table(table)
    bench.figure("h1 instructions", figures[CALLBACK] / figures[PICOWS])
