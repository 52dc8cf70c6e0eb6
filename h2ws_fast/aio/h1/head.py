"""The head of an HTTP/1.1 message, gathered octet by octet and looked over before anybody parses it.

`h11` parses, and is lenient where old peers need it. A server shared with other intermediaries must
not be (RFC 9112 section 11.2: two that read one message differently can be told apart): what stands
here is refused before. Nothing is scanned twice, however small the pieces are.
"""

from __future__ import annotations

import re

from ...engine.handshake import split_list, values_of
from ...engine.vocabulary import MAX_CONTENT_LENGTH_DIGITS
from ...errors import H2WSError

__all__ = [
    "MAX_FIELDS",
    "MAX_HEAD",
    "MAX_LINE",
    "Gathering",
    "InvalidHead",
    "check_framing",
    "read_fields",
]

# Precedents: Node 16 KiB, nginx 32 KiB, h11 16 KiB. As large as what HTTP/2 may bring here.
MAX_HEAD = 65536  # octets: 431
MAX_LINE = 8192  # of the request or status line: 414
MAX_FIELDS = 100  # 431

CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # but for the tab
SAYING = re.compile(rb"[^\r\n]")

Fields = list[tuple[bytes, bytes]]


class InvalidHead(H2WSError):
    """A head that is refused: `status` is what a server answers, `limit` names what was passed."""

    def __init__(self, status: int, reason: str, limit: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.limit = limit


class Gathering:
    """The octets of heads as they arrive, and whatever comes behind."""

    __slots__ = ("_line", "_scanned", "octets")

    def __init__(self) -> None:
        self.octets = bytearray()
        self._scanned = 0
        self._line = False  # the first line is whole, and not too long

    def __len__(self) -> int:
        return len(self.octets)

    @property
    def blank(self) -> bool:
        """Has nothing come but empty lines? The first other octet tells, however many follow."""
        return SAYING.search(self.octets) is None

    def add(self, data: bytes) -> None:
        """More octets came."""
        self.octets += data

    def rest(self) -> bytes:
        """Take all octets away that belong to no head."""
        data = bytes(self.octets)
        self.octets.clear()
        self._scanned = 0
        self._line = False
        return data

    def take(self) -> bytes | None:
        """Return the next head with its empty line, or None while it is not whole.

        Raises InvalidHead.
        """
        octets = self.octets
        # RFC 9112 section 2.2: a server "SHOULD ignore at least one empty line (CRLF)".
        while octets.startswith(b"\r\n"):
            del octets[:2]
            self._scanned = 0
            self._line = False
        if octets and not 0x21 <= octets[0] <= 0x7E and octets != b"\r":
            raise InvalidHead(400, "this is not HTTP")
        found = octets.find(b"\r\n\r\n", max(0, self._scanned - 3))
        end = len(octets) if found < 0 else found + 4
        self._check_ends(end)
        if not self._line:
            at = octets.find(b"\r\n", max(0, self._scanned - 1))
            if at > MAX_LINE or (at < 0 and end > MAX_LINE):
                raise InvalidHead(414, "the first line is too long", "max_line")
            self._line = at >= 0
        self._scanned = end
        if end > MAX_HEAD:
            raise InvalidHead(431, "the head is too large", "max_head")
        if found < 0:
            return None
        head = bytes(octets[:end])
        del octets[:end]
        self._scanned = 0
        self._line = False
        if head.count(b"\r\n") - 2 > MAX_FIELDS:
            raise InvalidHead(431, "too many fields", "max_fields")
        if b"\r\n " in head or b"\r\n\t" in head:
            # RFC 9112 section 5.2: a server "MUST either reject the message [...] or replace".
            raise InvalidHead(400, "a field is folded over lines")
        return head

    def _check_ends(self, end: int) -> None:
        # Lines end with CR LF, and neither stands alone: RFC 9112 section 2.2.
        octets = self.octets
        start = max(0, self._scanned - 1)
        pairs = octets.count(b"\r\n", start, end)
        lonely = octets.count(b"\n", start, end) - pairs
        if start and octets[start] == 0x0A:
            lonely -= 1  # its CR was looked at before
        bare = octets.count(b"\r", start, end) - pairs
        if octets[end - 1 : end] == b"\r":
            bare -= 1  # its LF is still to come
        if lonely or bare:
            raise InvalidHead(400, "a line does not end with CR LF")


def read_fields(head: bytes) -> Fields:
    """Return the fields of a head, names in lower case, values without the blanks around them.

    Raises InvalidHead for control octets, which HTTP/2 has no place for: RFC 9110 section 5.5.
    """
    fields = []
    for line in head[:-4].split(b"\r\n")[1:]:
        if CONTROL.search(line) is not None:
            raise InvalidHead(400, "a control octet in a field")
        name, _, value = line.partition(b":")
        fields.append((name.lower(), value.strip(b" \t")))
    return fields


def check_framing(version: bytes, fields: Fields) -> None:
    """Refuse a request whose length two readers might see differently: RFC 9112 section 6.3.

    What is left is for `h11`: the digits of content-length, and that they agree.
    """
    if any(
        len(value) > MAX_CONTENT_LENGTH_DIGITS for value in values_of(fields, b"content-length")
    ):
        # RFC 9110 section 8.6: recipients must "prevent parsing errors due to integer conversion
        # overflows", and some do not: what is 2**64 for one is 0 for another.
        raise InvalidHead(400, "content-length is too large")
    codings = values_of(fields, b"transfer-encoding")
    if not codings:
        return
    if values_of(fields, b"content-length"):
        raise InvalidHead(400, "both transfer-encoding and content-length")
    if version < b"1.1":
        raise InvalidHead(400, "transfer-encoding in HTTP/1.0")
    names = [name.lower() for value in codings for name in split_list(value)]
    if not names or names[-1] != b"chunked" or names.count(b"chunked") > 1:
        # RFC 9112 section 6.3: where chunked is not the last, the length "cannot be determined
        # reliably; the server MUST respond with the 400 (Bad Request) status code".
        raise InvalidHead(400, "the last transfer coding is not chunked")
