"""One game: an engine, an application, a peer, all of one seed."""

import importlib
import inspect
import os
import random
from contextlib import contextmanager

from h2ws_fast import _twins
from tests.support.peer import errors
from tests.support.ws_frames import BINARY, CONTINUATION, TEXT, read_ws_frames, ws_frame

from .application import Application
from .model import FAULTS, KEYS, LISTED_ERRORS, Model
from .mutate import mutate, split

ROLES = ("server", "client")


@contextmanager
def same_keys(seed):
    """Let both twins draw the same masking keys, and be silent as long before they ping."""
    random.seed(seed)
    urandom = os.urandom
    os.urandom = random.Random(seed).randbytes
    try:
        yield
    finally:
        os.urandom = urandom


def play(twin, role, seed, *, hostile=False, steps=120, rng=None, extreme=False):
    """Play one game over HTTP/2; return what could be seen: (log, octets sent).

    `rng` makes the choices where the seed is not to make them. `extreme`: every setting and limit
    may be the least or the largest that is allowed.
    """
    if rng is None:
        rng = random.Random(f"{role} {hostile} {seed}")
    settings, limits, options = arrangement(twin, rng, hostile)
    if extreme:
        settings, limits = extremes(twin, rng)
    with same_keys(seed):
        side = twin.Role.SERVER if role == "server" else twin.Role.CLIENT
        conn = twin.Connection(side, settings, limits, **options)
        known = errors(twin)
        user = Application(conn, rng, known, client=role == "client", hostile=hostile)
        peer = Model(user, rng, engine_is_client=role == "client", hostile=hostile)
        peer.read(user.pull())
        user.receive(b"".join(peer.opening()))
        for _ in range(steps):
            frames = []
            for _ in range(rng.randrange(4)):
                frames += peer.traffic()
            if hostile and rng.random() < 0.15:
                frames = mutate(rng, frames)
            for octets in split(rng, b"".join(frames)):
                user.receive(octets)
            if rng.random() < 0.5:
                user.act()
            if rng.random() < 0.8:
                peer.read(user.pull(rng.choice((64, 300, 20000, 65536, 65536))))
            if rng.random() < 0.03:
                user.tick(rng.choice((0.001, 1.0, 4.0)))
            check(conn, user, peer)
            if conn.terminated and rng.random() < 0.5:
                break
        finish(conn, user, peer, settings, options)
    return user.log, b"".join(peer.octets)


def arrangement(twin, rng, hostile):
    settings = twin.Settings(
        initial_window_size=rng.choice((262144, 65535, 1000, 100)),
        connection_window=rng.choice((65535, 70000, 2**24)),
        max_concurrent_streams=rng.choice((1000, 1000, 5)),
        max_frame_size=rng.choice((16384, 16384, 40000)),
    )
    named = {"max_window_updates": None} if rng.random() < 0.7 else {}
    if hostile or rng.random() < 0.2:
        named |= rng.choice(
            (
                {"max_message": 3000, "max_fragments": 8},
                {"max_buffered": 5000},
                {"write_high": 1, "write_low": 0, "max_pong_backlog": 10},
                {"max_local_resets": 20, "reset_burst": 20, "glitch_burst": 20},
                {"max_queued": 100000, "max_control_octets": 65536},
            )
        )
    options = {
        "auto_credit": rng.random() < 0.4,
        "answer_malformed": rng.random() < 0.3,
    }
    return settings, twin.Limits(**named), options


def extremes(twin, rng):
    """Settings and limits, each of them usual or the least or the largest that is allowed."""
    largest = 2**31 - 1
    bounds = {
        "header_table_size": (0, 2**16),
        "max_concurrent_streams": (0, largest),
        "initial_window_size": (0, largest),
        "max_frame_size": (16384, 2**24 - 1),
        "max_header_list_size": (0, 2**32 - 1),
        "connection_window": (65535, largest),
    }
    settings = {name: rng.choice(ends) for name, ends in bounds.items() if rng.random() < 0.5}
    limits = {}
    for name in inspect.signature(_twins.load_pure().Limits).parameters:
        if rng.random() < 0.3:
            limits[name] = rng.choice((None, 1, 2, 65536, 2**31, 2**62, 2**63 - 1, 2**70))
    if limits.get("max_control_octets", None) in (1, 2):
        limits["max_control_octets"] = 65536
    limits["write_low"] = rng.choice((0, 1))
    return twin.Settings(**settings), twin.Limits(**limits)


def check(conn, user, peer):
    """What holds at any time."""
    user.more()
    stats = conn.stats()
    assert all(value >= 0 for value in stats.values() if isinstance(value, int)), stats
    assert stats["open_streams"] == conn.open_streams
    if not conn.open_streams:
        assert stats["octets_buffered"] == 0, stats
        if stats["octets_queued"]:
            # What was framed for many leaves, though its streams are over: all of it, at once.
            octets = user.pull(2**24)
            assert len(octets) >= stats["octets_queued"], stats
            peer.read(octets)
            assert conn.open_streams or conn.stats()["octets_queued"] == 0, conn.stats()
    if conn.terminated:
        assert user.terminated and not conn.open_streams
        said = [line for line in user.log if "Terminated(" in line[-1]][-1][1]
        code = int(said.partition("error_code=")[2].partition(",")[0])
        assert code in LISTED_ERRORS
        assert user.aborted or peer.hostile or code not in FAULTS, said
    else:
        assert not user.terminated


def finish(conn, user, peer, settings, options):
    """Take everything, give everything back, and look whether something was lost."""
    if not conn.terminated and not peer.hostile:
        from tests.support import frames as f

        for _ in range(30):
            while peer.pending_acks:
                peer.pending_acks -= 1
                user.receive(f.settings_ack())
            user.give_back(len(user.owed))
            octets = user.pull()
            peer.read(octets)
            if not octets and not user.owed and not peer.pending_acks:
                break
        for stream_id, stream in peer.streams.items() if not conn.terminated else ():
            # Both sides agree on every window, and nothing of it is lost.
            over = stream.reset or stream.ended_here or stream_id not in user.known
            if over or not (stream.answered or peer.client is False):
                continue
            if stream.parts is None and stream.answered:
                assert stream.left * 2 + 30 >= peer.engine_initial, (
                    f"stream {stream_id}: {stream.left} of {peer.engine_initial}",
                    settings.initial_window_size,
                    options,
                )
        if not conn.terminated:
            assert peer.left * 2 >= settings.connection_window, peer.left
        told(user, peer)
    user.eof()
    peer.read(user.pull())
    assert user.terminated and conn.terminated and not conn.open_streams
    stats = conn.stats()
    assert stats["octets_buffered"] == stats["octets_queued"] == 0, stats
    for stream_id in user.known:
        for name, more in (("send_message", b""), ("send_data", b""), ("reset", 0)):
            assert user.verb(name, stream_id, more) is None, name
    assert user.pull() == b""


def told(user, peer):
    """Every message arrives once, whole and in order, each way."""
    for stream_id, stream in peer.streams.items():
        if not stream.websocket or not stream.answered:
            continue
        heard = user.heard.get(stream_id, [])
        assert heard == stream.sent[: len(heard)], f"stream {stream_id}: other messages came"
        if stream.ended_there and not stream.reset:
            same = messages(stream.received) == user.said.get(stream_id, [])
            assert same, f"stream {stream_id}: other messages went"


def messages(octets):
    found, parts, opcode = [], b"", 0
    for frame in read_ws_frames(octets):
        if frame.opcode in (TEXT, BINARY):
            opcode, parts = frame.opcode, b""
        if frame.opcode in (TEXT, BINARY, CONTINUATION):
            parts += frame.payload
            if frame.fin:
                found.append(parts.decode() if opcode == TEXT else parts)
    return [one for one in found if one != "to many"]


def play_upgraded(twin, role, seed, *, steps=60, rng=None):
    """Play one game over an upgraded connection, the peer's octets often wrong."""
    if rng is None:
        rng = random.Random(f"h1 {role} {seed}")
    h1 = importlib.import_module(".h1", twin.__name__)
    limits = twin.Limits(**rng.choice(({}, {"max_message": 3000}, {"max_pong_backlog": 10})))
    side = twin.Role.SERVER if role == "server" else twin.Role.CLIENT
    sent = []
    with same_keys(seed):
        conn = h1.Upgraded(side, limits, auto_credit=rng.random() < 0.5)
        user = Application(conn, rng, errors(twin), client=False, hostile=True)
        user.known.append(1)
        for _ in range(steps):
            frames = []
            for _ in range(rng.randrange(4)):
                payload = rng.choice((b"", b"a", b"hello" * 20, b"b" * 2000, rng.randbytes(200)))
                opcode = rng.choice((0, 1, 1, 2, 2, 9, 10, rng.choice((8, 3, 11))))
                key = rng.choice(KEYS) if role == "server" else None
                frames.append(ws_frame(opcode, payload, key=key, fin=rng.random() < 0.7))
            if rng.random() < 0.2:
                frames = mutate(rng, frames)
            for octets in split(rng, b"".join(frames)):
                user.receive(octets)
            if rng.random() < 0.5:
                user.act(1)
            sent.append(user.pull(rng.choice((1, 64, 20000, 65536))))
            if rng.random() < 0.03:
                user.tick(4.0)
            stats = conn.stats()
            assert all(value >= 0 for value in stats.values() if isinstance(value, int)), stats
        user.eof()
        while octets := user.pull():
            sent.append(octets)
        user.tick(60.0)
        assert conn.terminated and user.terminated
    return user.log, b"".join(sent)
