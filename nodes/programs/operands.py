"""Reading an operator's operands: required ones, and small integer constants such as shapes and axes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from nodes.programs.program import Node
from nodes.programs.values import Value
from schemas.errors import BadProgram

Operands = Sequence[Value | None]
Integers = tuple[int, ...] | None


def given(operands: Operands, position: int) -> Value:
    """The operand at `position`. Raises BadProgram when it was left out."""
    value = optional(operands, position)
    if value is None:
        raise BadProgram(f"its operand {position + 1} is missing")
    return value


def optional(operands: Operands, position: int) -> Value | None:
    """The operand at `position`, or None when it was left out."""
    return operands[position] if position < len(operands) else None


def all_given(operands: Operands) -> list[Value]:
    """All operands, none of them left out."""
    return [given(operands, position) for position in range(len(operands))]


def constant_integers(value: Value, what: str) -> tuple[int, ...]:
    """A one-dimensional (or single) integer constant. Raises BadProgram when it depends on the input."""
    if value.variable:
        raise BadProgram(f"its {what} must be constant, but depends on the input")
    if value.array.dtype.kind != "i" or value.array.ndim > 1 or value.array.size > 1024:
        raise BadProgram(f"its {what} must be a short list of integers")
    return tuple(int(v) for v in value.array.reshape(-1))


def integers(node: Node, operands: Operands, name: str, *, position: int, operand_since: int) -> Integers:
    """A list that is an attribute before version `operand_since` and an operand from then on; None if not given."""
    if node.version < operand_since:
        return node.integers(name)
    value = optional(operands, position)
    return None if value is None else constant_integers(value, name)
