"""Affine maps of whole graphs, sums over rows, and the programs that are built from a few numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from nodes.programs.build import aggregate_sum, linear_from_csv
from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.programs.runtime import combine, evaluate
from schemas.errors import BadData, BadProgram
from tests.unit.nodes.programs.exported import ml
from tests.unit.nodes.programs.models import data, model, node

I64 = np.int64
WIDTH = 3


@st.composite
def linear_graphs(draw: st.DrawFn) -> bytes:
    """A chain of linear operators with random constants; some steps read an earlier value again."""
    number = st.floats(-4, 4, width=32)
    constants: dict[str, Any] = {"all": np.array([1], I64), "three": np.array([0, WIDTH], I64)}
    nodes, known = [], ["x"]
    for step in range(draw(st.integers(1, 8))):
        read, other, made, c = draw(st.sampled_from(known)), draw(st.sampled_from(known)), f"v{step}", f"c{step}"
        kind = draw(
            st.sampled_from(["Add", "Sub", "Mul", "Div", "MatMul", "Gemm", "Neg", "Both", "Mean", "Mix", "Take"])
        )
        shape = (WIDTH, WIDTH) if kind in ("MatMul", "Gemm") else (WIDTH,)
        constants[c] = np.array(draw(st.lists(number, min_size=9, max_size=9)))[: int(np.prod(shape))].reshape(shape)
        if kind == "Div":
            constants[c] = np.where(np.abs(constants[c]) < 0.25, 0.5, constants[c])
        if kind == "Neg":
            nodes.append(node("Neg", [read], [made]))
        elif kind == "Both":
            nodes.append(node("Add", [read, other], [made]))
        elif kind == "Mean":
            nodes.append(node("ReduceMean", [read], [f"m{step}"], axes=[1]))
            nodes.append(node("Add", [f"m{step}", other], [made]))
        elif kind == "Mix":
            nodes.append(node("Concat", [read, other], [f"m{step}"], axis=1))
            nodes.append(node("Slice", [f"m{step}", "all", "two", "all", "one"], [f"n{step}"]))
            nodes.append(node("Reshape", [f"n{step}", "three"], [made]))
            constants |= {"two": np.array([1 + WIDTH], I64), "one": np.array([1], I64)}
        elif kind == "Take":
            constants[c] = np.array(draw(st.permutations(range(WIDTH))), I64)
            nodes.append(node("Gather", [read, c], [made], axis=1))
        else:
            nodes.append(node(kind, [c, read] if kind == "Sub" else [read, c], [made]))
        known.append(made)
    return data(model(nodes, inputs={"x": WIDTH}, outputs=(known[-1],), constants=constants))


@given(linear_graphs(), st.integers(0, 2**32 - 1))
def test_the_affine_map_of_a_linear_graph_equals_the_program(graph: bytes, seed: int) -> None:
    program = check(graph)
    compiled = affine(program)
    rows = np.random.default_rng(seed).normal(size=(5, WIDTH))
    expected = evaluate(program, rows)
    scale = 1 + np.abs(rows).max() * np.abs(compiled.weights).max(initial=0) + np.abs(compiled.bias).max(initial=0)
    np.testing.assert_allclose((rows @ compiled.weights + compiled.bias) / scale, expected / scale, atol=1e-5)


@given(linear_graphs())
def test_batches_of_rows_give_what_all_rows_give(graph: bytes) -> None:
    program = check(graph)
    rows = np.random.default_rng(3).normal(size=(7, WIDTH))
    parts = np.concatenate([evaluate(program, part) for part in (rows[:2], rows[2:2], rows[2:])])
    scale = 1 + np.abs(parts).max()
    np.testing.assert_allclose(parts / scale, evaluate(program, rows) / scale, atol=1e-6)


def test_a_large_constant_does_not_cost_the_weights_their_digits() -> None:
    made = model(
        [node("Sub", ["x", "mean"], ["c"]), node("Mul", ["c", "w"], ["y"])],
        inputs={"x": 1},
        constants={"mean": [1e15], "w": [0.1]},
    )
    assert affine(check(data(made))).weights[0, 0] == np.float64(np.float32(0.1))


def test_a_linear_part_before_a_sigmoid_is_told_to_move_it() -> None:
    made = model([node("MatMul", ["x", "w"], ["s"]), node("Sigmoid", ["s"], ["y"])], constants={"w": np.ones((3, 1))})
    with pytest.raises(BadProgram, match=r"Sigmoid is not linear.*--protection enclave.*--local-program") as caught:
        affine(check(data(made)))
    assert caught.value.operator == "Sigmoid"


def test_the_first_operator_that_is_not_linear_is_named() -> None:
    made = model([node("Relu", ["x"], ["r"]), node("Sigmoid", ["r"], ["y"])])
    with pytest.raises(BadProgram) as caught:
        affine(check(data(made)))
    assert caught.value.operator == "Relu"


def test_rounding_to_float16_is_not_linear() -> None:
    nodes = [node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16), node("Cast", ["h"], ["y"], to=TensorProto.FLOAT)]
    with pytest.raises(BadProgram, match="Cast is not linear"):
        affine(check(data(model(nodes))))


def test_columns_of_float16_are_not_compiled() -> None:
    made = model([node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)])
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    with pytest.raises(BadProgram, match="inputs of float, or use --protection enclave"):
        affine(check(data(made)))


def test_weights_rounded_to_float16_are_compiled_as_rounded() -> None:
    nodes = [
        node("Cast", ["w"], ["h"], to=TensorProto.FLOAT16),
        node("Cast", ["h"], ["v"], to=TensorProto.FLOAT),
        node("Mul", ["x", "v"], ["y"]),
    ]
    program = check(data(model(nodes, inputs={"x": 1}, constants={"w": [0.1]})))
    assert affine(program).weights.tolist() == [[float(np.float16(0.1))]]


@pytest.mark.parametrize("transform", ["LOGISTIC", "SOFTMAX"])
def test_a_regressor_with_a_transform_runs_and_is_not_linear(transform: str) -> None:
    attributes = {"coefficients": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], "targets": 2, "post_transform": transform}
    program = check(data(model([ml("LinearRegressor", ["x"], ["y"], **attributes)])))
    powers = np.exp([0.5, -1.0])
    expected = powers / powers.sum() if transform == "SOFTMAX" else powers / (1 + powers)
    np.testing.assert_allclose(evaluate(program, np.array([[0.5, -1.0, 9.0]]))[0], expected, rtol=1e-6)
    with pytest.raises(BadProgram, match="LinearRegressor is not linear"):
        affine(program)


def test_a_product_of_columns_is_not_linear() -> None:
    with pytest.raises(BadProgram, match="Mul is not linear when several of its operands") as caught:
        affine(check(data(model([node("Mul", ["x", "x"], ["y"])]))))
    assert caught.value.operator == "Mul"


def test_operators_on_constants_alone_may_be_anything() -> None:
    made = model([node("Exp", ["c"], ["e"]), node("Mul", ["x", "e"], ["y"])], constants={"c": [0.0, 0.0, 0.0]})
    np.testing.assert_array_equal(affine(check(data(made))).weights, np.eye(3))


def test_a_division_by_zero_in_the_weights_is_refused() -> None:
    made = model([node("Div", ["x", "c"], ["y"])], constants={"c": [0.0, 1.0, 1.0]})
    with pytest.raises(BadProgram, match="not finite"):
        affine(check(data(made)))


# Sums over rows -------------------------------------------------------------------------------------------------------


def sum_then_linear(*, keepdims: int) -> bytes:
    nodes = [
        node("Mul", ["x", "f"], ["m"]),
        node("ReduceSum", ["m", "rows"], ["s"], keepdims=keepdims),
        node("MatMul", ["s", "w"], ["p"]),
        node("Add", ["p", "b"], ["y"]),
    ]
    constants = {"f": [1.0, 2.0, 3.0], "rows": np.array([0], I64), "w": [[1, 0.5], [2, 0], [0, -1]], "b": [10.0, 20.0]}
    return data(model(nodes, constants={name: np.array(value) for name, value in constants.items()}))


@pytest.mark.parametrize("keepdims", [0, 1])
def test_a_sum_over_rows_gives_one_row(keepdims: int) -> None:
    program = check(sum_then_linear(keepdims=keepdims))
    rows = np.arange(12.0).reshape(4, 3)
    expected = (rows * [1, 2, 3]).sum(axis=0) @ np.array([[1, 0.5], [2, 0], [0, -1]]) + [10, 20]
    assert program.sum_rows
    np.testing.assert_allclose(evaluate(program, rows), [expected])


@pytest.mark.parametrize("keepdims", [0, 1])
def test_sums_of_batches_combine_and_the_constant_counts_once(keepdims: int) -> None:
    program = check(sum_then_linear(keepdims=keepdims))
    rows = np.random.default_rng(5).normal(size=(10, 3))
    parts = [evaluate(program, rows[:4]), evaluate(program, rows[4:7]), evaluate(program, rows[7:])]
    np.testing.assert_allclose(combine(program, parts), evaluate(program, rows), rtol=1e-5)


@pytest.mark.parametrize("keepdims", [0, 1])
def test_the_affine_map_of_a_sum_takes_the_summed_columns(keepdims: int) -> None:
    program = check(sum_then_linear(keepdims=keepdims))
    compiled = affine(program)
    rows = np.random.default_rng(5).normal(size=(10, 3))
    assert compiled.sum_rows
    np.testing.assert_allclose(
        [rows.sum(axis=0) @ compiled.weights + compiled.bias], evaluate(program, rows), rtol=1e-5
    )


@pytest.mark.parametrize("keepdims", [0, 1])
def test_a_sum_has_no_rows_left_and_may_be_laid_out_anew(keepdims: int) -> None:
    nodes = [
        node("ReduceSum", ["x", "rows"], ["s"], keepdims=keepdims),
        node("Reshape", ["s", "square"], ["q"]),
        node("Transpose", ["q"], ["t"]),
        node("Slice", ["t", "rows", "one"], ["y"]),
    ]
    constants = {"rows": np.array([0], I64), "square": np.array([2, 2], I64), "one": np.array([1], I64)}
    program = check(data(model(nodes, inputs={"x": 4}, constants=constants)))
    rows = np.arange(12.0).reshape(3, 4)
    compiled = affine(program)
    assert evaluate(program, rows).tolist() == [[12.0, 18.0]]
    assert (rows.sum(axis=0) @ compiled.weights + compiled.bias).tolist() == [12.0, 18.0]


def test_a_sum_over_everything_gives_one_number() -> None:
    program = check(data(model([node("ReduceSum", ["x"], ["y"], keepdims=0)])))
    rows = np.arange(6.0).reshape(2, 3)
    assert evaluate(program, rows).tolist() == [[15.0]]
    np.testing.assert_array_equal(affine(program).weights, np.ones((3, 1)))


def test_an_operator_that_is_not_linear_may_stand_before_the_sum_but_not_after() -> None:
    rows = {"rows": np.array([0], I64)}
    before = model([node("Exp", ["x"], ["e"]), node("ReduceSum", ["e", "rows"], ["y"])], constants=rows)
    np.testing.assert_allclose(evaluate(check(data(before)), np.zeros((4, 3))), [[4, 4, 4]])
    after = model([node("ReduceSum", ["x", "rows"], ["s"]), node("Sqrt", ["s"], ["y"])], constants=rows)
    with pytest.raises(BadProgram, match="after a sum over rows") as caught:
        check(data(after))
    assert caught.value.operator == "Sqrt"


def test_a_constant_added_to_every_row_before_the_sum_cannot_be_compiled() -> None:
    made = model(
        [node("Add", ["x", "c"], ["a"]), node("ReduceSum", ["a", "rows"], ["y"])],
        constants={"c": [1.0, 0.0, 0.0], "rows": np.array([0], I64)},
    )
    program = check(data(made))
    np.testing.assert_allclose(evaluate(program, np.zeros((4, 3))), [[4, 0, 0]])
    with pytest.raises(BadProgram, match="number of rows") as caught:
        affine(program)
    assert caught.value.operator == "ReduceSum"


def test_results_per_row_and_sums_cannot_be_one_program() -> None:
    made = model(
        [node("Neg", ["x"], ["n"]), node("ReduceSum", ["x", "rows"], ["s"])],
        outputs=("n", "s"),
        constants={"rows": np.array([0], I64)},
    )
    with pytest.raises(BadProgram, match="two programs"):
        check(data(made))


def test_results_per_row_cannot_be_combined() -> None:
    with pytest.raises(BadProgram, match="sums over rows"):
        combine(check(data(model([node("Neg", ["x"], ["y"])]))), [])


# Evaluation -----------------------------------------------------------------------------------------------------------


def test_rows_of_another_width_are_refused_with_both_numbers() -> None:
    with pytest.raises(BadData, match=r"takes 3 columns.*\[2, 4\]"):
        evaluate(check(data(model([node("Neg", ["x"], ["y"])]))), np.zeros((2, 4)))


def test_a_result_that_is_not_finite_names_its_row_and_column() -> None:
    program = check(data(model([node("Log", ["x"], ["y"])])))
    with pytest.raises(BadData, match="result y_2 is nan for row 2") as caught:
        evaluate(program, np.array([[1.0, 1, 1], [1, 1, -1]]))
    assert (caught.value.row, caught.value.column) == (2, "y_2")


def test_no_rows_give_no_results() -> None:
    made = model([node("Softmax", ["x"], ["s"]), node("Flatten", ["s"], ["y"])])
    assert evaluate(check(data(made)), np.zeros((0, 3))).shape == (0, 3)


# Built programs -------------------------------------------------------------------------------------------------------


def test_a_table_of_weights_becomes_a_linear_program() -> None:
    program = check(linear_from_csv("name,weight\nage,2\nincome,-0.5\nbias,10\n"))
    assert (program.column_names, program.output_names) == (("age", "income"), ("result",))
    assert evaluate(program, np.array([[3.0, 4.0]])).tolist() == [[14.0]]
    compiled = affine(program)
    assert (compiled.weights.tolist(), compiled.bias.tolist()) == ([[2.0], [-0.5]], [10.0])


def test_a_table_of_weights_may_have_several_outputs_and_no_bias() -> None:
    program = check(linear_from_csv("\ufeffname,low,high\r\na,1,2\r\nb,3,4\r\n"))
    assert program.output_names == ("low", "high")
    assert evaluate(program, np.array([[1.0, 1.0]])).tolist() == [[4.0, 6.0]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "header"),
        ("name,weight\n", "header"),
        ("name\na\n", "header"),
        ("name,weight\na,one\n", "line 2"),
        ("name,weight\na,1\nb,nan\n", "line 3"),
        ("name,weight\na,1\na,2\n", "line 3.*twice"),
        ("name,weight\na,1\nbias,1\nintercept,2\n", "line 4.*second"),
        ("name,weight\na,1,2\n", "line 2.*3 fields"),
        ("name,weight\nbias,1\n", "every column"),
        ("name,p,p\na,1,2\n", "different names"),
    ],
)
def test_weights_that_cannot_be_read_are_refused_naming_the_line(text: str, words: str) -> None:
    with pytest.raises(BadProgram, match=words):
        linear_from_csv(text)


@pytest.mark.parametrize("column", ["amount", "rows", "sum", "günther / 3"])
def test_the_sum_of_a_column_is_a_program(column: str) -> None:
    program = check(aggregate_sum(column))
    assert (program.input_names, program.matrix, program.sum_rows) == ((column,), False, True)
    assert evaluate(program, np.array([[1.0], [2.0], [4.0]])).tolist() == [[7.0]]
    assert affine(program).weights.tolist() == [[1.0]]


def test_a_sum_without_a_column_is_refused() -> None:
    with pytest.raises(BadProgram, match="name"):
        aggregate_sum("")
