"""A client that opens many connections, has one message echoed on each, and holds them idle.

`python -m bench.hold PROTOCOL PORT CONNECTIONS [STREAMS] [tls]` prints `held N` and stays until its standard
input ends. PROTOCOL is h2 (STREAMS WebSockets on each connection, or one), h1 or raw (the octets of
h2, echoed).
"""

import contextlib
import socket
import ssl
import sys

from . import wire

MESSAGE = b"an idle WebSocket's one message"


def main():
    protocol, port, connections = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    raise_file_limit()
    streams = next((int(word) for word in sys.argv[4:] if word.isdigit()), 1)
    context = None
    if "tls" in sys.argv[4:]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
    opening = wire.opening(streams)
    framed = wire.websocket_frame(MESSAGE, key=b"key!")
    message = b"".join(wire.data_frames(sid, framed) for sid in wire.stream_ids(streams))
    held = []
    for _ in range(connections):
        link = socket.create_connection(("127.0.0.1", port), 20)
        if context:
            link = context.wrap_socket(link)
        if protocol == "h2":
            link.sendall(opening)
            until(link, lambda got: sum(f[0] == wire.HEADERS for f in whole(got)) >= streams)
            link.sendall(message)
            until(link, lambda got: got.count(MESSAGE) >= streams)
        elif protocol == "h1":
            link.sendall(wire.UPGRADE)
            until(link, lambda got: got.startswith(b"HTTP/1.1 101") and b"\r\n\r\n" in got)
            link.sendall(framed)
            until(link, lambda got: got.endswith(MESSAGE))
        else:
            link.sendall(opening + message)
            until(link, lambda got: len(got) == len(opening + message))
        held.append(link)
    print("held", len(held), flush=True)
    sys.stdin.read()


def until(link, done):
    got = b""
    while not done(got):
        data = link.recv(65536)
        if not data:
            raise SystemExit("the server closed the connection")
        got += data


def whole(octets):
    """The frames that arrived whole."""
    at = 0
    while at + 9 <= len(octets):
        length = int.from_bytes(octets[at : at + 3], "big")
        if at + 9 + length > len(octets):
            return
        yield from wire.frames(octets[at : at + 9 + length])
        at += 9 + length


def raise_file_limit(wanted=0):
    """As many open files as may be, or `wanted` where that is more and whoever runs this may raise
    the hard limit; return how many that is."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return 1 << 20
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


if __name__ == "__main__":
    main()
