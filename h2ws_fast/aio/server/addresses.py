"""Which addresses anybody in the world may be led to: not those of this machine or its network."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import TypeAlias

__all__ = ["Address", "forms", "is_own", "is_public"]

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
        "168.63.129.16/32",  # Azure: the host of a virtual machine, with its DNS and its secrets
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


def parsed(address: str | Address) -> Address:
    """An address as an object. Raises ValueError where it is none at all."""
    if isinstance(address, str):
        return ipaddress.ip_address(address.partition("%")[0])
    return address


def forms(address: str | Address) -> list[Address]:
    """An address and, where it is one of IPv6 that stands for one of IPv4, that one too."""
    address = parsed(address)
    within = carried(address) if isinstance(address, ipaddress.IPv6Address) else None
    return [address] if within is None else [address, within]


def is_public(address: str | Address) -> bool:
    """Is this an address of the Internet? Raises ValueError where it is none at all."""
    address = forms(address)[-1]
    if isinstance(address, ipaddress.IPv6Address):
        return address in GLOBAL and not any(address in network for network in SPECIAL_6)
    return not any(address in network for network in SPECIAL)


def is_own(address: str | Address) -> bool:
    """Is this one of the machine's own addresses, or does it stand for one? Nothing is sent to find
    out. Raises OSError where there is no socket to ask with."""
    return any(source_towards(each) == each for each in forms(address))


def source_towards(address: Address) -> Address | None:
    """The address from which this machine sends to another: that one itself where it is here. None
    where it sends nothing there."""
    six = isinstance(address, ipaddress.IPv6Address)
    try:
        probe = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return None
        raise
    with probe:
        try:
            probe.connect((str(address), 9))
        except OSError:
            return None
        return parsed(probe.getsockname()[0])
