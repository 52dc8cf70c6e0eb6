"""A load client for WebSocket echo servers, in its own process; knows nothing of any server.

`python -m bench.load --help`. It opens connections x streams WebSockets (over HTTP/2 as RFC 8441
says, or over HTTP/1.1 with one stream each), keeps `in-flight` messages on the way on every one,
sends bytes that were built beforehand, counts the echoes, compares the first one of each WebSocket
octet by octet, and prints one JSON object with the server's CPU time a message.
"""

import argparse
import json
import os
import random
import selectors
import socket
import ssl
import sys
import time

from . import wire

CREDIT = 1 << 28  # windows are opened wide and topped up long before they end
READ = 1 << 18
BUFFER = memoryview(bytearray(READ))  # of all reads: what came is taken out at once


class Failed(Exception):
    pass


def server_cpu(pid):
    """CPU seconds of another process, to the nanosecond."""
    return time.clock_gettime(~pid << 3 | 2)  # Linux: its CPUCLOCK_SCHED


class Link:
    """One socket, cleartext or TLS: whole reads, buffered writes."""

    def __init__(self, options, selector):
        self.socket = socket.create_connection(("127.0.0.1", options.port), 20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if options.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2" if options.protocol == "h2" else "http/1.1"])
            self.socket = context.wrap_socket(self.socket)
        self.tls = options.tls
        self.socket.setblocking(False)
        self.selector = selector
        self.waiting = bytearray()
        selector.register(self.socket, selectors.EVENT_READ, self)

    def read(self):
        """What is there now; b"" for nothing."""
        parts = []
        try:
            while True:
                # Into what is there: a block of READ octets for each read is mapped and unmapped.
                n = self.socket.recv_into(BUFFER)
                if not n:
                    raise Failed("the server closed the connection")
                parts.append(BUFFER[:n].tobytes())
                if not self.tls and n < READ:
                    break
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, data):
        if self.waiting:
            self.waiting += data
            self._release()
        elif data:
            sent = self._send(data)
            if sent < len(data):
                self.waiting += data[sent:]
                self._watch(selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _release(self):
        del self.waiting[: self._send(self.waiting)]
        if not self.waiting:
            self._watch(selectors.EVENT_READ)

    def _send(self, data):
        try:
            return self.socket.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    def _watch(self, events):
        self.selector.modify(self.socket, events, self)


class Echoes:
    """What one WebSocket waits for. All messages of a run have one size."""

    __slots__ = ("expected", "first", "got", "size")

    def __init__(self, expected):
        self.expected = expected  # the whole echo, as the server frames it
        self.size = len(expected)
        self.first = bytearray()
        self.got = 0

    def take(self, data):
        """Count octets of the server; return how many echoes they completed."""
        if self.first is not None:
            self.first += data
            if len(self.first) >= self.size:
                if self.first[: self.size] != self.expected:
                    raise Failed("the echo differs from what was sent")
                self.first = None
        self.got += len(data)
        if self.got < self.size:
            return 0
        done, self.got = divmod(self.got, self.size)
        return done


class Fragments(Echoes):
    """The same from whoever may cut a message into frames: their heads are passed over."""

    __slots__ = ("head", "left")

    def __init__(self, expected):
        super().__init__(expected)  # the content of the echo
        self.head = b""
        self.left = 0  # octets of the frame that is being read

    def take(self, data):
        """See `Echoes`."""
        pieces = []
        at = 0
        while at < len(data):
            if self.left:
                piece = data[at : at + self.left]
                pieces.append(piece)
                self.left -= len(piece)
                at += len(piece)
                continue
            self.head += data[at : at + 1]
            at += 1
            short = self.head[1] if len(self.head) > 1 else 0
            if len(self.head) == {126: 4, 127: 10}.get(short, 2):
                self.left = int.from_bytes(self.head[2:], "big") if short > 125 else short
                self.head = b""
        return super().take(b"".join(pieces))


def message(options, seed):
    """What is sent, and who waits for its echo."""
    source = random.Random(seed)
    data = wire.payload(options.size, options.kind, source)
    opcode = wire.BINARY if options.kind == "binary" else wire.TEXT
    sent = wire.websocket_frame(data, opcode, source.randbytes(4))
    if options.fragments:
        return sent, Fragments(data)
    return sent, Echoes(wire.websocket_frame(data, opcode))


class Http1:
    """One WebSocket over HTTP/1.1: RFC 6455."""

    streams = 1

    def __init__(self, options, selector, seed):
        self.link = Link(options, selector)
        self.sent, self.echoes = message(options, seed)
        self.head = b""
        self.open = 0
        self.link.write(wire.UPGRADE)

    def start(self, in_flight):
        self.link.write(self.sent * in_flight)

    def service(self):
        data = self.link.read()
        if not self.open:
            self.head += data
            head, end, data = self.head.partition(b"\r\n\r\n")
            if not end:
                return 0
            if not head.startswith(b"HTTP/1.1 101"):
                raise Failed(f"refused: {head[:40]!r}")
            self.open = 1
        done = self.echoes.take(data) if data else 0
        self.link.write(self.sent * done)
        return done


class Http2:
    """WebSockets over one HTTP/2 connection: RFC 8441."""

    def __init__(self, options, selector, seed):
        self.link = Link(options, selector)
        self.streams = options.streams
        self.rest = b""
        self.open = 0
        self.window = 65535
        self.initial = self.server_initial = 65535
        self.credit = 0
        self.credits = {}  # of each stream: more than it received would exceed its window
        self.started = self.asked = False
        self.frames, self.echoes, self.windows, self.queues = {}, {}, {}, {}
        self.blocked = {}
        for stream_id in wire.stream_ids(options.streams):
            sent, self.echoes[stream_id] = message(options, seed * 100_000 + stream_id)
            self.frames[stream_id] = [
                sent[at : at + wire.MAX_FRAME_SIZE]
                for at in range(0, len(sent), wire.MAX_FRAME_SIZE)
            ]
        self.one = {
            stream_id: wire.frame(wire.DATA, 0, stream_id, parts[0])
            for stream_id, parts in self.frames.items()
            if len(parts) == 1
        }
        self.length = len(sent)
        self.link.write(
            wire.PREFACE
            + wire.settings(enable_push=0, initial_window_size=wire.MAX_WINDOW)
            + wire.window_update(0, wire.MAX_WINDOW - 65535)
        )

    def start(self, in_flight):
        out = []
        for stream_id in self.frames:
            self._queue(out, stream_id, in_flight)
        self.link.write(b"".join(out))

    def _queue(self, out, stream_id, count):
        """Send `count` messages, as the server's windows allow."""
        one = self.one.get(stream_id)
        room = min(self.window, self.windows[stream_id])
        if one and room >= count * self.length and stream_id not in self.blocked:
            self.window -= count * self.length
            self.windows[stream_id] -= count * self.length
            out.append(one if count == 1 else one * count)
            return
        self.blocked.setdefault(stream_id, []).extend(self.frames[stream_id] * count)
        self._release(out, stream_id)

    def _release(self, out, stream_id):
        parts = self.blocked[stream_id]
        sent = 0
        while sent < len(parts):
            part = parts[sent]
            room = min(self.window, self.windows[stream_id], len(part))
            if room <= 0:
                break
            self.window -= room
            self.windows[stream_id] -= room
            out.append(wire.frame(wire.DATA, 0, stream_id, part[:room]))
            if room < len(part):
                parts[sent] = part[room:]
            else:
                sent += 1
        if sent == len(parts):
            del self.blocked[stream_id]
        else:
            del parts[:sent]

    def service(self):
        data = self.link.read()
        if self.rest:
            data = self.rest + data
        out, at, end, done = [], 0, len(data), 0
        while at + 9 <= end:
            length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            if at + 9 + length > end:
                break
            kind = data[at + 3]
            stream_id = int.from_bytes(data[at + 5 : at + 9], "big") & 0x7FFFFFFF
            body = data[at + 9 : at + 9 + length]
            flags = data[at + 4]
            at += 9 + length
            if kind == wire.DATA:
                if flags & 0x9:
                    raise Failed("the server ended a stream, or pads")
                self.credit += length
                self.credits[stream_id] = self.credits.get(stream_id, 0) + length
                finished = self.echoes[stream_id].take(body)
                if finished:
                    done += finished
                    self._queue(out, stream_id, finished)
            else:
                self._other(kind, flags, stream_id, body, out)
        self.rest = data[at:]
        if self.credit > CREDIT:
            out.append(wire.window_update(0, self.credit))
            out += (wire.window_update(sid, octets) for sid, octets in self.credits.items())
            self.credit = 0
            self.credits = {}
        self.link.write(b"".join(out))
        return done

    def _other(self, kind, flags, stream_id, body, out):
        if kind == wire.SETTINGS and not flags & 1:
            values = {
                int.from_bytes(body[i : i + 2], "big"): int.from_bytes(body[i + 2 : i + 6], "big")
                for i in range(0, len(body), 6)
            }
            initial = values.get(4, self.initial)
            for sid in self.windows:
                self.windows[sid] += initial - self.initial
            self.initial = initial
            if values.get(3, self.streams) < self.streams:
                raise Failed(f"the server allows {values[3]} streams")
            out.append(wire.frame(wire.SETTINGS, 1, 0))
            if not self.asked and values.get(8) == 1:
                self.asked = True
                for sid in self.frames:
                    self.windows[sid] = self.initial
                    out.append(wire.frame(wire.HEADERS, wire.END_HEADERS, sid, wire.CONNECT_BLOCK))
        elif kind == wire.HEADERS:
            if flags & 1 or 0x88 < body[0] <= 0x8E:
                raise Failed("the server refused the WebSocket")
            self.open += 1
        elif kind == wire.WINDOW_UPDATE:
            octets = int.from_bytes(body, "big")
            if stream_id:
                self.windows[stream_id] += octets
                if stream_id in self.blocked:
                    self._release(out, stream_id)
            else:
                self.window += octets
                for sid in list(self.blocked):
                    self._release(out, sid)
        elif kind == wire.PING and not flags & 1:
            out.append(wire.frame(wire.PING, 1, 0, body))
        elif kind in (wire.GOAWAY, wire.RST_STREAM):
            raise Failed(f"the server sent {'GOAWAY' if kind == wire.GOAWAY else 'RST_STREAM'}")


def drive(selector, owners, until):
    """Serve the sockets until `until()`; return how many echoes came."""
    done = 0
    while not until():
        for key, events in selector.select(0.02):
            owner = owners[key.fd]
            if events & selectors.EVENT_WRITE:
                owner.link.write(b"")
            done += owner.service()
    return done


def run(options):
    selector = selectors.DefaultSelector()
    kind = Http2 if options.protocol == "h2" else Http1
    count = options.connections * (1 if kind is Http2 else options.streams)
    owners = {}
    for seed in range(count):
        owner = kind(options, selector, seed)
        owners[owner.link.socket.fileno()] = owner
    connections = list(owners.values())
    limit = time.monotonic() + 30

    def opened():
        if time.monotonic() > limit:
            raise Failed("the WebSockets did not open within 30 s")
        return all(each.open == each.streams for each in connections)

    drive(selector, owners, opened)
    for each in connections:
        each.start(options.in_flight)
    end = time.monotonic() + options.warm_up
    warmed = drive(selector, owners, lambda: time.monotonic() > end)
    own, server, started = time.process_time(), server_cpu(options.pid), time.monotonic()
    end = started + options.seconds
    done = drive(selector, owners, lambda: time.monotonic() > end)
    took = time.monotonic() - started
    server, own = server_cpu(options.pid) - server, time.process_time() - own
    unseen = options.connections * options.streams - sum(
        sum(e.first is None for e in each.echoes.values())
        if kind is Http2
        else each.echoes.first is None
        for each in connections
    )
    if not done or (not warmed and unseen):
        raise Failed("no echo came back")
    return {
        "messages": done,
        "seconds": took,
        "server_us": 1e6 * server / done,
        "client_us": 1e6 * own / done,
        "per_second": done / took,
        "server_share": server / took,
    }


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--protocol", choices=("h2", "h1"), default="h2")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pid", type=int, required=True, help="the server's process")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--streams", type=int, default=100, help="h1: as many connections")
    parser.add_argument("--in-flight", type=int, default=4)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--kind", choices=("binary", "ascii", "mixed"), default="binary")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--warm-up", type=float, default=0.1)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--fragments", action="store_true", help="echoes may come in fragments")
    parser.add_argument("--cpu", type=int, help="run on this processor only")
    options = parser.parse_args()
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    try:
        answer = run(options)
    except (Failed, OSError) as error:
        answer = {"error": str(error) or type(error).__name__}
    print(json.dumps(answer))
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main())
