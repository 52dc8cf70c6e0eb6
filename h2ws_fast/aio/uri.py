"""Where to connect: RFC 6455 section 3 and RFC 8441 section 5."""

from __future__ import annotations

import base64
import ipaddress
import urllib.parse
from typing import NamedTuple

from ..errors import InvalidURI

__all__ = ["Target", "parse", "whole"]

SCHEMES = {  # scheme of the URI -> (`:scheme`, default port)
    "ws": ("http", 80),
    "wss": ("https", 443),
    "http": ("http", 80),
    "https": ("https", 443),
}


class Target(NamedTuple):
    """A URI taken apart: `authority` and `path` as HTTP/2 sends them."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str
    headers: list[tuple[str, str]]

    @property
    def secure(self) -> bool:
        """TLS?"""
        return self.scheme == "https"

    @property
    def server_hostname(self) -> str:
        """The name a certificate must have; SNI carries it unless it is an IP address."""
        return without_zone(self.host)


def parse(uri: str) -> Target:
    """Take a `ws`, `wss`, `http` or `https` URI apart, or `host:port`, which means `https`.

    Raises InvalidURI.
    """
    if not isinstance(uri, str):
        raise TypeError(f"a URI is str: {uri!r}")
    uri = whole(uri)
    try:
        parts = urllib.parse.urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise InvalidURI(uri, str(error)) from error
    if parts.scheme not in SCHEMES:
        raise InvalidURI(uri, "the scheme must be ws, wss, http or https")
    if parts.fragment or uri.endswith("#"):
        # RFC 6455 section 3: "Fragment identifiers ... MUST NOT be used on these URIs."
        raise InvalidURI(uri, "it must not have a fragment")
    if not parts.hostname:
        raise InvalidURI(uri, "it names no host")
    host = parts.hostname
    try:
        if not host.isascii():
            host = host.encode("idna").decode()
    except UnicodeError as error:
        raise InvalidURI(uri, "the host is no valid name") from error
    scheme, default = SCHEMES[parts.scheme]
    authority = host
    if _is_ipv6(host):
        # RFC 6874: "%25" and a zone, which means something on this machine alone.
        host = urllib.parse.unquote(host)
        authority = f"[{without_zone(host)}]"
    if port is not None and port != default:
        authority = f"{authority}:{port}"
    path = _quote(parts.path or "/")
    if parts.query:
        path = f"{path}?{_quote(parts.query)}"
    headers = []
    if parts.username is not None:
        user = urllib.parse.unquote(parts.username)
        password = urllib.parse.unquote(parts.password or "")
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers.append(("authorization", f"Basic {token}"))
    return Target(scheme, host, default if port is None else port, authority, path, headers)


def whole(uri: str) -> str:
    """The same with a scheme: `host:port` means `https`."""
    return uri if "://" in uri else f"https://{uri}"


def without_zone(host: str) -> str:
    """An IPv6 address without the zone behind it; any other host as it is."""
    return host.partition("%")[0] if _is_ipv6(host) else host


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).version == 6
    except ValueError:
        return False


def _quote(text: str) -> str:
    # What a URI may hold stays; anything else (spaces, letters outside ASCII) is escaped.
    return urllib.parse.quote(text, safe="/:@!$&'()*+,;=-._~%?[]|")
