"""Operators of ai.onnx.ml that are linear inside, written as a product of matrices and what they do after it. Pure.

What follows stays the same operator, which now takes the sums and multiplies them by ones only: so that its transforms,
its votes and its ties are the engine's own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from nodes.programs.operators import ML
from nodes.programs.tensors import tensor_of

OPSET: Final = 17
"""Imported where a program has operators of ai.onnx.ml only."""

Weights = NDArray[np.float32]
Opened = tuple[Weights, Weights, dict[str, Any]]
"""Weights [sums, columns], what is added [sums], and the attributes that the operator then has."""


def opened(canonical: bytes) -> bytes:
    """The program with such operators in two; as it is where it has none."""
    model = ModelProto.FromString(canonical)
    nodes = list(model.graph.node)
    model.graph.ClearField("node")
    for node in nodes:
        way = OPENED.get((node.domain, node.op_type))
        found = None if way is None else way({each.name: helper.get_attribute_value(each) for each in node.attribute})
        if found is not None:
            _open(model, node, *found)
        model.graph.node.append(node)
    import_standard(model)
    return bytes(model.SerializeToString())


def import_standard(model: ModelProto) -> None:
    """The operators of ai.onnx, where it has none yet."""
    if not any(entry.domain == "" for entry in model.opset_import):
        model.opset_import.add(domain="", version=OPSET)


def _open(model: ModelProto, node: NodeProto, weights: Weights, added: Weights, attributes: Mapping[str, Any]) -> None:
    """Put the product before the node, which computes in float32 whatever it takes."""
    graph, name = model.graph, node.output[-1] or node.output[0]
    taken, matrix, vector, sums = (f"{name}/{each}" for each in ("taken", "weights", "added", "sums"))
    graph.initializer.extend((tensor_of(weights.T, matrix), tensor_of(added, vector)))
    graph.node.append(helper.make_node("Cast", [node.input[0]], [taken], to=TensorProto.FLOAT))
    graph.node.append(helper.make_node("Gemm", [taken, matrix, vector], [sums]))
    node.input[0] = sums
    node.ClearField("attribute")
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items() if value != [])


def _linear(attributes: dict[str, Any]) -> Opened | None:
    """LinearClassifier and LinearRegressor: a row of coefficients per sum."""
    weights, added = (_numbers(attributes, name).astype(np.float32) for name in ("coefficients", "intercepts"))
    if not len(added) or not len(weights) or len(weights) % len(added):
        return None
    rows = np.column_stack([weights.reshape(len(added), -1), added])
    kept, mixed = _distinct(rows)
    changed = {"coefficients": mixed.ravel().tolist(), "intercepts": [0.0] * len(added)}
    return rows[kept, :-1], rows[kept, -1], attributes | changed


def _distinct(rows: Weights) -> tuple[list[int], Weights]:
    """Which rows are no other's copy or opposite, and how all follow from them: exporters give two classes one each."""
    kept: list[int] = []
    mixed = np.zeros((len(rows), len(rows)), np.float32)
    for at, row in enumerate(rows):
        same = next((n for n, each in enumerate(kept) if (rows[each] == row).all()), None)
        opposite = next((n for n, each in enumerate(kept) if (rows[each] == -row).all()), None)
        if same is None and opposite is None:
            kept.append(at)
            same = len(kept) - 1
        mixed[at, opposite if same is None else same] = 1.0 if same is not None else -1.0
    return kept, mixed[:, : len(kept)]


def _voting(attributes: dict[str, Any]) -> Opened | None:
    """SVMClassifier with a linear kernel: a sum per pair of classes, as if each were a support vector of the first."""
    classes = attributes.get("vectors_per_class", [])
    pairs = list(itertools.combinations(range(len(classes)), 2))
    vectors, coefficients = _vectors(attributes, sum(classes)), _numbers(attributes, "coefficients")
    if vectors is None or len(coefficients) != (len(classes) - 1) * len(vectors):
        return None
    rows, ends = coefficients.reshape(-1, len(vectors)), np.cumsum([0, *classes])
    weights = np.zeros((len(pairs), vectors.shape[1]))
    mixed = np.zeros((len(rows), len(pairs)))
    for at, (one, other) in enumerate(pairs):
        for row, side in ((other - 1, one), (one, other)):
            mine = slice(ends[side], ends[side + 1])
            weights[at] += rows[row, mine] @ vectors[mine]
        mixed[other - 1, at] = 1.0
    changed = {
        "coefficients": mixed.ravel().tolist(),
        "support_vectors": np.eye(len(pairs)).ravel().tolist(),
        "vectors_per_class": list(range(len(classes)))[::-1],
    }
    return weights.astype(np.float32), np.zeros(len(pairs), np.float32), attributes | changed


def _supporting(attributes: dict[str, Any]) -> Opened | None:
    """SVMRegressor with a linear kernel: one sum."""
    vectors, coefficients = _vectors(attributes, attributes.get("n_supports", 0)), _numbers(attributes, "coefficients")
    if vectors is None or len(coefficients) != len(vectors):
        return None
    changed = {"coefficients": [1.0], "support_vectors": [1.0], "n_supports": 1}
    return (coefficients @ vectors).astype(np.float32)[np.newaxis], np.zeros(1, np.float32), attributes | changed


def _vectors(attributes: dict[str, Any], count: int) -> NDArray[np.float64] | None:
    """Support vectors [count, columns]; None without any, or with another kernel."""
    flat = _numbers(attributes, "support_vectors")
    linear = attributes.get("kernel_type", b"LINEAR") == b"LINEAR"
    return flat.reshape(count, -1) if linear and count > 0 and len(flat) and len(flat) % count == 0 else None


def _numbers(attributes: Mapping[str, Any], name: str) -> NDArray[np.float64]:
    return np.array(attributes.get(name, ()), np.float64)


OPENED: Final[Mapping[tuple[str, str], Callable[[dict[str, Any]], Opened | None]]] = MappingProxyType(
    {
        (ML, "LinearClassifier"): _linear,
        (ML, "LinearRegressor"): _linear,
        (ML, "SVMClassifier"): _voting,
        (ML, "SVMRegressor"): _supporting,
    }
)
