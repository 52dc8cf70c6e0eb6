"""A server in a thread of its own that tells a test what came in: of each WebSocket over which
connection and protocol, what was agreed, how it ended, and how many octets went over the wire."""

import asyncio
import threading
import time

from h2ws_fast import Observer, Response, serve
from h2ws_fast.aio import tls
from h2ws_fast.cli import loops
from h2ws_fast.cli.paths import Paths

BLANK = {"content-type": "text/html; charset=utf-8", "cache-control": "no-store"}


class Seen:
    """What the server saw of one WebSocket."""

    def __init__(self, ws, beside):
        self.beside = beside  # how many were open then, it included
        self.path = ws.request.path
        self.headers = ws.request.headers
        self.connection = ws.connection
        self.http = ws.http_version
        self.subprotocol = ws.subprotocol
        self.compression = ws.compression
        self.closed = None  # (code, reason), once it is
        self._at_first = ws.connection.stats()

    def end(self, ws):
        self.closed = ws.close_code, ws.close_reason
        now = ws.connection.stats()
        self.received, self.sent = (
            now[name] - self._at_first[name] for name in ("octets_received", "octets_sent")
        )


class Witness(Observer, Paths):
    """The paths of `h2ws-fast echo` and `/blank`, a page without a WebSocket, by either interface.

    Other arguments are those of `serve`. `websockets` has a Seen for each, in their order.
    """

    def __init__(self, certificate=None, *, api="callback", **options):
        Paths.__init__(self, api)
        self.websockets = []
        self.pages = []  # the connection of each request for /blank
        self._open = {}
        self._context = None if certificate is None else tls.server_context(*certificate)
        self._options = options
        self._stopped = False
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._started.wait(30), "the server did not start"
        place = f"127.0.0.1:{self.port}"
        self.url = f"{'http' if certificate is None else 'https'}://{place}"
        self.uri = f"{'ws' if certificate is None else 'wss'}://{place}"

    def _run(self):
        with asyncio.Runner(loop_factory=loops.choose(None)[1]) as runner:
            runner.run(self._serve())

    async def _serve(self):
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        async with serve(
            host="127.0.0.1",
            port=0,
            ssl=self._context,
            origins=None,
            observer=self,
            select_subprotocol=self.select_subprotocol,
            process_request=self.process_request,
            on_request=self.on_request,
            max_size=2**24,
            write_limit=2**24,
            ssl_shutdown_timeout=None if self._context is None else 0.5,
            **self.interface(),
            **{"close_timeout": 3, **self._options},
        ) as server:
            self.port = server.sockets[0].getsockname()[1]
            self._started.set()
            await self._over.wait()

    async def on_request(self, request):
        if request.path == "/blank":
            self.pages.append(request.wire)
            return Response(200, BLANK, b"<!doctype html><title>blank</title>")
        return await Paths.on_request(self, request)

    def websocket_opened(self, ws):
        self._open[ws] = seen = Seen(ws, len(self._open) + 1)
        self.websockets.append(seen)

    def websocket_closed(self, ws):
        self._open.pop(ws).end(ws)

    def take(self, count, seconds=40):
        """Wait until so many WebSockets came and went; return what was seen of them, and forget it."""
        due = time.monotonic() + seconds
        while len(self.websockets) < count or any(each.closed is None for each in self.websockets):
            assert time.monotonic() < due, (len(self.websockets), len(self._open))
            time.sleep(0.005)
        assert len(self.websockets) == count
        taken, self.websockets = self.websockets, []
        return taken

    def stop(self, seconds):
        """End within so many seconds; 0: begin to, which open connections may keep up for a while."""
        if not self._stopped:
            self._stopped = True
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(seconds)
        assert not seconds or not self._thread.is_alive(), "the server did not end"

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.stop(20)
