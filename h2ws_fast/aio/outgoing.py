"""Messages on their way out of a WebSocket, and who waits until they are.

A send below `write_limit` allocates nothing: it hands out READY. Above, it is an Awaited that ends
when the peer caught up.
"""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any

from ..engine.constants import WS_INTERNAL_ERROR
from ..errors import LocalProtocolError, StreamClosed
from .awaitable import READY, failed, following, pending
from .extra import Extra, still_waiting
from .hub import READ_BUFFER
from .keeper import Kept
from .state import CLOSED, CLOSING, CONNECTING, OPEN


class Outgoing(Kept):
    """What of a WebSocket sends."""

    __slots__ = ("_extra",)

    def send(self, message: Any, text: bool | None = None, *, compress: bool = True) -> Any:
        """Send a message; await the result to keep to the peer's pace.

        The call queues the message; awaiting it waits only while more than `write_limit` octets
        wait on this WebSocket. What is sent within a read, by a callback or by the reader of a
        message of 4 KiB and more, leaves behind that read: up to 256 KiB for which the peer has
        room do not count. A callback that cannot await looks at `done()` of the result, or leaves
        that out and lets the messages wait in memory. `str` is sent as text; `bytes`,
        `bytearray` and `memoryview` as binary; `text=True` and `text=False` say otherwise. An
        iterable, or an asynchronous iterable, of either is sent as one message in fragments;
        there the work begins with `await`. `compress=False` keeps the message plain where the
        WebSocket compresses: for secrets beside what others can choose.

        Awaiting raises ConnectionClosed where the WebSocket is closed or closing.
        """
        if self._state == OPEN and text is None and compress is True:
            kind = type(message)
            if (kind is bytes or kind is str) and (
                self._extra is None or self._extra.sending is None
            ):
                return self._send(message)
        return self._send_any(message, text, compress)

    def _send(self, message):
        wire = self.wire
        try:
            waiting = wire.conn.send_message(self.stream_id, message)
        except StreamClosed:
            return pending(self._fail_later)
        except Exception as error:
            return failed(error)
        wire._touch()
        if waiting <= wire.write_high:
            return READY
        return self._congested()

    def _congested(self):
        wire = self.wire
        if wire.hub.busy:
            # Within a read, behind which all is written that the peer has room for.
            if (
                not wire.paused
                and wire.conn.waiting(self.stream_id) <= wire.write_high + READ_BUFFER
                and not wire.conn.is_blocked(self.stream_id)
            ):
                return READY
        else:
            wire.pull()
            if self._state == OPEN and wire.conn.waiting(self.stream_id) <= wire.write_high:
                return READY
        return pending(self._drain)

    def _drain(self):
        # A future for the end of congestion, or None where it is over.
        if self._state == CLOSED:
            return self._fail_later()
        if self.wire.conn.waiting(self.stream_id) <= self.wire.write_high:
            return None
        future = self.wire.hub.loop.create_future()
        extra = self._extras()
        extra.drainers = still_waiting(extra.drainers)
        extra.drainers.append(future)
        return future

    def _fail_later(self):
        # A future that ends with ConnectionClosed when the closing handshake is over.
        if self._state == CLOSED:
            raise self._error()
        future = self.wire.hub.loop.create_future()
        extra = self._extras()
        extra.closers = still_waiting(extra.closers)
        extra.closers.append((future, True))
        return future

    def _send_any(self, message, text, compress):
        if isinstance(message, str):
            if text is False:
                message = message.encode()
        elif isinstance(message, bytes | bytearray | memoryview):
            message = bytes(message)
            if text:
                try:
                    message = message.decode()
                except UnicodeDecodeError as error:
                    return failed(error)
        elif isinstance(message, Mapping):
            return failed(TypeError("a mapping is no message: send its keys() or json"))
        elif isinstance(message, Iterable | AsyncIterable):
            return self._send_fragments(message, text, compress)
        else:
            return failed(
                TypeError(f"a message is str, bytes-like, or an iterable: {type(message)!r}")
            )
        if self._state != OPEN:
            return self._not_open()
        if self._extra is not None and self._extra.sending is not None:
            return following(self._send_after(message, compress))
        return self._send(message) if compress else self._send_plain(message)

    def _send_plain(self, message):
        wire = self.wire
        try:
            waiting = wire.conn.send_message_as(self.stream_id, message, False)
        except StreamClosed:
            return pending(self._fail_later)
        except Exception as error:
            return failed(error)
        wire._touch()
        return READY if waiting <= wire.write_high else self._congested()

    def _not_open(self):
        if self._state == CONNECTING:
            return failed(LocalProtocolError("the WebSocket is not open yet"))
        return pending(self._fail_later)

    async def _send_after(self, message, compress):
        # A fragmented message is under way: nothing may come between.
        while self._extra is not None and self._extra.sending is not None:
            await asyncio.shield(self._extra.sending)
        if self._state != OPEN:
            await self._not_open()
        await (self._send(message) if compress else self._send_plain(message))

    async def _send_fragments(self, message, text, compress):
        while self._extra is not None and self._extra.sending is not None:
            await asyncio.shield(self._extra.sending)
        if self._state != OPEN:
            await self._not_open()
        extra = self._extras()
        extra.sending = self.wire.hub.loop.create_future()
        kind = None
        begun = False
        # Of octets that are sent as text: they may be cut within a character.
        decoder = codecs.getincrementaldecoder("utf-8")() if text else None
        try:
            if isinstance(message, AsyncIterable):
                async for piece in message:
                    kind, piece = self._fragment(piece, kind, text, decoder)
                    sent = self._send_fragment(piece, False, compress)
                    begun = True
                    await sent
            else:
                for piece in message:
                    kind, piece = self._fragment(piece, kind, text, decoder)
                    sent = self._send_fragment(piece, False, compress)
                    begun = True
                    await sent
            if begun:
                if decoder is not None:
                    decoder.decode(b"", True)
                sent = self._send_fragment("" if isinstance(piece, str) else b"", True, compress)
                begun = False
                await sent
        except BaseException:
            # Half a message is out and the rest will not come: the WebSocket is of no use.
            if begun:
                self._start_closing(WS_INTERNAL_ERROR, "error in fragmented message")
            raise
        finally:
            sending = extra.sending
            extra.sending = None
            if not sending.done():
                sending.set_result(None)
            if extra.conflated is not None:
                self._send_conflated()

    def _fragment(self, piece, kind, text, decoder):
        found = str if isinstance(piece, str) else bytes
        if not isinstance(piece, str | bytes | bytearray | memoryview):
            raise TypeError(f"a fragment is str or bytes-like: {type(piece)!r}")
        if kind is not None and found is not kind:
            raise TypeError("the fragments of a message are all text or all binary")
        if found is str:
            return found, piece.encode() if text is False else piece
        piece = bytes(piece)
        return found, piece if decoder is None else decoder.decode(piece)

    def _send_fragment(self, piece, final, compress):
        # Queue it now; what is returned waits as what `send` returns does.
        if self._state != OPEN:
            return self._not_open()
        try:
            waiting = self.wire.conn.send_fragment(self.stream_id, piece, final, compress)
        except StreamClosed:
            return pending(self._fail_later)
        self.wire._touch()
        return READY if waiting <= self.wire.write_high else self._congested()

    def _conflate(self, message):
        # Have `message` sent once there is room, in place of one that still waits for that.
        extra = self._extras()
        extra.conflated = message

    def _send_conflated(self):
        # At a Drained, and behind a fragmented message, before which it may have come.
        extra = self._extra
        wire = self.wire
        if (
            self._state == OPEN
            and extra.sending is None
            and wire.conn.waiting(self.stream_id) <= wire.write_high
        ):
            message = extra.conflated
            extra.conflated = None
            # Not `_send`: at a Drained the engine is just being pulled.
            try:
                wire.conn.send_message(self.stream_id, message)
            except StreamClosed:
                return
            except Exception as error:
                self.logger.warning("left out of a broadcast: %s", error)
                return
            wire._touch()

    def _start_closing(self, code, reason):
        if self._state != OPEN:
            return
        try:
            self.wire.conn.close_websocket(self.stream_id, code, reason)
        except StreamClosed:
            return
        if self._state == OPEN:
            self._state = CLOSING
        self.wire._touch()

    def _extras(self):
        if self._extra is None:
            self._extra = Extra()
        return self._extra
