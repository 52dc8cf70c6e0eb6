"""The WebSocket clients of aiohttp and niquests against a server that is asked."""

import asyncio
import contextlib
import json
import random
import warnings
from functools import partial

import pytest

from tests.interop.demands import TEXT, VERSIONS
from tests.support.certificates import write_certificate
from tests.support.programs import module
from tests.support.within import within
from tests.support.witness import Witness

RANDOM = random.Random(6455).randbytes(1 << 20)
run = partial(within, 60)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=["callback", "await"])
def witness(request, certificate):
    with Witness(certificate, api=request.param) as witness:
        yield witness


@pytest.fixture(scope="module")
def plain(certificate):
    with Witness(certificate, compression=None) as witness:
        yield witness


# -- aiohttp --------------------------------------------------------------------------------------


def aiohttp_session():
    module("aiohttp")
    import aiohttp

    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False, limit=0))


def test_messages_of_aiohttp(witness):
    messages = ["", "naïve ☃ 🎉", b"", "é" * (1 << 19), RANDOM]

    async def talk():
        async with (
            aiohttp_session() as session,
            session.ws_connect(
                f"{witness.uri}/headers", protocols=["first", "second"], compress=15
            ) as ws,
        ):
            headers = json.loads(await ws.receive_str())
            assert headers[":method"] == "GET" and headers["upgrade"] == "websocket"
            assert ws.protocol == "first" and ws.compress == 15
            for message in messages:
                if isinstance(message, str):
                    await ws.send_str(message)
                    assert await ws.receive_str() == message
                else:
                    await ws.send_bytes(message)
                    assert await ws.receive_bytes() == message
            await ws.close(code=4321, message="naïve ☃".encode())
            assert ws.close_code == 4321

    run(talk())
    (seen,) = witness.take(1)
    assert (seen.http, seen.subprotocol, seen.closed) == ("1.1", "first", (4321, "naïve ☃"))


@pytest.mark.parametrize("compressed", [True, False])
def test_compression_of_aiohttp(witness, plain, compressed):
    server = witness if compressed else plain

    async def talk():
        async with (
            aiohttp_session() as session,
            session.ws_connect(server.uri, compress=15) as ws,
        ):
            assert bool(ws.compress) == compressed
            await ws.send_str(TEXT)
            assert await ws.receive_str() == TEXT

    run(talk())
    (seen,) = server.take(1)
    assert (seen.compression is not None) == compressed
    for octets in (seen.received, seen.sent):
        assert (1000 < octets < len(TEXT) / 4) if compressed else octets > len(TEXT)


def test_closes_and_refusals_of_aiohttp(witness):
    module("aiohttp")
    import aiohttp

    async def talk():
        async with aiohttp_session() as session:
            for code, reason in ((1000, ""), (1001, "away"), (1011, ""), (4999, "naïve")):
                path = f"{witness.uri}/close?code={code}&reason={reason}"
                async with session.ws_connect(path) as ws:
                    message = await ws.receive()
                    assert message.type is aiohttp.WSMsgType.CLOSE
                    assert (message.data, message.extra, ws.close_code) == (code, reason, code)
            for status in (403, 503):
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    await session.ws_connect(f"{witness.uri}/reject?status={status}&body=no")
                assert caught.value.status == status

    run(talk())
    # It answers any Close with 1000.
    assert [each.closed for each in witness.take(4)] == [(1000, "")] * 4


def test_twenty_of_aiohttp(witness):
    async def talk():
        async with aiohttp_session() as session, contextlib.AsyncExitStack() as stack:
            all_of_them = await asyncio.gather(
                *(
                    stack.enter_async_context(session.ws_connect(f"{witness.uri}/{number}"))
                    for number in range(20)
                )
            )
            for number, ws in enumerate(all_of_them):
                await ws.send_str(f"to {number}")
            for number, ws in enumerate(all_of_them):
                assert await ws.receive_str() == f"to {number}"

    run(talk())
    seen = witness.take(20)
    assert len({each.connection for each in seen}) == 20
    assert max(each.beside for each in seen) == 20
    assert {(each.http, each.closed) for each in seen} == {("1.1", (1000, ""))}


# -- niquests -------------------------------------------------------------------------------------


class Niquests:
    """A session of niquests whose WebSockets go to a Witness, "h1" or "h2"."""

    def __init__(self, http):
        module("niquests")
        import niquests

        self.http = http
        self._scheme = "wss+rfc8441" if http == "h2" else "wss"
        self._session = niquests.Session(pool_maxsize=32)
        self._session.trust_env = False
        self._session.verify = False

    def get(self, witness, path, **headers):
        place = witness.uri.partition("://")[2]
        return self._session.get(f"{self._scheme}://{place}{path}", headers=headers)

    def open(self, witness, path, **headers):
        response = self.get(witness, path, **headers)
        assert response.status_code == (200 if self.http == "h2" else 101)
        return response

    def close(self):
        self._session.close()


@pytest.fixture(params=["h1", "h2"])
def session(request):
    with contextlib.closing(Niquests(request.param)) as session, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Unverified HTTPS request")
        yield session


# As it writes a code of 0 into its Close, which must not be.
NIQUESTS_CLOSES = (1002, "close code is not allowed")


def test_messages_of_niquests(witness, session):
    # Over HTTP/2 what takes more than 16 KB of the wire fails at its end.
    messages = ["naïve ☃ 🎉", RANDOM[:15000], "é" * (1 << 19), bytes(1 << 20)]
    if session.http == "h1":
        messages.append(RANDOM)
    response = session.open(witness, "/headers", **{"sec-websocket-protocol": "first, second"})
    assert response.headers["sec-websocket-protocol"] == "first"
    extension = response.extension
    headers = json.loads(extension.next_payload())
    assert headers[":method"] == ("CONNECT" if session.http == "h2" else "GET")
    for message in messages:
        extension.send_payload(message)
        assert extension.next_payload() == message
    extension.close()
    (seen,) = witness.take(1)
    assert (seen.http, seen.subprotocol) == (VERSIONS[session.http], "first")
    assert seen.closed == NIQUESTS_CLOSES


@pytest.mark.parametrize("compressed", [True, False])
def test_compression_of_niquests(witness, plain, session, compressed):
    server = witness if compressed else plain
    text = TEXT if compressed or session.http == "h1" else TEXT[:15000]
    response = session.open(server, "/")
    response.extension.send_payload(text)
    assert response.extension.next_payload() == text
    response.extension.close()
    (seen,) = server.take(1)
    assert (seen.compression is not None) == compressed
    for octets in (seen.received, seen.sent):
        assert (1000 < octets < len(text) / 4) if compressed else octets > len(text)


def test_a_close_and_refusals_of_niquests(witness, session):
    extension = session.open(witness, "/close?code=4321&reason=bye").extension
    assert extension.next_payload() is None and extension.closed
    for status in (403, 503):
        response = session.get(witness, f"/reject?status={status}&body=no")
        assert (response.status_code, response.text) == (status, "no")
        assert response.extension is None
    (seen,) = witness.take(1)
    assert seen.closed == (1006, "")  # it answers no Close


def test_twenty_of_niquests(witness, session):
    all_of_them = [session.open(witness, f"/{number}").extension for number in range(20)]
    for number, extension in enumerate(all_of_them):
        extension.send_payload(f"to {number}")
    for number, extension in enumerate(all_of_them):
        assert extension.next_payload() == f"to {number}"
    for extension in all_of_them:
        extension.close()
    seen = witness.take(20)
    assert max(each.beside for each in seen) == 20
    assert len({each.connection for each in seen}) == (1 if session.http == "h2" else 20)
    assert {each.http for each in seen} == {VERSIONS[session.http]}
