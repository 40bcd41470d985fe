"""The gate: what it refuses, with which words, and what it lets through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper

from nodes.programs.check import check
from nodes.programs.limits import ProgramLimits
from nodes.programs.operators import ML
from nodes.programs.runtime import evaluate
from schemas.errors import BadData, BadProgram
from tests.unit.nodes.programs.models import data, model, node

I64 = np.int64


def gemm() -> ModelProto:
    return model([node("Gemm", ["x", "w", "b"], ["y"])], constants={"w": np.ones((3, 2)), "b": [0.5, 1.5]})


def refused(made: ModelProto | bytes, **options: Any) -> BadProgram:
    with pytest.raises(BadProgram) as caught:
        check(made if isinstance(made, bytes) else data(made), **options)
    return caught.value


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


# What is refused ------------------------------------------------------------------------------------------------------


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


def external(made: ModelProto) -> None:
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")


def external_without_the_flag(made: ModelProto) -> None:
    made.graph.initializer[0].external_data.add(key="location", value="/etc/hostname")


def short(made: ModelProto) -> None:
    made.graph.initializer[0].raw_data = made.graph.initializer[0].raw_data[:-1]


def giant(made: ModelProto) -> None:
    made.graph.initializer[0].dims[:] = [1 << 40, 1 << 40]


def negative(made: ModelProto) -> None:
    made.graph.initializer[0].dims[:] = [-1, 6]


def twice(made: ModelProto) -> None:
    made.graph.initializer[0].float_data.append(1.0)


def segment(made: ModelProto) -> None:
    made.graph.initializer[0].segment.begin = 0


def axes(made: ModelProto) -> None:
    made.graph.initializer[0].dims[:] = [1] * 60 + [6]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (external, "external data"),
        (external_without_the_flag, "external data"),
        (short, "its dimensions ask for 24"),
        (giant, "at most 16,777,216"),
        (negative, "not allowed"),
        (twice, "does not fit its type"),
        (segment, "segments"),
        (axes, "not allowed"),
    ],
)
def test_a_tensor_that_is_not_what_it_says_is_refused(change: Callable[[ModelProto], None], words: str) -> None:
    made = gemm()
    change(made)
    assert words in str(refused(made))
    assert "tensor 'w'" in str(refused(made))


def test_external_data_in_an_attribute_is_refused() -> None:
    tensor = numpy_helper.from_array(np.ones(3, np.float32), "k")
    made = model([node("Constant", [], ["k"], value=tensor), node("Add", ["x", "k"], ["y"])])
    made.graph.node[0].attribute[0].t.external_data.add(key="location", value="/etc/hostname")
    assert "external data" in str(refused(made))


def functions(made: ModelProto) -> None:
    made.functions.add(name="f")


def training(made: ModelProto) -> None:
    made.training_info.add()


def sparse(made: ModelProto) -> None:
    made.graph.sparse_initializer.add()


def old_ir(made: ModelProto) -> None:
    made.ir_version = 2


def new_opset(made: ModelProto) -> None:
    made.opset_import[0].version = 1_000


def no_opset(made: ModelProto) -> None:
    made.ClearField("opset_import")


def two_opsets(made: ModelProto) -> None:
    made.opset_import.add(domain="ai.onnx", version=18)


def no_input(made: ModelProto) -> None:
    made.graph.ClearField("input")


def text_input(made: ModelProto) -> None:
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING


def fixed_rows(made: ModelProto) -> None:
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def free_columns(made: ModelProto) -> None:
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "F"


def image(made: ModelProto) -> None:
    made.graph.input[0].type.tensor_type.shape.dim.add(dim_value=3)


def shapeless(made: ModelProto) -> None:
    made.graph.input[0].type.tensor_type.ClearField("shape")


def endless_columns(made: ModelProto) -> None:
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1 << 60


def no_output(made: ModelProto) -> None:
    made.graph.ClearField("output")


def made_by_nobody(made: ModelProto) -> None:
    made.graph.output[0].name = "z"


def constant_output(made: ModelProto) -> None:
    made.graph.output[0].name = "w"


def unknown_attribute(made: ModelProto) -> None:
    made.graph.node[0].attribute.append(helper.make_attribute("extra", 1))


def cycle(made: ModelProto) -> None:
    made.graph.node[0].input[2] = "y"


def made_twice(made: ModelProto) -> None:
    made.graph.node.append(node("Neg", ["x"], ["y"]))


def operands(made: ModelProto) -> None:
    made.graph.node[0].input.append("x")


def wrong_width(made: ModelProto) -> None:
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4


def long_name(made: ModelProto) -> None:
    made.graph.input[0].name = made.graph.node[0].input[0] = "é" * 257


def columns_of_unknown_number(made: ModelProto) -> None:
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = -1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (functions, "functions"),
        (training, "training"),
        (sparse, "sparse"),
        (old_ir, "IR version 2"),
        (new_opset, "operator set 1000"),
        (no_opset, "operator set"),
        (two_opsets, "operator set"),
        (no_input, "no input"),
        (text_input, "float, double"),
        (fixed_rows, "fixed number of rows"),
        (free_columns, "number of columns"),
        (image, "3 axes"),
        (shapeless, "its shape"),
        (endless_columns, "10,000 are allowed"),
        (no_output, "has no output"),
        (long_name, "longer than 512 bytes"),
        (columns_of_unknown_number, "number of columns"),
        (made_by_nobody, "nothing makes"),
        (constant_output, "does not depend on its input"),
        (unknown_attribute, "'extra'"),
        (cycle, "nothing before it has made"),
        (made_twice, "exists already"),
        (operands, "4 operands"),
        (wrong_width, "Gemm"),
    ],
)
def test_a_model_beyond_the_rules_is_refused(change: Callable[[ModelProto], None], words: str) -> None:
    made = gemm()
    change(made)
    with pytest.raises(BadProgram, match=words):
        check(data(made))


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


# Bombs ----------------------------------------------------------------------------------------------------------------


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


# Anything at all ------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_nothing_else_is_raised(garbage: bytes) -> None:
    refused(garbage)


def sample() -> bytes:
    nodes = [
        node("Slice", ["x", "s", "e", "a"], ["p"]),
        node("Gemm", ["p", "w", "b"], ["g"], alpha=0.5),
        node("Reshape", ["g", "r"], ["h"]),
        node("Clip", ["h", "", "m"], ["c"]),
        node("ReduceSum", ["c", "a"], ["y"]),
    ]
    constants = {
        "s": np.array([0], I64),
        "e": np.array([2], I64),
        "a": np.array([1], I64),
        "w": np.ones((2, 4)),
        "b": np.ones(4),
        "r": np.array([0, 2, 2], I64),
        "m": np.float32(0.5),
    }
    return data(model(nodes, constants=constants))


SAMPLE = sample()


@given(st.integers(0, len(SAMPLE) - 1))
def test_a_truncated_program_is_refused_or_whole(length: int) -> None:
    try:
        check(SAMPLE[:length])
    except BadProgram:
        return
    assert length > 0


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_program_with_changed_bytes_is_refused_or_runs(changes: list[tuple[int, int]]) -> None:
    changed = bytearray(SAMPLE)
    for position, value in changes:
        changed[position] = value
    try:
        program = check(bytes(changed))
    except BadProgram:
        return
    assert check(program.canonical).canonical == program.canonical
    rows = np.ones((2, program.width_in))
    try:
        result = evaluate(program, rows)
    except (BadData, BadProgram):
        return
    assert result.shape == (1 if program.sum_rows else 2, program.width_out)


@pytest.mark.parametrize("engine", [True, False])
@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("ReduceMean", {"axes": [1], "keepdims": 0.0}),
        ("ReduceMean", {"axes": 1}),
        ("Gemm", {"alpha": 2}),
        ("Cast", {"to": "float"}),
    ],
)
def test_an_attribute_of_another_type_than_the_specification_has_is_refused_and_not_ignored(
    operator: str, attributes: dict[str, Any], engine: bool
) -> None:
    operands = ["x", "x"] if operator == "Gemm" else ["x"]
    with pytest.raises(BadProgram, match=f"{[*attributes][-1]} are of another type"):
        check(data(model([node(operator, operands, ["y"], **attributes)])), engine=engine)


def test_a_list_without_entries_keeps_its_type() -> None:
    made = model([node("LinearRegressor", ["x"], ["y"], domain=ML, coefficients=[2.0] * 3)], {"x": 3})
    made.graph.node[0].attribute.add(name="intercepts", type=AttributeProto.FLOATS)
    program = check(data(made))
    assert evaluate(program, np.ones((1, 3))).tolist() == [[6.0]]
    assert check(program.canonical).digest == program.digest


def test_every_attribute_type_without_a_number_is_refused() -> None:
    for kind in (
        AttributeProto.SPARSE_TENSOR,
        AttributeProto.TYPE_PROTO,
        AttributeProto.TENSORS,
        AttributeProto.UNDEFINED,
    ):
        made = model([node("Flatten", ["x"], ["y"], axis=1)])
        made.graph.node[0].attribute[0].type = kind
        assert "type or size" in str(refused(made))
