"""Whatever a peer wrote is shown on one line, cut, and obeyed by no terminal."""

import logging

import pytest

from h2ws_fast.aio.http import Request
from h2ws_fast.aio.tunnel import Tunnel
from h2ws_fast.engine import constants as c
from h2ws_fast.errors import (
    AlpnError,
    Close,
    ConnectionClosedError,
    ConnectionTerminated,
    InvalidOrigin,
    StreamReset,
)
from h2ws_fast.printable import SHOWN, printable
from h2ws_fast.trace import Tracer
from tests.aio.conftest import run
from tests.support import frames as f

row = pytest.mark.row

NASTY = {
    "a line": "fine\r\nERROR forged line",
    "colours": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "clears": "\x1bc\x9b2J",
    "direction": "abc\u202efdp.exe",
    "nothing": "\0\x7f",
    "separators": "one\u2028two\u0085three\x0bfour",
    "long": "x" * 100_000,
}


def is_harmless(text):
    return text.isprintable() and len(text) < 8 * SHOWN


@row("SEC-9-3")
@pytest.mark.parametrize("name", NASTY)
def test_text_of_a_peer_is_escaped_and_cut(name):
    for text in (NASTY[name], NASTY[name].encode()):
        shown = printable(text)
        assert is_harmless(shown) and shown.isascii()


@row("SEC-9-3")
def test_escapes_are_what_they_say():
    assert printable("a\r\nb") == "a\\r\\nb"
    assert printable("\x1b[0m") == "\\x1b[0m"
    assert printable("\u202e") == "\\u202e"
    assert printable("\\n") == "\\\\n"  # not to be taken for a line's end
    assert printable(b"\xff\x00ok\xc3\xa9") == "\\xff\\x00oké"
    assert printable("日本語 é") == "日本語 é"
    assert printable(None) == printable("") == printable(b"") == ""
    assert printable("\ud800") == "\\ud800"
    assert printable("x" * 201) == "x" * 200 + "... (1 characters more)"
    assert printable(b"x" * 1000, 10) == "x" * 10 + "... (990 octets more)"
    assert printable("abc", 3) == "abc"


@row("SEC-9-3")
@pytest.mark.parametrize("name", NASTY)
def test_errors_and_names_show_no_more(name):
    text = NASTY[name]
    shown = [
        str(Close(1000, text)),
        str(ConnectionClosedError(Close(1008, text), Close(1008, text), True)),
        str(ConnectionTerminated(1, text)),
        str(StreamReset(1, text)),
        str(InvalidOrigin(text)),
        str(AlpnError(text)),
        repr(Request(text, method="GET", protocol="websocket")),
        repr(Tunnel(None, 1, text, Request("/"))),
    ]
    for one in shown:
        assert is_harmless(one), one
    # The error itself keeps what came.
    assert ConnectionTerminated(1, text).reason == StreamReset(1, text).reason == text


@row("SEC-9-3")
@pytest.mark.parametrize("name", NASTY)
def test_traces_show_no_more(name):
    lines = []
    tracer = Tracer(lines.append)
    octets = NASTY[name].encode()[:16000]
    block = b"\x10\x01x" + _string(octets[:5000])
    tracer.received(
        f.goaway(0, c.NO_ERROR, octets)
        + f.headers(1, block)
        + f.priority_update(1, octets)
        + f.data(1, octets)
    )
    assert len(lines) >= 8
    for line in lines:
        assert line.isprintable() and len(line) < 6000, line


def _string(octets):
    n = len(octets)
    if n < 127:
        return bytes([n]) + octets
    n -= 127
    size = bytearray([127])
    while n >= 128:
        size.append(n & 127 | 128)
        n >>= 7
    return bytes([*size, n]) + octets


@row("SEC-9-3")
def test_logs_of_a_server_show_no_more(caplog):
    from h2ws_fast import serve
    from tests.support.raw import RawClient

    async def wait(ws):
        await ws.recv()  # raises: the handler's error is logged with its text

    async def main():
        async with serve(wait, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            peer = await RawClient.connect(port)
            await peer.websocket()
            peer.close_frame(1, 4000, NASTY["a line"].encode() + NASTY["colours"].encode())
            await peer.expect(f.DATA, 1)
            peer.close()

    caplog.set_level(logging.DEBUG, "h2ws_fast")
    run(main())
    told = [record.getMessage() for record in caplog.records if "4000" in record.getMessage()]
    assert told
    for record in caplog.records:
        assert record.getMessage().isprintable(), record.getMessage()


@row("SEC-9-3")
def test_the_servers_own_lines_show_no_more(caplog):
    from h2ws_fast import serve
    from tests.support.raw import RawClient

    async def hand_on(ws):
        # What ended another connection is the reason for this one's end.
        ws.wire.conn.abort(
            f.INTERNAL_ERROR, NASTY[ws.request.path[1:].replace("%20", " ")].encode()[:10_000]
        )
        ws.wire.touch()

    async def main():
        async with serve(hand_on, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            for name in NASTY:
                peer = await RawClient.connect(port)
                await peer.websocket(1, "/" + name.replace(" ", "%20"))
                await peer.until_eof()
                peer.close()
            peer = await RawClient.connect(port)
            fields = [(":method", "CONNECT"), (":protocol", "x" * 10_000), (":scheme", "http")]
            peer.headers(1, [*fields, (":authority", "127.0.0.1"), (":path", "/")])
            assert (await peer.expect(f.HEADERS, 1)).get(":status") == "501"
            peer.close()

    caplog.set_level(logging.INFO, "h2ws_fast")
    run(main())
    lines = [record.getMessage() for record in caplog.records]
    for what, count in {
        "ended with error 0x2": len(NASTY),
        "rejected (501 Not Implemented)": 1,
    }.items():
        assert len([line for line in lines if what in line]) == count, lines
    for line in lines:
        assert is_harmless(line), line
