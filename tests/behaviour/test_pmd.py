"""permessage-deflate: RFC 7692, in both roles and over both transports."""

import random
import zlib
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h2ws_fast.engine import codec
from h2ws_fast.engine.agreement import (
    Agreed,
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from h2ws_fast.engine.codec import isal_zlib
from h2ws_fast.engine.headers import MalformedMessage
from tests.support import frames as f
from tests.support.peer import CONNECT, EVENT_OCTETS, OK, Peer, of
from tests.support.twins import of as of_twin
from tests.support.websocket import CLIENT, END, SERVER, WebSocket
from tests.support.ws_frames import BINARY, CONTINUATION, PING, TEXT, read_ws_frames

row = pytest.mark.row
ROLES = (SERVER, CLIENT)
TAIL = b"\x00\x00\xff\xff"
HELLO = bytes.fromhex("f248cdc9c90700")
NAME = b"permessage-deflate"
TAKEOVER = {"server_no_context_takeover": False, "client_no_context_takeover": False}
CODECS = ("zlib", pytest.param("isal", marks=pytest.mark.skipif(not isal_zlib, reason="no isal")))


@pytest.fixture(params=("h2", "h1"))
def transport(request):
    return request.param


def agreement(role, takeover=True, *, parameters=b"", **options):
    """What `WebSocket(deflate=...)` takes: a factory that compresses everything, and the peer's say."""
    options = {"threshold": 0, **options}
    alone = b"; server_no_context_takeover; client_no_context_takeover"
    if role == SERVER:
        factory = ServerPerMessageDeflateFactory(not takeover, not takeover, **options)
        return factory, NAME + parameters
    factory = ClientPerMessageDeflateFactory(**options)
    return factory, NAME + parameters + (b"" if takeover else alone)


def opened(twin, transport, role, takeover=True, **options):
    return WebSocket(twin, transport, role, deflate=agreement(role, takeover), **options)


@pytest.fixture(params=(True, False), ids=("takeover", "alone"))
def takeover(request):
    return request.param


@pytest.fixture(params=ROLES)
def either(request, twin, transport, takeover):
    """Open a compressed WebSocket whose engine is the one, then the other."""
    return partial(opened, twin, transport, request.param, takeover)


class Reference:
    """The far end's zlib: `pack` makes a message, `unpack` reads one; nothing of ours in it."""

    def __init__(self, takeover=True, bits=15, level=6, window=15):
        self.takeover = takeover
        self.make = partial(zlib.compressobj, level, zlib.DEFLATED, -bits)
        self.out, self.back = self.make(), zlib.decompressobj(-window)
        self.window = window

    def pack(self, data):
        if not self.takeover:
            self.out = self.make()
        packed = self.out.compress(data) + self.out.flush(zlib.Z_SYNC_FLUSH)
        assert packed.endswith(TAIL)
        return packed[:-4]

    def unpack(self, data):
        if not self.takeover:
            self.back = zlib.decompressobj(-self.window)
        return self.back.decompress(data + TAIL)


def compressed(socket, opcode, payload, **fields):
    return socket.frame(opcode, payload, rsv=4, **fields)


def fails(socket, code, *octets, **how):
    before = len(socket.messages)
    socket.feed(*octets, **how)
    assert socket.sent() == [("close", code)]
    socket.feed(socket.frame(TEXT, b"late"), compressed(socket, TEXT, HELLO))
    assert socket.sent() == []
    assert len(socket.messages) == before
    socket.feed(end=True)
    assert socket.sent() == [END]
    assert socket.closed.code == code
    if socket.transport == "h2":
        assert socket.conn.open_streams == 0
        assert socket.conn.octets_held == 0
        socket.peer.expect_alive()


def json_like(n, seed=1):
    words = random.Random(seed)
    text = ""
    while len(text) < n:
        text += f'{{"id": {words.randrange(9999)}, "name": "user{words.randrange(99)}"}}, '
    return text[:n].encode()


# -- the negotiation: a server's ---------------------------------------------------------------


def accept(offers, **options):
    answer = ServerPerMessageDeflateFactory(**options).accept(offers)
    return None if answer is None else answer[0]


PLAIN_SERVER = {**TAKEOVER, "server_max_window_bits": None}


@row("7692-5-1")
def test_the_first_acceptable_offer_is_taken():
    take = partial(accept, **PLAIN_SERVER)
    assert take(b"permessage-deflate; bad, permessage-deflate") == NAME
    assert take(b"x-other, permessage-deflate") == NAME
    assert take(b"x-other; a=1; b") is None
    assert take(b"permessage-deflate; bad, permessage-deflate; server_max_window_bits=7") is None
    both = b"permessage-deflate; server_max_window_bits=10, permessage-deflate"
    assert take(both) == b"permessage-deflate; server_max_window_bits=10"
    assert take(b"permessage-deflate, permessage-deflate; server_max_window_bits=10") == NAME
    assert take(b'permessage-deflate; server_max_window_bits="11"').endswith(b"=11")


def test_the_defaults_of_a_server_take_nothing_over():
    answer = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    for browser in (b"permessage-deflate; client_max_window_bits", b"permessage-deflate"):
        response, agreed = ServerPerMessageDeflateFactory().accept(browser)
        assert response == answer + b"; server_max_window_bits=12"
        assert (agreed.bits, agreed.sends, agreed.receives) == (12, False, False)


BAD_PARAMETERS = (
    b"bad",
    b"bad=1",
    b"server_no_context_takeover=1",
    b"client_no_context_takeover=true",
    b"server_no_context_takeover; server_no_context_takeover",
    b"client_max_window_bits; client_max_window_bits=10",
    b"server_max_window_bits=10; server_max_window_bits=10",
    *(
        b"%s_max_window_bits=%s" % (end, value)
        for end in (b"server", b"client")
        for value in (b"7", b"16", b"08", b"010", b"+8", b'""', b"0", b"a", b"99999999999999999999")
    ),
)


@row("7692-7-1", "7692-7.1.1-3", "7692-7.1.2.1-1", "7692-7.1.2.2-2")
@pytest.mark.parametrize("parameters", BAD_PARAMETERS)
def test_an_offer_with_bad_parameters_is_declined_and_never_refused(twin, parameters):
    offer = NAME + b"; " + parameters
    assert accept(offer, **PLAIN_SERVER) is None
    if b'""' not in parameters:  # that is no extension at all
        assert accept(offer + b", permessage-deflate", **PLAIN_SERVER) == NAME
    peer = Peer(twin, "server")
    peer.open([*CONNECT, ("sec-websocket-extensions", offer.decode())])
    peer.conn.accept_websocket(1, deflate=ServerPerMessageDeflateFactory())
    (head,) = [one for one in peer.sent() if one.kind == f.HEADERS]
    fields = dict(peer.decoder.decode(head.content)) if hasattr(peer, "decoder") else {}
    assert "sec-websocket-extensions" not in fields
    assert peer.conn.deflated(1) is None


@row("7692-7.1.2.1-1", "7692-7.1.2-x")
def test_the_servers_window_is_as_small_as_asked_for():
    for bits in range(9, 16):
        offer = b"permessage-deflate; server_max_window_bits=%d" % bits
        response, agreed = ServerPerMessageDeflateFactory(**PLAIN_SERVER).accept(offer)
        assert response == offer
        assert agreed.bits == bits
        response, agreed = ServerPerMessageDeflateFactory(**TAKEOVER).accept(offer)
        assert response == NAME + b"; server_max_window_bits=%d" % min(bits, 12)
        assert agreed.bits == min(bits, 12)
    assert accept(b"permessage-deflate; server_max_window_bits=8") is None
    assert accept(b"permessage-deflate; server_max_window_bits") is None


@row("7692-7.1.2.1-2")
def test_a_server_may_name_its_window_unasked():
    assert accept(NAME, **TAKEOVER, server_max_window_bits=10).endswith(b"window_bits=10")
    factory = ClientPerMessageDeflateFactory()
    assert factory.agree(b"permessage-deflate; server_max_window_bits=10").receives


@row("7692-7.1.2.2-1")
def test_a_server_bounds_the_clients_window_only_where_the_client_can():
    options = {**PLAIN_SERVER, "client_max_window_bits": 10}
    assert accept(NAME, **options) == NAME
    for offer, bits in ((b"", 10), (b"=15", 10), (b"=9", 9), (b"=8", 8)):
        response = accept(NAME + b"; client_max_window_bits" + offer, **options)
        assert response == NAME + b"; client_max_window_bits=%d" % bits
    assert accept(NAME, **options, require_client_max_window_bits=True) is None
    assert accept(NAME + b"; client_max_window_bits", **PLAIN_SERVER) == NAME


@row("7692-7.1.1.1-1", "7692-7.1.1.2-2")
def test_takeover_is_given_up_where_the_client_asks():
    factory = ServerPerMessageDeflateFactory(**PLAIN_SERVER)
    response, agreed = factory.accept(NAME + b"; server_no_context_takeover")
    assert response == NAME + b"; server_no_context_takeover"
    assert (agreed.sends, agreed.receives) == (False, True)
    response, agreed = factory.accept(NAME + b"; client_no_context_takeover")
    assert response == NAME + b"; client_no_context_takeover"
    assert (agreed.sends, agreed.receives) == (True, False)
    assert factory.accept(NAME)[1] is factory.accept(NAME)[1]  # shared by all that agree on it


@pytest.mark.parametrize(
    "options",
    [
        {"server_max_window_bits": 8},
        {"server_max_window_bits": 16},
        {"client_max_window_bits": 7},
        {"compress_settings": {"level": 10}},
        {"compress_settings": {"memLevel": 0}},
        {"compress_settings": {"wbits": 9}},
        {"threshold": -1},
        {"threshold": 1.5},
        {"threshold": True},
        {"codec": "lzma"},
        {"codec": "isal", "compress_settings": {"level": 6}},
    ],
)
def test_wrong_arguments_of_a_factory(options):
    for factory in (ServerPerMessageDeflateFactory, ClientPerMessageDeflateFactory):
        with pytest.raises(ValueError, match=r"must|compress_settings|codec"):
            factory(**options)


def test_a_demand_without_a_number_is_refused():
    with pytest.raises(ValueError, match="needs client_max_window_bits"):
        ServerPerMessageDeflateFactory(require_client_max_window_bits=True)


def test_a_library_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(codec, "isal_zlib", None)
    with pytest.raises(ValueError, match="codec isal is not installed: pip install"):
        codec.choose("isal", 1)
    assert codec.choose(None, 1) == "zlib"


def test_offers_longer_than_any_browsers_are_declined():
    factory = ServerPerMessageDeflateFactory()
    assert factory.accept(NAME + b", a" * 1000) is not None
    assert factory.accept(NAME + b", a" * 1400) is None


# -- the negotiation: a client's ---------------------------------------------------------------


def test_what_a_client_offers():
    assert ClientPerMessageDeflateFactory().offer() == NAME + b"; client_max_window_bits"
    factory = ClientPerMessageDeflateFactory(True, True, 10, 11)
    assert factory.offer() == (
        NAME + b"; server_no_context_takeover; client_no_context_takeover"
        b"; server_max_window_bits=10; client_max_window_bits=11"
    )
    assert ClientPerMessageDeflateFactory(client_max_window_bits=None).offer() == NAME


BAD_RESPONSES = (
    *(NAME + b"; " + parameters for parameters in BAD_PARAMETERS),
    b"permessage-deflate, permessage-deflate",
    b"permessage-deflate, x-other",
    b"x-other",
    b"permessage-deflate; client_max_window_bits",
    b"permessage-deflate; server_max_window_bits",
    b"",
    b",",
)


@row("7692-5-2", "7692-7-2", "7692-7.1.1-3", "7692-7.1.2.2-2")
@pytest.mark.parametrize("response", BAD_RESPONSES)
def test_a_response_that_does_not_answer_fails_the_client(twin, response):
    factory = of_twin(twin, "agreement").ClientPerMessageDeflateFactory()
    with pytest.raises(of_twin(twin, "headers").MalformedMessage):
        factory.agree(response)
    peer = Peer(twin, "client", peer_settings=((f.ENABLE_CONNECT_PROTOCOL, 1),))
    peer.conn.connect_websocket("example.com", deflate=factory)
    peer.sent()
    peer.feed(peer.headers(1, [*OK, ("sec-websocket-extensions", response.decode())]))
    (reset,) = of(peer.events, "Reset")
    assert (
        "extension" in reset.reason
        or "window" in reset.reason
        or "deflate" in reset.reason
        or ("parameter" in reset.reason)
    )
    assert [one.kind for one in peer.sent()] == [f.RST_STREAM]
    peer.expect_alive()


@row("7692-5-2")
def test_compression_that_was_not_offered_fails_the_client(twin):
    peer = Peer(twin, "client", peer_settings=((f.ENABLE_CONNECT_PROTOCOL, 1),))
    peer.conn.connect_websocket("example.com")
    peer.sent()
    peer.feed(peer.headers(1, [*OK, ("sec-websocket-extensions", "permessage-deflate")]))
    assert of(peer.events, "Reset")


@row("7692-7.1.2.1-3", "7692-7.1.2.2-1", "7692-7.1.2.2-3")
def test_bits_of_a_response_against_those_offered():
    factory = ClientPerMessageDeflateFactory(server_max_window_bits=10, client_max_window_bits=10)
    good = b"; server_max_window_bits=10"
    assert factory.agree(NAME + good).bits == 10
    assert factory.agree(NAME + b"; server_max_window_bits=9").bits == 10
    assert factory.agree(NAME + good + b"; client_max_window_bits=9").bits == 9
    for wrong in (b"", b"; server_max_window_bits=11", good + b"; client_max_window_bits=12"):
        with pytest.raises(MalformedMessage):
            factory.agree(NAME + wrong)
    silent = ClientPerMessageDeflateFactory(client_max_window_bits=None)
    with pytest.raises(MalformedMessage):
        silent.agree(NAME + b"; client_max_window_bits=10")


@row("7692-7.1.1.1-2", "7692-7.1.1.2-1")
def test_a_client_takes_both_no_context_takeovers_unasked():
    factory = ClientPerMessageDeflateFactory()
    agreed = factory.agree(NAME + b"; server_no_context_takeover; client_no_context_takeover")
    assert (agreed.sends, agreed.receives) == (False, False)
    agreed = factory.agree(NAME)
    assert (agreed.sends, agreed.receives) == (True, True)
    assert factory.agree(None) is None


# -- frames that arrive ------------------------------------------------------------------------


VECTORS = {
    "fixed codes": "f248cdc9c90700",
    "stored": "000500faff48656c6c6f00",
    "final block": "f348cdc9c9070000",
    "final block without its octet": "f348cdc9c90700",
    "two blocks": "f248050000 00ffffcac9c90700",
}


@row("7692-7.2.2-1", "7692-7.2.3-1")
@pytest.mark.parametrize("name", VECTORS)
def test_blocks_of_every_kind_inflate(either, name, takeover):
    octets = bytes.fromhex(VECTORS[name])
    for step in (1, 2, 3, None):
        socket = either()
        socket.feed(compressed(socket, TEXT, octets), step=step)
        second = bytes.fromhex("f200110000") if takeover else HELLO
        socket.feed(compressed(socket, BINARY, second), step=step)
        socket.feed(compressed(socket, TEXT, octets), step=step)
        assert socket.messages == ["Hello", b"Hello", "Hello"]


@row("7692-7.2.3-1")
def test_back_references_over_final_blocks(either, takeover):
    """The window is 32 KiB of what came before, through every BFINAL and from message to message."""
    data = random.Random(5).randbytes(30000)
    socket, past = either(), b""
    for _ in range(3):
        make = partial(zlib.compressobj, 6, zlib.DEFLATED, -15)
        first = make(zdict=past[-32768:]) if takeover and past else make()
        second = make(zdict=((past if takeover else b"") + data)[-32768:])
        octets = first.compress(data) + first.flush(zlib.Z_FINISH)
        octets += second.compress(data) + second.flush(zlib.Z_FINISH) + b"\x00"
        assert len(octets) < 1.1 * len(data)
        past += data + data
        socket.feed(compressed(socket, BINARY, octets), step=1009)
    assert socket.messages == [data + data] * 3


@row("SEC-5-2")
def test_final_blocks_are_counted(either):
    socket = either()
    socket.feed(compressed(socket, BINARY, b"\x03\x00" * 100))
    assert socket.messages == [b""]
    fails(socket, 1008, compressed(socket, BINARY, b"\x03\x00" * 60000))


@row("7692-7.2.3.6-1")
@pytest.mark.parametrize("empty", ["00", "0200", ""])
def test_empty_messages_break_nothing(either, empty):
    socket = either()
    reference = Reference(socket.deflate[0] is not None)
    for _ in range(2):
        socket.feed(compressed(socket, TEXT, bytes.fromhex(empty)))
        socket.feed(compressed(socket, BINARY, HELLO))
        first = compressed(socket, TEXT, bytes.fromhex(empty), fin=False)
        socket.feed(first, socket.frame(CONTINUATION))
    assert reference.unpack(HELLO) == b"Hello"
    assert socket.messages == ["", b"Hello", ""] * 2


@row("7692-6-1")
@pytest.mark.parametrize("step", [1, None])
def test_rsv1_where_it_may_not_stand(either, step):
    for wrong in (
        lambda s: [compressed(s, PING, b"x")],
        lambda s: [compressed(s, 8, b"\x03\xe8")],
        lambda s: [
            compressed(s, TEXT, HELLO[:3], fin=False),
            compressed(s, CONTINUATION, HELLO[3:]),
        ],
        lambda s: [s.frame(TEXT, b"He", fin=False), compressed(s, CONTINUATION, b"llo")],
        lambda s: [compressed(s, CONTINUATION, HELLO)],
        lambda s: [compressed(s, TEXT, HELLO, fin=False), compressed(s, TEXT, HELLO)],
        lambda s: [compressed(s, 3, HELLO)],
        lambda s: [s.frame(TEXT, HELLO, rsv=2)],
        lambda s: [s.frame(TEXT, HELLO, rsv=1)],
        lambda s: [s.frame(TEXT, HELLO, rsv=5)],
        lambda s: [s.frame(TEXT, HELLO, rsv=6)],
    ):
        socket = either()
        octets = wrong(socket)
        if octets[0][0] & 0xF == 8:
            socket.feed(*octets, end=True)
            assert socket.sent()[0] == ("close", 1002)
        else:
            fails(socket, 1002, *octets, step=step)


@row("7692-6-1", "6455-5.2-1")
def test_rsv1_without_agreement(twin, transport):
    for role in ROLES:
        socket = WebSocket(twin, transport, role)
        fails(socket, 1002, compressed(socket, TEXT, HELLO))


def test_a_compressed_frame_keeps_the_rule_of_masking(either):
    socket = either()
    key = None if socket.role == SERVER else b"\x01\x02\x03\x04"
    fails(socket, 1002, compressed(socket, TEXT, HELLO, key=key))


@row("7692-6-2", "7692-6-3", "7692-7.2.2-2")
def test_plain_compressed_and_fragmented_messages_mix_in_any_split(either, takeover):
    texts = [json_like(900, seed).decode() + "é€😀" for seed in range(3)] + ["", "x"]
    for step in (1, 7, 100, None):
        socket, reference = either(), Reference(takeover)
        octets, expected, pings = [], [], 0
        for number, text in enumerate(texts * 2):
            data = text.encode()
            if number % 3 == 0:
                octets.append(socket.frame(TEXT, data))
                expected.append(text)
                continue
            packed = reference.pack(data)
            if number % 3 == 1:
                octets.append(compressed(socket, BINARY, packed))
                expected.append(data)
                continue
            cuts = [0, len(packed) // 3, len(packed) // 2, len(packed) // 2, len(packed)]
            for at in range(4):
                part = packed[cuts[at] : cuts[at + 1]]
                opcode = CONTINUATION if at else TEXT
                octets.append(socket.frame(opcode, part, fin=at == 3, rsv=0 if at else 4))
                octets.append(socket.frame(PING, b"between"))
                pings += 1
            expected.append(text)
        socket.feed(*octets, step=step)
        assert socket.messages == expected
        assert socket.sent() == [("pong", b"between")] * pings


@row("7692-7.2.2-2")
def test_the_window_of_what_arrives_is_whole_whatever_was_hinted(twin, transport):
    """A client that offered 9 bits and was not told to keep them may compress with 15."""
    far = random.Random(1).randbytes(32000)
    socket = WebSocket(
        twin, transport, SERVER, deflate=agreement(SERVER, parameters=b"; client_max_window_bits=9")
    )
    reference = Reference()
    for data in (far, far[:200]):
        packed = reference.pack(data)
        socket.feed(compressed(socket, BINARY, packed))
    assert len(packed) < 50
    assert socket.messages == [far, far[:200]]


@row("7692-8.2-1")
def test_what_does_not_inflate_fails_with_1007_and_delivers_nothing(either):
    for octets in (b"\xff", b"\x07", b"\x01\x05\x00\x00\x00Hello", b"\x6f" + HELLO):
        for step in (1, None):
            socket = either()
            fails(socket, 1007, compressed(socket, TEXT, octets), step=step)


@row("7692-8.2-1")
def test_what_is_cut_short_fails_with_1007(either):
    for octets in (b"\x00\x05\x00\xfa\xffHel", HELLO[:3], b"\x00\x09\x00\xf6\xffHel"):
        socket = either()
        fails(socket, 1007, compressed(socket, TEXT, octets))


@row("7692-8.2-1")
def test_flipped_bits_never_raise(twin, transport):
    packed = Reference().pack(json_like(400))
    for role in ROLES:
        for bit in range(0, 8 * len(packed), 3):
            octets = bytearray(packed)
            octets[bit >> 3] ^= 1 << (bit & 7)
            socket = opened(twin, transport, role, limits={"max_message": 4096})
            socket.feed(compressed(socket, BINARY, bytes(octets)))
            sent = socket.sent()
            assert (sent == []) == (len(socket.messages) == 1)
            assert sent in ([], [("close", 1007)], [("close", 1009)], [("close", 1008)])


@row("7692-x-2")
def test_inflated_text_is_checked_as_it_comes(either, takeover):
    good = "é€😀 ".encode() * 9
    for step in (1, 3, None):
        socket, reference = either(), Reference(takeover)
        socket.feed(compressed(socket, TEXT, reference.pack(good)), step=step)
        assert socket.messages == [good.decode()]
        for bad in (b"\xff", b"\xed\xa0\x80", good[:-3], good + b"\xf4\x90"):
            socket, reference = either(), Reference(takeover)
            fails(socket, 1007, compressed(socket, TEXT, reference.pack(bad)), step=step)
    # At the first octet that can be part of no text, although the message goes on.
    socket = either()
    stored = b"\x00\x03\x00\xfc\xffa\xffb"
    fails(socket, 1007, compressed(socket, TEXT, stored, fin=False))


# -- limits ------------------------------------------------------------------------------------


@row("SEC-5-1")
@pytest.mark.parametrize("step", [None, 7])
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("size", [1000, 1001])
def test_what_a_fragment_expands_to_is_bounded(either, step, frames, size):
    socket = either(limits={"max_message": 5000, "max_fragment": 1000})
    out = zlib.compressobj(6, zlib.DEFLATED, -15)
    pieces = [out.compress(b"a" * size) + out.flush(zlib.Z_SYNC_FLUSH) for _ in range(frames)]
    pieces[-1] = pieces[-1][:-4]
    octets = [compressed(socket, BINARY, pieces[0], fin=frames == 1)]
    octets += [
        socket.frame(CONTINUATION, piece, fin=at == frames)
        for at, piece in enumerate(pieces[1:], start=2)
    ]
    if size == 1000:
        socket.feed(*octets, step=step)
        assert socket.messages == [b"a" * size * frames]
    else:
        fails(socket, 1009, *octets, step=step)
        assert socket.conn.stats()["limits"] == {"max_fragment": 1}


@row("7692-x-1", "SEC-5-2")
@pytest.mark.parametrize("step", [1, 500, None])
def test_a_bomb_is_1009_before_it_goes_off(either, step):
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = bomb.compress(bytes(20_000_000)) + bomb.flush(zlib.Z_SYNC_FLUSH)[:-4]
    step = None if step == 1 else step
    for opcode in (TEXT, BINARY):
        socket = either(limits={"max_message": 100_000})
        fails(socket, 1009, compressed(socket, opcode, packed), step=step)
        assert socket.conn.stats()["limits"] == {"max_message": 1}


@row("7692-x-1")
def test_the_limit_counts_inflated_octets(either, takeover):
    noise = random.Random(2).randbytes(5000)
    for data, fits in (
        (bytes(5000), True),
        (bytes(5001), False),
        (noise, True),
        (noise + b"x", False),
    ):
        for cut in (None, 1, 20):
            socket, reference = either(limits={"max_message": 5000}), Reference(takeover)
            packed = reference.pack(data)
            if cut is None:
                octets = [compressed(socket, BINARY, packed)]
            else:
                octets = [
                    compressed(socket, BINARY, packed[:cut], fin=False),
                    socket.frame(CONTINUATION, packed[cut:]),
                ]
            if fits:
                socket.feed(*octets)
                assert socket.messages == [data]
            else:
                fails(socket, 1009, *octets)


def test_flushes_between_fragments_do_not_count(either):
    noise = random.Random(3).randbytes(1000)
    out = zlib.compressobj(6, zlib.DEFLATED, -15)
    pieces = [
        out.compress(noise[at : at + 10]) + out.flush(zlib.Z_SYNC_FLUSH)
        for at in range(0, 1000, 10)
    ]
    pieces[-1] = pieces[-1][:-4]
    socket = either(limits={"max_message": 1000})
    socket.feed(
        compressed(socket, BINARY, pieces[0], fin=False),
        *(socket.frame(CONTINUATION, piece, fin=False) for piece in pieces[1:-1]),
        socket.frame(CONTINUATION, pieces[-1]),
    )
    assert socket.messages == [noise]


@row("7692-x-1")
def test_a_frame_that_cannot_fit_fails_at_its_head(either):
    socket = either(limits={"max_message": 1000})
    fails(socket, 1009, compressed(socket, BINARY, bytes(1200))[:8])
    socket = either(limits={"max_message": 1000})
    fails(
        socket,
        1009,
        compressed(socket, BINARY, b"\x00\x00\x00\xff\xff" * 150, fin=False),
        socket.frame(CONTINUATION, b"\x00\x00\x00\xff\xff" * 150)[:8],
    )


@row("SEC-5-2")
@pytest.mark.parametrize("role", ROLES)
def test_what_is_inflated_must_be_consumed(twin, transport, role):
    """Thousandfold messages do not outrun their reader: SEC-5-2, and `max_buffered` holds."""
    socket = opened(twin, transport, role, auto_credit=False, limits={"max_buffered": 500_000})
    reference = Reference()
    packed = [reference.pack(bytes(100_000)) for _ in range(3)]
    socket.feed(*[compressed(socket, BINARY, one) for one in packed])
    assert socket.conn.octets_held == 300_000 + 3 * EVENT_OCTETS
    credits = [event.credit for event in of(socket.events, "BytesMessage")]
    assert credits == [100_000 + EVENT_OCTETS] * 3
    for credit in credits:
        socket.conn.consumed(1, credit)
    assert socket.conn.octets_held == 0
    socket.sent()
    socket.tick(0)
    packed = [reference.pack(bytes(100_000)) for _ in range(6)]
    socket.feed(*[compressed(socket, BINARY, one) for one in packed])
    # Half of the limit is full: the rest waits as it came.
    assert socket.conn.octets_held < 301_000
    for event in of(socket.events, "BytesMessage")[3:]:
        socket.conn.consumed(1, event.credit)
        assert socket.sent() == []
        socket.tick(0)
    for event in of(socket.events, "BytesMessage")[6:]:
        socket.conn.consumed(1, event.credit)
    assert len(socket.messages) == 9
    socket.sent()
    socket.tick(0)
    # What is not whole cannot be taken.
    socket.feed(compressed(socket, BINARY, reference.pack(bytes(600_000)), fin=False))
    assert of(socket.events, "Shed")
    assert socket.sent() == [("close", 1013)]
    assert socket.conn.octets_held == 0


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("auto_credit", [True, False])
def test_credit_of_compressed_messages_comes_back_whole(twin, role, auto_credit):
    """After any number of messages, whole and in pieces, the stream's window is what it was."""
    socket = opened(twin, "h2", role, auto_credit=auto_credit)
    reference = Reference()
    granted = spent = 0
    for number in range(300):
        packed = reference.pack(json_like(3000, number))
        octets = compressed(socket, BINARY, packed)
        spent += len(octets)
        socket.feed(octets, step=97 if number % 3 else None)
        for event in of(socket.events, "BytesMessage")[number:]:
            socket.conn.consumed(1, event.credit)
        granted += sum(
            one.increment
            for one in socket.peer.sent()
            if one.kind == f.WINDOW_UPDATE and one.stream_id
        )
    assert spent - 262144 // 2 <= granted <= spent
    assert granted
    assert socket.conn.octets_held == 0


# -- messages that leave -----------------------------------------------------------------------


@row("7692-7.2.1-1", "7692-7.2.3.6-1")
def test_what_hello_is_compressed_to(either, takeover):
    socket = either()
    socket.conn.send_message(1, "Hello")
    socket.conn.send_message(1, b"Hello" * 20)
    socket.conn.send_message(1, "")
    socket.conn.send_message(1, b"Hello" * 20)
    first, second, third, fourth = socket.frames()
    reference = Reference(takeover)
    unpack = lambda one: reference.unpack(one.payload) if one.rsv else one.payload  # noqa: E731
    # Alone it would be longer than it was.
    assert first.rsv == (4 if takeover else 0)
    assert unpack(first) == b"Hello"
    assert second.rsv == fourth.rsv == 4
    assert [unpack(one) for one in (second, third, fourth)] == [b"Hello" * 20, b"", b"Hello" * 20]
    assert (first.opcode, second.opcode, third.opcode) == (TEXT, BINARY, TEXT)
    if takeover and socket.conn.deflated(1).codec == "zlib":
        assert first.payload == HELLO
        assert third.payload == b"\x00"


@row("7692-7.1.1.1-1", "7692-7.1.1.2-1")
@pytest.mark.parametrize("codec", CODECS)
def test_without_takeover_no_message_refers_to_another(twin, transport, codec):
    for role in ROLES:
        socket = WebSocket(twin, transport, role, deflate=agreement(role, False, codec=codec))
        for _ in range(3):
            socket.conn.send_message(1, json_like(2000))
        payloads = [one.payload for one in socket.frames()]
        assert payloads[0] == payloads[1] == payloads[2]
        assert Reference(False).unpack(payloads[2]) == json_like(2000)


@row("7692-7.1.2.1-1", "7692-7.1.2.2-3")
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("bits", range(9, 16))
@pytest.mark.parametrize("role", ROLES)
def test_the_compressor_keeps_to_the_agreed_window(twin, role, bits, codec):
    """A peer with a window of so many bits and not one more reads everything."""
    noise = random.Random(bits).randbytes(40000)
    messages = [noise[:distance] + noise[:300] for distance in (400, 900, 5000, 17000, 32000)]
    parameters = b"; %s_max_window_bits=%d" % (b"server" if role == SERVER else b"client", bits)
    options = {"server_max_window_bits": 15} if role == SERVER else {"client_max_window_bits": 15}
    deflate = agreement(role, parameters=parameters, codec=codec, **options)
    socket = WebSocket(twin, "h1", role, deflate=deflate)
    assert socket.conn.deflated(1).bits == bits
    reference = Reference(window=bits)
    for data in messages:
        socket.conn.send_message(1, data)
        (one,) = socket.frames()
        assert reference.unpack(one.payload) == data


@row("7692-7.1.2-x")
def test_a_client_told_to_keep_8_bits_sends_plain(twin, transport):
    deflate = agreement(CLIENT, parameters=b"; client_max_window_bits=8")
    socket = WebSocket(twin, transport, CLIENT, deflate=deflate)
    socket.conn.send_message(1, json_like(2000))
    socket.conn.send_fragment(1, json_like(2000), True)
    assert [(one.rsv, one.payload) for one in socket.frames()] == [(0, json_like(2000))] * 2
    socket.feed(compressed(socket, TEXT, HELLO))
    assert socket.messages == ["Hello"]


@row("7692-7.2.1-2", "7692-6-1")
@pytest.mark.parametrize("codec", CODECS)
def test_fragments_are_flushed_and_only_the_last_is_stripped(twin, transport, takeover, codec):
    for role in ROLES:
        socket = WebSocket(twin, transport, role, deflate=agreement(role, takeover, codec=codec))
        reference = Reference(takeover)
        parts = [json_like(500, 1), b"", json_like(700, 2), b""]
        for _ in range(2):
            for at, part in enumerate(parts):
                socket.conn.send_fragment(1, part, at == 3)
            frames = socket.frames()
            assert [(one.opcode, one.fin, one.rsv) for one in frames] == [
                (BINARY, False, 4),
                (CONTINUATION, False, 0),
                (CONTINUATION, False, 0),
                (CONTINUATION, True, 0),
            ]
            assert frames[0].payload.endswith(TAIL)
            assert frames[2].payload.endswith(TAIL)
            assert not frames[3].payload.endswith(TAIL)
            whole = b"".join(one.payload for one in frames)
            assert reference.unpack(whole) == b"".join(parts)
        with pytest.raises(socket.errors.LocalProtocolError):
            socket.conn.send_fragment(1, b"a", False)
            socket.conn.send_message(1, b"b")


def test_a_full_queue_refuses_one_of_many(either):
    socket = either(limits={"max_queued": 1000})
    noise = random.Random(4).randbytes(2000)
    with pytest.raises(socket.errors.LocalProtocolError, match="send less until Drained"):
        socket.conn.send_many([1], noise)
    socket.conn.send_many([1], b"small")
    assert len(socket.frames()) == 1


@row("7692-x-4")
def test_small_messages_stay_plain(twin, transport):
    for role in ROLES:
        socket = WebSocket(twin, transport, role, deflate=agreement(role, threshold=100))
        for n in (99, 100):
            socket.conn.send_message(1, "a" * n)
        assert [one.rsv for one in socket.frames()] == [0, 4]


def test_long_messages_are_compressed_part_by_part_alone(twin, transport, takeover):
    """What keeps everybody else waiting is bounded."""
    for role in ROLES:
        socket = WebSocket(twin, transport, role, deflate=agreement(role, takeover, ceiling=1000))
        for n in (1000, 1001):
            socket.conn.send_message(1, "a" * n)
            socket.conn.send_many([1], "a" * n)
        socket.conn.send_fragment(1, "a" * 5000, False)
        socket.conn.send_fragment(1, "", True)
        assert [one.rsv for one in socket.frames()] == [4, 4, 0, 0, 4, 0]


@row("7692-9-1")
def test_a_message_opts_out(either, takeover):
    socket, reference = either(), Reference(takeover)
    data = json_like(1000)
    socket.conn.send_message(1, data)
    socket.conn.send_message_as(1, data, False)
    socket.conn.send_fragment(1, data, False, False)
    socket.conn.send_fragment(1, data, True)
    socket.conn.send_message_as(1, data, True)
    frames = socket.frames()
    assert [one.rsv for one in frames] == [4, 0, 0, 0, 4]
    assert [one.payload for one in frames[1:4]] == [data] * 3
    assert [reference.unpack(frames[at].payload) for at in (0, 4)] == [data] * 2
    plain = WebSocket(socket.peer.twin, "h2", SERVER) if socket.transport == "h2" else None
    if plain is not None:
        plain.conn.send_message_as(1, data, True)
        assert [one.payload for one in plain.frames()] == [data]


@row("7692-x-3")
def test_a_message_that_did_not_leave_harms_no_window(either, takeover):
    """What was compressed and had no place is not referred to by what comes after it."""
    limits = {"max_queued": 3000}
    socket, reference = either(limits=limits), Reference(takeover)
    noise = random.Random(3).randbytes(2500)
    got = []

    def collect():
        got.extend(
            reference.unpack(one.payload) if one.rsv else one.payload for one in socket.frames()
        )

    socket.conn.send_message(1, noise)
    with pytest.raises(socket.errors.LocalProtocolError):
        socket.conn.send_message(1, noise[::-1])
    collect()
    socket.conn.send_message(1, noise[::-1])
    collect()
    socket.conn.send_message(1, b"x" * 500)
    collect()
    assert got == [noise, noise[::-1], b"x" * 500]


@row("7692-x-3")
def test_a_plain_message_between_harms_no_window(either, takeover):
    socket, reference = either(), Reference(takeover)
    for number in range(6):
        socket.conn.send_message_as(1, json_like(800), number % 2 == 0)
    got = [reference.unpack(one.payload) if one.rsv else one.payload for one in socket.frames()]
    assert got == [json_like(800)] * 6


def test_a_sink_answers_compressed(either, takeover):
    socket, reference = either(), Reference(takeover)
    answers = []
    socket.conn.attach(1, answers.append, lambda data: data)
    for data in (json_like(500), b"", json_like(500)):
        socket.feed(
            compressed(socket, TEXT, Reference(False).pack(data))
            if not takeover
            else (socket.frame(TEXT, data))
        )
    frames = socket.frames()
    got = [reference.unpack(one.payload) if one.rsv else one.payload for one in frames]
    assert got == [json_like(500), b"", json_like(500)]
    assert [one.opcode for one in frames] == [TEXT] * 3


def test_one_message_for_many_is_compressed_once(twin, monkeypatch):
    made = []
    compressor = Agreed.compressor
    monkeypatch.setattr(Agreed, "compressor", lambda self: made.append(1) or compressor(self))
    peer = Peer(twin, "server", auto_credit=True)
    factory = ServerPerMessageDeflateFactory()
    offer = [("sec-websocket-extensions", "permessage-deflate")]
    ids = [peer.open(CONNECT + offer) for _ in range(4)]
    for stream_id in ids:
        peer.conn.accept_websocket(stream_id, deflate=factory)
    plain = peer.websocket()
    peer.sent()
    data = json_like(1000)
    packed = {}
    peer.conn.send_many([*ids, plain], data, packed)
    peer.conn.send_many(ids[:1], data, packed)
    assert len(made) == 1
    out = {stream_id: b"" for stream_id in [*ids, plain]}
    for one in peer.sent():
        if one.kind == f.DATA:
            out[one.stream_id] += one.content
    for stream_id in ids:
        for one in read_ws_frames(out[stream_id]):
            assert Reference(False).unpack(one.payload) == data
    assert [one.payload for one in read_ws_frames(out[plain])] == [data]
    peer.conn.send_many(ids, b"small")
    assert len(made) == 1


@row("7692-x-4")
def test_between_two_messages_nothing_is_held(twin, transport):
    """By default, a server's WebSocket has no context of zlib's once it has spoken and listened."""
    tracemalloc = pytest.importorskip("tracemalloc")
    deflate = ServerPerMessageDeflateFactory(), b"permessage-deflate; client_max_window_bits"
    socket = WebSocket(twin, transport, SERVER, deflate=deflate)

    def talk():
        socket.conn.send_message(1, json_like(1000).decode())
        socket.feed(compressed(socket, TEXT, Reference(False).pack(json_like(1000))))
        socket.feed(compressed(socket, TEXT, HELLO[:3], fin=False))
        socket.feed(socket.frame(CONTINUATION, HELLO[3:]))
        socket.sent()
        socket.events.clear()
        if transport == "h2":
            socket.peer.events.clear()
        else:
            socket._events.clear()

    talk()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        talk()
        talk()
        assert tracemalloc.get_traced_memory()[0] - before < 4096
    finally:
        tracemalloc.stop()


# -- over the narrowest windows ----------------------------------------------------------------


@row("7692-6-3", "9113-6.9.1-1")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("window", [0, 1, 2, 7, 100])
def test_compressed_messages_through_tiny_windows(twin, role, takeover, window):
    """HTTP/2 x deflate x windows of a few octets: what leaves is what was compressed, no more than
    was allowed at any time, and RSV1 stands where it belongs."""
    socket = opened(
        twin,
        "h2",
        role,
        takeover,
        peer_settings=((f.INITIAL_WINDOW_SIZE, window),),
    )
    reference = Reference(takeover)
    messages = [json_like(300, 1), b"", json_like(5, 2), json_like(400, 3)]
    for data in messages:
        socket.conn.send_message(1, data)
    socket.conn.send_fragment(1, messages[0], False)
    socket.conn.ping(1, b"between")
    socket.conn.send_fragment(1, messages[3], True)
    octets, left, rounds = b"", window, 0
    while True:
        came = b"".join(
            one.content for one in socket.peer.sent() if one.kind == f.DATA and one.stream_id == 1
        )
        assert len(came) <= left
        left -= len(came)
        octets += came
        if not socket.conn.waiting(1):
            break
        increment = rounds % 5 + 1
        rounds += 1
        left += increment
        socket.peer.feed(f.window_update(1, increment))
    frames = read_ws_frames(octets)
    got, parts = [], b""
    for one in frames:
        if one.opcode == PING:
            assert one.rsv == 0
            continue
        parts += one.payload
        if one.opcode != CONTINUATION:
            squeezed = one.rsv == 4
        if one.fin:
            got.append(reference.unpack(parts) if squeezed else parts)
            parts = b""
    assert got == [*messages, messages[0] + messages[3]]


@row("7692-6-3", "9113-6.9-1")
def test_any_messages_in_any_split_through_any_window(twin):
    sizes = st.lists(st.integers(1, 40), min_size=1, max_size=6)
    payloads = st.one_of(
        st.text(max_size=80),
        st.binary(max_size=80),
        st.integers(0, 4000).map(lambda n: json_like(n).decode()),
    )

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(payloads, max_size=6), sizes, st.booleans(), st.sampled_from(ROLES), st.booleans()
    )
    def check(messages, steps, takeover, role, fragmented):
        near = opened(
            twin,
            "h2",
            role,
            takeover,
            peer_settings=((f.INITIAL_WINDOW_SIZE, 0),),
            limits={"max_window_updates": None, "max_control_frames": None, "dribble_burst": None},
        )
        far = opened(twin, "h1", CLIENT if role == SERVER else SERVER, takeover)
        for message in messages:
            if fragmented:
                half = len(message) // 2
                near.conn.send_fragment(1, message[:half], False)
                near.conn.send_fragment(1, message[half:], True)
            else:
                near.conn.send_message(1, message)
        rounds = 0
        while near.conn.waiting(1):
            near.peer.feed(f.window_update(1, steps[rounds % len(steps)]))
            rounds += 1
            for one in near.peer.sent():
                if one.kind == f.DATA:
                    far.feed(one.content)
        assert far.messages == messages

    check()


# -- in pieces ---------------------------------------------------------------------------------


@row("7692-6-3", "7692-x-2")
@pytest.mark.parametrize("auto_credit", [True, False])
def test_compressed_messages_are_handed_over_in_pieces(either, takeover, auto_credit):
    """`stream_messages` before any, and in the middle of one."""
    data, text = json_like(30000), "é€😀" * 300
    for early in (False, True):
        socket, reference = either(auto_credit=auto_credit), Reference(takeover)
        packed = [reference.pack(data), reference.pack(text.encode()), reference.pack(b"")]
        octets = [
            compressed(socket, BINARY, packed[0][:999], fin=False),
            socket.frame(CONTINUATION, packed[0][999:]),
            compressed(socket, TEXT, packed[1]),
            socket.frame(TEXT, b"plain"),
            compressed(socket, TEXT, packed[2]),
        ]
        if early:
            socket.conn.stream_messages(1)
        socket.feed(octets[0][:500], step=100)
        if not early:
            socket.conn.stream_messages(1)
        socket.feed(octets[0][500:], *octets[1:], step=100)
        whole, found = b"", []
        for part in of(socket.events, "MessagePart"):
            whole += part.data
            socket.conn.consumed(1, part.credit)
            if part.final:
                found.append(whole.decode() if part.text else whole)
                whole = b""
        assert found == [data, text, "plain", ""]
        assert socket.conn.octets_held == 0
        fails(socket, 1007, compressed(socket, TEXT, reference.pack(b"\xff")))
    socket = either(limits={"max_message": 20000})
    socket.conn.stream_messages(1)
    fails(socket, 1009, compressed(socket, BINARY, Reference().pack(bytes(20001))))
