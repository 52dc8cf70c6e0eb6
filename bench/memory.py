"""Octets an idle WebSocket keeps, and whether a long life grows."""

import os
import subprocess

from .contenders import COMPILED, PURE, THEIRS, Contender
from .report import Table


def resident(pid=None):
    """Resident octets of a process, this one by default."""
    try:
        with open(f"/proc/{pid or 'self'}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:  # not Linux
        command = ["ps", "-o", "rss=", "-p", str(pid or os.getpid())]
        return int(subprocess.run(command, capture_output=True, check=True).stdout) * 1024


def run(bench):
    """100 000 WebSockets on connections of 1000, each after one fragmented 64 KiB message echoed.

    Resident octets of a fresh process, the connections' own and the allocator's losses included.
    The slower contenders hold fewer: the figure is per WebSocket.
    """
    table = Table(
        "memory: resident octets an idle WebSocket",
        ["WebSockets", "octets each"],
        note="each has echoed one fragmented 64 KiB message; a fresh process for each row",
    )
    for name, websockets, streams in (
        (COMPILED, 20_000 if bench.quick else 100_000, 1000),
        (PURE, 2_000 if bench.quick else 10_000, 1000),
        (THEIRS, 500 if bench.quick else 2_000, 100),
    ):
        if name not in bench.contenders:
            continue
        bench.progress(f"{name}: {websockets} WebSockets")
        contender = Contender(name)
        contender.make("idle", websockets=websockets, streams=streams)
        answer = contender.once()
        contender.stop()
        table.add(name, answer["websockets"], answer["octets"])
        if name == COMPILED:
            bench.figure("idle", answer["octets"])
    bench.table(table)
