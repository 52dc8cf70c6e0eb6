"""What a connection remembers of its last request must never show."""

import importlib
import random

import pytest

from tests.support import frames as f
from tests.support.peer import BYTESTREAM, GET, errors

VARIANTS = (
    [*BYTESTREAM, ("x-secret", "abc")],
    BYTESTREAM,
    [*BYTESTREAM, ("priority", "u=1")],
    [(":method", "CONNECT"), (":protocol", "ByteStream"), *GET[1:]],
    [(name.encode(), value.encode()) for name, value in BYTESTREAM],
    GET,
    [*GET, ("Host", "example.com"), ("x-new", "1")],
    [(":method", "HEAD"), *GET[1:]],
)


def as_lists(fields):
    """The same fields in a form that may change any time, so that nothing is remembered of it."""
    return [list(field) for field in fields]


@pytest.mark.parametrize("seed", range(10))
def test_a_request_leaves_in_the_same_octets_whether_it_is_remembered(make, seed):
    draw = random.Random(seed)
    one, other = make("client"), make("client")
    fields = VARIANTS[0]
    for turn in range(60):
        if draw.random() < 0.4:
            fields = draw.choice(VARIANTS)
        if draw.random() < 0.1:
            size = f.settings((f.HEADER_TABLE_SIZE, draw.choice((0, 100, 4096))))
            one.feed(size), other.feed(size)
        if draw.random() < 0.1:
            fresh = [*GET, ("x-turn", str(turn))]  # goes into the table: all indices move
            assert one.conn.request(as_lists(fresh)) == other.conn.request(as_lists(fresh))
        ends = fields[0][1] in ("GET", "HEAD")
        again = [tuple(field) for field in fields] if draw.random() < 0.5 else fields
        opened = one.conn.request(again, ends)
        assert opened == other.conn.request(as_lists(fields), ends)
        assert one.conn.priority(opened) == other.conn.priority(opened)
        octets = b"".join(bytes(each) for each in one.conn.data_to_send())
        assert octets == b"".join(bytes(each) for each in other.conn.data_to_send())
        for peer in (one, other):
            peer.conn.reset(opened)
    assert one.conn.stats() == other.conn.stats()


def test_a_secret_stays_one_where_the_same_was_none_before(twin, make):
    sensitive = importlib.import_module(".fields", twin.__name__).Sensitive
    peer = make("client", peer_settings=((f.ENABLE_CONNECT_PROTOCOL, 1), (f.HEADER_TABLE_SIZE, 0)))
    open_fields = [*GET, ("x-secret", "abc")]
    secret_fields = [*GET, sensitive(("x-secret", "abc"))]
    heads = []
    for fields in (open_fields, open_fields, secret_fields, open_fields):
        peer.conn.request(fields)
        heads.append(b"".join(bytes(each) for each in peer.conn.data_to_send())[9:])
    name = heads[1].index(b"\x00\x86")  # a literal that is not indexed, a name of Huffman code
    assert heads[2] == heads[1][:name] + b"\x10" + heads[1][name + 1 :]
    assert heads[3] == heads[1]


def test_a_list_that_was_changed_is_another_request(make):
    peer = make("client")
    fields = list(GET)
    for change in (
        lambda: None,
        lambda: None,
        lambda: fields.__setitem__(3, (":path", "/other")),
        lambda: fields.append(("x-more", "1")),
        lambda: fields.append(("x-more", b"2")),
        lambda: fields.__setitem__(5, ("x-more", "2")),
        lambda: fields.__setitem__(4, ["x-more", "3"]),
        lambda: fields.pop(),
    ):
        change()
        peer.conn.request(fields)
        head = peer.sent()[-1]
        told = [value.decode() if isinstance(value, bytes) else value for _, value in fields]
        assert [value.decode() for _, value in head.fields] == told


def test_what_makes_a_websocket_octets_is_remembered_with_the_request(make):
    peer = make("client")
    fields = [(":method", "CONNECT"), (":protocol", "websocket"), *GET[1:]]
    fields.append(("sec-websocket-version", "13"))
    opened = [peer.conn.request(fields, False, octets=octets) for octets in (False, True, False)]
    peer.sent()
    peer.feed(*(peer.headers(stream_id, [(":status", "200")]) for stream_id in opened))
    plain = errors(peer.twin).LocalProtocolError
    peer.conn.send_message(opened[0], b"1")
    with pytest.raises(plain):
        peer.conn.send_message(opened[1], b"1")
    peer.conn.send_data(opened[1], b"1")
    peer.conn.send_message(opened[2], b"1")


def test_a_remembered_request_is_held_to_what_the_peer_accepts_now(make):
    peer = make("client")
    fields = [*GET, ("x-long", "a" * 200)]
    for _ in range(3):
        peer.conn.request(fields)
    peer.feed(f.settings((f.MAX_HEADER_LIST_SIZE, 300)))
    with pytest.raises(errors(peer.twin).LocalProtocolError, match="accepts 300"):
        peer.conn.request(fields)
    peer.conn.request(GET)
