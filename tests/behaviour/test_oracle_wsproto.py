"""The engine against h2 and wsproto on the other side, in both roles and over both transports."""

import importlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.oracle import Oracle, Wire
from tests.support.peer import of

PAYLOADS = st.one_of(
    st.text(max_size=50),
    st.binary(max_size=50),
    st.sampled_from([125, 126, 127, 65535, 65536, 70000, 200000]).flatmap(
        lambda n: st.sampled_from([bytes(n), "x" * n, "é" * (n // 2)])
    ),
)
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["engine", "oracle"]),
        st.sampled_from(["message", "message", "message", "fragments", "ping", "move"]),
        PAYLOADS,
        st.lists(st.integers(0, 300), max_size=4),
    ),
    max_size=12,
)
CODES = st.sampled_from([1000, 1001, 1003, 1008, 1011, 3000, 4999])
REASONS = st.text(max_size=30)
SIZES = st.lists(st.one_of(st.integers(1, 40), st.integers(100, 70000)), min_size=1, max_size=5)


@pytest.fixture(params=("h2", "h1"))
def transport(request):
    return request.param


def joined(twin, transport, role, sizes=(1 << 20,), window=65535):
    """Join an engine in `role` to an oracle in the other; return the open wire."""
    oracle = Oracle("client" if role == "server" else "server", transport, window)
    which = twin.Role.SERVER if role == "server" else twin.Role.CLIENT
    if transport == "h1":
        upgraded = importlib.import_module(".h1", twin.__name__).Upgraded
        return Wire(upgraded(which, auto_credit=True), oracle, sizes)
    wire = Wire(twin.Connection(which, auto_credit=True), oracle, sizes)
    if role == "server":
        oracle.connect()
        wire.move()
        assert of(wire.events, "Requested")
        wire.conn.accept_websocket(1)
    else:
        wire.move()
        assert wire.conn.connect_websocket("example.com", "/chat") == 1
    wire.move()
    assert oracle.opened
    wire.events.clear()
    return wire


def cut(payload, cuts):
    cuts = sorted(min(at, len(payload)) for at in cuts)
    return [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]


def act(wire, actions):
    """Play the actions; return what each side must have received: messages, pings, pongs."""
    to_engine, to_oracle = ([], [], []), ([], [], [])
    for side, verb, payload, cuts in actions:
        expected = to_oracle if side == "engine" else to_engine
        answers = to_engine if side == "engine" else to_oracle
        if verb == "message":
            if side == "engine":
                wire.conn.send_message(1, payload)
            else:
                wire.oracle.send(payload)
            expected[0].append(payload)
        elif verb == "fragments":
            parts = cut(payload, cuts)
            for part in parts[:-1]:
                if side == "engine":
                    wire.conn.send_fragment(1, part, False)
                else:
                    wire.oracle.send(part, False)
            if side == "engine":
                wire.conn.send_fragment(1, parts[-1], True)
            else:
                wire.oracle.send(parts[-1], True)
            expected[0].append(payload)
        elif verb == "ping":
            octets = payload.encode() if isinstance(payload, str) else payload
            octets = octets[:125]
            if side == "engine":
                wire.conn.ping(1, octets)
            else:
                wire.oracle.ping(octets)
            expected[1].append(octets)
            answers[2].append(octets)
            wire.move()  # else one pong may answer several pings
        else:
            wire.move()
    wire.move()
    return to_engine, to_oracle


def check_received(wire, to_engine, to_oracle):
    engine = [e.data for e in wire.events if type(e).__name__ in ("TextMessage", "BytesMessage")]
    assert engine == to_engine[0]
    assert [type(data) for data in engine] == [type(data) for data in to_engine[0]]
    assert [e.data for e in of(wire.events, "Pinged")] == to_engine[1]
    assert [e.data for e in of(wire.events, "Ponged")] == to_engine[2]
    assert wire.oracle.messages == to_oracle[0]
    assert [type(data) for data in wire.oracle.messages] == [type(data) for data in to_oracle[0]]
    assert wire.oracle.pings == to_oracle[1]
    assert wire.oracle.pongs == to_oracle[2]


@pytest.mark.row("6455-x-1", "8441-5-5")
@pytest.mark.parametrize("role", ["server", "client"])
def test_conversation_with_wsproto(twin, transport, role):
    @settings(max_examples=30, deadline=None)
    @given(ACTIONS, SIZES, st.sampled_from([65535, 1000, 1 << 20]))
    def check(actions, sizes, window):
        wire = joined(twin, transport, role, sizes, window)
        check_received(wire, *act(wire, actions))
        assert of(wire.events, "Closed") == []

    check()


@pytest.mark.row("6455-7.1-1", "8441-5-7")
@pytest.mark.parametrize("role", ["server", "client"])
@pytest.mark.parametrize("beginner", ["engine", "oracle", "both"])
def test_closing_handshake_with_wsproto(twin, transport, role, beginner):
    @settings(max_examples=15, deadline=None)
    @given(ACTIONS, SIZES, CODES, REASONS)
    def check(actions, sizes, code, reason):
        reason = reason.encode()[:120].decode(errors="ignore")
        wire = joined(twin, transport, role, sizes)
        received = act(wire, actions)
        if beginner != "oracle":
            wire.conn.close_websocket(1, code, reason)
        if beginner != "engine":
            wire.oracle.close_websocket(code, reason)
        wire.move()
        check_received(wire, *received)
        if transport == "h1" and role == "client" and not wire.terminated:
            wire._keep(wire.conn.receive_eof(0.0))  # the server hangs up first
        (closed,) = of(wire.events, "Closed")
        assert wire.events[-1] is closed
        assert closed.code == code
        assert closed.received[0] == code
        assert closed.sent[0] == code
        if beginner != "both":
            assert closed.received_first is (beginner == "oracle")
        if beginner == "oracle":
            assert closed.reason == reason
        assert wire.oracle.close[0] == code
        if beginner == "engine":
            assert wire.oracle.close[1] == reason
        if transport == "h2":
            assert wire.oracle.ended
            assert wire.oracle.reset is None
            assert wire.conn.open_streams == 0
            assert wire.oracle.h2.open_outbound_streams == 0
            assert wire.oracle.h2.open_inbound_streams == 0

    check()


@pytest.mark.row("9113-8.1-1")
@pytest.mark.parametrize("role", ["server", "client"])
def test_many_websockets_come_and_go_on_one_connection_with_h2(twin, role):
    """Ids, windows and header tables stay in step over a hundred WebSockets."""
    wire = joined(twin, "h2", role)
    for number in range(100):
        if number:
            wire = following(wire, role, 2 * number + 1)
        stream_id = 2 * number + 1
        wire.conn.send_message(stream_id, "x" * 3000)
        wire.move()
        wire.oracle.send(b"y" * 3000)
        wire.move()
        assert wire.oracle.messages == ["x" * 3000]
        wire.conn.close_websocket(stream_id, 1000)
        wire.move()
        assert wire.oracle.close == (1000, "")
        assert wire.oracle.ended
        assert wire.conn.open_streams == 0


def following(wire, role, stream_id):
    """The next WebSocket on the same pair of connections."""
    oracle = wire.oracle.next(stream_id)
    wire = Wire(wire.conn, oracle)
    if role == "server":
        oracle.connect()
        wire.move()
        wire.conn.accept_websocket(stream_id)
    else:
        assert wire.conn.connect_websocket("example.com", "/chat") == stream_id
    wire.move()
    assert oracle.opened
    return wire
