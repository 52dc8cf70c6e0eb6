"""Types of arguments."""

from __future__ import annotations

import http
import logging
from typing import Any, TypeAlias

__all__ = ["BytesLike", "Data", "DataLike", "LoggerLike", "Origin", "StatusLike", "Subprotocol"]

BytesLike: TypeAlias = bytes | bytearray | memoryview
Data: TypeAlias = str | bytes
DataLike: TypeAlias = str | BytesLike
LoggerLike: TypeAlias = logging.Logger | logging.LoggerAdapter[Any]
StatusLike: TypeAlias = http.HTTPStatus | int


class Origin(str):
    """The value of an Origin field: any `str` is as good."""

    __slots__ = ()


class Subprotocol(str):
    """The name of a subprotocol: any `str` is as good."""

    __slots__ = ()
