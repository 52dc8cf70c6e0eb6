"""An HTTP/1.1 server that says what the test tells it to, and keeps what it was sent."""

import asyncio
import base64
import hashlib
import re

from tests.support.scripted import Scripted

__all__ = ["Visit", "RawBackend", "accept_of"]

SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_of(head):
    """The Sec-WebSocket-Accept that answers the key in a request's head."""
    key = re.search(rb"(?i)\r\nsec-websocket-key: (\S+)\r\n", head)[1].decode()
    return base64.b64encode(hashlib.sha1((key + SUFFIX).encode()).digest()).decode()


class Visit:
    """One connection: `octets` is everything that has come on it."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.octets = b""

    async def head(self):
        """Read one head; return its lines, the first and then {name: value}."""
        raw = await self.until(b"\r\n\r\n")
        line, *rest = raw[:-4].decode("latin-1").split("\r\n")
        self.raw = raw
        self.fields = [tuple(each.split(": ", 1)) for each in rest]
        return line, {name.lower(): value for name, value in self.fields}

    async def until(self, end):
        raw = await self.reader.readuntil(end)
        self.octets += raw
        return raw

    async def read(self, n):
        raw = await self.reader.readexactly(n)
        self.octets += raw
        return raw

    async def rest(self):
        """Read to the end of the connection; b"RESET" stands for a reset of TCP."""
        raw = b""
        try:
            while piece := await self.reader.read(65536):
                raw += piece
                self.octets += piece
        except ConnectionResetError:
            return raw + b"RESET"
        return raw

    def say(self, *lines, body=b""):
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    async def switch(self, token="websocket", *lines, body=b""):
        """Read a request and answer 101 as it must be answered."""
        line, fields = await self.head()
        if token == "websocket":
            lines = (*lines, f"Sec-WebSocket-Accept: {accept_of(self.raw)}")
        self.say(
            "HTTP/1.1 101 Switching Protocols",
            f"Upgrade: {token}",
            "Connection: Upgrade",
            *lines,
            body=body,
        )
        return line, fields

    def close(self):
        self.writer.close()

    def cut(self):
        """Drop the connection."""
        self.writer.transport.abort()


class RawBackend(Scripted):
    """Each connection runs `script(visit)`; `visits` are all of them."""

    expected = (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError)

    def __init__(self, script):
        super().__init__()
        self.script = script
        self.visits = []

    async def serve(self, reader, writer):
        visit = Visit(reader, writer)
        self.visits.append(visit)
        await self.script(visit)

    @property
    def octets(self):
        """What came on all connections."""
        return b"".join(visit.octets for visit in self.visits)
