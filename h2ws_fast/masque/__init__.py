"""UDP through HTTP: RFC 9298 over the capsules of RFC 9297, client and proxy."""

from .fields import uses_capsules
from .proxy import UdpProxy
from .template import BadTarget, UriTemplate
from .tunnel import UdpTransport, UdpTunnel, connect_udp, create_datagram_endpoint

__all__ = [
    "BadTarget",
    "UdpProxy",
    "UdpTransport",
    "UdpTunnel",
    "UriTemplate",
    "connect_udp",
    "create_datagram_endpoint",
    "uses_capsules",
]
