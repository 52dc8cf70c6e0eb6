"""The transports for httpx as a strictly typed program sees them; checked, not run."""

import ssl
from typing import assert_type

import httpx

from h2ws_fast.httpx import AsyncTransport, Transport


async def asked(context: ssl.SSLContext) -> None:
    transport = AsyncTransport(
        verify=context, limits=httpx.Limits(max_connections=3), retries=1, prior_knowledge=True
    )
    async with httpx.AsyncClient(transport=transport) as client:
        assert_type(await client.get("https://a.example"), httpx.Response)


def asked_in_a_thread() -> None:
    with httpx.Client(transport=Transport(uds="/run/a", socket_options=[(1, 2, 3)])) as client:
        assert_type(client.get("https://a.example"), httpx.Response)
