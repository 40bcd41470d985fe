"""Where values may have their rows, what is tried, and what shows that rows are mixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.programs.runtime import evaluate
from schemas.errors import BadProgram
from tests.unit.nodes.programs.exported import ml, outside, rows_for, typed
from tests.unit.nodes.programs.models import data, model, node

I64 = np.int64
SHAPES = {"two": np.array([2, -1], I64), "pairs": np.array([-1, 2], I64), "first": np.array([0], I64)}


@pytest.mark.parametrize("width", [2, 61, 67, 122, 134])
def test_a_program_may_be_as_wide_as_any_number_of_rows_that_is_tried(width: int) -> None:
    assert check(data(model([node("Relu", ["x"], ["y"])], inputs={"x": width}))).width_out == width


TURNED: dict[str, list[Any]] = {
    "there and back": [
        node("Transpose", ["x"], ["t"]),
        node("Relu", ["t"], ["r"]),
        node("Transpose", ["r"], ["y"]),
    ],
    "class by class": [
        node("Softplus", ["x"], ["e"]),
        node("Concat", ["x", "e"], ["c"], axis=0),
        node("Unsqueeze", ["x", "first"], ["u"]),
        node("Unsqueeze", ["e", "first"], ["v"]),
        node("Concat", ["u", "v"], ["s"], axis=0),
        node("ReduceMax", ["s"], ["y"], axes=[0], keepdims=0),
    ],
    "two entries per row": [
        node("Relu", ["x"], ["a"]),
        node("Reshape", ["a", "pairs"], ["p"]),
        node("Sqrt", ["p"], ["y"]),
    ],
    "attention": [
        node("Unsqueeze", ["x", "first"], ["q"]),
        node("Transpose", ["q"], ["k"], perm=[1, 2, 0]),
        node("Transpose", ["q"], ["r"], perm=[1, 0, 2]),
        node("MatMul", ["k", "r"], ["scores"]),
        node("Softmax", ["scores"], ["y"], axis=-1),
    ],
}


@pytest.mark.parametrize("label", TURNED)
def test_rows_may_stand_in_any_axis_on_the_way(label: str) -> None:
    made = model(TURNED[label], inputs={"x": 6}, constants=SHAPES)
    rows, program = rows_for(made), check(data(made))
    np.testing.assert_allclose(evaluate(program, rows), outside(made, rows), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(evaluate(program, rows[::-1]), evaluate(program, rows)[::-1], rtol=1e-6, atol=1e-6)


MIXED: dict[str, list[Any]] = {
    "a softmax over turned rows": [
        node("Transpose", ["x"], ["t"]),
        node("Softmax", ["t"], ["s"], axis=1),
        node("Transpose", ["s"], ["y"]),
    ],
    "results one class after the other": [
        node("Softplus", ["x"], ["e"]),
        node("Concat", ["x", "e"], ["y"], axis=0),
    ],
    "rows of the same class put together": [
        node("Softplus", ["x"], ["e"]),
        node("Concat", ["x", "e"], ["c"], axis=0),
        node("Reshape", ["c", "wide"], ["r"]),
        node("Relu", ["r"], ["y"]),
    ],
    "rows as results": [node("Relu", ["x"], ["r"]), node("Transpose", ["r"], ["y"])],
    "every row with every row": [
        node("Relu", ["x"], ["r"]),
        node("Transpose", ["x"], ["t"]),
        node("MatMul", ["r", "t"], ["y"]),
    ],
    "the largest of all": [
        node("Transpose", ["x"], ["t"]),
        node("ReduceMax", ["t"], ["m"]),
        node("Add", ["x", "m"], ["y"]),
    ],
}


@pytest.mark.parametrize("label", MIXED)
def test_mixing_rows_shows_wherever_they_stand(label: str) -> None:
    made = model(MIXED[label], inputs={"x": 6}, constants=SHAPES | {"wide": np.array([-1, 12], I64)})
    with pytest.raises(BadProgram, match="rows must stay independent"):
        check(data(made))


def encoder(kind: int, *after: Any, **attributes: Any) -> Any:
    nodes = [node("Cast", ["c"], ["i"], to=TensorProto.INT64), ml("OneHotEncoder", ["i"], ["o"], **attributes), *after]
    return typed(model(nodes, inputs={"c": 1}), kind)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.INT64])
@pytest.mark.parametrize("known", [[0, 1, 2], [3, 5, 9], [-1, 1000]])
def test_an_encoder_that_takes_known_categories_only_is_tried_with_those(kind: int, known: list[int]) -> None:
    program = check(data(encoder(kind, node("Relu", ["o"], ["y"]), cats_int64s=known, zeros=0)))
    assert evaluate(program, np.array([[float(known[1])]])).ravel().tolist() == [
        float(each == known[1]) for each in known
    ]


def test_rows_that_are_mixed_after_an_encoder_show() -> None:
    made = encoder(TensorProto.FLOAT, node("Softmax", ["o"], ["y"], axis=0), cats_int64s=[70, 80, 90], zeros=1)
    with pytest.raises(BadProgram, match="depends on the other rows"):
        check(data(made))


def test_a_category_that_is_not_known_is_said_to_be_that() -> None:
    program = check(data(encoder(TensorProto.INT64, node("Relu", ["o"], ["y"]), cats_int64s=[3, 5], zeros=0)))
    with pytest.raises(BadProgram, match="a category that it does not know") as caught:
        evaluate(program, np.array([[3.0], [4.0]]))
    assert caught.value.operator == "OneHotEncoder"


@pytest.mark.parametrize("kind", [TensorProto.INT32, TensorProto.BOOL, TensorProto.FLOAT16])
def test_categories_that_no_row_can_hold_are_refused_as_such(kind: int) -> None:
    made = encoder(kind, node("Relu", ["o"], ["y"]), cats_int64s=[1 << 40, 1 << 41], zeros=0)
    with pytest.raises(BadProgram, match="a category that it does not know"):
        check(data(made))


def embedding() -> Any:
    """A mean of rows of a table that the input chooses, times weights."""
    nodes = [
        node("Gather", ["t", "c"], ["e"]),
        node("ReduceMean", ["e"], ["m"], axes=[1], keepdims=0),
        node("MatMul", ["m", "w"], ["y"]),
    ]
    return typed(model(nodes, inputs={"c": 4}, constants={"t": np.eye(5, 3), "w": np.ones((3, 2))}), TensorProto.INT64)


def test_rows_may_choose_from_a_constant_table() -> None:
    program = check(data(embedding()))
    assert evaluate(program, np.array([[0.0, 1.0, 2.0, 4.0]])).tolist() == [[0.75, 0.75]]
    with pytest.raises(BadProgram, match="Gather: an operator of the program failed"):
        evaluate(program, np.array([[0.0, 1.0, 2.0, 5.0]]))


def test_choosing_from_a_table_is_not_for_ciphertexts() -> None:
    with pytest.raises(BadProgram, match="Gather"):
        check(data(embedding()), engine=False)
    with pytest.raises(BadProgram, match="Gather"):
        affine(check(data(embedding())))


def test_a_result_of_the_number_of_rows_is_none() -> None:
    nodes = [node("Shape", ["x"], ["s"]), node("Cast", ["s"], ["f"], to=TensorProto.FLOAT), node("Relu", ["f"], ["y"])]
    with pytest.raises(BadProgram, match="does not depend on its input"):
        check(data(model(nodes)))
