"""The bundled data and models: what they are and that they fit together."""

from __future__ import annotations

import csv
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from nodes.cli.demonstrate_files import PROGRAMS
from nodes.data.binding import require_chain
from nodes.data.making import make_table
from nodes.data.reading import Reading
from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.programs.runtime import evaluate

DEMO = Path(str(files("nodes.demo")))


def test_the_bundled_model_tells_malignant_from_benign(tmp_path: Path) -> None:
    program = check((DEMO / "breast_cancer_linear.onnx").read_bytes())
    local = check((DEMO / "sigmoid.onnx").read_bytes())
    require_chain(program, local)
    data = make_table(tmp_path / "table", DEMO / "breast_cancer.csv", program, Reading("id"))
    assert (data.rows, len(data.columns)) == (569, 30)
    scores = evaluate(program, data.read(0, data.rows))
    probabilities = evaluate(local, scores)[:, 0]
    with (DEMO / "breast_cancer_labels.csv").open() as file:
        labels = {row["id"]: int(row["malignant"]) for row in csv.DictReader(file)}
    malignant = np.array([labels[row_id] for row_id in data.ids(0, data.rows)])
    assert malignant.sum() == 212
    assert ((probabilities > 0.5) == malignant).mean() > 0.98


def test_the_bundled_model_is_linear_and_the_local_program_is_not() -> None:
    program = check((DEMO / "breast_cancer_linear.onnx").read_bytes())
    rows = np.random.default_rng(1).normal(size=(4, 30))
    compiled = affine(program)
    np.testing.assert_allclose(rows @ compiled.weights + compiled.bias, evaluate(program, rows), rtol=1e-6)
    assert "Sigmoid" in check((DEMO / "sigmoid.onnx").read_bytes()).operators


def test_a_model_of_the_hospitals_and_one_of_the_insurers_agree_after_three_steps() -> None:
    """On pooled columns; the programs of the demonstration of two parties."""
    here, both, offset = (check((DEMO / name).read_bytes()) for name in PROGRAMS)
    with (DEMO / "breast_cancer.csv").open() as file:
        names, *rows = csv.reader(file)
    values = np.array(rows, dtype=np.float64)[:, 1:]
    mine = [names.index(name) - 1 for name in here.input_names[:-1]]
    theirs = np.delete(values, mine, axis=1)
    found, at = [], 0.0
    for _ in range(3):
        each = evaluate(here, np.column_stack([values[:, mine], np.full(len(values), at)]))
        found.append(evaluate(both, np.column_stack([each, theirs])).item())
        at = evaluate(offset, np.array([[found[-1], at]])).item()
    assert abs(found[0]) > 10
    assert abs(found[2]) < 0.5


@pytest.mark.parametrize("words", ["10.24432/C5DW2B", "CC BY 4.0", "Wolberg", "Mangasarian", "Street"])
def test_the_source_of_the_data_is_named(words: str) -> None:
    assert words in (DEMO / "SOURCE.md").read_text()
