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

from nodes.programs.algebra import FLOATS
from nodes.programs.check import check
from nodes.programs.interpret import apply, input_values
from nodes.programs.linear_inside import OPENED, opened
from nodes.programs.operators import operator_of
from nodes.programs.parts import following, giving
from nodes.programs.polynomial import DEGREE_MAX
from nodes.programs.program import Node, Program
from nodes.programs.runtime import load
from nodes.programs.tensors import ENGINE_TYPES
from nodes.programs.values import Array, Kind, Trial, Value, constant
from schemas.errors import BadProgram

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
        beginning = check(giving(program.canonical, at))
        types = {each.name: ENGINE_TYPES[each.type] for each in load(beginning.canonical).get_outputs()}
        wrong = {name for name in at if types[name] not in FLOATS}  # results of ciphertexts are not exact
        if not wrong:
            shapes = {name: (types[name], known.values[name].shape[1:]) for name in at}
            return Cut(beginning, check(following(program.canonical, shapes)), at)
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
    while _SOURCE in (after := _towards_sink(room)):
        way = [_SOURCE]
        while way[-1] != _SINK:
            way.append(after[way[-1]])
        steps = list(itertools.pairwise(way))
        least = min(room[other][one] for one, other in steps)
        if math.isinf(least):
            return ()
        for one, other in steps:
            room[other][one] -= least
            room[one][other] = room[one].get(other, 0.0) + least
    return tuple(name for name in known.values if (name, True) in after and (name, False) not in after)


def _rooms(program: Program, known: _Known, inexact: Set[str]) -> _Room:
    """How many numbers may pass to a side, by where from: through a value as many as it has for one row."""
    room: _Room = {_SOURCE: {}, _SINK: {(name, True): math.inf for name in known.outside}}
    for name, value in known.values.items():
        room[name, False] = {}
        room[name, True] = {(name, False): math.inf if name in inexact else float(value.elements)}
    for each in program.inputs:
        room[each.name, False][_SOURCE] = math.inf
    for node in program.nodes:
        for one, other in itertools.product(node.inputs, node.outputs):
            if one in known.values and other in known.values:
                room[other, False][one, True] = math.inf
    return room


def _towards_sink(room: _Room) -> Mapping[_Side, _Side]:
    """The next side on a shortest way to the sink, of all sides that have one with room left."""
    after: dict[_Side, _Side] = {_SINK: _SINK}
    waiting = deque([_SINK])
    while waiting:
        other = waiting.popleft()
        for one, left in room[other].items():
            if left and one not in after:
                after[one] = other
                waiting.append(one)
    return after
