"""`pytest bench/` times the cases that compare commits: `--benchmark-save`, `--benchmark-compare`.

The twin is the one that the process runs (`H2WS_FAST_PURE=1` for the other).
"""

import pytest

pytest.importorskip("pytest_benchmark")

from . import ours

CASES = [
    ("receive", {"size": 5, "streams": 100, "count": 2000}),
    ("receive", {"size": 125, "streams": 100, "count": 2000}),
    ("receive", {"size": 125, "streams": 100, "count": 2000, "kind": "ascii"}),
    ("receive", {"size": 125, "streams": 100, "count": 2000, "kind": "mixed"}),
    ("receive", {"size": 125, "streams": 100, "count": 2000, "credit": "consumed"}),
    ("receive", {"size": 16384, "streams": 100, "count": 256}),
    ("receive", {"size": 1 << 20, "streams": 100, "count": 8}),
    ("echo", {"size": 125, "streams": 100, "count": 2000}),
    ("echo", {"size": 16384, "streams": 100, "count": 256}),
    ("send", {"size": 125, "streams": 100, "count": 2000}),
    ("send", {"size": 1 << 20, "streams": 1, "count": 8}),
    ("broadcast", {"size": 125, "streams": 1000}),
    ("split", {"size": 1 << 20, "window": 16384}),
    ("split", {"size": 1 << 20, "window": 100}),
    ("split", {"size": 1 << 14, "window": 1}),
    ("blocked", {"streams": 1000}),
    ("handshake", {"warm": True, "count": 100}),
    ("handshake", {"warm": False, "count": 30}),
    ("heads", {"count": 2000}),
    ("datagrams", {"size": 1200, "count": 320}),
    ("unmask", {"size": 1024}),
]


def name(case):
    what, parameters = case
    return "-".join([what, *(f"{key}={value}" for key, value in parameters.items())])


@pytest.mark.parametrize("case", CASES, ids=name)
def test_case(case, benchmark):
    what, parameters = case
    made = ours.CASES[what](**parameters)
    made.check()
    benchmark.extra_info.update(messages=made.messages, twin=ours.NAME)
    benchmark.pedantic(made.round, setup=made.prepare, rounds=20, warmup_rounds=2)
