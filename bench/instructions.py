"""Instructions a message, counted by valgrind: the one figure that repeats to the last digit.

The work is done in two lengths and the difference divided, so that starting Python, importing
and opening the streams fall out.
"""

import os
import re
import shutil
import subprocess
import sys

from .contenders import COMPILED
from .report import Table

SHORT, LONG = 1, 6


def counted(case, rounds):
    """Instructions of a whole process that does so many rounds."""
    command = [
        "valgrind",
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        sys.executable,
        "-m",
        "bench.instructions",
        case,
        str(rounds),
    ]
    environment = {
        **os.environ,
        "H2WS_FAST_REQUIRE_COMPILED": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    found = re.search(r"Collected : (\d+)", result.stderr)
    if result.returncode or not found:
        raise RuntimeError(f"valgrind failed: {result.stderr.strip()[-400:]}")
    return int(found[1]), int(result.stdout)


def run(bench):
    if COMPILED not in bench.contenders:
        return
    if not shutil.which("valgrind"):
        bench.note("left out: instructions: valgrind is not installed")
        return
    table = Table(
        "instructions a message: 125 B, 100 streams, 64 KiB reads (compiled)",
        ["instructions"],
        note="valgrind's processor has no AVX-512; the caller's Python loop is counted in",
    )
    for case in ("receive", "echo", "send"):
        bench.progress(case)
        (less, few), (more, many) = counted(case, SHORT), counted(case, LONG)
        figure = (more - less) / (many - few)
        table.add(case, figure)
        if case == "receive":
            bench.figure("instructions", figure)
    bench.table(table)


def main():
    from . import ours

    case = ours.CASES[sys.argv[1]](size=125, streams=100, count=4000)
    for _ in range(2 + int(sys.argv[2])):  # two that warm up and fall out
        case.prepare()
        case.round()
    print(int(sys.argv[2]) * case.messages)


if __name__ == "__main__":
    main()
