"""Tree ensembles for tests: random forests as a model lists them, in the forms of operator sets 3 and 5."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto, helper, numpy_helper

from tests.unit.nodes.programs.models import model, node

ML = "ai.onnx.ml"
BRANCHES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")


@dataclass
class Listed:
    """Nodes of trees in lists, one entry per node; leaves apart, one entry per weight."""

    treeids: list[int] = field(default_factory=list)
    nodeids: list[int] = field(default_factory=list)
    featureids: list[int] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    truenodeids: list[int] = field(default_factory=list)
    falsenodeids: list[int] = field(default_factory=list)
    leaves: list[tuple[int, int, int, float]] = field(default_factory=list)  # tree, node, target, weight

    def node(
        self, tree: int, number: int, mode: str, value: float = 0.0, feature: int = 0, yes: int = 0, no: int = 0
    ) -> None:
        """Append one node."""
        self.treeids.append(tree)
        self.nodeids.append(number)
        self.featureids.append(feature)
        self.modes.append(mode)
        self.values.append(value)
        self.truenodeids.append(yes)
        self.falsenodeids.append(no)

    def attributes(self, prefix: str) -> dict[str, Any]:
        """As attributes of the operators of operator set 3; `prefix` is class or target."""
        names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
        nodes = {f"nodes_{name}": getattr(self, name) for name in names}
        columns = list(zip(*self.leaves, strict=True))
        return nodes | {
            f"{prefix}_{name}": list(column)
            for name, column in zip(("treeids", "nodeids", "ids", "weights"), columns, strict=True)
        }


def random_trees(
    random: np.random.Generator,
    *,
    trees: int = 7,
    depth: int = 5,
    modes: tuple[str, ...] = BRANCHES[:1],
    targets: int = 1,
) -> Listed:
    """Trees over three features whose thresholds are small whole numbers, so that equality happens."""
    listed = Listed()
    for tree in range(trees):
        waiting, free = [(0, 0)], 1
        while waiting:
            number, level = waiting.pop()
            if level < depth and (level == 0 or random.random() < 0.7):
                mode, value = str(random.choice(modes)), float(random.integers(-3, 4))
                listed.node(tree, number, mode, value, int(random.integers(3)), free, free + 1)
                waiting += [(free, level + 1), (free + 1, level + 1)]
                free += 2
                continue
            listed.node(tree, number, "LEAF")
            listed.leaves += [(tree, number, t, float(np.float32(random.normal()))) for t in range(targets)]
    return listed


def stump() -> Listed:
    """One tree: x0 <= 1 ? 10 : 20."""
    listed = Listed()
    listed.node(0, 0, "BRANCH_LEQ", 1.0, 0, 1, 2)
    listed.node(0, 1, "LEAF")
    listed.node(0, 2, "LEAF")
    listed.leaves += [(0, 1, 0, 10.0), (0, 2, 0, 20.0)]
    return listed


def regressor(listed: Listed, *, targets: int = 1, **attributes: Any) -> ModelProto:
    """A TreeEnsembleRegressor over three columns."""
    every = listed.attributes("target") | {"n_targets": targets} | attributes
    return model([node("TreeEnsembleRegressor", ["x"], ["y"], domain=ML, **every)])


def classifier(listed: Listed, labels: list[int], **attributes: Any) -> ModelProto:
    """A TreeEnsembleClassifier over three columns: labels and scores."""
    every = listed.attributes("class") | {"classlabels_int64s": labels} | attributes
    made = node("TreeEnsembleClassifier", ["x"], ["label", "scores"], domain=ML, **every)
    return model([made], outputs={"label": 7, "scores": 1})


def ensemble(listed: Listed, *, double: bool = False, **attributes: Any) -> ModelProto:
    """The same trees, with one target, as a TreeEnsemble of operator set 5 over three columns."""
    places = {name: i for i, name in enumerate(zip(listed.treeids, listed.nodeids, strict=True))}
    inner = [i for i, mode in enumerate(listed.modes) if mode != "LEAF"]
    of_inner = {i: position for position, i in enumerate(inner)}
    of_leaf = {places[tree, number]: position for position, (tree, number, _, _) in enumerate(listed.leaves)}
    sides: dict[str, Any] = {}
    for side, ids in (("true", listed.truenodeids), ("false", listed.falsenodeids)):
        targets = [places[listed.treeids[i], ids[i]] for i in inner]
        sides[f"nodes_{side}leafs"] = [int(t in of_leaf) for t in targets]
        sides[f"nodes_{side}nodeids"] = [of_leaf.get(t, of_inner.get(t)) for t in targets]
    dtype = np.float64 if double else np.float32
    every = sides | {
        "tree_roots": [of_inner[places[tree, 0]] for tree in sorted(set(listed.treeids))],
        "nodes_modes": _tensor(np.array([BRANCHES.index(listed.modes[i]) for i in inner], dtype=np.uint8)),
        "nodes_featureids": [listed.featureids[i] for i in inner],
        "nodes_splits": _tensor(np.array([listed.values[i] for i in inner], dtype=dtype)),
        "leaf_targetids": [target for _, _, target, _ in listed.leaves],
        "leaf_weights": _tensor(np.array([weight for _, _, _, weight in listed.leaves], dtype=dtype)),
        "n_targets": 1,
    }
    return model([node("TreeEnsemble", ["x"], ["y"], domain=ML, **(every | attributes))], ml_opset=5)


def _tensor(array: Any) -> Any:
    return numpy_helper.from_array(array, "t")


def attribute(made: ModelProto, name: str, value: Any) -> ModelProto:
    """The model with one attribute of its only operator replaced."""
    (operator,) = made.graph.node
    kept = [each for each in operator.attribute if each.name != name]
    del operator.attribute[:]
    operator.attribute.extend([*kept, helper.make_attribute(name, value)])
    return made
