"""HAProxy and nghttpx between a client and our server."""

import asyncio
from functools import partial

import pytest
import wsproto
import wsproto.events

from h2ws_fast import ConnectionClosed, InvalidStatus, Session
from tests.support.programs import Echo
from tests.support.proxies import haproxy, nghttpx
from tests.support.within import within


@pytest.fixture(scope="module")
def echo():
    with Echo("--cleartext") as server:
        yield server


@pytest.fixture(scope="module", params=[haproxy, nghttpx], ids=lambda proxy: proxy.__name__)
def proxy(request, echo, tmp_path_factory):
    """(port for HTTP/1.1, port for HTTP/2)"""
    with request.param(echo.port, tmp_path_factory.mktemp("proxy")) as ports:
        yield ports


class Http1Client:
    """A WebSocket over HTTP/1.1, by wsproto."""

    def __init__(self, reader, writer, path):
        self.reader, self.writer = reader, writer
        self.ws = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self.send(wsproto.events.Request(host="test", target=path, subprotocols=["a", "b"]))

    @classmethod
    async def connect(cls, port, path):
        return cls(*await asyncio.open_connection("127.0.0.1", port), path)

    def send(self, event):
        self.writer.write(self.ws.send(event))

    async def event(self):
        while True:
            for event in self.ws.events():
                return event
            octets = await self.reader.read(65536)
            self.ws.receive_data(octets or None)

    async def message(self):
        parts = []
        while True:
            event = await self.event()
            assert isinstance(event, wsproto.events.Message), event
            parts.append(event.data)
            if event.message_finished:
                return parts[0][:0].join(parts)

    async def close(self):
        self.writer.close()
        await self.writer.wait_closed()


run = partial(within, 30)


def test_an_http1_client_reaches_an_http2_server(proxy):
    async def main():
        client = await Http1Client.connect(proxy[0], "/some/path")
        accepted = await client.event()
        assert isinstance(accepted, wsproto.events.AcceptConnection)
        assert accepted.subprotocol == "a"
        for data in ("text", "naïve ☃", b"\0\xff", bytes(300_000)):
            client.send(wsproto.events.Message(data))
            assert await client.message() == data
        client.send(wsproto.events.CloseConnection(3456, "bye"))
        closed = await client.event()
        assert isinstance(closed, wsproto.events.CloseConnection) and closed.code == 3456
        await client.close()

    run(main())


def test_the_server_closes_an_http1_client(proxy):
    async def main():
        client = await Http1Client.connect(proxy[0], "/close?code=4321&reason=bye&after=0.1")
        await client.event()
        closed = await client.event()
        assert isinstance(closed, wsproto.events.CloseConnection)
        assert (closed.code, closed.reason) == (4321, "bye")
        client.send(closed.response())
        assert await client.reader.read() == b""
        await client.close()

    run(main())


def test_a_refusal_reaches_an_http1_client(proxy):
    async def main():
        client = await Http1Client.connect(proxy[0], "/reject?status=418")
        refused = await client.event()
        assert isinstance(refused, wsproto.events.RejectConnection)
        assert refused.status_code == 418
        await client.close()

    run(main())


def test_our_client_through_the_proxy(proxy):
    async def main():
        async with Session(f"http://127.0.0.1:{proxy[1]}") as session:
            ws = await session.websocket("/", subprotocols=["a", "b"])
            assert ws.subprotocol == "a"
            for message in ("text", b"\0\xff", bytes(300_000)):
                await ws.send(message)
                assert await ws.recv() == message
            await ws.close(3456)
            assert ws.close_code == 3456
            closing = await session.websocket("/close?code=4321&after=0.1")
            with pytest.raises(ConnectionClosed) as caught:
                await closing.recv()
            assert caught.value.rcvd.code == 4321
            with pytest.raises(InvalidStatus) as refused:
                await session.websocket("/reject?status=403")
            assert refused.value.response.status == 403
            response = await session.request("GET", "/bytes/100000")
            assert len(await response.read()) == 100_000

    run(main())
