"""Requests and responses, at the octets."""

import asyncio

import pytest

from h2ws_fast.engine import Limits, Settings
from tests.support import frames as f

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def answering(status=200, headers=(), body=b"ok", **more):
    """An application that answers so, and reads nothing."""

    async def app(scope, receive, send):
        await send(
            {"type": "http.response.start", "status": status, "headers": list(headers), **more}
        )
        await send({"type": "http.response.body", "body": body})

    return only_http(app)


def only_http(app):
    async def wrapped(scope, receive, send):
        assert scope["type"] == "http", scope["type"]
        await app(scope, receive, send)

    return wrapped


async def start(send, status=200, *headers, **more):
    await send({"type": "http.response.start", "status": status, "headers": headers, **more})


async def body(send, data=b"", more=False):
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def test_a_request_is_answered(place):
    app = answering(201, [(b"content-type", b"text/plain"), (b"content-length", b"2")])
    async with place.serve(app):
        client = await place.client()
        answer = await client.get("/")
        client.close()
    assert (answer.status, answer.body, answer.end) == (201, b"ok", f.END_STREAM)
    assert answer.get("content-type") == "text/plain"
    assert answer.get("date")


async def test_many_at_once_on_one_connection(place):
    app = answering()
    async with place.serve(app):
        client = await place.client()
        for n in range(50):
            client.ask(stream_id=2 * n + 1)
        ended = set()
        while len(ended) < 50:
            frame = await client.frame()
            if frame.end_stream:
                ended.add(frame.stream_id)
        client.close()


async def test_a_body_is_streamed_both_ways(place):
    async def app(scope, receive, send):
        await start(send)
        more = True
        while more:
            message = await receive()
            assert message["type"] == "http.request"
            more = message["more_body"]
            await body(send, message["body"], more)

    async with place.serve(only_http(app)):
        client = await place.client()
        client.ask(method="POST", body=b"first")
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "200"
        octets = b""
        while octets != b"first":
            octets += (await client.expect(f.DATA, 1)).content
        client.send(f.data(1, b"second", end_stream=True))
        answer = await client.answer()
        assert answer.body == b"second"
        client.close()


async def test_a_request_without_body_is_one_message(place):
    seen = []

    async def app(scope, receive, send):
        seen.append(await receive())
        await start(send)
        await body(send)

    async with place.serve(only_http(app)):
        client = await place.client()
        await client.get()
        client.close()
    assert seen == [{"type": "http.request", "body": b"", "more_body": False}]


@pytest.mark.differs("it returns credit as octets arrive, taken or not")
async def test_what_the_application_does_not_take_waits_with_the_client(place):
    go = asyncio.Event()
    taken = []

    async def app(scope, receive, send):
        if scope["path"] == "/other":
            await start(send)
            await body(send)
            return
        await go.wait()
        more = True
        while more:
            message = await receive()
            taken.append(len(message["body"]))
            more = message["more_body"]
        await start(send)
        await body(send)

    async with place.serve(only_http(app)):
        client = await place.client()
        window = dict(client.frames[0].settings)[f.INITIAL_WINDOW_SIZE]
        client.ask(method="POST", body=b"")
        sent = 0
        while sent < window:
            piece = min(16384, window - sent)
            client.send(f.data(1, bytes(piece)))
            sent += piece
        # Another stream goes on meanwhile: only this one has no window left.
        answer = await client.get("/other", stream_id=3)
        assert answer.status == 200
        client.send(f.ping(b"abcdefgh"))
        await client.expect(f.PING, skip=(f.WINDOW_UPDATE, f.SETTINGS))
        updates = [each for each in client.frames if each.kind == f.WINDOW_UPDATE]
        assert not [each for each in updates if each.stream_id == 1]
        go.set()
        while True:
            frame = await client.frame()
            if frame.kind == f.WINDOW_UPDATE and frame.stream_id == 1:
                break
        client.send(f.data(1, b"", end_stream=True))
        assert (await client.answer()).status == 200
        client.close()
    assert sum(taken) == window


@pytest.mark.differs("a send that waits is not told of a reset")
async def test_send_waits_for_the_client(place):
    sent = []
    ended = []

    async def app(scope, receive, send):
        await start(send)
        try:
            for n in range(64):
                await body(send, bytes(65536), True)
                sent.append(n)
        except OSError as error:
            ended.append(error)

    async with place.serve(only_http(app)):
        client = await place.client((f.INITIAL_WINDOW_SIZE, 100))
        client.ask()
        await client.expect(f.HEADERS, 1)
        await client.expect(f.DATA, 1)
        await asyncio.sleep(0.1)
        waited = len(sent)
        assert waited < 8
        client.send(f.window_update(1, 200000), f.window_update(0, 200000))
        while len(sent) <= waited:
            await client.frame()
        client.send(f.rst_stream(1))
        async with asyncio.timeout(5):
            while not ended:
                await asyncio.sleep(0.01)
        client.close()
    assert isinstance(ended[0], OSError)


@pytest.mark.parametrize("how", ["reset", "lost"])
async def test_who_goes_away_is_disconnected(place, how):
    seen = []
    over = asyncio.Event()

    async def app(scope, receive, send):
        await receive()
        seen.append(await receive())
        over.set()

    async with place.serve(only_http(app)):
        client = await place.client()
        client.ask()
        await asyncio.sleep(0.05)
        if how == "reset":
            client.send(f.rst_stream(1))
        else:
            client.writer.transport.abort()
        await asyncio.wait_for(over.wait(), 5)
        client.close()
    assert seen == [{"type": "http.disconnect"}]


@pytest.mark.parametrize("what", ["takes nothing", "brings nothing"])
async def test_who_is_given_up_is_disconnected(alone, what):
    seen = []
    over = asyncio.Event()

    async def app(scope, receive, send):
        if what == "takes nothing":
            await start(send)
            with pytest.raises(OSError):
                while True:
                    await body(send, bytes(65536), True)
        seen.append(await receive())
        over.set()

    limits = Limits(write_timeout_s=0.3, body_timeout_s=0.3)
    async with alone.serve(only_http(app), lifespan="off", limits=limits):
        client = await alone.client((f.INITIAL_WINDOW_SIZE, 100))
        client.ask(method="POST", body=b"")
        await client.expect(f.RST_STREAM, 1, skip=(f.HEADERS, f.DATA, f.WINDOW_UPDATE, f.SETTINGS))
        await asyncio.wait_for(over.wait(), 5)
        client.close()
    assert seen == [{"type": "http.disconnect"}]


@pytest.mark.differs("it ignores what is sent then")
async def test_send_after_a_disconnect_raises_oserror(place, errors):
    raised = []
    over = asyncio.Event()

    async def app(scope, receive, send):
        await receive()
        await receive()
        try:
            await start(send)
        except OSError as error:
            raised.append(error)
            over.set()
            raise RuntimeError("out of the framework") from error

    async with place.serve(only_http(app)):
        client = await place.client()
        client.ask()
        await asyncio.sleep(0.05)
        client.send(f.rst_stream(1))
        await asyncio.wait_for(over.wait(), 5)
        client.close()
    assert isinstance(raised[0], OSError)
    assert errors() == []  # clients go away every day


async def test_receive_after_the_response_is_a_disconnect(place):
    seen = []
    over = asyncio.Event()

    async def app(scope, receive, send):
        await receive()
        await start(send)
        await body(send)
        seen.append(await receive())
        over.set()

    async with place.serve(only_http(app)):
        client = await place.client()
        await client.get()
        await asyncio.wait_for(over.wait(), 5)
        client.close()
    assert seen == [{"type": "http.disconnect"}]


async def test_two_tasks_may_wait_for_the_end(place):
    if place.kind == "hypercorn":
        pytest.skip("its queue gives the event to one of them")
    seen = []

    async def app(scope, receive, send):
        await receive()
        seen.extend(await asyncio.gather(receive(), receive()))

    async with place.serve(only_http(app)):
        client = await place.client()
        client.ask()
        await asyncio.sleep(0.05)
        client.send(f.rst_stream(1))
        async with asyncio.timeout(5):
            while len(seen) < 2:
                await asyncio.sleep(0.01)
        client.close()
    assert seen == [{"type": "http.disconnect"}] * 2


@pytest.mark.parametrize(
    "status, method",
    [
        (200, "HEAD"),
        pytest.param(204, "GET", marks=pytest.mark.differs("it sends the length of a 204")),
        pytest.param(204, "HEAD", marks=pytest.mark.differs("it sends the length of a 204")),
        (304, "GET"),
        (304, "HEAD"),
    ],
)
async def test_responses_without_content(place, status, method):
    app = answering(status, [(b"content-length", b"2")])
    async with place.serve(app):
        client = await place.client()
        answer = await client.get(method=method)
        assert (answer.status, answer.body, answer.end) == (status, b"", f.END_STREAM)
        assert answer.get("content-length") == (None if status == 204 else "2")
        assert (await client.get(stream_id=3, method=method)).status == status
        client.close()


@pytest.mark.differs("it sends no 100")
async def test_continue_is_sent_when_the_application_wants_the_body(place):
    async def app(scope, receive, send):
        if scope["path"] == "/read":
            assert (await receive())["body"] == b"now"
        await start(send)
        await body(send)

    async with place.serve(only_http(app)):
        client = await place.client()
        client.ask("/read", ("expect", "100-continue"), method="POST", body=b"")
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "100"
        client.send(f.data(1, b"now", end_stream=True))
        assert (await client.answer()).status == 200
        client.ask("/", ("expect", "100-continue"), method="POST", body=b"", stream_id=3)
        answer = await client.answer(3)
        assert [head.get(":status") for head in answer.heads] == ["200"]
        client.close()


@pytest.mark.differs("h2 refuses the fields, and the response fails")
async def test_fields_that_http2_has_not_are_left_out(place):
    headers = [
        (b"Connection", b"keep-alive"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Upgrade", b"h2c"),
        (b"Proxy-Connection", b"close"),
        (b"TE", b"gzip"),
        (b"X-Kept", b" yes "),
        (b"Set-Cookie", b"a=1"),
        (b"Set-Cookie", b"b=2"),
    ]
    async with place.serve(answering(headers=headers)):
        client = await place.client()
        answer = await client.get()
        client.close()
    names = [name for name, _ in answer.head.fields]
    assert not {b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te"} & set(names)
    assert b"proxy-connection" not in names
    assert answer.get("x-kept") == "yes"
    assert names.count(b"set-cookie") == 2


@pytest.mark.differs("it does not count")
@pytest.mark.parametrize("data", [b"longer", b"s"])
async def test_content_that_is_not_as_long_as_promised(place, data, errors):
    async with place.serve(answering(headers=[(b"content-length", b"2")], body=data)):
        client = await place.client()
        answer = await client.get()
        client.close()
    assert (answer.status, answer.body, answer.end) == (200, b"", f.INTERNAL_ERROR)
    assert any("Content-Length" in each for each in errors())


async def test_an_exception_is_500_and_harms_nobody(place, errors):
    async def app(scope, receive, send):
        if scope["path"] == "/fails":
            raise LookupError("a bug")
        await start(send)
        await body(send)

    async with place.serve(only_http(app)):
        client = await place.client()
        assert (await client.get("/fails")).status == 500
        assert (await client.get("/", stream_id=3)).status == 200
        client.close()
    if place.kind != "hypercorn":  # it logs to a logger of its own
        assert any("a bug" in each for each in errors())


@pytest.mark.differs("it ends the stream as if all had come")
async def test_an_exception_in_a_response_resets_it(place, errors):
    async def app(scope, receive, send):
        await start(send)
        await body(send, b"half", True)
        raise LookupError("a bug")

    async with place.serve(only_http(app)):
        client = await place.client()
        answer = await client.get()
        assert answer.end == f.INTERNAL_ERROR
        client.close()
    assert any("a bug" in each for each in errors())


async def test_no_response_is_500(place, errors):
    async def app(scope, receive, send):
        pass

    async with place.serve(only_http(app)):
        client = await place.client()
        assert (await client.get()).status == 500
        client.close()
    if place.kind != "hypercorn":
        assert any("without starting response" in each for each in errors())


@pytest.mark.differs("it ends the stream as if all had come")
async def test_half_a_response_is_reset(place, errors):
    async def app(scope, receive, send):
        await start(send)

    async with place.serve(only_http(app)):
        client = await place.client()
        assert (await client.get()).end == f.INTERNAL_ERROR
        client.close()
    assert any("without completing response" in each for each in errors())


async def test_an_application_that_is_no_coroutine_function(place, errors):
    if place.kind == "hypercorn":
        pytest.skip("it takes it for WSGI")

    class App:
        def __call__(self, scope, receive, send):
            if scope["type"] == "lifespan":
                raise RuntimeError("none")
            if scope["path"] == "/fails":
                raise LookupError("a bug")
            return self.answer(send)

        async def answer(self, send):
            await start(send)
            await body(send, b"ok")

    async with place.serve(App(), **({"interface": "asgi3"} if place.kind == "uvicorn" else {})):
        client = await place.client()
        assert (await client.get()).body == b"ok"
        assert (await client.get("/fails", stream_id=3)).status == 500
        client.close()
    assert any("a bug" in each for each in errors())


@pytest.mark.differs("it says nothing")
async def test_messages_out_of_order_raise(place):
    raised = []

    async def app(scope, receive, send):
        async def wrong(message):
            with pytest.raises(RuntimeError) as caught:
                await send(message)
            raised.append(str(caught.value))

        await wrong({"type": "http.response.body", "body": b""})
        await start(send)
        await wrong({"type": "http.response.start", "status": 200})
        await wrong({"type": "http.response.trailers", "headers": []})
        await body(send)
        await wrong({"type": "http.response.body", "body": b""})

    async with place.serve(only_http(app)):
        client = await place.client()
        assert (await client.get()).status == 200
        client.close()
    assert len(raised) == 4


async def test_a_large_body_at_once(place):
    data = bytes(range(256)) * 8192
    async with place.serve(answering(body=data)):
        client = await place.client()
        client.ask()
        answer = await client.answer()
        client.close()
    assert answer.body == data


@pytest.mark.differs("it leaves the rest of the request without credit")
async def test_a_response_before_its_request_is_whole(place):
    async with place.serve(answering()):
        client = await place.client()
        window = dict(client.frames[0].settings)[f.INITIAL_WINDOW_SIZE]
        client.ask(method="POST", body=b"begun")
        assert (await client.answer()).status == 200
        rest = window - 5
        while rest:
            piece = min(rest, 16384)
            client.send(f.data(1, bytes(piece)))
            rest -= piece
        client.send(f.data(1, b"", end_stream=True))
        assert (await client.get(stream_id=3)).status == 200
        client.close()


async def test_a_classic_connect_is_not_implemented(place):
    if place.kind == "hypercorn":
        pytest.skip("it ends the connection")
    async with place.serve(answering()):
        client = await place.client()
        client.headers(1, [(":method", "CONNECT"), (":authority", "a:1")])
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "501"
        client.close()


async def test_streams_that_are_reset_count_until_their_work_ends(alone):
    go = asyncio.Event()
    begun = []

    async def app(scope, receive, send):
        begun.append(scope["path"])
        await go.wait()
        await start(send)
        await body(send)

    settings = Settings(max_concurrent_streams=3)
    async with alone.serve(only_http(app), settings=settings):
        client = await alone.client()
        for n in range(10):
            client.ask(f"/{n}", stream_id=2 * n + 1)
            await asyncio.sleep(0.01)  # those reset in one read with their request never begin
            if n < 9:
                client.send(f.rst_stream(2 * n + 1))
            await asyncio.sleep(0.01)
        # CVE-2023-44487: the tenth may be tried again.
        while (frame := await client.expect(f.RST_STREAM)).stream_id != 19:
            pass
        go.set()
        assert frame.error_code == f.REFUSED_STREAM
        assert begun == ["/0", "/1", "/2"]
        await asyncio.sleep(0.05)
        assert (await client.get("/last", stream_id=21)).status == 200
        client.close()
