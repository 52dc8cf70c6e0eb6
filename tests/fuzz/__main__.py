"""`python -m tests.fuzz --seconds 60`: games of new seeds until the time is over.

Beside games of random choices, mutants of the kept inputs are played (`--kind kept`).
`--twin both` compares the twins; a game that fails prints how to play it again.
"""

import argparse
import random
import sys
import time
import traceback

from h2ws_fast import _twins

from .kept import play_mutant
from .play import ROLES, play, play_upgraded
from .targets import difference

KINDS = ("fair", "hostile", "upgraded", "kept")


def game(kind, role, seed, twins):
    """Play one game on each twin; raise where they differ."""
    if kind == "kept":
        seen = play_mutant(twins, f"{role} {seed}")
        assert len(seen) < 2 or seen[0] == seen[1], difference(*seen)
        return len(seen[0])
    seen = []
    for twin in twins:
        if kind == "upgraded":
            seen.append(play_upgraded(twin, role, seed))
        else:
            seen.append(play(twin, role, seed, hostile=kind == "hostile"))
    if len(seen) == 2:
        one, other = seen
        for line, (a, b) in enumerate(zip(one[0], other[0], strict=False)):
            assert a == b, f"line {line}: {a} and {b}"
        assert len(one[0]) == len(other[0])
        assert one[1] == other[1], "the octets differ"
    return len(seen[0][0])


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--twin", choices=("compiled", "pure", "both"), default="both")
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--role", choices=ROLES)
    parser.add_argument("--seed", type=int, help="play this game only")
    parser.add_argument("--keep-going", action="store_true")
    chosen = parser.parse_args()
    names = ("compiled", "pure") if chosen.twin == "both" else (chosen.twin,)
    twins = [_twins.load(name) for name in names]
    until = time.monotonic() + chosen.seconds
    games = failures = lines = 0
    seed = chosen.seed if chosen.seed is not None else random.randrange(10**9)
    while time.monotonic() < until:
        for kind in (chosen.kind,) if chosen.kind else KINDS:
            for role in (chosen.role,) if chosen.role else ROLES:
                try:
                    lines += game(kind, role, seed, twins)
                except Exception:
                    failures += 1
                    traceback.print_exc()
                    print(f"again: --kind {kind} --role {role} --seed {seed}", flush=True)
                    if not chosen.keep_going:
                        return 1
                games += 1
        if chosen.seed is not None:
            break
        seed += 1
    print(f"{games} games, {lines} lines, {failures} failures; the last seed was {seed}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
