"""What flows along the edges of a program: constants, and values that have one entry per row of the input.

The interpreter runs the same operator functions over two representations of "one entry per row":

  * plain        the first axis of the array is the rows of the input, `N` of them;
  * homogeneous  the first axis has `F + 1` entries, the coefficients of an affine form in the F input columns, the
                 constant part last. An operator that is linear treats every entry alike (that is what linear means);
                 only a constant that is *added* has to know the difference, and so does a sum over rows. `Rows` holds
                 these two differences and nothing else.

Rows are never mixed: axis 0 stays the rows in every operator, so that a job may be cut into batches of rows. The one
exception is a sum over all rows, after which only affine operators may follow, so that the sums of batches add up.
Pure: no files, clock or randomness.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nodes.programs.limits import ProgramLimits
from schemas.errors import BadProgram

Array = NDArray[Any]


class Kind(Enum):
    """How the axes that ONNX sees relate to the axes of the array."""

    CONSTANT = "constant"  # the same
    ROWS = "rows"  # the same; axis 0 is the rows
    SUMMED = "summed"  # ONNX sees axis 0 of length 1: the sum over all rows
    FLAT = "flat"  # the sum over all rows without that axis: ONNX's axis 0 is the array's axis 1


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the program. `array` has a leading axis that stands for the rows unless the kind is CONSTANT."""

    array: Array
    kind: Kind

    @property
    def variable(self) -> bool:
        """Whether it depends on the input."""
        return self.kind is not Kind.CONSTANT

    @property
    def rank(self) -> int:
        """Number of axes that ONNX sees."""
        return self.array.ndim - (1 if self.kind is Kind.FLAT else 0)

    @property
    def inner(self) -> tuple[int, ...]:
        """Shape of what one row has; of a constant its whole shape."""
        return self.array.shape[1:] if self.variable else self.array.shape

    @property
    def elements(self) -> int:
        """Numbers per row; of a constant all its numbers."""
        return math.prod(self.inner)

    def axis(self, axis: int) -> int:
        """The array's axis for ONNX's `axis`, which may count from the end. Raises BadProgram when out of range."""
        if not -self.rank <= axis < self.rank:
            raise BadProgram(f"axis {axis} does not exist in a value of rank {self.rank}")
        return axis % self.rank + (1 if self.kind is Kind.FLAT else 0)

    def with_array(self, array: Array) -> Value:
        """The same kind of value with another array."""
        return Value(array, self.kind)


def constant(array: Array) -> Value:
    """A value that does not depend on the input."""
    return Value(array, Kind.CONSTANT)


class Rows(Protocol):
    """The representation of rows. See the module's text."""

    @property
    def affine_only(self) -> bool:
        """Whether only affine operators can run."""

    def lift(self, array: Array) -> Array:
        """A constant as an entry for every row: shape [1 or R, *array.shape]."""

    def total(self, array: Array) -> Array:
        """The sum over the rows, the leading axis kept."""


class PlainRows:
    """Axis 0 is the rows of the input."""

    affine_only = False

    def lift(self, array: Array) -> Array:
        """One entry that broadcasts to all rows."""
        return array[np.newaxis]

    def total(self, array: Array) -> Array:
        """Adds the rows up; integers and truth values as float64."""
        return np.asarray(array.sum(axis=0, keepdims=True, dtype=np.float64))


@dataclass(frozen=True, slots=True)
class HomogeneousRows:
    """Axis 0 is the `size` coefficients of an affine form: one per input column, the constant part last."""

    size: int
    affine_only: bool = True

    def lift(self, array: Array) -> Array:
        """A form without columns: only the constant part."""
        lifted = np.zeros((self.size, *array.shape), dtype=np.float64)
        lifted[-1] = array
        return lifted

    def total(self, array: Array) -> Array:
        """The form of the sum in terms of the summed columns, if it does not depend on the number of rows."""
        if np.any(array[-1]):
            raise BadProgram(
                "a constant is added to every row before the sum over rows, so the result depends on the number of "
                "rows; add it after the sum"
            )
        return array


@dataclass(slots=True)
class Context:
    """What operator functions need besides their inputs: the representation of rows, the bounds, and the work done."""

    rows: Rows
    limits: ProgramLimits
    multiplications: int = field(default=0)

    def admit(self, shape: Sequence[int], *, variable: bool) -> None:
        """Refuse a value before it is made. `shape` is without the leading axis of rows."""
        if len(shape) > self.limits.tensor_rank_max:
            raise BadProgram(f"a value has {len(shape)} axes; at most {self.limits.tensor_rank_max} are allowed")
        elements = math.prod(shape)
        most = self.limits.row_elements_max if variable else self.limits.tensor_elements_max
        if elements > most:
            what = "numbers for one row" if variable else "numbers in one constant"
            raise BadProgram(f"a value would have {elements:,} {what}; at most {most:,} are allowed")

    def spend(self, multiplications: int) -> None:
        """Count multiplications per row; refuse above the bound."""
        self.multiplications += multiplications
        if self.multiplications > self.limits.row_multiplications_max:
            raise BadProgram(f"needs more than {self.limits.row_multiplications_max:,} multiplications for one row")


def joined_kind(values: Sequence[Value]) -> Kind:
    """The kind of a result that depends on all of `values`. Raises BadProgram when rows would meet their own sum."""
    kinds = {value.kind for value in values if value.variable}
    if not kinds:
        return Kind.CONSTANT
    if len(kinds) > 1:
        raise BadProgram("mixes a sum over rows with single rows; rows must stay independent of each other")
    return kinds.pop()


def aligned(context: Context, values: Sequence[Value], *, lift: bool) -> tuple[list[Array], Kind]:
    """Arrays that NumPy broadcasts as ONNX does (broadcasting is by trailing axes), and the kind of the result.

    Constants are given a leading axis for the rows: as added terms (`lift`), or as factors that act on each row alike.
    """
    kind = joined_kind(values)
    if kind is Kind.CONSTANT:
        arrays = [value.array for value in values]
        context.admit(np.broadcast_shapes(*(a.shape for a in arrays)), variable=False)
        return arrays, kind
    arrays = [_inner_array(context, value, values, kind, lift=lift) for value in values]
    width = max(array.ndim for array in arrays)
    arrays = [a.reshape(a.shape[0], *(1,) * (width - a.ndim), *a.shape[1:]) for a in arrays]
    context.admit(np.broadcast_shapes(*(a.shape[1:] for a in arrays)), variable=True)
    return arrays, kind


def _inner_array(context: Context, value: Value, values: Sequence[Value], kind: Kind, *, lift: bool) -> Array:
    rank = max(v.rank for v in values if v.variable)
    if value.variable:
        if kind is not Kind.FLAT and value.rank != rank:
            raise BadProgram("the operands' axes of rows do not line up; rows must stay independent of each other")
        return value.array
    array = value.array
    if kind is not Kind.FLAT and array.ndim >= rank:
        if array.ndim > rank or array.shape[0] != 1:
            raise BadProgram(f"a constant of shape {list(array.shape)} does not apply to each row alike")
        array = array[0]
    return context.rows.lift(array) if lift else array[np.newaxis]
