"""Through a SOCKS proxy: RFC 1928, and its older relatives, by `python-socks`."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from ...errors import ProxyError
from .proxy import Proxy

__all__ = ["connect_socks"]


async def connect_socks(proxy: Proxy, host: str, port: int, **kwargs: Any) -> socket.socket:
    """Return a socket that leads to `host` and `port` through a proxy.

    Raises ImportError where `python-socks` is not installed (`pip install "h2ws_fast[socks]"`),
    OSError where the proxy cannot be reached, ProxyError where it refuses. `kwargs` are those of
    `python_socks.async_.asyncio.Proxy.connect`.
    """
    try:
        from python_socks import ProxyType
        from python_socks.async_.asyncio import Proxy as Socks
    except ImportError as error:
        raise ImportError(
            'a SOCKS proxy needs python-socks: pip install "h2ws_fast[socks]"'
        ) from error
    kind = ProxyType.SOCKS5 if proxy.scheme.startswith("socks5") else ProxyType.SOCKS4
    by_name = proxy.scheme in ("socks5h", "socks4a")  # the proxy resolves, and not this end
    leading = Socks(kind, proxy.host, proxy.port, proxy.username, proxy.password, by_name)
    try:
        sock = await leading.connect(host, port, **kwargs)
    except OSError:
        raise
    except Exception as error:
        # python-socks has its own errors, and lets some of struct and unicode through.
        raise ProxyError(f"the SOCKS proxy does not lead there: {error}") from error
    # asyncio sets it where it knows that a socket is TCP's, and this one does not say so.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
