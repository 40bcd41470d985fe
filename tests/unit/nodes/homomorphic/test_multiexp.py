"""Compiled products of powers equal the powers themselves, and their length follows the bits of the exponents."""

from __future__ import annotations

from math import prod

from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from nodes.homomorphic.multiexp import compile_powers, compile_signed

MODULUS = mpz(2**127 - 1)
BASES = [mpz(3), mpz(5), mpz(7), mpz(11), mpz(13), mpz(17)]


@given(st.lists(st.one_of(st.integers(0, 40), st.integers(0, 2**62)), min_size=1, max_size=6))
def test_a_compiled_product_equals_the_product_of_powers(exponents: list[int]) -> None:
    expected = prod(pow(base, exponent, MODULUS) for base, exponent in zip(BASES, exponents, strict=False)) % MODULUS
    assert compile_powers(exponents).run(BASES[: len(exponents)], MODULUS) == expected


@given(st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=6))
def test_signed_weights_are_a_quotient_of_two_products(weights: list[int]) -> None:
    powers, bases = compile_signed(weights), BASES[: len(weights)]
    expected = prod(pow(base, weight, MODULUS) for base, weight in zip(bases, weights, strict=True)) % MODULUS
    assert powers.above.run(bases, MODULUS) == expected * powers.below.run(bases, MODULUS) % MODULUS


def test_running_leaves_the_bases_alone() -> None:
    bases = list(BASES)
    compile_powers([9, 8, 7, 6, 5, 4]).run(bases, MODULUS)
    assert bases == BASES


def test_the_steps_grow_with_the_bits_of_the_exponents_not_their_square() -> None:
    assert len(compile_powers([2**62 - 1, 1]).steps) <= 2 * 62


def test_equal_exponents_cost_one_step_each() -> None:
    compiled = compile_powers([4096] * 30)
    assert len(compiled.steps) == 29
