"""A visit: one client comes, does its thing, and leaves; everything it saw was as it must be."""

import random

MAX_MESSAGE = 2**20
# Where lengths change their encoding, and what buffers are made for.
EDGES = (0, 1, 125, 126, 127, 16383, 16384, 16385, 65535, 65536, 262144, MAX_MESSAGE)
NOISE = random.Random("noise").randbytes(2 * MAX_MESSAGE)
ALPHABET = "abcdefghij klmnop,:0123456789{}aé z€ x0😀"
WORDS = "".join(random.Random("words").choices(ALPHABET, k=MAX_MESSAGE // 2))
ASCII = "".join(random.Random("ascii").choices(ALPHABET[:31], k=2 * MAX_MESSAGE))

KINDS = {}


def kind(weight):
    """Put a coroutine function `visit(v)` into the table; it comes `weight` times as often."""

    def put(function):
        KINDS[function.__name__] = (function, weight)
        return function

    return put


class Visit:
    """What a visit has at hand. `number` and the soak's seed decide everything it chooses."""

    def __init__(self, place, ledger, seed, number, only=None):
        self.place = place
        self.ledger = ledger
        self.number = number
        self.random = random.Random(f"{seed} {number}")
        names = only or list(KINDS)
        self.name = self.random.choices(names, [KINDS[name][1] for name in names])[0]

    async def run(self):
        await KINDS[self.name][0](self)

    def __str__(self):
        return f"visit {self.number} ({self.name})"

    # -- what it chooses --------------------------------------------------------------------------

    def size(self, most=MAX_MESSAGE):
        """A number of octets: an edge, or anything, small ones as often as large ones."""
        source = self.random
        if source.random() < 0.15:
            return min(source.choice(EDGES), most)
        return min(int(2 ** source.uniform(0, 20.01)) - 1, most)

    def octets(self, size):
        """Octets that no other message has, most likely."""
        at = self.random.randrange(len(NOISE) - size + 1)
        return NOISE[at : at + size]

    def message(self, most=MAX_MESSAGE):
        """A message: bytes, or str that is at most so long in octets."""
        size = self.size(most)
        which = self.random.random()
        if which < 0.5:
            return self.octets(size)
        if which < 0.8:
            at = self.random.randrange(len(ASCII) - size + 1)
            return ASCII[at : at + size]
        size //= 4
        at = self.random.randrange(len(WORDS) - size + 1)
        return WORDS[at : at + size]

    def pieces(self, whole, most=12):
        """Cut bytes or str into pieces, empty ones among them."""
        cuts = sorted(
            self.random.randrange(len(whole) + 1) for _ in range(self.random.randint(0, most))
        )
        return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
