"""The benchmark's own bytes are read back by the peers' code, and by its own reader."""

import importlib
import inspect

import pytest

from . import chromium, wire

hpack = pytest.importorskip("hpack")
theirs = pytest.importorskip("bench.theirs")


def test_messages_are_the_same_each_time():
    first = wire.messages(125, 7, 50)
    wire.messages.cache_clear()
    assert wire.messages(125, 7, 50) == first
    assert sum(1 for frame in wire.frames(b"".join(first)) if frame[0] == wire.DATA) == 50


@pytest.mark.parametrize("kind", ["ascii", "mixed"])
@pytest.mark.parametrize("size", [1, 5, 125, 1000])
def test_text_has_exactly_that_many_octets(kind, size):
    import random

    assert len(wire.payload(size, kind, random.Random(1))) == size
    wire.payload(size, kind, random.Random(1)).decode()


def test_fragments_join_to_one_message_at_the_peer():
    server = theirs.Server(1)
    got = []
    server.receive(wire.fragmented(1, 65536, 4), lambda *message: got.append(message))
    assert len(got) == 1 and len(got[0][3]) == 65536


def test_chromium_blocks_decode_in_their_order():
    decoder = hpack.Decoder()
    for captured in (chromium.PAGE, chromium.ICON, chromium.COLD):
        fields = dict(decoder.decode(captured[14:]))
    assert fields[":method"] == "CONNECT" and fields[":protocol"] == "websocket"
    assert dict(decoder.decode(chromium.WARM[14:])) == fields
    assert chromium.warm(7) == chromium.WARM


def test_output_reader_refuses_masks_and_halves():
    echo = wire.data_frames(1, wire.websocket_frame(b"hello"))
    assert wire.messages_by_stream(echo) == {1: [(wire.BINARY, b"hello")]}
    with pytest.raises(ValueError, match="mask"):
        wire.messages_by_stream(wire.data_frames(1, wire.websocket_frame(b"x", key=b"1234")))
    with pytest.raises(ValueError, match="inside"):
        wire.messages_by_stream(echo[:-1])


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_digest_sees_what_differs(size):
    one = wire.data_frames(1, wire.websocket_frame(bytes(size)))
    other = wire.data_frames(1, wire.websocket_frame(bytes(size) + b"1"))
    third = wire.data_frames(3, wire.websocket_frame(bytes(size)))
    digests = {wire.digest_of_messages(octets) for octets in (one, other, third)}
    assert len(digests) == 3


@pytest.mark.parametrize("driver", ["ours", "theirs"])
def test_every_case_can_be_made(driver):
    module = importlib.import_module(f"bench.{driver}")
    assert not [name for name, case in module.CASES.items() if inspect.isabstract(case)]
