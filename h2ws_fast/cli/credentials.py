"""Passwords and tokens of commands: how they are given, asked for and kept out of what is printed."""

from __future__ import annotations

import argparse
import base64
import hmac
from collections.abc import Awaitable, Callable
from typing import Any

from ..aio.http import Request, Response
from ..aio.server.basic_auth import basic_auth
from ..aio.server.challenge import challenge, credentials_of
from ..aio.server.notices import Notices

__all__ = ["IN_THE_CLEAR", "basic", "check_from", "secret", "user", "without_password"]

IN_THE_CLEAR = "without TLS whoever is on the path reads passwords and tokens"

BEARER = 'Bearer realm="tunnels"'

Check = Callable[[Any, Request], Awaitable["Response | None"]]


def secret(text: str) -> str:
    """What an option says, or the first line of the file that `@FILE` names: the arguments of a
    process can be read by everybody on its machine. Raises ArgumentTypeError where that is empty: of
    a variable that was not set, of a file that nobody has written."""
    said, what = text, "it"
    if text.startswith("@"):
        what = text[1:]
        try:
            with open(what, encoding="utf-8") as file:
                said = file.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise argparse.ArgumentTypeError(f"cannot read {what}: {error}") from None
    if not said.strip():
        raise argparse.ArgumentTypeError(f"{what} is empty")
    return said


def user(text: str) -> tuple[str, str]:
    """`NAME:PASSWORD`, both of them something, or `@FILE`."""
    name, _, password = secret(text).partition(":")
    if not name or not password:
        raise argparse.ArgumentTypeError("NAME:PASSWORD")
    return name, password


def basic(name: str, password: str) -> str:
    """They as a field says them: RFC 7617."""
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def without_password(url: str) -> str:
    """A URL as it may be printed."""
    scheme, found, rest = url.rpartition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{found}{authority.rpartition('@')[2]}{slash}{path}"


def check_from(
    users: list[tuple[str, str]], tokens: list[str], notices: Notices | None = None
) -> Check | None:
    """Who is let in, for `serve(process_request=...)`; None: everybody. `notices` are told of those
    who are not. Raises ValueError for a password or a token that is empty, as whoever says none
    would be let in."""
    if not all(token.strip() for token in tokens) or not all(password for _, password in users):
        raise ValueError("an empty password or token lets everybody in")
    if not users and not tokens:
        return None
    by_password = basic_auth("tunnels", credentials=users) if users else None
    good = [token.encode() for token in tokens]

    async def check(what: Any, request: Request) -> Response | None:
        values = credentials_of(request)
        scheme, _, said = (values[0] if len(values) == 1 else "").partition(" ")
        # All of them, so that time tells nothing.
        right = [hmac.compare_digest(said.strip().encode("latin-1"), each) for each in good]
        if any(right) and scheme.lower() == "bearer":
            return None
        if by_password is None:
            refusal = challenge(request, "The token is missing or wrong", BEARER)
        else:
            answer = await by_password(what, request)
            if answer is None:
                return None
            refusal = answer
            if good:
                asked = challenge(request, "", BEARER)
                for name in ("www-authenticate", "proxy-authenticate"):
                    for each in asked.headers.get_all(name):
                        refusal.headers.add(name, each)
        if notices is not None:
            peer = request.remote_address
            notices.write("%s was not let in: %d", peer[0] if peer else "a client", refusal.status)
        return refusal

    return check
