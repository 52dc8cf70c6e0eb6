"""Which upstream a request goes to: by its host and the beginning of its path."""

from __future__ import annotations

from typing import NamedTuple

from .backend import Backend
from .upstream import Upstream

__all__ = ["Route", "Routes"]


class Route(NamedTuple):
    """Requests for `host` (None: any; "*.example.org": all below it) whose path begins so.

    Whole segments count: `/chat` is for `/chat`, `/chat/7` and `/chat?x`, not for `/chatter`. An
    OPTIONS of `*`, which is for a host as a whole, goes where `/` does.
    """

    upstream: Upstream
    path: str = "/"
    host: str | None = None

    def takes(self, host: str, path: str) -> bool:
        """Is this request for it?"""
        wanted = self.host
        if wanted is not None and wanted != host:
            if not (wanted.startswith("*.") and host.endswith(wanted[1:])):
                return False
        prefix = self.path.rstrip("/")
        if path == "*":
            return not prefix
        return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/", "?")


class Routes:
    """Routes, of which the most exact one takes a request: first by host, then by path."""

    def __init__(self, routes: list[Route]) -> None:
        for route in routes:
            check_host(route.host)
            if not route.path.startswith("/"):
                raise ValueError(f"the path of a route begins with a slash: {route.path!r}")
            if not is_asked_for(route.path) or "?" in route.path or "#" in route.path:
                raise ValueError(f"no request has such a path: {route.path!r}")
        self.routes = sorted(
            (route._replace(host=route.host and plain(route.host)) for route in routes),
            key=lambda route: (
                route.host is None,
                (route.host or "").startswith("*."),
                -len(route.host or ""),
                -len(route.path),
            ),
        )

    def find(self, authority: str, path: str) -> Upstream | None:
        """The upstream for a request, or None."""
        name, colon, port = authority.rpartition(":")
        # RFC 3986 section 3.2.3: a port may be empty.
        host = plain(name if colon and (port.isdigit() or not port) else authority)
        for route in self.routes:
            if route.takes(host, path):
                return route.upstream
        return None

    @property
    def upstreams(self) -> list[Upstream]:
        """Each upstream once."""
        return list(dict.fromkeys(route.upstream for route in self.routes))

    @property
    def backends(self) -> list[Backend]:
        """Each backend once."""
        found = [backend for upstream in self.upstreams for backend in upstream.backends]
        return list(dict.fromkeys(found))

    @property
    def busy(self) -> bool:
        """Is any of their backends connected, or about to be?"""
        return any(backend.busy for backend in self.backends)


def plain(host: str) -> str:
    """A host as hosts are compared: in lower case, without the dot of the root behind a name."""
    return host.lower().removesuffix(".")


def check_host(host: str | None) -> None:
    """Raises ValueError where no request names such a host."""
    if host is not None and not plain(host):
        raise ValueError("the host of a route has a name; without a host it is for any")
    if host is not None and ":" in host and not (host[0] == "[" and host[-1] == "]"):
        raise ValueError(f"the host of a route has no port: {host!r}")
    name = None if host is None else host.removeprefix("*.")
    if name is not None and (not plain(name) or "*" in name or not is_asked_for(name)):
        raise ValueError(f"no request names such a host: {host!r}")


def is_asked_for(text: str) -> bool:
    """Can a request say this? Octets beyond ASCII it encodes."""
    return text.isascii() and text.isprintable() and " " not in text
