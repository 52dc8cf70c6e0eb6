"""The limits of one connection: what each is for, its default, and what others chose.

The peer is hostile: every queue, buffer, count and wait has its number here. Reaching one ends the
connection with ENHANCE_YOUR_CALM unless the comment says otherwise, and is counted by name in
`Connection.stats()["limits"]`. None lifts a limit, but for `max_pending_resets` and
`max_continuations`.
"""

UNLIMITED = 2**62


def _number(name, value, least):
    if value is None:
        return UNLIMITED
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(
            f"{name} must be an int of at least {least}, or None for no limit: {value!r}"
        )
    return min(value, UNLIMITED)


def _seconds(name, value):
    if value is None:
        return float("inf")
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        raise ValueError(f"{name} must be a number of seconds above 0, or None for ever: {value!r}")
    return float(value)


class Limits:
    """Every limit of a connection, by keyword. See the comment at each default.

    Names that end in `_s` are seconds above 0, those in `_rate` a number each second, the others whole
    numbers: of octets or of what the name says. None lifts a limit, but for `max_pending_resets` and
    `max_continuations`, which follow a setting then. Raises ValueError for anything else. One object
    may serve any number of connections, and is not to be changed.
    """

    __slots__ = (
        "max_message",
        "max_fragment",
        "whole_message",
        "max_fragments",
        "max_empty_fragments",
        "max_final_blocks",
        "max_pong_backlog",
        "max_buffered",
        "max_queued",
        "max_window",
        "window_budget",
        "max_control_octets",
        "write_high",
        "write_low",
        "max_header_fields",
        "max_held_headers",
        "max_continuations",
        "max_settings",
        "max_control_frames",
        "max_empty_frames",
        "small_data",
        "max_priority_frames",
        "max_window_updates",
        "max_pings",
        "max_goaways",
        "max_pending_resets",
        "reset_burst",
        "reset_rate",
        "max_local_resets",
        "glitch_burst",
        "glitch_rate",
        "dribble_burst",
        "dribble_rate",
        "settings_burst",
        "settings_rate",
        "ping_burst",
        "ping_rate",
        "min_body_rate",
        "preface_timeout_s",
        "settings_timeout_s",
        "first_request_timeout_s",
        "idle_timeout_s",
        "client_idle_timeout_s",
        "frame_timeout_s",
        "header_block_timeout_s",
        "body_timeout_s",
        "write_timeout_s",
        "keepalive_interval_s",
        "keepalive_timeout_s",
        "handshake_timeout_s",
        "close_timeout_s",
        "shutdown_timeout_s",
    )

    def __init__(
        self,
        *,
        # Octets in one WebSocket message, checked before allocation (websockets: 1 MiB). None: 2**62.
        max_message=1048576,
        # Octets in one frame of a message, and in what a compressed one expands to: for those who take
        # messages in pieces and want none larger. Closed with 1009.
        max_fragment=None,
        # Frames in one message, or a sixteenth of its octets where that is more: fragment floods.
        max_fragments=1024,
        # Empty frames in one message.
        max_empty_fragments=64,
        # DEFLATE blocks marked as final in one message: each ends a decompressor, of which another
        # takes the place, in 5 us (RFC 7692 section 7.2.3.4; nobody sends more than one).
        max_final_blocks=128,
        # Octets waiting on a stream above which only the latest ping is answered: ping floods.
        max_pong_backlog=16384,
        # Undelivered octets of a connection, partial messages included, and EVENT_OCTETS for each
        # message that waits whole; above it the tunnel that holds most is failed with 1013.
        max_buffered=67108864,
        # What a stream's window may grow to where it holds a fast peer back ...
        max_window=4194304,
        # ... and all such windows of a connection together, beyond what they began with.
        window_budget=33554432,
        # Octets waiting to be sent on a connection; above it a send raises.
        max_queued=268435456,
        # Octets of frames other than DATA that wait to leave: a peer that asks and never reads the
        # answers (CVE-2019-9517 and its family); the least is 64 KiB.
        max_control_octets=16777216,
        # Octets waiting on one stream above which a Drained event is owed ...
        write_high=65536,
        # ... once they have fallen to this.
        write_low=16384,
        # Fields of a header list (Envoy 100, Node 128). The lines that a cookie was cut into
        # (RFC 9113 section 8.2.3) count as one field; their octets count each.
        max_header_fields=128,
        # Octets of the header lists, counted as RFC 9113 section 6.5.2 does, of requests that are
        # open: by references to HPACK's table a request of some octets holds what 64 KiB are for
        # its handler. A new request beyond is refused with REFUSED_STREAM, trailers reset their
        # stream; lists below 2 KiB are not counted.
        max_held_headers=16777216,
        # CONTINUATION frames of one header block: CVE-2024-27316 and its family. None: 1.25 times
        # what the header list that this end advertises takes of frames of 16 KiB (Rust h2), since no
        # peer has to send larger ones; at least 8 (nghttp2).
        max_continuations=None,
        # Entries in one SETTINGS frame (nghttp2 32).
        max_settings=32,
        # Control frames that the peer caused and that still wait to leave (nghttp2, Envoy 1000):
        # CVE-2019-9512, 9514, 9515.
        max_control_frames=1000,
        # Empty DATA, HEADERS or CONTINUATION frames without END_STREAM in a row: CVE-2019-9518.
        max_empty_frames=10,
        # Allowance for DATA frames under 256 octets in request bodies, refunded by payload (Rust h2);
        # the first 16 in each body and a hundred a second cost nothing.
        small_data=25600,
        # PRIORITY and PRIORITY_UPDATE frames for each stream opened, plus one: CVE-2019-9513.
        max_priority_frames=100,
        # WINDOW_UPDATE frames allowed for each DATA frame sent (Envoy 10 x 2), plus ten.
        max_window_updates=20,
        # Own PINGs that may be unanswered (Node 10).
        max_pings=10,
        # GOAWAY frames after the first that take back more: each is a look at every stream. A
        # graceful shutdown has one (RFC 9113 section 6.8), an error then another.
        max_goaways=10,
        # Streams that the peer may open and reset again before the application can have looked (in
        # what one read brought): a page that leaves during authentication resets dozens; beyond it
        # new streams are refused: CVE-2023-44487. Never more than may be open at once, which is
        # the default: None is `Settings.max_concurrent_streams`. What the application does work on
        # counts until its work is over: see `serve`.
        max_pending_resets=None,
        # Resets by the peer, and resets its faults made us send, in a burst ... (nghttp2 1000):
        # CVE-2023-44487, CVE-2025-8671.
        reset_burst=1000,
        # ... and the number a second that are forgiven (nghttp2 33).
        reset_rate=33,
        # Resets that the peer's faults made us send on one connection (Rust h2 1024).
        max_local_resets=1024,
        # Oddities that are ignored, in a burst (nghttp2) ...
        glitch_burst=10000,
        # ... and the number a second that are forgiven.
        glitch_rate=330,
        # DATA frames that the peer's windows cut to fewer than 256 octets, in a burst; every other
        # DATA frame that it lets through gives one back. Data Dribble, CVE-2019-9511 ...
        dribble_burst=1000,
        # ... and the number a second that are forgiven.
        dribble_rate=33,
        # SETTINGS after the first, in a burst, though their acknowledgements are read: CVE-2019-9515.
        # Whoever adapts a window or makes room says so now and then (Jetty 128 a second, with PING
        # and PRIORITY) ...
        settings_burst=100,
        # ... and the number a second that are forgiven.
        settings_rate=10,
        # PINGs, in a burst, though their answers are read: CVE-2019-9512. Each DATA frame that was
        # sent gives one back: gRPC measures the path it downloads by with one for each round trip ...
        ping_burst=10000,
        # ... and the number a second that are forgiven.
        ping_rate=330,
        # Octets a second that the body of a request must bring over each `body_timeout_s`, until its
        # answer begins; the stream is reset otherwise, over HTTP/1.1 answered with 408: slow POST
        # (Kestrel 240). 0: one octet does.
        min_body_rate=240,
        # From the first octet sent to the peer's preface and its SETTINGS: slow openings.
        preface_timeout_s=10.0,
        # From SETTINGS to their acknowledgement.
        settings_timeout_s=10.0,
        # From a client's SETTINGS to its first request; the connection is shut down gracefully.
        first_request_timeout_s=60.0,
        # A server's connection without streams is shut down gracefully after so long (Kestrel 130,
        # nginx 75, nghttpx 180) ...
        idle_timeout_s=180.0,
        # ... and a client's.
        client_idle_timeout_s=None,
        # From the first to the last octet of a frame other than DATA, since half of one is held.
        frame_timeout_s=10.0,
        # From the first octets of HEADERS to END_HEADERS: slow HEADERS and CONTINUATION.
        header_block_timeout_s=10.0,
        # See `min_body_rate`. What the application has not read stops this clock.
        body_timeout_s=30.0,
        # A stream with octets to send of which none left for so long is reset; a connection that
        # took none at all, or that has no stream left then, is ended: slow reads, CVE-2016-1546
        # (nginx, Apache 60). Over HTTP/1.1 the connection is ended.
        write_timeout_s=60.0,
        # While streams are open, silence of the peer after which a PING is sent, on each connection
        # up to a quarter sooner, by chance: not all of them at once (others: off) ...
        keepalive_interval_s=30.0,
        # ... and how long silence may last then, before the connection is given up (gRPC 20).
        keepalive_timeout_s=20.0,
        # From an extended CONNECT to its answer.
        handshake_timeout_s=10.0,
        # From a WebSocket's Close to the peer's, and from our END_STREAM to the peer's.
        close_timeout_s=10.0,
        # From the first GOAWAY of a graceful shutdown to the PING's answer.
        shutdown_timeout_s=10.0,
    ):
        self.max_message = _number("max_message", max_message, 1)
        self.max_fragment = _number("max_fragment", max_fragment, 1)
        # What a message of one frame may have.
        self.whole_message = min(self.max_message, self.max_fragment)
        self.max_fragments = _number("max_fragments", max_fragments, 1)
        self.max_empty_fragments = _number("max_empty_fragments", max_empty_fragments, 1)
        self.max_final_blocks = _number("max_final_blocks", max_final_blocks, 1)
        self.max_pong_backlog = _number("max_pong_backlog", max_pong_backlog, 1)
        self.max_buffered = _number("max_buffered", max_buffered, 1)
        self.max_window = _number("max_window", max_window, 0)
        self.window_budget = _number("window_budget", window_budget, 0)
        self.max_queued = _number("max_queued", max_queued, 1)
        self.max_control_octets = _number("max_control_octets", max_control_octets, 65536)
        self.write_high = _number("write_high", write_high, 1)
        self.write_low = _number("write_low", write_low, 0)
        self.max_header_fields = _number("max_header_fields", max_header_fields, 1)
        self.max_held_headers = _number("max_held_headers", max_held_headers, 1)
        self.max_continuations = _number("max_continuations", max_continuations, 1)
        if max_continuations is not None:
            # A number stays one, however large.
            self.max_continuations = min(self.max_continuations, UNLIMITED - 1)
        self.max_settings = _number("max_settings", max_settings, 1)
        self.max_control_frames = _number("max_control_frames", max_control_frames, 1)
        self.max_empty_frames = _number("max_empty_frames", max_empty_frames, 1)
        self.small_data = _number("small_data", small_data, 0)
        self.max_priority_frames = _number("max_priority_frames", max_priority_frames, 1)
        self.max_window_updates = _number("max_window_updates", max_window_updates, 1)
        self.max_pings = _number("max_pings", max_pings, 1)
        self.max_goaways = _number("max_goaways", max_goaways, 1)
        self.max_pending_resets = _number("max_pending_resets", max_pending_resets, 1)
        self.reset_burst = _number("reset_burst", reset_burst, 1)
        self.reset_rate = _number("reset_rate", reset_rate, 0)
        self.max_local_resets = _number("max_local_resets", max_local_resets, 1)
        self.glitch_burst = _number("glitch_burst", glitch_burst, 1)
        self.glitch_rate = _number("glitch_rate", glitch_rate, 0)
        self.dribble_burst = _number("dribble_burst", dribble_burst, 1)
        self.dribble_rate = _number("dribble_rate", dribble_rate, 0)
        self.settings_burst = _number("settings_burst", settings_burst, 1)
        self.settings_rate = _number("settings_rate", settings_rate, 0)
        self.ping_burst = _number("ping_burst", ping_burst, 1)
        self.ping_rate = _number("ping_rate", ping_rate, 0)
        self.min_body_rate = _number("min_body_rate", min_body_rate, 0)
        self.preface_timeout_s = _seconds("preface_timeout_s", preface_timeout_s)
        self.settings_timeout_s = _seconds("settings_timeout_s", settings_timeout_s)
        self.first_request_timeout_s = _seconds("first_request_timeout_s", first_request_timeout_s)
        self.idle_timeout_s = _seconds("idle_timeout_s", idle_timeout_s)
        self.client_idle_timeout_s = _seconds("client_idle_timeout_s", client_idle_timeout_s)
        self.frame_timeout_s = _seconds("frame_timeout_s", frame_timeout_s)
        self.header_block_timeout_s = _seconds("header_block_timeout_s", header_block_timeout_s)
        self.body_timeout_s = _seconds("body_timeout_s", body_timeout_s)
        self.write_timeout_s = _seconds("write_timeout_s", write_timeout_s)
        self.keepalive_interval_s = _seconds("keepalive_interval_s", keepalive_interval_s)
        self.keepalive_timeout_s = _seconds("keepalive_timeout_s", keepalive_timeout_s)
        self.handshake_timeout_s = _seconds("handshake_timeout_s", handshake_timeout_s)
        self.close_timeout_s = _seconds("close_timeout_s", close_timeout_s)
        self.shutdown_timeout_s = _seconds("shutdown_timeout_s", shutdown_timeout_s)
        if self.write_low > self.write_high:
            raise ValueError("write_low must not exceed write_high")
