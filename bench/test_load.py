"""The load client keeps to the rules that it measures others by."""

import types

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
    client = load.Http2(types.SimpleNamespace(streams=3, size=30, kind="binary"), None, 0)
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
