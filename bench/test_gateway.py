"""The section `gateway`: what it compares echoes, and absent proxies are named."""

import contextlib
import sys

import pytest

from . import gateway
from .loopback import load
from .servers import NotStarted

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the proxies' CPU time is read as Linux tells it"
)


class Notes:
    """What takes the place of a Bench."""

    def __init__(self):
        self.notes, self.figures = [], {}

    def note(self, text):
        self.notes.append(text)

    def figure(self, key, value):
        self.figures[key] = value


@pytest.mark.parametrize(
    "name",
    [gateway.OURS, gateway.AWARE, gateway.HAPROXY, gateway.NGHTTPX, gateway.BY_HAND],
)
@pytest.mark.parametrize("way", gateway.WAYS, ids="-".join)
def test_every_proxy_echoes(name, way, tmp_path):
    with contextlib.closing(gateway.backend(way[1])) as back:
        try:
            proxy = gateway.Proxy(name, way, back.port, tmp_path)
        except NotStarted as error:
            pytest.skip(str(error))
        with contextlib.closing(proxy):
            shape = (1, 20) if way[0] == "h2" else (20, 1)
            reads = name == gateway.AWARE  # and sends pieces on as they come
            answer = load(proxy, (*shape, 1, 40_000), 0.5, False, warm_up=1.0, fragments=reads)
    assert "error" not in answer, answer
    assert answer["messages"] > 0


def test_absent_proxies_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(gateway.shutil, "which", lambda name, path=None: None)
    with pytest.raises(NotStarted, match="not installed"):
        gateway.Proxy(gateway.HAPROXY, ("h2", "h1"), 1, tmp_path)
    with pytest.raises(NotStarted, match="not written for h1 to h2"):
        gateway.Proxy(gateway.BY_HAND, ("h1", "h2"), 1, tmp_path)


def times(ours, haproxy, nghttpx, by_hand=None):
    found = {gateway.OURS: ours, gateway.HAPROXY: haproxy, gateway.NGHTTPX: nghttpx}
    return found if by_hand is None else {**found, gateway.BY_HAND: by_hand}


def test_the_worst_shape_is_the_figure():
    bench = Notes()
    shapes = {1: times([5, 6], [10, 12], [20, 24], [50, 60]), 2: times([9, 9], [10, 10], [6, 6])}
    gateway.compare(bench, shapes)
    assert bench.figures == {
        "gateway haproxy": 0.9,
        "gateway better": 1.5,
        "gateway by hand": 10,
    }


def test_what_was_not_measured_is_no_figure():
    bench = Notes()
    shapes = {1: times([5], [10], [20]), 2: {gateway.OURS: [9], gateway.HAPROXY: [10]}}
    gateway.compare(bench, shapes)
    assert bench.figures == {}
