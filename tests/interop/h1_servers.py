"""Servers of HTTP/1.1 that others wrote, in processes of their own: see python_h1_server.py."""

import contextlib
import subprocess
import sys
from pathlib import Path

from tests.support.programs import module, node_module, program, read_line, running

HERE = Path(__file__).parent
KINDS = ["ws", "websockets", "aiohttp"]


@contextlib.contextmanager
def h1_server(kind):
    """Yield the port of one."""
    if kind == "ws":
        node_module("ws", HERE)
        command = [program("node", "nodejs"), str(HERE / "node_ws_server.js")]
    else:
        module(kind)
        command = [sys.executable, str(HERE / "python_h1_server.py"), kind]
    with running(command, stdout=subprocess.PIPE, bufsize=0) as process:
        yield int(read_line(process))


def answer_of(kind, code):
    """With which code it answers a Close: aiohttp has one answer to all."""
    return 1000 if kind == "aiohttp" else code
