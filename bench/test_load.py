"""The load client keeps to the rules that it measures others by."""

import types

import pytest

from . import load, wire


class Link:
    """A connection on which `came` has come."""

    def __init__(self, options, selector):
        self.came = b""
        self.sent = b""

    def read(self):
        came, self.came = self.came, b""
        return came

    def write(self, data):
        self.sent += data


def test_each_stream_gets_back_what_it_used(monkeypatch):
    monkeypatch.setattr(load, "Link", Link)
    monkeypatch.setattr(load, "CREDIT", 100)
    client = load.Http2(
        types.SimpleNamespace(streams=3, size=30, kind="binary", fragments=False), None, 0
    )
    client.windows = dict.fromkeys(client.frames, wire.MAX_WINDOW)
    client.link.sent = b""
    one, other, quiet = client.frames
    for stream_id, count in ((one, 3), (other, 1)):
        echo = client.echoes[stream_id].expected
        client.link.came += wire.frame(wire.DATA, 0, stream_id, echo) * count
    assert client.service() == 4
    assert wire.window_update(0, 128) in client.link.sent
    assert wire.window_update(one, 96) in client.link.sent
    assert wire.window_update(other, 32) in client.link.sent
    head = wire.window_update(quiet, 1)[:9]
    assert head not in client.link.sent


@pytest.mark.parametrize("cut", [1, 7, 10**6])
def test_fragments_are_counted_by_their_content(cut):
    contents = [b"", b"a", bytes(200), bytes(70_000), b"b" * 29_799]
    octets = b"".join(wire.websocket_frame(each, wire.BINARY) for each in contents)
    waits = load.Fragments(b"".join(contents))
    came = octets * 3
    assert sum(waits.take(came[at : at + cut]) for at in range(0, len(came), cut)) == 3
    assert waits.got == 0
    with pytest.raises(load.Failed):
        load.Fragments(bytes(100_000)).take(octets)
