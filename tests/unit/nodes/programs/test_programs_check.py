"""The gate: what it refuses, with which words, and what it lets through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from nodes.programs.check import check
from nodes.programs.runtime import evaluate
from tests.unit.nodes.programs.gate import I64, gemm, refused
from tests.unit.nodes.programs.models import data, model, node


def test_a_program_says_what_it_takes_and_gives() -> None:
    program = check(data(gemm()))
    assert (program.width_in, program.width_out, program.matrix, program.sum_rows) == (3, 2, True, False)
    assert program.input_names == ("x",)
    assert program.output_names == ("y_0", "y_1")
    assert program.operators == {"Gemm"}


def test_the_canonical_program_is_checked_to_itself() -> None:
    program = check(data(gemm()))
    again = check(program.canonical)
    assert again == program
    assert again.canonical == program.canonical
    rows = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(evaluate(again, rows), evaluate(program, rows))


def test_names_comments_and_unused_parts_do_not_change_the_digest() -> None:
    made = gemm()
    digest = check(data(made)).digest
    made.doc_string, made.producer_name, made.graph.name = "a comment", "somebody", "another"
    made.graph.node[0].name = made.graph.node[0].doc_string = "named"
    made.metadata_props.add(key="author", value="somebody")
    made.graph.node.append(node("Sigmoid", ["y"], ["nobody reads this"]))
    made.graph.initializer.append(numpy_helper.from_array(np.ones(5, np.float32), "unused"))
    assert check(data(made)).digest == digest


def test_other_weights_change_the_digest() -> None:
    made = gemm()
    digest = check(data(made)).digest
    made.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full((3, 2), 2.0, np.float32), "w"))
    assert check(data(made)).digest != digest


@pytest.mark.parametrize("where", ["input", "output", "initialiser", "end", "body"])
def test_a_name_that_is_no_text_is_refused_wherever_it_stands(where: str) -> None:
    made = model([node("MatMul", ["x", "w"], ["m"]), node("Relu", ["m"], ["y"])], constants={"w": np.ones((3, 2))})
    if where == "end":
        made.graph.node.append(node("ZipMap", ["xxxx"], ["z"], domain="ai.onnx.ml"))
        made.graph.output[0].name = "z"
    elif where == "body":
        body = helper.make_graph([node("Identity", ["xxxx"], ["b"])], "body", [], [])
        made.graph.node.append(node("Scan", ["x", "w"], ["p", "q"], body=body, num_scan_inputs=1))
    else:
        places = {"input": made.graph.input, "output": made.graph.output, "initialiser": made.graph.initializer}
        places[where][0].name = "xxxx"
    assert "not UTF-8 text" in str(refused(data(made).replace(b"xxxx", b"cop\xc2")))


def test_unknown_fields_are_discarded() -> None:
    plain = data(gemm())
    assert check(plain + b"\xfa\x3e\x05extra").digest == check(plain).digest


def test_several_named_inputs_are_columns_in_their_order() -> None:
    nodes = [node("Sub", ["left", "right"], ["y"])]
    program = check(data(model(nodes, inputs={"left": 1, "right": 1})))
    assert (program.input_names, program.matrix, program.width_in) == (("left", "right"), False, 2)
    np.testing.assert_array_equal(evaluate(program, np.array([[5.0, 2.0], [1.0, 4.0]])), [[3.0], [-3.0]])


def test_an_input_may_be_a_vector_of_rows() -> None:
    program = check(data(model([node("Add", ["a", "a"], ["y"])], inputs={"a": None})))
    np.testing.assert_array_equal(evaluate(program, np.array([[1.0], [2.0]])), [[2.0], [4.0]])


def test_rows_may_be_declared_as_minus_one_for_free() -> None:
    made = gemm()
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    assert check(data(made)) == check(data(gemm()))


def test_several_outputs_stand_side_by_side() -> None:
    nodes = [node("Exp", ["x"], ["e"]), node("Neg", ["x"], ["n"])]
    program = check(data(model(nodes, inputs={"x": 2}, outputs=("n", "e"))))
    assert program.output_names == ("n_0", "n_1", "e_0", "e_1")
    np.testing.assert_allclose(evaluate(program, np.zeros((1, 2))), [[0, 0, 1, 1]])


@pytest.mark.parametrize("written", ['["a", "b", "c"]', "a, b,c"])
def test_metadata_names_the_columns_of_a_matrix(written: str) -> None:
    made = gemm()
    made.metadata_props.add(key="columns", value=written)
    program = check(data(made))
    assert program.column_names == ("a", "b", "c")
    assert check(program.canonical).column_names == ("a", "b", "c")


@pytest.mark.parametrize("written", ['["a", "b"]', "a,a,b", "a,,b", "[1, 2, 3]", "[", "[" * 100_000])
def test_metadata_that_does_not_name_each_column_once_is_refused(written: str) -> None:
    made = gemm()
    made.metadata_props.add(key="columns", value=written)
    assert "columns" in str(refused(made))


def test_metadata_that_names_a_column_twice_is_refused_with_the_number_of_different_names() -> None:
    made = gemm()
    made.metadata_props.add(key="columns", value="a,a,b")
    assert "must name 3 different columns; it names 2" in str(refused(made))


@pytest.mark.parametrize("operator", ["Loop", "If", "Scan"])
def test_control_flow_is_refused_by_name(operator: str) -> None:
    body = helper.make_graph([node("Identity", ["a"], ["b"])], "body", [], [])
    error = refused(model([node(operator, ["x"], ["y"], body=body)]))
    assert error.operator == operator
    assert operator in str(error)
    assert "control flow" in str(error)


def test_a_graph_inside_an_allowed_operator_is_refused() -> None:
    body = helper.make_graph([node("Identity", ["a"], ["b"])], "body", [], [])
    error = refused(model([node("Add", ["x", "x"], ["y"], body=body)]))
    assert error.operator == "Add"
    assert "graph inside" in str(error)


def test_a_graph_hidden_in_an_attribute_of_another_type_is_refused() -> None:
    made = model([node("Flatten", ["x"], ["y"], axis=1)])
    made.graph.node[0].attribute[0].g.CopyFrom(helper.make_graph([], "body", [], []))
    assert "graph inside" in str(refused(made))


@pytest.mark.parametrize("operator", ["RandomNormal", "StringSplit", "LSTM", "NonZero", "TfIdfVectorizer"])
def test_an_operator_outside_the_table_is_refused_by_name(operator: str) -> None:
    error = refused(model([node(operator, ["x"], ["y"])]))
    assert error.operator == operator
    assert f"the operator {operator} is not allowed" in str(error)
    assert "Gemm" in str(error)


@pytest.mark.parametrize(
    ("operator", "attributes", "reason"),
    [
        ("AveragePool", {"kernel_shape": [2, 2], "pads": [1 << 40, 0, 0, 0], "strides": [1 << 39, 1]}, "pads"),
        ("AveragePool", {"kernel_shape": [1 << 12, 1 << 12], "pads": [1 << 12] * 4}, "out of range"),
        ("AveragePool", {"kernel_shape": [3, 3]}, "larger than its padded operand"),
        ("AveragePool", {"kernel_shape": [1]}, "do not fit the axes"),
        ("AveragePool", {"kernel_shape": [1, 1], "strides": [0, 1]}, "out of range"),
        ("AveragePool", {"kernel_shape": [1, 1], "auto_pad": "ELSEWHERE"}, "auto_pad ELSEWHERE"),
        ("DepthToSpace", {"blocksize": 0}, "blocksize"),
        ("SpaceToDepth", {"blocksize": 3}, "blocksize"),
        ("Einsum", {"equation": "abcd->bacd"}, "rows"),
        ("Einsum", {"equation": "a...->a...z"}, "no operand has"),
        ("Einsum", {"equation": "ab->ab"}, "axes"),
        ("Einsum", {"equation": "a1cd->a"}, "equation"),
        ("CumSum", {}, "takes 2"),
    ],
)
def test_windows_and_equations_that_make_no_sense_are_refused(
    operator: str, attributes: dict[str, Any], reason: str
) -> None:
    shape = {"s": np.array([0, 1, 2, 2], dtype=np.int64)}
    nodes = [node("Reshape", ["x", "s"], ["i"]), node(operator, ["i"], ["y"], **attributes)]
    error = refused(model(nodes, inputs={"x": 4}, constants=shape))
    assert error.operator == operator
    assert reason in str(error)


def test_an_operator_of_another_domain_is_refused() -> None:
    assert refused(model([node("Add", ["x", "x"], ["y"], domain="com.example")])).operator == "Add"


def test_a_zipmap_in_the_middle_is_refused() -> None:
    nodes = [node("ZipMap", ["x"], ["z"], domain="ai.onnx.ml"), node("Identity", ["z"], ["y"])]
    assert "at the end only" in str(refused(model(nodes)))


def test_an_unused_operator_outside_the_table_is_refused_too() -> None:
    assert refused(model([node("Neg", ["x"], ["y"]), node("LSTM", ["x"], ["z"])])).operator == "LSTM"


ROWS = [
    ([node("Transpose", ["x"], ["y"])], {}),
    ([node("Softmax", ["x"], ["y"], axis=0)], {}),
    ([node("Concat", ["x", "x"], ["y"], axis=0)], {}),
    ([node("Gather", ["x", "i"], ["y"], axis=0)], {"i": np.array([0], I64)}),
    ([node("Slice", ["x", "i", "j"], ["y"])], {"i": np.array([0], I64), "j": np.array([1], I64)}),
    ([node("Reshape", ["x", "s"], ["y"])], {"s": np.array([3, -1], I64)}),
    ([node("Reshape", ["x", "s"], ["y"])], {"s": np.array([-1], I64)}),
    ([node("MatMul", ["w", "x"], ["y"])], {"w": np.ones((2, 3))}),
    ([node("Gemm", ["x", "w"], ["y"], transA=1)], {"w": np.ones((3, 3))}),
    ([node("Gemm", ["x", "x"], ["y"], transB=1)], {}),
    ([node("ReduceMean", ["x"], ["y"], axes=[0])], {}),
    ([node("ReduceMax", ["x"], ["y"], axes=[0])], {}),
    ([node("ArgMax", ["x"], ["y"], axis=0)], {}),
    ([node("Add", ["x", "c"], ["y"])], {"c": np.ones((3, 3))}),
    ([node("Expand", ["x", "s"], ["y"])], {"s": np.array([3, 3], I64)}),
    ([node("Unsqueeze", ["x", "a"], ["y"])], {"a": np.array([0], I64)}),
    ([node("Reshape", ["x", "s"], ["y"])], {"s": np.array([2, -1], I64)}),
    ([node("Reshape", ["x", "s"], ["y"], allowzero=1)], {"s": np.array([0, 3], I64)}),
    ([node("Flatten", ["x"], ["y"], axis=2)], {}),
    ([node("Trilu", ["x", "k"], ["y"], upper=0)], {"k": np.array(1_000, I64)}),
    ([node("CumSum", ["x", "k"], ["y"])], {"k": np.array(-2, I64)}),
    ([node("Compress", ["x", "k"], ["y"])], {"k": np.ones(3, bool)}),
    ([node("GatherElements", ["x", "i"], ["y"], axis=1)], {"i": np.zeros((2, 2), I64)}),
    ([node("GatherElements", ["x", "i"], ["y"], axis=1)], {"i": np.zeros((3, 2), I64)}),
    ([node("GatherND", ["x", "i"], ["y"], batch_dims=1)], {"i": np.zeros((2, 1), I64)}),
    ([node("Tile", ["x", "i"], ["y"])], {"i": np.array([0, 1], I64)}),
    ([node("Pad", ["x", "i"], ["y"])], {"i": np.array([0, 0, 1, 0], I64)}),
    ([node("Where", ["k", "x", "c"], ["y"])], {"k": np.ones((3, 3), bool), "c": np.ones(3)}),
    ([node("Concat", ["x", "c"], ["y"], axis=1)], {"c": np.ones((2, 1))}),
    ([node("Einsum", ["x", "c"], ["y"], equation="nf,nf->n")], {"c": np.ones((3, 3))}),
    ([node("ReduceSum", ["x", "a"], ["s"]), node("Sub", ["x", "s"], ["y"])], {"a": np.array([0], I64)}),
]


@pytest.mark.parametrize(("nodes", "constants"), ROWS, ids=lambda value: "")
def test_an_operator_that_would_mix_rows_is_refused_by_name(nodes: list[Any], constants: dict[str, Any]) -> None:
    assert refused(model(nodes, constants=constants)).operator == nodes[-1].op_type


def test_a_shape_that_depends_on_the_input_is_refused() -> None:
    nodes = [node("Cast", ["x"], ["i"], to=TensorProto.INT64), node("Reshape", ["x", "i"], ["y"])]
    assert "must be constant" in str(refused(model(nodes)))
