"""An echo server whose metrics Prometheus can scrape: prometheus.py [port], then GET /metrics."""

import asyncio
import sys
from collections import Counter

from h2ws_fast import Observer, Response, serve


class Metrics(Observer):
    """Counts what it is told of, and writes it as Prometheus reads it."""

    def __init__(self):
        self.connections = Counter()  # http_version: opened
        self.closed = Counter()  # close code: WebSockets
        self.limits = Counter()  # name: reached
        self.websockets = 0
        self.messages = 0

    def connection_opened(self, connection):
        self.connections["opened"] += 1

    def connection_closed(self, connection):
        self.connections["closed"] += 1
        self.messages += connection.stats().get("messages_received", 0)

    def websocket_opened(self, ws):
        self.websockets += 1

    def websocket_closed(self, ws):
        self.closed[ws.close_code] += 1

    def limit_reached(self, connection, name):
        self.limits[name] += 1

    def page(self, server):
        live = sum(
            {
                ws.connection: ws.connection.stats()["messages_received"]
                for ws in server.connections
            }.values()
        )
        lines = [
            "# TYPE connections_total counter",
            f"connections_total {self.connections['opened']}",
            "# TYPE connections gauge",
            f"connections {self.connections['opened'] - self.connections['closed']}",
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
