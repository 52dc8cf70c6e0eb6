"""The events of the hot path, of both twins."""

import gc
import pickle

import pytest

from tests.support import twins


@pytest.fixture(scope="session")
def arrivals(twin):
    return twins.of(twin, "arrivals")


def test_hot_events(arrivals):
    for make, kind, data in (
        (arrivals.text_message, arrivals.TextMessage, "text"),
        (arrivals.bytes_message, arrivals.BytesMessage, b"octets"),
        (arrivals.data_event, arrivals.Data, b"octets"),
    ):
        event = make(0x7FFFFFFF, data, 1 << 40)
        assert type(event) is kind
        assert (event.stream_id, event.data, event.credit) == (0x7FFFFFFF, data, 1 << 40)
        assert repr(event) == (
            f"{kind.__name__}(stream_id=2147483647, data={data!r}, credit=1099511627776)"
        )
        assert event == kind(0x7FFFFFFF, data, 1 << 40)
        assert event == kind(stream_id=0x7FFFFFFF, data=data, credit=1 << 40)
        assert event != make(1, data, 1 << 40)
        assert event != make(0x7FFFFFFF, data, 1)
        assert event != (0x7FFFFFFF, data, 1 << 40)
    assert arrivals.BytesMessage(1, b"", 0) != arrivals.Data(1, b"", 0)


def test_the_collector_never_looks_at_hot_events():
    arrivals = twins.compiled("arrivals")
    for event in (
        arrivals.text_message(1, "text", 1),
        arrivals.bytes_message(1, b"octets", 1),
        arrivals.data_event(1, b"octets", 1),
    ):
        assert not gc.is_tracked(event)
        with pytest.raises(AttributeError):
            event.data = None


def test_both_twins_know_themselves_by_the_same_names(twin, arrivals):
    events = twins.of(twin, "events")
    for kind in (arrivals.TextMessage, arrivals.BytesMessage, arrivals.Data):
        assert kind.__module__ == f"{twin.__name__}.arrivals"
        assert getattr(events, kind.__qualname__) is kind
        event = kind(3, kind().data, 5)
        assert pickle.loads(pickle.dumps(event)) == event
