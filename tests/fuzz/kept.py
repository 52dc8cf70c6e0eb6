"""The inputs that are kept: `seeds`, and in `regressions` those that found something."""

import random
from pathlib import Path

from .mutate import mutate
from .targets import COMPARED, TARGETS

HERE = Path(__file__).parent


def kept(name):
    """Paths of the inputs of a target, in the order of their names."""
    folders = [HERE / folder / name for folder in ("seeds", "regressions")]
    return [path for folder in folders for path in sorted(folder.glob("*"))]


def play_mutant(twins, seed):
    """Change one of the inputs as `seed` says and play it on each twin; return what was seen."""
    rng = random.Random(f"kept {seed}")
    name = rng.choice(COMPARED)
    data = rng.choice(kept(name)).read_bytes()
    data = data[:2] + b"".join(mutate(rng, [data[2:]]))
    return [TARGETS[name](twin, data) for twin in twins]
