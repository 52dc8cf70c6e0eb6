"""What a server of TLS shows: the files it is given, or a self-signed certificate made on the spot."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import tempfile
from pathlib import Path
from typing import Any

from ..aio import tls
from . import CommandError

__all__ = ["Certificate", "make_certificate", "serving_context"]

DAYS = 30


def make_certificate(host: str) -> tuple[bytes, bytes]:
    """Return (certificate, private key) as PEM, valid for `host`, localhost and the loopback."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "h2ws-fast")])
    addresses = {ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")}
    names = {"localhost"}
    try:
        addresses.add(ipaddress.ip_address(host))
    except ValueError:
        if host.isascii() and host:
            names.add(host)
    alternatives: list[x509.GeneralName] = [x509.DNSName(each) for each in sorted(names)]
    alternatives += [x509.IPAddress(each) for each in sorted(addresses, key=str)]
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A day of slack: clocks differ.
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


class Certificate:
    """A self-signed certificate that other processes can be given."""

    def __init__(self, host: str) -> None:
        self._certificate, self._key = make_certificate(host)

    def context(self) -> ssl.SSLContext:
        """Make a server's context around it. Nothing of it stays on the disk."""
        # `ssl` loads from files only.
        with tempfile.TemporaryDirectory(prefix="h2ws-fast-") as folder:
            certfile, keyfile = Path(folder, "cert.pem"), Path(folder, "key.pem")
            certfile.write_bytes(self._certificate)
            keyfile.touch(mode=0o600)
            keyfile.write_bytes(self._key)
            return tls.server_context(certfile, keyfile)

    def __call__(self, config: Any, default: Any) -> ssl.SSLContext:
        """What uvicorn calls, in each of its processes."""
        h1 = "http/1.1" in config.http_protocol_class.alpn_protocols
        return tls.prepare(self.context(), server=True, http=("h2", "h1") if h1 else ("h2",))


def serving_context(
    certfile: str | None, keyfile: str | None, host: str
) -> tuple[ssl.SSLContext, str]:
    """A server's context with these files, or without any a new certificate; and words for it.

    Raises CommandError.
    """
    if certfile is None:
        return Certificate(host).context(), "self-signed certificate"
    try:
        return tls.server_context(certfile, keyfile), certfile
    except OSError as error:  # an ssl.SSLError is one too
        files = " and ".join(filter(None, (certfile, keyfile)))
        raise CommandError(f"cannot load {files}: {error.strerror or error}") from error
