"""A checked program written as ONNX again, from what was understood of it: no names, comments, types or fields beside.
The same program gives the same bytes, so its digest names it. Types stay as they were declared, being part of what a
program means; those of outputs are left to the engine, which infers them. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, ValueInfoProto, helper

from nodes.programs.program import AttributeValue, Node
from nodes.programs.tensors import tensor_of
from nodes.programs.values import Array

IR_VERSION = 8


def canonical_model(
    nodes: Sequence[Node],
    constants: Mapping[str, Array],
    graph: GraphProto,
    versions: Mapping[str, int],
    names: Mapping[str, Sequence[str]],
) -> bytes:
    """The serialised model. `names` are those of columns and of results, where the program says them."""
    model = ModelProto(ir_version=IR_VERSION)
    for domain in sorted(versions):
        model.opset_import.add(domain=domain, version=versions[domain])
    for key in sorted(names):
        if names[key]:
            model.metadata_props.add(key=key, value=json.dumps(list(names[key])))
    model.graph.name = "program"
    model.graph.node.extend(_node(node) for node in nodes)
    model.graph.initializer.extend(tensor_of(constants[name], name) for name in sorted(constants))
    model.graph.input.extend(_input(info) for info in graph.input if info.name not in _initialisers(graph))
    model.graph.output.extend(ValueInfoProto(name=info.name) for info in graph.output)
    return bytes(model.SerializeToString(deterministic=True))


def _initialisers(graph: GraphProto) -> frozenset[str]:
    return frozenset(tensor.name for tensor in graph.initializer)


def _input(info: ValueInfoProto) -> ValueInfoProto:
    result = ValueInfoProto(name=info.name)
    tensor = result.type.tensor_type
    tensor.elem_type = info.type.tensor_type.elem_type
    tensor.shape.dim.add(dim_param="N")
    for dim in info.type.tensor_type.shape.dim[1:]:
        tensor.shape.dim.add(dim_value=dim.dim_value)
    return result


def _node(node: Node) -> NodeProto:
    result = NodeProto(op_type=node.operator, domain=node.domain, input=node.inputs, output=node.outputs)
    result.attribute.extend(_attribute(name, node.attributes[name]) for name in sorted(node.attributes))
    return result


def _attribute(name: str, value: AttributeValue) -> AttributeProto:
    if isinstance(value, np.ndarray):
        return AttributeProto(name=name, type=AttributeProto.TENSOR, t=tensor_of(value, ""))
    return helper.make_attribute(name, value, attr_type=None if value != () else AttributeProto.INTS)
