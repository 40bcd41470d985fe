"""What a program makes of text: it runs at the renter when a job's table is made, and only numbers go on. Pure.

The mirror of the cut: a program with inputs of text is divided where numbers come of them (one-hot, ordinal, compared).
What divides and what only moves text is said by name; the rest of the program has inputs of numbers in the place of
text and is checked as any other. Nothing of the texts is in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from nodes.programs.allowed import names
from nodes.programs.check import INPUT_TYPES, check
from nodes.programs.fields import parsed
from nodes.programs.graph import require_text
from nodes.programs.parts import Shapes, following, giving
from nodes.programs.program import Input, Program, Takes
from nodes.programs.runtime import feeds, load, run, session
from nodes.programs.tensors import ENGINE_TYPES
from schemas.errors import BadProgram

TEXT: Final = np.dtype(object)
"""Of an input of text."""
_MOVES: Final = frozenset(
    {"ArrayFeatureExtractor", "Concat", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze"}
    | {"Transpose", "Unsqueeze", "Where"}
)
_NUMBERS: Final = frozenset({"OneHotEncoder", "LabelEncoder", "Equal", "Cast"})
"""Make numbers of text, unless they say that they make text again."""
_TRIED: Final = (2, 3)
"""Rows of a trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder(Takes):
    """From the columns that a whole program takes to those that the rest of it takes; `inputs` are the whole's."""

    model: bytes = field(repr=False)
    kept: tuple[str, ...]
    """Those of numbers that the rest takes as they are, before what is encoded."""
    outputs: tuple[tuple[str, int], ...]
    """What is encoded: names, and numbers per row."""

    def names(self, numbers: Sequence[str]) -> tuple[str, ...]:
        """Of the columns that are given, from those of the columns of numbers that are taken."""
        encoded = (f"{name}_{at}" if width > 1 else name for name, width in self.outputs for at in range(width))
        return (*(numbers[at] for at in self._kept_columns), *encoded)

    def encode(self, numbers: NDArray[np.float64], texts: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """Rows for the rest, from columns of numbers [rows, columns] and columns of text.

        Raises BadProgram: the program knows no number for a text.
        """
        numeric = [each for each in self.inputs if each.dtype != TEXT]
        given = dict(feeds(numeric, numbers))
        columns = iter(texts)
        for each in self.inputs:
            if each.dtype == TEXT:
                block = np.array([next(columns) for _ in range(each.width)], dtype=object).T
                given[each.name] = block if each.rank == 2 else block[:, 0]
        made = run(session(self.model), [name for name, _ in self.outputs], given)
        encoded = [array.reshape(len(numbers), -1).astype(np.float64) for array in made]
        return np.concatenate([numbers[:, list(self._kept_columns)], *encoded], axis=1)

    @property
    def _kept_columns(self) -> tuple[int, ...]:
        """Among the columns of numbers."""
        named = [each.name for each in self.inputs if each.dtype != TEXT for _ in range(each.width)]
        return tuple(at for at, name in enumerate(named) if name in self.kept)


def read(raw: bytes) -> tuple[Program, Encoder | None]:
    """A program as a job takes it, and what comes before where it takes text. Raises BadProgram."""
    if (model := parsed(raw)) is None:
        return check(raw), None
    require_text(model.graph)
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [info for info in model.graph.input if info.name not in constants]
    texts = {info.name for info in inputs if info.type.tensor_type.elem_type == TensorProto.STRING}
    if not texts:
        return check(raw), None
    made = _numbers(model.graph, texts)
    encoder, whole = _encoder(raw, made), tuple(map(_input, inputs))
    shapes = _shapes(encoder, whole, made)
    program = _rest(raw, shapes)
    kept = tuple(each.name for each in program.inputs if each.name in {info.name for info in inputs})
    widths = tuple((each, int(np.prod(shapes[each][1], dtype=int))) for each in shapes)
    return program, Encoder(inputs=whole, model=encoder, kept=kept, outputs=widths)


def _rest(raw: bytes, shapes: Shapes) -> Program:
    """What follows on the numbers. Exporters put float32 from one-hot encoders beside float64 columns, which the engine
    refuses; zeros and ones are the same in both."""
    wider = {TensorProto.FLOAT: TensorProto.DOUBLE}
    wide = {name: (wider.get(kind, kind), shape) for name, (kind, shape) in shapes.items()}
    try:
        return _runnable(following(raw, shapes))
    except BadProgram:
        with contextlib.suppress(BadProgram):
            return _runnable(following(raw, wide))
        raise


def _runnable(raw: bytes) -> Program:
    program = check(raw)
    session(program.canonical)
    return program


def _numbers(graph: GraphProto, texts: set[str]) -> list[str]:
    """The values that numbers are in first, in their order. Raises BadProgram where text is computed with otherwise."""
    text, found = set(texts), []
    for node in graph.node:
        if text.isdisjoint(node.input):
            continue
        if node.op_type not in _MOVES | _NUMBERS:
            raise BadProgram(f"{node.op_type[:64]}: cannot take text; encode it before", operator=node.op_type[:64])
        if node.op_type in _MOVES or _gives_text(node):
            text.update(node.output)
        else:
            found += list(node.output)
    if any(info.name in text for info in graph.output):
        raise BadProgram("the program gives text of its input back; export it without that output")
    if not found:
        raise BadProgram("the program takes text and makes nothing of it; export it without that input")
    return found


def _gives_text(node: NodeProto) -> bool:
    return any(
        (each.name == "to" and each.i == TensorProto.STRING)
        or (each.name == "values_strings" and len(each.strings))
        or (each.name == "values_tensor" and each.t.data_type == TensorProto.STRING)
        for each in node.attribute
    )


def _encoder(raw: bytes, made: Sequence[str]) -> bytes:
    """What gives these values. Raises BadProgram: an operator in it is not allowed."""
    encoder = giving(raw, made)
    for node in ModelProto.FromString(encoder).graph.node:
        domain = "" if node.domain == "ai.onnx" else node.domain
        if (domain, node.op_type) not in names():
            raise BadProgram(f"the operator {node.op_type[:64]} is not allowed", operator=node.op_type[:64])
    return encoder


def _shapes(encoder: bytes, inputs: Sequence[Input], made: Sequence[str]) -> Shapes:
    """Type and shape of one row, of each value. Raises BadProgram where neither the file nor a trial says them."""
    engine = load(encoder)
    found = {each.name: (each.type, each.shape) for each in engine.get_outputs()}
    if not all(_is_known(shape) for _, shape in found.values()):
        with contextlib.suppress(BadProgram):
            tried = _tried(engine, inputs)
            found = {name: (kind, tried[name]) for name, (kind, _) in found.items()}
    shapes = {}
    for name in made:
        said, shape = found[name]
        kind = ENGINE_TYPES.get(said, TensorProto.UNDEFINED)
        if kind not in INPUT_TYPES or not _is_known(shape):
            raise BadProgram(f"what the program makes of text is not known to be rows of numbers: {name[:64]}")
        shapes[name] = (kind, tuple(shape[1:]))
    return shapes


def _is_known(shape: Sequence[object]) -> bool:
    return len(shape) > 0 and all(isinstance(each, int) for each in shape[1:])


def _tried(engine: Any, inputs: Sequence[Input]) -> Mapping[str, Sequence[object]]:
    """Shapes of what comes of rows without text, () where it does not grow with them: exporters pick columns of text
    out of a matrix by operators whose shapes nothing infers. Raises BadProgram: it does not run."""
    names = [each.name for each in engine.get_outputs()]
    few, more = ([each.shape for each in run(engine, names, _empty(inputs, count))] for count in _TRIED)
    grows = [(one[:1], other) == (_TRIED[:1], (*_TRIED[1:], *one[1:])) for one, other in zip(few, more, strict=True)]
    return {name: shape if as_rows else () for name, shape, as_rows in zip(names, few, grows, strict=True)}


def _empty(inputs: Sequence[Input], rows: int) -> dict[str, NDArray[Any]]:
    shapes = {each.name: (rows, each.width)[: each.rank] for each in inputs}
    return {each.name: np.full(shapes[each.name], "" if each.dtype == TEXT else 0, each.dtype) for each in inputs}


def _input(info: ValueInfoProto) -> Input:
    """Raises BadProgram; what else may be wrong with inputs of numbers, `check` says of the rest."""
    dims, kind = info.type.tensor_type.shape.dim, info.type.tensor_type.elem_type
    width = dims[1].dim_value if len(dims) == 2 else 1
    if not 1 <= len(dims) <= 2 or width < 1 or (dims[0].HasField("dim_value") and dims[0].dim_value >= 0):
        raise BadProgram(f"the input {info.name[:64]} must be declared as [N, columns]")
    return Input(info.name, width, len(dims), np.dtype(INPUT_TYPES[kind]) if kind in INPUT_TYPES else TEXT)
