"""What keeps single rows from showing in sums. Both sides apply it to their own columns before anything is sent. Pure.

What a projection on columns tells of one row's label is decided by that row's leverage h: random labels are read with a
probability of about Phi(sqrt(h / (1 - h))), however many rows there are and whatever the support of the columns. So the
largest leverage is bounded, not only the mean of width / rows, and rare categories are merged first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nodes.joint.columns import BITS_MAX, BLOCK_ROWS, Columns, Floats, Integers, scaled
from nodes.joint.errors import TooRevealing
from schemas.limits import ROWS_PER_COLUMN_MIN, SUPPORT_MIN

PULLS_MAX = 50
"""Rounds of moving rows: each makes the columns' spread a little smaller, and so leverages larger."""
PULL_TO = 0.95
"""Part of the largest allowed leverage to which rows are moved."""
PULL_ABOVE = 0.99
"""Part of it above which a round is needed: rounding to fewer bits moves leverages a little."""
RANK_TOLERANCE = 1e-12
"""Eigenvalues below this part of the largest possible one are rounding."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A party's own; the defaults are those of the method."""

    rows_per_column: int = ROWS_PER_COLUMN_MIN
    support: int = SUPPORT_MIN
    """Rows that differ from a column's most frequent value, at least; none at all show nobody."""
    leverage: float = 0.2
    rows_per_renter_column: int = 10
    """Of all columns and labels that a renter ever brings to the same rows: each adds one more sum over them."""


def require_safe(columns: Columns, penalty: float, limits: Limits) -> None:
    """Raises TooRevealing: `too-few-rows`, `low-support` or `high-leverage`, with counts only."""
    if columns.rows < limits.rows_per_column * columns.width:
        raise TooRevealing(
            f"{columns.rows} rows are too few for {columns.width} columns: at least {limits.rows_per_column} for each",
            code="too-few-rows",
        )
    lacking = sum(0 < support(column) < limits.support for column in columns.integers.T)
    if lacking:
        raise TooRevealing(
            f"{lacking} of {columns.width} columns have fewer than {limits.support} rows that differ from their usual "
            "value: leave them out, or merge rare categories",
            code="low-support",
        )
    found = leverages(columns, penalty)
    high = int((found > limits.leverage).sum())
    if high:
        raise TooRevealing(
            f"{high} of {columns.rows} rows stand alone in the columns (leverage above {limits.leverage:g}): a result "
            "would show them; merge rare categories, leave out columns, or cut extreme values",
            code="high-leverage",
        )


def pulled(values: Floats, penalty: float, limits: Limits) -> tuple[Floats, int]:
    """Columns [rows, width] in which no row has a leverage above the limit, and how many rows were moved for it.

    Such a row is moved towards the mean, all its columns by the same factor, so that its direction stays. This happens
    at the party whose columns they are, which tells nobody; the model is then that of the moved rows.
    """
    moved = values.copy()
    high = np.zeros(len(values), dtype=np.bool_)
    for _ in range(PULLS_MAX):
        made = scaled(moved, BITS_MAX)
        found = leverages(made, penalty)
        above = found > limits.leverage * PULL_TO
        if not (found > limits.leverage * PULL_ABOVE).any():
            break
        high |= above
        mean = moved.mean(axis=0)
        factors = np.sqrt(limits.leverage * PULL_TO / found[above])[:, None]
        moved[above] = mean + (moved[above] - mean) * factors
    return moved, int(high.sum())


def require_budget(rows: int, used: int, asked: int, limits: Limits) -> None:
    """For the partner: a renter's columns and labels of earlier jobs on the same rows, and those of this one.

    Raises TooRevealing `budget-spent`.
    """
    allowed = rows // limits.rows_per_renter_column
    if used + asked > allowed:
        raise TooRevealing(
            f"the renter brought {used} columns to these {rows} rows and asks for {asked} more: at most {allowed} in "
            "all",
            code="budget-spent",
        )


def support(column: Integers | Floats) -> int:
    """Rows that differ from the column's most frequent value."""
    return len(column) - int(np.unique(column, return_counts=True)[1].max())


def leverages(columns: Columns, penalty: float) -> Floats:
    """Ridge leverages float64 [rows] of the standardised columns with the penalty, without the mean's 1 / rows."""
    root = inverse_root(columns, penalty)
    found = np.empty(columns.rows)
    for start in range(0, columns.rows, BLOCK_ROWS):
        block = (columns.integers[start : start + BLOCK_ROWS] - columns.means) @ root.T
        found[start : start + BLOCK_ROWS] = (block**2).sum(axis=1)
    return found


def inverse_root(columns: Columns, penalty: float) -> Floats:
    """W with W'W = D (D G D + penalty)^-1 D, where D scales columns to standard deviation 1; [width, width].

    By eigenvalues, so that columns that repeat each other need no penalty: directions without extent, in which cross
    moments are exactly 0, are left out.
    """
    scales = 1 / columns.deviations
    values, vectors = np.linalg.eigh(columns.gram * np.outer(scales, scales))
    kept = values > columns.rows * columns.width * RANK_TOLERANCE
    inverse = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0) + penalty), 0.0)
    return np.asarray((vectors * inverse).T * scales, dtype=np.float64)
