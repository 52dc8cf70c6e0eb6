"""h2 + wsproto, as their careful users drive them.

The choices favour the contender where its documentation offers one: header validation and
normalisation off, wide windows, credit returned at once through h2's own batching manager, one
`data_to_send` for a read, pieces of a message joined once.
"""

from h2.events import DataReceived, RequestReceived, WindowUpdated
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage

from . import chromium, wire
from .cases import Case, Once
from .peers._h2 import connection as connect
from .wire import digest_of_handshakes, digest_of_split, outgoing, refill

NAME = "h2+wsproto"
ACCEPTED = [(b":status", b"200")]


def versions():
    from importlib.metadata import version

    return {"h2": version("h2"), "hpack": version("hpack"), "wsproto": version("wsproto")}


class WebSocket:
    __slots__ = ("conn", "out", "parts")

    def __init__(self):
        self.conn = Connection(ConnectionType.SERVER)
        self.parts = []
        self.out = bytearray()


class Server:
    """One connection with WebSockets open on its first streams."""

    def __init__(self, streams, **opening):
        self.h2 = conn = connect()
        self.sockets = {}
        for event in conn.receive_data(wire.opening(streams, **opening)):
            if type(event) is RequestReceived:
                conn.send_headers(event.stream_id, ACCEPTED)
                self.sockets[event.stream_id] = WebSocket()
        conn.data_to_send()

    def receive(self, data, deliver):
        """Take a read; call deliver(stream_id, WebSocket, type, data) for each whole message."""
        conn, sockets = self.h2, self.sockets
        for event in conn.receive_data(data):
            if type(event) is DataReceived:
                stream_id = event.stream_id
                if event.flow_controlled_length:
                    conn.acknowledge_received_data(event.flow_controlled_length, stream_id)
                socket = sockets[stream_id]
                socket.conn.receive_data(event.data)
                for message in socket.conn.events():
                    if message.message_finished:
                        whole = message.data
                        if socket.parts:
                            socket.parts.append(whole)
                            whole = whole[:0].join(socket.parts)
                            socket.parts.clear()
                        deliver(stream_id, socket, type(message), whole)
                    else:
                        socket.parts.append(message.data)

    def flush(self, stream_id, socket):
        """Send what waits on a stream as far as the windows allow."""
        conn, out = self.h2, socket.out
        while out:
            room = min(conn.local_flow_control_window(stream_id), conn.max_outbound_frame_size)
            if room <= 0:
                return
            if room >= len(out):
                conn.send_data(stream_id, bytes(out))
                out.clear()
            else:
                conn.send_data(stream_id, bytes(out[:room]))
                del out[:room]


class Receive(Case):
    def __init__(self, size, streams, count, kind="binary", **_):
        self.reads = wire.messages(size, streams, count, kind)
        self.messages = count
        self.server = Server(streams)

    def round(self):
        got = 0

        def deliver(stream_id, socket, kind, data):
            nonlocal got
            got += 1

        receive, send = self.server.receive, self.server.h2.data_to_send
        for data in self.reads:
            receive(data, deliver)
            send()
        assert got == self.messages, got

    def check(self):
        seen = []

        def deliver(stream_id, socket, kind, data):
            text = kind is TextMessage
            seen.append((stream_id, text, data.encode() if text else bytes(data)))

        for data in self.reads:
            self.server.receive(data, deliver)
            self.server.h2.data_to_send()
        assert len(seen) == self.messages
        return wire.digest(seen)


class Echo(Case):
    def __init__(self, size, streams, count, kind="binary", **_):
        self.reads = wire.messages(size, streams, count, kind)
        self.messages = count
        self.server = Server(streams)
        self.refill = None

    def prepare(self):
        if self.refill:
            self.server.h2.receive_data(self.refill)
            self.server.h2.data_to_send()

    def _round(self, keep):
        server = self.server
        conn, flush = server.h2, server.flush
        waiting = {}  # flushed once a read: a third faster than a DATA frame for each message

        def deliver(stream_id, socket, kind, data):
            socket.out += socket.conn.send(kind(data=data))
            waiting[stream_id] = socket

        for data in self.reads:
            server.receive(data, deliver)
            for stream_id, socket in waiting.items():
                flush(stream_id, socket)
            waiting.clear()
            keep(conn.data_to_send())

    def round(self):
        self._round(len)

    def check(self):
        out = []
        self._round(out.append)
        self.refill = refill(b"".join(out))
        return wire.digest_of_messages(b"".join(out))


class Send(Case):
    def __init__(self, size, streams, count, kind="binary", **_):
        self.server = Server(streams)
        self.messages = count
        self.data = outgoing(size, kind)
        self.type = BytesMessage if kind == "binary" else TextMessage
        ids = wire.stream_ids(streams)
        self.targets = [ids[at % streams] for at in range(count)]
        self.batch = max(1, min(100, wire.READ // size))
        self.refill = None

    prepare = Echo.prepare

    def _round(self, keep):
        server, sockets, kind, data = self.server, self.server.sockets, self.type, self.data
        for at in range(0, self.messages, self.batch):
            batch = self.targets[at : at + self.batch]
            for stream_id in batch:
                socket = sockets[stream_id]
                socket.out += socket.conn.send(kind(data=data))
            for stream_id in dict.fromkeys(batch):
                server.flush(stream_id, sockets[stream_id])
            keep(server.h2.data_to_send())

    round = Echo.round
    check = Echo.check


class Broadcast(Case):
    """The frame is encoded once (no extension, no mask: the same octets for everybody)."""

    def __init__(self, size, streams, **_):
        self.server = Server(streams)
        self.calls = max(1, 1000 // streams)
        self.messages = self.calls * streams
        self.data = outgoing(size, "binary")
        self.refill = None

    prepare = Echo.prepare

    def _round(self, keep):
        server = self.server
        for _ in range(self.calls):
            encoded = b""
            for stream_id, socket in server.sockets.items():
                if not encoded:
                    encoded = socket.conn.send(BytesMessage(data=self.data))
                socket.out += encoded
                server.flush(stream_id, socket)
            keep(server.h2.data_to_send())

    round = Echo.round
    check = Echo.check


class Split(Case):
    """One message against a stream window that each WINDOW_UPDATE opens by `window` octets."""

    def __init__(self, size, window, **_):
        self.window = window
        self.data = outgoing(size, "binary")
        octets = len(wire.websocket_frame(self.data))
        self.reads = [wire.window_update(1, window)] * (-(-octets // window) - 1)
        self.messages = -(-octets // min(window, wire.MAX_FRAME_SIZE))  # frames, or nearly

    def prepare(self):
        self.server = Server(1, initial_window_size=self.window)

    def _round(self, keep):
        server = self.server
        socket = server.sockets[1]
        conn = server.h2
        socket.out += socket.conn.send(BytesMessage(data=self.data))
        server.flush(1, socket)
        keep(conn.data_to_send())
        for data in self.reads:
            for event in conn.receive_data(data):
                if type(event) is WindowUpdated and socket.out:
                    server.flush(event.stream_id, socket)
            keep(conn.data_to_send())
        assert not socket.out

    def round(self):
        self._round(len)

    def check(self):
        self.prepare()
        out = []
        self._round(out.append)
        return digest_of_split(b"".join(out), self.window)


class Blocked(Case):
    """Streams that wait for connection credit, released by one WINDOW_UPDATE."""

    def __init__(self, streams, size=125, **_):
        self.server = Server(streams + 1, connection_window=65535)
        self.messages = streams
        self.data = outgoing(size, "binary")
        self.release = wire.window_update(0, streams * len(wire.websocket_frame(self.data)))
        server, last = self.server, 2 * streams + 1
        socket = server.sockets[last]  # it takes the whole credit, and stays silent from then on
        socket.out += socket.conn.send(BytesMessage(data=bytes(65535 - 4)))
        server.flush(last, socket)
        server.h2.data_to_send()
        del server.sockets[last]

    def prepare(self):
        server = self.server
        for stream_id, socket in server.sockets.items():
            socket.out += socket.conn.send(BytesMessage(data=self.data))
            server.flush(stream_id, socket)
        assert not server.h2.data_to_send()

    def _round(self, keep):
        server = self.server
        for event in server.h2.receive_data(self.release):
            if type(event) is WindowUpdated:
                for stream_id, socket in server.sockets.items():
                    if socket.out:
                        server.flush(stream_id, socket)
        keep(server.h2.data_to_send())

    def round(self):
        self._round(len)

    def check(self):
        self.prepare()
        out = []
        self._round(out.append)
        return wire.digest_of_messages(b"".join(out))


class Handshake(Case):
    """Chromium's CONNECT in, 200 out. h2 alone: no WebSocket object is made."""

    def __init__(self, warm, count, **_):
        self.warm, self.messages = warm, count
        if warm:
            self.blocks = [chromium.warm(7 + 2 * at) for at in range(count)]

    def prepare(self):
        connections = []
        for _ in range(1 if self.warm else self.messages):
            conn = connect()
            for event in conn.receive_data(chromium.FIRST):
                if type(event) is RequestReceived:
                    conn.send_headers(event.stream_id, ACCEPTED, end_stream=True)
            connections.append(conn)
            conn.data_to_send()
        if self.warm:
            conn.receive_data(chromium.COLD)
            conn.send_headers(chromium.COLD_STREAM, ACCEPTED)
            conn.data_to_send()
            self.work = [(conn, block) for block in self.blocks]
        else:
            self.work = [(conn, chromium.COLD) for conn in connections]

    def _round(self, keep, see):
        for conn, block in self.work:
            for event in conn.receive_data(block):
                if type(event) is RequestReceived:
                    conn.send_headers(event.stream_id, ACCEPTED)
                    see(event)
            keep(conn.data_to_send())

    def round(self):
        self._round(len, id)

    def check(self):
        self.prepare()
        out, seen = [], []
        self._round(out.append, seen.append)
        fields = []
        for event in seen:
            fields.append((event.stream_id,))
            fields += [(bytes(name), bytes(value)) for name, value in event.headers]
        return digest_of_handshakes(fields, b"".join(out))


class Heads(Case):
    """Nothing but frame heads: frames of a type nobody knows, which are to be ignored."""

    def __init__(self, count, **_):
        self.messages = count
        self.reads = wire.heads(count)
        self.h2 = Server(1).h2

    def round(self):
        for data in self.reads:
            self.h2.receive_data(data)
            self.h2.data_to_send()

    def check(self):
        """The answer to the PING behind them tells that they were read over."""
        self.round()
        self.h2.receive_data(wire.frame(wire.PING, 0, 0, b"all read"))
        return wire.digest([(self.h2.data_to_send(),)])


class Idle(Once):
    """Octets a WebSocket that has echoed one fragmented message and is quiet since."""

    def __init__(self, websockets, streams, size=65536, pieces=4, **_):
        self.websockets, self.streams = websockets, streams
        self.echo = [wire.fragmented(sid, size, pieces) for sid in wire.stream_ids(streams)]
        self.opening = wire.opening(streams)
        self.kept = []

    def once(self):
        from .memory import resident

        self._connection()  # what the first connection alone costs: imports, caches, pools
        before = resident()
        for _ in range(self.websockets // self.streams):
            self._connection()
        count = self.websockets // self.streams * self.streams
        return {"websockets": count, "octets": (resident() - before) / count}

    def _connection(self):
        server = Server(self.streams)
        self.kept.append(server)
        conn, flush = server.h2, server.flush

        def deliver(stream_id, socket, kind, data):
            socket.out += socket.conn.send(kind(data=data))
            flush(stream_id, socket)

        for message in self.echo:
            server.receive(message, deliver)
            conn.data_to_send()


CASES = {
    "receive": Receive,
    "echo": Echo,
    "send": Send,
    "broadcast": Broadcast,
    "split": Split,
    "blocked": Blocked,
    "handshake": Handshake,
    "heads": Heads,
    "idle": Idle,
}
