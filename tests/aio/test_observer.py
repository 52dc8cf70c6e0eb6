"""What a program is told of connections, WebSockets and limits, and what it may ask."""

import asyncio
import logging
import uuid

import pytest

from h2ws_fast import Observer, Session, connect
from h2ws_fast.engine import Limits


class Notes(Observer):
    def __init__(self):
        self.seen = []

    def connection_opened(self, connection):
        assert connection.remote_address is not None
        self.seen.append(("opened", connection.http_version if connection.websockets else None))

    def connection_closed(self, connection):
        self.seen.append(("closed", connection.stats()["messages_received"]))

    def websocket_opened(self, ws):
        assert ws in ws.connection.websockets
        self.seen.append(("websocket opened", ws.request.path))

    def websocket_closed(self, ws):
        assert ws not in ws.connection.websockets
        self.seen.append(("websocket closed", ws.close_code))

    def limit_reached(self, connection, name):
        self.seen.append(("limit", name))


async def echo(ws):
    async for message in ws:
        await ws.send(message)


@pytest.fixture(params=["h2", "h1"])
def http(request):
    return request.param


async def talk(place, http):
    async with connect(place.ws("/chat"), http=http, ssl=place.client_ssl) as ws:
        await ws.send("hello")
        assert await ws.recv() == "hello"


async def test_server_is_observed(place, http):
    notes = Notes()
    async with place.serve(echo, observer=notes):
        await talk(place, http)
    assert notes.seen == [
        ("opened", None),
        ("websocket opened", "/chat"),
        ("websocket closed", 1000),
        ("closed", 1),
    ]


async def test_session_is_observed(clear):
    notes = Notes()
    async with clear.serve(echo), Session(clear.http, observer=notes) as session:
        ws = await session.websocket("/one")
        await ws.close(1001)
        assert session.stats()["streams"] == 1
    assert notes.seen == [
        ("opened", None),
        ("websocket opened", "/one"),
        ("websocket closed", 1001),
        ("closed", 0),
    ]


async def test_limits_are_told(clear):
    notes = Notes()
    limits = Limits(max_message=100)
    async with clear.serve(echo, observer=notes, limits=limits, max_connections=1):
        async with connect(clear.ws()) as ws:
            with pytest.raises(Exception, match=r"takes no new streams|max_connections|closed"):
                await connect(clear.ws(), http="h2")
            await ws.send(bytes(101))
            await ws.wait_closed()
    assert ("limit", "max_connections") in notes.seen
    assert ("limit", "max_message") in notes.seen


async def test_what_an_observer_raises_is_logged(clear, caplog):
    class Broken(Observer):
        def websocket_opened(self, ws):
            raise RuntimeError("broken")

    async with clear.serve(echo, observer=Broken()):
        await talk(clear, "h2")
    assert "websocket_opened" in caplog.text
    assert "broken" in caplog.text


async def test_an_observer_is_one():
    from h2ws_fast import serve

    for take in (serve, Session, connect):
        arguments = () if take is serve else ("http://localhost",)
        with pytest.raises(TypeError, match="observer"):
            take(*arguments, observer=print)


async def test_stats_of_a_websocket(clear, http):
    known = {}

    async def handler(ws):
        known["fresh"] = ws.stats()
        await ws.recv()
        while ws.stats()["messages_unread"] < 2:
            await asyncio.sleep(0)
        known["unread"] = ws.stats()["messages_unread"]
        known["connection"] = ws.connection.stats()
        await ws.close()
        known["over"] = ws.stats()

    async with clear.serve(handler), connect(clear.ws(), http=http) as ws:
        for message in ("one", "two", "three"):
            await ws.send(message)
        await ws.wait_closed()
    assert known["fresh"] == {
        "state": "OPEN",
        "latency_s": 0.0,
        "messages_unread": 0,
        "octets_unsent": 0,
    }
    assert known["unread"] == 2
    assert known["connection"]["messages_received"] == 3
    assert known["connection"]["websockets"] == 1
    assert known["over"]["state"] == "CLOSED"


async def test_each_websocket_has_a_logger(clear, caplog):
    async def handler(ws):
        assert ws.logger is ws.logger
        ws.logger.warning("from %s", ws.id)
        await ws.wait_closed()

    with caplog.at_level(logging.INFO):
        async with clear.serve(handler), connect(clear.ws()) as ws:
            ws.logger.warning("from the client")
    record = next(record for record in caplog.records if record.message.startswith("from "))
    assert record.name == "h2ws_fast.server"
    assert isinstance(uuid.UUID(record.message[5:]), uuid.UUID)
    client = next(r for r in caplog.records if r.message == "from the client")
    assert client.name == "h2ws_fast.client"


async def test_a_logger_of_ones_own(clear, caplog):
    own = logging.LoggerAdapter(logging.getLogger("own"), {})

    async def handler(ws):
        ws.logger.warning("hello")

    async with clear.serve(handler, logger=own), connect(clear.ws()) as ws:
        await ws.wait_closed()
    assert ("own", logging.WARNING, "hello") in caplog.record_tuples
