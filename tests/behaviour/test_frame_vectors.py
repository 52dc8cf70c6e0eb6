"""The frames of http2jp/http2-frame-test-case, at a connection that can take them.

`H2WS_FAST_VECTORS` names the folder that holds `http2-frames`. Two liberties: a frame on a stream
that our peer could not have opened moves to stream 1, and the dummy in place of a field block,
which no decoder takes, is exchanged for a block of the same length.
"""

import json
import os
from pathlib import Path

import pytest

from tests.support import frames as f
from tests.support.peer import POST, of

VECTORS = os.environ.get("H2WS_FAST_VECTORS")
FOLDER = Path(VECTORS or "", "http2-frames")
ERRORS = sorted(path.stem for path in FOLDER.glob("error/*.json")) if VECTORS else []
DUMMY = b"this is dummy"
BLOCK = b"\x82\x87\x84\x41\x08test.com"  # GET https://test.com/

pytestmark = pytest.mark.skipif(
    not VECTORS, reason="H2WS_FAST_VECTORS does not name the folder of recorded frames"
)


def read(name):
    """A vector, and its octets."""
    vector = json.loads((FOLDER / f"{name}.json").read_text())
    return vector, bytes.fromhex(vector["wire"])


def moved(wire, stream_id=1):
    return wire[:5] + stream_id.to_bytes(4, "big") + wire[9:]


def real(wire):
    assert len(DUMMY) == len(BLOCK) and wire.count(DUMMY) == 1
    return wire.replace(DUMMY, BLOCK)


def opened(peer):
    """Open stream 1 either way round, with both sides still to speak."""
    if peer.role == "server":
        peer.post()
    else:
        peer.conn.request(POST, end_stream=False)
    peer.forget()
    return peer


def test_every_vector_is_used():
    names = {str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.json")}
    assert len(ERRORS) == 22
    assert names == USED | {f"error/{name}" for name in ERRORS}


@pytest.mark.parametrize("name", ERRORS)
def test_error(either, name):
    vector, wire = read(f"error/{name}")
    peer = opened(either())
    peer.feed(wire)
    errors = [x for x in peer.sent() if x.kind in (f.GOAWAY, f.RST_STREAM)]
    assert [x.error_code in vector["error"] for x in errors] == [True], errors
    assert peer.conn.terminated == (errors[0].kind == f.GOAWAY)


# -- each kind -----------------------------------------------------------------------------------

USED = {
    "data/normal",
    "headers/normal",
    "headers/priority",
    "priority/normal",
    "rst_stream/normal",
    "settings/normal",
    "push_promise/normal",
    "ping/normal",
    "goaway/normal",
    "window_update/normal",
    "continuation/normal",
    "continuation/header",
}


@pytest.mark.row("9113-6.1-3")
def test_data(server):
    vector, wire = read("data/normal")
    peer = opened(server(auto_credit=True))
    peer.feed(moved(wire))
    assert b"".join(e.data for e in of(peer.events, "Data")) == b"Hello, world!"
    assert vector["frame"]["frame_payload"]["data"] == "Hello, world!"


@pytest.mark.parametrize("name", ["headers/normal", "headers/priority"])
def test_headers(server, name):
    vector, wire = read(name)
    stream_id = vector["frame"]["stream_identifier"]
    peer = server()
    peer.feed(real(wire))
    (request,) = of(peer.events, "Requested")
    assert (request.stream_id, request.authority) == (stream_id, "test.com")
    assert request.ended is False
    peer = server()
    peer.feed(wire)  # read as a frame, to the last octet; only then is its block no block
    peer.expect_connection_error(f.COMPRESSION_ERROR)


def test_priority(server):
    _, wire = read("priority/normal")
    peer = server()
    peer.expect_nothing(wire)
    assert peer.conn.stats()["priority_frames"] == 1


def test_rst_stream(either):
    vector, wire = read("rst_stream/normal")
    code = vector["frame"]["frame_payload"]["error_code"]
    peer = either()
    for _ in range(3):  # 1, 3 and the 5 of the vector
        opened(peer)
    peer.feed(wire)
    assert [(e.stream_id, e.error_code, e.remote) for e in of(peer.events, "Reset")] == [
        (5, code, True)
    ]
    peer = either()
    for _ in range(3):
        opened(peer)
    peer.conn.reset(5, code)
    assert peer.pull() == wire


def test_settings(either):
    vector, wire = read("settings/normal")
    peer = either()
    peer.feed(wire)
    (changed,) = of(peer.events, "SettingsChanged")
    assert changed.settings == dict(map(tuple, vector["frame"]["frame_payload"]["settings"]))
    assert peer.pull() == f.settings_ack()


def test_push_promise(client):
    vector, wire = read("push_promise/normal")
    peer = client(handshake=False)
    peer.sent()
    peer.feed(f.settings())  # ours, which forbid pushes, are still to be acknowledged
    opened(peer)
    peer.feed(moved(real(wire)))
    promised = vector["frame"]["frame_payload"]["promised_stream_id"]
    assert [(x.stream_id, x.error_code) for x in peer.sent() if x.kind == f.RST_STREAM] == [
        (promised, f.REFUSED_STREAM)
    ]


def test_ping(either):
    vector, wire = read("ping/normal")
    opaque = vector["frame"]["frame_payload"]["opaque_data"].encode()
    peer = either()
    peer.feed(wire)
    assert peer.pull() == f.ping(opaque, ack=True)
    peer.conn.ping(0, opaque)
    assert peer.pull() == wire


def test_goaway(either):
    vector, wire = read("goaway/normal")
    payload = vector["frame"]["frame_payload"]
    debug = payload["additional_debug_data"].encode()
    peer = either()
    peer.feed(wire)
    (goaway,) = of(peer.events, "GoawayReceived")
    assert goaway.last_stream_id == payload["last_stream_id"]
    assert (goaway.error_code, goaway.debug_data) == (payload["error_code"], debug)
    peer = either()
    peer.conn.abort(payload["error_code"], debug)
    assert peer.pull() == wire[:9] + bytes(4) + wire[13:]  # no stream was handled


def test_window_update(server):
    vector, wire = read("window_update/normal")
    peer = opened(server(peer_settings=[(f.INITIAL_WINDOW_SIZE, 0)]))
    peer.conn.respond(1, [(":status", "200")])
    peer.conn.send_data(1, bytes(5000))
    assert f.DATA not in [x.kind for x in peer.sent()]
    peer.feed(moved(wire))
    increment = vector["frame"]["frame_payload"]["window_size_increment"]
    assert sum(len(x.payload) for x in peer.sent() if x.kind == f.DATA) == increment


def test_continuation(server):
    peer = server()
    begun = f.headers(1, b"", end_headers=False)
    empty, header = (
        moved(read("continuation/normal")[1]),
        moved(real(read("continuation/header")[1])),
    )
    assert peer.feed(begun, empty, header) == []
    peer.feed(f.continuation(1, b""))
    assert [e.authority for e in of(peer.events, "Requested")] == ["test.com"]
