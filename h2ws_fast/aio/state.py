"""The states of a WebSocket."""

import enum


class State(enum.IntEnum):
    """The state of a WebSocket: RFC 6455.

    CONNECTING until the handshake is done (section 4), OPEN while messages go both ways, CLOSING
    once a Close was sent or came (section 7.1.3), CLOSED when nothing comes any more (7.1.4).
    """

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


# What is compiled compares numbers.
CONNECTING = 0
OPEN = 1
CLOSING = 2
CLOSED = 3
