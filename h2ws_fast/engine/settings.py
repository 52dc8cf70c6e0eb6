"""What this end advertises: RFC 9113 section 6.5.2, RFC 8441 section 3, RFC 9218 section 2.1.

SETTINGS_ENABLE_BIDIRECTIONAL_CONNECT is that of draft-kinnear-httpbis-http2-transport-02, section 2.
"""

import os

from .constants import (
    DEFAULT_FRAME_SIZE,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    SETTINGS_ENABLE_CONNECT_PROTOCOL,
    SETTINGS_ENABLE_PUSH,
    SETTINGS_HEADER_TABLE_SIZE,
    SETTINGS_INITIAL_WINDOW_SIZE,
    SETTINGS_MAX_CONCURRENT_STREAMS,
    SETTINGS_MAX_FRAME_SIZE,
    SETTINGS_MAX_HEADER_LIST_SIZE,
    SETTINGS_NO_RFC7540_PRIORITIES,
)


def _check(name, value, low, high):
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be an int between {low} and {high}: {value!r}")
    return value


# identifier -> (name, lowest, highest value) of what an endpoint may send; others have 32 bits
_RANGES = {
    # What a peer may make each of its connections hold.
    SETTINGS_HEADER_TABLE_SIZE: ("SETTINGS_HEADER_TABLE_SIZE", 0, 2**16),
    SETTINGS_ENABLE_PUSH: ("SETTINGS_ENABLE_PUSH", 0, 0),
    SETTINGS_MAX_CONCURRENT_STREAMS: ("SETTINGS_MAX_CONCURRENT_STREAMS", 0, 2**31 - 1),
    SETTINGS_INITIAL_WINDOW_SIZE: ("SETTINGS_INITIAL_WINDOW_SIZE", 0, MAX_WINDOW),
    SETTINGS_MAX_FRAME_SIZE: ("SETTINGS_MAX_FRAME_SIZE", DEFAULT_FRAME_SIZE, MAX_FRAME_SIZE),
    SETTINGS_MAX_HEADER_LIST_SIZE: ("SETTINGS_MAX_HEADER_LIST_SIZE", 0, 2**32 - 1),
    SETTINGS_ENABLE_CONNECT_PROTOCOL: ("SETTINGS_ENABLE_CONNECT_PROTOCOL", 0, 1),
    SETTINGS_NO_RFC7540_PRIORITIES: ("SETTINGS_NO_RFC7540_PRIORITIES", 1, 1),
}


def _in_range(identifier, name, value):
    _, low, high = _RANGES[identifier]
    return _check(name, value, low, high)


def check_setting(identifier, value):
    """Raise ValueError for a setting that must not be sent."""
    _check("a setting's identifier", identifier, 1, 2**16 - 1)
    name, low, high = _RANGES.get(identifier, (f"setting {identifier:#x}", 0, 2**32 - 1))
    _check(name, value, low, high)


# No number was ever assigned to SETTINGS_ENABLE_BIDIRECTIONAL_CONNECT; this one is of those that are
# registered first come, first served, and nobody has.
BIDIRECTIONAL_CONNECT_ID = 0xFB00


class Settings:
    """Settings of this end, by keyword. Raises ValueError for a number out of its range.

    `header_table_size` (octets, to 65536), `max_concurrent_streams` (to 2^31 - 1),
    `initial_window_size` (octets, to 2^31 - 1), `max_frame_size` (octets, 16384 to 2^24 - 1) and
    `max_header_list_size` (octets, to 2^32 - 1) are those of RFC 9113 section 6.5.2, and
    `connection_window` (octets, 65535 to 2^31 - 1) is what section 6.9.2 leaves to WINDOW_UPDATE.

    `enable_connect_protocol` is for a server: None means yes, unless the environment holds
    `H2WS_FAST_CONNECT=0`. `connection_window` is no setting on the wire: it is announced by a
    WINDOW_UPDATE right after the SETTINGS.

    `enable_bidirectional_connect` lets the server open extended CONNECT streams, too: a client says
    so with two settings, this one and SETTINGS_ENABLE_CONNECT_PROTOCOL, and takes such streams as a
    server does; a server opens them where a client said both. `bidirectional_connect_id` is the
    number of the setting, which both ends must agree on.

    `no_rfc7540_priorities` says that the old priority signals are read over (RFC 9218 section
    2.1). Without it they have no effect either, but a stream that depends on itself is then the
    error of RFC 7540 section 5.3.1.
    """

    __slots__ = (
        "bidirectional_connect_id",
        "connection_window",
        "enable_bidirectional_connect",
        "enable_connect_protocol",
        "header_table_size",
        "initial_window_size",
        "max_concurrent_streams",
        "max_frame_size",
        "max_header_list_size",
        "no_rfc7540_priorities",
    )

    def __init__(
        self,
        *,
        header_table_size=4096,
        # Long-lived streams are the normal case for WebSockets; 128 is enough for requests.
        max_concurrent_streams=1000,
        initial_window_size=262144,
        max_frame_size=DEFAULT_FRAME_SIZE,
        # Twice as much ends the connection: CVE-2016-6581.
        max_header_list_size=65536,
        enable_connect_protocol=None,
        connection_window=16 * 2**20,
        no_rfc7540_priorities=True,
        enable_bidirectional_connect=False,
        bidirectional_connect_id=BIDIRECTIONAL_CONNECT_ID,
    ):
        self.header_table_size = _in_range(
            SETTINGS_HEADER_TABLE_SIZE, "header_table_size", header_table_size
        )
        self.max_concurrent_streams = _in_range(
            SETTINGS_MAX_CONCURRENT_STREAMS, "max_concurrent_streams", max_concurrent_streams
        )
        self.initial_window_size = _in_range(
            SETTINGS_INITIAL_WINDOW_SIZE, "initial_window_size", initial_window_size
        )
        self.max_frame_size = _in_range(SETTINGS_MAX_FRAME_SIZE, "max_frame_size", max_frame_size)
        self.max_header_list_size = _in_range(
            SETTINGS_MAX_HEADER_LIST_SIZE, "max_header_list_size", max_header_list_size
        )
        if enable_connect_protocol is None:
            enable_connect_protocol = os.environ.get("H2WS_FAST_CONNECT") != "0"
        self.enable_connect_protocol = bool(enable_connect_protocol)
        # RFC 9113 section 6.9.2: it starts at 65535, and only grows.
        self.connection_window = _check("connection_window", connection_window, 65535, MAX_WINDOW)
        self.no_rfc7540_priorities = bool(no_rfc7540_priorities)
        self.enable_bidirectional_connect = bool(enable_bidirectional_connect)
        _check("bidirectional_connect_id", bidirectional_connect_id, 1, 2**16 - 1)
        if bidirectional_connect_id <= SETTINGS_NO_RFC7540_PRIORITIES:
            raise ValueError(f"setting {bidirectional_connect_id:#x} means something else already")
        self.bidirectional_connect_id = bidirectional_connect_id

    def dialect(self):
        """Return what rewrites the field lists of a connection; None: they are RFC 9113's."""
        return None

    def entries(self, client):
        """The (identifier, value) pairs of the first SETTINGS frame, in order."""
        entries = [
            (SETTINGS_HEADER_TABLE_SIZE, self.header_table_size),
            (SETTINGS_INITIAL_WINDOW_SIZE, self.initial_window_size),
            (SETTINGS_MAX_FRAME_SIZE, self.max_frame_size),
            (SETTINGS_MAX_HEADER_LIST_SIZE, self.max_header_list_size),
        ]
        if self.no_rfc7540_priorities:
            entries.append((SETTINGS_NO_RFC7540_PRIORITIES, 1))
        both_ways = self.enable_bidirectional_connect and self.enable_connect_protocol
        if both_ways or not client:
            entries.insert(1, (SETTINGS_MAX_CONCURRENT_STREAMS, self.max_concurrent_streams))
        if client:
            entries.insert(1, (SETTINGS_ENABLE_PUSH, 0))
        if both_ways or (self.enable_connect_protocol and not client):
            entries.append((SETTINGS_ENABLE_CONNECT_PROTOCOL, 1))
        if both_ways:
            # "MUST [...] also" the one before: who takes CONNECT from either end sends both.
            entries.append((self.bidirectional_connect_id, 1))
        return entries
