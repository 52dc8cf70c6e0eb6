"""Several processes of a command that share a port."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from . import CommandError
from .listener import BACKLOG, listening

__all__ = ["check", "run"]


def check(count: int) -> None:
    """Raise CommandError where this system cannot have several processes on one port."""
    if count > 1 and not (hasattr(os, "fork") and hasattr(socket, "SO_REUSEPORT")):
        raise CommandError("--workers needs fork and SO_REUSEPORT, which this system lacks")


def run(
    count: int,
    listener: socket.socket,
    url: str,
    work: Callable[[socket.socket, Callable[[], None], int], int],
    *,
    reloads: bool = False,
) -> int:
    """Run `work(socket, accepting, number)` in each of `count` processes until SIGINT or SIGTERM.

    `listener` holds the port. `url` is printed once all of them have called `accepting()`. With
    `reloads` each of them gets the SIGHUP that comes here. Raises CommandError where one fails.
    """
    # The parent holds the port with a socket that never listens; each worker listens on its own.
    reading, writing = os.pipe()
    parent = os.getpid()
    workers = set()
    for worker in range(count):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(reading)
                with listening(listener.family, listener.getsockname(), share=True) as own:
                    listener.close()
                    own.listen(BACKLOG)
                    _die_with(parent)
                    code = work(own, lambda: _say(writing), worker)
            except BaseException as error:
                print(f"h2ws-fast: a worker failed: {error!r}", file=sys.stderr)
            finally:
                sys.stdout.flush()
                os._exit(code)
        workers.add(pid)
    os.close(writing)
    stopping = []

    def stop(number: int, frame: Any) -> None:
        stopping.append(number)
        _signal(workers, signal.SIGTERM)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    ready = 0
    while ready < count:
        octets = os.read(reading, count)
        if not octets:
            break
        ready += len(octets)
    os.close(reading)
    if reloads:
        signal.signal(signal.SIGHUP, lambda number, frame: _signal(workers, number))
    if ready == count and not stopping:
        print(url, flush=True)
    failed = 0
    while workers:
        pid, status = os.wait()
        workers.discard(pid)
        if status:
            failed += 1
        if workers and not stopping:
            # One is gone that nobody stopped: do not go on with half of them.
            failed += not status
            stopping.append(0)
            _signal(workers, signal.SIGTERM)
    if failed:
        raise CommandError(f"{failed} of {count} workers failed")
    print("\ngoodbye", flush=True)
    return 0


def _say(writing: int) -> None:
    os.write(writing, b".")
    os.close(writing)


def _signal(workers: set[int], number: int) -> None:
    for pid in list(workers):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def _die_with(parent: int) -> None:
    # A worker whose parent was killed has nobody left to stop it.
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
