"""The gate: programs that would take memory or work without end are refused before anything is made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nodes.programs.check import check
from nodes.programs.limits import ProgramLimits
from nodes.programs.runtime import evaluate
from schemas.errors import BadData
from tests.unit.nodes.programs.gate import I64, gemm, refused
from tests.unit.nodes.programs.models import data, model, node


def test_a_program_that_is_too_long_is_refused_before_it_is_parsed() -> None:
    assert "at most 100 are allowed" in str(
        refused(b"\0" * 101, limits=replace(ProgramLimits(), program_bytes_max=100))
    )


def test_an_expansion_beyond_memory_is_refused() -> None:
    made = model([node("Expand", ["x", "s"], ["y"])], inputs={"x": 1}, constants={"s": np.array([1, 1 << 40], I64)})
    assert refused(made).operator == "Expand"


def test_an_expansion_of_constants_beyond_memory_is_refused() -> None:
    nodes = [node("Expand", ["c", "s"], ["e"]), node("Add", ["x", "e"], ["y"])]
    made = model(nodes, constants={"c": [1.0], "s": np.array([1 << 20, 1 << 20], I64)})
    assert refused(made).operator == "Expand"


@pytest.mark.parametrize(
    ("operator", "operands", "words"),
    [
        ("Expand", [np.array([1, -1], I64)], "negative"),
        ("Reshape", [np.array([-1, -(2**63)], I64)], "negative length"),
        ("Tile", [np.array([1, 1 << 40], I64)], "at most 1,048,576"),
        ("Tile", [np.array([1, -5], I64)], "length -15"),
        ("Pad", [np.array([0, 0, 0, 1 << 20], I64)], "at most 1,048,576"),
        ("Pad", [np.array([0, -(1 << 62), 0, 0], I64)], "pads"),
        ("Gather", [np.array([3], I64)], "index 3 is out of bounds"),
        ("Unsqueeze", [np.arange(1, 500)], "501 axes"),
        ("ReduceSum", [np.array([-3], I64)], "axis -3 does not exist"),
        ("Squeeze", [np.array([-3], I64)], "axis -3 does not exist"),
    ],
)
def test_sizes_and_axes_without_sense_are_refused_before_anything_is_made(
    operator: str, operands: list[Any], words: str
) -> None:
    constants = {f"c{position}": operand for position, operand in enumerate(operands)}
    attributes = {"axis": 1} if operator == "Gather" else {}
    error = refused(model([node(operator, ["x", *constants], ["y"], **attributes)], constants=constants))
    assert error.operator == operator
    assert words in str(error)


def test_doubling_over_and_over_is_refused() -> None:
    nodes = [node("Concat", [f"v{i}", f"v{i}"], [f"v{i + 1}"], axis=1) for i in range(60)]
    made = model([node("Neg", ["x"], ["v0"]), *nodes], outputs=("v60",))
    assert refused(made).operator == "Concat"


def test_an_outer_product_beyond_memory_is_refused() -> None:
    nodes = [
        node("Unsqueeze", ["x", "a"], ["column"]),
        node("Unsqueeze", ["x", "b"], ["row"]),
        node("Mul", ["column", "row"], ["y"]),
    ]
    constants = {"a": np.array([1], I64), "b": np.array([2], I64)}
    assert refused(model(nodes, inputs={"x": 5_000}, constants=constants)).operator == "Mul"


def test_work_without_end_is_refused() -> None:
    nodes = [node("MatMul", ["x", "w"], [f"y{i}"]) for i in range(200)]
    total = node("Sum", [f"y{i}" for i in range(200)], ["y"])
    made = model([*nodes, total], inputs={"x": 1_000}, constants={"w": np.ones((1_000, 1_000))})
    assert "multiplications" in str(refused(made))


def test_moving_without_end_is_refused() -> None:
    large = [node("Unsqueeze", ["x", "a"], ["u"]), node("Expand", ["u", "s"], ["y0"])]
    turns = [node("Transpose", [f"y{i}"], [f"y{i + 1}"], perm=[0, 2, 1]) for i in range(200)]
    total = node("ReduceSum", ["y200", "b"], ["y"])
    constants = {"a": np.array([1], I64), "s": np.array([1, 1_000, 1_000], I64), "b": np.array([1, 2], I64)}
    error = refused(
        model([*large, *turns, total], inputs={"x": 1}, constants=constants),
        limits=ProgramLimits(row_multiplications_max=10_000_000),
    )
    assert error.operator == "Transpose"


def test_too_many_operators_are_refused() -> None:
    made = model([node("Neg", ["x"], [f"y{i}"]) for i in range(2_001)], outputs=("y0",))
    assert "2,001 operators" in str(refused(made))


def test_a_batch_beyond_the_bound_is_refused() -> None:
    program = check(data(gemm()), limits=replace(ProgramLimits(), batch_elements_max=50))
    with pytest.raises(BadData, match="send at most 10"):
        evaluate(program, np.zeros((11, 3)))
