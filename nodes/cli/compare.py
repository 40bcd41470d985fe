"""A job's output held against plaintext: the same programs, computed here on the same rows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nodes.cli.inputs import Inputs
from nodes.data.making import make_table
from nodes.data.table import Table, open_table
from nodes.programs import runtime
from nodes.programs.affine import AffineMap
from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.programs.program import Program
from nodes.protections import ENCLAVE
from nodes.renter.submission import JobOptions
from nodes.views.jobs import JobReport
from schemas.errors import BadProgram, VerificationFailed

ROWS_AT_ONCE: Final = 8192
ENCLAVE_ERROR_MAX: Final = 1e-6
"""An enclave runs the same engine as the check itself."""
ROUNDINGS: Final = {"float64": 1e-12, "float32": 2.0**-21, "float16": 2.0**-9}
"""Of the largest sum of absolute terms, by the type that a program computes in: what sums in another order, or without
the type's rounding, may differ by."""

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`max_abs_error` over `rows` rows of output; `tolerance` is what is allowed."""

    rows: int
    max_abs_error: float
    tolerance: float

    @property
    def good(self) -> bool:
        """Whether the difference is allowed."""
        return self.max_abs_error <= self.tolerance


def compare(inputs: Inputs, wishes: JobOptions, report: JobReport) -> Comparison:
    """Hold a completed job's output against plaintext.

    `homomorphic` and `sealed-result` may differ by the wished `max_error`, per batch where rows are summed; `enclave`
    by 1e-6; all by the rounding of the program's types (`ROUNDINGS`).
    With a local program it is its output that is compared.

    Raises:
        VerificationFailed: rows are missing, too many or in another order; code `wrong-rows`.
    """
    assert report.output is not None
    program = check(inputs.program)
    local = None if inputs.local_program is None else check(inputs.local_program)
    with tempfile.TemporaryDirectory(prefix="sublet-check-") as folder:
        table = make_table(Path(folder) / "table", inputs.data, program, wishes.reading)
        return _held(table, program, local, report, wishes.max_error)


def _held(table: Table, program: Program, local: Program | None, report: JobReport, max_error: float) -> Comparison:
    assert report.output is not None
    rounding = max(ROUNDINGS.get(each.dtype.name, 0.0) for each in program.inputs)
    largest, worst, rows = 0.0, 0.0, 0
    found = open_table(report.output)
    for ids, expected, terms in _expected(table, program, local):
        count = min(len(expected), found.rows - rows)
        if count < len(expected) or (ids and found.ids(rows, count) != ids):
            raise VerificationFailed(f"the output differs in its rows from row {rows + 1} on", code="wrong-rows")
        got = found.read(rows, count)
        worst = max(worst, float(np.abs(got - expected).max(initial=0.0)))
        largest = max(largest, terms, float(np.abs(expected).max(initial=0.0)))
        rows += len(expected)
    if found.rows > rows:
        raise VerificationFailed(f"the output has more than {rows} rows", code="wrong-rows")
    allowed = ENCLAVE_ERROR_MAX if report.protection == ENCLAVE.name else max_error
    parts = report.batches if program.sum_rows else 1
    return Comparison(rows, worst, allowed * parts + max(rounding, ROUNDINGS["float64"]) * largest)


def _expected(table: Table, program: Program, local: Program | None) -> Iterator[tuple[list[str], Rows, float]]:
    """Ids of rows, results, and the largest sum of absolute terms that a result was added up from."""
    at_once = max(1, min(ROWS_AT_ONCE, program.limits.batch_elements_max // max(1, program.live_row_elements)))
    mapped, parts, total = _linear(program), [], 0.0
    for first in range(0, table.rows, at_once):
        count = min(at_once, table.rows - first)
        columns = table.read(first, count)
        result = runtime.evaluate(program, columns)
        terms = 0.0 if mapped is None else _largest_terms(mapped, columns)
        total += terms
        if program.sum_rows:
            parts.append(result)
        else:
            yield table.ids(first, count), _finished(local, result), terms
    if program.sum_rows:
        yield [], _finished(local, runtime.combine(program, parts)), total


def _linear(program: Program) -> AffineMap | None:
    try:
        return affine(program)
    except BadProgram:
        return None


def _largest_terms(mapped: AffineMap, columns: Rows) -> float:
    """The largest sum of absolute terms of any result; of their sum, with `sum_rows`."""
    rows = np.abs(columns)
    terms = (rows.sum(axis=0) if mapped.sum_rows else rows) @ np.abs(mapped.weights) + np.abs(mapped.bias)
    return float(terms.max(initial=0.0))


def _finished(local: Program | None, rows: Rows) -> Rows:
    return rows if local is None else runtime.evaluate(local, rows)
