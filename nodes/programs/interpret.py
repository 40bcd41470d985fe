"""The one loop that runs a graph over forms. Pure.

An operator that is not linear is refused where only forms can pass: everywhere when compiling, and after a sum over
rows always, because sums of batches add up only while affine operators follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nodes.programs.call import Call
from nodes.programs.graph import OPERATOR_ERRORS
from nodes.programs.operators import operator_of
from nodes.programs.program import Input, Node, with_columns
from nodes.programs.values import Array, Forms, Kind, Value, constant
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
    forms: Forms,
) -> Run:
    """Run the nodes in their order; values are dropped after their last use.

    Raises BadProgram naming the operator that cannot be run.
    """
    values = {name: constant(array) for name, array in constants.items()} | dict(inputs)
    uses = Counter(name for node in nodes for name in node.inputs if name) + Counter(outputs)
    folded = sum(array.size for array in constants.values())
    live = peak = sum(value.elements for value in inputs.values())
    for node in nodes:
        for name, value in apply(node, values, forms).items():
            values[name] = value
            live += value.elements if value.variable else 0
            folded += 0 if value.variable else value.elements
        peak = max(peak, live)
        _require_room(forms, node, live, folded)
        for name in node.inputs:
            uses[name] -= 1
            if name and not uses[name]:
                gone = values.pop(name)
                live -= gone.elements if gone.variable else 0
    return Run(tuple(values[name] for name in outputs), peak)


def apply(node: Node, values: Mapping[str, Value], forms: Forms) -> dict[str, Value]:
    """The node's outputs that the program uses, by name. Raises BadProgram as `run` does."""
    operands = tuple(values[name] if name else None for name in node.inputs)
    _require_linear(node, operands, forms)
    operator = operator_of(node)
    if operator is None:
        raise BadProgram(
            f"{node.operator} of constants is not compiled; fold constants when exporting", operator=node.operator
        )
    try:
        with np.errstate(all="ignore"):
            produced = operator.run(Call(node, operands, forms))
        made = zip(node.outputs, node.wanted, strict=True)
        return {name: produced[position] for position, (name, wanted) in enumerate(made) if wanted}
    except BadProgram as error:
        if error.operator is not None:
            raise
        raise BadProgram(f"{node.operator}: {error}", operator=node.operator) from error
    except OPERATOR_ERRORS as error:
        raise BadProgram(f"{node.operator} cannot be run on its operands: {error}", operator=node.operator) from error


def _require_room(forms: Forms, node: Node, live: int, folded: int) -> None:
    for count, most, what in (
        (live, forms.limits.live_row_elements_max, "numbers would be alive for one row"),
        (folded, forms.limits.constant_elements_max, "numbers would be in constants"),
    ):
        if count > most:
            raise BadProgram(f"{node.operator}: {count:,} {what}; at most {most:,} are allowed", operator=node.operator)


def _require_linear(node: Node, operands: Sequence[Value | None], forms: Forms) -> None:
    variable = tuple(value is not None and value.variable for value in operands)
    if not any(variable) or _is_linear(node, variable):
        return
    if operator_of(node) is None or not forms.allows(node.operator, variable):
        raise BadProgram(
            f"{node.operator} is not linear{_why(variable)}: homomorphic protection cannot run it; use --protection "
            "enclave, or move it to --local-program",
            operator=node.operator,
        )
    if any(value is not None and value.kind is Kind.SUMMED for value in operands):
        raise _unsound_sum(node, variable)


def _is_linear(node: Node, variable: tuple[bool, ...]) -> bool:
    operator = operator_of(node)
    return operator is not None and operator.linear(node, variable)


def sums_stay_linear(node: Node, variable: tuple[bool, ...]) -> None:
    """That a node may follow a sum over rows; `variable` says which operands depend on the input. Raises BadProgram."""
    if not _is_linear(node, variable):
        raise _unsound_sum(node, variable)


def _unsound_sum(node: Node, variable: tuple[bool, ...]) -> BadProgram:
    return BadProgram(
        f"{node.operator} after a sum over rows is not linear{_why(variable)}, so the sums of batches would not add "
        "up; move it to --local-program",
        operator=node.operator,
    )


def _why(variable: tuple[bool, ...]) -> str:
    return " when several of its operands depend on the input" if sum(variable) > 1 else ""


def input_values(inputs: Sequence[Input], columns: NDArray[np.float64]) -> dict[str, Value]:
    """The graph's inputs as forms, cut out of those of all columns [forms, width_in]."""
    values = {}
    for each, own in with_columns(inputs):
        shape = (1, each.width) if each.rank == 2 else (1,)
        values[each.name] = Value(columns[:, own].reshape(-1, *shape), Kind.ROWS)
    return values
