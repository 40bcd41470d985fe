"""The noise table holds what it says: the split entries multiply to h^x, and noise is an n-th residue."""

from __future__ import annotations

import pytest
from gmpy2 import mpz, powmod
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.homomorphic import noise
from nodes.homomorphic.noise import NoiseTable
from nodes.homomorphic.paillier import PaillierSecret


@pytest.fixture(scope="module")
def table(secret: PaillierSecret) -> NoiseTable:
    return noise.build_table(secret.public.n, secret.public.base)


@settings(max_examples=20, deadline=None)
@given(st.binary(min_size=noise.EXPONENT_BYTES, max_size=noise.EXPONENT_BYTES))
def test_a_draw_is_the_power_that_its_exponent_says(secret: PaillierSecret, table: NoiseTable, exponent: bytes) -> None:
    n, base = secret.public.n, secret.public.base
    expected = powmod(base, int.from_bytes(exponent, "little"), n * n)
    assert noise.seal(n, table.draw(exponent), mpz(0)) == expected
    assert noise.seal(n, noise.direct(n, base, exponent), mpz(0)) == expected


@pytest.mark.parametrize("exponent", [bytes(32), b"\xff" * 32])
def test_the_ends_of_the_table_are_right(secret: PaillierSecret, table: NoiseTable, exponent: bytes) -> None:
    n = secret.public.n
    expected = powmod(secret.public.base, int.from_bytes(exponent, "little"), n * n)
    assert noise.seal(n, table.draw(exponent), mpz(0)) == expected


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
    source.announce(2)
    early = list(source.draw(2))
    source.announce(noise.TABLE_AFTER)
    sealed = [noise.seal(n, drawn, mpz(0)) for drawn in [*early, *source.draw(5)]]
    assert len(set(sealed)) == 7
    assert all(powmod(residue, order, n * n) == 1 for residue in sealed)
