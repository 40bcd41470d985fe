"""The algorithms by name: what each makes of the label, and what moments then solve. Pure.

Ridge and OLS are exact. The first-order models are Newton's first step from the model that has an intercept only: with
k = p (1 - p) for logistic regression and k = mean for Poisson regression, it solves

    (k X'X + k penalty) w = X' (y - mean),

which *is* ridge regression of (y - mean) / k with the same penalty. On standardised columns a penalty P here is
scikit-learn's `alpha = P` for Ridge, `C = 1 / (k P)` for LogisticRegression, `alpha = k P / rows` for PoissonRegressor.
So the partner is told a penalty that says nothing of the label.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from nodes.joint.columns import Floats
from schemas.errors import BadData
from schemas.joint import AlgorithmName

SHOWN_CLASSES = 5


@dataclass(frozen=True, slots=True)
class Target:
    """`values` [rows] is what moments are taken of; the linear predictor of a mean row is `intercept`."""

    values: Floats
    intercept: float
    curvature: float
    """k above: variance of the label that the intercept alone leaves, per unit of the linear predictor."""


@dataclass(frozen=True, slots=True)
class Model:
    """An algorithm: how a label becomes a target, and what is approximate."""

    target: Callable[[Floats], Target]
    approximation: str


def _linear(label: Floats) -> Target:
    return Target(label, float(label.mean()), 1.0)


def _logistic(label: Floats) -> Target:
    if not np.isin(label, (0.0, 1.0)).all() or label.min() == label.max():
        message = f"a logistic model needs a label of 0 and 1, and both of them, not {_shown(label)}"
        raise BadData(f"{message}: write 1 for one class and 0 for the rest")
    mean = float(label.mean())
    return Target(label / (mean * (1 - mean)), math.log(mean / (1 - mean)), mean * (1 - mean))


def _poisson(label: Floats) -> Target:
    mean = float(label.mean())
    if label.min() < 0 or mean == 0:
        raise BadData("a Poisson model needs a label of counts, which are never negative, and not always 0")
    return Target(label / mean, math.log(mean), mean)


def _shown(label: Floats) -> str:
    """Which values there are."""
    found = np.unique(label)
    shown = ", ".join(f"{each:g}" for each in found[:SHOWN_CLASSES])
    return shown if len(found) <= SHOWN_CLASSES else f"{shown} and {len(found) - SHOWN_CLASSES:,} others"


FIRST_ORDER = "Newton's first step from the mean, by second moments: not the maximum of the likelihood"

MODELS: Mapping[AlgorithmName, Model] = MappingProxyType(
    {
        "ridge": Model(_linear, ""),
        "ols": Model(_linear, ""),
        "logistic": Model(_logistic, FIRST_ORDER),
        "poisson": Model(_poisson, FIRST_ORDER),
    }
)
