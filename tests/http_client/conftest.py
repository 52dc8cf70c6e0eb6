"""Runs every `async def test_...` on each loop, as the tests of the asyncio layer do."""

import contextlib
import inspect

import httpx
import pytest

from h2ws_fast import COMPILED
from h2ws_fast.httpx import AsyncTransport, Transport
from tests.aio.conftest import (  # noqa: F401  # hooks and fixtures
    LOOPS,
    certificate,
    clear,
    client_tls,
    place,
    pytest_pyfunc_call,
    server_tls,
)


def pytest_generate_tests(metafunc):
    # A module may name its loops; the pure twin is the same on both.
    if inspect.iscoroutinefunction(metafunc.function):
        loops = tuple(LOOPS) if COMPILED else ("asyncio",)
        metafunc.fixturenames.append("loop_kind")
        metafunc.parametrize("loop_kind", getattr(metafunc.module, "LOOPS", loops))


def options(where, named):
    named.setdefault("verify", where.client_ssl if where.secure else False)
    named.setdefault("prior_knowledge", not where.secure)
    return named


@pytest.fixture
def client():
    """`client(where, ...)`: an AsyncClient that leads there; named arguments are the transport's."""

    @contextlib.asynccontextmanager
    async def make(where, timeout=5, **named):
        transport = AsyncTransport(**options(where, named))
        async with httpx.AsyncClient(
            transport=transport, base_url=where.http, timeout=timeout
        ) as made:
            yield made

    return make


@pytest.fixture
def blocking():
    """The same for threads."""

    @contextlib.contextmanager
    def make(where, timeout=5, **named):
        transport = Transport(**options(where, named))
        with httpx.Client(transport=transport, base_url=where.http, timeout=timeout) as made:
            yield made

    return make


class Raw:
    """Where a raw server listens, as `client` wants it."""

    secure = False

    def __init__(self, server):
        self.http = f"http://127.0.0.1:{server.port}"


@pytest.fixture
def raw():
    return Raw
