"""Which addresses anybody in the world may be led to: not those of this machine or its network."""

from __future__ import annotations

import ipaddress
import socket
from typing import TypeAlias

__all__ = ["is_public"]

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"

# RFC 6890 and the registries it began. What the standard library calls global changed with its
# patch releases, and it does not look into the addresses that carry others.
SPECIAL = [
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network; Linux connects to itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a carrier's NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local: clouds keep their metadata there
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # and broadcast
    )
]
GLOBAL = ipaddress.IPv6Network("2000::/3")  # all the rest of IPv6 is local, special or not in use
SPECIAL_6 = [
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "3fff::/20")  # Teredo among the first
]
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for: mapped, translated (NAT64) or 6to4."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour


def is_public(address: str | Address) -> bool:
    """Is this an address of the Internet? Raises ValueError where it is none at all."""
    if isinstance(address, str):
        address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        within = carried(address)
        if within is None:
            return address in GLOBAL and not any(address in network for network in SPECIAL_6)
        address = within
    return not any(address in network for network in SPECIAL)


def is_own(family: int, address: str) -> bool:
    """Is this one of the machine's own addresses? Nothing is sent to find out."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            # The kernel chooses the source, which is the target itself where that is here.
            probe.connect((address, 9))
            source = probe.getsockname()[0]
        except OSError:
            return False
    return bool(source == address)
