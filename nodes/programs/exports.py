"""What exporters put at the end of a graph that is no table of numbers: cut off, before the gate looks on. Pure."""

from __future__ import annotations

from onnx import GraphProto, NodeProto, TensorProto

from nodes.programs.operators import ML
from schemas.errors import BadProgram


def trim(graph: GraphProto) -> dict[str, tuple[str, ...]]:
    """Cut ZipMap off the end, and leave out text labels that stand beside other outputs. Changes `graph`.

    Returns, per output that a ZipMap gave a dictionary for each row, the keys of that: they name its columns. Raises
    BadProgram when nothing but text is left.
    """
    makers = {name: node for node in graph.node for name in node.output}
    labels = {}
    for info in graph.output:
        node = makers.pop(info.name, None)
        if node is not None and (node.domain, node.op_type) == (ML, "ZipMap") and len(node.input) == 1:
            info.name = node.input[0]
            info.ClearField("type")
            labels[info.name] = _keys(node)
            graph.node.remove(node)
    kept = [info for info in graph.output if info.type.tensor_type.elem_type != TensorProto.STRING]
    if graph.output and not kept:
        raise BadProgram("the program gives text only; export it with probabilities, or with numbers as labels")
    if len(kept) < len(graph.output):
        graph.ClearField("output")
        graph.output.extend(kept)
    return labels


def _keys(node: NodeProto) -> tuple[str, ...]:
    lists = {each.name: (*each.ints, *each.strings) for each in node.attribute}
    keys = lists.get("classlabels_int64s") or lists.get("classlabels_strings") or ()
    return tuple(key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key) for key in keys)
