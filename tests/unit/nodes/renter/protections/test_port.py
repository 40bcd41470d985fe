"""A result's bytes become rows only in the shape that the job asked for, and only if they are numbers."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.renter.protections.port import matrix, timed
from nodes.renter.protocol.records import Facts
from schemas.errors import VerificationFailed
from schemas.ids import derive_id
from schemas.jobs import Batch
from schemas.manifest import cut

BATCH = Batch(
    job=derive_id("job", 1),
    subtask=derive_id("subtask", 1),
    contract=derive_id("contract", 1),
    batch=0,
    attempt=1,
    first_row=0,
    rows=3,
)


def facts(*, sum_rows: bool = False) -> Facts:
    return Facts(rows=3, width_in=1, width_out=2, sum_rows=sum_rows, program=cut(b"a program")[0])


@pytest.mark.parametrize(("sum_rows", "rows"), [(False, 3), (True, 1)])
def test_a_result_has_a_row_for_each_or_one_for_all(sum_rows: bool, rows: int) -> None:
    values = np.arange(2.0 * rows).reshape(rows, 2)
    assert (matrix(values.tobytes(), BATCH, facts(sum_rows=sum_rows)) == values).all()


@pytest.mark.parametrize(
    ("values", "sum_rows", "code"),
    [
        (np.zeros((2, 2)), False, "wrong-shape"),
        (np.zeros((3, 3)), False, "wrong-shape"),
        (np.zeros((3, 2)), True, "wrong-shape"),
        (np.zeros((0, 2)), False, "wrong-shape"),
        (np.full((3, 2), np.nan), False, "not-finite"),
        (np.full((3, 2), np.inf), False, "not-finite"),
    ],
)
def test_other_shapes_and_what_is_no_number_are_refused(values: np.ndarray, sum_rows: bool, code: str) -> None:
    with pytest.raises(VerificationFailed) as refused:
        matrix(values.tobytes(), BATCH, facts(sum_rows=sum_rows))
    assert refused.value.code == code


def test_work_is_timed_on_the_clock_that_is_given() -> None:
    ticks = iter([1.0, 3.5])
    assert timed(lambda: next(ticks), divmod, 7, 2) == ((3, 1), 2.5)
