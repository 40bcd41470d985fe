"""Rows that stand alone in a party's columns, moved towards the others until they do not. Pure.

A moved row lies at `centre + factor (row - centre)` in all columns, the centre being the mean of the rows that are not
moved: its direction stays. This happens at the party whose columns they are, which tells nobody; the model is then that
of the moved rows.

Leverages of all rows are computed of the integers as they will be used, once per making, and judge the outcome. Between
two makings only rows near the limit are looked at, which are few (leverages sum up to the number of columns at most):
the Gram matrix is corrected by what was moved, and the factor that brings a row to leverage t is taken as if it moved
alone. With the others' moments M a row x has h = s / (1 + s), s = x'M^-1 x; f x has t where f^2 = t / (1 - t) / s. As
others only move inwards too, it is never moved too far for that, and a few rounds bring all of them there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nodes.joint import guards
from nodes.joint.columns import Columns, Floats, scaled
from nodes.joint.guards import Limits

MAKINGS_MAX = 16
"""Of the integers: each finds what the one before was too coarse to tell."""
ROUNDS_MAX = 50
"""Between two makings."""
MOVE_TO = 0.95
"""Part of the largest allowed leverage to which rows are moved: rounding moves leverages a little."""
MOVE_ABOVE = 0.99
"""Part of it above which a round is needed."""
NEAR = 0.5
"""Part of it above which a row is looked at between makings."""
FACTOR_MIN = 2.0**-12
"""Between two makings: beside a row far out integers of few bits do not tell the others apart."""


@dataclass(frozen=True, slots=True)
class Moves:
    """Which rows are moved, ascending, and the factor of each, below 1."""

    rows: NDArray[np.int64]
    factors: Floats

    @classmethod
    def none(cls) -> Moves:
        """No row."""
        return cls(np.empty(0, dtype=np.int64), np.empty(0))

    @property
    def count(self) -> int:
        """Of rows."""
        return len(self.rows)

    def applied(self, values: Floats) -> Floats:
        """Values [rows, k] of all rows, where these are moved."""
        if not self.count:
            return values
        still = np.ones(len(values), dtype=np.bool_)
        still[self.rows] = False
        centre = values.mean(axis=0, where=still[:, None]) if still.any() else values.mean(axis=0)
        moved = values.copy()
        moved[self.rows] = centre + (values[self.rows] - centre) * self.factors[:, None]
        return moved

    def then(self, more: Moves) -> Moves:
        """These, and then more."""
        rows, at = np.unique(np.concatenate([self.rows, more.rows]), return_inverse=True)
        factors = np.ones(len(rows))
        np.multiply.at(factors, at, np.concatenate([self.factors, more.factors]))
        return Moves(rows, factors)


@dataclass(frozen=True, slots=True)
class Making:
    """How a party's integers are made."""

    column: Callable[[int], Floats]
    """The values [rows] of one column, none of them moved."""
    integers: Callable[[Moves], Columns]
    """Of all columns, where these rows are moved."""


def safe(making: Making, penalty_per_row: float, limits: Limits, *, move: bool) -> Moves:
    """Have integers made that show no single row; which rows had to be moved for it. The last that were made are safe.

    Raises:
        TooRevealing: as `guards.require_safe`; `high-leverage` only where rows may not move, or moving does not help.
    """
    moves = Moves.none()
    for _ in range(MAKINGS_MAX if move else 0):
        made = making.integers(moves)
        guards.require_rows(made, limits)
        penalty = penalty_per_row * made.rows
        found = guards.leverages(made, penalty)
        if (found <= limits.leverage).all():
            guards.require_support(made, guards.rare(made, limits), limits)
            return moves
        if not moves.count:
            _require_support(making, made, limits)
        moves = moves.then(inwards(made, found, penalty, limits))
    made = making.integers(moves)
    guards.require_safe(made, penalty_per_row * made.rows, limits)
    return moves


def moved(values: Floats, bits: int, penalty_per_row: float, limits: Limits) -> tuple[Floats, Moves]:
    """The columns [rows, k] that a party's integers of so many bits stand for, and which of their rows were moved."""
    making = Making(lambda at: values[:, at], lambda moves: scaled(moves.applied(values), bits))
    moves = safe(making, penalty_per_row, limits, move=True)
    return moves.applied(values), moves


def _require_support(making: Making, made: Columns, limits: Limits) -> None:
    """Of the values: in the integers a row far out leaves the others no difference."""
    lacking = [at for at in guards.rare(made, limits) if 0 < guards.support(making.column(at)) < limits.support]
    guards.require_support(made, lacking, limits)


def inwards(columns: Columns, leverages: Floats, penalty: float, limits: Limits) -> Moves:
    """The moves that bring the leverages of all rows to the limit, as far as these integers tell."""
    near = np.flatnonzero(leverages > limits.leverage * NEAR)
    rows, found, target = columns.integers[near, :] - columns.means, leverages[near], limits.leverage * MOVE_TO
    factors = np.ones(len(near))
    for _ in range(ROUNDS_MAX):
        high = (found > target) & (factors > FACTOR_MIN)
        if not (found[high] > limits.leverage * MOVE_ABOVE).any():
            break
        alone = np.clip(1 - found[high], 0, None) / found[high]
        factors[high] = np.maximum(factors[high] * np.sqrt(target / (1 - target) * alone), FACTOR_MIN)
        found = _after(columns, rows, factors, penalty)
    return Moves(near[factors < 1], factors[factors < 1])


def _after(columns: Columns, rows: Floats, factors: Floats, penalty: float) -> Floats:
    """Leverages of some rows [k, width], given without the mean of all, when they are moved by their factors."""
    changed = factors < 1
    before = rows[changed]
    centre = -before.sum(axis=0) / max(columns.rows - len(before), 1)
    after = centre + (before - centre) * factors[changed, None]
    mean = (after - before).sum(axis=0) / columns.rows
    gram = columns.gram - before.T @ before + after.T @ after - columns.rows * np.outer(mean, mean)
    now = rows.copy()
    now[changed] = after
    return np.asarray((((now - mean) @ guards.inverse_root(gram, columns.rows, penalty).T) ** 2).sum(axis=1))
