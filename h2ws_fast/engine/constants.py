"""Numbers of the wire, spelled as the RFCs spell them, and the engine's own enumerations.

This module is never compiled. Compiled modules re-declare what they use in their `.pxd`
(`cdef int NAME`), which turns each name into a C variable filled once at import.
"""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113 section 3.4

# Frame types: RFC 9113 section 6, RFC 9218 section 7.1
DATA = 0x0
HEADERS = 0x1
PRIORITY = 0x2
RST_STREAM = 0x3
SETTINGS = 0x4
PUSH_PROMISE = 0x5
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8
CONTINUATION = 0x9
PRIORITY_UPDATE = 0x10

# Flags
END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY_FLAG = 0x20

# Settings: RFC 9113 section 6.5.2, RFC 8441 section 3, RFC 9218 section 2.1
SETTINGS_HEADER_TABLE_SIZE = 0x1
SETTINGS_ENABLE_PUSH = 0x2
SETTINGS_MAX_CONCURRENT_STREAMS = 0x3
SETTINGS_INITIAL_WINDOW_SIZE = 0x4
SETTINGS_MAX_FRAME_SIZE = 0x5
SETTINGS_MAX_HEADER_LIST_SIZE = 0x6
SETTINGS_ENABLE_CONNECT_PROTOCOL = 0x8
SETTINGS_NO_RFC7540_PRIORITIES = 0x9

# Error codes: RFC 9113 section 7
NO_ERROR = 0x0
PROTOCOL_ERROR = 0x1
INTERNAL_ERROR = 0x2
FLOW_CONTROL_ERROR = 0x3
SETTINGS_TIMEOUT = 0x4
STREAM_CLOSED = 0x5
FRAME_SIZE_ERROR = 0x6
REFUSED_STREAM = 0x7
CANCEL = 0x8
COMPRESSION_ERROR = 0x9
CONNECT_ERROR = 0xA
ENHANCE_YOUR_CALM = 0xB
INADEQUATE_SECURITY = 0xC
HTTP_1_1_REQUIRED = 0xD

ERROR_NAMES = {
    NO_ERROR: "NO_ERROR",
    PROTOCOL_ERROR: "PROTOCOL_ERROR",
    INTERNAL_ERROR: "INTERNAL_ERROR",
    FLOW_CONTROL_ERROR: "FLOW_CONTROL_ERROR",
    SETTINGS_TIMEOUT: "SETTINGS_TIMEOUT",
    STREAM_CLOSED: "STREAM_CLOSED",
    FRAME_SIZE_ERROR: "FRAME_SIZE_ERROR",
    REFUSED_STREAM: "REFUSED_STREAM",
    CANCEL: "CANCEL",
    COMPRESSION_ERROR: "COMPRESSION_ERROR",
    CONNECT_ERROR: "CONNECT_ERROR",
    ENHANCE_YOUR_CALM: "ENHANCE_YOUR_CALM",
    INADEQUATE_SECURITY: "INADEQUATE_SECURITY",
    HTTP_1_1_REQUIRED: "HTTP_1_1_REQUIRED",
}

MAX_WINDOW = 0x7FFFFFFF
MAX_STREAM_ID = 0x7FFFFFFF
TICKS = 10000  # of a second: what a stream's stamp counts
DEFAULT_WINDOW = 65535
DEFAULT_FRAME_SIZE = 16384
MAX_FRAME_SIZE = 16777215

# WebSocket opcodes: RFC 6455 section 5.2
CONTINUATION_FRAME = 0x0
TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
WS_PING = 0x9
WS_PONG = 0xA
FIN = 0x80  # in a frame's first octet
RSV1 = 0x40  # there: the message is compressed (RFC 7692 section 6)
OPCODE = 0x0F  # there: the rest of it, but for RSV2 and RSV3
DEFLATES = 0x80  # in MessageLayer.sending: the WebSocket has permessage-deflate
# MessageLayer.bits: which Close frames are on their way, and what the application knows
CLOSE_SENT = 0x2
CLOSE_RECEIVED = 0x4
REPORTED = 0x10  # Closed was delivered
# MessageLayer.phase
HEAD = 0
PAYLOAD = 1
DISCARD = 2
BEHIND = 3  # octets wait, and what comes goes behind them: see `deflate`
# Octets that compressed ones expand to in one read, or behind one deadline: some 2 ms.
MAX_AT_ONCE = 2097152

# WebSocket close codes: RFC 6455 section 7.4
NORMAL_CLOSURE = 1000
GOING_AWAY = 1001
WS_PROTOCOL_ERROR = 1002
UNSUPPORTED_DATA = 1003
NO_STATUS_RCVD = 1005
ABNORMAL_CLOSURE = 1006
INVALID_DATA = 1007
POLICY_VIOLATION = 1008
MESSAGE_TOO_BIG = 1009
MANDATORY_EXTENSION = 1010
WS_INTERNAL_ERROR = 1011
TRY_AGAIN_LATER = 1013

# Stream.state: RFC 9113 section 5.1, with one bit for each side that has sent END_STREAM. An idle
# or closed stream has no Stream object: the connection tells the two apart by the stream's number.
OPEN = 0
HALF_CLOSED_LOCAL = 1
HALF_CLOSED_REMOTE = 2
CLOSED = 3

# Stream.flags
LOCAL = 0x1  # we opened it
READY = 0x2  # it stands in the outbox, waiting for its turn
END = 0x4  # END_STREAM follows what is queued
HIGH = 0x8  # more than write_high waits: a Drained event is owed
ANSWERED = 0x10  # the final response head went out, or came in
TUNNELLED = 0x20  # an extended CONNECT
TRAILED = 0x40  # trailers follow what is queued
LATE_PONG = 0x80  # a pong waits until the queue is empty
HEAD_ONLY = 0x100  # the request's method is HEAD
PROMPT = 0x400  # a tunnel that may stand at the outbox's front
CLOSING = 0x200  # a close timer runs
OVER = 0x800  # its last event was given
BODY_IN = 0x1000  # content in small DATA frames costs: a request's body
REFUSED = 0x2000  # our answer to its CONNECT was no
DIRECT = 0x4000  # its sink is a CallbackSink with `on_message`
STALLED = 0x8000  # octets wait, and none has left since `Deadlines` looked
BACKLOG = 0x10000  # its layer keeps octets of the peer's that it has not looked at
NO_CONTENT = 0x20000  # our response is to HEAD, a 204 or a 304
OWED = HIGH | END | TRAILED | LATE_PONG  # something follows once its queue has run low

# FrameReader.phase: see the head of `frames.py`.
AWAIT_PREFACE = 0
READ_HEAD = 1
READ_PAD = 2
READ_PAYLOAD = 3
READ_SKIP = 4
READ_WHOLE = 5
DEAD = 6

# Kinds of deadline (`timers`): first those of the connection ...
PREFACE_TIMER = 0
SETTINGS_ACK_TIMER = 1
FRAME_TIMER = 2
HEADER_BLOCK_TIMER = 3
FIRST_REQUEST_TIMER = 4
IDLE_TIMER = 5
SWEEP_TIMER = 6
KEEPALIVE_TIMER = 7
PONG_TIMER = 8
SHUTDOWN_TIMER = 9
KINDS = 10
# ... then those of a stream.
HANDSHAKE_TIMER = 10
CLOSE_TIMER = 11
GO_ON_TIMER = 12  # a BACKLOG is looked at once others had their turn

# What an event that waits takes beside its octets: the object that holds them, and its places in the
# lists of those who keep it. Counted and charged with them, or messages of an octet would weigh 64
# times what `Limits.max_buffered` knows of, and empty ones would weigh anything.
EVENT_OCTETS = 64

MIN_PULL = 64  # octets asked of `data_to_send`: a frame's head and something to show for it
PULL_MORE = 266240  # a piece at most, and what a transport asks for: 256 KiB and their frames ...
PULL = 65536  # ... and one that was full after little
NEVER = float("inf")  # a deadline
