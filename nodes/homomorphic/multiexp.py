"""Products of powers, compiled once per weight vector into a straight line of multiplications. Pure.

Bos and Coster ("Addition chain heuristics", CRYPTO '89): of the two largest exponents e1 >= e2 with bases b1 and
b2, b1^e1 * b2^e2 = b1^(e1 - 2^s e2) * (b2 * b1^(2^s))^e2 with s = floor(log2(e1 / e2)). The largest exponent
shrinks at the price of s squarings and a multiplication. When s is 2 or more, halving e1 is never dearer: an odd e1
leaves one b1 in an accumulator, then b1 is squared. So work
grows with the bits of the exponents, whatever they are.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from gmpy2 import mpz

from nodes.homomorphic.residues import ONE, Pair, multiply, power, square

_HALVE_FROM_SHIFT: Final = 2
PROGRAMS_KEPT: Final = 512
"""Weight vectors whose compiled form is remembered between batches."""


@dataclass(frozen=True, slots=True)
class PowerProduct:
    """x[0]^e_0 * x[1]^e_1 * ... as steps over the bases in use and, behind them, an accumulator that starts at 1.

    With v the bases at `support` (those with a positive exponent) and the accumulator, a step (target, source, s) means
    v[target] = v[target] * v[source]^(2^s); the product is then v[index]^power * accumulator. Without any positive
    exponent there is no step and `power` is 0.
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
            for _ in range(shift):
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
    heap = [(-exponent, index) for index, (exponent, _) in enumerate(powers)]
    if not heap:
        return PowerProduct((), (), 0, 0)
    heapq.heapify(heap)
    accumulator = len(powers)
    steps: list[tuple[int, int, int]] = []
    while len(heap) > 1:
        negated, index = heapq.heappop(heap)
        second, target = -heap[0][0], heap[0][1]
        shift = (-negated // second).bit_length() - 1
        if shift < _HALVE_FROM_SHIFT:
            steps.append((target, index, shift))
            rest = -negated - (second << shift)
        else:
            if negated & 1:
                steps.append((accumulator, index, 0))
            steps.append((index, index, 0))
            rest = -negated >> 1
        if rest:
            heapq.heappush(heap, (-rest, index))
    negated, index = heap[0]
    return PowerProduct(support, tuple(steps), index, -negated)


@dataclass(frozen=True, slots=True)
class SignedPowers:
    """Positive and negative exponents apart: the product is `above / below`, with one inversion at the end."""

    above: PowerProduct
    below: PowerProduct


@lru_cache(maxsize=PROGRAMS_KEPT)
def compile_signed(weights: tuple[int, ...]) -> SignedPowers:
    """Compile the product of x[i]^weights[i] for signed weights; once for all batches of a program."""
    used = [(weight, position) for position, weight in enumerate(weights) if weight]
    return SignedPowers(
        _compile([pair for pair in used if pair[0] > 0]),
        _compile([(-weight, position) for weight, position in used if weight < 0]),
    )


def multiplications(weights: tuple[int, ...]) -> int:
    """Products that the compiled powers of `weights` take for one block, the last power by squaring included."""
    powers = compile_signed(weights)
    return sum(
        sum(1 + shift for _, _, shift in each.steps) + max(0, each.power.bit_length() + each.power.bit_count() - 2)
        for each in (powers.above, powers.below)
    )
