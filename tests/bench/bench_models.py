"""models.mlp, models.forest, models.boosting: a whole job of 100,000 rows in enclaves, beside scoring alone.

Rows per second from submission to the output's last line, through both lessors' locked children, on the rows and
against the expectations of tests/support/models.py; beside plain evaluation of the rows by the same engine in this
process, without files. A job that scores otherwise than scikit-learn did raises RuntimeError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

import numpy as np
import structlog

from nodes.local import LocalNetwork
from nodes.programs.check import check
from nodes.programs.runtime import evaluate
from tests.bench.harness import Result, interleave, more
from tests.support.models import NAMES, TOLERANCE, program, score, write_rows

ROWS: Final = 100_000


def run(only: str) -> Iterator[Result]:
    """Measures the models one of whose names starts with `only`."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    for model in NAMES:
        name = f"models.{model}"
        if name.startswith(only):
            with TemporaryDirectory(prefix="sublet-bench-") as folder:
                yield _measure(name, model, write_rows(Path(folder) / "data.csv", ROWS))


def _measure(name: str, model: str, data: Path) -> Result:
    rows = np.genfromtxt(data, delimiter=",", names=True)
    checked = check(program(model))
    columns = np.column_stack([rows[column] for column in checked.column_names])

    def plain() -> float:
        begin = perf_counter()
        evaluate(checked, columns)
        return ROWS / (perf_counter() - begin)

    ours, peer = interleave(lambda: asyncio.run(_job(model, data)), plain)
    return more(name, ours, peer, "the same engine on plaintext, no job", "rows/s")


async def _job(model: str, data: Path) -> float:
    with TemporaryDirectory(prefix="sublet-bench-") as folder:
        async with LocalNetwork(Path(folder)) as network:
            begin = perf_counter()
            report, error = await score(network, model, data)
            seconds = perf_counter() - begin
    if report.rows_done != ROWS or error >= TOLERANCE:
        raise RuntimeError(f"{model} {report.phase} with {report.rows_done} rows, off by {error:.2g}: {report.reason}")
    return ROWS / seconds
