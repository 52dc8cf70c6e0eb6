"""permessage-deflate: octets that a peer may send, and the fields that agree on it.

An input of `messages` is one octet of choices, one for the cuts, and then pieces of DEFLATE divided
by MARK, whatever they are: each is the payload of a message, or of a fragment. What zlib itself
makes of them is what must come out, whole and in pieces, at whatever pace it is read.
"""

import importlib
import random
import zlib

from h2ws_fast.engine.agreement import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from h2ws_fast.engine.headers import MalformedMessage
from tests.support.ws_frames import BINARY, CONTINUATION, KEY, TEXT, ws_frame

from .octets import MARK, exact, pieces
from .play import same_keys

TAIL = b"\x00\x00\xff\xff"
LIMIT = 2**22
FINALS = 128  # as `Limits.max_final_blocks`


class Reference:
    """A far end made of zlib alone: `read` returns what a message expands to.

    None where it does not, or says more than `limit`. `unclear`: it ended within a block, and after
    it the next one would be read on there. With takeover that is seen by the octets that come out
    of an empty block, and the tables at the head of a block give none.
    """

    def __init__(self, takeover, limit):
        self.takeover = takeover
        self.limit = limit
        self.unclear = False
        self.window = b""

    def read(self, data):
        if not data:
            return b""
        if not self.takeover:
            self.window = b""
        out = b""
        data += TAIL
        finals = 0
        try:
            while True:
                engine = zlib.decompressobj(-15, self.window[-32768:])
                more = engine.decompress(data, self.limit + 1 - len(out))
                out += more
                self.window = (self.window + more)[-32768:]
                if len(out) > self.limit:
                    return None
                if not engine.eof:
                    # Between two blocks, after the empty one of the tail, and nowhere else.
                    ends = engine.copy()
                    self.unclear = self.takeover
                    ends.decompress(b"\x01" + TAIL)
                    self.unclear = False
                    if ends.eof and not ends.unused_data:
                        return out
                    self.unclear = self.takeover
                    return None
                data = engine.unused_data
                if data == TAIL:
                    return out
                finals += 1
                if finals > FINALS:
                    return None
        except zlib.error:
            return None


def agreed_on(client, takeover):
    """What two ends agree on, of which the reader is the client or the server."""
    alone = b"; server_no_context_takeover; client_no_context_takeover"
    if client:
        return ClientPerMessageDeflateFactory().agree(
            b"permessage-deflate" + (b"" if takeover else alone)
        )
    return ServerPerMessageDeflateFactory(not takeover, not takeover).accept(b"permessage-deflate")[
        1
    ]


def messages(twin, data):
    """Payloads that anybody may have written, read as zlib reads them."""
    if len(data) < 2:
        return []
    how, seed = data[0], data[1]
    client, takeover = how & 1 != 0, how & 2 != 0
    limit = 3000 if how & 4 else LIMIT
    fragmented = how & 8 != 0
    key = None if client else KEY
    payloads = data[2:].split(MARK)[:64]
    frames, wanted = [], []
    reference = Reference(takeover, limit)
    if fragmented:
        for at, payload in enumerate(payloads):
            first = at == 0
            frames.append(
                ws_frame(
                    BINARY if first else CONTINUATION,
                    payload,
                    rsv=4 if first else 0,
                    fin=at == len(payloads) - 1,
                    key=key,
                )
            )
        wanted.append(reference.read(b"".join(payloads)))
    else:
        for payload in payloads:
            frames.append(ws_frame(BINARY, payload, rsv=4, key=key))
            wanted.append(reference.read(payload))
            if wanted[-1] is None:
                break
    frames.append(ws_frame(TEXT, b"plain", key=key))
    octets = b"".join(frames)
    seen = []
    for cuts in (None, random.Random(seed)):
        with same_keys(seed):
            conn = importlib.import_module(".h1", twin.__name__).Upgraded(
                twin.Role.CLIENT if client else twin.Role.SERVER,
                twin.Limits(max_message=limit),
                auto_credit=how & 16 != 0,
                agreed=agreed_on(client, takeover),
            )
            seen.append(read(conn, octets, cuts))
    assert seen[0] == seen[1], "whole and in pieces, other messages"
    got, code = seen[0]
    failed = None in wanted
    whole = wanted[: wanted.index(None)] if failed else [*wanted, "plain"]
    if reference.unclear:
        got = got[: len(whole)]
    else:
        assert (code in (1007, 1008, 1009)) == failed, code
    assert got == whole, f"{len(got)} messages, and {len(whole)} by zlib"
    return [[len(one) for one in got], [zlib.crc32(repr(one).encode()) for one in got], code]


def read(conn, octets, cuts):
    """The messages of these octets, each taken as it comes, and the code we closed with."""
    got = []
    code = None

    def take(events):
        nonlocal code
        for event in events:
            kind = type(event).__name__
            if kind in ("TextMessage", "BytesMessage"):
                got.append(event.data)
                conn.consumed(1, event.credit)
            elif kind == "Closed":
                code = event.code

    for piece in pieces(octets, cuts):
        take(conn.receive_data(exact(piece)))
        go_on(conn, take)
    go_on(conn, take)
    take(conn.receive_eof())
    assert conn.stats()["octets_buffered"] == 0
    return got, code


def go_on(conn, take):
    """Let the connection do what is due at once."""
    while True:
        while conn.data_to_send():
            pass
        take(conn.events())
        due = conn.next_timeout()
        if due is None or due > 0:
            return
        conn.handle_timeout(0.0)


def agreement(twin, data):
    """The value of a field, as an offer and as a response: each is read or refused."""
    seen = []
    for options in (
        {},
        {"server_no_context_takeover": False, "client_no_context_takeover": False},
        {"server_max_window_bits": None, "client_max_window_bits": 10},
        {"client_max_window_bits": 9, "require_client_max_window_bits": True},
    ):
        answer = ServerPerMessageDeflateFactory(**options).accept(data)
        if answer is None:
            seen.append(None)
            continue
        response, agreed = answer
        seen.append((response, repr(agreed)))
        # What a server answers, the client who offered it takes.
        assert 9 <= agreed.bits <= 15
        asked = b"client_max_window_bits" in response
        client = ClientPerMessageDeflateFactory(client_max_window_bits=True if asked else None)
        theirs = client.agree(response)
        assert (theirs.sends, theirs.receives) == (agreed.receives, agreed.sends)
    for options in ({}, {"server_max_window_bits": 11, "client_max_window_bits": 12}):
        try:
            seen.append(repr(ClientPerMessageDeflateFactory(**options).agree(data)))
        except MalformedMessage as error:
            seen.append(error.reason)
    return seen
