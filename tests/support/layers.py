"""Proves two promises of the architecture by reading the source: imports go down only, and pure modules are pure.

The rules are data, in pyproject.toml under [tool.sublet.layers]; this module only applies them. It reads syntax trees
and never imports the code it checks. Run as `python -m tests.support.layers`; exit 1 when a rule is broken.

What it cannot see: a clock or randomness reached through a third-party library's own calls.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Rules:
    """The rules as they stand in pyproject.toml.

    order: packages, lowest first; each imports only itself and those before it.
    only: module -> the files (globs) that alone may import it.
    pure: files (globs) that may use no `forbidden` name, and of ours may import only files that are pure too.
    forbidden: dotted names; everything below one is forbidden as well. Builtins are written `builtins.open`.
    every_glob_matches: whether a glob without a file is an error, or only a warning.
    """

    order: tuple[str, ...]
    only: dict[str, tuple[str, ...]]
    pure: tuple[str, ...]
    forbidden: tuple[str, ...]
    every_glob_matches: bool


@dataclass(frozen=True)
class Violation:
    """One broken rule, at one line of one file; line 0 means the rule itself."""

    path: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


@dataclass(frozen=True)
class Use:
    """A dotted name that a file imports or reaches through an import."""

    name: str
    line: int
    imported: bool
    typing_only: bool


def read_rules(pyproject: Path) -> Rules:
    """The rules of this project. Raises KeyError when a table or key is missing."""
    table = tomllib.loads(pyproject.read_text())["tool"]["sublet"]["layers"]
    return Rules(
        order=tuple(table["order"]),
        only={module: tuple(globs) for module, globs in table["only"].items()},
        pure=tuple(table["pure"]),
        forbidden=tuple(table["forbidden"]),
        every_glob_matches=bool(table["every_glob_matches"]),
    )


def check(root: Path, rules: Rules) -> list[Violation]:
    """Every broken rule below root, by file and line."""
    files = sorted(path for package in rules.order for path in (root / package).rglob("*.py"))
    names = [path.relative_to(root).as_posix() for path in files]
    pure = {name for name in names if _matches(name, rules.pure)}
    found: list[Violation] = []
    for path, name in zip(files, names, strict=True):
        uses = list(_uses(ast.parse(path.read_text(), filename=name), name))
        found += _upward(name, uses, rules)
        found += _reserved(name, uses, rules)
        if name in pure:
            found += _impure(name, uses, rules)
            found += _reaches_impure(name, uses, pure, set(names), rules)
    return sorted(set(found), key=lambda violation: (violation.path, violation.line, violation.reason))


def unmatched(root: Path, rules: Rules) -> list[str]:
    """The globs that no file matches: a rule that guards nothing is usually a renamed file."""
    globs = [*rules.pure, *(glob for group in rules.only.values() for glob in group)]
    return [glob for glob in globs if not any(root.glob(glob))]


def _upward(name: str, uses: list[Use], rules: Rules) -> Iterator[Violation]:
    layer = rules.order.index(PurePosixPath(name).parts[0])
    above = (*rules.order[layer + 1 :], "tests")
    for use in uses:
        package = use.name.partition(".")[0]
        if use.imported and package in above:
            yield Violation(name, use.line, f"imports {use.name}: {rules.order[layer]} may not know of {package}")


def _reserved(name: str, uses: list[Use], rules: Rules) -> Iterator[Violation]:
    for use in uses:
        for module, globs in rules.only.items():
            if use.imported and _below(use.name, module) and not _matches(name, globs):
                yield Violation(name, use.line, f"imports {use.name}: only {', '.join(globs)} may")


def _impure(name: str, uses: list[Use], rules: Rules) -> Iterator[Violation]:
    for use in uses:
        if not use.typing_only and any(_below(use.name, forbidden) for forbidden in rules.forbidden):
            yield Violation(name, use.line, f"uses {use.name}: a pure module may not, pass it in from outside")


def _reaches_impure(name: str, uses: list[Use], pure: set[str], files: set[str], rules: Rules) -> Iterator[Violation]:
    for use in uses:
        if not use.imported or use.typing_only or use.name.partition(".")[0] not in rules.order:
            continue
        target = _file_of(use.name, files)
        if target is not None and target not in pure and not target.endswith("__init__.py"):
            yield Violation(name, use.line, f"imports {target}, which is not in the list of pure modules")


def _file_of(module: str, files: set[str]) -> str | None:
    """The file that a dotted name lives in: a module, a package, or the module that defines the name."""
    path = module.replace(".", "/")
    parent = path.rpartition("/")[0]
    candidates = (f"{path}.py", f"{path}/__init__.py", f"{parent}.py")
    return next((candidate for candidate in candidates if candidate in files), None)


def _uses(tree: ast.Module, name: str) -> Iterator[Use]:
    typing_only = _typing_only_lines(tree)
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for local, target in _imported(node, name):
                bound[local] = target
                yield Use(target, node.lineno, imported=True, typing_only=node.lineno in typing_only)
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and id(node) not in inner:
            reached = _dotted(node, bound)
            if reached is not None:
                yield Use(reached, node.lineno, imported=False, typing_only=False)


def _imported(node: ast.Import | ast.ImportFrom, name: str) -> Iterator[tuple[str, str]]:
    """(local name, dotted name it stands for) of each import; `import a.b` binds a, and names a.b."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0], alias.name)
        return
    package = ".".join(PurePosixPath(name).parts[: -node.level]) if node.level else ""
    module = ".".join(part for part in (package, node.module or "") if part)
    for alias in node.names:
        yield alias.asname or alias.name, f"{module}.{alias.name}"


def _dotted(node: ast.Attribute | ast.Name, bound: dict[str, str]) -> str | None:
    """`dt.datetime.now` -> datetime.datetime.now under `import datetime as dt`; None for local variables."""
    parts: list[str] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute):
        parts.insert(0, inner.attr)
        inner = inner.value
    if not isinstance(inner, ast.Name):
        return None
    if inner.id not in bound:
        return None if parts else f"builtins.{inner.id}"
    head = bound[inner.id]
    if head.startswith(f"{inner.id}."):  # `import a.b`: the name a stands for the package a
        head = inner.id
    return ".".join([head, *parts])


def _typing_only_lines(tree: ast.Module) -> set[int]:
    """Lines inside `if TYPE_CHECKING:`, which never run."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for child in node.body:
                lines.update(range(child.lineno, (child.end_lineno or child.lineno) + 1))
    return lines


def _below(name: str, top: str) -> bool:
    return name == top or name.startswith(f"{top}.")


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    path = PurePosixPath(name)
    return any(len(path.parts) == len(PurePosixPath(glob).parts) and path.match(glob) for glob in globs)


def main() -> int:
    """Checks the project in the current folder; prints what is wrong to stderr."""
    root = Path.cwd()
    rules = read_rules(root / "pyproject.toml")
    missing = unmatched(root, rules)
    for glob in missing:
        kind = "error" if rules.every_glob_matches else "warning"
        print(f"pyproject.toml: {kind}: no file matches {glob!r} of [tool.sublet.layers]", file=sys.stderr)
    violations = check(root, rules)
    for violation in violations:
        print(violation, file=sys.stderr)
    return 1 if violations or (missing and rules.every_glob_matches) else 0


if __name__ == "__main__":
    sys.exit(main())
