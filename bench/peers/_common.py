"""What every echo server here shares: its arguments, its loop, and how it says that it is ready."""

import asyncio
import ssl
import sys

from ..hold import raise_file_limit

BACKLOG = 4096


def arguments():
    """(port, certificate or None, key or None)."""
    port, *files = sys.argv[1:]
    return int(port), *(files or (None, None))


def context(certificate, key, *protocols):
    """A TLS context for servers that take one, or None for cleartext."""
    if certificate is None:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate, key)
    made.set_alpn_protocols(list(protocols))
    return made


def ready():
    print("ready", flush=True)


def run(main):
    """uvloop where there is one: everybody here runs on the same loop."""
    raise_file_limit()
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())
