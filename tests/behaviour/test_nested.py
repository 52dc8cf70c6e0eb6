"""HTTP/2 inside of a stream of HTTP/2: a tunnel knows nothing of what it carries."""


def carry(source, target):
    """One connection's octets to the other; what happened there."""
    return target.receive_data(b"".join(source.data_to_send()))


def of(twin, events, name):
    kinds = __import__(twin.__name__ + ".events", fromlist=[name])
    return [event for event in events if type(event) is getattr(kinds, name)]


def test_an_http2_connection_inside_of_a_stream(twin):
    client = twin.Connection(twin.Role.CLIENT)
    server = twin.Connection(twin.Role.SERVER)
    carry(server, client)
    outer = client.request(
        [
            (":method", "CONNECT"),
            (":protocol", "inner-h2"),
            (":scheme", "https"),
            (":authority", "outer.example"),
            (":path", "/tunnel"),
        ],
        end_stream=False,
    )
    (requested,) = of(twin, carry(client, server), "Requested")
    server.respond(requested.stream_id, [(":status", "200")])
    assert of(twin, carry(server, client), "Opened")

    inner_client = twin.Connection(twin.Role.CLIENT)
    inner_server = twin.Connection(twin.Role.SERVER)

    def exchange():
        """Carry the inner octets through the tunnel until all is quiet; the inner events."""
        happened = []
        quiet = 0
        while quiet < 2:
            quiet += 1
            for inner, mine, other, far in (
                (inner_client, client, server, inner_server),
                (inner_server, server, client, inner_client),
            ):
                octets = b"".join(inner.data_to_send())
                if octets:
                    quiet = 0
                    mine.send_data(outer, octets)
                for data in of(twin, carry(mine, other), "Data"):
                    other.consumed(outer, data.credit)
                    for event in far.receive_data(data.data):
                        happened.append(event)
                        if of(twin, [event], "Requested"):
                            far.accept_websocket(event.stream_id)
                        elif of(twin, [event], "TextMessage"):
                            far.consumed(event.stream_id, event.credit)
        return happened

    exchange()
    assert inner_client.can_connect
    stream_id = inner_client.connect_websocket("inner.example", "/chat")
    assert of(twin, exchange(), "Opened")
    text = "through two connections " * 5000
    inner_client.send_message(stream_id, text)
    (message,) = of(twin, exchange(), "TextMessage")
    assert message.data == text
    inner_client.close_websocket(stream_id, 1000, "")
    assert [event.code for event in of(twin, exchange(), "Closed")] == [1000, 1000]

    # The tunnel ends without the connection that carries it.
    client.send_data(outer, b"", True)
    assert of(twin, carry(client, server), "Ended")
    server.send_data(outer, b"", True)
    assert of(twin, carry(server, client), "Ended")
    assert client.open_streams == server.open_streams == 0
    assert not client.terminated and not server.terminated
