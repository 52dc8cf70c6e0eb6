"""Arguments that make no sense are refused at once, with a message that says what to do."""

import re

import pytest

from h2ws_fast import Pool, Response, Session, asgi, connect, serve
from h2ws_fast.engine import Limits, Settings
from tests.support.scripted import Scripted


async def handle(ws):
    """A handler of anything."""


async def pieces():
    yield b"x"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"origins": "http://a.example"}, TypeError, "origins is a list of str"),
        ({"origins": re.compile("http://.*")}, TypeError, "origins is a list of str"),
        ({"origins": 5}, TypeError, "origins is a list of str"),
        ({"origins": [5]}, TypeError, "origins has str, patterns and None"),
        ({"origins": [re.compile(b"x")]}, TypeError, "a pattern in origins is of str"),
        ({"origins": ["*"]}, ValueError, "origins=None allows all"),
        ({"origins": ["a.example"]}, ValueError, "scheme://host"),
        ({"origins": ["http://a.example/"]}, ValueError, "scheme://host"),
        ({"tunnels": {"websocket": handle}}, ValueError, "give handler or on_message"),
        ({"tunnels": {"WebSocket": handle}}, ValueError, "give handler or on_message"),
        ({"tunnels": {"a b": handle}}, ValueError, "a key of tunnels is a token"),
        ({"tunnels": {"": handle}}, ValueError, "a key of tunnels is a token"),
        ({"tunnels": {"a/": handle}}, ValueError, "a key of tunnels is a token"),
        ({"tunnels": {"a": handle, "A": handle}}, ValueError, "compared without case"),
        ({"tunnels": {b"a": handle}}, TypeError, "a token of tunnels is a str"),
        ({"tunnels": {"foo": 5}}, TypeError, "must be a coroutine function: 5"),
        ({"tunnels": [handle]}, TypeError, "tunnels maps tokens"),
        ({"handler": 5}, TypeError, "handler must be callable: 5"),
        ({"on_request": 5}, TypeError, "on_request must be callable: 5"),
        ({"process_request": "x"}, TypeError, "process_request must be callable"),
        ({"process_response": "x"}, TypeError, "process_response must be callable"),
        ({"select_subprotocol": "x"}, TypeError, "select_subprotocol must be callable"),
        ({"on_message": 5, "handler": None}, TypeError, "on_message must be callable: 5"),
        ({"on_message": handle, "on_open": 1, "handler": None}, TypeError, "on_open must be"),
        ({"on_message": handle, "on_close": 1, "handler": None}, TypeError, "on_close must be"),
        ({"subprotocols": "chat"}, TypeError, "a list of str, not one str"),
        ({"subprotocols": [5]}, TypeError, "a list of str: 5"),
        ({"subprotocols": ["a b"]}, ValueError, "a subprotocol is a token"),
    ],
)
def test_what_serve_refuses(options, error, words):
    with pytest.raises(error, match=re.escape(words)):
        serve(**{"handler": handle, **options})


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: serve(handle, **options),
        lambda **options: Session("http://a.example", **options),
        lambda **options: connect("ws://a.example", **options),
        lambda **options: asgi.serve(handle, **options),
    ],
    ids=["serve", "Session", "connect", "asgi"],
)
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"ping_interval": -1}, ValueError, "ping_interval must be above 0, or None"),
        ({"ping_interval": 0}, ValueError, "ping_interval must be above 0, or None"),
        ({"ping_timeout": float("nan")}, ValueError, "ping_timeout must be above 0"),
        ({"ping_timeout": "20"}, TypeError, "ping_timeout must be a number of seconds"),
        ({"open_timeout": -1}, ValueError, "open_timeout must be above 0"),
        ({"close_timeout": -1}, ValueError, "close_timeout"),
        ({"idle_timeout": "x"}, TypeError, "idle_timeout must be a number of seconds"),
        ({"max_size": 0}, ValueError, "max_message"),
        ({"limits": {}}, TypeError, "limits must be a Limits"),
        ({"settings": {}}, TypeError, "settings must be a Settings"),
        ({"limits": Limits(), "max_size": 5}, TypeError, "limits replaces max_size"),
        ({"limits": Limits(), "max_size": None}, TypeError, "limits replaces max_size"),
        ({"limits": Limits(), "write_limit": 5}, TypeError, "limits replaces write_limit"),
        ({"limits": Limits(), "write_timeout": 5}, TypeError, "limits replaces write_timeout"),
        ({"limits": Limits(), "idle_timeout": 5}, TypeError, "limits replaces idle_timeout"),
        (
            {"limits": Limits(), "keepalive_interval": 5},
            TypeError,
            "limits replaces keepalive_interval",
        ),
        (
            {"limits": Limits(), "keepalive_timeout": 5},
            TypeError,
            "limits replaces keepalive_timeout",
        ),
    ],
)
def test_what_all_of_them_refuse(make, options, error, words):
    with pytest.raises(error, match=re.escape(words)):
        make(**options)


CALLBACKS = pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"on_message": 5}, TypeError, "on_message must be callable: 5"),
        ({"on_message": print, "on_close": 5}, TypeError, "on_close must be callable: 5"),
        ({"on_close": print}, ValueError, "on_close goes with on_message"),
    ],
)


class Untouched(Scripted):
    """A server that nobody asks for anything."""

    came = 0

    async def serve(self, reader, writer):
        self.came += 1


@CALLBACKS
@pytest.mark.parametrize("http", ["auto", "h2", "h1"])
async def test_callbacks_of_a_websocket_are_refused_before_anything_is_asked(
    options, error, words, http
):
    async with Untouched() as server:
        pool = Pool(http=http)
        with pytest.raises(error, match=re.escape(words)):
            await pool.websocket(f"ws://127.0.0.1:{server.port}/", **options)
        session = Session(f"http://127.0.0.1:{server.port}", http=http)
        with pytest.raises(error, match=re.escape(words)):
            await session.websocket(**options)
        assert server.came == 0


@CALLBACKS
async def test_callbacks_of_a_websocket_that_a_server_opens(options, error, words):
    told = []

    async def ask(session):
        try:
            with pytest.raises(error, match=re.escape(words)):
                await session.websocket(**options)
            told.append(session.stats()["open_streams"])
        finally:
            await session.close()

    async with serve(on_session=ask, handler=handle, host="127.0.0.1", port=0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Session(f"http://127.0.0.1:{port}", handler=handle) as session:
            await session.wait_closed()
    assert told == [0]


@pytest.mark.parametrize("name", ["on_message", "on_close"])
@pytest.mark.parametrize("callback", [print, 5])
async def test_who_opens_no_single_websocket_takes_no_callbacks_of_one(name, callback):
    pool = Pool()
    for make in (
        lambda **options: connect("ws://a.example", **options),
        lambda **options: connect("ws://a.example", pool=pool, **options),
        lambda **options: Session("http://a.example", **options),
        Pool,
    ):
        with pytest.raises(TypeError, match=f"{name} is of one WebSocket: give it to Session"):
            make(**{name: callback})


def test_what_makes_sense_is_taken():
    server = serve(
        handle,
        origins=iter(["http://a.example:8080", re.compile("https://.*"), None]),
        tunnels={"Foo/1.1": handle, "echo": handle},
        subprotocols=("chat",),
        limits=Limits(),
        settings=Settings(),
        open_timeout=5,
        close_timeout=5,
        ping_interval=0.5,
        ping_timeout=None,
    )
    assert set(server.options.tunnels) == {"foo/1.1", "echo"}
    assert len(server.options.origins) == 3
    Session("http://a.example", limits=Limits(), open_timeout=None, close_timeout=1)


@pytest.mark.parametrize("body", [5, [b"x"], iter([b"x"]), {}, object()])
def test_a_body_is_octets_or_gives_them(body):
    with pytest.raises(TypeError, match="bytes, str or an async iterable of bytes, not"):
        Response(200, {}, body)


@pytest.mark.parametrize("body", [None, b"x", bytearray(b"x"), memoryview(b"x"), "x", pieces()])
def test_bodies_that_can_be_sent(body):
    assert Response(200, {}, body).body is body
