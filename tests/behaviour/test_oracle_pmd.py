"""permessage-deflate against wsproto's: what each end compresses the other reads."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.extensions import PerMessageDeflate

from h2ws_fast.engine.agreement import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from tests.behaviour.test_oracle_wsproto import ACTIONS, SIZES, act, check_received, transport
from tests.behaviour.test_pmd import json_like
from tests.support.oracle import Oracle, Wire, accepted
from tests.support.peer import of
from tests.support.twins import of as of_twin

__all__ = ["transport"]  # a fixture

BITS = st.one_of(st.none(), st.integers(9, 15))
# What follows refers to what was said before, through the whole of a small window.
LONG = st.lists(
    st.tuples(
        st.sampled_from(["engine", "oracle"]),
        st.sampled_from(["message", "fragments"]),
        st.integers(0, 9000).map(lambda n: json_like(n, n % 3).decode()),
        st.lists(st.integers(0, 9000), max_size=3),
    ),
    max_size=6,
)


def joined(twin, transport, role, extension, factory, sizes, window):
    """Join an engine in `role` to wsproto with its extension, both having agreed."""
    far = "client" if role == "server" else "server"
    which = twin.Role.SERVER if role == "server" else twin.Role.CLIENT
    if transport == "h1":
        if role == "server":
            answer, agreed = factory.accept(f"{extension.name}; {extension.offer()}".encode())
            extension.finalize(answer.decode())
        else:
            agreed = factory.agree(accepted(extension, factory.offer().decode()).encode())
        conn = of_twin(twin, "h1").Upgraded(which, auto_credit=True, agreed=agreed)
        return Wire(conn, Oracle(far, transport, window, extension), sizes)
    oracle = Oracle(far, transport, window, extension)
    wire = Wire(twin.Connection(which, auto_credit=True), oracle, sizes)
    if role == "server":
        oracle.connect()
        wire.move()
        wire.conn.accept_websocket(1, deflate=factory)
    else:
        wire.move()
        assert wire.conn.connect_websocket("example.com", "/chat", deflate=factory) == 1
    wire.move()
    assert oracle.opened
    assert wire.conn.deflated(1) is not None
    wire.events.clear()
    return wire


@pytest.mark.row("7692-6-3", "7692-7-1")
@pytest.mark.parametrize("role", ["server", "client"])
def test_compressed_conversation_with_wsproto(twin, transport, role):
    """Any of the four parameters on either side, messages and pieces of any kind, in any split."""

    @settings(max_examples=25, deadline=None)
    @given(
        st.one_of(ACTIONS, LONG),
        SIZES,
        st.sampled_from([65535, 1000]),
        st.tuples(st.booleans(), BITS, st.booleans(), BITS),
        st.tuples(st.booleans(), st.booleans(), BITS, BITS),
        st.sampled_from([0, 128]),
    )
    def check(actions, sizes, window, theirs, ours, threshold):
        if role == "client" and ours[3] is None:
            # As a server it keeps to a window of ours that it has no words to tell us of.
            theirs = (theirs[0], None, *theirs[2:])
        extension = PerMessageDeflate(*theirs)
        made = ServerPerMessageDeflateFactory
        if role == "client":
            made = ClientPerMessageDeflateFactory
        factory = made(*ours, threshold=threshold)
        wire = joined(twin, transport, role, extension, factory, sizes, window)
        check_received(wire, *act(wire, actions))
        assert of(wire.events, "Closed") == []

    check()
