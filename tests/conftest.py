"""Both twins of the engine, for every test that takes `twin` or `engine`."""

import os

import pytest

from h2ws_fast import _twins

REQUIRE_COMPILED = os.environ.get("H2WS_FAST_REQUIRE_COMPILED", "") not in ("", "0")


def pytest_report_header():
    return f"h2ws_fast: the {'compiled' if _twins.COMPILED else 'pure'} twin runs"


@pytest.fixture(scope="session", params=("compiled", "pure"))
def twin(request):
    """The `engine` package of each twin in turn: `twin.Connection(...)`."""
    try:
        return _twins.load(request.param)
    except ImportError as error:
        if REQUIRE_COMPILED:
            raise
        pytest.skip(f"no compiled twin here: {error}")
