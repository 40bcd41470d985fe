"""What flows along the edges of a program: constants, and forms in the columns of one row.

A value that depends on the input is held as *forms*: a leading axis of coefficients, one per input column and the
constant part last, and behind it the axes that ONNX sees for a single row of input. An operator that is linear treats
every entry of the leading axis alike; only a constant that is *added* has to know the last one. For values that have
an entry per row, ONNX's axis 0 has length 1 here and stands for any number of rows: operators leave it alone, so that a
job may be cut into batches of rows. A sum over the rows is the same forms, read as forms in the summed columns; behind
it axis 0 is an axis like any other. Pure: no files, clock or randomness.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nodes.programs.limits import ProgramLimits
from schemas.errors import BadProgram

Array = NDArray[Any]


class Kind(Enum):
    """How a value depends on the input."""

    CONSTANT = "constant"  # not at all: the array has no leading axis of forms
    SIZE = "size"  # on the number of rows only; no value of the compiler does
    ROWS = "rows"  # ONNX's axis 0 is the rows
    SUMMED = "summed"  # on the sum over all rows


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the program: `array` is [forms, *shape], or [*shape] of a constant."""

    array: Array
    kind: Kind

    @property
    def variable(self) -> bool:
        """Whether it depends on the input."""
        return self.kind is not Kind.CONSTANT

    @property
    def shape(self) -> tuple[int, ...]:
        """The axes that ONNX sees, for one row."""
        return self.array.shape[1:] if self.variable else self.array.shape

    @property
    def rank(self) -> int:
        """Number of axes that ONNX sees."""
        return len(self.shape)

    @property
    def elements(self) -> int:
        """Numbers per row; of a constant all its numbers."""
        return math.prod(self.shape)

    def with_array(self, array: Array) -> Value:
        """The same kind of value with another array."""
        return Value(array, self.kind)


def constant(array: Array) -> Value:
    """A value that does not depend on the input."""
    return Value(array, Kind.CONSTANT)


@dataclass(slots=True)
class Forms:
    """Affine forms of `size` coefficients each, the bounds, and the work done so far."""

    size: int
    limits: ProgramLimits
    multiplications: int = 0

    def allows(self, operator: str, variable: tuple[bool, ...]) -> bool:
        """Whether an operator of the table may run where it is not linear in the operands that depend on the input."""
        return False

    def lift(self, array: Array) -> Array:
        """A constant as forms without columns, [size, *array.shape]."""
        lifted = np.zeros((self.size, *array.shape), dtype=np.float64)
        lifted[-1] = array
        return lifted

    def total(self, forms: Array) -> Array:
        """The form of the sum over rows in terms of the summed columns, if it does not depend on how many they are."""
        if np.any(forms[-1]):
            raise BadProgram(
                "a constant is added to every row before the sum over rows, so the result depends on the number of "
                "rows; add it after the sum"
            )
        return forms

    def multiply(self, operator: str, left: Array, right: Array) -> Array:
        """The product of two forms that NumPy broadcasts, where it is allowed. Raises BadProgram."""
        return left * right

    def power(self, operator: str, left: Array, right: Array) -> Array:
        """Powers of forms, where they are allowed. Raises BadProgram."""
        return np.power(left, right)

    def admit(self, shape: Sequence[int], *, variable: bool) -> None:
        """Refuse a value before it is made. `shape` is for one row, without the axis of forms."""
        if len(shape) > self.limits.tensor_rank_max:
            raise BadProgram(f"a value has {len(shape)} axes; at most {self.limits.tensor_rank_max} are allowed")
        elements = math.prod(shape)
        most = self.limits.row_elements_max if variable else self.limits.tensor_elements_max
        if elements > most:
            what = "numbers for one row" if variable else "numbers in one constant"
            raise BadProgram(f"a value would have {elements:,} {what}; at most {most:,} are allowed")

    def spend(self, multiplications: int) -> None:
        """Count multiplications per row, or numbers that are moved; refuse above the bound."""
        self.multiplications += multiplications
        if self.multiplications > self.limits.row_multiplications_max:
            raise BadProgram(f"needs more than {self.limits.row_multiplications_max:,} multiplications for one row")


@dataclass(slots=True)
class Trial(Forms):
    """Forms of `size` 1, of zeros: what shapes and kinds values have, and what operators admit, linear or not."""

    def allows(self, operator: str, variable: tuple[bool, ...]) -> bool:
        """Whatever the operator's function admits."""
        return True

    def total(self, forms: Array) -> Array:
        """Any sum: on plaintext a constant may be added to every row."""
        return forms


def sums_rows(outputs: Iterable[Kind]) -> bool:
    """Whether a program gives a sum over rows, not a result per row. Raises BadProgram: neither, or both."""
    kinds = set(outputs)
    if kinds & {Kind.CONSTANT, Kind.SIZE}:
        raise BadProgram("an output of the program does not depend on its input")
    if len(kinds) > 1:
        raise BadProgram("the program gives both a result per row and a sum over rows; make it two programs")
    return kinds == {Kind.SUMMED}


def joined_kind(values: Sequence[Value]) -> Kind:
    """The kind of a result that depends on all of `values`. Raises BadProgram when rows would meet their own sum."""
    kinds = {value.kind for value in values if value.variable}
    if len(kinds) > 1:
        raise BadProgram("mixes a sum over rows with single rows; rows must stay independent of each other")
    return kinds.pop() if kinds else Kind.CONSTANT
