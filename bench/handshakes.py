"""Chromium's extended CONNECT in, 200 out."""

import statistics

from .contenders import COMPILED, THEIRS, compare, ratio
from .engine import COLUMNS, FORMATS, micros, ratios
from .report import Table


def run(bench):
    table = Table(
        "handshakes: Chromium's CONNECT in, 200 out, each in a read of its own (h2 alone beside)",
        COLUMNS,
        FORMATS,
        "CPU µs a handshake; 100 on one connection (warm), the first of each (cold)",
    )
    rates = Table("handshakes: per second and core", COLUMNS[:3])
    for label, warm, count in (("warm", True, 100), ("cold", False, 30)):
        bench.progress(label)
        contenders = list(bench.contenders.values())
        times = compare(contenders, "handshake", bench.runs, bench.seconds, warm=warm, count=count)
        table.add(label, *micros(times), *ratios(times))
        rates.add(
            label,
            *(1 / statistics.median(times[n]) if n in times else None for n in COLUMNS[:3]),
        )
        if warm and COMPILED in times and THEIRS in times:
            bench.figure("handshake", ratio(times[THEIRS], times[COMPILED]))
    bench.table(table)
    bench.table(rates)
