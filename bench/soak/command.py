"""The options, the clients' turns, the progress, the end."""

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import random
import signal
import statistics
import sys
import time

from h2ws_fast import ConnectionClosed
from h2ws_fast.cli import loops

from ..report import check_result, show
from ..servers import NotStarted, certificate
from . import attacks, friends, strangers  # noqa: F401  # their visits go into the table
from .ledger import Ledger
from .place import Place
from .verdict import Verdict
from .visits import KINDS, Visit

VISIT_S = 45  # no visit takes so long
QUIET_S = 25  # from the last visit's end to a server that holds nothing of any
LULL_S = 60  # how often everybody leaves, and what the server still holds is counted
MIB = 2**20


def arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m bench soak", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=2, metavar="N", help="how long (2)")
    add("--seed", type=int, help="repeats the choices of another run; their times are its own")
    add("--clients", type=int, default=64, metavar="N", help="visits at a time (64)")
    add("--api", choices=("callback", "await"), default="callback", help="the server's interface")
    add("--pure", action="store_true", help="the server runs the pure twin")
    add("--tls", action="store_true", help="over TLS")
    add("--only", metavar="KIND", action="append", choices=KINDS, help=", ".join(KINDS))
    add("--json", metavar="FILE", help="write the result for machines")
    options = parser.parse_args(argv)
    if not options.minutes > 0 or options.clients < 1:
        parser.error("--minutes and --clients are above 0")
    check_result(parser, options.json)
    if options.seed is None:
        options.seed = random.randrange(10**6)
    return options


class Reporter(logging.Handler):
    """Errors that our client logs."""

    def __init__(self, ledger):
        super().__init__(logging.ERROR)
        self.ledger = ledger

    def emit(self, record):
        self.ledger.error(f"client log: {self.format(record)}")


class Soak:
    def __init__(self, options, place, ledger):
        self.options = options
        self.place = place
        self.ledger = ledger
        self.began = time.monotonic()
        self.gate = asyncio.Event()
        self.running = {}  # visit -> since when
        self.number = 0
        self.latencies = []
        self.samples = []  # what the server said, and when, every few seconds
        self.lulls = []  # the same, with nobody there
        self.before = None  # ... and before anybody came
        self.interrupted = False
        self.session = None

    @property
    def elapsed(self):
        return time.monotonic() - self.began

    # -- the clients ------------------------------------------------------------------------------

    async def take_turns(self):
        """One visit after the other, while the gate is open."""
        while True:
            await self.gate.wait()
            self.number += 1
            visit = Visit(
                self.place, self.ledger, self.options.seed, self.number, self.options.only
            )
            self.running[visit] = self.elapsed
            self.ledger.visits[visit.name] += 1
            try:
                async with asyncio.timeout(VISIT_S):
                    await visit.run()
            except Exception as error:
                self.ledger.error(f"{visit}: {tell(error)}")
            finally:
                del self.running[visit]

    async def canary(self):
        """One message at a time, on a connection of its own: how long its echo takes."""
        ws = await self.session.websocket("/canary")
        clock = time.perf_counter
        while True:
            began = clock()
            await ws.send(b"chirp")
            if await ws.recv() != b"chirp":
                self.ledger.error("the canary sang another song")
            self.latencies.append(clock() - began)
            await asyncio.sleep(0.05)

    # -- the server -------------------------------------------------------------------------------

    async def ask(self, query=""):
        async with asyncio.timeout(30):
            response = await self.session.request("GET", "/stats" + query)
            body = await response.read()
        if response.status != 200:
            raise RuntimeError(f"/stats answers {response.status}: {self.place.said()}")
        said = json.loads(body)
        said["at_s"] = round(self.elapsed, 1)
        return said

    async def progress(self):
        every = 5 if self.options.minutes <= 5 else 10
        last = await self.ask()
        while True:
            await asyncio.sleep(every)
            if not self.place.alive:
                self.ledger.error("the server is gone")
                return
            said = await self.ask()
            spent = said["cpu_s"] - last["cpu_s"]
            said["cpu_percent"] = round(100 * spent / (said["at_s"] - last["at_s"]), 1)
            last = said
            self.samples.append(
                {
                    key: said[key]
                    for key in ("at_s", "resident", "cpu_percent", "connections", "streams")
                }
            )
            ledger = self.ledger
            print(
                f"[{said['at_s']:5.0f} s] {show(ledger.messages)} messages, "
                f"{show(ledger.octets / MIB)} MiB echoed right, "
                f"{show(ledger.connections)} connections ({said['connections']} now, "
                f"{said['streams']} streams); errors: {show(ledger.expected.total())} expected, "
                f"{ledger.unexpected + said['errors']} not; "
                f"server {show(said['resident'] / MIB)} MiB, {said['cpu_percent']:.0f} % CPU",
                flush=True,
            )

    async def lull(self):
        """Everybody leaves; what does the server hold then?"""
        self.gate.clear()
        until = self.elapsed + VISIT_S + 5
        while self.running and self.elapsed < until:
            await asyncio.sleep(0.05)
        for visit in self.running:
            self.ledger.error(f"{visit} does not end")
        until = self.elapsed + QUIET_S
        while True:
            said = await self.ask()
            left = self.left_over(said)
            if not left or self.elapsed > until:
                break
            await asyncio.sleep(0.2)
        if left:
            self.ledger.error(f"the server still holds {left} {QUIET_S} s after the last visit")
        said = await self.ask("?settled")
        gc.collect()
        said["client_blocks"] = sys.getallocatedblocks()
        self.lulls.append(said)

    def left_over(self, said):
        """What is there that was not before anybody came."""
        return {
            name: said[name] - self.before[name]
            for name in ("connections", "streams", "tasks", "octets_buffered", "octets_queued")
            if said[name] > self.before[name]
        }

    # -- the whole --------------------------------------------------------------------------------

    async def run(self):
        """Soak; then return what tasks of our client are left."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self.reported)
        loop.add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
        async with self.place.session() as self.session:
            try:
                await self.soak()
            except asyncio.CancelledError:
                self.interrupted = True
        await asyncio.sleep(0.1)
        return asyncio.all_tasks() - {asyncio.current_task()}

    def reported(self, loop, context):
        """Something went to the exception handler of our loop."""
        error = context.get("exception")
        if isinstance(error, RuntimeError) and "the handler is closed" in str(error):
            # uvloop's TLS, written to after the server closed under it and before it says so.
            self.ledger.expected["write to what is closed"] += 1
            return
        self.ledger.error(f"client loop: {context}")

    async def soak(self):
        seconds = self.options.minutes * 60
        every = min(LULL_S, seconds / 4)
        own = [asyncio.create_task(self.canary())]
        try:
            for _ in range(5):
                await self.ask()  # the header tables of this connection are warm
            self.before = await self.ask("?settled")
            watching = asyncio.create_task(self.progress())
            own.append(watching)
            own += [asyncio.create_task(self.take_turns()) for _ in range(self.options.clients)]
            due = every
            while True:
                self.gate.set()
                await asyncio.wait([watching], timeout=max(0.5, due - self.elapsed))
                if watching.done():  # the server is gone
                    break
                await self.lull()
                due += every
                if self.elapsed >= seconds - 0.5:
                    break
        finally:
            for task in own:
                task.cancel()
            for outcome in await asyncio.gather(*own, return_exceptions=True):
                if isinstance(outcome, Exception) and not isinstance(outcome, ConnectionClosed):
                    self.ledger.error(f"the soak's own task failed: {tell(outcome)}")

    def plain(self):
        ledger = self.ledger
        chirps = sorted(self.latencies) or [0.0]
        return {
            "seconds": round(self.elapsed, 1),
            "visits": dict(sorted(ledger.visits.items())),
            "messages": ledger.messages,
            "octets": ledger.octets,
            "connections": ledger.connections,
            "requests": ledger.requests,
            "errors_expected": dict(sorted(ledger.expected.items())),
            "errors_unexpected": ledger.unexpected,
            "mismatches": ledger.mismatches,
            "texts": ledger.texts,
            "canary": {
                "chirps": len(self.latencies),
                "median_ms": round(1000 * statistics.median(chirps), 2),
                "99th_ms": round(1000 * chirps[len(chirps) * 99 // 100], 2),
                "worst_ms": round(1000 * chirps[-1], 2),
            },
            "before": self.before,
            "lulls": self.lulls,
            "samples": self.samples,
        }


def tell(error):
    """An exception in one line; of a group, its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "/bench/" in code.co_filename:
            frames.append(f"{code.co_name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__}: {error} [{' > '.join(frames[-3:])}]"


def main(argv=None):
    options = arguments(argv)
    ledger = Ledger()
    logging.getLogger().addHandler(Reporter(ledger))
    with contextlib.ExitStack() as stack:
        files = stack.enter_context(certificate()) if options.tls else None
        try:
            place = Place(options.api, options.pure, files)
        except NotStarted as error:
            print(f"python -m bench soak: the server did not start: {error}", file=sys.stderr)
            return 2
        print(
            f"soak of {options.minutes:g} minutes, seed {options.seed}: "
            f"{'pure' if options.pure else 'compiled'} server, {options.api} API, "
            f"{'TLS' if options.tls else 'cleartext'}, {options.clients} visits at a time",
            flush=True,
        )
        _, factory = loops.choose(None)
        left = None
        try:
            with asyncio.Runner(loop_factory=factory) as runner:
                # The soak is made in its loop.
                soak, left = runner.run(run(options, place, ledger))
        finally:
            code, last_words = place.stop()
    verdict = Verdict(options, soak.plain(), soak.interrupted)
    verdict.judge(code, last_words, place.said(), [repr(task) for task in left])
    print(verdict.text())
    if options.json:
        verdict.write(options.json)
    if soak.interrupted:
        return 130
    return 0 if verdict.passed else 1


async def run(options, place, ledger):
    soak = Soak(options, place, ledger)
    return soak, await soak.run()
