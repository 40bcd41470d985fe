"""The gate: models, tensors and bytes that are not what they should be are refused, and nothing else is raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper

from nodes.programs.check import check
from nodes.programs.operators import ML
from nodes.programs.runtime import evaluate
from schemas.errors import BadData, BadProgram
from tests.unit.nodes.programs.gate import I64, gemm, refused
from tests.unit.nodes.programs.models import data, model, node


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
