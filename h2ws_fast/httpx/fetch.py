"""From a request to the head of its response."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any

import httpx

from ..engine.constants import HTTP_1_1_REQUIRED
from ..errors import StreamReset
from .exchange import Exchange
from .faults import ByHttp1, broken, exchanging
from .pool import Pool
from .question import Question, answer_fields

__all__ = ["answer", "fetch", "respond"]


async def fetch(
    pool: Pool, question: Question, body: bytes | AsyncIterable[bytes]
) -> tuple[Exchange, Any]:
    """Send a request and wait for the head of its answer, a Responded or Opened event.

    Where the server says that it has processed nothing, the request is sent once more: RFC 9113
    section 8.7. That needs a body that is at hand. Raises ByHttp1 where the server wants that, and
    httpx's errors.
    """
    whole = isinstance(body, bytes)
    if isinstance(body, bytes) and question.promised not in (None, len(body)):
        raise httpx.LocalProtocolError(
            f"the body has {len(body)} octets, and its content-length is {question.promised}"
        )
    again = whole
    while True:
        try:
            return await _attempt(pool, question, body)
        except httpx.RemoteProtocolError as error:
            reset = error.__cause__
            if not isinstance(reset, StreamReset):
                raise
            if reset.error_code == HTTP_1_1_REQUIRED and whole:
                raise ByHttp1 from error
            if not (reset.retryable and again):
                raise
        again = False


async def _attempt(
    pool: Pool, question: Question, body: bytes | AsyncIterable[bytes]
) -> tuple[Exchange, Any]:
    bare = not question.with_body or body == b""
    exchange = await pool.open(question, end=bare and not question.websocket)
    try:
        with exchanging():
            if bare:
                exchange.watch()
            else:
                exchange.upload(body)
        return exchange, await answer(pool, question, exchange)
    except BaseException:
        exchange.close()
        raise


async def answer(pool: Pool, question: Question, exchange: Exchange) -> Any:
    """Wait for the head of the answer to a request that is being sent.

    Raises httpx's errors, and what the body raised as it is. A server that wants HTTP/1.1 is
    remembered.
    """
    try:
        return await exchange.answer()
    except StreamReset as error:
        if error is exchange.failure:
            raise
        if error.error_code == HTTP_1_1_REQUIRED:
            # RFC 9113 section 7: "The endpoint requires that HTTP/1.1 be used instead".
            known = pool.without_websockets if question.websocket else pool.without_h2
            known.add(question.origin)
        raise broken(error, error.__cause__) from error


def respond(question: Question, head: Any, stream: Any, network: Any) -> httpx.Response:
    """The response as httpx is given it."""
    status, fields = answer_fields(question, head)
    response = httpx.Response(
        status,
        headers=fields,
        stream=stream,
        extensions={
            "http_version": b"HTTP/2",
            "network_stream": network,
            "stream_id": head.stream_id,
        },
    )
    stream.extensions = response.extensions
    return response
