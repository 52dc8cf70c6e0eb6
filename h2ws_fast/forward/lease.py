"""What a client asks for that wants a server to listen for it: `-R`.

    client                                                      server
    extended CONNECT, `tcp-listen`, the lease's path  ------->  listens; 200, `listening-on`
                                                                somebody connects
    dials its own target  <-------  extended CONNECT, `tcp-accepted`, the same path
    <====================== octets both ways ======================>

The first stream is the lease: it carries nothing, and with the last one of a port's leases listening
ends. The second kind a server opens, as SETTINGS_ENABLE_BIDIRECTIONAL_CONNECT lets it.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

from .rules import address, authority_of, listening_port

__all__ = ["ACCEPTED", "LISTEN", "LISTENING_ON", "Lease"]

LISTEN = "tcp-listen"
ACCEPTED = "tcp-accepted"
LISTENING_ON = "listening-on"  # the field of a 200 that says where

FORM = re.compile(r"/listen/([0-9A-Za-z.%]{2,60})/([0-9]{1,5})/([0-9A-Za-z_-]{16,64})/([0-9]{1,3})")


class Lease(NamedTuple):
    """Listen on `host`, an address, and `port` (0: a free one).

    `name` is the client's secret: leases of one name share a listener, which lets connections of
    one client take turns, and lets a client that comes again have its port before the server has
    noticed that it was gone. `number` is that of the connection; a new lease takes the place of an
    older one with the same.
    """

    host: str
    port: int
    name: str
    number: int

    @classmethod
    def parse(cls, path: str) -> Lease:
        """Read the path of a request. Raises ValueError."""
        found = FORM.fullmatch(path)
        if found is None:
            raise ValueError(f"no path of a lease: {path!r}")
        return cls(address(unquote(found[1])), listening_port(found[2]), found[3], int(found[4]))

    @property
    def path(self) -> str:
        """The path of the lease, and of what was accepted for it."""
        return f"/listen/{quote(self.host, safe='')}/{self.port}/{self.name}/{self.number}"

    @property
    def place(self) -> str:
        """Where to listen, for people: the name is left out."""
        return authority_of(self.host, self.port)
