"""Which protocols pass the gateway, and what each needs: all that is ever said of one by name.

`:protocol` over HTTP/2 and `Upgrade` over HTTP/1.1 carry the same token, 2xx and 101 the same answer
(RFC 8441 section 5, RFC 9110 section 7.8). What remains is this table. An extended CONNECT keeps no
method, so over HTTP/1.1 the request is a GET, unless it came in the dialect that has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..engine.handshake import is_token

__all__ = ["NEVER_FORWARDED", "TOKENS", "Table", "Token"]


class Token(NamedTuple):
    """How a protocol is asked for over HTTP/1.1, beside `Connection: Upgrade` and `Upgrade`.

    `needs_key`: the request has a `Sec-WebSocket-Key`, of the gateway's own making, and the 101 must
    answer it. `fields` are added to the request, and Connection names `options` too. `method` is
    that of the request, and `body` the octets of content that it has: they come first in the tunnel.
    """

    needs_key: bool = False
    fields: tuple[tuple[str, str], ...] = ()
    options: tuple[str, ...] = ()
    method: str = "GET"
    body: int = 0


# What is open at first; a bytestream (draft-kinnear-httpbis-http2-transport) needs nothing either.
TOKENS: dict[str, Token] = {"websocket": Token(needs_key=True)}

# Registered as upgrade tokens, and doors around whatever stands in front of a backend: in every
# version, which a slash precedes.
NEVER_FORWARDED = frozenset(("h2", "h2c", "http", "tls"))


class Table:
    """The tokens that pass. `table[token]` and `token in table` take them in lower case.

    With `others` every token passes whose name, before a slash, is not `NEVER_FORWARDED`. Raises
    ValueError for what is no token.
    """

    def __init__(
        self, tokens: Mapping[str, Token] | Iterable[str] | None = None, *, others: bool = False
    ) -> None:
        if tokens is None:
            tokens = TOKENS
        if not isinstance(tokens, Mapping):
            if isinstance(tokens, str):
                raise TypeError("tokens is a list of str or a mapping, not one str")
            tokens = {token: TOKENS.get(token.lower(), Token()) for token in tokens}
        self._tokens: dict[str, Token] = {}
        self._others = others
        for name, token in tokens.items():
            if not all(is_token(part) for part in name.split("/", 1)):
                raise ValueError(f"a token is a name, and perhaps a version: {name!r}")
            self._tokens[name.lower()] = token

    def __contains__(self, token: object) -> bool:
        if token in self._tokens:
            return True
        return self._others and str(token).partition("/")[0] not in NEVER_FORWARDED

    def __getitem__(self, token: str) -> Token:
        return self._tokens.get(token) or Token()

    def __bool__(self) -> bool:
        return self._others or bool(self._tokens)
