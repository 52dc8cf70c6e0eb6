"""What a client may send, however it comes and goes."""

import pytest

from h2ws_fast.masque.quota import Quota, Quotas

row = pytest.mark.row

LONGEST = 65535 + 48


def passed(quota, size, seconds, step=0.001, begin=0.0):
    """How many octets pass of a flood of such packets, in so long."""
    octets = 0
    for number in range(int(seconds / step)):
        while quota.take(size, begin + number * step):
            octets += size
    return octets


@row("SEC-8-3")
@pytest.mark.parametrize("rate", [10_000, 200_000, 10_000_000])
def test_a_rate_holds_over_time(rate):
    burst = max(rate, LONGEST)
    octets = passed(Quota(rate, 0.0), 1028, 2.0)
    assert 0.95 * (burst + 2 * rate) <= octets <= burst + 2 * rate


@row("SEC-8-3")
def test_who_leaves_and_comes_back_has_no_more():
    quotas = Quotas(10_000)
    octets, now = 0, 0.0
    for _ in range(1000):
        quota = quotas.enter("me", now)
        while quota.take(1028, now):
            octets += 1028
        quotas.leave("me", now)
        now += 0.001
    assert octets <= LONGEST + 10_000 * now


@row("SEC-8-3")
def test_clients_have_each_their_own():
    quotas = Quotas(10_000)
    one, other = quotas.enter("one", 0.0), quotas.enter("other", 0.0)
    assert passed(one, 1028, 0.1)
    assert passed(other, 1028, 0.1) >= LONGEST - 1028
    assert quotas.enter("one", 0.1) is one
    assert len(quotas) == 2


def test_whoever_is_whole_again_is_forgotten():
    quotas = Quotas(10_000)
    for number in range(100):
        quotas.enter(number, 0.0).take(1000, 0.0)
    for number in range(100):
        quotas.leave(number, 0.0)
    assert not len(quotas)
    assert len(quotas._left) == 100
    quotas.enter("another", 0.2)
    assert not quotas._left
    for number in range(100):  # those who sent nothing are so at once
        quotas.enter(number, 1.0)
        quotas.leave(number, 1.0)
    assert not quotas._left


@pytest.mark.parametrize("rate", [1, 1000, 65535])
def test_the_longest_packet_passes_under_any_rate(rate):
    assert Quota(rate, 0.0).take(LONGEST, 0.0)


def test_no_rate_is_no_limit():
    quotas = Quotas(None)
    quota = quotas.enter("me", 0.0)
    assert all(quota.take(LONGEST, 0.0) for _ in range(1000))
    quotas.leave("me", 0.0)
    assert not quotas._left
