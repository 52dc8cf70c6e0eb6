"""Games of fixed seeds on both twins, and of new ones for `H2WS_FAST_FUZZ_SECONDS`."""

import gc
import os
import random
import sys
import time

import pytest

from h2ws_fast import _twins

from .__main__ import KINDS, game
from .play import ROLES, play

SECONDS = float(os.environ.get("H2WS_FAST_FUZZ_SECONDS", "0"))
TWINS = ("compiled", "pure") if _twins.COMPILED else ("pure",)


@pytest.mark.row("SEC-9-4")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", ["fair", "hostile", "upgraded"])
def test_games(kind, role):
    """Nothing raises, every account is right, and both twins do the same."""
    twins = [_twins.load(name) for name in TWINS]
    for seed in range(10):
        game(kind, role, seed, twins)


# Games that found something.
@pytest.mark.parametrize(
    ("kind", "role", "seed"),
    [
        ("fair", "server", 914741070),  # octets of a partial message were given back twice
        ("hostile", "server", 914741074),  # Drained after Closed
        ("fair", "server", 482105117),  # credit that was due in a smaller window never came
        ("fair", "server", 482105542),
    ],
)
def test_games_that_found_something(kind, role, seed):
    game(kind, role, seed, [_twins.load(name) for name in TWINS])


@pytest.mark.skipif(not SECONDS, reason="H2WS_FAST_FUZZ_SECONDS is not set")
def test_games_of_new_seeds():
    twins = [_twins.load(name) for name in TWINS]
    until = time.monotonic() + SECONDS
    seed = random.randrange(10**9)
    while time.monotonic() < until:
        seed += 1
        for role in ROLES:
            for kind in KINDS:
                try:
                    game(kind, role, seed, twins)
                except Exception as error:
                    error.add_note(
                        f"python -m tests.fuzz --kind {kind} --role {role} --seed {seed}"
                    )
                    raise


@pytest.mark.skipif(not hasattr(sys, "getallocatedblocks"), reason="CPython only")
def test_a_game_leaves_nothing_behind(twin):
    def blocks():
        gc.collect()
        return sys.getallocatedblocks()

    def games():
        for seed in range(3):
            for role in ROLES:
                play(twin, role, seed, hostile=True, steps=60)

    games()
    before = blocks()
    for _ in range(3):
        games()
    assert blocks() - before < 200
