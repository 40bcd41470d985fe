"""How far an error reaches is bounded where that is proved, and is never found to reach further."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from nodes.programs.check import check
from nodes.programs.runtime import evaluate
from nodes.programs.steepness import Steepness, steepness
from tests.unit.nodes.programs.exported import ml
from tests.unit.nodes.programs.models import data, model, node

CLASSIFIER: dict[str, Any] = {
    "coefficients": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
    "intercepts": [0.0, 0.0, 0.0],
    "classlabels_ints": [0, 1, 2],
}


def classified(transform: str, *more: Any) -> tuple[list[Any], dict[str, int]]:
    last = more[-1].output[0] if more else "p"
    nodes = [ml("LinearClassifier", ["x"], ["l", "p"], post_transform=transform, **CLASSIFIER), *more]
    return nodes, {"l": TensorProto.INT64, last: TensorProto.FLOAT}


CASES: dict[str, tuple[list[Any], dict[str, int] | None, Steepness]] = {
    "sigmoid": ([node("Sigmoid", ["x"], ["y"])], None, Steepness(0.25, flips=False)),
    "softmax": ([node("Softmax", ["x"], ["y"], axis=1)], None, Steepness(0.5, flips=False)),
    "one after the other": (
        [node("Sigmoid", ["x"], ["a"]), node("Softmax", ["a"], ["y"], axis=1)],
        None,
        Steepness(0.125, flips=False),
    ),
    "exponential": ([node("Exp", ["x"], ["y"])], None, Steepness(math.inf, flips=False)),
    "a label only": ([node("ArgMax", ["x"], ["y"], axis=1)], {"y": TensorProto.INT64}, Steepness(0.0, flips=True)),
    "whole numbers": (
        [node("Cast", ["x"], ["y"], to=TensorProto.INT64)],
        {"y": TensorProto.INT64},
        Steepness(0.0, True),
    ),
    "double": (
        [node("Cast", ["x"], ["y"], to=TensorProto.DOUBLE)],
        {"y": TensorProto.DOUBLE},
        Steepness(1.0, flips=False),
    ),
    "logistic": (*classified("LOGISTIC"), Steepness(0.25, flips=True)),
    "shares": (*classified("SOFTMAX", ml("Normalizer", ["p"], ["n"], norm="L1")), Steepness(0.5, flips=True)),
    "norms of anything": (
        *classified("LOGISTIC", ml("Normalizer", ["p"], ["n"], norm="L1")),
        Steepness(math.inf, True),
    ),
}


def test_rounding_to_float16_flips_and_so_does_the_label_of_a_support_vector_machine() -> None:
    half = [node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16), node("Cast", ["h"], ["y"], to=TensorProto.FLOAT)]
    assert steepness(check(data(model(half)))) == Steepness(0.0, flips=True)
    attributes = {
        "classlabels_ints": [4, 5],
        "coefficients": [1.0, -1.0],
        "kernel_params": [0.0, 0.0, 0.0],
        "kernel_type": "LINEAR",
        "rho": [0.0],
        "support_vectors": [1.0, 0.0, 0.5, -1.0, 0.25, 2.0],
        "vectors_per_class": [1, 1],
    }
    outputs = {"l": TensorProto.INT64, "s": TensorProto.FLOAT}
    made = model([ml("SVMClassifier", ["x"], list(outputs), **attributes)], outputs=outputs)
    assert steepness(check(data(made))) == Steepness(math.inf, flips=True)


@pytest.mark.parametrize("label", CASES)
def test_a_bound_is_that_of_the_steepest_way(label: str) -> None:
    nodes, outputs, expected = CASES[label]
    program = check(data(model(nodes, outputs=outputs or ("y",))))
    assert steepness(program) == expected
    if not math.isfinite(expected.factor):
        return
    random, error = np.random.default_rng(6), 1e-2
    given = random.normal(size=(500, 3))
    moved = evaluate(program, given + error * random.choice([-1.0, 1.0], size=given.shape)) - evaluate(program, given)
    exact = [column for column in range(program.width_out) if column not in program.whole]
    assert np.abs(moved[:, exact]).max(initial=0.0) <= expected.factor * error + 1e-6
