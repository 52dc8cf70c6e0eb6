"""What happened in a soak, counted; and what of it was not expected."""

import collections

KEPT = 50  # unexpected errors whose text is kept


class Mismatch(Exception):
    """What came back is not what was sent."""


class Ledger:
    """Counters of all visits."""

    def __init__(self):
        self.messages = 0
        self.octets = 0  # of messages, bodies and tunnels that came back right
        self.connections = 0
        self.requests = 0
        self.mismatches = 0
        self.visits = collections.Counter()
        self.expected = collections.Counter()
        self.unexpected = 0
        self.texts = []

    def echoed(self, sent, got):
        """Compare a message with its echo and count it; raise Mismatch where they differ."""
        if got != sent or type(got) is not type(sent):
            self.mismatches += 1
            raise Mismatch(describe(sent, got))
        self.messages += 1
        self.octets += len(got) if isinstance(got, bytes) or got.isascii() else len(got.encode())

    def body(self, sent, got):
        """Compare a body, or what went through a tunnel, with what came back."""
        if got != sent:
            self.mismatches += 1
            raise Mismatch(describe(sent, got))
        self.octets += len(got)

    def error(self, text):
        """Something that must not happen did."""
        self.unexpected += 1
        if len(self.texts) < KEPT:
            self.texts.append(text)
            print("  ! " + text, flush=True)


def describe(sent, got):
    """Where two messages part."""
    if type(got) is not type(sent):
        return f"{type(sent).__name__} of {len(sent)} came back as {type(got).__name__}"
    at = next(
        (at for at, pair in enumerate(zip(sent, got, strict=False)) if pair[0] != pair[1]),
        min(len(sent), len(got)),
    )
    return f"{len(sent)} sent, {len(got)} came back; they differ from {at} on"
