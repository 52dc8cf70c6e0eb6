"""Something of asyncio's done again and again: what it leaves behind would grow."""

import asyncio
import heapq
import logging
import os

from .census import Census

TIMES = int(os.environ.get("H2WS_FAST_AGAIN", "20"))  # `make leaks` has more
ROUNDS = 5  # what is kept grows in each of them, what a cache takes does not
RESIDENT = 2**22


async def flat(attempt, server=None, blocks=1):
    """Whatever fails in `attempt`, doing it again and again keeps nothing.

    No object of ours, and of the allocator's blocks less than so many for each.
    """

    async def often():
        for _ in range(TIMES):
            await attempt()
        async with asyncio.timeout(10):
            while asyncio.all_tasks() != tasks or (server is not None and server._wires):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        drop_cancelled_timers(asyncio.get_running_loop())

    tasks = asyncio.all_tasks()
    logging.disable()  # pytest keeps every record
    try:
        await repeat_and_compare(often, blocks * TIMES)
    finally:
        logging.disable(logging.NOTSET)


def drop_cancelled_timers(loop):
    """asyncio's own loop keeps them until a hundred are half of all, or their time has come."""
    scheduled = getattr(loop, "_scheduled", None)
    if scheduled is not None:
        scheduled[:] = [handle for handle in scheduled if not handle.cancelled()]
        heapq.heapify(scheduled)
        loop._timer_cancelled_count = 0


async def repeat_and_compare(often, blocks=TIMES):
    await often()
    await often()
    for _ in range(ROUNDS):
        before = Census()
        await often()
        after = Census()
        more = after.more_than(before)
        if after.blocks - before.blocks < blocks and not more:
            break
    assert not more, more
    # Blocks of the allocator too: bytes, lists and dicts are no objects of ours.
    assert after.blocks - before.blocks < blocks, after.blocks - before.blocks
    assert after.resident - before.resident < RESIDENT
    assert not after.garbage
