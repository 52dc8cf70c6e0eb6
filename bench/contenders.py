"""The contenders, each in a process of its own, and how they are compared."""

import importlib.util
import json
import os
import statistics
import subprocess
import sys

COMPILED, PURE, THEIRS = "compiled", "pure", "h2+wsproto"


class Unavailable(Exception):
    """This contender cannot run here; the text says why."""


class Different(Exception):
    """Two contenders made different results of the same bytes: nothing may be timed."""


class Contender:
    """One worker process. Its `make` loads a case, `run` times it."""

    def __init__(self, name):
        self.name = name
        driver = "theirs" if name == THEIRS else "ours"
        environment = dict(os.environ)
        environment.pop("H2WS_FAST_PURE", None)
        environment.pop("H2WS_FAST_REQUIRE_COMPILED", None)
        if name == COMPILED:
            environment["H2WS_FAST_REQUIRE_COMPILED"] = "1"
        elif name == PURE:
            environment["H2WS_FAST_PURE"] = "1"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", driver],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        try:
            self.versions = self._ask(verb="hello")["versions"]
        except (OSError, Unavailable) as error:
            self.stop()
            raise Unavailable(f"{name}: {error}") from None

    def _ask(self, **order):
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            tail = self._process.stderr.read().strip().splitlines()
            raise Unavailable(tail[-1] if tail else "the worker ended without a word")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name} failed:\n{answer['error']}")
        return answer

    def make(self, case, **parameters):
        return self._ask(verb="make", case=case, **parameters)["messages"]

    def check(self):
        return self._ask(verb="check")["digest"]

    def run(self, seconds):
        return self._ask(verb="run", seconds=seconds)["seconds"]

    def once(self):
        return self._ask(verb="once")

    def stop(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.stderr.close()
        self._process.kill()
        self._process.wait()


def available(wanted=(COMPILED, PURE, THEIRS)):
    """Start what can run here; return ({name: Contender}, [why something cannot])."""
    running, absent = {}, []
    for name in wanted:
        if name == THEIRS:
            missing = [m for m in ("h2", "wsproto") if importlib.util.find_spec(m) is None]
            if missing:
                absent.append(f"{name}: {' and '.join(missing)} not installed")
                continue
        try:
            running[name] = Contender(name)
        except Unavailable as error:
            absent.append(str(error))
    return running, absent


def compare(contenders, case, runs, seconds, **parameters):
    """Time one case in each contender, turn about, after seeing that their results are equal.

    Return {name: [CPU seconds a message of each run]}.
    """
    digests = {}
    for contender in contenders:
        contender.make(case, **parameters)
        digests[contender.name] = contender.check()
    if len(set(digests.values())) > 1:
        raise Different(f"{case} {parameters}: results differ: {digests}")
    for contender in contenders:  # one run that does not count: caches, freelists, pools
        contender.run(0)
    times = {contender.name: [] for contender in contenders}
    for _ in range(runs):
        for contender in contenders:
            times[contender.name].append(contender.run(seconds))
    return times


def ratio(slower, faster):
    """The median of the ratios of neighbouring runs: noise that lasts hits both alike."""
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))
