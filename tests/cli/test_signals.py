"""Signals of a command, on loops that know them and on one that does not, as on Windows."""

import asyncio
import os
import signal
import sys

import pytest

from h2ws_fast.cli.signals import on_signals
from tests.support.within import within

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends itself signals of POSIX")


class WindowsLoop(asyncio.SelectorEventLoop):
    """Knows no signals, as the loops of Windows."""

    def add_signal_handler(self, sig, callback, *args):
        raise NotImplementedError


@pytest.fixture(autouse=True)
def handlers():
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("factory", [asyncio.SelectorEventLoop, WindowsLoop])
def test_each_of_them_is_heard(factory):
    async def main():
        came = asyncio.Event()
        on_signals(came.set, "SIGTERM", "SIGUSR2", "SIGNOWHERE")
        for number in (signal.SIGTERM, signal.SIGUSR2):
            os.kill(os.getpid(), number)
            async with asyncio.timeout(20):
                await came.wait()
            came.clear()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


def test_one_that_comes_when_the_loop_has_ended_is_nothing():
    async def main():
        on_signals(lambda: None, "SIGUSR2")

    with asyncio.Runner(loop_factory=WindowsLoop) as runner:
        runner.run(main())
    os.kill(os.getpid(), signal.SIGUSR2)
    within(20, asyncio.sleep(0))
