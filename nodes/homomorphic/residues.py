"""Two ways to multiply modulo n^2. Pure.

*Halves* keep a number as the pair (high, low) = high * n + low. The product of the highs vanishes modulo n^2, so three
products and two divisions of half size take the place of one product and one division of full size, and a
multiplication takes a fifth less. On several threads those many short operations would wait for the interpreter lock
longer than they compute, so threads multiply *whole* numbers: two long operations, both outside the lock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gmpy2 import f_divmod, mpz, powmod

Pair = tuple[mpz, mpz]
"""(high, low), both from 0 to n - 1, for high * n + low modulo n^2."""

Element = Any
"""A Pair or an mpz, as the ring has it."""


def split(number: mpz, n: mpz) -> Pair:
    """The pair of a number from 0 to n^2 - 1."""
    high, low = f_divmod(number, n)
    return high, low


def join(pair: Pair, n: mpz) -> mpz:
    """The number that a pair stands for."""
    return pair[0] * n + pair[1]


@dataclass(frozen=True, slots=True)
class Ring:
    """The integers modulo n^2 in one representation; `enter` and `leave` convert from pairs and to numbers."""

    one: Element
    enter: Callable[[Pair], Element]
    leave: Callable[[Element], mpz]
    multiply: Callable[[Element, Element], Element]
    power: Callable[[Element, int], Element]


def halves(n: mpz) -> Ring:
    """For one thread."""
    n_squared = n * n

    def multiply(left: Pair, right: Pair) -> Pair:
        left_high, left_low = left
        right_high, right_low = right
        carry, low = f_divmod(left_low * right_low, n)
        return (carry + left_low * right_high + left_high * right_low) % n, low

    def power(base: Pair, exponent: int) -> Pair:
        return split(powmod(join(base, n), exponent, n_squared), n)

    return Ring((mpz(0), mpz(1)), lambda pair: pair, lambda pair: join(pair, n), multiply, power)


def whole(n: mpz) -> Ring:
    """For several threads."""
    n_squared = n * n

    def multiply(left: mpz, right: mpz) -> mpz:
        return left * right % n_squared

    def power(base: mpz, exponent: int) -> mpz:
        return powmod(base, exponent, n_squared)

    return Ring(mpz(1), lambda pair: join(pair, n), lambda number: number, multiply, power)
