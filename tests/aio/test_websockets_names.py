"""docs/websockets.md names everything that the installed websockets has, and speaks the truth."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

import h2ws_fast.websockets as ours

theirs = pytest.importorskip("websockets")
DOCUMENT = Path(__file__).parents[2] / "docs" / "websockets.md"

pytestmark = pytest.mark.skipif(not DOCUMENT.is_file(), reason="docs/ is not here: no source tree")


def tables():
    """Heading -> {name: what stands beside it}."""
    found = {}
    heading = None
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("## "):
            heading = line[3:].replace("`", "")
        elif line.startswith("| `"):
            names, said = line.strip("| ").split(" | ", 1)
            for name in re.findall(r"`([^`]+)`", names):
                assert name not in found.setdefault(heading, {}), name
                found[heading][name] = said
    return found


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


def parameters(function):
    return set(inspect.signature(function).parameters)


def expected():
    server = importlib.import_module("websockets.asyncio.server")
    client = importlib.import_module("websockets.asyncio.client")
    # Attributes that `__init__` sets, of those that its documentation lists.
    attributes = {"id", "logger", "request", "response", "latency"}
    return {
        "Names of websockets": set(theirs.__all__) - set(theirs.exceptions.__all__),
        "Errors": set(theirs.exceptions.__all__),
        "Arguments of serve": parameters(server.serve),
        "Arguments of connect": parameters(client.connect),
        "A connection": public(server.ServerConnection)
        | public(client.ClientConnection)
        | attributes,
        "A server": public(server.Server),
    }


@pytest.mark.parametrize("heading", list(expected()))
def test_each_name_stands_in_the_table(heading):
    assert set(tables()[heading]) == expected()[heading]


def here(heading):
    from h2ws_fast import Server, WebSocket

    return {
        "Names of websockets": public(ours),
        "Errors": set(ours.exceptions.__all__),
        "A connection": public(WebSocket),
        "A server": public(Server),
    }[heading]


@pytest.mark.parametrize("heading", ["Names of websockets", "Errors", "A connection", "A server"])
def test_what_is_told_to_be_here_is_here(heading):
    for name, said in tables()[heading].items():
        assert (name in here(heading)) != said.startswith("absent"), name


def test_errors_are_related_as_there():
    for name in theirs.exceptions.__all__:
        one, other = getattr(ours.exceptions, name), getattr(theirs.exceptions, name)
        for parent in other.__mro__[1:]:
            if parent.__module__ == "websockets.exceptions":
                assert issubclass(one, getattr(ours.exceptions, parent.__name__)), name
        assert getattr(ours, name) is one


def test_modules_have_the_names_of_their_counterparts():
    for module in ("client", "server", "router"):
        name = f"websockets.asyncio.{module}"
        mine = importlib.import_module(f"h2ws_fast.{name}")
        assert set(importlib.import_module(name).__all__) <= set(mine.__all__)


def test_close_codes_are_theirs():
    assert {code.name: code.value for code in ours.CloseCode} == {
        code.name: code.value for code in theirs.CloseCode
    }
    assert {state.name: state.value for state in ours.State} == {
        state.name: state.value for state in theirs.State
    }


@pytest.mark.parametrize("name", ["create_connection", "extensions"])
def test_what_has_no_counterpart_is_refused(name):
    with pytest.raises(TypeError, match=name):
        ours.connect("ws://localhost/", **{name: [object]})
    with pytest.raises(TypeError, match=name):
        ours.serve(print, **{name: [object]})
    ours.connect("ws://localhost/", **{name: None})
    ours.serve(print, **{name: None}, compression=None)
