class Limits:
    max_message: int
    max_fragment: int
    max_fragments: int
    max_empty_fragments: int
    max_final_blocks: int
    max_pong_backlog: int
    max_buffered: int
    max_window: int
    window_budget: int
    max_queued: int
    max_control_octets: int
    write_high: int
    write_low: int
    max_header_fields: int
    max_held_headers: int
    max_continuations: int
    max_settings: int
    max_control_frames: int
    max_empty_frames: int
    small_data: int
    max_priority_frames: int
    max_window_updates: int
    max_pings: int
    max_goaways: int
    max_pending_resets: int
    reset_burst: int
    reset_rate: int
    max_local_resets: int
    glitch_burst: int
    glitch_rate: int
    dribble_burst: int
    dribble_rate: int
    settings_burst: int
    settings_rate: int
    ping_burst: int
    ping_rate: int
    min_body_rate: int
    preface_timeout_s: float
    settings_timeout_s: float
    first_request_timeout_s: float
    idle_timeout_s: float
    client_idle_timeout_s: float
    frame_timeout_s: float
    header_block_timeout_s: float
    body_timeout_s: float
    write_timeout_s: float
    keepalive_interval_s: float
    keepalive_timeout_s: float
    handshake_timeout_s: float
    close_timeout_s: float
    shutdown_timeout_s: float
    def __init__(
        self,
        *,
        max_message: int | None = 1048576,
        max_fragment: int | None = None,
        max_fragments: int | None = 1024,
        max_empty_fragments: int | None = 64,
        max_final_blocks: int | None = 128,
        max_pong_backlog: int | None = 16384,
        max_buffered: int | None = 67108864,
        max_window: int | None = 4194304,
        window_budget: int | None = 33554432,
        max_queued: int | None = 268435456,
        max_control_octets: int | None = 16777216,
        write_high: int | None = 65536,
        write_low: int | None = 16384,
        max_header_fields: int | None = 128,
        max_held_headers: int | None = 16777216,
        max_continuations: int | None = None,
        max_settings: int | None = 32,
        max_control_frames: int | None = 1000,
        max_empty_frames: int | None = 10,
        small_data: int | None = 25600,
        max_priority_frames: int | None = 100,
        max_window_updates: int | None = 20,
        max_pings: int | None = 10,
        max_goaways: int | None = 10,
        max_pending_resets: int | None = None,
        reset_burst: int | None = 1000,
        reset_rate: int | None = 33,
        max_local_resets: int | None = 1024,
        glitch_burst: int | None = 10000,
        glitch_rate: int | None = 330,
        dribble_burst: int | None = 1000,
        dribble_rate: int | None = 33,
        settings_burst: int | None = 100,
        settings_rate: int | None = 10,
        ping_burst: int | None = 10000,
        ping_rate: int | None = 330,
        min_body_rate: int | None = 240,
        preface_timeout_s: float | None = 10.0,
        settings_timeout_s: float | None = 10.0,
        first_request_timeout_s: float | None = 60.0,
        idle_timeout_s: float | None = 180.0,
        client_idle_timeout_s: float | None = None,
        frame_timeout_s: float | None = 10.0,
        header_block_timeout_s: float | None = 10.0,
        body_timeout_s: float | None = 30.0,
        write_timeout_s: float | None = 60.0,
        keepalive_interval_s: float | None = 30.0,
        keepalive_timeout_s: float | None = 20.0,
        handshake_timeout_s: float | None = 10.0,
        close_timeout_s: float | None = 10.0,
        shutdown_timeout_s: float | None = 10.0,
    ) -> None: ...
