"""A stream of HTTP/2 as asyncio knows octets: a reader and a writer of it.

Tunnel           octets both ways, with `recv` and `send`
StreamTransport  the same as an `asyncio.Transport`: any protocol of asyncio's runs on it
ByteStream       the same with the methods of `StreamReader` and `StreamWriter`
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import ssl as ssl_module
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from ..engine.constants import CANCEL
from ..errors import LocalProtocolError
from .byte_reader import ByteReader
from .stream_transport import LIMIT, Reader

if TYPE_CHECKING:
    from .tunnel import Tunnel

__all__ = ["ByteStream"]


class ByteStream:
    """A stream of octets with the methods of `asyncio.StreamReader` and `asyncio.StreamWriter`.

    `read`, `readexactly`, `readuntil`, `readline` and `async for line in stream` receive; `write`,
    `writelines` and `await drain()` send; `write_eof()` ends this side, `close()` and
    `await wait_closed()` both, `reset()` at once. Each is what asyncio says of it. Where the peer
    resets the stream they raise ConnectionResetError, whose cause is the StreamReset.

    `transport` is the asyncio transport below, for protocols of one's own.
    """

    __slots__ = ("__weakref__", "_below", "_reader", "_writer", "transport", "tunnel")

    transport: Any

    def __init__(self, tunnel: Tunnel, limit: int = LIMIT) -> None:
        self.tunnel = tunnel
        self._below: ByteStream | None = None
        loop = tunnel._sending.wire.hub.loop
        self._reader: ByteReader | Reader = ByteReader(tunnel._receiving, limit)
        # It has no reader to feed, and says whether to write and when all is over.
        protocol = asyncio.StreamReaderProtocol(None, loop=loop)  # type: ignore[arg-type]  # it may
        self.transport = tunnel._carry(protocol, self._reader)
        self._writer = asyncio.StreamWriter(self.transport, protocol, None, loop)

    # -- receiving ----------------------------------------------------------------------------------

    async def read(self, n: int = -1) -> bytes:
        """Return up to n octets as soon as there are any, b"" at the end; all of them with -1."""
        return await self._reader.read(n)

    async def readexactly(self, n: int) -> bytes:
        """Return n octets. Raises asyncio.IncompleteReadError where the end comes before."""
        return await self._reader.readexactly(n)

    async def readuntil(self, separator: bytes | tuple[bytes, ...] = b"\n") -> bytes:
        """Return what comes up to a separator, and it; of several that which ends first. Raises as
        `StreamReader.readuntil`. Over TLS it takes several from Python 3.13 on, as that does."""
        separators: Any = separator
        return await self._reader.readuntil(separators)

    async def readline(self) -> bytes:
        """Return a line, without its end where the stream ended first."""
        return await self._reader.readline()

    def at_eof(self) -> bool:
        """Has the peer ended its side, and was everything read?"""
        return self._reader.at_eof()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._reader)

    # -- sending ------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send octets; `await drain()` after it, now and then."""
        self.transport.write(data)

    def writelines(self, data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send octets."""
        self.transport.writelines(data)

    async def drain(self) -> None:
        """Wait while too many octets wait."""
        error = self._reader.exception()
        if error is not None:
            raise error.with_traceback(None)
        await self._writer.drain()

    def can_write_eof(self) -> bool:
        """Can this side end alone? So it is, but for TLS."""
        return self._writer.can_write_eof()

    def write_eof(self) -> None:
        """End this side behind what was written; the other goes on."""
        self._writer.write_eof()

    # -- both ---------------------------------------------------------------------------------------

    def close(self) -> None:
        """End this side behind what was written, and drop what the peer still sends."""
        self._writer.close()

    def is_closing(self) -> bool:
        """Is it closed, or about to be?"""
        return self._writer.is_closing()

    async def wait_closed(self) -> None:
        """Wait until what was written has left. Raises what ended the stream before."""
        await self._writer.wait_closed()

    def reset(self, error_code: int = CANCEL) -> None:
        """End both sides at once: the peer sees an abnormal end with this code (of 32 bits).

        What reads here, `drain` and `wait_closed` raise ConnectionResetError from then on.
        """
        self.tunnel.abort(error_code)

    def prioritize(self, urgency: int = 3, incremental: bool = False) -> None:
        """See `Tunnel.prioritize`."""
        self.tunnel.prioritize(urgency, incremental)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `StreamTransport.get_extra_info`; over TLS what its transport knows, too."""
        return self._writer.get_extra_info(name, default)

    @property
    def stream_id(self) -> int:
        """The number of the HTTP/2 stream."""
        return self.tunnel.stream_id

    async def start_tls(
        self,
        context: ssl_module.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> ByteStream:
        """Speak TLS on this stream from here on; return what is secured, this one is used no more.

        It is asyncio's own TLS, whichever loop runs. Raises as `loop.start_tls` does, and
        LocalProtocolError where the peer has sent octets that nobody read, or has ended its side:
        what came before TLS is none of it.
        """
        await self.drain()
        if not self._reader.untouched:
            raise LocalProtocolError("the peer has sent octets, or its end, before TLS began")
        loop = self.tunnel._sending.wire.hub.loop
        secured = ByteStream.__new__(ByteStream)
        secured.tunnel = self.tunnel
        secured._below = self  # whose writer would close the stream once nobody has it
        secured._reader = reader = Reader(LIMIT, loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        # uvloop's takes its own transports alone; this one needs no more of a loop than any has.
        secured.transport = await asyncio.base_events.BaseEventLoop.start_tls(
            loop,  # type: ignore[arg-type]
            self.transport,
            protocol,
            context,
            server_side=server_side,
            server_hostname=server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        if secured.transport is None:
            raise ConnectionResetError("the stream ended during the handshake")
        protocol.connection_made(secured.transport)
        secured._writer = asyncio.StreamWriter(secured.transport, protocol, reader, loop)
        return secured

    async def __aenter__(self) -> ByteStream:
        return self

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is None:
            self.close()
            await self.wait_closed()
        else:
            self.reset()

    def __repr__(self) -> str:
        return f"<ByteStream stream {self.stream_id}>"
