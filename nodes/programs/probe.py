"""Runs a program on a few rows, every value watched: is each row computed by itself, and what comes out?

It proves by trying what no static rule says of a wide set of operators. Every value that depends on the input must have
one axis that grows with the number of rows, and be the same for a row wherever it stands; in results this is the first
axis. Sums over rows are followed by linear operators only, so that sums of batches add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nodes.programs.interpret import sums_stay_linear
from nodes.programs.parts import giving
from nodes.programs.program import Input, Node
from nodes.programs.runtime import feeds, load, run
from nodes.programs.samples import samples
from nodes.programs.values import Kind, sums_rows
from schemas.errors import BadProgram

COUNTS: Final = (67, 61, 2)
"""Of rows. Among two every row stands out: a largest one of many may be the largest of most of them too."""
TOLERANCE: Final = 1e-3
"""Of a value among the rows of another order; float16 differs by this much."""

_NO_ENTRY: Final = "its result does not have one entry per row"
_DEPENDS: Final = "the result for a row depends on the other rows"

Values = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value has its rows: in an axis, in which a row's entries stand together or, if `apart`, a row's length
    from each other."""

    axis: int
    apart: bool

    def rows(self, value: NDArray[Any], count: int) -> NDArray[Any]:
        """The value as [count, entries of a row]."""
        before, each, after = value.shape[: self.axis], value.shape[self.axis] // count, value.shape[self.axis + 1 :]
        split = (each, count) if self.apart else (count, each)
        return np.moveaxis(value.reshape(*before, *split, *after), self.axis + self.apart, 0).reshape(count, -1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a program gives: numbers per row and output, and how many numbers one row makes in all."""

    widths: tuple[int, ...]
    sum_rows: bool
    row_elements: int


def probe(canonical: bytes, inputs: tuple[Input, ...], nodes: tuple[Node, ...], outputs: tuple[str, ...]) -> Outcome:
    """Run the program that `canonical` holds, whose parts the others are.

    Raises BadProgram naming the operator that mixes rows, or that fails.
    """
    names = [name for node in nodes for name, wanted in zip(node.outputs, node.wanted, strict=True) if wanted]
    made = load(giving(canonical, names))
    rows, turned = samples(canonical, inputs, nodes, COUNTS[0]), np.roll(np.arange(COUNTS[0]), 17)
    whole, other, part, few = (
        dict(feeds(inputs, each)) | dict(zip(names, run(made, names, feeds(inputs, each)), strict=True))
        for each in (rows, rows[turned], *(rows[:count] for count in COUNTS[1:]))
    )
    kinds = {each.name: Kind.ROWS for each in inputs}
    for node in nodes:
        kind = _kind(node, kinds, whole, part)
        for name in (name for name in node.outputs if name in whole):
            kinds[name] = kind
            if kind is Kind.ROWS:
                place = _place(node, (whole[name], other[name], part[name], few[name]), turned)
                if name in outputs and (place.apart or math.prod(whole[name].shape[: place.axis]) > 1):
                    raise _mixes(node, _NO_ENTRY)
    return _outcome(outputs, kinds, whole)


def _kind(node: Node, kinds: Mapping[str, Kind], whole: Values, part: Values) -> Kind:
    found = [kinds.get(name, Kind.CONSTANT) for name in node.inputs]
    if node.operator in ("Shape", "Size") and not node.domain:
        return Kind.CONSTANT if set(found) <= {Kind.CONSTANT} else Kind.SIZE
    if Kind.SUMMED in found:
        sums_stay_linear(node, tuple(kind is not Kind.CONSTANT for kind in found))
        if Kind.ROWS in found or Kind.SIZE in found:
            raise _mixes(node, "a sum over rows meets single rows")
        return Kind.SUMMED
    if Kind.ROWS in found:
        name = next(name for name in node.outputs if name in whole)
        same = node.operator == "ReduceSum" and whole[name].shape == part[name].shape
        return Kind.SUMMED if same else Kind.ROWS
    return Kind.SIZE if Kind.SIZE in found else Kind.CONSTANT


def _place(node: Node, values: tuple[NDArray[Any], ...], turned: NDArray[np.intp]) -> Place:
    """Of the rows in a value, of which are given: all, all in another order, the first, the first two."""
    whole, other, *firsts = values
    axis = _row_axis(whole, *firsts)
    if axis is None or whole.shape != other.shape:
        raise _mixes(node, _NO_ENTRY)
    for place in (Place(axis, apart=False), Place(axis, apart=True)):
        every, among = place.rows(whole, COUNTS[0]), place.rows(other, COUNTS[0])
        cut = (place.rows(value, count) for value, count in zip(firsts, COUNTS[1:], strict=True))
        if _same(every[turned], among) and all(_same(every[: len(rows)], rows) for rows in cut):
            return place
    raise _mixes(node, _DEPENDS)


def _row_axis(*values: NDArray[Any]) -> int | None:
    """The one axis that is longer the more rows there are, by their ratio."""
    shapes = [value.shape for value in values]
    if len({len(shape) for shape in shapes}) > 1:
        return None
    grows = [axis for axis, sizes in enumerate(zip(*shapes, strict=True)) if len(set(sizes)) > 1]
    sizes = [shape[axis] for shape in shapes for axis in grows]
    each = sizes[0] // COUNTS[0] if sizes else 0
    return grows[0] if sizes == [each * count for count in COUNTS] else None


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.dtype.kind not in "fiub":
        return np.array_equal(one, other)
    a, b = one.astype(np.float64), other.astype(np.float64)
    return one.shape == other.shape and np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)


def _mixes(node: Node, how: str) -> BadProgram:
    return BadProgram(f"{node.operator}: {how}; rows must stay independent of each other", operator=node.operator)


def _outcome(outputs: Sequence[str], kinds: Mapping[str, Kind], values: Values) -> Outcome:
    sum_rows = sums_rows(kinds.get(name, Kind.CONSTANT) for name in outputs)
    text = next((name for name in outputs if values[name].dtype.kind not in "fiub"), None)
    if text is not None:
        raise BadProgram(f"the output {text[:64]} is not numbers; export the program without it")
    each = 1 if sum_rows else COUNTS[0]
    live = sum(values[name].size for name, kind in kinds.items() if kind is Kind.ROWS and name in values) // COUNTS[0]
    return Outcome(tuple(values[name].size // each for name in outputs), sum_rows, live)
