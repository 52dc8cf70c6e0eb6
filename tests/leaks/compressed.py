"""How WebSockets with compression end: what compresses and expands is gone with them.

Each way with context takeover, where both ends keep a compressor, a decompressor and its window, and
without. They join the others in `endings`.
"""

import functools

from h2ws_fast.engine.agreement import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from tests.support.ws_frames import BINARY, CONTINUATION, ws_frame

from .endings import CONNECT, PAIRED, lone

RSV1 = 4
HELLO = bytes.fromhex("f248cdc9c90700")
EXTENDED = [*CONNECT, ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits")]
TEXT = "somebody says the same again, " * 20
CLIENT = ClientPerMessageDeflateFactory(threshold=0)
SERVER = {
    True: ServerPerMessageDeflateFactory(False, False, threshold=0),
    False: ServerPerMessageDeflateFactory(threshold=0),
}


def websockets(pair, n, takeover):
    """WebSockets whose ends have each sent a message, and have begun another."""
    ids = [pair.client.connect_websocket("example.com", "/chat", deflate=CLIENT) for _ in range(n)]
    pair.pump()
    for i in ids:
        pair.server.accept_websocket(i, deflate=SERVER[takeover])
    pair.pump()
    for conn, i in [(conn, i) for conn in pair.ends for i in ids]:
        assert conn.deflated(i).sends == takeover
        conn.send_message(i, TEXT)
        conn.send_fragment(i, TEXT, False)
    taken = 0
    for conn, told in zip(pair.ends, pair.pump(), strict=True):
        for event in told:
            if type(event).__name__ == "TextMessage":
                conn.consumed(event.stream_id, event.credit)
                taken += 1
    assert taken == 2 * n
    return ids


def both_ways(ending):
    """Register it with and without context takeover."""
    for takeover in (True, False):
        name = f"compressed_{ending.__name__}{'' if takeover else '_alone'}"
        PAIRED[name] = functools.partial(ending, takeover)
    return ending


@both_ways
def closed(takeover, pair, n):
    for conn, i in pair.by_turns(websockets(pair, n, takeover)):
        conn.send_fragment(i, TEXT, True)
        conn.close_websocket(i)
    pair.pump()


@both_ways
def reset(takeover, pair, n):
    for conn, i in pair.by_turns(websockets(pair, n, takeover)):
        conn.reset(i)
    pair.pump()


@both_ways
def too_big(takeover, pair, n):
    """What it expands to is more than a message may be."""
    ids = websockets(pair, n, takeover)
    for conn, i in pair.by_turns(ids):
        conn.send_fragment(i, "x" * 10_000, True)
    pair.pump()


FAULTS = {
    "corrupt": ws_frame(BINARY, b"\xff" * 50, rsv=RSV1),
    "cut_short": ws_frame(BINARY, HELLO[:4], rsv=RSV1),
    "of_final_blocks": ws_frame(BINARY, b"\x03\x00" * 300, rsv=RSV1),
    "half_way": ws_frame(BINARY, HELLO, rsv=RSV1, fin=False) + ws_frame(CONTINUATION, b"\xff" * 50),
}


def fault(name, octets):
    def ending(peer, n):
        ids = peer.open(EXTENDED, n)
        for i in ids:
            peer.conn.accept_websocket(i, deflate=SERVER[True])
            assert peer.conn.deflated(i).receives
        peer.data(ids, ws_frame(BINARY, HELLO, rsv=RSV1) + octets, True)
        peer.go_on()

    ending.__name__ = f"compressed_message_that_is_{name}"
    lone("server")(ending)


for _name, _octets in FAULTS.items():
    fault(_name, _octets)
