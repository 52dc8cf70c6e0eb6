"""Heads of the PROXY protocol, octet by octet: what they name, and that nothing beyond is read."""

import ipaddress
import random

import pytest

from h2ws_fast.aio.server.introduction import MAX_HEAD, MAX_LINE, SIGNATURE, Introduction


def binary(family, block, *, command=0x21, size=None):
    """A head of version 2."""
    size = len(block) if size is None else size
    return SIGNATURE + bytes((command, family)) + size.to_bytes(2, "big") + block


def addresses(source, target, port):
    packed = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    return packed + port.to_bytes(2, "big") + (443).to_bytes(2, "big")


V4 = addresses("192.0.2.1", "192.0.2.2", 4711)
V6 = addresses("2001:db8::1", "2001:db8::2", 65535)
TLV = b"\x04\x00\x03abc" + b"\xe0\x00\x00"
UNIX = bytes(216)

WHOLE = {
    b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n": ("192.0.2.1", 4711),
    b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n": ("255.255.255.255", 65535),
    b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n": ("0.0.0.0", 0),
    b"PROXY TCP6 2001:db8::1 ::1 4711 443\r\n": ("2001:db8::1", 4711),
    b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n": ("::ffff:c000:201", 1),
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff:f:f whatever else 1 2 3\r\n": None,
    b"PROXY UNKNOWN" + b" " * (MAX_LINE - 15) + b"\r\n": None,
    binary(0x11, V4): ("192.0.2.1", 4711),
    binary(0x11, V4 + TLV): ("192.0.2.1", 4711),
    binary(0x21, V6): ("2001:db8::1", 65535),
    binary(0x21, V6 + TLV * 400): ("2001:db8::1", 65535),
    binary(0x11, V4 + bytes(MAX_HEAD - 16 - len(V4))): ("192.0.2.1", 4711),
    binary(0x00, b""): None,
    binary(0x00, TLV): None,
    binary(0x12, V4): None,  # datagrams
    binary(0x31, UNIX): None,
    binary(0x00, b"", command=0x20): None,
    binary(0xFF, b"whatever", command=0x20): None,
}

BROKEN = [
    b"GET / HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n",
    b"\x16\x03\x01\x02\x00",
    b"proxy TCP4 192.0.2.1 192.0.2.2 4711 443\r\n",
    b"PROXY  TCP4 192.0.2.1 192.0.2.2 4711 443\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443 \r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 4711\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 65536\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 04711 443\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 443\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 \xb2\r\n",
    b"PROXY TCP4 192.0.2.256 192.0.2.2 4711 443\r\n",
    b"PROXY TCP4 192.0.2.01 192.0.2.2 4711 443\r\n",
    b"PROXY TCP4 2001:db8::1 192.0.2.2 4711 443\r\n",
    b"PROXY TCP6 192.0.2.1 ::1 4711 443\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 4711 443\r\n",
    b"PROXY TCP6 2001:db8::1 ::g 4711 443\r\n",
    b"PROXY UDP4 192.0.2.1 192.0.2.2 4711 443\r\n",
    b"PROXY UNKNOWNS\r\n\r\n",
    b"PROXY UNKNOWN" + b" " * (MAX_LINE - 14) + b"\r\n",
    b"PROXY TCP4 " + b"1" * 200,
    SIGNATURE[:-1] + b"\r" + bytes(4),
    binary(0x11, V4, command=0x22),
    binary(0x11, V4, command=0x11),
    binary(0x41, V4),
    binary(0x13, V4),
    binary(0x11, V4[:-1]),
    binary(0x21, V6[:-1]),
    binary(0x21, V4),
    binary(0x11, V4, size=MAX_HEAD),
    binary(0x11, V4, size=65535),
]


def read(octets, rng=None):
    """Give octets as they are wanted, or fewer of them; return the reader and how many it took."""
    reader = Introduction()
    at = 0
    while reader.wanted and at < len(octets):
        n = reader.wanted if rng is None else rng.randint(1, reader.wanted)
        piece = octets[at : at + n]
        at += len(piece)
        reader.receive(piece)
    return reader, at


@pytest.mark.parametrize("head", WHOLE, ids=range(len(WHOLE)))
def test_what_a_head_names(head):
    for behind in (b"", b"PRI * HTTP/2.0", b"\r\n\r\n" * 9):
        reader, taken = read(head + behind)
        assert (reader.source, reader.wanted, taken) == (WHOLE[head], 0, len(head))


@pytest.mark.parametrize("head", WHOLE, ids=range(len(WHOLE)))
def test_in_any_split(head):
    for seed in range(20):
        reader, taken = read(head + b"more", random.Random(seed))
        assert (reader.source, reader.wanted, taken) == (WHOLE[head], 0, len(head))
    reader = Introduction()
    for octet in head:
        assert reader.wanted
        reader.receive(bytes((octet,)))
    assert reader.source == WHOLE[head] and reader.wanted == 0


@pytest.mark.parametrize("head", WHOLE, ids=range(len(WHOLE)))
def test_a_part_is_not_whole(head):
    for end in range(len(head)):
        reader, taken = read(head[:end])
        assert reader.wanted and taken == end and reader.source is None


@pytest.mark.parametrize("octets", BROKEN, ids=range(len(BROKEN)))
def test_what_is_none_is_refused(octets):
    for rng in (None, *map(random.Random, range(5))):
        with pytest.raises(ValueError, match="PROXY"):
            read(octets + b"x" * 300, rng)


def test_octets_that_nobody_foresaw():
    """Any octets are a head, are refused, or are not whole: and no head reads beyond itself."""
    rng = random.Random(7)
    heads = list(WHOLE) + BROKEN
    outcomes = set()
    for _ in range(4000):
        octets = bytearray(rng.choice(heads))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(octets))
            kind = rng.randrange(3)
            if kind == 0:
                octets[at] = rng.randrange(256)
            elif kind == 1:
                octets.insert(at, rng.choice(b" \r\n0:.%\xff"))
            elif len(octets) > 1:
                del octets[at]
        try:
            reader, taken = read(bytes(octets), rng)
        except ValueError:
            outcomes.add("refused")
            continue
        assert taken <= MAX_HEAD
        outcomes.add("whole" if reader.wanted == 0 else "part")
        if reader.source is not None:
            host, port = reader.source
            ipaddress.ip_address(host)
            assert 0 <= port <= 65535
    assert outcomes == {"refused", "whole", "part"}
