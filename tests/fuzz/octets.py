"""Octets that a peer may send, whatever they are: the reader of frames and that of messages.

An input is two octets of choices and then what the peer sends. MARK divides it into phases: within
one the engine only reads, between two the application answers what it was told. So the same
octets must give the same events and the same output, whole or cut anywhere.

What is fed lies in memory of its exact size, with nothing behind it that could be read unnoticed.
"""

import ctypes
import importlib
import random

from h2ws_fast.aio.h1.connection import H1Connection
from tests.support import frames as f
from tests.support.peer import CONNECT, GET, POST, errors

from .play import same_keys

MARK = b"\xf7ACT"
TUNNEL = [(":protocol", "foo") if name == ":protocol" else (name, v) for name, v in CONNECT[:5]]


def exact(octets):
    """These octets in a block of their own: `bytes` are followed by one more."""
    return memoryview((ctypes.c_ubyte * len(octets)).from_buffer_copy(octets)).cast("B")


def pieces(octets, cuts):
    """Cut octets at places that `cuts`, a random.Random, chooses; None: nowhere."""
    if cuts is None or len(octets) < 2:
        return [octets] if octets else []
    if cuts.random() < 0.3 and len(octets) < 300:
        return [octets[i : i + 1] for i in range(len(octets))]
    places = sorted(cuts.randrange(1, len(octets)) for _ in range(cuts.randrange(1, 8)))
    return [octets[i:j] for i, j in zip([0, *places], [*places, len(octets)], strict=True)]


def merged(events):
    """Events as text, neighbouring Data of a stream as one: how a payload is cut is no promise."""
    told = []
    for event in events:
        if type(event).__name__ == "Data":
            if told and told[-1][0] == ("Data", event.stream_id):
                told[-1][1] += event.data
                told[-1][2] += event.credit
            else:
                told.append([("Data", event.stream_id), event.data, event.credit])
        else:
            told.append([type(event).__name__, repr(event)])
    return [tuple(line) for line in told]


class Echo:
    """An application that takes all there is, and sends back what it gets."""

    def __init__(self, conn, allowed, bodies=True):
        self.conn = conn
        self.allowed = allowed
        self.bodies = bodies  # whether they are sent back as well

    def verb(self, name, *args, **named):
        try:
            getattr(self.conn, name)(*args, **named)
        except self.allowed:
            return

    def answer(self, event):
        kind = type(event).__name__
        if kind == "Requested":
            if event.protocol == "websocket":
                self.verb("accept_websocket", event.stream_id)
            else:
                self.verb("respond", event.stream_id, [(":status", "200"), ("x-a", "b")])
        elif kind in ("TextMessage", "BytesMessage"):
            self.verb("consumed", event.stream_id, event.credit)
            self.verb("send_message", event.stream_id, event.data)
        elif kind == "Data":
            self.verb("consumed", event.stream_id, event.credit)
            if self.bodies:
                self.verb("send_data", event.stream_id, event.data)
        elif kind in ("Ended", "Trailers"):
            self.verb("send_data", event.stream_id, b"", True)


def drive(conn, octets, allowed, cuts, bodies=True):
    """Feed phases, answering between them; return what was told and what was sent."""
    user = Echo(conn, allowed, bodies)
    told = []
    sent = []
    for phase in octets.split(MARK):
        events = []
        for piece in pieces(phase, cuts):
            events += conn.receive_data(exact(piece))
            events += conn.events()
        told += merged(events)
        for event in events:
            user.answer(event)
        told += merged(conn.events())
        while buffers := conn.data_to_send():
            sent += [bytes(one) for one in buffers]
        told += merged(conn.events())
    stats = conn.stats()
    assert all(value >= 0 for value in stats.values() if isinstance(value, int)), stats
    told += merged(conn.receive_eof())
    assert conn.terminated, "not terminated at the end of its input"
    return told, b"".join(sent)


def settled(conn):
    """Nothing is left of a connection that is over."""
    stats = conn.stats()
    assert stats["octets_buffered"] == stats["octets_queued"] == 0, stats


def same(one, other):
    for line, (a, b) in enumerate(zip(one[0], other[0], strict=False)):
        assert a == b, f"line {line}: {a!r:.300} whole, {b!r:.300} in pieces"
    assert len(one[0]) == len(other[0]), "whole and in pieces, other events"
    assert one[1] == other[1], "whole and in pieces, other output"


def frames(twin, data):
    """What follows the preface and SETTINGS of a peer, whole and in pieces."""
    if len(data) < 2:
        return []
    how, seed = data[0], data[1]
    seen = []
    for cuts in (None, random.Random(seed)):
        with same_keys(seed):
            conn, octets, allowed = connection(twin, how, data[2:])
            seen.append(drive(conn, octets, allowed, cuts))
            settled(conn)
    same(*seen)
    return seen[0]


def connection(twin, how, octets):
    """A connection that has shaken hands, what it is to read, and what its verbs may raise."""
    client = how & 1
    conn = twin.Connection(
        twin.Role.CLIENT if client else twin.Role.SERVER,
        # Wide: cuts decide when the credit of an incomplete message returns.
        twin.Settings(initial_window_size=2**24, connection_window=2**26),
        twin.Limits(max_message=5000) if how & 2 else None,
        auto_credit=how & 4 != 0,
        answer_malformed=how & 8 != 0,
    )
    magic = b"" if client else f.MAGIC
    if how & 16:  # the input says all itself
        octets = magic[: how >> 5] + octets
    else:
        conn.receive_data(magic + f.settings((f.ENABLE_CONNECT_PROTOCOL, 1)) + f.settings_ack())
        if client:
            conn.connect_websocket("example.com", "/", subprotocols=("a",))
            conn.request(GET)
            conn.request(POST, False)
            conn.request(TUNNEL, False)
        while conn.data_to_send():
            pass
    return conn, octets, (errors(twin).H2WSError, ValueError, TypeError)


def websocket(twin, data):
    """The octets of a WebSocket's peer, on a connection that it has for itself."""
    if len(data) < 2:
        return []
    how, seed = data[0], data[1]
    h1 = importlib.import_module(".h1", twin.__name__)
    limit = 300 if how & 2 else 2**20
    seen = []
    for cuts in (None, random.Random(seed)):
        with same_keys(seed):
            conn = h1.Upgraded(
                twin.Role.CLIENT if how & 1 else twin.Role.SERVER,
                twin.Limits(max_message=limit, max_fragments=2**30),
                auto_credit=how & 4 != 0,
            )
            allowed = (errors(twin).H2WSError, ValueError, TypeError)
            seen.append(drive(conn, data[2:], allowed, cuts))
            settled(conn)
    same(*seen)
    heard = [line for line in seen[0][0] if line[0] in ("TextMessage", "BytesMessage")]
    wanted = messages(data[2:].replace(MARK, b""), not how & 1, limit)
    assert len(heard) == len(wanted), (heard, wanted)
    for (kind, text), message in zip(heard, wanted, strict=True):
        assert (kind == "TextMessage") == (type(message) is str)
        assert f"data={message!r}" in text, (text, message)
    return seen[0]


def http1(twin, data):
    """What a client may send to a port that serves HTTP/1.1 beside HTTP/2."""
    if len(data) < 2:
        return []
    how, seed = data[0], data[1]
    seen = []
    for cuts in (None, random.Random(seed)):
        taken = []
        conn = H1Connection(
            twin.Limits(max_header_fields=20) if how & 1 else twin.Limits(),
            "https" if how & 2 else "http",
            lambda key, upgraded, rest, taken=taken: taken.append((key, rest)),
            upgrades=("websocket",) if how & 4 == 0 else (),
        )
        allowed = (errors(twin).H2WSError, ValueError, TypeError)
        # Each piece of a body would be a chunk of its own.
        told, sent = drive(conn, data[2:], allowed, cuts, bodies=False)
        # Of a body that does not end well more or less may have been told.
        ended = {line[1] for line in told if line[0] == "Ended"}
        whole = [
            line
            for line in told
            if line[0][0] != "Data" or f"Ended(stream_id={line[0][1]})" in ended
        ]
        seen.append((whole, sent, [key for key, _ in taken]))
    same(*seen)
    assert seen[0][2] == seen[1][2]
    return seen[0]


def messages(octets, masked, limit):
    """The messages of these octets, as RFC 6455 has it, up to a Close or the first fault."""
    found = []
    parts = None
    opcode = 0
    at = 0
    while len(octets) - at >= 2:
        first, second = octets[at], octets[at + 1]
        at += 2
        size = second & 127
        if size > 125:
            more = 2 if size == 126 else 8
            if len(octets) - at < more:
                break
            size = int.from_bytes(octets[at : at + more], "big")
            at += more
            if size < (126 if more == 2 else 65536) or size >> 63:
                break
        kind = first & 15
        final = first & 128 != 0
        if first & 0x70 or (second & 128 != 0) != masked or kind not in (0, 1, 2, 8, 9, 10):
            break
        key = b"\0\0\0\0"
        if masked:
            if len(octets) - at < 4:
                break
            key = octets[at : at + 4]
            at += 4
        if kind >= 8 and (size > 125 or not final):
            break
        if kind < 8 and (kind == 0) != (parts is not None):
            break
        if kind < 8 and size + len(parts or b"") > limit:
            break
        payload = bytes(x ^ key[i & 3] for i, x in enumerate(octets[at : at + size]))
        at += size
        if kind >= 8:
            if kind == 8 or at > len(octets):
                break
            continue
        if kind:
            opcode, parts = kind, b""
        parts += payload
        if at > len(octets):
            break
        if opcode == 1:
            try:
                parts.decode()
            except UnicodeDecodeError as error:
                if final or error.reason != "unexpected end of data":
                    break
        if final:
            found.append(parts.decode() if opcode == 1 else parts)
            parts = None
    return found
