"""What both transports are told, and what they know of it."""

from __future__ import annotations

import importlib.util
import ssl as ssl_module
from collections.abc import Iterable
from typing import Any

import httpx

from ..aio import tls
from .link import Way
from .pool import Pool
from .question import Question

__all__ = ["Arguments"]

# As httpx has them: it does not give its own away.
LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)

Options = Iterable[tuple[Any, ...]]


class Arguments:
    """The arguments of a transport, for its own connections and for those of httpx.

    Both transports begin so, and then with `_begin`.
    """

    def __init__(
        self,
        verify: ssl_module.SSLContext | str | bool = True,
        cert: Any = None,
        trust_env: bool = True,
        *,
        limits: httpx.Limits = LIMITS,
        proxy: Any = None,
        uds: str | None = None,
        local_address: str | None = None,
        retries: int = 0,
        socket_options: Options | None = None,
        prior_knowledge: bool = False,
    ) -> None:
        options = None if socket_options is None else list(socket_options)
        if isinstance(proxy, str | httpx.URL):
            proxy = httpx.Proxy(proxy)
        self._others: dict[str, Any] = {
            "verify": verify,
            "cert": cert,
            "trust_env": trust_env,
            "limits": limits,
            "proxy": proxy,
            "uds": uds,
            "local_address": local_address,
            "retries": retries,
            "socket_options": options,
        }
        self._prior_knowledge = prior_knowledge
        self._proxied = proxy is not None
        self._tunnels = proxy is not None and _tunnels(proxy)
        context = httpx.create_ssl_context(verify=verify, cert=cert, trust_env=trust_env)
        self._pool = Pool(
            Way(
                tls.prepare(context, server=False),
                limits.keepalive_expiry,
                uds,
                local_address,
                options,
                proxy,
            ),
            limits,
            retries,
        )
        self._begin()

    def _begin(self) -> None:
        """What a transport has of its own."""

    def _takes(self, request: httpx.Request, question: Question) -> bool:
        """Is this request one for HTTP/2, as far as is known?

        TLS with the server goes through a proxy as octets; in cleartext that is asked in HTTP/1.1.
        """
        origin = question.origin
        return not (
            (self._proxied and not (self._tunnels and origin.secure))
            or request.method == "CONNECT"
            or (not origin.secure and not self._prior_knowledge)
            or origin in self._pool.without_h2
            or (question.websocket and origin in self._pool.without_websockets)
        )


def _tunnels(proxy: httpx.Proxy) -> bool:
    # Do our connections lead through it? Headers for the proxy are httpx's own matter.
    if proxy.url.scheme.startswith("socks"):
        return importlib.util.find_spec("python_socks") is not None
    return not proxy.headers
