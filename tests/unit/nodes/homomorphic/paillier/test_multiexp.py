"""Compiled products of powers equal the powers themselves, and their length follows the bits of the exponents."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import prod

from gmpy2 import invert, mpz
from hypothesis import given
from hypothesis import strategies as st

from nodes.homomorphic.paillier.multiexp import PowerProduct, compile_powers, compile_signed, multiplications
from nodes.homomorphic.paillier.residues import inverse, join, multiply, split, square

N = mpz(2**127 - 1)
SQUARED = N * N
BASES = [SQUARED - 3, SQUARED // 5, SQUARED // 7 * 3, mpz(11), N + 13, N * 17 - 1]


def run(powers: PowerProduct, bases: Sequence[mpz]) -> mpz:
    pair = powers.run([split(base, N) for base in bases], N)
    assert 0 <= min(pair) <= max(pair) < N
    return join(pair, N)


@given(exponents=st.lists(st.one_of(st.integers(0, 40), st.integers(0, 2**62)), min_size=1, max_size=6))
def test_a_compiled_product_equals_the_product_of_powers(exponents: list[int]) -> None:
    expected = prod(pow(base, exponent, SQUARED) for base, exponent in zip(BASES, exponents, strict=False)) % SQUARED
    assert run(compile_powers(exponents), BASES[: len(exponents)]) == expected


@given(
    weights=st.lists(st.integers(-(2**20), 2**20) | st.integers(-3, 3), min_size=1, max_size=6),
    message=st.integers(-(2**130), 2**130),
)
def test_signed_weights_give_the_product_of_signed_powers_and_the_message(weights: list[int], message: int) -> None:
    compiled, bases = compile_signed(tuple(weights)), BASES[: len(weights)]
    expected = prod(pow(base, weight, SQUARED) for base, weight in zip(bases, weights, strict=True)) % SQUARED
    running = compiled.start([split(base, N) for base in bases], N)
    last = running.lows[-1]
    assert last == prod(base for base, weight in zip(bases, weights, strict=True) if weight) % N
    product = compiled.finish(running, invert(last, N), mpz(message), N)
    assert 0 <= min(product) <= max(product) < N
    assert join(product, N) == expected * (1 + N * message) % SQUARED


@given(st.integers(0, int(SQUARED) - 1), st.integers(0, int(SQUARED) - 1))
def test_products_of_pairs_are_products(left: int, right: int) -> None:
    one, other = split(mpz(left), N), split(mpz(right), N)
    for product, expected in ((multiply(one, other, N), left * right), (square(one, N), left * left)):
        assert max(product) < N
        assert join(product, N) == expected % SQUARED


@given(st.integers(0, int(N) - 1), st.integers(1, int(N) - 1))
def test_an_inverse_takes_a_pair_to_one(high: int, low: int) -> None:
    pair = mpz(high), mpz(low)
    inverted = inverse(pair, invert(low, N), N)
    assert 0 <= min(inverted) <= max(inverted) < N
    assert join(pair, N) * join(inverted, N) % SQUARED == 1


def test_running_leaves_the_bases_alone() -> None:
    bases = [split(base, N) for base in BASES]
    compile_powers([9, 8, 7, 6, 5, 4]).run(bases, N)
    assert bases == [split(base, N) for base in BASES]


def test_the_steps_grow_with_the_bits_of_the_exponents_not_their_square() -> None:
    assert len(compile_powers([2**62 - 1, 1]).steps) <= 2 * 62


def test_equal_exponents_cost_one_step_each() -> None:
    assert compile_powers([4096] * 30).multiplications == 29 + 12


def test_exponents_that_are_sums_of_each_other_take_two_multiplications_each() -> None:
    assert compile_powers([1, 2, 3, 5, 8, 13, 21]).multiplications == 2 * 6


def test_signs_do_not_split_the_work() -> None:
    """Thirty signed weights of 16 bits: one product of the positive and one of the negative ones would take 140."""
    rng = random.Random(30)
    counts = [multiplications(tuple(rng.randrange(-(2**15), 2**15) for _ in range(30))) for _ in range(20)]
    assert sum(counts) < 122 * len(counts)
