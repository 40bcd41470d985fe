"""Runs a program on a few rows, every value watched: is each row computed by itself, and what comes out?

It proves by trying what no static rule says of a wide set of operators. Every value that depends on the input must have
the rows as its first axis, at two different numbers of rows; and must be the same for a row wherever it stands. Sums
over rows are followed by linear operators only, so that sums of batches add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from nodes.programs.interpret import sums_stay_linear
from nodes.programs.program import Input, Node
from nodes.programs.runtime import feeds, load, run
from schemas.errors import BadProgram

ROWS: Final = (61, 67)
"""Two primes that are the width of nothing."""
FEW: Final = 2
"""Rows among which every row stands out: a largest one of many may be the largest of most of them too."""
TOLERANCE: Final = 1e-3
"""Of a value among the rows of another order; float16 differs by this much."""

_DEPENDS: Final = "the result for a row depends on the other rows"

Values = Mapping[str, NDArray[Any]]


class Kind(Enum):
    """How a value depends on the input."""

    CONSTANT = "constant"  # not at all
    SIZE = "size"  # on its shape only
    ROWS = "rows"  # row by row
    SUM = "sum"  # on the sum of all rows


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
    made = load(_watched(canonical, nodes))
    names = [name for node in nodes for name, wanted in zip(node.outputs, node.wanted, strict=True) if wanted]
    fewer, more = ROWS
    rows, turned = _rows(inputs, more), np.roll(np.arange(more), 17)
    whole, part, other, few = (
        dict(feeds(inputs, each)) | dict(zip(names, run(made, names, feeds(inputs, each)), strict=True))
        for each in (rows, rows[:fewer], rows[turned], rows[:FEW])
    )
    kinds = {each.name: Kind.ROWS for each in inputs}
    for node in nodes:
        kind = _kind(node, kinds, whole)
        for name in (name for name in node.outputs if name in whole):
            kinds[name] = kind
            if kind is Kind.ROWS:
                _require_rows(node, (whole[name], part[name], other[name]), turned)
                _require_alone(node, whole[name], few[name])
    return _outcome(outputs, kinds, whole)


def require_divisors(canonical: bytes, nodes: Sequence[Node], constants: Values) -> None:
    """That whole numbers are divided by constants other than 0 and -1: by these a processor ends the process.

    Raises BadProgram.
    """
    known: dict[str, object] = {n.outputs[0]: n.attributes.get("value") for n in nodes if n.operator == "Constant"}
    known |= constants
    divisions = [(node, known.get(node.inputs[1])) for node in nodes if node.operator in ("Div", "Mod")]
    doubtful = [node for node, divisor in divisions if not isinstance(divisor, np.ndarray)]
    kinds = {each.name: each.type for each in load(_watched(canonical, nodes)).get_outputs()} if doubtful else {}
    for node, divisor in divisions:
        if _ends(divisor) if isinstance(divisor, np.ndarray) else "int" in kinds[node.outputs[0]]:
            raise BadProgram(
                f"{node.operator}: divides whole numbers by what may be 0 or -1; cast them to float before",
                operator=node.operator,
            )


def _ends(divisor: NDArray[Any]) -> bool:
    return divisor.dtype.kind != "f" and bool(((divisor == 0) | (divisor == -1)).any())


def _watched(canonical: bytes, nodes: Sequence[Node]) -> bytes:
    """The model with every value that is used as an output."""
    model = ModelProto.FromString(canonical)
    known = {info.name for info in model.graph.output}
    for node in nodes:
        for name, wanted in zip(node.outputs, node.wanted, strict=True):
            if wanted and name not in known:
                model.graph.output.add(name=name)
    return bytes(model.SerializeToString(deterministic=True))


def _rows(inputs: Sequence[Input], count: int) -> NDArray[np.float64]:
    """Numbers without a pattern that anything could share; zeros and ones where whole numbers are declared."""
    width = sum(each.width for each in inputs)
    numbers = 3.0 * np.sin(np.arange(1, count * width + 1, dtype=np.float64) ** 1.5).reshape(count, width)
    first = 0
    for each in inputs:
        if each.dtype.kind != "f":
            block = numbers[:, first : first + each.width]
            block[:] = block > 0
        first += each.width
    return numbers


def _kind(node: Node, kinds: Mapping[str, Kind], values: Values) -> Kind:
    found = [kinds.get(name, Kind.CONSTANT) for name in node.inputs]
    if node.operator in ("Shape", "Size") and not node.domain:
        return Kind.CONSTANT if set(found) <= {Kind.CONSTANT} else Kind.SIZE
    if Kind.SUM in found:
        sums_stay_linear(node, tuple(kind is not Kind.CONSTANT for kind in found))
        if Kind.ROWS in found or Kind.SIZE in found:
            raise _mixes(node, "a sum over rows meets single rows")
        return Kind.SUM
    if Kind.ROWS in found:
        array = values[next(name for name in node.outputs if name in values)]
        return Kind.SUM if node.operator == "ReduceSum" and ROWS[1] not in array.shape else Kind.ROWS
    return Kind.SIZE if Kind.SIZE in found else Kind.CONSTANT


def _require_rows(node: Node, values: tuple[NDArray[Any], ...], turned: NDArray[np.intp]) -> None:
    fewer, more = ROWS
    if not all(_has_rows(value, count) for value, count in zip(values, (more, fewer, more), strict=True)):
        raise _mixes(node, "its result does not have one entry per row")
    whole, part, other = (value.reshape(count, -1) for value, count in zip(values, (more, fewer, more), strict=True))
    if whole.dtype.kind not in "fiub":
        return
    if not (_same(whole[:fewer], part) and _same(whole[turned], other)):
        raise _mixes(node, _DEPENDS)


def _require_alone(node: Node, whole: NDArray[Any], few: NDArray[Any]) -> None:
    if whole.dtype.kind in "fiub" and not (
        few.size * ROWS[1] == whole.size * FEW and _same(whole.reshape(ROWS[1], -1)[:FEW], few.reshape(FEW, -1))
    ):
        raise _mixes(node, _DEPENDS)


def _has_rows(value: NDArray[Any], count: int) -> bool:
    """[N, ...], or [1, N], which is how scikit-learn's labels are looked up."""
    return (value.shape[:1] == (count,) and count not in value.shape[1:]) or value.shape == (1, count)


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    a, b = one.astype(np.float64), other.astype(np.float64)
    return one.shape == other.shape and np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)


def _mixes(node: Node, how: str) -> BadProgram:
    return BadProgram(f"{node.operator}: {how}; rows must stay independent of each other", operator=node.operator)


def _outcome(outputs: Sequence[str], kinds: Mapping[str, Kind], values: Values) -> Outcome:
    found = {kinds.get(name, Kind.CONSTANT) for name in outputs}
    if found & {Kind.CONSTANT, Kind.SIZE}:
        raise BadProgram("an output of the program does not depend on its input")
    if len(found) > 1:
        raise BadProgram("the program gives both a result per row and a sum over rows; make it two programs")
    text = next((name for name in outputs if values[name].dtype.kind not in "fiub"), None)
    if text is not None:
        raise BadProgram(f"the output {text[:64]} is not numbers; export the program without it")
    sum_rows = found == {Kind.SUM}
    each = 1 if sum_rows else ROWS[1]
    live = sum(values[name].size for name, kind in kinds.items() if kind is Kind.ROWS and name in values) // ROWS[1]
    return Outcome(tuple(values[name].size // each for name in outputs), sum_rows, live)
