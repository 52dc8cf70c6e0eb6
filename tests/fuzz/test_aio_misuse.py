"""Wrong calls above the engine: WebSockets and sessions raise, and their process lives on."""

import asyncio
import random

import pytest

from h2ws_fast import COMPILED, Session, connect, serve

from .misuse import NUMBERS, OCTETS, TEXTS, Octets, Odd, Text, released

VALUES = (*NUMBERS, *TEXTS[:5], *OCTETS, None, (), [1, "x"], {"a": 1}, object(), print, asyncio)
FIELDS = ("request", "response", "state", "wire", "stream_id", "close_code", "latency", "mine")
# Neither `abort`, nor the Wire, which is called by the engine alone and logs what it is called with:
# half a surrogate pair gets into no report.
OURS = ("abort", "connection", "wire")
UNTOUCHED = (*OURS, "__init_subclass__", "__subclasshook__", "__class__", "__del__")


def value(rng, ws):
    how = rng.randrange(8)
    if how == 0:
        return rng.choice((Odd(rng), Text("text"), Octets(b"octets"), released(), ws))
    return rng.choice(VALUES)


async def misuse(rng, ws, calls):
    """Call methods with wrong arguments, and drive by hand what they return."""
    names = [name for name in dir(type(ws)) if name not in UNTOUCHED and name[0] != "_"]
    names += ["__aiter__", "__anext__", "__repr__", "__hash__", "__eq__", "__reduce_ex__"]
    waiting = []
    for _ in range(calls):
        name = rng.choice(names)
        try:
            found = getattr(ws, name)
            # What is compiled refuses what does not fit; Python's own attributes take anything.
            if rng.random() < 0.1 and COMPILED:
                setattr(ws, rng.choice(FIELDS), value(rng, ws))
            if not callable(found):
                continue
            made = found(*[value(rng, ws) for _ in range(rng.randrange(3))])
        except Exception:
            continue
        how = rng.randrange(6)
        try:
            if how == 0:
                await asyncio.wait_for(made, 0.001)
            elif how == 1 and hasattr(made, "send"):
                made.send(rng.choice((None, 5)))
            elif how == 2 and hasattr(made, "throw"):
                made.throw(KeyError("thrown"))
            elif how == 3 and hasattr(made, "__await__"):
                iterator = made.__await__()
                next(iterator)
                next(iterator)
            elif how == 4:
                made.close()
            elif asyncio.iscoroutine(made) or hasattr(made, "__await__"):
                waiting.append(asyncio.ensure_future(made))
        except asyncio.CancelledError:
            raise
        except (Exception, GeneratorExit):
            pass
        await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def echo(ws):
    async for message in ws:
        await ws.send(message)


@pytest.mark.row("SEC-9-4")
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("seed", range(8))
def test_methods_in_any_order_with_any_arguments(seed):
    rng = random.Random(seed)
    misused = True

    async def handler(ws):
        await (misuse(rng, ws, 150) if misused and rng.random() < 0.5 else echo(ws))

    async def main():
        nonlocal misused
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        async with serve(handler, "127.0.0.1", 0) as server:
            uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            for _ in range(3):
                async with connect(uri, close_timeout=0.2) as ws:
                    await misuse(rng, ws, 150)
            # Nobody else is harmed: another WebSocket is served as ever.
            misused = False
            async with connect(uri) as ws:
                await ws.send("x")
                assert await asyncio.wait_for(ws.recv(), 5) == "x"

    asyncio.run(main())


def test_sessions_refuse_what_they_cannot_do():
    async def main():
        async with serve(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with Session(f"http://127.0.0.1:{port}") as session:
                for wrong in (None, 5, b"\xff", object(), "\0"):
                    for verb in (session.request, session.websocket, session.tunnel):
                        with pytest.raises(Exception):  # noqa: B017  (any, and no crash)
                            await asyncio.wait_for(verb(wrong), 1)

    asyncio.run(main())
