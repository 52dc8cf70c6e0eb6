"""Streams that are over leave nothing behind, whichever way they ended.

`H2WS_FAST_LEAKS` is how many streams all endings together open and end (`make leaks`: a million).
"""

import gc
import os

import pytest

from h2ws_fast import COMPILED
from tests.support.census import Census

from . import compressed  # noqa: F401  its endings join the others
from .endings import FATAL, LONE, PAIRED, Lone, Pair

ENDINGS = [*PAIRED, *LONE, *FATAL]
TOTAL = int(os.environ.get("H2WS_FAST_LEAKS", "0"))
BATCH = 100
COMPRESSED = 25  # of a batch: they take as much longer
BLOCKS = 60  # what the test itself may move
CYCLES = 20
RESIDENT = 2**20


def size(name):
    """How many streams a batch opens."""
    return COMPRESSED if name.startswith("compressed") else BATCH


def work_of(twin, name):
    """A function that opens and ends a batch of streams in one of the ways."""
    n = size(name)
    if name in PAIRED:
        pair = Pair(twin)

        def work():
            PAIRED[name](pair, n)
            pair.check()

    elif name in LONE:
        role, ending = LONE[name]
        peer = Lone(twin, role)

        def work():
            ending(peer, n)
            peer.check()

    else:

        def work():
            FATAL[name](twin, n)

    return work


@pytest.mark.row("9113-5.1-8")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ENDINGS)
def test_nothing_is_left(twin, name):
    work = work_of(twin, name)
    batches = 10 if not TOTAL else TOTAL // sum(map(size, ENDINGS))
    if not twin.__name__.startswith("h2ws_fast.") or not COMPILED:
        batches = max(10, batches // 10)
    gc.disable()  # nothing may wait for it: a stream is no cycle
    try:
        for _ in range(
            10 * BATCH // size(name)
        ):  # rings, tables, pools and free lists get their size
            work()
        before = Census()
        for _ in range(batches):
            work()
        after = Census()
    finally:
        gc.enable()
    assert not after.more_than(before)
    assert after.blocks - before.blocks < BLOCKS
    assert after.resident - before.resident < RESIDENT
    assert not after.garbage
    assert after.found < CYCLES
