"""Header compression seen from the connection: RFC 7541, RFC 9113 section 4.3.

The codec itself is covered in `tests/engine/test_hpack.py`; here is what a connection makes of it.
"""

import hpack
import pytest

from tests.support import frames as f
from tests.support.peer import GET, OK, of

BAD_BLOCKS = {
    "7541-2.3.3-1": "be",  # index 62 of an empty table
    "7541-6.1-1": "80",  # index 0
    "7541-4.2-1": "3fe21f",  # a table of 4097
    "7541-4.2-2": "8220",  # a size update behind a field
    "7541-4.2-5": "202020",
    "7541-5.1-2": "ffffffffffffffffff7f",
    "7541-5.1-3": "820161",  # cut within a string
    "7541-5.2-1": "000161820fff",  # padding of more than 7 bits
    "7541-5.2-2": "00016184ffffffff",  # EOS
}


def opening(peer, block, **options):
    """HEADERS with this block where the engine awaits HEADERS: a request, or a response to one."""
    if peer.role == "client":
        stream_id = peer.conn.request(GET)
        peer.sent()
        return f.headers(stream_id, block, **options)
    return f.headers(peer.new_id(), block, **options)


@pytest.mark.parametrize(
    "block",
    [pytest.param(block, marks=pytest.mark.row(row)) for row, block in BAD_BLOCKS.items()],
    ids=BAD_BLOCKS,
)
def test_a_block_that_cannot_be_decoded_is_a_connection_error(either, block):
    peer = either()
    peer.feed(opening(peer, bytes.fromhex(block)))
    peer.expect_connection_error(f.COMPRESSION_ERROR)


@pytest.mark.row("7541-5.1-3")
def test_a_block_cut_by_continuations_is_one_block(either):
    peer = either()
    block = peer.block(GET if peer.role == "server" else OK)
    whole = opening(peer, block[:1], end_stream=True, end_headers=False)
    stream_id = int.from_bytes(whole[5:9], "big")
    pieces = [f.continuation(stream_id, block[i : i + 4], False) for i in range(1, len(block), 4)]
    came = peer.feed(whole, *pieces[:6], f.continuation(stream_id, block[1 + 4 * 6 :]))
    assert of(came, "Requested" if peer.role == "server" else "Responded")


@pytest.mark.row("7541-4.2-4")
@pytest.mark.row("7541-4.2-6")
def test_our_smaller_table_is_in_force_with_the_acknowledgment(server):
    peer = server(settings={"header_table_size": 100}, handshake=False)
    get = bytes.fromhex("828784410161")  # GET https / of a
    # Before the acknowledgment the table may still have its first size.
    peer.feed(f.MAGIC, f.settings(), f.headers(1, bytes.fromhex("3fe11f") + get, True))
    assert len(of(peer.events, "Requested")) == 1
    peer.feed(f.settings_ack(), f.headers(3, bytes.fromhex("3f45") + get, True))
    assert len(of(peer.events, "Requested")) == 2
    peer.feed(f.headers(5, get, True))
    assert len(of(peer.events, "Requested")) == 3
    peer.feed(f.headers(7, bytes.fromhex("3f46") + get, True))
    peer.expect_connection_error(f.COMPRESSION_ERROR)


@pytest.mark.row("7541-4.2-4")
def test_after_the_acknowledgment_of_a_smaller_table_the_block_must_say_so(server):
    peer = server(settings={"header_table_size": 100})
    peer.feed(f.headers(1, bytes.fromhex("828784410161"), True))
    peer.expect_connection_error(f.COMPRESSION_ERROR)


@pytest.mark.row("7541-4.2-6")
def test_a_larger_table_may_be_used_before_its_acknowledgment_arrives(server):
    peer = server(settings={"header_table_size": 8192}, handshake=False)
    block = bytes.fromhex("3fe13f828784410161")
    peer.feed(f.MAGIC, f.settings(), f.headers(1, block, True))
    assert len(of(peer.events, "Requested")) == 1


@pytest.mark.row("7541-4.2-3")
@pytest.mark.row("7541-7.3-1")
@pytest.mark.row("SEC-3-2")
@pytest.mark.parametrize(
    "sizes, update",
    [([0, 4096], "203fe11f"), ([100], "3f45"), ([0xFFFFFFFF], "3fe11f"), ([4096], "")],
)
def test_the_peers_table_size_is_answered_in_the_next_block(server, sizes, update):
    peer = server()
    peer.feed(*[f.settings((f.HEADER_TABLE_SIZE, size)) for size in sizes])
    stream_id = peer.get()
    peer.conn.respond(stream_id, [(":status", "200"), ("x", "y")], end_stream=True)
    answer = [frame for frame in peer.sent() if frame.kind == f.HEADERS]
    assert answer[0].content.hex().startswith(update + "88")
    assert answer[0].fields == [(b":status", b"200"), (b"x", b"y")]


@pytest.mark.row("7541-x-1")
@pytest.mark.row("9113-8.2.1-5")
@pytest.mark.parametrize(
    "bad",
    [("x", "a\r\nb: c"), ("a b", "c"), ("connection", "close"), ("x", None), (":status", "1")],
)
def test_a_refused_list_leaves_the_compression_as_it_was(server, bad):
    peer = server()
    stream_id = peer.get()
    with pytest.raises((ValueError, TypeError)):
        peer.conn.respond(stream_id, [(":status", "200"), ("first", "1"), bad], end_stream=True)
    assert peer.sent() == []
    peer.conn.respond(stream_id, [(":status", "200"), ("second", "2")], end_stream=True)
    assert peer.sent()[0].fields == [(b":status", b"200"), (b"second", b"2")]
    assert peer.expect_alive()


@pytest.mark.row("7541-x-2")
@pytest.mark.row("SEC-3-1")
def test_a_bomb_ends_the_connection(either):
    peer = either()
    value = b"x" * 4000
    length = bytes(hpack.hpack.encode_integer(len(value), 7))
    fields = peer.block(GET if peer.role == "server" else OK)
    peer.feed(
        opening(peer, fields + b"\x40\x01a" + length + value + b"\xbe" * 10000),
        delivery="whole",
    )
    peer.expect_connection_error(f.ENHANCE_YOUR_CALM)


@pytest.mark.row("SEC-3-1")
@pytest.mark.row("9113-10.5.1-1")
def test_a_list_beyond_the_limit_is_answered_431_and_the_table_goes_on(make):
    peer = make("server", settings={"max_header_list_size": 1000})
    peer.feed(peer.headers(1, [*GET, ("a", "x" * 500), ("b", "y" * 500)], True))
    answer = peer.sent()
    assert [frame.get(":status") for frame in answer if frame.kind == f.HEADERS] == ["431"]
    assert not of(peer.events, "Requested")
    peer.feed(peer.headers(3, [*GET, ("b", "y" * 500)], True))  # an index into the table
    assert of(peer.events, "Requested")[0].headers == [(b"b", b"y" * 500)]


@pytest.mark.row("7541-6.2.3-1")
@pytest.mark.row("7541-7.1.3-1")
def test_never_indexed_fields_stay_so_when_passed_on(server, client):
    inbound, outbound = server(), client()
    secret = hpack.NeverIndexedHeaderTuple(b"x-secret", b"hunter2")
    inbound.feed(inbound.headers(1, [*GET, secret, ("cookie", "a=1")], True))
    request = of(inbound.events, "Requested")[0]
    outbound.conn.request([*GET, *request.headers])
    block = next(frame for frame in outbound.sent() if frame.kind == f.HEADERS).content
    fields = hpack.Decoder().decode(block, raw=True)
    kept = {bytes(field[0]) for field in fields if not field.indexable}
    assert kept == {b"x-secret", b"cookie"}
