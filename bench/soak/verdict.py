"""What must hold at the end of a soak, and whether it did."""

import json
import subprocess
import time

from ..report import align, machine, show, versions

MIB = 2**20
# From the first lull, when caches and pools are warm, to the last.
GROWTH_RESIDENT = 8 * MIB
GROWTH_BLOCKS = 5000  # objects of Python's allocator


class Verdict:
    """Judges a soak by what it found (`Soak.plain()`) and by how the server ended."""

    def __init__(self, options, found, interrupted):
        self.options = options
        self.found = found
        self.interrupted = interrupted
        self.demands = []  # (what, figure, whether it is met)

    @property
    def passed(self):
        return not self.interrupted and all(met for _, _, met in self.demands)

    def demand(self, what, figure, met):
        self.demands.append((what, figure, bool(met)))

    def tell(self, text):
        self.found["texts"].append(text)
        print("  ! " + text, flush=True)

    def judge(self, code, last_words, said, tasks):
        found = self.found
        self.demand("messages echoed", found["messages"], found["messages"] > 0)
        self.demand(
            "octets that came back wrong: none", found["mismatches"], not found["mismatches"]
        )
        self.demand(
            "unexpected errors: none", found["errors_unexpected"], not found["errors_unexpected"]
        )
        if found["lulls"]:
            self.judge_server(found["before"], found["lulls"])
        self.demand("server's exit code: 0", "killed" if code is None else code, code == 0)
        left = None if last_words is None else last_words["tasks"]
        self.demand("tasks that outlived the server: none", left, left == 0)
        self.demand("server's standard error: silent", "not silent" if said else "silent", not said)
        self.demand("tasks of our client left: none", len(tasks), not tasks)
        for line in [f"task of our client: {task}" for task in tasks] + said.splitlines():
            self.tell(line)

    def judge_server(self, before, lulls):
        first, last = lulls[0], lulls[-1]
        self.demand("errors that the server logged: none", last["errors"], not last["errors"])
        for text in last["error_texts"]:
            self.tell(f"server: {text}")
        grown = last["resident"] - first["resident"]
        self.demand(
            f"server grown since the first lull, at {first['at_s']:.0f} s: "
            f"at most {GROWTH_RESIDENT // MIB} MiB",
            f"{grown / MIB:.1f} MiB",
            grown <= GROWTH_RESIDENT,
        )
        blocks = last["blocks"] - first["blocks"]
        self.demand(
            f"allocated blocks since then: at most {GROWTH_BLOCKS} more",
            blocks,
            blocks <= GROWTH_BLOCKS,
        )
        more = {
            name: count - before["objects"].get(name, 0)
            for name, count in last["objects"].items()
            if count > before["objects"].get(name, 0)
        }
        self.demand(
            "objects of ours more than before anybody came: none", sum(more.values()), not more
        )
        if more:
            self.tell(f"the server still has {more}")
        futures = last["pending_futures"] - before["pending_futures"]
        self.demand("futures left pending: none", futures, futures <= 0)
        self.demand("uncollectable garbage: none", last["garbage"], not last["garbage"])

    def text(self):
        found = self.found
        most = max((each["resident"] for each in found["samples"]), default=0)
        cpu = found["lulls"][-1]["cpu_s"] if found["lulls"] else 0
        lines = [
            "",
            f"{show(found['messages'])} messages and {show(found['requests'])} requests, "
            f"{show(found['octets'] / MIB)} MiB, on {show(found['connections'])} connections in "
            f"{found['seconds']:.0f} s; {show(sum(found['visits'].values()))} visits of "
            f"{len(found['visits'])} kinds",
            f"server: {cpu:.0f} s of CPU; at most {most / MIB:.0f} MiB; with nobody there, in turn "
            + ", ".join(f"{each['resident'] / MIB:.0f}" for each in found["lulls"])
            + " MiB",
            "canary: {chirps} echoes, median {median_ms} ms, 99th {99th_ms} ms, worst {worst_ms} ms "
            "(the machine and its clients included)".format(**found["canary"]),
            "expected errors: "
            + ", ".join(f"{count} {name}" for name, count in found["errors_expected"].items()),
        ]
        lines.append("")
        rows = [["must hold", "", ""]]
        rows += [
            [what, show(n), "yes" if met else "NO"] for what, n, met in map(shown, self.demands)
        ]
        lines += [*align(rows), ""]
        word = "interrupted" if self.interrupted else "passed" if self.passed else "FAILED"
        lines.append(f"soak {word}; --seed {self.options.seed}")
        return "\n".join(lines)

    def plain(self):
        return {
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "commit": commit(),
            "options": {
                name: value for name, value in vars(self.options).items() if name != "json"
            },
            "machine": machine(),
            "versions": versions(),
            "passed": self.passed,
            "interrupted": self.interrupted,
            "must_hold": [
                {"what": what, "figure": figure, "met": met} for what, figure, met in self.demands
            ],
            **self.found,
        }

    def write(self, path):
        with open(path, "w") as file:
            json.dump(self.plain(), file, indent=1, ensure_ascii=False)
            file.write("\n")


def shown(demand):
    what, figure, met = demand
    return what, figure if isinstance(figure, int) else str(figure), met


def commit():
    """The commit of the tree that runs, None outside of one; with a + where it was changed."""
    try:
        asked = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"],
            capture_output=True,
            check=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return asked.stdout.strip()
