"""permessage-deflate: messages that are compressed on their way. RFC 7692.

A DeflateLayer takes the place of a MessageLayer where the handshake agreed on compression (see
`agreement`). A message without RSV1 goes the ways it goes there, both in and out; one with it goes
through here, as its octets come:

    in    unmask -> expand, at most what the message may still hold -> check UTF-8 -> gather
    out   compress -> flush -> without the flush's last four octets -> one frame, or many

A compressor or decompressor exists while it is of use: within a message, and after it only where
the context is taken over (RFC 7692 section 7.1.1). Between two messages a WebSocket without
takeover holds nothing but this layer. At any time our compressor may be forgotten, since the peer
does not know whether we refer to what went before; its decompressor never.

Octets that come count twice: those of the wire are credited when they are looked at, and what they
expand to counts as held (`Limits.max_buffered`) and must be consumed before the peer's window opens
again. A window of 64 KiB may still expand to 64 MiB. So no more is expanded while messages of 1 MiB
wait for the application, nor, in one read, once 2 MiB were, on however many streams: what comes then
waits as it came, in a Backlog, uncredited, until messages were taken or the loop has had its turn
(`go_on`). What costs time without growing counts as octets: each message, and each final block.
"""

import zlib

from ..errors import LocalProtocolError
from .assembly import new_assembly
from .backlog import new_backlog
from .codec import decompressor
from .constants import (
    BACKLOG,
    BEHIND,
    BINARY,
    CLOSE_RECEIVED,
    CLOSE_SENT,
    CONTINUATION_FRAME,
    DEFLATES,
    DISCARD,
    FIN,
    HEAD,
    INVALID_DATA,
    MAX_AT_ONCE,
    OPCODE,
    PAYLOAD,
    POLICY_VIOLATION,
    REPORTED,
    RSV1,
    TEXT,
)
from .kernels import address, rotate, take, unmask, unmask_text
from .messages import MessageLayer, begin, payload

SYNC_FLUSH = zlib.Z_SYNC_FLUSH

# What a flush ends with, and no message: RFC 7692 section 7.2.1.
TAIL = b"\x00\x00\xff\xff"
# A block without content. Where the decompressor stands between two blocks nothing comes out of it.
EMPTY_BLOCK = b"\x00" + TAIL
# The same as the last block: behind it the decompressor is at its end, if it stood between two.
LAST_BLOCK = b"\x01" + TAIL

WINDOW = 32768
# Octets of whole messages that wait for the application: beyond them no more is expanded ...
MAX_WAITING = 1048576
# What is done for a message whatever it expands to, in octets that would take as long (1 to 2 us) ...
MESSAGE_WORK = 512
# ... and for a block marked as final, behind which a decompressor begins anew (2 to 4 us).
FINAL_WORK = 4096
# Octets grow 1032-fold at most: so many of a message are looked at together, where it may be large.
SLICE = 4096
# Pieces of the window, before they are joined.
MAX_PIECES = 64


class Window:
    """The last 32 KiB of what was expanded: a decompressor does not tell its own."""

    __slots__ = ("pieces", "size")

    def __init__(self):
        self.pieces = []
        self.size = 0

    def add(self, data):
        """Remember what was expanded last."""
        n = len(data)
        if n >= WINDOW:
            self.pieces = [data if n == WINDOW else data[n - WINDOW :]]
            self.size = WINDOW
        elif n:
            self.pieces.append(data)
            self.size += n
            if self.size > WINDOW + (WINDOW >> 1) or len(self.pieces) > MAX_PIECES:
                self.pieces = [self.content()]
                self.size = len(self.pieces[0])

    def content(self):
        """The window as `bytes`."""
        data = b"".join(self.pieces)
        n = len(data)
        return data if n <= WINDOW else data[n - WINDOW :]


class DeflateLayer(MessageLayer):
    """The messages of one WebSocket with permessage-deflate."""

    # 48 octets more than a MessageLayer when compiled.
    __slots__ = ("agreed", "backlog", "compressor", "decompressor", "window", "finals", "fresh")

    # -- octets in -----------------------------------------------------------------------------

    def understands(self, first):
        # RFC 7692 section 6: RSV1 on "the first frame of a message", so on no continuation, and on
        # no control frame. RSV2 and RSV3 belong to nobody.
        return first & 0x70 == RSV1 and (first & OPCODE == TEXT or first & OPCODE == BINARY)

    def may_fit(self, channel, first, size):
        return first & RSV1 != 0 and size <= grown(channel.limits.whole_message)

    def _count_fragment(self, channel, stream, size):
        assembly = self.assembly
        if assembly.opcode & RSV1:
            assembly.mark = self._came()
            # Each frame may end with a flush of its own.
            most = grown(channel.limits.max_message) + assembly.frames * 16
            self._count(channel, stream, size, assembly.packed, most)
        else:
            self._count(channel, stream, size, assembly.buffer.size(), channel.limits.max_message)

    def _came(self):
        # What the octets of the message so far expanded to.
        assembly = self.assembly
        return 0 if assembly is None else assembly.passed + assembly.buffer.size()

    def expand(self, channel, stream, p, pos, n):
        rest = self.left
        if n and channel.expanded > MAX_AT_ONCE and self._is_fresh():
            # Other streams have used this read up. What a backlog holds had its turn.
            if self._wait(channel, stream):
                self.left = rest + n
                return self.keep_back(channel, stream, p, pos, pos + n)
        if channel.limits.max_message > MAX_AT_ONCE:
            while n > SLICE:
                self.left = rest + n - SLICE
                self._expand_piece(channel, stream, p, pos, SLICE)
                pos += SLICE
                n -= SLICE
                if self._wait(channel, stream):
                    self.left = rest + n
                    return self.keep_back(channel, stream, p, pos, pos + n)
            self.left = rest
        self._expand_piece(channel, stream, p, pos, n)
        self._wait(channel, stream)
        return 0

    def _expand_piece(self, channel, stream, p, pos, n):
        channel.credit(stream, n)
        if self.bits & CLOSE_SENT:
            return 0
        assembly = self.assembly
        final = self.left == 0 and self.opcode & FIN != 0
        data = unmask(p, pos, n, self.key)
        if assembly is None:
            self.finals = 0
            if final:
                return self._expand_whole(channel, stream, data)
            assembly = new_assembly(self.opcode & (OPCODE | RSV1))
            self.assembly = assembly
        elif assembly.opcode == 0:
            self.finals = 0
            assembly.begin(self.opcode & (OPCODE | RSV1))
        self.key = rotate(self.key, n)
        assembly.packed += n
        buffer = assembly.buffer
        if assembly.packed:
            have = self._came()
            room = channel.limits.max_message - have
            if channel.limits.max_fragment < room + have - assembly.mark:
                room = channel.limits.max_fragment - (have - assembly.mark)
            data = self._expand(channel, stream, data, final, room)
            if data is None:
                return 0
        size = len(data)
        text = assembly.opcode & OPCODE == TEXT
        if text:
            assembly.utf8 = buffer.append_text(address(data), 0, size, 0, assembly.utf8)
        else:
            buffer.append(address(data), 0, size, 0)
        if size:
            channel.keep(stream, size)
            if self.bits & CLOSE_SENT:
                return 0  # it was shed
        if assembly.utf8 < 0 or (final and assembly.utf8 != 0):
            self.fail(channel, stream, INVALID_DATA, "text is not UTF-8")
        elif assembly.streaming:
            data = buffer.bytes()
            assembly.passed += size
            if final:
                assembly.opcode = 0
            if size or final:
                channel.deliver_part(stream, data, text, final, True)
        elif final:
            self.assembly = None
            size = buffer.size()
            whole = buffer.text() if text else buffer.bytes()
            channel.deliver(stream, whole, size, size)
        return 0

    def _expand_whole(self, channel, stream, data):
        # A message that came in one piece.
        if data:
            # An empty payload is no DEFLATE at all: it would leave the decompressor within a block.
            data = self._expand(channel, stream, data, True, channel.limits.whole_message)
            if data is None:
                return 0
        size = len(data)
        whole = data
        if self.opcode & OPCODE == TEXT:
            whole = unmask_text(address(data), 0, size, 0)
            if whole is None:
                self.fail(channel, stream, INVALID_DATA, "text is not UTF-8")
                return 0
        if size:
            channel.keep(stream, size)
            if self.bits & CLOSE_SENT:
                return 0
        channel.deliver(stream, whole, size, size)
        return 0

    def _expand(self, channel, stream, data, final, room):
        # What these octets of a message expand to, at most `room`; None: the WebSocket failed.
        if room > 1 << 40:
            room = 1 << 40
        alone = not self.agreed.receives
        finals = self.finals
        try:
            engine = self.decompressor
            if engine is None:
                engine = decompressor(b"")
                self.decompressor = engine
            if final:
                if not self.fresh or data:
                    data += TAIL
                if alone:
                    data += LAST_BLOCK
            if data:
                self.fresh = False
            # No more is ever allocated than was asked for.
            expanded = engine.decompress(data, room + 1)
            if engine.eof and (not final or not alone or engine.unused_data):
                most = channel.limits.max_final_blocks
                expanded = self._after_final_block(expanded, final and alone, room, most)
                engine = self.decompressor
            channel.expanded += len(expanded) + (self.finals - finals) * FINAL_WORK
            if final:
                channel.expanded += MESSAGE_WORK
            if self._came() + len(expanded) > channel.limits.max_message:
                self.too_big("max_message", channel, stream)
                return None
            if len(expanded) > room:
                self.too_big("max_fragment", channel, stream)
                return None
            if self.finals > channel.limits.max_final_blocks:
                channel.count_hit("max_final_blocks")
                self.fail(channel, stream, POLICY_VIOLATION, "too many final blocks")
                return None
            if final:
                if not alone:
                    whole = not engine.decompress(EMPTY_BLOCK, 1)
                else:
                    whole = engine.eof
                    self.decompressor = None
                if not whole:
                    self.fail(channel, stream, INVALID_DATA, "compressed data is cut short")
                    return None
        except zlib.error:
            self.fail(channel, stream, INVALID_DATA, "compressed data is corrupt")
            return None
        if alone and final:
            self.window = None
        else:
            if self.window is None:
                self.window = Window()
            self.window.add(expanded)
        return expanded

    def _after_final_block(self, expanded, last, room, most):
        # RFC 7692 section 7.2.3.4: a block with BFINAL set ends neither message nor context. What
        # follows is for a decompressor behind which the same window lies.
        window = Window()
        if self.window is not None:
            window.add(self.window.content())
        window.add(expanded)
        pieces = [expanded]
        size = len(expanded)
        engine = self.decompressor
        while engine.eof and size <= room and self.finals <= most:
            data = engine.unused_data
            if last and not data:
                break
            self.finals += 1
            engine = decompressor(window.content())
            self.decompressor = engine
            if data == TAIL or data == TAIL + LAST_BLOCK:
                # The message ends right behind a final block: nothing is there to be flushed.
                data = data[4:]
            self.fresh = not data
            if self.fresh:
                break
            more = engine.decompress(data, room + 1 - size)
            window.add(more)
            pieces.append(more)
            size += len(more)
        return b"".join(pieces)

    # -- octets that wait ----------------------------------------------------------------------

    def _is_fresh(self):
        # Do the octets at hand come from the wire?
        return self.backlog is None or not self.backlog.reading

    def _wait(self, channel, stream):
        # Has enough been expanded for now? Then what follows goes into the backlog.
        if self.phase == DISCARD or self.bits & (CLOSE_SENT | CLOSE_RECEIVED | REPORTED):
            return False
        full = self._is_full(channel, stream)
        if not full and channel.expanded <= MAX_AT_ONCE:
            return False
        self.phase = BEHIND
        stream.flags |= BACKLOG
        if self.backlog is None:
            self.backlog = new_backlog()
        if not full:
            channel.go_on_soon(stream)
        return True

    def _is_full(self, channel, stream):
        # Does so much wait for the application that it must come first? Then it will make room.
        waiting = stream.held
        if self.backlog is not None:
            waiting -= self.backlog.counted
        if self.assembly is not None:
            waiting -= self.assembly.buffer.size()
        return waiting > MAX_WAITING or (
            waiting > 0 and channel.buffered > channel.limits.max_buffered >> 1
        )

    def keep_back(self, channel, stream, p, pos, end):
        backlog = self.backlog
        if backlog.reading:
            backlog.read_to(pos)
        else:
            backlog.add(take(p, pos, end - pos))
        if not self.bits & CLOSE_SENT:
            backlog.counted += end - pos
            channel.hold_back(stream, end - pos)
        return 0

    def go_on(self, channel, stream):
        if self.backlog is not None and (
            self.bits & CLOSE_SENT or not self._is_full(channel, stream)
        ):
            self._read_on(channel, stream)
        return 0

    def drain(self, channel, stream):
        # Up to half of what may be buffered; what is more is lost with the transport.
        most = channel.limits.max_buffered >> 1
        while self.backlog is not None and channel.expanded < most and channel.buffered < most:
            self._read_on(channel, stream)
        self._drop_backlog(channel, stream)
        return 0

    def _read_on(self, channel, stream):
        # Look at the backlog, until it is to wait again.
        backlog = self.backlog
        self.phase = PAYLOAD if self.left else HEAD
        stream.flags &= ~BACKLOG
        while backlog.pieces and self.phase != BEHIND:
            data = backlog.pieces[0]
            at = backlog.at
            n = len(data) - at
            if backlog.counted:
                backlog.counted -= n
                channel.let_go(stream, n)
            backlog.at += n
            backlog.reading = True
            self.receive(channel, stream, address(data), at, n)
            backlog.reading = False
            if self.backlog is not backlog:
                return 0  # it is over
            if backlog.at == at + n:
                del backlog.pieces[0]
                backlog.at = 0
        if self.phase != BEHIND:
            self.backlog = None
            if backlog.ended:
                self.ended(channel, stream)
        return 0

    def _drop_backlog(self, channel, stream):
        backlog = self.backlog
        if backlog is not None:
            self.backlog = None
            stream.flags &= ~BACKLOG
            channel.let_go(stream, backlog.counted)
        return 0

    def _drop_assembly(self, channel, stream):
        MessageLayer._drop_assembly(self, channel, stream)
        backlog = self.backlog
        if self.bits & REPORTED:
            self._drop_backlog(channel, stream)
        elif backlog is not None:
            # Only the peer's Close is looked for now: nothing of it waits for anybody.
            n = backlog.counted
            backlog.counted = 0
            channel.let_go(stream, n)
            channel.go_on_soon(stream)
        return 0

    def ended(self, channel, stream):
        if self.backlog is not None and not self.bits & REPORTED:
            self.backlog.ended = True
            return 0
        return MessageLayer.ended(self, channel, stream)

    # -- messages out --------------------------------------------------------------------------

    def answer(self, channel, stream, data):
        opcode = BINARY
        if type(data) is not bytes:
            if not isinstance(data, str):
                return None
            opcode = TEXT
            data = payload(data)
        if self.sending & OPCODE:
            return LocalProtocolError("a fragmented message is being sent; end it first")
        if self.bits & (CLOSE_SENT | CLOSE_RECEIVED):
            return None
        if self.whole(channel, stream, opcode, data, True):
            return None
        return channel.queue_is_full()

    def whole(self, channel, stream, opcode, data, compress):
        n = len(data)
        agreed = self.agreed
        if not compress or n < agreed.threshold or n > agreed.ceiling or not agreed.bits:
            return channel.push_message(stream, opcode | FIN, data, n)
        packed = self._compress(data)
        packed = ending(packed)
        if not agreed.sends:
            self.compressor = None
            if len(packed) >= n:
                return channel.push_message(stream, opcode | FIN, data, n)
        if channel.push_message(stream, opcode | FIN | RSV1, packed, len(packed)):
            return True
        self.compressor = None  # it refers to what the peer will not have
        return False

    def share(self, channel, stream, opcode, data, packed):
        agreed = self.agreed
        n = len(data)
        if agreed.sends or n < agreed.threshold or n > agreed.ceiling or not agreed.bits:
            return self.whole(channel, stream, opcode, data, True)
        common = packed.get(agreed)
        if common is None:
            common = self._compress(data)
            common = ending(common)
            self.compressor = None
            packed[agreed] = common
        if len(common) >= n:
            return channel.push_message(stream, opcode | FIN, data, n)
        return channel.push_message(stream, opcode | FIN | RSV1, common, len(common))

    def part(self, channel, stream, opcode, data, final, compress):
        sending = self.sending
        if sending & OPCODE == 0:
            # The first part: whether it is compressed holds for all of them.
            first = opcode
            sending = DEFLATES | opcode
            if compress and self.agreed.bits:
                first |= RSV1
                sending |= RSV1
        else:
            first = CONTINUATION_FRAME
        if sending & RSV1:
            data = self._compress(data)
            if final:
                data = ending(data)
                if not self.agreed.sends:
                    self.compressor = None
        self.sending = DEFLATES if final else sending
        channel.write_frame(stream, first | FIN if final else first, data)
        return 0

    def send(self, channel, stream, opcode, data, final):
        return self.part(channel, stream, opcode, data, final, True)

    def _compress(self, data):
        if type(data) is not bytes:
            data = data.encode()
        engine = self.compressor
        if engine is None:
            engine = self.agreed.compressor()
        self.compressor = None  # until it has done all of it
        compressed = engine.compress(data)
        compressed += engine.flush(SYNC_FLUSH)
        self.compressor = engine
        return compressed


def grown(most):
    """The most octets that so many are compressed to: what cannot be grows by 5 in 16 KiB and less."""
    return most + (most >> 8) + 64


def ending(compressed):
    """What ends a message, of what a flush left: RFC 7692 section 7.2.1."""
    if compressed.endswith(TAIL):
        return compressed[: len(compressed) - 4]
    # There was nothing to flush: the header of an empty block (section 7.2.3.6).
    return compressed + b"\x00"


def new_deflate_layer(client, agreed):
    """Make the layer of a WebSocket that has just opened with compression."""
    layer = DeflateLayer.__new__(DeflateLayer)
    begin(layer, client)
    layer.sending = DEFLATES
    layer.agreed = agreed
    layer.backlog = None
    layer.compressor = None
    layer.decompressor = None
    layer.window = None
    layer.finals = 0
    layer.fresh = False
    return layer
