"""The compiled twin against the pure one: same octets, same cuts, same verbs, same answers."""

import importlib
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h2ws_fast import _twins
from tests.support import frames as f
from tests.support.peer import GET, Peer
from tests.support.ws_frames import read_ws_frames, ws_frame

BIG = [126, 127, 1000, 65535, 65536, 70000]
PAYLOADS = st.one_of(
    st.binary(max_size=130),
    st.text(max_size=60).map(str.encode),
    st.sampled_from(BIG).map(bytes),
    st.sampled_from(BIG).map(lambda n: b"ascii " * (n // 6)),
    st.integers(900, 6000).map(lambda code: code.to_bytes(2, "big") + b"reason"),
)
# Mostly what a decent peer sends, and every kind of frame that none does.
FRAMES = st.builds(
    ws_frame,
    st.sampled_from([0, 1, 1, 1, 2, 2, 2, 8, 9, 10, 3, 11]),
    PAYLOADS,
    fin=st.sampled_from([True, True, True, False]),
    key=st.one_of(st.just(b"\0\0\0\0"), st.binary(min_size=4, max_size=4)),
    rsv=st.sampled_from([0] * 15 + [4]),
)
DECENT = st.builds(
    ws_frame,
    st.sampled_from([1, 2, 9, 10]),
    st.text(max_size=80).map(str.encode),
    key=st.binary(min_size=4, max_size=4),
)
VERBS = st.one_of(
    st.tuples(st.just("send_message"), st.one_of(st.text(max_size=300), st.binary(max_size=300))),
    st.tuples(st.just("send_message"), st.sampled_from(BIG).map(bytes)),
    st.tuples(
        st.just("send_fragment"),
        st.one_of(st.text(max_size=20), st.binary(max_size=20)),
        st.booleans(),
    ),
    st.tuples(st.sampled_from(["ping", "pong"]), st.binary(max_size=130)),
    st.tuples(
        st.just("close_websocket"), st.sampled_from([1000, 1005, 4000]), st.text(max_size=50)
    ),
    st.tuples(st.just("consumed"), st.integers(0, 100000)),
    st.tuples(st.just("reset")),
    st.tuples(st.just("send_data"), st.binary(max_size=20), st.booleans()),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("octets"), st.lists(DECENT, max_size=6), st.just([])),
        st.tuples(
            st.just("octets"),
            st.lists(FRAMES, max_size=4),
            st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=2),
        ),
        st.tuples(st.just("verb"), VERBS),
        st.tuples(st.just("time"), st.sampled_from([0.1, 3.0, 11.0])),
        st.tuples(st.just("pull"), st.integers(64, 70000)),
        st.tuples(st.just("window"), st.integers(1, 100000)),
        st.tuples(st.just("end")),
        st.tuples(st.just("reset"), st.integers(0, 14)),
        st.tuples(st.just("ping")),
    ),
    max_size=10,
)
SINKS = ["list", "list", "list", "echo", "close", "reset", "raise", "subclass"]
CUTS = st.lists(st.one_of(st.integers(1, 30), st.integers(31, 20000)), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def twins():
    """Both engines, compiled and pure."""
    try:
        return _twins.load("compiled"), _twins.load("pure")
    except ImportError as error:
        pytest.skip(f"no compiled twin here: {error}")


def subclass(engine):
    """A Sink that keeps what its methods are called with."""

    class Recorder(engine.Sink):
        def __init__(self, side):
            self.side = side

        def _message(self, data, credit):
            self.side.record.append(("message", type(data).__name__, data, credit))

        def _event(self, event):
            self.side.record.append(("event", *told(event)))

    return Recorder


def told(event):
    """An event as data that compares across the twins."""
    names = getattr(type(event), "__slots__", None) or [
        name for name in ("stream_id", "data", "credit") if hasattr(event, name)
    ]
    fields = [(name, getattr(event, name)) for name in names]
    return type(event).__name__, [
        (name, type(value).__name__, str(value) if isinstance(value, Exception) else value)
        for name, value in fields
    ]


class Side:
    """One twin at work. `record` collects what it said and sent, step by step."""

    def __init__(self, engine, transport, role, auto_credit, sink="list"):
        self.record = []
        self.now = 0.0
        self.transport = transport
        self.role = role
        limits = {"max_message": 100000}
        if transport == "h2":
            pairs = ((f.ENABLE_CONNECT_PROTOCOL, 1), (f.INITIAL_WINDOW_SIZE, 5000))
            peer = Peer(engine, role, peer_settings=pairs, limits=limits, auto_credit=auto_credit)
            peer.websocket()
            self.conn = peer.conn
            # A sibling, so that a connection whose only stream ended still has something to do.
            if role == "server":
                self.conn.receive_data(peer.headers(3, GET, end_stream=True), 0.0)
                peer.sent()
        else:
            upgraded = importlib.import_module(".h1", engine.__name__).Upgraded
            which = engine.Role.SERVER if role == "server" else engine.Role.CLIENT
            self.conn = upgraded(which, engine.Limits(**limits), auto_credit=auto_credit)
        self.sent = b""
        self.heard = 0
        if sink == "subclass":
            self.conn.attach(1, subclass(engine)(self))
        elif sink != "list":
            self.conn.attach(1, partial(self.listen, sink))

    def listen(self, sink, event):
        """A callback that does things to its own stream."""
        self.record.append(("heard", *told(event)))
        if type(event).__name__ not in ("TextMessage", "BytesMessage"):
            return
        self.heard += 1
        if sink == "echo":
            self.call("send_message", event.data)
        elif sink == "close" and self.heard == 2:
            self.call("close_websocket", 4001, "enough")
        elif sink == "reset" and self.heard == 2:
            self.call("reset")
        elif sink == "raise" and self.heard == 2:
            raise RuntimeError("broken")

    def call(self, verb, *arguments):
        try:
            value = getattr(self.conn, verb)(1, *arguments)
            self.record.append((verb, value))
        except Exception as error:  # whatever one twin raises the other must
            self.record.append((verb, type(error).__name__, str(error)))

    def feed(self, octets, cuts):
        at = turn = 0
        least = len(octets) // 500  # small cuts of much would say nothing new, slowly
        while at < len(octets):
            n = max(least, cuts[turn % len(cuts)])
            turn += 1
            self.hear(self.conn.receive_data(octets[at : at + n], self.now))
            at += n

    def hear(self, events):
        self.record += map(told, events)

    def step(self, step, cuts):
        kind, *rest = step
        if kind == "octets":
            octets = bytearray(b"".join(rest[0]))
            for at, change in rest[1]:
                if at < len(octets):
                    octets[at] ^= change
            octets = bytes(octets)
            if self.transport == "h2":
                size = min(max(1, *cuts, len(octets) // 500), 16384)
                octets = b"".join(
                    f.data(1, octets[i : i + size], pad=i % 7 or None)
                    for i in range(0, len(octets), size)
                )
            self.feed(octets, cuts)
        elif kind == "verb":
            verb, *arguments = rest[0]
            if verb == "send_data" and self.transport == "h1":
                return
            self.call(verb, *arguments)
        elif kind == "time":
            self.now += rest[0]
            self.conn.handle_timeout(self.now)
        elif kind == "pull":
            self.pull(rest[0])
        elif self.transport == "h2":
            frame = {
                "window": lambda n: f.window_update(1, n),
                "end": lambda: f.data(1, end_stream=True),
                "reset": lambda code: f.rst_stream(1, code),
                "ping": lambda: f.ping(),
            }[kind](*rest)
            self.feed(frame, cuts)
        elif kind == "end":
            self.hear(self.conn.receive_eof(self.now))
        self.hear(self.conn.events())
        self.record.append(("waiting", self.conn.waiting(1)))

    def pull(self, n):
        octets = b"".join(self.conn.data_to_send(n, now=self.now))
        self.sent += octets
        self.hear(self.conn.events())
        self.record.append(("pulled", len(octets), self.conn.next_timeout()))

    def finish(self):
        for _ in range(1000):
            before = len(self.sent)
            self.pull(65536)
            if len(self.sent) == before:
                break
        self.hear(self.conn.receive_eof(self.now))
        self.hear(self.conn.events())
        return self.record, self.output()

    def output(self):
        """What was sent; of a client's WebSocket frames what they are without their keys."""
        if self.role == "server":
            return self.sent
        if self.transport == "h1":
            return unmasked(self.sent)
        frames = f.read_frames(self.sent)
        content = b"".join(x.content for x in frames if x.kind == f.DATA and x.stream_id == 1)
        heads = [
            (x.kind, x.flags, x.stream_id, len(x.payload), x.kind != f.DATA and x.payload)
            for x in frames
        ]
        return heads, unmasked(content)


def unmasked(octets):
    """The whole frames without their masking keys, and how many octets are left."""
    whole = octets
    for _ in range(20):
        try:
            return [x._replace(key=None) for x in read_ws_frames(whole)], len(octets) - len(whole)
        except (AssertionError, IndexError):
            whole = whole[: last_whole(whole)]
    raise AssertionError("no end of frames found")


def last_whole(octets):
    at = end = 0
    while at + 2 <= len(octets):
        n, extra = octets[at + 1] & 0x7F, octets[at + 1] >> 5 & 4
        width = {126: 2, 127: 8}.get(n, 0)
        if width:
            n = int.from_bytes(octets[at + 2 : at + 2 + width], "big")
        at += 2 + width + extra + n
        if at <= len(octets):
            end = at
    return end


@pytest.mark.row("6455-x-1")
@pytest.mark.parametrize("transport", ["h2", "h1"])
@pytest.mark.parametrize("role", ["server", "client"])
@pytest.mark.parametrize("auto_credit", [True, False])
def test_both_twins_say_and_send_the_same(twins, transport, role, auto_credit):
    @settings(max_examples=150, deadline=None)
    @given(STEPS, CUTS, st.sampled_from(SINKS))
    def check(steps, cuts, sink):
        records = []
        for engine in twins:
            side = Side(engine, transport, role, auto_credit, sink)
            for step in steps:
                side.step(step if role == "server" else unkeyed(step), cuts)
            records.append(side.finish())
        (compiled, compiled_sent), (pure, pure_sent) = records
        assert compiled == pure
        assert compiled_sent == pure_sent

    check()


def unkeyed(step):
    """What a server would send: the same frames without their masks."""
    if step[0] != "octets":
        return step
    frames = []
    for octets in step[1]:
        (one,) = read_ws_frames(octets)
        frames.append(ws_frame(one.opcode, one.payload, fin=one.fin, rsv=one.rsv, key=None))
    return step[0], frames, step[2]


@pytest.mark.row("6455-x-1")
@pytest.mark.parametrize("auto_credit", [True, False])
def test_the_way_octets_are_cut_makes_no_difference(twin, auto_credit):
    """One twin, two cuts: the same messages, the same answers in the end."""

    @settings(max_examples=80, deadline=None)
    @given(
        st.lists(FRAMES, max_size=5),
        st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=2),
        CUTS,
        CUTS,
    )
    def check(frames, changes, cuts, other):
        results = []
        for which in (cuts, other):
            side = Side(twin, "h2", "server", auto_credit)
            octets = bytearray(b"".join(frames))
            for at, change in changes:
                if at < len(octets):
                    octets[at] ^= change
            chunks = b"".join(
                f.data(1, bytes(octets[i : i + 9000])) for i in range(0, len(octets), 9000)
            )
            side.feed(chunks, which)
            sent = b""
            while buffers := side.conn.data_to_send(now=0.0):
                sent += b"".join(buffers)
            data = [x for x in f.read_frames(sent) if x.kind != f.WINDOW_UPDATE]
            results.append((side.record, data))
        assert results[0] == results[1]

    check()
