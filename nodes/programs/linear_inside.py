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

Numbers = NDArray[np.float64]
Opened = tuple[Numbers, Numbers, Numbers, dict[str, Any]]
"""Factors [sums, vectors], or a number, times vectors [vectors, columns] are the weights; what is added; attributes."""


def opened(canonical: bytes, *, absolute: bool = False) -> bytes:
    """The program with such operators in two; as it is where it has none.

    With `absolute`, of the sums those of absolute terms that the whole operator adds up, of which its rounding in
    float32 is a share. It multiplies by support vectors first, and then by factors: large ones often cancel out.
    """
    model = ModelProto.FromString(canonical)
    nodes = list(model.graph.node)
    model.graph.ClearField("node")
    for node in nodes:
        way = OPENED.get((node.domain, node.op_type))
        found = None if way is None else way({each.name: helper.get_attribute_value(each) for each in node.attribute})
        if found is not None:
            _open(model, node, found, absolute=absolute)
        model.graph.node.append(node)
    import_standard(model)
    return bytes(model.SerializeToString())


def import_standard(model: ModelProto) -> None:
    """The operators of ai.onnx, where it has none yet."""
    if not any(entry.domain == "" for entry in model.opset_import):
        model.opset_import.add(domain="", version=OPSET)


def _open(model: ModelProto, node: NodeProto, found: Opened, *, absolute: bool) -> None:
    """Put the product before the node, which computes in float32 whatever it takes."""
    graph, name = model.graph, node.output[-1] or node.output[0]
    taken, matrix, vector, sums = (f"{name}/{each}" for each in ("taken", "weights", "added", "sums"))
    factors, vectors, added = (np.abs(each) if absolute else each for each in found[:-1])
    weights = np.dot(factors, vectors).T.astype(np.float32)
    graph.initializer.extend((tensor_of(weights, matrix), tensor_of(added.astype(np.float32), vector)))
    graph.node.append(helper.make_node("Cast", [node.input[0]], [taken], to=TensorProto.FLOAT))
    if absolute:
        graph.node.append(helper.make_node("Abs", [taken], [taken := f"{name}/terms"]))
    graph.node.append(helper.make_node("Gemm", [taken, matrix, vector], [sums]))
    node.input[0] = sums
    node.ClearField("attribute")
    node.attribute.extend(helper.make_attribute(key, value) for key, value in found[-1].items() if value != [])


def _linear(attributes: dict[str, Any]) -> Opened | None:
    """LinearClassifier and LinearRegressor: a row of coefficients per sum."""
    weights, added = (_numbers(attributes, name) for name in ("coefficients", "intercepts"))
    if not len(added) or not len(weights) or len(weights) % len(added):
        return None
    rows = np.column_stack([weights.reshape(len(added), -1), added])
    kept, mixed = _distinct(rows)
    changed = {"coefficients": mixed.ravel().tolist(), "intercepts": [0.0] * len(added)}
    return np.ones(()), rows[kept, :-1], rows[kept, -1], attributes | changed


def _distinct(rows: Numbers) -> tuple[list[int], Numbers]:
    """Which rows are no other's copy or opposite, and how all follow from them: exporters give two classes one each."""
    kept: list[int] = []
    known: dict[bytes, tuple[int, float]] = {}
    mixed = np.zeros((len(rows), len(rows)))
    for at, row in enumerate(rows + 0.0):  # no zero is negative
        if row.tobytes() not in known:
            known |= {(0.0 - row).tobytes(): (len(kept), -1.0), row.tobytes(): (len(kept), 1.0)}
            kept.append(at)
        place, sign = known[row.tobytes()]
        mixed[at, place] = sign
    return kept, mixed[:, : len(kept)]


def _voting(attributes: dict[str, Any]) -> Opened | None:
    """SVMClassifier with a linear kernel: a sum per pair of classes, as if each were a support vector of the first."""
    classes = attributes.get("vectors_per_class", [])
    pairs = list(itertools.combinations(range(len(classes)), 2))
    vectors, coefficients = _vectors(attributes, sum(classes)), _numbers(attributes, "coefficients")
    if vectors is None or len(coefficients) != (len(classes) - 1) * len(vectors) or len(pairs) >= vectors.shape[1]:
        return None  # other than of a kernel, or as many sums as columns
    rows, ends = coefficients.reshape(-1, len(vectors)), np.cumsum([0, *classes])
    factors = np.zeros((len(pairs), len(vectors)))
    mixed = np.zeros((len(rows), len(pairs)))
    for at, (one, other) in enumerate(pairs):
        for row, side in ((other - 1, one), (one, other)):
            mine = slice(ends[side], ends[side + 1])
            factors[at, mine] = rows[row, mine]
        mixed[other - 1, at] = 1.0
    changed = {
        "coefficients": mixed.ravel().tolist(),
        "support_vectors": np.eye(len(pairs)).ravel().tolist(),
        "vectors_per_class": list(range(len(classes)))[::-1],
    }
    return factors, vectors, np.zeros(len(pairs)), attributes | changed


def _supporting(attributes: dict[str, Any]) -> Opened | None:
    """SVMRegressor with a linear kernel: one sum."""
    vectors, coefficients = _vectors(attributes, attributes.get("n_supports", 0)), _numbers(attributes, "coefficients")
    if vectors is None or len(coefficients) != len(vectors):
        return None
    changed = {"coefficients": [1.0], "support_vectors": [1.0], "n_supports": 1}
    return coefficients[np.newaxis], vectors, np.zeros(1), attributes | changed


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
