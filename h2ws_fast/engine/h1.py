"""One WebSocket on an HTTP/1.1 connection, after its 101: RFC 6455 section 5 on.

The same message layer, the same verbs and events as on an HTTP/2 stream, of which there is one;
TCP's window takes the place of flow control. The handshake is not done here.
"""

from ..errors import LocalProtocolError, StreamClosed
from .arrivals import bytes_message, text_message
from .buffers import Pool
from .chunks import NONE, Chunks
from .closing import check_close
from .connection import Role, check_on_limit, check_reason
from .constants import (
    BACKLOG,
    BINARY,
    CLOSE_TIMER,
    CLOSED,
    CLOSING,
    DIRECT,
    EVENT_OCTETS,
    FIN,
    GO_ON_TIMER,
    GOING_AWAY,
    HALF_CLOSED_LOCAL,
    HALF_CLOSED_REMOTE,
    HIGH,
    LATE_PONG,
    LOCAL,
    MAX_STREAM_ID,
    NEVER,
    NO_ERROR,
    NO_STATUS_RCVD,
    OPCODE,
    OVER,
    SWEEP_TIMER,
    TEXT,
    TRY_AGAIN_LATER,
    WS_INTERNAL_ERROR,
    WS_PING,
    WS_PONG,
)
from .deflate import DeflateLayer, new_deflate_layer
from .delivery import Delivery
from .events import Drained, MessagePart, Shed, Terminated
from .guard import Guard
from .kernels import address, flat, whole
from .layers import DISCARDED
from .limits import UNLIMITED, Limits
from .masking import MaskKeys
from .messages import new_message_layer, payload
from .raised import Raised, attempt
from .sender import check_error_code
from .sink import make_sink
from .stream import new_stream
from .timers import Timers

DEFAULTS = Limits()
ROUNDING_S = 0.001  # see `deadlines`
STREAM_ID = 1  # of timers


class Upgraded(Delivery):
    """The carrier of one WebSocket. `role` as in `Connection`; the arguments mean the same.

    `agreed`: what of compression was (`Agreed`), or None. Verbs and events name the WebSocket by
    `stream_id`, 1 to 2^31 - 1; for other numbers verbs do what those of `Connection` do where there
    is no such stream. `Terminated` says that the transport is to be closed, once `data_to_send`
    holds nothing more.
    """

    __slots__ = (
        "_chunks",
        "_guard",
        "_held_back",
        "_keys",
        "_messages",
        "_partial",
        "_pong",
        "_pool",
        "_receiving",
        "_sending",
        "_sent_mark",
        "_sent_since",
        "_stream",
        "_timers",
        "messages_received",
        "octets_received",
        "octets_sent",
        "role",
        "terminated",
    )

    def __cinit__(self, *arguments, **named):
        # As in Connection: without `__init__` it is over.
        self.terminated = True
        self.limits = DEFAULTS
        self._messages = new_message_layer(False)
        self._stream = new_stream(STREAM_ID, OVER, 0, self._messages)
        self._stream.state = CLOSED
        self._chunks = Chunks()
        self._guard = Guard(DEFAULTS)
        self._timers = Timers(DEFAULTS)
        self.queue = None

    def __init__(
        self, role, limits=None, *, auto_credit=False, pool=None, agreed=None, stream_id=STREAM_ID
    ):
        role = Role(role)
        if limits is None:
            limits = Limits()
        elif not isinstance(limits, Limits):
            raise TypeError(f"limits must be a Limits, not {type(limits).__name__}")
        if pool is None:
            pool = Pool()
        elif not isinstance(pool, Pool):
            raise TypeError(f"pool must be a Pool, not {type(pool).__name__}")
        if agreed is not None and not callable(getattr(agreed, "compressor", None)):
            raise TypeError(f"agreed must be an Agreed, not {type(agreed).__name__}")
        stream_id = whole(stream_id)
        if not 0 < stream_id <= MAX_STREAM_ID:
            raise ValueError(f"{stream_id} is no number of a stream: those are 1 to 2^31 - 1")
        client = role == Role.CLIENT
        self.role = role
        self.limits = limits
        self.auto_credit = auto_credit
        self.buffered = 0
        self.expanded = 0
        self.terminated = False
        if agreed is None:
            self._messages = new_message_layer(client)
        else:
            self._messages = new_deflate_layer(client, agreed)
        self._stream = new_stream(stream_id, LOCAL if client else 0, 0, self._messages)
        self._chunks = Chunks()
        self._guard = Guard(limits)
        self._keys = MaskKeys()
        self._pool = pool
        self._timers = Timers(limits)
        self.queue = None
        self._partial = 0  # octets held of messages that are not complete
        self._held_back = False
        self._pong = None
        self.interrupt = None
        self._receiving = False
        self._sending = False
        self._sent_mark = 0
        self._sent_since = -1.0
        self.messages_received = 0
        self.messages_sent = 0
        self.octets_received = 0
        self.octets_sent = 0

    # -- bytes in, bytes out, time -------------------------------------------------------------

    def receive_data(self, data, now=0.0):
        """See `Connection.receive_data`."""
        if self._receiving:
            raise LocalProtocolError("receive_data cannot be called from a sink; return first")
        data = flat(data)
        now += 0.0  # TypeError where it is no number, which C finds by itself
        n = len(data)
        self.octets_received += n
        self.expanded = 0
        self._receiving = True
        try:
            self._read(address(data), n)
        finally:
            self._receiving = False
        return self.events()

    def _read(self, p, n):
        stream = self._stream
        if n and stream.state != CLOSED and not self.terminated:
            layer = stream.layer
            layer.receive(self, stream, p, 0, n)

    def receive_eof(self, now=0.0):
        """The peer closed the transport, or it is gone: return the last events."""
        now += 0.0
        self._end_of_input()
        return self.events()

    def _end_of_input(self):
        stream = self._stream
        if self.terminated or stream.state & HALF_CLOSED_REMOTE:
            return
        layer = stream.layer
        if stream.flags & BACKLOG and not self._receiving:
            # What came is not lost because the peer has gone.
            self.expanded = 0
            self._receiving = True
            try:
                layer.drain(self, stream)
            finally:
                self._receiving = False
            layer = stream.layer
        stream.state |= HALF_CLOSED_REMOTE
        layer.ended(self, stream)
        self._finish(True)

    def data_to_send(self, max_bytes=65536, now=0.0):
        """See `Connection.data_to_send`."""
        max_bytes = whole(max_bytes)
        now += 0.0
        if self._sending:
            raise LocalProtocolError("data_to_send cannot be called from a sink of Drained")
        buffers = []
        stream = self._stream
        while max_bytes > 0 and stream.queued:
            out = self._pool.acquire()
            n = min(stream.queued, max_bytes, out.room())
            stream.first = self._chunks.pour(stream.first, out, n)
            stream.queued -= n
            max_bytes -= n
            self.octets_sent += n
            buffers.append(out.finish())
            self._sending = True
            try:
                self._drained()
            finally:
                self._sending = False
        self._finish(False)
        self.arm(now)
        return buffers

    def _drained(self):
        stream = self._stream
        if stream.queued == 0:
            stream.last = NONE  # before anybody is told, who may send
        if stream.flags & HIGH and stream.queued <= self.limits.write_low:
            stream.flags &= ~HIGH
            if not stream.flags & OVER:
                self.emit(stream, Drained(stream.id))
        if stream.queued == 0 and stream.flags & LATE_PONG:
            if stream.flags & OVER:
                stream.flags &= ~LATE_PONG
                self._pong = None
            else:
                self.late_pong(stream)

    def arm(self, now):
        """See `Connection.arm`."""
        now += 0.0
        if self._stream.queued and not self._timers.runs(SWEEP_TIMER):
            self._timers.mark(SWEEP_TIMER, 0)
        self._timers.arm(now)

    def deadline(self):
        """See `Connection.deadline`."""
        return self._timers.next()

    def next_timeout(self):
        """See `Connection.next_timeout`."""
        deadline = self._timers.next()
        return None if deadline == NEVER else deadline

    def handle_timeout(self, now):
        """See `Connection.handle_timeout`."""
        now += 0.0
        self.expanded = 0
        for kind, _ in self._timers.expired(now):
            if self.terminated:
                return
            if kind == SWEEP_TIMER:
                self._sweep(now)
            elif kind == GO_ON_TIMER:
                self._go_on()
            else:
                self._guard.hit("close_timeout_s")
                self._abort("the peer did not close in time")

    def _go_on(self):
        stream = self._stream
        layer = stream.layer
        self._receiving = True
        try:
            layer.go_on(self, stream)
        finally:
            self._receiving = False

    def _sweep(self, now):
        # As of a connection of HTTP/2: octets wait, and none left since an earlier look.
        if not self._stream.queued:
            self._sent_since = -1.0
            return
        if self.octets_sent != self._sent_mark or self._sent_since < 0:
            self._sent_mark = self.octets_sent
            self._sent_since = now
        elif now - self._sent_since + ROUNDING_S >= self.limits.write_timeout_s:
            self._guard.hit("write_timeout_s")
            self._abort("the peer took nothing in time")
            return
        self._timers.mark(SWEEP_TIMER, 0)

    def _abort(self, reason):
        stream = self._stream
        layer = stream.layer
        layer.broken(self, stream, NO_ERROR, reason, False, False)
        if stream.queued:
            self._chunks.drop(stream.first)
            stream.queued = 0
        stream.first = NONE
        stream.last = NONE
        stream.state = CLOSED
        self._finish(False)

    def _finish(self, remote):
        # Over where our side has ended and left, and theirs has ended or is not waited for:
        # the server closes TCP first (RFC 6455 section 7.1.1), the client waits for that.
        stream = self._stream
        if self.terminated or stream.queued or not stream.state & HALF_CLOSED_LOCAL:
            return
        if stream.flags & LOCAL and not stream.state & HALF_CLOSED_REMOTE:
            return
        self.terminated = True
        self._timers.cancel(CLOSE_TIMER, STREAM_ID)
        stream.state = CLOSED
        self.tell(Terminated(NO_ERROR, "the WebSocket is closed", remote))

    # -- verbs ---------------------------------------------------------------------------------

    def send_message(self, stream_id, data):
        """See `Connection.send_message`."""
        if whole(stream_id) != self._stream.id:
            raise LocalProtocolError(self._unknown(stream_id))
        self._check_open()
        if self._messages.sending:
            return self._send_as(data, True)
        opcode = TEXT if isinstance(data, str) else BINARY
        data = payload(data)
        self._check_queue(len(data))
        self._messages.send(self, self._stream, opcode, data, True)
        self.messages_sent += 1
        return self._stream.queued

    def send_message_as(self, stream_id, data, compress):
        """See `Connection.send_message_as`."""
        self._check(stream_id)
        self._check_open()
        return self._send_as(data, compress)

    def _send_as(self, data, compress):
        if self._messages.sending & OPCODE:
            raise LocalProtocolError("a fragmented message is being sent; end it first")
        opcode = TEXT if isinstance(data, str) else BINARY
        data = payload(data)
        if not self._messages.whole(self, self._stream, opcode, data, compress):
            raise self.queue_is_full()
        return self._stream.queued

    def send_fragment(self, stream_id, data, final, compress=True):
        """See `Connection.send_fragment`."""
        self._check(stream_id)
        self._check_open()
        opcode = TEXT if isinstance(data, str) else BINARY
        if self._messages.sending & OPCODE and self._messages.sending & OPCODE != opcode:
            raise LocalProtocolError("the parts of a message must be of one type")
        data = payload(data)
        self._check_queue(len(data))
        self._messages.part(self, self._stream, opcode, data, final, compress)
        if final:
            self.messages_sent += 1
        return self._stream.queued

    def deflated(self, stream_id):
        """See `Connection.deflated`."""
        self._check(stream_id)
        if not isinstance(self._messages, DeflateLayer):
            return None
        layer = self._messages
        return layer.agreed

    def send_data(self, stream_id, data, end_stream=False):
        """Raise LocalProtocolError: octets that are no messages are not for a WebSocket."""
        self._check(stream_id)
        raise LocalProtocolError(f"stream {stream_id} is a WebSocket; use send_message()")

    def send_many(self, stream_ids, data, packed=None):
        """See `Connection.send_many`."""
        messages = self._messages
        opcode = TEXT if isinstance(data, str) else BINARY
        data = payload(data)
        if packed is None:
            packed = {}
        n = 0
        own = self._stream.id
        for each in stream_ids:
            stream_id = whole(each)
            if stream_id == own:
                n += 1
            else:
                self._pass_over(stream_id)
        for _ in range(n):
            if (
                messages.writable()
                and not messages.sending & OPCODE
                and not messages.share(self, self._stream, opcode, data, packed)
            ):
                raise self.queue_is_full()

    def stream_messages(self, stream_id):
        """See `Connection.stream_messages`."""
        self._check(stream_id)
        self._check_open()
        self._messages.stream_parts(self, self._stream)

    def withhold(self, stream_id, held):
        """See `Connection.withhold`; here `unread` says it to whoever reads the transport."""
        if whole(stream_id) == self._stream.id:
            self._held_back = bool(held)
        else:
            self._pass_over(stream_id)

    def ping(self, stream_id, data=b""):
        """Send a WebSocket ping of at most 125 octets."""
        self._send_control(stream_id, WS_PING, bytes(memoryview(data)))

    def pong(self, stream_id, data=b""):
        """Send an unsolicited WebSocket pong."""
        self._send_control(stream_id, WS_PONG, bytes(memoryview(data)))

    def _send_control(self, stream_id, opcode, data):
        self._check(stream_id)
        self._check_open()
        if len(data) > 125:
            raise ValueError(f"a control frame has at most 125 octets, not {len(data)}")
        self.write_frame(self._stream, FIN | opcode, data)

    def close_websocket(self, stream_id, code=1000, reason=""):
        """See `Connection.close_websocket`."""
        self._check(stream_id)
        check_close(code, reason, self._stream.flags & LOCAL != 0)
        if self._stream.flags & OVER:
            return
        self._messages.close(self, self._stream, NO_STATUS_RCVD if code is None else code, reason)

    def consumed(self, stream_id, credit):
        """See `Connection.consumed`."""
        credit = whole(credit)
        stream = self._stream
        if whole(stream_id) != stream.id:
            self._pass_over(stream_id)
            return
        if credit < 0 or (credit > stream.held and not stream.flags & CLOSING):  # it may be shed
            raise ValueError(f"stream {stream_id} holds {stream.held} octets, not {credit}")
        if credit > stream.held:
            credit = stream.held
        stream.held -= credit
        self.buffered -= credit
        if stream.flags & BACKLOG:
            self.go_on_soon(stream)

    def reset(self, stream_id, error_code=NO_ERROR):
        """End at once: what is queued is dropped, `Closed` and `Terminated` follow."""
        self._check(stream_id)
        if self.terminated:
            raise StreamClosed(f"stream {stream_id} is over")
        check_error_code(error_code)
        self._abort("reset by this end")

    def shutdown(self, error_code=NO_ERROR, reason=b""):
        """End the WebSocket with Close 1001; `Closed` and `Terminated` follow."""
        check_error_code(error_code)
        check_reason(reason)
        self.close_websocket(self._stream.id, GOING_AWAY)

    def abort(self, error_code=NO_ERROR, reason=b""):
        """End at once: what is queued is dropped, `Closed` and `Terminated` follow."""
        check_error_code(error_code)
        check_reason(reason)
        if not self.terminated:
            self._abort("ended by this end")

    def attach(self, stream_id, sink, on_message=None):
        """See `Connection.attach`."""
        self._check(stream_id)
        stream = self._stream
        stream.sink = make_sink(stream.id, sink, on_message, self.auto_credit)
        stream.flags = stream.flags & ~DIRECT | (0 if on_message is None else DIRECT)

    def waiting(self, stream_id):
        """See `Connection.waiting`."""
        stream = self._stream
        if whole(stream_id) != stream.id:
            self._pass_over(stream_id)
            return 0
        return stream.queued

    def is_blocked(self, stream_id):
        """See `Connection.is_blocked`. There are no windows here."""
        if whole(stream_id) != self._stream.id:
            self._pass_over(stream_id)
        return False

    @property
    def unread(self):
        """Octets of whole messages that wait for `consumed`, and 64 for each; 0 once it is closing,
        and more than there can be while the peer is held back.

        There are no windows here: whoever reads the transport stops while this is too much.
        """
        if self._stream.flags & (CLOSING | OVER):
            return 0
        return UNLIMITED if self._held_back else self._stream.held - self._partial

    def stats(self):
        """See `Connection.stats`."""
        return {
            "octets_received": self.octets_received,
            "octets_sent": self.octets_sent,
            "messages_received": self.messages_received,
            "messages_sent": self.messages_sent,
            "octets_buffered": self.buffered,
            "octets_queued": self._stream.queued,
            "limits": dict(self._guard.hits) if self._guard.hits else {},
        }

    @property
    def octets_held(self):
        """See `Connection.octets_held`."""
        return self.buffered + self._stream.queued

    @property
    def peer_may_send(self):
        """See `Endpoint.peer_may_send`. A Close frame is the last: RFC 6455 section 5.5.1."""
        return not self._messages.heard_close()

    @property
    def on_limit(self):
        """See `Connection.on_limit`."""
        return self._guard.notify

    @on_limit.setter
    def on_limit(self, callback):
        check_on_limit(callback)
        self._guard.notify = callback

    def _check(self, stream_id):
        if whole(stream_id) != self._stream.id:
            raise LocalProtocolError(self._unknown(stream_id))

    def _unknown(self, stream_id):
        # What a verb says to a number that is not our stream's. Apart, as what follows: where each
        # verb has it within, a message takes 25 instructions more.
        self._pass_over(stream_id)
        return f"there is no stream {stream_id}"

    def _pass_over(self, stream_id):
        # It is not our stream; ValueError where it is none that there could be.
        stream_id = whole(stream_id)
        if not 0 < stream_id <= MAX_STREAM_ID:
            raise ValueError(f"{stream_id} is no number of a stream: those are 1 to 2^31 - 1")

    def _check_open(self):
        if self._stream.flags & OVER or not self._messages.writable():
            raise StreamClosed("the WebSocket is closing or closed")

    def _check_queue(self, n):
        if self._stream.queued > self.limits.max_queued - n:
            raise self.queue_is_full()

    # -- what the message layer asks for -------------------------------------------------------

    def write_frame(self, stream, first_octet, data):
        chunks = self._chunks
        if stream.flags & LOCAL:
            node = chunks.push_frame(first_octet, data, True, self._keys.next(), stream.last)
        else:
            node = chunks.push_frame(first_octet, data, False, 0, stream.last)
        if stream.first == NONE:
            stream.first = node
        stream.last = node
        stream.queued += chunks.pushed
        if stream.queued > self.limits.write_high:
            stream.flags |= HIGH
        return 0

    def push_message(self, stream, first_octet, data, n):
        if stream.queued > self.limits.max_queued - n:
            return False
        self.write_frame(stream, first_octet, data)
        self.messages_sent += 1
        return True

    def queue_is_full(self):
        self._guard.hit("max_queued")
        return LocalProtocolError(
            f"{self._stream.queued} octets wait on this connection; send less until Drained"
        )

    def count_hit(self, name):
        self._guard.hit(name)
        return 0

    def delay_pong(self, stream, data):
        self._pong = data
        stream.flags |= LATE_PONG
        self._guard.hit("max_pong_backlog")
        return 0

    def late_pong(self, stream):
        data = self._pong
        self._pong = None
        stream.flags &= ~LATE_PONG
        return self.write_frame(stream, FIN | WS_PONG, data)

    def hold(self, stream, n):
        self._partial += n
        stream.held += n
        self.buffered += n
        return 0

    def keep(self, stream, n):
        self.hold(stream, n)
        return self._check_buffered(stream)

    def _check_buffered(self, stream):
        if self.buffered > self.limits.max_buffered:
            # As of HTTP/2, where many streams share the limit: here little grew to too much, or
            # too much came behind what nobody reads.
            self._guard.hit("max_buffered")
            self._messages.fail(self, stream, TRY_AGAIN_LATER, "too much is waiting to be read")
            self.buffered -= stream.held
            stream.held = 0
            self.emit(stream, Shed(stream.id))
        return 0

    def hold_back(self, stream, n):
        stream.held += n
        self.buffered += n
        return self._check_buffered(stream)

    def let_go(self, stream, n):
        if n > stream.held:
            n = stream.held  # it was shed
        stream.held -= n
        self.buffered -= n
        return 0

    def go_on_soon(self, stream):
        self._timers.mark(GO_ON_TIMER, STREAM_ID)
        return 0

    def deliver(self, stream, data, credit, early):
        self.messages_received += 1
        self._partial -= early
        if self.auto_credit:
            stream.held -= early
            self.buffered -= early
            credit = 0
        else:
            credit += EVENT_OCTETS
            stream.held += credit - early
            self.buffered += credit - early
        sink = stream.sink
        if sink is None:
            if type(data) is str:
                self.tell(text_message(stream.id, data, credit))
            else:
                self.tell(bytes_message(stream.id, data, credit))
        elif stream.flags & DIRECT:
            direct = stream.sink  # held: it may attach another
            answer = attempt(direct.on_message, data)
            if type(answer) is Raised:
                self.sink_failed(stream, answer.error)
            elif answer is not None:
                self.take_answer(stream, answer)
        else:
            self.deliver_to(stream, data, credit)
        return 0

    def deliver_part(self, stream, data, text, final, early):
        n = len(data) if early else 0  # held before
        credit = 0 if self.auto_credit else len(data) + EVENT_OCTETS
        self.messages_received += final
        self._partial -= n
        stream.held += credit - n
        self.buffered += credit - n
        self.emit(stream, MessagePart(stream.id, data, text, final, credit))
        return 0

    def fail_application(self, stream):
        self._messages.fail(self, stream, WS_INTERNAL_ERROR, "")
        return 0

    def end(self, stream):
        stream.state |= HALF_CLOSED_LOCAL
        if not stream.state & HALF_CLOSED_REMOTE:
            self.start_closing(stream)
        self._finish(False)
        return 0

    def over(self, stream):
        stream.flags |= OVER
        stream.layer = DISCARDED
        return 0

    def start_closing(self, stream):
        stream.flags |= CLOSING
        self._timers.mark(CLOSE_TIMER, STREAM_ID)
        return 0
