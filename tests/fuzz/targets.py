"""What is fuzzed from Python: each target takes a twin and an input, and raises where it fails.

A target returns what could be seen, which is the same on both twins.
"""

from h2ws_fast import _twins

from . import capsules, compression, deflate, dialects, misuse, octets, primitives, priorities
from .choices import Choices
from .play import ROLES, play, play_upgraded


def connection(twin, data):
    """A game whose every choice is made by the input: engine, application and peer."""
    if not data:
        return []
    role = ROLES[data[0] & 1]
    rng = Choices(data[1:])
    steps = min(120, len(data) // 16 + 1)
    hostile = data[0] & 2 != 0
    extreme = hostile and data[0] & 4 != 0
    return play(twin, role, data[0], hostile=hostile, steps=steps, rng=rng, extreme=extreme)


def upgraded(twin, data):
    """The same over an upgraded connection."""
    if not data:
        return []
    steps = min(60, len(data) // 16 + 1)
    return play_upgraded(twin, ROLES[data[0] & 1], data[0], steps=steps, rng=Choices(data[1:]))


def equivalence(twin, data):
    """Any of the others on both twins: the first octet says which."""
    if not data:
        return []
    target = TARGETS[COMPARED[data[0] % len(COMPARED)]]
    seen = target(twin, data[1:])
    other = target(_twins.load_pure(), data[1:])
    assert seen == other, difference(seen, other)
    return seen


def difference(seen, other):
    """The first line where two twins differ."""
    if isinstance(seen, tuple) and seen[0] != other[0]:
        seen, other = seen[0], other[0]
    for line, (a, b) in enumerate(zip(seen, other, strict=False)):
        if a != b:
            return f"line {line}: {a!r:.500} and {b!r:.500}"
    return f"{len(seen)} lines and {len(other)}"


TARGETS = {
    "frames": octets.frames,
    "websocket": octets.websocket,
    "http1": octets.http1,
    "hpack_decoder": compression.decoder,
    "hpack_round_trip": compression.round_trip,
    "deflate": deflate.messages,
    "agreement": deflate.agreement,
    "priority": priorities.run,
    "capsules": capsules.run,
    "dialect": dialects.run,
    "kernels": primitives.run,
    "connection": connection,
    "upgraded": upgraded,
    "misuse": misuse.run,
    "equivalence": equivalence,
}
COMPARED = (
    "frames",
    "websocket",
    "hpack_decoder",
    "hpack_round_trip",
    "connection",
    "upgraded",
    "deflate",
)
