"""WebSockets and any other byte stream over HTTP/2: RFC 8441."""

from ._twins import COMPILED

__all__ = ["COMPILED"]
