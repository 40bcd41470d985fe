"""Lists every refusal code of the source, and fails for one that no test names: `python -m tests.support.refusals`.

A code is a string that can end up as something called `code` (a parameter, a field, a variable, a class attribute),
as a member of an enum `Code`, as the first of a `refusal`, or as the reason of a dead letter. Syntax trees say what
can: a parameter that is handed on as a code carries codes itself, so a new error class or helper needs no entry here.
A code is named where a file of TESTS holds it as a string of its own, as its constant or as `Code.MEMBER`. Definitions
are told apart by bare name.

What it cannot see: a code that a table keeps under another name, and whether the test that names it is any good.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

SOURCES: Final = ("schemas", "broker", "nodes")
TESTS: Final = ("tests/unit", "tests/conformance", "tests/e2e")
CODE: Final = "code"
ENUM: Final = "Code"
PAIRS: Final = frozenset({"refusal", "refused"})
"""Names of (code, reason)."""
DEAD_REASON: Final = "DEAD_REASON"
"""The header whose value is the reason of a dead letter."""
KEBAB: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9*]+)*")

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Trees: TypeAlias = dict[str, ast.Module]
_TELLING: Final = (ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.For, ast.Call, ast.Dict, ast.keyword)
"""The nodes that can make a string a code."""


@dataclass(frozen=True, order=True)
class Refusal:
    """A code and where its string stands. A `*` in the code is what an f-string fills in."""

    code: str
    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: no test names {self.code}"

    def is_named(self, names: frozenset[str]) -> bool:
        """Whether one of the names is this code."""
        pattern = re.compile(self.code.replace("*", "[a-z0-9-]+"))
        return any(pattern.fullmatch(name) for name in names)


def read(root: Path, folders: Iterable[str]) -> Trees:
    """Syntax trees by path relative to root."""
    paths = sorted(path for folder in folders for path in (root / folder).rglob("*.py"))
    return {path.relative_to(root).as_posix(): ast.parse(path.read_text()) for path in paths}


def refusals(trees: Trees) -> list[Refusal]:
    """Every code of the source, at every place where its string stands."""
    places = {id(node): path for path, tree in trees.items() for node in ast.walk(tree)}
    found = set()
    for leaf in _Flow(trees).strings():
        if KEBAB.fullmatch(code := _text(leaf)):
            found.add(Refusal(code, places[id(leaf)], leaf.lineno))
    return sorted(found)


def named(tests: Trees, source: Trees) -> frozenset[str]:
    """Every string that stands alone in the tests, and what the constants and `Code.MEMBER`s mean that they use."""
    meant: dict[str, set[str]] = defaultdict(set)
    for tree in source.values():
        for prefix, lines in (("", tree.body), (f"{ENUM}.", _enum_lines(tree))):
            for name, value in (pair for line in lines for pair in _assignments(line)):
                meant[prefix + name].add(_text(value))
    names: set[str] = set()
    for node in (node for tree in tests.values() for node in ast.walk(tree)):
        if isinstance(node, ast.Constant):
            names.add(_text(node))
        elif isinstance(node, ast.Attribute) and _last(node.value) == ENUM:
            names |= meant[f"{ENUM}.{node.attr}"]
        elif isinstance(node, ast.Name | ast.Attribute):
            names |= meant[_last(node)]
    return frozenset(names)


class _Flow:
    """Follows codes back to their strings, function by function."""

    def __init__(self, trees: Trees) -> None:
        self.functions: dict[str, list[Function]] = defaultdict(list)
        self.classes: dict[str, list[ast.ClassDef]] = defaultdict(list)
        self.constants: dict[str, list[ast.expr]] = defaultdict(list)
        self.tables: dict[str, list[ast.expr]] = defaultdict(list)
        self.carriers: dict[str, set[str]] = defaultdict(lambda: {CODE})
        """Callable → its parameters that end up as a code."""
        self._modules = list(trees.values())
        self._scopes: list[tuple[Function | None, list[ast.AST]]] = []
        for node in (node for tree in self._modules for node in ast.walk(tree)):
            if isinstance(node, Function):
                self.functions[node.name].append(node)
            elif isinstance(node, ast.ClassDef):
                self.classes[node.name].append(node)
            for name, value in _assignments(node):
                if isinstance(value, ast.Tuple | ast.List):
                    self.tables[name] += value.elts
        for name, value in (pair for tree in self._modules for line in tree.body for pair in _assignments(line)):
            self.constants[name].append(value)
        for scope in (*self._modules, *(each for group in self.functions.values() for each in group)):
            nodes: list[ast.AST] = [node for node in ast.walk(scope) if isinstance(node, _TELLING)]
            self._scopes.append((scope if isinstance(scope, Function) else None, nodes))

    def strings(self) -> list[ast.expr]:
        """What stands at the start of every code. Walks again until no more parameters are found to carry one."""
        found: list[ast.expr] = []
        known = -1
        while known != (known := sum(map(len, self.carriers.values()))):
            found = [leaf for scope in self._scopes for leaf in self._strings_of(*scope)]
        return found + [line.value for tree in self._modules for line in _enum_lines(tree)]

    def _strings_of(self, function: Function | None, nodes: list[ast.AST]) -> Iterator[ast.expr]:
        parameters = _parameters(function) if function else []
        followed = {CODE}
        pending = [sink for node in nodes for sink in (*self._assigned(node, CODE), *self._sinks(node))]
        while pending:
            for leaf in _leaves(pending.pop()):
                name = _last(leaf)
                if isinstance(leaf, ast.Constant | ast.JoinedStr):
                    yield leaf
                elif function and isinstance(leaf, ast.Name) and name in parameters:
                    self.carriers[function.name].add(name)
                elif name not in followed:
                    followed.add(name)
                    pending += self._returned(name) if isinstance(leaf, ast.Call) else self.constants.get(name, ())
                    if function and isinstance(leaf, ast.Name):
                        pending += [sink for node in nodes for sink in self._assigned(node, name)]

    def _sinks(self, node: ast.AST) -> Iterator[ast.expr]:
        """The expressions in one node that become a code."""
        if isinstance(node, ast.Call):
            carrying = self.carriers[_last(node)]
            yield from (each.value for each in node.keywords if each.arg in carrying)
            for names in self._signatures(_last(node)):
                yield from (given for name, given in zip(names, node.args, strict=False) if name in carrying)
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            yield from (value for key, value in pairs if key is not None and _last(key) == DEAD_REASON)
        for name, value in [(node.arg, node.value)] if isinstance(node, ast.keyword) else _assignments(node):
            if name in PAIRS and isinstance(value, ast.Tuple):
                yield value.elts[0]

    def _signatures(self, callee: str) -> Iterator[list[str]]:
        """The positional parameters of everything called so; a class without any takes those of its bases."""
        yield from map(_parameters, self.functions.get(callee, ()))
        for each in self.classes.get(callee, ()):
            own = _constructor(each)
            if own:
                yield own
            else:
                bases = {_last(base) for base in each.bases} - {callee}
                yield from (names for base in bases for names in self._signatures(base))

    def _assigned(self, node: ast.AST, name: str) -> Iterator[ast.expr]:
        """What a node assigns to `name`: alone, unpacked from a tuple or a call, or row by row of a table."""
        yield from (value for target, value in _assignments(node) if target == name)
        if isinstance(node, ast.Assign):
            target, rows = node.targets[0], [node.value]
        elif isinstance(node, ast.For):
            target, table = node.target, node.iter
            rows = table.elts if isinstance(table, ast.Tuple | ast.List) else self.tables.get(_last(table), [])
        else:
            return
        if isinstance(target, ast.Tuple) and name in (parts := [_last(each) for each in target.elts]):
            at = parts.index(name)
            for row in rows:
                yield from self._returned(_last(row), at) if isinstance(row, ast.Call | ast.Await) else _part(row, at)

    def _returned(self, callee: str, at: int | None = None) -> Iterator[ast.expr]:
        """What functions called so return, or one part of it."""
        for node in (node for each in self.functions.get(callee, ()) for node in ast.walk(each)):
            if isinstance(node, ast.Return) and node.value is not None:
                yield from [node.value] if at is None else _part(node.value, at)


def _leaves(value: ast.expr) -> Iterator[ast.expr]:
    """The expressions of which `value` is one."""
    if isinstance(value, ast.IfExp):
        yield from (*_leaves(value.body), *_leaves(value.orelse))
    elif isinstance(value, ast.BoolOp):
        yield from (leaf for each in value.values for leaf in _leaves(each))
    elif isinstance(value, ast.Subscript | ast.Await | ast.NamedExpr):
        yield from _leaves(value.value)
    else:
        yield value


def _assignments(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """(name, value) of each variable or attribute that a node assigns alone."""
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if not isinstance(target, ast.Tuple):
                yield _last(target), node.value


def _parameters(function: Function) -> list[str]:
    names = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def _constructor(each: ast.ClassDef) -> list[str]:
    """The parameters of `__init__`, or the fields."""
    for line in each.body:
        if isinstance(line, Function) and line.name == "__init__":
            return _parameters(line)
    return [_last(line.target) for line in each.body if isinstance(line, ast.AnnAssign)]


def _enum_lines(tree: ast.Module) -> Iterator[ast.Assign]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == ENUM:
            yield from (line for line in node.body if isinstance(line, ast.Assign))


def _part(value: ast.expr, at: int) -> list[ast.expr]:
    return [value.elts[at]] if isinstance(value, ast.Tuple) and at < len(value.elts) else []


def _last(node: ast.AST) -> str:
    """The bare name of a name, an attribute or a call; empty for all else."""
    if isinstance(node, ast.Call):
        return _last(node.func)
    if isinstance(node, ast.Await | ast.Subscript):
        return _last(node.value)
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "*" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def main() -> int:
    """Checks the project in the current folder; prints the codes that no test names to stderr."""
    source = read(Path.cwd(), SOURCES)
    found = refusals(source)
    names = named(read(Path.cwd(), TESTS), source)
    missing = [each for each in found if not each.is_named(names)]
    for each in missing:
        print(each, file=sys.stderr)
    total, lacking = len({each.code for each in found}), len({each.code for each in missing})
    print(f"{total} refusal codes, {f'{lacking} of them not named' if lacking else 'all named'} by a test")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
