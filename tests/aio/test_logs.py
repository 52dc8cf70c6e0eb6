"""What the log is told, and by which lines: as websockets tells it where both have the thing."""

import logging

import pytest

from h2ws_fast import ConnectionClosed, InvalidStatus, Response, Session, connect
from h2ws_fast.aio.protocol import Wire


def lines(caplog, name="h2ws_fast.server"):
    return [
        (record.levelname, record.message)
        for record in caplog.records
        if record.name == name and not record.message.startswith("server ")
    ]


async def test_websockets_that_open_and_close(clear, http, caplog):
    caplog.set_level(logging.INFO)

    async def handler(ws):
        assert await ws.recv() == "hello"
        if ws.request.path == "/failing":
            raise RuntimeError("oops")

    async with clear.serve(handler):
        for path in ("/", "/failing"):
            async with connect(clear.ws(path), http=http) as ws:
                await ws.send("hello")
                with pytest.raises(ConnectionClosed):
                    await ws.recv()
    assert lines(caplog) == [
        ("INFO", "connection open"),
        ("INFO", "connection closed"),
        ("INFO", "connection open"),
        ("ERROR", "connection handler failed"),
        ("INFO", "connection closed"),
    ]
    assert lines(caplog, "h2ws_fast.client") == []
    opened = [r for r in caplog.records if r.message == "connection open"]
    failed = next(r for r in caplog.records if r.levelname == "ERROR")
    assert opened[1].websocket is not opened[0].websocket
    assert failed.exc_info[1].args == ("oops",)


async def test_what_is_rejected(clear, http, caplog):
    caplog.set_level(logging.INFO)

    def process_request(ws, request):
        if request.path == "/health":
            return Response(200, body=b"OK")
        return Response(401) if request.path.startswith("/secret") else None

    async def handler(ws):
        pass

    options = {"process_request": process_request, "origins": ["https://a.example"]}
    async with clear.serve(handler, **options):
        for path in ("/", "/secret"):
            with pytest.raises(InvalidStatus):
                await connect(clear.ws(path), http=http, origin="https://b.example")
        if http == "h2":
            async with Session(clear.http) as session:
                await (await session.request("GET", "/health")).read()
    rejected, refused, *more = lines(caplog)
    assert rejected[0] == refused[0] == "INFO"
    assert rejected[1].startswith("connection rejected (403 Forbidden): stream 1 of 127.0.0.1:")
    assert rejected[1].endswith(", this Origin is not allowed")
    assert refused[1].startswith("connection rejected (401 Unauthorized): stream 1 of 127.0.0.1:")
    assert more == ([("INFO", "HTTP response sent (200 OK)")] if http == "h2" else [])


async def test_frames_are_told_at_debug(clear, http, caplog):
    caplog.set_level(logging.DEBUG, "h2ws_fast")

    async def handler(ws):
        await ws.send(await ws.recv())
        await ws.send("a" * 1000)

    async with clear.serve(handler, compression=None):
        async with connect(clear.ws("/told"), http=http) as ws:
            await ws.send("one\x1b[2J\ntwo")
            assert await ws.recv() == "one\x1b[2J\ntwo"
            await ws.wait_closed()
    for end, out, back in (("client", "send", "recv"), ("server", "recv", "send")):
        told = "\n".join(line for _, line in lines(caplog, f"h2ws_fast.{end}"))
        path = ":path: /told" if http == "h2" else f"{out} GET /told HTTP/1.1"
        assert path in told and "\x1b" not in told
        assert r"WebSocket text, masked, 11 octets: 'one\x1b[2J\ntwo'" in told
        assert r"WebSocket text, 11 octets: 'one\x1b[2J\ntwo'" in told
        assert f"WebSocket text, 1000 octets: '{'a' * 64}'..." in told
        assert "WebSocket close, 2 octets, code 1000" in told
        assert told.count("connection with ('127.0.0.1', ") >= 1
        assert all(len(line) < 5000 for line in told.splitlines())
        if http == "h2":
            assert f"{back} HEADERS frame" in told and f"{out} connection preface" in told
        else:
            assert f"{back} HTTP/1.1 101 Switching Protocols" in told


async def test_who_logs_nothing_has_no_tracer(clear, caplog):
    caplog.set_level(logging.WARNING, "h2ws_fast")
    seen = []

    async def handler(ws):
        seen.append(ws.wire)

    async with clear.serve(handler), connect(clear.ws()) as ws:
        await ws.wait_closed()
        seen.append(ws.wire)
    for wire in seen:
        assert isinstance(wire, Wire) and not wire.logs
        assert not hasattr(wire, "tracer")
    assert lines(caplog) == []
