"""What is printed for a person, and what is kept for machines."""

import json
import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "h2ws_fast",
    "h2",
    "hpack",
    "wsproto",
    "uvloop",
    "hypercorn",
    "picows",
    "websockets",
    "uvicorn",
    "httptools",
    "zttp",
    "granian",
    "cython",
)


def check_result(parser, path):
    """End the command where `--json` cannot be written: before the minutes of a run, not after."""
    if path is None or (
        os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
    ):
        return  # a pipe or a terminal
    new = not os.path.exists(path)
    try:
        with open(path, "a"):
            pass
    except OSError as error:
        parser.exit(2, f"{parser.prog}: error: --json {path}: {error.strerror}\n")
    if new:
        os.unlink(os.path.realpath(path))


class Table:
    """A title, named columns and rows of numbers. `formats` names how each column is shown."""

    def __init__(self, title, columns, formats=None, note=""):
        self.title = title
        self.columns = columns
        self.formats = formats or [""] * len(columns)
        self.note = note
        self.rows = []

    def add(self, label, *values):
        self.rows.append((label, values))

    def lines(self):
        cells = [
            [
                label,
                *(show(value, form) for value, form in zip(values, self.formats, strict=True)),
            ]
            for label, values in self.rows
        ]
        yield self.title
        yield from align([["", *self.columns], *cells])
        if self.note:
            yield "  " + self.note

    def plain(self):
        return {
            "title": self.title,
            "columns": self.columns,
            "rows": [{"label": label, "values": list(values)} for label, values in self.rows],
            "note": self.note,
        }


def show(value, form=""):
    """A number with three digits that matter. `form`: "x" for a ratio, else a unit or nothing."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    size = abs(value)
    if isinstance(value, int) or size >= 1000:
        text = f"{value:,.0f}".replace(",", " ")
    else:
        text = f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3}f}"
    return text + form


def align(rows):
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        first, *rest = zip(row, widths, strict=True)
        yield (
            "  "
            + "  ".join(
                [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
            ).rstrip()
        )


def processor():
    """The name the processor gives itself."""
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith(("model name", "Model", "cpu model")):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine():
    return {
        "processor": processor(),
        "cpus": os.cpu_count(),
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": platform.python_compiler(),
    }


def versions():
    """What is installed of ours and the peers'."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def first_line(twin):
    about = machine()
    known = ", ".join(f"{name} {number}" for name, number in versions().items() if number)
    return (
        f"h2ws_fast benchmark, {twin}: {about['python']}, "
        f"{about['cpus']} x {about['processor']}; {known}"
    )


class Report:
    """Collects what the sections find; prints it; keeps it."""

    def __init__(self, twin, options):
        self.started = time.monotonic()
        self.twin = twin
        self.options = options
        self.tables = []
        self.figures = {}
        self.notes = []
        self.section = ""

    def progress(self, text):
        clock = time.monotonic() - self.started
        print(f"[{clock:4.0f} s] {self.section}: {text}", file=sys.stderr, flush=True)

    def table(self, table):
        self.tables.append(table)

    def figure(self, key, value):
        """Note a figure that a row of the demands asks for."""
        self.figures[key] = value

    def verdict(self, demand):
        asked = self.options["only"] or ()
        tried = demand.section in asked or (self.options["check"] and not asked)
        return demand.verdict(self.figures.get(demand.key), tried and not self.options["quick"])

    def note(self, text):
        """Something the reader must know: a peer that is absent, a limit of the machine."""
        if text not in self.notes:
            self.notes.append(text)

    def text(self, demands):
        lines = []
        for table in self.tables:
            lines += ["", *table.lines()]
        lines += ["", "Must reach (medians of interleaved runs; compiled twin)"]
        rows = [["", "figure", "demand", "verdict"]]
        for demand in demands:
            value = self.figures.get(demand.key)
            rows.append(
                [
                    demand.text,
                    show(value, demand.unit),
                    f"{demand.sense} {show(demand.limit, demand.unit)}",
                    self.verdict(demand),
                ]
            )
        lines += align(rows)
        if self.notes:
            lines += ["", *("  note: " + note for note in self.notes)]
        lines += ["", f"  {time.monotonic() - self.started:.0f} s"]
        return "\n".join(lines)

    def plain(self, demands):
        return {
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "twin": self.twin,
            "options": self.options,
            "machine": machine(),
            "versions": versions(),
            "seconds": round(time.monotonic() - self.started, 1),
            "tables": [table.plain() for table in self.tables],
            "must_reach": [
                {
                    "what": demand.text,
                    "key": demand.key,
                    "figure": self.figures.get(demand.key),
                    "sense": demand.sense,
                    "demand": demand.limit,
                    "verdict": self.verdict(demand),
                }
                for demand in demands
            ],
            "notes": self.notes,
        }

    def write(self, path, demands):
        with open(path, "w") as file:
            json.dump(self.plain(demands), file, indent=1, ensure_ascii=False)
            file.write("\n")
