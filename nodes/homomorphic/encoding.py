"""Fixed point: turns a real affine map into an integer program whose error is proved before anything is sent. Pure.

Column j of the input is bounded by 2^e_j. A value travels as X = round(x * 2^(input_bits - e_j)), a weight as
W = round(w * 2^(weight_bits + e_j)), so every product, and the bias, carries the same scale of
2^(input_bits + weight_bits).

With |X| <= 2^input_bits, and R rows added up (1 without `sum_rows`), an output is wrong by at most

    R * sum_j |w_j 2^e_j - W_j / 2^weight_bits|       weights rounded; computed from the actual weights
  + R * sum_j |W_j| d_j / 2^(weight_bits + input_bits + 1)    values rounded
  + |b - B / 2^(weight_bits + input_bits)|                bias rounded; computed from the actual bias
  + |y| / 2^53                                            back to float64; 0 where |Y| stays below 2^53

Products of columns are weighted like columns, with the sum of their columns' e_j for e_j. d_j is 1 for a column and d
for a product of d: no factor passes 1 in units of its bound, so that its rounding moves the product by no more. It is 0
for columns of whole numbers with input_bits >= e_j: they are sent as they are.

Room for results grows with input_bits + weight_bits, work on ciphertexts with weight_bits, and the modulus that lattice
schemes need with input_bits + 2 weight_bits. So the latter is what is least among all that stay within the allowed
error. Columns of whole numbers may share the largest of their exponents: a unit of all of them is then the same, and
nothing is kept behind the point.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nodes.homomorphic.errors import TooCoarse
from nodes.homomorphic.port import SLOT_VALUE_LIMIT, IntegerProgram
from nodes.programs.affine import AffineMap
from schemas.errors import BadConfig, BadData, BadProgram
from schemas.jobs import FixedPoint

INPUT_BITS_MAX: Final = 52
"""float64 has no more."""
EXPONENT_MAX: Final = 256
"""Columns are bounded by 2^256 at most; a column that is always 0 gets the exponent -256 and loses its weights."""
WEIGHT_BITS_MAX: Final = 1024
"""Weights of huge columns may be cut before the point, by -1024 at least."""

_FLOAT_INTEGERS: Final = 2.0**53
"""Whole numbers below this are exact in float64."""
_FLOAT_SLACK: Final = 1 + 2.0**-30
"""Covers the rounding of the float64 sums in the bound itself, for a few thousand terms."""

Floats = NDArray[np.float64]


def quantise(
    affine: AffineMap,
    bounds: Floats,
    rows_per_batch: int,
    slots: int,
    max_error: float,
    *,
    share: float = 1.0,
    whole: NDArray[np.bool_] | None = None,
    widest: bool = False,
) -> tuple[FixedPoint, float]:
    """The narrowest scales for float64 `bounds` [F] (the largest |x_j|), and the error that they prove for one result.

    One result may use a `share` of `max_error`. `whole` [F] says which columns hold whole numbers only: those lose
    nothing where a unit is at most 1. `rows_per_batch` is how many rows one result may add up. With `widest` values get
    all bits that their slots leave: for schemes whose own error is a part of the largest number. The proof holds for
    everything `encode` lets through and covers whole sums, so also the parts of them in `slots`. Raises TooCoarse with
    the numbers when `max_error` is out of reach, BadProgram and BadData for weights and bounds that are not finite,
    BadConfig for the rest.
    """
    if not (math.isfinite(max_error) and max_error > 0):
        raise BadConfig(f"max_error is {max_error}: give a positive number", field="max_error")
    if rows_per_batch < 1 or slots < 1:
        raise BadConfig(f"{rows_per_batch} rows per batch in {slots} slots: both must be at least 1")
    _require_finite(affine)
    repeats = rows_per_batch if affine.sum_rows else 1
    allowed = max_error * share
    searches = [_Search.of(affine, each, repeats, whole) for each in _exponents_worth_trying(bounds, affine, whole)]
    found = [scales for search in searches if (scales := search.narrowest(allowed))]
    if not found:
        reachable = min(search.reachable(allowed) for search in searches) / share
        raise TooCoarse(
            f"the best provable error is {reachable:.3g}, not {max_error:g}, in slots of 64 bits and {repeats} rows "
            "added up: allow more error, narrow the bounds of the columns, or send fewer rows per batch",
            reachable=reachable,
            asked=max_error,
        )
    scales = min(found, key=lambda each: each.modulus_bits)
    if widest:
        scales = scales.widened(allowed)
    fixed = scales.fixed_point
    integer_program(affine, fixed).require_room(rows_per_batch)
    return fixed, scales.error


@dataclass(frozen=True, eq=False)
class _Rounded:
    """Weights at some weight_bits: what they lose, and what results then come to."""

    search: _Search
    weight_bits: int

    @cached_property
    def _weights(self) -> Floats:
        return np.abs(np.rint(_scale(self.search.terms, self.weight_bits)))

    @cached_property
    def lost(self) -> Floats:
        raised = np.abs(_scale(self.search.terms, self.weight_bits))
        return _scale(self.search.sums(np.abs(raised - self._weights)), -self.weight_bits)

    @cached_property
    def size(self) -> Floats:
        return self.search.sums(self._weights)

    @cached_property
    def most(self) -> int:
        """The most input bits that slots leave; 0 when there are none."""
        return _most_input_bits(self.size, self.search.bias, self.weight_bits)

    def error(self, input_bits: int) -> float:
        """What is proved with so many input bits; it falls with them, but for what the way back to float64 loses."""
        moved = self.search.sums(self._weights * self.search.inexact(input_bits))
        return _error_bound(self.lost, moved, self.size, self.search.bias, self.weight_bits, input_bits)

    def least(self, allowed: float) -> int:
        """The least input bits that prove `allowed`; 0 when none do. Those that need no way back come first."""
        plain = min(self.most, _most_input_bits(self.size, self.search.bias, self.weight_bits, _FLOAT_INTEGERS))
        for tried in (range(1, plain + 1), range(plain + 1, self.most + 1)):
            first = bisect_left(tried, True, key=lambda bits: self.error(bits) <= allowed)
            if first < len(tried):
                return tried[first]
        return 0


@dataclass(frozen=True)
class _Scales:
    """A pair of scales, and the error that it proves."""

    rounded: _Rounded
    input_bits: int
    error: float

    @property
    def fixed_point(self) -> FixedPoint:
        return FixedPoint(
            column_exponents=self.rounded.search.exponents,
            input_bits=self.input_bits,
            weight_bits=self.rounded.weight_bits,
        )

    @property
    def modulus_bits(self) -> float:
        """How a modulus grows with them."""
        size = float(self.rounded.size.max()) + 1
        largest = size + float(np.abs(_scale(self.rounded.search.bias, self.rounded.weight_bits)).max())
        return self.input_bits + math.log2(largest) + math.log2(size)

    def widened(self, allowed: float) -> _Scales:
        """With all bits that slots leave, where that is no worse."""
        most = self.rounded.most
        error = self.rounded.error(most)
        return _Scales(self.rounded, most, error) if error <= allowed else self


@dataclass(frozen=True, eq=False)
class _Search:
    """The weights that are not zero, in units of their columns' bounds, and what each loses when values are rounded."""

    exponents: tuple[int, ...]
    bias: Floats
    terms: Floats
    outputs: NDArray[np.intp]
    factors: Floats
    exact: NDArray[np.bool_]
    """Of whole numbers only."""
    deepest: NDArray[np.int32]
    repeats: int
    height: int
    """Weights of each output, zero or not."""

    @classmethod
    def of(
        cls, affine: AffineMap, exponents: NDArray[np.int32], repeats: int, whole: NDArray[np.bool_] | None
    ) -> _Search:
        scaled = _scale(affine.weights, _term_exponents(affine, exponents)[:, None])
        if not np.isfinite(scaled).all():
            raise BadProgram("a weight times the bound of its column is past the range of float64")
        outputs, at = used = np.nonzero(scaled.T)
        return cls(
            tuple(exponents.tolist()),
            affine.bias,
            scaled.T[used],
            outputs,
            _factors(affine)[at],
            _whole_terms(affine, whole)[at],
            _deepest(affine, exponents)[at],
            repeats,
            scaled.shape[0],
        )

    def sums(self, terms: Floats) -> Floats:
        """Of what belongs to each output, over all rows that are added up: zero weights, often most, cost nothing."""
        added = np.bincount(self.outputs, weights=terms, minlength=len(self.bias))
        return np.asarray(added * self.repeats, dtype=np.float64)

    def inexact(self, input_bits: int) -> Floats:
        """How many roundings move each term."""
        return self.factors * ~(self.exact & (self.deepest <= input_bits))

    @property
    def units_of_one(self) -> int:
        """Input bits at which all whole numbers are exact; results may then stay below 2^53."""
        return max(1, int(self.deepest[self.exact].max(initial=1)))

    def narrowest(self, allowed: float) -> _Scales | None:
        """The scales that need the least modulus and prove `allowed`; None when none do."""
        best: _Scales | None = None
        tried = _weight_bits_worth_trying(self.terms, self.height * self.repeats, allowed)
        first = bisect_left(tried, True, key=lambda bits: float(_Rounded(self, bits).lost.max()) <= allowed)
        floor = self._input_bits_floor(allowed)
        for weight_bits in tried[first:]:
            if best and floor + 2 * weight_bits >= best.input_bits + 2 * best.rounded.weight_bits:
                break
            rounded = _Rounded(self, weight_bits)
            bits = rounded.least(allowed)
            if bits and (not best or bits + 2 * weight_bits < best.input_bits + 2 * best.rounded.weight_bits):
                best = _Scales(rounded, bits, rounded.error(bits))
        return best

    def _input_bits_floor(self, allowed: float) -> int:
        """Fewer never prove `allowed`, whatever the weight bits: what values that are not whole numbers lose, by
        weights of which rounding took no more than `allowed`."""
        moved = float(self.sums(np.abs(self.terms) * (self.factors * ~self.exact)).max()) - allowed * self.factors.max(
            initial=1.0
        )
        return max(1, math.frexp(moved / allowed)[1] - 2) if moved > 0 else 1

    def reachable(self, allowed: float) -> float:
        """The best error that any scales prove."""
        best = math.inf
        for weight_bits in _weight_bits_worth_trying(self.terms, self.height * self.repeats, allowed):
            rounded = _Rounded(self, weight_bits)
            tried = {rounded.most, min(self.units_of_one, rounded.most)} - {0}
            best = min([best, *map(rounded.error, tried)])
        return best


def result_bits(fixed: FixedPoint) -> int:
    """Results carry the scale 2^result_bits."""
    return fixed.input_bits + fixed.weight_bits


def integer_program(affine: AffineMap, fixed: FixedPoint) -> IntegerProgram:
    """The map on integers. Both sides derive it from the same program and scales, so it never travels.

    With `sum_rows` the bias is in every evaluation: who adds several results subtracts all but one of them.
    """
    _require_finite(affine)
    _require_input_bits(fixed)
    if len(fixed.column_exponents) != affine.width_in:
        raise BadProgram(
            f"the scales are for {len(fixed.column_exponents)} columns, but the program has {affine.width_in} inputs"
        )
    exponents = _term_exponents(affine, np.array(fixed.column_exponents, dtype=np.int32))
    weights = _integers(_scale(affine.weights, exponents[:, None] + fixed.weight_bits).T)
    bias = _integers(_scale(affine.bias, result_bits(fixed))[None, :])[0]
    return IntegerProgram(weights, bias, affine.sum_rows, 1 << fixed.input_bits, affine.products)


def encode(rows: Floats, fixed: FixedPoint) -> NDArray[np.int64]:
    """float64 [N, F] to int64 [N, F]. Raises BadData for a value that is not finite or is past its column's bound."""
    if rows.ndim != 2 or rows.shape[1] != len(fixed.column_exponents):
        raise BadData(f"rows of shape {list(rows.shape)} do not have the {len(fixed.column_exponents)} columns agreed")
    _require_input_bits(fixed)
    exponents = np.array(fixed.column_exponents, dtype=np.int32)
    scaled = np.rint(_scale(rows, fixed.input_bits - exponents))
    fits = np.abs(scaled) <= float(1 << fixed.input_bits)
    if not fits.all():
        row, column = (int(index) for index in np.argwhere(~fits)[0])
        value = float(rows[row, column])
        bound = math.ldexp(1.0, fixed.column_exponents[column])
        raise BadData(
            f"row {row + 1}, column {column + 1}: {value} is not a finite number within ±{bound:g}, the bound that the "
            "job was planned with: plan it again with the right bounds",
            row=row + 1,
        )
    return scaled.astype(np.int64)


def decode(values: NDArray[np.int64], fixed: FixedPoint) -> Floats:
    """int64 [N, K] results to float64 [N, K]."""
    return _scale(values.astype(np.float64), -result_bits(fixed))


def _scale(values: Floats, bits: int | NDArray[np.int32]) -> Floats:
    """values * 2^bits; exact, or infinite where float64 ends, which the callers refuse."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(values, bits), dtype=np.float64)


def _require_input_bits(fixed: FixedPoint) -> None:
    if not 1 <= fixed.input_bits <= INPUT_BITS_MAX:
        raise BadConfig(f"{fixed.input_bits} input bits are not from 1 to {INPUT_BITS_MAX}", field="fixed_point")


def _require_finite(affine: AffineMap) -> None:
    if not (np.isfinite(affine.weights).all() and np.isfinite(affine.bias).all()):
        raise BadProgram("a weight or bias of the program is not a finite number: export the program again")


def _integers(values: Floats) -> tuple[tuple[int, ...], ...]:
    if not np.isfinite(values).all():
        raise BadProgram("a weight or bias is too large for the scales of the job")
    rounded = np.rint(values)
    if np.abs(rounded).max(initial=0) < SLOT_VALUE_LIMIT:
        return tuple(map(tuple, rounded.astype(np.int64).tolist()))
    return tuple(tuple(int(value) for value in row) for row in rounded.tolist())


def _exponents(bounds: Floats, width: int) -> NDArray[np.int32]:
    """The smallest e_j with bounds_j <= 2^e_j."""
    if bounds.shape != (width,):
        raise BadData(f"there are bounds for {list(bounds.shape)} columns, but the program has {width} inputs")
    if not (np.isfinite(bounds).all() and (bounds >= 0).all() and (bounds <= 2.0**EXPONENT_MAX).all()):
        raise BadData(f"the bound of a column is not a number from 0 to 2^{EXPONENT_MAX}")
    fraction, exponents = np.frexp(bounds)
    exponents = exponents - (fraction == 0.5)
    return np.where(bounds > 0, np.clip(exponents, -EXPONENT_MAX, EXPONENT_MAX), -EXPONENT_MAX).astype(np.int32)


def _exponents_worth_trying(
    bounds: Floats, affine: AffineMap, whole: NDArray[np.bool_] | None
) -> list[NDArray[np.int32]]:
    """Each column's own; and with the largest that any of whole numbers has for all of those."""
    own = _exponents(bounds, affine.width_in)
    if whole is None or not whole.any():
        return [own]
    shared = np.where(whole & (bounds > 0), own[whole].max(), own).astype(np.int32)
    return [own] if (shared == own).all() else [own, shared]


def _term_exponents(affine: AffineMap, exponents: NDArray[np.int32]) -> NDArray[np.int32]:
    """Of the columns [F] and, behind them, of their products [F + P]."""
    made = [int(exponents[list(each)].sum()) for each in affine.products]
    return np.concatenate([exponents, np.array(made, dtype=np.int32)])


def _factors(affine: AffineMap) -> Floats:
    """How many columns each term multiplies, [F + P]."""
    return np.array([1.0] * affine.width_in + [float(len(each)) for each in affine.products])


def _whole_terms(affine: AffineMap, whole: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Of which columns and products [F + P] all values are whole numbers."""
    columns = np.zeros(affine.width_in, dtype=np.bool_) if whole is None else whole
    return np.concatenate([columns, np.array([columns[list(each)].all() for each in affine.products], dtype=np.bool_)])


def _deepest(affine: AffineMap, exponents: NDArray[np.int32]) -> NDArray[np.int32]:
    """The largest exponent of the columns of each term [F + P]: with as many input bits a unit of all of them is 1."""
    made = [int(exponents[list(each)].max()) for each in affine.products]
    return np.concatenate([exponents, np.array(made, dtype=np.int32)])


def _weight_bits_worth_trying(terms: Floats, added: int, max_error: float) -> range:
    """From where all weights round to zero to where half a unit lost in every weight is a sixteenth of `max_error`.

    More weight bits only take room from the values. `added` terms make a result.
    """
    largest = float(np.abs(terms).max(initial=0.0))
    first = -math.frexp(largest)[1] - 1 if largest else 0
    last = math.ceil(math.log2(added) - math.log2(max_error)) + 3
    return range(max(min(first, last), -WEIGHT_BITS_MAX), min(last, WEIGHT_BITS_MAX) + 1)


def _most_input_bits(size: Floats, bias: Floats, weight_bits: int, limit: float = SLOT_VALUE_LIMIT) -> int:
    """The most bits, at most INPUT_BITS_MAX, for which sum |W| * 2^bits + |bias| stays below the limit; 0: none."""
    for bits in range(INPUT_BITS_MAX, 0, -1):
        reached = _scale(size, bits) + np.abs(_scale(bias, bits + weight_bits)) + 1
        if (reached * _FLOAT_SLACK < limit).all():
            return bits
    return 0


def _error_bound(  # noqa: PLR0917
    lost: Floats, moved: Floats, size: Floats, bias: Floats, weight_bits: int, input_bits: int
) -> float:
    """The sum of the four lines above, for the worst output."""
    unit = math.ldexp(1.0, -weight_bits - input_bits)
    scaled = _scale(bias, weight_bits + input_bits)
    largest = _scale(size, -weight_bits) + np.abs(bias) + unit
    back = np.where(largest * _FLOAT_SLACK < unit * _FLOAT_INTEGERS, 0.0, largest * 2.0**-53)
    return float((lost + moved * (unit / 2) + np.abs(scaled - np.rint(scaled)) * unit + back).max()) * _FLOAT_SLACK
