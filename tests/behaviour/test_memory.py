"""RFC 9113 section 5.1: what is over takes no memory."""

import pytest

from tests.support import frames as f
from tests.support.peer import GET, POST, of

row = pytest.mark.row


def resident():
    """Octets of this process in memory."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096
    except OSError:
        pytest.skip("no /proc here")


def literal(fields):
    """A block that uses no table: every field a literal."""
    octets = b""
    for name, value in fields:
        octets += b"\x10" + bytes((len(name),)) + name.encode()
        octets += bytes((len(value),)) + value.encode()
    return octets


UNLIMITED = {
    "reset_burst": None,
    "max_pending_resets": None,
    "max_local_resets": None,
    "glitch_burst": None,
    "max_control_frames": None,
}


@pytest.mark.slow
@pytest.mark.timeout(300)
@row("9113-5.1-8")
@pytest.mark.parametrize("ended_by", ["peer", "us"])
def test_a_million_streams_opened_and_reset_take_no_memory(make, twin, ended_by):
    compiled = not twin.__name__.startswith("h2ws_fast_pure")
    total = 1_000_000 if compiled else 100_000
    peer = make("server", limits=UNLIMITED)
    post, get = literal(POST), literal(GET)
    conn, batch = peer.conn, 500
    early = None
    for start in range(0, total, batch):
        ids = range(2 * start + 1, 2 * (start + batch), 2)
        if ended_by == "peer":
            octets = b"".join(f.headers(i, post) + f.rst_stream(i) for i in ids)
            events = conn.receive_data(octets, 0.0)
            assert len(events) == 2 * batch
        else:
            assert len(conn.receive_data(b"".join(f.headers(i, post) for i in ids), 0.0)) == batch
            for i in ids:
                conn.reset(i)
            conn.events()
        conn.data_to_send(max_bytes=10**6, now=0.0)
        if early is None and start >= total // 10:
            early = resident()
    assert resident() - early < 2**20
    assert conn.open_streams == 0 and not conn.terminated
    # The oldest ids are closed, not idle.
    assert conn.receive_data(f.rst_stream(1) + f.window_update(3, 1), 0.0) == []
    assert conn.data_to_send(now=0.0) == []
    last = 2 * total + 1
    assert len(conn.receive_data(f.headers(last, get, True), 0.0)) == 1


def test_the_requests_of_a_connection_share_the_name_of_its_authority(make):
    peer = make("server")
    long = "a" * 1000 + ".example"
    for number, authority in enumerate(("one.example", "one.example", long, long, "one.example")):
        fields = [(name, authority if name == ":authority" else value) for name, value in GET]
        peer.feed(peer.headers(2 * number + 1, fields, end_stream=True))
    names = [event.authority for event in of(peer.events, "Requested")]
    assert names == ["one.example", "one.example", long, long, "one.example"]
    assert names[0] is names[1] is names[4]
    assert names[2] is not names[3]  # nothing long is kept for a request that may never come
