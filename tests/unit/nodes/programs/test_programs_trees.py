"""Tree ensembles: what ONNX Runtime gives for them, and everything that is no tree."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, TensorProto

from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.programs.limits import ProgramLimits
from nodes.programs.runtime import evaluate
from schemas.errors import BadProgram
from tests.unit.nodes.programs.models import data
from tests.unit.nodes.programs.trees import (
    BRANCHES,
    Listed,
    attribute,
    classifier,
    ensemble,
    random_trees,
    regressor,
    stump,
)


def rows(random: np.random.Generator, count: int = 400) -> NDArray[np.float64]:
    """Whole numbers and halves, so that rows meet thresholds exactly."""
    return random.integers(-8, 9, size=(count, 3)) / 2.0


def oracle(made: ModelProto, given_rows: NDArray[np.float64]) -> NDArray[np.float64]:
    session = onnxruntime.InferenceSession(data(made), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"x": given_rows.astype(np.float32)})
    return np.concatenate([np.asarray(each, dtype=np.float64).reshape(len(given_rows), -1) for each in outputs], axis=1)


def assert_like_oracle(made: ModelProto, given_rows: NDArray[np.float64]) -> None:
    program = check(data(made))
    assert check(program.canonical).digest == program.digest
    np.testing.assert_allclose(evaluate(program, given_rows), oracle(made, given_rows), atol=1e-5)


@pytest.mark.parametrize("modes", [*((mode,) for mode in BRANCHES), BRANCHES], ids=lambda modes: "+".join(modes)[:20])
@pytest.mark.parametrize("seed", range(3))
def test_a_regressor_compares_as_onnx_runtime_does(seed: int, modes: tuple[str, ...]) -> None:
    random = np.random.default_rng(seed)
    assert_like_oracle(regressor(random_trees(random, modes=modes)), rows(random))


@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE"])
def test_a_regressor_with_targets_and_base_values(aggregate: str) -> None:
    random = np.random.default_rng(4)
    listed = random_trees(random, targets=3)
    options = {"base_values": [1.0, -2.0, 0.5], "aggregate_function": aggregate}
    assert_like_oracle(regressor(listed, targets=3, **options), rows(random))


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("base", [[], [0.5, -0.25, 0.125]], ids=["plain", "base"])
def test_a_classifier_of_several_classes(transform: str, base: list[float]) -> None:
    random = np.random.default_rng(5)
    options = {"post_transform": transform} | ({"base_values": base} if base else {})
    assert_like_oracle(classifier(random_trees(random, targets=3), [4, 7, 9], **options), rows(random))


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC"])
@pytest.mark.parametrize("base", [[], [0.25]], ids=["plain", "base"])
@pytest.mark.parametrize("positive", [True, False], ids=["positive", "signed"])
def test_a_classifier_of_two_classes_that_scores_one(positive: bool, transform: str, base: list[float]) -> None:
    random = np.random.default_rng(6)
    listed = random_trees(random)
    if positive:
        listed.leaves = [(tree, number, 0, abs(weight) / 8) for tree, number, _, weight in listed.leaves]
    options = {"post_transform": transform} | ({"base_values": base} if base else {})
    assert_like_oracle(classifier(listed, [0, 1], **options), rows(random))


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX"])
def test_a_classifier_of_two_classes_that_scores_both(transform: str) -> None:
    random = np.random.default_rng(9)
    made = classifier(random_trees(random, targets=2), [0, 1], post_transform=transform)
    del made.graph.output[0]  # engines do not agree on the label where both scores have one sign
    assert_like_oracle(made, rows(random))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("aggregate", [0, 1], ids=["average", "sum"])
def test_an_ensemble_of_operator_set_5(seed: int, aggregate: int) -> None:
    random = np.random.default_rng(seed)
    made = ensemble(random_trees(random, modes=BRANCHES), aggregate_function=aggregate)
    assert_like_oracle(made, rows(random))


def test_a_missing_number_goes_where_the_node_says() -> None:
    random = np.random.default_rng(7)
    listed = random_trees(random, modes=BRANCHES[:4])
    tracks = [int(flag) for flag in random.integers(0, 2, len(listed.modes))]
    made = regressor(listed, nodes_missing_value_tracks_true=tracks)
    with_gaps = rows(random)
    with_gaps[random.random(with_gaps.shape) < 0.3] = np.nan
    np.testing.assert_allclose(evaluate(check(data(made)), with_gaps), oracle(made, with_gaps), atol=1e-5)


def test_a_number_falls_on_the_side_of_the_float32_it_rounds_to() -> None:
    threshold = float(np.float32(0.1))
    listed = stump()
    listed.values[0] = threshold
    program = check(data(regressor(listed)))
    beside = np.array([[threshold + 1e-12, 0, 0], [float(np.nextafter(np.float32(0.1), np.float32(1))), 0, 0]])
    assert evaluate(program, beside).tolist() == [[10.0], [20.0]]


def test_a_double_threshold_is_compared_as_double() -> None:
    listed = stump()
    listed.values[0] = 0.1
    made = ensemble(listed, double=True)
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    program = check(data(made))
    assert evaluate(program, np.array([[0.1, 0, 0], [np.nextafter(0.1, 1), 0, 0]])).tolist() == [[10.0], [20.0]]


def test_no_rows_give_no_results() -> None:
    assert evaluate(check(data(regressor(stump()))), np.zeros((0, 3))).shape == (0, 1)


@pytest.mark.parametrize("made", [regressor(stump()), classifier(stump(), [0, 1]), ensemble(stump())])
def test_homomorphic_protection_refuses_trees_naming_the_operator(made: ModelProto) -> None:
    with pytest.raises(BadProgram) as refused:
        affine(check(data(made)))
    assert refused.value.operator == made.graph.node[0].op_type
    assert "--protection enclave" in str(refused.value)


# What is no tree.


def chain(steps: int) -> Listed:
    """One tree that is a single path of so many steps."""
    listed = Listed()
    for step in range(steps):
        listed.node(0, 2 * step, "BRANCH_LEQ", 0.0, 0, 2 * step + 2, 2 * step + 1)
        listed.node(0, 2 * step + 1, "LEAF")
    listed.node(0, 2 * steps, "LEAF")
    listed.leaves.append((0, 2 * steps, 0, 1.0))
    return listed


def itself(listed: Listed) -> None:
    listed.truenodeids[0] = 0


def cycle_apart(listed: Listed) -> None:
    listed.node(0, 3, "BRANCH_LEQ", 0.0, 0, 4, 5)
    listed.node(0, 4, "BRANCH_LEQ", 0.0, 0, 3, 6)
    listed.node(0, 5, "LEAF")
    listed.node(0, 6, "LEAF")


def cycle_alone(listed: Listed) -> None:
    listed.modes = ["BRANCH_LEQ"] * 3
    listed.truenodeids, listed.falsenodeids = [1, 2, 0], [2, 0, 1]
    listed.leaves = [(0, 1, 0, 0.0)]


def stranger(listed: Listed) -> None:
    listed.truenodeids[0] = 99


def child_of_another_tree(listed: Listed) -> None:
    listed.treeids[1] = 1


def twice_the_number(listed: Listed) -> None:
    listed.nodeids[2] = 1


def feature_below(listed: Listed) -> None:
    listed.featureids[0] = -1


def feature_beyond(listed: Listed) -> None:
    listed.featureids[0] = 3


def weight_on_a_branch(listed: Listed) -> None:
    listed.leaves[0] = (0, 0, 0, 10.0)


def target_beyond(listed: Listed) -> None:
    listed.leaves[0] = (0, 1, 1, 10.0)


def target_below(listed: Listed) -> None:
    listed.leaves[0] = (0, 1, -1, 10.0)


def short_list(listed: Listed) -> None:
    listed.featureids.pop()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (itself, "cycle"),
        (cycle_apart, "cycle"),
        (cycle_alone, "cycle"),
        (stranger, "does not exist"),
        (child_of_another_tree, "does not exist"),
        (twice_the_number, "same number"),
        (feature_below, "before the first"),
        (feature_beyond, "failed on these rows"),
        (weight_on_a_branch, "not a leaf"),
        (target_beyond, "outside of its 1"),
        (target_below, "outside of its 1"),
        (short_list, "different lengths"),
    ],
)
def test_what_is_no_tree_is_refused_naming_the_operator(change: Callable[[Listed], None], words: str) -> None:
    listed = stump()
    change(listed)
    with pytest.raises(BadProgram, match=words) as refused:
        check(data(regressor(listed)))
    assert refused.value.operator == "TreeEnsembleRegressor"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("n_targets", 0, "0 results"),
        ("n_targets", 1 << 40, "results; 1 to"),
        ("nodes_modes", ["LEAF"] * 2, "different lengths"),
        ("nodes_modes", [1, 2, 3], "nodes_modes are of another type"),
    ],
)
def test_attributes_that_cannot_be_used_are_refused(name: str, value: object, words: str) -> None:
    with pytest.raises(BadProgram, match=words):
        check(data(attribute(regressor(stump()), name, value)))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("nodes_truenodeids", [7], "does not exist"),
        ("nodes_falsenodeids", [-1], "does not exist"),
        ("nodes_trueleafs", [0], "does not exist|cycle"),
        ("tree_roots", [1], "root that does not exist"),
        ("leaf_targetids", [0, 5], "result that does not exist"),
    ],
)
def test_an_ensemble_that_is_none_is_refused(name: str, value: object, words: str) -> None:
    with pytest.raises(BadProgram, match=words) as refused:
        check(data(attribute(ensemble(stump()), name, value)))
    assert refused.value.operator == "TreeEnsemble"


def test_the_bounds_of_depth_and_of_nodes() -> None:
    deepest = ProgramLimits().tree_depth_max
    assert evaluate(check(data(regressor(chain(deepest)))), np.full((1, 3), -1.0)).tolist() == [[1.0]]
    with pytest.raises(BadProgram, match=f"deeper than {deepest}"):
        check(data(regressor(chain(deepest + 1))))
    with pytest.raises(BadProgram, match="nodes"):
        check(data(regressor(chain(2))), limits=ProgramLimits(tree_nodes_max=4))


def test_a_child_may_be_shared_as_splits_on_categories_are_exported() -> None:
    listed = Listed()
    listed.node(0, 0, "BRANCH_EQ", 1.0, 0, 2, 1)
    listed.node(0, 1, "BRANCH_EQ", 4.0, 0, 2, 3)
    listed.node(0, 2, "LEAF")
    listed.node(0, 3, "LEAF")
    listed.leaves += [(0, 2, 0, 10.0), (0, 3, 0, 20.0)]
    program = check(data(regressor(listed)))
    assert evaluate(program, np.array([[1.0, 0, 0], [4.0, 0, 0], [2.0, 0, 0]])).tolist() == [[10.0], [10.0], [20.0]]


def test_a_whole_branch_may_be_shared_by_several_categories() -> None:
    listed = Listed()
    for number, category in enumerate((1.0, 4.0, 6.0)):
        listed.node(0, number, "BRANCH_EQ", category, 0, 3, number + 1 if number < 2 else 4)
    listed.node(0, 3, "BRANCH_LEQ", 0.5, 1, 5, 6)
    for number in (4, 5, 6):
        listed.node(0, number, "LEAF")
    listed.leaves += [(0, 4, 0, 10.0), (0, 5, 0, 20.0), (0, 6, 0, 30.0)]
    made = regressor(listed)
    rows = np.array([[c, x, 0.0] for c in (0.0, 1.0, 2.0, 4.0, 6.0, np.nan) for x in (0.25, 0.75)])
    outside = onnxruntime.InferenceSession(data(made)).run(None, {"x": rows.astype(np.float32)})[0]
    found = evaluate(check(data(made)), rows)
    assert found.tolist() == outside.tolist()
    assert found.ravel().tolist()[:4] == [10.0, 10.0, 20.0, 30.0]


def test_a_leaf_may_be_shared_in_a_classifier() -> None:
    listed = Listed()
    listed.node(0, 0, "BRANCH_EQ", 2.0, 0, 2, 1)
    listed.node(0, 1, "BRANCH_EQ", 3.0, 0, 2, 3)
    listed.node(0, 2, "LEAF")
    listed.node(0, 3, "LEAF")
    listed.leaves += [(0, 2, 0, 1.0), (0, 3, 1, 1.0)]
    made, rows = classifier(listed, [5, 7, 9]), np.array([[2.0, 0, 0], [3.0, 0, 0], [1.0, 0, 0]])
    label, scores = onnxruntime.InferenceSession(data(made)).run(None, {"x": rows.astype(np.float32)})
    found = evaluate(check(data(made)), rows)
    assert found.tolist() == np.column_stack([label, scores]).tolist()
    assert len(set(found[:, 0])) == 2


def test_text_labels_are_positions_in_a_list_that_is_not_in_the_program() -> None:
    made = attribute(classifier(random_trees(np.random.default_rng(8), targets=3), [1, 2, 3]), "post_transform", "NONE")
    (operator,) = made.graph.node
    labels = next(each for each in operator.attribute if each.name == "classlabels_int64s")
    operator.attribute.remove(labels)
    attribute(made, "classlabels_strings", ["a", "b", "c"])
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.STRING
    program = check(data(made))
    assert (program.width_out, dict(program.whole)) == (4, {0: ("a", "b", "c")})
    assert b"classlabels_strings" not in program.canonical
    rows = np.random.default_rng(9).normal(size=(50, 3))
    outside = onnxruntime.InferenceSession(data(made)).run(["label"], {"x": rows.astype(np.float32)})
    assert [program.whole[0][int(at)] for at in evaluate(program, rows)[:, 0]] == outside[0].tolist()


@given(st.integers(0, 2**32 - 1), st.data())
def test_shuffled_numbers_are_a_forest_or_are_refused(seed: int, choose: st.DataObject) -> None:
    listed = random_trees(np.random.default_rng(seed), trees=2, depth=3)
    for _ in range(choose.draw(st.integers(1, 3))):
        column = choose.draw(st.sampled_from(["treeids", "nodeids", "truenodeids", "falsenodeids"]))
        where = choose.draw(st.integers(0, len(listed.modes) - 1))
        getattr(listed, column)[where] = choose.draw(st.integers(-1, len(listed.modes)))
    try:
        program = check(data(regressor(listed)))
    except BadProgram:
        return
    evaluate(program, np.zeros((2, 3)))


@pytest.mark.parametrize(("field", "kind"), [("strings", AttributeProto.STRINGS), ("floats", AttributeProto.FLOATS)])
@pytest.mark.parametrize("name", ["nodes_treeids", "nodes_truenodeids", "target_ids", "nodes_featureids"])
def test_numbers_of_nodes_that_are_no_whole_numbers_are_refused(name: str, field: str, kind: int) -> None:
    made = regressor(stump())
    listed = next(each for each in made.graph.node[0].attribute if each.name == name)
    count = len(listed.ints)
    listed.ClearField("ints")
    listed.type = kind
    getattr(listed, field).extend([b"x" if field == "strings" else float("nan")] * count)
    with pytest.raises(BadProgram, match=f"{name} are of another type"):
        check(data(made))
