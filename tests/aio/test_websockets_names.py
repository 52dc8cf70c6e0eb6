"""docs/websockets.md names everything that the installed websockets has, and speaks the truth."""

import asyncio
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
    for module in ("client", "connection", "server", "router"):
        name = f"websockets.asyncio.{module}"
        mine = importlib.import_module(f"h2ws_fast.{name}")
        assert set(importlib.import_module(name).__all__) <= set(mine.__all__)


def test_documented_names_beside_those_lists():
    from websockets import typing

    from h2ws_fast.websockets.asyncio.client import process_exception

    assert process_exception(OSError("gone")) is None
    wrong = ours.InvalidURI("ws:", "why")
    assert (wrong.uri, wrong.msg) == ("ws:", theirs.InvalidURI("ws:", "why").msg)
    for name in ("BytesLike", "DataLike"):
        assert getattr(ours.typing, name) == getattr(typing, name)


def test_close_codes_are_theirs():
    assert {code.name: code.value for code in ours.CloseCode} == {
        code.name: code.value for code in theirs.CloseCode
    }
    assert {state.name: state.value for state in ours.State} == {
        state.name: state.value for state in theirs.State
    }


def test_what_has_no_counterpart_is_refused():
    with pytest.raises(TypeError, match="create_connection"):
        ours.connect("ws://localhost/", create_connection=object)
    with pytest.raises(TypeError, match="create_connection"):
        ours.serve(print, create_connection=object)
    ours.connect("ws://localhost/", create_connection=None, extensions=None)
    ours.serve(print, create_connection=None, extensions=[], compression=None)


def factories(kind):
    """That of this package, and that of websockets, with the same arguments."""
    name = f"{kind}PerMessageDeflateFactory"
    for package in ("h2ws_fast.websockets", "websockets"):
        module = importlib.import_module(f"{package}.extensions.permessage_deflate")
        yield getattr(module, name)


@pytest.mark.parametrize("http", ["h2", "h1"])
@pytest.mark.parametrize("whose", ["ours", "theirs"])
async def test_extensions_are_factories_of_compression(clear, http, whose):
    client, server = (list(factories(kind))[whose == "theirs"] for kind in ("Client", "Server"))
    offered = client(server_max_window_bits=11, compress_settings={"memLevel": 4, "level": 9})
    answered = server(
        client_max_window_bits=10,
        require_client_max_window_bits=True,
        compress_settings={"level": -1},
    )
    seen = asyncio.get_running_loop().create_future()

    async def handler(ws):
        seen.set_result(ws.compression)
        async for message in ws:
            await ws.send(message)

    server = ours.serve(handler, "127.0.0.1", 0, extensions=[answered], compression=None)
    async with server:
        port = server.sockets[0].getsockname()[1]
        uri = f"ws://127.0.0.1:{port}/"
        async with ours.connect(uri, http=http, extensions=[offered], proxy=None) as ws:
            await ws.send("a" * 10)
            assert await ws.recv() == "a" * 10
            here, there = ws.compression, await seen
            assert (here.bits, here.mem_level, here.level, here.threshold) == (10, 4, 9, 0)
            assert (there.bits, there.mem_level, there.level, there.threshold) == (11, 8, 6, 0)
            assert here.sends and here.receives and there.sends and there.receives


@pytest.mark.parametrize("kind", ["Client", "Server"])
def test_factories_have_the_arguments_of_their_counterparts(kind):
    mine, other = factories(kind)
    theirs_, mine_ = inspect.signature(other).parameters, inspect.signature(mine).parameters
    assert {name: each.default for name, each in mine_.items()} == {
        name: each.default for name, each in theirs_.items()
    }
    assert mine.name == other.name
    for wrong in ({"compress_settings": {"wbits": 9}}, {"server_max_window_bits": 16}):
        with pytest.raises(ValueError):
            other(**wrong)
        with pytest.raises(ValueError):
            mine(**wrong)


def test_other_extensions_are_refused():
    mine, there = factories("Client")
    server, _ = factories("Server")

    class Another:
        name = "x-another"

        def get_request_params(self):
            return []

    for wrong in ([Another()], [server()], [mine(), mine()], [object()]):
        with pytest.raises(TypeError, match="extensions"):
            ours.connect("ws://localhost/", extensions=wrong)
    for wrong in ([mine()], [there()]):
        with pytest.raises(TypeError, match="extensions"):
            ours.serve(print, extensions=wrong)
    with pytest.raises(ValueError, match="method"):
        mine(compress_settings={"method": 9})
