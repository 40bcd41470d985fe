"""Programs are cut where the fewest numbers come back: the two parts give what the whole gives."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.programs.cut import cut
from nodes.programs.linear_inside import opened
from nodes.programs.polynomial import polynomial
from nodes.programs.program import Program
from nodes.programs.runtime import evaluate
from schemas.errors import BadProgram
from tests.support.models import MODELS
from tests.unit.nodes.programs.exported import ml
from tests.unit.nodes.programs.models import data, model, node
from tests.unit.nodes.programs.trees import random_trees, regressor

I64 = np.int64
COLUMNS = 5
W1, W2 = np.linspace(-1, 1, 5).reshape(5, 1), np.linspace(-1, 2, 10).reshape(5, 2)
SCORE = node("MatMul", ["x", "w"], ["s"])

Case = tuple[list[Any], dict[str, Any], dict[str, int] | None, tuple[str, ...]]

CASES: dict[str, Case] = {
    "a sigmoid": ([SCORE, node("Sigmoid", ["s"], ["y"])], {"w": W1}, None, ("s",)),
    "the last of equals": (
        [SCORE, node("Add", ["s", "b"], ["a"]), node("Neg", ["a"], ["n"]), node("Exp", ["n"], ["y"])],
        {"w": W1, "b": [1.0]},
        None,
        ("n",),
    ),
    "before it widens": (
        [
            SCORE,
            node("Neg", ["s"], ["n"]),
            node("Concat", ["n", "s"], ["c"], axis=1),
            node("Softmax", ["c"], ["y"], axis=1),
        ],
        {"w": W1},
        None,
        ("s",),
    ),
    "several values": (
        [
            SCORE,
            node("MatMul", ["x", "v"], ["t"]),
            node("Relu", ["s"], ["r"]),
            node("Sigmoid", ["t"], ["g"]),
            node("Add", ["r", "g"], ["y"]),
        ],
        {"w": W1, "v": W2},
        None,
        ("s", "t"),
    ),
    "a column of its own": (
        [
            node("Split", ["x", "k"], ["one", "rest"], axis=1),
            node("MatMul", ["rest", "w"], ["s"]),
            node("Relu", ["one"], ["r"]),
            node("Mul", ["r", "s"], ["y"]),
        ],
        {"k": np.array([1, 4], I64), "w": W1[:4]},
        None,
        ("one", "s"),
    ),
    "linear results beside others": (
        [SCORE, node("Sigmoid", ["s"], ["p"])],
        {"w": W1},
        {"s": TensorProto.FLOAT, "p": TensorProto.FLOAT},
        ("s",),
    ),
    "a value of three axes": (
        [
            node("MatMul", ["x", "w"], ["s"]),
            node("Reshape", ["s", "k"], ["c"]),
            node("Softmax", ["c"], ["z"], axis=2),
            node("Flatten", ["z"], ["y"]),
        ],
        {"w": W2, "k": np.array([-1, 1, 2], I64)},
        None,
        ("c",),
    ),
    "a value without columns": (
        [SCORE, node("Squeeze", ["s", "k"], ["v"]), node("Tanh", ["v"], ["y"])],
        {"w": W1, "k": np.array([1], I64)},
        None,
        ("v",),
    ),
    "labels by a comparison": (
        [SCORE, node("Greater", ["s", "b"], ["g"]), node("Cast", ["g"], ["y"], to=TensorProto.INT64)],
        {"w": W1, "b": [0.25]},
        {"y": TensorProto.INT64},
        ("s",),
    ),
}


def rows(width: int = COLUMNS, count: int = 64) -> NDArray[np.float64]:
    return np.random.default_rng(3).normal(size=(count, width)).astype(np.float32).astype(np.float64)


def parts_give(program: Program, given: NDArray[np.float64], *, products: bool = False) -> NDArray[np.float64]:
    """As a job does it: coefficients on the columns, and then the rest."""
    found = cut(program, products=products)
    mapped = polynomial(found.beginning) if products else affine(found.beginning)
    columns = np.column_stack([given, *(given[:, list(each)].prod(axis=1) for each in mapped.products)])
    return evaluate(found.rest, columns @ mapped.weights + mapped.bias)


def made(case: Case) -> Program:
    nodes, constants, outputs, _ = case
    return check(data(model(nodes, {"x": COLUMNS}, outputs or ("y",), constants)))


@pytest.mark.parametrize("label", CASES)
def test_the_cut_is_the_last_smallest_set_of_linear_values(label: str) -> None:
    assert cut(made(CASES[label])).at == CASES[label][3]


@pytest.mark.parametrize("label", CASES)
def test_the_parts_give_what_the_whole_gives(label: str) -> None:
    program = made(CASES[label])
    found = cut(program)
    np.testing.assert_allclose(parts_give(program, rows()), evaluate(program, rows()), atol=1e-6)
    np.testing.assert_array_equal(
        evaluate(found.rest, evaluate(found.beginning, rows())), evaluate(program, rows()), "as the renter's own share"
    )
    assert found.rest.output_names == program.output_names
    assert check(found.rest.canonical) == found.rest


REFUSED: dict[str, tuple[ModelProto, str]] = {
    "everything follows a step": (model([node("Relu", ["x"], ["y"])]), "3 numbers per row"),
    "trees": (regressor(random_trees(np.random.default_rng(1))), "3 numbers per row"),
    "as wide as the columns": (
        model([node("MatMul", ["x", "w"], ["s"]), node("Relu", ["s"], ["y"])], constants={"w": np.eye(3)}),
        "3 numbers per row",
    ),
    "a sum over rows": (
        model([node("Relu", ["x"], ["r"]), node("ReduceSum", ["r", "a"], ["y"])], constants={"a": np.array([0], I64)}),
        "adds rows up",
    ),
}


@pytest.mark.parametrize("label", REFUSED)
def test_what_a_cut_gives_nothing_for_is_refused(label: str) -> None:
    program, words = REFUSED[label]
    with pytest.raises(BadProgram, match=words):
        cut(check(data(program)))


def test_whole_numbers_are_not_taken_from_ciphertexts() -> None:
    nodes = [
        node("Gather", ["x", "k"], ["one"], axis=1),
        ml("OneHotEncoder", ["one"], ["o"], cats_int64s=[0, 1], zeros=1),
        node("Flatten", ["o"], ["y"]),
    ]
    whole = model(nodes, {"x": COLUMNS}, constants={"k": np.array([0], I64)})
    whole.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(BadProgram, match="takes whole numbers"):
        cut(check(data(whole)))


SQUARES = [node("Mul", ["x", "x"], ["q"]), node("MatMul", ["q", "w"], ["s"]), node("Sigmoid", ["s"], ["y"])]


def test_rounding_to_float16_comes_after_the_cut() -> None:
    nodes = [
        SCORE,
        node("Cast", ["s"], ["h"], to=TensorProto.FLOAT16),
        node("Cast", ["h"], ["y"], to=TensorProto.FLOAT),
    ]
    found = cut(check(data(model(nodes, inputs={"x": COLUMNS}, constants={"w": W1}))))
    assert found.at == ("s",)
    np.testing.assert_array_equal(evaluate(found.rest, np.array([[0.1]])), [[float(np.float16(0.1))]])


def test_a_regressor_with_a_transform_is_cut_before_it() -> None:
    attributes = {"coefficients": W2.T.ravel().tolist(), "intercepts": [0.5, -0.5], "targets": 2}
    program = check(
        data(model([ml("LinearRegressor", ["x"], ["y"], post_transform="SOFTMAX", **attributes)], {"x": COLUMNS}))
    )
    assert cut(program).beginning.width_out == 2
    np.testing.assert_allclose(parts_give(program, rows()), evaluate(program, rows()), atol=2e-6)


def test_products_move_the_cut_only_where_they_may_and_must() -> None:
    program = check(data(model(SQUARES, {"x": COLUMNS}, constants={"w": W1})))
    with pytest.raises(BadProgram, match="5 numbers per row"):
        cut(program)
    assert cut(program, products=True).at == ("s",)
    np.testing.assert_allclose(parts_give(program, rows(), products=True), evaluate(program, rows()), atol=1e-6)
    after = [SCORE, node("Mul", ["s", "s"], ["q"]), node("Sigmoid", ["q"], ["y"])]
    assert cut(check(data(model(after, {"x": COLUMNS}, constants={"w": W1}))), products=True).at == ("s",)


def random_graph(seed: int) -> tuple[Program, dict[str, int]]:
    """Linear operators of random widths over each other, each also used by a step; and the width of every value."""
    random = np.random.default_rng(seed)
    widths, nodes, constants = {"x": 6}, [], {}
    steps: list[str] = []
    for number in range(int(random.integers(2, 6))):
        name, width = f"v{number}", int(random.integers(1, 5))
        sources = random.choice(list(widths), size=min(len(widths), int(random.integers(1, 3))), replace=False)
        terms = []
        for source in sources:
            constants[f"{name}{source}"] = random.normal(size=(widths[source], width))
            nodes.append(node("MatMul", [source, f"{name}{source}"], [f"{name}/{source}"]))
            widths[f"{name}/{source}"] = width
            terms.append(f"{name}/{source}")
        nodes.append(node("Sum", terms, [name]))
        widths[name] = width
        if random.random() < 0.5 or not steps:
            nodes.append(node("Relu", [name], [f"r{number}"]))
            steps.append(f"r{number}")
    nodes.append(node("Concat", steps, ["y"], axis=1))
    return check(data(model(nodes, {"x": 6}, constants=constants))), widths


def smallest(program: Program, widths: dict[str, int]) -> int:
    """Numbers per row of the smallest cut, by trying every set of values."""

    def separates(chosen: tuple[str, ...]) -> bool:
        reached = {"x"} - set(chosen)
        for each in program.nodes:
            if reached & set(each.inputs):
                reached |= set(each.outputs) - set(chosen)
        return "y" not in reached

    found = [{name for each in program.nodes for name in each.inputs if name in widths}]
    names = sorted(set.union(*found))
    sets = itertools.chain.from_iterable(itertools.combinations(names, size) for size in range(1, 5))
    return min(sum(widths[name] for name in each) for each in sets if separates(each))


@pytest.mark.parametrize("seed", range(12))
def test_no_other_set_of_values_is_smaller(seed: int) -> None:
    program, widths = random_graph(seed)
    least = smallest(program, widths)
    if least >= program.width_in:
        with pytest.raises(BadProgram, match="numbers per row"):
            cut(program)
        return
    found = cut(program)
    assert found.beginning.width_out == least
    np.testing.assert_allclose(parts_give(program, rows(6)), evaluate(program, rows(6)), atol=1e-5)


# Operators that are linear inside -------------------------------------------------------------------------------------


def linear_classifier(transform: str, coefficients: list[list[float]], labels: list[int]) -> ModelProto:
    attributes: dict[str, Any] = {
        "coefficients": np.ravel(coefficients).tolist(),
        "intercepts": np.linspace(-0.5, 0.5, len(coefficients)).tolist(),
        "classlabels_ints": labels,
        "post_transform": transform,
    }
    outputs = {"label": TensorProto.INT64, "scores": TensorProto.FLOAT}
    return model([ml("LinearClassifier", ["x"], list(outputs), **attributes)], {"x": COLUMNS}, outputs)


OPPOSITES = [(-W1[:, 0]).tolist(), W1[:, 0].tolist()]
THREE = np.random.default_rng(2).normal(size=(3, COLUMNS)).tolist()


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
@pytest.mark.parametrize(
    ("coefficients", "labels", "width"),
    [
        (OPPOSITES, [7, 3], 1),
        (THREE, [2, 0, 9], 3),
        ([THREE[0]], [4, 5], 1),
        ([THREE[0], THREE[1], THREE[0]], [1, 2, 3], 3),
    ],
    ids=["opposite rows", "three classes", "one row for two classes", "different intercepts"],
)
def test_a_linear_classifier_is_cut_before_its_transform(
    transform: str, coefficients: list[list[float]], labels: list[int], width: int
) -> None:
    program = check(data(linear_classifier(transform, coefficients, labels)))
    assert cut(program).beginning.width_out == width
    np.testing.assert_allclose(parts_give(program, rows()), evaluate(program, rows()), atol=2e-6)


@pytest.mark.parametrize("name", ["two", "three", "svm"])
def test_exported_classifiers_are_cut_to_a_number_per_class_or_pair(name: str) -> None:
    folder = MODELS / "classifiers"
    program = check((folder / f"{name}.onnx").read_bytes())
    given = np.genfromtxt(folder / "wine.csv", delimiter=",", skip_header=1)
    assert cut(program).beginning.width_out == {"two": 1, "three": 3, "svm": 3}[name]
    np.testing.assert_allclose(parts_give(program, given), evaluate(program, given), atol=1e-5)


def test_a_linear_support_vector_regressor_is_one_sum() -> None:
    random = np.random.default_rng(5)
    attributes = {
        "support_vectors": random.normal(size=20).tolist(),
        "coefficients": random.normal(size=4).tolist(),
        "n_supports": 4,
        "rho": [0.5],
        "kernel_type": "LINEAR",
        "kernel_params": [0.0, 0.0, 0.0],
    }
    program = check(data(model([ml("SVMRegressor", ["x"], ["y"], **attributes)], {"x": COLUMNS})))
    assert cut(program).beginning.width_out == 1
    np.testing.assert_allclose(parts_give(program, rows()), evaluate(program, rows()), atol=1e-5)
    attributes |= {"kernel_type": "RBF", "kernel_params": [0.5, 0.0, 0.0]}
    with pytest.raises(BadProgram, match="numbers per row"):
        cut(check(data(model([ml("SVMRegressor", ["x"], ["y"], **attributes)], {"x": COLUMNS}))))


def test_the_beginning_keeps_the_names_of_columns_and_the_rest_those_of_results() -> None:
    whole = model([SCORE, node("Sigmoid", ["s"], ["p"]), node("Concat", ["p", "p"], ["y"], axis=1)], {"x": COLUMNS})
    whole.graph.initializer.append(numpy_helper.from_array(W1.astype(np.float32), "w"))
    whole.metadata_props.add(key="columns", value="a,b,c,d,e")
    whole.metadata_props.add(key="results", value="p,q")
    found = cut(check(data(whole)))
    assert (found.beginning.column_names, found.rest.output_names) == (("a", "b", "c", "d", "e"), ("p", "q"))
    assert (found.beginning.output_names, found.rest.column_names) == (("s",), ())


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("probability", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_votes_and_ties_are_the_whole_machines(classes: int, probability: bool, transform: str) -> None:
    """Of small whole numbers, which float32 adds up exactly: many sums are 0, many classes get as many votes."""
    random, pairs = np.random.default_rng(classes), classes * (classes - 1) // 2
    kept: dict[str, Any] = {"prob_a": [-0.5] * pairs, "prob_b": [0.25] * pairs} if probability else {}
    attributes = kept | {
        "classlabels_ints": list(range(classes))[::-1],
        "coefficients": random.integers(-2, 3, size=(classes - 1) * 2 * classes).astype(float).tolist(),
        "kernel_params": [0.0, 0.0, 0.0],
        "kernel_type": "LINEAR",
        "post_transform": transform,
        "rho": random.integers(-1, 2, size=pairs).astype(float).tolist(),
        "support_vectors": random.integers(-1, 2, size=2 * classes * 8).astype(float).tolist(),
        "vectors_per_class": [2] * classes,
    }
    outputs = {"l": TensorProto.INT64, "s": TensorProto.FLOAT}
    program = check(data(model([ml("SVMClassifier", ["x"], list(outputs), **attributes)], {"x": 8}, outputs)))
    given = random.integers(-2, 3, size=(200, 8)).astype(float)
    sums = evaluate(cut(program).beginning, given) + attributes["rho"]
    assert (sums == 0).any()
    np.testing.assert_array_equal(parts_give(program, given), evaluate(program, given))


def test_a_machine_of_as_many_pairs_as_columns_stays_whole() -> None:
    attributes = {
        "classlabels_ints": [0, 1, 2, 3],
        "coefficients": [1.0, -1.0, 1.0, -1.0] * 3,
        "kernel_params": [0.0, 0.0, 0.0],
        "kernel_type": "LINEAR",
        "rho": [0.0] * 6,
        "support_vectors": np.eye(4, COLUMNS).ravel().tolist(),
        "vectors_per_class": [1, 1, 1, 1],
    }
    outputs = {"l": TensorProto.INT64, "s": TensorProto.FLOAT}
    program = check(data(model([ml("SVMClassifier", ["x"], list(outputs), **attributes)], {"x": COLUMNS}, outputs)))
    assert [each.op_type for each in ModelProto.FromString(opened(program.canonical)).graph.node] == ["SVMClassifier"]
