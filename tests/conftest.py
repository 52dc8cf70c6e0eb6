"""Both twins of the engine, for every test that takes `twin` or `engine`."""

import gc
import logging
import os
import signal
import threading
import zlib

import pytest

from h2ws_fast import _twins

REQUIRE_COMPILED = os.environ.get("H2WS_FAST_REQUIRE_COMPILED", "") not in ("", "0")

# A shell lets what it runs in the background ignore Ctrl-C, and a process leaves that to those it
# starts: the tests that interrupt a program would wait for ever.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# It says so once in a process, to whichever test comes first: some of them read all that is logged.
_twins.warn_if_pure(logging.Logger("unheard", logging.CRITICAL))

# Where clients go through a proxy they still reach the servers of the tests straight.
os.environ["no_proxy"] = ",".join((os.environ.get("no_proxy", ""), "127.0.0.1", "localhost", "::1"))


def available_twins():
    if _twins.COMPILED or REQUIRE_COMPILED:
        return ("compiled", "pure")
    return ("pure",)


def pytest_report_header():
    runs = "compiled" if _twins.COMPILED else "pure"
    return (
        f"h2ws_fast: the {runs} twin runs; tests of the engine take {', '.join(available_twins())}"
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What is collected is half a million objects, and stays: the collector never looks at them.

    Each `gc.collect()` of a test would take 0.1 s, and many tests end with one.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(config, items):
    """`H2WS_FAST_PART=I/N` takes every N-th test, beginning at the I-th: one part of a long run."""
    part, _, parts = os.environ.get("H2WS_FAST_PART", "0/1").partition("/")
    chosen, left = [], []
    for item in items:
        mine = zlib.crc32(item.nodeid.encode()) % int(parts) == int(part)
        (chosen if mine else left).append(item)
    items[:] = chosen
    config.hook.pytest_deselected(items=left)


@pytest.fixture(scope="session", params=available_twins())
def twin(request):
    """The `engine` package of each twin in turn: `twin.Connection(...)`."""
    return _twins.load(request.param)
