"""HTTP Basic Authentication for `serve(process_request=...)`: RFC 7617."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

from ..http import Request, Response
from ..websocket import WebSocket
from .challenge import challenge, credentials_of

__all__ = ["basic_auth"]

Credentials: TypeAlias = "tuple[str, str] | Iterable[tuple[str, str]]"
Check: TypeAlias = Callable[[str, str], Awaitable[bool] | bool]


def basic_auth(
    realm: str = "",
    credentials: Credentials | None = None,
    check_credentials: Check | None = None,
) -> Callable[[Any, Request], Awaitable[Response | None]]:
    """Make a `process_request` that demands a user name and a password.

    Give `credentials`, one pair `(user, password)` or several (of one user, too, each of which lets
    in), or `check_credentials(user,
    password)`, a function or coroutine function that says whether they are right; not both.
    A WebSocket that is let in has the name as `ws.username`; others are answered 401, or 407 where
    the request is a CONNECT for a proxy (`Dialer`), whose field is `proxy-authorization`. `realm`
    says what is protected, in ASCII. What `on_request` answers is not protected: nobody asks `process_request`.

    Raises TypeError for credentials that are none, ValueError for both or neither.
    """
    if (credentials is None) == (check_credentials is None):
        raise ValueError("give credentials or check_credentials, and one of them alone")
    check = check_credentials if credentials is None else _checker(credentials)
    assert check is not None
    if not realm.isascii() or not realm.isprintable():
        raise ValueError(f"realm must be printable ASCII: {realm!r}")
    quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
    scheme = f'Basic realm="{quoted}", charset="UTF-8"'

    async def process_request(what: Any, request: Request) -> Response | None:
        values = credentials_of(request)
        if not values:
            return challenge(request, "Credentials are missing", scheme)
        found = _read(values[0]) if len(values) == 1 else None
        if found is None:
            return challenge(request, "Credentials are not understood", scheme)
        valid = check(*found)
        if isinstance(valid, Awaitable):
            valid = await valid
        if not valid:
            return challenge(request, "Credentials are wrong", scheme)
        if isinstance(what, WebSocket):
            ws: Any = what  # its attributes are the application's
            ws.username = found[0]
        return None

    return process_request


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, tuple | list)
        and len(value) == 2
        and all(isinstance(each, str) for each in value)
    )


def _checker(credentials: Credentials) -> Check:
    pairs: list[Any]
    if _is_pair(credentials):
        pairs = [credentials]
    elif isinstance(credentials, Iterable) and not isinstance(credentials, str):
        pairs = list(credentials)
    else:
        raise TypeError("credentials are a pair (user, password), or several")
    if not all(map(_is_pair, pairs)):
        raise TypeError("credentials are pairs (user, password) of str")
    known: dict[str, list[bytes]] = {}
    for user, password in pairs:
        known.setdefault(user, []).append(password.encode())

    def check(user: str, password: str) -> bool:
        expected = known.get(user)
        # As long for a user who does not exist: the time must not tell who does.
        given = password.encode(errors="surrogateescape")
        equal = [hmac.compare_digest(each, given) for each in expected or [b""]]
        return any(equal) and expected is not None

    return check


def _read(value: str) -> tuple[str, str] | None:
    # User and password of an Authorization field; None where it holds none.
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(token.strip().encode(), validate=True).decode()
    except (binascii.Error, UnicodeError):
        return None
    user, colon, password = text.partition(":")
    return (user, password) if colon else None
