"""Make the bundled data and models again. Needs scikit-learn, which Sublet itself does not:

    pip install scikit-learn onnx
    python tests/models/make_demo.py [FOLDER]

Writes to FOLDER (default: nodes/demo): `breast_cancer.csv` (id and 30 features), `breast_cancer_labels.csv` (id and
diagnosis, never an input of the demo's job), `breast_cancer_linear.onnx` (standardise, then the linear part of a
logistic regression) and `sigmoid.onnx` (the renter's local program). The bundled files were made with
scikit-learn 1.9.1, onnx 1.23.2 and NumPy 2.4.6; the same versions give the same bytes.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
INVERSE_REGULARISATION = 1.0
ITERATIONS_MAX = 1_000

Numbers = NDArray[np.float64]


def main(folder: Path) -> None:
    """Write the four files into `folder`."""
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


def fit(features: Numbers, malignant: Sequence[int]) -> tuple[Numbers, Numbers, Numbers, float]:
    """Mean and standard deviation per column, weights and bias of the logistic regression on standardised columns."""
    from sklearn.linear_model import LogisticRegression

    mean, scale = features.mean(axis=0), features.std(axis=0)
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=ITERATIONS_MAX).fit(
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
