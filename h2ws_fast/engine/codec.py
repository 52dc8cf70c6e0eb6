"""The small door to DEFLATE (RFC 1951): which library compresses, and which expands.

`zlib` is always there. Where `isal` is installed (`pip install h2ws_fast[fast-deflate]`) it compresses
what levels 0 to 3 ask for: 1 KiB of JSON in 8 us and to 0.29 of its size, which takes zlib's level 1
16 us (bench/deflate.py). zlib-ng is no faster than zlib at that ratio. All of them expand equally fast,
so zlib does that: its limit on the octets that come out holds before they are allocated.
"""

import zlib
from collections.abc import Callable
from typing import Any

try:
    from isal import isal_zlib
except ImportError:
    isal_zlib = None

__all__ = ["CODECS", "choose", "compressor", "decompressor"]

CODECS = ("isal", "zlib")
ISAL_LEVELS = range(4)  # what is more is zlib's


def choose(codec: str | None, level: int) -> str:
    """Return the name of the library that compresses at this level; `codec` None: the fastest.

    Raises `ValueError` where `codec` is unknown, not installed or has no such level.
    """
    if codec is None:
        return "isal" if isal_zlib is not None and level in ISAL_LEVELS else "zlib"
    if codec not in CODECS:
        raise ValueError(f"codec must be one of {', '.join(CODECS)}, or None: {codec!r}")
    if codec == "isal":
        if isal_zlib is None:
            raise ValueError("codec isal is not installed: pip install h2ws_fast[fast-deflate]")
        if level not in ISAL_LEVELS:
            raise ValueError(f"codec isal has levels 0 to 3, not {level}")
    return codec


def compressor(codec: str) -> Callable[..., Any]:
    """Return the `compressobj` of a library that `choose` named."""
    return zlib.compressobj if codec == "zlib" else isal_zlib.compressobj


def decompressor(window: bytes) -> Any:
    """Return a decompressor of raw DEFLATE behind whose start `window` lies: at most 32 KiB."""
    if window:
        return zlib.decompressobj(-zlib.MAX_WBITS, window)
    return zlib.decompressobj(-zlib.MAX_WBITS)
