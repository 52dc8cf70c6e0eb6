"""A client made of octets: what it says is put together here, what it hears is taken apart.

It has nothing of our library, so that an error of ours on both sides cannot hide.
"""

import asyncio
import collections
import contextlib

from .. import wire

PRIORITY, PUSH_PROMISE, CONTINUATION = 2, 5, 9
PADDED = 0x8
CLOSE, PING, PONG = 8, 9, 10  # opcodes
PATIENCE_S = 20
GONE = (ConnectionError, asyncio.IncompleteReadError, TimeoutError, OSError)

BASE = ((b":scheme", b"http"), (b":authority", b"127.0.0.1"))


def block(*fields):
    """A header block of literals. Longer values than 126 octets need HPACK's long lengths."""
    return b"".join(literal(name, value) for name, value in fields)


def literal(name, value):
    return b"\x00" + string(name) + string(value)


def string(octets):
    n = len(octets)
    if n < 127:
        return bytes((n,)) + octets
    head, n = bytearray((127,)), n - 127
    while n > 127:
        head.append(0x80 | n & 127)
        n >>= 7
    head.append(n)
    return bytes(head) + octets


def connect_block(path=b"/raw", protocol=b"websocket", *more):
    fields = ((b":method", b"CONNECT"), (b":protocol", protocol), (b":path", path), *BASE)
    return block(*fields, (b"sec-websocket-version", b"13"), *more)


def request_block(method=b"GET", path=b"/bytes/1", *more):
    return block((b":method", method), (b":path", path), *BASE, *more)


class Messages:
    """Puts WebSocket messages together from a server's octets."""

    def __init__(self):
        self.data = bytearray()
        self.parts = None
        self.opcode = 0

    def feed(self, octets):
        """Return what is complete now: (opcode, payload), control frames as they come."""
        self.data += octets
        found = []
        while (frame := self._frame()) is not None:
            first, payload = frame
            opcode = first & 15
            if opcode & 8:
                found.append((opcode, payload))
                continue
            if self.parts is None:
                self.opcode, self.parts = opcode, bytearray()
            self.parts += payload
            if first & 0x80:
                found.append((self.opcode, bytes(self.parts)))
                self.parts = None
        return found

    def _frame(self):
        data = self.data
        if len(data) < 2:
            return None
        if data[1] & 0x80:
            raise AssertionError("the server masked a frame")
        n, at = data[1], 2
        if n > 125:
            at += 2 if n == 126 else 8
            if len(data) < at:
                return None
            n = int.from_bytes(data[2:at], "big")
        if len(data) < at + n:
            return None
        frame = data[0], bytes(data[at : at + n])
        del data[: at + n]
        return frame


class RawClient:
    """One connection. `frame()` reads, answering SETTINGS and PING as one must."""

    def __init__(self, reader, writer, window):
        self.reader = reader
        self.writer = writer
        self.initial = window
        self.goaways = []  # error codes
        self.resets = {}  # stream -> error code
        self.heads = set()  # streams with an answer
        self.ended = set()
        self.inbox = collections.defaultdict(collections.deque)  # stream -> WebSocket messages
        self.raw = collections.defaultdict(bytearray)  # stream -> octets that are no WebSocket's
        self.room = None  # what the server still lets us send: {0: connection, stream: ...}
        self.room_initial = 65535
        self.websockets = {}
        self.credit = True  # return what was read
        self.mute = False  # answer nothing by itself
        self.pings = collections.Counter()  # stream -> pings without a pong
        self.closing = set()  # streams on which our Close has gone

    def send(self, *parts):
        self.writer.write(b"".join(parts))

    async def flush(self):
        async with asyncio.timeout(PATIENCE_S):
            await self.writer.drain()

    def open_websocket(self, stream_id, path=b"/raw"):
        self.websockets[stream_id] = Messages()
        self.send(wire.frame(wire.HEADERS, wire.END_HEADERS, stream_id, connect_block(path)))

    async def frame(self):
        """Read one frame and note it; return (kind, flags, stream, payload), None at the end."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                head = await self.reader.readexactly(9)
                payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
        except (ConnectionError, asyncio.IncompleteReadError):
            return None
        kind, flags, stream_id = head[3], head[4], int.from_bytes(head[5:], "big")
        if not self.mute:
            self._note(kind, flags, stream_id, payload)
        return kind, flags, stream_id, payload

    def _note(self, kind, flags, stream_id, payload):
        if kind == wire.SETTINGS and not flags & 1:
            for at in range(0, len(payload), 6):
                if payload[at : at + 2] == b"\0\4":
                    self.room_initial = int.from_bytes(payload[at + 2 : at + 6], "big")
            self.send(wire.frame(wire.SETTINGS, 1, 0))
        elif kind == wire.PING and not flags & 1:
            self.send(wire.frame(wire.PING, 1, 0, payload))
        elif kind == wire.GOAWAY:
            self.goaways.append(int.from_bytes(payload[4:8], "big"))
        elif kind == wire.RST_STREAM:
            self.resets[stream_id] = int.from_bytes(payload, "big")
            self.ended.add(stream_id)
        elif kind == wire.HEADERS:
            self.heads.add(stream_id)
        elif kind == wire.WINDOW_UPDATE and self.room is not None:
            self._widen(stream_id, int.from_bytes(payload, "big"))
        elif kind == wire.DATA:
            messages = self.websockets.get(stream_id)
            if messages is None:
                self.raw[stream_id] += payload
            else:
                self.inbox[stream_id].extend(messages.feed(payload))
            if payload and self.credit:
                self.send(wire.window_update(0, len(payload)))
                if not flags & wire.END_STREAM:
                    self.send(wire.window_update(stream_id, len(payload)))
        if flags & wire.END_STREAM and kind in (wire.DATA, wire.HEADERS):
            self.ended.add(stream_id)

    # -- keeping to the server's windows -----------------------------------------------------------

    def track_room(self):
        """From the beginning: count what the server lets us send."""
        self.room = {0: 65535}

    def _widen(self, stream_id, octets):
        self.room[stream_id] = self.room.get(stream_id, self.room_initial) + octets

    async def data(self, stream_id, octets, flags=0, padding=0):
        """Send one DATA frame, as soon as both windows allow it where they are kept."""
        if padding:
            flags |= PADDED
            octets = bytes((padding - 1,)) + octets + bytes(padding - 1)
        n = len(octets)
        if self.room is None:
            self.send(wire.frame(wire.DATA, flags, stream_id, octets))
            return
        while min(self.room[0], self.room.get(stream_id, self.room_initial)) < n:
            await self.need_frame()
        self._widen(0, -n)
        self._widen(stream_id, -n)
        self.send(wire.frame(wire.DATA, flags, stream_id, octets))

    # -- waiting -----------------------------------------------------------------------------------

    async def need_frame(self):
        frame = await self.frame()
        if frame is None:
            raise AssertionError(f"the server closed the connection: {self.said()}")
        return frame

    async def message(self, stream_id):
        """The next WebSocket message of a stream, (opcode, payload). Pings are answered."""
        while True:
            while not self.inbox[stream_id]:
                if stream_id in self.ended:
                    raise AssertionError(f"stream {stream_id} ended: {self.said()}")
                await self.need_frame()
            opcode, payload = self.inbox[stream_id].popleft()
            if opcode != PING:
                return opcode, payload
            if stream_id not in self.closing:
                await self.data(stream_id, wire.websocket_frame(payload, PONG, b"pong"))

    async def answered(self, stream_id):
        while stream_id not in self.heads:
            if stream_id in self.resets:
                raise AssertionError(f"stream {stream_id} was reset: {self.said()}")
            await self.need_frame()

    async def end(self):
        """Read until the server closes; TimeoutError where it does not."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.frame() is not None:
                pass

    def said(self):
        return f"GOAWAY {self.goaways}, RST_STREAM {self.resets}"


@contextlib.asynccontextmanager
async def client(v, window=65535, *, greet=True, track=False, settings=(), reset=False):
    """Connect; with `greet`, exchange the beginnings. `reset`: leave by a TCP reset."""
    reader, writer = await v.place.streams()
    v.ledger.connections += 1
    raw = RawClient(reader, writer, window)
    try:
        if track:
            raw.track_room()
        if greet:
            raw.send(
                wire.PREFACE, wire.settings(enable_push=0, initial_window_size=window), *settings
            )
            while (await raw.need_frame())[0] != wire.SETTINGS:
                pass
        yield raw
    finally:
        if reset:
            writer.transport.abort()
        else:
            writer.close()
            try:
                async with asyncio.timeout(2):
                    await writer.wait_closed()
            except GONE:
                writer.transport.abort()
