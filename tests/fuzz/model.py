"""The other end of a connection: makes traffic, reads what comes back, keeps its own accounts.

Nothing here is shared with the engine: frames are written and read by hand, field blocks by the
`hpack` package, windows are counted from what crossed the wire.
"""

import hpack

from tests.support import frames as f
from tests.support.ws_frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, ws_frame

KEYS = (b"\x01\x02\x03\x04", b"\x00\x00\x00\x00", b"\xff\x37\x80\x01")
REQUEST = [(":scheme", "https"), (":authority", "example.com"), (":path", "/")]
LISTED_ERRORS = range(14)
# What the engine may say to a peer that did something wrong only.
FAULTS = (
    f.PROTOCOL_ERROR,
    f.FLOW_CONTROL_ERROR,
    f.STREAM_CLOSED,
    f.FRAME_SIZE_ERROR,
    f.COMPRESSION_ERROR,
)


class PeerStream:
    """What the peer knows of one stream."""

    def __init__(self, left, room, websocket=False):
        self.left = left  # what the peer may send
        self.room = room  # what the engine may send, less the peer's INITIAL_WINDOW_SIZE
        self.websocket = websocket
        self.answered = False  # a final response head went either way
        self.ended_here = False
        self.ended_there = False
        self.reset = False  # by either side
        self.reset_there = False
        self.received = b""
        self.parts = None  # of a message that the peer is sending
        self.opcode = 0
        self.sent = []  # whole messages that the peer sent
        self.closing = False
        self.body = False


class Model:
    def __init__(self, application, rng, *, engine_is_client, hostile):
        self.application = application
        self.rng = rng
        self.client = not engine_is_client  # the peer's role
        self.hostile = hostile
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.decoder.max_allowed_table_size = 2**32
        self.streams = {}
        self.next_id = 1
        self.left = 65535  # what the peer may send on the connection
        self.room = 65535  # what the engine may send
        self.initial = 65535  # of the peer's streams: what the engine may send on each ...
        self.initials = []  # ... and what this was told with each SETTINGS that it has not acknowledged
        self.engine_initial = 65535
        self.max_frame = 16384
        self.engine_max_frame = 16384
        self.connection_window = 65535
        self.pending_acks = 0
        self.unread = b""
        self.magic = engine_is_client
        self.block = None
        self.goaway = None
        self.lowered = False
        self.octets = []

    # -- what the engine sends ---------------------------------------------------------------

    def read(self, octets):
        self.octets.append(octets)
        self.unread += octets
        if self.magic:
            if len(self.unread) < len(f.MAGIC):
                return
            assert self.unread.startswith(f.MAGIC)
            self.unread = self.unread[len(f.MAGIC) :]
            self.magic = False
        at = 0
        while (found := f.read_frame(self.unread, at)) is not None:
            at = found[1]
            self.frame(found[0])
        self.unread = self.unread[at:]

    def frame(self, one):
        assert self.hostile or len(one.payload) <= self.max_frame
        assert one.kind in f.NAMES, one
        stream = self.streams.get(one.stream_id)
        if self.block is not None:
            assert one.kind == f.CONTINUATION and one.stream_id == self.block[0].stream_id
            self.block[1] += one.payload
            if one.flags & f.END_HEADERS:
                self.head(*self.block)
        elif one.kind == f.HEADERS:
            self.block = [one, one.content]
            if one.flags & f.END_HEADERS:
                self.head(*self.block)
        elif one.kind == f.DATA:
            self.data(one, stream)
        elif one.kind == f.WINDOW_UPDATE:
            assert 0 < one.increment < 2**31
            if one.stream_id == 0:
                self.left += one.increment
                self.connection_window = max(self.connection_window, self.left)
                assert self.left < 2**31
            elif stream is not None and not self.hostile:
                stream.left += one.increment
                assert stream.left < 2**31
        elif one.kind == f.RST_STREAM:
            assert one.error_code in LISTED_ERRORS or one.error_code == 2**32 - 1
            if stream is not None:
                assert self.hostile or not stream.reset_there, "RST_STREAM twice"
                assert self.hostile or one.error_code not in FAULTS, one
                stream.reset = stream.reset_there = True
        elif one.kind == f.SETTINGS and not one.ack:
            for identifier, value in one.settings:
                if identifier == f.INITIAL_WINDOW_SIZE:
                    for other in self.streams.values():
                        other.left += value - self.engine_initial
                    self.engine_initial = value
                elif identifier == f.MAX_FRAME_SIZE:
                    self.engine_max_frame = value
            self.pending_acks += 1
        elif one.kind == f.SETTINGS and self.initials:
            self.initial = self.initials.pop(0)
        elif one.kind == f.GOAWAY:
            self.goaway = one
            assert one.error_code in LISTED_ERRORS

    def head(self, one, block):
        self.block = None
        fields = self.decoder.decode(block, raw=True)
        if not self.client and fields[0][0] == b":method":
            assert one.stream_id not in self.streams and one.stream_id & 1
            websocket = (b":protocol", b"websocket") in fields
            stream = PeerStream(self.engine_initial, 0, websocket)
            stream.body = fields[0][1] != b"CONNECT"
            self.streams[one.stream_id] = stream
        else:
            stream = self.streams.get(one.stream_id)
            if stream is None:
                assert self.hostile
                return
            assert self.hostile or not stream.reset_there, "HEADERS after RST_STREAM"
            assert self.hostile or not stream.ended_there, "HEADERS after END_STREAM"
            if fields[0][0] == b":status" and fields[0][1] >= b"200":
                assert self.hostile or not stream.answered
                stream.answered = True
                stream.websocket = stream.websocket and fields[0][1] == b"200"
        if one.end_stream:
            stream.ended_there = True

    def data(self, one, stream):
        n = len(one.payload)
        self.room -= n
        if stream is None:
            assert self.hostile
            return
        assert self.hostile or not stream.reset_there, "DATA after RST_STREAM"
        assert not stream.ended_there, "DATA after END_STREAM"
        stream.room -= n
        if n and not self.hostile:
            assert self.room >= 0, "the connection's window exceeded"
            # RFC 9113 section 6.5.3: until it is acknowledged, what was written may count on another.
            initial = max([self.initial, *self.initials])
            assert initial + stream.room >= 0, "a stream's window exceeded"
        stream.received += one.payload
        stream.ended_there = one.end_stream

    # -- what the peer sends -----------------------------------------------------------------

    def opening(self):
        first = [f.MAGIC] if self.client else []
        settings = [(f.ENABLE_CONNECT_PROTOCOL, 1)]
        if self.rng.random() < 0.4:
            value = self.rng.choice((0, 1, 100, 65535, 2**20))
            settings.append((f.INITIAL_WINDOW_SIZE, value))
            self.initials.append(value)
        else:
            self.initials.append(self.initial)
        if self.rng.random() < 0.2:
            self.max_frame = 20000
            settings.append((f.MAX_FRAME_SIZE, 20000))
        return [*first, f.settings(*settings)]

    def traffic(self):
        """Some frames that a peer of good faith might send now."""
        rng = self.rng
        if self.pending_acks and rng.random() < 0.5:
            self.pending_acks -= 1
            return [f.settings_ack()]
        alive = [i for i, s in self.streams.items() if not (s.reset or s.ended_here)]
        how = rng.randrange(100)
        if not alive or how < 12:
            if self.client:
                return self.open()
            return []
        stream_id = rng.choice(alive[-12:])
        stream = self.streams[stream_id]
        if how < 20 and not self.client and not stream.answered:
            return self.respond(stream_id, stream)
        if how < 62:
            return self.content(stream_id, stream)
        if how < 72:
            n = rng.choice((1, 100, 16384, 70000))
            stream.room += n
            return [f.window_update(stream_id, n)]
        if how < 80:
            n = rng.choice((1, 1000, 70000))
            self.room += n
            return [f.window_update(0, n)]
        if how < 83:
            stream.reset = True
            return [f.rst_stream(stream_id, rng.choice((0, 8, 7)))]
        if how < 86:
            value = rng.choice((0, 1, 1000, 65535, 10**6))
            self.initials.append(value)
            return [f.settings((f.INITIAL_WINDOW_SIZE, value))]
        if how < 88:
            self.initials.append([self.initial, *self.initials][-1])
            return [f.settings((f.HEADER_TABLE_SIZE, rng.choice((0, 100, 4096, 10**6))))]
        if how < 91:
            return [f.ping(rng.randbytes(8))]
        if how < 93:
            return [f.priority(rng.randrange(1, 99))]
        if how < 95:
            return [f.frame(f.UNKNOWN, rng.randrange(256), rng.randrange(9), rng.randbytes(30))]
        if how < 97 and self.client:
            # RFC 9218 section 7.1: of idle streams no more than may be opened.
            return [f.priority_update(min(rng.randrange(1, 99) | 1, stream_id))]
        if how < 98:
            stream.room += 5
            self.room += 7
            return [f.window_update(stream_id, 5), f.window_update(0, 7), f.ping()]
        if rng.random() < 0.05:
            return [f.goaway(0 if self.client else 2**31 - 1)]
        return []

    def fields(self, fields, end_stream, stream_id):
        rng = self.rng
        if rng.random() < 0.3:
            fields = [*fields, ("x-" + "abc"[rng.randrange(3)], "v" * rng.randrange(60))]
        block = self.encoder.encode(fields)
        if rng.random() < 0.1 and len(block) > 2:
            cut = rng.randrange(len(block))
            return [
                f.headers(stream_id, block[:cut], end_stream, end_headers=False)
                + f.continuation(stream_id, block[cut:])
            ]
        pad = rng.randrange(20) if rng.random() < 0.1 else None
        return [f.headers(stream_id, block, end_stream, pad=pad)]

    def open(self):
        rng = self.rng
        stream_id = self.next_id
        self.next_id += 2 if rng.random() < 0.95 else 6
        stream = PeerStream(self.engine_initial, 0)
        self.streams[stream_id] = stream
        how = rng.randrange(10)
        if how < 6:
            stream.websocket = True
            head = [(":method", "CONNECT"), (":protocol", "websocket"), *REQUEST]
            return self.fields([*head, ("sec-websocket-version", "13")], False, stream_id)
        if how == 6:
            head = [(":method", "CONNECT"), (":protocol", "tunnel"), *REQUEST]
            return self.fields(head, False, stream_id)
        stream.body = True
        stream.ended_here = how == 7
        method = "GET" if stream.ended_here else "POST"
        return self.fields([(":method", method), *REQUEST], stream.ended_here, stream_id)

    def respond(self, stream_id, stream):
        rng = self.rng
        if rng.random() < 0.2:
            return self.fields([(":status", "103")], False, stream_id)
        stream.answered = True
        refused = rng.random() < 0.2
        if refused:
            stream.websocket = False
            stream.body = True
        status = "403" if refused else "200"
        stream.ended_here = (refused or stream.body) and rng.random() < 0.3
        return self.fields([(":status", status)], stream.ended_here, stream_id)

    def content(self, stream_id, stream):
        rng = self.rng
        if not self.client and not stream.answered:
            return []
        if stream.websocket:
            frames = self.messages(stream)
        else:
            frames = rng.randbytes(rng.choice((0, 1, 300, 20000)))
        end = rng.random() < 0.05 or (stream.closing and rng.random() < 0.5)
        return self.carry(stream_id, stream, frames, end)

    def messages(self, stream):
        """Octets of some WebSocket frames; nothing after a Close."""
        rng = self.rng
        octets = b""
        for _ in range(rng.randrange(1, 4)):
            if stream.closing:
                break
            key = rng.choice(KEYS) if self.client else None
            how = rng.randrange(20)
            payload = rng.choice((b"", b"a", b"hello" * 20, b"b" * 2000, rng.randbytes(200)))
            if how < 10 and stream.parts is None:
                text = rng.random() < 0.5
                payload = "é€x𝄞".encode() * len(payload) if text else payload
                octets += ws_frame(TEXT if text else BINARY, payload, key=key)
                stream.sent.append(payload.decode() if text else payload)
            elif how < 15:
                opcode = CONTINUATION
                if stream.parts is None:
                    stream.parts, opcode = b"", BINARY
                stream.parts += payload
                fin = rng.random() < 0.4
                octets += ws_frame(opcode, payload, key=key, fin=fin)
                if fin:
                    stream.sent.append(stream.parts)
                    stream.parts = None
            elif how < 19:
                octets += ws_frame(rng.choice((PING, PONG)), payload[:125], key=key)
            elif rng.random() < 0.3:
                octets += ws_frame(CLOSE, rng.choice((b"", b"\x03\xe8", b"\x03\xe9bye")), key=key)
                stream.closing = True
        return octets

    def carry(self, stream_id, stream, octets, end):
        """DATA frames within the windows; what does not fit is kept from the WebSocket's end."""
        rng = self.rng
        frames = []
        while True:
            pad = rng.randrange(30) if rng.random() < 0.1 else None
            extra = 0 if pad is None else pad + 1
            n = min(len(octets), rng.choice((1, 50, 16000, 16000)))
            n = min(n, self.left - extra, stream.left - extra, self.engine_max_frame - extra)
            if n < 0 or (n == 0 and octets):
                # The rest has no room: the stream is given up, as half a message is no use.
                stream.reset = True
                return [*frames, f.rst_stream(stream_id)]
            last = n == len(octets)
            self.left -= n + extra
            stream.left -= n + extra
            frames.append(f.data(stream_id, octets[:n], last and end, pad=pad))
            octets = octets[n:]
            if last:
                stream.ended_here = stream.ended_here or end
                return frames
