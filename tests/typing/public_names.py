"""The public names as a strictly typed program sees them; checked by mypy and pyright, not run."""

from typing import assert_type

import h2ws_fast
from h2ws_fast import errors
from h2ws_fast.engine import Connection, Limits, Role, Settings, Sink
from h2ws_fast.engine import events as happened
from h2ws_fast.engine.h1 import Upgraded

assert_type(h2ws_fast.COMPILED, bool)


def retryable(error: errors.H2WSError) -> bool:
    assert_type(error.error_code, int)
    if isinstance(error, errors.StreamReset):
        return error.retryable
    return isinstance(error, errors.NoAvailableStreams)


class Counter(Sink):
    def __init__(self) -> None:
        self.octets = 0

    def _message(self, data: str | bytes, credit: int) -> None:
        self.octets += len(data)


def serve(octets: bytes, now: float) -> bytes:
    limits = Limits(max_message=1 << 16, close_timeout_s=2.5, max_pings=None, window_budget=0)
    settings = Settings(initial_window_size=1 << 20, enable_connect_protocol=True)
    conn = Connection(Role.SERVER, settings, limits, auto_credit=False)
    for event in conn.receive_data(octets, now):
        if isinstance(event, happened.Requested):
            assert_type(event.protocol, str | None)
            assert_type(event.headers, list[tuple[bytes, bytes]])
            if event.protocol == "websocket":
                conn.accept_websocket(event.stream_id, "chat", headers=[("x-a", b"1")])
                conn.attach(event.stream_id, Counter())
            else:
                conn.respond(event.stream_id, [(":status", "501")], end_stream=True)
        elif isinstance(event, happened.TextMessage):
            assert_type(event.data, str)
            assert_type(conn.send_message(event.stream_id, event.data), int)
            conn.consumed(event.stream_id, event.credit)
        elif isinstance(event, happened.BytesMessage):
            assert_type(event.data, bytes)
        elif isinstance(event, happened.Closed):
            assert_type(event.received, tuple[int, str] | None)
        elif isinstance(event, happened.Terminated):
            assert_type(event.reason, str)
    assert_type(conn.next_timeout(), float | None)
    assert_type(conn.open_streams, int)
    assert_type(conn.limits.max_window, int)
    assert_type(conn.settings.initial_window_size, int)
    assert_type((conn.role, conn.client, conn.auto_credit), tuple[Role, bool, bool])
    return b"".join(conn.data_to_send(now=now))


def call(authority: str) -> int:
    conn = Connection(Role.CLIENT)
    stream_id = conn.connect_websocket(authority, "/chat", subprotocols=["chat"], origin=None)
    conn.attach(stream_id, lambda event: print(event))
    conn.attach(stream_id, None)
    return stream_id


def upgraded(octets: memoryview) -> int:
    return Upgraded(Role.CLIENT, Limits()).send_message(1, octets)


async def on_request(request: h2ws_fast.Request) -> h2ws_fast.Response:
    return h2ws_fast.Response(200, body=b"hello")


async def echo(ws: h2ws_fast.WebSocket) -> None:
    async for message in ws:
        assert_type(message, str | bytes)
        await ws.send(message)
    assert_type(ws.close_code, int | None)


async def program() -> None:
    server = await h2ws_fast.serve(echo, "127.0.0.1", 0, on_request=on_request)
    async with h2ws_fast.connect("ws://127.0.0.1:8000/") as ws:
        assert_type(ws, h2ws_fast.WebSocket)
        assert_type(await ws.recv(), str | bytes)
        assert_type(await ws.recv(decode=True), str)
        assert_type(await (await ws.ping()), float)
        h2ws_fast.broadcast([ws], "all")
        try:
            await ws.send(["in ", "fragments"])
        except h2ws_fast.ConnectionClosedError as error:
            assert_type(error.rcvd, errors.Close | None)
        await ws.close(1000, "bye")
    server.close()
    await server.wait_closed()
