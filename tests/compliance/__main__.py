"""Run the suites: all of each, and write docs/compliance.json; or `--quick`, what CI runs.

Progress goes to stderr, one line for each run to stdout. Exits with 1 where a case failed, with 2
where a suite could not run. What a failed run left (reports, logs) stays in the folder it names.
"""

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
import textwrap
import time

from . import autobahn, h2spec, record, tools
from .processes import Unable

SUITES = {suite.NAME: suite for suite in (h2spec, autobahn)}
TWINS = ("compiled", "pure")
TICK = 10.0  # seconds between two lines of progress
STUCK_S = 900.0  # without progress; no case of any suite takes longer than 480 s


def say(text):
    """Progress."""
    print(f"[{time.monotonic() - BEGUN:5.0f} s] {text}", file=sys.stderr, flush=True)


BEGUN = time.monotonic()


def indented(text):
    """Below the line that it belongs to."""
    return textwrap.indent(text, "  ")


class Runner:
    """Runs jobs, some at a time."""

    def __init__(self, at_a_time):
        self.gate = asyncio.Semaphore(at_a_time)
        self.running = []
        self.results = {}
        self.complaints = []
        self.unable = []

    async def run(self, jobs):
        ticker = asyncio.create_task(self._tick())
        try:
            async with asyncio.TaskGroup() as group:
                for suite, job in jobs:
                    group.create_task(self._run(suite, job))
        finally:
            ticker.cancel()

    async def _run(self, suite, job):
        async with self.gate:
            self.running.append(job)
            folder = tempfile.mkdtemp(prefix="h2ws_fast-compliance-")
            kept = False
            try:
                result, complaints = await self._watch(job, folder)
                self.results[job] = (suite, result)
                kept = bool(complaints)
            except Unable as error:
                # The others go on: some of them take an hour.
                self.unable.append(f"{job.label}: {error}")
                print(self.unable[-1], flush=True)
                return
            finally:
                self.running.remove(job)
                if not kept:
                    shutil.rmtree(folder, ignore_errors=True)
        print(f"{job.label}: {job.summary(result)}", flush=True)
        for complaint in complaints:
            print(indented(complaint), flush=True)
        if kept:
            print(f"  see {folder}", flush=True)
        self.complaints += [f"{job.label}: {complaint}" for complaint in complaints]

    async def _watch(self, job, folder):
        # Unable where it stands still.
        task = asyncio.create_task(job.run(folder))
        progress = since = None
        try:
            while not task.done():
                if job.progress != progress:
                    progress = job.progress
                    since = time.monotonic()
                elif time.monotonic() - since > STUCK_S:
                    raise Unable(f"no progress in {STUCK_S:.0f} s, at {progress}")
                await asyncio.wait([task], timeout=TICK)
            return await task
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _tick(self):
        while True:
            await asyncio.sleep(TICK)
            for job in self.running:
                say(f"{job.label} {job.progress}".rstrip())


async def main(arguments):
    """Return the exit code."""
    names = arguments.only or list(SUITES)
    judged = record.commit()
    selection = argparse.Namespace(twins=TWINS, turn=None)
    if arguments.quick:
        selection.turn = arguments.turn
        if selection.turn is None:
            selection.turn = int(record.git("rev-parse", "HEAD")[:12], 16)
        if "autobahn" in names:
            some = ", ".join(autobahn.chosen(selection.turn, TWINS[0]))
            print(f"turn {selection.turn}; of Autobahn's 9, 12 and 13: {some}", flush=True)
    await tools.prepare(names, say)
    jobs = [(name, job) for name in names for job in SUITES[name].jobs(selection)]
    if arguments.leg:
        jobs = [each for each in jobs if any(leg in each[1].label for leg in arguments.leg)]
        if not jobs:
            raise Unable("no run has such a name")
    runner = Runner(arguments.at_a_time)
    await runner.run(jobs)
    if runner.complaints:
        # Once more, for who keeps only the end of a log.
        print(f"{len(runner.complaints)} complaints", flush=True)
        for complaint in runner.complaints:
            print(indented(complaint), flush=True)
    if runner.unable:
        raise Unable("\n".join(runner.unable))
    if runner.complaints:
        return 1
    if not (arguments.quick or arguments.only or arguments.leg):
        if judged is None or judged != record.commit():
            print("docs/compliance.json is not written: commit first, change nothing meanwhile")
            return 0
        suites = {}
        for name in names:
            runs = [runner.results[job][1] for of, job in jobs if of == name]
            suites[name] = {**await SUITES[name].versions(), "runs": runs}
        record.write(judged, suites)
        print(f"wrote {record.RECORD}", flush=True)
    return 0


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.compliance", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="what CI runs: some of Autobahn's 9, 12 and 13")
    add("--turn", type=int, metavar="N", help="of --quick, instead of the one HEAD's hash gives")
    add("--only", action="append", choices=SUITES, help="this suite; may be given again")
    add("--leg", action="append", metavar="WORDS", help="only runs with these in their name")
    add("--at-a-time", type=int, default=2 * (os.cpu_count() or 1), metavar="N")
    add("--check", action="store_true", help="only see that docs/compliance.json is not too old")
    arguments = parser.parse_args()
    if arguments.turn is not None and not arguments.quick:
        parser.error("--turn is of --quick")
    return arguments


if __name__ == "__main__":
    arguments = parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments.check:
            print(record.check())
            sys.exit(0)
        sys.exit(asyncio.run(main(arguments)))
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except Unable as error:
        print(error, file=sys.stderr)
        sys.exit(2)
