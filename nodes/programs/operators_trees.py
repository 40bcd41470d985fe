"""Tree ensembles of ai.onnx.ml: classifiers and regressors as scikit-learn, XGBoost and LightGBM are exported. Pure.

The lists of a model are turned into a `Forest` once, by the check (`prepare_…`); running it is `run_…`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from nodes.programs.forest import EQ, GT, GTE, ID_MAX, LEAF, LEQ, LT, NEQ, Forest, Nodes, forest
from nodes.programs.limits import ProgramLimits
from nodes.programs.operands import Operands, given
from nodes.programs.operators_algebra import features, softmax_over
from nodes.programs.operators_arithmetic import sigmoid
from nodes.programs.program import Node
from nodes.programs.values import Array, Context, Value
from schemas.errors import BadProgram

MODES: Final = {
    b"BRANCH_LEQ": LEQ,
    b"BRANCH_LT": LT,
    b"BRANCH_GTE": GTE,
    b"BRANCH_GT": GT,
    b"BRANCH_EQ": EQ,
    b"BRANCH_NEQ": NEQ,
    b"LEAF": LEAF,
}
AGGREGATES: Final = ("AVERAGE", "SUM")  # TreeEnsemble numbers them in this order; then come MIN and MAX
TRANSFORMS: Final = ("NONE", "SOFTMAX", "LOGISTIC")  # and these

_NODES: Final = (
    "nodes_treeids",
    "nodes_nodeids",
    "nodes_featureids",
    "nodes_modes",
    "nodes_values",
    "nodes_values_as_tensor",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_missing_value_tracks_true",
    "nodes_hitrates",
    "nodes_hitrates_as_tensor",
    "base_values",
    "base_values_as_tensor",
    "post_transform",
)
CLASSIFIER_ATTRIBUTES: Final = (
    *_NODES,
    *(f"class_{name}" for name in ("treeids", "nodeids", "ids", "weights", "weights_as_tensor")),
    "classlabels_int64s",
    "classlabels_strings",
)
REGRESSOR_ATTRIBUTES: Final = (
    *_NODES,
    *(f"target_{name}" for name in ("treeids", "nodeids", "ids", "weights", "weights_as_tensor")),
    "n_targets",
    "aggregate_function",
)
ENSEMBLE_ATTRIBUTES: Final = (
    "tree_roots",
    "nodes_modes",
    "nodes_featureids",
    "nodes_splits",
    "nodes_truenodeids",
    "nodes_trueleafs",
    "nodes_falsenodeids",
    "nodes_falseleafs",
    "nodes_missing_value_tracks_true",
    "nodes_hitrates",
    "leaf_targetids",
    "leaf_weights",
    "n_targets",
    "aggregate_function",
    "post_transform",
)


# Preparing ------------------------------------------------------------------------------------------------------------


def prepare_classifier(node: Node, limits: ProgramLimits) -> Forest:
    """The forest of a TreeEnsembleClassifier, one target per class. Raises BadProgram."""
    return _listed_forest(node, "class", _classes(node), limits)


def prepare_regressor(node: Node, limits: ProgramLimits) -> Forest:
    """The forest of a TreeEnsembleRegressor. Raises BadProgram."""
    if node.text("aggregate_function", "SUM") not in AGGREGATES:
        raise BadProgram("aggregates by another function than SUM or AVERAGE, which is not supported")
    return _listed_forest(node, "target", node.integer("n_targets", 1), limits)


def prepare_ensemble(node: Node, limits: ProgramLimits) -> Forest:
    """The forest of a TreeEnsemble (operator set 5). Its leaves are lists of their own, behind the nodes here."""
    modes, when_true = _numbers(node, "nodes_modes", None), _integers(node, "nodes_truenodeids")
    inner, leaves = len(when_true), len(_integers(node, "leaf_targetids"))
    if inner + leaves > limits.tree_nodes_max:
        raise BadProgram(f"has {inner + leaves:,} nodes; at most {limits.tree_nodes_max:,} are allowed")
    if len(modes) != inner or np.any((modes < LEQ) | (modes > NEQ)):
        raise BadProgram("has a nodes_modes that is too short, or a mode that is not supported")
    children = []
    for side, targets in (("true", when_true), ("false", _integers(node, "nodes_falsenodeids", inner))):
        is_leaf, most = _integers(node, f"nodes_{side}leafs", inner) != 0, np.array([inner, leaves])
        if np.any((targets < 0) | (targets >= most[is_leaf.astype(np.intp)])):
            raise BadProgram("has a node with a child that does not exist")
        children.append(np.where(is_leaf, targets + inner, targets))
    nothing = np.zeros(leaves, dtype=np.int64)
    nodes = Nodes(
        mode=np.concatenate([modes.astype(np.int64), np.full(leaves, LEAF)]),
        feature=np.concatenate([_integers(node, "nodes_featureids", inner), nothing]),
        threshold=np.concatenate([_numbers(node, "nodes_splits", inner), nothing]),
        when_true=np.concatenate([children[0], nothing]),
        when_false=np.concatenate([children[1], nothing]),
        missing_is_true=np.concatenate([_flags(node, inner), nothing != 0]),
    )
    if node.integer("aggregate_function", 1) not in range(len(AGGREGATES)):
        raise BadProgram("aggregates by another function than SUM or AVERAGE, which is not supported")
    if node.integer("post_transform", 0) not in range(len(TRANSFORMS)):
        raise BadProgram("with this post_transform is not supported; use NONE, LOGISTIC or SOFTMAX")
    positions = np.arange(inner, inner + leaves)
    targets, weights = _integers(node, "leaf_targetids"), _numbers(node, "leaf_weights", leaves)
    made = forest(nodes, _weights(positions, targets, weights, node.integer("n_targets", 1), len(nodes.mode)), limits)
    if made.trees != len(_integers(node, "tree_roots")):
        raise BadProgram("has other tree_roots than its nodes have")
    return made


def _listed_forest(node: Node, prefix: str, targets: int, limits: ProgramLimits) -> Forest:
    """The forest of nodes that are named by numbers of tree and node."""
    kinds = node.attributes.get("nodes_modes", ())
    if not isinstance(kinds, tuple) or not set(kinds) <= MODES.keys():
        raise BadProgram("has a node mode that is not supported")
    count = len(kinds)
    if not 1 <= count <= limits.tree_nodes_max:
        raise BadProgram(f"has {count:,} nodes; 1 to {limits.tree_nodes_max:,} are allowed")
    if not 1 <= targets <= limits.columns_max or targets * count > limits.constant_elements_max:
        raise BadProgram(f"has {targets:,} targets or classes for {count:,} nodes, which is not allowed")
    modes = np.array([MODES[kind] for kind in kinds if isinstance(kind, bytes)])
    trees = _integers(node, "nodes_treeids", count)
    names = _names(trees, _integers(node, "nodes_nodeids", count))
    order = np.argsort(names, kind="stable")
    if np.any(np.diff(names[order]) == 0):
        raise BadProgram("has two nodes of the same number in one tree")
    branch = modes != LEAF
    children = [
        np.where(branch, _positions(names, order, trees, _integers(node, f"nodes_{side}nodeids", count), branch), 0)
        for side in ("true", "false")
    ]
    nodes = Nodes(
        mode=modes,
        feature=_integers(node, "nodes_featureids", count),
        threshold=_numbers(node, "nodes_values", count),
        when_true=children[0],
        when_false=children[1],
        missing_is_true=_flags(node, count),
    )
    leaf_trees = _integers(node, f"{prefix}_treeids")
    everywhere = np.ones(len(leaf_trees), dtype=np.bool_)
    leaves = _positions(names, order, leaf_trees, _integers(node, f"{prefix}_nodeids", len(leaf_trees)), everywhere)
    ids, numbers = _integers(node, f"{prefix}_ids", len(leaves)), _numbers(node, f"{prefix}_weights", len(leaves))
    return forest(nodes, _weights(leaves, ids, numbers, targets, count), limits)


def _names(trees: Array, numbers: Array) -> Array:
    if np.any((trees < 0) | (trees > ID_MAX) | (numbers < 0) | (numbers > ID_MAX)):
        raise BadProgram(f"has a tree or node with a number outside 0 to {ID_MAX:,}")
    return trees * (ID_MAX + 1) + numbers


def _positions(names: Array, order: Array, trees: Array, numbers: Array, needed: Array) -> Array:
    """Where the named nodes stand; every needed one must exist."""
    wanted = _names(trees, np.where(needed, numbers, 0))
    places = np.minimum(np.searchsorted(names, wanted, sorter=order), len(names) - 1)
    found = order[places]
    if np.any(needed & (names[found] != wanted)):
        raise BadProgram("refers to a node that does not exist")
    return np.asarray(found)


def _weights(leaves: Array, ids: Array, weights: Array, targets: int, count: int) -> Array:
    if np.any((ids < 0) | (ids >= targets)):
        raise BadProgram(f"gives a weight to a target outside its {targets:,}")
    if not np.isfinite(weights).all():
        raise BadProgram("has a weight that is not finite")
    summed = np.zeros((targets, count))
    np.add.at(summed, (ids, leaves), weights)
    return summed


def _classes(node: Node) -> int:
    labels = node.attributes.get("classlabels_int64s") or node.attributes.get("classlabels_strings")
    return len(labels) if isinstance(labels, tuple) else 0


def _integers(node: Node, name: str, length: int | None = None) -> Array:
    values = node.integers(name) or ()
    _require_length(name, len(values), length)
    return np.array(values, dtype=np.int64)


def _numbers(node: Node, name: str, length: int | None) -> Array:
    """A list of floats, or the tensor that may stand in for it."""
    for each in (name, f"{name}_as_tensor"):
        tensor = node.attributes.get(each)
        if isinstance(tensor, np.ndarray):
            _require_length(each, tensor.size, length)
            return tensor.reshape(-1).astype(np.float64)
    values = node.numbers(name) or ()
    _require_length(name, len(values), length)
    return np.array(values, dtype=np.float64)


def _flags(node: Node, length: int) -> Array:
    if "nodes_missing_value_tracks_true" not in node.attributes:
        return np.zeros(length, dtype=np.bool_)
    return np.asarray(_integers(node, "nodes_missing_value_tracks_true", length) != 0)


def _require_length(name: str, length: int, wanted: int | None) -> None:
    if wanted is not None and length != wanted:
        raise BadProgram(f"has {length:,} entries in {name}; {wanted:,} are needed")


# Running --------------------------------------------------------------------------------------------------------------


def run_regressor(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """TreeEnsembleRegressor: sums or averages of leaves, plus base values."""
    trees = _prepared(node)
    value = features(given(operands, 0))
    totals = _totals(context, trees, value)
    if node.text("aggregate_function", "SUM") == "AVERAGE":
        totals = totals / trees.trees
    base = _base_values(node, (0, len(trees.weights)))
    return (value.with_array(_transformed(totals + base, node.text("post_transform", "NONE"))),)


def run_ensemble(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """TreeEnsemble: sums or averages of leaves."""
    trees = _prepared(node)
    value = features(given(operands, 0))
    totals = _totals(context, trees, value)
    if AGGREGATES[node.integer("aggregate_function", 1)] == "AVERAGE":
        totals = totals / trees.trees
    return (value.with_array(_transformed(totals, TRANSFORMS[node.integer("post_transform", 0)])),)


def run_classifier(context: Context, node: Node, operands: Operands) -> tuple[Value, ...]:
    """TreeEnsembleClassifier: label (if wanted; integer labels only) and scores.

    Of two classes, leaves may score one alone, under the number 0. Then, as ONNX Runtime has it, the sum s speaks for
    the second class: by s > 1/2, scores [1 - s, s], when no weight is negative, else by s > 0, scores [-s, s].
    """
    trees = _prepared(node)
    value = features(given(operands, 0))
    totals, transform = _totals(context, trees, value), node.text("post_transform", "NONE")
    ids = set(node.integers("class_ids") or ())
    if len(trees.weights) == 2 and len(ids) == 1:
        if ids != {0} or transform == "SOFTMAX":
            raise BadProgram("scores one of two classes in a way that engines do not agree on; export scores of both")
        score = totals[:, :1] + _base_values(node, (0, 1))
        positive = bool(np.all(trees.weights >= 0))
        scores = np.concatenate([1.0 - score if positive else -score, score], axis=1)
        shown = _transformed(np.concatenate([-score, score], axis=1) if transform == "LOGISTIC" else scores, transform)
    else:
        scores = totals + _base_values(node, (0, len(trees.weights)))
        shown = _transformed(scores, transform)
    return value.with_array(_labels(node, scores)), value.with_array(shown)


def _labels(node: Node, scores: Array) -> Array:
    if not node.wanted[0]:
        return scores
    labels = node.integers("classlabels_int64s")
    if not labels:
        raise BadProgram("gives text labels, but only numbers can be results; use its scores")
    return np.asarray(np.array(labels, dtype=np.int64)[np.argmax(scores, axis=1)])


def _prepared(node: Node) -> Forest:
    if node.prepared is None:
        raise BadProgram("was not prepared")
    return node.prepared


def _totals(context: Context, trees: Forest, value: Value) -> Array:
    if value.inner[0] < trees.features:
        raise BadProgram(f"compares feature {trees.features - 1}, but its operand has {value.inner[0]} columns")
    context.spend(trees.trees * (trees.depth + len(trees.weights)))
    context.admit((len(trees.weights),), variable=True)
    return trees.totals(value.array)


def _base_values(node: Node, lengths: Sequence[int]) -> Array:
    base = _numbers(node, "base_values", None)
    if len(base) not in lengths:
        raise BadProgram(f"has {len(base)} base values; {lengths[-1]} are needed")
    return base if len(base) else np.zeros(1)


def _transformed(scores: Array, transform: str) -> Array:
    if transform == "LOGISTIC":
        return sigmoid(scores)
    if transform == "SOFTMAX":
        return softmax_over(scores, (1,))
    if transform != "NONE":
        raise BadProgram(f"with post_transform {transform[:16]} is not supported; use NONE, LOGISTIC or SOFTMAX")
    return scores
