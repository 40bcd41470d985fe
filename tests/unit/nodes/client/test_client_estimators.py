"""Estimators of scikit-learn decide as programs what they decide themselves: labels exactly, numbers in their type."""

from __future__ import annotations

import importlib
import warnings
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from onnx import load_from_string
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from nodes.client.estimators import converted
from nodes.client.programs import program_bytes
from nodes.programs import runtime
from nodes.programs.check import check
from nodes.programs.program import Program
from schemas.errors import BadConfig, BadProgram

ROWS: Final = 200
NAMES: Final = ["mean radius", "b", "c", "d"]
GAPS: Final = "gaps"
KBINS: Final = KBinsDiscretizer(3, encode="onehot-dense", quantile_method="averaged_inverted_cdf")
by_name: Final = ColumnTransformer([("s", StandardScaler(), ["c", "mean radius"])], remainder="passthrough")
by_place: Final = ColumnTransformer([("s", StandardScaler(), [2, 0])], remainder="passthrough")
ESTIMATORS: Final[dict[str, Any]] = {
    "linear": LinearRegression(),
    "logistic": LogisticRegression(),
    "scaled-logistic": make_pipeline(StandardScaler(), LogisticRegression()),
    "forest": RandomForestClassifier(11, random_state=0),
    "scaled-forest": make_pipeline(StandardScaler(), RandomForestClassifier(11, random_state=0)),
    "boosting": GradientBoostingClassifier(n_estimators=10, random_state=0),
    "extra-trees": make_pipeline(StandardScaler(), ExtraTreesRegressor(5, random_state=0)),
    "mlp": MLPClassifier((4,), max_iter=50, random_state=0),
    "svc": SVC(),
    "bayes": GaussianNB(),
    "neighbours": KNeighborsClassifier(),
    "columns-by-name": make_pipeline(by_name, LogisticRegression()),
    "columns-by-place": make_pipeline(by_place, LogisticRegression()),
    f"{GAPS}-ridge": make_pipeline(SimpleImputer(), StandardScaler(), Ridge()),
    f"{GAPS}-forest": make_pipeline(SimpleImputer(), StandardScaler(), RandomForestClassifier(11, random_state=0)),
}


def table(kind: str, dtype: str = "float64") -> tuple[pd.DataFrame, Any]:
    """Rows that lie on both sides of every threshold, close to it: many share their value up to float32."""
    random = np.random.default_rng(5)
    values = np.round(random.normal(size=(ROWS, 4)), 1) + random.normal(size=(ROWS, 4)) * 1e-8
    labels = (values @ [1.0, -2.0, 0.5, 0.0] + random.normal(size=ROWS) > 0).astype(int)
    if kind.startswith(GAPS):
        values[random.random(size=values.shape) < 0.1] = np.nan
    return pd.DataFrame(values.astype(dtype), columns=NAMES), labels


def fitted(kind: str, rows: Any, labels: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it need not converge
        return clone(ESTIMATORS[kind]).fit(rows, labels)


def results(program: Program, rows: pd.DataFrame) -> Any:
    names = program.column_names or program.input_names
    return runtime.evaluate(program, rows[list(names)].to_numpy(np.float64))


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_estimators_decide_as_programs_what_they_decide_themselves(kind: str) -> None:
    rows, labels = table(kind)
    estimator = fitted(kind, rows, labels)
    program = check(program_bytes(estimator))
    found = results(program, rows)
    assert program.inputs[0].dtype == np.float64
    if not hasattr(estimator, "classes_"):
        assert program.output_names == ("prediction",)
        assert np.abs(found[:, 0] - estimator.predict(rows)).max() < 1e-6
        return
    assert (found[:, 0] == estimator.predict(rows)).all()
    if not hasattr(estimator, "predict_proba"):
        assert program.output_names == ("label",)
        return
    assert program.output_names == ("label", "probability_0", "probability_1")
    assert np.abs(found[:, 1:] - estimator.predict_proba(rows)).max() < 1e-6


@pytest.mark.parametrize(
    "trees",
    [AdaBoostClassifier(random_state=0), IsolationForest(n_estimators=11, random_state=0)],
    ids=["ada", "isolation"],
)
def test_trees_that_run_in_float32_only_decide_as_they_do_themselves(trees: Any) -> None:
    rows, labels = table("forest")
    program = check(converted(trees.fit(rows, labels)))
    assert program.inputs[0].dtype == np.float32
    assert (results(program, rows)[:, 0] == trees.predict(rows)).all()


@pytest.mark.parametrize("large", [2**31, 1e10, -(2**40)])
def test_classes_that_an_export_would_cut_are_refused(large: float) -> None:
    rows = np.arange(6.0).reshape(-1, 1)
    with pytest.raises(BadProgram, match="more than 32 bits: number them anew"):
        converted(LogisticRegression().fit(rows, np.array([0, 0, 0, 1, 1, 1]) * large))


@pytest.mark.parametrize("kind", ["linear", "logistic", "bayes"])
def test_what_was_fitted_on_float32_computes_in_it(kind: str) -> None:
    rows, labels = table(kind, "float32")
    estimator = fitted(kind, rows, labels)
    program = check(converted(estimator))
    assert program.inputs[0].dtype == np.float32
    assert np.abs(results(program, rows)[:, 0] - estimator.predict(rows)).max() < 1e-5


def test_columns_have_the_names_that_the_estimator_was_fitted_on() -> None:
    rows, labels = table("logistic")
    assert check(converted(fitted("logistic", rows, labels))).column_names == tuple(NAMES)
    assert check(converted(fitted("columns-by-name", rows, labels))).input_names == tuple(NAMES)
    assert check(converted(fitted("logistic", rows.to_numpy(), labels))).column_names == ()


def test_several_labels_name_their_probabilities() -> None:
    rows, _ = table("logistic")
    species = np.array(["setosa", "versicolor", "virginica"])[np.arange(ROWS) % 3]
    for kind in ("forest", "scaled-logistic"):
        names = check(converted(fitted(kind, rows, species))).output_names
        assert names == ("label", *(f"probability_{each}" for each in ("setosa", "versicolor", "virginica")))


def test_thresholds_between_neighbouring_numbers_of_float32_are_kept() -> None:
    for seed in range(20):
        low = np.float32(np.random.default_rng(seed).normal())
        rows = np.array([[low], [np.nextafter(low, np.float32(9))]], dtype=np.float64)
        tree = DecisionTreeClassifier().fit(rows, [0, 1])
        assert runtime.evaluate(check(converted(tree)), rows)[:, 0].tolist() == tree.predict(rows).tolist()


def test_what_has_no_form_that_runs_is_refused_with_the_reason() -> None:
    rows, labels = table("linear")
    values = rows.to_numpy()
    binned = make_pipeline(KBINS, Ridge())
    for estimator, says in (
        (LinearRegression(), "this LinearRegression is not fitted"),
        (binned.fit(values, labels), r"in float32 it can be run: bring skl2onnx.to_onnx\(estimator, X\[:1\].astype"),
        (Strange().fit(rows, labels), "skl2onnx cannot convert this Strange"),
        (
            make_pipeline(HistGradientBoostingRegressor(max_iter=1)).fit(rows, labels),
            "fit a GradientBoostingRegressor, or",
        ),
    ):
        with pytest.raises(BadProgram, match=says):
            program_bytes(estimator)


def test_categories_that_are_numbers_are_told_apart_or_refused() -> None:
    rows, labels = table("linear")
    estimator = make_pipeline(OrdinalEncoder(), Ridge())
    rounded = rows.round(1)
    found = results(check(converted(estimator.fit(rounded, labels))), rounded)
    assert np.abs(found[:, 0] - estimator.predict(rounded)).max() < 1e-5
    with pytest.raises(BadProgram, match="categories of this OrdinalEncoder are the same number in float32"):
        converted(estimator.fit(rows, labels))


def test_what_is_advised_instead_runs() -> None:
    values, labels = table("linear")[0].to_numpy(), table("linear")[1]
    binned = make_pipeline(KBINS, Ridge()).fit(values, labels)
    exported = importlib.import_module("skl2onnx").to_onnx(binned, values[:1].astype("float32"))
    assert check(program_bytes(exported)).inputs[0].dtype == np.float32


def test_without_skl2onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = table("linear")
    estimator = fitted("linear", rows, labels)

    def missing(name: str, *_: Any) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(BadConfig, match=r"pip install 'sublet\[sklearn\]'"):
        converted(estimator)


def test_a_model_of_onnx_is_taken_as_it_is() -> None:
    rows, labels = table("linear")
    raw = converted(fitted("linear", rows, labels))
    assert check(program_bytes(load_from_string(raw))).digest == check(raw).digest


class Strange(LinearRegression):  # type: ignore[misc]
    """An estimator of the user's own, which skl2onnx does not know."""
