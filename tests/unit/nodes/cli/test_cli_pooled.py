"""A model of all columns in one place: what scikit-learn makes of them, and what another model is beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from nodes.cli.pooled import Both, Linear, Side, against_pooled, fitted, rows_in_common
from nodes.data.reading import Reading
from nodes.joint.categories import Encoding
from nodes.joint.models import MODELS
from schemas.joint import Algorithm, AlgorithmName, Fitting

RANDOM = np.random.default_rng(3)
COLUMNS = RANDOM.normal(size=(200, 3)) * [1, 30, 0.1]
LABEL = (COLUMNS @ [1, 0.05, 4] + RANDOM.normal(size=200) > 0).astype(np.float64)
BOTH = Both(COLUMNS[:, :1], COLUMNS[:, 1:], LABEL)


def fitting(name: AlgorithmName) -> Fitting:
    return Fitting(algorithm=Algorithm(name=name, penalty_per_row=0.01), label="y")


def test_it_is_ridge_regression_of_standardised_columns() -> None:
    target, spread = MODELS["ridge"].target(LABEL), COLUMNS.std(axis=0)
    expected = Ridge(alpha=2.0).fit((COLUMNS - COLUMNS.mean(axis=0)) / spread, LABEL)
    found = fitted(COLUMNS, target, 2.0)
    np.testing.assert_allclose(found.weights * spread, expected.coef_, rtol=1e-9)
    assert found.scores(COLUMNS).mean() == pytest.approx(LABEL.mean())


@pytest.mark.parametrize(("name", "figure"), [("logistic", "auc"), ("ridge", "r2"), ("ols", "r2")])
def test_the_same_model_differs_in_nothing_and_both_parties_know_more_than_one(
    name: AlgorithmName, figure: str
) -> None:
    asked = fitting(name)
    same = fitted(COLUMNS, MODELS[name].target(LABEL), asked.algorithm.penalty_per_row * len(LABEL))
    found = against_pooled(BOTH, same, asked)
    assert (found.figure, found.weights_error, found.scores_error) == (figure, 0.0, 0.0)
    assert found.good
    assert found.joint == found.pooled > found.alone
    assert len(found.standard) == 3


def test_a_model_that_is_another_is_not_good() -> None:
    same = fitted(COLUMNS, MODELS["ridge"].target(LABEL), 2.0)
    found = against_pooled(BOTH, Linear(same.weights * [1, 1.2, 1], same.intercept), fitting("ridge"))
    assert not found.good
    assert found.weights_error > 0.05


def test_rows_are_those_of_both_tables_in_the_renters_order_with_means_for_gaps(tmp_path: Path) -> None:
    (tmp_path / "here.csv").write_text("id,note,a,y\nq,text,1,0\np,text,,1\nr,text,3,1\n")
    (tmp_path / "there.csv").write_text("b;person;c\n5;p;7\n6;q;8\n9;x;9\n")
    here = Side(tmp_path / "here.csv", Encoding(numbers=("a", "y")), Reading("id", missing="mean"))
    found = rows_in_common(here, Side(tmp_path / "there.csv", Encoding(numbers=("c", "b")), Reading("person")))
    np.testing.assert_array_equal(found.mine, [[1], [1]])
    np.testing.assert_array_equal(found.theirs, [[8, 6], [7, 5]])
    np.testing.assert_array_equal(found.label, [0, 1])
