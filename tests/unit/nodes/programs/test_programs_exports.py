"""Real exports run as they are, row by row, and equal a plain ONNX Runtime; what mixes rows is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import AttributeProto, ModelProto, TensorProto, helper

from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.programs.runtime import evaluate
from schemas.errors import BadProgram
from tests.unit.nodes.programs.exported import exported, ml, outside, rows_for
from tests.unit.nodes.programs.models import data, model, node

I64 = np.int64


@pytest.mark.parametrize("label", exported())
def test_an_export_gives_what_onnx_runtime_gives_outside(label: str) -> None:
    made = exported()[label]
    rows, program = rows_for(made), check(data(made))
    np.testing.assert_allclose(evaluate(program, rows), outside(made, rows), rtol=1e-6, atol=1e-6)
    parts = np.concatenate([evaluate(program, part) for part in (rows[:1], rows[1:8], rows[8:])])
    np.testing.assert_allclose(parts, evaluate(program, rows), rtol=1e-6, atol=1e-6)
    assert check(program.canonical) == program


@pytest.mark.parametrize("label", exported())
def test_on_ciphertext_it_is_refused_without_being_run(label: str) -> None:
    with pytest.raises(BadProgram, match=r"is not linear|cannot be used") as caught:
        check(data(exported()[label]), engine=False)
    assert caught.value.operator in {each.op_type for each in exported()[label].graph.node}
    with pytest.raises(BadProgram, match=r"is not linear|cannot be used"):
        affine(check(data(exported()[label])))


def test_the_labels_of_a_dictionary_name_its_columns() -> None:
    names = check(data(exported()["trees with a dictionary of text"])).output_names
    assert [name.rsplit("_", 1)[-1] for name in names[-3:]] == ["a", "b", "c"]


TEXTS = helper.make_tensor("texts", TensorProto.STRING, [3], [b"a", b"b", "\u00e9".encode()])
UNLABELS = {"keys_strings": ["a"], "values_floats": [1.0]}
LETTERS = ("a", "b", "\u00e9")
LABELS = {"keys_int64s": [0, 1, 2], "values_strings": ["q", "p", "q"], "default_string": "else"}


def labelled(*more: Any) -> ModelProto:
    """The position of a row's largest number, and from there on."""
    kinds = {more[-1].output[0]: TensorProto.STRING, "x2": TensorProto.FLOAT}
    nodes = [node("ArgMax", ["x"], ["at"], axis=1), *more, node("Neg", ["x"], ["x2"])]
    made = model(nodes, outputs=kinds, constants={"k": np.array([-1], I64)})
    if any("texts" in each.input for each in more):
        made.graph.initializer.append(TEXTS)
    return made


@pytest.mark.parametrize(
    ("more", "texts"),
    [
        ([ml("ArrayFeatureExtractor", ["texts", "at"], ["l"])], LETTERS),
        (
            [ml("ArrayFeatureExtractor", ["texts", "at"], ["t"]), node("Reshape", ["t", "k"], ["l"])],
            LETTERS,
        ),
        (
            [node("Gather", ["texts", "at"], ["t"]), node("Cast", ["t"], ["l"], to=TensorProto.STRING)],
            LETTERS,
        ),
        ([ml("LabelEncoder", ["at"], ["t"], **LABELS), node("Identity", ["t"], ["l"])], ("q", "p", "else")),
    ],
    ids=["a list", "a list, reshaped", "a list, cast", "an encoder"],
)
def test_labels_made_of_text_are_positions_in_a_list(more: list[Any], texts: tuple[str, ...]) -> None:
    made = labelled(*more)
    rows = np.random.default_rng(3).normal(size=(40, 3))
    said = onnxruntime.InferenceSession(data(made)).run(["l"], {"x": rows.astype(np.float32)})[0]
    program = check(data(made))
    assert (dict(program.whole), program.width_out) == ({0: texts}, 4)
    assert [texts[int(at)] for at in evaluate(program, rows)[:, 0]] == said.ravel().tolist()
    assert b"else" not in program.canonical
    assert check(program.canonical) == program


@pytest.mark.parametrize(
    "more",
    [
        [node("Gather", ["texts", "at"], ["t"]), node("Equal", ["t", "t"], ["l"])],
        [node("Gather", ["texts", "at"], ["t"]), node("Cast", ["t"], ["l"], to=TensorProto.FLOAT)],
        [node("Gather", ["at", "texts"], ["l"])],
        [node("MatMul", ["x", "texts"], ["l"])],
        [
            node("Gather", ["texts", "at"], ["t"]),
            ml("LabelEncoder", ["t"], ["l"], keys_strings=["a"], values_floats=[1.0]),
        ],
    ],
    ids=["compared", "cast", "looked up by", "multiplied", "encoded"],
)
def test_what_computes_with_text_is_refused_by_name(more: list[Any]) -> None:
    with pytest.raises(BadProgram, match="computes with a label's text") as caught:
        check(data(labelled(*more)))
    assert caught.value.operator == more[-1].op_type


def test_labels_that_are_whole_numbers_are_known_and_text_of_unknown_origin_is_left_out() -> None:
    nodes = [node("ArgMax", ["x"], ["at"], axis=1), node("Cast", ["at"], ["t"], to=TensorProto.STRING)]
    both = model(nodes, outputs={"t": TensorProto.STRING, "at": TensorProto.INT64})
    assert (check(data(both)).outputs, dict(check(data(both)).whole)) == (("at",), {0: ()})
    with pytest.raises(BadProgram, match="gives text only"):
        check(data(model(nodes, outputs={"t": TensorProto.STRING})))


def test_a_list_at_the_end_becomes_outputs() -> None:
    nodes = [
        node("Relu", ["x"], ["r"]),
        node("Softplus", ["x"], ["s"]),
        node("SequenceConstruct", ["r", "s"], ["both"]),
    ]
    program = check(data(model(nodes, outputs=("both",))))
    assert program.output_names == ("r_0", "r_1", "r_2", "s_0", "s_1", "s_2")


@pytest.mark.parametrize("widths", [[1, -1], [-1, 3], [0, 1], [-(1 << 63), 1], []])
def test_widths_by_which_the_engine_would_write_outside_are_refused(widths: list[int]) -> None:
    vector = ml("FeatureVectorizer", ["a", "b"], ["v"])
    vector.attribute.add(name="inputdimensions", type=AttributeProto.INTS, ints=widths)
    made = model([vector, node("Softmax", ["v"], ["y"])], inputs={"a": 1, "b": 1})
    with pytest.raises(BadProgram, match="inputdimensions must be at least 1") as caught:
        check(data(made))
    assert caught.value.operator == "FeatureVectorizer"


def test_several_inputs_are_described_in_their_order() -> None:
    program = check(data(exported()["blocks"]))
    assert [(each.name, each.width, each.dtype.name) for each in program.inputs] == [
        ("a", 3, "float32"),
        ("b", 2, "float32"),
    ]
    assert (program.width_in, program.matrix) == (5, True)


def test_missing_values_go_into_an_imputer() -> None:
    program = check(data(exported()["imputer"]))
    assert evaluate(program, np.array([[np.nan, 0.5, np.nan]])).tolist() == [[1.0, 0.5, 3.0]]


def test_sums_after_what_is_not_linear_add_up_over_batches() -> None:
    nodes = [node("Relu", ["x"], ["r"]), node("ReduceSum", ["r", "a"], ["s"]), node("Mul", ["s", "w"], ["y"])]
    program = check(data(model(nodes, constants={"a": np.array([0], I64), "w": [1.0, 2.0, 3.0]})))
    assert program.sum_rows
    assert evaluate(program, np.array([[1.0, -1.0, 2.0], [1.0, -1.0, 2.0]])).tolist() == [[2.0, 0.0, 12.0]]


AXIS = {"a": np.array([0], I64)}
CUT = {"s": np.array([1], I64), "e": np.array([9], I64)}
MIXED: list[tuple[list[Any], dict[str, Any]]] = [
    ([node("Softmax", ["x"], ["y"], axis=0)], {}),
    ([node("LogSoftmax", ["x"], ["y"], axis=0)], {}),
    ([node("Hardmax", ["x"], ["y"], axis=0)], {}),
    ([node("ArgMax", ["x"], ["y"], axis=0)], {}),
    ([node("ReduceMax", ["x"], ["y"], axes=[0])], {}),
    ([node("ReduceL2", ["x"], ["y"], axes=[0])], {}),
    ([node("ReduceMin", ["x"], ["m"]), node("Sub", ["x", "m"], ["y"])], {}),
    ([node("Relu", ["x"], ["r"]), node("CumSum", ["r", "a"], ["y"])], {"a": np.array(0, I64)}),
    ([node("Relu", ["x"], ["r"]), node("Transpose", ["r"], ["y"])], {}),
    ([node("Relu", ["x"], ["r"]), node("Slice", ["r", "s", "e"], ["y"])], CUT),
    ([node("TopK", ["x", "k"], ["y", "z"], axis=0)], {"k": np.array([2], I64)}),
    ([node("LpNormalization", ["x"], ["y"], axis=0)], {}),
    ([node("Relu", ["x"], ["r"]), node("ReduceSum", ["r", "a"], ["s"]), node("Sigmoid", ["s"], ["y"])], AXIS),
    ([node("Relu", ["x"], ["r"]), node("ReduceSum", ["r", "a"], ["s"]), node("Sub", ["x", "s"], ["y"])], AXIS),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "constants"), MIXED, ids=lambda value: "")
def test_what_mixes_rows_is_refused_by_name(nodes: list[Any], constants: dict[str, Any]) -> None:
    with pytest.raises(BadProgram, match="rows") as caught:
        check(data(model(nodes, constants=constants)))
    assert caught.value.operator in {each.op_type for each in nodes}


def test_a_result_that_depends_on_how_many_rows_there_are_is_refused() -> None:
    nodes = [
        node("Shape", ["x"], ["h"]),
        node("Cast", ["h"], ["n"], to=TensorProto.FLOAT),
        node("ReduceMax", ["n"], ["m"], keepdims=0),
        node("Mul", ["x", "m"], ["y"]),
    ]
    with pytest.raises(BadProgram, match="depends on the other rows"):
        check(data(model(nodes)))


@pytest.mark.parametrize(
    "operator", ["RandomUniformLike", "NonZero", "Unique", "Loop", "If", "LSTM", "SequenceAt", "Bernoulli"]
)
def test_what_the_gate_does_not_know_is_refused_by_name(operator: str) -> None:
    with pytest.raises(BadProgram, match="not allowed") as caught:
        check(data(model([node(operator, ["x"], ["y"])])))
    assert caught.value.operator == operator


def test_training_is_refused() -> None:
    parameters = dict.fromkeys(("s", "b", "m", "v"), np.ones(3))
    made = model([node("BatchNormalization", ["x", *parameters], ["y"], training_mode=1)], constants=parameters)
    with pytest.raises(BadProgram, match="training mode"):
        check(data(made))


def test_an_operator_that_its_operator_set_lacks_is_refused() -> None:
    with pytest.raises(BadProgram, match="does not exist in operator set 17"):
        check(data(model([node("Gelu", ["x"], ["y"])], opset=17)))


def test_names_for_results_in_the_metadata_are_taken_and_must_fit() -> None:
    made = model([node("Relu", ["x"], ["y"])])
    made.metadata_props.add(key="results", value='["p", "q", "r"]')
    assert check(data(made)).output_names == ("p", "q", "r")
    made.metadata_props[0].value = "p,q"
    with pytest.raises(BadProgram, match='"results" must name 3'):
        check(data(made))


@pytest.mark.parametrize("operator", ["Div", "Mod"])
@pytest.mark.parametrize("divisor", [0, -1, None])
def test_whole_numbers_are_not_divided_by_what_would_end_the_process(operator: str, divisor: int | None) -> None:
    nodes = [node("Cast", ["x"], ["i"], to=TensorProto.INT64), node(operator, ["i", "d"], ["y"])]
    constants = {"d": np.array([divisor or 0], I64)}
    if divisor is None:
        nodes.insert(1, node("Cast", ["x"], ["d"], to=TensorProto.INT64))
    made = model(nodes, constants={} if divisor is None else constants)
    with pytest.raises(BadProgram, match="whole numbers by what may be 0 or -1"):
        check(data(made))


SHAPED = [
    node("Shape", ["x"], ["h"]),
    node("Gather", ["h", "place"], ["d"], axis=0),
    node("Cast", ["x"], ["i"], to=TensorProto.INT64),
    node("Div", ["i", "d"], ["q"]),
    node("Softplus", ["x"], ["p"]),
    node("Cast", ["q"], ["f"], to=TensorProto.FLOAT),
    node("Mul", ["f", "p"], ["y"]),
]


def test_whole_numbers_are_divided_by_what_follows_from_the_width() -> None:
    program = check(data(model(SHAPED, constants={"place": np.array([1], I64)})))
    found = evaluate(program, np.array([[9.0, 2.0, -7.0]]))
    np.testing.assert_allclose(found, [[3.0, 0.0, -2.0] * np.log1p(np.exp([9.0, 2.0, -7.0]))], rtol=1e-6)


@pytest.mark.parametrize(
    "divisor",
    [
        [node("Shape", ["x"], ["h"]), node("Gather", ["h", "zero"], ["d"], axis=0)],
        [node("Shape", ["x"], ["h"]), node("Gather", ["h", "one"], ["w"], axis=0), node("Sub", ["w", "three"], ["d"])],
        [node("Sub", ["zero", "one"], ["d"])],
        [node("Mul", ["zero", "one"], ["d"])],
        [node("Softsign", ["x"], ["s"]), node("Cast", ["s"], ["d"], to=TensorProto.INT64)],
    ],
    ids=["rows", "width less itself", "minus one", "zero", "a result"],
)
def test_a_divisor_that_is_computed_is_looked_at_before_it_divides(divisor: list[Any]) -> None:
    constants = {name: np.array([value], I64) for value, name in enumerate(("zero", "one", "two", "three"))}
    with pytest.raises(BadProgram, match="whole numbers by what may be 0 or -1"):
        check(data(model([*divisor, *SHAPED[2:]], constants=constants)))


def test_whole_numbers_and_floats_are_divided_otherwise() -> None:
    nodes = [node("Cast", ["x"], ["i"], to=TensorProto.INT64), node("Mod", ["i", "d"], ["y"])]
    program = check(data(model(nodes, inputs={"x": 1}, constants={"d": np.array([3], I64)})))
    assert evaluate(program, np.array([[7.0], [9.0]])).tolist() == [[1.0], [0.0]]
    made = model([node("Relu", ["x"], ["r"]), node("Exp", ["x"], ["e"]), node("Div", ["r", "e"], ["y"])])
    assert check(data(made)).width_out == 3
