"""HTTP/2 inside a tunnel of HTTP/2: the layers know nothing of each other."""

import pytest


class Pair:
    """A client and a server of the engine; `carry` moves what each has to say."""

    def __init__(self, twin, **server_settings):
        self.client = twin.Connection(twin.Role.CLIENT, auto_credit=True)
        self.server = twin.Connection(
            twin.Role.SERVER, twin.Settings(**server_settings), auto_credit=True
        )
        self.told_client = []
        self.told_server = []

    def carry(self):
        moved = True
        while moved:
            up = b"".join(self.client.data_to_send())
            down = b"".join(self.server.data_to_send())
            self.told_server += self.server.receive_data(up)
            self.told_client += self.client.receive_data(down)
            moved = up or down

    def named(self, told, name):
        return [event for event in told if type(event).__name__ == name]


@pytest.mark.row("8441-7-1")
def test_a_websocket_inside_a_connect_to_the_origin(twin):
    outer = Pair(twin)  # to a forward proxy
    inner = Pair(twin)  # to the origin, through it
    outer.carry()
    tunnel = outer.client.request(
        [(":method", "CONNECT"), (":authority", "origin.example:443")], end_stream=False
    )
    outer.carry()
    (asked,) = outer.named(outer.told_server, "Requested")
    assert (asked.method, asked.authority, asked.path) == ("CONNECT", "origin.example:443", "")
    assert asked.protocol is None
    outer.server.respond(tunnel, [(":status", "200")])
    outer.carry()
    assert outer.named(outer.told_client, "Opened")

    def carry_inner():
        """What the inner ends say goes through the tunnel as octets of DATA."""
        moved = True
        while moved:
            up = b"".join(inner.client.data_to_send())
            down = b"".join(inner.server.data_to_send())
            if up:
                outer.client.send_data(tunnel, up)
            if down:
                outer.server.send_data(tunnel, down)
            outer.told_server.clear()
            outer.told_client.clear()
            outer.carry()
            for event in outer.named(outer.told_server, "Data"):
                inner.told_server += inner.server.receive_data(event.data)
            for event in outer.named(outer.told_client, "Data"):
                inner.told_client += inner.client.receive_data(event.data)
            moved = up or down

    carry_inner()
    assert inner.client.can_connect
    websocket = inner.client.connect_websocket("origin.example", "/chat")
    carry_inner()
    inner.server.accept_websocket(websocket)
    carry_inner()
    inner.client.send_message(websocket, "through two layers" * 5000)
    inner.server.send_message(websocket, b"and back" * 5000)
    carry_inner()
    assert inner.named(inner.told_server, "TextMessage")[0].data == "through two layers" * 5000
    assert inner.named(inner.told_client, "BytesMessage")[0].data == b"and back" * 5000
    inner.client.close_websocket(websocket, 1000, "done")
    carry_inner()
    assert inner.named(inner.told_server, "Closed")[0].code == 1000
    assert inner.named(inner.told_client, "Closed")[0].code == 1000
    assert inner.client.open_streams == 0
    assert outer.client.open_streams == 1  # the tunnel outlives what ran in it


def test_the_setting_of_one_hop_says_nothing_about_the_next(twin):
    behind = Pair(twin)  # a backend that supports extended CONNECT
    front = Pair(twin, enable_connect_protocol=False)  # a hop that cannot fulfil it
    behind.carry()
    front.carry()
    assert behind.client.can_connect
    assert not front.client.can_connect
    with pytest.raises(Exception, match="extended CONNECT") as raised:
        front.client.connect_websocket("example.com", "/")
    assert type(raised.value).__name__ == "ExtendedConnectUnsupported"


def test_a_lost_connection_reports_no_reset_of_the_websocket(twin):
    pair = Pair(twin)
    pair.carry()
    websocket = pair.client.connect_websocket("example.com", "/")
    pair.carry()
    pair.server.accept_websocket(websocket)
    pair.carry()
    for told in (pair.server.receive_eof(), pair.client.receive_eof()):
        closed = pair.named(told, "Closed")[0]
        assert (closed.code, closed.error_code) == (1006, None)
