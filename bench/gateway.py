"""The gateway's CPU time a message beside other proxies', and what an idle tunnel keeps there."""

import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .hold import raise_file_limit
from .loopback import load
from .memory import resident
from .report import Table
from .servers import PEERS, NotStarted, Peer, Server, free_port, hold, missing, processors

OURS = "h2ws_fast gateway"
AWARE = "h2ws_fast gateway, aware"  # which reads the messages
HAPROXY = "HAProxy"
SHARING = "HAProxy, http-reuse always"  # by itself it makes a connection for each client
NGHTTPX = "nghttpx"
BY_HAND = "h2+wsproto by hand"
WAYS = (("h2", "h1"), ("h1", "h2"))
SIZES = ((125, "125 B"), (16384, "16 KiB"))
WEBSOCKETS = 100
TUNNELS = 10_000
STREAMS = 100  # of them on each connection of HTTP/2
CONNECTIONS = 100  # for them over HTTP/2 to the backend: as many tunnels as a server allows on each

HAPROXY_CONFIG = """
global
    maxconn 4000
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
frontend front
    bind 127.0.0.1:{port} {front}
    default_backend back
backend back
    http-reuse {reuse}
    server it 127.0.0.1:{back} {behind}
"""


def command_of(name, way, port, back, folder, options=()):
    """How a proxy is run, from a version of HTTP on its port to another on that of the backend;
    None where it cannot."""
    front, behind = way
    if name in (OURS, AWARE):
        reads = ["--websocket-aware"] if name == AWARE else []
        return [
            *(sys.executable, "-m", "h2ws_fast", "gateway", "--cleartext"),
            *("--listen", f"127.0.0.1:{port}", "--upstream", f"http://127.0.0.1:{back}"),
            *("--http", behind, *reads, *options),
        ]
    if name in (HAPROXY, SHARING):
        config = Path(folder, f"haproxy-{port}.cfg")
        version = {"h1": "proto h1", "h2": "proto h2"}
        config.write_text(
            HAPROXY_CONFIG.format(
                port=port,
                back=back,
                front=version[front],
                behind=version[behind],
                reuse="always" if name == SHARING else "safe",
            )
        )
        return [program("haproxy"), "-db", "-q", "-f", str(config)]
    if name == NGHTTPX:
        version = {"h1": "http/1.1", "h2": "h2"}
        return [
            *(program("nghttpx"), "--conf=/dev/null", "--workers=1", "--single-process"),
            *(f"--frontend=127.0.0.1,{port};no-tls", "--accesslog-file=/dev/null"),
            f"--backend=127.0.0.1,{back};;proto={version[behind]}",
            f"--pid-file={folder}/nghttpx-{port}",
        ]
    if way != ("h2", "h1"):
        return None
    return [sys.executable, "-m", "bench.peers.proxy", str(port), str(back)]


def program(name):
    """The path of a proxy; raises NotStarted."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise NotStarted("not installed")
    return found


class Proxy:
    """A proxy in a process of its own: what `load` and `hold` take for a server."""

    def __init__(self, name, way, back, folder, options=()):
        self.peer = Peer(name, "", (), way[0])
        self.port = free_port()
        command = command_of(name, way, self.port, back, folder, options)
        if command is None:
            raise NotStarted(f"not written for {' to '.join(way)}")
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
        self.pid = self.process.pid
        try:
            self._wait()
        except NotStarted:
            self.close()
            raise
        pin(self.pid, processors()[0])

    def _wait(self):
        due = time.monotonic() + 20
        while time.monotonic() < due and self.process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            time.sleep(0.05)
        raise NotStarted("it does not accept connections")

    def close(self):
        self.process.kill()
        self.process.wait()


def pin(pid, cpu):
    """Keep the threads of a process on one processor."""
    if cpu is not None:
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(thread), {cpu})


def backend(behind):
    """An echo server, where the load client runs."""
    picows = next(peer for peer in PEERS if peer.module == "picows")
    if behind == "h2" or missing(picows):
        server = Server(Peer("the backend", "callback", (), behind))
    else:
        server = Server(picows)
    pin(server.pid, processors()[1])
    return server


def run(bench):
    raise_file_limit()
    figures = {}
    for way in WAYS:
        figures |= measured(bench, way)
    compare(bench, figures)
    idle(bench)


def measured(bench, way):
    """{(way, size): {proxy: [µs of each run]}}; and its table."""
    runs, seconds = (1, 0.2) if bench.quick else (7, 0.6)
    title = f"{way[0]} to {way[1]}"
    table = Table(
        f"gateway, {title}: the proxy's CPU µs a message, which passes it twice",
        [label for _, label in SIZES],
        note=f"{WEBSOCKETS} WebSockets, one message on the way on each; over HTTP/2 on one "
        "connection. What one run takes differs by a tenth",
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        back = stack.enter_context(contextlib.closing(backend(way[1])))
        proxies = []
        for name in (OURS, AWARE, HAPROXY, SHARING, NGHTTPX, BY_HAND):
            if name == SHARING and way[1] == "h1":
                continue  # a tunnel has a connection of its own, shared or not
            if name == BY_HAND and missing(Peer(name, "", ("h2", "wsproto"))):
                bench.note(f"left out: {name}: h2 and wsproto not installed")
                continue
            try:
                proxy = Proxy(name, way, back.port, folder)
            except NotStarted as error:
                bench.note(f"left out: {name}, {title}: {error}")
                continue
            proxies.append(stack.enter_context(contextlib.closing(proxy)))
        found = {}
        for size, label in SIZES:
            bench.progress(f"{title}, {label}")
            found[way, label] = turns(bench, proxies, way, size, runs, seconds)
    for proxy in proxies:
        name = proxy.peer.name
        cells = (found[way, label].get(name) for _, label in SIZES)
        table.add(name, *(statistics.median(cell) if cell else None for cell in cells))
    bench.table(table)
    return found


def turns(bench, proxies, way, size, runs, seconds):
    """{proxy: [µs of each run]}, one after the other."""
    shape = (1, WEBSOCKETS) if way[0] == "h2" else (WEBSOCKETS, 1)
    times = {proxy.peer.name: [] for proxy in proxies}
    for _ in range(runs):
        for proxy in proxies:
            name = proxy.peer.name
            if name not in times:
                continue
            for patience in (1, 3, 9):  # on a busy machine a run may be over before it began
                answer = load(
                    proxy, (*shape, 1, size), seconds * patience, False, fragments=name == AWARE
                )
                if "error" not in answer:
                    break
            if "error" in answer:
                bench.note(f"{name}, {' to '.join(way)}: {answer['error']}")
                del times[name]
            else:
                times[name].append(answer["server_us"])
    return times


def compare(bench, figures):
    """The worst of all shapes: of each the median of the ratios of neighbours."""

    def worst(ratio, shapes=figures):
        return max(
            statistics.median(map(ratio, *(figures[shape][name] for name in names)))
            for shape in shapes
        )

    names = (OURS, HAPROXY, NGHTTPX)
    if all(set(names) <= set(times) for times in figures.values()):
        bench.figure("gateway haproxy", worst(lambda ours, haproxy, _: ours / haproxy))
        better = worst(lambda ours, *others: ours / min(others))
        names = (OURS, SHARING)
        written = [shape for shape, times in figures.items() if set(names) <= set(times)]
        if written:
            better = max(better, worst(lambda ours, sharing: ours / sharing, written))
        bench.figure("gateway better", better)
    names = (OURS, BY_HAND)
    written = [shape for shape, times in figures.items() if set(names) <= set(times)]
    if written:
        bench.figure("gateway by hand", 1 / worst(lambda ours, hand: ours / hand, written))


def idle(bench):
    """Resident octets of a gateway for each of many tunnels, after a message on each."""
    count = 500 if bench.quick else TUNNELS
    table = Table(
        f"gateway: resident octets for each of {count} idle tunnels",
        ["octets each"],
        note="after one 31 octet message was echoed on each; kernel memory is not counted. Over "
        f"HTTP/2 {STREAMS} on each connection of clients, and to the backend as it allows",
    )
    worst = []
    for way in WAYS:
        title = f"{way[0]} to {way[1]}"
        bench.progress(f"{count} idle tunnels, {title}")
        streams = STREAMS if way[0] == "h2" else 1
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            try:
                back = stack.enter_context(contextlib.closing(backend(way[1])))
                options = ("--connections", str(CONNECTIONS))
                proxy = Proxy(OURS, way, back.port, folder, options)
                stack.enter_context(contextlib.closing(proxy))
                hold(proxy, 1, streams=streams).close()  # what the first ones alone cost
                time.sleep(0.3)
                before = resident(proxy.pid)
                client = hold(proxy, count // streams, streams=streams)
            except NotStarted as error:
                bench.note(f"left out: idle tunnels, {title}: {error}")
                continue
            time.sleep(0.5)
            worst.append((resident(proxy.pid) - before) / count)
            client.close()
            table.add(title, worst[-1])
    bench.table(table)
    if len(worst) == len(WAYS) and count == TUNNELS:
        bench.figure("gateway idle", max(worst))
