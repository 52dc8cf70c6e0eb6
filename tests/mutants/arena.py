"""Runs the tests against one mutant after the other, each in a fork of a process that is warm.

First every test runs once while the switches record which checks held in it. Then a mutant meets,
one by one until one fails, the tests in which its check held, those first in which few others held,
and quick ones before slow ones. A test that hangs has failed too.
"""

import os
import random
import select
import signal
import sys
import time
from dataclasses import dataclass, field

import pytest
from _pytest.runner import runtestprotocol

from .sites import switch

MAX_TESTS = 60  # a mutant meets; in the order above
TEST_TIMEOUT_S = 30


@dataclass
class Verdict:
    """What became of a mutant: `killer` is the test that failed, with the rows it claims."""

    site: object
    met: int = 0
    killer: str = ""
    rows: list = field(default_factory=list)


def _rows(item):
    return [row for mark in item.iter_markers("row") for row in mark.args]


class Arena:
    """A pytest plugin: `verdicts` has one entry for each site once the session is over.

    `part` of `parts`: only every parts-th mutant, beginning at that one. `jobs` processes at once.
    """

    def __init__(self, sites, part=0, parts=1, jobs=2):
        self.sites = [site for site in sites if site.number % parts == part]
        self.jobs = jobs
        self.verdicts = []
        self.failed = []
        self.met = {}  # site number: [(checks that held, seconds, item)]

    def pytest_runtestloop(self, session):
        if session.testsfailed:
            raise session.Interrupted("the tests do not collect")
        self._record(session.items)
        if self.failed:
            raise session.Interrupted(f"without a mutant these fail: {' '.join(self.failed)}")
        self._fight()
        return True

    def _record(self, items):
        begun = time.monotonic()
        for i, item in enumerate(items):
            following = items[i + 1] if i + 1 < len(items) else None
            switch.fired = set()
            since = time.perf_counter()
            reports = runtestprotocol(item, log=False, nextitem=following)
            seconds = time.perf_counter() - since
            if any(report.failed for report in reports):
                self.failed.append(item.nodeid)
            for number in switch.fired:
                self.met.setdefault(number, []).append((len(switch.fired), seconds, item))
            if i % 500 == 499:
                _progress(f"recording: {i + 1} of {len(items)} tests")
        switch.fired = None
        _progress(f"recorded {len(items)} tests in {time.monotonic() - begun:.0f} s")

    def _opponents(self, site):
        met = self.met.get(site.number, [])
        # What a peer did must fail a test that claims a row, where the check names its rule a row
        # of that; the rest any test.
        if site.peer:
            met = [entry for entry in met if _rows(entry[-1])]
        if site.named:
            met = [entry for entry in met if site.is_claimed_by(_rows(entry[-1]))]
        met.sort(key=lambda entry: entry[:2])
        return [item for *_, item in met[:MAX_TESTS]]

    def _fight(self):
        waiting = list(reversed(self.sites))
        running = {}  # pipe: (pid, site, opponents)
        while waiting or running:
            while waiting and len(running) < self.jobs:
                site = waiting.pop()
                opponents = self._opponents(site)
                if not opponents:
                    self.verdicts.append(Verdict(site))
                    continue
                reader, writer = os.pipe()
                pid = os.fork()
                if pid == 0:
                    _meet(site.number, opponents, writer)
                os.close(writer)
                running[reader] = pid, site, opponents
            if not running:
                break
            for reader in select.select(list(running), [], [])[0]:
                pid, site, opponents = running.pop(reader)
                with os.fdopen(reader) as file:
                    last = int(file.read() or 0)
                _, status = os.waitpid(pid, 0)
                verdict = Verdict(site, len(opponents))
                if status != 0:
                    killer = opponents[last]
                    verdict.killer, verdict.rows = killer.nodeid, _rows(killer)
                self.verdicts.append(verdict)
                if len(self.verdicts) % 50 == 0:
                    _progress(f"mutants: {len(self.verdicts)} of {len(self.sites)}")
        self.verdicts.sort(key=lambda verdict: verdict.site.number)


def _progress(text):
    print(text, file=sys.stderr, flush=True)


def _meet(number, opponents, writer):
    """In a fork: exit 1 with the index of the first test that fails, 0 where all pass."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    random.seed(number)
    switch.off = number
    code = 0
    at = 0
    signal.signal(signal.SIGALRM, lambda *_: _leave(writer, at, 1))
    for at, item in enumerate(opponents):  # noqa: B007 - the handler reads it
        signal.alarm(TEST_TIMEOUT_S)
        try:
            reports = runtestprotocol(item, log=False, nextitem=None)
        except BaseException:
            code = 1
            break
        if any(report.failed for report in reports):
            code = 1
            break
    signal.alarm(0)
    _leave(writer, at, code)


def _leave(writer, at, code):
    os.write(writer, b"%d" % at)
    os._exit(code)


def run(sites, folders, **options):
    """Return the verdicts; raise SystemExit where the tests fail without a mutant."""
    os.environ.pop("PYTEST_ADDOPTS", None)  # all in this process
    arena = Arena(sites, **options)
    arguments = ["-q", "-p", "no:cacheprovider"]
    code = pytest.main([*arguments, *folders], plugins=[arena])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) or arena.failed:
        raise SystemExit(f"the tests fail without a mutant: {' '.join(arena.failed) or code}")
    return arena.verdicts
