"""Who asks, and how to be asked again: RFC 9110 section 11.

A proxy has fields and a status of its own for it: `proxy-authorization`, 407. A CONNECT without a
token goes to a proxy; every other request goes to the server, an extended CONNECT too.
"""

from __future__ import annotations

from ..http import Request, Response, text_response

__all__ = ["challenge", "credentials_of"]


def is_for_a_proxy(request: Request) -> bool:
    """A CONNECT of RFC 9110 section 9.3.6?"""
    return request.method == "CONNECT" and request.protocol is None


def credentials_of(request: Request) -> list[str]:
    """Return the values of the field that says who asks: as many as there are.

    A client that takes its proxy for a server is understood, too.
    """
    if is_for_a_proxy(request):
        values = request.headers.get_all("proxy-authorization")
        if values:
            return values
    return request.headers.get_all("authorization")


def challenge(request: Request, problem: str, *schemes: str) -> Response:
    """Make the answer that asks for credentials: 401, a proxy's 407, with a challenge per scheme."""
    proxy = is_for_a_proxy(request)
    response = text_response(407 if proxy else 401, f"{problem}\n")
    for scheme in schemes:
        response.headers.add("proxy-authenticate" if proxy else "www-authenticate", scheme)
    return response
