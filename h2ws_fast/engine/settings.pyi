from .dialect import Dialect

BIDIRECTIONAL_CONNECT_ID: int

class Settings:
    bidirectional_connect_id: int
    connection_window: int
    enable_bidirectional_connect: bool
    enable_connect_protocol: bool
    header_table_size: int
    initial_window_size: int
    max_concurrent_streams: int
    max_frame_size: int
    max_header_list_size: int
    no_rfc7540_priorities: bool
    def __init__(
        self,
        *,
        header_table_size: int = 4096,
        max_concurrent_streams: int = 1000,
        initial_window_size: int = 262144,
        max_frame_size: int = 16384,
        max_header_list_size: int = 65536,
        enable_connect_protocol: bool | None = None,
        connection_window: int = 16777216,
        no_rfc7540_priorities: bool = True,
        enable_bidirectional_connect: bool = False,
        bidirectional_connect_id: int = 0xFB00,
    ) -> None: ...
    def dialect(self) -> Dialect | None: ...
