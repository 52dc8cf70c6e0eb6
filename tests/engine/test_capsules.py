"""Capsules and HTTP Datagrams at the octets: RFC 9297 section 3, RFC 9298 sections 4 and 5."""

import itertools
import random
import tracemalloc

import pytest

from tests.support import twins

row = pytest.mark.row


@pytest.fixture(scope="session")
def capsules(twin):
    return twins.of(twin, "capsules")


def udp(module, **options):
    """A reader of UDP packets."""
    return module.CapsuleReader(contexts=True, **options)


def octet_by_octet(reader, octets):
    return [each for octet in octets for each in reader.receive(bytes((octet,)))]


# -- varints -------------------------------------------------------------------------------------


@row("9297-v-1")
@pytest.mark.parametrize(
    ("octets", "number"),
    [
        ("c2197c5eff14e88c", 151288809941952652),
        ("9d7f3e7d", 494878333),
        ("7bbd", 15293),
        ("25", 37),
    ],
)
def test_varints_are_written_in_the_shortest_form_and_read(capsules, octets, number):
    octets = bytes.fromhex(octets)
    assert capsules.varint(number) == octets
    if number > 0:
        reader = capsules.CapsuleReader(types=[number])
        capsule = octets + b"\x02hi"
        assert reader.receive(capsule) == [(number, b"hi")]
        assert octet_by_octet(capsules.CapsuleReader(types=[number]), capsule) == [(number, b"hi")]


@row("9297-v-1")
def test_the_ends_of_each_form(capsules):
    sizes = {0: 1, 63: 1, 64: 2, 16383: 2, 16384: 4, 2**30 - 1: 4, 2**30: 8, 2**62 - 1: 8}
    for number, size in sizes.items():
        octets = capsules.varint(number)
        assert len(octets) == size == 1 << (octets[0] >> 6)
        assert int.from_bytes(octets, "big") & ((1 << size * 8 - 2) - 1) == number
    for number in (-1, 2**62):
        with pytest.raises(ValueError, match="varint"):
            capsules.varint(number)


@row("9297-v-1")
def test_longer_forms_are_read(capsules):
    # Type 0 in two octets, length 3 in four, context 0 in two: `40 25` is 37, too.
    assert udp(capsules).receive(b"\x40\x00\x80\x00\x00\x03\x40\x00x") == [b"x"]
    reader = capsules.CapsuleReader(types=[37])
    assert reader.receive(b"\x40\x25\x01y\x25\x01z") == [(37, b"y"), (37, b"z")]


# -- capsules ------------------------------------------------------------------------------------


@row("9297-3.5-1", "9298-5-1")
def test_datagrams_may_be_empty(capsules):
    reader = capsules.CapsuleReader()
    assert reader.receive(b"\x00\x00\x00\x05hello\x00\x00") == [b"", b"hello", b""]
    assert reader.finish() is None
    assert capsules.datagram(b"") == b"\x00\x00"
    assert udp(capsules).receive(b"\x00\x01\x00") == [b""]


@row("9298-5-1", "9298-x-1")
def test_a_udp_packet_at_the_octets(capsules):
    assert capsules.udp_datagram(b"hello") == bytes.fromhex("00060068656c6c6f")
    assert capsules.udp_datagram(b"") == bytes.fromhex("000100")
    for size in (62, 63, 64, 1200, 16382, 16383, 16384, 65507, 65527):
        packet = random.Random(size).randbytes(size)
        octets = capsules.udp_datagram(packet)
        assert octets == capsules.datagram(b"\x00" + packet)
        assert udp(capsules).receive(octets) == [packet]


@row("9297-3.2-1", "9298-x-1")
def test_any_cut_gives_the_same(capsules):
    rng = random.Random(9297)
    packets = [rng.randbytes(rng.choice((0, 1, 3, 61, 62, 63, 64, 300))) for _ in range(200)]
    stream = b"".join(
        capsules.udp_datagram(packet) + capsules.capsule(rng.choice((5, 0x17, 2**40)), b"-" * i)
        for i, packet in enumerate(packets)
    )
    assert udp(capsules).receive(stream) == packets
    assert octet_by_octet(udp(capsules), stream) == packets
    for _ in range(30):
        reader = udp(capsules)
        cuts = sorted(rng.randrange(len(stream)) for _ in range(rng.randrange(1, 60)))
        found = []
        for begin, end in itertools.pairwise([0, *cuts, len(stream)]):
            found += reader.receive(stream[begin:end])
        assert found == packets
        assert (reader.failure, reader.finish(), reader.unknown) == (None, None, 200)


@row("9297-3.2-2", "9297-3.2-3")
@pytest.mark.parametrize("kind", [1, 0x17, 0x40, 0x69, 0x29 * 10**9 + 0x17, 2**62 - 1])
def test_unknown_and_greased_types_are_passed_over(capsules, kind):
    reader = udp(capsules)
    octets = capsules.capsule(kind, b"whatever") + capsules.capsule(kind, b"")
    assert reader.receive(octets + capsules.udp_datagram(b"x")) == [b"x"]
    assert reader.unknown == 2
    assert reader.finish() is None


def peak(step):
    tracemalloc.start()
    try:
        step()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@row("9297-3.2-2", "9297-3.2-7", "9297-3.5-2")
@pytest.mark.measures
@pytest.mark.parametrize("kind", [0, 9])
def test_what_is_not_wanted_is_not_stored(capsules, kind):
    reader = capsules.CapsuleReader(max_size=1500)
    piece = bytes(65536)

    def step():
        assert reader.receive(capsules.varint(kind) + capsules.varint(64 * 2**20)) == []
        for _ in range(1024):
            assert reader.receive(piece) == []

    assert peak(step) < 20_000
    assert (reader.oversized, reader.unknown) == ((1, 0) if kind == 0 else (0, 1))
    assert reader.receive(capsules.datagram(b"next")) == [b"next"]


@row("9297-3.5-2")
@pytest.mark.measures
def test_a_value_says_more_than_it_brings(capsules):
    # A megabyte each of a thousand readers that get an octet of it: 64 KiB are believed.
    def step():
        readers = [capsules.CapsuleReader(max_size=2**20) for _ in range(1000)]
        for reader in readers:
            reader.receive(b"\x00" + capsules.varint(2**20) + b"x")

    assert peak(step) < 100_000_000


@row("9297-3.3-2")
def test_an_end_inside_a_capsule(capsules):
    stream = capsules.udp_datagram(bytes(100)) + capsules.capsule(2**20, b"some other")
    whole = {len(capsules.udp_datagram(bytes(100))), len(stream), 0}
    for cut in range(len(stream) + 1):
        reader = udp(capsules)
        reader.receive(stream[:cut])
        assert (reader.finish() is None) == (cut in whole), cut
        assert reader.failure == reader.finish()


@row("9297-3.3-1")
@pytest.mark.parametrize(
    "octets",
    [
        "0000",  # no context identifier at all
        "00 01 40",  # half of one
        "00 03 80 00 00",
        "00 07 c0 00 00 00 00 00 00",
    ],
)
def test_a_datagram_without_its_context(capsules, octets):
    octets = bytes.fromhex(octets)
    for cut in (False, True):
        reader = udp(capsules)
        assert (octet_by_octet(reader, octets) if cut else reader.receive(octets)) == []
        assert reader.failure == "a datagram without its context identifier"
        assert reader.error_code == 1
    # What came before is not lost, and what comes behind is ignored.
    reader = udp(capsules)
    good = capsules.udp_datagram(b"good")
    assert reader.receive(good + octets + good) == [b"good"]
    assert reader.receive(good) == []
    assert reader.finish() == reader.failure is not None


@row("9298-4-1")
def test_other_contexts_are_dropped(capsules):
    reader = udp(capsules)
    for context in (2, 3, 63, 64, 2**62 - 1):
        assert reader.receive(capsules.datagram(capsules.varint(context) + b"?")) == []
    assert reader.receive(capsules.datagram(b"\x02")) == []
    # However long: only a UDP packet has a limit.
    assert reader.receive(capsules.varint(0) + capsules.varint(100_001) + b"\x02") == []
    assert reader.receive(bytes(100_000)) == []
    assert reader.receive(capsules.udp_datagram(b"zero")) == [b"zero"]
    assert (reader.dropped, reader.failure) == (7, None)


@row("9298-5-2")
def test_no_packet_above_the_limit_is_written(capsules):
    with pytest.raises(ValueError, match="65527"):
        capsules.udp_datagram(bytes(65528))


@row("9298-5-3")
def test_a_packet_above_the_limit_is_a_failure(capsules):
    for size in (65528, 2**30, 2**61):
        reader = udp(capsules)
        assert reader.receive(b"\x00" + capsules.varint(size + 1) + b"\x00" + bytes(1000)) == []
        assert reader.failure == "a UDP packet above 65527 octets"


@row("9297-2-1")
def test_datagrams_where_none_are_defined(capsules):
    reader = capsules.CapsuleReader(datagrams=False, types=[7])
    assert reader.receive(capsules.capsule(7, b"ours")) == [(7, b"ours")]
    assert reader.receive(capsules.datagram(b"?")) == []
    assert reader.failure == "an HTTP Datagram where none has a meaning"


def test_arguments_that_make_no_sense(capsules):
    for options in ({"types": [0]}, {"types": [2**62]}, {"max_size": -1}, {"max_size": 2**40}):
        with pytest.raises(ValueError):
            capsules.CapsuleReader(**options)
    with pytest.raises(TypeError):
        capsules.CapsuleReader().receive("text")
