"""A pool before HAProxy and nghttpx: their limit on streams, and their going away."""

import asyncio
import signal
import socket
import subprocess
import time
from functools import partial

import pytest

from h2ws_fast import Pool
from tests.support.programs import Echo, running, wait_for_port
from tests.support.proxies import haproxy, haproxy_of, nghttpx_of
from tests.support.within import within

run = partial(within, 30)


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """HTTP/2 in cleartext, two streams a connection."""
    settings = "tune.h2.max-concurrent-streams 2"
    with Echo("--cleartext") as server:
        with haproxy(server.port, tmp_path_factory.mktemp("proxy"), settings=settings) as ports:
            yield ports[1]


def test_streams_wait_for_the_proxys_limit(port):
    uri = f"ws://127.0.0.1:{port}/"

    async def main():
        async with Pool(http="h2", connections_per_origin=2) as pool:
            sockets = [await pool.websocket(uri) for _ in range(4)]
            assert len({ws.wire for ws in sockets}) == 2
            waiting = [asyncio.ensure_future(pool.websocket(uri)) for _ in range(3)]
            await asyncio.sleep(0.1)
            assert not any(task.done() for task in waiting)
            for number, ws in enumerate(sockets):
                await ws.send(str(number))
                assert await ws.recv() == str(number)
                await ws.close()
            for task in waiting:
                ws = await task
                await ws.send("there")
                assert await ws.recv() == "there"
            stats = pool.stats()
            assert (stats["opened"], stats["waiting"], stats["streams"]) == (2, 0, 3)

    run(main())


QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@pytest.fixture
def replaced(request, tmp_path):
    """A port, and how to have another process of the proxy take it over from the first."""
    kind = request.param
    with Echo("--cleartext") as server:
        if kind == "haproxy":
            command, port, _ = haproxy_of(server.port, tmp_path)
        else:
            command, port = nghttpx_of(server.port, tmp_path)
        with running(command, **QUIET) as first:
            wait_for_port(port, first)
            begun = []

            def replace():
                more = []
                if kind == "haproxy":
                    more = ["-sf", str(first.pid)]
                else:
                    first.send_signal(signal.SIGQUIT)
                    wait_for_nobody(port)
                second = running([*command, *more], **QUIET)
                process = second.__enter__()
                begun.append(second)
                wait_for_port(port, process)
                return first

            yield port, replace
            for second in begun:
                second.__exit__(None, None, None)


def wait_for_nobody(port):
    """Wait until nothing accepts on a port any more."""
    due = time.monotonic() + 20
    while time.monotonic() < due:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            return
        except (ConnectionResetError, TimeoutError):
            pass  # it closed its socket while we stood in the queue
        time.sleep(0.02)
    raise AssertionError(f"something still accepts on port {port}")


async def echoed(ws, words):
    await ws.send(words)
    assert await ws.recv() == words


@pytest.mark.parametrize("replaced", ["haproxy", "nghttpx"], indirect=True)
def test_a_proxy_that_is_replaced_is_left_stream_by_stream(replaced):
    port, replace = replaced
    uri = f"ws://127.0.0.1:{port}/"

    async def main():
        async with Pool(http="h2") as pool:
            old = await pool.websocket(uri)
            await echoed(old, "before")
            first = await asyncio.to_thread(replace)
            # It says GOAWAY when something comes or goes.
            while not old.wire.conn.draining:
                await echoed(old, "is it leaving?")
                await asyncio.sleep(0.05)
            new = await pool.websocket(uri)
            assert new.wire is not old.wire
            await echoed(new, "elsewhere")
            await echoed(old, "to the end")
            stats = pool.stats()
            assert (stats["connections"], stats["leaving"], stats["opened"]) == (2, 1, 2)
            await old.close()
            await asyncio.wait_for(asyncio.shield(old.wire.gone), 10)
            assert pool.stats()["leaving"] == 0
            assert await asyncio.to_thread(first.wait, 20) == 0
            await echoed(new, "alone")

    run(main())
