"""Make the bundled scikit-learn models and what scikit-learn says of the demo's rows again. Sublet needs neither:

    pip install scikit-learn skl2onnx
    python tests/models/make_models.py [FOLDER]

Fitted on the features of `nodes/demo/breast_cancer.csv`: `mlp.onnx` (standardise, two hidden layers; label and
probabilities of the diagnosis), `forest.onnx` (a random forest of 100 trees, the same outputs), `boosting.onnx` (100
gradient-boosted trees, a regression of the diagnosis) and `expected.csv`, a line per row of the demo's data. The
bundled files were made with scikit-learn 1.9.1, skl2onnx 1.20.0, onnx 1.23.2 and NumPy 2.4.6.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEMO = Path(__file__).resolve().parents[2] / "nodes" / "demo"
SEED = 20
TREES = 100
Numbers = NDArray[np.float64]


def main(folder: Path) -> None:
    """Write the four files into `folder`."""
    columns, features = read(DEMO / "breast_cancer.csv")
    labels = read(DEMO / "breast_cancer_labels.csv")[1][:, 0]
    expected: dict[str, Numbers] = {}
    for name, fitted in models(features, labels).items():
        write(folder / f"{name}.onnx", fitted, columns)
        if hasattr(fitted, "predict_proba"):
            expected[f"{name}_label"] = fitted.predict(features)
            for position, column in enumerate(fitted.predict_proba(features).T):
                expected[f"{name}_probabilities_{position}"] = column
        else:
            expected[f"{name}_variable"] = fitted.predict(features)
    with (folder / "expected.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(expected)
        writer.writerows([f"{value:.9g}" for value in row] for row in zip(*expected.values(), strict=True))


def read(path: Path) -> tuple[list[str], Numbers]:
    """The columns behind the id, by name."""
    with path.open(newline="") as file:
        (_, *names), *rows = csv.reader(file)
    return names, np.array([[float(value) for value in row[1:]] for row in rows])


def models(features: Numbers, labels: Numbers) -> dict[str, Any]:
    """The fitted models by name."""
    from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network = MLPClassifier(hidden_layer_sizes=(64, 32), max_iter=1000, random_state=SEED)
    classes = labels.astype(np.int64)
    return {
        "mlp": make_pipeline(StandardScaler(), network).fit(features, classes),
        "forest": RandomForestClassifier(TREES, max_depth=8, random_state=SEED).fit(features, classes),
        "boosting": GradientBoostingRegressor(n_estimators=TREES, random_state=SEED).fit(features, labels),
    }


def write(path: Path, fitted: Any, columns: list[str]) -> None:
    """Export a model whose metadata names its columns."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    options = {"zipmap": False} if hasattr(fitted, "predict_proba") else {}
    exported = to_onnx(fitted, initial_types=[("features", FloatTensorType([None, len(columns)]))], options=options)
    exported.metadata_props.add(key="columns", value=json.dumps(columns))
    path.write_bytes(exported.SerializeToString())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
