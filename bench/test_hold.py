"""How many files a process of a benchmark may open."""

import pytest

from bench.hold import raise_file_limit

resource = pytest.importorskip("resource")


@pytest.fixture
def limits(monkeypatch):
    """A soft and a hard limit of 100 and 1000 files; those who may, raise the latter to `most`."""
    held = {"now": (100, 1000), "most": 1000}

    def change(which, to):
        assert which == resource.RLIMIT_NOFILE
        if to[1] > max(held["now"][1], held["most"]):
            raise ValueError("not allowed to raise maximum limit")
        held["now"] = to

    monkeypatch.setattr(resource, "getrlimit", lambda which: held["now"])
    monkeypatch.setattr(resource, "setrlimit", change)
    return held


def test_as_many_as_the_hard_limit_allows(limits):
    assert raise_file_limit() == 1000
    assert limits["now"] == (1000, 1000)


def test_what_suffices_is_not_changed(limits):
    limits["most"] = 5000
    assert raise_file_limit(900) == 1000
    assert limits["now"] == (1000, 1000)


def test_who_may_raises_the_hard_limit(limits):
    limits["most"] = 5000
    assert raise_file_limit(5000) == 5000
    assert limits["now"] == (5000, 5000)


def test_who_may_not_is_told_what_there_is(limits):
    assert raise_file_limit(5000) == 1000
    assert limits["now"] == (1000, 1000)
