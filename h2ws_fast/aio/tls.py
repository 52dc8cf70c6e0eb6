"""TLS for HTTP/2: contexts as RFC 9113 section 9.2 wants them, and a check of the outcome."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Iterable
from typing import Any

__all__ = ["CIPHERS", "check_negotiated", "client_context", "prepare", "server_context"]

# TLS 1.2 only (1.3 has its own list, all of it permitted). RFC 9113 section 9.2.2: deployments of
# TLS 1.2 "MUST support TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"; appendix A prohibits whatever is
# not an AEAD with ephemeral keys.
CIPHERS = ":".join(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
    )
)

ALPN = {"h2": "h2", "h1": "http/1.1"}  # RFC 9113 section 3.2; "h2c" never stands in ALPN

SHUTDOWN_S = 1.0

Path = str | os.PathLike[str]


def server_context(
    certfile: Path, keyfile: Path | None = None, *, password: str | None = None
) -> ssl.SSLContext:
    """Make a context for `serve(ssl=...)`: TLS 1.2 or later, AEAD suites only. It sets ALPN."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(CIPHERS)
    context.load_cert_chain(certfile, keyfile, password)
    return prepare(context, server=True)


def client_context(
    *, cafile: Path | None = None, cadata: str | bytes | None = None, verify: bool = True
) -> ssl.SSLContext:
    """Make a context for `connect` and `Session`: TLS 1.2 or later, AEAD suites only.

    Without `cafile` and `cadata` the system's authorities are trusted. `verify=False` accepts any
    certificate: for tests against a self-signed one.
    """
    context = ssl.create_default_context(
        ssl.Purpose.SERVER_AUTH,
        cafile=None if cafile is None else os.fspath(cafile),
        cadata=cadata,
    )
    context.set_ciphers(CIPHERS)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return prepare(context, server=False)


def versions(http: Iterable[str]) -> tuple[str, ...]:
    """Check what `http=` says, "h2" and "h1" in order of preference."""
    names = (http,) if isinstance(http, str) else tuple(http)
    if not names or len(set(names)) != len(names) or not ALPN.keys() >= set(names):
        raise ValueError(f'http is "h2", "h1", or both: {http!r}')
    return names


def prepare(
    context: ssl.SSLContext, *, server: bool, http: Iterable[str] = ("h2",)
) -> ssl.SSLContext:
    """Check a context and set what HTTP/2 needs on it: ALPN, no compression, no renegotiation.

    Where the environment names a SSLKEYLOGFILE the secrets of its connections go there.

    `http` says what ALPN offers or selects: "h2", "h1" (as `http/1.1`), in order of preference.

    Returns the same context. Raises ValueError where it cannot serve HTTP/2, and changes nothing
    then.
    """
    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"ssl must be an ssl.SSLContext: {context!r}")
    side = "server" if server else "client"
    wrong = ssl.PROTOCOL_TLS_CLIENT if server else ssl.PROTOCOL_TLS_SERVER
    if context.protocol == wrong:
        raise ValueError(
            f"ssl is a context for the other side: use h2ws_fast.aio.tls.{side}_context()"
        )
    # RFC 9113 section 9.2: "MUST use TLS version 1.2 or higher for HTTP/2 over TLS". A context that
    # allows less is refused, not mended: its owner meant something by it.
    if context.maximum_version not in (
        ssl.TLSVersion.MAXIMUM_SUPPORTED,
        ssl.TLSVersion.TLSv1_2,
        ssl.TLSVersion.TLSv1_3,
    ):
        raise ValueError("ssl allows no TLS 1.2: HTTP/2 needs maximum_version TLSv1_2 or TLSv1_3")
    if context.minimum_version not in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        raise ValueError(
            "ssl allows TLS below 1.2: set minimum_version = ssl.TLSVersion.TLSv1_2 for HTTP/2"
        )
    if context.post_handshake_auth:
        # RFC 9113 section 9.2.3: "MUST NOT send post-handshake TLS 1.3 CertificateRequest".
        raise ValueError("ssl has post_handshake_auth set, which HTTP/2 forbids: unset it")
    # RFC 9113 section 9.2.1: both "MUST" be disabled for TLS 1.2.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # As `ssl.create_default_context` does it, which few servers are made with.
    keys = os.environ.get("SSLKEYLOGFILE")
    if keys and context.keylog_filename is None and not sys.flags.ignore_environment:
        context.keylog_filename = keys
    context.set_alpn_protocols([ALPN[name] for name in versions(http)])
    return context


def shutdown_timeout(close_timeout: float | None) -> float:
    """Seconds that a transport may wait for the peer's close_notify.

    A peer that never reads never answers ours: a browser's spare connection.
    """
    return min(SHUTDOWN_S, close_timeout or SHUTDOWN_S)


class Offering:
    """A context that offers what this client wants, whatever others set on it meanwhile.

    ALPN belongs to a context, which its owner may share between clients; a connection takes what
    stands there when its handshake begins.
    """

    # An object's class can be set, this one's cannot: nobody does.
    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        # `loop.start_tls`, for TLS behind a proxy, asks for an instance of this.
        return ssl.SSLContext

    def __init__(self, context: ssl.SSLContext, http: Iterable[str]) -> None:
        self._context = context
        self._names = [ALPN[name] for name in versions(http)]

    def wrap_bio(self, *arguments: Any, **named: Any) -> Any:
        """See `ssl.SSLContext.wrap_bio`."""
        self._context.set_alpn_protocols(self._names)
        return self._context.wrap_bio(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def check_negotiated(ssl_object: Any) -> str | None:
    """Say what is wrong with a finished handshake, or None: RFC 9113 section 9.2.2.

    ALPN is the caller's to check. TLS 1.3 suites are all permitted.
    """
    name, version, _ = ssl_object.cipher() or ("none", "none", 0)
    if version == "TLSv1.3" or ssl_object.version() == "TLSv1.3":
        return None
    if ssl_object.version() != "TLSv1.2":
        return f"{ssl_object.version()} is below TLS 1.2"
    if name.startswith(("ECDHE-", "DHE-")) and (
        "GCM" in name or "CHACHA20" in name or "CCM" in name
    ):
        return None
    return f"the cipher suite {name} is prohibited in HTTP/2"
