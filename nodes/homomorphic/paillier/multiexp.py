"""Products of powers, compiled once per weight vector into a straight line of multiplications. Pure.

Signs and high halves go first. Let x_i = l_i (1 + n h_i / l_i) modulo n^2, sorted by weight, w_1 >= ... >= w_k, and
let Y_i be the running products of the l_i modulo n: Y_(i-1) l_i = q_i n + Y_i. By Abel's summation, modulo n^2,

    x_1^w_1 * ... * x_k^w_k = Y_1^(w_1 - w_2) * ... * Y_(k-1)^(w_(k-1) - w_k) * Y_k^w_k * (1 + n t),
    t = sum of w_i (h_i / l_i + q_i / Y_i) = N_k / Y_k, with N_i = N_(i-1) l_i + w_i (h_i Y_(i-1) + q_i).

So the high halves are summed up, not multiplied, and all exponents but the last are differences of neighbours, small
and never negative. One inverse modulo n, of Y_k, serves both t and a negative w_k.

The rest is an addition sequence, run backwards. A sequence of L additions that starts at 1 and meets k exponents gives
their product of powers in L + k - 1 multiplications (Olivos, "On vectorial addition chains", Journal of Algorithms 2,
1981): of the sum e = f + g, base e is multiplied into the bases of f and of g. The sequence is made from above, as in
Bos and Coster's "Addition chain heuristics" (CRYPTO '89): the largest exponent becomes the sum of two that are there
already, or else of one that is there and a new one. The new one is chosen by how many other exponents it makes sums of
two, whether it is itself one, and how small it is. An exponent four times the next is halved. So work grows with the
bits of the exponents, whatever they are.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress, pairwise
from typing import Final

from gmpy2 import f_divmod, mpz

from nodes.homomorphic.paillier.residues import ONE, Pair, add_message, inverse, multiply, square

PARTNERS_TRIED: Final = 16
"""Exponents next below the largest that are tried as one half of its sum."""
NEIGHBOURS_WEIGHED: Final = 32
"""Exponents next below the largest that a new exponent is weighed by."""
PROGRAMS_KEPT: Final = 512
"""Weight vectors whose compiled form is remembered between batches."""


@dataclass(frozen=True, slots=True)
class PowerProduct:
    """x[0]^e_0 * x[1]^e_1 * ... as steps over the bases in use and, behind them, an accumulator that starts at 1.

    With v the bases at `support` (those with a positive exponent) and the accumulator, a step (target, source, s) means
    v[target] = v[target] * v[source]^(2^s), with s 0 or 1; the product is then v[result].
    """

    support: tuple[int, ...]
    steps: tuple[tuple[int, int, int], ...]
    result: int

    def run(self, bases: Sequence[Pair], n: mpz) -> Pair:
        """The product modulo n^2; `bases` are left alone."""
        values = [*[bases[position] for position in self.support], ONE]
        for target, source, shift in self.steps:
            factor = values[source]
            if shift:
                factor = square(factor, n)
            values[target] = square(factor, n) if target == source else multiply(values[target], factor, n)
        return values[self.result]

    @property
    def multiplications(self) -> int:
        """Products that a run takes: what comes first into the accumulator is not multiplied."""
        accumulated = bool(self.steps) and self.result == len(self.support)
        return sum(1 + shift for _, _, shift in self.steps) - accumulated


def compile_powers(exponents: Sequence[int]) -> PowerProduct:
    """Compile the product of x[i]^exponents[i] for non-negative exponents."""
    powers = [(exponent, position) for position, exponent in enumerate(exponents) if exponent]
    steps: list[tuple[int, int, int]] = []
    holders: dict[int, int] = {}
    for index, (exponent, _) in enumerate(powers):
        if exponent in holders:
            steps.append((holders[exponent], index, 0))
        else:
            holders[exponent] = index
    result = holders.setdefault(1, len(powers))
    rising = sorted(holders)
    while len(rising) > 1:
        largest = rising.pop()
        source = holders.pop(largest)
        part = _part(largest, rising, holders)
        halved = 2 * part == largest
        if not halved:
            steps.append((holders[largest - part], source, 0))
        if part in holders:
            steps.append((holders[part], source, int(halved)))
        else:
            if halved:
                steps.append((source, source, 0))
            holders[part] = source
            insort(rising, part)
    return PowerProduct(tuple(position for _, position in powers), tuple(steps), result)


def _part(largest: int, rising: Sequence[int], present: Container[int]) -> int:
    """A part of the largest exponent whose other part is equal or present; `rising` are those present, in order."""
    if largest >= 4 * rising[-1]:
        return largest - 1 if largest & 1 else largest >> 1
    parts = [largest - partner for partner in rising[: -PARTNERS_TRIED - 1 : -1]]
    if not largest & 1:
        parts.append(largest >> 1)
    for part in parts:
        if part in present:
            return part
    neighbours = rising[: -NEIGHBOURS_WEIGHED - 1 : -1]
    return max(parts, key=lambda part: _worth(part, neighbours, present))


def _worth(part: int, neighbours: Sequence[int], present: Container[int]) -> int:
    """What a new exponent is worth, in halves of an addition; the weights are measured, not derived."""
    served = sum(larger - part in present or larger == 2 * part for larger in neighbours if larger > part)
    is_sum = (not part & 1 and part >> 1 in present) or any(part - smaller in present for smaller in neighbours)
    return 2 * served + 3 * is_sum - part.bit_length()


@dataclass(frozen=True, slots=True)
class Running:
    """Y_0 = 1, Y_1, ..., Y_k and N_k of one block."""

    lows: list[mpz]
    numerator: mpz


@dataclass(frozen=True, slots=True)
class SignedPowers:
    """The product of powers with signed exponents, in two parts, so that one inversion serves many blocks."""

    order: tuple[tuple[int, int], ...]
    """(weight, position) of the bases in use, the largest weight first."""
    powers: PowerProduct
    """Of Y_0, ..., Y_k; of the inverse of Y_k if the last weight is negative."""

    def start(self, bases: Sequence[Pair], n: mpz) -> Running:
        """Take in the bases. The last low is the product of all bases in use, modulo n."""
        product, numerator = mpz(1), mpz(0)
        lows = [product]
        for weight, position in self.order:
            high, low = bases[position]
            carry, following = f_divmod(product * low, n)
            numerator = (numerator * low + weight * (high * product + carry)) % n
            product = following
            lows.append(product)
        return Running(lows, numerator)

    def finish(self, running: Running, last_inverse: mpz, message: mpz, n: mpz) -> Pair:
        """The product of powers times 1 + n message, given the inverse of the last low modulo n."""
        zero = mpz(0)
        bases = [(zero, low) for low in running.lows]
        if self.order and self.order[-1][0] < 0:
            bases[-1] = inverse(bases[-1], last_inverse, n)
        return add_message(self.powers.run(bases, n), running.numerator * last_inverse + message, n)


@lru_cache(maxsize=PROGRAMS_KEPT)
def compile_signed(weights: tuple[int, ...]) -> SignedPowers:
    """Compile the product of x[i]^weights[i] for signed weights; once for all batches of a program."""
    order = sorted(zip(compress(weights, weights), compress(range(len(weights)), weights), strict=True), reverse=True)
    differences = [larger - smaller for (larger, _), (smaller, _) in pairwise(order)]
    exponents = [0, *differences, abs(order[-1][0])] if order else [0]
    return SignedPowers(tuple(order), compile_powers(exponents))


def multiplications(weights: tuple[int, ...]) -> int:
    """Products that `weights` take for one block: one per base in use, and the powers."""
    compiled = compile_signed(weights)
    return len(compiled.order) + compiled.powers.multiplications
