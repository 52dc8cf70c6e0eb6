"""Servers that run an ASGI application in the loop of the test, and a client made of frames."""

import asyncio
import contextlib
import socket

from h2ws_fast.asgi import serve
from tests.support import frames as f
from tests.support.raw import RawClient

__all__ = ["Answer", "Client", "KINDS", "Place"]

KINDS = ("standalone", "uvicorn", "hypercorn")


class Answer:
    """A whole response. `end` is END_STREAM, or the code of the RST_STREAM that ended it."""

    def __init__(self, heads, body, trailers, end):
        self.heads = heads
        self.body = body
        self.trailers = trailers
        self.end = end

    @property
    def head(self):
        return self.heads[-1]

    @property
    def status(self):
        return int(self.head.get(":status"))

    def get(self, name):
        return self.head.get(name)


class Client(RawClient):
    """A client of requests: what comes on its streams is sorted."""

    def ask(
        self,
        path="/",
        *extra,
        method="GET",
        body=None,
        stream_id=1,
        authority="example.org",
        scheme="http",
    ):
        """Send a request; `body` None ends it at once, otherwise it is left open behind `body`."""
        fields = [(":method", method), (":scheme", scheme), (":path", path), *extra]
        if authority is not None:
            fields.insert(2, (":authority", authority))
        self.headers(stream_id, fields, end_stream=body is None)
        if body:
            self.send(f.data(stream_id, body))

    async def answer(self, stream_id=1, *, credit=True):
        """Read to the end of a response; frames of other streams are passed over."""
        heads, body, trailers = [], b"", None
        while True:
            frame = await self.frame()
            assert frame is not None, "the connection ended"
            if frame.kind == f.PING and not frame.ack:
                self.send(f.ping(frame.payload, ack=True))
            # The first GOAWAY of a graceful shutdown leaves every stream to its end.
            assert frame.kind != f.GOAWAY or frame.last_stream_id >= stream_id, frame
            if frame.stream_id != stream_id:
                continue
            if frame.kind == f.HEADERS:
                if heads and int(heads[-1].get(":status")) >= 200:
                    trailers = frame.fields
                else:
                    heads.append(frame)
            elif frame.kind == f.DATA:
                body += frame.content
                if credit and frame.payload:
                    for each in (0, stream_id):
                        self.send(f.window_update(each, len(frame.payload)))
            elif frame.kind == f.RST_STREAM:
                return Answer(heads, body, trailers, frame.error_code)
            if frame.end_stream:
                return Answer(heads, body, trailers, f.END_STREAM)

    async def get(self, path="/", *extra, stream_id=1, **options):
        self.ask(path, *extra, stream_id=stream_id, **options)
        return await self.answer(stream_id)


class Place:
    """One kind of server. `serve(app)` runs it; the names of its options are those of `serve`."""

    def __init__(self, kind, certificate=None):
        self.kind = kind
        self.certificate = certificate

    @contextlib.asynccontextmanager
    async def serve(self, app, **options):
        run = getattr(self, "_" + self.kind)
        async with run(app, **options) as server:
            yield server

    async def client(self, *pairs, greet=True, **options):
        return await Client.connect(self.port, *pairs, greet=greet, **options)

    @contextlib.asynccontextmanager
    async def _standalone(self, app, **options):
        if self.certificate:
            from h2ws_fast.aio import tls

            options["ssl"] = tls.server_context(*self.certificate)
        options.setdefault("close_timeout", 2)
        async with serve(app, "127.0.0.1", 0, **options) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield server

    @contextlib.asynccontextmanager
    async def _uvicorn(self, app, **options):
        server = make_uvicorn(app, self.certificate, **options)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
            async with started(server, listener):
                yield server

    @contextlib.asynccontextmanager
    async def _hypercorn(self, app, *, root_path="", access_log=False, **options):
        import hypercorn.asyncio
        from hypercorn.config import Config, Sockets

        assert not options, f"hypercorn has no {options}"
        config = Config()
        config.root_path = root_path
        config.graceful_timeout = 0.2
        config.shutdown_timeout = 1
        config.errorlog = config.accesslog = None
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        config.create_sockets = lambda: Sockets([], [listener], [])
        end = asyncio.Event()
        task = asyncio.ensure_future(
            hypercorn.asyncio.serve(app, config, shutdown_trigger=end.wait)
        )
        try:
            yield None
        finally:
            end.set()
            with contextlib.suppress(BaseException):
                await task


UVICORN_NAMES = {
    "max_size": "ws_max_size",
    "ping_interval": "ws_ping_interval",
    "ping_timeout": "ws_ping_timeout",
    "idle_timeout": "timeout_keep_alive",
}


def make_uvicorn(app, certificate=None, *, websockets=True, headers=(), **options):
    """A uvicorn server with our class that has not started; `websockets` and others as `serve`."""
    import uvicorn

    from h2ws_fast.asgi.uvicorn import Protocol

    named = {UVICORN_NAMES.get(name, name): value for name, value in options.items()}
    if certificate:
        named["ssl_certfile"], named["ssl_keyfile"] = (str(each) for each in certificate)
        named["ssl_ciphers"] = "ECDHE+AESGCM"
    if not websockets:
        named["ws"] = "none"
    named.setdefault("access_log", False)
    named.setdefault("http", Protocol)
    config = uvicorn.Config(app, log_config=None, headers=list(headers), **named)
    return uvicorn.Server(config)


@contextlib.asynccontextmanager
async def started(server, listener):
    """Run a uvicorn server on a socket, without its signals and its clock."""
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[listener])
    await server.on_tick(0)
    try:
        yield server
    finally:
        server.config.timeout_graceful_shutdown = 5
        await server.shutdown(sockets=[listener])
