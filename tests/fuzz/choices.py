"""Choices that octets make: what a game asks of its random numbers, a fuzzer answers."""

import random
import zlib


class Choices(random.Random):
    """Random numbers read from `data`; behind its end, those of a generator that it seeds."""

    def __new__(cls, data):
        return super().__new__(cls)

    def __init__(self, data):
        super().__init__(zlib.crc32(data))
        self.data = data
        self.at = 0

    @property
    def over(self):
        """Whether `data` is used up."""
        return self.at >= len(self.data)

    def random(self):
        if self.at >= len(self.data):
            return super().random()
        self.at += 1
        return self.data[self.at - 1] / 256

    def getrandbits(self, k):
        size = k + 7 >> 3
        if self.at + size > len(self.data):
            self.at = len(self.data)
            return super().getrandbits(k)
        self.at += size
        return int.from_bytes(self.data[self.at - size : self.at], "big") >> size * 8 - k

    def rest(self):
        """All octets that are left."""
        at = self.at
        self.at = len(self.data)
        return self.data[at:]
