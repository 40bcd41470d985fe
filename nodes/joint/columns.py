"""Columns as integers, which is all that ciphertexts and moments ever see of them. Pure.

Everything else (Gram matrices, means, deviations) is taken from *these* integers: an exact Gram matrix beside rounded
cross moments is not a Gram matrix, and the Schur complement of the two may be negative.

The renter's columns and target are scaled to their full bits first and made to sum to exactly zero then. So whatever
constant is added to a partner's column changes no cross moment: the partner's centring is implied, one-hot columns stay
sparse, and nobody shares a mean. For the same reason the partner may take its most frequent value as zero.

Each column is scaled by its own maximum. A common bound would clip heavy tails, and no precision mends that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.errors import BadConfig, BadData

BITS_MIN = 2
BITS_MAX = 31
"""Signed integers of a column have so many bits at most, the sign among them."""
BLOCK_ROWS = 4096
"""Rows that are widened to float64 at a time."""

Floats = NDArray[np.float64]
Integers = NDArray[np.signedinteger[Any]]
"""As narrow as they can be."""


class Grid(Protocol):
    """Integers [rows, columns]: an array, or a file of which is read what is asked for (`nodes/joint/files.py`)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns)."""
        ...

    def __getitem__(self, at: Any, /) -> Any:
        """Of rows (a slice or places) and columns (a slice or one)."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """A row x of one party's columns as they came scores `x @ weights + offset`, which is 0 on average over the rows
    that the model was fitted to. The linear predictor is the sum of both parties' scores and the target's intercept."""

    weights: Floats
    offset: float

    def scores(self, values: Floats) -> Floats:
        """Of rows [n, k], without missing values."""
        return np.asarray(values @ self.weights + self.offset, dtype=np.float64)


@dataclass(frozen=True)
class Columns:
    """Column j is about `integers[:, j] * units[j] + offsets[j]`. `integers` [rows, width]."""

    integers: Grid
    units: Floats
    offsets: Floats

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.integers.shape[0])

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.integers.shape[1])

    def blocks(self) -> Iterator[tuple[int, Integers]]:
        """(first row, integers [n, width]) of all rows in order, some at a time."""
        for first in range(0, self.rows, BLOCK_ROWS):
            yield first, self.integers[first : first + BLOCK_ROWS, :]

    def column(self, at: int) -> Integers:
        """One, [rows]."""
        found: Integers = self.integers[:, at]
        return found

    @cached_property
    def means(self) -> Floats:
        """Of the integers."""
        sums = np.sum([block.sum(axis=0, dtype=np.int64) for _, block in self.blocks()], axis=0)
        return np.asarray(sums / self.rows, dtype=np.float64)

    @cached_property
    def gram(self) -> Floats:
        """X'X of the centred integers, [width, width]. What is multiplied is centred to whole numbers, so that sums
        below 2^53 are exact."""
        middle = np.rint(self.means)
        found, sums = np.zeros((self.width, self.width)), np.zeros(self.width)
        for _, block in self.blocks():
            centred = block - middle
            found += centred.T @ centred
            sums += centred.sum(axis=0)
        return np.asarray(found - np.outer(sums, sums) / self.rows, dtype=np.float64)

    @cached_property
    def deviations(self) -> Floats:
        """Of the integers, by which columns are standardised."""
        return deviations(self.gram, self.rows)

    def part(self, by_integer: Floats) -> Part:
        """A party's part of a model, of weights [k] per integer of the first k columns. Columns that never change have
        none: what a solver finds for them is rounding."""
        used = len(by_integer)
        weights = np.where(np.diag(self.gram)[:used] > 0, by_integer / self.units[:used], 0.0)
        return Part(weights, -float(weights @ (self.means * self.units + self.offsets)[:used]))


def deviations(gram: Floats, rows: int) -> Floats:
    """Standard deviations [width] by the Gram matrix of centred columns; 1 for a column without any."""
    found = np.sqrt(np.clip(np.diag(gram), 0, None) / rows)
    return np.where(found > 0, found, 1.0)


def filled(values: Floats) -> Floats:
    """Missing values (NaN) become the mean of the column, as scikit-learn's SimpleImputer has it. Raises BadData."""
    missing = np.isnan(values)
    if missing.all(axis=0).any():
        raise BadData("a column has no value in any of the rows: leave it out")
    if np.isinf(values).any():
        raise BadData("a column holds an infinite number: leave those rows out or mend them")
    return np.where(missing, np.nanmean(values, axis=0), values) if missing.any() else values


def zero_sum(values: Floats, bits: int) -> Columns:
    """The renter's columns: as large as `bits` allow, each summing to exactly zero.

    The last units go where rounding went up or down the most, so that no number passes the bound.
    """
    _require_bits(bits)
    means = values.mean(axis=0)
    centred = values - means
    units = _units(np.abs(centred).max(axis=0), bits)
    exact = centred / units
    integers = np.rint(exact).astype(np.int64)
    for column, wanted in zip(integers.T, exact.T, strict=True):
        excess = int(column.sum())
        order = np.argsort((wanted - column) * np.sign(excess), kind="stable")
        column[order[: abs(excess)]] -= np.sign(excess)
    return Columns(_narrow(integers, bits), units, means)


def scaled(values: Floats, bits: int) -> Columns:
    """The partner's columns. Whole numbers that fit stay exact, with their most frequent value at zero, and times a
    whole number that brings them to the size of the others. Others have their mean at zero, or what most rows have."""
    _require_bits(bits)
    integers, units, offsets = zip(*[_scaled(column, bits) for column in values.T], strict=True)
    return Columns(np.column_stack(integers), np.array(units), np.array(offsets))


def _scaled(column: Floats, bits: int) -> tuple[Integers, float, float]:
    found, counts = np.unique(column, return_counts=True)
    mode = float(found[np.argmax(counts)])
    largest = float(max(found[-1] - mode, mode - found[0]))
    most = (1 << (bits - 1)) - 1
    if np.array_equal(found, np.rint(found)) and largest <= most:
        times = most // int(largest or 1)
        return _narrow(np.rint(column - mode) * times, bits), 1 / times, mode
    middle = mode if 2 * counts.max() > len(column) else float(column.mean())
    unit = float(_units(np.abs(column - middle).max(keepdims=True), bits)[0])
    return _narrow(np.rint((column - middle) / unit), bits), unit, middle


def _units(largest: Floats, bits: int) -> Floats:
    return np.where(largest > 0, largest / ((1 << (bits - 1)) - 1), 1.0)


def _narrow(integers: NDArray[np.int64] | Floats, bits: int) -> Integers:
    return integers.astype(np.int16) if bits <= 16 else integers.astype(np.int32)


def _require_bits(bits: int) -> None:
    if not BITS_MIN <= bits <= BITS_MAX:
        raise BadConfig(f"columns of {bits} bits: give {BITS_MIN} to {BITS_MAX}", field="bits")
