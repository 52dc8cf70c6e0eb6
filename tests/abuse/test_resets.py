"""Streams opened and reset, by the client or by what it provokes: CVE-2023-44487, CVE-2025-8671."""

import pytest

from tests.support import frames as f
from tests.support.target import Target

row = pytest.mark.row

COUNT = 10_000  # ten times what is allowed at once
RESET = (f.ENHANCE_YOUR_CALM, "limit reached: reset_burst")

KINDS = {
    "get": {"method": "GET", "path": "/", "end_stream": True},
    "slow": {"method": "GET", "path": "/slow", "end_stream": True},
    "post": {"method": "POST", "path": "/read", "end_stream": False},
}


def odd(count, first=3):
    return range(first, first + 2 * count, 2)


def opening(attacker, kind):
    """How a stream of a kind begins: its header block, and whether it ends there."""
    if kind == "websocket":
        return attacker.repeated(attacker.connect), False
    return attacker.repeated(attacker.request, **KINDS[kind]), KINDS[kind].get("end_stream", False)


@row("SEC-1-1", "SEC-1-3")
@pytest.mark.parametrize("kind", [*KINDS, "websocket"])
def test_rapid_reset(target, siege, kind):
    """Each request is taken back at once. The most that ever work are as many as may be open."""
    # A thousand tasks that are cancelled at 2 KiB, and their requests.
    with (
        siege(target, "reset_burst", also={"max_handlers", "max_pending_resets"}, memory=16 << 20),
        target.attack() as attacker,
    ):
        block, end = opening(attacker, kind)
        attacker.send(*(f.headers(i, block, end) + f.rst_stream(i) for i in odd(COUNT)))
        attacker.read_to_the_end()
        assert attacker.end == RESET
    stats = target.stats()
    assert stats["most"] <= 1000
    assert stats["handlers"] <= 2  # the bystander may linger, and who asks


@row("SEC-1-1")
def test_slow_rapid_reset(target, siege):
    """In small batches, each answered with a PING, so that handlers begin to work in between."""
    with siege(target, "reset_burst", memory=16 << 20, cpu=1.0), target.attack() as attacker:
        block = attacker.repeated(attacker.request, path="/slow")
        for at in range(0, COUNT, 100):
            ids = odd(100, 3 + 2 * at)
            attacker.send(*(f.headers(i, block, True) for i in ids), f.ping())
            if not attacker.read_until(lambda n=at // 100: attacker.acks > n, 10):
                break
            attacker.send(*(f.rst_stream(i) for i in ids))
        attacker.read_to_the_end()
        assert attacker.end == RESET
        # A thousand at once, and 33 for each second that it took.
        assert at <= 1500
    assert target.stats()["most"] <= 1000


# What a client does to a stream so that the server must reset it.
TRIGGERS = {
    "window-update-0": ("slow", lambda i: f.window_update(i, 0)),
    "window-overflow": ("slow", lambda i: f.window_update(i, 2**31 - 1)),
    "data-after-end-stream": ("slow", lambda i: f.data(i, b"x")),
    "headers-after-end-stream": ("slow", lambda i: f.headers(i, b"\x82", True)),
    "priority-of-another-length": ("slow", lambda i: f.frame(f.PRIORITY, 0, i, b"1234")),
    "trailers-without-end-stream": ("post", lambda i: f.headers(i, b"\x82", False)),
    "pseudo-header-in-trailers": ("post", lambda i: f.headers(i, b"\x82", True)),
    "data-after-rst-stream": ("post", lambda i: f.rst_stream(i) + f.data(i, b"x")),
    "headers-on-a-websocket": ("websocket", lambda i: f.headers(i, b"\x82", True)),
    "window-update-0-on-a-websocket": ("websocket", lambda i: f.window_update(i, 0)),
}


@row("SEC-1-2", "SEC-1-3")
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_made_you_reset(target, siege, trigger):
    """The server resets a thousand streams for their faults; handlers count until they ended."""
    kind, fault = TRIGGERS[trigger]
    with (
        siege(target, "reset_burst", also={"max_handlers"}, memory=16 << 20),
        target.attack() as attacker,
    ):
        block, end = opening(attacker, kind)
        attacker.send(*(f.headers(i, block, end) + fault(i) for i in odd(COUNT)))
        attacker.read_to_the_end()
        assert attacker.end == RESET
        assert sum(attacker.resets.values()) <= 1100
    assert target.stats()["most"] <= 1000


@row("SEC-1-2")
def test_content_that_is_longer_than_said(target, siege):
    with (
        siege(target, "reset_burst", also={"max_handlers"}, memory=16 << 20),
        target.attack() as attacker,
    ):
        block = attacker.repeated(
            attacker.request, ("content-length", "1"), method="POST", path="/read", end_stream=False
        )
        attacker.send(*(f.headers(i, block) + f.data(i, bytes(256)) for i in odd(COUNT)))
        attacker.read_to_the_end()
        assert attacker.end == RESET


@row("SEC-1-2")
def test_content_beyond_the_window(siege):
    """A stream error each: the connection's window is far from used up."""
    with (
        Target(settings={"initial_window_size": 100}) as target,
        siege(target, "reset_burst", also={"max_handlers"}, memory=16 << 20),
        target.attack() as attacker,
    ):
        block = attacker.repeated(attacker.request, **KINDS["post"])
        attacker.send(*(f.headers(i, block) + f.data(i, bytes(300)) for i in odd(COUNT)))
        attacker.read_to_the_end()
        assert attacker.end == RESET
        assert attacker.resets[f.FLOW_CONTROL_ERROR] >= 900


@row("SEC-1-2")
@pytest.mark.parametrize(
    "field", [("Upper", "x"), ("connection", "close"), ("te", "gzip"), (":path", "/2")]
)
def test_malformed_requests(target, siege, field):
    """Nothing of them reaches the application."""
    before = target.stats()["most"]
    with siege(target, "reset_burst"), target.attack() as attacker:
        block = attacker.repeated(attacker.request, field)
        attacker.send(*(f.headers(i, block, True) for i in odd(COUNT)))
        attacker.read_to_the_end()
        assert attacker.end == RESET
        assert attacker.resets[f.PROTOCOL_ERROR] >= 1000
    assert target.stats()["most"] == before


@row("SEC-1-4")
def test_malformed_requests_of_a_peer_that_never_reads(target, siege):
    """CVE-2019-9514: the resets that wait to leave are few before it is over."""
    with siege(target, "reset_burst"), target.attack(receive_buffer=4096) as attacker:
        block = attacker.repeated(attacker.request, ("Upper", "x"))
        attacker.send(*(f.headers(i, block, True) for i in odd(COUNT)), reads=False)
        attacker.read_to_the_end()
        # Its own kernel may have refused the GOAWAY, since nobody read: then it is only closed.
        assert attacker.goaway is None or attacker.end == RESET


ENDS = ("reset_burst", "max_control_frames")


def test_streams_beyond_the_limit(target, siege):
    """They are refused, and refusing is limited."""
    with (
        siege(target, "max_concurrent_streams", also=ENDS, memory=32 << 20, cpu=1.0),
        target.attack() as attacker,
    ):
        block = attacker.repeated(attacker.request, path="/slow")
        attacker.send(*(f.headers(i, block, True) for i in odd(999)), f.ping())
        assert attacker.read_until(lambda: attacker.acks)
        attacker.send(*(f.headers(i, block, True) for i in odd(COUNT, 2001)))
        attacker.read_to_the_end()
        # In one read with a PING, one answer more waits than resets are allowed at once.
        assert attacker.end[0] == f.ENHANCE_YOUR_CALM
        assert attacker.end[1].removeprefix("limit reached: ") in ENDS
        assert 900 <= attacker.resets[f.REFUSED_STREAM] <= 1100
    assert target.stats()["most"] <= 1000


def test_resets_of_closed_streams(target, siege):
    """Glitches: each is ignored, and there may be so many."""
    with siege(target, "glitch_burst"), target.attack() as attacker:
        attacker.send(attacker.request(1))
        assert attacker.read_until(lambda: attacker.ended_streams)
        attacker.send(f.rst_stream(1) * 100_000)
        attacker.read_to_the_end()
        assert attacker.end == (f.ENHANCE_YOUR_CALM, "limit reached: glitch_burst")


def test_goaways(target, siege):
    """The same GOAWAY again and again takes nothing back: a glitch each."""
    with siege(target, "glitch_burst", memory=16 << 20), target.attack() as attacker:
        attacker.websocket()
        attacker.send(f.goaway() * 100_000)
        attacker.read_to_the_end()
        assert attacker.end == (f.ENHANCE_YOUR_CALM, "limit reached: glitch_burst")


def test_goaways_that_take_back_ever_more(target, siege):
    """Each is a look at every stream, and an event: after ten it is enough."""
    with siege(target, "max_goaways"), target.attack() as attacker:
        attacker.websocket()
        attacker.send(*(f.goaway(last) for last in range(2**31 - 1, 2**31 - 200_001, -2)))
        attacker.read_to_the_end()
        assert attacker.end == (f.ENHANCE_YOUR_CALM, "limit reached: max_goaways")
