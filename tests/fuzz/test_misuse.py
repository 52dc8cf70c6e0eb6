"""Wrong calls raise, and buffers that others hold stay as they are: SEC-9-4."""

import importlib
import random

import pytest

from h2ws_fast import WebSocket, _twins
from tests.support import frames as f
from tests.support.peer import Peer
from tests.support.ws_frames import ws_frame

from . import misuse
from .octets import exact, merged

row = pytest.mark.row("SEC-9-4")


@row
def test_verbs_in_any_order_with_any_arguments(twin):
    rng = random.Random(9)
    for _ in range(60):
        misuse.run(twin, rng.randbytes(rng.randrange(1000)))


@row
@pytest.mark.skipif(not _twins.COMPILED, reason="the extensions are not built")
@pytest.mark.parametrize("name", ["Connection", "Upgraded"])
def test_a_subclass_that_forgets_our_init_has_a_connection_that_is_over(name):
    """Its verbs raise or do nothing: they ended the process."""
    h1 = importlib.import_module("h2ws_fast.engine.h1")
    kind = getattr(h1, name, None) or _twins.load("compiled").Connection

    class Forgetful(kind):
        def __init__(self):
            pass

    for verb in misuse.VERBS:
        for arguments in ((), (1,), (b"x",), (1, "x"), (1, [(":status", "200")]), (0, b"12345678")):
            conn = Forgetful()
            assert conn.terminated
            function = getattr(conn, verb, None)
            if function is None:
                continue  # of HTTP/2 alone
            try:
                result = function(*arguments)
            except misuse.refusals(_twins.load("compiled")):
                continue
            assert not result or isinstance(result, dict | int), (verb, arguments, result)


@row
def test_a_websocket_is_not_made_by_its_class():
    with pytest.raises(TypeError):
        WebSocket()


@row
@pytest.mark.parametrize("name", ["Connection", "Upgraded"])
def test_a_number_is_no_octets(twin, name):
    """`bytes(2**31)` would be two gigabytes of zeros."""
    kind = getattr(importlib.import_module(".h1", twin.__name__), name, None) or twin.Connection
    conn = kind(twin.Role.SERVER)
    for wrong in (5, [1, 2], "text", None):
        with pytest.raises(TypeError):
            conn.receive_data(wrong)
    assert conn.stats()["octets_received"] == 0


@row
def test_a_buffer_that_is_being_read_cannot_change_its_size(twin):
    peer = Peer(twin, "server", auto_credit=True)
    stream_id = peer.websocket()
    array = bytearray(peer.message(stream_id) * 3)
    refused = []

    def sink(event):
        try:
            del array[:]
        except BufferError:
            refused.append(event.data)

    peer.conn.attach(stream_id, sink)
    assert peer.conn.receive_data(array) == []
    assert refused == [b"hello"] * 3
    array.clear()  # nothing holds it any more


@row
def test_a_view_that_is_being_read_may_be_released(twin):
    peer = Peer(twin, "server", auto_credit=True)
    stream_id = peer.websocket()
    array = bytearray(peer.message(stream_id) * 3)
    view = memoryview(array)
    heard = []

    def sink(event):
        view.release()
        with pytest.raises(BufferError):
            array.extend(bytes(100000))
        heard.append(event.data)

    peer.conn.attach(stream_id, sink)
    peer.conn.receive_data(view)
    assert heard == [b"hello"] * 3
    array.extend(bytes(100000))


@row
def test_what_is_to_be_sent_stays_while_it_is_held(twin):
    """Views of buffers outlive the buffers, the connection and its pool."""
    pool = importlib.import_module(".buffers", twin.__name__).Pool(65536)
    peer = Peer(twin, "server", pool=pool)
    peer.feed(f.window_update(0, 2**30), f.settings((f.INITIAL_WINDOW_SIZE, 2**30)))
    stream_id = peer.websocket()
    held = []
    for number in range(40):
        peer.conn.send_message(stream_id, bytes([number]) * 30000)
        for buffer in peer.conn.data_to_send():
            view = memoryview(buffer)
            assert view.readonly
            held.append((view[7:], bytes(buffer)[7:]))
            del buffer, view
        if number % 3 == 2:
            assert all(bytes(view) == copy for view, copy in held)
            del held[:-2]
    del peer, pool
    assert all(bytes(view) == copy for view, copy in held)


@row
def test_what_was_given_to_be_sent_may_change_afterwards(twin):
    peer = Peer(twin, "server")
    stream_id = peer.websocket()
    array = bytearray(b"first")
    peer.conn.send_message(stream_id, array)
    array[:] = b"other and longer"
    assert ws_frame(2, b"first", key=None) in peer.pull()


@row
@pytest.mark.parametrize("role", ["server", "client"])
def test_every_prefix_in_a_block_of_its_exact_size(twin, role):
    """Nothing behind the last octet is read, wherever a transport cuts."""
    peer = Peer(twin, role)
    stream_id = peer.websocket()
    octets = (
        peer.message(stream_id, "text and €".encode(), 1)
        + f.data(stream_id, b"\x01", pad=9)
        + f.headers(9, peer.block([("x", "y")]), True, priority=bytes(5))
        + f.settings((f.MAX_FRAME_SIZE, 20000))
        + f.ping()
        + peer.message(stream_id, bytes(700))
    )
    whole = merged(peer.conn.receive_data(exact(octets)))
    assert whole
    for cut in range(1, len(octets)):
        other = Peer(twin, role)
        assert other.websocket() == stream_id
        events = []
        for part in (octets[:cut], octets[cut:]):
            events += other.conn.receive_data(exact(part))
        assert merged(events) == whole, cut
