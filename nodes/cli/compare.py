"""A job's output held against plaintext: the same programs, computed here on the same rows."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nodes.cli.inputs import Inputs
from nodes.data.making import make_table
from nodes.data.table import Table, open_table
from nodes.programs import encoder as encoders
from nodes.programs import runtime
from nodes.programs.affine import AffineMap
from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.programs.cut import Cut
from nodes.programs.program import Program
from nodes.protections import CIPHERTEXT, ENCLAVE
from nodes.renter.submission import JobOptions, cut_of
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
    near: int = 0
    """Rows that are not in it: what the rest of a cut program makes of an error of `max_error` is more there."""

    @property
    def good(self) -> bool:
        """Whether the difference is allowed."""
        return self.max_abs_error <= self.tolerance


def compare(inputs: Inputs, wishes: JobOptions, report: JobReport) -> Comparison:
    """Hold a completed job's output against plaintext.

    `homomorphic` and `sealed-result` may differ by the wished `max_error`, per batch where rows are summed; `enclave`
    by 1e-6; all by the rounding of the program's types (`ROUNDINGS`).
    With a local program it is its output that is compared. Where the program was cut, the wished error is one at the
    cut: a row may differ by more, if such an error changes its result by more, as that of labels near a tie.

    Raises:
        VerificationFailed: rows are missing, too many or in another order; code `wrong-rows`.
    """
    assert report.output is not None
    program, encoder = encoders.read(inputs.program)
    local = None if inputs.local_program is None else check(inputs.local_program)
    with tempfile.TemporaryDirectory(prefix="sublet-check-") as folder:
        table = make_table(Path(folder) / "table", inputs.data, program, wishes.reading, encoder)
        cut = cut_of(program, wishes) if report.protection == CIPHERTEXT.name else None
        return _held(table, Computed(program, local, cut), report, wishes.max_error)


@dataclass(frozen=True, slots=True)
class Computed:
    """What a job computed."""

    program: Program
    local: Program | None
    cut: Cut | None

    @property
    def whole(self) -> Mapping[int, tuple[str, ...]]:
        """Results that are whole numbers, and the texts that they stand for."""
        return (self.local or self.program).whole

    @property
    def rounding(self) -> float:
        """Of the program's types, as a share of the largest sum of absolute terms."""
        known = (ROUNDINGS.get(each.dtype.name, 0.0) for each in self.program.inputs)
        return max(*known, ROUNDINGS["float64"])

    def spread(self, columns: Rows, expected: Rows, max_error: float) -> Rows:
        """How far each result moves if values at the cut are off by that and by rounding: [rows, results]."""
        assert self.cut is not None
        at, mapped = runtime.evaluate(self.cut.beginning, columns), _linear(self.cut.beginning)
        error = 2 * (max_error + self.rounding * (_largest_terms(mapped, columns) if mapped else 0.0))
        total = np.zeros_like(expected)
        for position in range(at.shape[1]):
            moved = [runtime.evaluate(self.cut.rest, _moved(at, position, by)) for by in (-error, error)]
            total += np.abs(np.array([_finished(self.local, each) for each in moved]) - expected).max(axis=0)
        return total


def _moved(rows: Rows, position: int, by: float) -> Rows:
    moved = rows.copy()
    moved[:, position] += by
    return moved


def _held(table: Table, computed: Computed, report: JobReport, max_error: float) -> Comparison:
    assert report.output is not None
    program, rounding = computed.program, computed.rounding
    allowed = ENCLAVE_ERROR_MAX if report.protection == ENCLAVE.name else max_error
    allowed *= report.batches if program.sum_rows else 1
    largest, worst, rows, near = 0.0, 0.0, 0, 0
    found = open_table(report.output)
    for ids, columns, expected, terms in _expected(table, computed):
        count = min(len(expected), found.rows - rows)
        if count < len(expected) or (ids and found.ids(rows, count) != ids):
            raise VerificationFailed(f"the output differs in its rows from row {rows + 1} on", code="wrong-rows")
        largest = max(largest, terms, float(np.abs(expected).max(initial=0.0)))
        differences = np.abs(_read(found, computed.whole, rows, count) - expected)
        over = np.flatnonzero((differences > allowed + rounding * largest).any(axis=1))
        if computed.cut is not None and len(over):
            spread = computed.spread(columns[over], expected[over], max_error)
            excused = over[(differences[over] <= allowed + rounding * largest + spread).all(axis=1)]
            differences[excused], near = 0.0, near + len(excused)
        worst = max(worst, float(differences.max(initial=0.0)))
        rows += len(expected)
    if found.rows > rows:
        raise VerificationFailed(f"the output has more than {rows} rows", code="wrong-rows")
    return Comparison(rows, worst, allowed + rounding * largest, near)


def _expected(table: Table, computed: Computed) -> Iterator[tuple[list[str], Rows, Rows, float]]:
    """Ids of rows, columns, results, and the largest sum of absolute terms that a result was added up from."""
    program, local = computed.program, computed.local
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
            yield table.ids(first, count), columns, _finished(local, result), terms
    if program.sum_rows:
        yield [], np.zeros((1, 0)), _finished(local, runtime.combine(program, parts)), total


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


def _read(found: Table, whole: Mapping[int, tuple[str, ...]], first: int, count: int) -> Rows:
    """Results of some rows, labels as the numbers that they stand for; infinite where they stand for none."""
    rows = found.read(first, count)
    columns = sorted(column for column, texts in whole.items() if texts)
    behind = len(found.known.texts) - len(columns)  # the ids
    for at, column in enumerate(columns):
        places = {text: float(place) for place, text in enumerate(whole[column])}
        meant = [places.get(text, math.inf) for text in found.texts(behind + at, first, count)]
        rows = np.insert(rows, column, meant, axis=1)
    return rows
