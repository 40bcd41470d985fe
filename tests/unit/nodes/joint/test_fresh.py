"""Noise for what goes to the owner of the key."""

from __future__ import annotations

import gmpy2

from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.joint import fresh


def test_full_noise_encrypts_nothing_and_is_another_each_time(secret: PaillierSecret) -> None:
    drawn = fresh.residues(secret.public, 3)
    assert secret.decrypt_plaintexts(drawn) == [0, 0, 0]
    assert len(set(drawn)) == 3


def test_full_noise_is_no_power_of_the_keys_noise_base(secret: PaillierSecret) -> None:
    """Trap: all powers of the base have the Jacobi symbol 1, and who knows the primes sees more of their exponents."""
    n = secret.public.n
    assert {gmpy2.jacobi(each, n) for each in fresh.residues(secret.public, 40)} == {-1, 1}
    naive = {
        gmpy2.jacobi(gmpy2.powmod(secret.public.base, power, secret.public.n_squared), n) for power in range(1, 40)
    }
    assert naive == {1}


def test_ciphertexts_keep_their_plaintexts_under_full_noise(secret: PaillierSecret) -> None:
    numbers = [1 + secret.public.n * each for each in (5, 7)]
    assert secret.decrypt_plaintexts(fresh.rerandomised(secret.public, numbers)) == [5, 7]
