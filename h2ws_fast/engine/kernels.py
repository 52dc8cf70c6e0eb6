"""The kernels without a compiler: the same names and results as `kernels.pyx` over `csrc/`.

Shared source treats an `octets` value as opaque: it reads `p[i]` and hands `(p, pos, n)` to a
kernel. Here `octets` is a `bytes` object; compiled it is `const unsigned char *`.

Whoever changes a function here changes `kernels.pyx`; `tests/engine/test_kernels.py` feeds both.
"""

from operator import index

from .huffman import CODES, EOS


def address(data):
    """Return the `octets` of a bytes-like object; the caller keeps `data` alive meanwhile."""
    return data if type(data) is bytes else bytes(data)


def u16(p, pos):
    return p[pos] << 8 | p[pos + 1]


def u24(p, pos):
    return p[pos] << 16 | p[pos + 1] << 8 | p[pos + 2]


def u32(p, pos):
    return int.from_bytes(p[pos : pos + 4], "big")


def u64(p, pos):
    return int.from_bytes(p[pos : pos + 8], "big")


def whole(n):
    """Return an argument that is to be a number of at most 64 bits, as an `int`.

    Raises TypeError for what is no integer, 1.0 too, and ValueError for what is too large.
    """
    n = index(n)
    if not -(2**63) <= n < 2**63:
        raise ValueError("a number is out of range: it has more than 64 bits")
    return n


def flat(data):
    """Return octets in one row, for `len` and `address`: `data` where it is `bytes`, else a hold on
    it, which lets nobody move or free them.

    Raises TypeError for what is not bytes-like, ValueError for what is not contiguous.
    """
    if type(data) is bytes:
        return data
    data = memoryview(data)
    if not data.c_contiguous:
        raise ValueError("data must be contiguous")
    return data if data.ndim == 1 and data.itemsize == 1 else data.cast("B")


def take(p, pos, n):
    """Copy n octets out as `bytes`."""
    return p[pos : pos + n]


def payloads(p, pos, end, rest):
    """Copy out the payloads of HTTP/2 frames as one `bytes`.

    At `pos` lie the last `rest` octets of one, then whole ones with their heads; `end` may cut the
    last.
    """
    pieces = [p[pos : pos + rest]]
    pos += rest
    while pos < end:
        size = u24(p, pos)
        pieces.append(p[pos + 9 : min(pos + 9 + size, end)])
        pos += 9 + size
    return b"".join(pieces)


# -- masking: RFC 6455 section 5.3 -----------------------------------------------------------


def mask_key(p, pos):
    """Load a masking key: the octet at `pos` lies lowest, whatever the machine."""
    return int.from_bytes(p[pos : pos + 4], "little")


def rotate(key, n):
    """Return the key as seen n octets further on (n >= 0)."""
    shift = (n & 3) * 8
    return (key >> shift | key << (32 - shift)) & 0xFFFFFFFF


def unmask(p, pos, n, key):
    """Copy n octets out as `bytes`, each XORed with its octet of the key (0: a plain copy)."""
    data = p[pos : pos + n]
    if not key or not n:
        return data
    pattern = key.to_bytes(4, "little") * (n + 3 >> 2)
    # Two big integers: 30 times faster than a loop over octets.
    mixed = int.from_bytes(data, "little") ^ int.from_bytes(pattern[:n], "little")
    return mixed.to_bytes(n, "little")


# -- UTF-8: RFC 3629 -------------------------------------------------------------------------


def unmask_text(p, pos, n, key):
    """Unmask n octets and return them as `str`, or None where they are not UTF-8."""
    try:
        return unmask(p, pos, n, key).decode()
    except UnicodeDecodeError:
        return None


def encoded(text):
    """Return what `Chunks` can hold by reference: ASCII `str` as it is, other `str` as UTF-8."""
    return text if text.isascii() else text.encode()


def utf8_check(p, pos, n, state):
    """Validate n octets that continue a text; return the new state, or -1.

    A state of 0 lies between two characters: only there may a text end. Any other state is
    opaque; -1 says that no continuation can make the text valid any more.
    """
    # A state holds the octets of the unfinished character: count << 24 | octets, as they came.
    count = state >> 24
    held = (state & 0xFFFFFF).to_bytes(3, "big")[3 - count :] if count else b""
    data = held + p[pos : pos + n]
    try:
        data.decode()
        return 0
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            return -1
        rest = data[error.start :]
        return len(rest) << 24 | int.from_bytes(rest, "big")


# -- allowed octets --------------------------------------------------------------------------


def made_of(data, table):
    """Whether `bytes` are one or more octets that a table of 256 octets maps to themselves."""
    return len(data) > 0 and data.translate(table) == data


# -- Huffman code: RFC 7541 section 5.2 ------------------------------------------------------

_BITS = [format(code, f"0{length}b") for code, length in CODES[:EOS]]
_LENGTHS = [length for _, length in CODES]
# Every prefix of a code is a state, 0 the empty one. _STATES[state][four bits] is None where EOS
# would be, or (next state, the octets that are complete).
_STATES = []


def huffman_size(data):
    """How many octets `huffman_encode` would return."""
    return sum([_LENGTHS[octet] for octet in data]) + 7 >> 3


def huffman_encode(data):
    bits = "".join([_BITS[octet] for octet in data])
    if not bits:
        return b""
    bits += "1" * (-len(bits) & 7)  # "the most significant bits of the code" of EOS
    return int(bits, 2).to_bytes(len(bits) >> 3, "big")


def huffman_decode(p, pos, n, limit):
    """Decode n octets; return `bytes`, or None.

    None: the result is longer than `limit`, EOS is in it, or the padding is not up to 7 ones.
    """
    states = _STATES or _make_states()
    state = 0
    decoded = bytearray()
    for octet in p[pos : pos + n]:
        step = states[state][octet >> 4]
        if step is None:
            return None
        decoded += step[1]
        step = states[step[0]][octet & 15]
        if step is None:
            return None
        decoded += step[1]
        state = step[0]
    if len(decoded) > limit or state not in _ACCEPTED:
        return None
    return bytes(decoded)


_ACCEPTED = set()  # the states that are padding: up to 7 ones


def _make_states():
    """Fill the table when the first string is decoded."""
    codes = {format(code, f"0{length}b"): symbol for symbol, (code, length) in enumerate(CODES)}
    numbers = {"": 0}
    for bits in codes:
        for end in range(1, len(bits)):
            numbers.setdefault(bits[:end], len(numbers))
    made = []
    for prefix in numbers:
        row = []
        for nibble in range(16):
            bits = prefix
            octets = b""
            for bit in format(nibble, "04b"):
                bits += bit
                if bits in codes:
                    if codes[bits] == EOS:
                        break
                    octets += bytes((codes[bits],))
                    bits = ""
            row.append((numbers[bits], octets) if bits in numbers else None)
        made.append(row)
    _ACCEPTED.update(numbers["1" * length] for length in range(8))
    _STATES.extend(made)
    return _STATES
