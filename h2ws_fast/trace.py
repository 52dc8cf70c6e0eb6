"""Says in words what goes over a connection: HTTP/2 frame by frame, HTTP/1.1 head by head.

A `Tracer` is fed the octets of both directions as they pass and writes lines. It is a reader of
its own, so that it shows what really is on the wire: the engine has no part in it but for header
compression. Inside of a stream that was opened for it, or behind a 101 to `websocket`, WebSocket
frames are told too; what other tunnels carry are octets. What a peer wrote is escaped, and cut
where it is long.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable
from typing import Any

from .aio.h1.head import MAX_HEAD
from .engine import constants as c
from .engine.hpack import CompressionError, Decoder, HeaderListTooLarge
from .printable import printable

__all__ = ["Tracer"]

FRAMES = {
    c.DATA: "DATA",
    c.HEADERS: "HEADERS",
    c.PRIORITY: "PRIORITY",
    c.RST_STREAM: "RST_STREAM",
    c.SETTINGS: "SETTINGS",
    c.PUSH_PROMISE: "PUSH_PROMISE",
    c.PING: "PING",
    c.GOAWAY: "GOAWAY",
    c.WINDOW_UPDATE: "WINDOW_UPDATE",
    c.CONTINUATION: "CONTINUATION",
    c.PRIORITY_UPDATE: "PRIORITY_UPDATE",
}
FLAGS = {
    c.DATA: {c.END_STREAM: "END_STREAM", c.PADDED: "PADDED"},
    c.HEADERS: {
        c.END_STREAM: "END_STREAM",
        c.END_HEADERS: "END_HEADERS",
        c.PADDED: "PADDED",
        c.PRIORITY_FLAG: "PRIORITY",
    },
    c.SETTINGS: {c.ACK: "ACK"},
    c.PING: {c.ACK: "ACK"},
    c.PUSH_PROMISE: {c.END_HEADERS: "END_HEADERS", c.PADDED: "PADDED"},
    c.CONTINUATION: {c.END_HEADERS: "END_HEADERS"},
}
SETTINGS = {
    getattr(c, name): name
    for name in (
        "SETTINGS_HEADER_TABLE_SIZE",
        "SETTINGS_ENABLE_PUSH",
        "SETTINGS_MAX_CONCURRENT_STREAMS",
        "SETTINGS_INITIAL_WINDOW_SIZE",
        "SETTINGS_MAX_FRAME_SIZE",
        "SETTINGS_MAX_HEADER_LIST_SIZE",
        "SETTINGS_ENABLE_CONNECT_PROTOCOL",
        "SETTINGS_NO_RFC7540_PRIORITIES",
    )
}
OPCODES = {
    c.CONTINUATION_FRAME: "continuation",
    c.TEXT: "text",
    c.BINARY: "binary",
    c.CLOSE: "close",
    c.WS_PING: "ping",
    c.WS_PONG: "pong",
}
SHOWN = 64  # octets of a payload
FIELD = 4096  # characters of a field's value
INDENT = " " * 12

SEND, RECV = "send", "recv"

UPGRADE = re.compile(rb"upgrade:[ \t]*websocket[ \t]*\Z", re.IGNORECASE)
HEAD = re.compile(rb"[!-~]+ [^\r\n]* HTTP/1\.|HTTP/1\.")

_new_decoder: Any = Decoder  # the engine's inner modules are not typed


class _WebSocket:
    """The WebSocket frames in one direction of one stream."""

    def __init__(self) -> None:
        self.octets = b""
        self.left = 0  # of a payload whose beginning was shown

    def feed(self, data: bytes) -> list[str]:
        """Return a line for each frame whose head, and beginning, is there."""
        lines = []
        self.octets += data
        while self.octets:
            skipped = min(self.left, len(self.octets))
            self.left -= skipped
            self.octets = self.octets[skipped:]
            line = self._frame()
            if line is None:
                break
            lines.append(line)
        return lines

    def _frame(self) -> str | None:
        octets = self.octets
        if len(octets) < 2:
            return None
        length, pos = octets[1] & 0x7F, 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length, pos = int.from_bytes(octets[2 : 2 + size], "big"), 2 + size
        masked = octets[1] & 0x80
        mask = octets[pos : pos + 4] if masked else bytes(4)
        pos += 4 if masked else 0
        shown = min(length, SHOWN)
        if len(octets) < pos + shown:
            return None
        payload = bytes(
            octet ^ mask[index & 3] for index, octet in enumerate(octets[pos : pos + shown])
        )
        self.octets = octets[pos + shown :]
        self.left = length - shown
        opcode = octets[0] & 0x0F
        words = [OPCODES.get(opcode, f"opcode {opcode}")]
        if not octets[0] & c.FIN:
            words.append("not final")
        words += [
            f"RSV{bit}" for bit, value in ((1, 0x40), (2, 0x20), (3, 0x10)) if octets[0] & value
        ]
        if masked:
            words.append("masked")
        words.append(f"{length} octets")
        if opcode == c.CLOSE and len(payload) >= 2:
            words.append(f"code {payload[0] << 8 | payload[1]}")
            payload = payload[2:]
        text = ""
        if payload:
            more = "..." if length > shown else ""
            if opcode in (c.TEXT, c.CLOSE):
                text = f": '{printable(payload)}'{more}"
            else:
                text = f": {payload.hex(' ', 4)}{more}"
        return "WebSocket " + ", ".join(words) + text


class _Octets:
    """What goes in one direction of something that is no WebSocket."""

    def feed(self, data: bytes) -> list[str]:
        """Return a line about these octets."""
        return [f"{len(data)} octets: {_shown(data)}"]


class _Direction:
    """What is known of one direction."""

    def __init__(self, name: str, preface: bool) -> None:
        self.name = name
        self.octets = bytearray()
        self.preface = preface
        # As large as any the encoder may use: what it has evicted is not asked for again.
        self.decoder: Any = _new_decoder(2**24, 2**16, 2**30)
        self.block = b""
        self.upgraded: _WebSocket | _Octets | None = None
        self.began = False  # a head of HTTP/1.1 was told
        self.websockets: dict[int, _WebSocket] = {}


class Tracer:
    """Writes lines about a connection: `sent` and `received` are fed the octets of this end.

    `server`: this end is the server.
    """

    def __init__(
        self, write: Callable[[str], object], *, color: bool = False, server: bool = False
    ) -> None:
        self._write = write
        self._color = color
        self._begun = time.monotonic()
        self._directions = {SEND: _Direction(SEND, not server), RECV: _Direction(RECV, server)}
        self._client = self._directions[RECV if server else SEND]
        self._h1 = False  # the client's first octets are no preface of HTTP/2
        self._asked: set[int] = set()  # streams of extended CONNECTs for a WebSocket

    def sent(self, data: bytes) -> None:
        """Octets that left."""
        self._feed(self._directions[SEND], data)

    def received(self, data: bytes) -> None:
        """Octets that came."""
        self._feed(self._directions[RECV], data)

    def note(self, words: str) -> None:
        """Write a line of one's own."""
        self._line(words)

    def _line(self, words: str) -> None:
        self._write(f"[{time.monotonic() - self._begun:7.3f}] {words}")

    def _detail(self, words: str) -> None:
        self._write(INDENT + words)

    def _feed(self, direction: _Direction, data: bytes) -> None:
        octets = direction.octets
        octets += data
        if direction.preface and not c.PREFACE.startswith(octets[: len(c.PREFACE)]):
            direction.preface = False
            self._h1 = True
        if self._h1:
            self._http1(direction)
            return
        if direction.preface:
            if len(octets) < len(c.PREFACE):
                return
            direction.preface = False
            del octets[: len(c.PREFACE)]
            self._line(f"{direction.name} connection preface")
        while len(octets) >= 9:
            length = int.from_bytes(octets[:3], "big")
            if len(octets) < 9 + length:
                return
            kind, flags = octets[3], octets[4]
            stream_id = int.from_bytes(octets[5:9], "big") & c.MAX_STREAM_ID
            payload = bytes(octets[9 : 9 + length])
            del octets[: 9 + length]
            self._frame(direction, kind, flags, stream_id, payload)

    def _http1(self, direction: _Direction) -> None:
        octets = direction.octets
        while octets:
            if direction.upgraded is not None:
                data = bytes(octets)
                octets.clear()
                for line in direction.upgraded.feed(data):
                    self._line(f"{direction.name} {line}")
                return
            end = octets.find(b"\r\n\r\n")
            first_part = not direction.began and b"\r\n" not in octets
            if end < 0 and len(octets) <= MAX_HEAD and first_part:
                return
            # What is longer than a head may be is told as octets.
            if not HEAD.match(octets) or (end < 0 and len(octets) > MAX_HEAD):
                self._line(f"{direction.name} {len(octets)} octets over HTTP/1.1")
                octets.clear()
                return
            if end < 0:
                return
            first, *fields = bytes(octets[:end]).split(b"\r\n")
            del octets[: end + 4]
            direction.began = True
            self._line(f"{direction.name} {printable(first, FIELD)}")
            for field in fields:
                self._detail(printable(field, FIELD))
            if direction is not self._client and first[8:12] == b" 101":
                upgraded = _WebSocket if any(map(UPGRADE.match, fields)) else _Octets
                for each in self._directions.values():
                    each.upgraded = upgraded()
                self._http1(self._client)

    def _frame(
        self, direction: _Direction, kind: int, flags: int, stream_id: int, payload: bytes
    ) -> None:
        name = FRAMES.get(kind, f"type {kind:#04x}")
        if self._color:
            name = f"\x1b[{'36' if direction.name == SEND else '35'};1m{name}\x1b[0m"
        self._line(
            f"{direction.name} {name} frame "
            f"<length={len(payload)}, flags={flags:#04x}, stream_id={stream_id}>"
        )
        named = [word for bit, word in FLAGS.get(kind, {}).items() if flags & bit]
        if named:
            self._detail("; " + " | ".join(named))
        try:
            self._payload(direction, kind, flags, stream_id, payload)
        except (IndexError, struct.error):
            self._detail("(malformed)")

    def _payload(
        self, direction: _Direction, kind: int, flags: int, stream_id: int, payload: bytes
    ) -> None:
        if flags & c.PADDED and kind in (c.DATA, c.HEADERS, c.PUSH_PROMISE):
            self._detail(f"(padlen={payload[0]})")
            payload = payload[1 : len(payload) - payload[0]]
        if kind == c.DATA:
            self._data(direction, stream_id, payload)
        elif kind == c.SETTINGS:
            for identifier, value in struct.iter_unpack(">HI", payload):
                setting = SETTINGS.get(identifier, "UNKNOWN")
                self._detail(f"[{setting}({identifier:#04x}):{value}]")
        elif kind in (c.HEADERS, c.PUSH_PROMISE, c.CONTINUATION):
            if kind == c.HEADERS and flags & c.PRIORITY_FLAG:
                payload = payload[5:]
            if kind == c.PUSH_PROMISE:
                (promised,) = struct.unpack_from(">I", payload)
                self._detail(f"(promised_stream_id={promised})")
                payload = payload[4:]
            direction.block += payload
            if flags & c.END_HEADERS:
                block, direction.block = direction.block, b""
                self._fields(direction, stream_id, block)
        elif kind == c.RST_STREAM:
            self._detail(f"(error_code={_error(*struct.unpack('>I', payload))})")
        elif kind == c.WINDOW_UPDATE:
            self._detail(f"(window_size_increment={struct.unpack('>I', payload)[0]})")
        elif kind == c.PING:
            self._detail(f"(opaque_data={payload.hex()})")
        elif kind == c.GOAWAY:
            last, code = struct.unpack_from(">II", payload)
            self._detail(
                f"(last_stream_id={last & c.MAX_STREAM_ID}, error_code={_error(code)}, "
                f"opaque_data({len(payload) - 8})=b'{printable(payload[8:])}')"
            )
        elif kind == c.PRIORITY_UPDATE:
            (prioritized,) = struct.unpack_from(">I", payload)
            self._detail(f"(prioritized_stream_id={prioritized}, b'{printable(payload[4:])}')")

    def _fields(self, direction: _Direction, stream_id: int, block: bytes) -> None:
        try:
            fields = direction.decoder.decode(block, 0, len(block))
        except (CompressionError, HeaderListTooLarge) as error:
            self._detail(f"(header block not decoded: {error})")
            return
        found = {}
        for name, value in fields:
            found[bytes(name)] = bytes(value)
            self._detail(f"{printable(name)}: {printable(value, FIELD)}")
        if found.get(b":protocol", b"").lower() == b"websocket":
            self._asked.add(stream_id)
        if stream_id in self._asked and found.get(b":status", b"").startswith(b"2"):
            self._asked.discard(stream_id)
            for each in self._directions.values():
                each.websockets[stream_id] = _WebSocket()

    def _data(self, direction: _Direction, stream_id: int, payload: bytes) -> None:
        websocket = direction.websockets.get(stream_id)
        if websocket is not None:
            for line in websocket.feed(payload):
                self._detail(line)
        elif payload:
            self._detail(_shown(payload))


def _shown(octets: bytes) -> str:
    return f"b'{printable(octets[:SHOWN])}'{'...' if len(octets) > SHOWN else ''}"


def _error(code: int) -> str:
    return f"{c.ERROR_NAMES.get(code, 'UNKNOWN')}({code:#04x})"
