"""A load client for requests over HTTP/2, in its own process; knows nothing of any server.

`python -m bench.requests --help`. It keeps `in-flight` requests on the way on one connection until
all are answered, compares every answer octet by octet, and exits with 1 where one differs or is
missing. Windows are opened once: all answers together must be less than 2 GiB.
"""

import argparse
import re
import selectors
import sys
import time

from . import wire
from .load import Failed, Link

# `:status: 200`, behind updates of the table's size: indexed, or a literal, or one in Huffman code
OK = re.compile(rb"[\x20-\x3f]*(\x88|[\x08\x18\x48](\x03200|\x82\x10\x01))")


def block(method, port, octets):
    """The head of a request: RFC 9113 section 8.3.1."""
    fields = [
        (b":method", method.encode()),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"127.0.0.1:%d" % port),
    ]
    if octets:
        fields.append((b"content-length", b"%d" % octets))
    return b"".join(wire.literal(name, value) for name, value in fields)


class Connection:
    """One connection: GET, or POST where there is a body; every answer must equal `expected`."""

    def __init__(self, options, selector, body, expected):
        self.link = Link(options, selector)
        self.block = block("POST" if body else "GET", options.port, len(body))
        self.body, self.expected = body, expected
        self.in_flight = options.in_flight
        self.left = options.requests
        self.answered = 0
        self.next_id = 1
        self.window = self.initial = 65535
        self.sending = {}  # stream: [octets sent of its body, its window]
        self.answers = {}
        self.good = set()
        self.rest = b""
        self.started = False
        self.link.write(
            wire.PREFACE
            + wire.settings(enable_push=0, initial_window_size=wire.MAX_WINDOW)
            + wire.window_update(0, wire.MAX_WINDOW - 65535)
        )

    def _ask(self, out):
        """As many requests as may be on the way."""
        while self.left and len(self.answers) < self.in_flight:
            stream_id, self.next_id = self.next_id, self.next_id + 2
            self.left -= 1
            self.answers[stream_id] = bytearray()
            ends = 0 if self.body else wire.END_STREAM
            out.append(wire.frame(wire.HEADERS, wire.END_HEADERS | ends, stream_id, self.block))
            if self.body:
                self.sending[stream_id] = [0, self.initial]
                self._send(out, stream_id)

    def _send(self, out, stream_id):
        """What the windows allow of a body."""
        state = self.sending[stream_id]
        while stream_id in self.sending:
            sent, window = state
            room = min(self.window, window, len(self.body) - sent, wire.MAX_FRAME_SIZE)
            if room <= 0:
                return
            state[0], state[1] = sent + room, window - room
            self.window -= room
            ends = wire.END_STREAM if state[0] == len(self.body) else 0
            out.append(wire.frame(wire.DATA, ends, stream_id, self.body[sent : sent + room]))
            if ends:
                del self.sending[stream_id]

    def service(self):
        data = self.rest + self.link.read()
        at, out = 0, []
        while at + 9 <= len(data):
            length = int.from_bytes(data[at : at + 3], "big")
            if at + 9 + length > len(data):
                break
            stream_id = int.from_bytes(data[at + 5 : at + 9], "big") & 0x7FFFFFFF
            payload = data[at + 9 : at + 9 + length]
            self._frame(data[at + 3], data[at + 4], stream_id, payload, out)
            at += 9 + length
        self.rest = data[at:]
        if self.started:
            self._ask(out)
        self.link.write(b"".join(out))

    def _frame(self, kind, flags, stream_id, payload, out):
        if kind == wire.SETTINGS and not flags & 1:
            self._settings(payload, out)
        elif kind == wire.WINDOW_UPDATE:
            self._credit(stream_id, int.from_bytes(payload, "big"), out)
        elif kind == wire.PING and not flags & 1:
            out.append(wire.frame(wire.PING, 1, 0, payload))
        elif kind in (wire.GOAWAY, wire.RST_STREAM):
            raise Failed(f"the server sent {'GOAWAY' if kind == wire.GOAWAY else 'RST_STREAM'}")
        elif kind in (wire.HEADERS, wire.DATA):
            if flags & 0x8:
                raise Failed("the server pads")
            if kind == wire.HEADERS:
                if OK.match(payload):
                    self.good.add(stream_id)
            else:
                self.answers[stream_id] += payload
            if flags & wire.END_STREAM:
                self._answered(stream_id)

    def _answered(self, stream_id):
        if stream_id not in self.good or self.answers.pop(stream_id) != self.expected:
            raise Failed("an answer differs from what was expected")
        self.good.discard(stream_id)
        self.answered += 1

    def _settings(self, payload, out):
        values = {
            int.from_bytes(payload[i : i + 2], "big"): int.from_bytes(payload[i + 2 : i + 6], "big")
            for i in range(0, len(payload), 6)
        }
        initial = values.get(4, self.initial)
        for state in self.sending.values():
            state[1] += initial - self.initial
        self.initial = initial
        self.in_flight = min(self.in_flight, values.get(3, self.in_flight))
        self.started = True
        out.append(wire.frame(wire.SETTINGS, 1, 0))

    def _credit(self, stream_id, octets, out):
        if stream_id:
            if stream_id in self.sending:
                self.sending[stream_id][1] += octets
                self._send(out, stream_id)
        else:
            self.window += octets
            for each in list(self.sending):
                self._send(out, each)


def run(options, body, expected):
    """All of the requests on one connection; raises Failed."""
    selector = selectors.DefaultSelector()
    connection = Connection(options, selector, body, expected)
    limit = time.monotonic() + 60
    try:
        while connection.answered < options.requests:
            if time.monotonic() > limit:
                raise Failed(f"{connection.answered} of {options.requests} answers within 60 s")
            for _, events in selector.select(0.5):
                if events & selectors.EVENT_WRITE:
                    connection.link.write(b"")
                connection.service()
    finally:
        connection.link.socket.close()
        selector.close()


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.requests", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--in-flight", type=int, default=100)
    parser.add_argument("--body", help="a file to POST; its echo is expected")
    parser.add_argument("--expect", default="", help="what a GET is answered with")
    parser.set_defaults(tls=False, protocol="h2")
    options = parser.parse_args()
    body, expected = b"", options.expect.encode()
    if options.body:
        with open(options.body, "rb") as file:
            body = expected = file.read()
    try:
        run(options, body, expected)
    except (Failed, OSError) as error:
        print(str(error) or type(error).__name__, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
