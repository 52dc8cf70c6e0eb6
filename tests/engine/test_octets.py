"""A transport that is one stream of octets, of both twins."""

import pytest

from tests.support import twins


@pytest.fixture(scope="session")
def octets(twin):
    return twins.of(twin, "octets")


@pytest.fixture
def limits(twin):
    return twins.of(twin, "limits").Limits(write_high=100, write_low=10, write_timeout_s=5)


@pytest.fixture
def tunnel(octets, limits):
    return octets.Octets(limits, 7)


def told(events):
    return [
        (type(event).__name__, *([event.data] if hasattr(event, "data") else []))
        for event in events
    ]


def sent(tunnel, most=65536, now=0.0):
    return b"".join(bytes(piece) for piece in tunnel.data_to_send(most, now))


def test_octets_pass_both_ways(tunnel):
    (event,) = tunnel.receive_data(memoryview(b"abc"))
    assert (event.stream_id, event.data, event.credit) == (7, b"abc", 3)
    assert tunnel.octets_held == 3
    tunnel.consumed(7, 3)
    assert tunnel.send_data(7, bytearray(b"de")) == 2
    assert tunnel.send_data(7, b"f") == 3 == tunnel.waiting(7) == tunnel.octets_held
    assert sent(tunnel) == b"def" and tunnel.waiting(7) == 0
    assert tunnel.receive_data(b"") == [] and tunnel.data_to_send() == []
    stats = tunnel.stats()
    assert (stats["octets_received"], stats["octets_sent"], stats["octets_queued"]) == (3, 3, 0)


@pytest.mark.parametrize("most", [1, 2, 3, 7, 100])
def test_what_leaves_is_bounded_and_whole(tunnel, most):
    tunnel.send_data(7, b"abcde")
    tunnel.send_data(7, b"fgh")
    came = b""
    while piece := sent(tunnel, most):
        assert len(piece) <= most
        came += piece
        assert tunnel.waiting(7) == 8 - len(came)
    assert came == b"abcdefgh"


def test_a_piece_that_waits_alone_leaves_by_itself(tunnel):
    assert tunnel.sole() is None
    tunnel.send_data(7, b"abc")
    tunnel.arm(1.0)
    assert tunnel.sole() == b"abc"
    assert tunnel.waiting(7) == 0 and tunnel.stats()["octets_sent"] == 3
    assert tunnel.next_timeout() is None and tunnel.sole() is None and tunnel.data_to_send() == []


def test_pieces_that_wait_together_leave_in_their_order(tunnel):
    for piece in (b"a", b"b"):
        tunnel.send_data(7, piece)
    assert tunnel.sole() is None and sent(tunnel, 1) == b"a"
    tunnel.send_data(7, b"c")
    assert tunnel.sole() is None and sent(tunnel) == b"bc"
    tunnel.send_data(7, b"d")
    assert tunnel.sole() == b"d"


def test_what_something_follows_from_does_not_leave_by_itself(tunnel):
    tunnel.attach(7, lambda event: None)
    tunnel.send_data(7, bytes(101))  # Drained
    assert tunnel.sole() is None and sent(tunnel) == bytes(101)
    tunnel.send_data(7, b"bye", True)  # the end of this side
    assert tunnel.sole() is None and sent(tunnel) == b"bye"


def test_it_rests_while_there_is_nothing_to_do(tunnel):
    assert tunnel.at_rest()
    tunnel.receive_data(bytes(100))
    assert tunnel.at_rest()
    tunnel.receive_data(b"x")  # too much that nobody has taken
    assert not tunnel.at_rest()
    tunnel.consumed(7, 101)
    tunnel.send_data(7, b"x")
    assert not tunnel.at_rest()
    sent(tunnel)
    assert tunnel.at_rest()
    tunnel.send_data(7, b"", True)
    assert not tunnel.at_rest()


def test_drained_follows_what_was_too_much(tunnel):
    heard = []
    tunnel.attach(7, heard.append)
    assert tunnel.send_data(7, bytes(100)) == 100
    sent(tunnel)
    assert heard == []  # it never was above `write_high`
    tunnel.send_data(7, bytes(101))
    sent(tunnel, 90)
    assert heard == []
    sent(tunnel, 1)
    assert told(heard) == [("Drained",)]


def test_reading_stops_while_too_much_is_not_taken(tunnel):
    assert tunnel.reading
    tunnel.receive_data(bytes(101))
    assert not tunnel.reading
    tunnel.consumed(7, 1)
    assert tunnel.reading


def test_this_side_ends_first(tunnel):
    tunnel.send_data(7, b"bye", True)
    assert not tunnel.leaving and not tunnel.half_open
    assert sent(tunnel) == b"bye"
    assert tunnel.leaving and tunnel.events() == []
    assert told(tunnel.receive_data(b"more")) == [("Data", b"more")]
    assert told(tunnel.receive_eof()) == [("Ended",), ("Terminated",)]
    assert tunnel.terminated and not tunnel.broken and not tunnel.peer_may_send
    assert tunnel.receive_loss() == []


def test_the_peer_ends_first(tunnel):
    assert told(tunnel.receive_eof()) == [("Ended",)]
    assert tunnel.half_open and tunnel.receive_eof() == []
    assert tunnel.receive_data(b"behind its end") == []
    tunnel.send_data(7, b"late")
    tunnel.send_data(7, b"", True)
    assert tunnel.events() == []
    assert sent(tunnel) == b"late"
    assert told(tunnel.events()) == [("Terminated",)]
    assert not tunnel.half_open


def test_a_verb_behind_the_end_raises(tunnel, twin):
    errors = twins.of(twin, "connection").LocalProtocolError
    tunnel.send_data(7, b"", True)
    with pytest.raises(errors):
        tunnel.send_data(7, b"x")


@pytest.mark.parametrize("ended", ["neither", "here", "there", "queued"])
def test_a_loss_is_a_reset_unless_all_was_over(tunnel, ended):
    if ended != "there":
        tunnel.send_data(7, b"x" if ended == "queued" else b"", ended == "here")
    else:
        tunnel.receive_eof()
    heard = []
    tunnel.attach(7, heard.append)
    events = tunnel.receive_loss()
    assert told(heard) == [("Reset",)] and told(events) == [("Terminated",)]
    assert heard[0].remote and tunnel.broken and tunnel.data_to_send() == []


def test_resets_drop_what_is_queued(tunnel, twin):
    tunnel.send_data(7, b"x")
    tunnel.send_data(7, b"y")
    tunnel.reset(7)
    assert told(tunnel.events()) == [("Reset",), ("Terminated",)]
    assert tunnel.broken and tunnel.data_to_send() == [] and tunnel.sole() is None
    closed = twins.of(twin, "sender").StreamClosed
    for act in (lambda: tunnel.reset(7), lambda: tunnel.send_data(7, b"x")):
        with pytest.raises(closed):
            act()
    tunnel.abort()
    assert tunnel.events() == []


def test_shutting_down_leaves_it_alone(tunnel):
    tunnel.shutdown()
    assert not tunnel.terminated
    tunnel.abort()
    assert tunnel.terminated and tunnel.broken


def test_who_takes_nothing_in_time_is_given_up(tunnel):
    assert tunnel.next_timeout() is None
    tunnel.send_data(7, bytes(50))
    tunnel.arm(1.0)
    assert tunnel.next_timeout() == tunnel.deadline() == 6.0
    sent(tunnel, 10, 3.0)  # something left: the clock begins again
    assert tunnel.next_timeout() == 8.0
    tunnel.handle_timeout(7.9)
    assert not tunnel.terminated
    tunnel.handle_timeout(8.0)
    assert tunnel.broken and told(tunnel.events()) == [("Reset",), ("Terminated",)]
    assert tunnel.next_timeout() is None
