"""Tree ensembles: from the lists of an untrusted model to arrays that are proven to be trees, and rows through them.
Pure.

What is proven when a `Forest` is made, before any row meets it: every node is in exactly one tree, no node has two
parents, every tree has one root from which all its nodes are reached (so there is no cycle), and no path is longer than
`tree_depth_max`. Evaluation then takes `depth` steps, whatever the rows hold.

All trees are walked at once, level by level, a block of rows at a time: the two children of a node stand side by side,
so a step is `first child + (feature > threshold)`; a leaf is its own first child and waits there.

Comparisons are float32 where every threshold is a float32 number: a model whose input is declared float32 was fitted on
such numbers and its thresholds may be equal to one of them, so a float64 that rounds to it must fall on the same side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nodes.programs.limits import ProgramLimits
from nodes.programs.values import Array
from schemas.errors import BadProgram

BLOCK_ELEMENTS: Final = 1 << 16  # rows times trees that are under way together: they stay in the processor's cache
ID_MAX: Final = (1 << 31) - 1

LEQ, LT, GTE, GT, EQ, NEQ, LEAF = range(7)
"""How a node compares its feature with its threshold."""

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes as the model lists them, one entry per node. Children are positions in these lists."""

    mode: Array  # LEQ … LEAF
    feature: Array
    threshold: Array  # float64
    when_true: Array
    when_false: Array
    missing_is_true: Array  # where NaN goes


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees that were proven to be trees. The first `trees` nodes are the roots; then come pairs of children."""

    trees: int
    depth: int
    features: int  # the least number of columns that rows must have
    feature: Indices
    threshold: Array  # float32 or float64; of leaves infinite
    first: Indices  # the first of two children, taken while feature <= threshold; of leaves the node itself
    equal: NDArray[np.bool_] | None  # nodes that take the first child while feature == threshold; None when none does
    nan_second: NDArray[np.bool_]  # whether NaN takes the second child
    weights: Array  # float64 [targets, nodes]; only leaves have any

    def totals(self, rows: Array) -> Array:
        """The sums of the weights of the leaves that each row [N, columns] reaches: float64 [N, targets]."""
        result = np.empty((len(rows), len(self.weights)))
        step = max(1, BLOCK_ELEMENTS // self.trees)
        for start in range(0, len(rows), step):
            block = np.ascontiguousarray(rows[start : start + step], dtype=self.threshold.dtype)
            leaves = self._leaves(block)
            for target, weights in enumerate(self.weights):
                result[start : start + step, target] = weights.take(leaves).sum(axis=1)
        return result

    def _leaves(self, block: Array) -> Indices:
        """The leaf of every row in every tree: [rows, trees]."""
        flat = block.reshape(-1)
        has_nan = bool(np.isnan(flat).any())
        starts = np.arange(len(block), dtype=np.intp)[:, np.newaxis] * block.shape[1]
        at = np.broadcast_to(np.arange(self.trees, dtype=np.intp), (len(block), self.trees))
        for _ in range(self.depth):
            x, threshold = flat.take(self.feature.take(at) + starts), self.threshold.take(at)
            second = x > threshold
            if self.equal is not None:
                second = np.where(self.equal.take(at), x != threshold, second)
            if has_nan:
                second = np.where(np.isnan(x), self.nan_second.take(at), second)
            at = self.first.take(at) + second
        return np.asarray(at)


def forest(nodes: Nodes, weights: Array, limits: ProgramLimits) -> Forest:
    """The forest of these nodes; `weights` is float64 [targets, nodes]. Raises BadProgram unless it is one."""
    branch = nodes.mode != LEAF
    if np.any(weights[:, branch]):
        raise BadProgram("gives a weight to a node that is not a leaf")
    _require_branches(nodes, branch, limits)
    order, first, trees, depth = _layout(nodes, branch, limits)
    mode, threshold = nodes.mode[order], nodes.threshold[order]
    inner = branch[order]
    swapped = _swapped(mode)
    limit = _limits_of(mode, threshold, inner)
    equal = inner & ((mode == EQ) | (mode == NEQ))
    nan_true = nodes.missing_is_true[order] | (mode == NEQ)
    feature = np.where(inner, nodes.feature[order], 0).astype(np.intp)
    return Forest(
        trees=trees,
        depth=depth,
        features=int(feature.max(initial=0)) + 1,
        feature=feature,
        threshold=limit,
        first=first,
        equal=equal if equal.any() else None,
        nan_second=inner & (nan_true == swapped),
        weights=np.ascontiguousarray(weights[:, order]),
    )


def _require_branches(nodes: Nodes, branch: NDArray[np.bool_], limits: ProgramLimits) -> None:
    if not len(branch) or len(branch) > limits.tree_nodes_max:
        raise BadProgram(f"has {len(branch):,} nodes; 1 to {limits.tree_nodes_max:,} are allowed")
    if np.any((nodes.mode < LEQ) | (nodes.mode > LEAF)):
        raise BadProgram("has a node of a kind that is not supported")
    feature, threshold = nodes.feature[branch], nodes.threshold[branch]
    if np.any((feature < 0) | (feature >= limits.columns_max)):
        raise BadProgram(f"has a node with a feature outside 0 to {limits.columns_max - 1:,}")
    if np.isnan(threshold).any():
        raise BadProgram("has a node whose threshold is not a number")


def _swapped(mode: Array) -> NDArray[np.bool_]:
    """x >= t is not (x < t), x > t is not (x <= t): such nodes have their false child first."""
    return np.isin(mode, (GTE, GT, NEQ))


def _limits_of(mode: Array, threshold: Array, inner: NDArray[np.bool_]) -> Array:
    """What to compare with by <=: x < t is x <= (the number before t). Leaves: infinity, NaN where nothing is less."""
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = threshold.astype(np.float32)
    exact = np.array_equal(narrow[inner].astype(np.float64), threshold[inner])
    limit = np.asarray(narrow if exact else threshold).copy()
    strict = inner & ((mode == LT) | (mode == GTE))
    limit[strict] = np.nextafter(limit[strict], np.asarray(-np.inf, dtype=limit.dtype))
    limit[~inner] = np.inf
    return limit


def _layout(nodes: Nodes, branch: NDArray[np.bool_], limits: ProgramLimits) -> tuple[Indices, Indices, int, int]:
    """Walk all trees level by level from their roots: the new order of the nodes, the first child of each in that
    order, the number of trees and of steps to the deepest leaf."""
    count = len(branch)
    children = np.concatenate([nodes.when_true[branch], nodes.when_false[branch]])
    if np.any((children < 0) | (children >= count)):
        raise BadProgram("has a node with a child that does not exist")
    parents = np.bincount(children.astype(np.intp), minlength=count)
    if np.any(parents > 1):
        raise BadProgram("has a node with two parents: that is a cycle, or no tree")
    swapped = _swapped(nodes.mode)
    before = np.where(swapped, nodes.when_false, nodes.when_true).astype(np.intp)
    after = np.where(swapped, nodes.when_true, nodes.when_false).astype(np.intp)
    level = np.flatnonzero(parents == 0)
    order: list[Indices] = []
    first: list[Indices] = []
    placed = trees = len(level)
    while level.size:
        if len(order) > limits.tree_depth_max:
            raise BadProgram(f"has a tree deeper than {limits.tree_depth_max} steps")
        inner = branch[level]
        own = np.arange(placed - len(level), placed, dtype=np.intp)
        own[inner] = placed + 2 * np.arange(np.count_nonzero(inner))
        order.append(level)
        first.append(own)
        level = np.stack([before[level[inner]], after[level[inner]]], axis=1).reshape(-1)
        placed += len(level)
    if placed != count:
        raise BadProgram("has nodes that no root leads to: a cycle")
    return np.concatenate(order), np.concatenate(first), trees, len(order) - 1
