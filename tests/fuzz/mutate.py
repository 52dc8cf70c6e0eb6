"""Bytes made wrong, and bytes in pieces."""


def mutate(rng, frames):
    """Return these frames with some of them flipped, cut, swapped, doubled or lied about."""
    frames = list(frames)
    for _ in range(rng.randrange(1, 4)):
        if not frames:
            break
        at = rng.randrange(len(frames))
        one = bytearray(frames[at])
        how = rng.randrange(8)
        if how == 0 and one:  # one bit anywhere
            one[rng.randrange(len(one))] ^= 1 << rng.randrange(8)
        elif how == 1 and one:  # some octets of noise
            start = rng.randrange(len(one))
            for i in range(start, min(len(one), start + rng.randrange(1, 9))):
                one[i] = rng.randrange(256)
        elif how == 2 and len(one) >= 9:  # the head: length, type, flags, stream
            field = rng.choice(((0, 3), (3, 4), (4, 5), (5, 9)))
            for i in range(*field):
                one[i] = rng.choice((0, 1, 3, 5, 8, 9, 0x7F, 0xFF, rng.randrange(256)))
        elif how == 3:  # cut
            del one[rng.randrange(len(one) + 1) :]
        elif how == 4:  # twice
            frames.insert(at, bytes(one))
        elif how == 5:  # another order
            other = rng.randrange(len(frames))
            frames[at], frames[other] = frames[other], frames[at]
            continue
        elif how == 6:  # octets between two frames
            start = rng.randrange(len(one) + 1)
            one[start:start] = rng.randbytes(rng.randrange(1, 20))
        else:  # lost
            del frames[at]
            continue
        frames[at] = bytes(one)
    return frames


def split(rng, octets):
    """Cut octets as a transport might: not at all, in some pieces, octet by octet."""
    how = rng.randrange(6)
    if how < 3 or not octets:
        return [octets]
    if how == 3 and len(octets) < 200:
        return [octets[i : i + 1] for i in range(len(octets))]
    cuts = sorted(rng.randrange(len(octets) + 1) for _ in range(rng.randrange(1, 6)))
    return [octets[i:j] for i, j in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
