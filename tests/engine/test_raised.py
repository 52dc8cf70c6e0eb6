"""Calls that come back whatever they raise, on both twins."""

import sys
import traceback

import pytest

from tests.support import twins


@pytest.fixture(scope="session")
def module(twin):
    return twins.of(twin, "raised")


def test_what_a_function_raises_comes_back(module):
    def fail(argument):
        raise KeyboardInterrupt(argument)

    assert module.attempt(len, b"four") == 4
    assert module.attempt(lambda argument: argument, None) is None
    assert module.attempt(type("Callable", (), {"__call__": lambda self, n: n + 1})(), 1) == 2
    raised = module.attempt(fail, "stop")
    assert type(raised) is module.Raised
    assert type(raised.error) is KeyboardInterrupt and raised.error.args == ("stop",)
    names = [entry.name for entry in traceback.extract_tb(raised.error.__traceback__)]
    assert names[-1] == "fail"
    assert type(module.attempt(None, 1).error) is TypeError
    assert sys.exc_info() == (None, None, None)
