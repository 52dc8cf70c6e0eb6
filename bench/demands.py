"""What must be reached, beside its peers or beside physics, measured in one run.

Ratios are medians of the ratios of interleaved runs, in CPU time, for 125 octet masked binary
messages unless the text says otherwise.
"""

import sys
from dataclasses import dataclass

NEWER = sys.version_info >= (3, 12)


@dataclass(frozen=True)
class Demand:
    """One figure: `key` is what the section calls it, `section` where it is measured."""

    key: str
    section: str
    text: str
    sense: str  # ">=" or "<="
    limit: float
    unit: str = ""

    def met(self, value):
        return value >= self.limit if self.sense == ">=" else value <= self.limit

    def verdict(self, value, tried=False):
        """`tried`: its section ran in full, so what kept it from being measured is in a note."""
        if value is None and tried:
            return "not measured (see the notes)"
        if value is None:
            return f"not measured (--check, or --only {self.section})"
        return "met" if self.met(value) else "MISSED"


DEMANDS = [
    Demand(
        "receive",
        "engine",
        "receive, 100 streams, compiled against h2+wsproto",
        ">=",
        200 if NEWER else 300,
        "x",
    ),
    Demand(
        "instructions", "instructions", "receive, 100 streams: instructions a message", "<=", 750
    ),
    Demand("echo", "engine", "echo through a Python callback against h2+wsproto", ">=", 250, "x"),
    Demand("many", "engine", "10 000 streams against 100, time a message", "<=", 1.6, "x"),
    Demand("text", "engine", "ASCII text against binary, time a message", "<=", 1.15, "x"),
    Demand("frames twins", "engine", "frame parsing, compiled against pure", ">=", 10, "x"),
    Demand("mask twins", "kernels", "unmasking 1 KiB, compiled against pure", ">=", 10, "x"),
    Demand("split twins", "splitting", "DATA splitting, compiled against pure", ">=", 10, "x"),
    Demand("pure", "engine", "receive, pure against h2+wsproto", ">=", 5, "x"),
    Demand("memcpy", "kernels", "unmask kernel against memcpy, 1 KiB and up", "<=", 1.3, "x"),
    Demand("send", "engine", "send 1 MiB against memcpy of 1 MiB", "<=", 2, "x"),
    Demand(
        "broadcast", "engine", "broadcast to 100, or 1000: ns a recipient, encoded once", "<=", 20
    ),
    Demand(
        "datagrams",
        "datagrams",
        "UDP packets of 1200 octets a second and core, through both ends",
        ">=",
        200_000,
    ),
    Demand("handshake", "handshakes", "extended CONNECT accepted, warm, against h2", ">=", 20, "x"),
    Demand("idle", "memory", "engine octets an idle WebSocket", "<=", 240),
    Demand("idle kept", "memory", "the same, its request kept, beside the fields", "<=", 400),
    Demand(
        "connections",
        "connections",
        "an idle connection: KiB over a bare uvloop echo server's",
        "<=",
        4,
    ),
    Demand(
        "connections tls",
        "connections",
        "an idle TLS connection: against a bare uvloop TLS echo server's",
        "<=",
        1.2,
        "x",
    ),
    Demand("h1 picows", "http1", "HTTP/1.1 echo, callbacks: CPU against picows", "<=", 1.25, "x"),
    Demand(
        "h1 instructions", "http1", "HTTP/1.1 echo: instructions against picows", "<=", 1.1, "x"
    ),
    Demand(
        "h1 websockets", "http1", "HTTP/1.1 echo, async for, against websockets", "<=", 0.5, "x"
    ),
    Demand(
        "h1 await",
        "http1",
        "HTTP/1.1 echo: µs a message of async for over callbacks",
        "<=",
        0.9 if NEWER else 0.7,
    ),
    Demand("growth messages", "growth", "ten million messages: KiB grown", "<=", 1024),
    Demand("growth streams", "growth", "a million streams: KiB grown", "<=", 1024),
    Demand("asgi get hypercorn", "asgi", "ASGI, GET: CPU against hypercorn", ">=", 6, "x"),
    Demand("asgi get zttp", "asgi", "ASGI, GET: CPU against uvicorn with zttp", ">=", 1, "x"),
    Demand("asgi post hypercorn", "asgi", "ASGI, POST 10 KiB: against hypercorn", ">=", 6, "x"),
    Demand("asgi post zttp", "asgi", "ASGI, POST 10 KiB: against uvicorn with zttp", ">=", 1, "x"),
    Demand("asgi ws hypercorn", "asgi", "ASGI, WebSocket echo: against hypercorn", ">=", 8, "x"),
    Demand(
        "asgi ws websockets",
        "asgi",
        "ASGI, WebSocket echo: against uvicorn's own, HTTP/1.1",
        ">=",
        3,
        "x",
    ),
    Demand(
        "asgi idle", "asgi", "ASGI, an idle WebSocket: octets over the application's", "<=", 1536
    ),
    Demand("gateway haproxy", "gateway", "gateway: CPU a message against HAProxy", "<=", 1, "x"),
    Demand(
        "gateway better",
        "gateway",
        "gateway: against the better of HAProxy and nghttpx",
        "<=",
        1.3,
        "x",
    ),
    Demand(
        "gateway by hand", "gateway", "gateway: against a proxy by h2 and wsproto", ">=", 5, "x"
    ),
    Demand("gateway idle", "gateway", "gateway: octets an idle tunnel", "<=", 6144),
    Demand(
        "deflate",
        "deflate",
        "1 KiB of JSON compressed and framed, against zlib bare",
        "<=",
        1.1,
        "x",
    ),
    Demand("deflate idle", "deflate", "octets a compressed idle WebSocket, by default", "<=", 4096),
    Demand("open client", "transport", "a stream opened and answered, client: µs", "<=", 4),
    Demand("open server", "transport", "a stream opened and answered, server: µs", "<=", 4),
    Demand(
        "streams rate",
        "transport",
        "64 B writes on 100 byte streams against 100 TCP connections",
        ">=",
        3,
        "x",
    ),
    Demand(
        "streams bulk", "transport", "1 MiB on a byte stream: user time against TCP", "<=", 1.3, "x"
    ),
]
