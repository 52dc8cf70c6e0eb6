"""Streams by name, before a server that knows where each leads."""

import asyncio
import contextlib
import random

import pytest

from h2ws_fast import InvalidStatus
from h2ws_fast.forward import Link, NamedStreams, StreamRule, TcpForward
from tests.aio.test_connect import shout, target
from tests.forward.test_forward import LOCAL, ask, forwarding


def to(path, token="bytestream"):
    return StreamRule("127.0.0.1", 0, token, path)


@contextlib.asynccontextmanager
async def linked(clear, targets, **options):
    """A link to a server that leads streams so."""
    named = NamedStreams(targets, time_wait_s=0, **options)
    async with clear.serve(tunnels={"bytestream": named}), Link(clear.http) as link:
        link.named = named
        yield link


async def test_a_name_leads_to_its_target(clear, within):
    big = random.Random(2).randbytes(300_000)
    async with target(shout) as port, linked(clear, {"/shout": f"127.0.0.1:{port}"}) as link:
        async with forwarding(link, TcpForward, to("/shout"), listen=LOCAL) as (forward, local):
            answers = await asyncio.gather(*(ask(local, big) for _ in range(3)))
            assert answers == [big.upper() + b"BYE"] * 3
            await within(lambda: forward.counts.open == 0 and link.named.sockets == 0)
            assert forward.counts.opened == 3


async def test_other_names_lead_nowhere(clear):
    touched = []

    async def handler(reader, writer):
        touched.append(writer)

    async with target(handler) as port, linked(clear, {"/a": f"127.0.0.1:{port}"}) as link:
        session = await link.session()
        for path in ("/", "/A", "/a/", "/a?", "/b", f"/127.0.0.1:{port}"):
            with pytest.raises(InvalidStatus) as refused:
                await session.tunnel("bytestream", path)
            assert refused.value.response.status == 404
        with pytest.raises(InvalidStatus) as refused:
            await session.tunnel("another", "/a")
        assert refused.value.response.status == 501
        # A path says where to, and an authority nothing.
        with pytest.raises(InvalidStatus):
            await session.connect_tcp(f"127.0.0.1:{port}")
    assert not touched


async def test_who_asks_is_known_where_it_is_dialled(clear):
    seen = []

    def client(request):
        seen.append((request.remote_address is not None, request.headers.get("who")))
        return 1

    async with target(shout) as port:
        async with linked(clear, {"/a": f"127.0.0.1:{port}"}, client=client) as link:
            link.headers = [("who", "me")]
            await (await link.tunnel("bytestream", "/a")).close()
    assert seen and set(seen) == {(True, "me")}


async def test_names_count_as_sockets(clear):
    async with target(shout) as port:
        async with linked(clear, {"/a": f"127.0.0.1:{port}"}, max_sockets=1) as link:
            async with await link.tunnel("bytestream", "/a"):
                with pytest.raises(InvalidStatus) as refused:
                    await link.tunnel("bytestream", "/a")
                assert refused.value.response.status == 503


async def test_a_refusal_names_the_path(clear, caplog):
    """The authority is the server's own, whatever was asked for."""
    caplog.set_level("INFO", "h2ws_fast")
    async with linked(clear, {"/a": "127.0.0.1:1"}, deny=["127.0.0.0/8"]) as link:
        for path in ("/a", "/b"):
            with pytest.raises(InvalidStatus):
                await link.tunnel("bytestream", path)
        with pytest.raises(InvalidStatus):
            await link.connect_tcp("192.0.2.1:1")
    assert "CONNECT '/a' was refused with 403: destination_ip_prohibited" in caplog.text
    assert "CONNECT '/b' was refused with 404" in caplog.text


@pytest.mark.parametrize(
    "targets",
    [
        {"a": "127.0.0.1:1"},
        {"/a": "localhost"},
        {"/a": "localhost:"},
        {"/a": "localhost:0"},
        {"/a": "localhost:x"},
        {"/a": ":1"},
        {"/a": "a b:1"},
        {"/a": "127.0.0.1:1", "/b": "[::1"},
    ],
)
def test_what_is_no_path_or_target(targets):
    with pytest.raises(ValueError):
        NamedStreams(targets)
