"""The engine without any input or output: two ends in one process, octets carried by hand.

    python examples/sansio.py

Trio, threads, a proxy or a test drive it in the same way.
"""

from h2ws_fast.engine import Connection, Role, Settings
from h2ws_fast.engine.events import Closed, Opened, Requested, SettingsChanged, TextMessage


def pump(client, server):
    """Carry octets both ways until both are quiet; return what happened at either end."""
    happened = []
    moved = True
    while moved:
        moved = False
        for source, target, name in ((client, server, "server"), (server, client, "client")):
            octets = b"".join(source.data_to_send())
            if octets:
                moved = True
                for event in target.receive_data(octets):
                    happened.append((name, event))
                    react(target, event)
    return happened


def react(conn, event):
    if isinstance(event, Requested) and event.protocol == "websocket":
        conn.accept_websocket(event.stream_id)
    elif isinstance(event, TextMessage):
        # The message is taken: its credit goes back to the peer.
        conn.consumed(event.stream_id, event.credit)
        if conn.role == Role.SERVER:
            conn.send_message(event.stream_id, event.data.upper())


def main():
    client = Connection(Role.CLIENT)
    server = Connection(Role.SERVER, Settings(max_concurrent_streams=100))

    # RFC 8441: the server's SETTINGS come first, and allow the extended CONNECT.
    happened = pump(client, server)
    assert any(isinstance(event, SettingsChanged) for _, event in happened)
    assert client.can_connect

    stream_id = client.connect_websocket("example.org", "/chat")
    happened = pump(client, server)
    assert any(isinstance(event, Opened) for _, event in happened)

    client.send_message(stream_id, "hello")
    for end, event in pump(client, server):
        if isinstance(event, TextMessage):
            print(f"{end} got {event.data!r}")

    client.close_websocket(stream_id, 1000, "done")
    for end, event in pump(client, server):
        if isinstance(event, Closed):
            print(f"{end} closed with {event.code}")


if __name__ == "__main__":
    main()
