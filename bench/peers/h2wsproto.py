"""h2 + wsproto on an asyncio Protocol: what a careful user writes without a framework."""

import asyncio

from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from ._common import BACKLOG, arguments, context, ready, run
from ._h2 import connection, flush


class WebSocket:
    __slots__ = ("closing", "conn", "out", "parts")

    def __init__(self):
        self.conn = Connection(ConnectionType.SERVER)
        self.parts = []
        self.out = bytearray()
        self.closing = False

    def receive(self, data):
        """Take octets of the stream; what answers them waits in `out`."""
        conn = self.conn
        conn.receive_data(data)
        for event in conn.events():
            kind = type(event)
            if kind is BytesMessage or kind is TextMessage:
                if not event.message_finished:
                    self.parts.append(event.data)
                elif self.parts:
                    whole = event.data[:0].join([*self.parts, event.data])
                    self.parts.clear()
                    self.out += conn.send(kind(data=whole))
                else:
                    self.out += conn.send(event)
            elif kind is CloseConnection:
                self.out += conn.send(event.response())
                self.closing = True
            elif kind is Ping:
                self.out += conn.send(event.response())


class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.sockets = {}
        self.h2 = connection()
        transport.write(self.h2.data_to_send())

    def data_received(self, data):
        conn, sockets = self.h2, self.sockets
        touched = set()
        for event in conn.receive_data(data):
            kind = type(event)
            if kind is DataReceived:
                stream_id = event.stream_id
                if event.flow_controlled_length:
                    conn.acknowledge_received_data(event.flow_controlled_length, stream_id)
                socket = sockets.get(stream_id)
                if socket and not socket.closing:
                    socket.receive(event.data)
                    touched.add(stream_id)
            elif kind is RequestReceived:
                conn.send_headers(event.stream_id, [(b":status", b"200")])
                sockets[event.stream_id] = WebSocket()
            elif kind is WindowUpdated and event.stream_id:
                touched.add(event.stream_id)
            elif kind is WindowUpdated or kind is RemoteSettingsChanged:
                touched.update(sid for sid, socket in sockets.items() if socket.out)
            elif kind is StreamEnded or kind is StreamReset:
                sockets.pop(event.stream_id, None)
            elif kind is ConnectionTerminated:
                self.transport.close()
        for stream_id in touched:
            if stream_id in sockets:
                socket = sockets[stream_id]
                flush(conn, stream_id, socket.out, socket.closing)
        if out := conn.data_to_send():
            self.transport.write(out)


async def main():
    port, *files = arguments()
    server = await asyncio.get_running_loop().create_server(
        Server, "127.0.0.1", port, ssl=context(*files, "h2"), backlog=BACKLOG
    )
    ready()
    await server.serve_forever()


run(main)
