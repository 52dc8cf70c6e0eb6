"""The checks of the engine: where they stand, and sources in which each can be switched off.

A check is a condition under which an error is signalled: an `if`, `elif` or `else` whose block
holds a signal itself, or a conditional expression with one in an arm. Where the condition is a
chain of `or`, each operand is a check. Every check of a module is switched by `switch.off`, so
that the engine is compiled once for all mutants.
"""

import ast
import importlib.util
import os
import re
import sys
import tomllib
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path

PACKAGE = "h2ws_fast"
ROWS = Path(__file__).parents[1] / "rows.toml"

# Methods that end a connection, a stream or a WebSocket, or count that a limit was reached.
SIGNALS = {
    "fail_connection",
    "fail_stream",
    "break_stream",
    "fail",
    "hit",
    "count_hit",
    "reached",
    "too_big",
    "_malformed",
    "_refuse",
    "_write_reset",
}
# What is wrong, on its way to a signal.
FAULTS = {"reason", "fault", "malformed"}


@dataclass(frozen=True)
class Site:
    """One check: `key` names it as long as its text stays, whatever lines move."""

    number: int
    module: str
    function: str
    line: int
    check: str
    signal: str
    peer: bool  # what a peer did is checked, and not what the caller of a verb passed
    rows: frozenset  # of the requirements, or sections of them ("9113-6.9"): what is checked

    @property
    def named(self):
        """Does the check say which rule of the peer's it stands for?"""
        return self.peer and bool(self.rows)

    def is_claimed_by(self, rows):
        """Does a test that claims these rows claim what is checked?"""
        return any(
            row == own or row.startswith((f"{own}-", f"{own}."))
            for own in self.rows
            for row in rows
        )

    @property
    def key(self):
        return f"{self.module}.{self.function}: {self.check} -> {self.signal}"


class Switch:
    """What the instrumented sources ask: `switch(number, condition)`."""

    def __init__(self):
        self.off = -1
        self.fired = None  # while recording: the numbers of the checks that held

    def __call__(self, number, condition):
        if not condition:
            return condition
        if self.fired is not None:
            self.fired.add(number)
        return False if number == self.off else condition


switch = Switch()


def _call_name(node):
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _signal_in(expression):
    """The signal within an expression, or None."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Call) and _call_name(node.func) in SIGNALS:
            return node
    return None


# Errors for the caller of a verb, and modules that speak to nobody else.
LOCAL = {"LocalProtocolError", "StreamClosed", "TypeError", "ValueError", "queue_is_full"}
LOCAL_MODULES = {"limits", "opening", "prepare", "sender", "settings", "sink"}


def _signal_of(block, function):
    """The statement of a block that signals, and whether it speaks of the peer; or None."""
    for statement in sorted(block, key=lambda one: not isinstance(one, ast.Raise)):
        match statement:
            case ast.Raise(exc=None):
                continue  # passed on
            case ast.Raise(exc=error):
                # Without a call it is the application's own error on its way back.
                return statement, isinstance(error, ast.Call) and _call_name(
                    error.func
                ) not in LOCAL
            case ast.Assign(targets=[target], value=ast.Constant(value=str() as text)) if text:
                if _call_name(target) in FAULTS:
                    return statement, True
            case ast.Return(value=ast.Constant(value=str())) if function.endswith("_fault"):
                return statement, True
            case ast.Expr(value=value) | ast.Return(value=value) | ast.Assign(value=value):
                # A conditional expression is a check of its own.
                if value is not None and not isinstance(value, ast.IfExp) and _signal_in(value):
                    return statement, True
    return None


NAMED = re.compile(r"RFC (\d+),? sections? (\d[\d.]*\d|\d)(?: and (\d[\d.]*\d|\d))?")


def _sections(lines, first, last):
    """The sections that stand in comments and messages between two lines, or just above them."""
    while first > 1 and lines[first - 2].lstrip().startswith("#"):
        first -= 1
    text = " ".join(line.strip().removeprefix("# ") for line in lines[first - 1 : last])
    named = NAMED.findall(text)
    return frozenset(f"{rfc}-{section}" for rfc, *both in named for section in both if section)


# What each limit is for.
LIMITS = {
    "body_timeout_s": ["SEC-4-2"],
    "dribble_burst": ["SEC-1-7"],
    "frame_timeout_s": ["SEC-4-2"],
    "header_block_timeout_s": ["SEC-2-2"],
    "keepalive_timeout_s": ["SEC-4-3"],
    "max_concurrent_streams": ["9113-5.1.2"],
    "max_continuations": ["SEC-2-1"],
    "max_control_frames": ["SEC-1-4", "SEC-1-5"],
    "max_control_octets": ["SEC-1-8"],
    "max_empty_fragments": ["SEC-5-3"],
    "max_final_blocks": ["SEC-5-2"],
    "max_empty_frames": ["SEC-1-9"],
    "max_fragment": ["SEC-5-1"],
    "max_fragments": ["SEC-5-3"],
    "max_header_list_size": ["SEC-2-1", "SEC-3-1"],
    "max_local_resets": ["SEC-1-2"],
    "max_message": ["SEC-5-1", "SEC-5-2", "6455-5.2"],
    "max_pending_resets": ["SEC-1-1"],
    "max_priority_frames": ["SEC-1-6"],
    "max_settings": ["SEC-1-5"],
    "max_window_updates": ["SEC-1-7"],
    "ping_burst": ["SEC-1-5"],
    "reset_burst": ["SEC-1-1", "SEC-1-2", "SEC-1-3"],
    "settings_burst": ["SEC-1-5"],
    "write_timeout_s": ["SEC-4-1"],
}


def _limit(signal):
    """The rows of the limit that a signal counts, if it counts one."""
    for node in ast.walk(signal):
        match node:
            case ast.Call(func=func, args=[ast.Constant(value=str() as name), *_]):
                if _call_name(func) in ("hit", "count_hit", "reached", "too_big"):
                    return LIMITS.get(name, [])
    return []


class _Switches(ast.NodeTransformer):
    """Puts a switch into each check of a module, and lists them."""

    def __init__(self, module, first, source, known):
        self.module = module
        self.lines = source.splitlines()
        self.known = known
        self.sites = []
        self.first = first
        self.functions = []

    def _switched(self, condition, signal, peer, check=None):
        number = self.first + len(self.sites)
        text = " ".join(ast.unparse(signal).split())
        self.sites.append(
            Site(
                number,
                self.module,
                ".".join(self.functions),
                condition.lineno if check is None else signal.lineno,
                check or " ".join(ast.unparse(condition).split()),
                text,
                peer and self.module not in LOCAL_MODULES,
                frozenset(_limit(signal)) or self._rows(condition, signal),
            )
        )
        call = ast.Call(
            ast.Name("_switch", ast.Load()), [ast.Constant(number), condition], keywords=[]
        )
        return ast.copy_location(call, condition)

    def _rows(self, condition, signal):
        first = min(condition.lineno, signal.lineno)
        return _sections(self.lines, first, signal.end_lineno) & self.known

    def _conditions(self, test, signal, peer):
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
            test.values = [self._switched(value, signal, peer) for value in test.values]
            return test
        return self._switched(test, signal, peer)

    def _scope(self, node):
        self.functions.append(node.name)
        self.generic_visit(node)
        self.functions.pop()
        return node

    visit_FunctionDef = _scope
    visit_ClassDef = _scope

    def visit_If(self, node):
        function = self.functions[-1] if self.functions else ""
        found = _signal_of(node.body, function)
        otherwise = _signal_of(node.orelse, function)
        self.generic_visit(node)
        if found:
            node.test = self._conditions(node.test, *found)
        if otherwise:
            always = ast.copy_location(ast.Constant(True), node.orelse[0])
            check = f"not ({' '.join(ast.unparse(node.test).split())})"
            if "_switch" in check:
                check = "else"
            guard = ast.If(self._switched(always, *otherwise, check), node.orelse, [])
            node.orelse = [ast.copy_location(guard, node.orelse[0])]
        return node

    def visit_IfExp(self, node):
        self.generic_visit(node)
        if signal := _signal_in(node.body):
            node.test = self._switched(node.test, signal, True)
        elif signal := _signal_in(node.orelse):
            inverse = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
            node.test = self._switched(inverse, signal, True)
            node.body, node.orelse = node.orelse, node.body
        return node


class _Loader(SourceFileLoader):
    def __init__(self, name, path, code):
        super().__init__(name, path)
        self.code = code

    def get_code(self, fullname):
        return self.code

    def exec_module(self, module):
        module._switch = switch
        super().exec_module(module)


class _Finder:
    def __init__(self, codes):
        self.codes = codes

    def find_spec(self, name, path=None, target=None):
        found = self.codes.get(name)
        if found is None:
            return None
        file, code = found
        return importlib.util.spec_from_file_location(
            name, file, loader=_Loader(name, str(file), code)
        )


def install():
    """Import the pure twin with a switch in each check; return the sites.

    Raises RuntimeError where the package is imported already.
    """
    if PACKAGE in sys.modules:
        raise RuntimeError(f"{PACKAGE} is imported already, without switches")
    os.environ["H2WS_FAST_PURE"] = "1"
    spec = importlib.util.find_spec(PACKAGE)
    requirements = tomllib.loads(ROWS.read_text("utf-8"))
    known = {row.rsplit("-", 1)[0] for part in requirements["section"] for row in part["rows"]}
    sites, codes = [], {}
    for file in sorted(Path(spec.origin).parent.glob("engine/*.py")):
        if file.stem in ("__init__", "constants"):
            continue
        source = file.read_text("utf-8")
        switches = _Switches(file.stem, len(sites), source, known)
        tree = switches.visit(ast.parse(source, str(file)))
        sites += switches.sites
        code = compile(ast.fix_missing_locations(tree), str(file), "exec")
        codes[f"{PACKAGE}.engine.{file.stem}"] = file, code
    # The package chooses its twin by a finder of its own, which ours must precede.
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    importlib.import_module(f"{PACKAGE}._twins")
    sys.meta_path.insert(0, _Finder(codes))
    spec.loader.exec_module(package)
    return sites
