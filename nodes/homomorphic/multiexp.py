"""Products of powers, compiled once per weight vector into a straight line of multiplications. Pure.

Signs and high halves go first. Let x_i = l_i (1 + n h_i / l_i) modulo n^2, sorted by weight, w_1 >= ... >= w_k, and
let Y_i be the running products of the l_i modulo n: Y_(i-1) l_i = q_i n + Y_i. By Abel's summation, modulo n^2,

    x_1^w_1 * ... * x_k^w_k = Y_1^(w_1 - w_2) * ... * Y_(k-1)^(w_(k-1) - w_k) * Y_k^w_k * (1 + n t),
    t = sum of w_i (h_i / l_i + q_i / Y_i) = N_k / Y_k, with N_i = N_(i-1) l_i + w_i (h_i Y_(i-1) + q_i).

So the high halves are summed up, not multiplied, and all exponents but the last are differences of neighbours, small
and never negative. One inverse modulo n, of Y_k, serves both t and a negative w_k.

The rest is Bos and Coster's ("Addition chain heuristics", CRYPTO '89): of the two largest exponents e1 >= e2 with bases
b1 and b2, b1^e1 * b2^e2 = b1^(e1 - 2^s e2) * (b2 * b1^(2^s))^e2 with s = floor(log2(e1 / e2)). The largest exponent
shrinks at the price of s squarings and a multiplication. When s is 2 or more, halving e1 is never dearer: an odd e1
leaves one b1 in an accumulator, then b1 is squared. Where a partner other than e2 leaves an exponent that another base
has already, it is taken instead: two multiplications then do away with e1. So work grows with the bits of the
exponents, whatever they are.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

from gmpy2 import f_divmod, mpz

from nodes.homomorphic.residues import ONE, Pair, add_message, inverse, multiply, power, square

_HALVE_FROM_SHIFT: Final = 2
PARTNERS_TRIED: Final = 8
"""Exponents next below the largest that are tried as its partner."""
PROGRAMS_KEPT: Final = 512
"""Weight vectors whose compiled form is remembered between batches."""

_Powers = list[tuple[int, int]]
"""(exponent, index of its base), in ascending order."""


@dataclass(frozen=True, slots=True)
class PowerProduct:
    """x[0]^e_0 * x[1]^e_1 * ... as steps over the bases in use and, behind them, an accumulator that starts at 1.

    With v the bases at `support` (those with a positive exponent) and the accumulator, a step (target, source, s) means
    v[target] = v[target] * v[source]^(2^s), with s 0 or 1; the product is then v[index]^power * accumulator. Without a
    positive exponent there is no step and `power` is 0.
    """

    support: tuple[int, ...]
    steps: tuple[tuple[int, int, int], ...]
    index: int
    power: int

    def run(self, bases: Sequence[Pair], n: mpz) -> Pair:
        """The product modulo n^2; `bases` are left alone."""
        values = [*[bases[position] for position in self.support], ONE]
        for target, source, shift in self.steps:
            factor = values[source]
            if shift:
                factor = square(factor, n)
            values[target] = square(factor, n) if target == source else multiply(values[target], factor, n)
        rest = values[self.index] if self.power == 1 else power(values[self.index], self.power, n)
        return multiply(rest, values[-1], n)


def compile_powers(exponents: Sequence[int]) -> PowerProduct:
    """Compile the product of x[i]^exponents[i] for non-negative exponents."""
    return _compile([(exponent, position) for position, exponent in enumerate(exponents) if exponent])


def _compile(powers: Sequence[tuple[int, int]]) -> PowerProduct:
    """Compile from (positive exponent, position of the base)."""
    support = tuple(position for _, position in powers)
    if not powers:
        return PowerProduct((), (), 0, 0)
    open_powers = sorted((exponent, index) for index, (exponent, _) in enumerate(powers))
    accumulator = len(powers)
    steps: list[tuple[int, int, int]] = []
    while len(open_powers) > 1:
        largest, index = open_powers.pop()
        second, target, shift = _partner(largest, open_powers)
        if shift < _HALVE_FROM_SHIFT:
            steps.append((target, index, shift))
            rest = largest - (second << shift)
        else:
            if largest & 1:
                steps.append((accumulator, index, 0))
            steps.append((index, index, 0))
            rest = largest >> 1
        if rest:
            insort(open_powers, (rest, index))
    exponent, index = open_powers[0]
    return PowerProduct(support, tuple(steps), index, exponent)


def _partner(largest: int, others: _Powers) -> tuple[int, int, int]:
    """(e2, its index, s): of the next largest, one that leaves an exponent of another or nothing, or else the next."""
    for exponent, index in others[: -PARTNERS_TRIED - 1 : -1]:
        rest = largest - exponent
        at = bisect_left(others, (rest, 0))
        if rest == 0 or (at < len(others) and others[at][0] == rest):
            return exponent, index, 0
    exponent, index = others[-1]
    return exponent, index, (largest // exponent).bit_length() - 1


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
    order = sorted(((weight, position) for position, weight in enumerate(weights) if weight), reverse=True)
    differences = [larger - smaller for (larger, _), (smaller, _) in pairwise(order)]
    exponents = [0, *differences, abs(order[-1][0])] if order else [0]
    return SignedPowers(tuple(order), compile_powers(exponents))


def multiplications(weights: tuple[int, ...]) -> int:
    """Products that `weights` take for one block: one per base in use, the steps, and the last power by squaring."""
    compiled = compile_signed(weights)
    powers = compiled.powers
    last = max(0, powers.power.bit_length() + powers.power.bit_count() - 2)
    return len(compiled.order) + sum(1 + shift for _, _, shift in powers.steps) + last
