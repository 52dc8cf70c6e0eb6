"""The PROXY protocol, versions 1 and 2: a proxy says for whom it has connected.

https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt: one head before all else, TLS included.
What follows belongs to somebody else, so no octet too many is ever asked for.
"""

from __future__ import annotations

import ipaddress

__all__ = ["Introduction"]

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # of version 2
LINE = b"PROXY "  # of version 1
SHORTEST = len(b"PROXY UNKNOWN\r\n")
FIXED = 16  # of version 2: signature, version and command, family, length
MAX_LINE = 107  # section 2.1: "107 chars ... so a 108-byte buffer is always enough"
MAX_HEAD = 4096  # as nginx has it; a length of 65535 is no reason to wait for as much

LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6 = 0x11, 0x21
ADDRESSES = {TCP4: 4, TCP6: 16}  # octets of one


class Introduction:
    """Reads a head: `receive` up to `wanted` octets until that is 0.

    Then `source` is host and port of the client, or None where the proxy speaks for itself (LOCAL,
    UNKNOWN) or for no client of TCP: the transport's own address holds. What else a head of version
    2 tells (TLVs) is skipped.
    """

    __slots__ = ("_octets", "source", "wanted")

    def __init__(self) -> None:
        self._octets = bytearray()
        self.wanted = SHORTEST
        self.source: tuple[str, int] | None = None

    def __bool__(self) -> bool:
        return bool(self._octets)

    def receive(self, octets: bytes | memoryview) -> None:
        """Take octets. Raises ValueError, in words, as soon as they are no head."""
        self._octets += octets
        begun = bytes(self._octets[: len(SIGNATURE)])
        if begun[:6] == LINE[: len(begun)]:
            self._read_line(bytes(self._octets))
        elif begun == SIGNATURE[: len(begun)]:
            self._read_binary(bytes(self._octets))
        else:
            raise ValueError("it is no head of the PROXY protocol")

    def _read_line(self, octets: bytes) -> None:
        line, end, rest = octets.partition(b"\r")
        if b"\n" in line or rest not in (b"", b"\n"):
            raise ValueError("its line of the PROXY protocol ends wrong")
        if rest:
            self.wanted = 0
            self.source = _source_of(line)
            return
        self.wanted = max(SHORTEST - len(octets), 1 if end else 2)
        if len(octets) + self.wanted > MAX_LINE:
            raise ValueError("its line of the PROXY protocol is too long")

    def _read_binary(self, octets: bytes) -> None:
        have = len(octets)
        if have > 12 and octets[12] not in (LOCAL, PROXY):
            raise ValueError("its PROXY head has a version or command that nobody knows")
        if have < FIXED:
            self.wanted = FIXED - have
            return
        size = int.from_bytes(octets[14:16], "big")
        if size > MAX_HEAD - FIXED:
            raise ValueError("its PROXY head is too long")
        n = None
        if octets[12] == PROXY:
            family = octets[13]
            if family >> 4 > 3 or family & 15 > 2:
                raise ValueError("its PROXY head has a family that nobody knows")
            n = ADDRESSES.get(family)
            if n is not None and size < 2 * n + 4:
                raise ValueError("its PROXY head is too short for two addresses")
        self.wanted = FIXED + size - have
        if self.wanted == 0 and n is not None:
            address = ipaddress.ip_address(octets[FIXED : FIXED + n])
            port = octets[FIXED + 2 * n : FIXED + 2 * n + 2]
            self.source = str(address), int.from_bytes(port, "big")


def _source_of(line: bytes) -> tuple[str, int] | None:
    # Section 2.1; what follows UNKNOWN is ignored.
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":
        return None
    kind = {b"TCP4": ipaddress.IPv4Address, b"TCP6": ipaddress.IPv6Address}.get(words[1])
    if kind is None or len(words) != 6:
        raise ValueError("its line of the PROXY protocol has other words")
    ports = []
    for word in words[4:]:
        if not word.isdigit() or (word[:1] == b"0" and word != b"0") or int(word) > 65535:
            raise ValueError("its line of the PROXY protocol has a port that is none")
        ports.append(int(word))
    try:
        source, _ = [kind(word.decode("ascii")) for word in words[2:4]]
        if b"%" in words[2] + words[3]:
            raise ValueError("a zone")
    except ValueError:
        raise ValueError("its line of the PROXY protocol has an address that is none") from None
    return str(source), ports[0]
