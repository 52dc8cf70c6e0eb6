"""When to connect again, and when not: RFC 6455 section 7.2.3."""

from __future__ import annotations

import random
from collections.abc import Iterator

from ...errors import (
    ConnectionTerminated,
    InvalidProxyStatus,
    InvalidStatus,
    PoolFull,
    StreamReset,
)

__all__ = ["STABLE_S", "backoff", "process_exception"]

# Section 7.2.3: "a reasonable value for this initial delay" is "a random value between 0 and 5
# seconds", and then it should grow.
FIRST_S = 5.0
GROWTH = 2.0
LONGEST_S = 60.0

# A WebSocket that was open for so long was no failure: the next delay is the first again.
STABLE_S = 30.0

PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))


def backoff() -> Iterator[float]:
    """Delays in seconds between attempts: 0 to 5, then 5 to 10, 10 to 20 ... 30 to 60 at random.

    At random, so that a thousand clients of a server that comes back do not come at once.
    """
    yield random.uniform(0, FIRST_S)
    longest = FIRST_S
    while True:
        longest = min(longest * GROWTH, LONGEST_S)
        yield random.uniform(longest / GROWTH, longest)


def process_exception(error: Exception) -> Exception | None:
    """Tell what may pass (None: try again) from what will not (the error to raise).

    The network, timeouts, a connection or stream that was lost, a pool that is full, and the
    statuses 408, 425, 429, 500, 502, 503 and 504, of the server or of a proxy, may pass.
    """
    # A TimeoutError is an OSError.
    if isinstance(error, OSError | ConnectionTerminated | StreamReset | PoolFull):
        return None
    if isinstance(error, InvalidStatus | InvalidProxyStatus) and error.response.status in PASSING:
        return None
    return error
