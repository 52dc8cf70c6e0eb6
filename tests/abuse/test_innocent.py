"""Heavy traffic that is no attack, and trips no limit.

The numbers are whole on the compiled twin. The pure twin gets a tenth of everything, and of the ten
million messages a hundredth, unless `H2WS_FAST_ABUSE_FULL=1` asks for all of those.
"""

import os
import time

import pytest

import h2ws_fast
from h2ws_fast.engine import Connection, Role
from tests.support import frames as f
from tests.support.attacker import Attacker
from tests.support.peer import CONNECT
from tests.support.target import Target
from tests.support.ws_frames import close_frame, read_ws_frames, ws_frame

row = pytest.mark.row

MIB = 2**20
KEY = b"\x01\x02\x03\x04"
PART = 1 if h2ws_fast.COMPILED else 4
FULL = os.environ.get("H2WS_FAST_ABUSE_FULL", "") not in ("", "0")


@row("SEC-9-1")
def test_small_requests(target, siege):
    """h2load -n 10000 -c 10 -m 100: each connection keeps a hundred requests under way."""
    with siege(target, memory=32 * MIB, cpu=4.0):
        attackers = [target.attack() for _ in range(10)]
        blocks = [attacker.repeated(attacker.request) for attacker in attackers]
        for at in range(3, 2 * 1000 // PART, 200):
            for attacker, block in zip(attackers, blocks, strict=True):
                attacker.send(*(f.headers(i, block, True) for i in range(at, at + 200, 2)))
            for attacker in attackers:
                expected = (at + 199) // 2
                assert attacker.read_until(lambda who=attacker, n=expected: who.ended_streams >= n)
        for attacker in attackers:
            assert set(attacker.statuses) == {"200"} and attacker.goaway is None
            assert not attacker.resets
            attacker.close()


@row("SEC-9-1")
def test_idle_websockets_with_pings(siege):
    """10 000 of them on ten connections; each end pings each of them every second."""
    each = 1000 // PART
    with (
        Target(ping_interval=1.0, ping_timeout=20) as target,
        # A handler's task and its WebSocket take some 5 KiB, those waiting for the loop more.
        siege(target, memory=10 * each * 12_000 + 8 * MIB, cpu=8.0, latency=10.0),
    ):
        attackers = [target.attack((f.INITIAL_WINDOW_SIZE, 2**20)) for _ in range(10)]
        for attacker in attackers:
            attacker.send(f.window_update(0, 2**30))
            block = attacker.repeated(attacker.connect)
            attacker.send(*(f.headers(i, block) for i in range(3, 2 * each, 2)))
        for attacker in attackers:
            assert attacker.read_until(lambda who=attacker: who.statuses["200"] == each, 30)
        pings = pongs = 0
        end = time.monotonic() + 3
        sent = 0.0
        while time.monotonic() < end:
            if time.monotonic() - sent > 1:
                sent = time.monotonic()
                ours = ws_frame(9, b"ours", key=KEY)
                for attacker in attackers:
                    attacker.send(*(f.data(i, ours) for i in range(1, 2 * each, 2)))
            for attacker in attackers:
                attacker.read_until(lambda who=attacker: who.data, 0.01)
                answers = []
                for stream_id, octets in attacker.data.items():
                    for frame in read_ws_frames(bytes(octets)):
                        if frame.opcode == 9:
                            pings += 1
                            pong = ws_frame(10, frame.payload, key=KEY)
                            answers.append(f.data(stream_id, pong))
                        else:
                            assert (frame.opcode, frame.payload) == (10, b"ours")
                            pongs += 1
                attacker.data.clear()
                attacker.send(*answers)
        assert pings >= 10 * each and pongs >= 10 * each
        for attacker in attackers:
            assert attacker.goaway is None and not attacker.resets
            attacker.close()


BROWSER = [
    ("sec-ch-ua", '"Chromium";v="140", "Not=A?Brand";v="24"'),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", '"Linux"'),
    ("upgrade-insecure-requests", "1"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0"),
    ("accept", "text/html,application/xhtml+xml,image/avif,image/webp,*/*;q=0.8"),
    ("sec-fetch-site", "none"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-user", "?1"),
    ("sec-fetch-dest", "document"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-US,en;q=0.9"),
    ("priority", "u=0, i"),
]
COOKIES = [("cookie", f"cookie-{number}=value") for number in range(150)]


@row("SEC-9-1")
def test_a_browser(target, siege):
    """Pages with many parts, left half loaded; WebSockets; a download; pings. 150 cookies."""
    settings = (
        (f.HEADER_TABLE_SIZE, 65536),
        (f.ENABLE_PUSH, 0),
        (f.INITIAL_WINDOW_SIZE, 6 * MIB),
        (6, 262144),
    )
    with siege(target, memory=32 * MIB, cpu=4.0), target.attack(*settings) as browser:
        browser.send(f.window_update(0, 15663105))
        stream_id = 1
        for page in range(8):
            opened = []
            for part in range(60):
                path = "/slow" if part % 2 else f"/part/{page}/{part}"
                block = browser.block(browser.fields("GET", path, *BROWSER, *COOKIES))
                browser.send(f.headers(stream_id, block, True, priority=b"\x80\x00\x00\x00\xff"))
                browser.send(f.priority_update(stream_id, b"u=2"))
                opened.append((stream_id, path))
                stream_id += 2
            browser.send(f.ping())
            assert browser.read_until(lambda n=page: browser.acks >= n + 2, 20)
            # Left before the rest is there.
            browser.send(*(f.rst_stream(i, f.CANCEL) for i, path in opened if path == "/slow"))
            opening = [*CONNECT[:2], *browser.fields()[1:], CONNECT[-1], *BROWSER[:5], *COOKIES]
            browser.send(f.headers(stream_id, browser.block(opening)))
            expected = 30 * (page + 1) + page + 1
            assert browser.read_until(lambda n=expected: browser.statuses["200"] >= n, 20)
            browser.send(f.data(stream_id, ws_frame(1, b"hello", key=KEY)))
            browser.send(
                f.data(stream_id, close_frame(1001, key=KEY), True), f.rst_stream(stream_id)
            )
            stream_id += 2
        # A download, credited frame by frame.
        browser.send(
            f.headers(stream_id, browser.block(browser.fields("GET", "/bytes/20000000")), True)
        )
        credited = 0
        while browser.octets[stream_id] < 20_000_000 // PART:
            assert browser.read_until(lambda n=credited, i=stream_id: browser.octets[i] > n)
            more = browser.octets[stream_id] - credited
            credited += more
            browser.data.clear()
            browser.send(f.window_update(stream_id, more), f.window_update(0, more))
        assert browser.goaway is None and not browser.resets, browser.resets


@row("SEC-9-1")
def test_settings_and_pings_now_and_then(target, siege):
    """A peer that finds its window in fifteen steps, and pings with each read of a download."""
    with siege(target, memory=8 * MIB, cpu=4.0), target.attack() as peer:
        peer.send(f.window_update(0, 2**30))
        peer.send(f.headers(1, peer.block(peer.fields("GET", "/bytes/20000000")), True))
        window = 65535
        pings = changes = came = credited = 0
        before = peer.acks
        while came < 20_000_000 // PART:
            assert peer.read_until(lambda n=came: peer.octets[1] > n)
            came = peer.octets[1]
            peer.data.clear()
            peer.send(f.ping())
            pings += 1
            if changes < 15 and came > changes * 500_000 // PART:
                window += 65535
                changes += 1
                peer.send(f.settings((f.INITIAL_WINDOW_SIZE, window)))
            # One under way at a time.
            assert peer.read_until(lambda n=pings + changes: peer.acks - before >= n)
            peer.send(f.window_update(1, came - credited))
            credited = came
        # Each read brings a window at the most.
        assert pings >= (20 if h2ws_fast.COMPILED else 10) and changes >= 10, (pings, changes)
        assert peer.goaway is None


@pytest.mark.measures  # too much for a sanitized build
@row("SEC-9-1")
def test_ten_million_messages_of_five_octets():
    """On one WebSocket, in reads of 64 KiB, each of them delivered."""
    count = 10_000_000 if FULL or h2ws_fast.COMPILED else 100_000
    client, server = Connection(Role.CLIENT), Connection(Role.SERVER, auto_credit=True)

    def exchange():
        events = []
        while True:
            up, down = client.data_to_send(), server.data_to_send()
            if not up and not down:
                return events
            for buffer in up:
                events += server.receive_data(buffer)
            for buffer in down:
                events += client.receive_data(buffer)

    exchange()
    fields = [(name, value) for name, value in CONNECT]
    stream_id = client.request(fields, end_stream=False)
    exchange()
    server.accept_websocket(stream_id)
    exchange()
    got = []
    server.attach(stream_id, lambda event: None, got.append)
    message = f.data(stream_id, ws_frame(2, b"12345", key=KEY))
    batch = message * 3000
    for _ in range(count // 3000):
        server.receive_data(batch)
        server.data_to_send()
        assert len(got) == 3000
        got.clear()
    assert server.stats()["messages_received"] == count // 3000 * 3000
    assert server.stats()["limits"] == {} and not server.terminated


@row("SEC-9-1")
def test_small_messages_echoed(target, siege):
    """Over a socket: 200 000 of five octets, a hundred under way."""
    count = 200_000 // PART
    with (
        siege(target, memory=8 * MIB, cpu=6.0),
        target.attack((f.INITIAL_WINDOW_SIZE, 2**30), keep=False) as attacker,
    ):
        attacker.send(f.window_update(0, 2**30))
        attacker.websocket()
        batch = f.data(1, ws_frame(2, b"12345", key=KEY)) * 1000
        for number in range(1, count // 1000 + 1):
            attacker.send(batch)
            assert attacker.read_until(lambda n=7000 * (number - 1): attacker.octets[1] >= n, 20)
        assert attacker.read_until(lambda: attacker.octets[1] == 7 * count, 20)
        assert attacker.goaway is None


@row("SEC-9-1")
@pytest.mark.parametrize("way", ["at once", "crossing", "closed"])
def test_many_websockets_behind_one_proxy_end_together(siege, way):
    """20 000 on one connection, as HAProxy ends them: END_STREAM, then RST_STREAM(CANCEL)."""
    count = 20_000 // PART
    with (
        Target(settings={"max_concurrent_streams": 25_000}) as target,
        # Whoever else is there waits while 10 000 handlers begin in one read.
        siege(target, memory=count * 12_000 + 8 * MIB, cpu=8.0, latency=10.0),
    ):
        proxy = Attacker(target.port)
        ids = range(1, 2 * count + 1, 2)
        block = proxy.repeated(proxy.connect)
        proxy.send(*(f.headers(i, block) for i in ids[1:]))
        assert proxy.read_until(lambda: proxy.statuses["200"] == count, 40)
        begun = time.monotonic()
        if way == "at once":
            proxy.send(*(f.data(i, b"", True) + f.rst_stream(i, f.CANCEL) for i in ids))
        elif way == "crossing":
            proxy.send(*(f.data(i, b"", True) for i in ids))
            proxy.send(*(f.rst_stream(i, f.CANCEL) for i in ids))
        else:
            close = close_frame(1001, key=KEY)
            proxy.send(*(f.data(i, close, True) + f.rst_stream(i, f.CANCEL) for i in ids))
        proxy.send(f.ping())
        assert proxy.read_until(lambda: proxy.acks == 2, 20)
        assert time.monotonic() - begun < 5 * PART
        # The connection goes on.
        fresh = 2 * count + 1
        proxy.websocket(fresh)
        proxy.send(f.data(fresh, ws_frame(1, b"hello", key=KEY)))
        assert proxy.read_until(lambda: bytes(proxy.data.get(fresh, b""))[2:] == b"hello")
        assert proxy.goaway is None
        proxy.close()
