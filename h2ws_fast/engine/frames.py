"""Reading frames: RFC 9113 section 4 and the layouts of section 6.

The reader is resumable at every octet. Between two calls it holds at most nine octets of a head,
or the payload of one frame that must be whole before it means anything (all but DATA), or the
pieces of one field block. A DATA payload is handed on as it arrives.

    AWAIT_PREFACE  a server waits for the client's 24 octets
    READ_HEAD      collecting the 9 octets of a frame's head (whole in the buffer: read in place)
    READ_PAD       the pad length of a DATA frame comes next
    READ_PAYLOAD   `left` octets of DATA are to come, for `target` (None: nobody wants them)
    READ_SKIP      `left` octets are of no interest: padding, unknown frames
    READ_WHOLE     `left` octets of a frame that must be whole are to come
    DEAD           the connection has failed: nothing is read any more

Sizes and stream numbers are checked when a head is whole, before a payload is held; so is whether a
field block or SETTINGS would be longer than their limits let them.
"""

from .buffers import Buffer
from .constants import (
    ACK,
    AWAIT_PREFACE,
    CLOSED,
    CONTINUATION,
    DATA,
    DEAD,
    DEFAULT_FRAME_SIZE,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    MAX_STREAM_ID,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PRIORITY_FLAG,
    PRIORITY_UPDATE,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    READ_HEAD,
    READ_PAD,
    READ_PAYLOAD,
    READ_SKIP,
    READ_WHOLE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from .delivery import Delivery
from .kernels import address, take, u24, u32
from .limits import UNLIMITED

MIN_CONTINUATIONS = 8  # see `Limits.max_continuations`


class FrameReader(Delivery):
    """The state of reading; what a frame means is for the subclass to say."""

    __slots__ = (
        "block",
        "block_flags",
        "block_frames",
        "block_id",
        "block_loops",
        "block_promised",
        "collected",
        "flags",
        "greeted",
        "kind",
        "heed_loops",
        "left",
        "max_block",
        "max_frame",
        "padding",
        "partial",
        "phase",
        "stream_id",
        "target",
    )

    def read(self, p, n):
        """Read n octets of the connection."""
        pos = 0
        while pos < n:
            if self.phase == READ_HEAD:
                if self.partial is None and n - pos >= 9:
                    # Nothing is as frequent as whole DATA without flags.
                    pos = self.read_tunnels(p, pos, n)
                    if n - pos >= 9 and self.phase == READ_HEAD:
                        pos = self._frame(
                            p,
                            pos + 9,
                            n,
                            u24(p, pos),
                            p[pos + 3],
                            p[pos + 4],
                            u32(p, pos + 5),
                        )
                else:
                    pos = self._partial_head(p, pos, n)
            elif self.phase == READ_WHOLE:
                pos = self._collect(p, pos, n)
            elif self.phase == AWAIT_PREFACE:
                pos = self._read_preface(p, pos, n)
            elif self.phase == DEAD:
                return 0
            else:
                end = self.read_rest(p, pos, n)
                pos = end if end > pos else self._continue_data(p, pos, n)
        return 0

    def _read_preface(self, p, pos, n):
        # Checked octet by octet: an HTTP/1.1 request is found out at its first.
        while pos < n and self.left:
            if p[pos] != PREFACE[len(PREFACE) - self.left]:
                self.fail_connection(PROTOCOL_ERROR, "no HTTP/2 connection preface")
                return n
            pos += 1
            self.left -= 1
        if self.left == 0:
            self.phase = READ_HEAD
        return pos

    def _partial_head(self, p, pos, n):
        partial = b"" if self.partial is None else self.partial
        size = 9 - len(partial)
        if size > n - pos:
            size = n - pos
        partial += take(p, pos, size)
        pos += size
        if len(partial) < 9:
            self.partial = partial
            return pos
        self.partial = None
        held = address(partial)
        return self._frame(p, pos, n, u24(held, 0), held[3], held[4], u32(held, 5))

    def _frame(self, p, pos, n, length, kind, flags, stream_id):
        # A head is whole and its payload begins at pos. Return where reading goes on.
        stream_id &= MAX_STREAM_ID
        if kind == DATA and self.block_id == 0 and length <= self.max_frame and self.greeted:
            return self._begin_data(p, pos, n, length, flags, stream_id)
        if not self._check_head(length, kind, flags, stream_id):
            return n
        self.kind = kind
        self.flags = flags
        self.stream_id = stream_id
        self.left = length
        if kind > CONTINUATION and kind != PRIORITY_UPDATE:
            # RFC 9113 section 5.5: unknown frames are discarded.
            self.phase = READ_SKIP if length else READ_HEAD
            return pos
        if length <= n - pos:
            self._whole(p, pos, length)
            return pos + length
        self.phase = READ_WHOLE
        return pos

    def _check_head(self, length, kind, flags, stream_id):
        # What a head alone can be refused for; False where the connection has failed.
        error = PROTOCOL_ERROR
        reason = None
        if not self.greeted:
            # RFC 9113 section 3.4: the preface of either side is followed by, or is, SETTINGS.
            if kind != SETTINGS or flags & ACK:
                reason = "the first frame is not SETTINGS"
                # The head of a frame of 4.7 MB of an unknown type, to whoever asks for no more.
                if (
                    length == 0x485454
                    and kind == 0x50
                    and flags == 0x2F
                    and stream_id >> 16 == 0x312E
                ):
                    reason = "the peer speaks HTTP/1.1, not HTTP/2"  # "HTTP/1."
                self.fail_connection(PROTOCOL_ERROR, reason)
                return False
            self.greeted = True
        if self.block_id:
            if kind != CONTINUATION or stream_id != self.block_id:
                # RFC 9113 section 4.3: a field block is "a contiguous sequence of frames".
                reason = "a frame within a field block"
        elif kind == CONTINUATION:
            reason = "CONTINUATION of nothing"
        if reason is None:
            if length > self.max_frame:
                error = FRAME_SIZE_ERROR
                reason = "frame exceeds SETTINGS_MAX_FRAME_SIZE"
            elif kind == DATA or kind == HEADERS or kind == PRIORITY or kind == RST_STREAM:
                if stream_id == 0:
                    reason = "frame on stream 0"
                elif kind == RST_STREAM and length != 4:
                    error = FRAME_SIZE_ERROR
                    reason = "RST_STREAM is not 4 octets long"
            elif kind == SETTINGS or kind == PING or kind == GOAWAY or kind == PRIORITY_UPDATE:
                if (
                    (kind == SETTINGS and (length % 6 or (flags & ACK and length)))
                    or (kind == PING and length != 8)
                    or (kind == GOAWAY and length < 8)
                    or (kind == PRIORITY_UPDATE and length < 4)
                ):
                    error = FRAME_SIZE_ERROR
                    reason = "frame of a wrong length"
                elif stream_id:
                    reason = "frame of the connection on a stream"
            elif kind == WINDOW_UPDATE and length != 4:
                error = FRAME_SIZE_ERROR
                reason = "WINDOW_UPDATE is not 4 octets long"
            elif kind == PUSH_PROMISE and stream_id == 0:
                reason = "PUSH_PROMISE on stream 0"
        if reason is not None:
            self.fail_connection(error, reason)
            return False
        return self._fits(length, kind, flags)

    def _fits(self, length, kind, flags):
        # What may not be kept anyhow is refused before it is; False where the connection has failed.
        if kind == SETTINGS:
            if length // 6 > self.limits.max_settings:
                self.reached("max_settings", "too many settings in a frame")
                return False
        elif kind == CONTINUATION:
            # CVE-2024-27316 and its family: bounded in frames and in octets.
            if self.block_frames >= self._most_continuations():
                self.reached("max_continuations", "too many CONTINUATION frames")
                return False
            if length > self.max_block - self.block.size():
                self.reached("max_header_list_size", "field block is too large")
                return False
        elif kind == HEADERS or kind == PUSH_PROMISE:
            # How much of it is padding its first octet will say: 255, and itself, at most.
            besides = 256 if flags & PADDED else 0
            if kind == PUSH_PROMISE:
                besides += 4
            elif flags & PRIORITY_FLAG:
                besides += 5
            if length - besides > self.max_block:
                self.reached("max_header_list_size", "field block is too large")
                return False
        return True

    def _most_continuations(self):
        # As many as a list within the limit needs, and a quarter for frames that are not full. A
        # peer may keep to the smallest SETTINGS_MAX_FRAME_SIZE, whatever ours is (RFC 9113 section
        # 4.2); of `max_block` two lists make all but such a frame.
        most = self.limits.max_continuations
        if most == UNLIMITED:
            most = (self.max_block - DEFAULT_FRAME_SIZE) // 8 * 5 // DEFAULT_FRAME_SIZE
            if most < MIN_CONTINUATIONS:
                most = MIN_CONTINUATIONS
        return most

    def _collect(self, p, pos, n):
        size = self.left
        if size > n - pos:
            size = n - pos
        if self.collected is None:
            self.collected = Buffer()
        self.collected.append(p, pos, size, 0)
        self.left -= size
        pos += size
        if self.left == 0:
            whole = self.collected.bytes()
            self.collected = None
            self._whole(address(whole), 0, len(whole))
        return pos

    def _whole(self, p, pos, n):
        # A frame is whole: `kind`, `flags`, `stream_id` and n octets at pos.
        self.phase = READ_HEAD
        kind = self.kind
        if kind == HEADERS or kind == PUSH_PROMISE:
            self._begin_block(p, pos, n)
        elif kind == CONTINUATION:
            self._continue_block(p, pos, n)
        else:
            self.receive_frame(kind, self.flags, self.stream_id, p, pos, n)

    # -- DATA ----------------------------------------------------------------------------------

    def _begin_data(self, p, pos, n, length, flags, stream_id):
        if stream_id == 0:
            self.fail_connection(PROTOCOL_ERROR, "DATA on stream 0")
            return n
        if flags & PADDED and length == 0:
            self.fail_connection(FRAME_SIZE_ERROR, "padded DATA without a pad length")
            return n
        stream = self.begin_data(stream_id, length, flags)
        if self.phase == DEAD:
            return n
        if length <= n - pos and not flags & PADDED:
            if stream is not None:
                # `layer` is held: the callee may put another in its place.
                layer = stream.layer
                if length:
                    layer.receive(self, stream, p, pos, length)
                if flags & END_STREAM and stream.state != CLOSED:
                    self.end_data(stream)
            return pos + length
        self.target = stream
        self.flags = flags
        self.left = length
        self.padding = 0
        self.phase = READ_PAD if flags & PADDED else READ_PAYLOAD
        return pos

    def _continue_data(self, p, pos, n):
        if self.phase == READ_PAD:
            self.padding = p[pos]
            pos += 1
            self.left -= 1
            if self.padding > self.left:
                # RFC 9113 section 6.1: padding as long as the payload or longer.
                self.fail_connection(PROTOCOL_ERROR, "padding exceeds the frame")
                return n
            self.left -= self.padding
            if self.target is not None:
                self.credit(self.target, self.padding + 1)
            self.phase = READ_PAYLOAD
            self.padded(self.left)
            if self.phase == DEAD:
                return n
        stream = self.target
        size = self.left
        if size > n - pos:
            size = n - pos
        self.left -= size
        if self.phase == READ_PAYLOAD:
            if size and stream is not None and stream.state != CLOSED:
                layer = stream.layer
                layer.receive(self, stream, p, pos, size)
            pos += size
            if self.phase == DEAD or self.left:
                return pos
            self.left = self.padding
            self.phase = READ_SKIP
        else:
            pos += size
        if self.left == 0:
            self.phase = READ_HEAD
            if stream is not None:
                self.target = None
                if self.flags & END_STREAM and stream.state != CLOSED:
                    self.end_data(stream)
        return pos

    # -- field blocks --------------------------------------------------------------------------

    def _begin_block(self, p, pos, n):
        flags = self.flags
        end = pos + n
        padding = 0
        fixed = 0
        if flags & PADDED:
            fixed = 1
        if self.kind == PUSH_PROMISE:
            fixed += 4
        elif flags & PRIORITY_FLAG:
            # RFC 9113 section 5.3.2: the old signals are read over.
            fixed += 5
        if n < fixed:
            self.fail_connection(FRAME_SIZE_ERROR, "frame too short for its fields")
            return
        if flags & PADDED:
            padding = p[pos]
        if padding > n - fixed:
            self.fail_connection(PROTOCOL_ERROR, "padding exceeds the frame")
            return
        self.block_promised = 0
        self.block_loops = False
        if self.kind == HEADERS and flags & PRIORITY_FLAG and self.heed_loops:
            depends_on = u32(p, pos + fixed - 5) & MAX_STREAM_ID
            self.block_loops = depends_on == self.stream_id
        if self.kind == PUSH_PROMISE:
            self.block_promised = u32(p, pos + fixed - 4) & MAX_STREAM_ID
            if self.block_promised == 0 or self.block_promised & 1:
                # RFC 9113 sections 5.1.1 and 6.6: what a server opens is even, and never 0.
                self.fail_connection(PROTOCOL_ERROR, "PUSH_PROMISE of stream 0 or an odd one")
                return
        pos += fixed
        end -= padding
        if end - pos > self.max_block:
            self.reached("max_header_list_size", "field block is too large")
            return
        if self.kind == HEADERS and not self.begin_block(self.stream_id):
            return
        if flags & END_HEADERS:
            self.end_block()
            self.receive_block(
                self.stream_id, flags & END_STREAM, self.block_promised, p, pos, end - pos
            )
            return
        self.block_id = self.stream_id
        self.block_flags = flags
        self.block_frames = 0
        self.block = Buffer()
        self.block.append(p, pos, end - pos, 0)
        self.start_block()
        if end == pos:
            self.empty_frame()

    def _continue_block(self, p, pos, n):
        # That there is room for it was seen at its head: `_fits`.
        self.block_frames += 1
        self.block.append(p, pos, n, 0)
        if not self.flags & END_HEADERS:
            if n == 0:
                self.empty_frame()
            return
        whole = self.block.bytes()
        self.block = None
        self.block_id = 0
        self.end_block()
        self.receive_block(
            self.stream_id,
            self.block_flags & END_STREAM,
            self.block_promised,
            address(whole),
            0,
            len(whole),
        )

    def reached(self, name, reason):
        """A limit was passed that ends the connection."""
        self.count_hit(name)
        self.fail_connection(ENHANCE_YOUR_CALM, reason)
        return 0

    # -- for the subclass ----------------------------------------------------------------------

    def fail_connection(self, error_code, reason):
        """A connection error: RFC 9113 section 5.4.1."""

    def empty_frame(self):
        """A frame without content and without END_STREAM."""

    def padded(self, content):
        """A DATA frame is padded around so much content."""

    def read_tunnels(self, p, pos, n):
        """Read frames for which nothing is to be decided; return where they end."""
        return pos

    def read_rest(self, p, pos, n):
        """Read the rest of such a frame, and what follows; return where that ends."""
        return pos

    def begin_data(self, stream_id, length, flags):
        """A DATA frame begins: account for it; return the stream that wants it, or None."""

    def end_data(self, stream):
        """A DATA frame with END_STREAM is complete."""

    def begin_block(self, stream_id):
        """HEADERS begin; false where the connection has failed."""

    def start_block(self):
        """A field block goes on in CONTINUATION frames."""

    def end_block(self):
        """It is whole."""

    def receive_block(self, stream_id, end_stream, promised, p, pos, n):
        """A field block is whole; `promised` is the stream of a PUSH_PROMISE, else 0."""

    def receive_frame(self, kind, flags, stream_id, p, pos, n):
        """Any other frame is whole."""
