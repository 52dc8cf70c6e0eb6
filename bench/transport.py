"""HTTP/2 as a transport: streams of octets beside plain TCP, and what it takes to open one."""

import contextlib
import json
import statistics
import subprocess
import sys
import time

from h2ws_fast.engine import Connection, Role, Settings

from .report import Table
from .wire import extended_connect

BATCH = 50  # streams that are open at once
SMALL = (100, 64, 1000)  # streams, octets a write, writes on each
# A kernel that tells user time from its own by what runs when its clock ticks, 250 times a second,
# sees 15 ticks of 256 MiB, and 60 of these: single runs of 256 MiB are off by a third.
LARGE = (1, 2**20, 1024)
SAME = [extended_connect("bytestream", "/peer")] * BATCH
EACH = [extended_connect("bytestream", f"/peer/{n}") for n in range(BATCH)]
OK = [(":status", "200")]


def run(bench):
    opening(bench)
    carrying(bench)


# -- opening, in the engine ----------------------------------------------------------------------


def connected():
    """A client and a server of which either opens streams."""
    settings = Settings(enable_connect_protocol=True, enable_bidirectional_connect=True)
    pair = [Connection(role, settings=settings) for role in (Role.CLIENT, Role.SERVER)]
    for _ in range(3):
        pass_on(*pair)
        pass_on(*reversed(pair))
    return pair


def pass_on(source, target):
    target.receive_data(b"".join(source.data_to_send()))


def open_batch(opener, other, requests):
    """Return the seconds that BATCH streams take: to ask for, to accept, to hear of."""
    began = time.perf_counter()
    streams = [opener.request(fields, False) for fields in requests]
    octets = b"".join(opener.data_to_send())
    asked = time.perf_counter()
    other.receive_data(octets)
    for stream_id in streams:
        other.respond(stream_id, OK)
    octets = b"".join(other.data_to_send())
    accepted = time.perf_counter()
    opener.receive_data(octets)
    heard = time.perf_counter()
    for stream_id in streams:
        opener.send_data(stream_id, b"", True)
        other.send_data(stream_id, b"", True)
    pass_on(opener, other)
    pass_on(other, opener)
    assert opener.stats()["open_streams"] == 0
    return asked - began, accepted - asked, heard - accepted


def opening(bench):
    batches = 20 if bench.quick else 200
    table = Table(
        "opening a stream by extended CONNECT, in the engine",
        ["asked for", "accepted", "answer read"],
        note=f"µs a stream, {BATCH} open at once, the header table warm; the demand is of the paths that differ",
    )
    for label, turn in (("client", 1), ("server", -1)):
        for paths, requests in (("another path each", EACH), ("one path", SAME)):
            bench.progress(f"{label} opens, {paths}")
            pair = connected()[::turn]
            times = [open_batch(*pair, requests) for _ in range(batches)]
            figures = [statistics.median(part) / BATCH * 1e6 for part in zip(*times, strict=True)]
            table.add(f"by the {label}, {paths}", *figures)
            if requests is EACH:
                # What it takes whoever opens: the other end's share is its handler's.
                bench.figure(f"open {label}", figures[0] + figures[2])
    bench.table(table)


# -- carrying, beside TCP ------------------------------------------------------------------------


@contextlib.contextmanager
def listening(what):
    """A process that takes octets; yields its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.octets", "serve", what], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def sent(what, port, shape):
    """What `bench.octets send` prints."""
    command = [sys.executable, "-m", "bench.octets", "send", what, port, *map(str, shape)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    return json.loads(done.stdout)


def carrying(bench):
    runs = 1 if bench.quick else 9
    found = {}
    with listening("tcp") as tcp, listening("streams") as streams:
        pair = [("tcp", tcp), ("streams", streams)]
        for shape in (SMALL, LARGE):
            for _ in range(runs):
                for what, port in pair:
                    bench.progress(f"{what}, {shape[0]} x {shape[1]} B")
                    found.setdefault((what, shape), []).append(sent(what, port, shape))
                pair.reverse()  # who is first finds the machine another way
    table = Table(
        "octets from one process to another over loopback and uvloop",
        ["64 B: writes/s", "1 MiB: µs of user time"],
        note="100 streams of one connection, or 100 connections, a turn of the loop between two "
        "rounds of 64 B; of user time both processes'",
    )
    for what, label in (("tcp", "TCP"), ("streams", "byte streams")):
        rate = SMALL[0] * SMALL[2] / statistics.median(x["seconds"] for x in found[what, SMALL])
        user = statistics.median(x["user"] for x in found[what, LARGE]) / LARGE[2] * 1e6
        table.add(label, rate, user)
    bench.table(table)
    pairs = list(zip(found["tcp", SMALL], found["streams", SMALL], strict=True))
    bench.figure("streams rate", statistics.median(t["seconds"] / s["seconds"] for t, s in pairs))
    pairs = list(zip(found["tcp", LARGE], found["streams", LARGE], strict=True))
    bench.figure("streams bulk", statistics.median(s["user"] / t["user"] for t, s in pairs))
