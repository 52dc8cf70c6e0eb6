"""The names for tunnels as a strictly typed program sees them; checked, not run."""

import asyncio
from typing import assert_type

from h2ws_fast import Session, serve
from h2ws_fast.engine.capsules import CapsuleReader, udp_datagram
from h2ws_fast.forward import Link, Rule, TcpForward
from h2ws_fast.masque import UdpProxy, UdpTunnel, connect_udp, create_datagram_endpoint


async def ask(session: Session, question: bytes) -> bytes:
    async with await connect_udp(session, "192.0.2.53", 53, max_waiting=5000) as udp:
        assert_type(udp, UdpTunnel)
        await udp.send(question)
        assert_type(udp.send_nowait(bytearray(question)), bool)
        async for packet in udp:
            return packet
        return await udp.recv()


async def run(session: Session) -> None:
    transport, _ = await create_datagram_endpoint(session, asyncio.DatagramProtocol, "a", 1)
    transport.sendto(b"x")
    await transport.wait_closed()


async def proxy() -> None:
    udp = UdpProxy(allow=["a.example:53"], ports=[53], rate=1e6, client=lambda request: "all")
    async with serve(None, tunnels={"connect-udp": udp}):
        assert_type(udp.stats(), dict[str, int])


async def forward() -> int:
    async with Link("https://gate.example", connections=2) as link:
        return TcpForward(link, Rule.parse("0:a.example:80")).listen("127.0.0.1", 0)


def read(data: bytes) -> bytes:
    reader = CapsuleReader(contexts=True)
    assert_type(reader.failure, str | None)
    return b"".join(udp_datagram(packet) for packet in reader.receive(data))
