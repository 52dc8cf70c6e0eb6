"""A client on a blocking socket that says what it likes, fast, and notes how it ends."""

import select
import socket
import ssl
import threading
import time
from collections import Counter

import hpack

from tests.support import frames as f
from tests.support.ws_frames import close_frame, ws_frame

__all__ = ["Attacker", "Bystander", "ws_frame"]

KEY = b"\x01\x02\x03\x04"
CHUNK = 1 << 16
AGAIN = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Attacker:
    """One connection. What comes is counted; GOAWAY is kept, and DATA unless `keep` is False.

    `tls`: over TLS, with this context; `alpn` is what the server chose.
    """

    def __init__(
        self,
        port,
        *settings,
        greet=True,
        keep=True,
        receive_buffer=None,
        address=None,
        tls=None,
    ):
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if address is not None:
            self.socket.bind((address, 0))
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", port))
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self.scheme = "http" if tls is None else "https"
        self.socket.setblocking(False)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.keep = keep
        self.frames = Counter()  # by type
        self.resets = Counter()  # by code
        self.statuses = Counter()
        self.compressed = 0  # WebSockets that opened with compression
        self.data = {}  # stream: octets
        self.octets = Counter()  # stream: how many
        self.increments = Counter()  # stream: octets of WINDOW_UPDATE
        self.ended_streams = 0
        self.acks = 0
        self.goaway = None
        self.over = False  # the connection has ended
        self._buffer = bytearray()
        if greet:
            self.send(f.MAGIC, f.settings(*settings))
            assert self.read_until(lambda: self.frames[f.SETTINGS], 20), "no SETTINGS came"
            self.send(f.settings_ack())

    # -- octets to say ----------------------------------------------------------------------------

    def block(self, fields):
        """A field block. The table does not change with fields it has seen: say it again and again."""
        return self.encoder.encode(list(fields))

    def fields(self, method="GET", path="/", *extra):
        return [
            (":method", method),
            (":scheme", self.scheme),
            (":authority", "127.0.0.1"),
            (":path", path),
            *extra,
        ]

    def request(self, stream_id, *extra, method="GET", path="/", end_stream=True):
        return f.headers(stream_id, self.block(self.fields(method, path, *extra)), end_stream)

    def connect(self, stream_id, path="/", *extra):
        """An extended CONNECT."""
        fields = self.fields("CONNECT", path, (":protocol", "websocket"))
        fields.insert(1, fields.pop())
        return f.headers(
            stream_id, self.block([*fields, ("sec-websocket-version", "13"), *extra]), False
        )

    def repeated(self, make, *arguments, **options):
        """Say a request on stream 1, so that its fields are in the table; return its short block."""
        self.send(make(1, *arguments, **options))
        return make(1, *arguments, **options)[9:]

    def websocket(self, stream_id=1, path="/"):
        """Open a WebSocket."""
        before = self.statuses["200"]
        self.send(self.connect(stream_id, path))
        assert self.read_until(lambda: self.statuses["200"] > before, 20), "no 200 came"
        return stream_id

    # -- the socket -------------------------------------------------------------------------------

    def send(self, *chunks, reads=True, patience=2.0):
        """Write it all, reading meanwhile where `reads`; False where the other end stops it.

        A peer that does not read stops when nothing could be written for `patience` seconds.
        """
        pending = memoryview(b"".join(chunks))
        progress = time.monotonic()
        while pending and not self.over:
            readable, writable, _ = select.select(
                [self.socket] if reads else [], [self.socket], [], 0.1
            )
            if readable:
                self._receive()
                progress = time.monotonic()
            if writable:
                try:
                    pending = pending[self.socket.send(pending[:CHUNK]) :]
                    progress = time.monotonic()
                except AGAIN:
                    pass
                except OSError:
                    # What it said before is still there to read.
                    while not self.over:
                        select.select([self.socket], [], [], 5)
                        self._receive()
            elif time.monotonic() - progress > patience:
                return False
        return not self.over

    def read_until(self, condition, seconds=10.0):
        """Read until the condition holds (True), or the connection or the time is over."""
        end = time.monotonic() + seconds
        while not condition():
            left = end - time.monotonic()
            if self.over or left <= 0:
                return bool(condition())
            if select.select([self.socket], [], [], left)[0]:
                self._receive()
        return True

    def read_to_the_end(self, seconds=15.0):
        """Read until the connection has ended."""
        assert self.read_until(lambda: self.over, seconds), "the connection is still open"

    def _receive(self):
        # All that is there: what TLS has taken off the socket is not announced again.
        while self._receive_some() and self.scheme == "https":
            pass

    def _receive_some(self):
        try:
            octets = self.socket.recv(1 << 18)
        except AGAIN:
            return False
        except OSError:
            octets = b""
        if not octets:
            self.over = True
            return False
        buffer = self._buffer
        buffer += octets
        at = 0
        while len(buffer) - at >= 9:
            length = int.from_bytes(buffer[at : at + 3], "big")
            if len(buffer) - at - 9 < length:
                break
            stream_id = int.from_bytes(buffer[at + 5 : at + 9], "big")
            self._frame(buffer[at + 3], buffer[at + 4], stream_id, buffer, at + 9, length)
            at += 9 + length
        del buffer[:at]
        return True

    def _frame(self, kind, flags, stream_id, buffer, at, length):
        self.frames[kind] += 1
        if kind == f.DATA:
            self.octets[stream_id] += length
            self.ended_streams += flags & f.END_STREAM
            if self.keep:
                self.data.setdefault(stream_id, bytearray()).extend(buffer[at : at + length])
        elif kind == f.HEADERS:
            fields = dict(self.decoder.decode(bytes(buffer[at : at + length])))
            self.statuses[fields[":status"]] += 1
            self.compressed += "sec-websocket-extensions" in fields
            self.ended_streams += flags & f.END_STREAM
        elif kind == f.RST_STREAM:
            self.resets[int.from_bytes(buffer[at : at + 4], "big")] += 1
        elif kind == f.GOAWAY:
            self.goaway = f.Frame(kind, flags, stream_id, bytes(buffer[at : at + length]))
        elif kind == f.WINDOW_UPDATE:
            self.increments[stream_id] += int.from_bytes(buffer[at : at + 4], "big")
        elif kind in (f.SETTINGS, f.PING) and flags & f.ACK:
            self.acks += 1

    @property
    def end(self):
        """(the code of the GOAWAY, its debug data)."""
        assert self.goaway is not None, f"no GOAWAY came, but {self.frames}"
        return self.goaway.error_code, self.goaway.payload[8:].decode()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


class Bystander:
    """Somebody else's WebSocket: it echoes all the while, and measures how long each takes."""

    def __init__(self, port, tls=None):
        self.peer = Attacker(port, tls=tls)
        self.peer.websocket()
        self.latencies = []
        self.failure = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        message = f.data(1, ws_frame(2, b"are you there?", key=KEY))
        expected = 0
        try:
            while not self._stop.is_set():
                expected += 16  # a head of two octets, and 14
                begun = time.monotonic()
                self.peer.send(message)
                if not self.peer.read_until(lambda n=expected: self.peer.octets[1] >= n, 20):
                    self.failure = f"no echo after {len(self.latencies)} of them"
                    return
                self.latencies.append(time.monotonic() - begun)
                self._stop.wait(0.005)
        except Exception as error:
            self.failure = repr(error)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *exc_info):
        self._stop.set()
        self._thread.join()
        if self.failure is None:
            self.peer.send(f.data(1, close_frame(1000, key=KEY), True))
        self.peer.close()
