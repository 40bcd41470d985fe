"""Programs that take text are divided where numbers come of it; what computes with text otherwise is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper

from nodes.programs.check import check
from nodes.programs.encoder import Encoder, read
from nodes.programs.program import Program
from nodes.programs.runtime import evaluate
from schemas.errors import BadProgram
from tests.support.models import MODELS
from tests.unit.nodes.programs.exported import ml
from tests.unit.nodes.programs.models import data, model, node

ONE_HOT = ml("OneHotEncoder", ["t"], ["o"], cats_strings=["a", "b", "\u00e9"], zeros=1)
FLAT = node("Reshape", ["o", "k"], ["f"])
FLAT_SHAPE = {"k": np.array([-1, 3], np.int64)}
WORDS = ["b", "\u00e9", "a", "z", "b"]
NUMBERS = np.array([[0.5], [1.5], [-2.0], [0.0], [3.0]])


def texts(made: ModelProto, *names: str) -> ModelProto:
    """With inputs of text."""
    for info in made.graph.input:
        if info.name in names:
            info.type.tensor_type.elem_type = TensorProto.STRING
    return made


def ordinal(*more: Any, **attributes: Any) -> ModelProto:
    nodes = [ml("LabelEncoder", ["t"], ["o"], keys_strings=["a", "b"], **attributes), *more]
    return texts(model(nodes, {"t": 1}, outputs=[nodes[-1].output[0]]), "t")


def strings(made: ModelProto, *values: str) -> ModelProto:
    made.graph.initializer.append(
        helper.make_tensor("s", TensorProto.STRING, [len(values)], [v.encode() for v in values])
    )
    return made


CASES: dict[str, ModelProto] = {
    "one-hot beside numbers": texts(
        model(
            [ONE_HOT, FLAT, node("Concat", ["x", "f"], ["c"], axis=1), node("Exp", ["c"], ["y"])],
            {"x": 1, "t": 1},
            constants=FLAT_SHAPE,
        ),
        "t",
    ),
    "ordinal": texts(
        model(
            [
                ml("LabelEncoder", ["t"], ["o"], keys_strings=["a", "b"], values_floats=[1.0, 2.0], default_float=-1.0),
                node("Add", ["o", "x"], ["y"]),
            ],
            {"t": 1, "x": 1},
        ),
        "t",
    ),
    "compared": strings(
        texts(
            model(
                [
                    node("Equal", ["t", "s"], ["e"]),
                    node("Cast", ["e"], ["i"], to=TensorProto.FLOAT),
                    node("Mul", ["i", "x"], ["y"]),
                ],
                {"t": 1, "x": 1},
                opset=19,
            ),
            "t",
        ),
        "b",
    ),
    "a vector, moved first": texts(
        model(
            [
                node("Unsqueeze", ["t", "a"], ["u"]),
                node("Identity", ["u"], ["v"]),
                ml("LabelEncoder", ["v"], ["o"], keys_strings=["a", "b"], values_int64s=[4, 5]),
                node("Cast", ["o"], ["i"], to=TensorProto.FLOAT),
                node("Sub", ["i", "x"], ["y"]),
            ],
            {"t": None, "x": 1},
            constants={"a": np.array([1], np.int64)},
        ),
        "t",
    ),
}


def taken(made: ModelProto) -> tuple[Program, Encoder]:
    program, encoder = read(data(made))
    assert encoder is not None
    return program, encoder


@pytest.mark.parametrize("label", CASES)
def test_the_parts_give_what_the_whole_gives(label: str) -> None:
    made = CASES[label]
    program, encoder = taken(made)
    rows = encoder.encode(NUMBERS, [WORDS])
    vector = len(made.graph.input[-1 if label.startswith("one") else 0].type.tensor_type.shape.dim) == 1
    words = np.array(WORDS, object) if vector else np.array(WORDS, object)[:, None]
    feeds = {"t": words, "x": NUMBERS.astype(np.float32)}
    expected = onnxruntime.InferenceSession(data(made)).run(None, feeds)[0]
    np.testing.assert_allclose(evaluate(program, rows), expected, rtol=1e-6)
    assert check(program.canonical) == program
    assert (encoder.input_names, encoder.width_in) == (tuple(each.name for each in made.graph.input), 2)
    assert not any(word.encode() in program.canonical for word in ("cats_strings", "keys_strings", "\u00e9"))
    assert len(encoder.names(["number"])) == program.width_in


def test_columns_are_named_by_what_they_are_made_of() -> None:
    assert taken(CASES["one-hot beside numbers"])[1].names(["age"]) == ("age", "o_0", "o_1", "o_2")
    assert taken(CASES["ordinal"])[1].names(["age"]) == ("age", "o")


def test_numbers_beside_text_may_be_wider_than_what_is_encoded() -> None:
    made = CASES["one-hot beside numbers"]
    wide = ModelProto.FromString(data(made))
    wide.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    wide.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    program, encoder = taken(wide)
    assert {each.dtype.name for each in program.inputs} == {"float64"}
    got = evaluate(program, encoder.encode(NUMBERS, [WORDS]))
    assert got[:, 0].tolist() == np.exp(NUMBERS[:, 0]).tolist()


def test_columns_picked_out_of_a_matrix_of_text_are_known_by_trying() -> None:
    picked = [ml("ArrayFeatureExtractor", ["both", f"at{each}"], [f"p{each}"]) for each in (0, 1)]
    known = {"keys_strings": ["a", "b"], "values_floats": [1.5, 2.5], "default_float": -1.0}
    numbered = [ml("LabelEncoder", [f"p{each}"], [f"n{each}"], **known) for each in (0, 1)]
    both, joined = node("Concat", ["t", "u"], ["both"], axis=1), node("Concat", ["n1", "n0"], ["y"], axis=1)
    places = {"at0": np.array([0], np.int64), "at1": np.array([1], np.int64)}
    made = model([both, *picked, *numbered, joined], {"t": 1, "u": 1}, constants=places)
    program, encoder = taken(texts(made, "t", "u"))
    rows = encoder.encode(np.zeros((3, 0)), [["a", "b", "z"], ["b", "b", "a"]])
    assert evaluate(program, rows).tolist() == [[2.5, 1.5], [2.5, 2.5], [1.5, -1.0]]


def test_a_program_of_the_classical_operators_only_may_take_text() -> None:
    made = ordinal(ml("Scaler", ["o"], ["y"], offset=[0.0], scale=[2.0]), values_floats=[1.0, 2.0])
    del made.opset_import[0]
    program, encoder = taken(made)
    assert evaluate(program, encoder.encode(np.zeros((2, 0)), [["a", "b"]])).tolist() == [[2.0], [4.0]]


def test_text_may_become_numbers_of_half_precision() -> None:
    nodes = [node("Cast", ["t"], ["h"], to=TensorProto.FLOAT16), node("Cast", ["h"], ["y"], to=TensorProto.FLOAT)]
    program, encoder = taken(texts(model(nodes, {"t": 1}), "t"))
    rows = evaluate(program, encoder.encode(np.zeros((2, 0)), [["1.5", "0.1"]]))
    assert rows.tolist() == [[1.5], [float(np.float16(0.1))]]


def test_what_the_file_says_of_values_inside_decides_nothing() -> None:
    made = ordinal(node("Add", ["o", "o"], ["y"]), values_floats=[1.0, 2.0])
    made.graph.value_info.append(helper.make_tensor_value_info("o", TensorProto.INT64, ["N", 7]))
    program, encoder = taken(made)
    assert evaluate(program, encoder.encode(np.zeros((2, 0)), [["a", "b"]])).tolist() == [[2.0], [4.0]]


def test_a_program_without_text_is_read_as_it_is() -> None:
    raw = data(model([node("Relu", ["x"], ["y"])]))
    assert read(raw) == (check(raw), None)
    with pytest.raises(BadProgram, match="not an ONNX file"):
        read(b"a,b\n")


def test_text_that_the_program_does_not_know_is_refused() -> None:
    strict = ml("OneHotEncoder", ["t"], ["o"], cats_strings=["a", "b", "c"], zeros=0)
    _, encoder = taken(texts(model([strict, FLAT], {"t": 1}, outputs=["f"], constants=FLAT_SHAPE), "t"))
    assert encoder.encode(np.zeros((2, 0)), [["b", "a"]]).tolist() == [[0, 1, 0], [1, 0, 0]]
    with pytest.raises(BadProgram, match="OneHotEncoder"):
        encoder.encode(np.zeros((2, 0)), [["b", "d"]])


KNOWN = ml("LabelEncoder", ["g"], ["y"], keys_strings=["a"], values_floats=[1.0])
REFUSED: dict[str, tuple[ModelProto, str]] = {
    "computes": (texts(model([node("Add", ["t", "t"], ["y"])], {"t": 1}), "t"), "Add: cannot take text"),
    "given back": (texts(model([node("Identity", ["t"], ["y"])], {"t": 1}), "t"), "gives text of its input back"),
    "never used": (texts(model([node("Relu", ["x"], ["y"])], {"t": 1, "x": 1}), "t"), "makes nothing of it"),
    "text again": (ordinal(values_strings=["c", "d"]), "gives text of its input back"),
    "rows that are not free": (texts(model([ONE_HOT], {"t": 1}, outputs=["o"]), "t"), "must be declared as"),
    "not allowed": (
        texts(
            model([node("NonZero", ["x"], ["n"]), node("Gather", ["t", "n"], ["g"]), KNOWN], {"t": 1, "x": 1}),
            "t",
        ),
        "NonZero is not allowed",
    ),
    "numbers of a type that programs do not take": (
        texts(model([node("Cast", ["t"], ["o"], to=TensorProto.UINT8)], {"t": 1}, outputs=["o"]), "t"),
        "not known to be rows of numbers",
    ),
    "a shape that is not known": (
        texts(
            model(
                [node("Cast", ["x"], ["n"], to=TensorProto.INT64), node("Reshape", ["t", "n"], ["g"]), KNOWN],
                {"t": 1, "x": None},
            ),
            "t",
        ),
        "not known to be rows of numbers",
    ),
}
REFUSED["rows that are not free"][0].graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4


@pytest.mark.parametrize("label", REFUSED)
def test_what_cannot_be_divided_is_refused(label: str) -> None:
    made, words = REFUSED[label]
    with pytest.raises(BadProgram, match=words):
        read(data(made))


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes_are_read_or_refused(seed: int) -> None:
    random, raw = np.random.default_rng(seed), (MODELS / "classifiers" / "people.onnx").read_bytes()
    refused = 0
    for _ in range(40):
        flipped = bytearray(raw)
        flipped[random.integers(len(raw))] = random.integers(256)
        try:
            read(bytes(flipped))
        except BadProgram:
            refused += 1
    assert 0 < refused < 40
