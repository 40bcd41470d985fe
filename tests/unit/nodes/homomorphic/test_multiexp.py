"""Compiled products of powers equal the powers themselves, and their length follows the bits of the exponents."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from nodes.homomorphic.multiexp import PowerProduct, compile_powers, compile_signed
from nodes.homomorphic.residues import Ring, halves, join, split, whole

N = mpz(2**127 - 1)
SQUARED = N * N
BASES = [SQUARED - 3, SQUARED // 5, SQUARED // 7 * 3, mpz(11), N + 13, N * 17 - 1]

both_rings = pytest.mark.parametrize("ring", [halves(N), whole(N)], ids=["halves", "whole"])


def run(powers: PowerProduct, bases: Sequence[mpz], ring: Ring) -> mpz:
    number = ring.leave(powers.run([ring.enter(split(base, N)) for base in bases], ring))
    assert 0 <= number < SQUARED
    return number


@both_rings
@given(exponents=st.lists(st.one_of(st.integers(0, 40), st.integers(0, 2**62)), min_size=1, max_size=6))
def test_a_compiled_product_equals_the_product_of_powers(ring: Ring, exponents: list[int]) -> None:
    expected = prod(pow(base, exponent, SQUARED) for base, exponent in zip(BASES, exponents, strict=False)) % SQUARED
    assert run(compile_powers(exponents), BASES[: len(exponents)], ring) == expected


@both_rings
@given(weights=st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=6))
def test_signed_weights_are_a_quotient_of_two_products(ring: Ring, weights: list[int]) -> None:
    powers, bases = compile_signed(tuple(weights)), BASES[: len(weights)]
    expected = prod(pow(base, weight, SQUARED) for base, weight in zip(bases, weights, strict=True)) % SQUARED
    assert run(powers.above, bases, ring) == expected * run(powers.below, bases, ring) % SQUARED


@given(st.integers(0, int(SQUARED) - 1), st.integers(0, int(SQUARED) - 1))
def test_a_product_of_halves_is_the_product(left: int, right: int) -> None:
    product = halves(N).multiply(split(mpz(left), N), split(mpz(right), N))
    assert max(product) < N
    assert join(product, N) == left * right % SQUARED


def test_running_leaves_the_bases_alone() -> None:
    bases = list(BASES)
    compile_powers([9, 8, 7, 6, 5, 4]).run(bases, whole(N))
    assert bases == BASES


def test_the_steps_grow_with_the_bits_of_the_exponents_not_their_square() -> None:
    assert len(compile_powers([2**62 - 1, 1]).steps) <= 2 * 62


def test_equal_exponents_cost_one_step_each() -> None:
    compiled = compile_powers([4096] * 30)
    assert len(compiled.steps) == 29
