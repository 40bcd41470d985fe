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
@given(st.lists(st.integers(0, 1023), min_size=noise.DIGITS_OF_2048, max_size=noise.DIGITS_OF_2048))
def test_a_draw_is_the_power_that_its_exponent_says(
    secret: PaillierSecret, table: NoiseTable, exponent: list[int]
) -> None:
    n, base = secret.public.n, secret.public.base
    assert noise.seal(n, table.draw(exponent), mpz(0)) == power(base, exponent, n)
    assert noise.seal(n, noise.direct(n, base, exponent), mpz(0)) == power(base, exponent, n)


@pytest.mark.parametrize("digit", [0, 1023])
def test_the_ends_of_the_table_are_right(secret: PaillierSecret, table: NoiseTable, digit: int) -> None:
    n, exponent = secret.public.n, [digit] * noise.digits_for(secret.public.n)
    assert noise.seal(n, table.draw(exponent), mpz(0)) == power(secret.public.base, exponent, n)


@pytest.mark.parametrize("digits", [noise.DIGITS_OF_2048, noise.DIGITS])
def test_random_exponents_fill_their_digits(digits: int) -> None:
    drawn = noise.random_exponents(1000, digits)
    assert {len(exponent) for exponent in drawn} == {digits}
    for values in zip(*drawn, strict=True):
        assert 0 <= min(values) < 2**7
        assert 2**10 - 2**7 < max(values) < 2**10


@pytest.mark.parametrize(("bits", "strength"), [(2048, 112), (3072, 128), (4096, 128)])
def test_exponents_have_twice_the_bits_of_the_strength_asked_of_a_key(bits: int, strength: int) -> None:
    for n in (mpz(1) << (bits - 1), (mpz(1) << bits) - 1):
        assert noise.digits_for(n) * noise.DIGIT_BITS >= 2 * strength


def test_an_even_number_of_digits_is_drawn_whole_too() -> None:
    n = (mpz(1) << 3071) + 1
    exponent = [*range(1023, 1023 - noise.DIGITS, -1)]
    table = noise.build_table(n, mpz(5))
    assert len(table.rows) == noise.DIGITS
    assert noise.seal(n, table.draw(exponent), mpz(0)) == power(mpz(5), exponent, n)


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
