"""A server that is right in everything but what a test has it do wrong."""

from tests.support import frames as f
from tests.support.raw import RawServer
from tests.support.ws_frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, mask

__all__ = ["WrongServer"]

TOO_MUCH = 60_000  # octets of a message: what fits into any client's windows


class WrongServer(RawServer):
    """Echoes WebSockets over HTTP/2 in cleartext; subclasses change what they are there for.

    Whatever does not begin with HTTP/2's preface is answered with `not_http2` and the end.
    """

    settings = ((f.ENABLE_CONNECT_PROTOCOL, 1),)
    not_http2 = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    credit = True

    def __init__(self):
        super().__init__(self.converse, greet=False)

    async def converse(self, peer):
        if await peer.reader.read(4) != f.MAGIC[:4]:
            await self.answer(peer)
            return
        await peer.reader.readexactly(20)
        peer.buffers = {}
        self.greeting(peer)
        while (frame := await peer.frame()) is not None:
            self.frame(peer, frame)

    async def answer(self, peer):
        peer.send(self.not_http2)
        await peer.writer.drain()

    def greeting(self, peer):
        peer.send(f.settings(*self.settings))

    def frame(self, peer, frame):
        if frame.kind == f.SETTINGS and not frame.ack:
            peer.send(f.settings_ack())
        elif frame.kind == f.PING and not frame.ack:
            self.ping(peer, frame)
        elif frame.kind == f.HEADERS:
            token = frame.get(":protocol")
            if token is None:
                self.request(peer, frame.stream_id)
            elif token != "websocket":
                self.unknown(peer, frame.stream_id)
            else:
                peer.buffers[frame.stream_id] = b""
                self.connect(peer, frame.stream_id)
        elif frame.kind == f.DATA:
            size = len(frame.payload)
            if self.credit and size:
                peer.send(f.window_update(0, size))
            if frame.stream_id not in peer.buffers:
                return
            if self.credit and size:
                peer.send(f.window_update(frame.stream_id, size))
            peer.buffers[frame.stream_id] += frame.content
            while self.message(peer, frame.stream_id):
                pass

    def message(self, peer, stream_id):
        octets = peer.buffers.get(stream_id, b"")
        if len(octets) < 2:
            return False
        size, at = octets[1] & 0x7F, 2
        if size >= 126:
            at = 4 if size == 126 else 10
            size = int.from_bytes(octets[2:at], "big")
        if size > TOO_MUCH:
            self.large(peer, stream_id)
            return False
        if len(octets) < at + 4 + size:
            return False
        payload = mask(octets[at + 4 : at + 4 + size], octets[at : at + 4])
        peer.buffers[stream_id] = octets[at + 4 + size :]
        fin, opcode = bool(octets[0] & 0x80), octets[0] & 0xF
        if opcode == PING:
            self.ws_ping(peer, stream_id, payload)
        elif opcode == CLOSE:
            self.close(peer, stream_id, payload)
        else:
            self.echo(peer, stream_id, opcode, payload, fin)
        return True

    def fail(self, peer, stream_id, code, reason):
        """Close a WebSocket, and look at nothing that still comes of it."""
        del peer.buffers[stream_id]
        peer.close_frame(stream_id, code, reason, end_stream=True)

    # What a test overrides.

    def ping(self, peer, frame):
        peer.send(f.ping(frame.payload, ack=True))

    def connect(self, peer, stream_id):
        peer.headers(stream_id, [(":status", "200")])

    def unknown(self, peer, stream_id):
        peer.headers(stream_id, [(":status", "501")], end_stream=True)

    def request(self, peer, stream_id):
        peer.headers(stream_id, [(":status", "200")], end_stream=True)

    def echo(self, peer, stream_id, opcode, payload, fin):
        assert opcode in (TEXT, BINARY, CONTINUATION)
        peer.ws(stream_id, opcode, payload, fin=fin)

    def large(self, peer, stream_id):
        self.fail(peer, stream_id, 1009, b"too much")

    def ws_ping(self, peer, stream_id, payload):
        peer.ws(stream_id, PONG, payload)

    def close(self, peer, stream_id, payload):
        peer.ws(stream_id, CLOSE, payload)
        peer.send(f.data(stream_id, b"", end_stream=True))
