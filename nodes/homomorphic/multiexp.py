"""Products of powers, compiled once per weight vector into a straight line of multiplications. Pure.

Bos and Coster ("Addition chain heuristics", CRYPTO '89): of the two largest exponents e1 >= e2 with bases b1 and
b2, b1^e1 * b2^e2 = b1^(e1 - 2^s e2) * (b2 * b1^(2^s))^e2 with s = floor(log2(e1 / e2)). The largest exponent
shrinks at the price of s squarings and a multiplication. When s is 2 or more, halving e1 is never dearer: an odd e1
leaves one b1 in an accumulator, then b1 is squared. So work
grows with the bits of the exponents, whatever they are.

Numbers modulo n^2 are multiplied as pairs (high, low) = high * n + low. The product of the highs vanishes modulo n^2,
so three products and two divisions of half size take the place of one product and one division of full size: a fifth
faster for a multiplication, a fourth for a square.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gmpy2 import f_divmod, mpz, powmod

_HALVE_FROM_SHIFT: Final = 2


Pair = tuple[mpz, mpz]
"""(high, low), both from 0 to n - 1, for high * n + low modulo n^2."""


def split(number: mpz, n: mpz) -> Pair:
    """The pair of a number from 0 to n^2 - 1."""
    high, low = f_divmod(number, n)
    return high, low


def join(pair: Pair, n: mpz) -> mpz:
    """The number that a pair stands for."""
    return pair[0] * n + pair[1]


@dataclass(frozen=True, slots=True)
class PowerProduct:
    """x[0]^e_0 * x[1]^e_1 * ... as steps over the bases and, behind them, an accumulator that starts at 1.

    A step (target, source, s) means x[target] = x[target] * x[source]^(2^s); the product is then
    x[index]^power * accumulator. Without any positive exponent there is no step and `power` is 0.
    """

    steps: tuple[tuple[int, int, int], ...]
    index: int
    power: int

    def run(self, bases: Sequence[Pair], n: mpz) -> Pair:
        """The product modulo n^2; `bases` are left alone."""
        highs = [high for high, _ in bases] + [mpz(0)]
        lows = [low for _, low in bases] + [mpz(1)]
        for target, source, shift in self.steps:
            high, low = highs[source], lows[source]
            for _ in range(shift):
                carry, square = f_divmod(low * low, n)
                high, low = (carry + (high * low << 1)) % n, square
            other = lows[target]
            carry, lows[target] = f_divmod(other * low, n)
            highs[target] = (carry + other * high + highs[target] * low) % n
        rest = powmod(join((highs[self.index], lows[self.index]), n), self.power, n * n)
        return split(rest * join((highs[-1], lows[-1]), n) % (n * n), n)


def compile_powers(exponents: Sequence[int]) -> PowerProduct:
    """Compile the product of x[i]^exponents[i] for non-negative exponents."""
    heap = [(-exponent, index) for index, exponent in enumerate(exponents) if exponent]
    if not heap:
        return PowerProduct((), 0, 0)
    heapq.heapify(heap)
    accumulator = len(exponents)
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
    return PowerProduct(tuple(steps), index, -negated)


@dataclass(frozen=True, slots=True)
class SignedPowers:
    """Positive and negative exponents apart: the product is `above / below`, with one inversion at the end."""

    above: PowerProduct
    below: PowerProduct


def compile_signed(weights: Sequence[int]) -> SignedPowers:
    """Compile the product of x[i]^weights[i] for signed weights."""
    return SignedPowers(
        compile_powers([max(weight, 0) for weight in weights]),
        compile_powers([max(-weight, 0) for weight in weights]),
    )
