"""Upgrade in HTTP/2 as its dialect has it: what the engine makes of field lists, and a connection of it.

An input is two octets of choices and then lines, each the name and value of a field: a list that a peer
sends. Where that is a request in the dialect, a reader of its own says so, and says what it asks for.
"""

import importlib
import random
import re

from tests.support import frames as f
from tests.support.peer import errors

from .octets import drive, same, settled
from .play import same_keys

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
OWN = b"h2ws-upgrade"
SPOKEN = (f.settings((f.ENABLE_CONNECT_PROTOCOL, 1), (0xFB01, 1)), f.settings_ack())


def lines(data):
    """The list of fields that an input says."""
    pairs = [line.partition(b"=") for line in data.split(b"\n")[:40]]
    return [(name, value) for name, _, value in pairs if name]


def model(fields):
    """What a request in the dialect asks for: (token, method, octets of body, names); None: it is none.

    `:upgrade` once, among the pseudo-fields, without `:protocol` and 101; up to eight names behind its
    token; a method that is a token and not CONNECT; a length of digits, or none.
    """
    fields = [field for field in fields if field[0] != OWN]
    names = [name for name, _ in fields]
    if names.count(b":upgrade") != 1 or b":protocol" in names or (b":status", b"101") in fields:
        return None
    at = names.index(b":upgrade")
    if not all(name.startswith(b":") for name in names[:at]):
        return None
    token, *options = [part.strip() for part in fields[at][1].split(b";")]
    last = dict(fields)
    method = last.get(b":method", b"")
    length = last.get(b"content-length", b"0")
    if len(options) > 8 or not all(map(TOKEN.fullmatch, options)):
        return None
    if not TOKEN.fullmatch(method) or method == b"CONNECT":
        return None
    if not re.fullmatch(rb"[0-9]{1,18}", length):
        return None
    return token, method, length, options


def rewritten(twin, fields):
    """What becomes of the list, with every claim looked at; and what goes on the wire again."""
    dialect = importlib.import_module(".dialect", twin.__name__)
    silent, spoken = dialect.Dialect(), dialect.Dialect()
    spoken.heard(dialect.DIALECT_ID, 1)
    plain = [field for field in fields if field[0] != OWN]
    assert silent.read(fields) == plain
    read = spoken.read(fields)
    asked = model(fields)
    told = [value for name, value in read if name == OWN]
    if asked is None:
        # It is a 101, or for the engine to refuse: `:upgrade` is still there then.
        assert read == plain or (b":status", b"101") in plain
        assert len(told) == (read != plain)
        return read
    token, method, length, options = asked
    assert told == [b"; ".join([method, length, *options])]
    assert (b":method", b"CONNECT") in read and (b":protocol", token) in read
    assert silent.written(read) == [field for field in read if field[0] != OWN]
    if b":status" in dict(read):
        return read  # nobody writes that
    again = spoken.written(read)
    assert model(again)[1:] == asked[1:] and model(again)[0] == token.strip(), (again, asked)
    return again


def run(twin, data):
    """The list by itself, and as what a peer sends, whole and in pieces."""
    if len(data) < 2:
        return []
    how, seed = data[0], data[1]
    fields = lines(data[2:])
    seen = [rewritten(twin, fields)]
    dialect = importlib.import_module(".dialect", twin.__name__)
    block = b"".join(literal(name, value) for name, value in fields)
    client = how & 1
    outcomes = []
    for cuts in (None, random.Random(seed)):
        with same_keys(seed):
            conn = twin.Connection(
                twin.Role.CLIENT if client else twin.Role.SERVER,
                dialect.DialectSettings(initial_window_size=2**24, connection_window=2**26),
                auto_credit=how & 2 != 0,
            )
            conn.receive_data((b"" if client else f.MAGIC) + b"".join(SPOKEN))
            assert conn.speaks_dialect
            allowed = (errors(twin).H2WSError, ValueError, TypeError)
            if client:
                ask(conn, dialect, how)
            octets = f.headers(1, block, how & 16 != 0) + f.data(
                1, b"body and tunnel", how & 32 != 0
            )
            taking = Taking(conn, dialect, allowed)
            outcomes.append(drive(taking, octets, allowed, cuts))
            settled(conn)
    same(*outcomes)
    return [*seen, outcomes[0]]


def ask(conn, dialect, how):
    """Ask for an upgrade, with a body or without."""
    upgrade = dialect.Upgrade("POST" if how & 4 else "GET", how & 4, ("x-a",) if how & 8 else ())
    head = [(":method", "CONNECT"), (":protocol", "foo"), (":scheme", "http")]
    stream_id = conn.request(
        [*head, (":authority", "a"), (":path", "/"), ("x-a", "1"), upgrade.field()], False
    )
    if upgrade.body:
        conn.send_data(stream_id, b"body")
    while conn.data_to_send():
        pass


class Taking:
    """A connection whose application takes the body of each request in the dialect before it answers."""

    def __init__(self, conn, dialect, allowed):
        self.conn = conn
        self.dialect = dialect
        self.allowed = allowed

    def __getattr__(self, name):
        return getattr(self.conn, name)

    def receive_data(self, octets):
        return self.taken(self.conn.receive_data(octets))

    def events(self):
        return self.taken(self.conn.events())

    def taken(self, events):
        for event in events:
            upgrade = None
            if type(event).__name__ == "Requested":
                upgrade = self.dialect.Upgrade.read(event.headers)
            if upgrade is not None:
                assert event.protocol is not None and event.method == "CONNECT"
                try:
                    self.conn.take_first(event.stream_id, upgrade.body)
                except self.allowed:
                    continue  # it was reset in the same read
        return events


def literal(name, value):
    """A field as HPACK has it without tables and Huffman's code: RFC 7541 section 6.2.2."""
    return b"\0" + number(len(name)) + name + number(len(value)) + value


def number(n):
    """An integer with a prefix of seven bits: RFC 7541 section 5.1."""
    if n < 127:
        return bytes((n,))
    n -= 127
    out = [127]
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])
