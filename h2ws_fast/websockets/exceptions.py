"""The errors. Those that this package raises are its own classes, by the names they have here."""

from __future__ import annotations

from .. import errors
from ..errors import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    NegotiationError,
)

__all__ = [
    "ConcurrencyError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "DuplicateParameter",
    "HeaderLineTooLong",
    "InvalidHandshake",
    "InvalidHeader",
    "InvalidHeaderFormat",
    "InvalidHeaderValue",
    "InvalidMessage",
    "InvalidMethod",
    "InvalidOrigin",
    "InvalidParameterName",
    "InvalidParameterValue",
    "InvalidProtocol",
    "InvalidProxy",
    "InvalidProxyMessage",
    "InvalidProxyStatus",
    "InvalidState",
    "InvalidStatus",
    "InvalidURI",
    "InvalidUpgrade",
    "NegotiationError",
    "PayloadTooBig",
    "ProtocolError",
    "ProxyError",
    "RequestLineTooLong",
    "SecurityError",
    "StatusLineTooLong",
    "TooManyFragments",
    "TooManyHeaders",
    "WebSocketException",
]

WebSocketException = errors.H2WSError
ProtocolError = errors.LocalProtocolError
InvalidProxy = errors.InvalidProxy
SecurityError = errors.SecurityError
ProxyError = errors.ProxyError
InvalidProxyMessage = errors.InvalidProxyMessage
InvalidProxyStatus = errors.InvalidProxyStatus

# From here on nothing is ever raised: what these speak of raises InvalidHandshake,
# NegotiationError or ConnectionTerminated here, or is answered before a program sees it.


class InvalidState(errors.LocalProtocolError):
    """Never raised: ConnectionClosed says it."""


class PayloadTooBig(WebSocketException):
    """Never raised: the WebSocket is closed with 1009."""


class TooManyFragments(WebSocketException):
    """Never raised: the WebSocket is closed with 1008."""


class RequestLineTooLong(SecurityError):
    """Never raised."""


class StatusLineTooLong(SecurityError):
    """Never raised."""


class HeaderLineTooLong(SecurityError):
    """Never raised."""


class TooManyHeaders(SecurityError):
    """Never raised."""


class InvalidMessage(InvalidHandshake):
    """Never raised."""


class InvalidMethod(InvalidHandshake):
    """Never raised."""


class InvalidProtocol(InvalidHandshake):
    """Never raised."""


class InvalidHeader(InvalidHandshake):
    """Never raised."""


class InvalidHeaderFormat(InvalidHeader):
    """Never raised."""


class InvalidHeaderValue(InvalidHeader):
    """Never raised."""


class InvalidOrigin(InvalidHeader):
    """Never raised: the server answers 403."""


class InvalidUpgrade(InvalidHeader):
    """Never raised."""


class DuplicateParameter(NegotiationError):
    """Never raised."""


class InvalidParameterName(NegotiationError):
    """Never raised."""


class InvalidParameterValue(NegotiationError):
    """Never raised."""
