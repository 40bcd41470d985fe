"""One operator with its operands, as the functions of operators are given it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nodes.programs.program import Node
from nodes.programs.values import Array, Forms, Kind, Value
from schemas.errors import BadProgram

Integers = tuple[int, ...]
ROWS_FIXED = "would move, cut or mix the rows; rows must stay the first axis and independent of each other"
INTEGERS_MAX = 1_024
"""Entries of a shape, or of a list of axes or bounds."""


@dataclass(frozen=True, slots=True)
class Call:
    """The node, its operands (None where one is left out), and what forms they are."""

    node: Node
    operands: tuple[Value | None, ...]
    forms: Forms

    @property
    def rows(self) -> bool:
        """Whether the result has an entry per row."""
        return any(value is not None and value.kind is Kind.ROWS for value in self.operands)

    def given(self, position: int) -> Value:
        """The operand at `position`. Raises BadProgram when it was left out."""
        value = self.optional(position)
        if value is None:
            raise BadProgram(f"its operand {position + 1} is missing")
        return value

    def optional(self, position: int) -> Value | None:
        """The operand at `position`, or None when it was left out."""
        return self.operands[position] if position < len(self.operands) else None

    def all(self) -> list[Value]:
        """All operands, none of them left out."""
        return [self.given(position) for position in range(len(self.operands))]

    def axis(self, axis: int, rank: int | None = None, *, rows_too: bool = False) -> int:
        """ONNX's `axis` from the front, in a value of `rank`, or else in the first operand.

        Raises BadProgram when there is no such axis, and unless `rows_too` when it is that of rows.
        """
        rank = self.given(0).rank if rank is None else rank
        if not -rank <= axis < rank:
            raise BadProgram(f"axis {axis} does not exist in a value of rank {rank}")
        if self.rows and not rows_too and axis % rank == 0:
            raise BadProgram(f"axis {axis} is the axis of rows: this {ROWS_FIXED}")
        return axis % rank

    def constant(self, position: int, what: str) -> Array:
        """The constant at `position`. Raises BadProgram when it depends on the input."""
        value = self.given(position)
        if value.variable:
            raise BadProgram(f"its {what} must be constant, but depends on the input")
        return value.array

    def integers(self, name: str) -> Integers | None:
        """A short list of integers (or a single one) that is an attribute or a constant operand, as the operator's
        version has it; None if not given. Raises BadProgram: it is something else."""
        operands = self.node.signature.names
        if name not in operands:
            return self.node.integers(name)
        position = operands.index(name)
        if self.optional(position) is None:
            return None
        array = self.constant(position, name)
        if array.dtype.kind != "i" or array.ndim > 1 or array.size > INTEGERS_MAX:
            raise BadProgram(f"its {name} must be a short list of integers")
        return tuple(array.reshape(-1).tolist())

    def required_integers(self, name: str) -> Integers:
        """As `integers`. Raises BadProgram when they are not given."""
        found = self.integers(name)
        if found is None:
            raise BadProgram(f"its {name} are missing")
        return found

    def indices(self) -> Array:
        """The second operand: constant integers of any shape. Raises BadProgram."""
        array = self.constant(1, "indices")
        if array.dtype.kind != "i":
            raise BadProgram("its indices must be integers")
        return array


Function = Callable[[Call], tuple[Value, ...]]
"""What an operator does: its outputs, as far as they can be compiled."""
