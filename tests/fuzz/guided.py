"""`python -m tests.fuzz.guided --seconds 10`: every target under libFuzzer, ASan and UBSan.

Builds what is missing into `build/` with clang: the kernels' targets in `csrc/fuzz`, and, around an
embedded Python, those of `tests/fuzz/targets.py` with the extensions instrumented. Then each runs
from the inputs in `seeds` and `regressions`, for so many seconds on the average: what plays whole
connections for longer, what reads one thing for less. A line says how many inputs a target executed
and how many branches ("edges") they reached: by the seeds, and in the end.

An input that fails stays in `build/fuzz/findings`; put it into `regressions/<target>` when mended.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .build import (
    CHECKED,
    HERE,
    KERNELS,
    PROGRAMS,
    ROOT,
    compile_extensions,
    compile_harness,
    compile_kernels,
)

FINDINGS = PROGRAMS / "findings"
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "PYTHONMALLOC": "malloc",
    "PYTHONPATH": f"{CHECKED}{os.pathsep}{ROOT}",
    "PYTHONDONTWRITEBYTECODE": "1",
    "H2WS_FAST_REQUIRE_COMPILED": "1",
}


# Of the time that all targets have, what each gets where it is not 1: an input is a whole connection
# in some, and takes a thousand times as long as one of the kernels'.
SHARES = {
    "connection": 3.5,
    "equivalence": 2,
    "frames": 2,
    "misuse": 1.5,
    "upgraded": 1.5,
    "agreement": 0.25,
    "hpack_decoder": 0.5,
    "hpack_round_trip": 0.5,
    "kernels": 0.5,
    "priority": 0.25,
    "c_huffman": 0.25,
    "c_map": 0.25,
    "c_mask": 0.25,
    "c_utf8": 0.25,
}
# An input of `connection` reaches thousands of branches, most of them rare. By default libFuzzer
# looks through a hundred of the rarest for each input in its corpus, which took two thirds of the
# time; with ten, and with inputs that take long chosen less often, it executes 2.5 times as many.
# Leaks are not looked for, and counting allocations would execute every other input twice.
SPEED = (
    "-entropic_number_of_rarest_features=10",
    "-entropic_feature_frequency_threshold=10",
    "-entropic_scale_per_exec_time=1",
    "-detect_leaks=0",
)

# Whole frames and messages of the usual greatest size fit into what these read.
LONG = {"connection", "equivalence", "frames", "upgraded", "websocket"}


def longest(name):
    """Octets of an input of a target, at most."""
    if name.startswith("c_"):
        return 600
    return 40_000 if name in LONG else 4096


def targets():
    """Names of all targets, the kernels' first."""
    text = (HERE / "targets.py").read_text()
    table = text.partition("\nTARGETS = {")[2].partition("}")[0]
    return [f"c_{name}" for name in KERNELS] + re.findall(r'"(\w+)":', table)


def run(name, seconds, corpus, seeds):
    """Fuzz one target; return what came of it and whether it found nothing."""
    folders = [HERE / kept / name for kept in ("seeds", "regressions")] if seeds else []
    folders = [str(folder) for folder in folders if folder.is_dir()]
    FINDINGS.mkdir(exist_ok=True)
    options = [
        *SPEED,
        f"-max_total_time={max(1, round(seconds * SHARES.get(name, 1)))}",
        f"-max_len={longest(name)}",
        f"-artifact_prefix={FINDINGS}/{name}-",
        f"-dict={HERE / 'tokens.dict'}",
        "-timeout=30",
        "-rss_limit_mb=3000",
        "-print_final_stats=1",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        grown = Path(corpus, name) if corpus else Path(scratch)
        grown.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [str(PROGRAMS / name), *options, str(grown), *folders],
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    return name, done.returncode == 0, done.stdout


def line_of(name, passed, output):
    edges = re.findall(r"(?:INITED|NEW|REDUCE|pulse|DONE|RELOAD)\s+cov: (\d+)", output)
    executed = re.search(r"number_of_executed_units:\s*(\d+)", output)
    count = int(executed[1]) if executed else 0
    grown = f"{edges[0]:>6} -> {edges[-1]:>6}" if edges else ""
    return (
        f"{name:18} {count:>10} executions   edges {grown}   {'ok' if passed else 'FAILED'}",
        count,
    )


def main():
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.guided",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=int, default=10, help="for each target on the average")
    parser.add_argument("--target", action="append", choices=targets())
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--corpus", help="a folder that keeps what was found worth keeping")
    parser.add_argument("--no-seeds", action="store_true", help="begin with nothing")
    parser.add_argument("--no-build", action="store_true")
    chosen = parser.parse_args()
    names = chosen.target or targets()
    if not chosen.no_build:
        PROGRAMS.mkdir(parents=True, exist_ok=True)
        compile_extensions()
        compile_kernels()
        compile_harness([name for name in targets() if not name.startswith("c_")])
    total = 0
    failed = []
    with ThreadPoolExecutor(chosen.jobs) as pool:
        jobs = [
            pool.submit(run, name, chosen.seconds, chosen.corpus, not chosen.no_seeds)
            for name in names
        ]
        for job in jobs:
            name, passed, output = job.result()
            line, count = line_of(name, passed, output)
            total += count
            print(line, flush=True)
            if not passed:
                failed.append(name)
                print(output[-6000:], flush=True)
    print(
        f"{total} executions in {chosen.seconds} s for each of {len(names)} targets on the average"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
