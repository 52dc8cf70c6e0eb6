"""The engine without sockets: receive, send, echo and broadcast."""

import statistics

from .contenders import COMPILED, PURE, THEIRS, compare, ratio
from .report import Table

SIZES = ((5, "5 B"), (125, "125 B"), (1024, "1 KiB"), (16384, "16 KiB"), (1 << 20, "1 MiB"))
COLUMNS = [COMPILED, PURE, THEIRS, "theirs/compiled", "theirs/pure", "pure/compiled"]
FORMATS = ["", "", "", "x", "x", "x"]


def count(size):
    """Messages in a round: a quarter of a megabyte of small ones, eight of the largest."""
    return max(8, min(2000, (4 << 20) // size))


def compared(bench, table, label, case, names=(COMPILED, PURE, THEIRS), runs=None, **parameters):
    """Compare a case in the contenders named and add its row, in µs; return the runs."""
    bench.progress(f"{case}: {label}")
    contenders = [bench.contenders[name] for name in names if name in bench.contenders]
    times = compare(contenders, case, runs or bench.runs, bench.seconds, **parameters)
    table.add(label, *micros(times), *ratios(times))
    return times


def micros(times):
    return [
        1e6 * statistics.median(times[name]) if name in times else None
        for name in (COMPILED, PURE, THEIRS)
    ]


def ratios(times):
    return [
        ratio(times[slower], times[faster]) if slower in times and faster in times else None
        for slower, faster in ((THEIRS, COMPILED), (THEIRS, PURE), (PURE, COMPILED))
    ]


def run(bench):
    note = "CPU µs a message; 64 KiB reads; whatever keeps the windows open is counted in"
    receive = Table("engine: receive", COLUMNS, FORMATS, note)
    for size, name in SIZES:
        times = compared(
            bench,
            receive,
            f"{name}, 100 streams",
            "receive",
            size=size,
            streams=100,
            count=count(size),
        )
        if size == 125:
            against(bench, times, "receive", THEIRS, COMPILED)
            against(bench, times, "pure", THEIRS, PURE)
            against(bench, times, "frames twins", PURE, COMPILED)
    compared(bench, receive, "125 B, 1 stream", "receive", size=125, streams=1, count=2000)
    compared(
        bench,
        receive,
        "125 B, 100 streams, consumed() and data looked at in a loop",
        "receive",
        size=125,
        streams=100,
        count=2000,
        credit="consumed",
    )
    bench.table(receive)
    pairs(bench)

    echo = Table(
        "engine: echo through a Python callback that returns the answer", COLUMNS, FORMATS, note
    )
    for size, name in SIZES:
        times = compared(
            bench,
            echo,
            f"{name}, 100 streams",
            "echo",
            size=size,
            streams=100,
            count=count(size),
        )
        if size == 125:
            against(bench, times, "echo", THEIRS, COMPILED)
    compared(bench, echo, "125 B, 1 stream", "echo", size=125, streams=1, count=2000)
    for via, what in (
        ("send", "the callback calls send_message"),
        ("event", "the callback gets an event and calls send_message"),
    ):
        compared(
            bench,
            echo,
            f"125 B, 100 streams, {what}",
            "echo",
            size=125,
            streams=100,
            count=2000,
            via=via,
        )
    bench.table(echo)

    send = Table("engine: send", COLUMNS, FORMATS, note)
    for size, name in SIZES:
        compared(
            bench,
            send,
            f"{name}, 100 streams",
            "send",
            size=size,
            streams=100,
            count=count(size),
        )
    compared(
        bench,
        send,
        "125 B of ASCII text, 100 streams",
        "send",
        size=125,
        streams=100,
        count=2000,
        kind="ascii",
    )
    bench.table(send)
    copied(bench)

    broadcast = Table(
        "engine: broadcast of 125 B", COLUMNS, FORMATS, "CPU µs a recipient; encoded once"
    )
    each = []
    for streams in (100, 1000):
        times = compared(
            bench, broadcast, f"{streams} streams", "broadcast", size=125, streams=streams
        )
        if COMPILED in times:
            each.append(1e9 * statistics.median(times[COMPILED]))
    if each:
        bench.figure("broadcast", max(each))
    bench.table(broadcast)
    if (bench.only or bench.check) and not bench.quick:
        shapes(bench)
    else:
        bench.note(
            "receive, echo and send of text and binary on 1, 100 and 10 000 streams: "
            "--check, or --only engine"
        )


def shapes(bench):
    """Each of the three by streams and type: too long for the default run."""
    table = Table(
        "engine: 125 B by streams and type",
        COLUMNS,
        FORMATS,
        "CPU µs a message, as above; of 10 000 streams each has one message a round, in three runs",
    )
    for case in ("receive", "echo", "send"):
        for streams in (1, 100, 10_000):
            for kind, what in (("binary", "binary"), ("ascii", "ASCII text")):
                many = streams == 10_000
                compared(
                    bench,
                    table,
                    f"{case}: {what}, {streams} stream{'s' if streams > 1 else ''}",
                    case,
                    runs=min(3, bench.runs) if many else None,
                    size=125,
                    streams=streams,
                    count=streams if many else 2000,
                    kind=kind,
                )
    bench.table(table)


def against(bench, times, key, slower, faster):
    if slower in times and faster in times:
        bench.figure(key, ratio(times[slower], times[faster]))


def pairs(bench):
    """What must not cost more: many streams, and text. Two cases of one contender, interleaved."""
    if COMPILED not in bench.contenders:
        return
    table = Table(
        "engine: receive, one case against another (compiled)",
        ["µs", "base µs", "ratio"],
        ["", "", "x"],
        "both cases of 20 000 messages",
    )
    binary = {"size": 125, "streams": 100, "count": 20000}
    for label, key, case, base in (
        ("10 000 streams against 100", "many", {**binary, "streams": 10000}, binary),
        ("ASCII text against binary, 125 B", "text", {**binary, "kind": "ascii"}, binary),
        (
            "ASCII text against binary, 16 KiB",
            None,
            {"size": 16384, "streams": 100, "count": 400, "kind": "ascii"},
            {"size": 16384, "streams": 100, "count": 400},
        ),
        (
            "text of every width against binary, 125 B",
            None,
            {**binary, "kind": "mixed"},
            binary,
        ),
    ):
        bench.progress(label)
        with bench.another(COMPILED) as other:
            contender = bench.contenders[COMPILED]
            contender.make("receive", **case)
            other.make("receive", **base)
            contender.check(), other.check()
            runs = [
                (contender.run(bench.seconds), other.run(bench.seconds)) for _ in range(bench.runs)
            ]
        figure = statistics.median(a / b for a, b in runs)
        table.add(
            label,
            1e6 * statistics.median(a for a, _ in runs),
            1e6 * statistics.median(b for _, b in runs),
            figure,
        )
        if key:
            bench.figure(key, figure)
    bench.table(table)


def copied(bench):
    """Sending 1 MiB against copying 1 MiB."""
    if COMPILED not in bench.contenders:
        return
    bench.progress("1 MiB against memcpy")
    table = Table(
        "engine: send 1 MiB (compiled) against memcpy", ["µs", "memcpy µs", "ratio"], ["", "", "x"]
    )
    with bench.another(COMPILED) as other:
        contender = bench.contenders[COMPILED]
        contender.make("send", size=1 << 20, streams=1, count=8)
        other.make("memcpy", size=1 << 20)
        contender.check()
        runs = [(contender.run(bench.seconds), other.run(bench.seconds)) for _ in range(bench.runs)]
    figure = statistics.median(a / b for a, b in runs)
    table.add(
        "1 MiB, 1 stream",
        1e6 * statistics.median(a for a, _ in runs),
        1e6 * statistics.median(b for _, b in runs),
        figure,
    )
    bench.figure("send", figure)
    bench.table(table)
