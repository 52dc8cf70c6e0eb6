"""Ports that lead through a server: of this machine, TCP by CONNECT, UDP by connect-udp, SOCKS5; and
of the server's, that lead here. Its ends of what no RFC describes: `NamedStreams`, `Ports`."""

from .link import Link, Unavailable
from .named import NamedStreams
from .ports import Ports
from .remote import Remote, Remotes
from .rules import PortRange, Rule, StreamRule, remote_rule, socks_rule, tcp_rule
from .socks import Socks
from .tcp import TcpForward
from .udp import UdpForward

__all__ = [
    "Link",
    "NamedStreams",
    "PortRange",
    "Ports",
    "Remote",
    "Remotes",
    "Rule",
    "Socks",
    "StreamRule",
    "TcpForward",
    "UdpForward",
    "Unavailable",
    "remote_rule",
    "socks_rule",
    "tcp_rule",
]
