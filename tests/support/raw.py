"""A peer on a real socket that says what the test tells it to, frame by frame."""

import asyncio

import hpack

from tests.support import frames as f
from tests.support.scripted import Scripted
from tests.support.ws_frames import close_frame, read_ws_frames, ws_frame

__all__ = ["RawClient", "RawPeer", "RawServer", "close_frame", "opens_all", "ws_frame"]


class RawPeer:
    """Reads and writes frames over a pair of asyncio streams."""

    key = None  # the masking key of the frames it writes

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.frames = []  # everything that came, in order

    def send(self, *chunks):
        self.writer.write(b"".join(chunks))

    def headers(self, stream_id, fields, end_stream=False):
        self.send(f.headers(stream_id, self.encoder.encode(list(fields)), end_stream))

    def ws(self, stream_id, opcode, payload=b"", **options):
        options.setdefault("key", self.key)
        self.send(f.data(stream_id, ws_frame(opcode, payload, **options)))

    def close_frame(self, stream_id, code=None, reason=b"", end_stream=False):
        self.send(f.data(stream_id, close_frame(code, reason, key=self.key), end_stream))

    async def frame(self):
        """The next frame; None at the end of the connection."""
        try:
            head = await self.reader.readexactly(9)
            payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        frame, _ = f.read_frame(head + payload)
        if frame.kind == f.HEADERS:
            assert frame.flags & f.END_HEADERS
            frame.fields = [
                (name, value) for name, value in self.decoder.decode(frame.content, raw=True)
            ]
        self.frames.append(frame)
        return frame

    async def expect(self, kind, stream_id=None, *, skip=(f.WINDOW_UPDATE, f.SETTINGS, f.PING)):
        """The next frame that is not of `skip`; it must be of this kind."""
        while True:
            frame = await self.frame()
            assert frame is not None, f"the connection ended before {f.NAMES[kind]}"
            if frame.kind in skip and frame.kind != kind:
                if frame.kind == f.PING and not frame.ack:
                    self.send(f.ping(frame.payload, ack=True))
                continue
            assert frame.kind == kind, (frame, self.frames)
            if stream_id is not None:
                assert frame.stream_id == stream_id, frame
            return frame

    async def until_eof(self):
        """Read to the end; return the frames that came on the way."""
        found = []
        while (frame := await self.frame()) is not None:
            found.append(frame)
        return found

    async def ws_frames(self, stream_id, count):
        """Read DATA until it holds this many WebSocket frames; return them."""
        octets = b""
        while True:
            frame = await self.expect(f.DATA, stream_id)
            octets += frame.content
            found = read_ws_frames(octets)
            if len(found) >= count:
                return found

    def close(self):
        self.writer.close()


class RawClient(RawPeer):
    """A client made of octets."""

    key = b"\x01\x02\x03\x04"

    @classmethod
    async def connect(cls, port, *pairs, greet=True, **kwargs):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, **kwargs)
        self = cls(reader, writer)
        if greet:
            self.send(f.MAGIC, f.settings(*pairs))
            await self.expect(f.SETTINGS)
            self.send(f.settings_ack())
        return self

    def ask_for_websocket(self, stream_id=1, path="/", *extra):
        """Send the request for a WebSocket."""
        fields = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", "127.0.0.1"),
            (":path", path),
            ("sec-websocket-version", "13"),
            *extra,
        ]
        self.headers(stream_id, fields)

    async def websocket(self, stream_id=1, path="/", *extra):
        """Ask for a WebSocket and read the answer."""
        self.ask_for_websocket(stream_id, path, *extra)
        return await self.expect(f.HEADERS, stream_id)


class RawServer(Scripted):
    """A server made of octets: each connection runs `script(peer)`."""

    def __init__(self, script, *pairs, greet=True):
        super().__init__()
        self.script = script
        self.pairs = pairs
        self.greet = greet

    async def serve(self, reader, writer):
        peer = RawPeer(reader, writer)
        if self.greet:
            assert await reader.readexactly(24) == f.MAGIC
            peer.send(f.settings(*self.pairs))
            await peer.expect(f.SETTINGS, skip=())
            peer.send(f.settings_ack())
        await self.script(peer)


async def opens_all(peer):
    """The script of a server that answers 200 to every request, and says no more."""
    while (frame := await peer.frame()) is not None:
        if frame.kind == f.HEADERS:
            peer.headers(frame.stream_id, [(":status", "200")])
