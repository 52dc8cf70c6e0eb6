"""Whole exchanges with the `h2` package as the peer, both ways round, in random sizes and cuts."""

import random

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.peer import CONNECT, OK, POST, of
from tests.support.ws_frames import BINARY, CLOSE, TEXT, close_frame, read_ws_frames, ws_frame

row = pytest.mark.row

SEEDS = st.integers(0, 2**32)


class Wire:
    """The engine on one side, `h2` on the other; octets move in random pieces."""

    def __init__(self, twin, role, seed, **options):
        self.rng = random.Random(seed)
        self.engine = twin.Connection(
            twin.Role.SERVER if role == "server" else twin.Role.CLIENT, **options
        )
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=role == "server", header_encoding=None)
        )
        if role == "client":
            self.h2.local_settings = h2.settings.Settings(
                client=False, initial_values={h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}
            )
        self.h2.initiate_connection()
        self.ours = []  # the engine's events
        self.theirs = []  # h2's events
        self.run()

    def run(self):
        """Move octets until both are silent; return (the engine's events, h2's events)."""
        ours, theirs = [], []
        while True:
            moved = self._to_engine(ours)
            moved = self._to_h2(theirs) or moved
            if not moved:
                break
        ours += self.engine.events()
        self.ours += ours
        self.theirs += theirs
        return ours, theirs

    def _pieces(self, octets):
        while octets:
            n = self.rng.choice((1, 5, 9, 13, 1000, 16393, 65536))
            yield octets[:n]
            octets = octets[n:]

    def _to_engine(self, events):
        octets = self.h2.data_to_send()
        for piece in self._pieces(octets):
            for event in self.engine.receive_data(piece):
                events.append(event)
                if type(event).__name__ in ("Data", "TextMessage", "BytesMessage"):
                    self.engine.consumed(event.stream_id, event.credit)
        return bool(octets)

    def _to_h2(self, events):
        octets = b"".join(self.engine.data_to_send(max_bytes=self.rng.choice((100, 5000, 65536))))
        for piece in self._pieces(octets):
            for event in self.h2.receive_data(piece):
                events.append(event)
                if isinstance(event, h2.events.DataReceived):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        return bool(octets)

    def upload(self, stream_id, payload, end_stream=True):
        """Send octets through h2 as its windows allow, in random frames and paddings."""
        while payload:
            room = min(
                self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size
            )
            if room > 300:
                n = self.rng.randrange(1, min(room - 256, len(payload)) + 1)
                pad = self.rng.choice((None, None, 0, 255))
                self.h2.send_data(stream_id, payload[:n], pad_length=pad)
                payload = payload[n:]
            if self.rng.random() < 0.5 or room <= 300:
                self.run()
        if end_stream:
            self.h2.end_stream(stream_id)
        self.run()


def received(theirs, stream_id):
    return b"".join(
        e.data for e in theirs if isinstance(e, h2.events.DataReceived) and e.stream_id == stream_id
    )


def kinds_of(theirs, kind):
    return [e for e in theirs if isinstance(e, kind)]


@given(seed=SEEDS, sizes=st.lists(st.integers(0, 200_000), min_size=1, max_size=4))
@settings(max_examples=15, deadline=None)
def test_server_with_requests_of_h2(twin, seed, sizes):
    wire = Wire(twin, "server", seed)
    for size in sizes:
        stream_id = wire.h2.get_next_available_stream_id()
        payload = wire.rng.randbytes(size)
        wire.h2.send_headers(stream_id, [*POST, ("x-size", str(size))])
        wire.upload(stream_id, payload)
        requested = [e for e in of(wire.ours, "Requested") if e.stream_id == stream_id]
        assert requested[0].headers == [(b"x-size", str(size).encode())]
        body = [e.data for e in of(wire.ours, "Data") if e.stream_id == stream_id]
        assert b"".join(body) == payload
        assert stream_id in [e.stream_id for e in of(wire.ours, "Ended")]
        wire.engine.respond(stream_id, [(":status", "103"), ("link", "</a>")])
        wire.engine.respond(stream_id, [*OK, ("x-mark", "y" * (size % 3000))])
        wire.engine.send_data(stream_id, payload[::-1])
        wire.engine.send_trailers(stream_id, [("x-sum", "1")])
        wire.run()
        assert received(wire.theirs, stream_id) == payload[::-1]
        (response,) = [
            e for e in kinds_of(wire.theirs, h2.events.ResponseReceived) if e.stream_id == stream_id
        ]
        assert (b"x-mark", b"y" * (size % 3000)) in response.headers
        assert kinds_of(wire.theirs, h2.events.InformationalResponseReceived)
        assert kinds_of(wire.theirs, h2.events.TrailersReceived)[-1].stream_id == stream_id
        assert kinds_of(wire.theirs, h2.events.StreamEnded)[-1].stream_id == stream_id
    assert wire.engine.open_streams == 0


@given(seed=SEEDS, sizes=st.lists(st.integers(0, 200_000), min_size=1, max_size=4))
@settings(max_examples=15, deadline=None)
def test_client_with_requests_to_h2(twin, seed, sizes):
    wire = Wire(twin, "client", seed)
    for size in sizes:
        payload = wire.rng.randbytes(size)
        stream_id = wire.engine.request([*POST, ("x-size", str(size))], end_stream=False)
        wire.engine.send_data(stream_id, payload, end_stream=True)
        wire.run()
        (request,) = [
            e for e in kinds_of(wire.theirs, h2.events.RequestReceived) if e.stream_id == stream_id
        ]
        assert (b"x-size", str(size).encode()) in request.headers
        assert received(wire.theirs, stream_id) == payload
        assert kinds_of(wire.theirs, h2.events.StreamEnded)[-1].stream_id == stream_id
        wire.h2.send_headers(stream_id, [(":status", "103"), ("link", "</a>")])
        wire.h2.send_headers(stream_id, [*OK, ("x-mark", "y" * (size % 3000))])
        wire.upload(stream_id, payload[::-1], end_stream=False)
        wire.h2.send_headers(stream_id, [("x-sum", "1")], end_stream=True)
        wire.run()
        mine = [e for e in wire.ours if getattr(e, "stream_id", 0) == stream_id]
        assert of(mine, "Informed")[0].status == 103
        assert of(mine, "Responded")[0].headers == [(b"x-mark", b"y" * (size % 3000))]
        assert b"".join(e.data for e in of(mine, "Data")) == payload[::-1]
        assert of(mine, "Trailers")[0].headers == [(b"x-sum", b"1")]
        assert type(mine[-1]).__name__ == "Ended"
    assert wire.engine.open_streams == 0


@given(seed=SEEDS)
@settings(max_examples=15, deadline=None)
def test_server_with_many_downloads_at_once(twin, seed):
    wire = Wire(twin, "server", seed)
    wire.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    wire.run()
    payloads = {}
    for _ in range(10):
        stream_id = wire.h2.get_next_available_stream_id()
        wire.h2.send_headers(stream_id, POST, end_stream=True)
        payloads[stream_id] = wire.rng.randbytes(wire.rng.randrange(100_000))
    wire.run()
    for stream_id, payload in payloads.items():
        wire.engine.respond(stream_id, OK)
        wire.engine.send_data(stream_id, payload, end_stream=True)
    wire.run()
    assert {i: received(wire.theirs, i) for i in payloads} == payloads
    ended = [e.stream_id for e in kinds_of(wire.theirs, h2.events.StreamEnded)]
    assert sorted(ended) == sorted(payloads)


@row("8441-5-5")
@given(seed=SEEDS, sizes=st.lists(st.integers(0, 100_000), min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_server_with_a_websocket_of_h2(twin, seed, sizes):
    wire = Wire(twin, "server", seed)
    # h2 shows SETTINGS_ENABLE_CONNECT_PROTOCOL; it knows nothing of WebSockets.
    assert wire.h2.remote_settings.enable_connect_protocol == 1
    stream_id = wire.h2.get_next_available_stream_id()
    wire.h2.send_headers(stream_id, CONNECT)
    wire.run()
    assert of(wire.ours, "Requested")[0].protocol == "websocket"
    wire.engine.accept_websocket(stream_id)
    wire.run()
    messages = [wire.rng.randbytes(size) for size in sizes]
    octets = b"".join(ws_frame(BINARY, m) for m in messages)
    wire.upload(stream_id, octets + ws_frame(TEXT, "späß".encode()), end_stream=False)
    assert [e.data for e in of(wire.ours, "BytesMessage")] == messages
    assert [e.data for e in of(wire.ours, "TextMessage")] == ["späß"]
    for message in messages:
        wire.engine.send_message(stream_id, message)
    wire.run()
    wire.upload(stream_id, close_frame(1000, b"bye"), end_stream=False)
    frames = read_ws_frames(received(wire.theirs, stream_id))
    assert [x.payload for x in frames[:-1]] == messages
    assert (frames[-1].opcode, frames[-1].close_code) == (CLOSE, 1000)
    assert all(x.key is None for x in frames)
    assert kinds_of(wire.theirs, h2.events.StreamEnded)[-1].stream_id == stream_id
    wire.h2.end_stream(stream_id)
    wire.run()
    assert [(e.code, e.reason) for e in of(wire.ours, "Closed")] == [(1000, "bye")]
    assert wire.engine.open_streams == 0


@row("8441-5-5")
@given(seed=SEEDS, sizes=st.lists(st.integers(0, 100_000), min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_client_with_a_websocket_of_h2(twin, seed, sizes):
    wire = Wire(twin, "client", seed)
    assert wire.engine.can_connect
    stream_id = wire.engine.connect_websocket("example.com", "/chat")
    wire.run()
    (request,) = kinds_of(wire.theirs, h2.events.RequestReceived)
    assert (b":protocol", b"websocket") in request.headers
    wire.h2.send_headers(stream_id, OK)
    wire.run()
    assert of(wire.ours, "Opened")[0].stream_id == stream_id
    messages = [wire.rng.randbytes(size) for size in sizes]
    for message in messages:
        wire.engine.send_message(stream_id, message)
    wire.run()
    octets = b"".join(ws_frame(BINARY, m, key=None) for m in messages)
    wire.upload(stream_id, octets, end_stream=False)
    assert [e.data for e in of(wire.ours, "BytesMessage")] == messages
    frames = read_ws_frames(received(wire.theirs, stream_id))
    assert [x.payload for x in frames] == messages
    assert all(x.key is not None for x in frames)
    wire.upload(stream_id, close_frame(1001, key=None))
    assert [e.code for e in of(wire.ours, "Closed")] == [1001]
    wire.run()
    assert wire.engine.open_streams == 0


@pytest.mark.parametrize("role", ["server", "client"])
def test_pings_resets_settings_and_the_end(twin, role):
    wire = Wire(twin, role, 7)
    wire.h2.ping(b"from h2.")
    wire.engine.ping(0, b"from us.")
    ours, theirs = wire.run()
    assert [e.data for e in of(ours, "PingAcknowledged")] == [b"from us."]
    assert [e.ping_data for e in kinds_of(theirs, h2.events.PingAckReceived)] == [b"from h2."]
    wire.h2.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: 100})
    ours, theirs = wire.run()
    assert of(ours, "SettingsChanged")[0].settings == {1: 100}
    assert kinds_of(theirs, h2.events.SettingsAcknowledged)
    if role == "server":
        stream_id = 1
        wire.h2.send_headers(stream_id, POST)
        wire.run()
    else:
        stream_id = wire.engine.request(POST, end_stream=False)
        wire.run()
    wire.engine.reset(stream_id, 0xB)
    ours, theirs = wire.run()
    assert [(e.stream_id, e.error_code) for e in kinds_of(theirs, h2.events.StreamReset)] == [
        (stream_id, 0xB)
    ]
    wire.h2.close_connection(error_code=2, additional_data=b"oops")
    ours, _ = wire.run()
    (goaway,) = of(ours, "GoawayReceived")
    assert (goaway.error_code, goaway.debug_data) == (2, b"oops")
