"""data.*: a table of numbers read from CSV and written to it, against what Python users would take for it.

    data.read    a file to float64 [rows, columns], against numpy.loadtxt
    data.write   ids and float64 [rows, columns] to a file, against csv.writer

Both sides' answers are compared before measuring.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from nodes.data.reading import Reading
from nodes.data.results import write_csv
from nodes.data.sources import open_source
from nodes.data.table import Table
from tests.bench.harness import Result, faster, interleave
from tests.bench.inputs import write_table
from tests.support.tables import table_of

ROWS, COLUMNS = 100_000, 9
NAMES: Final = ("data.read", "data.write")


def run(only: str) -> Iterator[Result]:
    """Measures the names that start with `only`, in processor time per row."""
    if not any(name.startswith(only) for name in NAMES):
        return
    with TemporaryDirectory(prefix="sublet-bench-") as folder:
        path, out = write_table(Path(folder) / "data.csv", ROWS, COLUMNS), Path(folder) / "out.csv"
        source, columns = open_source(path), [f"x{column}" for column in range(COLUMNS)]
        table = table_of(path, *columns, reading=Reading("id"))
        values, ids = table.read(0, ROWS), table.ids(0, ROWS)
        assert np.array_equal(values, _loadtxt(path))
        header = ["id", *columns]
        ours, theirs = out.with_name("ours.csv"), out.with_name("theirs.csv")
        _ours(ours, table)
        _write(theirs, header, ids, values)
        assert np.array_equal(_loadtxt(ours), _loadtxt(theirs))
        yield faster(
            "data.read",
            *interleave(_timed(lambda: list(source.blocks(columns))), _timed(lambda: _loadtxt(path))),
            "numpy.loadtxt",
            "µs/row",
        )
        yield faster(
            "data.write",
            *interleave(
                _timed(lambda: _ours(ours, table)),
                _timed(lambda: _write(theirs, header, ids, values)),
            ),
            "csv.writer",
            "µs/row",
        )


def _loadtxt(path: Path) -> Any:
    return np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(1, COLUMNS + 1))


def _ours(path: Path, table: Table) -> None:
    with path.open("wb") as file:
        write_csv(file, table)


def _write(path: Path, header: list[str], ids: list[str], values: Any) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([name, *row] for name, row in zip(ids, values.tolist(), strict=True))


def _timed(work: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        start = time.process_time()
        work()
        return (time.process_time() - start) / ROWS * 1e6

    return run
