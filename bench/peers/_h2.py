"""What those who drive h2 by hand share: a connection made cheap, and octets within its windows."""

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

WINDOW = 1 << 24


def connection():
    """A server's H2Connection, which has said its settings."""
    conn = H2Connection(
        H2Configuration(
            client_side=False,
            header_encoding=None,
            validate_inbound_headers=False,
            normalize_outbound_headers=False,
            validate_outbound_headers=False,
        )
    )
    conn.local_settings = Settings(
        client=False,
        initial_values={
            SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
            SettingCodes.MAX_CONCURRENT_STREAMS: 20000,
            SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
        },
    )
    conn.initiate_connection()
    conn.increment_flow_control_window(WINDOW)
    return conn


def flush(conn, stream_id, out, end_stream=False):
    """Send of the bytearray `out` what the windows allow, and take it off."""
    while out:
        room = min(conn.local_flow_control_window(stream_id), conn.max_outbound_frame_size)
        if room <= 0:
            return
        if room >= len(out):
            conn.send_data(stream_id, bytes(out), end_stream=end_stream)
            out.clear()
        else:
            conn.send_data(stream_id, bytes(out[:room]))
            del out[:room]
