"""Ports of this machine that lead through a server: TCP by CONNECT, UDP by connect-udp, SOCKS5."""

from .link import Link, Unavailable
from .named import NamedStreams
from .rules import Rule, StreamRule, socks_rule, tcp_rule
from .socks import Socks
from .tcp import TcpForward
from .udp import UdpForward

__all__ = [
    "Link",
    "NamedStreams",
    "Rule",
    "Socks",
    "StreamRule",
    "TcpForward",
    "UdpForward",
    "Unavailable",
    "socks_rule",
    "tcp_rule",
]
