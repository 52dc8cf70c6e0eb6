"""What client and server agree on for permessage-deflate: RFC 7692 sections 5 and 7.

    client   ClientPerMessageDeflateFactory.offer()           -> the field of its request
    server   ServerPerMessageDeflateFactory.accept(offers)    -> the field of its response, Agreed
    client   ClientPerMessageDeflateFactory.agree(response)   -> Agreed, or MalformedMessage

A server never refuses a WebSocket for its offers: what it does not understand it declines, and the
messages stay plain. A client fails on a response that does not answer what it offered.

Not on a hot path, and never compiled.
"""

import re
from collections.abc import Mapping
from typing import Any

from .codec import choose, compressor
from .handshake import read_extensions
from .headers import MalformedMessage

__all__ = [
    "NAME",
    "Agreed",
    "ClientPerMessageDeflateFactory",
    "ServerPerMessageDeflateFactory",
]

NAME = b"permessage-deflate"

MAX_BITS = 15
MIN_BITS = 9  # zlib cannot compress for a window of 8 bits: 1.2.13 refuses it, older ones take 9

# 4 KiB of window and hashes of 8 KiB: a compressor of 32 KiB, made in 0.3 us. With a window of
# 32 KiB and zlib's memLevel of 8 it takes 268 KiB and 17 us, for messages 1 % smaller.
OWN_BITS = 12
MEM_LEVEL = 5
# 1 KiB of JSON by zlib: level 1 16 us to 0.296 of it, level 6 20 us to 0.276; 64 KiB 3 times slower.
LEVEL = 1
# Below, the octets saved are not worth the time (5 us) nor, without takeover, there at all.
THRESHOLD = 128
# Above, the time is not the connection's to take: 256 KiB of JSON hold everybody up for 3 ms by zlib,
# 2 ms by isal, and level 6 for 10 ms.
CEILING = 262144

# Browsers offer 60 octets. A list of 60 KB, which a field may be, takes 20 ms to read.
MAX_OFFERS = 4096

_BITS = re.compile(rb"[89]|1[0-5]")


class Agreed:
    """The parameters of one WebSocket's compression. WebSockets with equal ones share it.

    `sends` and `receives` tell whether messages this way are compressed after what went before
    (context takeover). `bits` is the window of what we compress; 0: it stays plain.
    """

    __slots__ = (
        "bits",
        "ceiling",
        "codec",
        "compressobj",
        "level",
        "mem_level",
        "receives",
        "sends",
        "strategy",
        "threshold",
    )

    def __init__(self, factory: "Factory", bits: int, sends: bool, receives: bool) -> None:
        self.bits = bits if bits >= MIN_BITS else 0
        self.sends = sends
        self.receives = receives
        self.threshold = factory.threshold
        self.ceiling = factory.ceiling
        self.level = factory.level
        self.mem_level = factory.mem_level
        self.strategy = factory.strategy
        self.codec = factory.codec
        self.compressobj = compressor(factory.codec)

    def compressor(self) -> Any:
        """Return a compressor that knows of nothing sent before."""
        return self.compressobj(self.level, 8, -self.bits, self.mem_level, self.strategy)

    def __repr__(self) -> str:
        takeover = f"sends={self.sends}, receives={self.receives}"
        return f"<Agreed bits={self.bits}, {takeover}, {self.codec} level {self.level}>"


class Factory:
    """What both ends are told."""

    client_max_window_bits: int | bool | None  # True, at a client: offered without a value

    def __init__(
        self,
        server_no_context_takeover: bool,
        client_no_context_takeover: bool,
        server_max_window_bits: int | None,
        compress_settings: Mapping[str, int] | None,
        threshold: int,
        ceiling: int | None,
        codec: str | None,
    ) -> None:
        _check_bits("server_max_window_bits", server_max_window_bits, MIN_BITS)
        settings = {} if compress_settings is None else dict(compress_settings)
        self.level = _number("level", settings.pop("level", LEVEL), 0, 9)
        self.mem_level = _number("memLevel", settings.pop("memLevel", MEM_LEVEL), 1, 9)
        self.strategy = _number("strategy", settings.pop("strategy", 0), 0, 4)
        if settings:
            raise ValueError(
                f"compress_settings has level, memLevel and strategy, not {', '.join(settings)}"
            )
        self.server_no_context_takeover = server_no_context_takeover
        self.client_no_context_takeover = client_no_context_takeover
        self.server_max_window_bits = server_max_window_bits
        self.threshold = _number("threshold", threshold, 0, 2**62)
        self.ceiling = 2**62 if ceiling is None else _number("ceiling", ceiling, 0, 2**62)
        self.codec = choose(codec, self.level)
        self._known: dict[tuple[int, bool, bool], Agreed] = {}

    def _agreed(self, bits: int, sends: bool, receives: bool) -> Agreed:
        # One for each set of parameters: at most 32.
        key = (bits, sends, receives)
        agreed = self._known.get(key)
        if agreed is None:
            agreed = self._known[key] = Agreed(self, bits, sends, receives)
        return agreed


class ServerPerMessageDeflateFactory(Factory):
    """How a server answers offers of permessage-deflate.

    With `server_no_context_takeover` each of its messages is compressed by itself, and with
    `client_no_context_takeover` so are the client's: then a WebSocket between two messages holds no
    octet of a compressor. Both are the default. Without them messages get smaller (JSON by a third),
    and each WebSocket that was used keeps a compressor (32 KiB with the defaults, by zlib) and a
    decompressor (up to 47 KiB, with 32 KiB of what it expanded last).

    `server_max_window_bits` (9 to 15) bounds the window of what the server compresses;
    `client_max_window_bits` (8 to 15) asks clients that can to bound theirs, and
    `require_client_max_window_bits` declines the others. `compress_settings` may hold zlib's
    `level` (0 to 9), `memLevel` (1 to 9) and `strategy`. Messages of less than `threshold` octets
    stay plain, and so do those of more than `ceiling` that are sent at once, since nobody else is
    served meanwhile; those sent in parts are compressed part by part. `codec` names the library
    that compresses: "zlib", "isal", or None for the fastest that is installed.
    """

    def __init__(
        self,
        server_no_context_takeover: bool = True,
        client_no_context_takeover: bool = True,
        server_max_window_bits: int | None = OWN_BITS,
        client_max_window_bits: int | None = None,
        compress_settings: Mapping[str, int] | None = None,
        require_client_max_window_bits: bool = False,
        *,
        threshold: int = THRESHOLD,
        ceiling: int | None = CEILING,
        codec: str | None = None,
    ) -> None:
        super().__init__(
            server_no_context_takeover,
            client_no_context_takeover,
            server_max_window_bits,
            compress_settings,
            threshold,
            ceiling,
            codec,
        )
        _check_bits("client_max_window_bits", client_max_window_bits, 8)
        if require_client_max_window_bits and client_max_window_bits is None:
            raise ValueError("require_client_max_window_bits needs client_max_window_bits")
        self.client_max_window_bits = client_max_window_bits
        self.require_client_max_window_bits = require_client_max_window_bits

    def accept(self, offers: bytes) -> tuple[bytes, Agreed] | None:
        """Answer the value of `sec-websocket-extensions`: what goes into the response, and what
        holds then; or None where no offer is acceptable, or the list has more than 4096 octets.

        RFC 7692 section 5: offers stand in order of preference. One that is not understood, or
        cannot be kept, is declined, and the next looked at.
        """
        if len(offers) > MAX_OFFERS:
            return None
        try:
            extensions = read_extensions(offers)
        except MalformedMessage:
            return None
        for name, parameters in extensions:
            if name == NAME:
                offer = _read(parameters)
                if offer is not None:
                    answer = self._answer(offer)
                    if answer is not None:
                        return answer
        return None

    def _answer(self, offer: dict[bytes, bytes | None]) -> tuple[bytes, Agreed] | None:
        # RFC 7692 section 7.1.
        if b"server_max_window_bits" in offer and offer[b"server_max_window_bits"] is None:
            return None
        server_alone = self.server_no_context_takeover or b"server_no_context_takeover" in offer
        # There it is a hint (section 7.1.1.2), and costs us nothing to take.
        client_alone = self.client_no_context_takeover or b"client_no_context_takeover" in offer
        bits = self.server_max_window_bits or MAX_BITS
        asked = offer.get(b"server_max_window_bits")
        if asked is not None:
            bits = min(bits, int(asked))
            if bits < MIN_BITS:
                return None
        response = [NAME]
        if server_alone:
            response.append(b"server_no_context_takeover")
        if client_alone:
            response.append(b"client_no_context_takeover")
        if asked is not None or self.server_max_window_bits is not None:
            response.append(b"server_max_window_bits=%d" % bits)
        if b"client_max_window_bits" in offer:
            if self.client_max_window_bits is not None:
                hint = offer[b"client_max_window_bits"]
                theirs = self.client_max_window_bits
                if hint is not None:
                    theirs = min(theirs, int(hint))
                response.append(b"client_max_window_bits=%d" % theirs)
        elif self.require_client_max_window_bits:
            return None
        return b"; ".join(response), self._agreed(bits, not server_alone, not client_alone)


class ClientPerMessageDeflateFactory(Factory):
    """What a client offers of permessage-deflate.

    With `server_no_context_takeover` the server is asked to compress each message by itself, with
    `client_no_context_takeover` this end does. `server_max_window_bits` (9 to 15) asks the server
    to bound its window: one that cannot declines. `client_max_window_bits`: True lets the server
    bound ours, a number (9 to 15) says besides that ours needs no more, None says nothing. The
    rest as in ServerPerMessageDeflateFactory.
    """

    def __init__(
        self,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
        server_max_window_bits: int | None = None,
        client_max_window_bits: int | bool | None = True,
        compress_settings: Mapping[str, int] | None = None,
        *,
        threshold: int = THRESHOLD,
        ceiling: int | None = CEILING,
        codec: str | None = None,
    ) -> None:
        super().__init__(
            server_no_context_takeover,
            client_no_context_takeover,
            server_max_window_bits,
            compress_settings,
            threshold,
            ceiling,
            codec,
        )
        if client_max_window_bits is not True:
            if client_max_window_bits is False:
                client_max_window_bits = None
            _check_bits("client_max_window_bits", client_max_window_bits, MIN_BITS)
        self.client_max_window_bits = client_max_window_bits

    def offer(self) -> bytes:
        """Return the value of `sec-websocket-extensions` for the request."""
        offer = [NAME]
        if self.server_no_context_takeover:
            offer.append(b"server_no_context_takeover")
        if self.client_no_context_takeover:
            offer.append(b"client_no_context_takeover")
        if self.server_max_window_bits is not None:
            offer.append(b"server_max_window_bits=%d" % self.server_max_window_bits)
        if self.client_max_window_bits is True:
            offer.append(b"client_max_window_bits")
        elif self.client_max_window_bits is not None:
            offer.append(b"client_max_window_bits=%d" % self.client_max_window_bits)
        return b"; ".join(offer)

    def agree(self, response: bytes | None) -> Agreed | None:
        """Return what holds after a response; None where the server declined, by no field at all.

        Raises `MalformedMessage` for what RFC 7692 section 7 has the client fail on.
        """
        if response is None:
            return None
        extensions = read_extensions(response)
        if len(extensions) != 1:
            raise MalformedMessage("the server names more than one extension")
        name, parameters = extensions[0]
        if name != NAME:
            raise MalformedMessage("the server uses an extension that was not offered")
        answer = _read(parameters)
        if answer is None:
            raise MalformedMessage("the server's permessage-deflate has bad parameters")
        for bits_name in (b"server_max_window_bits", b"client_max_window_bits"):
            if bits_name in answer and answer[bits_name] is None:
                raise MalformedMessage(f"{bits_name.decode()} of the server has no value")
        theirs = answer.get(b"server_max_window_bits")
        if self.server_max_window_bits is not None and (
            theirs is None or int(theirs) > self.server_max_window_bits
        ):
            raise MalformedMessage("the server does not keep the server_max_window_bits offered")
        ours = answer.get(b"client_max_window_bits")
        offered = self.client_max_window_bits
        bits = OWN_BITS if offered is True else offered or OWN_BITS
        if ours is not None:
            if offered is None:
                raise MalformedMessage("client_max_window_bits was not offered")
            if offered is not True and int(ours) > offered:
                raise MalformedMessage("the server's client_max_window_bits is above ours")
            bits = min(bits, int(ours))
        return self._agreed(
            bits,
            b"client_no_context_takeover" not in answer and not self.client_no_context_takeover,
            b"server_no_context_takeover" not in answer,
        )


def _read(parameters: list[tuple[bytes, bytes | None]]) -> dict[bytes, bytes | None] | None:
    # The parameters of one offer or response; None where one is unknown, comes twice or has a
    # value it may not have: RFC 7692 section 7.1.
    read: dict[bytes, bytes | None] = {}
    for name, value in parameters:
        if name in read:
            return None
        if name in (b"server_no_context_takeover", b"client_no_context_takeover"):
            if value is not None:
                return None
        elif name in (b"server_max_window_bits", b"client_max_window_bits"):
            # "a decimal integer value without leading zeroes between 8 to 15"
            if value is not None and not _BITS.fullmatch(value):
                return None
        else:
            return None
        read[name] = value
    return read


def _number(name: str, value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} must be an int from {least} to {most}: {value!r}")
    return value


def _check_bits(name: str, value: Any, least: int) -> None:
    if value is not None:
        _number(name, value, least, MAX_BITS)
