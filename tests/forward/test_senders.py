"""`-U`: the tunnels of local senders, as many as the server gives and as long as they are used."""

import asyncio
import contextlib
import logging

import pytest

from h2ws_fast import Session
from h2ws_fast.forward import Link, UdpForward
from h2ws_fast.masque import UdpProxy
from h2ws_fast.masque import tunnel as tunnels
from tests.masque.conftest import endpoint
from tests.masque.conftest import target as udp_target

from .test_forward import packet, to


@contextlib.asynccontextmanager
async def led(clear, *, proxy=None, **options):
    """A forward to a UDP echo: (target, proxy, forward, its port)."""
    async with udp_target() as it:
        proxy = UdpProxy(private=True) if proxy is None else proxy
        async with clear.serve(tunnels={"connect-udp": proxy}), Link(clear.http) as link:
            forward = UdpForward(link, to(it.port), **options)
            local = forward.listen()
            try:
                yield it, proxy, forward, local
            finally:
                await forward.close()


async def test_a_sender_that_nobody_answers_is_not_silent(clear, within):
    async with led(clear, idle_timeout=1.0) as (it, _, forward, local):
        it.reply = lambda data: None
        with endpoint() as sock:
            for _ in range(15):
                sock.sendto(b"log", ("127.0.0.1", local))
                await asyncio.sleep(0.15)
            await it.until(15)
            assert (forward.counts.opened, len(it.senders)) == (1, 1)
            await within(lambda: forward.counts.open == 0)  # it is now
        assert forward.counts.failed == 0


@pytest.mark.parametrize("places", [8, 200])
async def test_each_question_from_another_port(clear, within, places):
    """A resolver asks so: each is answered, with fewer tunnels than the server gives or than this
    end has."""
    proxy = UdpProxy(private=True, max_sockets_per_client=places)
    async with led(clear, proxy=proxy, max_flows=20) as (_, _, forward, local):
        with contextlib.ExitStack() as kept:  # else a port may come twice
            for _ in range(60):
                sock = kept.enter_context(endpoint())
                sock.sendto(b"question", ("127.0.0.1", local))
                assert await packet(sock) == b"question"
        assert forward.counts.failed == 0
        assert forward.counts.opened == 60
        await within(lambda: proxy.stats()["sockets"] <= min(places, 20))
        if places == 200:
            assert proxy.stats()["refused"] == 0


async def test_the_longest_silent_is_ended_and_may_come_again(clear, within):
    async with led(clear, max_flows=2) as (_, proxy, forward, local):
        with endpoint() as one, endpoint() as two, endpoint() as three:
            for sock in (one, two, three, two, one):
                sock.sendto(b"x", ("127.0.0.1", local))
                assert await packet(sock) == b"x"
        assert forward.counts.opened == 4
        await within(lambda: proxy.stats()["sockets"] == 2)
        assert forward.counts.failed == 0


async def test_more_senders_at_once_than_tunnels(clear, within):
    """Whoever finds none loses packets, and nothing more."""
    async with led(clear, max_flows=1) as (_, _, forward, local):
        with endpoint() as one, endpoint() as two:
            for sock in (one, two):
                sock.sendto(b"x", ("127.0.0.1", local))
            assert await packet(one) == b"x"
            for sock in (two, one, two):
                sock.sendto(b"again", ("127.0.0.1", local))
                assert await packet(sock) == b"again"
        assert len(forward.flows) == 1


async def test_a_default_server_refuses_no_default_client(clear):
    async with led(clear) as (_, proxy, forward, _):
        assert forward.flows.max_flows < proxy._places._max_sockets_per_client


async def test_a_server_that_never_answers_is_told(clear, within, caplog, monkeypatch):
    caplog.set_level(logging.WARNING, "h2ws_fast.forward")

    async def never(self, *arguments, **options):
        raise TimeoutError

    async with led(clear) as (it, _, forward, local):
        monkeypatch.setattr(Session, "tunnel", never)
        with endpoint() as sock:
            sock.sendto(b"x", ("127.0.0.1", local))
            await within(lambda: forward.counts.failed == 1)
        assert caplog.messages == [f"UDP to 127.0.0.1:{it.port}: TimeoutError"]
    assert tunnels.Session.tunnel is never


async def test_a_proxy_that_does_not_end_its_side(clear, within, monkeypatch):
    """A tunnel that was ended here is reset after a while."""

    async def heedless(tunnel):
        while await tunnel.recv():
            pass
        heard.append("end")
        await asyncio.sleep(60)

    heard = []
    monkeypatch.setattr("h2ws_fast.forward.flows.LEAVING_S", 0.2)
    async with clear.serve(tunnels={"connect-udp": heedless}, close_timeout=0.1):
        async with Link(clear.http) as link:
            forward = UdpForward(link, to(9), idle_timeout=0.2)
            local = forward.listen()
            with endpoint() as sock:
                sock.sendto(b"x", ("127.0.0.1", local))
                await within(lambda: heard and forward.counts.open == 0)
            await forward.close()
