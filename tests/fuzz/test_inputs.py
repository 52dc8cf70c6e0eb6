"""The kept inputs of the fuzzer on each twin, and mutants of them on both."""

import importlib

import pytest

from h2ws_fast import _twins

from .build import KERNELS
from .guided import targets
from .kept import kept, play_mutant
from .targets import TARGETS

TWINS = ("compiled", "pure") if _twins.COMPILED else ("pure",)


def test_every_parser_has_a_target_with_inputs():
    assert set(targets()) == {*TARGETS, *(f"c_{name}" for name in KERNELS)}
    for name in targets():
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
def test_mutants_do_the_same_on_both_twins():
    twins = [_twins.load(twin) for twin in TWINS]
    for seed in range(200):
        one, other = play_mutant(twins, seed)
        assert one == other, seed


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
