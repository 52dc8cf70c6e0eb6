"""What a server sent, frame by frame: a record that no engine has judged."""

from __future__ import annotations

import struct

from ..engine import constants as c

__all__ = ["Seen"]

# The frames whose payload is kept; of all others only the head is.
READ = (c.SETTINGS, c.RST_STREAM, c.GOAWAY, c.WINDOW_UPDATE)
BEGINNING = 64


class Seen:
    """The frames of one direction, as `feed` is given their octets in any split.

    `beginning` is the first octets, whatever they are. `settings` has one dict for each SETTINGS
    frame; `resets` has the error code of each stream's RST_STREAM, `ends` the streams that ended
    with END_STREAM; `credit` is what WINDOW_UPDATE frames gave, stream 0 being the connection;
    `goaway` is (error code, debug data) of the last GOAWAY: the first of two may only announce.
    """

    def __init__(self) -> None:
        self.beginning = b""
        self.settings: list[dict[int, int]] = []
        self.resets: dict[int, int] = {}
        self.ends: set[int] = set()
        self.credit: dict[int, int] = {}
        self.goaway: tuple[int, bytes] | None = None
        self._octets = bytearray()
        self._skip = 0

    @property
    def is_http2(self) -> bool:
        """Does it begin as RFC 9113 section 3.4 demands: with SETTINGS?"""
        first = self.beginning[:9]
        return len(first) == 9 and first[3:5] == bytes((c.SETTINGS, 0)) and not any(first[5:9])

    def feed(self, data: bytes) -> None:
        """Octets came."""
        if len(self.beginning) < BEGINNING:
            self.beginning += data[: BEGINNING - len(self.beginning)]
        self._octets += data
        octets = self._octets
        while octets:
            skipped = min(self._skip, len(octets))
            del octets[:skipped]
            self._skip -= skipped
            if len(octets) < 9:
                return
            length, kind = int.from_bytes(octets[:3], "big"), octets[3]
            stream_id = int.from_bytes(octets[5:9], "big") & c.MAX_STREAM_ID
            wanted = length if kind in READ and length <= c.DEFAULT_FRAME_SIZE else 0
            if len(octets) < 9 + wanted:
                return
            self._frame(kind, octets[4], stream_id, bytes(octets[9 : 9 + wanted]))
            del octets[: 9 + wanted]
            self._skip = length - wanted

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind in (c.DATA, c.HEADERS) and flags & c.END_STREAM:
            self.ends.add(stream_id)
        elif kind == c.SETTINGS and not flags & c.ACK and len(payload) % 6 == 0:
            self.settings.append(dict(struct.iter_unpack(">HI", payload)))
        elif kind == c.RST_STREAM and len(payload) == 4:
            self.resets.setdefault(stream_id, int.from_bytes(payload, "big"))
        elif kind == c.WINDOW_UPDATE and len(payload) == 4:
            increment = int.from_bytes(payload, "big") & c.MAX_WINDOW
            self.credit[stream_id] = self.credit.get(stream_id, 0) + increment
        elif kind == c.GOAWAY and len(payload) >= 8:
            self.goaway = (int.from_bytes(payload[4:8], "big"), payload[8:])
