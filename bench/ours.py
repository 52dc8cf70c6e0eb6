"""h2ws_fast's engine, whichever twin this process runs."""

import sys

from h2ws_fast import _twins
from h2ws_fast.engine import Connection, Limits, Role, Settings
from h2ws_fast.engine.buffers import Pool
from h2ws_fast.engine.events import BytesMessage, Closed, Requested, TextMessage

from . import chromium, wire
from .cases import Case, Once
from .datagrams import Datagrams
from .kernels import KERNELS
from .wire import digest_of_handshakes, digest_of_split, outgoing, refill

NAME = "compiled" if _twins.COMPILED else "pure"
ACCEPTED = [(":status", "200")]


def versions():
    from importlib.metadata import PackageNotFoundError, version

    try:
        return {"h2ws_fast": version("h2ws_fast")}
    except PackageNotFoundError:  # a source tree that was never installed
        return {}


POOL = Pool()  # output buffers, one pool for each event loop


UNHURRIED = Limits(dribble_burst=None)  # tiny windows are measured here, and are no attack


def connect(auto_credit=True, streams=20_000):
    return Connection(
        Role.SERVER,
        Settings(max_concurrent_streams=streams),
        UNHURRIED,
        auto_credit=auto_credit,
        pool=POOL,
    )


def drain(conn, keep):
    """Take everything that may be sent, as a transport would."""
    while buffers := conn.data_to_send():
        keep(buffers)


class Server:
    """One connection with WebSockets open on its first streams."""

    def __init__(self, streams, auto_credit=True, keep=False, **opening):
        self.conn = conn = connect(auto_credit, max(1000, streams))
        self.ids = []
        self.requests = []
        for data in wire.reads(wire.opening(streams, **opening)):
            for event in conn.receive_data(data):
                if type(event) is Requested:
                    conn.accept_websocket(event.stream_id)
                    self.ids.append(event.stream_id)
                    if keep:
                        self.requests.append(event)
            drain(conn, len)
        assert len(self.ids) == streams, len(self.ids)


def joined(pulls):
    return b"".join(b"".join(buffers) for buffers in pulls)


class Receive(Case):
    """`credit`: "auto" (delivery is consumption), "consumed" (the verb is called for each message
    by a loop that looks at its data)."""

    def __init__(self, size, streams, count, kind="binary", credit="auto"):
        self.reads = wire.messages(size, streams, count, kind)
        self.messages = count
        self.conn = Server(streams, auto_credit=credit == "auto").conn
        self.credit = credit

    def round(self):
        if self.credit == "consumed":
            return self._round_consumed()
        receive, send = self.conn.receive_data, self.conn.data_to_send
        got = 0
        for data in self.reads:
            got += len(receive(data))
            send()
        assert got == self.messages, got

    def _round_consumed(self):
        receive, send, consumed = (
            self.conn.receive_data,
            self.conn.data_to_send,
            self.conn.consumed,
        )
        got = octets = 0
        for data in self.reads:
            for event in receive(data):
                got += 1
                octets += len(event.data)
                consumed(event.stream_id, event.credit)
            send()
        assert got == self.messages and octets, got

    def check(self):
        seen = []
        for data in self.reads:
            for event in self.conn.receive_data(data):
                text = type(event) is TextMessage
                assert text or type(event) is BytesMessage, event
                seen.append((event.stream_id, text, event.data.encode() if text else event.data))
                if self.credit == "consumed":
                    self.conn.consumed(event.stream_id, event.credit)
            self.conn.data_to_send()
        assert len(seen) == self.messages, len(seen)
        return wire.digest(seen)


class Outgoing(Case):
    """What sends: its peer gives the credit back between the rounds."""

    refill = None

    def prepare(self):
        if self.refill:
            self.conn.receive_data(self.refill)
            drain(self.conn, len)

    def round(self):
        self._round(len)

    def check(self):
        self.prepare()
        pulls = []
        self._round(lambda buffers: pulls.append([bytes(buffer) for buffer in buffers]))
        self.refill = refill(joined(pulls))
        return wire.digest_of_messages(joined(pulls))


class Echo(Outgoing):
    """Through a Python callback that `attach` set on each stream.

    `via`: "message" (the callback gets the message alone, and what it returns is sent back), "send"
    (it gets the message alone and calls `send_message`), "event" (it gets every event and calls
    `send_message`).
    """

    def __init__(self, size, streams, count, kind="binary", via="message"):
        self.reads = wire.messages(size, streams, count, kind)
        self.messages = count
        server = Server(streams)
        self.conn = conn = server.conn
        send = conn.send_message
        wanted = BytesMessage if kind == "binary" else TextMessage

        def echo_event(event):
            if type(event) is wanted:
                send(event.stream_id, event.data)

        for stream_id in server.ids:
            if via == "event":
                conn.attach(stream_id, echo_event)
            elif via == "send":

                def echo_by_send(message, stream_id=stream_id):
                    send(stream_id, message)

                conn.attach(stream_id, id, echo_by_send)
            else:

                def echo(message):
                    return message

                conn.attach(stream_id, id, echo)  # what is no message is looked over

    def _round(self, keep):
        conn = self.conn
        for data in self.reads:
            for event in conn.receive_data(data):
                raise AssertionError(event)
            drain(conn, keep)


class Send(Outgoing):
    def __init__(self, size, streams, count, kind="binary", **_):
        self.conn = Server(streams).conn
        self.messages = count
        self.data = outgoing(size, kind)
        ids = wire.stream_ids(streams)
        self.targets = [ids[at % streams] for at in range(count)]
        self.batch = max(1, min(100, wire.READ // size))

    def _round(self, keep):
        conn, data, send = self.conn, self.data, self.conn.send_message
        for at in range(0, self.messages, self.batch):
            for stream_id in self.targets[at : at + self.batch]:
                send(stream_id, data)
            drain(conn, keep)


class Broadcast(Outgoing):
    """A round has a thousand recipients: to look at the clock costs what forty of them do."""

    def __init__(self, size, streams, **_):
        server = Server(streams)
        self.conn, self.ids = server.conn, server.ids
        self.calls = max(1, 1000 // streams)
        self.messages = self.calls * streams
        self.data = outgoing(size, "binary")

    def _round(self, keep):
        for _ in range(self.calls):
            self.conn.send_many(self.ids, self.data)
            drain(self.conn, keep)


class Split(Outgoing):
    """One message against a stream window that each WINDOW_UPDATE opens by `window` octets."""

    def __init__(self, size, window, **_):
        self.window = window
        self.data = outgoing(size, "binary")
        octets = len(wire.websocket_frame(self.data))
        self.reads = [wire.window_update(1, window)] * (-(-octets // window) - 1)
        self.messages = -(-octets // min(window, wire.MAX_FRAME_SIZE))  # frames, or nearly

    def prepare(self):
        self.conn = Server(1, initial_window_size=self.window).conn

    def _round(self, keep):
        conn = self.conn
        conn.send_message(1, self.data)
        drain(conn, keep)
        for data in self.reads:
            conn.receive_data(data)
            drain(conn, keep)
        assert conn.waiting(1) == 0

    def check(self):
        self.prepare()
        pulls = []
        self._round(lambda buffers: pulls.append([bytes(buffer) for buffer in buffers]))
        return digest_of_split(joined(pulls), self.window)


class Blocked(Outgoing):
    """Streams that wait for connection credit, released by one WINDOW_UPDATE."""

    def __init__(self, streams, size=125, **_):
        server = Server(streams + 1, connection_window=65535)
        self.conn = conn = server.conn
        self.messages = streams
        self.data = outgoing(size, "binary")
        self.release = wire.window_update(0, streams * len(wire.websocket_frame(self.data)))
        conn.send_message(server.ids[-1], bytes(65535 - 4))  # takes the whole credit
        drain(conn, len)
        self.ids = server.ids[:-1]

    def prepare(self):
        for stream_id in self.ids:
            self.conn.send_message(stream_id, self.data)
        assert not self.conn.data_to_send()

    def _round(self, keep):
        self.conn.receive_data(self.release)
        drain(self.conn, keep)

    def check(self):
        self.prepare()
        pulls = []
        self._round(lambda buffers: pulls.append([bytes(buffer) for buffer in buffers]))
        return wire.digest_of_messages(joined(pulls))


class Handshake(Case):
    """Chromium's CONNECT in, 200 out: the WebSocket is open afterwards."""

    def __init__(self, warm, count, **_):
        self.warm, self.messages = warm, count
        if warm:
            self.blocks = [chromium.warm(7 + 2 * at) for at in range(count)]

    def prepare(self):
        connections = []
        for _ in range(1 if self.warm else self.messages):
            conn = connect()
            for event in conn.receive_data(chromium.FIRST):
                if type(event) is Requested:
                    conn.respond(event.stream_id, ACCEPTED, end_stream=True)
            drain(conn, len)
            connections.append(conn)
        if self.warm:
            conn.receive_data(chromium.COLD)
            conn.accept_websocket(chromium.COLD_STREAM)
            drain(conn, len)
            self.work = [(conn, block) for block in self.blocks]
        else:
            self.work = [(conn, chromium.COLD) for conn in connections]

    def _round(self, keep, see):
        for conn, block in self.work:
            for event in conn.receive_data(block):
                if type(event) is Requested:
                    conn.accept_websocket(event.stream_id)
                    see(event)
            keep(conn.data_to_send())

    def round(self):
        self._round(len, id)

    def check(self):
        self.prepare()
        pulls, seen = [], []
        self._round(
            lambda buffers: pulls.append([bytes(buffer) for buffer in buffers]), seen.append
        )
        fields = []
        for event in seen:
            fields.append((event.stream_id,))
            # the pseudo-header fields in the order in which this Chromium sends them
            fields += [
                (name, value.encode())
                for name, value in (
                    (b":method", event.method),
                    (b":authority", event.authority),
                    (b":scheme", event.scheme),
                    (b":path", event.path),
                    (b":protocol", event.protocol),
                )
            ]
            fields += event.headers
        return digest_of_handshakes(fields, joined(pulls))


class Heads(Case):
    """Nothing but frame heads: frames of a type nobody knows, which are to be ignored."""

    def __init__(self, count, **_):
        self.messages = count
        self.reads = wire.heads(count)
        self.conn = Server(1).conn

    def round(self):
        for data in self.reads:
            self.conn.receive_data(data)
            self.conn.data_to_send()

    def check(self):
        """The answer to the PING behind them tells that they were read over."""
        self.round()
        self.conn.receive_data(wire.frame(wire.PING, 0, 0, b"all read"))
        pulls = []
        drain(self.conn, pulls.append)
        return wire.digest([(joined(pulls),)])


def header_octets(requests):
    """Octets of the fields of requests: path, authority, and the lists with their pairs, names and
    values; what several share counts once."""
    found = {}
    for request in requests:
        for thing in (
            request.path,
            request.authority,
            request.headers,
            *request.headers,
            *sum(request.headers, ()),
        ):
            found[id(thing)] = sys.getsizeof(thing)
    return sum(found.values())


class Idle(Once):
    """Octets a WebSocket that has echoed one fragmented message and is quiet since.

    With `keep` the application keeps the request of each; what its fields take is told apart.
    """

    def __init__(self, websockets, streams, size=65536, pieces=4, keep=False, **_):
        self.websockets, self.streams, self.keep = websockets, streams, keep
        self.echo = [wire.fragmented(sid, size, pieces) for sid in wire.stream_ids(streams)]
        self.kept = []

    def once(self):
        from .memory import resident

        self._connection()  # what the first connection alone costs: imports, caches, pools
        before = resident()
        for _ in range(self.websockets // self.streams):
            self._connection()
        count = self.websockets // self.streams * self.streams
        octets = (resident() - before) / count
        fields = header_octets(self.kept[-1][1]) / self.streams
        return {"websockets": count, "octets": octets, "fields": fields}

    def _connection(self):
        server = Server(self.streams, keep=self.keep)
        conn = server.conn
        self.kept.append((conn, server.requests))
        for message in self.echo:
            for event in conn.receive_data(message):
                if type(event) is BytesMessage:
                    conn.send_message(event.stream_id, event.data)
            drain(conn, len)
            conn.events()  # the send buffer passed its low-water mark again


class Growth(Once):
    """Resident octets after a tenth of a long life and at its end."""

    def __init__(self, messages=0, streams=0, **_):
        self.total, self.streams = messages, streams

    def once(self):
        return self._messages() if self.total else self._streams()

    def _messages(self):
        from .memory import resident

        case = Echo(125, 100, 5000)
        case.check()
        rounds = self.total // case.messages
        for at in range(rounds):
            if at == rounds // 10:
                early = resident()
            case.prepare()
            case.round()
        return {"messages": rounds * case.messages, "grown": resident() - early}

    def _streams(self):
        from .memory import resident

        conn = Server(1).conn
        batch = 50
        rounds = self.streams // batch
        closing = wire.websocket_frame(b"\x03\xe8", 8, b"key.")
        stream_id = 3
        for at in range(rounds):
            if at == rounds // 10:
                early = resident()
            ids = range(stream_id, stream_id + 2 * batch, 2)
            stream_id += 2 * batch
            requests = b"".join(
                wire.frame(wire.HEADERS, wire.END_HEADERS, sid, wire.CONNECT_BLOCK) for sid in ids
            )
            for event in conn.receive_data(requests):
                conn.accept_websocket(event.stream_id)
            drain(conn, len)
            closes = b"".join(wire.frame(wire.DATA, wire.END_STREAM, sid, closing) for sid in ids)
            closed = [e for e in conn.receive_data(closes) if type(e) is Closed]
            drain(conn, len)
            closed += [e for e in conn.events() if type(e) is Closed]
            assert len(closed) == batch and conn.open_streams == 1, (closed, conn.open_streams)
        return {"streams": rounds * batch, "grown": resident() - early}


CASES = {
    "receive": Receive,
    "echo": Echo,
    "send": Send,
    "broadcast": Broadcast,
    "split": Split,
    "blocked": Blocked,
    "handshake": Handshake,
    "heads": Heads,
    "datagrams": Datagrams,
    "idle": Idle,
    "growth": Growth,
    **KERNELS,
}
