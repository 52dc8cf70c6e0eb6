"""`python -m bench`: what h2ws_fast does beside its peers, on this machine, in one run."""

import argparse
import contextlib
import importlib
import sys

from . import contenders
from .demands import DEMANDS
from .report import Report, check_result, first_line

SECTIONS = {
    "kernels": "masking, UTF-8, Huffman beside memcpy; frame heads",
    "engine": "receive, send, echo and broadcast without sockets",
    "splitting": "DATA cut to tiny and ordinary windows",
    "deflate": "messages of 1 KiB compressed beside zlib bare; what an idle WebSocket keeps of it",
    "datagrams": "UDP packets as capsules through both ends of the engine",
    "handshakes": "Chromium's extended CONNECT, cold and warm",
    "memory": "octets an idle WebSocket",
    "loopback": "echo over sockets and uvloop, cleartext and TLS, beside other servers",
    "http1": "echo over HTTP/1.1 beside picows and websockets (with --check and --only alone)",
    "connections": "resident octets a connection (of 2000; with --check and --only of 20 000)",
    "growth": "ten million messages, a million streams",
    "instructions": "instructions a message, by valgrind (with --check and --only alone)",
    "asgi": "one ASGI application behind each server (with --check and --only alone)",
    "gateway": "the gateway beside HAProxy and nghttpx (with --check and --only alone)",
    "transport": "byte streams beside TCP; opening one (with --check and --only alone)",
}
LONG = {"instructions", "http1", "asgi", "gateway", "transport"}
DEFAULT = [name for name in SECTIONS if name not in LONG]


class Bench(Report):
    """What a section gets: the contenders, how long to run, and where to put what it finds."""

    def __init__(self, twin, options, contenders):
        super().__init__(twin, options)
        self.contenders = contenders
        self.quick = quick = options["quick"]
        self.only = bool(options["only"])
        self.check = options["check"]
        self.runs = 3 if quick else 10
        self.seconds = 0.005 if quick else 0.02

    @contextlib.contextmanager
    def another(self, name):
        """A second process of a contender: to compare two of its cases."""
        contender = contenders.Contender(name)
        try:
            yield contender
        finally:
            contender.stop()


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog="sections: "
        + "; ".join(f"{name}: {what}" for name, what in SECTIONS.items())
        + ". python -m bench soak --help: the soak test",
    )
    parser.add_argument(
        "--only",
        metavar="SECTION",
        action="append",
        choices=SECTIONS,
        help="run this section alone, in full (may be repeated)",
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: a smoke test")
    parser.add_argument("--json", metavar="FILE", help="write everything for machines")
    parser.add_argument(
        "--check",
        action="store_true",
        help="measure whatever a demand is made of, in some more minutes, and exit 1 where a "
        "figure misses its demand or is missing; with --only those of the sections alone",
    )
    options = parser.parse_args(argv)
    check_result(parser, options.json)
    return options


def sections_of(options):
    """What is to be measured: in two minutes, or for all of the demands."""
    return options.only or (list(SECTIONS) if options.check else DEFAULT)


def failures(figures, sections):
    """The demands of these sections that are missed, and those that were not measured."""
    asked = [demand for demand in DEMANDS if demand.section in sections]
    missing = [demand for demand in asked if demand.key not in figures]
    missed = [d for d in asked if d.key in figures and not d.met(figures[d.key])]
    return missed, missing


def twin_that_runs(running):
    if contenders.COMPILED in running:
        return "the compiled twin beside the pure one"
    if contenders.PURE in running:
        return "the pure twin alone, not compiled"
    return "no twin of ours runs"


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["soak"]:
        from .soak import command

        return command.main(argv[1:])
    options = arguments(argv)
    running, absent = contenders.available()
    twin = twin_that_runs(running)
    print(first_line(twin), flush=True)
    kept = {name: value for name, value in vars(options).items() if name != "json"}
    bench = Bench(twin, kept, running)
    sections = sections_of(options)
    for why in absent:
        bench.note(f"left out: {why}")
        print(f"left out: {why}", file=sys.stderr, flush=True)
    try:
        for name in sections:
            bench.section = name
            importlib.import_module(f"bench.{name}").run(bench)
    except contenders.Different as error:
        print(f"python -m bench: {error}", file=sys.stderr)
        return 2
    finally:
        for contender in running.values():
            contender.stop()
    print(bench.text(DEMANDS))
    if options.json:
        bench.write(options.json, DEMANDS)
    if not options.check:
        return 0
    missed, missing = failures(bench.figures, sections)
    for what, demands in (("missed", missed), ("not measured", missing)):
        for demand in demands:
            print(f"{what}: {demand.text}", file=sys.stderr)
    return 1 if missed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
