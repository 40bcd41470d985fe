"""What programs mean: the types that they declare decide, as in ONNX Runtime, and its errors stay inside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from nodes.programs.check import check
from nodes.programs.runtime import WrongType, evaluate, session
from schemas.errors import BadData, BadProgram
from tests.unit.nodes.programs.models import data, model, node

F32 = np.float32


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7])
@pytest.mark.parametrize("operator", ["Less", "Greater"])
def test_a_float_threshold_is_compared_as_float(operator: str, threshold: float) -> None:
    nodes = [node(operator, ["x", "t"], ["b"]), node("Cast", ["b"], ["y"], to=TensorProto.FLOAT)]
    program = check(data(model(nodes, inputs={"x": 1}, constants={"t": [threshold]})))
    assert evaluate(program, np.array([[threshold]])).tolist() == [[0.0]]


def test_a_double_threshold_is_compared_as_double() -> None:
    nodes = [node("Less", ["x", "t"], ["b"]), node("Cast", ["b"], ["y"], to=TensorProto.FLOAT)]
    made = model(nodes, inputs={"x": 1}, constants={"t": np.array([1], np.int64)})
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    made.graph.initializer[0].CopyFrom(TensorProto(name="t", dims=[1], data_type=TensorProto.DOUBLE, double_data=[0.1]))
    assert evaluate(check(data(made)), np.array([[np.nextafter(0.1, 0)], [0.1]])).tolist() == [[1.0], [0.0]]


DECIDED_IN_FLOAT32: dict[str, tuple[list[Any], list[float], list[float]]] = {
    "rounding down": (
        [node("Mul", ["x", "ten"], ["m"]), node("Floor", ["m"], ["y"])],
        [0.7, 0.1, 16_777_217.0],
        [7.0, 1.0, 167_772_160.0],
    ),
    "whole numbers": (
        [
            node("Mul", ["x", "ten"], ["m"]),
            node("Cast", ["m"], ["i"], to=TensorProto.INT64),
            node("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
        ],
        [0.3, 0.6, 2.9999999999],
        [3.0, 6.0, 30.0],
    ),
    "equality": (
        [node("Equal", ["x", "tenth"], ["b"]), node("Cast", ["b"], ["y"], to=TensorProto.FLOAT)],
        [0.1, 0.1 + 1e-12, 0.1001],
        [1.0, 1.0, 0.0],
    ),
    "the largest": (
        [
            node("Add", ["x", "tiny"], ["t"]),
            node("Concat", ["x", "t"], ["c"], axis=1),
            node("ArgMax", ["c"], ["i"], axis=1),
            node("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
        ],
        [1.0, 0.001, 100.0],
        [0.0, 1.0, 0.0],
    ),
}  # fmt: skip


@pytest.mark.parametrize("label", DECIDED_IN_FLOAT32)
def test_what_a_float_program_decides_it_decides_in_float(label: str) -> None:
    nodes, given, expected = DECIDED_IN_FLOAT32[label]
    constants = {"ten": [10.0], "tenth": [0.1], "tiny": [1e-9]}
    program = check(data(model(nodes, inputs={"x": 1}, constants=constants)))
    assert evaluate(program, np.array(given).reshape(-1, 1)).ravel().tolist() == expected


@pytest.mark.parametrize(
    ("cast", "given", "expected"),
    [
        (node("CastLike", ["x", "half"], ["h"]), 0.1, float(np.float16(F32(0.1)))),
        (node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16), 1e-9, 0.0),
        (node("Cast", ["x"], ["h"], to=TensorProto.INT32), -2.75, -2.0),
        (node("Cast", ["x"], ["h"], to=TensorProto.BOOL), 0.25, 1.0),
    ],
    ids=["like", "tiny", "int32", "bool"],
)
def test_a_cast_there_and_back_loses_what_the_type_does_not_hold(cast: Any, given: float, expected: float) -> None:
    made = model([cast, node("Cast", ["h"], ["y"], to=TensorProto.FLOAT)], inputs={"x": 1})
    made.graph.initializer.append(TensorProto(name="half", dims=[1], data_type=TensorProto.FLOAT16, raw_data=bytes(2)))
    assert evaluate(check(data(made)), np.array([[given]]))[0, 0] == expected


def test_a_cast_to_half_precision_rounds_and_overflows() -> None:
    nodes = [
        node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        node("Cast", ["h"], ["y"], to=TensorProto.FLOAT),
    ]
    program = check(data(model(nodes, inputs={"x": 1})))
    assert evaluate(program, np.array([[0.3]]))[0, 0] == float(np.float16(F32(0.3)))
    with pytest.raises(BadData, match="inf for row 1"):
        evaluate(program, np.array([[70_000.0]]))


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (TensorProto.INT64, 3.0, 1.5),
        (TensorProto.INT64, -(2.0**53), 1e300),
        (TensorProto.INT32, 2.0**31 - 1, 2.0**31),
        (TensorProto.BOOL, 1.0, 2.0),
        (TensorProto.INT64, 0.0, float("nan")),
    ],
)
def test_a_number_that_does_not_fit_its_declared_type_is_refused_with_its_row(
    kind: int, good: float, bad: float
) -> None:
    made = model([node("Cast", ["x"], ["y"], to=TensorProto.DOUBLE)], inputs={"x": 1})
    made.graph.input[0].type.tensor_type.elem_type = kind
    program = check(data(made))
    assert evaluate(program, np.array([[good], [good]])).tolist() == [[good], [good]]
    with pytest.raises(WrongType) as caught:
        evaluate(program, np.array([[good], [bad]]))
    assert (caught.value.row, caught.value.column) == (2, "x")


def test_a_row_alone_gives_what_it_gives_among_others() -> None:
    weights = np.random.default_rng(1).normal(size=(30, 40))
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Tanh", ["h"], ["t"]), node("MatMul", ["t", "v"], ["y"])]
    program = check(data(model(nodes, inputs={"x": 30}, constants={"w": weights, "v": weights.T})))
    rows = np.random.default_rng(2).normal(size=(9, 30))
    np.testing.assert_allclose(evaluate(program, rows[:1]), evaluate(program, rows)[:1], rtol=1e-5, atol=1e-5)
    assert evaluate(program, rows[:0]).shape == (0, 30)


def test_what_the_engine_cannot_run_is_refused_in_words_of_ours() -> None:
    mixed = model([node("Add", ["x", "i"], ["y"])], constants={"i": np.array([424242], np.int64)})
    with pytest.raises(BadProgram, match="a type, a shape or a version is not supported") as caught:
        evaluate(check(data(mixed)), np.zeros((2, 3)))
    assert "tensor(" not in str(caught.value)


@pytest.mark.parametrize(
    "run",
    [
        "from nodes.programs.build import aggregate_sum; from nodes.programs.check import check;"
        "from nodes.programs.runtime import evaluate; import numpy;"
        "evaluate(check(aggregate_sum('a')), numpy.zeros((2, 1)))",
        "import tests.support.exported",
    ],
    ids=["the product", "the tests"],
)
def test_the_engine_is_without_its_telemetry_also_outside_of_a_child(run: str, tmp_path: Path) -> None:
    """Which would open a database below the user's folder, start a thread, and send."""
    look = (
        f"{run}; import os; print(os.listdir('/proc/self/task').__len__(), 'onnxruntime' in __import__('sys').modules)"
    )
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OPENBLAS_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, env=bare)
    assert ran.stdout.split() == ["1", "True"]
    assert list(tmp_path.rglob("*.db*")) == []


def test_a_session_is_made_once() -> None:
    program = check(data(model([node("Neg", ["x"], ["y"])])))
    assert session(program.canonical) is session(check(program.canonical).canonical)
