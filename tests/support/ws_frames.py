"""WebSocket frames written and read by hand (RFC 6455 section 5.2), apart from the engine."""

from functools import cache
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = bytes.fromhex("37fa213d")


def mask(payload, key):
    """Each octet XORed with its octet of the key, by tables: nothing like the engine's way."""
    masked = bytearray(payload)
    for i in range(4):
        masked[i::4] = bytes(payload[i::4]).translate(_xored(key[i]))
    return bytes(masked)


def masked(payload, number):
    """The same with a key as the engine holds it: a number whose lowest octet comes first."""
    return mask(payload, number.to_bytes(4, "little"))


@cache
def _xored(octet):
    return bytes(octet ^ other for other in range(256))


def ws_frame(opcode, payload=b"", *, fin=True, key=KEY, rsv=0, width=None, length=None):
    """One frame. `key` None: unmasked. `width` (7, 16, 64) forces the form of the length."""
    n = len(payload) if length is None else length
    width = width or (7 if n < 126 else 16 if n < 65536 else 64)
    marked = 0x80 if key is not None else 0
    head = bytes((opcode | rsv << 4 | (0x80 if fin else 0),))
    if width == 7:
        head += bytes((marked | n,))
    elif width == 16:
        head += bytes((marked | 126,)) + n.to_bytes(2, "big")
    else:
        head += bytes((marked | 127,)) + n.to_bytes(8, "big")
    return head + payload if key is None else head + key + mask(payload, key)


def close_frame(code=None, reason=b"", *, key=KEY):
    body = b"" if code is None else code.to_bytes(2, "big") + reason
    return ws_frame(CLOSE, body, key=key)


class WebSocketFrame(NamedTuple):
    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0
    key: bytes | None = None

    @property
    def close_code(self):
        assert self.opcode == CLOSE
        return int.from_bytes(self.payload[:2], "big") if self.payload else None


def read_ws_frames(octets):
    """Read octets that hold whole WebSocket frames only."""
    found, at = [], 0
    while at < len(octets):
        first, second = octets[at], octets[at + 1]
        n, at = second & 0x7F, at + 2
        if n == 126:
            n, at = int.from_bytes(octets[at : at + 2], "big"), at + 2
            assert n > 125, "the length is not in its shortest form"
        elif n == 127:
            n, at = int.from_bytes(octets[at : at + 8], "big"), at + 8
            assert n > 65535, "the length is not in its shortest form"
        key = None
        if second & 0x80:
            key, at = bytes(octets[at : at + 4]), at + 4
        assert at + n <= len(octets), "half a frame"
        payload = bytes(octets[at : at + n])
        payload = mask(payload, key) if key is not None else payload
        found.append(WebSocketFrame(first & 0xF, payload, bool(first & 0x80), first >> 4 & 7, key))
        at += n
    return found
