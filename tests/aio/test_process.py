"""Whole processes: Ctrl-C, and the warning of the pure twin."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from h2ws_fast import COMPILED

SERVER = """
    import asyncio, logging, sys
    from h2ws_fast import connect, serve
    logging.basicConfig(level=logging.WARNING)

    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    async def main():
        async with serve(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            ws = await connect(f"ws://127.0.0.1:{port}")
            await ws.send("x")
            assert await ws.recv() == "x"
            print("ready", flush=True)
            await server.serve_forever()

    if sys.argv[1] == "uvloop":
        import uvloop
        uvloop.run(main())
    else:
        asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process there")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_ctrl_c_ends_a_server_cleanly(loop):
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SERVER), loop],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    # asyncio's runner turns it into one KeyboardInterrupt; nothing else may be said.
    assert process.returncode in (1, 130, -signal.SIGINT), errors
    assert errors.count("Traceback") <= 3, errors
    for word in ("never awaited", "never retrieved", "was destroyed", "Exception ignored", "ERROR"):
        assert word not in errors, errors
    assert errors.rstrip().endswith("KeyboardInterrupt"), errors


RAISING = """
    import asyncio, sys
    from h2ws_fast import connect, serve

    def on_message(ws, message):
        raise KeyboardInterrupt

    async def main():
        async with serve(on_message=on_message, host="127.0.0.1", port=0) as server:
            ws = await connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            await ws.send("x")
            await asyncio.sleep(30)

    if sys.argv[1] == "uvloop":
        import uvloop
        uvloop.run(main())
    else:
        asyncio.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_ctrl_c_inside_a_callback_is_not_swallowed(loop):
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(RAISING), loop],
        capture_output=True,
        text=True,
        timeout=25,
    )
    assert done.returncode != 0
    assert "KeyboardInterrupt" in done.stderr


def test_the_pure_twin_says_so_once():
    script = """
        import asyncio, logging
        from h2ws_fast import serve, COMPILED
        logging.basicConfig(level=logging.WARNING)
        async def main():
            for _ in range(2):
                async with serve(print, "127.0.0.1", 0):
                    pass
        asyncio.run(main())
        print(COMPILED)
    """
    for pure in ("1", ""):
        environment = {**os.environ, "H2WS_FAST_PURE": pure}
        if pure:
            environment.pop("H2WS_FAST_REQUIRE_COMPILED", None)
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        if done.stdout.strip() == "True":
            assert done.stderr == ""
        else:
            assert done.stderr.count("pip install -e .") == 1
            assert pure or not COMPILED
