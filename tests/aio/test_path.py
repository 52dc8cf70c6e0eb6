"""A tunnel over a long way: its window grows until the path is as full as plain TCP makes it.

Two network namespaces and between them 6.25 MB/s, a round trip of 50 ms and a packet lost now and
then. What one window of 256 KiB carries there is half of that.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.support.path import FAR
from tests.support.programs import program, read_line, running

RATE, DELAY, LOST = 6.25e6, 0.025, 5000
SIZE, ROUNDS = 4 * 2**20, 3
UNBUFFERED = {"stdout": subprocess.PIPE, "bufsize": 0}

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs network namespaces of Linux"),
    pytest.mark.skipif(
        not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root for network namespaces"
    ),
    pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="needs /dev/net/tun"),
]


def test_a_tunnel_fills_a_long_path():
    ip = program("ip", "iproute2")
    python = [sys.executable, "-m"]
    arguments = [*map(str, (RATE, DELAY, LOST))]
    with running([*python, "tests.support.path", *arguments], **UNBUFFERED) as path:
        near, far = ([ip, "netns", "exec", name, *python] for name in read_line(path).split())
        with running([*far, "tests.support.bulk", "serve", FAR], **UNBUFFERED) as server:
            assert read_line(server) == "ready\n"
            measure = [*near, "tests.support.bulk", "measure", FAR, str(SIZE), str(ROUNDS)]
            taken = json.loads(subprocess.run(measure, stdout=subprocess.PIPE, timeout=120).stdout)
    for direction, seconds in taken.items():
        # The best of each: whatever else the machine does only adds to it.
        assert min(seconds["tunnel"]) <= min(seconds["TCP"]) / 0.8, (direction, taken)
        assert min(seconds["TCP"]) >= SIZE / RATE * 0.8, "the path is wider than it should be"
