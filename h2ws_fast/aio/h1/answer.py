"""The answer to the one request of a connection over HTTP/1.1: another protocol, or a refusal.

Upgrades (RFC 6455 section 4.1) and CONNECT (RFC 9110 section 9.3.6) are alike in this: behind a
101, or behind a 2xx, the octets are no longer HTTP's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import h11

from ...errors import InvalidHandshake
from ..http import Headers, Response
from .head import Gathering, InvalidHead

__all__ = ["MAX_REFUSAL", "Answer"]

MAX_REFUSAL = 65536  # octets of a refusal's body that are kept
MAX_INFORMED = 20  # 1xx before the answer


class Answer:
    """What comes for a request, in pieces of any size.

    Send `octets`, then feed `receive` until it returns True. Then the answer is there: `switched`
    says whether the protocol changed; if so `fields` are those of the answer and `rest` takes what
    came behind it, otherwise `refusal()` is the answer, and `whole` says whether all of its body is
    kept. Raises ValueError for a request that HTTP/1.1 cannot carry.
    """

    __slots__ = (
        "_body",
        "_exchange",
        "_gathering",
        "_informed",
        "_size",
        "fields",
        "octets",
        "response",
        "switched",
        "whole",
    )

    def __init__(self, method: str, target: str, fields: Iterable[tuple[str, str]]) -> None:
        self._gathering = Gathering()
        self._informed = 0
        self._body: list[bytes] = []
        self._size = 0
        self.fields: list[tuple[bytes, bytes]] = []
        self.response: Response | None = None
        self.switched = False
        self.whole = False
        self._exchange = h11.Connection(h11.CLIENT, MAX_REFUSAL)
        try:
            asked = h11.Request(
                method=method,
                target=target,
                headers=[
                    (name.encode("latin-1"), value.encode("latin-1")) for name, value in fields
                ],
            )
            self.octets = (self._exchange.send(asked) or b"") + (
                self._exchange.send(h11.EndOfMessage()) or b""
            )
        except h11.LocalProtocolError as error:
            raise ValueError(str(error)) from error

    def receive(self, data: bytes) -> bool:
        """Take octets. True where the answer is whole; nothing may be fed to it then.

        Raises InvalidHandshake where this is no answer.
        """
        try:
            if self.response is not None:
                return self._read_body(data)
            self._gathering.add(data)
            while not self.switched and self.response is None:
                head = self._gathering.take()
                if head is None:
                    return False
                self._exchange.receive_data(head)
                self._read_head(self._exchange.next_event())
            if self.switched:
                return True
            return self._read_body(self._gathering.rest())
        except InvalidHead as error:
            raise InvalidHandshake(f"the answer is no HTTP: {error.reason}") from error
        except h11.RemoteProtocolError as error:
            if self.response is not None:
                return True  # its status was read: that is the answer
            raise InvalidHandshake(f"the answer is no HTTP: {error}") from error

    def end(self) -> None:
        """The server has ended the connection, and so the body of a refusal that has no length."""
        if self.response is not None and not self.switched:
            with contextlib.suppress(h11.RemoteProtocolError):  # it broke off
                self._exchange.receive_data(b"")
                self._read_body(b"")

    def rest(self) -> bytes:
        """Take what came behind an answer that changed the protocol."""
        return self._gathering.rest()

    def refusal(self) -> Response | None:
        """The refusal as far as it has come; None where no status of one has."""
        if self.response is not None and not self.switched:
            self.response.body = b"".join(self._body)
            return self.response
        return None

    def _read_head(self, event: Any) -> None:
        kind = type(event)
        status = event.status_code
        if kind is h11.InformationalResponse and status != 101:
            self._informed += 1
            if self._informed > MAX_INFORMED:
                raise InvalidHandshake("too many interim responses")
            return
        self.fields = list(event.headers)
        self.response = Response(status, Headers.received(self.fields))
        self.switched = self._exchange.their_state is h11.SWITCHED_PROTOCOL

    def _read_body(self, data: bytes) -> bool:
        if data:
            self._exchange.receive_data(data)
        while True:
            event = self._exchange.next_event()
            if isinstance(event, h11.Data):
                self._body.append(bytes(event.data)[: MAX_REFUSAL - self._size])
                self._size += len(event.data)
                if self._size > MAX_REFUSAL:
                    return True
            else:
                self.whole = isinstance(event, h11.EndOfMessage)
                return self.whole
