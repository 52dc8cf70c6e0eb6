"""The same octets give the same events and the same output: in any cut, and in both twins.

Traffic comes in phases. Within a phase the engine only reads; between phases the application acts
on what it was told, so that the order of its calls never hangs on how octets were cut. Cuts decide
when the credit of an incomplete message returns, so the windows are wide where cuts are compared.
"""

import random
from dataclasses import dataclass

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h2ws_fast import _twins, errors
from tests.support import frames as f
from tests.support.peer import CONNECT, GET, OK, POST
from tests.support.ws_frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, ws_frame

row = pytest.mark.row

small = st.integers(0, 7)
content = st.one_of(st.binary(max_size=40), st.integers(0, 20_000))  # an int: so many zeros
steps = st.one_of(
    st.tuples(st.sampled_from(("get", "post", "websocket", "tunnel", "late")), small),
    st.tuples(st.just("data"), small, content, st.booleans(), st.none() | st.integers(0, 255)),
    st.tuples(
        st.just("message"),
        small,
        content,
        st.sampled_from((TEXT, BINARY, CONTINUATION, PING, CLOSE)),
        st.booleans(),
    ),
    st.tuples(st.just("trailers"), small),
    st.tuples(st.just("window"), small, st.integers(0, 2**31 - 1)),
    st.tuples(st.just("reset"), small, st.integers(0, 20)),
    st.tuples(st.just("settings"), st.sampled_from((1, 3, 4, 5, 6, 8, 9)), st.integers(0, 70_000)),
    st.tuples(st.just("ping"), st.binary(min_size=8, max_size=8)),
    st.tuples(st.just("priority"), small),
    st.tuples(st.just("unknown"), small, content),
    st.tuples(st.just("goaway"), small),
)
traffic = st.lists(st.lists(steps, max_size=8), min_size=1, max_size=5)
answers = st.lists(st.integers(0, 5), min_size=1, max_size=8)


def octets_of(content):
    return bytes(content) if type(content) is int else content


class Script:
    """Turns steps into octets as a client would send them, phase by phase."""

    def __init__(self):
        self.encoder = hpack.Encoder()
        self.opened = []

    def phase(self, steps):
        """The octets of one phase."""
        return b"".join(self._write(*step) for step in steps)

    def _stream(self, index):
        return self.opened[index % len(self.opened)] if self.opened else 1

    def _open(self, fields, end_stream, split):
        stream_id = 2 * len(self.opened) + 1
        self.opened.append(stream_id)
        block = self.encoder.encode([*fields, ("x-n", str(split))])
        if split % 3:
            return f.headers(stream_id, block, end_stream, pad=split if split & 1 else None)
        first = f.headers(stream_id, block[:5], end_stream, end_headers=False)
        return first + f.continuation(stream_id, block[5:])

    def _write(self, what, *args):
        if what in ("get", "post", "websocket", "tunnel"):
            fields = {
                "get": GET,
                "post": POST,
                "websocket": CONNECT,
                "tunnel": [(k, "foo" if k == ":protocol" else v) for k, v in CONNECT],
            }[what]
            return self._open(fields, what == "get", args[0])
        if what == "late":
            return f.headers(self._stream(args[0]), self.encoder.encode([("x-late", "1")]), True)
        if what == "data":
            index, payload, end_stream, pad = args
            payload = octets_of(payload)[: 16384 - 300]
            return f.data(self._stream(index), payload, end_stream, pad)
        if what == "message":
            index, payload, opcode, fin = args
            payload = octets_of(payload)[: 16000 if opcode < 8 else 125]
            return f.data(self._stream(index), ws_frame(opcode, payload, fin=fin or opcode > 7))
        if what == "trailers":
            block = self.encoder.encode([("x-trailer", "yes")])
            return f.headers(self._stream(args[0]), block, True)
        if what == "window":
            index, increment = args
            return f.window_update(self._stream(index) if index else 0, increment >> index * 4)
        if what == "reset":
            return f.rst_stream(self._stream(args[0]), args[1])
        if what == "settings":
            identifier, value = args
            if identifier == f.HEADER_TABLE_SIZE:
                value %= 4097
            if identifier in (f.ENABLE_CONNECT_PROTOCOL, f.NO_RFC7540_PRIORITIES):
                value = identifier == f.ENABLE_CONNECT_PROTOCOL
            if identifier == f.MAX_FRAME_SIZE:
                value += 16384
            return f.settings((identifier, int(value)))
        if what == "ping":
            return f.ping(args[0])
        if what == "priority":
            return f.priority(self._stream(args[0]), 0)
        if what == "unknown":
            return f.frame(f.UNKNOWN, 0, self._stream(args[0]), octets_of(args[1])[:16384])
        return f.goaway(args[0])


def told(event):
    """An event as plain values that compare between twins."""
    return type(event).__name__, repr(event)


def list_of(events):
    return [told(event) for event in events]


@dataclass
class Merged:
    """Neighbouring Data of one stream made one: how a payload is cut is no promise."""

    stream_id: int
    data: bytes
    credit: int


def merge(events):
    merged = []
    for event in events:
        if type(event).__name__ != "Data":
            merged.append(event)
        elif merged and type(merged[-1]) is Merged and merged[-1].stream_id == event.stream_id:
            merged[-1].data += bytes(event.data)
            merged[-1].credit += event.credit
        else:
            merged.append(Merged(event.stream_id, bytes(event.data), event.credit))
    return merged


class Application:
    """Answers what it was told with a fixed habit; what it may not call any more it lets be."""

    def __init__(self, engine, errors, habits, window):
        self.conn = engine.Connection(
            engine.Role.SERVER, engine.Settings(initial_window_size=window)
        )
        self.errors = errors
        self.habits = habits
        self.turn = 0

    def act(self, events):
        for event in events:
            self.turn += 1
            habit = self.habits[self.turn % len(self.habits)]
            try:
                self._answer(event, type(event).__name__, habit)
            except self.errors.H2WSError:
                pass  # the stream ended meanwhile

    def _answer(self, event, name, habit):
        conn = self.conn
        if name == "Requested" and event.protocol == "websocket" and habit != 1:
            conn.accept_websocket(event.stream_id)
        elif name == "Requested":
            conn.respond(event.stream_id, [*OK, ("x-habit", str(habit))], end_stream=habit == 2)
            if habit == 3:
                conn.send_data(event.stream_id, bytes(40_000), end_stream=True)
        elif name in ("TextMessage", "BytesMessage"):
            conn.consumed(event.stream_id, event.credit)
            conn.send_message(event.stream_id, event.data)
            if habit == 4:
                conn.close_websocket(event.stream_id, 1000, "habit")
        elif name == "Merged":
            conn.consumed(event.stream_id, event.credit)
            if habit == 5:
                conn.reset(event.stream_id)
            else:
                conn.send_data(event.stream_id, event.data)
        elif name == "Ended":
            conn.send_data(event.stream_id, b"", end_stream=True)


def run(engine, phases, habits, cuts, window=30_000, merged=False):
    """Feed the phases cut at `cuts` (positions modulo what is left); return all that came of it."""
    random.seed(0)  # when a silent peer is pinged differs by chance
    application = Application(engine, errors, habits, window)
    conn = application.conn
    record = [b"".join(conn.data_to_send(now=0.0))]
    at = 0
    for number, octets in enumerate(phases):
        events, now = [], float(number)
        while octets:
            n = len(octets) if not cuts else 1 + cuts[at % len(cuts)] % len(octets)
            at += 1
            events += conn.receive_data(octets[:n], now)
            octets = octets[n:]
        events += conn.events()
        record.append(list_of(merge(events) if merged else events))
        record.append(pull(conn, now))
        application.act(merge(events))
        record.append(list_of(conn.events()))
        record.append(pull(conn, now))
        record.append((conn.open_streams, conn.terminated, conn.next_timeout()))
    return record


def whatever_the_cuts(engine, phases, habits, cuts):
    """What must not hang on the cuts."""
    return run(engine, phases, habits, cuts, 2**20, True)


def pull(conn, now):
    octets = b""
    while buffers := conn.data_to_send(now=now):
        octets += b"".join(buffers)
    return octets


def phases_of(script):
    writer = Script()
    phases = [writer.phase(steps) for steps in script]
    return [f.MAGIC + f.settings() + f.settings_ack() + phases[0], *phases[1:]]


@row("9113-4.1-1")
@given(script=traffic, habits=answers, cuts=st.lists(st.integers(0, 50_000), min_size=1))
@settings(max_examples=60, deadline=None)
def test_any_cuts_give_the_same(twin, script, habits, cuts):
    phases = phases_of(script)
    whole = whatever_the_cuts(twin, phases, habits, None)
    assert whatever_the_cuts(twin, phases, habits, cuts) == whole


@given(script=traffic, habits=answers)
@settings(max_examples=10, deadline=None)
def test_octet_by_octet_gives_the_same(twin, script, habits):
    phases = phases_of([[step for step in steps if len(repr(step)) < 300] for steps in script])
    whole = whatever_the_cuts(twin, phases, habits, None)
    assert whatever_the_cuts(twin, phases, habits, [0]) == whole


@pytest.fixture(scope="module")
def both():
    try:
        return _twins.load("compiled"), _twins.load("pure")
    except ImportError as error:
        pytest.skip(f"no compiled twin here: {error}")


@given(script=traffic, habits=answers, cuts=st.lists(st.integers(0, 50_000)))
@settings(max_examples=100, deadline=None)
def test_both_twins_give_the_same(both, script, habits, cuts):
    phases = phases_of(script)
    compiled, pure = (run(twin, phases, habits, cuts) for twin in both)
    assert compiled == pure


def mutate(octets, seed, times):
    """Flip, drop, double or swap a few octets; the magic stays."""
    rng = random.Random(seed)
    octets = bytearray(octets)
    for _ in range(times):
        if not octets:
            break
        at = rng.randrange(len(octets))
        what = rng.randrange(5)
        if what == 0:
            octets[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            octets[at] = rng.randrange(256)
        elif what == 2:
            del octets[at : at + rng.randrange(1, 20)]
        elif what == 3:
            octets[at:at] = octets[at : at + rng.randrange(1, 40)]
        else:
            octets[at:at] = rng.randbytes(rng.randrange(1, 12))
    return bytes(octets)


@given(
    script=traffic,
    habits=answers,
    cuts=st.lists(st.integers(0, 50_000)),
    seed=st.integers(0, 2**32),
    times=st.integers(1, 6),
)
@settings(max_examples=150, deadline=None)
def test_both_twins_give_the_same_on_damaged_traffic(both, script, habits, cuts, seed, times):
    first, *rest = phases_of(script)
    phases = [f.MAGIC + mutate(first[24:], seed, times), *rest]
    compiled, pure = (run(twin, phases, habits, cuts) for twin in both)
    assert compiled == pure


@given(
    script=traffic,
    habits=answers,
    cuts=st.lists(st.integers(0, 50_000), min_size=1),
    seed=st.integers(0, 2**32),
    times=st.integers(1, 6),
)
@settings(max_examples=60, deadline=None)
def test_any_cuts_of_damaged_traffic_give_the_same(twin, script, habits, cuts, seed, times):
    first, *rest = phases_of(script)
    phases = [f.MAGIC + mutate(first[24:], seed, times), *rest]
    whole = whatever_the_cuts(twin, phases, habits, None)
    assert whatever_the_cuts(twin, phases, habits, cuts) == whole


@given(octets=st.binary(max_size=2000), cuts=st.lists(st.integers(0, 2000)))
@settings(max_examples=150, deadline=None)
def test_both_twins_give_the_same_on_noise(both, octets, cuts):
    opening = f.MAGIC + f.settings() + f.settings_ack()
    for phases in ([octets], [opening + octets], [opening, octets]):
        compiled, pure = (run(twin, phases, [0], cuts) for twin in both)
        assert compiled == pure


@given(octets=st.binary(max_size=2000), cuts=st.lists(st.integers(0, 2000)))
@settings(max_examples=100, deadline=None)
def test_a_client_bears_noise(both, octets, cuts):
    """A server may send anything: nothing is raised, and both twins agree."""
    records = []
    for engine in both:
        conn = engine.Connection(engine.Role.CLIENT)
        conn.request(GET)
        conn.request(POST, end_stream=False)
        record, rest, at = [pull(conn, 0.0)], f.settings() + f.settings_ack() + octets, 0
        while rest:
            n = len(rest) if not cuts else 1 + cuts[at % len(cuts)] % len(rest)
            at += 1
            record += list_of(conn.receive_data(rest[:n], 0.0))
            rest = rest[n:]
        record += list_of(conn.receive_eof(0.0))
        record.append(pull(conn, 0.0))
        records.append(record)
    assert records[0] == records[1]


# -- the client's side -------------------------------------------------------------------------

replies = st.one_of(
    st.tuples(st.just("head"), small, st.sampled_from((100, 103, 200, 204, 404)), st.booleans()),
    st.tuples(st.just("data"), small, content, st.booleans(), st.none() | st.integers(0, 255)),
    st.tuples(
        st.just("message"),
        small,
        content,
        st.sampled_from((TEXT, BINARY, CONTINUATION, PING, CLOSE)),
        st.booleans(),
    ),
    st.tuples(st.just("trailers"), small),
    st.tuples(st.just("window"), small, st.integers(0, 2**31 - 1)),
    st.tuples(st.just("reset"), small, st.integers(0, 20)),
    st.tuples(st.just("settings"), st.sampled_from((1, 3, 4, 5, 6, 8)), st.integers(0, 70_000)),
    st.tuples(st.just("ping"), st.binary(min_size=8, max_size=8)),
    st.tuples(st.just("goaway"), st.integers(0, 15)),
    st.tuples(st.just("push"), small, small),
)


class Replies(Script):
    """Turns steps into octets as a server would send them to streams 1 to 15."""

    def __init__(self):
        super().__init__()
        self.opened = list(range(1, 16, 2))

    def _write(self, what, *args):
        if what == "head":
            index, status, end_stream = args
            block = self.encoder.encode([(":status", str(status)), ("x-n", str(index))])
            return f.headers(self._stream(index), block, end_stream, pad=index or None)
        if what == "message":
            index, payload, opcode, fin = args
            payload = octets_of(payload)[: 16000 if opcode < 8 else 125]
            frame = ws_frame(opcode, payload, fin=fin or opcode > 7, key=None)
            return f.data(self._stream(index), frame)
        if what == "push":
            index, promised = args
            block = self.encoder.encode(GET)
            return f.push_promise(self._stream(index), 2 * promised + 2, block)
        if what == "settings" and args[0] == f.ENABLE_CONNECT_PROTOCOL:
            return f.settings((f.ENABLE_CONNECT_PROTOCOL, 1))
        return super()._write(what, *args)


def shapes(octets):
    """What a client sent; of DATA only the size, since its masking keys are random."""
    frames = f.read_frames(octets)
    return [
        (x.kind, x.flags, x.stream_id, len(x.payload) if x.kind == f.DATA else x.payload)
        for x in frames
    ]


def run_client(engine, octets, cuts, merged=False):
    conn = engine.Connection(engine.Role.CLIENT, engine.Settings(initial_window_size=2**20))
    events = list(conn.receive_data(f.settings((f.ENABLE_CONNECT_PROTOCOL, 1)), 0.0))
    for i in range(8):
        if i % 2:
            conn.connect_websocket("example.com", f"/{i}")
        else:
            stream_id = conn.request(POST if i % 4 else GET, end_stream=i % 4 == 0)
            if i % 4:
                conn.send_data(stream_id, bytes(20_000))
    record, at = [shapes(pull(conn, 0.0)[24:])], 0
    while octets:
        n = len(octets) if not cuts else 1 + cuts[at % len(cuts)] % len(octets)
        at += 1
        events += conn.receive_data(octets[:n], 1.0)
        octets = octets[n:]
    events += conn.events()
    record.append(shapes(pull(conn, 1.0)))
    events += conn.events()
    for event in merge(events):
        if hasattr(event, "credit"):
            conn.consumed(event.stream_id, event.credit)
    record += [conn.open_streams, conn.terminated, conn.can_connect, conn.draining]
    record.append(shapes(pull(conn, 1.0)))
    last = conn.receive_eof(2.0) + conn.events()
    record.append(list_of(merge(events) if merged else events) + list_of(last))
    return record


@given(
    script=st.lists(replies, max_size=40),
    cuts=st.lists(st.integers(0, 50_000), min_size=1),
    seed=st.integers(0, 2**32),
    times=st.integers(0, 4),
)
@settings(max_examples=100, deadline=None)
def test_a_client_is_told_the_same_by_any_cuts(twin, script, cuts, seed, times):
    octets = mutate(Replies().phase(script), seed, times)
    whole = run_client(twin, octets, None, merged=True)
    assert run_client(twin, octets, cuts, merged=True) == whole


@given(
    script=st.lists(replies, max_size=40),
    cuts=st.lists(st.integers(0, 50_000)),
    seed=st.integers(0, 2**32),
    times=st.integers(0, 4),
)
@settings(max_examples=100, deadline=None)
def test_both_twins_of_a_client_are_the_same(both, script, cuts, seed, times):
    octets = mutate(Replies().phase(script), seed, times)
    compiled, pure = (run_client(twin, octets, cuts) for twin in both)
    assert compiled == pure
