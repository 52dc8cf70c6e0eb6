"""UDP for a client of SOCKS5: RFC 1928 section 7."""

from __future__ import annotations

import ipaddress
from typing import Any

from ..masque.template import BadTarget, check_target
from .flows import Flows
from .packets import Packets

__all__ = ["IPV4", "IPV6", "NAME", "Association", "address_octets"]

IPV4, NAME, IPV6 = 1, 3, 4  # types of addresses


class Association(Packets):
    """A UDP port for one client, at `peer`; where `port` is not 0, it sends from that port alone.

    Before each packet stands where it goes, or comes from: two octets that mean nothing, the number
    of a fragment, then the address. Fragments are dropped, as section 7 allows. Each pair of a port
    of the client's and a target has a tunnel of its own, among `flows`, whose keys are (association,
    the client's address, what stands before its packets): what comes back has the same before it.
    """

    def __init__(self, flows: Flows, peer: str, port: int) -> None:
        super().__init__()
        self._flows = flows
        self._peer = peer
        self._port = port

    def _packet(self, packet: bytes, sender: Any) -> None:
        # "It MUST drop any datagrams arriving from any source IP address other than the one recorded
        # for the particular association."
        if sender[0] != self._peer or self._port not in (0, sender[1]):
            return
        size = head_size(packet)
        if not size:
            return
        head, data = packet[:size], packet[size:]
        key = (self, sender, head)
        if self._flows.send(key, data):
            return
        try:
            host, port = target_of(head)
        except BadTarget:
            return
        self._flows.open(key, host, port, data)

    def answer(self, packet: bytes, key: Any) -> bool:
        """Pass a target's packet on."""
        _, sender, head = key
        return self._answer(head + packet, sender)

    def close(self) -> None:
        """End it, with its tunnels."""
        self.unbind()
        for key in self._flows.keys():
            if key[0] is self:
                self._flows.end(key)


def head_size(packet: bytes) -> int:
    """How many octets stand before a packet; 0 for what is to be dropped."""
    if len(packet) < 5 or packet[:3] != b"\0\0\0":
        return 0
    kind = packet[3]
    if kind == IPV4:
        size = 4 + 4 + 2
    elif kind == IPV6:
        size = 4 + 16 + 2
    elif kind == NAME:
        size = 5 + packet[4] + 2
    else:
        return 0
    return size if size <= len(packet) else 0


def target_of(head: bytes) -> tuple[str, int]:
    """Where packets with this before them go. Raises BadTarget."""
    kind, port = head[3], int.from_bytes(head[-2:], "big")
    if kind == NAME:
        host = head[5:-2].decode("latin-1")
    else:
        host = str(ipaddress.ip_address(head[4:-2]))
    return check_target(host, port)


def address_octets(host: str, port: int) -> bytes:
    """Type, address and port as SOCKS5 writes them."""
    address = ipaddress.ip_address(host.partition("%")[0])
    kind = IPV4 if address.version == 4 else IPV6
    return bytes((kind,)) + address.packed + port.to_bytes(2, "big")
