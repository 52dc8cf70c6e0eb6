"""h2 and wsproto, which others wrote, on the other side of an engine.

An `Oracle` is one WebSocket's far end: wsproto's framing, on an h2 stream or bare as after an
HTTP/1.1 upgrade. `wire` joins it to an engine and moves octets both ways until nothing moves.
"""

import h2.config
import h2.connection
import h2.events
import h2.settings
import wsproto.connection
import wsproto.events as ws

REQUEST = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":authority", "example.com"),
    (":path", "/chat"),
    ("sec-websocket-version", "13"),
]


EXTENSIONS = "sec-websocket-extensions"


def accepted(extension, offer):
    """What an extension of wsproto's answers."""
    parameters = extension.accept(offer)
    return f"{extension.name}; {parameters}" if parameters else extension.name


class Oracle:
    """`role` is the oracle's own: "client" or "server". `extension` is one of wsproto's, or None;
    over HTTP/2 it is negotiated here, otherwise by whoever makes the oracle."""

    def __init__(self, role, transport, window=65535, extension=None):
        self.transport = transport
        self.extension = extension
        self.stream_id = 1
        self.h2 = None
        self._reset(role)
        if transport == "h2":
            self.h2 = self._connection(window)

    def next(self, stream_id):
        """Another WebSocket on the same connection."""
        oracle = Oracle.__new__(Oracle)
        oracle.transport = self.transport
        oracle.extension = None
        oracle.stream_id = stream_id
        oracle.h2 = self.h2
        oracle._reset(self.role)
        return oracle

    def _reset(self, role):
        self.role = role
        self._frame()
        self.messages = []  # str and bytes, whole
        self.pings = []
        self.pongs = []
        self.close = None  # (code, reason) of the peer's Close
        self.ended = False  # the peer ended the stream
        self.reset = None  # the error code with which the peer reset it
        self.opened = self.transport == "h1"
        self._parts = []
        self._waiting = b""  # WebSocket octets for which there is no window
        self._end = False  # END_STREAM is to follow them
        self._out = b""

    def _frame(self):
        # wsproto looks only here whether an extension was agreed on.
        self.framing = wsproto.connection.Connection(
            wsproto.connection.ConnectionType.CLIENT
            if self.role == "client"
            else wsproto.connection.ConnectionType.SERVER,
            extensions=[] if self.extension is None else [self.extension],
        )

    def _connection(self, window):
        client = self.role == "client"
        connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=client, header_encoding="utf-8")
        )
        codes = h2.settings.SettingCodes
        values = {codes.INITIAL_WINDOW_SIZE: window}
        values |= {codes.ENABLE_PUSH: 0} if client else {codes.ENABLE_CONNECT_PROTOCOL: 1}
        connection.local_settings = h2.settings.Settings(client=client, initial_values=values)
        connection.initiate_connection()
        return connection

    # -- verbs -------------------------------------------------------------------------------

    def connect(self):
        """Ask for the WebSocket."""
        more = []
        if self.extension is not None:
            more.append((EXTENSIONS, f"{self.extension.name}; {self.extension.offer()}"))
        self.h2.send_headers(self.stream_id, REQUEST + more)

    def send(self, data, final=True):
        """Send a message, or a fragment of one."""
        kind = ws.TextMessage if isinstance(data, str) else ws.BytesMessage
        self._write(self.framing.send(kind(data=data, message_finished=final)))

    def ping(self, payload):
        self._write(self.framing.send(ws.Ping(payload=payload)))

    def close_websocket(self, code, reason):
        self._write(self.framing.send(ws.CloseConnection(code=code, reason=reason)))

    def _write(self, octets):
        if self.h2 is None:
            self._out += octets
        else:
            self._waiting += octets

    # -- octets ------------------------------------------------------------------------------

    def octets(self):
        """What goes to the engine now."""
        if self.h2 is not None:
            self._flush()
            return self.h2.data_to_send()
        out, self._out = self._out, b""
        return out

    def _flush(self):
        if not self.opened or self.reset is not None:
            return
        while self._waiting:
            n = min(
                self.h2.local_flow_control_window(self.stream_id),
                self.h2.max_outbound_frame_size,
                len(self._waiting),
            )
            if n <= 0:
                return
            self.h2.send_data(self.stream_id, self._waiting[:n])
            self._waiting = self._waiting[n:]
        if self._end:
            self._end = False
            self.h2.end_stream(self.stream_id)

    def receive(self, octets):
        """Take octets from the engine. h2 and wsproto raise on what they find wrong."""
        if self.h2 is None:
            self._frames(octets)
            return
        for event in self.h2.receive_data(octets):
            if isinstance(event, h2.events.RequestReceived):
                more = []
                if self.extension is not None:
                    offer = dict(event.headers)[EXTENSIONS]
                    more.append((EXTENSIONS, accepted(self.extension, offer)))
                    self._frame()
                self.h2.send_headers(self.stream_id, [(":status", "200"), *more])
                self.opened = True
            elif isinstance(event, h2.events.ResponseReceived):
                fields = dict(event.headers)
                assert fields[":status"] == "200"
                if self.extension is not None:
                    self.extension.finalize(fields[EXTENSIONS])
                    self._frame()
                self.opened = True
            elif isinstance(event, h2.events.DataReceived):
                self._frames(event.data)
                if event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, self.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended = True
                self._end = self.reset is None
            elif isinstance(event, h2.events.StreamReset):
                self.reset = event.error_code
            elif isinstance(event, h2.events.ConnectionTerminated):
                raise AssertionError(f"GOAWAY {event.error_code!r} {event.additional_data!r}")

    def _frames(self, octets):
        if not octets:
            return  # END_STREAM alone; wsproto may be closed already
        self.framing.receive_data(octets)
        for event in self.framing.events():
            if isinstance(event, ws.TextMessage | ws.BytesMessage):
                self._parts.append(event.data)
                if event.message_finished:
                    empty = "" if isinstance(event, ws.TextMessage) else b""
                    self.messages.append(empty.join(self._parts))
                    self._parts = []
            elif isinstance(event, ws.Ping):
                self.pings.append(bytes(event.payload))
                if self.framing.state is wsproto.connection.ConnectionState.OPEN:
                    self._write(self.framing.send(event.response()))
            elif isinstance(event, ws.Pong):
                self.pongs.append(bytes(event.payload))
            elif isinstance(event, ws.CloseConnection):
                self.close = (int(event.code), event.reason or "")
                if self.framing.state is wsproto.connection.ConnectionState.REMOTE_CLOSING:
                    self._write(self.framing.send(event.response()))


class Wire:
    """Moves octets between an engine and an `Oracle`, cut into pieces of the given sizes."""

    def __init__(self, conn, oracle, sizes=(1 << 20,)):
        self.conn = conn
        self.oracle = oracle
        self.events = []
        self._sizes = sizes
        self._turn = 0
        self.terminated = False

    def _cut(self, octets):
        pieces = []
        at = 0
        least = len(octets) // 500
        while at < len(octets):
            n = max(least, self._sizes[self._turn % len(self._sizes)])
            self._turn += 1
            pieces.append(octets[at : at + n])
            at += n
        return pieces

    def move(self):
        """Until neither side has anything to say."""
        while True:
            self._keep(self.conn.events())
            there = b""
            while buffers := self.conn.data_to_send(now=0.0):
                there += b"".join(buffers)
            self._keep(self.conn.events())
            for piece in self._cut(there):
                self.oracle.receive(piece)
            back = self.oracle.octets()
            for piece in self._cut(back):
                self._keep(self.conn.receive_data(piece, 0.0))
            if not there and not back:
                return

    def _keep(self, events):
        self.events += [event for event in events if hasattr(event, "stream_id")]
        self.terminated = self.terminated or any(
            type(event).__name__ == "Terminated" for event in events
        )
