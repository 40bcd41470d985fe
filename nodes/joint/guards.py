"""What keeps single rows from showing in sums. Both sides apply it to their own columns before anything is sent. Pure.

What a projection on columns tells of one row's label is decided by that row's leverage h: random labels are read with a
probability of about Phi(sqrt(h / (1 - h))), however many rows there are and whatever the support of the columns. So the
largest leverage is bounded, not only the mean of width / rows, and rare categories are merged first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nodes.joint.columns import Columns, Floats, Integers, deviations
from nodes.joint.errors import TooRevealing
from schemas.limits import ROWS_PER_COLUMN_MIN, SUPPORT_MIN

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
    require_rows(columns, limits)
    require_support(columns, rare(columns, limits), limits)
    require_low(leverages(columns, penalty), limits)


def require_rows(columns: Columns, limits: Limits) -> None:
    """Raises TooRevealing `too-few-rows`."""
    if columns.rows < limits.rows_per_column * columns.width:
        raise TooRevealing(
            f"{columns.rows} rows are too few for {columns.width} columns: at least {limits.rows_per_column} for each",
            code="too-few-rows",
        )


def rare(columns: Columns, limits: Limits) -> list[int]:
    """Columns of too little support."""
    return [at for at in range(columns.width) if 0 < support(columns.column(at)) < limits.support]


def require_support(columns: Columns, lacking: Sequence[int], limits: Limits) -> None:
    """Raises TooRevealing `low-support`, where columns are lacking it."""
    if lacking:
        raise TooRevealing(
            f"{len(lacking)} of {columns.width} columns have fewer than {limits.support} rows that differ from their "
            "usual value: leave them out, or merge rare categories",
            code="low-support",
        )


def require_low(found: Floats, limits: Limits) -> None:
    """Raises TooRevealing `high-leverage`, of leverages [rows]."""
    high = int((found > limits.leverage).sum())
    if high:
        raise TooRevealing(
            f"{high} of {len(found)} rows stand alone in the columns (leverage above {limits.leverage:g}): a result "
            "would show them; merge rare categories, leave out columns, or cut extreme values",
            code="high-leverage",
        )


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
    if column.dtype == np.int16:  # counted, which is faster than sorting
        return len(column) - int(np.bincount(column.astype(np.int64) - np.iinfo(np.int16).min).max())
    return len(column) - int(np.unique(column, return_counts=True)[1].max())


def leverages(columns: Columns, penalty: float) -> Floats:
    """Ridge leverages float64 [rows] of the standardised columns with the penalty, without the mean's 1 / rows."""
    root = inverse_root(columns.gram, columns.rows, penalty)
    found = np.empty(columns.rows)
    for first, block in columns.blocks():
        turned = (block - columns.means) @ root.T
        found[first : first + len(block)] = np.einsum("ij,ij->i", turned, turned)
    return found


def inverse_root(gram: Floats, rows: int, penalty: float) -> Floats:
    """W with W'W = D (D G D + penalty)^-1 D, where D scales columns to standard deviation 1; [width, width].

    By eigenvalues, so that columns that repeat each other need no penalty: directions without extent, in which cross
    moments are exactly 0, are left out.
    """
    scales = 1 / deviations(gram, rows)
    values, vectors = np.linalg.eigh(gram * np.outer(scales, scales))
    kept = values > rows * len(gram) * RANK_TOLERANCE
    inverse = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0) + penalty), 0.0)
    return np.asarray((vectors * inverse).T * scales, dtype=np.float64)
