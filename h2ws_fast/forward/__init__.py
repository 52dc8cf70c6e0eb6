"""Ports of this machine that lead through a server: TCP by CONNECT, UDP by connect-udp, SOCKS5."""

from .link import Link, Unavailable
from .rules import Rule, socks_rule
from .socks import Socks
from .tcp import TcpForward
from .udp import UdpForward

__all__ = ["Link", "Rule", "Socks", "TcpForward", "UdpForward", "Unavailable", "socks_rule"]
