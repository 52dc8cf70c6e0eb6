"""A coroutine of a test that is not asynchronous itself."""

import asyncio


def within(seconds, coroutine):
    """Run it on a loop of its own; raise TimeoutError where it takes longer."""

    async def bounded():
        async with asyncio.timeout(seconds):
            return await coroutine

    return asyncio.run(bounded())
