"""A job's output held against plaintext: the same programs, computed here on the same rows."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from nodes.cli.computed import Computed, Rows, absolute_terms, map_of
from nodes.cli.inputs import Inputs
from nodes.data.making import make_table
from nodes.data.table import Table, open_table
from nodes.programs import encoder as encoders
from nodes.programs import runtime
from nodes.programs.check import check
from nodes.protections import CIPHERTEXT, ENCLAVE
from nodes.renter.submission import JobOptions, cut_of
from nodes.views.report import JobReport
from schemas.errors import VerificationFailed

ROWS_AT_ONCE: Final = 8192
ENCLAVE_ERROR_MAX: Final = 1e-6
"""An enclave runs the same engine as the check itself."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The largest difference over `rows` rows of output, and what is allowed there; one that is not allowed, if any."""

    rows: int
    max_abs_error: float
    tolerance: float
    near: int = 0
    """Rows that are not in it: the rest of a cut program makes more of the error that is allowed at the cut."""
    near_error: float = 0.0
    """The largest difference in those rows."""
    cut_error: float = 0.0
    """The largest error that was allowed at the cut in those rows."""

    @property
    def good(self) -> bool:
        """Whether the difference is allowed; one that is no number is not."""
        return self.max_abs_error <= self.tolerance

    def joined(self, other: Comparison) -> Comparison:
        """Both, of different rows."""
        shown = max(self, other, key=lambda each: (not each.good, each.max_abs_error))
        near_error, cut_error = max(self.near_error, other.near_error), max(self.cut_error, other.cut_error)
        rows, near = self.rows + other.rows, self.near + other.near
        return Comparison(rows, shown.max_abs_error, shown.tolerance, near, near_error, cut_error)


@dataclass(frozen=True, slots=True)
class Sample:
    """One row: what went in, and the first number of what came out, of the job and of plaintext."""

    name: str
    """Its id, or its number from 1."""
    columns: tuple[float, ...]
    found: float
    expected: float


def sample(inputs: Inputs, wishes: JobOptions, report: JobReport, first: int, rows: int) -> Sample:
    """Of some rows of a completed job, counted from 0, the one whose result is the middle one; computed here again."""
    assert report.output is not None
    program, encoder = encoders.read(inputs.program)
    local = None if inputs.local_program is None else check(inputs.local_program)
    with tempfile.TemporaryDirectory(prefix="sublet-sample-") as folder:
        table = make_table(Path(folder) / "table", inputs.data, program, wishes.reading, encoder)
        columns, ids = table.read(first, rows), table.ids(first, rows)
    plain = Computed(program, local, None, wishes.max_error).finished(runtime.evaluate(program, columns))[:, 0]
    found = open_table(report.output).read(first, rows)[:, 0]
    row = int(np.argsort(plain)[rows // 2])
    name = ids[row] if ids else str(first + row + 1)
    return Sample(name, tuple(columns[row].tolist()), float(found[row]), float(plain[row]))


def compare(inputs: Inputs, wishes: JobOptions, report: JobReport) -> Comparison:
    """Hold a completed job's output against plaintext.

    `homomorphic` and `sealed-result` may differ by the wished `max_error`, per batch where rows are summed; `enclave`
    by 1e-6; all by the rounding of the program's types (`computed.ROUNDINGS`).
    With a local program it is its output that is compared. Where the program was cut, the wished error is one at the
    cut, as is what the whole program's sums lose by rounding: a row may differ by more, if such an error changes its
    result by more, as that of labels near a tie.

    Raises:
        VerificationFailed: rows are missing, too many or in another order; code `wrong-rows`.
    """
    assert report.output is not None
    program, encoder = encoders.read(inputs.program)
    local = None if inputs.local_program is None else check(inputs.local_program)
    with tempfile.TemporaryDirectory(prefix="sublet-check-") as folder:
        table = make_table(Path(folder) / "table", inputs.data, program, wishes.reading, encoder)
        cut = cut_of(program, wishes) if report.protection == CIPHERTEXT.name else None
        return _held(table, Computed(program, local, cut, wishes.max_error), report)


def _held(table: Table, computed: Computed, report: JobReport) -> Comparison:
    assert report.output is not None
    allowed = ENCLAVE_ERROR_MAX if report.protection == ENCLAVE.name else computed.max_error
    allowed *= report.batches if computed.program.sum_rows else 1
    comparison, found = Comparison(0, 0.0, allowed), open_table(report.output)
    for ids, columns, expected, terms in _expected(table, computed):
        count = min(len(expected), found.rows - comparison.rows)
        if count < len(expected) or (ids and found.ids(comparison.rows, count) != ids):
            raise VerificationFailed(
                f"the output differs in its rows from row {comparison.rows + 1} on", code="wrong-rows"
            )
        differences = np.abs(_read(found, computed.whole, comparison.rows, count) - expected)
        tolerances = allowed + computed.rounding * np.maximum(terms, np.abs(expected))
        tolerances[:, list(computed.whole)] = allowed  # a label is right or wrong, however large the number
        comparison = comparison.joined(_compared(computed, columns, differences, tolerances))
    if found.rows > comparison.rows:
        raise VerificationFailed(f"the output has more than {comparison.rows} rows", code="wrong-rows")
    return comparison


def _compared(computed: Computed, columns: Rows, differences: Rows, tolerances: Rows) -> Comparison:
    """Of some rows; those of which errors at the cut may make more are counted apart."""
    over = np.flatnonzero(~(differences <= tolerances).all(axis=1))  # NaN is
    if computed.cut is None or not len(over):
        return _worst(differences, tolerances)
    errors = computed.errors(columns[over])
    near = (differences[over] <= tolerances[over] + computed.spread(columns[over], errors)).all(axis=1)
    near_error, cut_error = (float(each.max(initial=0.0)) for each in (differences[over[near]], errors[near]))
    differences[over[near]] = 0.0
    worst = _worst(differences, tolerances)
    return replace(worst, near=int(near.sum()), near_error=near_error, cut_error=cut_error)


def _worst(differences: Rows, tolerances: Rows) -> Comparison:
    good = differences <= tolerances
    shown = differences if good.all() else np.where(good, -1.0, differences)
    place = np.unravel_index(np.argmax(shown), shown.shape)
    return Comparison(len(differences), float(differences[place]), float(tolerances[place]))


def _expected(table: Table, computed: Computed) -> Iterator[tuple[list[str], Rows, Rows, Rows]]:
    """Ids of rows, columns, results, and each row's largest sum of absolute terms that a result was added up from.

    Where nothing says what these are, each result's largest number in some rows takes their place.
    """
    program, parts, sums = computed.program, [], np.zeros((1, 1))
    at_once = max(1, min(ROWS_AT_ONCE, program.limits.batch_elements_max // max(1, program.live_row_elements)))
    mapped = map_of(program)
    for first in range(0, table.rows, at_once):
        count = min(at_once, table.rows - first)
        columns = table.read(first, count)
        result = runtime.evaluate(program, columns)
        terms = None if mapped is None else absolute_terms(mapped, columns).max(axis=1, keepdims=True)
        if program.sum_rows:
            parts.append(result)
            sums = sums + (0.0 if terms is None else terms)
            continue
        finished = computed.finished(result)
        if terms is None:
            terms = np.abs(finished).max(axis=0, keepdims=True) * (computed.cut is None)
        yield table.ids(first, count), columns, finished, terms
    if program.sum_rows:
        yield [], np.zeros((1, 0)), computed.finished(runtime.combine(program, parts)), sums


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
