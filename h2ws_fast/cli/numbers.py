"""Numbers among the arguments of commands."""

from __future__ import annotations

import argparse
import math

__all__ = ["limit", "port", "workers"]


def port(text: str) -> int:
    """A port, 0 for a free one."""
    return _whole(text, 0, 65535, "a port is a number between 0 and 65535")


def limit(text: str) -> int:
    """A number of things, at least one."""
    return _whole(text, 1, math.inf, "a limit is a number, at least 1")


def workers(text: str) -> int:
    """A number of processes."""
    return _whole(text, 1, 1024, "between 1 and 1024 processes")


def _whole(text: str, least: int, most: float, words: str) -> int:
    # argparse would tell of a ValueError by the name of the function.
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(words) from None
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(words)
    return number
