"""A program that was written for aioquic, run as it is with HTTP/2 in QUIC's place.

    python -m tests.support.exchanged program.py --its options

Where its imports lead to aioquic's connections they find those of `h2ws_fast.quic`; nothing of the
program is changed.
"""

import runpy
import sys

import aioquic.asyncio
import aioquic.asyncio.client
import aioquic.asyncio.protocol
import aioquic.asyncio.server
import aioquic.quic.events

from h2ws_fast import quic


def connect(host, port, *, create_protocol, **others):
    """As aioquic's: what concerns QUIC and TLS has no meaning here, over cleartext."""
    return quic.connect(f"http://{host}:{port}", create_protocol=create_protocol, proxy=None)


def exchange():
    """From here on imports find ours."""
    for name in ("asyncio", "asyncio.client", "asyncio.protocol", "asyncio.server"):
        module = sys.modules[f"aioquic.{name}"]
        if hasattr(module, "connect"):
            module.connect = connect
        module.QuicConnectionProtocol = quic.QuicConnectionProtocol
    for name in quic.__all__:
        if hasattr(aioquic.quic.events, name):
            setattr(aioquic.quic.events, name, getattr(quic, name))


if __name__ == "__main__":
    exchange()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
