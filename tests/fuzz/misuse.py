"""Everything that Python can call, called wrongly and in any order: never more than an exception.

Verbs get arguments of wrong types and sizes, objects are made without `__init__` or run through
it twice, sinks call back at the worst moment, buffers change size or are released meanwhile.
"""

import gc
import importlib

import hpack

from tests.support import frames as f
from tests.support.peer import CONNECT, errors
from tests.support.ws_frames import ws_frame

from .choices import Choices
from .octets import TUNNEL
from .play import same_keys

VERBS = (
    "receive_data",
    "receive_eof",
    "events",
    "data_to_send",
    "request",
    "connect_websocket",
    "respond",
    "accept_websocket",
    "send_message",
    "send_fragment",
    "send_many",
    "stream_messages",
    "ping",
    "pong",
    "send_data",
    "send_trailers",
    "consumed",
    "close_websocket",
    "reset",
    "attach",
    "waiting",
    "stats",
    "next_timeout",
    "handle_timeout",
    "update_settings",
    "shutdown",
    "abort",
)
TYPES = ("Connection", "Settings", "Limits", "Pool")
NUMBERS = (0, 1, 3, 5, 7, -1, 2**31, 2**32, 2**63, 2**64, -(2**63) - 1, 1.5, float("nan"), True)
TEXTS = ("", "x", ":path", "\0", "\udc80", "ä" * 200, "websocket", "t" * 70000)
OCTETS = (b"", b"x", b"12345678", bytes(126), b"\xff" * 5000)
FIELDS = (
    [(":status", "200")],
    [(":status", "100")],
    [(":status", "x")],
    [("X", "y")],
    [(b"a", b"\r\n")],
    [("a",)],
    [(1, 2)],
    CONNECT,
    {":status": "200"},
    "ab",
)


class Thrown(Exception):
    """What an application raises by itself."""


class Odd:
    """Numbers, sequences, buffers and names that raise or lie when looked at."""

    def __init__(self, rng):
        self.rng = rng

    def _answer(self):
        how = self.rng.randrange(4)
        if how == 0:
            raise Thrown("odd")
        return (1, -1, 2**70)[how - 1]

    def __index__(self):
        return self._answer()

    def __int__(self):
        return self._answer()

    def __float__(self):
        return float(self._answer())

    def __len__(self):
        # len() itself would raise for more than C holds, and list() for what memory does not.
        return min(self._answer(), 2**20)

    def __bool__(self):
        return self._answer() > 0

    def __getitem__(self, index):
        return self._answer()

    def __iter__(self):
        return iter([self._answer(), self, None])

    def __eq__(self, other):
        return self._answer() > 0

    def __lt__(self, other):
        return self._answer() > 0

    __gt__ = __le__ = __ge__ = __lt__

    def __hash__(self):
        return self._answer() & 0xFFFF

    def __call__(self, *args):
        return self._answer()


class Text(str):
    """A str that encodes to something else."""

    def encode(self, *args):
        return b"\xff" * 1000


class Octets(bytes):
    """Octets that say they are many."""

    def __len__(self):
        return 2**20


class Misuse:
    """One connection, and somebody who has not read its documentation."""

    def __init__(self, twin, rng):
        self.twin = twin
        self.rng = rng
        self.h1 = importlib.import_module(".h1", twin.__name__)
        self.sink = importlib.import_module(".sink", twin.__name__)
        self.arrivals = importlib.import_module(".arrivals", twin.__name__)
        self.buffers = importlib.import_module(".buffers", twin.__name__)
        self.allowed = refusals(twin)
        self.depth = 0
        self.array = bytearray(3000)
        self.kept = []  # buffers to send and views of them, with what they held
        self.said = []
        self.pool = self.buffers.Pool(rng.choice((1024, 65536)))
        self.conn = self.connection()

    def connection(self):
        rng = self.rng
        how = rng.randrange(8)
        client = how & 1
        role = self.twin.Role.CLIENT if client else self.twin.Role.SERVER
        if how > 5:
            return self.h1.Upgraded(role, auto_credit=rng.random() < 0.5)
        conn = self.twin.Connection(role, auto_credit=rng.random() < 0.5, pool=self.pool)
        conn.receive_data(opening(client))
        if client:
            for open_one in (conn.connect_websocket, conn.connect_websocket):
                open_one("example.com")
            conn.request(TUNNEL, False)
            conn.receive_data(b"".join(f.headers(i, b"\x88") for i in (1, 5)))
        else:
            conn.accept_websocket(1)
        return conn

    # -- values --------------------------------------------------------------------------------

    def value(self, depth=0):
        rng = self.rng
        how = rng.randrange(20)
        if how < 5:
            return rng.choice(NUMBERS)
        if how < 7:
            return rng.choice(TEXTS)
        if how < 9:
            return rng.choice(OCTETS)
        if how < 10:
            return rng.choice(FIELDS)
        if how == 10:
            return None
        if how == 11:
            return Odd(rng)
        if how == 12:
            return rng.choice((Text("text"), Octets(b"octets")))
        if how == 13:
            return self.array
        if how == 14:
            return rng.choice((memoryview(self.array)[::2], memoryview(self.array), released()))
        if how == 15:
            return rng.choice((self.callback, self.bad_sink(), self.sink.Sink(), print, object()))
        if how == 16:
            return rng.choice((self.conn, self.twin, self.twin.Limits(), self.twin.Settings()))
        if how == 17 and self.kept:
            return rng.choice(self.kept)[0]
        if depth > 2:
            return ()
        made = [self.value(depth + 1) for _ in range(rng.randrange(4))]
        return rng.choice((made, tuple(made), iter(made)))

    def bad_sink(self):
        misuse = self

        class BadSink(self.sink.Sink):
            def _message(self, data, credit):
                return misuse.callback(data)

            def _data(self, data, credit):
                misuse.callback(data)

            def _event(self, event):
                misuse.callback(event)

        return BadSink()

    def callback(self, *args):
        """What is called from within: anything again, and an answer of any kind."""
        rng = self.rng
        if self.depth < 4:
            for _ in range(rng.randrange(3)):
                self.act()
        if rng.random() < 0.1:
            raise rng.choice((Thrown, GeneratorExit, SystemExit))("thrown")
        return self.value() if rng.random() < 0.5 else None

    # -- calls ---------------------------------------------------------------------------------

    def call(self, function, *args, also=(), **named):
        """Call it: only what is said to may come out, and what is in `also`."""
        self.depth += 1
        try:
            result = function(*args, **named)
            self.said.append(type(result).__name__)
            return result
        except (*self.allowed, *also, Thrown, GeneratorExit, SystemExit) as error:
            self.said.append(type(error).__name__)
            return None
        finally:
            self.depth -= 1

    def act(self):
        rng = self.rng
        how = rng.randrange(16)
        if how < 8:
            self.verb()
        elif how < 10:
            self.traffic()
        elif how == 10:
            self.send()
        elif how == 11:
            # Whoever holds a view of it forbids this, and nobody else is harmed by it.
            self.call(self.resize, rng.choice((0, 1, 3000, 100000)), also=(BufferError,))
        elif how == 12:
            self.construct()
        elif how == 13:
            # What only the compiled twin can keep from being set.
            kept = ("role", "limits") if hasattr(self.conn, "__pyx_vtable__") else ()
            name = rng.choice((*kept, "x", *VERBS))
            self.call(setattr, self.conn, name, 1, also=(AttributeError,))
            name = rng.choice(("open_streams", "terminated", "can_connect"))
            self.call(getattr, self.conn, name, also=(AttributeError,))
        elif how == 14 and self.depth == 0:
            self.conn = self.connection()
        else:
            self.arrival()

    def verb(self):
        """A verb with some good arguments and some bad ones."""
        rng = self.rng
        name = rng.choice(VERBS)
        function = getattr(self.conn, name, None)
        if function is None:
            return
        args = [self.value() for _ in range(rng.randrange(4))]
        if args and rng.random() < 0.7:
            args[0] = rng.choice((1, 1, 3, 5, 7, 2, 0))
        named = {}
        if rng.random() < 0.1:
            named[rng.choice(("now", "data", "end_stream", "headers", "credit"))] = self.value()
        self.call(function, *args, **named)

    def traffic(self):
        rng = self.rng
        stream_id = rng.choice((1, 3, 5))
        key = None if self.call(lambda: self.conn.role == 0) else b"abcd"
        payload = rng.choice((b"", b"hello", bytes(500), rng.randbytes(3)))
        message = ws_frame(rng.choice((0, 1, 2, 8, 9)), payload, fin=rng.random() < 0.8, key=key)
        if isinstance(self.conn, self.h1.Upgraded):
            octets = message
        else:
            octets = rng.choice(
                (
                    f.data(stream_id, message),
                    f.data(stream_id, message, rng.random() < 0.2, pad=3),
                    f.headers(7, b"\x82\x86\x84\x01\x01a", rng.random() < 0.5),
                    f.window_update(rng.choice((0, stream_id)), 70000),
                    f.rst_stream(stream_id),
                    f.settings((rng.choice((1, 3, 4, 5)), rng.choice((0, 100, 65535)))),
                )
            )
        if len(octets) < len(self.array) and rng.random() < 0.5:
            self.array[: len(octets)] = octets
            with memoryview(self.array) as view:
                self.call(self.conn.receive_data, view[: len(octets)])
        else:
            self.call(self.conn.receive_data, octets)
        self.call(self.conn.events)

    def resize(self, size):
        self.array[:] = bytes(size)

    def send(self):
        """Take what is to be sent, keep views of it, and look whether they stay as they were."""
        rng = self.rng
        for one in self.call(self.conn.data_to_send, rng.choice((64, 300, 65536))) or ():
            view = memoryview(one)
            self.kept.append((rng.choice((one, view)), bytes(one)))
        del self.kept[:-8]
        for one, copy in self.kept:
            assert bytes(one) == copy, "a buffer changed while it was held"

    def construct(self):
        """An object of any type, made in any way."""
        rng = self.rng
        if rng.random() < 0.2:
            again = rng.choice((self.conn, self.pool, self.pool.acquire()))
            arguments = [self.value() for _ in range(rng.randrange(3))]
            if again is self.pool and rng.random() < 0.7:
                arguments = [2**20]
            self.call(again.__init__, *arguments)
            self.call(self.buffers.OutBuffer, *arguments)
            return
        kind = getattr(self.twin, rng.choice(TYPES), None) or self.buffers.Pool
        made = self.call(kind, *[self.value() for _ in range(rng.randrange(3))])
        if isinstance(made, self.twin.Connection):
            self.call(made.receive_data, b"x")
            self.call(made.data_to_send)

    def arrival(self):
        """An event of the hot path."""
        rng = self.rng
        kind = rng.choice(
            (self.arrivals.TextMessage, self.arrivals.BytesMessage, self.arrivals.Data)
        )
        event = self.call(kind, *[self.value() for _ in range(rng.randrange(4))])
        if event is not None:
            self.call(repr, event)
            self.call(setattr, event, "data", 5, also=(AttributeError,))
            self.call(getattr, event, rng.choice(("data", "credit")))
            self.call(lambda: event == kind(1, event.data, 1))


def refusals(twin):
    """What a wrong call may raise: nothing else is promised to be caught."""
    return errors(twin).H2WSError, ValueError, TypeError


def released():
    """A view of nothing any more."""
    view = memoryview(bytearray(9))
    view.release()
    return view


def opening(client):
    """What the peer says first; it asks for WebSockets and a tunnel where it is the client."""
    first = f.settings((f.ENABLE_CONNECT_PROTOCOL, 1)) + f.settings_ack()
    if client:
        return first
    encoder = hpack.Encoder()
    asked = [CONNECT, CONNECT, TUNNEL]
    return (
        f.MAGIC
        + first
        + b"".join(f.headers(1 + 2 * i, encoder.encode(fields)) for i, fields in enumerate(asked))
    )


def run(twin, data):
    """Misuse a connection as `data` says; return what came of each call."""
    rng = Choices(data)
    with same_keys(0):
        misuse = Misuse(twin, rng)
        for _ in range(2000):
            if rng.over:
                break
            misuse.act()
        misuse.call(misuse.conn.receive_eof)
        misuse.send()
    said = misuse.said
    del misuse
    if data[:1] < b"\x10":
        gc.collect()
    return said
