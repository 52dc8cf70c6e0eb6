"""Every test runs on both loops, against each kind of server that is right about it.

`place` is ours alone and within uvicorn; with hypercorn as reference, unless the test is marked
`differs` with what hypercorn does instead.
"""

import logging

import pytest

from tests.aio.conftest import (  # noqa: F401  # fixtures and hooks
    certificate,
    client_tls,
    pytest_generate_tests,
    pytest_pyfunc_call,
)
from tests.support.asgi import KINDS, Place
from tests.support.programs import module


def pytest_configure(config):
    config.addinivalue_line("markers", "differs(what): what hypercorn does otherwise")


@pytest.fixture(params=KINDS)
def place(request):
    if request.param != "standalone":
        module(request.param)
    if request.param == "hypercorn":
        marker = request.node.get_closest_marker("differs")
        if marker is not None:
            pytest.skip(f"hypercorn: {marker.args[0]}")
        if "uvloop" in request.node.name:
            pytest.skip("one loop is enough for the reference")
    return Place(request.param)


@pytest.fixture(params=KINDS[:2])
def ours(request):
    """As `place`, ours only."""
    if request.param != "standalone":
        module(request.param)
    return Place(request.param)


@pytest.fixture(params=KINDS[:2])
def secure(request, certificate):  # noqa: F811
    """As `place`, over TLS, ours only."""
    if request.param != "standalone":
        module(request.param)
    return Place(request.param, certificate)


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
