"""Make the bundled data and models again. Needs scikit-learn, which Sublet itself does not:

    pip install scikit-learn onnx
    python tests/models/make_demo.py [FOLDER]

Writes to FOLDER (default: nodes/demo): `breast_cancer.csv` (id and 30 features), `breast_cancer_labels.csv` (id and
diagnosis, never an input of the demo's job), `breast_cancer_linear.onnx` (standardise, then the linear part of a
logistic regression) and `sigmoid.onnx` (the renter's local program); for the demonstration of two parties
`expected_here.onnx` (in the enclaves: how likely the hospital's model, with an offset for a parameter, takes each row
to be malignant), `expected_both.onnx` (at the insurer: the sum of that, less what a linear model expects by its own
columns) and `offset.onnx` (at the hospital: the next offset). The bundled files were made with
scikit-learn 1.9.1, onnx 1.23.2 and NumPy 2.4.6; the same versions give the same bytes.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
INVERSE_REGULARISATION = 1.0
ITERATIONS_MAX = 1_000
ERRORS = slice(10, 20)
"""The columns of errors, which the hospital has; the insurer has the others."""
STEP = 1 / 55
"""About what Newton's step divides by: the sum of p (1 - p)."""

Numbers = NDArray[np.float64]


def main(folder: Path) -> None:
    """Write all files into `folder`."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    features: Numbers = np.asarray(data.data, dtype=np.float64)
    malignant = [int(target == 0) for target in data.target]  # scikit-learn codes malignant as 0
    columns = [str(name).replace(" ", "_") for name in data.feature_names]
    ids = range(1, len(features) + 1)
    rows = ([i, *row] for i, row in zip(ids, features.tolist(), strict=True))
    _write_csv(folder / "breast_cancer.csv", ["id", *columns], rows)
    _write_csv(folder / "breast_cancer_labels.csv", ["id", "malignant"], zip(ids, malignant, strict=True))
    mean, scale, weights, bias = fit(features, malignant)
    _write(folder / "breast_cancer_linear.onnx", linear_model(columns, mean, scale, weights, bias))
    _write(folder / "sigmoid.onnx", sigmoid_model())
    here, names = features[:, ERRORS], columns[ERRORS]
    theirs, target = np.delete(features, ERRORS, axis=1), np.array(malignant, dtype=np.float64)
    mean, scale, weights, bias = fit(here, malignant, class_weight="balanced")
    _write(folder / "expected_here.onnx", expected_here(names, weights / scale, bias - float(mean / scale @ weights)))
    _write(folder / "expected_both.onnx", expected_both(least_squares(theirs, target)))
    _write(folder / "offset.onnx", offset_model())


def fit(
    features: Numbers, malignant: Sequence[int], class_weight: str | None = None
) -> tuple[Numbers, Numbers, Numbers, float]:
    """Mean and standard deviation per column, weights and bias of the logistic regression on standardised columns."""
    from sklearn.linear_model import LogisticRegression

    mean, scale = features.mean(axis=0), features.std(axis=0)
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=ITERATIONS_MAX, class_weight=class_weight).fit(
        (features - mean) / scale, malignant
    )
    return mean, scale, np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0])


def linear_model(columns: Sequence[str], mean: Numbers, scale: Numbers, weights: Numbers, bias: float) -> ModelProto:
    """`score = (x - mean) / scale @ weights + bias`: float [N, 30] to float [N, 1]."""
    width = len(columns)
    tensors = {"mean": mean, "scale": scale, "weights": weights.reshape(width, 1), "bias": np.array([bias])}
    graph = helper.make_graph(
        [
            helper.make_node("Sub", ["features", "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "scale"], ["standardised"]),
            helper.make_node("Gemm", ["standardised", "weights", "bias"], ["score"]),
        ],
        "breast_cancer_linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in tensors.items()],
    )
    model = _model(graph)
    model.metadata_props.add(key="columns", value=json.dumps(list(columns)))
    return model


def sigmoid_model() -> ModelProto:
    """`probability = 1 / (1 + exp(-score))`: float [N, 1] to float [N, 1]."""
    graph = helper.make_graph(
        [helper.make_node("Sigmoid", ["score"], ["probability"])],
        "sigmoid",
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", 1])],
    )
    return _model(graph)


def least_squares(columns: Numbers, target: Numbers) -> Numbers:
    """Weights of the linear model without a constant, with a ridge of a thousandth of the rows."""
    size = np.sqrt((columns**2).mean(axis=0))
    gram = (columns / size).T @ (columns / size) + len(target) / 1000 * np.eye(len(size))
    weights: Numbers = np.linalg.solve(gram, (columns / size).T @ target) / size
    return weights


def expected_here(columns: Sequence[str], weights: Numbers, bias: float) -> ModelProto:
    """`1 / (1 + exp(-(x @ weights + bias + parameters)))`: double [N, 1], of an input [N, 1] per column and of them."""
    graph = helper.make_graph(
        [
            helper.make_node("Concat", list(columns), ["x"], axis=1),
            helper.make_node("Gemm", ["x", "weights", "bias"], ["score"]),
            helper.make_node("Add", ["score", "parameters"], ["moved"]),
            helper.make_node("Sigmoid", ["moved"], ["p"]),
        ],
        "expected_here",
        [_doubles(name, 1) for name in (*columns, "parameters")],
        [_doubles("p", 1)],
        _constants({"weights": weights.reshape(-1, 1), "bias": np.array([bias])}),
    )
    return _model(graph)


def expected_both(weights: Numbers) -> ModelProto:
    """The sum over rows of what is received, less the sum of `local @ weights`: [N, 1] and [N, 20] to [1, 1]."""
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["local", "weights"], ["here"]),
            helper.make_node("Sub", ["received", "here"], ["each"]),
            helper.make_node("ReduceSum", ["each", "rows"], ["surplus"], keepdims=1),
        ],
        "expected_both",
        [_doubles("received", 1), _doubles("local", len(weights))],
        [helper.make_tensor_value_info("surplus", TensorProto.DOUBLE, [1, 1])],
        [*_constants({"weights": weights.reshape(-1, 1)}), numpy_helper.from_array(np.array([0]), "rows")],
    )
    return _model(graph)


def offset_model() -> ModelProto:
    """`parameters - step * output`: double [1, 1] and [1, 1] to [1, 1]."""
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["output", "step"], ["moved"]),
            helper.make_node("Sub", ["parameters", "moved"], ["following"]),
        ],
        "offset",
        [_doubles("output", 1), _doubles("parameters", 1)],
        [_doubles("following", 1)],
        _constants({"step": np.array([STEP])}),
    )
    return _model(graph)


def _doubles(name: str, width: int) -> ValueInfoProto:
    info: ValueInfoProto = helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N", width])
    return info


def _constants(tensors: Mapping[str, Numbers]) -> list[TensorProto]:
    return [numpy_helper.from_array(np.asarray(array, dtype=np.float64), name) for name, array in tensors.items()]


def _model(graph: object) -> ModelProto:
    model: ModelProto = helper.make_model(
        graph,
        ir_version=IR_VERSION,
        producer_name="sublet",
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    return model


def _write(path: Path, model: ModelProto) -> None:
    path.write_bytes(model.SerializeToString(deterministic=True))


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "nodes" / "demo")
