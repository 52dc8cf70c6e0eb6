"""What went wrong, as users of httpx know it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx

from ..errors import (
    ConnectionTerminated,
    H2WSError,
    LocalProtocolError,
    NoAvailableStreams,
    StreamReset,
)

__all__ = ["ByHttp1", "broken", "connecting", "exchanging"]


class ByHttp1(Exception):
    """This request is one for httpx's own transport."""


def broken(error: StreamReset | ConnectionTerminated, lost: BaseException | None) -> Exception:
    """The exception for a stream or connection that ended early; `lost` is why the transport did."""
    if isinstance(lost, OSError):
        return httpx.ReadError(str(lost))
    return httpx.RemoteProtocolError(str(error))


@contextlib.contextmanager
def connecting() -> Iterator[None]:
    """Whatever fails in here is a failure to connect."""
    try:
        yield
    except TimeoutError as error:
        raise httpx.ConnectTimeout("connecting took too long") from error
    except (OSError, UnicodeError, H2WSError) as error:
        raise httpx.ConnectError(str(error)) from error


@contextlib.contextmanager
def exchanging() -> Iterator[None]:
    """Whatever fails in here does so on a connection that is there."""
    try:
        yield
    except (StreamReset, ConnectionTerminated) as error:
        raise broken(error, error.__cause__) from error
    except NoAvailableStreams as error:
        raise httpx.RemoteProtocolError(str(error)) from error
    except (LocalProtocolError, ValueError) as error:
        raise httpx.LocalProtocolError(str(error)) from error
