"""An honest client beside a hostile peer, in one process with whom it is to be kept from harm.

`Neighbour` echoes on a WebSocket of its own, from a thread with a loop of its own. `Usage` is what
the whole process used meanwhile: the peer, the neighbour and the test itself are counted in.
"""

import asyncio
import threading
import time
from pathlib import Path

from h2ws_fast import connect

PAUSE_S = 0.02
STATUS = Path("/proc/self/status")


def _memory(name):
    for line in STATUS.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(name)


class Usage:
    """`seconds` of CPU and `grown` octets of memory at the most, since it was made."""

    def __init__(self):
        self._seconds = time.process_time()
        self._resident = None
        if STATUS.exists():  # Linux
            Path("/proc/self/clear_refs").write_text("5")
            self._resident = _memory("VmRSS")

    @property
    def seconds(self):
        return time.process_time() - self._seconds

    @property
    def grown(self):
        return 0 if self._resident is None else _memory("VmHWM") - self._resident


class Neighbour:
    """Opens a WebSocket to `uri` and echoes until `stop`; `worst` is its slowest echo."""

    def __init__(self, uri, ssl=None):
        self.echoes = 0
        self.worst = 0.0
        self.failure = None
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(uri, ssl), daemon=True)

    def start(self):
        """Return once it has echoed for the first time."""
        self._thread.start()
        assert self._ready.wait(20), "the neighbour never echoed"
        assert self.failure is None, self.failure

    def stop(self):
        """Wait until it has echoed once more, and close its WebSocket."""
        wanted = self.echoes + 1
        until = time.monotonic() + 10
        while self.echoes < wanted and self.failure is None and time.monotonic() < until:
            time.sleep(0.005)
        if self.echoes < wanted and self.failure is None:
            self.failure = "it echoed no more"
        self._stop.set()
        self._thread.join(20)

    def check(self, latency):
        """What happened to others must not have happened to it."""
        assert self.failure is None, f"the neighbour: {self.failure}"
        assert self.worst < latency, f"the neighbour waited {self.worst:.2f} s"

    def _run(self, uri, ssl):
        try:
            asyncio.run(self._echo(uri, ssl))
        except Exception as error:
            self.failure = repr(error)
        self._ready.set()

    async def _echo(self, uri, ssl):
        async with connect(uri, ssl=ssl, http="h2") as ws:
            while not self._stop.is_set():
                begun = time.monotonic()
                await ws.send("are you there?")
                async with asyncio.timeout(20):
                    assert await ws.recv() == "are you there?"
                if self.echoes:
                    self.worst = max(self.worst, time.monotonic() - begun)
                self.echoes += 1
                self._ready.set()
                await asyncio.sleep(PAUSE_S)
