"""Both roles of the engine, each before a peer made of octets, in three deliveries."""

from functools import partial

import pytest

from tests.support.peer import DELIVERIES, Peer


@pytest.fixture(params=DELIVERIES)
def delivery(request):
    """How octets reach the engine: whole, one by one, or cut inside each frame's header."""
    return request.param


@pytest.fixture
def server(twin, delivery):
    """Make a peer before an engine that serves: `peer = server()`."""
    return partial(Peer, twin, "server", delivery)


@pytest.fixture
def client(twin, delivery):
    """Make a peer before an engine that is the client: `peer = client()`."""
    return partial(Peer, twin, "client", delivery)


@pytest.fixture(params=("server", "client"))
def either(request, twin, delivery):
    """Make a peer before an engine of each role in turn."""
    return partial(Peer, twin, request.param, delivery)


@pytest.fixture
def make(twin):
    """Make a peer of a given role with whole delivery: `peer = make("server")`."""
    return partial(Peer, twin)
