"""`python -m tests.fuzz.record FOLDER`: first inputs for a fuzzer, from games of the pure twin.

For the targets that read octets, what a peer of good faith said; for those that read choices, some
octets of any value. A fuzzer makes better ones of them: see `README.md`.
"""

import random
import sys
from pathlib import Path

import hpack

from h2ws_fast import _twins
from tests.support import frames as f
from tests.support.peer import CONNECT, GET, OK, POST

from . import play as games
from .application import Application
from .octets import MARK
from .targets import COMPARED, TARGETS

GAMES = 12
HTTP1 = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /a?b HTTP/1.1\r\nHost: a:1\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    b"\x81\x81\0\0\0\0a",
    b"HEAD http://a/b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
)


def spoken(play, role, seed, **named):
    """What the engine read in a game: a list of octets."""
    read = []

    class Listening(Application):
        def receive(self, octets):
            read.append(octets)
            super().receive(octets)

    games.Application = Listening
    try:
        play(_twins.load_pure(), role, seed, **named)
    finally:
        games.Application = Application
    return read


def inputs(name):
    """Some inputs of a target."""
    rng = random.Random(name)
    if name == "frames":
        for seed in range(GAMES):
            role = games.ROLES[seed & 1]
            said = spoken(games.play, role, seed, steps=8)
            said[0] = said[0].removeprefix(f.MAGIC)
            how = (0 if role == "server" else 1) | seed & 0xE
            yield bytes((how | 16 | 0xE0 if seed > 9 else how, seed)) + MARK.join(said)[:3000]
    elif name == "websocket":
        for seed in range(GAMES):
            said = spoken(games.play_upgraded, games.ROLES[seed & 1], seed, steps=10)
            yield bytes((seed & 1 | seed & 6, seed)) + MARK.join(said)[:2000]
    elif name == "hpack_decoder":
        for seed in range(GAMES):
            encoder = hpack.Encoder()
            blocks = []
            for fields in (GET, POST, CONNECT, OK, [*CONNECT, ("x-a", "b" * seed)]):
                blocks.append(encoder.encode(fields, huffman=seed & 1))
                encoder.header_table_size = (4096, 64, 0, 100)[seed & 3]
            yield bytes((8, *MARK.join(blocks)))
    elif name == "priority":
        yield b"\n".join((b"u=1, i", b"i=?0,u=7", b"a;b=1;c, u=3", b" u=-1", b"i=1.5, u", b""))
        yield b"\n".join((b'a="x\\"y", u=2', b"b=:YQ==:, i", b"d=@12, e=t/k;q=0.5", b"u=2,"))
        yield b"\n".join((b"l=(1 2;a  *t), u=0", b"l=(), i", b"u=0000000000000007", b"u=8"))
    elif name == "http1":
        for first, request in enumerate(HTTP1):
            yield bytes((0, first)) + request
            yield bytes((first & 6, first)) + request + MARK + HTTP1[first - 1]
            yield bytes((first & 7, first)) + request + HTTP1[first - 1]
    elif name == "equivalence":
        for which, other in enumerate(COMPARED):
            yield from (bytes((which,)) + data for data in list(inputs(other))[:4])
    else:
        for _ in range(GAMES):
            yield rng.randbytes(rng.choice((50, 200, 800)))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name in TARGETS:
        folder = Path(sys.argv[1], name)
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(inputs(name)):
            (folder / f"recorded-{number}").write_bytes(data)


if __name__ == "__main__":
    main()
