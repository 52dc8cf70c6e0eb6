"""The plain layers: what the octets of a stream are when they are not WebSocket messages."""

from .buffers import Buffer
from .constants import PROTOCOL_ERROR
from .events import Ended, Reset
from .kernels import take
from .stream import Layer


class Body(Layer):
    """The content of a request or response; `expected` octets of it are to come, -1: unknown.

    `came` counts what came since the time `since` (0: nobody looks).
    """

    __slots__ = ("came", "expected", "since")

    def receive(self, channel, stream, p, pos, n):
        self.came += n
        if self.expected >= 0:
            # RFC 9113 section 8.1.1: a content-length that "does not equal the sum of the DATA
            # frame payload lengths" makes the message malformed; an excess shows at once.
            if n > self.expected:
                channel.fail_stream(stream, PROTOCOL_ERROR, "more content than content-length")
                return 0
            self.expected -= n
        channel.deliver_data(stream, take(p, pos, n))
        return 0

    def missing(self):
        return self.expected if self.expected > 0 else 0

    def ended(self, channel, stream):
        if self.expected > 0:
            channel.fail_stream(stream, PROTOCOL_ERROR, "less content than content-length")
        else:
            channel.emit(stream, Ended(stream.id))
        return 0

    def broken(self, channel, stream, error_code, reason, remote, retryable):
        channel.emit(stream, Reset(stream.id, error_code, reason, remote, retryable))
        return 0


class Tunnel(Layer):
    """The octets of an open tunnel."""

    __slots__ = ()

    def receive(self, channel, stream, p, pos, n):
        channel.deliver_data(stream, take(p, pos, n))
        return 0

    def ended(self, channel, stream):
        channel.emit(stream, Ended(stream.id))
        return 0

    def broken(self, channel, stream, error_code, reason, remote, retryable):
        channel.emit(stream, Reset(stream.id, error_code, reason, remote, retryable))
        return 0


class Pending(Layer):
    """An extended CONNECT that the application has not answered: octets are kept as they come.

    They are credited only once it did, so the stream's window bounds them. The `first` of them it
    takes before.
    """

    __slots__ = ("early", "extensions", "first", "has_ended", "key", "protocol", "subprotocols")

    def receive(self, channel, stream, p, pos, n):
        taken = min(self.first, n)
        if taken:
            self.first -= taken
            channel.deliver_data(stream, take(p, pos, taken))
            pos += taken
            n -= taken
            if not n:
                return 0
        if self.early is None:
            self.early = Buffer()
        self.early.append(p, pos, n, 0)
        channel.keep(stream, n)
        return 0

    def ended(self, channel, stream):
        self.has_ended = True
        if self.first:
            channel.emit(stream, Ended(stream.id))  # too early
        return 0

    def broken(self, channel, stream, error_code, reason, remote, retryable):
        channel.emit(stream, Reset(stream.id, error_code, reason, remote, retryable))
        return 0


class Unanswered(Layer):
    """A request of ours whose response head has not come. Content now is malformed."""

    __slots__ = ("deflate", "protocol", "subprotocols")

    def receive(self, channel, stream, p, pos, n):
        channel.fail_stream(stream, PROTOCOL_ERROR, "DATA before the response's head")
        return 0

    def ended(self, channel, stream):
        channel.fail_stream(stream, PROTOCOL_ERROR, "END_STREAM before the response's head")
        return 0

    def broken(self, channel, stream, error_code, reason, remote, retryable):
        channel.emit(stream, Reset(stream.id, error_code, reason, remote, retryable))
        return 0


class Refusal(Layer):
    """An extended CONNECT that was refused: we answer, and what still comes is of no interest."""

    __slots__ = ()

    def receive(self, channel, stream, p, pos, n):
        channel.credit(stream, n)
        return 0

    def broken(self, channel, stream, error_code, reason, remote, retryable):
        channel.emit(stream, Reset(stream.id, error_code, reason, remote, retryable))
        return 0


class Discard(Layer):
    """Nobody wants the octets any more, and the last event was given."""

    __slots__ = ()

    def receive(self, channel, stream, p, pos, n):
        channel.credit(stream, n)
        return 0


def new_body(expected):
    body = Body.__new__(Body)
    body.expected = expected
    body.came = 0
    body.since = 0.0
    return body


def new_pending(protocol, key, subprotocols, extensions):
    pending = Pending.__new__(Pending)
    pending.first = 0
    pending.early = None
    pending.has_ended = False
    pending.protocol = protocol
    pending.key = key
    pending.subprotocols = subprotocols
    pending.extensions = extensions
    return pending


def new_unanswered(protocol, subprotocols, deflate):
    unanswered = Unanswered.__new__(Unanswered)
    unanswered.protocol = protocol
    unanswered.subprotocols = subprotocols
    unanswered.deflate = deflate
    return unanswered


# Without state of their own, so one of each serves every stream.
TUNNEL = Tunnel()
REFUSAL = Refusal()
DISCARDED = Discard()
