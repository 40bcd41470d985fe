"""The noise table holds what it says: the split entries multiply to h^x, and noise is an n-th residue."""

from __future__ import annotations

import pytest
from gmpy2 import mpz, powmod
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.homomorphic.costs import TABLES_AFTER
from nodes.homomorphic.paillier import noise
from nodes.homomorphic.paillier.noise import Digits, NoiseTable
from nodes.homomorphic.paillier.secret import PaillierSecret

SMALL, LARGE = noise.DIGIT_BITS


@pytest.fixture(scope="module")
def tables(secret: PaillierSecret) -> dict[int, NoiseTable]:
    """By the bits of their digits."""
    return {bits: noise.build_table(secret.public.n, secret.public.base, bits) for bits in noise.DIGIT_BITS}


def power(base: mpz, exponent: Digits, digit_bits: int, n: mpz) -> mpz:
    return powmod(base, sum(digit << digit_bits * at for at, digit in enumerate(exponent)), n * n)


@pytest.mark.parametrize("digit_bits", noise.DIGIT_BITS)
@settings(max_examples=20, deadline=None)
@given(draws=st.data())
def test_a_draw_is_the_power_that_its_exponent_says(
    secret: PaillierSecret, tables: dict[int, NoiseTable], digit_bits: int, draws: st.DataObject
) -> None:
    n, base = secret.public.n, secret.public.base
    digits = noise.digits_for(n, digit_bits)
    exponent = draws.draw(st.lists(st.integers(0, 2**digit_bits - 1), min_size=digits, max_size=digits))
    assert noise.seal(n, tables[digit_bits].draw(exponent), mpz(0)) == power(base, exponent, digit_bits, n)


def test_a_draw_without_a_table_is_that_power_too(secret: PaillierSecret) -> None:
    n, base, exponent = secret.public.n, secret.public.base, mpz(2) ** 224 - 12345
    assert noise.seal(n, noise.direct(n, base, exponent), mpz(0)) == powmod(base, exponent, n * n)


@pytest.mark.parametrize("digit_bits", noise.DIGIT_BITS)
@pytest.mark.parametrize("last", [False, True])
def test_the_ends_of_a_table_are_right(
    secret: PaillierSecret, tables: dict[int, NoiseTable], digit_bits: int, last: bool
) -> None:
    n = secret.public.n
    exponent = [2**digit_bits - 1 if last else 0] * noise.digits_for(n, digit_bits)
    expected = power(secret.public.base, exponent, digit_bits, n)
    assert noise.seal(n, tables[digit_bits].draw(exponent), mpz(0)) == expected


@pytest.mark.parametrize("digit_bits", noise.DIGIT_BITS)
@pytest.mark.parametrize("digits", [22, 43])
def test_random_exponents_fill_their_digits(digits: int, digit_bits: int) -> None:
    drawn = noise.random_exponents(1000, digits, digit_bits)
    assert {len(exponent) for exponent in drawn} == {digits}
    tenth, all_values = 2**digit_bits / 10, 2**digit_bits
    for values in zip(*drawn, strict=True):
        assert 0 <= min(values) < tenth
        assert all_values - tenth < max(values) < all_values


@pytest.mark.parametrize(("bits", "strength"), [(2048, 112), (3072, 128), (4096, 128)])
def test_exponents_have_twice_the_bits_of_the_strength_asked_of_a_key(bits: int, strength: int) -> None:
    for n in (mpz(1) << (bits - 1), (mpz(1) << bits) - 1):
        assert noise.exponent_bits(n) >= 2 * strength
        assert all(noise.digits_for(n, each) * each >= 2 * strength for each in noise.DIGIT_BITS)


def test_an_even_number_of_digits_is_drawn_whole_too() -> None:
    n = (mpz(1) << 3071) + 1
    digits = noise.digits_for(n, LARGE)
    assert digits % 2 == 0
    exponent = [*range(1023, 1023 - digits, -1)]
    table = noise.build_table(n, mpz(5), LARGE)
    assert len(table.rows) == digits
    assert noise.seal(n, table.draw(exponent), mpz(0)) == power(mpz(5), exponent, LARGE, n)


@pytest.mark.parametrize("message", [0, 1, -1, 2**1984, -(2**1984)])
def test_sealing_adds_the_message_to_the_noise(secret: PaillierSecret, message: int) -> None:
    n = secret.public.n
    residue = powmod(mpz(7), n, n * n)
    assert noise.seal(n, (residue, mpz(5)), mpz(message)) == residue * (1 + n * (5 + message)) % (n * n)


def test_the_noise_base_is_an_nth_residue(secret: PaillierSecret) -> None:
    order = (secret.p - 1) * (secret.q - 1)
    assert powmod(secret.public.base, order, secret.public.n_squared) == 1


def test_a_source_draws_fresh_residues_without_a_table_and_with_each(
    secret: PaillierSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[int] = []

    def build(n: mpz, base: mpz, digit_bits: int) -> NoiseTable:
        built.append(digit_bits)
        return build_table(n, base, digit_bits)

    build_table = noise.build_table
    monkeypatch.setattr(noise, "build_table", build)
    n, order = secret.public.n, (secret.p - 1) * (secret.q - 1)
    source = noise.NoiseSource(n, secret.public.base)
    drawn, expected = [], []
    few, many = TABLES_AFTER
    for count, tables in [(2, []), (few, [SMALL]), (2, [SMALL]), (many, [SMALL, LARGE]), (2, [SMALL, LARGE])]:
        drawn += list(source.draw(count))[:2]
        expected.append(built == tables)
    sealed = [noise.seal(n, each, mpz(0)) for each in drawn]
    assert all(expected)
    assert len(set(sealed)) == 10
    assert all(powmod(residue, order, n * n) == 1 for residue in sealed)


def test_a_first_draw_of_many_has_the_large_table_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []

    def build(n: mpz, base: mpz, digit_bits: int) -> NoiseTable:
        built.append(digit_bits)
        return NoiseTable(n * n, digit_bits, (((mpz(1), mpz(0)),) * 2**digit_bits,) * noise.digits_for(n, digit_bits))

    monkeypatch.setattr(noise, "build_table", build)
    assert len(list(noise.NoiseSource(mpz(2) ** 3071, mpz(3)).draw(TABLES_AFTER[-1]))) == TABLES_AFTER[-1]
    assert built == [LARGE]
