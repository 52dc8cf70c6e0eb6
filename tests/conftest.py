"""Both twins of the engine, for every test that takes `twin` or `engine`."""

import os

import pytest

from h2ws_fast import _twins

REQUIRE_COMPILED = os.environ.get("H2WS_FAST_REQUIRE_COMPILED", "") not in ("", "0")


def available_twins():
    if _twins.COMPILED or REQUIRE_COMPILED:
        return ("compiled", "pure")
    return ("pure",)


def pytest_report_header():
    runs = "compiled" if _twins.COMPILED else "pure"
    return (
        f"h2ws_fast: the {runs} twin runs; tests of the engine take {', '.join(available_twins())}"
    )


@pytest.fixture(scope="session", params=available_twins())
def twin(request):
    """The `engine` package of each twin in turn: `twin.Connection(...)`."""
    return _twins.load(request.param)
