"""Distances to constant rows that are written as a Scan: written out, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from nodes.programs.check import check
from nodes.programs.runtime import evaluate
from schemas.errors import BadProgram
from tests.unit.nodes.programs.exported import outside, rows_for
from tests.unit.nodes.programs.models import data, model, node

F = TensorProto.FLOAT
POINTS = np.array([[0.0, 1.0, -1.0], [2.0, 0.5, 0.25], [-3.0, 1.0, 0.0], [0.1, 0.2, 0.3]], np.float32)
STEPS: dict[str, list[Any]] = {
    "euclidean": [
        node("Sub", ["s", "r"], ["d"]),
        node("ReduceSumSquare", ["d"], ["m"], axes=[1], keepdims=0),
    ],
    "manhattan": [
        node("Sub", ["s", "r"], ["d"]),
        node("Abs", ["d"], ["a"]),
        node("ReduceSum", ["a", "axes"], ["m"], keepdims=0),
    ],
    "minkowski": [
        node("Sub", ["s", "r"], ["d"]),
        node("Abs", ["d"], ["a"]),
        node("Pow", ["a", "three"], ["p"]),
        node("ReduceSum", ["p", "axes"], ["m"], keepdims=0),
    ],
    "chebyshev": [
        node("Sub", ["r", "s"], ["d"]),
        node("Abs", ["d"], ["a"]),
        node("ReduceMax", ["a"], ["m"], axes=[1], keepdims=0),
    ],
    "inner product": [
        node("Mul", ["s", "r"], ["d"]),
        node("ReduceSum", ["d", "axes"], ["m"], keepdims=0),
    ],
}


def scan(steps: list[Any], keep: str = "Identity", opset: int = 17) -> ModelProto:
    """The distances [N, M] of rows to `POINTS`, as skl2onnx writes them."""
    body = helper.make_graph(
        [node(keep, ["s"], ["t"]), *steps, node("Identity", ["m"], ["o"])],
        "body",
        [helper.make_tensor_value_info(name, F, None) for name in ("s", "r")],
        [helper.make_tensor_value_info(name, F, None) for name in ("t", "o")],
        [
            numpy_helper.from_array(np.array([1], np.int64), "axes"),
            numpy_helper.from_array(np.array(3.0, np.float32), "three"),
        ],
    )
    nodes = [
        node("Scan", ["x", "points"], ["kept", "found"], body=body, num_scan_inputs=1),
        node("Transpose", ["found"], ["turned"], perm=[1, 0]),
        node("Softplus", ["turned"], ["y"]),
    ]
    return model(nodes, constants={"points": POINTS}, opset=opset)


@pytest.mark.parametrize("metric", STEPS)
def test_distances_to_constant_rows_are_what_onnx_runtime_gives(metric: str) -> None:
    made = scan(STEPS[metric])
    rows, program = rows_for(made), check(data(made))
    np.testing.assert_allclose(evaluate(program, rows), outside(made, rows), rtol=1e-6, atol=1e-6)
    assert "Scan" not in program.operators
    assert check(program.canonical) == program


def test_an_older_operator_set_has_its_axes_elsewhere() -> None:
    made = scan(STEPS["euclidean"], opset=11)
    rows = rows_for(made)
    np.testing.assert_allclose(evaluate(check(data(made)), rows), outside(made, rows), rtol=1e-6, atol=1e-6)


def attribute(made: ModelProto, **more: Any) -> ModelProto:
    made.graph.node[0].attribute.extend(helper.make_attribute(name, value) for name, value in more.items())
    return made


def axes_outside(made: ModelProto) -> ModelProto:
    tensor = made.graph.node[0].attribute[0].g.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")
    return made


REFUSED: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "another operator": (lambda: scan([node("Exp", ["s"], ["d"]), *STEPS["euclidean"][1:]]), "control flow"),
    "a state that changes": (lambda: scan(STEPS["euclidean"], keep="Neg"), "control flow"),
    "a sum over the rows": (
        lambda: scan([node("Sub", ["s", "r"], ["d"]), node("ReduceSumSquare", ["d"], ["m"], axes=[0], keepdims=0)]),
        "control flow",
    ),
    "two reductions": (lambda: scan([*STEPS["euclidean"], *STEPS["euclidean"]]), "control flow"),
    "backwards": (lambda: attribute(scan(STEPS["euclidean"]), scan_output_directions=[1]), "control flow"),
    "rows that depend on the input": (
        lambda: model([node("Scan", ["x", "x"], ["k", "y"], body=scan(STEPS["euclidean"]).graph.node[0].attribute[0].g,
                            num_scan_inputs=1)]),
        "rows must stay independent",
    ),
    "axes in another file": (lambda: axes_outside(scan(STEPS["manhattan"])), "external data"),
}  # fmt: skip


@pytest.mark.parametrize("label", REFUSED)
def test_other_scans_are_refused(label: str) -> None:
    made, reason = REFUSED[label]
    with pytest.raises(BadProgram, match=reason):
        check(data(made()))
