"""The lists of a tree ensemble, before the engine builds trees of them by recursion: they end, and nothing points
outside. Nodes may be shared, as LightGBM's splits on categories are exported. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from nodes.programs.limits import ProgramLimits
from nodes.programs.program import Node
from nodes.programs.values import Array
from schemas.errors import BadProgram

LEAF = b"LEAF"


def require_trees(node: Node, limits: ProgramLimits) -> None:
    """Raises BadProgram when the node is a tree ensemble that the engine must not see."""
    if node.operator == "TreeEnsemble":
        _require_ensemble(node, limits)
    elif node.operator in ("TreeEnsembleClassifier", "TreeEnsembleRegressor"):
        _require_listed(node, limits)


def _require_listed(node: Node, limits: ProgramLimits) -> None:
    trees, numbers, yes, no = (
        node.integers(f"nodes_{name}") or () for name in ("treeids", "nodeids", "truenodeids", "falsenodeids")
    )
    modes = node.attributes.get("nodes_modes")
    _require_lengths(node, (trees, numbers, yes, no, modes, node.integers("nodes_featureids")), limits)
    assert isinstance(modes, tuple)
    places = {key: place for place, key in enumerate(zip(trees, numbers, strict=True))}
    if len(places) != len(trees):
        raise BadProgram("has two nodes of the same number in a tree")
    branches = [place for place, mode in enumerate(modes) if mode != LEAF]
    try:
        edges = [(p, places[trees[p], child[p]]) for child in (yes, no) for p in branches]
    except KeyError:
        raise BadProgram("has a branch to a node that does not exist") from None
    _require_end(edges, len(trees), limits)
    _require_weights(node, {key for key, place in places.items() if modes[place] == LEAF}, limits)


def _require_weights(node: Node, leaves: set[tuple[int, int]], limits: ProgramLimits) -> None:
    kind = "class" if node.operator == "TreeEnsembleClassifier" else "target"
    trees, numbers, results = (node.integers(f"{kind}_{name}") or () for name in ("treeids", "nodeids", "ids"))
    if not len(trees) == len(numbers) == len(results):
        raise BadProgram(f"has {kind} lists of different lengths")
    if not leaves >= set(zip(trees, numbers, strict=True)):
        raise BadProgram("has a weight for a node that is not a leaf")
    labels = node.integers("classlabels_int64s") or node.attributes.get("classlabels_strings") or ()
    count = node.integer("n_targets", 1) if kind == "target" else len(labels) if isinstance(labels, tuple) else 0
    _require_count(count, limits)
    if not all(0 <= result < count for result in results):
        raise BadProgram(f"has a weight for a result outside of its {count}")


def _require_ensemble(node: Node, limits: ProgramLimits) -> None:
    names = ("truenodeids", "falsenodeids", "trueleafs", "falseleafs", "featureids")
    yes, no, yes_ends, no_ends, features = (node.integers(f"nodes_{name}") or () for name in names)
    _require_lengths(node, (yes, no, yes_ends, no_ends, features), limits)
    targets = node.integers("leaf_targetids") or ()
    _require_count(node.integer("n_targets", 1), limits)
    if not all(0 <= target < node.integer("n_targets", 1) for target in targets):
        raise BadProgram("has a leaf for a result that does not exist")
    edges = []
    for children, ends in ((yes, yes_ends), (no, no_ends)):
        for place, (child, end) in enumerate(zip(children, ends, strict=True)):
            if not 0 <= child < (len(targets) if end else len(yes)):
                raise BadProgram("has a branch to a node that does not exist")
            if not end:
                edges.append((place, child))
    if not all(0 <= root < len(yes) for root in node.integers("tree_roots") or ()):
        raise BadProgram("has a root that does not exist")
    _require_end(edges, len(yes), limits)


def _require_count(results: int, limits: ProgramLimits) -> None:
    if not 1 <= results <= limits.columns_max:
        raise BadProgram(f"gives {results:,} results; 1 to {limits.columns_max:,} are allowed")


def _require_lengths(node: Node, lists: Sequence[object], limits: ProgramLimits) -> None:
    lengths = {len(each) if isinstance(each, tuple) else 0 for each in lists}
    if len(lengths) != 1 or 0 in lengths:
        raise BadProgram("has lists of nodes that are missing, or of different lengths")
    if lengths.pop() > limits.tree_nodes_max:
        raise BadProgram(f"has more than {limits.tree_nodes_max:,} nodes")
    if min(node.integers("nodes_featureids") or (0,)) < 0:
        raise BadProgram("looks at a column before the first")


def _require_end(edges: Sequence[tuple[int, int]], count: int, limits: ProgramLimits) -> None:
    """No way down is longer than `tree_depth_max`; so there is no cycle either."""
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
    seen = 0
    for depth, level in enumerate(_levels(pairs, count)):
        if depth > limits.tree_depth_max:
            raise BadProgram(f"is deeper than {limits.tree_depth_max} levels")
        seen += len(level)
    if seen != count:
        raise BadProgram("has a cycle")


def _levels(pairs: Array, count: int) -> Iterator[Array]:
    """Nodes by their longest way from a root, for as long as there are any."""
    order = np.argsort(pairs[:, 0], kind="stable")
    children = pairs[order, 1]
    first = np.searchsorted(pairs[order, 0], np.arange(count + 1))
    waiting = np.bincount(children, minlength=count)
    level = np.flatnonzero(waiting == 0)
    while len(level):
        yield level
        reached = np.concatenate([children[first[place] : first[place + 1]] for place in level])
        waiting -= np.bincount(reached, minlength=count)
        level = np.array(sorted(set(reached[waiting[reached] == 0].tolist())), dtype=np.int64)
