"""A proxy from HTTP/2 to HTTP/1.1 by h2 and wsproto: `python -m bench.peers.proxy PORT BACKEND`.

Each message is an event of wsproto on one side and made into a frame again by the other, which is
how wsproto is used; what goes to one client during a turn of the loop is written at once.
"""

import asyncio
import sys

from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from wsproto import WSConnection
from wsproto.connection import Connection, ConnectionType
from wsproto.events import AcceptConnection, CloseConnection, Message, Ping, Pong, Request

from ._common import BACKLOG, ready, run
from ._h2 import connection, flush

CONTROL = (Ping, Pong, CloseConnection)


def whole(events, parts):
    """What there is to forward, messages whole; `parts` has those that are not."""
    for event in events:
        if isinstance(event, CONTROL):
            yield event
        elif isinstance(event, Message):
            parts.append(event.data)
            if event.message_finished:
                yield type(event)(data=parts[0][:0].join(parts) if parts[1:] else parts[0])
                parts.clear()


class Back(asyncio.Protocol):
    """A WebSocket's connection to the backend."""

    def __init__(self, front, stream_id, path):
        self.front = front
        self.stream_id = stream_id
        self.path = path
        self.client = WSConnection(ConnectionType.CLIENT)
        self.server = Connection(ConnectionType.SERVER)  # what the proxy is for the client
        self.of_client, self.of_backend = [], []
        self.out = bytearray()  # for the client
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.client.send(Request(host="127.0.0.1", target=self.path)))

    def data_received(self, data):
        self.client.receive_data(data)
        events = list(self.client.events())
        if events and isinstance(events[0], AcceptConnection):
            self.front.h2.send_headers(self.stream_id, [(b":status", b"200")])
        for event in whole(events, self.of_backend):
            self.out += self.server.send(event)
        self.front.waits(self)

    def forward(self, data):
        """Octets of the client."""
        self.server.receive_data(data)
        out = [self.client.send(each) for each in whole(self.server.events(), self.of_client)]
        self.transport.write(b"".join(out))

    def connection_lost(self, exc):
        self.front.backs.pop(self.stream_id, None)


class Front(asyncio.Protocol):
    """A client's connection."""

    def connection_made(self, transport):
        self.transport = transport
        self.loop = asyncio.get_running_loop()
        self.backs = {}
        self.waiting = set()
        self.h2 = connection()
        transport.write(self.h2.data_to_send())

    def data_received(self, data):
        conn, backs = self.h2, self.backs
        for event in conn.receive_data(data):
            kind = type(event)
            if kind is DataReceived:
                if event.flow_controlled_length:
                    conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.stream_id in backs:
                    backs[event.stream_id].forward(event.data)
            elif kind is RequestReceived:
                self._open(event.stream_id, dict(event.headers)[b":path"].decode())
            elif kind is WindowUpdated:
                for back in backs.values():
                    if back.out:
                        self.waits(back)
            elif kind is StreamEnded or kind is StreamReset:
                self._close(event.stream_id)
            elif kind is ConnectionTerminated:
                self.transport.close()
        self._send()

    def _open(self, stream_id, path):
        back = self.backs[stream_id] = Back(self, stream_id, path)
        opening = self.loop.create_connection(lambda: back, "127.0.0.1", int(sys.argv[2]))
        back.opening = self.loop.create_task(opening)

    def _close(self, stream_id):
        back = self.backs.pop(stream_id, None)
        if back is not None and back.transport is not None:
            back.transport.close()

    def waits(self, back):
        """Something is to be sent to the client, in this turn of the loop."""
        if not self.waiting:
            self.loop.call_soon(self._send)
        self.waiting.add(back)

    def _send(self):
        for back in self.waiting:
            flush(self.h2, back.stream_id, back.out)
        self.waiting.clear()
        if out := self.h2.data_to_send():
            self.transport.write(out)

    def connection_lost(self, exc):
        for stream_id in list(self.backs):
            self._close(stream_id)


async def main():
    server = await asyncio.get_running_loop().create_server(
        Front, "127.0.0.1", int(sys.argv[1]), backlog=BACKLOG
    )
    ready()
    await server.serve_forever()


run(main)
