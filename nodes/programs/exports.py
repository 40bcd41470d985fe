"""What exporters write that is no table of numbers: ZipMap at the end is cut off, and text labels become numbers. Pure.

It works on graphs that nobody has checked, before the gate looks on. Texts stay with whoever has the file: what is left
of them in the program are their positions in a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper

from nodes.programs.operators import ML
from nodes.programs.tensors import tensor_of
from schemas.errors import BadProgram

Texts = tuple[str, ...]

_CLASSIFIERS: Final = {
    "LinearClassifier": "classlabels_ints",
    "SVMClassifier": "classlabels_ints",
    "TreeEnsembleClassifier": "classlabels_int64s",
}
"""And the attribute that holds their labels when those are numbers."""
_MOVES: Final = frozenset(
    {"ArrayFeatureExtractor", "Flatten", "Gather", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)
"""What may happen to labels, or to a list of them, before they are given out."""
_WHOLE: Final = frozenset({TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL})


@dataclass(frozen=True, slots=True)
class Exported:
    """What was said of outputs, by name."""

    labels: dict[str, Texts]
    """Of those that a ZipMap gave as a dictionary for each row: its keys, which name their columns."""
    whole: dict[str, Texts]
    """Of those of whole numbers: the texts that these stand for, from 0 on; none where they are numbers."""


def trim(graph: GraphProto) -> Exported:
    """Cut ZipMap off the end, and put numbers in the place of text labels. Changes `graph`.

    Raises BadProgram when something is computed of a label's text, or when nothing but unknown text is given.
    """
    _cut_lists(graph)
    labels, texts = _cut_dictionaries(graph), _number_texts(graph)
    for info in graph.output:
        if info.name in texts:
            info.type.tensor_type.elem_type = TensorProto.INT64
    kept = [info for info in graph.output if info.type.tensor_type.elem_type != TensorProto.STRING]
    if graph.output and not kept:
        raise BadProgram("the program gives text only; export it with probabilities, or with numbers as labels")
    if len(kept) < len(graph.output):
        graph.ClearField("output")
        graph.output.extend(kept)
    whole = [info.name for info in kept if info.type.tensor_type.elem_type in _WHOLE]
    return Exported(labels, {name: texts.get(name, ()) for name in whole})


def _cut_lists(graph: GraphProto) -> None:
    """A list at the end, as of a classifier with several labels, becomes an output for each of its values."""
    makers = {name: node for node in graph.node for name in node.output}
    outputs: list[ValueInfoProto] = []
    for info in graph.output:
        node = makers.get(info.name)
        if node is None or node.domain or node.op_type != "SequenceConstruct":
            outputs.append(info)
            continue
        outputs += [ValueInfoProto(name=name) for name in node.input]
        graph.node.remove(node)
    if len(outputs) != len(graph.output):
        del graph.output[:]
        graph.output.extend(outputs)


def _cut_dictionaries(graph: GraphProto) -> dict[str, Texts]:
    makers = {name: node for node in graph.node for name in node.output}
    labels = {}
    for info in graph.output:
        node = makers.pop(info.name, None)
        if node is not None and (node.domain, node.op_type) == (ML, "ZipMap") and len(node.input) == 1:
            info.name = node.input[0]
            info.ClearField("type")
            labels[info.name] = _strings(node, "classlabels_strings") or _keys(node)
            graph.node.remove(node)
    return labels


def _keys(node: NodeProto) -> Texts:
    return tuple(str(key) for each in node.attribute if each.name == "classlabels_int64s" for key in each.ints)


def _number_texts(graph: GraphProto) -> dict[str, Texts]:
    """Values that were text and are positions in a list now; the list of each."""
    texts: dict[str, Texts] = {}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.STRING:
            texts[tensor.name] = _decoded(tensor.string_data)
            _number_tensor(tensor)
    for node in graph.node:
        found = _moved(node, texts) if any(name in texts for name in node.input) else _made(node)
        if found and node.output:
            texts[node.output[0]] = found
    return texts


def _moved(node: NodeProto, texts: Mapping[str, Texts]) -> Texts:
    """Of a node that takes a label; it may only pass it on."""
    name = node.op_type
    to_text = any(each.name == "to" and each.i == TensorProto.STRING for each in node.attribute)
    if node.input[0] not in texts or not (name in _MOVES or (name == "Cast" and to_text)):
        message = f"{name[:64]}: computes with a label's text; export the program without it"
        raise BadProgram(message, operator=name[:64])
    if name == "Cast":
        node.op_type = "Identity"
        node.ClearField("attribute")
    return texts[node.input[0]]


def _made(node: NodeProto) -> Texts:
    """Of a node that may make labels: their texts, if it did."""
    if node.domain != ML:
        return ()
    if node.op_type in _CLASSIFIERS:
        found = _strings(node, "classlabels_strings")
        _renumber(node, {"classlabels_strings": (_CLASSIFIERS[node.op_type], list(range(len(found))))} if found else {})
        return found
    values = _strings(node, "values_strings") if node.op_type == "LabelEncoder" else ()
    if not values:
        return ()
    default = next((each.s for each in node.attribute if each.name == "default_string"), b"_Unused")
    places = {text: at for at, text in enumerate(dict.fromkeys((*values, *_decoded([default]))))}
    changed = {"values_strings": ("values_int64s", [places[text] for text in values])}
    _renumber(node, changed | {"default_string": ("default_int64", places[_decoded([default])[0]])})
    return tuple(places)


def _renumber(node: NodeProto, changed: Mapping[str, tuple[str, int | list[int]]]) -> None:
    """Put attributes of numbers in the place of attributes of text."""
    if changed:
        kept = [each for each in node.attribute if each.name not in changed]
        node.ClearField("attribute")
        node.attribute.extend((*kept, *(helper.make_attribute(name, value) for name, value in changed.values())))


def _number_tensor(tensor: TensorProto) -> None:
    """Positions in the place of texts."""
    positions = np.arange(len(tensor.string_data), dtype=np.int64)
    fresh = tensor_of(positions, tensor.name)
    fresh.dims[:] = tensor.dims
    tensor.CopyFrom(fresh)


def _strings(node: NodeProto, name: str) -> Texts:
    return _decoded(next((each.strings for each in node.attribute if each.name == name), ()))


def _decoded(texts: Iterable[bytes | str]) -> Texts:
    return tuple(text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in texts)
