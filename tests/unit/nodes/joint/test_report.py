"""Figures of a model against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import log_loss, mean_poisson_deviance, r2_score, roc_auc_score

from nodes.joint import report
from nodes.joint.models import MODELS

RNG = np.random.default_rng(1)
LABEL = (RNG.random(500) < 0.3).astype(np.float64)
SCORES = np.round(LABEL * 1.5 + RNG.normal(size=500), 1)


def test_auc_is_scikit_learns_with_ties() -> None:
    assert report.auc(LABEL, SCORES) == pytest.approx(roc_auc_score(LABEL, SCORES), abs=1e-12)


def test_log_loss_is_scikit_learns() -> None:
    probabilities = 1 / (1 + np.exp(-SCORES))
    assert report.log_loss(LABEL, probabilities) == pytest.approx(log_loss(LABEL, probabilities))


def test_a_wrong_certainty_costs_much_and_not_infinitely_much() -> None:
    assert 30 < report.log_loss(np.array([1.0]), np.array([0.0])) < 40


def test_calibration_from_two_sums_is_discriminant_analysis_of_the_scores() -> None:
    share = LABEL.mean()
    centred = SCORES - SCORES.mean()
    explained = centred @ (LABEL / (share * (1 - share)))
    fit = report.Fit(500, 1.0, float(explained), float(centred @ centred))
    found = report.calibration(fit, float(share), float(SCORES.mean())).probabilities(SCORES)
    theirs = LinearDiscriminantAnalysis().fit(SCORES[:, None], LABEL).predict_proba(SCORES[:, None])[:, 1]
    assert np.allclose(found, theirs, atol=2e-3)


def test_deviance_and_r2_are_scikit_learns() -> None:
    counts, means = np.array([0.0, 3.0, 1.0, 7.0]), np.array([0.5, 2.0, 1.0, 9.0])
    assert report.deviance(counts, means) == pytest.approx(mean_poisson_deviance(counts, means))
    assert report.r2(counts, means) == pytest.approx(r2_score(counts, means))


@pytest.mark.parametrize("size", [0.1, 0.6, 1.0])
def test_first_order_poisson_means_are_near_those_of_the_maximum_of_the_likelihood_whatever_the_effect(
    size: float,
) -> None:
    """Of columns that are normally distributed."""
    random = np.random.default_rng(5)
    columns, weights = random.normal(size=(50_000, 4)), np.array([0.5, -0.5, 0.5, 0.5]) * size
    counts = random.poisson(np.exp(0.5 + columns @ weights)).astype(np.float64)
    target, centred = MODELS["poisson"].target(counts), columns - columns.mean(axis=0)
    moments = centred.T @ (target.values - target.values.mean())
    found = np.linalg.solve(centred.T @ centred, moments)
    scores, fit = target.intercept + centred @ found, report.Fit(50_000, 1.0, 0.0, float(moments @ found))
    full = PoissonRegressor(alpha=0).fit(columns, counts).predict(columns)
    best = mean_poisson_deviance(counts, full)
    assert report.deviance(counts, np.exp(scores - report.log_mean_excess(fit))) < best + 0.02
    assert size < 0.5 or report.deviance(counts, np.exp(scores)) > best + 0.05
