"""Reference counts: what the engine was given is its caller's alone again when all is over.

`sys.gettotalrefcount` needs a debug build; these count the references of each object by name, in
calls that succeed and in calls that raise.
"""

import gc
import sys

import pytest

from h2ws_fast.errors import H2WSError
from tests.support import frames as f

from . import compressed
from .endings import CONNECT, GET, OK, POST, TUNNEL, Lone, Pair, literal

pytestmark = pytest.mark.skipif(not hasattr(sys, "getrefcount"), reason="CPython only")

ROUNDS = 50


class Watched:
    """Objects whose references are counted now and when all is over."""

    def __init__(self, **objects):
        self.objects = objects
        self.before = None

    def __enter__(self):
        gc.collect()
        self.before = self.counts()

    def counts(self):
        return {name: sys.getrefcount(each) for name, each in self.objects.items()}

    def __exit__(self, kind, error, traceback):
        gc.collect()
        if kind is None:
            assert self.counts() == self.before


def fresh(octets):
    """An object of these octets that nobody else has."""
    return bytes(bytearray(octets))


def text(what):
    return "".join([*what])


class Callback:
    """A sink that keeps nothing."""

    def __init__(self, error=None):
        self.error = error
        self.calls = 0

    def __call__(self, event):
        self.calls += 1
        if self.error is not None:
            raise self.error


def payloads():
    return {
        "octets": fresh(b"payload" * 20),
        "large": fresh(b"large" * 500),
        "ascii": text("ascii text"),
        "wide": text("wide €"),
        "array": bytearray(b"array"),
        "view": memoryview(bytearray(b"view")),
    }


@pytest.mark.parametrize("ending", ["close", "reset", "reset at once", "eof", "dropped"])
def test_payloads(twin, ending):
    things = payloads()

    def work():
        pair = Pair(twin)
        for stream_id in pair.websockets(3):
            for thing in things.values():
                pair.client.send_message(stream_id, thing)
                pair.server.send_message(stream_id, thing)
            pair.client.send_fragment(stream_id, things["octets"], False)
            pair.server.send_fragment(stream_id, things["ascii"], False)
            pair.client.ping(stream_id, things["octets"][:5])
        pair.server.send_many([1, 3, 5, 7], things["octets"])
        if ending != "reset at once":
            pair.pump()
        if ending == "eof":
            for conn in pair.ends:
                conn.receive_eof()
        elif ending != "dropped":
            for stream_id in (1, 3, 5):
                if ending == "close":
                    pair.client.close_websocket(stream_id)
                else:
                    pair.client.reset(stream_id)
            pair.pump()

    with Watched(**things):
        for _ in range(ROUNDS):
            work()


@pytest.mark.parametrize("takeover", [True, False])
def test_compressed_payloads(twin, takeover):
    things = payloads()

    def work():
        pair = Pair(twin)
        ids = compressed.websockets(pair, 3, takeover)
        for stream_id in ids:
            for conn in pair.ends:
                conn.send_fragment(stream_id, "the rest", True)
                for thing in things.values():
                    conn.send_message(stream_id, thing)
                    conn.send_message_as(stream_id, thing, False)
        pair.server.send_many([*ids, 99], things["octets"])
        pair.pump()
        pair.client.reset(ids[0])
        pair.server.close_websocket(ids[1])
        pair.pump()

    with Watched(**things):
        for _ in range(ROUNDS):
            work()


def test_bodies_and_tunnels(twin):
    things = payloads()
    del things["ascii"], things["wide"]
    fields = [(fresh(b"x-name"), fresh(b"value")), (text("x-other"), text("value"))]
    watched = Watched(
        **things,
        fields=fields,
        **{f"field {at}": field for at, field in enumerate(fields)},
        **{f"part {at}": part for at, part in enumerate(sum(fields, ()))},
    )

    def work():
        pair = Pair(twin)
        for stream_id in pair.ask([*POST, *fields], 2):
            pair.server.respond(stream_id, [*OK, *fields])
            for thing in things.values():
                pair.client.send_data(stream_id, thing)
                pair.server.send_data(stream_id, thing)
            pair.server.send_trailers(stream_id, fields)
            pair.client.send_trailers(stream_id, fields)
        for stream_id in pair.answered([*TUNNEL, *fields], 2):
            for thing in things.values():
                pair.client.send_data(stream_id, thing)
            pair.server.reset(stream_id)
        stream_id = pair.client.connect_websocket("example.com", headers=fields)
        pair.pump()
        pair.server.accept_websocket(stream_id, headers=fields)
        pair.pump()

    with watched:
        for _ in range(ROUNDS):
            work()


def test_sinks(twin):
    sink, failing = Callback(), Callback(RuntimeError("the sink's own"))
    on_message = Callback()

    def work():
        pair = Pair(twin)
        pair.server = twin.Connection(twin.Role.SERVER, auto_credit=True)
        pair.client = twin.Connection(twin.Role.CLIENT)
        pair.pump()
        one, two, three, four = pair.websockets(4)
        pair.server.attach(one, sink)
        pair.server.attach(two, failing)
        pair.server.attach(three, sink, on_message)
        pair.server.attach(four, sink)
        pair.server.attach(four, failing)
        pair.server.attach(four, None)
        for stream_id in (one, two, three, four):
            pair.client.send_message(stream_id, "hello")
        pair.pump()
        pair.client.close_websocket(one)
        pair.client.reset(three)
        pair.pump()
        failing.error.__traceback__ = None

    with Watched(sink=sink, failing=failing, on_message=on_message, error=failing.error):
        for _ in range(ROUNDS):
            work()
    assert sink.calls and failing.calls and on_message.calls


def test_what_the_engine_hands_out_is_its_caller_s(twin):
    pair = Pair(twin)
    (stream_id,) = pair.websockets(1)
    for data in ("text", "wide €", b"octets", b"x" * 700):
        pair.client.send_message(stream_id, data)
        _, (event,) = pair.pump()
        got = event.data
        assert got == data
        assert sys.getrefcount(event) == 2  # `event`, and the argument
        assert sys.getrefcount(got) == 3  # `got`, the event's field, and the argument
        pair.server.consumed(stream_id, event.credit)
        del event
        assert sys.getrefcount(got) == 2
    peer = Lone(twin, "server")
    (event,) = peer.feed(f.headers(1, literal([*GET, ("x-very-own", "field")]), True))
    assert sys.getrefcount(event) == 2
    headers = event.headers
    assert sys.getrefcount(headers) == 3
    assert all(sys.getrefcount(field) <= 3 for field in headers)


def test_calls_that_raise(twin):
    things = payloads()
    fields = [(fresh(b"x-name"), fresh(b"value"))]
    bad = [(fresh(b"X Bad"), fresh(b"value"))]
    sink = Callback()
    reason = text("reason " * 30)
    watched = Watched(
        **things,
        sink=sink,
        fields=fields,
        bad=bad,
        name=bad[0][0],
        field=fields[0],
        reason=reason,
    )

    def work():
        pair = Pair(twin)
        over, open_, pending = *pair.websockets(2), 0
        pair.client.reset(over)
        pair.pump()
        (pending,) = pair.ask(CONNECT, 1)
        wrong = 0

        def raises(verb, *arguments, **named):
            nonlocal wrong
            try:
                verb(*arguments, **named)
            except (H2WSError, ValueError, TypeError) as error:
                error.__traceback__ = None
                wrong += 1
            else:
                raise AssertionError(f"{verb} succeeded")

        for _ in range(ROUNDS):
            for conn in pair.ends:
                for stream_id in (over, 999, 0, -1, pending):
                    for data in things.values():
                        raises(conn.send_message, stream_id, data)
                        raises(conn.send_fragment, stream_id, data, True)
                    raises(conn.attach, stream_id, sink) if stream_id != pending else None
                raises(conn.send_message, open_, 5)
                raises(conn.send_message, open_, fields)
                raises(conn.send_data, open_, things["octets"])
                raises(conn.send_trailers, open_, bad)
                raises(conn.ping, open_, things["octets"])
                raises(conn.close_websocket, open_, 1000, reason)
                raises(conn.receive_data, reason)
                raises(conn.attach, open_, sink, sink)
            raises(pair.server.respond, pending, [*OK, *bad])
            raises(pair.server.respond, pending, bad)
            raises(pair.server.accept_websocket, pending, reason)
            raises(pair.server.accept_websocket, pending, headers=bad)
            raises(pair.client.request, bad)
            raises(pair.client.connect_websocket, "example.com", headers=bad)
            raises(pair.client.connect_websocket, "example.com", subprotocols=[reason])
            raises(pair.server.request, GET)
        return wrong

    with watched:
        assert work() > 100 * ROUNDS


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="they are immortal")
def test_singletons(twin):
    """A reference too many or too few of None, True, b"" and the like shows in the long run."""
    singletons = {
        "None": None,
        "True": True,
        "False": False,
        "b''": b"",
        "''": "",
        "()": (),
        "b'x'": b"x",
        "'x'": "x",
        "0": 0,
        "1": 1,
        "200": 200,
        "-1": -1,
    }

    def work():
        pair = Pair(twin)
        ids = pair.websockets(20)
        for stream_id in ids:
            for data in ("", b"", "x", b"x", "é"):
                pair.client.send_message(stream_id, data)
                pair.server.send_message(stream_id, data)
            pair.client.ping(stream_id)
        pair.server.send_many(ids, "x")
        for told in pair.pump():
            for event in told:
                repr(event)
        for at, stream_id in enumerate(ids):
            if at & 1:
                pair.client.close_websocket(stream_id, None)
            else:
                pair.server.reset(stream_id)
        for stream_id in pair.ask(POST, 20):
            pair.client.send_data(stream_id, b"x", True)
            pair.server.respond(stream_id, OK, True)
        pair.pump()
        for conn in pair.ends:
            conn.next_timeout()
            conn.stats()
            conn.receive_eof()

    for _ in range(5):
        work()
    gc.collect()
    before = {name: sys.getrefcount(each) for name, each in singletons.items()}
    for _ in range(ROUNDS):  # a thousand streams
        work()
    gc.collect()
    moved = {
        name: sys.getrefcount(each) - before[name]
        for name, each in singletons.items()
        if abs(sys.getrefcount(each) - before[name]) > 40
    }
    assert not moved
