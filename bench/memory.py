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
        ["WebSockets", "octets each", "of these fields"],
        note="each has echoed one fragmented 64 KiB message; a fresh process for each row. Fields: "
        "path, authority and the header list of a request that the application keeps",
    )
    many = 20_000 if bench.quick else 100_000
    for name, websockets, streams, keep in (
        (COMPILED, many, 1000, False),
        (COMPILED, many, 1000, True),
        (PURE, 2_000 if bench.quick else 10_000, 1000, False),
        (THEIRS, 500 if bench.quick else 2_000, 100, False),
    ):
        if name not in bench.contenders:
            continue
        label = f"{name}, its request kept" if keep else name
        bench.progress(f"{label}: {websockets} WebSockets")
        contender = Contender(name)
        contender.make("idle", websockets=websockets, streams=streams, keep=keep)
        answer = contender.once()
        contender.stop()
        fields = answer.get("fields", 0) if keep else None
        table.add(label, answer["websockets"], answer["octets"], fields)
        if name == COMPILED:
            if keep:
                bench.figure("idle kept", answer["octets"] - fields)
            else:
                bench.figure("idle", answer["octets"])
    bench.table(table)
