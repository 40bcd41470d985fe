"""How good a joint model is: from sums alone, or from the scores of a scoring job. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nodes.joint.columns import Floats

PROBABILITY_MIN = 1e-15
"""Keeps the logarithm of a probability finite, as scikit-learn does."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The sums of a joint model over the rows that it was fitted to."""

    rows: int
    total: float
    """Sum of squares of the centred target."""
    explained: float
    """w'b: of both parties' weights and their cross moments with the target."""
    fitted: float
    """w'Gw: sum of squares of the centred scores."""

    @classmethod
    def penalised(cls, rows: int, total: float, explained: float, paid: float) -> Fit:
        """Of weights that the penalty was on, `paid` being penalty |w|^2 of standardised columns: w'Gw = w'b - paid.

        Where the partner's part of it is withheld, `fitted` is an upper bound.
        """
        return cls(rows, total, explained, explained - paid)

    @property
    def r2(self) -> float:
        """Of the target by the scores."""
        return (2 * self.explained - self.fitted) / self.total


@dataclass(frozen=True, slots=True)
class Calibration:
    """A linear predictor becomes `slope * (score - centre) + intercept`."""

    slope: float
    intercept: float
    centre: float

    def probabilities(self, scores: Floats) -> Floats:
        """Of label 1."""
        logits = self.slope * (scores - self.centre) + self.intercept
        return np.asarray(np.exp(-np.logaddexp(0.0, -logits)), dtype=np.float64)


def calibration(fit: Fit, positive: float, centre: float) -> Calibration:
    """Of first-order logistic scores from two sums, w'b and w'Gw, without any row's score.

    Linear discriminant analysis of the scores (Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning",
    section 4.3). `positive` is the share p of label 1, `centre` the mean score; the target was y / (p (1 - p)).
    """
    negative = 1 - positive
    between = fit.explained / fit.rows
    within = fit.fitted / fit.rows - positive * negative * between**2
    slope = between / within if within > 0 else 1.0
    middle = (negative - positive) * between / 2
    return Calibration(slope, math.log(positive / negative) - slope * middle, centre)


def log_mean_excess(fit: Fit) -> float:
    """By how much first-order Poisson scores are above the logarithm of the mean: half their variance.

    By Stein's lemma the first step has the weights of the maximum of the likelihood where columns are normally
    distributed, and the mean of exp(score) is then exp(mean score + variance / 2): the score of a mean row is too large
    by that. Means add up to the counts so, in large part.
    """
    return fit.fitted / fit.rows / 2


def deviance(label: Floats, means: Floats) -> float:
    """Mean Poisson deviance of counts, as scikit-learn has it."""
    ratio = np.where(label > 0, label, 1.0) / means
    return float(2 * np.mean(np.where(label > 0, label * np.log(ratio), 0.0) - label + means))


def r2(label: Floats, scores: Floats) -> float:
    """Coefficient of determination of the label by scores of the same unit."""
    return 1 - float(((label - scores) ** 2).sum() / ((label - label.mean()) ** 2).sum())


def log_loss(label: Floats, probabilities: Floats) -> float:
    """Mean negative log likelihood of labels of 0 and 1."""
    clipped = np.clip(probabilities, PROBABILITY_MIN, 1 - PROBABILITY_MIN)
    return float(-np.mean(label * np.log(clipped) + (1 - label) * np.log(1 - clipped)))


def auc(label: Floats, scores: Floats) -> float:
    """Area under the ROC curve: how often a 1 scores above a 0, ties for half (Mann and Whitney's U)."""
    _, ranks, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    ones = int((label == 1).sum())
    return float((middle[ranks][label == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(label) - ones)))
