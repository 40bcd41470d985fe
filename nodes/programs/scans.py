"""Distances to constant rows, which exporters of neighbours and kernels write as a Scan: as operators on all of them at
once, so that the gate needs no graph inside an operator. Other Scans stay, and are refused. Pure."""

from __future__ import annotations

from typing import Final

import numpy as np
from onnx import GraphProto, NodeProto, helper, numpy_helper

from nodes.programs.limits import ProgramLimits
from nodes.programs.tensors import array_of

_ELEMENTWISE: Final = frozenset({"Identity", "Sub", "Abs", "Pow", "Mul"})
_REDUCTIONS: Final = frozenset({"ReduceSum", "ReduceSumSquare", "ReduceMax"})
_AXES_ARE_OPERANDS: Final = 13
"""Of Unsqueeze, since this operator set."""


def write_out(graph: GraphProto, opset: int, limits: ProgramLimits) -> None:
    """Replace each Scan that keeps its state [N, F] and reduces, for every scanned row [F], what it makes of both over
    axis 1 to [N]: the scanned rows become [M, 1, F], and axis 1 axis 2. Changes `graph`. Raises BadProgram."""
    nodes: list[NodeProto] = []
    for number, node in enumerate(graph.node):
        body = _body(node, limits)
        nodes += [node] if body is None else _flat(graph, node, body, f"scan{number}/", opset)
    if len(nodes) != len(graph.node):
        del graph.node[:]
        graph.node.extend(nodes)


def _body(node: NodeProto, limits: ProgramLimits) -> GraphProto | None:
    """The graph of a Scan that can be written out."""
    attributes = {each.name: each for each in node.attribute}
    if node.op_type != "Scan" or node.domain or set(attributes) != {"body", "num_scan_inputs"}:
        return None
    body = attributes["body"].g
    shapes = (len(node.input), len(node.output), len(body.input), len(body.output), attributes["num_scan_inputs"].i)
    reductions = [position for position, each in enumerate(body.node) if each.op_type in _REDUCTIONS]
    if shapes != (2, 2, 2, 2, 1) or len(reductions) != 1 or not _reduces(body, body.node[reductions[0]], limits):
        return None
    plain = all(each.op_type in _ELEMENTWISE or each.op_type in _REDUCTIONS for each in body.node)
    last = all(each.op_type == "Identity" for each in body.node[reductions[0] + 1 :])
    keeps = any(
        (each.op_type, list(each.input), list(each.output)) == ("Identity", [body.input[0].name], [body.output[0].name])
        for each in body.node
    )
    return body if plain and last and keeps else None


def _reduces(body: GraphProto, node: NodeProto, limits: ProgramLimits) -> bool:
    """Whether a reduction is over axis 1, which it drops."""
    attributes = {each.name: each for each in node.attribute}
    constants = {each.name: each for each in body.initializer}
    axes = list(attributes["axes"].ints) if "axes" in attributes else []
    if len(node.input) == 2 and node.input[1] in constants:
        axes = array_of(constants[node.input[1]], limits).tolist()
    return axes == [1] and "keepdims" in attributes and attributes["keepdims"].i == 0


def _flat(graph: GraphProto, node: NodeProto, body: GraphProto, prefix: str, opset: int) -> list[NodeProto]:
    scanned = f"{prefix}rows"
    names = {body.input[0].name: node.input[0], body.input[1].name: scanned, body.output[1].name: node.output[1]}
    made = {name for each in body.node for name in each.output} | {each.name for each in body.initializer}
    names = {name: f"{prefix}{name}" for name in made} | names | {"": ""}
    for tensor in body.initializer:
        graph.initializer.add().CopyFrom(tensor)
        graph.initializer[-1].name = names[tensor.name]
    graph.initializer.extend([numpy_helper.from_array(np.array([axis]), f"{prefix}axis{axis}") for axis in (1, 2)])
    operands = [node.input[1], f"{prefix}axis1"] if opset >= _AXES_ARE_OPERANDS else [node.input[1]]
    axes = {} if opset >= _AXES_ARE_OPERANDS else {"axes": [1]}
    copies = [helper.make_node("Unsqueeze", operands, [scanned], **axes)]
    for each in body.node:
        copies.append(NodeProto())
        copies[-1].CopyFrom(each)
        copies[-1].input[:] = [names.get(name, name) for name in each.input]
        copies[-1].output[:] = [names[name] for name in each.output]
        if each.op_type in _REDUCTIONS:
            _reduce_last(copies[-1], f"{prefix}axis2")
    return copies


def _reduce_last(node: NodeProto, axes: str) -> None:
    for attribute in node.attribute:
        if attribute.name == "axes":
            attribute.ints[:] = [2]
    if len(node.input) == 2:
        node.input[1] = axes
