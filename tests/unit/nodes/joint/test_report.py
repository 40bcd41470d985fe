"""Figures of a model against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import log_loss, roc_auc_score

from nodes.joint import report

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
