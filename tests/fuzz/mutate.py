"""Changes an ONNX model as a model: bytes changed at random are mostly refused before the checks worth trying begin."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto

from nodes.programs.allowed import names, signature

NUMBERS = (-(2**63), -1, 0, 1, 2, 3, 7, 64, 65, 2**20, 2**31, 2**63 - 1)
FLOATS = (0.0, -0.0, 1.0, -1.5, 1e-45, 3e38, float("inf"), float("-inf"), float("nan"))


def mutated(data: bytes, seed: int) -> bytes | None:
    """The model with one to four changes, or None when these bytes are no model."""
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RuntimeError, ValueError):
        return None
    choose = random.Random(seed)
    try:
        for _ in range(choose.randint(1, 4)):
            choose.choice(CHANGES)(model.graph, choose)
    except (ValueError, TypeError):  # a name that is no text cannot be written again
        return None
    return bytes(model.SerializeToString())


def _operator(graph: GraphProto, choose: random.Random) -> None:
    node = _any(graph.node, choose)
    if node is not None:
        node.domain, node.op_type = choose.choice(sorted(names()))


def _wire(graph: GraphProto, choose: random.Random) -> None:
    node = _any(graph.node, choose)
    names = [name for each in graph.node for name in (*each.input, *each.output)]
    if node is not None and len(node.input) and names:
        node.input[choose.randrange(len(node.input))] = choose.choice(names)


def _attribute(graph: GraphProto, choose: random.Random) -> None:
    node = _any(graph.node, choose)
    attribute = None if node is None else _any(node.attribute, choose)
    if attribute is None:
        return
    if attribute.type == AttributeProto.INTS and len(attribute.ints):
        _change(attribute.ints, choose, NUMBERS)
    elif attribute.type == AttributeProto.FLOATS and len(attribute.floats):
        _change(attribute.floats, choose, FLOATS)
    elif attribute.type == AttributeProto.STRINGS and len(attribute.strings):
        attribute.strings[choose.randrange(len(attribute.strings))] = choose.choice(list(attribute.strings))
    elif attribute.type == AttributeProto.INT:
        attribute.i = choose.choice(NUMBERS)
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = choose.choice(FLOATS)


def _new_attribute(graph: GraphProto, choose: random.Random) -> None:
    node = _any(graph.node, choose)
    found = None if node is None else signature(node.domain, node.op_type, 20 if not node.domain else 3)
    if node is not None and found is not None and found.attributes:
        name = choose.choice(sorted(found.attributes))
        node.attribute.add(name=name, type=AttributeProto.INT, i=choose.choice(NUMBERS))


def _dims(graph: GraphProto, choose: random.Random) -> None:
    tensor = _any(graph.initializer, choose)
    if tensor is not None and len(tensor.dims):
        _change(tensor.dims, choose, NUMBERS)


def _copy(graph: GraphProto, choose: random.Random) -> None:
    node = _any(graph.node, choose)
    if node is None or len(graph.node) > 50:
        return
    copied = NodeProto()
    copied.CopyFrom(node)
    name = f"copy{len(graph.node)}"
    copied.output[:] = [f"{name}_{position}" for position in range(len(node.output))]
    if len(node.output) and len(copied.input):
        copied.input[0] = node.output[0]
    graph.node.append(copied)
    if len(graph.output) and len(copied.output):
        graph.output[0].name = copied.output[0]


def _any(values: Any, choose: random.Random) -> Any:
    return values[choose.randrange(len(values))] if len(values) else None


def _change(values: Any, choose: random.Random, among: Sequence[float]) -> None:
    values[choose.randrange(len(values))] = choose.choice([*among, *values[:8]])


CHANGES: tuple[Callable[[GraphProto, random.Random], None], ...] = (
    _operator,
    _wire,
    _attribute,
    _attribute,
    _new_attribute,
    _dims,
    _copy,
)
