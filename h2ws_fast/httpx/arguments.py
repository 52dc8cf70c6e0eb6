"""What both transports are told."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Iterable
from typing import Any

import httpx

from ..aio import tls
from .link import Way
from .pool import Pool
from .question import Question

__all__ = ["Arguments", "LIMITS", "Options"]

# As httpx has them: it does not give its own away.
LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)

Options = Iterable[tuple[Any, ...]]


class Arguments:
    """The arguments of a transport, for its own connections and for those of httpx."""

    def __init__(
        self,
        verify: ssl_module.SSLContext | str | bool,
        cert: Any,
        trust_env: bool,
        limits: httpx.Limits,
        proxy: Any,
        uds: str | None,
        local_address: str | None,
        retries: int,
        socket_options: Options | None,
        prior_knowledge: bool,
    ) -> None:
        options = None if socket_options is None else list(socket_options)
        self.others: dict[str, Any] = {
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
        self.prior_knowledge = prior_knowledge
        context = httpx.create_ssl_context(verify=verify, cert=cert, trust_env=trust_env)
        self.pool = Pool(
            Way(
                tls.prepare(context, server=False),
                limits.keepalive_expiry,
                uds,
                local_address,
                options,
            ),
            limits,
            retries,
        )

    def takes(self, request: httpx.Request, question: Question) -> bool:
        """Is this request one for HTTP/2, as far as is known?"""
        origin = question.origin
        return not (
            self.others["proxy"] is not None
            or request.method == "CONNECT"
            or (not origin.secure and not self.prior_knowledge)
            or origin in self.pool.without_h2
            or (question.websocket and origin in self.pool.without_websockets)
        )
