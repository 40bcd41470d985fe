"""Joint models of two parties against models of the pooled columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nodes.homomorphic.errors import BadCiphertext
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.joint import columns, guards, outliers, precision, renter, report, schur
from nodes.joint.columns import Floats
from nodes.joint.errors import BadPeer, TooRevealing
from nodes.joint.guards import Limits
from nodes.joint.models import MODELS
from tests.support import joint
from tests.support.joint import Outcome


@dataclass(frozen=True)
class Data:
    """The renter has the label and the first columns, the partner the others."""

    renter: Floats
    partner: Floats
    label: Floats

    @property
    def pooled(self) -> Floats:
        return np.hstack([self.renter, self.partner])

    def difference(self, outcome: Outcome, weights: Floats) -> float:
        """The largest of all weights of standardised columns, as a part of the largest weight."""
        spread = self.pooled.std(axis=0)
        found = np.concatenate([outcome.renter, outcome.partner])
        return float(np.abs((found - weights) * spread).max() / np.abs(weights * spread).max())

    def scores(self, outcome: Outcome) -> Floats:
        return np.asarray(self.renter @ outcome.renter + self.partner @ outcome.partner + outcome.intercept)


@pytest.fixture(scope="module")
def breast() -> Data:
    table = load_breast_cancer()
    others = np.hstack([table.data[:, :10], table.data[:, 20:]])
    return Data(table.data[:, 10:20], others, 1.0 - table.target)


@pytest.fixture(scope="module")
def diabetes() -> Data:
    table = load_diabetes(scaled=False)
    return Data(table.data[:, :5], table.data[:, 5:], table.target)


def _fit(outcome: Outcome, rows: int, penalty: float) -> report.Fit:
    solution = outcome.solution
    norm = float(solution.standard @ solution.standard) + outcome.partner_norm
    return report.Fit.penalised(rows, solution.total, solution.explained, penalty * norm)


def _ridge(data: Data, target: Floats, penalty: float) -> tuple[Floats, float]:
    """scikit-learn's weights and intercept for columns as they came."""
    model = make_pipeline(StandardScaler(), Ridge(alpha=penalty)).fit(data.pooled, target)
    weights = model[-1].coef_ / model[0].scale_
    return weights, float(model[-1].intercept_ - model[0].mean_ @ weights)


@pytest.mark.parametrize(
    ("bits", "most"),
    [((24, 20, 30), 1e-4), ((20, 16, 30), 2e-3), ((16, 12, 24), 2e-2), ((16, 10, 24), 0.2)],
    ids=["20", "16", "12", "10"],
)
def test_first_order_logistic_on_breast_is_pooled_ridge_by_bits(
    breast: Data, bits: tuple[int, int, int], most: float
) -> None:
    penalty = 1e-3 * len(breast.label)
    target = MODELS["logistic"].target(breast.label)
    outcome = joint.run(
        None, breast.renter, target.values, breast.partner, penalty, intercept=target.intercept, bits=bits
    )
    weights, intercept = _ridge(breast, target.values, penalty)
    assert breast.difference(outcome, weights) < most
    pooled = breast.pooled @ weights + intercept - target.values.mean() + target.intercept
    scores = breast.scores(outcome)
    assert np.sqrt(np.mean((scores - pooled) ** 2)) / pooled.std() < most / 5
    assert report.auc(breast.label, scores) == pytest.approx(report.auc(breast.label, pooled), abs=1e-4)


@pytest.mark.parametrize(
    ("bits", "most"),
    [((26, 24, 30), 1e-6), ((20, 20, 30), 1e-4), ((16, 16, 24), 5e-4), ((16, 12, 24), 5e-3), ((16, 10, 24), 3e-2)],
    ids=["24", "20", "16", "12", "10"],
)
def test_ols_on_diabetes_is_pooled_ols_by_bits(diabetes: Data, bits: tuple[int, int, int], most: float) -> None:
    outcome = joint.run(
        None, diabetes.renter, diabetes.label, diabetes.partner, 0.0, intercept=diabetes.label.mean(), bits=bits
    )
    pooled = LinearRegression().fit(diabetes.pooled, diabetes.label)
    assert diabetes.difference(outcome, pooled.coef_) < most
    assert outcome.intercept == pytest.approx(pooled.intercept_, rel=20 * most)
    fit = _fit(outcome, len(diabetes.label), 0.0)
    assert fit.r2 == pytest.approx(pooled.score(diabetes.pooled, diabetes.label), abs=most)


@pytest.mark.parametrize("name", ["breast", "diabetes"])
@pytest.mark.parametrize("key_bits", [2048, 3072])
def test_by_default_no_weight_is_off_by_a_thousandth_of_the_largest(
    request: pytest.FixtureRequest, name: str, key_bits: int
) -> None:
    data: Data = request.getfixturevalue(name)
    rows, penalty = len(data.label), 1e-3 * len(data.label) if name == "breast" else 0.0
    bits = (16, precision.partner_bits_for(rows), 24)
    outcome = joint.run(None, data.renter, data.label, data.partner, penalty, bits=bits, key_bits=key_bits)
    assert data.difference(outcome, _ridge(data, data.label, penalty)[0]) < 1e-3


def test_a_whole_job_on_ciphertexts_is_the_same_as_on_plain_numbers(secret: PaillierSecret, breast: Data) -> None:
    penalty = 1e-3 * len(breast.label)
    target = MODELS["logistic"].target(breast.label)
    outcome = joint.run(
        secret, breast.renter, target.values, breast.partner, penalty, intercept=target.intercept, bits=(16, 12, 24)
    )
    assert breast.difference(outcome, _ridge(breast, target.values, penalty)[0]) < 2e-2
    fit = _fit(outcome, len(breast.label), penalty)
    found = report.calibration(fit, float(breast.label.mean()), target.intercept)
    scores = breast.scores(outcome)
    full = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(breast.pooled, breast.label)
    theirs = report.log_loss(breast.label, full.predict_proba(breast.pooled)[:, 1])
    raw = report.log_loss(breast.label, report.Calibration(1, 0, 0).probabilities(scores))
    calibrated = report.log_loss(breast.label, found.probabilities(scores))
    assert theirs < calibrated < 0.5 * raw
    assert report.auc(breast.label, scores) > report.auc(breast.label, full.decision_function(breast.pooled)) - 0.015


def test_both_parties_of_breast_have_rows_that_stand_alone_and_moving_them_costs_little(breast: Data) -> None:
    penalty = 1e-3 * len(breast.label)
    moved = []
    for values in (breast.renter, breast.partner):
        with pytest.raises(TooRevealing):
            guards.require_safe(columns.scaled(values, 12), penalty, Limits())
        found, moves = outliers.moved(values, 12, 1e-3, Limits())
        guards.require_safe(columns.scaled(found, 12), penalty, Limits())
        assert moves.count < 20
        moved.append(found)
    target = MODELS["logistic"].target(breast.label)
    outcome = joint.run(None, moved[0], target.values, moved[1], penalty, intercept=target.intercept)
    assert report.auc(breast.label, breast.scores(outcome)) > 0.995


def test_first_order_poisson_is_close_to_the_maximum_of_the_likelihood_for_small_effects() -> None:
    rng = np.random.default_rng(1)
    pooled = rng.normal(size=(2000, 4))
    label = rng.poisson(np.exp(pooled @ np.array([0.1, -0.05, 0.08, 0.02]) + 1)).astype(np.float64)
    target = MODELS["poisson"].target(label)
    penalty = 2.0
    outcome = joint.run(None, pooled[:, :2], target.values, pooled[:, 2:], penalty, intercept=target.intercept)
    model = PoissonRegressor(alpha=target.curvature * penalty / 2000).fit(pooled, label)
    found = np.concatenate([outcome.renter, outcome.partner])
    assert np.abs(found - model.coef_).max() < 0.02
    assert outcome.intercept == pytest.approx(model.intercept_, abs=0.02)


def test_repeated_columns_at_the_two_parties_need_a_penalty_only() -> None:
    rng = np.random.default_rng(2)
    ours = rng.normal(size=(300, 2))
    label = ours @ np.array([1.0, 2.0]) + rng.normal(size=300)
    data = Data(ours, np.hstack([ours[:, :1], rng.normal(size=(300, 1))]), label)
    outcome = joint.run(None, ours, label, data.partner, 3.0, bits=(20, 16, 30))
    assert data.difference(outcome, _ridge(data, label, 3.0)[0]) < 1e-3


def test_what_goes_to_the_renter_does_not_grow_with_the_rows(secret: PaillierSecret) -> None:
    rng = np.random.default_rng(3)
    for rows in (60, 240):
        values = rng.normal(size=(rows, 4))
        outcome = joint.run(secret, values[:, :1], values[:, 1], values[:, 2:], 1.0)
        assert outcome.seen.shape == (2, 2)


def test_moments_that_no_columns_have_are_refused() -> None:
    rng = np.random.default_rng(4)
    table = columns.zero_sum(rng.normal(size=(200, 3)), 16)
    impossible = [[10 * round(float(np.sqrt(table.gram[0, 0]))), 0, 0]]
    with pytest.raises(BadPeer) as caught:
        schur.solved(table, impossible, 0, 1.0)
    assert caught.value.code == "moments-impossible"


@pytest.mark.parametrize("size_bits", [10, 400], ids=["past the bound", "above the slots"])
def test_a_partners_answer_outside_what_it_announced_is_refused(secret: PaillierSecret, size_bits: int) -> None:
    body = secret.public.encrypt_plaintexts([secret.public.n // 3 if size_bits > 64 else secret.public.n - 5000])
    with pytest.raises(BadCiphertext) as caught:
        renter.opened(secret, body, 31, 1, min(size_bits, 60))
    assert caught.value.code == "ciphertext-invalid"


@pytest.mark.parametrize(
    ("algorithm", "label"),
    [("logistic", [0, 1, 2]), ("logistic", [1, 1, 1]), ("poisson", [-1, 2, 3]), ("poisson", [0, 0, 0])],
)
def test_labels_that_an_algorithm_cannot_take_are_refused(algorithm: str, label: list[int]) -> None:
    target: Callable[[Floats], object] = next(model.target for name, model in MODELS.items() if name == algorithm)
    with pytest.raises(Exception, match="label"):
        target(np.array(label, dtype=np.float64))
