"""What is asked of a backend once more, and what is not: RFC 9113 section 8.7, RFC 9110 section 9.2.2."""

import asyncio

import pytest

from h2ws_fast.gateway import Backend
from tests.gateway.conftest import in_front_of
from tests.support import frames as f
from tests.support.raw import RawClient, RawServer, opens_all


def asking(method="POST", *fields):
    return [
        (":method", method),
        (":scheme", "http"),
        (":authority", "a.example"),
        (":path", "/"),
        *fields,
    ]


class Refusing(RawServer):
    """Refuses so many requests, once they are whole; `asked` has what came: method and body."""

    def __init__(self, refusals, how="rst"):
        super().__init__(self.script, (3, 100))
        self.refusals = refusals
        self.how = how
        self.asked = []

    async def script(self, peer):
        bodies = {}
        while (frame := await peer.frame()) is not None:
            if frame.kind == f.HEADERS:
                bodies[frame.stream_id] = [frame.get(":method"), b""]
            elif frame.kind == f.DATA:
                bodies[frame.stream_id][1] += frame.content
            else:
                continue
            if not frame.end_stream:
                continue
            self.asked.append(tuple(bodies[frame.stream_id]))
            if not self.refusals:
                peer.headers(frame.stream_id, [(":status", "204")], True)
                continue
            self.refusals -= 1
            if self.how == "rst":
                peer.send(f.rst_stream(frame.stream_id, f.REFUSED_STREAM))
            else:
                peer.send(f.goaway(0))
                return


async def status(gate, fields, body=None):
    client = await RawClient.connect(gate.port)
    client.headers(1, fields, body is None)
    if body is not None:
        client.send(f.data(1, body, True))
    async with asyncio.timeout(20):
        found = (await client.expect(f.HEADERS, 1)).get(":status")
    client.close()
    return found


def before(server):
    return in_front_of(Backend(f"http://127.0.0.1:{server.port}", http="h2"))


@pytest.mark.parametrize("how", ["rst", "goaway"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.row("9113-8.7-1")
async def test_what_a_backend_has_refused_is_asked_again_whatever_its_method(method, how):
    async with Refusing(2, how) as server, before(server) as gate:
        assert await status(gate, asking(method)) == "204"
        assert server.asked == [(method, b"")] * 3


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_what_had_a_body_is_not_since_that_is_gone(method):
    """Without it a PUT would say something else."""
    async with Refusing(1) as server, before(server) as gate:
        assert await status(gate, asking(method), b"body") == "502"
        assert server.asked == [(method, b"body")]


async def test_who_leaves_meanwhile_is_not_asked_for_again():
    async with Refusing(1) as server, before(server) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, asking(), True)
        async with asyncio.timeout(20):
            while server.refusals:
                await asyncio.sleep(0.005)
        client.send(f.rst_stream(1, f.CANCEL))
        client.headers(3, asking("GET"), True)
        assert (await client.expect(f.HEADERS, 3)).get(":status") == "204"
        client.close()
    assert server.asked.count(("POST", b"")) <= 2 and ("GET", b"") in server.asked


async def test_a_backend_that_went_silent_is_passed_over():
    """Streams are open there, and there is room for more: but nobody answers a connection."""

    class Silent(RawServer):
        async def serve(self, reader, writer):
            if len(self.tasks) == 1:
                await super().serve(reader, writer)
            else:
                await reader.read()

    async with Silent(opens_all, (8, 1), (3, 100)) as server:
        there = Backend(f"http://127.0.0.1:{server.port}", http="h2", connect_timeout=1)
        async with in_front_of(there) as gate:
            client = await RawClient.connect(gate.port)
            assert (await client.websocket(1)).get(":status") == "200"
            assert (await client.websocket(3)).get(":status") == "504"
            assert gate.stats()["backends"][there.address]["failures"] == 1
            client.close()
