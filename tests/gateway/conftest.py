"""A gateway between a client and a backend that are made of octets.

On one loop, uvloop where it is installed, but for what depends on transports: `BOTH`.
"""

import contextlib
import inspect

import pytest

from h2ws_fast.gateway import Backend, Route, Routes, Table, Upstream, gateway
from tests.aio.conftest import (  # noqa: F401  # fixtures and hooks
    LOOPS,
    certificate,
    client_tls,
    pytest_pyfunc_call,
    server_tls,
)

BOTH = ("test_proxy_protocol", "test_tunnels", "test_upstreams")


def pytest_generate_tests(metafunc):
    if inspect.iscoroutinefunction(metafunc.function):
        both = metafunc.module.__name__.rpartition(".")[2] in BOTH
        metafunc.fixturenames.append("loop_kind")
        metafunc.parametrize("loop_kind", list(LOOPS)[0 if both else -1 :], indirect=False)


@contextlib.asynccontextmanager
async def in_front_of(
    *backends, balance="round-robin", tokens=None, tls=None, aware=False, **options
):
    """A Gateway in front of these, and its `port`."""
    table = Table() if tokens is None else tokens
    upstream = Upstream(backends, balance=balance, table=table, aware=aware)
    if "limits" not in options:
        options.setdefault("close_timeout", 0.1)
    routes = Routes([Route(upstream)])
    options.setdefault("port", 0)
    async with gateway(routes, "127.0.0.1", table=table, ssl=tls, **options) as door:
        door.port = door.sockets[0].getsockname()[1]
        yield door


@pytest.fixture
def door():
    """`async with door(port, http="h1", tokens=Table(...)) as it:` is a gateway before that port."""

    def make(port, *, http="h1", **options):
        backend_options = options.pop("backend", {})
        backend = Backend(f"http://127.0.0.1:{port}", http=http, **backend_options)
        return in_front_of(backend, **options)

    return make
