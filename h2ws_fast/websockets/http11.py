"""Requests and responses of the opening handshake."""

from __future__ import annotations

from ..aio import http
from ..aio.http import HeadersLike, Request

__all__ = ["Request", "Response"]


class Response(http.Response):
    """A response, with the arguments of `websockets`. What is received is a plain one.

    `reason_phrase` is not sent: HTTP/2 has none, and over HTTP/1.1 it is that of the status.
    """

    __slots__ = ()

    def __init__(
        self,
        status_code: int,
        reason_phrase: str = "",
        headers: HeadersLike = (),
        body: bytes | bytearray = b"",
    ) -> None:
        super().__init__(status_code, headers, bytes(body))
