"""Parts of a model: what gives some of its values, and what follows on them. Pure."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

from nodes.programs.linear_inside import import_standard
from nodes.programs.tensors import tensor_of

CUT: Final = "/cut"
"""Ends the names of inputs that stand for values."""

Shapes = Mapping[str, tuple[int, tuple[int, ...]]]
"""Values by name: the TensorProto.DataType, and the shape of one row."""


def giving(raw: bytes, names: Sequence[str]) -> bytes:
    """What of the model gives the named values, its outputs, from all its inputs."""
    graph = (model := ModelProto.FromString(raw)).graph
    nodes, _ = _needed(graph, names)
    del graph.node[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.output.extend(ValueInfoProto(name=name) for name in names)
    _leave_out(model, "results")
    return bytes(model.SerializeToString(deterministic=True))


def following(raw: bytes, shapes: Shapes) -> bytes:
    """What follows from values of these types and shapes, and from those inputs that it takes beside them."""
    graph = (model := ModelProto.FromString(raw)).graph
    nodes, wanted = _needed(graph, [info.name for info in graph.output], shapes)
    inputs = [info for info in graph.input if info.name in wanted and info.name not in shapes]
    del graph.node[:], graph.input[:]
    graph.input.extend(inputs)
    for name, (kind, shape) in shapes.items():
        _enter(graph, name, kind, shape)
    graph.node.extend(nodes)
    _leave_out(model, "columns")
    import_standard(model)
    return bytes(model.SerializeToString(deterministic=True))


def _needed(graph: GraphProto, names: Iterable[str], given: Container[str] = ()) -> tuple[list[NodeProto], set[str]]:
    """The nodes that make the named values, in their order, where some are given; and all values that those take."""
    wanted, kept = set(names), []
    for node in reversed(graph.node):
        if any(name and name in wanted and name not in given for name in node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1], wanted


def _leave_out(model: ModelProto, key: str) -> None:
    said = [entry for entry in model.metadata_props if entry.key != key]
    del model.metadata_props[:]
    model.metadata_props.extend(said)


def _enter(graph: GraphProto, name: str, kind: int, shape: tuple[int, ...]) -> None:
    """An input of rows of numbers, and from it the value as it was."""
    tensor = graph.input.add(name=name + CUT).type.tensor_type
    tensor.elem_type = kind
    tensor.shape.dim.add(dim_param="N")
    if shape:
        tensor.shape.dim.add(dim_value=math.prod(shape))
    if len(shape) < 2:
        graph.node.add(op_type="Identity", input=[name + CUT], output=[name])
        return
    graph.initializer.append(tensor_of(np.array([0, *shape], np.int64), f"{name}{CUT}/shape"))
    graph.node.add(op_type="Reshape", input=[name + CUT, f"{name}{CUT}/shape"], output=[name])
