"""What has a `.pyx` of its own, called within its contracts, against its twin in Python."""

import importlib
from types import SimpleNamespace

from h2ws_fast import _twins

from .choices import Choices

MODULES = ("kernels", "buffers", "chunks", "stream_map")
TEXTS = ("", "x", "hello", "ä", "€uro", "𝄞" * 9, "t" * 300)


def names(twin):
    """The names of all the modules."""
    found = SimpleNamespace()
    for name in MODULES:
        vars(found).update(vars(importlib.import_module(f".{name}", twin.__name__)))
    return found


def run(twin, data):
    """Do the same with `twin` and with the pure twin."""
    rng = Choices(data)
    mine = names(twin)
    model = names(_twins.load_pure())
    state = rng.getstate(), rng.at
    seen = Session(mine, rng).play()
    rng.setstate(state[0])
    rng.at = state[1]
    assert seen == Session(model, rng).play()
    return seen


class Session:
    """One of each object, and what came of the calls."""

    def __init__(self, kernels, rng):
        self.k = kernels
        self.rng = rng
        self.pool = kernels.Pool(1024)
        self.buffer = kernels.Buffer()
        self.out = self.pool.acquire()
        self.chunks = kernels.Chunks()
        self.chain = []  # nodes, with what each still holds
        self.map = kernels.StreamMap()
        self.held = []  # what was finished, and a copy of it
        self.text = None  # the UTF-8 state of the buffer; None: it holds other octets

    def play(self):
        steps = (self.read, self.append, self.finish, self.push, self.pour, self.place, self.code)
        seen = []
        while not self.rng.over:
            seen.append(self.rng.choice(steps)())
            assert all(bytes(held) == copy for held, copy in self.held), "another's octets"
        return seen

    def octets(self, most=40):
        return self.rng.randbytes(self.rng.randrange(most))

    def read(self):
        """Numbers and keys."""
        k, data = self.k, self.octets() + bytes(8)
        at = self.rng.randrange(len(data) - 7)
        n = self.rng.randrange(len(data) - at + 1)
        key = self.rng.choice((0, 1, 0xFFFFFFFF, k.mask_key(data, at)))
        text = k.unmask_text(data, at, n, key)
        return (
            k.u16(data, at),
            k.u24(data, at),
            k.u32(data, at),
            k.u64(data, at),
            key,
            k.rotate(key, n),
            k.take(data, at, n),
            k.unmask(data, at, n, key),
            text,
            k.utf8_check(data, at, n, 0) > 0,
            k.made_of(data, bytes(range(128)) + bytes(128)),
        )

    def append(self):
        rng, buffer = self.rng, self.buffer
        how = rng.randrange(6)
        if how == 0:
            buffer.head(rng.getrandbits(24), rng.getrandbits(8), rng.getrandbits(8), 2**31 - 1)
        elif how == 1:
            buffer.put_u16(rng.getrandbits(16))
        elif how == 2:
            buffer.put_u32(rng.getrandbits(32))
        elif how == 3:
            data = self.octets(200)
            buffer.append(data, 0, len(data), rng.getrandbits(32))
        elif how == 4:
            buffer.expect(rng.choice((0, 100, 2**20, 2**40, 2**62)))
        elif buffer.size() == 0 or self.text is not None:
            data = rng.choice(TEXTS).encode()
            cut = rng.randrange(len(data) + 1)
            state = 0
            for part in (data[:cut], data[cut:]):
                state = buffer.append_text(part, 0, len(part), 0, state)
            assert state == 0
            self.text = 0
            return buffer.text(), buffer.size()
        if how != 4:
            self.text = None
        return buffer.size()

    def finish(self):
        rng = self.rng
        how = rng.randrange(3)
        if how == 0:
            self.text = None
            return self.buffer.bytes()
        if how == 1:
            self.buffer.clear()
            self.text = None
            return self.buffer.size()
        made = self.out.finish()
        self.held = [*self.held[-6:], (made, bytes(made))]
        self.out = self.pool.acquire()
        return bytes(made), self.out.room()

    def push(self):
        rng = self.rng
        data = rng.choice((b"", b"x", bytes(125), bytes(126), bytes(700), self.octets(), "ascii"))
        behind = self.chain[-1] if self.chain else self.k.NONE
        if data and rng.random() < 0.3:
            node = self.chunks.push(data, behind)
        else:
            masked = rng.random() < 0.5
            key = rng.getrandbits(32) if masked else 0
            node = self.chunks.push_frame(rng.getrandbits(8), data, masked, key, behind)
        self.chain.append(node)
        assert self.chunks.size(node) == self.chunks.pushed
        return self.chunks.pushed

    def pour(self):
        rng, out = self.rng, self.out
        total = sum(self.chunks.size(node) for node in self.chain)
        if self.chain and rng.random() < 0.1:
            self.chunks.drop(self.chain[0])
            self.chain.clear()
            return total
        if rng.random() < 0.3:
            n = min(rng.randrange(300), out.room(), self.buffer.size())
            out.drain(self.buffer, self.buffer.size() - n, n)
            if out.room() >= 9:
                out.head(n, 1, 4, 5)
            return out.used()
        n = min(rng.randrange(400), out.room(), total)
        if not n:
            return total
        first = self.chunks.pour(self.chain[0], out, n)
        while self.chain and self.chain[0] != first:
            self.chain.pop(0)
        assert (first != 0) == bool(self.chain)
        return out.used(), sum(self.chunks.size(node) for node in self.chain)

    def place(self):
        rng, streams = self.rng, self.map
        stream_id = rng.choice((1, 3, 2**31 - 1, rng.getrandbits(5) + 1, rng.getrandbits(16) + 1))
        how = rng.randrange(4)
        if how < 2:
            streams.put(stream_id, (stream_id,))
        elif how == 2:
            return streams.pop(stream_id), len(streams)
        return streams.get(stream_id), streams.values()

    def code(self):
        k, data = self.k, self.octets(60)
        limit = self.rng.randrange(100)
        encoded = k.huffman_encode(data)
        assert k.huffman_decode(encoded, 0, len(encoded), len(data)) == data
        return encoded, k.huffman_size(data), k.huffman_decode(data, 0, len(data), limit)
