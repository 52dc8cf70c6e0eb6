"""SECURITY.md says what the code does: every limit, its default, and the name it is counted under."""

import inspect
import re
from pathlib import Path

import pytest

import h2ws_fast.engine
from h2ws_fast import serve
from h2ws_fast.engine import Connection, Limits, Role, Settings

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "SECURITY.md"
SOURCES = Path(h2ws_fast.engine.__file__).parent

pytestmark = pytest.mark.skipif(not DOCUMENT.exists(), reason="no source tree: no SECURITY.md")


def tables():
    """{limit: (default, what it stops, others, counter)} of each table of limits."""
    found = []
    for line in DOCUMENT.read_text("utf-8").splitlines():
        if line.startswith("| limit |"):
            found.append({})
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if found and line.startswith("| `") and len(cells) == 5:
            found[-1][cells[0].strip("`")] = cells[1:]
    return found


def number(text):
    return None if text == "none" else float(text.replace(" ", ""))


def given(value):
    """A default as the document has it: for a Limits, infinity and 2^62 are none."""
    return None if value is None or value in (float("inf"), 2**62) else float(value)


def test_every_limit_of_a_connection_stands_there_with_its_default():
    limits, _ = tables()
    names = [name for name in dir(Limits()) if not name.startswith("_")]
    assert sorted(limits) == sorted(names)
    for name, (default, stops, others, _) in limits.items():
        assert number(default) == given(getattr(Limits(), name)), name
        assert stops and others, name


def test_every_limit_of_a_server_stands_there_with_its_default():
    _, limits = tables()
    settings = Settings(**{})
    for name, (default, stops, others, _) in limits.items():
        if name in inspect.signature(serve).parameters:
            actual = inspect.signature(serve).parameters[name].default
        elif name == "max_concurrent_streams":
            entries = dict(settings.entries(False))
            actual = entries[0x3]
        else:
            actual = getattr(settings, name)
        assert number(default) == given(actual), name
        assert stops and others, name
    for name in inspect.signature(serve).parameters:
        if name.startswith("max_connections") or name.endswith("_budget"):
            assert name in limits, name


def test_counters_are_names_that_are_counted():
    connection, server = tables()
    sources = "".join(path.read_text("utf-8") for path in SOURCES.glob("*.py"))
    counted = set(re.findall(r'(?:hit|count|reached|count_hit|_on_idle)\(\s*"(\w+)"', sources))
    sources = (SOURCES.parent / "aio" / "admission.py").read_text("utf-8")
    counted |= set(re.findall(r'name = "(\w+)"', sources))
    for table in (connection, server):
        for name, cells in table.items():
            if not cells[-1].startswith("none"):
                assert cells[-1].strip("`") in counted, (name, cells[-1])
    # And nothing that is counted is left out.
    named = {cells[-1].strip("`") for table in (connection, server) for cells in table.values()}
    of_a_connection = {name for name in counted if name in connection}
    assert of_a_connection <= named
    assert Connection(Role.SERVER).stats()["limits"] == {}
