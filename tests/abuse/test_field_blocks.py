"""Field blocks: CONTINUATION floods, header lists, bombs of header compression, slow parsers."""

import pytest

from tests.support import frames as f

row = pytest.mark.row

CALM = f.ENHANCE_YOUR_CALM
MIB = 2**20


def literal(name, value, first=0x00):
    """A field without Huffman code; `first` 0x40 lets it enter the table."""
    return bytes((first,)) + string(name) + string(value)


def string(octets, huffman=False):
    n, flag = len(octets), 0x80 if huffman else 0
    if n < 127:
        return bytes((flag | n,)) + octets
    head = bytes((flag | 127,))
    n -= 127
    while n >= 128:
        head += bytes((n & 127 | 128,))
        n >>= 7
    return head + bytes((n,)) + octets


def said(stream_id, block, end_stream=True):
    """HEADERS and CONTINUATIONs of 16 KiB."""
    pieces = [block[at : at + 16384] for at in range(0, len(block), 16384)]
    frames = [f.headers(stream_id, pieces[0], end_stream, end_headers=len(pieces) == 1)]
    for number, piece in enumerate(pieces[1:], 2):
        frames.append(f.continuation(stream_id, piece, end_headers=number == len(pieces)))
    return b"".join(frames)


# -- CONTINUATION: CVE-2024-27316, 28182, 27983, 2023-45288 ----------------------------------------


@row("SEC-2-1")
def test_continuations_by_number(target, siege):
    """Small ones, without end. Eight are as many as any list within the limit needs."""
    with siege(target, "max_continuations", memory=MIB), target.attack() as attacker:
        attacker.send(f.headers(1, b"\x82", True, end_headers=False))
        attacker.send(f.continuation(1, literal(b"a", b"b"), end_headers=False) * 100_000)
        attacker.read_to_the_end()
        assert attacker.end == (CALM, "too many CONTINUATION frames")


@row("SEC-2-1")
@pytest.mark.parametrize("octet", [b"\x00", b"\xff"], ids=["literal", "huffman"])
def test_continuations_by_octets(target, siege, octet):
    """10 000 of 16 KiB: nothing is decoded, and what is kept stays below a mebibyte."""
    with siege(target, "max_continuations", memory=MIB), target.attack() as attacker:
        attacker.send(f.headers(1, b"\x82", True, end_headers=False))
        frame = f.continuation(1, octet * 16384, end_headers=False)
        for _ in range(100):
            if not attacker.send(frame * 100):
                break
        attacker.read_to_the_end()
        assert attacker.end == (CALM, "too many CONTINUATION frames")


@row("SEC-2-1")
def test_continuations_by_octets_alone(siege):
    """Where their number is not limited, the octets are."""
    from tests.support.target import Target

    with Target(limits={"max_continuations": 1_000_000}) as target:
        with siege(target, "max_header_list_size", memory=2 * MIB), target.attack() as attacker:
            attacker.send(f.headers(1, b"\x82", True, end_headers=False))
            frame = f.continuation(1, bytes(16384), end_headers=False)
            for _ in range(100):
                if not attacker.send(frame * 100):
                    break
            attacker.read_to_the_end()
            assert attacker.end == (CALM, "field block is too large")


@row("SEC-1-9", "SEC-2-1")
def test_empty_continuations(siege):
    from tests.support.target import Target

    with Target(limits={"max_continuations": 1_000_000}) as target:
        with siege(target, "max_empty_frames"), target.attack() as attacker:
            attacker.send(f.headers(1, b"\x82", True, end_headers=False))
            attacker.send(f.continuation(1, b"", end_headers=False) * 100_000)
            attacker.read_to_the_end()
            assert attacker.end == (CALM, "limit reached: max_empty_frames")


# -- header lists --------------------------------------------------------------------------------


@row("SEC-3-1")
def test_bomb(target, siege):
    """CVE-2016-6581: 16 000 references to a value of 4 KB, which make 64 MB of 16 KB."""
    with siege(target, "max_header_list_size", memory=MIB), target.attack() as attacker:
        value = literal(b"x-big", b"v" * 4000, 0x40)
        attacker.send(said(1, attacker.block(attacker.fields()) + value))
        assert attacker.read_until(lambda: attacker.statuses["200"])
        # The bomb's field stands first in the table.
        attacker.send(said(3, b"\xbe" * 16_000))
        attacker.read_to_the_end()
        assert attacker.end == (CALM, "header list beyond twice the limit")


@row("SEC-3-1")
def test_bombs_that_are_held(target, siege):
    """A thousand open requests, each of which would hold a list of 60 KB for 16 octets: of one
    cookie in the end, which is not the table's. So many as 16 MiB are, with their handlers: all of
    them would take 76 MiB."""
    with (
        siege(target, "max_held_headers", memory=40 * MIB, cpu=1.5),
        target.attack() as attacker,
    ):
        fields = attacker.fields("CONNECT", "/asleep", ("sec-websocket-version", "13"))
        fields.insert(1, (":protocol", "websocket"))
        head = b"".join(literal(name.encode(), value.encode()) for name, value in fields)
        attacker.send(said(1, head + literal(b"cookie", b"v" * 4000, 0x40), end_stream=False))
        for i in range(3, 1503, 2):
            attacker.send(said(i, head + b"\xbe" * 15, end_stream=False))
        assert attacker.read_until(lambda: sum(attacker.resets.values()) >= 400, 20)
        assert set(attacker.resets) == {f.REFUSED_STREAM}
        assert attacker.goaway is None


@row("SEC-3-1")
def test_many_bombs_below_twice_the_limit(target, siege):
    """Each is answered 431: no connection error, no memory, no more time than reading them."""
    with (
        siege(target, "max_header_list_size", memory=2 * MIB, cpu=1.0),
        target.attack() as attacker,
    ):
        value = literal(b"x-big", b"v" * 4000, 0x40)
        attacker.send(said(1, attacker.block(attacker.fields()) + value))
        assert attacker.read_until(lambda: attacker.statuses["200"])
        for i in range(3, 2003, 2):
            attacker.send(said(i, b"\xbe" * 25))
        assert attacker.read_until(lambda: attacker.statuses["431"] >= 1000)
        assert attacker.goaway is None
        # And the connection goes on.
        attacker.send(f.headers(2003, b"\x82\x84\x86" + literal(b":authority", b"x"), True))
        assert attacker.read_until(lambda: attacker.statuses["200"] == 2)


@row("SEC-3-1")
def test_huffman_bomb(target, siege):
    """Five bits a character: as much text as possible from few octets."""
    with siege(target, "max_header_list_size", memory=2 * MIB), target.attack() as attacker:
        head = attacker.block(attacker.fields())
        zeros = b"\x00\x03x-a" + string(bytes(130_000), huffman=True)
        attacker.send(said(1, head + zeros))
        attacker.read_to_the_end()
        assert attacker.end[0] == CALM


@row("SEC-1-10")
def test_empty_names(target, siege):
    """CVE-2019-9516: a field of nothing costs 32 octets and is malformed."""
    with siege(target, "max_header_list_size", memory=2 * MIB), target.attack() as attacker:
        head = attacker.block(attacker.fields())
        attacker.send(said(1, head + literal(b"", b"") * 10))
        assert attacker.read_until(lambda: attacker.resets[f.PROTOCOL_ERROR])
        head = attacker.block(attacker.fields())
        attacker.send(said(3, head + literal(b"", b"") * 200))
        assert attacker.read_until(lambda: attacker.statuses["431"])
        head = attacker.block(attacker.fields())
        attacker.send(said(5, head + literal(b"", b"") * 10_000))
        attacker.read_to_the_end()
        assert attacker.end == (CALM, "header list beyond twice the limit")


def test_many_fields(target, siege):
    """128 are allowed; to twice that it is a 431."""
    with siege(target, "max_header_list_size"), target.attack() as attacker:
        for stream_id, count, status in ((1, 124, "200"), (3, 125, "431"), (5, 252, "431")):
            head = attacker.block(attacker.fields())
            attacker.send(said(stream_id, head + literal(b"a", b"b") * count))
            assert attacker.read_until(lambda n=stream_id // 2 + 1: attacker.ended_streams == n)
            assert attacker.statuses[status], (count, attacker.statuses)
        head = attacker.block(attacker.fields())
        attacker.send(said(7, head + literal(b"a", b"b") * 253))
        attacker.read_to_the_end()
        assert attacker.end == (CALM, "header list beyond twice the limit")


@row("SEC-3-2")
def test_a_table_of_four_gigabytes(target, siege):
    """The peer offers one; our encoder takes no more of it than it needs."""
    with (
        # A thousand requests and their tasks, and not one of 4 GiB.
        siege(target, memory=8 * MIB, cpu=1.0),
        target.attack((f.HEADER_TABLE_SIZE, 2**32 - 1)) as attacker,
    ):
        for i in range(1, 2001, 2):
            attacker.send(attacker.request(i, path="/"))
        assert attacker.read_until(lambda: attacker.statuses["200"] == 1000)
        assert attacker.goaway is None


def test_table_size_updates(target, siege):
    """A table that is resized in each block, and filled again."""
    with siege(target, memory=4 * MIB, cpu=1.0), target.attack() as attacker:
        shrink, grow = b"\x20", b"\x3f\xe1\x1f"
        for i in range(1, 2001, 2):
            fields = literal(b"x-a", b"y" * 1000, 0x40) * 3
            attacker.encoder = type(attacker.encoder)()
            head = attacker.block(attacker.fields())
            attacker.send(said(i, shrink + grow + head + fields))
        assert attacker.read_until(lambda: attacker.statuses["200"] == 1000)
        assert attacker.goaway is None


# -- handshake fields: CVE-2021-32640, CVE-2024-37890 ------------------------------------------------

LONG = {
    "extensions": ("sec-websocket-extensions", "a;" * 30_000),
    "parameters": ("sec-websocket-extensions", "a" + ";b=c" * 15_000),
    "spaces": ("sec-websocket-extensions", "a" + " " * 60_000 + "b"),
    "quotes": ("sec-websocket-extensions", 'a;b="' + '\\"' * 30_000),
    "protocols": ("sec-websocket-protocol", "a," * 30_000),
    "distinct-protocols": ("sec-websocket-protocol", ",".join(map(str, range(11_000)))),
    "protocol-spaces": ("sec-websocket-protocol", "a" + " \t" * 30_000 + "b"),
    "key": ("sec-websocket-key", "=" * 60_000),
    "version": ("sec-websocket-version", "1" * 60_000),
    "origin": ("origin", "http://" + "a." * 30_000),
    "cookie": ("cookie", "a=b; " * 12_000 + "a=b"),
}


@row("SEC-5-5")
@pytest.mark.parametrize("name", LONG)
def test_long_handshake_fields(target, siege, name):
    """Parsed in linear time: fifty of 60 KB take what a few ordinary ones take."""
    with siege(target, memory=8 * MIB, cpu=1.0), target.attack() as attacker:
        for i in range(1, 101, 2):
            block = attacker.block([(":method", "CONNECT"), (":protocol", "websocket")])
            block += attacker.block(attacker.fields()[1:])
            if name != "version":
                block += attacker.block([("sec-websocket-version", "13")])
            key, value = LONG[name]
            attacker.send(said(i, block + literal(key.encode(), value.encode()), False))
        assert attacker.read_until(lambda: sum(attacker.statuses.values()) == 50)
        assert attacker.goaway is None
