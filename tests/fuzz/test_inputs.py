"""The kept inputs of the fuzzer on each twin, and mutants of them on both."""

import importlib
import random
from pathlib import Path

import pytest

from h2ws_fast import _twins

from .build import KERNELS
from .guided import targets
from .mutate import mutate
from .targets import TARGETS

HERE = Path(__file__).parent
TWINS = ("compiled", "pure") if _twins.COMPILED else ("pure",)


def kept(name):
    """The inputs of a target, in the order of their names."""
    folders = [HERE / folder / name for folder in ("seeds", "regressions")]
    return [path for folder in folders for path in sorted(folder.glob("*"))]


def test_every_parser_has_a_target_with_inputs():
    assert set(targets()) == {*TARGETS, *(f"c_{name}" for name in KERNELS)}
    for name in TARGETS:
        assert kept(name), name


@pytest.mark.row("SEC-9-4")
@pytest.mark.parametrize("name", TARGETS)
def test_kept_inputs(name, twin):
    """Nothing raises, whatever the octets; what is fed lies in blocks of its exact size."""
    for path in kept(name):
        try:
            TARGETS[name](twin, path.read_bytes())
        except Exception as error:
            error.add_note(str(path))
            raise


@pytest.mark.row("SEC-9-4")
@pytest.mark.skipif(len(TWINS) < 2, reason="the extensions are not built")
@pytest.mark.parametrize("name", ("frames", "websocket", "hpack_decoder", "connection"))
def test_mutants_do_the_same_on_both_twins(name):
    rng = random.Random(name)
    twins = [_twins.load(twin) for twin in TWINS]
    for path in kept(name):
        data = path.read_bytes()
        for _ in range(3):
            changed = data[:2] + b"".join(mutate(rng, [data[2:]]))
            one, other = (TARGETS[name](twin, changed) for twin in twins)
            assert one == other, (path, changed.hex())


def test_a_target_finds_what_is_wrong(twin, monkeypatch):
    """A decoder that loses a field is found out by the first input with one."""
    hpack = importlib.import_module(".hpack", twin.__name__)
    whole = hpack.Decoder

    class Forgetful:
        def __init__(self, *args):
            self.decoder = whole(*args)
            self.malformed = None
            self.too_large = False

        def decode(self, *args):
            return self.decoder.decode(*args)[1:]

    monkeypatch.setattr(hpack, "Decoder", Forgetful)
    with pytest.raises(AssertionError):
        for path in kept("hpack_decoder"):
            TARGETS["hpack_decoder"](twin, path.read_bytes())
