"""What a connection costs its server while nothing happens on it."""

import asyncio

import pytest

from h2ws_fast import serve
from h2ws_fast.aio.http import Headers
from tests.aio.conftest import run
from tests.support.raw import RawClient

CONNECTIONS = 20


def waiting():
    """What asyncio's own loop has scheduled: uvloop does not show it."""
    return [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]


@pytest.mark.parametrize("ping_interval", [None, 20])
def test_idle_connections_share_one_timer(ping_interval):
    async def main():
        kwargs = {"on_message": print, "ping_interval": ping_interval}
        async with serve(host="127.0.0.1", port=0, **kwargs) as server:
            port = server.sockets[0].getsockname()[1]
            before = len(waiting())
            clients = [await RawClient.connect(port) for _ in range(CONNECTIONS)]
            for client in clients:
                await client.websocket()
            assert server.stats()["connections"] == CONNECTIONS
            assert len(waiting()) == before + 1, waiting()
            for client in clients:
                client.close()

    run(main())


def test_lines_of_a_cookie_are_joined_as_one():
    fields = [(b"cookie", b"a=1"), (b"accept", b"a"), (b"cookie", b"b=2"), (b"accept", b"b")]
    headers = Headers.received(fields)
    assert headers["Cookie"] == headers.get("cookie") == "a=1; b=2"
    assert headers["accept"] == "a, b"
    assert headers.get_all("cookie") == ["a=1", "b=2"]


def test_received_fields_stay_packed_until_they_are_changed():
    fields = [(b"host", b"h"), (b"origin", b"https://h"), (b"accept", b"a"), (b"accept", b"b")]
    headers = Headers.received(fields)
    packed = headers._packed
    assert headers["Origin"] == "https://h" and headers["accept"] == "a, b"
    assert list(headers) == ["host", "origin", "accept"] and len(headers) == 3
    assert list(headers.raw_items())[3] == ("accept", "b") and "nobody" not in headers
    assert headers == Headers.received(fields) and "origin" in repr(headers)
    assert headers._packed is packed and headers._fields is None
    headers.add("Origin", "https://i")
    assert headers.get_all("origin") == ["https://h", "https://i"] and not headers._packed
    del headers["accept"]
    assert len(headers) == 2
