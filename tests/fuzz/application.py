"""What an application does to a connection: verbs of every kind, at any time, also from sinks.

It is as random as its seed, so that two twins that behave the same see the same application.
"""

from tests.support.frames import INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE

BODIES = (b"", b"x", b"hello", bytes(125), bytes(range(256)), b"\xff" * 3000, bytes(70000))
TEXTS = ("", "x", "hello", "ärger", "€" * 50, "t" * 20000)


class Thrown(Exception):
    """What a sink raises."""


class Interrupt(BaseException):
    """What no sink may swallow, as KeyboardInterrupt."""


class Application:
    """Owns `conn`. `log` keeps all that can be seen; `heard` what came on each stream."""

    def __init__(self, conn, rng, errors, *, client, hostile):
        self.conn = conn
        self.rng = rng
        self.client = client
        self.hostile = hostile
        self.allowed = (errors.H2WSError, ValueError, TypeError)
        self.log = []
        self.known = []  # streams
        self.owed = []  # (stream, credit) that nobody gave back yet
        self.heard = {}  # stream -> messages
        self.said = {}  # stream -> messages that were accepted for sending
        self.aborted = False
        self.last = {}  # stream -> its last event
        self.parted = set()  # WebSockets on which a fragmented message is under way
        self.terminated = False
        self.depth = 0
        self.reading = False
        self.now = 0.0

    # -- what happens ------------------------------------------------------------------------

    def take(self, events):
        for event in events:
            self.hear(event, False)

    def hear(self, event, in_sink):
        kind = type(event).__name__
        self.log.append(("sink" if in_sink else "list", repr(event)))
        stream_id = getattr(event, "stream_id", None)
        if kind == "Terminated":
            assert not self.terminated, "Terminated twice"
            self.terminated = True
            assert self.conn.terminated
            return
        assert stream_id is None or in_sink or kind == "SinkFailed" or not self.terminated
        if stream_id is not None and kind != "SinkFailed":
            # What is in a list already may come after what a sink was told at once.
            last, told = self.last.get(stream_id, (None, True))
            assert last is None or (told and not in_sink), f"{kind} after {last!r}"
        if kind in ("Closed", "Reset"):
            self.last[stream_id] = event, in_sink
        if kind == "Requested":
            self.known.append(stream_id)
            self.requested(event)
        elif kind in ("TextMessage", "BytesMessage", "Data"):
            self.heard.setdefault(stream_id, []).append(event.data)
            if event.credit:
                self.owed.append((stream_id, event.credit))
        if self.rng.random() < 0.3:
            self.act(stream_id)

    def sink(self, event):
        self.hear(event, True)
        if self.rng.random() < 0.02:
            raise Thrown
        if self.rng.random() < 0.005:
            raise Interrupt

    def requested(self, event):
        if self.rng.random() < 0.5:
            self.verb("attach", event.stream_id, self.sink)
        if self.rng.random() < 0.7:
            self.answer(event.stream_id, event.protocol)

    # -- verbs -------------------------------------------------------------------------------

    def verb(self, name, *args, **named):
        """Call a verb: it may refuse, with an error that is meant for it."""
        if (self.depth > 6 and name != "consumed") or not hasattr(self.conn, name):
            return None
        self.depth += 1
        try:
            result = getattr(self.conn, name)(*args, **named)
        except self.allowed as error:
            self.log.append((name, type(error).__name__))
            return None
        finally:
            self.depth -= 1
        self.log.append((name, repr(result)))
        return True if result is None else result

    def answer(self, stream_id, protocol=None):
        rng = self.rng
        how = rng.randrange(10)
        if protocol == "websocket" and how < 8:
            self.verb("accept_websocket", stream_id)
        elif how < 5:
            self.verb("respond", stream_id, [(":status", "200"), ("x-y", "z" * rng.randrange(9))])
        elif how < 8:
            self.verb("respond", stream_id, [(":status", "404")], end_stream=rng.random() < 0.5)
        elif how == 8:
            self.verb("respond", stream_id, [(":status", "103")])
        else:
            self.verb("reset", stream_id)

    def pick(self, preferred=None):
        rng = self.rng
        if preferred and rng.random() < 0.6:
            return preferred
        if self.known and rng.random() < 0.95:
            return rng.choice(self.known[-20:])
        return rng.randrange(1, 50)

    def act(self, preferred=None):
        """One verb or another, on this stream or another."""
        rng = self.rng
        stream_id = self.pick(preferred)
        how = rng.randrange(100)
        if how < 30:
            self.send(stream_id)
        elif how < 45:
            self.give_back(rng.randrange(1, 4))
        elif how < 55:
            data = rng.choice(BODIES)
            end = rng.random() < 0.2
            self.verb("send_data", stream_id, bytearray(data) if rng.random() < 0.3 else data, end)
        elif how < 60:
            self.verb("send_trailers", stream_id, [("x-sum", "1")])
        elif how < 66:
            code = rng.choice((None, 1000, 1001, 3000, 4999, 1005, 999))
            self.verb("close_websocket", stream_id, code, rng.choice(("", "bye")) if code else "")
        elif how < 69:
            self.verb("reset", stream_id, rng.choice((0, 8, 7, 2**32 - 1, -1)))
        elif how < 74:
            self.verb(rng.choice(("ping", "pong")), stream_id, bytes(rng.choice((0, 5, 125, 126))))
        elif how < 76:
            self.verb("ping", 0, b"fuzzfuzz")
        elif how < 82:
            self.verb("attach", stream_id, self.sink if rng.random() < 0.7 else None)
        elif how < 86 and self.client:
            self.open()
        elif how < 88:
            self.answer(stream_id, rng.choice((None, "websocket")))
        elif how < 91:
            # Few take the way of one message each, from four on they may be written ahead.
            many = [self.pick() for _ in range(rng.randrange(2, 14))]
            self.verb("send_many", many, "to many")
        elif how < 92:
            self.verb("consumed", stream_id, rng.choice((-1, 2**40)))
        elif how < 93 and self.depth == 0:
            size = rng.choice((100, 65535, 262144, 0))
            self.verb("update_settings", {INITIAL_WINDOW_SIZE: size, MAX_FRAME_SIZE: 16384})
        elif how < 94 and rng.random() < 0.1:
            self.verb("shutdown")
        elif how < 95 and rng.random() < 0.03:
            self.aborted = True
            self.verb("abort", rng.randrange(14), b"enough")
        elif how < 96:
            if self.reading:
                assert self.verb("receive_data", b"never from a sink") is None
        else:
            self.verb("waiting", stream_id)

    def send(self, stream_id):
        """A message, whole or in parts, or a part too many."""
        rng = self.rng
        data = rng.choice(TEXTS if rng.random() < 0.5 else BODIES)
        if rng.random() < 0.8:
            if self.verb("send_message", stream_id, data) is not None:
                self.said.setdefault(stream_id, []).append(data)
            return
        parts = [data[: len(data) // 2], data[len(data) // 2 :]]
        if self.verb("send_fragment", stream_id, parts[0], False) is not None:
            if self.verb("send_fragment", stream_id, parts[1], True) is not None:
                self.said.setdefault(stream_id, []).append(data)

    def open(self):
        rng = self.rng
        how = rng.randrange(4)
        request = [(":scheme", "https"), (":authority", "example.com"), (":path", "/")]
        if how < 2:
            opened = self.verb("connect_websocket", "example.com", "/", subprotocols=("a", "b"))
        elif how == 2:
            opened = self.verb("request", [(":method", "GET"), *request])
        else:
            fields = [(":method", rng.choice(("POST", "CONNECT"))), *request]
            if fields[0][1] == "CONNECT":
                fields.append((":protocol", "tunnel"))
            opened = self.verb("request", fields, False)
        if opened is not None:
            self.known.append(opened)
            if rng.random() < 0.5:
                self.verb("attach", opened, self.sink)

    def give_back(self, number):
        for _ in range(min(number, len(self.owed))):
            at = self.rng.randrange(len(self.owed))
            stream_id, credit = self.owed.pop(at)
            assert self.verb("consumed", stream_id, credit), "credit of an event is refused"

    # -- octets ------------------------------------------------------------------------------

    def receive(self, octets):
        """Feed octets; nothing that a peer sent raises. What a sink threw may come out."""
        events = ()
        self.reading = True
        try:
            events = self.conn.receive_data(octets, self.now)
        except Interrupt:
            self.log.append(("interrupt",))
        finally:
            self.reading = False
        self.take(events)
        self.more()

    def more(self):
        for _ in range(100):
            try:
                events = self.conn.events()
            except Interrupt:
                self.log.append(("interrupt",))
                continue
            if not events:
                return
            self.take(events)
        raise AssertionError("events without end")

    def pull(self, max_bytes=65536):
        octets = b"".join(self.conn.data_to_send(max_bytes, self.now))
        assert len(octets) <= max_bytes
        self.more()
        return octets

    def eof(self):
        try:
            self.take(self.conn.receive_eof(self.now))
        except Interrupt:
            self.log.append(("interrupt",))
        self.more()

    def tick(self, seconds):
        self.now += seconds
        due = self.conn.next_timeout()
        if due is not None and due <= self.now:
            self.conn.handle_timeout(self.now)
            self.more()
