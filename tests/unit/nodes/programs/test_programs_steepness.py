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
    "logistic": (*classified("LOGISTIC"), Steepness(0.25, flips=True)),
    "shares": (*classified("SOFTMAX", ml("Normalizer", ["p"], ["n"], norm="L1")), Steepness(0.5, flips=True)),
    "norms of anything": (
        *classified("LOGISTIC", ml("Normalizer", ["p"], ["n"], norm="L1")),
        Steepness(math.inf, True),
    ),
}


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
