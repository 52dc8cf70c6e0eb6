"""Proxies that a client is led through: HTTP CONNECT, and SOCKS 4, 4a and 5. Written from the RFCs."""

import asyncio
import base64
import contextlib
import socket
import struct

__all__ = ["ConnectProxy", "SocksProxy"]


async def _pump(reader, writer):
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof() if writer.can_write_eof() else writer.close()


class Forwarding:
    """A proxy on a port of its own. `asked` has (host, port) of each request, as it was named."""

    scheme = "http"

    def __init__(self, *, user=None, password=None, ssl=None, leads=None):
        self.user = user
        self.password = password
        self.ssl = ssl
        self.leads = leads  # a port that every request is led to
        self.asked = []
        self.tasks = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.ssl)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info):
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def uri(self, scheme=None, login=""):
        return f"{scheme or self.scheme}://{login}127.0.0.1:{self.port}"

    async def _accept(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self.serve(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            writer.transport.abort()
            self.tasks.discard(task)

    async def dial(self, host, port):
        self.asked.append((host, port))
        return await asyncio.open_connection(host, self.leads or port)

    async def join(self, reader, writer, there, back):
        try:
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        finally:
            back.transport.abort()


class ConnectProxy(Forwarding):
    """CONNECT of HTTP/1.1. `answers` is sent in its place, octet for octet; `heads` has what came."""

    def __init__(self, *, answers=None, extra=b"", **options):
        super().__init__(**options)
        self.answers = answers
        self.extra = extra  # behind the head of a 200
        self.heads = []
        if self.ssl is not None:
            self.scheme = "https"

    async def serve(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        line, *lines = head.decode("latin-1").split("\r\n")[:-2]
        fields = {name.lower(): value for name, value in (each.split(": ", 1) for each in lines)}
        if self.answers is not None:
            writer.write(self.answers)
            await writer.drain()
            await reader.read() if self.answers == b"" else None
            writer.close()
            return
        method, target, version = line.split(" ")
        assert method == "CONNECT" and version == "HTTP/1.1" and fields["host"] == target, head
        if self.user is not None:
            token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            if fields.get("proxy-authorization") != f"Basic {token}":
                writer.write(
                    b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                    b'Proxy-Authenticate: Basic realm="here"\r\nContent-Length: 4\r\n\r\nwho?'
                )
                await writer.drain()
                return
        host, _, port = target.rpartition(":")
        try:
            there, back = await self.dial(host.strip("[]"), int(port))
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n" + self.extra)
        await self.join(reader, writer, there, back)


class SocksProxy(Forwarding):
    """SOCKS 5 (RFC 1928, RFC 1929) and 4, 4a; `versions` has what was spoken."""

    scheme = "socks5h"

    def __init__(self, **options):
        super().__init__(**options)
        self.versions = []

    async def serve(self, reader, writer):
        version = (await reader.readexactly(1))[0]
        self.versions.append(version)
        await (self._five if version == 5 else self._four)(reader, writer)

    async def _five(self, reader, writer):
        offered = await reader.readexactly((await reader.readexactly(1))[0])
        method = 0 if self.user is None else 2
        if method not in offered:
            writer.write(b"\x05\xff")
            return
        writer.write(bytes([5, method]))
        if method == 2:
            assert await reader.readexactly(1) == b"\x01"
            user = await reader.readexactly((await reader.readexactly(1))[0])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            right = (user.decode(), password.decode()) == (self.user, self.password)
            writer.write(b"\x01\x00" if right else b"\x01\x01")
            if not right:
                return
        _, command, _, kind = await reader.readexactly(4)
        assert command == 1
        if kind == 1:
            host = socket.inet_ntop(socket.AF_INET, await reader.readexactly(4))
        elif kind == 4:
            host = socket.inet_ntop(socket.AF_INET6, await reader.readexactly(16))
        else:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        (port,) = struct.unpack(">H", await reader.readexactly(2))
        try:
            there, back = await self.dial(host, port)
        except OSError:
            writer.write(b"\x05\x05\x00\x01" + bytes(6))
            await writer.drain()
            return
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await self.join(reader, writer, there, back)

    async def _four(self, reader, writer):
        command, port = struct.unpack(">BH", await reader.readexactly(3))
        assert command == 1
        address = await reader.readexactly(4)
        await reader.readuntil(b"\0")
        host = socket.inet_ntop(socket.AF_INET, address)
        if address[:3] == b"\0\0\0" and address[3]:
            host = (await reader.readuntil(b"\0"))[:-1].decode()
        try:
            there, back = await self.dial(host, port)
        except OSError:
            writer.write(b"\x00\x5b" + bytes(6))
            await writer.drain()
            return
        writer.write(b"\x00\x5a" + bytes(6))
        await self.join(reader, writer, there, back)
