"""One open WebSocket of an engine, over HTTP/2 or over an upgraded HTTP/1.1 connection.

The tests of RFC 6455 speak to it in WebSocket frames and read its answers as a list such as
`[("pong", b"x"), ("close", 1002), END]`, whichever transport carries them.
"""

import importlib

from . import frames as f
from .peer import CONNECT, OK, Peer, of
from .ws_frames import BINARY, CLOSE, CONTINUATION, KEY, PING, PONG, TEXT, read_ws_frames, ws_frame

SERVER, CLIENT = "server", "client"
END = "end"  # END_STREAM, or the end of the TCP connection
RESET = ("reset", f.CANCEL)
NAMES = {
    CONTINUATION: "continuation",
    TEXT: "text",
    BINARY: "binary",
    CLOSE: "close",
    PING: "ping",
    PONG: "pong",
}
WIDE = (1 << 30) - 65535  # a window that no test fills


class WebSocket:
    """`role` is the engine's; stream 1 carries the WebSocket on both transports.

    `conn` is the engine: call its verbs with stream 1. Options are those of `Connection` and
    `Upgraded`; `peer_settings` and `window` (the connection's) concern HTTP/2 alone. `deflate` makes
    it compressed: `(factory, octets)` with the peer's offers, or with its response.
    """

    def __init__(
        self,
        twin,
        transport,
        role,
        *,
        auto_credit=True,
        peer_settings=((f.INITIAL_WINDOW_SIZE, 1 << 30),),
        window=WIDE,
        limits=None,
        deflate=None,
        **options,
    ):
        self.transport = transport
        self.deflate = deflate
        self.role = role
        self.key = KEY if role == SERVER else None  # only a client masks
        self.ended = False  # the engine's side
        self._held = b""
        if transport == "h2":
            self.peer = Peer(
                twin,
                role,
                peer_settings=((f.ENABLE_CONNECT_PROTOCOL, 1), *peer_settings),
                limits=limits,
                auto_credit=auto_credit,
                **options,
            )
            self.errors = self.peer.errors
            self.conn = self.peer.conn
            self._open()
            if window:
                self.peer.feed(f.window_update(0, window))
        else:
            self.errors = importlib.import_module("..errors", twin.__name__)
            h1 = importlib.import_module(".h1", twin.__name__)
            if deflate is not None:
                factory, octets = deflate
                if role == SERVER:
                    options["agreed"] = factory.accept(octets)[1]
                else:
                    options["agreed"] = factory.agree(octets)
            self._now = 0.0
            self._events = []
            self.conn = h1.Upgraded(
                twin.Role.SERVER if role == SERVER else twin.Role.CLIENT,
                twin.Limits(**(limits or {})),
                auto_credit=auto_credit,
                **options,
            )

    def _open(self):
        peer = self.peer
        factory, octets = self.deflate or (None, None)
        more = [] if octets is None else [("sec-websocket-extensions", octets.decode())]
        if self.role == SERVER:
            peer.open(CONNECT + more)
            self.conn.accept_websocket(1, deflate=factory)
        else:
            assert self.conn.connect_websocket("example.com", "/chat", deflate=factory) == 1
            peer.sent()
            peer.feed(peer.headers(1, OK + more))
        peer.sent()
        peer.more()
        peer.events.clear()

    # -- what the peer does ------------------------------------------------------------------

    def frame(self, opcode, payload=b"", **fields):
        """A frame as the peer would send it: masked where the peer is the client."""
        fields.setdefault("key", self.key)
        return ws_frame(opcode, payload, **fields)

    def close(self, code=None, reason=b""):
        """The peer's Close frame."""
        body = b"" if code is None else code.to_bytes(2, "big") + reason
        return self.frame(CLOSE, body)

    def feed(self, *octets, end=False, step=None):
        """WebSocket octets arrive, `step` at a time; `end`: with END_STREAM, or the end of TCP."""
        octets = b"".join(octets)
        step = min(step or 16384, 16384 if self.transport == "h2" else 1 << 30)
        parts = [octets[at : at + step] for at in range(0, len(octets), step)]
        if self.transport == "h2":
            chunks = [f.data(1, part) for part in parts]
            if end and chunks:
                chunks[-1] = f.data(1, parts[-1], end_stream=True)
            elif end:
                chunks = [f.data(1, end_stream=True)]
            return [event for chunk in chunks for event in self.peer.feed(chunk)]
        came = []
        for part in parts:
            came += self.conn.receive_data(part, self._now)
            came += self.conn.events()
        if end:
            came += self.conn.receive_eof(self._now)
            came += self.conn.events()
        self._events += came
        return came

    def break_off(self, error_code=f.CANCEL):
        """The peer resets the stream, or its TCP connection."""
        if self.transport == "h2":
            return self.peer.feed(f.rst_stream(1, error_code))
        return self.feed(end=True)

    # -- what the engine does ----------------------------------------------------------------

    @property
    def events(self):
        """All that happened on the WebSocket, in order."""
        if self.transport == "h2":
            self.peer.more()
            events = self.peer.events
        else:
            self._events += self.conn.events()
            events = self._events
        return [event for event in events if getattr(event, "stream_id", 0) == 1]

    @property
    def messages(self):
        """The payloads of the messages so far."""
        return [e.data for e in self.events if type(e).__name__ in ("TextMessage", "BytesMessage")]

    @property
    def closed(self):
        """The `Closed` event: there is one, and it is the last."""
        events = self.events
        closed = of(events, "Closed")
        assert len(closed) == 1, events
        assert events[-1] is closed[0], events
        return closed[0]

    @property
    def open(self):
        return not of(self.events, "Closed")

    def frames(self):
        """The WebSocket frames sent since the last call, then `END` or `("reset", code)`."""
        octets, marks = self._held, []
        self._held = b""
        if self.transport == "h2":
            for one in self.peer.sent():
                if one.stream_id != 1:
                    continue
                if one.kind == f.DATA:
                    assert not self.ended, one
                    octets += one.content
                if one.kind == f.RST_STREAM:
                    marks.append(("reset", one.error_code))
                    self.ended = True
                if one.end_stream:
                    marks.append(END)
                    self.ended = True
        else:
            octets += self._pull()
            assert not (octets and self.ended), octets
            self.events  # noqa: B018  # collects what the pull produced
            if not self.ended and of(self._events, "Terminated"):
                marks.append(END)
                self.ended = True
        frames = read_ws_frames(octets)
        for one in frames:  # RFC 6455 section 5.1: the rule of masking has no exception
            assert (one.key is not None) == (self.role == CLIENT), one
            assert one.rsv == 0 or (
                one.rsv == 4 and self.deflate is not None and one.opcode in (TEXT, BINARY)
            ), one
        return frames + marks

    def sent(self):
        """As `frames`, each as (name, payload): ("text+", ...) without FIN, ("close", code)."""
        return [
            one
            if one == END or one[0] == "reset"
            else ("close", one.close_code)
            if one.opcode == CLOSE
            else (NAMES[one.opcode] + "+" * (not one.fin), one.payload)
            for one in self.frames()
        ]

    # -- time --------------------------------------------------------------------------------

    def tick(self, seconds):
        """Let time pass as a caller would: up to each deadline, then on. Read `sent` after it."""
        if self.transport == "h2":
            self.peer.tick(seconds)
            return
        until = self._now + seconds
        while (deadline := self.conn.next_timeout()) is not None and deadline <= until:
            self._now = max(self._now, deadline)
            self.conn.handle_timeout(self._now)
            self._held += self._pull()
        self._now = until

    def _pull(self):
        octets = b""
        while buffers := self.conn.data_to_send(65536, now=self._now):
            octets += b"".join(buffers)
        return octets
