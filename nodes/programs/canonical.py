"""A checked program written as ONNX again, from what was understood of it: no names, comments, types or fields beside.
The same program gives the same bytes, so its digest names it. Types stay as they were declared, being part of what a
program means; those of outputs are left to the engine, which infers them. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, ValueInfoProto, helper

from nodes.programs.allowed import FIELDS
from nodes.programs.program import AttributeValue, Input, Node
from nodes.programs.tensors import put
from nodes.programs.values import Array

IR_VERSION = 8


def canonical_model(
    nodes: Sequence[Node],
    constants: Mapping[str, Array],
    inputs: Sequence[Input],
    outputs: Sequence[str],
    versions: Mapping[str, int],
) -> bytes:
    """The serialised model without names. Made in place: what is put into a protobuf message is copied."""
    model = ModelProto(ir_version=IR_VERSION)
    for domain in sorted(versions):
        model.opset_import.add(domain=domain, version=versions[domain])
    model.graph.name = "program"
    for node in nodes:
        _add_node(model.graph, node)
    for name in sorted(constants):
        put(model.graph.initializer.add(), constants[name], name)
    for each in inputs:
        _add_input(model.graph, each)
    model.graph.output.extend(ValueInfoProto(name=name) for name in outputs)
    return bytes(model.SerializeToString(deterministic=True))


def canonical_names(names: Mapping[str, Sequence[str]]) -> bytes:
    """What to append to a model so that it says the names of columns and results, where the program says them: two
    serialised messages after each other are the serialised whole, and nothing in a model comes after its metadata."""
    model = ModelProto()
    for key in sorted(names):
        if names[key]:
            model.metadata_props.add(key=key, value=json.dumps(list(names[key])))
    return bytes(model.SerializeToString(deterministic=True))


def _add_input(graph: GraphProto, declared: Input) -> None:
    tensor = graph.input.add(name=declared.name).type.tensor_type
    tensor.elem_type = helper.np_dtype_to_tensor_dtype(declared.dtype)
    tensor.shape.dim.add(dim_param="N")
    if declared.rank == 2:
        tensor.shape.dim.add(dim_value=declared.width)


def _add_node(graph: GraphProto, node: Node) -> None:
    made = graph.node.add(op_type=node.operator, domain=node.domain, input=node.inputs, output=node.outputs)
    for name in sorted(node.attributes):
        _set(made.attribute.add(name=name, type=node.signature.attributes[name]), node.attributes[name])


def _set(attribute: AttributeProto, value: AttributeValue) -> None:
    if isinstance(value, np.ndarray):
        put(attribute.t, value, "")
    elif isinstance(value, tuple):
        getattr(attribute, FIELDS[attribute.type]).extend(value)
    else:
        setattr(attribute, FIELDS[attribute.type], value)
