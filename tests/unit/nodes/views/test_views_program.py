"""A program explained: what each protection would run, why not all, and what is known of what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto

from nodes.programs.build import aggregate_sum, linear
from nodes.views.frameworks import FRAMEWORKS, frameworks_of
from nodes.views.program import ProgramView, ProtectionView, ResultView, explain
from tests.support.models import MODELS, program
from tests.unit.nodes.programs.models import data, model, node

SQUARES = [node("Mul", ["x", "x"], ["q"]), node("MatMul", ["q", "w"], ["s"])]
WEIGHTS = {"w": np.ones((3, 1))}
CASES: dict[str, tuple[bytes, tuple[Any, ...]]] = {
    "linear": (linear({"a": [1.0], "b": [2.0]}, [0.0]), ("all", 1, None, "")),
    "a sum over rows": (aggregate_sum("a"), ("all", 1, None, "")),
    "a default export": ((MODELS / "classifiers" / "three.onnx").read_bytes(), ("beginning", 1, 3, "")),
    "trees": (program("forest"), ("nothing", 0, None, "")),
    "a polynomial": (data(model(SQUARES, outputs=["s"], constants=WEIGHTS)), ("all", 2, None, "--results-stay")),
    "a polynomial, and on": (
        data(model([*SQUARES, node("Sigmoid", ["s"], ["y"])], constants=WEIGHTS)),
        ("beginning", 2, 1, "--results-stay"),
    ),
}


def on_ciphertext(view: ProgramView) -> ProtectionView:
    return next(each for each in view.protections if each.protection == "homomorphic")


@pytest.mark.parametrize("label", CASES)
def test_it_says_what_ciphertexts_would_compute(label: str) -> None:
    raw, (runs, degree, numbers, needs) = CASES[label]
    view = explain(raw)
    found = on_ciphertext(view)
    assert (found.runs, found.degree, found.cut.numbers if found.cut else None) == (runs, degree, numbers)
    assert needs in found.needs
    assert bool(found.needs) == bool(needs)
    assert bool(found.reason) == (runs != "all")
    assert [(each.protection, each.runs) for each in view.protections[1:]] == [
        ("enclave", "all"),
        ("sealed-result", "all"),
    ]


def test_inputs_columns_results_and_sizes_are_those_of_the_program() -> None:
    view = explain((MODELS / "classifiers" / "two.onnx").read_bytes())
    assert [(each.name, each.type, each.shape[1]) for each in view.inputs] == [("X", "float", 13)]
    assert view.columns == ()
    assert view.results == (
        ResultView(name="output_label", kind="text", texts=("barbera, dry", "barolo")),
        ResultView(name="probabilities_barbera, dry", kind="number"),
        ResultView(name="probabilities_barolo", kind="number"),
    )
    assert [each.name for each in view.frameworks] == ["scikit-learn"]
    assert {name: size for name, (size, _) in view.sizes.items()} | {"bytes": 0, "numbers per row": 0} == {
        "bytes": 0,
        "operators": 4,
        "columns": 13,
        "results": 3,
        "numbers per row": 0,
    }
    assert all(size <= most for size, most in view.sizes.values())
    assert explain(aggregate_sum("age")).columns == ("age",)
    assert explain(program("forest")).results[0].kind == "whole number"


def text_input() -> ModelProto:
    made = model([node("Identity", ["x"], ["y"])])
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    made.producer_name = "pytorch"
    return made


def test_inputs_of_text_are_shown_as_encoded_here() -> None:
    view = explain((MODELS / "classifiers" / "people.onnx").read_bytes())
    assert (view.columns, view.encoded) == (("sex", "age", "town", "income"), ("sex", "town"))
    assert [each.type for each in view.inputs] == ["string", "int64", "string", "double"]
    assert (view.sizes["columns"][0], on_ciphertext(view).runs) == (7, "beginning")


def test_what_is_refused_is_shown_as_far_as_its_file_says_anything() -> None:
    view = explain(data(text_input()))
    assert "gives text of its input back" in view.refused
    assert [(each.name, each.type) for each in view.inputs] == [("x", "string")]
    assert (view.operators, view.protections, view.results) == ({"Identity": 1}, (), ())
    assert [each.name for each in view.frameworks] == ["PyTorch"]
    made = model([node("NonZero", ["x"], ["y"])])
    assert explain(data(made)).operator == "NonZero"


@pytest.mark.parametrize("raw", [b"", b"a,b\n1,2\n", b"\x08"])
def test_what_is_no_model_has_nothing_to_show(raw: bytes) -> None:
    view = explain(raw)
    assert view.refused
    assert (view.inputs, dict(view.operators), view.protections, view.frameworks) == ((), {}, (), ())


def test_a_program_that_no_message_can_hold_is_refused() -> None:
    wide = explain(linear({f"c{column}": [1.0] for column in range(5_000)}, [0.0]))
    assert "5,000 columns" in wide.refused


@pytest.mark.parametrize(
    ("producer", "names"),
    [
        ("skl2onnx", ["scikit-learn"]),
        ("OnnxMLTools", ["XGBoost", "LightGBM"]),
        ("tf2onnx", ["Keras"]),
        ("keras2onnx", ["Keras"]),
    ],
)
def test_advice_is_that_of_what_wrote_the_file(producer: str, names: list[str]) -> None:
    assert [each.name for each in frameworks_of(producer)] == names
    assert frameworks_of("somebody") == frameworks_of("") == FRAMEWORKS
