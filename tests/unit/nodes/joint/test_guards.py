"""Which columns are refused before anything is sent."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nodes.joint import columns, guards
from nodes.joint.errors import TooRevealing
from nodes.joint.guards import Limits

RNG = np.random.default_rng(1)
PLAIN = RNG.normal(size=(400, 4))
RARE = np.column_stack([PLAIN, np.arange(400) < 5])
ALONE = np.vstack([PLAIN, np.full((1, 4), 60.0)])
DUMMIES = np.column_stack([np.arange(400) // 100 == at for at in range(4)] + [np.arange(400) % 400 == 399])


@pytest.mark.parametrize(
    ("values", "code"),
    [(PLAIN[:39], "too-few-rows"), (RARE, "low-support"), (ALONE, "high-leverage"), (DUMMIES, "low-support")],
    ids=["too-few-rows", "rare", "alone", "dummy"],
)
def test_columns_that_would_show_rows_are_refused(values: NDArray[np.float64], code: str) -> None:
    with pytest.raises(TooRevealing) as caught:
        guards.require_safe(columns.scaled(values.astype(np.float64), 12), 1.0, Limits())
    assert caught.value.code == code


def test_support_alone_does_not_protect_a_row_that_dropped_dummies_leave_alone() -> None:
    """Trap: each column has support, yet one row is the only one in no category."""
    dummies = np.column_stack([np.arange(401) // 100 == at for at in range(4)]).astype(np.float64)
    with pytest.raises(TooRevealing) as caught:
        guards.require_safe(columns.scaled(dummies, 12), 1e-6, Limits())
    assert caught.value.code == "high-leverage"


def test_ordinary_columns_pass() -> None:
    guards.require_safe(columns.scaled(PLAIN, 12), 1.0, Limits())


def test_leverages_are_those_of_ridge_regression() -> None:
    given = columns.scaled(PLAIN, 20)
    standard = (PLAIN - PLAIN.mean(axis=0)) / PLAIN.std(axis=0)
    expected = np.einsum("ij,jk,ik->i", standard, np.linalg.inv(standard.T @ standard + 2 * np.eye(4)), standard)
    assert np.allclose(guards.leverages(given, 2.0), expected, rtol=1e-3)


def test_columns_that_repeat_each_other_need_no_penalty() -> None:
    given = columns.scaled(np.column_stack([PLAIN, PLAIN[:, 0]]), 12)
    assert guards.leverages(given, 0.0).sum() == pytest.approx(4)


def test_a_renters_columns_are_counted_over_all_jobs_on_the_same_rows() -> None:
    guards.require_budget(400, 29, 11, Limits())
    with pytest.raises(TooRevealing, match="at most 40 in all") as caught:
        guards.require_budget(400, 30, 11, Limits())
    assert caught.value.code == "budget-spent"
