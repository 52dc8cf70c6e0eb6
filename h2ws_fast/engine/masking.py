"""Masking keys: RFC 6455 section 5.3."""

import os

from .kernels import address, mask_key

POOL_SIZE = 4096  # one call of the system for 1024 keys: 11 ns each


class MaskKeys:
    """Fresh, unpredictable keys from the operating system, none of them used twice."""

    __slots__ = ("_at", "_pool")

    def __init__(self):
        self._pool = None
        self._at = POOL_SIZE

    def next(self):
        """A key as `kernels.mask_key` loads it."""
        if self._at == POOL_SIZE:
            self._pool = os.urandom(POOL_SIZE)
            self._at = 0
        at = self._at
        self._at = at + 4
        return mask_key(address(self._pool), at)
