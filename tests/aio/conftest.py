"""Runs every `async def test_...` on asyncio's own loop and on uvloop.

The twin is that of the process: the suite runs twice, once with `H2WS_FAST_PURE=1`. A test fails
where something was reported to the loop's exception handler, or where a task outlives it.
"""

import asyncio
import contextlib
import gc
import inspect
import warnings

import pytest

from h2ws_fast import serve
from h2ws_fast.aio import tls
from tests.support.certificates import write_certificate

try:
    import uvloop
except ImportError:  # Windows
    uvloop = None

LOOPS = {"asyncio": asyncio.new_event_loop}
if uvloop is not None:
    LOOPS["uvloop"] = uvloop.new_event_loop

LIMIT_S = 30  # or as the mark `timeout` says


def pytest_generate_tests(metafunc):
    if inspect.iscoroutinefunction(metafunc.function):
        metafunc.fixturenames.append("loop_kind")
        metafunc.parametrize("loop_kind", list(LOOPS), indirect=False)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    kwargs = {name: pyfuncitem.funcargs[name] for name in names}
    mark = pyfuncitem.get_closest_marker("timeout")
    limit = LIMIT_S if mark is None else mark.args[0]
    run(pyfuncitem.obj(**kwargs), pyfuncitem.callspec.params["loop_kind"], limit)
    return True


def run(coroutine, kind="asyncio", limit=LIMIT_S):
    """Run to the end on a new loop, and look for what is left behind."""
    reported = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        async with asyncio.timeout(limit):
            await coroutine
        await asyncio.sleep(0)
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
            left = runner.run(main())
        gc.collect()
    assert not left, left
    assert not reported, reported
    never = [w for w in caught if "never awaited" in str(w.message)]
    assert not never, [str(w.message) for w in never]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """(certificate, key) of a self-signed server on 127.0.0.1, an elliptic curve's."""
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def rsa_certificate(tmp_path_factory):
    return write_certificate(tmp_path_factory.mktemp("tls"), "rsa")


@pytest.fixture
def server_tls(certificate):
    return tls.server_context(*certificate)


@pytest.fixture
def client_tls(certificate):
    return tls.client_context(cafile=certificate[0])


class Place:
    """A server to start, cleartext or TLS, and the URIs that lead to it."""

    def __init__(self, server_ssl=None, client_ssl=None):
        self.server_ssl = server_ssl
        self.client_ssl = client_ssl

    @contextlib.asynccontextmanager
    async def serve(self, handler=None, **options):
        async with serve(handler, "127.0.0.1", 0, ssl=self.server_ssl, **options) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield server

    @property
    def secure(self):
        return self.server_ssl is not None

    def ws(self, path="/"):
        return f"{'wss' if self.secure else 'ws'}://127.0.0.1:{self.port}{path}"

    @property
    def http(self):
        return f"{'https' if self.secure else 'http'}://127.0.0.1:{self.port}"


@pytest.fixture(params=("cleartext", "tls"))
def place(request, certificate):
    """Cleartext and TLS in turn."""
    if request.param == "cleartext":
        return Place()
    return Place(tls.server_context(*certificate), tls.client_context(cafile=certificate[0]))


@pytest.fixture(params=("h2", "h1"))
def http(request):
    """What a client speaks."""
    return request.param


@pytest.fixture
def clear():
    """Cleartext only, where TLS would show nothing else."""
    return Place()
