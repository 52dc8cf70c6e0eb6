"""HTTP/2 frames written and read by hand (RFC 9113 sections 4 and 6), apart from the engine.

The writers check nothing, so that a test can say anything that a peer can say.
"""

from dataclasses import dataclass, field

MAGIC = bytes.fromhex("505249202a20485454502f322e300d0a0d0a534d0d0a0d0a")

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
PRIORITY_UPDATE, UNKNOWN = 0x10, 0xFA

END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY_FLAG = 0x1, 0x1, 0x4, 0x8, 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 1, 2, 3, 4
MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES = 5, 6, 8, 9

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT = range(5)
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = range(5, 10)
CONNECT_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY, HTTP_1_1_REQUIRED = range(10, 14)

NAMES = {
    DATA: "DATA",
    HEADERS: "HEADERS",
    PRIORITY: "PRIORITY",
    RST_STREAM: "RST_STREAM",
    SETTINGS: "SETTINGS",
    PUSH_PROMISE: "PUSH_PROMISE",
    PING: "PING",
    GOAWAY: "GOAWAY",
    WINDOW_UPDATE: "WINDOW_UPDATE",
    CONTINUATION: "CONTINUATION",
    PRIORITY_UPDATE: "PRIORITY_UPDATE",
}


# -- writing -----------------------------------------------------------------------------------


def frame(kind, flags=0, stream_id=0, payload=b"", length=None):
    """One frame. `length` lies about the payload where it is given; bit 31 of the id is R."""
    length = len(payload) if length is None else length
    return length.to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


def padded(payload, pad):
    """A payload in its padding (the flag is the caller's): RFC 9113 section 6.1."""
    return payload if pad is None else bytes((pad,)) + payload + bytes(pad)


def data(stream_id, payload=b"", end_stream=False, pad=None):
    flags = (END_STREAM if end_stream else 0) | (PADDED if pad is not None else 0)
    return frame(DATA, flags, stream_id, padded(payload, pad))


def headers(stream_id, block, end_stream=False, end_headers=True, pad=None, priority=None):
    """HEADERS around a block that is encoded already; `priority` is five octets."""
    flags = (END_STREAM if end_stream else 0) | (END_HEADERS if end_headers else 0)
    flags |= (PADDED if pad is not None else 0) | (PRIORITY_FLAG if priority is not None else 0)
    return frame(HEADERS, flags, stream_id, padded((priority or b"") + block, pad))


def continuation(stream_id, block, end_headers=True):
    return frame(CONTINUATION, END_HEADERS if end_headers else 0, stream_id, block)


def priority(stream_id, depends_on=0, weight=15, exclusive=False):
    word = depends_on | (0x80000000 if exclusive else 0)
    return frame(PRIORITY, 0, stream_id, word.to_bytes(4, "big") + bytes((weight,)))


def rst_stream(stream_id, code=CANCEL):
    return frame(RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))


def settings(*pairs):
    """SETTINGS: pairs of (identifier, value) in order."""
    body = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in pairs)
    return frame(SETTINGS, 0, 0, body)


def settings_ack():
    return frame(SETTINGS, ACK)


def push_promise(stream_id, promised_id, block, end_headers=True, pad=None):
    flags = (END_HEADERS if end_headers else 0) | (PADDED if pad is not None else 0)
    body = padded(promised_id.to_bytes(4, "big") + block, pad)
    return frame(PUSH_PROMISE, flags, stream_id, body)


def ping(opaque=b"12345678", ack=False):
    return frame(PING, ACK if ack else 0, 0, opaque)


def goaway(last_stream_id=0, code=NO_ERROR, debug=b""):
    return frame(GOAWAY, 0, 0, last_stream_id.to_bytes(4, "big") + code.to_bytes(4, "big") + debug)


def window_update(stream_id, increment):
    return frame(WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4, "big"))


def priority_update(prioritized_id, value=b"u=1"):
    return frame(PRIORITY_UPDATE, 0, 0, prioritized_id.to_bytes(4, "big") + value)


# -- reading -----------------------------------------------------------------------------------


@dataclass
class Frame:
    """A frame as it was read. `fields`: of a HEADERS frame, its whole block decoded."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes
    fields: list | None = field(default=None, compare=False)

    def __repr__(self):
        name = NAMES.get(self.kind, f"type {self.kind:#x}")
        shown = self.payload[:24].hex() + ("…" if len(self.payload) > 24 else "")
        return (
            f"<{name} flags={self.flags:#x} stream={self.stream_id} {len(self.payload)}: {shown}>"
        )

    @property
    def end_stream(self):
        return self.kind in (DATA, HEADERS) and bool(self.flags & END_STREAM)

    @property
    def ack(self):
        return self.kind in (SETTINGS, PING) and bool(self.flags & ACK)

    @property
    def content(self):
        """The payload of DATA, HEADERS or PUSH_PROMISE without its padding."""
        if not self.flags & PADDED:
            return self.payload
        assert self.payload[0] < len(self.payload)
        return self.payload[1 : len(self.payload) - self.payload[0]]

    @property
    def error_code(self):
        at = {RST_STREAM: 0, GOAWAY: 4}[self.kind]
        return int.from_bytes(self.payload[at : at + 4], "big")

    @property
    def last_stream_id(self):
        assert self.kind == GOAWAY
        return int.from_bytes(self.payload[:4], "big")

    @property
    def debug_data(self):
        assert self.kind == GOAWAY
        return self.payload[8:]

    @property
    def increment(self):
        assert self.kind == WINDOW_UPDATE
        return int.from_bytes(self.payload, "big")

    @property
    def settings(self):
        """The (identifier, value) pairs of a SETTINGS frame in their order."""
        assert self.kind == SETTINGS and len(self.payload) % 6 == 0
        cut = (self.payload[i : i + 6] for i in range(0, len(self.payload), 6))
        return [(int.from_bytes(c[:2], "big"), int.from_bytes(c[2:], "big")) for c in cut]

    def get(self, name):
        """The value of a field of a HEADERS frame as `str`; None where there is none."""
        values = [value for key, value in self.fields if key == name.encode()]
        assert len(values) <= 1, values
        return values[0].decode() if values else None


def read_frame(octets, at=0):
    """Return (frame, where the next begins), or None while the frame is not whole."""
    if len(octets) - at < 9:
        return None
    length = int.from_bytes(octets[at : at + 3], "big")
    if len(octets) - at - 9 < length:
        return None
    word = int.from_bytes(octets[at + 5 : at + 9], "big")
    assert word < 1 << 31, "the R bit is sent as 0"
    payload = bytes(octets[at + 9 : at + 9 + length])
    return Frame(octets[at + 3], octets[at + 4], word, payload), at + 9 + length


def read_frames(octets):
    """Read octets that hold whole frames only."""
    found, at = [], 0
    while at < len(octets):
        read = read_frame(octets, at)
        assert read is not None, f"half a frame: {octets[at:].hex()}"
        found.append(read[0])
        at = read[1]
    return found
