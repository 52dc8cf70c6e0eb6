"""h2 and wsproto on the other side, as client and as server, over real sockets."""

import asyncio
import socket
import threading

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
import wsproto
import wsproto.events
from wsproto.connection import Connection as Messages
from wsproto.connection import ConnectionType

from h2ws_fast import ConnectionClosed, Session
from tests.support.programs import Echo

CONNECT_SETTING = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL


class HyperClient:
    """A blocking client on h2 and wsproto, over cleartext."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.conn = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self.conn.initiate_connection()
        self.events = []
        self.flush()

    def flush(self):
        self.socket.sendall(self.conn.data_to_send())

    def wait(self, kind, stream_id=None):
        """The next event of this kind (and stream); what comes before it stays."""
        while True:
            for event in self.events:
                if isinstance(event, kind) and (stream_id is None or event.stream_id == stream_id):
                    self.events.remove(event)
                    return event
            octets = self.socket.recv(65536)
            assert octets, f"the server went away, no {kind.__name__}"
            for event in self.conn.receive_data(octets):
                if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                    self.conn.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                self.events.append(event)
            self.flush()

    def connect(self, path):
        """Open a WebSocket; return its stream and the response's fields."""
        self.wait(h2.events.RemoteSettingsChanged)
        assert self.conn.remote_settings[CONNECT_SETTING] == 1
        stream_id = self.conn.get_next_available_stream_id()
        self.conn.send_headers(
            stream_id,
            [
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "http"),
                (":path", path),
                (":authority", "127.0.0.1"),
                ("sec-websocket-version", "13"),
            ],
        )
        self.flush()
        return stream_id, dict(self.wait(h2.events.ResponseReceived, stream_id).headers)

    def send(self, stream_id, data, end=False):
        """Send octets as far as the windows let them go, and wait for more."""
        while data:
            n = min(
                self.conn.local_flow_control_window(stream_id),
                self.conn.max_outbound_frame_size,
                len(data),
            )
            if n == 0:
                self.wait(h2.events.WindowUpdated)
                continue
            self.conn.send_data(stream_id, data[:n])
            data = data[n:]
            self.flush()
        if end:
            self.conn.end_stream(stream_id)
            self.flush()

    def read(self, stream_id, messages, kind):
        """Feed wsproto until it has an event of this kind."""
        while True:
            for event in messages.events():
                if isinstance(event, kind):
                    return event
            messages.receive_data(self.wait(h2.events.DataReceived, stream_id).data)


@pytest.fixture(scope="module")
def echo():
    with Echo("--cleartext") as server:
        yield server


@pytest.fixture
def client(echo):
    made = HyperClient(echo.port)
    yield made
    made.socket.close()


def read_message(client, stream_id, messages):
    parts = []
    while True:
        event = client.read(stream_id, messages, wsproto.events.Message)
        parts.append(event.data)
        if event.message_finished:
            return parts[0][:0].join(parts)


def test_a_client_is_echoed_and_closes(client):
    stream_id, headers = client.connect("/")
    assert headers[":status"] == "200"
    messages = Messages(ConnectionType.CLIENT)
    for data in ("text", "naïve ☃", b"\0\xff", bytes(500_000)):
        client.send(stream_id, messages.send(wsproto.events.Message(data)))
        assert read_message(client, stream_id, messages) == data
    client.send(stream_id, messages.send(wsproto.events.Ping(b"are you there")))
    assert client.read(stream_id, messages, wsproto.events.Pong).payload == b"are you there"
    # A message in fragments comes back as one.
    for part, last in (("in ", False), ("two", True)):
        event = wsproto.events.Message(part, message_finished=last)
        client.send(stream_id, messages.send(event))
    assert read_message(client, stream_id, messages) == "in two"

    client.send(stream_id, messages.send(wsproto.events.CloseConnection(3456, "bye")))
    assert client.read(stream_id, messages, wsproto.events.CloseConnection).code == 3456
    client.wait(h2.events.StreamEnded, stream_id)
    client.send(stream_id, b"", end=True)
    # The connection goes on.
    other, headers = stream_id + 2, None
    client.conn.send_headers(
        other,
        [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/bytes/10"),
            (":authority", "127.0.0.1"),
        ],
        end_stream=True,
    )
    client.flush()
    headers = dict(client.wait(h2.events.ResponseReceived, other).headers)
    assert headers["content-length"] == "10"


def test_the_server_closes_a_client(client):
    stream_id, _ = client.connect("/close?code=4321&reason=bye&after=0.05")
    messages = Messages(ConnectionType.CLIENT)
    event = client.read(stream_id, messages, wsproto.events.CloseConnection)
    assert (event.code, event.reason) == (4321, "bye")
    # Not before our Close has come does the server end the stream.
    client.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.wait(h2.events.StreamEnded, stream_id)
    client.socket.settimeout(20)
    client.send(stream_id, messages.send(event.response()))
    client.wait(h2.events.StreamEnded, stream_id)


def test_another_token_is_not_implemented_and_disturbs_nobody(client):
    stream_id, _ = client.connect("/")
    client.conn.send_headers(
        stream_id + 2,
        [
            (":method", "CONNECT"),
            (":protocol", "foo"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "127.0.0.1"),
        ],
    )
    client.flush()
    headers = dict(client.wait(h2.events.ResponseReceived, stream_id + 2).headers)
    assert headers[":status"] == "501"
    messages = Messages(ConnectionType.CLIENT)
    client.send(stream_id, messages.send(wsproto.events.Message("still here")))
    assert read_message(client, stream_id, messages) == "still here"


# -- h2 and wsproto as the server -----------------------------------------------------------------


class HyperServer(threading.Thread):
    """A blocking echo server on h2 and wsproto, for one connection."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.websockets = {}
        self.waiting = {}  # stream -> octets that the windows have not let out
        self.ending = set()
        self.error = None

    def run(self):
        try:
            self._serve()
        except Exception as error:
            self.error = error

    def _serve(self):
        sock, _ = self.listener.accept()
        with sock, self.listener:
            self.conn = conn = h2.connection.H2Connection(
                h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
            )
            conn.local_settings = h2.settings.Settings(
                client=False, initial_values={CONNECT_SETTING: 1}
            )
            conn.initiate_connection()
            sock.sendall(conn.data_to_send())
            while octets := sock.recv(65536):
                for event in conn.receive_data(octets):
                    self._event(event)
                for stream_id in list(self.waiting):
                    self._flush(stream_id)
                sock.sendall(conn.data_to_send())

    def _event(self, event):
        if isinstance(event, h2.events.RequestReceived):
            headers = dict(event.headers)
            assert headers[":protocol"] == "websocket" and ":path" in headers
            self.conn.send_headers(event.stream_id, [(":status", "200")])
            messages = Messages(ConnectionType.SERVER)
            self.websockets[event.stream_id] = messages
            if headers[":path"] == "/close":
                self._write(
                    event.stream_id,
                    messages.send(wsproto.events.CloseConnection(4001, "by wsproto")),
                )
        elif isinstance(event, h2.events.DataReceived):
            self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if not event.data:
                return  # END_STREAM alone, behind the closing handshake
            messages = self.websockets[event.stream_id]
            messages.receive_data(event.data)
            for found in messages.events():
                if isinstance(found, wsproto.events.Message):
                    self._write(event.stream_id, messages.send(found))
                elif isinstance(found, wsproto.events.Ping):
                    self._write(event.stream_id, messages.send(found.response()))
                elif isinstance(found, wsproto.events.CloseConnection):
                    if messages.state is wsproto.ConnectionState.REMOTE_CLOSING:
                        self._write(event.stream_id, messages.send(found.response()))
                    self.ending.add(event.stream_id)
                    self._write(event.stream_id, b"")

    def _write(self, stream_id, data):
        self.waiting[stream_id] = self.waiting.get(stream_id, b"") + data
        self._flush(stream_id)

    def _flush(self, stream_id):
        data = self.waiting[stream_id]
        while data:
            n = min(
                self.conn.local_flow_control_window(stream_id),
                self.conn.max_outbound_frame_size,
                len(data),
            )
            if n == 0:
                break
            self.conn.send_data(stream_id, data[:n])
            data = data[n:]
        self.waiting[stream_id] = data
        if not data:
            del self.waiting[stream_id]
            if stream_id in self.ending:
                self.ending.discard(stream_id)
                self.conn.end_stream(stream_id)


def run(main):
    server = HyperServer()
    server.start()

    async def bounded():
        async with (
            asyncio.timeout(30),
            Session(f"http://127.0.0.1:{server.port}", ping_interval=None) as session,
        ):
            await main(session)

    asyncio.run(bounded())
    server.join(10)
    assert server.error is None, server.error


def test_messages_to_a_server_and_back():
    async def main(session):
        ws = await session.websocket("/")
        for message in ("text", "naïve ☃", b"\0\xff", bytes(500_000)):
            await ws.send(message)
            assert await ws.recv() == message
        await ws.send(["in ", "fragments"])
        got = await ws.recv()
        while got != "in fragments":
            got += await ws.recv()
        assert await (await ws.ping(b"there?")) > 0
        await ws.close(3456, "bye")
        assert ws.close_code == 3456

    run(main)


def test_a_server_closes():
    async def main(session):
        ws = await session.websocket("/close")
        with pytest.raises(ConnectionClosed) as caught:
            await ws.recv()
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "by wsproto")
        assert caught.value.rcvd_then_sent
        other = await session.websocket("/")
        await other.send("still here")
        assert await other.recv() == "still here"
        await other.close()

    run(main)


def test_many_websockets_at_once():
    async def one(session, number):
        ws = await session.websocket(f"/{number}")
        for turn in range(10):
            await ws.send(f"{number} {turn}")
            assert await ws.recv() == f"{number} {turn}"
        await ws.close()

    async def main(session):
        await asyncio.gather(*(one(session, number) for number in range(50)))

    run(main)
