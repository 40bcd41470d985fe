"""The noise table holds what it says: the split entries multiply to h^x, and noise is an n-th residue."""

from __future__ import annotations

import pytest
from gmpy2 import mpz, powmod
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.homomorphic import noise
from nodes.homomorphic.costs import TABLE_AFTER
from nodes.homomorphic.noise import NoiseTable
from nodes.homomorphic.paillier import PaillierSecret


@pytest.fixture(scope="module")
def table(secret: PaillierSecret) -> NoiseTable:
    return noise.build_table(secret.public.n, secret.public.base)


def power(base: mpz, exponent: list[int], n: mpz) -> mpz:
    return powmod(base, sum(digit * 1024**at for at, digit in enumerate(exponent)), n * n)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 1023), min_size=noise.DIGITS, max_size=noise.DIGITS))
def test_a_draw_is_the_power_that_its_exponent_says(
    secret: PaillierSecret, table: NoiseTable, exponent: list[int]
) -> None:
    n, base = secret.public.n, secret.public.base
    assert noise.seal(n, table.draw(exponent), mpz(0)) == power(base, exponent, n)
    assert noise.seal(n, noise.direct(n, base, exponent), mpz(0)) == power(base, exponent, n)


@pytest.mark.parametrize("digit", [0, 1023])
def test_the_ends_of_the_table_are_right(secret: PaillierSecret, table: NoiseTable, digit: int) -> None:
    n, exponent = secret.public.n, [digit] * noise.DIGITS
    assert noise.seal(n, table.draw(exponent), mpz(0)) == power(secret.public.base, exponent, n)


def test_random_exponents_fill_their_digits_and_have_at_least_256_bits() -> None:
    drawn = noise.random_exponents(1000)
    assert noise.DIGITS * noise.DIGIT_BITS >= 256
    assert {len(exponent) for exponent in drawn} == {noise.DIGITS}
    for digits in zip(*drawn, strict=True):
        assert 0 <= min(digits) < 2**7
        assert 2**10 - 2**7 < max(digits) < 2**10


@pytest.mark.parametrize("message", [0, 1, -1, 2**1984, -(2**1984)])
def test_sealing_adds_the_message_to_the_noise(secret: PaillierSecret, message: int) -> None:
    n = secret.public.n
    residue = powmod(mpz(7), n, n * n)
    assert noise.seal(n, (residue, mpz(5)), mpz(message)) == residue * (1 + n * (5 + message)) % (n * n)


def test_the_noise_base_is_an_nth_residue(secret: PaillierSecret) -> None:
    order = (secret.p - 1) * (secret.q - 1)
    assert powmod(secret.public.base, order, secret.public.n_squared) == 1


def test_a_source_draws_fresh_residues_before_and_after_its_table(secret: PaillierSecret) -> None:
    n, order = secret.public.n, (secret.p - 1) * (secret.q - 1)
    source = noise.NoiseSource(n, secret.public.base)
    early = list(source.draw(2))
    late = list(source.draw(TABLE_AFTER))[:5]
    sealed = [noise.seal(n, drawn, mpz(0)) for drawn in [*early, *late]]
    assert len(set(sealed)) == 7
    assert all(powmod(residue, order, n * n) == 1 for residue in sealed)
