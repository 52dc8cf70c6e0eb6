"""Where a proxy may lead its clients: to hosts and ports that were allowed, at public addresses.

What counts is the address that is dialled: names are resolved once, here, and never again.
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

from ..http import Request, Response
from .addresses import is_own, is_public

__all__ = ["Allow", "Refused", "Resolve", "Targets", "new_socket"]

Allow: TypeAlias = "Callable[[Request, str, int], Any] | Iterable[str] | None"
# Like getaddrinfo: (family, type, protocol, canonical name, socket address), any number of them.
Resolve: TypeAlias = "Callable[[str, int], Awaitable[Iterable[tuple[Any, ...]]]]"


class Refused(Exception):
    """The target cannot be had: a status, and the error of RFC 9209 section 2.3 that says why."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error

    def response(self) -> Response:
        """The answer that says so."""
        return Response(self.status, [("proxy-status", f"h2ws_fast; error={self.error}")])


class Targets:
    """The targets that a proxy leads to. What the arguments mean, `Dialer` says."""

    def __init__(
        self,
        allow: Allow = None,
        *,
        ports: Iterable[int] | None = None,
        private: bool = False,
        resolve: Resolve | None = None,
    ) -> None:
        if isinstance(allow, str):
            raise TypeError("allow is an iterable of str, not one str")
        if allow is None or callable(allow):
            self._allow = allow
            self._names = None
        else:
            self._allow = None
            self._names = frozenset(target.lower() for target in allow)
        self._ports = None if ports is None else frozenset(ports)
        self._private = private
        self._resolve = resolve

    async def find(
        self, request: Request, host: str, port: int, kind: int = socket.SOCK_STREAM
    ) -> list[tuple[int, Any]]:
        """Return (family, socket address) of what may be dialled, in the order of the resolver.

        Raises Refused.
        """
        host = host.lower()
        await self._check(request, host, port)
        return await self._addresses(host, port, kind)

    async def _check(self, request: Request, host: str, port: int) -> None:
        if self._ports is not None and port not in self._ports:
            raise Refused(403, "http_request_denied")
        if self._names is not None:
            name = f"[{host}]" if ":" in host else host
            if name not in self._names and f"{name}:{port}" not in self._names:
                raise Refused(403, "http_request_denied")
        if self._allow is not None:
            allowed = self._allow(request, host, port)
            if inspect.isawaitable(allowed):
                allowed = await allowed
            if not allowed:
                raise Refused(403, "http_request_denied")

    async def _addresses(self, host: str, port: int, kind: int) -> list[tuple[int, Any]]:
        try:
            if self._resolve is None:
                loop = asyncio.get_running_loop()
                found: Any = await loop.getaddrinfo(host, port, type=kind)
            else:
                found = await self._resolve(host, port)
        except TimeoutError:
            raise Refused(504, "dns_timeout") from None
        except (OSError, UnicodeError) as error:
            raise Refused(502, "dns_error") from error
        addresses = [(entry[0], entry[4]) for entry in found]
        if not addresses:
            raise Refused(502, "dns_error")
        if not self._private:
            addresses = [
                (family, address)
                for family, address in addresses
                if is_public(address[0]) and not is_own(family, address[0])
            ]
            if not addresses:
                raise Refused(403, "destination_ip_prohibited")
        return addresses


def new_socket(family: int, kind: int) -> socket.socket | None:
    """Return a socket that does not block; None for a family that this machine does not speak.

    Raises Refused where there are no descriptors left.
    """
    try:
        sock = socket.socket(family, kind)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise Refused(503, "connection_limit_reached") from error
        return None
    sock.setblocking(False)
    return sock
