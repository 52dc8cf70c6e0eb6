"""`httpx.Client` over HTTP/2, from one thread and from several; httpx-ws in threads."""

import asyncio
import concurrent.futures
import contextlib
import gc
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time

import httpcore
import httpx
import httpx_ws
import pytest
from httpx_ws import connect_ws

from h2ws_fast.engine import Settings
from h2ws_fast.httpx import Transport
from tests.http_client.application import echo, on_request
from tests.http_client.conftest import options
from tests.support import frames as f
from tests.support.raw import RawServer

OK = [(b":status", b"200")]


@contextlib.contextmanager
def elsewhere(server):
    """Run an async context manager in an event loop of another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    try:
        entered = run(server.__aenter__())
        try:
            yield entered
        finally:
            run(server.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def served(place):
    """A server in a thread of its own, and where it is."""
    with elsewhere(place.serve(echo, on_request=on_request, max_size=None)) as server:
        place.server = server
        yield place


@pytest.fixture
def plainly(clear):
    with elsewhere(clear.serve(echo, on_request=on_request)) as server:
        clear.server = server
        yield clear


def portals():
    return [each for each in threading.enumerate() if each.name == "h2ws_fast.httpx"]


def test_request_goes_over_http2(served, blocking):
    with blocking(served) as http:
        response = http.get("/asked", params={"a": "b"})
        asked = response.json()
        assert (asked["version"], asked["path"]) == ("2", "/asked?a=b")
        assert response.http_version == "HTTP/2"
        stream = response.extensions["network_stream"]
        assert isinstance(stream, httpcore.NetworkStream)
        assert stream.get_extra_info("server_addr")[1] == served.port
        assert http.get("/redirect", follow_redirects=True).json()["path"] == "/asked?redirected"
        assert http.get("/gzip").text == "small " * 1000
        assert http.post("/asked", content=b"body").json()["body"] == "body"
        assert http.post("/size", files={"file": b"x" * 1000}).status_code == 200
        assert http.get("/trailers").extensions["trailers"]["checksum"] == "17"
        assert http.head("/asked").content == b""
        assert [thread.daemon for thread in portals()] == [True]
    assert portals() == []


def test_bodies_of_any_size(served, blocking):
    threads = set()
    sent = hashlib.sha256()

    def body():
        for number in range(60):
            threads.add(threading.get_ident())
            piece = number.to_bytes(2, "big") * 50_000
            sent.update(piece)
            yield piece

    with blocking(served) as http:
        # The server echoes what it gets, and stops reading where nobody reads what it says.
        came = hashlib.sha256()
        with http.stream("POST", "/echo", content=body()) as response:
            for piece in response.iter_bytes():
                came.update(piece)
        assert came.digest() == sent.digest()
        assert threads == {threading.get_ident()}
        octets = bytes(range(256)) * 20_000
        assert http.post("/echo", content=octets).content == octets


def test_body_that_fails_is_raised(plainly, blocking):
    def body(pieces):
        for _ in range(pieces):
            yield b"piece"
        raise KeyError("mine")

    with blocking(plainly) as http:
        for pieces in (0, 3):
            with pytest.raises(KeyError, match="mine"):
                http.post("/size", content=body(pieces))
        with pytest.raises(KeyError, match="mine"):
            http.post("/echo", content=body(1))
        assert http.get("/asked").status_code == 200
        assert plainly.server.stats()["accepted"] == 1


@pytest.mark.parametrize("piece", [None, "text", 7])
def test_piece_that_is_no_octets_is_raised(plainly, blocking, piece):
    with blocking(plainly) as http:
        for path in ("/size", "/echo"):  # before and after the answer has begun
            for pieces in ([piece], [b"first", piece], [b"first", piece, b"last"]):
                with pytest.raises(TypeError):
                    http.post(path, content=iter(pieces))
        assert http.post("/size", content=iter([b"a", b"", bytearray(b"b")])).text == "2"
        assert plainly.server.stats()["accepted"] == 1


@pytest.mark.parametrize("pieces", [[b"ab"], [b"abc", b"def"]])
def test_body_that_is_not_as_long_as_promised(plainly, blocking, pieces):
    length = {"content-length": "5"}
    with blocking(plainly) as http:
        for content in (iter(pieces), b"".join(pieces)):
            with pytest.raises(httpx.LocalProtocolError):
                http.post("/size", content=content, headers=length)
        assert http.post("/size", content=iter([b"ab", b"cde"]), headers=length).text == "5"
        assert plainly.server.stats()["accepted"] == 1


def test_wrong_piece_after_the_answer_has_begun_is_raised(plainly, blocking):
    came = threading.Event()

    def body():
        # It is asked for pieces in the thread that waits for the answer: it cannot wait for that.
        while not came.wait(0.001):
            yield b"x"
        yield None

    with blocking(plainly) as http, http.stream("POST", "/echo", content=body()) as response:
        pieces = response.iter_raw()
        came.set()
        with pytest.raises(TypeError):
            list(pieces)


def test_answer_before_the_body_has_ended(plainly, blocking):
    ended = []

    def body():
        try:
            while True:
                yield bytes(65536)
        finally:
            ended.append(True)

    with blocking(plainly) as http:
        pieces = body()
        with http.stream("POST", "/early", content=pieces) as response:
            assert response.status_code == 413
            assert next(response.iter_raw()) == b"too much"
        assert http.get("/asked").status_code == 200


def test_threads_share_a_connection(served, blocking):
    with blocking(served, timeout=30) as http:

        def work(number):
            port = set()
            for turn in range(10):
                asked = http.post("/asked", content=f"{number}.{turn}").json()
                assert asked["body"] == f"{number}.{turn}"
                port.add(asked["port"])
            return port

        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            ports = set().union(*threads.map(work, range(8)))
        assert len(ports) == 1


def test_response_that_is_closed_early_leaves_the_connection(plainly, blocking):
    with blocking(plainly) as http:
        with http.stream("GET", "/big?1000") as response:
            for _ in response.iter_raw():
                break
        assert http.get("/asked").status_code == 200
        assert plainly.server.stats()["accepted"] == 1


@pytest.mark.parametrize("path", ["/never", "/stops"])
def test_read_timeout(plainly, blocking, path):
    with blocking(plainly) as http:
        with pytest.raises(httpx.ReadTimeout) as caught:
            http.get(path, timeout=httpx.Timeout(5, read=0.2))
        assert caught.value.request.url.path == path
        assert http.get("/asked").status_code == 200
        assert plainly.server.stats()["accepted"] == 1


def test_write_timeout_and_errors(blocking, raw):
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        await peer.expect(f.RST_STREAM, 1, skip=(f.DATA, f.SETTINGS, f.WINDOW_UPDATE))
        await peer.expect(f.HEADERS, 3)
        peer.send(f.rst_stream(3, f.INTERNAL_ERROR))
        await peer.expect(f.HEADERS, 5, skip=(f.DATA, f.SETTINGS, f.WINDOW_UPDATE))
        peer.send(f.rst_stream(5, f.INTERNAL_ERROR))
        await peer.until_eof()

    def body():
        while True:
            yield bytes(50_000)

    with elsewhere(RawServer(script, (f.INITIAL_WINDOW_SIZE, 100))) as server:
        with blocking(raw(server)) as http:
            with pytest.raises(httpx.WriteTimeout):
                http.post("/", content=body(), timeout=httpx.Timeout(5, write=0.2))
            with pytest.raises(httpx.RemoteProtocolError) as caught:
                http.post("/one", content=body())
            assert caught.value.request.url.path == "/one"
            with pytest.raises(httpx.RemoteProtocolError):
                http.get("/")


def test_server_of_http1_is_left_to_httpx(server_tls, client_tls, blocking, place):
    if not place.secure:
        return
    with elsewhere(place.serve(echo, on_request=on_request, http=("h1",))):
        with blocking(place) as http:
            with concurrent.futures.ThreadPoolExecutor(4) as threads:
                responses = list(threads.map(lambda _: http.get("/asked"), range(8)))
            assert {each.json()["version"] for each in responses} == {"1.1"}
            with connect_ws("/", http) as ws:
                ws.send_text("hello")
                assert ws.receive_text(timeout=5) == "hello"
                assert ws.response.http_version == "HTTP/1.1"


def test_server_that_asks_for_http1_is_remembered(blocking, raw):
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.send(f.rst_stream(1, f.HTTP_1_1_REQUIRED))
        await peer.until_eof()

    class First(RawServer):
        """Speaks HTTP/2 on the first connection only."""

        met = False

        async def _connected(self, reader, writer):
            if not self.met:
                self.met = True
                return await super()._connected(reader, writer)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
            await reader.read()
            writer.close()

    with elsewhere(First(script)) as server, blocking(raw(server)) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            http.post("/", content=iter([b"its pieces are gone"]))
        for content in (iter([b"a"]), b"a"):
            response = http.post("/", content=content)
            assert (response.http_version, response.text) == ("HTTP/1.1", "ok")


def test_websocket(served, blocking):
    with blocking(served) as http:
        with connect_ws("/chat", http) as ws:
            ws.send_text("Hello!")
            assert ws.receive_text(timeout=5) == "Hello!"
            ws.send_bytes(bytes(300_000))
            assert ws.receive_bytes(timeout=5) == bytes(300_000)
            assert ws.ping().wait(5)
            assert (ws.response.status_code, ws.response.http_version) == (101, "HTTP/2")
            assert http.get("/asked").status_code == 200
        with connect_ws("/", http) as ws:
            ws.send_text("close enough")
            with pytest.raises(httpx_ws.WebSocketDisconnect) as caught:
                ws.receive_text(timeout=5)
            assert (caught.value.code, caught.value.reason) == (4000, "enough")
        assert served.server.stats()["accepted"] == 1


def test_websocket_without_extended_connect(clear, blocking):
    settings = Settings(enable_connect_protocol=False)
    with elsewhere(clear.serve(echo, settings=settings)), blocking(clear) as http:
        with connect_ws("/", http) as ws:
            ws.send_text("hello")
            assert ws.receive_text(timeout=5) == "hello"
            assert ws.response.http_version == "HTTP/1.1"


def test_closing_ends_a_read_in_another_thread(plainly, blocking):
    fields = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
    }
    with blocking(plainly) as http, http.stream("GET", "/", headers=fields) as response:
        stream = response.extensions["network_stream"]
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            reading = threads.submit(stream.read, 100)
            time.sleep(0.1)
            assert not reading.done()
            stream.close()
            with pytest.raises(httpcore.ReadError):
                reading.result(5)
        with pytest.raises(httpcore.WriteError):
            stream.write(b"x")
        with pytest.raises(httpcore.ConnectError):
            stream.start_tls(None)


@pytest.mark.filterwarnings("error")
def test_closing_ends_requests_of_other_threads(plainly, blocking, caplog):
    fields = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
    }
    closed = threading.Event()
    asleep = threading.Barrier(3, timeout=5)

    def slow():
        yield b"first"
        asleep.wait()
        assert closed.wait(5)
        yield b"behind the end"

    def endless():
        while True:
            yield bytes(65536)

    def stops(http):
        with http.stream("GET", "/stops") as response:
            assert len(list(response.iter_raw())) > 1

    def tunnel(http, act):
        with http.stream("GET", "/", headers=fields) as response:
            stream = response.extensions["network_stream"]
            try:
                act(stream)
            finally:
                stream.close()

    def late(stream):
        asleep.wait()
        assert closed.wait(5)
        stream.write(b"x")

    works = [
        (httpx.TransportError, lambda http: http.get("/never")),
        (httpx.TransportError, lambda http: http.post("/never", content=endless())),
        (httpx.TransportError, lambda http: http.post("/size", content=slow())),
        (httpx.TransportError, stops),
        (httpx.ConnectError, lambda http: http.get("http://127.0.0.1:2/")),  # waits for room
        (httpcore.ReadError, lambda http: tunnel(http, lambda stream: stream.read(100))),
        (httpcore.WriteError, lambda http: tunnel(http, late)),
    ]
    limits = httpx.Limits(max_connections=1)
    with concurrent.futures.ThreadPoolExecutor(len(works)) as threads:
        with blocking(plainly, timeout=30, limits=limits) as http:
            assert http.get("/asked").status_code == 200
            running = [threads.submit(works[0][1], http)]
            time.sleep(0.1)
            running += [threads.submit(work, http) for _, work in works[1:]]
            asleep.wait()
            time.sleep(0.2)
            assert not any(each.done() for each in running)
        closed.set()
        for (error, _), each in zip(works, running, strict=True):
            assert isinstance(each.exception(5), error)
    gc.collect()
    assert portals() == []
    assert [each.getMessage() for each in caplog.records if each.name == "asyncio"] == []


def test_requests_while_the_transport_is_closed(plainly):
    ended = threading.Event()
    transport = Transport(prior_knowledge=True)

    def work():
        answered = 0
        while not ended.is_set():
            try:
                request = httpx.Request("POST", f"{plainly.http}/size", content=iter([b"a", b"b"]))
                response = transport.handle_request(request)
                assert response.read() == b"2"
                answered += 1
            except httpx.TransportError:
                continue
        return answered

    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        works = [threads.submit(work) for _ in range(3)]
        for _ in range(20):
            time.sleep(0.02)
            transport.close()
        time.sleep(0.1)
        ended.set()
        assert all(each.result(5) for each in works)
    transport.close()
    assert portals() == []
    deadline = time.monotonic() + 5
    while plainly.server.stats()["connections"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_transport_that_is_closed_can_be_used_again(plainly):
    transport = Transport(prior_knowledge=True)
    transport.close()
    for _ in range(2):
        response = transport.handle_request(httpx.Request("GET", f"{plainly.http}/asked"))
        assert response.read()
        transport.close()
        response.close()
    assert portals() == []


@pytest.mark.filterwarnings("error")  # a ResourceWarning is none that anybody catches
@pytest.mark.parametrize("path", ["/asked", "/stops"])
def test_transport_that_is_forgotten_ends_its_thread(served, path):
    transport = Transport(**options(served, {}))
    response = transport.handle_request(httpx.Request("GET", f"{served.http}{path}"))
    pieces = iter(response.stream)
    assert next(pieces)
    assert len(portals()) == 1
    del transport, response, pieces
    gc.collect()
    assert portals() == []
    deadline = time.monotonic() + 5
    while served.server.stats()["connections"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("end", ["the program", "its own thread"])
def test_transport_that_is_never_closed_says_nothing(plainly, end):
    program = f"""
import gc, httpx, logging
from h2ws_fast.httpx import Transport
logging.getLogger("h2ws_fast").setLevel(logging.ERROR)  # the pure twin says that it is one
client = httpx.Client(transport=Transport(prior_knowledge=True))
assert client.get("{plainly.http}/asked").http_version == "HTTP/2"
if {end!r} == "its own thread":
    portal = client._transport._portal
    thread, call = portal._thread, portal._loop.call_soon_threadsafe
    del portal, client
    call(gc.collect)
    thread.join(5)
    assert not thread.is_alive()
"""
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")
def test_interrupt_cancels_the_request(plainly, blocking):
    class Interrupted(Exception):
        pass

    def interrupt(*_):
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with blocking(plainly, timeout=None) as http:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(Interrupted):
                http.get("/never")
            assert http.get("/asked").status_code == 200
            assert plainly.server.stats()["accepted"] == 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_process_has_connections_of_its_own(plainly, blocking):
    with blocking(plainly) as http:
        assert http.get("/asked").status_code == 200
        child = os.fork()
        if not child:
            code = 1
            try:
                code = 0 if http.get("/asked").status_code == 200 else 2
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert http.get("/asked").status_code == 200
        assert plainly.server.stats()["accepted"] == 2
