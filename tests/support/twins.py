"""One module of the engine, of either twin."""

import importlib

import pytest

from h2ws_fast import _twins


def of(engine, name):
    """The module of an `engine` package, as the fixture `twin` gives them."""
    return importlib.import_module(f".{name}", engine.__name__)


def compiled(name):
    """The compiled module. Skips the test where there is none."""
    try:
        return of(_twins.load("compiled"), name)
    except ImportError as error:
        pytest.skip(f"no compiled twin here: {error}")


def both(name):
    """The module of each twin there is, for tests that compare them."""
    twins = ["pure", "compiled"] if _twins.COMPILED else ["pure"]
    return [of(_twins.load(twin), name) for twin in twins]


def beside(module, name):
    """Another module of the same twin."""
    return importlib.import_module(f"{module.__name__.rpartition('.')[0]}.{name}")


def is_compiled(module):
    return not module.__file__.endswith(".py")
