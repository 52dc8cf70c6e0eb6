"""HTTP/1.1 by hand: the octets of heads, and a server's end without a socket."""

import re

from h2ws_fast.aio.h1.connection import H1Connection
from h2ws_fast.engine import Limits

__all__ = ["KEY", "ACCEPT", "Alone", "Answer", "read_answers", "request", "upgrade"]

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
HANDSHAKE = {
    "Host": "example.org",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def request(fields=(), line="GET / HTTP/1.1", body=b"", host="example.org"):
    """The octets of a request; `fields` are "Name: value" lines."""
    lines = [line, *([] if host is None else [f"Host: {host}"]), *fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def upgrade(line="GET /chat HTTP/1.1", *, add=(), **changes):
    """The octets of an opening handshake. `changes` by name with underscores; None leaves out."""
    fields = dict(HANDSHAKE)
    for name, value in changes.items():
        found = [each for each in fields if each.lower() == name.lower().replace("_", "-")]
        fields[found[0] if found else name.replace("_", "-")] = value
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([line, *lines, *add, "", ""]).encode("latin-1")


class Answer:
    """A response: `status`, `fields` (lower-case name -> value, or a list of several), `body`."""

    def __init__(self, status, fields, body):
        self.status = status
        self.fields = fields
        self.body = body

    def __repr__(self):
        return f"<Answer {self.status} {self.fields} {self.body!r}>"


def read_answers(octets):
    """Take responses apart, strictly; what is behind a 101 is its body."""
    answers = []
    while octets:
        head, found, octets = octets.partition(b"\r\n\r\n")
        assert found, head
        line, *lines = head.split(b"\r\n")
        status = int(re.fullmatch(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [ -~]*", line)[1])
        fields = {}
        for each in lines:
            name, value = re.fullmatch(rb"([^ :]+): ([ -~]*)", each).groups()
            name, value = name.decode().lower(), value.decode()
            if name in fields:
                fields[name] = [fields[name], value]
            else:
                fields[name] = value
        if status == 101:
            body, octets = octets, b""
        elif status < 200 or status in (204, 304):
            body = b""
        elif fields.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size, _, octets = octets.partition(b"\r\n")
                n = int(size, 16)
                if n == 0:
                    trailers, _, octets = (b"\r\n" + octets).partition(b"\r\n\r\n")
                    fields["trailers"] = trailers.strip().decode()
                    break
                body += octets[:n]
                assert octets[n : n + 2] == b"\r\n"
                octets = octets[n + 2 :]
        else:
            n = int(fields["content-length"]) if "content-length" in fields else len(octets)
            body, octets = octets[:n], octets[n:]
            assert len(body) == n
        answers.append(Answer(status, fields, body))
    return answers


class Alone:
    """An H1Connection, with what its owner would do."""

    def __init__(self, limits=None, **options):
        self.upgraded = None
        self.octets = b""
        self.early = b""
        self.events = []
        self.conn = H1Connection(limits or Limits(), "http", self._upgraded, **options)
        self.pull(0.0)

    def _upgraded(self, octets, conn, early):
        self.octets += octets
        self.upgraded = conn
        self.early = early

    def pull(self, now):
        while True:
            pieces = self.conn.data_to_send(now=now)
            events = self.conn.events()
            self.octets += b"".join(pieces)
            self.events += events
            if not pieces and not events:
                return

    def feed(self, data, now=0.0, step=None):
        """Feed octets, in pieces of `step`; return what happened since."""
        begun = len(self.events)
        for at in range(0, len(data), step or len(data)):
            self.events += self.conn.receive_data(data[at : at + (step or len(data))], now)
            self.pull(now)
        return self.events[begun:]

    def answers(self):
        """The responses that were sent so far."""
        return read_answers(self.octets)

    def answer(self):
        """The only one."""
        (answer,) = self.answers()
        return answer
