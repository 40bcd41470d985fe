"""Where a program is cut in two: a beginning that ciphertexts can compute, and a rest that takes its results. Pure.

The cut is the smallest set of values, in numbers per row, that are affine in the columns (or polynomials of them) and
from which all outputs follow: a minimum cut of the graph, found by augmenting paths (Ford and Fulkerson, 1956), the
latest of several. Classifiers that are linear inside are opened first (`linear_inside`).
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto

from nodes.programs.check import check
from nodes.programs.interpret import apply, input_values
from nodes.programs.linear_inside import OPENED, import_standard, opened
from nodes.programs.operators import operator_of
from nodes.programs.polynomial import DEGREE_MAX
from nodes.programs.program import Node, Program
from nodes.programs.runtime import load
from nodes.programs.samples import up_to, without
from nodes.programs.tensors import tensor_of
from nodes.programs.values import Array, Kind, Trial, Value, constant
from schemas.errors import BadProgram

FLOATS: Final = {
    "tensor(float)": TensorProto.FLOAT,
    "tensor(double)": TensorProto.DOUBLE,
}
"""What the engine calls types that a value at the cut may have: results of ciphertexts are not exact."""
CUT: Final = "/cut"
"""Ends the names of the rest's inputs."""
_SOURCE: Final = ("", False)
_SINK: Final = ("", True)

_Side = tuple[str, bool]
"""A value where it is made (False) and where it is used (True)."""
_Room = dict[_Side, dict[_Side, float]]


@dataclass(frozen=True, slots=True)
class Cut:
    """The results of `beginning`, one per value in `at`, are the inputs of `rest`, whose results are the program's."""

    beginning: Program
    rest: Program
    at: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """What computing a row of zeros says of values that a beginning may compute."""

    values: Mapping[str, Value]
    outside: frozenset[str]
    """Those of them that are results, or that an operator takes which no beginning may compute."""


def cut(program: Program, *, products: bool = False) -> Cut:
    """The program in two parts; with `products` the first may be a polynomial where no affine one is small enough.

    Raises:
        BadProgram: every cut gives as many numbers per row as the program takes, so that all work would be the rest's.
    """
    if program.sum_rows:
        raise BadProgram("a program that adds rows up is not cut: the rest would have to add up, too")
    opens = any((each.domain, each.operator) in OPENED for each in program.nodes)
    whole = check(opened(program.canonical)) if opens else program
    try:
        return _cut(whole, 1)
    except BadProgram:
        if not products:
            raise
        return _cut(whole, DEGREE_MAX)


def _cut(program: Program, degree_max: int) -> Cut:
    known, inexact = _examined(program, degree_max), {each.name for each in program.inputs if each.dtype.kind != "f"}
    while True:
        at = _smallest(program, known, inexact)
        width = sum(known.values[name].elements for name in at)
        if not at:
            raise BadProgram(
                "what follows on its linear beginning takes whole numbers or float16; ciphertexts are inexact"
            )
        if width >= program.width_in:
            raise BadProgram(f"{width:,} numbers per row would come back for its {program.width_in:,} columns")
        model = ModelProto.FromString(program.canonical)
        beginning = check(up_to(program.canonical, at))
        types = {each.name: each.type for each in load(beginning.canonical).get_outputs()}
        wrong = {name for name in at if types[name] not in FLOATS}
        if not wrong:
            shapes = {name: (FLOATS[types[name]], known.values[name].shape[1:]) for name in at}
            return Cut(beginning, check(following(model, shapes)), at)
        inexact |= wrong


# What is affine -------------------------------------------------------------------------------------------------------


def _examined(program: Program, degree_max: int) -> _Known:
    """Try each operator on a row of zeros, if its rule says that the result is affine or of a low enough degree."""
    values = input_values(program.inputs, np.zeros((1, program.width_in)))
    constants, forms = dict(program.constants), Trial(1, program.limits)
    degrees, outside = dict.fromkeys(values, 1), set(program.outputs)
    for node in program.nodes:
        degree = _degree(node, degrees, constants)
        made = _tried(node, constants, values, forms) if degree <= degree_max else {}
        if not made:
            outside.update(node.inputs)
        for name, value in made.items():
            if value.kind is Kind.ROWS:
                values[name], degrees[name] = value, int(degree)
            else:
                constants[name] = value.array
    return _Known(values, frozenset(outside & values.keys()))


def _degree(node: Node, degrees: Mapping[str, int], constants: Mapping[str, Array]) -> float:
    """Of the results in the columns; 0 for constants, infinite where they are no polynomials."""
    if not all(name in degrees or name in constants for name in node.inputs if name):
        return math.inf
    operands = [degrees.get(name, 0) for name in node.inputs]
    operator = operator_of(node)
    if not any(operands) or (operator is not None and operator.linear(node, tuple(map(bool, operands)))):
        return max(operands, default=0)
    if (node.domain, node.operator) == ("", "Mul"):
        return sum(operands)
    if (node.domain, node.operator) == ("", "Pow") and not operands[1]:
        return operands[0] * max(1.0, float(constants[node.inputs[1]].max(initial=0)))
    return math.inf


def _tried(
    node: Node, constants: Mapping[str, Array], values: Mapping[str, Value], forms: Trial
) -> Mapping[str, Value]:
    """The node's results that the program uses; none where it cannot be run."""
    read = {name: constant(constants[name]) for name in node.inputs if name in constants}
    rows = {name: values[name] for name in node.inputs if name in values}
    try:
        return apply(node, read | rows, forms)
    except BadProgram:
        return {}


# The smallest cut -----------------------------------------------------------------------------------------------------


def _smallest(program: Program, known: _Known, inexact: Set[str]) -> tuple[str, ...]:
    """The values of the latest smallest cut, in the order in which they are made; none where every cut is infinite."""
    room = _rooms(program, known, inexact)
    while path := _way(room):
        steps = list(itertools.pairwise(path))
        least = min(room[one][other] for one, other in steps)
        if math.isinf(least):
            return ()
        for one, other in steps:
            room[one][other] -= least
            room[other][one] = room[other].get(one, 0.0) + least
    late = _before(room, _SINK)
    return tuple(name for name in known.values if (name, True) in late and (name, False) not in late)


def _rooms(program: Program, known: _Known, inexact: Set[str]) -> _Room:
    """How many numbers may pass from side to side: through a value as many as it has for one row."""
    room: _Room = {_SOURCE: {(each.name, False): math.inf for each in program.inputs}, _SINK: {}}
    for name, value in known.values.items():
        room[name, False] = {(name, True): math.inf if name in inexact else float(value.elements)}
        room[name, True] = {_SINK: math.inf} if name in known.outside else {}
    for node in program.nodes:
        for one, other in itertools.product(node.inputs, node.outputs):
            if one in known.values and other in known.values:
                room[one, True][other, False] = math.inf
    return room


def _way(room: _Room) -> list[_Side]:
    """A shortest way from source to sink with room left; empty where there is none."""
    came: dict[_Side, _Side] = {_SOURCE: _SOURCE}
    waiting = deque([_SOURCE])
    while waiting and _SINK not in came:
        one = waiting.popleft()
        for other, left in room[one].items():
            if left and other not in came:
                came[other] = one
                waiting.append(other)
    way = [_SINK] if _SINK in came else []
    while way and way[-1] != _SOURCE:
        way.append(came[way[-1]])
    return way[::-1]


def _before(room: _Room, end: _Side) -> set[_Side]:
    """All sides from which there is a way with room left."""
    into: dict[_Side, list[_Side]] = {side: [] for side in room}
    for one, others in room.items():
        for other, left in others.items():
            if left:
                into[other].append(one)
    found, waiting = {end}, [end]
    while waiting:
        new = [one for one in into[waiting.pop()] if one not in found]
        found.update(new)
        waiting += new
    return found


# The two parts --------------------------------------------------------------------------------------------------------


def following(model: ModelProto, shapes: Mapping[str, tuple[int, tuple[int, ...]]]) -> bytes:
    """Of the whole program, what follows from values of these types and shapes of one row, and from inputs."""
    made = without(model, "columns")
    import_standard(made)
    graph, wanted, kept = made.graph, {info.name for info in model.graph.output}, []
    for node in reversed(model.graph.node):
        if not wanted.isdisjoint(name for name in node.output if name not in shapes):
            wanted.update(node.input)
            kept.append(node)
    inputs = [info for info in model.graph.input if info.name in wanted and info.name not in shapes]
    del graph.input[:], graph.node[:]
    graph.input.extend(inputs)
    for name, (kind, shape) in shapes.items():
        _enter(graph, name, kind, shape)
    graph.node.extend(reversed(kept))
    return bytes(made.SerializeToString())


def _enter(graph: GraphProto, name: str, kind: int, shape: tuple[int, ...]) -> None:
    """An input of rows of numbers, and from it the value as the beginning had it."""
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
