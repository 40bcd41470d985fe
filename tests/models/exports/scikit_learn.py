"""Estimators and pipelines of scikit-learn as people write them, exported by skl2onnx."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from skl2onnx import to_onnx
from skl2onnx.common._container import ModelComponentContainer
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn import (
    calibration,
    cluster,
    compose,
    cross_decomposition,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_selection,
    gaussian_process,
    impute,
    linear_model,
    mixture,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)

from tests.models.exports.made import Made, said_by
from tests.models.exports.rows import FIT, tables, target

TYPES = {"float": FloatTensorType, "double": DoubleTensorType, "int64": Int64TensorType}
PEOPLE = ("age", "income", "sex", "town")


@dataclass(frozen=True)
class Model:
    """An estimator, what it learns from and how it is exported."""

    make: Callable[[], Any]
    target: str | None = None
    rows: str = "numbers"
    type: str = "float"
    shape: str = "matrix"  # or "columns", "blocks"
    options: Mapping[str, Any] = field(default_factory=dict)
    opset: Any = None


PLAIN = {"zipmap": False}


_written = ModelComponentContainer.add_node


def _add_node(self: Any, *operands: Any, **attributes: Any) -> Any:
    """As skl2onnx 1.20 does, with the numbers of HistGradientBoosting's nodes as onnx 1.23 takes them."""
    plain = {key: [int(v) for v in value] if _unsigned(value) else value for key, value in attributes.items()}
    return _written(self, *operands, **plain)


def _unsigned(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, np.unsignedinteger) for each in value)


def chain(*steps: Any) -> Any:
    return pipeline.make_pipeline(*steps)


def models() -> dict[str, Model]:
    """By name."""
    return {**linear(), **preparation(), **neighbours_and_kernels(), **probabilities(), **trees(), **composed()}


def linear() -> dict[str, Model]:
    log, scale = linear_model.LogisticRegression, preprocessing.StandardScaler
    return {
        "linear": Model(linear_model.LinearRegression, "number"),
        "linear-double": Model(linear_model.LinearRegression, "number", "doubles", "double"),
        "linear-int64": Model(linear_model.LinearRegression, "number", "counts", "int64"),
        "linear-two-targets": Model(linear_model.LinearRegression, "numbers"),
        "linear-opset-9": Model(linear_model.LinearRegression, "number", opset=9),
        "ridge": Model(lambda: chain(scale(), linear_model.Ridge()), "number"),
        "ridge-cv": Model(linear_model.RidgeCV, "number"),
        "lasso": Model(lambda: linear_model.Lasso(0.05), "number"),
        "elastic-net": Model(lambda: chain(preprocessing.MinMaxScaler(), linear_model.ElasticNet(0.05)), "number"),
        "bayesian-ridge": Model(linear_model.BayesianRidge, "number"),
        "huber": Model(linear_model.HuberRegressor, "number"),
        "sgd-regressor": Model(lambda: chain(scale(), linear_model.SGDRegressor(random_state=0)), "number"),
        "poisson": Model(linear_model.PoissonRegressor, "positive"),
        "gamma": Model(linear_model.GammaRegressor, "positive"),
        "pls": Model(lambda: cross_decomposition.PLSRegression(2), "number"),
        "logistic": Model(log, "two", options=PLAIN),
        "logistic-default": Model(log, "two"),
        "logistic-multinomial": Model(lambda: chain(scale(), log()), "three", options=PLAIN),
        "logistic-multinomial-default": Model(lambda: chain(scale(), log()), "three"),
        "logistic-raw-scores": Model(log, "three", options={"zipmap": False, "raw_scores": True}),
        "logistic-text": Model(log, "text"),
        "logistic-text-plain": Model(log, "text", options=PLAIN),
        "logistic-columns-dictionary": Model(lambda: chain(scale(), log()), "two", shape="columns"),
        "logistic-zipmap-columns": Model(log, "text", options={"zipmap": "columns"}),
        "logistic-double": Model(lambda: chain(scale(), log()), "two", "doubles", "double", options=PLAIN),
        "logistic-int64": Model(log, "two", "counts", "int64", options=PLAIN),
        "ridge-classifier": Model(linear_model.RidgeClassifier, "three", options=PLAIN),
        "sgd-classifier": Model(
            lambda: linear_model.SGDClassifier(loss="log_loss", random_state=0), "two", options=PLAIN
        ),
        "perceptron": Model(lambda: linear_model.Perceptron(random_state=0), "two", options=PLAIN),
        "linear-svc": Model(lambda: svm.LinearSVC(random_state=0), "three"),
        "linear-svr": Model(lambda: svm.LinearSVR(random_state=0), "number"),
    }


def preparation() -> dict[str, Model]:
    p = preprocessing
    return {
        "standard-scaler": Model(p.StandardScaler),
        "min-max-scaler": Model(p.MinMaxScaler),
        "max-abs-scaler": Model(p.MaxAbsScaler),
        "robust-scaler": Model(p.RobustScaler),
        "normalizer-l1": Model(lambda: p.Normalizer("l1")),
        "normalizer-l2": Model(lambda: p.Normalizer("l2")),
        "normalizer-max": Model(lambda: p.Normalizer("max")),
        "binarizer": Model(lambda: p.Binarizer(threshold=0.3)),
        "power-transformer": Model(p.PowerTransformer),
        "quantile-columns": Model(
            lambda: p.KBinsDiscretizer(4, encode="ordinal", subsample=None, quantile_method="averaged_inverted_cdf")
        ),
        "bins-one-hot": Model(
            lambda: chain(
                p.KBinsDiscretizer(3, encode="onehot-dense", strategy="uniform", subsample=None),
                linear_model.LogisticRegression(),
            ),
            "two",
            options=PLAIN,
        ),
        "polynomial": Model(lambda: chain(p.PolynomialFeatures(2), linear_model.Ridge()), "number"),
        "polynomial-interactions": Model(lambda: p.PolynomialFeatures(3, interaction_only=True, include_bias=False)),
        "imputer-mean": Model(
            lambda: chain(impute.SimpleImputer(), linear_model.LogisticRegression()), "two", "gaps", options=PLAIN
        ),
        "imputer-median-scaled": Model(
            lambda: chain(impute.SimpleImputer(strategy="median"), p.StandardScaler(), linear_model.Ridge()),
            "number",
            "gaps",
        ),
        "imputer-knn": Model(lambda: impute.KNNImputer(n_neighbors=2), None, "gaps"),
        "one-hot": Model(
            lambda: chain(p.OneHotEncoder(sparse_output=False), linear_model.Ridge()), "number", "categories"
        ),
        "one-hot-int64": Model(lambda: p.OneHotEncoder(sparse_output=False), None, "categories", "int64"),
        "one-hot-drop-first": Model(
            lambda: p.OneHotEncoder(drop="first", sparse_output=False), None, "categories", "int64"
        ),
        "ordinal": Model(p.OrdinalEncoder, None, "categories", "int64"),
        "function": Model(lambda: chain(p.FunctionTransformer(), linear_model.Ridge()), "number"),
        "pca": Model(lambda: decomposition.PCA(3)),
        "pca-whiten": Model(
            lambda: chain(p.StandardScaler(), decomposition.PCA(2, whiten=True), linear_model.Ridge()), "number"
        ),
        "truncated-svd": Model(lambda: decomposition.TruncatedSVD(3, random_state=0)),
        "incremental-pca": Model(lambda: decomposition.IncrementalPCA(2)),
        "kernel-pca": Model(lambda: decomposition.KernelPCA(2, kernel="rbf")),
        "select-k-best": Model(
            lambda: chain(feature_selection.SelectKBest(k=3), linear_model.LogisticRegression()), "two", options=PLAIN
        ),
        "variance-threshold": Model(lambda: feature_selection.VarianceThreshold(0.01)),
    }


def neighbours_and_kernels() -> dict[str, Model]:
    return {
        "knn": Model(lambda: neighbors.KNeighborsClassifier(3), "three", options=PLAIN),
        "knn-distance": Model(lambda: neighbors.KNeighborsClassifier(5, weights="distance"), "two", options=PLAIN),
        "knn-regressor": Model(lambda: neighbors.KNeighborsRegressor(4), "number"),
        "svc": Model(svm.SVC, "two", options=PLAIN),
        "svc-three": Model(svm.SVC, "three", options=PLAIN),
        "svc-text-default": Model(lambda: svm.SVC(kernel="poly", degree=2), "text"),
        "svc-probability": Model(lambda: svm.SVC(probability=True, random_state=0), "two", options=PLAIN),
        "nu-svc": Model(lambda: svm.NuSVC(kernel="sigmoid"), "two", options=PLAIN),
        "svr": Model(lambda: chain(preprocessing.StandardScaler(), svm.SVR()), "number"),
        "svr-linear": Model(lambda: svm.SVR(kernel="linear"), "number"),
        "nu-svr": Model(svm.NuSVR, "number"),
        "one-class-svm": Model(svm.OneClassSVM),
        "local-outlier-factor": Model(lambda: neighbors.LocalOutlierFactor(5, novelty=True)),
        "gaussian-process": Model(
            lambda: gaussian_process.GaussianProcessRegressor(gaussian_process.kernels.RBF(), alpha=0.1), "number"
        ),
        "gaussian-process-double": Model(
            lambda: gaussian_process.GaussianProcessRegressor(gaussian_process.kernels.Matern(), alpha=0.1),
            "number",
            "doubles",
            "double",
        ),
        "kmeans": Model(lambda: cluster.KMeans(3, n_init=1, random_state=0)),
        "mini-batch-kmeans": Model(
            lambda: chain(preprocessing.StandardScaler(), cluster.MiniBatchKMeans(4, n_init=1, random_state=0))
        ),
    }


def probabilities() -> dict[str, Model]:
    return {
        "gaussian-nb": Model(naive_bayes.GaussianNB, "three", options=PLAIN),
        "gaussian-nb-default": Model(naive_bayes.GaussianNB, "text"),
        "bernoulli-nb": Model(naive_bayes.BernoulliNB, "two", options=PLAIN),
        "multinomial-nb": Model(naive_bayes.MultinomialNB, "three", "counts", options=PLAIN),
        "complement-nb": Model(naive_bayes.ComplementNB, "two", "counts", options=PLAIN),
        "categorical-nb": Model(naive_bayes.CategoricalNB, "two", "categories", "int64", options=PLAIN),
        "lda": Model(discriminant_analysis.LinearDiscriminantAnalysis, "three", options=PLAIN),
        "qda": Model(discriminant_analysis.QuadraticDiscriminantAnalysis, "two", options=PLAIN),
        "gaussian-mixture": Model(lambda: mixture.GaussianMixture(2, random_state=0)),
        "calibrated": Model(
            lambda: calibration.CalibratedClassifierCV(linear_model.LogisticRegression(), cv=2), "two", options=PLAIN
        ),
        "calibrated-isotonic": Model(
            lambda: calibration.CalibratedClassifierCV(naive_bayes.GaussianNB(), method="isotonic", cv=2),
            "two",
            options=PLAIN,
        ),
        "mlp": Model(lambda: neural_network.MLPClassifier((8,), max_iter=50, random_state=0), "two", options=PLAIN),
        "mlp-tanh-three": Model(
            lambda: chain(
                preprocessing.StandardScaler(),
                neural_network.MLPClassifier((8, 4), "tanh", max_iter=50, random_state=0),
            ),
            "three",
        ),
        "mlp-regressor": Model(
            lambda: neural_network.MLPRegressor(hidden_layer_sizes=(8,), max_iter=50, random_state=0), "number"
        ),
        "mlp-logistic-double": Model(
            lambda: neural_network.MLPRegressor(
                hidden_layer_sizes=(8,), activation="logistic", max_iter=50, random_state=0
            ),
            "numbers",
            "doubles",
            "double",
        ),
    }


def trees() -> dict[str, Model]:
    e, few = ensemble, {"n_estimators": 6, "max_depth": 4, "random_state": 0}
    stumps = {"n_estimators": 5, "random_state": 0}
    return {
        "decision-tree": Model(
            lambda: tree.DecisionTreeClassifier(max_depth=5, random_state=0), "three", options=PLAIN
        ),
        "decision-tree-text": Model(lambda: tree.DecisionTreeClassifier(max_depth=3, random_state=0), "text"),
        "decision-tree-regressor": Model(lambda: tree.DecisionTreeRegressor(max_depth=5, random_state=0), "number"),
        "extra-tree": Model(lambda: tree.ExtraTreeRegressor(max_depth=5, random_state=0), "number"),
        "random-forest": Model(lambda: e.RandomForestClassifier(**few), "two", options=PLAIN),
        "random-forest-default": Model(lambda: e.RandomForestClassifier(**few), "three"),
        "random-forest-int64": Model(lambda: e.RandomForestClassifier(**few), "two", "counts", "int64", options=PLAIN),
        "random-forest-regressor": Model(lambda: e.RandomForestRegressor(**few), "number"),
        "random-forest-two-targets": Model(lambda: e.RandomForestRegressor(**few), "numbers"),
        "extra-trees": Model(lambda: e.ExtraTreesClassifier(**few), "three", options=PLAIN),
        "extra-trees-regressor": Model(lambda: e.ExtraTreesRegressor(**few), "number"),
        "gradient-boosting": Model(lambda: e.GradientBoostingClassifier(**stumps), "two", options=PLAIN),
        "gradient-boosting-three": Model(lambda: e.GradientBoostingClassifier(**stumps), "three", options=PLAIN),
        "gradient-boosting-regressor": Model(lambda: e.GradientBoostingRegressor(**stumps), "number"),
        "hist-gradient-boosting": Model(
            lambda: e.HistGradientBoostingClassifier(max_iter=5, random_state=0), "two", options=PLAIN
        ),
        "hist-gradient-boosting-gaps": Model(lambda: e.HistGradientBoostingRegressor(max_iter=5), "number", "gaps"),
        "ada-boost": Model(lambda: e.AdaBoostClassifier(**stumps), "two", options=PLAIN),
        "ada-boost-regressor": Model(lambda: e.AdaBoostRegressor(**stumps), "number"),
        "bagging": Model(
            lambda: e.BaggingClassifier(tree.DecisionTreeClassifier(max_depth=3), **stumps), "two", options=PLAIN
        ),
        "bagging-regressor": Model(
            lambda: e.BaggingRegressor(tree.DecisionTreeRegressor(max_depth=3), **stumps), "number"
        ),
        "isolation-forest": Model(
            lambda: e.IsolationForest(n_estimators=5, max_samples=32, random_state=0), opset={"": 17, "ai.onnx.ml": 3}
        ),
    }


def composed() -> dict[str, Model]:
    p, log = preprocessing, linear_model.LogisticRegression
    small = tree.DecisionTreeClassifier(max_depth=3, random_state=0)
    named = [("log", log()), ("bayes", naive_bayes.GaussianNB())]
    return {
        "voting-soft": Model(
            lambda: ensemble.VotingClassifier(named, voting="soft", flatten_transform=False), "three", options=PLAIN
        ),
        "voting-hard": Model(lambda: ensemble.VotingClassifier(named, flatten_transform=False), "two", options=PLAIN),
        "voting-regressor": Model(
            lambda: ensemble.VotingRegressor([("a", linear_model.Ridge()), ("b", linear_model.Lasso(0.1))]), "number"
        ),
        "stacking": Model(
            lambda: ensemble.StackingClassifier([("log", log()), ("tree", small)], cv=2), "two", options=PLAIN
        ),
        "stacking-regressor": Model(
            lambda: ensemble.StackingRegressor(
                [("a", linear_model.Ridge()), ("b", svm.LinearSVR(random_state=0))], cv=2
            ),
            "number",
        ),
        "one-vs-rest": Model(lambda: multiclass.OneVsRestClassifier(log()), "three", options=PLAIN),
        "one-vs-one": Model(
            lambda: multiclass.OneVsOneClassifier(svm.LinearSVC(random_state=0)), "three", options=PLAIN
        ),
        "multi-output-regressor": Model(lambda: multioutput.MultiOutputRegressor(linear_model.Ridge()), "numbers"),
        "multi-output-classifier": Model(lambda: multioutput.MultiOutputClassifier(log()), "labels", options=PLAIN),
        "union": Model(
            lambda: chain(pipeline.make_union(p.StandardScaler(), decomposition.PCA(2)), log()),
            "two",
            options=PLAIN,
        ),
        "column-transformer": Model(
            lambda: chain(
                compose.ColumnTransformer([("a", p.StandardScaler(), [0, 1, 2]), ("b", p.MinMaxScaler(), [3, 4])]),
                log(),
            ),
            "two",
            options=PLAIN,
        ),
        "blocks": Model(
            lambda: chain(
                compose.ColumnTransformer([("a", p.StandardScaler(), [0, 1, 2]), ("b", p.MinMaxScaler(), [3, 4, 5])]),
                log(),
            ),
            "two",
            shape="blocks",
            options=PLAIN,
        ),
        "columns": Model(lambda: chain(p.StandardScaler(), log()), "two", shape="columns", options=PLAIN),
        "columns-passthrough": Model(
            lambda: compose.ColumnTransformer([("a", p.RobustScaler(), [0, 2])], remainder="passthrough"),
            shape="columns",
        ),
        "columns-forest": Model(
            lambda: chain(p.StandardScaler(), ensemble.RandomForestClassifier(5, max_depth=4, random_state=0)),
            "two",
            shape="columns",
        ),
    }


def people() -> dict[str, Any]:
    """Pipelines over a data frame with text in it."""
    p, log = preprocessing, linear_model.LogisticRegression
    numbers = ("numbers", p.StandardScaler(), ["age", "income"])
    return {
        "people": chain(compose.ColumnTransformer([numbers, ("text", p.OneHotEncoder(), ["sex", "town"])]), log()),
        "people-unknown": chain(
            compose.ColumnTransformer([numbers, ("text", p.OneHotEncoder(handle_unknown="ignore"), ["town"])]), log()
        ),
        "people-ordinal": chain(
            compose.ColumnTransformer([numbers, ("text", p.OrdinalEncoder(), ["sex", "town"])]),
            ensemble.RandomForestClassifier(5, max_depth=4, random_state=0),
        ),
        "people-imputed": chain(
            compose.ColumnTransformer(
                [
                    ("numbers", chain(impute.SimpleImputer(), p.StandardScaler()), ["income"]),
                    (
                        "text",
                        chain(impute.SimpleImputer(strategy="most_frequent", missing_values=""), p.OneHotEncoder()),
                        ["sex"],
                    ),
                    ("rest", "passthrough", ["age"]),
                ]
            ),
            log(),
        ),
    }


def made() -> Iterator[Made]:
    """Every model of this module."""
    ModelComponentContainer.add_node = _add_node
    for name, each in models().items():
        yield _made(name, each)
    for name, estimator in people().items():
        yield _of_people(name, estimator)


def _made(name: str, each: Model) -> Made:
    rows = tables()[each.rows]
    width = rows.shape[1]
    dtype = {"float": np.float32, "double": np.float64, "int64": np.int64}[each.type]
    typed = rows.astype(dtype)
    wanted = None if each.target is None else target(each.target, rows)[:FIT]
    fitted = each.make().fit(typed[:FIT], wanted) if wanted is not None else each.make().fit(typed[:FIT])
    kind = TYPES[each.type]
    shapes = {
        "matrix": [("X", kind([None, width]))],
        "columns": [(f"f{i}", kind([None, 1])) for i in range(width)],
        "blocks": [("left", kind([None, 3])), ("right", kind([None, width - 3]))],
    }
    options = {id(fitted): dict(each.options)} if each.options else None
    exported = to_onnx(fitted, initial_types=shapes[each.shape], options=options, target_opset=each.opset)
    return Made(name, exported.SerializeToString(), each.rows, said_by(fitted, typed[FIT:]))


def _of_people(name: str, estimator: Any) -> Made:
    rows = tables()["people"]
    frame = pd.DataFrame(rows, columns=list(PEOPLE)).astype({"age": np.int64, "income": np.float32})
    fitted = estimator.fit(frame[:FIT], (frame.age > 50).astype(np.int64)[:FIT])
    kinds = (Int64TensorType, FloatTensorType, StringTensorType, StringTensorType)
    types = [(column, kind([None, 1])) for column, kind in zip(PEOPLE, kinds, strict=True)]
    exported = to_onnx(fitted, initial_types=types)
    return Made(name, exported.SerializeToString(), "people", said_by(fitted, frame[FIT:]))
