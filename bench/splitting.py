"""Cutting DATA to the windows that the peer opens."""

from .contenders import COMPILED, PURE, THEIRS
from .engine import COLUMNS, FORMATS, compared
from .report import Table


def run(bench):
    table = Table(
        "splitting: one message against a window that each WINDOW_UPDATE reopens",
        COLUMNS,
        FORMATS,
        "CPU µs a DATA frame sent, the WINDOW_UPDATE that allowed it included",
    )
    worst = []
    cases = [
        ("1 MiB, windows of 64 KiB", "split", {"size": 1 << 20, "window": 65536}),
        ("1 MiB, windows of 16 KiB", "split", {"size": 1 << 20, "window": 16384}),
        ("1 MiB, windows of 100 octets", "split", {"size": 1 << 20, "window": 100}),
        ("4 KiB, windows of one octet", "split", {"size": 1 << 12, "window": 1}),
        ("1000 blocked streams, one WINDOW_UPDATE", "blocked", {"streams": 1000}),
    ]
    for label, case, parameters in cases:
        times = compared(bench, table, label, case, **parameters)
        if COMPILED in times and PURE in times:
            worst.append(table.rows[-1][1][-1])
    # The whole of it byte by byte takes the others a minute: the same work, 256 times.
    full = (bench.only or bench.check) and not bench.quick
    if full or COMPILED in bench.contenders:
        compared(
            bench,
            table,
            "1 MiB, windows of one octet",
            "split",
            names=(COMPILED, PURE, THEIRS) if full else (COMPILED,),
            runs=1 if full else 3,
            size=1 << 20,
            window=1,
        )
    if not full:
        bench.note(
            "1 MiB against windows of one octet is compiled alone here; --check and --only "
            "splitting put the others beside"
        )
    if worst:
        bench.figure("split twins", min(worst))
        table.note += "; the demand is held against the lowest ratio"
    bench.table(table)
