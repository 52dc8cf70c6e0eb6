"""A field of a request, as it is given on a command line."""

from __future__ import annotations

import argparse

__all__ = ["field"]


def field(text: str) -> tuple[str, str]:
    """Take "Name: value" apart, for argparse."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError("a header is 'Name: value'")
    return name.strip(), value.strip()
