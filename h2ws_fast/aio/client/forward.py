"""Through an HTTP proxy: CONNECT over HTTP/1.1, RFC 9110 section 9.3.6."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from ...errors import InvalidHandshake, InvalidProxyMessage, InvalidProxyStatus
from ..h1.answer import Answer
from .proxy import Proxy

__all__ = ["MAX_EARLY", "Landing", "connect_request"]

# Octets that a server may send before this end is ready for them: its SETTINGS are below a hundred.
MAX_EARLY = 65536


def connect_request(proxy: Proxy, host: str, port: int, user_agent: str | None) -> Answer:
    """What is asked of a proxy, and the reader of its answer."""
    # RFC 9112 section 3.2.3: host and port, the port always.
    name = f"[{host}]" if ":" in host else host
    authority = f"{name}:{port}"
    fields = [("Host", authority)]
    if user_agent is not None:
        fields.append(("User-Agent", user_agent))
    if proxy.username is not None:
        token = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
        fields.append(("Proxy-Authorization", f"Basic {token}"))
    return Answer("CONNECT", authority, fields)


class Landing(asyncio.Protocol):
    """The protocol of a transport to a proxy, until a connection to the server takes it over.

    `await agreed` ends when the proxy has agreed; octets behind its answer, or of the server, are
    `early`, and where they are more than `MAX_EARLY` reading is `paused`. Raises InvalidProxyStatus where it refuses, InvalidProxyMessage where it says what is no
    answer, OSError where the transport is lost.
    """

    def __init__(self, ask: Answer) -> None:
        self._ask: Answer | None = ask
        self.agreed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.early = b""
        self.lost = False
        self.paused = False
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self._transport = transport
        if self._ask is not None:
            self._transport.write(self._ask.octets)

    def data_received(self, data: bytes) -> None:
        """Read the answer, and keep what comes behind."""
        if self._ask is None:
            self.early += data
            if len(self.early) > MAX_EARLY and not self.paused:
                self.paused = True
                self._transport.pause_reading()
            return
        if self.agreed.done():
            return
        try:
            if not self._ask.receive(data):
                return
        except InvalidHandshake as error:
            self._refuse(InvalidProxyMessage(str(error)))
            return
        self._judge()

    def _judge(self) -> None:
        ask = self._ask
        assert ask is not None
        if ask.switched:
            self._ask = None
            self.early = ask.rest()
            self.agreed.set_result(None)
            return
        refusal = ask.refusal()
        if refusal is None:
            self._refuse(InvalidProxyMessage("the proxy ended the connection without an answer"))
        else:
            self._refuse(InvalidProxyStatus(refusal))

    def eof_received(self) -> bool:
        """The proxy ended: with what it has said so far."""
        self._over()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The same, or worse."""
        self.lost = True
        if not self.agreed.done() and isinstance(exc, OSError):
            self._refuse(exc)
        self._over()

    def _over(self) -> None:
        self.lost = True
        if not self.agreed.done() and self._ask is not None:
            self._judge()

    def _refuse(self, error: Exception) -> None:
        self.agreed.set_exception(error)
        self.agreed.exception()  # nobody need look
