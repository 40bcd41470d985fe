"""A joint model held against one of all columns in one place, by NumPy: possible only where both tables are at hand."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from nodes.cli.replayed import in_common
from nodes.data.reading import Reading
from nodes.data.sources import open_source
from nodes.data.table import Table
from nodes.joint import report
from nodes.joint.categories import Encoding
from nodes.joint.columns import Floats
from nodes.joint.encoding import Chosen, laid_down
from nodes.joint.guards import Limits
from nodes.joint.models import MODELS, Target
from nodes.joint.outliers import moved
from nodes.joint.precision import partner_bits, renter_bits
from schemas.joint import Fitting

SCORES_ERROR_MAX: Final = 1e-2
"""Of the scores' standard deviation."""


@dataclass(frozen=True, slots=True)
class Side:
    """Columns of one party's table."""

    path: Path
    encoding: Encoding
    reading: Reading

    def lay_down(self, folder: Path) -> Table:
        """Its table; raises BadInput."""
        return laid_down(self.encoding, folder, open_source(self.path, self.reading.dialect), self.reading)


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear predictor: a weight per column, and a constant."""

    weights: Floats
    intercept: float

    def scores(self, columns: Floats) -> Floats:
        """Of rows [N, columns]."""
        return np.asarray(columns @ self.weights + self.intercept, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Both:
    """The rows in common, in the renter's order; the renter's columns, the partner's, and the label."""

    mine: Floats
    theirs: Floats
    label: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstPooled:
    """A joint model beside one of all columns, and one of the renter's alone."""

    rows: int
    weights_error: float
    """Largest difference of weights of standardised columns, as a part of the largest."""
    scores_error: float
    """Root mean square of the scores' differences, as a part of their standard deviation."""
    figure: str
    """What the next three are: auc of a logistic model, else r2; of the rows fitted to, moved ones as moved."""
    joint: float
    pooled: float
    alone: float
    standard: tuple[tuple[float, float], ...]
    """Per column, the renter's first: the weight of the standardised column, joint and pooled."""

    @property
    def good(self) -> bool:
        """Whether the difference is allowed."""
        return self.scores_error <= SCORES_ERROR_MAX


def rows_in_common(here: Side, there: Side) -> Both:
    """Of both tables; the last column `here` is the label, and missing values become means. Raises BadInput."""
    with tempfile.TemporaryDirectory(prefix="sublet-check-") as folder:
        mine, theirs = here.lay_down(Path(folder) / "here"), there.lay_down(Path(folder) / "there")
        both = in_common(mine, theirs)
        chosen = (Chosen(mine, both[:, 0], here.encoding), Chosen(theirs, both[:, 1], there.encoding))
        values = [each.values(range(len(each.table.columns))) for each in chosen]
    return Both(values[0][:, :-1], values[1], values[0][:, -1])


def against_pooled(both: Both, joint: Linear, fitting: Fitting) -> AgainstPooled:
    """Fit the same model to all columns, where rows stood alone to the same moved ones, and compare."""
    algorithm = fitting.algorithm
    penalty, target = algorithm.penalty_per_row * len(both.label), MODELS[algorithm.name].target(both.label)
    sides = [both.mine, both.theirs]
    if fitting.outliers == "move":
        width = both.mine.shape[1] + 1
        bits = renter_bits(algorithm, fitting.key_bits, width), partner_bits(algorithm, len(both.label))
        sides = [moved(*each, algorithm.penalty_per_row, Limits())[0] for each in zip(sides, bits, strict=True)]
    columns = np.hstack(sides)
    pooled, alone = fitted(columns, target, penalty), fitted(sides[0], target, penalty)
    spread, expected = columns.std(axis=0), pooled.scores(columns)
    difference = joint.scores(columns) - expected
    logistic = algorithm.name == "logistic"

    def good(scores: Floats) -> float:
        return report.auc(both.label, scores) if logistic else _r2(target.values, scores)

    return AgainstPooled(
        rows=len(both.label),
        weights_error=_largest((joint.weights - pooled.weights) * spread) / _largest(pooled.weights * spread),
        scores_error=float(np.sqrt(np.mean(difference**2)) / expected.std()),
        figure="auc" if logistic else "r2",
        joint=good(joint.scores(columns)),
        pooled=good(expected),
        alone=good(alone.scores(sides[0])),
        standard=tuple(zip((joint.weights * spread).tolist(), (pooled.weights * spread).tolist(), strict=True)),
    )


def fitted(columns: Floats, target: Target, penalty: float) -> Linear:
    """Ridge regression on standardised columns, by its normal equations."""
    means, spread = columns.mean(axis=0), columns.std(axis=0)
    standard = (columns - means) / np.where(spread > 0, spread, 1.0)
    gram = standard.T @ standard + penalty * np.eye(len(means))
    found, *_ = np.linalg.lstsq(gram, standard.T @ (target.values - target.values.mean()), rcond=None)
    weights = found / np.where(spread > 0, spread, 1.0)
    return Linear(weights, target.intercept - float(means @ weights))


def _r2(target: Floats, scores: Floats) -> float:
    left = target - target.mean() - (scores - scores.mean())
    return 1 - float(left @ left / ((target - target.mean()) ** 2).sum())


def _largest(values: Floats) -> float:
    return float(np.abs(values).max())
