"""Every test runs against each kind of server that is right about it; ours alone on both loops.

`place` is ours alone and within uvicorn; with hypercorn as reference, unless the test is marked
`differs` with what hypercorn does instead.
"""

import logging

import pytest

from h2ws_fast import COMPILED
from tests.aio.conftest import (  # noqa: F401  # fixtures and hooks
    LOOPS,
    certificate,
    client_tls,
    pytest_generate_tests,
    pytest_pyfunc_call,
)
from tests.support.asgi import KINDS, Place
from tests.support.programs import module


def pytest_configure(config):
    config.addinivalue_line("markers", "differs(what): what hypercorn does otherwise")


def make_place(request, certificate=None):  # noqa: F811
    kind = request.param
    if kind == "standalone":
        return Place(kind, certificate)
    module(kind)
    if kind == "hypercorn":
        marker = request.node.get_closest_marker("differs")
        if marker is not None:
            pytest.skip(f"hypercorn: {marker.args[0]}")
        if not COMPILED:
            pytest.skip("nothing of it is ours")
    # Each of them takes a tenth of a second to end. `test_uvicorn` has both loops.
    if request.node.callspec.params["loop_kind"] != next(reversed(LOOPS)):
        pytest.skip("one loop is enough")
    return Place(kind, certificate)


@pytest.fixture(params=KINDS)
def place(request):
    return make_place(request)


@pytest.fixture(params=KINDS[:2])
def ours(request):
    """As `place`, ours only."""
    return make_place(request)


@pytest.fixture(params=KINDS[:2])
def secure(request, certificate):  # noqa: F811
    """As `place`, over TLS, ours only."""
    return make_place(request, certificate)


@pytest.fixture
def alone():
    """Ours without any other server."""
    return Place("standalone")


@pytest.fixture
def within():
    """Ours within uvicorn."""
    module("uvicorn")
    return Place("uvicorn")


@pytest.fixture
def errors(caplog):
    """The messages that were logged as errors so far: call it."""
    caplog.set_level(logging.INFO)

    def found():
        return [
            record.getMessage() + (repr(record.exc_info[1]) if record.exc_info else "")
            for record in caplog.records
            if record.levelno >= logging.ERROR
        ]

    return found
