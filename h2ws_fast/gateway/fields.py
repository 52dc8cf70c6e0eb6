"""What becomes of header fields on their way: those of one hop go, those of the gateway come.

RFC 9110 section 7.6: nothing that a client says of its own connection concerns the next one, and
nothing that it says can take away what the gateway adds, since that is added last.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..engine.dialect import MAX_OPTIONS, UPGRADE, Upgrade
from ..engine.handshake import split_list, values_of
from ..errors import H2WSError

if TYPE_CHECKING:
    from .table import Table, Token

__all__ = [
    "FORWARDED",
    "Forwarding",
    "Refused",
    "answer_fields",
    "by_connection",
    "by_upgrade",
    "in_dialect",
    "nominated",
    "response_fields",
    "trailer_fields",
]

Fields = list[tuple[bytes, bytes]]

# RFC 9110 section 7.6.1, and what RFC 7540 section 3.2.1 knew.
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        UPGRADE,  # what a request in the dialect says beside its fields, and never an end itself
    )
)
# Of the handshake on each hop, by whoever makes it there: RFC 6455 section 4, RFC 8441 section 5.
HANDSHAKE = frozenset((b"sec-websocket-accept", b"sec-websocket-key"))
# Connection cannot name these: they are for whoever is at the end.
END_TO_END = frozenset(
    (
        b"authorization",
        b"cache-control",
        b"content-length",
        b"content-type",
        b"cookie",
        b"host",
        b"origin",
    )
)
# What two readers may understand differently where it stands twice: section 5.3.
SINGLE = frozenset(
    (
        b"content-length",
        b"content-type",
        b"host",
        b"origin",
        b"sec-websocket-key",
        b"sec-websocket-version",
    )
)
# What says how a message is read, where it goes, who sends it and how long it is kept: no trailers.
NOT_TRAILING = (
    HOP_BY_HOP
    | HANDSHAKE
    | END_TO_END
    | SINGLE
    | frozenset(
        (
            b"age",
            b"content-encoding",
            b"content-range",
            b"date",
            b"expect",
            b"expires",
            b"if-match",
            b"if-modified-since",
            b"if-none-match",
            b"if-range",
            b"if-unmodified-since",
            b"location",
            b"max-forwards",
            b"pragma",
            b"proxy-authenticate",
            b"proxy-authorization",
            b"range",
            b"retry-after",
            b"sec-websocket-extensions",
            b"sec-websocket-protocol",
            b"set-cookie",
            b"trailer",
            b"vary",
            b"via",
            b"www-authenticate",
        )
    )
)
# What programs take for the word of a proxy, beside all that begins with X-Forwarded-.
TELLING = frozenset(
    (
        b"client-ip",
        b"forwarded",
        b"front-end-https",
        b"true-client-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-real-ip",
        b"x-url-scheme",
    )
)
SCHEMES = ("http", "https")
FORWARDED = ("x-forwarded", "forwarded", "both", "none")
MAX_HOPS = 20  # Via fields' elements
MAX_FORWARDS = 999  # what more is left is told as this


class Refused(H2WSError):
    """A request that the gateway answers itself, with this status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def plain_address(host: str) -> str:
    """An address as networks and fields have it: without its zone, IPv4 where IPv6 stands for it."""
    host = host.partition("%")[0]
    if host[:7].lower() == "::ffff:":
        try:
            mapped = ipaddress.IPv6Address(host).ipv4_mapped
        except ValueError:
            return host
        return host if mapped is None else str(mapped)
    return host


def nominated(fields: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """The names in lower case that Connection makes fields of this hop, trailers too."""
    names = set()
    for name, value in fields:
        if name == b"connection":
            names |= {each.lower() for each in split_list(value)}
    return names - END_TO_END


def tells(name: bytes) -> bool:
    """Says a field of this name, in lower case, for whom and how a request has come?

    With `_` for `-` too: WSGI and CGI make one variable of both.
    """
    name = name.replace(b"_", b"-")
    return name in TELLING or name.startswith(b"x-forwarded-")


def one_hop_less(method: str, fields: Fields) -> Fields:
    """The fields with Max-Forwards counted down: RFC 9110 section 7.6.2. Raises Refused."""
    if method not in ("OPTIONS", "TRACE"):
        return fields
    values = values_of(fields, b"max-forwards")
    if not values:
        return fields
    digits = values[0].lstrip(b"0")
    if len(values) > 1 or not values[0].isdigit():
        raise Refused(400, "max-forwards is no number")
    if not digits:
        # "the intermediary MUST NOT forward the request; instead, the intermediary MUST respond as
        # the final recipient". It reflects nothing: a TRACE is not implemented here.
        raise Refused(200 if method == "OPTIONS" else 501, "the request goes no further")
    left = MAX_FORWARDS if len(digits) > 3 else int(digits) - 1
    kept = [field for field in fields if field[0] != b"max-forwards"]
    return [*kept, (b"max-forwards", b"%d" % left)]


def required_upgrades(fields: Fields, table: Table) -> Fields:
    """The Upgrade that a 426 must have, as fields of a hop over HTTP/1.1: what passes of it."""
    named = [each for value in values_of(fields, b"upgrade") for each in split_list(value)]
    passing = [each for each in named if each.decode("latin-1").lower() in table]
    if not passing:
        return []
    return [(b"upgrade", b", ".join(passing)), (b"connection", b"upgrade")]


def answer_fields(status: int, fields: Fields, wire: Any, *, tunnel: bool = False) -> Fields:
    """What of an answer's fields goes to the client at `wire`. `tunnel`: it was asked for one."""
    kept = response_fields(fields, tunnel=tunnel)
    if status == 426 and wire.http_version == "1.1":
        kept += required_upgrades(fields, wire.server.table)
    return kept


def response_fields(fields: Fields, *, tunnel: bool) -> Fields:
    """What of a response's fields goes to the client. `tunnel`: it opens one."""
    dropped = HOP_BY_HOP | nominated(fields)
    if tunnel:
        dropped |= HANDSHAKE
        dropped |= {b"content-length"}
    return [field for field in fields if field[0] not in dropped]


def by_upgrade(upgrade: Upgrade, event: Any, fields: Fields, token: Token) -> tuple[Fields, Token]:
    """A request of the dialect: the fields that go end to end, and how to ask for the same.

    The fields that it names for the upgrade are of one hop, and go on to the next as such. Raises
    Refused for those that mean something of their own there, and for more than go on.
    """
    named = {option.lower().encode("ascii") for option in upgrade.options}
    if any(is_taken(name) for name in named):
        raise Refused(400, "an upgrade names fields that are no part of one")
    further = tuple((n.decode(), v.decode("latin-1")) for n, v in event.headers if n in named)
    return [field for field in fields if field[0] not in named], token._replace(
        fields=token.fields + further,
        options=all_options(token, upgrade.options),
        method=upgrade.method,
        body=upgrade.body,
    )


def by_connection(event: Any, token: Token) -> Token | None:
    """How to ask for the same as an Upgrade of HTTP/1.1; None where an extended CONNECT says it all.

    Raises Refused for more named fields than the dialect has room for.
    """
    names = {name for name in nominated(event.headers) if not is_taken(name)}
    further = tuple((n.decode(), v.decode("latin-1")) for n, v in event.headers if n in names)
    if event.method == "GET" and not further:
        return None
    options = tuple(dict.fromkeys(name for name, _ in further))
    return token._replace(
        fields=token.fields + further, options=all_options(token, options), method=event.method
    )


def all_options(token: Token, further: tuple[str, ...]) -> tuple[str, ...]:
    """What an upgrade names. More than MAX_OPTIONS would be malformed to a backend that speaks the
    dialect, which would have to be blamed for the reset, and is refused whatever the backend speaks."""
    options = token.options + further
    if len(options) > MAX_OPTIONS:
        raise Refused(400, "an upgrade names too many fields")
    return options


def in_dialect(token: Token) -> Fields:
    """What asking so takes in the dialect, beside an extended CONNECT's fields."""
    options = tuple(option.lower() for option in token.options)
    upgrade = Upgrade(token.method, token.body, options)
    own = [(name.lower().encode(), value.encode("latin-1")) for name, value in token.fields]
    return [*own, upgrade.field()]


def is_taken(name: bytes) -> bool:
    """Means a field of this name, in lower case, something of its own on each hop or at the end?"""
    taken = (HOP_BY_HOP - {b"http2-settings"}) | HANDSHAKE | END_TO_END | SINGLE | {b"via"}
    return name in taken or tells(name)


def trailer_fields(fields: Fields, named: set[bytes]) -> Fields:
    """What of trailers goes on, where the head's Connection has `named` these.

    RFC 9110 section 6.5.1: nothing of framing, routing, authentication, control and content's form,
    which programs that merge trailers with the head would take for the head's.
    """
    dropped = NOT_TRAILING | named | nominated(fields)
    return [field for field in fields if field[0] not in dropped and not tells(field[0])]


class Forwarding:
    """What backends are told of clients.

    `fields` is one of FORWARDED. What a client says of others it has come from is dropped, unless
    its address is in `trusted` (networks as `ipaddress` reads them). `name` stands for the gateway
    in Via, by which it knows itself again: RFC 9110 section 7.6.3.
    """

    def __init__(
        self,
        fields: str = "x-forwarded",
        trusted: Iterable[str] = (),
        name: str | None = None,
    ) -> None:
        if fields not in FORWARDED:
            raise ValueError(f"forwarded is one of {', '.join(FORWARDED)}: {fields!r}")
        if isinstance(trusted, str):
            raise TypeError("trusted is a list of networks, not one str")
        self._classic = fields in ("x-forwarded", "both")
        self._standard = fields in ("forwarded", "both")
        self._trusted = [ipaddress.ip_network(each, strict=False) for each in trusted]
        # At random: a chain of gateways is no loop.
        self.name = (f"h2ws-{secrets.token_hex(4)}" if name is None else name).encode("ascii")

    def introduces(self, peer: Any) -> bool:
        """Begins who connects from here with the PROXY protocol, where that is spoken?

        `peer` as transports have it. All do, or those of the trusted networks where there are any.
        """
        return not self._trusted or (isinstance(peer, tuple) and self.trusts(str(peer[0])))

    def trusts(self, address: str) -> bool:
        """Is what this client says of others believed?"""
        if not self._trusted:
            return False
        try:
            found = ipaddress.ip_address(plain_address(address))
        except ValueError:
            return False
        return any(found in network for network in self._trusted)

    def scheme(self, event: Any, secure: bool, address: str) -> str:
        """The scheme of a request from `address`: what the connection is, and not what it says.

        Who is trusted may have ended TLS before: that one says itself. Raises Refused for neither
        http nor https, of which HTTP/2 does not say what an authority and a path are.
        """
        if event.scheme not in SCHEMES:
            raise Refused(400, f"the scheme {event.scheme} is neither http nor https")
        if self.trusts(address):
            return event.scheme  # type: ignore[no-any-return]
        return SCHEMES[secure]

    def request_fields(self, event: Any, version: str, address: str, scheme: str) -> Fields:
        """The fields of a request as a backend gets them, without pseudo-fields. Raises Refused.

        `version` is what it came by, `address` who sent it, "" where that is not known, `scheme`
        what the method of that name returns.
        """
        fields: Fields = event.headers
        names = [name for name, _ in fields]
        for name in SINGLE.intersection(names):
            if names.count(name) > 1:
                raise Refused(400, f"{name.decode()} stands twice")
        vias = [each for value in values_of(fields, b"via") for each in split_list(value)]
        if len(vias) >= MAX_HOPS or any(via.split()[1:2] == [self.name] for via in vias):
            raise Refused(508, "the request goes round in circles")
        trusted = self.trusts(address)
        dropped = HOP_BY_HOP | HANDSHAKE | nominated(fields) | {b"host"}
        if event.protocol is not None:
            dropped |= {b"content-length"}
        kept = []
        for field in one_hop_less(event.method, fields):
            name = field[0]
            # Of who is trusted Connection takes nothing away; what has `_` is not of a proxy.
            if (trusted and b"_" not in name) if tells(name) else name not in dropped:
                kept.append(field)
        if any(name == b"te" and value == b"trailers" for name, value in fields):
            kept.append((b"te", b"trailers"))
        kept.append((b"via", version.encode() + b" " + self.name))
        host = event.authority.encode("latin-1")
        self._tell(kept, scheme.encode(), host, address.encode("ascii", "replace"))
        return kept

    def _tell(self, kept: Fields, scheme: bytes, host: bytes, address: bytes) -> None:
        names = {name for name, _ in kept}
        if self._classic:
            if address:
                kept.append((b"x-forwarded-for", address))
            if b"x-forwarded-proto" not in names:
                kept.append((b"x-forwarded-proto", scheme))
            if b"x-forwarded-host" not in names and host:
                kept.append((b"x-forwarded-host", host))
        if self._standard:
            node = b'"[%b]"' % address if b":" in address else address or b"unknown"
            element = b"for=" + node + b";proto=" + scheme
            if host:
                element += b';host="' + host + b'"'
            kept.append((b"forwarded", element))
