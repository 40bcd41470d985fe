"""Runs the benchmarks, prints one table, writes build/bench.json. Measures nothing itself.

Every tests/bench/bench_*.py has `run(only: str) -> Iterator[Result]`, which measures the names that start with `only`
and no others.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from tests.bench.harness import Result

HERE = Path(__file__).resolve().parent
OUTPUT = Path("build") / "bench.json"
FILE_COLUMNS = 140
"""Width of the table where it goes to a file."""


def measure(only: str, console: Console) -> Iterator[Result]:
    """The results of every benchmark whose name starts with `only`, as they come."""
    for path in sorted(HERE.glob("bench_*.py")):
        module = importlib.import_module(f"tests.bench.{path.stem}")
        for result in module.run(only):
            if result.name.startswith(only):
                console.print(f"{result.name}: {result.ratio:,.2f}", style="dim")
                yield result


def table(results: list[Result]) -> Table:
    """What a person reads."""
    shown = Table(title="ours against the peer, medians of interleaved rounds")
    for column in ("name", "ours", "peer", "unit", "ratio", "peer is"):
        shown.add_column(column, justify="right" if column in ("ours", "peer", "ratio") else "left", no_wrap=True)
    for result in results:
        shown.add_row(
            result.name,
            f"{result.ours:,.4g}",
            f"{result.peer:,.4g}",
            result.unit,
            f"{result.ratio:,.2f}",
            result.peer_name,
        )
    return shown


def main() -> int:
    """Exit 2 when no benchmark has the asked-for prefix."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--only", default="", metavar="PREFIX", help="measure only names that start with this")
    only: str = parser.parse_args().only
    results = list(measure(only, Console(stderr=True)))
    if not results:
        print(f"no benchmark's name starts with {only!r}", file=sys.stderr)
        return 2
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_bytes(orjson.dumps([asdict(result) for result in results], option=orjson.OPT_INDENT_2))
    Console(width=None if sys.stdout.isatty() else FILE_COLUMNS).print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
