"""What is forwarded to where: `[bind:]port:host:hostport` as ssh says it, or `port:token:/path`."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from ..masque.template import BadTarget, check_target

__all__ = [
    "PortRange",
    "Rule",
    "StreamRule",
    "remote_rule",
    "socks_rule",
    "stream_name",
    "target",
    "tcp_rule",
]

LOCAL = "127.0.0.1"

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
PATH = re.compile(r"/[!-~]*")


class Rule(NamedTuple):
    """Listen on `bind` and `port` (0: a free one) for `host` and `hostport`."""

    bind: str
    port: int
    host: str
    hostport: int

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read `[bind:]port:host:hostport`; IPv6 addresses stand in brackets. Raises ValueError."""
        parts = split(text)
        if len(parts) == 3:
            parts.insert(0, LOCAL)
        if len(parts) != 4:
            raise ValueError(f"[bind:]port:host:hostport, not {text!r}")
        try:
            host, hostport = check_target(parts[2], parts[3])
        except BadTarget as error:
            raise ValueError(f"{text!r}: {error}") from None
        return cls(parts[0], listening_port(parts[1]), host, hostport)

    @property
    def authority(self) -> str:
        """The target as a CONNECT names it."""
        return authority_of(self.host, self.hostport)

    def __str__(self) -> str:
        return self.authority


class StreamRule(NamedTuple):
    """Listen on `bind` and `port` (0: a free one) for streams by `token`, of `path`."""

    bind: str
    port: int
    token: str
    path: str

    @classmethod
    def parse(cls, text: str) -> StreamRule | None:
        """Read `[bind:]port:token:/path`; None where it is another kind of rule. Raises ValueError."""
        before, found, path = text.partition(":/")
        if not found:
            return None
        parts = split(before)
        if len(parts) == 2:
            parts.insert(0, LOCAL)
        if len(parts) != 3:
            raise ValueError(f"[bind:]port:token:/path, not {text!r}")
        return cls(parts[0], listening_port(parts[1]), *stream_name(f"{parts[2]}:/{path}"))

    def __str__(self) -> str:
        return f"{self.token}:{self.path}"


def tcp_rule(text: str) -> Rule | StreamRule:
    """Read what `-L` is given. Raises ValueError."""
    return StreamRule.parse(text) or Rule.parse(text)


def stream_name(text: str) -> tuple[str, str]:
    """Read `token:/path`. Raises ValueError."""
    token, _, path = text.partition(":")
    if not TOKEN.fullmatch(token) or not PATH.fullmatch(path):
        raise ValueError(f"token:/path, not {text!r}")
    return token.lower(), path


class PortRange(NamedTuple):
    """Ports that may be listened on: `first` to `last` of `bind`, an address."""

    bind: str
    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> PortRange:
        """Read `[bind:]port` or `[bind:]first-last`. Raises ValueError."""
        bind, ports = bound(text, "[bind:]port[-last]")
        first, dash, last = ports.partition("-")
        found = cls(address(bind), listening_port(first), listening_port(last if dash else first))
        if found.first > found.last:
            raise ValueError(f"the first port is above the last: {text!r}")
        return found

    def includes(self, bind: str, port: int) -> bool:
        """Is it among these? `bind` is as `address` returns it."""
        return bind == self.bind and self.first <= port <= self.last


def address(text: str) -> str:
    """Return an address of IPv4 or IPv6 in its usual form. Raises ValueError, for a zone as well."""
    if "%" in text:
        raise ValueError(f"no address without a zone: {text!r}")
    return str(ipaddress.ip_address(text))


def authority_of(host: str, port: int) -> str:
    """Host and port as a CONNECT names them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def target(text: str) -> str:
    """Read `host:port`, and return it as a CONNECT names it; addresses of IPv6 stand in brackets.
    Raises ValueError."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return authority_of(*check_target(bare, port))
    except BadTarget as error:
        raise ValueError(f"host:port, not {text!r}: {error}") from None


def socks_rule(text: str) -> tuple[str, int]:
    """Read `[bind:]port`. Raises ValueError."""
    bind, port = bound(text, "[bind:]port")
    return bind, listening_port(port)


def remote_rule(text: str) -> Rule:
    """Read what `-R` is given: a Rule whose `bind` is an address. Raises ValueError."""
    rule = Rule.parse(text)
    return rule._replace(bind=address(rule.bind))


def bound(text: str, form: str) -> tuple[str, str]:
    """Cut what follows `bind` off, which is 127.0.0.1 where it is left out. Raises ValueError."""
    parts = split(text)
    if len(parts) == 1:
        parts.insert(0, LOCAL)
    if len(parts) != 2:
        raise ValueError(f"{form}, not {text!r}")
    return parts[0], parts[1]


def split(text: str) -> list[str]:
    """Cut at colons that are not within brackets, and take brackets away."""
    parts, at = [""], 0
    while at < len(text):
        if text[at] == "[" and parts[-1] == "":
            end = text.find("]", at)
            if end < 0 or text[end + 1 : end + 2] not in ("", ":"):
                raise ValueError(f"a bracket is not closed: {text!r}")
            parts[-1], at = text[at + 1 : end], end + 1
        elif text[at] == ":":
            parts.append("")
            at += 1
        else:
            parts[-1] += text[at]
            at += 1
    return parts


def listening_port(text: str) -> int:
    """A port, 0 for a free one. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise ValueError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)
