"""The octets of a tunnel of capsules against a reader of its own: RFC 9297 section 3."""

import importlib
import random
import zlib

from .octets import pieces


def varint(octets, at):
    """The number at `at`, and where it ends; None: it is not whole."""
    if at >= len(octets):
        return None
    size = 1 << (octets[at] >> 6)
    if at + size > len(octets):
        return None
    return int.from_bytes(octets[at : at + size], "big") & ((1 << size * 8 - 2) - 1), at + size


def model(octets, contexts, datagrams, types, max_size):
    """What is found in all of the octets, and whether they may neither go on nor end so."""
    found, at = [], 0
    while at < len(octets):
        kind = varint(octets, at)
        length = None if kind is None else varint(octets, kind[1])
        if length is None:
            return found, False, True
        size, begin = length
        value = octets[begin : begin + size]
        whole = len(value) == size
        if kind[0] == 0:
            if not datagrams:
                return found, True, True
            if contexts:
                context = varint(value, 0)
                if context is None:
                    # Wrong where the capsule has no room for it, and else it is still coming.
                    room = size == 0 or (value and 1 << (value[0] >> 6) > size)
                    return found, bool(room), True
                number, skip = context
                if number == 0 and size - skip > 65527:
                    return found, True, True
                if number == 0 and size - skip <= max_size and whole:
                    found.append(value[skip:])
            elif size <= max_size and whole:
                found.append(value)
        elif kind[0] in types and size <= max_size and whole:
            found.append((kind[0], value))
        if not whole:
            return found, False, True
        at = begin + size
    return found, False, False


def run(twin, data):
    """Two octets of choices, and what the peer sends: whole, and cut anywhere."""
    if len(data) < 2:
        return []
    capsules = importlib.import_module(".capsules", twin.__name__)
    options = {
        "contexts": data[0] & 1 != 0,
        "datagrams": data[0] & 6 != 6,
        "types": [5, 0x17] if data[0] & 8 else [],
        "max_size": (0, 9, 1500, 65535)[data[1] & 3],
    }
    octets = data[2:]
    found, failed, unfinished = model(octets, **options)
    seen = []
    for cuts in (None, random.Random(zlib.crc32(data)), random.Random(1)):
        reader = capsules.CapsuleReader(**options)
        got = []
        for piece in pieces(octets, cuts):
            got += reader.receive(bytes(piece))
        assert got == found, (got, found)
        assert (reader.failure is not None) == failed
        assert (reader.finish() is not None) == unfinished
        seen = [*got, reader.failure, reader.unknown, reader.dropped, reader.oversized]
    for value in found:
        if isinstance(value, tuple):
            written = capsules.capsule(*value)
        elif options["contexts"]:
            written = capsules.udp_datagram(value)
        else:
            written = capsules.datagram(value)
        assert capsules.CapsuleReader(**options).receive(written) == [value]
    return seen
