"""An experiment: HTTP/1.1's Upgrade as Kazuho Oku wrote it in HTTP/2 (9 November 2017, hybi).

His form, beside RFC 8441's: the method is any, `:upgrade` names the protocol and then, as attributes,
the further fields that are of this hop alone; a 101 with `:upgrade` says that the protocol has changed.

    :method: GET                       :status: 101
    :upgrade: h2c; http2-settings      :upgrade: h2c
    http2-settings: AAMAAABk

It is a matter of field lists, so it lives where these come from octets and become octets:
`DialectSettings` gives a connection what reads his form as an extended CONNECT, and writes it so.
Everything else, every check and limit, is what it is for RFC 8441. What that has no place for stands
in one field, UPGRADE, which never leaves:

    in a request     method; octets of body; names of fields     "GET; 0; http2-settings"
    in a response    the protocol                                 "h2c"

A body comes first in the tunnel, as long as `content-length` says: whoever asks may send it before
`Opened`, and who is asked has it before the answer by `take_first`. Either end sends a private setting;
without the peer's `:upgrade` is the malformed request that it is in HTTP/2. Without DialectSettings
none of this is there.
"""

from typing import NamedTuple

from .fields import TOKEN_OCTETS
from .kernels import made_of
from .settings import Settings
from .vocabulary import MAX_CONTENT_LENGTH_DIGITS

__all__ = ["DIALECT_ID", "MAX_OPTIONS", "UPGRADE", "Dialect", "DialectSettings", "Upgrade"]

# Of those that are registered first come, first served, like that of bidirectional CONNECT.
DIALECT_ID = 0xFB01
UPGRADE = b"h2ws-upgrade"

MAX_OPTIONS = 8  # fields that `:upgrade` names; a request with more is malformed
CONNECT = (b":method", b"CONNECT")
SWITCHING = (b":status", b"101")


class Upgrade(NamedTuple):
    """What a request in the dialect says beyond an extended CONNECT.

    Add `field()` to the fields of an extended CONNECT to have it sent so, and `switched(token)` to
    those of the 2xx that opens it; `read(headers)` finds it in a request, None where there is none.
    A peer that has not sent the setting is sent what RFC 8441 has.
    """

    method: str = "GET"
    body: int = 0
    options: tuple[str, ...] = ()

    def field(self):
        """Return the field of a request. Raises ValueError for more than MAX_OPTIONS `options`."""
        if len(self.options) > MAX_OPTIONS:
            raise ValueError(f"an upgrade names at most {MAX_OPTIONS} fields")
        parts = [self.method, str(self.body), *self.options]
        return UPGRADE, "; ".join(parts).encode("ascii")

    @staticmethod
    def switched(token):
        """Return the field of the response that opens it."""
        return UPGRADE, token.encode("ascii")

    @classmethod
    def read(cls, headers):
        """Return what the fields of a request say, or None."""
        for name, value in headers:
            if name == UPGRADE:
                method, body, *options = value.decode("ascii").split("; ")
                return cls(method, int(body), tuple(options))
        return None


class DialectSettings(Settings):
    """Settings of an end that speaks the dialect: arguments are those of Settings."""

    __slots__ = ()

    def dialect(self):
        """See `Settings.dialect`."""
        return Dialect()

    def entries(self, client):
        """See `Settings.entries`."""
        return [*super().entries(client), (DIALECT_ID, 1)]


class Dialect:
    """What rewrites the field lists of one connection."""

    __slots__ = ("spoken",)

    def __init__(self):
        self.spoken = False  # by the peer, too

    def heard(self, identifier, value):
        """The peer sent a setting that is none of HTTP/2's."""
        if identifier == DIALECT_ID:
            self.spoken = value == 1

    def read(self, fields):
        """Return a list that came as RFC 8441 would have it."""
        fields = [field for field in fields if field[0] != UPGRADE]
        names = [field[0] for field in fields]
        if names.count(b":upgrade") != 1 or not self.spoken:
            return fields  # nothing of the dialect, or a malformed message
        at = names.index(b":upgrade")
        if any(name[:1] != b":" for name in names[:at]):
            return fields
        if SWITCHING in fields:
            told = fields.pop(at)[1]
            fields[fields.index(SWITCHING)] = (b":status", b"200")
            return [*fields, (UPGRADE, told)]
        return as_connect(fields, at) or fields

    def written(self, fields):
        """Return a list of ours in the dialect, where UPGRADE is in it and the peer speaks it."""
        for field in fields:
            if field[0] == UPGRADE:
                rest = [each for each in fields if each is not field]
                return as_upgrade(rest, field[1]) if self.spoken else rest
        return fields


def as_connect(fields, at):
    """Return a request whose `:upgrade` stands at `at` as an extended CONNECT; None where it is
    malformed."""
    token, *options = [part.strip() for part in fields[at][1].split(b";")]
    found = dict(fields)
    method = found.get(b":method", b"")
    length = found.get(b"content-length", b"0")
    named = all(option and made_of(option, TOKEN_OCTETS) for option in options)
    if not named or len(options) > MAX_OPTIONS or not made_of(method, TOKEN_OCTETS):
        return None
    if not length.isdigit() or len(length) > MAX_CONTENT_LENGTH_DIGITS:
        return None
    if method == CONNECT[1] or b":protocol" in found:
        return None
    # As the length of content it means nothing to a tunnel: the engine drops that field.
    told = b"; ".join([method, length, *options])
    kept = [CONNECT if field[0] == b":method" else field for field in fields]
    kept[at] = (b":protocol", token)
    return [*kept, (UPGRADE, told)]


def as_upgrade(fields, value):
    """Return an extended CONNECT, or its 2xx, as the dialect has it."""
    if fields[0][0] == b":status":
        return [SWITCHING, (b":upgrade", value), *fields[1:]]
    method, length, *options = value.split(b"; ")
    token = dict(fields)[b":protocol"]
    pseudo = [(b":method", method)]
    pseudo += [each for each in fields if each[0] in (b":scheme", b":authority", b":path")]
    pseudo.append((b":upgrade", b"; ".join([token, *options])))
    rest = [each for each in fields if each[0][:1] != b":"]
    if length != b"0":
        rest.append((b"content-length", length))
    return pseudo + rest
