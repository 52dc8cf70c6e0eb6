"""Compression: RFC 7692. Factories with the arguments and defaults of `websockets`."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from ...engine import agreement

__all__ = [
    "ClientPerMessageDeflateFactory",
    "ServerPerMessageDeflateFactory",
    "client_factory",
    "server_factory",
]

NAME = "permessage-deflate"

# The compressor of zlib where nobody says otherwise.
LEVEL = 6
MEM_LEVEL = 8


class ClientPerMessageDeflateFactory(agreement.ClientPerMessageDeflateFactory):
    """What a client offers: everything that `h2ws_fast.ClientPerMessageDeflateFactory` does, but
    every message is compressed, and by zlib's own level and memory unless `compress_settings` says
    otherwise."""

    name = NAME

    def __init__(
        self,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
        server_max_window_bits: int | None = None,
        client_max_window_bits: int | bool | None = True,
        compress_settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            server_no_context_takeover,
            client_no_context_takeover,
            server_max_window_bits,
            client_max_window_bits,
            settings_from(compress_settings, "client_max_window_bits"),
            threshold=0,
        )


class ServerPerMessageDeflateFactory(agreement.ServerPerMessageDeflateFactory):
    """How a server answers: as above. Contexts are taken over unless told otherwise."""

    name = NAME

    def __init__(
        self,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
        server_max_window_bits: int | None = None,
        client_max_window_bits: int | None = None,
        compress_settings: Mapping[str, Any] | None = None,
        require_client_max_window_bits: bool = False,
    ) -> None:
        super().__init__(
            server_no_context_takeover,
            client_no_context_takeover,
            server_max_window_bits,
            client_max_window_bits,
            settings_from(compress_settings, "server_max_window_bits"),
            require_client_max_window_bits,
            threshold=0,
        )


def settings_from(given: Mapping[str, Any] | None, bits: str) -> dict[str, int]:
    """The settings of `compressobj` as the engine's factories take them."""
    settings = dict(given or {})
    if "wbits" in settings:
        raise ValueError(f"compress_settings must not have wbits: say it by {bits}")
    if settings.pop("method", zlib.DEFLATED) != zlib.DEFLATED:
        raise ValueError("permessage-deflate has one method: zlib.DEFLATED")
    settings.setdefault("memLevel", MEM_LEVEL)
    if settings.setdefault("level", LEVEL) == zlib.Z_DEFAULT_COMPRESSION:
        settings["level"] = LEVEL
    return settings


def client_factory(extensions: Iterable[Any] | None) -> Any:
    """The factory among `extensions=` of `connect`, or None. See `server_factory`."""
    return _factory(
        extensions, agreement.ClientPerMessageDeflateFactory, ClientPerMessageDeflateFactory
    )


def server_factory(extensions: Iterable[Any] | None) -> Any:
    """The factory among `extensions=` of `serve`, or None where there is none.

    One of this package's classes is taken as it is; of any other object with this name the
    attributes are read, such as those of `websockets` itself. TypeError for other extensions, and
    where there are several.
    """
    return _factory(
        extensions, agreement.ServerPerMessageDeflateFactory, ServerPerMessageDeflateFactory
    )


def _factory(extensions: Iterable[Any] | None, own: type, made: type) -> Any:
    given = list(extensions or ())
    if not given:
        return None
    if len(given) > 1:
        raise TypeError("extensions has one factory at most: there is permessage-deflate alone")
    (one,) = given
    if isinstance(one, own):
        return one
    side = made.__name__.removesuffix("PerMessageDeflateFactory")
    reads = "get_request_params" if side == "Client" else "process_request_params"
    if getattr(one, "name", None) != NAME or not hasattr(one, reads):
        raise TypeError(f"extensions takes a {made.__name__}, not {one!r}: see docs/websockets.md")
    names = [
        "server_no_context_takeover",
        "client_no_context_takeover",
        "server_max_window_bits",
        "client_max_window_bits",
        "compress_settings",
    ]
    if side == "Server":
        names.append("require_client_max_window_bits")
    return made(**{name: getattr(one, name) for name in names})
