"""Where a proxy may lead its clients: to hosts and ports that were allowed, at public addresses.

What counts is the address that is dialled: names are resolved once, here, and never again.
"""

from __future__ import annotations

import errno
import inspect
import ipaddress
import itertools
import socket
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Any, TypeAlias

from ..client.race import MAX_ADDRESSES
from ..http import Request, Response
from .addresses import forms, is_own, is_public
from .lookups import Lookups

__all__ = ["Allow", "Refused", "Resolve", "Targets", "check_descriptors", "new_socket"]

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


def written_once(host: str) -> str:
    """A host in the one spelling that hosts are compared in."""
    host = host.lower().removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def named(target: str) -> tuple[str, int | None]:
    """Host and port of `host`, `host:port` or an address of IPv6, in brackets where a port follows."""
    host, colon, port = target.rpartition(":")
    if colon and (host.endswith("]") or ":" not in host):
        return written_once(host), int(port)
    return written_once(target), None


class Targets:
    """The targets that a proxy leads to. What the arguments mean, `Dialer` says."""

    def __init__(
        self,
        allow: Allow = None,
        *,
        ports: Iterable[int] | None = None,
        private: bool = False,
        deny: Iterable[str] = (),
        resolve: Resolve | None = None,
    ) -> None:
        for name, value in (("allow", allow), ("deny", deny)):
            if isinstance(value, str):
                raise TypeError(f"{name} is an iterable of str, not one str")
        if allow is None or callable(allow):
            self._allow = allow
            self._names = None
        else:
            self._allow = None
            self._names = frozenset(map(named, allow))
        self._ports = None if ports is None else frozenset(ports)
        self._private = private
        self._denied = [ipaddress.ip_network(network) for network in deny]
        self._resolve = resolve
        self._lookups = Lookups()

    async def find(
        self, request: Request, host: str, port: int, kind: int, client: Hashable
    ) -> list[tuple[int, Any]]:
        """Return (family, socket address) of what may be dialled, in the order of the resolver.

        `kind` is that of the socket. Raises Refused.
        """
        host = written_once(host)
        await self._check(request, host, port)
        return await self._addresses(host, port, kind, client)

    async def _check(self, request: Request, host: str, port: int) -> None:
        if self._ports is not None and port not in self._ports:
            raise Refused(403, "http_request_denied")
        if self._names is not None:
            if (host, None) not in self._names and (host, port) not in self._names:
                raise Refused(403, "http_request_denied")
        if self._allow is not None:
            allowed = self._allow(request, host, port)
            if inspect.isawaitable(allowed):
                allowed = await allowed
            if not allowed:
                raise Refused(403, "http_request_denied")

    async def _addresses(
        self, host: str, port: int, kind: int, client: Hashable
    ) -> list[tuple[int, Any]]:
        try:
            if self._resolve is None:
                found: Any = await self._lookups.find(client, host, port, kind)
            else:
                found = await self._resolve(host, port)
        except TimeoutError:
            raise Refused(504, "dns_timeout") from None
        except (OSError, UnicodeError) as error:
            raise Refused(502, "dns_error") from error
        # A name with a thousand addresses is not asked about a thousand times.
        first = itertools.islice(found, MAX_ADDRESSES)
        addresses = [unmapped(entry[0], entry[4]) for entry in first]
        if not addresses:
            raise Refused(502, "dns_error")
        addresses = [entry for entry in addresses if self._may_be_dialled(entry[1][0])]
        if not addresses:
            raise Refused(403, "destination_ip_prohibited")
        return addresses

    def _may_be_dialled(self, address: str) -> bool:
        if any(each in network for each in forms(address) for network in self._denied):
            return False
        if self._private:
            return True
        try:
            return is_public(address) and not is_own(address)
        except OSError as error:
            check_descriptors(error)
            return False


def unmapped(family: int, address: Any) -> tuple[int, Any]:
    """An address of IPv4 that is written as one of IPv6 (RFC 4291 section 2.5.5.2) as what it is: so
    is it checked, and so it takes the options of its kind."""
    if family == socket.AF_INET6:
        mapped = getattr(forms(address[0])[0], "ipv4_mapped", None)
        if mapped is not None:
            return socket.AF_INET, (str(mapped), address[1])
    return family, address


def check_descriptors(error: OSError) -> None:
    """Raise Refused where there are no descriptors left."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        raise Refused(503, "connection_limit_reached") from error


def new_socket(family: int, kind: int) -> socket.socket | None:
    """Return a socket that does not block; None for a family that this machine does not speak.

    Raises Refused where there are no descriptors left.
    """
    try:
        sock = socket.socket(family, kind)
    except OSError as error:
        check_descriptors(error)
        return None
    sock.setblocking(False)
    return sock
