"""An echo server whose metrics Prometheus can scrape: prometheus.py [port], then GET /metrics."""

import asyncio
import sys
from collections import Counter

from h2ws_fast import Observer, Response, serve


def messages(connection):
    """How many messages have come on it. HTTP/1.1 without a WebSocket counts none."""
    return connection.stats().get("messages_received", 0)


class Metrics(Observer):
    """Counts what it is told of, and writes it as Prometheus reads it."""

    def __init__(self):
        self.connections = 0  # that were ever opened
        self.open = set()
        self.closed = Counter()  # close code: WebSockets
        self.limits = Counter()  # name: reached
        self.websockets = 0
        self.messages = 0  # of connections that are closed

    def connection_opened(self, connection):
        self.connections += 1
        self.open.add(connection)

    def connection_closed(self, connection):
        self.open.remove(connection)
        self.messages += messages(connection)

    def websocket_opened(self, ws):
        self.websockets += 1

    def websocket_closed(self, ws):
        self.closed[ws.close_code] += 1

    def limit_reached(self, connection, name):
        self.limits[name] += 1

    def page(self, server):
        live = sum(messages(connection) for connection in self.open)
        lines = [
            "# TYPE connections_total counter",
            f"connections_total {self.connections}",
            "# TYPE connections gauge",
            f"connections {len(self.open)}",
            "# TYPE websockets_total counter",
            f"websockets_total {self.websockets}",
            "# TYPE websockets gauge",
            f"websockets {self.websockets - self.closed.total()}",
            "# TYPE messages_received_total counter",
            f"messages_received_total {self.messages + live}",
            "# TYPE octets_held gauge",
            f"octets_held {server.stats()['octets_held']}",
            "# TYPE websockets_closed_total counter",
            *(f'websockets_closed_total{{code="{c}"}} {n}' for c, n in self.closed.items()),
            "# TYPE limits_reached_total counter",
            *(f'limits_reached_total{{limit="{name}"}} {n}' for name, n in self.limits.items()),
        ]
        return "\n".join(lines) + "\n"


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def main(port):
    metrics = Metrics()

    async def on_request(request):
        if request.path != "/metrics":
            return Response(404)
        return Response(200, {"content-type": "text/plain; version=0.0.4"}, metrics.page(server))

    server = serve(echo, "127.0.0.1", port, on_request=on_request, observer=metrics)
    async with server:
        print("serving on port", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000))
    except KeyboardInterrupt:
        print("goodbye")
