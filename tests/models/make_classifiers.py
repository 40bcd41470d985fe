"""Make the classifiers in `classifiers/` again, as scikit-learn and its exporter give them with default options:

    pip install scikit-learn skl2onnx pandas
    python tests/models/make_classifiers.py [FOLDER]

Fitted on the wines that scikit-learn brings (178 rows, 13 columns, written to `wine.csv`), with text labels: a pipeline
that standardises and regresses, of three classes and of two (`three.onnx`, `two.onnx`), a linear support vector machine
(`svm.onnx`) and a random forest (`forest.onnx`). For each, `NAME.csv` holds what scikit-learn predicts: the label, and
the probabilities where it gives any. `people.onnx` takes columns of text: a pipeline over a DataFrame as pandas reads
it (`people.csv`, made up), which standardises numbers and one-hot encodes the rest. Made with scikit-learn 1.9.1 and
skl2onnx 1.20.0.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent / "classifiers"
TEXTS = np.array(["barbera, dry", "barolo", "grignolino"])
Numbers = NDArray[np.float32]


def main(folder: Path) -> None:
    """Write all files into `folder`."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_wine

    found = load_wine()
    rows: Numbers = found.data.astype(np.float32)
    write(folder / "wine.csv", [name.replace("/", "_") for name in found.feature_names], rows.astype(str).tolist())
    write_people(folder)
    for name, fitted in models(rows, found.target).items():
        (folder / f"{name}.onnx").write_bytes(to_onnx(fitted, rows[:1]).SerializeToString())
        labels = [[label] for label in fitted.predict(rows)]
        if hasattr(fitted, "predict_proba"):
            labels = [[*label, *each] for label, each in zip(labels, fitted.predict_proba(rows).tolist(), strict=True)]
        write(folder / f"{name}.csv", ["label", *fitted.classes_][: len(labels[0])], labels)


def write_people(folder: Path) -> None:
    """A pipeline over a DataFrame with text in it."""
    import pandas  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from skl2onnx import to_onnx
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    random = np.random.default_rng(4)
    frame = pandas.DataFrame(
        {
            "sex": random.choice(["F", "M"], 60),
            "age": random.integers(18, 90, 60),
            "town": random.choice(["Oslo", "São Paulo", "Bonn, am Rhein"], 60),
            "income": random.normal(3000, 500, 60).round(2),
        }
    )
    encoded = make_column_transformer((StandardScaler(), ["age", "income"]), (OneHotEncoder(), ["sex", "town"]))
    fitted = make_pipeline(encoded, LogisticRegression()).fit(frame, np.where(frame.age > 50, "old", "young"))
    frame.to_csv(folder / "people.csv", index=False, lineterminator="\n")
    (folder / "people.onnx").write_bytes(to_onnx(fitted, frame[:1]).SerializeToString())
    labels = [[label, *each] for label, each in zip(fitted.predict(frame), fitted.predict_proba(frame), strict=True)]
    write(folder / "people-scores.csv", ["label", *fitted.classes_], labels)


def models(rows: Numbers, classes: NDArray[np.intp]) -> dict[str, Any]:
    """The fitted models by name."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    two, three = TEXTS[(classes > 0).astype(int)], TEXTS[classes]
    return {
        "two": make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, two),
        "three": make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, three),
        "svm": make_pipeline(StandardScaler(), SVC(kernel="linear")).fit(rows, three),
        "forest": RandomForestClassifier(5, max_depth=3, random_state=0).fit(rows, three),
    }


def write(path: Path, names: list[str], rows: list[list[Any]]) -> None:
    """A table."""
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([names, *rows])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
