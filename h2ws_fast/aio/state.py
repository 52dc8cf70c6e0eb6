"""The states of a WebSocket."""

import enum


class State(enum.IntEnum):
    """The state of a WebSocket: RFC 6455."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


# What is compiled compares numbers.
CONNECTING = 0
OPEN = 1
CLOSING = 2
CLOSED = 3
