"""Node's http2 module on the other side, as client and as server."""

import asyncio
import json
import subprocess
from functools import partial
from pathlib import Path

import pytest

from h2ws_fast import (
    ConnectionClosed,
    ExtendedConnectUnsupported,
    InvalidStatus,
    Session,
    connect,
)
from h2ws_fast.aio import tls
from tests.support.certificates import write_certificate
from tests.support.programs import program, read_line, running
from tests.support.within import within

HERE = Path(__file__).parent
run = partial(within, 30)


# -- Node as the client ---------------------------------------------------------------------------


def node(echo, path, messages, code):
    done = subprocess.run(
        [
            program("node", "nodejs"),
            str(HERE / "node_client.js"),
            echo.url,
            path,
            json.dumps(messages),
            str(code),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_node_is_echoed_and_closes(echo):
    messages = ["one", "naïve ☃", "", "x" * 100_000]
    seen = node(echo, "/", messages, 3456)
    assert seen["enableConnectProtocol"] is True
    assert (seen["status"], seen["protocol"]) == (200, "first")
    assert seen["messages"] == ["one", "naïve ☃", "", 100_000]
    assert seen["masked"] is False
    assert seen["close"][0] == 3456
    # Our Close, then END_STREAM; no RST_STREAM; the connection goes on.
    assert seen["events"][-2:] == ["close", "end"]
    assert seen["rstCode"] == 0 and "streamError" not in seen
    assert seen["body"] == 100_000


def test_node_is_closed_by_the_server(echo):
    seen = node(echo, "/close?code=4321&reason=bye&after=0.1", ["before"], 0)
    assert seen["messages"] == ["before"]
    assert seen["close"] == [4321, "bye"]
    assert seen["events"][-2:] == ["close", "end"]
    assert seen["rstCode"] == 0 and "streamError" not in seen
    assert seen["body"] == 100_000


# -- Node as the server ---------------------------------------------------------------------------


class Server:
    """Where Node serves."""

    def __init__(self, port, context):
        self.ssl = context
        self.url = f"{'http' if context is None else 'https'}://127.0.0.1:{port}"

    def session(self):
        return Session(self.url, ssl=self.ssl)


@pytest.fixture(scope="module", params=["tls", "cleartext"])
def serve_node(request, tmp_path_factory):
    def start(enabled="1"):
        cert = key = "-"
        context = None
        if request.param == "tls":
            cert, key = write_certificate(tmp_path_factory.mktemp("node"))
            context = tls.client_context(cafile=cert)
        arguments = [program("node", "nodejs"), HERE / "node_server.js", cert, key, enabled]
        process = stack(
            running([str(each) for each in arguments], stdout=subprocess.PIPE, bufsize=0)
        )
        return Server(int(read_line(process)), context)

    import contextlib

    with contextlib.ExitStack() as exits:
        stack = exits.enter_context
        yield start


@pytest.fixture(scope="module")
def served(serve_node):
    return serve_node()


def test_messages_both_ways(served):
    async def main():
        async with served.session() as session:
            ws = await session.websocket("/", subprotocols=["a", "b"])
            assert ws.subprotocol == "a"
            for message in ("text", "naïve ☃", "", b"\0\xff", bytes(700_000)):
                await ws.send(message)
                assert await ws.recv() == message
            assert await (await ws.ping()) > 0
            await ws.close(3456, "from here")
            assert ws.close_code == 3456
            response = await session.request("POST", "/", body=bytes(500_000))
            assert await response.read() == bytes(500_000)

    run(main())


def test_twenty_websockets_on_one_connection(served):
    async def one(session, number):
        ws = await session.websocket(f"/{number}")
        for turn in range(20):
            await ws.send(f"{number} {turn}" * 500)
            assert await ws.recv() == f"{number} {turn}" * 500
        await ws.close()
        return ws.close_code

    async def main():
        async with served.session() as session:
            codes = await asyncio.gather(*(one(session, number) for number in range(20)))
            assert codes == [1000] * 20

    run(main())


def test_the_server_closes(served):
    async def main():
        async with served.session() as session:
            ws = await session.websocket("/close")
            with pytest.raises(ConnectionClosed) as caught:
                await ws.recv()
            assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "by node")
            assert caught.value.rcvd_then_sent

    run(main())


def test_the_server_refuses(served):
    async def main():
        async with served.session() as session:
            with pytest.raises(InvalidStatus) as caught:
                await session.websocket("/refuse")
            assert caught.value.response.status == 403
            assert caught.value.response.body == b"not you"
            ws = await session.websocket("/")
            await ws.close()

    run(main())


def test_a_server_without_the_setting_is_a_typed_error(serve_node):
    plain = serve_node("0")

    async def main():
        with pytest.raises(ExtendedConnectUnsupported):
            await connect(plain.url, ssl=plain.ssl, http="h2")

    run(main())
