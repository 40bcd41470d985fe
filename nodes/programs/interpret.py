"""The one loop that runs a graph, over plain rows or over affine forms. Pure.

An operator that is not linear is refused where only affine forms can pass: everywhere when compiling, and after a sum
over rows always, because sums of batches add up only while affine operators follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nodes.programs.graph import OPERATOR_ERRORS
from nodes.programs.operators import Operator, operator_of
from nodes.programs.program import Input, Node
from nodes.programs.values import Array, Context, Kind, Value, constant
from schemas.errors import BadProgram


@dataclass(frozen=True, slots=True)
class Run:
    """What a run gave: the outputs, and how many numbers were alive at most for one row."""

    outputs: tuple[Value, ...]
    live_row_elements: int


def run(
    nodes: Sequence[Node],
    constants: Mapping[str, Array],
    inputs: Mapping[str, Value],
    outputs: Sequence[str],
    context: Context,
) -> Run:
    """Run the nodes in their order; values are dropped after their last use.

    Raises BadProgram naming the operator that cannot be run.
    """
    values = {name: constant(array) for name, array in constants.items()} | dict(inputs)
    uses = Counter(name for node in nodes for name in node.inputs if name) + Counter(outputs)
    folded = sum(array.size for array in constants.values())
    live = sum(value.elements for value in inputs.values())
    peak = live
    for node in nodes:
        produced = _apply(operator_of(node), node, values, context)
        for name, value in zip(node.outputs, produced, strict=False):
            if uses[name]:
                values[name] = value
                live += value.elements if value.variable else 0
                folded += 0 if value.variable else value.elements
        peak = max(peak, live)
        _bound(context, node, live, folded)
        for name in node.inputs:
            uses[name] -= 1
            if name and not uses[name]:
                gone = values.pop(name)
                live -= gone.elements if gone.variable else 0
    return Run(tuple(values[name] for name in outputs), peak)


def _bound(context: Context, node: Node, live: int, folded: int) -> None:
    limits = context.limits
    if live > limits.live_row_elements_max:
        raise BadProgram(
            f"{node.operator}: {live:,} numbers would be alive for one row; at most {limits.live_row_elements_max:,} "
            "are allowed",
            operator=node.operator,
        )
    if folded > limits.constant_elements_max:
        raise BadProgram(
            f"{node.operator}: the constants hold {folded:,} numbers; at most {limits.constant_elements_max:,} are "
            "allowed",
            operator=node.operator,
        )


def _apply(operator: Operator | None, node: Node, values: Mapping[str, Value], context: Context) -> tuple[Value, ...]:
    operands = [values[name] if name else None for name in node.inputs]
    _require_affine(operator, node, operands, context)
    if operator is None:
        raise BadProgram(
            f"{node.operator} of constants is not compiled; fold constants when exporting", operator=node.operator
        )
    try:
        with np.errstate(all="ignore"):
            return operator.run(context, node, operands)
    except BadProgram as error:
        if error.operator is not None:
            raise
        raise BadProgram(f"{node.operator}: {error}", operator=node.operator) from error
    except OPERATOR_ERRORS as error:
        raise BadProgram(f"{node.operator} cannot be run on its operands: {error}", operator=node.operator) from error


def _require_affine(operator: Operator | None, node: Node, operands: Sequence[Value | None], context: Context) -> None:
    variable = tuple(value is not None and value.variable for value in operands)
    summed = any(value is not None and value.kind in (Kind.SUMMED, Kind.FLAT) for value in operands)
    if not any(variable) or (operator is not None and not (summed or context.rows.affine_only)):
        return
    if operator is not None and operator.linear(node, variable):
        return
    if context.rows.affine_only or not summed:
        raise BadProgram(
            f"{node.operator} is not linear{_why(variable)}: homomorphic protection cannot run it; use --protection "
            "enclave, or move it to --local-program",
            operator=node.operator,
        )
    raise _unsound_sum(node, variable)


def sums_stay_linear(node: Node, variable: tuple[bool, ...]) -> None:
    """That a node may follow a sum over rows; `variable` says which operands depend on the input. Raises BadProgram."""
    operator = operator_of(node)
    if operator is None or not operator.linear(node, variable):
        raise _unsound_sum(node, variable)


def _unsound_sum(node: Node, variable: tuple[bool, ...]) -> BadProgram:
    return BadProgram(
        f"{node.operator} after a sum over rows is not linear{_why(variable)}, so the sums of batches would not add "
        "up; move it to --local-program",
        operator=node.operator,
    )


def _why(variable: tuple[bool, ...]) -> str:
    return " when several of its operands depend on the input" if sum(variable) > 1 else ""


def input_values(inputs: Sequence[Input], rows: Array) -> Mapping[str, Value]:
    """The graph's inputs, cut out of the columns of `rows`."""
    values, first = {}, 0
    for each in inputs:
        block = rows[:, first : first + each.width]
        first += each.width
        values[each.name] = Value(block if each.rank == 2 else block[:, 0], Kind.ROWS)
    return values


def joined_columns(outputs: Sequence[Value], rows: int) -> NDArray[np.float64]:
    """The outputs side by side as columns [rows, width_out], float64."""
    columns = [value.array.reshape(rows, value.elements).astype(np.float64, copy=False) for value in outputs]
    return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)
