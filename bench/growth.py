"""A long life: ten million messages, a million WebSockets opened and closed."""

from .contenders import COMPILED, PURE, Contender
from .report import Table

MESSAGES, STREAMS = 10_000_000, 1_000_000


def run(bench):
    table = Table(
        "growth: resident KiB more at the end than after a tenth of the run", ["count", "KiB"]
    )
    name = COMPILED if COMPILED in bench.contenders else PURE
    if name not in bench.contenders:
        return
    share = 10 if bench.quick else 1
    for key, count in (("messages", MESSAGES // share), ("streams", STREAMS // share)):
        bench.progress(f"{name}: {count} {key}")
        contender = Contender(name)
        contender.make("growth", **{key: count})
        answer = contender.once()
        contender.stop()
        what = "messages echoed" if key == "messages" else "WebSockets opened and closed"
        table.add(f"{name}: {what}", answer[key], answer["grown"] / 1024)
        if name == COMPILED and not bench.quick:
            bench.figure("growth " + key, answer["grown"] / 1024)
    bench.table(table)
