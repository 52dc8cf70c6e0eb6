"""Which proxy leads to a server: told, or found in the environment."""

from __future__ import annotations

import urllib.parse
import urllib.request
from typing import NamedTuple

from ...errors import InvalidProxy
from ..uri import Target

__all__ = ["Proxy", "find_proxy", "parse_proxy"]

# RFC 1928 section 3: "The SOCKS service is conventionally located on TCP port 1080."
PORTS = {"http": 80, "https": 443, "socks5h": 1080, "socks5": 1080, "socks4a": 1080, "socks4": 1080}


class Proxy(NamedTuple):
    """The address of a proxy, taken apart."""

    scheme: str
    host: str
    port: int
    username: str | None
    password: str | None

    @property
    def socks(self) -> bool:
        """SOCKS, and not HTTP?"""
        return self.scheme.startswith("socks")

    @property
    def secure(self) -> bool:
        """TLS to the proxy?"""
        return self.scheme == "https"

    def __repr__(self) -> str:
        # It stands in logs: without its password.
        return f"<Proxy {self.scheme}://{self.host}:{self.port}>"


def parse_proxy(address: str) -> Proxy:
    """Take `http://user:password@host:port` apart; also `https`, `socks5h`, `socks5`, `socks4a`, `socks4`.

    With the h or the a the proxy resolves the name of the server, without it this end does.
    Raises InvalidProxy.
    """
    if not isinstance(address, str):
        raise TypeError(f"a proxy is a str: {address!r}")
    try:
        parts = urllib.parse.urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise InvalidProxy(_hide(address), str(error)) from error
    shown = _hide(address)
    if parts.scheme not in PORTS:
        raise InvalidProxy(shown, f"scheme {parts.scheme} isn't supported")
    if not parts.hostname:
        raise InvalidProxy(shown, "hostname isn't provided")
    for name, value in (
        ("path", parts.path.removesuffix("/")),
        ("query", parts.query),
        ("fragment", parts.fragment),
    ):
        if value:
            raise InvalidProxy(shown, f"{name} is meaningless")
    username, password = parts.username, parts.password
    try:
        if username is not None:
            if password is None:
                raise InvalidProxy(shown, "username provided without password")
            username = urllib.parse.unquote(username, errors="strict")
            password = urllib.parse.unquote(password, errors="strict")
        host = parts.hostname
        if not host.isascii():
            host = host.encode("idna").decode()
    except UnicodeError as error:
        raise InvalidProxy(shown, "it holds what is no text, or no name of a host") from error
    return Proxy(parts.scheme, host, port or PORTS[parts.scheme], username, password)


def _hide(address: str) -> str:
    # The password is nothing for an error that somebody logs.
    scheme, found, rest = address.partition("://")
    userinfo, at, host = rest.rpartition("@")
    return f"{scheme}{found}***{at}{host}" if userinfo else address


def find_proxy(target: Target) -> str | None:
    """Return what the environment (or the system) says of the way to a server; None: no proxy.

    `no_proxy` is heeded. For TLS `wss_proxy` comes first, then `socks_proxy`, then `https_proxy`;
    in cleartext `ws_proxy`, `socks_proxy`, `https_proxy`, `http_proxy`. `all_proxy` stands behind
    them.
    """
    if urllib.request.proxy_bypass(f"{target.host}:{target.port}"):
        return None
    known = urllib.request.getproxies()
    names = ("wss", "socks", "https") if target.secure else ("ws", "socks", "https", "http")
    for name in (*names, "all"):
        address = known.get(name)
        if address:
            if name == "socks" and address[:7].lower() == "http://":
                # As systems' settings have it.
                address = f"socks5h://{address[7:]}"
            return address
    return None
