"""permessage-deflate (RFC 7692) between a client and an application, which sees messages alone."""

import asyncio
import json
import zlib

import pytest

from h2ws_fast import ServerPerMessageDeflateFactory
from tests.asgi.test_websocket import echo, recording
from tests.support import frames as f
from tests.support.ws_frames import BINARY, CLOSE, TEXT

OFFER = ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits")
FORGETFUL = ("sec-websocket-extensions", "permessage-deflate; server_no_context_takeover")
LONG = json.dumps([{"id": number, "name": f"user{number}"} for number in range(100)]).encode()
COMPRESSED = 4  # RSV1, of the three bits


def deflated(data):
    """RFC 7692 section 7.2.1, with nothing taken over."""
    deflate = zlib.compressobj(wbits=-15)
    octets = deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return octets.removesuffix(b"\x00\x00\xff\xff")


def inflated(frame):
    if not frame.rsv:
        return frame.payload
    assert frame.rsv == COMPRESSED
    return zlib.decompressobj(wbits=-15).decompress(frame.payload + b"\x00\x00\xff\xff")


async def test_messages_are_compressed_both_ways(place):
    async with place.serve(echo):
        client = await place.client()
        head = await client.websocket(1, "/", FORGETFUL)
        agreed = head.get("sec-websocket-extensions")
        assert agreed.startswith("permessage-deflate") and "server_no_context_takeover" in agreed
        client.ws(1, TEXT, deflated(LONG), rsv=COMPRESSED)
        client.ws(1, BINARY, deflated(LONG), rsv=COMPRESSED)
        client.ws(1, TEXT, b"plain, as each may be")
        found = await client.ws_frames(1, 3)
        client.close()
    assert [(each.opcode, inflated(each)) for each in found] == [
        (TEXT, LONG),
        (BINARY, LONG),
        (TEXT, b"plain, as each may be"),
    ]
    assert all(each.rsv and len(each.payload) < len(LONG) / 3 for each in found[:2])


@pytest.mark.parametrize("without", ["server", "client"])
async def test_either_end_may_do_without(ours, without):
    name = "compression" if ours.kind == "standalone" else "ws_per_message_deflate"
    options = {name: None} if without == "server" else {}
    async with ours.serve(echo, **options):
        client = await ours.client()
        head = await client.websocket(1, "/", *([OFFER] if without == "server" else []))
        assert head.get("sec-websocket-extensions") is None
        client.ws(1, TEXT, LONG)
        (frame,) = await client.ws_frames(1, 1)
        client.ws(1, TEXT, deflated(LONG), rsv=COMPRESSED)
        assert (await client.ws_frames(1, 1))[0].close_code == 1002
        client.close()
    assert (frame.rsv, frame.payload) == (0, LONG)


async def test_a_factory_says_how(alone):
    taken_over = ServerPerMessageDeflateFactory(
        server_no_context_takeover=False, client_no_context_takeover=False
    )
    async with alone.serve(echo, compression=taken_over):
        client = await alone.client()
        head = await client.websocket(1, "/", OFFER)
        assert "takeover" not in head.get("sec-websocket-extensions")
        inflate = zlib.decompressobj(wbits=-15)
        sizes = []
        for _ in range(2):
            client.ws(1, TEXT, deflated(LONG), rsv=COMPRESSED)
            (frame,) = await client.ws_frames(1, 1)
            assert inflate.decompress(frame.payload + b"\x00\x00\xff\xff") == LONG
            sizes.append(len(frame.payload))
        client.close()
    assert sizes[1] < sizes[0] / 4  # it refers to the first


@pytest.mark.parametrize(
    ("opcode", "octets", "code"),
    [
        (BINARY, deflated(bytes(2_000_000)), 1009),
        (BINARY, b"\xff" * 20, 1007),
        (TEXT, deflated(b"\xff"), 1007),
    ],
    ids=["expands too far", "does not inflate", "is no text"],
)
async def test_what_cannot_be_taken_ends_that_websocket_alone(ours, opcode, octets, code):
    seen, over = [], asyncio.Event()
    async with ours.serve(recording(seen, over), max_size=1_000_000):
        client = await ours.client()
        for stream_id in (1, 3):
            await client.websocket(stream_id, "/", OFFER)
        client.ws(1, opcode, octets, rsv=COMPRESSED)
        (close,) = await client.ws_frames(1, 1)
        assert (close.opcode, close.close_code) == (CLOSE, code)
        client.close_frame(1, code, end_stream=True)
        assert (await client.expect(f.DATA, 1)).end_stream
        await asyncio.wait_for(over.wait(), 5)
        assert [(each["type"], each["code"]) for each in seen] == [("websocket.disconnect", code)]
        client.ws(3, BINARY, deflated(LONG), rsv=COMPRESSED)
        client.close_frame(3, 1000, end_stream=True)
        assert (await client.ws_frames(3, 1))[0].close_code == 1000
        client.close()
    assert seen[1] == {"type": "websocket.receive", "bytes": LONG}
