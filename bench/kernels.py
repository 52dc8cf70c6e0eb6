"""The innermost loops: masking, UTF-8, Huffman, beside memcpy; and frames of next to nothing.

The C kernels are timed by a loop in C (`kernels.c`, compiled with `csrc/` for the occasion):
a call from Python would take longer than most of them and flatter every ratio.
"""

import ctypes
import hashlib
import os
import platform
import random
import shlex
import shutil
import statistics
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from . import wire
from .cases import Case
from .contenders import COMPILED, PURE, THEIRS
from .report import Table

ROOT = Path(__file__).resolve().parent.parent
SIZES = ((125, "125 B"), (1024, "1 KiB"), (16384, "16 KiB"), (1 << 20, "1 MiB"))
MEMCPY, MASK, MASK_ASCII, UTF8, HUFFMAN_DECODE, HUFFMAN_ENCODE = range(6)
KEY = b"\x37\xfa\x21\x3d"
AGENT = (
    b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    b"Chrome/156.0.0.0 Safari/537.36"
)


# -- from Python, compiled against pure ------------------------------------------------------


class Memcpy(Case):
    """A copy between two buffers that exist already."""

    def __init__(self, size, **_):
        self.source = random.Random(size).randbytes(size)
        self.target = ctypes.create_string_buffer(size)
        self.size = size
        self.messages = max(1, (8 << 20) // size)

    def round(self):
        copy, target, source, size = ctypes.memmove, self.target, self.source, self.size
        for _ in range(self.messages):
            copy(target, source, size)

    def check(self):
        self.round()
        return wire.digest([(self.target.raw,)])


class Unmask(Case):
    """The kernel as the pure twin's state machine calls it, and its compiled namesake."""

    def __init__(self, size, **_):
        from h2ws_fast.engine import kernels

        self.unmask = kernels.unmask
        self.messages = max(2, min(200, (1 << 20) // size))
        self.data = random.Random(size).randbytes(size)
        self.key = int.from_bytes(KEY, "little")

    def round(self):
        unmask, data, n, key = self.unmask, self.data, len(self.data), self.key
        for _ in range(self.messages):
            unmask(data, 0, n, key)

    def check(self):
        return wire.digest([(self.unmask(self.data, 0, len(self.data), self.key),)])


KERNELS = {"memcpy": Memcpy, "unmask": Unmask}


# -- in C ------------------------------------------------------------------------------------


class NoCompiler(Exception):
    pass


def build():
    """Compile `kernels.c` with `csrc/`; return the library. Kept for as long as neither changes."""
    sources = [Path(__file__).with_name("kernels.c"), *sorted((ROOT / "csrc").glob("*.c"))]
    headers = sorted((ROOT / "csrc").glob("*.h"))
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if os.name != "posix" or not shutil.which(compiler[0]):
        raise NoCompiler(f"no C compiler ({compiler[0]}): the C kernels beside memcpy are left out")
    flags = ["-O3", "-fPIC", "-shared", "-fvisibility=hidden", f"-I{ROOT / 'csrc'}"]
    name = hashlib.sha256(platform.platform().encode())
    for path in (*sources, *headers):
        name.update(path.read_bytes())
    name.update(" ".join([*compiler, *flags]).encode())
    library = Path(tempfile.gettempdir()) / f"h2ws-bench-{os.getuid()}-{name.hexdigest()[:16]}.so"
    if not library.exists():
        made = library.with_suffix(f".{os.getpid()}")
        command = [*compiler, *flags, *map(str, sources), "-o", str(made)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise NoCompiler(f"{compiler[0]} failed: {result.stderr.strip().splitlines()[-1]}")
        made.rename(library)
    loaded = ctypes.CDLL(str(library))
    loaded.h2ws_bench.restype = ctypes.c_double
    loaded.h2ws_bench.argtypes = [
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_long,
    ]
    loaded.h2ws_bench_huffman.restype = ctypes.c_size_t
    return loaded


def buffer(size, offset):
    """A buffer that begins so far behind a page's begin, and its address."""
    raw = ctypes.create_string_buffer(size + 8192)
    return raw, -(-ctypes.addressof(raw) // 4096) * 4096 + offset


class Loop:
    """One kernel over one input, timed in C."""

    def __init__(self, library, kernel, data, beside=None):
        self.call = library.h2ws_bench
        self.kernel, self.n = kernel, len(data)
        # As the engine has them: behind the heads of a DATA and a WebSocket frame, and inside a
        # `bytes` object.
        self.room = 4 * self.n + 64
        if beside:
            self.keep, self.source, self.target = beside.keep, beside.source, beside.target
        else:
            keep_from, self.source = buffer(self.n, 9 + 6)
            keep_to, self.target = buffer(self.room, 32)
            self.keep = keep_from, keep_to
        ctypes.memmove(self.source, data, self.n)
        self.rounds = 1
        while self.seconds() < 0.002:
            self.rounds *= 2

    def seconds(self):
        spent = self.call(self.kernel, self.target, self.room, self.source, self.n, self.rounds)
        if spent < 0:
            raise AssertionError(f"kernel {self.kernel} rejected its input")
        return spent

    def output(self):
        self.call(self.kernel, self.target, self.room, self.source, self.n, 1)
        return ctypes.string_at(self.target, self.n)


def in_c(bench):
    try:
        library = build()
    except NoCompiler as error:
        bench.note(str(error))
        return
    width = ("64-bit words", "16 octets at once", "AVX2", "AVX-512")[library.h2ws_bench_init()]
    table = Table(
        "kernels in C beside memcpy",
        ["ns", "GB/s", "memcpy ns", "of memcpy"],
        ["", "", "", "x"],
        f"{width}; both between buffers as the engine has them, called through a pointer",
    )
    worst = []
    for label, kernel, data in inputs():
        bench.progress(label)
        loop = Loop(library, kernel, data)
        copy = Loop(library, MEMCPY, data, beside=loop)
        if kernel in (MASK, MASK_ASCII):
            assert loop.output() == wire.mask(data, KEY), label
        runs = []
        for _ in range(bench.runs):
            runs.append((loop.seconds() / loop.rounds, copy.seconds() / copy.rounds))
        each = statistics.median(a for a, _ in runs)
        figure = statistics.median(a / b for a, b in runs)
        table.add(
            label,
            1e9 * each,
            len(data) / each / 1e9,
            1e9 * statistics.median(b for _, b in runs),
            figure,
        )
        if kernel == MASK and len(data) >= 1024:
            worst.append(figure)
    bench.figure("memcpy", max(worst))
    huffman(bench, library, table)
    bench.table(table)


def inputs():
    for size, name in SIZES:
        yield f"unmask {name}", MASK, wire.payload(size, "binary", random.Random(size))
    for size, name in SIZES:
        data = wire.mask(wire.payload(size, "ascii", random.Random(size)), KEY)
        yield f"unmask and check ASCII {name}", MASK_ASCII, data
    for kind, what in (("ascii", "ASCII"), ("mixed", "1 to 4 octets a character")):
        for size, name in SIZES[1:3]:
            yield f"UTF-8 {what} {name}", UTF8, wire.payload(size, kind, random.Random(size))


def huffman(bench, library, table):
    """A browser's user-agent, both ways; each octet is a symbol, so GB/s counts plain octets."""
    encoded = ctypes.create_string_buffer(4 * len(AGENT))
    size = library.h2ws_bench_huffman(encoded, AGENT, len(AGENT))
    for label, kernel, data in (
        ("Huffman decode, a user-agent", HUFFMAN_DECODE, encoded.raw[:size]),
        ("Huffman encode, a user-agent", HUFFMAN_ENCODE, AGENT),
    ):
        bench.progress(label)
        loop, copy = Loop(library, kernel, data), Loop(library, MEMCPY, AGENT)
        runs = [
            (loop.seconds() / loop.rounds, copy.seconds() / copy.rounds) for _ in range(bench.runs)
        ]
        each = statistics.median(a for a, _ in runs)
        table.add(
            label,
            1e9 * each,
            len(AGENT) / each / 1e9,
            1e9 * statistics.median(b for _, b in runs),
            statistics.median(a / b for a, b in runs),
        )


def run(bench):
    from .engine import COLUMNS, FORMATS, compared

    in_c(bench)
    table = Table("kernels from Python", COLUMNS, FORMATS, "CPU µs a call, a head")
    for size, name in SIZES:
        compared(bench, table, f"unmask {name}", "unmask", names=(COMPILED, PURE), size=size)
        if size == 1024 and table.rows[-1][1][-1] is not None:
            bench.figure("mask twins", table.rows[-1][1][-1])
    compared(
        bench,
        table,
        "frame heads, of frames to ignore",
        "heads",
        names=(COMPILED, PURE, THEIRS),
        count=4000,
    )
    bench.table(table)
