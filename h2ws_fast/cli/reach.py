"""The way to a server, for `h2ws-fast check`: DNS, TCP, TLS and ALPN, each a finding."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import Any

from ..aio import tls
from ..aio.uri import Target
from ..printable import printable
from .report import Report

__all__ = ["Streams", "reach", "reconnect"]

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

# What OpenSSL finds wrong with a certificate (X509_V_ERR_...), and who can do what about it.
CERTIFICATE = {
    9: "its time has not begun: is the clock of this machine right?",
    10: "it has expired: renew it on the server",
    18: "self-signed: trust it with --cafile PEM, or look on with --insecure; browsers need an "
    "authority they know, or the exception its user makes",
    19: "an authority that this system does not know: --cafile PEM names it",
    20: "an authority that this system does not know, or the server leaves out the certificates "
    "between: serve the whole chain, or name the authority with --cafile PEM",
    21: "the server leaves out the certificates between its own and the authority's: serve the "
    "whole chain",
    62: "it is for another name: ask by one of its names, or have this one added",
    64: "it is not for this IP address: ask by name, or have the address added",
}
NO_TLS = (
    "WRONG_VERSION_NUMBER",
    "RECORD_LAYER_FAILURE",
    "HTTP_REQUEST",
    "PACKET_LENGTH_TOO_LONG",
    "UNEXPECTED_MESSAGE",
)
SUITES = (
    "the server and RFC 9113 section 9.2 have no TLS in common: it takes TLS 1.2 or later with "
    "an AEAD suite and ephemeral keys (ECDHE with GCM or ChaCha20)"
)


async def reach(
    target: Target, context: ssl.SSLContext | None, report: Report, seconds: float
) -> Streams | None:
    """Connect as far as it goes; return the streams, or None where there is nothing to talk to.

    With a `context`, "h2" is what ALPN has chosen where streams come back.
    """
    rest = ("tcp", "tls", "alpn")
    addresses = await _resolve(target, report, seconds)
    if addresses is None:
        report.skip("not reached", *rest)
        return None
    sock = await _connect(target, addresses, report, seconds)
    if sock is None:
        report.skip("not reached", *rest[1:])
        return None
    if context is None:
        report.skip("cleartext: HTTP/2 with prior knowledge", *rest[1:])
        return await asyncio.open_connection(sock=sock)
    streams = await _handshake(target, context, sock, report, seconds)
    if streams is None:
        report.skip("not reached", *rest[2:])
        return None
    if not _alpn(streams[1], report):
        streams[1].transport.abort()
        return None
    return streams


async def _resolve(target: Target, report: Report, seconds: float) -> list[Any] | None:
    begun = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            found = await asyncio.get_running_loop().getaddrinfo(
                target.host, target.port, type=socket.SOCK_STREAM
            )
    except TimeoutError:
        report.fail("dns", f"no answer within {seconds:g} s", "is the resolver reached?")
        return None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        report.fail("dns", f"{target.host}: {reason}", "is the name spelled right?")
        return None
    names = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    report.ok("dns", ", ".join(names), time.monotonic() - begun)
    return found


async def _connect(
    target: Target, addresses: list[Any], report: Report, seconds: float
) -> socket.socket | None:
    loop = asyncio.get_running_loop()
    problems = []
    for family, kind, protocol, _, address in addresses:
        begun = time.monotonic()
        where = _where(address)
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:
            problems.append(f"{where}: {error.strerror or error}")
            continue
        try:
            sock.setblocking(False)
            async with asyncio.timeout(seconds):
                await loop.sock_connect(sock, address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except TimeoutError:
            problems.append(f"{where}: no answer within {seconds:g} s")
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError)
            problems.append(f"{where}: {'refused' if refused else error.strerror or error}")
        except BaseException:
            sock.close()
            raise
        else:
            if problems:
                report.warn(
                    "tcp",
                    f"{where}, but {'; '.join(problems)}",
                    "clients that try the addresses in this order wait for those first",
                    time.monotonic() - begun,
                )
            else:
                report.ok("tcp", where, time.monotonic() - begun)
            return sock
        sock.close()
    remedy = f"does anything listen on port {target.port}? Does a firewall drop what comes there?"
    report.fail("tcp", "; ".join(problems), remedy)
    return None


def _where(address: Any) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _handshake(
    target: Target,
    context: ssl.SSLContext,
    sock: socket.socket,
    report: Report,
    seconds: float,
) -> Streams | None:
    begun = time.monotonic()
    offering: Any = tls.Offering(context, ("h2", "h1"))
    try:
        async with asyncio.timeout(seconds):
            streams = await asyncio.open_connection(
                sock=sock, ssl=offering, server_hostname=target.server_hostname
            )
    except ssl.SSLCertVerificationError as error:
        remedy = CERTIFICATE.get(error.verify_code, "look on with --insecure, or --cafile PEM")
        report.fail("tls", f"the certificate is not trusted: {error.verify_message}", remedy)
        return None
    except ssl.SSLError as error:
        reason = printable(error.reason or error)
        remedy = SUITES
        if (error.reason or "") in NO_TLS:
            remedy = "does this port speak TLS at all? ws:// and http:// are for cleartext"
        report.fail("tls", f"the handshake failed: {reason}", remedy)
        return None
    except TimeoutError:
        report.fail(
            "tls",
            f"the handshake did not end within {seconds:g} s",
            "does this port speak TLS at all? ws:// and http:// are for cleartext",
        )
        return None
    except OSError as error:
        report.fail(
            "tls",
            f"the connection ended in the handshake: {error.strerror or printable(error)}",
            "does this port speak TLS, and know the name "
            f"{target.server_hostname}? Some servers drop a name (SNI) they do not serve",
        )
        return None
    tls_object = streams[1].get_extra_info("ssl_object")
    trusted = "trusted" if context.verify_mode != ssl.CERT_NONE else "not looked at (--insecure)"
    shown = f"{tls_object.version()}, {tls_object.cipher()[0]}, certificate {trusted}"
    report.ok("tls", shown, time.monotonic() - begun)
    return streams


def _alpn(writer: asyncio.StreamWriter, report: Report) -> bool:
    chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
    report.facts["alpn"] = chosen
    seen = f"offered h2 and http/1.1, chosen: {chosen or 'nothing'}"
    if chosen == "h2":
        report.ok("alpn", seen)
        return True
    report.fail(
        "alpn",
        seen,
        "the server, or the proxy before it that ends TLS, does not speak HTTP/2 here: switch it "
        "on where TLS ends (HAProxy: alpn h2,http/1.1 on the bind line; others: on the listener)",
    )
    return False


async def reconnect(
    target: Target, context: ssl.SSLContext | None, seconds: float
) -> Streams | None:
    """Make another connection to where one was made before; None where there is none."""
    options: dict[str, Any] = {}
    if context is not None:
        options["ssl"] = tls.Offering(context, ("h2",))
        options["server_hostname"] = target.server_hostname
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(target.host, target.port, **options)
    except (OSError, TimeoutError):
        return None
    if context is not None:
        tls_object = writer.get_extra_info("ssl_object")
        if tls_object.selected_alpn_protocol() != "h2":
            writer.transport.abort()
            return None
    return reader, writer
